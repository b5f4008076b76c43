// SPDX-License-Identifier: GPL-2.0-only
/* For libFuzzer: FUZZ_SEEDS=DIR in the environment makes the target write its inputs there, and end. */
#include <stdio.h>

#include "fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static uint8_t data[FUZZ_MAX];
	const char *dir = getenv("FUZZ_SEEDS");
	char name[512];
	size_t len;
	FILE *f;

	(void)argc;
	(void)argv;
	if (!dir)
		return 0;
	for (unsigned int i = 0; (len = fuzz_seed(i, data)); i++) {
		snprintf(name, sizeof(name), "%s/seed-%u", dir, i);
		f = fopen(name, "w");
		if (!f || fwrite(data, 1, len, f) != len || fclose(f))
			exit(1);
	}
	exit(0);
}
