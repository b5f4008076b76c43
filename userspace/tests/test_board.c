// SPDX-License-Identifier: GPL-2.0-only
/* Clock, power management and keyboard controller. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "dev/acpi_pm.h"
#include "dev/i8042.h"
#include "dev/rtc.h"
#include "device.h"
#include "section.h"
#include "stream.h"
#include "tests/board.h"
#include "tests/tap.h"
#include "util/list.h"

static struct board b;

static uint32_t in(unsigned int port, unsigned int len)
{
	uint32_t value = 0;

	bus_read(&b.m.bus, BUS_PIO, port, &value, len);
	return value;
}

static void out(unsigned int port, unsigned int len, uint32_t value)
{
	bus_write(&b.m.bus, BUS_PIO, port, &value, len);
}

static uint8_t cmos(uint8_t index)
{
	out(0x70, 1, index);
	return (uint8_t)in(0x71, 1);
}

static void cmos_set(uint8_t index, uint8_t value)
{
	out(0x70, 1, index);
	out(0x71, 1, value);
}

static int bcd(uint8_t value)
{
	return (value >> 4) * 10 + (value & 15);
}

static void test_clock(void)
{
	time_t t = time(NULL), seen;
	struct tm tm = { 0 };

	tm.tm_sec = bcd(cmos(0));
	tm.tm_min = bcd(cmos(2));
	tm.tm_hour = bcd(cmos(4));
	tm.tm_mday = bcd(cmos(7));
	tm.tm_mon = bcd(cmos(8)) - 1;
	tm.tm_year = bcd(cmos(9)) + bcd(cmos(0x32)) * 100 - 1900;
	seen = timegm(&tm);
	/* A minute may have passed between the cells. */
	ok(seen >= t - 60 && seen <= t + 61, "the host's time");
	ok(cmos(0xd) == 0x80 && !(cmos(0xa) & 0x80), "valid, not updating");
	cmos_set(0xb, 0x82);
	cmos_set(9, 0x31);
	cmos_set(8, 0x12);
	cmos_set(7, 0x25);
	cmos_set(4, 0x23);
	cmos_set(0xb, 0x02);
	ok(cmos(9) == 0x31 && cmos(8) == 0x12 && cmos(7) == 0x25 &&
	   cmos(4) == 0x23, "a time that the guest has set");
	cmos_set(0xb, 0x06);
	ok(cmos(9) == 31 && cmos(4) == 23, "in binary");
	cmos_set(0xb, 0x04);
	ok(cmos(4) == (0x80 | 11), "in 12 hours");
	cmos_set(0xb, 0x02);
	ok(cmos(0x34) == 0 && cmos(0x17) == 0 && cmos(0x18) == 15360 >> 8,
	   "memory sizes");
	cmos_set(0x40, 0xab);
	ok(cmos(0x40) == 0xab, "free cells keep what is written");
}

