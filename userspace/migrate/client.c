// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "migrate/channel.h"
#include "opts.h"
#include "registry.h"
#include "util/msg.h"

#define REPLY_MAX	(JOB_TEXT_MAX + 64)
#define POLL_MS		100
#define PATIENCE_MS	60000	/* a machine that stops or copies itself is busy */
#define BAR_WIDTH	30
#define WHY_MAX		200
#define PART		".part"

struct client {
	const char *command, *name;
	int fd;
	bool bar;		/* a terminal sees progress */
	const char *uri;	/* of a move; NULL: this is none */
	uint64_t brought;	/* connections to there */
	char reply[REPLY_MAX];
};

/* What signals touch */
static volatile sig_atomic_t interrupted;
static int interrupt_fd = -1;		/* eventfd, for who waits in poll() */
static const char *interrupt_part;	/* a file that must not stay; NULL: none */

/* The second one leaves at once, whatever becomes of the job. */
static void on_interrupt(int sig)
{
	int saved = errno;

	(void)sig;
	if (interrupted) {
		if (interrupt_part)
			unlink(interrupt_part);
		_exit(EXIT_FAILURE);
	}
	interrupted = 1;
	eventfd_write(interrupt_fd, 1);
	errno = saved;
}

/* ---- asking ---- */

static int client_open(struct client *c, const char *command, const char *name)
{
	*c = (struct client){ .command = command, .name = name };
	c->bar = isatty(STDOUT_FILENO);
	c->fd = registry_open(command, name);
	return c->fd < 0 ? c->fd : 0;
}

static int client_ask_with(struct client *c, const char *line, int passed)
{
	int err = registry_ask_with(c->fd, PATIENCE_MS, line, passed, c->reply,
				    sizeof(c->reply));

	if (registry_refusal(err, c->reply))
		return msg_fail(err, "%s %s: %s", c->command, c->name,
				registry_refusal(err, c->reply));
	if (err == -EPIPE || err == -ECONNRESET)
		return msg_fail(err, "%s %s: the machine has ended", c->command,
				c->name);
	if (err)
		return msg_fail(err, "%s %s: the machine does not answer",
				c->command, c->name);
	return 0;
}

static int client_ask(struct client *c, const char *line)
{
	return client_ask_with(c, line, -1);
}

/* The value of a word "key=…" in the answer; the last key's is the rest of the line. */
static const char *client_word(const struct client *c, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = c->reply; (at = strstr(at, key)); at += len)
		if (at > c->reply && at[-1] == ' ' && at[len] == '=')
			return at + len + 1;
	return "";
}

static uint64_t client_number(const struct client *c, const char *key)
{
	return strtoull(client_word(c, key), NULL, 10);
}

static bool client_is(const struct client *c, const char *key, const char *value)
{
	const char *word = client_word(c, key);
	size_t len = strlen(value);

	return !strncmp(word, value, len) && (!word[len] || word[len] == ' ');
}

/* ---- showing ---- */

static void print_size(double bytes, const char *after)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	while (bytes >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		bytes /= 1024;
		unit++;
	}
	printf(unit ? "%.1f %s%s" : "%.0f %s%s", bytes, units[unit], after);
}

static void show_bar(const struct client *c)
{
	uint64_t total = client_number(c, "total");
	uint64_t done = client_number(c, "done");
	double part = total ? (double)done / (double)total : 0;
	int filled = (int)(BAR_WIDTH * (part < 1 ? part : 1));
	const char *phase = client_word(c, "phase");

	printf("\r\033[K%.*s [%.*s%*s] ", (int)strcspn(phase, " "), phase,
	       filled, "##############################", BAR_WIDTH - filled, "");
	if (!strcmp(c->command, "migrate")) {
		print_size((double)client_number(c, "sent"), " sent, ");
		print_size((double)client_number(c, "remaining"), " left, ");
		print_size((double)client_number(c, "rate"), "/s, ");
		print_size((double)client_number(c, "dirty-rate") * 4096,
			   "/s written, ");
		printf("round %" PRIu64 ", stop of %" PRIu64 " ms expected",
		       client_number(c, "round"),
		       client_number(c, "expected-downtime"));
		if (client_number(c, "throttle"))
			printf(", held %" PRIu64 " %%",
			       client_number(c, "throttle"));
	}
	fflush(stdout);
}

static void end_bar(const struct client *c)
{
	if (c->bar)
		printf("\r\033[K");
	fflush(stdout);
}

/* ---- following a job to its end ---- */

static void nap(void)
{
	struct timespec t = { 0, POLL_MS * 1000000l };

	nanosleep(&t, NULL);
}

