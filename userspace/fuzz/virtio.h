/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fuzzing a virtio device: a driver that does what the input says. Most of it goes by the rules of the transport, so
 * that the rings are reached; what is in them does not.
 */
#ifndef VMRUN_FUZZ_VIRTIO_H
#define VMRUN_FUZZ_VIRTIO_H

#include "fuzz/rig.h"

/**
 * struct virtio_target - the device in slot 1
 * @queues: its number of queues
 * @feed: input from the host's side; NULL: there is none
 * @settle: waits until the device has done what it was told; NULL: the loop does it
 * @check: after each input; NULL: nothing
 */
struct virtio_target {
	struct board b;
	struct driver d;
	unsigned int queues;
	void (*feed)(struct virtio_target *t, const void *data, size_t len);
	void (*settle)(struct virtio_target *t);
	void (*check)(struct virtio_target *t);
};

void virtio_run(struct virtio_target *t, const uint8_t *data, size_t size);

/* Inputs for a device with so many queues. */
size_t virtio_seed(unsigned int queues, unsigned int i, uint8_t *data);

/* ---- for more seeds: the operations ---- */

enum virtio_op {
	OP_UP,		/* features (u64), log2 of the size of each queue (u8) */
	OP_DESC,	/* queue, index (u8), address (u24), length (u32), flags, next (u8) */
	OP_PUBLISH,	/* queue, head (u8) */
	OP_KICK,	/* queue (u8) */
	OP_PUMP,
	OP_POKE,	/* address (u24), length (u8), bytes */
	OP_INDIRECT,	/* address (u24), index (u8), then as OP_DESC behind the index */
	OP_AVAIL,	/* queue (u8), the index itself (u16) */
	OP_EVENT,	/* queue (u8), used_event (u16), flags (u16) */
	OP_BAR_WRITE,	/* offset (u16), length (u8), value (u64) */
	OP_BAR_READ,	/* offset (u16), length (u8) */
	OP_CFG_WRITE,	/* offset, length (u8), value (u32) */
	OP_CFG_READ,	/* offset, length (u8) */
	OP_MSIX,	/* offset (u16), length (u8), value (u64) */
	OP_FEED,	/* length (u8), bytes */
	OP_RELOAD,
	OP_RING,	/* queue, which (u8), address (u64): of desc, avail or used */
	OPS
};

void virtio_seed_up(struct fuzz_out *out, uint64_t features, uint8_t log2_size);
void virtio_seed_desc(struct fuzz_out *out, uint8_t queue, uint8_t i, uint32_t addr, uint32_t len, uint8_t flags,
		      uint8_t next);
void virtio_seed_publish(struct fuzz_out *out, uint8_t queue, uint8_t head);
void virtio_seed_poke(struct fuzz_out *out, uint32_t addr, const void *data, uint8_t len);
void virtio_seed_feed(struct fuzz_out *out, const void *data, uint8_t len);

#endif
