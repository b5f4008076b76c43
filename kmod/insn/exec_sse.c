// SPDX-License-Identifier: GPL-2.0-only
/*
 * Vector moves between registers and memory, as opaque bytes: MMX, SSE, their
 * VEX and, for whole registers, EVEX forms. What the move is like stands in
 * the row's aux (VM_*).
 */
#include "exec.h"

#define XCR0_AVX	0x06
#define XCR0_AVX512	0xe6

static bool is_vex(const struct insn_ctx *ctx)
{
	return ctx->insn.enc != INSN_LEGACY;
}

/* The components of XCR0 that the encoding needs. */
static bool xcr0_allows(struct insn_ctx *ctx)
{
	u64 need = ctx->insn.enc == INSN_EVEX ? XCR0_AVX512 : XCR0_AVX;

	return (ctx->ops->get_cr(ctx->v, INSN_XCR0) & need) == need;
}

/* SDM vol. 2, 2.4: the exceptions common to all of them. */
static int check_vector(struct insn_ctx *ctx, bool mmx)
{
	const struct insn_ops *ops = ctx->ops;
	u64 cr0, cr4;

	if (!ops->get_cr || !ops->vec_read || !ops->vec_write)
		return INSN_UNHANDLEABLE;
	cr0 = ops->get_cr(ctx->v, 0);
	cr4 = ops->get_cr(ctx->v, 4);
	if (is_vex(ctx)) {
		if (!(cr4 & CR4_OSXSAVE) || !xcr0_allows(ctx))
			return insn_ud(ctx);
	} else if (cr0 & CR0_EM || (!mmx && !(cr4 & CR4_OSFXSR))) {
		return insn_ud(ctx);
	}
	return cr0 & CR0_TS ? insn_raise(ctx, EXC_NM) : INSN_OK;
}

static bool is_mmx(const struct insn_ctx *ctx)
{
	return (ctx->insn.desc->aux & VM_SIZE) == VM_MMX;
}

/* Bytes moved. */
static unsigned int move_size(const struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.desc->aux & VM_SIZE;

	if (is_mmx(ctx))
		return 8;
	if (size)
		return size;
	return is_vex(ctx) ? ctx->insn.vlen : 16;
}

/* Bytes of the register that a write of the result replaces. */
static unsigned int result_size(const struct insn_ctx *ctx)
{
	if (is_mmx(ctx))
		return 8;
	return is_vex(ctx) ? INSN_VEC_MAX : 16;
}

static unsigned int vec_number(const struct insn_ctx *ctx, unsigned int num)
{
	return is_mmx(ctx) ? INSN_VEC_MMX + (num & 7) : num;
}

/* The vector register in ModRM.reg; EVEX has its top bit inverted in R'. */
static unsigned int vec_reg(const struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;
	bool high = d->enc == INSN_EVEX && insn_long(ctx) && !(d->evex[0] & 0x10);

	return vec_number(ctx, insn_reg(d) + high * 16);
}

/* The one in ModRM.rm; EVEX has its top bit in X. */
static unsigned int vec_rm(const struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;
	bool high = d->enc == INSN_EVEX && d->rex & 2;

	return vec_number(ctx, insn_rm(d) + high * 16);
}

/* Masking, zeroing and broadcasts are not done; V' and vvvv must be unused. */
static int check_evex(struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;

	if (d->enc != INSN_EVEX)
		return INSN_OK;
	if (d->vlen > INSN_VEC_MAX || !(d->evex[2] & 8) || d->vvvv)
		return insn_ud(ctx);
	return d->evex[2] & 0x97 ? INSN_UNHANDLEABLE : INSN_OK;
}

/* Moves between registers: those of whole registers, and MOVQ. */
static bool reg_form_known(const struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;

	return is_mmx(ctx) || !(d->desc->aux & VM_SIZE) ||
		d->opcode == 0x7e || d->opcode == 0xd6;
}

static int check_move(struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;
	unsigned int aux = d->desc->aux, size = move_size(ctx);
	int r = check_vector(ctx, is_mmx(ctx));

	if (!r)
		r = check_evex(ctx);
	if (r)
		return r;
	if (is_vex(ctx) && d->vvvv && !(aux & VM_MERGE && insn_mod(d) != 3))
		return insn_mod(d) == 3 ? INSN_UNHANDLEABLE : insn_ud(ctx);
	if (is_vex(ctx) && d->vlen == 32 && size == 8 && d->opcode != 0x10 && d->opcode != 0x11)
		return insn_ud(ctx);
	if (insn_mod(d) == 3 && !reg_form_known(ctx))
		return INSN_UNHANDLEABLE;
	return INSN_OK;
}

