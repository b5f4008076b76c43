// SPDX-License-Identifier: GPL-2.0-only
/* Statistics files as KVM makes them, the answers made of them, and what the user is shown. */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "counters.h"
#include "registry.h"
#include "stats.h"
#include "tests/tap.h"
#include "util/list.h"

#define NAME_SIZE	32
#define DESC_AT		128
#define DATA_AT		1024
#define COUNTER		KVM_STATS_TYPE_CUMULATIVE

struct desc {
	struct kvm_stats_desc head;
	char name[NAME_SIZE];
};

static const struct desc descs[] = {
	{ { .flags = COUNTER, .size = 1, .offset = 0 }, "exits" },
	{ { .flags = COUNTER, .size = 1, .offset = 8 }, "zero" },
	{ { .flags = KVM_STATS_TYPE_INSTANT, .size = 1, .offset = 16 }, "gauge" },
	{ { .flags = KVM_STATS_TYPE_LOG_HIST, .size = 2, .offset = 24 }, "histogram" },
	{ { .flags = COUNTER, .size = 1, .offset = 40 }, "exit_cpuid" },
};

static int stats_file(uint32_t num_desc, size_t nr_values)
{
	static const uint64_t values[6] = { 1ull << 40, 0, 7, 8, 9, 12 };
	struct kvm_stats_header header = {
		.name_size = NAME_SIZE, .num_desc = num_desc,
		.id_offset = sizeof(header), .desc_offset = DESC_AT,
		.data_offset = DATA_AT,
	};
	int fd = memfd_create("stats", MFD_CLOEXEC);

	if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    pwrite(fd, descs, sizeof(descs), DESC_AT) != sizeof(descs) ||
	    pwrite(fd, values, nr_values * 8, DATA_AT) != (ssize_t)nr_values * 8)
		return -1;
	return fd;
}

static void test_counters(void)
{
	struct counters *c = counters_open(stats_file(ARRAY_SIZE(descs), 6));
	char text[64], small[16];

	ok(c, "a statistics file is understood");
	ok(counters_text(c, text, sizeof(text)) == (int)strlen(text) &&
	   !strcmp(text, "exits=1099511627776 exit_cpuid=12"),
	   "counters that are not zero, and nothing else: %s", text);
	ok(counters_text(c, small, sizeof(small)) == -ENOSPC,
	   "a text that does not fit");
	counters_close(c);

	c = counters_open(stats_file(ARRAY_SIZE(descs), 2));
	ok(c && counters_text(c, text, sizeof(text)) == -EIO,
	   "values that are missing");
	counters_close(c);
	ok(!counters_open(stats_file(1000, 6)), "descriptors that are missing");
	ok(!counters_open(stats_file(100000, 6)), "too many descriptors");
	ok(!counters_open(memfd_create("empty", MFD_CLOEXEC)), "an empty file");
	counters_close(NULL);
}

static void test_parse(void)
{
	static const char *const bad[] = {
		"", "ok", "ok cpus=", "ok cpus=0", "ok cpus=99999", "ok cpus=1x",
		"ok cpus=1 exits", "ok cpus=1 exits=", "ok cpus=1 exits=x",
		"ok cpus=1 =1", "ok cpus=1  exits=1", "ok cpus=1 exits=1 ",
		"error unknown command",
	};
	static struct stats_sample sample;
	unsigned int cpus = 0;

	ok(!stats_parse(&sample, &cpus, "ok cpus=3 exits=10 exit_hlt=4") &&
	   cpus == 3 && sample.nr == 2 && sample.list[0].total == 10 &&
	   !strcmp(sample.list[1].name, "exit_hlt") && sample.list[1].total == 4,
	   "an answer");
	ok(!stats_parse(&sample, &cpus, "ok cpus=1") && cpus == 1 && !sample.nr,
	   "an answer without counters");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(stats_parse(&sample, &cpus, bad[i]) == -EPROTO,
		   "refused: '%s'", bad[i]);
}

static void test_too_many(void)
{
	static struct stats_sample sample;
	char reply[16 + 8 * (STATS_MAX + 1)] = "ok cpus=1";
	unsigned int cpus;
	size_t len = strlen(reply);

	for (int i = 0; i < STATS_MAX; i++)
		len += (size_t)sprintf(reply + len, " c%d=1", i);
	ok(!stats_parse(&sample, &cpus, reply) && sample.nr == STATS_MAX,
	   "as many counters as there is room for");
	strcpy(reply + len, " x=1");
	ok(stats_parse(&sample, &cpus, reply) == -EPROTO, "one more");
}

