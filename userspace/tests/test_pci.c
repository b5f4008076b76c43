// SPDX-License-Identifier: GPL-2.0-only
/* Configuration space, BARs, INTA and MSI-X, as a guest sees them. */
#include <linux/pci_regs.h>
#include <string.h>
#include <unistd.h>

#include "pci.h"
#include "stream.h"
#include "tests/board.h"
#include "tests/tap.h"

#define SLOT	1

/* A function with a 64 KiB BAR that answers with its own offset, and three MSI-X vectors. */
struct toy {
	struct pci_dev pci;
	uint64_t last_write;
	unsigned int mapped;
};

static void toy_read(struct pci_dev *d, unsigned int bar, uint64_t off, void *data,
		     unsigned int len)
{
	(void)d;
	(void)bar;
	bus_put(data, len, off);
}

static void toy_write(struct pci_dev *d, unsigned int bar, uint64_t off, const void *data,
		      unsigned int len)
{
	(void)bar;
	(void)off;
	container_of(d, struct toy, pci)->last_write = bus_get(data, len);
}

static void toy_mapped(struct pci_dev *d, unsigned int bar, uint64_t base, bool mapped)
{
	(void)bar;
	(void)base;
	container_of(d, struct toy, pci)->mapped += mapped ? 1 : 0;
}

static const struct pci_dev_ops toy_ops = {
	.bar_read = toy_read, .bar_write = toy_write, .bar_mapped = toy_mapped,
};

static void toy_create(struct toy *t, struct board *b)
{
	const struct pci_ids ids = {
		.vendor = 0x1234, .device = 0x5678, .class = 0x020000, .revision = 9};

	memset(t, 0, sizeof(*t));
	pci_dev_init(&t->pci, &b->m, "toy", &toy_ops, &ids);
	pci_bar_add(&t->pci, 0, 0x10000);
	pci_msix_add(&t->pci, 1, 3);
	pci_dev_register(&t->pci);
}

static void test_mechanism(struct board *b)
{
	uint32_t v = 0;

	v = 0x80000000;
	bus_write(&b->m.bus, BUS_PIO, 0xcf8, &v, 4);
	v = 0;
	bus_read(&b->m.bus, BUS_PIO, 0xcf8, &v, 4);
	ok(v == 0x80000000, "CONFIG_ADDRESS reads back");
	v = 0xff;
	bus_write(&b->m.bus, BUS_PIO, 0xcfb, &v, 1);
	bus_read(&b->m.bus, BUS_PIO, 0xcf8, &v, 4);
	ok(v == 0x80000000, "a byte write does not change it");
	ok(cfg_get(b, 0, PCI_CLASS_DEVICE, 2) == 0x0600, "slot 0 is a host bridge");
	ok(cfg_get(b, SLOT, PCI_VENDOR_ID, 4) == 0x56781234, "dword read");
	ok(cfg_get(b, SLOT, PCI_DEVICE_ID, 2) == 0x5678 &&
		   cfg_get(b, SLOT, PCI_DEVICE_ID + 1, 1) == 0x56,
	   "word and byte reads");
	ok(cfg_get(b, 7, PCI_VENDOR_ID, 4) == 0xffffffff, "an empty slot reads as ones");
	v = 0x80010000 | SLOT << 11;
	bus_write(&b->m.bus, BUS_PIO, 0xcf8, &v, 4);
	bus_read(&b->m.bus, BUS_PIO, 0xcfc, &v, 4);
	ok(v == 0xffffffff, "bus 1 is empty");
	v = 0x80000000 | SLOT << 11 | 1 << 8;
	bus_write(&b->m.bus, BUS_PIO, 0xcf8, &v, 4);
	bus_read(&b->m.bus, BUS_PIO, 0xcfc, &v, 4);
	ok(v == 0xffffffff, "there is no function 1");
	v = SLOT << 11;
	bus_write(&b->m.bus, BUS_PIO, 0xcf8, &v, 4);
	bus_read(&b->m.bus, BUS_PIO, 0xcfc, &v, 4);
	ok(v == 0xffffffff, "nothing without the enable bit");
	cfg_set(b, SLOT, PCI_VENDOR_ID, 4, 0);
	cfg_set(b, SLOT, PCI_CLASS_REVISION, 4, 0);
	cfg_set(b, SLOT, PCI_HEADER_TYPE, 1, 0xff);
	ok(cfg_get(b, SLOT, PCI_VENDOR_ID, 4) == 0x56781234 &&
		   cfg_get(b, SLOT, PCI_CLASS_REVISION, 4) == 0x02000009 &&
		   cfg_get(b, SLOT, PCI_HEADER_TYPE, 1) == 0,
	   "identity is read-only");
	cfg_set(b, SLOT, PCI_INTERRUPT_LINE, 1, 5);
	ok(cfg_get(b, SLOT, PCI_INTERRUPT_LINE, 2) == 0x0105,
	   "interrupt line is the guest's, the pin is not");
	v = 0x06;
	bus_write(&b->m.bus, BUS_PIO, 0xcf9, &v, 1);
	ok(fake.resets == 1, "port 0xcf9 resets");
}

