// SPDX-License-Identifier: GPL-2.0-only
/*
 * Help for guests that touch the TPR too often: user space learns of each access
 * (KVM_TPR_ACCESS_REPORTING), patches the instruction to use a byte of memory
 * instead, and tells where that is (KVM_SET_VAPIC_ADDR). Little-endian, from the
 * low byte: TPR, the class in service, 0, the highest vector requested.
 *
 * While the byte is in use the guest's priority is what it holds: every exit ends
 * the stay (vcpu->vapic), and the word is read after it and written before the next.
 */
#include "irq/lapic.h"
#include "regs_access.h"

struct vapic_word {
	u8 tpr, isr, zero, irr;
};

/* vCPU thread, RIP still on the instruction. */
void lapic_report_tpr(struct lapic *l, bool write)
{
	l->tpr_rip = vcpu_rip(l->vcpu);
	l->tpr_written = write;
	vcpu_request(l->vcpu, REQ_TPR_ACCESS);
}

void lapic_tpr_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->exit_reason = KVM_EXIT_TPR_ACCESS;
	memset(&run->tpr_access, 0, sizeof(run->tpr_access));
	run->tpr_access.rip = vcpu->lapic->tpr_rip;
	run->tpr_access.is_write = vcpu->lapic->tpr_written;
}

int lapic_set_tpr_reporting(struct vcpu *vcpu, const struct kvm_tpr_access_ctl *ctl)
{
	if (ctl->flags)
		return -EINVAL;
	/* Without a LAPIC there is no TPR of ours; KVM takes it all the same. */
	if (vcpu->lapic)
		vcpu->lapic->report_tpr = ctl->enabled;
	return 0;
}

/* Under vm->srcu: RAM that may be written, all of it. */
static bool usable(struct vm *vm, gpa_t gpa)
{
	gpa_t last = gpa + sizeof(struct vapic_word) - 1;
	hva_t hva;

	return last > gpa && !mm_gfn_to_hva(vm, 0, gpa >> PAGE_SHIFT, true, &hva) &&
	       !mm_gfn_to_hva(vm, 0, last >> PAGE_SHIFT, true, &hva);
}

int lapic_set_vapic(struct vcpu *vcpu, u64 gpa)
{
	struct vm *vm = vcpu->vm;
	int idx, err = 0;

	if (!vcpu->lapic)
		return -EINVAL;
	if (gpa) {
		idx = srcu_read_lock(&vm->srcu);
		if (!usable(vm, gpa) ||
		    gpa_cache_init(vcpu, &vcpu->lapic->vapic, gpa, sizeof(struct vapic_word)))
			err = -EINVAL;
		srcu_read_unlock(&vm->srcu, idx);
	}
	if (!err)
		vcpu->vapic = gpa;
	return err;
}

/* What the next entry injects counts as in service already. */
void lapic_vapic_to_guest(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;
	struct vapic_word word;

	events_take_irq(vcpu);
	if (!lapic_enabled(l))
		return;
	word = (struct vapic_word){
		.tpr = lapic_reg(l, APIC_TASKPRI),
		.isr = max(l->isr_top, 0) & 0xf0,
		.irr = max(lapic_highest_irr(vcpu), 0),
	};
	gpa_cache_write(vcpu, &l->vapic, &word, 0, sizeof(word));
}

void lapic_vapic_from_guest(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;
	u8 tpr;

	if (!gpa_cache_read(vcpu, &l->vapic, &tpr, offsetof(struct vapic_word, tpr), 1))
		lapic_write_tpr(l, tpr);
}
