// SPDX-License-Identifier: GPL-2.0-only
#include "util/socket.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

int socket_remove(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlink(path) ? -errno : 0;
}
