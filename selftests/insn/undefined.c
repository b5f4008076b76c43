// SPDX-License-Identifier: GPL-2.0-only
#include <cpuid.h>

#include "undefined.h"

/* SDM vol. 1, appendix A, and the instructions' own pages. */
static const struct {
	insn_handler *exec;
	u64 flags;
} flags_of[] = {
	{ insn_exec_and, FL_AF }, { insn_exec_or, FL_AF },
	{ insn_exec_xor, FL_AF }, { insn_exec_test, FL_AF },
	{ insn_exec_mul, FL_SF | FL_ZF | FL_AF | FL_PF },
	{ insn_exec_imul, FL_SF | FL_ZF | FL_AF | FL_PF },
	{ insn_exec_imul2, FL_SF | FL_ZF | FL_AF | FL_PF },
	{ insn_exec_div, FL_ARITH }, { insn_exec_idiv, FL_ARITH },
	{ insn_exec_bt, FL_OF | FL_SF | FL_AF | FL_PF },
	{ insn_exec_bts, FL_OF | FL_SF | FL_AF | FL_PF },
	{ insn_exec_btr, FL_OF | FL_SF | FL_AF | FL_PF },
	{ insn_exec_btc, FL_OF | FL_SF | FL_AF | FL_PF },
	{ insn_exec_bsf, FL_ARITH & ~FL_ZF }, { insn_exec_bsr, FL_ARITH & ~FL_ZF },
	{ insn_exec_tzcnt, FL_OF | FL_SF | FL_PF | FL_AF },
	{ insn_exec_lzcnt, FL_OF | FL_SF | FL_PF | FL_AF },
	{ insn_exec_daa, FL_OF }, { insn_exec_das, FL_OF },
	{ insn_exec_aaa, FL_OF | FL_SF | FL_ZF | FL_PF },
	{ insn_exec_aas, FL_OF | FL_SF | FL_ZF | FL_PF },
	{ insn_exec_aam, FL_OF | FL_AF | FL_CF }, { insn_exec_aad, FL_OF | FL_AF | FL_CF },
	{ insn_exec_andn, FL_AF | FL_PF }, { insn_exec_bls, FL_AF | FL_PF },
	{ insn_exec_bzhi, FL_AF | FL_PF }, { insn_exec_bextr, FL_AF | FL_PF | FL_SF },
};

bool cpu_is_amd(void)
{
	static int known = -1;
	u32 a, b, c, d;

	if (known < 0) {
		__cpuid(0, a, b, c, d);
		known = b == signature_AMD_ebx;
	}
	return known;
}

static bool is(const struct insn_ctx *ctx, insn_handler *exec)
{
	return ctx->insn.desc->exec == exec;
}

#define IS(name) is(ctx, insn_exec_##name)

static unsigned int masked(const struct insn_ctx *ctx, u64 count)
{
	return count & (ctx->dst.size == 8 ? 63 : 31);
}

/* OF is that of a shift by 1; CF is none of SHL's and SHR's if all bits are gone. */
static u64 shift_flags(const struct insn_ctx *ctx)
{
	unsigned int count = masked(ctx, ctx->src.val), kind = ctx->insn.modrm >> 3 & 7;
	u64 fl = count > 1 ? FL_OF : 0;

	if (!count || kind < 4)
		return fl;
	if (kind != 7 && count >= ctx->dst.size * 8u)
		fl |= FL_CF;
	return fl | FL_AF;
}

static u64 double_shift_flags(const struct insn_ctx *ctx)
{
	unsigned int count = masked(ctx, ctx->src2.val);

	return !count ? 0 : FL_AF | (count > 1 ? FL_OF : 0);
}

u64 undefined_flags(const struct insn_ctx *ctx)
{
	size_t i;

	if (IS(shift))
		return shift_flags(ctx);
	if (IS(shld) || IS(shrd))
		return double_shift_flags(ctx);
	for (i = 0; i < ARRAY_SIZE(flags_of); i++)
		if (is(ctx, flags_of[i].exec))
			return flags_of[i].flags;
	return 0;
}

static bool is_vector_move(const struct insn_ctx *ctx)
{
	return IS(vload) || IS(vstore);
}

static bool must_be_aligned(const struct insn_ctx *ctx)
{
	return (is_vector_move(ctx) && ctx->insn.desc->aux & VM_ALIGNED) ||
		(IS(cmpxchg8b) && ctx->insn.rex & 8);
}

