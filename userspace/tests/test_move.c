// SPDX-License-Identifier: GPL-2.0-only
/* What travels between two machines: frames, pages, addresses; and damage on the way. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migrate/channel.h"
#include "migrate/frame.h"
#include "migrate/pages.h"
#include "tests/tap.h"

#define PATIENCE_MS 200

struct line {
	struct channel a, b;
	struct framer fa, fb;
};

static void line_open(struct line *l, int level)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
		abort();
	channel_init(&l->a, fds[0], -1, PATIENCE_MS);
	channel_init(&l->b, fds[1], -1, PATIENCE_MS);
	framer_init(&l->fa, level);
	framer_init(&l->fb, 0);
}

static void line_close(struct line *l)
{
	channel_close(&l->a);
	channel_close(&l->b);
	framer_destroy(&l->fa);
	framer_destroy(&l->fb);
}

static uint8_t body[20000];

static bool carries(struct line *l, size_t len)
{
	enum frame_type type = 0;
	const void *data;
	size_t got = 0;

	return !frame_send(&l->a, &l->fa, FRAME_STATE, body, len) &&
	       !frame_recv(&l->b, &l->fb, &type, &data, &got) &&
	       type == FRAME_STATE && got == len && !memcmp(data, body, len);
}

static void test_frames(void)
{
	struct line l;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i / 100);
	line_open(&l, 0);
	ok(carries(&l, 0) && carries(&l, 1) && carries(&l, sizeof(body)),
	   "frames as they are");
	ok(l.a.sent == 3 * FRAME_HEADER + 1 + sizeof(body), "and no byte more");
	line_close(&l);
	line_open(&l, 3);
	ok(carries(&l, 0) && carries(&l, 1) && carries(&l, sizeof(body)),
	   "compressed frames");
	ok(l.a.sent < sizeof(body) / 10, "and they are shorter");
	line_close(&l);
}

/* What becomes of a frame with these bytes on the wire: the error, or 0. */
static int received(const uint8_t *wire, size_t len)
{
	enum frame_type type;
	struct line l;
	const void *data;
	size_t got;
	int err;

	line_open(&l, 0);
	if (channel_write(&l.a, wire, len))
		abort();
	channel_close(&l.a);
	err = frame_recv(&l.b, &l.fb, &type, &data, &got);
	line_close(&l);
	return err;
}

