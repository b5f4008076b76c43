// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const uint8_t zeroes[MEM_PAGE];

int pages_init(struct pages *pages, const struct mem *mem)
{
	pages->mem = mem;
	pages->known = calloc(mem_log_words(mem) * 64, sizeof(*pages->known));
	return pages->known ? 0 : -ENOMEM;
}

void pages_destroy(struct pages *pages)
{
	free(pages->known);
	pages->known = NULL;
}

uint64_t pages_hash(const void *page)
{
	uint64_t hash;

	if (!memcmp(page, zeroes, MEM_PAGE))
		return 0;
	hash = XXH3_64bits(page, MEM_PAGE);
	return hash ? hash : 1;
}

/*
 * The guest may write the page meanwhile: it is copied first, so that what is sent is what
 * was hashed. (What it writes now is in the next round's list.)
 */
size_t pages_pack(struct pages *pages, uint64_t word, uint64_t mask, bool all,
		  uint8_t frame[PAGES_FRAME_MAX], unsigned int *sent)
{
	uint64_t *known = pages->known + word * 64;
	const uint8_t *host = pages->mem->host + word * PAGES_WORD_BYTES;
	uint8_t *to = frame + PAGES_HEADER;
	uint64_t head[3] = { word };

	for (; mask; mask &= mask - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(mask);
		uint64_t hash;

		memcpy(to, host + i * MEM_PAGE, MEM_PAGE);
		hash = pages_hash(to);
		if (hash == known[i] && !all)
			continue;
		known[i] = hash;
		(*sent)++;
		head[hash ? 1 : 2] |= 1ull << i;
		to += hash ? MEM_PAGE : 0;
	}
	memcpy(frame, head, sizeof(head));
	return head[1] | head[2] ? (size_t)(to - frame) : 0;
}

int pages_unpack(const struct mem *mem, const void *frame, size_t len,
		 int (*place)(void *opaque, uint64_t page, const void *data),
		 void *opaque)
{
	const uint8_t *data = (const uint8_t *)frame + PAGES_HEADER;
	uint64_t head[3], mask;
	int err = 0;

	if (len < PAGES_HEADER)
		return -EPROTO;
	memcpy(head, frame, sizeof(head));
	mask = head[1] | head[2];
	if (head[1] & head[2] || !mask || head[0] >= mem_log_words(mem) ||
	    len != PAGES_HEADER +
		   MEM_PAGE * (size_t)__builtin_popcountll(head[1]))
		return -EPROTO;
	if (head[0] * 64 + 63 - (uint64_t)__builtin_clzll(mask) >=
	    mem->size / MEM_PAGE)
		return -EPROTO;
	for (; mask && !err; mask &= mask - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(mask);
		bool here = head[1] >> i & 1;

		err = place(opaque, head[0] * 64 + i, here ? data : NULL);
		data += here ? MEM_PAGE : 0;
	}
	return err;
}

void pages_fill(const struct mem *mem, uint64_t *bitmap)
{
	memset(bitmap, 0xff, mem_log_words(mem) * sizeof(*bitmap));
	pages_clip(mem, bitmap);
}

void pages_clip(const struct mem *mem, uint64_t *bitmap)
{
	uint64_t pages = mem->size / MEM_PAGE;

	if (pages % 64)
		bitmap[pages / 64] &= (1ull << pages % 64) - 1;
}

uint64_t pages_count(const uint64_t *bitmap, size_t words)
{
	uint64_t count = 0;

	for (size_t i = 0; i < words; i++)
		count += (uint64_t)__builtin_popcountll(bitmap[i]);
	return count;
}
