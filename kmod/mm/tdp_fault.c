// SPDX-License-Identifier: GPL-2.0-only
/*
 * Second-stage faults: from a guest-physical address to the host's page and
 * into the tables. Faults of all vCPUs run in parallel under tdp_lock held
 * for reading; what is done here only adds translations and rights.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#include "../vmm.h"
#include "tdp.h"

struct tdp_fault {
	struct memslot *slot;
	gfn_t gfn;
	hva_t hva;
	u32 access;		/* TDP_ACCESS_* */
	/* What the host has there: */
	u64 pfn;
	struct page *page;	/* with a reference, NULL for a bare pfn */
	bool host_write;
	bool uncached;
	bool absent;		/* a fast look has not found the page */
	int level;		/* of the mapping made or found */
	int nx_level;		/* tables up to here are there for nx_huge.c only */
};

int tdp_slot_level(const struct memslot *slot, gfn_t gfn)
{
	int level = tdp_format()->max_leaf_level;

	for (; level > 1; level--) {
		gfn_t mask = tdp_pages(level) - 1;

		if ((gfn ^ (memslot_hva(slot, gfn) >> PAGE_SHIFT)) & mask)
			continue;
		if ((gfn & ~mask) >= slot->base_gfn &&
		    (gfn | mask) < memslot_gfn_end(slot))
			break;
	}
	return level;
}

/*
 * Interrupts off keep the host's table pages, as they do for fast GUP. The
 * answer is of use only while something keeps it from changing: the host
 * changes a mapping's size between the notifier's start and end.
 */
int tdp_host_level(struct mm_struct *mm, hva_t hva)
{
	unsigned long flags;
	int level = 1;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		level = 3;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (pmd_none(pmd) || !pmd_present(pmd))
		goto out;
	if (pmd_leaf(pmd))
		level = 2;
out:
	local_irq_restore(flags);
	return level;
}

static bool slot_writable(const struct memslot *slot)
{
	return !(slot->flags & KVM_MEM_READONLY);
}

static void set_page(struct tdp_fault *f, struct page *page, bool write)
{
	f->page = page;
	f->pfn = page_to_pfn(page);
	f->host_write = write;
}

/* Writable if the host lets us have that for nothing. */
static bool faultin_fast(struct tdp_fault *f)
{
	struct page *page;

	if (!slot_writable(f->slot))
		return false;
	if (get_user_pages_fast_only(f->hva, 1, FOLL_WRITE, &page) != 1)
		return false;
	set_page(f, page, true);
	return true;
}

/* Device memory and other mappings without struct page; host tables only. */
static int faultin_pfnmap(struct mm_struct *mm, struct tdp_fault *f)
{
	bool write = f->access & TDP_ACCESS_WRITE;
	struct vm_area_struct *vma;
	struct vmm_pfnmap map;
	int r = -EFAULT;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, f->hva);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
		goto out;
	if (!(vma->vm_flags & (write ? VM_WRITE : VM_READ)))
		goto out;
	r = vmm_follow_pfnmap(vma, f->hva, write, &map);
	if (r)
		goto out;
	f->pfn = map.pfn;
	f->host_write = map.writable && slot_writable(f->slot);
	f->uncached = !pfn_valid(map.pfn) && !map.cached;
	if (write && !f->host_write)
		r = -EROFS;
out:
	mmap_read_unlock(mm);
	return r;
}

/* As KVM: the thread that touched the poisoned page learns it by SIGBUS. */
static int poisoned(const struct tdp_fault *f)
{
	send_sig_mceerr(BUS_MCEERR_AR, (void __user *)f->hva, PAGE_SHIFT, current);
	return -EHWPOISON;
}

static int faultin(struct vm *vm, struct tdp_fault *f)
{
	bool write = f->access & TDP_ACCESS_WRITE;
	bool nowait = f->access & TDP_ACCESS_NOWAIT;
	unsigned int flags = FOLL_HWPOISON | (nowait ? FOLL_NOWAIT : VMM_FOLL_INTERRUPTIBLE);
	struct page *page, *ro;
	long n;

	if (!f->absent && faultin_fast(f))
		return 0;
	n = get_user_pages_unlocked(f->hva, 1, &page, flags | (write ? FOLL_WRITE : 0));
	if (n == -EHWPOISON)
		return poisoned(f);
	if (!n && nowait)
		return -EINPROGRESS;
	if (n == -EINTR || n == -EAGAIN || n == -ERESTARTSYS || n == -ERESTARTNOHAND)
		return -EINTR;
	if (n != 1)
		return faultin_pfnmap(vm->mm, f);
	set_page(f, page, write);
	ro = page;
	/* The page may have come writable all the same; saves the next fault. */
	if (!write && faultin_fast(f))
		put_page(ro);
	return 0;
}

