// SPDX-License-Identifier: GPL-2.0-only
/*
 * Known answers of IOAPIC (290566) and LAPIC (SDM chapter 11) where a guest in
 * an emulated machine can not well ask: times, and states that are set.
 */
#include "ktap.h"

#include "image.h"
#include "peek.h"

#define LAPIC		0xfee00000ull
#define IOAPIC		0xfec00000ull
#define LEVEL		BIT(15)
#define REMOTE_IRR	BIT(14)
#define MASKED		BIT(16)

static struct world *w;

static void create(unsigned int nr_vcpus)
{
	unsigned int i;

	w = world_create(&(struct world_config){ .mode = IRQCHIP_KERNEL, .nr_vcpus = nr_vcpus });
	for (i = 0; i < nr_vcpus; i++) {
		CHECK_EQ(world_write(w, i, LAPIC + APIC_SPIV, 4, 0x1ff), 0);
		CHECK_EQ(world_write(w, i, LAPIC + APIC_LVT0, 4, APIC_LVT_MASKED), 0);
	}
}

static void lapic_write(u32 reg, u32 val)
{
	CHECK_EQ(world_write(w, 0, LAPIC + reg, 4, val), 0);
}

static u32 lapic_read(u32 reg)
{
	u64 val;

	CHECK_EQ(world_read(w, 0, LAPIC + reg, 4, &val), 0);
	return val;
}

static void redirect(u32 pin, u32 low)
{
	CHECK_EQ(world_write(w, 0, IOAPIC, 4, 0x10 + 2 * pin), 0);
	CHECK_EQ(world_write(w, 0, IOAPIC + 0x10, 4, low), 0);
}

static int take(void)
{
	return world_enter(w, 0, true);
}

static void eoi(void)
{
	lapic_write(APIC_EOI, 0);
}

/* The state is taken and set again, over itself. */
static void move(void)
{
	static struct image image;

	image_get(w, &image);
	CHECK_EQ(image_set(w, &image), 0);
}

/* -------- IOAPIC -------- */

static void masked_edge(void)
{
	create(1);
	redirect(5, 0x45 | MASKED);
	world_line(w, 5, 1);
	redirect(5, 0x45);
	CHECK_EQ(take(), -1);
	move();
	CHECK_EQ(take(), -1);
	world_line(w, 5, 0);
	world_line(w, 5, 1);
	CHECK_EQ(take(), 0x45);
}

static void edge_becomes_level(void)
{
	create(1);
	redirect(5, 0x45);
	world_line(w, 5, 1);
	CHECK_EQ(take(), 0x45);
	eoi();
	redirect(5, 0x55 | LEVEL);
	CHECK_EQ(take(), 0x55);
	move();
	eoi();
	/* Nobody has lowered it. */
	CHECK_EQ(take(), 0x55);
	world_line(w, 5, 0);
	eoi();
	CHECK_EQ(take(), -1);
}

static int rtc(int level)
{
	struct kvm_irq_level args = { .irq = 8, .level = level };

	CHECK_EQ(irq_line_ioctl(&w->vm, &args, true), 0);
	return args.status;
}

static void rtc_moves(void)
{
	create(2);
	world_outb(w, 0xa1, 0xff);
	redirect(8, 0x48);
	CHECK_EQ(rtc(1), 1);
	rtc(0);
	/* Requested, and in service: both are on the way. */
	move();
	CHECK_EQ(rtc(1), 0);
	rtc(0);
	CHECK_EQ(take(), 0x48);
	move();
	CHECK_EQ(rtc(1), 0);
	rtc(0);
	eoi();
	move();
	CHECK_EQ(rtc(1), 1);
	CHECK_EQ(take(), 0x48);
}

/* Its EOI brings a line that stays high back at once, but not for ever: the host has a say, too. */
static void storm(void)
{
	unsigned int n = 0;
	u64 start;

	create(1);
	redirect(20, 0x54 | LEVEL);
	world_line(w, 20, 1);
	while (take() == 0x54) {
		eoi();
		n++;
	}
	CHECK_EQ(n, 10000);
	start = ktime_get_ns();
	CHECK(clock_next(&w->clock) != KTIME_MAX);
	world_run_until(w, clock_next(&w->clock));
	CHECK(ktime_get_ns() - start <= 10 * NSEC_PER_MSEC);
	CHECK_EQ(take(), 0x54);
	world_line(w, 20, 0);
	eoi();
	CHECK_EQ(take(), -1);
}

static void remote_irr(void)
{
	create(1);
	redirect(20, 0x54 | LEVEL);
	world_line(w, 20, 1);
	CHECK(peek_ioapic_entry(w, 20) & REMOTE_IRR);
	CHECK_EQ(take(), 0x54);
	/* Masked while it is in service: its EOI ends it all the same. */
	redirect(20, 0x54 | LEVEL | MASKED);
	CHECK(peek_ioapic_entry(w, 20) & REMOTE_IRR);
	eoi();
	CHECK(!(peek_ioapic_entry(w, 20) & REMOTE_IRR));
	CHECK_EQ(take(), -1);
	redirect(20, 0x54 | LEVEL);
	CHECK_EQ(take(), 0x54);
	/* An edge has none. */
	redirect(20, 0x54);
	CHECK(!(peek_ioapic_entry(w, 20) & REMOTE_IRR));
}

