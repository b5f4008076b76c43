/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the host and a guest tell each other through guest memory: steal time
 * with the flush of preempted vCPUs, EOI without exit, asynchronous page
 * faults (Documentation/virt/kvm/x86/msr.rst).
 */
#ifndef VMM_PV_SHARED_H
#define VMM_PV_SHARED_H

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <asm/kvm_para.h>

#include "mm/mm.h"

struct vcpu;

/*
 * "preempted" in the guest's page is true from the moment the thread loses
 * the CPU after a host interrupt until just before the next entry, where
 * REQ_STEAL takes it back, with the flush that other vCPUs asked for
 * meanwhile.
 */
struct pv_steal {
	u64 msr;			/* (v) MSR_KVM_STEAL_TIME */
	struct vcpu *vcpu;		/* (c) */
	struct gpa_cache page;		/* (v) struct kvm_steal_time */
	u64 told;			/* (v) the thread's run_delay, as far as the guest knows */
	bool known;			/* (v) the page was written since the MSR was */
	bool preempted;			/* (v) the page says so; only then a guest adds a flush */
	bool counted;			/* (v) the kernel's notifiers are switched on for us */
	bool listening;			/* (v) the notifier is registered: within KVM_RUN only */
	struct preempt_notifier notifier;
};

struct pv_eoi {
	u64 msr;			/* (v) MSR_KVM_PV_EOI_EN */
	struct gpa_cache byte;		/* (v) */
};

#define APF_MAX_JOBS	64

/* A job is on @jobs until the guest has heard of it; see async_pf.c. */
struct pv_apf {
	u64 en;				/* (v) MSR_KVM_ASYNC_PF_EN */
	u64 irq;			/* (v) MSR_KVM_ASYNC_PF_INT */
	u64 ack;			/* (c) MSR_KVM_ASYNC_PF_ACK reads as 0 */
	struct gpa_cache data;		/* (v) flags and token of struct kvm_vcpu_pv_apf_data */
	u32 next_id;			/* (v) */
	unsigned int nr;		/* (v) length of @jobs */
	unsigned int nr_given_up;	/* lock: forgotten, their workers still wait */
	struct list_head jobs;		/* (v) */
	struct list_head done;		/* lock: jobs whose page is there */
	spinlock_t lock;
};

/* steal.c */
void pv_steal_create(struct vcpu *vcpu);
void pv_steal_destroy(struct vcpu *vcpu);
void pv_steal_begin(struct vcpu *vcpu);
void pv_steal_end(struct vcpu *vcpu);
/* REQ_STEAL: the vCPU is about to run. Under vm->srcu, sleeps. */
void pv_steal_record(struct vcpu *vcpu);
int pv_steal_set(struct vcpu *vcpu, u64 val, bool host);

/*
 * eoi.c. Offer: irqs off, before an entry. Collect: in a stay, after the exit
 * of an entry with an offer and before anything looks at the LAPIC; false when
 * it has to sleep for that, and the other one does it after the stay.
 */
void pv_eoi_offer(struct vcpu *vcpu);
bool pv_eoi_collect(struct vcpu *vcpu);
void pv_eoi_collect_slow(struct vcpu *vcpu);
int pv_eoi_set(struct vcpu *vcpu, u64 val, bool host);

/* async_pf.c */
int pv_apf_module_init(void);
void pv_apf_module_exit(void);
void pv_apf_create(struct vcpu *vcpu);
void pv_apf_destroy(struct vcpu *vcpu);
void pv_apf_reset(struct vcpu *vcpu);
/*
 * An access to @gpa must wait for its page. True: the page is fetched, and the
 * guest has been told or halts until then. False: wait in place.
 */
bool pv_apf_begin(struct vcpu *vcpu, gpa_t gpa, bool write);
/* REQ_APF: pages have come. Under vm->srcu, sleeps. */
void pv_apf_ready(struct vcpu *vcpu);
int pv_apf_set_en(struct vcpu *vcpu, u64 val, bool host);
int pv_apf_set_irq(struct vcpu *vcpu, u64 val, bool host);
int pv_apf_set_ack(struct vcpu *vcpu, u64 val, bool host);

/* msr.c: the MSRs of the above. */
int pv_feature_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int pv_feature_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);

#endif /* VMM_PV_SHARED_H */
