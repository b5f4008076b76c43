// SPDX-License-Identifier: GPL-2.0-only
/* The driver: fetch, decode, load operands, execute, store, commit. */
#include "internal.h"

/* LOCK needs an instruction that allows it with a memory destination. */
static bool lock_misused(const struct insn_decoded *d)
{
	u32 flags = d->desc->flags;

	if (!d->lock)
		return false;
	if (flags & D_MOD3)
		return !(flags & D_LOCK);
	return !(flags & D_LOCK) || insn_mod(d) == 3;
}

/* The VEX-encoded integer instructions: VEX.L is 0, vvvv 1111 if unused. */
static bool vex_misused(const struct insn_decoded *d)
{
	const struct insn_desc *desc = d->desc;

	if (!(desc->flags & D_VEXONLY) || d->enc != INSN_VEX)
		return false;
	if (d->vlen != 16)
		return true;
	return d->vvvv && desc->dst != SP_VY && desc->src != SP_VY && desc->src2 != SP_VY;
}

static int check_allowed(struct insn_ctx *ctx)
{
	const struct insn_desc *desc = ctx->insn.desc;

	if (lock_misused(&ctx->insn) || vex_misused(&ctx->insn))
		return insn_ud(ctx);
	if (desc->flags & D_MEM && insn_mod(&ctx->insn) == 3)
		return insn_ud(ctx);
	if (desc->flags & D_PROT && insn_real_like(ctx))
		return insn_ud(ctx);
	if (!desc->exec)
		return INSN_UNHANDLEABLE;
	if (desc->flags & D_PRIV && insn_cpl(ctx))
		return insn_gp0(ctx);
	return INSN_OK;
}

static int load_source(struct insn_ctx *ctx, struct insn_operand *op, unsigned int spec)
{
	int r = insn_resolve(ctx, op, spec);

	if (r || spec == SP_M)
		return r;
	return insn_load(ctx, op, INSN_ACC_READ);
}

/* BT and its kin address bits beyond the operand through a register source. */
static void apply_bit_offset(struct insn_ctx *ctx)
{
	struct insn_operand *dst = &ctx->dst;
	u64 bit = insn_sext(ctx->src.val, ctx->src.size);

	if (dst->kind != OPND_MEM)
		return;
	dst->ea += (u64)((s64)bit >> 3) & ~(u64)(dst->size - 1);
	dst->ea &= insn_mask(ctx->insn.addr_size);
}

static bool is_locked(const struct insn_ctx *ctx)
{
	return ctx->insn.lock || ctx->insn.desc->flags & D_XLOCK;
}

static int load_operands(struct insn_ctx *ctx)
{
	const struct insn_desc *desc = ctx->insn.desc;
	unsigned int acc = INSN_ACC_READ;
	int r;

	r = load_source(ctx, &ctx->src, desc->src);
	if (!r)
		r = load_source(ctx, &ctx->src2, desc->src2);
	if (!r)
		r = insn_resolve(ctx, &ctx->dst, desc->dst);
	if (r)
		return r;
	if (desc->flags & D_BITOFF)
		apply_bit_offset(ctx);
	if (desc->flags & D_MOV)
		return INSN_OK;
	if (!(desc->flags & D_RO))
		acc = INSN_ACC_WRITE | (is_locked(ctx) ? INSN_ACC_LOCK : 0);
	return insn_load(ctx, &ctx->dst, acc);
}

static int execute(struct insn_ctx *ctx)
{
	const struct insn_desc *desc = ctx->insn.desc;
	u64 old;
	int r;

	r = check_allowed(ctx);
	if (!r)
		r = load_operands(ctx);
	if (r)
		return r;
	old = ctx->dst.val;
	r = desc->exec(ctx);
	if (r || desc->flags & D_RO)
		return r;
	return insn_store(ctx, &ctx->dst, old, is_locked(ctx));
}

static void advance_rip(struct insn_ctx *ctx)
{
	u64 rip = insn_get(ctx, INSN_RIP) + ctx->insn.len;

	insn_set(ctx, INSN_RIP, insn_long(ctx) ? rip : (u32)rip);
}

/*
 * RF is set while a string instruction is being repeated, so that the debug
 * registers do not match it again, and clear after it (SDM vol. 3, 18.3.1.1).
 */
static int finish(struct insn_ctx *ctx)
{
	if (ctx->rep_pending)
		insn_change_flags(ctx, FL_RF, FL_RF);
	else if (insn_flags(ctx) & FL_RF)
		insn_change_flags(ctx, FL_RF, 0);
	return insn_commit(ctx);
}

int insn_emulate(struct insn_ctx *ctx)
{
	int r;

	insn_begin(ctx);
	ctx->resumed = false;
	r = insn_fetch_decode(ctx);
	if (r)
		return r;
	ctx->single_step = insn_flags(ctx) & FL_TF;
	advance_rip(ctx);
	r = execute(ctx);
	if (!r && !ctx->replaced)
		r = finish(ctx);
	ctx->resumed = r == INSN_USER;
	return r;
}

int insn_fetch(struct insn_ctx *ctx)
{
	ctx->resumed = false;
	insn_begin(ctx);
	return insn_fetch_decode(ctx);
}

int insn_skip(struct insn_ctx *ctx)
{
	int r = insn_fetch(ctx);

	if (r)
		return r;
	ctx->single_step = insn_flags(ctx) & FL_TF;
	advance_rip(ctx);
	return finish(ctx);
}
