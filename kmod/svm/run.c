// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stay on a physical CPU and the entry.
 *
 * What the host needs back is kept in three places: the CPU's own save area
 * (VM_HSAVE_PA) for what VMRUN switches, a page filled by VMSAVE once per stay
 * for segments and system-call MSRs, and by hand here: debug registers,
 * SPEC_CTRL (entry.S), TSC_AUX, the TSC ratio, DEBUGCTL, LDTR.
 */
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/spec-ctrl.h>

#include "../debug.h"
#include "../guest_state.h"
#include "svm.h"

#define DR7_ENABLED	0xff

/*
 * MSR_TSC_AUX belongs to the guest for a stay; host user space alone reads it.
 * The guest's own write to it ends the stay.
 */
static void load_tsc_aux(struct vcpu_svm *svm, struct svm_cpu *cpu)
{
	if (!svm->guest_rdtscp)
		return;
	svm->tsc_aux_loaded = true;
	svm->tsc_aux = svm->vcpu.regs.tsc_aux;
	if (svm->tsc_aux != cpu->tsc_aux)
		native_wrmsr(MSR_TSC_AUX, svm->tsc_aux, 0);
}

static void unload_tsc_aux(struct vcpu_svm *svm, struct svm_cpu *cpu)
{
	if (svm->tsc_aux_loaded && svm->tsc_aux != cpu->tsc_aux)
		vmm_wrmsr(MSR_TSC_AUX, cpu->tsc_aux);
	svm->tsc_aux_loaded = false;
}

/* The ratio acts on guests only, so it stays until another is needed. */
static void load_tsc_ratio(struct vcpu_svm *svm, struct svm_cpu *cpu)
{
	u64 ratio = svm->vcpu.tsc_ratio ?: vendor_caps.tsc_ratio_default;

	if (!svm_caps.tsc_ratio || cpu->tsc_ratio == ratio)
		return;
	vmm_wrmsr(MSR_AMD64_TSC_RATIO, ratio);
	cpu->tsc_ratio = ratio;
}

/* #UD when a reboot has switched AMD-V off; the entry will say so. */
static void save_host(struct svm_cpu *cpu)
{
	asm volatile("1: vmsave %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "a" (svm_page_pa(cpu->host)) : "memory");
}

/*
 * The host's changes with its thread and by IPIs; that the guest has one of its own, under
 * an exit that ends the stay.
 */
static void prepare_spec_ctrl(struct vcpu_svm *svm)
{
	struct svm_run *run = &svm->run;

	run->flags = 0;
	if (!svm_caps.spec_ctrl || svm_caps.virt_spec_ctrl)
		return;
	run->host_spec_ctrl = this_cpu_read(x86_spec_ctrl_current);
	run->flags = SVM_RUN_SPEC_SWITCH;
	if (svm->spec_passthrough)
		run->flags |= SVM_RUN_SPEC_READ;
}

void svm_stay_begin(struct vcpu *vcpu)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	struct vcpu_svm *svm = to_svm(vcpu);
	int nr = smp_processor_id();

	if (svm->last_cpu != nr) {
		svm->last_cpu = nr;
		svm->clean = 0;
		svm->asid_generation = 0;
	}
	/* Branches that another vCPU trained must not be predicted in this one. */
	if (cpu->last_serial != svm->serial) {
		cpu->last_serial = svm->serial;
		if (svm_caps.ibpb)
			native_wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB, 0);
	}
	svm->run.host_pa = svm_page_pa(cpu->host);
	save_host(cpu);
	load_tsc_ratio(svm, cpu);
	load_tsc_aux(svm, cpu);
}

/*
 * VMLOAD brings back the LDTR of the stay's beginning, whole, though another
 * thread's modify_ldt() may have freed that table since. The GDT has the new one.
 * (The first table of a process comes with its next switch, as under KVM.)
 */
static void reload_ldt(void)
{
	u16 sel;

	asm volatile("sldt %0" : "=r" (sel));
	if (unlikely(sel))
		asm volatile("lldt %0" : : "r" (sel));
}

void svm_stay_end(struct vcpu *vcpu)
{
	reload_ldt();
	unload_tsc_aux(to_svm(vcpu), this_cpu_ptr(&svm_cpus));
}

/*
 * Debug registers. DR6 and DR7 are switched by VMRUN (the host's DR7 is 0 after
 * #VMEXIT, its DR6 the guest's), DR0-3 are not; the guest's are loaded only
 * when a breakpoint of its is on or it may touch them without an exit.
 */
struct host_drs {
	bool active;		/* the host uses breakpoints on this CPU */
	bool loaded;		/* DR0-3 are the guest's */
	unsigned long dr[4];
};

static void read_drs(unsigned long dr[4])
{
	get_debugreg(dr[0], 0);
	get_debugreg(dr[1], 1);
	get_debugreg(dr[2], 2);
	get_debugreg(dr[3], 3);
}

