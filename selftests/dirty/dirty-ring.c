// SPDX-License-Identifier: GPL-2.0-only
/* Dirty rings: the ABI of KVM_CAP_DIRTY_LOG_RING, KVM_RESET_DIRTY_RINGS and the exit of a full ring. */
#include "dirty.h"

#define MAX_BYTES	(65536u * (uint32_t)sizeof(struct kvm_dirty_gfn))

/* -------- enabling -------- */

static void need_rings(struct guest *g)
{
	if (ioctl(g->fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING) <= 0)
		SKIP("no dirty rings");
}

static void enabling(void)
{
	static const struct {
		uint64_t bytes;
		int err;
	} wrong[] = {
		{ 0, -EINVAL }, { 12288, -EINVAL }, { 65537, -EINVAL }, { 512, -EINVAL },
		{ 2048, -EINVAL }, { 2 * MAX_BYTES, -E2BIG }, { 1u << 31, -E2BIG },
	};
	struct guest g;
	unsigned int i;

	guest_create(&g, PAGE_2M);
	need_rings(&g);
	CHECK_EQ(ioctl(g.dev, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING), MAX_BYTES);
	CHECK_EQ(ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL), MAX_BYTES);
	CHECK_EQ(ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP), 0);
	CHECK_EQ(ring_reset(&g), -EINVAL);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_EQ(enable_cap(&g, KVM_CAP_DIRTY_LOG_RING, wrong[i].bytes, 0), wrong[i].err);
	/* The size has 32 bits, and the flags are not looked at. */
	CHECK_EQ(enable_cap(&g, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 1ull << 32 | RING_BYTES, 1), 0);
	CHECK_EQ(enable_cap(&g, KVM_CAP_DIRTY_LOG_RING, RING_BYTES, 0), -EINVAL);
	CHECK_EQ(enable_cap(&g, KVM_CAP_DIRTY_LOG_RING, 2 * MAX_BYTES, 0), -E2BIG);
	CHECK_EQ(enable_cap(&g, KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP, 1, 0), -EINVAL);
	CHECK_EQ(ring_reset(&g), 0);
}

static void too_late(void)
{
	struct guest g;

	guest_create(&g, PAGE_2M);
	need_rings(&g);
	guest_add_cpu(&g);
	CHECK_EQ(enable_cap(&g, KVM_CAP_DIRTY_LOG_RING, RING_BYTES, 0), -EINVAL);
	CHECK_EQ(ring_reset(&g), -EINVAL);
}

/* With rings there are no bitmaps, whatever the slot. */
static void no_bitmap(void)
{
	struct kvm_dirty_log get = { .slot = SLOT };
	struct kvm_clear_dirty_log clear = { .slot = SLOT, .num_pages = 64 };
	struct dirty d;

	dirty_guest(&d, true, false, 1);
	log_on(&d, true);
	get.dirty_bitmap = clear.dirty_bitmap = d.bits;
	CHECK_EQ(ioctl(d.g.fd, KVM_GET_DIRTY_LOG, &get) ? -errno : 0, -ENXIO);
	CHECK_EQ(ioctl(d.g.fd, KVM_CLEAR_DIRTY_LOG, &clear) ? -errno : 0, -ENXIO);
	get.slot = clear.slot = 9u << 16;
	CHECK_EQ(ioctl(d.g.fd, KVM_GET_DIRTY_LOG, &get) ? -errno : 0, -ENXIO);
	CHECK_EQ(ioctl(d.g.fd, KVM_CLEAR_DIRTY_LOG, &clear) ? -errno : 0, -ENXIO);
}

static int map_errno(int fd, int prot, int flags, uint64_t page, size_t pages)
{
	void *p = mmap(NULL, pages * PAGE_4K, prot, flags, fd, page * PAGE_4K);

	return p == MAP_FAILED ? -errno : 0;
}

