// SPDX-License-Identifier: GPL-2.0-only
#include "host-mem.h"

static struct {
	struct mm_struct *mm;
	pthread_mutex_t change[HOST_BLOCKS];	/* one change at a time in a block */
	pthread_mutex_t lock;			/* the rest */
	struct page *page[HOST_PAGES];
	bool shared[HOST_PAGES];
	unsigned long level[HOST_BLOCKS];
} host;

static unsigned int page_of(unsigned long addr)
{
	unsigned int n = (addr - HOST_BASE) / PAGE_SIZE;

	NEVER(addr < HOST_BASE || n >= HOST_PAGES);
	return n;
}

void host_create(struct mm_struct *mm)
{
	unsigned int i;

	memset(&host, 0, sizeof(host));
	host.mm = mm;
	pthread_mutex_init(&host.lock, NULL);
	for (i = 0; i < HOST_BLOCKS; i++) {
		pthread_mutex_init(&host.change[i], NULL);
		host.level[i] = 1;
	}
	for (i = 0; i < HOST_PAGES; i++) {
		host.page[i] = alloc_page(GFP_KERNEL);
		NEVER(!host.page[i]);
	}
}

void host_destroy(void)
{
	unsigned int i;

	for (i = 0; i < HOST_PAGES; i++)
		put_page(host.page[i]);
}

/* -------- changes -------- */

static struct mmu_notifier_range range_of(unsigned int first, unsigned int n)
{
	return (struct mmu_notifier_range){
		.start = host_address(first), .end = host_address(first + n), .blockable = true };
}

static void announce(const struct mmu_notifier_range *range)
{
	struct mmu_notifier *mn = host.mm->notifier;

	NEVER(mn->ops->invalidate_range_start(mn, range));
}

static void announce_end(const struct mmu_notifier_range *range)
{
	struct mmu_notifier *mn = host.mm->notifier;

	mn->ops->invalidate_range_end(mn, range);
}

/* Announced, so with plain loads: nobody writes the old one any more. */
static void replace(unsigned int n, struct page *new)
{
	struct page *old = host.page[n];

	memcpy(page_address(new), page_address(old), HOST_WORDS * sizeof(u64));
	pthread_mutex_lock(&host.lock);
	host.page[n] = new;
	host.shared[n] = false;
	pthread_mutex_unlock(&host.lock);
	put_page(old);
}

/* A page of a huge one is changed alone: the others stay where they are. */
static void change_page(unsigned int n, bool share)
{
	unsigned int block = n / BLOCK_PAGES;
	struct mmu_notifier_range range;
	struct page *new = share ? NULL : alloc_page(GFP_KERNEL);

	NEVER(!share && !new);
	pthread_mutex_lock(&host.change[block]);
	range = host.level[block] == 2 ? range_of(block * BLOCK_PAGES, BLOCK_PAGES) : range_of(n, 1);
	announce(&range);
	pthread_mutex_lock(&host.lock);
	host.level[block] = 1;
	host.shared[n] = share;
	pthread_mutex_unlock(&host.lock);
	if (!share)
		replace(n, new);
	announce_end(&range);
	pthread_mutex_unlock(&host.change[block]);
}

void host_move_page(unsigned int page)
{
	change_page(page, false);
}

void host_share_page(unsigned int page)
{
	change_page(page, true);
}

void host_collapse(unsigned int block)
{
	struct mmu_notifier_range range = range_of(block * BLOCK_PAGES, BLOCK_PAGES);
	struct page *new = shim_alloc_pages(BLOCK_PAGES, GFP_KERNEL);
	unsigned int i;

	if (!new)
		return;
	pthread_mutex_lock(&host.change[block]);
	announce(&range);
	for (i = 0; i < BLOCK_PAGES; i++)
		replace(block * BLOCK_PAGES + i, new + i);
	pthread_mutex_lock(&host.lock);
	host.level[block] = 2;
	pthread_mutex_unlock(&host.lock);
	announce_end(&range);
	pthread_mutex_unlock(&host.change[block]);
}

void host_split(unsigned int block)
{
	struct mmu_notifier_range range = range_of(block * BLOCK_PAGES, BLOCK_PAGES);

	pthread_mutex_lock(&host.change[block]);
	announce(&range);
	pthread_mutex_lock(&host.lock);
	host.level[block] = 1;
	pthread_mutex_unlock(&host.lock);
	announce_end(&range);
	pthread_mutex_unlock(&host.change[block]);
}

bool host_age(unsigned int page)
{
	struct mmu_notifier *mn = host.mm->notifier;

	return mn->ops->clear_young(mn, host.mm, host_address(page), host_address(page + 1));
}

/* -------- what the module asks -------- */

static int get(unsigned int n, bool write, struct page **page)
{
	int got = 0;

	pthread_mutex_lock(&host.lock);
	if (!write || !host.shared[n]) {
		*page = host.page[n];
		get_page(*page);
		got = 1;
	}
	pthread_mutex_unlock(&host.lock);
	return got;
}

int get_user_pages_fast_only(unsigned long addr, int n, unsigned int flags, struct page **page)
{
	return get(page_of(addr), flags & FOLL_WRITE, page);
}

long get_user_pages_unlocked(unsigned long addr, unsigned long n, struct page **page,
			     unsigned int flags)
{
	shim_may_sleep(__func__);
	while (!get(page_of(addr), flags & FOLL_WRITE, page))
		host_move_page(page_of(addr));
	return 1;
}

unsigned long shim_host_level(struct mm_struct *mm, unsigned long addr)
{
	unsigned long level;

	pthread_mutex_lock(&host.lock);
	level = host.level[page_of(addr) / BLOCK_PAGES];
	pthread_mutex_unlock(&host.lock);
	return level;
}

u64 host_word(unsigned int page, unsigned int word)
{
	struct page *p;
	u64 val;

	get(page, false, &p);
	val = READ_ONCE(((u64 *)page_address(p))[word]);
	put_page(p);
	return val;
}
