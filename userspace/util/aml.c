// SPDX-License-Identifier: GPL-2.0-only
#include "aml.h"

#include <string.h>

#include "stream.h"

enum {
	AML_NAME_OP = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_QWORD = 0x0e,
	AML_SCOPE_OP = 0x10,
	AML_BUFFER_OP = 0x11,
	AML_PACKAGE_OP = 0x12,
	AML_EXT = 0x5b,
	AML_EXT_DEVICE = 0x82,
};

/* Kinds of address space descriptors. */
enum { RES_MEMORY, RES_IO, RES_BUS };

#define PKG_LEN_BYTES 3

static size_t aml_open(struct stream *s)
{
	size_t at = s->len;

	for (int i = 0; i < PKG_LEN_BYTES; i++)
		stream_put_u8(s, 0);
	return at;
}

/* Two following bytes: 4 bits of length in the first byte, 16 in those. */
void aml_close(struct stream *s, size_t open)
{
	size_t len = s->len - open;

	if (stream_error(s))
		return;
	s->data[open] = (uint8_t)(2 << 6 | (len & 0xf));
	s->data[open + 1] = (uint8_t)(len >> 4);
	s->data[open + 2] = (uint8_t)(len >> 12);
}

void aml_name(struct stream *s, const char *name)
{
	stream_put_bytes(s, name, strlen(name));
}

size_t aml_open_scope(struct stream *s, const char *name)
{
	size_t at;

	stream_put_u8(s, AML_SCOPE_OP);
	at = aml_open(s);
	aml_name(s, name);
	return at;
}

size_t aml_open_device(struct stream *s, const char *name)
{
	size_t at;

	stream_put_u8(s, AML_EXT);
	stream_put_u8(s, AML_EXT_DEVICE);
	at = aml_open(s);
	aml_name(s, name);
	return at;
}

size_t aml_open_package(struct stream *s, uint8_t elements)
{
	size_t at;

	stream_put_u8(s, AML_PACKAGE_OP);
	at = aml_open(s);
	stream_put_u8(s, elements);
	return at;
}

void aml_integer(struct stream *s, uint64_t value)
{
	if (value <= 1) {
		stream_put_u8(s, (uint8_t)value);
	} else if (value <= 0xff) {
		stream_put_u8(s, AML_BYTE);
		stream_put_u8(s, (uint8_t)value);
	} else if (value <= 0xffff) {
		stream_put_u8(s, AML_WORD);
		stream_put_u16(s, (uint16_t)value);
	} else if (value <= 0xffffffff) {
		stream_put_u8(s, AML_DWORD);
		stream_put_u32(s, (uint32_t)value);
	} else {
		stream_put_u8(s, AML_QWORD);
		stream_put_u64(s, value);
	}
}

void aml_name_integer(struct stream *s, const char *name, uint64_t value)
{
	stream_put_u8(s, AML_NAME_OP);
	aml_name(s, name);
	aml_integer(s, value);
}

static uint32_t hex_digit(char c)
{
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Three letters of five bits, four hexadecimal digits, big-endian. */
void aml_name_eisaid(struct stream *s, const char *name, const char *id)
{
	uint32_t v = (id[0] - 0x40u) << 26 | (id[1] - 0x40u) << 21 |
		     (id[2] - 0x40u) << 16 | hex_digit(id[3]) << 12 |
		     hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 |
		     hex_digit(id[6]);

	stream_put_u8(s, AML_NAME_OP);
	aml_name(s, name);
	stream_put_u8(s, AML_DWORD);
	stream_put_u32(s, __builtin_bswap32(v));
}

void aml_name_crs(struct stream *s, const struct stream *res)
{
	size_t at;

	stream_put_u8(s, AML_NAME_OP);
	aml_name(s, "_CRS");
	stream_put_u8(s, AML_BUFFER_OP);
	at = aml_open(s);
	aml_integer(s, res->len + 2);
	stream_put_bytes(s, res->data, res->len);
	stream_put_u16(s, 0x0079);	/* end tag without checksum */
	aml_close(s, at);
	stream_fail(s, stream_error(res));
}

void aml_res_io(struct stream *res, uint16_t port, uint8_t len)
{
	stream_put_u8(res, 0x47);
	stream_put_u8(res, 1);		/* decodes 16 bits */
	stream_put_u16(res, port);
	stream_put_u16(res, port);
	stream_put_u8(res, 1);
	stream_put_u8(res, len);
}

void aml_res_irq(struct stream *res, unsigned int irq)
{
	stream_put_u8(res, 0x22);
	stream_put_u16(res, (uint16_t)(1u << irq));
}

/* Fixed at both ends; the specific flags depend on the kind. */
static void aml_res_window(struct stream *res, uint8_t tag, uint16_t len,
			   uint8_t kind, uint8_t specific)
{
	stream_put_u8(res, tag);
	stream_put_u16(res, len);
	stream_put_u8(res, kind);
	stream_put_u8(res, 0x0c);
	stream_put_u8(res, specific);
}

static void aml_res_word(struct stream *res, uint8_t kind, uint8_t specific,
			 uint16_t first, uint16_t last)
{
	aml_res_window(res, 0x88, 13, kind, specific);
	stream_put_u16(res, 0);		/* granularity */
	stream_put_u16(res, first);
	stream_put_u16(res, last);
	stream_put_u16(res, 0);		/* translation */
	stream_put_u16(res, (uint16_t)(last - first + 1));
}

void aml_res_bus(struct stream *res, uint16_t first, uint16_t last)
{
	aml_res_word(res, RES_BUS, 0, first, last);
}

void aml_res_io_window(struct stream *res, uint16_t first, uint16_t last)
{
	aml_res_word(res, RES_IO, 3, first, last);	/* entire range */
}

void aml_res_mem_window(struct stream *res, uint32_t first, uint32_t last)
{
	aml_res_window(res, 0x87, 23, RES_MEMORY, 1);	/* writable */
	stream_put_u32(res, 0);
	stream_put_u32(res, first);
	stream_put_u32(res, last);
	stream_put_u32(res, 0);
	stream_put_u32(res, last - first + 1);
}
