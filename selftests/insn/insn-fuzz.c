// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random bytes as instructions, in all modes. Nothing may crash; what was not
 * executed must have changed nothing; user space in between must not matter.
 */
#include "ktap.h"

#include "sim.h"

static struct sim sim, second;
static struct sim_state start;

static const enum insn_cpu_mode modes[] = {
	INSN_REAL, INSN_VM86, INSN_PROT16, INSN_PROT32, INSN_LONG,
};

/* Half of the instructions from the maps that chance would seldom reach. */
static void choose_map(void)
{
	static const u8 starts[][3] = {
		{ 0x0f }, { 0x0f }, { 0x66, 0x0f }, { 0xf3, 0x0f }, { 0xf2, 0x0f }, { 0x0f, 0x01 },
		{ 0x0f, 0x00 }, { 0x0f, 0xae }, { 0x0f, 0xc7 }, { 0x0f, 0x38, 0xf0 },
		{ 0x0f, 0x38, 0xf1 }, { 0xc5 }, { 0xc4, 0xe2 }, { 0xc4, 0xe1 }, { 0x62, 0xf1 },
	};
	const u8 *start = starts[rnd() % ARRAY_SIZE(starts)];
	unsigned int i;

	for (i = 0; i < 3 && (start[i] || !i); i++)
		sim_poke(&sim, sim.s.regs[INSN_RIP] + i, &start[i], 1);
}

static void random_state(enum insn_cpu_mode mode)
{
	unsigned int i;

	sim_init(&sim, mode);
	sim.cpl = mode == INSN_REAL ? 0 : mode == INSN_VM86 ? 3 : rnd() % 2 * 3;
	for (i = 0; i < 4; i++)
		rnd_fill(sim_add_page(&sim, i * SIM_PAGE, i == 3 ? SIM_RO : SIM_RW), SIM_PAGE);
	rnd_fill(sim_add_page(&sim, 4 * SIM_PAGE, SIM_MMIO), SIM_PAGE);
	for (i = 0; i < 16; i++)
		sim.s.regs[i] = rnd() % 3 ? rnd() % (5 * SIM_PAGE) : rnd();
	sim.s.regs[INSN_RCX] = rnd() % 20;
	sim.s.regs[INSN_RIP] = rnd() % (3 * SIM_PAGE);
	sim.s.regs[INSN_RFLAGS] = 2 | (rnd() & 0x243cd5);
	sim.s.regs[INSN_RFLAGS] |= mode == INSN_VM86 ? 1 << 17 : 0;
	if (rnd() % 8 == 0)
		sim.s.segs[rnd() % 6].limit = rnd() % (4 * SIM_PAGE);
	if (rnd() % 16 == 0)
		sim.s.segs[rnd() % 6].type = rnd() % 16;
	sim.s.tables[INSN_GDTR].limit = rnd() % 0x400;
	sim.s.tables[INSN_GDTR].base = SIM_PAGE;
	sim.s.segs[INSN_TR].unusable = rnd() % 2;
	sim.s.segs[INSN_TR].type = 11;
	sim.s.xcr0 = rnd() % 4 ? 0xe7 : 3;
	if (rnd() % 2)
		choose_map();
	start = sim.s;
}

static void describe(enum insn_cpu_mode mode)
{
	unsigned int i;

	printf("# mode %u:", mode);
	for (i = 0; i < sim.ctx.nbytes; i++)
		printf(" %02x", sim.ctx.bytes[i]);
	printf("\n");
}

static bool same_registers(void)
{
	return !memcmp(start.regs, sim.s.regs, sizeof(start.regs)) &&
		!memcmp(start.segs, sim.s.segs, sizeof(start.segs)) &&
		!memcmp(start.cr, sim.s.cr, sizeof(start.cr)) &&
		!memcmp(start.dr, sim.s.dr, sizeof(start.dr)) &&
		!memcmp(start.tables, sim.s.tables, sizeof(start.tables)) &&
		!memcmp(start.vec, sim.s.vec, sizeof(start.vec)) &&
		!memcmp(start.mmx, sim.s.mmx, sizeof(start.mmx));
}

static void check_unchanged(enum insn_cpu_mode mode, int r)
{
	bool same = same_registers();

	if (r == INSN_UNHANDLEABLE)
		same = same && !memcmp(&start, &sim.s, sizeof(start));
	if (!same) {
		describe(mode);
		FAIL("result %d, but the state has changed", r);
	}
}

static void check_resumed(enum insn_cpu_mode mode, int r)
{
	int r2;

	sim_init(&second, mode);
	second.s = start;
	second.cpl = sim.cpl;
	second.force_user = true;
	r2 = sim_step(&second);
	if (second.broken || r2 != r || memcmp(&second.s, &sim.s, sizeof(sim.s))) {
		describe(mode);
		FAIL("with user space: result %d, not %d (%s)", r2, r,
		     second.broken ? second.broken : "another state");
	}
}

static void fuzz(void)
{
	unsigned long i, n = 200000, count[5] = {};
	enum insn_cpu_mode mode;
	int r;

	if (getenv("INSN_CASES"))
		n = strtoul(getenv("INSN_CASES"), NULL, 0);
	for (i = 0; i < n; i++) {
		rnd_seed(77000000 + i);
		mode = modes[i % ARRAY_SIZE(modes)];
		random_state(mode);
		r = sim_step(&sim);
		count[r]++;
		if (sim.broken) {
			describe(mode);
			FAIL("%s", sim.broken);
		}
		if (r != INSN_OK)
			check_unchanged(mode, r);
		check_resumed(mode, r);
	}
	printf("# %lu done, %lu faults, %lu unhandleable\n", count[INSN_OK], count[INSN_FAULT],
	       count[INSN_UNHANDLEABLE]);
	CHECK(count[INSN_OK] > n / 10);
	CHECK_EQ(count[INSN_USER], 0);
}

/* The decoder alone: it never reads beyond what it was given, and means what it says. */
static void decode(void)
{
	struct insn_decoded d, d2;
	unsigned long i;
	u8 *bytes;
	int len, k;

	for (i = 0; i < 1000000; i++) {
		enum insn_cpu_mode mode = modes[i % ARRAY_SIZE(modes)];
		u8 buf[20];

		rnd_fill(buf, sizeof(buf));
		if (i % 3 == 0)
			buf[0] = 0x0f;
		len = insn_decode_bytes(&d, mode, buf, sizeof(buf));
		CHECK(len != 0 && len >= -2 && len <= 15);
		if (len < 0 || i % 16)
			continue;
		for (k = 0; k < len; k++)
			CHECK_EQ(insn_decode_bytes(&d2, mode, buf, k), 0);
		bytes = malloc(len);	/* for ASan to see an overrun */
		memcpy(bytes, buf, len);
		CHECK_EQ(insn_decode_bytes(&d2, mode, bytes, len), len);
		CHECK(d.desc == d2.desc && d.imm == d2.imm && d.disp == d2.disp);
		free(bytes);
	}
}

static const struct test tests[] = {
	{ "insn-fuzz", fuzz, 300 },
	{ "insn-fuzz-decode", decode, 300 },
};

TEST_MAIN(tests)
