// SPDX-License-Identifier: GPL-2.0-only
/* The PCI bus by its ports and its window in memory, with three functions that may be put on top of each other. */
#include <linux/pci_regs.h>
#include <unistd.h>

#include "device.h"
#include "fuzz/rig.h"
#include "pci.h"
#include "util/list.h"
#include "virtio/blk.h"
#include "virtio/rng.h"

#define OPS_MAX		400
#define SLOTS		4	/* the bridge and three functions */

static struct board b;
static char path[64];

static unsigned int access_len(struct fuzz_in *in)
{
	return 1u << (fuzz_u8(in) & 3);
}

static void port_write(struct fuzz_in *in)
{
	uint16_t port = 0xcf8 + (fuzz_u8(in) & 7);
	uint64_t value = fuzz_u64(in);

	bus_write(&b.m.bus, BUS_PIO, port, &value, access_len(in));
}

static void port_read(struct fuzz_in *in)
{
	uint16_t port = 0xcf8 + (fuzz_u8(in) & 7);
	uint64_t value;

	bus_read(&b.m.bus, BUS_PIO, port, &value, access_len(in));
}

static void config_write(struct fuzz_in *in)
{
	unsigned int slot = fuzz_u8(in) % SLOTS, off = fuzz_u8(in), len = 1u << fuzz_u8(in) % 3;

	cfg_set(&b, slot, off & ~(len - 1), len, fuzz_u32(in));
}

static void config_read(struct fuzz_in *in)
{
	unsigned int slot = fuzz_u8(in) % SLOTS, off = fuzz_u8(in), len = 1u << fuzz_u8(in) % 3;

	cfg_get(&b, slot, off & ~(len - 1), len);
}

/* A BAR to an address, of which few make sense */
static void move_bar(struct fuzz_in *in)
{
	unsigned int slot = fuzz_u8(in) % SLOTS, bar = fuzz_u8(in) % 6;
	uint32_t at = BOARD_PCI_MMIO + (uint32_t)(fuzz_u16(in) & 63) * 4096;

	if (fuzz_u8(in) & 1)
		at = fuzz_u32(in);
	cfg_set(&b, slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4, at);
}

static uint64_t address(struct fuzz_in *in)
{
	unsigned int slot = fuzz_u8(in) % SLOTS, bar = fuzz_u8(in) % 6;
	uint64_t off = fuzz_u16(in);

	if (bar > 1)
		return BOARD_PCI_MMIO + off;
	return (cfg_get(&b, slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4) & ~0xfu) + off;
}

static void memory_write(struct fuzz_in *in)
{
	uint64_t at = address(in), value = fuzz_u64(in);

	mmio_set(&b, at, access_len(in), value);
}

static void memory_read(struct fuzz_in *in)
{
	uint64_t at = address(in);

	mmio_get(&b, at, access_len(in));
}

static void pump(struct fuzz_in *in)
{
	(void)in;
	rig_pump(&b);
}

static void reload(struct fuzz_in *in)
{
	(void)in;
	rig_reload(&b);
}

static void refuse(struct fuzz_in *in)
{
	uint8_t what = fuzz_u8(in);

	fake.refuse_irqfd = what & 1;
	fake.refuse_ioeventfd = what & 2;
}

static void (*const ops[])(struct fuzz_in *in) = {
	port_write, port_read, config_write, config_read, move_bar, memory_write, memory_read, pump, reload, refuse,
};

static void init(void)
{
	struct disk_config disk = { .path = path, .ro = true };
	int image = rig_file(path, sizeof(path));

	if (ftruncate(image, 4096))
		abort();
	rig_init(&b, RIG_RAM);
	fuzz_assert(!pci_create(&b.m) && !virtio_blk_create(&b.m, &disk) && !virtio_rng_create(&b.m) &&
		    !virtio_blk_create(&b.m, &disk));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	if (!path[0])
		init();
	fake.refuse_irqfd = false;
	fake.refuse_ioeventfd = false;
	rig_reset(&b);
	for (unsigned int i = 0; in.left && i < OPS_MAX; i++)
		ops[fuzz_u8(&in) % ARRAY_SIZE(ops)](&in);
	rig_pump(&b);
	return 0;
}

/* Sizing, moving and swapping BARs; MSI-X on; the window in configuration space */
size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	static const uint8_t seeds[][48] = {
		{ 2, 1, 0x10, 2, 0xff, 0xff, 0xff, 0xff, 3, 1, 0x10, 2, 2, 1, 0x10, 2, 0, 0, 0, 0xc0 },
		{ 4, 1, 0, 1, 0, 0, 4, 2, 0, 1, 0, 0, 6, 1, 0, 0, 0, 2, 6, 2, 0, 0, 0, 2 },
		{ 2, 1, 0x92, 1, 0, 0x80, 0, 0, 5, 1, 1, 0, 0, 0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 3 },
		{ 2, 1, 4, 1, 0, 0, 0, 0, 6, 1, 0, 0, 0, 2, 2, 1, 4, 1, 6, 0, 0, 0, 8 },
		{ 0, 0, 0, 8, 0, 0x80, 0, 0, 0, 0, 2, 1, 4, 2, 0, 1, 0xe, 0, 0, 0, 0, 0, 0, 0, 0 },
		{ 5, 1, 0, 0x14, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0x14, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 7, 8 },
		{ 9, 3, 2, 1, 0x92, 1, 0, 0x80, 0, 0, 5, 1, 1, 0, 0, 0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 3, 7 },
	};

	if (i >= ARRAY_SIZE(seeds))
		return 0;
	memcpy(data, seeds[i], sizeof(seeds[i]));
	return sizeof(seeds[i]);
}
