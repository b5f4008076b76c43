/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of this group do to the host: files of the kernel, cgroups, swap. */
#ifndef HOST_H
#define HOST_H

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/swap.h>

#include "worker.h"

#define MB		(1ul << 20)
#define CGROUPS		"/sys/fs/cgroup"

static inline bool write_text(const char *text, const char *fmt, ...)
{
	char path[256];
	va_list ap;
	bool ok;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The number behind @key (or the first one) in a file; -1 without. */
static inline long read_number(const char *key, const char *fmt, ...)
{
	char path[256], line[256];
	size_t len = strlen(key);
	long val = -1;
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	f = fopen(path, "re");
	while (f && val < 0 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, len))
			val = strtol(line + len, NULL, 0);
	}
	if (f)
		fclose(f);
	return val;
}

/* Swap in compressed memory; once for all tests of a boot. */
static inline void need_swap(void)
{
	if (read_number("SwapTotal:", "/proc/meminfo") > 0)
		return;
	if (system("modprobe -q zram && echo 256M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null 2>&1") ||
	    swapon("/dev/zram0", 0))
		SKIP("no swap, and none can be made");
}

/* A cgroup of that name, empty, with memory and CPU control; its directory is CGROUPS/@name. */
static inline void cgroup_make(const char *name)
{
	char path[256];

	write_text("+memory", CGROUPS "/cgroup.subtree_control");
	snprintf(path, sizeof(path), CGROUPS "/%s", name);
	rmdir(path);
	if (mkdir(path, 0755) || access(strcat(path, "/memory.max"), F_OK))
		SKIP("no cgroups with memory control");
}

static inline void cgroup_set(const char *name, const char *file, const char *val)
{
	bool done = write_text(val, CGROUPS "/%s/%s", name, file);

	CHECK(done, "%s of %s", file, name);
}

static inline void cgroup_join(const char *name, pid_t pid)
{
	char text[16];
	bool done;

	snprintf(text, sizeof(text), "%d", pid);
	done = write_text(text, CGROUPS "/%s/cgroup.procs", name);
	CHECK(done);
}

/* Once nobody is in it any more. */
static inline void cgroup_remove(const char *name)
{
	char path[256];
	int i;

	snprintf(path, sizeof(path), CGROUPS "/%s", name);
	for (i = 0; i < 100 && rmdir(path); i++)
		work_pause_ms(20);
}

/* Pseudo-random, the same each time. */
static inline uint32_t dice(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

#endif /* HOST_H */
