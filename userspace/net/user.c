// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network without privileges: libslirp is the guest's router, DHCP and name
 * server (10.0.2.0/24, router .2, name server .3, guest .15) and turns its
 * connections into sockets of this process.
 *
 * libslirp wants poll() around it, so it gets a thread, and no other calls it: who does needs
 * the right to make sockets. Frames wait in a ring for each direction.
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sandbox/thread.h"
#include "util/list.h"
#include "util/msg.h"
#include "util/time.h"
#include "virtio/queue.h"

#define FRAME_MAX	1522	/* MTU 1500, Ethernet header, VLAN tag */
#define RING_SIZE	512
#define MAX_FDS		4096

struct user_timer {
	struct list node;
	SlirpTimerCb fire;
	void *opaque;
	int64_t expires;	/* ms; -1: not armed */
};

struct user_frame {
	uint16_t len;
	uint8_t data[FRAME_MAX];
};

struct user_ring {
	unsigned int head, count;
	struct user_frame frame[RING_SIZE];
};

struct user {
	struct net_backend be;
	pthread_t thread;
	Slirp *slirp;			/* the thread's own, as are the next four */
	struct list timers;
	struct pollfd *fds;		/* [0] is ->wake */
	unsigned int nr_fds, room_fds;
	struct user_frame frame;	/* the one that is being sent */
	int wake;			/* eventfd: the thread has something to do */
	pthread_mutex_t lock;		/* the rest, and whether be.fd is readable */
	pthread_cond_t drained;		/* to_net is not full any more */
	bool quit;
	struct user_ring to_guest, to_net;
};

static struct user *to_user(struct net_backend *be)
{
	return container_of(be, struct user, be);
}

/* ---- rings; the lock is held ---- */

/* Where the next frame goes. The ring is not full. */
static struct user_frame *ring_tail(struct user_ring *r)
{
	return &r->frame[(r->head + r->count) % RING_SIZE];
}

static void ring_pop(struct user_ring *r)
{
	r->head = (r->head + 1) % RING_SIZE;
	r->count--;
}

/* ---- what libslirp calls ---- */

/* When the ring is full the frame is lost, as on any wire; TCP repeats it. */
static ssize_t cb_send_packet(const void *buf, size_t len, void *opaque)
{
	struct user *u = opaque;
	struct user_frame *f;

	if (len > FRAME_MAX)
		return len;
	pthread_mutex_lock(&u->lock);
	if (u->to_guest.count < RING_SIZE) {
		f = ring_tail(&u->to_guest);
		memcpy(f->data, buf, len);
		f->len = len;
		if (!u->to_guest.count++)
			eventfd_write(u->be.fd, 1);
	}
	pthread_mutex_unlock(&u->lock);
	return len;
}

static void cb_guest_error(const char *msg, void *opaque)
{
	(void)msg;
	(void)opaque;
}

static int64_t cb_clock(void *opaque)
{
	(void)opaque;
	return (int64_t)now_ns();
}

static void *cb_timer_new(SlirpTimerCb fire, void *cb_opaque, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fire = fire;
	t->opaque = cb_opaque;
	t->expires = -1;
	list_add_tail(&u->timers, &t->node);
	return t;
}

static void cb_timer_free(void *timer, void *opaque)
{
	struct user_timer *t = timer;

	(void)opaque;
	if (!t)
		return;
	list_del(&t->node);
	free(t);
}

static void cb_timer_mod(void *timer, int64_t expires, void *opaque)
{
	struct user_timer *t = timer;

	(void)opaque;
	if (t)
		t->expires = expires;
}

/* The set is built anew for every poll(). */
static void cb_poll_fd(int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
}

/* It says that there is something new, and it says it to itself. */
static void cb_notify(void *opaque)
{
	(void)opaque;
}

static const SlirpCb callbacks = {
	.send_packet = cb_send_packet,
	.guest_error = cb_guest_error,
	.clock_get_ns = cb_clock,
	.timer_new = cb_timer_new,
	.timer_free = cb_timer_free,
	.timer_mod = cb_timer_mod,
	.register_poll_fd = cb_poll_fd,
	.unregister_poll_fd = cb_poll_fd,
	.notify = cb_notify,
};

/* ---- its thread ---- */

