// SPDX-License-Identifier: GPL-2.0-only
#include "sandbox/thread.h"

#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include "sandbox/violation.h"

/* Lives on the stack of thread_start() until the thread is in its sandbox, or has failed to get there. */
struct start {
	const struct thread_spec *spec;
	bool inherited;
	sem_t there;
	int err;
};

static void *thread_main(void *arg)
{
	struct start *start = arg;
	struct thread_spec spec = *start->spec;
	int err;

	/* By the thread itself: another one would have to open a file for that. */
	prctl(PR_SET_NAME, spec.name);
	violation_thread(spec.name, spec.role);
	err = sandbox_thread(spec.sandbox, spec.role, spec.fd, start->inherited);
	start->err = err;
	sem_post(&start->there);
	return err ? NULL : spec.run(spec.arg);
}

static int thread_create(pthread_t *thread, struct start *start)
{
	sigset_t mask, old;
	int ret;

	sigfillset(&mask);
	sigdelset(&mask, SIGSYS);
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	ret = pthread_create(thread, NULL, thread_main, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -ret;
}

int thread_start(pthread_t *thread, const struct thread_spec *spec)
{
	struct start start = { .spec = spec, .inherited = sandbox_entered(spec->sandbox) };
	int err;

	sem_init(&start.there, 0, 0);
	err = thread_create(thread, &start);
	if (!err) {
		while (sem_wait(&start.there))
			;
		err = start.err;
		if (err)
			pthread_join(*thread, NULL);
	}
	sem_destroy(&start.there);
	return err;
}
