// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each role may and may not do, by trying it: a thread of that role, as if a guest had taken it over, makes the
 * system calls of intruders. Each test is a process of its own, as there is no way back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"
#include "sandbox/thread.h"
#include "tests/tap.h"
#include "util/list.h"
#include "util/msg.h"

#define PAGE		4096
#define CALLS_MAX	1024
#define PTR(p)		((long)(uintptr_t)(p))

static struct sandbox *sandbox;
static struct machine_config cfg = { .net.kind = NET_USER };
static int own_file, other_file, unix_socket, inet_socket;
static struct sockaddr_un unix_addr = { .sun_family = AF_UNIX };
static char dir[] = "/tmp/test_sandbox.XXXXXX";

/* Between the test and its processes. */
static struct {
	unsigned int trapped;
	char through[2048];	/* what was not denied */
	bool good;
} *shared;

/* ---- a process with a thread of a role ---- */

struct child {
	int status;		/* of wait() */
	char said[1024];	/* on stderr */
};

static int become(enum role role, void *(*run)(void *arg), void *arg)
{
	pthread_t thread;
	int err = thread_start(&thread, &(struct thread_spec){
		.name = "intruder", .sandbox = sandbox, .role = role, .fd = own_file, .run = run, .arg = arg });

	if (err)
		return err;
	pthread_join(thread, NULL);
	return 0;
}

static void hear(struct child *c, int fd)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, c->said + len, sizeof(c->said) - 1 - len)) > 0)
		len += (size_t)n;
	c->said[len] = '\0';
}

