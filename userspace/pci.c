// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI bus: configuration mechanism #1, the type-0 header, BARs and INTA.
 * MSI-X is in pci_msix.c; the contract of both is in pci.h.
 */
#include "pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "irq.h"
#include "machine.h"
#include "stream.h"
#include "util/msg.h"

#define CONFIG_ADDRESS	0xcf8
#define CONFIG_DATA	0xcfc
#define RESET_CONTROL	1	/* port 0xcf9: bit 2 going up resets the machine */
#define RESET_CPU	0x04

#define COMMAND_WRITABLE \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
	 PCI_COMMAND_INTX_DISABLE)

struct pci_host {
	struct device dev;
	pthread_mutex_t lock;		/* address, all configuration space, BAR mapping */
	uint32_t address;
	uint8_t reset_control;
	uint64_t next_bar;		/* where the window is still free */
	struct pci_dev *slot[PCI_SLOTS];
	pthread_mutex_t intx_lock;	/* the lines, and every function's share in them */
	unsigned int intx_count[8];	/* functions that drive GSI 16 + n */
	struct bus_region address_region;
	struct bus_region data_region;
	struct pci_dev bridge;
};

static const struct pci_ids bridge_ids = {
	.vendor = 0x8086, .device = 0x0d57, .class = 0x060000,
};

/* ---- INTA ---- */

/* A function must not use its pin while MSI-X is enabled (PCI 3.0 section 6.8.2). */
static bool intx_disabled(const struct pci_dev *d)
{
	if (bus_get(&d->cfg[PCI_COMMAND], 2) & PCI_COMMAND_INTX_DISABLE)
		return true;
	return d->msix.cap &&
	       (bus_get(&d->cfg[d->msix.cap + PCI_MSIX_FLAGS], 2) & PCI_MSIX_FLAGS_ENABLE);
}

static void intx_update(struct pci_host *host, struct pci_dev *d)
{
	unsigned int line = d->slot & 7;
	bool drive = d->intx_wanted && !intx_disabled(d);

	if (drive == d->intx_driven)
		return;
	d->intx_driven = drive;
	if (drive && !host->intx_count[line]++)
		irq_line(d->m, BOARD_PCI_GSI + line, 1);
	else if (!drive && !--host->intx_count[line])
		irq_line(d->m, BOARD_PCI_GSI + line, 0);
}

void pci_intx_set(struct pci_dev *d, bool level)
{
	struct pci_host *host = d->m->pci;

	pthread_mutex_lock(&host->intx_lock);
	d->intx_wanted = level;
	intx_update(host, d);
	pthread_mutex_unlock(&host->intx_lock);
}

/* ---- BARs ---- */

static uint32_t bar_addr(const struct pci_dev *d, unsigned int i)
{
	return bus_get(&d->cfg[PCI_BASE_ADDRESS_0 + 4 * i], 4) & PCI_BASE_ADDRESS_MEM_MASK;
}

static void bar_read(void *opaque, uint64_t off, void *data, unsigned int len)
{
	struct pci_bar *bar = opaque;
	struct pci_dev *d = bar->dev;
	unsigned int i = bar - d->bar;

	if (d->msix.nr && i == d->msix.bar)
		pci_msix_bar_read(d, off, data, len);
	else if (d->ops->bar_read)
		d->ops->bar_read(d, i, off, data, len);
	else
		memset(data, 0xff, len);
}

static void bar_write(void *opaque, uint64_t off, const void *data, unsigned int len)
{
	struct pci_bar *bar = opaque;
	struct pci_dev *d = bar->dev;
	unsigned int i = bar - d->bar;

	if (d->msix.nr && i == d->msix.bar)
		pci_msix_bar_write(d, off, data, len);
	else if (d->ops->bar_write)
		d->ops->bar_write(d, i, off, data, len);
}

static void bar_unmap(struct pci_dev *d, struct pci_bar *bar)
{
	bar->mapped = false;
	if (d->ops->bar_mapped)
		d->ops->bar_mapped(d, bar - d->bar, bar->region.base, false);
	bus_remove(d->m, &bar->region);
}

