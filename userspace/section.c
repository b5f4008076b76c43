// SPDX-License-Identifier: GPL-2.0-only
#include "section.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

void section_put(struct stream *s, const char *name, uint32_t version,
		 const struct stream *body)
{
	size_t start = s->len, len = strlen(name);

	if (body->error)
		stream_fail(s, body->error);
	if (!len || len > SECTION_NAME_MAX || body->len > UINT32_MAX)
		stream_fail(s, -EOVERFLOW);
	stream_put_u8(s, (uint8_t)len);
	stream_put_bytes(s, name, len);
	stream_put_u32(s, version);
	stream_put_block(s, body->data, body->len);
	if (!s->error)
		stream_put_u64(s, XXH3_64bits(s->data + start, s->len - start));
}

void section_put_end(struct stream *s)
{
	stream_put_u8(s, 0);
}

static int section_read(struct stream *s, struct section *sec, uint8_t name_len)
{
	size_t start = s->pos - 1, body;
	uint32_t len;

	if (name_len > SECTION_NAME_MAX)
		return -EBADMSG;
	stream_get_bytes(s, sec->name, name_len);
	sec->version = stream_get_u32(s);
	len = stream_get_u32(s);
	if (stream_error(s) || len > s->len - s->pos)
		return -EPROTO;
	body = s->pos;
	s->pos += len;
	if (stream_get_u64(s) != XXH3_64bits(s->data + start, body + len - start))
		return stream_error(s) ? -EPROTO : -EBADMSG;
	return stream_from(&sec->body, s->data + body, len);
}

int section_get(struct stream *s, struct section *sec)
{
	uint8_t name_len;
	int err;

	memset(sec, 0, sizeof(*sec));
	name_len = stream_get_u8(s);
	if (stream_error(s))
		return -EPROTO;
	if (!name_len)
		return s->pos == s->len ? 0 : -EBADMSG;
	err = section_read(s, sec, name_len);
	if (err)
		stream_fail(s, err);
	return err ? err : 1;
}

void section_destroy(struct section *sec)
{
	stream_destroy(&sec->body);
}

int section_finish(struct section *sec)
{
	if (stream_error(&sec->body))
		return stream_error(&sec->body);
	return sec->body.pos == sec->body.len ? 0 : -EPROTO;
}
