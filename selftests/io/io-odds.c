// SPDX-License-Identifier: GPL-2.0-only
/* Rare and old ioctls and capabilities, and exits that go with them. */
#include <fcntl.h>
#include <sched.h>

#include "../first/first.h"

#ifndef KVM_CAP_MEMORY_FAULT_INFO
#define KVM_CAP_MEMORY_FAULT_INFO 232
#endif

GUEST_CODE(odd,
	".code64\n"
	"odd_load: mov (%rdi), %eax; hlt\n"
	"odd_movbe: movbe (%rdi), %rax; movbe %eax, 8(%rdi); movbe %ax, 12(%rdi); hlt\n"
	"odd_rdpid: mov $-1, %rax; rdpid %rax; rdpid %rbx; hlt\n"
	"odd_lock: lock; movbe (%rdi), %eax; hlt\n"
	"odd_ud2: ud2; hlt\n"
	"odd_rdmsr: rdmsr; hlt\n"
	"odd_spin: jmp odd_spin\n"
	"odd_on_gp: mov $13, %eax; hlt\n"
	"odd_on_ud: mov $6, %eax; pop %rbx; hlt\n");

extern const char odd_load[], odd_movbe[], odd_rdpid[], odd_lock[], odd_ud2[], odd_on_ud[],
		  odd_rdmsr[], odd_spin[], odd_on_gp[];

#define AT(name)	((unsigned long)(odd_##name - odd))
#define MSR_TSC_AUX	0xc0000103

#define CHECK_ERR(call, err)						\
	do {								\
		CHECK_EQ(call, -1);					\
		CHECK_EQ(errno, err);					\
	} while (0)

static int has(struct guest *g, int cap)
{
	return ioctl(g->fd, KVM_CHECK_EXTENSION, cap);
}

/* The PIT's state in its first form, which knows no flags. */
static void old_pit(void)
{
	struct kvm_pit_config config = {};
	struct kvm_pit_state old = {};
	struct kvm_pit_state2 new;
	struct guest g;

	guest_create(&g, PAGE_2M);
	CHECK_ERR(ioctl(g.fd, KVM_GET_PIT, &old), ENXIO);
	CHECK_ERR(ioctl(g.fd, KVM_SET_PIT, &old), ENXIO);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	MUST(ioctl(g.fd, KVM_CREATE_PIT2, &config));
	CHECK_ERR(ioctl(g.fd, KVM_GET_PIT, 8), EFAULT);
	CHECK_ERR(ioctl(g.fd, KVM_SET_PIT, 8), EFAULT);
	MUST(ioctl(g.fd, KVM_GET_PIT2, &new));
	new.channels[2].count = 0x1234;
	new.channels[2].mode = 3;
	new.flags = KVM_PIT_FLAGS_HPET_LEGACY;
	MUST(ioctl(g.fd, KVM_SET_PIT2, &new));
	MUST(ioctl(g.fd, KVM_GET_PIT, &old));
	CHECK_EQ(old.channels[2].count, 0x1234);
	CHECK_EQ(old.channels[2].mode, 3);
	old.channels[2].count = 0x4321;
	old.channels[2].mode = 2;
	MUST(ioctl(g.fd, KVM_SET_PIT, &old));
	MUST(ioctl(g.fd, KVM_GET_PIT2, &new));
	CHECK_EQ(new.channels[2].count, 0x4321);
	CHECK_EQ(new.channels[2].mode, 2);
	CHECK_EQ(new.flags & KVM_PIT_FLAGS_HPET_LEGACY, KVM_PIT_FLAGS_HPET_LEGACY);
}

static void mmu_pages(void)
{
	struct guest g;

	guest_create(&g, PAGE_2M);
	CHECK_EQ(has(&g, KVM_CAP_MMU_SHADOW_CACHE_CONTROL), 1);
	CHECK_ERR(ioctl(g.fd, KVM_SET_NR_MMU_PAGES, 63), EINVAL);
	CHECK_EQ(ioctl(g.fd, KVM_SET_NR_MMU_PAGES, 64), 0);
	CHECK_EQ(ioctl(g.fd, KVM_SET_NR_MMU_PAGES, 1ul << 40), 0);
	CHECK_EQ(has(&g, KVM_CAP_PV_MMU), 0);
	CHECK_EQ(has(&g, KVM_CAP_SMALLER_MAXPHYADDR) & ~1, 0);
}

static void create_device(void)
{
	struct kvm_create_device d = { .type = 0x7fffffff };
	struct guest g;

	guest_create(&g, PAGE_2M);
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_DEVICE, &d), ENODEV);
	d.flags = KVM_CREATE_DEVICE_TEST;
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_DEVICE, &d), ENODEV);
	d.type = KVM_DEV_TYPE_FSL_MPIC_20;	/* another architecture's */
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_DEVICE, &d), ENODEV);
	d.type = KVM_DEV_TYPE_VFIO;
	CHECK_EQ(!ioctl(g.fd, KVM_CREATE_DEVICE, &d), has(&g, KVM_CAP_DEVICE_CTRL));
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_DEVICE, 8), EFAULT);
}

