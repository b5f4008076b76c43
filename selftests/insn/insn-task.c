// SPDX-License-Identifier: GPL-2.0-only
/* Hardware task switches: SDM vol. 3, 8.3 and table 8-1. */
#include "ktap.h"

#include "internal.h"
#include "sim.h"

static struct sim sim;

#define R(reg)	sim.s.regs[INSN_##reg]
#define SEG(name) sim.s.segs[INSN_##name]

#define GDT	0x10000
#define LDT	0x10400
#define IDT	0x10800
#define OLD	0x11fc0		/* its TSS crosses a page */
#define NEW	0x13000
#define STACK	0x14800
#define MMIO	0x20000

/* Selectors. */
enum { CODE = 0x08, DATA = 0x10, OLD_TSS = 0x18, NEW_TSS = 0x20, LDT_SEL = 0x28, CODE3 = 0x33,
       DATA3 = 0x3b, CODE16 = 0x40, CONFORMING = 0x48, READ_ONLY = 0x50, ABSENT = 0x58,
       ABSENT_CODE = 0x60, LDT_DATA = 0x0c, BEYOND = 0x400 };

enum { TSS32 = 0x89, TSS32_BUSY = 0x8b, TSS16 = 0x81, TSS16_BUSY = 0x83 };

static void poke(u64 linear, u64 val, unsigned int len)
{
	sim_poke(&sim, linear, &val, len);
}

static u32 peek(u64 linear, unsigned int len)
{
	u32 val = 0;

	sim_peek(&sim, linear, &val, len);
	return val;
}

/* @access: the byte with P, DPL, S, type. @flags: G and D. */
static void descriptor(u32 table, u16 selector, u32 base, u32 limit, u8 access, u8 flags)
{
	u64 d = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
		(u64)(limit >> 16 & 0xf) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;

	poke(table + (selector & ~7), d, 8);
}

static u8 access_of(u16 selector)
{
	return peek(GDT + (selector & ~7) + 5, 1);
}

static void make_gdt(void)
{
	descriptor(GDT, CODE, 0, 0xfffff, 0x9a, 0xc);
	descriptor(GDT, DATA, 0, 0xfffff, 0x92, 0xc);
	descriptor(GDT, OLD_TSS, OLD, 0x67, TSS32_BUSY, 0);
	descriptor(GDT, NEW_TSS, NEW, 0x67, TSS32, 0);
	descriptor(GDT, LDT_SEL, LDT, 0x1f, 0x82, 0);
	descriptor(GDT, CODE3, 0, 0xfffff, 0xfa, 0xc);
	descriptor(GDT, DATA3, 0, 0xfffff, 0xf2, 0xc);
	descriptor(GDT, CODE16, 0, 0xffff, 0x9a, 0);
	descriptor(GDT, CONFORMING, 0, 0xfffff, 0x9e, 0xc);
	descriptor(GDT, READ_ONLY, 0, 0xfffff, 0x90, 0xc);
	descriptor(GDT, ABSENT, 0, 0xfffff, 0x12, 0xc);
	descriptor(GDT, ABSENT_CODE, 0, 0xfffff, 0x1a, 0xc);
	descriptor(LDT, LDT_DATA, 0x100, 0xfff, 0x92, 4);
	sim.s.tables[INSN_GDTR] = (struct insn_table_reg){ .base = GDT, .limit = 0x7f };
	sim.s.tables[INSN_IDTR] = (struct insn_table_reg){ .base = IDT, .limit = 0x1ff };
	poke(IDT + 8 * 0x20 + 5, 0x85, 1);	/* task gates of DPL 0 and 3 */
	poke(IDT + 8 * 0x21 + 5, 0xe5, 1);
}

