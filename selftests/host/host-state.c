// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space can see of its CPU is the same before and after a guest that
 * has changed all that a guest can change. (Vector registers: ../first/first-fpu.c;
 * what only the kernel sees: kmod/host_check.c.)
 */
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <cpuid.h>
#include <stddef.h>
#include <sys/io.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "host.h"

#define IDT_GPA		0xc000ul
#define MSRS_GPA	0xe000ul	/* of the guest: pairs of number and value, until a 0 */
#define GP_VECTOR	13
#define CR4_DE		(1ul << 3)
#define CR4_OSXSAVE	(1ul << 18)
#define CR4_PKE		(1ul << 22)

/*
 * RDI: bits WITH_*. RSI: an address for the breakpoints. Each round writes the MSRs, is then another
 * guest than before in all else, and ends with an exit to user space.
 */
GUEST_CODE(trash,
	".code64\n"
	"	mov %rdi, %r15\n	mov %rsi, %r14\n"
	"trash_round:\n"
	"	mov $0xe000, %ebx\n"
	"1:	mov (%rbx), %ecx\n	test %ecx, %ecx\n	jz 2f\n"
	"	mov 8(%rbx), %eax\n	mov 12(%rbx), %edx\n	wrmsr\n"
	"	add $16, %rbx\n	jmp 1b\n"
	"2:	mov %r14, %dr0\n	mov %r14, %dr1\n	mov %r14, %dr2\n	mov %r14, %dr3\n"
	"	bt $8, %r15\n	sbb %rax, %rax\n"
	"	and $0xdddd07ff, %eax\n	mov %rax, %dr7\n"
	"	mov $0xffff0ff1, %eax\n	mov %rax, %dr6\n"
	"	test $1, %r15\n	jz 3f\n"
	"	xor %ecx, %ecx\n	xor %edx, %edx\n	mov $1, %eax\n	xsetbv\n"
	"3:	test $2, %r15\n	jz 4f\n"
	"	xor %ecx, %ecx\n	xor %edx, %edx\n	mov $0xfffffffd, %eax\n	wrpkru\n"
	"4:	mov $16, %eax\n	mov %eax, %ds\n	mov %eax, %es\n	mov %eax, %fs\n	mov %eax, %gs\n"
	"	mov $7, %eax\n	mov %rax, %cr8\n"
	"	mov %cr0, %rax\n	or $0x40008, %rax\n	mov %rax, %cr0\n"	/* TS, AM */
	"	pushq $0x44402\n	popfq\n"		/* AC, NT, DF; no IF */
	"	pushq $0x40602\n	popfq\n"
	"	out %al, $0x10\n"
	"	jmp trash_round\n"
	"trash_gp:\n"
	"	addq $2, 8(%rsp)\n	add $8, %rsp\n	iretq\n");

extern const char trash_gp[];

enum { WITH_XCR0 = 1, WITH_PKRU = 2, WITH_BREAKPOINTS = 256 };

/* Values that are the guest's alone; what this CPU does not have is #GP. */
static const uint64_t guest_msrs[][2] = {
	{ 0xc0000081, 0x001b000800000000 },	/* STAR */
	{ 0xc0000082, 0x123450 },		/* LSTAR */
	{ 0xc0000083, 0x123460 },		/* CSTAR */
	{ 0xc0000084, 0x47700 },		/* SYSCALL_MASK */
	{ 0xc0000100, 0x7f1234567000 },		/* FS_BASE */
	{ 0xc0000101, 0x7f1234568000 },		/* GS_BASE */
	{ 0xc0000102, 0x7f1234569000 },		/* KERNEL_GS_BASE */
	{ 0xc0000103, 0x77 },			/* TSC_AUX */
	{ 0x174, 0x1230 },			/* SYSENTER_CS */
	{ 0x175, 0x4567000 },			/* SYSENTER_ESP */
	{ 0x176, 0x4568000 },			/* SYSENTER_EIP */
	{ 0x277, 0x0000000000000006 },		/* PAT */
	{ 0x1d9, 3 },				/* DEBUGCTL: LBR, BTF */
	{ 0x1d9, 1 },
	{ 0x48, 1 },				/* SPEC_CTRL */
	{ 0x48, 7 },
	{ 0x140, 0 },				/* MISC_FEATURES_ENABLES */
	{ 0xda0, 0x100 },			/* XSS */
	{ 0x10, 0x1000 },			/* TSC */
	{ 0x3b, 0x123456 },			/* TSC_ADJUST */
	{ 0xc0011029, 0 },			/* DE_CFG */
};

