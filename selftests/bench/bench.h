/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Benchmarks, through KVM's ABI and nothing else. A program is a table of
 * rows; each is measured in a process of its own and prints one figure:
 *	NAME UNIT VALUE
 * Time is the TSC's. On hardware that is cycles; the lab's emulated machines
 * advance it by one for each instruction, and there it counts them.
 */
#ifndef BENCH_H
#define BENCH_H

#include "../lib/guest.h"

#define BENCH_MAX	512

struct row {
	const char *name;
	double (*measure)(const struct row *row);
	const char *unit;	/* NULL: the TSC's */
	void (*guest)(void), (*bare)(void);
	void (*setup)(struct guest *g);
	uint64_t arg[2];
};

/* --samples N, at most BENCH_MAX */
extern int bench_samples;

int bench_main(int argc, char **argv, const struct row *rows, int n);

#define BENCH_MAIN(rows)						\
	int main(int argc, char **argv)					\
	{								\
		return bench_main(argc, argv, rows, sizeof(rows) / sizeof((rows)[0])); \
	}

double bench_median(const volatile uint64_t *sample, int n);

/* CPU time of this thread; and nanoseconds in ticks of the TSC, whose rate a vCPU tells. */
uint64_t bench_thread_ns(void);
double bench_ticks(struct guest_cpu *cpu, double ns);

/*
 * Where rows are, and in each the first stretch from begin to end: found by
 * counter.c, and XCHG by Bochs' debugger. They do nothing.
 */
#define mark_row() asm volatile("xchg %%bx, %%bx; nopl 0x726f7731(%%rax); xchg %%bx, %%bx" : : : "memory")
#define mark_begin() asm volatile("nopl 0x62656731(%%rax); xchg %%bx, %%bx" : : : "memory")
#define mark_end() asm volatile("nopl 0x656e6431(%%rax); xchg %%bx, %%bx" : : : "memory")

#endif /* BENCH_H */
