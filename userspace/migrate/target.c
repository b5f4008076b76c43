// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/target.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "control.h"
#include "device.h"
#include "machine.h"
#include "migrate/channel.h"
#include "migrate/frame.h"
#include "migrate/move.h"
#include "migrate/pages.h"
#include "migrate/postcopy.h"
#include "migrate/source.h"
#include "migrate/state.h"
#include "sandbox/thread.h"
#include "term.h"
#include "util/msg.h"
#include "util/time.h"
#include "vcpu.h"
#include "virtio/blk.h"

#define PATIENCE_MS	60000
#define FAREWELL_MS	5000
#define WHY_MAX		200

/* A connection beside the main one, and the thread that reads it. */
struct receiver {
	struct target *t;
	struct channel ch;
	struct framer framer;
	pthread_t thread;
	bool started;
	int err;
};

struct target {
	struct machine *m;
	pthread_t thread;
	bool started;
	int cancel;		/* eventfd */
	int listener;
	int uffd;		/* for post-copy; or -errno, why not */
	struct channel ch;
	struct framer in, out;	/* a loader sends while the main thread reads */
	uint32_t flags, streams;
	uint64_t session;
	struct receiver *receivers;
	struct postcopy *postcopy;
	struct stream state;
	pthread_t loader;
	bool loading;		/* loader is to be joined */
	int64_t load_end;	/* when it must have ended, in now_ms() */
	int aside_err;		/* atomic; of the loader or a receiver, the first that failed */
	bool loaded;		/* atomic */
	uint32_t go_flags;
	bool running;		/* the guest is ours */
	bool whole;		/* atomic; and all of its memory, too */
	bool over;		/* atomic; it has ended before that */
	bool heard;		/* there is a source that knows where its guest is */
	char why[WHY_MAX];	/* of what is refused */
};

static int target_why(struct target *t, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Return: @err. The first reason counts. */
static int target_why(struct target *t, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!t->why[0])
		vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
	return err;
}

/* ---- pages ---- */

static int place_page(void *opaque, uint64_t page, const void *data)
{
	struct target *t = opaque;
	uint8_t *host = t->m->mem.host + page * MEM_PAGE;

	if (data)
		memcpy(host, data, MEM_PAGE);
	else
		memset(host, 0, MEM_PAGE);
	return 0;
}

static int target_pages(struct target *t, const void *data, size_t len)
{
	if (t->postcopy)
		return pages_unpack(&t->m->mem, data, len, postcopy_place,
				    t->postcopy);
	return pages_unpack(&t->m->mem, data, len, place_page, t);
}

/*
 * A thread beside the one that reads the main connection has failed: that one, whose the channel
 * is, stops and tells the other side.
 */
static void target_fails_aside(struct target *t, int err)
{
	int none = 0;

	__atomic_compare_exchange_n(&t->aside_err, &none, err, false, __ATOMIC_SEQ_CST,
				    __ATOMIC_SEQ_CST);
	eventfd_write(t->cancel, 1);
}

/* ---- connections beside the main one ---- */

static void *receiver_thread(void *opaque)
{
	struct receiver *r = opaque;
	enum frame_type type = FRAME_PAGES;
	const void *data;
	size_t len;
	int err = 0;

	while (!err && type != FRAME_SYNC) {
		err = frame_recv(&r->ch, &r->framer, &type, &data, &len);
		if (!err && type == FRAME_PAGES)
			err = target_pages(r->t, data, len);
		else if (!err && type != FRAME_SYNC && type != FRAME_ALIVE)
			err = -EPROTO;
	}
	r->err = err;
	if (err)
		target_fails_aside(r->t, err);
	return NULL;
}