static void catch_interrupts(void)
{
	struct sigaction action = { .sa_handler = on_interrupt };

	interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/*
 * The machine cannot connect to anybody by itself: it is brought as many connections as it wants. Return: 0, or -errno
 * after a message; then the move is to end.
 */
static int bring_connections(struct client *c)
{
	char why[WHY_MAX];
	int fd, err = 0;

	while (!err && !interrupted && c->brought < client_number(c, "wanted")) {
		fd = channel_connect(c->uri, interrupt_fd, why, sizeof(why));
		if (fd == -ECANCELED)
			break;
		if (fd < 0)
			return msg_fail(fd, "%s %s: %s: %s", c->command, c->name,
					c->uri, why);
		/* Refused when the job has ended meanwhile, which it tells itself. */
		registry_ask_with(c->fd, PATIENCE_MS, "connection\n", fd,
				  c->reply, sizeof(c->reply));
		close(fd);
		c->brought++;
		err = client_ask(c, "query-job\n");
	}
	return err;
}

/* The first Ctrl-c asks for an end; the answer tells whether it came in time. */
static int follow(struct client *c)
{
	int err, failed = 0;
	bool asked = false;

	for (;;) {
		if ((interrupted || failed) && !asked) {
			asked = true;
			err = client_ask(c, "cancel-job\n");
			if (err)
				return err;
		}
		err = client_ask(c, "query-job\n");
		if (err)
			return err;
		if (!client_is(c, "state", "running"))
			break;
		if (c->uri && !failed)
			failed = bring_connections(c);
		if (c->bar)
			show_bar(c);
		if (!failed || asked)
			nap();
	}
	end_bar(c);
	if (failed || client_is(c, "state", "done"))
		return failed;
	return msg_fail(-EIO, "%s %s: %s", c->command, c->name,
			client_word(c, "why"));
}

static int run_job(struct client *c, const char *line, int passed)
{
	int err = client_ask_with(c, line, passed);

	return err ? err : follow(c);
}

/* ---- the subcommands ---- */

int client_migrate(const struct opts_migrate *opts)
{
	const struct source_opts *move = &opts->move;
	struct client c;
	char line[PATH_MAX + 256];
	int err = client_open(&c, "migrate", opts->name);

	if (err)
		return err;
	if (opts->cancel) {
		err = client_ask(&c, "cancel-job\n");
	} else {
		snprintf(line, sizeof(line),
			 "migrate downtime=%" PRIu32 " bandwidth=%" PRIu64 " streams=%" PRIu32 " timeout=%" PRIu32 " level=%d postcopy=%d check=%d uri=%s\n",
			 move->downtime_ms, move->bandwidth, move->streams,
			 move->timeout_s, move->level, move->postcopy, move->check, move->uri);
		c.uri = move->uri;
		catch_interrupts();
		err = run_job(&c, line, -1);
	}
	if (!err && !opts->cancel) {
		printf("%s is at %s: %" PRIu64 " rounds, ", c.name, move->uri,
		       client_number(&c, "round"));
		print_size((double)client_number(&c, "sent"), " sent, ");
		printf("guest stopped for %" PRIu64 " ms",
		       client_number(&c, "downtime"));
		if (client_number(&c, "throttle"))
			printf(", held back up to %" PRIu64 " %% of the time",
			       client_number(&c, "throttle"));
		puts("");
	}
	close(c.fd);
	return err;
}

/* Into a file under another name, which has its own when it is complete. */
static int write_snapshot(struct client *c, const char *file, char *part)
{
	char line[PATH_MAX + 16];
	int fd = mkostemps(part, (int)strlen(PART), O_CLOEXEC), err;

	if (fd < 0)
		return msg_fail(-errno, "snapshot %s: %s: %s", c->name, file,
				strerror(errno));
	interrupt_part = part;
	catch_interrupts();
	snprintf(line, sizeof(line), "snapshot-to %s\n", file);
	err = run_job(c, line, fd);
	close(fd);
	interrupt_part = NULL;
	if (!err && rename(part, file))
		err = msg_fail(-errno, "snapshot %s: %s: %s", c->name, file,
			       strerror(errno));
	if (err)
		unlink(part);
	return err;
}

int client_snapshot(const char *name, const char *file)
{
	char part[PATH_MAX];
	struct client c;
	int err;

	if ((size_t)snprintf(part, sizeof(part), "%s.XXXXXX" PART, file) >= sizeof(part) ||
	    strchr(file, '\n'))
		return msg_fail(-ENAMETOOLONG, "snapshot %s %s: %s", name, file,
				strerror(ENAMETOOLONG));
	err = client_open(&c, "snapshot", name);
	if (err)
		return err;
	err = write_snapshot(&c, file, part);
	close(c.fd);
	return err;
}

int client_command(const char *command, const char *name)
{
	struct client c;
	char line[32];
	int err = client_open(&c, command, name);

	if (err)
		return err;
	snprintf(line, sizeof(line), "%s\n", command);
	err = client_ask(&c, line);
	close(c.fd);
	return err;
}
