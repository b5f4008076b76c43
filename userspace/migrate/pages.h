/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages of RAM on their way. They travel in words: 64 neighbouring pages, as a word of a
 * bitmap has bits. A PAGES frame holds the number of the word, which of its pages are here,
 * which are zeroes (3 x 64 bits), and the pages here.
 */
#ifndef VMRUN_MIGRATE_PAGES_H
#define VMRUN_MIGRATE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

#define PAGES_WORD_BYTES	(64 * MEM_PAGE)
#define PAGES_HEADER		24
#define PAGES_FRAME_MAX		(PAGES_HEADER + PAGES_WORD_BYTES)

/*
 * struct pages - what the other side has
 * @known: of each page the hash of what was sent, 0 for zeroes, which is what it begins with
 *
 * A word belongs to one thread at a time.
 */
struct pages {
	const struct mem *mem;
	uint64_t *known;
};

int pages_init(struct pages *pages, const struct mem *mem);
void pages_destroy(struct pages *pages);

/*
 * Makes a frame of those pages of @mask that the other side does not have yet; with @all, of all
 * of them. Return: its length, 0 if there is nothing to send; *sent counts the pages.
 */
size_t pages_pack(struct pages *pages, uint64_t word, uint64_t mask, bool all,
		  uint8_t frame[PAGES_FRAME_MAX], unsigned int *sent);

/*
 * Takes a frame apart: @place is called for each page, in order, with NULL for zeroes. Return:
 * 0, -EPROTO, or what @place returned.
 */
int pages_unpack(const struct mem *mem, const void *frame, size_t len,
		 int (*place)(void *opaque, uint64_t page, const void *data),
		 void *opaque);

/* Hash of a page, never 0 but for zeroes. */
uint64_t pages_hash(const void *page);

/* Bits beyond RAM's end are never set; pages_clip() clears them. */
void pages_fill(const struct mem *mem, uint64_t *bitmap);
void pages_clip(const struct mem *mem, uint64_t *bitmap);
uint64_t pages_count(const uint64_t *bitmap, size_t words);

#endif
