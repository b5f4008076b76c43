// SPDX-License-Identifier: GPL-2.0-only
/* force_emulation_prefix: UD2 and "kvm" before an instruction have it emulated. */
#include <fcntl.h>

#include "first.h"

#define FEP	"ud2; .ascii \"kvm\"; "

GUEST_CODE(fep,
	".code64\n"
	/* registers, memory, the stack, a string, a locked instruction: nine in all */
	"fep_plain: mov $0xf000, %edi; mov $5, %eax; mov $7, %ecx\n"
	FEP "add %ecx, %eax\n"
	FEP "mov %rax, (%rdi)\n"
	FEP "push %rax\n"
	FEP "pop %rbx\n"
	"mov $12, %eax; mov $99, %edx\n"
	FEP "lock cmpxchg %rdx, (%rdi)\n"
	"lea 8(%rdi), %rdi; mov $3, %ecx; mov $0x4141414141414141, %rax\n"
	FEP "rep stosq\n"
	FEP "cpuid\n"
	FEP "jmp 1f\n"
	"ud2\n"
	"1: " FEP "nop\n"
	"fep_done: hlt\n"
	/* undefined, unknown to the emulator, faulting */
	"fep_ud: " FEP "\n"
	"fep_ud_at: ud2\n"
	"fep_x87: " FEP "\n"
	"fep_x87_at: fsin; hlt\n"
	"fep_de: xor %ecx, %ecx; " FEP "\n"
	"fep_de_at: div %ecx; hlt\n"
	/* what user space serves */
	"fep_mmio: mov $0xd0000000, %edi; mov $0x1234, %eax\n"
	FEP "mov %eax, (%rdi)\n"
	FEP "mov 4(%rdi), %ebx\n"
	FEP "out %al, $0x30\n"
	FEP "in $0x31, %al\n"
	"hlt\n"
	"fep_rdmsr: mov %edi, %ecx; mov $-1, %rax; mov $-1, %rdx; " FEP "\n"
	"fep_rdmsr_at: rdmsr; hlt\n"
	"fep_wrmsr: mov %edi, %ecx; mov %esi, %eax; xor %edx, %edx; " FEP "\n"
	"fep_wrmsr_at: wrmsr; hlt\n"
	/* breakpoints; DR0 and DR7 in rdi, rsi */
	"fep_bp: mov %rdi, %dr0; mov %rsi, %dr7\n"
	FEP "\n"
	"fep_bp_at: nop; hlt\n"
	"fep_gd: mov $0x2400, %eax; mov %rax, %dr7\n"
	FEP "\n"
	"fep_gd_at: mov %dr0, %rbx; hlt\n"
	/* single steps over three instructions */
	"fep_tf: pushfq; orl $0x100, (%rsp); popfq\n"
	"nop; " FEP "inc %eax\n"
	"pushfq; andl $~0x100, (%rsp); popfq\n"
	"hlt\n"
	/* the two instructions of hypercalls */
	"fep_call: mov $-1, %rax; " FEP "vmcall; hlt\n"
	/* in the shadow of each, with IF 0 and 1 */
	"fep_ss: mov %ss, %ecx; " FEP "mov %ecx, %ss\n"
	"nop; mov %ss, %ecx; sti; nop; " FEP "mov %ecx, %ss\n"
	"nop; cli; " FEP "sti\n"
	"cli; hlt\n"
	/* until *rdi; counts what was emulated, and #UD of on_skip what was not */
	"fep_loop: xor %ebx, %ebx\n"
	"1: " FEP "incq 0xf000\n"
	"cmpq $0, (%rdi); je 1b; hlt\n"
	/* RBX = where, RDX = what */
	"fep_on_ud: mov $6, %edx; mov (%rsp), %rbx; hlt\n"
	"fep_on_de: mov $0, %edx; mov (%rsp), %rbx; hlt\n"
	"fep_on_db: xor %eax, %eax; mov %dr6, %rcx; mov %rax, %dr7; mov $1, %edx; mov (%rsp), %rbx; hlt\n"
	"fep_on_gp: mov $13, %edx; mov 8(%rsp), %rbx; hlt\n"
	"fep_on_step: incq 0xf000; iretq\n"
	"fep_on_skip: incq 0xf008; addq $5, (%rsp); iretq\n"
	/* across a page */
	".org fep + 0xffb\n"
	"fep_page: xor %eax, %eax; " FEP "inc %eax; hlt\n");

