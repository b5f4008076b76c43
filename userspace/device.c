// SPDX-License-Identifier: GPL-2.0-only
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "stream.h"
#include "util/msg.h"

#define DEVICE_NAME_MAX 64

static struct device *device_of(struct list *node)
{
	return container_of(node, struct device, node);
}

int device_register(struct machine *m, struct device *dev)
{
	int err;

	dev->m = m;
	list_init(&dev->node);
	err = dev->ops->realize(dev);
	if (err == -EEXIST)
		msg_fail(err, "device %s: its registers overlap another device's",
			 dev->name);
	if (err)
		return err;
	list_add_tail(&m->devices, &dev->node);
	return 0;
}

void devices_reset(struct machine *m)
{
	struct list *node;

	list_for_each(node, &m->devices) {
		struct device *dev = device_of(node);

		if (dev->ops->reset)
			dev->ops->reset(dev);
	}
}

/*
 * A record is: length and bytes of the name, version, length and bytes of the state.
 * A state that is not read to its end is as bad as one that ends too early.
 */
static int device_save(struct device *dev, struct stream *s)
{
	struct stream state;
	int err;

	stream_init(&state);
	err = dev->ops->save(dev, &state);
	if (!err)
		err = stream_error(&state);
	if (!err) {
		stream_put_u8(s, (uint8_t)strlen(dev->name));
		stream_put_bytes(s, dev->name, (uint8_t)strlen(dev->name));
		stream_put_u32(s, dev->ops->version);
		stream_put_u32(s, (uint32_t)state.len);
		stream_put_bytes(s, state.data, state.len);
		err = stream_error(s);
	}
	stream_destroy(&state);
	return err;
}

int devices_save(struct machine *m, struct stream *s)
{
	struct list *node;

	list_for_each(node, &m->devices) {
		struct device *dev = device_of(node);
		int err;

		if (!dev->ops->save)
			continue;
		err = device_save(dev, s);
		if (err)
			return err;
	}
	stream_put_u8(s, 0);
	return stream_error(s);
}

static struct device *device_find(struct machine *m, const char *name)
{
	struct list *node;

	list_for_each(node, &m->devices)
		if (!strcmp(device_of(node)->name, name))
			return device_of(node);
	return NULL;
}

static int device_load(struct device *dev, const void *data, size_t len,
		       uint32_t version)
{
	struct stream state;
	int err;

	err = stream_from(&state, data, len);
	if (!err)
		err = dev->ops->load(dev, &state, version);
	if (!err)
		err = stream_error(&state);
	if (!err && state.pos != state.len)
		err = -EPROTO;
	stream_destroy(&state);
	return err;
}

static int device_load_record(struct machine *m, struct stream *s,
			      unsigned int name_len)
{
	char name[DEVICE_NAME_MAX + 1] = "";
	struct device *dev;
	uint32_t version, len;
	void *data;
	int err;

	if (name_len > DEVICE_NAME_MAX)
		return -EPROTO;
	stream_get_bytes(s, name, name_len);
	version = stream_get_u32(s);
	len = stream_get_u32(s);
	dev = device_find(m, name);
	if (stream_error(s) || !dev || !dev->ops->load ||
	    version > dev->ops->version || len > s->len - s->pos)
		return -EPROTO;
	data = malloc(len ? len : 1);
	if (!data)
		return -ENOMEM;
	stream_get_bytes(s, data, len);
	err = device_load(dev, data, len, version);
	free(data);
	return err;
}

int devices_load(struct machine *m, struct stream *s)
{
	for (;;) {
		unsigned int name_len = stream_get_u8(s);
		int err = stream_error(s);

		if (err || !name_len)
			return err;
		err = device_load_record(m, s, name_len);
		if (err)
			return err;
	}
}

void devices_destroy(struct machine *m)
{
	while (!list_empty(&m->devices)) {
		struct device *dev = device_of(m->devices.prev);

		list_del(&dev->node);
		if (dev->ops->unrealize)
			dev->ops->unrealize(dev);
	}
}
