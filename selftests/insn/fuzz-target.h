/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One input for the decoder and the emulator, and all that must hold for any: for
 * libFuzzer, and for insn-fuzz, which makes its inputs itself.
 */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include "insn-user.h"

/* Where things stand in an input. */
#define FUZZ_MODE	0	/* the mode, and what else is unusual */
#define FUZZ_CODE	4	/* bytes of the instruction */
#define FUZZ_STATE	20	/* then registers, flags, segments, memory */
#define FUZZ_MAX	256

/* How many inputs had which result, by enum insn_result. */
extern unsigned long fuzz_results[5];

/* Aborts if anything does not hold. */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#endif
