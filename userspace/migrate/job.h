/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a machine does beside running: it writes a snapshot or moves away. One at a time; the
 * last one's outcome can be asked for until the next begins.
 *
 * The control socket's commands (control.h) are the only callers, on the loop's thread.
 */
#ifndef VMRUN_MIGRATE_JOB_H
#define VMRUN_MIGRATE_JOB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOB_WHY_MAX	256
#define JOB_TEXT_MAX	1024

enum job_state { JOB_NONE, JOB_RUNNING, JOB_DONE, JOB_FAILED };

/* Bytes, bytes a second, pages a second, milliseconds. */
struct job_progress {
	uint64_t total, done, remaining;
	uint64_t sent;			/* on the wire */
	uint64_t rate;
	uint64_t dirty_rate;
	uint32_t round;
	uint32_t throttle;		/* per cent of the time that vCPUs are held */
	uint64_t expected_downtime;
	uint64_t downtime;		/* once it is over */
	uint32_t wanted;		/* connections that it has asked for so far */
};

struct job {
	pthread_mutex_t lock;		/* the rest */
	const char *kind;		/* "snapshot", "migrate" */
	enum job_state state;
	const char *phase;		/* a word */
	struct job_progress progress;
	char why[JOB_WHY_MAX];		/* when it failed */
	bool seen;			/* the outcome was asked for */
};

struct machine;

void job_init(struct job *job);
void job_fini(struct job *job);

/* Return: 0, or -EBUSY while another one runs. */
int job_begin(struct job *job, const char *kind);
void job_phase(struct job *job, const char *phase);
void job_done(struct job *job);
/*
 * The first reason counts. A job that has failed is over: what it has begun is undone by then, and no thread of it
 * calls the loop any more, which may wait for it now. Until that it is blamed only.
 */
void job_blame(struct job *job, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void job_fail(struct job *job, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
enum job_state job_state(struct job *job);

/* For the control socket, in one line: "state=… key=value …". */
int job_text(struct job *job, char *text, size_t size);

/* Ends what runs, without leaving anything behind, and waits for it. */
void job_cancel(struct machine *m);

#endif
