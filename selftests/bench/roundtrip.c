// SPDX-License-Identifier: GPL-2.0-only
/* Group 1: round trips that are finished in the kernel. */
#include <cpuid.h>
#include <fcntl.h>
#include <linux/kvm_para.h>

#include "loop.h"

#define ICR_SELF	0x44000		/* assert, self */
#define ICR_FIXED	0x4000
#define LVT_TIMER	0x320
#define LVT_DEADLINE	(2u << 17)
#define TSC_DEADLINE	0x6e0
#define X2APIC_ICR	0x830
#define X2APIC_EOI	0x80b
#define FAR		(1ull << 60)
#define BELL_PORT	0xe0
#define BELL		0xd0000000ul	/* no memory there */
#define GSI		30

/* -------- one instruction -------- */

GUEST_INSN(cpuid_guest, "cpuid", "=a"(x), "=c"(y) : "0"((uint32_t)arg0), "1"((uint32_t)arg1)
	   : "rbx", "rdx")
GUEST_INSN(vmcall_guest, "vmcall", "=a"(x) : "0"(arg0) : "memory")
GUEST_INSN(vmmcall_guest, "vmmcall", "=a"(x) : "0"(arg0) : "memory")
GUEST_INSN(rdmsr_guest, "rdmsr", "=a"(x), "=d"(y) : "c"((uint32_t)arg0))
GUEST_INSN(wrmsr_guest, "wrmsr", : "c"((uint32_t)arg0), "a"((uint32_t)arg1),
	   "d"((uint32_t)(arg1 >> 32)) : "memory")
GUEST_INSN(in_guest, "inb %w1, %b0", "=a"(x) : "d"((uint32_t)arg0))
GUEST_INSN(out_guest, "outb %b0, %w1", : "a"((uint32_t)arg1), "d"((uint32_t)arg0))
GUEST_INSN(read_guest, "movl (%1), %0", "=r"(x) : "r"(arg0))
GUEST_INSN(write_guest, "movl %0, (%1)", : "r"((uint32_t)arg1), "r"(arg0) : "memory")

static double in_xapic(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, false);
	if (row->setup)
		row->setup(&g);
	return bench_pair(&g, row);
}

static double in_x2apic(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, true);
	if (row->setup)
		row->setup(&g);
	return bench_pair(&g, row);
}

static bool host_is_amd(void)
{
	unsigned int eax, ebx, ecx = 0, edx;

	__get_cpuid(0, &eax, &ebx, &ecx, &edx);
	return ecx == 0x444d4163;	/* cAMD */
}

static double hypercall(const struct row *row)
{
	struct row own = *row;

	own.guest = host_is_amd() ? vmmcall_guest : vmcall_guest;
	return in_xapic(&own);
}

/* -------- eventfds -------- */

static int ioeventfd(struct guest *g, uint64_t addr, uint32_t len, uint32_t flags)
{
	struct kvm_ioeventfd e = {
		.addr = addr,
		.len = len,
		.fd = MUST(eventfd(0, EFD_NONBLOCK)),
		.flags = flags,
	};

	MUST(ioctl(g->fd, KVM_IOEVENTFD, &e));
	return e.fd;
}

static void port_bell(struct guest *g)
{
	ioeventfd(g, BELL_PORT, 1, KVM_IOEVENTFD_FLAG_PIO);
}

static void port_bell_match(struct guest *g)
{
	ioeventfd(g, BELL_PORT, 1, KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH);
}

static void mmio_bell(struct guest *g)
{
	ioeventfd(g, BELL, 0, 0);
}

static void mmio_bell_match(struct guest *g)
{
	ioeventfd(g, BELL, 4, KVM_IOEVENTFD_FLAG_DATAMATCH);
}

static void ring(int fd)
{
	uint64_t one = 1;

	MUST(write(fd, &one, sizeof(one)));
}

