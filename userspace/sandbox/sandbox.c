// SPDX-License-Identifier: GPL-2.0-only
#include "sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "machine.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"
#include "sandbox/privileges.h"
#include "sandbox/violation.h"
#include "util/msg.h"

#define SOCKETS_MAX	2

struct sandbox {
	bool filters;		/* not --seccomp off */
	bool landlock;
	bool entered;		/* main's thread only */
	int resolv;
	struct privileges privileges;
	struct sock_fprog program[ROLES];	/* but for disks, which have one each */
};

/* ---- preparation ---- */

static int build_filters(struct sandbox *sb)
{
	const struct filter_host host = { .fd = -1, .landlock = sb->landlock };
	int err = 0;

	for (enum role role = 0; !err && role < ROLES; role++)
		if (role != ROLE_DISK)
			err = filter_build(&sb->program[role], role, &host);
	if (!err)
		err = violation_catch(sb->resolv);
	if (err)
		return msg_fail(err, "cannot make filters of system calls: %s (--seccomp off runs without)",
				strerror(-err));
	return 0;
}

/*
 * What the C library would open files or ask the kernel for when it is first needed. Memory of threads goes back to the
 * main arena: before it gives back a part of any other, malloc opens a file to see how the kernel overcommits.
 */
static void prepare_library(void)
{
	uint64_t any;

	mallopt(M_ARENA_MAX, 1);
	tzset();
	if (getrandom(&any, sizeof(any), GRND_NONBLOCK) < 0)
		return;
}

int sandbox_create(struct sandbox **sandbox, const struct machine_config *cfg)
{
	struct sandbox *sb = calloc(1, sizeof(*sb));
	int err;

	if (!sb)
		return msg_fail(-ENOMEM, "out of memory");
	sb->filters = !cfg->no_seccomp;
	sb->landlock = landlock_there();
	sb->resolv = -1;
	if (cfg->net.kind == NET_USER)
		sb->resolv = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	prepare_library();
	err = privileges_find(&sb->privileges, cfg->user);
	if (!err && sb->filters)
		err = build_filters(sb);
	if (err)
		sandbox_destroy(sb);
	else
		*sandbox = sb;
	return err;
}

/* Filters stay with their threads. */
void sandbox_destroy(struct sandbox *sb)
{
	if (!sb)
		return;
	violation_at_end(NULL, NULL);
	for (enum role role = 0; role < ROLES; role++)
		filter_free(&sb->program[role]);
	privileges_free(&sb->privileges);
	if (sb->resolv >= 0)
		close(sb->resolv);
	free(sb);
}

bool sandbox_entered(const struct sandbox *sb)
{
	return sb && sb->entered;
}

/* ---- entering ---- */

/* The directories are found by those who may still look. */
static int give_up(struct sandbox *sb, const char *const *dirs, unsigned int nr)
{
	int ruleset = sb->landlock ? landlock_prepare(dirs, nr) : -1, err;

	if (sb->landlock && ruleset < 0)
		return ruleset;
	err = privileges_drop(&sb->privileges);
	if (err || !sb->landlock) {
		if (ruleset >= 0)
			close(ruleset);
		return err;
	}
	return landlock_enter(ruleset);
}

static int load_disk(struct sandbox *sb, int fd)
{
	const struct filter_host host = { .fd = fd, .landlock = sb->landlock };
	struct sock_fprog program;
	int err = filter_build(&program, ROLE_DISK, &host);

	if (!err)
		err = filter_load(&program);
	filter_free(&program);
	return err;
}

int sandbox_thread(struct sandbox *sb, enum role role, int fd, bool inherited)
{
	int err;

	if (!sb)
		return 0;
	err = inherited ? 0 : give_up(sb, NULL, 0);
	if (err || !sb->filters)
		return err;
	return role == ROLE_DISK ? load_disk(sb, fd) : filter_load(&sb->program[role]);
}

static int give_up_as_main(struct sandbox *sb, const char *const *sockets, unsigned int nr)
{
	char *dirs[SOCKETS_MAX] = { NULL };
	unsigned int i, nr_dirs = 0;
	int err;

	for (i = 0; i < nr && nr_dirs < SOCKETS_MAX; i++) {
		char *copy = sockets[i] ? strdup(sockets[i]) : NULL;

		if (copy)
			dirs[nr_dirs++] = copy;
		/* dirname() cuts it, or has a "." of its own */
		if (copy && dirname(copy) != copy)
			strcpy(copy, ".");
	}
	err = give_up(sb, (const char *const *)dirs, nr_dirs);
	while (nr_dirs)
		free(dirs[--nr_dirs]);
	return err;
}

int sandbox_enter(struct sandbox *sb, const char *const *sockets, unsigned int nr)
{
	int err;

	privileges_limit();
	violation_thread("vmrun", ROLE_MAIN);
	err = give_up_as_main(sb, sockets, nr);
	if (err)
		return msg_fail(err, "cannot give up privileges: %s", strerror(-err));
	sb->entered = true;
	err = sb->filters ? filter_load(&sb->program[ROLE_MAIN]) : 0;
	if (err)
		return msg_fail(err, "cannot restrict system calls: %s (--seccomp off runs without)", strerror(-err));
	return 0;
}
