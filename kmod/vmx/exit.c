// SPDX-License-Identifier: GPL-2.0-only
/*
 * From VT-x's basic exit reasons (SDM appendix C) to struct vmm_exit. Irqs
 * are off and the VMCS is current throughout.
 */
#include <asm/mce.h>

#include "../insn/insn.h"
#include "vmx.h"

/* What a reason's handler wants read before it is called. */
#define W_LEN	BIT(0)	/* VM_EXIT_INSTRUCTION_LEN, where SDM 28.2.5 defines it */
#define W_QUAL	BIT(1)	/* EXIT_QUALIFICATION into info1 */
#define W_KNOWN	BIT(2)	/* EXIT_NONE is meant: so reads a hole in the table, too */

typedef void fill_fn(struct vcpu_vmx *vmx, struct vmm_exit *e);

struct exit_desc {
	u8 kind;
	u8 wants;
	fill_fn *fill;		/* may change e->kind */
};

/*
 * A machine check in the guest is the host's. It is reported as if it had hit
 * this thread in user space, because the kernel's own state is intact.
 */
void vmx_machine_check(void)
{
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = {
		.cs = 3,
		.flags = X86_EFLAGS_IF,
	};

	do_machine_check(&regs);
#endif
}

static bool is_soft_exception(u32 info)
{
	u32 type = info & INTR_INFO_INTR_TYPE_MASK;

	return type == INTR_TYPE_SOFT_EXCEPTION || type == INTR_TYPE_PRIV_SW_EXCEPTION;
}

static void fill_exception(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	u32 info = vmx->intr_info;

	e->info2 = info;
	e->ex.vector = info & INTR_INFO_VECTOR_MASK;
	e->ex.has_error = info & INTR_INFO_DELIVER_CODE_MASK;
	e->ex.error = e->ex.has_error ? vmcs_read32(VM_EXIT_INTR_ERROR_CODE) : 0;
	e->ex.payload = e->info1;
	vmx_recover_nmi_blocking(vmx, (info & INTR_INFO_UNBLOCK_NMI) &&
				 e->ex.vector != X86_TRAP_DF);
	if (is_soft_exception(info))
		e->insn_len = vmcs_read32(VM_EXIT_INSTRUCTION_LEN);
	if (e->ex.vector == X86_TRAP_DB)
		vmx_single_step_taken(vmx);
}

/* The NMI itself was served before interrupts could come: run.c. */
static void fill_exception_or_nmi(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	u32 type = vmx->intr_info & INTR_INFO_INTR_TYPE_MASK;

	if (type == INTR_TYPE_NMI_INTR) {
		e->kind = EXIT_NMI;
		return;
	}
	fill_exception(vmx, e);
	if (e->ex.vector == X86_TRAP_MC) {
		vmx_machine_check();
		e->kind = EXIT_NMI;
	}
}

/* SDM table 28-5. */
static void fill_io(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	u64 qual = e->info1;

	e->io.size = (qual & 7) + 1;
	e->io.in = qual & BIT(3);
	e->io.string = qual & BIT(4);
	e->io.rep = qual & BIT(5);
	e->io.port = qual >> 16;
	e->io.unclaimed = false;
}

/* SDM table 28-3; the access types are enum cr_access's but for 0 and 1. */
static void fill_cr(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	static const u8 access[] = { CR_WRITE, CR_READ, CR_CLTS, CR_LMSW };
	u64 qual = e->info1;

	e->cr.nr = qual & 0xf;
	e->cr.access = access[(qual >> 4) & 3];
	e->cr.gpr = (qual >> 8) & 0xf;
	e->cr.lmsw = qual >> 16;
	e->cr.decoded = true;
}

/* SDM table 28-4. */
static void fill_dr(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	u64 qual = e->info1;

	e->dr.nr = qual & 7;
	e->dr.write = !(qual & BIT(4));
	e->dr.gpr = (qual >> 8) & 0xf;
	e->dr.decoded = true;
}

/*
 * SDM table 28-7. With A and D bits the walk of the guest's tables counts as
 * writing, which the table page's rights may refuse.
 */
