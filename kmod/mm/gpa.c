// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory as the host reads and writes it: through the process's own
 * mapping of it, with all that may happen there (swap-in, userfaultfd, ...).
 */
#include <linux/mm.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>

#include "../vmm.h"
#include "memslot.h"

static struct memslot *slot_for(struct vm *vm, int as_id, gfn_t gfn, bool write)
{
	struct memslot *slot = mm_slot(vm, as_id, gfn);

	if (slot && write && (slot->flags & KVM_MEM_READONLY))
		return NULL;
	return slot;
}

/* Bytes from @gpa to the end of its page, or @len. */
static unsigned int in_page(gpa_t gpa, unsigned int len)
{
	return min_t(unsigned int, len, PAGE_SIZE - offset_in_page(gpa));
}

/* For instructions and their operands: the checks of a copy cost more than its loads. */
static unsigned long copy_in(void *data, void __user *from, unsigned int len)
{
	if (len > 2 * sizeof(u64))
		return __copy_from_user(data, from, len);
	for (; len >= sizeof(u64); len -= sizeof(u64)) {
		if (__get_user(*(u64 *)data, (u64 __user *)from))
			return len;
		data += sizeof(u64);
		from += sizeof(u64);
	}
	for (; len; len--)
		if (__get_user(*(u8 *)data++, (u8 __user *)from++))
			return len;
	return 0;
}

