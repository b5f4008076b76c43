// SPDX-License-Identifier: GPL-2.0-only
#include "opts.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm.h"
#include "migrate/channel.h"
#include "opts_parser.h"
#include "registry.h"
#include "util/list.h"
#include "util/msg.h"

#define MEM_DEFAULT	MIB(512)
#define MEM_MIN		MIB(16)
#define MEM_MAX		GIB(4096)
#define GRACE_DEFAULT	30
#define GRACE_MAX	86400
#define INTERVAL_DEFAULT	1
#define INTERVAL_MAX	3600

/* ---- options of run ---- */

static int run_kernel(void *to, const char *value)
{
	((struct opts_run *)to)->cfg.kernel = value;
	return 0;
}

static int run_initrd(void *to, const char *value)
{
	((struct opts_run *)to)->cfg.initrd = value;
	return 0;
}

static int run_append(void *to, const char *value)
{
	((struct opts_run *)to)->cfg.append = value;
	return 0;
}

static int run_device(void *to, const char *value)
{
	((struct opts_run *)to)->cfg.device = value;
	return 0;
}

static int run_cpus(void *to, const char *value)
{
	struct opts_run *opts = to;
	unsigned long n;

	if (opts_number(value, 1, MACHINE_MAX_CPUS, &n))
		return msg_fail(-EINVAL, "--cpus %s: give a number from 1 to %d",
				value, MACHINE_MAX_CPUS);
	opts->cfg.cpus = (unsigned int)n;
	return 0;
}

/* KVM wants whole pages. */
static int run_mem(void *to, const char *value)
{
	struct opts_run *opts = to;
	uint64_t size;
	int err = opts_size(value, &size);

	if (err == -EINVAL)
		return msg_fail(err, "--mem %s: not a size: give one like 512M or 4G",
				value);
	if (err || size < MEM_MIN || size > MEM_MAX || size & 4095)
		return msg_fail(-EINVAL, "--mem %s: give a size from %lluM to %lluG, in whole pages",
				value, (unsigned long long)(MEM_MIN >> 20),
				(unsigned long long)(MEM_MAX >> 30));
	opts->cfg.mem = size;
	return 0;
}

/* FILE or FILE,ro: the option's own copy of the argument is cut at the comma. */
static int run_disk(void *to, const char *value)
{
	struct machine_config *cfg = &((struct opts_run *)to)->cfg;
	struct disk_config *disk;
	char *comma = strrchr(value, ',');

	if (cfg->nr_disks == MACHINE_MAX_DISKS)
		return msg_fail(-EINVAL, "--disk %s: %d disks are the most",
				value, MACHINE_MAX_DISKS);
	disk = &cfg->disks[cfg->nr_disks++];
	disk->path = value;
	disk->ro = comma && !strcmp(comma, ",ro");
	if (disk->ro)
		*comma = '\0';
	if (!disk->path[0])
		return msg_fail(-EINVAL, "--disk: the file's name is missing");
	return 0;
}

static int run_net(void *to, const char *value)
{
	struct net_config *net = &((struct opts_run *)to)->cfg.net;

	if (!strcmp(value, "none")) {
		net->kind = NET_NONE;
	} else if (!strcmp(value, "user")) {
		net->kind = NET_USER;
	} else if (!strncmp(value, "tap=", 4) && value[4] &&
		   strlen(value + 4) < IFNAMSIZ) {
		net->kind = NET_TAP;
		net->tap = value + 4;
	} else {
		return msg_fail(-EINVAL, "--net %s: give none, user or tap=INTERFACE",
				value);
	}
	return 0;
}

static int run_name(void *to, const char *value)
{
	if (!registry_name_valid(value))
		return msg_fail(-EINVAL, "--name %s: give up to %d letters, digits and '.', '_', '-', not beginning with one of these three",
				value, REGISTRY_NAME_MAX);
	((struct opts_run *)to)->cfg.name = value;
	return 0;
}

static int run_incoming(void *to, const char *value)
{
	struct machine_config *cfg = &((struct opts_run *)to)->cfg;

	cfg->origin = ORIGIN_INCOMING;
	cfg->from = value;
	return channel_check("--incoming", value);
}

int opts_set_user(struct machine_config *cfg, const char *value)
{
	if (!value[0])
		return msg_fail(-EINVAL, "--user: the user's name is missing");
	cfg->user = value;
	return 0;
}

int opts_set_seccomp(struct machine_config *cfg, const char *value)
{
	bool on;

	if (opts_switch(value, &on))
		return msg_fail(-EINVAL, "--seccomp %s: give on or off", value);
	cfg->no_seccomp = !on;
	return 0;
}

static int run_user(void *to, const char *value)
{
	return opts_set_user(&((struct opts_run *)to)->cfg, value);
}

static int run_seccomp(void *to, const char *value)
{
	return opts_set_seccomp(&((struct opts_run *)to)->cfg, value);
}

static int run_no_reboot(void *to, const char *value)
{
	(void)value;
	((struct opts_run *)to)->cfg.no_reboot = true;
	return 0;
}

static int stop_grace(void *to, const char *value)
{
	unsigned long n;

	if (opts_number(value, 0, GRACE_MAX, &n))
		return msg_fail(-EINVAL, "--grace %s: give a number of seconds up to %d",
				value, GRACE_MAX);
	((struct opts_stop *)to)->grace = (unsigned int)n;
	return 0;
}

static int stats_interval(void *to, const char *value)
{
	unsigned long n;

	if (opts_number(value, 1, INTERVAL_MAX, &n))
		return msg_fail(-EINVAL, "--interval %s: give a number of seconds from 1 to %d",
				value, INTERVAL_MAX);
	((struct opts_stats *)to)->interval = (unsigned int)n;
	return 0;
}

