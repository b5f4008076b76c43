// SPDX-License-Identifier: GPL-2.0-only
/* Values go in and come out; nothing is read past the end. */
#include <errno.h>
#include <string.h>

#include "stream.h"
#include "tests/tap.h"

static void test_values(void)
{
	struct stream s;
	char text[4];

	stream_init(&s);
	stream_put_u8(&s, 0x12);
	stream_put_u16(&s, 0x3456);
	stream_put_u32(&s, 0x789abcde);
	stream_put_u64(&s, 0x0123456789abcdefull);
	stream_put_bytes(&s, "abc", 4);
	ok(s.len == 19 && s.data[1] == 0x56, "values are little-endian");
	ok(stream_get_u8(&s) == 0x12 && stream_get_u16(&s) == 0x3456 &&
	   stream_get_u32(&s) == 0x789abcde &&
	   stream_get_u64(&s) == 0x0123456789abcdefull, "values come back");
	stream_get_bytes(&s, text, sizeof(text));
	ok(!strcmp(text, "abc") && !stream_error(&s), "so do bytes");
	ok(!stream_get_u16(&s) && stream_error(&s) == -EPROTO,
	   "reading past the end is an error and gives 0");
	stream_put_u8(&s, 1);
	ok(s.len == 19, "the error sticks");
	stream_destroy(&s);
}

static void test_limits(void)
{
	uint8_t big[5000] = { 1 };
	struct stream s;

	stream_init(&s);
	for (int i = 0; i < 100; i++)
		stream_put_bytes(&s, big, sizeof(big));
	ok(s.len == 500000 && !stream_error(&s), "it grows");
	stream_put_bytes(&s, big, SIZE_MAX - 10);
	ok(stream_error(&s) == -ENOMEM, "absurd lengths are refused");
	stream_fail(&s, -EIO);
	ok(stream_error(&s) == -ENOMEM, "the first error stays");
	stream_destroy(&s);
	ok(!stream_from(&s, "xy", 2) && stream_get_u16(&s) == 0x7978,
	   "a stream is made of bytes");
	stream_destroy(&s);
}

int main(void)
{
	test_values();
	test_limits();
	return tap_done();
}
