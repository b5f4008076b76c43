// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory and ports: segmentation, splitting into accesses that the ops take,
 * and the log that makes an instruction resumable (see insn.h).
 */
#include "internal.h"

#define PAGE_BYTES	4096u

enum { LOG_READ, LOG_WRITE, LOG_CMPXCHG, LOG_IN, LOG_OUT, LOG_BULK };

/*
 * Ask the log for the next access. INSN_OK: it is there, *@e points at it.
 * INSN_RETRY: the access has yet to be made and then recorded in *@e.
 * Anything unexpected in the log is a broken promise of ours.
 */
static int log_next(struct insn_ctx *ctx, unsigned int kind, u64 addr, unsigned int len,
		    struct insn_log_entry **e)
{
	if (ctx->log_pos == INSN_LOG_MAX)
		return INSN_UNHANDLEABLE;
	*e = &ctx->log[ctx->log_pos];
	if (ctx->log_pos == ctx->log_len)
		return INSN_RETRY;
	if ((*e)->kind != kind || (*e)->addr != addr || (*e)->len != len)
		return INSN_UNHANDLEABLE;
	ctx->log_pos++;
	return INSN_OK;
}

static void log_add(struct insn_ctx *ctx, unsigned int kind, u64 addr, unsigned int len,
		    const void *data)
{
	struct insn_log_entry *e = &ctx->log[ctx->log_pos];

	e->kind = kind;
	e->addr = addr;
	e->len = len;
	e->data = 0;
	if (data)
		memcpy(&e->data, data, min(len, 8u));
	ctx->log_len = ++ctx->log_pos;
}

static int read_chunk(struct insn_ctx *ctx, u64 linear, void *buf, unsigned int len,
		      unsigned int acc)
{
	struct insn_log_entry *e;
	int r = log_next(ctx, LOG_READ, linear, len, &e);

	if (r == INSN_OK)
		memcpy(buf, &e->data, len);
	if (r != INSN_RETRY)
		return r;
	r = ctx->ops->read(ctx->v, linear, buf, len, acc, &ctx->fault);
	if (r == INSN_OK)
		log_add(ctx, LOG_READ, linear, len, buf);
	return r;
}

static int write_chunk(struct insn_ctx *ctx, u64 linear, const void *buf, unsigned int len,
		       unsigned int acc)
{
	struct insn_log_entry *e;
	int r = log_next(ctx, LOG_WRITE, linear, len, &e);

	if (r != INSN_RETRY)
		return r;
	r = ctx->ops->write(ctx->v, linear, buf, len, acc, &ctx->fault);
	if (r == INSN_OK)
		log_add(ctx, LOG_WRITE, linear, len, NULL);
	return r;
}

/* In compatibility mode, too, tables and the TSS lie at 64-bit addresses: SDM 3.5.2, APM 4.5.2. */
static u64 wrap_linear(const struct insn_ctx *ctx, u64 linear, unsigned int acc)
{
	bool wide = insn_long(ctx) || (ctx->lma && acc & INSN_ACC_IMPLICIT);

	return wide ? linear : (u32)linear;
}

static bool crosses_page(u64 linear, unsigned int len)
{
	return (linear & (PAGE_BYTES - 1)) + len > PAGE_BYTES;
}

static int probe(struct insn_ctx *ctx, u64 linear, unsigned int acc, bool *ram)
{
	*ram = false;
	if (!ctx->ops->probe)
		return INSN_OK;
	return ctx->ops->probe(ctx->v, linear, acc, ram, &ctx->fault);
}

/* Both pages must be accessible before the first is touched. */
static int probe_pages(struct insn_ctx *ctx, u64 linear, unsigned int len, unsigned int acc)
{
	bool ram;
	int r = probe(ctx, linear, acc, &ram);

	if (!r && crosses_page(linear, len))
		r = probe(ctx, wrap_linear(ctx, (linear | (PAGE_BYTES - 1)) + 1, acc), acc,
			  &ram);
	return r;
}

/* Move @len bytes in pieces of at most 8 that do not cross a page. */
static int transfer(struct insn_ctx *ctx, u64 linear, void *buf, unsigned int len,
		    unsigned int acc, bool write)
{
	unsigned int n, left;
	int r = INSN_OK;

	if (crosses_page(linear, len))
		r = probe_pages(ctx, linear, len, acc | (write ? INSN_ACC_WRITE : 0));
	for (; !r && len; len -= n, buf = (u8 *)buf + n) {
		left = PAGE_BYTES - (linear & (PAGE_BYTES - 1));
		n = min(min(len, 8u), left);
		if (write)
			r = write_chunk(ctx, linear, buf, n, acc);
		else
			r = read_chunk(ctx, linear, buf, n, acc);
		linear = wrap_linear(ctx, linear + n, acc);
	}
	return r;
}

