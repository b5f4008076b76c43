// SPDX-License-Identifier: GPL-2.0-only
#include <time.h>

#include "shim.h"

_Thread_local struct clock *clock_current;

bool shim_real_time;

static u64 time_now = NSEC_PER_SEC;

ktime_t ktime_get(void)
{
	struct timespec now;

	if (shim_real_time) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
	}
	return __atomic_load_n(&time_now, __ATOMIC_RELAXED);
}

u64 rdtsc(void)
{
	return (unsigned __int128)ktime_get_ns() * SHIM_TSC_KHZ / NSEC_PER_MSEC;
}

void clock_init(struct clock *clock)
{
	memset(clock, 0, sizeof(*clock));
	pthread_mutex_init(&clock->lock, NULL);
	pthread_cond_init(&clock->done, NULL);
	INIT_LIST_HEAD(&clock->timers);
}

void clock_set(u64 now)
{
	__atomic_store_n(&time_now, now, __ATOMIC_RELAXED);
}

static struct hrtimer *first_timer(struct clock *clock)
{
	return list_first_entry_or_null(&clock->timers, struct hrtimer, link);
}

/* Under the lock. */
static void enqueue(struct hrtimer *t)
{
	struct hrtimer *other;

	list_for_each_entry(other, &t->clock->timers, link)
		if (other->expires > t->expires)
			break;
	list_add_tail(&t->link, &other->link);
}

/* Under the lock, which is given up for the call. */
static void fire(struct clock *clock, struct hrtimer *t)
{
	enum hrtimer_restart again;

	list_del_init(&t->link);
	clock->running = t;
	clock->fired++;
	if (t->expires > ktime_get())
		clock_set(t->expires);
	pthread_mutex_unlock(&clock->lock);
	again = t->function(t);
	pthread_mutex_lock(&clock->lock);
	clock->running = NULL;
	/* It may have been started anew meanwhile. */
	if (again == HRTIMER_RESTART && list_empty(&t->link))
		enqueue(t);
	pthread_cond_broadcast(&clock->done);
}

void clock_run(struct clock *clock, u64 end)
{
	struct hrtimer *t;

	pthread_mutex_lock(&clock->lock);
	while ((t = first_timer(clock)) && t->expires <= (s64)end)
		fire(clock, t);
	pthread_mutex_unlock(&clock->lock);
	clock_set(end);
}

ktime_t clock_next(struct clock *clock)
{
	struct hrtimer *t;
	ktime_t next;

	pthread_mutex_lock(&clock->lock);
	t = first_timer(clock);
	next = t ? t->expires : KTIME_MAX;
	pthread_mutex_unlock(&clock->lock);
	return next;
}

/* -------- hrtimers -------- */

void hrtimer_setup(struct hrtimer *t, enum hrtimer_restart (*fn)(struct hrtimer *t), int id,
		   enum hrtimer_mode mode)
{
	NEVER(!clock_current);
	INIT_LIST_HEAD(&t->link);
	t->clock = clock_current;
	t->function = fn;
}

void hrtimer_start(struct hrtimer *t, ktime_t expires, enum hrtimer_mode mode)
{
	struct clock *clock = t->clock;

	pthread_mutex_lock(&clock->lock);
	list_del_init(&t->link);
	t->expires = expires;
	enqueue(t);
	pthread_mutex_unlock(&clock->lock);
}

int hrtimer_cancel(struct hrtimer *t)
{
	struct clock *clock = t->clock;
	bool was;

	/* The function may want what the caller holds. */
	pthread_mutex_lock(&clock->lock);
	while (clock->running == t)
		pthread_cond_wait(&clock->done, &clock->lock);
	was = !list_empty(&t->link);
	list_del_init(&t->link);
	pthread_mutex_unlock(&clock->lock);
	return was;
}

u64 hrtimer_forward_now(struct hrtimer *t, ktime_t interval)
{
	s64 late = ktime_get() - t->expires;
	u64 n;

	if (late < 0)
		return 0;
	n = late / interval + 1;
	t->expires += n * interval;
	return n;
}

bool hrtimer_active(const struct hrtimer *t)
{
	struct clock *clock = t->clock;
	bool active;

	pthread_mutex_lock(&clock->lock);
	active = !list_empty(&t->link) || clock->running == t;
	pthread_mutex_unlock(&clock->lock);
	return active;
}

