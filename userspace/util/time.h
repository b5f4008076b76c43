/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The clock that vmrun measures by: CLOCK_MONOTONIC, in ns.
 */
#ifndef VMRUN_UTIL_TIME_H
#define VMRUN_UTIL_TIME_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC	1000000000ull
#define NSEC_PER_MSEC	1000000ull

static inline uint64_t timespec_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NSEC_PER_SEC + (uint64_t)t->tv_nsec;
}

static inline struct timespec ns_timespec(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC) };
}

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return timespec_ns(&now);
}

static inline int64_t now_ms(void)
{
	return (int64_t)(now_ns() / NSEC_PER_MSEC);
}

#endif /* VMRUN_UTIL_TIME_H */
