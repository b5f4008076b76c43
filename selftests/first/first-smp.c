// SPDX-License-Identifier: GPL-2.0-only
/* Several vCPUs, each an ordinary thread: INIT and SIPI, atomic counters, signals, stopping, affinity. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <time.h>

#include "first.h"

/*
 * The BSP runs in real mode without paging, at 0x8000: it enables its APIC, sends
 * INIT and SIPI (vector 8) to all others, then everybody counts: word at 0xf000 for
 * arrivals, dword at 0xf008 for locked increments, ESI of them each. All with IF:
 * without it Bochs has no host interrupt end a stay, and they wait for each other.
 */
GUEST_CODE(smp,
	".code16\n"
	"	xor %ax, %ax; mov %ax, %ds; sti\n"
	"	mov $1, %ax; lock xadd %ax, 0xf000\n"
	"	test %ax, %ax; jnz 2f\n"
	/* the first one here is the BSP: APIC at 0xfee00000 through a flat 4 GiB FS, set by the test */
	"	movl $0xfee000f0, %ebx; movl $0x1ff, %fs:(%ebx)\n"
	"	movl $0xfee00300, %ebx; movl $0x000c4500, %fs:(%ebx)\n"
	"	movl $0x000c4608, %fs:(%ebx)\n"
	"2:	movl 0xf010, %ecx\n"
	"3:	lock incl 0xf008\n"
	"	dec %ecx; jnz 3b\n"
	"	lock incw 0xf004\n"
	"4:	mov 0xf004, %ax; cmp 0xf014, %ax; jne 4b\n"
	"	out %al, $0x10\n"
	"5:	hlt; jmp 5b\n");

GUEST_CODE(spin, ".code64\n1: incq 0xf000; jmp 1b\n");

static void *run_until_out(void *arg)
{
	struct guest_cpu *cpu = arg;
	int r;

	do
		r = guest_run(cpu);
	while (r == -EAGAIN);
	CHECK_EQ(r, 0);
	guest_expect(cpu, KVM_EXIT_IO);
	return NULL;
}

static void count(int n)
{
	const uint32_t rounds = 20000;
	struct kvm_sregs s;
	struct guest g;
	int i;

	guest_create(&g, 4 * PAGE_2M);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	guest_load_code(&g, smp);
	for (i = 0; i < n; i++)
		guest_add_cpu(&g);
	guest_mode(&g.cpu[0], GUEST_REAL);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_SREGS, &s));
	s.fs.base = 0;
	s.fs.limit = 0xffffffff;
	s.fs.g = 1;
	MUST(ioctl(g.cpu[0].fd, KVM_SET_SREGS, &s));
	guest_call(&g.cpu[0], 0, 0, 0, 0, 0);
	*(uint32_t *)(g.mem + 0xf010) = rounds;
	*(uint16_t *)(g.mem + 0xf014) = n;
	for (i = 0; i < n; i++)
		pthread_create(&g.cpu[i].thread, NULL, run_until_out, &g.cpu[i]);
	for (i = 0; i < n; i++)
		pthread_join(g.cpu[i].thread, NULL);
	CHECK_EQ(*(uint16_t *)(g.mem + 0xf000), n);
	CHECK_EQ(*(uint32_t *)(g.mem + 0xf008), rounds * n);
}

static void two(void)
{
	count(2);
}

static void four(void)
{
	count(4);
}

static struct guest_cpu *spinner(struct guest *g)
{
	struct guest_cpu *cpu = long_guest(g);

	/* IF, or Bochs has no host interrupt end its stay. */
	g->rflags = 0x200;
	guest_load_code(g, spin);
	guest_call(cpu, 0, 0, 0, 0, 0);
	return cpu;
}

static void on_signal(int sig)
{
}

static void immediate_exit(void)
{
	struct guest g;
	struct guest_cpu *cpu = spinner(&g);

	cpu->run->immediate_exit = 1;
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(*guest_word(&g, 0), 0);
}