static void in_role(struct child *c, enum role role, void *(*run)(void *arg), void *arg)
{
	int pipes[2];
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	if (pipe(pipes))
		abort();
	pid = fork();
	if (!pid) {
		dup2(pipes[1], STDERR_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		_exit(become(role, run, arg) ? 99 : 0);
	}
	close(pipes[1]);
	hear(c, pipes[0]);
	close(pipes[0]);
	waitpid(pid, &c->status, 0);
}

static bool ended_well(const struct child *c)
{
	return WIFEXITED(c->status) && !WEXITSTATUS(c->status);
}

/* ---- what intruders try ---- */

#define BIT(role)	(1u << (role))
#define NONE		0u

static const char path[] = "/etc/passwd", program[] = "/bin/true", thing[] = "x";
static char code[2 * PAGE] __attribute__((aligned(PAGE)));
static struct iovec bytes = { code, 16 };

/* @may: roles that make such a call, so that nothing is to be seen of it here */
static const struct attempt {
	const char *name;
	long call;
	long arg[4];
	unsigned int may;
} attempts[] = {
	{ "open", SYS_open, { PTR(path), O_RDONLY }, NONE },
	{ "open a new file", SYS_open, { PTR(path), O_RDWR | O_CREAT, 0600 }, NONE },
	{ "openat", SYS_openat, { AT_FDCWD, PTR(path), O_RDONLY }, NONE },
	{ "openat2", SYS_openat2, { AT_FDCWD, PTR(path) }, NONE },
	{ "open_by_handle_at", SYS_open_by_handle_at, { AT_FDCWD, PTR(code) }, NONE },
	{ "creat", SYS_creat, { PTR(path), 0600 }, NONE },
	{ "memfd_create", SYS_memfd_create, { PTR(thing) }, NONE },
	{ "execve", SYS_execve, { PTR(program) }, NONE },
	{ "execveat", SYS_execveat, { AT_FDCWD, PTR(program) }, NONE },
	{ "fork", SYS_fork, { 0 }, NONE },
	{ "vfork", SYS_vfork, { 0 }, NONE },
	{ "clone, as fork", SYS_clone, { SIGCHLD }, NONE },
	{ "clone into a namespace", SYS_clone, { CLONE_NEWUSER | SIGCHLD }, NONE },
	{ "unshare", SYS_unshare, { CLONE_NEWUSER }, NONE },
	{ "setns", SYS_setns, { 0 }, NONE },
	{ "ptrace", SYS_ptrace, { PTRACE_ATTACH, 1 }, NONE },
	{ "process_vm_readv", SYS_process_vm_readv, { 1 }, NONE },
	{ "process_vm_writev", SYS_process_vm_writev, { 1 }, NONE },
	{ "kill", SYS_kill, { 1, 0 }, NONE },
	{ "tkill", SYS_tkill, { 1, 0 }, NONE },
	{ "tgkill of others", SYS_tgkill, { 1, 1, 0 }, NONE },
	{ "pidfd_open", SYS_pidfd_open, { 1 }, NONE },
	{ "a Unix socket", SYS_socket, { AF_UNIX, SOCK_STREAM }, NONE },
	{ "a packet socket", SYS_socket, { AF_PACKET, SOCK_RAW }, NONE },
	{ "a netlink socket", SYS_socket, { AF_NETLINK, SOCK_RAW }, NONE },
	{ "an Internet socket", SYS_socket, { AF_INET, SOCK_STREAM }, BIT(ROLE_NET) },
	{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, PTR(code) }, NONE },
	{ "connect to a Unix socket", SYS_connect, { 0, PTR(&unix_addr), sizeof(unix_addr) }, BIT(ROLE_NET) },
	{ "bind", SYS_bind, { 0, PTR(&unix_addr), sizeof(unix_addr) }, BIT(ROLE_NET) },
	{ "sendmsg", SYS_sendmsg, { 0 }, BIT(ROLE_NET) },
	{ "sendto elsewhere", SYS_sendto, { 0, PTR(code), 1, 0 }, BIT(ROLE_NET) },
	{ "memory that is code", SYS_mmap, { 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS }, NONE },
	{ "data made code", SYS_mprotect, { PTR(code), PAGE, PROT_READ | PROT_EXEC }, NONE },
	{ "pkey_mprotect", SYS_pkey_mprotect, { PTR(code), PAGE, PROT_EXEC, -1 }, NONE },
	{ "personality", SYS_personality, { 0x0400000 }, NONE },
	{ "io_uring_setup", SYS_io_uring_setup, { 1, PTR(code) }, NONE },
	{ "bpf", SYS_bpf, { 0 }, NONE },
	{ "userfaultfd", SYS_userfaultfd, { 0 }, NONE },
	{ "perf_event_open", SYS_perf_event_open, { 0 }, NONE },
	{ "keyctl", SYS_keyctl, { 0 }, NONE },
	{ "mount", SYS_mount, { 0 }, NONE },
	{ "chroot", SYS_chroot, { PTR(path) }, NONE },
	{ "chmod", SYS_chmod, { PTR(path), 0777 }, NONE },
	{ "rename", SYS_rename, { PTR(path), PTR(path) }, NONE },
	{ "link", SYS_link, { PTR(path), PTR(path) }, NONE },
	{ "unlinkat", SYS_unlinkat, { AT_FDCWD, PTR(thing) }, NONE },
	{ "unlink", SYS_unlink, { PTR(thing) }, BIT(ROLE_MAIN) | BIT(ROLE_MIGRATE) },
	{ "truncate", SYS_truncate, { PTR(path) }, NONE },
	{ "setuid", SYS_setuid, { 0 }, NONE },
	{ "capset", SYS_capset, { 0 }, NONE },
	{ "prctl", SYS_prctl, { PR_SET_DUMPABLE, 1 }, NONE },
	{ "rt_sigaction", SYS_rt_sigaction, { SIGSYS }, NONE },
	{ "dup2", SYS_dup2, { 0, 1 }, NONE },
	{ "setrlimit", SYS_setrlimit, { 0 }, NONE },
	{ "reboot", SYS_reboot, { 0 }, NONE },
	{ "keys typed for the user", SYS_ioctl, { 0, 0x5412 /* TIOCSTI */, PTR(thing) }, NONE },
	{ "KVM_CREATE_VM", SYS_ioctl, { 0, KVM_CREATE_VM }, NONE },
	{ "KVM_CREATE_DEVICE", SYS_ioctl, { 0, KVM_CREATE_DEVICE }, NONE },
	{ "KVM_SET_USER_MEMORY_REGION", SYS_ioctl, { 0, KVM_SET_USER_MEMORY_REGION },
	  BIT(ROLE_MAIN) | BIT(ROLE_MIGRATE) },
	{ "KVM_RUN", SYS_ioctl, { -1, KVM_RUN }, BIT(ROLE_MAIN) | BIT(ROLE_VCPU) },
	{ "KVM_SET_MSRS", SYS_ioctl, { -1, KVM_SET_MSRS }, BIT(ROLE_MAIN) },
	{ "reading a file", SYS_read, { -1, PTR(code), 16 }, BIT(ROLE_MAIN) | BIT(ROLE_NET) | BIT(ROLE_MIGRATE) },
	{ "writing to a file", SYS_write, { -1, PTR(code), 16 }, BIT(ROLE_MAIN) | BIT(ROLE_NET) },
	{ "pread64", SYS_pread64, { -1, PTR(code), 16, 0 }, BIT(ROLE_MAIN) | BIT(ROLE_VERIFY) },
	{ "pwrite64", SYS_pwrite64, { -1, PTR(code), 16, 0 }, BIT(ROLE_MAIN) | BIT(ROLE_WRITER) },
	{ "another's disk read", SYS_preadv, { -1, PTR(&bytes), 1, 0 }, NONE },
	{ "another's disk written", SYS_pwritev, { -1, PTR(&bytes), 1, 0 }, NONE },
	{ "another's disk emptied", SYS_fallocate, { -1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE }, NONE },
	{ "another's disk discarded", SYS_ioctl, { -1, BLKDISCARD, PTR(code) }, NONE },
};

