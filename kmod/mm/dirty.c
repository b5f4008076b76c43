// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log: one bitmap per logged slot, or a ring per vCPU (dirty_ring.c).
 *
 * Fed by write-protect faults (tdp_fault.c), by the hardware's log where there
 * is one (mm_log_written), and by host-side writers (mm_mark_dirty). A fault
 * gives the write right and sets the bit in one read section of tdp_lock; the
 * reader takes the bit and the right in one write section. So at any moment
 * outside the lock a page with the right has its bit, and a write that comes
 * after the flush faults and is seen next time.
 *
 * With a log of the hardware's, 4K pages keep the right and lose D instead. The
 * first write sets D and is logged; the bit follows when the log is emptied,
 * which may be after a reader came by: it left D set, and the next one finds bit
 * and D. A page with D has its bit, or is in the log of a vCPU in the guest.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>

#include "../vmm.h"
#include "tdp.h"

/* Words of the bitmap between two chances to sleep: 32 MiB of memory. */
#define BATCH_WORDS	128ul
/* And of one table: less is not worth a flush of its own. */
#define TABLE_WORDS	(TDP_ENTRIES / BITS_PER_LONG)

static void set_dirty_bit(const struct memslot *slot, gfn_t gfn)
{
	unsigned long bit = gfn - slot->base_gfn;

	/* Spares the cache line when it is set; the set itself is a full barrier. */
	smp_mb();
	if (!test_bit(bit, slot->dirty))
		set_bit(bit, slot->dirty);
}

void mm_mark_dirty(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn)
{
	if (!slot || !memslot_logged(slot))
		return;
	if (vcpu->ring.entries)
		dirty_ring_push(vcpu, slot, gfn);
	else if (slot->dirty)
		set_dirty_bit(slot, gfn);
}

/* A slot that is logged starts with all pages dirty, and none of them watched. */
bool mm_initially_set(const struct vm *vm, const struct memslot *slot)
{
	return slot->dirty && (vm->mem.manual_protect & KVM_DIRTY_LOG_INITIALLY_SET);
}

void mm_log_written(struct vcpu *vcpu, const u64 *gpas, unsigned int n)
{
	struct vm *vm = vcpu->vm;
	int idx = srcu_read_lock(&vm->srcu);

	vcpu->stats.pml_logged += n;
	while (n--) {
		gfn_t gfn = gpas[n] >> PAGE_SHIFT;

		mm_mark_dirty(vcpu, mm_slot(vm, vcpu->tdp.as_id, gfn), gfn);
	}
	srcu_read_unlock(&vm->srcu, idx);
}

/* What vCPUs wrote until now is in the bitmaps on return. */
static void collect_hw_logs(struct vm *vm)
{
	if (vendor_caps.dirty_log_size)
		vm_request_all(vm, REQ_DIRTY_LOG);
}

/* Slot of a dirty log ioctl: NULL and *r. */
static struct memslot *logged_slot(struct vm *vm, u32 slot, int *r)
{
	struct memslot *s;

	lockdep_assert_held(&vm->slots_lock);
	*r = -ENXIO;
	if (vm->mem.ring_bytes)
		return NULL;
	*r = -EINVAL;
	if ((slot >> 16) >= VMM_NR_AS || (u16)slot >= VMM_MAX_SLOTS)
		return NULL;
	*r = -ENOENT;
	s = xa_load(&vm->mem.ids[slot >> 16], (u16)slot);
	return s && s->dirty ? s : NULL;
}

static unsigned long *second_bitmap(const struct memslot *slot)
{
	return slot->dirty + BITS_TO_LONGS(slot->npages);
}

/* Watches the pages whose bits are set in @mask. */
static bool watch_mask(struct vm *vm, const struct memslot *slot, unsigned long word,
		       unsigned long mask)
{
	gfn_t base = slot->base_gfn + word * BITS_PER_LONG;
	bool flush = false;

	while (mask) {
		unsigned int first = __ffs(mask), end = BITS_PER_LONG;
		/* Above the lowest set bit, the lowest clear one ends the run. */
		unsigned long above = ~(mask | (mask - 1));

		if (above)
			end = __ffs(above);
		flush |= tdp_watch(vm, slot->as_id, base + first, base + end);
		mask &= end < BITS_PER_LONG ? ~0ul << end : 0;
	}
	return flush;
}

