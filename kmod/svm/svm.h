/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The AMD-V backend. caps.c negotiates once per load what the CPUs offer;
 * vendor.c has lifetime, registers and intercepts; msr.c the vendor's MSRs;
 * run.c the stay and the entry; exit.c, inject.c and tdp.c what their names
 * say.
 *
 * Section numbers are of AMD's APM volume 2.
 */
#ifndef VMM_SVM_SVM_H
#define VMM_SVM_SVM_H

#include <linux/io.h>
#include <linux/mem_encrypt.h>
#include <linux/percpu.h>

#include "../cpuid.h"
#include "../regs_access.h"
#include "../vendor.h"
#include "entry.h"
#include "vmcb.h"

/* Optional parts of AMD-V on this host; constant after setup. */
struct svm_caps {
	bool nrips;		/* exits tell the next RIP */
	bool decode;		/* exits tell operands and instruction bytes */
	bool flush_asid;
	bool pause_filter;
	bool pause_thresh;
	bool tsc_ratio;
	bool virt_spec_ctrl;	/* SPEC_CTRL of the guest is in the VMCB */
	bool spec_ctrl;		/* the host has MSR_IA32_SPEC_CTRL */
	bool ibpb;
	bool rdtscp;		/* the host has MSR_TSC_AUX */
	bool bus_lock_detect;	/* the host may trap bus locks by DEBUGCTL */
	u32 clean_after_exit;	/* CLEAN_*, 0 without clean bits */
	u32 nr_asids;
};

extern struct svm_caps svm_caps;

/*
 * A physical CPU. An ASID is valid for one generation of its CPU; ASID 0 is
 * the host's.
 */
struct svm_cpu {
	struct page *hsave;	/* VM_HSAVE_PA: the CPU's own use */
	struct page *host;	/* VMSAVE of the host, once per stay */
	u64 generation;
	u32 next_asid;
	u64 last_serial;	/* vCPU that ran last, for IBPB */
	u64 tsc_aux;		/* the host's */
	u64 tsc_ratio;		/* in the MSR now */
};

DECLARE_PER_CPU(struct svm_cpu, svm_cpus);

/* Bitmaps: 2 bits an MSR, 1 bit a port; set = intercepted. Shared by all. */
enum svm_msrpm { MSRPM_BASE, MSRPM_SPEC_CTRL, MSRPM_ALL, NR_MSRPMS };

#define MODE_UNKNOWN	0xff

struct vcpu_svm {
	struct vcpu vcpu;		/* first */

	struct vmcb *vmcb;		/* (c) one page */
	u64 serial;			/* (c) never used again, unlike the pointer */
	struct svm_run run;
	u32 clean;			/* CLEAN_* of the next VMRUN */
	int last_cpu;			/* where the VMCB ran last, -1 nowhere */
	u64 asid_generation;		/* 0: a new ASID is due */
	bool flush;			/* TLB flush is due at the next entry */

	bool guest_rdtscp;		/* the guest may use MSR_TSC_AUX */
	bool guest_invpcid;

	/* What is intercepted besides the constant part: recalc_intercepts(). */
	u32 windows;			/* WINDOW_* asked for */
	bool icpt_iret;
	bool icpt_cr8;
	u8 tpr;				/* what common code knows of V_TPR */
	bool cr0_hidden;		/* the hardware's CR0 is not the guest's */
	bool cr4_hidden;
	bool dr_live;			/* the next entry has DR accesses open */

	/*
	 * NMI blocking, 15.20 and 15.21: from injection until the IRET that
	 * ends the handler has *completed*, while its intercept comes before.
	 */
	bool nmi_masked;
	bool iret_pending;		/* intercepted at iret_rip, not done yet */
	u64 iret_rip;
	bool stepping;			/* TF is ours during this entry */
	bool step_guest_tf;

	struct vmm_event event;		/* in event_inj for the next entry */
	u64 event_rip;			/* RIP at injection, of those that push it */

	bool spec_passthrough;
	bool tsc_aux_loaded;		/* MSR_TSC_AUX is the guest's */
	u64 tsc_aux;			/* value loaded */

