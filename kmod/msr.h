/* SPDX-License-Identifier: GPL-2.0-only */
/* Model-specific registers, their filter, and machine-check banks. */
#ifndef VMM_MSR_H
#define VMM_MSR_H

#include "vmm.h"

#define VMM_MCE_BANKS	32
#define VMM_VAR_MTRRS	8

#define HWCR_MC_STATUS_WR_EN	BIT_ULL(18)

/* Values with no other home. (v) */
struct vcpu_msrs {
	u64 tsc_adjust;
	u64 misc_enable;
	u64 arch_capabilities;
	u64 ucode_rev;
	u64 platform_info;
	u64 misc_features;
	u64 hwcr;
	u64 power_ctl;
	u64 mtrr_deftype;
	u64 mtrr_fixed[11];
	u64 mtrr_var[2 * VMM_VAR_MTRRS];
	u64 mcg_cap, mcg_status, mcg_ctl;
	u64 mc_bank[4 * VMM_MCE_BANKS];
	u64 mc_ctl2[VMM_MCE_BANKS];
};

void msr_init(void);
int msr_index_list(struct kvm_msr_list __user *argp);
int msr_feature_index_list(struct kvm_msr_list __user *argp);
/* KVM_GET_MSRS on the system fd: number of feature MSRs read. */
int msr_get_features(struct kvm_msrs __user *argp);

int msrs_create(struct vcpu *vcpu);
void msrs_destroy(struct vcpu *vcpu);
void msrs_reset(struct vcpu *vcpu);
int msrs_get_user(struct vcpu *vcpu, struct kvm_msrs __user *argp);
int msrs_set_user(struct vcpu *vcpu, struct kvm_msrs __user *argp);

/* One access; @host: by user space. 0, 1 = #GP, -ENOENT = no such MSR. */
int vcpu_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int vcpu_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);
/* Whether this CPU takes @val in SPEC_CTRL: the entry writes it unchecked. */
bool spec_ctrl_writable(u64 val);

/*
 * What RDMSR and WRMSR do with an MSR: user space's filter holds, and user space may
 * have asked for what fails (the exit is filled).
 */
enum msr_result { MSR_DONE, MSR_GP, MSR_USER };
enum msr_result msr_access(struct vcpu *vcpu, u32 msr, u64 *val, bool write);
/* EXIT_RDMSR/EXIT_WRMSR of MSR regs.rcx. RESUME, USER or -errno. */
int msr_handle_exit(struct vcpu *vcpu, bool write);
/*
 * The same inside a stay, with the instruction's length known: true when done. Those
 * that may sleep, and those that fail, are left to msr_handle_exit().
 */
bool msr_fast_exit(struct vcpu *vcpu, bool write);

/* msr_filter.c. Callers of the setters hold vm->lock. */
struct msr_filter_32 {
	u32 flags;
	struct {
		u32 flags, nmsrs, base, bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

int msr_filter_set(struct vm *vm, const struct kvm_msr_filter __user *argp);
int msr_filter_set_32(struct vm *vm, const struct msr_filter_32 __user *argp);
void msr_filter_destroy(struct vm *vm);
/* Under vm->srcu. */
bool msr_filter_allowed(struct vm *vm, u32 msr, bool write);

/* mce.c */
int mce_cap_supported(u64 __user *argp);
int mce_configure(struct vcpu *vcpu, u64 mcg_cap);
int mce_set(struct vcpu *vcpu, const struct kvm_x86_mce *mce);
int mce_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int mce_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);
/* IA32_MCi_CTL2 */
int mce_get_ctl2(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int mce_set_ctl2(struct vcpu *vcpu, u32 msr, u64 val, bool host);

#endif /* VMM_MSR_H */
