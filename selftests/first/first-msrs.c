// SPDX-License-Identifier: GPL-2.0-only
/* MSRs and other state that passes between guest, user space and host. */
#include <sched.h>

#include "first.h"

GUEST_CODE(msrs,
	".code64\n"
	/* WRMSR and RDMSR of ECX */
	"msrs_write: mov %rcx, %r8; mov %edi, %eax; mov %rdi, %rdx; shr $32, %rdx; wrmsr; hlt\n"
	"msrs_read: rdmsr; shl $32, %rdx; or %rdx, %rax; hlt\n"
	"msrs_tscp: rdtscp; mov %ecx, %eax; hlt\n"
	"msrs_bases: mov %fs:0, %rax; mov %gs:0, %rbx; add %rbx, %rax\n"
	"swapgs; mov %gs:0, %rbx; add %rbx, %rax; hlt\n"
	"msrs_gp: hlt\n"
	/* xmm0 and x87 get values of the guest's */
	"msrs_fpu: movq %rdi, %xmm0; movq %rsi, %xmm15; fninit; fld1; fldpi; hlt\n"
	"msrs_fpu_get: movq %xmm0, %rax; movq %xmm15, %rbx; add %rbx, %rax; hlt\n");

extern const char msrs_write[], msrs_read[], msrs_tscp[], msrs_bases[], msrs_gp[], msrs_fpu[],
		  msrs_fpu_get[];

#define AT(name) ((unsigned long)(msrs_##name - msrs))

static struct guest_cpu *start(struct guest *g)
{
	struct guest_cpu *cpu = long_guest(g);
	struct kvm_sregs s;

	guest_load_code(g, msrs);
	set_gate(g, 13, AT(gp));
	guest_cpuid(cpu);
	/* OSFXSR and OSXMMEXCPT. */
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= 0x600;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	return cpu;
}

static const struct {
	uint32_t index;
	uint64_t val;
} plain[] = {
	{ 0x174, 0x10 },
	{ 0x175, 0x7fe01000 },
	{ 0x176, 0x7fe02000 },
	{ 0xc0000081, 0x0023001000000000 },
	{ 0xc0000082, 0xffffffff81000000 },
	{ 0xc0000083, 0xffffffff82000000 },
	{ 0xc0000084, 0x47700 },
	{ 0xc0000102, 0xffff888000000000 },
	{ 0x277, 0x0007040600070406 },
	{ 0xc0000103, 0x1234 },
};

/* Both ways: written by the guest and read by user space, and the reverse. */
static void both_ways(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	unsigned int i;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		guest_exec(cpu, AT(write), plain[i].val, 0, 0, plain[i].index);
		CHECK_EQ(guest_get_msr(cpu, plain[i].index), plain[i].val);
		CHECK_EQ(guest_set_msr(cpu, plain[i].index, 0), 1);
		CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, plain[i].index), 0);
		CHECK_EQ(guest_set_msr(cpu, plain[i].index, plain[i].val), 1);
		CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, plain[i].index), plain[i].val);
	}
}

static void segment_bases(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct kvm_sregs s;

	*guest_word(&g, 0) = 1;
	*guest_word(&g, 1) = 20;
	*guest_word(&g, 2) = 300;
	guest_exec(cpu, AT(write), DATA_GPA, 0, 0, 0xc0000100);
	guest_exec(cpu, AT(write), DATA_GPA + 8, 0, 0, 0xc0000101);
	guest_exec(cpu, AT(write), DATA_GPA + 16, 0, 0, 0xc0000102);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	CHECK_EQ(s.fs.base, DATA_GPA);
	CHECK_EQ(s.gs.base, DATA_GPA + 8);
	CHECK_EQ(guest_exec(cpu, AT(bases), 0, 0, 0, 0), 321);
	CHECK_EQ(guest_get_msr(cpu, 0xc0000102), DATA_GPA + 8);
}

static unsigned int host_tsc_aux(void)
{
	unsigned int aux;

	asm volatile("rdtscp" : "=c" (aux) : : "eax", "edx");
	return aux;
}

static void tsc_aux(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	unsigned int before = host_tsc_aux();

	CHECK_EQ(guest_set_msr(cpu, 0xc0000103, 0xabcd), 1);
	CHECK_EQ(guest_exec(cpu, AT(tscp), 0, 0, 0, 0), 0xabcd);
	CHECK_EQ(host_tsc_aux(), before);
	guest_exec(cpu, AT(write), 0x4321, 0, 0, 0xc0000103);
	CHECK_EQ(guest_exec(cpu, AT(tscp), 0, 0, 0, 0), 0x4321);
	CHECK_EQ(host_tsc_aux(), before);
}

/* Half of the mask is reserved: Intel's processors refuse it, and the host would be given it at the next entry. */
static void syscall_mask(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_cpuid(cpu);
	CHECK_EQ(guest_set_msr(cpu, 0xc0000084, ~0ull), !host_is_intel());
	CHECK_EQ(guest_set_msr(cpu, 0xc0000084, 0xffffffff), 1);
}

