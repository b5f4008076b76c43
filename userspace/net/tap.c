// SPDX-License-Identifier: GPL-2.0-only
/* A tap interface by name. The kernel speaks virtio-net's header, so offloads pass through. */
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/list.h"
#include "util/msg.h"
#include "virtio/queue.h"

#define BIT(n)	(1ull << (n))

struct tap {
	struct net_backend be;
	struct iovec iov[VIRTQ_MAX_CHAIN + 1];
};

/* The kernel cuts what does not fit, and says nothing: a byte more tells. */
static ssize_t tap_recv(struct net_backend *be, const struct iovec *iov, unsigned int n)
{
	struct tap *tap = container_of(be, struct tap, be);
	size_t room = 0;
	ssize_t len;
	char more;

	for (unsigned int i = 0; i < n; i++) {
		tap->iov[i] = iov[i];
		room += iov[i].iov_len;
	}
	tap->iov[n] = (struct iovec){ &more, 1 };
	do
		len = readv(be->fd, tap->iov, (int)n + 1);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	return (size_t)len > room ? -EMSGSIZE : len;
}

static void tap_send(struct net_backend *be, const struct iovec *iov, unsigned int n)
{
	ssize_t len;

	do
		len = writev(be->fd, iov, n);
	while (len < 0 && errno == EINTR);
}

static const struct {
	unsigned int feature, flag;
} offloads[] = {
	{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
	{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
	{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
};

static void tap_negotiated(struct net_backend *be, uint64_t features)
{
	unsigned long flags = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(offloads); i++)
		if (features & BIT(offloads[i].feature))
			flags |= offloads[i].flag;
	ioctl(be->fd, TUNSETOFFLOAD, flags);
}

static void tap_close(struct net_backend *be)
{
	close(be->fd);
	free(container_of(be, struct tap, be));
}

static const struct net_ops tap_ops = {
	.recv = tap_recv,
	.send = tap_send,
	.negotiated = tap_negotiated,
	.close = tap_close,
};

static int attach(int fd, const char *ifname)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int hdr = NET_HDR_SIZE;

	if (strlen(ifname) >= IFNAMSIZ)
		return msg_fail(-EINVAL, "%s is too long for the name of a network interface",
				ifname);
	/* The kernel would make one, which leads nowhere and goes with the machine. */
	if (!if_nametoindex(ifname))
		return msg_fail(-ENODEV,
				"there is no tap interface %s (create it with: ip tuntap add %s mode tap)",
				ifname, ifname);
	strcpy(ifr.ifr_name, ifname);
	if (ioctl(fd, TUNSETIFF, &ifr))
		return msg_fail(-errno, "cannot use tap interface %s: %s", ifname,
				strerror(errno));
	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr))
		return msg_fail(-errno, "cannot set up tap interface %s: %s", ifname,
				strerror(errno));
	return 0;
}

static uint64_t features_of(int fd)
{
	/* a probe: all off again until the driver has chosen */
	if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)))
		return 0;
	ioctl(fd, TUNSETOFFLOAD, 0ul);
	return BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
	       BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
	       BIT(VIRTIO_NET_F_GUEST_TSO6);
}

int net_tap_open(struct net_backend **be, const char *ifname)
{
	struct tap *tap;
	int fd, ret;

	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return msg_fail(-errno, "cannot open /dev/net/tun: %s", strerror(errno));
	ret = attach(fd, ifname);
	if (ret)
		goto out_close;
	tap = calloc(1, sizeof(*tap));
	if (!tap) {
		ret = msg_fail(-ENOMEM, "out of memory for tap interface %s", ifname);
		goto out_close;
	}
	tap->be = (struct net_backend){ .ops = &tap_ops, .fd = fd, .features = features_of(fd),
				       .shared = true };
	*be = &tap->be;
	return 0;
out_close:
	close(fd);
	return ret;
}
