/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Landlock (Linux 5.13): the calling thread, and those that it will make, reach no file by its name.
 */
#ifndef VMRUN_SANDBOX_LANDLOCK_H
#define VMRUN_SANDBOX_LANDLOCK_H

#include <stdbool.h>

/* Whether this kernel has it, and has it switched on. */
bool landlock_there(void);

/*
 * A descriptor for landlock_enter(), or -errno: nothing may be done with files, but those in the @nr directories @dirs
 * may be removed.
 */
int landlock_prepare(const char *const *dirs, unsigned int nr);

/* Needs no_new_privs. Closes the descriptor. Return: 0 or -errno. */
int landlock_enter(int ruleset);

#endif
