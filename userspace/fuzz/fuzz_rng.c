// SPDX-License-Identifier: GPL-2.0-only
/* virtio-rng */
#include "fuzz/virtio.h"
#include "pci.h"
#include "virtio/rng.h"

static struct virtio_target target = { .queues = 1 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!target.b.m.pci) {
		rig_init(&target.b, RIG_RAM);
		fuzz_assert(!pci_create(&target.b.m) && !virtio_rng_create(&target.b.m));
	}
	virtio_run(&target, data, size);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	return virtio_seed(1, i, data);
}
