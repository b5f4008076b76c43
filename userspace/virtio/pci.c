// SPDX-License-Identifier: GPL-2.0-only
/* The PCI transport (virtio 1.2 section 4.1): capabilities, BARs, notification. */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "irq.h"
#include "util/list.h"
#include "virtio/virtio.h"

#define VIRTIO_VENDOR	0x1af4
#define VIRTIO_BAR	0
#define MSIX_BAR	1

/* BAR 0: one page for each structure */
#define PART_SIZE	0x1000u
#define BAR_SIZE	(4 * PART_SIZE)
#define COMMON_SIZE	0x38
#define NOTIFY_MULT	4

enum part { PART_COMMON, PART_ISR, PART_DEVICE, PART_NOTIFY };

/* ---- the four parts of BAR 0 ---- */

/* Reading acknowledges (4.1.4.5). */
static void isr_read(struct virtio_dev *v, uint64_t off, void *data, unsigned int len)
{
	memset(data, 0, len);
	if (off)
		return;
	bus_put(data, 1, v->isr);
	v->isr = 0;
	pci_intx_set(&v->pci, false);
}

static void device_read(struct virtio_dev *v, uint64_t off, void *data, unsigned int len)
{
	memset(data, 0, len);
	if (off >= v->config_len)
		return;
	if (len > v->config_len - off)
		len = v->config_len - off;
	memcpy(data, (const char *)v->config + off, len);
}

static void device_write(struct virtio_dev *v, uint64_t off, const void *data, unsigned int len)
{
	if (v->ops->config_write && off + len <= v->config_len)
		v->ops->config_write(v, off, data, len);
}

/* Only where no ioeventfd caught the write. */
static void notify_write(struct virtio_dev *v, uint64_t off, const void *data, unsigned int len)
{
	(void)data;
	(void)len;
	if (off % NOTIFY_MULT == 0 && off / NOTIFY_MULT < v->ops->nr_queues)
		virtio_kick(v, off / NOTIFY_MULT);
}

static const struct {
	void (*read)(struct virtio_dev *v, uint64_t off, void *data, unsigned int len);
	void (*write)(struct virtio_dev *v, uint64_t off, const void *data, unsigned int len);
} parts[] = {
	[PART_COMMON] = { virtio_common_read, virtio_common_write },
	[PART_ISR] = { isr_read, NULL },
	[PART_DEVICE] = { device_read, device_write },
	[PART_NOTIFY] = { NULL, notify_write },
};

static struct virtio_dev *from_pci(struct pci_dev *d)
{
	return container_of(d, struct virtio_dev, pci);
}

static void bar_read(struct pci_dev *d, unsigned int bar, uint64_t off, void *data,
		     unsigned int len)
{
	struct virtio_dev *v = from_pci(d);
	enum part part = off / PART_SIZE;

	(void)bar;
	memset(data, 0, len);
	if (!parts[part].read)
		return;
	pthread_mutex_lock(&v->lock);
	parts[part].read(v, off % PART_SIZE, data, len);
	pthread_mutex_unlock(&v->lock);
}

static void bar_write(struct pci_dev *d, unsigned int bar, uint64_t off, const void *data,
		      unsigned int len)
{
	struct virtio_dev *v = from_pci(d);
	enum part part = off / PART_SIZE;

	(void)bar;
	if (!parts[part].write)
		return;
	pthread_mutex_lock(&v->lock);
	parts[part].write(v, off % PART_SIZE, data, len);
	pthread_mutex_unlock(&v->lock);
}

/* Where an ioeventfd cannot be had, the write exits and notify_write() takes it. */
static void bar_mapped(struct pci_dev *d, unsigned int bar, uint64_t base, bool mapped)
{
	struct virtio_dev *v = from_pci(d);
	unsigned int i;

	if (bar != VIRTIO_BAR)
		return;
	for (i = 0; i < v->ops->nr_queues; i++)
		irq_ioeventfd(d->m, BUS_MMIO, base + PART_NOTIFY * PART_SIZE + NOTIFY_MULT * i, 2,
			      false, 0, v->queue[i].kick, mapped);
}

/* ---- the window in configuration space (4.1.4.9) ---- */

/* Offset and length the driver put there, or 0 if they make no sense. */
static unsigned int window_len(struct virtio_dev *v, uint32_t *off)
{
	const uint8_t *cap = &v->pci.cfg[v->pci_cfg_cap];
	uint32_t len = bus_get(cap + VIRTIO_PCI_CAP_LENGTH, 4);

	*off = bus_get(cap + VIRTIO_PCI_CAP_OFFSET, 4);
	if (cap[VIRTIO_PCI_CAP_BAR] != VIRTIO_BAR || (len != 1 && len != 2 && len != 4))
		return 0;
	return *off % len || *off >= BAR_SIZE ? 0 : len;
}

