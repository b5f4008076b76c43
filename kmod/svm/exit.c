// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the exit code of the VMCB to struct vmm_exit: one table row per code, with
 * a function where there is more to tell than the kind. Appendix C, 15.7.
 */
#include <asm/mce.h>
#include <asm/traps.h>

#include "../debug.h"
#include "../insn/insn.h"
#include "svm.h"

#define NPF_PRESENT	BIT_ULL(0)
#define NPF_WRITE	BIT_ULL(1)
#define NPF_FETCH	BIT_ULL(4)
#define NPF_TABLE	BIT_ULL(33)

#define IO_IN		BIT(0)
#define IO_STRING	BIT(2)
#define IO_REP		BIT(3)
#define IO_SIZE_SHIFT	4
#define IO_PORT_SHIFT	16

#define CR_DECODED	BIT_ULL(63)
#define GPR_MASK	0xf

#define TASK_IRET	BIT_ULL(36)
#define TASK_JMP	BIT_ULL(38)
#define TASK_ERROR	BIT_ULL(44)

#define MAX_INSN_LEN	15

#define KNOWN	1
#define INSN	3	/* an instruction: next_rip is valid with NRIP save */

struct exit_row {
	u8 kind;
	u8 how;
	void (*fill)(struct vcpu_svm *svm, struct vmm_exit *e);
};

/* 15.8.1. Without decode assists, and for LMSW, SMSW, CLTS: the emulator's. */
static void fill_cr(struct vcpu_svm *svm, struct vmm_exit *e)
{
	e->cr.nr = e->hw_reason & 0xf;
	e->cr.access = e->hw_reason >= SVM_EXIT_WRITE_CR0 ? CR_WRITE : CR_READ;
	e->cr.decoded = svm_caps.decode && svm_caps.nrips && (e->info1 & CR_DECODED);
	e->cr.gpr = e->info1 & GPR_MASK;
}

/* A write that changes more than TS and MP: CD, which would stop the caches, is not the guest's. */
static void fill_cr0_selective(struct vcpu_svm *svm, struct vmm_exit *e)
{
	fill_cr(svm, e);
	e->cr.nr = 0;
	e->cr.access = CR_WRITE;
}

/*
 * Unless user space owns the breakpoints, the guest gets its debug registers
 * for one entry and executes the instruction again.
 */
static void fill_dr(struct vcpu_svm *svm, struct vmm_exit *e)
{
	if (!debug_owns_drs(&svm->vcpu)) {
		svm->dr_live = true;
		svm_recalc_intercepts(svm);
		e->kind = EXIT_NONE;
		return;
	}
	e->dr.nr = e->hw_reason & 0xf;
	e->dr.write = e->hw_reason >= SVM_EXIT_WRITE_DR0;
	e->dr.decoded = svm_caps.decode && svm_caps.nrips;
	e->dr.gpr = e->info1 & GPR_MASK;
}

static void fill_io(struct vcpu_svm *svm, struct vmm_exit *e)
{
	e->io.port = e->info1 >> IO_PORT_SHIFT;
	e->io.size = e->info1 >> IO_SIZE_SHIFT & 7;
	e->io.in = e->info1 & IO_IN;
	e->io.string = e->info1 & IO_STRING;
	e->io.rep = e->info1 & IO_REP;
	e->io.unclaimed = false;
	/* EXITINFO2 is the RIP behind the instruction, on every CPU: 15.10.2. */
	e->insn_len = e->info2 - svm->vmcb->save.rip;
}

static void fill_msr(struct vcpu_svm *svm, struct vmm_exit *e)
{
	e->kind = e->info1 & 1 ? EXIT_WRMSR : EXIT_RDMSR;
}

static void fill_npf(struct vcpu_svm *svm, struct vmm_exit *e)
{
	e->tdp.gpa = e->info2;
	e->tdp.access = e->info1 & NPF_WRITE ? TDP_ACCESS_WRITE :
			e->info1 & NPF_FETCH ? TDP_ACCESS_FETCH : TDP_ACCESS_READ;
	if (e->info1 & NPF_PRESENT)
		e->tdp.access |= TDP_ACCESS_PRESENT;
	if (e->info1 & NPF_TABLE)
		e->tdp.access |= TDP_ACCESS_TABLE;
	if (svm_caps.decode) {
		struct vmcb_control *c = &svm->vmcb->control;

		e->nr_insn_bytes = min_t(u8, c->nr_insn_bytes & 0xf, sizeof(c->insn_bytes));
		memcpy(e->insn_bytes, c->insn_bytes, e->nr_insn_bytes);
	}
}

