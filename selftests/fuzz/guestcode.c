// SPDX-License-Identifier: GPL-2.0-only
/* Random guest code that does something that leaves the guest, or might. Written for 64-bit mode; the other modes read it otherwise. */
#include <string.h>

#include "fuzz.h"

struct code {
	uint8_t *out;
	size_t at, size;
};

static void emit(struct code *c, const void *bytes, size_t len)
{
	if (c->at + len > c->size)
		return;
	memcpy(c->out + c->at, bytes, len);
	c->at += len;
}

#define EMIT(c, ...)	emit(c, (const uint8_t []){ __VA_ARGS__ }, sizeof((const uint8_t []){ __VA_ARGS__ }))

/* mov $value, %register */
static void set_reg(struct code *c, unsigned int reg, uint64_t value)
{
	if (value >> 32) {
		EMIT(c, 0x48, 0xb8 | reg);
		emit(c, &value, 8);
	} else {
		EMIT(c, 0xb8 | reg);
		emit(c, &value, 4);
	}
}

enum { EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI };

/* Addresses that mean something: chips, holes, the edges of slots, the vCPU's own tables. */
static uint64_t guest_address(struct genes *g)
{
	static const uint64_t base[] = {
		0xfee00000, 0xfec00000, 0xfed00000, 0x1000, 0x2000, 0x8000, 0x10000, WORLD_RAM - 8, WORLD_RAM,
		2 * WORLD_RAM - 4, 2 * WORLD_RAM, LOG_GPA, LOG_GPA + 0xfff, 0xa0000, 0xfffff000, 0xffff800000000000, 0x7fffffffffff,
	};
	static const uint64_t offset[] = { 0, 0x20, 0x30, 0x80, 0xb0, 0xd0, 0xf0, 0x280, 0x300, 0x310, 0x320, 0x350, 0x380, 0x390, 0x3e0, 0x10 };

	return base[pick(g, sizeof(base) / sizeof(base[0]))] + offset[pick(g, 16)];
}

static void msr(struct code *c, struct genes *g, const struct world *w)
{
	set_reg(c, ECX, w->nr_msrs && !one_in(g, 8) ? w->msr[pick(g, w->nr_msrs)] : interesting(g, w, 0));
	if (pick(g, 2)) {
		set_reg(c, EAX, (uint32_t)interesting(g, w, 0));
		set_reg(c, EDX, one_in(g, 3) ? (uint32_t)interesting(g, w, 0) : 0);
		EMIT(c, 0x0f, 0x30);
	} else {
		EMIT(c, 0x0f, 0x32);
	}
}

static void port(struct code *c, struct genes *g)
{
	static const uint16_t ports[] = { 0x20, 0x21, 0x40, 0x43, 0x61, 0x70, 0x80, 0xa0, 0xa1, 0xb2, 0x3f8, 0x4d0, 0x4d1, 0xcf8, 0x510, 0x7e };
	static const uint8_t ops[] = { 0xec, 0xed, 0xee, 0xef, 0x6c, 0x6d, 0x6e, 0x6f };

	set_reg(c, EDX, ports[pick(g, 16)]);
	set_reg(c, EDI, guest_address(g));
	EMIT(c, 0x48, 0x89, 0xfe);		/* mov %rdi, %rsi */
	set_reg(c, ECX, pick(g, 700));
	if (one_in(g, 2))
		EMIT(c, 0xf3);
	if (one_in(g, 4))
		EMIT(c, 0x66);
	EMIT(c, ops[pick(g, 8)]);
}

static void memory(struct code *c, struct genes *g)
{
	/* With (%rdi) as their operand */
	static const struct {
		uint8_t len, bytes[6];
	} ops[] = {
		{ 2, { 0x88, 0x07 } }, { 2, { 0x89, 0x07 } }, { 3, { 0x48, 0x89, 0x07 } }, { 2, { 0x8a, 0x07 } },
		{ 2, { 0x8b, 0x07 } }, { 3, { 0x48, 0x8b, 0x07 } }, { 3, { 0x0f, 0xb6, 0x07 } }, { 3, { 0x0f, 0xbf, 0x07 } },
		{ 2, { 0x87, 0x07 } }, { 3, { 0xf0, 0x01, 0x07 } }, { 4, { 0xf0, 0x0f, 0xb1, 0x0f } },
		{ 5, { 0xf0, 0x48, 0x0f, 0xc7, 0x0f } }, { 4, { 0xf0, 0x0f, 0xc1, 0x07 } }, { 2, { 0xf3, 0xaa } },
		{ 2, { 0xf3, 0xa5 } }, { 3, { 0xf3, 0x48, 0xa6 } }, { 2, { 0xff, 0x37 } }, { 2, { 0x8f, 0x07 } },
		{ 2, { 0xff, 0x17 } }, { 2, { 0xff, 0x1f } }, { 2, { 0xff, 0x2f } }, { 3, { 0x0f, 0x01, 0x17 } },
		{ 3, { 0x0f, 0x01, 0x1f } }, { 3, { 0x0f, 0x00, 0x17 } }, { 3, { 0x0f, 0x00, 0x1f } }, { 3, { 0x0f, 0xae, 0x07 } },
		{ 3, { 0x0f, 0xae, 0x0f } }, { 3, { 0x0f, 0xae, 0x27 } }, { 3, { 0x0f, 0xae, 0x2f } }, { 3, { 0x0f, 0x01, 0x3f } },
		{ 4, { 0x66, 0x0f, 0x6f, 0x07 } }, { 4, { 0x66, 0x0f, 0x7f, 0x07 } }, { 3, { 0x0f, 0x28, 0x07 } },
		{ 2, { 0xf7, 0x37 } }, { 4, { 0x0f, 0x38, 0xf0, 0x07 } }, { 5, { 0x66, 0x0f, 0x38, 0x82, 0x07 } },
		{ 2, { 0x8e, 0x1f } }, { 2, { 0x8c, 0x1f } }, { 3, { 0x0f, 0xb2, 0x07 } }, { 2, { 0x63, 0x07 } },
	};
	unsigned int i = pick(g, sizeof(ops) / sizeof(ops[0]));

	set_reg(c, EDI, guest_address(g));
	set_reg(c, ESI, guest_address(g));
	set_reg(c, ECX, pick(g, 40));
	emit(c, ops[i].bytes, ops[i].len);
}

