// SPDX-License-Identifier: GPL-2.0-only
/* Guests of a few instructions in each mode of the CPU, and from one to the next. */
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
	give_cpuid(cpu);
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
	give_cpuid(cpu);
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
	give_cpuid(cpu);
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

static const struct test tests[] = {
	{ "real mode", real_mode },
	{ "protected mode", protected_mode },
	{ "PAE", pae_mode },
	{ "long mode", long_mode },
	{ "from real to long mode and back", up_and_down },
	{ "control register bits", control_bits },
	{ "triple fault", triple_fault },
	{ "MMIO of all sizes", mmio_sizes },
};

TEST_MAIN(tests)
