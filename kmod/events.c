// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events on their way into the guest: queueing and merging, injection order,
 * KVM_GET/SET_VCPU_EVENTS, MP state.
 */
#include <asm/traps.h>

#include "debug.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "run.h"
#include "smm.h"
#include "sregs.h"
#include "trace.h"
#include "vendor.h"

/* Traps and aborts; a #DB knows itself which of both it is. */
#define NOT_FAULTS	(BIT(X86_TRAP_DB) | BIT(X86_TRAP_BP) | BIT(X86_TRAP_OF) | \
			 BIT(X86_TRAP_DF) | BIT(X86_TRAP_MC))

/* SDM table 6-5: what two exceptions in a row make. */
enum ex_class { EX_BENIGN, EX_CONTRIBUTORY, EX_PF };

static enum ex_class exception_class(u8 vector)
{
	switch (vector) {
	case X86_TRAP_PF:
		return EX_PF;
	case X86_TRAP_DE:
	case X86_TRAP_TS:
	case X86_TRAP_NP:
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return EX_CONTRIBUTORY;
	default:
		return EX_BENIGN;
	}
}

static bool exceptions_merge(u8 first, u8 second)
{
	enum ex_class a = exception_class(first), b = exception_class(second);

	return (a == EX_CONTRIBUTORY && b == EX_CONTRIBUTORY) ||
	       (a == EX_PF && b != EX_BENIGN);
}

static void set_exception(struct vcpu *vcpu, const struct exception_state *new)
{
	struct exception_state *ex = &vcpu->ev.ex;

	vcpu_request(vcpu, REQ_EVENT);
	if (!ex->pending && !ex->injected) {
		*ex = *new;
		ex->pending = true;
		ex->injected = false;
		return;
	}
	if (ex->vector == X86_TRAP_DF) {
		vcpu_request(vcpu, REQ_TRIPLE_FAULT);
		return;
	}
	if (exceptions_merge(ex->vector, new->vector)) {
		*ex = (struct exception_state){
			.pending = true, .vector = X86_TRAP_DF, .has_error = true,
		};
		return;
	}
	/* The first will come again when the handler of the second returns. */
	*ex = *new;
	ex->pending = true;
	ex->injected = false;
}

void queue_exception(struct vcpu *vcpu, u8 vector)
{
	set_exception(vcpu, &(struct exception_state){ .vector = vector });
}

void queue_exception_error(struct vcpu *vcpu, u8 vector, u32 error)
{
	set_exception(vcpu, &(struct exception_state){
		.vector = vector, .has_error = true, .error = error });
}

void queue_exception_payload(struct vcpu *vcpu, u8 vector, u64 payload)
{
	set_exception(vcpu, &(struct exception_state){
		.vector = vector, .has_payload = true, .payload = payload });
}

void queue_page_fault(struct vcpu *vcpu, u64 addr, u32 error)
{
	set_exception(vcpu, &(struct exception_state){
		.vector = X86_TRAP_PF, .has_error = true, .error = error,
		.has_payload = true, .payload = addr });
}

/*
 * The length of what raises @vector by itself, if it is one that INT3 or INTO raises: these
 * return behind the instruction (SDM 6.12.1), so RIP moves with the injection.
 */
static u8 soft_len(const struct vcpu *vcpu, u8 vector)
{
	if (vector == X86_TRAP_BP)
		return vcpu->ev.bp_len ?: 1;
	return vector == X86_TRAP_OF;
}

void queue_breakpoint(struct vcpu *vcpu)
{
	set_exception(vcpu, &(struct exception_state){
		.vector = X86_TRAP_BP, .soft_len = soft_len(vcpu, X86_TRAP_BP) });
}

void queue_nmi(struct vcpu *vcpu)
{
	atomic_inc(&vcpu->ev.nmi_queued);
	vcpu_request(vcpu, REQ_EVENT);
	vcpu_kick(vcpu);
}

/* One NMI may be in service and one more latched; further ones are lost. */
static void drain_nmis(struct vcpu *vcpu)
{
	struct vcpu_events *ev = &vcpu->ev;
	bool busy;
	int limit;

	if (!atomic_read(&ev->nmi_queued))
		return;
	busy = ev->nmi_injected || regs_get(vcpu, RG_INTR)->nmi_blocked;
	limit = busy ? 1 : 2;
	ev->nmi_pending = min(ev->nmi_pending + atomic_xchg(&ev->nmi_queued, 0), limit);
}

