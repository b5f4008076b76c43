// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>

#include "ktap.h"

const char *test_device;
unsigned long test_count;

static int usage(const char *name)
{
	fprintf(stderr, "usage: %s [--device PATH] [--count N] [TEST...]\n", name);
	return 2;
}

unsigned int test_slowness(void)
{
	const char *times = getenv("TEST_SLOW");

	return times && atoi(times) > 0 ? atoi(times) : 1;
}

static int run_child(const struct test *t)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return TEST_FAIL;
	if (!pid) {
		/* More than usual takes as long as it takes. */
		if (!test_count)
			alarm((t->seconds ? t->seconds : 60) * test_slowness());
		t->fn();
		fflush(stdout);
		_exit(TEST_OK);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status)) {
		printf("# killed by signal %d%s\n", WTERMSIG(status),
		       WTERMSIG(status) == SIGALRM ? " (time is over)" : "");
		return TEST_FAIL;
	}
	return WEXITSTATUS(status);
}

bool test_selected(const char *name, char **names, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		if (!strcmp(names[i], name))
			return true;
	}
	return !n;
}

static bool test_exists(const char *name, const struct test *tests, int n)
{
	while (n--)
		if (!strcmp(tests[n].name, name))
			return true;
	return false;
}

const char *test_usual_device(void)
{
	const char *device = getenv("VMM_DEVICE");

	return device ? device : "/dev/vmm";
}

int run_tests(int argc, char **argv, const struct test *tests, int n)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'n' },
		{ 0 },
	};
	int i, c, failed = 0;

	test_device = test_usual_device();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			test_device = optarg;
		else if (c == 'n' && strtoul(optarg, NULL, 0))
			test_count = strtoul(optarg, NULL, 0);
		else
			return usage(argv[0]);
	}
	for (i = optind; i < argc; i++)
		if (!test_exists(argv[i], tests, n)) {
			fprintf(stderr, "%s: there is no test '%s'\n", argv[0], argv[i]);
			return 2;
		}
	printf("KTAP version 1\n1..%d\n", n);
	for (i = 0; i < n; i++) {
		int r = TEST_SKIP;

		if (test_selected(tests[i].name, argv + optind, argc - optind))
			r = run_child(&tests[i]);
		printf("%sok %d %s%s\n", r == TEST_OK || r == TEST_SKIP ? "" : "not ",
		       i + 1, tests[i].name, r == TEST_SKIP ? " # SKIP" : "");
		failed += r != TEST_OK && r != TEST_SKIP;
	}
	return failed ? 1 : 0;
}
