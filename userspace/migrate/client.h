/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The subcommands that talk to a running machine: they report errors and return 0 or -errno.
 */
#ifndef VMRUN_MIGRATE_CLIENT_H
#define VMRUN_MIGRATE_CLIENT_H

struct opts_migrate;

int client_migrate(const struct opts_migrate *opts);
int client_snapshot(const char *name, const char *file);
/* pause, resume */
int client_command(const char *command, const char *name);

#endif
