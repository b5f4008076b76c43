// SPDX-License-Identifier: GPL-2.0-only
/* Interrupts, NMIs and exceptions of a guest without an irqchip. */
#include "first.h"

GUEST_CODE(ev,
	".code64\n"
	/* interrupt window */
	"ev_window: out %al, $0x10; sti; nop\n"
	"1: cmpq $0, 0xf000; je 1b; hlt\n"
	"ev_irq: incq 0xf000; iretq\n"
	/* TPR of a user-space interrupt controller */
	"ev_tpr: mov $9, %eax; mov %rax, %cr8; mov $5, %eax; mov %rax, %cr8\n"
	"mov %cr8, %rbx; mov $7, %eax; mov %rax, %cr8; out %al, $0x15; mov %cr8, %rbx; hlt\n"
	/* NMI */
	"ev_nmis: out %al, $0x11\n"
	"1: cmpq $2, 0xf008; jne 1b; out %al, $0x14; hlt\n"
	"ev_nmi: incq 0xf008; out %al, $0x12; iretq\n"
	/* exceptions: RAX = vector, RBX = error code, RCX = CR2, RDX = RIP */
	"ev_ud: ud2\n"
	"ev_gp: mov $0xdead0000, %ecx; rdmsr\n"
	"ev_pf: mov %eax, (%rdi)\n"
	"ev_de: xor %ecx, %ecx; xor %edx, %edx; mov $1, %eax; div %ecx\n"
	"ev_bp: int3; nop\n"
	"ev_int: int $0x80; hlt\n"
	"ev_on_ud: mov $6, %eax; mov $0, %ebx; pop %rdx; hlt\n"
	"ev_on_de: mov $0, %eax; mov $0, %ebx; pop %rdx; hlt\n"
	"ev_on_bp: mov $3, %eax; mov $0, %ebx; pop %rdx; hlt\n"
	"ev_on_gp: mov $13, %eax; pop %rbx; pop %rdx; hlt\n"
	"ev_on_pf: mov $14, %eax; pop %rbx; mov %cr2, %rcx; pop %rdx; hlt\n"
	"ev_on_80: mov $0x80, %eax; pop %rdx; hlt\n"
	/* page fault inside the delivery of another exception is a double fault */
	"ev_on_df: mov $8, %eax; pop %rbx; hlt\n");

extern const char ev_window[], ev_irq[], ev_tpr[], ev_nmis[], ev_nmi[], ev_ud[], ev_gp[],
		  ev_pf[], ev_de[], ev_bp[], ev_int[], ev_on_ud[], ev_on_de[], ev_on_bp[],
		  ev_on_gp[], ev_on_pf[], ev_on_80[], ev_on_df[];

#define AT(name) ((unsigned long)(ev_##name - ev))

static struct guest_cpu *start(struct guest *g, unsigned long entry)
{
	struct guest_cpu *cpu = long_guest(g);

	guest_load_code(g, ev);
	set_gate(g, 0, AT(on_de));
	set_gate(g, 2, AT(nmi));
	set_gate(g, 3, AT(on_bp));
	set_gate(g, 6, AT(on_ud));
	set_gate(g, 8, AT(on_df));
	set_gate(g, 13, AT(on_gp));
	set_gate(g, 14, AT(on_pf));
	set_gate(g, 0x20, AT(irq));
	set_gate(g, 0x80, AT(on_80));
	guest_call(cpu, entry, 0, 0, 0, 0);
	return cpu;
}

static void interrupt(struct guest_cpu *cpu, uint32_t vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	MUST(ioctl(cpu->fd, KVM_INTERRUPT, &irq));
}

static void irq_window(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(window));

	expect_out(cpu, 0x10);
	CHECK_EQ(cpu->run->if_flag, 0);
	CHECK_EQ(cpu->run->ready_for_interrupt_injection, 0);
	cpu->run->request_interrupt_window = 1;
	expect_exit(cpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	CHECK_EQ(cpu->run->if_flag, 1);
	CHECK_EQ(cpu->run->ready_for_interrupt_injection, 1);
	cpu->run->request_interrupt_window = 0;
	interrupt(cpu, 0x20);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(*guest_word(&g, 0), 1);
}

/* User space hears of each lowered CR8, and its own value is the guest's. */
static void task_priority(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(tpr));

	expect_exit(cpu, KVM_EXIT_SET_TPR);
	CHECK_EQ(cpu->run->cr8, 5);
	CHECK_EQ(expect_out(cpu, 0x15), 7);
	CHECK_EQ(cpu->run->cr8, 7);
	CHECK_EQ(guest_regs(cpu).rbx, 5);
	cpu->run->cr8 = 3;
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rbx, 3);
}

static void nmi_blocking(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(nmis));

	expect_out(cpu, 0x11);
	CHECK_EQ(get_events(cpu).nmi.masked, 0);
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	expect_out(cpu, 0x12);
	CHECK_EQ(*guest_word(&g, 1), 1);
	CHECK_EQ(get_events(cpu).nmi.masked, 1);
	/* Three more make one that waits. */
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	CHECK_EQ(get_events(cpu).nmi.pending, 1);
	expect_out(cpu, 0x12);
	CHECK_EQ(*guest_word(&g, 1), 2);
	CHECK_EQ(get_events(cpu).nmi.masked, 1);
	CHECK_EQ(get_events(cpu).nmi.pending, 0);
	expect_out(cpu, 0x14);
	CHECK_EQ(get_events(cpu).nmi.masked, 0);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(*guest_word(&g, 1), 2);
	/* TF of the host's single step must not have come through. */
	CHECK_EQ(guest_regs(cpu).rflags & 0x100, 0);
}

