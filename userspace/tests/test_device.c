// SPDX-License-Identifier: GPL-2.0-only
/* The device list: order, save and load, and states that are not to be trusted. */
#include <errno.h>
#include <string.h>

#include "device.h"
#include "stream.h"
#include "tests/board.h"
#include "tests/tap.h"

static struct board b;
static char order[64];

struct toy {
	struct device dev;
	uint32_t value;
	bool refuse, greedy;
};

static struct toy *toy_of(struct device *dev)
{
	return container_of(dev, struct toy, dev);
}

static void note(const char *what, const struct device *dev)
{
	strncat(order, what, 8);
	strncat(order, dev->name, 8);
}

static int toy_realize(struct device *dev)
{
	note("+", dev);
	return toy_of(dev)->refuse ? -EIO : 0;
}

static int toy_save(struct device *dev, struct stream *s)
{
	stream_put_u32(s, toy_of(dev)->value);
	return 0;
}

static int toy_load(struct device *dev, struct stream *s, uint32_t version)
{
	toy_of(dev)->value = stream_get_u32(s);
	if (toy_of(dev)->greedy)
		stream_get_u8(s);
	return version == 2 ? 0 : -EPROTO;
}

static void toy_unrealize(struct device *dev)
{
	note("-", dev);
}

static const struct device_ops toy_ops = {
	.version = 2,
	.realize = toy_realize,
	.save = toy_save,
	.load = toy_load,
	.unrealize = toy_unrealize,
};

static struct toy x = { .dev = { .ops = &toy_ops, .name = "x" }, .value = 7 };
static struct toy y = { .dev = { .ops = &toy_ops, .name = "y" }, .value = 9 };
static struct toy z = { .dev = { .ops = &toy_ops, .name = "z" },
			.refuse = true };

static void test_state(void)
{
	struct stream s, part;

	stream_init(&s);
	ok(!devices_save(&b.m, &s), "save");
	x.value = 0;
	y.value = 0;
	ok(!devices_load(&b.m, &s) && x.value == 7 && y.value == 9, "load");
	for (size_t len = 0; len < s.len; len++) {
		stream_from(&part, s.data, len);
		if (!devices_load(&b.m, &part))
			break;
		stream_destroy(&part);
		if (len == s.len - 1)
			ok(true, "no part of it is taken for the whole");
	}
	x.greedy = true;
	s.pos = 0;
	ok(devices_load(&b.m, &s) == -EPROTO, "a device that wants more");
	x.greedy = false;
	s.data[3]++;	/* the version of x */
	s.pos = 0;
	ok(devices_load(&b.m, &s) == -EPROTO, "a newer version");
	s.data[1] = 'q';
	s.pos = 0;
	ok(devices_load(&b.m, &s) == -EPROTO, "an unknown device");
	stream_destroy(&s);
}

int main(void)
{
	board_init(&b);
	ok(!device_register(&b.m, &x.dev) && !device_register(&b.m, &y.dev),
	   "two devices");
	ok(device_register(&b.m, &z.dev) == -EIO, "a third that fails");
	devices_reset(&b.m);
	test_state();
	devices_destroy(&b.m);
	ok(strstr(order, "+x+y+z-y-x"), "they go in reverse order (%s)", order);
	board_destroy(&b);
	return tap_done();
}