static void test_rates(void)
{
	static struct stats_sample before = { .when = 10 }, now = { .when = 12 };
	static const char *const order[] = { "c", "new", "a", "b", "idle" };
	unsigned int cpus;
	bool sorted = true;

	stats_parse(&before, &cpus, "ok cpus=1 a=100 b=50 idle=7 c=0");
	stats_parse(&now, &cpus, "ok cpus=1 a=110 b=60 idle=7 c=200 new=30");
	stats_rate(&now, &before);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		sorted &= !strcmp(now.list[i].name, order[i]);
	ok(sorted, "the busiest first, then the larger total");
	ok(now.list[0].rate == 100 && now.list[1].rate == 15 &&
	   now.list[2].rate == 5 && now.list[4].rate == 0, "rates");
}

static void test_print(void)
{
	static struct stats_sample before = { .when = 1 }, now = { .when = 2 };
	char text[512] = "";
	unsigned int cpus;
	FILE *out = fmemopen(text, sizeof(text), "w");

	stats_parse(&now, &cpus, "ok cpus=2 exits=15 exit_io=2 exit_hlt=1");
	stats_rate(&now, &before);
	stats_print(out, 1, &now, 2);
	fclose(out);
	ok(!strcmp(text,
		   "vCPU 1                                      TOTAL     PER SECOND\n"
		   "exits                                          15           15.0\n"
		   "exit_io                                         2            2.0\n"),
	   "a table, no longer than wanted");
}

/* ---- against a machine that only talks ---- */

struct talker {
	const char *const *answers;	/* one a question, NULL: hangs up */
	int listener;
	char asked[256];
};

static void *talk(void *arg)
{
	struct talker *t = arg;
	int fd = accept(t->listener, NULL, NULL);

	for (size_t i = 0, len = 0; t->answers[i]; i++) {
		ssize_t n = read(fd, t->asked + len, sizeof(t->asked) - 1 - len);

		if (n <= 0 || send(fd, t->answers[i], strlen(t->answers[i]), MSG_NOSIGNAL) < 0)
			break;
		len += (size_t)n;
	}
	close(fd);
	return NULL;
}

/* Return: what stats_show() does; what it writes to @fd is in @said. */
static int show(struct talker *t, const char *const *answers, int fd, char said[512])
{
	int file = memfd_create("said", MFD_CLOEXEC), saved = dup(fd), ret;
	struct sockaddr_un addr;
	pthread_t thread;
	char name[32];

	snprintf(name, sizeof(name), "test-stats-%d", (int)getpid());
	memset(t, 0, sizeof(*t));
	t->answers = answers;
	t->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (registry_make_dir() || registry_address(name, &addr) ||
	    bind(t->listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(t->listener, 1) || pthread_create(&thread, NULL, talk, t))
		return -EIO;
	dup2(file, fd);
	ret = stats_show(name, 1);
	dup2(saved, fd);
	close(saved);
	pthread_join(thread, NULL);
	close(t->listener);
	unlink(addr.sun_path);
	memset(said, 0, 512);
	if (pread(file, said, 511, 0) < 0)
		ret = -EIO;
	close(file);
	return ret;
}

static void test_show(void)
{
	static const char *const good[] = {
		"ok cpus=2 exits=1\n",
		"ok cpus=2 exits=1\n", "ok cpus=2 exit_io=1000\n",
		"ok cpus=2 exits=500\n", "ok cpus=2 exit_io=1000\n", NULL,
	};
	static const char *const none[] = {
		"error its device keeps no statistics\n", NULL,
	};
	static const char *const ends[] = { "ok cpus=1 exits=1\n", NULL };
	struct talker t;
	char said[512];

	ok(!show(&t, good, STDOUT_FILENO, said), "one table for each vCPU");
	ok(!strcmp(t.asked, "query-stats 0\nquery-stats 0\nquery-stats 1\n"
			    "query-stats 0\nquery-stats 1\n"), "what it asks");
	ok(strstr(said, "vCPU 0 ") && strstr(said, "\nvCPU 1 ") &&
	   strstr(said, "\nexits ") && strstr(said, " 0.0\n") &&
	   !strchr(said, '\033'), "and shows, once, where no terminal is");
	ok(show(&t, none, STDERR_FILENO, said) && strstr(said, ": its device keeps no statistics\n") &&
	   strchr(said, '\n') == said + strlen(said) - 1, "no statistics: one line");
	ok(show(&t, ends, STDERR_FILENO, said) && strstr(said, ": the machine has ended\n") &&
	   strchr(said, '\n') == said + strlen(said) - 1, "an end amid: one line");
}

int main(void)
{
	test_counters();
	test_parse();
	test_too_many();
	test_rates();
	test_print();
	test_show();
	return tap_done();
}