/* -------- work -------- */

void shim_work_init(struct work_struct *work, void (*fn)(struct work_struct *work))
{
	INIT_LIST_HEAD(&work->link);
	work->func = fn;
}

static enum hrtimer_restart delay_over(struct hrtimer *t)
{
	struct delayed_work *work = container_of(t, struct delayed_work, timer);

	work->work.func(&work->work);
	return HRTIMER_NORESTART;
}

void shim_delayed_init(struct delayed_work *work, void (*fn)(struct work_struct *work))
{
	shim_work_init(&work->work, fn);
	hrtimer_setup(&work->timer, delay_over, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
}

static ktime_t in_jiffies(unsigned long jiffies)
{
	return ktime_add_ns(ktime_get(), jiffies * (NSEC_PER_SEC / HZ));
}

bool schedule_delayed_work(struct delayed_work *work, unsigned long jiffies)
{
	struct clock *clock = work->timer.clock;
	bool idle;

	pthread_mutex_lock(&clock->lock);
	idle = list_empty(&work->timer.link);
	if (idle) {
		work->timer.expires = in_jiffies(jiffies);
		enqueue(&work->timer);
	}
	pthread_mutex_unlock(&clock->lock);
	return idle;
}

void mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work, unsigned long jiffies)
{
	hrtimer_start(&work->timer, in_jiffies(jiffies), HRTIMER_MODE_ABS);
}

/* Work may queue itself again while it is waited for. */
void cancel_delayed_work_sync(struct delayed_work *work)
{
	shim_may_sleep(__func__);
	while (hrtimer_active(&work->timer))
		hrtimer_cancel(&work->timer);
}

bool shim_one_thread;

struct workqueue_struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct list_head works;
	bool busy, ends;
	pthread_t thread;
};

/* Under the lock, which is given up for the call. */
static void work_one(struct workqueue_struct *wq)
{
	struct work_struct *work = list_first_entry(&wq->works, struct work_struct, link);

	list_del_init(&work->link);
	wq->busy = true;
	pthread_mutex_unlock(&wq->lock);
	work->func(work);
	pthread_mutex_lock(&wq->lock);
	wq->busy = false;
	pthread_cond_broadcast(&wq->change);
}

static void *worker(void *arg)
{
	struct workqueue_struct *wq = arg;

	pthread_mutex_lock(&wq->lock);
	while (!wq->ends || !list_empty(&wq->works)) {
		if (list_empty(&wq->works))
			pthread_cond_wait(&wq->change, &wq->lock);
		else
			work_one(wq);
	}
	pthread_mutex_unlock(&wq->lock);
	return NULL;
}

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags, int max)
{
	struct workqueue_struct *wq = calloc(1, sizeof(*wq));

	NEVER(!wq);
	pthread_mutex_init(&wq->lock, NULL);
	pthread_cond_init(&wq->change, NULL);
	INIT_LIST_HEAD(&wq->works);
	if (!shim_one_thread)
		NEVER(pthread_create(&wq->thread, NULL, worker, wq));
	return wq;
}

void destroy_workqueue(struct workqueue_struct *wq)
{
	flush_workqueue(wq);
	pthread_mutex_lock(&wq->lock);
	wq->ends = true;
	pthread_cond_broadcast(&wq->change);
	pthread_mutex_unlock(&wq->lock);
	if (!shim_one_thread)
		pthread_join(wq->thread, NULL);
	free(wq);
}

bool queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	bool idle;

	if (!wq) {
		work->func(work);
		return true;
	}
	pthread_mutex_lock(&wq->lock);
	idle = list_empty(&work->link);
	if (idle)
		list_add_tail(&work->link, &wq->works);
	pthread_cond_broadcast(&wq->change);
	pthread_mutex_unlock(&wq->lock);
	return idle;
}

void flush_workqueue(struct workqueue_struct *wq)
{
	shim_may_sleep(__func__);
	pthread_mutex_lock(&wq->lock);
	while (!list_empty(&wq->works) || wq->busy) {
		if (shim_one_thread)
			work_one(wq);
		else
			pthread_cond_wait(&wq->change, &wq->lock);
	}
	pthread_mutex_unlock(&wq->lock);
}
