/* SPDX-License-Identifier: GPL-2.0-only */
/* Policy of the second-stage tables, between the files of this room. */
#ifndef VMM_TDP_H
#define VMM_TDP_H

#include <linux/sched.h>

#include "../vendor.h"
#include "memslot.h"
#include "tdp_iter.h"

static inline const struct tdp_format *tdp_format(void)
{
	return &vendor_caps.tdp;
}

/* One past the highest gfn that the tables can map. */
static inline gfn_t tdp_gfn_limit(void)
{
	const struct tdp_format *fmt = tdp_format();
	int bits = min_t(int, fmt->maxphyaddr, PAGE_SHIFT + 9 * fmt->levels);

	return 1ULL << (bits - PAGE_SHIFT);
}

/* Faults change the counters of a VM in parallel. */
static inline void tdp_stat(u64 *counter, long n)
{
	atomic64_add(n, (atomic64_t *)counter);
}

static inline void tdp_count_leaves(struct vm *vm, int level, long n)
{
	u64 *counters[] = { &vm->stats.pages_4k, &vm->stats.pages_2m, &vm->stats.pages_1g };

	tdp_stat(counters[level - 1], n);
}

/* A section of tdp_lock that can end here should: others want the lock or this CPU. */
static inline bool tdp_lock_wanted(struct vm *vm)
{
	return need_resched() || rwlock_is_contended(&vm->mem.tdp_lock);
}

/*
 * For walks over much memory, in sections: is this section over? Between tables
 * only, and not before it got on from @start; the next one starts at it->gfn.
 */
static inline bool tdp_section_over(struct vm *vm, const struct tdp_iter *it, gfn_t start)
{
	return !tdp_index(it->gfn, 1) && it->gfn > start && tdp_lock_wanted(vm);
}

/*
 * 4K pages of logged slots are mapped writable without D, and the hardware tells
 * of the first write; huge ones are write-protected here, too.
 */
static inline bool tdp_hw_log(void)
{
	return vendor_caps.dirty_log_size;
}

/* dirty.c */
bool mm_initially_set(const struct vm *vm, const struct memslot *slot);
/* dirty_ring.c: @gfn was written, in a slot that is logged. Any context but NMI. */
void dirty_ring_push(struct vcpu *vcpu, const struct memslot *slot, gfn_t gfn);

/* Zeroed table pages, charged to the memcg of the caller. */
void *tdp_alloc_table(void);
void tdp_free_table(void *table);

int tdp_create(struct vm *vm);
/* Nothing of the VM can run or fault any more. */
void tdp_destroy(struct vm *vm);

/*
 * All vCPUs have dropped their second-stage translations, or will before they
 * enter. Called with tdp_lock held for writing, in the section that took the
 * rights away: whoever finds nothing left to take may rely on the flush.
 */
void tdp_flush(struct vm *vm);

/*
 * Unmap [start, end); no vCPU has a translation left on return. Take tdp_lock
 * for writing, for a limited time at once; with @may_sleep they reschedule.
 */
void tdp_zap(struct vm *vm, int as_id, gfn_t start, gfn_t end, bool may_sleep);
void tdp_zap_all(struct vm *vm);	/* of all address spaces */

/*
 * The next write to each page of [start, end) will be noticed: its leaf loses
 * the write right, or D. Huge leaves lose the right as a whole. tdp_lock held for
 * writing; true when the caller owes a flush.
 */
bool tdp_watch(struct vm *vm, int as_id, gfn_t start, gfn_t end);
/* The same for a slot, with its own locking, flushed. */
void tdp_watch_slot(struct vm *vm, const struct memslot *slot);

/*
 * Drop tables where the host has a larger page, so that faults map it huge
 * again. The rest keeps its entries.
 */
void tdp_zap_collapsible(struct vm *vm, const struct memslot *slot);

/*
 * Was any page of [start, end) accessed? With @clear forgets it. No flush:
 * a stale translation only makes a page look idle too early, which is what the
 * host allows itself on x86 too.
 */
bool tdp_age(struct vm *vm, int as_id, gfn_t start, gfn_t end, bool clear);

/*
 * Puts a table with the same translations in the place of the huge leaf at
 * @it, and lets @it see it. @table is a zeroed page, used up when true is
 * returned; when false somebody else changed the entry, look again.
 */
bool tdp_split(struct vm *vm, struct tdp_iter *it, void *table);
/*
 * Splits all huge leaves that overlap [start, end) down to 4K. Sleeps, takes
 * tdp_lock for reading; stops without a word when there is no memory for tables:
 * a write splits what is left.
 */
void tdp_split_range(struct vm *vm, int as_id, gfn_t start, gfn_t end);
/* Module parameter: logged memory is split ahead of the guest's writes. */
extern bool eager_page_split;

/* tdp_fault.c: level of the host's mapping at @hva: 1 when there is none. */
int tdp_host_level(struct mm_struct *mm, hva_t hva);
/* Highest level at which @slot can map @gfn: alignment and borders. */
int tdp_slot_level(const struct memslot *slot, gfn_t gfn);

/* Table pages that are unlinked and still belong to the hardware, until the flush. */
struct tdp_gather {
	struct vm *vm;
	struct page *tables;	/* chained through page->private */
	bool flush;
};

/* Empties the entry at @it, leaf or table. tdp_lock held for writing. */
void tdp_gather_zap(struct tdp_gather *g, struct tdp_iter *it);
/* Flushes, ends the section of tdp_lock and frees the tables. */
void tdp_gather_end(struct tdp_gather *g) __releases(&g->vm->mem.tdp_lock);

/*
 * nx_huge.c. Huge pages of this VM must not be executable. Only good for the
 * section of tdp_lock that it is asked in.
 */
bool nx_huge_on(const struct vm *vm);
/* The table that @it has just got stands for a huge page only because of that. */
void nx_huge_add(struct vm *vm, int as_id, const struct tdp_iter *it);
/* A table so added is about to go. tdp_lock held for writing. */
void nx_huge_remove(struct vm *vm, struct page *page);
void nx_huge_create(struct vm *vm);
/* No vCPU can fault any more. */
void nx_huge_destroy(struct vm *vm);

/*
 * notifier.c. A fault reads the sequence before it resolves its page, and
 * asks under tdp_lock whether the page may have gone since.
 */
int notifier_create(struct vm *vm);
void notifier_destroy(struct vm *vm);
unsigned long invalidate_begin_read(struct vm_mm *mem);
bool invalidate_retry(struct vm_mm *mem, unsigned long seq, hva_t hva);

#endif /* VMM_TDP_H */
