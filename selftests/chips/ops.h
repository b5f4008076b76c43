/* SPDX-License-Identifier: GPL-2.0-only */
/* What may happen to a machine, one step at a time, made of bytes: any bytes are a story. */
#ifndef CHIPS_OPS_H
#define CHIPS_OPS_H

#include "image.h"

struct bytes {
	const u8 *next;
	size_t left;
};

/* 0 when there are no more. */
u8 bytes_u8(struct bytes *in);
u32 bytes_u32(struct bytes *in);
u64 bytes_u64(struct bytes *in);

/* What a step showed to guest or user space; it must be the same in every world. */
struct log {
	u64 val[96];
	unsigned int n;
};

void log_add(struct log *log, u64 val);

/* What user space and the author of the story know. */
struct story {
	struct bytes in;
	bool tame;		/* a well-behaved guest: peek_ioapic_check() with all it has */
	bool wild;		/* user space sets states that no machine was ever in */
	bool lines_known;	/* no state was set that has lines of its own */
	u32 lines;		/* levels of GSIs, by user space */
	u64 now;
	struct image image;	/* of OP_WILD */
};

struct op {
	const struct op_kind *kind;
	u8 cpu, len;
	u32 reg;
	u64 val, more;
};

struct op_kind {
	const char *name;
	u8 weight;		/* out of their sum */
	u8 tame_weight;
	bool chips;		/* needs PIC, IOAPIC, PIT */
	void (*make)(struct story *s, struct op *op);
	void (*apply)(struct world *w, const struct story *s, const struct op *op, struct log *log);
};

/* The next step of the story, for worlds that are all the same. */
void op_next(struct story *s, struct world *const *worlds, unsigned int nr, struct op *op);
/* Does it, and notes what can be seen afterwards in any case. */
void op_apply(struct world *w, const struct story *s, const struct op *op, struct log *log);

/* A guest with its LAPICs on, and devices on lines that it knows: for tame stories. */
void story_prepare(struct world *w);
/* Requests that the run loop would see before anybody got the vCPUs' state. */
void world_quiesce(struct world *w);

#endif /* CHIPS_OPS_H */
