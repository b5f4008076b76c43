/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory: the heap is user space's; pages come from an arena with a struct page
 * each, so that they have frame numbers. A page that is freed is overwritten
 * with plain stores, which TSan holds against whoever still looks at it, and is
 * poisoned for ASan.
 */
#ifndef SHIM_MEM_H
#define SHIM_MEM_H

#include "atomic.h"

#define PAGE_SHIFT	12
#define PAGE_SIZE	(1UL << PAGE_SHIFT)
#define PAGE_MASK	(~(PAGE_SIZE - 1))
#define PAGE_ALIGN(x)	ALIGN(x, PAGE_SIZE)
#define PAGE_ALIGNED(x)	IS_ALIGNED((unsigned long)(x), PAGE_SIZE)

#define GFP_KERNEL		1u
#define GFP_KERNEL_ACCOUNT	1u
#define GFP_ATOMIC		0u
#define __GFP_ZERO		2u

/* One allocation in so many fails; 0: none. */
extern unsigned int shim_fail_rate;
bool shim_fails(void);

void *shim_alloc(size_t size, gfp_t flags);
#define kzalloc(size, flags)		shim_alloc(size, flags)
#define kvzalloc(size, flags)		shim_alloc(size, flags)
#define kmalloc(size, flags)		shim_alloc(size, flags)
#define kvmalloc(size, flags)		shim_alloc(size, flags)
#define kvmalloc_array(n, size, flags)	shim_alloc((n) * (size), flags)
#define kcalloc(n, size, flags)		shim_alloc((size_t)(n) * (size), flags)
#define kvcalloc(n, size, flags)	shim_alloc((size_t)(n) * (size), flags)
#define kfree(p)			free((void *)(p))
#define kvfree(p)			free((void *)(p))

/* -------- pages -------- */

struct page {
	int refs;			/* (a) 0: free */
	unsigned long private;
	struct list_head lru;
	int next_free;			/* arena's */
	bool dirty;			/* (a) folio_set_dirty() */
};

#define SHIM_FIRST_PFN	0x200

/* Once, before any other of these: room for so many pages. */
void shim_arena(unsigned int pages);
struct page *shim_page(unsigned long pfn);
unsigned long shim_pfn(const struct page *page);
void *shim_page_address(const struct page *page);
struct page *shim_virt_to_page(const void *address);
/* Pages that are in use. */
unsigned int shim_pages_used(void);
/* @n pages in a row, aligned to @n, a power of two; each is freed on its own. */
struct page *shim_alloc_pages(unsigned int n, gfp_t flags);

#define pfn_valid(pfn)		((pfn) >= SHIM_FIRST_PFN && shim_page(pfn))
#define page_to_pfn(page)	shim_pfn(page)
#define pfn_to_page(pfn)	shim_page(pfn)
/* What leads to a table was read from another. */
#define pfn_to_kaddr(pfn)	({ shim_fence_loads(); shim_page_address(shim_page(pfn)); })
#define page_address(page)	shim_page_address(page)
#define virt_to_page(p)		shim_virt_to_page(p)
#define __pa(p)			((shim_pfn(virt_to_page(p)) << PAGE_SHIFT) + offset_in_page(p))
#define alloc_page(flags)	shim_alloc_pages(1, flags)
#define page_private(page)	((page)->private)
#define set_page_private(page, val)	((void)((page)->private = (val)))
#define clear_page(p)		memset(p, 0, PAGE_SIZE)

unsigned long get_zeroed_page(gfp_t flags);
void free_page(unsigned long address);
void get_page(struct page *page);
void put_page(struct page *page);
#define __free_page(page)	put_page(page)

struct folio;
#define page_folio(page)	((struct folio *)(page))
#define PageReserved(page)	false
#define mark_page_accessed(page)	do { } while (0)
static inline void folio_set_dirty(struct folio *folio)
{
	WRITE_ONCE(((struct page *)folio)->dirty, true);
}

void *__vmalloc(unsigned long size, gfp_t flags);
void vfree(const void *p);
#define vmalloc_to_page(p)	virt_to_page(p)

#define sme_me_mask		0ull
#define __sme_set(x)		(x)

#endif /* SHIM_MEM_H */
