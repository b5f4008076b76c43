// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio-net. Frames go straight between guest buffers and the backend, which
 * understands the header. While the guest offers no buffers, the backend is
 * not polled; the driver's next kick resumes.
 *
 * A backend's connections live in this process and are not part of the saved
 * state: to the guest a restore looks like a network that lost some packets.
 */
#include "virtio/net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "machine.h"
#include "net/net.h"
#include "stream.h"
#include "util/msg.h"
#include "util/time.h"
#include "virtio/virtio.h"

#define BATCH	64	/* frames in one turn of the event loop */

/* A guest that has come from elsewhere is announced so often, the next time after so long. */
#define ANNOUNCE_ROUNDS	5
#define ANNOUNCE_NS	(100 * NSEC_PER_MSEC)

enum { RXQ, TXQ };

struct net {
	struct virtio_dev v;
	struct net_backend *be;
	struct loop_fd lfd;	/* the backend's */
	bool watched;		/* lfd is on the loop */
	bool dead;		/* the backend gives no more */
	bool arrived;		/* from elsewhere, and the guest was not told so yet */
	struct loop_timer announcer;
	unsigned int announce;	/* rounds to come */
	struct virtio_net_config config;
};

static struct net *to_net(struct virtio_dev *v)
{
	return container_of(v, struct net, v);
}

static void watch(struct net *n, bool on)
{
	if (n->watched && !n->dead)
		loop_mod(&n->v.dev.m->loop, &n->lfd, on ? EPOLLIN : 0);
}

/* ---- to the guest ---- */

/* One frame into one chain. Return: false if there is nothing more to do now. */
static bool rx_one(struct net *n)
{
	struct virtio_dev *v = &n->v;
	struct virtq_chain *c = &v->chain;
	const uint16_t one = 1;
	ssize_t len;

	if (!virtio_pop(v, RXQ, c))
		return false;
	if (c->in_len < NET_HDR_SIZE) {
		virtio_fail(v, "receive buffer without room for the header");
		return false;
	}
	len = n->be->ops->recv(n->be, c->iov + c->nout, c->nin);
	if (len < NET_HDR_SIZE) {
		virtq_unpop(&v->queue[RXQ].vq, c);
		if (len != -EAGAIN && len != -EMSGSIZE && len < 0)
			n->dead = true;
		return len != -EAGAIN && !n->dead;
	}
	/* without MRG_RXBUF it is always one (5.1.6.4) */
	iov_from_buf(c->iov + c->nout, c->nin, offsetof(struct virtio_net_hdr_v1, num_buffers),
		     &one, sizeof(one));
	virtq_push(&v->queue[RXQ].vq, c, len);
	return true;
}

static void rx(struct net *n)
{
	struct virtq *vq = &n->v.queue[RXQ].vq;
	unsigned int i;

	virtq_kicks_off(vq);
	for (i = 0; i < BATCH && rx_one(n); i++)
		;
	virtio_signal(&n->v, RXQ);
	/* out of buffers: wait for a kick; else poll() calls again for what is left */
	watch(n, n->v.running && (!virtq_empty(vq) || virtq_kicks_on(vq)));
}

static void backend_ready(struct loop_fd *lfd, uint32_t events)
{
	struct net *n = lfd->opaque;

	pthread_mutex_lock(&n->v.lock);
	if (n->v.running)
		rx(n);
	else
		watch(n, false);
	if (n->dead || (events & (EPOLLERR | EPOLLHUP))) {
		msg_warn("%s lost its network interface", n->v.name);
		loop_del(&n->v.dev.m->loop, lfd);
		n->watched = false;
		n->config.status &= (uint16_t)~VIRTIO_NET_S_LINK_UP;
		virtio_config_changed(&n->v);
	}
	pthread_mutex_unlock(&n->v.lock);
}

/* ---- from the guest ---- */

static bool tx_one(struct net *n)
{
	struct virtio_dev *v = &n->v;
	struct virtq_chain *c = &v->chain;

	if (!virtio_pop(v, TXQ, c))
		return false;
	if (c->out_len < NET_HDR_SIZE) {
		virtio_fail(v, "frame without header");
		return false;
	}
	n->be->ops->send(n->be, c->iov, c->nout);
	virtq_push(&v->queue[TXQ].vq, c, 0);
	return true;
}

static void tx(struct net *n)
{
	struct virtq *vq = &n->v.queue[TXQ].vq;
	unsigned int i;

	virtq_kicks_off(vq);
	for (i = 0; i < BATCH && tx_one(n); i++)
		;
	if (i && n->be->ops->sent)
		n->be->ops->sent(n->be);
	virtio_signal(&n->v, TXQ);
	/* the loop has others to serve: what is left takes another turn */
	if (n->v.running && (!virtq_empty(vq) || virtq_kicks_on(vq)))
		virtio_kick(&n->v, TXQ);
}

static void kicked(struct virtio_dev *v, unsigned int q)
{
	struct net *n = to_net(v);

	if (q == TXQ)
		tx(n);
	else
		rx(n);
}

/* ---- where the guest is now ---- */