static void test_clock_irq(void)
{
	board_start_loop(&b);
	cmos(0xc);
	cmos_set(0xb, 0x12);
	for (int i = 0; i < 30 && !fake.line[8]; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	ok(fake.line[8], "update-ended interrupt");
	ok((cmos(0xc) & 0x90) == 0x90 && !fake.line[8], "reading C ends it");
	cmos_set(0xb, 0x02);
	board_stop_loop(&b);
	b.m.loop.stopped = false;
}

/* In the next second, which the loop sleeps through. */
static void test_late_alarm(void)
{
	int second = (cmos(0) >> 4) * 10 + (cmos(0) & 15);

	second = (second + 1) % 60;
	cmos_set(1, (uint8_t)(second / 10 << 4 | second % 10));
	cmos_set(3, 0xc0);
	cmos_set(5, 0xc0);
	cmos(0xc);
	cmos_set(0xb, 0x22);
	nanosleep(&(struct timespec){ .tv_sec = 3, .tv_nsec = 200000000 }, NULL);
	ok(!fake.line[8], "nobody ticks");
	board_start_loop(&b);
	ok(wait_for(fake.line[8]) && (cmos(0xc) & 0xa0) == 0xa0, "an alarm that was missed meanwhile");
	cmos_set(0xb, 0x02);
	board_stop_loop(&b);
	b.m.loop.stopped = false;
}

static void test_pm(void)
{
	uint32_t before = in(BOARD_PM_BASE + 8, 4);

	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	ok(in(BOARD_PM_BASE + 8, 4) == before, "the PM timer stands still with the guest");
	fake.clock += 100000000000;
	ok(in(BOARD_PM_BASE + 8, 4) - before == 357954500, "and counts kvmclock");
	ok(in(BOARD_PM_BASE + 4, 2) & 1, "always in ACPI mode");
	acpi_pm_press_power_button(&b.m);
	ok(!fake.line[BOARD_SCI] && in(BOARD_PM_BASE, 2) == 0x100,
	   "power button: status without SCI");
	out(BOARD_PM_BASE + 2, 2, 0x100);
	ok(fake.line[BOARD_SCI], "SCI once enabled");
	ok(in(BOARD_PM_BASE, 4) == 0x01000100, "both halves at once");
	out(BOARD_PM_BASE, 2, 0x100);
	ok(!fake.line[BOARD_SCI] && !in(BOARD_PM_BASE, 2), "acknowledged");
}

static void test_reset(void)
{
	fake.resets = 0;
	out(0x64, 1, 0xfe);
	ok(fake.resets == 1, "reset by the pulse command");
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xdf);
	ok(fake.resets == 1, "A20 is no reset");
	out(0x64, 1, 0xd1);
	out(0x60, 1, 0xde);
	ok(fake.resets == 2, "reset by the output port");
	out(0x60, 1, 0);
	ok(fake.resets == 2 && !in(0x64, 1), "data without command");
}

static void test_state(void)
{
	struct stream s;

	cmos_set(0x41, 0x99);
	out(BOARD_PM_BASE + 2, 2, 0x100);
	acpi_pm_press_power_button(&b.m);
	stream_init(&s);
	ok(!devices_save(&b.m, &s), "save");
	cmos_set(0x41, 0);
	devices_reset(&b.m);
	ok(!fake.line[BOARD_SCI] && !in(BOARD_PM_BASE, 4), "reset");
	ok(!board_load(&b, &s) && cmos(0x41) == 0x99 &&
	   in(BOARD_PM_BASE, 4) == 0x01000100 && fake.line[BOARD_SCI], "load");
	stream_destroy(&s);
}

/* Dates that four digits do not hold, and a distance from now that none of them has. */
static void test_absurd_dates(void)
{
	static const uint8_t cells[] = { 0, 2, 4, 7, 8, 9, 0x32 };
	struct device *rtc = device_find(&b.m, "rtc");
	struct section sec = { .version = 1 };
	size_t i;

	for (unsigned int value = 0; value < 256; value++) {
		for (i = 0; i < ARRAY_SIZE(cells); i++)
			cmos_set(cells[i], (uint8_t)value);
		cmos_set(0x0b, value & 1 ? 0x06 : 0x02);
		for (i = 0; i < ARRAY_SIZE(cells); i++)
			cmos(cells[i]);
	}
	ok(true, "absurd dates");
	stream_init(&sec.body);
	ok(!rtc->ops->save(rtc, &sec.body), "and they can be saved");
	ok(!device_load(rtc, &sec), "and loaded");
	memset(sec.body.data + sec.body.len - 8, 0x7f, 8);
	sec.body.pos = 0;
	ok(device_load(rtc, &sec) == -EPROTO, "a distance from now that no date has is refused");
	section_destroy(&sec);
}

int main(void)
{
	board_init(&b);
	ok(!rtc_create(&b.m) && !acpi_pm_create(&b.m) && !i8042_create(&b.m),
	   "create");
	test_clock();
	test_clock_irq();
	test_late_alarm();
	test_pm();
	test_reset();
	test_state();
	test_absurd_dates();
	board_destroy(&b);
	return tap_done();
}
