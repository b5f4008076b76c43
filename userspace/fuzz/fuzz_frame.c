// SPDX-License-Identifier: GPL-2.0-only
/* Frames of a move as they come out of a socket: lengths, checksums, compression. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "fuzz/fuzz.h"
#include "migrate/channel.h"
#include "migrate/frame.h"

#define HEADER	24

/* @out becomes a frame that @f's receiver believes, unless @spoil says otherwise. */
static void put_frame(struct fuzz_out *out, uint16_t type, uint16_t flags, uint32_t wire, uint32_t len, const void *data,
		      size_t data_len, uint64_t spoil)
{
	uint8_t header[HEADER] = { 'V', 'M', 'R', 'F' };
	uint64_t hash;

	memcpy(header + 4, &type, 2);
	memcpy(header + 6, &flags, 2);
	memcpy(header + 8, &wire, 4);
	memcpy(header + 12, &len, 4);
	hash = XXH3_64bits_withSeed(data, data_len, XXH3_64bits(header, 16)) ^ spoil;
	memcpy(header + 16, &hash, 8);
	fuzz_put(out, header, sizeof(header));
	fuzz_put(out, data, data_len);
}

/* A byte for each frame tells how right it is. */
static void make(struct fuzz_in *in, struct fuzz_out *out)
{
	while (in->left && out->len < FUZZ_MAX / 2) {
		uint8_t how = fuzz_u8(in);
		uint16_t type = fuzz_u8(in), flags = how & 3;
		uint32_t len = fuzz_u32(in) & (how & 4 ? ~0u : 0xffff), wire;
		size_t n;
		const uint8_t *data = fuzz_take(in, fuzz_u16(in) & 0x3fff, &n);

		wire = how & 8 ? fuzz_u32(in) : (uint32_t)n;
		if (!flags && !(how & 16))
			len = (uint32_t)n;
		put_frame(out, type, flags, wire, len, data, n, how & 32 ? fuzz_u64(in) : 0);
	}
}

/* Writes in pieces while it is read: a socket takes so much only. */
static void receive(const uint8_t *data, size_t size)
{
	enum frame_type type;
	struct framer framer;
	struct channel ch;
	const void *payload;
	size_t len, sum = 0;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	if (send(pair[1], data, size, MSG_NOSIGNAL) < 0)
		fuzz_assert(errno == EAGAIN || errno == EPIPE);
	shutdown(pair[1], SHUT_WR);
	channel_init(&ch, pair[0], -1, 1000);
	framer_init(&framer, 0);
	while (!frame_recv(&ch, &framer, &type, &payload, &len)) {
		fuzz_assert(len <= FRAME_MAX);
		for (size_t i = 0; i < len; i++)
			sum += ((const uint8_t *)payload)[i];
	}
	*(volatile size_t *)&sum = sum;
	framer_destroy(&framer);
	close(pair[0]);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t wire[FUZZ_MAX];
	struct fuzz_in in = { data, size };
	struct fuzz_out out = { wire, 0 };

	if (fuzz_u8(&in) & 1) {
		receive(in.p, in.left);
		return 0;
	}
	make(&in, &out);
	receive(wire, out.len);
	return 0;
}

static size_t seed_raw(uint8_t *data)
{
	struct fuzz_out out = { data, 0 };

	fuzz_put_int(&out, 1, 1);
	put_frame(&out, FRAME_HELLO, 0, 5, 5, "hello", 5, 0);
	put_frame(&out, FRAME_SYNC, 0, 0, 0, "", 0, 0);
	return out.len;
}

static size_t seed_packed(uint8_t *data)
{
	static const char zeroes[4096];
	char packed[256];
	size_t n = ZSTD_compress(packed, sizeof(packed), zeroes, sizeof(zeroes), 1);
	struct fuzz_out out = { data, 0 };

	fuzz_put_int(&out, 0, 1);
	fuzz_put_int(&out, 1, 1);
	fuzz_put_int(&out, FRAME_PAGES, 1);
	fuzz_put_int(&out, sizeof(zeroes), 4);
	fuzz_put_int(&out, n, 2);
	fuzz_put(&out, packed, n);
	return out.len;
}

static size_t seed_plain(uint8_t *data)
{
	struct fuzz_out out = { data, 0 };

	fuzz_put_int(&out, 0, 1);
	for (unsigned int type = 0; type < 12; type++) {
		fuzz_put_int(&out, 0, 1);
		fuzz_put_int(&out, type, 1);
		fuzz_put_int(&out, 8, 4);
		fuzz_put_int(&out, 8, 2);
		fuzz_put(&out, "12345678", 8);
	}
	return out.len;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static size_t (*const seeds[])(uint8_t *data) = { seed_raw, seed_packed, seed_plain };

	return i < sizeof(seeds) / sizeof(seeds[0]) ? seeds[i](data) : 0;
}
