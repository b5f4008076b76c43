// SPDX-License-Identifier: GPL-2.0-only
/* Raw disk images: files and block devices. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/msg.h"

#define ZERO_CHUNK	65536

static int find_size(struct disk *disk, const char *path)
{
	struct stat st;
	uint64_t size;

	if (fstat(disk->fd, &st))
		return msg_fail(-errno, "cannot examine disk %s: %s", path, strerror(errno));
	disk->block = S_ISBLK(st.st_mode);
	if (disk->block) {
		if (ioctl(disk->fd, BLKGETSIZE64, &size))
			return msg_fail(-errno, "cannot find the size of disk %s: %s", path,
					strerror(errno));
	} else if (S_ISREG(st.st_mode)) {
		size = st.st_size;
	} else {
		return msg_fail(-EINVAL, "disk %s is neither a file nor a block device", path);
	}
	disk->size = size & ~(uint64_t)(DISK_SECTOR - 1);
	if (!disk->size)
		return msg_fail(
			-EINVAL,
			"disk %s is smaller than one sector; give it a size with truncate(1)",
			path);
	return 0;
}

/*
 * Two writers destroy a file system. Where the file system knows no locks the user is on their
 * own.
 */
int disk_lock(struct disk *disk)
{
	if (!flock(disk->fd, (disk->ro ? LOCK_SH : LOCK_EX) | LOCK_NB) || errno != EWOULDBLOCK) {
		/* What is cached here may be older than what another host wrote, such as the one that a guest comes from. */
		if (disk->block)
			posix_fadvise(disk->fd, 0, 0, POSIX_FADV_DONTNEED);
		return 0;
	}
	return msg_fail(-EBUSY, "disk %s is in use by another process%s", disk->path,
			disk->ro ? " that writes it" : "; share it with ,ro on both sides");
}

/* What the other side of a move is to see must not be in this host's memory alone. */
int disk_unlock(struct disk *disk)
{
	int ret = disk->ro ? 0 : disk_flush(disk);

	if (!ret && flock(disk->fd, LOCK_UN) && errno != EOPNOTSUPP)
		ret = -errno;
	return ret;
}

int disk_open(struct disk *disk, const char *path, bool ro)
{
	int ret;

	*disk = (struct disk){ .ro = ro, .path = path };
	/* non-blocking: a FIFO must not hang the start */
	disk->fd = open(path, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (disk->fd < 0)
		return msg_fail(-errno, "cannot open disk %s: %s%s", path, strerror(errno),
				!ro && (errno == EACCES || errno == EROFS) ?
					" (add ,ro to only read it)" :
					"");
	ret = find_size(disk, path);
	if (ret)
		disk_close(disk);
	return ret;
}

void disk_close(struct disk *disk)
{
	if (disk->fd >= 0)
		close(disk->fd);
	disk->fd = -1;
}

/* Drop @done bytes from the front of a list. */
static void advance(struct iovec **iov, unsigned int *n, size_t done)
{
	while (*n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

typedef ssize_t transfer_fn(int fd, const struct iovec *iov, int n, off_t off);

static int transfer(struct disk *disk, transfer_fn *fn, struct iovec *iov, unsigned int n,
		    uint64_t off)
{
	ssize_t done;

	advance(&iov, &n, 0);
	while (n) {
		done = fn(disk->fd, iov, n, off);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		/* the file shrank under us */
		if (!done)
			return -EIO;
		off += done;
		advance(&iov, &n, done);
	}
	return 0;
}

int disk_read(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t off)
{
	return transfer(disk, preadv, iov, n, off);
}

int disk_write(struct disk *disk, struct iovec *iov, unsigned int n, uint64_t off)
{
	return transfer(disk, pwritev, iov, n, off);
}

/* The kernel tells a lost write once, and takes the page for clean then. */
int disk_flush(struct disk *disk)
{
	if (fdatasync(disk->fd))
		disk->lost = errno;
	return -disk->lost;
}

int disk_discard(struct disk *disk, uint64_t off, uint64_t len)
{
	uint64_t range[2] = { off, len };

	if (disk->block)
		ioctl(disk->fd, BLKDISCARD, range);
	else
		fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
	return 0;
}

static int zero_by_writing(struct disk *disk, uint64_t off, uint64_t len)
{
	static const char zeroes[ZERO_CHUNK];
	struct iovec iov;
	int ret = 0;

	while (!ret && len) {
		iov.iov_base = (void *)zeroes;
		iov.iov_len = len < ZERO_CHUNK ? len : ZERO_CHUNK;
		len -= iov.iov_len;
		off += iov.iov_len;
		ret = disk_write(disk, &iov, 1, off - iov.iov_len);
	}
	return ret;
}

int disk_zero(struct disk *disk, uint64_t off, uint64_t len, bool unmap)
{
	uint64_t range[2] = { off, len };
	int ret;

	if (disk->block)
		ret = ioctl(disk->fd, BLKZEROOUT, range);
	else
		ret = fallocate(disk->fd, (unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) |
				FALLOC_FL_KEEP_SIZE, off, len);
	return ret ? zero_by_writing(disk, off, len) : 0;
}
