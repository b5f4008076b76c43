// SPDX-License-Identifier: GPL-2.0-only
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define MAX_THREADS	16

unsigned long stress_rounds;

static pthread_t threads[MAX_THREADS];
static unsigned int nr_threads;
static bool over;
static _Thread_local u32 rnd_state;

void stress_begin(int argc, char **argv, unsigned long rounds)
{
	stress_rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : rounds;
	shim_real_time = true;
	setvbuf(stdout, NULL, _IOLBF, 0);
}

void stress_start(void *(*fn)(void *arg), void *arg)
{
	NEVER(nr_threads == MAX_THREADS);
	NEVER(pthread_create(&threads[nr_threads++], NULL, fn, arg));
}

void stress_join(void)
{
	while (nr_threads)
		pthread_join(threads[--nr_threads], NULL);
}

bool stress_over(void)
{
	return __atomic_load_n(&over, __ATOMIC_ACQUIRE);
}

void stress_finish(void)
{
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
}

void stress_again(void)
{
	__atomic_store_n(&over, false, __ATOMIC_RELEASE);
}

u32 stress_rnd(void)
{
	if (!rnd_state)
		rnd_state = current->cpu * 2654435761u + 12345;
	rnd_state = rnd_state * 1664525 + 1013904223;
	return rnd_state >> 8;
}

u64 stress_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}
