// SPDX-License-Identifier: GPL-2.0-only
/* Known answers of the timer: Intel order 231164, and what KVM's ABI adds. */
#include "ktap.h"

#include "peek.h"
#include "world.h"

#define HZ_PIT		1193182
#define TICK_PORT	0x40
#define CONTROL		0x43
#define SPEAKER		0x61

enum { LATCH = 0x00, LSB = 0x10, MSB = 0x20, WORD = 0x30 };
#define SELECT(n)	((n) << 6)
#define MODE(n)		((n) << 1)
/* Read back: status and count, or one of them, of counters as a mask. */
#define BACK_BOTH(mask)	(0xc0 | (mask) << 1)
#define BACK_COUNT(mask) (0xd0 | (mask) << 1)
#define BACK_STATUS(mask) (0xe0 | (mask) << 1)

static struct world *w;
static u64 start;

static void create(void)
{
	w = world_create(&(struct world_config){ .mode = IRQCHIP_KERNEL, .nr_vcpus = 1 });
	start = ktime_get_ns();
	/* Edges of GSI 0 are counted at the IOAPIC's pin. */
	CHECK_EQ(world_write(w, 0, 0xfee00000 + APIC_SPIV, 4, 0x1ff), 0);
	CHECK_EQ(world_write(w, 0, 0xfee00000 + APIC_LVT0, 4, APIC_LVT_MASKED), 0);
	CHECK_EQ(world_write(w, 0, 0xfec00000, 4, 0x10), 0);
	CHECK_EQ(world_write(w, 0, 0xfec00010, 4, 0x40), 0);
}

/* To the moment when so many clocks have passed since create() or from_now(). */
static u64 moment(u64 clocks)
{
	return start + DIV_ROUND_UP(clocks * NSEC_PER_SEC, HZ_PIT);
}

static void at(u64 clocks)
{
	world_run_until(w, moment(clocks));
}

/* Clocks count from here on: what is loaded now has not lost a part of one. */
static void from_now(void)
{
	start = ktime_get_ns();
}

static void control(u8 val)
{
	world_outb(w, CONTROL, val);
}

static void load(int n, u16 count)
{
	world_outb(w, TICK_PORT + n, count);
	world_outb(w, TICK_PORT + n, count >> 8);
}

static u16 read_word(int n)
{
	u16 val = world_inb(w, TICK_PORT + n);

	return val | world_inb(w, TICK_PORT + n) << 8;
}

static u16 latched(int n)
{
	control(SELECT(n) | LATCH);
	return read_word(n);
}

static u8 status(int n)
{
	control(BACK_STATUS(1 << n));
	return world_inb(w, TICK_PORT + n);
}

static bool output(int n)
{
	return status(n) & 0x80;
}

/* Interrupts that came since it was asked last: each is taken and ended. */
static unsigned int ticks(void)
{
	unsigned int n = 0;

	while (world_enter(w, 0, true) == 0x40) {
		CHECK_EQ(world_write(w, 0, 0xfee00000 + APIC_EOI, 4, 0), 0);
		n++;
	}
	return n;
}

/* Over a time in steps, as IRR holds but one. */
static unsigned int ticks_until(u64 clocks, u64 by)
{
	u64 now = (ktime_get_ns() - start) * HZ_PIT / NSEC_PER_SEC;
	unsigned int n = ticks();

	while (now + by <= clocks) {
		now += by;
		at(now);
		n += ticks();
	}
	return n;
}

static void reading(void)
{
	create();
	control(SELECT(1) | WORD | MODE(2));
	load(1, 1000);
	CHECK_EQ(read_word(1), 1000);
	at(400);
	CHECK_EQ(read_word(1), 600);
	/* Low byte, then high byte, of what is there at the time of each. */
	CHECK_EQ(world_inb(w, 0x41), 600 & 0xff);
	at(700);
	CHECK_EQ(world_inb(w, 0x41), 300 >> 8);
	at(999);
	CHECK_EQ(read_word(1), 1);
	at(1000);
	CHECK_EQ(read_word(1), 1000);
	at(5001);
	CHECK_EQ(read_word(1), 999);
	/* One byte only, either of them. */
	control(SELECT(1) | LSB | MODE(2));
	world_outb(w, 0x41, 200);
	at(5011);
	CHECK_EQ(world_inb(w, 0x41), 190);
	CHECK_EQ(world_inb(w, 0x41), 190);
	control(SELECT(1) | MSB | MODE(2));
	world_outb(w, 0x41, 0x20);
	from_now();
	at(1);
	CHECK_EQ(world_inb(w, 0x41), 0x1f);
	/* The control word's own address reads as nothing. */
	CHECK_EQ(world_inb(w, CONTROL), 0);
}

static void latching(void)
{
	create();
	control(SELECT(2) | WORD | MODE(2));
	load(2, 0x8000);
	at(0x100);
	control(SELECT(2) | LATCH);
	at(0x200);
	/* A second latch before the first was read is ignored. */
	control(SELECT(2) | LATCH);
	at(0x300);
	CHECK_EQ(read_word(2), 0x7f00);
	CHECK_EQ(read_word(2), 0x7d00);
	at(0x400);
	CHECK_EQ(latched(2), 0x7c00);
}

