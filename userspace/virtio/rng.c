// SPDX-License-Identifier: GPL-2.0-only
/* virtio-rng. */
#include "virtio/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "machine.h"
#include "util/msg.h"
#include "virtio/virtio.h"

#define MAX_BYTES	4096	/* for one request; a device may give less than was asked for */
#define BATCH		16	/* requests in one turn of the event loop */

struct rng {
	struct virtio_dev v;
};

static uint32_t fill(const struct virtq_chain *c)
{
	uint8_t bytes[MAX_BYTES];
	size_t want = c->in_len < MAX_BYTES ? c->in_len : MAX_BYTES;
	/* up to 256 bytes come whole, more may be cut short by a signal (getrandom(2)) */
	ssize_t got = getrandom(bytes, want, 0);

	return got > 0 ? iov_from_buf(c->iov + c->nout, c->nin, 0, bytes, got) : 0;
}

static void kicked(struct virtio_dev *v, unsigned int q)
{
	struct virtq *vq = &v->queue[q].vq;
	unsigned int i;

	virtq_kicks_off(vq);
	for (i = 0; i < BATCH && virtio_pop(v, q, &v->chain); i++)
		virtq_push(vq, &v->chain, fill(&v->chain));
	virtio_signal(v, q);
	if (v->running && (!virtq_empty(vq) || virtq_kicks_on(vq)))
		virtio_kick(v, q);
}

static void destroy(struct virtio_dev *v)
{
	free(container_of(v, struct rng, v));
}

static const struct virtio_ops rng_ops = {
	.id = VIRTIO_ID_RNG,
	.class = 0x00ff00,
	.nr_queues = 1,
	.queue_size = 64,
	.free = destroy,
	.kicked = kicked,
};

int virtio_rng_create(struct machine *m)
{
	struct rng *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return msg_fail(-ENOMEM, "out of memory for the random number device");
	virtio_init(&r->v, m, &rng_ops, "rng", 0);
	ret = virtio_register(&r->v);
	if (ret) {
		virtio_fini(&r->v);
		destroy(&r->v);
	}
	return ret;
}
