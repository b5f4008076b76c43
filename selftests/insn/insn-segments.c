// SPDX-License-Identifier: GPL-2.0-only
/* Segments: loading them, what their limits and types allow, far branches, the I/O bitmap. */
#include "vectors.h"

/* Access bytes of descriptors. */
enum { P = 0x80, DPL3 = 0x60, S = 0x10 };
enum { RO = 1, RW = 3, RO_DOWN = 5, RW_DOWN = 7, EXEC = 9, EXEC_READ = 11, CONF_READ = 15,
	NOT_ACCESSED = 1 };

/* mov SEG, ax */
static void load(unsigned int seg, u16 selector)
{
	u8 mov[] = { 0x8e, 0xc0 | seg << 3 };

	R(RIP) = START;
	R(RAX) = selector;
	code(mov, sizeof(mov));
}

static void at(enum insn_cpu_mode mode, unsigned int cpl)
{
	if (cpl == 3)
		flat_user(mode);
	else
		flat(mode);
}

/* A descriptor 1 with this access byte, loaded with this RPL at this CPL. */
static const struct {
	u8 access, rpl, cpl, seg, vector;	/* vector 0: it is loaded */
} loads[] = {
	/* DS, ES, FS, GS: readable, and DPL >= CPL and RPL unless conforming */
	{ P | S | RW, 0, 0, INSN_DS, 0 },
	{ P | S | RO, 0, 0, INSN_ES, 0 },
	{ P | S | RW_DOWN, 0, 0, INSN_FS, 0 },
	{ P | S | EXEC_READ, 0, 0, INSN_GS, 0 },
	{ P | S | EXEC, 0, 0, INSN_DS, EXC_GP },
	{ P | S | RW, 3, 0, INSN_DS, EXC_GP },
	{ P | S | RW, 0, 3, INSN_DS, EXC_GP },
	{ P | S | RW | DPL3, 3, 3, INSN_DS, 0 },
	{ P | S | RW | DPL3, 0, 3, INSN_DS, 0 },
	{ P | S | RW | DPL3, 3, 0, INSN_DS, 0 },
	{ P | S | EXEC_READ, 3, 0, INSN_ES, EXC_GP },
	{ P | S | CONF_READ, 3, 3, INSN_ES, 0 },
	{ P | RW, 0, 0, INSN_DS, EXC_GP },		/* a system segment */
	{ S | RW, 0, 0, INSN_DS, EXC_NP },
	{ S | RW, 3, 0, INSN_DS, EXC_GP },		/* privilege before presence */
	{ P | S | (RW & ~NOT_ACCESSED), 0, 0, INSN_DS, 0 },
	/* SS: writable data, DPL = RPL = CPL */
	{ P | S | RW, 0, 0, INSN_SS, 0 },
	{ P | S | RW_DOWN, 0, 0, INSN_SS, 0 },
	{ P | S | RW | DPL3, 3, 3, INSN_SS, 0 },
	{ P | S | RO, 0, 0, INSN_SS, EXC_GP },
	{ P | S | EXEC_READ, 0, 0, INSN_SS, EXC_GP },
	{ P | S | RW, 3, 0, INSN_SS, EXC_GP },
	{ P | S | RW | DPL3, 0, 0, INSN_SS, EXC_GP },
	{ P | S | RW | DPL3, 0, 3, INSN_SS, EXC_GP },
	{ P | RW, 0, 0, INSN_SS, EXC_GP },
	{ S | RW, 0, 0, INSN_SS, EXC_SS },
};

