// SPDX-License-Identifier: GPL-2.0-only
/* Regions, overlaps, accesses across borders. */
#include <errno.h>
#include <string.h>

#include "machine.h"
#include "tests/tap.h"

static struct machine m;
static uint64_t last_off, last_value;

static void toy_read(void *opaque, uint64_t off, void *data, unsigned int len)
{
	(void)opaque;
	last_off = off;
	bus_put(data, len, 0x1122334455667788ull);
}

static void toy_write(void *opaque, uint64_t off, const void *data,
		      unsigned int len)
{
	(void)opaque;
	last_off = off;
	last_value = bus_get(data, len);
}

static struct bus_region region(enum bus_kind kind, uint64_t base,
				uint64_t size)
{
	return (struct bus_region){ .kind = kind, .base = base, .size = size,
				    .read = toy_read, .write = toy_write };
}

static uint64_t get(enum bus_kind kind, uint64_t addr, unsigned int len)
{
	uint64_t value = 0;

	bus_read(&m.bus, kind, addr, &value, len);
	return value;
}

static void test_overlap(void)
{
	struct bus_region a = region(BUS_PIO, 0x100, 8);
	struct bus_region b = region(BUS_PIO, 0x107, 8);
	struct bus_region c = region(BUS_PIO, 0xf0, 0x11);
	struct bus_region d = region(BUS_PIO, 0x108, 1);
	struct bus_region e = region(BUS_PIO, 0xff, 1);
	struct bus_region f = region(BUS_MMIO, 0x100, 8);

	ok(!bus_add(&m, &a), "a region");
	ok(bus_add(&m, &b) == -EEXIST, "one that overlaps its end");
	ok(bus_add(&m, &c) == -EEXIST, "one that overlaps its beginning");
	ok(bus_add(&m, &a) == -EEXIST, "itself again");
	ok(!bus_add(&m, &d) && !bus_add(&m, &e), "neighbours");
	ok(!bus_add(&m, &f), "the other address space is another");
	bus_remove(&m, &a);
	bus_remove(&m, &c);
	bus_remove(&m, &c);
	bus_remove(&m, &d);
	bus_remove(&m, &e);
	bus_remove(&m, &f);
	ok(!m.bus.space[BUS_PIO].nr && !m.bus.space[BUS_MMIO].nr,
	   "all are gone");
}

static void test_bad(void)
{
	struct bus_region a = region(BUS_MMIO, 0x1000, 0);
	struct bus_region b = region(BUS_MMIO, UINT64_MAX - 3, 5);
	struct bus_region c = region(BUS_MMIO, UINT64_MAX - 3, 4);
	struct bus_region d = region(BUS_KINDS, 0, 4);

	ok(bus_add(&m, &a) == -EINVAL, "an empty region");
	ok(bus_add(&m, &b) == -EINVAL, "one that wraps");
	ok(!bus_add(&m, &c), "one at the very end");
	ok(get(BUS_MMIO, UINT64_MAX - 3, 4) == 0x55667788, "which answers");
	ok(bus_add(&m, &d) == -EINVAL, "no such bus");
	bus_remove(&m, &c);
}

static void test_access(void)
{
	struct bus_region a = region(BUS_PIO, 0x100, 8);
	struct bus_region mute = { .kind = BUS_PIO, .base = 0x200, .size = 4 };
	uint32_t value = 0xa1b2c3d4;

	bus_add(&m, &a);
	bus_add(&m, &mute);
	ok(get(BUS_PIO, 0x104, 2) == 0x7788 && last_off == 4, "a read");
	bus_write(&m.bus, BUS_PIO, 0x100, &value, 4);
	ok(last_value == value && !last_off, "a write");
	ok(get(BUS_PIO, 0x106, 4) == 0xffffffff, "an access across the end");
	ok(get(BUS_PIO, 0xff, 2) == 0xffff, "and across the beginning");
	ok(get(BUS_PIO, 0x300, 1) == 0xff, "nobody there: ones");
	ok(get(BUS_PIO, 0x200, 4) == 0xffffffff, "no handler: ones");
	last_value = 0;
	bus_write(&m.bus, BUS_PIO, 0x200, &value, 4);
	bus_write(&m.bus, BUS_PIO, 0x300, &value, 4);
	ok(!last_value, "writes to nobody vanish");
	bus_remove(&m, &a);
	bus_remove(&m, &mute);
}

static void test_many(void)
{
	static struct bus_region many[200];
	bool good = true;

	/* In an order that is neither up nor down: 7 and 200 have no factor in common. */
	for (unsigned int i = 0; i < 200; i++) {
		many[i] = region(BUS_MMIO, 0x1000 * (uint64_t)(i * 7 % 200),
				 0x1000);
		good = good && !bus_add(&m, &many[i]);
	}
	ok(good, "200 regions side by side");
	for (uint64_t i = 0; i < 200; i++) {
		get(BUS_MMIO, 0x1000 * i + i, 1);
		good = good && last_off == i;
	}
	ok(good, "each answers");
	for (unsigned int i = 0; i < 200; i++)
		bus_remove(&m, &many[i]);
}

int main(void)
{
	bus_init(&m.bus);
	test_overlap();
	test_bad();
	test_access();
	test_many();
	bus_destroy(&m.bus);
	return tap_done();
}
