// SPDX-License-Identifier: GPL-2.0-only
/*
 * The console on pipes, files and terminals that nobody reads. Each test runs in a process
 * of its own, whose stdin and stdout it replaces; one that hangs is ended by its alarm.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "term.h"
#include "tests/board.h"
#include "tests/tap.h"
#include "util/msg.h"
#include "vcpu.h"

#define INPUT_SIZE	20000	/* much more than is read at once, less than a pipe holds */
#define OUTPUT_SIZE	100000	/* more than a pipe holds */

static struct board b;

/* ---- a process for each test ---- */

static bool passes(bool (*test)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (!pid) {
		alarm(20);
		_exit(!test());
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* Makes @fd stand at @target. */
static void put_at(int target, int fd)
{
	if (fd < 0 || dup2(fd, target) < 0)
		abort();
	close(fd);
}

static void console_up(void)
{
	board_init(&b);
	pthread_mutex_init(&b.m.state_lock, NULL);
	pthread_cond_init(&b.m.resume, NULL);
	if (term_create(&b.m))
		abort();
}

static int pipe_at_stdout(void)
{
	int fds[2];

	if (pipe(fds))
		abort();
	put_at(STDOUT_FILENO, fds[1]);
	return fds[0];
}

/* Return: the master, or -1 where there are no terminals. */
static int terminal(int *slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master < 0)
		return -1;
	if (grantpt(master) || unlockpt(master))
		abort();
	*slave = open(ptsname(master), O_RDWR);
	return master;
}

/* ---- a vCPU that writes all the time ---- */

static struct vcpu cpu;
static struct kvm_run run;
static bool parked;

static void kicked(int sig)
{
	(void)sig;
}

static void *guest(void *opaque)
{
	static const char text[60] = "hello";

	(void)opaque;
	while (!__atomic_load_n(&b.m.quit, __ATOMIC_SEQ_CST)) {
		if (!__atomic_load_n(&b.m.pause, __ATOMIC_SEQ_CST)) {
			term_write(b.m.term, text, sizeof(text));
			continue;
		}
		__atomic_store_n(&parked, true, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	return NULL;
}

/* Lets the guest write until stdout takes no more. */
static void stall(void)
{
	struct sigaction action = { .sa_handler = kicked };

	sigaction(SIGUSR1, &action, NULL);
	cpu.run = &run;
	cpu.started = !pthread_create(&cpu.thread, NULL, guest, NULL);
	b.m.vcpus = &cpu;
	b.m.nr_vcpus = 1;
	usleep(300000);
}

/* ---- output ---- */

static bool test_key(const char *keys)
{
	int slave, master;

	setsid();
	master = terminal(&slave);
	put_at(STDIN_FILENO, slave);
	pipe_at_stdout();
	console_up();
	board_start_loop(&b);
	stall();
	return write(master, keys, strlen(keys)) == (ssize_t)strlen(keys) && wait_for(fake.quits);
}

static bool test_quit_key(void)
{
	return test_key("\001x");
}

static bool test_help_key(void)
{
	return test_key("\001h\001x");
}

static bool test_stop(void)
{
	console_up();
	board_start_loop(&b);
	stall();
	vcpus_stop(&b.m);
	board_stop_loop(&b);
	term_destroy(&b.m);
	return true;
}

static bool test_stop_at_pipe(void)
{
	pipe_at_stdout();
	return test_stop();
}

/* A terminal takes a part of what is written, and a signal then gives a short count. */
static bool test_stop_at_terminal(void)
{
	int slave;

	terminal(&slave);
	if (write(slave, "misaligned", 10) != 10)
		return false;
	put_at(STDOUT_FILENO, slave);
	return test_stop();
}

static bool test_pause(void)
{
	pipe_at_stdout();
	console_up();
	stall();
	__atomic_store_n(&b.m.pause, true, __ATOMIC_SEQ_CST);
	vcpus_kick(&b.m);
	return wait_for(__atomic_load_n(&parked, __ATOMIC_SEQ_CST));
}

static void full_pipe_at_stdout(void)
{
	char page[4096] = "";
	int flags;

	pipe_at_stdout();
	flags = fcntl(STDOUT_FILENO, F_GETFL);
	fcntl(STDOUT_FILENO, F_SETFL, flags | O_NONBLOCK);
	while (write(STDOUT_FILENO, page, sizeof(page)) > 0)
		;
	fcntl(STDOUT_FILENO, F_SETFL, flags);
}

static bool test_destroy(void)
{
	full_pipe_at_stdout();
	console_up();
	term_write(b.m.term, "x", 1);
	term_destroy(&b.m);
	return true;
}

/* stdout and stderr are mostly one. */
static bool test_message(void)
{
	full_pipe_at_stdout();
	dup2(STDOUT_FILENO, STDERR_FILENO);
	msg_warn("nobody reads this");
	return true;
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 256);
}

static void *slow_reader(void *opaque)
{
	uint8_t buf[512];
	size_t good = 0;
	ssize_t n;

	while ((n = read(*(int *)opaque, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			good += buf[i] == pattern(good);
		usleep(1000);
	}
	return (void *)good;
}

static bool test_output(void)
{
	int fd = pipe_at_stdout();
	pthread_t reader;
	void *good;

	console_up();
	board_start_loop(&b);
	pthread_create(&reader, NULL, slow_reader, &fd);
	for (size_t i = 0; i < OUTPUT_SIZE; i++)
		term_write(b.m.term, &(uint8_t){ pattern(i) }, 1);
	board_stop_loop(&b);
	term_destroy(&b.m);
	close(STDOUT_FILENO);
	pthread_join(reader, &good);
	return good == (void *)OUTPUT_SIZE;
}

/* ---- input ---- */

struct sink {
	struct term_sink sink;
	pthread_mutex_t lock;
	size_t held, good;
};

static struct sink sink = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t sink_room(struct term_sink *s)
{
	size_t room;

	(void)s;
	pthread_mutex_lock(&sink.lock);
	room = 16 - sink.held;
	pthread_mutex_unlock(&sink.lock);
	return room;
}

static void sink_input(struct term_sink *s, const uint8_t *data, size_t len)
{
	(void)s;
	pthread_mutex_lock(&sink.lock);
	for (size_t i = 0; i < len; i++)
		sink.good += data[i] == pattern(sink.good);
	sink.held += len;
	pthread_mutex_unlock(&sink.lock);
}

/* The guest takes what there is and asks for more. Return: whether it has all by now. */
static bool sink_has_all(void)
{
	bool all;

	pthread_mutex_lock(&sink.lock);
	sink.held = 0;
	all = sink.good == INPUT_SIZE;
	pthread_mutex_unlock(&sink.lock);
	term_want_input(b.m.term);
	return all;
}

static void write_input(int fd)
{
	for (size_t i = 0; i < INPUT_SIZE; i++)
		if (write(fd, &(uint8_t){ pattern(i) }, 1) != 1)
			abort();
}

static bool takes_input(void)
{
	console_up();
	sink.sink = (struct term_sink){ .room = sink_room, .input = sink_input };
	term_set_sink(b.m.term, &sink.sink);
	board_start_loop(&b);
	return wait_for(sink_has_all());
}

/* The other side has gone when the bytes are read. */
static bool test_input_pipe(void)
{
	int fds[2];

	if (pipe(fds))
		return false;
	write_input(fds[1]);
	close(fds[1]);
	put_at(STDIN_FILENO, fds[0]);
	return takes_input();
}

static bool test_input_file(void)
{
	char path[] = "/tmp/vmrun-test-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		return false;
	unlink(path);
	write_input(fd);
	lseek(fd, 0, SEEK_SET);
	put_at(STDIN_FILENO, fd);
	return takes_input();
}

static void test_terminals(void)
{
	int slave, master = terminal(&slave);

	if (master < 0) {
		tap_skip("a stalled terminal", "no pseudo-terminals here");
		return;
	}
	close(slave);
	close(master);
	ok(passes(test_quit_key), "Ctrl-a x while output stalls");
	ok(passes(test_help_key), "Ctrl-a h while output stalls");
	ok(passes(test_stop_at_terminal), "a vCPU that writes to a stalled terminal ends");
}

int main(void)
{
	put_at(STDIN_FILENO, open("/dev/null", O_RDONLY));
	ok(passes(test_output), "a slow reader gets all output");
	ok(passes(test_stop_at_pipe), "a vCPU that writes to a stalled pipe ends");
	ok(passes(test_pause), "a vCPU that writes to a stalled pipe can be paused");
	ok(passes(test_destroy), "output that nobody reads does not hold up the end");
	ok(passes(test_message), "nor does a message");
	test_terminals();
	ok(passes(test_input_pipe), "all of a pipe is taken after its writer has gone");
	ok(passes(test_input_file), "all of a file is taken");
	return tap_done();
}
