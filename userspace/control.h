/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket of a running machine: NAME.sock in the directory of
 * registry.h. A line in, a line out, both of plain words:
 *
 *	status		ok pid=… state=… cpus=… mem=… hvc0=… kernel=…
 *	powerdown	ok		(presses the power button)
 *	quit		ok		(ends the machine)
 *	pause, resume	ok
 *	snapshot-to NAME	ok	(has begun: a job; the file comes with the line)
 *	migrate …	ok		(likewise: see command_migrate())
 *	connection	ok		(for that, when it wants one: it comes with the line)
 *	query-job	ok job=… state=… …	(job.h)
 *	cancel-job	ok
 *	query-stats N	ok cpus=… COUNTER=TOTAL …	(vCPU N's that are not zero)
 *
 * Anything else is answered "error …". The connection stays open until the
 * client closes it or the machine is gone.
 *
 * This process opens nothing by its name any more (sandbox/sandbox.h). A descriptor comes as SCM_RIGHTS, one with a
 * line: for snapshot-to a regular file that can be written, for connection a stream socket, connected and not
 * blocking. A snapshot ends when its client goes.
 */
#ifndef VMRUN_CONTROL_H
#define VMRUN_CONTROL_H

struct machine;

/* Listens under machine.cfg.name; a name that is in use is an error. */
int control_create(struct machine *m);
void control_destroy(struct machine *m);
/* Takes the name away, for a process that cannot end in order. Any thread. */
void control_unlink(struct machine *m);
/* That name; NULL: there is none. */
const char *control_path(const struct machine *m);

#endif
