/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every device offers.
 */
#ifndef VMRUN_DEVICE_H
#define VMRUN_DEVICE_H

#include <stdint.h>

#include "util/list.h"

struct device;
struct machine;
struct section;
struct stream;

/**
 * struct device_ops - the seven calls
 * @version: of the format that save writes; load gets the one it reads
 * @realize: claim regions, lines and files; undo everything on error, after
 *	     having told the user why
 * @reset: state after power-on. All vCPUs are stopped; must not fail
 * @save: append the state to the stream; all vCPUs are stopped
 * @load: take the state from the stream; 0 or -errno, checks every value
 * @start: after @load, when the machine is about to run: from now on the device may act
 * @halt: the opposite, after @save: from now on nothing changes, neither here nor in memory
 * @unrealize: give everything back and free the device; vCPU threads are gone
 *
 * All run on the event loop's thread. Any but @realize may be NULL.
 */
struct device_ops {
	uint32_t version;
	int (*realize)(struct device *dev);
	void (*reset)(struct device *dev);
	int (*save)(struct device *dev, struct stream *s);
	int (*load)(struct device *dev, struct stream *s, uint32_t version);
	void (*start)(struct device *dev);
	void (*halt)(struct device *dev);
	void (*unrealize)(struct device *dev);
};

/* Embedded in the device's own structure; container_of() leads back. */
struct device {
	const struct device_ops *ops;
	const char *name;	/* unique within the machine, e.g. "serial0" */
	struct machine *m;
	struct list node;
};

/*
 * Realizes the device and, on success, makes the machine its owner. After an
 * error the caller still owns the memory.
 */
int device_register(struct machine *m, struct device *dev);

/* Of all devices, in the order of registration; teardown is in reverse. */
void devices_reset(struct machine *m);
void devices_destroy(struct machine *m);

/* One section (section.h) for each device that has state, under the device's name. */
int devices_save(struct machine *m, struct stream *s);
struct device *device_find(struct machine *m, const char *name);
/* Return: 0, -ENOTSUP for a section of a newer version, or -errno. */
int device_load(struct device *dev, struct section *sec);
/* Of all devices, after all were loaded or halted. */
void devices_start(struct machine *m);
/* After devices_save(), when the guest leaves. */
void devices_halt(struct machine *m);

#endif
