// SPDX-License-Identifier: GPL-2.0-only
/* The common configuration structure (virtio 1.2 section 4.1.4.3) and the device status (2.1). */
#include "virtio/virtio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "util/list.h"

static uint32_t get_status(struct virtio_dev *v)
{
	return v->status;
}

/* A driver only adds bits; clearing happens by reset alone. */
static void set_status(struct virtio_dev *v, uint32_t value)
{
	uint8_t added = value & ~v->status;

	if (!value) {
		virtio_reset(v);
		return;
	}
	if (added & VIRTIO_CONFIG_S_FEATURES_OK) {
		if (virtio_features_ok(v))
			virtio_features_final(v);
		else
			added &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	}
	if (!((v->status | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status |= added & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && !(v->status & VIRTIO_CONFIG_S_NEEDS_RESET))
		virtio_start(v);
}

static struct virtio_queue *selected(struct virtio_dev *v)
{
	return v->queue_sel < v->ops->nr_queues ? &v->queue[v->queue_sel] : NULL;
}

/* Driver's rights end where the queue is in use. */
static struct virtq *configurable(struct virtio_dev *v)
{
	struct virtio_queue *q = selected(v);

	return q && !q->vq.enabled ? &q->vq : NULL;
}

static uint32_t get_offered_sel(struct virtio_dev *v)
{
	return v->offered_sel;
}

static void set_offered_sel(struct virtio_dev *v, uint32_t value)
{
	v->offered_sel = value;
}

static uint32_t get_offered(struct virtio_dev *v)
{
	return v->offered_sel < 2 ? v->offered >> 32 * v->offered_sel : 0;
}

static uint32_t get_features_sel(struct virtio_dev *v)
{
	return v->features_sel;
}

static void set_features_sel(struct virtio_dev *v, uint32_t value)
{
	v->features_sel = value;
}

static uint32_t get_features(struct virtio_dev *v)
{
	return v->features_sel < 2 ? v->features >> 32 * v->features_sel : 0;
}

static void set_features(struct virtio_dev *v, uint32_t value)
{
	unsigned int shift = 32 * v->features_sel;

	if (v->features_sel > 1 || (v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	v->features = (v->features & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
}

uint16_t virtio_vector(const struct virtio_dev *v, uint32_t value)
{
	return value < v->pci.msix.nr ? value : VIRTIO_MSI_NO_VECTOR;
}

static uint32_t get_config_vector(struct virtio_dev *v)
{
	return v->config_vector;
}

static void set_config_vector(struct virtio_dev *v, uint32_t value)
{
	v->config_vector = virtio_vector(v, value);
}

static uint32_t get_nr_queues(struct virtio_dev *v)
{
	return v->ops->nr_queues;
}

static uint32_t get_generation(struct virtio_dev *v)
{
	return v->generation;
}

static uint32_t get_queue_sel(struct virtio_dev *v)
{
	return v->queue_sel;
}

static void set_queue_sel(struct virtio_dev *v, uint32_t value)
{
	v->queue_sel = value;
}

static uint32_t get_queue_size(struct virtio_dev *v)
{
	return selected(v) ? selected(v)->vq.size : 0;
}

static void set_queue_size(struct virtio_dev *v, uint32_t value)
{
	if (configurable(v))
		configurable(v)->size = value;
}

static uint32_t get_queue_vector(struct virtio_dev *v)
{
	return selected(v) ? selected(v)->vector : VIRTIO_MSI_NO_VECTOR;
}

static void set_queue_vector(struct virtio_dev *v, uint32_t value)
{
	if (selected(v))
		selected(v)->vector = virtio_vector(v, value);
}

static uint32_t get_queue_enable(struct virtio_dev *v)
{
	return selected(v) && selected(v)->vq.enabled;
}

static void set_queue_enable(struct virtio_dev *v, uint32_t value)
{
	struct virtq *vq = configurable(v);

	if (!vq || value != 1 || !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (virtq_enable(vq))
		virtio_fail(v, vq->broken);
}

static uint32_t get_notify_off(struct virtio_dev *v)
{
	return v->queue_sel;
}

/* The three ring addresses, each as two halves. */
#define RING_HALF(ring, half, shift)							\
static uint32_t get_##ring##_##half(struct virtio_dev *v)				\
{											\
	return selected(v) ? selected(v)->vq.ring##_gpa >> (shift) : 0;			\
}											\
											\
static void set_##ring##_##half(struct virtio_dev *v, uint32_t value)			\
{											\
	struct virtq *vq = configurable(v);						\
											\
	if (vq)										\
		vq->ring##_gpa = (vq->ring##_gpa & ~(0xffffffffull << (shift))) |	\
				 (uint64_t)value << (shift);				\
}

RING_HALF(desc, lo, 0)
RING_HALF(desc, hi, 32)
RING_HALF(avail, lo, 0)
RING_HALF(avail, hi, 32)
RING_HALF(used, lo, 0)
RING_HALF(used, hi, 32)

struct reg {
	uint8_t off, len;
	uint32_t (*get)(struct virtio_dev *v);
	void (*set)(struct virtio_dev *v, uint32_t value);
};

static const struct reg common_regs[] = {
	{ VIRTIO_PCI_COMMON_DFSELECT, 4, get_offered_sel, set_offered_sel },
	{ VIRTIO_PCI_COMMON_DF, 4, get_offered, NULL },
	{ VIRTIO_PCI_COMMON_GFSELECT, 4, get_features_sel, set_features_sel },
	{ VIRTIO_PCI_COMMON_GF, 4, get_features, set_features },
	{ VIRTIO_PCI_COMMON_MSIX, 2, get_config_vector, set_config_vector },
	{ VIRTIO_PCI_COMMON_NUMQ, 2, get_nr_queues, NULL },
	{ VIRTIO_PCI_COMMON_STATUS, 1, get_status, set_status },
	{ VIRTIO_PCI_COMMON_CFGGENERATION, 1, get_generation, NULL },
	{ VIRTIO_PCI_COMMON_Q_SELECT, 2, get_queue_sel, set_queue_sel },
	{ VIRTIO_PCI_COMMON_Q_SIZE, 2, get_queue_size, set_queue_size },
	{ VIRTIO_PCI_COMMON_Q_MSIX, 2, get_queue_vector, set_queue_vector },
	{ VIRTIO_PCI_COMMON_Q_ENABLE, 2, get_queue_enable, set_queue_enable },
	{ VIRTIO_PCI_COMMON_Q_NOFF, 2, get_notify_off, NULL },
	{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, get_desc_lo, set_desc_lo },
	{ VIRTIO_PCI_COMMON_Q_DESCHI, 4, get_desc_hi, set_desc_hi },
	{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, get_avail_lo, set_avail_lo },
	{ VIRTIO_PCI_COMMON_Q_AVAILHI, 4, get_avail_hi, set_avail_hi },
	{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, get_used_lo, set_used_lo },
	{ VIRTIO_PCI_COMMON_Q_USEDHI, 4, get_used_hi, set_used_hi },
};

static const struct reg *find_reg(uint64_t off, unsigned int len)
{
	const struct reg *r;

	for (r = common_regs; r < common_regs + ARRAY_SIZE(common_regs); r++)
		if (r->off == off && r->len == len)
			return r;
	return NULL;
}

/*
 * Fields are accessed whole, 64-bit ones as a whole or by halves (4.1.3.1); the rest reads as
 * zero.
 */
void virtio_common_read(struct virtio_dev *v, uint64_t off, void *data, unsigned int len)
{
	const struct reg *r = find_reg(off, len);

	if (len == 8) {
		virtio_common_read(v, off, data, 4);
		virtio_common_read(v, off + 4, (char *)data + 4, 4);
		return;
	}
	bus_put(data, len, r ? r->get(v) : 0);
}

void virtio_common_write(struct virtio_dev *v, uint64_t off, const void *data, unsigned int len)
{
	const struct reg *r = find_reg(off, len);

	if (len == 8) {
		virtio_common_write(v, off, data, 4);
		virtio_common_write(v, off + 4, (const char *)data + 4, 4);
		return;
	}
	if (r && r->set)
		r->set(v, bus_get(data, len));
}