static void fill_exception(struct vcpu_svm *svm, struct vmm_exit *e)
{
	e->ex.vector = e->hw_reason - SVM_EXIT_EXCP_BASE;
	e->ex.payload = e->ex.vector == X86_TRAP_DB ? svm->vmcb->save.dr6 ^ DR6_INIT : 0;
	e->ex.has_error = e->ex.vector == X86_TRAP_AC;
	e->ex.error = 0;
}

/* The host's: the guest only happened to run. 15.12.15. */
static void fill_machine_check(struct vcpu_svm *svm, struct vmm_exit *e)
{
	struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
	e->kind = EXIT_NONE;
}

/*
 * 15.14.1. A gate in the IDT is known by the event whose delivery used it, and
 * which the switch itself delivers.
 */
static void fill_task_switch(struct vcpu_svm *svm, struct vmm_exit *e)
{
	e->task.selector = e->info1;
	e->task.event.type = EVENT_NONE;
	if (e->info2 & TASK_IRET) {
		e->task.reason = INSN_TASK_IRET;
	} else if (e->info2 & TASK_JMP) {
		e->task.reason = INSN_TASK_JMP;
	} else if (svm_consume_vectored(svm, &e->task.event)) {
		e->task.reason = INSN_TASK_GATE;
		e->task.event.has_error = e->info2 & TASK_ERROR;
		e->task.event.error = e->info2;
	} else {
		e->task.reason = INSN_TASK_CALL;
	}
}

static void fill_invlpg(struct vcpu_svm *svm, struct vmm_exit *e)
{
	e->gva = e->info1;
}

static void fill_vintr(struct vcpu_svm *svm, struct vmm_exit *e)
{
	svm_set_window(&svm->vcpu, svm->windows & ~WINDOW_IRQ);
}

/* The IRET comes next; NMIs are masked until it is done: inject.c. */
static void fill_iret(struct vcpu_svm *svm, struct vmm_exit *e)
{
	svm->icpt_iret = false;
	svm->iret_pending = true;
	svm->iret_rip = svm->vmcb->save.rip;
	svm_recalc_intercepts(svm);
}

#define BP_CODE	(SVM_EXIT_EXCP_BASE + X86_TRAP_BP)
#define MC_CODE	(SVM_EXIT_EXCP_BASE + X86_TRAP_MC)
#define UD_ROW(code) \
	[code] = { EXIT_UD, INSN }

