// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/source.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "device.h"
#include "machine.h"
#include "migrate/channel.h"
#include "migrate/frame.h"
#include "migrate/job.h"
#include "migrate/move.h"
#include "migrate/pages.h"
#include "migrate/state.h"
#include "util/msg.h"
#include "util/thread.h"
#include "vcpu.h"
#include "virtio/blk.h"

#define NSEC_PER_SEC	1000000000ull
#define NSEC_PER_MSEC	1000000ull
#define ALIVE_MS	5000	/* no connection is silent for longer */

/* Words between two looks at what the other side says. */
#define LISTEN_WORDS	64

/*
 * A thread and a connection. With one stream there is one of them, on the main connection, and
 * no thread.
 */
struct sender {
	struct source *src;
	struct channel own, *ch;
	struct framer framer;
	uint8_t *frame;		/* PAGES_FRAME_MAX */
	uint64_t pages;		/* sent in this round */
	uint64_t spoke_at;	/* ns */
	unsigned int index;
	pthread_t thread;
	bool started;
	int err;
};

struct source {
	struct machine *m;
	struct source_opts opts;
	char *uri;
	pthread_t thread;
	int cancel;		/* eventfd */
	int patience_ms;
	struct channel ch;
	struct framer framer;
	uint64_t session;
	struct pages pages;
	uint64_t *todo;
	size_t words;
	struct sender *senders;
	uint64_t left;		/* pages of this round that were not looked at yet; atomic */
	uint64_t paced_since, paced_bytes;	/* for the bandwidth; atomic */
	bool full_speed;	/* the guest stands still; atomic */
	bool all;		/* send what is to be sent also where it seems known */
	bool logging;
	bool recover;
	bool reached;		/* recover: the other side has answered */
	bool gave_away;		/* the disks are not ours */
	bool went;		/* GO was sent */
	bool running;		/* … and RUNNING came back */
	uint32_t go_flags;
	uint64_t stopped_at;	/* ns */
	struct stream state;	/* of the stopped guest */

