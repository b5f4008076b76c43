// SPDX-License-Identifier: GPL-2.0-only
/* The edits of KVM_GET_SUPPORTED_CPUID's table. */
#include <stdlib.h>
#include <string.h>

#include "cpuid.h"
#include "tests/tap.h"

static struct kvm_cpuid2 *table;

static void add(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx,
		uint32_t ecx, uint32_t edx)
{
	table->entries[table->nent++] = (struct kvm_cpuid_entry2){
		.function = function, .index = index,
		.eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx,
	};
}

static const struct kvm_cpuid_entry2 *find(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entries[i].function == function &&
		    table->entries[i].index == index)
			return &table->entries[i];
	return NULL;
}

static void fill(uint32_t vendor)
{
	table->nent = 0;
	add(0, 0, 0x1f, vendor, 0, 0);
	add(1, 0, 0x806f8, 0xff400800, 0, 0x0fabfbff);
	add(4, 0, 0x7c004121, 0, 0, 0);
	add(4, 3, 0x7c3fc163, 0, 0, 0);
	add(4, 4, 0, 0, 0, 0);
	add(0xb, 0, 0, 0, 0, 0);
	add(0x80000001, 0, 0, 0, 0, 0);
	add(0x80000008, 0, 0x3030, 0, 0xf0ff, 0);
	add(0x8000001e, 0, 99, 99, 99, 0);
}

static void test_intel(void)
{
	struct cpuid_topology topo = { .cpus = 4, .apic_id = 3,
				       .tsc_deadline = true };
	const struct kvm_cpuid_entry2 *e;

	fill(0x756e6547);
	cpuid_apply(table, &topo);
	cpuid_apply(table, &topo);
	e = find(1, 0);
	ok(e->ebx == 0x03040800, "APIC id and count");
	ok(e->ecx == (1u << 31 | 1u << 24) && e->edx & 1u << 28,
	   "hypervisor, deadline timer, HTT");
	ok(find(4, 0)->eax == 0x0c000121, "L1 is a core's own");
	ok(find(4, 3)->eax == 0x0c00c163, "L3 is everyone's");
	ok(!find(4, 4)->eax, "the last cache leaf stays empty");
	e = find(0xb, 0);
	ok(e && e->ecx == 0x100 && e->ebx == 1 && e->edx == 3, "SMT level");
	e = find(0xb, 1);
	ok(e && e->eax == 2 && e->ebx == 4 && e->ecx == 0x201, "core level");
	e = find(0xb, 2);
	ok(e && !e->ebx && e->ecx == 2, "end of levels");
	ok(!find(0x1f, 0), "a leaf that is not there does not come");
	ok(!(find(0x80000001, 0)->ecx), "no CMP_LEGACY on Intel");
	ok(table->nent == 11, "applying it twice adds nothing");
}

static void test_amd(void)
{
	struct cpuid_topology topo = { .cpus = 3, .apic_id = 2 };
	const struct kvm_cpuid_entry2 *e;

	fill(0x68747541);
	cpuid_apply(table, &topo);
	ok(find(0x80000008, 0)->ecx == 0x2002, "core count and id size");
	ok(find(0x80000001, 0)->ecx == 2, "CMP_LEGACY");
	e = find(0x8000001e, 0);
	ok(e->eax == 2 && e->ebx == 2 && !e->ecx, "extended ids");
	ok(!(find(1, 0)->ecx & 1u << 24), "no deadline timer");
	topo.cpus = 1;
	topo.apic_id = 0;
	cpuid_apply(table, &topo);
	ok(!(find(1, 0)->edx & 1u << 28) && !find(0x80000001, 0)->ecx,
	   "one CPU: neither HTT nor CMP_LEGACY");
}

int main(void)
{
	table = calloc(1, sizeof(*table) + 32 * sizeof(table->entries[0]));
	test_intel();
	test_amd();
	free(table);
	return tap_done();
}
