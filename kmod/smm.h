/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System management mode (SDM chapter 32, APM volume 2 chapter 10) as KVM has it: AMD's
 * save maps on both vendors, chosen by the guest's CPUID; neither I/O nor HLT
 * is restarted by RSM. In SMM a vCPU sees address space 1.
 */
#ifndef VMM_SMM_H
#define VMM_SMM_H

#include <linux/atomic.h>
#include <linux/types.h>

struct vcpu;

struct vcpu_smm {		/* (v) but queued */
	bool active;		/* in SMM; smm_changed() is the only setter */
	bool inside_nmi;	/* NMIs were blocked before it: RSM leaves that alone */
	bool pending;		/* an SMI waits for its time */
	atomic_t queued;	/* (a) SMIs by other threads, drained by the vCPU */
	u64 smbase;
	u64 count;		/* MSR_SMI_COUNT */
};

/* Any context. */
void smi_queue(struct vcpu *vcpu);
/* The rest is the vCPU thread's or needs vcpu->mutex. */
bool smi_pending(struct vcpu *vcpu);
/* One SMI is taken or waits, however many were queued. */
void smi_drain(struct vcpu *vcpu);
/*
 * REQ_SMI: enters SMM, or leaves the SMI pending until what is in the way has gone; who
 * takes something out of the way calls smi_recheck(). Outside a stay, under vm->srcu.
 */
void smi_take(struct vcpu *vcpu);
void smi_recheck(struct vcpu *vcpu);
/*
 * An event goes into the guest while an SMI is pending: back here right after its
 * delivery, if the SMI is next. Irqs off, before entry.
 */
void smi_after_event(struct vcpu *vcpu);

/* RSM: false outside SMM. Replaces all registers; under vm->srcu, sleeps. */
bool smm_leave(struct vcpu *vcpu);
/* Into SMM or out of it, with nothing of the registers. */
void smm_changed(struct vcpu *vcpu, bool active);
/* Before the vendor's reset. */
void smm_reset(struct vcpu *vcpu, bool init);

/* MSR_IA32_SMBASE, MSR_SMI_COUNT */
int smm_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int smm_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);

#endif /* VMM_SMM_H */