/* The host's own accounting: what the guest can write may be dirty at any time. */
static void release(struct tdp_fault *f)
{
	if (!f->page)
		return;
	if (!PageReserved(f->page)) {
		if (f->host_write)
			folio_set_dirty(page_folio(f->page));
		mark_page_accessed(f->page);
	}
	put_page(f->page);
}

/* Logged slots are written 4K by 4K; what is only read may stay huge. */
static int goal_level(struct vm *vm, struct tdp_fault *f)
{
	int level = tdp_slot_level(f->slot, f->gfn);

	if (level == 1)
		return 1;
	if (memslot_logged(f->slot) && (f->access & TDP_ACCESS_WRITE))
		return 1;
	level = min(level, tdp_host_level(vm->mm, f->hva));
	while (level > 1 && ((f->pfn ^ f->gfn) & (tdp_pages(level) - 1)))
		level--;
	if (!(f->access & TDP_ACCESS_FETCH) || !nx_huge_on(vm))
		return level;
	if (!memslot_logged(f->slot))
		f->nx_level = level;
	return 1;
}

static int topup_cache(struct vcpu *vcpu)
{
	struct vcpu_tdp *tdp = &vcpu->tdp;
	int want = tdp_format()->levels;

	while (tdp->nr_cache < want) {
		void *table = tdp_alloc_table();

		if (!table)
			return -ENOMEM;
		tdp->cache[tdp->nr_cache++] = table;
	}
	return 0;
}

void mm_vcpu_destroy(struct vcpu *vcpu)
{
	struct vcpu_tdp *tdp = &vcpu->tdp;

	while (tdp->nr_cache)
		tdp_free_table(tdp->cache[--tdp->nr_cache]);
}

/* A table for an empty entry; loses quietly to another vCPU. */
static bool link_table(struct vcpu *vcpu, struct tdp_iter *it)
{
	struct vcpu_tdp *tdp = &vcpu->tdp;
	void *table = tdp->cache[tdp->nr_cache - 1];
	u64 old = it->val;

	it->val = tdp_make_table(it->fmt, table);
	if (!tdp_cmpxchg(it->entry, &old, it->val)) {
		it->val = old;
		return false;
	}
	tdp->nr_cache--;
	return true;
}

static bool split_leaf(struct vcpu *vcpu, struct tdp_iter *it)
{
	struct vcpu_tdp *tdp = &vcpu->tdp;

	if (!tdp_split(vcpu->vm, it, tdp->cache[tdp->nr_cache - 1]))
		return false;
	tdp->nr_cache--;
	return true;
}

/* One level down, where nothing or a leaf too large stands. */
static void make_table(struct vcpu *vcpu, struct tdp_iter *it, const struct tdp_fault *f)
{
	bool made = tdp_iter_leaf(it) ? split_leaf(vcpu, it) : link_table(vcpu, it);

	if (made && it->level <= f->nx_level)
		nx_huge_add(vcpu->vm, f->slot->as_id, it);
}

/*
 * Dirty logging: the right first, then the bit or the ring's entry. The reader
 * takes bit and right away under the write lock, so either order would do
 * here, but this one is also right for readers without it. Who finds the right
 * there has nothing to tell: whoever gave it does, before the lock is free.
 */
static void log_write(struct vcpu *vcpu, const struct tdp_fault *f)
{
	if (f->access & TDP_ACCESS_WRITE)
		mm_mark_dirty(vcpu, f->slot, f->gfn);
}

static bool entry_uptodate(const struct tdp_iter *it, u32 access)
{
	return tdp_iter_leaf(it) && tdp_permits(it->fmt, it->val, access);
}

/* Writes the leaf of f at @it. False when the entry changed under our hands. */
static bool install_leaf(struct vcpu *vcpu, struct tdp_iter *it, const struct tdp_fault *f)
{
	gfn_t mask = tdp_pages(it->level) - 1;
	bool unasked = memslot_logged(f->slot) && !(f->access & TDP_ACCESS_WRITE);
	struct tdp_rights rights = {
		.write = f->host_write && (!unasked || (it->level == 1 && tdp_hw_log())),
		.clean = unasked,
		.exec = it->level == 1 || !nx_huge_on(vcpu->vm),
		.host_write = f->host_write,
		.uncached = f->uncached,
	};
	u64 new = tdp_make_leaf(it->fmt, f->pfn & ~mask, it->level, &rights);
	bool fresh = !tdp_present(it->fmt, it->val);

	/* The old page would still be mapped: the notifiers missed something. */
	if (VM_BROKEN(!fresh && tdp_pfn(it->val) != tdp_pfn(new), vcpu->vm))
		return true;
	if (!fresh)
		new |= it->val & (it->fmt->write | it->fmt->dirty);
	if (!tdp_cmpxchg(it->entry, &it->val, new))
		return false;
	if (fresh)
		tdp_count_leaves(vcpu->vm, it->level, 1);
	vcpu->stats.pf_fixed++;
	return true;
}

