/* SPDX-License-Identifier: GPL-2.0-only */
/* What a guest may know of its host (KVM's paravirtual interface). */
#ifndef VMM_PV_H
#define VMM_PV_H

#include <linux/bits.h>
#include <asm/kvm_para.h>

#include "vmm.h"

/* CPUID 0x40000001.EAX; a bit is here only when its feature works. */
#define VMM_PV_FEATURES \
	(BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) | \
	 BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

struct vcpu_pv {
	u64 wall_clock;		/* MSR values */
	u64 system_time;
	struct gpa_cache time_page;
	bool time_on;
	bool paused;		/* KVM_KVMCLOCK_CTRL: tell the guest once */
};

int pv_create(struct vcpu *vcpu);
void pv_destroy(struct vcpu *vcpu);
int pv_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
int pv_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host);
/* REQ_CLOCK: rewrites the kvmclock page. Under vm->srcu, sleeps. */
void pv_clock_update(struct vcpu *vcpu);
int pv_clock_paused(struct vcpu *vcpu);
/* VMCALL/VMMCALL: the value for RAX. */
long pv_hypercall(struct vcpu *vcpu, unsigned long nr);

#endif /* VMM_PV_H */