static void a_signal(void)
{
	timer_t timer;
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec when = { .it_value.tv_nsec = 200000000 };
	struct sigaction sa = { .sa_handler = on_signal };
	struct guest g;
	struct guest_cpu *cpu = spinner(&g);

	sigaction(SIGUSR1, &sa, NULL);
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
	MUST(timer_settime(timer, 0, &when, NULL));
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(cpu->run->exit_reason, KVM_EXIT_INTR);
	CHECK(*guest_word(&g, 0) > 0);
}

/* Its default action would end the process; in KVM_RUN, which alone lets it in, it does not. */
static void a_fatal_signal(void)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) m = { .head.len = 8 };
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec when = { .it_value.tv_nsec = 200000000 };
	struct guest g;
	struct guest_cpu *cpu = spinner(&g);
	timer_t timer;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(ioctl(cpu->fd, KVM_SET_SIGNAL_MASK, &m));
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
	MUST(timer_settime(timer, 0, &when, NULL));
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK(*guest_word(&g, 0) > 0);
	MUST(sigpending(&set));
	CHECK_EQ(sigismember(&set, SIGUSR1), 1);
}

static void ms_sleep(int ms)
{
	usleep(ms * 1000);
}

/* A child runs the spinning guest, whose counter is the caller's too. */
static pid_t spin_process(volatile uint64_t **counter)
{
	uint64_t *page = mmap(NULL, PAGE_4K, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			      -1, 0);
	struct guest_cpu *cpu;
	struct guest g;
	pid_t pid;

	CHECK(page != MAP_FAILED);
	pid = MUST(fork());
	if (!pid) {
		cpu = spinner(&g);
		CHECK(mremap(page, PAGE_4K, PAGE_4K, MREMAP_MAYMOVE | MREMAP_FIXED,
			     g.mem + DATA_GPA) != MAP_FAILED);
		guest_run(cpu);
		_exit(0);
	}
	*counter = page;
	while (!**counter)
		ms_sleep(20);
	return pid;
}

static void end_process(pid_t pid)
{
	MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, NULL, 0));
}

static void expect_progress(volatile uint64_t *counter)
{
	uint64_t then = *counter;

	while (*counter == then)
		ms_sleep(20);
}

static void expect_rest(volatile uint64_t *counter)
{
	uint64_t then = *counter;

	ms_sleep(100);
	CHECK_EQ(*counter, then);
}

/* Field @n of /proc/PID/stat (proc(5) counts from 1). */
static long stat_field(pid_t pid, int n)
{
	char path[64], line[1024], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	CHECK(f && fgets(line, sizeof(line), f));
	fclose(f);
	p = strrchr(line, ')') + 2;
	for (n -= 3; n; n--)
		p = strchr(p, ' ') + 1;
	return atol(p);
}

static long cpu_ticks(pid_t pid)
{
	return stat_field(pid, 14) + stat_field(pid, 15);
}

static void bind_to(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	MUST(sched_setaffinity(pid, sizeof(set), &set));
}

static void stop_and_go(void)
{
	volatile uint64_t *counter;
	pid_t pid = spin_process(&counter);

	MUST(kill(pid, SIGSTOP));
	MUST(waitpid(pid, NULL, WUNTRACED));
	expect_rest(counter);
	MUST(kill(pid, SIGCONT));
	expect_progress(counter);
	end_process(pid);
}

/* taskset moves the thread out of the guest and to where it was told. */
static void affinity(void)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), i;
	volatile uint64_t *counter;
	pid_t pid = spin_process(&counter);

	for (i = 0; i < 2 * cpus; i++) {
		bind_to(pid, i % cpus);
		expect_progress(counter);
		ms_sleep(50);
		CHECK_EQ(stat_field(pid, 39), i % cpus);
	}
	end_process(pid);
}

