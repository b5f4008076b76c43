// SPDX-License-Identifier: GPL-2.0-only
/*
 * libseccomp makes programs of rules; they are loaded without it, as threads that are made later have no use for the
 * calls by which it looks for what the kernel can do.
 */
#include "sandbox/filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int read_program(struct sock_fprog *program, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!st.st_size || (size_t)st.st_size > UINT16_MAX * sizeof(*program->filter))
		return -E2BIG;
	program->filter = malloc((size_t)st.st_size);
	if (!program->filter)
		return -ENOMEM;
	program->len = (unsigned short)((size_t)st.st_size / sizeof(*program->filter));
	if (pread(fd, program->filter, (size_t)st.st_size, 0) == st.st_size)
		return 0;
	filter_free(program);
	return -EIO;
}

static int export_program(struct sock_fprog *program, scmp_filter_ctx context)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = seccomp_export_bpf(context, fd);
	if (!err)
		err = read_program(program, fd);
	close(fd);
	return err;
}

/* The other ways into the kernel (32-bit calls) are not even told of. */
static int set_attributes(scmp_filter_ctx context)
{
	int err = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	/* KVM_RUN is the one that counts */
	return err ? err : seccomp_syscall_priority(context, SCMP_SYS(ioctl), 255);
}

int filter_build(struct sock_fprog *program, enum role role, const struct filter_host *host)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_TRAP);
	int err;

	*program = (struct sock_fprog){ 0 };
	if (!context)
		return -ENOMEM;
	err = set_attributes(context);
	if (!err)
		err = roles_add(context, role, host);
	if (!err)
		err = export_program(program, context);
	seccomp_release(context);
	return err;
}

void filter_free(struct sock_fprog *program)
{
	free(program->filter);
	*program = (struct sock_fprog){ 0 };
}

int filter_load(const struct sock_fprog *program)
{
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) ? -errno : 0;
}
