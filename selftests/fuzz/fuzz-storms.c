// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests that want nothing but their host's time: interrupts as fast as they come, NMIs, INITs, timers of one nanosecond, APICs that
 * move, triple faults without end. Each storm goes on for a second; meanwhile a thread that sleeps for a millisecond at a time tells
 * how long the host kept it waiting, and at the end every vCPU must come out of KVM_RUN at a signal, with its VM alive.
 *
 *	fuzz-storms [--count SECONDS] [NAME]...
 */
#include <signal.h>
#include <stdatomic.h>

#include "../irq/irq.h"

#define PERIODIC	(1u << 17)
#define MOST_CPUS	2
#define STACK_GPA	0xb000ul	/* of #DB alone */
#define TSS_GPA		0xe000ul
#define EVENT_PORT	0x510
#define STRING_GPA	0x100000ul
#define STRING_SIZE	0x80000
/*
 * An emulator's second on a machine that does other things as well: any one wait may be that machine's. A host that is gone for
 * good is meant, or one that waits like this for most of the time.
 */
#define WORST_STALL_MS	5000
#define LONG_STALL_MS	100
#define WORST_STOP_MS	5000

/* -------- in the guest -------- */

GUEST void timer_guest(void)
{
	apic_on();
	apic_write(0x3e0, 0xb);			/* by 1 */
	apic_write(0x320, 0x40 | PERIODIC);
	apic_write(0x380, 1);
	for (;;)
		sti_();
}

GUEST void timer_halt_guest(void)
{
	apic_on();
	apic_write(0x3e0, 0xb);
	apic_write(0x320, 0x40 | PERIODIC);
	apic_write(0x380, 1);
	for (;;)
		hlt_();
}

GUEST void oneshot_guest(void)
{
	apic_on();
	apic_write(0x3e0, 0xb);
	apic_write(0x320, 0x40);
	for (;;) {
		apic_write(0x380, 1);
		hlt_();
	}
}

GUEST void deadline_guest(void)
{
	apic_on();
	apic_write(0x320, 0x40 | 2u << 17);
	for (;;) {
		wrmsr_(0x6e0, rdtsc_() + (SH->total & 3));
		sti_();
	}
}

GUEST void self_ipi_guest(void)
{
	apic_on();
	for (;;) {
		wrmsr_(0x83f, 0x41);
		sti_();
	}
}

GUEST void all_ipi_guest(void)
{
	apic_on();
	for (;;) {
		send_ipi(0, 0x80000 | 0x50);	/* all, itself as well */
		sti_();
	}
}

GUEST void nmi_ipi_guest(void)
{
	apic_on();
	for (;;)
		send_ipi(0, 0xc0000 | 0x400);	/* NMI to all others */
}

GUEST void init_sipi_guest(void)
{
	apic_on();
	for (;;) {
		send_ipi(1, 0x4500);
		send_ipi(1, 0x4600 | GUEST_CODE_GPA >> 12);
		send_ipi(1, 0x4600);
	}
}

GUEST void apic_base_guest(void)
{
	uint64_t at = 1;

	for (;;) {
		at = at * 6364136223846793005ull + 1442695040888963407ull;
		wrmsr_(0x1b, (at >> 20 & 0xfffff000) | (at & 1 ? 0x900 : 0x100));
		mmio_write(APIC_PAGE + 0x380, at);
		wrmsr_(0x1b, APIC_PAGE | 0x900);
		wrmsr_(0x1b, APIC_PAGE | 0xd00);
		wrmsr_(0x83f, 0x45);
		wrmsr_(0x1b, APIC_PAGE | 0x100);
	}
}

GUEST void tsc_guest(void)
{
	uint64_t x = 1;

	apic_on();
	apic_write(0x320, 0x40 | 2u << 17);
	for (;;) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		wrmsr_(0x10, x);
		wrmsr_(0x6e0, rdtsc_() + 1);
		wrmsr_(0x3b, ~x);
		sti_();
	}
}

GUEST void loop_guest(void)
{
	for (;;)
		;
}

GUEST void pause_guest(void)
{
	for (;;)
		pause_();
}

GUEST void control_guest(void)
{
	uint64_t cr0, cr3, cr4;

	asm volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2" : "=r"(cr0), "=r"(cr3), "=r"(cr4));
	for (;;) {
		asm volatile("mov %0, %%cr4" : : "r"(cr4 ^ 0x80) : "memory");
		asm volatile("mov %0, %%cr0" : : "r"(cr0 ^ 0x40000000) : "memory");
		asm volatile("mov %0, %%cr3; invlpg (%1); wbinvd" : : "r"(cr3), "r"(GUEST_CODE_GPA) : "memory");
		asm volatile("mov %0, %%cr4; mov %1, %%cr0" : : "r"(cr4), "r"(cr0) : "memory");
	}
}

