// SPDX-License-Identifier: GPL-2.0-only
/*
 * EOI without an exit. The host sets a bit in guest memory when the EOI of the
 * vector in service concerns nobody else; a guest that finds it set clears it
 * and is done. The offer stands for one entry: at each exit the bit is taken
 * back, or, when the guest has cleared it, the LAPIC makes the EOI. So outside
 * of a stay the LAPIC's registers are complete.
 */
#include "pv/pv.h"

void pv_eoi_offer(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	int idx;

	if (!lapic_eoi_silent(vcpu))
		return;
	idx = srcu_read_lock(&vm->srcu);
	vcpu->eoi_offered = !gpa_cache_put8(vcpu, &vcpu->pv->eoi.byte, 0, KVM_PV_EOI_ENABLED);
	srcu_read_unlock(&vm->srcu, idx);
}

bool pv_eoi_collect(struct vcpu *vcpu)
{
	struct gpa_cache *gc = &vcpu->pv->eoi.byte;
	struct vm *vm = vcpu->vm;
	int idx, err;
	u8 val = 0;

	idx = srcu_read_lock(&vm->srcu);
	err = gpa_cache_get8(vcpu, gc, 0, &val);
	if (!err && (val & KVM_PV_EOI_MASK))
		err = gpa_cache_put8(vcpu, gc, 0, KVM_PV_EOI_DISABLED);
	srcu_read_unlock(&vm->srcu, idx);
	if (err)
		return false;
	vcpu->eoi_offered = false;
	if (!(val & KVM_PV_EOI_MASK))
		lapic_eoi(vcpu);
	return true;
}

/* A byte that is gone for good counts as an EOI, as in KVM: else none would ever come. */
void pv_eoi_collect_slow(struct vcpu *vcpu)
{
	struct gpa_cache *gc = &vcpu->pv->eoi.byte;
	u8 val, none = KVM_PV_EOI_DISABLED;

	vcpu->eoi_offered = false;
	if (!gpa_cache_read(vcpu, gc, &val, 0, sizeof(val)) && (val & KVM_PV_EOI_MASK) &&
	    !gpa_cache_write(vcpu, gc, &none, 0, sizeof(none)))
		return;
	lapic_eoi(vcpu);
}

/* An entry writes only to a page that is there, so it is fetched now, and left as it is. */
static void fetch_page(struct vcpu *vcpu, struct gpa_cache *gc)
{
	u8 val;

	if (!gpa_cache_read(vcpu, gc, &val, 0, sizeof(val)))
		gpa_cache_write(vcpu, gc, &val, 0, sizeof(val));
}

int pv_eoi_set(struct vcpu *vcpu, u64 val, bool host)
{
	struct pv_eoi *eoi = &vcpu->pv->eoi;
	u64 gpa = val & ~(u64)KVM_MSR_ENABLED;

	if (!IS_ALIGNED(gpa, 4))
		return 1;
	if (val & KVM_MSR_ENABLED) {
		if (gpa_cache_init(vcpu, &eoi->byte, gpa, sizeof(u8)))
			return 1;
		fetch_page(vcpu, &eoi->byte);
	}
	eoi->msr = val;
	vcpu->eoi_shared = val & KVM_MSR_ENABLED;
	return 0;
}
