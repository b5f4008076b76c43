// SPDX-License-Identifier: GPL-2.0-only
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine.h"
#include "mem.h"
#include "util/msg.h"

static int image_check(struct image *image)
{
	struct stat st;

	if (fstat(image->fd, &st))
		return msg_fail(-errno, "%s %s: %s", image->what, image->path,
				strerror(errno));
	if (!S_ISREG(st.st_mode))
		return msg_fail(-EINVAL, "%s %s: not a regular file",
				image->what, image->path);
	if (!st.st_size)
		return msg_fail(-EINVAL, "%s %s: the file is empty",
				image->what, image->path);
	image->size = (uint64_t)st.st_size;
	return 0;
}

int image_open(struct image *image, const char *what, const char *path)
{
	int err;

	image->what = what;
	image->path = path;
	image->size = 0;
	/* O_NONBLOCK: a FIFO must not keep us waiting for its writer. */
	image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (image->fd < 0)
		return msg_fail(-errno, "%s %s: %s", what, path,
				strerror(errno));
	err = image_check(image);
	if (err)
		image_close(image);
	return err;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}

int image_read(const struct image *image, uint64_t off, void *data,
	       uint64_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = pread(image->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return msg_fail(-errno, "%s %s: cannot be read: %s",
					image->what, image->path,
					strerror(errno));
		if (!n)
			return msg_fail(-EINVAL, "%s %s: the file is truncated",
					image->what, image->path);
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int image_load(struct machine *m, const struct image *image, uint64_t off,
	       uint64_t gpa, uint64_t len)
{
	void *p = mem_at(m, gpa, len);

	if (!p)
		return msg_fail(-ENOMEM, "%s %s: does not fit into the guest's memory: give it more with --mem",
				image->what, image->path);
	return image_read(image, off, p, len);
}
