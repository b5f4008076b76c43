// SPDX-License-Identifier: GPL-2.0-only
/* virtio-net with the user network, virtio-rng and virtio-console, by their drivers' side. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "net/net.h"
#include "pci.h"
#include "sandbox/sandbox.h"
#include "stream.h"
#include "tests/board.h"
#include "tests/tap.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"

#define WRITE	VRING_DESC_F_WRITE
#define RX_GPA	BUF_GPA
#define RX_SIZE	2048
#define TX_GPA	(BUF_GPA + 0x10000)

enum { RXQ, TXQ };

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

struct card {
	const char *mode;
	struct driver d;
	struct dqueue rx, tx;
	uint8_t mac[6];
};

static void rx_post(struct card *c, unsigned int i)
{
	dqueue_desc(&c->rx, i, RX_GPA + RX_SIZE * i, RX_SIZE, WRITE, 0);
	dqueue_publish(&c->rx, i);
}

static void card_up(struct card *c, unsigned int buffers)
{
	unsigned int i;

	driver_negotiate(&c->d, 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MAC);
	dqueue_init(&c->rx, &c->d, RXQ, 16);
	dqueue_init(&c->tx, &c->d, TXQ, 16);
	driver_ok(&c->d);
	for (i = 0; i < 6; i++)
		c->mac[i] = mmio_get(c->d.b, c->d.config + i, 1);
	for (i = 0; i < buffers; i++)
		rx_post(c, i);
	dqueue_kick(&c->rx);
}

static bool send_frame(struct card *c, const void *frame, uint32_t len)
{
	uint8_t *buf = gmem(c->d.b, TX_GPA);
	uint32_t id, written;

	memset(buf, 0, NET_HDR_SIZE);
	memcpy(buf + NET_HDR_SIZE, frame, len);
	dqueue_desc(&c->tx, 0, TX_GPA, NET_HDR_SIZE + len, 0, 0);
	dqueue_publish(&c->tx, 0);
	dqueue_kick(&c->tx);
	return dqueue_wait(&c->tx, &id, &written);
}

/* Wait for a frame of that EtherType; gives its buffer back. Return: length, 0 on time-out. */
static uint32_t receive(struct card *c, uint16_t type, uint8_t *frame)
{
	uint32_t id, len;
	const uint8_t *buf;

	while (dqueue_wait(&c->rx, &id, &len)) {
		buf = gmem(c->d.b, RX_GPA + RX_SIZE * id);
		memcpy(frame, buf + NET_HDR_SIZE, len - NET_HDR_SIZE);
		if (buf[10] != 1 || buf[11])
			return 0;	/* num_buffers */
		rx_post(c, id);
		dqueue_kick(&c->rx);
		if (frame[12] == type >> 8 && frame[13] == (type & 0xff))
			return len - NET_HDR_SIZE;
	}
	return 0;
}

static void arp_request(const struct card *c, uint8_t *f)
{
	static const uint8_t head[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };

	memset(f, 0, 60);
	memcpy(f, broadcast, 6);
	memcpy(f + 6, c->mac, 6);
	f[12] = 8;
	f[13] = 6;
	memcpy(f + 14, head, 8);
	memcpy(f + 22, c->mac, 6);
	memcpy(f + 28, "\x0a\x00\x02\x0f", 4);
	memcpy(f + 38, "\x0a\x00\x02\x02", 4);
}