static const struct exit_row exit_rows[] = {
	[SVM_EXIT_READ_CR0 ... SVM_EXIT_READ_DR0 - 1] = { EXIT_CR, INSN, fill_cr },
	[SVM_EXIT_READ_DR0 ... SVM_EXIT_EXCP_BASE - 1] = { EXIT_DR, INSN, fill_dr },
	[SVM_EXIT_EXCP_BASE ... BP_CODE - 1] = { EXIT_EXCEPTION, KNOWN, fill_exception },
	/* The one that an instruction raises on purpose: 15.7.1 has its length, too. */
	[BP_CODE] = { EXIT_EXCEPTION, INSN, fill_exception },
	[BP_CODE + 1 ... MC_CODE - 1] = { EXIT_EXCEPTION, KNOWN, fill_exception },
	[MC_CODE] = { EXIT_NONE, KNOWN, fill_machine_check },
	[MC_CODE + 1 ... SVM_EXIT_LAST_EXCP] = { EXIT_EXCEPTION, KNOWN, fill_exception },
	[SVM_EXIT_INTR] = { EXIT_EXTINT, KNOWN },
	[SVM_EXIT_NMI] = { EXIT_NMI, KNOWN },
	[SVM_EXIT_SMI] = { EXIT_NONE, KNOWN },
	[SVM_EXIT_INIT] = { EXIT_NONE, KNOWN },
	[SVM_EXIT_VINTR] = { EXIT_IRQ_WINDOW, KNOWN, fill_vintr },
	[SVM_EXIT_CR0_SEL_WRITE] = { EXIT_CR, INSN, fill_cr0_selective },
	[SVM_EXIT_RDPMC] = { EXIT_RDPMC, INSN },
	[SVM_EXIT_CPUID] = { EXIT_CPUID, INSN },
	UD_ROW(SVM_EXIT_RSM),
	[SVM_EXIT_IRET] = { EXIT_NONE, KNOWN, fill_iret },
	[SVM_EXIT_INVD] = { EXIT_WBINVD, INSN },
	[SVM_EXIT_PAUSE] = { EXIT_PAUSE, INSN },
	[SVM_EXIT_HLT] = { EXIT_HLT, INSN },
	[SVM_EXIT_INVLPG] = { EXIT_INVLPG, INSN, fill_invlpg },
	UD_ROW(SVM_EXIT_INVLPGA),
	[SVM_EXIT_IOIO] = { EXIT_IO, KNOWN, fill_io },
	[SVM_EXIT_MSR] = { EXIT_RDMSR, INSN, fill_msr },
	[SVM_EXIT_TASK_SWITCH] = { EXIT_TASK_SWITCH, KNOWN, fill_task_switch },
	[SVM_EXIT_SHUTDOWN] = { EXIT_TRIPLE_FAULT, KNOWN },
	UD_ROW(SVM_EXIT_VMRUN),
	[SVM_EXIT_VMMCALL] = { EXIT_HYPERCALL, INSN },
	UD_ROW(SVM_EXIT_VMLOAD),
	UD_ROW(SVM_EXIT_VMSAVE),
	UD_ROW(SVM_EXIT_STGI),
	UD_ROW(SVM_EXIT_CLGI),
	UD_ROW(SVM_EXIT_SKINIT),
	UD_ROW(SVM_EXIT_RDTSCP),
	[SVM_EXIT_WBINVD] = { EXIT_WBINVD, INSN },
	[SVM_EXIT_MONITOR] = { EXIT_MONITOR, INSN },
	[SVM_EXIT_MWAIT] = { EXIT_MWAIT, INSN },
	[SVM_EXIT_MWAIT_COND] = { EXIT_MWAIT, INSN },
	[SVM_EXIT_XSETBV] = { EXIT_XSETBV, INSN },
	UD_ROW(SVM_EXIT_RDPRU),
	UD_ROW(SVM_EXIT_INVPCID),
};

static const struct exit_row npf_row = { EXIT_TDP_FAULT, KNOWN, fill_npf };
static const struct exit_row invalid_row = { EXIT_FAIL_ENTRY, KNOWN };
static const struct exit_row unknown_row = { EXIT_UNKNOWN, KNOWN };

static u8 insn_len(const struct vmcb *vmcb)
{
	u64 len = vmcb->control.next_rip - vmcb->save.rip;

	/* Some implementations leave 0 where they do not know. */
	return vmcb->control.next_rip && len <= MAX_INSN_LEN ? len : 0;
}

/* VMEXIT_INVALID is -1, which some implementations write as 32 bits. */
static const struct exit_row *find_row(u64 code)
{
	if (code == SVM_EXIT_NPF)
		return &npf_row;
	if ((u32)code == (u32)-1)
		return &invalid_row;
	if (code >= ARRAY_SIZE(exit_rows) || !exit_rows[code].how)
		return &unknown_row;
	return &exit_rows[code];
}

void svm_decode_exit(struct vcpu_svm *svm)
{
	struct vmcb_control *c = &svm->vmcb->control;
	const struct exit_row *row = find_row(c->exit_code);
	struct vmm_exit *e = &svm->vcpu.exit;

	e->kind = row->kind;
	e->insn_len = row->how == INSN && svm_caps.nrips ? insn_len(svm->vmcb) : 0;
	e->nr_insn_bytes = 0;
	e->hw_reason = c->exit_code;
	e->info1 = c->exit_info1;
	e->info2 = c->exit_info2;
	if (row->fill)
		row->fill(svm, e);
	e->vectored = (struct vmm_event){ .type = EVENT_NONE };
	if (unlikely(svm->stepping || svm->iret_pending || (c->exit_int_info & EVTINJ_VALID)))
		svm_finish_events(svm);
	c->event_inj = 0;
	svm->event.type = EVENT_NONE;
}