	pthread_mutex_t lock;	/* rounds of the senders */
	pthread_cond_t changed;
	unsigned int generation, busy;
	bool quit;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* ---- what both sides say ---- */

/* Why sending failed is often told by the other side's last word. */
static int source_failed(struct source *src, int err)
{
	enum frame_type type;
	const void *data;
	size_t len;

	src->ch.patience_ms = 1000;
	while (err != -ECANCELED && channel_pending(&src->ch) &&
	       !frame_recv(&src->ch, &src->framer, &type, &data, &len)) {
		if (type != FRAME_REFUSE)
			continue;
		job_fail(&src->m->job, "the destination refuses: %.*s",
			 (int)len, (const char *)data);
		break;
	}
	src->ch.patience_ms = src->patience_ms;
	return err;
}

/* Waits for a frame of that type; a refusal is the job's failure. */
static int source_expect(struct source *src, enum frame_type want,
			 const void **data, size_t *len)
{
	enum frame_type type;
	int err = frame_recv(&src->ch, &src->framer, &type, data, len);

	if (err)
		return err;
	if (type == FRAME_REFUSE) {
		job_fail(&src->m->job, "the destination refuses: %.*s",
			 (int)*len, (const char *)*data);
		return -EREMOTEIO;
	}
	return type == want ? 0 : -EPROTO;
}

static int source_send(struct source *src, enum frame_type type,
		       const void *data, size_t len)
{
	return frame_send(&src->ch, &src->framer, type, data, len);
}

/* Called on the loop's thread: vCPUs answer ioctls only when they stand still. */
static int source_describe(void *opaque)
{
	struct move_description *d = opaque;
	int err;

	machine_pause(d->m);
	err = config_save(d->m, d->s);
	machine_resume(d->m);
	return err;
}

static int source_hello(struct source *src)
{
	struct source_opts *o = &src->opts;
	struct stream s;
	struct move_description d = { src->m, &s };
	int err;

	stream_init(&s);
	stream_put_u32(&s, STATE_VERSION);
	stream_put_u32(&s, (o->postcopy ? MOVE_POSTCOPY : 0) |
			   (o->check ? MOVE_CHECK : 0) |
			   (src->recover ? MOVE_RECOVER : 0));
	stream_put_u32(&s, o->streams);
	stream_put_u64(&s, src->session);
	err = loop_call(&src->m->loop, source_describe, &d);
	if (!err)
		err = source_send(src, FRAME_HELLO, s.data, s.len);
	stream_destroy(&s);
	return err;
}

/* Return: a socket, or -errno with the job failed. */
static int source_connect(struct source *src)
{
	char why[JOB_WHY_MAX - 64];
	int fd = channel_connect(src->uri, src->cancel, why, sizeof(why));

	if (fd < 0 && fd != -ECANCELED)
		job_fail(&src->m->job, "%s: %s", src->uri, why);
	return fd;
}

/* After READY: the main connection alone, or more beside it. */
static int sender_open(struct sender *s)
{
	struct source *src = s->src;
	struct stream hello;
	int err;

	framer_init(&s->framer, src->opts.level);
	s->frame = malloc(PAGES_FRAME_MAX);
	if (!s->frame)
		return -ENOMEM;
	s->ch = &src->ch;
	if (src->opts.streams == 1)
		return 0;
	err = source_connect(src);
	if (err < 0)
		return err;
	channel_init(&s->own, err, src->cancel, src->patience_ms);
	s->ch = &s->own;
	stream_init(&hello);
	stream_put_u64(&hello, src->session);
	stream_put_u32(&hello, s->index);
	err = stream_error(&hello);
	if (!err)
		err = frame_send(s->ch, &s->framer, FRAME_JOIN, hello.data,
				 hello.len);
	stream_destroy(&hello);
	return err;
}

/* ---- sending memory ---- */

static uint64_t source_sent(struct source *src)
{
	uint64_t sent = __atomic_load_n(&src->ch.sent, __ATOMIC_RELAXED);

	for (unsigned int i = 0; src->senders && i < src->opts.streams; i++)
		sent += __atomic_load_n(&src->senders[i].own.sent,
					__ATOMIC_RELAXED);
	return sent;
}

static int sender_alive(struct sender *s)
{
	uint64_t now = now_ns();

	if (now - s->spoke_at < ALIVE_MS * NSEC_PER_MSEC)
		return 0;
	s->spoke_at = now;
	return frame_send(s->ch, &s->framer, FRAME_ALIVE, NULL, 0);
}

/* Sleeps until the bytes sent so far are within the limit. */
static int sender_pace(struct sender *s, size_t len)
{
	struct source *src = s->src;
	struct pollfd pfd = { .fd = src->ch.cancel, .events = POLLIN };
	uint64_t bytes, due, now = now_ns();
	int err = 0;

	if (!src->opts.bandwidth ||
	    __atomic_load_n(&src->full_speed, __ATOMIC_RELAXED))
		return 0;
	bytes = __atomic_add_fetch(&src->paced_bytes, len, __ATOMIC_RELAXED);
	due = src->paced_since + (uint64_t)((unsigned __int128)bytes *
					    NSEC_PER_SEC / src->opts.bandwidth);
	for (; !err && now + NSEC_PER_MSEC < due; now = now_ns()) {
		uint64_t ms = (due - now) / NSEC_PER_MSEC;

		if (poll(&pfd, 1, ms > ALIVE_MS ? ALIVE_MS : (int)ms) > 0)
			err = -ECANCELED;
		else
			err = sender_alive(s);
	}
	return err;
}

static int sender_word(struct sender *s, uint64_t word)
{
	struct source *src = s->src;
	unsigned int sent = 0;
	size_t len = pages_pack(&src->pages, word, src->todo[word], src->all,
				s->frame, &sent);
	int err;

	__atomic_fetch_sub(&src->left,
			   (uint64_t)__builtin_popcountll(src->todo[word]),
			   __ATOMIC_RELAXED);
	src->todo[word] = 0;
	if (!len)
		return 0;
	s->pages += sent;
	err = frame_send(s->ch, &s->framer, FRAME_PAGES, s->frame, len);
	s->spoke_at = now_ns();
	return err ? err : sender_pace(s, len);
}

static void source_show(struct source *src)
{
	struct job_progress *p = &src->m->job.progress;

	pthread_mutex_lock(&src->m->job.lock);
	p->sent = source_sent(src);
	p->remaining = __atomic_load_n(&src->left, __ATOMIC_RELAXED) * MEM_PAGE;
	p->done = p->total - p->remaining;
	pthread_mutex_unlock(&src->m->job.lock);
}

/* The same words always take the same way, so that a newer page never comes before an older. */
static int sender_round(struct sender *s)
{
	struct source *src = s->src;
	unsigned int step = src->opts.streams, told = 0;
	int err = 0;

	s->pages = 0;
	for (uint64_t word = s->index; !err && word < src->words; word += step) {
		if (!src->todo[word])
			continue;
		err = sender_word(s, word);
		if (++told % LISTEN_WORDS || err)
			continue;
		source_show(src);
		err = sender_alive(s);
		if (__atomic_load_n(&src->quit, __ATOMIC_RELAXED) ||
		    channel_cancelled(&src->ch))
			err = -ECANCELED;
		else if (s->ch == &src->ch && channel_pending(s->ch))
			err = -EPROTO;	/* see source_failed() */
	}
	return err;
}

static void *sender_thread(void *opaque)
{
	struct sender *s = opaque;
	struct source *src = s->src;
	unsigned int seen = 0;

	pthread_mutex_lock(&src->lock);
	for (;;) {
		while (!src->quit && src->generation == seen)
			pthread_cond_wait(&src->changed, &src->lock);
		if (src->quit)
			break;
		seen = src->generation;
		pthread_mutex_unlock(&src->lock);
		s->err = sender_round(s);
		pthread_mutex_lock(&src->lock);
		src->busy--;
		pthread_cond_broadcast(&src->changed);
	}
	pthread_mutex_unlock(&src->lock);
	return NULL;
}

static int senders_start(struct source *src)
{
	unsigned int n = src->opts.streams;
	int err = 0;

	src->senders = calloc(n, sizeof(*src->senders));
	if (!src->senders)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		src->senders[i].src = src;
		src->senders[i].own.fd = -1;
		src->senders[i].index = i;
	}
	for (unsigned int i = 0; !err && i < n; i++) {
		struct sender *s = &src->senders[i];

		err = sender_open(s);
		if (!err && n > 1) {
			err = thread_start(&s->thread, "migrate-send",
					   sender_thread, s);
			s->started = !err;
		}
	}
	return err;
}