extern const char fep_plain[], fep_done[], fep_ud[], fep_ud_at[], fep_x87[], fep_x87_at[], fep_de[],
		  fep_de_at[], fep_mmio[], fep_rdmsr[], fep_rdmsr_at[], fep_wrmsr[],
		  fep_wrmsr_at[], fep_bp[], fep_bp_at[], fep_gd[], fep_gd_at[], fep_tf[], fep_call[],
		  fep_ss[],
		  fep_loop[], fep_on_ud[], fep_on_de[], fep_on_db[], fep_on_gp[], fep_on_step[],
		  fep_on_skip[], fep_page[];

#define AT(name) ((unsigned long)(fep_##name - fep))
#define GPA(name) (GUEST_CODE_GPA + AT(name))

static const char *param_path(void)
{
	return access("/dev/vmm", F_OK) ? "/sys/module/kvm/parameters/force_emulation_prefix" :
					  "/sys/module/vmm/parameters/force_emulation_prefix";
}

static int try_param(const char *val)
{
	int fd = MUST(open(param_path(), O_WRONLY));
	int r = write(fd, val, strlen(val)) < 0 ? -errno : 0;

	close(fd);
	return r;
}

static int param(void)
{
	int fd = MUST(open(param_path(), O_RDONLY));
	char val[16] = "";

	MUST(read(fd, val, sizeof(val) - 1));
	close(fd);
	return atoi(val);
}

static struct guest_cpu *start(struct guest *g, const char *val)
{
	struct guest_cpu *cpu;

	CHECK_EQ(try_param(val), 0);
	cpu = long_guest(g);
	guest_load_code(g, fep);
	set_gate(g, 0, AT(on_de));
	set_gate(g, 1, AT(on_db));
	set_gate(g, 6, AT(on_ud));
	set_gate(g, 13, AT(on_gp));
	guest_cpuid(cpu);
	return cpu;
}

static void run(struct guest_cpu *cpu, unsigned long entry, uint64_t rdi, uint64_t rsi)
{
	guest_exec(cpu, entry, rdi, rsi, 0, 0);
}

static void expect_fault(struct guest_cpu *cpu, int vector, uint64_t rip)
{
	CHECK_EQ(guest_regs(cpu).rdx, vector);
	CHECK_EQ(guest_regs(cpu).rbx, rip);
}

/* -------- tests -------- */

static void parameter(void)
{
	CHECK_EQ(try_param("3"), 0);
	CHECK_EQ(param(), 3);
	CHECK_EQ(try_param("x"), -EINVAL);
	CHECK_EQ(param(), 3);
	CHECK_EQ(try_param("0"), 0);
	CHECK_EQ(param(), 0);
}

static void off(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "0");

	run(cpu, AT(x87), 0, 0);
	expect_fault(cpu, 6, GPA(x87));
}

static void plain(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");
	struct kvm_regs r;
	uint64_t n = guest_cpu_stat(cpu, "insn_emulation");
	int i;

	run(cpu, AT(plain), 0, 0);
	r = guest_regs(cpu);
	CHECK_EQ(r.rip, GPA(done) + 1);
	CHECK_EQ(r.rdi, DATA_GPA + 32);
	CHECK_EQ(*guest_word(&g, 0), 99);
	for (i = 1; i < 4; i++)
		CHECK_EQ(*guest_word(&g, i), 0x4141414141414141);
	CHECK(guest_cpu_stat(cpu, "insn_emulation") >= n + 9);
}

static void page_crossing(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	CHECK_EQ(GPA(page) & 0xfff, 0xffb);
	CHECK_EQ(guest_exec(cpu, AT(page), 0, 0, 0, 0) & 0xffffffff, 1);
}

static void undefined(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	run(cpu, AT(ud), 0, 0);
	expect_fault(cpu, 6, GPA(ud_at));
	run(cpu, AT(x87), 0, 0);
	expect_fault(cpu, 6, GPA(x87_at));
}

static void faults(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	run(cpu, AT(de), 0, 0);
	expect_fault(cpu, 0, GPA(de_at));
}