static const struct {
	int slirp;
	short poll;
} poll_events[] = {
	{ SLIRP_POLL_IN, POLLIN }, { SLIRP_POLL_OUT, POLLOUT }, { SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR }, { SLIRP_POLL_HUP, POLLHUP },
};

/* Without memory for it a socket waits until the next round. */
static int add_poll(int fd, int events, void *opaque)
{
	struct user *u = opaque;
	struct pollfd *p;
	unsigned int i;

	if (u->nr_fds == u->room_fds) {
		unsigned int room = u->room_fds ? 2 * u->room_fds : 64;

		p = room > MAX_FDS ? NULL : realloc(u->fds, room * sizeof(*p));
		if (!p)
			return -1;
		u->fds = p;
		u->room_fds = room;
	}
	p = &u->fds[u->nr_fds];
	*p = (struct pollfd){ .fd = fd };
	for (i = 0; i < ARRAY_SIZE(poll_events); i++)
		if (events & poll_events[i].slirp)
			p->events |= poll_events[i].poll;
	return u->nr_fds++;
}

static int get_revents(int index, void *opaque)
{
	struct user *u = opaque;
	int events = 0;
	unsigned int i;

	if (index < 0)
		return 0;
	for (i = 0; i < ARRAY_SIZE(poll_events); i++)
		if (u->fds[index].revents & poll_events[i].poll)
			events |= poll_events[i].slirp;
	return events;
}

static uint32_t timers_timeout(struct user *u, uint32_t timeout)
{
	int64_t now = now_ms(), left;
	struct user_timer *t;
	struct list *pos;

	list_for_each(pos, &u->timers) {
		t = container_of(pos, struct user_timer, node);
		left = t->expires > now ? t->expires - now : 0;
		if (t->expires >= 0 && left < timeout)
			timeout = left;
	}
	return timeout;
}

/* Firing may free or add timers, so the walk starts over. */
static void timers_fire(struct user *u)
{
	int64_t now = now_ms();
	struct user_timer *t;
	struct list *pos;

again:
	list_for_each(pos, &u->timers) {
		t = container_of(pos, struct user_timer, node);
		if (t->expires < 0 || t->expires > now)
			continue;
		t->expires = -1;
		t->fire(t->opaque);
		goto again;
	}
}

/* Return: whether there was one; it is in u->frame. */
static bool take_frame(struct user *u)
{
	struct user_ring *r = &u->to_net;
	bool any;

	pthread_mutex_lock(&u->lock);
	any = r->count && !u->quit;
	if (any) {
		u->frame.len = r->frame[r->head].len;
		memcpy(u->frame.data, r->frame[r->head].data, u->frame.len);
		if (r->count == RING_SIZE)
			pthread_cond_signal(&u->drained);
		ring_pop(r);
	}
	pthread_mutex_unlock(&u->lock);
	return any;
}

static bool wants_out(struct user *u)
{
	bool quit;

	pthread_mutex_lock(&u->lock);
	quit = u->quit;
	pthread_mutex_unlock(&u->lock);
	return quit;
}

/* The guest's connections have their turn as well. */
static void take_frames(struct user *u)
{
	unsigned int i;

	for (i = 0; i < RING_SIZE && take_frame(u); i++)
		slirp_input(u->slirp, u->frame.data, u->frame.len);
	if (i == RING_SIZE)
		eventfd_write(u->wake, 1);
}

static void *run(void *opaque)
{
	struct user *u = opaque;
	uint32_t timeout;
	eventfd_t count;
	int ret;

	while (!wants_out(u)) {
		u->nr_fds = 0;
		add_poll(u->wake, SLIRP_POLL_IN, u);
		timeout = 60000;
		slirp_pollfds_fill(u->slirp, &timeout, add_poll, u);
		timeout = timers_timeout(u, timeout);
		ret = poll(u->fds, u->nr_fds, timeout);
		eventfd_read(u->wake, &count);
		slirp_pollfds_poll(u->slirp, ret < 0, get_revents, u);
		timers_fire(u);
		take_frames(u);
	}
	return NULL;
}

/* ---- what the card calls ---- */

