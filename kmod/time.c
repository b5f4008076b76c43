// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time: guest TSC = scale(host TSC) + offset, matched between the vCPUs of a
 * VM, and the VM-wide kvmclock.
 *
 * CLOCK_MONOTONIC_RAW advances at exactly tsc_khz on a host whose clocksource
 * is the TSC, so one (TSC, ns) anchor per VM stays true until the host sleeps,
 * and all vCPUs may extrapolate from it (PVCLOCK_TSC_STABLE_BIT), as long as user
 * space has given all of them the same TSC.
 */
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "msr.h"
#include "pv/pv.h"
#include "time.h"
#include "vendor.h"

/* KVM's tolerance before a TSC frequency counts as a different one. */
#define TSC_TOLERANCE_PPM	250

struct vm_clock {
	spinlock_t lock;		/* of all that follows */
	struct time_pair anchor;
	s64 offset;		/* kvmclock - base_now() */
	/* The last TSC written, to recognize vCPUs that are meant to agree. */
	u64 tsc_value, tsc_ns, tsc_offset;
	u32 tsc_khz;
	bool tsc_written;
	bool tsc_by_user;	/* and not only by the creation of vCPUs */
	bool tscs_differ;	/* user space gave the vCPUs different ones */
};

/* As KVM's: it runs at the TSC's pace, and leaps over the host's sleep. */
static u64 base_now(void)
{
	return ktime_get_raw_ns() + ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
}

void time_pair_now(struct time_pair *now)
{
	u64 best = ~0ull, before, after;
	unsigned long flags;
	int i;

	local_irq_save(flags);
	for (i = 0; i < 3; i++) {
		struct time_pair p;

		before = rdtsc_ordered();
		p.base_ns = base_now();
		after = rdtsc_ordered();
		if (after - before >= best)
			continue;
		best = after - before;
		p.real_ns = ktime_get_real_ns();
		p.tsc = before + (after - before) / 2;
		*now = p;
	}
	local_irq_restore(flags);
}

/* No other counter reads as something between two readings of the TSC. */
bool time_wall_and_tsc(u64 *real_ns, u64 *tsc)
{
	u64 before = rdtsc_ordered();

	if (check_tsc_unstable())
		return false;
	compat_clock_snapshot(tsc, real_ns);
	return *tsc >= before && *tsc <= rdtsc_ordered();
}

int vm_clock_create(struct vm *vm)
{
	struct vm_clock *c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);

	if (!c)
		return -ENOMEM;
	spin_lock_init(&c->lock);
	time_pair_now(&c->anchor);
	c->offset = -(s64)c->anchor.base_ns;
	vm->clock = c;
	vm->default_tsc_khz = tsc_khz;
	return 0;
}

void vm_clock_destroy(struct vm *vm)
{
	kfree(vm->clock);
}

static bool clock_stable(const struct vm_clock *c)
{
	return !check_tsc_unstable() && !READ_ONCE(c->tscs_differ);
}

void vm_clock_anchor(struct vm *vm, struct vm_clock_anchor *anchor)
{
	struct vm_clock *c = vm->clock;

	spin_lock(&c->lock);
	anchor->stable = clock_stable(c);
	if (!anchor->stable)
		time_pair_now(&c->anchor);
	anchor->tsc = c->anchor.tsc;
	anchor->ns = c->anchor.base_ns + c->offset;
	spin_unlock(&c->lock);
}

u64 vm_clock_now(struct vm *vm)
{
	struct vm_clock *c = vm->clock;
	u64 ns;

	spin_lock(&c->lock);
	ns = base_now() + c->offset;
	spin_unlock(&c->lock);
	return ns;
}

/* KVM_GET_CLOCK */
int vm_clock_get(struct vm *vm, struct kvm_clock_data *data)
{
	struct vm_clock *c = vm->clock;
	struct time_pair now;

	time_pair_now(&now);
	spin_lock(&c->lock);
	data->clock = now.base_ns + c->offset;
	spin_unlock(&c->lock);
	data->realtime = now.real_ns;
	data->host_tsc = now.tsc;
	data->flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
	if (clock_stable(c))
		data->flags |= KVM_CLOCK_TSC_STABLE;
	return 0;
}

/* KVM_SET_CLOCK */
int vm_clock_set(struct vm *vm, const struct kvm_clock_data *data)
{
	struct vm_clock *c = vm->clock;
	u64 clock = data->clock;
	struct time_pair now;

	/* The others may come back from KVM_GET_CLOCK and mean nothing. */
	if (data->flags & ~VMM_CLOCK_FLAGS)
		return -EINVAL;
	time_pair_now(&now);
	/* Time that passed since the clock was read, on the wall. */
	if ((data->flags & KVM_CLOCK_REALTIME) && now.real_ns > data->realtime)
		clock += now.real_ns - data->realtime;
	spin_lock(&c->lock);
	c->anchor = now;
	c->offset = clock - now.base_ns;
	spin_unlock(&c->lock);
	vm_request_all(vm, REQ_CLOCK);
	return 0;
}

