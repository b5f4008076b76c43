// SPDX-License-Identifier: GPL-2.0-only
/*
 * The LAPIC timer: one-shot, periodic, TSC deadline (SDM 11.5.4), by hrtimer
 * or, for deadlines, by the vendor's own timer while the guest runs.
 */
#include <linux/math64.h>

#include "irq/lapic.h"
#include "vendor.h"

/* A guest may not keep a host CPU busy with expirations (KVM's default). */
#define MIN_PERIOD_NS	200000
/* Longest sleep for a deadline; it is looked at again when that ends. */
#define MAX_SLEEP_MS	(3600 * MSEC_PER_SEC)
#define TIMER_MODES	(APIC_LVT_TIMER_PERIODIC | APIC_LVT_TIMER_TSCDEADLINE)

static enum hrtimer_restart timer_expired(struct hrtimer *hr)
{
	struct lapic *l = container_of(hr, struct lapic, timer.hr);
	u64 period;

	atomic_inc(&l->timer.expired);
	vcpu_request(l->vcpu, REQ_TIMER);
	vcpu_kick(l->vcpu);
	if (READ_ONCE(l->timer.mode) != APIC_LVT_TIMER_PERIODIC || !l->timer.period_ns)
		return HRTIMER_NORESTART;
	/* A count-down begun as one-shot may be shorter than a period may be. */
	period = max_t(u64, l->timer.period_ns, MIN_PERIOD_NS);
	l->timer.target = ktime_add_ns(l->timer.target, period);
	/* After a long stop: no burst of the periods that were missed. */
	if (ktime_before(l->timer.target, ktime_get()))
		l->timer.target = ktime_add_ns(ktime_get(), period);
	hrtimer_set_expires(hr, l->timer.target);
	return HRTIMER_RESTART;
}

