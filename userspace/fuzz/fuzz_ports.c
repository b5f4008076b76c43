// SPDX-License-Identifier: GPL-2.0-only
/* The board's ports: serial line, clock, keyboard controller, power management. The terminal is the input's as well. */
#include "dev/acpi_pm.h"
#include "dev/i8042.h"
#include "dev/rtc.h"
#include "dev/serial.h"
#include "device.h"
#include "fuzz/noterm.h"
#include "fuzz/rig.h"
#include "util/list.h"

#define OPS_MAX	400

static struct board b;

static uint16_t port(struct fuzz_in *in)
{
	static const struct {
		uint16_t base, size;
	} ranges[] = {
		{ 0x3f8, 8 }, { 0x70, 2 }, { 0x60, 1 }, { 0x64, 1 }, { BOARD_PM_BASE, ACPI_PM_SIZE }, { 0, 0xffff },
	};
	unsigned int i = fuzz_u8(in) % ARRAY_SIZE(ranges);

	return (uint16_t)(ranges[i].base + fuzz_u16(in) % ranges[i].size);
}

static void out(struct fuzz_in *in)
{
	uint16_t at = port(in);
	uint64_t value = fuzz_u64(in);

	bus_write(&b.m.bus, BUS_PIO, at, &value, 1u << (fuzz_u8(in) & 3));
}

static void get(struct fuzz_in *in)
{
	uint16_t at = port(in);
	uint64_t value;

	bus_read(&b.m.bus, BUS_PIO, at, &value, 1u << (fuzz_u8(in) & 3));
}

/* Index and data in one */
static void clock_set(struct fuzz_in *in)
{
	uint16_t value = fuzz_u16(in);

	bus_write(&b.m.bus, BUS_PIO, 0x70, &value, 2);
}

static void type(struct fuzz_in *in)
{
	size_t len, room = sink->room(sink);
	const uint8_t *data = fuzz_take(in, fuzz_u8(in), &len);

	fuzz_assert(room <= 16);
	if (len > room)
		len = room;
	if (len)
		sink->input(sink, data, len);
}

static void button(struct fuzz_in *in)
{
	(void)in;
	acpi_pm_press_power_button(&b.m);
}

static void reload(struct fuzz_in *in)
{
	(void)in;
	rig_reload(&b);
}

static void reset(struct fuzz_in *in)
{
	(void)in;
	devices_reset(&b.m);
}

static void (*const ops[])(struct fuzz_in *in) = { out, get, clock_set, type, button, reload, reset };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	if (!sink) {
		rig_init(&b, 2 * 1024 * 1024);
		fuzz_assert(!acpi_pm_create(&b.m) && !i8042_create(&b.m) && !rtc_create(&b.m) && !serial_create(&b.m));
	}
	devices_reset(&b.m);
	for (unsigned int i = 0; in.left && i < OPS_MAX; i++)
		ops[fuzz_u8(&in) % ARRAY_SIZE(ops)](&in);
	rig_pump(&b);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static const uint8_t seeds[][40] = {
		/* FIFO on, RTS, input, read it */
		{ 0, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 'a', 'b', 'c', 'd', 1, 0 },
		/* loopback, output, modem lines */
		{ 0, 0, 4, 0, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'x', 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 6, 0, 0, 5, 1, 0, 5 },
		/* clock: stop it, a date that is none, go on; alarms */
		{ 2, 0x0b, 0x86, 2, 0x09, 0xff, 2, 0x08, 0xff, 2, 0x07, 0xee, 2, 0x32, 0xff, 2, 0x0b, 0x36, 2, 0x0c, 0, 5 },
		/* SLP_EN */
		{ 4, 0, 4, 4, 0, 0, 0x34, 0, 0, 0, 0, 0, 0, 0, 1, 1, 4, 8, 0, 2 },
		{ 0, 3, 0, 0, 0xd1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0 },
	};

	if (i >= ARRAY_SIZE(seeds))
		return 0;
	memcpy(data, seeds[i], sizeof(seeds[i]));
	return sizeof(seeds[i]);
}
