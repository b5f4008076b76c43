// SPDX-License-Identifier: GPL-2.0-only
/*
 * String instructions, one element per call of the emulator, or for INS and
 * OUTS between a port and RAM one batch. RIP stays on the instruction while
 * rCX is not 0 and the condition of REPE/REPNE holds.
 */
#include "exec.h"

#define PAGE_BYTES	4096u

static unsigned int element(const struct insn_ctx *ctx)
{
	return ctx->insn.desc->flags & D_BYTE ? 1 : ctx->insn.op_size;
}

/* Ports have no 64-bit form. */
static unsigned int port_element(const struct insn_ctx *ctx)
{
	return min(element(ctx), 4u);
}

static u64 str_index(struct insn_ctx *ctx, unsigned int reg)
{
	return insn_get(ctx, reg) & insn_mask(ctx->insn.addr_size);
}

static unsigned int source_segment(const struct insn_ctx *ctx)
{
	return ctx->insn.seg < INSN_NR_SEGS ? ctx->insn.seg : INSN_DS;
}

static void advance(struct insn_ctx *ctx, unsigned int reg, unsigned int bytes)
{
	u64 step = insn_flags(ctx) & FL_DF ? -(u64)bytes : bytes;

	insn_set_sized(ctx, reg, insn_get(ctx, reg) + step, ctx->insn.addr_size);
}

static int read_source(struct insn_ctx *ctx, u64 *val, unsigned int size)
{
	return insn_mem_read(ctx, source_segment(ctx), str_index(ctx, INSN_RSI), val, size,
			     INSN_ACC_READ);
}

/* REP with a count of 0 does nothing. */
static bool rep_empty(struct insn_ctx *ctx)
{
	return ctx->insn.rep && !str_index(ctx, INSN_RCX);
}

/* @count elements are done; go on if any are left and @more. */
static int rep_next(struct insn_ctx *ctx, unsigned int count, bool more)
{
	u64 rip;

	if (!ctx->insn.rep)
		return INSN_OK;
	insn_set_sized(ctx, INSN_RCX, insn_get(ctx, INSN_RCX) - count, ctx->insn.addr_size);
	if (!str_index(ctx, INSN_RCX) || !more)
		return INSN_OK;
	rip = insn_get(ctx, INSN_RIP) - ctx->insn.len;
	insn_set(ctx, INSN_RIP, insn_long(ctx) ? rip : (u32)rip);
	ctx->rep_pending = true;
	return INSN_OK;
}

/* REPE goes on while ZF is set, REPNE while it is clear. */
static bool rep_condition(struct insn_ctx *ctx)
{
	bool zf = insn_flags(ctx) & FL_ZF;

	return zf == (ctx->insn.rep == 0xf3);
}

/*
 * The destination is probed before the read: a device must not see the read
 * of an element that cannot be stored.
 */
int insn_exec_movs(struct insn_ctx *ctx)
{
	unsigned int size = element(ctx);
	u64 val = 0;
	int r;

	if (rep_empty(ctx))
		return INSN_OK;
	r = insn_mem_probe(ctx, source_segment(ctx), str_index(ctx, INSN_RSI), size,
			   INSN_ACC_READ);
	if (!r)
		r = insn_mem_probe(ctx, INSN_ES, str_index(ctx, INSN_RDI), size, INSN_ACC_WRITE);
	if (!r)
		r = read_source(ctx, &val, size);
	if (!r)
		r = insn_mem_write(ctx, INSN_ES, str_index(ctx, INSN_RDI), &val, size);
	if (r)
		return r;
	advance(ctx, INSN_RSI, size);
	advance(ctx, INSN_RDI, size);
	return rep_next(ctx, 1, true);
}

int insn_exec_cmps(struct insn_ctx *ctx)
{
	unsigned int size = element(ctx);
	u64 a = 0, b = 0;
	int r;

	if (rep_empty(ctx))
		return INSN_OK;
	r = read_source(ctx, &a, size);
	if (!r)
		r = insn_mem_read(ctx, INSN_ES, str_index(ctx, INSN_RDI), &b, size, INSN_ACC_READ);
	if (r)
		return r;
	insn_compare(ctx, a, b, size);
	advance(ctx, INSN_RSI, size);
	advance(ctx, INSN_RDI, size);
	return rep_next(ctx, 1, rep_condition(ctx));
}

int insn_exec_scas(struct insn_ctx *ctx)
{
	unsigned int size = element(ctx);
	u64 val = 0;
	int r;

	if (rep_empty(ctx))
		return INSN_OK;
	r = insn_mem_read(ctx, INSN_ES, str_index(ctx, INSN_RDI), &val, size, INSN_ACC_READ);
	if (r)
		return r;
	insn_compare(ctx, insn_get(ctx, INSN_RAX) & insn_mask(size), val, size);
	advance(ctx, INSN_RDI, size);
	return rep_next(ctx, 1, rep_condition(ctx));
}

int insn_exec_stos(struct insn_ctx *ctx)
{
	unsigned int size = element(ctx);
	u64 val;
	int r;

	if (rep_empty(ctx))
		return INSN_OK;
	val = insn_get(ctx, INSN_RAX);
	r = insn_mem_write(ctx, INSN_ES, str_index(ctx, INSN_RDI), &val, size);
	if (r)
		return r;
	advance(ctx, INSN_RDI, size);
	return rep_next(ctx, 1, true);
}

int insn_exec_lods(struct insn_ctx *ctx)
{
	unsigned int size = element(ctx);
	u64 val = 0;
	int r;

	if (rep_empty(ctx))
		return INSN_OK;
	r = read_source(ctx, &val, size);
	if (r)
		return r;
	insn_set_sized(ctx, INSN_RAX, val, size);
	advance(ctx, INSN_RSI, size);
	return rep_next(ctx, 1, true);
}

