/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the emulator works on when it is compared with this CPU: registers, and
 * a copy of the memory that the CPU uses. Quick, where sim.c is complete.
 */
#ifndef TWIN_H
#define TWIN_H

#include "insn.h"

#define PAGE		4096ul
/* Both below 2 GiB, for 32-bit code. */
#define CODE		0x20000000ul
#define CODE_SIZE	(2 * PAGE)
#define DATA		0x20100000ul
#define DATA_RW		(2 * PAGE)		/* read-only behind, then nothing */
#define DATA_SIZE	(3 * PAGE)

#define TWIN_WRITES	256

struct twin_state {
	u64 regs[INSN_NR_REGS];
	struct insn_segment segs[INSN_NR_SEGS];
	u8 vec[16][32];
	u64 mmx[8];
};

struct twin_write {
	u64 linear;
	u8 len, old[16], new[16];
};

struct twin {
	struct twin_state s;
	struct insn_ctx ctx;
	u64 xcr0, tsc;
	u32 tsc_aux;
	u32 code_limit;		/* what of the code pages may be fetched, in bytes */
	bool force_user;	/* every access goes to user space first */
	bool wild;		/* an access that must not be tried on the CPU */
	bool interrupted;	/* user space is serving an access */
	const char *broken;	/* a promise of the interface that was not kept */
	struct {
		unsigned int kind, len;
		u64 linear;
	} pending;
	unsigned int nwrites;	/* more than TWIN_WRITES: not all are recorded */
	struct twin_write writes[TWIN_WRITES];
	u64 gdt[16], ldt[16];	/* descriptors */
};

extern struct twin twin;
extern u8 twin_data[DATA_SIZE];

void twin_init(enum insn_cpu_mode mode, u8 va_bits);

/* Execute the instruction at RIP: all its repetitions, or one of them. */
int twin_run(bool whole);

/* Take the last instruction's writes back; false if they are too many. */
bool twin_undo(void);

/* Do the bytes that were written, with the writes undone since, stand there again? */
bool twin_written_again(const struct twin_write *writes, unsigned int n);

/* The descriptor of a selector, 0 if there is none. */
u64 twin_descriptor(u16 selector);

#endif
