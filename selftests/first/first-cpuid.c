// SPDX-License-Identifier: GPL-2.0-only
/* CPUID: nothing is offered that is not there, and the guest sees what it was given. */
#include <cpuid.h>

#include "first.h"

GUEST_CODE(cpuid,
	".code64\n"
	"cpuid_exec: mov %edi, %eax; mov %esi, %ecx; cpuid\n"
	"mov %eax, 0xf000; mov %ebx, 0xf004; mov %ecx, 0xf008; mov %edx, 0xf00c; hlt\n"
	"cpuid_cr4: mov %rdi, %cr4; hlt\n"
	"cpuid_xcr0: xor %ecx, %ecx; xor %edx, %edx; mov %edi, %eax; xsetbv; hlt\n");

extern const char cpuid_exec[], cpuid_cr4[], cpuid_xcr0[];

#define AT(name) ((unsigned long)(cpuid_##name - cpuid))

enum { EAX, EBX, ECX, EDX };

#define MAX_ENTRIES 256

struct table {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entry[MAX_ENTRIES];
};

static struct table *get(int fd, unsigned long cmd)
{
	struct table *t = calloc(1, sizeof(*t));

	t->head.nent = MAX_ENTRIES;
	MUST(ioctl(fd, cmd, t));
	return t;
}

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, int reg)
{
	return &e->eax + reg;
}

static struct kvm_cpuid_entry2 *find(struct table *t, uint32_t function, uint32_t index)
{
	unsigned int i;

	for (i = 0; i < t->head.nent; i++)
		if (t->entry[i].function == function && t->entry[i].index == index)
			return &t->entry[i];
	return NULL;
}

static void host(uint32_t function, uint32_t index, uint32_t regs[4])
{
	memset(regs, 0, 16);
	if (__get_cpuid_max(function & 0x80000000, NULL) >= function)
		__cpuid_count(function, index, regs[0], regs[1], regs[2], regs[3]);
}

#define BIT(n) (1u << (n))

/* What a hypervisor makes by itself, or derives from another bit of the host's. */
static const struct {
	uint32_t function, index;
	int reg;
	uint32_t emulated;
} words[] = {
	/* x2APIC, TSC deadline, hypervisor */
	{ 1, 0, ECX, BIT(21) | BIT(24) | BIT(31) },
	{ 1, 0, EDX, 0 },
	/* TSC_ADJUST */
	{ 7, 0, EBX, BIT(1) },
	/* UMIP, RDPID */
	{ 7, 0, ECX, BIT(2) | BIT(22) },
	/* SPEC_CTRL, STIBP, SSBD from AMD's; ARCH_CAPABILITIES */
	{ 7, 0, EDX, BIT(26) | BIT(27) | BIT(29) | BIT(31) },
	{ 7, 1, EAX, 0 },
	{ 0xd, 1, EAX, 0 },
	/* CR8_LEGACY, SVM's nesting is KVM's */
	{ 0x80000001, 0, ECX, BIT(4) },
	{ 0x80000001, 0, EDX, 0 },
	{ 0x80000007, 0, EDX, 0 },
	/* IBPB, IBRS, STIBP, SSBD, VIRT_SSBD, SSB_NO from Intel's; IBRS_SAME_MODE */
	{ 0x80000008, 0, EBX, BIT(12) | BIT(14) | BIT(15) | BIT(24) | BIT(25) | BIT(26) | BIT(19) },
};

static void subset(void)
{
	struct table *t;
	struct guest g;
	unsigned int i;

	guest_open(&g);
	t = get(g.dev, KVM_GET_SUPPORTED_CPUID);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct kvm_cpuid_entry2 *e = find(t, words[i].function, words[i].index);
		uint32_t regs[4], more;

		if (!e)
			continue;
		host(words[i].function, words[i].index, regs);
		more = *reg_of(e, words[i].reg) & ~regs[words[i].reg] & ~words[i].emulated;
		if (more)
			FAIL("leaf %#x.%u register %d: %#x more than the host has",
			     words[i].function, words[i].index, words[i].reg, more);
	}
	/* The states that XSAVE keeps, and what an address may have. */
	if (find(t, 0xd, 0)) {
		uint32_t regs[4];

		host(0xd, 0, regs);
		CHECK_EQ(find(t, 0xd, 0)->eax & ~regs[EAX], 0);
	}
	CHECK(find(t, 0x80000008, 0));
	CHECK((find(t, 0x80000008, 0)->eax & 0xff) >= 32);
}

/* What no hypervisor can do without: the guest's kernel would not boot. */
static void basics(void)
{
	const uint32_t ecx = BIT(13) | BIT(21);			/* CX16, x2APIC */
	const uint32_t edx = BIT(0) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) |
			     BIT(13) | BIT(15) | BIT(24) | BIT(25) | BIT(26);
	struct table *t;
	struct guest g;

	guest_open(&g);
	t = get(g.dev, KVM_GET_SUPPORTED_CPUID);
	CHECK_EQ(find(t, 1, 0)->ecx & ecx, ecx);
	CHECK_EQ(find(t, 1, 0)->edx & edx, edx);
	CHECK(find(t, 0x80000001, 0)->edx & BIT(29));		/* long mode */
	CHECK(find(t, 0x80000001, 0)->edx & BIT(20));		/* NX */
	CHECK(!memcmp(&find(t, 0x40000000, 0)->ebx, "KVMKVMKVM\0\0\0", 12));
	CHECK(find(t, 0x40000001, 0)->eax & BIT(3));		/* kvmclock */
}

