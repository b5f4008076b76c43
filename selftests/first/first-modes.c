// SPDX-License-Identifier: GPL-2.0-only
/* Guests of a few instructions in each mode of the CPU, and from one to the next. */
#include <signal.h>
#include <sys/time.h>

#include "first.h"

GUEST_CODE(code16,
	".code16\n"
	"mov $0x41, %al; out %al, $0x10\n"
	"in $0x11, %al; inc %al; out %al, $0x12\n"
	"mov $0x1234, %bx; mov %bx, 0xf000\n"
	"1: hlt; jmp 1b\n"
	".code64");

static void real_mode(void)
{
	struct guest g;
	struct guest_cpu *cpu;

	guest_create(&g, 2 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_REAL);
	guest_load_code(&g, code16);
	CHECK_EQ(expect_out(cpu, 0x10), 0x41);
	expect_exit(cpu, KVM_EXIT_IO);
	CHECK_EQ(cpu->run->io.direction, KVM_EXIT_IO_IN);
	CHECK_EQ(cpu->run->io.port, 0x11);
	*((uint8_t *)cpu->run + cpu->run->io.data_offset) = 0x7f;
	CHECK_EQ(expect_out(cpu, 0x12), 0x80);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ((uint16_t)*guest_word(&g, 0), 0x1234);
	CHECK_EQ((uint16_t)guest_regs(cpu).rbx, 0x1234);
	CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + code16_end - code16 - 2);
	expect_exit(cpu, KVM_EXIT_HLT);
}

/* The same bytes are 32-bit and 64-bit code: sum of 1 to ECX, with a write per round. */
GUEST_CODE(code_sum,
	".code32\n"
	"xor %eax, %eax\n"
	"1: add %ecx, %eax; mov %eax, (%edi); sub $1, %ecx; jnz 1b\n"
	"cpuid_next: push %eax; mov $0x40000000, %eax; cpuid; pop %eax\n"
	"hlt\n"
	".code64");

static void sum_in(enum guest_mode mode)
{
	struct guest g;
	struct guest_cpu *cpu;

	guest_create(&g, 2 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, mode);
	guest_cpuid(cpu);
	guest_load_code(&g, code_sum);
	CHECK_EQ((uint32_t)guest_exec(cpu, 0, DATA_GPA, 0, 0, 1000), 500500);
	CHECK_EQ((uint32_t)*guest_word(&g, 0), 500500);
	/* "KVMK" of the signature. */
	CHECK_EQ((uint32_t)guest_regs(cpu).rbx, 0x4b4d564b);
}

static void protected_mode(void)
{
	sum_in(GUEST_PROTECTED);
}

static void pae_mode(void)
{
	sum_in(GUEST_PAE);
}

static void long_mode(void)
{
	sum_in(GUEST_LONG);
}

/*
 * From real mode up to long mode and back to real mode, by the guest itself. It reports
 * each station; RDI and RSI are of no use in real mode, so all is fixed here.
 */
GUEST_CODE(climb,
	".code16\n"
	"climb_start: mov $1, %al; out %al, $0x20\n"
	"lgdtl climb_gdtr - climb + 0x8000\n"
	"mov %cr0, %eax; or $1, %eax; mov %eax, %cr0\n"
	"ljmpl $0x18, $(0x8000 + climb32 - climb)\n"
	".code32\n"
	"climb32: mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
	"mov $0xa400, %esp\n"
	"mov $2, %al; out %al, $0x20\n"
	"mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4\n"
	"mov $0x2000, %eax; mov %eax, %cr3\n"
	"mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
	"mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
	"mov $3, %al; out %al, $0x20\n"
	"ljmp $8, $(0x8000 + climb64 - climb)\n"
	".code64\n"
	"climb64: mov $4, %al; out %al, $0x20\n"
	"mov $0x123456789abc, %r8; mov %r8, 0xf000\n"
	"push $0x18; lea climb_down(%rip), %rax; push %rax; lretq\n"
	".code32\n"
	"climb_down: mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
	"mov $0xc0000080, %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
	"mov $5, %al; out %al, $0x20\n"
	"ljmp $0x20, $(0x8000 + climb_16 - climb)\n"
	".code16\n"
	"climb_16: mov $0x28, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss\n"
	"mov %cr0, %eax; and $~1, %eax; mov %eax, %cr0\n"
	"ljmp $0, $(0x8000 + climb_real - climb)\n"
	"climb_real: xor %ax, %ax; mov %ax, %ds; mov %ax, %ss\n"
	"mov $6, %al; out %al, $0x20\n"
	"hlt\n"
	".code64\n"
	".balign 8\n"
	"climb_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff\n"
	".quad 0x00009b000000ffff, 0x000093000000ffff\n"
	"climb_gdtr: .word 6 * 8 - 1; .long 0x8000 + climb_gdt - climb");

