/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one door to the kernel: every difference between the kernels we build
 * for (6.1, 6.12, 7.2) is settled here, and nowhere else is LINUX_VERSION_CODE
 * looked at. compat.c lists the imported kernel symbols that need a word.
 */
#ifndef VMM_COMPAT_H
#define VMM_COMPAT_H

#include <linux/cc_platform.h>
#include <linux/context_tracking.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/ftrace.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>
#include <linux/version.h>
#include <linux/vtime.h>
#include <linux/workqueue.h>
#include <asm/cpu.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/perf_event.h>

/* Exclusive upper bounds of what was looked at; older than 6.1 is refused. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vmm needs Linux 6.1 or later"
#endif

/* A stay locks chips and stops timers with interrupts off; on such kernels those locks sleep. */
#ifdef CONFIG_PREEMPT_RT
#error "vmm does not run on PREEMPT_RT kernels"
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#include <asm/gsseg.h>		/* load_gs_index(), where the kernel has no PARAVIRT_XXL */
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#include <trace/events/ipi.h>	/* smp_send_reschedule() is a macro over it */
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#include <asm/cpuid/api.h>
#else
#include <asm/processor.h>	/* cpuid() and its kin */
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
#define vmm_rdmsr(msr, val)		rdmsrq(msr, val)
#define vmm_wrmsr(msr, val)		wrmsrq(msr, val)
#define vmm_rdmsr_safe(msr, p)		rdmsrq_safe(msr, p)
#define vmm_wrmsr_safe(msr, val)	wrmsrq_safe(msr, val)
#else
#define vmm_rdmsr(msr, val)		rdmsrl(msr, val)
#define vmm_wrmsr(msr, val)		wrmsrl(msr, val)
#define vmm_rdmsr_safe(msr, p)		rdmsrl_safe(msr, p)
#define vmm_wrmsr_safe(msr, val)	wrmsrl_safe(msr, val)
#endif

static inline void vmm_hrtimer_setup(struct hrtimer *timer,
				     enum hrtimer_restart (*fn)(struct hrtimer *),
				     clockid_t clock, enum hrtimer_mode mode)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
	hrtimer_setup(timer, fn, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = fn;
#endif
}

static inline void vmm_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/*
 * Where among the steps of CPU hotplug virtualization goes on and off. Before 6.3 the
 * kernel's own place for hypervisors is one whose calls must not fail.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#define VMM_CPUHP_STATE	CPUHP_AP_KVM_ONLINE
#else
#define VMM_CPUHP_STATE	CPUHP_AP_ONLINE_DYN
#endif

/* The member was renamed for the kernel's own use (not for user space). */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define VMM_IMMEDIATE_EXIT	immediate_exit__unsafe
#else
#define VMM_IMMEDIATE_EXIT	immediate_exit
#endif

/* Before 6.4 the flags of KVM_EXIT_HYPERCALL were one number and padding. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define vmm_set_hypercall_flags(run, val)	((run)->hypercall.flags = (val))
#else
#define vmm_set_hypercall_flags(run, val)	((run)->hypercall.longmode = (val))
#endif

/* One reading of the host's clocksource, and CLOCK_REALTIME at that moment. */
static inline void compat_clock_snapshot(u64 *cycles, u64 *real_ns)
{
	struct system_time_snapshot snap;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
	ktime_get_snapshot_id(CLOCK_REALTIME, &snap);
	*real_ns = ktime_to_ns(snap.systime);
#else
	ktime_get_snapshot(&snap);
	*real_ns = ktime_to_ns(snap.real);
#endif
	*cycles = snap.cycles;
}

/* Somebody else is to have this CPU, if only at the next chance. */
static inline bool compat_need_resched(void)
{
#ifdef TIF_NEED_RESCHED_LAZY
	if (test_thread_flag(TIF_NEED_RESCHED_LAZY))
		return true;
#endif
	return need_resched();
}

/* Return type of the young callbacks of struct mmu_notifier_ops. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
typedef bool vmm_young_t;
#else
typedef int vmm_young_t;
#endif

/* A signal other than a fatal one also ends GUP (userfaultfd waits). */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define VMM_FOLL_INTERRUPTIBLE	FOLL_INTERRUPTIBLE
#else
#define VMM_FOLL_INTERRUPTIBLE	0
#endif

/*
 * Faults in a page of another process, waiting for it as long as it takes. mmap
 * lock held for reading; dropped when *@locked is 0 afterwards. Pages, or -errno.
 */
