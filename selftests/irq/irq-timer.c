// SPDX-License-Identifier: GPL-2.0-only
/* LAPIC timer in its three modes, its state mid-count, and the PIT's rate. */
#include "irq.h"

#define LVT_VECTOR	0x40
#define PERIODIC	(1u << 17)
#define DEADLINE	(2u << 17)
#define BUS_NS		1	/* KVM's LAPIC counts nanoseconds */

GUEST void oneshot_guest(void)
{
	apic_on();
	apic_write(0x3e0, 0xb);			/* by 1 */
	apic_write(0x320, LVT_VECTOR);
	apic_write(0x380, SH->arg[0]);
	SH->out[0] = apic_read(0x390);
	report(1);
	while (!SH->total)
		hlt_();
	SH->out[1] = apic_read(0x390);
	report(SH->total);
}

static void oneshot(void)
{
	uint64_t start;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->arg[0] = 200000000;		/* 0.2 s */
	start = now_ns();
	CHECK_EQ(irq_exec(&g.cpu[0], oneshot_guest), 1);
	CHECK(shared(&g)->out[0] > 0 && shared(&g)->out[0] <= 200000000);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK(now_ns() - start >= 200000000);
	CHECK_EQ(shared(&g)->out[1], 0);
}

GUEST void periodic_guest(void)
{
	apic_on();
	apic_write(0x3e0, 0x0);			/* by 2 */
	apic_write(0x320, LVT_VECTOR | PERIODIC);
	apic_write(0x380, 10000000);		/* 20 ms */
	while (SH->total < 10)
		hlt_();
	apic_write(0x380, 0);
	SH->out[0] = SH->total;
	report(SH->total);
}

static void periodic(void)
{
	uint64_t start = now_ns(), took;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	start = now_ns();
	CHECK(irq_exec(&g.cpu[0], periodic_guest) >= 10);
	took = now_ns() - start;
	CHECK(took >= 190000000, "%llu ns", (unsigned long long)took);
	CHECK(took < 5000000000ull, "%llu ns", (unsigned long long)took);
}

GUEST void deadline_guest(void)
{
	uint64_t i;

	apic_on();
	apic_write(0x320, LVT_VECTOR | DEADLINE);
	for (i = 0; i < 5; i++) {
		uint64_t at = rdtsc_() + SH->arg[0];

		wrmsr_(0x6e0, at);
		while (SH->total <= i)
			hlt_();
		/* Never early. */
		if (SH->tsc[i] < at)
			report(100 + i);
		if (rdmsr_(0x6e0))
			report(200 + i);
	}
	/* In the past: at once. */
	wrmsr_(0x6e0, 1);
	sti_();
	while (SH->total < 6)
		pause_();
	cli_();
	/* 0 disarms; very far ones do no harm. */
	wrmsr_(0x6e0, rdtsc_() + SH->arg[0]);
	wrmsr_(0x6e0, 0);
	wrmsr_(0x6e0, ~0ull);
	SH->out[0] = rdmsr_(0x6e0);
	report(SH->total);
}