static void fill_ept_violation(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	u64 qual = e->info1;
	u32 access = 0;

	if (qual & EPT_VIOLATION_ACC_READ)
		access |= TDP_ACCESS_READ;
	if (qual & EPT_VIOLATION_ACC_WRITE)
		access |= TDP_ACCESS_WRITE;
	if (qual & EPT_VIOLATION_ACC_INSTR)
		access |= TDP_ACCESS_FETCH;
	if (qual & (VMX_EPT_RWX_MASK << 3))
		access |= TDP_ACCESS_PRESENT;
	if ((qual & EPT_VIOLATION_GVA_IS_VALID) && !(qual & EPT_VIOLATION_GVA_TRANSLATED))
		access |= TDP_ACCESS_TABLE;
	e->tdp.access = access;
	e->tdp.gpa = vmcs_read64(GUEST_PHYSICAL_ADDRESS);
	e->info2 = e->tdp.gpa;
	vmx_recover_nmi_blocking(vmx, qual & BIT(12));
}

/* mm/ makes no such entries, and MMIO has none at all. */
static void fill_ept_misconfig(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	e->info2 = vmcs_read64(GUEST_PHYSICAL_ADDRESS);
	WARN_ONCE(1, "EPT misconfiguration at %llx\n", e->info2);
}

/*
 * SDM table 28-2. An event that came through a task gate is consumed by the
 * switch and does not go in again; only then may there be an error code, and
 * only a software event leaves RIP behind the instruction.
 */
static void fill_task_switch(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	e->task.selector = e->info1;
	e->task.reason = (e->info1 >> 30) & 3;
	e->task.event.type = EVENT_NONE;
	e->insn_len = vmcs_read32(VM_EXIT_INSTRUCTION_LEN);
	if (e->task.reason != INSN_TASK_GATE)
		return;
	e->task.event = e->vectored;
	e->vectored.type = EVENT_NONE;
	/* INT1, which is never injected again: inject.c. */
	if (e->task.event.type == EVENT_NONE)
		e->task.event = (struct vmm_event){
			.type = EVENT_SOFT_EXCEPTION, .vector = X86_TRAP_DB,
			.insn_len = e->insn_len,
		};
	/* The handler of an NMI runs with NMIs blocked, by a gate to a task too. */
	if (e->task.event.type == EVENT_NMI)
		regs_mod(&vmx->vcpu, RG_INTR)->nmi_blocked = true;
}

static void fill_invlpg(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	e->gva = e->info1;
}

/* The counter of 32 bits ran out before the deadline: go on. */
static void fill_timer(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	if (vmx->timer_early)
		e->kind = EXIT_NONE;
	else
		vmx->timer_deadline = U64_MAX;
}

/* The log is emptied after every exit; only an IRET that it interrupted needs care. */
static void fill_pml_full(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	vmx->vcpu.stats.pml_full++;
	vmx_recover_nmi_blocking(vmx, e->info1 & BIT(12));
}

