// SPDX-License-Identifier: GPL-2.0-only
#include "counters.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than any kernel has; guards against nonsense. */
#define DESCS_MAX	1024
#define OFFSET_MAX	65536

struct counter {
	char name[COUNTERS_NAME_MAX];
	size_t offset;
};

struct counters {
	int fd;
	off_t data;		/* where the values begin in the file */
	size_t size;		/* of the values up to the last counter */
	size_t nr;
	struct counter list[DESCS_MAX];
};

static bool read_all(int fd, void *to, size_t size, off_t from)
{
	return pread(fd, to, size, from) == (ssize_t)size;
}

static bool counter_wanted(const struct kvm_stats_desc *desc)
{
	return (desc->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_CUMULATIVE &&
	       desc->size == 1 && desc->offset < OFFSET_MAX;
}

/* @desc is followed by the name, of at most @name_size bytes. */
static void counter_add(struct counters *c, const struct kvm_stats_desc *desc,
			size_t name_size)
{
	struct counter *counter = &c->list[c->nr++];
	size_t len = strnlen(desc->name, name_size);

	snprintf(counter->name, sizeof(counter->name), "%.*s", (int)len,
		 desc->name);
	counter->offset = desc->offset;
	if (c->size < desc->offset + sizeof(uint64_t))
		c->size = desc->offset + sizeof(uint64_t);
}

static int counters_learn(struct counters *c)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
	size_t size;
	bool good = true;

	if (!read_all(c->fd, &header, sizeof(header), 0) ||
	    header.num_desc > DESCS_MAX || header.name_size > 4096)
		return -EINVAL;
	c->data = header.data_offset;
	size = sizeof(*desc) + header.name_size;
	desc = malloc(size);
	if (!desc)
		return -ENOMEM;
	for (uint32_t i = 0; good && i < header.num_desc; i++) {
		good = read_all(c->fd, desc, size,
				(off_t)(header.desc_offset + i * size));
		if (good && counter_wanted(desc))
			counter_add(c, desc, header.name_size);
	}
	free(desc);
	return good ? 0 : -EINVAL;
}

struct counters *counters_open(int fd)
{
	struct counters *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return NULL;
	}
	c->fd = fd;
	if (!counters_learn(c))
		return c;
	counters_close(c);
	return NULL;
}

void counters_close(struct counters *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c);
}

static int counters_print(const struct counters *c, const uint8_t *values,
			  char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < c->nr; i++) {
		uint64_t total;
		int n;

		memcpy(&total, values + c->list[i].offset, sizeof(total));
		if (!total)
			continue;
		n = snprintf(text + len, size - len, "%s%s=%" PRIu64,
			     len ? " " : "", c->list[i].name, total);
		if ((size_t)n >= size - len) {
			text[len] = '\0';
			return -ENOSPC;
		}
		len += (size_t)n;
	}
	return (int)len;
}

int counters_text(const struct counters *c, char *text, size_t size)
{
	uint8_t *values = malloc(c->size + 1);
	int ret = -EIO;

	if (!values)
		return -ENOMEM;
	if (read_all(c->fd, values, c->size, c->data))
		ret = counters_print(c, values, text, size);
	free(values);
	return ret;
}
