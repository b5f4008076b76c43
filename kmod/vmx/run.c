// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stay and the entry: which VMCS is where, host state, and the way in.
 *
 * A VMCS is *active* on at most one CPU, from VMPTRLD to VMCLEAR (SDM 25.11.1);
 * vmx->active_cpu names it, and the CPU has it in active_list. One of those is
 * *current*. active_cpu, VMX_RUN_RESUME and the list change with irqs off on the
 * CPU they belong to: by the vCPU's thread, by an IPI from the CPU that the
 * vCPU moved to, or when the CPU goes down. Inside a stay the vCPU's VMCS
 * stays current, as nobody else loads one with preemption off.
 */
#include <linux/cpu.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <asm/cpu_entry_area.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>

#include "../guest_state.h"
#include "vmx.h"

static DEFINE_PER_CPU(struct list_head, active_list);
static DEFINE_PER_CPU(struct vcpu_vmx *, current_vmx);
/* clear_for_dead_cpu() and the return of that CPU */
static DEFINE_RAW_SPINLOCK(leftovers_lock);

static_assert(offsetof(struct vmx_run, host_rsp) == VMX_RUN_HOST_RSP);
static_assert(offsetof(struct vmx_run, guest_spec_ctrl) == VMX_RUN_GUEST_SPEC);
static_assert(offsetof(struct vmx_run, host_spec_ctrl) == VMX_RUN_HOST_SPEC);
static_assert(offsetof(struct vmx_run, flags) == VMX_RUN_FLAGS);

void vmx_insn_failed(const char *insn, unsigned long arg)
{
	WARN_ONCE(1, "%s of %lx failed\n", insn, arg);
}

/* ---- which VMCS is where ------------------------------------------------ */

/* Irqs off, on the CPU where it is active. */
static void clear_here(struct vcpu_vmx *vmx)
{
	if (vmx->active_cpu != smp_processor_id())
		return;
	vmx_vmclear(__pa(vmx->vmcs));
	if (__this_cpu_read(current_vmx) == vmx)
		__this_cpu_write(current_vmx, NULL);
	list_del(&vmx->active_link);
	vmx->run.flags &= ~BIT(VMX_RUN_RESUME);
	/* Whoever sees -1 may load it elsewhere: all of the above is done. */
	smp_store_release(&vmx->active_cpu, -1);
}

/* A CPU that has just come back may be in clear_for_dead_cpu()'s hands still. */
static void clear_by_ipi(void *data)
{
	raw_spin_lock(&leftovers_lock);
	clear_here(data);
	raw_spin_unlock(&leftovers_lock);
}

/*
 * A CPU that goes down clears what is active there. Kernels before 6.3 can run a thread on
 * it even after that, whose VMCS was then never active but is in the list all the same:
 * until the CPU is back, it is for us to take it out.
 */
static void clear_for_dead_cpu(struct vcpu_vmx *vmx, int cpu)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&leftovers_lock, flags);
	if (vmx->active_cpu == cpu) {
		list_del(&vmx->active_link);
		cmpxchg(per_cpu_ptr(&current_vmx, cpu), vmx, NULL);
		vmx->run.flags &= ~BIT(VMX_RUN_RESUME);
		/* As in clear_here(). */
		smp_store_release(&vmx->active_cpu, -1);
	}
	raw_spin_unlock_irqrestore(&leftovers_lock, flags);
}

/* Nobody else may be loading it: the vCPU's thread, or its end. */
void vmx_vmcs_clear(struct vcpu_vmx *vmx)
{
	int cpu = READ_ONCE(vmx->active_cpu);

	if (cpu < 0)
		return;
	if (smp_call_function_single(cpu, clear_by_ipi, vmx, 1))
		clear_for_dead_cpu(vmx, cpu);
}

/* Also in NMI context of a crash: a half-done list_add() still walks well. */
void vmx_clear_this_cpu(void)
{
	struct list_head *list = this_cpu_ptr(&active_list);
	struct vcpu_vmx *vmx, *next;

	if (!list->next)
		return;
	list_for_each_entry_safe(vmx, next, list, active_link)
		clear_here(vmx);
}

void vmx_clear_leftovers(void)
{
	raw_spin_lock(&leftovers_lock);
	vmx_clear_this_cpu();
	raw_spin_unlock(&leftovers_lock);
}

