/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * COM1: a 16550A whose wire is the terminal.
 */
#ifndef VMRUN_DEV_SERIAL_H
#define VMRUN_DEV_SERIAL_H

struct machine;

int serial_create(struct machine *m);

#endif
