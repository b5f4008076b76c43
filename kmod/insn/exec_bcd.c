// SPDX-License-Identifier: GPL-2.0-only
/* Decimal adjustments, and the VEX-encoded bit manipulation instructions. */
#include "exec.h"

/* SF, ZF and PF of a byte. */
static u64 byte_flags(u8 val)
{
	u8 p = val ^ val >> 4;

	p ^= p >> 2;
	p ^= p >> 1;
	return (val & 0x80 ? FL_SF : 0) | (val ? 0 : FL_ZF) | (p & 1 ? 0 : FL_PF);
}

static int decimal_adjust(struct insn_ctx *ctx, int sign)
{
	u64 fl = insn_flags(ctx);
	u8 old = insn_get(ctx, INSN_RAX), al = old;
	bool af = (old & 15) > 9 || fl & FL_AF;
	bool cf = old > 0x99 || fl & FL_CF;

	if (af)
		al += sign * 6;
	if (cf)
		al += sign * 0x60;
	/* DAS: a borrow of the first step counts too. */
	if (sign < 0 && af && old < 6)
		cf = true;
	insn_set_sized(ctx, INSN_RAX, al, 1);
	insn_change_flags(ctx, FL_ARITH & ~FL_OF,
			  byte_flags(al) | (af ? FL_AF : 0) | (cf ? FL_CF : 0));
	return INSN_OK;
}

int insn_exec_daa(struct insn_ctx *ctx)
{
	return decimal_adjust(ctx, 1);
}

int insn_exec_das(struct insn_ctx *ctx)
{
	return decimal_adjust(ctx, -1);
}

static int ascii_adjust(struct insn_ctx *ctx, int sign)
{
	u16 ax = insn_get(ctx, INSN_RAX);
	bool adjust = (ax & 15) > 9 || insn_flags(ctx) & FL_AF;

	if (adjust)
		ax += sign * 0x106;
	insn_set_sized(ctx, INSN_RAX, ax & 0xff0f, 2);
	insn_change_flags(ctx, FL_AF | FL_CF, adjust ? FL_AF | FL_CF : 0);
	return INSN_OK;
}

int insn_exec_aaa(struct insn_ctx *ctx)
{
	return ascii_adjust(ctx, 1);
}

int insn_exec_aas(struct insn_ctx *ctx)
{
	return ascii_adjust(ctx, -1);
}

int insn_exec_aam(struct insn_ctx *ctx)
{
	u8 al = insn_get(ctx, INSN_RAX), base = ctx->src.val;

	if (!base)
		return insn_raise(ctx, EXC_DE);
	insn_set_sized(ctx, INSN_RAX, (al / base) << 8 | al % base, 2);
	insn_change_flags(ctx, FL_SF | FL_ZF | FL_PF, byte_flags(al % base));
	return INSN_OK;
}

int insn_exec_aad(struct insn_ctx *ctx)
{
	u16 ax = insn_get(ctx, INSN_RAX);
	u8 al = ax + (ax >> 8) * ctx->src.val;

	insn_set_sized(ctx, INSN_RAX, al, 2);
	insn_change_flags(ctx, FL_SF | FL_ZF | FL_PF, byte_flags(al));
	return INSN_OK;
}

/* BMI1, BMI2: 32 or 64 bits by VEX.W. */
static int bmi_result(struct insn_ctx *ctx, u64 res, u64 mask, u64 fl)
{
	res &= insn_mask(ctx->dst.size);
	ctx->dst.val = res;
	fl |= res ? 0 : FL_ZF;
	fl |= res >> (ctx->dst.size * 8 - 1) ? FL_SF : 0;
	insn_change_flags(ctx, mask, fl & mask);
	return INSN_OK;
}

#define BMI_FLAGS (FL_CF | FL_OF | FL_ZF | FL_SF)

int insn_exec_andn(struct insn_ctx *ctx)
{
	return bmi_result(ctx, ~ctx->src.val & ctx->src2.val, BMI_FLAGS, 0);
}

int insn_exec_bls(struct insn_ctx *ctx)
{
	u64 a = ctx->src.val;

	switch (ctx->insn.desc->aux) {
	case 1:		/* BLSR */
		return bmi_result(ctx, a & (a - 1), BMI_FLAGS, a ? 0 : FL_CF);
	case 2:		/* BLSMSK */
		return bmi_result(ctx, a ^ (a - 1), BMI_FLAGS, a ? 0 : FL_CF);
	default:	/* BLSI */
		return bmi_result(ctx, a & -a, BMI_FLAGS, a ? FL_CF : 0);
	}
}

int insn_exec_bzhi(struct insn_ctx *ctx)
{
	unsigned int n = ctx->src2.val & 0xff, width = ctx->dst.size * 8;

	if (n >= width)
		return bmi_result(ctx, ctx->src.val, BMI_FLAGS, FL_CF);
	return bmi_result(ctx, ctx->src.val & (BIT_ULL(n) - 1), BMI_FLAGS, 0);
}

int insn_exec_bextr(struct insn_ctx *ctx)
{
	unsigned int start = ctx->src2.val & 0xff, len = (ctx->src2.val >> 8) & 0xff;
	u64 res = start < 64 ? ctx->src.val >> start : 0;

	if (len < 64)
		res &= BIT_ULL(len) - 1;
	return bmi_result(ctx, res, FL_CF | FL_OF | FL_ZF, 0);
}

/* SHLX (66), SARX (F3), SHRX (F2). */
int insn_exec_shiftx(struct insn_ctx *ctx)
{
	unsigned int c = ctx->src2.val & (ctx->dst.size * 8 - 1);
	u64 a = ctx->src.val;

	switch (ctx->insn.pp) {
	case 1:
		return bmi_result(ctx, a << c, 0, 0);
	case 2:
		return bmi_result(ctx, (u64)((s64)insn_sext(a, ctx->dst.size) >> c), 0, 0);
	default:
		return bmi_result(ctx, a >> c, 0, 0);
	}
}

int insn_exec_rorx(struct insn_ctx *ctx)
{
	unsigned int n = ctx->dst.size * 8, c = ctx->insn.imm & (n - 1);
	u64 a = ctx->src.val;

	return bmi_result(ctx, c ? a >> c | a << (n - c) : a, 0, 0);
}
