// SPDX-License-Identifier: GPL-2.0-only
/*
 * Huge pages under dirty logging, told by the gauges: split ahead or where they
 * are written, and whole again afterwards.
 */
#include <fcntl.h>

#include "dirty.h"

#define NHUGE	(SIZE / PAGE_2M)

struct pages {
	uint64_t small, huge;
};

static const char *parameter(const char *name)
{
	static char path[80];

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", device_is_kvm() ? "kvm" : "vmm",
		 name);
	return path;
}

static char read_parameter(const char *name)
{
	int fd = MUST(open(parameter(name), O_RDONLY));
	char val = 0;

	CHECK_EQ(read(fd, &val, 1), 1);
	close(fd);
	return val;
}

static void set_eager(bool on)
{
	int fd = MUST(open(parameter("eager_page_split"), O_WRONLY));

	CHECK_EQ(write(fd, on ? "Y" : "N", 1), 1);
	close(fd);
}

static struct pages count(struct dirty *d)
{
	return (struct pages){ guest_vm_stat(&d->g, "pages_4k"), guest_vm_stat(&d->g, "pages_2m") };
}

/* Mapped in whole, huge pages; what they are together with the rest of the guest. */
static struct pages split_guest(struct dirty *d, bool eager, uint64_t manual)
{
	struct pages p;

	dirty_guest(d, false, true, 1);
	if (manual)
		CHECK_EQ(enable_cap(&d->g, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, manual, 0), 0);
	p = count(d);
	if (p.huge < NHUGE)
		SKIP("the host gave %d huge pages", (int)p.huge);
	set_eager(eager);
	return p;
}

/* @n of the huge pages are split now. */
static void expect_split(struct dirty *d, const struct pages *before, unsigned int n)
{
	struct pages now = count(d);

	CHECK_EQ(now.huge, before->huge - n);
	CHECK_EQ(now.small, before->small + n * 512);
}

static void expect_whole(struct dirty *d, const struct pages *before)
{
	log_on(d, false);
	write_pages(d, 0, NPAGES, 1);
	expect_split(d, before, 0);
}

static void clear(struct dirty *d, uint64_t first, uint32_t n)
{
	struct kvm_clear_dirty_log c = {
		.slot = SLOT, .first_page = first, .num_pages = n, .dirty_bitmap = d->bits,
	};

	memset(d->bits, 0xff, sizeof(d->bits));
	MUST(ioctl(d->g.fd, KVM_CLEAR_DIRTY_LOG, &c));
}

static void parameters(void)
{
	CHECK_EQ(read_parameter("eager_page_split"), 'Y');
	CHECK_EQ(read_parameter("tdp_mmu"), 'Y');
}

static void ahead(void)
{
	struct pages before;
	struct dirty d;

	before = split_guest(&d, true, 0);
	log_on(&d, true);
	expect_split(&d, &before, NHUGE);
	write_pages(&d, 3, NPAGES, 700);
	dirty_expect(&d, 3, NPAGES, 700);
	expect_split(&d, &before, NHUGE);
	expect_whole(&d, &before);
}

static void when_written(void)
{
	struct pages before;
	struct dirty d;

	before = split_guest(&d, false, 0);
	log_on(&d, true);
	expect_split(&d, &before, 0);
	CHECK_EQ(CALL(d.cpu, check, GPA, GPA + SIZE, PAGE_4K, 1), 0);
	expect_split(&d, &before, 0);
	CALL(d.cpu, write, GPA + 5 * PAGE_4K, 1);
	expect_split(&d, &before, 1);
	CALL(d.cpu, write, GPA + 500 * PAGE_4K, 1);
	expect_split(&d, &before, 1);
	CALL(d.cpu, write, GPA + 1024 * PAGE_4K, 1);
	expect_split(&d, &before, 2);
	dirty_collect(&d);
	expect_split(&d, &before, 2);
	CHECK(is_dirty(&d, 5) && is_dirty(&d, 500) && is_dirty(&d, 1024) && !is_dirty(&d, 6));
	expect_whole(&d, &before);
	set_eager(true);
}

#define ALL_SET	(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

/* All is dirty as it is: split is what is cleared. */
static void when_cleared(void)
{
	struct pages before;
	struct dirty d;

	before = split_guest(&d, true, ALL_SET);
	log_on(&d, true);
	expect_split(&d, &before, 0);
	clear(&d, 64, 64);
	expect_split(&d, &before, 1);
	/* What is not dirty any more is not cleared again. */
	clear(&d, 64, 64);
	clear(&d, 512, 64);
	expect_split(&d, &before, 2);
	clear(&d, 0, NPAGES);
	expect_split(&d, &before, NHUGE);
	expect_whole(&d, &before);
}

/* Cleared pages are split only when one is written; what was not cleared may be written whole. */
static void when_cleared_and_written(void)
{
	struct pages before;
	struct dirty d;

	before = split_guest(&d, false, ALL_SET);
	log_on(&d, true);
	write_pages(&d, 0, NPAGES, 100);
	expect_split(&d, &before, 0);
	clear(&d, 0, 512);
	expect_split(&d, &before, 0);
	write_pages(&d, 512, NPAGES, 100);
	expect_split(&d, &before, 0);
	CALL(d.cpu, write, GPA + 7 * PAGE_4K, 1);
	expect_split(&d, &before, 1);
	expect_whole(&d, &before);
	set_eager(true);
}

/* Off and on while the guest writes. */
static void under_way(void)
{
	struct pages before;
	struct dirty d;
	int i;

	before = split_guest(&d, true, 0);
	mm_start_bump(d.cpu, GPA, GPA + SIZE, PAGE_4K);
	for (i = 0; i < 20; i++) {
		log_on(&d, !(i % 2));
		usleep(5000);
	}
	CHECK(mm_stop(d.cpu) > 0);
	expect_whole(&d, &before);
}

static const struct test tests[] = {
	{ "parameters", parameters },
	{ "ahead", ahead },
	{ "when_written", when_written },
	{ "when_cleared", when_cleared },
	{ "when_cleared_and_written", when_cleared_and_written },
	{ "under_way", under_way, 120 },
};

TEST_MAIN(tests)
