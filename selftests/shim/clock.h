/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time that moves when it is told to, and what waits for it: hrtimers and
 * delayed work, each on the clock that was current when it was set up. Several
 * clocks show the same time; each has its own timers, so that two machines can
 * be made to live through the same moments.
 */
#ifndef SHIM_CLOCK_H
#define SHIM_CLOCK_H

#include <linux/list.h>

#include "lock.h"

typedef s64 ktime_t;

#define KTIME_MAX		S64_MAX
#define ktime_add_ns(t, ns)	((t) + (s64)(ns))
#define ktime_sub(a, b)		((a) - (b))
#define ktime_to_ns(t)		(t)
#define ns_to_ktime(ns)		((ktime_t)(ns))
#define ktime_before(a, b)	((a) < (b))

/* Or it is the host's, and clock_run() only calls what has expired. */
extern bool shim_real_time;
ktime_t ktime_get(void);
#define ktime_get_ns()		((u64)ktime_get())
/* The TSC counts the same time, at this rate. */
#define SHIM_TSC_KHZ		2000000u
u64 rdtsc(void);

struct clock {
	pthread_mutex_t lock;
	struct list_head timers;	/* lock; the first to expire first */
	struct hrtimer *running;	/* lock; its function is being called */
	pthread_cond_t done;
	unsigned long fired;		/* timers, ever */
};

/* hrtimers that are set up by this thread are on this one. */
extern _Thread_local struct clock *clock_current;

void clock_init(struct clock *clock);
/* Time is @now for all clocks; only without other threads that ask for it, or forward. */
void clock_set(u64 now);
/* From now on until @end: calls the timers that expire, each at its time. */
void clock_run(struct clock *clock, u64 end);
/* When the next one expires, KTIME_MAX: none. */
ktime_t clock_next(struct clock *clock);

/* -------- hrtimers -------- */

enum hrtimer_mode { HRTIMER_MODE_ABS };
enum hrtimer_restart { HRTIMER_NORESTART, HRTIMER_RESTART };
#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

struct hrtimer {
	struct list_head link;		/* clock->lock; empty: inactive */
	struct clock *clock;
	ktime_t expires;
	enum hrtimer_restart (*function)(struct hrtimer *t);
};

void hrtimer_setup(struct hrtimer *t, enum hrtimer_restart (*fn)(struct hrtimer *t), int id,
		   enum hrtimer_mode mode);
void hrtimer_start(struct hrtimer *t, ktime_t expires, enum hrtimer_mode mode);
/* Waits for its function to end, so not from there. */
int hrtimer_cancel(struct hrtimer *t);
bool hrtimer_active(const struct hrtimer *t);
#define hrtimer_set_expires(t, time)	((void)((t)->expires = (time)))
/* How many intervals it was late by, which it is moved behind the present for. */
u64 hrtimer_forward_now(struct hrtimer *t, ktime_t interval);
#define hrtimer_get_expires(t)		((t)->expires)

/* -------- work -------- */

struct workqueue_struct;
struct work_struct {
	void (*func)(struct work_struct *work);
	struct list_head link;		/* the queue's lock; empty: not queued */
};

struct delayed_work {
	struct work_struct work;
	struct hrtimer timer;
};

void shim_work_init(struct work_struct *work, void (*fn)(struct work_struct *work));
void shim_delayed_init(struct delayed_work *work, void (*fn)(struct work_struct *work));
#define INIT_WORK(work, fn)		shim_work_init(work, fn)
#define INIT_DELAYED_WORK(work, fn)	shim_delayed_init(work, fn)
#define to_delayed_work(w)		container_of(w, struct delayed_work, work)
#define msecs_to_jiffies(ms)		DIV_ROUND_UP((ms) * HZ, 1000)

/* Delayed work is done by whoever runs the clock. */
bool schedule_delayed_work(struct delayed_work *work, unsigned long jiffies);
#define queue_delayed_work(wq, work, delay)	schedule_delayed_work(work, delay)
void mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work, unsigned long jiffies);
void cancel_delayed_work_sync(struct delayed_work *work);
/* Of this queue it is done at once, by whoever queues it. */
#define vmm_unbound_wq		((struct workqueue_struct *)NULL)
#define cancel_work_sync(work)	((void)(work))

/* Other work is done by a thread of the queue, or, with shim_one_thread, by whoever flushes it. */
extern bool shim_one_thread;
struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags, int max);
void destroy_workqueue(struct workqueue_struct *wq);
bool queue_work(struct workqueue_struct *wq, struct work_struct *work);
void flush_workqueue(struct workqueue_struct *wq);

#endif /* SHIM_CLOCK_H */
