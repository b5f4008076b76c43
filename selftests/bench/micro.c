// SPDX-License-Identifier: GPL-2.0-only
/* In the guest: what ordinary work costs there, in ticks of its TSC. None of it needs the host. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define SYSCALLS	20000
#define SWITCHES	5000
#define PAGES		4096
#define FORKS		100
#define LOOPS		20000000

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void loop(void)
{
	for (volatile int i = 0; i < LOOPS; i++)
		;
}

static void syscalls(void)
{
	for (int i = 0; i < SYSCALLS; i++)
		syscall(SYS_getppid);
}

/* A byte to and fro between two processes. */
static void switches(void)
{
	int there[2], back[2];
	char byte = 0;

	if (pipe(there) || pipe(back))
		die("pipe");
	if (!fork()) {
		for (int i = 0; i < SWITCHES; i++)
			if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < SWITCHES; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			die("pipe");
	wait(NULL);
}

static void faults(void)
{
	char *mem = mmap(NULL, PAGES * 4096ul, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		die("mmap");
	madvise(mem, PAGES * 4096ul, MADV_NOHUGEPAGE);
	for (int i = 0; i < PAGES; i++)
		((volatile char *)mem)[i * 4096ul] = 1;
	munmap(mem, PAGES * 4096ul);
}

static void forks(void)
{
	for (int i = 0; i < FORKS; i++) {
		if (!fork())
			_exit(0);
		wait(NULL);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
	int count;
} parts[] = {
	{ "loop", loop, LOOPS }, { "syscall", syscalls, SYSCALLS }, { "switch", switches, SWITCHES },
	{ "fault", faults, PAGES }, { "fork", forks, FORKS },
};

int main(void)
{
	setbuf(stdout, NULL);
	for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		uint64_t best = ~0ull;

		/* The first time the guest's memory is new to the host, too. */
		for (int turn = 0; turn < 3; turn++) {
			uint64_t begin = __rdtsc(), ticks;

			parts[i].run();
			ticks = __rdtsc() - begin;
			if (ticks < best)
				best = ticks;
		}
		printf("micro: %s %.1f\n", parts[i].name, (double)best / parts[i].count);
	}
	return 0;
}