bool irq_allowed(struct vcpu *vcpu)
{
	return (vcpu_rflags(vcpu) & X86_EFLAGS_IF) &&
	       !regs_get(vcpu, RG_INTR)->intr_shadow &&
	       !(vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ);
}

bool nmi_allowed(struct vcpu *vcpu)
{
	struct vcpu_regs *r = regs_get(vcpu, RG_INTR);

	return !r->nmi_blocked && !(r->intr_shadow & KVM_X86_SHADOW_INT_MOV_SS) &&
	       !vcpu->ev.nmi_injected && !(vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ);
}

static int next_irq(struct vcpu *vcpu)
{
	return vcpu->lapic ? irq_pending(vcpu) : vcpu->ev.user_vector;
}

/* KVM_INTERRUPT: without a LAPIC, or ExtINT of a split irqchip. */
static bool user_irq_pending(struct vcpu *vcpu)
{
	return vcpu->ev.user_vector >= 0 && irq_takes_extint(vcpu);
}

bool events_busy(struct vcpu *vcpu)
{
	struct vcpu_events *ev = &vcpu->ev;

	return ev->ex.pending || ev->ex.injected || ev->nmi_injected || ev->irq.injected;
}

bool events_user_irq_ready(struct vcpu *vcpu)
{
	/* At an instruction boundary, nothing half delivered: it may inject by registers. */
	return vcpu->ev.user_vector < 0 && !events_busy(vcpu) && irq_takes_extint(vcpu) &&
	       irq_allowed(vcpu);
}

static int take_irq(struct vcpu *vcpu)
{
	int vector = vcpu->ev.user_vector;

	if (user_irq_pending(vcpu)) {
		vcpu->ev.user_vector = -1;
		return vector;
	}
	return vcpu->lapic ? irq_ack(vcpu) : -1;
}

bool events_pending(struct vcpu *vcpu)
{
	struct vcpu_events *ev = &vcpu->ev;

	if (events_busy(vcpu))
		return true;
	drain_nmis(vcpu);
	if (ev->nmi_pending && nmi_allowed(vcpu))
		return true;
	return (user_irq_pending(vcpu) || next_irq(vcpu) >= 0) && irq_allowed(vcpu);
}

void events_requeue(struct vcpu *vcpu, const struct vmm_event *event)
{
	struct vcpu_events *ev = &vcpu->ev;

	vcpu_request(vcpu, REQ_EVENT);
	switch (event->type) {
	case EVENT_NMI:
		ev->nmi_injected = true;
		/* The blocking that delivery set is set again with it. */
		if (regs_get(vcpu, RG_INTR)->nmi_blocked)
			regs_mod(vcpu, RG_INTR)->nmi_blocked = false;
		break;
	case EVENT_INTR:
	case EVENT_SOFT_INTR:
		ev->irq.injected = true;
		ev->irq.soft = event->type == EVENT_SOFT_INTR;
		ev->irq.vector = event->vector;
		ev->irq.insn_len = event->insn_len;
		break;
	case EVENT_SOFT_EXCEPTION:
	case EVENT_EXCEPTION:
		ev->ex = (struct exception_state){
			.injected = true, .vector = event->vector,
			.soft_len = event->type == EVENT_SOFT_EXCEPTION ? event->insn_len ?: 1 : 0,
			.has_error = event->has_error, .error = event->error,
		};
		break;
	}
}

static void inject_exception(struct vcpu *vcpu)
{
	struct exception_state *ex = &vcpu->ev.ex;
	struct vmm_event event = {
		.type = ex->soft_len ? EVENT_SOFT_EXCEPTION : EVENT_EXCEPTION,
		.vector = ex->vector, .error = ex->error,
		.insn_len = ex->soft_len,
		/* No error code in real mode: SDM 20.1.4. */
		.has_error = ex->has_error && vcpu_protected(vcpu),
	};

	trace_vmm_inj_exception(vcpu->id, event.vector, event.has_error, event.error);
	vendor_call(inject, vcpu, &event);
}