static void loading(void)
{
	static const enum insn_cpu_mode modes[] = { INSN_PROT16, INSN_PROT32, INSN_LONG };
	unsigned int m, in_ldt;
	u16 selector;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(loads) * 6; i++) {
		const typeof(loads[0]) *t = &loads[i / 6];
		u64 desc = descriptor(0x12340000, 0x56789, t->access, 0xd);

		m = i % 3;
		in_ldt = i / 3 % 2;
		at(modes[m], t->cpl);
		selector = 8 | in_ldt << 2 | t->rpl;
		if (in_ldt)
			ldt(1, desc);
		else
			gdt(1, desc);
		load(t->seg, selector);
		if (t->vector) {
			expect_fault(t->vector, selector & ~3);
			continue;
		}
		expect_ok();
		CHECK_EQ(sim.s.segs[t->seg].selector, selector);
		CHECK_EQ(sim.s.segs[t->seg].base, 0x12340000);
		CHECK_EQ(sim.s.segs[t->seg].limit, 0x56789fff);
		CHECK_EQ(sim.s.segs[t->seg].type, (t->access & 15) | 1);
		CHECK_EQ(sim.s.segs[t->seg].dpl, t->access >> 5 & 3);
		CHECK_EQ(sim.s.segs[t->seg].db, 1);
		CHECK_EQ(sim.s.segs[t->seg].avl, 1);
		CHECK_EQ(sim.s.segs[t->seg].unusable, 0);
		CHECK_EQ(sim_peek64(&sim, (in_ldt ? LDT : GDT) + 8 + 5) & 0xff, t->access | 1);
		CHECK_EQ(sim.ctx.shadow, t->seg == INSN_SS ? INSN_SHADOW_MOV_SS : 0);
	}
}

static void null_selectors(void)
{
	unsigned int rpl;

	for (rpl = 0; rpl < 4; rpl++) {
		flat(INSN_PROT32);
		load(INSN_GS, rpl);
		expect_ok();
		CHECK_EQ(SEG(GS).selector, rpl);
		CHECK_EQ(SEG(GS).unusable, 1);
		load(INSN_SS, rpl);
		expect_fault(EXC_GP, 0);
		flat(INSN_LONG);			/* 64-bit mode needs no stack segment */
		load(INSN_SS, rpl);
		if (rpl) {
			expect_fault(EXC_GP, 0);
		} else {
			expect_ok();
			CHECK_EQ(SEG(SS).unusable, 1);
			CHECK_EQ(SEG(SS).dpl, 0);
			CHECK_EQ(sim.ctx.shadow, INSN_SHADOW_MOV_SS);
		}
		flat_user(INSN_LONG);			/* but in user mode */
		load(INSN_SS, rpl);
		expect_fault(EXC_GP, 0);
	}
	flat(INSN_LONG);
	sim.cpl = 2;
	load(INSN_SS, 2);
	expect_ok();
	CHECK_EQ(SEG(SS).dpl, 2);
}

/* Descriptors that are not there. */
static void descriptor_tables(void)
{
	flat(INSN_PROT32);
	gdt(1, descriptor(0, 0xff, P | S | RW, 4));
	sim.s.tables[INSN_GDTR].limit = 15;
	load(INSN_DS, 8);
	expect_ok();
	sim.s.tables[INSN_GDTR].limit = 14;
	load(INSN_DS, 8);
	expect_fault(EXC_GP, 8);
	ldt(1, descriptor(0, 0xff, P | S | RW, 4));
	SEG(LDTR).limit = 15;
	load(INSN_DS, 0xc);
	expect_ok();
	SEG(LDTR).limit = 14;
	load(INSN_DS, 0xf);
	expect_fault(EXC_GP, 0xc);
	SEG(LDTR).unusable = 1;
	load(INSN_DS, 0xf);
	expect_fault(EXC_GP, 0xc);
	/* Read and marked as accessed by the CPU itself, not by the user. */
	flat_user(INSN_PROT32);
	sim.s.tables[INSN_GDTR] = (struct insn_table_reg){ .base = 0x16000, .limit = 0xff };
	load(INSN_DS, 0xb);
	expect_page_fault(0x16008, 0);
	sim_add_page(&sim, 0x16000, SIM_RO);
	poke(0x16008, descriptor(0, 0xff, P | DPL3 | S | (RW & ~NOT_ACCESSED), 4), 8);
	expect_page_fault(0x1600d, 3);
	poke(0x16008, descriptor(0, 0xff, P | DPL3 | S | RW, 4), 8);
	expect_ok();
	/* In a device's registers: reads and writes are served there. */
	flat(INSN_PROT32);
	sim.s.tables[INSN_GDTR] = (struct insn_table_reg){ .base = MMIO, .limit = 0xff };
	poke(MMIO + 8, descriptor(0x777, 0xff, P | S | (RW & ~NOT_ACCESSED), 4), 8);
	sim.force_user = true;
	load(INSN_DS, 8);
	expect_ok();
	CHECK_EQ(SEG(DS).base, 0x777);
	CHECK_EQ(sim.user_exits, 2);
	/* The table's addresses wrap at 4 GiB. */
	flat(INSN_PROT32);
	sim.s.tables[INSN_GDTR] = (struct insn_table_reg){ .base = 0xfffffff8, .limit = 0xff };
	sim_add_page(&sim, 0, SIM_RW);
	poke(0, descriptor(0x888, 0xff, P | S | RW, 4), 8);
	load(INSN_DS, 8);
	expect_ok();
	CHECK_EQ(SEG(DS).base, 0x888);
	/* But for compatibility mode, whose user could map what they wrap to; the ends of both pages count. */
	sim.ctx.lma = true;
	load(INSN_DS, 8);
	expect_page_fault(0x100000000, 0);
	sim.s.tables[INSN_GDTR].base = 0x700000ff4;
	load(INSN_DS, 8);
	expect_page_fault(0x700000ffc, 0);
}

