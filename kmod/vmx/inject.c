// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events into the guest, event windows, and what an exit interrupted.
 * SDM 25.8.3 (injection), 25.9.3 (IDT vectoring), 28.2.4 and 28.2.3.
 */
#include <asm/trapnr.h>

#include "vmx.h"

static const u32 intr_type[] = {
	[EVENT_INTR] = INTR_TYPE_EXT_INTR,
	[EVENT_NMI] = INTR_TYPE_NMI_INTR,
	[EVENT_EXCEPTION] = INTR_TYPE_HARD_EXCEPTION,
	[EVENT_SOFT_INTR] = INTR_TYPE_SOFT_INTR,
	[EVENT_SOFT_EXCEPTION] = INTR_TYPE_SOFT_EXCEPTION,
};

static bool is_soft(u8 type)
{
	return type == EVENT_SOFT_INTR || type == EVENT_SOFT_EXCEPTION;
}

void vmx_inject(struct vcpu *vcpu, const struct vmm_event *event)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u32 info = event->vector | intr_type[event->type] | INTR_INFO_VALID_MASK;

	/* CR0.PE is never the guest's to change alone, so the copy is true. */
	if (event->has_error && (vcpu->regs.cr0 & X86_CR0_PE)) {
		info |= INTR_INFO_DELIVER_CODE_MASK;
		/* SDM 27.2.1.3: bits 31:16 are 0, which user space's may not be. */
		vmcs_write32(VM_ENTRY_EXCEPTION_ERROR_CODE, (u16)event->error);
	}
	if (is_soft(event->type))
		vmcs_write32(VM_ENTRY_INSTRUCTION_LEN, event->insn_len);
	/* One that stopped without an exit wakes up, for most events could not enter: 27.3.1.5. */
	if (vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT)
		vmcs_write32(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write32(VM_ENTRY_INTR_INFO_FIELD, info);
	vmx->event = *event;
	if (event->type == EVENT_EXCEPTION && event->vector == X86_TRAP_DB)
		vmx_single_step_taken(vmx);
}

/*
 * A #DB took the pending single-step trap with it, which the entry wants beside
 * TF in an interrupt shadow: the flush of RG_INTR sees to that (vendor.c).
 */
void vmx_single_step_taken(struct vcpu_vmx *vmx)
{
	regs_mod(&vmx->vcpu, RG_INTR);
}

bool vmx_cancel(struct vcpu *vcpu, struct vmm_event *event)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (vmx->event.type == EVENT_NONE)
		return false;
	*event = vmx->event;
	vmx->event.type = EVENT_NONE;
	vmcs_write32(VM_ENTRY_INTR_INFO_FIELD, 0);
	return true;
}

void vmx_set_window(struct vcpu *vcpu, u32 windows)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmx_want(vmx, VCTL_CPU, CPU_BASED_INTR_WINDOW_EXITING, windows & WINDOW_IRQ);
	vmx_want(vmx, VCTL_CPU, CPU_BASED_NMI_WINDOW_EXITING, windows & WINDOW_NMI);
}

/*
 * An exit comes when the guest takes VTPR[7:4] below the threshold. The entry
 * fails when it is below already (SDM 27.2.1.1), so no threshold is set then:
 * the interrupt is deliverable and is on its way.
 */
void vmx_set_tpr_threshold(struct vcpu *vcpu, int tpr, int irr)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u32 threshold = 0;

	if (!(vmx->want[VCTL_CPU] & CPU_BASED_TPR_SHADOW))
		return;
	vmx->tpr = tpr;
	vmx->vapic[VAPIC_TPR] = tpr << 4;
	if (irr >= 0 && tpr >= irr >> 4)
		threshold = irr >> 4;
	if (threshold == vmx->tpr_threshold)
		return;
	vmx->tpr_threshold = threshold;
	vmcs_write32(TPR_THRESHOLD, threshold);
}

static u8 vectored_type(u32 info)
{
	switch (info & VECTORING_INFO_TYPE_MASK) {
	case INTR_TYPE_EXT_INTR:
		return EVENT_INTR;
	case INTR_TYPE_NMI_INTR:
		return EVENT_NMI;
	case INTR_TYPE_HARD_EXCEPTION:
		return EVENT_EXCEPTION;
	case INTR_TYPE_SOFT_INTR:
		return EVENT_SOFT_INTR;
	case INTR_TYPE_SOFT_EXCEPTION:
		return EVENT_SOFT_EXCEPTION;
	default:
		/* ICEBP: RIP still points at it and it simply runs again. */
		return EVENT_NONE;
	}
}

void vmx_take_vectored(struct vcpu_vmx *vmx)
{
	struct vmm_event *ev = &vmx->vcpu.exit.vectored;
	u32 info = vmx->idt_info;

	ev->type = vectored_type(info);
	ev->vector = info & VECTORING_INFO_VECTOR_MASK;
	if (info & VECTORING_INFO_DELIVER_CODE_MASK) {
		ev->has_error = true;
		ev->error = vmcs_read32(IDT_VECTORING_ERROR_CODE);
	}
	if (is_soft(ev->type))
		ev->insn_len = vmcs_read32(VM_EXIT_INSTRUCTION_LEN);
	/*
	 * The NMI goes in again, which virtual NMIs allow only while blocking
	 * by NMI is off (SDM 27.3.1.5).
	 */
	if (ev->type == EVENT_NMI && regs_get(&vmx->vcpu, RG_INTR)->nmi_blocked)
		regs_mod(&vmx->vcpu, RG_INTR)->nmi_blocked = false;
}

/*
 * A fault of IRET itself came after it had ended NMI blocking; the IRET will
 * run again, so the blocking is put back (SDM 28.2.3). The bit means nothing
 * when the exit interrupted a delivery.
 */
void vmx_recover_nmi_blocking(struct vcpu_vmx *vmx, bool unblocked_by_iret)
{
	if (!unblocked_by_iret || (vmx->idt_info & VECTORING_INFO_VALID_MASK))
		return;
	regs_mod(&vmx->vcpu, RG_INTR)->nmi_blocked = true;
}
