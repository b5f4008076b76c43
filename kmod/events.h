/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events on their way into the guest.
 *
 * Each class (exception, interrupt, NMI) is *pending* until it is handed to
 * the hardware and *injected* from then until the hardware says that it was
 * delivered: an exit that interrupts the delivery gives it back through
 * vmm_exit.vectored, and it is injected again before anything else but a
 * pending exception, which takes the place of an interrupt or NMI.
 */
#ifndef VMM_EVENTS_H
#define VMM_EVENTS_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/types.h>

#include "mm/mm.h"

struct vcpu;

enum event_type {
	EVENT_NONE,
	EVENT_INTR,		/* external interrupt */
	EVENT_NMI,
	EVENT_EXCEPTION,	/* hardware exception, also #DB by ICEBP */
	EVENT_SOFT_INTR,	/* INT n: RIP goes insn_len further on delivery */
	EVENT_SOFT_EXCEPTION,	/* INT3, INTO */
};

struct vmm_event {
	u8 type;		/* enum event_type */
	u8 vector;
	bool has_error;
	u8 insn_len;		/* of soft events */
	u32 error;
};

struct exception_state {
	bool pending;
	bool injected;
	bool has_error;
	bool has_payload;
	u8 vector;
	u8 soft_len;		/* of the INT3 or INTO that RIP is at; 0: not one of them */
	u32 error;
	u64 payload;		/* #PF: CR2, #DB: DR6 bits */
};

struct vcpu_events {
	struct exception_state ex;
	struct {
		bool injected;
		bool soft;
		u8 vector;
		u8 insn_len;
	} irq;
	u8 bp_len;		/* of the INT3 that user space heard of last; 0: none yet */
	bool nmi_injected;
	u8 nmi_pending;		/* 0..2 */
	atomic_t nmi_queued;	/* by other threads, drained by the vCPU */
	s16 user_vector;	/* KVM_INTERRUPT without LAPIC, -1 none */
};

/* Interrupt windows asked of the vendor. */
#define WINDOW_IRQ	1u
#define WINDOW_NMI	2u

/*
 * Neutral reasons for leaving the guest, a row each. The vendor fills struct
 * vmm_exit. The second column names a kind to users: stats.h, trace.h.
 *
 *	NONE		finished by the vendor, enter again
 *	NMI		host NMI, already served
 *	EXTINT		host interrupt: opens interrupts, no more
 *	WBINVD		WBINVD, INVD: nothing to do but to skip
 *	MONITOR		treated as a no-op, as KVM does
 *	UD		instruction we do not offer: #UD
 *	CR8		TPR threshold: TPR fell below the pending vector
 *	FAIL_ENTRY	hw_reason goes to run->fail_entry
 *	UNKNOWN		hw_reason goes to run->internal
 *	BROKEN		virtualization was switched off under us
 */
#define VMM_EXIT_KINDS(X)						\
	X(NONE, none) X(CPUID, cpuid) X(HLT, hlt) X(IO, io)		\
	X(RDMSR, rdmsr) X(WRMSR, wrmsr) X(CR, cr) X(DR, dr)		\
	X(TDP_FAULT, tdp_fault) X(HYPERCALL, hypercall)			\
	X(EXCEPTION, exception) X(NMI, nmi) X(EXTINT, extint)		\
	X(IRQ_WINDOW, irq_window) X(NMI_WINDOW, nmi_window)		\
	X(TRIPLE_FAULT, triple_fault) X(TASK_SWITCH, task_switch)	\
	X(INVLPG, invlpg) X(WBINVD, wbinvd) X(XSETBV, xsetbv)		\
	X(RDPMC, rdpmc) X(MONITOR, monitor) X(MWAIT, mwait)		\
	X(PAUSE, pause) X(UD, ud) X(CR8, cr8)				\
	X(PREEMPT_TIMER, preempt_timer) X(FAIL_ENTRY, fail_entry)	\
	X(UNKNOWN, unknown) X(BROKEN, broken)

enum exit_kind {
#define X(kind, name) EXIT_##kind,
	VMM_EXIT_KINDS(X)
#undef X
	NR_EXIT_KINDS,
	EXIT_SHUTDOWN = EXIT_TRIPLE_FAULT,
};

