/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests that take interrupts. Functions marked GUEST are copied into the
 * guest, with an IDT whose gates log every vector and acknowledge it as
 * shared->eoi says. A guest function ends, or reports, with report(): an OUT
 * that leaves KVM_RUN. HLT stays in the kernel.
 */
#ifndef IRQ_H
#define IRQ_H

#include <stdbool.h>
#include <sys/eventfd.h>
#include <time.h>

#include "../lib/guest.h"

#define GUEST __attribute__((section("guest"), noinline, used, target("general-regs-only")))
#define GUEST_INLINE static inline __attribute__((always_inline, target("general-regs-only")))

#define IDT_GPA		0xc000ul
#define SHARED_GPA	0xd000ul
#define REPORT_PORT	0x10
#define APIC_PAGE	0xfee00000ul
#define IOAPIC_PAGE	0xfec00000ul

enum { EOI_LAPIC, EOI_NONE, EOI_PIC };

/* Written and read by both sides. */
struct shared {
	uint32_t x2apic, eoi;
	uint32_t total;
	uint32_t open_vector;	/* its handler opens interrupts before its EOI */
	uint32_t go, ready;	/* for tests with two vCPUs */
	uint64_t arg[4], out[8];
	uint8_t order[256];
	uint32_t count[256];
	uint64_t tsc[64];	/* at each of the first interrupts */
};

#define SH ((volatile struct shared *)SHARED_GPA)

/* -------- in the guest -------- */

GUEST_INLINE void report(uint32_t val)
{
	asm volatile("outl %0, %w1" : : "a"(val), "Nd"(REPORT_PORT) : "memory");
}

GUEST_INLINE void outb_(uint16_t port, uint8_t val)
{
	asm volatile("outb %0, %w1" : : "a"(val), "Nd"(port) : "memory");
}

GUEST_INLINE uint8_t inb_(uint16_t port)
{
	uint8_t val;

	asm volatile("inb %w1, %0" : "=a"(val) : "Nd"(port) : "memory");
	return val;
}

GUEST_INLINE uint64_t rdtsc_(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

GUEST_INLINE void wrmsr_(uint32_t msr, uint64_t val)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)val), "d"((uint32_t)(val >> 32)) : "memory");
}

GUEST_INLINE uint64_t rdmsr_(uint32_t msr)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (uint64_t)hi << 32;
}

GUEST_INLINE void mmio_write(uint64_t addr, uint32_t val)
{
	asm volatile("movl %0, (%1)" : : "r"(val), "r"(addr) : "memory");
}

GUEST_INLINE uint32_t mmio_read(uint64_t addr)
{
	uint32_t val;

	asm volatile("movl (%1), %0" : "=r"(val) : "r"(addr) : "memory");
	return val;
}

#define sti_() asm volatile("sti; nop" : : : "memory")
#define cli_() asm volatile("cli" : : : "memory")
#define hlt_() asm volatile("sti; hlt; cli" : : : "memory")
#define pause_() asm volatile("pause" : : : "memory")

GUEST_INLINE void apic_write(uint32_t reg, uint32_t val)
{
	if (SH->x2apic)
		wrmsr_(0x800 + (reg >> 4), val);
	else
		mmio_write(APIC_PAGE + reg, val);
}

GUEST_INLINE uint32_t apic_read(uint32_t reg)
{
	return SH->x2apic ? rdmsr_(0x800 + (reg >> 4)) : mmio_read(APIC_PAGE + reg);
}

GUEST_INLINE void send_ipi(uint32_t dest, uint32_t low)
{
	if (SH->x2apic) {
		wrmsr_(0x830, (uint64_t)dest << 32 | low);
		return;
	}
	mmio_write(APIC_PAGE + 0x310, dest << 24);
	mmio_write(APIC_PAGE + 0x300, low);
}

GUEST_INLINE void apic_on(void)
{
	if (SH->x2apic)
		wrmsr_(0x1b, rdmsr_(0x1b) | 0xc00);
	apic_write(0xf0, 0x1ff);
	/* The PIC, which hears the same lines, stays out of it. */
	apic_write(0x350, 0x10000);
}

/* Both PICs, their vectors from 0x20 and from 0x28, with these lines masked. */
GUEST_INLINE void pic_on(uint8_t master_mask, uint8_t slave_mask)
{
	outb_(0x20, 0x11);
	outb_(0x21, 0x20);
	outb_(0x21, 4);
	outb_(0x21, 1);
	outb_(0xa0, 0x11);
	outb_(0xa1, 0x28);
	outb_(0xa1, 2);
	outb_(0xa1, 1);
	outb_(0x21, master_mask);
	outb_(0xa1, slave_mask);
}

GUEST_INLINE void ioapic_set(uint32_t pin, uint32_t low, uint32_t dest)
{
	mmio_write(IOAPIC_PAGE, 0x11 + 2 * pin);
	mmio_write(IOAPIC_PAGE + 0x10, dest << 24);
	mmio_write(IOAPIC_PAGE, 0x10 + 2 * pin);
	mmio_write(IOAPIC_PAGE + 0x10, low);
}

/* Called by the stubs. */
GUEST void guest_interrupt(uint64_t vector)
{
	uint32_t n = SH->total;

	if (n < 64)
		SH->tsc[n] = rdtsc_();
	SH->order[n & 255] = vector;
	SH->total = n + 1;
	SH->count[vector & 255]++;
	if (vector == SH->open_vector) {
		sti_();
		cli_();
	}
	if (vector < 32)
		return;
	if (SH->eoi == EOI_LAPIC)
		apic_write(0xb0, 0);
	if (SH->eoi == EOI_PIC) {
		if (vector >= 0x28)
			outb_(0xa0, 0x20);
		outb_(0x20, 0x20);
	}
}