/* What must have been done to the registers before the handler starts. */
static void deliver_payload(struct vcpu *vcpu)
{
	struct exception_state *ex = &vcpu->ev.ex;

	if (!ex->has_payload)
		return;
	if (ex->vector == X86_TRAP_DB)
		debug_set_dr6(vcpu, ex->payload);
	else if (ex->vector == X86_TRAP_PF)
		regs_mod(vcpu, RG_CR)->cr2 = ex->payload;
	ex->has_payload = false;
	ex->payload = 0;
}

static void start_exception(struct vcpu *vcpu)
{
	struct exception_state *ex = &vcpu->ev.ex;

	deliver_payload(vcpu);
	/* Faults but not traps and aborts push RFLAGS.RF = 1 (SDM 17.3.1.1). */
	if (!(BIT(ex->vector) & NOT_FAULTS))
		vcpu_set_rflags(vcpu, vcpu_rflags(vcpu) | X86_EFLAGS_RF);
	if (ex->vector == X86_TRAP_DB)
		debug_db_injected(vcpu);
	ex->pending = false;
	ex->injected = true;
	inject_exception(vcpu);
}

static void inject_nmi(struct vcpu *vcpu)
{
	vendor_call(inject, vcpu, &(struct vmm_event){ .type = EVENT_NMI, .vector = 2 });
	regs_mod(vcpu, RG_INTR)->nmi_blocked = true;
}

static void inject_irq(struct vcpu *vcpu)
{
	struct vmm_event event = {
		.type = vcpu->ev.irq.soft ? EVENT_SOFT_INTR : EVENT_INTR,
		.vector = vcpu->ev.irq.vector, .insn_len = vcpu->ev.irq.insn_len,
	};

	trace_vmm_inj_virq(vcpu->id, event.vector, vcpu->ev.irq.soft);
	vendor_call(inject, vcpu, &event);
}

/*
 * Interrupted deliveries first; true when the slot is taken. A pending exception takes the
 * place of an interrupt or NMI: one that came up during its delivery does so in the CPU,
 * and one that user space queues beside it does so in KVM.
 */
static bool reinject(struct vcpu *vcpu)
{
	if (vcpu->ev.ex.injected)
		inject_exception(vcpu);
	else if (vcpu->ev.ex.pending)
		return false;
	else if (vcpu->ev.nmi_injected)
		inject_nmi(vcpu);
	else if (vcpu->ev.irq.injected)
		inject_irq(vcpu);
	else
		return false;
	return true;
}

/* An interrupt that may come now is taken from its controller. */
static bool start_irq(struct vcpu *vcpu)
{
	struct vcpu_events *ev = &vcpu->ev;
	int vector;

	if (!irq_allowed(vcpu))
		return false;
	vector = take_irq(vcpu);
	if (vector < 0)
		return false;
	ev->irq.injected = true;
	ev->irq.soft = false;
	ev->irq.vector = vector;
	vcpu->stats.irq_injections++;
	return true;
}

void events_take_irq(struct vcpu *vcpu)
{
	drain_nmis(vcpu);
	if (events_busy(vcpu) || (vcpu->ev.nmi_pending && nmi_allowed(vcpu)))
		return;
	/* It is not injected yet. */
	if (start_irq(vcpu))
		vcpu_request(vcpu, REQ_EVENT);
}

static bool inject_new(struct vcpu *vcpu)
{
	struct vcpu_events *ev = &vcpu->ev;

	if (ev->ex.pending) {
		start_exception(vcpu);
		return true;
	}
	if (ev->nmi_pending && nmi_allowed(vcpu)) {
		ev->nmi_pending--;
		ev->nmi_injected = true;
		vcpu->stats.nmi_injections++;
		inject_nmi(vcpu);
		return true;
	}
	if (!start_irq(vcpu))
		return false;
	inject_irq(vcpu);
	return true;
}

static u32 windows_wanted(struct vcpu *vcpu)
{
	struct vcpu_events *ev = &vcpu->ev;
	u32 windows = 0;

	/* An open window of a blocked event would exit for ever. */
	if (vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ)
		return 0;
	if (ev->nmi_pending)
		windows |= WINDOW_NMI;
	if (user_irq_pending(vcpu) || next_irq(vcpu) >= 0 ||
	    (vcpu->vm->irq.mode != IRQCHIP_KERNEL && vcpu->run->request_interrupt_window &&
	     irq_takes_extint(vcpu)))
		windows |= WINDOW_IRQ;
	return windows;
}