/*
 * A question about the guest's own address in the guest's name (RARP, RFC 903). Nobody answers
 * it, but each switch that it passes learns behind which port the address is.
 */
static void announce(struct net *n)
{
	static const uint8_t question[] = { 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3 };
	uint8_t frame[NET_HDR_SIZE + 60] = { 0 }, *at = frame + NET_HDR_SIZE;
	const struct iovec iov = { frame, sizeof(frame) };
	const uint8_t *mac = n->config.mac;

	memset(at, 0xff, 6);
	memcpy(at + 6, mac, 6);
	memcpy(at + 12, question, sizeof(question));
	memcpy(at + 22, mac, 6);
	memcpy(at + 32, mac, 6);
	n->be->ops->send(n->be, &iov, 1);
}

static void announcer_fire(struct loop_timer *timer)
{
	struct net *n = timer->opaque;

	pthread_mutex_lock(&n->v.lock);
	if (n->v.running && n->announce) {
		announce(n);
		if (--n->announce)
			loop_timer_set(timer, ANNOUNCE_NS, 0);
	}
	pthread_mutex_unlock(&n->v.lock);
}

static void start(struct virtio_dev *v)
{
	struct net *n = to_net(v);

	if (n->be->ops->negotiated)
		n->be->ops->negotiated(n->be, v->features);
	if (n->announce)
		loop_timer_set(&n->announcer, 1, 0);
	/* the link may have been down over there */
	if (n->arrived)
		virtio_config_changed(v);
	n->arrived = false;
}

static void stop(struct virtio_dev *v)
{
	watch(to_net(v), false);
}

static int realize(struct virtio_dev *v)
{
	struct net *n = to_net(v);
	int ret;

	n->announcer.fire = announcer_fire;
	n->announcer.opaque = n;
	ret = loop_timer_init(&v->dev.m->loop, &n->announcer);
	if (ret)
		return ret;
	n->lfd = (struct loop_fd){ .fd = n->be->fd, .ready = backend_ready, .opaque = n };
	ret = loop_add(&v->dev.m->loop, &n->lfd, 0);
	n->watched = !ret;
	if (ret)
		loop_timer_destroy(&v->dev.m->loop, &n->announcer);
	return ret;
}

static void unrealize(struct virtio_dev *v)
{
	struct net *n = to_net(v);

	if (n->watched)
		loop_del(&v->dev.m->loop, &n->lfd);
	n->watched = false;
	loop_timer_destroy(&v->dev.m->loop, &n->announcer);
}

static void destroy(struct virtio_dev *v)
{
	struct net *n = to_net(v);

	n->be->ops->close(n->be);
	free(n);
}

/* The address is made of the machine's name, which may be another one after a move. */
static void save(struct virtio_dev *v, struct stream *s)
{
	stream_put_bytes(s, to_net(v)->config.mac, sizeof(to_net(v)->config.mac));
}

static void load(struct virtio_dev *v, struct stream *s)
{
	struct net *n = to_net(v);

	stream_get_bytes(s, n->config.mac, sizeof(n->config.mac));
	n->arrived = true;
	n->announce = n->be->shared ? ANNOUNCE_ROUNDS : 0;
}

static const struct virtio_ops net_ops = {
	.id = VIRTIO_ID_NET,
	.class = 0x020000,
	.nr_queues = 2,
	.queue_size = 256,
	.realize = realize,
	.unrealize = unrealize,
	.free = destroy,
	.start = start,
	.stop = stop,
	.kicked = kicked,
	.save = save,
	.load = load,
};

/* The same name always gives the same address (FNV-1a, folded to three bytes). */
static void mac_from_name(uint8_t mac[6], const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	hash ^= hash >> 24;
	mac[0] = 0x52;
	mac[1] = 0x54;
	mac[2] = 0x00;
	mac[3] = hash >> 16;
	mac[4] = hash >> 8;
	mac[5] = hash;
}

static int backend_open(struct net_backend **be, struct machine *m, const struct net_config *cfg)
{
	return cfg->kind == NET_TAP ? net_tap_open(be, cfg->tap) : net_user_open(be, m->sandbox);
}

int virtio_net_create(struct machine *m, const struct net_config *cfg)
{
	struct net *n;
	int ret;

	if (cfg->kind == NET_NONE)
		return 0;
	n = calloc(1, sizeof(*n));
	if (!n)
		return msg_fail(-ENOMEM, "out of memory for the network card");
	ret = backend_open(&n->be, m, cfg);
	if (ret) {
		free(n);
		return ret;
	}
	mac_from_name(n->config.mac, m->cfg.name ? m->cfg.name : "");
	n->config.status = VIRTIO_NET_S_LINK_UP;
	n->v.offered =
		VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) | n->be->features;
	n->v.config = &n->config;
	n->v.config_len = offsetof(struct virtio_net_config, max_virtqueue_pairs);
	virtio_init(&n->v, m, &net_ops, "net", 0);
	ret = virtio_register(&n->v);
	if (ret) {
		virtio_fini(&n->v);
		destroy(&n->v);
	}
	return ret;
}
