/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the command lines of all subcommands have in common.
 */
#ifndef VMRUN_OPTS_PARSER_H
#define VMRUN_OPTS_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTS_PLAIN_MAX	2
#define HELP_HINT	"'vmrun %s --help' shows what there is"

struct opt {
	const char *name;
	const char *arg;	/* its name in the help, NULL: takes none */
	int (*set)(void *to, const char *value);	/* NULL: --help */
	const char *help;
};

struct opts_parser {
	const char *command;
	const struct opt *opts;
	size_t nr;
	void *to;
	bool *help;
	int argc;
	char **argv;
	int pos;
	const char *plain[OPTS_PLAIN_MAX];	/* arguments that are no options */
	size_t nr_plain, max_plain;
};

/* Return: 0, or -EINVAL after a message. */
int opts_parse(struct opts_parser *p);

/* The same, for a command whose first plain argument is a machine's name and must be there. */
int opts_parse_named(struct opts_parser *p, const char **name);

void opts_help_table(FILE *out, const struct opt *opts, size_t nr);

/* "on", "off". Return: 0 or -EINVAL. */
int opts_switch(const char *text, bool *on);

/* Values. Return: 0, -EINVAL for what is none, -ERANGE. */
int opts_number(const char *text, unsigned long min, unsigned long max,
		unsigned long *value);

#endif
