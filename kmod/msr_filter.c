// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_X86_SET_MSR_FILTER: which MSRs a guest may touch without user space
 * being asked. x2APIC MSRs are never filtered (api.rst 4.97).
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>

#include "ioctl.h"
#include "msr.h"

#define MAX_BITMAP_BYTES	0x600

struct msr_filter_range {
	u32 base, nmsrs, flags;
	unsigned long *bitmap;
};

struct msr_filter {
	bool default_allow;
	u32 nr;
	struct msr_filter_range range[KVM_MSR_FILTER_MAX_RANGES];
};

static void filter_free(struct msr_filter *filter)
{
	u32 i;

	if (!filter)
		return;
	for (i = 0; i < filter->nr; i++)
		kvfree(filter->range[i].bitmap);
	kfree(filter);
}

static int filter_add(struct msr_filter *filter, const struct kvm_msr_filter_range *in)
{
	struct msr_filter_range *r = &filter->range[filter->nr];
	size_t bytes;

	if (!in->nmsrs)
		return 0;
	if (in->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE) || !in->flags)
		return -EINVAL;
	bytes = BITS_TO_LONGS(in->nmsrs) * sizeof(long);
	if (!bytes || bytes > MAX_BITMAP_BYTES)
		return -EINVAL;
	r->bitmap = vmm_dup_user((void __user *)in->bitmap, 1, bytes);
	if (IS_ERR(r->bitmap))
		return PTR_ERR(r->bitmap);
	r->base = in->base;
	r->nmsrs = in->nmsrs;
	r->flags = in->flags;
	filter->nr++;
	return 0;
}

static struct msr_filter *filter_build(const struct kvm_msr_filter *in)
{
	struct msr_filter *filter;
	bool empty = true;
	u32 i;
	int err;

	if (in->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return ERR_PTR(-EINVAL);
	for (i = 0; i < ARRAY_SIZE(in->ranges); i++)
		empty &= !in->ranges[i].nmsrs;
	if (empty && (in->flags & KVM_MSR_FILTER_DEFAULT_DENY))
		return ERR_PTR(-EINVAL);
	filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	if (!filter)
		return ERR_PTR(-ENOMEM);
	filter->default_allow = !(in->flags & KVM_MSR_FILTER_DEFAULT_DENY);
	for (i = 0; i < ARRAY_SIZE(in->ranges); i++) {
		err = filter_add(filter, &in->ranges[i]);
		if (err) {
			filter_free(filter);
			return ERR_PTR(err);
		}
	}
	if (!filter->nr) {
		filter_free(filter);
		return NULL;
	}
	return filter;
}

static int filter_set(struct vm *vm, const struct kvm_msr_filter *in)
{
	struct msr_filter *new, *old;

	lockdep_assert_held(&vm->lock);
	new = filter_build(in);
	if (IS_ERR(new))
		return PTR_ERR(new);
	old = rcu_replace_pointer(vm->msr_filter, new, lockdep_is_held(&vm->lock));
	synchronize_srcu(&vm->srcu);
	filter_free(old);
	/* Which MSRs exit depends on it. */
	vm_request_all(vm, REQ_CPUID);
	return 0;
}

int msr_filter_set(struct vm *vm, const struct kvm_msr_filter __user *argp)
{
	struct kvm_msr_filter in;

	if (copy_from_user(&in, argp, sizeof(in)))
		return -EFAULT;
	return filter_set(vm, &in);
}

int msr_filter_set_32(struct vm *vm, const struct msr_filter_32 __user *argp)
{
	struct kvm_msr_filter in = {};
	struct msr_filter_32 from;
	int i;

	if (copy_from_user(&from, argp, sizeof(from)))
		return -EFAULT;
	in.flags = from.flags;
	for (i = 0; i < ARRAY_SIZE(in.ranges); i++) {
		in.ranges[i].flags = from.ranges[i].flags;
		in.ranges[i].nmsrs = from.ranges[i].nmsrs;
		in.ranges[i].base = from.ranges[i].base;
		in.ranges[i].bitmap = (__u8 *)(unsigned long)from.ranges[i].bitmap;
	}
	return filter_set(vm, &in);
}

void msr_filter_destroy(struct vm *vm)
{
	filter_free(rcu_dereference_protected(vm->msr_filter, true));
}

bool msr_filter_allowed(struct vm *vm, u32 msr, bool write)
{
	struct msr_filter *filter = srcu_dereference(vm->msr_filter, &vm->srcu);
	u32 type = write ? KVM_MSR_FILTER_WRITE : KVM_MSR_FILTER_READ;
	u32 i;

	if (!filter || (msr >= APIC_BASE_MSR && msr <= APIC_BASE_MSR + 0xff))
		return true;
	for (i = 0; i < filter->nr; i++) {
		struct msr_filter_range *r = &filter->range[i];

		if (msr >= r->base && msr - r->base < r->nmsrs && (r->flags & type))
			return test_bit(msr - r->base, r->bitmap);
	}
	return filter->default_allow;
}