static void unknown_msr(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);

	guest_exec(cpu, AT(read), 0, 0, 0, 0xdead0000);
	CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + AT(gp) + 1);
	guest_exec(cpu, AT(write), 0, 0, 0, 0xdead0000);
	CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + AT(gp) + 1);
	/* EFER bits that do not exist. */
	guest_exec(cpu, AT(write), 0x10500ull | 1ull << 40, 0, 0, 0xc0000080);
	CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + AT(gp) + 1);
}

/* The host's and the guest's vector registers do not mix. */
static void vector_registers(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	uint64_t a = 0x1111222233334444, b = 0x5555666677778888, c = 0, d = 0;
	struct kvm_fpu fpu;
	int i;

	for (i = 0; i < 100; i++) {
		guest_call(cpu, AT(fpu), 7 + i, 9, 0, 0);
			/* KVM_RUN by hand, so that nothing touches the registers meanwhile. */
		asm volatile("movq %2, %%xmm0; movq %3, %%xmm15\n"
			     "mov $16, %%eax; mov %4, %%edi; mov $0xae80, %%esi; xor %%edx, %%edx\n"
			     "syscall\n"
			     "movq %%xmm0, %0; movq %%xmm15, %1"
			     : "=&r" (c), "=&r" (d) : "r" (a), "r" (b), "r" (cpu->fd)
			     : "rax", "rdi", "rsi", "rdx", "rcx", "r11", "xmm0", "xmm15", "memory");
		CHECK_EQ(c, a);
		CHECK_EQ(d, b);
		guest_expect(cpu, KVM_EXIT_HLT);
		CHECK_EQ(guest_exec(cpu, AT(fpu_get), 0, 0, 0, 0), 16 + i);
	}
	MUST(ioctl(cpu->fd, KVM_GET_FPU, &fpu));
	CHECK_EQ(*(uint64_t *)fpu.xmm[0], 7 + 99);
	CHECK_EQ(*(uint64_t *)fpu.xmm[15], 9);
	/* pi on top, 1 below: mantissas. */
	CHECK_EQ(*(uint64_t *)fpu.fpr[0], 0xc90fdaa22168c235);
	CHECK_EQ(*(uint64_t *)fpu.fpr[1], 0x8000000000000000);
}

static bool faulted(struct guest_cpu *cpu)
{
	return guest_regs(cpu).rip == GUEST_CODE_GPA + AT(gp) + 1;
}

/* What KVM answers for CPUs that the guest may think it has; Windows and old kernels ask. */
static void old_msrs(void)
{
	static const struct {
		uint32_t msr;
		uint64_t val;
		bool fixed;	/* faults when written */
	} known[] = {
		{ 0x0, 0, true }, { 0x1, 0, true }, { 0x17, 0, true }, { 0x2c, 1 << 24, true }, { 0xc1, 0 }, { 0xcd, 3, true },
		{ 0x11e, 0xbe702111 }, { 0x187, 0 }, { 0x198, 1000 | 4ull << 40 }, { 0x619, 0, true }, { 0x639, 0, true },
		{ 0x641, 0, true }, { 0xc0010000, 0 }, { 0xc0010004, 0 }, { 0xc001001b, 0x20000000 }, { 0xc0011023, 0 },
		{ 0xc001102c, 0 },
	};
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	unsigned int i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		uint64_t val = guest_exec(cpu, AT(read), 0, 0, 0, known[i].msr);

		if (faulted(cpu) || val != known[i].val)
			FAIL("%x: reads %lx%s", known[i].msr, val, faulted(cpu) ? " (a fault)" : "");
		guest_exec(cpu, AT(write), 4, 0, 0, known[i].msr);
		if (faulted(cpu) != known[i].fixed)
			FAIL("%x: %s when written", known[i].msr, faulted(cpu) ? "faults" : "does not fault");
	}
}

/* LBR and BTF are dropped, what nobody knows is not. */
static void debugctl(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);

	guest_exec(cpu, AT(write), 2, 0, 0, 0x1d9);
	CHECK(!faulted(cpu));
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x1d9), 0);
	guest_exec(cpu, AT(write), 1ull << 40, 0, 0, 0x1d9);
	CHECK(faulted(cpu));
}

/* "Performance monitoring available" cannot be changed, but writing it is no fault. */
static void misc_enable(void)
{
	enum { EMON = 1 << 7, BTS_UNAVAIL = 1 << 11 };
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	uint64_t val = guest_exec(cpu, AT(read), 0, 0, 0, 0x1a0);

	guest_exec(cpu, AT(write), val ^ EMON, 0, 0, 0x1a0);
	CHECK(!faulted(cpu));
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x1a0), val);
	guest_exec(cpu, AT(write), val ^ BTS_UNAVAIL, 0, 0, 0x1a0);
	CHECK(faulted(cpu));
}

static const struct test tests[] = {
	{ "written here, read there", both_ways },
	{ "FS, GS and SWAPGS", segment_bases },
	{ "TSC_AUX", tsc_aux },
	{ "the mask of SYSCALL", syscall_mask },
	{ "unknown MSR", unknown_msr },
	{ "MSRs of old CPUs", old_msrs },
	{ "DEBUGCTL", debugctl },
	{ "MISC_ENABLE", misc_enable },
	{ "vector registers", vector_registers },
};

TEST_MAIN(tests)