static uint16_t ip_sum(const uint8_t *p, unsigned int len)
{
	uint32_t sum = 0;
	unsigned int i;

	for (i = 0; i < len; i += 2)
		sum += p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* DHCPDISCOVER from 0.0.0.0:68; no UDP checksum */
static void dhcp_discover(const struct card *c, uint8_t *f)
{
	static const uint8_t ip[20] = {0x45, 0, 1, 20, 0, 0, 0,	  0,   64,  17,
				       0,    0, 0, 0,  0, 0, 255, 255, 255, 255};
	static const uint8_t udp[8] = { 0, 68, 0, 67, 1, 0, 0, 0 };
	static const uint8_t options[] = { 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255 };
	uint16_t sum;

	memset(f, 0, 290);
	memcpy(f, broadcast, 6);
	memcpy(f + 6, c->mac, 6);
	f[12] = 8;
	memcpy(f + 14, ip, 20);
	sum = ip_sum(f + 14, 20);
	f[24] = sum >> 8;
	f[25] = sum;
	memcpy(f + 34, udp, 8);
	f[42] = 1;	/* BOOTREQUEST */
	f[43] = 1;
	f[44] = 6;
	memcpy(f + 46, "\x12\x34\x56\x78", 4);
	memcpy(f + 70, c->mac, 6);
	memcpy(f + 278, options, sizeof(options));
}

/* An IP header and @len bytes behind it, to 10.0.2.@host. Return: the frame's length. */
static uint32_t ip_frame(const struct card *c, uint8_t *f, uint8_t proto, uint8_t host, uint32_t len)
{
	static const uint8_t head[20] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 10, 0, 2, 15, 10, 0, 2, 0};
	uint16_t sum;

	memcpy(f, "\x52\x55\x0a\x00\x02\x02", 6);
	memcpy(f + 6, c->mac, 6);
	f[12] = 8;
	f[13] = 0;
	memcpy(f + 14, head, 20);
	f[16] = (20 + len) >> 8;
	f[17] = 20 + len;
	f[23] = proto;
	f[33] = host;
	sum = ip_sum(f + 14, 20);
	f[24] = sum >> 8;
	f[25] = sum;
	return 34 + len;
}

/* A SYN without options from port 1025; the sum is over the addresses, too. */
static uint32_t tcp_syn(const struct card *c, uint8_t *f, uint16_t port)
{
	static const uint8_t tcp[20] = {4, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0};
	uint32_t len = ip_frame(c, f, 6, 2, sizeof(tcp));
	uint8_t all[32];
	uint16_t sum;

	memcpy(f + 34, tcp, sizeof(tcp));
	f[36] = port >> 8;
	f[37] = port;
	memcpy(all, f + 26, 8);
	memcpy(all + 8, "\x00\x06\x00\x14", 4);
	memcpy(all + 12, f + 34, sizeof(tcp));
	sum = ip_sum(all, sizeof(all));
	f[50] = sum >> 8;
	f[51] = sum;
	return len;
}

static uint32_t udp_datagram(const struct card *c, uint8_t *f, uint8_t host, uint16_t port)
{
	static const uint8_t udp[12] = {4, 2, 0, 0, 0, 12, 0, 0, 'd', 'a', 't', 'a'};
	uint32_t len = ip_frame(c, f, 17, host, sizeof(udp));

	memcpy(f + 34, udp, sizeof(udp));
	f[36] = port >> 8;
	f[37] = port;
	return len;
}

static int server(int type, uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { 5, 0 };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || getsockname(fd, (struct sockaddr *)&at, &len) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		abort();
	*port = ntohs(at.sin_port);
	return fd;
}

/* What the guest says to its router gets to this host. */
static void test_connections(struct card *c)
{
	uint16_t port;
	char got[8] = "";
	uint8_t f[2048];
	int fd = server(SOCK_STREAM, &port), peer;

	card_up(c, 8);
	listen(fd, 1);
	send_frame(c, f, tcp_syn(c, f, port));
	peer = accept(fd, NULL, NULL);
	ok(peer >= 0, "%s: a connection to this host", c->mode);
	ok(receive(c, 0x0800, f) >= 54 && f[23] == 6 && (f[47] & 0x12) == 0x12, "%s: the guest hears of it", c->mode);
	close(peer);
	close(fd);
	fd = server(SOCK_DGRAM, &port);
	send_frame(c, f, udp_datagram(c, f, 2, port));
	ok(recv(fd, got, sizeof(got), 0) == 4 && !memcmp(got, "data", 4), "%s: a datagram", c->mode);
	close(fd);
	/* The name server is looked for in a file, and after a second once more. No query: nobody answers. */
	for (int i = 0; i < 3; i++) {
		send_frame(c, f, udp_datagram(c, f, 3, 53));
		usleep(600000);
	}
	arp_request(c, f);
	ok(send_frame(c, f, 60) && receive(c, 0x0806, f), "%s: it survives questions for its name server", c->mode);
}

static void test_traffic(struct card *c)
{
	uint8_t f[2048];
	uint32_t len;

	card_up(c, 8);
	ok(!memcmp(c->mac, "\x52\x54\x00", 3), "address with the local prefix");
	arp_request(c, f);
	ok(send_frame(c, f, 60), "a frame is sent");
	ok(receive(c, 0x0806, f) >= 42 && f[21] == 2 && !memcmp(f + 28, "\x0a\x00\x02\x02", 4),
	   "the router answers ARP");
	dhcp_discover(c, f);
	send_frame(c, f, 290);
	len = receive(c, 0x0800, f);
	ok(len > 282 && f[35] == 67 && f[37] == 68 && !memcmp(f + 58, "\x0a\x00\x02\x0f", 4),
	   "DHCP offers 10.0.2.15");
	memset(f, 0x5a, sizeof(f));
	ok(send_frame(c, f, 1600) && send_frame(c, f, 3),
	   "frames too long or too short are swallowed");
}

