// SPDX-License-Identifier: GPL-2.0-only
/* Instruction lengths compared with objdump's: large programs, and random bytes. */
#include <ctype.h>
#include <glob.h>
#include <unistd.h>

#include "ktap.h"

#include "insn.h"
#include "sim.h"

#define MAX_SHOWN 10

static unsigned long total, wrong;

/* Words that objdump prints before, or for lack of, an instruction. */
static bool is_prefix_word(const char *word)
{
	static const char * const prefixes[] = {
		"cs", "ds", "es", "fs", "gs", "ss", "rep", "repz", "repnz", "lock", "data16",
		"data32", "addr32", "addr16", "xacquire", "xrelease", "notrack", "bnd",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (!strcmp(word, prefixes[i]))
			return true;
	return !strncmp(word, "rex", 3);
}

static bool only_prefixes(const char *text)
{
	char word[16];
	int n = 0;

	while (sscanf(text, "%15s %n", word, &n) == 1) {
		if (!is_prefix_word(word))
			return false;
		text += n;
	}
	return true;
}

/*
 * Where objdump and the manuals part: FWAIT and the x87 instruction after it
 * are two, REX, 66, F2 or F3 before VEX is no instruction; test registers,
 * the instructions of VIA, and APX (REX2, the bits it takes from EVEX) are not
 * known here.
 */
static bool objdump_is_odd(enum insn_cpu_mode mode, const u8 *bytes, const char *text)
{
	bool bars_vex = false;

	if (strstr(text, "%tr"))
		return true;
	for (;; bytes++) {
		if ((mode == INSN_LONG && (*bytes & 0xf0) == 0x40) ||
		    memchr("\x66\xf0\xf2\xf3", *bytes, 4))
			bars_vex = true;
		else if (!memchr("\x26\x2e\x36\x3e\x64\x65\x67", *bytes, 7))
			break;
	}
	if (*bytes == 0x9b || (*bytes == 0x0f && (bytes[1] & 0xfe) == 0xa6))
		return true;
	if (mode == INSN_LONG && *bytes == 0xd5)
		return true;
	if (*bytes == 0x62 && (bytes[1] & 8 || (bytes[1] & 7) == 4 || !(bytes[2] & 4)))
		return true;
	return bars_vex && memchr("\x62\xc4\xc5\x8f", *bytes, 4);
}

/* A line is "address:<tab>bytes<tab>text"; returns the number of bytes. */
static unsigned int parse(char *line, u8 *bytes, const char **text)
{
	unsigned int n = 0;
	char *p = strstr(line, ":\t"), *end;

	if (!p)
		return 0;
	for (p += 2; isxdigit((unsigned char)*p) && n < 32; p = end + 1) {
		bytes[n++] = strtoul(p, &end, 16);
		if (*end != ' ')
			break;
	}
	*text = strchr(p, '\t');
	return *text ? n : 0;
}

static void check_line(enum insn_cpu_mode mode, char *line)
{
	struct insn_decoded d;
	const char *text;
	u8 bytes[48] = {};
	unsigned int n = parse(line, bytes, &text);
	int len;

	if (!n || strstr(text, "(bad)") || strstr(text, ".byte") || only_prefixes(text) ||
	    objdump_is_odd(mode, bytes, text))
		return;
	total++;
	len = insn_decode_bytes(&d, mode, bytes, n);
	if (len != (int)n && wrong++ < MAX_SHOWN)
		printf("# %d instead of %u: %s", len, n, line);
}

/* Returns the number of instructions seen. */
static unsigned long check_listing(enum insn_cpu_mode mode, const char *options, const char *file)
{
	static char line[4096];
	unsigned long before = total;
	char cmd[512];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "objdump -w -M intel64 %s '%s' 2>/dev/null", options, file);
	f = popen(cmd, "r");
	if (!f)
		FAIL("objdump: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		check_line(mode, line);
	pclose(f);
	return total - before;
}

static void need_objdump(void)
{
	if (system("objdump --version >/dev/null 2>&1"))
		SKIP("no objdump");
}

static void programs(void)
{
	static const char * const patterns[] = {
		"/usr/bin/bash", "/usr/bin/objdump", "/usr/lib/x86_64-linux-gnu/libc.so.6",
		"/usr/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib/x86_64-linux-gnu/libcrypto.so.*",
		"/usr/lib/x86_64-linux-gnu/libavcodec.so.??",
	};
	size_t i, k;
	glob_t g;

	need_objdump();
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		if (glob(patterns[i], 0, NULL, &g))
			continue;
		for (k = 0; k < g.gl_pathc; k++)
			printf("# %s: %lu instructions\n", g.gl_pathv[k],
			       check_listing(INSN_LONG, "-d", g.gl_pathv[k]));
		globfree(&g);
	}
	CHECK(total > 100000);
	/* Libraries have data among their code, which objdump reads as best it can. */
	CHECK(wrong * 1000000 < total);
}

static void random_bytes(enum insn_cpu_mode mode, const char *options)
{
	static u8 buf[1 << 20];
	char name[] = "/tmp/insn-lengths-XXXXXX";
	int fd;

	need_objdump();
	rnd_fill(buf, sizeof(buf));
	fd = MUST(mkstemp(name));
	if (write(fd, buf, sizeof(buf)) != sizeof(buf))
		FAIL("write: %s", strerror(errno));
	check_listing(mode, options, name);
	unlink(name);
	printf("# %lu instructions, %lu wrong\n", total, wrong);
	CHECK(total > 100000);
	CHECK_EQ(wrong, 0);
}

static void random_64(void)
{
	random_bytes(INSN_LONG, "-D -b binary -m i386:x86-64");
}

static void random_32(void)
{
	random_bytes(INSN_PROT32, "-D -b binary -m i386");
}

static void random_16(void)
{
	random_bytes(INSN_PROT16, "-D -b binary -m i8086");
}

static const struct test tests[] = {
	{ "insn-lengths-programs", programs, 600 },
	{ "insn-lengths-random-64", random_64, 300 },
	{ "insn-lengths-random-32", random_32, 300 },
	{ "insn-lengths-random-16", random_16, 300 },
};

TEST_MAIN(tests)
