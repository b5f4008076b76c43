// SPDX-License-Identifier: GPL-2.0-only
/* VT-x's page-modification log: what it saves, when it is on, and that it is emptied in time. */
#include "dirty.h"

static uint64_t stat_of(struct dirty *d, const char *name)
{
	return guest_cpu_stat(d->cpu, name);
}

static void pml_guest(struct dirty *d, bool rings)
{
	char on = 'N';
	FILE *f = fopen("/sys/module/vmm/parameters/pml", "r");

	if (!f || fread(&on, 1, 1, f) != 1 || on != 'Y')
		SKIP("no page-modification log");
	fclose(f);
	dirty_guest(d, rings, false, 1);
}

/* Pages that are mapped are told without a fault. */
static void no_faults(bool rings)
{
	uint64_t faults, full, logged;
	struct dirty d;

	pml_guest(&d, rings);
	log_on(&d, true);
	faults = stat_of(&d, "pf_taken");
	full = stat_of(&d, "pml_full");
	logged = stat_of(&d, "pml_logged");
	write_pages(&d, 0, 2000, 1);
	CHECK(stat_of(&d, "pf_taken") - faults < 20);
	CHECK(stat_of(&d, "pml_logged") - logged >= 2000);
	CHECK(stat_of(&d, "pml_full") - full >= 2);
	dirty_expect(&d, 0, 2000, 1);
	/* And again, when they have been collected. */
	write_pages(&d, 100, 200, 3);
	CHECK(stat_of(&d, "pf_taken") - faults < 20);
	dirty_expect(&d, 100, 200, 3);
	/* What has D is not logged twice. */
	write_pages(&d, 0, 100, 1);
	logged = stat_of(&d, "pml_logged");
	write_pages(&d, 0, 100, 1);
	CHECK(stat_of(&d, "pml_logged") - logged < 20);
	dirty_expect(&d, 0, 100, 1);
}

static void no_faults_bitmap(void)
{
	no_faults(false);
}

static void no_faults_ring(void)
{
	no_faults(true);
}

/* In the order in which they were written. */
static void in_order(void)
{
	struct kvm_dirty_gfn *e;
	struct dirty d;
	uint64_t i;

	pml_guest(&d, true);
	log_on(&d, true);
	write_pages(&d, 0, 700, 1);
	for (i = 0; i < 700; i++) {
		e = ring_peek(&d.ring[0]);
		CHECK(e && e->offset == i, "(entry %d)", (int)i);
		ring_take(&d.ring[0]);
	}
}

/* Every page up to this one is bumped at least once more. */
static void await_lap(struct dirty *d, int page)
{
	volatile uint64_t *word = (uint64_t *)(d->mem + page * PAGE_4K);
	uint64_t start = *word;

	while (*word - start < 2)
		usleep(1000);
}

/* The log of a vCPU that does not leave the guest is asked for. */
static void while_running(void)
{
	struct dirty d;
	int i, page;

	pml_guest(&d, false);
	log_on(&d, true);
	mm_start_bump(d.cpu, GPA, GPA + 8 * PAGE_4K, PAGE_4K);
	for (i = 0; i < 20; i++) {
		await_lap(&d, 7);
		dirty_collect(&d);
		for (page = 0; page < 8; page++)
			CHECK(is_dirty(&d, page), "(round %d, page %d)", i, page);
	}
	CHECK(mm_stop(d.cpu) > 0);
}

/* On only while a slot is logged. */
static void switched(void)
{
	uint64_t logged;
	struct dirty d;
	int i;

	pml_guest(&d, false);
	for (i = 0; i < 3; i++) {
		log_on(&d, true);
		write_pages(&d, 0, 300, 1);
		dirty_expect(&d, 0, 300, 1);
		log_on(&d, false);
		logged = stat_of(&d, "pml_logged");
		write_pages(&d, 0, NPAGES, 1);
		CHECK_EQ(stat_of(&d, "pml_logged"), logged);
	}
}

/* The second slot keeps it on when the first one goes. */
static void two_slots(void)
{
	uint8_t *mem = guest_alloc(PAGE_2M);
	uint64_t logged;
	struct dirty d;

	pml_guest(&d, false);
	guest_slot(&d.g, 6, KVM_MEM_LOG_DIRTY_PAGES, GPA + SIZE, PAGE_2M, mem);
	log_on(&d, true);
	guest_slot(&d.g, 6, 0, 0, 0, NULL);
	write_pages(&d, 7, NPAGES, 11);
	dirty_expect(&d, 7, NPAGES, 11);
	log_on(&d, false);
	logged = stat_of(&d, "pml_logged");
	write_pages(&d, 0, NPAGES, 1);
	CHECK_EQ(stat_of(&d, "pml_logged"), logged);
}

