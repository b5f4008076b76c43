// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory slots: which guest-physical pages are which pages of vm->mm.
 *
 * Readers hold vm->srcu and see one consistent set. The only writer,
 * mm_set_region(), publishes a new set and waits for the readers of the old
 * one; only then does it take away what they may have mapped. A vCPU fault is
 * one read section, so after the wait nobody adds entries for a slot that is
 * gone, and one zap is final. Until then the slot is vm->mem.going, where the
 * notifiers find it. A slot that moves goes in this way before it comes again:
 * its new place may overlap the old one, where its old pages are still mapped.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>

#include "../vmm.h"
#include "tdp.h"

/* KVM's limit of one slot, for the sake of int counters in user space. */
#define MAX_SLOT_PAGES	((1UL << 31) - 1)

struct memslots *memslots_get(struct vm *vm, int as_id)
{
	return srcu_dereference_check(vm->mem.slots[as_id], &vm->srcu,
				      lockdep_is_held(&vm->slots_lock) ||
				      !refcount_read(&vm->users));
}

unsigned int memslots_hva_bound(const struct memslots *slots, hva_t hva)
{
	unsigned int lo = 0, hi = memslots_nr(slots);

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (slots->by_hva[mid]->hva < hva)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Index of the first slot of @nr that ends above @gfn. */
static unsigned int gfn_bound(const struct memslots *slots, unsigned int nr, gfn_t gfn)
{
	unsigned int lo = 0, hi = nr;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (memslot_gfn_end(slots->by_gfn[mid]) <= gfn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct memslot *mm_slot(struct vm *vm, int as_id, gfn_t gfn)
{
	struct memslots *slots = memslots_get(vm, as_id);
	unsigned int nr = memslots_nr(slots), i = gfn_bound(slots, nr, gfn);

	if (i == nr || slots->by_gfn[i]->base_gfn > gfn)
		return NULL;
	return slots->by_gfn[i];
}

long mm_gfn_to_hva(struct vm *vm, int as_id, gfn_t gfn, bool write, hva_t *hva)
{
	struct memslot *slot = mm_slot(vm, as_id, gfn);

	if (!slot || (write && (slot->flags & KVM_MEM_READONLY)))
		return -EFAULT;
	*hva = memslot_hva(slot, gfn);
	return 0;
}

/* A set of @nr slots, their pointers still to be filled in, and some room. */
static struct memslots *memslots_alloc(unsigned int nr)
{
	size_t each = 2 * sizeof(struct memslot *) + sizeof(hva_t);
	unsigned int capacity = nr ? roundup_pow_of_two(nr) : 0;
	struct memslots *slots;

	slots = kvzalloc(sizeof(*slots) + capacity * each, GFP_KERNEL_ACCOUNT);
	if (!slots)
		return NULL;
	slots->nr = nr;
	slots->capacity = capacity;
	slots->by_hva = slots->by_gfn + capacity;
	slots->reach = (hva_t *)(slots->by_hva + capacity);
	return slots;
}

/* @to = @from without @old and with @new, sorted by what @before says. */
static void replace_sorted(struct memslot **to, struct memslot *const *from, unsigned int nr,
			   const struct memslot *old, struct memslot *new,
			   bool (*before)(const struct memslot *a, const struct memslot *b))
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (from[i] == old)
			continue;
		if (new && before(new, from[i])) {
			*to++ = new;
			new = NULL;
		}
		*to++ = from[i];
	}
	if (new)
		*to = new;
}

static bool gfn_before(const struct memslot *a, const struct memslot *b)
{
	return a->base_gfn < b->base_gfn;
}

static bool hva_before(const struct memslot *a, const struct memslot *b)
{
	return a->hva < b->hva;
}

static bool can_append(const struct memslots *slots, const struct memslot *new)
{
	unsigned int nr = slots->nr;

	if (!nr || nr == slots->capacity)
		return false;
	return gfn_before(slots->by_gfn[nr - 1], new) && !hva_before(new, slots->by_hva[nr - 1]);
}

static struct memslots *memslots_replace(const struct memslots *from,
					 const struct memslot *old, struct memslot *new)
{
	struct memslots *to = memslots_alloc(from->nr - !!old + !!new);
	hva_t reach = 0;
	unsigned int i;

	if (!to)
		return NULL;
	replace_sorted(to->by_gfn, from->by_gfn, from->nr, old, new, gfn_before);
	replace_sorted(to->by_hva, from->by_hva, from->nr, old, new, hva_before);
	for (i = 0; i < to->nr; i++) {
		reach = max(reach, memslot_hva_end(to->by_hva[i]));
		to->reach[i] = reach;
	}
	return to;
}

static void next_generation(struct vm *vm)
{
	/* The slots before the number that announces them. */
	smp_store_release(&vm->mem.generation, vm->mem.generation + 1);
}

/*
 * With a new set for each, slots by the thousand would cost their square. A new
 * slot takes nothing from a reader, so none is waited for.
 */
static void append(struct vm *vm, struct memslots *slots, struct memslot *new)
{
	unsigned int nr = slots->nr;

	slots->by_gfn[nr] = new;
	slots->by_hva[nr] = new;
	slots->reach[nr] = max(slots->reach[nr - 1], memslot_hva_end(new));
	/* Pairs with memslots_nr(). */
	smp_store_release(&slots->nr, nr + 1);
	next_generation(vm);
}

/*
 * The generation moves before the wait: who reads the old one afterwards is a
 * reader we wait for, and may still use a cached slot.
 */
static void publish(struct vm *vm, int as_id, struct memslots *slots)
{
	struct memslots *old = memslots_get(vm, as_id);

	rcu_assign_pointer(vm->mem.slots[as_id], slots);
	next_generation(vm);
	synchronize_srcu_expedited(&vm->srcu);
	kvfree(old);
}

static bool overlaps(const struct memslots *slots, const struct memslot *old,
		     gfn_t start, gfn_t end)
{
	unsigned int i;

	for (i = gfn_bound(slots, slots->nr, start); i < slots->nr; i++) {
		if (slots->by_gfn[i]->base_gfn >= end)
			return false;
		if (slots->by_gfn[i] != old)
			return true;
	}
	return false;
}

/* What needs no look at the other slots. */
static int check_region(const struct kvm_userspace_memory_region2 *mem)
{
	u64 size = mem->memory_size;

	if (mem->flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	if (!PAGE_ALIGNED(size) || !PAGE_ALIGNED(mem->guest_phys_addr) ||
	    !PAGE_ALIGNED(mem->userspace_addr))
		return -EINVAL;
	if (mem->userspace_addr != untagged_addr(mem->userspace_addr) ||
	    !access_ok((void __user *)(unsigned long)mem->userspace_addr, size))
		return -EINVAL;
	if ((mem->slot >> 16) >= VMM_NR_AS || (u16)mem->slot >= VMM_MAX_SLOTS)
		return -EINVAL;
	if (mem->guest_phys_addr + size < mem->guest_phys_addr)
		return -EINVAL;
	if (size >> PAGE_SHIFT > MAX_SLOT_PAGES)
		return -EINVAL;
	return 0;
}

enum slot_change { SLOT_NONE, SLOT_CREATE, SLOT_DELETE, SLOT_MOVE, SLOT_FLAGS };

/* What @mem asks for, seen beside the slot that has its id; or -errno. */
static int classify(struct vm *vm, const struct kvm_userspace_memory_region2 *mem,
		    const struct memslot *old)
{
	gfn_t base = mem->guest_phys_addr >> PAGE_SHIFT;
	unsigned long npages = mem->memory_size >> PAGE_SHIFT;
	enum slot_change change;

	if (!npages)
		return old ? SLOT_DELETE : -EINVAL;
	if (!old) {
		change = SLOT_CREATE;
		if (vm->mem.nr_pages + npages < npages)
			return -EINVAL;
	} else {
		if (mem->userspace_addr != old->hva || npages != old->npages ||
		    ((mem->flags ^ old->flags) & KVM_MEM_READONLY))
			return -EINVAL;
		if (base == old->base_gfn)
			return mem->flags == old->flags ? SLOT_NONE : SLOT_FLAGS;
		change = SLOT_MOVE;
	}
	if (overlaps(memslots_get(vm, mem->slot >> 16), old, base, base + npages))
		return -EEXIST;
	if (base + npages > tdp_gfn_limit())
		return -EINVAL;
	return change;
}

/* The second half is where GET_DIRTY_LOG gathers what it copies out. */
static int alloc_dirty(struct vm *vm, struct memslot *slot)
{
	if (READ_ONCE(vm->mem.ring_bytes))
		return 0;
	slot->dirty = kvcalloc(2, memslot_dirty_bytes(slot), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty)
		return -ENOMEM;
	if (mm_initially_set(vm, slot))
		bitmap_set(slot->dirty, 0, slot->npages);
	return 0;
}

static void free_slot(struct memslot *slot, const struct memslot *heir)
{
	if (!slot)
		return;
	if (!heir || heir->dirty != slot->dirty)
		kvfree(slot->dirty);
	kfree(slot);
}

/* A bitmap outlives moves; only its flag ends it. */
static struct memslot *new_slot(struct vm *vm, const struct kvm_userspace_memory_region2 *mem,
				const struct memslot *old)
{
	struct memslot *slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->base_gfn = mem->guest_phys_addr >> PAGE_SHIFT;
	slot->npages = mem->memory_size >> PAGE_SHIFT;
	slot->hva = mem->userspace_addr;
	slot->flags = mem->flags;
	slot->id = mem->slot;
	slot->as_id = mem->slot >> 16;
	if (!memslot_logged(slot))
		return slot;
	if (old && old->dirty) {
		slot->dirty = old->dirty;
	} else if (alloc_dirty(vm, slot)) {
		kfree(slot);
		return NULL;
	}
	return slot;
}

/* Its entries are gone, too: the notifiers may forget it, and it may be freed. */
static void slot_gone(struct vm *vm)
{
	/* The zap before the notifiers' leave to forget; pairs with going_slot(). */
	smp_store_release(&vm->mem.going, NULL);
	synchronize_srcu_expedited(&vm->srcu);
}

static void start_logging(struct vm *vm, const struct memslot *slot)
{
	/* What cannot be written; and with all bits set CLEAR_DIRTY_LOG starts it. */
	if ((slot->flags & KVM_MEM_READONLY) || mm_initially_set(vm, slot))
		return;
	if (READ_ONCE(eager_page_split))
		tdp_split_range(vm, slot->as_id, slot->base_gfn, memslot_gfn_end(slot));
	tdp_watch_slot(vm, slot);
}

/* @slots is the set without @old. */
static void withdraw(struct vm *vm, struct memslot *old, struct memslots *slots)
{
	/* Before the set that lacks it: publish() has the barrier. */
	WRITE_ONCE(vm->mem.going, old);
	publish(vm, old->as_id, slots);
	tdp_zap(vm, old->as_id, old->base_gfn, memslot_gfn_end(old), true);
	if (memslot_logged(old))
		mm_collect_hw_logs(vm);
	slot_gone(vm);
}

/* @slots is the set with @new, or NULL when the present one has room for it. */
static void enter(struct vm *vm, struct memslot *new, struct memslots *slots)
{
	if (slots)
		publish(vm, new->as_id, slots);
	else
		append(vm, memslots_get(vm, new->as_id), new);
}

/* No reader has the old flags any more; @slot may be faulted in with the new ones already. */
static void flags_changed(struct vm *vm, const struct memslot *slot)
{
	if (memslot_logged(slot))
		start_logging(vm, slot);
	else
		tdp_zap_collapsible(vm, slot);
}

/*
 * The hardware's log is on before a logged slot can be seen, so that no D bit of
 * its pages is set unnoticed, and until after the last one.
 */
static void count_logged(struct vm *vm, int n)
{
	bool before = mm_logs_dirty(&vm->mem);

	/* Before the vCPUs are looked at: one that is created now asks itself (vcpu.c). */
	smp_store_mb(vm->mem.nr_logged, vm->mem.nr_logged + n);
	if (vendor_caps.dirty_log_size && before != mm_logs_dirty(&vm->mem))
		vm_request_all(vm, REQ_DIRTY_LOG);
}

/* The id table is the writers' own, so it is put right before readers see the slot. */
static int store_id(struct vm *vm, int as_id, u16 id, struct memslot *new)
{
	struct xarray *ids = &vm->mem.ids[as_id];

	if (new)
		return xa_err(xa_store(ids, id, new, GFP_KERNEL_ACCOUNT));
	xa_erase(ids, id);
	return 0;
}

/* The sets that @change leads to: without @old, with @new; NULL those that it does without. */
static int make_sets(const struct memslots *now, enum slot_change change,
		     const struct memslot *old, struct memslot *new,
		     struct memslots **without, struct memslots **with)
{
	*without = NULL;
	*with = NULL;
	if (change == SLOT_DELETE || change == SLOT_MOVE) {
		*without = memslots_replace(now, old, NULL);
		if (!*without)
			return -ENOMEM;
	}
	if (change == SLOT_DELETE || (change == SLOT_CREATE && can_append(now, new)))
		return 0;
	*with = memslots_replace(now, old, new);
	return *with ? 0 : -ENOMEM;
}

static int apply(struct vm *vm, enum slot_change change, struct memslot *old,
		 const struct kvm_userspace_memory_region2 *mem)
{
	bool was_logged = old && memslot_logged(old), logged;
	struct memslots *without, *with;
	struct memslot *new = NULL;
	int as_id = mem->slot >> 16, r;

	if (change != SLOT_DELETE) {
		new = new_slot(vm, mem, old);
		if (!new)
			return -ENOMEM;
	}
	r = make_sets(memslots_get(vm, as_id), change, old, new, &without, &with);
	if (!r)
		r = store_id(vm, as_id, mem->slot, new);
	if (r)
		goto out_free;
	logged = new && memslot_logged(new);
	if (logged && !was_logged)
		count_logged(vm, 1);
	vm->mem.nr_pages += (new ? new->npages : 0) - (old ? old->npages : 0);
	if (without)
		withdraw(vm, old, without);
	if (new)
		enter(vm, new, with);
	if (was_logged && !logged)
		count_logged(vm, -1);
	if (change == SLOT_FLAGS)
		flags_changed(vm, new);
	free_slot(old, new);
	return 0;

out_free:
	kvfree(with);
	kvfree(without);
	free_slot(new, old);
	return r;
}

int mm_set_region(struct vm *vm, const struct kvm_userspace_memory_region2 *mem)
{
	struct memslot *old;
	int r = check_region(mem);

	if (r)
		return r;
	mutex_lock(&vm->slots_lock);
	old = xa_load(&vm->mem.ids[array_index_nospec(mem->slot >> 16, VMM_NR_AS)], (u16)mem->slot);
	r = classify(vm, mem, old);
	if (r > SLOT_NONE)
		r = apply(vm, r, old, mem);
	mutex_unlock(&vm->slots_lock);
	return r;
}

static int slots_create(struct vm *vm)
{
	struct memslots *slots;
	int as_id;

	for (as_id = 0; as_id < VMM_NR_AS; as_id++) {
		slots = memslots_alloc(0);
		if (!slots)
			return -ENOMEM;
		xa_init(&vm->mem.ids[as_id]);
		rcu_assign_pointer(vm->mem.slots[as_id], slots);
	}
	return 0;
}

static void slots_destroy(struct vm *vm, int as_id)
{
	struct memslots *slots = rcu_dereference_protected(vm->mem.slots[as_id], true);
	unsigned int i;

	if (!slots)
		return;
	for (i = 0; i < slots->nr; i++)
		free_slot(slots->by_gfn[i], NULL);
	kvfree(slots);
	RCU_INIT_POINTER(vm->mem.slots[as_id], NULL);
	xa_destroy(&vm->mem.ids[as_id]);
}

/* The notifier comes last, as its callbacks use all the rest. */
int mm_create(struct vm *vm)
{
	int r;

	nx_huge_create(vm);
	/* 0 is that of what has not been looked up yet. */
	vm->mem.generation = 1;
	r = slots_create(vm);
	if (!r)
		r = tdp_create(vm);
	if (!r)
		r = notifier_create(vm);
	if (r)
		mm_destroy(vm);
	return r;
}

void mm_destroy(struct vm *vm)
{
	int as_id;

	vm->mem.no_vcpus = true;
	nx_huge_destroy(vm);
	notifier_destroy(vm);
	tdp_destroy(vm);
	for (as_id = 0; as_id < VMM_NR_AS; as_id++)
		slots_destroy(vm, as_id);
}
