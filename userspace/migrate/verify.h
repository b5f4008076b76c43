/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A restored guest runs on memory that nobody has read yet. As machine.cfg.verify says, the
 * file is compared with its table before the start, or beside the running guest, which
 * ends when something is found.
 */
#ifndef VMRUN_MIGRATE_VERIFY_H
#define VMRUN_MIGRATE_VERIFY_H

struct machine;

/* Return: 0, or -errno after a message. */
int verifier_start(struct machine *m);
void verifier_stop(struct machine *m);

#endif