/* MSRs whose value the kernel never changes by itself, in so short a time. */
static const uint32_t host_msrs[] = {
	0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000101, 0xc0000103, 0x174, 0x175, 0x176,
	0x277, 0x1d9, 0x48, 0x140, 0xda0, 0x3b, 0x1b, 0x122, 0xe1, 0x6a0, 0x6a2, 0xc0011029, 0xc001011f,
};

#define NMSRS	(sizeof(host_msrs) / sizeof(host_msrs[0]))

struct visible {
	uint16_t cs, ss, ds, es, fs, gs;
	uint64_t fs_base, gs_base, flags, xcr0;
	uint32_t aux, pkru;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) gdt;
	uint64_t msr[NMSRS];
	bool has_msr[NMSRS];
};

static bool has(uint32_t leaf, int reg, uint32_t bit)
{
	uint32_t r[4];

	return __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]) && (r[reg] & bit);
}

static bool has_xsave(void)
{
	return has(1, 2, bit_OSXSAVE);
}

static bool has_pkru(void)
{
	return has(7, 2, bit_OSPKE);
}

static bool has_rdtscp(void)
{
	return has(0x80000001, 3, 1u << 27);
}

/* This CPU's MSRs: the test stays on one. */
static void read_msrs(struct visible *v)
{
	static int fd = -2;
	unsigned int i;

	if (fd == -2) {
		if (system("modprobe -q msr"))
			printf("# no /dev/cpu/*/msr\n");
		fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	}
	for (i = 0; fd >= 0 && i < NMSRS; i++)
		v->has_msr[i] = pread(fd, &v->msr[i], 8, host_msrs[i]) == 8;
}

static void look(struct visible *v)
{
	uint32_t a, d;

	memset(v, 0, sizeof(*v));
	asm volatile("mov %%cs, %0; mov %%ss, %1; mov %%ds, %2; mov %%es, %3; mov %%fs, %4; mov %%gs, %5"
		     : "=rm" (v->cs), "=rm" (v->ss), "=rm" (v->ds), "=rm" (v->es), "=rm" (v->fs), "=rm" (v->gs));
	asm volatile("pushfq; popq %0" : "=r" (v->flags));
	v->flags &= 0x247700;	/* not the arithmetic's */
	syscall(SYS_arch_prctl, ARCH_GET_FS, &v->fs_base);
	syscall(SYS_arch_prctl, ARCH_GET_GS, &v->gs_base);
	asm volatile("sgdt %0" : "=m" (v->gdt));
	if (has_rdtscp())
		asm volatile("rdtscp" : "=a" (a), "=d" (d), "=c" (v->aux));
	if (has_pkru())
		asm volatile("rdpkru" : "=a" (v->pkru), "=d" (d) : "c" (0));
	if (has_xsave()) {
		asm volatile("xgetbv" : "=a" (a), "=d" (d) : "c" (0));
		v->xcr0 = a;
	}
	read_msrs(v);
}

#define SAME(member) CHECK_EQ(after->member, before->member)

