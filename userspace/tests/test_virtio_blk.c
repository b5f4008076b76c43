// SPDX-License-Identifier: GPL-2.0-only
/* virtio-blk by its driver's side, on a temporary file; the transport's own rules on the way. */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "pci.h"
#include "stream.h"
#include "tests/board.h"
#include "tests/tap.h"
#include "virtio/blk.h"

#define SLOT		1
#define DISK_SIZE	(1u << 20)
#define HDR		BUF_GPA
#define STATUS		(BUF_GPA + 0x100)
#define DATA		(BUF_GPA + 0x1000)

#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE

static char path[] = "/tmp/vmrun-test-XXXXXX";

static void disk_make(void)
{
	int fd = mkstemp(path);

	if (fd < 0 || ftruncate(fd, DISK_SIZE))
		abort();
	close(fd);
}

/* One request through the whole device. Return: its status byte, or 0xff if it never came back. */
static uint8_t request(struct dqueue *q, uint32_t type, uint64_t sector, uint32_t len, bool in,
		       uint32_t *written)
{
	struct virtio_blk_outhdr *hdr = gmem(q->d->b, HDR);
	uint8_t *status = gmem(q->d->b, STATUS);
	uint32_t id;

	*hdr = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	*status = 0xff;
	dqueue_desc(q, 0, HDR, sizeof(*hdr), NEXT, len ? 1 : 2);
	dqueue_desc(q, 1, DATA, len, NEXT | (in ? WRITE : 0), 2);
	dqueue_desc(q, 2, STATUS, 1, WRITE, 0);
	dqueue_publish(q, 0);
	dqueue_kick(q);
	return dqueue_wait(q, &id, written) && !id ? *status : 0xff;
}

