// SPDX-License-Identifier: GPL-2.0-only
#include "term.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "dev/acpi_pm.h"
#include "machine.h"
#include "sandbox/thread.h"
#include "util/msg.h"
#include "util/time.h"

#define TERM_BACKLOG	4096
#define TERM_OUT	4096
#define TERM_CHUNK	512	/* written at once: a slow line shows progress */
#define TERM_PAUSE_US	5000
#define TERM_PATIENCE_MS 1000	/* with a stdout that takes nothing, at the end */
#define TERM_ESCAPE	0x01	/* Ctrl-a */
#define TERM_STOP_SIGNAL SIGUSR2

struct term {
	struct machine *m;
	bool tty;
	bool raw;		/* saved is to be restored */
	bool escaped;		/* the last key was Ctrl-a */
	struct termios saved;
	struct loop_fd in;
	bool watched;		/* in is with the loop */
	bool file;		/* what epoll does not take */
	bool eof;
	struct loop_fd kick;	/* eventfd behind term_want_input() */
	struct term_sink *sink;
	/* What was read and not yet taken by the sink; loop's thread only. */
	uint8_t backlog[TERM_BACKLOG];
	size_t len;
	pthread_t writer;
	pthread_mutex_t out_lock;	/* all below */
	pthread_cond_t out_changed;	/* or somebody must look at pause, quit, closing */
	uint8_t out[TERM_OUT];
	size_t out_len;
	bool closing;
};

static const char term_help[] =
	"\r\n"
	"  Ctrl-a h       this help\r\n"
	"  Ctrl-a x       end the virtual machine at once\r\n"
	"  Ctrl-a p       press its power button\r\n"
	"  Ctrl-a Ctrl-a  send Ctrl-a to the guest\r\n";

/* ---- output ---- */

/*
 * A thread of its own writes to stdout, the only one that may block there. Everybody else
 * holds out_lock for moments only.
 */

/* Does nothing: its arrival ends a write() that blocks. */
static void term_stopped(int sig)
{
	(void)sig;
}

/* Return: how many bytes to write next, 0 at the end. */
static size_t term_out_wait(struct term *term)
{
	size_t len;

	pthread_mutex_lock(&term->out_lock);
	while (!term->out_len && !term->closing)
		pthread_cond_wait(&term->out_changed, &term->out_lock);
	len = term->closing ? 0 : term->out_len;
	pthread_mutex_unlock(&term->out_lock);
	return len < TERM_CHUNK ? len : TERM_CHUNK;
}

/*
 * Return: how many bytes are done with; what stdout refuses is lost. The bytes stay where
 * they are meanwhile: others only append.
 */
static size_t term_out_write(struct term *term, size_t len)
{
	struct pollfd pfd = { .fd = STDOUT_FILENO, .events = POLLOUT };
	ssize_t n = write(STDOUT_FILENO, term->out, len);

	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN)
		poll(&pfd, 1, -1);
	else if (errno != EINTR)
		return len;
	return 0;
}

static void term_out_done(struct term *term, size_t len)
{
	pthread_mutex_lock(&term->out_lock);
	term->out_len -= len;
	memmove(term->out, term->out + len, term->out_len);
	pthread_cond_broadcast(&term->out_changed);
	pthread_mutex_unlock(&term->out_lock);
}

/* A UART gives single bytes: after a pause more of them leave at once. */
static void *term_writer(void *opaque)
{
	struct term *term = opaque;
	sigset_t stop;
	size_t len;

	sigemptyset(&stop);
	sigaddset(&stop, TERM_STOP_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &stop, NULL);
	while ((len = term_out_wait(term))) {
		term_out_done(term, term_out_write(term, len));
		if (len < TERM_CHUNK)
			usleep(TERM_PAUSE_US);
	}
	return NULL;
}

/* Return: how much of it found room; out_lock is held. */
static size_t term_append(struct term *term, const void *data, size_t len)
{
	size_t room = TERM_OUT - term->out_len;

	if (len > room)
		len = room;
	memcpy(term->out + term->out_len, data, len);
	if (len && !term->out_len)
		pthread_cond_broadcast(&term->out_changed);
	term->out_len += len;
	return len;
}

/* A vCPU must not wait for stdout when it shall park or end. */
static bool term_may_wait(const struct term *term)
{
	return !__atomic_load_n(&term->m->pause, __ATOMIC_SEQ_CST) &&
	       !__atomic_load_n(&term->m->quit, __ATOMIC_SEQ_CST);
}

