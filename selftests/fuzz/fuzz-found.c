// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the fuzzer, or the checkers of a debug kernel, have found: each in its shortest form. Most show on such a kernel only.
 */
#include "../lib/guest.h"

/* A bank number beyond the array, before it was looked at. */
static void mce_bank(void)
{
	struct kvm_x86_mce mce = { .status = 1ull << 63, .bank = 255 };
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_EQ(ioctl(cpu->fd, KVM_X86_SET_MCE, &mce), -1);
	CHECK_EQ(errno, EINVAL);
}

/* Widths of physical addresses that no CPU has, from user space's CPUID table. */
static void translate_with_width(unsigned int width)
{
	struct kvm_translation tr = { .linear_address = GUEST_CODE_GPA };
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[2];
	} cpuid = {
		.head.nent = 2,
		.entries[0] = { .function = 0x80000001, .edx = 1u << 29 | 1u << 20 },
		.entries[1] = { .function = 0x80000008, .eax = 0x3000 | width },
	};
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_LONG);
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, &cpuid));
	MUST(ioctl(cpu->fd, KVM_TRANSLATE, &tr));
}

static void address_width(void)
{
	translate_with_width(0);
	translate_with_width(1);
	translate_with_width(64);
	translate_with_width(255);
}

static const struct test tests[] = {
	{ "a machine-check bank beyond the last", mce_bank },
	{ "widths of physical addresses", address_width },
};

TEST_MAIN(tests)
