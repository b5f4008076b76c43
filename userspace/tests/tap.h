/* SPDX-License-Identifier: GPL-2.0-only */
/* Test results in the Test Anything Protocol: one line for each check, the plan at the end. */
#ifndef VMRUN_TESTS_TAP_H
#define VMRUN_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned int tap_count, tap_failed;

static inline bool __attribute__((format(printf, 3, 4))) tap_ok(bool good, int line, const char *fmt, ...)
{
	va_list ap;

	tap_failed += !good;
	printf("%sok %u - ", good ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (!good)
		printf(" # line %d", line);
	putchar('\n');
	fflush(stdout);
	return good;
}

#define ok(cond, ...) tap_ok(!!(cond), __LINE__, __VA_ARGS__)

/* A check that cannot be made here. */
static inline void tap_skip(const char *name, const char *why)
{
	printf("ok %u - %s # SKIP %s\n", ++tap_count, name, why);
}

/* Return: what main() returns. */
static inline int tap_done(void)
{
	printf("1..%u\n", tap_count);
	return tap_failed ? 1 : 0;
}

#endif
