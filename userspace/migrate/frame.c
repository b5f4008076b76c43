// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#define FRAME_ZSTD	1
#define FRAME_HASHED	16	/* bytes of the header before the hash */
#define WORTH_A_TRY	512	/* shorter payloads are sent as they are */

static const char frame_magic[4] = "VMRF";

void framer_init(struct framer *f, int level)
{
	memset(f, 0, sizeof(*f));
	f->level = level;
}

void framer_destroy(struct framer *f)
{
	free(f->wire);
	free(f->plain);
	ZSTD_freeCCtx(f->zc);
	ZSTD_freeDCtx(f->zd);
}

static int make_room(uint8_t **buf, size_t *room, size_t want)
{
	uint8_t *grown;

	if (want <= *room)
		return 0;
	grown = realloc(*buf, want);
	if (!grown)
		return -ENOMEM;
	*buf = grown;
	*room = want;
	return 0;
}

static void put(uint8_t *p, uint64_t value, size_t len)
{
	while (len--) {
		*p++ = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t get(const uint8_t *p, size_t len)
{
	uint64_t value = 0;

	while (len--)
		value = value << 8 | p[len];
	return value;
}

static uint64_t frame_hash(const uint8_t *wire, size_t len)
{
	return XXH3_64bits_withSeed(wire + FRAME_HEADER, len,
				    XXH3_64bits(wire, FRAME_HASHED));
}

/* Return: the bytes at @f->wire + FRAME_HEADER, 0 if it is not worth it, or -errno. */
static ssize_t compress(struct framer *f, const void *data, size_t len)
{
	size_t n;

	if (!f->level || len < WORTH_A_TRY)
		return 0;
	if (!f->zc)
		f->zc = ZSTD_createCCtx();
	if (!f->zc)
		return -ENOMEM;
	n = ZSTD_compressCCtx(f->zc, f->wire + FRAME_HEADER, len, data, len,
			      f->level);
	/* Also when the result would not fit into as many bytes. */
	return ZSTD_isError(n) || n >= len ? 0 : (ssize_t)n;
}

int frame_send(struct channel *ch, struct framer *f, enum frame_type type,
	       const void *data, size_t len)
{
	ssize_t n;
	int err;

	if (len > FRAME_MAX)
		return -EOVERFLOW;
	err = make_room(&f->wire, &f->wire_room, FRAME_HEADER + len);
	if (err)
		return err;
	n = compress(f, data, len);
	if (n < 0)
		return (int)n;
	memcpy(f->wire, frame_magic, sizeof(frame_magic));
	put(f->wire + 4, type, 2);
	put(f->wire + 6, n ? FRAME_ZSTD : 0, 2);
	put(f->wire + 8, n ? (uint64_t)n : len, 4);
	put(f->wire + 12, len, 4);
	if (!n) {
		if (len)
			memcpy(f->wire + FRAME_HEADER, data, len);
		n = (ssize_t)len;
	}
	put(f->wire + FRAME_HASHED, frame_hash(f->wire, (size_t)n), 8);
	return channel_write(ch, f->wire, FRAME_HEADER + (size_t)n);
}

static int decompress(struct framer *f, size_t wire_len, size_t len)
{
	size_t n;
	int err = make_room(&f->plain, &f->plain_room, len ? len : 1);

	if (err)
		return err;
	if (!f->zd)
		f->zd = ZSTD_createDCtx();
	if (!f->zd)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(f->zd, f->plain, len, f->wire + FRAME_HEADER,
				wire_len);
	return ZSTD_isError(n) || n != len ? -EBADMSG : 0;
}

int frame_recv(struct channel *ch, struct framer *f, enum frame_type *type,
	       const void **data, size_t *len)
{
	uint8_t header[FRAME_HEADER];
	size_t wire_len;
	unsigned int flags;
	int err = channel_read(ch, header, sizeof(header));

	if (err)
		return err;
	if (memcmp(header, frame_magic, sizeof(frame_magic)))
		return -EPROTO;
	*type = (enum frame_type)get(header + 4, 2);
	flags = (unsigned int)get(header + 6, 2);
	wire_len = get(header + 8, 4);
	*len = get(header + 12, 4);
	if (*len > FRAME_MAX || wire_len > *len ||
	    flags > FRAME_ZSTD || (!flags && wire_len != *len))
		return -EPROTO;
	err = make_room(&f->wire, &f->wire_room, FRAME_HEADER + wire_len);
	if (err)
		return err;
	memcpy(f->wire, header, sizeof(header));
	err = channel_read(ch, f->wire + FRAME_HEADER, wire_len);
	if (err)
		return err;
	if (frame_hash(f->wire, wire_len) != get(header + FRAME_HASHED, 8))
		return -EBADMSG;
	*data = f->wire + FRAME_HEADER;
	if (flags & FRAME_ZSTD) {
		err = decompress(f, wire_len, *len);
		*data = f->plain;
	}
	return err;
}
