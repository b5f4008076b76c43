/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Time as the guest sees it: the TSC of every vCPU, and kvmclock.
 *
 * The TSCs of a paused machine still count while they are read one after the other, so what
 * travels is the first vCPU's value and the others' distance from it.
 */
#ifndef VMRUN_MIGRATE_CLOCK_H
#define VMRUN_MIGRATE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_VERSION	2

struct machine;
struct stream;

struct clock {
	uint32_t khz;		/* of the TSC; 0: unknown */
	uint64_t tsc;		/* the first vCPU's */
	int64_t *delta;		/* each vCPU's distance from it */
	uint64_t kvmclock;	/* ns */
	uint64_t realtime;	/* ns since 1970 when all this was read; 0: unknown (version 1) */
};

/*
 * A guest that stands still does not see the time pass: its TSCs and kvmclock go on from where
 * they were held. The vCPUs are parked; a hold that is repeated is the first one, and it ends with
 * the next clock_release().
 */
struct clock_hold {
	bool held;
	uint64_t tsc;		/* the first vCPU's */
	uint64_t kvmclock;
	uint64_t realtime;
};

void clock_hold(struct machine *m);
void clock_release(struct machine *m);

int clock_save(struct machine *m, struct stream *s);
int clock_read(struct clock *clock, unsigned int vcpus, struct stream *s,
	       uint32_t version);
void clock_free(struct clock *clock);

/* Before the MSRs, and when everything else is loaded. */
int clock_load_tsc(struct machine *m, struct clock *clock);
int clock_load(struct machine *m, const struct clock *clock);

#endif
