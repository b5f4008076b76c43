/* SPDX-License-Identifier: GPL-2.0-only */
/* Special registers, and what user space reads and writes of a vCPU's state. */
#ifndef VMM_SREGS_H
#define VMM_SREGS_H

#include "vmm.h"

/* regs.c */
void regs_reset(struct vcpu *vcpu, bool init);
void regs_get_user(struct vcpu *vcpu, struct kvm_regs *regs);
void regs_set_user(struct vcpu *vcpu, const struct kvm_regs *regs);
void regs_store_run(struct vcpu *vcpu);
int regs_load_run(struct vcpu *vcpu);
int regs_translate(struct vcpu *vcpu, struct kvm_translation *tr);
void vcpu_set_shadow(struct vcpu *vcpu, u32 shadow);

/* sregs.c */
void sregs_get(struct vcpu *vcpu, struct kvm_sregs *sregs);
int sregs_set(struct vcpu *vcpu, const struct kvm_sregs *sregs);
void sregs2_get(struct vcpu *vcpu, struct kvm_sregs2 *sregs);
int sregs2_set(struct vcpu *vcpu, const struct kvm_sregs2 *sregs);
u64 cr4_guest_reserved(struct vcpu *vcpu);
bool efer_valid(struct vcpu *vcpu, u64 efer);

/* events.c */
void events_get(struct vcpu *vcpu, struct kvm_vcpu_events *events);
int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *events);
int events_user_interrupt(struct vcpu *vcpu, u32 vector);
u32 mp_state_get(struct vcpu *vcpu);
int mp_state_set(struct vcpu *vcpu, u32 state);

/* run.c */
int vcpu_prefault(struct vcpu *vcpu, struct kvm_pre_fault_memory *range);

#endif /* VMM_SREGS_H */
