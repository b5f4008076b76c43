// SPDX-License-Identifier: GPL-2.0-only
/* The dirty log: what a guest writes is told once, and never lost. */
#include "code.h"

#define MB		(1ul << 20)
#define SIZE		(16 * MB)
#define NPAGES		(SIZE / PAGE_4K)
#define GPA		(64 * MB)
#define SLOT		1

struct log {
	struct guest g;
	struct guest_cpu *cpu;
	uint8_t *mem;
	uint64_t bits[NPAGES / 64 + 1];
};

static void log_create(struct log *l, bool huge)
{
	mm_guest(&l->g, 32 * MB, 1);
	l->cpu = &l->g.cpu[0];
	l->mem = guest_alloc(SIZE);
	madvise(l->mem, SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	guest_slot(&l->g, SLOT, 0, GPA, SIZE, l->mem);
	/* All of it is mapped writable before logging starts. */
	CALL(l->cpu, fill, GPA, GPA + SIZE, PAGE_4K, 1);
}

static void log_on(struct log *l)
{
	guest_slot(&l->g, SLOT, KVM_MEM_LOG_DIRTY_PAGES, GPA, SIZE, l->mem);
}

static int get(struct log *l)
{
	struct kvm_dirty_log d = { .slot = SLOT, .dirty_bitmap = l->bits };

	memset(l->bits, 0xa5, sizeof(l->bits));
	return ioctl(l->g.fd, KVM_GET_DIRTY_LOG, &d) ? -errno : 0;
}

static int clear(struct log *l, uint64_t first, uint32_t n)
{
	struct kvm_clear_dirty_log d = {
		.slot = SLOT, .first_page = first, .num_pages = n, .dirty_bitmap = l->bits,
	};

	return ioctl(l->g.fd, KVM_CLEAR_DIRTY_LOG, &d) ? -errno : 0;
}

static int enable(struct log *l, uint64_t flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { flags },
	};

	return ioctl(l->g.fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

static bool is_dirty(struct log *l, unsigned long page)
{
	return l->bits[page / 64] >> (page % 64) & 1;
}

/* Dirty are exactly the pages first, first + step, ... below NPAGES; step 0: none. */
static void expect(struct log *l, unsigned long first, unsigned long step)
{
	unsigned long i;

	CHECK_EQ(get(l), 0);
	for (i = 0; i < NPAGES; i++) {
		bool want = step && i >= first && (i - first) % step == 0;

		if (is_dirty(l, i) != want)
			FAIL("page %lu is %sdirty", i, want ? "not " : "");
	}
	CHECK_EQ(l->bits[NPAGES / 64], 0xa5a5a5a5a5a5a5a5);
}

static void write_pages(struct log *l, unsigned long first, unsigned long step)
{
	CALL(l->cpu, fill, GPA + first * PAGE_4K, GPA + SIZE, step * PAGE_4K, 2);
}

static void basic(bool huge)
{
	struct log l;

	log_create(&l, huge);
	CHECK_EQ(get(&l), -ENOENT);
	log_on(&l);
	expect(&l, 0, 0);
	CALL(l.cpu, check, GPA, GPA + SIZE, PAGE_4K, 1);
	expect(&l, 0, 0);
	write_pages(&l, 3, 7);
	expect(&l, 3, 7);
	expect(&l, 0, 0);
	write_pages(&l, 3, 7);
	write_pages(&l, 3, 14);
	expect(&l, 3, 7);
	write_pages(&l, NPAGES - 1, 1);
	expect(&l, NPAGES - 1, 1);
	/* Off and on again: a fresh log. */
	write_pages(&l, 0, 1);
	guest_slot(&l.g, SLOT, 0, GPA, SIZE, l.mem);
	CHECK_EQ(get(&l), -ENOENT);
	write_pages(&l, 0, 1);
	log_on(&l);
	expect(&l, 0, 0);
	write_pages(&l, 5, 600);
	expect(&l, 5, 600);
	CHECK_EQ(CALL(l.cpu, check, GPA, GPA + SIZE, PAGE_4K, 2), 0);
}

static void get_small(void)
{
	basic(false);
}

static void get_huge(void)
{
	basic(true);
}

static void manual(void)
{
	struct log l;

	log_create(&l, true);
	CHECK_EQ(enable(&l, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE), 0);
	log_on(&l);
	write_pages(&l, 0, 10);
	expect(&l, 0, 10);
	expect(&l, 0, 10);		/* get does not clear */
	memset(l.bits, 0xff, sizeof(l.bits));
	CHECK_EQ(clear(&l, 64, 128), 0);
	CHECK_EQ(get(&l), 0);
	CHECK(is_dirty(&l, 60) && !is_dirty(&l, 70) && !is_dirty(&l, 190));
	CHECK(is_dirty(&l, 200));
	/* What is still dirty needs no new write; what was cleared does. */
	CALL(l.cpu, write, GPA + 70 * PAGE_4K, 1);
	CHECK_EQ(get(&l), 0);
	CHECK(is_dirty(&l, 70) && !is_dirty(&l, 80));
	memset(l.bits, 0xff, sizeof(l.bits));
	CHECK_EQ(clear(&l, 0, NPAGES), 0);
	expect(&l, 0, 0);
	write_pages(&l, 1, 33);
	expect(&l, 1, 33);
}

static void initially_set(void)
{
	struct log l;

	log_create(&l, true);
	CHECK_EQ(enable(&l, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET), 0);
	log_on(&l);
	expect(&l, 0, 1);
	CHECK_EQ(clear(&l, 0, 1024), 0);
	expect(&l, 1024, 1);
	write_pages(&l, 0, 512);
	CHECK_EQ(get(&l), 0);
	CHECK(is_dirty(&l, 0) && is_dirty(&l, 512) && !is_dirty(&l, 1) && is_dirty(&l, 1025));
	CHECK_EQ(clear(&l, 0, NPAGES), 0);
	write_pages(&l, 2000, 3);
	expect(&l, 2000, 3);
}

static void errors(void)
{
	struct kvm_dirty_log d = { .slot = SLOT };
	struct log l;

	log_create(&l, false);
	CHECK_EQ(clear(&l, 0, 64), -ENOENT);
	CHECK_EQ(enable(&l, 4), -EINVAL);
	CHECK_EQ(enable(&l, KVM_DIRTY_LOG_INITIALLY_SET), -EINVAL);
	log_on(&l);
	CHECK_EQ(clear(&l, 1, 64), -EINVAL);
	CHECK_EQ(clear(&l, 0, 63), -EINVAL);
	CHECK_EQ(clear(&l, 0, NPAGES + 64), -EINVAL);
	CHECK_EQ(clear(&l, NPAGES + 64, 0), -EINVAL);
	CHECK_EQ(clear(&l, NPAGES - 64, 64), 0);
	d.dirty_bitmap = (void *)8;
	CHECK_EQ(ioctl(l.g.fd, KVM_GET_DIRTY_LOG, &d) ? -errno : 0, -EFAULT);
	d.slot = 32764;
	CHECK_EQ(ioctl(l.g.fd, KVM_GET_DIRTY_LOG, &d) ? -errno : 0, -EINVAL);
	d.slot = 2u << 16;
	CHECK_EQ(ioctl(l.g.fd, KVM_GET_DIRTY_LOG, &d) ? -errno : 0, -EINVAL);
	d.slot = 77;
	CHECK_EQ(ioctl(l.g.fd, KVM_GET_DIRTY_LOG, &d) ? -errno : 0, -ENOENT);
}

/* A migration in miniature: the copy made from the log alone must be complete. */
static void copy_dirty(struct log *l, uint8_t *copy)
{
	unsigned long i;

	CHECK_EQ(get(l), 0);
	for (i = 0; i < NPAGES; i++) {
		if (is_dirty(l, i))
			memcpy(copy + i * PAGE_4K, l->mem + i * PAGE_4K, PAGE_4K);
	}
}

static void follow(bool huge)
{
	uint8_t *copy = guest_alloc(SIZE);
	uint64_t rounds;
	struct log l;
	int i;

	log_create(&l, huge);
	log_on(&l);
	memcpy(copy, l.mem, SIZE);
	mm_start_bump(l.cpu, GPA, GPA + SIZE, 3 * PAGE_4K);
	for (i = 0; i < 30; i++) {
		copy_dirty(&l, copy);
		usleep(20000);
	}
	rounds = mm_stop(l.cpu);
	copy_dirty(&l, copy);
	CHECK(rounds > 0);
	CHECK(!memcmp(copy, l.mem, SIZE));
	expect(&l, 0, 0);
}

static void follow_small(void)
{
	follow(false);
}

static void follow_huge(void)
{
	follow(true);
}

/* The host's own changes under a logged slot. */
static void with_dontneed(void)
{
	struct log l;

	log_create(&l, true);
	log_on(&l);
	MUST(madvise(l.mem, SIZE, MADV_DONTNEED));
	CHECK_EQ(CALL(l.cpu, zeros, GPA, GPA + SIZE, PAGE_4K), 0);
	expect(&l, 0, 0);
	write_pages(&l, 2, 5);
	expect(&l, 2, 5);
}

static const struct test tests[] = {
	{ "get_4k", get_small },
	{ "get_2m", get_huge },
	{ "manual_protect", manual },
	{ "initially_set", initially_set },
	{ "errors", errors },
	{ "copy_follows_writer_4k", follow_small, 180 },
	{ "copy_follows_writer_2m", follow_huge, 180 },
	{ "dontneed_while_logged", with_dontneed },
};

TEST_MAIN(tests)
