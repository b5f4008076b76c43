/* SPDX-License-Identifier: GPL-2.0-only */
/* The border between host and guest, as RCU, lockdep and context tracking see it. */
#ifndef VMM_GUEST_STATE_H
#define VMM_GUEST_STATE_H

#include <linux/kvm_host.h>

/*
 * guest_state_enter_irqoff() and its counterpart tell RCU of a quiescent state each
 * time. One per tick of the host is enough, and a tick ends the guest: @quiescent
 * says that one came since the last entry. With context tracking anywhere in the host
 * the two must come in pairs, on CPUs that are not tracked as well.
 */
static __always_inline void vmm_guest_state_enter(bool quiescent)
{
	if (unlikely(quiescent || context_tracking_enabled())) {
		guest_state_enter_irqoff();
		return;
	}
	instrumentation_begin();
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();
	lockdep_hardirqs_on(CALLER_ADDR0);
}

static __always_inline void vmm_guest_state_exit(void)
{
	if (unlikely(context_tracking_enabled())) {
		guest_state_exit_irqoff();
		return;
	}
	lockdep_hardirqs_off(CALLER_ADDR0);
	instrumentation_begin();
	trace_hardirqs_off_finish();
	instrumentation_end();
}

#endif /* VMM_GUEST_STATE_H */
