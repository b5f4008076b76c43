/* SPDX-License-Identifier: GPL-2.0-only */
/* The run loop's own verbs, for the few others that need them. */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include "vmm.h"

/* HLT has been executed: RESUME (blocks later) or USER without a LAPIC. */
int vcpu_halt(struct vcpu *vcpu);
/* Something that ends HLT, or the wait for SIPI. On the vCPU thread. */
bool vcpu_woken(struct vcpu *vcpu);
/*
 * halt.c. On the vCPU thread: waits, at first by polling, until vcpu_woken() or
 * a signal comes; true when it slept. Without vm->srcu.
 */
bool vcpu_wait(struct vcpu *vcpu);
/* Ends the HLT that it is in or else its next one. Any context but NMI. */
void vcpu_unhalt(struct vcpu *vcpu);
/* Takes INIT and SIPI that arrived; on the vCPU thread. */
void run_accept_init_sipi(struct vcpu *vcpu);

#endif /* VMM_RUN_H */
