// SPDX-License-Identifier: GPL-2.0-only
/* String instructions on devices and RAM, whole and in pieces; accesses that fail half-way. */
#include "vectors.h"

/* Each test runs without user space and with it: nothing else may come out. */
static void start(enum insn_cpu_mode mode, bool user)
{
	flat(mode);
	sim.force_user = user;
}

static void fill(u64 linear, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		poke(linear + i, 0x11 * (i + 1), 1);
}

static bool filled(u64 linear, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < len; i++)
		if ((u8)sim_peek64(&sim, linear + i) != (u8)(0x11 * (i + 1)))
			return false;
	return true;
}

/* REP MOVS of each size, from and to RAM and device, forwards and backwards. */
static void moving(void)
{
	static const struct { u8 size, len, b[4]; } t[] = {
		{ 1, 2, { 0xf3, 0xa4 } }, { 2, 3, { 0x66, 0xf3, 0xa5 } }, { 4, 2, { 0xf3, 0xa5 } },
		{ 8, 3, { 0xf3, 0x48, 0xa5 } },
	};
	static const u64 from[] = { 0x11ffc, MMIO + 0x100 }, to[] = { MMIO + 0x800, 0x12ff4 };
	unsigned int i, k, user, down;

	for (i = 0; i < ARRAY_SIZE(t) * 16; i++) {
		unsigned int size = t[i / 16].size;
		u64 last = 2 * size;

		k = i & 1;
		user = i >> 1 & 1;
		down = i >> 2 & 1;
		start(INSN_LONG, user);
		fill(from[k], 3 * size);
		code(t[i / 16].b, t[i / 16].len);
		R(RSI) = from[k] + (down ? last : 0);
		R(RDI) = to[i >> 3 & 1] + (down ? last : 0);
		R(RCX) = 3;
		R(RFLAGS) |= down ? FL_DF : 0;
		expect_ok();
		CHECK(filled(to[i >> 3 & 1], 3 * size));
		CHECK_EQ(R(RSI), from[k] + (down ? -(u64)size : 3 * size));
		CHECK_EQ(R(RDI), to[i >> 3 & 1] + (down ? -(u64)size : 3 * size));
		CHECK_EQ(R(RCX), 0);
		CHECK_EQ(R(RIP), START + t[i / 16].len);
		if (k)
			CHECK(sim.s.mmio_reads >= 3);
	}
}

static void comparing(void)
{
	unsigned int user;

	for (user = 0; user < 2; user++) {
		start(INSN_PROT32, user);
		CODE(0xf3, 0xa6);			/* repe cmpsb, two devices */
		fill(MMIO, 8);
		fill(MMIO + 0x100, 8);
		poke(MMIO + 0x103, 0, 1);
		R(RSI) = MMIO;
		R(RDI) = MMIO + 0x100;
		R(RCX) = 8;
		expect_ok();
		CHECK_EQ(R(RCX), 4);
		CHECK_EQ(R(RSI), MMIO + 4);
		CHECK(!(R(RFLAGS) & FL_ZF));
		CHECK_EQ(sim.s.mmio_reads, 8);
		start(INSN_PROT32, user);
		CODE(0xf2, 0xaf);			/* repne scasd */
		poke(MMIO + 8, 0x12345678, 4);
		R(RAX) = 0x12345678;
		R(RDI) = MMIO;
		R(RCX) = 5;
		expect_ok();
		CHECK_EQ(R(RCX), 2);
		CHECK(R(RFLAGS) & FL_ZF);
		start(INSN_PROT32, user);
		CODE(0xac);				/* lodsb */
		fill(MMIO, 1);
		R(RAX) = 0x99999999;
		R(RSI) = MMIO;
		expect_ok();
		CHECK_EQ(R(RAX), 0x99999911);
		CHECK_EQ(sim.s.mmio_reads, 1);
		start(INSN_LONG, user);
		CODE(0xf3, 0x67, 0xab);			/* rep stosd, 32-bit addresses */
		R(RAX) = 0x44332211;
		R(RDI) = 0x100000000 | MMIO;
		R(RCX) = 0x100000002;
		expect_ok();
		CHECK_EQ(R(RDI), MMIO + 8);
		CHECK_EQ(R(RCX), 0);
		CHECK(filled(MMIO, 4) && filled(MMIO + 4, 4));
	}
}

/* In real mode offsets wrap, and the source's segment may be another. */
static void real(void)
{
	real_mode();
	CODE(0xf3, 0x26, 0xa4);				/* rep movsb es:[si] */
	sim_add_page(&sim, 0x3f000, SIM_RW);
	poke(0x3ffff, 0x5a, 1);
	poke(0x30000, 0xa5, 1);
	R(RSI) = 0xabcdffff;
	R(RDI) = 0x200;
	R(RCX) = 0x10002;
	expect_ok();
	CHECK_EQ(sim_peek64(&sim, 0x30200) & 0xffff, 0xa55a);
	CHECK_EQ(R(RSI), 0xabcd0001);
	CHECK_EQ(R(RCX), 0x10000);
	real_mode();
	CODE(0xab);					/* stosw beyond the end */
	R(RDI) = 0xffff;
	expect_fault(EXC_GP, -1);
	real_mode();
	CODE(0x6f);					/* outsw: a word of RAM */
	poke(0x20010, 0x1234, 2);
	R(RSI) = 0x10;
	R(RDX) = 0x80;
	expect_ok();
	CHECK_EQ(sim.s.port_out, (0x34 + 0x80) * 31 + 0x12 + 0x80);
}

