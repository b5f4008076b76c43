// SPDX-License-Identifier: GPL-2.0-only
/* The guest goes over: the switch, and what follows a post-copy start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "migrate/job.h"
#include "migrate/move.h"
#include "migrate/source_impl.h"
#include "migrate/state.h"
#include "virtio/blk.h"

/* Words between two looks at the job. */
#define SHOW_WORDS	64

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
			source_refused(src, data, len);
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
		job_blame(&src->m->job, "the machine resets or ends just now");
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
		job_blame(&m->job, "a disk is in use by another process: once it is not, 'vmrun resume %s' runs the guest here",
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
	/* It says that it does not run: so it runs here. */
	if (err == -EREMOTEIO)
		src->went = false;
	return err;
}

static void source_went_wrong(struct source *src, int err)
{
	struct machine *m = src->m;

	if (!src->went) {
		/* The guest first: the other side may take its time to say why. */
		loop_call(&m->loop, source_keep_guest, src);
		source_failed(src, err);
		return;
	}
	m->moved = MOVED_PERHAPS;
	job_blame(&m->job, "%s when the guest was handed over, so it may run there: if it does not, 'vmrun resume %s' runs it here%s",
		  channel_error(err), m->cfg.name, src->opts.postcopy ?
		  "; if it does, move it there once more" : "");
}

/* Return: 0 when the guest runs on the other side. */
int source_switch(struct source *src)
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

/* What the destination has said meanwhile: pages it waits for, or that its guest has ended. */
static int source_hear(struct source *src, bool *enough)
{
	enum frame_type type;
	const void *data;
	size_t len;
	int err = 0;

	while (!err && !*enough && channel_pending(&src->ch)) {
		err = frame_recv(&src->ch, &src->framer, &type, &data, &len);
		if (!err && type == FRAME_REQUEST)
			err = source_serve(src, data, len);
		else if (!err && type == FRAME_COMPLETE)
			*enough = true;
		else if (!err)
			err = -EPROTO;
	}
	return err;
}

/* One word after the other, but those first that are asked for. */
static int source_push(struct source *src, bool *enough)
{
	int err = 0;

	__atomic_store_n(&src->left, pages_count(src->todo, src->words),
			 __ATOMIC_RELAXED);
	for (uint64_t word = 0; !err && !*enough && word < src->words; word++) {
		err = source_hear(src, enough);
		if (!err && !*enough && src->todo[word])
			err = sender_word(&src->senders[0], word);
		while (!err && !*enough && (err = sender_pace(&src->senders[0])) > 0)
			err = source_hear(src, enough);
		if (!(word % SHOW_WORDS))
			source_show(src);
	}
	return err;
}

int source_postcopy(struct source *src)
{
	bool enough = false;
	int err;

	job_phase(&src->m->job, "postcopy");
	src->ch.cancel = -1;
	__atomic_store_n(&src->full_speed, false, __ATOMIC_RELAXED);
	src->paced_since = now_ns();
	src->paced_bytes = 0;
	err = source_push(src, &enough);
	if (err || enough)
		return err;
	err = source_send(src, FRAME_END, NULL, 0);
	if (!err)
		err = source_serve_until(src, FRAME_COMPLETE);
	return err;
}