/* XCR0 as it is offered, which leaf 0xd of KVM_GET_SUPPORTED_CPUID has, too. */
static void system_attributes(void)
{
	uint64_t val = 0;
	struct kvm_device_attr attr = { .group = 0, .attr = KVM_X86_XCOMP_GUEST_SUPP,
					.addr = (uintptr_t)&val };
	struct guest g;

	guest_open(&g);
	CHECK_EQ(ioctl(g.dev, KVM_CHECK_EXTENSION, KVM_CAP_SYS_ATTRIBUTES), 1);
	MUST(ioctl(g.dev, KVM_HAS_DEVICE_ATTR, &attr));
	CHECK_EQ(val, 0);
	MUST(ioctl(g.dev, KVM_GET_DEVICE_ATTR, &attr));
	CHECK_EQ(val, guest_cpuid_reg(&g, 0xd, 0, 0) |
		      (uint64_t)guest_cpuid_reg(&g, 0xd, 0, 3) << 32);
	attr.addr = 8;
	CHECK_EQ(ioctl(g.dev, KVM_HAS_DEVICE_ATTR, &attr), 0);
	CHECK_ERR(ioctl(g.dev, KVM_GET_DEVICE_ATTR, &attr), EFAULT);
	attr.attr = 77;
	CHECK_ERR(ioctl(g.dev, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	CHECK_ERR(ioctl(g.dev, KVM_GET_DEVICE_ATTR, &attr), ENXIO);
	attr.attr = KVM_X86_XCOMP_GUEST_SUPP;
	attr.group = 77;
	CHECK_ERR(ioctl(g.dev, KVM_GET_DEVICE_ATTR, &attr), ENXIO);
	CHECK_ERR(ioctl(g.dev, KVM_GET_DEVICE_ATTR, 8), EFAULT);
}

/* -------- features by emulation -------- */

struct list {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[20];
};

static bool host_has(uint32_t function, int reg, int bit)
{
	uint32_t r[4] = { function, 0, 0, 0 };

	asm volatile("cpuid" : "+a"(r[0]), "=b"(r[1]), "+c"(r[2]), "=d"(r[3]));
	return r[reg] >> bit & 1;
}

static void emulated_list(void)
{
	struct list l = { .head.nent = 20 };
	struct guest g;
	int i;

	guest_open(&g);
	CHECK_EQ(has(&g, KVM_CAP_EXT_EMUL_CPUID), 1);
	MUST(ioctl(g.dev, KVM_GET_EMULATED_CPUID, &l));
	CHECK_EQ(l.head.nent, 3);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(l.entry[i].index, 0);
		CHECK_EQ(l.entry[i].ebx, 0);
		CHECK_EQ(l.entry[i].edx, 0);
	}
	CHECK_EQ(l.entry[0].function, 0);
	CHECK_EQ(l.entry[0].eax, 7);
	CHECK_EQ(l.entry[0].flags, 0);
	CHECK_EQ(l.entry[1].function, 1);
	CHECK_EQ(l.entry[1].ecx, 1 << 22);
	CHECK_EQ(l.entry[2].function, 7);
	CHECK_EQ(l.entry[2].flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	CHECK_EQ(l.entry[2].ecx & ~(1u << 22), 0);
	CHECK_EQ(l.entry[2].eax, 0);
	l.head.nent = 2;
	CHECK_ERR(ioctl(g.dev, KVM_GET_EMULATED_CPUID, &l), E2BIG);
	l.head.nent = 0;
	CHECK_ERR(ioctl(g.dev, KVM_GET_EMULATED_CPUID, &l), E2BIG);
	l.head.nent = 20;
	l.entry[19].padding[2] = 1;
	CHECK_ERR(ioctl(g.dev, KVM_GET_EMULATED_CPUID, &l), EINVAL);
}

/* A long-mode guest that has both features, whatever the host has. */
static struct guest_cpu *promised(struct guest *g)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[256];
	} c;
	struct guest_cpu *cpu = long_guest(g);
	unsigned int i;

	c.head.nent = 256;
	MUST(ioctl(g->dev, KVM_GET_SUPPORTED_CPUID, &c));
	for (i = 0; i < c.head.nent; i++) {
		if (c.entry[i].function == 1)
			c.entry[i].ecx |= 1 << 22;
		if (c.entry[i].function == 7 && !c.entry[i].index)
			c.entry[i].ecx |= 1 << 22;
	}
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, &c));
	guest_load_code(g, odd);
	set_gate(g, 6, AT(on_ud));
	return cpu;
}

