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
struct stream;

/**
 * struct device_ops - the five calls
 * @version: of the format that save writes; load gets the one it reads
 * @realize: claim regions, lines and files; undo everything on error, after
 *	     having told the user why
 * @reset: state after power-on. All vCPUs are stopped; must not fail
 * @save: append the state to the stream; all vCPUs are stopped
 * @load: take the state from the stream; 0 or -errno, checks every value
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
int devices_save(struct machine *m, struct stream *s);
int devices_load(struct machine *m, struct stream *s);
void devices_destroy(struct machine *m);

#endif