static void senders_stop(struct source *src)
{
	pthread_mutex_lock(&src->lock);
	__atomic_store_n(&src->quit, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&src->changed);
	pthread_mutex_unlock(&src->lock);
	for (unsigned int i = 0; src->senders && i < src->opts.streams; i++) {
		struct sender *s = &src->senders[i];

		if (s->started)
			pthread_join(s->thread, NULL);
		channel_close(&s->own);
		framer_destroy(&s->framer);
		free(s->frame);
	}
	free(src->senders);
	src->senders = NULL;
}

/* For a while; the main connection has nothing else to say. src->lock is held. */
static int source_wait_senders(struct source *src)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ALIVE_MS / 1000;
	if (pthread_cond_clockwait(&src->changed, &src->lock, CLOCK_MONOTONIC,
				   &until)) {
		err = source_send(src, FRAME_ALIVE, NULL, 0);
		if (err)
			__atomic_store_n(&src->quit, true, __ATOMIC_RELAXED);
	}
	return err;
}

/* All of todo. Return: 0 or -errno; *pages counts what was sent. */
static int source_round(struct source *src, uint64_t *pages)
{
	int err = 0;

	*pages = 0;
	__atomic_store_n(&src->left, pages_count(src->todo, src->words),
			 __ATOMIC_RELAXED);
	if (src->opts.streams == 1) {
		err = sender_round(&src->senders[0]);
		*pages = src->senders[0].pages;
		return err;
	}
	pthread_mutex_lock(&src->lock);
	src->busy = src->opts.streams;
	src->generation++;
	pthread_cond_broadcast(&src->changed);
	while (src->busy && !err)
		err = source_wait_senders(src);
	/* After an error they end soon. */
	while (src->busy)
		pthread_cond_wait(&src->changed, &src->lock);
	pthread_mutex_unlock(&src->lock);
	for (unsigned int i = 0; i < src->opts.streams; i++) {
		*pages += src->senders[i].pages;
		err = err ? err : src->senders[i].err;
	}
	return err;
}

/* ---- rounds while the guest runs ---- */

