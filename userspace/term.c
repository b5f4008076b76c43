// SPDX-License-Identifier: GPL-2.0-only
#include "term.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include "dev/acpi_pm.h"
#include "machine.h"
#include "util/msg.h"

#define TERM_BACKLOG	4096
#define TERM_OUT	512		/* POLLOUT promises room for this much */
#define TERM_FLUSH_NS	5000000ull
#define TERM_ESCAPE	0x01	/* Ctrl-a */

struct term {
	struct machine *m;
	bool tty;
	bool raw;		/* saved is to be restored */
	bool escaped;		/* the last key was Ctrl-a */
	struct termios saved;
	struct loop_fd in;
	bool watched;		/* in is with the loop */
	bool eof;
	struct loop_fd kick;	/* eventfd behind term_want_input() */
	struct term_sink *sink;
	/* What was read and not yet taken by the sink; loop's thread only. */
	uint8_t backlog[TERM_BACKLOG];
	size_t len;
	pthread_mutex_t out_lock;
	uint8_t out[TERM_OUT];
	size_t out_len;
	struct loop_timer flush;
};

static const char term_help[] =
	"\r\n"
	"  Ctrl-a h       this help\r\n"
	"  Ctrl-a x       end the virtual machine at once\r\n"
	"  Ctrl-a p       press its power button\r\n"
	"  Ctrl-a Ctrl-a  send Ctrl-a to the guest\r\n";

/* ---- output ---- */

/* Return: false if there is no use in trying on. */
static bool term_wait_writable(struct term *term)
{
	struct pollfd pfd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	if (errno == EINTR)
		return !__atomic_load_n(&term->m->quit, __ATOMIC_RELAXED);
	if (errno != EAGAIN)
		return false;
	poll(&pfd, 1, 100);
	return !__atomic_load_n(&term->m->quit, __ATOMIC_RELAXED);
}

/* Writes out what was collected; out_lock is held. */
static void term_flush(struct term *term)
{
	size_t done = 0;

	while (done < term->out_len) {
		ssize_t n = write(STDOUT_FILENO, term->out + done,
				  term->out_len - done);

		if (n < 0 && !term_wait_writable(term))
			break;
		if (n > 0)
			done += (size_t)n;
	}
	term->out_len = 0;
}

static void term_put(struct term *term, uint8_t byte)
{
	term->out[term->out_len++] = byte;
	if (byte == '\n' || term->out_len == TERM_OUT)
		term_flush(term);
}

/*
 * A UART gives single bytes: they leave as lines, or after a moment. The lock is held
 * while stdout blocks, which keeps the order; the loop's thread only tries it.
 */
void term_write(struct term *term, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	bool was_empty;

	pthread_mutex_lock(&term->out_lock);
	was_empty = !term->out_len;
	while (len--)
		term_put(term, *bytes++);
	if (was_empty && term->out_len)
		loop_timer_set(&term->flush, TERM_FLUSH_NS, 0);
	pthread_mutex_unlock(&term->out_lock);
}

static void term_flush_fire(struct loop_timer *timer)
{
	struct term *term = timer->opaque;
	struct pollfd pfd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	if (poll(&pfd, 1, 0) == 1 && !pthread_mutex_trylock(&term->out_lock)) {
		term_flush(term);
		pthread_mutex_unlock(&term->out_lock);
	} else {
		loop_timer_set(&term->flush, TERM_FLUSH_NS, 0);
	}
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
		term_write(term, "\r\n", 2);
		machine_request(term->m, MACHINE_QUIT);
		break;
	case 'p':
		acpi_pm_press_power_button(term->m);
		break;
	case 'h':
	case '?':
		term_write(term, term_help, sizeof(term_help) - 1);
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
 * earlier bytes are gone, so that nothing is lost. Files, which epoll does
 * not take, are read on the sink's demand.
 */
static void term_pump(struct term *term)
{
	term_deliver(term);
	if (term->eof || term->tty)
		return;
	if (term->watched)
		loop_mod(&term->m->loop, &term->in, term->len ? 0 : EPOLLIN);
	else if (!term->len && term_read(term))
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
	if (term->raw && !term->watched && !term->eof)
		term->watched = !loop_add(&term->m->loop, &term->in, EPOLLIN);
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
	err = loop_add(&term->m->loop, &term->in, EPOLLIN);
	term->watched = !err;
	/* -EPERM: a file. Anything else (a closed stdin): no input at all. */
	if (err && err != -EPERM)
		term->eof = true;
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
	term->flush.fire = term_flush_fire;
	term->flush.opaque = term;
	err = loop_timer_init(&term->m->loop, &term->flush);
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
	pthread_mutex_init(&term->out_lock, NULL);
	term_open_input(term);
	m->term = term;
	return 0;
}

void term_destroy(struct machine *m)
{
	struct term *term = m->term;

	term_flush(term);
	term_unwatch(term);
	loop_timer_destroy(&m->loop, &term->flush);
	loop_del(&m->loop, &term->kick);
	close(term->kick.fd);
	if (term->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &term->saved);
	pthread_mutex_destroy(&term->out_lock);
	free(term);
	m->term = NULL;
}
