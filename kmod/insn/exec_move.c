// SPDX-License-Identifier: GPL-2.0-only
/* Data movement, stack and segment registers. */
#include "exec.h"

int insn_exec_mov(struct insn_ctx *ctx)
{
	ctx->dst.val = ctx->src.val;
	return INSN_OK;
}

int insn_exec_movsx(struct insn_ctx *ctx)
{
	ctx->dst.val = insn_sext(ctx->src.val, ctx->src.size);
	return INSN_OK;
}

/* 63: MOVSXD in 64-bit mode, ARPL elsewhere. */
int insn_exec_movsxd(struct insn_ctx *ctx)
{
	int r;

	if (insn_real_like(ctx))
		return insn_ud(ctx);
	if (!insn_long(ctx))
		return INSN_UNHANDLEABLE;
	r = insn_resolve(ctx, &ctx->src, ctx->dst.size == 2 ? SP_EW : SP_ED);
	if (!r)
		r = insn_load(ctx, &ctx->src, INSN_ACC_READ);
	return r ? r : insn_exec_movsx(ctx);
}

int insn_exec_movbe(struct insn_ctx *ctx)
{
	unsigned int i, size = ctx->dst.size;
	u64 res = 0;

	for (i = 0; i < size; i++)
		res |= ((ctx->src.val >> (i * 8)) & 0xff) << ((size - 1 - i) * 8);
	ctx->dst.val = res;
	return INSN_OK;
}

int insn_exec_xchg(struct insn_ctx *ctx)
{
	u64 old = ctx->dst.val;

	ctx->dst.val = ctx->src.val;
	ctx->src.val = old;
	return insn_store(ctx, &ctx->src, 0, false);
}

int insn_exec_lea(struct insn_ctx *ctx)
{
	ctx->dst.val = ctx->src.ea;
	return INSN_OK;
}

/* The source is read, and 32-bit destinations are zero-extended, in any case. */
int insn_exec_cmov(struct insn_ctx *ctx)
{
	if (insn_cond(ctx, ctx->insn.opcode))
		ctx->dst.val = ctx->src.val;
	return INSN_OK;
}

int insn_exec_setcc(struct insn_ctx *ctx)
{
	ctx->dst.val = insn_cond(ctx, ctx->insn.opcode);
	return INSN_OK;
}

/* CBW, CWDE, CDQE */
int insn_exec_cbw(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size;

	insn_set_sized(ctx, INSN_RAX, insn_sext(insn_get(ctx, INSN_RAX), size / 2), size);
	return INSN_OK;
}

/* CWD, CDQ, CQO */
int insn_exec_cwd(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size;
	s64 val = (s64)insn_sext(insn_get(ctx, INSN_RAX), size);

	insn_set_sized(ctx, INSN_RDX, val < 0 ? ~0ULL : 0, size);
	return INSN_OK;
}

int insn_exec_xlat(struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;
	u64 ea = insn_get(ctx, INSN_RBX) + (u8)insn_get(ctx, INSN_RAX);
	u8 val;
	int r;

	r = insn_mem_read(ctx, d->seg < INSN_NR_SEGS ? d->seg : INSN_DS,
			  ea & insn_mask(d->addr_size), &val, 1, INSN_ACC_READ);
	if (!r)
		insn_set_sized(ctx, INSN_RAX, val, 1);
	return r;
}

int insn_exec_push(struct insn_ctx *ctx)
{
	return insn_push(ctx, ctx->src.val, ctx->insn.op_size);
}

int insn_exec_pop(struct insn_ctx *ctx)
{
	return insn_pop(ctx, &ctx->dst.val, ctx->insn.op_size);
}

/* The destination's address is computed with RSP already incremented. */
int insn_exec_pop_ev(struct insn_ctx *ctx)
{
	u64 val;
	int r;

	r = insn_pop(ctx, &val, ctx->insn.op_size);
	if (!r)
		r = insn_resolve(ctx, &ctx->dst, SP_EV);
	ctx->dst.val = val;
	return r;
}

int insn_exec_pusha(struct insn_ctx *ctx)
{
	u64 sp = insn_get(ctx, INSN_RSP);
	unsigned int reg;
	int r = INSN_OK;

	for (reg = INSN_RAX; !r && reg <= INSN_RDI; reg++)
		r = insn_push(ctx, reg == INSN_RSP ? sp : insn_get(ctx, reg), ctx->insn.op_size);
	return r;
}

int insn_exec_popa(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size;
	int r = INSN_OK, reg;
	u64 val;

	for (reg = INSN_RDI; !r && reg >= INSN_RAX; reg--) {
		r = insn_pop(ctx, &val, size);
		if (!r && reg != INSN_RSP)
			insn_set_sized(ctx, reg, val, size);
	}
	return r;
}

/* Virtual-8086 mode traps PUSHF and POPF unless IOPL is 3; VME is not done. */
static int check_v86_flags(struct insn_ctx *ctx)
{
	if (ctx->mode != INSN_VM86 || insn_iopl_ok(ctx))
		return INSN_OK;
	if (ctx->ops->get_cr && ctx->ops->get_cr(ctx->v, 4) & CR4_VME)
		return INSN_UNHANDLEABLE;
	return insn_gp0(ctx);
}

int insn_exec_pushf(struct insn_ctx *ctx)
{
	int r = check_v86_flags(ctx);

	return r ? r : insn_push(ctx, insn_flags(ctx) & ~(FL_VM | FL_RF), ctx->insn.op_size);
}