/* Arguments that are known only now; -1 and 0 stand for them. */
static long real_arg(const struct attempt *a, unsigned int i)
{
	if (i)
		return a->arg[i];
	switch (a->call) {
	case SYS_connect:
	case SYS_bind:
	case SYS_sendto:
	case SYS_sendmsg:
		return unix_socket;
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_fallocate:
	case SYS_read:
	case SYS_write:
	case SYS_pread64:
	case SYS_pwrite64:
		return other_file;
	case SYS_ioctl:
		return a->arg[1] == BLKDISCARD ? other_file : a->arg[0];
	default:
		return a->arg[0];
	}
}

static void count(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	shared->trapped++;
}

/* The handler is another one here: it lets the intruder go on, so that all is tried in one process. */
static void *try_all(void *arg)
{
	unsigned int role = BIT(*(enum role *)arg), done = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		const struct attempt *a = &attempts[i];
		size_t len = strlen(shared->through);

		if (a->may & role)
			continue;
		syscall(a->call, real_arg(a, 0), a->arg[1], a->arg[2], a->arg[3], PTR(&unix_addr), sizeof(unix_addr));
		if (shared->trapped == ++done)
			continue;
		done = shared->trapped;
		snprintf(shared->through + len, sizeof(shared->through) - len, " %s,", a->name);
	}
	shared->good = true;
	return NULL;
}

static void test_attempts(enum role role)
{
	struct sigaction action = { .sa_sigaction = count, .sa_flags = SA_SIGINFO }, old;
	struct child c;

	sigaction(SIGSYS, &action, &old);
	in_role(&c, role, try_all, &role);
	sigaction(SIGSYS, &old, NULL);
	ok(ended_well(&c) && shared->good && !shared->through[0], "%s: %u attempts are in vain (through:%s)",
	   role_name(role), shared->trapped, shared->through);
}

/* ---- how it ends ---- */

static void *try_execute(void *arg)
{
	(void)arg;
	syscall(SYS_execve, program, NULL, NULL);
	return NULL;
}