/* POP, and LDS and its kin. */
static void other_loads(void)
{
	flat(INSN_PROT32);
	gdt(1, descriptor(0x5000, 0xff, P | S | RW, 4));
	CODE(0x0f, 0xa1);				/* pop fs */
	poke(STACK, 0xffff0008, 4);
	expect_ok();
	CHECK_EQ(SEG(FS).base, 0x5000);
	CHECK_EQ(R(RSP), STACK + 4);
	R(RIP) = START;
	R(RSP) = STACK;
	poke(STACK, 0x000b, 4);
	CODE(0x17);					/* pop ss, RPL 3 */
	expect_fault(EXC_GP, 8);
	CODE(0x16);					/* push ss: zeroes above */
	SEG(SS).selector = 0x1234;
	poke(STACK - 4, ~0ull, 4);
	expect_ok();
	CHECK_EQ((u32)sim_peek64(&sim, STACK - 4), 0x1234);
	flat(INSN_LONG);
	gdt(1, descriptor(0x5000, 0xff, P | S | RW, 4));
	CODE(0x48, 0x0f, 0xb2, 0x20);			/* lss rsp, [rax] */
	R(RAX) = 0x11000;
	poke(0x11000, 0x1122334455667788, 8);
	poke(0x11008, 8, 2);
	expect_ok();
	CHECK_EQ(R(RSP), 0x1122334455667788);
	CHECK_EQ(SEG(SS).base, 0x5000);
	R(RIP) = START;
	poke(0x11008, 0x88, 2);				/* the offset is not loaded alone */
	expect_fault(EXC_GP, 0x88);
	real_mode();
	CODE(0xc5, 0x36, 0x00, 0x03);			/* lds si, [0x300] */
	poke(0x20300, 0x56781234, 4);
	expect_ok();
	CHECK_EQ(R(RSI), 0x1234);
	CHECK_EQ(SEG(DS).base, 0x56780);
	CHECK_EQ(SEG(DS).limit, 0xffff);
}

