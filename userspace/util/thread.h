/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads of devices: all signals belong to the main and the vCPU threads. */
#ifndef VMRUN_UTIL_THREAD_H
#define VMRUN_UTIL_THREAD_H

#include <pthread.h>
#include <signal.h>

/* Return: 0 or -errno. @name has at most 15 characters. */
static inline int thread_start(pthread_t *thread, const char *name, void *(*run)(void *), void *arg)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!ret)
		pthread_setname_np(*thread, name);
	return -ret;
}

#endif