/* What the last round taught. */
struct pace {
	uint64_t ns, pages, bytes;	/* of the round */
	uint64_t dirty;			/* pages written meanwhile */
	uint64_t expected_ms;		/* to send those */
};

static void source_estimate(struct source *src, struct pace *pace)
{
	struct job *job = &src->m->job;
	uint64_t ns = pace->ns ? pace->ns : 1;
	uint64_t per_page = pace->pages ? ns / pace->pages : 0;

	pace->expected_ms = pace->dirty * per_page / NSEC_PER_MSEC;
	pthread_mutex_lock(&job->lock);
	job->progress.round++;
	job->progress.sent = source_sent(src);
	job->progress.rate = (uint64_t)((unsigned __int128)pace->bytes *
					NSEC_PER_SEC / ns);
	job->progress.dirty_rate = (uint64_t)((unsigned __int128)pace->dirty *
					      NSEC_PER_SEC / ns);
	job->progress.remaining = pace->dirty * MEM_PAGE;
	job->progress.expected_downtime = pace->expected_ms;
	pthread_mutex_unlock(&job->lock);
}

static int source_one_round(struct source *src, struct pace *pace)
{
	uint64_t start = now_ns(), sent = source_sent(src);
	int err = source_round(src, &pace->pages);

	if (err)
		return err;
	pace->ns = now_ns() - start;
	pace->bytes = source_sent(src) - sent;
	err = mem_log_fetch(src->m, src->todo);
	pace->dirty = pages_count(src->todo, src->words);
	if (!err)
		source_estimate(src, pace);
	return err;
}

/*
 * The guest may write, in a round, half of what a round of that length can carry: then what is
 * left halves with each. Its vCPUs are held for the rest of the time.
 */
static void source_throttle(struct source *src, const struct pace *pace)
{
	uint32_t held = __atomic_load_n(&src->m->throttle, __ATOMIC_RELAXED);
	uint64_t budget = pace->pages / 2, free_rate, want;

	if (pace->dirty <= budget)
		return;
	free_rate = pace->dirty * 100 / (100 - held);	/* what it would write unheld */
	want = 100 - budget * 100 / (free_rate ? free_rate : 1);
	if (want < held)
		want = held;
	if (want > held + MOVE_THROTTLE_STEP)
		want = held + MOVE_THROTTLE_STEP;
	if (want > MOVE_THROTTLE_MAX)
		want = MOVE_THROTTLE_MAX;
	machine_throttle(src->m, (uint32_t)want);
	pthread_mutex_lock(&src->m->job.lock);
	src->m->job.progress.throttle = (uint32_t)want;
	pthread_mutex_unlock(&src->m->job.lock);
}

static int source_rounds(struct source *src)
{
	struct pace pace = { 0 };
	unsigned int round = 0;
	int err;

	job_phase(&src->m->job, "memory");
	pages_fill(&src->m->mem, src->todo);
	do {
		if (round > 1)
			source_throttle(src, &pace);
		err = source_one_round(src, &pace);
		round++;
	} while (!err && !src->opts.postcopy && !src->m->user_paused &&
		 pace.expected_ms > src->opts.downtime_ms);
	return err;
}

/* ---- handing over ---- */

/* Behind all pages, on every connection. */
static int source_sync(struct source *src)
{
	int err = source_send(src, FRAME_SYNC, NULL, 0);

	for (unsigned int i = 0; !err && src->opts.streams > 1 &&
	     i < src->opts.streams; i++)
		err = frame_send(src->senders[i].ch, &src->senders[i].framer,
				 FRAME_SYNC, NULL, 0);
	return err;
}

/* The hash of every page, as it is now. */
static int source_send_check(struct source *src)
{
	uint64_t pages = src->m->mem.size / MEM_PAGE, first;
	uint64_t *part = malloc((1 + MOVE_CHECK_PAGES) * sizeof(*part));
	int err = part ? 0 : -ENOMEM;

	for (first = 0; !err && first < pages; first += MOVE_CHECK_PAGES) {
		uint64_t n = pages - first;

		if (n > MOVE_CHECK_PAGES)
			n = MOVE_CHECK_PAGES;
		part[0] = first;
		for (uint64_t i = 0; i < n; i++)
			part[1 + i] = pages_hash(src->m->mem.host +
						 (first + i) * MEM_PAGE);
		err = source_send(src, FRAME_CHECK, part,
				  (1 + n) * sizeof(*part));
	}
	free(part);
	return err;
}

