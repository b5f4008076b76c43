/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtio devices and their PCI transport (virtio 1.2 sections 2 and 4.1),
 * modern interface only.
 *
 * virtio_dev.lock guards the registers and the queues. The event loop calls
 * a device's handlers with it held; a device with a thread of its own takes it
 * around every use of a queue and looks at ->running first.
 */
#ifndef VMRUN_VIRTIO_VIRTIO_H
#define VMRUN_VIRTIO_VIRTIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device.h"
#include "loop.h"
#include "pci.h"
#include "virtio/queue.h"

struct stream;
struct virtio_dev;

#define VIRTIO_BIT(n)	(1ull << (n))

/**
 * struct virtio_ops - what tells one virtio device from another
 * @id: device type; PCI device id 0x1040 + id
 * @class: PCI class code
 * @nr_queues: fixed number of queues
 * @queue_size: largest size of each
 * @own_kicks: the kick eventfds are blocking and read by a thread of the device, not by the loop
 * @realize: start threads, watch files; the queues' eventfds exist, the guest cannot reach the
 * device yet
 * @unrealize: undo realize
 * @free: free the structure around @v and what its creation took
 * @start: the driver set DRIVER_OK; ->features are final
 * @stop: make sure that no thread uses the queues; may drop the lock to wait; called before every
 * reset
 * @unmaster: write no memory but in answer to a kick; NULL: ->stop, and DRIVER_OK is taken back
 * @drain: finish what is in flight and in the queues; may drop the lock; vCPUs are stopped
 * @kicked: queue @q may have work; called only while ->running, on the loop's thread
 * @config_write: the driver wrote bytes of the device's configuration
 * @save: state beyond that of the transport; @load is its inverse
 *
 * Called with the lock held, except realize, unrealize and free. All but @free may be NULL.
 */
struct virtio_ops {
	uint16_t id;
	uint32_t class;
	unsigned int nr_queues;
	uint16_t queue_size;
	bool own_kicks;
	int (*realize)(struct virtio_dev *v);
	void (*unrealize)(struct virtio_dev *v);
	void (*free)(struct virtio_dev *v);
	void (*start)(struct virtio_dev *v);
	void (*stop)(struct virtio_dev *v);
	void (*unmaster)(struct virtio_dev *v);
	void (*drain)(struct virtio_dev *v);
	void (*kicked)(struct virtio_dev *v, unsigned int q);
	void (*config_write)(struct virtio_dev *v, unsigned int off, const void *data,
			     unsigned int len);
	void (*save)(struct virtio_dev *v, struct stream *s);
	void (*load)(struct virtio_dev *v, struct stream *s);
};

struct virtio_queue {
	struct virtio_dev *dev;
	struct virtq vq;
	uint16_t vector;	/* MSI-X vector, or VIRTIO_MSI_NO_VECTOR */
	int kick;		/* eventfd the driver's notifications arrive at */
	struct loop_fd lfd;
};

struct virtio_dev {
	struct device dev;
	struct pci_dev pci;
	const struct virtio_ops *ops;
	char name[24];
	pthread_mutex_t lock;	/* all below */

	uint64_t offered;	/* features, set before device_register() */
	uint64_t features;	/* what the driver accepted */
	bool running;		/* DRIVER_OK, not broken: queues may be used */
	bool unmastered;	/* running, but without the bus: see unmaster; until it is stopped */
	bool waits;		/* loaded or halted, to run when the machine does */
	bool warned;
	uint8_t status;
	uint8_t isr;
	uint8_t generation;	/* of the configuration */
	uint32_t offered_sel, features_sel;
	uint16_t queue_sel;
	uint16_t config_vector;
	unsigned int pci_cfg_cap;	/* offset of the window capability */

	const void *config;	/* device configuration, as the driver reads it */
	size_t config_len;
	struct virtq_mem mem;
	struct virtio_queue *queue;
	struct virtq_chain chain;	/* for the handlers */
};

/* Fill in what virtio_register() needs; @index makes the name unique ("virtio-blk0"). */
void virtio_init(struct virtio_dev *v, struct machine *m, const struct virtio_ops *ops,
		 const char *kind, unsigned int index);

/* Creates the device and hands it to the machine. After an error the caller frees what it made. */
int virtio_register(struct virtio_dev *v);

/* Undoes virtio_init(); only for a device that could not be registered. */
void virtio_fini(struct virtio_dev *v);

static inline bool virtio_has(const struct virtio_dev *v, unsigned int feature)
{
	return v->features >> feature & 1;
}

/* Interrupt the driver for queue @q if it wants that. */
void virtio_signal(struct virtio_dev *v, unsigned int q);

/* The device's configuration changed: new generation, and an interrupt. */
void virtio_config_changed(struct virtio_dev *v);

/* The guest broke a rule: no more queue is served until the driver resets the device. */
void virtio_fail(struct virtio_dev *v, const char *rule);

/* virtq_pop() that turns a broken queue into virtio_fail(); true if *c is filled. */
bool virtio_pop(struct virtio_dev *v, unsigned int q, struct virtq_chain *c);

/* Make the kick handler of queue @q run soon. */
void virtio_kick(struct virtio_dev *v, unsigned int q);

/* Between device.c, regs.c and pci.c; with the lock held, but for virtio_pci_create(). */
void virtio_stop(struct virtio_dev *v);
void virtio_reset(struct virtio_dev *v);
bool virtio_features_ok(const struct virtio_dev *v);
void virtio_features_final(struct virtio_dev *v);
void virtio_start(struct virtio_dev *v);
uint16_t virtio_vector(const struct virtio_dev *v, uint32_t value);
void virtio_common_read(struct virtio_dev *v, uint64_t off, void *data, unsigned int len);
void virtio_common_write(struct virtio_dev *v, uint64_t off, const void *data, unsigned int len);
int virtio_pci_create(struct virtio_dev *v);

#endif
