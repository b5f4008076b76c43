// SPDX-License-Identifier: GPL-2.0-only
/* A machine's state out of a file or a stream: whatever it says, it is refused, or the machine can live with it. */
#include "device.h"
#include "fuzz/noterm.h"
#include "fuzz/state.h"
#include "migrate/state.h"
#include "section.h"

static struct board b;

/* The guest looks at everything once. */
static void live(void)
{
	static const uint16_t ports[] = { 0x3f8, 0x3fa, 0x3fd, 0x60, 0x64, 0x71, BOARD_PM_BASE, 0xcfc };
	uint8_t byte;

	for (unsigned int i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		bus_read(&b.m.bus, BUS_PIO, ports[i], &byte, 1);
	for (unsigned int cell = 0; cell < 128; cell++) {
		byte = (uint8_t)cell;
		bus_write(&b.m.bus, BUS_PIO, 0x70, &byte, 1);
		bus_read(&b.m.bus, BUS_PIO, 0x71, &byte, 1);
	}
	for (uint64_t at = BOARD_PCI_MMIO; at < BOARD_PCI_MMIO + 0x20000; at += 0x1000)
		mmio_get(&b, at, 4);
	if (sink)
		sink->room(sink);
	rig_pump(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct stream s, again;
	char why[160];

	if (!b.m.pci)
		state_machine(&b);
	rig_reset(&b);
	state_build(&b, &in, &s);
	if (!stream_error(&s)) {
		s.pos = 0;
		if (!state_load(&b.m, &s, why, sizeof(why))) {
			devices_start(&b.m);
			live();
			stream_init(&again);
			fuzz_assert(!devices_save(&b.m, &again));
			stream_destroy(&again);
		}
	}
	stream_destroy(&s);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	struct fuzz_out out = { data, 0 };

	if (i > 3)
		return 0;
	if (!b.m.pci)
		state_machine(&b);
	rig_reset(&b);
	if (i)
		state_use(&b, i);
	state_seed(&b, &out);
	return out.len;
}
