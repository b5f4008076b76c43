/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel keeps of a task and of a CPU. Each thread of the program is
 * a CPU of its own, so nothing is ever preempted, and interrupts are what
 * other threads ask of it: they wait while it has them off.
 *
 * Functions that may sleep in the kernel call shim_may_sleep(), which is an
 * end where the kernel would not allow it: with a spinlock held, preemption or
 * interrupts off, or in an RCU section.
 */
#ifndef SHIM_THREAD_H
#define SHIM_THREAD_H

#include <pthread.h>
#include <signal.h>

#include "atomic.h"

#define SHIM_THREADS	64	/* CPUs, 0 is the first to ask */
#define SHIM_HELD	16

struct mm_struct;

enum shim_hold { SHIM_EXCLUSIVE, SHIM_SHARED };

struct task_struct {
	int cpu;
	int preempt;			/* depth, spinlocks included */
	int irqs_off;			/* 0 or 1 */
	int rcu;			/* depth of RCU sections, not SRCU */
	struct {
		const void *lock;
		enum shim_hold how;
	} held[SHIM_HELD];
	int nr_held;
	struct mm_struct *mm;
	sigset_t real_blocked;
	bool signal;			/* (a) signal_pending() */
	unsigned long irq_sections;	/* (a) odd while interrupts are off */
	bool ipi;			/* (a) an interrupt waits */
	int state;			/* (a) TASK_* */
	pthread_mutex_t sleep_lock;
	pthread_cond_t wake;
};

struct task_struct *shim_current(void);
#define current			shim_current()
#define smp_processor_id()	(current->cpu)

/* The thread of a CPU, or NULL. */
struct task_struct *shim_cpu(unsigned int cpu);
unsigned int shim_nr_cpus(void);

void shim_may_sleep(const char *what);
#define might_sleep()		shim_may_sleep(__func__)
static inline void cond_resched(void)
{
	shim_may_sleep(__func__);
}

#define preempt_disable()	((void)current->preempt++)
#define preempt_enable()	((void)current->preempt--)
static inline bool need_resched(void)
{
	return false;
}

/* -------- interrupts -------- */

void local_irq_disable(void);
void local_irq_enable(void);
#define local_irq_save(flags)						\
	do {								\
		(flags) = current->irqs_off;				\
		if (!(flags))						\
			local_irq_disable();				\
	} while (0)
#define local_irq_restore(flags)					\
	do {								\
		if (!(flags))						\
			local_irq_enable();				\
	} while (0)

typedef struct cpumask { DECLARE_BITMAP(bits, SHIM_THREADS); } cpumask_t;
typedef struct cpumask *cpumask_var_t;
extern struct cpumask shim_online;
#define cpu_online_mask		(&shim_online)

bool zalloc_cpumask_var(cpumask_var_t *mask, gfp_t flags);
void free_cpumask_var(cpumask_var_t mask);
static inline void cpumask_set_cpu(unsigned int cpu, struct cpumask *mask)
{
	set_bit(cpu, mask->bits);
}

/* An interrupt for @cpu; the guest that runs there leaves for it. */
void smp_send_reschedule(int cpu);
/* Interrupts the others of @mask, and waits until each could have taken it. */
void smp_call_function_many(const struct cpumask *mask, void (*fn)(void *info), void *info,
			    bool wait);
/* The thread's own: an interrupt came since it asked last. */
bool shim_take_ipi(void);
bool shim_ipi_waits(void);

/* -------- sleeping -------- */

#define TASK_RUNNING		0
#define TASK_INTERRUPTIBLE	1

#define set_current_state(s)	smp_store_mb(current->state, s)
#define __set_current_state(s)	WRITE_ONCE(current->state, s)
void schedule(void);
int wake_up_process(struct task_struct *task);

static inline bool signal_pending(struct task_struct *task)
{
	return READ_ONCE(task->signal);
}

struct rcuwait {
	struct task_struct *task;
};

static inline void rcuwait_init(struct rcuwait *w)
{
	w->task = NULL;
}

void prepare_to_rcuwait(struct rcuwait *w);
void finish_rcuwait(struct rcuwait *w);
int rcuwait_wake_up(struct rcuwait *w);

#define cpu_relax()		__builtin_ia32_pause()
static inline bool single_task_running(void)
{
	return true;
}

#endif /* SHIM_THREAD_H */
