/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The side of a move that the guest leaves. A thread sends memory in rounds while the guest
 * runs; the loop's thread hands it over. frame.h has the protocol.
 *
 * The guest is never run here again once GO was sent and not refused. If nothing is heard
 * after GO, nobody knows: the machine stays, paused, until its user resumes or ends it.
 */
#ifndef VMRUN_MIGRATE_SOURCE_H
#define VMRUN_MIGRATE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#define SOURCE_STREAMS_MAX	32
#define SOURCE_DOWNTIME_MS	300
#define SOURCE_TIMEOUT_S	60	/* guests of many gigabytes take long to load */
#define SOURCE_TIMEOUT_MAX_S	3600
#define SOURCE_LEVEL_MAX	19

struct machine;

struct source_opts {
	const char *uri;
	uint32_t downtime_ms;	/* the longest stop that is aimed at */
	uint64_t bandwidth;	/* bytes a second while the guest runs; 0: no limit */
	uint32_t streams;
	uint32_t timeout_s;	/* how long the other side may be silent */
	int level;		/* of zstd; 0: none */
	bool postcopy;		/* start the guest there after the first round */
	bool check;		/* compare all of memory before it starts */
};

/*
 * Loop's thread. Strings are copied. After a post-copy move whose connection broke this connects
 * again. Return: 0 if it has begun, or -errno; then the job tells why.
 */
int source_begin(struct machine *m, const struct source_opts *opts);

/*
 * Loop's thread. A connection to opts.uri, which this process may not make by itself: the job says how many it
 * wants (job_progress.wanted), and who asked for the move brings them. It is kept, unless the return value is -errno.
 */
int source_offer(struct machine *m, int fd);

/* Any thread; the job ends soon. Too late once the guest is handed over. */
void source_cancel(struct machine *m);

/* Waits for a thread that has told its outcome. */
void source_settle(struct machine *m);

/* After the loop has ended: cancels and waits. */
void source_destroy(struct machine *m);

#endif