static void *try_32_bits(void *arg)
{
	long ret = 11;	/* execve */

	(void)arg;
	asm volatile("int $0x80" : "+a"(ret) : "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
	return NULL;
}

static void *try_x32(void *arg)
{
	(void)arg;
	syscall(0x40000000 | SYS_openat, AT_FDCWD, path, O_RDONLY);
	return NULL;
}

static void test_ends(enum role role)
{
	struct child c;
	char who[40];

	snprintf(who, sizeof(who), "thread 'intruder' (%s)", role_name(role));
	in_role(&c, role, try_execute, NULL);
	ok(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSYS, "%s: ends by SIGSYS", role_name(role));
	ok(strstr(c.said, who) && strstr(c.said, "59 (execve)") && strchr(c.said, '\n') == c.said + strlen(c.said) - 1,
	   "%s: and says in one line why", role_name(role));
	in_role(&c, role, try_32_bits, NULL);
	ok(WIFSIGNALED(c.status), "%s: no 32-bit calls", role_name(role));
	in_role(&c, role, try_x32, NULL);
	ok(WIFSIGNALED(c.status), "%s: no x32 calls", role_name(role));
}

/* ---- for whatever arguments ---- */

/* What no role may do in any way. */
static const int never[] = {
	SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_memfd_create,
	SYS_memfd_secret, SYS_execve, SYS_execveat, SYS_fork, SYS_vfork, SYS_unshare, SYS_setns, SYS_ptrace,
	SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp, SYS_kill, SYS_tkill,
	SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_open, SYS_pidfd_getfd, SYS_socketpair, SYS_pkey_mprotect,
	SYS_personality, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_setup, SYS_bpf, SYS_userfaultfd,
	SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_mount, SYS_umount2, SYS_move_mount,
	SYS_open_tree, SYS_fsopen, SYS_pivot_root, SYS_chroot, SYS_chdir, SYS_chmod, SYS_fchmod, SYS_fchmodat, SYS_chown,
	SYS_fchown, SYS_lchown, SYS_fchownat, SYS_rename, SYS_renameat, SYS_renameat2, SYS_link, SYS_linkat, SYS_symlink,
	SYS_symlinkat, SYS_unlinkat, SYS_rmdir, SYS_mkdir, SYS_mkdirat, SYS_mknod, SYS_mknodat, SYS_truncate,
	SYS_setxattr, SYS_lsetxattr, SYS_utimensat, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid,
	SYS_setresgid, SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_capset, SYS_arch_prctl, SYS_rt_sigaction, SYS_dup,
	SYS_dup2, SYS_dup3, SYS_setrlimit, SYS_prlimit64, SYS_reboot, SYS_init_module, SYS_finit_module, SYS_delete_module,
	SYS_kexec_load, SYS_kexec_file_load, SYS_swapon, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_shmget, SYS_shmat,
	SYS_msgget, SYS_semget, SYS_mq_open, SYS_inotify_init1, SYS_fanotify_init, SYS_remap_file_pages, SYS_mbind,
	SYS_move_pages, SYS_vmsplice, SYS_splice, SYS_tee, SYS_sendfile, SYS_copy_file_range, SYS_sethostname, SYS_acct,
	SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_quotactl, SYS_syslog, SYS_getdents64, SYS_readlink,
	SYS_statx, SYS_stat, SYS_lstat, SYS_access, SYS_uselib, SYS_ustat, SYS_setpriority, SYS_sched_setscheduler,
};

/*
 * Walks through a program for one system call, whose arguments may be anything: both ways of each comparison that
 * depends on them. Return: whether some way ends in SECCOMP_RET_ALLOW.
 */
static bool may_pass(const struct sock_fprog *p, unsigned int at, uint32_t nr, uint32_t a, bool known)
{
	while (at < p->len) {
		const struct sock_filter *f = &p->filter[at++];
		bool yes;

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
			known = f->k < offsetof(struct seccomp_data, instruction_pointer);
			a = f->k == offsetof(struct seccomp_data, nr) ? nr : AUDIT_ARCH_X86_64;
			continue;
		case BPF_ALU:
			if (known)
				abort();
			continue;
		case BPF_RET:
			return (f->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
		}
		if (BPF_OP(f->code) == BPF_JA) {
			at += f->k;
			continue;
		}
		if (!known)
			return may_pass(p, at + f->jt, nr, a, known) || may_pass(p, at + f->jf, nr, a, known);
		yes = BPF_OP(f->code) == BPF_JEQ ? a == f->k : BPF_OP(f->code) == BPF_JGT ? a > f->k :
		      BPF_OP(f->code) == BPF_JGE ? a >= f->k : (a & f->k) != 0;
		at += yes ? f->jt : f->jf;
	}
	abort();
}

static bool is_never(int call)
{
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (never[i] == call)
			return true;
	return false;
}

/* @most: so many kinds of calls a role may have; more of them want a second thought */
static void test_program(enum role role, unsigned int most)
{
	const struct filter_host host = { .fd = 7, .landlock = true };
	unsigned int allowed = 0, wrong = 0;
	struct sock_fprog p;

	if (!ok(!filter_build(&p, role, &host), "%s: a filter", role_name(role)))
		return;
	for (int call = 0; call < CALLS_MAX; call++) {
		if (!may_pass(&p, 0, (uint32_t)call, 0, false))
			continue;
		allowed++;
		wrong += is_never(call);
	}
	ok(!wrong, "%s: none of the %zu that no role has, whatever their arguments", role_name(role), ARRAY_SIZE(never));
	ok(allowed >= 20 && allowed <= most, "%s: %u kinds of calls, of %u", role_name(role), allowed, most);
	filter_free(&p);
}

/* ---- what roles need ---- */

static void *live(void *arg)
{
	struct timespec nap = { 0, 1000 };
	char *memory = malloc(MIB(64));
	eventfd_t n = 0;

	memset(memory, 1, MIB(64));
	free(memory);
	memory = calloc(1, 100);
	nanosleep(&nap, NULL);
	eventfd_write(*(int *)arg, 5);
	eventfd_read(*(int *)arg, &n);
	msg_warn("heard of");
	shared->good = n == 5 && memory;
	free(memory);
	return NULL;
}

static void test_life(enum role role)
{
	int efd = eventfd(0, EFD_NONBLOCK);
	struct child c;

	in_role(&c, role, live, &efd);
	ok(ended_well(&c) && shared->good && !strcmp(c.said, "vmrun: heard of\n"), "%s: lives", role_name(role));
	close(efd);
}

static void *use_disk(void *arg)
{
	struct iovec iov = { code, PAGE };

	(void)arg;
	shared->good = pwritev(own_file, &iov, 1, 0) == PAGE && preadv(own_file, &iov, 1, 0) == PAGE &&
		       !fdatasync(own_file) &&
		       !fallocate(own_file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE);
	ioctl(own_file, BLKDISCARD, code);
	return NULL;
}

/* Names of files are answered, not punished: a library asks for them. */
static void *use_net(void *arg)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(to);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct stat st;
	FILE *f;

	(void)arg;
	getsockname(inet_socket, (struct sockaddr *)&to, &len);
	shared->good = fd >= 0 && (!connect(fd, (struct sockaddr *)&to, len) || errno == EINPROGRESS) &&
		       open(path, O_RDONLY) < 0 && errno == EACCES && stat(path, &st) && errno == EACCES &&
		       socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT;
	f = fopen("/etc/resolv.conf", "r");
	shared->good = shared->good && (*(bool *)arg == !!f);
	if (f) {
		char line[80];

		shared->good = shared->good && !stat("/etc/resolv.conf", &st) && fgets(line, sizeof(line), f);
		fclose(f);
		/* and once more */
		f = fopen("/etc/resolv.conf", "r");
		shared->good = shared->good && f && fgets(line, sizeof(line), f);
		fclose(f);
	}
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *use_main(void *arg)
{
	int epfd = *(int *)arg, efd = eventfd(0, EFD_NONBLOCK), pidfd = -1;
	struct epoll_event ev = { .events = EPOLLIN };
	siginfo_t info = { 0 };
	pthread_t thread;
	long pid;

	if (pthread_create(&thread, NULL, nothing, arg) || pthread_join(thread, NULL))
		return NULL;
	epoll_ctl(epfd, EPOLL_CTL_ADD, efd, &ev);
	eventfd_write(efd, 1);
	if (epoll_wait(epfd, &ev, 1, -1) != 1)
		return NULL;
	close(efd);
	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);
	if (!pid)
		syscall(SYS_exit_group, 7);
	shared->good = pid > 0 && !waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) && info.si_status == 7;
	return NULL;
}

