// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs that only AMD has, and SPEC_CTRL, whose place depends on the CPU. One
 * row per MSR; all others belong to the common table.
 */
#include <asm/msr-index.h>
#include <asm/processor.h>

#include "../msr.h"
#include "svm.h"

#define SPEC_CTRL_KNOWN	(SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_SSBD | BIT_ULL(7))
#define VM_CR_WRITABLE	0x1full
#define MSR_OSVW_LENGTH	0xc0010140
#define MSR_OSVW_STATUS	0xc0010141

static u64 de_cfg_host(void)
{
	return boot_cpu_has(X86_FEATURE_LFENCE_RDTSC) ? MSR_AMD64_DE_CFG_LFENCE_SERIALIZE : 0;
}

bool svm_guest_has_spec_ctrl(struct vcpu *vcpu)
{
	return svm_caps.spec_ctrl &&
	       (guest_cpuid_has(vcpu, X86_FEATURE_SPEC_CTRL) ||
		guest_cpuid_has(vcpu, X86_FEATURE_AMD_IBRS) ||
		guest_cpuid_has(vcpu, X86_FEATURE_AMD_STIBP) ||
		guest_cpuid_has(vcpu, X86_FEATURE_AMD_SSBD));
}

static u64 *spec_ctrl(struct vcpu_svm *svm)
{
	return svm_caps.virt_spec_ctrl ? &svm->vmcb->save.spec_ctrl :
					 &svm->run.guest_spec_ctrl;
}

static int get_spec_ctrl(struct vcpu_svm *svm, u64 *val, bool host)
{
	if (!host && !svm_guest_has_spec_ctrl(&svm->vcpu))
		return 1;
	*val = *spec_ctrl(svm);
	return 0;
}

static int set_spec_ctrl(struct vcpu_svm *svm, u64 val, bool host)
{
	if (!host && !svm_guest_has_spec_ctrl(&svm->vcpu))
		return 1;
	if (val && (!svm_caps.spec_ctrl || (val & ~SPEC_CTRL_KNOWN) ||
		    !spec_ctrl_writable(val)))
		return 1;
	*spec_ctrl(svm) = val;
	/* A guest that uses it will do so often: no more exits. */
	if (val && !svm->spec_passthrough) {
		svm->spec_passthrough = true;
		svm_ops.update_intercepts(&svm->vcpu);
	}
	return 0;
}

static int get_de_cfg(struct vcpu_svm *svm, u64 *val, bool host)
{
	*val = svm->de_cfg;
	return 0;
}

static int set_de_cfg(struct vcpu_svm *svm, u64 val, bool host)
{
	u64 supported = de_cfg_host();

	if (val & ~supported)
		return 1;
	/* A guest can neither switch on nor off what the host decided. */
	if (!host && (val ^ svm->de_cfg) & supported)
		return 1;
	svm->de_cfg = val;
	return 0;
}

/* No guest hypervisor: AMD-V looks neither locked nor disabled, as in KVM. */
static int set_vm_cr(struct vcpu_svm *svm, u64 val, bool host)
{
	return val & ~VM_CR_WRITABLE ? 1 : 0;
}

static int set_hsave(struct vcpu_svm *svm, u64 val, bool host)
{
	return host && !val ? 0 : 1;
}

static int get_osvw(struct vcpu_svm *svm, u64 *val, bool host, int n)
{
	if (!host && !guest_cpuid_has(&svm->vcpu, X86_FEATURE_OSVW))
		return 1;
	*val = svm->osvw[n];
	return 0;
}

static int get_osvw_length(struct vcpu_svm *svm, u64 *val, bool host)
{
	return get_osvw(svm, val, host, 0);
}

static int get_osvw_status(struct vcpu_svm *svm, u64 *val, bool host)
{
	return get_osvw(svm, val, host, 1);
}

static int set_osvw(struct vcpu_svm *svm, u64 val, bool host, int n)
{
	if (!host && !guest_cpuid_has(&svm->vcpu, X86_FEATURE_OSVW))
		return 1;
	svm->osvw[n] = val;
	return 0;
}

static int set_osvw_length(struct vcpu_svm *svm, u64 val, bool host)
{
	return set_osvw(svm, val, host, 0);
}

static int set_osvw_status(struct vcpu_svm *svm, u64 val, bool host)
{
	return set_osvw(svm, val, host, 1);
}

static int get_zero(struct vcpu_svm *svm, u64 *val, bool host)
{
	*val = 0;
	return 0;
}

static int set_ignored(struct vcpu_svm *svm, u64 val, bool host)
{
	return 0;
}

static const struct svm_msr {
	u32 msr;
	int (*get)(struct vcpu_svm *svm, u64 *val, bool host);
	int (*set)(struct vcpu_svm *svm, u64 val, bool host);
} svm_msrs[] = {
	{ MSR_IA32_SPEC_CTRL, get_spec_ctrl, set_spec_ctrl },
	{ MSR_AMD64_DE_CFG, get_de_cfg, set_de_cfg },
	{ MSR_AMD64_LS_CFG, get_zero, set_ignored },
	{ MSR_VM_CR, get_zero, set_vm_cr },
	{ MSR_VM_HSAVE_PA, get_zero, set_hsave },
	{ MSR_VM_IGNNE, get_zero, set_ignored },
	{ MSR_OSVW_LENGTH, get_osvw_length, set_osvw_length },
	{ MSR_OSVW_STATUS, get_osvw_status, set_osvw_status },
};

static const struct svm_msr *find_msr(u32 msr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(svm_msrs); i++)
		if (svm_msrs[i].msr == msr)
			return &svm_msrs[i];
	return NULL;
}

int svm_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	const struct svm_msr *row = find_msr(msr);

	return row ? row->get(to_svm(vcpu), val, host) : -ENOENT;
}

int svm_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	const struct svm_msr *row = find_msr(msr);

	return row ? row->set(to_svm(vcpu), val, host) : -ENOENT;
}

int svm_feature_msr(u32 msr, u64 *val)
{
	if (msr != MSR_AMD64_DE_CFG)
		return -ENOENT;
	*val = de_cfg_host();
	return 0;
}

void svm_reset_msrs(struct vcpu_svm *svm)
{
	*spec_ctrl(svm) = 0;
	svm->spec_passthrough = false;
	svm->de_cfg = de_cfg_host();
}
