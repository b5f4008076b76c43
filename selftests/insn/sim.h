/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A simulated vCPU to test the emulator on: registers, a few pages of memory
 * at chosen linear addresses, ports that count.
 */
#ifndef SIM_H
#define SIM_H

#include "insn.h"
#include "random.h"

#define SIM_PAGE	4096u
#define SIM_PAGES	12

/* What RSM leaves: with RF. */
#define SIM_RSM_RIP	0x10800
#define SIM_RSM_RFLAGS	0x10002

enum { SIM_NONE, SIM_RW, SIM_RO, SIM_MMIO };

struct sim_page {
	u64 linear;
	int kind;
	u8 data[SIM_PAGE];
};

/* The guest's state: what two runs are compared by. */
struct sim_state {
	u64 regs[INSN_NR_REGS];
	struct insn_segment segs[INSN_NR_SEGS];
	struct insn_table_reg tables[2];
	u64 cr[9], xcr0, dr[8], msr_value;
	u8 vec[32][INSN_VEC_MAX];
	u8 mmx[8][8];
	u64 port_in;		/* next value that a port gives */
	u64 port_out;		/* hash of what ports got */
	u64 mmio_reads;		/* reads that a device saw */
	u64 sys_calls;
	unsigned int npages;
	struct sim_page page[SIM_PAGES];	/* the last, as most of them are not there */
};

struct sim {
	struct sim_state s;
	unsigned int cpl;
	bool force_user;	/* every access first goes to user space */
	bool no_ram;		/* probe() never tells of RAM */
	bool race;		/* somebody else writes after each locked read */
	bool smm;		/* RSM is defined */
	unsigned int refused_cr;	/* no value of this control register is good; 0: none */
	unsigned int failing;	/* this access to memory, counted from 1, fails */
	struct {
		u64 addr;
		unsigned int kind, len;
		bool armed;
	} pending;
	unsigned long user_exits;
	unsigned int work;	/* accesses to memory and ports, and probes, since it was set to 0 */
	const char *broken;	/* a promise of the interface that was not kept */
	struct insn_ctx ctx;
	u8 bulk[SIM_PAGE];
};

/* Flat segments, 64-bit mode, CPL 3, no memory. */
void sim_init(struct sim *sim, enum insn_cpu_mode mode);
/* A page at @linear; NULL if there are too many. */
u8 *sim_add_page(struct sim *sim, u64 linear, int kind);
void sim_poke(struct sim *sim, u64 linear, const void *data, unsigned int len);
void sim_peek(struct sim *sim, u64 linear, void *data, unsigned int len);
u64 sim_peek64(struct sim *sim, u64 linear);

/* Bytes of a state that mean something. */
size_t sim_state_size(const struct sim_state *s);

/* One insn_emulate() after another while the result is INSN_USER. */
int sim_step(struct sim *sim);
/* The same while the instruction is being repeated, too. */
int sim_run(struct sim *sim);

#endif
