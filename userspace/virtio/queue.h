/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Split virtqueues, device side (virtio 1.2 section 2.7).
 *
 * Everything the guest can write (rings, descriptors, indirect tables) is read
 * exactly once into local variables, checked there, and only then used. A rule
 * broken by the guest marks the queue broken; it stays so until virtq_reset().
 */
#ifndef VMRUN_VIRTIO_QUEUE_H
#define VMRUN_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define VIRTQ_MAX_SIZE	256	/* largest ring offered to a guest */
#define VIRTQ_MAX_CHAIN	256	/* most buffers in one chain, indirect ones included */

/*
 * at() returns the host address of [gpa, gpa + len), or NULL unless all of it is guest RAM.
 * touched() is told of every range that was written; it may be NULL.
 */
struct virtq_mem {
	void *(*at)(void *opaque, uint64_t gpa, uint64_t len);
	void (*touched)(void *opaque, const void *host, uint64_t len);
	void *opaque;
};

struct virtq {
	const struct virtq_mem *mem;
	uint16_t max_size;
	bool enabled;
	bool indirect;		/* VIRTIO_F_INDIRECT_DESC negotiated */
	bool event_idx;		/* VIRTIO_F_EVENT_IDX negotiated */
	const char *broken;	/* NULL, or which rule the guest broke */

	/* what the driver configured; meaningful before enable, too */
	uint16_t size;
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;

	/* valid only while enabled */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;

	uint16_t last_avail;	/* next entry of the available ring to take */
	uint16_t used_idx;	/* our own count; the one in guest memory is write-only for us */
	uint16_t signalled;	/* used_idx when the driver was last considered for an interrupt */
	bool signalled_valid;
};

/* One request: iov[0..nout) is read by the device, iov[nout..nout + nin) is written. */
struct virtq_chain {
	uint16_t head;
	unsigned int nout;
	unsigned int nin;
	uint64_t out_len;
	uint64_t in_len;
	struct iovec iov[VIRTQ_MAX_CHAIN];
};

void virtq_init(struct virtq *vq, const struct virtq_mem *mem, uint16_t max_size);
void virtq_reset(struct virtq *vq);

/*
 * Check the configured addresses and size and start the queue; -EINVAL and broken set if they are
 * bad.
 */
int virtq_enable(struct virtq *vq);

/*
 * Take the next chain. 1: *c is filled; 0: the ring is empty (or the queue is
 * not enabled); -EINVAL: the guest broke a rule, vq->broken says which.
 */
int virtq_pop(struct virtq *vq, struct virtq_chain *c);

/* The index of the first chain that the driver has not published yet; of the next one if the queue is out of order. */
uint16_t virtq_end(const struct virtq *vq);

/* True unless virtq_pop() has something to say. */
bool virtq_empty(const struct virtq *vq);

/* Put back the chain taken last; legal only if nothing was pushed or popped since. */
void virtq_unpop(struct virtq *vq, const struct virtq_chain *c);

/*
 * Tell of the first @len bytes of a chain's writable buffers; virtq_push() does it for the bytes
 * that it is told of.
 */
void virtq_touched(struct virtq *vq, const struct virtq_chain *c, uint64_t len);

/* Return a chain to the driver with @len bytes written. */
void virtq_push(struct virtq *vq, const struct virtq_chain *c, uint32_t len);

/* True if the driver wants an interrupt for what was pushed since the last call. */
bool virtq_should_signal(struct virtq *vq);

/*
 * Ask the driver not to kick (a hint), or to kick again; the latter returns true if work arrived
 * meanwhile.
 */
void virtq_kicks_off(struct virtq *vq);
bool virtq_kicks_on(struct virtq *vq);

/* Copy between a buffer and an iovec list from byte @off on; both return the bytes copied. */
size_t iov_to_buf(const struct iovec *iov, unsigned int n, size_t off, void *buf, size_t len);
size_t iov_from_buf(const struct iovec *iov, unsigned int n, size_t off, const void *buf,
		    size_t len);

/*
 * Copy the part [off, off + len) of a list of @n into @out (room for @n); returns the entries
 * used.
 */
unsigned int iov_slice(struct iovec *out, const struct iovec *iov, unsigned int n, size_t off,
		       size_t len);

#endif
