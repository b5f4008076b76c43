// SPDX-License-Identifier: GPL-2.0-only
/* Group 3: faults, slots, the host taking memory back, the dirty log. */
#include "loop.h"

#define RAM_GPA		(1ul << 30)
#define MOVED_GPA	(2ul << 30)
#define RAM		(64ul << 20)
#define PAGES		(RAM / PAGE_4K)
#define TURNS		5
#define STORM_CPUS	4

/* Writes to BP->samples places, BP->arg[1] apart, and times each. */
GUEST void touch_guest(void)
{
	uint64_t at = BP->arg[0], step = BP->arg[1];
	uint32_t i, n = BP->samples;

	mark_begin();
	for (i = 0; i < n; i++, at += step) {
		uint64_t t = rdtsc_();

		*(volatile uint8_t *)at = 1;
		BP->sample[0][i] = rdtsc_() - t;
	}
	mark_end();
	report(0);
}

/* With RAM at RAM_GPA, in pages of 4K or 2M; @present: the host has them. */
static void *ram_guest(struct guest *g, uint64_t page, bool present, uint32_t flags)
{
	void *ram = guest_alloc(RAM);

	bench_guest(g, 1, true);
	madvise(ram, RAM, page == PAGE_4K ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	if (present)
		memset(ram, 1, RAM);
	guest_slot(g, 1, flags, RAM_GPA, RAM, ram);
	return ram;
}

static void touch(struct guest *g, uint64_t step, uint32_t n)
{
	bench(g)->arg[0] = RAM_GPA;
	bench(g)->arg[1] = step;
	bench(g)->samples = n;
	bench_exec(&g->cpu[0], touch_guest);
}

GUEST void touch_all_guest(void)
{
	uint64_t at;

	for (at = RAM_GPA; at < RAM_GPA + RAM; at += PAGE_4K)
		*(volatile uint8_t *)at = 1;
	report(0);
}

/* All second-stage entries that RAM can have, in pages of 4K. */
static void touch_all(struct guest *g)
{
	bench_exec(&g->cpu[0], touch_all_guest);
}

/* arg 0: the size of a page; 1: the host has it */
static double fault(const struct row *row)
{
	int pages = RAM / row->arg[0], n = pages < bench_samples ? pages : bench_samples;
	struct guest g;
	double with;

	ram_guest(&g, row->arg[0], row->arg[1], 0);
	touch(&g, row->arg[0], n);
	with = bench_median(bench(&g)->sample[0], n);
	touch(&g, row->arg[0], n);
	return with - bench_median(bench(&g)->sample[0], n);
}

/* -------- several vCPUs -------- */

GUEST void storm_guest(void)
{
	uint64_t at;

	while ((at = __atomic_fetch_add(&BP->arg[0], PAGE_4K, __ATOMIC_RELAXED)) < RAM_GPA + RAM)
		*(volatile uint8_t *)at = 1;
	report(0);
}

static void *storm_thread(void *arg)
{
	irq_next(arg);
	return NULL;
}

/* Per page, present in the host: each vCPU takes the next one that nobody has touched. */
static double storm(const struct row *row)
{
	struct guest g;
	uint64_t t;
	void *ram;
	int i;

	bench_guest(&g, STORM_CPUS, true);
	ram = guest_alloc(RAM);
	madvise(ram, RAM, MADV_NOHUGEPAGE);
	memset(ram, 1, RAM);
	guest_slot(&g, 1, 0, RAM_GPA, RAM, ram);
	for (i = 0; i < STORM_CPUS; i++)
		bench_start(&g.cpu[i], storm_guest);
	bench(&g)->arg[0] = RAM_GPA;
	mark_begin();
	t = rdtsc_();
	for (i = 0; i < STORM_CPUS; i++)
		CHECK_EQ(pthread_create(&g.cpu[i].thread, NULL, storm_thread, &g.cpu[i]), 0);
	for (i = 0; i < STORM_CPUS; i++)
		pthread_join(g.cpu[i].thread, NULL);
	t = rdtsc_() - t;
	mark_end();
	return (double)t / PAGES;
}

/* -------- slots -------- */

enum { SLOT_CREATE, SLOT_MOVE, SLOT_DELETE };

static uint64_t time_slot(struct guest *g, uint64_t gpa, uint64_t size, void *ram)
{
	uint64_t t;

	mark_begin();
	t = rdtsc_();
	guest_slot(g, 1, 0, gpa, size, ram);
	t = rdtsc_() - t;
	mark_end();
	return t;
}

/* Of RAM that the guest has touched, but for its creation. */
static double slot(const struct row *row)
{
	uint64_t sample[TURNS];
	struct guest g;
	void *ram = ram_guest(&g, PAGE_4K, true, 0);
	int i;

	for (i = 0; i < TURNS; i++) {
		touch_all(&g);
		if (row->arg[0] == SLOT_MOVE) {
			sample[i] = time_slot(&g, MOVED_GPA, RAM, ram);
			guest_slot(&g, 1, 0, RAM_GPA, RAM, ram);
			continue;
		}
		if (row->arg[0] == SLOT_CREATE) {
			guest_slot(&g, 1, 0, RAM_GPA, 0, ram);
			sample[i] = time_slot(&g, RAM_GPA, RAM, ram);
		} else {
			sample[i] = time_slot(&g, RAM_GPA, 0, ram);
			guest_slot(&g, 1, 0, RAM_GPA, RAM, ram);
		}
	}
	return bench_median(sample, TURNS);
}

/* -------- the host takes it back -------- */

static uint64_t time_zap(void *ram)
{
	uint64_t t;

	mark_begin();
	t = rdtsc_();
	MUST(madvise(ram, RAM, MADV_DONTNEED));
	t = rdtsc_() - t;
	mark_end();
	return t;
}

/* MADV_DONTNEED of what the guest has touched, less that of what it has not. */
static double zap(const struct row *row)
{
	uint64_t with[TURNS], without[TURNS];
	struct guest g;
	void *ram = ram_guest(&g, PAGE_4K, true, 0);
	int i;

	for (i = 0; i < TURNS; i++) {
		memset(ram, 1, RAM);
		touch_all(&g);
		with[i] = time_zap(ram);
		memset(ram, 1, RAM);
		without[i] = time_zap(ram);
	}
	return bench_median(with, TURNS) - bench_median(without, TURNS);
}

/* -------- the dirty log -------- */

static uint64_t bitmap[PAGES / 64];

static void get_log(struct guest *g)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	MUST(ioctl(g->fd, KVM_GET_DIRTY_LOG, &log));
}

