// SPDX-License-Identifier: GPL-2.0-only
/* The side of a move that the guest leaves: what a hostile destination answers. */
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "fuzz/noterm.h"
#include "fuzz/state.h"
#include "migrate/channel.h"
#include "migrate/frame.h"
#include "migrate/job.h"
#include "migrate/source.h"

#define FRAMES_MAX	32
#define PATIENCE_MS	10000

static struct board b;

static void init(void)
{
	state_machine(&b);
	job_init(&b.m.job);
	b.m.arrived = true;
	board_start_loop(&b);
}

static void send_answers(struct channel *ch, struct fuzz_in *in)
{
	struct framer framer;
	int err = 0;

	framer_init(&framer, 0);
	for (unsigned int i = 0; !err && in->left && i < FRAMES_MAX; i++) {
		enum frame_type type = fuzz_u8(in) % (FRAME_ALIVE + 2);
		size_t len;
		const uint8_t *data = fuzz_take(in, fuzz_u8(in), &len);

		err = frame_send(ch, &framer, type, data, len);
	}
	framer_destroy(&framer);
}

/* All answers are there before the first question. */
static int make_answers(struct fuzz_in *in)
{
	struct channel ch;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	channel_init(&ch, pair[0], -1, PATIENCE_MS);
	send_answers(&ch, in);
	shutdown(pair[0], SHUT_WR);
	fuzz_assert(!source_offer(&b.m, pair[1]));
	return pair[0];
}

static int begin(void *opaque)
{
	const uint8_t *flags = opaque;
	struct source_opts opts = {
		.uri = "unix:/nowhere", .downtime_ms = 300, .streams = 1, .timeout_s = 10, .level = *flags & 1,
		.postcopy = *flags & 2, .check = *flags & 4,
	};

	b.m.moved = *flags & 8 ? MOVED_PARTLY : MOVED_NO;
	b.m.user_paused = *flags & 16;
	return source_begin(&b.m, &opts);
}

static int settle(void *opaque)
{
	(void)opaque;
	source_settle(&b.m);
	/* a guest that was handed over would never be moved anew */
	if (b.m.mem.dirty)
		mem_log_stop(&b.m);
	devices_start(&b.m);
	devices_reset(&b.m);
	return 0;
}

static void await_end(void)
{
	for (unsigned int i = 0; job_state(&b.m.job) == JOB_RUNNING; i++) {
		fuzz_assert(i < 200000);
		usleep(50);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t flags = fuzz_u8(&in);
	int fd;

	if (!b.m.pci)
		init();
	fuzz_assert(!loop_call(&b.m.loop, begin, &flags));
	fd = make_answers(&in);
	await_end();
	loop_call(&b.m.loop, settle, NULL);
	close(fd);
	return 0;
}

static void put_frame(struct fuzz_out *out, enum frame_type type, const void *data, size_t len)
{
	fuzz_put_int(out, type, 1);
	fuzz_put_int(out, len, 1);
	fuzz_put(out, data, len);
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	struct fuzz_out out = { data, 0 };
	uint64_t missing[STATE_RAM / 4096 / 64] = { 0xff }, page = 3;

	if (i > 4)
		return 0;
	fuzz_put_int(&out, i == 1 ? 2 : i == 2 ? 8 : i == 3 ? 16 : 4, 1);
	put_frame(&out, FRAME_READY, missing, i == 2 ? sizeof(missing) : 0);
	if (i == 4) {
		put_frame(&out, FRAME_REFUSE, "no\nreason", 9);
		return out.len;
	}
	if (i == 1) {
		put_frame(&out, FRAME_REQUEST, &page, sizeof(page));
		put_frame(&out, FRAME_LOADED, NULL, 0);
		put_frame(&out, FRAME_REQUEST, &page, sizeof(page));
	}
	if (i != 2 && i != 1)
		put_frame(&out, FRAME_LOADED, NULL, 0);
	put_frame(&out, FRAME_RUNNING, NULL, 0);
	put_frame(&out, FRAME_REQUEST, &page, sizeof(page));
	put_frame(&out, FRAME_COMPLETE, NULL, 0);
	return out.len;
}