/* What the type of DS allows: mov al, [0x10800]; mov [0x10800], al. */
static void types(void)
{
	static const struct { u8 type; bool read, write; } t[] = {
		{ RO, true, false }, { RW, true, true }, { RO_DOWN, true, false },
		{ RW_DOWN, true, true }, { EXEC, false, false }, { EXEC_READ, true, false },
		{ CONF_READ, true, false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		flat(INSN_PROT32);
		SEG(DS).type = t[i].type;
		if (t[i].type & 4 && !(t[i].type & 8))
			SEG(DS).limit = 0xfff;
		CODE(0xa0, 0, 8, 1, 0);
		if (t[i].read)
			expect_ok();
		else
			expect_fault(EXC_GP, 0);
		R(RIP) = START;
		CODE(0xa2, 0, 8, 1, 0);
		if (t[i].write)
			expect_ok();
		else
			expect_fault(EXC_GP, 0);
		R(RIP) = START;				/* an RMW: a write */
		CODE(0xfe, 0x05, 0, 8, 1, 0);		/* inc byte [0x10800] */
		if (t[i].write)
			expect_ok();
		else
			expect_fault(EXC_GP, 0);
	}
}

/* The last byte that may be accessed, and one more. */
static void limits(void)
{
	static const struct { u8 type, db; u32 limit, good, bad; } t[] = {
		{ RW, 1, 0x10fff, 0x10ffc, 0x10ffd },
		{ RW, 1, 0xffffffff, 0x14ffc, 0 },
		{ RW_DOWN, 1, 0x10fff, 0x11000, 0x10fff },
		{ RW_DOWN, 1, 0x10ffb, 0x10ffc, 0x10ffb },
		{ RW_DOWN, 0, 0x0fff, 0xfffc, 0xfffd },
		{ RW_DOWN, 0, 0x0fff, 0x1000, 0x10000 },
	};
	static const u8 segs[] = { INSN_DS, INSN_SS };
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(segs); k++) {
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			struct insn_segment *s;
			u8 mov[] = { 0x3e, 0x8b, 0x03 };	/* mov eax, ds:[ebx] */

			flat(INSN_PROT32);
			s = &sim.s.segs[segs[k]];
			s->type = t[i].type;
			s->db = t[i].db;
			s->limit = t[i].limit;
			s->base = t[i].good < 0x10000 ? 0x11000 - (t[i].good & ~0xfffu) : 0;
			mov[0] = segs[k] == INSN_SS ? 0x36 : 0x3e;
			code(mov, sizeof(mov));
			R(RBX) = 0xabcd00000000 | t[i].good;
			expect_ok();
			if (!t[i].bad)
				continue;
			R(RIP) = START;
			R(RBX) = t[i].bad;
			expect_fault(segs[k] == INSN_SS ? EXC_SS : EXC_GP, 0);
		}
	}
	flat(INSN_PROT32);				/* an end beyond 4 GiB */
	CODE(0x8b, 0x03);
	R(RBX) = 0xfffffffe;
	SEG(DS).base = 0x11000;
	expect_fault(EXC_GP, 0);
	flat(INSN_PROT32);				/* base and offset wrap */
	CODE(0x8b, 0x03);
	R(RBX) = 0xfffff000;
	SEG(DS).base = 0x12000;
	poke(0x11000, 0x55667788, 4);
	expect_ok();
	CHECK_EQ(R(RAX), 0x55667788);
	flat(INSN_LONG);				/* where addresses end in 64-bit mode */
	CODE(0x8b, 0x03);
	R(RBX) = 0x7ffffffffffd;
	expect_fault(EXC_GP, 0);
	CODE(0x36, 0x8b, 0x04, 0x24);			/* mov eax, [rsp] */
	R(RSP) = 0x800000000000;
	expect_fault(EXC_SS, 0);
	sim.ctx.va_bits = 57;
	expect_page_fault(0x800000000000, 0);
}

