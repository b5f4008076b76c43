// SPDX-License-Identifier: GPL-2.0-only
/* Operands: where they are, loading and storing them. */
#include "internal.h"

static unsigned int segment_or(const struct insn_ctx *ctx, unsigned int dflt)
{
	return ctx->insn.seg < INSN_NR_SEGS ? ctx->insn.seg : dflt;
}

/* SDM vol. 2, table 2-1: base and index registers by ModRM.rm. */
static u64 ea16(struct insn_ctx *ctx, unsigned int *seg)
{
	static const u8 base[8] = {
		INSN_RBX, INSN_RBX, INSN_RBP, INSN_RBP, INSN_RSI, INSN_RDI, INSN_RBP, INSN_RBX,
	};
	const struct insn_decoded *d = &ctx->insn;
	unsigned int rm = d->modrm & 7;
	u64 ea = (s64)d->disp;

	if (insn_mod(d) == 0 && rm == 6)
		return (u16)ea;
	if (base[rm] == INSN_RBP)
		*seg = INSN_SS;
	ea += insn_get(ctx, base[rm]);
	if (rm < 4)
		ea += insn_get(ctx, rm & 1 ? INSN_RDI : INSN_RSI);
	return (u16)ea;
}

static u64 ea_base(struct insn_ctx *ctx, unsigned int base, unsigned int *seg)
{
	const struct insn_decoded *d = &ctx->insn;

	if ((base & 7) == INSN_RBP && insn_mod(d) == 0)
		return 0;
	if (base == INSN_RSP || base == INSN_RBP)
		*seg = INSN_SS;
	return insn_get(ctx, base);
}

static u64 ea_sib(struct insn_ctx *ctx, unsigned int *seg)
{
	const struct insn_decoded *d = &ctx->insn;
	unsigned int index = ((d->sib >> 3) & 7) | ((d->rex & 2) << 2);
	unsigned int base = (d->sib & 7) | ((d->rex & 1) << 3);
	u64 ea = ea_base(ctx, base, seg);

	if (index != INSN_RSP)
		ea += insn_get(ctx, index) << (d->sib >> 6);
	return ea;
}

/* The effective address of the ModRM memory operand; *@seg: its default segment. */
static u64 modrm_ea(struct insn_ctx *ctx, unsigned int *seg)
{
	const struct insn_decoded *d = &ctx->insn;
	u64 ea;

	*seg = INSN_DS;
	if (d->addr_size == 2)
		return ea16(ctx, seg);
	if (d->has_sib)
		ea = ea_sib(ctx, seg);
	else if (insn_mod(d) == 0 && (d->modrm & 7) == 5 && insn_long(ctx))
		ea = ctx->regs[INSN_RIP];	/* the next instruction's already */
	else
		ea = ea_base(ctx, insn_rm(d), seg);
	return (ea + (s64)d->disp) & insn_mask(d->addr_size);
}

static int memory(struct insn_ctx *ctx, struct insn_operand *op, unsigned int size)
{
	unsigned int seg;

	op->kind = OPND_MEM;
	op->size = size;
	op->ea = modrm_ea(ctx, &seg);
	op->seg = segment_or(ctx, seg);
	return INSN_OK;
}

static int absolute(struct insn_ctx *ctx, struct insn_operand *op, unsigned int size)
{
	op->kind = OPND_MEM;
	op->size = size;
	op->ea = ctx->insn.imm;
	op->seg = segment_or(ctx, INSN_DS);
	return INSN_OK;
}

static int reg(struct insn_ctx *ctx, struct insn_operand *op, unsigned int num, unsigned int size)
{
	op->kind = OPND_REG;
	op->size = size;
	op->high = size == 1 && !ctx->insn.rex && num >= 4 && num < 8;
	op->reg = op->high ? num - 4 : num;
	return INSN_OK;
}

