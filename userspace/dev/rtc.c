// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time is the host's plus what the guest has set it off by. Update-ended and alarm
 * interrupts come from a timer that ticks once a second while they are enabled;
 * the periodic interrupt does not exist.
 */
#include "dev/rtc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device.h"
#include "machine.h"
#include "stream.h"
#include "util/msg.h"
#include "util/time.h"

#define RTC_PORT	0x70
#define RTC_IRQ		8
#define RTC_CELLS	128
#define ALARM_SECONDS	86400		/* an alarm that is missed by more has been another day's */
#define RTC_OFFSET_MAX	1000000000000ll	/* seconds: further than any date in the cells */

enum {
	RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM,
	RTC_HOURS, RTC_HOURS_ALARM, RTC_WEEKDAY, RTC_DAY, RTC_MONTH, RTC_YEAR,
	RTC_A, RTC_B, RTC_C, RTC_D,
	RTC_CENTURY = 0x32,
};

enum {
	RTC_A_UIP = 0x80,
	RTC_A_DIVIDER = 0x26,
	RTC_B_SET = 0x80,
	RTC_B_AIE = 0x20,
	RTC_B_UIE = 0x10,
	RTC_B_BINARY = 0x04,
	RTC_B_24H = 0x02,
	RTC_C_IRQF = 0x80,
	RTC_C_AF = 0x20,
	RTC_C_UF = 0x10,
	RTC_D_VALID = 0x80,
	RTC_HOUR_PM = 0x80,
	RTC_ALARM_ANY = 0xc0,
};

struct rtc {
	struct device dev;
	struct bus_region region;
	struct loop_timer timer;
	pthread_mutex_t lock;		/* all below */
	uint8_t index;
	uint8_t cells[RTC_CELLS];	/* time in them only while B has SET */
	int64_t offset;			/* guest's seconds minus the host's */
	bool ticking;
	int64_t ticked;			/* the second of the last tick */
};

/* ---- time; the lock is held ---- */

static uint8_t rtc_encode(const struct rtc *rtc, int value)
{
	if (rtc->cells[RTC_B] & RTC_B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 << 4 | value % 10);
}

static int rtc_decode(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cells[RTC_B] & RTC_B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 15);
}

static uint8_t rtc_encode_hour(const struct rtc *rtc, int hour)
{
	uint8_t pm = hour >= 12 ? RTC_HOUR_PM : 0;

	if (rtc->cells[RTC_B] & RTC_B_24H)
		return rtc_encode(rtc, hour);
	return rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | pm;
}

static int rtc_decode_hour(const struct rtc *rtc, uint8_t value)
{
	int hour;

	if (rtc->cells[RTC_B] & RTC_B_24H)
		return rtc_decode(rtc, value);
	hour = rtc_decode(rtc, value & (uint8_t)~RTC_HOUR_PM) % 12;
	return value & RTC_HOUR_PM ? hour + 12 : hour;
}

/* A guest may set a date that four digits do not hold, by what it writes into their cells. */
static int rtc_year(const struct tm *tm)
{
	long year = tm->tm_year + 1900l;

	return year < 0 ? 0 : year > 9999 ? 9999 : (int)year;
}

static void rtc_fill(struct rtc *rtc, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	rtc->cells[RTC_SECONDS] = rtc_encode(rtc, tm.tm_sec);
	rtc->cells[RTC_MINUTES] = rtc_encode(rtc, tm.tm_min);
	rtc->cells[RTC_HOURS] = rtc_encode_hour(rtc, tm.tm_hour);
	rtc->cells[RTC_WEEKDAY] = rtc_encode(rtc, tm.tm_wday + 1);
	rtc->cells[RTC_DAY] = rtc_encode(rtc, tm.tm_mday);
	rtc->cells[RTC_MONTH] = rtc_encode(rtc, tm.tm_mon + 1);
	rtc->cells[RTC_YEAR] = rtc_encode(rtc, rtc_year(&tm) % 100);
	rtc->cells[RTC_CENTURY] = rtc_encode(rtc, rtc_year(&tm) / 100);
}

