/* SPDX-License-Identifier: GPL-2.0-only */
/* virtio-blk (virtio 1.2 section 5.2) on a raw image, with one I/O thread a disk. */
#ifndef VMRUN_VIRTIO_BLK_H
#define VMRUN_VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "disk/disk.h"
#include "virtio/queue.h"

struct machine;
struct disk_config;

/* Creates the next disk of the machine; a failure is reported. Return: 0 or -errno. */
int virtio_blk_create(struct machine *m, const struct disk_config *cfg);

/*
 * Locks or gives up the images of all disks: a machine that has moved away leaves them to its
 * successor. After an error none is locked.
 */
int virtio_blk_lock_all(struct machine *m);
int virtio_blk_unlock_all(struct machine *m);

/* Bytes of the file behind the disk with that index, as it is now; 0 for a block device. */
uint64_t virtio_blk_file_size(struct machine *m, unsigned int index);

/**
 * virtio_blk_request - carry out one request; open to the tests
 * @sync: writes must be stable when they complete, because the driver did not accept FLUSH
 * @id: the disk's serial, at most 20 bytes
 *
 * Return: the bytes written to the chain, the status byte included, or
 * -EINVAL if the chain has no room for header or status.
 */
int64_t virtio_blk_request(struct disk *disk, const struct virtq_chain *c, bool sync,
			   const char *id);

#endif
