/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Disk images. One thread at a time may use a disk; all offsets and lengths are bytes within its
 * size.
 */
#ifndef VMRUN_DISK_H
#define VMRUN_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define DISK_SECTOR	512

struct disk {
	int fd;
	const char *path;	/* the caller's */
	bool ro;
	bool block;		/* a block device, not a file */
	int lost;		/* errno of a flush that failed: no later one succeeds */
	uint64_t size;		/* a multiple of DISK_SECTOR */
};

/* A failure is reported to the user. Return: 0 or -errno. The disk is not locked yet. */
int disk_open(struct disk *disk, const char *path, bool ro);
void disk_close(struct disk *disk);

/*
 * Against other processes, as long as the guest may use it. disk_lock() reports a failure;
 * before disk_unlock() lets go, everything written is on the disk.
 */
int disk_lock(struct disk *disk);
int disk_unlock(struct disk *disk);

/* All of the list or an error: 0 or -errno. The list is used up in the course of it. */
int disk_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t off);
int disk_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t off);

/* Everything written so far survives a crash of the host. */
int disk_flush(struct disk *disk);

/* The range's contents no longer matter: a hint, never an error for want of support. */
int disk_discard(struct disk *disk, uint64_t off, uint64_t len);
/* The range reads as zeroes; @unmap: it may be deallocated. */
int disk_zero(struct disk *disk, uint64_t off, uint64_t len, bool unmap);

#endif
