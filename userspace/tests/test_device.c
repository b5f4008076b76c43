// SPDX-License-Identifier: GPL-2.0-only
/* The device list: order, save and load, and states that are not to be trusted. */
#include <errno.h>
#include <string.h>

#include "device.h"
#include "section.h"
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

/* All sections of a list with an end. Return: 0 or the first error. */
static int load_all(struct stream *s)
{
	struct section sec;
	struct device *dev;
	int err;

	while ((err = section_get(s, &sec)) > 0) {
		dev = device_find(&b.m, sec.name);
		err = dev ? device_load(dev, &sec) : -ENODEV;
		section_destroy(&sec);
		if (err)
			break;
	}
	return err;
}

/* A list of one section, of that name and version, with a body of one 32-bit number. */
static int load_one(const char *name, uint32_t version)
{
	struct stream s, body;
	int err;

	stream_init(&s);
	stream_init(&body);
	stream_put_u32(&body, 5);
	section_put(&s, name, version, &body);
	section_put_end(&s);
	err = load_all(&s);
	stream_destroy(&body);
	stream_destroy(&s);
	return err;
}

static void test_damage(const struct stream *s)
{
	unsigned int taken = 0;
	struct stream part;

	for (size_t len = 0; len < s->len; len++) {
		stream_from(&part, s->data, len);
		taken += !load_all(&part);
		stream_destroy(&part);
	}
	ok(!taken, "no part of it is taken for the whole");
	for (size_t bit = 0; bit < 8 * s->len; bit++) {
		stream_from(&part, s->data, s->len);
		part.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		taken += !load_all(&part);
		stream_destroy(&part);
	}
	ok(!taken, "no flipped bit goes unnoticed");
}

static void test_state(void)
{
	struct stream s;

	stream_init(&s);
	ok(!devices_save(&b.m, &s), "save");
	section_put_end(&s);
	x.value = 0;
	y.value = 0;
	ok(!load_all(&s) && x.value == 7 && y.value == 9, "load");
	x.greedy = true;
	s.pos = 0;
	ok(load_all(&s) == -EPROTO, "a device that wants more");
	x.greedy = false;
	test_damage(&s);
	stream_destroy(&s);
	ok(!load_one("x", 2), "its own version");
	ok(load_one("x", 9) == -ENOTSUP, "a newer version");
	ok(load_one("x", 0) == -EPROTO, "version 0");
	ok(load_one("q", 1) == -ENODEV, "an unknown device");
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
