// SPDX-License-Identifier: GPL-2.0-only
/* Debugging by the guest itself, and by user space (KVM_SET_GUEST_DEBUG). */
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "first.h"

GUEST_CODE(dbg,
	".code64\n"
	"dbg_steps: xor %eax, %eax\n"
	"dbg_s1: inc %eax\n"
	"dbg_s2: cpuid\n"
	"dbg_s3: out %al, $0x30\n"
	"dbg_s4: mov %rax, 0xf000\n"
	"dbg_s5: nop\n"
	"dbg_s6: hlt\n"
	/* a breakpoint by INT3 and one by DR0, over and over */
	"dbg_bp: nop\n"
	"dbg_int3: int3\n"
	"dbg_hw: nop; nop\n"
	"hlt\n"
	/* the guest's own: a data breakpoint on 0xf010, DR0 and DR7 written and read */
	"dbg_own: mov $0xf010, %eax; mov %rax, %dr0\n"
	"mov $0x000d0402, %eax; mov %rax, %dr7\n"
	"mov %dr0, %rbx; mov %dr7, %rcx\n"
	"mov %rbx, 0xf010\n"
	"dbg_after: nop; mov $0x400, %eax; mov %rax, %dr7\n"
	"mov %rbx, 0xf010; hlt\n"
	"dbg_on_db: incq 0xf018; mov %dr6, %rsi; mov (%rsp), %rdx; mov $0xffff0ff0, %eax; mov %rax, %dr6; iretq\n"
	/* the guest single-steps itself over CPUID, which the hypervisor does for it */
	"dbg_tf: pushfq; orl $0x100, (%rsp); popfq\n"
	"nop; cpuid; nop; pushfq; andl $~0x100, (%rsp); popfq\n"
	"hlt\n"
	/* a data breakpoint of user space on 0xf020 */
	"dbg_watch: nop; mov %rax, 0xf020\n"
	"dbg_watched: nop; hlt\n"
	/* steps over accesses that user space serves, and over HLT */
	"dbg_mmio: mov $0xd0000000, %edi\n"
	"dbg_m1: mov (%rdi), %eax\n"
	"dbg_m2: mov %eax, (%rdi)\n"
	"dbg_m3: nop\n"
	"dbg_m4: hlt\n"
	/* INT1, then again in the shadow of MOV SS while it steps itself */
	"dbg_int1: .byte 0xf1\n"
	"dbg_behind: hlt\n"
	"dbg_int1_ss: mov %ss, %ecx; pushfq; orl $0x100, (%rsp); popfq; mov %ecx, %ss\n"
	".byte 0xf1; pushfq; andl $~0x100, (%rsp); popfq\n"
	"hlt\n"
	/* what a user's program must not do; the same bytes in 32 bits */
	"dbg_user_dr0: mov %rax, %dr0; out %al, $0x30\n"
	"dbg_user_dr7: mov %rax, %dr7; out %al, $0x30\n"
	"dbg_user_read: mov %dr0, %rax; out %al, $0x30\n");

extern const char dbg_steps[], dbg_s1[], dbg_s2[], dbg_s3[], dbg_s4[], dbg_s5[], dbg_s6[],
		  dbg_bp[], dbg_int3[], dbg_hw[], dbg_own[], dbg_after[], dbg_on_db[], dbg_tf[],
		  dbg_int1[], dbg_behind[], dbg_int1_ss[], dbg_watch[], dbg_watched[], dbg_mmio[],
		  dbg_m1[], dbg_m2[], dbg_m3[], dbg_m4[], dbg_user_dr0[], dbg_user_dr7[], dbg_user_read[];

#define AT(name) ((unsigned long)(dbg_##name - dbg))

static struct guest_cpu *start(struct guest *g, unsigned long entry)
{
	struct guest_cpu *cpu = long_guest(g);

	guest_load_code(g, dbg);
	set_gate(g, 1, AT(on_db));
	guest_cpuid(cpu);
	guest_call(cpu, entry, 0, 0, 0, 0);
	return cpu;
}

static void debug_on(struct guest_cpu *cpu, uint32_t control, uint64_t dr0, uint64_t dr7)
{
	struct kvm_guest_debug d = { .control = control };

	d.arch.debugreg[0] = dr0;
	d.arch.debugreg[7] = dr7;
	MUST(ioctl(cpu->fd, KVM_SET_GUEST_DEBUG, &d));
}

static void expect_debug(struct guest_cpu *cpu, uint32_t exception, unsigned long at)
{
	expect_exit(cpu, KVM_EXIT_DEBUG);
	CHECK_EQ(cpu->run->debug.arch.exception, exception);
	CHECK_EQ(cpu->run->debug.arch.pc, GUEST_CODE_GPA + at);
}

