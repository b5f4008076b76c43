/* SPDX-License-Identifier: GPL-2.0-only */
/* Sockets in the file system. */
#ifndef VMRUN_UTIL_SOCKET_H
#define VMRUN_UTIL_SOCKET_H

/*
 * socket_remove - take away what a dead process has left
 *
 * connect() tells a socket that nobody listens at and a file that is no socket by the same error, so this looks:
 * nothing but a socket goes. Return: 0 or -errno; -EEXIST when it is something else.
 */
int socket_remove(const char *path);

#endif