GUEST void string_guest(void)
{
	uint64_t n = 1ull << 40, from = 0x10000, to = 0xd0000000;

	asm volatile("cld; rep movsb" : "+c"(n), "+S"(from), "+D"(to) : : "memory");
	report(1);
}

GUEST void string_port_guest(void)
{
	uint64_t n = 1ull << 40, from = 0x10000;

	asm volatile("cld; rep outsb" : "+c"(n), "+S"(from) : "d"(0x40) : "memory");
	report(1);
}

/* A page of them at once: to a mask register, to an eventfd, from a counter; and one by one, to the IOAPIC. */
GUEST_INLINE void strings_to(uint16_t port)
{
	uint64_t n, from;

	for (;;) {
		n = STRING_SIZE;
		from = STRING_GPA;
		asm volatile("cld; rep outsb" : "+c"(n), "+S"(from) : "d"(port) : "memory");
	}
}

GUEST void string_pic_guest(void)
{
	strings_to(0x21);
}

GUEST void string_event_guest(void)
{
	strings_to(EVENT_PORT);
}

GUEST void string_pit_guest(void)
{
	uint64_t n, to;

	for (;;) {
		n = STRING_SIZE;
		to = STRING_GPA;
		asm volatile("cld; rep insb" : "+c"(n), "+D"(to) : "d"(0x40) : "memory");
	}
}

GUEST void string_ioapic_guest(void)
{
	uint64_t n, to, from;

	for (;;) {
		n = 0x40;
		to = 0xfec00000;
		from = STRING_GPA;
		asm volatile("cld; rep movsl" : "+c"(n), "+D"(to), "+S"(from) : : "memory");
	}
}

GUEST void triple_guest(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = { 0, 0 };

	asm volatile("lidt %0; ud2" : : "m"(none));
}

/* What is written first when #DB is delivered is a breakpoint itself; and the stack is always the same. */
GUEST void debug_guest(void)
{
	asm volatile("mov %0, %%dr0; mov %1, %%dr7; .byte 0xf1" : : "r"(STACK_GPA - 8), "r"(0x90002ull) : "memory");
	for (;;)
		;
}

GUEST void hypercall_guest(void)
{
	uint64_t r;

	for (;;) {
		asm volatile("vmmcall" : "=a"(r) : "a"(10ull), "b"(3ull), "c"(0ull), "d"(0ull), "S"(0x52ull) : "memory");
		asm volatile("vmmcall" : "=a"(r) : "a"(5ull), "b"(0ull), "c"(1ull) : "memory");
		asm volatile("vmmcall" : "=a"(r) : "a"(11ull), "b"(1ull) : "memory");
		sti_();
	}
}

GUEST void pit_guest(void)
{
	SH->eoi = EOI_PIC;
	pic_on(0xfe, 0xff);
	outb_(0x43, 0x34);
	outb_(0x40, 1);
	outb_(0x40, 0);
	for (;;)
		hlt_();
}

/* A line that nobody lets go: pin 9, level. */
GUEST void level_guest(void)
{
	apic_on();
	ioapic_set(9, 0x60 | 1u << 15, 0);
	for (;;)
		sti_();
}

GUEST void open_guest(void)
{
	apic_on();
	for (;;)
		hlt_();
}

/* -------- outside -------- */

struct cpu_thread {
	struct guest_cpu *cpu;
	void (*fn)(void);
	pthread_t thread;
	unsigned long exits, shutdowns;
	int err;
};

static atomic_bool over, probe_over;
static struct guest g;
static struct cpu_thread threads[MOST_CPUS];

struct storm {
	const char *name;
	int more_cpus;			/* than one */
	void (*guest)(void);
	void (*guest2)(void);		/* of the second vCPU, if it does something else */
	bool xapic;
	void (*prepare)(void);
	void (*outside)(void);		/* again and again */
};

static void on_signal(int signal)
{
}

struct waits {
	uint64_t worst, lost, total;	/* ns; of the worst one, of all long ones, of all */
};

static void *probe(void *arg)
{
	uint64_t begun = now_ns(), before = begun, wait;
	struct waits *waits = arg;

	while (!probe_over) {
		sleep_ms(1);
		wait = now_ns() - before;
		before += wait;
		if (wait > waits->worst)
			waits->worst = wait;
		if (wait > LONG_STALL_MS * 1000000ull * test_slowness())
			waits->lost += wait;
	}
	waits->total = before - begun;
	return NULL;
}