/* Many NMIs in a row: none lost while none is pending, none doubled. */
static void nmi_many(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(nmis));
	int i;

	*guest_word(&g, 1) = 1000;
	expect_out(cpu, 0x11);
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	for (i = 1; i <= 50; i++) {
		expect_out(cpu, 0x12);
		CHECK_EQ(*guest_word(&g, 1), 1000 + i);
		if (i < 50)
			MUST(ioctl(cpu->fd, KVM_NMI, 0));
	}
	*guest_word(&g, 1) = 2;
	expect_out(cpu, 0x14);
}

struct exception {
	unsigned long entry;
	uint64_t vector, error, rip;
};

static void exceptions(void)
{
	const struct exception list[] = {
		{ AT(ud), 6, 0, AT(ud) },
		{ AT(gp), 13, 0, AT(gp) + 5 },
		{ AT(pf), 14, 2, AT(pf) },
		{ AT(de), 0, 0, AT(de) + 9 },
		{ AT(bp), 3, 0, AT(bp) + 1 },
		{ AT(int), 0x80, 0, AT(int) + 2 },
	};
	struct guest g;
	struct guest_cpu *cpu = start(&g, 0);
	unsigned int i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		uint64_t rax = guest_exec(cpu, list[i].entry, 0x1234567000, 0, 0, 0);
		struct kvm_regs r = guest_regs(cpu);

		CHECK_EQ(rax, list[i].vector);
		CHECK_EQ(r.rdx, GUEST_CODE_GPA + list[i].rip);
		if (rax != 0x80)
			CHECK_EQ(r.rbx, list[i].error);
		if (rax == 14)
			CHECK_EQ(r.rcx, 0x1234567000);
	}
}

/* The handler's stack is not mapped: #PF while #GP is delivered gives #DF with error 0. */
static void double_fault(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(gp));
	uint64_t *gate = (uint64_t *)(g.mem + IDT_GPA);
	uint64_t *gdt = (uint64_t *)(g.mem + 0x1000);
	uint64_t *tss = (uint64_t *)(g.mem + 0xd000);
	struct kvm_sregs s;

	/* #DF takes IST1, all else the broken stack. */
	memset(tss, 0, 0x68);
	memcpy((uint8_t *)tss + 0x24, &(uint64_t){ 0xe800 }, 8);
	gate[2 * 8] |= 1ull << 32;
	gdt[3] = 0x67 | 0xd000ull << 16 | 0x8bull << 40;
	gdt[4] = 0;
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.tr = (struct kvm_segment){ .base = 0xd000, .limit = 0x67, .selector = 0x18,
				     .type = 11, .present = 1 };
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_call(cpu, AT(gp), 0, 0, 0, 0);
	{
		struct kvm_regs r = guest_regs(cpu);

		r.rsp = 0x1234567000;
		MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	}
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 8);
	CHECK_EQ(guest_regs(cpu).rbx, 0);
}

static void expect_breakpoint(struct guest_cpu *cpu)
{
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 3);
	CHECK_EQ(guest_regs(cpu).rdx, GUEST_CODE_GPA + AT(bp) + 1);
}

/* A debugger gives back the INT3 that is not its own: the handler returns behind it. */
static void breakpoint_from_user(void)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_INJECT_BP };
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(bp));
	struct kvm_vcpu_events e = get_events(cpu);

	e.exception.injected = 1;
	e.exception.nr = 3;
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	/* Its length is nothing that the structure tells; RIP is at it, and so it comes again. */
	CHECK_EQ(get_events(cpu).exception.injected, 0);
	expect_breakpoint(cpu);
	guest_call(cpu, AT(bp), 0, 0, 0, 0);
	MUST(ioctl(cpu->fd, KVM_SET_GUEST_DEBUG, &debug));
	expect_breakpoint(cpu);
}

/* An exception that is due is of the last instruction. */
static void exception_before_interrupt(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(window));
	struct kvm_vcpu_events e;

	MUST(ioctl(g.fd, KVM_ENABLE_CAP, &cap));
	e = get_events(cpu);
	e.exception.pending = 1;
	e.exception.nr = 6;
	e.interrupt.injected = 1;
	e.interrupt.nr = 0x80;
	e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 6);
	CHECK_EQ(guest_regs(cpu).rdx, GUEST_CODE_GPA + AT(window));
}

static void inject_from_user(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g, AT(window));
	struct kvm_vcpu_events e;
	struct kvm_regs r;

	expect_out(cpu, 0x10);
	e = get_events(cpu);
	e.exception.injected = 1;
	e.exception.nr = 13;
	e.exception.has_error_code = 1;
	e.exception.error_code = 0x18;
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	expect_exit(cpu, KVM_EXIT_HLT);
	r = guest_regs(cpu);
	CHECK_EQ(r.rax, 13);
	CHECK_EQ(r.rbx, 0x18);
	CHECK_EQ(r.rdx, GUEST_CODE_GPA + AT(window) + 2);
	CHECK_EQ(get_events(cpu).exception.injected, 0);
}

static const struct test tests[] = {
	{ "interrupt window", irq_window },
	{ "task priority", task_priority },
	{ "NMI blocking", nmi_blocking },
	{ "50 NMIs", nmi_many },
	{ "exceptions", exceptions },
	{ "double fault", double_fault },
	{ "exception from user space", inject_from_user },
	{ "breakpoint from user space", breakpoint_from_user },
	{ "exception before interrupt", exception_before_interrupt },
};

TEST_MAIN(tests)
