// SPDX-License-Identifier: GPL-2.0-only
/* Events, timers, removal from within a handler, stopping from another thread. */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"
#include "tests/tap.h"

static struct loop loop;
static struct loop_fd first, second;
static unsigned int calls;

static void remove_other(struct loop_fd *lfd, uint32_t events)
{
	(void)events;
	calls++;
	loop_del(&loop, lfd == &first ? &second : &first);
	loop_del(&loop, lfd);
	loop_stop(&loop);
}

static void *stop_later(void *arg)
{
	(void)arg;
	usleep(20000);
	loop_stop(&loop);
	return NULL;
}

static void fire(struct loop_timer *timer)
{
	if (++calls == 3)
		loop_stop(timer->opaque);
}

static void test_events(void)
{
	loop_init(&loop);
	first.fd = eventfd(1, EFD_CLOEXEC);
	second.fd = eventfd(1, EFD_CLOEXEC);
	first.ready = remove_other;
	second.ready = remove_other;
	ok(!loop_add(&loop, &first, EPOLLIN) &&
	   !loop_add(&loop, &second, EPOLLIN), "two watches");
	ok(loop_add(&loop, &first, EPOLLIN) < 0, "no watch twice");
	ok(!loop_run(&loop) && calls == 1,
	   "a watch removed by another's handler is silent");
	close(first.fd);
	close(second.fd);
	loop_destroy(&loop);
}

static void test_stop(void)
{
	pthread_t thread;

	loop_init(&loop);
	pthread_create(&thread, NULL, stop_later, NULL);
	ok(!loop_run(&loop), "stopped by another thread");
	pthread_join(thread, NULL);
	ok(!loop_run(&loop), "a stopped loop stays stopped");
	loop_destroy(&loop);
}

static void test_timer(void)
{
	struct loop_timer timer = { .fire = fire, .opaque = &loop };

	calls = 0;
	loop_init(&loop);
	ok(!loop_timer_init(&loop, &timer), "a timer");
	loop_timer_set(&timer, 1000000, 1000000);
	ok(!loop_run(&loop) && calls == 3, "fires again and again");
	loop_timer_destroy(&loop, &timer);
	loop_destroy(&loop);
}

int main(void)
{
	test_events();
	test_stop();
	test_timer();
	return tap_done();
}
