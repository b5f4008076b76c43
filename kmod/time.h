/* SPDX-License-Identifier: GPL-2.0-only */
/* TSC of the vCPUs and the VM's clock. */
#ifndef VMM_TIME_H
#define VMM_TIME_H

#include "vmm.h"

#define VMM_CLOCK_FLAGS \
	(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

/* One moment on the host, read so that all fields belong together. */
struct time_pair {
	u64 tsc;		/* host TSC */
	u64 base_ns;		/* CLOCK_MONOTONIC_RAW and what the host slept */
	u64 real_ns;
};

void time_pair_now(struct time_pair *now);
/* The wall clock and the host's TSC at one moment; false unless the TSC is its clocksource. */
bool time_wall_and_tsc(u64 *real_ns, u64 *tsc);

int vm_clock_create(struct vm *vm);
void vm_clock_destroy(struct vm *vm);
int vm_clock_get(struct vm *vm, struct kvm_clock_data *data);
int vm_clock_set(struct vm *vm, const struct kvm_clock_data *data);
int vm_set_tsc_khz(struct vm *vm, u32 khz);

/* kvmclock: the anchor all vCPUs extrapolate from, and whether that is safe. */
struct vm_clock_anchor {
	u64 tsc;		/* host TSC */
	u64 ns;			/* the guest's kvmclock at that moment */
	bool stable;
};

void vm_clock_anchor(struct vm *vm, struct vm_clock_anchor *anchor);
u64 vm_clock_now(struct vm *vm);
/*
 * After a suspend. resumed: on the only CPU, before anything else runs, when
 * the host's TSC went back by @lost. anchor_again: when the host knows how long
 * it slept.
 */
void vm_clock_resumed(struct vm *vm, u64 lost);
void vm_clock_anchor_again(struct vm *vm);

void time_vcpu_init(struct vcpu *vcpu);
/* After a change of a vCPU's TSC by user space, and of which vCPUs there are. */
void time_compare_tscs(struct vm *vm);
/* IA32_TSC written: by user space with KVM's matching of several vCPUs, or by the guest. */
void time_write_tsc(struct vcpu *vcpu, u64 tsc, bool host);
void time_adjust_tsc(struct vcpu *vcpu, s64 delta);
int time_set_tsc_khz(struct vcpu *vcpu, u32 khz);
u64 time_scale_tsc(const struct vcpu *vcpu, u64 host_tsc);

int time_has_attr(struct vcpu *vcpu, const struct kvm_device_attr *attr);
int time_get_attr(struct vcpu *vcpu, const struct kvm_device_attr *attr);
int time_set_attr(struct vcpu *vcpu, const struct kvm_device_attr *attr);

#endif /* VMM_TIME_H */