static void test_uses(void)
{
	int epfd = epoll_create1(EPOLL_CLOEXEC);
	bool resolv = !access("/etc/resolv.conf", R_OK);
	struct child c;

	in_role(&c, ROLE_DISK, use_disk, NULL);
	ok(ended_well(&c) && shared->good, "disk: its own image (%s)", c.said);
	in_role(&c, ROLE_NET, use_net, &resolv);
	ok(ended_well(&c) && shared->good, "net: connections, resolv.conf, and no other file (%s)", c.said);
	in_role(&c, ROLE_MAIN, use_main, &epfd);
	ok(ended_well(&c) && shared->good, "main: threads, events, a copy of itself (%s)", c.said);
	close(epfd);
}

/* ---- privileges ---- */

/* A line of /proc/PID/status without its name. */
static const char *status_of(pid_t pid, const char *name)
{
	static char line[256];
	char file[40];
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/status", (int)pid);
	f = fopen(file, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)) || line[strlen(name)] != ':')
			continue;
		fclose(f);
		line[strcspn(line, "\n")] = '\0';
		return line + strlen(name) + 1 + strspn(line + strlen(name) + 1, "\t ");
	}
	if (f)
		fclose(f);
	return "";
}

static bool has(pid_t pid, const char *name, const char *value)
{
	return !strcmp(status_of(pid, name), value);
}

