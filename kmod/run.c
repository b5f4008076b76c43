// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_RUN: the loop every guest instruction lives in.
 *
 *	vcpu_run -> [block] -> requests -> stay { inject, enter, fast exits } ->
 *	exit handler -> again, or to user space
 *
 * Nothing between interrupts off and entry sleeps or allocates. vm->srcu is
 * held for reading outside the guest: neither in a stay, which may last as
 * long as the guest likes, nor when blocked or rescheduled.
 */
#include <linux/context_tracking.h>
#include <linux/sched/signal.h>

#include "emulate.h"
#include "host_check.h"
#include "ioctl.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "run.h"
#include "smm.h"
#include "sregs.h"
#include "trace.h"
#include "vendor.h"
#include "xstate.h"
#include "yield.h"

/* Requests dealt with inside a stay; all others need a context that sleeps. */
#define FAST_REQUESTS \
	(BIT(REQ_EVENT) | BIT(REQ_TLB_FLUSH) | BIT(REQ_TLB_FLUSH_GUEST) | \
	 BIT(REQ_TIMER) | BIT(REQ_DIRTY_LOG))

static int slow_requests(struct vcpu *vcpu);

/* -------- leaving HLT -------- */

bool vcpu_runnable(struct vcpu *vcpu)
{
	return vcpu->mp_state == KVM_MP_STATE_RUNNABLE && !vcpu->apf_halted;
}

/* INIT waits while the vCPU is in SMM. */
static bool init_sipi_pending(struct vcpu *vcpu)
{
	return vcpu->lapic && !vcpu->smm.active && lapic_init_sipi_pending(vcpu);
}

bool vcpu_woken(struct vcpu *vcpu)
{
	if (init_sipi_pending(vcpu))
		return true;
	if (test_bit(REQ_DEAD, &vcpu->requests) ||
	    test_bit(REQ_TRIPLE_FAULT, &vcpu->requests))
		return true;
	if (vcpu->mp_state != KVM_MP_STATE_HALTED && !vcpu->apf_halted)
		return false;
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && READ_ONCE(vcpu->pv->unhalted))
		return true;
	if (vcpu_take_request(vcpu, REQ_TIMER))
		lapic_timer_fired(vcpu);
	return (smi_pending(vcpu) && !vcpu->smm.active) || events_pending(vcpu);
}

/* Out of HLT; a kick that came for it is spent. */
static void vcpu_leave_halt(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->pv->unhalted, false);
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

static int vcpu_block(struct vcpu *vcpu)
	__must_hold(&vcpu->vm->srcu)
{
	int r = slow_requests(vcpu);
	bool slept;

	/* A clock that was moved while it slept: its timer first. */
	if (r != VMM_RESUME || vcpu_runnable(vcpu))
		return r;
	if (vcpu->lapic)
		lapic_timer_to_sw(vcpu);
	srcu_read_unlock(&vcpu->vm->srcu, vcpu->srcu_idx);
	vcpu_set_state(vcpu, VCPU_BLOCKED);
	slept = vcpu_wait(vcpu);
	vcpu_set_state(vcpu, VCPU_OUTSIDE);
	vcpu->srcu_idx = srcu_read_lock(&vcpu->vm->srcu);

	run_accept_init_sipi(vcpu);
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && vcpu_woken(vcpu)) {
		vcpu->stats.halt_wakeup += slept;
		vcpu_leave_halt(vcpu);
	}
	/* An interrupt goes first; then the access that waits is tried again. */
	if (vcpu->apf_halted && vcpu_woken(vcpu))
		vcpu->apf_halted = false;
	/* What woke it though it may still not run: a dead VM, a triple fault. */
	return vcpu_runnable(vcpu) ? VMM_RESUME : slow_requests(vcpu);
}

