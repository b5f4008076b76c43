/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Only in a debug build on a kernel with DEBUG_PREEMPT: a thread that lets go
 * of a lock, or of its CPU, may have to give way at once, so that others come
 * between steps that nearly always follow each other. On one CPU that is how
 * vCPUs meet.
 */
#ifndef VMM_DEBUG_RESCHED_H
#define VMM_DEBUG_RESCHED_H

#if defined(VMM_DEBUG) && IS_ENABLED(CONFIG_DEBUG_PREEMPT)
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/timex.h>

/*
 * One time in eight, as the time stamp counter has it; not who is about to
 * sleep, as yield() would forget that, nor an RCU reader, who may be preempted
 * but not yield.
 */
static __always_inline void debug_resched(void)
{
	if (preemptible() && !rcu_preempt_depth() && task_is_running(current) &&
	    !(get_cycles() >> 5 & 7))
		yield();
}

#define resched_after(call)						\
	do {								\
		call;							\
		debug_resched();					\
	} while (0)

#define mutex_unlock(lock)	resched_after((mutex_unlock)(lock))
#define spin_unlock(lock)	resched_after((spin_unlock)(lock))
#define srcu_read_unlock(domain, idx)					\
	resched_after((srcu_read_unlock)(domain, idx))
#undef read_unlock
#define read_unlock(lock)	resched_after(_raw_read_unlock(lock))
#undef write_unlock
#define write_unlock(lock)	resched_after(_raw_write_unlock(lock))

#undef preempt_enable
#define preempt_enable()						\
	do {								\
		barrier();						\
		if (unlikely(preempt_count_dec_and_test()))		\
			__preempt_schedule();				\
		debug_resched();					\
	} while (0)
#endif

#endif /* VMM_DEBUG_RESCHED_H */
