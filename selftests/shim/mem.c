// SPDX-License-Identifier: GPL-2.0-only
#include <sys/mman.h>

#include "shim.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define poison(p, n)	__asan_poison_memory_region(p, n)
#define unpoison(p, n)	__asan_unpoison_memory_region(p, n)
#else
#define poison(p, n)	do { } while (0)
#define unpoison(p, n)	do { } while (0)
#endif

#define FREED		0x5a

unsigned int shim_fail_rate;

static _Thread_local u32 fail_turn;

bool shim_fails(void)
{
	if (likely(!shim_fail_rate))
		return false;
	fail_turn = fail_turn * 1664525 + 1013904223;
	return (fail_turn >> 8) % shim_fail_rate == 0;
}

void *shim_alloc(size_t size, gfp_t flags)
{
	if (flags & GFP_KERNEL)
		shim_may_sleep(__func__);
	return shim_fails() ? NULL : calloc(1, size);
}

/* -------- pages -------- */

static struct {
	pthread_mutex_t lock;
	u8 *base;
	struct page *page;
	unsigned int size, used;
} arena = { .lock = PTHREAD_MUTEX_INITIALIZER };

void shim_arena(unsigned int pages)
{
	NEVER(arena.base);
	arena.size = pages;
	arena.page = calloc(pages, sizeof(struct page));
	/* Aligned as the largest page is, 2M: a huge page begins at a multiple of its size. */
	arena.base = mmap(NULL, (pages + 512) * PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	NEVER(!arena.page || arena.base == MAP_FAILED);
	arena.base = (u8 *)ALIGN((unsigned long)arena.base, 512 * PAGE_SIZE);
	poison(arena.base, pages * PAGE_SIZE);
}

struct page *shim_page(unsigned long pfn)
{
	unsigned long n = pfn - SHIM_FIRST_PFN;

	return n < arena.size ? &arena.page[n] : NULL;
}

unsigned long shim_pfn(const struct page *page)
{
	return page - arena.page + SHIM_FIRST_PFN;
}

void *shim_page_address(const struct page *page)
{
	NEVER(!page);
	return arena.base + (page - arena.page) * PAGE_SIZE;
}

struct page *shim_virt_to_page(const void *address)
{
	unsigned long n = ((const u8 *)address - arena.base) / PAGE_SIZE;

	NEVER((const u8 *)address < arena.base || n >= arena.size);
	return &arena.page[n];
}

unsigned int shim_pages_used(void)
{
	unsigned int n;

	pthread_mutex_lock(&arena.lock);
	n = arena.used;
	pthread_mutex_unlock(&arena.lock);
	return n;
}

/* First of @n free pages, or -1. Frame numbers of a run are multiples of @n. */
static int find_run(unsigned int n)
{
	static unsigned int from;
	unsigned int tries, i, k;

	for (tries = 0; tries < arena.size / n; tries++) {
		i = from / n * n;
		from = i + 2 * n > arena.size ? 0 : i + n;
		for (k = 0; k < n && i + k < arena.size && !READ_ONCE(arena.page[i + k].refs); k++)
			;
		if (k == n)
			return i;
	}
	return -1;
}

struct page *shim_alloc_pages(unsigned int n, gfp_t flags)
{
	struct page *page = NULL;
	unsigned int i;
	int first;

	BUILD_BUG_ON(SHIM_FIRST_PFN % 512);
	if (flags & GFP_KERNEL)
		shim_may_sleep(__func__);
	if (shim_fails())
		return NULL;
	pthread_mutex_lock(&arena.lock);
	first = find_run(n);
	for (i = 0; first >= 0 && i < n; i++)
		WRITE_ONCE(arena.page[first + i].refs, 1);
	arena.used += first >= 0 ? n : 0;
	pthread_mutex_unlock(&arena.lock);
	if (first < 0)
		return NULL;
	page = &arena.page[first];
	for (i = 0; i < n; i++) {
		page[i].private = 0;
		page[i].dirty = false;
	}
	unpoison(page_address(page), n * PAGE_SIZE);
	memset(page_address(page), 0, n * PAGE_SIZE);
	return page;
}

unsigned long get_zeroed_page(gfp_t flags)
{
	struct page *page = alloc_page(flags);

	return page ? (unsigned long)page_address(page) : 0;
}

void get_page(struct page *page)
{
	NEVER(__atomic_fetch_add(&page->refs, 1, __ATOMIC_RELAXED) <= 0);
}

void put_page(struct page *page)
{
	int refs = __atomic_load_n(&page->refs, __ATOMIC_RELAXED);

	do {
		NEVER(refs <= 0);
		/* The last one: overwritten while it is still ours. */
		if (refs == 1) {
			__atomic_load_n(&page->refs, __ATOMIC_ACQUIRE);
			memset(page_address(page), FREED, PAGE_SIZE);
			poison(page_address(page), PAGE_SIZE);
			pthread_mutex_lock(&arena.lock);
			arena.used--;
			__atomic_store_n(&page->refs, 0, __ATOMIC_RELEASE);
			pthread_mutex_unlock(&arena.lock);
			return;
		}
	} while (!__atomic_compare_exchange_n(&page->refs, &refs, refs - 1, false, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

void free_page(unsigned long address)
{
	if (address)
		put_page(virt_to_page((void *)address));
}

/* Its pages are those of the arena, for vmalloc_to_page(). */
void *__vmalloc(unsigned long size, gfp_t flags)
{
	unsigned int n = roundup_pow_of_two(PAGE_ALIGN(size) / PAGE_SIZE);
	struct page *page = shim_alloc_pages(n, flags);

	if (!page)
		return NULL;
	page->private = n;
	return page_address(page);
}

void vfree(const void *p)
{
	struct page *page;
	unsigned long n;

	if (!p)
		return;
	page = virt_to_page(p);
	n = page->private;
	while (n--)
		put_page(page++);
}
