// SPDX-License-Identifier: GPL-2.0-only
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void stream_init(struct stream *s)
{
	memset(s, 0, sizeof(*s));
}

int stream_from(struct stream *s, const void *data, size_t len)
{
	stream_init(s);
	stream_put_bytes(s, data, len);
	return s->error;
}

void stream_destroy(struct stream *s)
{
	free(s->data);
	stream_init(s);
}

void stream_fail(struct stream *s, int error)
{
	if (!s->error)
		s->error = error;
}

static int stream_make_room(struct stream *s, size_t len)
{
	size_t room = s->room ? s->room : 256;
	uint8_t *data;

	if (len > SIZE_MAX / 2 - s->len)
		return -ENOMEM;
	if (len <= s->room - s->len)
		return 0;
	while (room - s->len < len)
		room *= 2;
	data = realloc(s->data, room);
	if (!data)
		return -ENOMEM;
	s->data = data;
	s->room = room;
	return 0;
}

void stream_put_bytes(struct stream *s, const void *data, size_t len)
{
	if (!len || s->error)
		return;
	s->error = stream_make_room(s, len);
	if (s->error)
		return;
	memcpy(s->data + s->len, data, len);
	s->len += len;
}

static void stream_put(struct stream *s, uint64_t value, size_t len)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	stream_put_bytes(s, bytes, len);
}

void stream_put_u8(struct stream *s, uint8_t value)
{
	stream_put(s, value, 1);
}

void stream_put_u16(struct stream *s, uint16_t value)
{
	stream_put(s, value, 2);
}

void stream_put_u32(struct stream *s, uint32_t value)
{
	stream_put(s, value, 4);
}

void stream_put_u64(struct stream *s, uint64_t value)
{
	stream_put(s, value, 8);
}

void stream_get_bytes(struct stream *s, void *data, size_t len)
{
	if (!len)
		return;
	memset(data, 0, len);
	if (len > s->len - s->pos)
		stream_fail(s, -EPROTO);
	if (s->error)
		return;
	memcpy(data, s->data + s->pos, len);
	s->pos += len;
}

static uint64_t stream_get(struct stream *s, size_t len)
{
	uint8_t bytes[8] = { 0 };
	uint64_t value = 0;

	stream_get_bytes(s, bytes, len);
	while (len--)
		value = value << 8 | bytes[len];
	return value;
}

uint8_t stream_get_u8(struct stream *s)
{
	return (uint8_t)stream_get(s, 1);
}

uint16_t stream_get_u16(struct stream *s)
{
	return (uint16_t)stream_get(s, 2);
}

uint32_t stream_get_u32(struct stream *s)
{
	return (uint32_t)stream_get(s, 4);
}

uint64_t stream_get_u64(struct stream *s)
{
	return stream_get(s, 8);
}

void stream_put_block(struct stream *s, const void *data, size_t len)
{
	if (len > UINT32_MAX)
		stream_fail(s, -EOVERFLOW);
	stream_put_u32(s, (uint32_t)len);
	stream_put_bytes(s, data, len);
}

void stream_get_block(struct stream *s, void *data, size_t len)
{
	if (stream_get_u32(s) != len)
		stream_fail(s, -EPROTO);
	stream_get_bytes(s, data, len);
}

void stream_put_string(struct stream *s, const char *text)
{
	stream_put_block(s, text, text ? strlen(text) : 0);
}

char *stream_get_string(struct stream *s)
{
	uint32_t len = stream_get_u32(s);
	char *text;

	if (s->error || len > s->len - s->pos) {
		stream_fail(s, -EPROTO);
		return NULL;
	}
	text = calloc(1, (size_t)len + 1);
	if (!text) {
		stream_fail(s, -ENOMEM);
		return NULL;
	}
	stream_get_bytes(s, text, len);
	return text;
}
