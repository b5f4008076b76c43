/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a running machine may still ask of its host.
 *
 * Files, devices and sockets are opened while the machine is made. Then sandbox_enter() gives up
 * what that needed: user (--user), capabilities, file system (Landlock, where the kernel has it), and all
 * system calls but those that its role needs. From there on no thread opens anything by its name,
 * executes anything or makes memory executable. What a machine needs later (a file for a snapshot, a connection for
 * a move) comes as a descriptor over the control socket, from the command that was asked for it.
 *
 * Filters belong to threads: see roles.c. A thread that is made before sandbox_enter() goes through
 * the same steps by itself, before it runs any of its own code; one that is made later has inherited them, and only
 * adds its own filter. thread.h does both.
 */
#ifndef VMRUN_SANDBOX_SANDBOX_H
#define VMRUN_SANDBOX_SANDBOX_H

#include <stdbool.h>

struct machine_config;
struct sandbox;

enum role {
	ROLE_MAIN,	/* the loop: devices but for disks, control socket */
	ROLE_VCPU,
	ROLE_DISK,
	ROLE_NET,	/* the user network: sockets, but no devices */
	ROLE_CONSOLE,	/* writes to stdout */
	ROLE_MIGRATE,	/* both sides of a move */
	ROLE_VERIFY,	/* reads a snapshot */
	ROLE_WRITER,	/* the process that writes one */
	ROLES
};

/* Prepares it all, and changes nothing yet but the rights of threads to come. Reports errors. */
int sandbox_create(struct sandbox **sandbox, const struct machine_config *cfg);
void sandbox_destroy(struct sandbox *sandbox);

/*
 * For the calling thread, which is the loop's; all files are open. @sockets: names that are to be removed at the end, so
 * files in their directories still can be; any of the @nr may be NULL. Reports errors.
 */
int sandbox_enter(struct sandbox *sandbox, const char *const *sockets, unsigned int nr);

/* Whether that was called: what a thread made now inherits. */
bool sandbox_entered(const struct sandbox *sandbox);

/*
 * For the calling thread. @fd: the image of ROLE_DISK. @inherited: what sandbox_entered() said when the
 * thread was made. Return: 0 or -errno.
 */
int sandbox_thread(struct sandbox *sandbox, enum role role, int fd, bool inherited);

#endif