void events_inject(struct vcpu *vcpu)
{
	drain_nmis(vcpu);
	if ((reinject(vcpu) || inject_new(vcpu)) && unlikely(vcpu->smm.pending))
		smi_after_event(vcpu);
	vendor_call(set_window, vcpu, windows_wanted(vcpu));
	if (vcpu->lapic)
		vendor_call(set_tpr_threshold, vcpu, lapic_get_tpr(vcpu),
			    lapic_highest_irr(vcpu));
	else
		vendor_call(set_tpr_threshold, vcpu, vcpu->regs.cr8, -1);
}

/* KVM_INTERRUPT */
int events_user_interrupt(struct vcpu *vcpu, u32 vector)
{
	if (vector >= 256)
		return -EINVAL;
	if (vcpu->vm->irq.mode == IRQCHIP_KERNEL)
		return -ENXIO;
	if (vcpu->vm->irq.mode == IRQCHIP_SPLIT && vcpu->ev.user_vector >= 0)
		return -EEXIST;
	vcpu->ev.user_vector = vector;
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

static void events_get_smi(struct vcpu *vcpu, struct kvm_vcpu_events *out)
{
	smi_drain(vcpu);
	out->smi.smm = vcpu->smm.active;
	out->smi.pending = vcpu->smm.pending;
	out->smi.smm_inside_nmi = vcpu->smm.inside_nmi;
	out->smi.latched_init = vcpu->lapic && lapic_latched_init(vcpu);
}

static void events_set_smi(struct vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	if (vcpu->smm.active != !!in->smi.smm)
		smm_changed(vcpu, in->smi.smm);
	vcpu->smm.pending = in->smi.pending;
	if (in->smi.smm)
		vcpu->smm.inside_nmi = in->smi.smm_inside_nmi;
	if (vcpu->lapic)
		lapic_latch_init(vcpu, in->smi.latched_init);
	smi_recheck(vcpu);
}

void events_payload_for_user(struct vcpu *vcpu)
{
	if (!vcpu->vm->exception_payload && vcpu->ev.ex.pending)
		deliver_payload(vcpu);
}

void events_get(struct vcpu *vcpu, struct kvm_vcpu_events *out)
{
	struct exception_state *ex = &vcpu->ev.ex;
	struct vcpu_events *ev = &vcpu->ev;

	memset(out, 0, sizeof(*out));
	drain_nmis(vcpu);
	events_payload_for_user(vcpu);
	/* Without its length, INT3's says nothing: RIP is still there, and it comes again. */
	if (!ex->soft_len) {
		out->exception.injected = ex->injected;
		out->exception.pending = ex->pending;
		/* Without the capability a pending exception looks like an injected one. */
		if (!vcpu->vm->exception_payload)
			out->exception.injected |= ex->pending;
	}
	out->exception.nr = ex->vector;
	out->exception.has_error_code = ex->has_error;
	out->exception.error_code = ex->error;
	out->exception_has_payload = ex->has_payload;
	out->exception_payload = ex->payload;
	out->interrupt.injected = ev->irq.injected && !ev->irq.soft;
	out->interrupt.nr = ev->irq.vector;
	/* Without a LAPIC what KVM_INTERRUPT left counts as injected, as in KVM. */
	if (!ev->irq.injected && !vcpu->lapic && ev->user_vector >= 0) {
		out->interrupt.injected = 1;
		out->interrupt.nr = ev->user_vector;
	}
	out->interrupt.shadow = regs_get(vcpu, RG_INTR)->intr_shadow;
	out->nmi.injected = ev->nmi_injected;
	out->nmi.pending = ev->nmi_pending;
	out->nmi.masked = regs_get(vcpu, RG_INTR)->nmi_blocked;
	events_get_smi(vcpu, out);
	out->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		     KVM_VCPUEVENT_VALID_SMM;
	if (vcpu->vm->exception_payload)
		out->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->triple_fault_event) {
		out->triple_fault.pending = test_bit(REQ_TRIPLE_FAULT, &vcpu->requests);
		out->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
}

#define EVENT_FLAGS (KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR | \
		     KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM | \
		     KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

static int events_check(struct vcpu *vcpu, const struct kvm_vcpu_events *in,
			bool pending)
{
	if (in->flags & ~EVENT_FLAGS)
		return -EINVAL;
	if ((in->flags & KVM_VCPUEVENT_VALID_PAYLOAD) && !vcpu->vm->exception_payload)
		return -EINVAL;
	if ((in->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) && !vcpu->vm->triple_fault_event)
		return -EINVAL;
	if ((in->exception.injected || pending) &&
	    (in->exception.nr > 31 || in->exception.nr == X86_TRAP_NMI))
		return -EINVAL;
	/* INIT is blocked in SMM, so there is no SMM in the state that it leads to. */
	if ((in->flags & KVM_VCPUEVENT_VALID_SMM) && (in->smi.smm || in->smi.pending) &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED)
		return -EINVAL;
	return 0;
}

int events_set(struct vcpu *vcpu, const struct kvm_vcpu_events *in)
{
	bool payload = in->flags & KVM_VCPUEVENT_VALID_PAYLOAD;
	bool pending = payload && in->exception.pending;
	struct vcpu_events *ev = &vcpu->ev;
	int err = events_check(vcpu, in, pending);

	if (err)
		return err;
	drain_nmis(vcpu);
	ev->ex = (struct exception_state){
		.injected = in->exception.injected && !pending, .pending = pending,
		.vector = in->exception.nr, .soft_len = soft_len(vcpu, in->exception.nr),
		.has_error = in->exception.has_error_code,
		.error = in->exception.error_code,
		.has_payload = pending && in->exception_has_payload,
		.payload = pending ? in->exception_payload : 0,
	};
	if (!vcpu->lapic)
		ev->user_vector = -1;
	ev->irq.injected = in->interrupt.injected;
	ev->irq.soft = in->interrupt.soft;
	ev->irq.vector = in->interrupt.nr;
	if (in->flags & KVM_VCPUEVENT_VALID_SHADOW)
		vcpu_set_shadow(vcpu, in->interrupt.shadow &
				(KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS));
	ev->nmi_injected = in->nmi.injected;
	if (in->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		ev->nmi_pending = 0;
		atomic_set(&ev->nmi_queued, in->nmi.pending);
	}
	regs_mod(vcpu, RG_INTR)->nmi_blocked = in->nmi.masked;
	if ((in->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->lapic)
		lapic_set_sipi_vector(vcpu, in->sipi_vector);
	if (in->flags & KVM_VCPUEVENT_VALID_SMM)
		events_set_smi(vcpu, in);
	if (in->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) {
		if (in->triple_fault.pending)
			vcpu_request(vcpu, REQ_TRIPLE_FAULT);
		else
			clear_bit(REQ_TRIPLE_FAULT, &vcpu->requests);
	}
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

u32 mp_state_get(struct vcpu *vcpu)
{
	run_accept_init_sipi(vcpu);
	if (vcpu->mp_state == KVM_MP_STATE_HALTED && READ_ONCE(vcpu->pv->unhalted))
		return KVM_MP_STATE_RUNNABLE;
	return vcpu->mp_state;
}

/* As above: what waits for SIPI is not in SMM, nor is it about to enter it. */
static bool mp_state_blocked(struct vcpu *vcpu, u32 state)
{
	return (vcpu->smm.active || vcpu->smm.pending) &&
	       (state == KVM_MP_STATE_SIPI_RECEIVED || state == KVM_MP_STATE_INIT_RECEIVED);
}

int mp_state_set(struct vcpu *vcpu, u32 state)
{
	if (mp_state_blocked(vcpu, state))
		return -EINVAL;
	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_HALTED:
		if (!vcpu->lapic)
			return -EINVAL;
		break;
	case KVM_MP_STATE_SIPI_RECEIVED:
		if (!vcpu->lapic)
			return -EINVAL;
		vcpu->mp_state = KVM_MP_STATE_INIT_RECEIVED;
		lapic_set_pending_sipi(vcpu);
		return 0;
	default:
		return -EINVAL;
	}
	vcpu->mp_state = state;
	vcpu_request(vcpu, REQ_EVENT);
	smi_recheck(vcpu);
	return 0;
}
