/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The event loop: one thread (the main one) that waits for the file
 * descriptors of all devices.
 */
#ifndef VMRUN_LOOP_H
#define VMRUN_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct loop_fd - a watched file descriptor
 * @ready: called on the loop's thread with EPOLLIN, EPOLLOUT, … events,
 *	   with no lock held
 *
 * The structure belongs to its device. loop_add() and loop_mod() may be called
 * from any thread. loop_del() may be called on the loop's own thread (also
 * from within @ready) or while the loop does not run; then no call of @ready
 * follows. @fd must be open until loop_del().
 */
struct loop_fd {
	int fd;
	void (*ready)(struct loop_fd *lfd, uint32_t events);
	void *opaque;
};

/**
 * struct loop_timer - calls @fire on the loop's thread
 *
 * Set up with loop_timer_init(), armed from any thread.
 */
struct loop_timer {
	struct loop_fd lfd;
	void (*fire)(struct loop_timer *timer);
	void *opaque;
};

struct loop {
	int epfd;
	int wake;		/* eventfd */
	struct loop_fd wake_lfd;
	bool stopped;		/* atomic */
	pthread_mutex_t lock;	/* the rest */
	pthread_cond_t called;
	struct loop_call *call;	/* the one that waits for the loop; others wait for it */
	bool ended;
};

int loop_init(struct loop *loop);
void loop_destroy(struct loop *loop);

int loop_add(struct loop *loop, struct loop_fd *lfd, uint32_t events);
int loop_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events);
void loop_del(struct loop *loop, struct loop_fd *lfd);

int loop_timer_init(struct loop *loop, struct loop_timer *timer);
/* @ns from now (CLOCK_MONOTONIC), then every @period_ns; 0, 0 disarms. */
int loop_timer_set(struct loop_timer *timer, uint64_t ns, uint64_t period_ns);
void loop_timer_destroy(struct loop *loop, struct loop_timer *timer);

/* Dispatches until loop_stop(), which any thread may call. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/*
 * Runs @fn on the loop's thread and waits for it. Any other thread.
 * Return: what @fn returned, or -ECANCELED once loop_end_calls() was called, which is to be
 * done when loop_run() is over.
 */
int loop_call(struct loop *loop, int (*fn)(void *opaque), void *opaque);
void loop_end_calls(struct loop *loop);

#endif
