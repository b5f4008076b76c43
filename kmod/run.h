/* SPDX-License-Identifier: GPL-2.0-only */
/* The run loop's own verbs, for the few others that need them. */
#ifndef VMM_RUN_H
#define VMM_RUN_H

#include "vmm.h"

/* HLT has been executed: RESUME (blocks later) or USER without a LAPIC. */
int vcpu_halt(struct vcpu *vcpu);
/* Takes INIT and SIPI that arrived; on the vCPU thread. */
void run_accept_init_sipi(struct vcpu *vcpu);

#endif /* VMM_RUN_H */
