// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty rings: each vCPU tells user space which pages it wrote through a ring
 * of its own, mapped at KVM_DIRTY_LOG_PAGE_OFFSET of its descriptor (api.rst,
 * KVM_CAP_DIRTY_LOG_RING).
 *
 * An entry is free (flags 0), dirty (01) or harvested (1x), and changes hands
 * by its flags alone:
 *
 *	vCPU	P1 reset, acquire	user space	U1 flags, acquire
 *		P2 slot, offset				U2 slot, offset
 *		P3 flags = 01, release			U3 flags = 1x, release
 *	reset	R1 flags, acquire
 *		R2 slot, offset; R3 flags = 0
 *		R4 reset++, release
 *
 * P3 pairs with U1, U3 with R1, and R4 with P1: nobody writes an entry that
 * another one still reads. Only the vCPU's thread pushes, and only holders of
 * slots_lock reset. The memory is user space's to scribble on: the counters
 * are not in it, and what is read from it is checked.
 *
 * A page is pushed by whoever gives the write right, in the same section of
 * tdp_lock; the reset takes the right away in a section of its own, after R1.
 * So a page that can be written without being noticed has an entry that was
 * not reset yet. (Or it is in the hardware's log, as in dirty.c, which is pushed
 * before KVM_RUN returns.) User space copies a page after the reset, not before.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "../vmm.h"
#include "tdp.h"

/* So many at least are taken back in one section of tdp_lock, which costs a flush. */
#define SECTION_ENTRIES	128

/* KVM's: what may be pushed between "soon full" and the exit that tells it. */
static u32 reserved_entries(void)
{
	return 64 + vendor_caps.dirty_log_size;
}

int dirty_ring_enable(struct vm *vm, u32 bytes)
{
	lockdep_assert_held(&vm->lock);
	if (!is_power_of_2(bytes) || bytes < PAGE_SIZE ||
	    bytes < reserved_entries() * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	if (bytes > VMM_DIRTY_RING_BYTES)
		return -E2BIG;
	if (vm->mem.ring_bytes || atomic_read(&vm->nr_vcpus))
		return -EINVAL;
	WRITE_ONCE(vm->mem.ring_bytes, bytes);
	return 0;
}

int dirty_ring_create(struct vcpu *vcpu)
{
	struct dirty_ring *ring = &vcpu->ring;
	u32 bytes = vcpu->vm->mem.ring_bytes;

	if (!bytes)
		return 0;
	ring->entries = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!ring->entries)
		return -ENOMEM;
	ring->size = bytes / sizeof(*ring->entries);
	ring->soft_limit = ring->size - reserved_entries();
	return 0;
}

void dirty_ring_destroy(struct vcpu *vcpu)
{
	vfree(vcpu->ring.entries);
	vcpu->ring.entries = NULL;
}

bool dirty_ring_maps(struct vm *vm, unsigned long pgoff)
{
	return pgoff >= KVM_DIRTY_LOG_PAGE_OFFSET &&
	       pgoff - KVM_DIRTY_LOG_PAGE_OFFSET < vm->mem.ring_bytes >> PAGE_SHIFT;
}

struct page *dirty_ring_page(struct vcpu *vcpu, unsigned long pgoff)
{
	unsigned long page = pgoff - KVM_DIRTY_LOG_PAGE_OFFSET;

	return vmalloc_to_page((void *)vcpu->ring.entries + (page << PAGE_SHIFT));
}

static struct kvm_dirty_gfn *ring_entry(const struct dirty_ring *ring, u32 index)
{
	return &ring->entries[index & (ring->size - 1)];
}

static u32 ring_used(const struct dirty_ring *ring)
{
	/* P1 */
	return READ_ONCE(ring->pushed) - smp_load_acquire(&ring->reset);
}

bool dirty_ring_full(struct vcpu *vcpu)
{
	return ring_used(&vcpu->ring) >= vcpu->ring.soft_limit;
}

/* The last entry says the same, and user space has yet to harvest it. */
static bool pushed_last(const struct dirty_ring *ring, u32 slot, u64 offset)
{
	if (!ring->pushed || ring->last_slot != slot || ring->last_offset != offset)
		return false;
	/* The write before the look: who harvests later copies it, too. */
	smp_mb();
	return READ_ONCE(ring_entry(ring, ring->pushed - 1)->flags) == KVM_DIRTY_GFN_F_DIRTY;
}