/* CR0 that each station must show: PE and PG. */
static const struct {
	uint64_t cr0, efer;
} stations[] = {
	{ 0, 0 }, { 1, 0 }, { 0x80000001, 0x500 }, { 0x80000001, 0x500 }, { 1, 0 }, { 0, 0 },
};

static void up_and_down(void)
{
	struct guest g;
	struct guest_cpu *cpu;
	struct kvm_sregs s;
	unsigned int i;

	guest_create(&g, 2 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	/* The library's tables are there in each mode. */
	guest_mode(cpu, GUEST_REAL);
	guest_cpuid(cpu);
	guest_load_code(&g, climb);
	for (i = 0; i < sizeof(stations) / sizeof(stations[0]); i++) {
		CHECK_EQ(expect_out(cpu, 0x20), i + 1);
		MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
		CHECK_EQ(s.cr0 & 0x80000001, stations[i].cr0);
		CHECK_EQ(s.efer & 0x500, stations[i].efer);
	}
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(*guest_word(&g, 0), 0x123456789abc);
}

GUEST_CODE(shut, "ud2");

static void triple_fault(void)
{
	struct guest g;
	struct guest_cpu *cpu;

	guest_create(&g, 2 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_LONG);
	guest_load_code(&g, shut);
	expect_exit(cpu, KVM_EXIT_SHUTDOWN);
}

/* MMIO of each size, read and written, through the emulator. */
GUEST_CODE(mmio,
	".code64\n"
	"mov %al, (%rdi); mov %ax, (%rdi); mov %eax, (%rdi); mov %rax, (%rdi)\n"
	"movzbl 8(%rdi), %ebx; mov 8(%rdi), %rcx; add %ebx, %ecx; hlt");

static void mmio_sizes(void)
{
	struct guest g;
	struct guest_cpu *cpu;
	struct kvm_regs r;
	int i;

	guest_create(&g, 2 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_LONG);
	guest_load_code(&g, mmio);
	guest_call(cpu, 0, 0xd0000000, 0, 0, 0);
	r = guest_regs(cpu);
	r.rax = 0x1122334455667788;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	for (i = 0; i < 4; i++) {
		uint64_t val = 0;

		expect_exit(cpu, KVM_EXIT_MMIO);
		CHECK_EQ(cpu->run->mmio.phys_addr, 0xd0000000);
		CHECK_EQ(cpu->run->mmio.is_write, 1);
		CHECK_EQ(cpu->run->mmio.len, 1 << i);
		memcpy(&val, cpu->run->mmio.data, 1 << i);
		CHECK_EQ(val, i == 3 ? r.rax : r.rax & ((1ull << (8 << i)) - 1));
	}
	for (i = 0; i < 2; i++) {
		expect_exit(cpu, KVM_EXIT_MMIO);
		CHECK_EQ(cpu->run->mmio.phys_addr, 0xd0000008);
		CHECK_EQ(cpu->run->mmio.is_write, 0);
		memset(cpu->run->mmio.data, 0x21, 8);
	}
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rbx, 0x21);
	CHECK_EQ(guest_regs(cpu).rcx, 0x21212142);
}

/*
 * CR0.CD, CR4.MCE and CR0.TS as the guest wrote them, whatever the hardware
 * has, and what LMSW, SMSW and CLTS make of TS.
 */
