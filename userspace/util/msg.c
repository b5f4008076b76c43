// SPDX-License-Identifier: GPL-2.0-only
#include "msg.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define MSG_MAX 1024
#define MSG_PATIENCE_MS 1000

/* One write, so that texts of several threads do not mix. */
void msg_text(const char *text)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&pfd, 1, MSG_PATIENCE_MS) > 0)
		fputs(text, stderr);
}

void msg_clean(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
			*c = '?';
}

static void msg_print(const char *fmt, va_list ap)
{
	char line[MSG_MAX + 16], text[MSG_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	msg_clean(text);
	snprintf(line, sizeof(line), "vmrun: %s\n", text);
	msg_text(line);
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