static int64_t rtc_now(const struct rtc *rtc)
{
	return (int64_t)time(NULL) + rtc->offset;
}

/* The cells show the time, unless the guest is setting it. */
static void rtc_update(struct rtc *rtc)
{
	if (!(rtc->cells[RTC_B] & RTC_B_SET))
		rtc_fill(rtc, rtc_now(rtc));
}

static void rtc_set_time(struct rtc *rtc)
{
	struct tm tm = {
		.tm_sec = rtc_decode(rtc, rtc->cells[RTC_SECONDS]),
		.tm_min = rtc_decode(rtc, rtc->cells[RTC_MINUTES]),
		.tm_hour = rtc_decode_hour(rtc, rtc->cells[RTC_HOURS]),
		.tm_mday = rtc_decode(rtc, rtc->cells[RTC_DAY]),
		.tm_mon = rtc_decode(rtc, rtc->cells[RTC_MONTH]) - 1,
		.tm_year = rtc_decode(rtc, rtc->cells[RTC_CENTURY]) * 100 +
			   rtc_decode(rtc, rtc->cells[RTC_YEAR]) - 1900,
	};

	rtc->offset = (int64_t)timegm(&tm) - (int64_t)time(NULL);
	rtc->ticked = rtc_now(rtc);
}

/* ---- interrupts; the lock is held ---- */

/* The pending line follows C: IRQF is the sum of what is enabled in B. */
static void rtc_raise(struct rtc *rtc, uint8_t flags)
{
	rtc->cells[RTC_C] |= flags;
	if (!(rtc->cells[RTC_C] & rtc->cells[RTC_B] & (RTC_C_AF | RTC_C_UF)))
		return;
	rtc->cells[RTC_C] |= RTC_C_IRQF;
	irq_line(rtc->dev.m, RTC_IRQ, 1);
}

static uint8_t rtc_read_c(struct rtc *rtc)
{
	uint8_t value = rtc->cells[RTC_C];

	rtc->cells[RTC_C] = 0;
	irq_line(rtc->dev.m, RTC_IRQ, 0);
	return value;
}

static bool rtc_alarm_part(const struct rtc *rtc, unsigned int alarm,
			   unsigned int cell)
{
	uint8_t wanted = rtc->cells[alarm];

	return (wanted & RTC_ALARM_ANY) == RTC_ALARM_ANY ||
	       wanted == rtc->cells[cell];
}

static bool rtc_alarm_is_now(const struct rtc *rtc)
{
	return rtc_alarm_part(rtc, RTC_SECONDS_ALARM, RTC_SECONDS) &&
	       rtc_alarm_part(rtc, RTC_MINUTES_ALARM, RTC_MINUTES) &&
	       rtc_alarm_part(rtc, RTC_HOURS_ALARM, RTC_HOURS);
}

/* Each second since the last tick counts: this thread may come late. The cells show the present in the end. */
static bool rtc_alarm_was(struct rtc *rtc)
{
	int64_t now = rtc_now(rtc), t = rtc->ticked + 1;
	bool was = false;

	/* the clock was set, or it comes very late */
	if (t > now || t <= now - ALARM_SECONDS)
		t = now;
	for (; t <= now; t++) {
		rtc_fill(rtc, t);
		was |= rtc_alarm_is_now(rtc);
	}
	rtc->ticked = now;
	return was;
}

static void rtc_tick(struct loop_timer *timer)
{
	struct rtc *rtc = timer->opaque;

	pthread_mutex_lock(&rtc->lock);
	if (!(rtc->cells[RTC_B] & RTC_B_SET))
		rtc_raise(rtc, rtc_alarm_was(rtc) ? RTC_C_UF | RTC_C_AF : RTC_C_UF);
	pthread_mutex_unlock(&rtc->lock);
}