static void activate(struct vcpu_vmx *vmx, int cpu)
{
	struct list_head *list = this_cpu_ptr(&active_list);
	unsigned long flags;

	vmx_vmcs_clear(vmx);
	local_irq_save(flags);
	if (!list->next)
		INIT_LIST_HEAD(list);
	/* SDM 25.11.3: a new VMCS is cleared before its first load. */
	vmx_vmclear(__pa(vmx->vmcs));
	vmx->run.flags &= ~BIT(VMX_RUN_RESUME);
	list_add(&vmx->active_link, list);
	vmx->active_cpu = cpu;
	vmx_vmptrld(__pa(vmx->vmcs));
	__this_cpu_write(current_vmx, vmx);
	local_irq_restore(flags);
}

void vmx_vmcs_load(struct vcpu_vmx *vmx)
{
	int cpu = smp_processor_id();

	if (unlikely(READ_ONCE(vmx->active_cpu) != cpu)) {
		activate(vmx, cpu);
	} else if (__this_cpu_read(current_vmx) != vmx) {
		vmx_vmptrld(__pa(vmx->vmcs));
		__this_cpu_write(current_vmx, vmx);
	}
}

/* ---- MSRs switched by a stay -------------------------------------------- */

/*
 * The kernel itself does not use them between a system call's entry and its
 * exit, so the guest's values may stay through interrupts.
 */
static const struct {
	u32 msr;
	u16 offset;		/* in struct vcpu_regs */
} switched_msrs[] = {
	{ MSR_STAR, offsetof(struct vcpu_regs, star) },
	{ MSR_LSTAR, offsetof(struct vcpu_regs, lstar) },
	{ MSR_SYSCALL_MASK, offsetof(struct vcpu_regs, fmask) },
	{ MSR_TSC_AUX, offsetof(struct vcpu_regs, tsc_aux) },
};

/* Those before it are SYSCALL's, and cannot be read without an exit. */
#define SWITCHED_TSC_AUX	3

static DEFINE_PER_CPU(u64 [ARRAY_SIZE(switched_msrs)], host_msrs);

static bool msr_exists(int i)
{
	return switched_msrs[i].msr != MSR_TSC_AUX ||
	       boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
}

