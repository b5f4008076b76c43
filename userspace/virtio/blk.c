// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio-blk. The I/O thread waits on the queue's eventfd itself, so a
 * notification goes from the guest's write to the system call on the image
 * without passing the event loop. The device's lock is dropped for the I/O;
 * ->busy keeps a reset waiting until the request is done with guest memory.
 */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "machine.h"
#include "sandbox/thread.h"
#include "util/msg.h"
#include "virtio/virtio.h"

#define HDR_SIZE	sizeof(struct virtio_blk_outhdr)
#define MAX_RANGES	16
#define MAX_RANGE_SECTORS	(1u << 22)	/* 2 GiB */

struct blk {
	struct virtio_dev v;
	struct disk disk;
	struct virtio_blk_config config;
	char id[VIRTIO_BLK_ID_BYTES + 1];
	pthread_t thread;
	pthread_cond_t idle;	/* ->busy fell, or the queue ran empty */
	bool busy;		/* under v.lock, as are the next two */
	bool quit;
	unsigned int stopping;	/* callers that wait for !busy */
};

static bool in_disk(const struct disk *disk, uint64_t sector, uint64_t len)
{
	uint64_t off = sector * DISK_SECTOR;

	return sector <= disk->size / DISK_SECTOR && len <= disk->size - off;
}

/* ---- requests ---- */

struct request {
	struct disk *disk;
	const struct virtq_chain *c;
	uint64_t sector;
	uint64_t out_len, in_len;	/* of the payload */
	bool sync;
	const char *id;
	uint64_t written;
	uint32_t type;
};

/* The payload without header and status; a chain that was cut right has room for it. */
static unsigned int payload(const struct request *r, bool in, struct iovec *iov)
{
	const struct virtq_chain *c = r->c;

	if (in)
		return iov_slice(iov, c->iov + c->nout, c->nin, 0, r->in_len);
	return iov_slice(iov, c->iov, c->nout, HDR_SIZE, r->out_len);
}

static uint8_t do_read(struct request *r)
{
	struct iovec iov[VIRTQ_MAX_CHAIN];

	if (r->in_len % DISK_SECTOR || !in_disk(r->disk, r->sector, r->in_len))
		return VIRTIO_BLK_S_IOERR;
	if (disk_read(r->disk, iov, payload(r, true, iov), r->sector * DISK_SECTOR))
		return VIRTIO_BLK_S_IOERR;
	r->written = r->in_len;
	return VIRTIO_BLK_S_OK;
}

static uint8_t do_flush(struct request *r)
{
	return disk_flush(r->disk) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static uint8_t do_write(struct request *r)
{
	struct iovec iov[VIRTQ_MAX_CHAIN];

	if (r->disk->ro || r->out_len % DISK_SECTOR || !in_disk(r->disk, r->sector, r->out_len))
		return VIRTIO_BLK_S_IOERR;
	if (disk_write(r->disk, iov, payload(r, false, iov), r->sector * DISK_SECTOR))
		return VIRTIO_BLK_S_IOERR;
	return r->sync ? do_flush(r) : VIRTIO_BLK_S_OK;
}

static uint8_t do_get_id(struct request *r)
{
	char id[VIRTIO_BLK_ID_BYTES] = { 0 };
	size_t len = r->in_len < sizeof(id) ? r->in_len : sizeof(id);

	memcpy(id, r->id, strnlen(r->id, sizeof(id)));
	r->written = iov_from_buf(r->c->iov + r->c->nout, r->c->nin, 0, id, len);
	return VIRTIO_BLK_S_OK;
}

static uint8_t do_range(struct request *r, const struct virtio_blk_discard_write_zeroes *range)
{
	uint64_t off = range->sector * DISK_SECTOR,
		 len = (uint64_t)range->num_sectors * DISK_SECTOR;
	bool unmap = range->flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	int ret;

	if (range->flags &
	    ~(r->type == VIRTIO_BLK_T_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0))
		return VIRTIO_BLK_S_UNSUPP;
	if (range->num_sectors > MAX_RANGE_SECTORS || !in_disk(r->disk, range->sector, len))
		return VIRTIO_BLK_S_IOERR;
	if (r->type == VIRTIO_BLK_T_DISCARD)
		ret = disk_discard(r->disk, off, len);
	else
		ret = disk_zero(r->disk, off, len, unmap);
	return ret ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static uint8_t do_ranges(struct request *r)
{
	struct virtio_blk_discard_write_zeroes range[MAX_RANGES];
	uint8_t status = VIRTIO_BLK_S_OK;
	unsigned int i, n;

	if (r->disk->ro || !r->out_len || r->out_len > sizeof(range) ||
	    r->out_len % sizeof(range[0]))
		return VIRTIO_BLK_S_IOERR;
	n = r->out_len / sizeof(range[0]);
	iov_to_buf(r->c->iov, r->c->nout, HDR_SIZE, range, r->out_len);
	for (i = 0; status == VIRTIO_BLK_S_OK && i < n; i++)
		status = do_range(r, &range[i]);
	if (status == VIRTIO_BLK_S_OK && r->sync && r->type == VIRTIO_BLK_T_WRITE_ZEROES)
		status = do_flush(r);
	return status;
}

static const struct {
	uint32_t type;
	uint8_t (*fn)(struct request *r);
} requests[] = {
	{ VIRTIO_BLK_T_IN, do_read },
	{ VIRTIO_BLK_T_OUT, do_write },
	{ VIRTIO_BLK_T_FLUSH, do_flush },
	{ VIRTIO_BLK_T_GET_ID, do_get_id },
	{ VIRTIO_BLK_T_DISCARD, do_ranges },
	{ VIRTIO_BLK_T_WRITE_ZEROES, do_ranges },
};

static uint8_t execute(struct request *r)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].type == r->type)
			return requests[i].fn(r);
	return VIRTIO_BLK_S_UNSUPP;
}

