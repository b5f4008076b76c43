// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/verify.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "migrate/snapshot.h"
#include "sandbox/thread.h"
#include "util/msg.h"

struct verifier {
	struct machine *m;
	pthread_t thread;
	bool stop;		/* atomic */
};

static bool verifier_stopped(void *opaque)
{
	struct verifier *v = opaque;

	return __atomic_load_n(&v->stop, __ATOMIC_RELAXED);
}

/* Before the loop runs nobody else looks at the signals that end the machine. */
static bool signal_waits(void *opaque)
{
	sigset_t set;

	(void)opaque;
	return !sigpending(&set) && (sigismember(&set, SIGTERM) == 1 ||
				     sigismember(&set, SIGINT) == 1 ||
				     sigismember(&set, SIGHUP) == 1);
}

static void *verifier_thread(void *opaque)
{
	struct verifier *v = opaque;
	int err = snapshot_verify(v->m->snapshot, verifier_stopped, v);

	if (err && err != -ECANCELED)
		machine_request(v->m, MACHINE_FAILED);
	return NULL;
}

static int verifier_start_behind(struct machine *m)
{
	struct verifier *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return msg_fail(-ENOMEM, "out of memory");
	v->m = m;
	err = thread_start(&v->thread, &(struct thread_spec){
		.name = "verify", .sandbox = m->sandbox, .role = ROLE_VERIFY,
		.run = verifier_thread, .arg = v });
	if (err) {
		free(v);
		return msg_fail(err, "cannot start a thread: %s",
				strerror(-err));
	}
	m->verifier = v;
	return 0;
}

int verifier_start(struct machine *m)
{
	switch (m->cfg.verify) {
	case VERIFY_FIRST:
		return snapshot_verify(m->snapshot, signal_waits, NULL);
	case VERIFY_BEHIND:
		return verifier_start_behind(m);
	default:
		return 0;
	}
}

void verifier_stop(struct machine *m)
{
	struct verifier *v = m->verifier;

	if (!v)
		return;
	__atomic_store_n(&v->stop, true, __ATOMIC_RELAXED);
	pthread_join(v->thread, NULL);
	m->verifier = NULL;
	free(v);
}
