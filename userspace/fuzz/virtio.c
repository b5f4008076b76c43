// SPDX-License-Identifier: GPL-2.0-only
#include "fuzz/virtio.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "device.h"
#include "util/list.h"

#define SLOT		1
#define OPS_MAX		400
#define BAR_SIZE	0x4000
#define MSIX_SIZE	4096

/* Rings of queue @q: desc at +0, avail at +0x1000, used at +0x1800 */
#define RING_BASE(q)	(0x2000u * (q))

static uint32_t fuzz_u24(struct fuzz_in *in)
{
	uint32_t value = fuzz_u16(in);

	return value | (uint32_t)fuzz_u8(in) << 16;
}

static unsigned int access_len(struct fuzz_in *in)
{
	return 1u << (fuzz_u8(in) & 3);
}

static void *ram(struct virtio_target *t, uint32_t addr, uint32_t len)
{
	return t->b.m.mem.host + addr % (uint32_t)(t->b.m.mem.size - len);
}

static void settle(struct virtio_target *t)
{
	rig_pump(&t->b);
	if (t->settle)
		t->settle(t);
}

/* ---- the operations ---- */

static void common_set(struct virtio_target *t, unsigned int off, unsigned int len, uint64_t value)
{
	mmio_set(&t->b, t->d.common + off, len, value);
}