static void tss32(u32 at, u32 flags, u16 code, u16 data)
{
	unsigned int i;

	poke(at + 0x1c, 0x7000, 4);
	poke(at + 0x20, 0x10200, 4);
	poke(at + 0x24, flags, 4);
	for (i = 0; i < 8; i++)
		poke(at + 0x28 + 4 * i, 0x11111111 * (i + 1), 4);
	poke(at + 0x38, STACK, 4);
	for (i = 0; i < 6; i++)
		poke(at + 0x48 + 4 * i, 0xabcd0000 | (i == INSN_CS ? code : data), 4);
	poke(at + 0x60, LDT_SEL, 4);
	poke(at + 0x64, 0, 4);
}

static void tss16(u32 at, u16 flags)
{
	unsigned int i;

	poke(at + 0x0e, 0x200, 2);
	poke(at + 0x10, flags, 2);
	for (i = 0; i < 8; i++)
		poke(at + 0x12 + 2 * i, 0x1111 * (i + 1), 2);
	for (i = 0; i < 4; i++)
		poke(at + 0x22 + 2 * i, i == INSN_CS ? CODE : DATA, 2);
	poke(at + 0x2a, LDT_SEL, 2);
}

/* A 32-bit task at CPL 0, and another whose TSS waits. */
static void start(void)
{
	unsigned int i;

	sim_init(&sim, INSN_PROT32);
	sim.cpl = 0;
	for (i = 0; i < 5; i++)
		memset(sim_add_page(&sim, 0x10000 + i * SIM_PAGE, SIM_RW), 0, SIM_PAGE);
	memset(sim_add_page(&sim, MMIO, SIM_MMIO), 0, SIM_PAGE);
	make_gdt();
	for (i = INSN_ES; i <= INSN_GS; i++) {
		sim.s.segs[i].dpl = 0;
		sim.s.segs[i].selector = i == INSN_CS ? CODE : DATA;
	}
	SEG(TR) = (struct insn_segment){ .base = OLD, .limit = 0x67, .selector = OLD_TSS,
					 .type = 11, .present = 1 };
	for (i = 0; i < 8; i++)
		sim.s.regs[i] = 0x01010101 * (i + 1);
	R(RIP) = 0x10100;
	R(RFLAGS) = 0x4246;
	sim.s.dr[7] = 0x7ff;
	poke(OLD + 0x48, 0xabcdabcd, 4);	/* what the upper halves hold, stays */
	tss32(NEW, 0x246, CODE, DATA);
}

static struct insn_task task;

static int switch_to(u16 selector, u8 reason)
{
	task.selector = selector;
	task.reason = reason;
	task.ip = 0x10107;
	return insn_task_switch(&sim.ctx, &task);
}

static int run(u8 reason)
{
	return switch_to(NEW_TSS, reason);
}

static void begin(void)
{
	task = (struct insn_task){ .vector = -1 };
	start();
}

static void check_saved32(u32 flags)
{
	unsigned int i;

	CHECK_EQ(peek(OLD + 0x20, 4), 0x10107);
	CHECK_EQ(peek(OLD + 0x24, 4), flags);
	for (i = 0; i < 8; i++)
		CHECK_EQ(peek(OLD + 0x28 + 4 * i, 4), 0x01010101 * (i + 1));
	CHECK_EQ(peek(OLD + 0x4c, 2), CODE);
	CHECK_EQ(peek(OLD + 0x48, 4), 0xabcd0000 | DATA);
	CHECK_EQ(peek(OLD + 0x60, 4), 0);		/* never written */
	CHECK_EQ(peek(OLD + 0x1c, 4), 0);
}

