// SPDX-License-Identifier: GPL-2.0-only
/* Command lines, good and bad. Messages go to /dev/null. */
#include <errno.h>
#include <string.h>

#include "opts.h"
#include "registry.h"
#include "tests/tap.h"
#include "util/list.h"

static struct opts_run run;
static char args[8][64];

/* A command line of words between single spaces, as private, writable copies. */
static int parse(const char *line)
{
	char *argv[8];
	int argc = 0;

	while (*line && argc < 8) {
		size_t len = strcspn(line, " ");

		snprintf(args[argc], sizeof(args[0]), "%.*s", (int)len, line);
		argv[argc] = args[argc];
		argc++;
		line += len + (line[len] == ' ');
	}
	return opts_parse_run(&run, argc, argv);
}

static void test_sizes(void)
{
	static const struct {
		const char *text;
		int err;
		uint64_t size;
	} sizes[] = {
		{ "512", 0, MIB(512) }, { "512M", 0, MIB(512) },
		{ "2g", 0, GIB(2) }, { "4096K", 0, MIB(4) },
		{ "1T", 0, GIB(1024) }, { "0", 0, 0 },
		{ "", -EINVAL, 0 }, { "M", -EINVAL, 0 }, { "-1", -EINVAL, 0 },
		{ "12X", -EINVAL, 0 }, { "12MB", -EINVAL, 0 },
		{ " 12", -EINVAL, 0 }, { "1.5G", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "18446744073709551615G", -ERANGE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t size = 0;
		int err = opts_size(sizes[i].text, &size);

		ok(err == sizes[i].err && size == sizes[i].size,
		   "size '%s'", sizes[i].text);
	}
}

static void test_good(void)
{
	ok(!parse("--kernel k") && run.cfg.cpus == 1 && !run.cfg.initrd &&
	   run.cfg.mem == MIB(512) && run.cfg.net.kind == NET_NONE &&
	   !strncmp(run.cfg.name, "vm-", 3), "defaults");
	ok(!parse("--kernel=k --cpus=4 --mem 1G --initrd i") &&
	   run.cfg.cpus == 4 && run.cfg.mem == GIB(1) &&
	   !strcmp(run.cfg.initrd, "i"), "values");
	ok(!parse("--kernel k --disk a --disk b,ro --disk c,d") &&
	   run.cfg.nr_disks == 3 && !run.cfg.disks[0].ro &&
	   run.cfg.disks[1].ro && !strcmp(run.cfg.disks[1].path, "b") &&
	   !strcmp(run.cfg.disks[2].path, "c,d"), "disks");
	ok(!parse("--kernel k --net tap=vnet0") &&
	   run.cfg.net.kind == NET_TAP && !strcmp(run.cfg.net.tap, "vnet0"),
	   "tap");
	ok(!parse("--kernel k --net user") && run.cfg.net.kind == NET_USER,
	   "user network");
	ok(!parse("--kernel k --append root=/dev/vda=1") &&
	   !strcmp(run.cfg.append, "root=/dev/vda=1"), "append");
	ok(!parse("--kernel k") && !run.cfg.user && !run.cfg.no_seccomp,
	   "filters, and the same user, unless told otherwise");
	ok(!parse("--kernel k --user u --seccomp off") &&
	   !strcmp(run.cfg.user, "u") && run.cfg.no_seccomp &&
	   !parse("--kernel k --seccomp on") && !run.cfg.no_seccomp, "sandbox");
	ok(!parse("--help") && run.help, "help");
}

static void test_bad(void)
{
	static const char *const lines[] = {
		"", "--kernel", "k", "--kernel k x", "--kernel k --frobnicate",
		"--kernel k --cpus 0", "--kernel k --cpus 256",
		"--kernel k --cpus 2x", "--kernel k --cpus -1",
		"--kernel k --cpus 99999999999999999999",
		"--kernel k --mem 0", "--kernel k --mem 1M",
		"--kernel k --mem 5T", "--kernel k --mem 65537K",
		"--kernel k --mem lots", "--kernel k --net bridge",
		"--kernel k --net tap=", "--kernel k --net tap=waytoolongname00",
		"--kernel k --name ../x", "--kernel k --name .x",
		"--kernel k --name a/b", "--kernel k --disk ,ro",
		"--kernel k --no-reboot=1", "--kernel k --user=",
		"--kernel k --seccomp", "--kernel k --seccomp no",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		ok(parse(lines[i]) == -EINVAL, "refused: '%s'", lines[i]);
}

static void test_stop(void)
{
	char name[] = "vm", grace[] = "--grace=5", zero[] = "--grace=-1";
	struct opts_stop stop;

	ok(!opts_parse_stop(&stop, 2, (char *[]){ name, grace }) &&
	   stop.grace == 5 && !strcmp(stop.name, "vm"), "stop");
	ok(opts_parse_stop(&stop, 0, NULL), "stop without a name");
	ok(opts_parse_stop(&stop, 2, (char *[]){ name, zero }),
	   "stop with a bad grace");
	ok(!registry_name_valid("") && !registry_name_valid("a b") &&
	   registry_name_valid("web-1.example_x"), "names");
}

static void test_restore(void)
{
	char file[] = "f", user[] = "--user=u", off[] = "--seccomp=off", bad[] = "--seccomp=?";
	struct opts_restore restore;

	ok(!opts_parse_restore(&restore, 3, (char *[]){ file, user, off }) &&
	   !strcmp(restore.cfg.from, "f") && !strcmp(restore.cfg.user, "u") &&
	   restore.cfg.no_seccomp, "restore");
	ok(opts_parse_restore(&restore, 2, (char *[]){ file, bad }),
	   "restore with a bad switch");
}

static void test_stats(void)
{
	char name[] = "vm", interval[] = "--interval=5", help[] = "--help";
	static const char *const bad[] = { "--interval=0", "--interval=1.5",
					   "--interval=3601", "--grace=1" };
	struct opts_stats stats;

	ok(!opts_parse_stats(&stats, 1, (char *[]){ name }) &&
	   stats.interval == 1 && !strcmp(stats.name, "vm"), "stats");
	ok(!opts_parse_stats(&stats, 2, (char *[]){ interval, name }) &&
	   stats.interval == 5, "stats with an interval");
	ok(!opts_parse_stats(&stats, 1, (char *[]){ help }) && stats.help,
	   "help of stats");
	ok(opts_parse_stats(&stats, 0, NULL), "stats without a name");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(args[0], sizeof(args[0]), "%s", bad[i]);
		ok(opts_parse_stats(&stats, 2, (char *[]){ name, args[0] }),
		   "stats refused: '%s'", bad[i]);
	}
}

int main(void)
{
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	test_sizes();
	test_good();
	test_bad();
	test_stop();
	test_restore();
	test_stats();
	return tap_done();
}