/*
 * Maps f at @goal, or lower where a table stands already. The cache holds as
 * many pages as there are levels, and each level takes at most one.
 */
static void map(struct vcpu *vcpu, struct tdp_fault *f, int goal)
{
	struct vm *vm = vcpu->vm;
	struct tdp_iter it;

	tdp_iter_begin(&it, tdp_format(), vm->mem.root_table[f->slot->as_id], f->gfn,
		       f->gfn + 1);
	for (;;) {
		f->level = it.level;
		if (entry_uptodate(&it, f->access))
			return;
		if (tdp_is_table(it.fmt, it.val, it.level)) {
			tdp_iter_next(&it);
			continue;
		}
		if (it.level > goal) {
			make_table(vcpu, &it, f);
			continue;
		}
		if (install_leaf(vcpu, &it, f))
			break;
	}
	log_write(vcpu, f);
}

/*
 * Without asking the host: somebody else has mapped the page, or only our own
 * write protection is in the way. An entry seen present under the lock is
 * still true, as an invalidation removes it before anything else.
 */
static bool fault_known(struct vcpu *vcpu, struct tdp_fault *f)
{
	struct vm *vm = vcpu->vm;
	u64 *root = vm->mem.root_table[f->slot->as_id];
	struct tdp_iter it;
	bool done = false;

	lockdep_assert_held(&vm->mem.tdp_lock);
	for_each_tdp_entry(&it, tdp_format(), root, f->gfn, f->gfn + 1) {
		if (!tdp_iter_leaf(&it))
			continue;
		f->level = it.level;
		if (entry_uptodate(&it, f->access)) {
			done = true;
			break;
		}
		if (!tdp_permits(it.fmt, it.val | it.fmt->write, f->access))
			break;
		if (!(it.val & TDP_HOST_WRITE) || !slot_writable(f->slot) ||
		    (it.level > 1 && memslot_logged(f->slot)))
			break;
		done = tdp_cmpxchg(it.entry, &it.val,
				   it.val | it.fmt->write | it.fmt->dirty);
		if (done)
			log_write(vcpu, f);
		vcpu->stats.pf_fixed += done;
		break;
	}
	return done;
}

/* What the host had after @seq was read is mapped, if it has it still. */
static bool map_found(struct vcpu *vcpu, struct tdp_fault *f, unsigned long seq)
{
	struct vm *vm = vcpu->vm;
	bool stands = !invalidate_retry(&vm->mem, seq, f->hva);

	if (stands)
		map(vcpu, f, goal_level(vm, f));
	release(f);
	return stands;
}

/* A page that is mapped already, or that the host has at hand. tdp_lock held. */
static bool fault_at_hand(struct vcpu *vcpu, struct tdp_fault *f)
{
	unsigned long seq;

	if (fault_known(vcpu, f)) {
		vcpu->stats.pf_fast++;
		return true;
	}
	if (vcpu->tdp.nr_cache < tdp_format()->levels)
		return false;
	seq = invalidate_begin_read(&vcpu->vm->mem);
	vcpu->tdp.absent = !faultin_fast(f);
	return !vcpu->tdp.absent && map_found(vcpu, f, seq);
}

static int faultin_failed(int r)
{
	switch (r) {
	case -EHWPOISON:	/* the signal is on its way */
	case -EAGAIN:		/* mmap lock was dropped */
		return TDP_RETRY;
	case -EROFS:		/* device page that refuses writes: as a read-only slot */
		return TDP_MMIO_WRITE;
	case -EINPROGRESS:	/* the host has it elsewhere, and nobody wants to wait */
		return TDP_WAIT;
	default:
		return r;
	}
}

/* One attempt. TDP_RETRY, with f->level set when something is mapped now. */
static int fault_slow(struct vcpu *vcpu, struct tdp_fault *f)
{
	struct vm *vm = vcpu->vm;
	unsigned long seq;
	int r;

	r = topup_cache(vcpu);
	if (r)
		return r;
	seq = invalidate_begin_read(&vm->mem);
	r = faultin(vm, f);
	if (r)
		return faultin_failed(r);
	read_lock(&vm->mem.tdp_lock);
	map_found(vcpu, f, seq);
	read_unlock(&vm->mem.tdp_lock);
	return TDP_RETRY;
}