/*
 * The vCPU does not enter the guest with a ring that is soon full, so only
 * ioctls in great number get here. A page that nobody is told of would be a
 * guest with wrong memory elsewhere: better none. vm_die() would wake others,
 * and the runqueue may be locked (pv/steal.c).
 */
static void ring_overflow(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->vm->dead, true);
	vcpu_request(vcpu, REQ_DEAD);
}

static void push(struct vcpu *vcpu, u32 slot, u64 offset)
{
	struct dirty_ring *ring = &vcpu->ring;
	struct kvm_dirty_gfn *entry;
	u32 used = ring_used(ring);

	if (pushed_last(ring, slot, offset))
		return;
	if (used >= ring->size) {
		ring_overflow(vcpu);
		return;
	}
	entry = ring_entry(ring, ring->pushed);
	WRITE_ONCE(entry->slot, slot);
	WRITE_ONCE(entry->offset, offset);
	/* P3 */
	smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
	ring->last_slot = slot;
	ring->last_offset = offset;
	WRITE_ONCE(ring->pushed, ring->pushed + 1);
	if (used + 1 >= ring->soft_limit)
		vcpu_request(vcpu, REQ_DIRTY_RING);
}

void dirty_ring_push(struct vcpu *vcpu, const struct memslot *slot, gfn_t gfn)
{
	/* A preempt notifier of this thread may write guest memory, too. */
	preempt_disable();
	push(vcpu, slot->as_id << 16 | slot->id, gfn - slot->base_gfn);
	preempt_enable();
}

static bool harvested(const struct dirty_ring *ring)
{
	/* R1 */
	return smp_load_acquire(&ring_entry(ring, ring->reset)->flags) & KVM_DIRTY_GFN_F_RESET;
}

/* The next write to a page of a harvested entry is to be noticed. A flush is owed if true. */
static bool watch_page(struct vm *vm, u32 id, u64 offset)
{
	unsigned int as_id = id >> 16;
	struct memslot *slot;

	if (as_id >= VMM_NR_AS)
		return false;
	as_id = array_index_nospec(as_id, VMM_NR_AS);
	slot = xa_load(&vm->mem.ids[as_id], (u16)id);
	if (!slot || !memslot_logged(slot) || offset >= slot->npages)
		return false;
	return tdp_watch(vm, as_id, slot->base_gfn + offset, slot->base_gfn + offset + 1);
}

static bool reset_entry(struct vm *vm, struct dirty_ring *ring)
{
	struct kvm_dirty_gfn *entry = ring_entry(ring, ring->reset);
	u32 slot = READ_ONCE(entry->slot);
	u64 offset = READ_ONCE(entry->offset);

	WRITE_ONCE(entry->flags, 0);	/* R3 */
	/* R4 */
	smp_store_release(&ring->reset, ring->reset + 1);
	return watch_page(vm, slot, offset);
}

/* One section of tdp_lock: harvested entries below @end. */
static void reset_section(struct vm *vm, struct dirty_ring *ring, u32 end)
{
	bool flush = false;
	unsigned int n = 0;

	write_lock(&vm->mem.tdp_lock);
	do {
		flush |= reset_entry(vm, ring);
		if (!(++n % SECTION_ENTRIES) && tdp_lock_wanted(vm))
			break;
	} while (ring->reset != end && harvested(ring));
	if (flush)
		tdp_flush(vm);
	write_unlock(&vm->mem.tdp_lock);
}

/* Nothing beyond what is there now, so that user space cannot keep us at it. */
static int reset_ring(struct vm *vm, struct dirty_ring *ring)
{
	u32 start = ring->reset, end = READ_ONCE(ring->pushed);

	while (ring->reset != end && harvested(ring)) {
		reset_section(vm, ring, end);
		cond_resched();
	}
	return ring->reset - start;
}

int mm_reset_dirty_rings(struct vm *vm)
{
	struct vcpu *vcpu;
	unsigned long i;
	int n = 0;

	/* No vCPU goes when its creation fails. */
	lockdep_assert_held(&vm->lock);
	if (!vm->mem.ring_bytes)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm_for_each_vcpu(i, vcpu, vm)
		n += reset_ring(vm, &vcpu->ring);
	mutex_unlock(&vm->slots_lock);
	return n;
}
