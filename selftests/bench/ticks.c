// SPDX-License-Identifier: GPL-2.0-only
/*
 * ticks: the TSC's rate in kHz, which in the lab's machines counts instructions.
 * ticks COMMAND...: runs it, and tells last how many ticks of processor time it and its children took.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define SPIN_NS	20000000

static uint64_t ns_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static double ticks_per_ns(void)
{
	uint64_t begin = ns_now(), first = __rdtsc(), ns;

	do
		ns = ns_now() - begin;
	while (ns < SPIN_NS);
	return (double)(__rdtsc() - first) / ns;
}

static double child_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e9 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e3;
}

int main(int argc, char **argv)
{
	double rate = ticks_per_ns();
	pid_t pid;

	if (argc < 2) {
		printf("%.0f\n", rate * 1e6);
		return 0;
	}
	pid = fork();
	if (!pid) {
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) < 0) {
		perror("ticks");
		return 1;
	}
	printf("%.0f\n", child_ns() * rate);
	return 0;
}