static void read_back(void)
{
	create();
	control(SELECT(1) | WORD | MODE(3));
	load(1, 0x1000);
	control(SELECT(2) | LSB | MODE(0));
	world_outb(w, 0x42, 0x80);
	at(0x10);
	/* Status first, then the count, whatever the order in which they are asked for. */
	control(BACK_BOTH(6));
	at(0x20);
	control(BACK_BOTH(2));
	CHECK_EQ(world_inb(w, 0x41), 0x80 | WORD | MODE(3));
	CHECK_EQ(read_word(1), 0x1000 - 0x20);
	CHECK_EQ(world_inb(w, 0x42), LSB | MODE(0));
	CHECK_EQ(world_inb(w, 0x42), 0x70);
	CHECK_EQ(world_inb(w, 0x42), 0x60);
	/* The count alone. */
	control(BACK_COUNT(2));
	CHECK_EQ(read_word(1), 0x1000 - 0x40);
	/* Modes 6 and 7 are 2 and 3. */
	control(SELECT(1) | WORD | MODE(6));
	CHECK_EQ(status(1) & 0x3f, WORD | MODE(2));
	control(SELECT(1) | MSB | MODE(7) | 1);
	CHECK_EQ(status(1) & 0x3f, MSB | MODE(3) | 1);
}

static void terminal_count(void)
{
	create();
	control(SELECT(0) | WORD | MODE(0));
	load(0, 1000);
	CHECK(!output(0));
	at(999);
	CHECK(!output(0));
	CHECK_EQ(ticks(), 0);
	at(1000);
	CHECK(output(0));
	CHECK_EQ(latched(0), 0);
	CHECK_EQ(ticks(), 1);
	/* It counts on, and is over. */
	at(1001);
	CHECK_EQ(latched(0), 0xffff);
	CHECK_EQ(ticks_until(200000, 1000), 0);
	CHECK(output(0));
}

static void rate(void)
{
	create();
	control(SELECT(0) | WORD | MODE(2));
	load(0, 5000);
	CHECK(output(0));
	/* Low for the last clock of each period. */
	at(4998);
	CHECK(output(0));
	at(4999);
	CHECK(!output(0));
	CHECK_EQ(ticks(), 0);
	at(5000);
	CHECK(output(0));
	CHECK_EQ(ticks(), 1);
	CHECK_EQ(ticks_until(1000000, 5000), 199);
	/* A count of 0 is the longest. */
	from_now();
	load(0, 0);
	CHECK_EQ(latched(0), 0);
	at(0xffff);
	CHECK_EQ(latched(0), 1);
	CHECK_EQ(ticks(), 0);
	at(0x10000);
	CHECK_EQ(ticks(), 1);
}

static void square(void)
{
	create();
	control(SELECT(0) | WORD | MODE(3));
	load(0, 6000);
	CHECK(output(0));
	at(1);
	CHECK_EQ(latched(0), 5998);
	at(2999);
	CHECK(output(0));
	CHECK_EQ(latched(0), 2);
	at(3000);
	CHECK(!output(0));
	CHECK_EQ(latched(0), 6000);
	at(5999);
	CHECK(!output(0));
	at(6000);
	CHECK(output(0));
	CHECK_EQ(ticks(), 1);
	CHECK_EQ(ticks_until(600000, 6000), 99);
}

static void one_shots(void)
{
	create();
	/* Mode 1: low from the gate's rising edge for the count; here of the speaker's counter. */
	control(SELECT(2) | WORD | MODE(1));
	load(2, 500);
	at(100);
	from_now();
	world_outb(w, SPEAKER, 1);
	CHECK(!output(2));
	at(499);
	CHECK(!output(2));
	at(500);
	CHECK(output(2));
	/* Modes 4 and 5: high, but for one clock. */
	control(SELECT(2) | WORD | MODE(4));
	from_now();
	load(2, 500);
	CHECK(output(2));
	at(499);
	CHECK(output(2));
	at(500);
	CHECK(!output(2));
	at(501);
	CHECK(output(2));
	/* Of counter 0 mode 4 is a single tick, the modes that want a gate are none. */
	control(SELECT(0) | WORD | MODE(4));
	from_now();
	load(0, 900);
	at(899);
	CHECK_EQ(ticks(), 0);
	at(900);
	CHECK_EQ(ticks(), 1);
	CHECK_EQ(ticks_until(9000, 100), 0);
	control(SELECT(0) | WORD | MODE(5));
	load(0, 500);
	CHECK_EQ(ticks_until(20000, 500), 0);
}

