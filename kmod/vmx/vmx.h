/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VT-x backend. caps.c negotiates once per load what the CPUs offer;
 * vendor.c has lifetime, registers and MSRs; run.c the stay, the entry and
 * which VMCS is where; exit.c, inject.c and tdp.c what their names say.
 *
 * Section numbers are of Intel's SDM volume 3, edition 2024.
 */
#ifndef VMM_VMX_VMX_H
#define VMM_VMX_VMX_H

#include <linux/list.h>

#include "../regs_access.h"
#include "../vendor.h"
#include "entry.h"
#include "vmcs.h"

/* Control words of a VMCS that are cached and compared. */
enum vmx_ctl {
	VCTL_PIN, VCTL_CPU, VCTL_CPU2, VCTL_EXIT, VCTL_ENTRY,
	NR_NEGOTIATED,
	VCTL_EXCEPTIONS = NR_NEGOTIATED,
	NR_CTLS
};

/* What all CPUs of this host offer; constant after setup. */
struct vmx_caps {
	u32 revision;			/* VMCS revision identifier */
	u32 allowed[NR_NEGOTIATED];	/* bits we know that may be 1 */
	u32 base[NR_NEGOTIATED];	/* bits that are always 1 */
	u64 ept_vpid;			/* IA32_VMX_EPT_VPID_CAP */
	u64 misc;			/* IA32_VMX_MISC */
};

/* Settings of the host, apart from what must be equal on all CPUs. */
struct vmx_host_caps {
	bool vpid;
	bool ept_ad;
	bool tpr_shadow;
	bool timer;
	u8 timer_shift;			/* preemption timer ticks per TSC, log2 */
	bool spec_ctrl;			/* the host has MSR_IA32_SPEC_CTRL */
	bool spec_always;		/* legacy IBRS: write it at each exit */
	bool ibpb;
	bool l1d_flush, l1d_always;
	bool l1d_flush_msr;
	bool verw;
	bool bhb;
	bool pebs;
};

extern struct vmx_caps vmx_caps;
extern struct vmx_host_caps vmx_host;

/* Things of vmx->pending: done at the next entry. */
#define VMX_PEND_EPTP		BIT(0)
#define VMX_PEND_TSC		BIT(1)
#define VMX_PEND_FLUSH_EPT	BIT(2)
#define VMX_PEND_FLUSH_LINEAR	BIT(3)
#define VMX_PEND_PLE		BIT(4)

#define VAPIC_TPR	0x80

/* Host state around a stay. Selectors 0 need no restoring. */
struct vmx_host_state {
	int cpu;			/* whose per-CPU fields are in the VMCS, -1 */
	unsigned long cr3, cr4;		/* in the VMCS */
	unsigned long fs_base;
	u64 kernel_gs_base;
	/* Its debugging and tracing, which the entry would disturb: run.c. */
	unsigned long dr7, dr[4];
	u64 debugctl, pebs;
	u16 fs, gs, ldt, ds, es;
};

struct vcpu_vmx {
	struct vcpu vcpu;		/* first */

	struct vmcs_region *vmcs;		/* (c) one page each */
	unsigned long *msr_bitmap;	/* (c) */
	u8 *vapic;			/* (c) virtual-APIC page: only VAPIC_TPR is used */
	u64 *pml;			/* (c) page of addresses written, NULL without PML */
	u16 vpid;			/* (c) 0: none */
	u64 serial;			/* (c) never used again, unlike the pointer */

	/* run.c; active_* change with irqs off on the CPU they name */
	int active_cpu;			/* where the VMCS is active, -1 nowhere */
	struct list_head active_link;
	int flushed_cpu;		/* whose TLB knows this vCPU, -1 none */
	bool in_stay;
	struct vmx_host_state host;
	struct vmx_run run;

	u32 want[NR_CTLS], have[NR_CTLS];
	bool controls_changed;		/* else the two are equal */
	u32 pending;			/* VMX_PEND_* */
	u64 eptp;
	u64 cr0_owned, cr4_owned;	/* bits the guest changes without exit */
	u32 tpr_threshold;
	u8 tpr;				/* what common code knows of the virtual TPR */
	u32 ple_window;			/* ticks of a PAUSE loop before it exits */

	/* The exit; the rest is in vcpu->exit. */
	u32 exit_reason;
	u32 intr_info;
	u32 idt_info;
	u32 interruptibility;		/* last known; valid with RG_INTR */