void vmx_read_host_msrs(void)
{
	u64 *host = *this_cpu_ptr(&host_msrs);
	int i;

	for (i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		if (msr_exists(i))
			vmm_rdmsr(switched_msrs[i].msr, host[i]);
}

static void load_switched_msrs(struct vcpu_vmx *vmx)
{
	const u64 *host = *this_cpu_ptr(&host_msrs);
	struct vcpu_regs *r = &vmx->vcpu.regs;
	u64 val;
	int i;

	vmx->syscall_loaded = r->efer & EFER_SCE;
	for (i = vmx->syscall_loaded ? 0 : SWITCHED_TSC_AUX; i < ARRAY_SIZE(switched_msrs); i++) {
		val = *(u64 *)((char *)r + switched_msrs[i].offset);
		if (val == host[i] && !(vmx->loaded_msrs & BIT(i)))
			continue;
		if (!msr_exists(i))
			continue;
		vmm_wrmsr(switched_msrs[i].msr, val);
		vmx->loaded_msrs |= BIT(i);
	}
}

void vmx_load_guest_msrs(struct vcpu_vmx *vmx)
{
	if (!vmx->in_stay)
		return;
	vmm_wrmsr(MSR_KERNEL_GS_BASE, vmx->vcpu.regs.kernel_gs_base);
	load_switched_msrs(vmx);
}

/* EFER may have got SCE. */
void vmx_load_syscall_msrs(struct vcpu_vmx *vmx)
{
	if (vmx->in_stay && !vmx->syscall_loaded && (vmx->vcpu.regs.efer & EFER_SCE))
		load_switched_msrs(vmx);
}

static void restore_host_msrs(struct vcpu_vmx *vmx)
{
	const u64 *host = *this_cpu_ptr(&host_msrs);
	struct vcpu_regs *r = &vmx->vcpu.regs;
	int i;

	/* A value that waits to be flushed is newer than the register's. */
	if (!(r->dirty & BIT(RG_SYSENTER)))
		vmm_rdmsr(MSR_KERNEL_GS_BASE, r->kernel_gs_base);
	for (i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		if (vmx->loaded_msrs & BIT(i))
			vmm_wrmsr(switched_msrs[i].msr, host[i]);
	vmx->loaded_msrs = 0;
}

/* ---- the stay ----------------------------------------------------------- */

/* HOST_* fields that differ between CPUs. */
static void load_host_cpu_fields(struct vcpu_vmx *vmx, int cpu)
{
	u64 val;

	if (vmx->host.cpu == cpu)
		return;
	vmx->host.cpu = cpu;
	vmcs_writel(HOST_TR_BASE, (unsigned long)&get_cpu_entry_area(cpu)->tss.x86_tss);
	vmcs_writel(HOST_GDTR_BASE, (unsigned long)get_current_gdt_ro());
	vmm_rdmsr(MSR_GS_BASE, val);
	vmcs_writel(HOST_GS_BASE, val);
	vmm_rdmsr(MSR_IA32_SYSENTER_ESP, val);
	vmcs_writel(HOST_IA32_SYSENTER_ESP, val);
}

/* Interrupts and NMIs see whose GS it is by its value. */
static noinstr unsigned long read_user_gs_base(void)
{
	unsigned long flags, base;

	raw_local_irq_save(flags);
	asm volatile("swapgs\n\trdgsbase %0\n\tswapgs" : "=r" (base) : : "memory");
	raw_local_irq_restore(flags);
	return base;
}

static void read_user_bases(unsigned long *fs, u64 *gs)
{
	if (boot_cpu_has(X86_FEATURE_FSGSBASE)) {
		*fs = rdfsbase();
		*gs = read_user_gs_base();
	} else {
		vmm_rdmsr(MSR_FS_BASE, *fs);
		vmm_rdmsr(MSR_KERNEL_GS_BASE, *gs);
	}
}

static u16 read_ldt_selector(void)
{
	u16 sel;

	asm volatile("sldt %0" : "=r" (sel));
	return sel;
}

/*
 * User selectors cannot go into HOST_* fields (SDM 27.2.3), so exits load
 * null ones and stay_end() puts the user's back. In the kernel only the bases
 * count, and those are right after each exit.
 */
static void save_host_segments(struct vmx_host_state *host)
{
	unsigned long fs_base;

	savesegment(fs, host->fs);
	savesegment(gs, host->gs);
	savesegment(ds, host->ds);
	savesegment(es, host->es);
	host->ldt = read_ldt_selector();
	read_user_bases(&fs_base, &host->kernel_gs_base);
	if (fs_base == host->fs_base)
		return;
	host->fs_base = fs_base;
	vmcs_writel(HOST_FS_BASE, fs_base);
}

/* Loading a selector changes the base, so the bases come last. */
static void restore_host_segments(const struct vmx_host_state *host)
{
	if (unlikely(host->ldt))
		asm volatile("lldt %0" : : "r" (host->ldt));
	if (unlikely(host->ds))
		loadsegment(ds, host->ds);
	if (unlikely(host->es))
		loadsegment(es, host->es);
	if (unlikely(host->fs)) {
		loadsegment(fs, host->fs);
		vmm_wrmsr(MSR_FS_BASE, host->fs_base);
	}
	if (unlikely(host->gs))
		load_gs_index(host->gs);
	vmm_wrmsr(MSR_KERNEL_GS_BASE, host->kernel_gs_base);
}

void vmx_stay_begin(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	int cpu = smp_processor_id();

	vmx_vmcs_load(vmx);
	load_host_cpu_fields(vmx, cpu);
	if (vmx->flushed_cpu != cpu) {
		vmx_flush_tlb(vcpu);
		vmx->flushed_cpu = cpu;
	}
	save_host_segments(&vmx->host);
	vmx->in_stay = true;
	vmx_load_guest_msrs(vmx);
	vmx_mitigate_stay(vmx);
}

/*
 * Exits leave GDTR with a limit of 64 KB, which load_fixmap_gdt() repairs, and
 * TR with one that hides the I/O bitmap (SDM 28.5.2). IDTR's limit of 64 KB is
 * harmless: no vector is beyond the table.
 */
void vmx_stay_end(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	restore_host_msrs(vmx);
	vmx->in_stay = false;
	invalidate_tss_limit();
	load_fixmap_gdt(smp_processor_id());
	restore_host_segments(&vmx->host);
}

/* ---- the entry ---------------------------------------------------------- */

/*
 * The counter runs at a power of two of the TSC's rate and is 32 bits wide
 * (SDM 26.5.1); one tick more than needed, so that it never comes early.
 */
static void load_timer(struct vcpu_vmx *vmx)
{
	u64 now, ticks = 1;

	vmx_want(vmx, VCTL_PIN, PIN_BASED_VMX_PREEMPTION_TIMER,
		 vmx->timer_deadline != U64_MAX);
	if (vmx->timer_deadline == U64_MAX)
		return;
	now = rdtsc();
	if (vmx->timer_deadline > now)
		ticks += (vmx->timer_deadline - now) >> vmx_host.timer_shift;
	vmx->timer_early = ticks > U32_MAX;
	vmcs_write32(VMX_PREEMPTION_TIMER_VALUE, min_t(u64, ticks, U32_MAX));
}

/* CR3 and CR4 of this thread on this CPU; they change with the PCID and perf. */
static void load_host_crs(struct vmx_host_state *host)
{
	unsigned long cr3 = __read_cr3();
	unsigned long cr4 = __read_cr4();

	if (unlikely(cr3 != host->cr3)) {
		vmcs_writel(HOST_CR3, cr3);
		host->cr3 = cr3;
	}
	if (unlikely(cr4 != host->cr4)) {
		vmcs_writel(HOST_CR4, cr4);
		host->cr4 = cr4;
	}
}

/*
 * What the exit clears (DEBUGCTL, DR7: SDM 28.5.1), and PEBS, which would write its
 * records through the guest's page tables. While interrupts are off NMIs change what the
 * host has in use, but do not begin to use what it has not.
 */
static void read_host_debug(struct vmx_host_state *host)
{
	host->dr7 = this_cpu_read(cpu_dr7);
	host->debugctl = get_debugctlmsr();
	host->pebs = 0;
	if (vmx_host.pebs)
		vmm_rdmsr(MSR_IA32_PEBS_ENABLE, host->pebs);
}

/* A breakpoint may come by NMI as well: kgdb's. */
static bool host_debugs(const struct vmx_host_state *host)
{
	return this_cpu_read(cpu_dr7) | host->debugctl | host->pebs;
}

static bool guest_breaks(const struct vcpu_vmx *vmx)
{
	return vmx->dr7 & 0xff;
}

static noinline void suspend_host_debug(struct vcpu_vmx *vmx)
{
	struct vmx_host_state *host = &vmx->host;

	read_host_debug(host);
	if (host->dr7 && guest_breaks(vmx)) {
		/* The guest's addresses must not be breakpoints of the host. */
		set_debugreg(0, 7);
		get_debugreg(host->dr[0], 0);
		get_debugreg(host->dr[1], 1);
		get_debugreg(host->dr[2], 2);
		get_debugreg(host->dr[3], 3);
	}
	if (host->pebs)
		vmm_wrmsr(MSR_IA32_PEBS_ENABLE, 0);
}

static noinline void resume_host_debug(struct vcpu_vmx *vmx)
{
	const struct vmx_host_state *host = &vmx->host;

	if (host->dr7) {
		if (guest_breaks(vmx)) {
			set_debugreg(host->dr[0], 0);
			set_debugreg(host->dr[1], 1);
			set_debugreg(host->dr[2], 2);
			set_debugreg(host->dr[3], 3);
		}
		set_debugreg(host->dr7, 7);
	}
	if (host->debugctl)
		update_debugctlmsr(host->debugctl);
	if (host->pebs)
		vmm_wrmsr(MSR_IA32_PEBS_ENABLE, host->pebs);
}

/* Breakpoints in force: the exit resets DR7 only, so DR0-3 may stay. */
static noinline void load_guest_drs(const struct vcpu_vmx *vmx)
{
	set_debugreg(vmx->dr[0], 0);
	set_debugreg(vmx->dr[1], 1);
	set_debugreg(vmx->dr[2], 2);
	set_debugreg(vmx->dr[3], 3);
}

/* All of the host that only its interrupts change. */
static noinline void look_at_host(struct vcpu_vmx *vmx)
{
	load_host_crs(&vmx->host);
	read_host_debug(&vmx->host);
	vmx_mitigate_entry(vmx);
}

/*
 * NMIs are blocked from an NMI exit on; the handler's IRET ends that, so the
 * handler runs before anything else may fault.
 */
static __always_inline void serve_nmi(struct vcpu_vmx *vmx)
{
	u32 mask = INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK;

	if (vmx->exit_reason != EXIT_REASON_EXCEPTION_NMI)
		return;
	vmx->intr_info = vmcs_read32(VM_EXIT_INTR_INFO);
	if ((vmx->intr_info & mask) == (INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR))
		asm volatile("int $2");
}

static noinstr int run_guest(struct vcpu_vmx *vmx)
{
	struct vcpu_regs *r = &vmx->vcpu.regs;
	int result;

	vmm_guest_state_enter(vmx->vcpu.exit.kind == EXIT_EXTINT);
	if (r->cr2 != native_read_cr2())
		native_write_cr2(r->cr2);
	result = vmx_enter_guest(&vmx->run, r->gpr);
	r->cr2 = native_read_cr2();
	if (likely(result == VMX_ENTERED)) {
		vmx->exit_reason = vmcs_read32(VM_EXIT_REASON);
		serve_nmi(vmx);
	}
	vmm_guest_state_exit();
	return result;
}

/* Groups that the guest changes without telling. */
#define VOLATILE_GROUPS							\
	(BIT(RG_RSP) | BIT(RG_RIP) | BIT(RG_RFLAGS) | BIT(RG_SEG) |	\
	 BIT(RG_DESC) | BIT(RG_CR) | BIT(RG_CR3) | BIT(RG_INTR) |	\
	 BIT(RG_SYSENTER) | BIT(RG_MODE))

/* VMfail: nothing was loaded, the guest's state is as before. */
static void entry_refused(struct vcpu_vmx *vmx, int result)
{
	struct vmm_exit *e = &vmx->vcpu.exit;

	e->vectored = (struct vmm_event){ .type = EVENT_NONE };
	vmx_cancel(&vmx->vcpu, &e->vectored);
	if (result == VMX_ENTRY_FAULTED) {
		e->kind = EXIT_BROKEN;
		return;
	}
	e->kind = EXIT_FAIL_ENTRY;
	e->hw_reason = vmcs_read32(VM_INSTRUCTION_ERROR);
}

/* After most exits RIP is all; after MMIO there is RF, which such an exit has set, to clear. */
static void flush_regs(struct vcpu_vmx *vmx)
{
	struct vcpu_regs *r = &vmx->vcpu.regs;

	if (unlikely(r->dirty & ~(BIT(RG_RIP) | BIT(RG_RFLAGS)))) {
		vmx_flush_groups(vmx);
		return;
	}
	if (r->dirty & BIT(RG_RIP))
		vmcs_writel(GUEST_RIP, r->rip);
	if (unlikely(r->dirty & BIT(RG_RFLAGS)))
		vmx_flush_rflags(vmx);
	r->dirty = 0;
}

/* Whether the host's debugging is suspended. */
static bool before_entry(struct vcpu_vmx *vmx)
{
	bool suspend;

	flush_regs(vmx);
	load_timer(vmx);
	if (unlikely(vmx->controls_changed))
		vmx_sync_controls(vmx);
	if (unlikely(vmx->pending))
		vmx_do_flushes(vmx);
	if (unlikely(vmx->vcpu.irqs_taken))
		look_at_host(vmx);
	suspend = host_debugs(&vmx->host);
	if (unlikely(suspend))
		suspend_host_debug(vmx);
	if (unlikely(guest_breaks(vmx)))
		load_guest_drs(vmx);
	return suspend;
}

static void after_exit(struct vcpu_vmx *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u8 tpr = vmx->vapic[VAPIC_TPR] >> 4;

	if (unlikely(vmx->have[VCTL_CPU2] & SECONDARY_EXEC_ENABLE_PML))
		vmx_pml_drain(vmx);
	vcpu->regs.avail &= ~VOLATILE_GROUPS;
	vmx_decode_exit(vmx);
	if (unlikely(tpr != vmx->tpr) && (vmx->want[VCTL_CPU] & CPU_BASED_TPR_SHADOW)) {
		vmx->tpr = tpr;
		vcpu_set_cr8(vcpu, tpr);
	}
}

void vmx_enter(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	bool suspended = before_entry(vmx);
	int result = run_guest(vmx);

	if (unlikely(suspended))
		resume_host_debug(vmx);
	if (vmx->spec_passthrough)
		vcpu->regs.spec_ctrl = vmx->run.guest_spec_ctrl;
	vcpu->exit.insn_len = 0;
	vcpu->exit.nr_insn_bytes = 0;
	vcpu->exit.info1 = 0;
	vcpu->exit.info2 = 0;
	if (likely(result == VMX_ENTERED))
		after_exit(vmx);
	else
		entry_refused(vmx, result);
}