static void emulated_instructions(void)
{
	struct guest g;
	struct guest_cpu *cpu = promised(&g);
	uint64_t val = 0x1122334455667788;

	memcpy(g.mem + DATA_GPA, &val, 8);
	CHECK_EQ(guest_exec(cpu, AT(movbe), DATA_GPA, 0, 0, 0), 0x8877665544332211);
	memcpy(&val, g.mem + DATA_GPA + 8, 8);
	CHECK_EQ((uint32_t)val, 0x11223344);
	CHECK_EQ(val >> 32 & 0xffff, 0x1122);
	if (host_has(7, 2, 22) || host_has(0x80000001, 3, 27)) {
		CHECK_EQ(guest_set_msr(cpu, MSR_TSC_AUX, 0x12345), 1);
		CHECK_EQ(guest_exec(cpu, AT(rdpid), 0, 0, 0, 0), 0x12345);
		CHECK_EQ(guest_regs(cpu).rbx, 0x12345);
	}
	/* What was not promised stays undefined, at its own address. */
	CHECK_EQ(guest_exec(cpu, AT(lock), DATA_GPA, 0, 0, 0), 6);
	CHECK_EQ(guest_regs(cpu).rbx, GUEST_CODE_GPA + AT(lock));
	CHECK_EQ(guest_exec(cpu, AT(ud2), 0, 0, 0, 0), 6);
	CHECK_EQ(guest_regs(cpu).rbx, GUEST_CODE_GPA + AT(ud2));
}

/* -------- memory that user space took away -------- */

static void memory_fault(void)
{
	struct guest g;
	struct guest_cpu *cpu = long_guest(&g);
	void *mem = guest_alloc(PAGE_2M);

	CHECK_EQ(has(&g, KVM_CAP_MEMORY_FAULT_INFO), 1);
	guest_load_code(&g, odd);
	guest_slot(&g, 1, 0, 0x40000000, PAGE_2M, mem);
	munmap(mem, PAGE_2M);
	guest_call(cpu, AT(load), 0x40000000, 0, 0, 0);
	cpu->run->exit_reason = 0x1234;
	CHECK_EQ(guest_run(cpu), -EFAULT);
	/* Only of private memory is there more to tell. */
	CHECK_EQ(cpu->run->exit_reason, KVM_EXIT_UNKNOWN);
	CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + AT(load));
}

#define MSR_PLATFORM_INFO	0xce
#define TURBO_RATIO		0x2a00

static void platform_info(void)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_MSR_PLATFORM_INFO };
	struct guest g;
	struct guest_cpu *cpu = long_guest(&g);
	uint64_t val = guest_get_msr(cpu, MSR_PLATFORM_INFO) | TURBO_RATIO;

	guest_load_code(&g, odd);
	set_gate(&g, 13, AT(on_gp));
	CHECK_EQ(has(&g, KVM_CAP_MSR_PLATFORM_INFO), 1);
	CHECK_EQ(guest_set_msr(cpu, MSR_PLATFORM_INFO, val), 1);
	CHECK_EQ(guest_exec(cpu, AT(rdmsr), 0, 0, 0, MSR_PLATFORM_INFO), (uint32_t)val);
	MUST(ioctl(g.fd, KVM_ENABLE_CAP, &c));
	CHECK_EQ(guest_exec(cpu, AT(rdmsr), 0, 0, 0, MSR_PLATFORM_INFO), 13);
	CHECK_EQ(guest_get_msr(cpu, MSR_PLATFORM_INFO), val);
	c.args[0] = 1;
	MUST(ioctl(g.fd, KVM_ENABLE_CAP, &c));
	CHECK_EQ(guest_exec(cpu, AT(rdmsr), 0, 0, 0, MSR_PLATFORM_INFO), (uint32_t)val);
}

/* An interrupt whose gate lies where no memory is: the error's last word is the CPU. */
static void last_cpu(void)
{
	struct kvm_interrupt irq = { .irq = 0x41 };
	struct guest g;
	struct guest_cpu *cpu = long_guest(&g);
	cpu_set_t one;

	if (device_is_kvm() && !host_is_intel())
		SKIP("kvm_amd emulates the instruction at RIP for ever");
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	MUST(sched_setaffinity(0, sizeof(one), &one));
	CHECK_EQ(has(&g, KVM_CAP_LAST_CPU), 1);
	guest_load_code(&g, odd);
	guest_idt(cpu, 0xd0000000);
	g.rflags = 0x200;
	guest_call(cpu, AT(spin), 0, 0, 0, 0);
	MUST(ioctl(cpu->fd, KVM_INTERRUPT, &irq));
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(cpu->run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
	CHECK(cpu->run->internal.ndata >= 3);
	CHECK_EQ(cpu->run->internal.data[cpu->run->internal.ndata - 1], 0);
}

static const struct test tests[] = {
	{ "KVM_GET_PIT, KVM_SET_PIT", old_pit },
	{ "KVM_SET_NR_MMU_PAGES", mmu_pages },
	{ "KVM_CREATE_DEVICE", create_device },
	{ "attributes of the system", system_attributes },
	{ "KVM_GET_EMULATED_CPUID", emulated_list },
	{ "instructions by emulation", emulated_instructions },
	{ "memory that is gone", memory_fault },
	{ "KVM_CAP_MSR_PLATFORM_INFO", platform_info },
	{ "KVM_CAP_LAST_CPU", last_cpu },
};

TEST_MAIN(tests)
