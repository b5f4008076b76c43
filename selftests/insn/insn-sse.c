// SPDX-License-Identifier: GPL-2.0-only
/* Vector moves beyond what this CPU may have, and all that bars them. */
#include "vectors.h"

static u8 pattern[64];

static void start(void)
{
	unsigned int i;

	flat(INSN_LONG);
	sim.s.xcr0 = 0xe7;
	rnd_seed(5);
	rnd_fill(pattern, sizeof(pattern));
	for (i = 0; i < 32; i++)
		rnd_fill(sim.s.vec[i], INSN_VEC_MAX);
}

/* An EVEX-encoded move of map 0F; MODRM r/m is [rax + disp8], or a register. */
struct evex {
	u8 pp, w, opcode, aligned, store;
};

static const struct evex moves[] = {
	{ 0, 0, 0x10, 0, 0 }, { 1, 1, 0x10, 0, 0 }, { 0, 0, 0x11, 0, 1 }, { 1, 1, 0x11, 0, 1 },
	{ 0, 0, 0x28, 1, 0 }, { 1, 1, 0x28, 1, 0 }, { 0, 0, 0x29, 1, 1 }, { 1, 1, 0x29, 1, 1 },
	{ 1, 0, 0x6f, 1, 0 }, { 1, 1, 0x6f, 1, 0 }, { 2, 0, 0x6f, 0, 0 }, { 2, 1, 0x6f, 0, 0 },
	{ 3, 0, 0x6f, 0, 0 }, { 3, 1, 0x6f, 0, 0 }, { 1, 0, 0x7f, 1, 1 }, { 1, 1, 0x7f, 1, 1 },
	{ 2, 0, 0x7f, 0, 1 }, { 2, 1, 0x7f, 0, 1 }, { 3, 0, 0x7f, 0, 1 }, { 3, 1, 0x7f, 0, 1 },
	{ 0, 0, 0x2b, 1, 1 }, { 1, 1, 0x2b, 1, 1 }, { 1, 0, 0xe7, 1, 1 },
};

/* @reg: 0 to 31; @rm: a register, or -1: [rax + @disp8 * length]. */
static void put_evex(const struct evex *m, unsigned int ll, unsigned int reg, int rm, u8 disp8)
{
	u8 b[7] = { 0x62, 0xf1, m->w << 7 | 0x7c | m->pp, 0x08 | ll << 5, m->opcode };

	b[1] ^= (reg & 8) << 4 | (reg & 16);
	b[5] = (reg & 7) << 3;
	if (rm < 0) {
		b[5] |= 0x40;
		b[6] = disp8;
	} else {
		b[5] |= 0xc0 | (rm & 7);
		b[1] ^= (rm & 8) << 2 | (rm & 16) << 2;
	}
	R(RIP) = START;
	code(b, rm < 0 ? 7 : 6);
}

static bool is_zero(const u8 *p, unsigned int len)
{
	while (len--)
		if (*p++)
			return false;
	return true;
}

static void evex_memory(void)
{
	unsigned int ll, reg, len;
	u8 out[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		for (ll = 0; ll < 3; ll++) {
			len = 16 << ll;
			start();
			reg = (i * 3 + ll) % 32;
			sim.force_user = i & 1;
			R(RAX) = 0x11800;
			put_evex(&moves[i], ll, reg, -1, 0xfe);
			sim_poke(&sim, 0x11800 - 2 * len, pattern, 64);
			expect_ok();
			CHECK_EQ(R(RIP), START + 7);
			sim_peek(&sim, 0x11800 - 2 * len, out, 64);
			if (moves[i].store) {
				CHECK(!memcmp(out, sim.s.vec[reg], len));
				CHECK(!memcmp(out + len, pattern + len, 64 - len));
			} else {
				CHECK(!memcmp(out, sim.s.vec[reg], len));
				CHECK(is_zero(sim.s.vec[reg] + len, 64 - len));
			}
			R(RAX) += len / 2;			/* not aligned to its length */
			R(RIP) = START;
			if (moves[i].aligned)
				expect_fault(EXC_GP, 0);
			else
				expect_ok();
			R(RIP) = START;
			R(RAX) = 0x15000 + 2 * len - 8;		/* half of it is not there */
			if (!moves[i].aligned)
				expect_page_fault(0x15000, moves[i].store ? 2 : 0);
		}
	}
}

static void evex_registers(void)
{
	unsigned int ll, len, from, to;
	u8 before[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		for (ll = 0; ll < 3; ll++) {
			len = 16 << ll;
			start();
			from = moves[i].store ? 17 + ll : 10 + ll;
			to = moves[i].store ? 10 + ll : 17 + ll;
			memcpy(before, sim.s.vec[from], 64);
			put_evex(&moves[i], ll, 17 + ll, 10 + ll, 0);
			if (moves[i].opcode == 0x2b || moves[i].opcode == 0xe7) {
				expect_fault(EXC_UD, -1);
				continue;
			}
			expect_ok();
			CHECK(!memcmp(sim.s.vec[to], before, len));
			CHECK(is_zero(sim.s.vec[to] + len, 64 - len));
			CHECK(!memcmp(sim.s.vec[from], before, 64));
		}
	}
}

