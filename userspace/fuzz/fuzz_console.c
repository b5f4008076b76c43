// SPDX-License-Identifier: GPL-2.0-only
/* virtio-console, both queues; its terminal's user is the input as well. */
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <unistd.h>

#include "fuzz/virtio.h"
#include "pci.h"
#include "virtio/console.h"

#define WRITE	VRING_DESC_F_WRITE

static struct virtio_target target = { .queues = 2 };
static int terminal = -1;

static void drain(void)
{
	char text[4096];

	while (read(terminal, text, sizeof(text)) > 0)
		;
}

static void feed(struct virtio_target *t, const void *data, size_t len)
{
	(void)t;
	drain();
	if (write(terminal, data, len) < 0)
		return;
}

static void check(struct virtio_target *t)
{
	(void)t;
	drain();
}

/* Return: whether there are pseudo-terminals here. */
static bool init(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	if (fd < 0)
		return false;
	close(fd);
	rig_init(&target.b, RIG_RAM);
	fuzz_assert(!pci_create(&target.b.m) && !virtio_console_create(&target.b.m));
	terminal = open(virtio_console_path(&target.b.m), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	fuzz_assert(terminal >= 0);
	target.feed = feed;
	target.check = check;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (terminal < 0 && !init())
		return 0;
	virtio_run(&target, data, size);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	struct fuzz_out out = { data, 0 };

	if (i)
		return virtio_seed(2, i - 1, data);
	virtio_seed_up(&out, ~0ull, 4);
	virtio_seed_desc(&out, 0, 0, 0x20000, 64, WRITE, 0);
	virtio_seed_publish(&out, 0, 0);
	virtio_seed_feed(&out, "typed\n", 6);
	virtio_seed_desc(&out, 1, 0, 0x21000, 72, 0, 0);
	virtio_seed_publish(&out, 1, 0);
	return out.len;
}