/* One KVM_EXIT_DEBUG for each instruction, those that exit anyway included. */
static void single_step(void)
{
	const unsigned long stops[] = { AT(s1), AT(s2), AT(s3) }, more[] = { AT(s5), AT(s6) };
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(steps));
	int i;

	debug_on(cpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	for (i = 0; i < 3; i++) {
		expect_debug(cpu, 1, stops[i]);
		CHECK_EQ(cpu->run->debug.arch.dr6 & 0x4000, 0x4000);
		CHECK_EQ(guest_regs(cpu).rflags & 0x100, 0);
	}
	expect_out(cpu, 0x30);
	/* OUT is done when user space comes back. */
	expect_exit(cpu, KVM_EXIT_DEBUG);
	if (cpu->run->debug.arch.pc == GUEST_CODE_GPA + AT(s4))
		expect_exit(cpu, KVM_EXIT_DEBUG);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(cpu->run->debug.arch.pc, GUEST_CODE_GPA + more[i]);
		if (!i)
			expect_exit(cpu, KVM_EXIT_DEBUG);
	}
	debug_on(cpu, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rflags & 0x100, 0);
	CHECK_EQ(*guest_word(&g, 3), 0);
}

static void software_breakpoint(void)
{
	struct guest g;
	struct guest_cpu *cpu;

	if (host_is_tcg())
		SKIP("the emulator does not intercept INT3");
	cpu = start(&g, AT(bp));
	debug_on(cpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
	expect_debug(cpu, 3, AT(int3));
	CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + AT(int3));
	expect_debug(cpu, 3, AT(int3));
	/* As gdb goes on: the byte is put back, one step, and free. */
	g.mem[GUEST_CODE_GPA + AT(int3)] = 0x90;
	debug_on(cpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_debug(cpu, 1, AT(int3) + 1);
	debug_on(cpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
	expect_exit(cpu, KVM_EXIT_HLT);
}

static void step_mmio(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(mmio));

	debug_on(cpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	expect_debug(cpu, 1, AT(m1));
	expect_exit(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.is_write, 0);
	memcpy(cpu->run->mmio.data, "\x78\x56\x34\x12", 4);
	expect_debug(cpu, 1, AT(m2));
	CHECK_EQ(guest_regs(cpu).rax, 0x12345678);
	expect_exit(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.is_write, 1);
	CHECK_EQ(*(uint32_t *)cpu->run->mmio.data, 0x12345678);
	/* The write is done when user space comes back; KVM forgets the step then. */
	if (device_is_kvm())
		return;
	expect_debug(cpu, 1, AT(m3));
	expect_debug(cpu, 1, AT(m4));
	/* HLT itself is told, not the step over it. */
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + AT(m4) + 1);
	CHECK_EQ(guest_regs(cpu).rflags & 0x100, 0);
}

/* DR7: DR0 locally, writes, 8 bytes. A trap: the write is done. */
static void watchpoint(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(watch));
	struct kvm_regs r = guest_regs(cpu);

	r.rax = 0x55;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	debug_on(cpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, 0xf020,
		 DR7_FIXED | 2 | 9ul << 16);
	expect_debug(cpu, 1, AT(watched));
	CHECK_EQ(cpu->run->debug.arch.dr6 & 0xf, 1);
	CHECK_EQ(cpu->run->debug.arch.dr7 & 0xf0003, 0x90002);
	CHECK_EQ(*guest_word(&g, 4), 0x55);
	/* Still there, and then not. */
	guest_call(cpu, AT(watch), 0, 0, 0, 0);
	expect_debug(cpu, 1, AT(watched));
	debug_on(cpu, 0, 0, 0);
	guest_call(cpu, AT(watch), 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_HLT);
}

static void hardware_breakpoint(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(hw));

	debug_on(cpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		 GUEST_CODE_GPA + AT(hw) + 1, DR7_FIXED | 2);
	expect_debug(cpu, 1, AT(hw) + 1);
	CHECK_EQ(cpu->run->debug.arch.dr6 & 0xf, 1);
	debug_on(cpu, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_HLT);
}

