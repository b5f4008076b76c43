/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The running machines of this user: one socket each in /run/vmrun (root) or
 * $XDG_RUNTIME_DIR/vmrun. There is no daemon: a machine is in the list as long as
 * its socket answers, and sockets of the dead are removed by whoever meets them.
 */
#ifndef VMRUN_REGISTRY_H
#define VMRUN_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#define REGISTRY_NAME_MAX 40

/* Letters, digits, and "._-" not at the beginning. */
bool registry_name_valid(const char *name);

/* Address of a machine's socket; -ENAMETOOLONG if the directory's path is too long. */
int registry_address(const char *name, struct sockaddr_un *addr);

/* Makes the directory, 0700. */
int registry_make_dir(void);

/*
 * Against those who look whether a socket of the directory is a dead machine's. Return: a descriptor that holds the lock
 * until it is closed, or -errno.
 */
int registry_lock(void);

/*
 * A connection to machine @name for subcommand @what: the socket, or -errno
 * after a message.
 */
int registry_open(const char *what, const char *name);

/*
 * One command, with its newline, and the line that answers it, without.
 * Return: 0, -EPROTO when it does not begin with "ok", or -errno; no message.
 */
int registry_ask(int fd, const char *command, char *reply, size_t size);
/* What a machine says that refuses, in an answer that gave this error; NULL: something else went wrong. */
const char *registry_refusal(int err, const char *reply);
/* Waits for so many milliseconds at most. */
int registry_ask_for(int fd, int ms, const char *command, char *reply,
		     size_t size);
/* With a descriptor for the machine. */
int registry_ask_with(int fd, int ms, const char *command, int passed,
		      char *reply, size_t size);

/* The subcommands; both report errors and return 0 or -errno. */
int registry_list(void);
int registry_stop(const char *name, unsigned int grace);

#endif
