// SPDX-License-Identifier: GPL-2.0-only
/* Jumps, calls, returns. Far ones only in real and virtual-8086 mode. */
#include "exec.h"

/* Near branches check the target before anything is committed. */
int insn_jump(struct insn_ctx *ctx, u64 target)
{
	target &= insn_mask(ctx->insn.op_size);
	if (insn_long(ctx) ? !insn_canonical(ctx, target) :
	    target > insn_seg(ctx, INSN_CS)->limit)
		return insn_gp0(ctx);
	insn_set(ctx, INSN_RIP, target);
	return INSN_OK;
}

static int jump_rel(struct insn_ctx *ctx)
{
	return insn_jump(ctx, insn_get(ctx, INSN_RIP) + ctx->insn.imm);
}

int insn_exec_jmp_rel(struct insn_ctx *ctx)
{
	return jump_rel(ctx);
}

int insn_exec_jmp_abs(struct insn_ctx *ctx)
{
	return insn_jump(ctx, ctx->src.val);
}

int insn_exec_jcc(struct insn_ctx *ctx)
{
	return insn_cond(ctx, ctx->insn.opcode) ? jump_rel(ctx) : INSN_OK;
}

/* The stack's faults come before those of the target. */
static int call(struct insn_ctx *ctx, u64 target)
{
	u64 ret = insn_get(ctx, INSN_RIP), sp = insn_get(ctx, INSN_RSP) - ctx->insn.op_size;
	int r;

	r = insn_mem_probe(ctx, INSN_SS, sp & insn_mask(insn_sp_size(ctx)), ctx->insn.op_size,
			   INSN_ACC_WRITE);
	if (!r)
		r = insn_jump(ctx, target);
	return r ? r : insn_push(ctx, ret, ctx->insn.op_size);
}

int insn_exec_call_rel(struct insn_ctx *ctx)
{
	return call(ctx, insn_get(ctx, INSN_RIP) + ctx->insn.imm);
}

int insn_exec_call_abs(struct insn_ctx *ctx)
{
	return call(ctx, ctx->src.val);
}

static void release_stack(struct insn_ctx *ctx, u64 bytes)
{
	unsigned int sps = insn_sp_size(ctx);

	if (bytes)
		insn_set_sized(ctx, INSN_RSP, insn_get(ctx, INSN_RSP) + bytes, sps);
}

int insn_exec_ret(struct insn_ctx *ctx)
{
	u64 target;
	int r = insn_pop(ctx, &target, ctx->insn.op_size);

	if (r)
		return r;
	release_stack(ctx, ctx->insn.imm);
	return insn_jump(ctx, target);
}

/* LOOPNE, LOOPE, LOOP */
int insn_exec_loop(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.addr_size;
	bool zf = insn_flags(ctx) & FL_ZF;

	insn_set_sized(ctx, INSN_RCX, insn_get(ctx, INSN_RCX) - 1, size);
	if (!(insn_get(ctx, INSN_RCX) & insn_mask(size)))
		return INSN_OK;
	if (ctx->insn.opcode != 0xe2 && zf != (ctx->insn.opcode & 1))
		return INSN_OK;
	return jump_rel(ctx);
}

int insn_exec_jcxz(struct insn_ctx *ctx)
{
	if (insn_get(ctx, INSN_RCX) & insn_mask(ctx->insn.addr_size))
		return INSN_OK;
	return jump_rel(ctx);
}

/* Load CS:IP with real mode's rules. */
static int far_jump(struct insn_ctx *ctx, u16 selector, u64 offset)
{
	int r;

	if (!insn_real_like(ctx))
		return INSN_UNHANDLEABLE;
	r = insn_load_sreg(ctx, INSN_CS, selector);
	return r ? r : insn_jump(ctx, offset);
}

static int far_call(struct insn_ctx *ctx, u16 selector, u64 offset)
{
	unsigned int size = ctx->insn.op_size;
	u64 cs = insn_seg(ctx, INSN_CS)->selector, ip = insn_get(ctx, INSN_RIP);
	int r;

	r = far_jump(ctx, selector, offset);
	if (!r)
		r = insn_push(ctx, cs, size);
	return r ? r : insn_push(ctx, ip, size);
}

static int read_far_pointer(struct insn_ctx *ctx, u16 *selector, u64 *offset)
{
	if (!insn_real_like(ctx))
		return INSN_UNHANDLEABLE;
	return insn_mem_read_far(ctx, ctx->src.seg, ctx->src.ea, ctx->insn.op_size, offset,
				 selector);
}

int insn_exec_jmp_far(struct insn_ctx *ctx)
{
	return far_jump(ctx, ctx->insn.imm2, ctx->insn.imm);
}

int insn_exec_call_far(struct insn_ctx *ctx)
{
	return far_call(ctx, ctx->insn.imm2, ctx->insn.imm);
}

int insn_exec_jmp_far_mem(struct insn_ctx *ctx)
{
	u16 selector;
	u64 offset;
	int r = read_far_pointer(ctx, &selector, &offset);

	return r ? r : far_jump(ctx, selector, offset);
}

int insn_exec_call_far_mem(struct insn_ctx *ctx)
{
	u16 selector;
	u64 offset;
	int r = read_far_pointer(ctx, &selector, &offset);

	return r ? r : far_call(ctx, selector, offset);
}

static int pop_far(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size;
	u64 ip, cs;
	int r;

	if (!insn_real_like(ctx))
		return INSN_UNHANDLEABLE;
	r = insn_pop(ctx, &ip, size);
	if (!r)
		r = insn_pop(ctx, &cs, size);
	return r ? r : far_jump(ctx, cs, ip);
}

int insn_exec_retf(struct insn_ctx *ctx)
{
	int r = pop_far(ctx);

	if (!r)
		release_stack(ctx, ctx->insn.imm);
	return r;
}

/* Real mode only: SDM vol. 2, "IRET". */
int insn_exec_iret(struct insn_ctx *ctx)
{
	u64 mask = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT, val;
	int r;

	if (ctx->mode != INSN_REAL)
		return INSN_UNHANDLEABLE;
	r = pop_far(ctx);
	if (!r)
		r = insn_pop(ctx, &val, ctx->insn.op_size);
	if (r)
		return r;
	if (ctx->insn.op_size > 2)
		mask |= FL_AC | FL_ID;
	insn_change_flags(ctx, mask, val);
	ctx->iret = true;
	return INSN_OK;
}
