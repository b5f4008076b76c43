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

/* Words of the bitmap whose pages are split at a time: 32 MiB of memory. */
#define BATCH_WORDS	128ul
/* And of one table: less is not worth a flush of its own. */
#define TABLE_WORDS	(TDP_ENTRIES / BITS_PER_LONG)

static void set_dirty_bit(const struct memslot *slot, gfn_t gfn)
{
	unsigned long bit = gfn - slot->base_gfn;

	/* Spares the cache line when it is set; the set itself is a full barrier. */
	if (test_bit(bit, slot->dirty)) {
		/* It must be so after the write that it stands for. */
		smp_mb();
		if (test_bit(bit, slot->dirty))
			return;
	}
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

/* Of a slot on its way out as well: its bitmap may go on in another place. */
static struct memslot *written_slot(struct vcpu *vcpu, gfn_t gfn)
{
	struct memslot *slot = mm_slot(vcpu->vm, vcpu->tdp.as_id, gfn);

	if (slot)
		return slot;
	slot = mm_going(&vcpu->vm->mem);
	if (!slot || slot->as_id != vcpu->tdp.as_id)
		return NULL;
	return gfn >= slot->base_gfn && gfn < memslot_gfn_end(slot) ? slot : NULL;
}

void mm_log_written(struct vcpu *vcpu, const u64 *gpas, unsigned int n)
{
	struct vm *vm = vcpu->vm;
	int idx = srcu_read_lock(&vm->srcu);

	vcpu->stats.pml_logged += n;
	while (n--) {
		gfn_t gfn = gpas[n] >> PAGE_SHIFT;

		mm_mark_dirty(vcpu, written_slot(vcpu, gfn), gfn);
	}
	srcu_read_unlock(&vm->srcu, idx);
}

void mm_collect_hw_logs(struct vm *vm)
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
	s = xa_load(&vm->mem.ids[array_index_nospec(slot >> 16, VMM_NR_AS)], (u16)slot);
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
 * How many words at @words are clean, in whole tables' parts: most of most logs. A bit that
 * is set meanwhile may be overlooked, so it needs no READ_ONCE(), which would be two
 * instructions for each word.
 */
static unsigned long clean_words(const unsigned long *words, unsigned long nr)
{
	unsigned long i, k, any = 0;

	for (i = 0; i + TABLE_WORDS <= nr; i += TABLE_WORDS) {
		for (k = 0; k < TABLE_WORDS; k++)
			/* Against set_dirty_bit(): as told above. */
			any |= data_race(words[i + k]);
		if (any)
			break;
	}
	return i;
}

/* Pages of the log that a harvest takes, word by word: selected ones, or all, which are told. */
struct crop {
	struct vm *vm;
	const struct memslot *slot;
	unsigned long word;		/* of the log, where it begins */
	const unsigned long *select;	/* or NULL */
	unsigned long *taken;		/* zeroes at first, or NULL */
};

static unsigned long selected(const struct crop *crop, unsigned long i)
{
	unsigned long dirty = READ_ONCE(crop->slot->dirty[crop->word + i]);

	return crop->select ? dirty & crop->select[i] : dirty;
}

/* Whether a flush is needed. */
static bool harvest_word(const struct crop *crop, unsigned long i)
{
	unsigned long word = crop->word + i, mask = selected(crop, i);

	if (!mask)
		return false;
	mask &= atomic_long_fetch_andnot(mask, (atomic_long_t *)&crop->slot->dirty[word]);
	if (crop->taken)
		crop->taken[i] = mask;
	return watch_mask(crop->vm, crop->slot, word, mask);
}

/*
 * Words from @i on, up to @end at most. One section of tdp_lock, which the flush
 * closes: user space copies a page only after it has seen the bit, and by then
 * every write either came through or will be noticed. Where it stopped.
 */
static unsigned long harvest_section(const struct crop *crop, unsigned long i, unsigned long end)
{
	const unsigned long *words = crop->slot->dirty + crop->word;
	bool flush = false;

	write_lock(&crop->vm->mem.tdp_lock);
	do {
		if (!(i % TABLE_WORDS))
			i += clean_words(words + i, end - i);
		if (i < end)
			flush |= harvest_word(crop, i++);
	} while (i < end && (i % TABLE_WORDS || !tdp_lock_wanted(crop->vm)));
	if (flush)
		tdp_flush(crop->vm);
	write_unlock(&crop->vm->mem.tdp_lock);
	return i;
}

/* Pages that will be watched for the first time: huge ones as wholes, if nobody splits them. */
static void split_selected(const struct crop *crop, unsigned long i, unsigned long end)
{
	const struct memslot *slot = crop->slot;

	for (; i < end; i++) {
		gfn_t base = slot->base_gfn + (crop->word + i) * BITS_PER_LONG;
		unsigned long mask = selected(crop, i);

		if (mask)
			tdp_split_range(crop->vm, slot->as_id, base + __ffs(mask),
					base + __fls(mask) + 1);
	}
}

/* A bit that is set while this goes on is taken, or is there for the next one. */
static void harvest(const struct crop *crop, unsigned long nr)
{
	bool split = mm_initially_set(crop->vm, crop->slot) && READ_ONCE(eager_page_split);
	unsigned long i = 0, end;

	while (i < nr) {
		i += clean_words(crop->slot->dirty + crop->word + i, nr - i);
		end = split ? min(nr, i + BATCH_WORDS) : nr;
		if (split)
			split_selected(crop, i, end);
		for (; i < end; cond_resched())
			i = harvest_section(crop, i, end);
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
	mm_collect_hw_logs(vm);
	bytes = memslot_dirty_bytes(slot);
	buf = slot->dirty;
	if (!vm->mem.manual_protect) {
		struct crop crop = { vm, slot, .taken = second_bitmap(slot) };

		buf = crop.taken;
		memset(buf, 0, bytes);
		harvest(&crop, bytes / sizeof(long));
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
	struct crop crop;
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
	mm_collect_hw_logs(vm);
	crop = (struct crop){ vm, slot, log->first_page / BITS_PER_LONG, .select = buf };
	harvest(&crop, words);
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