static void need_deadline(struct guest *g)
{
	if (!(guest_cpuid_reg(g, 1, 0, 2) & 1u << 24) &&
	    ioctl(g->dev, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
		SKIP("no TSC deadline timer");
}

static void deadline_mode(int x2apic)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	need_deadline(&g);
	guest_cpuid_deadline(&g.cpu[0]);
	shared(&g)->x2apic = x2apic;
	shared(&g)->arg[0] = MUST(ioctl(g.cpu[0].fd, KVM_GET_TSC_KHZ, 0)) * 20;	/* 20 ms */
	CHECK_EQ(irq_exec(&g.cpu[0], deadline_guest), 6);
	CHECK_EQ(shared(&g)->out[0], ~0ull);
}

static void deadline_xapic(void)
{
	deadline_mode(0);
}

static void deadline_x2apic(void)
{
	deadline_mode(1);
}

/* The image taken mid-count goes on counting in another vCPU's LAPIC. */
static void state_midcount(void)
{
	struct kvm_lapic_state s;
	struct kvm_regs r;
	struct guest g, h;
	uint64_t start;

	irq_guest(&g, CHIP_KERNEL, 1);
	/* So long that a slow machine does not let it run out before it is looked at. */
	shared(&g)->arg[0] = 2000000000;
	CHECK_EQ(irq_exec(&g.cpu[0], oneshot_guest), 1);
	sleep_ms(150);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(lapic_word(&s, 0x390) > 0 && lapic_word(&s, 0x390) < 1860000000,
	      "%u left", lapic_word(&s, 0x390));
	CHECK_EQ(lapic_word(&s, 0x380), 2000000000);

	irq_guest(&h, CHIP_KERNEL, 1);
	memcpy(h.mem, g.mem, 0x10000);
	r = guest_regs(&g.cpu[0]);
	MUST(ioctl(h.cpu[0].fd, KVM_SET_REGS, &r));
	start = now_ns();
	MUST(ioctl(h.cpu[0].fd, KVM_SET_LAPIC, &s));
	/* The OUT is finished by the guest that made it. */
	g.cpu[0].run->immediate_exit = 1;
	ioctl(g.cpu[0].fd, KVM_RUN, 0);
	r = guest_regs(&g.cpu[0]);
	MUST(ioctl(h.cpu[0].fd, KVM_SET_REGS, &r));
	CHECK_EQ(irq_next(&h.cpu[0]), 1);
	CHECK(now_ns() - start >= lapic_word(&s, 0x390));
}

/* Expired but not yet taken: the image has it in IRR, or will fire again at once. */
static void state_expired(void)
{
	struct kvm_lapic_state s;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->arg[0] = 1000000;
	CHECK_EQ(irq_exec(&g.cpu[0], oneshot_guest), 1);
	sleep_ms(50);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	MUST(ioctl(g.cpu[0].fd, KVM_SET_LAPIC, &s));
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
}

/* QEMU's image has no current count: the timer fires at once rather than never. */
static void state_without_count(void)
{
	struct kvm_lapic_state s;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->arg[0] = 4000000000u;
	CHECK_EQ(irq_exec(&g.cpu[0], oneshot_guest), 1);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	memset(s.regs + 0x390, 0, 4);
	MUST(ioctl(g.cpu[0].fd, KVM_SET_LAPIC, &s));
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
}

GUEST void one_deadline_guest(void)
{
	apic_on();
	apic_write(0x320, LVT_VECTOR | DEADLINE);
	wrmsr_(0x6e0, rdtsc_() + SH->arg[0]);
	report(1);
	while (!SH->total)
		hlt_();
	report(SH->total);
}

/* The deadline is an MSR of its own: the image of the registers leaves it alone. */
static void deadline_kept(void)
{
	struct kvm_lapic_state s;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	need_deadline(&g);
	guest_cpuid_deadline(&g.cpu[0]);
	shared(&g)->arg[0] = MUST(ioctl(g.cpu[0].fd, KVM_GET_TSC_KHZ, 0)) * 100;
	CHECK_EQ(irq_exec(&g.cpu[0], one_deadline_guest), 1);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	MUST(ioctl(g.cpu[0].fd, KVM_SET_LAPIC, &s));
	CHECK(guest_get_msr(&g.cpu[0], 0x6e0) != 0);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
}

/* Less than one unit of the new divider is left: it still fires. */
GUEST void divide_short_guest(void)
{
	apic_on();
	apic_write(0x3e0, 0xb);
	apic_write(0x320, LVT_VECTOR);
	apic_write(0x380, 100);
	apic_write(0x3e0, 0xa);
	while (!SH->total)
		hlt_();
	report(SH->total);
}

static void divide_short(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], divide_short_guest), 1);
}

GUEST void divide_guest(void)
{
	apic_on();
	apic_write(0x320, 0x10000 | LVT_VECTOR);
	apic_write(0x3e0, 0xb);
	apic_write(0x380, 4000000000u);
	SH->out[0] = apic_read(0x390);
	apic_write(0x3e0, 0xa);			/* by 128: the count goes on from there */
	SH->out[1] = apic_read(0x390);
	SH->out[2] = apic_read(0x3e0);
	report(0);
}