static void control(struct code *c, struct genes *g, const struct world *w)
{
	static const uint8_t second[] = { 0x20, 0x22, 0x21, 0x23 };

	set_reg(c, EAX, interesting(g, w, 0x80000031));
	EMIT(c, 0x0f, second[pick(g, 4)], 0xc0 | pick(g, 9) % 8 << 3);
}

static void hypercall(struct code *c, struct genes *g, const struct world *w)
{
	set_reg(c, EAX, pick(g, 14));
	set_reg(c, EBX, interesting(g, w, 0));
	set_reg(c, ECX, interesting(g, w, 0));
	set_reg(c, EDX, interesting(g, w, 0));
	set_reg(c, ESI, interesting(g, w, 0));
	EMIT(c, 0x0f, 0x01, pick(g, 2) ? 0xd9 : 0xc1);
}

static void leaf(struct code *c, struct genes *g)
{
	static const uint32_t leaves[] = { 0, 1, 4, 7, 0xb, 0xd, 0x1f, 0x40000000, 0x40000001, 0x80000000, 0x80000001, 0x8000001d };

	set_reg(c, EAX, leaves[pick(g, 12)] + (one_in(g, 4) ? pick(g, 64) : 0));
	set_reg(c, ECX, pick(g, 5));
	EMIT(c, 0x0f, 0xa2);
}

/* Without operands that matter */
static void plain(struct code *c, struct genes *g)
{
	static const struct {
		uint8_t len, bytes[5];
	} ops[] = {
		{ 1, { 0xf4 } }, { 1, { 0xfb } }, { 1, { 0xfa } }, { 2, { 0xf3, 0x90 } }, { 1, { 0xcc } }, { 2, { 0xcd, 0x20 } },
		{ 2, { 0xcd, 0x80 } }, { 1, { 0xf1 } }, { 2, { 0x48, 0xcf } }, { 2, { 0x0f, 0x0b } }, { 2, { 0x0f, 0x05 } },
		{ 2, { 0x0f, 0x34 } }, { 3, { 0x48, 0x0f, 0x07 } }, { 2, { 0x0f, 0xaa } }, { 2, { 0x0f, 0x31 } },
		{ 3, { 0x0f, 0x01, 0xf9 } }, { 2, { 0x0f, 0x33 } }, { 3, { 0x0f, 0x01, 0xd0 } }, { 3, { 0x0f, 0x01, 0xd1 } },
		{ 2, { 0x0f, 0x09 } }, { 2, { 0x0f, 0x08 } }, { 3, { 0x0f, 0x01, 0xc8 } }, { 3, { 0x0f, 0x01, 0xc9 } },
		{ 2, { 0x0f, 0x06 } }, { 3, { 0x0f, 0x01, 0xd8 } }, { 3, { 0x0f, 0x01, 0xda } }, { 3, { 0x0f, 0x01, 0xdb } },
		{ 3, { 0x0f, 0x01, 0xdc } }, { 3, { 0x0f, 0x01, 0xdd } }, { 3, { 0x0f, 0x01, 0xde } }, { 3, { 0x0f, 0x01, 0xdf } },
		{ 3, { 0x0f, 0x01, 0xc2 } }, { 3, { 0x0f, 0x01, 0xc4 } }, { 3, { 0x0f, 0x01, 0xd4 } }, { 2, { 0xeb, 0xfe } },
		{ 1, { 0x9d } }, { 1, { 0x9c } }, { 3, { 0x0f, 0x01, 0xf8 } }, { 2, { 0x8e, 0xd0 } }, { 3, { 0x0f, 0x01, 0xf0 } },
		{ 3, { 0x0f, 0x01, 0xe0 } }, { 5, { 0x0f, 0x0b, 'k', 'v', 'm' } }, { 2, { 0xeb, 0xf0 } }, { 3, { 0x0f, 0x01, 0xca } },
	};
	unsigned int i = pick(g, sizeof(ops) / sizeof(ops[0]));

	emit(c, ops[i].bytes, ops[i].len);
}

static void anything(struct code *c, struct genes *g)
{
	uint64_t x = gene(g);

	emit(c, &x, 1 + pick(g, 8));
}

size_t guest_code(struct genes *g, const struct world *w, uint8_t *out, size_t size)
{
	struct code c = { .out = out, .size = size - 1 };
	unsigned int n = 1 + pick(g, 6);

	while (n--) {
		switch (pick(g, 9)) {
		case 0:
			msr(&c, g, w);
			break;
		case 1:
			port(&c, g);
			break;
		case 2:
		case 3:
			memory(&c, g);
			break;
		case 4:
			control(&c, g, w);
			break;
		case 5:
			hypercall(&c, g, w);
			break;
		case 6:
			leaf(&c, g);
			break;
		case 7:
			plain(&c, g);
			break;
		default:
			anything(&c, g);
			break;
		}
	}
	out[c.at++] = 0xf4;
	return c.at;
}
