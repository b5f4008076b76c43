// SPDX-License-Identifier: GPL-2.0-only
/*
 * The longest stall of a vCPU while logging of a large slot that it writes is
 * turned on and off. Needs two CPUs: on one, the thread that toggles is in its way anyhow.
 */
#include <sched.h>
#include <time.h>

#include "dirty.h"

#define BIG_GPA		(1024 * MB)
#define BIG_SIZE	(1024 * MB)	/* or half of what is free, where that is less */
#define BIG_SLOT	7
#define ROUNDS		10
/* A machine that does something else all the time needs more of them. */
#define MOST_ROUNDS	40

/* stall(start, end, step, stop): writes on; RAX = longest time between two writes, in TSC ticks */
GUEST_CODE(stall_code,
	".code64\n"
	"	mov %rdx, %r10; xor %r8d, %r8d\n"
	"	rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, %r9\n"
	"1:	mov %rdi, %rbx\n"
	"2:	incq (%rbx)\n"
	"	rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, %r11\n"
	"	sub %r9, %rax; mov %r11, %r9; cmp %r8, %rax; jbe 3f; mov %rax, %r8\n"
	"3:	cmpq $0, (%rcx); jne 4f\n"
	"	add %r10, %rbx; cmp %rsi, %rbx; jb 2b; jmp 1b\n"
	"4:	mov %r8, %rax; hlt\n");

struct stall {
	struct guest g;
	struct guest_cpu *cpu;
	uint8_t *mem;
	uint64_t size;
	uint64_t khz;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void use_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	MUST(sched_setaffinity(0, sizeof(set), &set));
}

static void *run_beside(void *arg)
{
	use_cpu(1);
	return mm_thread(arg);
}

static void start(struct stall *s)
{
	*(volatile uint64_t *)(s->g.mem + STOP_GPA) = 0;
	guest_call(s->cpu, 0, BIG_GPA, BIG_GPA + s->size, 64 * PAGE_4K, STOP_GPA);
	CHECK_EQ(pthread_create(&s->cpu->thread, NULL, run_beside, s->cpu), 0);
}

/* The longest stall of its run, in ms. */
static double stop(struct stall *s)
{
	return (double)mm_stop(s->cpu) / s->khz;
}

static double toggle(struct stall *s, bool on)
{
	double begin = now_ms();

	guest_slot(&s->g, BIG_SLOT, on ? KVM_MEM_LOG_DIRTY_PAGES : 0, BIG_GPA, s->size,
		   s->mem);
	return now_ms() - begin;
}

struct range {
	double least, most;
};

static void add(struct range *r, double ms)
{
	if (!r->most || ms < r->least)
		r->least = ms;
	if (ms > r->most)
		r->most = ms;
}

static uint64_t big_size(void)
{
	uint64_t half = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * PAGE_4K / 2 / PAGE_2M * PAGE_2M;

	return half < BIG_SIZE ? half : BIG_SIZE;
}

static void stall_guest(struct stall *s)
{
	use_cpu(0);
	guest_create(&s->g, 32 * MB);
	s->g.rflags = 0x200;
	guest_load_code(&s->g, stall_code);
	s->cpu = guest_add_cpu(&s->g);
	guest_mode(s->cpu, GUEST_LONG);
	s->khz = MUST(ioctl(s->cpu->fd, KVM_GET_TSC_KHZ, 0));
	s->size = big_size();
	s->mem = guest_alloc(s->size);
	madvise(s->mem, s->size, MADV_HUGEPAGE);
	guest_slot(&s->g, BIG_SLOT, 0, BIG_GPA, s->size, s->mem);
	/* Once over all of it, that it is there. */
	start(s);
	while (!*(volatile uint64_t *)(s->mem + s->size - PAGE_2M))
		sleep(1);
	stop(s);
}

/* As much of the machine is in use as when logging is toggled. */
static void busy(double ms)
{
	double end = now_ms() + ms;

	while (now_ms() < end)
		;
}

/*
 * What else the machine does comes and goes, a lock that is held for all of the
 * slot is met each time: so the least of the longest stalls counts.
 */
static void longest_stall(void)
{
	struct range alone = {}, beside = {}, on = {}, off = {};
	bool good = false;
	struct stall s;
	int i;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one CPU");
	stall_guest(&s);
	for (i = 0; i < MOST_ROUNDS && (i < ROUNDS || !good); i++) {
		start(&s);
		busy(150);
		add(&alone, stop(&s));
		start(&s);
		usleep(50000);
		add(&on, toggle(&s, true));
		usleep(50000);
		add(&off, toggle(&s, false));
		usleep(50000);
		add(&beside, stop(&s));
		good = beside.least < 2 * alone.least + on.least / 8;
	}
	printf("# longest stalls in %llu MiB: %.2f to %.2f ms alone, %.2f to %.2f with logging toggled\n",
	       (unsigned long long)(s.size / MB), alone.least, alone.most, beside.least, beside.most);
	printf("# the ioctl: on %.2f to %.2f ms, off %.2f to %.2f\n", on.least, on.most, off.least,
	       off.most);
	CHECK(good, "(it waits for the ioctl)");
}

static const struct test tests[] = {
	{ "longest_stall", longest_stall, 300 },
};

TEST_MAIN(tests)
