// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/msg.h"
#include "util/socket.h"

#define BACKLOG		64
#define CONNECT_MS	10000
#define HOST_MAX	256

/* ---- addresses ---- */

struct address {
	char host[HOST_MAX], port[16];	/* tcp */
	struct sockaddr_un un;		/* unix; sun_family 0: it is tcp */
};

static int parse_tcp(const char *text, struct address *a)
{
	const char *colon = strrchr(text, ':');
	size_t len;

	if (!colon || !colon[1] || strlen(colon + 1) >= sizeof(a->port))
		return -EINVAL;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len >= sizeof(a->host))
		return -EINVAL;
	memcpy(a->host, text, len);
	a->host[len] = '\0';
	strcpy(a->port, colon + 1);
	return 0;
}

static int parse(const char *uri, struct address *a)
{
	memset(a, 0, sizeof(*a));
	if (!strncmp(uri, "tcp:", 4))
		return parse_tcp(uri + 4, a);
	if (strncmp(uri, "unix:", 5) || !uri[5])
		return -EINVAL;
	if (strlen(uri + 5) >= sizeof(a->un.sun_path))
		return -ENAMETOOLONG;
	a->un.sun_family = AF_UNIX;
	strcpy(a->un.sun_path, uri + 5);
	return 0;
}

int channel_check(const char *what, const char *uri)
{
	struct address a;
	int err = parse(uri, &a);

	if (err)
		return msg_fail(err, "%s %s: give tcp:HOST:PORT or unix:PATH",
				what, uri);
	return 0;
}

/* ---- sockets ---- */

static int wait_for(int fd, short events, int cancel, int ms)
{
	struct pollfd fds[2] = { { .fd = fd, .events = events },
				 { .fd = cancel, .events = POLLIN } };
	int n;

	do {
		n = poll(fds, cancel < 0 ? 1 : 2, ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (cancel >= 0 && fds[1].revents)
		return -ECANCELED;
	return n ? 0 : -ETIMEDOUT;
}

static void set_nodelay(int fd)
{
	int one = 1;

	/* A Unix socket refuses, and needs it not. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int connect_to(int fd, const struct sockaddr *sa, socklen_t len,
		      int cancel)
{
	int err = 0;
	socklen_t size = sizeof(err);

	if (!connect(fd, sa, len))
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	err = wait_for(fd, POLLOUT, cancel, CONNECT_MS);
	if (err)
		return err;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
		return -errno;
	return -err;
}

static int listen_at(int fd, const struct sockaddr *sa, socklen_t len)
{
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(fd, sa, len) || listen(fd, BACKLOG) ? -errno : 0;
}

static int open_one(const struct sockaddr *sa, socklen_t len, bool passive,
		    int cancel)
{
	int fd = socket(sa->sa_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = passive ? listen_at(fd, sa, len) :
			connect_to(fd, sa, len, cancel);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* Any of the addresses that the name stands for. */
static int open_tcp(const struct address *a, bool passive, int cancel,
		    char *why, size_t size)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = passive ? AI_PASSIVE : 0,
	}, *list = NULL;
	int err, fd = -ENOENT;

	err = getaddrinfo(a->host[0] ? a->host : NULL, a->port, &hints, &list);
	if (err) {
		snprintf(why, size, "%s", gai_strerror(err));
		return -EHOSTUNREACH;
	}
	for (struct addrinfo *ai = list; ai && fd < 0 && fd != -ECANCELED;
	     ai = ai->ai_next)
		fd = open_one(ai->ai_addr, ai->ai_addrlen, passive, cancel);
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(why, size, "%s", strerror(-fd));
	return fd;
}

/* Who was killed leaves a socket at which nobody answers. */
static int open_unix(const struct sockaddr_un *un, bool passive, int cancel)
{
	const struct sockaddr *sa = (const struct sockaddr *)un;
	int fd = open_one(sa, sizeof(*un), passive, cancel), probe;

	if (!passive || fd != -EADDRINUSE)
		return fd;
	probe = open_one(sa, sizeof(*un), false, cancel);
	if (probe >= 0)
		close(probe);
	if (probe != -ECONNREFUSED || socket_remove(un->sun_path))
		return fd;
	return open_one(sa, sizeof(*un), true, cancel);
}

static int open_uri(const char *uri, bool passive, int cancel, char *why,
		    size_t size)
{
	struct address a;
	int fd = parse(uri, &a);

	if (fd) {
		snprintf(why, size, "not an address: give tcp:HOST:PORT or unix:PATH");
		return fd;
	}
	if (!a.un.sun_family)
		return open_tcp(&a, passive, cancel, why, size);
	fd = open_unix(&a.un, passive, cancel);
	if (fd < 0)
		snprintf(why, size, "%s", strerror(-fd));
	return fd;
}

int channel_listen(const char *uri, char *why, size_t size)
{
	return open_uri(uri, true, -1, why, size);
}

int channel_connect(const char *uri, int cancel, char *why, size_t size)
{
	int fd = open_uri(uri, false, cancel, why, size);

	if (fd >= 0)
		set_nodelay(fd);
	return fd;
}

const char *channel_path(const char *uri)
{
	return strncmp(uri, "unix:", 5) ? NULL : uri + 5;
}

void channel_unlink(const char *uri)
{
	if (channel_path(uri))
		unlink(channel_path(uri));
}

int channel_accept(int listener, int cancel, int patience_ms)
{
	int err, fd;

	/* who called may have gone before it was answered */
	do {
		err = wait_for(listener, POLLIN, cancel, patience_ms);
		if (err)
			return err;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == ECONNABORTED || errno == EAGAIN || errno == EINTR));
	if (fd < 0)
		return -errno;
	set_nodelay(fd);
	return fd;
}