int64_t virtio_blk_request(struct disk *disk, const struct virtq_chain *c, bool sync,
			   const char *id)
{
	struct request r = { .disk = disk, .c = c, .sync = sync, .id = id };
	struct virtio_blk_outhdr hdr;
	uint8_t status;

	if (c->out_len < HDR_SIZE || c->in_len < 1)
		return -EINVAL;
	iov_to_buf(c->iov, c->nout, 0, &hdr, sizeof(hdr));
	r.type = hdr.type;
	r.sector = hdr.sector;
	r.out_len = c->out_len - HDR_SIZE;
	r.in_len = c->in_len - 1;
	status = execute(&r);
	iov_from_buf(c->iov + c->nout, c->nin, r.in_len, &status, 1);
	return r.written + 1;
}

/* ---- the I/O thread ---- */

static struct blk *to_blk(struct virtio_dev *v)
{
	return container_of(v, struct blk, v);
}

static void serve_one(struct blk *b)
{
	struct virtio_dev *v = &b->v;
	struct virtq_chain *c = &v->chain;
	bool sync = !virtio_has(v, VIRTIO_BLK_F_FLUSH);
	int64_t len;

	b->busy = true;
	pthread_mutex_unlock(&v->lock);
	len = virtio_blk_request(&b->disk, c, sync, b->id);
	pthread_mutex_lock(&v->lock);
	b->busy = false;
	pthread_cond_broadcast(&b->idle);
	/* the status is the last byte, also of a read that failed half-way */
	virtq_touched(&v->queue[0].vq, c, c->in_len);
	if (!v->running)
		return;
	if (len < 0) {
		virtio_fail(v, "disk request without header or status");
		return;
	}
	virtq_push(&v->queue[0].vq, c, len);
	virtio_signal(v, 0);
}

static bool may_serve(const struct blk *b)
{
	return b->v.running && !b->stopping && !b->quit;
}

/*
 * The lock is dropped for each request, and no loop goes on without one: a guest that lays its rings over each other
 * makes the queue look filled for ever.
 */
static void serve(struct blk *b)
{
	struct virtq *vq = &b->v.queue[0].vq;

	if (may_serve(b))
		virtq_kicks_off(vq);
	while (may_serve(b) && virtio_pop(&b->v, 0, &b->v.chain))
		serve_one(b);
	if (may_serve(b) && virtq_kicks_on(vq))
		virtio_kick(&b->v, 0);
	pthread_cond_broadcast(&b->idle);
}

static void *run(void *opaque)
{
	struct blk *b = opaque;
	bool quit = false;
	eventfd_t count;

	while (!quit) {
		eventfd_read(b->v.queue[0].kick, &count);
		pthread_mutex_lock(&b->v.lock);
		serve(b);
		quit = b->quit;
		pthread_mutex_unlock(&b->v.lock);
	}
	return NULL;
}

static void stop(struct virtio_dev *v)
{
	struct blk *b = to_blk(v);

	b->stopping++;
	while (b->busy)
		pthread_cond_wait(&b->idle, &v->lock);
	b->stopping--;
}

/*
 * A kick may still be on its way to the thread, so look at the ring: as it is now, for what is read from the disk may
 * change it.
 */
static void drain(struct virtio_dev *v)
{
	struct virtq *vq = &v->queue[0].vq;
	struct blk *b = to_blk(v);
	uint16_t end = virtq_end(vq);

	virtio_kick(v, 0);
	while (v->running &&
	       (b->busy || (!virtq_empty(vq) && (int16_t)(end - vq->last_avail) > 0)))
		pthread_cond_wait(&b->idle, &v->lock);
}