	/* What the attributes of CS and SS in the register file were made of: vendor.c. */
	struct svm_mode {
		u64 cs, ss;		/* selector, attributes and limit */
		u8 cpl;			/* MODE_UNKNOWN: of nothing */
	} mode;

	/* Values of MSRs that exist only to be read back. */
	u64 de_cfg;
	u64 osvw[2];
};

static inline struct vcpu_svm *to_svm(struct vcpu *vcpu)
{
	return container_of(vcpu, struct vcpu_svm, vcpu);
}

/* @group of CLEAN_* was changed in the VMCB. */
static inline void vmcb_dirty(struct vcpu_svm *svm, u32 group)
{
	svm->clean &= ~group;
}

/* As the CPU wants addresses: with the encryption bit where the host uses it. */
static inline u64 svm_page_pa(struct page *page)
{
	return __sme_set(page_to_phys(page));
}

void svm_flush_groups(struct vcpu_svm *svm);

/* Irqs off, right before entry. After most exits RIP and RAX are all. */
static inline void svm_flush_regs(struct vcpu_svm *svm)
{
	struct vcpu_regs *r = &svm->vcpu.regs;

	if (unlikely(r->dirty & ~BIT(RG_RIP)))
		svm_flush_groups(svm);
	svm->vmcb->save.rip = r->rip;
	svm->vmcb->save.rax = r->gpr[GPR_RAX];
	r->dirty = 0;
}

/* caps.c */
int svm_probe(void);
int svm_setup(void);
void svm_unsetup(void);
int svm_cpu_on(void);
void svm_cpu_off(void);
/* One page for what the CPU is given as a VMCB. */
struct page *svm_alloc_page(int node, gfp_t gfp);
extern struct page *svm_iopm;
extern struct page *svm_msrpm[NR_MSRPMS];

/* vendor.c */
void svm_regs_after_exit(struct vcpu_svm *svm);
void svm_recalc_intercepts(struct vcpu_svm *svm);
void svm_write_tsc(struct vcpu *vcpu);

/* pause.c */
void svm_pause_setup(void);
void svm_pause_init(struct vmcb_control *c);
bool svm_pause_exits(const struct vm *vm);
void svm_pause_window(struct vcpu *vcpu, bool spun);

/* msr.c */
int svm_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int svm_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);
int svm_feature_msr(u32 msr, u64 *val);
void svm_reset_msrs(struct vcpu_svm *svm);
bool svm_guest_has_spec_ctrl(struct vcpu *vcpu);

/* run.c */
void svm_stay_begin(struct vcpu *vcpu);
void svm_stay_end(struct vcpu *vcpu);
void svm_enter(struct vcpu *vcpu);

/* exit.c: fills vcpu->exit from the VMCB. Irqs off. */
void svm_decode_exit(struct vcpu_svm *svm);

/* inject.c */
void svm_inject(struct vcpu *vcpu, const struct vmm_event *event);
bool svm_cancel(struct vcpu *vcpu, struct vmm_event *event);
void svm_set_window(struct vcpu *vcpu, u32 windows);
void svm_set_tpr_threshold(struct vcpu *vcpu, int tpr, int irr);
void svm_set_nmi_masked(struct vcpu_svm *svm, bool masked);
/* Before entry with WINDOW_NMI, registers flushed: single-step if it needs that. */
void svm_begin_step(struct vcpu_svm *svm);
/* An exit that ends a step, an IRET or a delivery: RFLAGS, NMI blocking, exit.vectored. */
void svm_finish_events(struct vcpu_svm *svm);
/* Before svm_finish_events(): takes the interrupted event away; false if there is none. */
bool svm_consume_vectored(struct vcpu_svm *svm, struct vmm_event *event);

/* tdp.c */
void svm_tdp_setup(void);
void svm_flush_tlb(struct vcpu *vcpu);
void svm_flush_guest(struct vcpu *vcpu);
void svm_log_dirty(struct vcpu *vcpu);
void svm_set_root(struct vcpu *vcpu, hpa_t root);
void svm_asid_on(struct svm_cpu *cpu);
void svm_prepare_asid(struct vcpu_svm *svm, struct svm_cpu *cpu);

#endif /* VMM_SVM_SVM_H */