/*
 * The bridge forwards its window only: a BAR elsewhere (all ones while the
 * guest sizes it, say) decodes nothing. Nor does one on top of another.
 */
static void bar_map(struct pci_dev *d, struct pci_bar *bar, uint32_t addr)
{
	if (addr < BOARD_PCI_MMIO || (uint64_t)addr + bar->size > BOARD_PCI_MMIO_END)
		return;
	bar->region.base = addr;
	if (bus_add(d->m, &bar->region))
		return;
	bar->mapped = true;
	if (d->ops->bar_mapped)
		d->ops->bar_mapped(d, bar - d->bar, addr, true);
}

static bool decodes(const struct pci_dev *d)
{
	return d->registered && (d->cfg[PCI_COMMAND] & PCI_COMMAND_MEMORY);
}

static void bars_unmap(struct pci_dev *d)
{
	for (unsigned int i = 0; i < PCI_BARS; i++)
		if (d->bar[i].mapped && (!decodes(d) || d->bar[i].region.base != bar_addr(d, i)))
			bar_unmap(d, &d->bar[i]);
}

static void bars_map(struct pci_dev *d)
{
	for (unsigned int i = 0; decodes(d) && i < PCI_BARS; i++)
		if (d->bar[i].size && !d->bar[i].mapped)
			bar_map(d, &d->bar[i], bar_addr(d, i));
}

/*
 * Make the mapping what the headers say. All go before any comes, so that BARs can swap places, and
 * those of all functions: what one gives up another may have been waiting for.
 */
static void bars_update(struct pci_host *host)
{
	for (unsigned int i = 0; i < PCI_SLOTS; i++)
		if (host->slot[i])
			bars_unmap(host->slot[i]);
	for (unsigned int i = 0; i < PCI_SLOTS; i++)
		if (host->slot[i])
			bars_map(host->slot[i]);
}

void pci_bar_add(struct pci_dev *d, unsigned int i, uint32_t size)
{
	struct pci_bar *bar = &d->bar[i];

	bar->dev = d;
	bar->size = size;
	bar->region = (struct bus_region){
		.kind = BUS_MMIO, .size = size, .read = bar_read, .write = bar_write,
		.opaque = bar, .name = d->name,
	};
	bus_put(&d->wmask[PCI_BASE_ADDRESS_0 + 4 * i], 4, ~(size - 1));
}

/*
 * Natural alignment; the window is large and devices do not come and go, so a rising mark will do.
 */
static int bars_place(struct pci_host *host, struct pci_dev *d)
{
	uint64_t at = host->next_bar;
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &d->bar[i];

		if (!bar->size)
			continue;
		at = (at + bar->size - 1) & ~(uint64_t)(bar->size - 1);
		if (at + bar->size > BOARD_PCI_MMIO_END)
			return -ENOSPC;
		bar->home = at;
		bus_put(&d->cfg[PCI_BASE_ADDRESS_0 + 4 * i], 4, at);
		at += bar->size;
	}
	host->next_bar = at;
	return 0;
}

/* ---- configuration space ---- */

static void cfg_read(struct pci_dev *d, unsigned int off, void *data, unsigned int len)
{
	uint8_t *out = data;
	unsigned int i;

	if (d->ops->cfg_read && d->ops->cfg_read(d, off, data, len))
		return;
	memcpy(out, &d->cfg[off], len);
	for (i = 0; i < len; i++)
		if (off + i == PCI_STATUS && d->intx_wanted)
			out[i] |= PCI_STATUS_INTERRUPT;
}

static bool overlaps(unsigned int off, unsigned int len, unsigned int start, unsigned int size)
{
	return off < start + size && start < off + len;
}

