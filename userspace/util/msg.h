/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages to the user. One call is one line on stderr, starting with
 * "vmrun: "; a failure names the thing that failed and the way out.
 */
#ifndef VMRUN_UTIL_MSG_H
#define VMRUN_UTIL_MSG_H

/**
 * msg_fail - tell the user why something failed
 * @err: a negative errno value
 * @fmt: the line, without prefix and newline
 *
 * Return: @err, so that callers can write "return msg_fail(-ENOENT, …)".
 * Only the function that knows the user's own name for the thing reports;
 * everything above it passes the errno on in silence.
 */
int msg_fail(int err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void msg_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * What came from a file, a peer or another machine may hold control characters, which terminals obey, those behind ASCII
 * (U+0080 … U+009F) as well. Messages are cleaned of them anyway.
 */
void msg_clean(char *text);

/*
 * Text as it is. Like all messages it is given up when stderr stays stalled: those who report
 * may be the loop's thread, or hold a device's lock.
 */
void msg_text(const char *text);

#endif