int vcpu_halt(struct vcpu *vcpu)
{
	vcpu->stats.halt_exits++;
	if (!vcpu->lapic) {
		vcpu->run->exit_reason = KVM_EXIT_HLT;
		return VMM_USER;
	}
	vcpu->mp_state = KVM_MP_STATE_HALTED;
	if (vcpu_woken(vcpu))
		vcpu_leave_halt(vcpu);
	return VMM_RESUME;
}

void run_accept_init_sipi(struct vcpu *vcpu)
{
	u8 vector;

	if (!vcpu->lapic || !lapic_init_sipi_pending(vcpu))
		return;
	if (vcpu->smm.active) {
		lapic_take_sipi(vcpu, &vector);
		return;
	}
	if (lapic_take_init(vcpu)) {
		vcpu_reset(vcpu, true);
		vcpu->mp_state = vcpu_is_bsp(vcpu) ? KVM_MP_STATE_RUNNABLE :
						     KVM_MP_STATE_INIT_RECEIVED;
	}
	/* A SIPI that nobody waits for is dropped: SDM 9.4.4. */
	if (lapic_take_sipi(vcpu, &vector) && vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		struct segment *cs = &regs_mod(vcpu, RG_SEG)->seg[SEG_CS];

		/* SDM 9.4.4: execution starts at 000VV000H. */
		cs->selector = vector << 8;
		cs->base = (u64)vector << 12;
		vcpu_set_rip(vcpu, 0);
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
		smi_recheck(vcpu);
	}
}

/* -------- requests -------- */

/* The request stays until user space has made room. */
static bool dirty_ring_exit(struct vcpu *vcpu)
{
	if (!vcpu_take_request(vcpu, REQ_DIRTY_RING) || !dirty_ring_full(vcpu))
		return false;
	vcpu_request(vcpu, REQ_DIRTY_RING);
	vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
	vcpu->stats.dirty_ring_exits++;
	return true;
}

/* Those that may sleep. RESUME, USER or -errno. */
static int slow_requests(struct vcpu *vcpu)
{
	if (!(READ_ONCE(vcpu->requests) & ~FAST_REQUESTS))
		return VMM_RESUME;
	if (test_bit(REQ_DEAD, &vcpu->requests))
		return -EIO;
	/* Before those that write guest memory. */
	if (dirty_ring_exit(vcpu))
		return VMM_USER;
	if (vcpu_take_request(vcpu, REQ_TPR_ACCESS)) {
		lapic_tpr_exit(vcpu);
		return VMM_USER;
	}
	if (vcpu_take_request(vcpu, REQ_TRIPLE_FAULT)) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return VMM_USER;
	}
	if (vcpu_take_request(vcpu, REQ_INIT_SIPI))
		run_accept_init_sipi(vcpu);
	if (vcpu_take_request(vcpu, REQ_CPUID))
		vendor_call(update_intercepts, vcpu);
	if (vcpu_take_request(vcpu, REQ_TSC)) {
		vendor_call(write_tsc, vcpu);
		if (vcpu->lapic)
			lapic_tsc_changed(vcpu);
	}
	if (vcpu_take_request(vcpu, REQ_CLOCK))
		pv_clock_update(vcpu);
	if (vcpu_take_request(vcpu, REQ_SMI))
		smi_take(vcpu);
	if (vcpu_take_request(vcpu, REQ_STEAL))
		pv_steal_record(vcpu);
	if (vcpu_take_request(vcpu, REQ_APF))
		pv_apf_ready(vcpu);
	return VMM_RESUME;
}

/* Inside a stay, irqs off. */
static void fast_requests(struct vcpu *vcpu)
{
	if (vcpu_take_request(vcpu, REQ_TIMER))
		lapic_timer_fired(vcpu);
	if (vcpu_take_request(vcpu, REQ_TLB_FLUSH)) {
		vcpu->stats.tlb_flush++;
		clear_bit(REQ_TLB_FLUSH_GUEST, &vcpu->requests);
		vendor_call(flush_tlb, vcpu);
	}
	if (vcpu_take_request(vcpu, REQ_TLB_FLUSH_GUEST)) {
		vcpu->stats.tlb_flush++;
		vendor_call(flush_guest, vcpu);
	}
	if (vcpu_take_request(vcpu, REQ_DIRTY_LOG))
		vendor_call(log_dirty, vcpu);
	/* Last: an expired timer is an event. */
	if (vcpu_take_request(vcpu, REQ_EVENT))
		events_inject(vcpu);
}

