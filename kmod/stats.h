/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of a vCPU, one line each, read through KVM's binary stats fd. */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <linux/types.h>

/* Names are KVM's where KVM has the counter. */
#define VMM_VCPU_STATS(S)						\
	S(exits) S(io_exits) S(mmio_exits) S(signal_exits) S(halt_exits) \
	S(irq_exits) S(irq_window_exits) S(nmi_window_exits)		\
	S(request_irq_exits) S(irq_injections) S(nmi_injections)	\
	S(pf_taken) S(pf_fixed) S(pf_mmio) S(insn_emulation)		\
	S(insn_emulation_fail) S(hypercalls) S(halt_wakeup) S(tlb_flush) \
	S(fpu_loads) S(stays) S(fast_exits) S(preempt_exits)

struct vcpu_stats {
#define S(name) u64 name;
	VMM_VCPU_STATS(S)
#undef S
};

#define VMM_VM_STATS(S)							\
	S(mmu_zap) S(remote_tlb_flush) S(remote_tlb_flush_requests)	\
	S(pages_4k) S(pages_2m) S(pages_1g)

struct vm_stats {
#define S(name) u64 name;
	VMM_VM_STATS(S)
#undef S
};

struct vm;
struct vcpu;
int vm_stats_fd(struct vm *vm);
int vcpu_stats_fd(struct vcpu *vcpu);

#endif /* VMM_STATS_H */