bool insn_canonical(const struct insn_ctx *ctx, u64 linear)
{
	unsigned int shift = 64 - (ctx->va_bits ? ctx->va_bits : 48);

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

static int segment_fault(struct insn_ctx *ctx, unsigned int seg)
{
	return insn_raise_code(ctx, seg == INSN_SS ? EXC_SS : EXC_GP, 0);
}

/* SDM vol. 3, 5.3 and 6.1: offsets below the limit are the invalid ones here. */
static bool in_limit(const struct insn_segment *s, u32 ea, unsigned int len)
{
	u64 last = (u64)ea + len - 1;

	if (s->s && (s->type & 0xc) == 4)
		return ea > s->limit && last <= (s->db ? 0xffffffffu : 0xffffu);
	return last <= s->limit;
}

static bool type_allows(const struct insn_segment *s, unsigned int acc)
{
	bool code = s->type & 8, rw = s->type & 2;

	if (s->unusable)
		return false;
	if (acc & INSN_ACC_WRITE)
		return !code && rw;
	return !code || rw;
}

/* #AC: SDM vol. 3, 7.15; nothing has to be aligned to more than 16 bytes. */
static bool misaligned(struct insn_ctx *ctx, u64 linear, unsigned int len)
{
	len = min(len, 16u);
	if (!(linear & (len - 1)) || len & (len - 1))
		return false;
	if (insn_cpl(ctx) != 3 || !(insn_flags(ctx) & FL_AC))
		return false;
	return ctx->ops->get_cr && ctx->ops->get_cr(ctx->v, 0) & CR0_AM;
}

/* Segmentation: the checks of an access of @len bytes, and its linear address. */
static int segment_check(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int len,
			 unsigned int acc, u64 *linear)
{
	const struct insn_segment *s;

	if (insn_long(ctx)) {
		*linear = seg >= INSN_FS ? ea + insn_seg(ctx, seg)->base : ea;
		if (!insn_canonical(ctx, *linear) || !insn_canonical(ctx, *linear + len - 1))
			return segment_fault(ctx, seg);
	} else {
		s = insn_seg(ctx, seg);
		if (!insn_real_like(ctx) && !type_allows(s, acc))
			return segment_fault(ctx, seg);
		if (!in_limit(s, (u32)ea, len))
			return segment_fault(ctx, seg);
		*linear = (u32)(s->base + ea);
	}
	return INSN_OK;
}

int insn_linear(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int len,
		unsigned int acc, u64 *linear)
{
	int r = segment_check(ctx, seg, ea, len, acc, linear);

	if (!r && misaligned(ctx, *linear, len))
		return insn_raise_code(ctx, EXC_AC, 0);
	return r;
}

/* For operands that must be aligned whatever RFLAGS.AC says. */
int insn_check_aligned(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int len,
		       unsigned int acc)
{
	u64 linear;
	int r = segment_check(ctx, seg, ea, len, acc, &linear);

	return !r && linear & (len - 1) ? insn_gp0(ctx) : r;
}

int insn_mem_read(struct insn_ctx *ctx, unsigned int seg, u64 ea, void *buf,
		  unsigned int len, unsigned int acc)
{
	u64 linear;
	int r = insn_linear(ctx, seg, ea, len, acc, &linear);

	return r ? r : transfer(ctx, linear, buf, len, acc, false);
}

/* A far pointer is aligned if its offset is: SDM vol. 3, table 7-7. */
int insn_mem_read_far(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int size,
		      u64 *offset, u16 *selector)
{
	u8 ptr[10];
	u64 linear;
	int r = segment_check(ctx, seg, ea, size + 2, INSN_ACC_READ, &linear);

	if (!r && misaligned(ctx, linear, size))
		return insn_raise_code(ctx, EXC_AC, 0);
	if (!r)
		r = transfer(ctx, linear, ptr, size + 2, INSN_ACC_READ, false);
	if (r)
		return r;
	*offset = 0;
	memcpy(offset, ptr, size);
	memcpy(selector, ptr + size, 2);
	return INSN_OK;
}

int insn_mem_write(struct insn_ctx *ctx, unsigned int seg, u64 ea, const void *buf,
		   unsigned int len)
{
	u64 linear;
	int r = insn_linear(ctx, seg, ea, len, INSN_ACC_WRITE, &linear);

	return r ? r : transfer(ctx, linear, (void *)buf, len, 0, true);
}

/* Would the access fault? For instructions that access memory twice. */
int insn_mem_probe(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int len,
		   unsigned int acc)
{
	u64 linear;
	int r = insn_linear(ctx, seg, ea, len, acc, &linear);

	return r ? r : probe_pages(ctx, linear, len, acc);
}

/* The write of a locked RMW, of which @old was read. */
int insn_mem_cmpxchg(struct insn_ctx *ctx, unsigned int seg, u64 ea, const void *old,
		     const void *new, unsigned int len)
{
	struct insn_log_entry *e;
	u64 linear;
	int r = insn_linear(ctx, seg, ea, len, INSN_ACC_WRITE, &linear);

	if (r)
		return r;
	if (!ctx->ops->cmpxchg || crosses_page(linear, len))
		return transfer(ctx, linear, (void *)new, len, INSN_ACC_LOCK, true);
	r = log_next(ctx, LOG_CMPXCHG, linear, len, &e);
	if (r != INSN_RETRY)
		return r;
	r = ctx->ops->cmpxchg(ctx->v, linear, old, new, len, INSN_ACC_LOCK, &ctx->fault);
	if (r == INSN_OK)
		log_add(ctx, LOG_CMPXCHG, linear, len, NULL);
	return r;
}

/* Descriptor tables and the TSS: linear addresses, supervisor rights. */
int insn_sys_read(struct insn_ctx *ctx, u64 linear, void *buf, unsigned int len)
{
	linear = wrap_linear(ctx, linear, INSN_ACC_IMPLICIT);
	return transfer(ctx, linear, buf, len, INSN_ACC_IMPLICIT, false);
}

int insn_sys_write(struct insn_ctx *ctx, u64 linear, const void *buf, unsigned int len)
{
	linear = wrap_linear(ctx, linear, INSN_ACC_IMPLICIT);
	return transfer(ctx, linear, (void *)buf, len, INSN_ACC_IMPLICIT, true);
}

/* One element through a port. */
int insn_pio(struct insn_ctx *ctx, bool in, u16 port, unsigned int size, u64 *val)
{
	const struct insn_ops *ops = ctx->ops;
	struct insn_log_entry *e;
	int r;

	if (in ? !ops->pio_in : !ops->pio_out)
		return INSN_UNHANDLEABLE;
	r = log_next(ctx, in ? LOG_IN : LOG_OUT, port, size, &e);
	if (r == INSN_OK && in)
		*val = e->data;
	if (r != INSN_RETRY)
		return r;
	if (in) {
		*val = 0;
		r = ops->pio_in(ctx->v, port, size, 1, val);
	} else {
		r = ops->pio_out(ctx->v, port, size, 1, val);
	}
	if (r == INSN_OK)
		log_add(ctx, in ? LOG_IN : LOG_OUT, port, size, in ? val : NULL);
	return r;
}

/*
 * INS/OUTS batches: the number of elements is logged, so that the resumed
 * batch is the one that user space served whatever became of the memory.
 */
bool insn_bulk_resumed(struct insn_ctx *ctx, unsigned int *count)
{
	struct insn_log_entry *e = &ctx->log[ctx->log_pos];

	if (ctx->log_pos == ctx->log_len || e->kind != LOG_BULK)
		return false;
	*count = e->data;
	ctx->log_pos++;
	return true;
}

int insn_bulk_decided(struct insn_ctx *ctx, unsigned int count)
{
	u64 data = count;

	if (ctx->log_pos == INSN_LOG_MAX)
		return INSN_UNHANDLEABLE;
	log_add(ctx, LOG_BULK, 0, 8, &data);
	return INSN_OK;
}

/* How many bytes from the next one on can be fetched at once; 0: #GP. */
static unsigned int fetch_room(struct insn_ctx *ctx, u64 offset, u64 linear)
{
	unsigned int room = min(INSN_MAX_LEN - ctx->nbytes,
				(int)(PAGE_BYTES - (linear & (PAGE_BYTES - 1))));
	u64 limit;

	if (insn_long(ctx))
		return insn_canonical(ctx, linear) ? room : 0;
	limit = insn_seg(ctx, INSN_CS)->limit;
	if (offset > limit)
		return 0;
	return min((u64)room, limit - offset + 1);
}

static int fetch_more(struct insn_ctx *ctx)
{
	u64 offset = insn_get(ctx, INSN_RIP) + ctx->nbytes, linear;
	unsigned int len;
	int r;

	if (insn_long(ctx)) {
		linear = offset;
	} else {
		offset = (u32)offset;
		linear = (u32)(insn_seg(ctx, INSN_CS)->base + offset);
	}
	len = fetch_room(ctx, offset, linear);
	if (!len)
		return insn_gp0(ctx);
	r = ctx->ops->read(ctx->v, linear, ctx->bytes + ctx->nbytes, len,
			   INSN_ACC_FETCH, &ctx->fault);
	if (r == INSN_OK)
		ctx->nbytes += len;
	return r == INSN_USER ? INSN_UNHANDLEABLE : r;
}

int insn_fetch_decode(struct insn_ctx *ctx)
{
	int len, r;

	for (;;) {
		len = insn_decode_bytes(&ctx->insn, ctx->mode, ctx->bytes, ctx->nbytes);
		if (len > 0)
			return INSN_OK;
		if (len == -1)
			return insn_ud(ctx);
		if (len < 0)
			return insn_gp0(ctx);
		r = fetch_more(ctx);
		if (r)
			return r;
	}
}
