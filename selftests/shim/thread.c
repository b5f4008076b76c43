// SPDX-License-Identifier: GPL-2.0-only
#include <sched.h>
#include <stdarg.h>

#include "shim.h"

#ifdef SHIM_TSAN
_Thread_local struct shim_order shim_order;
#endif

struct cpumask shim_online;

static struct task_struct *tasks[SHIM_THREADS];
static unsigned int nr_tasks;
static _Thread_local struct task_struct *self;

void shim_bug(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort();
}

static struct task_struct *new_task(void)
{
	unsigned int cpu = __atomic_fetch_add(&nr_tasks, 1, __ATOMIC_SEQ_CST);
	struct task_struct *t = calloc(1, sizeof(*t));

	NEVER(!t || cpu >= SHIM_THREADS);
	t->cpu = cpu;
	pthread_mutex_init(&t->sleep_lock, NULL);
	pthread_cond_init(&t->wake, NULL);
	__atomic_store_n(&tasks[cpu], t, __ATOMIC_SEQ_CST);
	set_bit(cpu, shim_online.bits);
	return t;
}

struct task_struct *shim_current(void)
{
	if (unlikely(!self))
		self = new_task();
	return self;
}

struct task_struct *shim_cpu(unsigned int cpu)
{
	return cpu < SHIM_THREADS ? __atomic_load_n(&tasks[cpu], __ATOMIC_ACQUIRE) : NULL;
}

unsigned int shim_nr_cpus(void)
{
	return __atomic_load_n(&nr_tasks, __ATOMIC_SEQ_CST);
}

void shim_may_sleep(const char *what)
{
	const struct task_struct *t = current;

	if (unlikely(t->preempt || t->irqs_off || t->rcu))
		shim_bug(what, 0, "may sleep, with preemption off %d times, interrupts off %d, in %d RCU sections",
			 t->preempt, t->irqs_off, t->rcu);
}

/* -------- interrupts -------- */

void local_irq_disable(void)
{
	struct task_struct *t = current;

	t->irqs_off = 1;
	__atomic_add_fetch(&t->irq_sections, 1, __ATOMIC_SEQ_CST);
}

void local_irq_enable(void)
{
	struct task_struct *t = current;

	__atomic_add_fetch(&t->irq_sections, 1, __ATOMIC_RELEASE);
	t->irqs_off = 0;
}

void smp_send_reschedule(int cpu)
{
	struct task_struct *t = shim_cpu(cpu);

	if (t)
		__atomic_store_n(&t->ipi, true, __ATOMIC_RELEASE);
}

bool shim_ipi_waits(void)
{
	return __atomic_load_n(&current->ipi, __ATOMIC_ACQUIRE);
}

bool shim_take_ipi(void)
{
	return __atomic_exchange_n(&current->ipi, false, __ATOMIC_ACQ_REL);
}

/*
 * With interrupts on it could be taken at any moment: now. Whoever has them
 * off takes it when they go on; until then, the guest leaves for it.
 */
static void interrupt(struct task_struct *t)
{
	unsigned long section = __atomic_load_n(&t->irq_sections, __ATOMIC_SEQ_CST);

	if (!(section & 1))
		return;
	smp_send_reschedule(t->cpu);
	while (__atomic_load_n(&t->irq_sections, __ATOMIC_ACQUIRE) == section)
		sched_yield();
}

void smp_call_function_many(const struct cpumask *mask, void (*fn)(void *info), void *info,
			    bool wait)
{
	unsigned int cpu;

	NEVER(!wait || current->irqs_off);
	/* The caller's stores before the looks at who has interrupts off. */
	smp_mb();
	for (cpu = 0; cpu < shim_nr_cpus(); cpu++) {
		if (!test_bit(cpu, mask->bits) || cpu == (unsigned int)current->cpu)
			continue;
		interrupt(shim_cpu(cpu));
	}
}

bool zalloc_cpumask_var(cpumask_var_t *mask, gfp_t flags)
{
	*mask = shim_fails() ? NULL : calloc(1, sizeof(**mask));
	return *mask;
}

void free_cpumask_var(cpumask_var_t mask)
{
	free(mask);
}

/* -------- sleeping -------- */

void schedule(void)
{
	struct task_struct *t = current;

	pthread_mutex_lock(&t->sleep_lock);
	while (READ_ONCE(t->state) != TASK_RUNNING)
		pthread_cond_wait(&t->wake, &t->sleep_lock);
	pthread_mutex_unlock(&t->sleep_lock);
}

int wake_up_process(struct task_struct *task)
{
	int woken;

	pthread_mutex_lock(&task->sleep_lock);
	/* The caller's stores before the look; pairs with set_current_state(). */
	smp_mb();
	woken = READ_ONCE(task->state) != TASK_RUNNING;
	WRITE_ONCE(task->state, TASK_RUNNING);
	pthread_cond_signal(&task->wake);
	pthread_mutex_unlock(&task->sleep_lock);
	return woken;
}

void prepare_to_rcuwait(struct rcuwait *w)
{
	__atomic_store_n(&w->task, current, __ATOMIC_RELEASE);
}

void finish_rcuwait(struct rcuwait *w)
{
	WRITE_ONCE(w->task, NULL);
	__set_current_state(TASK_RUNNING);
}

int rcuwait_wake_up(struct rcuwait *w)
{
	struct task_struct *task;

	/* Pairs with set_current_state(). */
	smp_mb();
	task = __atomic_load_n(&w->task, __ATOMIC_ACQUIRE);
	return task ? wake_up_process(task) : 0;
}