/* ---- bytes ---- */

void channel_init(struct channel *ch, int fd, int cancel, int patience_ms)
{
	*ch = (struct channel){ .fd = fd, .cancel = cancel,
				.patience_ms = patience_ms,
				.lock = PTHREAD_MUTEX_INITIALIZER };
}

void channel_close(struct channel *ch)
{
	if (ch->fd >= 0)
		close(ch->fd);
	ch->fd = -1;
}

static int write_locked(struct channel *ch, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(ch->fd, p, len, MSG_NOSIGNAL);
		int err;

		if (n < 0 && errno == EAGAIN) {
			err = wait_for(ch->fd, POLLOUT, ch->cancel,
				       ch->patience_ms);
			if (err)
				return err;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
		__atomic_fetch_add(&ch->sent, (uint64_t)n, __ATOMIC_RELAXED);
	}
	return 0;
}

int channel_write(struct channel *ch, const void *data, size_t len)
{
	int err;

	pthread_mutex_lock(&ch->lock);
	err = write_locked(ch, data, len);
	pthread_mutex_unlock(&ch->lock);
	return err;
}

int channel_read(struct channel *ch, void *data, size_t len)
{
	char *p = data;

	while (len) {
		int err = wait_for(ch->fd, POLLIN, ch->cancel, ch->patience_ms);
		ssize_t n;

		if (err)
			return err;
		n = recv(ch->fd, p, len, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return n ? -errno : -EPIPE;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

bool channel_cancelled(const struct channel *ch)
{
	return ch->cancel >= 0 && !wait_for(ch->cancel, POLLIN, -1, 0);
}

bool channel_pending(const struct channel *ch)
{
	return !wait_for(ch->fd, POLLIN, -1, 0);
}

const char *channel_error(int err)
{
	switch (err) {
	case -EPIPE:
	case -ECONNRESET:
		return "the connection was cut";
	case -ETIMEDOUT:
		return "the other side does not answer";
	case -ECANCELED:
		return "cancelled";
	case -EBADMSG:
		return "the stream is damaged";
	case -EPROTO:
		return "the other side does not keep to the protocol";
	default:
		return strerror(-err);
	}
}