static void user_space(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");
	struct kvm_run *run = cpu->run;

	guest_call(cpu, AT(mmio), 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(run->mmio.phys_addr, 0xd0000000);
	CHECK_EQ(run->mmio.is_write, 1);
	CHECK_EQ(*(uint32_t *)run->mmio.data, 0x1234);
	expect_exit(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(run->mmio.phys_addr, 0xd0000004);
	CHECK_EQ(run->mmio.is_write, 0);
	memcpy(run->mmio.data, "\x78\x56\x34\x12", 4);
	CHECK_EQ(expect_out(cpu, 0x30), 0x34);
	expect_exit(cpu, KVM_EXIT_IO);
	CHECK_EQ(run->io.port, 0x31);
	*((uint8_t *)run + run->io.data_offset) = 0xab;
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rbx, 0x12345678);
	CHECK_EQ(guest_regs(cpu).rax, 0x12ab);
}

#define NO_MSR	0x3ff		/* nobody's */

static void msr_exit(struct guest_cpu *cpu, uint32_t reason, uint32_t msr, uint32_t why)
{
	expect_exit(cpu, reason);
	CHECK_EQ(cpu->run->msr.index, msr);
	CHECK_EQ(cpu->run->msr.reason, why);
	CHECK_EQ(cpu->run->msr.error, 0);
}

static void msrs(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	run(cpu, AT(wrmsr), 0xc0000082, 0x4321);
	CHECK_EQ(guest_get_msr(cpu, 0xc0000082), 0x4321);
	run(cpu, AT(rdmsr), 0xc0000082, 0);
	CHECK_EQ(guest_regs(cpu).rax, 0x4321);
	CHECK_EQ(guest_regs(cpu).rdx, 0);
	run(cpu, AT(rdmsr), NO_MSR, 0);
	expect_fault(cpu, 13, GPA(rdmsr_at));
	run(cpu, AT(wrmsr), NO_MSR, 0);
	expect_fault(cpu, 13, GPA(wrmsr_at));
}

/* VT-x enters a guest with IF 0 in the shadow of MOV SS, but not in that of STI. */
static void interrupt_shadow(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	run(cpu, AT(ss), 0, 0);
	CHECK_EQ(get_events(cpu).interrupt.shadow, 0);
}

static void msrs_by_user_space(void)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL |
			  KVM_MSR_EXIT_REASON_FILTER },
	};
	uint8_t deny = 0;
	struct kvm_msr_filter filter = {
		.ranges[0] = { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			       .nmsrs = 1, .base = 0xc0000082, .bitmap = &deny },
	};
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	MUST(ioctl(g.fd, KVM_ENABLE_CAP, &cap));
	MUST(ioctl(g.fd, KVM_X86_SET_MSR_FILTER, &filter));
	guest_call(cpu, AT(rdmsr), NO_MSR, 0, 0, 0);
	msr_exit(cpu, KVM_EXIT_X86_RDMSR, NO_MSR, KVM_MSR_EXIT_REASON_UNKNOWN);
	cpu->run->msr.data = 0x1122334455667788;
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 0x55667788);
	CHECK_EQ(guest_regs(cpu).rdx, 0x11223344);
	guest_call(cpu, AT(wrmsr), 0xc0000082, 7, 0, 0);
	msr_exit(cpu, KVM_EXIT_X86_WRMSR, 0xc0000082, KVM_MSR_EXIT_REASON_FILTER);
	CHECK_EQ(cpu->run->msr.data, 7);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rip, GPA(wrmsr_at) + 3);
	guest_call(cpu, AT(rdmsr), 0xc0000082, 0, 0, 0);
	msr_exit(cpu, KVM_EXIT_X86_RDMSR, 0xc0000082, KVM_MSR_EXIT_REASON_FILTER);
	cpu->run->msr.error = 1;
	expect_exit(cpu, KVM_EXIT_HLT);
	expect_fault(cpu, 13, GPA(rdmsr_at));
}

/* Breakpoints on the instruction, where the CPU has seen the prefix only. */
static void breakpoint(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "3");

	run(cpu, AT(bp), GPA(bp_at), 0x402);
	expect_fault(cpu, 1, GPA(bp_at));
	CHECK_EQ(guest_regs(cpu).rcx & 0xf, 1);
	/* Not enabled, or of another kind: none. */
	run(cpu, AT(bp), GPA(bp_at), 0x400);
	CHECK_EQ(guest_regs(cpu).rip, GPA(bp_at) + 2);
	run(cpu, AT(bp), GPA(bp_at), 0x10402);
	CHECK_EQ(guest_regs(cpu).rip, GPA(bp_at) + 2);
}