extern const char __start_guest[], __stop_guest[], irq_stubs[], irq_real[], irq_real_end[];

/* 16 bytes each: a faulting vector below 32 but NMI reports 0xdead00 + vector. */
asm(".pushsection guest, \"ax\"\n"
    ".balign 16\n"
    "irq_stubs:\n"
    ".set vec, 0\n"
    ".rept 256\n"
    "	.balign 16\n"
    "	.if vec < 32 && vec != 2\n"
    "	mov $0xdead00 + vec, %eax\n"
    "	outl %eax, $0x10\n"
    "	.else\n"
    "	pushq $vec\n"
    "	jmp irq_common\n"
    "	.endif\n"
    "	.set vec, vec + 1\n"
    ".endr\n"
    "irq_common:\n"
    "	push %rax; push %rcx; push %rdx; push %rsi; push %rdi\n"
    "	push %r8; push %r9; push %r10; push %r11\n"
    "	mov 72(%rsp), %rdi\n"
    "	call guest_interrupt\n"
    "	pop %r11; pop %r10; pop %r9; pop %r8\n"
    "	pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"
    "	add $8, %rsp\n"
    "	iretq\n"
    ".popsection\n"
    ".pushsection .rodata\n"
    "irq_real: .code16\n"		/* where a SIPI leads: reports CS */
    "	mov %cs, %ax; movzwl %ax, %eax; outl %eax, $0x10\n"
    "1:	hlt; jmp 1b\n"
    "irq_real_end: .code64\n"
    ".popsection\n");

/* -------- outside -------- */

#define CODE(fn) ((unsigned long)((const char *)(fn) - __start_guest))

static inline volatile struct shared *shared(struct guest *g)
{
	return (volatile struct shared *)(g->mem + SHARED_GPA);
}

static inline void irq_gates(struct guest *g)
{
	uint64_t *gate = (uint64_t *)(g->mem + IDT_GPA);
	int i;

	for (i = 0; i < 256; i++) {
		uint64_t addr = GUEST_CODE_GPA + (irq_stubs - __start_guest) + 16 * i;

		gate[2 * i] = (addr & 0xffff) | 8ull << 16 | 0x8eull << 40 |
			      (addr >> 16 & 0xffff) << 48;
		gate[2 * i + 1] = 0;
	}
}

static inline void irq_long_mode(struct guest_cpu *cpu)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	guest_mode(cpu, GUEST_LONG);
	guest_idt(cpu, IDT_GPA);
	MUST(ioctl(cpu->fd, KVM_SET_MP_STATE, &mp));
}

enum { CHIP_KERNEL, CHIP_SPLIT };

/* A long-mode guest with irqchip, all vCPUs runnable. */
static inline void irq_guest(struct guest *g, int chip, int ncpus)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };

	guest_create(g, 4 * PAGE_2M);
	if (chip == CHIP_SPLIT)
		MUST(ioctl(g->fd, KVM_ENABLE_CAP, &split));
	else
		MUST(ioctl(g->fd, KVM_CREATE_IRQCHIP, 0));
	guest_load(g, __start_guest, __stop_guest);
	irq_gates(g);
	while (ncpus--) {
		struct guest_cpu *cpu = guest_add_cpu(g);

		guest_cpuid(cpu);
		irq_long_mode(cpu);
	}
}

/* Runs to the next report(); its value. */
static inline uint32_t irq_next(struct guest_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	uint32_t val;

	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(run->io.port, REPORT_PORT);
	val = *(uint32_t *)((char *)run + run->io.data_offset);
	if (val >> 8 == 0xdead)
		FAIL("exception %u in the guest, rip %#llx", val & 0xff,
		     (unsigned long long)guest_regs(cpu).rip);
	return val;
}

static inline void irq_start(struct guest_cpu *cpu, void (*fn)(void))
{
	guest_call(cpu, CODE(fn), 0, 0, 0, 0);
}

static inline uint32_t irq_exec(struct guest_cpu *cpu, void (*fn)(void))
{
	irq_start(cpu, fn);
	return irq_next(cpu);
}

struct irq_thread {
	struct guest_cpu *cpu;
	_Atomic int tid;
	uint32_t report;
	pthread_t thread;
};

static inline void *irq_thread_fn(void *arg)
{
	struct irq_thread *t = arg;

	t->tid = gettid();
	t->report = irq_next(t->cpu);
	return NULL;
}

static inline void irq_thread(struct irq_thread *t, struct guest_cpu *cpu)
{
	t->cpu = cpu;
	CHECK_EQ(pthread_create(&t->thread, NULL, irq_thread_fn, t), 0);
}

static inline uint32_t irq_join(struct irq_thread *t)
{
	pthread_join(t->thread, NULL);
	return t->report;
}

static inline void irq_line(struct guest *g, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	MUST(ioctl(g->fd, KVM_IRQ_LINE, &l));
}

static inline int irq_line_status(struct guest *g, uint32_t gsi, uint32_t level)
{
	struct kvm_irq_level l = { .irq = gsi, .level = level };

	MUST(ioctl(g->fd, KVM_IRQ_LINE_STATUS, &l));
	return l.status;
}

static inline uint32_t lapic_word(const struct kvm_lapic_state *s, int reg)
{
	uint32_t val;

	memcpy(&val, s->regs + reg, sizeof(val));
	return val;
}

static inline bool lapic_bit(const struct kvm_lapic_state *s, int base, int vector)
{
	return lapic_word(s, base + (vector >> 5) * 0x10) >> (vector & 31) & 1;
}

static inline void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

#endif /* IRQ_H */