static int receiver_join(struct target *t, struct receiver *r)
{
	enum frame_type type;
	const uint8_t *data;
	struct stream s;
	size_t len;
	int err = channel_accept(t->listener, t->cancel, PATIENCE_MS);

	if (err < 0)
		return err;
	channel_init(&r->ch, err, t->cancel, PATIENCE_MS);
	err = frame_recv(&r->ch, &r->framer, &type, (const void **)&data, &len);
	if (err)
		return err;
	err = stream_from(&s, data, len);
	if (!err && (type != FRAME_JOIN || stream_get_u64(&s) != t->session ||
		     stream_get_u32(&s) >= t->streams || stream_error(&s)))
		err = -EPROTO;
	stream_destroy(&s);
	return err;
}

static int receivers_start(struct target *t)
{
	int err = 0;

	if (t->streams == 1)
		return 0;
	t->receivers = calloc(t->streams, sizeof(*t->receivers));
	if (!t->receivers)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->streams; i++) {
		t->receivers[i].t = t;
		t->receivers[i].ch.fd = -1;
	}
	for (uint32_t i = 0; !err && i < t->streams; i++) {
		struct receiver *r = &t->receivers[i];

		err = receiver_join(t, r);
		if (!err)
			err = thread_start(&r->thread, &(struct thread_spec){
				.name = "migrate-recv", .sandbox = t->m->sandbox,
				.role = ROLE_MIGRATE, .run = receiver_thread, .arg = r });
		r->started = !err;
	}
	return err;
}

/* Their pages are all here, or they have failed. */
static int receivers_finish(struct target *t)
{
	int err = 0;

	for (uint32_t i = 0; t->receivers && i < t->streams; i++) {
		struct receiver *r = &t->receivers[i];

		if (r->started)
			pthread_join(r->thread, NULL);
		err = err ? err : r->err;
		channel_close(&r->ch);
		framer_destroy(&r->framer);
	}
	free(t->receivers);
	t->receivers = NULL;
	return err;
}

/* ---- what the source says ---- */

static int target_send(struct target *t, enum frame_type type, const void *data,
		       size_t len)
{
	return frame_send(&t->ch, &t->out, type, data, len);
}

static void target_refuse(struct target *t, int err)
{
	if (!t->why[0])
		snprintf(t->why, sizeof(t->why), "%s", channel_error(err));
	t->ch.cancel = -1;
	t->ch.patience_ms = 2000;
	if (t->ch.fd >= 0)
		target_send(t, FRAME_REFUSE, t->why, strlen(t->why));
}

/* On the loop's thread. */
struct target_load {
	struct target *t;
	struct stream *s;
};

static int target_check_config(void *opaque)
{
	struct target_load *load = opaque;

	return config_check(load->t->m, load->s, load->t->why, WHY_MAX);
}

static int target_load_state(void *opaque)
{
	struct target_load *load = opaque;

	struct target *t = load->t;
	int err = state_load(t->m, load->s, t->why, WHY_MAX);

	if (!err && t->flags & MOVE_CHECK)
		err = state_compare(t->m, load->s, t->why, WHY_MAX);
	return err;
}

static int target_hello_flags(struct target *t, struct stream *s)
{
	uint32_t version = stream_get_u32(s), flags = stream_get_u32(s);
	uint32_t streams = stream_get_u32(s);
	uint64_t session = stream_get_u64(s);

	if (stream_error(s))
		return -EPROTO;
	if (version > STATE_VERSION)
		return target_why(t, -ENOTSUP, "its vmrun is newer than the one here: version %u, here %d",
				  version, STATE_VERSION);
	if (version < STATE_VERSION_MIN)
		return target_why(t, -ENOTSUP, "its vmrun is older than the one here knows");
	if (!streams || streams > SOURCE_STREAMS_MAX)
		return -EPROTO;
	if (t->running && (!(flags & MOVE_RECOVER) || session != t->session))
		return target_why(t, -EBUSY, "the machine here waits for another one's memory");
	if (!t->running && flags & MOVE_RECOVER)
		return target_why(t, -EINVAL, "nothing of it is here");
	t->flags = flags;
	t->streams = streams;
	t->session = session;
	return 0;
}

