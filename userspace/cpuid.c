// SPDX-License-Identifier: GPL-2.0-only
#include "cpuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvm.h"
#include "util/list.h"
#include "util/msg.h"

#define CPUID_ROOM_MIN	64
#define CPUID_ROOM_MAX	1024

#define LEAF1_EDX_HTT		(1u << 28)
#define LEAF1_ECX_DEADLINE	(1u << 24)
#define LEAF1_ECX_VMX		(1u << 5)
#define LEAF1_ECX_HYPERVISOR	(1u << 31)
#define AMD_ECX_CMP_LEGACY	(1u << 1)
#define AMD_ECX_SVM		(1u << 2)

/* Levels of leaf 0xb and 0x1f (SDM volume 2, CPUID). */
enum { LEVEL_INVALID, LEVEL_SMT, LEVEL_CORE };

#define CPUID_LEVELS		3
#define CPUID_LEVEL_ROOM	(2 * CPUID_LEVELS)

int cpuid_supported(const struct kvm *kvm, struct kvm_cpuid2 **table)
{
	for (uint32_t room = CPUID_ROOM_MIN; room <= CPUID_ROOM_MAX; room *= 2) {
		struct kvm_cpuid2 *t;
		int err;

		t = calloc(1, sizeof(*t) + (room + CPUID_LEVEL_ROOM) *
			   sizeof(t->entries[0]));
		if (!t)
			return -ENOMEM;
		t->nent = room;
		err = kvm_ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, t);
		if (err >= 0) {
			*table = t;
			return 0;
		}
		free(t);
		if (err != -E2BIG)
			return msg_fail(err, "KVM_GET_SUPPORTED_CPUID: %s",
					strerror(-err));
	}
	return msg_fail(-E2BIG, "KVM_GET_SUPPORTED_CPUID: more than %d entries",
			CPUID_ROOM_MAX);
}

/* Bits that hold the numbers 0 … @cpus - 1. */
static unsigned int cpuid_id_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

static bool cpuid_is_amd(const struct kvm_cpuid2 *table)
{
	for (uint32_t i = 0; i < table->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &table->entries[i];

		if (e->function == 0)	/* Auth…, Hygo… */
			return e->ebx == 0x68747541 || e->ebx == 0x6f677948;
	}
	return false;
}

struct cpuid_edit {
	const struct cpuid_topology *topo;
	bool amd;
};

static void cpuid_features(struct kvm_cpuid_entry2 *e,
			   const struct cpuid_edit *edit)
{
	const struct cpuid_topology *topo = edit->topo;

	e->ebx &= 0x0000ffff;
	e->ebx |= topo->apic_id << 24;
	e->ebx |= (topo->cpus < 255 ? topo->cpus : 255) << 16;
	e->ecx |= LEAF1_ECX_HYPERVISOR;
	/* A hypervisor's state in the guest is not among what is saved. */
	e->ecx &= ~(LEAF1_ECX_DEADLINE | LEAF1_ECX_VMX);
	if (topo->tsc_deadline)
		e->ecx |= LEAF1_ECX_DEADLINE;
	e->edx &= ~LEAF1_EDX_HTT;
	if (topo->cpus > 1)
		e->edx |= LEAF1_EDX_HTT;
}

/* L1 and L2 belong to a core, what lies above is shared by all. */
static uint32_t cpuid_cache_sharing(uint32_t eax, unsigned int cpus)
{
	unsigned int level = eax >> 5 & 7;

	eax &= ~(0xfffu << 14);
	if (level > 2)
		eax |= (cpus - 1) << 14;
	return eax;
}

static void cpuid_cache_intel(struct kvm_cpuid_entry2 *e,
			      const struct cpuid_edit *edit)
{
	unsigned int cores = 1u << cpuid_id_bits(edit->topo->cpus);

	if (!(e->eax & 0x1f))
		return;
	if (cores > 64)		/* the field has 6 bits */
		cores = 64;
	e->eax = cpuid_cache_sharing(e->eax, edit->topo->cpus);
	e->eax &= ~(0x3fu << 26);
	e->eax |= (cores - 1) << 26;
}

static void cpuid_cache_amd(struct kvm_cpuid_entry2 *e,
			    const struct cpuid_edit *edit)
{
	if (e->eax & 0x1f)
		e->eax = cpuid_cache_sharing(e->eax, edit->topo->cpus);
}

static void cpuid_amd_features(struct kvm_cpuid_entry2 *e,
			       const struct cpuid_edit *edit)
{
	e->ecx &= ~(AMD_ECX_CMP_LEGACY | AMD_ECX_SVM);
	if (edit->amd && edit->topo->cpus > 1)
		e->ecx |= AMD_ECX_CMP_LEGACY;
}

static void cpuid_amd_cores(struct kvm_cpuid_entry2 *e,
			    const struct cpuid_edit *edit)
{
	unsigned int cpus = edit->topo->cpus;

	e->ecx &= ~0xf0ffu;
	if (edit->amd)
		e->ecx |= cpuid_id_bits(cpus) << 12 | (cpus - 1);
}

/* One node, one thread per core. */
static void cpuid_amd_ids(struct kvm_cpuid_entry2 *e,
			  const struct cpuid_edit *edit)
{
	e->eax = edit->topo->apic_id;
	e->ebx = edit->topo->apic_id & 0xff;
	e->ecx = 0;
}