static void write_drs(const unsigned long dr[4])
{
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

static void load_guest_drs(struct vcpu_svm *svm, struct host_drs *host)
{
	struct vmcb_save *s = &svm->vmcb->save;
	unsigned long dr[4];
	int i;

	host->active = hw_breakpoint_active();
	host->loaded = svm->dr_live || (s->dr7 & DR7_ENABLED);
	/* While it cannot be read, DR6 only collects the reasons of a #DB. */
	if (svm->dr_live || s->dr6 != DR6_INIT) {
		s->dr6 = svm->dr_live ? svm->vcpu.regs.dr6 : DR6_INIT;
		vmcb_dirty(svm, CLEAN_DR);
	}
	if (!host->loaded)
		return;
	if (host->active) {
		set_debugreg(0, 7);
		read_drs(host->dr);
	}
	for (i = 0; i < 4; i++)
		dr[i] = debug_effective_dr(&svm->vcpu, i);
	write_drs(dr);
}

static void unload_guest_drs(struct vcpu_svm *svm, const struct host_drs *host)
{
	struct vmcb_save *s = &svm->vmcb->save;
	struct vcpu_regs *r = &svm->vcpu.regs;
	unsigned long dr[4];
	int i;

	if (svm->dr_live) {
		read_drs(dr);
		for (i = 0; i < 4; i++)
			r->dr[i] = dr[i];
		r->dr6 = s->dr6;
		r->dr7 = s->dr7;
		svm->dr_live = false;
		svm_recalc_intercepts(svm);
	}
	if (!host->active)
		return;
	if (host->loaded)
		write_drs(host->dr);
	set_debugreg(__this_cpu_read(cpu_dr7), 7);
}

/*
 * Without LBR virtualization DEBUGCTL is not switched, and what the host traps
 * with it (bus locks, branches that a debugger steps) would be #DB in the guest.
 */
static u64 suspend_debugctl(void)
{
	u64 val;

	if (likely(!svm_caps.bus_lock_detect && !test_thread_flag(TIF_BLOCKSTEP)))
		return 0;
	val = get_debugctlmsr();
	if (val)
		update_debugctlmsr(0);
	return val;
}

/* RCU and lockdep see the guest as user space: nothing in between may be traced. */
static noinstr int cross(struct vcpu_svm *svm)
{
	int ret;

	vmm_guest_state_enter(svm->vcpu.exit.kind == EXIT_EXTINT);
	/* What the host divided last is not the guest's to speculate with. */
	amd_clear_divider();
	ret = svm_enter_guest(&svm->run);
	vmm_guest_state_exit();
	return ret;
}

/* From here on the VMCB is what the CPU knows, but for what is changed in it. */
static int cross_and_back(struct vcpu_svm *svm)
{
	int ret;

	svm->vmcb->control.clean = svm->clean;
	ret = cross(svm);
	svm->clean = svm_caps.clean_after_exit;
	if (unlikely(svm->vmcb->save.dr6 != DR6_INIT))
		set_debugreg(DR6_INIT, 6);
	return ret;
}

static noinline int cross_with_drs(struct vcpu_svm *svm)
{
	struct host_drs host;
	int ret;

	load_guest_drs(svm, &host);
	ret = cross_and_back(svm);
	unload_guest_drs(svm, &host);
	return ret;
}

/* Neither the guest nor the host has anything in its debug registers. */
static bool drs_at_rest(const struct vcpu_svm *svm)
{
	const struct vmcb_save *s = &svm->vmcb->save;

	return !svm->dr_live && !(s->dr7 & DR7_ENABLED) && s->dr6 == DR6_INIT &&
	       !hw_breakpoint_active();
}

static void before_entry(struct vcpu_svm *svm, struct svm_cpu *cpu)
{
	struct vmcb_control *c = &svm->vmcb->control;

	svm_flush_regs(svm);
	if (unlikely(svm->vcpu.irqs_taken)) {
		svm->vcpu.irqs_taken = false;
		prepare_spec_ctrl(svm);
	}
	if (unlikely(svm->windows & WINDOW_NMI))
		svm_begin_step(svm);
	c->tlb_ctl = TLBCTL_NONE;
	if (unlikely(svm->flush || svm->asid_generation != cpu->generation))
		svm_prepare_asid(svm, cpu);
}

static void after_exit(struct vcpu_svm *svm)
{
	u8 tpr = svm->vmcb->control.int_ctl & INTCTL_TPR;

	svm_decode_exit(svm);
	svm_regs_after_exit(svm);
	if (unlikely(tpr != svm->tpr)) {
		svm->tpr = tpr;
		vcpu_set_cr8(&svm->vcpu, tpr);
	}
}

void svm_enter(struct vcpu *vcpu)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	u64 debugctl;
	int broken;

	before_entry(svm, this_cpu_ptr(&svm_cpus));
	debugctl = suspend_debugctl();
	broken = likely(drs_at_rest(svm)) ? cross_and_back(svm) : cross_with_drs(svm);
	if (unlikely(debugctl))
		update_debugctlmsr(debugctl);
	if (unlikely(broken))
		vcpu->exit = (struct vmm_exit){ .kind = EXIT_BROKEN };
	else
		after_exit(svm);
}
