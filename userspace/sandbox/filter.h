/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Filters of system calls.
 */
#ifndef VMRUN_SANDBOX_FILTER_H
#define VMRUN_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>

#include "sandbox/sandbox.h"

/* What the rules of roles.c leave open. */
struct filter_host {
	int fd;			/* ROLE_DISK: the image; < 0: none */
	bool landlock;		/* names of files are watched otherwise */
};

/* Allocates the program. Return: 0 or -errno. */
int filter_build(struct sock_fprog *program, enum role role, const struct filter_host *host);
void filter_free(struct sock_fprog *program);

/* For the calling thread, for good. Return: 0 or -errno. */
int filter_load(const struct sock_fprog *program);

/* roles.c: adds the role's rules to a libseccomp context. Return: 0 or -errno. */
int roles_add(void *context, enum role role, const struct filter_host *host);
const char *role_name(enum role role);

#endif
