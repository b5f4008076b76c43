// SPDX-License-Identifier: GPL-2.0-only
/* Several vCPUs, each an ordinary thread: INIT and SIPI, atomic counters, signals, stopping, affinity. */
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "first.h"

/*
 * The BSP runs in real mode without paging, at 0x8000: it enables its APIC, sends
 * INIT and SIPI (vector 8) to all others, then everybody counts: word at 0xf000 for
 * arrivals, dword at 0xf008 for locked increments, ESI of them each.
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

static void ms_sleep(int ms)
{
	usleep(ms * 1000);
}

/* A child runs the guest in shared memory; the parent treats it like any process. */
static void ordinary_process(void)
{
	struct guest g;
	struct guest_cpu *cpu;
	uint64_t *counter, then;
	cpu_set_t set;
	pid_t pid;

	counter = mmap(NULL, PAGE_4K, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid) {
		cpu = spinner(&g);
		/* The counter's page is the parent's too. */
		MUST(mmap(g.mem + 0xf000, PAGE_4K, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
			  -1, 0) == MAP_FAILED ? -1 : 0);
		MUST(mremap(counter, PAGE_4K, PAGE_4K, MREMAP_MAYMOVE | MREMAP_FIXED, g.mem + 0xf000) == MAP_FAILED ?
		     -1 : 0);
		guest_run(cpu);
		_exit(0);
	}
	while (!*(volatile uint64_t *)counter)
		ms_sleep(20);
	MUST(kill(pid, SIGSTOP));
	MUST(waitpid(pid, NULL, WUNTRACED));
	then = *(volatile uint64_t *)counter;
	ms_sleep(100);
	CHECK_EQ(*(volatile uint64_t *)counter, then);
	MUST(kill(pid, SIGCONT));
	MUST(setpriority(PRIO_PROCESS, pid, 10));
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	MUST(sched_setaffinity(pid, sizeof(set), &set));
	while (*(volatile uint64_t *)counter == then)
		ms_sleep(20);
	MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, NULL, 0));
}

static const struct test tests[] = {
	{ "two vCPUs by INIT and SIPI", two },
	{ "four vCPUs", four },
	{ "immediate_exit", immediate_exit },
	{ "a signal ends KVM_RUN", a_signal },
	{ "SIGSTOP, nice, affinity", ordinary_process },
};

TEST_MAIN(tests)
