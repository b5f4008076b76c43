/* SPDX-License-Identifier: GPL-2.0-only */
/* Slots as the files of this room see them. */
#ifndef VMM_MEMSLOT_H
#define VMM_MEMSLOT_H

#include <linux/mm.h>

#include "mm.h"

/*
 * All slots of an address space, sorted by gfn (they do not overlap there)
 * and by hva (they may). reach[i] is the highest end of by_hva[0..i], so that
 * a search by hva knows when to stop. A published set is not changed, but for
 * a slot that is last in both orders: it is put behind the others, then nr
 * says so.
 */
struct memslots {
	unsigned int nr;	/* readers: memslots_nr(), once */
	unsigned int capacity;
	struct memslot **by_hva;
	hva_t *reach;
	struct memslot *by_gfn[];
};

static inline hva_t memslot_hva_end(const struct memslot *slot)
{
	return slot->hva + (slot->npages << PAGE_SHIFT);
}

static inline gfn_t memslot_gfn_end(const struct memslot *slot)
{
	return slot->base_gfn + slot->npages;
}

/* Not beyond the slot's end, even by speculation. */
static inline hva_t memslot_hva(const struct memslot *slot, gfn_t gfn)
{
	return slot->hva + (array_index_nospec(gfn - slot->base_gfn, slot->npages) << PAGE_SHIFT);
}

static inline void __user *memslot_user_ptr(const struct memslot *slot, gpa_t gpa)
{
	return (void __user *)(memslot_hva(slot, gpa >> PAGE_SHIFT) + offset_in_page(gpa));
}

static inline bool memslot_logged(const struct memslot *slot)
{
	return slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

static inline size_t memslot_dirty_bytes(const struct memslot *slot)
{
	return BITS_TO_LONGS(slot->npages) * sizeof(long);
}

static inline unsigned int memslots_nr(const struct memslots *slots)
{
	/* Pairs with append(). */
	return smp_load_acquire(&slots->nr);
}

/* Under vm->srcu or slots_lock. */
struct memslots *memslots_get(struct vm *vm, int as_id);
/* First index of by_hva whose slot starts at or above @hva. */
unsigned int memslots_hva_bound(const struct memslots *slots, hva_t hva);

/*
 * Slots that overlap [start, end) of the host's addresses, from above.
 * @i is an int, @slot a struct memslot *.
 */
#define for_each_memslot_hva(slot, i, slots, start, end)		\
	for (i = memslots_hva_bound(slots, end) - 1;			\
	     i >= 0 && (slots)->reach[i] > (start) &&			\
	     ((slot) = (slots)->by_hva[i]); i--)			\
		if (memslot_hva_end(slot) > (start))

#endif /* VMM_MEMSLOT_H */
