// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wait of a vCPU that has nothing to run: after HLT, or an AP's for its
 * SIPI.
 *
 * To sleep and to be woken costs more than many halts last. So a halted vCPU
 * first looks for its wake-up in a loop, as long as nobody else wants the CPU.
 * For how long, follows from how long its halts have been: adapt().
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>

#include "pv/pv.h"
#include "run.h"
#include "trace.h"
#include "yield.h"

/* Names, meaning and defaults are those of KVM's parameters. */
static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "Longest polling of a halted vCPU before it sleeps, 0: none");

static unsigned int halt_poll_ns_grow = 2;
module_param(halt_poll_ns_grow, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow, "Factor by which polling grows, 0: not at all");

static unsigned int halt_poll_ns_grow_start = 10000;
module_param(halt_poll_ns_grow_start, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_grow_start, "Shortest polling but none");

static unsigned int halt_poll_ns_shrink = 2;
module_param(halt_poll_ns_shrink, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns_shrink, "Divisor by which polling shrinks, 0: to none at once");

void vcpu_unhalt(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->pv->unhalted, true);
	vcpu_request(vcpu, REQ_EVENT);
	vcpu_kick(vcpu);
}

static bool wait_over(struct vcpu *vcpu)
{
	return vcpu_woken(vcpu) || test_bit(REQ_APF, &vcpu->requests) || signal_pending(current);
}

/* True when it really slept. */
static bool halt_sleep(struct vcpu *vcpu)
{
	bool slept = false;

	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (wait_over(vcpu))
			break;
		slept = true;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
	/* A wake-up may also have come between the two. */
	if (slept || READ_ONCE(vcpu->ready))
		yield_scheduled(vcpu);
	return slept;
}

/* True when the wait is over; *@end: until when it polled. */
static bool halt_poll(struct vcpu *vcpu, u64 start, u64 *end)
{
	do {
		if (wait_over(vcpu))
			return true;
		cpu_relax();
		*end = ktime_get_ns();
	} while (single_task_running() && !need_resched() && *end - start < vcpu->halt_poll_ns);
	return false;
}

static unsigned int poll_limit(const struct vm *vm)
{
	s64 own = READ_ONCE(vm->halt_poll_ns);

	return own < 0 ? READ_ONCE(halt_poll_ns) : own;
}

static unsigned int longer(unsigned int ns)
{
	unsigned int grow = READ_ONCE(halt_poll_ns_grow);

	return grow ? max(ns * grow, READ_ONCE(halt_poll_ns_grow_start)) : ns;
}

static unsigned int shorter(unsigned int ns)
{
	unsigned int shrink = READ_ONCE(halt_poll_ns_shrink);

	ns = shrink ? ns / shrink : 0;
	return ns < READ_ONCE(halt_poll_ns_grow_start) ? 0 : ns;
}

/*
 * A halt within the polling needs no change. One that polling, were it longer,
 * would have covered makes it longer; one beyond all polling makes it shorter.
 */
static void adapt(struct vcpu *vcpu, u64 halted)
{
	unsigned int limit = poll_limit(vcpu->vm), ns = vcpu->halt_poll_ns;

	if (!limit)
		vcpu->halt_poll_ns = 0;
	else if (halted <= ns)
		return;
	else if (ns && halted > limit)
		vcpu->halt_poll_ns = shorter(ns);
	else if (ns < limit && halted < limit)
		vcpu->halt_poll_ns = longer(ns);
}

static void count_poll(struct vcpu_stats *stats, u64 ns, bool success)
{
	stats->halt_attempted_poll++;
	if (success) {
		stats->halt_successful_poll++;
		stats->halt_poll_success_ns += ns;
		stats_hist_add(stats->hist.halt_poll_success_hist, ns);
	} else {
		stats->halt_poll_fail_ns += ns;
		stats_hist_add(stats->hist.halt_poll_fail_hist, ns);
	}
}

static bool wait_halted(struct vcpu *vcpu)
{
	bool allowed = pv_may_poll(vcpu), polls, slept = false;
	u64 start = ktime_get_ns(), polled = start, now;

	vcpu->halt_poll_ns = min(vcpu->halt_poll_ns, poll_limit(vcpu->vm));
	polls = allowed && vcpu->halt_poll_ns;
	if (!polls || !halt_poll(vcpu, start, &polled))
		slept = halt_sleep(vcpu);
	now = polled;
	if (slept) {
		now = ktime_get_ns();
		vcpu->stats.halt_wait_ns += now - polled;
		stats_hist_add(vcpu->stats.hist.halt_wait_hist, now - polled);
	}
	/* A wake-up between the polling and the sleep is the polling's success, as in KVM. */
	if (polls)
		count_poll(&vcpu->stats, polled - start, !slept);
	if (allowed)
		adapt(vcpu, now - start);
	trace_vmm_vcpu_wakeup(vcpu->id, now - start);
	return slept;
}

bool vcpu_wait(struct vcpu *vcpu)
{
	return vcpu->mp_state == KVM_MP_STATE_HALTED ? wait_halted(vcpu) : halt_sleep(vcpu);
}
