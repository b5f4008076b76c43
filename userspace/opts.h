/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The command line.
 */
#ifndef VMRUN_OPTS_H
#define VMRUN_OPTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "machine.h"
#include "migrate/source.h"

struct opts_run {
	struct machine_config cfg;
	char name[32];		/* cfg.name where the user gave none */
	bool help;
};

struct opts_stop {
	const char *name;
	unsigned int grace;	/* seconds */
	bool help;
};

struct opts_stats {
	const char *name;
	unsigned int interval;	/* seconds */
	bool help;
};

struct opts_restore {
	struct machine_config cfg;
	char name[32];
	bool trust;
	bool help;
};

struct opts_migrate {
	const char *name;
	struct source_opts move;
	bool cancel;
	bool help;
};

/* pause, resume, snapshot */
struct opts_named {
	const char *name;
	const char *file;	/* snapshot only */
	bool help;
};

/* Options that run and restore have in common. */
int opts_set_user(struct machine_config *cfg, const char *value);
int opts_set_seccomp(struct machine_config *cfg, const char *value);

#define OPTS_USER_HELP		"give up root for this user's rights, once all is open"
#define OPTS_SECCOMP_HELP	"on or off: without its filters of system calls, to debug it (on)"

/*
 * The arguments behind the subcommand. Strings are kept by reference. 0, or
 * -EINVAL after a message.
 */
int opts_parse_run(struct opts_run *opts, int argc, char **argv);
int opts_parse_stop(struct opts_stop *opts, int argc, char **argv);
int opts_parse_stats(struct opts_stats *opts, int argc, char **argv);

int opts_parse_restore(struct opts_restore *opts, int argc, char **argv);
int opts_parse_migrate(struct opts_migrate *opts, int argc, char **argv);
int opts_parse_named_only(struct opts_named *opts, const char *command,
			  int argc, char **argv);
int opts_parse_snapshot(struct opts_named *opts, int argc, char **argv);

void opts_help(FILE *out);
void opts_help_run(FILE *out);
void opts_help_stop(FILE *out);
void opts_help_stats(FILE *out);
void opts_help_restore(FILE *out);
void opts_help_migrate(FILE *out);
void opts_help_snapshot(FILE *out);
void opts_help_named_only(FILE *out, const char *command);

/* "512", "512M", "2G": bytes, a bare number counts MiB. 0 or -EINVAL, -ERANGE. */
int opts_size(const char *text, uint64_t *size);

#endif