/* Two guests on one CPU: the nice one gets the little that the other leaves. */
static void niceness(void)
{
	volatile uint64_t *counter;
	pid_t pid[2] = { spin_process(&counter), spin_process(&counter) };
	long ticks[2];
	int i;

	MUST(setpriority(PRIO_PROCESS, pid[1], 15));
	CHECK_EQ(stat_field(pid[1], 19), 15);
	for (i = 0; i < 2; i++) {
		bind_to(pid[i], 0);
		ticks[i] = cpu_ticks(pid[i]);
	}
	ms_sleep(3000);
	for (i = 0; i < 2; i++)
		ticks[i] = cpu_ticks(pid[i]) - ticks[i];
	CHECK(ticks[0] > 4 * ticks[1], "%ld and %ld ticks", ticks[0], ticks[1]);
	for (i = 0; i < 2; i++)
		end_process(pid[i]);
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = MUST(open(path, O_WRONLY));
	CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void end_group(const char *top, const char *group)
{
	rmdir(group);
	umount(top);
	rmdir(top);
}

/* A fifth of a CPU by cgroup v2, and the guest's time is the thread's. */
static void cpu_quota(void)
{
	char top[] = "/tmp/cgroup-XXXXXX", group[64], text[16], limit[80];
	long hz = sysconf(_SC_CLK_TCK), ticks;
	volatile uint64_t *counter;
	pid_t pid;

	CHECK(mkdtemp(top));
	if (mount("none", top, "cgroup2", 0, NULL))
		SKIP("no cgroup2: %s", strerror(errno));
	snprintf(group, sizeof(group), "%s/vmm-quota", top);
	put(top, "cgroup.subtree_control", "+cpu");
	MUST(mkdir(group, 0755));
	snprintf(limit, sizeof(limit), "%s/cpu.max", group);
	if (access(limit, F_OK)) {
		end_group(top, group);
		SKIP("this kernel has no quotas");
	}
	put(group, "cpu.max", "20000 100000");
	pid = spin_process(&counter);
	ticks = cpu_ticks(pid);
	ms_sleep(1000);
	ticks = cpu_ticks(pid) - ticks;
	CHECK(ticks > hz / 2, "%ld ticks without a quota", ticks);
	snprintf(text, sizeof(text), "%d", pid);
	put(group, "cgroup.procs", text);
	ms_sleep(200);
	ticks = cpu_ticks(pid);
	ms_sleep(2000);
	ticks = cpu_ticks(pid) - ticks;
	end_process(pid);
	end_group(top, group);
	CHECK(ticks > 0 && ticks < 2 * hz * 35 / 100, "%ld of %ld ticks", ticks, 2 * hz);
}

/* What a debugger does to a thread in KVM_RUN. */
static void debugger(void)
{
	struct user_regs_struct regs;
	volatile uint64_t *counter;
	pid_t pid = spin_process(&counter);
	int status, i;

	for (i = 0; i < 3; i++) {
		MUST(ptrace(PTRACE_ATTACH, pid, 0, 0));
		MUST(waitpid(pid, &status, 0));
		CHECK(WIFSTOPPED(status));
		expect_rest(counter);
		MUST(ptrace(PTRACE_GETREGS, pid, 0, &regs));
		CHECK_EQ(regs.orig_rax, SYS_ioctl);
		CHECK_EQ(regs.rsi, KVM_RUN);
		MUST(ptrace(PTRACE_CONT, pid, 0, 0));
		expect_progress(counter);
		MUST(kill(pid, SIGSTOP));
		MUST(waitpid(pid, &status, 0));
		CHECK(WIFSTOPPED(status));
		MUST(ptrace(PTRACE_DETACH, pid, 0, 0));
		expect_progress(counter);
	}
	end_process(pid);
}

static const struct test tests[] = {
	{ "two vCPUs by INIT and SIPI", two },
	{ "four vCPUs", four },
	{ "immediate_exit", immediate_exit },
	{ "a signal ends KVM_RUN", a_signal },
	{ "so does one that is fatal elsewhere", a_fatal_signal },
	{ "SIGSTOP and SIGCONT", stop_and_go },
	{ "affinity", affinity },
	{ "nice", niceness },
	{ "a quota of CPU time", cpu_quota },
	{ "a debugger", debugger },
};

TEST_MAIN(tests)
