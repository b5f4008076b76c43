// SPDX-License-Identifier: GPL-2.0-only
/*
 * Handlers of the neutral exits, one row each.
 */
#include <asm/traps.h>

#include "cpuid.h"
#include "debug.h"
#include "emulate.h"
#include "fep.h"
#include "io.h"
#include "irq/lapic.h"
#include "mmio.h"
#include "msr.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "run.h"
#include "smm.h"
#include "sregs.h"
#include "trace.h"
#include "vendor.h"
#include "yield.h"

static int resume(struct vcpu *vcpu)
{
	return VMM_RESUME;
}

static int skip(struct vcpu *vcpu)
{
	vcpu_skip_insn(vcpu);
	return VMM_RESUME;
}

static int handle_cpuid(struct vcpu *vcpu)
{
	u32 regs[4], function, index;

	if (cpuid_faults(vcpu)) {
		queue_gp(vcpu);
		return VMM_RESUME;
	}
	function = vcpu_gpr(vcpu, GPR_RAX);
	index = vcpu_gpr(vcpu, GPR_RCX);
	regs[0] = function;
	regs[2] = index;
	cpuid_execute(vcpu, regs);
	trace_vmm_cpuid(vcpu->id, function, index, regs);
	vcpu_set_gpr(vcpu, GPR_RAX, regs[0]);
	vcpu_set_gpr(vcpu, GPR_RBX, regs[1]);
	vcpu_set_gpr(vcpu, GPR_RCX, regs[2]);
	vcpu_set_gpr(vcpu, GPR_RDX, regs[3]);
	return skip(vcpu);
}

static int handle_hlt(struct vcpu *vcpu)
{
	vcpu_skip_insn(vcpu);
	return vcpu_halt(vcpu);
}

static int handle_io(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;

	if (e->io.string)
		return emulate_insn(vcpu);
	return emulate_pio(vcpu, e->io.port, e->io.size, e->io.in);
}

static int handle_rdmsr(struct vcpu *vcpu)
{
	return msr_handle_exit(vcpu, false);
}

static int handle_wrmsr(struct vcpu *vcpu)
{
	return msr_handle_exit(vcpu, true);
}

/* MOV to CR writes the low half outside 64-bit mode. */
static u64 cr_operand(struct vcpu *vcpu, u8 gpr)
{
	u64 val = vcpu_gpr(vcpu, gpr);

	return vcpu_64bit(vcpu) ? val : (u32)val;
}

static int write_cr(struct vcpu *vcpu, u8 nr, u64 val)
{
	switch (nr) {
	case 0:
		return vcpu_set_cr0(vcpu, val);
	case 3:
		return vcpu_set_cr3(vcpu, val);
	case 4:
		return vcpu_set_cr4(vcpu, val);
	default:
		return vcpu_set_cr8(vcpu, val);
	}
}

static u64 read_cr(struct vcpu *vcpu, u8 nr)
{
	switch (nr) {
	case 0:
		return vcpu_cr0(vcpu);
	case 3:
		return vcpu_cr3(vcpu);
	case 4:
		return vcpu_cr4(vcpu);
	default:
		return vcpu_cr8(vcpu);
	}
}

/* User space's own interrupt controller learns of a lowered priority. */
static int tpr_written(struct vcpu *vcpu, u8 old_tpr)
{
	if (vcpu->lapic || vcpu_cr8(vcpu) >= old_tpr)
		return VMM_RESUME;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return VMM_USER;
}