	struct vmm_event event;		/* in the VMCS for the next entry */
	u64 timer_deadline;		/* host TSC, U64_MAX: not armed */
	bool timer_early;		/* the hardware's counter is too short */
	bool spec_passthrough;
	bool l1d_dirty;			/* a flush is due */
	unsigned long switches;		/* of the thread, when the last stay began */
	u32 loaded_msrs;		/* of switched_msrs[]: hold the guest's value */
	bool syscall_loaded;		/* SYSCALL's among them were looked at */
	u64 dr[4], dr7;			/* in force; DR7 is in the VMCS */
	u64 feature_control;		/* MSR_IA32_FEAT_CTL */
};

static inline struct vcpu_vmx *to_vmx(struct vcpu *vcpu)
{
	return container_of(vcpu, struct vcpu_vmx, vcpu);
}

static inline void vmx_want(struct vcpu_vmx *vmx, enum vmx_ctl ctl, u32 bits, bool on)
{
	u32 want = on ? vmx->want[ctl] | bits : vmx->want[ctl] & ~bits;

	vmx->controls_changed |= want != vmx->want[ctl];
	vmx->want[ctl] = want;
}

/* caps.c */
int vmx_probe(void);
int vmx_setup(void);
void vmx_unsetup(void);
int vmx_cpu_on(void);
void vmx_cpu_off(void);

/* run.c */
void vmx_vmcs_load(struct vcpu_vmx *vmx);	/* preemption off */
void vmx_vmcs_clear(struct vcpu_vmx *vmx);	/* wherever it is active */
void vmx_clear_this_cpu(void);			/* irqs off */
void vmx_clear_leftovers(void);			/* irqs off; the CPU was down */
void vmx_stay_begin(struct vcpu *vcpu);
void vmx_stay_end(struct vcpu *vcpu);
void vmx_enter(struct vcpu *vcpu);
void vmx_load_guest_msrs(struct vcpu_vmx *vmx);	/* inside a stay, else nothing */
void vmx_load_syscall_msrs(struct vcpu_vmx *vmx);
void vmx_read_host_msrs(void);			/* once per CPU that is switched on */

/* vendor.c */
void vmx_flush_groups(struct vcpu_vmx *vmx);
void vmx_flush_rflags(struct vcpu_vmx *vmx);
void vmx_fetch_for_skip(struct vcpu_vmx *vmx);		/* in a stay */
void vmx_sync_controls(struct vcpu_vmx *vmx);

/* pause.c */
void vmx_pause_init(struct vcpu_vmx *vmx);	/* VMCS current */
bool vmx_pause_exits(const struct vm *vm);
void vmx_pause_window(struct vcpu *vcpu, bool spun);

/* pml.c. The size of the log is fixed by the hardware. */
#define PML_ENTRIES	512
extern bool vmx_pml;				/* constant after setup */
void vmx_pml_setup(void);
void vmx_pml_init(struct vcpu_vmx *vmx);
void vmx_log_dirty(struct vcpu *vcpu);
void vmx_pml_drain(struct vcpu_vmx *vmx);

/* msr.c */
void vmx_update_msr_bitmap(struct vcpu_vmx *vmx);
int vmx_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int vmx_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);
int vmx_feature_msr(u32 msr, u64 *val);

/* exit.c: fills vcpu->exit from the VMCS. Irqs off. */
void vmx_decode_exit(struct vcpu_vmx *vmx);
void vmx_machine_check(void);

/* mitigate.c */
int vmx_mitigate_setup(void);
void vmx_mitigate_unsetup(void);
void vmx_mitigate_stay(struct vcpu_vmx *vmx);
/* Irqs off, before an entry that host interrupts may have preceded: ends irqs_taken. */
void vmx_mitigate_entry(struct vcpu_vmx *vmx);

/* inject.c */
void vmx_inject(struct vcpu *vcpu, const struct vmm_event *event);
bool vmx_cancel(struct vcpu *vcpu, struct vmm_event *event);
void vmx_set_window(struct vcpu *vcpu, u32 windows);
void vmx_set_tpr_threshold(struct vcpu *vcpu, int tpr, int irr);
/* An exit that idt_info has an event of: vcpu->exit.vectored, and NMI blocking made true. */
void vmx_take_vectored(struct vcpu_vmx *vmx);
void vmx_single_step_taken(struct vcpu_vmx *vmx);
void vmx_recover_nmi_blocking(struct vcpu_vmx *vmx, bool unblocked_by_iret);

/* tdp.c */
void vmx_tdp_setup(void);
void vmx_flush_tlb(struct vcpu *vcpu);
void vmx_flush_guest(struct vcpu *vcpu);
void vmx_set_root(struct vcpu *vcpu, hpa_t root);
void vmx_do_flushes(struct vcpu_vmx *vmx);
void vmx_flush_all_on_cpu(void);

#endif /* VMM_VMX_VMX_H */
