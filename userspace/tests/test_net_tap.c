// SPDX-License-Identifier: GPL-2.0-only
/* virtio-net on a tap interface, in a network of its own: who arrives is announced, and a link that is gone is down. */
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "net/net.h"
#include "pci.h"
#include "stream.h"
#include "tests/board.h"
#include "tests/tap.h"
#include "virtio/net.h"

#define NAME	"vmrun0"
#define RX_BUFFERS 64

enum { RXQ, TXQ };

/* ---- the interface ---- */

static bool make_interface(void)
{
	struct ifreq ifr = { .ifr_name = NAME, .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int tun, s;
	bool made;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	tun = open("/dev/net/tun", O_RDWR);
	s = socket(AF_INET, SOCK_DGRAM, 0);
	made = tun >= 0 && s >= 0 && !ioctl(tun, TUNSETIFF, &ifr) && !ioctl(tun, TUNSETPERSIST, 1);
	ifr.ifr_flags = IFF_UP;
	made = made && !ioctl(s, SIOCSIFFLAGS, &ifr);
	close(tun);
	close(s);
	return made;
}

static bool delete_interface(void)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} request = {
		.head = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_DELLINK, .nlmsg_flags = NLM_F_REQUEST },
		.info = { .ifi_index = (int)if_nametoindex(NAME) },
	};
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	bool sent = s >= 0 && send(s, &request, sizeof(request), 0) == sizeof(request);

	close(s);
	return sent;
}

static int listen_to_all(void)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(NAME),
	};
	int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	return s >= 0 && !bind(s, (struct sockaddr *)&addr, sizeof(addr)) ? s : -1;
}

/* ---- the card ---- */

/* With buffers for all that the host says by itself: while there is none, nobody looks at the interface. */
static void card_up(struct driver *d)
{
	struct dqueue rx, tx;

	driver_negotiate(d, 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MAC | 1ull << VIRTIO_NET_F_STATUS);
	dqueue_init(&rx, d, RXQ, RX_BUFFERS);
	dqueue_init(&tx, d, TXQ, 16);
	driver_ok(d);
	for (uint16_t i = 0; i < RX_BUFFERS; i++) {
		dqueue_desc(&rx, i, BUF_GPA + 2048 * i, 2048, VRING_DESC_F_WRITE, 0);
		dqueue_publish(&rx, i);
	}
	dqueue_kick(&rx);
}

static unsigned int announcements(struct driver *d, int s, int ms)
{
	struct pollfd pfd = { .fd = s, .events = POLLIN };
	unsigned int n = 0;
	uint8_t f[2048];

	while (poll(&pfd, 1, ms) > 0 && recv(s, f, sizeof(f), 0) >= 42)
		if (f[12] == 0x80 && f[13] == 0x35 && f[21] == 3 && f[0] == 0xff) {
			bool own = true;

			for (unsigned int i = 0; i < 6; i++) {
				uint8_t byte = (uint8_t)mmio_get(d->b, d->config + i, 1);

				own = own && f[6 + i] == byte && f[22 + i] == byte && f[32 + i] == byte;
			}
			n += own;
		}
	return n;
}

static bool link_is_up(struct driver *d)
{
	return mmio_get(d->b, d->config + 6, 2) & VIRTIO_NET_S_LINK_UP;
}

static void test_arrival(struct driver *d)
{
	int s = listen_to_all();
	struct stream state;

	stream_init(&state);
	card_up(d);
	ok(s >= 0 && !announcements(d, s, 300), "who boots is not announced");
	ok(!devices_save(&d->b->m, &state), "save");
	devices_reset(&d->b->m);
	ok(!board_load(d->b, &state), "load");
	ok(announcements(d, s, 1000) == 5, "who arrives is, five times");
	stream_destroy(&state);
	close(s);
}

/* From the host's side, to nobody in particular. */
static void say(int s, uint32_t len)
{
	static uint8_t f[1500];

	memset(f, 0xff, 12);
	f[6] = 2;
	f[12] = 0x88;
	f[13] = 0xb5;	/* for experiments */
	f[14] = len & 0xff;
	if (send(s, f, len, 0) != (ssize_t)len)
		perror("send");
}

static void test_long_frame(struct driver *d)
{
	struct dqueue rx, tx;
	const uint8_t *frame = (uint8_t *)gmem(d->b, BUF_GPA) + NET_HDR_SIZE;
	uint32_t id, len = 0;
	int s = listen_to_all();

	driver_negotiate(d, 1ull << VIRTIO_F_VERSION_1);
	dqueue_init(&rx, d, RXQ, RX_BUFFERS);
	dqueue_init(&tx, d, TXQ, 16);
	driver_ok(d);
	dqueue_desc(&rx, 0, BUF_GPA, NET_HDR_SIZE + 300, VRING_DESC_F_WRITE, 0);
	dqueue_publish(&rx, 0);
	dqueue_kick(&rx);
	say(s, 301);
	say(s, 300);
	do {
		if (!dqueue_wait(&rx, &id, &len))
			break;
		dqueue_publish(&rx, 0);
		dqueue_kick(&rx);
	} while (frame[12] != 0x88);
	ok(len == NET_HDR_SIZE + 300 && frame[14] == (300 & 0xff), "a frame that is too long is dropped, not cut (%u)", len);
	close(s);
}

static void test_loss(struct driver *d)
{
	card_up(d);
	ok(link_is_up(d), "the link is up");
	ok(delete_interface() && wait_for(!link_is_up(d)), "and down when the interface is gone");
	card_up(d);
	ok(!link_is_up(d), "and stays so");
}

int main(void)
{
	struct net_config cfg = { .kind = NET_TAP, .tap = "vmrun-typo" };
	struct board b;
	struct driver d;

	if (!make_interface()) {
		tap_skip("tap", "no tap interface can be made here");
		return tap_done();
	}
	board_init(&b);
	pci_create(&b.m);
	board_start_loop(&b);
	ok(virtio_net_create(&b.m, &cfg) < 0 && !if_nametoindex(cfg.tap), "an interface that is not there is not made");
	cfg.tap = NAME;
	ok(!virtio_net_create(&b.m, &cfg) && driver_probe(&d, &b, 1), "a card");
	test_arrival(&d);
	test_long_frame(&d);
	test_loss(&d);
	board_destroy(&b);
	return tap_done();
}
