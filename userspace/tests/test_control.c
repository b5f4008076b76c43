// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control socket, by its clients' side: words, descriptors, snapshots and moves; all of it once without and once with the
 * sandbox that a real machine is in.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device.h"
#include "migrate/client.h"
#include "migrate/channel.h"
#include "migrate/frame.h"
#include "migrate/snapshot.h"
#include "opts.h"
#include "registry.h"
#include "tests/rig.h"
#include "tests/tap.h"

#define RAM	MIB(4)

static struct rig rig, other;
static const char *mode;
static char dir[] = "/tmp/test_control.XXXXXX";
static char reply[4096];

/* Return: what the machine answers; "" for nothing. */
static const char *ask(int fd, const char *line, int passed)
{
	if (registry_ask_with(fd, 60000, line, passed, reply, sizeof(reply)) == -EPIPE)
		return "";
	return reply;
}

static bool says(const char *line, const char *want)
{
	int fd = registry_open("test", rig.name);
	bool good = fd >= 0 && !strncmp(ask(fd, line, -1), want, strlen(want));

	close(fd);
	return good;
}

static const char *in_dir(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static unsigned int files(void)
{
	char pattern[64];
	glob_t found;
	size_t n;

	snprintf(pattern, sizeof(pattern), "%s/*", dir);
	n = glob(pattern, 0, NULL, &found) ? 0 : found.gl_pathc;
	globfree(&found);
	return (unsigned int)n;
}

/* ---- words ---- */

static void test_words(void)
{
	static char long_line[8192];
	int fd;

	ok(says("status\n", "ok pid=") && strstr(reply, "state=running"), "%s: status", mode);
	ok(says("pause\n", "ok") && says("status\n", "ok") && strstr(reply, "state=paused") &&
	   says("resume\n", "ok"), "%s: pause, resume", mode);
	ok(says("frobnicate\n", "error unknown") && says("\n", "error unknown") && says("status now\n", "error unknown") &&
	   says("snapshot-to\n", "error unknown") && says("snapshot /x\n", "error unknown"), "%s: words that are none", mode);
	ok(says("query-stats 0\n", "error its device") && says("query-stats 1\n", "error there is no such") &&
	   says("query-stats -1\n", "error there is no such") && says("query-stats 0x\n", "error there is no such"),
	   "%s: statistics", mode);
	ok(says("migrate to=there\n", "error wrong words") &&
	   says("migrate downtime=1 bandwidth=0 streams=33 timeout=60 level=1 postcopy=0 check=0 uri=unix:/x\n", "error wrong") &&
	   says("migrate downtime=1 bandwidth=0 streams=1 timeout=60 level=99 postcopy=0 check=0 uri=unix:/x\n", "error wrong"),
	   "%s: moves that make no sense", mode);
	memset(long_line, 'x', sizeof(long_line) - 1);
	ok(says(long_line, ""), "%s: an endless line ends the connection", mode);
	fd = registry_open("test", rig.name);
	ok(send(fd, "sta", 3, 0) == 3 && !strncmp(ask(fd, "tus\n", -1), "ok", 2), "%s: a line in two parts", mode);
	close(fd);
}

/* ---- descriptors ---- */

static bool refused(const char *line, int passed, const char *why)
{
	int fd = registry_open("test", rig.name);
	bool good = strstr(ask(fd, line, passed), why);

	close(fd);
	return good;
}

static void send_many(int fd, const char *line, int passed)
{
	union {
		char room[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	int three[3] = { passed, passed, passed };
	struct iovec iov = { (void *)line, strlen(line) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(three));
	memcpy(CMSG_DATA(head), three, sizeof(three));
	sendmsg(fd, &msg, 0);
}

static void test_descriptors(void)
{
	const char *path = in_dir("file");
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), readable = open(path, O_RDONLY | O_CLOEXEC);
	int pipes[2], pair[2], fd, i;
	unsigned int before;

	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		abort();
	before = count_fds();
	ok(refused("snapshot-to x\n", -1, "error no file"), "%s: a snapshot without a file", mode);
	ok(refused("snapshot-to x\n", readable, "error no file"), "%s: to one that can only be read", mode);
	ok(refused("snapshot-to x\n", pipes[1], "error no file"), "%s: to a pipe", mode);
	ok(refused("connection\n", -1, "error no connection"), "%s: a connection that is none", mode);
	ok(refused("connection\n", file, "error no connection"), "%s: a file instead", mode);
	ok(refused("connection\n", pair[0], "error no connection"), "%s: one that may block", mode);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	ok(refused("connection\n", pair[0], "error nobody waits"), "%s: one that nobody wants", mode);
	fd = registry_open("test", rig.name);
	for (i = 0; i < 100; i++)
		send_many(fd, "status\n", file);
	for (i = 0; i < 100; i++)
		send_many(fd, "x", file);
	close(fd);
	ok(says("status\n", "ok"), "%s: many descriptors that nobody asked for", mode);
	ok(wait_for(count_fds() <= before), "%s: none of all these stays open", mode);
	close(file);
	close(readable);
	close(pipes[0]);
	close(pipes[1]);
	close(pair[0]);
	close(pair[1]);
	unlink(path);
}

/* ---- snapshots ---- */

static void test_snapshot(void)
{
	char path[128];
	struct snapshot *sn = NULL;
	struct stat st;

	snprintf(path, sizeof(path), "%s", in_dir("snap"));
	memset(rig.b.m.mem.host, 0x5a, RAM / 2);
	ok(!client_snapshot(rig.name, path), "%s: a snapshot", mode);
	ok(!stat(path, &st) && (st.st_mode & 0777) == 0600 && files() == 1, "%s: one file, for its owner only", mode);
	ok(!snapshot_open(&sn, path) && sn->ram_len == RAM, "%s: which is whole", mode);
	snapshot_close(sn);
	ok(!client_snapshot(rig.name, path) && files() == 1, "%s: once more, to the same name", mode);
	unlink(path);
	ok(client_snapshot(rig.name, in_dir("none/snap")) && !files(), "%s: no such directory", mode);
	ok(client_snapshot("test-nobody", path) && !files(), "%s: no such machine", mode);
}

/* Much address space takes the writer a while, though there is nothing in it. */
static void test_snapshot_left(bool confined)
{
	int file = memfd_create("left", MFD_CLOEXEC), fd;

	if (rig_start(&other, "large", GIB(16), NULL, confined))
		abort();
	fd = registry_open("test", other.name);
	ok(!strncmp(ask(fd, "snapshot-to left\n", file), "ok", 2) && job_state(&other.b.m.job) == JOB_RUNNING,
	   "%s: a snapshot of much", mode);
	/* the writer, a copy of this process, has the client's descriptor as well */
	shutdown(fd, SHUT_RDWR);
	close(fd);
	ok(wait_for(job_state(&other.b.m.job) == JOB_FAILED) && strstr(other.b.m.job.why, "ended before"),
	   "%s: ends when its client goes (%s)", mode, other.b.m.job.why);
	close(file);
	rig_stop(&other);
}

/* ---- moves ---- */

static struct opts_migrate move_to(const char *uri, uint32_t streams)
{
	return (struct opts_migrate){
		.name = rig.name,
		.move = { .uri = uri, .downtime_ms = 300, .streams = streams, .timeout_s = 60, .level = 1 },
	};
}

static void *refuse(void *opaque)
{
	int listener = *(int *)opaque, fd = channel_accept(listener, -1, 60000);
	enum frame_type type = FRAME_ALIVE;
	struct framer framer;
	struct channel ch;
	const void *data;
	size_t len;

	if (fd < 0)
		return NULL;
	channel_init(&ch, fd, -1, 60000);
	framer_init(&framer, 0);
	if (!frame_recv(&ch, &framer, &type, &data, &len) && type == FRAME_HELLO)
		frame_send(&ch, &framer, FRAME_REFUSE, "not you", 7);
	framer_destroy(&framer);
	channel_close(&ch);
	return NULL;
}

static void test_refusal(void)
{
	char uri[128], why[100];
	struct opts_migrate move;
	pthread_t thread;
	int listener;

	snprintf(uri, sizeof(uri), "unix:%s", in_dir("sock"));
	move = move_to(uri, 1);
	ok(client_migrate(&move) && job_state(&rig.b.m.job) == JOB_FAILED, "%s: a move to nobody", mode);
	listener = channel_listen(uri, why, sizeof(why));
	pthread_create(&thread, NULL, refuse, &listener);
	ok(client_migrate(&move) && strstr(rig.b.m.job.why, "refuses: not you"), "%s: to one who refuses", mode);
	pthread_join(thread, NULL);
	close(listener);
	channel_unlink(uri);
}

/* A destination that refuses when it is too late to refuse in comfort: the guest stands still already. */
static void *refuse_late(void *opaque)
{
	struct channel ch;
	enum frame_type type = FRAME_ALIVE;
	struct framer framer;
	const void *data;
	size_t len;

	channel_init(&ch, *(int *)opaque, -1, 60000);
	framer_init(&framer, 0);
	frame_send(&ch, &framer, FRAME_READY, NULL, 0);
	while (type != FRAME_STATE && !frame_recv(&ch, &framer, &type, &data, &len))
		;
	frame_send(&ch, &framer, FRAME_REFUSE, "too late", 8);
	framer_destroy(&framer);
	channel_close(&ch);
	return NULL;
}

/* Who asks again as soon as a move has failed must not meet its end. */
static void test_refusals_in_a_row(void)
{
	static const char move[] = "migrate downtime=300 bandwidth=0 streams=1 timeout=60 level=0 postcopy=0 check=0 uri=unix:/x\n";
	int fd = registry_open("test", rig.name), i, pair[2];
	pthread_t thread;
	bool good = true;

	for (i = 0; good && i < 300; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
			abort();
		pthread_create(&thread, NULL, refuse_late, &pair[1]);
		good = !strncmp(ask(fd, move, -1), "ok", 2) && !strncmp(ask(fd, "connection\n", pair[0]), "ok", 2);
		close(pair[0]);
		while (good && job_state(&rig.b.m.job) == JOB_RUNNING)
			;
		good = good && strstr(rig.b.m.job.why, "refuses: too late");
		pthread_join(thread, NULL);
	}
	ok(good, "%s: %d refusals in a row (%s)", mode, i, reply);
	close(fd);
}

static bool same_memory(void)
{
	return !memcmp(rig.b.m.mem.host, other.b.m.mem.host, RAM);
}

static void test_move(const char *what, uint32_t streams, bool postcopy, bool confined)
{
	char uri[128];
	struct opts_migrate move;

	snprintf(uri, sizeof(uri), "unix:%s", in_dir("sock"));
	move = move_to(uri, streams);
	move.move.postcopy = postcopy;
	move.move.check = !postcopy;
	if (rig_start(&rig, "source", RAM, NULL, confined) || rig_start(&other, "target", RAM, uri, confined))
		abort();
	rig.device = 77;
	for (uint64_t i = 0; i < RAM; i += 3000)
		rig.b.m.mem.host[i] = (uint8_t)(i / 3000);
	ok(!client_migrate(&move), "%s: a move, %s", mode, what);
	ok(other.b.m.arrived && other.device == 77 && wait_for(same_memory()), "%s: and all has arrived", mode);
	rig_stop(&rig);
	rig_stop(&other);
	ok(!files(), "%s: its socket is gone", mode);
}

static void test_moves(bool confined)
{
	int uffd = (int)syscall(SYS_userfaultfd, 0);

	test_move("plain", 1, false, confined);
	test_move("in three streams", 3, false, confined);
	if (uffd < 0) {
		tap_skip("post-copy", "no right to userfaultfd(2)");
		return;
	}
	close(uffd);
	test_move("post-copy", 1, true, confined);
}

static void test_all(bool confined)
{
	mode = confined ? "confined" : "free";
	if (!ok(!rig_start(&rig, "control", RAM, NULL, confined), "%s: a machine", mode))
		return;
	test_words();
	test_descriptors();
	test_snapshot();
	test_refusal();
	test_refusals_in_a_row();
	rig_stop(&rig);
	test_snapshot_left(confined);
	test_moves(confined);
}

int main(void)
{
	if (!mkdtemp(dir) || !freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "r", stdin))
		return 1;
	test_all(false);
	test_all(true);
	ok(!rmdir(dir), "nothing is left");
	return tap_done();
}