static inline long vmm_fault_in_remote(struct mm_struct *mm, unsigned long addr, bool write,
				       int *locked)
{
	unsigned int flags = write ? FOLL_WRITE : 0;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	return get_user_pages_remote(mm, addr, 1, flags, NULL, locked);
#else
	return get_user_pages_remote(mm, addr, 1, flags, NULL, NULL, locked);
#endif
}

/* What a VM_IO or VM_PFNMAP area maps at an address. */
struct vmm_pfnmap {
	unsigned long pfn;
	bool writable;
	bool cached;		/* plain write-back */
};

/*
 * mmap lock held for reading, and on return; faults the mapping in. 0, -errno,
 * or -EAGAIN when the lock was dropped meanwhile: look the area up again. compat.c.
 */
int vmm_follow_pfnmap(struct vm_area_struct *vma, unsigned long addr, bool write,
		      struct vmm_pfnmap *map);

/*
 * Power transitions: suspend and resume run on the last CPU with irqs off,
 * emergency on every CPU of a crashing or rebooting host. compat.c.
 */
int compat_power_register(int (*suspend)(void), void (*resume)(void),
			  void (*emergency)(void));
void compat_power_unregister(void);

/*
 * Signals, reschedule, task work that must be done before the guest may run.
 * compat_guest_mode_work(): irqs and preemption on; 0, or -EINTR for a signal.
 */
bool compat_guest_mode_work_pending(void);
int compat_guest_mode_work(void);

/*
 * Softirqs that wait for the stay to end: from 6.16 on the kernel's FPU
 * section, which a stay is, holds them off.
 */
static inline bool compat_softirq_pending(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	return local_softirq_pending();
#else
	return false;
#endif
}

/* CR4 with the kernel's shadow kept true; -EOPNOTSUPP where that is not possible. */
int compat_cr4_set(unsigned long bits);
void compat_cr4_clear(unsigned long bits);

/*
 * Intel PT and VMXON: where the two exclude each other (IA32_VMX_MISC bit 14)
 * perf must let go of PT before VMXON. 7.x does it in its own VMXON.
 */
static inline void compat_intel_pt_vmx(bool on)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	intel_pt_handle_vmx(on);
#endif
}

/*
 * A split lock of the guest, where the host detects them: the host's policy
 * about this thread (warn and slow down). False when it forbids them. May sleep.
 */
static inline bool compat_guest_split_lock(unsigned long rip)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	return handle_guest_split_lock(rip);
#else
	return false;
#endif
}

/*
 * Irqs off, on the CPU where a guest ran: its branches are not to steer those of its
 * launcher (VMSCAPE). The kernel has the barrier, on the way to user space.
 */
static inline void compat_guest_has_run(void)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

/* SEV-SNP is on in the host itself. */
static inline bool compat_host_snp(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	return cc_platform_has(CC_ATTR_HOST_SEV_SNP);
#else
	return false;
#endif
}

/* For work that runs on any CPU. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define vmm_unbound_wq	system_dfl_wq
#else
#define vmm_unbound_wq	system_unbound_wq
#endif

/*
 * What /sys/devices/system/cpu/vulnerabilities/itlb_multihit says of guests; it is
 * about VT-x only, which is refused on 7.x.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
extern bool itlb_multihit_kvm_mitigation;
#endif

static inline void compat_report_itlb_multihit(bool mitigated)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
	itlb_multihit_kvm_mitigation = mitigated;
#endif
}

/* What "l1tf=" says. 7.x tells none but its own KVM: the default, then. */
static inline enum l1tf_mitigations compat_l1tf(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0) && IS_ENABLED(CONFIG_KVM_INTEL)
	return l1tf_mitigation;
#else
	return cpu_mitigations_off() ? L1TF_MITIGATION_OFF : L1TF_MITIGATION_FLUSH;
#endif
}

/* Mitigations whose feature bits change their names. */
static inline bool compat_verw_on_entry(void)
{
	bool on = false;

#ifdef X86_FEATURE_CLEAR_CPU_BUF
	on |= boot_cpu_has(X86_FEATURE_CLEAR_CPU_BUF);
#endif
#ifdef X86_FEATURE_CLEAR_CPU_BUF_VM
	on |= boot_cpu_has(X86_FEATURE_CLEAR_CPU_BUF_VM);
#endif
	return on;
}

static inline bool compat_bhb_clear_on_exit(void)
{
	bool on = false;

#ifdef X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT
	on |= boot_cpu_has(X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT);
#endif
#ifdef X86_FEATURE_CLEAR_BHB_VMEXIT
	on |= boot_cpu_has(X86_FEATURE_CLEAR_BHB_VMEXIT);
#endif
	return on;
}

#endif /* VMM_COMPAT_H */
