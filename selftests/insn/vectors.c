// SPDX-License-Identifier: GPL-2.0-only
#include "vectors.h"

struct sim sim;

static void like_real_mode(enum insn_cpu_mode mode)
{
	static const u16 sel[4] = { 0x3000, 0x1000, 0x4000, 0x2000 };
	unsigned int i;

	sim_init(&sim, mode);
	for (i = 0; i < 4; i++) {
		sim.s.segs[i].selector = sel[i];
		sim.s.segs[i].base = sel[i] << 4;
		memset(sim_add_page(&sim, sel[i] << 4, SIM_RW), 0, SIM_PAGE);
	}
	R(RIP) = 0x100;
	R(RSP) = 0x800;
}

void real_mode(void)
{
	like_real_mode(INSN_REAL);
}

void vm86_mode(void)
{
	like_real_mode(INSN_VM86);
}

void flat_user(enum insn_cpu_mode mode)
{
	unsigned int i;

	sim_init(&sim, mode);
	for (i = RAM; i < RAM_END; i += SIM_PAGE)
		memset(sim_add_page(&sim, i, SIM_RW), 0, SIM_PAGE);
	memset(sim_add_page(&sim, MMIO, SIM_MMIO), 0, SIM_PAGE);
	R(RIP) = START;
	R(RSP) = STACK;
}

void flat(enum insn_cpu_mode mode)
{
	unsigned int i;

	flat_user(mode);
	sim.cpl = 0;
	for (i = 0; i < INSN_NR_SEGS; i++)
		sim.s.segs[i].dpl = 0;
}

void code(const void *bytes, unsigned int len)
{
	sim_poke(&sim, SEG(CS).base + R(RIP), bytes, len);
}

void expect_ok(void)
{
	int r = sim_run(&sim);

	CHECK(!sim.broken, "%s", sim.broken);
	CHECK_EQ(r, INSN_OK);
}

void expect_fault(unsigned int vector, int error)
{
	struct sim_state before = sim.s;

	CHECK_EQ(sim_run(&sim), INSN_FAULT);
	CHECK(!sim.broken, "%s", sim.broken);
	CHECK_EQ(sim.ctx.fault.vector, vector);
	CHECK_EQ(sim.ctx.fault.has_error, error >= 0);
	if (error >= 0)
		CHECK_EQ(sim.ctx.fault.error_code, error);
	CHECK(!memcmp(before.regs, sim.s.regs, sizeof(before.regs)));
	CHECK(!memcmp(before.segs, sim.s.segs, sizeof(before.segs)));
}

void expect_page_fault(u64 address, unsigned int error)
{
	expect_fault(EXC_PF, error);
	CHECK_EQ(sim.ctx.fault.address, address);
}

void expect_unhandleable(void)
{
	struct sim_state before = sim.s;

	CHECK_EQ(sim_step(&sim), INSN_UNHANDLEABLE);
	CHECK(!sim.broken, "%s", sim.broken);
	CHECK(!memcmp(&before, &sim.s, sizeof(before)));
}

void poke(u64 linear, u64 val, unsigned int len)
{
	sim_poke(&sim, linear, &val, len);
}

u64 descriptor(u32 base, u32 limit, u8 access, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
		(u64)((limit >> 16) & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

void gdt(unsigned int index, u64 desc)
{
	sim.s.tables[INSN_GDTR] = (struct insn_table_reg){ .base = GDT, .limit = 0x3f };
	poke(GDT + index * 8, desc, 8);
}

void ldt(unsigned int index, u64 desc)
{
	SEG(LDTR) = (struct insn_segment){ .base = LDT, .limit = 0x3f, .type = 2, .present = 1 };
	poke(LDT + index * 8, desc, 8);
}