static int handle_cr(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;
	u8 old_tpr = vcpu_cr8(vcpu);
	u64 cr0 = vcpu_cr0(vcpu);
	int r, gp = 0;

	if (!e->cr.decoded) {
		r = emulate_insn(vcpu);
		return r == VMM_RESUME ? tpr_written(vcpu, old_tpr) : r;
	}
	switch (e->cr.access) {
	case CR_READ:
		vcpu_set_gpr(vcpu, e->cr.gpr, read_cr(vcpu, e->cr.nr));
		break;
	case CR_WRITE:
		gp = write_cr(vcpu, e->cr.nr, cr_operand(vcpu, e->cr.gpr));
		break;
	case CR_CLTS:
		gp = vcpu_set_cr0(vcpu, cr0 & ~(u64)X86_CR0_TS);
		break;
	case CR_LMSW:
		/* LMSW sets PE but never clears it. */
		gp = vcpu_set_cr0(vcpu, (cr0 & ~0xeull) | (e->cr.lmsw & 0xf));
		break;
	}
	if (gp) {
		queue_gp(vcpu);
		return VMM_RESUME;
	}
	vcpu_skip_insn(vcpu);
	return tpr_written(vcpu, old_tpr);
}

/* MOV DR: on VT-x the exit comes before all of its faults, also that of the CPL: SDM 26.1.3. */
static int handle_dr(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;

	if (!e->dr.decoded)
		return emulate_insn(vcpu);
	if ((e->dr.nr == 4 || e->dr.nr == 5) && (vcpu_cr4(vcpu) & X86_CR4_DE)) {
		queue_exception(vcpu, X86_TRAP_UD);
		return VMM_RESUME;
	}
	if (vcpu_cpl(vcpu)) {
		queue_gp(vcpu);
		return VMM_RESUME;
	}
	if (debug_effective_dr7(vcpu) & DBG_DR7_GD)
		return debug_handle_gd(vcpu);
	if (!e->dr.write) {
		vcpu_set_gpr(vcpu, e->dr.gpr, vcpu_dr(vcpu, e->dr.nr));
	} else if (vcpu_set_dr(vcpu, e->dr.nr, cr_operand(vcpu, e->dr.gpr))) {
		queue_gp(vcpu);
		return VMM_RESUME;
	}
	return skip(vcpu);
}

static int memory_error(struct vcpu *vcpu, int err)
{
	struct vmm_exit *e = &vcpu->exit;
	struct kvm_run *run = vcpu->run;

	if (err == -EINTR) {
		run->exit_reason = KVM_EXIT_INTR;
		vcpu->stats.signal_exits++;
	} else if (err == -EFAULT) {
		/* KVM_EXIT_MEMORY_FAULT tells of private memory; here the errno says it all. */
		run->exit_reason = KVM_EXIT_UNKNOWN;
		run->hw.hardware_exit_reason = e->hw_reason;
	}
	return err;
}

/* Of the @n words the last is the physical CPU: KVM_CAP_LAST_CPU. */
static int internal_error(struct vcpu *vcpu, u32 suberror, const u64 *data, unsigned int n)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	memset(&run->internal, 0, sizeof(run->internal));
	run->internal.suberror = suberror;
	run->internal.ndata = n;
	memcpy(run->internal.data, data, n * sizeof(*data));
	return VMM_USER;
}

/* An exit that the delivery of an event cannot go on from. */
static int delivery_error(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;
	const u64 data[] = { e->vectored.vector, e->hw_reason, e->info1, e->info2, vcpu->cpu };

	return internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV, data, ARRAY_SIZE(data));
}

/* A page that must be waited for: the guest does something else meanwhile, if it can. */
static int fault_in(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;
	u32 nowait = pv_apf_wanted(vcpu) ? TDP_ACCESS_NOWAIT : 0;
	int r = tdp_fault(vcpu, e->tdp.gpa, e->tdp.access | nowait);

	if (r != TDP_WAIT)
		return r;
	if (pv_apf_begin(vcpu, e->tdp.gpa, e->tdp.access & TDP_ACCESS_WRITE))
		return TDP_RETRY;
	return tdp_fault(vcpu, e->tdp.gpa, e->tdp.access);
}

static int handle_tdp_fault(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;
	int r;

	r = fault_in(vcpu);
	trace_vmm_page_fault(vcpu->id, e->tdp.gpa, e->tdp.access, r);
	switch (r) {
	case TDP_RETRY:
		return VMM_RESUME;
	case TDP_MMIO:
	case TDP_MMIO_WRITE:
		vcpu->stats.pf_emulate++;
		/* The access was an event's delivery, not the instruction's at RIP. */
		if (e->vectored.type != EVENT_NONE)
			return delivery_error(vcpu);
		return mmio_exit(vcpu);
	default:
		return memory_error(vcpu, r);
	}
}