/* -------- the stay -------- */

static bool must_leave(struct vcpu *vcpu)
{
	return (READ_ONCE(vcpu->requests) & ~FAST_REQUESTS) ||
	       compat_guest_mode_work_pending() || compat_softirq_pending();
}

/*
 * A host interrupt that caused the exit is taken here, and before the guest's time
 * ends: a tick is the guest's. STI holds interrupts off for one more instruction.
 */
static void take_host_interrupt(struct vcpu *vcpu)
{
	local_irq_enable();
	asm volatile("nop");
	local_irq_disable();
	vcpu->irqs_taken = true;
}

/* One entry and its exit. Irqs off, state IN_GUEST. */
static void enter_once(struct vcpu *vcpu)
{
	if (READ_ONCE(vcpu->requests))
		fast_requests(vcpu);
	pv_eoi_before_entry(vcpu);
	trace_vmm_entry(vcpu->id, vcpu->regs.rip);
	vcpu->stats.exits++;

	vtime_account_guest_enter();
	vendor_call(enter, vcpu);

	stats_count_exit(&vcpu->stats, vcpu->exit.kind);
	trace_vmm_exit(vcpu->id, vcpu->exit.kind, vcpu->exit.hw_reason,
		       vcpu->exit.info1, vcpu->exit.info2);
	events_delivered(&vcpu->ev);
	if (unlikely(vcpu->exit.vectored.type != EVENT_NONE))
		events_requeue(vcpu, &vcpu->exit.vectored);
	if (vcpu->exit.kind == EXIT_EXTINT)
		take_host_interrupt(vcpu);
	vtime_account_guest_exit();
}

/*
 * Entries, until an exit is to be dealt with outside of the stay: true; or until the stay
 * must end before the next one. Host interrupts are off but in take_host_interrupt(): one
 * that comes while an exit is dealt with in place ends the next entry at once. A request
 * made from now on is seen before the next entry, or comes with such an interrupt.
 */
static bool stay_enter(struct vcpu *vcpu)
{
	bool entered;

	local_irq_disable();
	vcpu->irqs_taken = true;
	vcpu_set_state(vcpu, VCPU_IN_GUEST);
	do {
		entered = !must_leave(vcpu);
		if (!entered)
			break;
		enter_once(vcpu);
	} while (pv_eoi_after_exit(vcpu) && vcpu_fast_exit(vcpu));
	compat_guest_has_run();
	vcpu_set_state(vcpu, VCPU_LOADED);
	local_irq_enable();
	return entered;
}

/*
 * User space may want another window, or have set CR8, as the guest may have, by a value
 * that we emulated. With a LAPIC, whether it takes ExtINT may have changed as well.
 */
static void recheck_user_events(struct vcpu *vcpu)
{
	u8 window = READ_ONCE(vcpu->run->request_interrupt_window);

	if (vcpu->vm->irq.mode == IRQCHIP_NONE && vcpu->user_window == window &&
	    vcpu->user_cr8 == vcpu->regs.cr8)
		return;
	vcpu->user_window = window;
	vcpu->user_cr8 = vcpu->regs.cr8;
	vcpu_request(vcpu, REQ_EVENT);
}