static void evex_barred(void)
{
	static const struct evex m = { 2, 1, 0x6f, 0, 0 };
	u8 b;

	start();
	R(RAX) = 0x11000;
	put_evex(&m, 3, 0, -1, 0);			/* no such length */
	expect_fault(EXC_UD, -1);
	put_evex(&m, 2, 0, -1, 0);
	poke(START + 3, 0x40, 1);			/* V' is not 1 */
	expect_fault(EXC_UD, -1);
	put_evex(&m, 2, 0, -1, 0);
	poke(START + 2, 0xf6, 1);			/* nor is vvvv */
	expect_fault(EXC_UD, -1);
	for (b = 0; b < 3; b++) {			/* masked, zeroing, broadcast: not done */
		static const u8 bits[3] = { 0x01, 0x81, 0x10 };

		put_evex(&m, 2, 0, -1, 0);
		poke(START + 3, 0x48 | bits[b], 1);
		expect_unhandleable();
	}
	put_evex(&m, 2, 0, -1, 0);
	sim.s.xcr0 = 7;
	expect_fault(EXC_UD, -1);
	sim.s.xcr0 = 0xe7;
	sim.s.cr[0] |= CR0_TS;
	expect_fault(EXC_NM, -1);
	sim.s.cr[4] &= ~CR4_OSXSAVE;
	expect_fault(EXC_UD, -1);
	real_mode();
	CODE(0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x00);	/* BOUND, there */
	expect_unhandleable();
}

/* What bars the legacy forms. */
static void legacy_barred(void)
{
	static const u8 sse[] = { 0x0f, 0x28, 0x00 }, mmx[] = { 0x0f, 0x6f, 0x00 };

	start();
	R(RAX) = 0x11000;
	code(sse, 3);
	sim.s.cr[4] &= ~CR4_OSFXSR;
	expect_fault(EXC_UD, -1);
	code(mmx, 3);					/* MMX needs no OSFXSR */
	expect_ok();
	start();
	R(RAX) = 0x11000;
	code(mmx, 3);
	sim.s.cr[0] |= CR0_EM;
	expect_fault(EXC_UD, -1);
	sim.s.cr[0] ^= CR0_EM | CR0_TS;
	expect_fault(EXC_NM, -1);
	start();					/* VEX does not look at EM and OSFXSR */
	R(RAX) = 0x11000;
	sim.s.cr[0] |= CR0_EM;
	sim.s.cr[4] &= ~CR4_OSFXSR;
	CODE(0xc5, 0xfc, 0x28, 0x00);			/* vmovaps ymm0, [rax] */
	expect_ok();
	start();
	CODE(0xc5, 0xf8, 0x16, 0xc1);			/* vmovlhps: registers are not done */
	expect_unhandleable();
	start();
	CODE(0xc5, 0xf2, 0x10, 0xc1);			/* vmovss xmm0, xmm1, xmm1 */
	expect_unhandleable();
	start();
	CODE(0xc5, 0xf0, 0x10, 0x00);			/* vmovups with vvvv */
	expect_fault(EXC_UD, -1);
	start();
	CODE(0xc5, 0xfc, 0x13, 0x00);			/* vmovlps of 256 bits */
	expect_fault(EXC_UD, -1);
	start();
	CODE(0xc5, 0xfd, 0x6e, 0xc0);			/* vmovd of 256 bits */
	expect_fault(EXC_UD, -1);
}

/* Alignment checking: up to 16 bytes; operands that must be aligned are #GP. */
static void alignment(void)
{
	flat_user(INSN_LONG);
	R(RFLAGS) |= FL_AC;
	R(RAX) = 0x11008;
	CODE(0x0f, 0x28, 0x00);				/* movaps xmm0, [rax] */
	expect_fault(EXC_GP, 0);
	CODE(0x0f, 0x10, 0x00);				/* movups xmm0, [rax] */
	expect_fault(EXC_AC, 0);
	CODE(0x0f, 0x12, 0x00);				/* movlps xmm0, [rax] */
	expect_ok();
	R(RIP) = START;
	R(RAX) = 0x11010;
	CODE(0xc5, 0xfc, 0x10, 0x00);			/* vmovups ymm0, [rax] */
	expect_ok();
}

static const struct test tests[] = {
	{ "insn-evex-memory", evex_memory },
	{ "insn-evex-registers", evex_registers },
	{ "insn-evex-barred", evex_barred },
	{ "insn-sse-barred", legacy_barred },
	{ "insn-sse-alignment", alignment },
};

TEST_MAIN(tests)
