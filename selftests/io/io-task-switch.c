// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware task switches in a guest: CALL, JMP, IRET, gates in the GDT and the IDT,
 * 16-bit TSSs, faults. The emulator of them has its own test, insn/insn-task.c;
 * here are the exits and what is around. QEMU's SVM switches without an exit.
 */
#include "../first/first.h"

GUEST_CODE(ts,
	".code32\n"
	/* the main task */
	"ts_call: mov $0x1234, %esi; lcall $0x20, $0; call ts_where; lcall $0x20, $0; hlt\n"
	"ts_where: pushf; pop %edx; str %cx; ret\n"
	"ts_gate: lcall $0x30, $0; hlt\n"
	"ts_jmp: ljmp $0x20, $0; hlt\n"
	"ts_jmp_gate: ljmp $0x30, $0; hlt\n"
	"ts_int: int $0x40; hlt\n"
	"ts_int3: int3; hlt\n"
	"ts_spin: sti; nop; cmpl $0, 0x30000; je ts_spin; cli; hlt\n"
	"ts_wait: cmpl $0, 0x30000; je ts_wait; hlt\n"
	"ts_call16: lcall $0x28, $0; hlt\n"
	"ts_ud: ud2; hlt\n"
	"ts_gp: mov $0x7f8, %eax\n"
	"ts_gp_at: mov %eax, %fs; hlt\n"
	"ts_bad: lcall $0x50, $0\n"
	"ts_bad_after: hlt\n"
	/* a task that counts, keeps its flags and selectors, and goes back */
	"ts_task: incl 0x30000; pushf; popl 0x30004; str 0x30008; mov %cs, 0x3000c\n"
	"mov %esi, 0x30010; mov %esp, 0x30014; mov $0x5678, %esi; iret\n"
	"ts_task_after: jmp ts_task\n"
	/* one that is left by JMP to the main task */
	"ts_task_jmp: incl 0x30000; pushf; popl 0x30004; ljmp $0x18, $0; jmp ts_task_jmp\n"
	/* for faults: error code in EBX; skips 2 bytes of who faulted */
	"ts_fault: pop %ebx; mov %ebx, 0x30018; incl 0x30000; addl $2, 0x21020; iret; jmp ts_fault\n"
	"ts_no_error: incl 0x30000; addl $2, 0x21020; iret; jmp ts_no_error\n"
	"ts_final: pop %ebx; str %cx; mov 0x21300, %dx; hlt\n"
	/* interrupt gates */
	"ts_on_fault: pop %ebx; pop %edx; str %cx; hlt\n"
	"ts_on_db: mov %dr6, %ebx; pop %edx; str %cx; hlt\n"
	".code64\n");

extern const char ts_call[], ts_gate[], ts_jmp[], ts_jmp_gate[], ts_int[], ts_int3[], ts_spin[],
		  ts_wait[], ts_call16[], ts_ud[], ts_gp[], ts_gp_at[], ts_bad[], ts_bad_after[],
		  ts_task[], ts_task_after[], ts_task_jmp[], ts_fault[], ts_no_error[], ts_final[],
		  ts_on_fault[], ts_on_db[];

#define AT(name)	((uint32_t)(GUEST_CODE_GPA + (ts_##name - ts)))
#define GDT		0x20000
#define IDT		0x20800
#define MAIN		0x21000
#define TASK		0x21100
#define TASK16		0x21200
#define END		0x21300
#define PDPT_COPY	0x22000
#define STACK(n)	(0x24000 + 0x1000 * (n))
#define DATA_AT		0x30000

enum { CODE = 0x08, DATA = 0x10, S_MAIN = 0x18, S_TASK = 0x20, S_TASK16 = 0x28, S_GATE = 0x30,
       CODE3 = 0x3b, DATA3 = 0x43, S_END = 0x48, S_BAD = 0x50 };
enum { TSS32 = 0x89, TSS32_BUSY = 0x8b, TSS16 = 0x81, TASK_GATE = 0x85, INT_GATE = 0x8e };
enum { NT = 0x4000 };