static void check_loaded32(u64 flags)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		CHECK_EQ(sim.s.regs[i], i == INSN_RSP ? STACK : 0x11111111u * (i + 1));
	CHECK_EQ(R(RIP), 0x10200);
	CHECK_EQ(R(RFLAGS), flags);
	CHECK_EQ(SEG(CS).selector, CODE);
	CHECK_EQ(SEG(CS).type, 11);
	CHECK_EQ(SEG(CS).limit, 0xffffffff);
	CHECK_EQ(SEG(GS).selector, DATA);
	CHECK_EQ(SEG(GS).type, 3);
	CHECK_EQ(access_of(DATA), 0x93);
	CHECK_EQ(SEG(LDTR).base, LDT);
	CHECK_EQ(SEG(LDTR).unusable, 0);
	CHECK_EQ(SEG(TR).selector, NEW_TSS);
	CHECK_EQ(SEG(TR).base, NEW);
	CHECK_EQ(SEG(TR).type, 11);
	CHECK_EQ(access_of(NEW_TSS), TSS32_BUSY);
	CHECK_EQ(sim.s.cr[3], 0x7000);
	CHECK_EQ(sim.s.cr[0] & 8, 8);
	CHECK_EQ(sim.s.dr[7], 0x7ff & ~0x155);
}

static void by_call(void)
{
	begin();
	CHECK_EQ(run(INSN_TASK_CALL), INSN_OK);
	check_saved32(0x4246);
	check_loaded32(0x4246);
	CHECK_EQ(peek(NEW, 2), OLD_TSS);
	CHECK_EQ(access_of(OLD_TSS), TSS32_BUSY);
	CHECK_EQ(task.trap, 0);
	CHECK(!sim.broken, "%s", sim.broken);
}

static void by_jmp(void)
{
	begin();
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
	check_saved32(0x4246);
	check_loaded32(0x246);
	CHECK_EQ(peek(NEW, 2), 0);
	CHECK_EQ(access_of(OLD_TSS), TSS32);
}

static void by_iret(void)
{
	begin();
	CHECK_EQ(run(INSN_TASK_IRET), INSN_FAULT);	/* not busy */
	CHECK_EQ(sim.ctx.fault.vector, EXC_TS);
	begin();
	descriptor(GDT, NEW_TSS, NEW, 0x67, TSS32_BUSY, 0);
	CHECK_EQ(run(INSN_TASK_IRET), INSN_OK);
	check_saved32(0x246);
	check_loaded32(0x246);
	CHECK_EQ(peek(NEW, 2), 0);
	CHECK_EQ(access_of(OLD_TSS), TSS32);
}

static void by_gate(void)
{
	begin();
	task.external = true;
	task.has_error = true;
	task.error_code = 0x1234;
	CHECK_EQ(run(INSN_TASK_GATE), INSN_OK);
	CHECK_EQ(R(RSP), STACK - 4);
	CHECK_EQ(peek(STACK - 4, 4), 0x1234);
	CHECK_EQ(R(RFLAGS), 0x4246);
	CHECK_EQ(peek(NEW, 2), OLD_TSS);
	CHECK_EQ(access_of(OLD_TSS), TSS32_BUSY);
}

/* INT n from CPL 3 through gates of DPL 0 and 3. */
static void by_int(void)
{
	begin();
	sim.cpl = 3;
	task.vector = 0x20;
	CHECK_EQ(run(INSN_TASK_GATE), INSN_FAULT);
	CHECK_EQ(sim.ctx.fault.vector, EXC_GP);
	CHECK_EQ(sim.ctx.fault.error_code, 0x20 * 8 + 2);
	task.vector = 0x40;				/* beyond the limit */
	CHECK_EQ(run(INSN_TASK_GATE), INSN_FAULT);
	CHECK_EQ(sim.ctx.fault.error_code, 0x40 * 8 + 2);
	CHECK_EQ(SEG(TR).selector, OLD_TSS);
	task.vector = 0x21;
	CHECK_EQ(run(INSN_TASK_GATE), INSN_OK);
	CHECK_EQ(sim.cpl, 0);
}

static void trap_bit(void)
{
	begin();
	poke(NEW + 0x64, 1, 2);
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
	CHECK_EQ(task.trap, 1);
}

