/* SPDX-License-Identifier: GPL-2.0-only */
/* What a guest may know of its host (KVM's paravirtual interface). */
#ifndef VMM_PV_H
#define VMM_PV_H

#include <linux/bits.h>
#include <asm/kvm_para.h>

#include "vmm.h"
#include "pv/shared.h"

/*
 * CPUID 0x40000001.EAX; a bit is here only when its feature works. That of steal
 * time depends on the host: cpuid.c.
 */
#define VMM_PV_FEATURES \
	(BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) | \
	 BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) | \
	 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_SEND_IPI) |	\
	 BIT(KVM_FEATURE_POLL_CONTROL) | BIT(KVM_FEATURE_PV_SCHED_YIELD) | \
	 BIT(KVM_FEATURE_PV_EOI) | BIT(KVM_FEATURE_PV_TLB_FLUSH) |	\
	 BIT(KVM_FEATURE_ASYNC_PF) | BIT(KVM_FEATURE_ASYNC_PF_VMEXIT) |	\
	 BIT(KVM_FEATURE_ASYNC_PF_INT))

#define VMM_POLL_ALLOWED	BIT_ULL(0)	/* MSR_KVM_POLL_CONTROL */

struct vcpu_pv {
	u64 wall_clock;		/* MSR values */
	u64 system_time;
	struct gpa_cache time_page;
	bool time_on;
	bool paused;		/* KVM_KVMCLOCK_CTRL: into the page, with the next update */
	bool unhalted;		/* (a) KVM_HC_KICK_CPU: the next HLT does not wait */
	u64 poll_control;	/* MSR value: may the host poll while this one halts */
	bool enforce;		/* KVM_CAP_ENFORCE_PV_FEATURE_CPUID */

	struct pv_steal steal;
	struct pv_eoi eoi;
	struct pv_apf apf;
};

int pv_create(struct vcpu *vcpu);
void pv_destroy(struct vcpu *vcpu);
void pv_reset(struct vcpu *vcpu);
/* May the guest use KVM_FEATURE_@feature: all, unless its CPUID is to decide. */
bool pv_has(struct vcpu *vcpu, unsigned int feature);
int pv_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int pv_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);
/* REQ_CLOCK: rewrites the kvmclock page. Under vm->srcu, sleeps. */
void pv_clock_update(struct vcpu *vcpu);
int pv_clock_paused(struct vcpu *vcpu);

/* The vCPU's TSC has moved: a guest that looks at its page is told. */
static inline void pv_clock_stale(struct vcpu *vcpu)
{
	if (vcpu->pv->time_on)
		vcpu_request(vcpu, REQ_CLOCK);
}

static inline bool pv_may_poll(const struct vcpu *vcpu)
{
	return vcpu->pv->poll_control & VMM_POLL_ALLOWED;
}

/* hypercall.c. EXIT_HYPERCALL: RESUME, USER or -errno. */
int pv_handle_hypercall(struct vcpu *vcpu);
/* The same inside a stay, for hypercalls that never sleep. True when done. */
bool pv_fast_hypercall(struct vcpu *vcpu);
/*
 * #UD: true when it was the other vendor's hypercall instruction and has been
 * dealt with. Which is asked only while pv_fixes_hypercalls(). Under vm->srcu.
 */
bool pv_fix_hypercall(struct vcpu *vcpu);
static inline bool pv_fixes_hypercalls(const struct vm *vm)
{
	return vm_quirk(vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
}

/*
 * What the run loop asks; each is a look at one variable unless the guest has
 * switched the feature on. Begin and end stand around KVM_RUN.
 */
static inline void pv_run_begin(struct vcpu *vcpu)
{
	if (unlikely(vcpu->pv->steal.msr & KVM_MSR_ENABLED))
		pv_steal_begin(vcpu);
}

static inline void pv_run_end(struct vcpu *vcpu)
{
	if (unlikely(vcpu->pv->steal.listening))
		pv_steal_end(vcpu);
}

static inline void pv_eoi_before_entry(struct vcpu *vcpu)
{
	if (unlikely(vcpu->eoi_shared))
		pv_eoi_offer(vcpu);
}

static inline bool pv_eoi_after_exit(struct vcpu *vcpu)
{
	return likely(!vcpu->eoi_offered) || pv_eoi_collect(vcpu);
}

static inline void pv_eoi_after_stay(struct vcpu *vcpu)
{
	if (unlikely(vcpu->eoi_offered))
		pv_eoi_collect_slow(vcpu);
}

/* A fault may look first whether its page can be had without waiting. */
static inline bool pv_apf_wanted(struct vcpu *vcpu)
{
	return unlikely(vcpu->pv->apf.en & KVM_ASYNC_PF_ENABLED);
}

#endif /* VMM_PV_H */