static const struct {
	uint32_t function;
	void (*edit)(struct kvm_cpuid_entry2 *e, const struct cpuid_edit *edit);
} cpuid_edits[] = {
	{ 0x00000001, cpuid_features },
	{ 0x00000004, cpuid_cache_intel },
	{ 0x80000001, cpuid_amd_features },
	{ 0x80000008, cpuid_amd_cores },
	{ 0x8000001d, cpuid_cache_amd },
	{ 0x8000001e, cpuid_amd_ids },
};

unsigned int cpuid_phys_bits(const struct kvm_cpuid2 *table)
{
	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entries[i].function == 0x80000008)
			return table->entries[i].eax & 0xff;
	return 36;
}

/* Takes all entries of a leaf out. Return: whether there were any. */
static bool cpuid_drop(struct kvm_cpuid2 *table, uint32_t function)
{
	uint32_t kept = 0, nent = table->nent;

	for (uint32_t i = 0; i < nent; i++)
		if (table->entries[i].function != function)
			table->entries[kept++] = table->entries[i];
	table->nent = kept;
	return kept != nent;
}

/*
 * KVM gives of a topology leaf the first level only, and that one empty. The
 * room for the rest is there: see cpuid_supported().
 */
static void cpuid_levels(struct kvm_cpuid2 *table, uint32_t function,
			 const struct cpuid_topology *topo)
{
	const struct { uint32_t bits, count, type; } levels[CPUID_LEVELS] = {
		{ 0, 1, LEVEL_SMT },
		{ cpuid_id_bits(topo->cpus), topo->cpus, LEVEL_CORE },
		{ 0, 0, LEVEL_INVALID },
	};

	if (!cpuid_drop(table, function))
		return;
	for (uint32_t i = 0; i < CPUID_LEVELS; i++)
		table->entries[table->nent++] = (struct kvm_cpuid_entry2){
			.function = function,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = levels[i].bits,
			.ebx = levels[i].count,
			.ecx = levels[i].type << 8 | i,
			.edx = topo->apic_id,
		};
}

void cpuid_apply(struct kvm_cpuid2 *table, const struct cpuid_topology *topo)
{
	struct cpuid_edit edit = { topo, cpuid_is_amd(table) };

	for (uint32_t i = 0; i < table->nent; i++) {
		struct kvm_cpuid_entry2 *e = &table->entries[i];

		for (size_t j = 0; j < ARRAY_SIZE(cpuid_edits); j++)
			if (cpuid_edits[j].function == e->function)
				cpuid_edits[j].edit(e, &edit);
	}
	cpuid_levels(table, 0x0000000b, topo);
	cpuid_levels(table, 0x0000001f, topo);
}

/* ---- comparing ---- */

enum { EAX, EBX, ECX, EDX };

/*
 * Registers that are sets of features. Bits of @dynamic follow the guest's own CR4 or MSRs, so
 * they tell nothing of the processor.
 */
static const struct {
	uint32_t function, index;
	unsigned int reg;
	uint32_t dynamic;
} cpuid_features_of[] = {
	{ 0x00000001, 0, ECX, 1u << 27 | 1u << 31 },	/* OSXSAVE; "in a guest" */
	{ 0x00000001, 0, EDX, 1u << 9 },		/* APIC: its enable bit */
	{ 0x00000007, 0, EBX, 0 },
	{ 0x00000007, 0, ECX, 1u << 4 },		/* OSPKE */
	{ 0x00000007, 0, EDX, 0 },
	{ 0x00000007, 1, EAX, 0 },
	{ 0x00000007, 1, EDX, 0 },
	{ 0x0000000d, 0, EAX, 0 },
	{ 0x0000000d, 0, EDX, 0 },
	{ 0x0000000d, 1, EAX, 0 },
	{ 0x40000001, 0, EAX, 0 },
	{ 0x80000001, 0, ECX, 0 },
	{ 0x80000001, 0, EDX, 0 },
	{ 0x80000007, 0, EDX, 0 },
	{ 0x80000008, 0, EBX, 0 },
	{ 0x80000021, 0, EAX, 0 },
};

static const struct kvm_cpuid_entry2 *cpuid_find(const struct kvm_cpuid2 *table,
						 uint32_t function,
						 uint32_t index)
{
	for (uint32_t i = 0; i < table->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &table->entries[i];

		if (e->function == function &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) ||
		     e->index == index))
			return e;
	}
	return NULL;
}

static uint32_t cpuid_reg(const struct kvm_cpuid2 *table, uint32_t function,
			  uint32_t index, unsigned int reg)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(table, function, index);

	if (!e)
		return 0;
	return (const uint32_t[]){ e->eax, e->ebx, e->ecx, e->edx }[reg];
}

int cpuid_can_be(const struct kvm_cpuid2 *own, const struct kvm_cpuid2 *wanted,
		 char *why, size_t size)
{
	static const char *const names[] = { "EAX", "EBX", "ECX", "EDX" };

	if (cpuid_is_amd(own) != cpuid_is_amd(wanted)) {
		snprintf(why, size, "its processor is of another maker");
		return -EINVAL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cpuid_features_of); i++) {
		uint32_t function = cpuid_features_of[i].function;
		uint32_t index = cpuid_features_of[i].index;
		unsigned int reg = cpuid_features_of[i].reg;
		uint32_t lacks = cpuid_reg(wanted, function, index, reg) &
				 ~cpuid_reg(own, function, index, reg) &
				 ~cpuid_features_of[i].dynamic;

		if (!lacks)
			continue;
		snprintf(why, size, "this processor lacks features that the guest's has (CPUID %#x.%u %s bits %#x)",
			 function, index, names[reg], lacks);
		return -EINVAL;
	}
	return 0;
}