/* The tick comes just after the host's second has changed. */
static void rtc_update_timer(struct rtc *rtc)
{
	bool want = rtc->cells[RTC_B] & (RTC_B_AIE | RTC_B_UIE);
	struct timespec now;

	if (want == rtc->ticking)
		return;
	rtc->ticking = want;
	rtc->ticked = rtc_now(rtc);
	clock_gettime(CLOCK_REALTIME, &now);
	if (want)
		loop_timer_set(&rtc->timer, NSEC_PER_SEC + 1000000 -
			       (uint64_t)now.tv_nsec, NSEC_PER_SEC);
	else
		loop_timer_set(&rtc->timer, 0, 0);
}

/* ---- cells; the lock is held ---- */

static uint8_t rtc_read_cell(struct rtc *rtc)
{
	switch (rtc->index) {
	case RTC_A:	/* never caught in the act of updating */
		return rtc->cells[RTC_A] & (uint8_t)~RTC_A_UIP;
	case RTC_C:
		return rtc_read_c(rtc);
	case RTC_D:
		return RTC_D_VALID;
	}
	rtc_update(rtc);
	return rtc->cells[rtc->index];
}

static bool rtc_is_time(unsigned int index)
{
	return index == RTC_CENTURY || index == RTC_SECONDS ||
	       index == RTC_MINUTES || index == RTC_HOURS ||
	       (index >= RTC_WEEKDAY && index <= RTC_YEAR);
}

/* What is written to a running clock takes effect at once. */
static void rtc_write_time(struct rtc *rtc, uint8_t value)
{
	rtc_update(rtc);
	rtc->cells[rtc->index] = value;
	if (!(rtc->cells[RTC_B] & RTC_B_SET))
		rtc_set_time(rtc);
}

static void rtc_write_b(struct rtc *rtc, uint8_t value)
{
	uint8_t old = rtc->cells[RTC_B];

	if (!(old & RTC_B_SET))
		rtc_update(rtc);
	rtc->cells[RTC_B] = value;
	if (old & RTC_B_SET && !(value & RTC_B_SET))
		rtc_set_time(rtc);
	rtc_update_timer(rtc);
}

static void rtc_write_cell(struct rtc *rtc, uint8_t value)
{
	if (rtc_is_time(rtc->index))
		rtc_write_time(rtc, value);
	else if (rtc->index == RTC_B)
		rtc_write_b(rtc, value);
	else if (rtc->index != RTC_C && rtc->index != RTC_D)
		rtc->cells[rtc->index] = value;
}

/* ---- bus ---- */

