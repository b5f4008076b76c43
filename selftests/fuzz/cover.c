// SPDX-License-Identifier: GPL-2.0-only
/* KCOV (Documentation/dev-tools/kcov.rst): the kernel writes the program counters of the calling thread into memory of ours. */
#include <fcntl.h>
#include <linux/kcov.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fuzz.h"

#define COVER_WORDS	(64u << 10)

struct cover {
	uint64_t *area;		/* a count, then so many program counters */
};

bool cover_open(struct cover **out)
{
	struct cover *c;
	void *area;
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	*out = NULL;
	if (fd < 0)
		return false;
	if (ioctl(fd, KCOV_INIT_TRACE, (unsigned long)COVER_WORDS))
		return false;
	area = mmap(NULL, COVER_WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		return false;
	c = malloc(sizeof(*c));
	c->area = area;
	*out = c;
	return true;
}

void cover_start(struct cover *c)
{
	if (c)
		__atomic_store_n(&c->area[0], 0, __ATOMIC_RELAXED);
}

const uint64_t *cover_stop(struct cover *c, unsigned int *n)
{
	*n = 0;
	if (!c)
		return NULL;
	*n = __atomic_load_n(&c->area[0], __ATOMIC_RELAXED);
	if (*n >= COVER_WORDS)
		*n = COVER_WORDS - 1;
	return c->area + 1;
}
