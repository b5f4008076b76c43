// SPDX-License-Identifier: GPL-2.0-only
/*
 * What all virtio devices share: queues, interrupts, reset, state. The contract is in
 * virtio/virtio.h.
 */
#include "virtio/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine.h"
#include "stream.h"
#include "util/msg.h"

/* ---- interrupts ---- */

static void interrupt(struct virtio_dev *v, uint16_t vector, uint8_t isr)
{
	if (pci_msix_enabled(&v->pci)) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			pci_msix_notify(&v->pci, vector);
		return;
	}
	v->isr |= isr;
	pci_intx_set(&v->pci, true);
}

void virtio_signal(struct virtio_dev *v, unsigned int q)
{
	if (v->running && virtq_should_signal(&v->queue[q].vq))
		interrupt(v, v->queue[q].vector, 1);
}

void virtio_config_changed(struct virtio_dev *v)
{
	v->generation++;
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(v, v->config_vector, VIRTIO_PCI_ISR_CONFIG);
}

void virtio_fail(struct virtio_dev *v, const char *rule)
{
	v->running = false;
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	/* once: a guest that repeats its mistake shall not fill the terminal */
	if (!v->warned)
		msg_warn("%s stopped until its driver resets it: %s", v->name, rule);
	v->warned = true;
	virtio_config_changed(v);
}

bool virtio_pop(struct virtio_dev *v, unsigned int q, struct virtq_chain *c)
{
	int ret = v->running ? virtq_pop(&v->queue[q].vq, c) : 0;

	if (ret < 0)
		virtio_fail(v, v->queue[q].vq.broken);
	return ret > 0;
}

void virtio_kick(struct virtio_dev *v, unsigned int q)
{
	eventfd_write(v->queue[q].kick, 1);
}

static void kick_all(struct virtio_dev *v)
{
	unsigned int i;

	for (i = 0; i < v->ops->nr_queues; i++)
		virtio_kick(v, i);
}

static void kick_ready(struct loop_fd *lfd, uint32_t events)
{
	struct virtio_queue *q = lfd->opaque;
	struct virtio_dev *v = q->dev;
	eventfd_t count;

	(void)events;
	eventfd_read(q->kick, &count);
	pthread_mutex_lock(&v->lock);
	if (v->running && v->ops->kicked)
		v->ops->kicked(v, q - v->queue);
	pthread_mutex_unlock(&v->lock);
}

/* ---- reset, features, start ---- */

void virtio_stop(struct virtio_dev *v)
{
	v->running = false;
	if (v->ops->stop)
		v->ops->stop(v);
	/* again: the lock may have been dropped */
	v->running = false;
	v->waits = false;
	v->unmastered = false;
	v->status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
}

void virtio_reset(struct virtio_dev *v)
{
	unsigned int i;

	virtio_stop(v);
	v->status = 0;
	v->features = 0;
	v->offered_sel = 0;
	v->features_sel = 0;
	v->queue_sel = 0;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	v->isr = 0;
	pci_intx_set(&v->pci, false);
	for (i = 0; i < v->ops->nr_queues; i++) {
		virtq_reset(&v->queue[i].vq);
		v->queue[i].vector = VIRTIO_MSI_NO_VECTOR;
	}
}

bool virtio_features_ok(const struct virtio_dev *v)
{
	return !(v->features & ~v->offered) && virtio_has(v, VIRTIO_F_VERSION_1);
}

void virtio_features_final(struct virtio_dev *v)
{
	unsigned int i;

	for (i = 0; i < v->ops->nr_queues; i++) {
		v->queue[i].vq.indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC);
		v->queue[i].vq.event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX);
	}
}

/* What waits in the queues since before DRIVER_OK, or since save, is not announced again. */
void virtio_start(struct virtio_dev *v)
{
	v->running = true;
	if (v->ops->start)
		v->ops->start(v);
	kick_all(v);
}

/* ---- the five calls ---- */

static struct virtio_dev *from_device(struct device *dev)
{
	return container_of(dev, struct virtio_dev, dev);
}

static void *guest_at(void *opaque, uint64_t gpa, uint64_t len)
{
	return mem_at(opaque, gpa, len);
}

static void guest_touched(void *opaque, const void *host, uint64_t len)
{
	mem_touched(opaque, host, len);
}

