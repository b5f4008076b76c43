// SPDX-License-Identifier: GPL-2.0-only
#include "bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

int bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	return -pthread_rwlock_init(&bus->lock, NULL);
}

void bus_destroy(struct bus *bus)
{
	for (unsigned int i = 0; i < BUS_KINDS; i++)
		free(bus->space[i].regions);
	pthread_rwlock_destroy(&bus->lock);
}

/* Index of the first region that ends behind @addr. */
static unsigned int bus_search(const struct bus_space *space, uint64_t addr)
{
	unsigned int low = 0, high = space->nr;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;
		const struct bus_region *r = space->regions[mid];

		if (r->base + (r->size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int bus_make_room(struct bus_space *space)
{
	unsigned int room = space->room ? 2 * space->room : 16;
	struct bus_region **regions;

	if (space->nr < space->room)
		return 0;
	regions = realloc(space->regions, room * sizeof(struct bus_region *));
	if (!regions)
		return -ENOMEM;
	space->regions = regions;
	space->room = room;
	return 0;
}

static int bus_insert(struct bus_space *space, struct bus_region *region)
{
	uint64_t last = region->base + (region->size - 1);
	unsigned int i = bus_search(space, region->base);
	int err;

	if (i < space->nr && space->regions[i]->base <= last)
		return -EEXIST;
	err = bus_make_room(space);
	if (err)
		return err;
	memmove(&space->regions[i + 1], &space->regions[i],
		(space->nr - i) * sizeof(space->regions[0]));
	space->regions[i] = region;
	space->nr++;
	return 0;
}

int bus_add(struct machine *m, struct bus_region *region)
{
	int err;

	if (region->kind >= BUS_KINDS || !region->size ||
	    region->base + (region->size - 1) < region->base)
		return -EINVAL;
	pthread_rwlock_wrlock(&m->bus.lock);
	err = bus_insert(&m->bus.space[region->kind], region);
	pthread_rwlock_unlock(&m->bus.lock);
	return err;
}

void bus_remove(struct machine *m, struct bus_region *region)
{
	struct bus_space *space;
	unsigned int i;

	if (region->kind >= BUS_KINDS)
		return;
	space = &m->bus.space[region->kind];
	pthread_rwlock_wrlock(&m->bus.lock);
	for (i = 0; i < space->nr && space->regions[i] != region; i++)
		;
	if (i < space->nr) {
		space->nr--;
		memmove(&space->regions[i], &space->regions[i + 1],
			(space->nr - i) * sizeof(space->regions[0]));
	}
	pthread_rwlock_unlock(&m->bus.lock);
}

/* The region that holds all @len bytes; *@off becomes the offset inside. */
static struct bus_region *bus_find(struct bus *bus, enum bus_kind kind,
				   uint64_t addr, unsigned int len,
				   uint64_t *off)
{
	struct bus_space *space = &bus->space[kind];
	struct bus_region *region = NULL;
	unsigned int i;

	pthread_rwlock_rdlock(&bus->lock);
	i = bus_search(space, addr);
	if (i < space->nr && space->regions[i]->base <= addr) {
		region = space->regions[i];
		*off = addr - region->base;
		if (region->size - *off < len)
			region = NULL;
	}
	pthread_rwlock_unlock(&bus->lock);
	return region;
}

void bus_read(struct bus *bus, enum bus_kind kind, uint64_t addr, void *data,
	      unsigned int len)
{
	struct bus_region *region;
	uint64_t off;

	memset(data, 0xff, len);
	region = bus_find(bus, kind, addr, len, &off);
	if (region && region->read)
		region->read(region->opaque, off, data, len);
}

void bus_write(struct bus *bus, enum bus_kind kind, uint64_t addr,
	       const void *data, unsigned int len)
{
	struct bus_region *region;
	uint64_t off;

	region = bus_find(bus, kind, addr, len, &off);
	if (region && region->write)
		region->write(region->opaque, off, data, len);
}
