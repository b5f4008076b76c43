// SPDX-License-Identifier: GPL-2.0-only
/*
 * Group 2: round trips to user space and back. The few instructions of the
 * loop around KVM_RUN and of libc's ioctl() are counted, for both sides alike.
 */
#include "loop.h"

#define PORT	0xe8
#define BELL	0xd0000000ul	/* no memory there */
#define BUFFER	0x80000ul

GUEST_INSN(in_guest, "inb %w1, %b0", "=a"(x) : "d"(PORT))
GUEST_INSN(out_guest, "outb %b0, %w1", : "a"(0), "d"(PORT))
GUEST_INSN(read_guest, "movl (%1), %0", "=r"(x) : "r"(BELL))
GUEST_INSN(write_guest, "movl %0, (%1)", : "r"(0), "r"(BELL) : "memory")

/* Its registers run on: the next one needs them anew. */
#define OUTS(insn)							\
	({								\
		uint64_t from = BUFFER, n = PAGE_4K;			\
									\
		asm volatile(insn : "+S"(from), "+c"(n) : "d"(PORT) : "memory"); \
	})

GUEST_LOOP(outs_guest, OUTS("rep outsb"))
GUEST_LOOP(outs_guest_bare, OUTS("nop"))

typedef void (*serve_fn)(struct guest_cpu *cpu);

static void serve(struct guest_cpu *cpu, serve_fn each)
{
	struct kvm_run *run = cpu->run;

	for (;;) {
		if (ioctl(cpu->fd, KVM_RUN, 0))
			FAIL("KVM_RUN: %s", strerror(errno));
		if (run->exit_reason == KVM_EXIT_IO && run->io.port == REPORT_PORT)
			return;
		if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO)
			guest_expect(cpu, KVM_EXIT_IO);
		if (each)
			each(cpu);
	}
}

static double served(struct guest *g, const struct row *row, serve_fn each)
{
	double with;

	bench_start(&g->cpu[0], row->guest);
	serve(&g->cpu[0], each);
	with = bench_result(g, 0);
	bench_exec(&g->cpu[0], row->bare);
	return (with - bench_result(g, 0)) / OPS;
}

static double plain(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, true);
	return served(&g, row, NULL);
}

/* KVM comes out for each byte. */
static double outs(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, true);
	bench(&g)->samples = 3;
	return served(&g, row, NULL);
}

static void get_regs(struct guest_cpu *cpu)
{
	struct kvm_regs r;

	MUST(ioctl(cpu->fd, KVM_GET_REGS, &r));
}

static void set_regs(struct guest_cpu *cpu)
{
	struct kvm_regs r;

	MUST(ioctl(cpu->fd, KVM_GET_REGS, &r));
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
}

static void mark_dirty(struct guest_cpu *cpu)
{
	cpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static double by_ioctl(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, true);
	return served(&g, row, row->arg[0] ? set_regs : get_regs);
}

/* arg 0: the register sets that KVM_RUN leaves in the page; 1: does user space give them back? */
static double by_page(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, true);
	g.cpu[0].run->kvm_valid_regs = row->arg[0];
	return served(&g, row, row->arg[1] ? mark_dirty : NULL);
}

/* KVM_RUN that only finishes what was open. */
static double immediate(const struct row *row)
{
	uint64_t sample[BENCH_MAX];
	struct guest g;
	int i, k;

	bench_guest(&g, 1, true);
	bench_start(&g.cpu[0], out_guest);
	g.cpu[0].run->immediate_exit = 1;
	mark_begin();
	for (i = 0; i < bench_samples; i++) {
		uint64_t t = rdtsc_();

		for (k = 0; k < OPS; k++)
			ioctl(g.cpu[0].fd, KVM_RUN, 0);
		sample[i] = rdtsc_() - t;
	}
	mark_end();
	CHECK_EQ(errno, EINTR);
	return bench_median(sample, bench_samples) / OPS;
}

static const struct row rows[] = {
	{ "out", plain, WITH_BARE(out_guest) },
	{ "in", plain, WITH_BARE(in_guest) },
	{ "outs.4k", outs, WITH_BARE(outs_guest) },
	{ "mmio.read", plain, WITH_BARE(read_guest) },
	{ "mmio.write", plain, WITH_BARE(write_guest) },
	{ "out.get-regs", by_ioctl, WITH_BARE(out_guest), .arg = { 0 } },
	{ "out.set-regs", by_ioctl, WITH_BARE(out_guest), .arg = { 1 } },
	{ "out.sync-get", by_page, WITH_BARE(out_guest), .arg = { KVM_SYNC_X86_REGS, 0 } },
	{ "out.sync-set", by_page, WITH_BARE(out_guest), .arg = { KVM_SYNC_X86_REGS, 1 } },
	{ "out.sync-all", by_page, WITH_BARE(out_guest), .arg = { KVM_SYNC_X86_VALID_FIELDS, 0 } },
	{ "immediate-exit", immediate },
};

BENCH_MAIN(rows)
