// SPDX-License-Identifier: GPL-2.0-only
/* The virtqueue layer alone: what it accepts, what it refuses, and random garbage. */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"
#include "virtio/queue.h"

#define RAM	65536u
#define DESC	0x0000u
#define AVAIL	0x2000u
#define USED	0x3000u
#define TABLE	0x4000u
#define SIZE	8u

struct ram {
	uint8_t *host;
	uint8_t shadow[RAM];	/* what those know who only hear of what was touched */
};

static void *ram_at(void *opaque, uint64_t gpa, uint64_t len)
{
	struct ram *ram = opaque;

	return gpa <= RAM && len <= RAM - gpa ? ram->host + gpa : NULL;
}

static void ram_touched(void *opaque, const void *host, uint64_t len)
{
	struct ram *ram = opaque;

	memcpy(ram->shadow + ((const uint8_t *)host - ram->host), host, len);
}

struct fixture {
	struct ram ram;
	struct virtq_mem mem;
	struct virtq vq;
	struct virtq_chain chain;
	struct vring_desc *desc, *table;
	struct vring_avail *avail;
	struct vring_used *used;
};

static void setup(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->ram.host = calloc(1, RAM);
	f->mem = (struct virtq_mem){
		.at = ram_at, .touched = ram_touched, .opaque = &f->ram,
	};
	virtq_init(&f->vq, &f->mem, VIRTQ_MAX_SIZE);
	f->vq.size = SIZE;
	f->vq.desc_gpa = DESC;
	f->vq.avail_gpa = AVAIL;
	f->vq.used_gpa = USED;
	f->vq.indirect = true;
	f->desc = (void *)(f->ram.host + DESC);
	f->table = (void *)(f->ram.host + TABLE);
	f->avail = (void *)(f->ram.host + AVAIL);
	f->used = (void *)(f->ram.host + USED);
}

static void teardown(struct fixture *f)
{
	free(f->ram.host);
}

static void publish(struct fixture *f, uint16_t head)
{
	f->avail->ring[f->avail->idx & (SIZE - 1)] = head;
	f->avail->idx++;
}

static struct vring_desc desc(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	return (struct vring_desc){ .addr = addr, .len = len, .flags = flags, .next = next };
}

/* Enable, publish head 0, pop. */
static int pop0(struct fixture *f)
{
	if (!f->vq.enabled && virtq_enable(&f->vq))
		return -1000;
	publish(f, 0);
	return virtq_pop(&f->vq, &f->chain);
}

