// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <sched.h>
#include <time.h>

#include "bench.h"

#define ROW_SECONDS	240

int bench_samples = BENCH_MAX;

static const char *unit = "cycles";
static bool json;

/* -------- figures -------- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

double bench_median(const volatile uint64_t *sample, int n)
{
	uint64_t sorted[BENCH_MAX];
	int i;

	for (i = 0; i < n; i++)
		sorted[i] = sample[i];
	qsort(sorted, n, sizeof(*sorted), compare);
	return sorted[n / 2];
}

uint64_t bench_thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

double bench_ticks(struct guest_cpu *cpu, double ns)
{
	return ns * MUST(ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0)) / 1e6;
}

/* -------- the table -------- */

static void print_row(const struct row *row, double value)
{
	const char *u = row->unit ? row->unit : unit;
	static int n;

	if (json)
		printf("%s  {\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.2f}",
		       n++ ? ",\n" : "", row->name, u, value);
	else
		printf("%s %s %.2f\n", row->name, u, value);
	fflush(stdout);
}

static void one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	MUST(sched_setaffinity(0, sizeof(set), &set));
}

/* The figure alone goes to @out: what the library says about failures would not be JSON. */
static void run_child(const struct row *row, int out)
{
	double value;

	dup2(STDERR_FILENO, STDOUT_FILENO);
	alarm(ROW_SECONDS);
	one_cpu();
	value = row->measure(row);
	CHECK_EQ(write(out, &value, sizeof(value)), sizeof(value));
	_exit(TEST_OK);
}

static bool run_row(const struct row *row)
{
	int fd[2], status;
	double value;
	pid_t pid;

	MUST(pipe(fd));
	fflush(stdout);
	mark_row();
	pid = MUST(fork());
	if (!pid)
		run_child(row, fd[1]);
	close(fd[1]);
	if (read(fd[0], &value, sizeof(value)) == sizeof(value))
		print_row(row, value);
	close(fd[0]);
	MUST(waitpid(pid, &status, 0));
	if (!status)
		return true;
	fprintf(stderr, "# no figure: %s, status %#x\n", row->name, status);
	return WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIP;
}

static int usage(const char *name)
{
	fprintf(stderr, "usage: %s [--device PATH] [--json] [--unit NAME] [--samples N] [ROW...]\n", name);
	return 2;
}

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "unit", required_argument, NULL, 'u' },
		{ "samples", required_argument, NULL, 's' },
		{ 0 },
	};
	int c;

	test_device = test_usual_device();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			test_device = optarg;
		else if (c == 'j')
			json = true;
		else if (c == 'u')
			unit = optarg;
		else if (c == 's')
			bench_samples = atoi(optarg);
		else
			return false;
	}
	return bench_samples > 0 && bench_samples <= BENCH_MAX;
}

int bench_main(int argc, char **argv, const struct row *rows, int n)
{
	int i, failed = 0;

	if (!parse(argc, argv))
		return usage(argv[0]);
	if (json)
		printf("[\n");
	for (i = 0; i < n; i++) {
		if (test_selected(rows[i].name, argv + optind, argc - optind))
			failed += !run_row(&rows[i]);
	}
	if (json)
		printf("\n]\n");
	return failed ? 1 : 0;
}
