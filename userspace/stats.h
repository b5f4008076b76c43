/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmrun stats: what a running machine's vCPUs spend their time with.
 */
#ifndef VMRUN_STATS_H
#define VMRUN_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "counters.h"

#define STATS_MAX	256	/* counters of a vCPU that are shown */

struct stats_counter {
	char name[COUNTERS_NAME_MAX];
	uint64_t total;
	double rate;		/* per second */
};

struct stats_sample {
	double when;		/* seconds */
	size_t nr;
	struct stats_counter list[STATS_MAX];
};

/* The answer to query-stats (control.h). 0 or -EPROTO. */
int stats_parse(struct stats_sample *sample, unsigned int *cpus,
		const char *reply);
/* Rates since @before, and the busiest first. */
void stats_rate(struct stats_sample *now, const struct stats_sample *before);
/* At most @rows counters. */
void stats_print(FILE *out, unsigned int vcpu,
		 const struct stats_sample *sample, size_t rows);

/*
 * The subcommand: once, or every @interval seconds while stdout is a terminal.
 * Reports errors; 0 or -errno.
 */
int stats_show(const char *name, unsigned int interval);

#endif
