/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * KTAP for test programs. A program is a table of tests; each runs in a
 * process of its own, so that a failed one may simply leave, and a VM, its
 * threads and its memory end with it.
 */
#ifndef SELFTESTS_KTAP_H
#define SELFTESTS_KTAP_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TEST_OK = 0, TEST_FAIL = 1, TEST_SKIP = 4 };

struct test {
	const char *name;
	void (*fn)(void);
	unsigned int seconds;	/* until SIGALRM; 0 means 60 */
};

/* --device PATH, else $VMM_DEVICE, else /dev/vmm: what test_usual_device() says. */
extern const char *test_device;

const char *test_usual_device(void);

/* How many times longer than usual all may take: the lab's kernels that look for mistakes. */
unsigned int test_slowness(void);

/* --count N: how often what a test repeats is repeated, or 0. */
extern unsigned long test_count;

static inline unsigned long test_repeat(unsigned long usual)
{
	return test_count ? test_count : usual;
}

/* CLOCK_MONOTONIC, which stands still while the host sleeps */
static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* Of names on the command line: this one is among them, or there are none. */
bool test_selected(const char *name, char **names, int n);

/* Where the judge is KVM itself, and not vmm under KVM's name. */
static inline bool device_is_kvm(void)
{
	return !strcmp(test_device, "/dev/kvm") && access("/dev/vmm", F_OK);
}

#define SKIP(fmt, ...)							\
	do {								\
		printf("# skip: " fmt "\n", ##__VA_ARGS__);		\
		fflush(stdout);						\
		_exit(TEST_SKIP);					\
	} while (0)

#define FAIL(fmt, ...)							\
	do {								\
		printf("# %s:%d: " fmt "\n", __FILE__, __LINE__, ##__VA_ARGS__); \
		fflush(stdout);						\
		_exit(TEST_FAIL);					\
	} while (0)

#define CHECK(cond, ...)						\
	do {								\
		if (!(cond))						\
			FAIL("not true: " #cond " " __VA_ARGS__);	\
	} while (0)

/* Equal integers, shown when they are not. */
#define CHECK_EQ(a, b)							\
	do {								\
		long long a_ = (long long)(a), b_ = (long long)(b);	\
									\
		if (a_ != b_)						\
			FAIL("%s is %#llx, not %s (%#llx)", #a, a_, #b, b_); \
	} while (0)

/* A system call that must succeed; its value. */
#define MUST(call)							\
	({								\
		long r_ = (long)(call);					\
									\
		if (r_ == -1)						\
			FAIL("%s: %s", #call, strerror(errno));		\
		r_;							\
	})

/* Runs all tests; the exit status for main(). */
int run_tests(int argc, char **argv, const struct test *tests, int n);

#define TEST_MAIN(tests)						\
	int main(int argc, char **argv)					\
	{								\
		return run_tests(argc, argv, tests, sizeof(tests) / sizeof((tests)[0])); \
	}

#endif /* SELFTESTS_KTAP_H */
