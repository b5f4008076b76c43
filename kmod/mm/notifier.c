// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's changes to vm->mm, carried into the second-stage tables.
 *
 * A fault maps a page without keeping a reference. The promise is: once
 * invalidate_range_start() has returned, no entry maps the old page, and none
 * will until invalidate_range_end().
 *
 *	fault				invalidation
 *	F1 read slot (SRCU)		I1 count++, range	(invalidate_lock)
 *	F2 read seq			I2 smp_mb, look for slots (SRCU)
 *	F3 host tables -> page		I3 write_lock, zap, flush, unlock
 *	F4 read_lock, count and range,	I4 the host changes its tables
 *	   seq; map; unlock		I5 seq++, wmb, count--	(invalidate_lock)
 *
 * Inside a stay F2 to F4 are one section of the lock.
 *
 * The lock makes F4 come wholly before or after I3. Before: I3 removes what
 * F4 mapped. After: F4 sees I1, or, if I5 is over, either F2 was before I5 and
 * F4 sees another seq, or F2 was after it and F3 saw the new tables.
 *
 * I3 is left out when I2 finds no slot there, so that the life of the process
 * outside of guest memory costs the guest nothing. Then either the fault's
 * slot was published after I2 read the slots, hence after I1, and F4, which
 * comes later still, sees count (I2 and synchronize_srcu are full barriers); or
 * the slot does not reach into the range.
 *
 * A slot that is being deleted or moved leaves the set before its entries are
 * zapped. It is vm->mem.going from before the first to after the second, and
 * I2 looks there after it read the set: a set without the slot comes with
 * going, or with the zap done.
 */
#include <linux/mmu_notifier.h>
#include <linux/srcu.h>

#include "../vmm.h"
#include "../trace.h"
#include "tdp.h"

static struct vm *notifier_vm(struct mmu_notifier *mn)
{
	return container_of(mn, struct vm, mem.notifier);
}

unsigned long invalidate_begin_read(struct vm_mm *mem)
{
	unsigned long seq = READ_ONCE(mem->invalidate_seq);

	/* F2 before F3; pairs with the barrier in invalidate_end(). */
	smp_rmb();
	return seq;
}

bool invalidate_retry(struct vm_mm *mem, unsigned long seq, hva_t hva)
{
	lockdep_assert_held(&mem->tdp_lock);
	if (READ_ONCE(mem->invalidate_count)) {
		/* The range only grows while the count is not 0. */
		smp_rmb();
		if (hva >= READ_ONCE(mem->invalidate_start) &&
		    hva < READ_ONCE(mem->invalidate_end))
			return true;
	}
	/* Pairs with the barrier in invalidate_end(): no count, then a new seq. */
	smp_rmb();
	return READ_ONCE(mem->invalidate_seq) != seq;
}

static void invalidate_begin(struct vm_mm *mem, hva_t start, hva_t end)
{
	spin_lock(&mem->invalidate_lock);
	if (mem->invalidate_count) {
		start = min(start, mem->invalidate_start);
		end = max(end, mem->invalidate_end);
	}
	WRITE_ONCE(mem->invalidate_start, start);
	WRITE_ONCE(mem->invalidate_end, end);
	smp_wmb();	/* the range before the count, for invalidate_retry() */
	WRITE_ONCE(mem->invalidate_count, mem->invalidate_count + 1);
	spin_unlock(&mem->invalidate_lock);
	smp_mb();	/* I1 before I2 */
}

static void invalidate_end(struct vm_mm *mem)
{
	spin_lock(&mem->invalidate_lock);
	WRITE_ONCE(mem->invalidate_seq, mem->invalidate_seq + 1);
	smp_wmb();	/* I5: never neither */
	WRITE_ONCE(mem->invalidate_count, mem->invalidate_count - 1);
	spin_unlock(&mem->invalidate_lock);
}

/* The gfns of @slot that [start, end) of the host's addresses backs. */
static void slot_gfns(const struct memslot *slot, hva_t start, hva_t end,
		      gfn_t *first, gfn_t *last)
{
	start = max(start, slot->hva);
	end = min(end, memslot_hva_end(slot));
	*first = slot->base_gfn + ((start - slot->hva) >> PAGE_SHIFT);
	*last = slot->base_gfn + ((PAGE_ALIGN(end) - slot->hva) >> PAGE_SHIFT);
}

/* Under vm->srcu, after the set of slots was read. */
static struct memslot *going_slot(struct vm *vm, hva_t start, hva_t end)
{
	struct memslot *slot = mm_going(&vm->mem);

