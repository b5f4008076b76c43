/* SPDX-License-Identifier: GPL-2.0-only */
/* Giving the CPU to another vCPU of the VM, and what that needs to know. */
#ifndef VMM_YIELD_H
#define VMM_YIELD_H

#include "vmm.h"

/* KVM_RUN begins: this is the thread to yield to. Under vcpu->mutex, sleeps. */
void yield_set_thread(struct vcpu *vcpu);
/* The vCPU goes. */
void yield_forget_thread(struct vcpu *vcpu);
/* On the vCPU thread, before it may lose the CPU though it has work ... */
void yield_preempted(struct vcpu *vcpu);
/* ... and after that, or after a sleep. */
void yield_scheduled(struct vcpu *vcpu);

/* EXIT_PAUSE: somebody holds what this vCPU spins for. */
void yield_on_spin(struct vcpu *vcpu);
/* To the vCPU with this APIC id, if it wants the CPU (KVM_HC_SCHED_YIELD). */
void yield_to_apic(struct vcpu *vcpu, u64 apic_id);

#endif /* VMM_YIELD_H */
