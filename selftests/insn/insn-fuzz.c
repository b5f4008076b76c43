// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random inputs for the target that libFuzzer also has, half of them from maps of opcodes
 * that chance would seldom reach. It needs no more than gcc. $INSN_CASES: how many.
 */
#include "ktap.h"

#include "fuzz-target.h"
#include "insn.h"
#include "random.h"

static void choose_map(u8 *code)
{
	static const u8 starts[][3] = {
		{ 0x0f }, { 0x0f }, { 0x66, 0x0f }, { 0xf3, 0x0f }, { 0xf2, 0x0f }, { 0x0f, 0x01 },
		{ 0x0f, 0x00 }, { 0x0f, 0xae }, { 0x0f, 0xc7 }, { 0x0f, 0x38, 0xf0 },
		{ 0x0f, 0x38, 0xf1 }, { 0xc5 }, { 0xc4, 0xe2 }, { 0xc4, 0xe1 }, { 0x62, 0xf1 },
	};
	const u8 *start = starts[rnd() % ARRAY_SIZE(starts)];
	unsigned int i;

	for (i = 0; i < 3 && (start[i] || !i); i++)
		code[i] = start[i];
}

/* As long as instructions may be, and longer: nearly all prefixes. */
static void put_prefixes(u8 *code, unsigned int n)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0x2e, 0x36, 0x64, 0x65, 0xf2, 0xf3 };

	while (n--)
		*code++ = prefixes[rnd() % ARRAY_SIZE(prefixes)];
}

static void fuzz(void)
{
	unsigned long i, n = 200000;
	u8 *input;

	if (getenv("INSN_CASES"))
		n = strtoul(getenv("INSN_CASES"), NULL, 0);
	for (i = 0; i < n; i++) {
		rnd_seed(77000000 + i);
		input = malloc(FUZZ_MAX);
		rnd_fill(input, FUZZ_MAX);
		input[FUZZ_MODE] = i % 5;
		if (rnd() % 2)
			choose_map(input + FUZZ_CODE);
		else if (rnd() % 8 == 0)
			put_prefixes(input + FUZZ_CODE, 8 + rnd() % 8);
		LLVMFuzzerTestOneInput(input, FUZZ_MAX);
		free(input);
	}
	printf("# %lu done, %lu faults, %lu unhandleable\n", fuzz_results[INSN_OK],
	       fuzz_results[INSN_FAULT], fuzz_results[INSN_UNHANDLEABLE]);
	CHECK(fuzz_results[INSN_OK] > n / 10);
	CHECK_EQ(fuzz_results[INSN_USER] + fuzz_results[INSN_RETRY], 0);
}

static const enum insn_cpu_mode modes[] = {
	INSN_REAL, INSN_VM86, INSN_PROT16, INSN_PROT32, INSN_LONG,
};

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
		else if (i % 7 == 0)
			put_prefixes(buf, 8 + rnd() % 8);
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
	{ "insn-fuzz", fuzz, 3600 },
	{ "insn-fuzz-decode", decode, 300 },
};

TEST_MAIN(tests)
