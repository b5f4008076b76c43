// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmrun: runs virtual machines on KVM's interface. This file turns results into exit statuses; all
 * else is the library's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "migrate/client.h"
#include "migrate/snapshot.h"
#include "opts.h"
#include "registry.h"
#include "stats.h"
#include "util/list.h"
#include "util/msg.h"

#ifndef VMRUN_VERSION
#define VMRUN_VERSION "0.1"
#endif

static int run_machine(const struct machine_config *cfg)
{
	struct machine *m = malloc(sizeof(*m));
	int status = EXIT_FAILURE;

	if (!m) {
		msg_fail(0, "out of memory");
		return EXIT_FAILURE;
	}
	machine_block_signals();
	if (!machine_create(m, cfg)) {
		status = machine_exit_status(machine_run(m));
		machine_destroy(m);
	}
	free(m);
	return status;
}

static int cmd_run(int argc, char **argv)
{
	struct opts_run opts;

	if (opts_parse_run(&opts, argc, argv))
		return EXIT_FAILURE;
	if (!opts.help)
		return run_machine(&opts.cfg);
	opts_help_run(stdout);
	return EXIT_SUCCESS;
}

/* The configuration's strings live as long as the process. */
static int restore_machine(const struct opts_restore *opts)
{
	struct machine_config cfg = opts->cfg;
	struct snapshot *snapshot;
	int err;

	if (snapshot_open(&snapshot, cfg.from))
		return EXIT_FAILURE;
	err = opts->trust ? 0 : snapshot_check_owner(snapshot);
	if (!err)
		err = snapshot_config(snapshot, &cfg);
	snapshot_close(snapshot);
	if (err)
		return EXIT_FAILURE;
	cfg.name = opts->cfg.name;
	return run_machine(&cfg);
}

static int cmd_restore(int argc, char **argv)
{
	struct opts_restore opts;

	if (opts_parse_restore(&opts, argc, argv))
		return EXIT_FAILURE;
	if (!opts.help)
		return restore_machine(&opts);
	opts_help_restore(stdout);
	return EXIT_SUCCESS;
}

static int cmd_migrate(int argc, char **argv)
{
	struct opts_migrate opts;

	if (opts_parse_migrate(&opts, argc, argv))
		return EXIT_FAILURE;
	if (!opts.help)
		return client_migrate(&opts) ? EXIT_FAILURE : EXIT_SUCCESS;
	opts_help_migrate(stdout);
	return EXIT_SUCCESS;
}

static int cmd_snapshot(int argc, char **argv)
{
	struct opts_named opts;

	if (opts_parse_snapshot(&opts, argc, argv))
		return EXIT_FAILURE;
	if (!opts.help)
		return client_snapshot(opts.name, opts.file) ? EXIT_FAILURE :
							       EXIT_SUCCESS;
	opts_help_snapshot(stdout);
	return EXIT_SUCCESS;
}

static int cmd_named(const char *command, int argc, char **argv)
{
	struct opts_named opts;

	if (opts_parse_named_only(&opts, command, argc, argv))
		return EXIT_FAILURE;
	if (!opts.help)
		return client_command(command, opts.name) ? EXIT_FAILURE :
							    EXIT_SUCCESS;
	opts_help_named_only(stdout, command);
	return EXIT_SUCCESS;
}

static int cmd_pause(int argc, char **argv)
{
	return cmd_named("pause", argc, argv);
}

static int cmd_resume(int argc, char **argv)
{
	return cmd_named("resume", argc, argv);
}

static int cmd_list(int argc, char **argv)
{
	if (argc) {
		msg_fail(0, "%s: list takes no arguments", argv[0]);
		return EXIT_FAILURE;
	}
	return registry_list() ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int cmd_stop(int argc, char **argv)
{
	struct opts_stop opts;

	if (opts_parse_stop(&opts, argc, argv))
		return EXIT_FAILURE;
	if (!opts.help)
		return registry_stop(opts.name, opts.grace) ? EXIT_FAILURE :
							      EXIT_SUCCESS;
	opts_help_stop(stdout);
	return EXIT_SUCCESS;
}

static int cmd_stats(int argc, char **argv)
{
	struct opts_stats opts;

	if (opts_parse_stats(&opts, argc, argv))
		return EXIT_FAILURE;
	if (!opts.help)
		return stats_show(opts.name, opts.interval) ? EXIT_FAILURE :
							      EXIT_SUCCESS;
	opts_help_stats(stdout);
	return EXIT_SUCCESS;
}

static int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("vmrun " VMRUN_VERSION);
	return EXIT_SUCCESS;
}

static int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	opts_help(stdout);
	return EXIT_SUCCESS;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "run", cmd_run },
	{ "restore", cmd_restore },
	{ "migrate", cmd_migrate },
	{ "snapshot", cmd_snapshot },
	{ "pause", cmd_pause },
	{ "resume", cmd_resume },
	{ "list", cmd_list },
	{ "stop", cmd_stop },
	{ "stats", cmd_stats },
	{ "version", cmd_version },
	{ "--version", cmd_version },
	{ "help", cmd_help },
	{ "--help", cmd_help },
	{ "-h", cmd_help },
};

int main(int argc, char **argv)
{
	if (argc < 2) {
		opts_help(stderr);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, argv[1]))
			return commands[i].run(argc - 2, argv + 2);
	msg_fail(0, "%s: no such command: 'vmrun --help' shows those there are",
		 argv[1]);
	return EXIT_FAILURE;
}
