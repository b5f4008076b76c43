// SPDX-License-Identifier: GPL-2.0-only
/* The command lines of restore, snapshot, migrate, pause and resume. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migrate/channel.h"
#include "opts.h"
#include "opts_parser.h"
#include "registry.h"
#include "util/list.h"
#include "util/msg.h"

#define LEVEL_DEFAULT	1
#define DOWNTIME_MAX_MS	600000

/* ---- restore ---- */

static int restore_device(void *to, const char *value)
{
	((struct opts_restore *)to)->cfg.device = value;
	return 0;
}

static int restore_name(void *to, const char *value)
{
	if (!registry_name_valid(value))
		return msg_fail(-EINVAL, "--name %s: give up to %d letters, digits and '.', '_', '-', not beginning with one of these three",
				value, REGISTRY_NAME_MAX);
	((struct opts_restore *)to)->cfg.name = value;
	return 0;
}

static int restore_verify(void *to, const char *value)
{
	static const struct {
		const char *name;
		enum verify verify;
	} words[] = {
		{ "behind", VERIFY_BEHIND },
		{ "first", VERIFY_FIRST },
		{ "never", VERIFY_NEVER },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(words[i].name, value))
			continue;
		((struct opts_restore *)to)->cfg.verify = words[i].verify;
		return 0;
	}
	return msg_fail(-EINVAL, "--verify %s: give behind, first or never",
			value);
}

static int restore_trust(void *to, const char *value)
{
	(void)value;
	((struct opts_restore *)to)->trust = true;
	return 0;
}

static int restore_user(void *to, const char *value)
{
	return opts_set_user(&((struct opts_restore *)to)->cfg, value);
}

static int restore_seccomp(void *to, const char *value)
{
	return opts_set_seccomp(&((struct opts_restore *)to)->cfg, value);
}

static const struct opt restore_opts[] = {
	{ "--name", "NAME", restore_name, "for the other commands (vm-PID)" },
	{ "--device", "PATH", restore_device,
	  "KVM device (" KVM_DEVICE_DEFAULT ")" },
	{ "--verify", "WHEN", restore_verify,
	  "check the file's memory behind the running guest, first or never (behind)" },
	{ "--trust", NULL, restore_trust,
	  "though others can have written FILE, open the disks and files that it names" },
	{ "--user", "NAME", restore_user, OPTS_USER_HELP },
	{ "--seccomp", "on|off", restore_seccomp, OPTS_SECCOMP_HELP },
	{ "--help", NULL, NULL, "this text" },
};

int opts_parse_restore(struct opts_restore *opts, int argc, char **argv)
{
	struct opts_parser parser = {
		.command = "restore", .opts = restore_opts,
		.nr = ARRAY_SIZE(restore_opts), .to = opts,
		.help = &opts->help, .argc = argc, .argv = argv, .max_plain = 1,
	};
	int err;

	memset(opts, 0, sizeof(*opts));
	snprintf(opts->name, sizeof(opts->name), "vm-%d", (int)getpid());
	opts->cfg.name = opts->name;
	opts->cfg.origin = ORIGIN_SNAPSHOT;
	err = opts_parse(&parser);
	opts->cfg.from = parser.plain[0];
	if (!err && !opts->help && !opts->cfg.from)
		err = msg_fail(-EINVAL, "the snapshot's file is missing: " HELP_HINT,
			       "restore");
	return err;
}

void opts_help_restore(FILE *out)
{
	fputs("usage: vmrun restore FILE [options]\n\n"
	      "Runs the machine that 'vmrun snapshot' left in FILE, from where it was. Its memory\n"
	      "is read from the file as the guest needs it, so the file must stay.\n\n",
	      out);
	opts_help_table(out, restore_opts, ARRAY_SIZE(restore_opts));
}

/* ---- migrate ---- */

static int migrate_downtime(void *to, const char *value)
{
	unsigned long n;

	if (opts_number(value, 1, DOWNTIME_MAX_MS, &n))
		return msg_fail(-EINVAL, "--downtime-limit %s: give a number of milliseconds from 1 to %d",
				value, DOWNTIME_MAX_MS);
	((struct opts_migrate *)to)->move.downtime_ms = (uint32_t)n;
	return 0;
}

static int migrate_bandwidth(void *to, const char *value)
{
	if (opts_size(value, &((struct opts_migrate *)to)->move.bandwidth) ||
	    !((struct opts_migrate *)to)->move.bandwidth)
		return msg_fail(-EINVAL, "--max-bandwidth %s: give a size, for each second, like 100M or 1G",
				value);
	return 0;
}

static int migrate_compress(void *to, const char *value)
{
	struct source_opts *move = &((struct opts_migrate *)to)->move;
	unsigned long level = LEVEL_DEFAULT;

	if (!strcmp(value, "none")) {
		move->level = 0;
		return 0;
	}
	if (strncmp(value, "zstd", 4) ||
	    (value[4] && (value[4] != '=' ||
			  opts_number(value + 5, 1, SOURCE_LEVEL_MAX, &level))))
		return msg_fail(-EINVAL, "--compress %s: give none, zstd or zstd=LEVEL with a level from 1 to %d",
				value, SOURCE_LEVEL_MAX);
	move->level = (int)level;
	return 0;
}