static void clear_log(struct guest *g)
{
	struct kvm_clear_dirty_log log = { .slot = 1, .num_pages = PAGES, .dirty_bitmap = bitmap };

	MUST(ioctl(g->fd, KVM_CLEAR_DIRTY_LOG, &log));
}

static uint64_t time_log(struct guest *g, void (*call)(struct guest *g))
{
	uint64_t t;

	mark_begin();
	t = rdtsc_();
	call(g);
	t = rdtsc_() - t;
	mark_end();
	return t;
}

static void manual_protect(struct guest *g)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { 1 } };

	MUST(ioctl(g->fd, KVM_ENABLE_CAP, &c));
}

GUEST void dirty_guest(void)
{
	uint64_t at = RAM_GPA, n;

	for (n = BP->arg[0]; n; n--, at += BP->arg[1])
		*(volatile uint8_t *)at = 1;
	report(0);
}

static void dirty_some(struct guest *g, uint64_t n)
{
	bench(g)->arg[0] = n;
	bench(g)->arg[1] = PAGES / n * PAGE_4K;
	bench_exec(&g->cpu[0], dirty_guest);
}

/* arg 0: dirty pages; 1: what is timed is CLEAR, and GET has nothing to protect */
static double dirty(const struct row *row)
{
	uint64_t sample[TURNS];
	struct guest g;
	int i;

	ram_guest(&g, PAGE_4K, true, KVM_MEM_LOG_DIRTY_PAGES);
	if (row->arg[1])
		manual_protect(&g);
	touch_all(&g);
	get_log(&g);
	if (row->arg[1])
		clear_log(&g);
	for (i = 0; i < TURNS; i++) {
		dirty_some(&g, row->arg[0]);
		if (row->arg[1])
			get_log(&g);
		sample[i] = time_log(&g, row->arg[1] ? clear_log : get_log);
	}
	return bench_median(sample, TURNS);
}

/* The first write to a page after the log was read. */
static double dirty_fault(const struct row *row)
{
	struct guest g;
	double with;

	ram_guest(&g, PAGE_4K, true, KVM_MEM_LOG_DIRTY_PAGES);
	touch_all(&g);
	get_log(&g);
	touch(&g, PAGE_4K, bench_samples);
	with = bench_median(bench(&g)->sample[0], bench_samples);
	touch(&g, PAGE_4K, bench_samples);
	return with - bench_median(bench(&g)->sample[0], bench_samples);
}

static const struct row rows[] = {
	{ "fault.4k", fault, .arg = { PAGE_4K, true } },
	{ "fault.4k.absent", fault, .arg = { PAGE_4K, false } },
	{ "fault.2m", fault, .arg = { PAGE_2M, true } },
	{ "fault.2m.absent", fault, .arg = { PAGE_2M, false } },
	{ "fault.storm", storm },
	{ "slot.create", slot, .arg = { SLOT_CREATE } },
	{ "slot.move", slot, .arg = { SLOT_MOVE } },
	{ "slot.delete", slot, .arg = { SLOT_DELETE } },
	{ "zap", zap },
	{ "dirty.fault", dirty_fault },
	{ "dirty.get.0.01%", dirty, .arg = { PAGES / 8192, false } },
	{ "dirty.get.1%", dirty, .arg = { PAGES / 100, false } },
	{ "dirty.get.all", dirty, .arg = { PAGES, false } },
	{ "dirty.clear.0.01%", dirty, .arg = { PAGES / 8192, true } },
	{ "dirty.clear.1%", dirty, .arg = { PAGES / 100, true } },
	{ "dirty.clear.all", dirty, .arg = { PAGES, true } },
};

BENCH_MAIN(rows)