static void mapping(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct dirty d;
	int fd;

	dirty_guest(&d, true, false, 1);
	fd = d.cpu->fd;
	CHECK_EQ(map_errno(fd, rw, MAP_SHARED, KVM_DIRTY_LOG_PAGE_OFFSET, 1), 0);
	CHECK_EQ(map_errno(fd, PROT_READ, MAP_SHARED, KVM_DIRTY_LOG_PAGE_OFFSET + 3, 2), 0);
	CHECK_EQ(map_errno(fd, rw, MAP_PRIVATE, KVM_DIRTY_LOG_PAGE_OFFSET, 1), -EINVAL);
	CHECK_EQ(map_errno(fd, rw | PROT_EXEC, MAP_SHARED, KVM_DIRTY_LOG_PAGE_OFFSET, 1), -EINVAL);
	/* First or last page. */
	CHECK_EQ(map_errno(fd, rw, MAP_PRIVATE, KVM_DIRTY_LOG_PAGE_OFFSET - 1, 2), -EINVAL);
	CHECK_EQ(map_errno(fd, rw, MAP_PRIVATE,
			   KVM_DIRTY_LOG_PAGE_OFFSET + RING_BYTES / PAGE_4K - 1, 2), -EINVAL);
	CHECK_EQ(map_errno(fd, rw, MAP_PRIVATE, 0, 2), 0);
}

/* -------- what is told -------- */

static void basic(bool huge)
{
	struct dirty d;

	dirty_guest(&d, true, huge, 1);
	dirty_expect(&d, 0, 0, 0);
	log_on(&d, true);
	dirty_expect(&d, 0, 0, 0);
	CHECK_EQ(CALL(d.cpu, check, GPA, GPA + SIZE, PAGE_4K, 1), 0);
	dirty_expect(&d, 0, 0, 0);
	write_pages(&d, 3, NPAGES, 7);
	dirty_expect(&d, 3, NPAGES, 7);
	dirty_expect(&d, 0, 0, 0);
	write_pages(&d, 3, NPAGES, 7);
	write_pages(&d, 3, NPAGES, 14);
	dirty_expect(&d, 3, NPAGES, 7);
	write_pages(&d, NPAGES - 1, NPAGES, 1);
	dirty_expect(&d, NPAGES - 1, NPAGES, 1);
	log_on(&d, false);
	write_pages(&d, 0, NPAGES, 1);
	dirty_expect(&d, 0, 0, 0);
	log_on(&d, true);
	write_pages(&d, 5, NPAGES, 600);
	dirty_expect(&d, 5, NPAGES, 600);
}

static void basic_small(void)
{
	basic(false);
}

static void basic_huge(void)
{
	basic(true);
}

/* An entry is taken back only when it was harvested, and only then its page is watched again. */
static void reset_rules(void)
{
	struct dirty d;
	struct ring *r;

	dirty_guest(&d, true, false, 1);
	log_on(&d, true);
	r = &d.ring[0];
	write_pages(&d, 0, 50, 1);
	CHECK_EQ(ring_reset(&d.g), 0);
	CHECK_EQ(ring_harvest(&d, r, 20), 20);
	CHECK_EQ(ring_reset(&d.g), 20);
	CHECK_EQ(ring_reset(&d.g), 0);
	/* Written again: only what was reset is told again. */
	write_pages(&d, 0, 50, 1);
	CHECK_EQ(ring_harvest(&d, r, 30), 30);
	CHECK_EQ(ring_harvest(&d, r, RING_NR), 20);
	/* Harvested, not reset: still not watched. */
	write_pages(&d, 0, 50, 1);
	CHECK(!ring_peek(r));
	CHECK_EQ(ring_reset(&d.g), 50);
	write_pages(&d, 0, 50, 1);
	CHECK_EQ(ring_harvest(&d, r, RING_NR), 50);
	/* Bit 0 may stay. */
	r->gfn[(r->next - 1) % RING_NR].flags |= KVM_DIRTY_GFN_F_DIRTY;
	CHECK_EQ(ring_reset(&d.g), 50);
	/* Entries that were reset are free. */
	CHECK_EQ(r->gfn[(r->next - 1) % RING_NR].flags, 0);
	/* Only the first of those that were not harvested counts. */
	write_pages(&d, 0, 2, 1);
	r->next++;
	ring_take(r);
	CHECK_EQ(ring_reset(&d.g), 0);
	r->next -= 2;
	ring_take(r);
	CHECK_EQ(ring_reset(&d.g), 2);
}