static int rm(struct insn_ctx *ctx, struct insn_operand *op, unsigned int size)
{
	if (insn_mod(&ctx->insn) != 3)
		return memory(ctx, op, size);
	return reg(ctx, op, insn_rm(&ctx->insn), size);
}

static int memory_only(struct insn_ctx *ctx, struct insn_operand *op, unsigned int size)
{
	return insn_mod(&ctx->insn) == 3 ? insn_ud(ctx) : memory(ctx, op, size);
}

static int constant(struct insn_ctx *ctx, struct insn_operand *op, u64 val)
{
	op->kind = OPND_IMM;
	op->size = ctx->insn.op_size;
	op->val = val;
	return INSN_OK;
}

int insn_resolve(struct insn_ctx *ctx, struct insn_operand *op, unsigned int spec)
{
	const struct insn_decoded *d = &ctx->insn;
	unsigned int v = d->op_size, y = d->rex & 8 ? 8 : 4;
	unsigned int z = (d->opcode & 7) | ((d->rex & 1) << 3);

	memset(op, 0, sizeof(*op));
	switch (spec) {
	case SP_EB:
		return rm(ctx, op, 1);
	case SP_EW:
		return rm(ctx, op, 2);
	case SP_ED:
		return rm(ctx, op, 4);
	case SP_EV:
		return rm(ctx, op, v);
	case SP_EY:
		return rm(ctx, op, y);
	case SP_EV16:
		return rm(ctx, op, insn_mod(d) == 3 ? v : 2);
	case SP_MV:
		return memory_only(ctx, op, v);
	case SP_MY:
		return memory_only(ctx, op, y);
	case SP_M:
		return memory_only(ctx, op, v);
	case SP_GB:
		return reg(ctx, op, insn_reg(d), 1);
	case SP_GV:
		return reg(ctx, op, insn_reg(d), v);
	case SP_GY:
		return reg(ctx, op, insn_reg(d), y);
	case SP_VY:
		return reg(ctx, op, insn_vvvv(ctx), y);
	case SP_ZB:
		return reg(ctx, op, z, 1);
	case SP_ZV:
		return reg(ctx, op, z, v);
	case SP_AL:
		return reg(ctx, op, INSN_RAX, 1);
	case SP_AX:
		return reg(ctx, op, INSN_RAX, v);
	case SP_CL:
		return reg(ctx, op, INSN_RCX, 1);
	case SP_DX:
		return reg(ctx, op, INSN_RDX, 2);
	case SP_ONE:
		return constant(ctx, op, 1);
	case SP_IMM:
		return constant(ctx, op, d->imm);
	case SP_OB:
		return absolute(ctx, op, 1);
	case SP_OV:
		return absolute(ctx, op, v);
	default:
		return INSN_OK;
	}
}

int insn_load(struct insn_ctx *ctx, struct insn_operand *op, unsigned int acc)
{
	switch (op->kind) {
	case OPND_REG:
		op->val = (insn_get(ctx, op->reg) >> (op->high ? 8 : 0)) & insn_mask(op->size);
		return INSN_OK;
	case OPND_MEM:
		op->val = 0;
		return insn_mem_read(ctx, op->seg, op->ea, &op->val, op->size, acc);
	default:
		return INSN_OK;
	}
}

/* @old is what a locked instruction read. */
int insn_store(struct insn_ctx *ctx, struct insn_operand *op, u64 old, bool lock)
{
	u64 whole;

	switch (op->kind) {
	case OPND_REG:
		if (op->high) {
			whole = insn_get(ctx, op->reg) & ~0xff00ULL;
			insn_set(ctx, op->reg, whole | (op->val & 0xff) << 8);
		} else {
			insn_set_sized(ctx, op->reg, op->val, op->size);
		}
		return INSN_OK;
	case OPND_MEM:
		if (lock)
			return insn_mem_cmpxchg(ctx, op->seg, op->ea, &old, &op->val, op->size);
		return insn_mem_write(ctx, op->seg, op->ea, &op->val, op->size);
	default:
		return INSN_OK;
	}
}
