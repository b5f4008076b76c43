// SPDX-License-Identifier: GPL-2.0-only
/*
 * Directed yields: a vCPU that waits for another one, and says so by a PAUSE
 * loop or a hypercall, gives it the CPU.
 *
 * Which vCPUs want a CPU is told by hints in struct vcpu, written by their own
 * threads (ready also by who wakes one) and read here without locks: a hint
 * that is out of date costs a yield in vain.
 *	ready		could run and does not: it lost the CPU or was just woken
 *	preempted	it lost the CPU ...
 *	in_kernel	... at CPL 0, where locks are held
 *	spinning	is in yield_on_spin() itself
 *	spin_turn	its turn to be chosen though it spins
 */
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>

#include "pv/pv.h"
#include "regs_access.h"
#include "vendor.h"
#include "yield.h"

/* Yields that failed before a spinning vCPU goes on. */
#define MAX_FAILURES	3

void yield_set_thread(struct vcpu *vcpu)
{
	struct pid *old = rcu_dereference_protected(vcpu->pid, lockdep_is_held(&vcpu->mutex));

	if (likely(old == task_pid(current)))
		return;
	rcu_assign_pointer(vcpu->pid, get_task_pid(current, PIDTYPE_PID));
	if (!old)
		return;
	synchronize_rcu();
	put_pid(old);
}

void yield_forget_thread(struct vcpu *vcpu)
{
	put_pid(rcu_dereference_protected(vcpu->pid, true));
}

static void hint_waits(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->in_kernel, !vcpu_cpl(vcpu));
	WRITE_ONCE(vcpu->preempted, true);
	WRITE_ONCE(vcpu->ready, true);
}

static void hint_runs(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->preempted, false);
	WRITE_ONCE(vcpu->ready, false);
}

void yield_preempted(struct vcpu *vcpu)
{
	if (compat_need_resched())
		hint_waits(vcpu);
}

void yield_scheduled(struct vcpu *vcpu)
{
	hint_runs(vcpu);
	vendor_call(pause_window, vcpu, false);
}

/* Under RCU. Its thread, with a reference, or NULL. */
static struct task_struct *thread_of(struct vcpu *vcpu)
{
	return get_pid_task(rcu_dereference(vcpu->pid), PIDTYPE_PID);
}

/* > 0 when it got the CPU, < 0 when nobody else could use this one. Drops the reference. */
static int yield_to_thread(struct vcpu *me, struct task_struct *task)
{
	int r;

	if (!task)
		return 0;
	/* Whoever gets the CPU may want to give it back. */
	hint_waits(me);
	r = yield_to(task, true);
	put_task_struct(task);
	if (r > 0)
		yield_scheduled(me);
	else
		hint_runs(me);
	return r;
}

static int yield_to_vcpu(struct vcpu *me, struct vcpu *vcpu)
{
	struct task_struct *task;

	rcu_read_lock();
	task = thread_of(vcpu);
	rcu_read_unlock();
	return yield_to_thread(me, task);
}

/*
 * One that spins itself holds no lock, but may have got what it waited for
 * since: every other time it is asked.
 */
static bool spinner_may(struct vcpu *vcpu)
{
	bool turn = READ_ONCE(vcpu->spin_turn);

	if (!READ_ONCE(vcpu->spinning))
		return true;
	WRITE_ONCE(vcpu->spin_turn, !turn);
	return turn;
}

static bool sleeps(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->state) == VCPU_BLOCKED && !READ_ONCE(vcpu->pv->unhalted) &&
	       !(READ_ONCE(vcpu->requests) & (BIT(REQ_EVENT) | BIT(REQ_TIMER)));
}

static bool worth_a_yield(struct vcpu *vcpu, bool from_kernel)
{
	if (!READ_ONCE(vcpu->ready) || sleeps(vcpu))
		return false;
	/* A lock of the guest's kernel is held by its kernel. */
	if (from_kernel && READ_ONCE(vcpu->preempted) && !READ_ONCE(vcpu->in_kernel))
		return false;
	return spinner_may(vcpu);
}

/* In turn, beginning behind the vCPU that was helped last. */
static void yield_round(struct vcpu *me, bool from_kernel)
{
	unsigned int n = atomic_read(&me->vm->nr_vcpus);
	unsigned int first = READ_ONCE(me->vm->last_boosted) + 1;
	unsigned int i, failures = 0;

	for (i = 0; i < n; i++) {
		struct vcpu *vcpu = vm_vcpu(me->vm, (first + i) % n);
		int r;

		if (vcpu == me || !worth_a_yield(vcpu, from_kernel))
			continue;
		r = yield_to_vcpu(me, vcpu);
		if (r > 0) {
			WRITE_ONCE(me->vm->last_boosted, vcpu->index);
			me->stats.pause_yields++;
			return;
		}
		if (r < 0 && ++failures == MAX_FAILURES)
			return;
	}
}

void yield_on_spin(struct vcpu *vcpu)
{
	might_sleep();
	WRITE_ONCE(vcpu->spinning, true);
	yield_round(vcpu, !vcpu_cpl(vcpu));
	WRITE_ONCE(vcpu->spinning, false);
	WRITE_ONCE(vcpu->spin_turn, false);
}

void yield_to_apic(struct vcpu *vcpu, u64 apic_id)
{
	struct task_struct *task = NULL;
	struct vcpu *target;

	might_sleep();
	vcpu->stats.directed_yield_attempted++;
	if (single_task_running())
		return;
	/* The vCPU itself may go with the read section, should its creation fail. */
	rcu_read_lock();
	target = irq_vcpu_of_apic(vcpu->vm, apic_id);
	if (target && target != vcpu && READ_ONCE(target->ready))
		task = thread_of(target);
	rcu_read_unlock();
	if (yield_to_thread(vcpu, task) > 0)
		vcpu->stats.directed_yield_successful++;
}