/* More laps than one. */
static void laps(void)
{
	unsigned long i, from;
	struct dirty d;

	dirty_guest(&d, true, false, 1);
	log_on(&d, true);
	for (i = 0; i < 5; i++) {
		from = i * 300;
		write_pages(&d, from, from + 1500, 1);
		dirty_expect(&d, from, from + 1500, 1);
	}
}

/* What user space may have scribbled into harvested entries. KVM tells what the hardware logged in its own order. */
static void scribbled(void)
{
	static const struct {
		uint32_t slot;
		uint64_t offset;
	} wrong[] = {
		{ SLOT, NPAGES }, { SLOT, ~0ull }, { SLOT, 1ull << 52 }, { SLOT + 1, 0 },
		{ 1u << 16 | SLOT, 0 }, { 7u << 16, 0 }, { ~0u, ~0ull }, { 0x7fff, 1 }, { 0, 0 },
	};
	struct kvm_dirty_gfn *e;
	uint64_t good = 100;
	unsigned int i;
	struct dirty d;

	dirty_guest(&d, true, false, 1);
	log_on(&d, true);
	write_pages(&d, 0, 100, 1);
	for (i = 0; i < 100; i++) {
		e = ring_peek(&d.ring[0]);
		CHECK(e);
		if (i < 50) {
			good = e->offset < good ? e->offset : good;
		} else {
			e->slot = wrong[i % 9].slot;
			e->offset = wrong[i % 9].offset;
		}
		ring_take(&d.ring[0]);
	}
	CHECK_EQ(ring_reset(&d.g), 100);
	/* The good ones are watched again. */
	write_pages(&d, 0, 100, 1);
	dirty_expect(&d, good, good + 50, 1);
}

/* Entries that were never dirty are not taken back. KVM takes what is marked. */
static void marked_ahead(void)
{
	struct dirty d;
	uint32_t i;

	dirty_guest(&d, true, false, 1);
	if (device_is_kvm())
		SKIP("KVM takes them back, and believes the ring full then");
	log_on(&d, true);
	write_pages(&d, 0, 10, 1);
	for (i = 0; i < RING_NR; i++)
		d.ring[0].gfn[i].flags = KVM_DIRTY_GFN_F_RESET;
	CHECK_EQ(ring_reset(&d.g), 10);
	CHECK_EQ(ring_reset(&d.g), 0);
	write_pages(&d, 20, 30, 1);
	CHECK_EQ(d.ring[0].gfn[10].flags, KVM_DIRTY_GFN_F_DIRTY);
}

static void own_rings(void)
{
	struct dirty d;
	unsigned long i;

	dirty_guest(&d, true, false, 3);
	log_on(&d, true);
	for (i = 0; i < 3; i++)
		CALL(&d.g.cpu[i], fill, GPA + i * PAGE_4K, GPA + 30 * PAGE_4K, 3 * PAGE_4K, 2);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(ring_peek(&d.ring[i])->offset % 3, i);
		CHECK_EQ(ring_harvest(&d, &d.ring[i], RING_NR), 10);
	}
	CHECK_EQ(ring_reset(&d.g), 30);
	/* A page that one has already told of is not told by another. */
	CALL(&d.g.cpu[0], write, GPA, 1);
	CALL(&d.g.cpu[1], write, GPA, 2);
	CHECK(ring_peek(&d.ring[0]) && !ring_peek(&d.ring[1]));
}

/* -------- the full ring -------- */

static void run_full(struct dirty *d)
{
	CHECK_EQ(guest_run(d->cpu), 0);
	guest_expect(d->cpu, KVM_EXIT_DIRTY_RING_FULL);
}