static const struct exit_desc exits[] = {
	[EXIT_REASON_EXCEPTION_NMI] = { EXIT_EXCEPTION, W_QUAL, fill_exception_or_nmi },
	[EXIT_REASON_EXTERNAL_INTERRUPT] = { EXIT_EXTINT },
	[EXIT_REASON_TRIPLE_FAULT] = { EXIT_TRIPLE_FAULT },
	/* INIT is blocked in root operation; one that came in the guest is gone. */
	[EXIT_REASON_INIT_SIGNAL] = { EXIT_NONE, W_KNOWN },
	[EXIT_REASON_INTERRUPT_WINDOW] = { EXIT_IRQ_WINDOW },
	[EXIT_REASON_NMI_WINDOW] = { EXIT_NMI_WINDOW },
	[EXIT_REASON_TASK_SWITCH] = { EXIT_TASK_SWITCH, W_QUAL, fill_task_switch },
	[EXIT_REASON_CPUID] = { EXIT_CPUID, W_LEN },
	[11 /* GETSEC */] = { EXIT_UD, W_LEN },
	[EXIT_REASON_HLT] = { EXIT_HLT, W_LEN },
	[EXIT_REASON_INVD] = { EXIT_WBINVD, W_LEN },
	[EXIT_REASON_INVLPG] = { EXIT_INVLPG, W_LEN | W_QUAL, fill_invlpg },
	[EXIT_REASON_RDPMC] = { EXIT_RDPMC, W_LEN },
	[EXIT_REASON_RDTSC] = { EXIT_UNKNOWN, W_LEN },
	[EXIT_REASON_VMCALL] = { EXIT_HYPERCALL, W_LEN },
	[EXIT_REASON_VMCLEAR] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMLAUNCH] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMPTRLD] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMPTRST] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMREAD] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMRESUME] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMWRITE] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMOFF] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMON] = { EXIT_UD, W_LEN },
	[EXIT_REASON_CR_ACCESS] = { EXIT_CR, W_LEN | W_QUAL, fill_cr },
	[EXIT_REASON_DR_ACCESS] = { EXIT_DR, W_LEN | W_QUAL, fill_dr },
	[EXIT_REASON_IO_INSTRUCTION] = { EXIT_IO, W_LEN | W_QUAL, fill_io },
	[EXIT_REASON_MSR_READ] = { EXIT_RDMSR, W_LEN },
	[EXIT_REASON_MSR_WRITE] = { EXIT_WRMSR, W_LEN },
	[EXIT_REASON_MWAIT_INSTRUCTION] = { EXIT_MWAIT, W_LEN },
	[EXIT_REASON_MONITOR_INSTRUCTION] = { EXIT_MONITOR, W_LEN },
	[EXIT_REASON_PAUSE_INSTRUCTION] = { EXIT_PAUSE, W_LEN },
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = { EXIT_CR8 },
	[EXIT_REASON_EPT_VIOLATION] = { EXIT_TDP_FAULT, W_QUAL, fill_ept_violation },
	[EXIT_REASON_EPT_MISCONFIG] = { EXIT_UNKNOWN, 0, fill_ept_misconfig },
	[EXIT_REASON_INVEPT] = { EXIT_UD, W_LEN },
	[EXIT_REASON_PREEMPTION_TIMER] = { EXIT_PREEMPT_TIMER, 0, fill_timer },
	[EXIT_REASON_INVVPID] = { EXIT_UD, W_LEN },
	[EXIT_REASON_WBINVD] = { EXIT_WBINVD, W_LEN },
	[EXIT_REASON_XSETBV] = { EXIT_XSETBV, W_LEN },
	[EXIT_REASON_RDRAND] = { EXIT_UD, W_LEN },
	[EXIT_REASON_INVPCID] = { EXIT_UD, W_LEN },
	[EXIT_REASON_VMFUNC] = { EXIT_UD, W_LEN },
	[EXIT_REASON_ENCLS] = { EXIT_UD, W_LEN },
	[EXIT_REASON_RDSEED] = { EXIT_UD, W_LEN },
	[EXIT_REASON_PML_FULL] = { EXIT_NONE, W_KNOWN | W_QUAL, fill_pml_full },
	[76 /* SEAMCALL */] = { EXIT_UD, W_LEN },
	[77 /* TDCALL */] = { EXIT_UD, W_LEN },
};

/*
 * Guest state was refused (SDM 27.8): nothing ran, and what was to be injected
 * is still to be injected.
 */
static void failed_entry(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	e->kind = EXIT_FAIL_ENTRY;
	e->info1 = vmcs_readl(EXIT_QUALIFICATION);
	e->vectored = (struct vmm_event){ .type = EVENT_NONE };
	vmx_cancel(&vmx->vcpu, &e->vectored);
	if ((u16)vmx->exit_reason == EXIT_REASON_MCE_DURING_VMENTRY)
		vmx_machine_check();
}

static void decode(struct vcpu_vmx *vmx, struct vmm_exit *e)
{
	static const struct exit_desc unknown = { EXIT_UNKNOWN, W_QUAL };
	const struct exit_desc *desc = &unknown;
	u16 reason = vmx->exit_reason;

	if (reason < ARRAY_SIZE(exits) &&
	    (exits[reason].kind != EXIT_NONE || (exits[reason].wants & W_KNOWN)))
		desc = &exits[reason];
	e->kind = desc->kind;
	if (desc->wants & W_LEN) {
		e->insn_len = vmcs_read32(VM_EXIT_INSTRUCTION_LEN);
		vmx_fetch_for_skip(vmx);
	}
	if (desc->wants & W_QUAL)
		e->info1 = vmcs_readl(EXIT_QUALIFICATION);
	if (desc->fill)
		desc->fill(vmx, e);
}

void vmx_decode_exit(struct vcpu_vmx *vmx)
{
	struct vmm_exit *e = &vmx->vcpu.exit;

	e->hw_reason = vmx->exit_reason;
	if (unlikely(vmx->exit_reason & VMX_EXIT_REASONS_FAILED_VMENTRY)) {
		failed_entry(vmx, e);
		return;
	}
	vmx->run.flags |= BIT(VMX_RUN_RESUME);
	vmx->event.type = EVENT_NONE;
	vmx->idt_info = vmcs_read32(IDT_VECTORING_INFO_FIELD);
	e->vectored = (struct vmm_event){ .type = EVENT_NONE };
	if (unlikely(vmx->idt_info & VECTORING_INFO_VALID_MASK))
		vmx_take_vectored(vmx);
	decode(vmx, e);
}