static void to_16_bits(void)
{
	unsigned int i;

	begin();
	descriptor(GDT, NEW_TSS, NEW, 0x2b, TSS16, 0);
	memset(sim_add_page(&sim, NEW, SIM_RW), 0, SIM_PAGE);
	tss16(NEW, 0x246);
	task.has_error = true;
	task.error_code = 0x4321;
	poke(NEW + 0x1a, 0x800, 2);			/* SP; the segments are flat */
	memset(sim_add_page(&sim, 0, SIM_RW), 0, SIM_PAGE);
	CHECK_EQ(run(INSN_TASK_CALL), INSN_OK);
	check_saved32(0x4246);
	for (i = 0; i < 8; i++)
		if (i != INSN_RSP)
			CHECK_EQ(sim.s.regs[i], 0x1111 * (i + 1));
	CHECK_EQ(R(RSP), 0x7fe);
	CHECK_EQ(peek(0x7fe, 2), 0x4321);
	CHECK_EQ(R(RIP), 0x200);
	CHECK_EQ(R(RFLAGS), 0x4246);
	CHECK_EQ(SEG(DS).selector, DATA);
	CHECK_EQ(SEG(FS).unusable, 1);
	CHECK_EQ(SEG(GS).selector, 0);
	CHECK_EQ(SEG(TR).type, 3);
	CHECK_EQ(sim.s.cr[3], 0);
	CHECK_EQ(access_of(NEW_TSS), TSS16_BUSY);
	CHECK_EQ(peek(NEW, 2), OLD_TSS);
}

static void from_16_bits(void)
{
	begin();
	SEG(TR).type = 3;
	SEG(TR).limit = 0x2b;
	descriptor(GDT, OLD_TSS, OLD, 0x2b, TSS16_BUSY, 0);
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
	check_loaded32(0x246);
	CHECK_EQ(access_of(OLD_TSS), TSS16);
	CHECK_EQ(peek(OLD + 0x0e, 2), 0x0107);
	CHECK_EQ(peek(OLD + 0x10, 2), 0x4246);
	CHECK_EQ(peek(OLD + 0x14, 2), 0x0202);
	CHECK_EQ(peek(OLD + 0x24, 2), CODE);
	CHECK_EQ(peek(OLD + 0x28, 2), DATA);
	CHECK_EQ(peek(OLD + 0x2a, 2), 0);
	CHECK_EQ(peek(OLD + 0x48, 4), 0xabcdabcd);
}

static void to_user(void)
{
	begin();
	tss32(NEW, 0x3246, CODE3, DATA3);
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
	CHECK_EQ(sim.cpl, 3);
	CHECK_EQ(SEG(CS).dpl, 3);
	CHECK_EQ(SEG(CS).selector, CODE3);
	CHECK_EQ(sim.ctx.mode, INSN_PROT32);
}

static void to_vm86(void)
{
	begin();
	tss32(NEW, 0x23246, 0x1234, 0x2345);
	task.has_error = true;
	task.error_code = 0xbeef;
	poke(NEW + 0x20, 0x200, 4);
	poke(NEW + 0x38, 0x7c0, 4);
	memset(sim_add_page(&sim, 0x23000, SIM_RW), 0, SIM_PAGE);
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
	CHECK_EQ(SEG(CS).base, 0x12340);
	CHECK_EQ(SEG(SS).base, 0x23450);
	CHECK_EQ(SEG(SS).limit, 0xffff);
	CHECK_EQ(sim.cpl, 3);
	CHECK_EQ(R(RFLAGS), 0x23246);
	CHECK_EQ(peek(0x23450 + 0x7bc, 4), 0xbeef);
}

/* Bits that RFLAGS has not are not loaded. */
static void flags(void)
{
	begin();
	tss32(NEW, 0xfffdffff, CODE, DATA);
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
	CHECK_EQ(R(RFLAGS), 0x3d7fd7);
}

/* -------- faults of the old task: nothing is changed -------- */

