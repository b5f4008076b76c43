// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which role may make which system call. What is in no row ends the process (violation.c).
 *
 * The filters of main are inherited by the threads and processes that it makes later, so it has their rows as well. Threads
 * share memory: who takes one over may in the end make others do what these may. What counts is therefore also
 * what no row has: opening, executing, connecting (but for the user network's own sockets), tracing, signals to others,
 * memory that can be executed.
 *
 * Arguments of type int are compared as such: the kernel does not look at the upper half either.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/filter.h"
#include "util/list.h"

/* Terminals: glibc's tcsetattr() and tcgetattr(), those of older ones and those of newer ones */
#define TTY_GET		0x5401
#define TTY_SET		0x5402
#define TTY_GET2	0x802c542a
#define TTY_SET2	0x402c542b

#define MAIN	(1u << ROLE_MAIN)
#define VCPU	(1u << ROLE_VCPU)
#define DISK	(1u << ROLE_DISK)
#define NET	(1u << ROLE_NET)
#define CONSOLE	(1u << ROLE_CONSOLE)
#define MIGRATE	(1u << ROLE_MIGRATE)
#define VERIFY	(1u << ROLE_VERIFY)
#define WRITER	(1u << ROLE_WRITER)
#define ALL	((1u << ROLES) - 1)

/* Those that main makes after it has entered the sandbox */
#define LATER	(VCPU | MIGRATE | VERIFY | WRITER)

#define INT(i, v)	{ .arg = (i), .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xffffffff, .datum_b = (uint32_t)(v) }
#define LONG(i, v)	{ .arg = (i), .op = SCMP_CMP_EQ, .datum_a = (v) }
#define CLEAR(i, bits)	{ .arg = (i), .op = SCMP_CMP_MASKED_EQ, .datum_a = (bits), .datum_b = 0 }
#define SET(i, bits)	{ .arg = (i), .op = SCMP_CMP_MASKED_EQ, .datum_a = (bits), .datum_b = (bits) }

/* Values that are known when the filter is made */
#define OWN_FD		0x100	/* the disk's image */
#define OWN_PROCESS	0x101
#define OWN(i, what)	{ .arg = (i), .op = SCMP_CMP_MASKED_EQ, .datum_a = (what), .datum_b = 0 }

#define THREAD_FLAGS	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
			 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

struct rule {
	unsigned int roles;
	int call;
	uint32_t action;
	unsigned int nr;
	struct scmp_arg_cmp arg[2];
};

#define NR(...)		(sizeof((struct scmp_arg_cmp[]){ __VA_ARGS__ }) / sizeof(struct scmp_arg_cmp))

/* Always; with those arguments only; in vain */
#define CALL(who, name) \
	{ .roles = (who), .call = SCMP_SYS(name), .action = SCMP_ACT_ALLOW }
#define ONLY(who, name, ...) \
	{ .roles = (who), .call = SCMP_SYS(name), .action = SCMP_ACT_ALLOW, \
	  .nr = NR(__VA_ARGS__), .arg = { __VA_ARGS__ } }
#define FAIL(who, name, error, ...) \
	{ .roles = (who), .call = SCMP_SYS(name), .action = SCMP_ACT_ERRNO(error), \
	  .nr = NR(__VA_ARGS__), .arg = { __VA_ARGS__ } }
#define IOCTL(who, request)	ONLY(who, ioctl, INT(1, request))

static const struct rule rules[] = {
	/* memory, threads, time: what the C library does by itself */
	CALL(ALL, brk),
	ONLY(ALL, mmap, CLEAR(2, PROT_EXEC)),
	ONLY(ALL, mprotect, CLEAR(2, PROT_EXEC)),
	CALL(ALL, munmap),
	CALL(ALL, mremap),
	CALL(ALL, madvise),
	CALL(ALL, futex),
	CALL(ALL, sched_yield),
	CALL(ALL, sched_getaffinity),
	CALL(ALL, getpid),
	CALL(ALL, gettid),
	CALL(ALL, clock_gettime),
	CALL(ALL, clock_nanosleep),
	CALL(ALL, nanosleep),
	CALL(ALL, gettimeofday),
	CALL(ALL, time),
	CALL(ALL, restart_syscall),
	CALL(ALL, rt_sigprocmask),
	CALL(ALL, rt_sigreturn),
	ONLY(ALL, tgkill, OWN(0, OWN_PROCESS)),
	CALL(ALL, exit),
	CALL(ALL, exit_group),
#ifdef __SANITIZE_ADDRESS__
	CALL(ALL, sigaltstack),		/* before calls that do not return, and when threads end */
#endif
	/* the life of later threads: before they have their own filter, or at their ends */
	ONLY(MAIN | MIGRATE, clone, LONG(0, THREAD_FLAGS)),
	FAIL(MAIN | MIGRATE, clone3, ENOSYS),	/* its flags cannot be seen; glibc takes clone */
	CALL(MAIN | MIGRATE, set_robust_list),
	CALL(MAIN | MIGRATE, rseq),
	ONLY(MAIN | MIGRATE, prctl, INT(0, PR_SET_NAME)),
	CALL(MAIN | MIGRATE, seccomp),

	/* messages, eventfds, and the terminal, which must not be left raw */
	CALL(ALL, poll),
	CALL(ALL, ppoll),
	ONLY(ALL, write, INT(0, STDERR_FILENO)),
	ONLY(ALL, write, LONG(2, sizeof(uint64_t))),
	ONLY(ALL, read, LONG(2, sizeof(uint64_t))),
	ONLY(ALL, ioctl, INT(0, STDIN_FILENO), INT(1, TTY_SET)),
	ONLY(ALL, ioctl, INT(0, STDIN_FILENO), INT(1, TTY_SET2)),
	ONLY(MAIN, ioctl, INT(0, STDIN_FILENO), INT(1, TTY_GET)),
	ONLY(MAIN, ioctl, INT(0, STDIN_FILENO), INT(1, TTY_GET2)),
	ONLY(MAIN, ioctl, INT(0, STDIN_FILENO), INT(1, TIOCGPGRP)),
	CALL(MAIN, getpgrp),
	ONLY(CONSOLE, write, INT(0, STDOUT_FILENO)),

	/* the loop and what is behind it: terminals, taps, the control socket */
	CALL(MAIN | NET, read),
	CALL(MAIN | NET, write),
	CALL(MAIN, readv),
	CALL(MAIN, writev),
	CALL(MAIN | VERIFY, pread64),
	CALL(MAIN | VCPU, epoll_ctl),
	CALL(MAIN, epoll_wait),
	CALL(MAIN, epoll_pwait),
	CALL(MAIN | VCPU | MIGRATE, timerfd_settime),
	CALL(MAIN | VCPU | MIGRATE, eventfd2),
	CALL(MAIN | NET | MIGRATE, close),
	CALL(MAIN | MIGRATE, accept4),
	ONLY(MAIN | MIGRATE, sendto, LONG(4, 0)),	/* where it is connected to */
	CALL(MAIN | NET, recvmsg),
	CALL(MAIN | NET, getsockopt),
	CALL(MAIN | NET, fstat),
	ONLY(MAIN | NET, newfstatat, SET(3, AT_EMPTY_PATH)),
	ONLY(MAIN, fcntl, INT(1, F_GETFL)),
	ONLY(MAIN, fcntl, INT(1, F_GETFD)),
	CALL(MAIN, getrandom),
	CALL(MAIN, rt_sigpending),
	CALL(MAIN, fdatasync),
	CALL(MAIN, flock),
	CALL(MAIN, fadvise64),

	/* snapshots: a copy of the process writes them */
	ONLY(MAIN, clone, LONG(0, CLONE_PIDFD | SIGCHLD)),
	CALL(MAIN, waitid),
	CALL(MAIN, pidfd_send_signal),
	ONLY(WRITER, prctl, INT(0, PR_SET_PDEATHSIG)),
	CALL(WRITER, getppid),
	CALL(WRITER, pwrite64),
	CALL(WRITER, ftruncate),
	CALL(WRITER, fsync),

	/* disks */
	ONLY(DISK, preadv, OWN(0, OWN_FD)),
	ONLY(DISK, pwritev, OWN(0, OWN_FD)),
	ONLY(DISK, fdatasync, OWN(0, OWN_FD)),
	ONLY(DISK, fallocate, OWN(0, OWN_FD)),
	ONLY(DISK, ioctl, OWN(0, OWN_FD), INT(1, BLKDISCARD)),
	ONLY(DISK, ioctl, OWN(0, OWN_FD), INT(1, BLKZEROOUT)),

	/* moves */
	CALL(MIGRATE, read),
	ONLY(MIGRATE, setsockopt, INT(1, IPPROTO_TCP), INT(2, TCP_NODELAY)),
	CALL(MIGRATE, recvfrom),
	IOCTL(MIGRATE, UFFDIO_REGISTER),
	IOCTL(MIGRATE, UFFDIO_UNREGISTER),
	IOCTL(MIGRATE, UFFDIO_COPY),
	IOCTL(MIGRATE, UFFDIO_ZEROPAGE),
	IOCTL(MIGRATE, UFFDIO_WAKE),

	/* libslirp */
	ONLY(NET, socket, INT(0, AF_INET)),
	CALL(NET, bind),
	CALL(NET, listen),
	CALL(NET, accept),
	CALL(NET, accept4),
	CALL(NET, connect),
	CALL(NET, shutdown),
	CALL(NET, getsockname),
	CALL(NET, getpeername),
	CALL(NET, setsockopt),
	CALL(NET, sendto),
	CALL(NET, recvfrom),
	CALL(NET, sendmsg),
	CALL(NET, lseek),
	ONLY(NET, fcntl, INT(1, F_GETFL)),
	ONLY(NET, fcntl, INT(1, F_SETFL)),
	ONLY(NET, fcntl, INT(1, F_GETFD)),
	ONLY(NET, fcntl, INT(1, F_SETFD)),
	ONLY(NET, fcntl, INT(1, F_DUPFD_CLOEXEC)),
	IOCTL(NET, FIONREAD),
	IOCTL(NET, FIONBIO),
	FAIL(NET, ioctl, ENOTTY, INT(1, TTY_GET)),	/* GLib's messages ask for colours */

	/* KVM: running, interrupts, doorbells */
	IOCTL(VCPU, KVM_RUN),
	IOCTL(MAIN | VCPU | DISK, KVM_IRQ_LINE),
	IOCTL(MAIN | VCPU | DISK, KVM_SIGNAL_MSI),
	IOCTL(MAIN | VCPU, KVM_SET_GSI_ROUTING),
	IOCTL(MAIN | VCPU, KVM_IRQFD),
	IOCTL(MAIN | VCPU, KVM_IOEVENTFD),
	IOCTL(MAIN | VCPU, TUNSETOFFLOAD),
	/* reports of a vCPU that cannot go on */
	IOCTL(VCPU, KVM_TRANSLATE),
	IOCTL(MAIN | VCPU, KVM_GET_REGS),
	IOCTL(MAIN | VCPU, KVM_GET_SREGS),
	/* which pages change */
	IOCTL(MAIN | MIGRATE, KVM_CHECK_EXTENSION),
	IOCTL(MAIN | MIGRATE, KVM_ENABLE_CAP),
	IOCTL(MAIN | MIGRATE, KVM_SET_USER_MEMORY_REGION),
	IOCTL(MAIN | MIGRATE, KVM_GET_DIRTY_LOG),
	IOCTL(MAIN | MIGRATE, KVM_CLEAR_DIRTY_LOG),
	/* state, for resets, snapshots and moves */
	IOCTL(MAIN, KVM_SET_REGS),
	IOCTL(MAIN, KVM_SET_SREGS),
	IOCTL(MAIN, KVM_GET_XCRS),
	IOCTL(MAIN, KVM_SET_XCRS),
	IOCTL(MAIN, KVM_GET_XSAVE),
	IOCTL(MAIN, KVM_SET_XSAVE),
	IOCTL(MAIN, KVM_GET_DEBUGREGS),
	IOCTL(MAIN, KVM_SET_DEBUGREGS),
	IOCTL(MAIN, KVM_GET_LAPIC),
	IOCTL(MAIN, KVM_SET_LAPIC),
	IOCTL(MAIN, KVM_GET_VCPU_EVENTS),
	IOCTL(MAIN, KVM_SET_VCPU_EVENTS),
	IOCTL(MAIN, KVM_GET_MP_STATE),
	IOCTL(MAIN, KVM_SET_MP_STATE),
	IOCTL(MAIN, KVM_GET_MSR_INDEX_LIST),
	IOCTL(MAIN, KVM_GET_MSRS),
	IOCTL(MAIN, KVM_SET_MSRS),
	IOCTL(MAIN, KVM_GET_CPUID2),
	IOCTL(MAIN, KVM_SET_CPUID2),
	IOCTL(MAIN, KVM_GET_TSC_KHZ),
	IOCTL(MAIN, KVM_SET_TSC_KHZ),
	IOCTL(MAIN, KVM_GET_DEVICE_ATTR),
	IOCTL(MAIN, KVM_SET_DEVICE_ATTR),
	IOCTL(MAIN, KVM_KVMCLOCK_CTRL),
	IOCTL(MAIN | VCPU, KVM_GET_CLOCK),
	IOCTL(MAIN, KVM_SET_CLOCK),
	IOCTL(MAIN, KVM_GET_IRQCHIP),
	IOCTL(MAIN, KVM_SET_IRQCHIP),
	IOCTL(MAIN, KVM_GET_PIT2),
	IOCTL(MAIN, KVM_SET_PIT2),
};

/* The names of sockets are taken away at the end; without Landlock that would be any file's. */
static const struct rule unlink_rule = CALL(MAIN | MIGRATE, unlink);

const char *role_name(enum role role)
{
	static const char *const names[] = {
		[ROLE_MAIN] = "main", [ROLE_VCPU] = "vcpu", [ROLE_DISK] = "disk", [ROLE_NET] = "net",
		[ROLE_CONSOLE] = "console", [ROLE_MIGRATE] = "migrate", [ROLE_VERIFY] = "verify",
		[ROLE_WRITER] = "writer",
	};

	return role < ROLES ? names[role] : "?";
}

static struct scmp_arg_cmp resolve(const struct scmp_arg_cmp *arg, const struct filter_host *host)
{
	struct scmp_arg_cmp out = *arg;

	if (arg->op != SCMP_CMP_MASKED_EQ || (arg->datum_a != OWN_FD && arg->datum_a != OWN_PROCESS))
		return out;
	out.datum_b = arg->datum_a == OWN_FD ? (uint32_t)host->fd : (uint32_t)getpid();
	out.datum_a = 0xffffffff;
	return out;
}

static int add(scmp_filter_ctx context, const struct rule *rule, uint32_t action, const struct filter_host *host)
{
	struct scmp_arg_cmp args[ARRAY_SIZE(rule->arg)];

	for (unsigned int i = 0; i < rule->nr; i++)
		args[i] = resolve(&rule->arg[i], host);
	return seccomp_rule_add_array(context, action, rule->call, rule->nr, args);
}

int roles_add(void *context, enum role role, const struct filter_host *host)
{
	unsigned int roles = role == ROLE_MAIN ? MAIN | LATER : 1u << role;
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(rules); i++)
		if (rules[i].roles & roles)
			err = add(context, &rules[i], rules[i].action, host);
	if (!err && unlink_rule.roles & roles)
		err = add(context, &unlink_rule, host->landlock ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EACCES), host);
	return err;
}