void term_write(struct term *term, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t n;

	pthread_mutex_lock(&term->out_lock);
	n = term_append(term, bytes, len);
	while (n < len && term_may_wait(term)) {
		pthread_cond_wait(&term->out_changed, &term->out_lock);
		n += term_append(term, bytes + n, len - n);
	}
	pthread_mutex_unlock(&term->out_lock);
}

void term_kick(struct term *term)
{
	pthread_mutex_lock(&term->out_lock);
	pthread_cond_broadcast(&term->out_changed);
	pthread_mutex_unlock(&term->out_lock);
}

/* For the loop's thread, which never waits: what finds no room is not shown. */
static void term_say(struct term *term, const char *text)
{
	pthread_mutex_lock(&term->out_lock);
	term_append(term, text, strlen(text));
	pthread_mutex_unlock(&term->out_lock);
}

static struct timespec term_in_ms(unsigned int ms)
{
	return ns_timespec(now_ns() + ms * NSEC_PER_MSEC);
}

/* Gives up when stdout takes nothing for a while. out_lock is held. */
static void term_drain(struct term *term)
{
	while (term->out_len) {
		struct timespec until = term_in_ms(TERM_PATIENCE_MS);
		size_t len = term->out_len;

		while (term->out_len == len)
			if (pthread_cond_clockwait(&term->out_changed, &term->out_lock,
						   CLOCK_MONOTONIC, &until))
				return;
	}
}

/* A signal may come just before write(), so there is one after the other. */
static void term_join_writer(struct term *term)
{
	struct timespec until;

	do {
		pthread_kill(term->writer, TERM_STOP_SIGNAL);
		until = term_in_ms(10);
	} while (pthread_clockjoin_np(term->writer, NULL, CLOCK_MONOTONIC, &until));
}

static void term_close_output(struct term *term)
{
	pthread_mutex_lock(&term->out_lock);
	term_drain(term);
	term->closing = true;
	pthread_cond_broadcast(&term->out_changed);
	pthread_mutex_unlock(&term->out_lock);
	term_join_writer(term);
	pthread_cond_destroy(&term->out_changed);
	pthread_mutex_destroy(&term->out_lock);
}

static int term_open_output(struct term *term)
{
	struct sigaction action = { .sa_handler = term_stopped };
	int err;

	sigaction(TERM_STOP_SIGNAL, &action, NULL);
	pthread_mutex_init(&term->out_lock, NULL);
	pthread_cond_init(&term->out_changed, NULL);
	err = thread_start(&term->writer, &(struct thread_spec){
		.name = "console", .sandbox = term->m->sandbox, .role = ROLE_CONSOLE,
		.run = term_writer, .arg = term });
	if (err) {
		pthread_cond_destroy(&term->out_changed);
		pthread_mutex_destroy(&term->out_lock);
	}
	return err;
}

/* ---- input ---- */

/* Drops what does not fit: a user who types that much sees no echo either. */
static void term_keep(struct term *term, uint8_t byte)
{
	if (term->len < TERM_BACKLOG)
		term->backlog[term->len++] = byte;
}

static void term_command(struct term *term, uint8_t key)
{
	switch (key) {
	case TERM_ESCAPE:
		term_keep(term, key);
		break;
	case 'x':
	case 'X':
		machine_request(term->m, MACHINE_QUIT);
		term_say(term, "\r\n");
		break;
	case 'p':
		acpi_pm_press_power_button(term->m);
		break;
	case 'h':
	case '?':
		term_say(term, term_help);
		break;
	}
}

static void term_key(struct term *term, uint8_t key)
{
	if (term->escaped) {
		term->escaped = false;
		term_command(term, key);
	} else if (term->tty && key == TERM_ESCAPE) {
		term->escaped = true;
	} else {
		term_keep(term, key);
	}
}

static void term_deliver(struct term *term)
{
	size_t n;

	if (!term->sink || !term->len)
		return;
	n = term->sink->room(term->sink);
	if (n > term->len)
		n = term->len;
	if (!n)
		return;
	term->sink->input(term->sink, term->backlog, n);
	term->len -= n;
	memmove(term->backlog, term->backlog + n, term->len);
}

/* Return: 0 or -errno. */
static int term_watch(struct term *term)
{
	int err;

	if (term->watched)
		return 0;
	err = loop_add(&term->m->loop, &term->in, EPOLLIN);
	term->watched = !err;
	return err;
}

