/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUID: what the host can offer, what a vCPU was given. */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <asm/cpufeatures.h>

#include "vmm.h"

void cpuid_init(void);
int cpuid_get_supported(struct kvm_cpuid2 __user *argp, bool emulated);

int cpuid_create(struct vcpu *vcpu);
void cpuid_destroy(struct vcpu *vcpu);
int cpuid_set(struct vcpu *vcpu, struct kvm_cpuid2 __user *argp);
int cpuid_set_old(struct vcpu *vcpu, struct kvm_cpuid __user *argp);
int cpuid_get(struct vcpu *vcpu, struct kvm_cpuid2 __user *argp);

/* What the CPUID instruction gives this guest. regs: eax, ebx, ecx, edx. */
void cpuid_execute(struct vcpu *vcpu, u32 regs[4]);
/* CR4, XCR0, APIC base or MISC_ENABLE changed: bits of leaves that mirror them. */
void cpuid_runtime_update(struct vcpu *vcpu);
/* Leaf 1 EAX, what EDX holds after reset. */
u32 cpuid_signature(struct vcpu *vcpu);

/*
 * Guest features by the kernel's X86_FEATURE_* number, for those words that
 * mirror CPUID registers. False before KVM_SET_CPUID2.
 */
bool guest_cpuid_has(struct vcpu *vcpu, unsigned int feature);
/* User space has said what the guest has. */
bool cpuid_told(const struct vcpu *vcpu);
bool guest_cpuid_is_amd(struct vcpu *vcpu);
struct kvm_cpuid_entry2 *guest_cpuid_leaf(struct vcpu *vcpu, u32 function, u32 index);

u8 vcpu_maxphyaddr(struct vcpu *vcpu);
static inline u64 rsvd_bits_above(u8 maxphyaddr)
{
	return maxphyaddr >= 64 ? 0 : ~0ull << maxphyaddr;
}

/* KVM_GET_SUPPORTED_CPUID has it. */
bool cpuid_offered(unsigned int feature);
/* XCR0 bits of the guest's leaf 0xd that the host has too. */
u64 guest_xcr0_mask(struct vcpu *vcpu);
/* The guest was promised instructions that only the emulator has: #UD must exit. */
bool cpuid_emulates(const struct vcpu *vcpu);
/* CPUID is for CPL 0 only: the guest has asked for that. */
bool cpuid_faults(struct vcpu *vcpu);
bool guest_pv_feature(struct vcpu *vcpu, unsigned int bit);

#endif /* VMM_CPUID_H */
