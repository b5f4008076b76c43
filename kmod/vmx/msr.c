// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs that only VT-x has a word on, SPEC_CTRL, and which MSRs the guest uses
 * without exit. All others belong to the common table.
 */
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>

#include "../cpuid.h"
#include "../msr.h"
#include "vmx.h"

/* Four bitmaps of 1 KB: read low, read high, write low, write high. SDM 25.6.9. */
static void set_passthrough(struct vcpu_vmx *vmx, u32 msr, bool read, bool write)
{
	unsigned int bit = msr & 0x1fff;

	if (msr >= 0xc0000000)
		bit += 8 * 1024;
	__assign_bit(bit, vmx->msr_bitmap, !read);
	__assign_bit(bit + 8 * 2048, vmx->msr_bitmap, !write);
}

/*
 * MSRs that live in the VMCS, or that a stay switches. Those whose value the
 * stay keeps in struct vcpu_regs may only be read without exit.
 */
static const struct {
	u32 msr;
	bool write;
} passthrough[] = {
	{ MSR_FS_BASE, true },
	{ MSR_GS_BASE, true },
	{ MSR_KERNEL_GS_BASE, true },
	{ MSR_IA32_SYSENTER_CS, true },
	{ MSR_IA32_SYSENTER_ESP, true },
	{ MSR_IA32_SYSENTER_EIP, true },
	{ MSR_IA32_TSC, false },
};

void vmx_update_msr_bitmap(struct vcpu_vmx *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	int i;

	memset(vmx->msr_bitmap, 0xff, PAGE_SIZE);
	/* A filter of user space is asked at each access. */
	if (rcu_access_pointer(vcpu->vm->msr_filter))
		return;
	for (i = 0; i < ARRAY_SIZE(passthrough); i++)
		set_passthrough(vmx, passthrough[i].msr, true, passthrough[i].write);
	if (vmx->spec_passthrough)
		set_passthrough(vmx, MSR_IA32_SPEC_CTRL, true, true);
}

/* Bits of SPEC_CTRL that this guest was told of; user space may set any of ours. */
static u64 spec_ctrl_bits(struct vcpu *vcpu, bool host)
{
	u64 bits = 0;

	if (!vmx_host.spec_ctrl)
		return 0;
	if (host || guest_cpuid_has(vcpu, X86_FEATURE_SPEC_CTRL))
		bits |= SPEC_CTRL_IBRS;
	if (host || guest_cpuid_has(vcpu, X86_FEATURE_INTEL_STIBP))
		bits |= SPEC_CTRL_STIBP;
	if (host || guest_cpuid_has(vcpu, X86_FEATURE_SPEC_CTRL_SSBD))
		bits |= SPEC_CTRL_SSBD;
	return bits;
}

static int get_spec_ctrl(struct vcpu_vmx *vmx, u64 *val, bool host)
{
	if (!spec_ctrl_bits(&vmx->vcpu, host))
		return -ENOENT;
	*val = vmx->vcpu.regs.spec_ctrl;
	return 0;
}

/* A guest that uses it will do so often: no more exits. */
static int set_spec_ctrl(struct vcpu_vmx *vmx, u64 val, bool host)
{
	u64 bits = spec_ctrl_bits(&vmx->vcpu, host);

	if (!bits)
		return -ENOENT;
	if ((val & ~bits) || (val && !spec_ctrl_writable(val)))
		return 1;
	vmx->vcpu.regs.spec_ctrl = val;
	if (val && !vmx->spec_passthrough) {
		vmx->spec_passthrough = true;
		vmx_update_msr_bitmap(vmx);
	}
	return 0;
}

static int get_feature_control(struct vcpu_vmx *vmx, u64 *val, bool host)
{
	*val = vmx->feature_control;
	return 0;
}

/* Without VMX, SGX or LMCE for the guest only the lock bit exists. */
static int set_feature_control(struct vcpu_vmx *vmx, u64 val, bool host)
{
	if (val & ~(u64)FEAT_CTL_LOCKED)
		return 1;
	if (!host && (vmx->feature_control & FEAT_CTL_LOCKED))
		return 1;
	vmx->feature_control = val;
	return 0;
}

static const struct {
	u32 msr;
	int (*get)(struct vcpu_vmx *vmx, u64 *val, bool host);
	int (*set)(struct vcpu_vmx *vmx, u64 val, bool host);
} rows[] = {
	{ MSR_IA32_SPEC_CTRL, get_spec_ctrl, set_spec_ctrl },
	{ MSR_IA32_FEAT_CTL, get_feature_control, set_feature_control },
};

int vmx_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].msr == msr)
			return rows[i].get(to_vmx(vcpu), val, host);
	return -ENOENT;
}

int vmx_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].msr == msr)
			return rows[i].set(to_vmx(vcpu), val, host);
	return -ENOENT;
}

/* No nested VT-x yet, so no IA32_VMX_* for user space. */
int vmx_feature_msr(u32 msr, u64 *val)
{
	return -ENOENT;
}