static void test_good_chain(void)
{
	struct fixture f;

	setup(&f);
	f.desc[0] = desc(0x8000, 16, VRING_DESC_F_NEXT, 3);
	f.desc[3] = desc(0x9000, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	f.desc[1] = desc(0xa000, 1, VRING_DESC_F_WRITE, 77);
	ok(pop0(&f) == 1, "a good chain is taken");
	ok(f.chain.nout == 1 && f.chain.nin == 2 && f.chain.out_len == 16 && f.chain.in_len == 513,
	   "its buffers are counted");
	ok(f.chain.iov[1].iov_base == f.ram.host + 0x9000, "buffers are guest memory itself");
	ok(virtq_pop(&f.vq, &f.chain) == 0 && virtq_empty(&f.vq), "then the ring is empty");
	virtq_push(&f.vq, &f.chain, 513);
	ok(f.used->idx == 1 && f.used->ring[0].id == 0 && f.used->ring[0].len == 513,
	   "push fills the used ring");
	teardown(&f);
}

static void test_indirect(void)
{
	struct fixture f;

	setup(&f);
	/* at an odd address: no alignment is asked of tables */
	f.desc[0] = desc(TABLE + 1, 32, VRING_DESC_F_INDIRECT, 0);
	f.table = (void *)(f.ram.host + TABLE);
	struct vring_desc d[2] = { desc(0x8000, 16, VRING_DESC_F_NEXT, 1),
				   desc(0x9000, 64, VRING_DESC_F_WRITE, 0) };
	memcpy(f.ram.host + TABLE + 1, d, sizeof(d));
	ok(pop0(&f) == 1 && f.chain.nout == 1 && f.chain.nin == 1, "an indirect table is followed");
	teardown(&f);
}

struct bad {
	const char *name;
	void (*make)(struct fixture *f);
};

static void bad_loop(struct fixture *f)
{
	f->desc[0] = desc(0x8000, 16, VRING_DESC_F_NEXT, 1);
	f->desc[1] = desc(0x8000, 16, VRING_DESC_F_NEXT, 0);
}

static void bad_next(struct fixture *f)
{
	f->desc[0] = desc(0x8000, 16, VRING_DESC_F_NEXT, SIZE);
}

static void bad_order(struct fixture *f)
{
	f->desc[0] = desc(0x8000, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	f->desc[1] = desc(0x8000, 16, 0, 0);
}

static void bad_end(struct fixture *f)
{
	f->desc[0] = desc(RAM - 8, 16, 0, 0);
}

static void bad_wrap(struct fixture *f)
{
	f->desc[0] = desc(UINT64_MAX - 7, 16, 0, 0);
}

static void bad_nested(struct fixture *f)
{
	f->desc[0] = desc(TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	f->table[0] = desc(TABLE, 16, VRING_DESC_F_INDIRECT, 0);
}

static void bad_table_size(struct fixture *f)
{
	f->desc[0] = desc(TABLE, 24, VRING_DESC_F_INDIRECT, 0);
}

static void bad_table_empty(struct fixture *f)
{
	f->desc[0] = desc(TABLE, 0, VRING_DESC_F_INDIRECT, 0);
}

static void bad_table_huge(struct fixture *f)
{
	f->desc[0] = desc(0, 16 * (VIRTQ_MAX_CHAIN + 1), VRING_DESC_F_INDIRECT, 0);
}

static void bad_table_place(struct fixture *f)
{
	f->desc[0] = desc(RAM - 16, 32, VRING_DESC_F_INDIRECT, 0);
}

static void bad_table_next(struct fixture *f)
{
	f->desc[0] = desc(TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
	f->table[0] = desc(0x8000, 16, 0, 0);
}

static void bad_table_loop(struct fixture *f)
{
	f->desc[0] = desc(TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	f->table[0] = desc(0x8000, 16, VRING_DESC_F_NEXT, 1);
	f->table[1] = desc(0x8000, 16, VRING_DESC_F_NEXT, 1);
}

static void bad_table_index(struct fixture *f)
{
	f->desc[0] = desc(TABLE, 32, VRING_DESC_F_INDIRECT, 0);
	f->table[0] = desc(0x8000, 16, VRING_DESC_F_NEXT, 2);
}

static void bad_not_negotiated(struct fixture *f)
{
	f->vq.indirect = false;
	f->desc[0] = desc(TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	f->table[0] = desc(0x8000, 16, 0, 0);
}

static void bad_avail(struct fixture *f)
{
	f->desc[0] = desc(0x8000, 16, 0, 0);
	f->avail->idx = SIZE + 1;
}

static void bad_far_next(struct fixture *f)
{
	f->desc[0] = desc(0x8000, 16, VRING_DESC_F_NEXT, 0xffff);
}

static const struct bad bads[] = {
	{ "descriptor loop", bad_loop },
	{ "next out of range", bad_next },
	{ "far next", bad_far_next },
	{ "readable after writable", bad_order },
	{ "buffer over the end of RAM", bad_end },
	{ "buffer that wraps", bad_wrap },
	{ "nested indirect", bad_nested },
	{ "table of odd size", bad_table_size },
	{ "empty table", bad_table_empty },
	{ "huge table", bad_table_huge },
	{ "table outside RAM", bad_table_place },
	{ "table with successor", bad_table_next },
	{ "loop in a table", bad_table_loop },
	{ "index outside a table", bad_table_index },
	{ "indirect not negotiated", bad_not_negotiated },
	{ "available index jumps", bad_avail },
};

static void test_bads(void)
{
	struct fixture f;
	unsigned int i;

	for (i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		setup(&f);
		bads[i].make(&f);
		ok(pop0(&f) == -EINVAL && f.vq.broken && virtq_pop(&f.vq, &f.chain) == -EINVAL,
		   "refused, and stays refused: %s", bads[i].name);
		teardown(&f);
	}
}

static void test_head(void)
{
	struct fixture f;

	setup(&f);
	virtq_enable(&f.vq);
	publish(&f, SIZE);
	ok(virtq_pop(&f.vq, &f.chain) == -EINVAL, "refused: head out of range");
	teardown(&f);
}

static void test_enable(void)
{
	static const struct {
		const char *name;
		uint64_t desc, avail, used;
		uint16_t size;
		bool good;
	} t[] = {
		{ "good", DESC, AVAIL, USED, 8, true },
		{ "size 0", DESC, AVAIL, USED, 0, false },
		{ "size not a power of two", DESC, AVAIL, USED, 12, false },
		{ "size above the maximum", DESC, AVAIL, USED, 512, false },
		{ "misaligned descriptors", 8, AVAIL, USED, 8, false },
		{ "misaligned available ring", DESC, AVAIL + 1, USED, 8, false },
		{ "misaligned used ring", DESC, AVAIL, USED + 2, 8, false },
		{ "descriptors outside RAM", RAM, AVAIL, USED, 8, false },
		{ "used ring over the end", DESC, AVAIL, RAM - 64, 8, false },
		{ "address that wraps", DESC, UINT64_MAX - 1, USED, 8, false },
	};
	struct fixture f;
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		setup(&f);
		f.vq.desc_gpa = t[i].desc;
		f.vq.avail_gpa = t[i].avail;
		f.vq.used_gpa = t[i].used;
		f.vq.size = t[i].size;
		ok(!virtq_enable(&f.vq) == t[i].good, "enable: %s", t[i].name);
		teardown(&f);
	}
}

static void test_signals(void)
{
	static const struct virtq_chain none;
	struct fixture f;

	setup(&f);
	ok(!virtq_should_signal(&f.vq), "a queue that was not set up has nothing to tell");
	teardown(&f);
	uint16_t event;

	setup(&f);
	virtq_enable(&f.vq);
	virtq_push(&f.vq, &none, 0);
	ok(virtq_should_signal(&f.vq), "no event index: signal");
	ok(!virtq_should_signal(&f.vq), "no event index: once");
	f.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&f.vq, &none, 0);
	ok(!virtq_should_signal(&f.vq), "no event index: NO_INTERRUPT is heeded");
	virtq_kicks_off(&f.vq);
	ok(f.used->flags == VRING_USED_F_NO_NOTIFY, "no event index: kicks off");
	f.avail->idx = 1;
	ok(virtq_kicks_on(&f.vq) && !f.used->flags, "kicks on finds what came meanwhile");

	f.vq.event_idx = true;
	virtq_should_signal(&f.vq);
	f.avail->ring[SIZE] = 3;	/* used_event */
	virtq_push(&f.vq, &none, 0);
	ok(!virtq_should_signal(&f.vq), "event index: not yet");
	virtq_push(&f.vq, &none, 0);
	virtq_push(&f.vq, &none, 0);
	ok(virtq_should_signal(&f.vq), "event index: crossed");
	f.vq.last_avail = 1;
	ok(!virtq_kicks_on(&f.vq), "event index: kicks on");
	memcpy(&event, &f.used->ring[SIZE], sizeof(event));
	ok(event == 1, "event index: asks for the next kick");
	teardown(&f);
}

/* What the driver wrote is known; what the device writes from now on must be told. */
static void sync(struct fixture *f)
{
	memcpy(f->ram.shadow, f->ram.host, RAM);
}

static bool told(const struct fixture *f)
{
	return !memcmp(f->ram.shadow, f->ram.host, RAM);
}

static void test_touched(void)
{
	struct fixture f;

	setup(&f);
	f.desc[0] = desc(0x8000, 16, VRING_DESC_F_NEXT, 1);
	f.desc[1] = desc(0x9ff0, 40, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
	f.desc[2] = desc(0xb000, 100, VRING_DESC_F_WRITE, 0);
	pop0(&f);
	sync(&f);
	memset(f.ram.host + 0x9ff0, 1, 40);
	memset(f.ram.host + 0xb000, 2, 60);
	ok(!told(&f), "a write is not known by itself");
	virtq_push(&f.vq, &f.chain, 100);
	ok(told(&f), "push tells of the buffers and the used ring");
	publish(&f, 0);
	virtq_pop(&f.vq, &f.chain);
	sync(&f);
	memset(f.ram.host + 0xb000, 3, 99);
	virtq_unpop(&f.vq, &f.chain);
	ok(told(&f), "so does unpop");
	virtq_kicks_off(&f.vq);
	ok(told(&f) && f.used->flags, "kicks off");
	virtq_kicks_on(&f.vq);
	ok(told(&f) && !f.used->flags, "kicks on");
	f.vq.event_idx = true;
	f.vq.last_avail = 9;
	virtq_kicks_on(&f.vq);
	ok(told(&f), "kicks on by the event index");
	teardown(&f);
}

static void test_wrap(void)
{
	struct fixture f;
	unsigned int i, taken = 0;

	setup(&f);
	f.vq.last_avail = 0xfffa;
	f.vq.used_idx = 0xfffa;
	f.avail->idx = 0xfffa;
	virtq_enable(&f.vq);
	for (i = 0; i < 20; i++) {
		f.desc[i % SIZE] = desc(0x8000, 16, 0, 0);
		publish(&f, i % SIZE);
		taken += virtq_pop(&f.vq, &f.chain) == 1 && f.chain.head == i % SIZE;
		virtq_push(&f.vq, &f.chain, i);
	}
	ok(taken == 20 && f.used->idx == (uint16_t)(0xfffa + 20), "indices wrap at 65536");
	teardown(&f);
}

static uint64_t rnd_state = 0x9e3779b97f4a7c15ull;

static uint32_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state >> 16;
}

/* Mostly plausible values, so that the deeper checks are reached. */
static struct vring_desc rnd_desc(void)
{
	static const uint64_t addrs[] = {0x8000, 0xf000,	  RAM - 16,  RAM,
					 TABLE,	 UINT64_MAX - 15, 1ull << 63};
	static const uint32_t lens[] = { 0, 1, 16, 32, 512, 4096, 0x10000, UINT32_MAX };

	return desc(addrs[rnd() % 7] + (rnd() % 4 ? 0 : rnd() % 64), lens[rnd() % 8], rnd() % 8,
		    rnd() % 8 ? rnd() % (SIZE + 1) : rnd());
}

static void check_chain(const struct fixture *f, unsigned int *bad)
{
	const uint8_t *end = f->ram.host + RAM;
	uint64_t out = 0, in = 0;
	unsigned int i;

	for (i = 0; i < f->chain.nout + f->chain.nin; i++) {
		const uint8_t *p = f->chain.iov[i].iov_base;

		*bad += p < f->ram.host || p + f->chain.iov[i].iov_len > end;
		*(i < f->chain.nout ? &out : &in) += f->chain.iov[i].iov_len;
	}
	*bad += out != f->chain.out_len || in != f->chain.in_len || f->chain.head >= SIZE;
}

static void test_fuzz(void)
{
	unsigned int round, i, taken = 0, refused = 0, bad = 0;
	struct fixture f;

	setup(&f);
	for (round = 0; round < 200000; round++) {
		virtq_reset(&f.vq);
		f.vq.size = SIZE;
		f.vq.desc_gpa = DESC;
		f.vq.avail_gpa = AVAIL;
		f.vq.used_gpa = USED;
		f.vq.indirect = rnd() & 1;
		f.vq.event_idx = rnd() & 1;
		virtq_enable(&f.vq);
		for (i = 0; i < SIZE; i++) {
			f.desc[i] = rnd_desc();
			f.table[i] = rnd_desc();
			f.avail->ring[i] = rnd() % 8 ? rnd() % SIZE : rnd();
		}
		f.avail->idx = rnd() % 16 ? rnd() % (SIZE + 1) : rnd();
		while (virtq_pop(&f.vq, &f.chain) == 1) {
			taken++;
			check_chain(&f, &bad);
			virtq_push(&f.vq, &f.chain, rnd());
			virtq_should_signal(&f.vq);
			virtq_kicks_on(&f.vq);
		}
		refused += !!f.vq.broken;
	}
	ok(!bad && taken > 10000 && refused > 10000,
	   "random rings: %u chains taken, %u rings refused, %u wrong", taken, refused, bad);
	teardown(&f);
}

static void test_iov(void)
{
	char a[4] = "abc", b[4] = "def", out[8] = "";
	struct iovec iov[3] = { { a, 3 }, { NULL, 0 }, { b, 3 } }, part[3];

	ok(iov_to_buf(iov, 3, 2, out, 8) == 4 && !memcmp(out, "cdef", 4),
	   "iov_to_buf from the middle");
	ok(iov_from_buf(iov, 3, 1, "123456", 6) == 5 && !strcmp(a, "a12") && !strcmp(b, "345"),
	   "iov_from_buf");
	ok(iov_slice(part, iov, 3, 2, 2) == 2 && part[0].iov_len == 1 && part[1].iov_len == 1,
	   "iov_slice");
}

int main(void)
{
	test_good_chain();
	test_indirect();
	test_bads();
	test_head();
	test_enable();
	test_signals();
	test_touched();
	test_wrap();
	test_iov();
	test_fuzz();
	return tap_done();
}