/* Pushes and pops over the stack's ends. */
static void stack_ends(void)
{
	flat(INSN_PROT32);
	CODE(0x50);					/* push eax */
	SEG(SS).limit = STACK - 2;
	expect_fault(EXC_SS, 0);
	CODE(0x58);					/* pop eax */
	SEG(SS).limit = STACK + 2;
	expect_fault(EXC_SS, 0);
	flat(INSN_PROT32);				/* 16 bits of SP: the rest stays */
	SEG(SS).db = 0;
	SEG(SS).base = 0x11000;
	R(RSP) = 0xaaaa0004;
	R(RAX) = 0x12345678;
	CODE(0x50);
	expect_ok();
	CHECK_EQ(R(RSP), 0xaaaa0000);
	CHECK_EQ((u32)sim_peek64(&sim, 0x11000), 0x12345678);
	flat(INSN_PROT32);				/* and wraps, here to nowhere */
	SEG(SS).db = 0;
	SEG(SS).base = 0x12000;
	R(RSP) = 0xaaaa0000;
	CODE(0x50);
	expect_page_fault(0x21ffc, 2);
	real_mode();
	CODE(0x50);
	R(RSP) = 0;
	SEG(SS).limit = 0xfffd;				/* the limit counts in real mode, too */
	expect_fault(EXC_SS, -1);
	real_mode();
	CODE(0x60);					/* pusha, the last one over the end */
	R(RSP) = 0xf;
	expect_fault(EXC_SS, -1);
	real_mode();
	CODE(0x9d);					/* popf at the very end */
	R(RSP) = 0xffff;
	expect_fault(EXC_SS, -1);
	flat(INSN_PROT32);				/* a stack that cannot be written */
	SEG(SS).type = RO;
	CODE(0x50);
	expect_fault(EXC_SS, 0);
	flat(INSN_PROT32);				/* call: the stack before the target */
	CODE(0xe8, 0, 0, 0, 0x40);
	R(RSP) = 0x50000;
	SEG(CS).limit = 0x1ffff;
	expect_page_fault(0x4fffc, 2);
	R(RSP) = STACK;
	expect_fault(EXC_GP, 0);
	CHECK_EQ(sim_peek64(&sim, STACK - 8), 0);
}

/* Far branches are done where segments have no descriptors; elsewhere not at all. */
static void far_branches(void)
{
	static const struct { u8 len, b[8]; } t[] = {
		{ 7, { 0xea, 0, 1, 1, 0, 8, 0 } },		/* jmp 8:0x10100 */
		{ 7, { 0x9a, 0, 1, 1, 0, 8, 0 } },		/* call */
		{ 2, { 0xff, 0x28 } },				/* jmp [eax] */
		{ 2, { 0xff, 0x18 } },				/* call [eax] */
		{ 1, { 0xcb } },				/* retf */
		{ 3, { 0xca, 4, 0 } },				/* retf 4 */
		{ 1, { 0xcf } },				/* iret */
	};
	static const enum insn_cpu_mode modes[] = { INSN_PROT16, INSN_PROT32, INSN_LONG };
	size_t i, m;

	for (m = 0; m < ARRAY_SIZE(modes); m++) {
		for (i = modes[m] == INSN_LONG ? 2 : 0; i < ARRAY_SIZE(t); i++) {
			flat(modes[m]);
			gdt(1, descriptor(0, 0xfffff, P | S | EXEC_READ, 0xc));
			R(RAX) = 0x11000;
			poke(0x11000, 0x80000010100, 6);
			poke(STACK, 0x800010100, 8);
			code(t[i].b, t[i].len);
			expect_unhandleable();
		}
	}
	vm86_mode();
	CODE(0xcf);					/* its IRET is the monitor's */
	expect_unhandleable();
	vm86_mode();
	CODE(0x2e, 0xff, 0x2e, 0x00, 0x03);		/* jmp cs:[0x300] */
	poke(0x10300, 0x20001234, 4);
	expect_ok();
	CHECK_EQ(R(RIP), 0x1234);
	CHECK_EQ(SEG(CS).base, 0x20000);
	CHECK_EQ(SEG(CS).selector, 0x2000);
	vm86_mode();
	CODE(0xff, 0x1e, 0xff, 0xff);			/* call [0xffff] */
	expect_fault(EXC_GP, 0);
	real_mode();
	CODE(0x66, 0xff, 0x1e, 0x00, 0x03);		/* call far [0x300], 16:32 */
	poke(0x20300, 0x200000000404, 6);
	expect_ok();
	CHECK_EQ(R(RIP), 0x404);
	CHECK_EQ(SEG(CS).selector, 0x2000);
	CHECK_EQ(R(RSP), 0x7f8);
	CHECK_EQ(sim_peek64(&sim, 0x407f8), 0x100000000105);
	real_mode();
	CODE(0x66, 0xea, 0, 0, 1, 0, 0, 0x20);		/* jmp 2000:10000 */
	expect_fault(EXC_GP, -1);
	real_mode();
	CODE(0x9a, 0, 4, 0, 0x20);			/* call: no room for CS */
	R(RSP) = 1;
	expect_fault(EXC_SS, -1);
	real_mode();
	CODE(0x9a, 0, 4, 0, 0x20);			/* and none for IP */
	R(RSP) = 3;
	expect_fault(EXC_SS, -1);
	real_mode();
	CODE(0xcb);					/* retf: CS is beyond the end */
	SEG(SS).limit = 0x802;
	expect_fault(EXC_SS, -1);
}