static struct guest g;
static struct guest_cpu *cpu;

static uint32_t word(uint32_t at)
{
	return *(volatile uint32_t *)(g.mem + at);
}

static void put(uint32_t at, uint32_t val, unsigned int len)
{
	memcpy(g.mem + at, &val, len);
}

static void descriptor(uint16_t selector, uint32_t base, uint32_t limit, uint8_t access,
		       uint8_t flags)
{
	uint32_t at = GDT + (selector & ~7);

	put(at, (limit & 0xffff) | base << 16, 4);
	put(at + 4, (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | flags << 20 |
	    (base & 0xff000000), 4);
}

static uint8_t access_of(uint16_t selector)
{
	return g.mem[GDT + (selector & ~7) + 5];
}

static void gate(uint32_t at, uint16_t selector, uint32_t offset, uint8_t access)
{
	put(at, (offset & 0xffff) | selector << 16, 4);
	put(at + 4, (offset & 0xffff0000) | access << 8, 4);
}

static void idt_gate(int vector, uint16_t selector, uint32_t offset, uint8_t access)
{
	gate(IDT + 8 * vector, selector, offset, access);
}

static void tss(uint32_t at, uint32_t eip, uint32_t esp, uint32_t cr3)
{
	static const uint16_t segs[] = { DATA, CODE, DATA, DATA, DATA, DATA };
	int i;

	memset(g.mem + at, 0, 0x68);
	put(at + 0x1c, cr3, 4);
	put(at + 0x20, eip, 4);
	put(at + 0x24, 2, 4);
	put(at + 0x38, esp, 4);
	for (i = 0; i < 6; i++)
		put(at + 0x48 + 4 * i, segs[i], 2);
}

static void tss16(uint32_t at, uint16_t ip, uint16_t sp)
{
	static const uint16_t segs[] = { DATA, CODE, DATA, DATA };
	int i;

	memset(g.mem + at, 0, 0x2c);
	put(at + 0x0e, ip, 2);
	put(at + 0x10, 2, 2);
	put(at + 0x1a, sp, 2);
	for (i = 0; i < 4; i++)
		put(at + 0x22 + 2 * i, segs[i], 2);
}

static void tables(void)
{
	int i;

	descriptor(CODE, 0, 0xfffff, 0x9b, 0xc);
	descriptor(DATA, 0, 0xfffff, 0x93, 0xc);
	descriptor(S_MAIN, MAIN, 0x67, TSS32_BUSY, 0);
	descriptor(S_TASK, TASK, 0x67, TSS32, 0);
	descriptor(S_TASK16, TASK16, 0x2b, TSS16, 0);
	gate(GDT + S_GATE, S_TASK, 0, TASK_GATE);
	descriptor(CODE3, 0, 0xfffff, 0xfb, 0xc);
	descriptor(DATA3, 0, 0xfffff, 0xf3, 0xc);
	descriptor(S_END, END, 0x67, TSS32, 0);
	for (i = 10; i < 14; i++)
		idt_gate(i, CODE, AT(on_fault), INT_GATE);
}

static void start(enum guest_mode mode)
{
	uint32_t cr3 = mode == GUEST_PAE ? PDPT_COPY : 0;
	struct kvm_sregs s;

	guest_create(&g, 4 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, mode);
	guest_load_code(&g, ts);
	memcpy(g.mem + PDPT_COPY, g.mem + 0x3000, 32);
	tables();
	tss(MAIN, 0, 0, mode == GUEST_PAE ? 0x3000 : 0);
	tss(TASK, AT(task), STACK(1), cr3);
	tss(END, AT(final), STACK(2), mode == GUEST_PAE ? 0x3000 : 0);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.gdt.base = GDT;
	s.gdt.limit = 0x57;
	s.idt.base = IDT;
	s.idt.limit = 0x7ff;
	s.tr = (struct kvm_segment){ .base = MAIN, .limit = 0x67, .selector = S_MAIN,
				     .type = 11, .present = 1 };
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
}

static struct kvm_regs run(uint32_t at)
{
	guest_call(cpu, at - GUEST_CODE_GPA, 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_HLT);
	return guest_regs(cpu);
}

static struct kvm_sregs sregs(void)
{
	struct kvm_sregs s;

	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	return s;
}

static void check_main(void)
{
	struct kvm_sregs s = sregs();

	CHECK_EQ(s.tr.selector, S_MAIN);
	CHECK_EQ(s.tr.base, MAIN);
	CHECK_EQ(s.tr.type, 11);
	CHECK_EQ(access_of(S_MAIN), TSS32_BUSY);
	CHECK_EQ(access_of(S_TASK), TSS32);
	CHECK_EQ(s.cr0 & 8, 8);
	CHECK_EQ(s.cs.selector, CODE);
	CHECK_EQ(s.ss.selector, DATA);
}

/* There and back again, twice: the second CALL goes on where IRET was. */
static void call(enum guest_mode mode)
{
	struct kvm_regs r;

	start(mode);
	r = run(AT(call));
	CHECK_EQ(word(DATA_AT), 2);
	CHECK_EQ(word(DATA_AT + 4) & NT, NT);
	CHECK_EQ(word(DATA_AT + 8) & 0xffff, S_TASK);
	CHECK_EQ(word(DATA_AT + 0xc) & 0xffff, CODE);
	CHECK_EQ(word(DATA_AT + 0x10), 0x5678);		/* kept from its first turn */
	CHECK_EQ(word(DATA_AT + 0x14), STACK(1));
	CHECK_EQ(word(TASK) & 0xffff, S_MAIN);
	CHECK_EQ(word(TASK + 0x20), AT(task_after));
	CHECK_EQ(word(TASK + 0x24) & NT, 0);
	CHECK_EQ(r.rsi, 0x1234);
	CHECK_EQ(r.rdx & NT, 0);
	CHECK_EQ(r.rcx & 0xffff, S_MAIN);
	check_main();
}

static void call_pae(void)
{
	call(GUEST_PAE);
	CHECK_EQ(sregs().cr3, 0x3000);
}

static void call_unpaged(void)
{
	call(GUEST_PROTECTED);
}

/* CR3 of the task, and its own DR7. */
static void jmp(void)
{
	struct kvm_debugregs d = { .dr6 = 0xffff0ff0, .dr7 = 0x755 };

	start(GUEST_PAE);
	put(TASK + 0x20, AT(final), 4);
	MUST(ioctl(cpu->fd, KVM_SET_DEBUGREGS, &d));
	CHECK_EQ(run(AT(jmp)).rcx & 0xffff, S_TASK);
	CHECK_EQ(access_of(S_MAIN), TSS32);
	CHECK_EQ(access_of(S_TASK), TSS32_BUSY);
	CHECK_EQ(sregs().cr3, PDPT_COPY);
	CHECK_EQ(guest_regs(cpu).rflags & NT, 0);
	CHECK_EQ(word(TASK), 0);
	CHECK_EQ(word(MAIN + 0x20), AT(jmp) + 7);
	/* A switch without exit tells nobody of DR7. */
	if (host_is_tcg())
		return;
	MUST(ioctl(cpu->fd, KVM_GET_DEBUGREGS, &d));
	CHECK_EQ(d.dr7 & 0x155, 0);
}

static void gates(void)
{
	start(GUEST_PAE);
	run(AT(gate));
	CHECK_EQ(word(DATA_AT), 1);
	check_main();
	put(TASK + 0x20, AT(task_jmp), 4);
	run(AT(jmp_gate));
	CHECK_EQ(word(DATA_AT), 2);
	CHECK_EQ(word(DATA_AT + 4) & NT, 0);
	check_main();
}

static void sixteen(void)
{
	if (device_is_kvm() && !host_is_tcg())
		SKIP("KVM takes the old TSS for one of the new one's kind");
	start(GUEST_PAE);
	tss16(TASK16, AT(task), STACK(1) & 0xffff);
	/* Its stack pointer has 16 bits: below 64 KiB. */
	put(TASK16 + 0x1a, 0xb000, 2);
	run(AT(call16));
	CHECK_EQ(word(DATA_AT), 1);
	CHECK_EQ(word(DATA_AT + 4) & NT, NT);
	CHECK_EQ(word(DATA_AT + 8) & 0xffff, S_TASK16);
	CHECK_EQ(word(TASK16) & 0xffff, S_MAIN);
	CHECK_EQ(word(TASK16 + 0x0e) & 0xffff, AT(task_after) & 0xffff);
	CHECK_EQ(access_of(S_TASK16), TSS16);
	check_main();
}

/* A task of CPL 3, which IRET leaves all the same. */
static void user_task(void)
{
	int i;

	start(GUEST_PROTECTED);
	for (i = 0; i < 6; i++)
		put(TASK + 0x48 + 4 * i, i == 1 ? CODE3 : DATA3, 2);
	run(AT(call));
	CHECK_EQ(word(DATA_AT), 2);
	CHECK_EQ(word(DATA_AT + 0xc) & 0xffff, CODE3);
	check_main();
	CHECK_EQ(sregs().ss.dpl, 0);
}

/* -------- gates of the IDT -------- */

static void software_interrupts(void)
{
	start(GUEST_PAE);
	idt_gate(0x40, S_TASK, 0, TASK_GATE);
	CHECK_EQ(run(AT(int)).rip, AT(int) + 3);
	CHECK_EQ(word(DATA_AT), 1);
	CHECK_EQ(word(MAIN + 0x20), AT(int) + 2);
	check_main();
	idt_gate(3, S_TASK, 0, TASK_GATE);
	CHECK_EQ(run(AT(int3)).rip, AT(int3) + 2);
	CHECK_EQ(word(DATA_AT), 2);
	check_main();
}

static void exceptions(void)
{
	start(GUEST_PAE);
	put(TASK + 0x20, AT(no_error), 4);
	idt_gate(6, S_TASK, 0, TASK_GATE);
	CHECK_EQ(run(AT(ud)).rip, AT(ud) + 3);
	CHECK_EQ(word(DATA_AT), 1);
	CHECK_EQ(word(TASK) & 0xffff, S_MAIN);
	check_main();

	tss(TASK, AT(fault), STACK(1), 0x3000);
	idt_gate(6, 0, 0, 0);
	idt_gate(13, S_TASK, 0, TASK_GATE);
	CHECK_EQ(run(AT(gp)).rip, AT(gp_at) + 3);
	CHECK_EQ(word(DATA_AT), 2);
	CHECK_EQ(word(DATA_AT + 0x18), 0x7f8);
	check_main();
}

static void external_interrupt(void)
{
	struct kvm_interrupt irq = { .irq = 0x41 };

	start(GUEST_PAE);
	idt_gate(0x41, S_TASK, 0, TASK_GATE);
	guest_call(cpu, AT(spin) - GUEST_CODE_GPA, 0, 0, 0, 0);
	cpu->run->request_interrupt_window = 1;
	expect_exit(cpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	cpu->run->request_interrupt_window = 0;
	MUST(ioctl(cpu->fd, KVM_INTERRUPT, &irq));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(word(DATA_AT), 1);
	CHECK_EQ(word(MAIN + 0x24) & 0x200, 0x200);
	CHECK_EQ(word(DATA_AT + 4) & 0x200, 0);
	check_main();
}

static void nmi(void)
{
	start(GUEST_PAE);
	idt_gate(2, S_TASK, 0, TASK_GATE);
	g.rflags = 0x200;
	guest_call(cpu, AT(wait) - GUEST_CODE_GPA, 0, 0, 0, 0);
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(word(DATA_AT), 1);
	check_main();
	/* IRET ended the blocking: the next one comes, too. */
	CHECK_EQ(get_events(cpu).nmi.masked, 0);
	put(DATA_AT, 0, 4);
	guest_call(cpu, AT(wait) - GUEST_CODE_GPA, 0, 0, 0, 0);
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(word(DATA_AT), 1);
}

/* -------- what goes wrong -------- */

static void faults_before(void)
{
	static const struct { uint8_t access; uint8_t limit; uint8_t vector; } t[] = {
		{ TSS32_BUSY, 0x67, 13 }, { TSS32 & 0x7f, 0x67, 11 }, { TSS32, 0x66, 10 },
		{ TSS16, 0x2a, 10 }, { 0x82, 0x67, 13 },
	};
	struct kvm_regs r;
	unsigned int i;
	int v;

	start(GUEST_PAE);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		descriptor(S_BAD, END, t[i].limit, t[i].access, 0);
		for (v = 10; v < 14; v++)
			idt_gate(v, CODE, v == t[i].vector ? AT(on_fault) : 0,
				 v == t[i].vector ? INT_GATE : 0);
		r = run(AT(bad));
		CHECK_EQ(r.rbx, S_BAD);
		CHECK_EQ(r.rdx, AT(bad));
		CHECK_EQ(r.rcx & 0xffff, S_MAIN);
		CHECK_EQ(access_of(S_MAIN), TSS32_BUSY);
		CHECK_EQ(access_of(S_BAD), t[i].access);
	}
}

/* A segment that the new task cannot load: its own fault, here again by a task gate. */
static void faults_after(void)
{
	struct kvm_regs r;

	if (device_is_kvm() && !host_is_tcg())
		SKIP("KVM forgets faults of task switches");
	start(GUEST_PAE);
	put(TASK + 0x50, S_MAIN, 2);
	idt_gate(10, S_END, 0, TASK_GATE);
	r = run(AT(gate));
	CHECK_EQ(r.rbx, S_MAIN);
	CHECK_EQ(r.rcx & 0xffff, S_END);
	CHECK_EQ(r.rdx & 0xffff, S_TASK);
	/* QEMU's is that of the CALL. */
	if (!host_is_tcg())
		CHECK_EQ(word(TASK + 0x20), AT(task));
	CHECK_EQ(word(TASK + 0x24) & NT, NT);
	CHECK_EQ(access_of(S_TASK), TSS32_BUSY);
}

static void trap_bit(void)
{
	struct kvm_regs r;

	if (device_is_kvm() || host_is_tcg())
		SKIP("neither KVM nor QEMU know the T bit");
	start(GUEST_PAE);
	put(TASK + 0x64, 1, 2);
	idt_gate(1, CODE, AT(on_db), INT_GATE);
	r = run(AT(gate));
	CHECK_EQ(r.rbx & 0xe00f, 0x8000);
	CHECK_EQ(r.rdx, AT(task));
	CHECK_EQ(r.rcx & 0xffff, S_TASK);
	CHECK_EQ(word(DATA_AT), 0);
}

/* A TSS that no memory holds: nobody can go on. */
static void no_memory(void)
{
	if (device_is_kvm() || host_is_tcg())
		SKIP("KVM tries for ever, and QEMU without KVM's knowledge");
	start(GUEST_PROTECTED);
	descriptor(S_TASK, 0xd0000000, 0x67, TSS32, 0);
	guest_call(cpu, AT(gate) - GUEST_CODE_GPA, 0, 0, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(cpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	CHECK_EQ(cpu->run->internal.ndata, 0);
}

static const struct test tests[] = {
	{ "CALL and IRET, PAE", call_pae },
	{ "CALL and IRET without paging", call_unpaged },
	{ "JMP", jmp },
	{ "task gates", gates },
	{ "16-bit TSS", sixteen },
	{ "CPL 3", user_task },
	{ "INT n and INT3", software_interrupts },
	{ "exceptions", exceptions },
	{ "external interrupt", external_interrupt },
	{ "NMI", nmi },
	{ "faults of the old task", faults_before },
	{ "faults of the new task", faults_after },
	{ "T bit", trap_bit },
	{ "TSS without memory", no_memory },
};

TEST_MAIN(tests)