static void op_up(struct virtio_target *t, struct fuzz_in *in)
{
	uint64_t features = fuzz_u64(in) | 1ull << VIRTIO_F_VERSION_1;
	unsigned int size = 1u << (fuzz_u8(in) & 15);

	driver_probe(&t->d, &t->b, SLOT);
	if (!t->d.common)
		return;
	driver_negotiate(&t->d, features);
	for (unsigned int q = 0; q < t->queues; q++) {
		common_set(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		common_set(t, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
		common_set(t, VIRTIO_PCI_COMMON_Q_DESCLO, 8, RING_BASE(q));
		common_set(t, VIRTIO_PCI_COMMON_Q_AVAILLO, 8, RING_BASE(q) + 0x1000);
		common_set(t, VIRTIO_PCI_COMMON_Q_USEDLO, 8, RING_BASE(q) + 0x1800);
		common_set(t, VIRTIO_PCI_COMMON_Q_MSIX, 2, q);
		common_set(t, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	}
	driver_ok(&t->d);
}

static void take_desc(struct fuzz_in *in, struct vring_desc *d)
{
	d->addr = fuzz_u24(in);
	d->len = fuzz_u32(in);
	d->flags = fuzz_u8(in);
	d->next = fuzz_u8(in);
	/* the upper half of the address space, too */
	if (d->flags & 0x80)
		d->addr |= d->addr << 40;
}

static void op_desc(struct virtio_target *t, struct fuzz_in *in)
{
	uint32_t q = fuzz_u8(in) % t->queues, i = fuzz_u8(in);
	struct vring_desc d;

	take_desc(in, &d);
	memcpy(ram(t, RING_BASE(q) + i * sizeof(d), sizeof(d)), &d, sizeof(d));
}

static void op_indirect(struct virtio_target *t, struct fuzz_in *in)
{
	uint32_t table = fuzz_u24(in), i = fuzz_u8(in);
	struct vring_desc d;

	take_desc(in, &d);
	memcpy(ram(t, table + i * (uint32_t)sizeof(d), sizeof(d)), &d, sizeof(d));
}

static struct vring_avail *avail(struct virtio_target *t, struct fuzz_in *in)
{
	return ram(t, RING_BASE(fuzz_u8(in) % t->queues) + 0x1000, 0x800);
}

/* The ring has as many entries as there was room for; the index counts on. */
static void op_publish(struct virtio_target *t, struct fuzz_in *in)
{
	struct vring_avail *a = avail(t, in);
	uint16_t size = (uint16_t)mmio_get(&t->b, t->d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2);

	a->ring[a->idx & (size - 1) & 0xff] = fuzz_u8(in);
	__atomic_store_n(&a->idx, a->idx + 1, __ATOMIC_RELEASE);
}

static void op_kick(struct virtio_target *t, struct fuzz_in *in)
{
	unsigned int q = fuzz_u8(in) % t->queues;

	mmio_set(&t->b, t->d.notify + q * t->d.notify_mult, 2, q);
}

static void op_pump(struct virtio_target *t, struct fuzz_in *in)
{
	(void)in;
	settle(t);
}

static void op_poke(struct virtio_target *t, struct fuzz_in *in)
{
	uint32_t addr = fuzz_u24(in);
	size_t len;
	const uint8_t *data = fuzz_take(in, fuzz_u8(in), &len);

	memcpy(ram(t, addr, 256), data, len);
}

static void op_avail(struct virtio_target *t, struct fuzz_in *in)
{
	struct vring_avail *a = avail(t, in);

	__atomic_store_n(&a->idx, fuzz_u16(in), __ATOMIC_RELEASE);
}

static void op_event(struct virtio_target *t, struct fuzz_in *in)
{
	struct vring_avail *a = avail(t, in);
	uint16_t size = (uint16_t)mmio_get(&t->b, t->d.common + VIRTIO_PCI_COMMON_Q_SIZE, 2);

	a->ring[size & 0xff] = fuzz_u16(in);
	a->flags = fuzz_u16(in);
}

static void op_bar_write(struct virtio_target *t, struct fuzz_in *in)
{
	uint64_t off = fuzz_u16(in) % BAR_SIZE;
	unsigned int len = access_len(in);

	mmio_set(&t->b, t->d.common + off, len, fuzz_u64(in));
}

static void op_bar_read(struct virtio_target *t, struct fuzz_in *in)
{
	uint64_t off = fuzz_u16(in) % BAR_SIZE;

	mmio_get(&t->b, t->d.common + off, access_len(in));
}

static void op_cfg_write(struct virtio_target *t, struct fuzz_in *in)
{
	unsigned int off = fuzz_u8(in), len = 1u << fuzz_u8(in) % 3;

	cfg_set(&t->b, SLOT, off & ~(len - 1), len, fuzz_u32(in));
}

static void op_cfg_read(struct virtio_target *t, struct fuzz_in *in)
{
	unsigned int off = fuzz_u8(in), len = 1u << fuzz_u8(in) % 3;

	cfg_get(&t->b, SLOT, off & ~(len - 1), len);
}

static void op_msix(struct virtio_target *t, struct fuzz_in *in)
{
	uint64_t off = fuzz_u16(in) % MSIX_SIZE;
	unsigned int len = access_len(in);

	mmio_set(&t->b, t->d.msix + off, len, fuzz_u64(in));
	mmio_get(&t->b, t->d.msix + off, len);
}

static void op_feed(struct virtio_target *t, struct fuzz_in *in)
{
	size_t len;
	const uint8_t *data = fuzz_take(in, fuzz_u8(in), &len);

	if (t->feed)
		t->feed(t, data, len);
}

static void op_reload(struct virtio_target *t, struct fuzz_in *in)
{
	(void)in;
	rig_reload(&t->b);
}

static void op_ring(struct virtio_target *t, struct fuzz_in *in)
{
	static const unsigned int regs[] = {
		VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_PCI_COMMON_Q_USEDLO,
	};
	unsigned int q = fuzz_u8(in) % t->queues, which = fuzz_u8(in) % ARRAY_SIZE(regs);

	driver_negotiate(&t->d, ~0ull);
	common_set(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
	common_set(t, regs[which], 8, fuzz_u64(in));
	common_set(t, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	driver_ok(&t->d);
}

static void (*const ops[OPS])(struct virtio_target *t, struct fuzz_in *in) = {
	[OP_UP] = op_up, [OP_DESC] = op_desc, [OP_PUBLISH] = op_publish, [OP_KICK] = op_kick, [OP_PUMP] = op_pump,
	[OP_POKE] = op_poke, [OP_INDIRECT] = op_indirect, [OP_AVAIL] = op_avail, [OP_EVENT] = op_event,
	[OP_BAR_WRITE] = op_bar_write, [OP_BAR_READ] = op_bar_read, [OP_CFG_WRITE] = op_cfg_write,
	[OP_CFG_READ] = op_cfg_read, [OP_MSIX] = op_msix, [OP_FEED] = op_feed, [OP_RELOAD] = op_reload,
	[OP_RING] = op_ring,
};

void virtio_run(struct virtio_target *t, const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };

	rig_reset(&t->b);
	driver_probe(&t->d, &t->b, SLOT);
	for (unsigned int i = 0; in.left && i < OPS_MAX; i++)
		ops[fuzz_u8(&in) % OPS](t, &in);
	settle(t);
	if (t->check)
		t->check(t);
	devices_reset(&t->b.m);
}

/* ---- seeds ---- */

void virtio_seed_up(struct fuzz_out *out, uint64_t features, uint8_t log2_size)
{
	fuzz_put_int(out, OP_UP, 1);
	fuzz_put_int(out, features, 8);
	fuzz_put_int(out, log2_size, 1);
}

/* What take_desc() reads, behind the descriptor's index. */
static void put_desc(struct fuzz_out *out, uint8_t i, uint32_t addr, uint32_t len, uint8_t flags, uint8_t next)
{
	fuzz_put_int(out, i, 1);
	fuzz_put_int(out, addr, 3);
	fuzz_put_int(out, len, 4);
	fuzz_put_int(out, flags, 1);
	fuzz_put_int(out, next, 1);
}

void virtio_seed_desc(struct fuzz_out *out, uint8_t queue, uint8_t i, uint32_t addr, uint32_t len, uint8_t flags,
		      uint8_t next)
{
	fuzz_put_int(out, OP_DESC, 1);
	fuzz_put_int(out, queue, 1);
	put_desc(out, i, addr, len, flags, next);
}

void virtio_seed_publish(struct fuzz_out *out, uint8_t queue, uint8_t head)
{
	fuzz_put_int(out, OP_PUBLISH, 1);
	fuzz_put_int(out, queue, 1);
	fuzz_put_int(out, head, 1);
	fuzz_put_int(out, OP_KICK, 1);
	fuzz_put_int(out, queue, 1);
	fuzz_put_int(out, OP_PUMP, 1);
}

void virtio_seed_poke(struct fuzz_out *out, uint32_t addr, const void *data, uint8_t len)
{
	fuzz_put_int(out, OP_POKE, 1);
	fuzz_put_int(out, addr, 3);
	fuzz_put_int(out, len, 1);
	fuzz_put(out, data, len);
}

void virtio_seed_feed(struct fuzz_out *out, const void *data, uint8_t len)
{
	fuzz_put_int(out, OP_FEED, 1);
	fuzz_put_int(out, len, 1);
	fuzz_put(out, data, len);
	fuzz_put_int(out, OP_PUMP, 1);
}

static void indirect(struct fuzz_out *out, uint32_t table, uint8_t i, uint32_t addr, uint32_t len, uint8_t flags,
		     uint8_t next)
{
	fuzz_put_int(out, OP_INDIRECT, 1);
	fuzz_put_int(out, table, 3);
	put_desc(out, i, addr, len, flags, next);
}

#define NEXT	VRING_DESC_F_NEXT
#define WRITE	VRING_DESC_F_WRITE
#define INDIR	VRING_DESC_F_INDIRECT

static void seed_chain(struct fuzz_out *out, uint8_t q)
{
	virtio_seed_desc(out, q, 0, 0x20000, 16, NEXT, 1);
	virtio_seed_desc(out, q, 1, 0x21000, 512, NEXT | WRITE, 2);
	virtio_seed_desc(out, q, 2, 0x22000, 1, WRITE, 0);
	virtio_seed_publish(out, q, 0);
}

static void seed_loop(struct fuzz_out *out, uint8_t q)
{
	virtio_seed_desc(out, q, 0, 0x20000, 16, NEXT, 1);
	virtio_seed_desc(out, q, 1, 0x21000, 16, NEXT, 0);
	virtio_seed_publish(out, q, 0);
}

static void seed_indirect(struct fuzz_out *out, uint8_t q)
{
	indirect(out, 0x30000, 0, 0x20000, 16, NEXT, 1);
	indirect(out, 0x30000, 1, 0x21000, 512, NEXT | WRITE, 2);
	indirect(out, 0x30000, 2, 0x22000, 1, WRITE, 0);
	virtio_seed_desc(out, q, 0, 0x30000, 48, INDIR, 0);
	virtio_seed_publish(out, q, 0);
}

static void seed_indirect_loop(struct fuzz_out *out, uint8_t q)
{
	indirect(out, 0x30000, 0, 0x20000, 0x20000, NEXT, 1);
	indirect(out, 0x30000, 1, 0x30000, 32, NEXT | INDIR, 0);
	virtio_seed_desc(out, q, 0, 0x30000, 32, INDIR, 0);
	virtio_seed_publish(out, q, 0);
}

static void seed_huge(struct fuzz_out *out, uint8_t q)
{
	virtio_seed_desc(out, q, 0, 0x20000, 0xffffffff, NEXT, 1);
	virtio_seed_desc(out, q, 1, 0xfff000, 0xfffff000, NEXT | WRITE | 0x80, 2);
	virtio_seed_desc(out, q, 2, 0x3ffff, 2, WRITE, 0);
	virtio_seed_publish(out, q, 0);
}

static void seed_index_jump(struct fuzz_out *out, uint8_t q)
{
	fuzz_put_int(out, OP_AVAIL, 1);
	fuzz_put_int(out, q, 1);
	fuzz_put_int(out, 0x8000, 2);
	fuzz_put_int(out, OP_KICK, 1);
	fuzz_put_int(out, q, 1);
	fuzz_put_int(out, OP_PUMP, 1);
}

static void seed_reload(struct fuzz_out *out, uint8_t q)
{
	seed_chain(out, q);
	fuzz_put_int(out, OP_RELOAD, 1);
	seed_chain(out, q);
}

static void seed_msix(struct fuzz_out *out, uint8_t q)
{
	fuzz_put_int(out, OP_MSIX, 1);
	fuzz_put_int(out, 16 * q, 2);
	fuzz_put_int(out, 3, 1);
	fuzz_put_int(out, 0xfee00000, 8);
	fuzz_put_int(out, OP_MSIX, 1);
	fuzz_put_int(out, 16 * q + 8, 2);
	fuzz_put_int(out, 3, 1);
	fuzz_put_int(out, 0x41, 8);
	fuzz_put_int(out, OP_CFG_WRITE, 1);
	fuzz_put_int(out, 0x92, 1);
	fuzz_put_int(out, 1, 1);
	fuzz_put_int(out, 0x8000, 4);
	seed_chain(out, q);
}

size_t virtio_seed(unsigned int queues, unsigned int i, uint8_t *data)
{
	static void (*const seeds[])(struct fuzz_out *out, uint8_t q) = {
		seed_chain, seed_loop, seed_indirect, seed_indirect_loop, seed_huge, seed_index_jump, seed_reload,
		seed_msix,
	};
	struct fuzz_out out = { data, 0 };

	if (i / queues >= ARRAY_SIZE(seeds))
		return 0;
	virtio_seed_up(&out, ~0ull, 4);
	seeds[i / queues](&out, (uint8_t)(i % queues));
	return out.len;
}