GUEST_CODE(bits,
	".code64\n"
	"mov %cr0, %rax; mov %rax, 0xf000; or $0x40000000, %eax; mov %rax, %cr0\n"
	"mov %cr0, %rax; mov %rax, 0xf008; and $~0x60000000, %eax; mov %rax, %cr0\n"
	"mov %cr0, %rax; mov %rax, 0xf010\n"
	"mov %cr4, %rax; mov %rax, 0xf018; or $0x40, %eax; mov %rax, %cr4\n"
	"mov %cr4, %rax; mov %rax, 0xf020; and $~0x40, %eax; mov %rax, %cr4\n"
	"mov %cr4, %rax; mov %rax, 0xf028\n"
	"smsw %rax; or $8, %eax; lmsw %ax; smsw %rbx; mov %rbx, 0xf030\n"
	"clts; smsw %rbx; mov %rbx, 0xf038\n"
	"hlt");

static void control_bits(void)
{
	const uint64_t cd = 1u << 30, nw = 1u << 29, mce = 1u << 6, ts = 1u << 3;
	struct guest g;
	struct guest_cpu *cpu;
	struct kvm_sregs s;

	guest_create(&g, 2 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_LONG);
	guest_cpuid(cpu);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr0 |= cd | nw;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_load_code(&g, bits);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(*guest_word(&g, 0) & (cd | nw), cd | nw);
	CHECK_EQ(*guest_word(&g, 1) & (cd | nw), cd | nw);
	CHECK_EQ(*guest_word(&g, 2) & (cd | nw), 0);
	CHECK_EQ(*guest_word(&g, 4) & mce, mce);
	if (!host_is_tcg()) {
		CHECK_EQ(*guest_word(&g, 3) & mce, 0);
		CHECK_EQ(*guest_word(&g, 5) & mce, 0);
	}
	CHECK_EQ(*guest_word(&g, 6) & ts, ts);
	CHECK_EQ(*guest_word(&g, 7) & ts, 0);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	CHECK_EQ(s.cr0 & (cd | nw | ts), 0);
	CHECK_EQ(s.cr4 & mce, 0);
	/* And once it has CD by itself. */
	*guest_word(&g, 0) = 0;
	guest_exec(cpu, 0, 0, 0, 0, 0);
	CHECK_EQ(*guest_word(&g, 1) & (cd | nw), cd);
	CHECK_EQ(*guest_word(&g, 2) & (cd | nw), 0);
}

/* -------- guests that make no sense -------- */

#define HOLE	0xd0000000ul

GUEST_CODE(garbage,
	".code64\n"
	"garbage_jump: jmp *%rdi\n"
	"garbage_ud: ud2\n"
	"garbage_outs: cld; rep outsb; hlt\n"
	"garbage_ins: cld; rep insb; hlt\n"
	"garbage_load: mov (%rdi), %rax; hlt\n"
	"garbage_store: mov %rax, (%rdi); hlt\n");

extern const char garbage_jump[], garbage_ud[], garbage_outs[], garbage_ins[];
extern const char garbage_load[], garbage_store[];

#define GARBAGE(name) ((unsigned long)(garbage_##name - garbage))

static struct guest_cpu *garbage_guest(struct guest *g)
{
	struct guest_cpu *cpu = long_guest(g);

	guest_load_code(g, garbage);
	return cpu;
}

/* All exits in the middle of nowhere are taken back, and the vCPU serves again. */
static void expect_usable(struct guest_cpu *cpu)
{
	struct kvm_vcpu_events none = {};
	const char halt = (char)0xf4;

	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &none));
	guest_mode(cpu, GUEST_LONG);
	guest_load(cpu->guest, &halt, &halt + 1);
	guest_exec(cpu, 0, 0, 0, 0, 0);
}