/* What a single element meets, a batch must meet, too, and at the same element. */
static void faults(void)
{
	unsigned int user;

	for (user = 0; user < 2; user++) {
		start(INSN_LONG, user);
		CODE(0xf3, 0x6d);			/* rep insd into the end of RAM */
		R(RDI) = 0x14ff4;
		R(RCX) = 5;
		CHECK_EQ(sim_run(&sim), INSN_FAULT);
		CHECK_EQ(sim.ctx.fault.address, 0x15000);
		CHECK_EQ(R(RCX), 2);
		CHECK_EQ(R(RDI), 0x15000);
		CHECK_EQ(R(RIP), START);
		start(INSN_PROT32, user);
		CODE(0xf3, 0x6f);			/* rep outsd up to the limit */
		SEG(DS).limit = 0x11007;
		R(RSI) = 0x11000;
		R(RCX) = 3;
		CHECK_EQ(sim_run(&sim), INSN_FAULT);
		CHECK_EQ(sim.ctx.fault.vector, EXC_GP);
		CHECK_EQ(R(RCX), 1);
		CHECK_EQ(R(RSI), 0x11008);
		start(INSN_PROT32, user);
		CODE(0xf3, 0xa4);			/* rep movsb into what is read-only */
		sim_add_page(&sim, 0x12000, SIM_RO);
		R(RSI) = 0x11000;
		R(RDI) = 0x11ffe;
		R(RCX) = 9;
		CHECK_EQ(sim_run(&sim), INSN_FAULT);
		CHECK_EQ(sim.ctx.fault.error_code, 3);
		CHECK_EQ(sim.ctx.fault.address, 0x12000);
		CHECK_EQ(R(RCX), 7);
		CHECK_EQ(R(RDI), 0x12000);
		CHECK(R(RFLAGS) & FL_RF);
		start(INSN_PROT32, user);
		CODE(0x6d);				/* no port is read for nothing */
		R(RDI) = 0x15000;
		expect_page_fault(0x15000, 2);
		CHECK_EQ(sim.s.port_in, 0);
	}
}

/* Batches end with the page, with the buffer, with 16-bit offsets. */
static void batches(void)
{
	flat(INSN_LONG);
	CODE(0xf3, 0x6c);				/* rep insb */
	R(RDI) = 0x11e00;
	R(RCX) = 0x300;
	CHECK_EQ(sim_step(&sim), INSN_OK);
	CHECK_EQ(R(RCX), 0x100);
	CHECK_EQ(sim_step(&sim), INSN_OK);
	CHECK_EQ(R(RCX), 0);
	flat(INSN_LONG);
	CODE(0xf3, 0x6d);
	sim.ctx.bulk_size = 10;
	R(RDI) = 0x11000;
	R(RCX) = 8;
	CHECK_EQ(sim_step(&sim), INSN_OK);
	CHECK_EQ(R(RCX), 6);
	flat(INSN_LONG);				/* backwards, and without a buffer: one by one */
	CODE(0xf3, 0x6d);
	R(RFLAGS) |= FL_DF;
	R(RDI) = 0x11000;
	R(RCX) = 8;
	CHECK_EQ(sim_step(&sim), INSN_OK);
	CHECK_EQ(R(RCX), 7);
	R(RFLAGS) &= ~FL_DF;
	sim.ctx.bulk = NULL;
	CHECK_EQ(sim_step(&sim), INSN_OK);
	CHECK_EQ(R(RCX), 6);
	real_mode();
	CODE(0xf3, 0x6c);
	memset(sim_add_page(&sim, 0x3f000, SIM_RW), 0, SIM_PAGE);
	R(RDI) = 0xfffc;
	R(RCX) = 8;
	CHECK_EQ(sim_step(&sim), INSN_OK);
	CHECK_EQ(R(RCX), 5);
	expect_ok();
	CHECK_EQ(R(RDI), 4);
}