static bool has_no_capabilities(pid_t pid)
{
	static const char none[] = "0000000000000000";

	return has(pid, "CapEff", none) && has(pid, "CapPrm", none) && has(pid, "CapInh", none) &&
	       has(pid, "CapAmb", none) && (geteuid() || has(pid, "CapBnd", none));
}

/* A process that enters as a machine does, tells whether that went well, and waits. */
static pid_t enter(const struct machine_config *as, int *wait_fd, bool *good)
{
	int there[2], go[2];
	pid_t pid;
	char byte = 0;

	if (pipe(there) || pipe(go))
		abort();
	pid = fork();
	if (!pid) {
		struct sandbox *sb = NULL;
		uint64_t eight;

		close(go[1]);
		eight = !sandbox_create(&sb, as) && !sandbox_enter(sb, NULL, 0);
		if (write(there[1], &eight, sizeof(eight)) < 0 || read(go[0], &eight, sizeof(eight)) < 0)
			syscall(SYS_exit_group, 1);
		syscall(SYS_exit_group, 0);
	}
	close(there[1]);
	close(go[0]);
	*good = read(there[0], &byte, 1) == 1 && byte == 1;
	close(there[0]);
	*wait_fd = go[1];
	return pid;
}

static void leave(pid_t pid, int wait_fd)
{
	close(wait_fd);
	waitpid(pid, NULL, 0);
}

static void test_privileges(void)
{
	struct machine_config as = { .user = NULL };
	char uid[80];
	bool good;
	int fd;
	pid_t pid = enter(&as, &fd, &good);

	snprintf(uid, sizeof(uid), "%u\t%u\t%u\t%u", geteuid(), geteuid(), geteuid(), geteuid());
	ok(good && has_no_capabilities(pid) && has(pid, "NoNewPrivs", "1"), "no capabilities, and no way to new ones");
	ok(has(pid, "Seccomp", "2"), "a filter");
	ok(has(pid, "Uid", uid), "the same user");
	leave(pid, fd);

	as.no_seccomp = true;
	pid = enter(&as, &fd, &good);
	ok(good && has_no_capabilities(pid) && has(pid, "NoNewPrivs", "1") && has(pid, "Seccomp", "0"),
	   "--seccomp off: the same without a filter");
	leave(pid, fd);
}

