/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM_CHECK_EXTENSION and KVM_ENABLE_CAP. */
#ifndef VMM_CAPS_H
#define VMM_CAPS_H

struct vm;
struct vcpu;
struct kvm_enable_cap;

/* Value of capability @cap, 0 when unknown; @vm is NULL on the system fd. */
long caps_check(struct vm *vm, unsigned long cap);
/* Caller holds vm->lock. */
int caps_enable_vm(struct vm *vm, const struct kvm_enable_cap *cap);
/* Caller holds vcpu->mutex. */
int caps_enable_vcpu(struct vcpu *vcpu, const struct kvm_enable_cap *cap);

#endif /* VMM_CAPS_H */
