// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "migrate/snapshot.h"
#include "migrate/source.h"

void job_init(struct job *job)
{
	memset(job, 0, sizeof(*job));
	pthread_mutex_init(&job->lock, NULL);
	job->kind = "none";
	job->phase = "-";
}

void job_fini(struct job *job)
{
	pthread_mutex_destroy(&job->lock);
}

int job_begin(struct job *job, const char *kind)
{
	int err = 0;

	pthread_mutex_lock(&job->lock);
	if (job->state == JOB_RUNNING) {
		err = -EBUSY;
	} else {
		memset(&job->progress, 0, sizeof(job->progress));
		job->kind = kind;
		job->state = JOB_RUNNING;
		job->phase = "begin";
		job->why[0] = '\0';
		job->seen = false;
	}
	pthread_mutex_unlock(&job->lock);
	return err;
}

void job_phase(struct job *job, const char *phase)
{
	pthread_mutex_lock(&job->lock);
	job->phase = phase;
	pthread_mutex_unlock(&job->lock);
}

void job_done(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	job->state = JOB_DONE;
	job->phase = "-";
	job->why[0] = '\0';
	pthread_mutex_unlock(&job->lock);
}

/* Newlines would end the answer on the control socket. The lock is held. */
static void job_set_why(struct job *job, const char *fmt, va_list ap)
{
	if (job->state != JOB_RUNNING || job->why[0])
		return;
	vsnprintf(job->why, sizeof(job->why), fmt, ap);
	for (char *c = job->why; *c; c++)
		if (*c < ' ' && *c >= 0)
			*c = ' ';
}

void job_blame(struct job *job, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pthread_mutex_lock(&job->lock);
	job_set_why(job, fmt, ap);
	pthread_mutex_unlock(&job->lock);
	va_end(ap);
}

void job_fail(struct job *job, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	pthread_mutex_lock(&job->lock);
	job_set_why(job, fmt, ap);
	if (job->state == JOB_RUNNING)
		job->state = JOB_FAILED;
	pthread_mutex_unlock(&job->lock);
	va_end(ap);
}

enum job_state job_state(struct job *job)
{
	enum job_state state;

	pthread_mutex_lock(&job->lock);
	state = job->state;
	pthread_mutex_unlock(&job->lock);
	return state;
}

int job_text(struct job *job, char *text, size_t size)
{
	static const char *const states[] = {
		[JOB_NONE] = "none", [JOB_RUNNING] = "running",
		[JOB_DONE] = "done", [JOB_FAILED] = "failed",
	};
	const struct job_progress *p = &job->progress;
	int n;

	pthread_mutex_lock(&job->lock);
	n = snprintf(text, size,
		     "job=%s state=%s phase=%s total=%" PRIu64 " done=%" PRIu64 " remaining=%" PRIu64 " sent=%" PRIu64 " rate=%" PRIu64 " dirty-rate=%" PRIu64 " round=%" PRIu32 " throttle=%" PRIu32 " expected-downtime=%" PRIu64 " downtime=%" PRIu64 " wanted=%" PRIu32 " why=%s",
		     job->kind, states[job->state], job->phase, p->total,
		     p->done, p->remaining, p->sent, p->rate, p->dirty_rate,
		     p->round, p->throttle, p->expected_downtime, p->downtime,
		     p->wanted, job->why);
	if (job->state != JOB_RUNNING)
		job->seen = true;
	pthread_mutex_unlock(&job->lock);
	return n;
}

void job_cancel(struct machine *m)
{
	snapshot_cancel(m);
	source_cancel(m);
}
