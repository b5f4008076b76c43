/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest RAM: one anonymous mapping of this process, shown to the guest below
 * the hole (0 … 3 GiB) and above it (from 4 GiB).
 */
#ifndef VMRUN_MEM_H
#define VMRUN_MEM_H

#include <stdbool.h>
#include <stdint.h>

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define MEM_HOLE_START	GIB(3)
#define MEM_HOLE_END	GIB(4)

struct machine;

struct mem {
	uint8_t *host;
	uint64_t size;		/* all of it */
	uint64_t low;		/* bytes below the hole */
	uint64_t high;		/* bytes from MEM_HOLE_END on */
};

/* Reserves @size bytes of RAM; they are backed as the guest touches them. */
int mem_init(struct mem *mem, uint64_t size);
void mem_destroy(struct mem *mem);

/* Tells KVM of the RAM. */
int mem_map_guest(struct machine *m);

/**
 * mem_at - host address of guest-physical memory
 *
 * Return: a pointer to @len bytes, or NULL unless all of them are RAM in one
 * piece. @gpa and @len may be anything that a guest can write. The guest may
 * change the bytes at any moment: read a value once, then check the copy.
 */
void *mem_at(struct machine *m, uint64_t gpa, uint64_t len);

/* Copies in and out of RAM: 0, or -EFAULT without having touched anything. */
int mem_read(struct machine *m, uint64_t gpa, void *data, uint64_t len);
int mem_write(struct machine *m, uint64_t gpa, const void *data, uint64_t len);

#endif
