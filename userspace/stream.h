/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A growing buffer of little-endian values, for device state. Errors stick: after
 * the first one every put does nothing and every get gives zero, so that
 * callers check once, at the end, with stream_error().
 */
#ifndef VMRUN_STREAM_H
#define VMRUN_STREAM_H

#include <stddef.h>
#include <stdint.h>

struct stream {
	uint8_t *data;
	size_t len;		/* bytes written */
	size_t room;
	size_t pos;		/* next byte to read */
	int error;		/* 0 or -errno */
};

void stream_init(struct stream *s);
/* Takes a copy of @data, to be read. */
int stream_from(struct stream *s, const void *data, size_t len);
void stream_destroy(struct stream *s);

void stream_put_bytes(struct stream *s, const void *data, size_t len);
void stream_put_u8(struct stream *s, uint8_t value);
void stream_put_u16(struct stream *s, uint16_t value);
void stream_put_u32(struct stream *s, uint32_t value);
void stream_put_u64(struct stream *s, uint64_t value);

/* Reading past the end sets -EPROTO and gives zeroes. */
void stream_get_bytes(struct stream *s, void *data, size_t len);
uint8_t stream_get_u8(struct stream *s);
uint16_t stream_get_u16(struct stream *s);
uint32_t stream_get_u32(struct stream *s);
uint64_t stream_get_u64(struct stream *s);

/* A length of 32 bits, then the bytes. */
void stream_put_block(struct stream *s, const void *data, size_t len);
/* The block must be exactly @len bytes long, or it is -EPROTO. */
void stream_get_block(struct stream *s, void *data, size_t len);
/* A string as a block; NULL is an empty one. The copy is the caller's; NULL on error. */
void stream_put_string(struct stream *s, const char *text);
char *stream_get_string(struct stream *s);

/* A loader that meets an impossible value marks the stream as bad. */
void stream_fail(struct stream *s, int error);
static inline int stream_error(const struct stream *s)
{
	return s->error;
}

#endif
