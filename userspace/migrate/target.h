/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The side of a move where the guest arrives: a thread listens, takes in memory, and starts the
 * machine when the other side says so. frame.h has the protocol.
 */
#ifndef VMRUN_MIGRATE_TARGET_H
#define VMRUN_MIGRATE_TARGET_H

#include <stdbool.h>

struct machine;

/* Listens at machine.cfg.from, if a guest is to come from there; reports errors. */
int target_create(struct machine *m);

/* Awaits it; reports errors. A machine that does not get its guest fails. */
int target_start(struct machine *m);

/* Whether the guest runs here without all of its memory (post-copy). */
bool target_incomplete(const struct machine *m);

/* After the loop has ended. A guest that is incomplete ends the process at once. */
void target_check_complete(struct machine *m);
void target_destroy(struct machine *m);

#endif