/* By MSI: what can be delivered at once is not left to a workqueue. */
static int attach_irqfd(struct guest *g)
{
	struct kvm_irqfd a = { .fd = MUST(eventfd(0, 0)), .gsi = GSI };
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} r = {
		.head.nr = 1,
		.entry = {
			.gsi = GSI,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = APIC_PAGE, .data = VECTOR },
		},
	};

	MUST(ioctl(g->fd, KVM_SET_GSI_ROUTING, &r));
	MUST(ioctl(g->fd, KVM_IRQFD, &a));
	return a.fd;
}

static double time_rings(int fd)
{
	uint64_t sample[BENCH_MAX];
	int i, k;

	mark_begin();
	for (i = 0; i < bench_samples; i++) {
		uint64_t t = rdtsc_();

		for (k = 0; k < OPS; k++)
			ring(fd);
		sample[i] = rdtsc_() - t;
	}
	mark_end();
	return bench_median(sample, bench_samples) / OPS;
}

/* Into a LAPIC whose vCPU does not run, less a write to an eventfd that nobody hears. */
static double irqfd_inject(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, true);
	return time_rings(attach_irqfd(&g)) - time_rings(MUST(eventfd(0, 0)));
}

GUEST void answer_guest(void)
{
	for (;;) {
		hlt_();
		wrmsr_(X2APIC_EOI, 0);
		outb_(BELL_PORT, 0);
	}
}

static void *run_thread(void *arg)
{
	guest_run(arg);
	return NULL;
}

static void run_aside(struct guest_cpu *cpu, void (*fn)(void))
{
	bench_start(cpu, fn);
	CHECK_EQ(pthread_create(&cpu->thread, NULL, run_thread, cpu), 0);
}

/* From the write to an irqfd that wakes a halted vCPU to its answer by an ioeventfd. */
static double irqfd_wake(const struct row *row)
{
	uint64_t sample[BENCH_MAX], count;
	int i, irq, bell;
	struct guest g;

	bench_guest(&g, 1, true);
	irq = attach_irqfd(&g);
	bell = ioeventfd(&g, BELL_PORT, 1, KVM_IOEVENTFD_FLAG_PIO);
	MUST(fcntl(bell, F_SETFL, 0));
	run_aside(&g.cpu[0], answer_guest);
	mark_begin();
	for (i = 0; i < bench_samples; i++) {
		uint64_t t = rdtsc_();

		ring(irq);
		MUST(read(bell, &count, sizeof(count)));
		sample[i] = rdtsc_() - t;
	}
	mark_end();
	return bench_median(sample, bench_samples);
}

/* -------- interrupts -------- */

GUEST void self_ipi_guest(void)
{
	uint32_t i;

	asm volatile("sti");
	mark_begin();
	for (i = 0; i < BP->samples; i++) {
		uint64_t t = rdtsc_();

		wrmsr_(X2APIC_ICR, ICR_SELF | VECTOR);
		BP->sample[0][i] = BP->isr_tsc - t;
		t = rdtsc_();
		wrmsr_(X2APIC_EOI, 0);
		BP->sample[1][i] = rdtsc_() - t;
	}
	mark_end();
	cli_();
	report(0);
}

GUEST void self_ipi_guest_bare(void)
{
	uint32_t i;

	for (i = 0; i < BP->samples; i++) {
		uint64_t t = rdtsc_();

		asm volatile("nop" : : "c"(X2APIC_EOI), "a"(0), "d"(0) : "memory");
		BP->sample[0][i] = rdtsc_() - t;
	}
	report(0);
}

/* arg 0: from the ICR's write to the handler; 1: its EOI. */
static double self_ipi(const struct row *row)
{
	struct guest g;
	double with;

	bench_guest(&g, 1, true);
	bench_exec(&g.cpu[0], self_ipi_guest);
	with = bench_result(&g, row->arg[0]);
	bench_exec(&g.cpu[0], self_ipi_guest_bare);
	return with - bench_result(&g, 0);
}