static int target_can_postcopy(struct target *t)
{
	if (t->uffd >= 0 || t->postcopy)
		return 0;
	return target_why(t, t->uffd, "post-copy needs userfaultfd, which is not to be had: %s",
			  strerror(-t->uffd));
}

static int target_hello(struct target *t, const void *data, size_t len)
{
	struct stream s;
	struct target_load load = { t, &s };
	int err = stream_from(&s, data, len);

	if (!err)
		err = target_hello_flags(t, &s);
	if (!err && !t->running)
		err = loop_call(&t->m->loop, target_check_config, &load);
	if (!err && t->flags & MOVE_POSTCOPY)
		err = target_can_postcopy(t);
	stream_destroy(&s);
	return err;
}

static int target_check(struct target *t, const void *data, size_t len)
{
	uint64_t pages = t->m->mem.size / MEM_PAGE, first, hash;
	const uint8_t *hashes = (const uint8_t *)data + sizeof(first);
	size_t n = len / sizeof(hash);

	if (len % sizeof(hash) || n < 2 || --n > MOVE_CHECK_PAGES)
		return -EPROTO;
	memcpy(&first, data, sizeof(first));
	if (first > pages || n > pages - first)
		return -EPROTO;
	for (uint64_t page = first; n--; page++, hashes += sizeof(hash)) {
		memcpy(&hash, hashes, sizeof(hash));
		if (hash != pages_hash(t->m->mem.host + page * MEM_PAGE))
			return target_why(t, -EBADMSG, "the page at %#llx of memory is not the one that was sent",
					  (unsigned long long)(page * MEM_PAGE));
	}
	return 0;
}

static int target_missing(struct target *t, const void *data, size_t len)
{
	int uffd = t->uffd;

	if (len != mem_log_words(&t->m->mem) * sizeof(uint64_t))
		return -EPROTO;
	t->uffd = -EBUSY;
	return postcopy_create(&t->postcopy, t->m, uffd, data, t->why, WHY_MAX);
}

static int target_load_now(struct target *t)
{
	struct target_load load = { t, &t->state };
	int err = loop_call(&t->m->loop, target_load_state, &load);

	if (err)
		return err;
	__atomic_store_n(&t->loaded, true, __ATOMIC_RELEASE);
	return target_send(t, FRAME_LOADED, NULL, 0);
}

/* What KVM reads while it is loaded may still be on the other side: frames are read meanwhile. */
static void *loader_thread(void *opaque)
{
	struct target *t = opaque;
	int err = target_load_now(t);

	if (err)
		target_fails_aside(t, err);
	return NULL;
}

static int target_state(struct target *t, const void *data, size_t len)
{
	int err = stream_from(&t->state, data, len);

	if (err || !t->postcopy)
		return err ? err : target_load_now(t);
	err = postcopy_start(t->postcopy, &t->ch);
	if (!err)
		err = thread_start(&t->loader, &(struct thread_spec){
			.name = "migrate-load", .sandbox = t->m->sandbox,
			.role = ROLE_MIGRATE, .run = loader_thread, .arg = t });
	t->loading = !err;
	t->load_end = now_ms() + PATIENCE_MS;
	return err;
}

/* The loop's thread may wait for a page that the source, lively as it is, does not send. */
static bool target_loads_too_long(const struct target *t)
{
	return t->loading && !__atomic_load_n(&t->loaded, __ATOMIC_ACQUIRE) && now_ms() > t->load_end;
}

static void loader_finish(struct target *t)
{
	if (t->loading)
		pthread_join(t->loader, NULL);
	t->loading = false;
}

/* vCPUs and devices begin together, when nothing can fail any more. Loop's thread. */
static int target_run(void *opaque)
{
	struct target *t = opaque;
	struct machine *m = t->m;
	int err = virtio_blk_lock_all(m);

	if (err)
		return target_why(t, err, "a disk is in use here");
	machine_pause(m);
	err = vcpus_start(m);
	if (err) {
		vcpus_stop(m);
		virtio_blk_unlock_all(m);
		return target_why(t, err, "the vCPUs cannot be started");
	}
	m->arrived = true;
	t->running = true;
	if (t->go_flags & MOVE_GO_PAUSED)
		machine_user_pause(m);
	devices_start(m);
	machine_resume(m);
	term_greet(m->term);
	return 0;
}

