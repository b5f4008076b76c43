// SPDX-License-Identifier: GPL-2.0-only
/* Command lines, of all subcommands; an argument ends with a newline. */
#include <stdio.h>

#include "fuzz/rig.h"
#include "migrate/channel.h"
#include "opts.h"
#include "registry.h"

#define ARGS_MAX	16

static struct board b;

static void parse_run(int argc, char **argv)
{
	struct opts_run opts;

	if (!opts_parse_run(&opts, argc, argv) && !opts.help)
		fuzz_assert(opts.cfg.name && opts.cfg.append && opts.cfg.cpus && opts.cfg.cpus <= MACHINE_MAX_CPUS &&
			    opts.cfg.mem && !(opts.cfg.mem & 4095) && opts.cfg.nr_disks <= MACHINE_MAX_DISKS);
}

static void parse_restore(int argc, char **argv)
{
	struct opts_restore opts;

	if (!opts_parse_restore(&opts, argc, argv) && !opts.help)
		fuzz_assert(opts.cfg.from);
}

static void parse_migrate(int argc, char **argv)
{
	struct opts_migrate opts;

	if (!opts_parse_migrate(&opts, argc, argv) && !opts.help)
		fuzz_assert(opts.name && (opts.cancel || opts.move.uri));
}

static void parse_snapshot(int argc, char **argv)
{
	struct opts_named opts;

	if (!opts_parse_snapshot(&opts, argc, argv) && !opts.help)
		fuzz_assert(opts.name && opts.file);
}

static void parse_pause(int argc, char **argv)
{
	struct opts_named opts;

	if (!opts_parse_named_only(&opts, "pause", argc, argv) && !opts.help)
		fuzz_assert(opts.name);
}

static void parse_stop(int argc, char **argv)
{
	struct opts_stop opts;

	opts_parse_stop(&opts, argc, argv);
}

static void parse_stats(int argc, char **argv)
{
	struct opts_stats opts;

	if (!opts_parse_stats(&opts, argc, argv) && !opts.help)
		fuzz_assert(opts.interval);
}

static void check_words(int argc, char **argv)
{
	struct sockaddr_un addr;

	for (int i = 0; i < argc; i++) {
		channel_check("x", argv[i]);
		if (registry_name_valid(argv[i]))
			registry_address(argv[i], &addr);
	}
}

static void (*const commands[])(int argc, char **argv) = {
	parse_run, parse_restore, parse_migrate, parse_snapshot, parse_pause, parse_stop, parse_stats, check_words,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t command = fuzz_u8(&in);
	char *argv[ARGS_MAX + 1] = { NULL };
	int argc = 0;

	if (!b.m.cfg.name)
		rig_init(&b, 4096);
	while (in.left && argc < ARGS_MAX) {
		const char *end = memchr(in.p, '\n', in.left);
		size_t len = end ? (size_t)(end - (const char *)in.p) : in.left;

		argv[argc++] = strndup((const char *)in.p, len);
		in.p += len + !!end;
		in.left -= len + !!end;
	}
	commands[command % (sizeof(commands) / sizeof(commands[0]))](argc, argv);
	while (argc)
		free(argv[--argc]);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static const struct {
		uint8_t command;
		const char *args;
	} seeds[] = {
		{ 0, "--kernel\nk\n--initrd=i\n--append\na=b\n--cpus=4\n--mem\n1G\n--disk\nd,ro\n--net=tap=t\n--name\nn" },
		{ 0, "--kernel\nk\n--incoming\ntcp:[::1]:7\n--no-reboot\n--user=u\n--seccomp\noff\n--net\nuser\n--device\n/d" },
		{ 1, "file\n--name=n\n--verify\nfirst\n--device\n/dev/kvm\n--help" },
		{ 2, "vm\ntcp:host:7\n--downtime-limit=1\n--max-bandwidth\n1M\n--compress=zstd=3\n--streams\n4\n--timeout=9" },
		{ 2, "vm\n--cancel\n--postcopy\n--check\n--compress\nnone" },
		{ 3, "vm\nfile" },
		{ 4, "vm" },
		{ 5, "vm\n--grace\n0" },
		{ 6, "vm\n--interval=5" },
		{ 7, "unix:/a\ntcp:[]:1\nname-1.x_y" },
	};
	struct fuzz_out out = { data, 0 };

	if (i >= sizeof(seeds) / sizeof(seeds[0]))
		return 0;
	fuzz_put_int(&out, seeds[i].command, 1);
	fuzz_put(&out, seeds[i].args, strlen(seeds[i].args));
	return out.len;
}