static int migrate_streams(void *to, const char *value)
{
	unsigned long n;

	if (opts_number(value, 1, SOURCE_STREAMS_MAX, &n))
		return msg_fail(-EINVAL, "--streams %s: give a number from 1 to %d",
				value, SOURCE_STREAMS_MAX);
	((struct opts_migrate *)to)->move.streams = (uint32_t)n;
	return 0;
}

static int migrate_timeout(void *to, const char *value)
{
	unsigned long n;

	if (opts_number(value, 1, SOURCE_TIMEOUT_MAX_S, &n))
		return msg_fail(-EINVAL, "--timeout %s: give a number of seconds from 1 to %d",
				value, SOURCE_TIMEOUT_MAX_S);
	((struct opts_migrate *)to)->move.timeout_s = (uint32_t)n;
	return 0;
}

static int migrate_postcopy(void *to, const char *value)
{
	(void)value;
	((struct opts_migrate *)to)->move.postcopy = true;
	return 0;
}

static int migrate_check(void *to, const char *value)
{
	(void)value;
	((struct opts_migrate *)to)->move.check = true;
	return 0;
}

static int migrate_cancel(void *to, const char *value)
{
	(void)value;
	((struct opts_migrate *)to)->cancel = true;
	return 0;
}

static const struct opt migrate_opts[] = {
	{ "--downtime-limit", "MS", migrate_downtime,
	  "the longest stop of the guest that is aimed at (300)" },
	{ "--max-bandwidth", "SIZE", migrate_bandwidth,
	  "bytes a second while the guest runs (no limit)" },
	{ "--compress", "HOW", migrate_compress,
	  "none, zstd or zstd=LEVEL (zstd)" },
	{ "--streams", "N", migrate_streams, "connections, each with a thread (1)" },
	{ "--timeout", "SECONDS", migrate_timeout,
	  "how long the other side may be silent (60)" },
	{ "--postcopy", NULL, migrate_postcopy,
	  "start it there after one round, memory follows on demand" },
	{ "--check", NULL, migrate_check,
	  "compare all memory before it starts there" },
	{ "--cancel", NULL, migrate_cancel, "end a move that is under way" },
	{ "--help", NULL, NULL, "this text" },
};

int opts_parse_migrate(struct opts_migrate *opts, int argc, char **argv)
{
	struct opts_parser parser = {
		.command = "migrate", .opts = migrate_opts,
		.nr = ARRAY_SIZE(migrate_opts), .to = opts,
		.help = &opts->help, .argc = argc, .argv = argv, .max_plain = 2,
	};
	int err;

	memset(opts, 0, sizeof(*opts));
	opts->move.downtime_ms = SOURCE_DOWNTIME_MS;
	opts->move.level = LEVEL_DEFAULT;
	opts->move.streams = 1;
	opts->move.timeout_s = SOURCE_TIMEOUT_S;
	err = opts_parse_named(&parser, &opts->name);
	opts->move.uri = parser.plain[1];
	if (err || opts->help || opts->cancel)
		return err;
	if (!opts->move.uri)
		return msg_fail(-EINVAL, "migrate %s: where to is missing: " HELP_HINT,
				opts->name, "migrate");
	return channel_check("migrate", opts->move.uri);
}

void opts_help_migrate(FILE *out)
{
	fputs("usage: vmrun migrate NAME URI [options]\n"
	      "       vmrun migrate NAME --cancel\n\n"
	      "Moves the machine to where 'vmrun run … --incoming URI' awaits it, while it runs.\n"
	      "Ctrl-c cancels. A move that fails leaves it here.\n\n",
	      out);
	opts_help_table(out, migrate_opts, ARRAY_SIZE(migrate_opts));
}

/* ---- pause, resume, snapshot ---- */

static const struct opt no_opts[] = {
	{ "--help", NULL, NULL, "this text" },
};

static int named_parse(struct opts_named *opts, const char *command,
		       size_t plain, int argc, char **argv)
{
	struct opts_parser parser = {
		.command = command, .opts = no_opts, .nr = ARRAY_SIZE(no_opts),
		.to = opts, .help = &opts->help, .argc = argc, .argv = argv,
		.max_plain = plain,
	};
	int err;

	memset(opts, 0, sizeof(*opts));
	err = opts_parse_named(&parser, &opts->name);
	opts->file = parser.plain[1];
	return err;
}

int opts_parse_named_only(struct opts_named *opts, const char *command,
			  int argc, char **argv)
{
	return named_parse(opts, command, 1, argc, argv);
}

int opts_parse_snapshot(struct opts_named *opts, int argc, char **argv)
{
	int err = named_parse(opts, "snapshot", 2, argc, argv);

	if (!err && !opts->help && !opts->file)
		err = msg_fail(-EINVAL, "snapshot %s: the file is missing: " HELP_HINT,
			       opts->name, "snapshot");
	return err;
}

void opts_help_named_only(FILE *out, const char *command)
{
	fprintf(out, "usage: vmrun %s NAME\n\n%s\n", command,
		strcmp(command, "pause") ?
		"Lets a paused machine go on." :
		"Stops the machine's vCPUs until 'vmrun resume'.");
}

void opts_help_snapshot(FILE *out)
{
	fputs("usage: vmrun snapshot NAME FILE\n\n"
	      "Writes the machine as it is now to FILE, for 'vmrun restore'. The guest stands\n"
	      "still for a moment only. Disks are not part of it.\n", out);
}