/* One that shut down starts anew, and one that faulted. */
static void restart(struct cpu_thread *t)
{
	struct kvm_vcpu_events none;

	if (!ioctl(t->cpu->fd, KVM_GET_VCPU_EVENTS, &none)) {
		memset(&none.exception, 0, sizeof(none.exception));
		ioctl(t->cpu->fd, KVM_SET_VCPU_EVENTS, &none);
	}
	irq_long_mode(t->cpu);
	irq_start(t->cpu, t->fn);
}

static void *run_cpu(void *arg)
{
	struct cpu_thread *t = arg;
	struct kvm_run *run = t->cpu->run;

	while (!over) {
		if (ioctl(t->cpu->fd, KVM_RUN, 0)) {
			if (errno != EINTR && errno != EAGAIN) {
				t->err = errno;
				break;
			}
			continue;
		}
		t->exits++;
		if (run->exit_reason == KVM_EXIT_IO && run->io.port != REPORT_PORT)
			continue;
		if (run->exit_reason == KVM_EXIT_MMIO || run->exit_reason == KVM_EXIT_IRQ_WINDOW_OPEN)
			continue;
		t->shutdowns += run->exit_reason == KVM_EXIT_SHUTDOWN;
		restart(t);
	}
	return NULL;
}

static void outside_line(void)
{
	irq_line(&g, 9, 1);
}

/* What is asked of a vCPU itself waits until it is out of KVM_RUN; a message to its APIC does not. */
static void message(uint32_t data)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = data };

	ioctl(g.fd, KVM_SIGNAL_MSI, &msi);
}

static void outside_msi(void)
{
	message(0x61);
}

static void outside_nmi(void)
{
	message(0x400);
}

static void outside_smi(void)
{
	message(0x200);
}

static void prepare_smm(void)
{
	guest_slot(&g, 1 << 16, 0, 0, g.size, g.mem);
	memcpy(g.mem + 0x38000, "\x0f\xaa", 2);	/* rsm */
}

static void prepare_pit(void)
{
	struct kvm_pit_config config = { 0 };

	MUST(ioctl(g.fd, KVM_CREATE_PIT2, &config));
}

static void prepare_event(void)
{
	struct kvm_ioeventfd io = {
		.addr = EVENT_PORT, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
	};

	MUST(io.fd);
	MUST(ioctl(g.fd, KVM_IOEVENTFD, &io));
}

/* The gate of #DB has a stack of its own. */
static void prepare_debug(void)
{
	uint64_t top = STACK_GPA, *gate = (uint64_t *)(g.mem + IDT_GPA);
	struct kvm_sregs s;

	if (host_is_tcg())
		SKIP("QEMU's emulation of SVM ends there with an assertion");
	memcpy(g.mem + TSS_GPA + 36, &top, 8);
	gate[2] |= 1ull << 32;
	MUST(ioctl(g.cpu[0].fd, KVM_GET_SREGS, &s));
	s.tr.base = TSS_GPA;
	s.tr.limit = 0x67;
	MUST(ioctl(g.cpu[0].fd, KVM_SET_SREGS, &s));
}

static void start_cpu(int i, void (*fn)(void))
{
	struct cpu_thread *t = &threads[i];

	t->cpu = &g.cpu[i];
	t->fn = fn;
	irq_start(t->cpu, fn);
	CHECK_EQ(pthread_create(&t->thread, NULL, run_cpu, t), 0);
}

/* The time until the last one is back. */
static uint64_t stop_cpus(int n)
{
	uint64_t begun = now_ns();
	int i;

	over = true;
	for (i = 0; i < n; i++) {
		struct timespec soon;

		do {
			pthread_kill(threads[i].thread, SIGUSR1);
			clock_gettime(CLOCK_REALTIME, &soon);
			soon.tv_nsec += 2000000;
			if (soon.tv_nsec >= 1000000000) {
				soon.tv_sec++;
				soon.tv_nsec -= 1000000000;
			}
		} while (pthread_timedjoin_np(threads[i].thread, NULL, &soon));
	}
	return now_ns() - begun;
}

