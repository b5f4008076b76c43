/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine's whole state but its memory, and what its other side must be like to take it: a
 * list of sections (section.h).
 *
 *	config		the machine: see config_save()
 *	vcpu0 …		registers, MSRs, CPUID
 *	chips		PIC, IOAPIC, PIT
 *	clock		TSC of all vCPUs, kvmclock
 *	and one for each device, under its name.
 *
 * All run on the event loop's thread, with the machine paused or not yet started.
 */
#ifndef VMRUN_MIGRATE_STATE_H
#define VMRUN_MIGRATE_STATE_H

#include <stddef.h>
#include <stdint.h>

struct machine;
struct machine_config;
struct stream;

/*
 * Of the format as a whole. Streams and files of version STATE_VERSION_MIN and later are
 * accepted.
 *
 *  1: the first
 *  2: the clock section tells the time of day, so that the guest's clock does not lose the
 *     time that the move takes
 */
#define STATE_VERSION		2
#define STATE_VERSION_MIN	1

/* Devices finish what they have begun, which may change memory. */
int state_save(struct machine *m, struct stream *s);

/*
 * Return: 0 or -errno; what is wrong with it stands in @why, a line without newline. On error
 * the machine must not be run.
 */
int state_load(struct machine *m, struct stream *s, char *why, size_t size);

/*
 * compare.c: saves @m, which has just loaded @s and has not run yet, once more. Return: 0 if it is the
 * same; -EBADMSG, and what is not stands in @why.
 */
int state_compare(struct machine *m, struct stream *s, char *why, size_t size);

/*
 * The machine's description alone, as the first section of a list.
 *
 * config_check() asks whether the machine @m can take the place of what is described in @s;
 * config_read() makes a configuration of it, whose strings are allocated and belong to the
 * caller.
 */
int config_save(struct machine *m, struct stream *s);
int config_check(struct machine *m, struct stream *s, char *why, size_t size);
int config_read(struct machine_config *cfg, struct stream *s, char *why,
		size_t size);

#endif