void lapic_timer_init(struct lapic *l)
{
	vmm_hrtimer_setup(&l->timer.hr, timer_expired, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
}

static void disarm(struct lapic *l)
{
	hrtimer_cancel(&l->timer.hr);
	if (l->timer.hw) {
		vendor_call(set_timer, l->vcpu, U64_MAX);
		l->timer.hw = false;
	}
}

void lapic_timer_cancel(struct lapic *l)
{
	disarm(l);
	atomic_set(&l->timer.expired, 0);
	l->timer.period_ns = 0;
	l->timer.deadline = 0;
}

/* -------- counting modes -------- */

static u32 divisor(struct lapic *l)
{
	u32 tdcr = lapic_reg(l, APIC_TDCR);

	/* Bits 0, 1 and 3: 0..6 = divide by 2..128, 7 = by 1. */
	return 1u << ((((tdcr & 3) | ((tdcr & 8) >> 1)) + 1) & 7);
}

static u64 count_to_ns(struct lapic *l, u32 count)
{
	u64 tick = (u64)l->vcpu->vm->irq.apic_bus_cycle_ns * divisor(l), ns;

	if (check_mul_overflow(tick, (u64)count, &ns))
		return KTIME_MAX / 2;
	return min_t(u64, ns, KTIME_MAX / 2);
}

void lapic_timer_restart(struct lapic *l, u32 count)
{
	u64 ns;

	if (l->timer.mode == APIC_LVT_TIMER_TSCDEADLINE)
		return;
	hrtimer_cancel(&l->timer.hr);
	l->timer.period_ns = count_to_ns(l, lapic_reg(l, APIC_TMICT));
	ns = count_to_ns(l, count);
	if (!ns || !l->timer.period_ns) {
		l->timer.period_ns = 0;
		return;
	}
	if (l->timer.mode == APIC_LVT_TIMER_PERIODIC && l->timer.period_ns < MIN_PERIOD_NS)
		l->timer.period_ns = MIN_PERIOD_NS;
	l->timer.target = ktime_add_ns(ktime_get(), ns);
	hrtimer_start(&l->timer.hr, l->timer.target, HRTIMER_MODE_ABS);
}

u32 lapic_timer_count(struct lapic *l)
{
	u64 unit = (u64)l->vcpu->vm->irq.apic_bus_cycle_ns * divisor(l);
	s64 left;

	if (l->timer.mode == APIC_LVT_TIMER_TSCDEADLINE || !l->timer.period_ns)
		return 0;
	left = ktime_to_ns(ktime_sub(l->timer.target, ktime_get()));
	if (left <= 0) {
		if (l->timer.mode != APIC_LVT_TIMER_PERIODIC)
			return 0;
		left = l->timer.period_ns - (u64)-left % l->timer.period_ns;
	}
	/* A period that was stretched to the minimum is longer than TMICT says. */
	return min_t(u64, div64_u64(left, unit), lapic_reg(l, APIC_TMICT));
}

/* As lapic_timer_count(), but 0 only when the count-down is over and noted. */
u32 lapic_timer_left(struct lapic *l)
{
	u32 count = lapic_timer_count(l);

	if (!count && l->timer.period_ns &&
	    (hrtimer_active(&l->timer.hr) || atomic_read(&l->timer.expired)))
		return 1;
	return count;
}

/* -------- deadline mode -------- */

static u64 guest_now(struct lapic *l)
{
	return vcpu_guest_tsc(l->vcpu, rdtsc());
}

static void arm_deadline_sw(struct lapic *l)
{
	u64 khz = l->vcpu->tsc_khz ?: 1, now = guest_now(l), ticks = 0, ns;

	if (l->timer.deadline > now)
		ticks = min(l->timer.deadline - now, khz * MAX_SLEEP_MS);
	/* Rounded up: an interrupt before its deadline is wrong, a late one is not. */
	ns = mul_u64_u64_div_u64(ticks, NSEC_PER_MSEC, khz) + 1;
	l->timer.target = ktime_add_ns(ktime_get(), ns);
	hrtimer_start(&l->timer.hr, l->timer.target, HRTIMER_MODE_ABS);
}

/* A guest with MWAIT of its own can put the CPU to where the vendor's timer does not count. */
static bool hw_counts(struct lapic *l)
{
	return vendor_caps.timer && !(l->vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_MWAIT);
}

static bool arm_deadline_hw(struct lapic *l)
{
	if (!hw_counts(l) || vendor_call(set_timer, l->vcpu, l->timer.deadline))
		return false;
	l->timer.hw = true;
	return true;
}

static void expire_now(struct lapic *l)
{
	atomic_set(&l->timer.expired, 1);
	vcpu_request(l->vcpu, REQ_TIMER);
}

static void arm_deadline(struct lapic *l)
{
	disarm(l);
	if (!l->timer.deadline)
		return;
	if (l->timer.deadline <= guest_now(l))
		expire_now(l);
	else if (!arm_deadline_hw(l))
		arm_deadline_sw(l);
}

/*
 * KVM_SET_LAPIC. TMCCT holds what was left, but not every user space gives it:
 * a count of 0 may also be a one-shot that still runs, so that one fires now,
 * as in KVM. A deadline has its own MSR and outlives the image.
 */
void lapic_timer_restore(struct lapic *l, u64 deadline)
{
	u32 count = min(lapic_reg(l, APIC_TMCCT), lapic_reg(l, APIC_TMICT));
	u32 old = l->timer.mode;

	/* Both in one: no change of mode that would clear TMICT. */
	l->timer.mode = lapic_reg(l, APIC_LVTT) & TIMER_MODES;
	if (l->timer.mode == APIC_LVT_TIMER_TSCDEADLINE) {
		if (old == l->timer.mode)
			l->timer.deadline = deadline;
		arm_deadline(l);
		return;
	}
	if (!count && l->timer.mode == APIC_LVT_TIMER_PERIODIC)
		count = lapic_reg(l, APIC_TMICT);
	/* At once, so that it meets in IRR what the image has there. */
	if (!count && lapic_reg(l, APIC_TMICT))
		expire_now(l);
	else
		lapic_timer_restart(l, count);
}

u64 lapic_get_tscdeadline(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	return l->timer.mode == APIC_LVT_TIMER_TSCDEADLINE ? l->timer.deadline : 0;
}

void lapic_set_tscdeadline(struct vcpu *vcpu, u64 val)
{
	struct lapic *l = vcpu->lapic;

	if (!lapic_hw_enabled(l) || l->timer.mode != APIC_LVT_TIMER_TSCDEADLINE)
		return;
	disarm(l);
	atomic_set(&l->timer.expired, 0);
	l->timer.deadline = val;
	arm_deadline(l);
}

/* -------- from the outside -------- */

/* LVTT was written: a change of mode stops the timer (SDM 11.5.4.1). */
void lapic_timer_lvt_changed(struct lapic *l)
{
	u32 mode = lapic_reg(l, APIC_LVTT) & TIMER_MODES;

	if (mode == l->timer.mode)
		return;
	/* Between one-shot and periodic the count goes on. */
	if ((mode | l->timer.mode) & APIC_LVT_TIMER_TSCDEADLINE) {
		lapic_timer_cancel(l);
		lapic_set_reg(l, APIC_TMICT, 0);
	}
	WRITE_ONCE(l->timer.mode, mode);
}

/* REQ_TIMER: one interrupt however often it expired. */
void lapic_timer_fired(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	if (!atomic_xchg(&l->timer.expired, 0))
		return;
	if (l->timer.mode == APIC_LVT_TIMER_TSCDEADLINE) {
		/* The host's clock and the guest's TSC may not agree, or it was far. */
		if (l->timer.deadline > guest_now(l)) {
			/* The vCPU may be about to sleep: no timer that runs with it only. */
			disarm(l);
			arm_deadline_sw(l);
			return;
		}
		l->timer.deadline = 0;
	}
	lapic_local(l, APIC_LVTT);
}

void lapic_timer_hw_expired(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	if (!l->timer.hw)
		return;
	if (l->timer.deadline > guest_now(l)) {
		/* Early by its granularity, or saturated. */
		vendor_call(set_timer, vcpu, l->timer.deadline);
		return;
	}
	disarm(l);
	expire_now(l);
}

/* The vCPU goes to sleep: the vendor's timer counts only while it runs. */
void lapic_timer_to_sw(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	if (!l->timer.hw)
		return;
	disarm(l);
	arm_deadline_sw(l);
}

void lapic_timer_to_hw(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	/* MWAIT may have become the guest's since. */
	if (l->timer.hw && !hw_counts(l))
		lapic_timer_to_sw(vcpu);
	if (l->timer.hw || l->timer.mode != APIC_LVT_TIMER_TSCDEADLINE ||
	    !l->timer.deadline || atomic_read(&l->timer.expired) || !hw_counts(l))
		return;
	hrtimer_cancel(&l->timer.hr);
	if (atomic_read(&l->timer.expired))
		return;
	if (!arm_deadline_hw(l))
		arm_deadline_sw(l);
}

/* Offset or scale changed: the deadline is in guest time. */
void lapic_tsc_changed(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	if (l->timer.mode == APIC_LVT_TIMER_TSCDEADLINE && l->timer.deadline &&
	    !atomic_read(&l->timer.expired))
		arm_deadline(l);
}