static void rtc_read(void *opaque, uint64_t off, void *data, unsigned int len)
{
	struct rtc *rtc = opaque;
	uint8_t *bytes = data;

	memset(data, 0xff, len);
	if (off + len != 2)	/* the index cannot be read back */
		return;
	pthread_mutex_lock(&rtc->lock);
	bytes[len - 1] = rtc_read_cell(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static void rtc_write(void *opaque, uint64_t off, const void *data,
		      unsigned int len)
{
	struct rtc *rtc = opaque;
	const uint8_t *bytes = data;

	pthread_mutex_lock(&rtc->lock);
	for (; len; len--, off++, bytes++) {
		if (off == 0)	/* bit 7 masks NMIs, which do not exist */
			rtc->index = *bytes & (RTC_CELLS - 1);
		else
			rtc_write_cell(rtc, *bytes);
	}
	pthread_mutex_unlock(&rtc->lock);
}

/* ---- device ---- */

static struct rtc *rtc_of(struct device *dev)
{
	return container_of(dev, struct rtc, dev);
}

static void rtc_put16(struct rtc *rtc, unsigned int cell, uint64_t value)
{
	if (value > 0xffff)
		value = 0xffff;
	bus_put(&rtc->cells[cell], 2, value);
}

/* Memory sizes where PC firmware leaves them. */
static void rtc_fill_sizes(struct rtc *rtc)
{
	const struct mem *mem = &rtc->dev.m->mem;
	uint64_t above_1m = mem->low - MIB(1);
	uint64_t above_16m = mem->low > MIB(16) ? mem->low - MIB(16) : 0;

	rtc_put16(rtc, 0x15, 640);
	rtc_put16(rtc, 0x17, above_1m >> 10);
	rtc_put16(rtc, 0x30, above_1m >> 10);
	rtc_put16(rtc, 0x34, above_16m >> 16);
	bus_put(&rtc->cells[0x5b], 3, mem->high >> 16);
}

/* The clock runs from a battery: a reset only stops its interrupts. */
static void rtc_reset(struct device *dev)
{
	struct rtc *rtc = rtc_of(dev);

	pthread_mutex_lock(&rtc->lock);
	rtc->index = 0;
	rtc->cells[RTC_B] &= (uint8_t)~(RTC_B_AIE | RTC_B_UIE);
	rtc_read_c(rtc);
	rtc_update_timer(rtc);
	pthread_mutex_unlock(&rtc->lock);
}

static int rtc_realize(struct device *dev)
{
	struct rtc *rtc = rtc_of(dev);
	int err;

	pthread_mutex_init(&rtc->lock, NULL);
	rtc->cells[RTC_A] = RTC_A_DIVIDER;
	rtc->cells[RTC_B] = RTC_B_24H;
	rtc_fill_sizes(rtc);
	rtc->timer.fire = rtc_tick;
	rtc->timer.opaque = rtc;
	err = loop_timer_init(&dev->m->loop, &rtc->timer);
	if (err)
		return msg_fail(err, "rtc: timerfd: %s", strerror(-err));
	rtc->region = (struct bus_region){
		.kind = BUS_PIO, .base = RTC_PORT, .size = 2,
		.read = rtc_read, .write = rtc_write, .opaque = rtc,
		.name = dev->name,
	};
	err = bus_add(dev->m, &rtc->region);
	if (err)
		loop_timer_destroy(&dev->m->loop, &rtc->timer);
	return err;
}

static int rtc_save(struct device *dev, struct stream *s)
{
	const struct rtc *rtc = rtc_of(dev);

	stream_put_u8(s, rtc->index);
	stream_put_bytes(s, rtc->cells, sizeof(rtc->cells));
	stream_put_u64(s, (uint64_t)rtc->offset);
	return 0;
}

static int rtc_load(struct device *dev, struct stream *s, uint32_t version)
{
	struct rtc *rtc = rtc_of(dev);

	(void)version;
	rtc->index = stream_get_u8(s) & (RTC_CELLS - 1);
	stream_get_bytes(s, rtc->cells, sizeof(rtc->cells));
	rtc->offset = (int64_t)stream_get_u64(s);
	if (rtc->offset > RTC_OFFSET_MAX || rtc->offset < -RTC_OFFSET_MAX) {
		rtc->offset = 0;
		return -EPROTO;
	}
	rtc_update_timer(rtc);
	irq_line(dev->m, RTC_IRQ, !!(rtc->cells[RTC_C] & RTC_C_IRQF));
	return 0;
}

static void rtc_unrealize(struct device *dev)
{
	struct rtc *rtc = rtc_of(dev);

	bus_remove(dev->m, &rtc->region);
	loop_timer_destroy(&dev->m->loop, &rtc->timer);
	pthread_mutex_destroy(&rtc->lock);
	free(rtc);
}

static const struct device_ops rtc_ops = {
	.version = 1,
	.realize = rtc_realize,
	.reset = rtc_reset,
	.save = rtc_save,
	.load = rtc_load,
	.unrealize = rtc_unrealize,
};

int rtc_create(struct machine *m)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int err;

	if (!rtc)
		return msg_fail(-ENOMEM, "out of memory");
	rtc->dev.ops = &rtc_ops;
	rtc->dev.name = "rtc";
	err = device_register(m, &rtc->dev);
	if (err)
		free(rtc);
	return err;
}
