// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio-console over a pseudo-terminal. The terminal side is kept open here
 * too, so that programs may come and go. Output that nobody reads is lost when
 * the terminal's buffer is full: a guest must never wait for a reader that may
 * not exist (Linux spins until its output is taken).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "virtio/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "machine.h"
#include "util/msg.h"
#include "virtio/virtio.h"

#define BATCH	16

enum { RXQ, TXQ };

struct console {
	struct virtio_dev v;
	int master, slave;
	char path[64];
	struct loop_fd lfd;	/* the master's */
	bool watched;
	struct virtio_console_config config;
};

static struct console *to_console(struct virtio_dev *v)
{
	return container_of(v, struct console, v);
}

static void watch(struct console *con, bool on)
{
	if (con->watched)
		loop_mod(&con->v.dev.m->loop, &con->lfd, on ? EPOLLIN : 0);
}

static bool rx_one(struct console *con)
{
	struct virtio_dev *v = &con->v;
	struct virtq_chain *c = &v->chain;
	ssize_t len;

	if (!virtio_pop(v, RXQ, c))
		return false;
	if (!c->nin) {
		virtio_fail(v, "receive buffer without room");
		return false;
	}
	len = readv(con->master, c->iov + c->nout, c->nin);
	if (len <= 0) {
		virtq_unpop(&v->queue[RXQ].vq, c);
		return false;
	}
	virtq_push(&v->queue[RXQ].vq, c, len);
	return true;
}

static void rx(struct console *con)
{
	struct virtq *vq = &con->v.queue[RXQ].vq;
	unsigned int i;

	if (con->v.unmastered)
		return;
	virtq_kicks_off(vq);
	for (i = 0; i < BATCH && rx_one(con); i++)
		;
	virtio_signal(&con->v, RXQ);
	watch(con, con->v.running && (!virtq_empty(vq) || virtq_kicks_on(vq)));
}

static void tx(struct console *con)
{
	struct virtio_dev *v = &con->v;
	struct virtq *vq = &v->queue[TXQ].vq;
	unsigned int i;

	virtq_kicks_off(vq);
	for (i = 0; i < BATCH && virtio_pop(v, TXQ, &v->chain); i++) {
		ssize_t ignored = writev(con->master, v->chain.iov, v->chain.nout);

		(void)ignored;
		virtq_push(vq, &v->chain, 0);
	}
	virtio_signal(v, TXQ);
	if (v->running && (!virtq_empty(vq) || virtq_kicks_on(vq)))
		virtio_kick(v, TXQ);
}

static void master_ready(struct loop_fd *lfd, uint32_t events)
{
	struct console *con = lfd->opaque;

	(void)events;
	pthread_mutex_lock(&con->v.lock);
	if (con->v.running)
		rx(con);
	else
		watch(con, false);
	pthread_mutex_unlock(&con->v.lock);
}

static void kicked(struct virtio_dev *v, unsigned int q)
{
	if (q == TXQ)
		tx(to_console(v));
	else
		rx(to_console(v));
}

static void stop(struct virtio_dev *v)
{
	watch(to_console(v), false);
}

static int realize(struct virtio_dev *v)
{
	struct console *con = to_console(v);
	int ret;

	con->lfd = (struct loop_fd){ .fd = con->master, .ready = master_ready, .opaque = con };
	ret = loop_add(&v->dev.m->loop, &con->lfd, 0);
	con->watched = !ret;
	return ret;
}

static void unrealize(struct virtio_dev *v)
{
	struct console *con = to_console(v);

	if (con->watched)
		loop_del(&v->dev.m->loop, &con->lfd);
	con->watched = false;
}

static void destroy(struct virtio_dev *v)
{
	struct console *con = to_console(v);

	if (con->slave >= 0)
		close(con->slave);
	if (con->master >= 0)
		close(con->master);
	free(con);
}

static const struct virtio_ops console_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.class = 0x078000,
	.nr_queues = 2,
	.queue_size = 64,
	.realize = realize,
	.unrealize = unrealize,
	.free = destroy,
	.stop = stop,
	/* Linux prints on, and waits for each line, until it is in another kernel. */
	.unmaster = stop,
	.kicked = kicked,
};

static int pty_open(struct console *con)
{
	struct termios raw;
	int ret;

	con->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (con->master < 0 || grantpt(con->master) || unlockpt(con->master))
		return -errno;
	ret = ptsname_r(con->master, con->path, sizeof(con->path));
	if (ret)
		return -ret;
	con->slave = open(con->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (con->slave < 0 || tcgetattr(con->slave, &raw))
		return -errno;
	cfmakeraw(&raw);
	return tcsetattr(con->slave, TCSANOW, &raw) ? -errno : 0;
}

int virtio_console_create(struct machine *m)
{
	struct console *con = calloc(1, sizeof(*con));
	int ret;

	if (!con)
		return msg_fail(-ENOMEM, "out of memory for the console");
	con->master = -1;
	con->slave = -1;
	ret = pty_open(con);
	if (ret) {
		destroy(&con->v);
		return msg_fail(ret, "cannot open a pseudo-terminal for the console: %s",
				strerror(-ret));
	}
	con->v.config = &con->config;
	con->v.config_len = sizeof(con->config);
	virtio_init(&con->v, m, &console_ops, "console", 0);
	ret = virtio_register(&con->v);
	if (ret) {
		virtio_fini(&con->v);
		destroy(&con->v);
	}
	return ret;
}

const char *virtio_console_path(struct machine *m)
{
	struct list *pos;

	list_for_each(pos, &m->devices) {
		struct device *dev = container_of(pos, struct device, node);

		if (!strncmp(dev->name, "virtio-console", 14))
			return to_console(container_of(dev, struct virtio_dev, dev))->path;
	}
	return NULL;
}