/* Slots that are logged from the start: behind all others, by gfn and by address, and not. */
static void born_logged(void)
{
	const uint64_t gpa = GPA + SIZE;
	uint64_t logged;
	struct dirty d;
	int i;

	for (i = 0; i < 2; i++) {
		pml_guest(&d, false);
		guest_slot(&d.g, d.slot, 0, 0, 0, NULL);
		/* With three others there is room for a fourth. */
		guest_slot(&d.g, 8, 0, 40 * MB, PAGE_2M, d.g.mem);
		guest_slot(&d.g, 9, 0, 44 * MB, PAGE_2M, d.g.mem + PAGE_2M);
		d.mem = i ? d.g.mem + 8 * MB : guest_alloc(SIZE);
		/* There, and in small pages, so that a read maps them for writing. */
		madvise(d.mem, SIZE, MADV_NOHUGEPAGE);
		memset(d.mem, 0, SIZE);
		log_on(&d, true);
		CALL(d.cpu, zeros, GPA, GPA + SIZE, PAGE_4K);
		dirty_collect(&d);
		CALL(d.cpu, write, GPA + 5 * PAGE_4K, 1);
		CALL(d.cpu, write, gpa - PAGE_4K, 1);
		CHECK(stat_of(&d, "pml_logged") >= 2);
		dirty_expect(&d, 5, NPAGES, NPAGES - 6);
		log_on(&d, false);
		logged = stat_of(&d, "pml_logged");
		write_pages(&d, 0, NPAGES, 1);
		CHECK_EQ(stat_of(&d, "pml_logged"), logged);
	}
}

static void late_cpu(void)
{
	struct guest_cpu *cpu;
	struct dirty d;

	pml_guest(&d, false);
	log_on(&d, true);
	cpu = guest_add_cpu(&d.g);
	guest_mode(cpu, GUEST_LONG);
	CALL(cpu, fill, GPA, GPA + 64 * PAGE_4K, PAGE_4K, 4);
	CHECK(guest_cpu_stat(cpu, "pml_logged") >= 64);
	dirty_expect(&d, 0, 64, 1);
}

/* A page that is only read comes writable, and its first write is told. */
static void read_first(void)
{
	struct dirty d;
	uint64_t faults;

	pml_guest(&d, false);
	log_on(&d, true);
	MUST(madvise(d.mem, SIZE, MADV_DONTNEED));
	memset(d.mem, 0, SIZE);
	CHECK_EQ(CALL(d.cpu, zeros, GPA, GPA + 500 * PAGE_4K, PAGE_4K), 0);
	dirty_expect(&d, 0, 0, 0);
	faults = stat_of(&d, "pf_taken");
	write_pages(&d, 1, 500, 2);
	CHECK(stat_of(&d, "pf_taken") - faults < 20);
	dirty_expect(&d, 1, 500, 2);
}

/*
 * A slot that is moved takes along what a vCPU has not told yet. That is something only where the vCPU has a processor of
 * its own: one that is preempted has told.
 */
static void moved(bool rings)
{
	const uint64_t away = GPA + 4 * SIZE;
	struct dirty d;
	int i, page;

	pml_guest(&d, rings);
	log_on(&d, true);
	for (i = 0; i < 10; i++) {
		/* mapped, and without D: the next write is the log's alone */
		write_pages(&d, 0, 8, 1);
		dirty_collect(&d);
		mm_start_linger(d.cpu, GPA, GPA + 8 * PAGE_4K, PAGE_4K);
		guest_slot(&d.g, d.slot, KVM_MEM_LOG_DIRTY_PAGES, away, SIZE, d.mem);
		dirty_collect(&d);
		for (page = 0; page < 8; page++)
			CHECK(is_dirty(&d, page), "(round %d, page %d)", i, page);
		mm_stop(d.cpu);
		log_on(&d, true);
	}
}

static void moved_bitmap(void)
{
	moved(false);
}

static void moved_ring(void)
{
	moved(true);
}

static const struct test tests[] = {
	{ "no_faults_bitmap", no_faults_bitmap },
	{ "no_faults_ring", no_faults_ring },
	{ "in_order", in_order },
	{ "while_running", while_running },
	{ "switched", switched },
	{ "two_slots", two_slots },
	{ "born_logged", born_logged },
	{ "late_cpu", late_cpu },
	{ "read_first", read_first },
	{ "moved_bitmap", moved_bitmap },
	{ "moved_ring", moved_ring },
};

TEST_MAIN(tests)
