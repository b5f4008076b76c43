// SPDX-License-Identifier: GPL-2.0-only
/* Privileged and system instructions: what they do, and all that they refuse. */
#include "vectors.h"

/* What an op that the simulated vCPU lacks was asked. */
static struct { u32 msr; u64 val; int result; } asked;

static int own_rdmsr(void *v, u32 msr, u64 *val, struct insn_fault *fault)
{
	(void)v;
	asked.msr = msr;
	*val = asked.val;
	*fault = (struct insn_fault){ .vector = EXC_GP, .has_error = true };
	return asked.result;
}

static int own_wrmsr(void *v, u32 msr, u64 val, struct insn_fault *fault)
{
	asked.val = val;
	return own_rdmsr(v, msr, &val, fault);
}

/* The vCPU with these ops of its own: back to those of sim.c by flat(). */
static struct insn_ops *own_ops(void)
{
	static struct insn_ops ops;

	ops = *sim.ctx.ops;
	sim.ctx.ops = &ops;
	return &ops;
}

static void again(void)
{
	R(RIP) = START;
}

struct bytes {
	u8 len;
	u8 b[8];
};

static void put(const struct bytes *insn)
{
	R(RIP) = START;
	code(insn->b, insn->len);
}

/* #GP(0) at CPL 3, even if operands are nowhere. */
static void forbidden(void)
{
	static const struct bytes t[] = {
		{ 1, { 0xf4 } },			/* hlt */
		{ 2, { 0x0f, 0x06 } },			/* clts */
		{ 2, { 0x0f, 0x08 } },			/* invd */
		{ 2, { 0x0f, 0x09 } },			/* wbinvd */
		{ 2, { 0x0f, 0x30 } },			/* wrmsr */
		{ 2, { 0x0f, 0x32 } },			/* rdmsr */
		{ 3, { 0x0f, 0x20, 0xc0 } },		/* mov eax, cr0 */
		{ 3, { 0x0f, 0x22, 0xd8 } },		/* mov cr3, eax */
		{ 3, { 0x0f, 0x21, 0xf8 } },		/* mov eax, dr7 */
		{ 3, { 0x0f, 0x23, 0xc0 } },		/* mov dr0, eax */
		{ 3, { 0x0f, 0x01, 0x10 } },		/* lgdt [rax] */
		{ 3, { 0x0f, 0x01, 0x18 } },		/* lidt [rax] */
		{ 3, { 0x0f, 0x01, 0x30 } },		/* lmsw [rax] */
		{ 3, { 0x0f, 0x01, 0xf0 } },		/* lmsw ax */
		{ 3, { 0x0f, 0x01, 0x38 } },		/* invlpg [rax] */
		{ 3, { 0x0f, 0x01, 0xd1 } },		/* xsetbv */
		{ 1, { 0xfa } },			/* cli */
		{ 1, { 0xfb } },			/* sti */
		{ 1, { 0xee } },			/* out dx, al */
		{ 2, { 0xe5, 0x10 } },			/* in eax, 0x10 */
		{ 1, { 0x6c } },			/* insb */
		{ 1, { 0x6f } },			/* outsd */
	};
	static const enum insn_cpu_mode modes[] = { INSN_LONG, INSN_PROT32, INSN_PROT16 };
	size_t i, m;

	for (m = 0; m < ARRAY_SIZE(modes); m++) {
		for (i = 0; i < ARRAY_SIZE(t); i++) {
			flat_user(modes[m]);
			R(RAX) = 0x7000;
			put(&t[i]);
			expect_fault(EXC_GP, 0);
		}
	}
	flat_user(INSN_LONG);
	CODE(0x0f, 0x01, 0xf8);				/* swapgs */
	expect_fault(EXC_GP, 0);
}

static void at(enum insn_cpu_mode mode, bool user)
{
	if (user)
		flat_user(mode);
	else
		flat(mode);
}