static void full(void)
{
	uint32_t n, sum = 0;
	struct dirty d;
	int rounds;

	dirty_guest(&d, true, false, 1);
	log_on(&d, true);
	guest_call(d.cpu, ENTRY(fill), GPA, GPA + SIZE, PAGE_4K, 3);
	run_full(&d);
	run_full(&d);
	n = ring_harvest(&d, &d.ring[0], RING_NR);
	/* 64 entries and as many as the hardware's log has stay free. */
	CHECK(n >= RING_NR - 64 - 512 && n < RING_NR, "(%u)", n);
	run_full(&d);
	CHECK_EQ(ring_reset(&d.g), n);
	sum = n;
	for (rounds = 0; rounds < 10; rounds++) {
		CHECK_EQ(guest_run(d.cpu), 0);
		n = ring_harvest(&d, &d.ring[0], RING_NR);
		CHECK_EQ(ring_reset(&d.g), n);
		sum += n;
		if (d.cpu->run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			break;
	}
	guest_expect(d.cpu, KVM_EXIT_HLT);
	/* The page whose write found the ring full is told twice. */
	CHECK(sum == NPAGES || sum == NPAGES + 1, "(%u)", sum);
	for (n = 0; n < NPAGES; n++)
		CHECK(is_dirty(&d, n), "(page %u)", n);
	CHECK_EQ(CALL(d.cpu, check, GPA, GPA + SIZE, PAGE_4K, 3), 0);
}

/* A little room is enough to go on. */
static void a_little_room(void)
{
	struct dirty d;
	int i;

	dirty_guest(&d, true, false, 1);
	log_on(&d, true);
	guest_call(d.cpu, ENTRY(fill), GPA, GPA + SIZE, PAGE_4K, 3);
	run_full(&d);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(ring_harvest(&d, &d.ring[0], 5), 5);
		CHECK_EQ(ring_reset(&d.g), 5);
		CHECK_EQ(guest_run(d.cpu), 0);
	}
}

/* -------- a migration in miniature -------- */

static void *run_thread(void *arg)
{
	struct guest_cpu *cpu = arg;

	for (;;) {
		if (guest_run(cpu) || cpu->run->exit_reason != KVM_EXIT_DIRTY_RING_FULL)
			return NULL;
		usleep(1000);
	}
}

static void copy_dirty(struct dirty *d, uint8_t *copy)
{
	unsigned long i;

	dirty_collect(d);
	for (i = 0; i < NPAGES; i++) {
		if (is_dirty(d, i))
			memcpy(copy + i * PAGE_4K, d->mem + i * PAGE_4K, PAGE_4K);
	}
}

static void follow(bool huge, int ncpus)
{
	uint8_t *copy = guest_alloc(SIZE);
	volatile uint64_t *stop;
	struct dirty d;
	int i;

	dirty_guest(&d, true, huge, ncpus);
	log_on(&d, true);
	memcpy(copy, d.mem, SIZE);
	stop = (void *)(d.g.mem + STOP_GPA);
	*stop = 0;
	for (i = 0; i < ncpus; i++) {
		guest_call(&d.g.cpu[i], ENTRY(bump), GPA + i * 8, GPA + SIZE, 3 * PAGE_4K, STOP_GPA);
		CHECK_EQ(pthread_create(&d.g.cpu[i].thread, NULL, run_thread, &d.g.cpu[i]), 0);
	}
	for (i = 0; i < 40; i++) {
		copy_dirty(&d, copy);
		usleep(10000);
	}
	*stop = 1;
	/* They may wait for room yet. */
	for (i = 0; i < ncpus; i++) {
		while (pthread_tryjoin_np(d.g.cpu[i].thread, NULL)) {
			copy_dirty(&d, copy);
			usleep(1000);
		}
		guest_expect(&d.g.cpu[i], KVM_EXIT_HLT);
		CHECK(guest_regs(&d.g.cpu[i]).rax > 0);
	}
	copy_dirty(&d, copy);
	CHECK(!memcmp(copy, d.mem, SIZE));
	dirty_expect(&d, 0, 0, 0);
}

static void follow_small(void)
{
	follow(false, 1);
}

static void follow_huge(void)
{
	follow(true, 1);
}

static void follow_two(void)
{
	follow(true, 2);
}

static const struct test tests[] = {
	{ "enabling", enabling },
	{ "too_late", too_late },
	{ "no_bitmap", no_bitmap },
	{ "mapping", mapping },
	{ "basic_4k", basic_small },
	{ "basic_2m", basic_huge },
	{ "reset_rules", reset_rules },
	{ "laps", laps },
	{ "scribbled_entries", scribbled },
	{ "marked_ahead", marked_ahead },
	{ "own_rings", own_rings },
	{ "full", full },
	{ "a_little_room", a_little_room },
	{ "copy_follows_writer_4k", follow_small, 120 },
	{ "copy_follows_writer_2m", follow_huge, 120 },
	{ "copy_follows_two_writers", follow_two, 120 },
};

TEST_MAIN(tests)
