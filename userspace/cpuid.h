/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What CPUID tells the guest: all that KVM supports, on one socket with one
 * thread per core.
 */
#ifndef VMRUN_CPUID_H
#define VMRUN_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm;

/* What differs from machine to machine. */
struct cpuid_topology {
	unsigned int cpus;
	unsigned int apic_id;	/* of this vCPU */
	bool tsc_deadline;	/* KVM_CAP_TSC_DEADLINE_TIMER */
};

/*
 * KVM_GET_SUPPORTED_CPUID in a malloc'ed table, with room for the entries that
 * cpuid_apply() appends.
 */
int cpuid_supported(const struct kvm *kvm, struct kvm_cpuid2 **table);

/* Width of the guest's physical addresses. */
unsigned int cpuid_phys_bits(const struct kvm_cpuid2 *table);

/*
 * Whether a vCPU with table @own could be given table @wanted instead: the same maker, and no
 * feature that @own lacks. Return: 0, or -EINVAL and the first one in @why.
 */
int cpuid_can_be(const struct kvm_cpuid2 *own, const struct kvm_cpuid2 *wanted,
		 char *why, size_t size);

/* Edits such a table for one vCPU; may be repeated for the next. */
void cpuid_apply(struct kvm_cpuid2 *table, const struct cpuid_topology *topo);

#endif