static void fetch_from_hole(void)
{
	struct guest g;
	struct guest_cpu *cpu = garbage_guest(&g);

	guest_call(cpu, GARBAGE(jump), HOLE, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(cpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
	CHECK_EQ(guest_regs(cpu).rip, HOLE);
	expect_usable(cpu);
}

static void idt_in_hole(void)
{
	struct guest_cpu *cpu;
	struct kvm_sregs s;
	struct guest g;

	/* Before 6.14 KVM emulates the instruction at RIP instead. */
	if (device_is_kvm())
		SKIP("not every KVM tells");
	cpu = garbage_guest(&g);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.idt.base = HOLE;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_call(cpu, GARBAGE(ud), 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(cpu->run->internal.suberror, KVM_INTERNAL_ERROR_DELIVERY_EV);
	expect_usable(cpu);
}

#define TABLE_GVA	(6ul << 20)	/* of one page table, or of all tables, elsewhere */
#define TABLES_GPA	0x2000ul	/* where they are */
#define TABLES_SIZE	0x6000ul
#define PD_GPA		0x4000ul
#define ROM_GPA		0xe0000000ul
#define ROM_SLOT	3
/* 6.12 reads the table's entry where the operand's place in its page is the entry's; or it runs for good. */
#define NO_JUDGE	"KVM takes the table for the operand"

/* The guest's tables are copied to @rom, unless there is nothing at @gpa; A and D are clear in all of them. */
static void move_tables(struct guest_cpu *cpu, bool all, uint64_t gpa, uint8_t *rom)
{
	uint64_t *pd = (uint64_t *)(cpu->guest->mem + PD_GPA), *copy = (uint64_t *)rom;
	struct kvm_sregs s;
	unsigned int i;

	guest_mode(cpu, GUEST_LONG);
	guest_idt(cpu, IDT_GPA);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	CHECK_EQ(s.cr3, TABLES_GPA);
	if (!all) {
		pd[TABLE_GVA / PAGE_2M] = gpa | 3;
		if (rom)
			*copy = TABLE_GVA | 3;
		return;
	}
	s.cr3 = gpa;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	if (!rom)
		return;
	memcpy(rom, cpu->guest->mem + TABLES_GPA, TABLES_SIZE);
	for (i = 0; i < TABLES_SIZE / 8; i++)
		if (copy[i] & 1 && copy[i] >= TABLES_GPA && copy[i] < TABLES_GPA + TABLES_SIZE)
			copy[i] += gpa - TABLES_GPA;
}

static struct guest_cpu *tables_guest(struct guest *g)
{
	if (device_is_kvm())
		SKIP(NO_JUDGE);
	guest_create(g, 4 * PAGE_2M);
	return long_cpu(g);
}

/* Starts one of the four ways through them, by the bits of @way: all tables or one, a load or a store. Its RIP. */
static uint64_t through_tables(struct guest_cpu *cpu, int way, uint64_t gpa, uint8_t *rom)
{
	unsigned long entry = way & 2 ? GARBAGE(store) : GARBAGE(load);

	guest_load_code(cpu->guest, garbage);
	move_tables(cpu, way & 1, gpa, rom);
	guest_call(cpu, entry, TABLE_GVA, 0, 0, 0);
	return GUEST_CODE_GPA + entry;
}

static void tables_in_hole(void)
{
	static const uint64_t places[] = { HOLE, 1ull << 33, 0xfec00000, 0xfee00000 };
	struct guest g;
	struct guest_cpu *cpu = tables_guest(&g);
	uint64_t rip;
	int i;

	for (i = 0; i < 16; i++) {
		rip = through_tables(cpu, i, places[i / 4], NULL);
		expect_exit(cpu, KVM_EXIT_INTERNAL_ERROR);
		CHECK_EQ(cpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
		CHECK_EQ(guest_regs(cpu).rip, rip);
		expect_usable(cpu);
	}
}

/* Where the CPU cannot mark what it used, instructions are emulated, one after the other. */
static void tables_in_rom(void)
{
	uint8_t *rom = guest_alloc(PAGE_2M), *was = guest_alloc(PAGE_2M);
	struct guest g;
	struct guest_cpu *cpu = tables_guest(&g);
	uint64_t *at = (uint64_t *)(g.mem + TABLE_GVA);
	int i;

	for (i = 0; i < 4; i++) {
		through_tables(cpu, i, ROM_GPA, rom);
		memcpy(was, rom, TABLES_SIZE);
		guest_slot(&g, ROM_SLOT, KVM_MEM_READONLY, ROM_GPA, PAGE_2M, rom);
		*at = 0x1122334455667788;
		expect_exit(cpu, KVM_EXIT_HLT);
		CHECK(*at == guest_regs(cpu).rax, "(%d)", i);
		CHECK((*at == 0x1122334455667788) == !(i & 2));
		CHECK(!memcmp(was, rom, TABLES_SIZE), "(%d)", i);
		guest_slot(&g, ROM_SLOT, KVM_MEM_READONLY, ROM_GPA, 0, rom);
		expect_usable(cpu);
	}
}

/*
 * After SHUTDOWN the state is undefined, but not the host's. On AMD-V the vCPU
 * is given an INIT, and what it executes at the reset vector depends on the
 * rest of the guest: KVM is no judge for the tests that go on from there.
 */
static void not_on_kvm(void)
{
	if (device_is_kvm())
		SKIP("KVM goes another way");
}

static bool host_has_svm(void)
{
	unsigned int eax = 0x80000001, ebx, ecx, edx;

	asm volatile("cpuid" : "+a" (eax), "=b" (ebx), "=c" (ecx), "=d" (edx));
	return ecx & 1u << 2;
}

static void run_after_shutdown(void)
{
	struct guest g;
	struct guest_cpu *cpu;
	int i;

	cpu = garbage_guest(&g);
	guest_call(cpu, GARBAGE(ud), 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_SHUTDOWN);
	if (host_has_svm()) {
		CHECK_EQ(guest_regs(cpu).rip, 0xfff0);
		return;
	}
	for (i = 0; i < 5; i++) {
		CHECK_EQ(guest_run(cpu), 0);
		CHECK(cpu->run->exit_reason == KVM_EXIT_SHUTDOWN ||
		      cpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR,
		      "%u", cpu->run->exit_reason);
	}
	expect_usable(cpu);
}

static void on_alarm(int sig)
{
}

/* Every table entry of the library's, for CPL 3 too. */
static void open_tables(struct guest *g)
{
	uint64_t *pte = (uint64_t *)(g->mem + 0x2000);
	int i;

	for (i = 0; i < 6 * 512; i++)
		if (pte[i])
			pte[i] |= 4;
}

static void to_user(struct guest_cpu *cpu)
{
	struct kvm_sregs s;

	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cs.dpl = s.ss.dpl = s.ds.dpl = s.es.dpl = 3;
	s.cs.selector |= 3;
	s.ss.selector |= 3;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
}

/* An access under way must end before the state is changed: api.rst, KVM_EXIT_MMIO. */
static void finish_access(struct guest_cpu *cpu)
{
	int i;

	cpu->run->immediate_exit = 1;
	for (i = 0; i < 10 && !ioctl(cpu->fd, KVM_RUN, 0); i++)
		;
	cpu->run->immediate_exit = 0;
}

/* As many exits as come, until one of them is an end or the time is over. */
static void run_garbage(struct guest_cpu *cpu)
{
	struct itimerval it = { .it_value.tv_usec = 30000 };
	int i;

	setitimer(ITIMER_REAL, &it, NULL);
	for (i = 0; i < 20; i++) {
		if (ioctl(cpu->fd, KVM_RUN, 0)) {
			CHECK(errno == EINTR || errno == EAGAIN || errno == EFAULT,
			      "errno %d", errno);
			break;
		}
		CHECK(cpu->run->exit_reason != KVM_EXIT_UNKNOWN);
		CHECK(cpu->run->exit_reason != KVM_EXIT_FAIL_ENTRY);
		if (cpu->run->exit_reason == KVM_EXIT_SHUTDOWN ||
		    cpu->run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
			break;
	}
	it.it_value.tv_usec = 0;
	setitimer(ITIMER_REAL, &it, NULL);
	finish_access(cpu);
}

static void random_bytes(bool user, unsigned int seed)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct guest_cpu *cpu;
	unsigned int round, i;
	struct guest g;

	not_on_kvm();
	cpu = garbage_guest(&g);
	sigaction(SIGALRM, &sa, NULL);
	srandom(seed);
	for (round = 0; round < 60; round++) {
		expect_usable(cpu);
		if (user) {
			open_tables(&g);
			to_user(cpu);
		}
		for (i = 0; i < 0x1000; i++)
			g.mem[GUEST_CODE_GPA + i] = random() >> 7;
		guest_call(cpu, 0, random(), random(), random(), random() & 0xffff);
		run_garbage(cpu);
	}
	expect_usable(cpu);
}

static void random_kernel(void)
{
	random_bytes(false, 1);
}

static void random_user(void)
{
	random_bytes(true, 2);
}

/* -------- strings of I/O -------- */

#define STRING_GPA	(0x100000 - 100)	/* over the end of a page */
#define STRING_LEN	300

/* KVM_RUN that only finishes what was under way. */
static void only_complete(struct guest_cpu *cpu)
{
	cpu->run->immediate_exit = 1;
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	cpu->run->immediate_exit = 0;
}

static struct guest_cpu *string_guest(struct guest *g, unsigned long entry, bool out)
{
	struct guest_cpu *cpu = garbage_guest(g);
	int i;

	for (i = 0; i < STRING_LEN; i++)
		g->mem[STRING_GPA + i] = out ? i * 7 : 0;
	guest_call(cpu, entry, STRING_GPA, STRING_GPA, 0x30, STRING_LEN);
	return cpu;
}

/* The next piece; how many bytes, 0 at the end. */
static unsigned int string_piece(struct guest_cpu *cpu, int direction, uint8_t **data)
{
	struct kvm_run *run = cpu->run;

	CHECK_EQ(guest_run(cpu), 0);
	if (run->exit_reason == KVM_EXIT_HLT)
		return 0;
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(run->io.direction, direction);
	CHECK_EQ(run->io.port, 0x30);
	CHECK_EQ(run->io.size, 1);
	*data = (uint8_t *)run + run->io.data_offset;
	return run->io.count;
}

static void rep_outs(void)
{
	struct guest g;
	struct guest_cpu *cpu = string_guest(&g, GARBAGE(outs), true);
	unsigned int at = 0, n, i;
	uint8_t *data;

	while ((n = string_piece(cpu, KVM_EXIT_IO_OUT, &data))) {
		for (i = 0; i < n; i++)
			CHECK_EQ(data[i], (uint8_t)((at + i) * 7));
		at += n;
		only_complete(cpu);
		CHECK_EQ(guest_regs(cpu).rcx, STRING_LEN - at);
	}
	CHECK_EQ(at, STRING_LEN);
	CHECK_EQ(guest_regs(cpu).rsi, STRING_GPA + STRING_LEN);
}

static void rep_ins(void)
{
	struct guest g;
	struct guest_cpu *cpu = string_guest(&g, GARBAGE(ins), false);
	unsigned int at = 0, n, i;
	uint8_t *data;

	while ((n = string_piece(cpu, KVM_EXIT_IO_IN, &data))) {
		for (i = 0; i < n; i++)
			data[i] = (at + i) * 5;
		at += n;
		only_complete(cpu);
	}
	CHECK_EQ(at, STRING_LEN);
	CHECK_EQ(guest_regs(cpu).rdi, STRING_GPA + STRING_LEN);
	for (i = 0; i < STRING_LEN; i++)
		CHECK_EQ(g.mem[STRING_GPA + i], (uint8_t)(i * 5));
	CHECK_EQ(g.mem[STRING_GPA + i], 0);
}

static const struct test tests[] = {
	{ "real mode", real_mode },
	{ "protected mode", protected_mode },
	{ "PAE", pae_mode },
	{ "long mode", long_mode },
	{ "from real to long mode and back", up_and_down },
	{ "control register bits", control_bits },
	{ "triple fault", triple_fault },
	{ "MMIO of all sizes", mmio_sizes },
	{ "code where nothing is", fetch_from_hole },
	{ "an IDT where nothing is", idt_in_hole },
	{ "tables where nothing is", tables_in_hole },
	{ "tables in ROM", tables_in_rom },
	{ "KVM_RUN after SHUTDOWN", run_after_shutdown },
	{ "random bytes as a kernel", random_kernel, 100 },
	{ "random bytes as a user", random_user, 100 },
	{ "REP OUTSB in pieces", rep_outs },
	{ "REP INSB in pieces", rep_ins },
};

TEST_MAIN(tests)
