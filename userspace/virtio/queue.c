// SPDX-License-Identifier: GPL-2.0-only
/* Split virtqueues, device side; the contract is in queue.h. */
#include "virtio/queue.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <string.h>

static int violation(struct virtq *vq, const char *rule)
{
	if (!vq->broken)
		vq->broken = rule;
	return -EINVAL;
}

void virtq_init(struct virtq *vq, const struct virtq_mem *mem, uint16_t max_size)
{
	memset(vq, 0, sizeof(*vq));
	vq->mem = mem;
	vq->max_size = max_size;
	vq->size = max_size;
}

void virtq_reset(struct virtq *vq)
{
	virtq_init(vq, vq->mem, vq->max_size);
}

static void *ring_at(struct virtq *vq, uint64_t gpa, uint64_t len, uint64_t align)
{
	if (gpa & (align - 1))
		return NULL;
	return vq->mem->at(vq->mem->opaque, gpa, len);
}

int virtq_enable(struct virtq *vq)
{
	uint64_t n = vq->size;

	if (!n || n > vq->max_size || (n & (n - 1)))
		return violation(vq, "queue size");
	/*
	 * rings are followed by the event index even where it is not negotiated (virtio 1.2, 2.7)
	 */
	vq->desc = ring_at(vq, vq->desc_gpa, sizeof(struct vring_desc) * n, 16);
	vq->avail = ring_at(vq, vq->avail_gpa, 6 + 2 * n, 2);
	vq->used = ring_at(vq, vq->used_gpa, 6 + 8 * n, 4);
	if (!vq->desc || !vq->avail || !vq->used)
		return violation(vq, "ring address");
	vq->enabled = true;
	return 0;
}

/* Add the buffer of one descriptor to the chain; readable ones must come before writable ones. */
static int chain_add(struct virtq *vq, struct virtq_chain *c, const struct vring_desc *d)
{
	unsigned int n = c->nout + c->nin;
	bool in = d->flags & VRING_DESC_F_WRITE;
	void *p;

	if (!in && c->nin)
		return violation(vq, "readable descriptor after a writable one");
	if (!d->len)
		return 0;
	if (n == VIRTQ_MAX_CHAIN)
		return violation(vq, "chain too long");
	p = vq->mem->at(vq->mem->opaque, d->addr, d->len);
	if (!p)
		return violation(vq, "buffer outside of RAM");
	c->iov[n] = (struct iovec){ .iov_base = p, .iov_len = d->len };
	if (in) {
		c->nin++;
		c->in_len += d->len;
	} else {
		c->nout++;
		c->out_len += d->len;
	}
	return 0;
}

/* memcpy: an indirect table need not be aligned, and the guest may write it while we read */
static void desc_read(struct vring_desc *d, const struct vring_desc *table, uint32_t i)
{
	memcpy(d, (const char *)table + i * sizeof(*d), sizeof(*d));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static int chain_add_indirect(struct virtq *vq, struct virtq_chain *c, const struct vring_desc *ind)
{
	uint32_t n = ind->len / sizeof(struct vring_desc), i = 0, seen;
	const struct vring_desc *table;
	struct vring_desc d;
	int ret;

	if (!vq->indirect)
		return violation(vq, "indirect descriptor not negotiated");
	if (ind->flags & VRING_DESC_F_NEXT)
		return violation(vq, "indirect descriptor with a successor");
	if (!n || n > VIRTQ_MAX_CHAIN || ind->len % sizeof(struct vring_desc))
		return violation(vq, "indirect table size");
	table = vq->mem->at(vq->mem->opaque, ind->addr, ind->len);
	if (!table)
		return violation(vq, "indirect table outside of RAM");

	for (seen = 0; seen < n; seen++) {
		desc_read(&d, table, i);
		if (d.flags & VRING_DESC_F_INDIRECT)
			return violation(vq, "nested indirect descriptor");
		ret = chain_add(vq, c, &d);
		if (ret)
			return ret;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
		if (i >= n)
			return violation(vq, "indirect index out of range");
	}
	return violation(vq, "indirect descriptor loop");
}

static int chain_walk(struct virtq *vq, struct virtq_chain *c)
{
	uint32_t i = c->head, seen;
	struct vring_desc d;
	int ret;

	for (seen = 0; seen < vq->size; seen++) {
		desc_read(&d, vq->desc, i);
		if (d.flags & VRING_DESC_F_INDIRECT)
			return chain_add_indirect(vq, c, &d);
		ret = chain_add(vq, c, &d);
		if (ret)
			return ret;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
		if (i >= vq->size)
			return violation(vq, "descriptor index out of range");
	}
	return violation(vq, "descriptor loop");
}

int virtq_pop(struct virtq *vq, struct virtq_chain *c)
{
	uint16_t avail;
	int ret;

	if (vq->broken)
		return -EINVAL;
	if (!vq->enabled)
		return 0;
	/* acquire: ring entries and descriptors are read after the index that publishes them */
	avail = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
	if (avail == vq->last_avail)
		return 0;
	if ((uint16_t)(avail - vq->last_avail) > vq->size)
		return violation(vq, "available index jumped");

	c->head = __atomic_load_n(&vq->avail->ring[vq->last_avail & (vq->size - 1)],
				  __ATOMIC_RELAXED);
	c->nout = 0;
	c->nin = 0;
	c->out_len = 0;
	c->in_len = 0;
	if (c->head >= vq->size)
		return violation(vq, "head index out of range");
	ret = chain_walk(vq, c);
	if (ret)
		return ret;
	vq->last_avail++;
	return 1;
}

uint16_t virtq_end(const struct virtq *vq)
{
	if (!vq->enabled || vq->broken)
		return vq->last_avail;
	return __atomic_load_n(&vq->avail->idx, __ATOMIC_RELAXED);
}

bool virtq_empty(const struct virtq *vq)
{
	return virtq_end(vq) == vq->last_avail;
}

static void touched(struct virtq *vq, const void *host, uint64_t len)
{
	if (vq->mem->touched)
		vq->mem->touched(vq->mem->opaque, host, len);
}

void virtq_touched(struct virtq *vq, const struct virtq_chain *c, uint64_t len)
{
	const struct iovec *iov = c->iov + c->nout;
	unsigned int i;

	for (i = 0; len && i < c->nin; i++) {
		uint64_t take = iov[i].iov_len < len ? iov[i].iov_len : len;

		touched(vq, iov[i].iov_base, take);
		len -= take;
	}
}

/* The device may have begun to write before it found out that it cannot. */
void virtq_unpop(struct virtq *vq, const struct virtq_chain *c)
{
	virtq_touched(vq, c, c->in_len);
	vq->last_avail--;
}

void virtq_push(struct virtq *vq, const struct virtq_chain *c, uint32_t len)
{
	struct vring_used_elem *e = &vq->used->ring[vq->used_idx & (vq->size - 1)];

	virtq_touched(vq, c, len);
	__atomic_store_n(&e->id, c->head, __ATOMIC_RELAXED);
	__atomic_store_n(&e->len, len, __ATOMIC_RELAXED);
	/* release: the element and the buffers are visible before the index */
	__atomic_store_n(&vq->used->idx, ++vq->used_idx, __ATOMIC_RELEASE);
	touched(vq, e, sizeof(*e));
	touched(vq, &vq->used->idx, sizeof(vq->used->idx));
}

bool virtq_should_signal(struct virtq *vq)
{
	uint16_t old = vq->signalled, now = vq->used_idx, event;
	bool valid = vq->signalled_valid;

	/* a driver may kick what it has not set up */
	if (!vq->enabled)
		return false;
	/* nothing was given back since */
	if (valid && now == old)
		return false;
	vq->signalled = now;
	vq->signalled_valid = true;
	/* full barrier: pairs with the driver's "enable interrupts, then look at used->idx" */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vq->event_idx)
		return !(__atomic_load_n(&vq->avail->flags, __ATOMIC_RELAXED) &
			 VRING_AVAIL_F_NO_INTERRUPT);
	event = __atomic_load_n(&vq->avail->ring[vq->size], __ATOMIC_RELAXED);
	return !valid || vring_need_event(event, now, old);
}