/*
 * #AC is the guest's own where it asked for alignment checks (SDM 6.15);
 * elsewhere the host's split-lock detection caught it.
 */
static bool host_split_lock(struct vcpu *vcpu)
{
	return boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) &&
	       !(vcpu_cpl(vcpu) == 3 && (vcpu_cr0(vcpu) & X86_CR0_AM) &&
		 (vcpu_rflags(vcpu) & X86_EFLAGS_AC));
}

static int handle_split_lock(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (compat_guest_split_lock(vcpu_rip(vcpu)))
		return VMM_RESUME;
	run->exit_reason = KVM_EXIT_EXCEPTION;
	run->ex.exception = X86_TRAP_AC;
	run->ex.error_code = vcpu->exit.ex.error;
	return VMM_USER;
}

/* In SMM it may be RSM. */
static int handle_ud(struct vcpu *vcpu)
{
	if (unlikely(vcpu->smm.active))
		return emulate_undefined(vcpu);
	queue_exception(vcpu, X86_TRAP_UD);
	return VMM_RESUME;
}

static int handle_exception(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;

	switch (e->ex.vector) {
	case X86_TRAP_DB:
		return debug_handle_db(vcpu);
	case X86_TRAP_BP:
		return debug_handle_bp(vcpu);
	case X86_TRAP_UD:
		if (unlikely(fep_flags()) && fep_prefix(vcpu))
			return fep_emulate(vcpu);
		return pv_fix_hypercall(vcpu) ? VMM_RESUME : emulate_undefined(vcpu);
	case X86_TRAP_MC:
		return VMM_RESUME;	/* the host's; its handler has run */
	case X86_TRAP_AC:
		if (host_split_lock(vcpu))
			return handle_split_lock(vcpu);
		fallthrough;
	default:
		if (e->ex.has_error)
			queue_exception_error(vcpu, e->ex.vector, e->ex.error);
		else
			queue_exception(vcpu, e->ex.vector);
		return VMM_RESUME;
	}
}

static int handle_irq_window(struct vcpu *vcpu)
{
	vcpu->stats.irq_window_exits++;
	vcpu_request(vcpu, REQ_EVENT);
	return VMM_RESUME;
}

static int handle_nmi_window(struct vcpu *vcpu)
{
	vcpu->stats.nmi_window_exits++;
	vcpu_request(vcpu, REQ_EVENT);
	return VMM_RESUME;
}

static int handle_triple_fault(struct vcpu *vcpu)
{
	u32 mp_state = vcpu->mp_state;

	/* As KVM does where nothing else is left of the guest's state. */
	if (vendor_caps.shutdown_loses_state) {
		vcpu_reset(vcpu, true);
		vcpu->mp_state = mp_state;
	}
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return VMM_USER;
}

static int handle_task_switch(struct vcpu *vcpu)
{
	int r = emulate_task_switch(vcpu);

	/* No data: the first word would be KVM_INTERNAL_ERROR_EMULATION_FLAG_*. */
	return r == VMM_RESUME ? r :
	       internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION, NULL, 0);
}

static int handle_invlpg(struct vcpu *vcpu)
{
	vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	return skip(vcpu);
}

static int handle_xsetbv(struct vcpu *vcpu)
{
	u64 val = (u32)vcpu_gpr(vcpu, GPR_RAX) | vcpu_gpr(vcpu, GPR_RDX) << 32;

	if (vcpu_cpl(vcpu) || (u32)vcpu_gpr(vcpu, GPR_RCX) || vcpu_set_xcr0(vcpu, val)) {
		queue_gp(vcpu);
		return VMM_RESUME;
	}
	return skip(vcpu);
}

/* No counters are offered, so every index is invalid. */
static int handle_rdpmc(struct vcpu *vcpu)
{
	queue_gp(vcpu);
	return VMM_RESUME;
}