static void expect_old(u8 reason, unsigned int vector, u32 code)
{
	struct sim_state before = sim.s;

	CHECK_EQ(run(reason), INSN_FAULT);
	CHECK_EQ(sim.ctx.fault.vector, vector);
	CHECK_EQ(sim.ctx.fault.has_error, 1);
	CHECK_EQ(sim.ctx.fault.error_code, code);
	CHECK(!memcmp(&before, &sim.s, sizeof(before)));
}

static void bad_tss(void)
{
	static const struct { u8 access; u32 limit; u8 reason, vector; } t[] = {
		{ TSS32_BUSY, 0x67, INSN_TASK_CALL, EXC_GP },
		{ TSS16_BUSY, 0x67, INSN_TASK_GATE, EXC_GP },
		{ 0x82, 0x67, INSN_TASK_JMP, EXC_GP },		/* an LDT */
		{ 0x93, 0x67, INSN_TASK_JMP, EXC_GP },		/* data */
		{ 0x82, 0x67, INSN_TASK_IRET, EXC_TS },
		{ TSS32, 0x67, INSN_TASK_IRET, EXC_TS },
		{ TSS32 & 0x7f, 0x67, INSN_TASK_JMP, EXC_NP },
		{ TSS32_BUSY & 0x7f, 0x67, INSN_TASK_IRET, EXC_NP },
		{ TSS32, 0x66, INSN_TASK_JMP, EXC_TS },
		{ TSS16, 0x2a, INSN_TASK_JMP, EXC_TS },
	};
	unsigned int i, external;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		for (external = 0; external < 2; external++) {
			begin();
			task.external = external;
			descriptor(GDT, NEW_TSS, NEW, t[i].limit, t[i].access, 0);
			expect_old(t[i].reason, t[i].vector, NEW_TSS | external);
		}
	}
}

static void bad_selector(void)
{
	begin();
	sim.s.tables[INSN_GDTR].limit = NEW_TSS + 6;
	expect_old(INSN_TASK_JMP, EXC_GP, NEW_TSS);
	expect_old(INSN_TASK_IRET, EXC_TS, NEW_TSS);
	begin();
	SEG(TR).limit = 0x66;
	expect_old(INSN_TASK_JMP, EXC_TS, OLD_TSS);
	begin();
	SEG(LDTR) = (struct insn_segment){ .base = LDT, .limit = 0x1f, .type = 2, .present = 1 };
	CHECK_EQ(switch_to(LDT_DATA, INSN_TASK_CALL), INSN_FAULT);	/* a TSS is in the GDT */
	CHECK_EQ(sim.ctx.fault.vector, EXC_GP);
	CHECK_EQ(sim.ctx.fault.error_code, LDT_DATA);
	CHECK_EQ(switch_to(LDT_DATA, INSN_TASK_IRET), INSN_FAULT);
	CHECK_EQ(sim.ctx.fault.vector, EXC_TS);
}

static void absent_memory(void)
{
	begin();
	sim_add_page(&sim, OLD + 0x67, SIM_NONE);
	expect_old(INSN_TASK_JMP, EXC_PF, 2);
	CHECK_EQ(sim.ctx.fault.address, 0x12000);
	begin();
	sim_add_page(&sim, NEW, SIM_NONE);
	expect_old(INSN_TASK_JMP, EXC_PF, 0);
	begin();
	sim_add_page(&sim, NEW, SIM_RO);		/* only CALL writes there */
	expect_old(INSN_TASK_CALL, EXC_PF, 3);
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
	begin();
	descriptor(GDT, NEW_TSS, MMIO, 0x67, TSS32, 0);
	CHECK_EQ(run(INSN_TASK_JMP), INSN_UNHANDLEABLE);
	CHECK_EQ(access_of(OLD_TSS), TSS32_BUSY);
}

/* -------- faults of the new task -------- */