static void speaker(void)
{
	create();
	control(SELECT(2) | WORD | MODE(0));
	load(2, 1000);
	CHECK_EQ(world_inb(w, SPEAKER) & 0x2f, 0);
	world_outb(w, SPEAKER, 3);
	CHECK_EQ(world_inb(w, SPEAKER) & 0x2f, 3);
	at(1000);
	CHECK_EQ(world_inb(w, SPEAKER) & 0x2f, 0x23);
	/* The gate that stays open starts nothing anew, one that opens does. */
	world_outb(w, SPEAKER, 1);
	CHECK_EQ(world_inb(w, SPEAKER) & 0x2f, 0x21);
	world_outb(w, SPEAKER, 0);
	world_outb(w, SPEAKER, 1);
	CHECK_EQ(world_inb(w, SPEAKER) & 0x2f, 0x01);
	/* Bit 4 changes with time: memory is refreshed. */
	at(1000);
	{
		u8 before = world_inb(w, SPEAKER) & 0x10;

		at(1020);
		CHECK_EQ(world_inb(w, SPEAKER) & 0x10, before ^ 0x10);
	}
}

/* A guest may not keep its host busy: no more than 5000 ticks a second. */
static void shortest_period(void)
{
	create();
	control(SELECT(0) | WORD | MODE(2));
	load(0, 2);
	CHECK_EQ(peek_pit_deadline(w), start + 200000);
	world_run_until(w, start + NSEC_PER_SEC);
	CHECK_EQ(w->clock.fired, 5000);
}

/* Ticks that the guest could not take wait for it; without reinjection they are lost. */
static void reinjection(bool on)
{
	create();
	mutex_lock(&w->vm.lock);
	pit_set_reinject(&w->vm, on);
	mutex_unlock(&w->vm.lock);
	/* The PIC's line, taken slowly. */
	CHECK_EQ(world_write(w, 0, 0xfec00010, 4, 0x10040), 0);
	CHECK_EQ(world_write(w, 0, 0xfee00000 + APIC_LVT0, 4, APIC_DM_EXTINT), 0);
	world_outb(w, 0x20, 0x11);
	world_outb(w, 0x21, 0x30);
	world_outb(w, 0x21, 4);
	world_outb(w, 0x21, 1);
	control(SELECT(0) | WORD | MODE(2));
	load(0, 5000);
	at(20000);
	CHECK_EQ(world_enter(w, 0, true), 0x30);
	CHECK_EQ(world_enter(w, 0, true), -1);
	world_outb(w, 0x20, 0x20);
	CHECK_EQ(world_enter(w, 0, true), on ? 0x30 : -1);
	world_outb(w, 0x20, 0x20);
	/* What came before its line is unmasked is not for the guest. */
	world_outb(w, 0x21, 0xff);
	at(40000);
	world_outb(w, 0x21, 0xfe);
	CHECK_EQ(world_enter(w, 0, true), 0x30);
	world_outb(w, 0x20, 0x20);
	CHECK_EQ(world_enter(w, 0, true), -1);
}

static void reinject(void)
{
	reinjection(true);
}

static void no_reinject(void)
{
	reinjection(false);
}

static void state(void)
{
	struct kvm_pit_state2 s;

	create();
	control(SELECT(0) | WORD | MODE(2));
	load(0, 10000);
	world_outb(w, SPEAKER, 2);
	at(12500);
	CHECK_EQ(pit_get(&w->vm, &s), 0);
	CHECK_EQ(s.channels[0].count, 10000);
	CHECK_EQ(s.channels[0].mode, 2);
	CHECK_EQ(s.channels[0].count_load_time, start);
	CHECK_EQ(s.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
	/* The phase stays. */
	CHECK_EQ(pit_set(&w->vm, &s), 0);
	CHECK_EQ(latched(0), 7500);
	CHECK((u64)(peek_pit_deadline(w) - moment(20000)) + 1 <= 2);
	/* HPET has the line. */
	s.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
	CHECK_EQ(pit_set(&w->vm, &s), 0);
	CHECK_EQ(peek_pit_deadline(w), KTIME_MAX);
	load(0, 3000);
	CHECK_EQ(peek_pit_deadline(w), KTIME_MAX);
	/* A time that is none of this host's is now; a mode that is none is no mode. */
	s.flags = 0;
	s.channels[0].count_load_time = ktime_get() + 1000000;
	s.channels[1].mode = 17;
	CHECK_EQ(pit_set(&w->vm, &s), 0);
	CHECK_EQ(latched(0), 10000);
	CHECK_EQ(pit_get(&w->vm, &s), 0);
	CHECK_EQ(s.channels[1].mode, 0xff);
}

static const struct test tests[] = {
	{ "reading counts", reading },
	{ "latched counts", latching },
	{ "read back", read_back },
	{ "mode 0", terminal_count },
	{ "mode 2", rate },
	{ "mode 3", square },
	{ "modes 1, 4 and 5", one_shots },
	{ "port 0x61", speaker },
	{ "the shortest period", shortest_period },
	{ "reinjection", reinject },
	{ "no reinjection", no_reinject },
	{ "state", state },
};

TEST_MAIN(tests)
