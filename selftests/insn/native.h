/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Run one instruction on this CPU, without a system call. Behind it, where it
 * is expected to go on, lies a way out; everywhere else lie INT3s, so that
 * otherwise it ends in a signal, whose context tells all.
 */
#ifndef NATIVE_H
#define NATIVE_H

/* struct native.flags */
#define NATIVE_COMPAT	0x01	/* enter by a far jump to far_selector */
#define NATIVE_TRAP	0x02	/* enter by IRET, as RFLAGS.TF is set */
#define NATIVE_VEC	0x04	/* YMM registers in and out */
#define NATIVE_MMX	0x08	/* MMX registers in and out */
#define NATIVE_SEGS	0x10	/* load DS, ES, FS and GS first */
#define NATIVE_BASES	0x20	/* load the bases of FS and GS */

/* struct native.vector, if the way out was taken */
#define NATIVE_DONE	0xff

/* Offsets in struct native. */
#define NAT_IN		0
#define NAT_OUT		144
#define NAT_HOST_RSP	288
#define NAT_HOST_FS	296
#define NAT_FS_BASE	304
#define NAT_GS_BASE	312
#define NAT_OUT_FS_BASE	320
#define NAT_OUT_GS_BASE	328
#define NAT_FAR		336
#define NAT_SEL		344
#define NAT_OUT_SEL	356
#define NAT_FLAGS	368
#define NAT_FSGSBASE	372
#define NAT_MMX		376
#define NAT_OUT_MMX	440
#define NAT_VEC		512
#define NAT_OUT_VEC	1024

#ifndef __ASSEMBLER__

#include "insn.h"

struct native {
	u64 in[INSN_NR_REGS];
	u64 out[INSN_NR_REGS];
	u64 host_rsp, host_fs;
	u64 fs_base, gs_base;
	u64 out_fs_base, out_gs_base;	/* known if fsgsbase */
	u32 far_offset;			/* where a far jump goes */
	u16 far_selector, pad;
	u16 sel[6], out_sel[6];		/* by number of the encoding; CS is not used */
	u32 flags;
	u32 fsgsbase;			/* user space has RDFSBASE and its kin */
	u64 mmx[8], out_mmx[8];
	u8 vec[16][32] __attribute__((aligned(64))), out_vec[16][32];
	/* How it ended. out[INSN_RIP] is known unless NATIVE_DONE. */
	u8 vector;			/* NATIVE_DONE, 3, or that of a fault */
	u32 error_code;
	u64 cr2;
};

extern struct native native;
extern bool native_avx;

void native_init(void);
void native_run(void);

/* Write the way out to @at, as code of @size * 8 bits; returns its length. */
unsigned int native_put_exit(u8 *at, unsigned int size);

/* An LDT entry; false if the kernel does not have it. */
struct native_ldt {
	u32 base, limit;
	bool code, big, down;		/* D bit; expand-down */
	bool read_only;			/* code: cannot be read */
	bool absent;
};

bool native_set_ldt(unsigned int index, const struct native_ldt *e);
bool native_lar(u16 selector, u32 *rights);
u32 native_lsl(u16 selector);

#endif /* __ASSEMBLER__ */
#endif