/* #UD whatever the privilege, and before it counts. */
static void undefined(void)
{
	static const struct {
		struct bytes insn;
		bool long_mode, other;		/* where it is so */
	} t[] = {
		{ { 3, { 0x0f, 0x01, 0xf8 } }, false, true },		/* swapgs */
		{ { 4, { 0x66, 0x0f, 0x01, 0xd1 } }, true, true },	/* 66 xsetbv */
		{ { 4, { 0xf3, 0x0f, 0x01, 0xd1 } }, true, true },
		{ { 4, { 0x66, 0x0f, 0x01, 0xd0 } }, true, true },	/* 66 xgetbv */
		{ { 3, { 0x0f, 0x20, 0xc8 } }, true, true },		/* mov eax, cr1 */
		{ { 3, { 0x0f, 0x22, 0xe8 } }, true, true },		/* mov cr5, eax */
		{ { 3, { 0x0f, 0x20, 0xf8 } }, true, true },		/* mov eax, cr7 */
		{ { 4, { 0x44, 0x0f, 0x22, 0xc8 } }, true, false },	/* mov cr9, rax */
		{ { 4, { 0x44, 0x0f, 0x21, 0xc0 } }, true, false },	/* mov rax, dr8 */
		{ { 4, { 0xf0, 0x0f, 0x20, 0xd0 } }, true, true },	/* lock mov eax, cr2 */
		{ { 4, { 0xf0, 0x0f, 0x21, 0xc0 } }, true, true },	/* lock mov eax, dr0 */
		{ { 4, { 0x66, 0x0f, 0x01, 0xca } }, true, true },	/* 66 clac */
		{ { 2, { 0x8e, 0xc8 } }, true, true },			/* mov cs, ax */
		{ { 2, { 0x8e, 0x08 } }, true, true },			/* mov cs, [rax] */
		{ { 2, { 0x8e, 0x30 } }, true, true },			/* no segment register */
		{ { 2, { 0x8c, 0x38 } }, true, true },
		{ { 3, { 0xf0, 0x0f, 0x06 } }, true, true },		/* lock clts */
		{ { 2, { 0x0f, 0x0b } }, true, true },
		{ { 3, { 0x0f, 0xb9, 0xc0 } }, true, true },
		{ { 3, { 0x0f, 0xff, 0xc0 } }, true, true },
	};
	unsigned int user;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		for (user = 0; user < 2; user++) {
			if (t[i].long_mode) {
				at(INSN_LONG, user);
				R(RAX) = 0x7000;
				put(&t[i].insn);
				expect_fault(EXC_UD, -1);
			}
			if (t[i].other) {
				at(INSN_PROT32, user);
				R(RAX) = 0x7000;
				put(&t[i].insn);
				expect_fault(EXC_UD, -1);
			}
		}
	}
}

/* #UD at CPL 3, done at CPL 0. */
static void undefined_to_users(void)
{
	static const struct bytes t[] = {
		{ 3, { 0x0f, 0x01, 0xc8 } },		/* monitor */
		{ 3, { 0x0f, 0x01, 0xc9 } },		/* mwait */
		{ 3, { 0x0f, 0x01, 0xca } },		/* clac */
		{ 3, { 0x0f, 0x01, 0xcb } },		/* stac */
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		flat_user(INSN_LONG);
		put(&t[i]);
		expect_fault(EXC_UD, -1);
		flat(INSN_LONG);
		put(&t[i]);
		expect_ok();
	}
	flat(INSN_LONG);
	put(&t[1]);
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_MWAIT);
	flat(INSN_LONG);
	put(&t[2]);
	R(RFLAGS) |= FL_AC;
	expect_ok();
	CHECK(!(R(RFLAGS) & FL_AC));
	flat(INSN_PROT32);			/* monitor ss:[eax], beyond the limit */
	SEG(SS).limit = 0xfff;
	R(RAX) = 0x1000;
	CODE(0x36, 0x0f, 0x01, 0xc8);
	expect_fault(EXC_SS, 0);
}

