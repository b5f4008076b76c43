// SPDX-License-Identifier: GPL-2.0-only
/* The control socket: lines in pieces of any size, with descriptors of any kind. What they ask for is not done here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control.h"
#include "counters.h"
#include "dev/acpi_pm.h"
#include "fuzz/rig.h"
#include "migrate/job.h"
#include "migrate/snapshot.h"
#include "migrate/source.h"
#include "migrate/target.h"
#include "registry.h"
#include "util/list.h"
#include "vcpu.h"
#include "virtio/console.h"

#define PIECES_MAX	64
#define RUNS_PER_COUNT	512

static struct board b;
static struct vcpu vcpu;
static struct sockaddr_un addr;
static int files[4];	/* regular, read-only, pipe, socket */
static unsigned int fds;

/* ---- instead of what the commands call ---- */

const char *machine_state_name(const struct machine *m)
{
	return m->user_paused ? "paused" : "running";
}

void machine_user_pause(struct machine *m)
{
	m->user_paused = true;
}

int machine_user_resume(struct machine *m)
{
	m->user_paused = false;
	return fake.quits & 1 ? -EBUSY : 0;
}

void acpi_pm_press_power_button(struct machine *m)
{
	(void)m;
}

const char *virtio_console_path(struct machine *m)
{
	(void)m;
	return "/dev/pts/1";
}

int snapshot_begin(struct machine *m, const char *name, int fd)
{
	int err = job_begin(&m->job, "snapshot");

	fuzz_assert(strlen(name) < 8192 && !strchr(name, '\n'));
	close(fd);
	if (!err)
		job_fail(&m->job, "%s: %s", name, "no");
	return err;
}

void snapshot_poll(struct machine *m)
{
	(void)m;
}

void snapshot_cancel(struct machine *m)
{
	(void)m;
}

int source_begin(struct machine *m, const struct source_opts *opts)
{
	(void)m;
	fuzz_assert(opts->streams && opts->streams <= SOURCE_STREAMS_MAX && opts->level >= 0 &&
		    opts->level <= SOURCE_LEVEL_MAX && opts->timeout_s && opts->timeout_s <= SOURCE_TIMEOUT_MAX_S &&
		    strlen(opts->uri) < 8192);
	return 0;
}

int source_offer(struct machine *m, int fd)
{
	(void)m;
	if (fake.quits & 2)
		return -ENOENT;
	close(fd);
	return 0;
}

void source_cancel(struct machine *m)
{
	(void)m;
}

bool target_incomplete(const struct machine *m)
{
	return m->moved == MOVED_PARTLY;
}

int counters_text(const struct counters *c, char *text, size_t size)
{
	(void)c;
	snprintf(text, size, "exits=1");
	return 7;
}

/* ---- */

static void leave(void)
{
	control_unlink(&b.m);
}

/* How often the files that are passed are open here. A fuzzer opens others. */
static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(files); i++) {
		struct stat st, other;

		fuzz_assert(!fstat(files[i], &st));
		for (int fd = 0; fd < 256; fd++)
			n += !fstat(fd, &other) && other.st_dev == st.st_dev && other.st_ino == st.st_ino;
	}
	return n;
}

static void init(void)
{
	int pair[2];
	char path[64];

	rig_init(&b, RIG_RAM);
	job_init(&b.m.job);
	snprintf(path, sizeof(path), "fuzz-%d", (int)getpid());
	b.m.cfg.name = strdup(path);
	b.m.arrived = true;
	b.m.vcpus = &vcpu;
	b.m.nr_vcpus = 1;
	vcpu.counters = (void *)&vcpu;
	fuzz_assert(!control_create(&b.m) && b.m.control && !registry_address(b.m.cfg.name, &addr));
	files[0] = rig_file(path, sizeof(path));
	files[1] = open(path, O_RDONLY | O_CLOEXEC);
	if (pipe(pair))
		abort();
	files[2] = pair[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
		abort();
	files[3] = pair[0];
	fds = count_fds();
	atexit(leave);
}

static void send_piece(int fd, const void *data, size_t len, uint8_t what)
{
	union {
		char room[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned int nr = what & 3;
	struct cmsghdr *head;

	if (nr) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nr * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(nr * sizeof(int));
		for (unsigned int i = 0; i < nr; i++)
			memcpy(CMSG_DATA(head) + i * sizeof(int), &files[(what >> 2) % ARRAY_SIZE(files)], sizeof(int));
	}
	sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Each answer is a line, or several. */
static void check_answers(int fd)
{
	static char text[COUNTERS_TEXT_MAX];
	ssize_t n;

	while ((n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0) {
		text[n] = '\0';
		fuzz_assert(!strncmp(text, "ok", 2) || !strncmp(text, "error", 5));
		fuzz_assert(text[n - 1] == '\n' && strlen(text) == (size_t)n);
	}
}

static int open_client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fuzz_assert(fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	rig_pump(&b);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned int runs;
	struct fuzz_in in = { data, size };
	uint8_t flags = fuzz_u8(&in);
	int fd;

	if (!addr.sun_path[0])
		init();
	b.m.arrived = !(flags & 1);
	b.m.moved = flags & 2 ? MOVED_PARTLY : flags & 4 ? MOVED_AWAY : MOVED_NO;
	b.m.loop.stopped = false;
	fake.quits = flags >> 4;
	fd = open_client();
	for (unsigned int i = 0; in.left && i < PIECES_MAX; i++) {
		uint8_t what = fuzz_u8(&in);
		size_t len;
		const uint8_t *piece = fuzz_take(&in, fuzz_u8(&in), &len);

		send_piece(fd, piece, len, what);
		rig_pump(&b);
		check_answers(fd);
	}
	close(fd);
	rig_pump(&b);
	if (!(++runs % RUNS_PER_COUNT))
		fuzz_assert(count_fds() == fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static const char *const lines[] = {
		"status\n", "pause\nresume\n", "powerdown\nquit\n", "snapshot-to file\n", "connection\n",
		"query-job\ncancel-job\n", "query-stats 0\n", "query-stats 99999999999\n",
		"migrate downtime=300 bandwidth=0 streams=1 timeout=60 level=1 postcopy=0 check=0 uri=unix:/x\n",
		"migrate downtime=-1 bandwidth=99999999999999999999 streams=32 timeout=3600 level=19 postcopy=1 check=1 uri=\n",
		"\n \n\r\n", "status", "snapshot-to %s%n%s\n",
	};
	struct fuzz_out out = { data, 0 };
	unsigned int kind = i % 5, line = i / 5;

	if (line >= ARRAY_SIZE(lines))
		return 0;
	fuzz_put_int(&out, 0, 1);
	/* without a descriptor, or with one of each kind */
	fuzz_put_int(&out, kind ? 1 | (kind - 1) << 2 : 0, 1);
	fuzz_put_int(&out, strlen(lines[line]), 1);
	fuzz_put(&out, lines[line], strlen(lines[line]));
	return out.len;
}
