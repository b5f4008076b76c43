// SPDX-License-Identifier: GPL-2.0-only
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/time.h"

struct loop_call {
	int (*fn)(void *opaque);
	void *opaque;
	int result;
	bool done;
};

/* The lock is not held while the call runs: it may stop the loop. */
static void loop_serve_call(struct loop *loop)
{
	struct loop_call *call;

	pthread_mutex_lock(&loop->lock);
	call = loop->call;
	pthread_mutex_unlock(&loop->lock);
	if (!call)
		return;
	call->result = call->fn(call->opaque);
	pthread_mutex_lock(&loop->lock);
	call->done = true;
	loop->call = NULL;
	pthread_cond_broadcast(&loop->called);
	pthread_mutex_unlock(&loop->lock);
}

static void loop_woken(struct loop_fd *lfd, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (read(lfd->fd, &count, sizeof(count)) < 0)
		return;
	loop_serve_call(lfd->opaque);
}

static void loop_wake(struct loop *loop)
{
	uint64_t one = 1;

	/* A full counter wakes the loop as well. */
	if (write(loop->wake, &one, sizeof(one)) < 0)
		return;
}

int loop_call(struct loop *loop, int (*fn)(void *opaque), void *opaque)
{
	struct loop_call call = { .fn = fn, .opaque = opaque,
				  .result = -ECANCELED };

	pthread_mutex_lock(&loop->lock);
	while (loop->call && !loop->ended)
		pthread_cond_wait(&loop->called, &loop->lock);
	if (!loop->ended) {
		loop->call = &call;
		loop_wake(loop);
	}
	while (!call.done && !loop->ended)
		pthread_cond_wait(&loop->called, &loop->lock);
	if (loop->call == &call)
		loop->call = NULL;
	pthread_mutex_unlock(&loop->lock);
	return call.result;
}

void loop_end_calls(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->ended = true;
	pthread_cond_broadcast(&loop->called);
	pthread_mutex_unlock(&loop->lock);
}

int loop_init(struct loop *loop)
{
	int err;

	memset(loop, 0, sizeof(*loop));
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->called, NULL);
	loop->wake = -1;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0)
		return -errno;
	loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake < 0) {
		err = -errno;
		goto out_epfd;
	}
	loop->wake_lfd.fd = loop->wake;
	loop->wake_lfd.ready = loop_woken;
	loop->wake_lfd.opaque = loop;
	err = loop_add(loop, &loop->wake_lfd, EPOLLIN);
	if (err)
		goto out_wake;
	return 0;

out_wake:
	close(loop->wake);
out_epfd:
	close(loop->epfd);
	return err;
}

void loop_destroy(struct loop *loop)
{
	close(loop->wake);
	close(loop->epfd);
	pthread_cond_destroy(&loop->called);
	pthread_mutex_destroy(&loop->lock);
}

static int loop_ctl(struct loop *loop, int op, struct loop_fd *lfd,
		    uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = lfd };

	return epoll_ctl(loop->epfd, op, lfd->fd, &ev) ? -errno : 0;
}

int loop_add(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	return loop_ctl(loop, EPOLL_CTL_ADD, lfd, events);
}

int loop_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	return loop_ctl(loop, EPOLL_CTL_MOD, lfd, events);
}

void loop_del(struct loop *loop, struct loop_fd *lfd)
{
	loop_ctl(loop, EPOLL_CTL_DEL, lfd, 0);
}

static void loop_timer_ready(struct loop_fd *lfd, uint32_t events)
{
	struct loop_timer *timer = lfd->opaque;
	uint64_t count;

	(void)events;
	/* EAGAIN: the timer was set anew after it had expired. */
	if (read(lfd->fd, &count, sizeof(count)) == sizeof(count))
		timer->fire(timer);
}

int loop_timer_init(struct loop *loop, struct loop_timer *timer)
{
	int fd, err;

	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	timer->lfd.fd = fd;
	timer->lfd.ready = loop_timer_ready;
	timer->lfd.opaque = timer;
	err = loop_add(loop, &timer->lfd, EPOLLIN);
	if (err)
		close(fd);
	return err;
}

int loop_timer_set(struct loop_timer *timer, uint64_t ns, uint64_t period_ns)
{
	struct itimerspec spec = {
		.it_value = ns_timespec(ns),
		.it_interval = ns_timespec(period_ns),
	};

	return timerfd_settime(timer->lfd.fd, 0, &spec, NULL) ? -errno : 0;
}

void loop_timer_destroy(struct loop *loop, struct loop_timer *timer)
{
	loop_del(loop, &timer->lfd);
	close(timer->lfd.fd);
}

/*
 * One event at a time: a handler may loop_del() and free any other watch, and no
 * stale event of it is left in a local array.
 */
int loop_run(struct loop *loop)
{
	while (!__atomic_load_n(&loop->stopped, __ATOMIC_ACQUIRE)) {
		struct epoll_event ev;
		struct loop_fd *lfd;
		int n = epoll_wait(loop->epfd, &ev, 1, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		lfd = ev.data.ptr;
		lfd->ready(lfd, ev.events);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	__atomic_store_n(&loop->stopped, true, __ATOMIC_RELEASE);
	loop_wake(loop);
}