static void interrupt_returns(void)
{
	real_mode();
	CODE(0x66, 0xcf);				/* iretd */
	poke(0x40800, 0x0000200000001234, 8);
	poke(0x40808, 0x003fffff, 4);
	R(RFLAGS) = 2;
	expect_ok();
	CHECK_EQ(R(RIP), 0x1234);
	CHECK_EQ(SEG(CS).base, 0x20000);
	CHECK_EQ(R(RFLAGS), 0x247fd7);			/* not RF, VM, VIF, VIP */
	CHECK_EQ(R(RSP), 0x80c);
	real_mode();
	CODE(0xcf);
	poke(0x40800, 0xffff20001234, 6);
	R(RFLAGS) = 0x00240002;				/* 16 bits: the rest stays */
	expect_ok();
	CHECK_EQ(R(RFLAGS), 0x247fd7);
	real_mode();
	CODE(0xcf);					/* the flags are beyond the end */
	poke(0x40800, 0x20001234, 4);
	SEG(SS).limit = 0x804;
	expect_fault(EXC_SS, -1);
	real_mode();
	CODE(0x66, 0xcf);				/* EIP beyond the limit */
	poke(0x40800, 0x0000200000011234, 8);
	expect_fault(EXC_GP, -1);
}

/* PUSHF and POPF are virtual-8086 mode's own business with IOPL 3 only. */
static void flags_in_vm86(void)
{
	vm86_mode();
	CODE(0x9c);
	expect_fault(EXC_GP, 0);
	sim.s.cr[4] |= CR4_VME;
	expect_unhandleable();
	R(RFLAGS) |= FL_IOPL;
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x407fe) & 0xffff, 0x3002);
	vm86_mode();
	CODE(0x9d);
	poke(0x40800, 0x4fd7, 2);
	expect_fault(EXC_GP, 0);
	R(RFLAGS) |= FL_IOPL;
	expect_ok();
	CHECK_EQ(R(RFLAGS), 0x27fd7);			/* IF is changed, IOPL is not */
	vm86_mode();
	CODE(0x8e, 0xd8);				/* mov ds, ax: as in real mode */
	R(RAX) = 0x4321;
	expect_ok();
	CHECK_EQ(SEG(DS).base, 0x43210);
	flat(INSN_PROT32);
	CODE(0x63, 0xc0);				/* arpl is not done */
	expect_unhandleable();
}