static void compare(const struct visible *before, const struct visible *after)
{
	unsigned int i;

	SAME(cs);
	SAME(ss);
	SAME(ds);
	SAME(es);
	SAME(fs);
	SAME(gs);
	SAME(fs_base);
	SAME(gs_base);
	SAME(flags);
	SAME(xcr0);
	SAME(aux);
	SAME(pkru);
	SAME(gdt.limit);
	SAME(gdt.base);
	for (i = 0; i < NMSRS; i++) {
		if (after->msr[i] != before->msr[i])
			FAIL("MSR %#x is %#llx, not %#llx", host_msrs[i], (unsigned long long)after->msr[i],
			     (unsigned long long)before->msr[i]);
	}
}

static void set_gate(struct guest *g, int vector, uint64_t to)
{
	uint64_t *gate = (uint64_t *)(g->mem + IDT_GPA) + 2 * vector;

	gate[0] = (to & 0xffff) | 8ull << 16 | 0x8eull << 40 | (to >> 16 & 0xffff) << 48;
	gate[1] = to >> 32;
}

static struct guest_cpu *trash_create(struct guest *g, unsigned int with, void *address)
{
	struct guest_cpu *cpu;
	struct kvm_sregs s;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	MUST(sched_setaffinity(0, sizeof(one), &one));
	guest_create(g, 4 * MB);
	cpu = guest_add_cpu(g);
	guest_mode(cpu, GUEST_LONG);
	guest_load_code(g, trash);
	guest_idt(cpu, IDT_GPA);
	set_gate(g, GP_VECTOR, GUEST_CODE_GPA + (trash_gp - trash));
	memcpy(g->mem + MSRS_GPA, guest_msrs, sizeof(guest_msrs));
	with |= has_xsave() ? WITH_XCR0 : 0;
	with |= has_pkru() ? WITH_PKRU : 0;
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= CR4_DE | CR4_OSFXSR | (with & WITH_XCR0 ? CR4_OSXSAVE : 0) | (with & WITH_PKRU ? CR4_PKE : 0);
	s.gdt.limit = 0x33;
	s.idt.limit = 0x1ff;
	s.ldt.selector = 8;
	s.ldt.limit = 0x17;
	s.tr.limit = 0x67;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_call(cpu, 0, with, (uintptr_t)address, 0, 0);
	return cpu;
}

static void trash_once(struct guest_cpu *cpu)
{
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
}

static void unchanged(void)
{
	struct visible before, after;
	struct guest_cpu *cpu;
	struct guest g;
	unsigned long n;
	unsigned int i, msrs = 0;

	cpu = trash_create(&g, WITH_BREAKPOINTS, &before);
	look(&before);
	for (n = 0; n < test_repeat(200); n++) {
		trash_once(cpu);
		look(&after);
		compare(&before, &after);
	}
	for (i = 0; i < NMSRS; i++)
		msrs += after.has_msr[i];
	printf("# %u MSRs looked at\n", msrs);
}

/* Selectors of user space that are not null, with a base from the LDT or its own. */
static void segments(void)
{
	static uint64_t here = 0x1122334455667788;
	struct user_desc desc = {
		.entry_number = 0, .base_addr = 0, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1,
	};
	struct visible before, after;
	struct guest_cpu *cpu;
	uint64_t *low, val;
	struct guest g;
	int i;

	low = mmap((void *)0x10000000, PAGE_4K, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(low != MAP_FAILED);
	*low = 77;
	desc.base_addr = (uintptr_t)low;
	cpu = trash_create(&g, 0, NULL);
	if (syscall(SYS_modify_ldt, 1, &desc, sizeof(desc)))
		SKIP("no LDT");
	for (i = 0; i < 20; i++) {
		asm volatile("mov %0, %%ds; mov %0, %%es; mov %1, %%gs" : : "r" (0x2b), "r" (7));
		look(&before);
		trash_once(cpu);
		look(&after);
		asm volatile("mov %%gs:0, %0" : "=r" (val));
		compare(&before, &after);
		CHECK_EQ(val, 77);
		/* No selector, but a base that is. */
		asm volatile("mov %0, %%gs" : : "r" (0));
		MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, &here));
		trash_once(cpu);
		asm volatile("mov %%gs:0, %0" : "=r" (val));
		CHECK_EQ(val, here);
	}
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r" (0));
}

