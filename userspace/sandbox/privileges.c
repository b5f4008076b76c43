// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls directly: the C library's setuid() and its like make all threads call them, those with filters as
 * well.
 */
#include "sandbox/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/list.h"
#include "util/msg.h"

#define GROUPS_MAX	65536
#define FILES_MAX	8192	/* a guest's connections, interrupts and disks */

static int find_groups(struct privileges *to, const char *user)
{
	int room = 16;

	for (; room <= GROUPS_MAX; room *= 2) {
		gid_t *groups = realloc(to->groups, (size_t)room * sizeof(*groups));

		if (!groups)
			return msg_fail(-ENOMEM, "out of memory");
		to->groups = groups;
		to->nr_groups = room;
		if (getgrouplist(user, to->gid, to->groups, &to->nr_groups) >= 0)
			return 0;
	}
	return msg_fail(-E2BIG, "--user %s: is in too many groups", user);
}

int privileges_find(struct privileges *to, const char *user)
{
	struct passwd *pw;
	int err;

	*to = (struct privileges){ 0 };
	if (!user)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return msg_fail(errno ? -errno : -ENOENT, "--user %s: there is no such user", user);
	to->uid = pw->pw_uid;
	to->gid = pw->pw_gid;
	if (geteuid() == to->uid)
		return 0;
	if (geteuid())
		return msg_fail(-EPERM, "--user %s: only root can become another user", user);
	err = find_groups(to, user);
	if (err)
		privileges_free(to);
	to->change = !err;
	return err;
}

void privileges_free(struct privileges *to)
{
	free(to->groups);
	to->groups = NULL;
}

static int change_user(const struct privileges *to)
{
	if (!to->change)
		return 0;
	if (syscall(SYS_setgroups, (long)to->nr_groups, to->groups) ||
	    syscall(SYS_setresgid, to->gid, to->gid, to->gid) ||
	    syscall(SYS_setresuid, to->uid, to->uid, to->uid))
		return -errno;
	return 0;
}

/* Also those that an executed program could have; whoever may not change these has none to give up. */
static void drop_bounding(void)
{
	for (unsigned long cap = 0; !prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); cap++)
		;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return syscall(SYS_capset, &header, none) ? -errno : 0;
}

int privileges_drop(const struct privileges *to)
{
	int err;

	drop_bounding();
	err = change_user(to);
	if (!err)
		err = drop_capabilities();
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = -errno;
	return err;
}

void privileges_limit(void)
{
	static const struct {
		__rlimit_resource_t what;
		rlim_t most;
	} limits[] = {
		{ RLIMIT_NOFILE, FILES_MAX }, { RLIMIT_MEMLOCK, 0 }, { RLIMIT_MSGQUEUE, 0 }, { RLIMIT_RTPRIO, 0 },
		{ RLIMIT_NICE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit limit;

		if (getrlimit(limits[i].what, &limit))
			continue;
		if (limit.rlim_cur > limits[i].most)
			limit.rlim_cur = limits[i].most;
		limit.rlim_max = limit.rlim_cur;
		setrlimit(limits[i].what, &limit);
	}
}
