/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of dirty tracking share: a guest with one logged slot, tracked
 * by rings or by a bitmap, and what was told of it so far.
 */
#ifndef DIRTY_H
#define DIRTY_H

#include "../mm/code.h"

#define MB		(1ul << 20)
#define SLOT		5
#define GPA		(64 * MB)
#define SIZE		(16 * MB)
#define NPAGES		(SIZE / PAGE_4K)
#define RING_BYTES	(64 * 1024u)	/* 4096 entries */
#define RING_NR		(RING_BYTES / (uint32_t)sizeof(struct kvm_dirty_gfn))

#ifndef KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP
#define KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP 225
#endif

struct ring {
	struct kvm_dirty_gfn *gfn;
	uint32_t next;
};

struct dirty {
	struct guest g;
	struct guest_cpu *cpu;
	bool rings;
	uint32_t slot;
	struct ring ring[GUEST_MAX_CPUS];
	uint8_t *mem;
	uint64_t bits[NPAGES / 64];	/* told by the last dirty_collect() */
};

static inline int enable_cap(struct guest *g, uint32_t cap, uint64_t arg, uint32_t flags)
{
	struct kvm_enable_cap c = { .cap = cap, .flags = flags, .args = { arg } };

	return ioctl(g->fd, KVM_ENABLE_CAP, &c) ? -errno : 0;
}

static inline void *ring_map(int fd, int prot, int flags)
{
	return mmap(NULL, RING_BYTES, prot, flags, fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_4K);
}

static inline int ring_reset(struct guest *g)
{
	int n = ioctl(g->fd, KVM_RESET_DIRTY_RINGS, 0);

	return n < 0 ? -errno : n;
}

/* The next entry, NULL when nothing is dirty. */
static inline struct kvm_dirty_gfn *ring_peek(struct ring *r)
{
	struct kvm_dirty_gfn *e = &r->gfn[r->next % RING_NR];
	uint32_t flags = __atomic_load_n(&e->flags, __ATOMIC_ACQUIRE);

	return (flags & (KVM_DIRTY_GFN_F_DIRTY | KVM_DIRTY_GFN_F_RESET)) == KVM_DIRTY_GFN_F_DIRTY ?
	       e : NULL;
}

static inline void ring_take(struct ring *r)
{
	struct kvm_dirty_gfn *e = &r->gfn[r->next++ % RING_NR];

	__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
}

static inline bool is_dirty(const struct dirty *d, unsigned long page)
{
	return d->bits[page / 64] >> (page % 64) & 1;
}

/* Takes what one ring holds, at most @max entries; how many. */
static inline uint32_t ring_harvest(struct dirty *d, struct ring *r, uint32_t max)
{
	struct kvm_dirty_gfn *e;
	uint32_t n;

	for (n = 0; n < max && (e = ring_peek(r)); n++) {
		CHECK_EQ(e->slot, d->slot);
		CHECK(e->offset < NPAGES);
		d->bits[e->offset / 64] |= 1ull << (e->offset % 64);
		ring_take(r);
	}
	return n;
}

/* What was written since the last time, into d->bits; its pages are watched again. */
static inline uint32_t dirty_collect(struct dirty *d)
{
	struct kvm_dirty_log log = { .slot = d->slot, .dirty_bitmap = d->bits };
	uint32_t n = 0;
	int i;

	memset(d->bits, 0, sizeof(d->bits));
	if (!d->rings) {
		MUST(ioctl(d->g.fd, KVM_GET_DIRTY_LOG, &log));
		return 0;
	}
	for (i = 0; i < d->g.ncpus; i++)
		n += ring_harvest(d, &d->ring[i], RING_NR);
	CHECK_EQ(ring_reset(&d->g), n);
	return n;
}

static inline void log_on(struct dirty *d, bool on)
{
	guest_slot(&d->g, d->slot, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, GPA, SIZE, d->mem);
}

static inline void dirty_slot(struct dirty *d, bool huge)
{
	d->slot = SLOT;
	d->mem = guest_alloc(SIZE);
	madvise(d->mem, SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	log_on(d, false);
}

static inline void dirty_rings(struct dirty *d, bool rings)
{
	d->rings = rings;
	if (!rings)
		return;
	if (ioctl(d->g.fd, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING) <= 0)
		SKIP("no dirty rings");
	CHECK_EQ(enable_cap(&d->g, KVM_CAP_DIRTY_LOG_RING, RING_BYTES, 0), 0);
}

static inline void dirty_map_ring(struct dirty *d, struct guest_cpu *cpu)
{
	if (!d->rings)
		return;
	d->ring[cpu->id].gfn = ring_map(cpu->fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(d->ring[cpu->id].gfn != MAP_FAILED);
}

/* A long-mode guest with mm_code, its slot all mapped writable and not logged yet. */
static inline void dirty_guest(struct dirty *d, bool rings, bool huge, int ncpus)
{
	memset(d, 0, sizeof(*d));
	guest_create(&d->g, 32 * MB);
	dirty_rings(d, rings);
	d->g.rflags = 0x200;		/* as in mm_guest() */
	guest_load_code(&d->g, mm_code);
	while (ncpus--) {
		struct guest_cpu *cpu = guest_add_cpu(&d->g);

		guest_mode(cpu, GUEST_LONG);
		dirty_map_ring(d, cpu);
	}
	d->cpu = &d->g.cpu[0];
	dirty_slot(d, huge);
	CALL(d->cpu, fill, GPA, GPA + SIZE, PAGE_4K, 1);
}

static inline void write_pages(struct dirty *d, unsigned long first, unsigned long end,
			       unsigned long step)
{
	CALL(d->cpu, fill, GPA + first * PAGE_4K, GPA + end * PAGE_4K, step * PAGE_4K, 2);
}

/* Told are exactly the pages first, first + step, ... below end; step 0: none. */
static inline void dirty_expect(struct dirty *d, unsigned long first, unsigned long end,
				unsigned long step)
{
	unsigned long i;

	dirty_collect(d);
	for (i = 0; i < NPAGES; i++) {
		bool want = step && i >= first && i < end && (i - first) % step == 0;

		if (is_dirty(d, i) != want)
			FAIL("page %lu is %stold", i, want ? "not " : "");
	}
}

#endif /* DIRTY_H */
