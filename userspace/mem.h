/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest RAM: one anonymous mapping of this process, shown to the guest below
 * the hole (0 … 3 GiB) and above it (from 4 GiB).
 */
#ifndef VMRUN_MEM_H
#define VMRUN_MEM_H

#include <stdbool.h>
#include <stddef.h>
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
	uint64_t *dirty;	/* atomic; NULL while nobody asks: see mem_log_start() */
	uint64_t *retired;	/* the one before, that a thread may still be writing */
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

/*
 * Which pages change. KVM notes what it and the guest write; this process notes its own
 * writes by mem_touched(), after they are done. Both lists count 4 KiB pages of RAM from its
 * beginning, without the hole; mem_log_words() is the length of such a bitmap.
 */
#define MEM_PAGE	4096ull

static inline size_t mem_log_words(const struct mem *mem)
{
	return (size_t)((mem->size / MEM_PAGE + 63) / 64);
}

int mem_log_start(struct machine *m);
void mem_log_stop(struct machine *m);

/*
 * Adds to @bitmap what was written since the last call, and begins anew. The first call
 * after mem_log_start() may tell of all pages. Pages must be read after the call.
 */
int mem_log_fetch(struct machine *m, uint64_t *bitmap);

/* Any thread. @host is within RAM. */
void mem_touched(struct machine *m, const void *host, uint64_t len);

/* The bytes are those of @fd from @off on, read as they are needed, and private. */
int mem_map_file(struct mem *mem, int fd, uint64_t off);

/* Copies in and out of RAM: 0, or -EFAULT without having touched anything. */
int mem_read(struct machine *m, uint64_t gpa, void *data, uint64_t len);
int mem_write(struct machine *m, uint64_t gpa, const void *data, uint64_t len);

#endif