static void control_registers(void)
{
	static const u8 numbers[] = { 0, 2, 3, 4 };
	u8 from[] = { 0x0f, 0x20, 0 }, to[] = { 0x0f, 0x22, 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		flat(INSN_LONG);
		from[2] = 0xc3 | numbers[i] << 3;		/* mov rbx, crN */
		to[2] = 0xc6 | numbers[i] << 3;			/* mov crN, rsi */
		sim.s.cr[numbers[i]] = 0x8899aabbccddeeff;
		code(from, 3);
		expect_ok();
		CHECK_EQ(R(RBX), 0x8899aabbccddeeff);
		again();
		R(RSI) = 0x1122334455667788;
		code(to, 3);
		expect_ok();
		CHECK_EQ(sim.s.cr[numbers[i]], 0x1122334455667788);
		CHECK_EQ(R(RIP), START + 3);
		flat(INSN_PROT16);				/* 32 bits whatever the mode */
		sim.s.cr[numbers[i]] = 0xccddeeff;
		R(RBX) = ~0ull;
		code(from, 3);
		expect_ok();
		CHECK_EQ(R(RBX), 0xccddeeff);
		again();
		R(RSI) = 0x1122334455667788;
		code(to, 3);
		expect_ok();
		CHECK_EQ(sim.s.cr[numbers[i]], 0x55667788);
	}
	flat(INSN_LONG);
	CODE(0x0f, 0x22, 0x00);				/* ModRM.mod does not count */
	R(RAX) = 0x80050033;
	expect_ok();
	CHECK_EQ(sim.s.cr[0], 0x80050033);
	flat(INSN_LONG);
	sim.refused_cr = 4;
	CODE(0x0f, 0x22, 0xe0);				/* a value that the CPU refuses */
	expect_fault(EXC_GP, 0);
	flat(INSN_LONG);
	sim.s.cr[0] = 0x8005003b;
	CODE(0x0f, 0x06);				/* clts */
	expect_ok();
	CHECK_EQ(sim.s.cr[0], 0x80050033);
	flat(INSN_PROT32);
	sim.s.cr[0] = 0x80050031;
	CODE(0x0f, 0x01, 0x35, 0, 0x10, 1, 0);		/* lmsw [0x11000] */
	poke(0x11000, 0xffff, 2);
	expect_ok();
	CHECK_EQ(sim.s.cr[0], 0x8005003f);
}

static void debug_registers(void)
{
	flat(INSN_PROT32);
	CODE(0x0f, 0x23, 0xec);				/* mov dr5, esp = dr7 */
	expect_ok();
	CHECK_EQ(sim.s.dr[7], STACK);
	again();
	sim.s.cr[4] |= CR4_DE;
	expect_fault(EXC_UD, -1);
	flat(INSN_LONG);
	CODE(0x0f, 0x21, 0xc2);				/* mov rdx, dr0 */
	sim.s.dr[0] = 0x1122334455667788;
	expect_ok();
	CHECK_EQ(R(RDX), 0x1122334455667788);
}

static void msrs(void)
{
	struct insn_ops *ops;

	flat(INSN_LONG);
	CODE(0x0f, 0x30);				/* wrmsr */
	R(RCX) = 0xffffffff00000174;
	R(RAX) = 0xdddddddd00000010;
	R(RDX) = 0xeeeeeeee00000020;
	expect_ok();
	CHECK_EQ(sim.s.msr_value + 0x174, 0x0000002000000010);
	CHECK_EQ(R(RAX), 0xdddddddd00000010);
	again();
	R(RCX) = 0xdead;
	expect_fault(EXC_GP, 0);
	ops = own_ops();				/* the exits' own way */
	ops->rdmsr = own_rdmsr;
	ops->wrmsr = own_wrmsr;
	asked.result = INSN_OK;
	R(RCX) = 0x1b;
	expect_ok();
	CHECK_EQ(asked.msr, 0x1b);
	CHECK_EQ(asked.val, 0x0000002000000010);
	again();
	CODE(0x0f, 0x32);				/* rdmsr */
	asked.val = 0x8877665544332211;
	expect_ok();
	CHECK_EQ(R(RAX), 0x44332211);
	CHECK_EQ(R(RDX), 0x88776655);
	again();
	asked.result = INSN_FAULT;
	expect_fault(EXC_GP, 0);
}