static void bad_segments(void)
{
	static const struct { u8 seg; u16 selector; u8 vector; } t[] = {
		{ INSN_CS, 0, EXC_TS }, { INSN_CS, DATA, EXC_TS }, { INSN_CS, BEYOND, EXC_TS },
		{ INSN_CS, CODE | 3, EXC_TS }, { INSN_CS, ABSENT_CODE, EXC_NP },
		{ INSN_SS, 0, EXC_TS }, { INSN_SS, CODE, EXC_TS }, { INSN_SS, DATA3, EXC_TS },
		{ INSN_SS, DATA | 3, EXC_TS }, { INSN_SS, READ_ONLY, EXC_TS },
		{ INSN_SS, ABSENT, EXC_SS }, { INSN_SS, NEW_TSS, EXC_TS },
		{ INSN_DS, ABSENT, EXC_NP }, { INSN_ES, NEW_TSS, EXC_TS },
		{ INSN_FS, DATA | 3, EXC_TS }, { INSN_GS, 0x24 | 0x100, EXC_TS },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		begin();
		task.external = i & 1;
		poke(NEW + 0x48 + 4 * t[i].seg, t[i].selector, 2);
		CHECK_EQ(run(INSN_TASK_CALL), INSN_FAULT);
		CHECK_EQ(sim.ctx.fault.vector, t[i].vector);
		CHECK_EQ(sim.ctx.fault.error_code, (t[i].selector & ~3u) | (i & 1));
		CHECK_EQ(SEG(TR).selector, NEW_TSS);
		CHECK_EQ(R(RIP), 0x10200);
		CHECK_EQ(R(RAX), 0x11111111);
		CHECK_EQ(sim.s.segs[t[i].seg].selector, t[i].selector);
	}
}

static void good_segments(void)
{
	begin();
	poke(NEW + 0x4c, CONFORMING, 2);
	poke(NEW + 0x54, CONFORMING, 2);
	poke(NEW + 0x58, LDT_DATA, 2);
	poke(NEW + 0x5c, 3, 2);
	CHECK_EQ(run(INSN_TASK_CALL), INSN_OK);
	CHECK_EQ(SEG(CS).selector, CONFORMING);
	CHECK_EQ(SEG(FS).base, 0x100);
	CHECK_EQ(SEG(GS).unusable, 1);
	CHECK_EQ(SEG(GS).selector, 3);
	begin();
	poke(NEW + 0x4c, CODE16, 2);
	poke(NEW + 0x20, 0x200, 4);
	CHECK_EQ(run(INSN_TASK_CALL), INSN_OK);
	CHECK_EQ(sim.ctx.mode, INSN_PROT16);
}

static void bad_ldt(void)
{
	static const u16 selectors[] = { DATA, LDT_DATA, NEW_TSS, BEYOND };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(selectors); i++) {
		begin();
		poke(NEW + 0x60, selectors[i], 2);
		CHECK_EQ(run(INSN_TASK_CALL), INSN_FAULT);
		CHECK_EQ(sim.ctx.fault.vector, EXC_TS);
		CHECK_EQ(sim.ctx.fault.error_code, selectors[i]);
		CHECK_EQ(SEG(LDTR).unusable, 1);
		CHECK_EQ(SEG(TR).selector, NEW_TSS);
	}
	begin();
	poke(NEW + 0x60, 0, 2);
	CHECK_EQ(run(INSN_TASK_CALL), INSN_OK);
	CHECK_EQ(SEG(LDTR).unusable, 1);
}

