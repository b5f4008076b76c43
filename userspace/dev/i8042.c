// SPDX-License-Identifier: GPL-2.0-only
/*
 * There is no keyboard: the ACPI tables say that there is no controller either, and
 * its buffers read as empty. What works are the ways to reset the machine.
 */
#include "dev/i8042.h"

#include <errno.h>
#include <stdlib.h>

#include "device.h"
#include "machine.h"
#include "stream.h"
#include "util/msg.h"

#define I8042_DATA		0x60
#define I8042_WRITE_OUTPUT	0xd1	/* command: next data byte is the output port */
#define I8042_OUTPUT_NO_RESET	(1 << 0)

struct i8042 {
	struct device dev;
	struct bus_region data, command;
	uint8_t pending;	/* atomic: command that waits for its data */
};

static void i8042_read(void *opaque, uint64_t off, void *data, unsigned int len)
{
	(void)opaque;
	(void)off;
	bus_put(data, len, 0);
}

static void i8042_write_command(void *opaque, uint64_t off, const void *data,
				unsigned int len)
{
	struct i8042 *kbc = opaque;
	uint8_t command = *(const uint8_t *)data;

	(void)off;
	(void)len;
	__atomic_store_n(&kbc->pending, command, __ATOMIC_RELAXED);
	if (command == I8042_RESET)
		machine_request(kbc->dev.m, MACHINE_RESET);
}

static void i8042_write_data(void *opaque, uint64_t off, const void *data,
			     unsigned int len)
{
	struct i8042 *kbc = opaque;
	uint8_t value = *(const uint8_t *)data;
	uint8_t command = __atomic_exchange_n(&kbc->pending, 0,
					      __ATOMIC_RELAXED);

	(void)off;
	(void)len;
	if (command == I8042_WRITE_OUTPUT && !(value & I8042_OUTPUT_NO_RESET))
		machine_request(kbc->dev.m, MACHINE_RESET);
}

static struct i8042 *i8042_of(struct device *dev)
{
	return container_of(dev, struct i8042, dev);
}

static int i8042_realize(struct device *dev)
{
	struct i8042 *kbc = i8042_of(dev);
	int err;

	kbc->data = (struct bus_region){
		.kind = BUS_PIO, .base = I8042_DATA, .size = 1,
		.read = i8042_read, .write = i8042_write_data, .opaque = kbc,
		.name = dev->name,
	};
	kbc->command = (struct bus_region){
		.kind = BUS_PIO, .base = I8042_COMMAND, .size = 1,
		.read = i8042_read, .write = i8042_write_command,
		.opaque = kbc, .name = dev->name,
	};
	err = bus_add(dev->m, &kbc->data);
	if (err)
		return err;
	err = bus_add(dev->m, &kbc->command);
	if (err)
		bus_remove(dev->m, &kbc->data);
	return err;
}

static void i8042_reset(struct device *dev)
{
	i8042_of(dev)->pending = 0;
}

static int i8042_save(struct device *dev, struct stream *s)
{
	stream_put_u8(s, i8042_of(dev)->pending);
	return 0;
}

static int i8042_load(struct device *dev, struct stream *s, uint32_t version)
{
	(void)version;
	i8042_of(dev)->pending = stream_get_u8(s);
	return 0;
}

static void i8042_unrealize(struct device *dev)
{
	struct i8042 *kbc = i8042_of(dev);

	bus_remove(dev->m, &kbc->command);
	bus_remove(dev->m, &kbc->data);
	free(kbc);
}

static const struct device_ops i8042_ops = {
	.version = 1,
	.realize = i8042_realize,
	.reset = i8042_reset,
	.save = i8042_save,
	.load = i8042_load,
	.unrealize = i8042_unrealize,
};

int i8042_create(struct machine *m)
{
	struct i8042 *kbc = calloc(1, sizeof(*kbc));
	int err;

	if (!kbc)
		return msg_fail(-ENOMEM, "out of memory");
	kbc->dev.ops = &i8042_ops;
	kbc->dev.name = "i8042";
	err = device_register(m, &kbc->dev);
	if (err)
		free(kbc);
	return err;
}
