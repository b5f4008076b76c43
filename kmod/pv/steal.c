// SPDX-License-Identifier: GPL-2.0-only
/*
 * Steal time: what the vCPU's thread waited for a CPU, whether it has one now,
 * and the TLB flush that is left for its next entry when it has none.
 */
#include <linux/sched.h>
#include <linux/sched/stat.h>
#include <linux/uaccess.h>

#include "pv/pv.h"

static bool steal_on(const struct pv_steal *s)
{
	return s->msr & KVM_MSR_ENABLED;
}

/*
 * The flags of a vCPU that is preempted no more. A guest adds its flush by
 * compare-exchange, so taking them is one, too.
 */
static int take_preempted(struct kvm_steal_time __user *st, u8 *flags)
{
	int r;

	*flags = KVM_VCPU_PREEMPTED;
	do {
		r = __try_cmpxchg_user(&st->preempted, flags, 0, fault);
	} while (r > 0);
	return r;
}

/* A guest that reads meanwhile sees an odd version, or that it changed. */
static int add_steal(struct kvm_steal_time __user *st, u64 more)
{
	u32 version;
	u64 steal;

	if (!user_access_begin(st, sizeof(*st)))
		return -EFAULT;
	unsafe_get_user(version, &st->version, fault);
	/* An odd one is what the memory held before: nobody is writing. */
	version += 1 + (version & 1);
	unsafe_put_user(version, &st->version, fault);
	/* The odd version before the value. */
	smp_wmb();
	unsafe_get_user(steal, &st->steal, fault);
	unsafe_put_user(steal + more, &st->steal, fault);
	/* And it before the even one. */
	smp_wmb();
	unsafe_put_user(version + 1, &st->version, fault);
	user_access_end();
	return 0;

fault:
	user_access_end();
	return -EFAULT;
}

void pv_steal_record(struct vcpu *vcpu)
{
	struct pv_steal *s = &vcpu->pv->steal;
	struct kvm_steal_time __user *st;
	u64 delay;
	u8 flags;

	if (!steal_on(s))
		return;
	st = gpa_cache_ptr(vcpu, &s->page, 0, sizeof(*st));
	if (!st || take_preempted(st, &flags))
		return;
	/* Not before the flags are taken: a sched_out would write over a guest's flush. */
	s->preempted = false;
	s->known = true;
	if ((flags & KVM_VCPU_FLUSH_TLB) && pv_has(vcpu, KVM_FEATURE_PV_TLB_FLUSH))
		vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	delay = current->sched_info.run_delay;
	if (!add_steal(st, delay - s->told))
		s->told = delay;
	gpa_cache_dirty(vcpu, &s->page);
}

/*
 * The runqueue is locked: the page is written only if it is there. A host
 * interrupt leaves the vCPU between two instructions; after other exits one
 * may be half done, with translations that another vCPU would take for
 * flushed. Who sleeps has no use for a CPU.
 */
static void set_preempted(struct pv_steal *s)
{
	struct vcpu *vcpu = s->vcpu;
	struct vm *vm = vcpu->vm;
	int idx;

	if (!steal_on(s) || !s->known || s->preempted)
		return;
	if (vcpu->exit.kind != EXIT_EXTINT || !task_is_running(current)) {
		vcpu->stats.preemption_other++;
		return;
	}
	vcpu->stats.preemption_reported++;
	idx = srcu_read_lock(&vm->srcu);
	s->preempted = !gpa_cache_put8(vcpu, &s->page,
				       offsetof(struct kvm_steal_time, preempted),
				       KVM_VCPU_PREEMPTED);
	srcu_read_unlock(&vm->srcu, idx);
}

static void steal_sched_out(struct preempt_notifier *notifier, struct task_struct *next)
{
	set_preempted(container_of(notifier, struct pv_steal, notifier));
}

static void steal_sched_in(struct preempt_notifier *notifier, int cpu)
{
	vcpu_request(container_of(notifier, struct pv_steal, notifier)->vcpu, REQ_STEAL);
}

static struct preempt_ops steal_ops = {
	.sched_in = steal_sched_in,
	.sched_out = steal_sched_out,
};

/* Within KVM_RUN. The kernel looks for notifiers only once somebody has asked it to. */
static void listen(struct pv_steal *s)
{
	if (s->listening)
		return;
	if (!s->counted)
		preempt_notifier_inc();
	s->counted = true;
	preempt_disable();
	preempt_notifier_register(&s->notifier);
	preempt_enable();
	s->listening = true;
}

void pv_steal_begin(struct vcpu *vcpu)
{
	listen(&vcpu->pv->steal);
	vcpu_request(vcpu, REQ_STEAL);
}

void pv_steal_end(struct vcpu *vcpu)
{
	struct pv_steal *s = &vcpu->pv->steal;

	preempt_disable();
	preempt_notifier_unregister(&s->notifier);
	preempt_enable();
	s->listening = false;
}

int pv_steal_set(struct vcpu *vcpu, u64 val, bool host)
{
	struct pv_steal *s = &vcpu->pv->steal;

	if (!sched_info_on() || (val & KVM_STEAL_RESERVED_MASK))
		return 1;
	s->msr = val;
	s->known = false;
	if (!steal_on(s))
		return 0;
	/* No memory there is no error: it may come later. */
	gpa_cache_init(vcpu, &s->page, val & KVM_STEAL_VALID_BITS,
		       sizeof(struct kvm_steal_time));
	vcpu_request(vcpu, REQ_STEAL);
	if (!host)
		listen(s);
	return 0;
}

void pv_steal_create(struct vcpu *vcpu)
{
	struct pv_steal *s = &vcpu->pv->steal;

	s->vcpu = vcpu;
	preempt_notifier_init(&s->notifier, &steal_ops);
}

void pv_steal_destroy(struct vcpu *vcpu)
{
	if (vcpu->pv->steal.counted)
		preempt_notifier_dec();
}