static int target_go(struct target *t, const void *data, size_t len)
{
	int err;

	if (len != sizeof(t->go_flags) ||
	    !__atomic_load_n(&t->loaded, __ATOMIC_ACQUIRE))
		return -EPROTO;
	memcpy(&t->go_flags, data, sizeof(t->go_flags));
	loader_finish(t);
	if (t->aside_err)
		return t->aside_err;
	err = loop_call(&t->m->loop, target_run, t);
	if (err)
		return err;
	msg_warn("'%s' has arrived", t->m->cfg.name);
	/* It runs, whether this is heard or not. */
	t->heard = !target_send(t, FRAME_RUNNING, NULL, 0);
	return 0;
}

static int target_end(struct target *t)
{
	if (!postcopy_complete(t->postcopy))
		return -EPROTO;
	postcopy_end(t->postcopy);
	__atomic_store_n(&t->whole, true, __ATOMIC_RELEASE);
	return target_send(t, FRAME_COMPLETE, NULL, 0);
}

/* In the order in which they come; what comes out of order is an error. */
enum target_stage { AT_MEMORY, AT_STATE, AT_GO, AT_REST, AT_END };

static int target_frame(struct target *t, enum target_stage *stage,
			enum frame_type type, const void *data, size_t len)
{
	int err = -EPROTO;

	if (type == FRAME_ALIVE)
		return 0;
	if (type == FRAME_PAGES && (*stage == AT_MEMORY || t->postcopy))
		return target_pages(t, data, len);
	if (type == FRAME_SYNC && *stage == AT_MEMORY) {
		*stage = AT_STATE;
		return receivers_finish(t);
	}
	if (type == FRAME_MISSING && *stage == AT_STATE && !t->postcopy &&
	    t->flags & MOVE_POSTCOPY)
		return target_missing(t, data, len);
	/* With post-copy the pages to be looked at may be those that this very thread is to receive. */
	if (type == FRAME_CHECK && *stage == AT_STATE && !t->postcopy)
		return target_check(t, data, len);
	if (type == FRAME_STATE && *stage == AT_STATE) {
		*stage = AT_GO;
		return target_state(t, data, len);
	}
	if (type == FRAME_GO && *stage == AT_GO) {
		err = target_go(t, data, len);
		*stage = t->postcopy ? AT_REST : AT_END;
	}
	if (type == FRAME_END && *stage == AT_REST) {
		err = target_end(t);
		*stage = AT_END;
	}
	return err;
}

static int target_frames(struct target *t, enum target_stage stage)
{
	enum frame_type type;
	const void *data;
	size_t len;
	int err = 0;

	while (!err && stage != AT_END) {
		err = frame_recv(&t->ch, &t->in, &type, &data, &len);
		if (!err)
			err = target_frame(t, &stage, type, data, len);
		if (!err && target_loads_too_long(t))
			err = -ETIMEDOUT;
	}
	return err;
}

/* ---- the end of a guest whose memory never came ---- */

bool target_incomplete(const struct machine *m)
{
	const struct target *t = m->target;

	return t && t->running && t->postcopy &&
	       !__atomic_load_n(&t->whole, __ATOMIC_ACQUIRE);
}

/*
 * Threads may wait for pages that will not come, the loop's among them; if they were let go they
 * would work on with zeroes, and write them to disks. So nothing is taken down in order.
 */
static void __attribute__((noreturn)) target_abandon(struct machine *m)
{
	msg_warn("'%s' ends without the memory that was still on the other side",
		 m->cfg.name);
	channel_unlink(m->cfg.from);
	control_unlink(m);
	term_restore(m->term);
	_exit(EXIT_FAILURE);
}