static void test_bars(struct board *b, struct toy *t)
{
	uint32_t home = cfg_get(b, SLOT, PCI_BASE_ADDRESS_0, 4);
	uint32_t home1 = cfg_get(b, SLOT, PCI_BASE_ADDRESS_1, 4);

	ok(home >= BOARD_PCI_MMIO && !(home & 0xffff), "BAR 0 is placed in the window, aligned");
	ok(mmio_get(b, home + 0x1234, 4) == 0x1234, "and decodes");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	ok(cfg_get(b, SLOT, PCI_BASE_ADDRESS_0, 4) == 0xffff0000, "sizing");
	ok(mmio_get(b, home + 0x1234, 4) == 0xffffffff && mmio_get(b, 0xffff0000, 4) == 0xffffffff,
	   "nothing decodes while sized");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	ok(mmio_get(b, 0xd0000010, 4) == 0x10 && mmio_get(b, home + 0x10, 4) == 0xffffffff,
	   "BAR moves");
	mmio_set(b, 0xd0000000, 8, 0x1122334455667788);
	ok(t->last_write == 0x1122334455667788, "writes arrive");
	cfg_set(b, SLOT, PCI_COMMAND, 2, 0);
	ok(mmio_get(b, 0xd0000010, 4) == 0xffffffff, "no decode without the memory bit");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, 0xd1000000);
	cfg_set(b, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ok(mmio_get(b, 0xd1000010, 4) == 0x10, "moved while disabled");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, 0x00100000);
	ok(!t->pci.bar[0].mapped, "not over RAM");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, 0xfec00000);
	ok(!t->pci.bar[0].mapped, "not over the IOAPIC");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, home1 & 0xffff0000);
	ok(!t->pci.bar[0].mapped && t->pci.bar[1].mapped, "not over another BAR");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_2, 4, 0xffffffff);
	ok(cfg_get(b, SLOT, PCI_BASE_ADDRESS_2, 4) == 0, "an absent BAR reads as zero");
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, home);
	ok(mmio_get(b, home + 0x20, 4) == 0x20, "back home");
}

/* One after the other, as a guest must. */
static void test_bars_swapped(struct board *b, struct toy *t)
{
	uint32_t here = cfg_get(b, SLOT, PCI_BASE_ADDRESS_0, 4), there;
	struct toy other;

	toy_create(&other, b);
	there = cfg_get(b, SLOT + 1, PCI_BASE_ADDRESS_0, 4);
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, there);
	mmio_set(b, there, 4, 1);
	ok(other.last_write == 1 && !t->pci.bar[0].mapped, "a BAR does not take another function's place");
	cfg_set(b, SLOT + 1, PCI_BASE_ADDRESS_0, 4, here);
	mmio_set(b, here, 4, 2);
	mmio_set(b, there, 4, 3);
	ok(other.last_write == 2 && t->last_write == 3, "but gets it when that is free");
	pci_dev_destroy(&other.pci);
	cfg_set(b, SLOT, PCI_BASE_ADDRESS_0, 4, here);
}

