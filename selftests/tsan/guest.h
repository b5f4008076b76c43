/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VM for the module's own run loop: a vendor whose guests are loops in C.
 * What a guest holds of the host is a translation, a pointer to a page: it is
 * good until vm_request_all(REQ_TLB_FLUSH) has returned.
 */
#ifndef TSAN_GUEST_H
#define TSAN_GUEST_H

#include "irq/irq.h"
#include "vmm.h"

#define GUEST_VCPUS	3
#define GUEST_TIMER	0xe0	/* vector of the guests' own timers */

struct guest_page {
	u64 magic;
};

struct guest_cpu {
	struct vcpu vcpu;		/* first */
	struct vmm_event event;		/* on its way in */
	u32 windows;
	u64 hw_deadline;
	struct guest_page *page;	/* the guest's translation */
	unsigned long seen[256];	/* (a) interrupts by vector */
	u64 armed;			/* when the timer was, 0: not */
	bool deadline_mode, starts_by_sipi;
	unsigned long starts;		/* (a) SIPIs taken */
	u8 start;			/* of the last one; read after starts */
	unsigned long entries;
};

struct guest {
	struct vm vm;			/* first */
	struct clock clock;
	struct mm_struct mm;
	struct guest_page *page;	/* (a) what translations lead to */
	struct guest_cpu cpu[GUEST_VCPUS];
};

struct guest *guest_create(void);
/* The vCPU's thread: KVM_RUN over and over until the VM is dead. */
void guest_run(struct guest_cpu *c);
void guest_destroy(struct guest *g);

static inline unsigned long guest_seen(struct guest_cpu *c, u8 vector)
{
	return __atomic_load_n(&c->seen[vector], __ATOMIC_ACQUIRE);
}

#endif /* TSAN_GUEST_H */