int insn_exec_popf(struct insn_ctx *ctx)
{
	u64 val, mask = FL_ARITH | FL_TF | FL_DF | FL_NT;
	int r = check_v86_flags(ctx);

	if (!r)
		r = insn_pop(ctx, &val, ctx->insn.op_size);
	if (r)
		return r;
	if (ctx->insn.op_size > 2)
		mask |= FL_AC | FL_ID;
	if (insn_iopl_ok(ctx))
		mask |= FL_IF;
	if (!insn_cpl(ctx))
		mask |= FL_IOPL;
	insn_change_flags(ctx, mask, val);
	return INSN_OK;
}

/* Without nested frame pointers. The new top of the stack must be writable. */
int insn_exec_enter(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size, sps = insn_sp_size(ctx);
	u64 mask = insn_mask(sps), frame = insn_get(ctx, INSN_RSP) - size;
	u64 top = frame - ctx->insn.imm;
	int r;

	if (ctx->insn.imm2 & 31)
		return INSN_UNHANDLEABLE;
	r = insn_mem_probe(ctx, INSN_SS, frame & mask, size, INSN_ACC_WRITE);
	if (!r)
		r = insn_mem_probe(ctx, INSN_SS, top & mask, size, INSN_ACC_WRITE);
	if (!r)
		r = insn_push(ctx, insn_get(ctx, INSN_RBP), size);
	if (r)
		return r;
	insn_set_sized(ctx, INSN_RBP, insn_get(ctx, INSN_RSP), size);
	insn_set_sized(ctx, INSN_RSP, top, sps);
	return INSN_OK;
}

int insn_exec_leave(struct insn_ctx *ctx)
{
	u64 val;
	int r;

	insn_set_sized(ctx, INSN_RSP, insn_get(ctx, INSN_RBP), insn_sp_size(ctx));
	r = insn_pop(ctx, &val, ctx->insn.op_size);
	if (!r)
		insn_set_sized(ctx, INSN_RBP, val, ctx->insn.op_size);
	return r;
}

static int load_sreg(struct insn_ctx *ctx, unsigned int seg, u16 selector)
{
	int r = insn_load_sreg(ctx, seg, selector);

	if (!r && seg == INSN_SS)
		ctx->shadow = INSN_SHADOW_MOV_SS;
	return r;
}

int insn_exec_push_seg(struct insn_ctx *ctx)
{
	return insn_push(ctx, insn_seg(ctx, ctx->insn.desc->aux)->selector, ctx->insn.op_size);
}

int insn_exec_pop_seg(struct insn_ctx *ctx)
{
	u64 val;
	int r = insn_pop(ctx, &val, ctx->insn.op_size);

	return r ? r : load_sreg(ctx, ctx->insn.desc->aux, val);
}

static unsigned int modrm_sreg(const struct insn_ctx *ctx)
{
	return (ctx->insn.modrm >> 3) & 7;
}

int insn_exec_mov_from_seg(struct insn_ctx *ctx)
{
	if (modrm_sreg(ctx) > INSN_GS)
		return insn_ud(ctx);
	ctx->dst.val = insn_seg(ctx, modrm_sreg(ctx))->selector;
	return INSN_OK;
}

int insn_exec_mov_to_seg(struct insn_ctx *ctx)
{
	return load_sreg(ctx, modrm_sreg(ctx), ctx->src.val);
}

/* LDS, LES, LFS, LGS, LSS */
int insn_exec_lseg(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size;
	u64 offset;
	u16 selector;
	int r;

	r = insn_mem_read_far(ctx, ctx->src.seg, ctx->src.ea, size, &offset, &selector);
	if (r)
		return r;
	r = insn_load_sreg(ctx, ctx->insn.desc->aux, selector);
	if (!r)
		insn_set_sized(ctx, insn_reg(&ctx->insn), offset, size);
	return r;
}

int insn_exec_lahf(struct insn_ctx *ctx)
{
	u64 ah = (insn_flags(ctx) & 0xd5) | FL_ONE;

	insn_set(ctx, INSN_RAX, (insn_get(ctx, INSN_RAX) & ~0xff00ULL) | ah << 8);
	return INSN_OK;
}

int insn_exec_sahf(struct insn_ctx *ctx)
{
	insn_change_flags(ctx, 0xd5, insn_get(ctx, INSN_RAX) >> 8);
	return INSN_OK;
}

int insn_exec_salc(struct insn_ctx *ctx)
{
	insn_set_sized(ctx, INSN_RAX, insn_flags(ctx) & FL_CF ? 0xff : 0, 1);
	return INSN_OK;
}

int insn_exec_flag_op(struct insn_ctx *ctx)
{
	switch (ctx->insn.desc->aux) {
	case FLAG_CLC:
		insn_change_flags(ctx, FL_CF, 0);
		break;
	case FLAG_STC:
		insn_change_flags(ctx, FL_CF, FL_CF);
		break;
	case FLAG_CMC:
		insn_change_flags(ctx, FL_CF, ~insn_flags(ctx));
		break;
	case FLAG_CLD:
		insn_change_flags(ctx, FL_DF, 0);
		break;
	case FLAG_STD:
		insn_change_flags(ctx, FL_DF, FL_DF);
		break;
	}
	return INSN_OK;
}

int insn_exec_nop(struct insn_ctx *ctx)
{
	(void)ctx;
	return INSN_OK;
}

int insn_exec_ud(struct insn_ctx *ctx)
{
	return insn_ud(ctx);
}