static volatile int faults;

static void skip_out(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	faults++;
	uc->uc_mcontext.gregs[REG_RIP] += 2;	/* OUT imm8 */
}

/* The TSS's limit, behind which the map of permitted ports stands. */
static void ports(void)
{
	struct sigaction sa = { .sa_sigaction = skip_out, .sa_flags = SA_SIGINFO };
	struct guest_cpu *cpu;
	struct guest g;
	int i;

	cpu = trash_create(&g, 0, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	MUST(ioperm(0x80, 1, 1));
	for (i = 0; i < 20; i++) {
		trash_once(cpu);
		asm volatile("out %%al, $0x80" : : "a" (0));
		CHECK_EQ(faults, i);
		asm volatile("out %%al, $0x81" : : "a" (0));
		CHECK_EQ(faults, i + 1);
	}
}

/* ---- a debugger of the process that runs the guest ----------------------------- */

static volatile uint64_t watched, unwatched;

static void run_and_touch(bool touch)
{
	struct guest_cpu *cpu;
	struct guest g;
	int i;

	cpu = trash_create(&g, WITH_BREAKPOINTS, (void *)&unwatched);
	MUST(ptrace(PTRACE_TRACEME, 0, 0, 0));
	raise(SIGSTOP);
	for (i = 0; i < 20; i++) {
		trash_once(cpu);
		unwatched = i;
		if (touch)
			watched = i;
	}
	_exit(0);
}

static void poke(pid_t pid, int dr, unsigned long val)
{
	MUST(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg) + dr * 8, val));
}

/* Signals SIGTRAP of a child under this debugger, until it ends. */
static unsigned long traps_of(pid_t pid, int go)
{
	unsigned long traps = 0;
	int status;

	for (;;) {
		MUST(ptrace(go, pid, 0, 0));
		MUST(waitpid(pid, &status, 0));
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP, "status %#x", status);
		traps++;
	}
	CHECK_EQ(WEXITSTATUS(status), 0);
	return traps;
}

static pid_t debugged(bool touch)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = MUST(fork());
	if (!pid)
		run_and_touch(touch);
	MUST(waitpid(pid, &status, 0));
	if (!WIFSTOPPED(status))
		_exit(WEXITSTATUS(status));
	return pid;
}

/* The host's breakpoint is hit by the host only, each time; the guest's never in the host. */
static void breakpoints(void)
{
	static const unsigned long write8 = 0x90001;
	pid_t pid = debugged(true);

	poke(pid, 0, (uintptr_t)&watched);
	poke(pid, 7, write8);
	CHECK_EQ(traps_of(pid, PTRACE_CONT), 20);
	pid = debugged(true);
	CHECK_EQ(traps_of(pid, PTRACE_CONT), 0);
	/* Where the guest writes, at the same linear address. */
	pid = debugged(false);
	poke(pid, 0, 0xa3f8);
	poke(pid, 7, write8);
	CHECK_EQ(traps_of(pid, PTRACE_CONT), 0);
}

/* TF and BTF of the host, over KVM_RUN. */
static void stepped(void)
{
	unsigned long steps = traps_of(debugged(false), PTRACE_SINGLESTEP);
	unsigned long blocks = traps_of(debugged(false), PTRACE_SINGLEBLOCK);

	printf("# %lu steps, %lu branches\n", steps, blocks);
	CHECK(steps > 200);
	/* Emulators without BTF step at each instruction. */
	CHECK(blocks > 20 && blocks <= steps + 5);
}

static const struct test tests[] = {
	{ "registers and MSRs", unchanged, 120 },
	{ "segments", segments },
	{ "I/O ports", ports },
	{ "breakpoints", breakpoints },
	{ "single step", stepped, 120 },
};

TEST_MAIN(tests)
