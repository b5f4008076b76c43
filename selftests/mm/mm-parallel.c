// SPDX-License-Identifier: GPL-2.0-only
/* Several vCPUs fault at once, on the same pages and on neighbours. */
#include "code.h"

#define MB	(1ul << 20)
#define NCPUS	4
#define SIZE	(32 * MB)
#define GPA	(64 * MB)

static void start(struct guest_cpu *cpu, unsigned long entry, uint64_t rdi, uint64_t rsi,
		  uint64_t rdx, uint64_t rcx)
{
	guest_call(cpu, entry, rdi, rsi, rdx, rcx);
	CHECK_EQ(pthread_create(&cpu->thread, NULL, mm_thread, cpu), 0);
}

static void join(struct guest_cpu *cpu)
{
	void *r;

	CHECK_EQ(pthread_join(cpu->thread, &r), 0);
	CHECK_EQ((long)r, 0);
	guest_expect(cpu, KVM_EXIT_HLT);
}

static uint8_t *create(struct guest *g, bool huge)
{
	uint8_t *mem = guest_alloc(SIZE);

	mm_guest(g, 32 * MB, NCPUS);
	madvise(mem, SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	guest_slot(g, 1, 0, GPA, SIZE, mem);
	return mem;
}

/* Each vCPU writes every fourth page: tables are shared, pages are not. */
static void neighbours(bool huge)
{
	struct guest g;
	uint8_t *mem = create(&g, huge);
	unsigned long i;

	for (i = 0; i < NCPUS; i++)
		start(&g.cpu[i], ENTRY(fill), GPA + i * PAGE_4K, GPA + SIZE, NCPUS * PAGE_4K, i);
	for (i = 0; i < NCPUS; i++)
		join(&g.cpu[i]);
	for (i = 0; i < SIZE / PAGE_4K; i++)
		CHECK_EQ(*(uint64_t *)(mem + i * PAGE_4K), (GPA + i * PAGE_4K) ^ (i % NCPUS));
}

static void neighbours_small(void)
{
	neighbours(false);
}

static void neighbours_huge(void)
{
	neighbours(true);
}

/* All write words of their own in the same pages. */
static void same_pages(void)
{
	struct guest g;
	uint8_t *mem = create(&g, false);
	unsigned long i, n;

	for (i = 0; i < NCPUS; i++)
		start(&g.cpu[i], ENTRY(fill), GPA + i * 64, GPA + SIZE, PAGE_4K, i);
	for (i = 0; i < NCPUS; i++)
		join(&g.cpu[i]);
	for (i = 0; i < SIZE / PAGE_4K; i++) {
		for (n = 0; n < NCPUS; n++)
			CHECK_EQ(*(uint64_t *)(mem + i * PAGE_4K + n * 64),
				 (GPA + i * PAGE_4K + n * 64) ^ n);
	}
}

/* The host takes the pages away again and again; the words must not mix. */
static void against_zap(void)
{
	struct guest g;
	uint8_t *mem = create(&g, true);
	unsigned long i, n;

	for (i = 0; i < NCPUS; i++)
		start(&g.cpu[i], ENTRY(fill), GPA + i * 64, GPA + SIZE, PAGE_4K, i);
	for (i = 0; i < 40; i++) {
		MUST(mprotect(mem, SIZE, PROT_READ | PROT_WRITE | (i & 1 ? 0 : PROT_EXEC)));
		MUST(mprotect(mem + i * PAGE_4K, PAGE_4K, PROT_READ | PROT_WRITE | PROT_EXEC));
		usleep(2000);
	}
	for (i = 0; i < NCPUS; i++)
		join(&g.cpu[i]);
	for (i = 0; i < SIZE / PAGE_4K; i++) {
		for (n = 0; n < NCPUS; n++)
			CHECK_EQ(*(uint64_t *)(mem + i * PAGE_4K + n * 64),
				 (GPA + i * PAGE_4K + n * 64) ^ n);
	}
}

static uint8_t bitmap[SIZE / PAGE_4K / 8];

static void collect(struct guest *g, uint8_t *copy, const uint8_t *mem)
{
	struct kvm_dirty_log d = { .slot = 1, .dirty_bitmap = bitmap };
	unsigned long i;

	MUST(ioctl(g->fd, KVM_GET_DIRTY_LOG, &d));
	for (i = 0; i < SIZE / PAGE_4K; i++) {
		if (bitmap[i / 8] >> (i % 8) & 1)
			memcpy(copy + i * PAGE_4K, mem + i * PAGE_4K, PAGE_4K);
	}
}

/* Dirty logging with all vCPUs writing the same pages. */
static void against_log(void)
{
	struct guest g;
	uint8_t *mem = create(&g, true), *copy = guest_alloc(SIZE);
	unsigned long i;

	guest_slot(&g, 1, KVM_MEM_LOG_DIRTY_PAGES, GPA, SIZE, mem);
	for (i = 0; i < NCPUS; i++)
		start(&g.cpu[i], ENTRY(fill), GPA + i * 64, GPA + SIZE, PAGE_4K, i);
	for (i = 0; i < 20; i++) {
		collect(&g, copy, mem);
		usleep(5000);
	}
	for (i = 0; i < NCPUS; i++)
		join(&g.cpu[i]);
	collect(&g, copy, mem);
	CHECK(!memcmp(copy, mem, SIZE));
}

static const struct test tests[] = {
	{ "neighbours_4k", neighbours_small },
	{ "neighbours_2m", neighbours_huge },
	{ "same_pages", same_pages },
	{ "against_zap", against_zap, 120 },
	{ "against_dirty_log", against_log, 120 },
};

TEST_MAIN(tests)