static void test_frame_damage(void)
{
	unsigned int unnoticed = 0, whole = 0;
	uint8_t wire[600];
	struct line l;
	ssize_t len;

	line_open(&l, 1);
	frame_send(&l.a, &l.fa, FRAME_PAGES, body, 2000);
	len = recv(l.b.fd, wire, sizeof(wire), 0);
	line_close(&l);
	ok(len > FRAME_HEADER && !received(wire, (size_t)len), "a frame in bytes");
	for (size_t bit = 0; bit < 8 * (size_t)len; bit++) {
		wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
		unnoticed += !received(wire, (size_t)len);
		wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ok(!unnoticed, "no flipped bit goes unnoticed");
	for (size_t part = 0; part < (size_t)len; part++)
		whole += !received(wire, part);
	ok(!whole, "no part of it is taken for the whole");
}

static void test_waits(void)
{
	struct line l;
	uint8_t byte;
	int cancel = eventfd(0, EFD_NONBLOCK);

	line_open(&l, 0);
	ok(channel_read(&l.b, &byte, 1) == -ETIMEDOUT, "a silent other side");
	l.b.cancel = cancel;
	l.b.patience_ms = -1;
	eventfd_write(cancel, 1);
	ok(channel_read(&l.b, &byte, 1) == -ECANCELED, "a wait that is cancelled");
	l.b.cancel = -1;
	ok(!channel_pending(&l.b), "nothing there");
	while (!channel_write(&l.a, body, sizeof(body)))
		;
	ok(channel_pending(&l.b), "something there");
	ok(channel_write(&l.a, body, 1) == -ETIMEDOUT, "one that takes nothing");
	channel_close(&l.b);
	ok(channel_write(&l.a, body, 1) == -EPIPE, "one that is gone");
	close(cancel);
	line_close(&l);
}

static void test_addresses(void)
{
	char why[100] = "", path[] = "/tmp/test_move.XXXXXX", uri[64];
	int listener, fd;

	ok(!channel_check("x", "tcp:[::1]:7") && !channel_check("x", "tcp:h:http") &&
	   !channel_check("x", "tcp::7") && !channel_check("x", "unix:/x"),
	   "addresses");
	ok(channel_check("x", "udp:a:7") && channel_check("x", "tcp:a") &&
	   channel_check("x", "tcp:a:") && channel_check("x", "unix:") &&
	   channel_check("x", ""), "no addresses");
	if (!mkdtemp(path))
		abort();
	snprintf(uri, sizeof(uri), "unix:%s/s", path);
	fd = channel_connect(uri, -1, why, sizeof(why));
	ok(fd < 0 && why[0], "nobody there (%s)", why);
	listener = channel_listen(uri, why, sizeof(why));
	fd = channel_connect(uri, -1, why, sizeof(why));
	ok(listener >= 0 && fd >= 0, "somebody there");
	close(fd);
	fd = channel_accept(listener, -1, PATIENCE_MS);
	ok(fd >= 0, "accepted");
	close(fd);
	ok(channel_accept(listener, -1, 10) == -ETIMEDOUT, "nobody else comes");
	fd = channel_listen(uri, why, sizeof(why));
	ok(fd == -EADDRINUSE, "an address that is in use");
	close(listener);
	listener = channel_listen(uri, why, sizeof(why));
	ok(listener >= 0, "one whose owner was killed");
	close(listener);
	channel_unlink(uri);
	fd = open(uri + strlen("unix:"), O_CREAT | O_WRONLY, 0600);
	close(fd);
	ok(channel_listen(uri, why, sizeof(why)) == -EADDRINUSE && !access(uri + strlen("unix:"), F_OK),
	   "a file that is no socket stays");
	unlink(uri + strlen("unix:"));
	ok(!rmdir(path), "the socket goes");
	listener = channel_listen("tcp:127.0.0.1:0", why, sizeof(why));
	ok(listener >= 0, "TCP (%s)", why);
	close(listener);
}

/* ---- pages ---- */

#define PAGES 100	/* the second word is not whole */

static struct mem mem = { .size = PAGES * MEM_PAGE };
static uint8_t copy[PAGES * MEM_PAGE];

static int place(void *opaque, uint64_t page, const void *data)
{
	unsigned int *count = opaque;

	if (data)
		memcpy(copy + page * MEM_PAGE, data, MEM_PAGE);
	else
		memset(copy + page * MEM_PAGE, 0, MEM_PAGE);
	(*count)++;
	return 0;
}

/* Sends what is in the list. Return: pages that went. */
static unsigned int move(struct pages *pages, const uint64_t *todo, bool all)
{
	static uint8_t frame[PAGES_FRAME_MAX];
	unsigned int sent = 0, placed = 0;

	for (uint64_t word = 0; word < 2; word++) {
		size_t len = pages_pack(pages, word, todo[word], all, frame,
					&sent);

		if (len && pages_unpack(&mem, frame, len, place, &placed))
			return 9999;
	}
	return placed == sent ? sent : 9998;
}

static bool same(void)
{
	return !memcmp(mem.host, copy, sizeof(copy));
}

static void test_pages(void)
{
	struct pages pages;
	uint64_t todo[2] = { 0 }, some[2] = { 1ull << 5, 1ull << 35 };

	mem.host = calloc(PAGES, MEM_PAGE);
	if (!mem.host || pages_init(&pages, &mem))
		abort();
	pages_fill(&mem, todo);
	ok(pages_count(todo, 2) == PAGES, "all pages, and none beyond");
	ok(!move(&pages, todo, false), "zeroes are not sent");
	memset(mem.host + 5 * MEM_PAGE, 1, 1);
	memset(mem.host + 99 * MEM_PAGE, 2, MEM_PAGE);
	ok(move(&pages, todo, false) == 2 && same(), "what is not zero is");
	ok(!move(&pages, todo, false), "unchanged pages are not sent");
	ok(move(&pages, some, true) == 2, "but for the asking");
	memset(mem.host + 5 * MEM_PAGE, 0, 1);
	memset(mem.host + 7 * MEM_PAGE, 3, 8);
	ok(move(&pages, some, false) == 1 && !same(), "the list counts");
	ok(move(&pages, todo, false) == 1 && same(), "zeroes after all");
	pages_destroy(&pages);
}

static void test_pages_damage(void)
{
	static uint8_t frame[PAGES_FRAME_MAX];
	unsigned int count = 0;
	uint64_t *head = (uint64_t *)frame;
	struct pages pages;
	unsigned int sent = 0;
	size_t len;

	if (pages_init(&pages, &mem))
		abort();
	len = pages_pack(&pages, 1, 1ull << 35, true, frame, &sent);
	ok(len == PAGES_HEADER + MEM_PAGE &&
	   !pages_unpack(&mem, frame, len, place, &count), "a frame of one page");
	ok(pages_unpack(&mem, frame, len - 1, place, &count) == -EPROTO &&
	   pages_unpack(&mem, frame, 10, place, &count) == -EPROTO &&
	   pages_unpack(&mem, frame, len + 1, place, &count) == -EPROTO,
	   "a wrong length");
	head[1] = 1ull << 36;
	ok(pages_unpack(&mem, frame, len, place, &count) == -EPROTO,
	   "a page beyond the end");
	head[1] = 1;
	head[2] = 1;
	ok(pages_unpack(&mem, frame, len, place, &count) == -EPROTO,
	   "a page that is here and zeroes");
	head[2] = 0;
	head[0] = 2;
	ok(pages_unpack(&mem, frame, len, place, &count) == -EPROTO,
	   "a word beyond the end");
	head[0] = ~0ull;
	ok(pages_unpack(&mem, frame, len, place, &count) == -EPROTO,
	   "a word far beyond");
	ok(count == 1, "none of these was placed");
	pages_destroy(&pages);
	free(mem.host);
}

int main(void)
{
	test_frames();
	test_frame_damage();
	test_waits();
	test_addresses();
	test_pages();
	test_pages_damage();
	return tap_done();
}