/* The guest stands still, and its devices, too. */
static int source_send_rest(struct source *src)
{
	uint64_t pages;
	int err = mem_log_fetch(src->m, src->todo);

	if (!err && !src->opts.postcopy)
		err = source_round(src, &pages);
	if (!err)
		err = source_sync(src);
	if (!err && src->opts.postcopy)
		err = source_send(src, FRAME_MISSING, src->todo,
				  src->words * sizeof(*src->todo));
	else if (!err && src->opts.check)
		err = source_send_check(src);
	if (!err)
		err = source_send(src, FRAME_STATE, src->state.data,
				  src->state.len);
	/* From now on pages are sent one by one, and all that is left of them. */
	src->all = src->opts.postcopy;
	src->senders[0].ch = &src->ch;
	return err;
}

/* Page that the guest waits for; its neighbours come with it. */
static int source_serve(struct source *src, const void *data, size_t len)
{
	uint64_t page, word;

	if (len != sizeof(page))
		return -EPROTO;
	memcpy(&page, data, sizeof(page));
	word = page / 64;
	if (word >= src->words)
		return -EPROTO;
	return src->todo[word] ? sender_word(&src->senders[0], word) : 0;
}

/* Until a frame of that type comes, requests are served. */
static int source_serve_until(struct source *src, enum frame_type want)
{
	enum frame_type type;
	const void *data;
	size_t len;
	int err;

	do {
		err = frame_recv(&src->ch, &src->framer, &type, &data, &len);
		if (!err && type == FRAME_REQUEST)
			err = source_serve(src, data, len);
		if (!err && type == FRAME_REFUSE) {
			job_fail(&src->m->job, "the destination refuses: %.*s",
				 (int)len, (const char *)data);
			err = -EREMOTEIO;
		}
	} while (!err && type == FRAME_REQUEST);
	return err ? err : type == want ? 0 : -EPROTO;
}

/* The next thing that the destination is to say. */
static int source_await(struct source *src, enum frame_type want)
{
	const void *data;
	size_t len;

	return src->opts.postcopy ? source_serve_until(src, want) :
				    source_expect(src, want, &data, &len);
}

/* Loop's thread: the guest stops, and all that it is but its memory is taken. */
static int source_stop_guest(void *opaque)
{
	struct source *src = opaque;
	int err;

	src->stopped_at = now_ns();
	machine_pause(src->m);
	clock_hold(src->m);
	if (machine_is_asked(src->m)) {
		job_fail(&src->m->job, "the machine resets or ends just now");
		return -EAGAIN;
	}
	err = state_save(src->m, &src->state);
	if (!err)
		devices_halt(src->m);
	return err;
}

/* Loop's thread: the other side has all of it. */
static int source_give_away(void *opaque)
{
	struct source *src = opaque;
	int err;

	src->gave_away = true;
	err = virtio_blk_unlock_all(src->m);
	if (err)
		return err;
	src->go_flags = src->m->user_paused ? MOVE_GO_PAUSED : 0;
	src->m->moved_postcopy = src->opts.postcopy;
	src->m->moved = MOVED_GOING;
	return 0;
}

/* Loop's thread: the guest goes on here. */
static int source_keep_guest(void *opaque)
{
	struct source *src = opaque;
	struct machine *m = src->m;

	if (src->gave_away && virtio_blk_lock_all(m)) {
		m->moved = MOVED_PERHAPS;
		job_fail(&m->job, "a disk is in use by another process: once it is not, 'vmrun resume %s' runs the guest here",
			 m->cfg.name);
		return -EBUSY;
	}
	m->moved = MOVED_NO;
	devices_start(m);
	machine_resume(m);
	return 0;
}

static int source_go(struct source *src)
{
	int err;

	src->ch.cancel = -1;	/* too late */
	src->went = true;
	err = source_send(src, FRAME_GO, &src->go_flags, sizeof(src->go_flags));
	if (!err)
		err = source_await(src, FRAME_RUNNING);
	src->running = !err;
	/* It says that it does not run: so it runs here. */
	if (err == -EREMOTEIO)
		src->went = false;
	return err;
}