static void tables(void)
{
	static const enum insn_cpu_mode modes[] = { INSN_PROT32, INSN_LONG };
	unsigned int size;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		flat(modes[i]);
		size = modes[i] == INSN_LONG ? 10 : 6;
		R(RAX) = 0x11ffa;			/* over a page's border */
		sim.s.tables[INSN_IDTR] = (struct insn_table_reg){ 0xffff888811112222, 0x1234 };
		CODE(0x0f, 0x01, 0x08);			/* sidt [rax] */
		poke(0x11ffa + size, 0x55, 1);
		expect_ok();
		CHECK_EQ(sim_peek64(&sim, 0x11ffa) & 0xffffffffffff, 0x111122221234);
		CHECK_EQ(sim_peek64(&sim, 0x11ffa + size) & 0xff, 0x55);
		again();
		CODE(0x0f, 0x01, 0x10);			/* lgdt [rax] */
		expect_ok();
		CHECK_EQ(sim.s.tables[INSN_GDTR].limit, 0x1234);
		CHECK_EQ(sim.s.tables[INSN_GDTR].base,
			 modes[i] == INSN_LONG ? 0xffff888811112222 : 0x11112222);
		again();
		R(RAX) = 0x14ffc;
		expect_page_fault(0x15000, 0);
	}
	flat(INSN_PROT32);
	CODE(0x66, 0x0f, 0x01, 0x18);			/* lidt with 16 bits: 24 of the base */
	R(RAX) = 0x11000;
	poke(0x11000, 0xaabbccddeeff, 6);
	expect_ok();
	CHECK_EQ(sim.s.tables[INSN_IDTR].base, 0xbbccdd);
	real_mode();
	CODE(0x0f, 0x01, 0x16, 0x00, 0x03);		/* lgdt [0x300] */
	poke(0x20300, 0x7f ^ 0xaabbccdd0000, 6);
	expect_ok();
	CHECK_EQ(sim.s.tables[INSN_GDTR].base, 0xbbccdd);
	CHECK_EQ(sim.s.tables[INSN_GDTR].limit, 0x7f);
	flat_user(INSN_LONG);				/* sgdt, by CR4.UMIP */
	CODE(0x0f, 0x01, 0x00);
	R(RAX) = 0x11000;
	expect_ok();
	again();
	sim.s.cr[4] |= CR4_UMIP;
	expect_fault(EXC_GP, 0);
}

static void selectors(void)
{
	flat_user(INSN_LONG);
	SEG(LDTR).selector = 0x1234;
	CODE(0x0f, 0x00, 0xc0);				/* sldt eax */
	R(RAX) = ~0ull;
	expect_ok();
	CHECK_EQ(R(RAX), 0x1234);
	again();
	CODE(0x0f, 0x00, 0x00);				/* sldt [rax]: 16 bits */
	R(RAX) = 0x11000;
	poke(0x11000, ~0ull, 8);
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x11000), 0xffffffffffff1234);
	real_mode();
	CODE(0x0f, 0x00, 0xc0);
	expect_fault(EXC_UD, -1);
	real_mode();
	CODE(0x0f, 0x00, 0xc8);				/* str ax */
	expect_fault(EXC_UD, -1);
	vm86_mode();
	CODE(0x0f, 0x00, 0xc8);
	expect_fault(EXC_UD, -1);
	flat_user(INSN_LONG);
	sim.s.cr[4] |= CR4_UMIP;
	CODE(0x0f, 0x01, 0xe0);				/* smsw eax */
	expect_fault(EXC_GP, 0);
}

static void extended_control(void)
{
	static const struct bytes xgetbv = { 3, { 0x0f, 0x01, 0xd0 } };
	static const struct bytes xsetbv = { 3, { 0x0f, 0x01, 0xd1 } };

	flat_user(INSN_LONG);
	put(&xgetbv);
	sim.s.xcr0 = 0x00000001000000e7;
	R(RCX) = 0xabcd00000000;
	expect_ok();
	CHECK_EQ(R(RAX), 0xe7);
	CHECK_EQ(R(RDX), 1);
	again();
	R(RCX) = 2;
	expect_fault(EXC_GP, 0);
	sim.s.cr[4] &= ~CR4_OSXSAVE;
	expect_fault(EXC_UD, -1);
	put(&xsetbv);
	expect_fault(EXC_UD, -1);
	flat(INSN_LONG);
	put(&xsetbv);
	R(RAX) = 3;
	R(RDX) = 5;
	expect_ok();
	CHECK_EQ(sim.s.xcr0, 0x500000003);
	again();
	sim.refused_cr = INSN_XCR0;
	expect_fault(EXC_GP, 0);
}