static u64 hole_key(struct vcpu *vcpu, gfn_t gfn)
{
	return gfn | (u64)vcpu->tdp.as_id << 63;
}

/*
 * A device's page, most likely: without memory the last time, and no slot has changed. As of
 * now, so that a slot which is on its way is as if it came later.
 */
static bool hole_known(struct vcpu *vcpu, gfn_t gfn)
{
	const struct vcpu_tdp *tdp = &vcpu->tdp;

	return tdp->hole == hole_key(vcpu, gfn) &&
	       /* Pairs with the release in memslot.c. */
	       tdp->hole_generation == smp_load_acquire(&vcpu->vm->mem.generation);
}

/* Negative: -errno; positive: enum tdp_result that needs no mapping; 0: go on. */
static int fault_begin(struct vcpu *vcpu, gpa_t gpa, u32 access, struct tdp_fault *f)
{
	/* Before the slots are looked at, as in gpa.c. */
	u64 generation = smp_load_acquire(&vcpu->vm->mem.generation);

	*f = (struct tdp_fault){
		.gfn = gpa >> PAGE_SHIFT, .access = access, .absent = vcpu->tdp.absent,
	};
	vcpu->tdp.absent = false;
	lockdep_assert(srcu_read_lock_held(&vcpu->vm->srcu));
	if (f->gfn >= tdp_gfn_limit())
		return TDP_MMIO;
	f->slot = mm_slot(vcpu->vm, vcpu->tdp.as_id, f->gfn);
	if (!f->slot) {
		vcpu->tdp.hole = hole_key(vcpu, f->gfn);
		vcpu->tdp.hole_generation = generation;
		return TDP_MMIO;
	}
	if ((access & TDP_ACCESS_WRITE) && !slot_writable(f->slot))
		return TDP_MMIO_WRITE;
	f->hva = memslot_hva(f->slot, f->gfn);
	return 0;
}

static bool fault_fast(struct vcpu *vcpu, struct tdp_fault *f)
{
	bool done;

	read_lock(&vcpu->vm->mem.tdp_lock);
	done = fault_known(vcpu, f);
	read_unlock(&vcpu->vm->mem.tdp_lock);
	return done;
}

int tdp_fault(struct vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct tdp_fault f;
	int r;

	vcpu->stats.pf_taken++;
	r = fault_begin(vcpu, gpa, access, &f);
	if (r)
		return r;
	if (!f.absent && fault_fast(vcpu, &f)) {
		vcpu->stats.pf_fast++;
		return TDP_RETRY;
	}
	return fault_slow(vcpu, &f);
}

/*
 * Does not wait for the lock: who holds it for writing may wait for this CPU to take an
 * interrupt.
 */
static bool fault_trylock(struct vcpu *vcpu, struct tdp_fault *f)
{
	rwlock_t *lock = &vcpu->vm->mem.tdp_lock;
	bool done;

	if (!read_trylock(lock))
		return false;
	done = fault_at_hand(vcpu, f);
	read_unlock(lock);
	vcpu->stats.pf_taken += done;
	return done;
}

int tdp_fault_atomic(struct vcpu *vcpu, gpa_t gpa, u32 access)
{
	struct vm *vm = vcpu->vm;
	struct tdp_fault f;
	int r, idx;

	if (hole_known(vcpu, gpa >> PAGE_SHIFT))
		return TDP_MMIO;
	/* Without it the host's LRU lists turn interrupts on. */
	if (!IS_ENABLED(CONFIG_SMP))
		return TDP_WAIT;
	idx = srcu_read_lock(&vm->srcu);
	r = fault_begin(vcpu, gpa, access, &f);
	if (!r)
		r = fault_trylock(vcpu, &f) ? TDP_RETRY : TDP_WAIT;
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

long tdp_prefault(struct vcpu *vcpu, gpa_t gpa, u64 size)
{
	struct tdp_fault f;
	u64 span;
	int r;

	do {
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
		r = fault_begin(vcpu, gpa, TDP_ACCESS_READ, &f);
		if (r)
			return -ENOENT;
		if (fault_fast(vcpu, &f))
			break;
		r = fault_slow(vcpu, &f);
		if (r)
			return r < 0 ? r : -ENOENT;
	} while (!f.level);
	span = tdp_pages(f.level) << PAGE_SHIFT;
	return min(size, span - (gpa & (span - 1)));
}