static void queues_destroy(struct virtio_dev *v)
{
	unsigned int i;

	for (i = 0; i < v->ops->nr_queues; i++) {
		if (v->queue[i].lfd.ready)
			loop_del(&v->dev.m->loop, &v->queue[i].lfd);
		if (v->queue[i].kick >= 0)
			close(v->queue[i].kick);
	}
	free(v->queue);
	v->queue = NULL;
}

static int queue_create(struct virtio_dev *v, struct virtio_queue *q)
{
	int ret;

	virtq_init(&q->vq, &v->mem, v->ops->queue_size);
	q->vector = VIRTIO_MSI_NO_VECTOR;
	q->kick = eventfd(0, EFD_CLOEXEC | (v->ops->own_kicks ? 0 : EFD_NONBLOCK));
	if (q->kick < 0)
		return -errno;
	if (v->ops->own_kicks)
		return 0;
	q->lfd = (struct loop_fd){ .fd = q->kick, .ready = kick_ready, .opaque = q };
	ret = loop_add(&v->dev.m->loop, &q->lfd, EPOLLIN);
	if (ret)
		q->lfd.ready = NULL;
	return ret;
}

static int queues_create(struct virtio_dev *v)
{
	unsigned int i;
	int ret = 0;

	v->queue = calloc(v->ops->nr_queues, sizeof(*v->queue));
	if (!v->queue)
		return -ENOMEM;
	for (i = 0; i < v->ops->nr_queues; i++) {
		v->queue[i].dev = v;
		v->queue[i].kick = -1;
	}
	for (i = 0; !ret && i < v->ops->nr_queues; i++)
		ret = queue_create(v, &v->queue[i]);
	if (ret)
		queues_destroy(v);
	return ret;
}

static int realize(struct device *dev)
{
	struct virtio_dev *v = from_device(dev);
	int ret;

	ret = queues_create(v);
	if (ret)
		goto fail;
	ret = virtio_pci_create(v);
	if (!ret && v->ops->realize)
		ret = v->ops->realize(v);
	if (ret)
		goto out_function;
	ret = pci_dev_register(&v->pci);
	if (!ret)
		return 0;
	if (v->ops->unrealize)
		v->ops->unrealize(v);
out_function:
	pci_dev_destroy(&v->pci);
	queues_destroy(v);
fail:
	return msg_fail(ret, "cannot set up %s: %s", v->name, strerror(-ret));
}

static void device_reset(struct device *dev)
{
	struct virtio_dev *v = from_device(dev);

	pthread_mutex_lock(&v->lock);
	virtio_reset(v);
	pthread_mutex_unlock(&v->lock);
	pci_dev_reset(&v->pci);
}

static void queue_save(const struct virtio_queue *q, struct stream *s)
{
	stream_put_u16(s, q->vector);
	stream_put_u16(s, q->vq.size);
	stream_put_u64(s, q->vq.desc_gpa);
	stream_put_u64(s, q->vq.avail_gpa);
	stream_put_u64(s, q->vq.used_gpa);
	stream_put_u8(s, q->vq.enabled);
	stream_put_u16(s, q->vq.last_avail);
	stream_put_u16(s, q->vq.used_idx);
	stream_put_u16(s, q->vq.signalled);
	stream_put_u8(s, q->vq.signalled_valid);
}

static void queue_load(struct virtio_dev *v, struct virtio_queue *q, struct stream *s)
{
	q->vector = virtio_vector(v, stream_get_u16(s));
	q->vq.size = stream_get_u16(s);
	q->vq.desc_gpa = stream_get_u64(s);
	q->vq.avail_gpa = stream_get_u64(s);
	q->vq.used_gpa = stream_get_u64(s);
	if (stream_get_u8(s) && virtq_enable(&q->vq))
		stream_fail(s, -EPROTO);
	q->vq.last_avail = stream_get_u16(s);
	q->vq.used_idx = stream_get_u16(s);
	q->vq.signalled = stream_get_u16(s);
	q->vq.signalled_valid = stream_get_u8(s);
}