static void blow(const struct storm *storm)
{
	int cpus = 1 + storm->more_cpus, i;
	struct waits waits = { 0 };
	uint64_t stop, end;
	struct kvm_regs regs;
	pthread_t prober;

	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	irq_guest(&g, CHIP_KERNEL, cpus);
	for (i = 0; i < cpus; i++)
		guest_cpuid_deadline(&g.cpu[i]);
	shared(&g)->x2apic = !storm->xapic;
	if (storm->prepare)
		storm->prepare();
	CHECK_EQ(pthread_create(&prober, NULL, probe, &waits), 0);
	for (i = 0; i < cpus; i++)
		start_cpu(i, i && storm->guest2 ? storm->guest2 : storm->guest);
	for (end = now_ns() + test_repeat(1) * 1000000000ull; now_ns() < end;) {
		if (storm->outside)
			storm->outside();
		else
			sleep_ms(5);
	}
	stop = stop_cpus(cpus);
	probe_over = true;
	pthread_join(prober, NULL);
	printf("# %s: the host let wait for %llu ms at most, vCPUs stopped within %llu ms; %u interrupts, %lu exits, %lu shutdowns\n",
	       storm->name, (unsigned long long)waits.worst / 1000000, (unsigned long long)stop / 1000000, shared(&g)->total,
	       threads[0].exits + threads[1].exits, threads[0].shutdowns + threads[1].shutdowns);
	for (i = 0; i < cpus; i++) {
		CHECK_EQ(threads[i].err, 0);
		MUST(ioctl(g.cpu[i].fd, KVM_GET_REGS, &regs));
	}
	CHECK(waits.worst / 1000000 < WORST_STALL_MS);
	if (waits.lost) {
		waits.lost -= waits.worst;
		waits.total -= waits.worst;
	}
	CHECK(waits.lost <= waits.total / 2, "(but for the worst, %llu of %llu ms in waits over %u)",
	      (unsigned long long)waits.lost / 1000000, (unsigned long long)waits.total / 1000000, LONG_STALL_MS);
	CHECK(stop / 1000000 < WORST_STOP_MS);
}

#define STORMS(X) \
	X(timer, "a timer of 1 ns", .guest = timer_guest) \
	X(timer_xapic, "a timer of 1 ns, by MMIO", .guest = timer_guest, .xapic = true) \
	X(timer_halt, "a timer of 1 ns, halting", .guest = timer_halt_guest) \
	X(oneshot, "a one-shot timer of 1 ns", .guest = oneshot_guest) \
	X(deadline, "deadlines that are over", .guest = deadline_guest) \
	X(self_ipi, "IPIs to itself", .guest = self_ipi_guest) \
	X(all_ipi, "IPIs to all", .more_cpus = 1, .guest = all_ipi_guest) \
	X(all_ipi_xapic, "IPIs to all, by MMIO", .more_cpus = 1, .guest = all_ipi_guest, .xapic = true) \
	X(nmi_ipi, "NMIs to each other", .more_cpus = 1, .guest = nmi_ipi_guest) \
	X(nmi, "NMIs from outside", .guest = open_guest, .outside = outside_nmi) \
	X(smi, "SMIs from outside", .guest = open_guest, .prepare = prepare_smm, .outside = outside_smi) \
	X(msi, "MSIs from outside", .guest = open_guest, .outside = outside_msi) \
	X(init_sipi, "INIT and SIPI without end", .more_cpus = 1, .guest = init_sipi_guest, .guest2 = loop_guest) \
	X(apic_base, "an APIC that moves", .guest = apic_base_guest, .xapic = true) \
	X(tsc, "a TSC that jumps", .guest = tsc_guest) \
	X(loop, "an endless loop", .more_cpus = 1, .guest = loop_guest) \
	X(pause_loop, "an endless PAUSE", .more_cpus = 1, .guest = pause_guest) \
	X(control, "control registers", .guest = control_guest) \
	X(string, "a terabyte of MMIO", .guest = string_guest) \
	X(string_port, "a terabyte of port I/O", .guest = string_port_guest) \
	X(string_pic, "strings to the PIC", .guest = string_pic_guest) \
	X(string_event, "strings to an eventfd", .guest = string_event_guest, .prepare = prepare_event) \
	X(string_pit, "strings from the PIT", .guest = string_pit_guest, .prepare = prepare_pit) \
	X(string_ioapic, "strings to the IOAPIC", .guest = string_ioapic_guest) \
	X(triple, "triple faults", .guest = triple_guest) \
	X(debug_db, "#DB by its own delivery", .guest = debug_guest, .prepare = prepare_debug) \
	X(hypercalls, "hypercalls", .more_cpus = 1, .guest = hypercall_guest) \
	X(pit, "the PIT at its fastest", .guest = pit_guest, .prepare = prepare_pit) \
	X(level, "a line that stays up", .guest = level_guest, .outside = outside_line)

#define STORM(id, label, ...)						\
	static void id(void)						\
	{								\
		static const struct storm storm = { .name = label, __VA_ARGS__ }; \
									\
		blow(&storm);						\
	}
STORMS(STORM)

#define TEST(id, label, ...)	{ label, id },
static const struct test tests[] = { STORMS(TEST) };

TEST_MAIN(tests)
