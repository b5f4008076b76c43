// SPDX-License-Identifier: GPL-2.0-only
/*
 * The context's copy of the guest's registers, and faults. Nothing reaches the
 * guest before insn_commit().
 */
#include "internal.h"

static int raise(struct insn_ctx *ctx, unsigned int vector, bool has_error, u32 code)
{
	memset(&ctx->fault, 0, sizeof(ctx->fault));
	ctx->fault.vector = vector;
	ctx->fault.has_error = has_error;
	ctx->fault.error_code = code;
	return INSN_FAULT;
}

int insn_raise(struct insn_ctx *ctx, unsigned int vector)
{
	return raise(ctx, vector, false, 0);
}

/* Real mode pushes no error codes (SDM vol. 3, 21.1.4). */
int insn_raise_code(struct insn_ctx *ctx, unsigned int vector, u32 code)
{
	return raise(ctx, vector, ctx->mode != INSN_REAL, code);
}

int insn_gp0(struct insn_ctx *ctx)
{
	return insn_raise_code(ctx, EXC_GP, 0);
}

int insn_ud(struct insn_ctx *ctx)
{
	return insn_raise(ctx, EXC_UD);
}

void insn_begin(struct insn_ctx *ctx)
{
	ctx->reg_valid = 0;
	ctx->reg_dirty = 0;
	ctx->seg_valid = 0;
	ctx->seg_dirty = 0;
	ctx->vec_len = 0;
	ctx->log_pos = 0;
	ctx->shadow = 0;
	ctx->rep_pending = false;
	ctx->single_step = false;
	ctx->replaced = false;
	ctx->iret = false;
	if (ctx->resumed)
		return;
	ctx->nbytes = ctx->prefetched > INSN_MAX_LEN ? 0 : ctx->prefetched;
	ctx->prefetched = 0;
	ctx->log_len = 0;
}

u64 insn_get(struct insn_ctx *ctx, unsigned int reg)
{
	if (!(ctx->reg_valid & BIT(reg))) {
		ctx->regs[reg] = ctx->ops->get_reg(ctx->v, reg);
		ctx->reg_valid |= BIT(reg);
	}
	return ctx->regs[reg];
}

void insn_set(struct insn_ctx *ctx, unsigned int reg, u64 val)
{
	ctx->regs[reg] = val;
	ctx->reg_valid |= BIT(reg);
	ctx->reg_dirty |= BIT(reg);
}

/* Writes of 1 and 2 bytes keep the rest of the register, others zero it. */
void insn_set_sized(struct insn_ctx *ctx, unsigned int reg, u64 val, unsigned int size)
{
	u64 mask = insn_mask(size);

	val &= mask;
	if (size < 4)
		val |= insn_get(ctx, reg) & ~mask;
	insn_set(ctx, reg, val);
}

u64 insn_flags(struct insn_ctx *ctx)
{
	return insn_get(ctx, INSN_RFLAGS);
}

void insn_change_flags(struct insn_ctx *ctx, u64 mask, u64 val)
{
	insn_set(ctx, INSN_RFLAGS, (insn_flags(ctx) & ~mask) | (val & mask) | FL_ONE);
}

const struct insn_segment *insn_seg(struct insn_ctx *ctx, unsigned int seg)
{
	if (!(ctx->seg_valid & BIT(seg))) {
		ctx->ops->get_segment(ctx->v, seg, &ctx->segs[seg]);
		ctx->seg_valid |= BIT(seg);
	}
	return &ctx->segs[seg];
}

void insn_put_seg(struct insn_ctx *ctx, unsigned int seg, const struct insn_segment *s)
{
	ctx->segs[seg] = *s;
	ctx->seg_valid |= BIT(seg);
	ctx->seg_dirty |= BIT(seg);
}

unsigned int insn_cpl(struct insn_ctx *ctx)
{
	switch (ctx->mode) {
	case INSN_REAL:
		return 0;
	case INSN_VM86:
		return 3;
	default:
		return ctx->ops->cpl(ctx->v);
	}
}

/* The condition of Jcc, SETcc, CMOVcc by the low four opcode bits. */
bool insn_cond(struct insn_ctx *ctx, unsigned int cc)
{
	u64 fl = insn_flags(ctx);
	bool less = !(fl & FL_SF) != !(fl & FL_OF);
	bool cond = false;

	switch ((cc >> 1) & 7) {
	case 0:
		cond = fl & FL_OF;
		break;
	case 1:
		cond = fl & FL_CF;
		break;
	case 2:
		cond = fl & FL_ZF;
		break;
	case 3:
		cond = fl & (FL_CF | FL_ZF);
		break;
	case 4:
		cond = fl & FL_SF;
		break;
	case 5:
		cond = fl & FL_PF;
		break;
	case 6:
		cond = less;
		break;
	case 7:
		cond = less || fl & FL_ZF;
		break;
	}
	return cond != (cc & 1);
}

/* Vector registers come first: only their ops can still refuse. */
int insn_commit(struct insn_ctx *ctx)
{
	unsigned int i;
	int r;

	if (ctx->vec_len) {
		r = ctx->ops->vec_write(ctx->v, ctx->vec_reg, ctx->vec, ctx->vec_len);
		if (r)
			return r;
	}
	if (ctx->seg_dirty && !ctx->ops->set_segment)
		return INSN_UNHANDLEABLE;
	for (i = 0; i < INSN_NR_SEGS; i++)
		if (ctx->seg_dirty & BIT(i))
			ctx->ops->set_segment(ctx->v, i, &ctx->segs[i]);
	for (i = 0; i < INSN_NR_REGS; i++)
		if (ctx->reg_dirty & BIT(i))
			ctx->ops->set_reg(ctx->v, i, ctx->regs[i]);
	return INSN_OK;
}