static void test_user(void)
{
	struct machine_config as = { .user = "nobody" };
	bool good;
	pid_t pid;
	int fd;

	if (geteuid()) {
		tap_skip("--user", "only root can change it");
		return;
	}
	pid = enter(&as, &fd, &good);
	ok(good && has(pid, "Uid", "65534\t65534\t65534\t65534") && has(pid, "Gid", "65534\t65534\t65534\t65534") &&
	   strstr(status_of(pid, "Groups"), "65534") && has_no_capabilities(pid), "--user nobody");
	leave(pid, fd);
	as.user = "nobody-at-all";
	pid = enter(&as, &fd, &good);
	ok(!good, "--user with no such user fails");
	leave(pid, fd);
}

/* ---- Landlock ---- */

static char socket_path[64], other_path[64];

static void touch(const char *name)
{
	close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* Without a filter, so that nothing else is in the way. */
static bool watched(void)
{
	const char *sockets[] = { NULL, socket_path };
	struct machine_config as = { .no_seccomp = true };
	struct sandbox *sb = NULL;

	if (sandbox_create(&sb, &as) || sandbox_enter(sb, sockets, 2))
		return false;
	return open(path, O_RDONLY) < 0 && errno == EACCES && open(socket_path, O_RDONLY) < 0 && errno == EACCES &&
	       open("/tmp/x", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES &&
	       execl(program, program, NULL) && errno == EACCES &&
	       unlink(other_path) && errno == EACCES && !unlink(socket_path);
}

static void test_landlock(void)
{
	int status = -1;
	pid_t pid;

	if (!landlock_there()) {
		tap_skip("names of files", "this kernel has no Landlock");
		return;
	}
	snprintf(socket_path, sizeof(socket_path), "%s/dir/socket", dir);
	snprintf(other_path, sizeof(other_path), "%s/file", dir);
	touch(socket_path);
	touch(other_path);
	pid = fork();
	if (!pid)
		_exit(!watched());
	waitpid(pid, &status, 0);
	ok(!status && access(socket_path, F_OK) && !access(other_path, F_OK),
	   "no file by its name, but a socket can be removed");
	unlink(other_path);
}

int main(void)
{
	static const unsigned int most[ROLES] = {
		[ROLE_MAIN] = 80, [ROLE_VCPU] = 36, [ROLE_DISK] = 36, [ROLE_NET] = 54, [ROLE_CONSOLE] = 32,
		[ROLE_MIGRATE] = 48, [ROLE_VERIFY] = 32, [ROLE_WRITER] = 36,
	};
	char sub[64];

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || !mkdtemp(dir) || dup2(open("/dev/null", O_WRONLY), STDERR_FILENO) < 0)
		return 1;
	snprintf(sub, sizeof(sub), "%s/dir", dir);
	mkdir(sub, 0700);
	own_file = memfd_create("own", MFD_CLOEXEC);
	other_file = memfd_create("other", MFD_CLOEXEC);
	unix_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	inet_socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ftruncate(own_file, 2 * PAGE) || ftruncate(other_file, 2 * PAGE) || listen(inet_socket, 4))
		return 1;
	snprintf(unix_addr.sun_path, sizeof(unix_addr.sun_path), "%s/nobody", dir);
	if (!ok(!sandbox_create(&sandbox, &cfg), "filters for all roles"))
		return 1;
	for (enum role role = 0; role < ROLES; role++) {
		test_attempts(role);
		test_ends(role);
		test_program(role, most[role]);
		test_life(role);
	}
	test_uses();
	test_privileges();
	test_user();
	test_landlock();
	sandbox_destroy(sandbox);
	rmdir(sub);
	ok(!rmdir(dir), "nothing is left");
	return tap_done();
}