static ssize_t frame_copy(const struct user_frame *f, const struct iovec *iov, unsigned int n)
{
	static const uint8_t hdr[NET_HDR_SIZE];
	size_t len = iov_from_buf(iov, n, 0, hdr, NET_HDR_SIZE);

	len += iov_from_buf(iov, n, NET_HDR_SIZE, f->data, f->len);
	return len == (size_t)NET_HDR_SIZE + f->len ? (ssize_t)len : -EMSGSIZE;
}

static ssize_t user_recv(struct net_backend *be, const struct iovec *iov, unsigned int n)
{
	struct user *u = to_user(be);
	ssize_t ret = -EAGAIN;
	eventfd_t count;

	pthread_mutex_lock(&u->lock);
	if (u->to_guest.count) {
		ret = frame_copy(&u->to_guest.frame[u->to_guest.head], iov, n);
		ring_pop(&u->to_guest);
		if (!u->to_guest.count)
			eventfd_read(be->fd, &count);
	}
	pthread_mutex_unlock(&u->lock);
	return ret;
}

/* The thread never waits for the card, so the card may wait for the thread. */
static void user_send(struct net_backend *be, const struct iovec *iov, unsigned int n)
{
	struct user *u = to_user(be);
	struct user_frame *f;
	size_t len;
	char more;

	pthread_mutex_lock(&u->lock);
	while (u->to_net.count == RING_SIZE) {
		eventfd_write(u->wake, 1);
		pthread_cond_wait(&u->drained, &u->lock);
	}
	f = ring_tail(&u->to_net);
	len = iov_to_buf(iov, n, NET_HDR_SIZE, f->data, FRAME_MAX);
	if (len && !iov_to_buf(iov, n, NET_HDR_SIZE + len, &more, 1)) {
		f->len = len;
		u->to_net.count++;
	}
	pthread_mutex_unlock(&u->lock);
}

static void user_sent(struct net_backend *be)
{
	eventfd_write(to_user(be)->wake, 1);
}

static void user_free(struct user *u)
{
	if (u->slirp)
		slirp_cleanup(u->slirp);
	while (!list_empty(&u->timers))
		cb_timer_free(container_of(u->timers.next, struct user_timer, node), u);
	if (u->wake >= 0)
		close(u->wake);
	if (u->be.fd >= 0)
		close(u->be.fd);
	pthread_cond_destroy(&u->drained);
	pthread_mutex_destroy(&u->lock);
	free(u->fds);
	free(u);
}

static void user_close(struct net_backend *be)
{
	struct user *u = to_user(be);

	pthread_mutex_lock(&u->lock);
	u->quit = true;
	pthread_mutex_unlock(&u->lock);
	eventfd_write(u->wake, 1);
	pthread_join(u->thread, NULL);
	user_free(u);
}

static const struct net_ops user_ops = {
	.recv = user_recv,
	.send = user_send,
	.sent = user_sent,
	.close = user_close,
};

static Slirp *router_create(struct user *u)
{
	SlirpConfig cfg = {
		.version = 1,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(0x0a000200),
		.vnetmask.s_addr = htonl(0xffffff00),
		.vhost.s_addr = htonl(0x0a000202),
		.vnameserver.s_addr = htonl(0x0a000203),
		.vdhcp_start.s_addr = htonl(0x0a00020f),
	};

	return slirp_new(&cfg, &callbacks, u);
}

static int start_thread(struct user *u, struct sandbox *sandbox)
{
	return thread_start(&u->thread, &(struct thread_spec){
		.name = "net-user", .sandbox = sandbox, .role = ROLE_NET, .run = run, .arg = u });
}

int net_user_open(struct net_backend **be, struct sandbox *sandbox)
{
	struct user *u = calloc(1, sizeof(*u));
	int ret;

	if (!u)
		return msg_fail(-ENOMEM, "out of memory for the user network");
	u->be.ops = &user_ops;
	list_init(&u->timers);
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->drained, NULL);
	u->be.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->be.fd < 0 || u->wake < 0) {
		ret = -errno;
		goto fail;
	}
	u->slirp = router_create(u);
	ret = u->slirp ? start_thread(u, sandbox) : -EIO;
	if (ret)
		goto fail;
	*be = &u->be;
	return 0;
fail:
	user_free(u);
	return msg_fail(ret, "cannot start the user network: %s", strerror(-ret));
}
