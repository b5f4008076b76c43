/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * User, capabilities, limits. All of these but the limits are the calling thread's.
 */
#ifndef VMRUN_SANDBOX_PRIVILEGES_H
#define VMRUN_SANDBOX_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

struct privileges {
	bool change;		/* to those: */
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int nr_groups;
};

/* Looks up --user; NULL: stay who we are. Reports errors. */
int privileges_find(struct privileges *to, const char *user);
void privileges_free(struct privileges *to);

/* Gives up user (if there is to be another), all capabilities and the way to new ones. 0 or -errno. */
int privileges_drop(const struct privileges *to);

/* For the process: what it will not use. */
void privileges_limit(void);

#endif
