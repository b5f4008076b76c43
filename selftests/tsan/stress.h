/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that work until their amount of work is done, and an end for those that hang. */
#ifndef TSAN_STRESS_H
#define TSAN_STRESS_H

#include "shim.h"

/* The program's argument: rounds of what it counts by, else @rounds. Arms the alarm. */
void stress_begin(int argc, char **argv, unsigned long rounds);
extern unsigned long stress_rounds;

void stress_start(void *(*fn)(void *arg), void *arg);
/* All threads have ended. */
void stress_join(void);
/* stress_rounds are over, for those that go on until the others are done. */
bool stress_over(void);
void stress_finish(void);
/* Not over, for the next ones. */
void stress_again(void);

/* Differs from thread to thread, and is the same in each run. */
u32 stress_rnd(void);

/* Waits until @cond holds; an end when that takes longer than anything may. */
#define STRESS_WAIT(cond)						\
	do {								\
		u64 since_ = stress_seconds();				\
									\
		while (!(cond)) {					\
			sched_yield();					\
			if (stress_seconds() - since_ > 60)		\
				shim_bug(__FILE__, __LINE__, "never: %s", #cond); \
		}							\
	} while (0)
u64 stress_seconds(void);

#endif /* TSAN_STRESS_H */