static bool window_touched(struct virtio_dev *v, unsigned int off, unsigned int len)
{
	unsigned int data = v->pci_cfg_cap + sizeof(struct virtio_pci_cap);

	return off < data + 4 && data < off + len;
}

static bool cfg_read(struct pci_dev *d, unsigned int off, void *data, unsigned int len)
{
	struct virtio_dev *v = from_pci(d);
	unsigned int n;
	uint32_t at;

	(void)data;
	if (window_touched(v, off, len)) {
		n = window_len(v, &at);
		if (n)
			bar_read(d, VIRTIO_BAR, at,
				 &d->cfg[v->pci_cfg_cap + sizeof(struct virtio_pci_cap)], n);
	}
	return false;
}

/*
 * Who may not master the bus leaves memory alone (PCI 3.0 section 6.2.2): Linux takes that right
 * away before it jumps into another kernel (kexec), which finds the rings' memory free.
 */
static void command_written(struct virtio_dev *v)
{
	if (v->pci.cfg[PCI_COMMAND] & PCI_COMMAND_MASTER)
		return;
	pthread_mutex_lock(&v->lock);
	if (v->running && v->ops->unmaster) {
		v->unmastered = true;
		v->ops->unmaster(v);
	} else if (v->running) {
		virtio_stop(v);
	}
	pthread_mutex_unlock(&v->lock);
}

static void cfg_write(struct pci_dev *d, unsigned int off, unsigned int len)
{
	struct virtio_dev *v = from_pci(d);
	unsigned int n;
	uint32_t at;

	if (off == PCI_COMMAND)
		command_written(v);
	if (!window_touched(v, off, len))
		return;
	n = window_len(v, &at);
	if (n)
		bar_write(d, VIRTIO_BAR, at,
			  &d->cfg[v->pci_cfg_cap + sizeof(struct virtio_pci_cap)], n);
}

static const struct pci_dev_ops pci_ops = {
	.bar_read = bar_read,
	.bar_write = bar_write,
	.bar_mapped = bar_mapped,
	.cfg_read = cfg_read,
	.cfg_write = cfg_write,
};

/* @extra: bytes after struct virtio_pci_cap, holding @value */
static int cap_add(struct virtio_dev *v, uint8_t type, uint32_t off, uint32_t len,
		   unsigned int extra, uint32_t value)
{
	uint8_t body[sizeof(struct virtio_pci_cap) - 2 + 4] = { 0 };
	unsigned int size = sizeof(struct virtio_pci_cap) - 2 + extra;

	body[VIRTIO_PCI_CAP_LEN - 2] = size + 2;
	body[VIRTIO_PCI_CAP_CFG_TYPE - 2] = type;
	body[VIRTIO_PCI_CAP_BAR - 2] = VIRTIO_BAR;
	bus_put(body + VIRTIO_PCI_CAP_OFFSET - 2, 4, off);
	bus_put(body + VIRTIO_PCI_CAP_LENGTH - 2, 4, len);
	bus_put(body + VIRTIO_PCI_NOTIFY_CAP_MULT - 2, extra, value);
	return pci_cap_add(&v->pci, PCI_CAP_ID_VNDR, body, size);
}

/* 16 + 16 + 16 + 20 + 20 + 12 bytes of capabilities after a 64-byte header always fit */
static void caps_add(struct virtio_dev *v)
{
	int cap;

	cap_add(v, VIRTIO_PCI_CAP_COMMON_CFG, PART_COMMON * PART_SIZE, COMMON_SIZE, 0, 0);
	cap_add(v, VIRTIO_PCI_CAP_ISR_CFG, PART_ISR * PART_SIZE, 1, 0, 0);
	if (v->config_len)
		cap_add(v, VIRTIO_PCI_CAP_DEVICE_CFG, PART_DEVICE * PART_SIZE, v->config_len, 0, 0);
	cap_add(v, VIRTIO_PCI_CAP_NOTIFY_CFG, PART_NOTIFY * PART_SIZE,
		NOTIFY_MULT * v->ops->nr_queues, 4, NOTIFY_MULT);
	cap = cap_add(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 4, 0);
	v->pci_cfg_cap = cap;
	v->pci.wmask[cap + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(&v->pci.wmask[cap + VIRTIO_PCI_CAP_OFFSET], 0xff, 12);
}

int virtio_pci_create(struct virtio_dev *v)
{
	const struct pci_ids ids = {
		.vendor = VIRTIO_VENDOR, .device = 0x1040 + v->ops->id, .revision = 1,
		.subvendor = VIRTIO_VENDOR, .subdevice = 0x40 + v->ops->id, .class = v->ops->class,
	};

	pci_dev_init(&v->pci, v->dev.m, v->name, &pci_ops, &ids);
	pci_bar_add(&v->pci, VIRTIO_BAR, BAR_SIZE);
	caps_add(v);
	/* one vector for each queue and one for the configuration */
	return pci_msix_add(&v->pci, MSIX_BAR, v->ops->nr_queues + 1);
}