/* Not in order either: a disk's thread may still wait for a page that the guest has let go. */
static void __attribute__((noreturn)) target_leave(struct machine *m)
{
	struct target *t = m->target;

	__atomic_store_n(&t->over, true, __ATOMIC_RELEASE);
	eventfd_write(t->cancel, 1);
	pthread_join(t->thread, NULL);
	control_unlink(m);
	term_finish(m->term);
	_exit(machine_exit_status((int)m->request));
}

void target_check_complete(struct machine *m)
{
	if (!target_incomplete(m))
		return;
	if (m->request == MACHINE_POWEROFF || m->request == MACHINE_RESET)
		target_leave(m);
	target_abandon(m);
}

/*
 * The source learns that the rest is not wanted. What it has sent already is read before the connection goes: TCP would
 * throw away our last word otherwise.
 */
static void target_farewell(struct target *t)
{
	int64_t end = now_ms() + FAREWELL_MS;
	char rest[4096];

	t->ch.cancel = -1;
	t->ch.patience_ms = FAREWELL_MS;
	if (!t->heard || target_send(t, FRAME_COMPLETE, NULL, 0)) {
		msg_warn("'%s' has ended, and its source does not know: end that one with 'vmrun stop NAME --grace 0'",
			 t->m->cfg.name);
		return;
	}
	msg_warn("'%s' has ended before all of its memory had come", t->m->cfg.name);
	while (now_ms() < end && !channel_read(&t->ch, rest, sizeof(rest)))
		;
}

/*
 * Until somebody connects. The loop may be among those who wait for a page, so signals are
 * looked at here, too.
 */
static int target_await_again(struct target *t)
{
	struct pollfd fds[3] = {
		{ .fd = t->listener, .events = POLLIN },
		{ .fd = t->cancel, .events = POLLIN },
		{ .fd = t->m->signal_lfd.fd, .events = POLLIN },
	};
	struct signalfd_siginfo info;

	while (!fds[0].revents) {
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents)
			return -ECANCELED;
		if (fds[2].revents &&
		    read(fds[2].fd, &info, sizeof(info)) == sizeof(info) &&
		    info.ssi_signo != SIGCONT)
			target_abandon(t->m);
	}
	return 0;
}

/* ---- the thread ---- */

/* Return: 0, or -errno; -EAGAIN when it was nobody who spoke our language. */
static int target_accept(struct target *t)
{
	enum frame_type type;
	const void *data;
	size_t len;
	int err = channel_accept(t->listener, t->cancel, -1);

	if (err < 0)
		return err;
	channel_init(&t->ch, err, t->cancel, PATIENCE_MS);
	err = frame_recv(&t->ch, &t->in, &type, &data, &len);
	if (err == -ECANCELED)
		return err;
	if (err || type != FRAME_HELLO) {
		channel_close(&t->ch);
		return -EAGAIN;
	}
	return target_hello(t, data, len);
}

static int target_first(struct target *t)
{
	int err;

	do {
		err = target_accept(t);
	} while (err == -EAGAIN);
	if (err)
		return err;
	err = target_send(t, FRAME_READY, NULL, 0);
	if (!err)
		err = receivers_start(t);
	if (!err)
		err = target_frames(t, AT_MEMORY);
	return err;
}

/* Somebody who can go on with the guest's memory. Return: 0 or -errno. */
static int target_accept_again(struct target *t)
{
	int err;

	for (;;) {
		err = target_await_again(t);
		if (!err)
			err = target_accept(t);
		if (!err || err == -ECANCELED)
			return err;
		if (t->why[0])
			target_refuse(t, err);
		t->why[0] = '\0';
		channel_close(&t->ch);
	}
}

/* The guest runs, but its memory is still on the other side. */
static int target_again(struct target *t)
{
	const uint64_t *missing;
	size_t len;
	int err = target_accept_again(t);

	if (err)
		return err;
	missing = postcopy_missing(t->postcopy, &len);
	err = target_send(t, FRAME_READY, missing, len);
	t->heard = !err;
	if (!err)
		err = postcopy_start(t->postcopy, &t->ch);
	return err ? err : target_frames(t, AT_REST);
}