/* Nothing to wait for; whether it exists at all, by KVM's quirks, is seldom asked. */
static int handle_mwait(struct vcpu *vcpu)
{
	bool exists;

	if (vm_quirk(vcpu->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS))
		return skip(vcpu);
	if (vm_quirk(vcpu->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
		exists = guest_cpuid_has(vcpu, X86_FEATURE_MWAIT);
	else
		exists = vcpu->msrs->misc_enable & MSR_IA32_MISC_ENABLE_MWAIT;
	return exists ? skip(vcpu) : handle_ud(vcpu);
}

static int handle_pause(struct vcpu *vcpu)
{
	vendor_call(pause_window, vcpu, true);
	yield_on_spin(vcpu);
	return skip(vcpu);
}

/* A VM of one has nobody to yield to. Asked once: another may come, and a stay must not sleep. */
static bool fast_pause(struct vcpu *vcpu)
{
	if (atomic_read(&vcpu->vm->nr_vcpus) != 1)
		return false;
	vendor_call(pause_window, vcpu, true);
	return skip(vcpu);
}

static int handle_cr8(struct vcpu *vcpu)
{
	if (vcpu->lapic)
		return VMM_RESUME;
	vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
	return VMM_USER;
}

static int handle_preempt_timer(struct vcpu *vcpu)
{
	vcpu->stats.preempt_exits++;
	if (vcpu->lapic)
		lapic_timer_hw_expired(vcpu);
	return VMM_RESUME;
}

static int handle_fail_entry(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	memset(&run->fail_entry, 0, sizeof(run->fail_entry));
	run->fail_entry.hardware_entry_failure_reason = vcpu->exit.hw_reason;
	run->fail_entry.cpu = vcpu->cpu;
	return VMM_USER;
}

static int handle_unknown(struct vcpu *vcpu)
{
	const u64 data[] = { vcpu->exit.hw_reason, vcpu->cpu };

	return internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, data,
			      ARRAY_SIZE(data));
}

static int handle_broken(struct vcpu *vcpu)
{
	return -EIO;
}

static int (* const handlers[NR_EXIT_KINDS])(struct vcpu *vcpu) = {
	[EXIT_NONE] = resume,
	[EXIT_CPUID] = handle_cpuid,
	[EXIT_HLT] = handle_hlt,
	[EXIT_IO] = handle_io,
	[EXIT_RDMSR] = handle_rdmsr,
	[EXIT_WRMSR] = handle_wrmsr,
	[EXIT_CR] = handle_cr,
	[EXIT_DR] = handle_dr,
	[EXIT_TDP_FAULT] = handle_tdp_fault,
	[EXIT_HYPERCALL] = pv_handle_hypercall,
	[EXIT_EXCEPTION] = handle_exception,
	[EXIT_NMI] = resume,
	[EXIT_EXTINT] = resume,
	[EXIT_IRQ_WINDOW] = handle_irq_window,
	[EXIT_NMI_WINDOW] = handle_nmi_window,
	[EXIT_TRIPLE_FAULT] = handle_triple_fault,
	[EXIT_TASK_SWITCH] = handle_task_switch,
	[EXIT_INVLPG] = handle_invlpg,
	[EXIT_WBINVD] = skip,
	[EXIT_XSETBV] = handle_xsetbv,
	[EXIT_RDPMC] = handle_rdpmc,
	[EXIT_MONITOR] = handle_mwait,
	[EXIT_MWAIT] = handle_mwait,
	[EXIT_PAUSE] = handle_pause,
	[EXIT_UD] = handle_ud,
	[EXIT_CR8] = handle_cr8,
	[EXIT_PREEMPT_TIMER] = handle_preempt_timer,
	[EXIT_FAIL_ENTRY] = handle_fail_entry,
	[EXIT_UNKNOWN] = handle_unknown,
	[EXIT_BROKEN] = handle_broken,
};

/* An EOI that a split irqchip's IOAPIC in user space waits for. */
static int finish_eoi(struct vcpu *vcpu, int r)
{
	int vector;

	if (r != VMM_RESUME || vcpu->vm->irq.mode != IRQCHIP_SPLIT)
		return r;
	vector = lapic_take_eoi_exit(vcpu);
	if (vector < 0)
		return r;
	vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
	vcpu->run->eoi.vector = vector;
	return VMM_USER;
}

int vcpu_handle_exit(struct vcpu *vcpu)
{
	u16 kind = vcpu->exit.kind;

	if (VM_BROKEN(kind >= NR_EXIT_KINDS, vcpu->vm))
		return -EIO;
	return finish_eoi(vcpu, handlers[kind](vcpu));
}

/*
 * The exit is finished, the stay must end all the same: for a single step over an
 * emulated instruction and a split irqchip's EOI, which go to user space; vapic.c.
 */
static bool needs_end(struct vcpu *vcpu)
{
	return (vcpu->debug_exit | vcpu->vapic) ||
	       (vcpu->vm->irq.mode == IRQCHIP_SPLIT && vcpu->lapic->eoi_exit >= 0);
}

/* RIP can be moved behind the instruction inside a stay, too. */
static bool can_skip(struct vcpu *vcpu)
{
	return vcpu->exit.insn_len || emulation_usual_len(vcpu);
}

static bool tdp_fault_fast_exit(struct vcpu *vcpu)
{
	struct vmm_exit *e = &vcpu->exit;
	int r = tdp_fault_atomic(vcpu, e->tdp.gpa, e->tdp.access);

	if (r == TDP_MMIO)
		return mmio_fast_exit(vcpu);
	if (r != TDP_RETRY)
		return false;
	trace_vmm_page_fault(vcpu->id, e->tdp.gpa, e->tdp.access, r);
	return true;
}

/*
 * Exits that are finished in place, inside the stay. A handler here must not sleep,
 * nor wait for guest memory that is not at hand.
 */
bool vcpu_fast_exit(struct vcpu *vcpu)
{
	bool done;

	switch (vcpu->exit.kind) {
	case EXIT_NONE:
	case EXIT_NMI:
		done = true;
		break;
	case EXIT_EXTINT:
		vcpu->stats.irq_exits++;
		done = true;
		break;
	case EXIT_CPUID:
		done = can_skip(vcpu) && handle_cpuid(vcpu);
		break;
	case EXIT_IO:
		done = !vcpu->exit.io.string && vcpu->exit.insn_len &&
		       emulate_pio_fast(vcpu, vcpu->exit.io.port, vcpu->exit.io.size,
					vcpu->exit.io.in);
		break;
	case EXIT_RDMSR:
		done = can_skip(vcpu) && msr_fast_exit(vcpu, false);
		break;
	case EXIT_WRMSR:
		done = can_skip(vcpu) && msr_fast_exit(vcpu, true);
		break;
	case EXIT_HYPERCALL:
		done = can_skip(vcpu) && pv_fast_hypercall(vcpu);
		break;
	case EXIT_PAUSE:
		done = can_skip(vcpu) && fast_pause(vcpu);
		break;
	case EXIT_TDP_FAULT:
		done = tdp_fault_fast_exit(vcpu);
		break;
	case EXIT_IRQ_WINDOW:
		/* Else user space may have asked for it: run.c. */
		done = vcpu->vm->irq.mode == IRQCHIP_KERNEL && handle_irq_window(vcpu);
		break;
	case EXIT_NMI_WINDOW:
		done = handle_nmi_window(vcpu);
		break;
	case EXIT_PREEMPT_TIMER:
		done = handle_preempt_timer(vcpu);
		break;
	case EXIT_CR8:
		done = vcpu->lapic;
		break;
	default:
		return false;
	}
	vcpu->stats.fast_exits += done;
	if (likely(!done || !needs_end(vcpu)))
		return done;
	/* Of a host interrupt there is nothing left to do, and it is to be seen: guest_state.h. */
	if (vcpu->exit.kind != EXIT_EXTINT)
		vcpu->exit.kind = EXIT_NONE;
	return false;
}
