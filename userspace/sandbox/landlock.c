// SPDX-License-Identifier: GPL-2.0-only
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/list.h"

/* The rights that came with each version of the interface, as bits */
static const uint64_t rights_since[] = {
	[1] = (1ull << 13) - 1,
	[2] = 1ull << 13,	/* REFER */
	[3] = 1ull << 14,	/* TRUNCATE */
	[5] = 1ull << 15,	/* IOCTL_DEV */
};

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool landlock_there(void)
{
	return landlock_version() > 0;
}

static uint64_t landlock_rights(int version)
{
	uint64_t rights = 0;

	for (int i = 1; i <= version && i < (int)ARRAY_SIZE(rights_since); i++)
		rights |= rights_since[i];
	return rights;
}

static int allow_removal(int ruleset, const char *dir)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_REMOVE_FILE,
		.parent_fd = open(dir, O_PATH | O_CLOEXEC | O_DIRECTORY),
	};
	int err;

	if (rule.parent_fd < 0)
		return -errno;
	err = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ? -errno : 0;
	close(rule.parent_fd);
	return err;
}

int landlock_prepare(const char *const *dirs, unsigned int nr)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = landlock_rights(landlock_version()) };
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0), err = 0;

	if (ruleset < 0)
		return -errno;
	for (unsigned int i = 0; !err && i < nr; i++)
		err = allow_removal(ruleset, dirs[i]);
	if (!err)
		return ruleset;
	close(ruleset);
	return err;
}

int landlock_enter(int ruleset)
{
	int err = syscall(SYS_landlock_restrict_self, ruleset, 0) ? -errno : 0;

	close(ruleset);
	return err;
}
