/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What KVM has counted for a vCPU: its binary statistics, as far as they are
 * single numbers that only grow.
 */
#ifndef VMRUN_COUNTERS_H
#define VMRUN_COUNTERS_H

#include <stddef.h>

#define COUNTERS_NAME_MAX	64
/* Room for the text of all counters, KVM's or vmm's. */
#define COUNTERS_TEXT_MAX	16384

struct counters;

/**
 * counters_open - learn which counters there are
 * @fd: what KVM_GET_STATS_FD gave; closed by counters_close(), or here on failure
 *
 * Return: NULL where it cannot be understood.
 */
struct counters *counters_open(int fd);
void counters_close(struct counters *c);

/*
 * "NAME=TOTAL NAME=TOTAL …" of those that are not zero. May be called while
 * the vCPU runs. Return: the length, or -errno.
 */
int counters_text(const struct counters *c, char *text, size_t size);

#endif
