// SPDX-License-Identifier: GPL-2.0-only
#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "registry.h"
#include "util/msg.h"
#include "util/time.h"

#define REPLY_MAX	(COUNTERS_TEXT_MAX + 64)
#define CPUS_MAX	4096	/* guards against nonsense */
#define ROWS_MIN	3
#define CLEAR		"\033[H\033[J"

/* ---- samples ---- */

static bool counter_parse(struct stats_counter *counter, const char *word)
{
	size_t len = strcspn(word, "= ");
	char *end;

	if (!len || len >= sizeof(counter->name) || word[len] != '=')
		return false;
	memcpy(counter->name, word, len);
	counter->name[len] = '\0';
	counter->total = strtoull(word + len + 1, &end, 10);
	counter->rate = 0;
	return end != word + len + 1 && (!*end || *end == ' ');
}

int stats_parse(struct stats_sample *sample, unsigned int *cpus,
		const char *reply)
{
	int used = 0;

	sample->nr = 0;
	if (sscanf(reply, "ok cpus=%u%n", cpus, &used) != 1 || !*cpus ||
	    *cpus > CPUS_MAX)
		return -EPROTO;
	for (const char *word = reply + used; *word; word += strcspn(word, " ")) {
		if (*word != ' ' || sample->nr == STATS_MAX ||
		    !counter_parse(&sample->list[sample->nr], ++word))
			return -EPROTO;
		sample->nr++;
	}
	return 0;
}

/* A counter that is not in the list was zero. */
static uint64_t sample_total(const struct stats_sample *sample,
			     const char *name)
{
	for (size_t i = 0; i < sample->nr; i++)
		if (!strcmp(sample->list[i].name, name))
			return sample->list[i].total;
	return 0;
}

static int busier(const void *a, const void *b)
{
	const struct stats_counter *x = a, *y = b;

	if (x->rate != y->rate)
		return x->rate < y->rate ? 1 : -1;
	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	return strcmp(x->name, y->name);
}

void stats_rate(struct stats_sample *now, const struct stats_sample *before)
{
	double seconds = now->when - before->when;

	for (size_t i = 0; i < now->nr; i++) {
		struct stats_counter *counter = &now->list[i];
		uint64_t old = sample_total(before, counter->name);

		if (seconds > 0 && counter->total > old)
			counter->rate = (double)(counter->total - old) / seconds;
	}
	qsort(now->list, now->nr, sizeof(now->list[0]), busier);
}

void stats_print(FILE *out, unsigned int vcpu,
		 const struct stats_sample *sample, size_t rows)
{
	fprintf(out, "vCPU %-23u %20s %14s\n", vcpu, "TOTAL", "PER SECOND");
	for (size_t i = 0; i < sample->nr && i < rows; i++)
		fprintf(out, "%-28s %20" PRIu64 " %14.1f\n",
			sample->list[i].name, sample->list[i].total,
			sample->list[i].rate);
}

/* ---- the subcommand ---- */

struct stats {
	const char *name;
	int fd;			/* the machine's control socket */
	unsigned int cpus;
	struct stats_sample *before, *now;	/* of each vCPU */
};

static double seconds_now(void)
{
	return (double)now_ns() / NSEC_PER_SEC;
}

static int stats_ask(struct stats *s, unsigned int vcpu,
		     struct stats_sample *sample)
{
	char command[40], reply[REPLY_MAX];
	int err;

	snprintf(command, sizeof(command), "query-stats %u\n", vcpu);
	err = registry_ask(s->fd, command, reply, sizeof(reply));
	sample->when = seconds_now();
	if (!err)
		err = stats_parse(sample, &s->cpus, reply);
	else if (registry_refusal(err, reply))
		return msg_fail(err, "stats %s: %s", s->name, registry_refusal(err, reply));
	if (err == -EPIPE || err == -ECONNRESET)
		return msg_fail(err, "stats %s: the machine has ended", s->name);
	if (err)
		return msg_fail(err, "stats %s: the machine does not answer",
				s->name);
	return 0;
}

static int stats_take(struct stats *s, struct stats_sample *samples)
{
	unsigned int cpus = s->cpus;
	int err = 0;

	for (unsigned int i = 0; !err && i < cpus; i++)
		err = stats_ask(s, i, &samples[i]);
	s->cpus = cpus;
	return err;
}

/* What a terminal has room for, if it is one. */
static size_t stats_rows(const struct stats *s, bool live)
{
	struct winsize size;
	size_t rows;

	if (!live || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row)
		return STATS_MAX;
	rows = size.ws_row / s->cpus;
	return rows > ROWS_MIN + 1 ? rows - 2 : ROWS_MIN;
}

static int stats_round(struct stats *s, unsigned int interval, bool live)
{
	struct stats_sample *old = s->before;
	int err;

	sleep(interval);
	err = stats_take(s, s->now);
	if (err)
		return err;
	if (live)
		fputs(CLEAR, stdout);
	for (unsigned int i = 0; i < s->cpus; i++) {
		stats_rate(&s->now[i], &s->before[i]);
		stats_print(stdout, i, &s->now[i], stats_rows(s, live));
	}
	if (fflush(stdout))
		return msg_fail(-errno, "stats %s: cannot write: %s", s->name,
				strerror(errno));
	s->before = s->now;
	s->now = old;
	return 0;
}

static int stats_run(struct stats *s, unsigned int interval)
{
	bool live = isatty(STDOUT_FILENO);
	int err;

	err = stats_ask(s, 0, s->before);
	if (err)
		return err;
	free(s->before);
	s->before = calloc(s->cpus, sizeof(*s->before));
	s->now = calloc(s->cpus, sizeof(*s->now));
	if (!s->before || !s->now)
		return msg_fail(-ENOMEM, "out of memory");
	err = stats_take(s, s->before);
	while (!err) {
		err = stats_round(s, interval, live);
		if (!live)
			break;
	}
	return err;
}

int stats_show(const char *name, unsigned int interval)
{
	struct stats s = { .name = name };
	int err;

	s.fd = registry_open("stats", name);
	if (s.fd < 0)
		return s.fd;
	s.before = calloc(1, sizeof(*s.before));
	err = s.before ? stats_run(&s, interval) :
			 msg_fail(-ENOMEM, "out of memory");
	free(s.before);
	free(s.now);
	close(s.fd);
	return err;
}
