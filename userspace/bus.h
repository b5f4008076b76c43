/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two address spaces that a guest's I/O exits arrive in.
 */
#ifndef VMRUN_BUS_H
#define VMRUN_BUS_H

#include <pthread.h>
#include <stdint.h>

struct machine;

enum bus_kind { BUS_PIO, BUS_MMIO, BUS_KINDS };

/**
 * struct bus_region - a range of ports or of guest-physical addresses
 * @read: fills @data with @len bytes; @off counts from @base
 * @write: consumes @len bytes of @data
 *
 * @len is 1, 2, 4 or 8 and the access lies wholly inside the region. Either
 * handler may be NULL (reads give ones, writes vanish). Handlers run on vCPU
 * threads, several at once, with no lock held: a device locks itself.
 *
 * The region belongs to its device and must stay allocated for as long as
 * vCPU threads run: a handler may still be running when bus_remove() returns.
 * Handlers may call bus_add() and bus_remove().
 */
struct bus_region {
	enum bus_kind kind;
	uint64_t base;
	uint64_t size;
	void (*read)(void *opaque, uint64_t off, void *data, unsigned int len);
	void (*write)(void *opaque, uint64_t off, const void *data,
		      unsigned int len);
	void *opaque;
	const char *name;
};

struct bus {
	pthread_rwlock_t lock;
	struct bus_space {
		struct bus_region **regions;	/* sorted by base */
		unsigned int nr, room;
	} space[BUS_KINDS];
};

int bus_init(struct bus *bus);
void bus_destroy(struct bus *bus);

/**
 * bus_add - make a region visible to the guest
 *
 * Return: 0, -EINVAL for an empty or wrapping range, -EEXIST where it would
 * overlap another region, -ENOMEM.
 */
int bus_add(struct machine *m, struct bus_region *region);

/* Removing a region that is not on the bus does nothing. */
void bus_remove(struct machine *m, struct bus_region *region);

/*
 * One guest access of 1 to 8 bytes. Where nothing answers, reads give all
 * ones and writes are dropped.
 */
void bus_read(struct bus *bus, enum bus_kind kind, uint64_t addr, void *data,
	      unsigned int len);
void bus_write(struct bus *bus, enum bus_kind kind, uint64_t addr,
	       const void *data, unsigned int len);

/* Little-endian values in the data buffers of handlers. */
static inline uint64_t bus_get(const void *data, unsigned int len)
{
	const uint8_t *p = data;
	uint64_t value = 0;

	while (len--)
		value = value << 8 | p[len];
	return value;
}

static inline void bus_put(void *data, unsigned int len, uint64_t value)
{
	uint8_t *p = data;

	for (; len; len--, value >>= 8)
		*p++ = (uint8_t)value;
}

#endif