static void source_went_wrong(struct source *src, int err)
{
	struct machine *m = src->m;

	if (!src->went) {
		source_failed(src, err);
		loop_call(&m->loop, source_keep_guest, src);
		return;
	}
	m->moved = MOVED_PERHAPS;
	job_fail(&m->job, "%s when the guest was handed over, so it may run there: if it does not, 'vmrun resume %s' runs it here%s",
		 channel_error(err), m->cfg.name, src->opts.postcopy ?
		 "; if it does, move it there once more" : "");
}

/* Return: 0 when the guest runs on the other side. */
static int source_switch(struct source *src)
{
	struct job *job = &src->m->job;
	int err;

	job_phase(job, "switch");
	__atomic_store_n(&src->full_speed, true, __ATOMIC_RELAXED);
	err = loop_call(&src->m->loop, source_stop_guest, src);
	if (!err)
		err = source_send_rest(src);
	if (!err)
		err = source_await(src, FRAME_LOADED);
	if (!err)
		err = loop_call(&src->m->loop, source_give_away, src);
	if (!err)
		err = source_go(src);
	if (err)
		source_went_wrong(src, err);
	else
		src->m->moved = src->opts.postcopy ? MOVED_PARTLY : MOVED_AWAY;
	pthread_mutex_lock(&job->lock);
	job->progress.downtime = (now_ns() - src->stopped_at) / NSEC_PER_MSEC;
	job->progress.sent = source_sent(src);
	pthread_mutex_unlock(&job->lock);
	return err;
}

/* ---- after a post-copy start ---- */

/* One word after the other, but those first that are asked for. */
static int source_push(struct source *src)
{
	int err = 0;

	__atomic_store_n(&src->left, pages_count(src->todo, src->words),
			 __ATOMIC_RELAXED);
	for (uint64_t word = 0; !err && word < src->words; word++) {
		while (!err && channel_pending(&src->ch)) {
			enum frame_type type;
			const void *data;
			size_t len;

			err = frame_recv(&src->ch, &src->framer, &type, &data,
					 &len);
			if (!err)
				err = type == FRAME_REQUEST ?
				      source_serve(src, data, len) : -EPROTO;
		}
		if (!err && src->todo[word])
			err = sender_word(&src->senders[0], word);
		if (!(word % LISTEN_WORDS))
			source_show(src);
	}
	return err;
}

static int source_postcopy(struct source *src)
{
	int err;

	job_phase(&src->m->job, "postcopy");
	src->ch.cancel = -1;
	__atomic_store_n(&src->full_speed, false, __ATOMIC_RELAXED);
	src->paced_since = now_ns();
	src->paced_bytes = 0;
	err = source_push(src);
	if (!err)
		err = source_send(src, FRAME_END, NULL, 0);
	if (!err)
		err = source_serve_until(src, FRAME_COMPLETE);
	return err;
}

/* The other side says what it still lacks. */
static int source_reconnect(struct source *src)
{
	const void *data;
	size_t len;
	int err = source_hello(src);

	if (!err)
		err = source_expect(src, FRAME_READY, &data, &len);
	if (err)
		return err;
	if (len != src->words * sizeof(*src->todo))
		return -EPROTO;
	memcpy(src->todo, data, len);
	pages_clip(&src->m->mem, src->todo);
	src->reached = true;
	src->all = true;
	return senders_start(src);
}

/* ---- the thread ---- */

static int source_begin_move(struct source *src)
{
	const void *data;
	size_t len;
	int err;

	err = source_hello(src);
	if (!err)
		err = source_expect(src, FRAME_READY, &data, &len);
	if (!err)
		err = senders_start(src);
	if (!err) {
		err = mem_log_start(src->m);
		src->logging = !err;
	}
	/* All of it, as it begins: what counts comes from now on. */
	if (!err)
		err = mem_log_fetch(src->m, src->todo);
	src->paced_since = now_ns();
	if (!err)
		err = source_rounds(src);
	return err;
}

static int source_move(struct source *src)
{
	int err = source_connect(src);

	if (err < 0)
		return err;
	channel_init(&src->ch, err, src->cancel, src->patience_ms);
	if (src->recover) {
		err = source_reconnect(src);
	} else {
		err = source_begin_move(src);
		if (!err)
			err = source_switch(src);
		else
			source_failed(src, err);
	}
	if (!err && src->opts.postcopy)
		err = source_postcopy(src);
	return err;
}

