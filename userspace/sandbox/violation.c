// SPDX-License-Identifier: GPL-2.0-only
#include "sandbox/violation.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "sandbox/filter.h"
#include "util/list.h"

#define RESOLV_CONF	"/etc/resolv.conf"
#define THREAD_NAME	16
#define PATIENCE_MS	1000	/* with a stderr that takes nothing */

/* Signals and their handlers are the process's; so is this, set before the first filter. */
static struct {
	int resolv;		/* open at RESOLV_CONF; < 0: there is none */
	void (*last)(void *opaque);
	void *opaque;
} all = { .resolv = -1 };

static __thread enum role own_role;
static __thread char own_name[THREAD_NAME];

/* ---- names of files, for the user network ---- */

/*
 * libslirp looks at resolv.conf again and again, and GLib at other files when it has something to say. The thread
 * may not open any: it is given the one that was open from the beginning, and hears of all others that it may not.
 */
static long answer_open(const char *path)
{
	int fd;

	if (strcmp(path, RESOLV_CONF))
		return -EACCES;
	fd = all.resolv < 0 ? -1 : fcntl(all.resolv, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -ENOENT;
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static long answer_stat(const char *path, struct stat *st)
{
	if (strcmp(path, RESOLV_CONF))
		return -EACCES;
	return all.resolv < 0 || fstat(all.resolv, st) ? -ENOENT : 0;
}

/* Return: whether the call has its answer. */
static bool answer(ucontext_t *context, int call)
{
	greg_t *regs = context->uc_mcontext.gregs;

	if (own_role != ROLE_NET)
		return false;
	switch (call) {
	case SYS_open:
		regs[REG_RAX] = answer_open((const char *)regs[REG_RDI]);
		return true;
	case SYS_openat:
		regs[REG_RAX] = answer_open((const char *)regs[REG_RSI]);
		return true;
	case SYS_stat:
		regs[REG_RAX] = answer_stat((const char *)regs[REG_RDI], (struct stat *)regs[REG_RSI]);
		return true;
	case SYS_newfstatat:
		regs[REG_RAX] = answer_stat((const char *)regs[REG_RSI], (struct stat *)regs[REG_RDX]);
		return true;
	case SYS_socket:
		regs[REG_RAX] = -EAFNOSUPPORT;
		return true;
	case SYS_access:
	case SYS_readlink:
		regs[REG_RAX] = -EACCES;
		return true;
	}
	return false;
}

/* ---- the end ---- */

#define NAME(call)	{ SYS_##call, #call }

/* What an intruder may try, and what a C library may come up with */
static const struct {
	int call;
	const char *name;
} names[] = {
	NAME(open), NAME(openat), NAME(openat2), NAME(creat), NAME(execve), NAME(execveat), NAME(fork), NAME(vfork),
	NAME(clone), NAME(ptrace), NAME(process_vm_writev), NAME(kill), NAME(tkill), NAME(tgkill), NAME(socket),
	NAME(socketpair), NAME(connect), NAME(bind), NAME(sendmsg), NAME(sendto), NAME(mmap), NAME(mprotect),
	NAME(pkey_mprotect), NAME(memfd_create), NAME(ioctl), NAME(fcntl), NAME(prctl), NAME(read), NAME(write),
	NAME(pwrite64), NAME(pwritev), NAME(unlink), NAME(unlinkat), NAME(rename), NAME(chmod), NAME(chown),
	NAME(mount), NAME(setuid), NAME(setns), NAME(unshare), NAME(bpf), NAME(io_uring_setup), NAME(dup), NAME(dup2),
	NAME(dup3), NAME(newfstatat), NAME(statx), NAME(readlink), NAME(access), NAME(rt_sigaction), NAME(sysinfo),
	NAME(uname), NAME(membarrier), NAME(getuid),
};

static const char *call_name(int call)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].call == call)
			return names[i].name;
	return "not a usual one";
}

/* snprintf() and not msg_fail(): nothing here may take a lock that the thread has already. */
static void tell(int call)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	char text[256];
	int n;

	n = snprintf(text, sizeof(text),
		     "vmrun: thread '%s' (%s) made the system call %d (%s), which its role has no use for: it ends here (--seccomp off runs without that)\n",
		     own_name, role_name(own_role), call, call_name(call));
	if (poll(&pfd, 1, PATIENCE_MS) <= 0 || write(STDERR_FILENO, text, (size_t)n) < 0)
		return;
}

/* SIGSYS is blocked while its handler runs: a second one kills. */
static void __attribute__((noreturn)) die(void)
{
	syscall(SYS_execve, NULL, NULL, NULL);
	_exit(128 + SIGSYS);
}

static void caught(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)sig;
	if (answer(context, info->si_syscall)) {
		errno = saved;
		return;
	}
	if (all.last)
		all.last(all.opaque);
	tell(info->si_syscall);
	die();
}

int violation_catch(int resolv)
{
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };

	sigfillset(&action.sa_mask);
	all.resolv = resolv;
	return sigaction(SIGSYS, &action, NULL) ? -errno : 0;
}

void violation_thread(const char *name, enum role role)
{
	own_role = role;
	snprintf(own_name, sizeof(own_name), "%s", name);
}

void violation_at_end(void (*last)(void *opaque), void *opaque)
{
	all.opaque = opaque;
	all.last = last;
}