GUEST void deadline_guest(void)
{
	uint32_t i;

	apic_write(LVT_TIMER, LVT_DEADLINE | VECTOR);
	asm volatile("sti");
	mark_begin();
	for (i = 0; i < BP->samples; i++) {
		uint64_t t = rdtsc_();

		BP->isr_tsc = 0;
		wrmsr_(TSC_DEADLINE, 1);
		while (!BP->isr_tsc)
			;
		BP->sample[0][i] = BP->isr_tsc - t;
		wrmsr_(X2APIC_EOI, 0);
	}
	mark_end();
	cli_();
	report(0);
}

/* A deadline that has passed: from its write to the handler. */
static double deadline_now(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 1, true);
	bench_exec(&g.cpu[0], deadline_guest);
	return bench_result(&g, 0);
}

GUEST void arm_guest(void)
{
	apic_write(LVT_TIMER, LVT_DEADLINE | VECTOR);
	report(0);
}

static void deadline_mode(struct guest *g)
{
	bench_exec(&g->cpu[0], arm_guest);
}

/* -------- halted -------- */

GUEST void sleep_guest(void)
{
	uint32_t i;

	apic_write(LVT_TIMER, LVT_DEADLINE | VECTOR);
	mark_begin();
	for (i = 0; i < BP->samples; i++) {
		wrmsr_(TSC_DEADLINE, rdtsc_() + BP->arg[0]);
		hlt_();
		wrmsr_(X2APIC_EOI, 0);
	}
	mark_end();
	report(0);
}

/* CPU time of the vCPU's thread for deadline, HLT, wake-up and EOI: 5 ms are too long to be polled. */
static double halt_timer(const struct row *row)
{
	struct guest g;
	uint64_t before;

	bench_guest(&g, 1, true);
	if (bench_samples > 64)
		bench(&g)->samples = 64;
	bench(&g)->arg[0] = 5ull * MUST(ioctl(g.cpu[0].fd, KVM_GET_TSC_KHZ, 0));
	before = bench_thread_ns();
	bench_exec(&g.cpu[0], sleep_guest);
	return bench_ticks(&g.cpu[0], bench_thread_ns() - before) / bench(&g)->samples;
}

GUEST void ping_guest(void)
{
	uint32_t i;

	mark_begin();
	for (i = 0; i < BP->samples; i++) {
		uint64_t t = rdtsc_();

		send_ipi(1, ICR_FIXED | VECTOR);
		hlt_();
		wrmsr_(X2APIC_EOI, 0);
		BP->sample[0][i] = rdtsc_() - t;
	}
	mark_end();
	report(0);
}

GUEST void pong_guest(void)
{
	for (;;) {
		hlt_();
		wrmsr_(X2APIC_EOI, 0);
		send_ipi(0, ICR_FIXED | VECTOR);
	}
}

/* There and back, both halted in between and both on one CPU. */
static double ipi_pair(const struct row *row)
{
	struct guest g;

	bench_guest(&g, 2, true);
	run_aside(&g.cpu[1], pong_guest);
	bench_exec(&g.cpu[0], ping_guest);
	return bench_result(&g, 0);
}

/* -------- spinning -------- */

#define PAUSES	512		/* for each sample */

GUEST void spin_guest(void)
{
	uint32_t i, n = BP->samples * PAUSES;
	uint64_t t = rdtsc_();

	mark_begin();
	for (i = 0; i < n; i++)
		pause_();
	mark_end();
	BP->sample[0][0] = rdtsc_() - t;
	report(0);
}

GUEST void spin_guest_bare(void)
{
	uint32_t i, n = BP->samples * PAUSES;
	uint64_t t = rdtsc_();

	for (i = 0; i < n; i++)
		asm volatile("nop" : : : "memory");
	BP->sample[0][0] = rdtsc_() - t;
	report(0);
}

