// SPDX-License-Identifier: GPL-2.0-only
/* virtio-blk: its queue and its requests, over a file in memory. */
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <unistd.h>

#include "device.h"
#include "fuzz/virtio.h"
#include "pci.h"
#include "stream.h"
#include "virtio/blk.h"

#define DISK	(64 * 1024)
#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE

static struct virtio_target target = { .queues = 1 };
static char path[64];
static int image;

/* Its own thread serves the queue, and is done when there is nothing to save any more. */
static void settle_disk(struct virtio_target *t)
{
	struct stream s;

	stream_init(&s);
	devices_save(&t->b.m, &s);
	stream_destroy(&s);
}

/* A guest never makes the image longer. */
static void check(struct virtio_target *t)
{
	(void)t;
	fuzz_assert(lseek(image, 0, SEEK_END) == DISK);
}

static void init(void)
{
	struct disk_config disk = { .path = path };

	image = rig_file(path, sizeof(path));
	if (ftruncate(image, DISK))
		abort();
	rig_init(&target.b, RIG_RAM);
	fuzz_assert(!pci_create(&target.b.m) && !virtio_blk_create(&target.b.m, &disk));
	target.settle = settle_disk;
	target.check = check;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!path[0])
		init();
	virtio_run(&target, data, size);
	return 0;
}

static size_t seed_request(uint32_t type, uint8_t *data)
{
	struct virtio_blk_outhdr hdr = { .type = type, .sector = 1 };
	struct virtio_blk_discard_write_zeroes range = { .sector = 2, .num_sectors = 8 };
	struct fuzz_out out = { data, 0 };
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;

	virtio_seed_up(&out, ~0ull, 3);
	virtio_seed_poke(&out, 0x20000, &hdr, sizeof(hdr));
	virtio_seed_poke(&out, 0x21000, &range, sizeof(range));
	virtio_seed_desc(&out, 0, 0, 0x20000, sizeof(hdr), NEXT, 1);
	virtio_seed_desc(&out, 0, 1, 0x21000, type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT ? 1024 : 16,
			 in ? NEXT | WRITE : NEXT, 2);
	virtio_seed_desc(&out, 0, 2, 0x22000, 1, WRITE, 0);
	virtio_seed_publish(&out, 0, 0);
	return out.len;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static const uint32_t types[] = {
		VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_DISCARD,
		VIRTIO_BLK_T_WRITE_ZEROES, 77,
	};

	if (i < sizeof(types) / sizeof(types[0]))
		return seed_request(types[i], data);
	return virtio_seed(1, i - sizeof(types) / sizeof(types[0]), data);
}