static void test_intx(struct board *b, struct toy *t)
{
	unsigned int gsi = BOARD_PCI_GSI + SLOT;

	pci_intx_set(&t->pci, true);
	ok(fake.line[gsi] == 1 && (cfg_get(b, SLOT, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT),
	   "INTA goes up");
	cfg_set(b, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	ok(fake.line[gsi] == 0, "the disable bit takes it down");
	cfg_set(b, SLOT, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	ok(fake.line[gsi] == 1, "and lets it up again");
	pci_intx_set(&t->pci, false);
	ok(fake.line[gsi] == 0, "INTA goes down");
}

/* Two functions eight slots apart share a line. */
static void test_shared_line(struct board *b, struct toy *t)
{
	static struct toy more[8];
	unsigned int i;

	for (i = 0; i < 8; i++)
		toy_create(&more[i], b);
	pci_intx_set(&t->pci, true);
	pci_intx_set(&more[7].pci, true);
	pci_intx_set(&t->pci, false);
	ok(more[7].pci.slot == SLOT + 8 && fake.line[BOARD_PCI_GSI + SLOT] == 1,
	   "a shared line stays up for the other");
	pci_intx_set(&more[7].pci, false);
	ok(fake.line[BOARD_PCI_GSI + SLOT] == 0, "and falls with the last");
	for (i = 0; i < 8; i++)
		pci_dev_destroy(&more[i].pci);
	ok(cfg_get(b, SLOT + 3, PCI_VENDOR_ID, 4) == 0xffffffff, "removed functions are gone");
}

static void test_msix(struct board *b, struct toy *t)
{
	unsigned int cap = t->pci.msix.cap, gsi = IRQ_PINS;
	uint64_t table = cfg_get(b, SLOT, PCI_BASE_ADDRESS_1, 4);
	uint64_t pba = table + (cfg_get(b, SLOT, cap + PCI_MSIX_PBA, 4) & ~7u);

	ok(cfg_get(b, SLOT, PCI_CAPABILITY_LIST, 1) == cap &&
		   cfg_get(b, SLOT, cap, 1) == PCI_CAP_ID_MSIX,
	   "the capability is found");
	ok((cfg_get(b, SLOT, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) == 2,
	   "three vectors");
	ok(mmio_get(b, table + PCI_MSIX_ENTRY_VECTOR_CTRL, 4) == 1, "vectors start masked");

	mmio_set(b, table, 8, 0xfee01000);
	mmio_set(b, table + PCI_MSIX_ENTRY_DATA, 4, 0x4041);
	ok(mmio_get(b, table, 8) == 0xfee01000 && mmio_get(b, table + 8, 4) == 0x4041,
	   "the table reads back");
	pci_msix_notify(&t->pci, 0);
	ok(!(mmio_get(b, pba, 8) & 1), "disabled: nothing pends");
	cfg_set(b, SLOT, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	ok(cfg_get(b, SLOT, cap + PCI_MSIX_FLAGS, 2) == (PCI_MSIX_FLAGS_ENABLE | 2),
	   "enable; the size is read-only");
	pci_msix_notify(&t->pci, 0);
	ok((mmio_get(b, pba, 8) & 1) && fake.irqfd[gsi] < 0, "masked: it pends");
	mmio_set(b, table + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	ok(!(mmio_get(b, pba, 8) & 1) && board_msi_count(gsi) == 1 && fake.msi_data[gsi] == 0x4041,
	   "unmasked: it is sent, by irqfd, with the right message");
	pci_msix_notify(&t->pci, 0);
	ok(board_msi_count(gsi) == 1, "live: it is sent at once");
	cfg_set(b, SLOT, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	pci_msix_notify(&t->pci, 0);
	ok((mmio_get(b, pba, 8) & 1) && !board_msi_count(gsi), "function mask: it pends");
	cfg_set(b, SLOT, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	ok(board_msi_count(gsi) == 1, "function unmask: it is sent");

	mmio_set(b, table + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 1);
	mmio_set(b, table + PCI_MSIX_ENTRY_DATA, 4, 0x4055);
	mmio_set(b, table + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	pci_msix_notify(&t->pci, 0);
	ok(fake.msi_data[gsi] == 0x4055 && board_msi_count(gsi) == 1,
	   "a changed message is routed anew");
	pci_msix_notify(&t->pci, 3);
	pci_msix_notify(&t->pci, 0xffff);
	mmio_set(b, table + 48, 4, 0xffffffff);
	mmio_set(b, pba, 8, 0xff);
	ok(mmio_get(b, table + 48, 4) == 0 && mmio_get(b, pba, 8) == 0,
	   "beyond the table nothing happens");

	pci_intx_set(&t->pci, true);
	ok(fake.line[BOARD_PCI_GSI + SLOT] == 0, "no INTA while MSI-X is on");
	pci_intx_set(&t->pci, false);

	fake.refuse_irqfd = true;
	mmio_set(b, table + 16, 8, 0xfee00000);
	mmio_set(b, table + 16 + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	pci_msix_notify(&t->pci, 1);
	ok(fake.sent == 1, "without irqfd the message is sent by ioctl");
	fake.refuse_irqfd = false;
}

static void test_state(struct board *b, struct toy *t)
{
	uint64_t table = cfg_get(b, SLOT, PCI_BASE_ADDRESS_1, 4);
	uint8_t before[PCI_CFG_SIZE];
	struct stream s, bad;

	memcpy(before, t->pci.cfg, sizeof(before));
	stream_init(&s);
	pci_dev_save(&t->pci, &s);
	pci_dev_reset(&t->pci);
	ok(!pci_msix_enabled(&t->pci) && mmio_get(b, table + PCI_MSIX_ENTRY_VECTOR_CTRL, 4) == 1,
	   "reset masks and disables");
	ok(!pci_dev_load(&t->pci, &s) && !memcmp(before, t->pci.cfg, sizeof(before)),
	   "load restores configuration space");
	board_msi_count(IRQ_PINS);
	pci_msix_notify(&t->pci, 0);
	ok(board_msi_count(IRQ_PINS) == 1 && mmio_get(b, table + 8, 4) == 0x4055, "and MSI-X");

	stream_from(&bad, s.data, s.len);
	bad.data[1] ^= 1;	/* vendor id */
	ok(pci_dev_load(&t->pci, &bad), "a state of another device is refused");
	stream_destroy(&bad);
	stream_from(&bad, s.data, s.len / 2);
	ok(pci_dev_load(&t->pci, &bad), "a short state is refused");
	stream_destroy(&bad);
	stream_destroy(&s);
}

/* Every register of the function, written with random values of every width. */
static void test_fuzz(struct board *b, struct toy *t)
{
	uint64_t state = 88172645463325252ull;
	unsigned int i, len;

	for (i = 0; i < 50000; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		len = 1u << (state >> 40) % 3;
		cfg_set(b, state >> 50 & 1, (state >> 32 & 0xff) & ~(len - 1), len, state);
		pci_msix_notify(&t->pci, state >> 60);
		mmio_set(b, 0xc0000000 + (state >> 20 & 0x3fff8), 8, state);
	}
	ok(cfg_get(b, SLOT, PCI_VENDOR_ID, 4) == 0x56781234, "random writes do no harm");
}

int main(void)
{
	struct board b;
	struct toy t;

	board_init(&b);
	ok(!pci_create(&b.m), "the bus is created");
	toy_create(&t, &b);
	test_mechanism(&b);
	test_bars(&b, &t);
	test_bars_swapped(&b, &t);
	test_intx(&b, &t);
	test_shared_line(&b, &t);
	test_msix(&b, &t);
	test_state(&b, &t);
	test_fuzz(&b, &t);
	pci_dev_destroy(&t.pci);
	board_destroy(&b);
	ok(!b.m.pci, "and destroyed");
	return tap_done();
}
