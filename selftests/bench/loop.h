/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests that measure. They are those of ../irq/irq.h, with code at
 * BENCH_CODE_GPA and samples at BENCH_GPA. A sample is the time of OPS
 * operations; a row is the median of its samples, less that of the same loop
 * without the operation.
 */
#ifndef LOOP_H
#define LOOP_H

#include "../irq/irq.h"
#include "bench.h"

#define BENCH_GPA	0x40000ul
#define BENCH_CODE_GPA	0x100000ul
#define OPS		4
#define VECTOR		0x61

struct bench_page {
	uint32_t samples;
	uint32_t go;
	uint64_t isr_tsc;	/* when the last interrupt's handler began */
	uint64_t arg[4];
	uint64_t sample[2][BENCH_MAX];
};

#define BP ((volatile struct bench_page *)BENCH_GPA)

/* A guest that takes samples of OPS times a statement, which has arg0, arg1, x and y to use. */
#define GUEST_LOOP(name, ...)						\
	GUEST void name(void)						\
	{								\
		uint64_t arg0 = BP->arg[0], arg1 = BP->arg[1];		\
		uint32_t x, y, i;					\
									\
		(void)arg0;						\
		(void)arg1;						\
		(void)x;						\
		(void)y;						\
		mark_begin();						\
		for (i = 0; i < BP->samples; i++) {			\
			uint64_t t = rdtsc_();				\
									\
			__VA_ARGS__;					\
			__VA_ARGS__;					\
			__VA_ARGS__;					\
			__VA_ARGS__;					\
			BP->sample[0][i] = rdtsc_() - t;		\
		}							\
		mark_end();						\
		report(0);						\
	}

/* One instruction with its operands, and NOP with the same. */
#define GUEST_INSN(name, insn, ...)					\
	GUEST_LOOP(name, asm volatile(insn : __VA_ARGS__))		\
	GUEST_LOOP(name##_bare, asm volatile("nop" : __VA_ARGS__))

#define WITH_BARE(name) .guest = name, .bare = name##_bare

extern const char bench_isr[];

/* Notes the time and is gone: its EOI is the guest's to make. */
asm(".pushsection guest, \"ax\"\n"
    "bench_isr:\n"
    "	push %rax; push %rdx\n"
    "	rdtsc\n"
    "	mov %eax, 0x40008; mov %edx, 0x4000c\n"	/* BP->isr_tsc */
    "	pop %rdx; pop %rax\n"
    "	iretq\n"
    ".popsection\n");

_Static_assert(BENCH_GPA + offsetof(struct bench_page, isr_tsc) == 0x40008, "bench_isr");

GUEST void apic_on_guest(void)
{
	apic_on();
	report(0);
}

/* -------- outside -------- */

static inline volatile struct bench_page *bench(struct guest *g)
{
	return (volatile struct bench_page *)(g->mem + BENCH_GPA);
}

static inline void bench_start(struct guest_cpu *cpu, void (*fn)(void))
{
	guest_call(cpu, BENCH_CODE_GPA - GUEST_CODE_GPA + CODE(fn), 0, 0, 0, 0);
}

/* Runs a guest function up to its report(). */
static inline void bench_exec(struct guest_cpu *cpu, void (*fn)(void))
{
	bench_start(cpu, fn);
	irq_next(cpu);
}

static inline void bench_gate(struct guest *g, int vector, const char *handler)
{
	uint64_t *gate = (uint64_t *)(g->mem + IDT_GPA);
	uint64_t addr = BENCH_CODE_GPA + (handler - __start_guest);

	gate[2 * vector] = (addr & 0xffff) | 8ull << 16 | 0x8eull << 40 | (addr >> 16) << 48;
	gate[2 * vector + 1] = 0;
}

/* In long mode, with all chips in the kernel and its LAPICs on, in x2APIC mode or not. */
static inline void bench_guest(struct guest *g, int ncpus, bool x2apic)
{
	struct kvm_pit_config pit = { 0 };
	int i;

	guest_create(g, 4 * PAGE_2M);
	MUST(ioctl(g->fd, KVM_CREATE_IRQCHIP, 0));
	MUST(ioctl(g->fd, KVM_CREATE_PIT2, &pit));
	memcpy(g->mem + BENCH_CODE_GPA, __start_guest, __stop_guest - __start_guest);
	bench_gate(g, VECTOR, bench_isr);
	shared(g)->x2apic = x2apic;
	bench(g)->samples = bench_samples;
	for (i = 0; i < ncpus; i++)
		guest_add_cpu(g);
	for (i = 0; i < ncpus; i++) {
		guest_cpuid_deadline(&g->cpu[i]);
		irq_long_mode(&g->cpu[i]);
		bench_exec(&g->cpu[i], apic_on_guest);
	}
}

/* The median of sample[@which] after bench_exec(). */
static inline double bench_result(struct guest *g, int which)
{
	return bench_median(bench(g)->sample[which], bench(g)->samples);
}

/* Per operation of row->guest, less row->bare. */
static inline double bench_pair(struct guest *g, const struct row *row)
{
	double with;

	bench(g)->arg[0] = row->arg[0];
	bench(g)->arg[1] = row->arg[1];
	bench_exec(&g->cpu[0], row->guest);
	with = bench_result(g, 0);
	bench_exec(&g->cpu[0], row->bare);
	return (with - bench_result(g, 0)) / OPS;
}

#endif /* LOOP_H */