static void users_breakpoint(void)
{
	struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP };
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	d.arch.debugreg[0] = GPA(bp_at);
	d.arch.debugreg[7] = 0x402;
	MUST(ioctl(cpu->fd, KVM_SET_GUEST_DEBUG, &d));
	guest_call(cpu, AT(bp), 0, 0x400, 0, 0);
	expect_exit(cpu, KVM_EXIT_DEBUG);
	CHECK_EQ(cpu->run->debug.arch.exception, 1);
	CHECK_EQ(cpu->run->debug.arch.pc, GPA(bp_at));
	CHECK_EQ(cpu->run->debug.arch.dr6 & 0xf, 1);
}

static void general_detect(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	run(cpu, AT(gd), 0, 0);
	expect_fault(cpu, 1, GPA(gd_at));
	CHECK_EQ(guest_regs(cpu).rcx & 0x2000, 0x2000);
}

static void stepped(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	set_gate(&g, 1, AT(on_step));
	run(cpu, AT(tf), 0, 0);
	/* NOP, the prefixed one, PUSHF, ANDL, POPF */
	CHECK_EQ(*guest_word(&g, 0), 5);
}

/* It is executed as though it stood there alone: the call that there is not. */
static void hypercall(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, "1");

	run(cpu, AT(call), 0, 0);
	CHECK_EQ(guest_regs(cpu).rax, -1000);
}

static void *loop_thread(void *arg)
{
	return (void *)(long)guest_run(arg);
}

static void wait_for(volatile uint64_t *word)
{
	uint64_t old = *word;
	int i;

	for (i = 0; i < 1000 && *word < old + 10; i++)
		usleep(10000);
	CHECK(*word >= old + 10);
}

/* Switched on and off under a vCPU that runs, where nobody else has a use for #UD. */
static void switched(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DISABLE_QUIRKS2,
				      .args = { KVM_X86_QUIRK_FIX_HYPERCALL_INSN } };
	struct guest g;
	struct guest_cpu *cpu = start(&g, "0");
	void *r;
	int i;

	MUST(ioctl(g.fd, KVM_ENABLE_CAP, &cap));
	g.rflags = 0x200;
	set_gate(&g, 6, AT(on_skip));
	guest_call(cpu, AT(loop), DATA_GPA + 16, 0, 0, 0);
	CHECK_EQ(pthread_create(&cpu->thread, NULL, loop_thread, cpu), 0);
	for (i = 0; i < 4; i++) {
		uint64_t skipped;

		wait_for(guest_word(&g, 1));
		CHECK_EQ(try_param("1"), 0);
		skipped = *guest_word(&g, 1);
		wait_for(guest_word(&g, 0));
		/* One may have been on its way. */
		CHECK(*guest_word(&g, 1) <= skipped + 1);
		CHECK_EQ(try_param("0"), 0);
	}
	*guest_word(&g, 2) = 1;
	CHECK_EQ(pthread_join(cpu->thread, &r), 0);
	CHECK_EQ((long)r, 0);
	guest_expect(cpu, KVM_EXIT_HLT);
}

static const struct test tests[] = {
	{ "parameter", parameter },
	{ "off", off },
	{ "plain", plain },
	{ "page_crossing", page_crossing },
	{ "undefined", undefined },
	{ "faults", faults },
	{ "user_space", user_space },
	{ "msrs", msrs },
	{ "msrs_by_user_space", msrs_by_user_space },
	{ "breakpoint", breakpoint },
	{ "users_breakpoint", users_breakpoint },
	{ "general_detect", general_detect },
	{ "stepped", stepped },
	{ "interrupt_shadow", interrupt_shadow },
	{ "hypercall", hypercall },
	{ "switched", switched },
};

/* Leaves the machine as it was found. */
int main(int argc, char **argv)
{
	int old = param(), r = run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
	char val[16];

	snprintf(val, sizeof(val), "%d", old);
	try_param(val);
	return r;
}