static int vcpu_stay(struct vcpu *vcpu)
	__must_hold(&vcpu->vm->srcu)
{
	bool entered;
	int r = slow_requests(vcpu);

	if (r != VMM_RESUME || !vcpu_runnable(vcpu))
		return r;
	if (!vcpu->in_kernel_irqchip && test_bit(REQ_INIT_SIPI, &vcpu->requests))
		clear_bit(REQ_INIT_SIPI, &vcpu->requests);
	if (vcpu->vm->irq.mode != IRQCHIP_KERNEL)
		recheck_user_events(vcpu);
	vcpu->stats.stays++;
	if (unlikely(vcpu->vapic))
		lapic_vapic_to_guest(vcpu);

	srcu_read_unlock(&vcpu->vm->srcu, vcpu->srcu_idx);
	preempt_disable();
	WRITE_ONCE(vcpu->cpu, smp_processor_id());
	host_check_begin();
	vcpu_set_state(vcpu, VCPU_LOADED);
	vendor_call(set_root, vcpu, vcpu->vm->mem.root[vcpu->tdp.as_id]);
	vendor_call(stay_begin, vcpu);
	xstate_load(vcpu);
	if (vcpu->lapic)
		lapic_timer_to_hw(vcpu);
	entered = stay_enter(vcpu);
	xstate_save(vcpu);
	vendor_call(stay_end, vcpu);
	host_check_end();
	vcpu_set_state(vcpu, VCPU_OUTSIDE);
	/* A fully preemptible host gives the CPU away right here, others in host_work(). */
	yield_preempted(vcpu);
	preempt_enable();
	vcpu->srcu_idx = srcu_read_lock(&vcpu->vm->srcu);
	pv_eoi_after_stay(vcpu);

	if (!entered)
		return VMM_RESUME;
	if (unlikely(vcpu->vapic))
		lapic_vapic_from_guest(vcpu);
	return vcpu_handle_exit(vcpu);
}

/* -------- KVM_RUN -------- */

static bool irq_window_wanted(struct vcpu *vcpu)
{
	return vcpu->vm->irq.mode != IRQCHIP_KERNEL &&
	       vcpu->run->request_interrupt_window && events_user_irq_ready(vcpu);
}

/* Signals, reschedule and task work between two stays. */
static int host_work(struct vcpu *vcpu)
	__must_hold(&vcpu->vm->srcu)
{
	int r;

	if (!compat_guest_mode_work_pending()) {
		if (unlikely(READ_ONCE(vcpu->preempted)))
			yield_scheduled(vcpu);
		return 0;
	}
	srcu_read_unlock(&vcpu->vm->srcu, vcpu->srcu_idx);
	yield_preempted(vcpu);
	r = compat_guest_mode_work();
	if (READ_ONCE(vcpu->preempted))
		yield_scheduled(vcpu);
	vcpu->srcu_idx = srcu_read_lock(&vcpu->vm->srcu);
	if (r) {
		vcpu->stats.signal_exits++;
		vcpu->run->exit_reason = KVM_EXIT_INTR;
	}
	return r;
}

static int run_loop(struct vcpu *vcpu)
{
	int r;

	for (;;) {
		r = vcpu_runnable(vcpu) ? vcpu_stay(vcpu) : vcpu_block(vcpu);
		if (r <= 0) {
			/* A step that ended with another exit: that one tells. */
			vcpu->debug_exit = false;
			return r;
		}
		if (vcpu->debug_exit) {
			vcpu->debug_exit = false;
			vcpu->run->exit_reason = KVM_EXIT_DEBUG;
			return 0;
		}
		if (irq_window_wanted(vcpu)) {
			vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
			vcpu->stats.request_irq_exits++;
			return 0;
		}
		r = host_work(vcpu);
		if (r)
			return r;
	}
}

/* What user space reads after every KVM_RUN, whatever the exit. */
static void run_store(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(vcpu_rflags(vcpu) & X86_EFLAGS_IF);
	run->cr8 = vcpu_cr8(vcpu);
	run->apic_base = vcpu->apic_base;
	run->flags = vcpu->smm.active ? KVM_RUN_X86_SMM : 0;
	run->ready_for_interrupt_injection =
		vcpu->vm->irq.mode == IRQCHIP_KERNEL || events_user_irq_ready(vcpu);
	regs_store_run(vcpu);
}

