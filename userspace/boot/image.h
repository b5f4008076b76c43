/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file of the user's that goes into guest memory.
 */
#ifndef VMRUN_BOOT_IMAGE_H
#define VMRUN_BOOT_IMAGE_H

#include <stdint.h>

struct machine;

struct image {
	int fd;
	const char *path;
	const char *what;	/* the option it came with, for messages */
	uint64_t size;
};

/* Opens a readable, non-empty regular file; reports errors. */
int image_open(struct image *image, const char *what, const char *path);
void image_close(struct image *image);

/* Exactly @len bytes from @off on; reports errors. */
int image_read(const struct image *image, uint64_t off, void *data,
	       uint64_t len);
/* The same, into guest memory. */
int image_load(struct machine *m, const struct image *image, uint64_t off,
	       uint64_t gpa, uint64_t len);

#endif