static int check_port(struct insn_ctx *ctx, unsigned int size)
{
	if (!ctx->ops->pio_in || !ctx->ops->pio_out)
		return INSN_UNHANDLEABLE;
	return insn_io_allowed(ctx, insn_get(ctx, INSN_RDX), size);
}

/* The elements up to the end of the page, the count, the buffer. */
static unsigned int batch_size(struct insn_ctx *ctx, u64 ea, u64 linear, unsigned int size)
{
	u64 count = str_index(ctx, INSN_RCX);

	count = min(count, (u64)(PAGE_BYTES - (linear & (PAGE_BYTES - 1))) / size);
	count = min(count, (u64)ctx->bulk_size / size);
	count = min(count, (u64)PAGE_BYTES / size);
	return min(count, (insn_mask(ctx->insn.addr_size) - ea) / size);
}

struct batch {
	u64 linear;
	unsigned int served;	/* by the port; 0: no batch, go one by one */
	unsigned int count;	/* of them, those that are moved */
	bool resumed;
};

/* Faults of the whole range leave it to single elements. */
static int try_batch(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int size,
		     unsigned int acc, struct batch *b)
{
	bool ram = false;
	int r;

	b->count = batch_size(ctx, ea, b->linear, size);
	if (b->count < 2 || insn_linear(ctx, seg, ea, b->count * size, acc, &b->linear))
		return INSN_OK;
	r = ctx->ops->probe(ctx->v, b->linear, acc, &ram, &ctx->fault);
	if (!r && ram)
		b->served = b->count;
	return r;
}

/*
 * How many elements to move at once through ctx->bulk. The log remembers what
 * was decided, as memory may have become something else at a resumption; and
 * if user space has set other registers, they bound what is moved.
 */
static int plan_batch(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int size,
		      unsigned int acc, struct batch *b)
{
	int r;

	memset(b, 0, sizeof(*b));
	if (!ctx->insn.rep || !ctx->bulk || !ctx->ops->probe || insn_flags(ctx) & FL_DF)
		return INSN_OK;
	r = insn_linear(ctx, seg, ea, size, acc, &b->linear);
	if (r)
		return r;
	b->resumed = insn_bulk_resumed(ctx, &b->served);
	if (b->resumed) {
		b->count = min(b->served, batch_size(ctx, ea, b->linear, size));
		return INSN_OK;
	}
	r = try_batch(ctx, seg, ea, size, acc, b);
	return r ? r : insn_bulk_decided(ctx, b->served);
}

static int ins_batch(struct insn_ctx *ctx, struct batch *b, unsigned int size)
{
	const struct insn_ops *ops = ctx->ops;
	int r;

	r = ops->pio_in(ctx->v, insn_get(ctx, INSN_RDX), size, b->served, ctx->bulk);
	if (r || !b->count)
		return r;
	return ops->write(ctx->v, b->linear, ctx->bulk, size * b->count, INSN_ACC_BULK,
			  &ctx->fault);
}

static int ins_one(struct insn_ctx *ctx, u64 ea, unsigned int size)
{
	u64 val;
	int r;

	r = insn_mem_probe(ctx, INSN_ES, ea, size, INSN_ACC_WRITE);
	if (!r)
		r = insn_pio(ctx, true, insn_get(ctx, INSN_RDX), size, &val);
	return r ? r : insn_mem_write(ctx, INSN_ES, ea, &val, size);
}

int insn_exec_ins(struct insn_ctx *ctx)
{
	u64 ea = str_index(ctx, INSN_RDI);
	unsigned int size = port_element(ctx);
	struct batch b;
	int r;

	r = check_port(ctx, size);
	if (r || rep_empty(ctx))
		return r;
	r = plan_batch(ctx, INSN_ES, ea, size, INSN_ACC_WRITE, &b);
	if (!r)
		r = b.served ? ins_batch(ctx, &b, size) : ins_one(ctx, ea, size);
	if (r)
		return r;
	if (!b.served)
		b.count = 1;
	advance(ctx, INSN_RDI, size * b.count);
	return rep_next(ctx, b.count, true);
}

/* On resumption the port has had its data: the memory is not read again. */
static int outs_batch(struct insn_ctx *ctx, struct batch *b, unsigned int size)
{
	const struct insn_ops *ops = ctx->ops;
	int r = INSN_OK;

	if (!b->resumed)
		r = ops->read(ctx->v, b->linear, ctx->bulk, size * b->count, INSN_ACC_BULK,
			      &ctx->fault);
	if (r)
		return r;
	return ops->pio_out(ctx->v, insn_get(ctx, INSN_RDX), size, b->served, ctx->bulk);
}

static int outs_one(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int size)
{
	u64 val = 0;
	int r;

	r = insn_mem_read(ctx, seg, ea, &val, size, INSN_ACC_READ);
	return r ? r : insn_pio(ctx, false, insn_get(ctx, INSN_RDX), size, &val);
}

int insn_exec_outs(struct insn_ctx *ctx)
{
	unsigned int size = port_element(ctx), seg = source_segment(ctx);
	u64 ea = str_index(ctx, INSN_RSI);
	struct batch b;
	int r;

	r = check_port(ctx, size);
	if (r || rep_empty(ctx))
		return r;
	r = plan_batch(ctx, seg, ea, size, INSN_ACC_READ, &b);
	if (!r)
		r = b.served ? outs_batch(ctx, &b, size) : outs_one(ctx, seg, ea, size);
	if (r)
		return r;
	if (!b.served)
		b.count = 1;
	advance(ctx, INSN_RSI, size * b.count);
	return rep_next(ctx, b.count, true);
}