static int realize(struct virtio_dev *v)
{
	struct blk *b = to_blk(v);

	return thread_start(&b->thread, &(struct thread_spec){
		.name = v->name, .sandbox = v->dev.m->sandbox, .role = ROLE_DISK,
		.fd = b->disk.fd, .run = run, .arg = b });
}

static void unrealize(struct virtio_dev *v)
{
	struct blk *b = to_blk(v);

	pthread_mutex_lock(&v->lock);
	b->quit = true;
	pthread_mutex_unlock(&v->lock);
	virtio_kick(v, 0);
	pthread_join(b->thread, NULL);
}

static void destroy(struct virtio_dev *v)
{
	struct blk *b = to_blk(v);

	disk_close(&b->disk);
	pthread_cond_destroy(&b->idle);
	free(b);
}

static const struct virtio_ops blk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.class = 0x010000,	/* storage, SCSI: what drivers expect of a virtio disk */
	.nr_queues = 1,
	.queue_size = 256,
	.own_kicks = true,
	.realize = realize,
	.unrealize = unrealize,
	.free = destroy,
	.stop = stop,
	.drain = drain,
};

static void fill_config(struct blk *b)
{
	b->v.offered = VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) |
		       VIRTIO_BIT(VIRTIO_BLK_F_FLUSH);
	if (b->disk.ro)
		b->v.offered |= VIRTIO_BIT(VIRTIO_BLK_F_RO);
	else
		b->v.offered |=
			VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) | VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	b->config.capacity = b->disk.size / DISK_SECTOR;
	b->config.seg_max = VIRTQ_MAX_CHAIN - 2;
	b->config.blk_size = DISK_SECTOR;
	b->config.num_queues = 1;
	b->config.max_discard_sectors = MAX_RANGE_SECTORS;
	b->config.max_discard_seg = MAX_RANGES;
	b->config.discard_sector_alignment = 8;
	b->config.max_write_zeroes_sectors = MAX_RANGE_SECTORS;
	b->config.max_write_zeroes_seg = MAX_RANGES;
	b->config.write_zeroes_may_unmap = 1;
	b->v.config = &b->config;
	b->v.config_len = sizeof(b->config);
}

static bool is_disk(const struct device *dev)
{
	return !strncmp(dev->name, "virtio-blk", 10);
}

static struct disk *disk_of(struct device *dev)
{
	return &to_blk(container_of(dev, struct virtio_dev, dev))->disk;
}

int virtio_blk_lock_all(struct machine *m)
{
	struct list *pos;
	int ret = 0;

	list_for_each(pos, &m->devices) {
		struct device *dev = container_of(pos, struct device, node);

		if (!ret && is_disk(dev))
			ret = disk_lock(disk_of(dev));
	}
	if (ret)
		virtio_blk_unlock_all(m);
	return ret;
}

int virtio_blk_unlock_all(struct machine *m)
{
	struct list *pos;
	int ret = 0;

	list_for_each(pos, &m->devices) {
		struct device *dev = container_of(pos, struct device, node);
		int err = is_disk(dev) ? disk_unlock(disk_of(dev)) : 0;

		ret = ret ? ret : err;
	}
	return ret;
}

uint64_t virtio_blk_file_size(struct machine *m, unsigned int index)
{
	struct list *pos;
	struct stat st;

	list_for_each(pos, &m->devices) {
		struct device *dev = container_of(pos, struct device, node);

		if (!is_disk(dev) || index--)
			continue;
		if (disk_of(dev)->block)
			return disk_of(dev)->size;
		return fstat(disk_of(dev)->fd, &st) ? 0 : (uint64_t)st.st_size;
	}
	return 0;
}

static unsigned int count_disks(struct machine *m)
{
	unsigned int n = 0;
	struct list *pos;

	list_for_each(pos, &m->devices) {
		struct device *dev = container_of(pos, struct device, node);

		n += is_disk(dev);
	}
	return n;
}

int virtio_blk_create(struct machine *m, const struct disk_config *cfg)
{
	unsigned int index = count_disks(m);
	struct blk *b = calloc(1, sizeof(*b));
	int ret;

	if (!b)
		return msg_fail(-ENOMEM, "out of memory for disk %s", cfg->path);
	ret = disk_open(&b->disk, cfg->path, cfg->ro);
	/* a machine to come gets the lock from the one that leaves */
	if (!ret && m->cfg.origin != ORIGIN_INCOMING) {
		ret = disk_lock(&b->disk);
		if (ret)
			disk_close(&b->disk);
	}
	if (ret) {
		free(b);
		return ret;
	}
	pthread_cond_init(&b->idle, NULL);
	snprintf(b->id, sizeof(b->id), "vmrun-disk%u", index);
	fill_config(b);
	virtio_init(&b->v, m, &blk_ops, "blk", index);
	ret = virtio_register(&b->v);
	if (ret) {
		virtio_fini(&b->v);
		destroy(&b->v);
	}
	return ret;
}
