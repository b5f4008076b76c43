// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events into the guest: event injection (15.20), interrupt window by a virtual
 * interrupt (15.21.4), TPR (15.21.2), and NMI blocking, which the hardware does
 * not virtualize: 15.20 and the IRET intercept.
 */
#include <linux/sched.h>
#include <asm/debugreg.h>
#include <asm/traps.h>

#include "svm.h"

static const u32 event_types[] = {
	[EVENT_INTR] = EVTINJ_TYPE_INTR,
	[EVENT_NMI] = EVTINJ_TYPE_NMI,
	[EVENT_EXCEPTION] = EVTINJ_TYPE_EXCEPTION,
	[EVENT_SOFT_INTR] = EVTINJ_TYPE_SOFT,
	[EVENT_SOFT_EXCEPTION] = EVTINJ_TYPE_EXCEPTION,
};

/* With NRIP save the CPU pushes NEXT_RIP for these, else RIP. */
static bool pushes_next_rip(const struct vmm_event *event)
{
	if (event->type == EVENT_SOFT_INTR)
		return true;
	return (event->type == EVENT_EXCEPTION || event->type == EVENT_SOFT_EXCEPTION) &&
	       (event->vector == X86_TRAP_BP || event->vector == X86_TRAP_OF);
}

/*
 * INT3 and INTO are one byte long. Of INT n the length may be unknown (it came
 * from user space); it is not injected then, but executed again.
 */
static u8 soft_len(const struct vmm_event *event)
{
	if (event->type == EVENT_SOFT_EXCEPTION)
		return event->insn_len ?: 1;
	return event->type == EVENT_SOFT_INTR ? event->insn_len : 0;
}

void svm_inject(struct vcpu *vcpu, const struct vmm_event *event)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	if (event->type == EVENT_SOFT_INTR && !event->insn_len)
		return;
	svm->event = *event;
	svm->event.insn_len = soft_len(event);
	if (pushes_next_rip(event)) {
		if (svm->event.insn_len)
			vcpu_set_rip(vcpu, vcpu_rip(vcpu) + svm->event.insn_len);
		svm->event_rip = vcpu_rip(vcpu);
		c->next_rip = svm->event_rip;
	}
	c->event_inj = event->vector | event_types[event->type] | EVTINJ_VALID;
	if (event->has_error)
		c->event_inj |= EVTINJ_HAS_ERROR;
	c->event_inj_error = event->error;
}

bool svm_cancel(struct vcpu *vcpu, struct vmm_event *event)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	if (!(c->event_inj & EVTINJ_VALID))
		return false;
	*event = svm->event;
	if (svm->event.insn_len)
		vcpu_set_rip(vcpu, vcpu_rip(vcpu) - svm->event.insn_len);
	svm->event.type = EVENT_NONE;
	c->event_inj = 0;
	return true;
}

/* A virtual interrupt of the highest priority, taken as soon as IF allows. */
void svm_set_window(struct vcpu *vcpu, u32 windows)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	if (svm->windows == windows)
		return;
	svm->windows = windows;
	c->int_ctl &= ~INTCTL_IRQ_ALL;
	if (windows & WINDOW_IRQ)
		c->int_ctl |= INTCTL_IRQ_ALL;
	c->int_vector = 0;
	vmcb_dirty(svm, CLEAN_TPR);
	svm_recalc_intercepts(svm);
}

/*
 * CR8 is the VMCB's V_TPR, which the guest reads and writes without exit, but
 * when an interrupt waits for it to fall or user space keeps the TPR.
 */
void svm_set_tpr_threshold(struct vcpu *vcpu, int tpr, int irr)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;
	bool icpt = !vcpu->lapic || (irr >= 0 && irr >> 4 <= tpr);

	svm->tpr = tpr;
	c->int_ctl = (c->int_ctl & ~INTCTL_TPR) | (tpr & INTCTL_TPR);
	vmcb_dirty(svm, CLEAN_TPR);
	if (svm->icpt_cr8 == icpt)
		return;
	svm->icpt_cr8 = icpt;
	svm_recalc_intercepts(svm);
}

void svm_set_nmi_masked(struct vcpu_svm *svm, bool masked)
{
	if (svm->nmi_masked == masked)
		return;
	svm->nmi_masked = masked;
	svm->iret_pending = false;
	svm->icpt_iret = masked;
	svm_recalc_intercepts(svm);
}