void vm_clock_anchor_again(struct vm *vm)
{
	struct vm_clock *c = vm->clock;

	spin_lock(&c->lock);
	time_pair_now(&c->anchor);
	spin_unlock(&c->lock);
	vm_request_all(vm, REQ_CLOCK);
}

/* No vCPU is in the guest, so requests need no kick. */
void vm_clock_resumed(struct vm *vm, u64 lost)
{
	struct vm_clock *c = vm->clock;
	u64 shared = c->tsc_offset;
	struct vcpu *vcpu;
	unsigned long i;

	spin_lock(&c->lock);
	time_pair_now(&c->anchor);
	vm_for_each_vcpu(i, vcpu, vm) {
		u64 ticks = time_scale_tsc(vcpu, lost);

		/* What later vCPUs are matched with goes along. */
		if (vcpu->tsc_offset == shared)
			c->tsc_offset = shared + ticks;
		vcpu->tsc_offset += ticks;
		vcpu->tsc_base += ticks;
		vcpu_request(vcpu, REQ_TSC);
		vcpu_request(vcpu, REQ_CLOCK);
	}
	spin_unlock(&c->lock);
}

static bool khz_within_tolerance(u64 khz)
{
	u64 slack = div_u64((u64)tsc_khz * TSC_TOLERANCE_PPM, 1000000);

	return khz >= tsc_khz - slack && khz <= tsc_khz + slack;
}

/* Below this the ratio fits: KVM's bound, too. */
static u32 khz_limit(void)
{
	return min_t(u64, S32_MAX, mul_u64_u64_shr(vendor_caps.tsc_ratio_max, tsc_khz,
						   vendor_caps.tsc_ratio_frac_bits));
}

int vm_set_tsc_khz(struct vm *vm, u32 khz)
{
	/* New vCPUs could not have it. */
	if (!vendor_caps.tsc_scaling && khz && !khz_within_tolerance(khz))
		return -EINVAL;
	if (vendor_caps.tsc_scaling && khz >= khz_limit())
		return -EINVAL;
	if (atomic_read(&vm->nr_vcpus))
		return -EINVAL;
	vm->default_tsc_khz = khz ?: tsc_khz;
	return 0;
}

u64 time_scale_tsc(const struct vcpu *vcpu, u64 host_tsc)
{
	if (!vcpu->tsc_ratio)
		return host_tsc;
	return mul_u64_u64_shr(host_tsc, vcpu->tsc_ratio, vendor_caps.tsc_ratio_frac_bits);
}

u64 vcpu_guest_tsc(const struct vcpu *vcpu, u64 host_tsc)
{
	return time_scale_tsc(vcpu, host_tsc) + vcpu->tsc_offset;
}

static bool tscs_differ(struct vm *vm)
{
	struct vcpu *vcpu, *first = NULL;
	unsigned long i;

	vm_for_each_vcpu(i, vcpu, vm) {
		first = first ?: vcpu;
		if (READ_ONCE(vcpu->tsc_base) != READ_ONCE(first->tsc_base) ||
		    READ_ONCE(vcpu->tsc_khz) != READ_ONCE(first->tsc_khz))
			return true;
	}
	return false;
}

void time_compare_tscs(struct vm *vm)
{
	struct vm_clock *c = vm->clock;
	bool differ, changed;

	/* The last one to compare sees what all have written. */
	spin_lock(&c->lock);
	differ = tscs_differ(vm);
	changed = c->tscs_differ != differ;
	WRITE_ONCE(c->tscs_differ, differ);
	spin_unlock(&c->lock);
	/* The bit is in all pages or in none. */
	if (changed)
		vm_request_all(vm, REQ_CLOCK);
}

static void set_offset(struct vcpu *vcpu, u64 offset)
{
	vcpu->tsc_offset = offset;
	vendor_call(write_tsc, vcpu);
	if (vcpu->lapic)
		lapic_tsc_changed(vcpu);
	pv_clock_stale(vcpu);
}

/* By user space, in whose hands it is that vCPUs agree. */
static void set_base(struct vcpu *vcpu, u64 offset)
{
	WRITE_ONCE(vcpu->tsc_base, offset);
	set_offset(vcpu, offset);
	time_compare_tscs(vcpu->vm);
}