static void interrupt_flag(void)
{
	flat(INSN_LONG);
	CODE(0xfb);					/* sti */
	R(RFLAGS) |= FL_IF;
	expect_ok();
	CHECK_EQ(sim.ctx.shadow, 0);
	again();
	CODE(0xfa);					/* cli */
	expect_ok();
	CHECK(!(R(RFLAGS) & FL_IF));
	flat_user(INSN_PROT32);
	CODE(0xfb);
	R(RFLAGS) |= FL_IOPL;
	expect_ok();
	CHECK(R(RFLAGS) & FL_IF);
	flat_user(INSN_PROT32);				/* PVI: a flag that we have not */
	CODE(0xfa);
	sim.s.cr[4] |= 2;
	expect_unhandleable();
	vm86_mode();				/* VME */
	CODE(0xfb);
	sim.s.cr[4] |= CR4_VME;
	expect_unhandleable();
	vm86_mode();
	CODE(0xfb);
	expect_fault(EXC_GP, 0);
}

static void time_and_cpu(void)
{
	flat_user(INSN_LONG);
	CODE(0x0f, 0x31);				/* rdtsc */
	sim.s.msr_value = 0x1122334400000000;
	R(RAX) = ~0ull;
	R(RDX) = ~0ull;
	expect_ok();
	CHECK_EQ(R(RAX), 0x10);
	CHECK_EQ(R(RDX), 0x11223344);
	again();
	CODE(0x0f, 0x01, 0xf9);				/* rdtscp */
	sim.s.cr[4] |= CR4_TSD;
	expect_fault(EXC_GP, 0);
	again();
	CODE(0xf3, 0x0f, 0xc7, 0xf8);			/* rdpid rax */
	sim.s.msr_value = 0;
	expect_ok();
	CHECK_EQ(R(RAX), 0xc0000103);
}

static void swapping_gs(void)
{
	flat(INSN_LONG);
	CODE(0x0f, 0x01, 0xf8);
	SEG(GS).base = 0xffff800000001000;
	SEG(GS).selector = 0x77;
	sim.s.msr_value = 0x1234 - 0xc0000102ull;
	expect_ok();
	CHECK_EQ(SEG(GS).base, 0x1234);
	CHECK_EQ(SEG(GS).selector, 0x77);
	CHECK_EQ(sim.s.msr_value + 0xc0000102, 0xffff800000001000);
}

static void caches(void)
{
	flat_user(INSN_LONG);
	CODE(0x0f, 0xae, 0x38);				/* clflush [rax] */
	R(RAX) = 0x14fff;				/* one byte */
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_CLFLUSH + 0x14fff);
	again();
	R(RAX) = 0x15000;
	expect_page_fault(0x15000, 4);
	R(RAX) = 0x8000000000000000;
	expect_fault(EXC_GP, 0);
	CODE(0x66, 0x0f, 0xae, 0x30);			/* clwb [rax] */
	R(RAX) = 0x15000;
	expect_page_fault(0x15000, 4);
	flat(INSN_LONG);
	CODE(0x0f, 0x08);				/* invd */
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_INVD);
	flat(INSN_LONG);
	CODE(0x0f, 0x09);				/* wbinvd */
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_WBINVD);
	flat(INSN_PROT32);				/* invlpg of anything */
	CODE(0x0f, 0x01, 0x38);
	R(RAX) = 0xfffff000;
	SEG(DS).base = 0x2000;
	SEG(DS).limit = 0;
	expect_ok();
	CHECK_EQ(sim.s.sys_calls, INSN_SYS_INVLPG + 0x1000);
}