static void divide(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], divide_guest), 0);
	CHECK(shared(&g)->out[0] > 2000000000u);
	CHECK(shared(&g)->out[1] > 1000000000u && shared(&g)->out[1] <= shared(&g)->out[0]);
	CHECK_EQ(shared(&g)->out[2], 0xa);
}

/* -------- PIT -------- */

GUEST void pit_guest(void)
{
	apic_on();
	SH->eoi = EOI_PIC;
	pic_on(0xfe, 0xff);
	apic_write(0x350, 0x700);		/* LINT0: ExtINT */
	outb_(0x43, 0x34);			/* counter 0, mode 2 */
	outb_(0x40, 11932 & 0xff);		/* 100 Hz */
	outb_(0x40, 11932 >> 8);
	while (SH->total < 20)
		hlt_();
	outb_(0x43, 0x00);			/* latch counter 0 */
	SH->out[0] = inb_(0x40);
	SH->out[0] |= inb_(0x40) << 8;
	report(SH->total);
}

static void pit_rate(void)
{
	struct kvm_pit_config config = { 0 };
	struct kvm_pit_state2 s;
	uint64_t start, took;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	MUST(ioctl(g.fd, KVM_CREATE_PIT2, &config));
	CHECK(ioctl(g.fd, KVM_CREATE_PIT2, &config) == -1 && errno == EEXIST);
	start = now_ns();
	CHECK(irq_exec(&g.cpu[0], pit_guest) >= 20);
	took = now_ns() - start;
	CHECK(took > 150000000 && took < 5000000000ull, "%llu ns", (unsigned long long)took);
	CHECK_EQ(shared(&g)->order[0], 0x20);
	CHECK(shared(&g)->out[0] <= 11932);
	MUST(ioctl(g.fd, KVM_GET_PIT2, &s));
	CHECK_EQ(s.channels[0].count, 11932);
	CHECK_EQ(s.channels[0].mode, 2);
	MUST(ioctl(g.fd, KVM_SET_PIT2, &s));
	MUST(ioctl(g.fd, KVM_GET_PIT2, &s));
	CHECK_EQ(s.channels[0].count, 11932);
}

GUEST void speaker_guest(void)
{
	uint32_t i;

	outb_(0x61, 1);				/* gate 2 */
	outb_(0x43, 0xb0);			/* counter 2, mode 0 */
	outb_(0x42, 0xff);
	outb_(0x42, 0x20);			/* about 7 ms */
	SH->out[0] = inb_(0x61);
	for (i = 0; !(inb_(0x61) & 0x20); i++)
		;
	report(i);
}

static void speaker(void)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	MUST(ioctl(g.fd, KVM_CREATE_PIT2, &config));
	irq_exec(&g.cpu[0], speaker_guest);
	CHECK_EQ(shared(&g)->out[0] & 1, 1);
}

GUEST void speaker_again_guest(void)
{
	report(1);
	SH->out[0] = inb_(0x61);
	report(2);
}

/* A port of user space's, and then one that the kernel serves outside of a stay. */
static void speaker_after_user(void)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	MUST(ioctl(g.fd, KVM_CREATE_PIT2, &config));
	CHECK_EQ(irq_exec(&g.cpu[0], speaker_again_guest), 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
}

static const struct test tests[] = {
	{ "one-shot", oneshot },
	{ "periodic", periodic },
	{ "TSC deadline, xAPIC", deadline_xapic },
	{ "TSC deadline, x2APIC", deadline_x2apic },
	{ "state mid-count", state_midcount },
	{ "state after expiry", state_expired },
	{ "state without a count", state_without_count },
	{ "deadline over KVM_SET_LAPIC", deadline_kept },
	{ "divider", divide },
	{ "divider of a short count", divide_short },
	{ "PIT rate and state", pit_rate },
	{ "PIT counter 2", speaker },
	{ "speaker port after one of user space", speaker_after_user },
};

TEST_MAIN(tests)