static void bad_ip_and_stack(void)
{
	begin();
	poke(NEW + 0x4c, CODE16, 2);			/* EIP is beyond 64 KiB */
	CHECK_EQ(run(INSN_TASK_JMP), INSN_FAULT);
	CHECK_EQ(sim.ctx.fault.vector, EXC_GP);
	CHECK_EQ(sim.ctx.fault.error_code, 0);
	CHECK_EQ(R(RIP), 0x10200);
	begin();
	poke(NEW + 0x38, 0x90000, 4);
	task.has_error = true;
	CHECK_EQ(run(INSN_TASK_GATE), INSN_FAULT);
	CHECK_EQ(sim.ctx.fault.vector, EXC_PF);
	CHECK_EQ(SEG(TR).selector, NEW_TSS);
	CHECK_EQ(R(RSP), 0x90000);
}

/* CR3 is loaded in the new task, and may be no good. */
static void bad_cr3(void)
{
	begin();
	sim.refused_cr = 3;
	CHECK_EQ(run(INSN_TASK_JMP), INSN_FAULT);
	CHECK_EQ(sim.ctx.fault.vector, EXC_GP);
	CHECK_EQ(sim.s.cr[3], 0);
	begin();
	sim.refused_cr = 3;
	sim.s.cr[0] &= ~CR0_PG;				/* it is not looked at */
	CHECK_EQ(run(INSN_TASK_JMP), INSN_OK);
}

/* Any access that the host cannot make ends it: there is no way on. */
static void failures(void)
{
	static const u8 reasons[] = { INSN_TASK_CALL, INSN_TASK_JMP, INSN_TASK_IRET, INSN_TASK_GATE };
	unsigned int i, n, failed;
	int r;

	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		for (n = 1, failed = 0; n < 100; n++) {
			begin();
			task.vector = reasons[i] == INSN_TASK_GATE ? 0x21 : -1;
			task.has_error = reasons[i] == INSN_TASK_GATE;
			if (reasons[i] == INSN_TASK_IRET)
				descriptor(GDT, NEW_TSS, NEW, 0x67, TSS32_BUSY, 0);
			sim.failing = n;
			r = run(reasons[i]);
			if (r == INSN_OK)
				break;
			CHECK_EQ(r, INSN_UNHANDLEABLE);
			CHECK(!sim.broken, "%s", sim.broken);
			failed++;
		}
		CHECK(failed > 10);
		CHECK_EQ(r, INSN_OK);
	}
}

static void without_ops(void)
{
	static const size_t needed[] = {
		offsetof(struct insn_ops, get_cr), offsetof(struct insn_ops, set_cr),
		offsetof(struct insn_ops, end_local_breakpoints), offsetof(struct insn_ops, set_segment),
		offsetof(struct insn_ops, probe), offsetof(struct insn_ops, get_table),
	};
	struct insn_ops ops;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		begin();
		task.vector = 0x21;
		ops = *sim.ctx.ops;
		memset((u8 *)&ops + needed[i], 0, sizeof(void *));
		sim.ctx.ops = &ops;
		CHECK_EQ(run(INSN_TASK_GATE), INSN_UNHANDLEABLE);
		CHECK_EQ(SEG(TR).selector, OLD_TSS);
	}
}

static const struct test tests[] = {
	{ "CALL", by_call },
	{ "JMP", by_jmp },
	{ "IRET", by_iret },
	{ "gate with an error code", by_gate },
	{ "INT n", by_int },
	{ "T bit", trap_bit },
	{ "to a 16-bit TSS", to_16_bits },
	{ "from a 16-bit TSS", from_16_bits },
	{ "to CPL 3", to_user },
	{ "to virtual-8086 mode", to_vm86 },
	{ "EFLAGS", flags },
	{ "bad TSS descriptors", bad_tss },
	{ "bad selectors", bad_selector },
	{ "memory that is not there", absent_memory },
	{ "bad segments of the new task", bad_segments },
	{ "segments of the new task", good_segments },
	{ "LDT of the new task", bad_ldt },
	{ "EIP and stack of the new task", bad_ip_and_stack },
	{ "a CR3 that is refused", bad_cr3 },
	{ "accesses that fail", failures },
	{ "without an op", without_ops },
};

TEST_MAIN(tests)