/*
 * Clears in the log what @buf selects, word by word, and leaves in @buf what
 * was cleared. Words from @word on belong to buf[0]. One section of tdp_lock,
 * which the flush closes: user space copies a page only after it has seen the
 * bit, and by then every write either came through or will be noticed. The
 * number of words that were done.
 */
static unsigned long harvest_section(struct vm *vm, const struct memslot *slot,
				     unsigned long word, unsigned long *buf, unsigned long nr)
{
	unsigned long i = 0;
	bool flush = false;

	write_lock(&vm->mem.tdp_lock);
	do {
		atomic_long_t *p = (atomic_long_t *)&slot->dirty[word + i];

		/* Most words of most logs are clean. */
		if (!(buf[i] & atomic_long_read(p))) {
			buf[i] = 0;
			continue;
		}
		buf[i] &= atomic_long_fetch_andnot(buf[i], p);
		flush |= watch_mask(vm, slot, word + i, buf[i]);
	} while (++i < nr && (i % TABLE_WORDS || !tdp_lock_wanted(vm)));
	if (flush)
		tdp_flush(vm);
	write_unlock(&vm->mem.tdp_lock);
	return i;
}

/* Pages that will be watched for the first time: huge ones as wholes, if nobody splits them. */
static void split_selected(struct vm *vm, const struct memslot *slot, unsigned long word,
			   const unsigned long *buf, unsigned long nr)
{
	unsigned long i, mask;

	for (i = 0; i < nr; i++) {
		gfn_t base = slot->base_gfn + (word + i) * BITS_PER_LONG;

		mask = buf[i] & READ_ONCE(slot->dirty[word + i]);
		if (mask)
			tdp_split_range(vm, slot->as_id, base + __ffs(mask),
					base + __fls(mask) + 1);
	}
}

static void harvest(struct vm *vm, const struct memslot *slot, unsigned long word,
		    unsigned long *buf, unsigned long nr)
{
	bool split = mm_initially_set(vm, slot) && READ_ONCE(eager_page_split);
	unsigned long i, end, done;

	for (i = 0; i < nr; i = end) {
		end = min(nr, i + BATCH_WORDS);
		if (split)
			split_selected(vm, slot, word + i, buf + i, end - i);
		for (done = i; done < end; cond_resched())
			done += harvest_section(vm, slot, word + done, buf + done, end - done);
	}
}

static int get_log(struct vm *vm, struct kvm_dirty_log *log)
{
	struct memslot *slot;
	unsigned long *buf;
	size_t bytes;
	int r;

	slot = logged_slot(vm, log->slot, &r);
	if (!slot)
		return r;
	collect_hw_logs(vm);
	bytes = memslot_dirty_bytes(slot);
	buf = slot->dirty;
	if (!vm->mem.manual_protect) {
		buf = second_bitmap(slot);
		memset(buf, 0xff, bytes);
		harvest(vm, slot, 0, buf, bytes / sizeof(long));
	}
	return copy_to_user(log->dirty_bitmap, buf, bytes) ? -EFAULT : 0;
}

int mm_get_dirty_log(struct vm *vm, struct kvm_dirty_log *log)
{
	int r;

	mutex_lock(&vm->slots_lock);
	r = get_log(vm, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* Ranges are of whole words, but for the end of the slot. */
static bool clear_range_ok(const struct memslot *slot, const struct kvm_clear_dirty_log *log)
{
	u64 left;

	if (log->first_page > slot->npages)
		return false;
	left = slot->npages - log->first_page;
	return log->num_pages == left ||
	       (log->num_pages < left && !(log->num_pages % BITS_PER_LONG));
}

static int clear_log(struct vm *vm, struct kvm_clear_dirty_log *log)
{
	struct memslot *slot;
	unsigned long *buf, words;
	int r;

	if (log->first_page % BITS_PER_LONG)
		return -EINVAL;
	slot = logged_slot(vm, log->slot, &r);
	if (!slot)
		return r;
	if (!clear_range_ok(slot, log))
		return -EINVAL;
	buf = second_bitmap(slot);
	words = BITS_TO_LONGS(log->num_pages);
	if (copy_from_user(buf, log->dirty_bitmap, words * sizeof(long)))
		return -EFAULT;
	collect_hw_logs(vm);
	harvest(vm, slot, log->first_page / BITS_PER_LONG, buf, words);
	return 0;
}

int mm_clear_dirty_log(struct vm *vm, struct kvm_clear_dirty_log *log)
{
	int r;

	mutex_lock(&vm->slots_lock);
	r = clear_log(vm, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}
