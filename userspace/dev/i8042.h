/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of a keyboard controller as resets a PC.
 */
#ifndef VMRUN_DEV_I8042_H
#define VMRUN_DEV_I8042_H

struct machine;

#define I8042_COMMAND	0x64	/* port */
#define I8042_RESET	0xfe	/* command: pulse the reset line */

int i8042_create(struct machine *m);

#endif