static void msix_on(struct driver *d)
{
	unsigned int i;

	cfg_set(d->b, d->slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (i = 0; i < 2; i++) {
		mmio_set(d->b, d->msix + 16 * i, 8, 0xfee00000);
		mmio_set(d->b, d->msix + 16 * i + 8, 4, 0x4000 + i);
		mmio_set(d->b, d->msix + 16 * i + 12, 4, 0);
	}
	for (i = cfg_get(d->b, d->slot, PCI_CAPABILITY_LIST, 1);
	     cfg_get(d->b, d->slot, i, 1) != PCI_CAP_ID_MSIX;)
		i = cfg_get(d->b, d->slot, i + 1, 1);
	cfg_set(d->b, d->slot, i + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

static uint64_t up(struct driver *d, struct dqueue *q, uint64_t features)
{
	uint64_t offered = driver_negotiate(d, features);

	dqueue_init(q, d, 0, 16);
	mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_MSIX, 2, 1);
	driver_ok(d);
	return offered;
}

static void test_requests(struct driver *d)
{
	struct board *b = d->b;
	uint8_t *data = gmem(b, DATA), file[1024];
	struct dqueue q;
	uint32_t len;
	int fd = open(path, O_RDWR);

	ok(up(d, &q, ~0ull) & 1ull << VIRTIO_BLK_F_FLUSH, "flush is offered");
	ok(mmio_get(b, d->config, 8) == DISK_SIZE / 512, "capacity");
	memset(data, 0xa5, 1024);
	ok(request(&q, VIRTIO_BLK_T_OUT, 4, 1024, false, &len) == VIRTIO_BLK_S_OK && len == 1,
	   "write");
	ok(pread(fd, file, 1024, 2048) == 1024 && !memcmp(file, data, 1024), "reaches the file");
	ok(wait_for(board_msi_count(IRQ_PINS)), "and interrupts");
	memset(data, 0, 1024);
	ok(request(&q, VIRTIO_BLK_T_IN, 4, 1024, true, &len) == VIRTIO_BLK_S_OK && len == 1025,
	   "read");
	ok(!memcmp(file, data, 1024), "gives the same");
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == VIRTIO_BLK_S_OK, "flush");
	ok(request(&q, VIRTIO_BLK_T_GET_ID, 0, 20, true, &len) == VIRTIO_BLK_S_OK &&
		   !strcmp((char *)data, "vmrun-disk0"),
	   "id");
	ok(request(&q, VIRTIO_BLK_T_IN, DISK_SIZE / 512, 512, true, &len) == VIRTIO_BLK_S_IOERR &&
		   len == 1,
	   "read past the end");
	ok(request(&q, VIRTIO_BLK_T_IN, DISK_SIZE / 512 - 1, 1024, true, &len) ==
		   VIRTIO_BLK_S_IOERR,
	   "read over the end");
	ok(request(&q, VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 512, true, &len) ==
		   VIRTIO_BLK_S_IOERR,
	   "sector that wraps");
	ok(request(&q, VIRTIO_BLK_T_OUT, UINT64_MAX, 512, false, &len) == VIRTIO_BLK_S_IOERR,
	   "sector of all ones");
	ok(request(&q, VIRTIO_BLK_T_OUT, 0, 100, false, &len) == VIRTIO_BLK_S_IOERR,
	   "part of a sector");
	ok(request(&q, 99, 0, 512, true, &len) == VIRTIO_BLK_S_UNSUPP, "unknown type");
	close(fd);
}

static void test_ranges(struct driver *d)
{
	struct virtio_blk_discard_write_zeroes *r = gmem(d->b, DATA);
	struct dqueue q;
	uint8_t byte = 1;
	uint32_t len;
	int fd = open(path, O_RDWR);

	up(d, &q, ~0ull);
	*r = (struct virtio_blk_discard_write_zeroes){ .sector = 4, .num_sectors = 1 };
	ok(request(&q, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16, false, &len) == VIRTIO_BLK_S_OK,
	   "write zeroes");
	ok(pread(fd, &byte, 1, 2048) == 1 && !byte && pread(fd, &byte, 1, 2560) == 1 &&
		   byte == 0xa5,
	   "zeroes that range only");
	r->flags = 1;
	ok(request(&q, VIRTIO_BLK_T_DISCARD, 0, 16, false, &len) == VIRTIO_BLK_S_UNSUPP,
	   "discard with unmap flag");
	*r = (struct virtio_blk_discard_write_zeroes){ .sector = 5, .num_sectors = 1 };
	ok(request(&q, VIRTIO_BLK_T_DISCARD, 0, 16, false, &len) == VIRTIO_BLK_S_OK, "discard");
	*r = (struct virtio_blk_discard_write_zeroes){.sector = DISK_SIZE / 512, .num_sectors = 1};
	ok(request(&q, VIRTIO_BLK_T_DISCARD, 0, 16, false, &len) == VIRTIO_BLK_S_IOERR,
	   "range past the end");
	ok(request(&q, VIRTIO_BLK_T_DISCARD, 0, 17, false, &len) == VIRTIO_BLK_S_IOERR,
	   "range of odd size");
	ok(request(&q, VIRTIO_BLK_T_DISCARD, 0, 0, false, &len) == VIRTIO_BLK_S_IOERR, "no range");
	close(fd);
}

/*
 * One large buffer again and again: more ranges than 32 bits count. The chain lies in
 * address space only, none of it is touched.
 */
static void test_huge_ranges(void)
{
	const uint64_t total = (1ull << 36) + 16, size = MIB(512);
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct virtio_blk_outhdr hdr = { .type = VIRTIO_BLK_T_DISCARD };
	struct disk disk = { .fd = -1, .size = DISK_SIZE };
	static struct virtq_chain c;
	uint8_t status = 0xff;
	uint64_t left;

	if (p == MAP_FAILED) {
		tap_skip("ranges beyond 32 bits", "not enough address space");
		return;
	}
	c.iov[c.nout++] = (struct iovec){ &hdr, sizeof(hdr) };
	for (left = total; left; left -= c.iov[c.nout++].iov_len)
		c.iov[c.nout] = (struct iovec){ p, left < size ? left : size };
	c.out_len = sizeof(hdr) + total;
	c.iov[c.nout] = (struct iovec){ &status, 1 };
	c.nin = 1;
	c.in_len = 1;
	ok(virtio_blk_request(&disk, &c, false, "") == 1 && status == VIRTIO_BLK_S_IOERR,
	   "ranges beyond 32 bits");
	munmap(p, size);
}

/* As a kernel does that is on its way into another. */
static void test_no_master(struct driver *d)
{
	struct dqueue q;
	uint32_t len;

	up(d, &q, ~0ull);
	cfg_set(d->b, d->slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ok(!(driver_status(d) & VIRTIO_CONFIG_S_DRIVER_OK), "who may not master the bus stops");
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == 0xff, "and serves nothing");
	cfg_set(d->b, d->slot, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == 0xff, "until its driver begins anew");
	up(d, &q, ~0ull);
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == VIRTIO_BLK_S_OK, "and then it does");
}

static void test_violations(struct driver *d)
{
	struct dqueue q;
	uint32_t len;

	up(d, &q, ~0ull);
	dqueue_desc(&q, 0, HDR, 8, 0, 0);
	dqueue_publish(&q, 0);
	dqueue_kick(&q);
	ok(wait_for(driver_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a request without header stops the device");
	ok(wait_for(board_msi_count(IRQ_PINS + 1)), "with a configuration interrupt");
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == 0xff, "which then serves nothing");

	up(d, &q, ~0ull);
	ok(!(driver_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET), "reset heals it");
	dqueue_desc(&q, 0, BOARD_MEM, 512, WRITE, 0);
	dqueue_publish(&q, 0);
	dqueue_kick(&q);
	ok(wait_for(driver_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET),
	   "a buffer outside RAM stops the device");

	driver_negotiate(d, 0);
	ok(!(driver_status(d) & VIRTIO_CONFIG_S_FEATURES_OK),
	   "FEATURES_OK is refused without VERSION_1");
	driver_negotiate(d, ~0ull);
	mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_Q_SIZE, 2, 3);
	mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	ok(driver_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET,
	   "a queue of three entries stops the device");
	up(d, &q, ~0ull);
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == VIRTIO_BLK_S_OK,
	   "and works again");
}