/* Find the memory operand, aligned where the instruction demands it. */
static int resolve_memory(struct insn_ctx *ctx, struct insn_operand *op, unsigned int acc)
{
	int r = insn_resolve(ctx, op, SP_M);

	if (r || !(ctx->insn.desc->aux & VM_ALIGNED))
		return r;
	return insn_check_aligned(ctx, op->seg, op->ea, move_size(ctx), acc);
}

static int read_memory(struct insn_ctx *ctx, void *buf)
{
	int r = resolve_memory(ctx, &ctx->src, INSN_ACC_READ);

	if (r)
		return r;
	return insn_mem_read(ctx, ctx->src.seg, ctx->src.ea, buf, move_size(ctx), INSN_ACC_READ);
}

/* The write itself waits for the commit. */
static void write_register(struct insn_ctx *ctx, unsigned int num, unsigned int len)
{
	ctx->vec_reg = num;
	ctx->vec_len = len;
}

int insn_exec_vload(struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;
	unsigned int aux = d->desc->aux, reg = vec_reg(ctx);
	u8 *buf = ctx->vec;
	int r = check_move(ctx);

	memset(buf, 0, INSN_VEC_MAX);
	if (!r && aux & VM_MERGE)
		r = ctx->ops->vec_read(ctx->v, is_vex(ctx) ? insn_vvvv(ctx) : reg, buf, 16);
	if (r)
		return r;
	if (insn_mod(d) == 3)
		r = ctx->ops->vec_read(ctx->v, vec_rm(ctx), buf, move_size(ctx));
	else
		r = read_memory(ctx, aux & VM_HIGH ? buf + 8 : buf);
	if (!r)
		write_register(ctx, reg, result_size(ctx));
	return r;
}

int insn_exec_vstore(struct insn_ctx *ctx)
{
	const struct insn_decoded *d = &ctx->insn;
	unsigned int size = move_size(ctx), high = d->desc->aux & VM_HIGH ? 8 : 0;
	int r = check_move(ctx);

	if (r)
		return r;
	memset(ctx->vec, 0, INSN_VEC_MAX);
	r = ctx->ops->vec_read(ctx->v, vec_reg(ctx), ctx->vec,
			       max(size, is_mmx(ctx) ? 8u : 16u));
	if (r)
		return r;
	if (insn_mod(d) == 3) {
		memset(ctx->vec + size, 0, INSN_VEC_MAX - size);
		write_register(ctx, vec_rm(ctx), result_size(ctx));
		return INSN_OK;
	}
	r = resolve_memory(ctx, &ctx->src, INSN_ACC_WRITE);
	if (r)
		return r;
	return insn_mem_write(ctx, ctx->src.seg, ctx->src.ea, ctx->vec + high, size);
}

static int check_gpr_move(struct insn_ctx *ctx)
{
	int r = check_vector(ctx, is_mmx(ctx));

	if (!r && is_vex(ctx) && (ctx->insn.vvvv || ctx->insn.vlen != 16))
		return insn_ud(ctx);
	return r;
}

/* MOVD, MOVQ to a vector register: the rest of its low 16 bytes becomes 0. */
int insn_exec_vload_gpr(struct insn_ctx *ctx)
{
	int r = check_gpr_move(ctx);

	if (!r)
		r = insn_resolve(ctx, &ctx->src, SP_EY);
	if (!r)
		r = insn_load(ctx, &ctx->src, INSN_ACC_READ);
	if (r)
		return r;
	memset(ctx->vec, 0, INSN_VEC_MAX);
	memcpy(ctx->vec, &ctx->src.val, 8);
	write_register(ctx, vec_reg(ctx), result_size(ctx));
	return INSN_OK;
}

int insn_exec_vstore_gpr(struct insn_ctx *ctx)
{
	int r = check_gpr_move(ctx);

	if (r)
		return r;
	return ctx->ops->vec_read(ctx->v, vec_reg(ctx),
				  &ctx->dst.val, 8);
}
