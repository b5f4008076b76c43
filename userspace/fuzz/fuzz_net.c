// SPDX-License-Identifier: GPL-2.0-only
/* virtio-net, both queues, over a backend that is a pair of sockets. */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/virtio.h"
#include "net/net.h"
#include "pci.h"
#include "virtio/net.h"

#define WRITE	VRING_DESC_F_WRITE

static struct virtio_target target = { .queues = 2 };
static struct net_backend backend;
static int wire;	/* the network's side of it */

/* ---- instead of net/user.c ---- */

static ssize_t recv_frame(struct net_backend *be, const struct iovec *iov, unsigned int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n };
	ssize_t len = recvmsg(be->fd, &msg, 0);

	if (len < 0)
		return -errno;
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : len;
}

static void send_frame(struct net_backend *be, const struct iovec *iov, unsigned int n)
{
	char frame[2048];

	if (writev(be->fd, iov, (int)n) < 0)
		return;
	while (read(wire, frame, sizeof(frame)) > 0)
		;
}

static void nothing(struct net_backend *be)
{
	(void)be;
}

static const struct net_ops ops = { .recv = recv_frame, .send = send_frame, .sent = nothing, .close = nothing };

int net_user_open(struct net_backend **be, struct sandbox *sandbox)
{
	int pair[2];

	(void)sandbox;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		abort();
	backend = (struct net_backend){ .ops = &ops, .fd = pair[0] };
	wire = pair[1];
	*be = &backend;
	return 0;
}

/* ---- */

static void feed(struct virtio_target *t, const void *data, size_t len)
{
	(void)t;
	if (send(wire, data, len, 0) < 0)
		return;
}

static void check(struct virtio_target *t)
{
	char frame[2048];

	(void)t;
	while (read(backend.fd, frame, sizeof(frame)) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct net_config cfg = { .kind = NET_USER };

	if (!target.b.m.pci) {
		rig_init(&target.b, RIG_RAM);
		fuzz_assert(!pci_create(&target.b.m) && !virtio_net_create(&target.b.m, &cfg));
		target.feed = feed;
		target.check = check;
	}
	virtio_run(&target, data, size);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static const char frame[80];
	struct fuzz_out out = { data, 0 };

	if (i > 1)
		return virtio_seed(2, i - 2, data);
	virtio_seed_up(&out, ~0ull, 4);
	virtio_seed_desc(&out, 0, 0, 0x20000, i ? 60 : 2048, WRITE, 0);
	virtio_seed_publish(&out, 0, 0);
	virtio_seed_feed(&out, frame, sizeof(frame));
	virtio_seed_desc(&out, 1, 0, 0x21000, 72, 0, 0);
	virtio_seed_publish(&out, 1, 0);
	return out.len;
}