/* While user space serves a batch it may set other registers: they bound what is moved. */
static void changed_in_between(void)
{
	flat(INSN_LONG);
	sim.force_user = true;
	CODE(0xf3, 0x6c);
	R(RDI) = 0x11000;
	R(RCX) = 8;
	memset(sim_add_page(&sim, 0x11000, SIM_RW), 0xee, SIM_PAGE);
	CHECK_EQ(insn_emulate(&sim.ctx), INSN_USER);
	R(RCX) = 3;
	CHECK_EQ(insn_emulate(&sim.ctx), INSN_OK);
	CHECK_EQ(R(RCX), 0);
	CHECK_EQ(R(RDI), 0x11003);
	CHECK_EQ((u8)sim_peek64(&sim, 0x11003), 0xee);
	flat(INSN_LONG);				/* dropped: everything begins anew */
	sim.force_user = true;
	CODE(0xac);					/* lodsb */
	R(RSI) = MMIO;
	CHECK_EQ(insn_emulate(&sim.ctx), INSN_USER);
	insn_abandon(&sim.ctx);
	sim.pending.armed = false;
	sim.force_user = false;
	R(RSI) = 0x11000;
	poke(0x11000, 0x77, 1);
	expect_ok();
	CHECK_EQ(R(RAX), 0x77);
	flat(INSN_LONG);				/* not dropped: an access that cannot be */
	sim.force_user = true;
	CODE(0x8b, 0x03);				/* mov eax, [rbx] */
	R(RBX) = 0x11ffe;
	CHECK_EQ(insn_emulate(&sim.ctx), INSN_USER);
	CHECK_EQ(insn_emulate(&sim.ctx), INSN_USER);
	R(RBX) = 0x12ffe;
	CHECK_EQ(insn_emulate(&sim.ctx), INSN_UNHANDLEABLE);
}

/* Whichever access the host cannot make: nothing has changed but memory before it. */
static void failures(void)
{
	static const struct { u8 accesses, len, b[8]; } t[] = {
		{ 1, 2, { 0x8b, 0x03 } },		/* mov eax, [ebx] */
		{ 2, 2, { 0x01, 0x03 } },		/* add [ebx], eax */
		{ 1, 3, { 0xf0, 0x01, 0x03 } },		/* lock add: its write is another op */
		{ 1, 1, { 0x50 } },			/* push eax */
		{ 8, 1, { 0x60 } },			/* pusha */
		{ 8, 1, { 0x61 } },			/* popa */
		{ 2, 1, { 0xa4 } },			/* movsb */
		{ 2, 1, { 0xa6 } },			/* cmpsb */
		{ 1, 1, { 0xaa } },			/* stosb */
		{ 2, 3, { 0x0f, 0xc7, 0x0b } },		/* cmpxchg8b [ebx] */
		{ 2, 2, { 0xff, 0x33 } },		/* push [ebx] */
		{ 2, 2, { 0xff, 0x13 } },		/* call [ebx] */
		{ 2, 3, { 0x0f, 0x10, 0x03 } },		/* movups xmm0, [ebx]: two of 8 bytes */
		{ 2, 3, { 0x0f, 0x11, 0x03 } },
		{ 1, 3, { 0x0f, 0x01, 0x13 } },		/* lgdt [ebx] */
		{ 1, 2, { 0x8e, 0xd8 } },		/* mov ds, ax: its descriptor */
		{ 3, 2, { 0xc5, 0x03 } },		/* lds eax, [ebx]; it marks the descriptor */
		{ 1, 1, { 0x6c } },			/* insb */
		{ 1, 1, { 0x6e } },			/* outsb */
		{ 1, 1, { 0xd7 } },			/* xlat */
		{ 1, 1, { 0xc9 } },			/* leave */
		{ 1, 3, { 0xc2, 0x04, 0x00 } },		/* ret 4 */
	};
	struct sim_state before;
	unsigned int n;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		for (n = 0; n <= t[i].accesses; n++) {
			flat(INSN_PROT32);
			gdt(1, descriptor(0, 0xffff, t[i].b[0] == 0xc5 ? 0x92 : 0x93, 0xc));
			R(RAX) = 8;
			R(RBX) = 0x11000;
			R(RSI) = 0x11000;
			R(RDI) = 0x11800;
			R(RBP) = 0x12000;
			poke(0x11004, 8, 2);
			poke(0x12000, 0x10000, 4);
			code(t[i].b, t[i].len);
			before = sim.s;
			sim.failing = 2 + n;		/* behind the fetch */
			if (n == t[i].accesses) {
				expect_ok();
				continue;
			}
			CHECK_EQ(sim_step(&sim), INSN_UNHANDLEABLE);
			CHECK(!memcmp(before.regs, sim.s.regs, sizeof(before.regs)));
			CHECK(!memcmp(before.segs, sim.s.segs, sizeof(before.segs)));
			CHECK(!memcmp(before.vec, sim.s.vec, sizeof(before.vec)));
		}
	}
	flat(INSN_PROT32);
	sim.failing = 1;				/* the fetch itself */
	expect_unhandleable();
}

static const struct test tests[] = {
	{ "insn-movs", moving },
	{ "insn-cmps-scas", comparing },
	{ "insn-strings-real", real },
	{ "insn-string-faults", faults },
	{ "insn-batches", batches },
	{ "insn-changed-in-between", changed_in_between },
	{ "insn-failing-accesses", failures },
};

TEST_MAIN(tests)