/* POPF by privilege: IOPL at CPL 0, IF up to IOPL. */
static void popping_flags(void)
{
	static const struct { u8 cpl, iopl; u64 want; } t[] = {
		{ 0, 0, 0x247fd7 }, { 3, 0, 0x244dd7 }, { 3, 3, 0x247fd7 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		at(INSN_LONG, t[i].cpl);
		R(RFLAGS) = 2 | t[i].iopl << 12;
		poke(STACK, 0xffffffffffffffff, 8);
		CODE(0x9d);
		expect_ok();
		CHECK_EQ(R(RFLAGS), t[i].want);
	}
}

/* The TSS and its bitmap, at 0x13000. */
static void tss(u16 map, u32 limit)
{
	SEG(TR) = (struct insn_segment){ .base = 0x14000, .limit = limit, .type = 11, .present = 1 };
	poke(0x14000 + 102, map, 2);
}

static void bitmap(void)
{
	unsigned int size;

	for (size = 1; size <= 4; size *= 2) {
		static const u8 in[4][2] = { { 0xec }, { 0x66, 0xed }, {}, { 0xed } };

		flat_user(INSN_PROT32);
		tss(0x68, 0x200);
		poke(0x14068 + 0x3f8 / 8, (u16)~(((1 << size) - 1) << 7), 2);
		R(RDX) = 0x3ff;				/* over a byte's end */
		code(in[size - 1], 2);
		expect_ok();
		R(RIP) = START;
		R(RDX) = 0x3fe;
		expect_fault(EXC_GP, 0);
	}
	flat_user(INSN_PROT32);				/* two bytes are read: the second is missing */
	tss(0x68, 0x68 + 0x3f8 / 8);
	CODE(0xec);
	R(RDX) = 0x3f8;
	expect_fault(EXC_GP, 0);
	SEG(TR).limit++;
	expect_ok();
	flat_user(INSN_PROT32);
	CODE(0xec);
	tss(0x68, 0x66);				/* too short to have one */
	expect_fault(EXC_GP, 0);
	tss(0x68, 0x200);
	SEG(TR).type = 3;				/* a 16-bit TSS */
	expect_fault(EXC_GP, 0);
	SEG(TR).type = 9;
	expect_ok();
	R(RIP) = START;
	SEG(TR).base = 0x30000;				/* page faults are the supervisor's */
	expect_page_fault(0x30000 + 102, 0);
	SEG(TR).base = 0x14f80;
	poke(0x14f80 + 102, 0x80, 2);
	expect_page_fault(0x15000, 0);
	vm86_mode();					/* in virtual-8086 mode IOPL does not count */
	R(RFLAGS) |= FL_IOPL;
	SEG(TR).unusable = 1;
	CODE(0xec);
	expect_fault(EXC_GP, 0);
}

static void alignment(void)
{
	flat_user(INSN_PROT32);
	R(RFLAGS) |= FL_AC;
	CODE(0x66, 0xc5, 0x03);				/* lds ax, [ebx]: aligned as its offset */
	R(RBX) = 0x11002;
	gdt(1, descriptor(0, 0xff, P | DPL3 | S | RW, 4));
	poke(0x11002, 0x000b1234, 4);
	expect_ok();
	R(RIP) = START;
	SEG(DS) = SEG(ES);
	R(RBX)++;
	expect_fault(EXC_AC, 0);
	CODE(0xc5, 0x03);				/* lds eax, [ebx] */
	R(RBX) = 0x11002;
	expect_fault(EXC_AC, 0);
	R(RBX) = 0x11004;
	poke(0x11004, 0x000b00001234, 6);
	expect_ok();
	flat_user(INSN_LONG);				/* a matter of CR0.AM, too */
	R(RFLAGS) |= FL_AC;
	sim.s.cr[0] &= ~CR0_AM;
	CODE(0x8b, 0x03);
	R(RBX) = 0x11002;
	expect_ok();
	flat_user(INSN_LONG);				/* cmpxchg16b: #GP whatever AC says */
	R(RFLAGS) |= FL_AC;
	CODE(0x48, 0x0f, 0xc7, 0x0b);
	R(RBX) = 0x11008;
	expect_fault(EXC_GP, 0);
	CODE(0x0f, 0xc7, 0x0b);				/* cmpxchg8b: a common operand */
	expect_ok();
	R(RIP) = START;
	R(RBX) = 0x11004;
	expect_fault(EXC_AC, 0);
}

static const struct test tests[] = {
	{ "insn-segment-loads", loading },
	{ "insn-null-selectors", null_selectors },
	{ "insn-descriptor-tables", descriptor_tables },
	{ "insn-pop-and-lds", other_loads },
	{ "insn-segment-types", types },
	{ "insn-segment-limits", limits },
	{ "insn-stack-ends", stack_ends },
	{ "insn-far-branches", far_branches },
	{ "insn-iret", interrupt_returns },
	{ "insn-flags-in-vm86", flags_in_vm86 },
	{ "insn-popf", popping_flags },
	{ "insn-io-bitmap", bitmap },
	{ "insn-ac", alignment },
};

TEST_MAIN(tests)
