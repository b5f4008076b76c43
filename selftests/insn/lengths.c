// SPDX-License-Identifier: GPL-2.0-only
/*
 * insn-lengths: compare instruction lengths with objdump's.
 *
 * Reads the output of "objdump -d -w" and decodes each instruction listed.
 * usage: lengths 16|32|64 NAME < listing
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "insn.h"

#define MAX_SHOWN 20

/* What objdump prints when it has not seen one whole instruction. */
static bool not_an_instruction(const char *text)
{
	static const char * const prefixes[] = {
		"cs", "ds", "es", "fs", "gs", "ss", "rep", "repz", "repnz", "lock", "data16",
		"data32", "addr32", "addr16", "xacquire", "xrelease", "notrack", "bnd",
	};
	char word[16];
	size_t i;

	if (strstr(text, "(bad)") || strstr(text, ".byte"))
		return true;
	if (!strncmp(text, "rex", 3) && !strchr(text, '%'))
		return true;
	for (;;) {
		int n = 0;

		if (sscanf(text, "%15s %n", word, &n) != 1)
			return true;
		for (i = 0; i < ARRAY_SIZE(prefixes); i++)
			if (!strcmp(word, prefixes[i]))
				break;
		if (i == ARRAY_SIZE(prefixes) && strncmp(word, "rex", 3))
			return false;
		text += n;
	}
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

int main(int argc, char **argv)
{
	static char line[4096];
	enum insn_cpu_mode mode = INSN_LONG;
	unsigned long total = 0, wrong = 0, skipped = 0;
	struct insn_decoded d;
	const char *text;
	u8 bytes[48];

	if (argc != 3)
		return 2;
	if (!strcmp(argv[1], "16"))
		mode = INSN_PROT16;
	else if (!strcmp(argv[1], "32"))
		mode = INSN_PROT32;
	while (fgets(line, sizeof(line), stdin)) {
		unsigned int n = parse(line, bytes, &text);
		int len;

		if (!n)
			continue;
		text += strspn(text, "\t");
		if (not_an_instruction(text)) {
			skipped++;
			continue;
		}
		total++;
		len = insn_decode_bytes(&d, mode, bytes, n);
		if (len == (int)n)
			continue;
		if (wrong++ < MAX_SHOWN)
			printf("# %s: %d instead of %u: %s", argv[2], len, n, line);
	}
	printf("# %s: %lu instructions, %lu skipped, %lu wrong\n", argv[2], total, skipped, wrong);
	return wrong || !total;
}
