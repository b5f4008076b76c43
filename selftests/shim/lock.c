// SPDX-License-Identifier: GPL-2.0-only
#include "shim.h"

_Thread_local unsigned long shim_sections;

void shim_hold(const void *lock, enum shim_hold how)
{
	struct task_struct *t = current;

	NEVER(t->nr_held == SHIM_HELD);
	t->held[t->nr_held].lock = lock;
	t->held[t->nr_held++].how = how;
	shim_sections++;
}

void shim_release(const void *lock)
{
	struct task_struct *t = current;
	int i = t->nr_held;

	while (i-- && t->held[i].lock != lock)
		;
	NEVER(i < 0);
	t->held[i] = t->held[--t->nr_held];
}

bool shim_holds(const void *lock, bool exclusive)
{
	const struct task_struct *t = current;
	int i;

	for (i = 0; i < t->nr_held; i++)
		if (t->held[i].lock == lock)
			return !exclusive || t->held[i].how == SHIM_EXCLUSIVE;
	return false;
}

void spin_lock_init(spinlock_t *l)
{
	pthread_mutex_init(&l->m, NULL);
}

void spin_lock(spinlock_t *l)
{
	NEVER(shim_holds(l, false));
	preempt_disable();
	pthread_mutex_lock(&l->m);
	shim_hold(l, SHIM_EXCLUSIVE);
}

void spin_unlock(spinlock_t *l)
{
	shim_release(l);
	pthread_mutex_unlock(&l->m);
	preempt_enable();
}

void mutex_init(struct mutex *l)
{
	pthread_mutex_init(&l->m, NULL);
}

void mutex_lock(struct mutex *l)
{
	shim_may_sleep(__func__);
	NEVER(shim_holds(l, false));
	pthread_mutex_lock(&l->m);
	shim_hold(l, SHIM_EXCLUSIVE);
}

void mutex_unlock(struct mutex *l)
{
	shim_release(l);
	pthread_mutex_unlock(&l->m);
}

/* As the kernel's queued one: a writer that waits goes before new readers. */
void rwlock_init(rwlock_t *l)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&l->l, &attr);
	l->waiting = 0;
}

void read_lock(rwlock_t *l)
{
	NEVER(shim_holds(l, false));
	preempt_disable();
	__atomic_add_fetch(&l->waiting, 1, __ATOMIC_RELAXED);
	pthread_rwlock_rdlock(&l->l);
	__atomic_sub_fetch(&l->waiting, 1, __ATOMIC_RELAXED);
	shim_hold(l, SHIM_SHARED);
}

bool read_trylock(rwlock_t *l)
{
	NEVER(shim_holds(l, false));
	preempt_disable();
	if (pthread_rwlock_tryrdlock(&l->l)) {
		preempt_enable();
		return false;
	}
	shim_hold(l, SHIM_SHARED);
	return true;
}

void read_unlock(rwlock_t *l)
{
	shim_release(l);
	pthread_rwlock_unlock(&l->l);
	preempt_enable();
}

void write_lock(rwlock_t *l)
{
	NEVER(shim_holds(l, false));
	preempt_disable();
	__atomic_add_fetch(&l->waiting, 1, __ATOMIC_RELAXED);
	pthread_rwlock_wrlock(&l->l);
	__atomic_sub_fetch(&l->waiting, 1, __ATOMIC_RELAXED);
	shim_hold(l, SHIM_EXCLUSIVE);
}

void write_unlock(rwlock_t *l)
{
	shim_release(l);
	pthread_rwlock_unlock(&l->l);
	preempt_enable();
}
