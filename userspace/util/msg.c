// SPDX-License-Identifier: GPL-2.0-only
#include "msg.h"

#include <stdarg.h>
#include <stdio.h>

#define MSG_MAX 1024

/* One write, so that lines of several threads do not mix. */
static void msg_print(const char *fmt, va_list ap)
{
	char text[MSG_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "vmrun: %s\n", text);
}

int msg_fail(int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	msg_print(fmt, ap);
	va_end(ap);
	return err;
}

void msg_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	msg_print(fmt, ap);
	va_end(ap);
}