static void target_lost(struct target *t, int err)
{
	t->heard = false;
	postcopy_stop(t->postcopy);
	channel_close(&t->ch);
	msg_warn("'%s': %s; it waits at %s for the rest of its memory, which the source still has",
		 t->m->cfg.name, channel_error(err), t->m->cfg.from);
	t->why[0] = '\0';
}

static int target_serve(struct target *t)
{
	int err = target_first(t);

	while (err && err != -ECANCELED && t->running && t->postcopy) {
		target_lost(t, err);
		err = target_again(t);
	}
	if (__atomic_load_n(&t->over, __ATOMIC_ACQUIRE) && target_incomplete(t->m))
		target_farewell(t);
	return err;
}

static void *target_thread(void *opaque)
{
	struct target *t = opaque;
	int err = target_serve(t);

	if (err && !t->running) {
		/* Whoever waits for a page gets zeroes, and the machine ends. */
		postcopy_abandon(t->postcopy);
		loader_finish(t);
		if (err == -ECANCELED && t->aside_err)
			err = t->aside_err;
		target_refuse(t, err);
		if (err != -ECANCELED)
			msg_fail(err, "--incoming %s: %s", t->m->cfg.from,
				 t->why);
		machine_request(t->m, MACHINE_FAILED);
	}
	receivers_finish(t);
	channel_close(&t->ch);
	close(t->listener);
	t->listener = -1;
	channel_unlink(t->m->cfg.from);
	return NULL;
}

/* ---- loop's thread ---- */

static void target_free(struct target *t)
{
	framer_destroy(&t->in);
	framer_destroy(&t->out);
	stream_destroy(&t->state);
	if (t->listener >= 0) {
		close(t->listener);
		channel_unlink(t->m->cfg.from);
	}
	if (t->cancel >= 0)
		close(t->cancel);
	if (t->uffd >= 0)
		close(t->uffd);
	t->m->target = NULL;
	free(t);
}

static int target_listen(struct target *t)
{
	const char *from = t->m->cfg.from;
	char why[WHY_MAX];

	t->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->cancel < 0)
		return msg_fail(-errno, "--incoming %s: %s", from,
				strerror(errno));
	t->listener = channel_listen(from, why, sizeof(why));
	if (t->listener < 0)
		return msg_fail(t->listener, "--incoming %s: %s", from, why);
	return 0;
}

int target_create(struct machine *m)
{
	struct target *t;
	int err;

	if (m->cfg.origin != ORIGIN_INCOMING)
		return 0;
	t = calloc(1, sizeof(*t));
	if (!t)
		return msg_fail(-ENOMEM, "out of memory");
	t->m = m;
	t->ch.fd = -1;
	t->listener = -1;
	m->target = t;
	framer_init(&t->in, 0);
	framer_init(&t->out, 0);
	stream_init(&t->state);
	t->uffd = postcopy_prepare();
	err = target_listen(t);
	if (err)
		target_free(t);
	return err;
}

int target_start(struct machine *m)
{
	struct target *t = m->target;
	int err;

	err = thread_start(&t->thread, &(struct thread_spec){
		.name = "incoming", .sandbox = m->sandbox, .role = ROLE_MIGRATE,
		.run = target_thread, .arg = t });
	if (err)
		return msg_fail(err, "--incoming %s: %s", m->cfg.from,
				strerror(-err));
	t->started = true;
	msg_warn("'%s' is awaited at %s", m->cfg.name, m->cfg.from);
	return 0;
}

void target_destroy(struct machine *m)
{
	struct target *t = m->target;

	if (!t)
		return;
	eventfd_write(t->cancel, 1);
	if (t->started)
		pthread_join(t->thread, NULL);
	postcopy_destroy(t->postcopy);
	target_free(t);
}
