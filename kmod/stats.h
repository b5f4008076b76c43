/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of a vCPU and of a VM, read through KVM's binary stats fd. */
#ifndef VMM_STATS_H
#define VMM_STATS_H

#include <linux/bitops.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "events.h"

/* Names are KVM's where KVM has the counter. Written by the vCPU's own thread. */
#define VMM_VCPU_STATS(S)						\
	S(exits) S(io_exits) S(mmio_exits) S(signal_exits) S(halt_exits) \
	S(irq_exits) S(irq_window_exits) S(nmi_window_exits)		\
	S(request_irq_exits) S(irq_injections) S(nmi_injections) S(smi_injections) \
	S(pf_taken) S(pf_fixed) S(pf_fast) S(pf_emulate) S(insn_emulation) \
	S(insn_emulation_fail) S(hypercalls) S(halt_wakeup) S(tlb_flush) \
	S(fpu_reload) S(stays) S(fast_exits) S(preempt_exits)		\
	S(halt_successful_poll) S(halt_attempted_poll) S(halt_poll_invalid) \
	S(directed_yield_attempted) S(directed_yield_successful) S(pause_yields) \
	S(apf_started) S(apf_halts) S(preemption_reported) S(preemption_other) \
	S(dirty_ring_exits) S(pml_full) S(pml_logged)
/* Sums of nanoseconds, and how many of which length: bucket fls(ns). */
#define VMM_VCPU_TIMES(S)						\
	S(halt_poll_success_ns) S(halt_poll_fail_ns) S(halt_wait_ns)
#define VMM_VCPU_HISTOGRAMS(S)						\
	S(halt_poll_success_hist) S(halt_poll_fail_hist) S(halt_wait_hist)

#define VMM_HIST_BUCKETS	32

struct vcpu_hists {
#define S(name) u64 name[VMM_HIST_BUCKETS];
	VMM_VCPU_HISTOGRAMS(S)
#undef S
};

struct vcpu_stats {
#define S(name) u64 name;
	VMM_VCPU_STATS(S)
	VMM_VCPU_TIMES(S)
#undef S
	u64 exit_kinds[NR_EXIT_KINDS];	/* exit_cpuid, exit_hlt, ... */
	struct vcpu_hists hist;
};

/* Counters only grow, gauges tell what is now. Several vCPUs write: atomically. */
#define VMM_VM_COUNTERS(S)						\
	S(mmu_zap) S(mmu_split) S(remote_tlb_flush) S(remote_tlb_flush_requests)
#define VMM_VM_GAUGES(S)						\
	S(pages_4k) S(pages_2m) S(pages_1g) S(nx_lpage_splits)

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

static inline void stats_hist_add(u64 *hist, u64 ns)
{
	hist[min_t(unsigned int, fls64(ns), VMM_HIST_BUCKETS - 1)]++;
}

struct vm;
struct vcpu;
int vm_stats_fd(struct vm *vm);
int vcpu_stats_fd(struct vcpu *vcpu);

#endif /* VMM_STATS_H */
