// SPDX-License-Identifier: GPL-2.0-only
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "section.h"
#include "util/msg.h"

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

static int device_save(struct device *dev, struct stream *s)
{
	struct stream body;
	int err;

	stream_init(&body);
	err = dev->ops->save(dev, &body);
	if (!err) {
		section_put(s, dev->name, dev->ops->version, &body);
		err = stream_error(s);
	}
	stream_destroy(&body);
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
	return 0;
}

struct device *device_find(struct machine *m, const char *name)
{
	struct list *node;

	list_for_each(node, &m->devices)
		if (!strcmp(device_of(node)->name, name))
			return device_of(node);
	return NULL;
}

int device_load(struct device *dev, struct section *sec)
{
	int err;

	if (!dev->ops->load || !sec->version)
		return -EPROTO;
	if (sec->version > dev->ops->version)
		return -ENOTSUP;
	err = dev->ops->load(dev, &sec->body, sec->version);
	return err ? err : section_finish(sec);
}

void devices_start(struct machine *m)
{
	struct list *node;

	list_for_each(node, &m->devices) {
		struct device *dev = device_of(node);

		if (dev->ops->start)
			dev->ops->start(dev);
	}
}

void devices_halt(struct machine *m)
{
	struct list *node;

	list_for_each(node, &m->devices) {
		struct device *dev = device_of(node);

		if (dev->ops->halt)
			dev->ops->halt(dev);
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