static void cfg_changed(struct pci_dev *d, unsigned int off, unsigned int len)
{
	struct pci_host *host = d->m->pci;
	bool command = overlaps(off, len, PCI_COMMAND, 2);
	bool msix = d->msix.cap && overlaps(off, len, d->msix.cap + PCI_MSIX_FLAGS, 2);

	if (command || msix) {
		pthread_mutex_lock(&host->intx_lock);
		intx_update(host, d);
		pthread_mutex_unlock(&host->intx_lock);
	}
	if (command || overlaps(off, len, PCI_BASE_ADDRESS_0, 4 * PCI_BARS))
		bars_update(host);
	if (msix)
		pci_msix_cfg_changed(d);
}

static void cfg_write(struct pci_dev *d, unsigned int off, const void *data, unsigned int len)
{
	const uint8_t *in = data;
	unsigned int i;

	for (i = 0; i < len; i++) {
		uint8_t mask = d->wmask[off + i];

		d->cfg[off + i] = (d->cfg[off + i] & ~mask) | (in[i] & mask);
	}
	cfg_changed(d, off, len);
	if (d->ops->cfg_write)
		d->ops->cfg_write(d, off, len);
}

/* What CONFIG_ADDRESS selects, or NULL: bus 0, function 0 is all there is. */
static struct pci_dev *selected(struct pci_host *host)
{
	if (!(host->address & 0x80000000) || (host->address & 0x00ff0700))
		return NULL;
	return host->slot[host->address >> 11 & (PCI_SLOTS - 1)];
}

static void data_read(void *opaque, uint64_t off, void *data, unsigned int len)
{
	struct pci_host *host = opaque;
	struct pci_dev *d;

	pthread_mutex_lock(&host->lock);
	d = selected(host);
	if (d)
		cfg_read(d, (host->address & 0xfc) + off, data, len);
	else
		memset(data, 0xff, len);
	pthread_mutex_unlock(&host->lock);
}

static void data_write(void *opaque, uint64_t off, const void *data, unsigned int len)
{
	struct pci_host *host = opaque;
	struct pci_dev *d;

	pthread_mutex_lock(&host->lock);
	d = selected(host);
	if (d)
		cfg_write(d, (host->address & 0xfc) + off, data, len);
	pthread_mutex_unlock(&host->lock);
}

/* Only whole dwords are CONFIG_ADDRESS; a byte at 0xcf9 is the reset control register. */
static void address_read(void *opaque, uint64_t off, void *data, unsigned int len)
{
	struct pci_host *host = opaque;

	memset(data, 0xff, len);
	pthread_mutex_lock(&host->lock);
	if (len == 4)
		bus_put(data, 4, host->address);
	else if (off == RESET_CONTROL && len == 1)
		bus_put(data, 1, host->reset_control);
	pthread_mutex_unlock(&host->lock);
}

static void address_write(void *opaque, uint64_t off, const void *data, unsigned int len)
{
	struct pci_host *host = opaque;
	bool reset = false;

	pthread_mutex_lock(&host->lock);
	if (len == 4) {
		host->address = bus_get(data, 4) & 0x80fffffc;
	} else if (off == RESET_CONTROL && len == 1) {
		uint8_t value = bus_get(data, 1);

		reset = (value & ~host->reset_control) & RESET_CPU;
		host->reset_control = value & ~RESET_CPU;
	}
	pthread_mutex_unlock(&host->lock);
	if (reset)
		machine_request(host->dev.m, MACHINE_RESET);
}

/* ---- functions ---- */

void pci_dev_init(struct pci_dev *d, struct machine *m, const char *name,
		  const struct pci_dev_ops *ops, const struct pci_ids *ids)
{
	memset(d, 0, sizeof(*d));
	d->m = m;
	d->name = name;
	d->ops = ops;
	d->next_cap = PCI_STD_HEADER_SIZEOF;
	pthread_mutex_init(&d->msix.lock, NULL);

	bus_put(&d->cfg[PCI_VENDOR_ID], 2, ids->vendor);
	bus_put(&d->cfg[PCI_DEVICE_ID], 2, ids->device);
	bus_put(&d->cfg[PCI_REVISION_ID], 1, ids->revision);
	bus_put(&d->cfg[PCI_CLASS_PROG], 3, ids->class);
	bus_put(&d->cfg[PCI_SUBSYSTEM_VENDOR_ID], 2, ids->subvendor);
	bus_put(&d->cfg[PCI_SUBSYSTEM_ID], 2, ids->subdevice);
	bus_put(&d->wmask[PCI_COMMAND], 2, COMMAND_WRITABLE);
	d->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
}