static uint16_t *avail_event(struct virtq *vq)
{
	return (uint16_t *)&vq->used->ring[vq->size];
}

void virtq_kicks_off(struct virtq *vq)
{
	/* with event indices an old avail_event already keeps the driver quiet */
	if (!vq->enabled || vq->event_idx)
		return;
	__atomic_store_n(&vq->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	touched(vq, &vq->used->flags, sizeof(vq->used->flags));
}

bool virtq_kicks_on(struct virtq *vq)
{
	if (!vq->enabled || vq->broken)
		return false;
	if (vq->event_idx) {
		__atomic_store_n(avail_event(vq), vq->last_avail, __ATOMIC_RELAXED);
		touched(vq, avail_event(vq), sizeof(uint16_t));
	} else {
		__atomic_store_n(&vq->used->flags, 0, __ATOMIC_RELAXED);
		touched(vq, &vq->used->flags, sizeof(vq->used->flags));
	}
	/* full barrier: pairs with the driver's "publish avail->idx, then look at avail_event" */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !virtq_empty(vq);
}

size_t iov_to_buf(const struct iovec *iov, unsigned int n, size_t off, void *buf, size_t len)
{
	size_t done = 0, take;

	for (; n && done < len; iov++, n--) {
		if (off >= iov->iov_len) {
			off -= iov->iov_len;
			continue;
		}
		take = iov->iov_len - off < len - done ? iov->iov_len - off : len - done;
		memcpy((char *)buf + done, (char *)iov->iov_base + off, take);
		done += take;
		off = 0;
	}
	return done;
}

size_t iov_from_buf(const struct iovec *iov, unsigned int n, size_t off, const void *buf,
		    size_t len)
{
	size_t done = 0, take;

	for (; n && done < len; iov++, n--) {
		if (off >= iov->iov_len) {
			off -= iov->iov_len;
			continue;
		}
		take = iov->iov_len - off < len - done ? iov->iov_len - off : len - done;
		memcpy((char *)iov->iov_base + off, (const char *)buf + done, take);
		done += take;
		off = 0;
	}
	return done;
}

unsigned int iov_slice(struct iovec *out, const struct iovec *iov, unsigned int n, size_t off,
		       size_t len)
{
	unsigned int used = 0;
	size_t take;

	for (; n && len; iov++, n--) {
		if (off >= iov->iov_len) {
			off -= iov->iov_len;
			continue;
		}
		take = iov->iov_len - off < len ? iov->iov_len - off : len;
		out[used++] =
			(struct iovec){.iov_base = (char *)iov->iov_base + off, .iov_len = take};
		len -= take;
		off = 0;
	}
	return used;
}
