// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: system time and wall clock written into guest memory
 * (Documentation/virt/kvm/x86/msr.rst).
 */
#include <linux/math64.h>
#include <linux/slab.h>
#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "pv/pv.h"
#include "time.h"

int pv_create(struct vcpu *vcpu)
{
	vcpu->pv = kzalloc(sizeof(*vcpu->pv), GFP_KERNEL_ACCOUNT);
	if (!vcpu->pv)
		return -ENOMEM;
	vcpu->pv->poll_control = VMM_POLL_ALLOWED;
	pv_steal_create(vcpu);
	pv_apf_create(vcpu);
	return 0;
}

void pv_destroy(struct vcpu *vcpu)
{
	if (!vcpu->pv)
		return;
	pv_apf_destroy(vcpu);
	pv_steal_destroy(vcpu);
	kfree(vcpu->pv);
}

/*
 * pvclock's conversion: ns = ((tsc << shift) * mul) >> 32, with mul in
 * [2^31, 2^32) for precision.
 */
static void clock_scale(u32 khz, s8 *shift, u32 *mul)
{
	u64 hz = (u64)khz * 1000, target = NSEC_PER_SEC;
	int s = 0;

	while (hz > target * 2 || target >> 32) {
		hz >>= 1;
		s--;
	}
	while (upper_32_bits(hz) || hz <= target) {
		if (upper_32_bits(hz) || (target << 1) >> 32)
			break;
		hz <<= 1;
		s++;
	}
	*shift = s;
	*mul = div64_u64(target << 32, hz);
}

/*
 * A guest that reads meanwhile sees an odd version and tries again. That it was
 * stopped stands there until it takes it away.
 */
static void write_time_info(struct vcpu *vcpu, struct pvclock_vcpu_time_info *info)
{
	struct gpa_cache *gc = &vcpu->pv->time_page;
	struct pvclock_vcpu_time_info old;
	u32 version;

	if (gpa_cache_read(vcpu, gc, &old, 0, sizeof(old)))
		return;
	info->flags |= old.flags & PVCLOCK_GUEST_STOPPED;
	version = (old.version + 1) | 1;
	gpa_cache_write(vcpu, gc, &version, 0, sizeof(version));
	/* The odd version before the values. */
	smp_wmb();
	info->version = version;
	gpa_cache_write(vcpu, gc, info, 0, sizeof(*info));
	/* And they before the even one. */
	smp_wmb();
	version++;
	gpa_cache_write(vcpu, gc, &version, 0, sizeof(version));
}

void pv_clock_update(struct vcpu *vcpu)
{
	struct pvclock_vcpu_time_info info = {};
	struct vm_clock_anchor anchor;

	if (!vcpu->pv->time_on)
		return;
	vm_clock_anchor(vcpu->vm, &anchor);
	info.tsc_timestamp = vcpu_guest_tsc(vcpu, anchor.tsc);
	info.system_time = anchor.ns;
	/* Within the tolerance nothing is scaled: the guest's TSC is the host's. */
	clock_scale(vcpu->tsc_ratio ? vcpu->tsc_khz : tsc_khz, &info.tsc_shift,
		    &info.tsc_to_system_mul);
	if (anchor.stable)
		info.flags |= PVCLOCK_TSC_STABLE_BIT;
	if (vcpu->pv->paused)
		info.flags |= PVCLOCK_GUEST_STOPPED;
	vcpu->pv->paused = false;
	write_time_info(vcpu, &info);
}

/* KVM_KVMCLOCK_CTRL */
int pv_clock_paused(struct vcpu *vcpu)
{
	if (!vcpu->pv->time_on)
		return -EINVAL;
	vcpu->pv->paused = true;
	vcpu_request(vcpu, REQ_CLOCK);
	return 0;
}

static void write_wall_clock(struct vcpu *vcpu, gpa_t gpa)
{
	struct pvclock_wall_clock wc = {};
	u32 version, rem;
	u64 boot;

	if (!gpa || gpa_read(vcpu, gpa, &version, sizeof(version)))
		return;
	version = (version + 1) | 1;
	if (gpa_write(vcpu, gpa, &version, sizeof(version)))
		return;
	boot = ktime_get_real_ns() - vm_clock_now(vcpu->vm);
	wc.version = version;
	wc.sec = div_u64_rem(boot, NSEC_PER_SEC, &rem);
	wc.nsec = rem;
	gpa_write(vcpu, gpa, &wc, sizeof(wc));
	version++;
	gpa_write(vcpu, gpa, &version, sizeof(version));
}

static void set_system_time(struct vcpu *vcpu, u64 val)
{
	struct vcpu_pv *pv = vcpu->pv;

	pv->system_time = val;
	pv->time_on = (val & 1) &&
		      !gpa_cache_init(vcpu, &pv->time_page, val & ~1ull,
				      sizeof(struct pvclock_vcpu_time_info));
	vcpu_request(vcpu, REQ_CLOCK);
}

static bool clock_msr_allowed(struct vcpu *vcpu, u32 msr)
{
	return pv_has(vcpu, msr == MSR_KVM_WALL_CLOCK || msr == MSR_KVM_SYSTEM_TIME ?
			    KVM_FEATURE_CLOCKSOURCE : KVM_FEATURE_CLOCKSOURCE2);
}

int pv_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	bool wall = msr == MSR_KVM_WALL_CLOCK || msr == MSR_KVM_WALL_CLOCK_NEW;

	if (!clock_msr_allowed(vcpu, msr))
		return -ENOENT;
	*val = wall ? vcpu->pv->wall_clock : vcpu->pv->system_time;
	return 0;
}

int pv_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!clock_msr_allowed(vcpu, msr))
		return -ENOENT;
	switch (msr) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		vcpu->pv->wall_clock = val;
		write_wall_clock(vcpu, val);
		return 0;
	default:
		set_system_time(vcpu, val);
		return 0;
	}
}
