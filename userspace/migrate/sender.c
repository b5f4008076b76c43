// SPDX-License-Identifier: GPL-2.0-only
/* Memory on its way out: over one connection, or several with a thread each. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "migrate/job.h"
#include "migrate/source_impl.h"
#include "sandbox/thread.h"

#define ALIVE_MS	5000	/* no connection is silent for longer */

/* Words between two looks at what the other side says. */
#define LISTEN_WORDS	64

/* ---- connections ---- */

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

/* ---- words ---- */

uint64_t source_sent(struct source *src)
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

int sender_pace(struct sender *s)
{
	struct source *src = s->src;
	struct pollfd fds[2] = {
		{ .fd = src->ch.cancel, .events = POLLIN },
		{ .fd = src->all ? src->ch.fd : -1, .events = POLLIN },
	};
	uint64_t bytes, due, now = now_ns();
	int err = 0;

	if (!src->opts.bandwidth ||
	    __atomic_load_n(&src->full_speed, __ATOMIC_RELAXED))
		return 0;
	bytes = __atomic_load_n(&src->paced_bytes, __ATOMIC_RELAXED);
	due = src->paced_since + (uint64_t)((unsigned __int128)bytes *
					    NSEC_PER_SEC / src->opts.bandwidth);
	for (; !err && now + NSEC_PER_MSEC < due; now = now_ns()) {
		uint64_t ms = (due - now) / NSEC_PER_MSEC;

		if (poll(fds, 2, ms > ALIVE_MS ? ALIVE_MS : (int)ms) > 0)
			err = fds[0].revents ? -ECANCELED : 1;
		else if (__atomic_load_n(&src->quit, __ATOMIC_RELAXED))
			err = -ECANCELED;
		else
			err = sender_alive(s);
	}
	return err;
}

int sender_word(struct sender *s, uint64_t word)
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
	__atomic_add_fetch(&src->paced_bytes, len, __ATOMIC_RELAXED);
	return err;
}

void source_show(struct source *src)
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
		if (!err)
			err = sender_pace(s);
		if (!err && __atomic_load_n(&src->quit, __ATOMIC_RELAXED))
			err = -ECANCELED;
		if (++told % LISTEN_WORDS || err)
			continue;
		source_show(src);
		err = sender_alive(s);
		if (channel_cancelled(&src->ch))
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
		/* a round that has begun counts on everybody */
		if (src->generation == seen)
			break;
		seen = src->generation;
		pthread_mutex_unlock(&src->lock);
		s->err = sender_round(s);
		pthread_mutex_lock(&src->lock);
		if (s->err)
			__atomic_store_n(&src->quit, true, __ATOMIC_RELAXED);
		src->busy--;
		pthread_cond_broadcast(&src->changed);
	}
	pthread_mutex_unlock(&src->lock);
	return NULL;
}

int senders_start(struct source *src)
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
			err = thread_start(&s->thread, &(struct thread_spec){
				.name = "migrate-send", .sandbox = src->m->sandbox,
				.role = ROLE_MIGRATE, .run = sender_thread, .arg = s });
			s->started = !err;
		}
	}
	return err;
}

void senders_stop(struct source *src)
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
	struct timespec until = ns_timespec(now_ns() + ALIVE_MS * NSEC_PER_MSEC);
	int err = 0;

	if (pthread_cond_clockwait(&src->changed, &src->lock, CLOCK_MONOTONIC,
				   &until)) {
		err = source_send(src, FRAME_ALIVE, NULL, 0);
		if (err)
			__atomic_store_n(&src->quit, true, __ATOMIC_RELAXED);
	}
	return err;
}

/* All of todo. Return: 0 or -errno; *pages counts what was sent. */
int source_round(struct source *src, uint64_t *pages)
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
		/* those that stopped for another's sake do not know why */
		if (!err || err == -ECANCELED)
			err = src->senders[i].err ? src->senders[i].err : err;
	}
	return err;
}

