// SPDX-License-Identifier: GPL-2.0-only
/* What a machine that its guest has taken over may answer to the commands of its user. */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/rig.h"
#include "registry.h"
#include "stats.h"

static struct board b;

static void check_clean(const char *reply)
{
	for (const unsigned char *c = (const unsigned char *)reply; *c; c++)
		fuzz_assert(*c >= ' ' && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stats_sample sample, before;
	static char reply[COUNTERS_TEXT_MAX + 64];
	struct fuzz_in in = { data, size };
	bool small = fuzz_u8(&in) & 1;
	unsigned int cpus;
	int pair[2];

	if (!b.m.cfg.name)
		rig_init(&b, 4096);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		abort();
	if (send(pair[1], in.p, in.left, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		in.left = 0;
	shutdown(pair[1], SHUT_WR);
	if (!registry_ask(pair[0], "x\n", reply, small ? 16 : sizeof(reply))) {
		check_clean(reply);
		if (!stats_parse(&sample, &cpus, reply)) {
			sample.when = before.when + 1;
			stats_rate(&sample, &before);
			before = sample;
		}
	}
	close(pair[0]);
	close(pair[1]);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static const char *const replies[] = {
		"ok cpus=2 exits=1 exit_io=1000\n", "ok cpus=4096\n", "ok pid=1 cpus=1 kernel=/a\033[31m\302\233m\n",
		"error no\n", "ok cpus=1 =1\n", "ok cpus=1 a=99999999999999999999 b=\n",
	};
	struct fuzz_out out = { data, 0 };

	if (i >= sizeof(replies) / sizeof(replies[0]))
		return 0;
	fuzz_put_int(&out, 0, 1);
	fuzz_put(&out, replies[i], strlen(replies[i]));
	return out.len;
}
