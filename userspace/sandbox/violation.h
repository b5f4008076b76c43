/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What happens when a thread makes a system call that its role has not: SIGSYS, one line on stderr, and the
 * end of the process by that signal.
 */
#ifndef VMRUN_SANDBOX_VIOLATION_H
#define VMRUN_SANDBOX_VIOLATION_H

#include "sandbox/sandbox.h"

/*
 * For the process. @resolv: open at /etc/resolv.conf, for the user network; < 0: there is no such file. Return: 0
 * or -errno.
 */
int violation_catch(int resolv);

/* Who the calling thread is, for that line. */
void violation_thread(const char *name, enum role role);

/* Called before the end, on the thread that did it, as a signal handler may be; NULL: nothing is. */
void violation_at_end(void (*last)(void *opaque), void *opaque);

#endif