	return slot && slot->hva < end && memslot_hva_end(slot) > start ? slot : NULL;
}

static void zap_hvas(struct vm *vm, const struct memslot *slot,
		     const struct mmu_notifier_range *range)
{
	gfn_t first, last;

	slot_gfns(slot, range->start, range->end, &first, &last);
	tdp_zap(vm, slot->as_id, first, last, mmu_notifier_range_blockable(range));
}

static void zap_slots(struct vm *vm, int as_id, const struct mmu_notifier_range *range)
{
	struct memslots *slots = memslots_get(vm, as_id);
	struct memslot *slot;
	int i;

	for_each_memslot_hva(slot, i, slots, range->start, range->end)
		zap_hvas(vm, slot, range);
}

static int mn_range_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct vm *vm = notifier_vm(mn);
	struct memslot *slot;
	int as_id, idx;

	trace_vmm_unmap_hva_range(range->start, range->end);
	invalidate_begin(&vm->mem, range->start, range->end);
	idx = srcu_read_lock(&vm->srcu);
	for (as_id = 0; as_id < VMM_NR_AS; as_id++)
		zap_slots(vm, as_id, range);
	slot = going_slot(vm, range->start, range->end);
	if (unlikely(slot))
		zap_hvas(vm, slot, range);
	srcu_read_unlock(&vm->srcu, idx);
	return 0;
}

static void mn_range_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct vm_mm *mem = &notifier_vm(mn)->mem;

	invalidate_end(mem);
	WARN_ON_ONCE(READ_ONCE(mem->invalidate_count) < 0);
}

/* The host holds the page's lock: its entry cannot change meanwhile. */
static bool age_slot(struct vm *vm, const struct memslot *slot, hva_t start, hva_t end,
		     bool clear)
{
	gfn_t first, last;

	slot_gfns(slot, start, end, &first, &last);
	return tdp_age(vm, slot->as_id, first, last, clear);
}

static bool age_slots(struct vm *vm, int as_id, hva_t start, hva_t end, bool clear)
{
	struct memslots *slots = memslots_get(vm, as_id);
	struct memslot *slot;
	bool young = false;
	int i;

	for_each_memslot_hva(slot, i, slots, start, end)
		young |= age_slot(vm, slot, start, end, clear);
	return young;
}

static bool age_range(struct mmu_notifier *mn, hva_t start, hva_t end, bool clear)
{
	struct vm *vm = notifier_vm(mn);
	struct memslot *slot;
	bool young = false;
	int as_id, idx;

	trace_vmm_age_hva(start, end);
	idx = srcu_read_lock(&vm->srcu);
	for (as_id = 0; as_id < VMM_NR_AS; as_id++)
		young |= age_slots(vm, as_id, start, end, clear);
	slot = going_slot(vm, start, end);
	if (unlikely(slot))
		young |= age_slot(vm, slot, start, end, clear);
	srcu_read_unlock(&vm->srcu, idx);
	return young;
}

static vmm_young_t mn_clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
					unsigned long start, unsigned long end)
{
	return age_range(mn, start, end, true);
}

static vmm_young_t mn_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
				  unsigned long start, unsigned long end)
{
	return age_range(mn, start, end, true);
}

static vmm_young_t mn_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
				 unsigned long addr)
{
	return age_range(mn, addr, addr + PAGE_SIZE, false);
}

/* The process is gone, its pages follow, though somebody still holds the VM. */
static void mn_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	tdp_zap_all(notifier_vm(mn));
}

static const struct mmu_notifier_ops mn_ops = {
	.release = mn_release,
	.invalidate_range_start = mn_range_start,
	.invalidate_range_end = mn_range_end,
	.clear_flush_young = mn_clear_flush_young,
	.clear_young = mn_clear_young,
	.test_young = mn_test_young,
};

int notifier_create(struct vm *vm)
{
	struct vm_mm *mem = &vm->mem;
	int r;

	spin_lock_init(&mem->invalidate_lock);
	mem->notifier.ops = &mn_ops;
	r = mmu_notifier_register(&mem->notifier, current->mm);
	if (r)
		mem->notifier.ops = NULL;
	return r;
}

/* No callback runs after this. */
void notifier_destroy(struct vm *vm)
{
	struct vm_mm *mem = &vm->mem;

	if (!mem->notifier.ops)
		return;
	mmu_notifier_unregister(&mem->notifier, vm->mm);
	mem->notifier.ops = NULL;
}