static void test_intx(struct driver *d)
{
	struct dqueue q;
	uint32_t len;
	unsigned int cap = cfg_get(d->b, d->slot, PCI_CAPABILITY_LIST, 1);

	while (cfg_get(d->b, d->slot, cap, 1) != PCI_CAP_ID_MSIX)
		cap = cfg_get(d->b, d->slot, cap + 1, 1);
	cfg_set(d->b, d->slot, cap + PCI_MSIX_FLAGS, 2, 0);
	up(d, &q, ~0ull);
	request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len);
	ok(wait_for(fake.line[BOARD_PCI_GSI + SLOT] == 1), "without MSI-X the line goes up");
	ok(mmio_get(d->b, d->isr, 1) == 1 && mmio_get(d->b, d->isr, 1) == 0 &&
		   !fake.line[BOARD_PCI_GSI + SLOT],
	   "reading ISR acknowledges");
	cfg_set(d->b, d->slot, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

/* The window in configuration space (4.1.4.9) and notifications without ioeventfd. */
static void test_slow_ways(struct driver *d)
{
	unsigned int cap = d->cap[VIRTIO_PCI_CAP_PCI_CFG];
	struct board *b = d->b;
	struct dqueue q;
	uint32_t len, bar = cfg_get(b, d->slot, PCI_BASE_ADDRESS_0, 4);

	cfg_set(b, d->slot, cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_NUMQ);
	cfg_set(b, d->slot, cap + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	ok(cfg_get(b, d->slot, cap + 16, 2) == 1, "a register read through the window");
	cfg_set(b, d->slot, cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	cfg_set(b, d->slot, cap + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	cfg_set(b, d->slot, cap + 16, 1, 0);
	ok(driver_status(d) == 0, "a register written through the window");
	cfg_set(b, d->slot, cap + VIRTIO_PCI_CAP_OFFSET, 4, 0xfffffffc);
	cfg_set(b, d->slot, cap + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	cfg_get(b, d->slot, cap + 16, 4);
	cfg_set(b, d->slot, cap + VIRTIO_PCI_CAP_OFFSET, 4, 0x3fff);
	cfg_get(b, d->slot, cap + 16, 4);
	ok(true, "a bad window does no harm");

	fake.refuse_ioeventfd = true;
	cfg_set(b, d->slot, PCI_BASE_ADDRESS_0, 4, 0xe0000000);
	ok(fake.nr_io == 0, "ioeventfds go with their BAR");
	driver_probe(d, b, d->slot);
	up(d, &q, ~0ull);
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == VIRTIO_BLK_S_OK,
	   "notified through the bus, at the new address");
	fake.refuse_ioeventfd = false;
	cfg_set(b, d->slot, PCI_BASE_ADDRESS_0, 4, bar);
	ok(fake.nr_io == 1, "and come back with it");
	driver_probe(d, b, d->slot);
}

static void load_damaged(struct board *b, struct stream *s, size_t at)
{
	struct section sec;

	s->pos = 0;
	while (s->pos < s->len && section_get(s, &sec) > 0) {
		if (sec.body.len)
			sec.body.data[at % sec.body.len] ^= 0x81;
		if (!device_load(device_find(&b->m, sec.name), &sec))
			devices_start(&b->m);
		section_destroy(&sec);
	}
}

static void test_state(struct driver *d)
{
	struct dqueue q;
	struct stream s, bad;
	uint32_t len;
	size_t i;

	up(d, &q, ~0ull);
	request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len);
	stream_init(&s);
	ok(!devices_save(&d->b->m, &s), "save");
	devices_reset(&d->b->m);
	ok(driver_status(d) == 0, "reset");
	ok(!board_load(d->b, &s), "load");
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == VIRTIO_BLK_S_OK,
	   "the queue goes on where it was");

	/* behind the checksums, so that the device itself has to take care */
	for (i = 0; i < s.len; i += 3)
		load_damaged(d->b, &s, i);
	stream_from(&bad, s.data, s.len);
	ok(!board_load(d->b, &bad),
	   "no damaged state does harm, and the good one still loads");
	stream_destroy(&bad);
	stream_destroy(&s);
}

/* Registers, rings and requests of random content. The device may stop; nothing else may happen. */
static void test_fuzz(struct driver *d)
{
	uint64_t x = 0x2545f4914f6cdd1dull;
	struct dqueue q;
	unsigned int round, i;
	uint32_t len;

	for (round = 0; round < 300; round++) {
		up(d, &q, ~0ull);
		for (i = 0; i < 32; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			dqueue_desc(&q, x & 15, BUF_GPA + (x >> 8 & 0xffff), x >> 24 & 0xfff,
				    x >> 40 & 7, x >> 48 & 15);
			memcpy(gmem(d->b, BUF_GPA + (x >> 8 & 0xfff0)), &x, 8);
			if (i > 15) {
				dqueue_publish(&q, x >> 52 & 15);
				dqueue_kick(&q);
			}
			if ((x >> 58) == 0)
				mmio_set(d->b, d->common + (x & 0x3f), 1u << (x >> 20 & 3),
					 x >> 32);
		}
	}
	up(d, &q, ~0ull);
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == VIRTIO_BLK_S_OK,
	   "works after random traffic");
}

/* The flags of one ring are the index of the other: what the device writes to say that it sleeps fills the queue. */
static void test_rings_over_each_other(struct driver *d)
{
	struct virtio_blk_outhdr *hdr = gmem(d->b, HDR);
	uint8_t *status = gmem(d->b, STATUS);
	uint64_t c = d->common;
	struct dqueue q;
	uint32_t len;

	driver_negotiate(d, 1ull << VIRTIO_F_VERSION_1);
	dqueue_init(&q, d, 0, 16);
	driver_negotiate(d, 1ull << VIRTIO_F_VERSION_1);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_DESCLO, 8, q.base);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_AVAILLO, 4, q.base + 0x2002);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_USEDLO, 4, q.base + 0x2004);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	*hdr = (struct virtio_blk_outhdr){ .type = VIRTIO_BLK_T_FLUSH };
	*status = 0xff;
	dqueue_desc(&q, 0, HDR, sizeof(*hdr), NEXT, 1);
	dqueue_desc(&q, 1, STATUS, 1, WRITE, 0);
	/* what announces itself by the device's own first write */
	driver_ok(d);
	ok(wait_for(*(volatile uint8_t *)status == VIRTIO_BLK_S_OK),
	   "a request in rings that lie over each other");
	alarm(20);
	ok(up(d, &q, ~0ull), "they keep nobody from resetting the device");
	alarm(0);
	ok(request(&q, VIRTIO_BLK_T_FLUSH, 0, 0, false, &len) == VIRTIO_BLK_S_OK,
	   "and it works again");
}

