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

/*
 * A PIT whose second port finds no place on the bus is gone, though a vCPU has started its counter meanwhile. On a kernel that
 * fills what is free (slub_debug=P), its timer shows.
 */
GUEST_CODE(counters,
	".code64\n"
	"counters_start: mov $0x34, %al; out %al, $0x43\n"
	"mov $0xff, %al; out %al, $0x40; out %al, $0x40\n"
	"jmp counters_start\n");

static _Atomic bool enough;

static void *count(void *arg)
{
	while (!enough)
		guest_run(arg);
	return NULL;
}

static void half_a_pit(void)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = 0x1000, .size = 1, .pio = 1 };
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct guest_cpu *cpu;
	struct guest g;
	pthread_t t;
	int i;

	guest_create(&g, 2 * PAGE_2M);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP));
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_LONG);
	guest_load_code(&g, counters);
	guest_call(cpu, 0, 0, 0, 0, 0);
	while (!ioctl(g.fd, KVM_REGISTER_COALESCED_MMIO, &zone))
		zone.addr++;
	CHECK_EQ(errno, ENOSPC);
	zone.addr--;
	MUST(ioctl(g.fd, KVM_UNREGISTER_COALESCED_MMIO, &zone));
	enough = false;
	CHECK_EQ(pthread_create(&t, NULL, count, cpu), 0);
	for (i = 0; i < 20; i++) {
		CHECK_EQ(ioctl(g.fd, KVM_CREATE_PIT2, &pit), -1);
		CHECK_EQ(errno, ENOMEM);
		usleep(20000);
	}
	enough = true;
	pthread_join(t, NULL);
}

static const struct test tests[] = {
	{ "a machine-check bank beyond the last", mce_bank },
	{ "widths of physical addresses", address_width },
	{ "half a PIT", half_a_pit },
};

TEST_MAIN(tests)