static int as_read(struct vcpu *vcpu, int as_id, gpa_t gpa, void *data, unsigned int len)
{
	might_sleep();
	while (len) {
		unsigned int n = in_page(gpa, len);
		struct memslot *slot = slot_for(vcpu->vm, as_id, gpa >> PAGE_SHIFT, false);

		if (!slot || copy_in(data, memslot_user_ptr(slot, gpa), n))
			return -EFAULT;
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

static int as_write(struct vcpu *vcpu, int as_id, gpa_t gpa, const void *data, unsigned int len)
{
	might_sleep();
	while (len) {
		unsigned int n = in_page(gpa, len);
		struct memslot *slot = slot_for(vcpu->vm, as_id, gpa >> PAGE_SHIFT, true);

		if (!slot || __copy_to_user(memslot_user_ptr(slot, gpa), data, n))
			return -EFAULT;
		mm_mark_dirty(vcpu, slot, gpa >> PAGE_SHIFT);
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

int gpa_read(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len)
{
	return as_read(vcpu, 0, gpa, data, len);
}

int gpa_write(struct vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len)
{
	return as_write(vcpu, 0, gpa, data, len);
}

int vcpu_gpa_read(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len)
{
	return as_read(vcpu, vcpu->tdp.as_id, gpa, data, len);
}

int vcpu_gpa_write(struct vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len)
{
	return as_write(vcpu, vcpu->tdp.as_id, gpa, data, len);
}

/* One size of compare-exchange on user memory: 0, 1 or -EFAULT. */
#define DEFINE_USER_CMPXCHG(type)					\
static int user_cmpxchg_##type(void __user *ptr, u64 *old, u64 new)	\
{									\
	type val = *old;						\
	int r = __try_cmpxchg_user((type __user *)ptr, &val, (type)new, fault); \
									\
	*old = val;							\
	return r;							\
}

DEFINE_USER_CMPXCHG(u8)
DEFINE_USER_CMPXCHG(u16)
DEFINE_USER_CMPXCHG(u32)
DEFINE_USER_CMPXCHG(u64)

int vcpu_gpa_cmpxchg(struct vcpu *vcpu, gpa_t gpa, u64 *old, u64 new, unsigned int len)
{
	static int (*const op[])(void __user *ptr, u64 *old, u64 new) = {
		[1] = user_cmpxchg_u8,
		[2] = user_cmpxchg_u16,
		[4] = user_cmpxchg_u32,
		[8] = user_cmpxchg_u64,
	};
	struct memslot *slot;
	int r;

	might_sleep();
	if (VM_BROKEN(len >= ARRAY_SIZE(op) || !op[len] || in_page(gpa, len) != len, vcpu->vm))
		return -EFAULT;
	slot = slot_for(vcpu->vm, vcpu->tdp.as_id, gpa >> PAGE_SHIFT, true);
	if (!slot)
		return -EFAULT;
	r = op[len](memslot_user_ptr(slot, gpa), old, new);
	if (!r)
		mm_mark_dirty(vcpu, slot, gpa >> PAGE_SHIFT);
	return r;
}

/*
 * A cached slot stays valid as long as the generation: the writer raises it
 * before it waits for our read section.
 */
static void cache_fill(struct vm *vm, struct gpa_cache *gc)
{
	gfn_t first = gc->gpa >> PAGE_SHIFT;
	gfn_t last = (gc->gpa + gc->len - 1) >> PAGE_SHIFT;

	/* Before the slots are looked at: mm_set_region() orders the other way. */
	gc->generation = smp_load_acquire(&vm->mem.generation);
	gc->hva = 0;
	gc->slot = slot_for(vm, 0, first, true);
	if (gc->slot && last < memslot_gfn_end(gc->slot))
		gc->hva = memslot_hva(gc->slot, first) + offset_in_page(gc->gpa);
}

/*
 * User address of @len bytes at @off, or NULL: out of one slot's reach. A cache
 * may be used when its thread is scheduled out, so it is filled in one piece.
 */
void __user *gpa_cache_ptr(struct vcpu *vcpu, struct gpa_cache *gc, unsigned int off,
			   unsigned int len)
{
	struct vm *vm = vcpu->vm;
	void __user *ptr;

	if (VM_BROKEN(off > gc->len || len > gc->len - off, vm))
		return NULL;
	preempt_disable();
	/* Pairs with the release in memslot.c. */
	if (gc->generation != smp_load_acquire(&vm->mem.generation))
		cache_fill(vm, gc);
	ptr = gc->hva ? (void __user *)(gc->hva + off) : NULL;
	preempt_enable();
	return ptr;
}

static bool backed(struct vm *vm, gpa_t gpa, unsigned int len)
{
	gfn_t gfn, last = (gpa + len - 1) >> PAGE_SHIFT;

	for (gfn = gpa >> PAGE_SHIFT; gfn <= last; gfn++) {
		if (!mm_slot(vm, 0, gfn))
			return false;
	}
	return true;
}

int gpa_cache_init(struct vcpu *vcpu, struct gpa_cache *gc, gpa_t gpa, unsigned int len)
{
	*gc = (struct gpa_cache){ .gpa = gpa, .len = len };
	if (!len || gpa + len < gpa || !backed(vcpu->vm, gpa, len))
		return -EFAULT;
	cache_fill(vcpu->vm, gc);
	return 0;
}

int gpa_cache_read(struct vcpu *vcpu, struct gpa_cache *gc, void *data, unsigned int off,
		   unsigned int len)
{
	void __user *ptr = gpa_cache_ptr(vcpu, gc, off, len);

	if (!ptr)
		return gpa_read(vcpu, gc->gpa + off, data, len);
	might_sleep();
	return __copy_from_user(data, ptr, len) ? -EFAULT : 0;
}

int gpa_cache_write(struct vcpu *vcpu, struct gpa_cache *gc, const void *data,
		    unsigned int off, unsigned int len)
{
	void __user *ptr = gpa_cache_ptr(vcpu, gc, off, len);
	gfn_t gfn, last = (gc->gpa + off + len - 1) >> PAGE_SHIFT;

	if (!ptr)
		return gpa_write(vcpu, gc->gpa + off, data, len);
	might_sleep();
	if (__copy_to_user(ptr, data, len))
		return -EFAULT;
	for (gfn = (gc->gpa + off) >> PAGE_SHIFT; gfn <= last; gfn++)
		mm_mark_dirty(vcpu, gc->slot, gfn);
	return 0;
}

void gpa_cache_dirty(struct vcpu *vcpu, struct gpa_cache *gc)
{
	mm_mark_dirty(vcpu, gc->slot, gc->gpa >> PAGE_SHIFT);
}

static int get8(u8 __user *ptr, u8 *val)
{
	if (!user_access_begin(ptr, sizeof(*ptr)))
		return -EFAULT;
	unsafe_get_user(*val, ptr, fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

static int put8(u8 __user *ptr, u8 val)
{
	if (!user_access_begin(ptr, sizeof(*ptr)))
		return -EFAULT;
	unsafe_put_user(val, ptr, fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

int gpa_cache_get8(struct vcpu *vcpu, struct gpa_cache *gc, unsigned int off, u8 *val)
{
	u8 __user *ptr = gpa_cache_ptr(vcpu, gc, off, sizeof(*val));
	int err = -EFAULT;

	pagefault_disable();
	if (ptr)
		err = get8(ptr, val);
	pagefault_enable();
	return err;
}

int gpa_cache_put8(struct vcpu *vcpu, struct gpa_cache *gc, unsigned int off, u8 val)
{
	u8 __user *ptr = gpa_cache_ptr(vcpu, gc, off, sizeof(val));
	int err = -EFAULT;

	pagefault_disable();
	if (ptr)
		err = put8(ptr, val);
	pagefault_enable();
	if (!err)
		gpa_cache_dirty(vcpu, gc);
	return err;
}
