// SPDX-License-Identifier: GPL-2.0-only
/* The side of a move where the guest arrives: what a hostile source sends, in frames that are right outside. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"
#include "device.h"
#include "fuzz/noterm.h"
#include "fuzz/state.h"
#include "migrate/channel.h"
#include "migrate/frame.h"
#include "migrate/pages.h"
#include "migrate/postcopy.h"
#include "migrate/state.h"
#include "migrate/target.h"
#include "vcpu.h"

#define FRAMES_MAX	32
#define PATIENCE_MS	10000

static struct board b;
static char uri[64];

/* ---- instead of what needs a guest: vcpu.c, control.c, postcopy.c ---- */

int vcpus_start(struct machine *m)
{
	(void)m;
	return 0;
}

void vcpus_stop(struct machine *m)
{
	(void)m;
}

void control_unlink(struct machine *m)
{
	(void)m;
}

void machine_user_pause(struct machine *m)
{
	m->user_paused = true;
}

struct postcopy {
	struct machine *m;
	uint64_t *missing;
	size_t words;
};

int postcopy_prepare(void)
{
	return dup(STDIN_FILENO);
}

int postcopy_create(struct postcopy **pcp, struct machine *m, int uffd, const void *missing, char *why, size_t size)
{
	struct postcopy *pc = calloc(1, sizeof(*pc));

	(void)why;
	(void)size;
	if (uffd >= 0)
		close(uffd);
	pc->m = m;
	pc->words = mem_log_words(&m->mem);
	pc->missing = malloc(pc->words * sizeof(uint64_t));
	memcpy(pc->missing, missing, pc->words * sizeof(uint64_t));
	pages_clip(&m->mem, pc->missing);
	*pcp = pc;
	return 0;
}

void postcopy_destroy(struct postcopy *pc)
{
	if (pc)
		free(pc->missing);
	free(pc);
}

void postcopy_abandon(struct postcopy *pc)
{
	(void)pc;
}

int postcopy_start(struct postcopy *pc, struct channel *ch)
{
	(void)pc;
	(void)ch;
	return 0;
}

void postcopy_stop(struct postcopy *pc)
{
	(void)pc;
}

int postcopy_place(void *opaque, uint64_t page, const void *data)
{
	struct postcopy *pc = opaque;

	fuzz_assert(page < pc->m->mem.size / MEM_PAGE);
	if (data)
		memcpy(pc->m->mem.host + page * MEM_PAGE, data, MEM_PAGE);
	pc->missing[page / 64] &= ~(1ull << page % 64);
	return 0;
}

const uint64_t *postcopy_missing(struct postcopy *pc, size_t *bytes)
{
	*bytes = pc->words * sizeof(uint64_t);
	return pc->missing;
}

bool postcopy_complete(const struct postcopy *pc)
{
	uint64_t any = 0;

	for (size_t i = 0; i < pc->words; i++)
		any |= pc->missing[i];
	return !any;
}

void postcopy_end(struct postcopy *pc)
{
	(void)pc;
}

/* ---- what comes over the wire ---- */

static void build_hello(struct fuzz_in *in, struct stream *s)
{
	uint8_t streams;

	stream_init(s);
	stream_put_u32(s, fuzz_u8(in));
	stream_put_u32(s, fuzz_u8(in));
	streams = fuzz_u8(in);
	/* those that are promised must come, or they are waited for */
	stream_put_u32(s, streams > 1 && streams <= 32 ? 1 : streams);
	stream_put_u64(s, fuzz_u8(in));
	fuzz_assert(!config_save(&b.m, s));
}

static void build_pages(struct fuzz_in *in, struct stream *s)
{
	uint64_t head[3] = { fuzz_u8(in), fuzz_u64(in), fuzz_u64(in) };
	uint8_t pages = fuzz_u8(in) & 15;
	static const uint8_t page[MEM_PAGE];

	stream_init(s);
	stream_put_bytes(s, head, sizeof(head));
	while (pages--)
		stream_put_bytes(s, page, sizeof(page));
}

static void build_missing(struct fuzz_in *in, struct stream *s)
{
	size_t words = mem_log_words(&b.m.mem);

	stream_init(s);
	while (words--)
		stream_put_u64(s, fuzz_u64(in));
}

static void build_any(struct fuzz_in *in, struct stream *s)
{
	size_t len;
	const uint8_t *data = fuzz_take(in, fuzz_u16(in), &len);

	stream_init(s);
	stream_put_bytes(s, data, len);
}

static void build_state(struct fuzz_in *in, struct stream *s)
{
	size_t len;
	const uint8_t *data = fuzz_take(in, fuzz_u16(in), &len);
	struct fuzz_in part = { data, len };

	state_build(&b, &part, s);
}