/* Without buffers the answers wait, and come when there are some. */
static void test_no_buffers(struct card *c)
{
	uint8_t f[2048];

	card_up(c, 0);
	arp_request(c, f);
	send_frame(c, f, 60);
	usleep(50000);
	rx_post(c, 0);
	dqueue_kick(&c->rx);
	ok(receive(c, 0x0806, f), "a frame waits for a buffer");
}

static void test_small_buffer(struct card *c)
{
	uint32_t id, len;
	uint8_t f[2048];

	card_up(c, 0);
	dqueue_desc(&c->rx, 0, RX_GPA, 20, WRITE, 0);
	dqueue_publish(&c->rx, 0);
	dqueue_kick(&c->rx);
	arp_request(c, f);
	send_frame(c, f, 60);
	usleep(50000);
	ok(!(driver_status(&c->d) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a frame larger than the buffer is dropped");
	dqueue_desc(&c->rx, 1, RX_GPA, 4, WRITE, 0);
	c->rx.avail_idx = 0;
	card_up(c, 0);
	dqueue_desc(&c->rx, 0, RX_GPA, 4, WRITE, 0);
	dqueue_publish(&c->rx, 0);
	dqueue_kick(&c->rx);
	send_frame(c, f, 60);
	ok(!dqueue_wait(&c->rx, &id, &len) && (driver_status(&c->d) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a buffer smaller than the header stops the device");
}

static void test_state(struct card *c)
{
	struct stream s;
	uint8_t f[2048];

	card_up(c, 8);
	arp_request(c, f);
	send_frame(c, f, 60);
	receive(c, 0x0806, f);
	stream_init(&s);
	ok(!devices_save(&c->d.b->m, &s), "save");
	devices_reset(&c->d.b->m);
	ok(!board_load(c->d.b, &s), "load");
	arp_request(c, f);
	ok(send_frame(c, f, 60) && receive(c, 0x0806, f), "the network goes on");
	stream_destroy(&s);
}

static void test_rng(struct board *b)
{
	uint8_t *buf = gmem(b, BUF_GPA);
	unsigned int i, zeroes = 0;
	struct dqueue q;
	struct driver d;
	uint32_t id, len;

	ok(!virtio_rng_create(&b->m) && driver_probe(&d, b, 2), "a random number device");
	driver_negotiate(&d, ~0ull);
	dqueue_init(&q, &d, 0, 16);
	driver_ok(&d);
	memset(buf, 0, 8192);
	dqueue_desc(&q, 0, BUF_GPA, 256, WRITE, 0);
	dqueue_publish(&q, 0);
	dqueue_kick(&q);
	ok(dqueue_wait(&q, &id, &len) && len == 256, "fills the buffer");
	for (i = 0; i < 256; i++)
		zeroes += !buf[i];
	ok(zeroes < 16 && !buf[256], "with something, and nothing beyond it");
	dqueue_desc(&q, 1, BUF_GPA, 1 << 20, WRITE, 0);
	dqueue_publish(&q, 1);
	dqueue_kick(&q);
	ok(dqueue_wait(&q, &id, &len) && len == 4096, "gives a part of a huge request");
	dqueue_desc(&q, 2, BUF_GPA, 64, 0, 0);
	dqueue_publish(&q, 2);
	dqueue_kick(&q);
	ok(dqueue_wait(&q, &id, &len) && !len, "nothing into a buffer it may not write");
}

static bool have_ptys(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void test_console(struct board *b)
{
	struct dqueue rx, tx;
	char got[16] = "";
	struct driver d;
	uint32_t id, len;
	unsigned int i;
	int fd;

	ok(!virtio_console_create(&b->m) && driver_probe(&d, b, 3), "a console");
	fd = open(virtio_console_path(&b->m), O_RDWR | O_NOCTTY | O_NONBLOCK);
	ok(fd >= 0, "has a terminal");
	driver_negotiate(&d, ~0ull);
	dqueue_init(&rx, &d, RXQ, 16);
	dqueue_init(&tx, &d, TXQ, 16);
	driver_ok(&d);

	memcpy(gmem(b, TX_GPA), "hello\r\n", 7);
	dqueue_desc(&tx, 0, TX_GPA, 7, 0, 0);
	dqueue_publish(&tx, 0);
	dqueue_kick(&tx);
	ok(dqueue_wait(&tx, &id, &len) && read(fd, got, sizeof(got)) == 7 &&
		   !memcmp(got, "hello\r\n", 7),
	   "output");
	dqueue_desc(&rx, 0, RX_GPA, 64, WRITE, 0);
	dqueue_publish(&rx, 0);
	dqueue_kick(&rx);
	ok(write(fd, "input\n", 6) == 6 && dqueue_wait(&rx, &id, &len) && len == 6 &&
	   !memcmp(gmem(b, RX_GPA), "input\n", 6), "input, unchanged");
	for (i = 0; i < 40; i++) {
		dqueue_desc(&tx, 0, TX_GPA, 1024, 0, 0);
		dqueue_publish(&tx, 0);
		dqueue_kick(&tx);
		if (!dqueue_wait(&tx, &id, &len))
			break;
	}
	ok(i == 40, "output that nobody reads does not block");

	cfg_set(b, 3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	memset(gmem(b, RX_GPA), 0, 64);
	dqueue_desc(&rx, 0, RX_GPA, 64, WRITE, 0);
	dqueue_publish(&rx, 0);
	dqueue_kick(&rx);
	dqueue_desc(&tx, 0, TX_GPA, 7, 0, 0);
	dqueue_publish(&tx, 0);
	dqueue_kick(&tx);
	ok(write(fd, "y\n", 2) == 2 && dqueue_wait(&tx, &id, &len) && !*(char *)gmem(b, RX_GPA),
	   "who may not master the bus prints, and is deaf");

	driver_negotiate(&d, ~0ull);
	dqueue_init(&rx, &d, RXQ, 16);
	dqueue_init(&tx, &d, TXQ, 16);
	driver_ok(&d);
	dqueue_desc(&rx, 0, RX_GPA, 64, 0, 0);
	dqueue_publish(&rx, 0);
	dqueue_kick(&rx);
	ok(write(fd, "x", 1) == 1 && wait_for(driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a receive buffer that cannot be written stops the device");
	close(fd);
}

static void test_start_stop(void)
{
	struct net_backend *be;
	unsigned int i;

	for (i = 0; i < 50; i++) {
		if (net_user_open(&be, NULL))
			break;
		be->ops->close(be);
	}
	ok(i == 50, "the user network starts and stops");
}

/* The user network's thread as it is in a machine: with the filter of its role. */
static void test_confined(void)
{
	struct machine_config cfg = { .net.kind = NET_USER };
	struct card c = { .mode = "confined" };
	struct board b;

	board_init(&b);
	if (!ok(!sandbox_create(&b.m.sandbox, &cfg), "a sandbox"))
		return;
	pci_create(&b.m);
	board_start_loop(&b);
	ok(!virtio_net_create(&b.m, &cfg.net) && driver_probe(&c.d, &b, 1), "a card in it");
	test_traffic(&c);
	test_connections(&c);
	board_destroy(&b);
	sandbox_destroy(b.m.sandbox);
}

int main(void)
{
	struct net_config user = { .kind = NET_USER }, none = { .kind = NET_NONE };
	struct net_config tap = { .kind = NET_TAP, .tap = "this-name-is-too-long" };
	struct card c = { .mode = "free" };
	struct board b;

	test_start_stop();
	board_init(&b);
	pci_create(&b.m);
	board_start_loop(&b);
	ok(!virtio_net_create(&b.m, &none) && cfg_get(&b, 1, 0, 2) == 0xffff,
	   "no network, no card");
	ok(virtio_net_create(&b.m, &tap) < 0, "a bad tap name fails");
	ok(!virtio_net_create(&b.m, &user) && driver_probe(&c.d, &b, 1),
	   "a card is created and found");
	test_traffic(&c);
	test_connections(&c);
	test_no_buffers(&c);
	test_small_buffer(&c);
	test_state(&c);
	test_rng(&b);
	if (have_ptys())
		test_console(&b);
	else
		tap_skip("a console", "no pseudo-terminals here");
	board_destroy(&b);
	test_confined();
	return tap_done();
}
