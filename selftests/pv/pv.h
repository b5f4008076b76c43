/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of paravirtual features share: MSRs, pages that both sides write, threads on one CPU. */
#ifndef PV_H
#define PV_H

#include <asm/kvm_para.h>
#include <sched.h>
#include <sys/syscall.h>

#include "../irq/irq.h"

#define PV_GPA		0x100000ul	/* a page per vCPU, each feature in its own 256 bytes */
#define STEAL_GPA(id)	(PV_GPA + (id) * PAGE_4K)
#define EOI_GPA(id)	(PV_GPA + (id) * PAGE_4K + 0x100)
#define APF_GPA(id)	(PV_GPA + (id) * PAGE_4K + 0x200)
#define NO_MEMORY_GPA	0x80000000ul

#define FIXED_SELF	0x44000		/* ICR: assert, self */

static inline int pv_has_cap(struct guest *g, int cap)
{
	return ioctl(g->fd, KVM_CHECK_EXTENSION, cap);
}

static inline void pv_need_feature(struct guest *g, int bit)
{
	if (!(guest_cpuid_reg(g, KVM_CPUID_FEATURES, 0, 0) & 1u << bit))
		SKIP("feature %d is not offered", bit);
}

/* From now on all threads of this process share one CPU. */
static inline void pv_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	MUST(sched_setaffinity(0, sizeof(set), &set));
}

static inline uint32_t pv_msr_error(struct guest_cpu *cpu)
{
	struct kvm_run *run = cpu->run;

	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	return *(uint32_t *)((char *)run + run->io.data_offset);
}

#endif /* PV_H */
