/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Locks. What a thread holds is noted, so that lockdep_assert_held() means
 * something, and a lock that is taken twice is an end and no hang.
 */
#ifndef SHIM_LOCK_H
#define SHIM_LOCK_H

#include "thread.h"

typedef struct spinlock { pthread_mutex_t m; } spinlock_t;
struct mutex { pthread_mutex_t m; };
typedef struct {
	pthread_rwlock_t l;
	int waiting;			/* (a) threads that want it and have it not */
} rwlock_t;

/* Sections of locks, ever; what the programs count work by. */
extern _Thread_local unsigned long shim_sections;

void shim_hold(const void *lock, enum shim_hold how);
void shim_release(const void *lock);
bool shim_holds(const void *lock, bool exclusive);

#define DEFINE_SPINLOCK(name)	spinlock_t name = { PTHREAD_MUTEX_INITIALIZER }
#define DEFINE_MUTEX(name)	struct mutex name = { PTHREAD_MUTEX_INITIALIZER }

void spin_lock_init(spinlock_t *l);
void spin_lock(spinlock_t *l);
void spin_unlock(spinlock_t *l);
#define spin_lock_irqsave(l, flags)					\
	do {								\
		local_irq_save(flags);					\
		spin_lock(l);						\
	} while (0)
#define spin_unlock_irqrestore(l, flags)				\
	do {								\
		spin_unlock(l);						\
		local_irq_restore(flags);				\
	} while (0)
#define spin_lock_irq(l)						\
	do {								\
		NEVER(current->irqs_off);				\
		local_irq_disable();					\
		spin_lock(l);						\
	} while (0)
#define spin_unlock_irq(l)						\
	do {								\
		spin_unlock(l);						\
		local_irq_enable();					\
	} while (0)

void mutex_init(struct mutex *l);
void mutex_lock(struct mutex *l);
void mutex_unlock(struct mutex *l);

void rwlock_init(rwlock_t *l);
void read_lock(rwlock_t *l);
bool read_trylock(rwlock_t *l);
void read_unlock(rwlock_t *l);
void write_lock(rwlock_t *l);
void write_unlock(rwlock_t *l);
static inline bool rwlock_is_contended(rwlock_t *l)
{
	return READ_ONCE(l->waiting);
}

#define lockdep_is_held(l)		shim_holds(l, false)
#define lockdep_assert(cond)		NEVER(!(cond))
#define lockdep_assert_held(l)		NEVER(!shim_holds(l, false))
#define lockdep_assert_held_write(l)	NEVER(!shim_holds(l, true))

#endif /* SHIM_LOCK_H */