int pci_cap_add(struct pci_dev *d, uint8_t id, const void *body, unsigned int len)
{
	unsigned int off = d->next_cap;

	if (off + 2 + len > PCI_CFG_SIZE)
		return -ENOSPC;
	d->cfg[off] = id;
	memcpy(&d->cfg[off + 2], body, len);
	d->cfg[d->last_cap ? d->last_cap + 1 : PCI_CAPABILITY_LIST] = off;
	d->cfg[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	d->last_cap = off;
	d->next_cap = (off + 2 + len + 3) & ~3u;
	return off;
}

static int slot_take(struct pci_host *host, struct pci_dev *d)
{
	unsigned int i;

	for (i = 0; i < PCI_SLOTS; i++) {
		if (host->slot[i])
			continue;
		d->slot = i;
		host->slot[i] = d;
		return 0;
	}
	return -ENOSPC;
}

int pci_dev_register(struct pci_dev *d)
{
	struct pci_host *host = d->m->pci;
	int ret;

	pthread_mutex_lock(&host->lock);
	ret = bars_place(host, d);
	if (!ret)
		ret = slot_take(host, d);
	if (ret)
		goto out;
	if (d != &host->bridge) {
		d->cfg[PCI_INTERRUPT_PIN] = 1;
		d->cfg[PCI_INTERRUPT_LINE] = BOARD_PCI_GSI + (d->slot & 7);
		d->wmask[PCI_INTERRUPT_LINE] = 0xff;
		/* as firmware would leave it: addresses assigned and decoded */
		d->cfg[PCI_COMMAND] = PCI_COMMAND_MEMORY;
	}
	memcpy(d->cfg_home, d->cfg, sizeof(d->cfg));
	d->registered = true;
	bars_update(host);
out:
	pthread_mutex_unlock(&host->lock);
	return ret;
}

void pci_dev_destroy(struct pci_dev *d)
{
	struct pci_host *host = d->m->pci;

	if (d->registered) {
		pci_intx_set(d, false);
		pthread_mutex_lock(&host->lock);
		d->registered = false;
		bars_update(host);
		host->slot[d->slot] = NULL;
		pthread_mutex_unlock(&host->lock);
	}
	pci_msix_destroy(d);
	pthread_mutex_destroy(&d->msix.lock);
}

void pci_dev_reset(struct pci_dev *d)
{
	struct pci_host *host = d->m->pci;

	pci_msix_reset(d);
	pci_intx_set(d, false);
	pthread_mutex_lock(&host->lock);
	memcpy(d->cfg, d->cfg_home, sizeof(d->cfg));
	bars_update(host);
	pthread_mutex_unlock(&host->lock);
}

void pci_dev_save(struct pci_dev *d, struct stream *s)
{
	struct pci_host *host = d->m->pci;

	stream_put_u8(s, d->slot);
	stream_put_bytes(s, d->cfg, sizeof(d->cfg));
	pthread_mutex_lock(&host->intx_lock);
	stream_put_u8(s, d->intx_wanted);
	pthread_mutex_unlock(&host->intx_lock);
	pci_msix_save(d, s);
}

/* Bits that the guest could not have written must be as they are here. */
static bool cfg_plausible(const struct pci_dev *d, const uint8_t *cfg)
{
	unsigned int i;

	for (i = 0; i < PCI_CFG_SIZE; i++)
		if ((cfg[i] ^ d->cfg_home[i]) & ~d->wmask[i])
			return false;
	return true;
}

int pci_dev_load(struct pci_dev *d, struct stream *s)
{
	struct pci_host *host = d->m->pci;
	uint8_t cfg[PCI_CFG_SIZE];
	bool intx;

	if (stream_get_u8(s) != d->slot)
		stream_fail(s, -EPROTO);
	stream_get_bytes(s, cfg, sizeof(cfg));
	intx = stream_get_u8(s);
	if (!stream_error(s) && !cfg_plausible(d, cfg))
		stream_fail(s, -EPROTO);
	if (stream_error(s))
		return stream_error(s);

	pthread_mutex_lock(&host->lock);
	memcpy(d->cfg, cfg, sizeof(cfg));
	bars_update(host);
	pthread_mutex_unlock(&host->lock);
	pci_intx_set(d, intx);
	return pci_msix_load(d, s);
}

/* ---- the host bridge ---- */

static const struct pci_dev_ops bridge_ops;

static struct pci_host *to_host(struct device *dev)
{
	return container_of(dev, struct pci_host, dev);
}

static int host_realize(struct device *dev)
{
	struct pci_host *host = to_host(dev);
	int ret;

	pci_dev_init(&host->bridge, dev->m, dev->name, &bridge_ops, &bridge_ids);
	ret = pci_dev_register(&host->bridge);
	if (!ret)
		ret = bus_add(dev->m, &host->address_region);
	if (!ret)
		ret = bus_add(dev->m, &host->data_region);
	if (!ret)
		return 0;
	bus_remove(dev->m, &host->address_region);
	pci_dev_destroy(&host->bridge);
	return msg_fail(ret, "cannot set up the PCI host bridge: %s", strerror(-ret));
}

static void host_reset(struct device *dev)
{
	struct pci_host *host = to_host(dev);

	host->address = 0;
	host->reset_control = 0;
	pci_dev_reset(&host->bridge);
}

static int host_save(struct device *dev, struct stream *s)
{
	struct pci_host *host = to_host(dev);

	stream_put_u32(s, host->address);
	stream_put_u8(s, host->reset_control);
	pci_dev_save(&host->bridge, s);
	return stream_error(s);
}

static int host_load(struct device *dev, struct stream *s, uint32_t version)
{
	struct pci_host *host = to_host(dev);

	(void)version;
	host->address = stream_get_u32(s) & 0x80fffffc;
	host->reset_control = stream_get_u8(s) & ~RESET_CPU;
	return pci_dev_load(&host->bridge, s);
}

static void host_free(struct pci_host *host)
{
	host->dev.m->pci = NULL;
	pthread_mutex_destroy(&host->intx_lock);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

/* Devices go in reverse order of registration, so the slots are empty by now. */
static void host_unrealize(struct device *dev)
{
	struct pci_host *host = to_host(dev);

	bus_remove(dev->m, &host->data_region);
	bus_remove(dev->m, &host->address_region);
	pci_dev_destroy(&host->bridge);
	host_free(host);
}

static const struct device_ops host_ops = {
	.version = 1,
	.realize = host_realize,
	.reset = host_reset,
	.save = host_save,
	.load = host_load,
	.unrealize = host_unrealize,
};

int pci_create(struct machine *m)
{
	struct pci_host *host = calloc(1, sizeof(*host));
	int ret;

	if (!host)
		return msg_fail(-ENOMEM, "out of memory for the PCI host bridge");
	pthread_mutex_init(&host->lock, NULL);
	pthread_mutex_init(&host->intx_lock, NULL);
	host->next_bar = BOARD_PCI_MMIO;
	host->address_region = (struct bus_region){
		.kind = BUS_PIO, .base = CONFIG_ADDRESS, .size = 4,
		.read = address_read, .write = address_write, .opaque = host, .name = "pci-address",
	};
	host->data_region = (struct bus_region){
		.kind = BUS_PIO, .base = CONFIG_DATA, .size = 4,
		.read = data_read, .write = data_write, .opaque = host, .name = "pci-data",
	};
	host->dev.ops = &host_ops;
	host->dev.name = "pci";
	host->dev.m = m;
	m->pci = host;
	ret = device_register(m, &host->dev);
	if (ret)
		host_free(host);
	return ret;
}
