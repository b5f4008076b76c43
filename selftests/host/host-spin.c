// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that computes, keeps values of its own in registers that the host
 * uses too, and looks at them again and again: whatever happens to the CPUs
 * it runs on must not show.
 *
 *	host-spin [--count SECONDS] TEST	computes at least so long (the host's sleep not counted)
 */
#include "../lib/guest.h"

#define ROUNDS		40
#define LOOPS		2000000ull
#define MSR_LSTAR	"$0xc0000082"
#define MSR_TSC_AUX	"$0xc0000103"
#define MSR_KERNEL_GS	"$0xc0000102"
#define MSR_FS_BASE	"$0xc0000100"

#define WRITE(msr)	"mov " msr ", %ecx\n mov %esi, %eax\n xor %edx, %edx\n wrmsr\n"
#define NEXT		"inc %ebx\n"
#define CHECK_MSR(msr)	NEXT "mov " msr ", %ecx\n rdmsr\n cmp %esi, %eax\n jne 9f\n"

/* RDI: loops. RSI: the value. RDX: leave CR2 out. Ends in HLT with RAX 7 when all was as it was left, else the number of what was not. */
GUEST_CODE(spin,
	   "mov %rdx, %r8\n"
	   WRITE(MSR_LSTAR) WRITE(MSR_TSC_AUX) WRITE(MSR_KERNEL_GS) WRITE(MSR_FS_BASE)
	   "mov %rsi, %cr2\n"
	   "movq %rsi, %xmm5\n"
	   "1: dec %rdi\n"
	   "jnz 1b\n"
	   "xor %ebx, %ebx\n"
	   CHECK_MSR(MSR_LSTAR) CHECK_MSR(MSR_TSC_AUX) CHECK_MSR(MSR_KERNEL_GS)
	   CHECK_MSR(MSR_FS_BASE)
	   NEXT "test %r8, %r8\n jnz 2f\n mov %cr2, %rax\n cmp %rsi, %rax\n jne 9f\n 2:\n"
	   NEXT "movq %xmm5, %rax\n cmp %rsi, %rax\n jne 9f\n"
	   "mov $7, %eax\n"
	   "hlt\n"
	   "9: mov %ebx, %eax\n"
	   "hlt\n");

static void set_cpuid(struct guest *g, struct guest_cpu *cpu)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = { .head.nent = 256 };

	MUST(ioctl(g->dev, KVM_GET_SUPPORTED_CPUID, &cpuid));
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, &cpuid));
}

/* SSE for the guest: CR4.OSFXSR. */
static void set_sse(struct guest_cpu *cpu)
{
	struct kvm_sregs s;

	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= 1u << 9;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
}

static void spin_rounds(bool but_cr2)
{
	uint64_t end = now_ns() + test_repeat(0) * 1000000000ull;
	struct guest_cpu *cpu;
	struct guest g;
	int i;

	guest_create(&g, 4ul << 20);
	cpu = guest_add_cpu(&g);
	set_cpuid(&g, cpu);
	guest_load_code(&g, spin);
	guest_mode(cpu, GUEST_LONG);
	set_sse(cpu);
	for (i = 0; i < ROUNDS || now_ns() < end; i++)
		CHECK_EQ(guest_exec(cpu, 0, LOOPS, 0x10000 * getpid() + i, but_cr2, 0), 7);
}

static void test_spin(void)
{
	spin_rounds(false);
}

/* VMRUN does not load CR2 in Bochs: stock kvm_amd loses it there, too. */
static void test_spin_but_cr2(void)
{
	spin_rounds(true);
}

static const struct test tests[] = {
	{ "spin", test_spin, 300 },
	{ "spin but CR2", test_spin_but_cr2, 300 },
};

TEST_MAIN(tests)