/* KVM_SET_TSC_KHZ of a vCPU: without scaling only the host's own rate will do. */
int time_set_tsc_khz(struct vcpu *vcpu, u32 khz)
{
	u64 ratio = 0;

	if (!khz)
		khz = tsc_khz;
	if (!khz_within_tolerance(khz)) {
		if (!vendor_caps.tsc_scaling || khz >= khz_limit())
			return -EINVAL;
		ratio = mul_u64_u32_div(1ull << vendor_caps.tsc_ratio_frac_bits,
					khz, tsc_khz);
		if (!ratio || ratio >= vendor_caps.tsc_ratio_max)
			return -EINVAL;
	}
	WRITE_ONCE(vcpu->tsc_khz, khz);
	vcpu->tsc_ratio = ratio;
	set_offset(vcpu, vcpu->tsc_offset);
	time_compare_tscs(vcpu->vm);
	return 0;
}

static u64 ns_to_tsc(struct vcpu *vcpu, u64 ns)
{
	u32 rest;
	u64 ms = div_u64_rem(ns, NSEC_PER_MSEC, &rest);

	/* May wrap, as TSCs do; a quotient of more than 64 bits would be an exception. */
	return ms * vcpu->tsc_khz + (u64)rest * vcpu->tsc_khz / NSEC_PER_MSEC;
}

/*
 * User space restores one vCPU after the other with values that passed through
 * different moments; KVM takes writes within a second of the expected value
 * (and zero, the value at creation) as "the same as the others". The first of
 * them is no such thing: a guest that is younger than that second shall have its own.
 */
static bool tsc_matches(struct vcpu *vcpu, const struct vm_clock *c, u64 tsc, u64 now)
{
	u64 expected, second = (u64)vcpu->tsc_khz * 1000;

	if (!c->tsc_written || c->tsc_khz != vcpu->tsc_khz)
		return false;
	if (!tsc)
		return true;
	if (!c->tsc_by_user)
		return false;
	expected = c->tsc_value + ns_to_tsc(vcpu, now - c->tsc_ns);
	return tsc < expected + second && tsc + second > expected;
}

static void write_tsc_host(struct vcpu *vcpu, u64 tsc, bool by_user)
{
	struct vm_clock *c = vcpu->vm->clock;
	u64 now, offset;

	spin_lock(&c->lock);
	now = ktime_get_raw_ns();
	if (tsc_matches(vcpu, c, tsc, now)) {
		offset = c->tsc_offset;
	} else {
		offset = tsc - time_scale_tsc(vcpu, rdtsc_ordered());
		c->tsc_value = tsc;
		c->tsc_ns = now;
		c->tsc_offset = offset;
		c->tsc_khz = vcpu->tsc_khz;
		c->tsc_written = true;
	}
	c->tsc_by_user |= by_user;
	spin_unlock(&c->lock);
	set_base(vcpu, offset);
}

/* SDM 18.17.3: the guest's write of the TSC moves IA32_TSC_ADJUST along. */
static void write_tsc_guest(struct vcpu *vcpu, u64 tsc)
{
	s64 delta = tsc - vcpu_guest_tsc(vcpu, rdtsc_ordered());

	time_adjust_tsc(vcpu, delta);
	vcpu->msrs->tsc_adjust += delta;
}

void time_write_tsc(struct vcpu *vcpu, u64 tsc, bool host)
{
	if (host)
		write_tsc_host(vcpu, tsc, true);
	else
		write_tsc_guest(vcpu, tsc);
}

void time_adjust_tsc(struct vcpu *vcpu, s64 delta)
{
	set_offset(vcpu, vcpu->tsc_offset + delta);
}

void time_vcpu_init(struct vcpu *vcpu)
{
	vcpu->tsc_khz = tsc_khz;
	if (time_set_tsc_khz(vcpu, vcpu->vm->default_tsc_khz))
		time_set_tsc_khz(vcpu, tsc_khz);
	write_tsc_host(vcpu, 0, false);
}

int time_has_attr(struct vcpu *vcpu, const struct kvm_device_attr *attr)
{
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET ?
	       0 : -ENXIO;
}

int time_get_attr(struct vcpu *vcpu, const struct kvm_device_attr *attr)
{
	u64 __user *addr = (u64 __user *)attr->addr;

	if (time_has_attr(vcpu, attr))
		return -ENXIO;
	return put_user(vcpu->tsc_offset, addr) ? -EFAULT : 0;
}

int time_set_attr(struct vcpu *vcpu, const struct kvm_device_attr *attr)
{
	u64 __user *addr = (u64 __user *)attr->addr;
	struct vm_clock *c = vcpu->vm->clock;
	u64 offset;

	if (time_has_attr(vcpu, attr))
		return -ENXIO;
	if (get_user(offset, addr))
		return -EFAULT;
	spin_lock(&c->lock);
	c->tsc_written = true;
	c->tsc_by_user = true;
	c->tsc_offset = offset;
	c->tsc_khz = vcpu->tsc_khz;
	c->tsc_ns = ktime_get_raw_ns();
	c->tsc_value = time_scale_tsc(vcpu, rdtsc_ordered()) + offset;
	spin_unlock(&c->lock);
	set_base(vcpu, offset);
	return 0;
}
