// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "device.h"
#include "machine.h"
#include "migrate/clock.h"
#include "section.h"
#include "util/list.h"
#include "vcpu.h"

#define VCPU_VERSION	1
#define CHIPS_VERSION	1

/* ---- out ---- */

static int vcpus_save(struct machine *m, struct stream *s)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < m->nr_vcpus; i++) {
		struct stream body;
		char name[16];

		stream_init(&body);
		snprintf(name, sizeof(name), "vcpu%u", i);
		err = vcpu_save(&m->vcpus[i], &body);
		if (!err)
			section_put(s, name, VCPU_VERSION, &body);
		stream_destroy(&body);
	}
	return err;
}

static int chips_save(struct machine *m, struct stream *body)
{
	return kvm_chips_save(&m->kvm, body);
}

static const struct {
	const char *name;
	uint32_t version;
	int (*save)(struct machine *m, struct stream *body);
} parts[] = {
	{ "chips", CHIPS_VERSION, chips_save },
	{ "clock", CLOCK_VERSION, clock_save },
};

static int parts_save(struct machine *m, struct stream *s)
{
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(parts); i++) {
		struct stream body;

		stream_init(&body);
		err = parts[i].save(m, &body);
		if (!err)
			section_put(s, parts[i].name, parts[i].version, &body);
		stream_destroy(&body);
	}
	return err;
}

/* Devices first: what they finish raises interrupts, which are the chips' and vCPUs' state. */
int state_save(struct machine *m, struct stream *s)
{
	struct stream devices;
	int err;

	stream_init(&devices);
	err = devices_save(m, &devices);
	if (!err)
		err = config_save(m, s);
	if (!err)
		err = vcpus_save(m, s);
	if (!err)
		err = parts_save(m, s);
	stream_put_bytes(s, devices.data, devices.len);
	stream_destroy(&devices);
	section_put_end(s);
	return err ? err : stream_error(s);
}

/* ---- in ---- */

/* Everything is read and checked before anything is set. */
struct incoming {
	struct vcpu_saved *vcpus;
	struct section *sections;	/* all of them, in their order */
	unsigned int nr, room;
	struct clock clock;
	const char *part;		/* what is being loaded, for the message */
};

static void incoming_destroy(struct machine *m, struct incoming *in)
{
	for (unsigned int i = 0; in->vcpus && i < m->nr_vcpus; i++)
		vcpu_saved_free(&in->vcpus[i]);
	free(in->vcpus);
	for (unsigned int i = 0; i < in->nr; i++)
		section_destroy(&in->sections[i]);
	free(in->sections);
}

static int incoming_add(struct incoming *in, struct section *sec)
{
	struct section *grown;

	if (in->nr == in->room) {
		in->room = in->room ? 2 * in->room : 32;
		grown = realloc(in->sections, in->room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		in->sections = grown;
	}
	in->sections[in->nr++] = *sec;
	return 0;
}

static int incoming_read(struct incoming *in, struct stream *s)
{
	struct section sec;
	int err;

	while ((err = section_get(s, &sec)) > 0) {
		err = incoming_add(in, &sec);
		if (err) {
			section_destroy(&sec);
			return err;
		}
	}
	return err;
}

static struct section *incoming_find(struct incoming *in, const char *name)
{
	struct section *found = NULL;

	in->part = name;
	for (unsigned int i = 0; i < in->nr; i++) {
		if (strcmp(in->sections[i].name, name))
			continue;
		if (found)
			return NULL;
		found = &in->sections[i];
	}
	return found;
}

/* Return: the section @name, there once and not of the future; errors in *@err. */
static struct section *incoming_want(struct incoming *in, const char *name,
				     uint32_t version, int *err)
{
	struct section *sec = incoming_find(in, name);

	*err = 0;
	if (!sec || !sec->version)
		*err = -EPROTO;
	else if (sec->version > version)
		*err = -ENOTSUP;
	return *err ? NULL : sec;
}

static int incoming_vcpus(struct machine *m, struct incoming *in)
{
	char name[16];
	int err = 0;

	in->vcpus = calloc(m->nr_vcpus, sizeof(*in->vcpus));
	if (!in->vcpus)
		return -ENOMEM;
	for (unsigned int i = 0; !err && i < m->nr_vcpus; i++) {
		struct section *sec;

		snprintf(name, sizeof(name), "vcpu%u", i);
		sec = incoming_want(in, name, VCPU_VERSION, &err);
		in->part = "a vCPU";
		if (sec)
			err = vcpu_saved_read(&in->vcpus[i], &sec->body);
		if (!err)
			err = section_finish(sec);
	}
	return err;
}

static int incoming_clock(struct machine *m, struct incoming *in)
{
	int err;
	struct section *sec = incoming_want(in, "clock", CLOCK_VERSION, &err);

	if (!sec)
		return err;
	err = clock_read(&in->clock, m->nr_vcpus, &sec->body, sec->version);
	return err ? err : section_finish(sec);
}

/* Registers and LAPICs before the TSC, the TSC before the MSRs, of which one arms a timer. */
static int load_vcpus(struct machine *m, struct incoming *in)
{
	int err = 0;

	in->part = "the vCPUs";
	for (unsigned int i = 0; !err && i < m->nr_vcpus; i++)
		err = vcpu_load_registers(&m->vcpus[i], &in->vcpus[i]);
	if (!err)
		err = clock_load_tsc(m, &in->clock);
	for (unsigned int i = 0; !err && i < m->nr_vcpus; i++)
		err = vcpu_load_msrs(&m->vcpus[i], &in->vcpus[i]);
	return err;
}

static int load_chips(struct machine *m, struct incoming *in)
{
	int err;
	struct section *sec = incoming_want(in, "chips", CHIPS_VERSION, &err);

	if (!sec)
		return err;
	err = kvm_chips_load(&m->kvm, &sec->body);
	return err ? err : section_finish(sec);
}

static int load_devices(struct machine *m, struct incoming *in)
{
	struct list *node;

	list_for_each(node, &m->devices) {
		struct device *dev = container_of(node, struct device, node);
		struct section *sec;
		int err;

		if (!dev->ops->save)
			continue;
		sec = incoming_find(in, dev->name);
		err = sec ? device_load(dev, sec) : -EPROTO;
		if (err)
			return err;
	}
	return 0;
}

static int incoming_load(struct machine *m, struct incoming *in)
{
	int err;

	err = incoming_vcpus(m, in);
	if (!err)
		err = incoming_clock(m, in);
	if (!err)
		err = load_vcpus(m, in);
	if (!err)
		err = load_chips(m, in);
	if (!err)
		err = load_devices(m, in);
	if (!err) {
		in->part = "the clock";
		err = clock_load(m, &in->clock);
	}
	clock_free(&in->clock);
	return err;
}

static const char *state_error(int err)
{
	switch (err) {
	case -EBADMSG:
		return "damaged";
	case -EPROTO:
		return "missing, damaged or not of such a machine";
	case -ENOTSUP:
		return "of a newer vmrun";
	default:
		return strerror(-err);
	}
}

int state_load(struct machine *m, struct stream *s, char *why, size_t size)
{
	struct incoming in = { .part = "the state" };
	size_t start = s->pos;
	int err = incoming_read(&in, s);

	if (err) {
		snprintf(why, size, "the state is %s", state_error(err));
	} else {
		s->pos = start;
		err = config_check(m, s, why, size);
		if (!err) {
			err = incoming_load(m, &in);
			if (err)
				snprintf(why, size, "%s: %s", in.part,
					 state_error(err));
		}
	}
	incoming_destroy(m, &in);
	return err;
}
