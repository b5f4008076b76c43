// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/source.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "migrate/job.h"
#include "migrate/move.h"
#include "migrate/source_impl.h"
#include "migrate/state.h"
#include "sandbox/thread.h"
#include "util/list.h"
#include "util/msg.h"

/* Frames that are listened to when all is lost */
#define LAST_WORDS	16

/* ---- what both sides say ---- */

void source_refused(struct source *src, const void *data, size_t len)
{
	job_blame(&src->m->job, "the destination refuses: %.*s", (int)len,
		  (const char *)data);
}

/* Why sending failed is often told by the other side's last word, behind those that it was about to say anyway. */
int source_failed(struct source *src, int err)
{
	enum frame_type type;
	const void *data;
	unsigned int n = 0;
	size_t len;

	/* A refusal was its reason, and has been told. */
	if (err == -ECANCELED || err == -EREMOTEIO)
		return err;
	src->ch.patience_ms = 1000;
	while (n++ < LAST_WORDS && channel_pending(&src->ch) &&
	       !frame_recv(&src->ch, &src->framer, &type, &data, &len)) {
		if (type != FRAME_REFUSE)
			continue;
		source_refused(src, data, len);
		break;
	}
	src->ch.patience_ms = src->patience_ms;
	return err;
}

/* Waits for a frame of that type; a refusal is the reason of the job's failure. */
int source_expect(struct source *src, enum frame_type want, const void **data,
		  size_t *len)
{
	enum frame_type type;
	int err = frame_recv(&src->ch, &src->framer, &type, data, len);

	if (err)
		return err;
	if (type == FRAME_REFUSE) {
		source_refused(src, *data, *len);
		return -EREMOTEIO;
	}
	return type == want ? 0 : -EPROTO;
}

int source_send(struct source *src, enum frame_type type, const void *data,
		size_t len)
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

/* ---- connections: brought by who asked for the move ---- */

int source_offer(struct machine *m, int fd)
{
	struct source *src = m->source;
	int err = -ENOENT;

	if (!src || job_state(&m->job) != JOB_RUNNING)
		return err;
	pthread_mutex_lock(&src->lock);
	if (src->nr_offered < ARRAY_SIZE(src->offered)) {
		src->offered[src->nr_offered++] = fd;
		err = 0;
	}
	pthread_mutex_unlock(&src->lock);
	if (!err)
		eventfd_write(src->offers, 1);
	return err;
}

static int source_take_offer(struct source *src)
{
	int fd = -EAGAIN;

	pthread_mutex_lock(&src->lock);
	if (src->nr_offered) {
		fd = src->offered[0];
		memmove(src->offered, src->offered + 1, --src->nr_offered * sizeof(fd));
	}
	pthread_mutex_unlock(&src->lock);
	return fd;
}

static void source_ask_for_offer(struct source *src)
{
	pthread_mutex_lock(&src->m->job.lock);
	src->m->job.progress.wanted++;
	pthread_mutex_unlock(&src->m->job.lock);
}

static int source_await_offer(struct source *src)
{
	struct pollfd fds[2] = { { .fd = src->offers, .events = POLLIN },
				 { .fd = src->cancel, .events = POLLIN } };
	eventfd_t count;
	int n;

	do {
		n = poll(fds, 2, src->patience_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (fds[1].revents)
		return -ECANCELED;
	return n && !eventfd_read(src->offers, &count) ? 0 : -ETIMEDOUT;
}

int source_connect(struct source *src)
{
	int err;

	source_ask_for_offer(src);
	err = source_await_offer(src);
	if (!err)
		return source_take_offer(src);
	if (err == -ETIMEDOUT)
		job_blame(&src->m->job, "%s: nobody brought a connection", src->uri);
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

/* ---- the thread ---- */

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
	src->m->moved = MOVED_PARTLY;
	src->all = true;
	return senders_start(src);
}

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
	if (m->moved == MOVED_PARTLY) {
		job_fail(&m->job, "%s; the guest waits there for its memory: 'vmrun migrate %s %s --postcopy' connects again",
			 channel_error(err), m->cfg.name, src->uri);
	} else if (src->recover) {
		job_fail(&m->job, "%s; if the guest does not run there, 'vmrun resume %s' runs it here",
			 channel_error(err), m->cfg.name);
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
	if (src->offers >= 0)
		close(src->offers);
	while (src->nr_offered)
		close(src->offered[--src->nr_offered]);
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
	src->offers = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	src->recover = m->moved != MOVED_NO;
	if (src->recover) {
		src->session = m->session;
		src->opts.postcopy = true;
		src->opts.streams = 1;
	} else if (getrandom(&src->session, sizeof(src->session), 0) < 0) {
		src->session = now_ns();
	}
	m->session = src->session;
	if (!src->todo || !src->uri || src->cancel < 0 || src->offers < 0 ||
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
	err = thread_start(&src->thread, &(struct thread_spec){
		.name = "migrate", .sandbox = m->sandbox, .role = ROLE_MIGRATE,
		.run = source_thread, .arg = src });
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
