/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of a vCPU and of a VM, read through KVM's binary stats fd. */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <linux/types.h>

#include "events.h"

/* Names are KVM's where KVM has the counter. Written by the vCPU's own thread. */
#define VMM_VCPU_STATS(S)						\
	S(exits) S(io_exits) S(mmio_exits) S(signal_exits) S(halt_exits) \
	S(irq_exits) S(irq_window_exits) S(nmi_window_exits)		\
	S(request_irq_exits) S(irq_injections) S(nmi_injections)	\
	S(pf_taken) S(pf_fixed) S(pf_fast) S(pf_emulate) S(insn_emulation) \
	S(insn_emulation_fail) S(hypercalls) S(halt_wakeup) S(tlb_flush) \
	S(fpu_reload) S(stays) S(fast_exits) S(preempt_exits)		\
	S(apf_started) S(apf_halts) S(preemption_reported) S(preemption_other)

struct vcpu_stats {
#define S(name) u64 name;
	VMM_VCPU_STATS(S)
#undef S
	u64 exit_kinds[NR_EXIT_KINDS];	/* exit_cpuid, exit_hlt, ... */
};

/* Counters only grow, gauges tell what is now. Several vCPUs write: atomically. */
#define VMM_VM_COUNTERS(S)						\
	S(mmu_zap) S(remote_tlb_flush) S(remote_tlb_flush_requests)
#define VMM_VM_GAUGES(S)						\
	S(pages_4k) S(pages_2m) S(pages_1g)

struct vm_stats {
#define S(name) u64 name;
	VMM_VM_COUNTERS(S)
	VMM_VM_GAUGES(S)
#undef S
};

static inline void stats_count_exit(struct vcpu_stats *stats, unsigned int kind)
{
	if (likely(kind < NR_EXIT_KINDS))
		stats->exit_kinds[kind]++;
}

struct vm;
struct vcpu;
int vm_stats_fd(struct vm *vm);
int vcpu_stats_fd(struct vcpu *vcpu);

#endif /* VMM_STATS_H */