const char *undefined_outcome(const struct insn_ctx *ctx, bool faulted)
{
	const struct insn_decoded *d = &ctx->insn;

	if ((IS(shld) || IS(shrd)) && masked(ctx, ctx->src2.val) > ctx->dst.size * 8u)
		return "a double shift by more than the operand's size";
	if (IS(bswap) && d->op_size == 2)
		return "BSWAP of 16 bits";
	if ((IS(bsf) || IS(bsr)) && !ctx->src.val && !cpu_is_amd())
		return "BSF, BSR of 0: only AMD says that the destination stays";
	if (IS(movsxd) && d->op_size == 2 && ctx->mode == INSN_LONG)
		return "MOVSXD of 16 bits: AMD reads 32, Intel 16";
	if (d->desc->flags & D_NEAR && d->opsize && ctx->mode == INSN_LONG)
		return "66 before a near branch: AMD obeys, Intel ignores it";
	if (IS(push_seg) && d->op_size > 2 && !cpu_is_amd())
		return "PUSH of a segment register: Intel's may leave the upper bytes alone";
	if (IS(pop_seg) && d->op_size > 2 && faulted && ctx->fault.vector != EXC_GP && !cpu_is_amd())
		return "POP of a segment register: Intel's may read the selector alone";
	if (IS(lseg) && d->op_size == 8 && cpu_is_amd())
		return "LSS, LFS, LGS with REX.W: AMD ignores it";
	if (is_vector_move(ctx) && faulted && ctx->fault.vector == EXC_AC && !cpu_is_amd())
		return "#AC for 16 bytes: Intel leaves it to the processor";
	/* Seen on a Cascade Lake: no #AC, and #PF for its first bytes where the last are not canonical. */
	if (IS(movbe) && d->opsize && d->op_size == 8 && faulted && !cpu_is_amd())
		return "faults of MOVBE with 66 and REX.W: some of Intel's access it in parts";
	if (IS(loop) && d->rep)
		return "REP before LOOP: on AMD it overrules the opcode";
	if (d->map == INSN_MAP_1B && d->opcode == 0x90 && d->rep == 0xf3 && d->rex & 1 && !cpu_is_amd())
		return "F3 before XCHG of R8 with RAX: PAUSE on Intel";
	if (d->map == INSN_MAP_0F && d->opcode == 0x0d && insn_mod(d) == 3)
		return "0F 0D with a register: #UD on AMD, NOP on Intel";
	if ((IS(mov_from_cr) || IS(mov_to_cr)) && d->lock && !cpu_is_amd())
		return "LOCK MOV CR: AMD only";
	return NULL;
}

bool undefined_fault(const struct insn_ctx *ctx, unsigned int native_vector)
{
	/* Which of two faulting operands comes first. */
	if (IS(cmps))
		return true;
	/* An operand of which half is not canonical, and that is not aligned either. */
	if (ctx->mode == INSN_LONG && native_vector == EXC_AC && !cpu_is_amd() &&
	    (ctx->fault.vector == EXC_GP || ctx->fault.vector == EXC_SS))
		return true;
	/* A far pointer of which half is beyond the segment, or not canonical. */
	if (IS(lseg) && (native_vector == EXC_PF || native_vector == EXC_AC) &&
	    (ctx->fault.vector == EXC_GP || ctx->fault.vector == EXC_SS))
		return true;
	/* An operand that has to be aligned, beyond the stack's limit. */
	return must_be_aligned(ctx) && ctx->fault.vector == EXC_SS && native_vector == EXC_GP;
}

bool undefined_progress(const struct insn_ctx *ctx)
{
	return IS(popa) || IS(pusha) || IS(enter);
}

static bool is_string(const struct insn_ctx *ctx)
{
	return IS(movs) || IS(cmps) || IS(stos) || IS(lods) || IS(scas);
}

/* AMD has what the last comparison has set; Intel what was there at the start (SDM vol. 2, REP). */
u64 undefined_midway_flags(const struct insn_ctx *ctx)
{
	return (IS(scas) || IS(cmps)) && ctx->insn.rep && !cpu_is_amd() ? FL_ARITH : 0;
}

/* With addresses of 32 bits Intel clears the upper halves before the first round, and if there is none. */
u64 undefined_string_bits(const struct insn_ctx *ctx)
{
	bool narrow = ctx->mode == INSN_LONG && ctx->insn.addr_size == 4;

	return is_string(ctx) && ctx->insn.rep && narrow && !cpu_is_amd() ? ~0ull << 32 : 0;
}

/* Intel writes before it looks whether the target is in the segment. */
bool undefined_push(const struct insn_ctx *ctx)
{
	return (IS(call_rel) || IS(call_abs)) && ctx->fault.vector == EXC_GP && !cpu_is_amd();
}
