// SPDX-License-Identifier: GPL-2.0-only
/* Push and pop. RSP moves in the context only, until the commit. */
#include "internal.h"

unsigned int insn_sp_size(struct insn_ctx *ctx)
{
	if (insn_long(ctx))
		return 8;
	return insn_seg(ctx, INSN_SS)->db ? 4 : 2;
}

int insn_push(struct insn_ctx *ctx, u64 val, unsigned int size)
{
	unsigned int sps = insn_sp_size(ctx);
	u64 sp = (insn_get(ctx, INSN_RSP) - size) & insn_mask(sps);
	int r;

	r = insn_mem_write(ctx, INSN_SS, sp, &val, size);
	if (!r)
		insn_set_sized(ctx, INSN_RSP, sp, sps);
	return r;
}

int insn_pop(struct insn_ctx *ctx, u64 *val, unsigned int size)
{
	unsigned int sps = insn_sp_size(ctx);
	u64 sp = insn_get(ctx, INSN_RSP) & insn_mask(sps);
	int r;

	*val = 0;
	r = insn_mem_read(ctx, INSN_SS, sp, val, size, INSN_ACC_READ);
	if (!r)
		insn_set_sized(ctx, INSN_RSP, sp + size, sps);
	return r;
}