static const struct opt run_opts[] = {
	{ "--kernel", "FILE", run_kernel,
	  "bzImage, or ELF kernel with a PVH entry (required without --incoming)" },
	{ "--initrd", "FILE", run_initrd, "initial RAM disk" },
	{ "--append", "STRING", run_append,
	  "kernel command line (console=ttyS0 if not given)" },
	{ "--cpus", "N", run_cpus, "virtual CPUs (1)" },
	{ "--mem", "SIZE", run_mem, "memory: 512M, 4G, … (512M)" },
	{ "--disk", "FILE[,ro]", run_disk,
	  "raw image or block device; may be repeated" },
	{ "--net", "KIND", run_net,
	  "none, user (no privileges needed) or tap=INTERFACE (none)" },
	{ "--device", "PATH", run_device,
	  "KVM device (" KVM_DEVICE_DEFAULT ")" },
	{ "--name", "NAME", run_name, "for the other commands (vm-PID)" },
	{ "--incoming", "URI", run_incoming,
	  "await a machine that moves here: tcp:HOST:PORT or unix:PATH" },
	{ "--no-reboot", NULL, run_no_reboot,
	  "end with status 3 when the guest resets" },
	{ "--user", "NAME", run_user, OPTS_USER_HELP },
	{ "--seccomp", "on|off", run_seccomp, OPTS_SECCOMP_HELP },
	{ "--help", NULL, NULL, "this text" },
};

static const struct opt stop_opts[] = {
	{ "--grace", "SECONDS", stop_grace,
	  "time to power off before it is ended; 0: at once (30)" },
	{ "--help", NULL, NULL, "this text" },
};

static const struct opt stats_opts[] = {
	{ "--interval", "SECONDS", stats_interval,
	  "time over which rates are taken (1)" },
	{ "--help", NULL, NULL, "this text" },
};

/* ---- parsing ---- */

int opts_parse_run(struct opts_run *opts, int argc, char **argv)
{
	struct opts_parser parser = {
		.command = "run", .opts = run_opts,
		.nr = ARRAY_SIZE(run_opts), .to = opts, .help = &opts->help,
		.argc = argc, .argv = argv,
	};
	int err;

	memset(opts, 0, sizeof(*opts));
	snprintf(opts->name, sizeof(opts->name), "vm-%d", (int)getpid());
	opts->cfg.name = opts->name;
	opts->cfg.append = "console=ttyS0";
	opts->cfg.cpus = 1;
	opts->cfg.mem = MEM_DEFAULT;
	err = opts_parse(&parser);
	if (err || opts->help)
		return err;
	if (!opts->cfg.kernel && opts->cfg.origin == ORIGIN_BOOT)
		return msg_fail(-EINVAL, "--kernel FILE is missing: " HELP_HINT,
				"run");
	return 0;
}

int opts_parse_stop(struct opts_stop *opts, int argc, char **argv)
{
	struct opts_parser parser = {
		.command = "stop", .opts = stop_opts,
		.nr = ARRAY_SIZE(stop_opts), .to = opts, .help = &opts->help,
		.argc = argc, .argv = argv, .max_plain = 1,
	};

	memset(opts, 0, sizeof(*opts));
	opts->grace = GRACE_DEFAULT;
	return opts_parse_named(&parser, &opts->name);
}

int opts_parse_stats(struct opts_stats *opts, int argc, char **argv)
{
	struct opts_parser parser = {
		.command = "stats", .opts = stats_opts,
		.nr = ARRAY_SIZE(stats_opts), .to = opts, .help = &opts->help,
		.argc = argc, .argv = argv, .max_plain = 1,
	};

	memset(opts, 0, sizeof(*opts));
	opts->interval = INTERVAL_DEFAULT;
	return opts_parse_named(&parser, &opts->name);
}

/* ---- help ---- */

void opts_help(FILE *out)
{
	fputs("usage: vmrun run --kernel FILE [options]\n"
	      "       vmrun restore FILE [options]\n"
	      "       vmrun list\n"
	      "       vmrun pause NAME\n"
	      "       vmrun resume NAME\n"
	      "       vmrun snapshot NAME FILE\n"
	      "       vmrun migrate NAME URI [options]\n"
	      "       vmrun stop NAME [--grace SECONDS]\n"
	      "       vmrun stats NAME [--interval SECONDS]\n"
	      "       vmrun version\n"
	      "\n"
	      "vmrun runs virtual machines on " KVM_DEVICE_DEFAULT " or any other device that\n"
	      "speaks KVM's interface. 'vmrun run --help' tells of the options.\n",
	      out);
}

void opts_help_run(FILE *out)
{
	fputs("usage: vmrun run --kernel FILE [options]\n\n", out);
	opts_help_table(out, run_opts, ARRAY_SIZE(run_opts));
	fputs("\n"
	      "The guest's serial port is the terminal: Ctrl-a x ends the machine, Ctrl-a h\n"
	      "shows more keys. Exit status: 0 the guest powered off or was ended by the user,\n"
	      "1 an error, 3 the guest reset under --no-reboot, or its kernel is not known here.\n", out);
}

void opts_help_stop(FILE *out)
{
	fputs("usage: vmrun stop NAME [--grace SECONDS]\n\n"
	      "Presses the machine's power button and ends it if that does not help.\n\n",
	      out);
	opts_help_table(out, stop_opts, ARRAY_SIZE(stop_opts));
}

void opts_help_stats(FILE *out)
{
	fputs("usage: vmrun stats NAME [--interval SECONDS]\n\n"
	      "Shows what each vCPU's exits are: live on a terminal (Ctrl-c leaves), else once.\n\n",
	      out);
	opts_help_table(out, stats_opts, ARRAY_SIZE(stats_opts));
}