static void source_finish(struct source *src, int err)
{
	struct machine *m = src->m;

	machine_throttle(m, 0);
	if (!err) {
		m->moved = MOVED_AWAY;
		msg_warn("'%s' is at %s now", m->cfg.name, src->uri);
		job_done(&m->job);
		machine_request(m, MACHINE_MOVED);
		return;
	}
	if (src->running || src->reached)
		m->moved = MOVED_PARTLY;
	if (src->running || src->recover) {
		job_fail(&m->job, "%s; the guest waits there for its memory: 'vmrun migrate %s %s --postcopy' connects again",
			 channel_error(err), m->cfg.name, src->uri);
	} else {
		job_fail(&m->job, "%s", channel_error(err));
	}
	if (src->logging && m->moved == MOVED_NO)
		mem_log_stop(m);
}

static void *source_thread(void *opaque)
{
	struct source *src = opaque;
	int err = source_move(src);

	senders_stop(src);
	channel_close(&src->ch);
	source_finish(src, err);
	return NULL;
}

/* ---- loop's thread ---- */

static void source_free(struct source *src)
{
	framer_destroy(&src->framer);
	stream_destroy(&src->state);
	pages_destroy(&src->pages);
	free(src->todo);
	free(src->uri);
	if (src->cancel >= 0)
		close(src->cancel);
	pthread_cond_destroy(&src->changed);
	pthread_mutex_destroy(&src->lock);
	free(src);
}

static struct source *source_alloc(struct machine *m,
				   const struct source_opts *opts)
{
	struct source *src = calloc(1, sizeof(*src));

	if (!src)
		return NULL;
	src->m = m;
	src->opts = *opts;
	src->patience_ms = (int)opts->timeout_s * 1000;
	src->ch.fd = -1;
	pthread_mutex_init(&src->lock, NULL);
	pthread_cond_init(&src->changed, NULL);
	framer_init(&src->framer, opts->level);
	stream_init(&src->state);
	src->words = mem_log_words(&m->mem);
	src->todo = calloc(src->words, sizeof(*src->todo));
	src->uri = strdup(opts->uri);
	src->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	src->recover = m->moved != MOVED_NO;
	if (src->recover) {
		src->session = m->session;
		src->opts.postcopy = true;
		src->opts.streams = 1;
	} else if (getrandom(&src->session, sizeof(src->session), 0) < 0) {
		src->session = now_ns();
	}
	m->session = src->session;
	if (!src->todo || !src->uri || src->cancel < 0 ||
	    pages_init(&src->pages, &m->mem)) {
		source_free(src);
		return NULL;
	}
	return src;
}

void source_settle(struct machine *m)
{
	if (!m->source)
		return;
	pthread_join(m->source->thread, NULL);
	source_free(m->source);
	m->source = NULL;
}

static int source_start(struct machine *m, const struct source_opts *opts)
{
	struct source *src;
	int err;

	if (m->moved != MOVED_NO && m->moved != MOVED_PARTLY &&
	    !(m->moved == MOVED_PERHAPS && m->moved_postcopy))
		return -EINVAL;
	src = source_alloc(m, opts);
	if (!src)
		return -ENOMEM;
	m->source = src;
	err = thread_start(&src->thread, "migrate", source_thread, src);
	if (err) {
		m->source = NULL;
		source_free(src);
	}
	return err;
}

int source_begin(struct machine *m, const struct source_opts *opts)
{
	int err = job_begin(&m->job, "migrate");

	if (err)
		return err;
	source_settle(m);
	m->job.progress.total = m->mem.size;
	m->job.progress.remaining = m->mem.size;
	job_phase(&m->job, "connect");
	err = source_start(m, opts);
	if (err)
		job_fail(&m->job, "%s", err == -EINVAL ?
			 "the guest was handed over: 'vmrun resume' first" :
			 strerror(-err));
	return err;
}

void source_cancel(struct machine *m)
{
	if (m->source && job_state(&m->job) == JOB_RUNNING)
		eventfd_write(m->source->cancel, 1);
}

void source_destroy(struct machine *m)
{
	source_cancel(m);
	source_settle(m);
}