/* Each op may be missing: then what needs it is not done, and nothing is changed. */
static void without_ops(void)
{
	static const struct {
		size_t op;
		struct bytes insn;
	} t[] = {
#define WITHOUT(op) offsetof(struct insn_ops, op)
		{ WITHOUT(sys), { 1, { 0xf4 } } },
		{ WITHOUT(get_cr), { 3, { 0x0f, 0x20, 0xc0 } } },
		{ WITHOUT(get_cr), { 2, { 0x0f, 0x06 } } },
		{ WITHOUT(get_cr), { 2, { 0x0f, 0x31 } } },
		{ WITHOUT(get_cr), { 3, { 0x0f, 0x01, 0xd0 } } },
		{ WITHOUT(get_cr), { 3, { 0x0f, 0x10, 0x00 } } },	/* movups xmm0, [rax] */
		{ WITHOUT(set_cr), { 3, { 0x0f, 0x22, 0xc0 } } },
		{ WITHOUT(get_dr), { 3, { 0x0f, 0x21, 0xc0 } } },
		{ WITHOUT(set_dr), { 3, { 0x0f, 0x23, 0xc0 } } },
		{ WITHOUT(get_msr), { 2, { 0x0f, 0x32 } } },
		{ WITHOUT(get_msr), { 3, { 0x0f, 0x01, 0xf8 } } },
		{ WITHOUT(set_msr), { 2, { 0x0f, 0x30 } } },
		{ WITHOUT(cpuid), { 2, { 0x0f, 0xa2 } } },
		{ WITHOUT(get_table), { 3, { 0x0f, 0x01, 0x00 } } },
		{ WITHOUT(get_table), { 2, { 0x8e, 0xd8 } } },
		{ WITHOUT(set_table), { 3, { 0x0f, 0x01, 0x10 } } },
		{ WITHOUT(set_segment), { 3, { 0x0f, 0x01, 0xf8 } } },
		{ WITHOUT(set_segment), { 2, { 0x8e, 0xd9 } } },	/* mov ds, cx: null */
		{ WITHOUT(vec_read), { 3, { 0x0f, 0x11, 0x00 } } },
		{ WITHOUT(vec_write), { 3, { 0x0f, 0x10, 0x00 } } },
		{ WITHOUT(pio_in), { 1, { 0xec } } },
		{ WITHOUT(pio_in), { 1, { 0x6c } } },
		{ WITHOUT(pio_out), { 1, { 0xef } } },
		{ WITHOUT(pio_out), { 1, { 0x6e } } },
	};
	struct insn_ops *ops;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		flat(INSN_LONG);
		R(RAX) = 0x11000;
		put(&t[i].insn);
		ops = own_ops();
		memset((u8 *)ops + t[i].op, 0, sizeof(void *));
		expect_unhandleable();
	}
	flat(INSN_LONG);				/* cmpxchg: a write will do */
	CODE(0xf0, 0xff, 0x00);				/* lock inc dword [rax] */
	R(RAX) = 0x11000;
	own_ops()->cmpxchg = NULL;
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x11000), 1);
	flat(INSN_LONG);				/* probe: nothing is known before */
	CODE(0xf3, 0x6d);				/* rep insd */
	R(RCX) = 2;
	R(RDI) = 0x11ffe;
	own_ops()->probe = NULL;
	expect_ok();
	CHECK_EQ(R(RDI), 0x12006);
}

/* All privileged instructions are those of real mode, too, but those of #UD. */
static void in_real_mode(void)
{
	real_mode();
	CODE(0xfa);					/* cli */
	R(RFLAGS) |= FL_IF;
	expect_ok();
	CHECK(!(R(RFLAGS) & FL_IF));
	real_mode();
	CODE(0x0f, 0x20, 0xc0);				/* mov eax, cr0 */
	expect_ok();
	CHECK_EQ(R(RAX), 0x10);
	real_mode();
	CODE(0x0f, 0x01, 0x26, 0x00, 0x03);		/* smsw [0x300] */
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x20300), 0x10);
	real_mode();
	CODE(0xe4, 0x60);				/* in al, 0x60 */
	sim.s.port_in = 0x42;
	expect_ok();
	CHECK_EQ(R(RAX), 0x42);
	real_mode();
	CODE(0x63, 0xc0);				/* arpl ax, ax */
	expect_fault(EXC_UD, -1);
	real_mode();
	CODE(0x0f, 0x01, 0xf8);				/* swapgs */
	expect_fault(EXC_UD, -1);
}

static const struct test tests[] = {
	{ "insn-forbidden", forbidden },
	{ "insn-undefined", undefined },
	{ "insn-undefined-to-users", undefined_to_users },
	{ "insn-control-registers", control_registers },
	{ "insn-debug-registers", debug_registers },
	{ "insn-msrs", msrs },
	{ "insn-tables", tables },
	{ "insn-selectors", selectors },
	{ "insn-xcr0", extended_control },
	{ "insn-interrupt-flag", interrupt_flag },
	{ "insn-time", time_and_cpu },
	{ "insn-swapgs", swapping_gs },
	{ "insn-caches", caches },
	{ "insn-without-ops", without_ops },
	{ "insn-system-real", in_real_mode },
};

TEST_MAIN(tests)