static void widths(void)
{
	u64 val;

	create(1);
	CHECK_EQ(world_write(w, 0, IOAPIC, 1, 0x01), 0);
	CHECK_EQ(world_read(w, 0, IOAPIC + 0x10, 8, &val), 0);
	CHECK_EQ(val, 0x170011);
	CHECK_EQ(world_read(w, 0, IOAPIC + 0x10, 2, &val), 0);
	CHECK_EQ(val, 0x11);
	/* A LAPIC's register is read in parts, but not across its end, and is written as a whole. */
	CHECK_EQ(world_read(w, 0, LAPIC + APIC_LVR + 2, 1, &val), 0);
	CHECK_EQ(val, 5);
	CHECK_EQ(world_read(w, 0, LAPIC + APIC_LVR + 2, 4, &val), 0);
	CHECK_EQ(val, 0);
	CHECK_EQ(world_write(w, 0, LAPIC + APIC_TASKPRI, 1, 0x40), 0);
	CHECK_EQ(world_write(w, 0, LAPIC + APIC_TASKPRI, 8, 0x40), 0);
	CHECK_EQ(lapic_read(APIC_TASKPRI), 0);
	/* Behind the page somebody else is asked. */
	CHECK_EQ(world_read(w, 0, LAPIC + PAGE_SIZE, 4, &val), -EOPNOTSUPP);
	CHECK_EQ(world_read(w, 0, IOAPIC + 0x100, 4, &val), -EOPNOTSUPP);
	CHECK_EQ(world_read(w, 0, IOAPIC + 0xfe, 4, &val), -EOPNOTSUPP);
}

/* -------- the LAPIC's timer -------- */

static void divisors(void)
{
	static const u8 tdcr[] = { 0, 1, 2, 3, 8, 9, 10, 11 }, shift[] = { 1, 2, 3, 4, 5, 6, 7, 0 };
	unsigned int i;

	create(1);
	lapic_write(APIC_LVTT, 0x60);
	for (i = 0; i < ARRAY_SIZE(tdcr); i++) {
		lapic_write(APIC_TDCR, tdcr[i]);
		lapic_write(APIC_TMICT, 10000);
		CHECK_EQ(lapic_read(APIC_TMCCT), 10000);
		world_run_until(w, ktime_get() + (4000 << shift[i]));
		CHECK_EQ(lapic_read(APIC_TMCCT), 6000);
		world_run_until(w, ktime_get() + (6000 << shift[i]) - 1);
		CHECK_EQ(take(), -1);
		world_run_until(w, ktime_get() + 1);
		CHECK_EQ(take(), 0x60);
		CHECK_EQ(lapic_read(APIC_TMCCT), 0);
		eoi();
	}
}

static void periods(void)
{
	unsigned int i;

	create(1);
	lapic_write(APIC_TDCR, 0xb);
	lapic_write(APIC_LVTT, 0x60 | APIC_LVT_TIMER_PERIODIC);
	lapic_write(APIC_TMICT, 1000000);
	for (i = 0; i < 5; i++) {
		world_run_until(w, ktime_get() + 999999);
		CHECK_EQ(take(), -1);
		world_run_until(w, ktime_get() + 1);
		CHECK_EQ(take(), 0x60);
		eoi();
	}
	/* It goes on where it was when it moves. */
	world_run_until(w, ktime_get() + 300000);
	move();
	CHECK_EQ(lapic_read(APIC_TMCCT), 700000);
	world_run_until(w, ktime_get() + 700000);
	CHECK_EQ(take(), 0x60);
	/* No more than 5000 a second, whatever the guest asks for. */
	lapic_write(APIC_TMICT, 1);
	w->clock.fired = 0;
	world_run_until(w, ktime_get() + NSEC_PER_SEC);
	CHECK(w->clock.fired <= 5001);
}

static void deadlines(void)
{
	u64 now, val;

	create(1);
	lapic_write(APIC_LVTT, 0x60 | APIC_LVT_TIMER_TSCDEADLINE);
	now = rdtsc();
	CHECK_EQ(world_wrmsr(w, 0, MSR_IA32_TSC_DEADLINE, now + 2000), 0);
	move();
	CHECK_EQ(world_rdmsr(w, 0, MSR_IA32_TSC_DEADLINE, &val), 0);
	CHECK_EQ(val, now + 2000);
	world_run_until(w, ktime_get() + 999);
	CHECK_EQ(take(), -1);
	world_run_until(w, ktime_get() + 2);
	CHECK_EQ(take(), 0x60);
	CHECK_EQ(world_rdmsr(w, 0, MSR_IA32_TSC_DEADLINE, &val), 0);
	CHECK_EQ(val, 0);
	eoi();
	/* One that has been is at once. */
	CHECK_EQ(world_wrmsr(w, 0, MSR_IA32_TSC_DEADLINE, 1), 0);
	CHECK_EQ(take(), 0x60);
	/* The end of time is looked at from hour to hour. */
	CHECK_EQ(world_wrmsr(w, 0, MSR_IA32_TSC_DEADLINE, ~0ull), 0);
	CHECK(clock_next(&w->clock) - ktime_get() <= 3600 * NSEC_PER_SEC + 1);
	world_run_until(w, clock_next(&w->clock));
	CHECK_EQ(take(), -1);
	CHECK(clock_next(&w->clock) != KTIME_MAX);
}

static const struct test tests[] = {
	{ "an edge that meets a mask", masked_edge },
	{ "an edge's pin becomes a level's", edge_becomes_level },
	{ "the RTC's interrupt on its way", rtc_moves },
	{ "a line that nobody lowers", storm },
	{ "remote IRR", remote_irr },
	{ "widths of accesses", widths },
	{ "the timer's divisors", divisors },
	{ "periods", periods },
	{ "deadlines", deadlines },
};

TEST_MAIN(tests)