static void build(struct fuzz_in *in, enum frame_type type, bool plain, struct stream *s)
{
	if (plain)
		build_any(in, s);
	else if (type == FRAME_HELLO)
		build_hello(in, s);
	else if (type == FRAME_PAGES)
		build_pages(in, s);
	else if (type == FRAME_MISSING)
		build_missing(in, s);
	else if (type == FRAME_STATE)
		build_state(in, s);
	else
		build_any(in, s);
}

static int send_frames(struct channel *ch, struct fuzz_in *in)
{
	struct framer framer;
	int err = 0;

	framer_init(&framer, 1);
	for (unsigned int i = 0; !err && in->left && i < FRAMES_MAX; i++) {
		uint8_t kind = fuzz_u8(in);
		enum frame_type type = (kind & 31) % (FRAME_ALIVE + 2);
		struct stream s;

		build(in, type, kind & 32, &s);
		err = frame_send(ch, &framer, type, s.data, s.len);
		stream_destroy(&s);
	}
	framer_destroy(&framer);
	return err;
}

/* ---- */

static void init(void)
{
	state_machine(&b);
	job_init(&b.m.job);
	snprintf(uri, sizeof(uri), "unix:/tmp/fuzz-target-%d", (int)getpid());
	b.m.cfg.origin = ORIGIN_INCOMING;
	b.m.cfg.from = uri;
	board_start_loop(&b);
}

/* Until the other side has closed the connection. */
static void hear_out(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char text[4096];

	shutdown(fd, SHUT_WR);
	while (poll(&pfd, 1, PATIENCE_MS) > 0 && recv(fd, text, sizeof(text), 0) > 0)
		;
	fuzz_assert(pfd.revents);
}

static void arrive(struct fuzz_in *in)
{
	struct channel ch;
	char why[100];
	int fd = channel_connect(uri, -1, why, sizeof(why));

	fuzz_assert(fd >= 0);
	channel_init(&ch, fd, -1, PATIENCE_MS);
	send_frames(&ch, in);
	hear_out(fd);
	channel_close(&ch);
}

static int reset(void *opaque)
{
	(void)opaque;
	devices_reset(&b.m);
	b.m.arrived = false;
	b.m.user_paused = false;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	unsigned int connections = 1;

	if (!uri[0])
		init();
	loop_call(&b.m.loop, reset, NULL);
	fuzz_assert(!target_create(&b.m) && !target_start(&b.m));
	do {
		arrive(&in);
	} while (in.left && connections++ < 3 && b.m.arrived);
	target_destroy(&b.m);
	return 0;
}

/* ---- seeds: a whole move, plain and post-copy ---- */

static void put_hello(struct fuzz_out *out, uint8_t flags)
{
	fuzz_put_int(out, FRAME_HELLO, 1);
	fuzz_put_int(out, STATE_VERSION, 1);
	fuzz_put_int(out, flags, 1);
	fuzz_put_int(out, 1, 1);
	fuzz_put_int(out, 7, 1);
}

static void put_plain(struct fuzz_out *out, enum frame_type type, const void *data, size_t len)
{
	fuzz_put_int(out, type | 32, 1);
	fuzz_put_int(out, len, 2);
	fuzz_put(out, data, len);
}

static void put_pages(struct fuzz_out *out)
{
	fuzz_put_int(out, FRAME_PAGES, 1);
	fuzz_put_int(out, 1, 1);
	fuzz_put_int(out, 3, 8);
	fuzz_put_int(out, 0xf0, 8);
	fuzz_put_int(out, 2, 1);
}

static void put_state(struct fuzz_out *out)
{
	static uint8_t room[FUZZ_MAX];
	struct fuzz_out state = { room, 0 };

	state_seed(&b, &state);
	fuzz_put_int(out, FRAME_STATE, 1);
	fuzz_put_int(out, state.len, 2);
	fuzz_put(out, state.p, state.len);
}

/* On the loop's thread, as devices are asked for their state. */
static int seed(void *opaque)
{
	struct fuzz_out *out = opaque;
	bool postcopy = out->len;
	uint64_t check[2] = { 0, 0 };

	out->len = 0;
	put_hello(out, postcopy ? 1 : 2);
	put_pages(out);
	put_plain(out, FRAME_SYNC, NULL, 0);
	if (postcopy) {
		fuzz_put_int(out, FRAME_MISSING, 1);
		for (size_t i = 0; i < mem_log_words(&b.m.mem); i++)
			fuzz_put_int(out, i == 1 ? 0xf3 : 0, 8);
	} else {
		put_plain(out, FRAME_CHECK, check, sizeof(check));
	}
	put_state(out);
	put_plain(out, FRAME_GO, check, 4);
	if (postcopy) {
		put_pages(out);
		put_plain(out, FRAME_END, NULL, 0);
	}
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	struct fuzz_out out = { data, i };

	if (i > 1)
		return 0;
	if (!uri[0])
		init();
	loop_call(&b.m.loop, seed, &out);
	return out.len;
}