static struct guest_cpu *start(struct guest *g)
{
	struct guest_cpu *cpu = long_guest(g);

	guest_load_code(g, cpuid);
	return cpu;
}

static const uint32_t *ask(struct guest_cpu *cpu, uint32_t function, uint32_t index)
{
	guest_exec(cpu, AT(exec), function, index, 0, 0);
	return (const uint32_t *)guest_word(cpu->guest, 0);
}

static void expect_entry(struct guest_cpu *cpu, struct kvm_cpuid_entry2 *e)
{
	const uint32_t *regs = ask(cpu, e->function, e->index);
	int i;

	for (i = 0; i < 4; i++)
		if (regs[i] != *reg_of(e, i))
			FAIL("leaf %#x.%u register %d is %#x, not %#x", e->function, e->index, i,
			     regs[i], *reg_of(e, i));
}

static void as_given(void)
{
	static const struct kvm_cpuid_entry2 own = { .function = 0x40000100, .eax = 0x11223344,
						     .ebx = 5, .ecx = 6, .edx = 7 };
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct table *t = get(g.dev, KVM_GET_SUPPORTED_CPUID), *back;
	unsigned int i;

	find(t, 1, 0)->ecx &= ~BIT(25);				/* no AES */
	find(t, 0x80000002, 0)->eax = 0x61626364;
	CHECK(t->head.nent < MAX_ENTRIES);
	t->entry[t->head.nent++] = own;
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, t));
	back = get(cpu->fd, KVM_GET_CPUID2);
	CHECK_EQ(back->head.nent, t->head.nent);
	for (i = 0; i < back->head.nent; i++)
		expect_entry(cpu, &back->entry[i]);
	CHECK_EQ(ask(cpu, 1, 0)[ECX] & BIT(25), 0);
	CHECK_EQ(ask(cpu, 0x80000002, 0)[EAX], 0x61626364);
	expect_entry(cpu, (struct kvm_cpuid_entry2 *)&own);
	/* Between two leaves of a range there is nothing. */
	for (i = 0; i < 4; i++)
		CHECK_EQ(ask(cpu, 0x4000007f, 0)[i], 0);
}

static void set_cr4(struct guest_cpu *cpu, uint64_t cr4)
{
	guest_exec(cpu, AT(cr4), cr4 | 0x20, 0, 0, 0);
}

/* Bits that follow what the guest does. */
static void runtime_bits(void)
{
	const uint64_t osxsave = 1 << 18, pke = 1 << 22;
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct kvm_sregs s;

	CHECK_EQ(ask(cpu, 1, 0)[EDX] & BIT(9), BIT(9));
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.apic_base &= ~0x800ull;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	CHECK_EQ(ask(cpu, 1, 0)[EDX] & BIT(9), 0);

	if (!(guest_cpuid_reg(&g, 1, 0, ECX) & BIT(26)))
		SKIP("no XSAVE");
	CHECK_EQ(ask(cpu, 1, 0)[ECX] & BIT(27), 0);
	set_cr4(cpu, osxsave);
	CHECK_EQ(ask(cpu, 1, 0)[ECX] & BIT(27), BIT(27));
	CHECK_EQ(ask(cpu, 0xd, 0)[EBX], 576);
	guest_exec(cpu, AT(xcr0), 3, 0, 0, 0);
	CHECK_EQ(ask(cpu, 0xd, 0)[EBX], 576);
	if (guest_cpuid_reg(&g, 0xd, 0, EAX) & 4) {
		guest_exec(cpu, AT(xcr0), 7, 0, 0, 0);
		CHECK_EQ(ask(cpu, 0xd, 0)[EBX], 832);
		CHECK(ask(cpu, 0xd, 0)[ECX] >= 832);
	}
	set_cr4(cpu, 0);
	CHECK_EQ(ask(cpu, 1, 0)[ECX] & BIT(27), 0);

	if (!(guest_cpuid_reg(&g, 7, 0, ECX) & BIT(3)))
		SKIP("no PKU");
	CHECK_EQ(ask(cpu, 7, 0)[ECX] & BIT(4), 0);
	set_cr4(cpu, pke);
	CHECK_EQ(ask(cpu, 7, 0)[ECX] & BIT(4), BIT(4));
	set_cr4(cpu, 0);
	CHECK_EQ(ask(cpu, 7, 0)[ECX] & BIT(4), 0);
}

/* The same by user space's hand, and in what it reads back. */
static void runtime_sregs(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct kvm_sregs s;

	if (!(guest_cpuid_reg(&g, 1, 0, ECX) & BIT(26)))
		SKIP("no XSAVE");
	CHECK_EQ(find(get(cpu->fd, KVM_GET_CPUID2), 1, 0)->ecx & BIT(27), 0);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= 1 << 18;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	CHECK_EQ(find(get(cpu->fd, KVM_GET_CPUID2), 1, 0)->ecx & BIT(27), BIT(27));
	CHECK_EQ(ask(cpu, 1, 0)[ECX] & BIT(27), BIT(27));
}

static const struct test tests[] = {
	{ "features are the host's", subset },
	{ "features that must be", basics },
	{ "leaves as they were given", as_given },
	{ "bits that follow the guest's state", runtime_bits },
	{ "and KVM_SET_SREGS", runtime_sregs },
};

TEST_MAIN(tests)