/*
 * An NMI waits for the end of an IRET that was intercepted, or of an interrupt
 * shadow: one instruction. While NMIs are masked and no IRET was seen, the
 * intercept tells. An injected event would push our TF; instead the exit
 * comes right after its delivery, by an interrupt from ourselves.
 */
void svm_begin_step(struct vcpu_svm *svm)
{
	struct vmcb_save *s = &svm->vmcb->save;

	if (svm->nmi_masked && !svm->iret_pending)
		return;
	if (svm->vmcb->control.event_inj & EVTINJ_VALID) {
		smp_send_reschedule(smp_processor_id());
		return;
	}
	svm->stepping = true;
	svm->step_guest_tf = s->rflags & X86_EFLAGS_TF;
	s->rflags |= X86_EFLAGS_TF;
}

/* True when the IRET that unblocks NMIs is done. */
static bool iret_done(const struct vcpu_svm *svm)
{
	return svm->iret_pending && svm->vmcb->save.rip != svm->iret_rip;
}

static void finish_step(struct vcpu_svm *svm, struct vmm_exit *e)
{
	svm->stepping = false;
	vcpu_request(&svm->vcpu, REQ_EVENT);
	/* After IRET TF is what it loaded; after anything else still ours. */
	if (!svm->step_guest_tf && !iret_done(svm))
		svm->vmcb->save.rflags &= ~(u64)X86_EFLAGS_TF;
	if (e->kind != EXIT_EXCEPTION || e->ex.vector != X86_TRAP_DB ||
	    svm->step_guest_tf || !(e->ex.payload & DR_STEP))
		return;
	e->ex.payload &= ~(u64)DR_STEP;
	if (!e->ex.payload)
		e->kind = EXIT_NMI_WINDOW;
}

static u8 event_type(u32 info)
{
	switch (info & EVTINJ_TYPE) {
	case EVTINJ_TYPE_INTR:
		return EVENT_INTR;
	case EVTINJ_TYPE_NMI:
		return EVENT_NMI;
	case EVTINJ_TYPE_EXCEPTION:
		return EVENT_EXCEPTION;
	case EVTINJ_TYPE_SOFT:
		return EVENT_SOFT_INTR;
	default:
		return EVENT_NONE;
	}
}

/* EXITINTINFO: the event whose delivery this exit interrupted. */
static struct vmm_event interrupted_event(const struct vmcb_control *c)
{
	u32 info = c->exit_int_info;

	if (!(info & EVTINJ_VALID))
		return (struct vmm_event){ .type = EVENT_NONE };
	return (struct vmm_event){
		.type = event_type(info), .vector = info & EVTINJ_VECTOR,
		.has_error = info & EVTINJ_HAS_ERROR,
		.error = info & EVTINJ_HAS_ERROR ? c->exit_int_error : 0,
	};
}

/* An event of ours that had RIP moved behind its instruction: RIP goes back. */
static bool take_back(struct vcpu_svm *svm, const struct vmm_event *event)
{
	if (!pushes_next_rip(&svm->event) || svm->event.vector != event->vector ||
	    svm->vmcb->save.rip != svm->event_rip)
		return false;
	svm->vmcb->save.rip -= svm->event.insn_len;
	return true;
}

/* INT n, INT3 and INTO of the guest need nothing, because RIP is still on them. */
static void take_vectored(struct vcpu_svm *svm, struct vmm_event *out)
{
	struct vmm_event event;

	event = interrupted_event(&svm->vmcb->control);
	if (event.type == EVENT_NONE)
		return;
	if (!pushes_next_rip(&event))
		*out = event;
	else if (take_back(svm, &event))
		*out = svm->event;
}

/* For who delivers it himself. INT3 and INTO are told from other exceptions. */
bool svm_consume_vectored(struct vcpu_svm *svm, struct vmm_event *event)
{
	*event = interrupted_event(&svm->vmcb->control);
	if (event->type == EVENT_NONE)
		return false;
	svm->vmcb->control.exit_int_info = 0;
	if (!pushes_next_rip(event))
		return true;
	if (event->type == EVENT_EXCEPTION)
		event->type = EVENT_SOFT_EXCEPTION;
	if (take_back(svm, event))
		event->insn_len = svm->event.insn_len;
	return true;
}

void svm_finish_events(struct vcpu_svm *svm)
{
	struct vmm_exit *e = &svm->vcpu.exit;

	if (svm->stepping)
		finish_step(svm, e);
	if (iret_done(svm)) {
		svm_set_nmi_masked(svm, false);
		vcpu_request(&svm->vcpu, REQ_EVENT);
	}
	take_vectored(svm, &e->vectored);
}