static void own_breakpoint(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(own));
	struct kvm_debugregs d;
	struct kvm_regs r;

	expect_exit(cpu, KVM_EXIT_HLT);
	r = guest_regs(cpu);
	CHECK_EQ(r.rbx, 0xf010);
	CHECK_EQ(r.rcx & 0xffff00ff, 0x000d0002);
	CHECK_EQ(*guest_word(&g, 3), 1);
	CHECK_EQ(r.rsi & 0xf, 1);
	CHECK_EQ(r.rdx, GUEST_CODE_GPA + AT(after));
	MUST(ioctl(cpu->fd, KVM_GET_DEBUGREGS, &d));
	CHECK_EQ(d.db[0], 0xf010);
	CHECK_EQ(d.dr7, 0x400);
	CHECK_EQ(d.dr6 & 0xf, 0);
}

/* popfq sets TF: traps behind nop, cpuid, nop, pushfq, and, popfq. */
static void own_single_step(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(tf));

	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(*guest_word(&g, 3), 6);
	CHECK_EQ(guest_regs(cpu).rsi & 0x4000, 0x4000);
	CHECK_EQ(guest_regs(cpu).rflags & 0x100, 0);
}

/* A trap: the handler comes back behind it, and not to it for ever. */
static void own_int1(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(int1));

	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(*guest_word(&g, 3), 1);
	CHECK_EQ(guest_regs(cpu).rdx, GUEST_CODE_GPA + AT(behind));
	guest_call(cpu, AT(int1_ss), 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK(*guest_word(&g, 3) > 1);
}

/* #GP, which without an IDT is the guest's end. On VT-x the exit comes before the processor looks at the CPL. */
static void access_by_user(unsigned long entry)
{
	struct guest_cpu *cpu;
	struct kvm_sregs s;
	struct guest g;

	guest_create(&g, PAGE_2M);
	guest_load_code(&g, dbg);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_PROTECTED);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cs.dpl = 3;
	s.cs.selector |= 3;
	s.ss.dpl = 3;
	s.ss.selector |= 3;
	s.idt.limit = 0;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	g.rflags = 0x3000;
	guest_call(cpu, entry, 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_SHUTDOWN);
}

static void user_access(void)
{
	access_by_user(AT(user_dr0));
	access_by_user(AT(user_dr7));
	access_by_user(AT(user_read));
}

/* What user space put into the debug registers, the guest reads. */
static void set_debugregs(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(own));
	struct kvm_debugregs d = { .db = { 1, 2, 3, 0x7fffffff0000 }, .dr6 = 0xffff0ff0,
				   .dr7 = 0x400 }, e;

	MUST(ioctl(cpu->fd, KVM_SET_DEBUGREGS, &d));
	expect_exit(cpu, KVM_EXIT_HLT);
	MUST(ioctl(cpu->fd, KVM_GET_DEBUGREGS, &e));
	CHECK_EQ(e.db[0], 0xf010);
	CHECK_EQ(e.db[1], 2);
	CHECK_EQ(e.db[3], 0x7fffffff0000);
	d.flags = 1;
	CHECK_EQ(ioctl(cpu->fd, KVM_SET_DEBUGREGS, &d), -1);
	CHECK_EQ(errno, EINVAL);
}

static int watch(volatile uint64_t *word)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uintptr_t)word, .bp_len = HW_BREAKPOINT_LEN_8, .exclude_kernel = 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

/* A breakpoint of the host on this thread, while the guest uses DR0 and DR7. */
static void host_breakpoint(void)
{
	static volatile uint64_t word;
	struct guest g;
	struct guest_cpu *cpu = start(&g, 0);
	uint64_t hits;
	int i, fd = watch(&word);

	if (fd < 0)
		SKIP("no breakpoints on this host: %s", strerror(errno));
	word = 1;
	CHECK_EQ(read(fd, &hits, sizeof(hits)), sizeof(hits));
	if (hits != 1)
		SKIP("the machine counts no breakpoints");
	for (i = 0; i < 10; i++) {
		*guest_word(&g, 3) = 0;
		guest_exec(cpu, AT(own), 0, 0, 0, 0);
		CHECK_EQ(*guest_word(&g, 3), 1);
		word = i;
		CHECK_EQ(read(fd, &hits, sizeof(hits)), sizeof(hits));
		CHECK_EQ(hits, 2 + i);
	}
}

static const struct test tests[] = {
	{ "single step", single_step },
	{ "software breakpoint", software_breakpoint },
	{ "hardware breakpoint", hardware_breakpoint },
	{ "watchpoint", watchpoint },
	{ "single step over MMIO and HLT", step_mmio },
	{ "breakpoint of the guest", own_breakpoint },
	{ "single step of the guest", own_single_step },
	{ "INT1 of the guest", own_int1 },
	{ "a user's MOV DR", user_access },
	{ "KVM_SET_DEBUGREGS", set_debugregs },
	{ "breakpoint of the host", host_breakpoint },
};

TEST_MAIN(tests)
