/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Run one instruction on this CPU. The code lies in a field of INT3s, so that
 * it ends in a signal wherever it goes, and the signal's context tells all.
 */
#ifndef NATIVE_H
#define NATIVE_H

#include "insn.h"

struct native {
	u64 regs[INSN_NR_REGS];		/* in and out; out: RIP is where it stopped */
	u8 vec[16][32];
	u16 cs, ds, ss;			/* selectors; cs = 0: 64-bit mode */
	u8 vector;			/* out: 3, or that of a fault */
	u32 error_code;
	u64 cr2;
};

extern bool native_avx;

void native_init(void);
void native_run(struct native *n);

/* An LDT entry; returns its selector, or 0 if the kernel does not have it. */
u16 native_ldt(unsigned int index, u32 base, u32 limit, bool code, bool big, bool down);

#endif