/* Finishes what the last exit left open; then the guest may run. */
static int run_resume(struct vcpu *vcpu, bool immediate_exit)
{
	int (*complete)(struct vcpu *vcpu) = vcpu->complete;
	int r = VMM_RESUME;

	if (!vcpu->lapic && vcpu_set_cr8(vcpu, vcpu->run->cr8))
		return -EINVAL;
	if (complete) {
		vcpu->complete = NULL;
		r = complete(vcpu);
		if (r <= 0)
			return r;
		if (vcpu->debug_exit) {
			vcpu->debug_exit = false;
			vcpu->run->exit_reason = KVM_EXIT_DEBUG;
			return 0;
		}
	}
	/* The exit reason stays the one of the exit that was finished just now. */
	if (immediate_exit)
		return -EINTR;
	return run_loop(vcpu);
}

static int wait_for_sipi(struct vcpu *vcpu, bool immediate_exit)
{
	int r;

	if (immediate_exit)
		return -EINTR;
	r = vcpu_block(vcpu);
	if (r <= 0)
		return r;
	if (signal_pending(current)) {
		vcpu->run->exit_reason = KVM_EXIT_INTR;
		vcpu->stats.signal_exits++;
		return -EINTR;
	}
	return -EAGAIN;
}

static int run_checked(struct vcpu *vcpu, bool immediate_exit)
{
	run_accept_init_sipi(vcpu);
	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED)
		return wait_for_sipi(vcpu, immediate_exit);
	if (vcpu->run->kvm_valid_regs & ~KVM_SYNC_X86_VALID_FIELDS ||
	    vcpu->run->kvm_dirty_regs & ~KVM_SYNC_X86_VALID_FIELDS)
		return -EINVAL;
	if (vcpu->run->kvm_dirty_regs) {
		int err = regs_load_run(vcpu);

		if (err)
			return err;
	}
	return run_resume(vcpu, immediate_exit);
}

int vcpu_run(struct vcpu *vcpu)
{
	bool immediate_exit = READ_ONCE(vcpu->run->VMM_IMMEDIATE_EXIT);
	int r;

	/*
	 * By real_blocked a sender knows that a signal which is open here only
	 * ends KVM_RUN, and not the process whose default action that would be.
	 */
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);
	vcpu->run->flags = 0;
	vcpu->touched_memory = true;
	yield_set_thread(vcpu);
	pv_run_begin(vcpu);
	vcpu->srcu_idx = srcu_read_lock(&vcpu->vm->srcu);
	r = run_checked(vcpu, immediate_exit);
	srcu_read_unlock(&vcpu->vm->srcu, vcpu->srcu_idx);
	trace_vmm_userspace_exit(vcpu->id, vcpu->run->exit_reason, r);
	run_store(vcpu);
	pv_run_end(vcpu);
	if (vcpu->sigset_active) {
		sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
		sigemptyset(&current->real_blocked);
	}
	return r;
}

/* KVM_PRE_FAULT_MEMORY */
int vcpu_prefault(struct vcpu *vcpu, struct kvm_pre_fault_memory *range)
{
	u64 start = range->size;
	long done = 0;
	int idx;

	if (range->flags)
		return -EINVAL;
	if (!PAGE_ALIGNED(range->gpa) || !PAGE_ALIGNED(range->size) ||
	    range->gpa + range->size <= range->gpa)
		return -EINVAL;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	while (range->size) {
		if (signal_pending(current)) {
			done = -EINTR;
			break;
		}
		done = tdp_prefault(vcpu, range->gpa, range->size);
		if (done <= 0)
			break;
		range->gpa += done;
		range->size -= done;
		cond_resched();
	}
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	/* Progress is reported through the structure; an error only without any. */
	return range->size == start ? done : 0;
}