static void test_read_only(struct board *b)
{
	const struct disk_config cfg = { .path = path, .ro = true };
	struct driver d;
	struct dqueue q;
	uint32_t len;

	ok(!virtio_blk_create(&b->m, &cfg) && driver_probe(&d, b, 2), "a read-only disk beside it");
	ok(up(&d, &q, ~0ull) & 1ull << VIRTIO_BLK_F_RO, "says so");
	ok(request(&q, VIRTIO_BLK_T_OUT, 0, 512, false, &len) == VIRTIO_BLK_S_IOERR,
	   "refuses to write");
	ok(request(&q, VIRTIO_BLK_T_IN, 0, 512, true, &len) == VIRTIO_BLK_S_OK, "reads");
}

static void test_open(struct board *b)
{
	const struct disk_config missing = {.path = "/nonexistent/disk"}, dir = {.path = "/tmp"};
	const struct disk_config fifo = { .path = "/dev/null" }, again = { .path = path };

	ok(virtio_blk_create(&b->m, &missing) == -ENOENT, "missing image");
	ok(virtio_blk_create(&b->m, &dir) == -EISDIR, "directory as image");
	ok(virtio_blk_create(&b->m, &fifo) == -EINVAL, "device that is no disk");
	ok(virtio_blk_create(&b->m, &again) == -EBUSY, "image in use");
}

int main(void)
{
	const struct disk_config cfg = { .path = path };
	struct driver d;
	struct board b;

	board_init(&b);
	disk_make();
	pci_create(&b.m);
	board_start_loop(&b);
	ok(!virtio_blk_create(&b.m, &cfg) && driver_probe(&d, &b, SLOT),
	   "a disk is created and found");
	test_open(&b);
	msix_on(&d);
	test_requests(&d);
	test_ranges(&d);
	test_huge_ranges();
	test_no_master(&d);
	test_violations(&d);
	test_intx(&d);
	test_slow_ways(&d);
	test_state(&d);
	test_fuzz(&d);
	test_rings_over_each_other(&d);
	board_destroy(&b);

	board_init(&b);
	pci_create(&b.m);
	/* a lock shared by two readers */
	ok(!virtio_blk_create(&b.m, &(struct disk_config){.path = path, .ro = true}),
	   "a read-only disk");
	test_read_only(&b);
	board_destroy(&b);
	unlink(path);
	return tap_done();
}