/* Where the processor can filter PAUSE: the mean over the exits that it makes of them. */
static double pause_exit(const struct row *row)
{
	uint64_t exits, with;
	struct guest g;

	bench_guest(&g, 1, true);
	exits = guest_cpu_stat(&g.cpu[0], "exits");
	bench_exec(&g.cpu[0], spin_guest);
	exits = guest_cpu_stat(&g.cpu[0], "exits") - exits;
	with = bench(&g)->sample[0][0];
	if (exits < 8)
		SKIP("PAUSE does not leave the guest");
	bench_exec(&g.cpu[0], spin_guest_bare);
	return ((double)with - bench(&g)->sample[0][0]) / exits;
}

static const struct row rows[] = {
	{ "cpuid.0", in_xapic, WITH_BARE(cpuid_guest), .arg = { 0 } },
	{ "cpuid.d.1", in_xapic, WITH_BARE(cpuid_guest), .arg = { 0xd, 1 } },
	{ "hypercall", hypercall, WITH_BARE(vmcall_guest), .arg = { KVM_HC_VAPIC_POLL_IRQ } },
	{ "rdmsr.apic-base", in_xapic, WITH_BARE(rdmsr_guest), .arg = { 0x1b } },
	{ "rdmsr.tsc-adjust", in_xapic, WITH_BARE(rdmsr_guest), .arg = { 0x3b } },
	{ "rdmsr.mtrr", in_xapic, WITH_BARE(rdmsr_guest), .arg = { 0x2ff } },
	{ "wrmsr.tsc-adjust", in_xapic, WITH_BARE(wrmsr_guest), .arg = { 0x3b } },
	{ "wrmsr.efer", in_xapic, WITH_BARE(wrmsr_guest), .arg = { 0xc0000080, 0x500 } },
	{ "x2apic.read-id", in_x2apic, WITH_BARE(rdmsr_guest), .arg = { 0x802 } },
	{ "x2apic.write-tpr", in_x2apic, WITH_BARE(wrmsr_guest), .arg = { 0x808 } },
	{ "x2apic.self-ipi", self_ipi, .arg = { 0 } },
	{ "x2apic.eoi", self_ipi, .arg = { 1 } },
	{ "deadline.arm", in_x2apic, WITH_BARE(wrmsr_guest), .setup = deadline_mode,
	  .arg = { TSC_DEADLINE, FAR } },
	{ "deadline.now", deadline_now },
	{ "lapic.read", in_xapic, WITH_BARE(read_guest), .arg = { APIC_PAGE + 0x30 } },
	{ "lapic.write", in_xapic, WITH_BARE(write_guest), .arg = { APIC_PAGE + 0x80 } },
	{ "pic.in", in_xapic, WITH_BARE(in_guest), .arg = { 0x21 } },
	{ "pic.out", in_xapic, WITH_BARE(out_guest), .arg = { 0x21, 0xff } },
	{ "pit.in", in_xapic, WITH_BARE(in_guest), .arg = { 0x40 } },
	{ "ioeventfd.port", in_xapic, WITH_BARE(out_guest), .setup = port_bell,
	  .arg = { BELL_PORT } },
	{ "ioeventfd.port-match", in_xapic, WITH_BARE(out_guest), .setup = port_bell_match,
	  .arg = { BELL_PORT } },
	{ "ioeventfd.mmio", in_xapic, WITH_BARE(write_guest), .setup = mmio_bell,
	  .arg = { BELL } },
	{ "ioeventfd.mmio-match", in_xapic, WITH_BARE(write_guest), .setup = mmio_bell_match,
	  .arg = { BELL } },
	{ "irqfd.inject", irqfd_inject },
	{ "irqfd.wake", irqfd_wake },
	{ "halt.timer", halt_timer },
	{ "ipi.pair", ipi_pair },
	{ "pause", pause_exit },
};

BENCH_MAIN(rows)
