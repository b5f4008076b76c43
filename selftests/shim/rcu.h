/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RCU and SRCU: each thread has a word per domain, its depth and how often it
 * came in; who synchronizes waits for those that are inside to leave.
 *
 * For TSan, leaving is a release that the wait acquires: what readers did is
 * before what follows the grace period. The other guarantee, that a reader who
 * comes in after the grace period began sees what was stored before it, holds
 * on this CPU but is not told to TSan: a reader that leans on it, and not on
 * the pointer that it dereferences, is reported. Grace periods are as short as
 * they can be, so what is freed too early is gone at once, for ASan to see;
 * how long the kernel's may last, and that they may end on another CPU, is
 * not looked at.
 */
#ifndef SHIM_RCU_H
#define SHIM_RCU_H

#include "thread.h"

struct rcu_head {
	void *unused;
};

struct srcu_struct {
	unsigned long reader[SHIM_THREADS];	/* (a) */
};

extern struct srcu_struct shim_rcu;

int shim_read_lock(struct srcu_struct *domain);
void shim_read_unlock(struct srcu_struct *domain);
bool shim_reads(const struct srcu_struct *domain);
void shim_synchronize(struct srcu_struct *domain);

static inline int init_srcu_struct(struct srcu_struct *s)
{
	memset(s, 0, sizeof(*s));
	return 0;
}

void cleanup_srcu_struct(struct srcu_struct *s);

static inline int srcu_read_lock(struct srcu_struct *s)
{
	return shim_read_lock(s);
}

static inline void srcu_read_unlock(struct srcu_struct *s, int idx)
{
	shim_read_unlock(s);
}

#define srcu_read_lock_held(s)		shim_reads(s)
#define synchronize_srcu(s)		shim_synchronize(s)
#define synchronize_srcu_expedited(s)	shim_synchronize(s)

static inline void rcu_read_lock(void)
{
	current->rcu++;
	shim_read_lock(&shim_rcu);
}

static inline void rcu_read_unlock(void)
{
	shim_read_unlock(&shim_rcu);
	current->rcu--;
}

#define synchronize_rcu()		shim_synchronize(&shim_rcu)
#define synchronize_rcu_expedited()	synchronize_rcu()

/* A dependency is taken for an acquire. */
#define rcu_dereference_raw(p)		__atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define rcu_dereference(p)						\
	({								\
		NEVER(!shim_reads(&shim_rcu));				\
		rcu_dereference_raw(p);					\
	})
#define srcu_dereference(p, s)						\
	({								\
		NEVER(!shim_reads(s));					\
		rcu_dereference_raw(p);					\
	})
#define srcu_dereference_check(p, s, cond)				\
	({								\
		NEVER(!(cond) && !shim_reads(s));			\
		rcu_dereference_raw(p);					\
	})
#define rcu_dereference_check(p, cond)	rcu_dereference_raw(p)
#define rcu_dereference_protected(p, cond)				\
	({								\
		NEVER(!(cond));					\
		(p);							\
	})
#define rcu_access_pointer(p)		READ_ONCE(p)
#define rcu_assign_pointer(p, v)	__atomic_store_n(&(p), v, __ATOMIC_RELEASE)
#define RCU_INIT_POINTER(p, v)		WRITE_ONCE(p, v)
#define rcu_replace_pointer(p, new, cond)				\
	({								\
		typeof(p) old_ = rcu_dereference_protected(p, cond);	\
									\
		rcu_assign_pointer(p, new);				\
		old_;							\
	})
#define RCU_LOCKDEP_WARN(cond, text)	do { } while (0)
#define rcu_read_lock_any_held()	true

/* The grace period is waited for at once. */
#define kvfree_rcu(p, member)		shim_free_rcu(p)
#define kfree_rcu(p, member)		shim_free_rcu(p)
void shim_free_rcu(void *p);

#endif /* SHIM_RCU_H */
