// SPDX-License-Identifier: GPL-2.0-only
#include <sched.h>

#include "shim.h"

/* A reader's word: how often it came in, and its depth. */
#define DEPTH		0xffffUL
#define ENTRY		0x10000UL

struct srcu_struct shim_rcu;

static unsigned long *my_word(struct srcu_struct *domain)
{
	return &domain->reader[current->cpu];
}

int shim_read_lock(struct srcu_struct *domain)
{
	unsigned long *word = my_word(domain), val = __atomic_load_n(word, __ATOMIC_RELAXED);

	val += val & DEPTH ? 1 : ENTRY + 1;
	/* Before all that the section reads: either that is new, or who synchronizes sees this. */
	__atomic_store_n(word, val, __ATOMIC_SEQ_CST);
	return 0;
}

void shim_read_unlock(struct srcu_struct *domain)
{
	unsigned long *word = my_word(domain), val = __atomic_load_n(word, __ATOMIC_RELAXED);

	NEVER(!(val & DEPTH));
	__atomic_store_n(word, val - 1, __ATOMIC_RELEASE);
}

bool shim_reads(const struct srcu_struct *domain)
{
	return __atomic_load_n(&domain->reader[current->cpu], __ATOMIC_RELAXED) & DEPTH;
}

static void wait_for(const unsigned long *word)
{
	unsigned long first = __atomic_load_n(word, __ATOMIC_ACQUIRE), now = first;

	while ((now & DEPTH) && now / ENTRY == first / ENTRY) {
		sched_yield();
		now = __atomic_load_n(word, __ATOMIC_ACQUIRE);
	}
}

void shim_synchronize(struct srcu_struct *domain)
{
	unsigned int cpu;

	shim_may_sleep(__func__);
	NEVER(shim_reads(domain));
	/* The caller's stores before the looks at readers; pairs with shim_read_lock(). */
	smp_mb();
	for (cpu = 0; cpu < shim_nr_cpus(); cpu++)
		wait_for(&domain->reader[cpu]);
	/* And those before what the caller does next. */
	smp_mb();
}

void cleanup_srcu_struct(struct srcu_struct *s)
{
	unsigned int cpu;

	for (cpu = 0; cpu < SHIM_THREADS; cpu++)
		NEVER(__atomic_load_n(&s->reader[cpu], __ATOMIC_ACQUIRE) & DEPTH);
}

void shim_free_rcu(void *p)
{
	synchronize_rcu();
	free(p);
}
