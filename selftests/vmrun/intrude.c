// SPDX-License-Identifier: GPL-2.0-only
/*
 * intrude PID		makes each thread of a vmrun in turn make the system calls of an intruder, as if its guest had taken
 *			it over. SIGSYS is held back, so that it lives on. A line for each thread; status 1 if any
 *			call went through.
 * intrude PID THREAD	makes one such call in the thread of that name, and lets it have its SIGSYS.
 *
 * It needs no help from vmrun: it is a debugger. The calls have no valid pointers; a filter does not look at these.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP	1	/* si_code of SIGSYS */
#endif

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define THREADS_MAX	64

static pid_t pid;

static const struct {
	const char *name;
	long call;
	long arg[3];
} calls[] = {
	{ "open", SYS_open, { 0 } },
	{ "openat", SYS_openat, { 0 } },
	{ "creat", SYS_creat, { 0 } },
	{ "execve", SYS_execve, { 0 } },
	{ "execveat", SYS_execveat, { 0 } },
	{ "fork", SYS_fork, { 0 } },
	{ "ptrace", SYS_ptrace, { PTRACE_ATTACH, 1 } },
	{ "process_vm_writev", SYS_process_vm_writev, { 1 } },
	{ "kill", SYS_kill, { 1 } },
	{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "mmap", SYS_mmap, { 0, 4096, PROT_READ | PROT_EXEC } },
	{ "mprotect", SYS_mprotect, { 0, 4096, PROT_READ | PROT_EXEC } },
	{ "setuid", SYS_setuid, { 0 } },
	{ "rt_sigaction", SYS_rt_sigaction, { SIGSYS } },
	{ "io_uring_setup", SYS_io_uring_setup, { 1 } },
};

static void die(const char *what)
{
	printf("not ok - %s: %s\n", what, strerror(errno));
	exit(2);
}

/* An instruction SYSCALL in the code of the process. */
static unsigned long find_syscall(void)
{
	char name[64], line[512];
	static char code[1 << 20];
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	f = fopen(name, "r");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long from, to;
		char rights[8];
		struct iovec here = { code, sizeof(code) }, there;
		char *found;
		ssize_t n;

		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[2] != 'x' || !strstr(line, "libc"))
			continue;
		there = (struct iovec){ (void *)from, to - from < sizeof(code) ? to - from : sizeof(code) };
		n = process_vm_readv(pid, &here, 1, &there, 1, 0);
		found = n > 0 ? memmem(code, (size_t)n, "\x0f\x05", 2) : NULL;
		if (!found)
			continue;
		fclose(f);
		return from + (unsigned long)(found - code);
	}
	errno = ENOENT;
	die("no SYSCALL in its code");
	return 0;
}

static int stopped(pid_t tid)
{
	int status;

	if (waitpid(tid, &status, __WALL) != tid)
		die("waitpid");
	if (!WIFSTOPPED(status)) {
		errno = ECHILD;
		die("it has ended");
	}
	return WSTOPSIG(status);
}

static void seize(pid_t tid)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACESYSGOOD) || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		die("ptrace");
	stopped(tid);
}

/* The thread is to make that call next. */
static void put_call(pid_t tid, const struct user_regs_struct *saved, unsigned long at, long call, const long *arg)
{
	struct user_regs_struct regs = *saved;

	regs.rip = at;
	regs.orig_rax = ~0ull;	/* no call that would be begun again */
	regs.rax = (unsigned long long)call;
	regs.rdi = (unsigned long long)arg[0];
	regs.rsi = (unsigned long long)arg[1];
	regs.rdx = (unsigned long long)arg[2];
	regs.r10 = 0;
	regs.r8 = 0;
	if (ptrace(PTRACE_SETREGS, tid, NULL, &regs))
		die("PTRACE_SETREGS");
}

#define AT_CALL	(SIGTRAP | 0x80)	/* before one, or behind it */

/* To the next call's beginning or end, or to SIGSYS. Other signals of vmrun's are held back; they come again. */
static int step(pid_t tid)
{
	int sig;

	do {
		if (ptrace(PTRACE_SYSCALL, tid, NULL, NULL))
			die("PTRACE_SYSCALL");
		sig = stopped(tid);
	} while (sig != AT_CALL && sig != SIGSYS);
	return sig;
}

/*
 * Beginning and end of the call; what comes then is its SIGSYS, unless it went through: then it is the beginning of
 * the harmless one behind it.
 */
static bool in_vain(pid_t tid, const struct user_regs_struct *saved, unsigned long at, size_t i)
{
	static const long none[3];
	siginfo_t info;

	put_call(tid, saved, at, calls[i].call, calls[i].arg);
	if (step(tid) != AT_CALL || step(tid) != AT_CALL)
		return false;
	put_call(tid, saved, at, SYS_getpid, none);
	if (step(tid) != SIGSYS) {
		step(tid);
		return false;
	}
	if (ptrace(PTRACE_GETSIGINFO, tid, NULL, &info))
		die("PTRACE_GETSIGINFO");
	return info.si_code == SYS_SECCOMP && info.si_syscall == calls[i].call;
}

static bool try_all(pid_t tid, const char *name, unsigned long at)
{
	struct user_regs_struct saved;
	unsigned int good = 0;

	seize(tid);
	if (ptrace(PTRACE_GETREGS, tid, NULL, &saved))
		die("PTRACE_GETREGS");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (in_vain(tid, &saved, at, i))
			good++;
		else
			printf("# %s: %s went through\n", name, calls[i].name);
	}
	if (ptrace(PTRACE_SETREGS, tid, NULL, &saved) || ptrace(PTRACE_DETACH, tid, NULL, NULL))
		die("PTRACE_DETACH");
	printf("# %s: %u of %zu calls in vain\n", name, good, ARRAY_SIZE(calls));
	return good == ARRAY_SIZE(calls);
}

static void try_one(pid_t tid, unsigned long at)
{
	struct user_regs_struct saved;

	seize(tid);
	if (ptrace(PTRACE_GETREGS, tid, NULL, &saved))
		die("PTRACE_GETREGS");
	put_call(tid, &saved, at, calls[1].call, calls[1].arg);
	if (ptrace(PTRACE_DETACH, tid, NULL, NULL))
		die("PTRACE_DETACH");
}

static void thread_name(pid_t tid, char *name, size_t size)
{
	char file[64];
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	f = fopen(file, "r");
	if (!f || !fgets(name, (int)size, f))
		die(file);
	fclose(f);
	name[strcspn(name, "\n")] = '\0';
}

static unsigned int threads(pid_t *tids)
{
	char dir[64];
	struct dirent *entry;
	unsigned int n = 0;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/task", (int)pid);
	d = opendir(dir);
	while (d && n < THREADS_MAX && (entry = readdir(d)))
		if (atoi(entry->d_name))
			tids[n++] = atoi(entry->d_name);
	if (!n)
		die(dir);
	closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	pid_t tids[THREADS_MAX];
	unsigned long at;
	unsigned int n;
	bool good = true;

	pid = argc > 1 ? atoi(argv[1]) : 0;
	n = threads(tids);
	at = find_syscall();
	for (unsigned int i = 0; i < n; i++) {
		char name[32];

		thread_name(tids[i], name, sizeof(name));
		if (argc < 3) {
			good &= try_all(tids[i], name, at);
		} else if (!strcmp(name, argv[2])) {
			try_one(tids[i], at);
			return 0;
		}
	}
	return good && argc < 3 ? 0 : 1;
}
