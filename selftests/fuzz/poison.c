// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kernel leaves in memory that it has not initialized, if it was told to (slub_debug=P page_poison=1 on its command
 * line, CONFIG_INIT_STACK_ALL_PATTERN): four of those bytes in a row are nothing that a guest or a test has written.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define RUN	4

/* slabs given out and not written, freed, behind and before an object; pages freed; the stack */
static const uint8_t poison[] = { 0x5a, 0x6b, 0xcc, 0xbb, 0xaa, 0xfe };

bool poison_used(void)
{
	char line[4096] = "", c = '0';
	int fd = open("/sys/kernel/slab/kmalloc-1k/poison", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = '0';
	close(fd);
	fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, line, sizeof(line) - 1) < 0)
		return false;
	close(fd);
	return c == '1' && strstr(line, "page_poison=1");
}

static bool is_poison(uint8_t byte)
{
	return memchr(poison, byte, sizeof(poison));
}

const uint8_t *poison_in(const void *buf, size_t size)
{
	const uint8_t *p = buf;
	size_t i, run = 0;

	for (i = 0; i < size; i++) {
		run = i && p[i] == p[i - 1] ? run + 1 : 1;
		if (run == RUN && is_poison(p[i]))
			return p + i + 1 - RUN;
	}
	return NULL;
}
