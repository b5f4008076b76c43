// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page-modification logging: the CPU notes each guest-physical address whose
 * D bit in the EPT it sets, in a page of the vCPU's. SDM 29.3.6.
 *
 * On while any slot is logged, as REQ_DIRTY_LOG brings it into the VMCS. The
 * page is emptied after every exit, so it holds nothing outside of the guest, and
 * who has made a vCPU exit (vm_request_all()) finds in the dirty log all it wrote.
 */
#include "vmx.h"

bool vmx_pml = true;
module_param_named(pml, vmx_pml, bool, 0444);
MODULE_PARM_DESC(pml, "VT-x: let the CPU log which pages a guest writes, where it can");

void vmx_pml_setup(void)
{
	vmx_pml = vmx_pml && vmx_host.ept_ad &&
		  (vmx_caps.allowed[VCTL_CPU2] & SECONDARY_EXEC_ENABLE_PML);
	vendor_caps.dirty_log_size = vmx_pml ? PML_ENTRIES : 0;
}

/* VMCS current. */
void vmx_pml_init(struct vcpu_vmx *vmx)
{
	if (!vmx_pml)
		return;
	vmcs_write64(PML_ADDRESS, __pa(vmx->pml));
	vmcs_write16(GUEST_PML_INDEX, PML_ENTRIES - 1);
}

/* REQ_DIRTY_LOG */
void vmx_log_dirty(struct vcpu *vcpu)
{
	vmx_want(to_vmx(vcpu), VCTL_CPU2, SECONDARY_EXEC_ENABLE_PML,
		 vmx_pml && mm_logs_dirty(&vcpu->vm->mem));
}

/*
 * After an exit, irqs off. The index counts down and names the entry that is
 * next; it is beyond the page when the page is full.
 */
void vmx_pml_drain(struct vcpu_vmx *vmx)
{
	u16 next = vmcs_read16(GUEST_PML_INDEX);

	if (likely(next == PML_ENTRIES - 1))
		return;
	next = next < PML_ENTRIES ? next + 1 : 0;
	mm_log_written(&vmx->vcpu, vmx->pml + next, PML_ENTRIES - next);
	vmcs_write16(GUEST_PML_INDEX, PML_ENTRIES - 1);
}
