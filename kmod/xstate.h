/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's x87/SSE/AVX/... state. It lives in an XSAVE image (standard
 * format) of ours, is in the registers only during a stay, and is therefore
 * always in the image when anybody but the entry code looks.
 */
#ifndef VMM_XSTATE_H
#define VMM_XSTATE_H

#include "vmm.h"

int xstate_init(void);
/* XCR0 bits a guest may have: the host's, without AMX. 0 without XSAVE. */
u64 xstate_supported(void);
/* Bytes of KVM_GET_XSAVE2's image, at least sizeof(struct kvm_xsave). */
unsigned int xstate_uabi_size(void);

int xstate_create(struct vcpu *vcpu);
void xstate_destroy(struct vcpu *vcpu);
void xstate_reset(struct vcpu *vcpu);

/* Around a stay; preemption off, interrupts on, by the vCPU thread. */
void xstate_load(struct vcpu *vcpu);
void xstate_save(struct vcpu *vcpu);

u64 vcpu_xcr0(const struct vcpu *vcpu);
u32 vcpu_pkru(const struct vcpu *vcpu);

void xstate_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu);
int xstate_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu);
void xstate_get(struct vcpu *vcpu, struct kvm_xsave *xsave);
int xstate_get2(struct vcpu *vcpu, void __user *argp);
int xstate_set(struct vcpu *vcpu, const struct kvm_xsave *xsave);
int xstate_get_xcrs(struct vcpu *vcpu, struct kvm_xcrs *xcrs);
int xstate_set_xcrs(struct vcpu *vcpu, const struct kvm_xcrs *xcrs);

/* Vector registers for the instruction emulator; see insn_ops.vec_*. */
int xstate_vec_read(struct vcpu *vcpu, unsigned int reg, void *buf, unsigned int len);
int xstate_vec_write(struct vcpu *vcpu, unsigned int reg, const void *buf, unsigned int len);

#endif /* VMM_XSTATE_H */