static void term_unwatch(struct term *term)
{
	if (term->watched)
		loop_del(&term->m->loop, &term->in);
	term->watched = false;
}

/* Return: whether there was anything. */
static bool term_read(struct term *term)
{
	uint8_t buf[TERM_BACKLOG];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0) {
		term->eof = true;
		term_unwatch(term);
		return false;
	}
	for (ssize_t i = 0; i < n; i++)
		term_key(term, buf[i]);
	return true;
}

/*
 * A terminal is read at all times, for the sake of Ctrl-a; everything else only when all
 * earlier bytes are gone, so that nothing is lost. Until then a pipe is not with the loop,
 * which would tell of its writer's end without being asked. Files, which epoll does
 * not take, are read on the sink's demand.
 */
static void term_pump(struct term *term)
{
	term_deliver(term);
	if (term->eof || term->tty)
		return;
	if (term->len)
		term_unwatch(term);
	else if (!term->file)
		term_watch(term);
	else if (term_read(term))
		term_deliver(term);
}

static void term_in_ready(struct loop_fd *lfd, uint32_t events)
{
	struct term *term = lfd->opaque;

	(void)events;
	term_read(term);
	term_pump(term);
}

static void term_kicked(struct loop_fd *lfd, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (read(lfd->fd, &count, sizeof(count)) > 0)
		term_pump(lfd->opaque);
}

void term_want_input(struct term *term)
{
	uint64_t one = 1;

	if (write(term->kick.fd, &one, sizeof(one)) < 0)
		return;
}

void term_set_sink(struct term *term, struct term_sink *sink)
{
	term->sink = sink;
	if (sink)
		term_want_input(term);
}

/* ---- the terminal itself ---- */

/* Output processing stays on, for messages of our own. */
static void term_raw(struct term *term)
{
	struct termios raw;

	if (!term->tty || tcgetpgrp(STDIN_FILENO) != getpgrp())
		return;
	if (!term->raw && tcgetattr(STDIN_FILENO, &term->saved))
		return;
	raw = term->saved;
	raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR |
				   IGNCR | ICRNL | IXON);
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	raw.c_cflag |= CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	term->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

void term_resume(struct term *term)
{
	term_raw(term);
	if (term->raw && !term->eof)
		term_watch(term);
}

void term_greet(struct term *term)
{
	if (term->raw)
		msg_warn("console of '%s': Ctrl-a x ends it, Ctrl-a h shows help",
			 term->m->cfg.name);
}

/* A terminal in the background is left alone until SIGCONT. */
static void term_open_input(struct term *term)
{
	int err;

	term->in.fd = STDIN_FILENO;
	term->in.ready = term_in_ready;
	term->in.opaque = term;
	term->tty = isatty(STDIN_FILENO);
	if (term->tty) {
		term_resume(term);
		return;
	}
	err = term_watch(term);
	term->file = err == -EPERM;
	/* Anything else (a closed stdin): no input at all. */
	term->eof = err && !term->file;
}

static int term_open_kick(struct term *term)
{
	int err;

	term->kick.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (term->kick.fd < 0)
		return -errno;
	term->kick.ready = term_kicked;
	term->kick.opaque = term;
	err = loop_add(&term->m->loop, &term->kick, EPOLLIN);
	if (err)
		close(term->kick.fd);
	return err;
}

static int term_open(struct term *term)
{
	int err = term_open_kick(term);

	if (err)
		return err;
	err = term_open_output(term);
	if (err) {
		loop_del(&term->m->loop, &term->kick);
		close(term->kick.fd);
	}
	return err;
}

int term_create(struct machine *m)
{
	struct term *term = calloc(1, sizeof(*term));
	int err;

	if (!term)
		return msg_fail(-ENOMEM, "out of memory");
	term->m = m;
	err = term_open(term);
	if (err) {
		free(term);
		return msg_fail(err, "console: %s", strerror(-err));
	}
	term_open_input(term);
	m->term = term;
	return 0;
}

void term_restore(struct term *term)
{
	if (term->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &term->saved);
}

void term_finish(struct term *term)
{
	pthread_mutex_lock(&term->out_lock);
	term_drain(term);
	pthread_mutex_unlock(&term->out_lock);
	term_restore(term);
}

void term_destroy(struct machine *m)
{
	struct term *term = m->term;

	term_close_output(term);
	term_unwatch(term);
	loop_del(&m->loop, &term->kick);
	close(term->kick.fd);
	term_restore(term);
	free(term);
	m->term = NULL;
}