static int save(struct device *dev, struct stream *s)
{
	struct virtio_dev *v = from_device(dev);
	unsigned int i;

	pthread_mutex_lock(&v->lock);
	/* first of all: finishing requests raises interrupts */
	if (v->running && v->ops->drain)
		v->ops->drain(v);
	pci_dev_save(&v->pci, s);
	stream_put_u64(s, v->features);
	stream_put_u8(s, v->unmastered ? v->status & ~VIRTIO_CONFIG_S_DRIVER_OK : v->status);
	stream_put_u8(s, v->isr);
	stream_put_u8(s, v->generation);
	stream_put_u32(s, v->offered_sel);
	stream_put_u32(s, v->features_sel);
	stream_put_u16(s, v->queue_sel);
	stream_put_u16(s, v->config_vector);
	for (i = 0; i < v->ops->nr_queues; i++)
		queue_save(&v->queue[i], s);
	if (v->ops->save)
		v->ops->save(v, s);
	pthread_mutex_unlock(&v->lock);
	return stream_error(s);
}

static void registers_load(struct virtio_dev *v, struct stream *s)
{
	v->features = stream_get_u64(s);
	v->status = stream_get_u8(s);
	v->isr = stream_get_u8(s);
	v->generation = stream_get_u8(s);
	v->offered_sel = stream_get_u32(s);
	v->features_sel = stream_get_u32(s);
	v->queue_sel = stream_get_u16(s);
	v->config_vector = virtio_vector(v, stream_get_u16(s));
	if ((v->status & VIRTIO_CONFIG_S_FEATURES_OK) && !virtio_features_ok(v))
		stream_fail(s, -EPROTO);
	if ((v->status & VIRTIO_CONFIG_S_DRIVER_OK) && !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		stream_fail(s, -EPROTO);
	if (v->status & VIRTIO_CONFIG_S_FEATURES_OK)
		virtio_features_final(v);
}

static int load(struct device *dev, struct stream *s, uint32_t version)
{
	struct virtio_dev *v = from_device(dev);
	const uint8_t live = VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET;
	unsigned int i;

	(void)version;
	pthread_mutex_lock(&v->lock);
	virtio_reset(v);
	pthread_mutex_unlock(&v->lock);
	/* takes pci_host.lock, which is outside of ours */
	if (pci_dev_load(&v->pci, s))
		return stream_error(s);
	pthread_mutex_lock(&v->lock);
	registers_load(v, s);
	for (i = 0; i < v->ops->nr_queues; i++)
		queue_load(v, &v->queue[i], s);
	if (v->ops->load)
		v->ops->load(v, s);
	v->waits = !stream_error(s) && (v->status & live) == VIRTIO_CONFIG_S_DRIVER_OK;
	pthread_mutex_unlock(&v->lock);
	return stream_error(s);
}

static void device_start(struct device *dev)
{
	struct virtio_dev *v = from_device(dev);

	pthread_mutex_lock(&v->lock);
	if (v->waits)
		virtio_start(v);
	v->waits = false;
	pthread_mutex_unlock(&v->lock);
}

static void device_halt(struct device *dev)
{
	struct virtio_dev *v = from_device(dev);

	pthread_mutex_lock(&v->lock);
	v->waits |= v->running && !v->unmastered;
	v->running = false;
	pthread_mutex_unlock(&v->lock);
}

static void unrealize(struct device *dev)
{
	struct virtio_dev *v = from_device(dev);

	pthread_mutex_lock(&v->lock);
	virtio_reset(v);
	pthread_mutex_unlock(&v->lock);
	if (v->ops->unrealize)
		v->ops->unrealize(v);
	pci_dev_destroy(&v->pci);
	queues_destroy(v);
	virtio_fini(v);
	v->ops->free(v);
}

static const struct device_ops device_ops = {
	.version = 1,
	.realize = realize,
	.reset = device_reset,
	.save = save,
	.load = load,
	.start = device_start,
	.halt = device_halt,
	.unrealize = unrealize,
};

void virtio_init(struct virtio_dev *v, struct machine *m, const struct virtio_ops *ops,
		 const char *kind, unsigned int index)
{
	snprintf(v->name, sizeof(v->name), "virtio-%s%u", kind, index);
	pthread_mutex_init(&v->lock, NULL);
	v->dev.ops = &device_ops;
	v->dev.name = v->name;
	v->dev.m = m;
	v->ops = ops;
	v->mem = (struct virtq_mem){
		.at = guest_at, .touched = guest_touched, .opaque = m,
	};
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	v->offered |= VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |
		      VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
}

int virtio_register(struct virtio_dev *v)
{
	return device_register(v->dev.m, &v->dev);
}

void virtio_fini(struct virtio_dev *v)
{
	pthread_mutex_destroy(&v->lock);
}
