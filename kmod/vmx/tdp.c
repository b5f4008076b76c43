// SPDX-License-Identifier: GPL-2.0-only
/*
 * EPT: entry format, EPTP, invalidation. SDM 29.3 and 29.4.
 *
 * With EPT on there are only guest-physical and combined mappings (29.4.1).
 * INVEPT of one EPTP drops both for all VPIDs, INVVPID the combined ones of a
 * vCPU. Flushes are noted in vmx->pending and done right before entry, on the
 * CPU that will run the vCPU; run.c adds one whenever that CPU is another
 * than last time, so TLBs of CPUs that the vCPU left never matter.
 */
#include "vmx.h"

/*
 * The guest's PAT has a say, but not where the same page under two types may
 * hang the machine; Linux takes self-snooping off such CPUs.
 */
static u64 memtype_wb(void)
{
	u64 bits = VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT;

	if (!boot_cpu_has(X86_FEATURE_SELFSNOOP))
		bits |= VMX_EPT_IPAT_BIT;
	return bits;
}

void vmx_tdp_setup(void)
{
	struct tdp_format *fmt = &vendor_caps.tdp;
	u64 cap = vmx_caps.ept_vpid;

	vmx_host.ept_ad = cap & VMX_EPT_AD_BIT;
	*fmt = (struct tdp_format){
		.read = VMX_EPT_READABLE_MASK,
		.write = VMX_EPT_WRITABLE_MASK,
		.exec = VMX_EPT_EXECUTABLE_MASK,
		.present = VMX_EPT_RWX_MASK,
		.accessed = vmx_host.ept_ad ? VMX_EPT_ACCESS_BIT : 0,
		.dirty = vmx_host.ept_ad ? VMX_EPT_DIRTY_BIT : 0,
		.leaf = BIT(7),
		.table_bits = VMX_EPT_RWX_MASK,
		.memtype_wb = memtype_wb(),
		.memtype_uc = VMX_EPTP_MT_UC << VMX_EPT_MT_EPTE_SHIFT,
		.levels = 4,
		.max_leaf_level = 1,
		.maxphyaddr = boot_cpu_data.x86_phys_bits,
	};
	if (cap & VMX_EPT_2MB_PAGE_BIT)
		fmt->max_leaf_level = 2;
	if (fmt->max_leaf_level == 2 && (cap & VMX_EPT_1GB_PAGE_BIT))
		fmt->max_leaf_level = 3;
}

void vmx_flush_tlb(struct vcpu *vcpu)
{
	to_vmx(vcpu)->pending |= VMX_PEND_FLUSH_EPT | VMX_PEND_FLUSH_LINEAR;
}

/* Without a VPID every entry and exit drops linear and combined mappings. */
void vmx_flush_guest(struct vcpu *vcpu)
{
	to_vmx(vcpu)->pending |= VMX_PEND_FLUSH_LINEAR;
}

void vmx_set_root(struct vcpu *vcpu, hpa_t root)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u64 eptp = root | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;

	if (vmx_host.ept_ad)
		eptp |= VMX_EPTP_AD_ENABLE_BIT;
	if (eptp == vmx->eptp)
		return;
	vmx->eptp = eptp;
	/* A page that was another root before may have left translations. */
	vmx->pending |= VMX_PEND_EPTP | VMX_PEND_FLUSH_EPT;
}

static void flush_ept(u64 eptp)
{
	if (vmx_caps.ept_vpid & VMX_EPT_EXTENT_CONTEXT_BIT)
		vmx_invept(VMX_EPT_EXTENT_CONTEXT, eptp);
	else
		vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
}

static void flush_vpid(u16 vpid)
{
	/* VPID capabilities are in the upper half of the MSR. */
	u64 cap = vmx_caps.ept_vpid >> 32;

	if (!vpid)
		return;
	if (cap & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT)
		vmx_invvpid(VMX_VPID_EXTENT_SINGLE_CONTEXT, vpid, 0);
	else
		vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0);
}

/* Irqs off, VMCS current. */
void vmx_do_flushes(struct vcpu_vmx *vmx)
{
	u32 pending = vmx->pending;

	vmx->pending = 0;
	if (pending & VMX_PEND_EPTP)
		vmcs_write64(EPT_POINTER, vmx->eptp);
	if (pending & VMX_PEND_TSC) {
		vmcs_write64(TSC_OFFSET, vmx->vcpu.tsc_offset);
		if (vmx->want[VCTL_CPU2] & SECONDARY_EXEC_TSC_SCALING)
			vmcs_write64(TSC_MULTIPLIER, vmx->vcpu.tsc_ratio);
	}
	if (pending & VMX_PEND_PLE)
		vmcs_write32(PLE_WINDOW, vmx->ple_window);
	if ((pending & VMX_PEND_FLUSH_EPT) && vmx->eptp)
		flush_ept(vmx->eptp);
	if (pending & VMX_PEND_FLUSH_LINEAR)
		flush_vpid(vmx->vpid);
}

/* After VMXON nothing is known of what an earlier user of VT-x left. */
void vmx_flush_all_on_cpu(void)
{
	if (vmx_caps.ept_vpid & VMX_EPT_EXTENT_GLOBAL_BIT)
		vmx_invept(VMX_EPT_EXTENT_GLOBAL, 0);
	if (vmx_host.vpid)
		vmx_invvpid(VMX_VPID_EXTENT_ALL_CONTEXT, 0, 0);
}
