// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MSRs by which a guest switches features on, and the state of all of the
 * room over a reset.
 */
#include "cpuid.h"
#include "pv/pv.h"

static int set_poll_control(struct vcpu *vcpu, u64 val, bool host)
{
	if (val & ~VMM_POLL_ALLOWED)
		return 1;
	vcpu->pv->poll_control = val;
	return 0;
}

static const struct pv_msr {
	u32 msr;
	u8 feature;
	u16 value;	/* offset in struct vcpu_pv of what it reads as */
	int (*set)(struct vcpu *vcpu, u64 val, bool host);
} pv_msrs[] = {
#define ROW(name, feature, field, set) \
	{ MSR_KVM_##name, KVM_FEATURE_##feature, offsetof(struct vcpu_pv, field), set }
	ROW(ASYNC_PF_EN, ASYNC_PF, apf.en, pv_apf_set_en),
	ROW(STEAL_TIME, STEAL_TIME, steal.msr, pv_steal_set),
	ROW(PV_EOI_EN, PV_EOI, eoi.msr, pv_eoi_set),
	ROW(POLL_CONTROL, POLL_CONTROL, poll_control, set_poll_control),
	ROW(ASYNC_PF_INT, ASYNC_PF_INT, apf.irq, pv_apf_set_irq),
	ROW(ASYNC_PF_ACK, ASYNC_PF_INT, apf.ack, pv_apf_set_ack),
#undef ROW
};

static const struct pv_msr *find_msr(struct vcpu *vcpu, u32 msr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(pv_msrs); i++)
		if (pv_msrs[i].msr == msr)
			return pv_has(vcpu, pv_msrs[i].feature) ? &pv_msrs[i] : NULL;
	return NULL;
}

int pv_feature_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	const struct pv_msr *row = find_msr(vcpu, msr);

	if (!row)
		return -ENOENT;
	*val = *(u64 *)((void *)vcpu->pv + row->value);
	return 0;
}

int pv_feature_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	const struct pv_msr *row = find_msr(vcpu, msr);

	return row ? row->set(vcpu, val, host) : -ENOENT;
}

bool pv_has(struct vcpu *vcpu, unsigned int feature)
{
	return !vcpu->pv->enforce || guest_pv_feature(vcpu, feature);
}

/* INIT as well as power-up: the guest that shared its memory is gone. */
void pv_reset(struct vcpu *vcpu)
{
	struct vcpu_pv *pv = vcpu->pv;

	pv->system_time = 0;
	pv->time_on = false;
	pv->steal.msr = 0;
	pv->steal.known = false;
	pv->eoi.msr = 0;
	vcpu->eoi_shared = false;
	pv_apf_reset(vcpu);
}