/* Access bits of a second-stage fault (vmm_exit.tdp.access). */
#define TDP_ACCESS_READ		BIT(0)
#define TDP_ACCESS_WRITE	BIT(1)
#define TDP_ACCESS_FETCH	BIT(2)
#define TDP_ACCESS_PRESENT	BIT(3)	/* the entry was there, a right was missing */
#define TDP_ACCESS_TABLE	BIT(4)	/* during the walk of the guest's own tables */
#define TDP_ACCESS_NOWAIT	BIT(5)	/* asked of tdp_fault(): TDP_WAIT instead of waiting */

enum cr_access { CR_READ, CR_WRITE, CR_CLTS, CR_LMSW };

struct vmm_exit {
	u16 kind;		/* enum exit_kind */
	u8 insn_len;		/* 0: not told by the hardware, decode it */
	u8 nr_insn_bytes;	/* decode assists */
	u8 insn_bytes[15];
	u32 hw_reason;		/* the vendor's own number, for traces and user space */
	u64 info1, info2;	/* the vendor's own qualification, for traces */
	struct vmm_event vectored; /* delivery that this exit interrupted */
	union {
		struct {
			u16 port;
			u8 size;	/* 1, 2, 4 */
			bool in, string, rep;
			bool unclaimed;	/* no device in the kernel: emulate_pio_fast() */
		} io;
		struct {
			gpa_t gpa;
			u32 access;	/* TDP_ACCESS_* */
		} tdp;
		struct {
			u8 nr;		/* 0, 3, 4, 8 */
			u8 gpr;
			u8 access;	/* enum cr_access */
			u16 lmsw;	/* source operand of LMSW */
			bool decoded;	/* false: use the instruction emulator */
		} cr;
		struct {
			u8 nr;
			u8 gpr;
			bool write;
			bool decoded;
		} dr;
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 payload;	/* #PF: address, #DB: DR6 bits (positive logic) */
		} ex;
		struct {
			u16 selector;
			u8 reason;	/* enum insn_task_reason: insn/insn.h */
			struct vmm_event event;	/* that came through a gate in the IDT */
		} task;
		u64 gva;		/* EXIT_INVLPG */
	};
};

/* events.c. Exceptions merge into #DF and triple fault as SDM 6.15 says. */
void queue_exception(struct vcpu *vcpu, u8 vector);
void queue_exception_error(struct vcpu *vcpu, u8 vector, u32 error);
void queue_exception_payload(struct vcpu *vcpu, u8 vector, u64 payload);
void queue_page_fault(struct vcpu *vcpu, u64 addr, u32 error);
void queue_breakpoint(struct vcpu *vcpu);	/* #BP of an INT3 that RIP is at */
void queue_nmi(struct vcpu *vcpu);	/* any context */
static inline void queue_gp(struct vcpu *vcpu)
{
	queue_exception_error(vcpu, 13, 0);
}

/* An exit: what was injected is delivered, but for what events_requeue() takes back. */
static inline void events_delivered(struct vcpu_events *ev)
{
	ev->nmi_injected = false;
	ev->irq.injected = false;
	ev->ex.injected = false;
}

/* Takes vmm_exit.vectored, which is an event, back into the injected state. */
void events_requeue(struct vcpu *vcpu, const struct vmm_event *event);
/*
 * Hands the next event to the vendor or asks for a window. Irqs off.
 * *@again is set when another event waits behind the one injected.
 */
void events_inject(struct vcpu *vcpu);
/* Outside a stay: what events_inject() would take from the LAPIC or PIC is taken now. */
void events_take_irq(struct vcpu *vcpu);
/*
 * Before user space reads CR2 or DR6: one that does not know of payloads takes a pending
 * exception for an injected one, whose registers are those of its handler.
 */
void events_payload_for_user(struct vcpu *vcpu);
bool events_pending(struct vcpu *vcpu);	/* something would wake HLT */
bool events_busy(struct vcpu *vcpu);	/* one is on its way in: no instruction boundary */
bool irq_allowed(struct vcpu *vcpu);	/* IF set, no shadow */
/* User space's own interrupt controller may hand in a vector (KVM_INTERRUPT) now. */
bool events_user_irq_ready(struct vcpu *vcpu);
bool nmi_allowed(struct vcpu *vcpu);

#endif /* VMM_EVENTS_H */
