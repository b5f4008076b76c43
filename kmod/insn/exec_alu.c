// SPDX-License-Identifier: GPL-2.0-only
/*
 * Integer arithmetic. Flags that the manuals leave undefined are computed in
 * whatever way is simplest, mostly left alone.
 */
#include "exec.h"

static unsigned int bits(const struct insn_operand *op)
{
	return op->size * 8;
}

static u64 sign_bit(unsigned int size)
{
	return BIT_ULL(size * 8 - 1);
}

static bool parity(u8 b)
{
	b ^= b >> 4;
	return !((0x6996 >> (b & 15)) & 1);
}

/* SF, ZF and PF of a result. */
static u64 result_flags(u64 res, unsigned int size)
{
	u64 fl = 0;

	res &= insn_mask(size);
	if (!res)
		fl |= FL_ZF;
	if (res & sign_bit(size))
		fl |= FL_SF;
	if (parity((u8)res))
		fl |= FL_PF;
	return fl;
}

/* @carry: the carries (borrows) out of each bit of an addition (subtraction). */
static u64 carry_flags(u64 carry, unsigned int size)
{
	u64 top = sign_bit(size), fl = 0;

	if (carry & top)
		fl |= FL_CF;
	if (carry & 8)
		fl |= FL_AF;
	if (!(carry & top) != !(carry & (top >> 1)))
		fl |= FL_OF;
	return fl;
}

static u64 do_add(u64 a, u64 b, bool c, unsigned int size, u64 *fl)
{
	u64 res = a + b + c;

	*fl = carry_flags((a & b) | ((a | b) & ~res), size) | result_flags(res, size);
	return res & insn_mask(size);
}

static u64 do_sub(u64 a, u64 b, bool c, unsigned int size, u64 *fl)
{
	u64 res = a - b - c;

	*fl = carry_flags((~a & b) | (~(a ^ b) & res), size) | result_flags(res, size);
	return res & insn_mask(size);
}

/* The flags of @a - @b. */
void insn_compare(struct insn_ctx *ctx, u64 a, u64 b, unsigned int size)
{
	u64 fl;

	do_sub(a, b, false, size, &fl);
	insn_change_flags(ctx, FL_ARITH, fl);
}

static bool carry_in(struct insn_ctx *ctx)
{
	return insn_flags(ctx) & FL_CF;
}

static int add(struct insn_ctx *ctx, u64 b, bool c, u64 mask)
{
	u64 fl;

	ctx->dst.val = do_add(ctx->dst.val, b, c, ctx->dst.size, &fl);
	insn_change_flags(ctx, mask, fl);
	return INSN_OK;
}

static int sub(struct insn_ctx *ctx, u64 b, bool c, u64 mask)
{
	u64 fl;

	ctx->dst.val = do_sub(ctx->dst.val, b, c, ctx->dst.size, &fl);
	insn_change_flags(ctx, mask, fl);
	return INSN_OK;
}

static int logic(struct insn_ctx *ctx, u64 res)
{
	ctx->dst.val = res & insn_mask(ctx->dst.size);
	insn_change_flags(ctx, FL_ARITH, result_flags(res, ctx->dst.size));
	return INSN_OK;
}

int insn_exec_add(struct insn_ctx *ctx)
{
	return add(ctx, ctx->src.val, false, FL_ARITH);
}

int insn_exec_adc(struct insn_ctx *ctx)
{
	return add(ctx, ctx->src.val, carry_in(ctx), FL_ARITH);
}

int insn_exec_sub(struct insn_ctx *ctx)
{
	return sub(ctx, ctx->src.val, false, FL_ARITH);
}

int insn_exec_sbb(struct insn_ctx *ctx)
{
	return sub(ctx, ctx->src.val, carry_in(ctx), FL_ARITH);
}

/* D_RO keeps the destination. */
int insn_exec_cmp(struct insn_ctx *ctx)
{
	return insn_exec_sub(ctx);
}

int insn_exec_inc(struct insn_ctx *ctx)
{
	return add(ctx, 1, false, FL_ARITH & ~FL_CF);
}

int insn_exec_dec(struct insn_ctx *ctx)
{
	return sub(ctx, 1, false, FL_ARITH & ~FL_CF);
}

int insn_exec_or(struct insn_ctx *ctx)
{
	return logic(ctx, ctx->dst.val | ctx->src.val);
}

int insn_exec_and(struct insn_ctx *ctx)
{
	return logic(ctx, ctx->dst.val & ctx->src.val);
}

int insn_exec_xor(struct insn_ctx *ctx)
{
	return logic(ctx, ctx->dst.val ^ ctx->src.val);
}

int insn_exec_test(struct insn_ctx *ctx)
{
	return insn_exec_and(ctx);
}

int insn_exec_not(struct insn_ctx *ctx)
{
	ctx->dst.val = ~ctx->dst.val;
	return INSN_OK;
}

int insn_exec_neg(struct insn_ctx *ctx)
{
	u64 val = ctx->dst.val;

	ctx->dst.val = 0;
	return sub(ctx, val, false, FL_ARITH);
}

/* 64 x 64 -> 128, unsigned. */
static void mul64(u64 a, u64 b, u64 *lo, u64 *hi)
{
	u64 a0 = (u32)a, a1 = a >> 32, b0 = (u32)b, b1 = b >> 32;
	u64 mid = a1 * b0 + (a0 * b0 >> 32);
	u64 mid2 = a0 * b1 + (u32)mid;

	*lo = a * b;
	*hi = a1 * b1 + (mid >> 32) + (mid2 >> 32);
}

/* The same for sign-extended operands. */
static void imul64(u64 a, u64 b, u64 *lo, u64 *hi)
{
	mul64(a, b, lo, hi);
	if ((s64)a < 0)
		*hi -= b;
	if ((s64)b < 0)
		*hi -= a;
}

static void set_overflow(struct insn_ctx *ctx, bool over)
{
	insn_change_flags(ctx, FL_CF | FL_OF, over ? FL_CF | FL_OF : 0);
}

/* rDX:rAX, or AX for bytes, from the product of two zero- or sign-extended numbers. */
static void store_product(struct insn_ctx *ctx, u64 lo, u64 hi)
{
	unsigned int size = ctx->src.size;

	if (size == 1) {
		insn_set_sized(ctx, INSN_RAX, lo, 2);
		return;
	}
	insn_set_sized(ctx, INSN_RAX, lo, size);
	insn_set_sized(ctx, INSN_RDX, size == 8 ? hi : lo >> (size * 8), size);
}

int insn_exec_mul(struct insn_ctx *ctx)
{
	unsigned int size = ctx->src.size;
	u64 lo, hi;

	mul64(insn_get(ctx, INSN_RAX) & insn_mask(size), ctx->src.val, &lo, &hi);
	store_product(ctx, lo, hi);
	set_overflow(ctx, size == 8 ? hi : lo >> (size * 8));
	return INSN_OK;
}

static bool signed_overflow(u64 lo, u64 hi, unsigned int size)
{
	return hi != (u64)((s64)lo >> 63) || insn_sext(lo, size) != lo;
}

int insn_exec_imul(struct insn_ctx *ctx)
{
	unsigned int size = ctx->src.size;
	u64 lo, hi;

	imul64(insn_sext(insn_get(ctx, INSN_RAX), size), insn_sext(ctx->src.val, size), &lo, &hi);
	store_product(ctx, lo, hi);
	set_overflow(ctx, signed_overflow(lo, hi, size));
	return INSN_OK;
}

/* The forms with a destination register. */
int insn_exec_imul2(struct insn_ctx *ctx)
{
	unsigned int size = ctx->dst.size;
	u64 lo, hi;

	imul64(insn_sext(ctx->src.val, size), insn_sext(ctx->src2.val, size), &lo, &hi);
	ctx->dst.val = lo;
	set_overflow(ctx, signed_overflow(lo, hi, size));
	return INSN_OK;
}

/* 128 / 64 by shift and subtract; false if the quotient does not fit. */
static bool div128(u64 hi, u64 lo, u64 divisor, u64 *quot, u64 *rem)
{
	unsigned int i;
	bool top;

	if (hi >= divisor)
		return false;
	for (i = 0; i < 64; i++) {
		top = hi >> 63;
		hi = hi << 1 | lo >> 63;
		lo <<= 1;
		if (top || hi >= divisor) {
			hi -= divisor;
			lo |= 1;
		}
	}
	*quot = lo;
	*rem = hi;
	return true;
}

/* The dividend, sign- or zero-extended to 128 bits. */
static void dividend(struct insn_ctx *ctx, bool is_signed, u64 *lo, u64 *hi)
{
	unsigned int size = ctx->src.size, n = size * 8;
	u64 mask = insn_mask(size);

	*lo = insn_get(ctx, INSN_RAX);
	*hi = 0;
	if (size == 1)
		*lo &= 0xffff;
	else if (size == 8)
		*hi = insn_get(ctx, INSN_RDX);
	else
		*lo = (*lo & mask) | (insn_get(ctx, INSN_RDX) & mask) << n;
	if (!is_signed || size == 8)
		return;
	*lo = insn_sext(*lo, size * 2);
	*hi = (u64)((s64)*lo >> 63);
}

static int store_quotient(struct insn_ctx *ctx, u64 quot, u64 rem)
{
	unsigned int size = ctx->src.size;

	if (size == 1) {
		insn_set_sized(ctx, INSN_RAX, (quot & 0xff) | (rem & 0xff) << 8, 2);
		return INSN_OK;
	}
	insn_set_sized(ctx, INSN_RAX, quot, size);
	insn_set_sized(ctx, INSN_RDX, rem, size);
	return INSN_OK;
}

int insn_exec_div(struct insn_ctx *ctx)
{
	u64 lo, hi, quot, rem;

	dividend(ctx, false, &lo, &hi);
	if (!div128(hi, lo, ctx->src.val, &quot, &rem) || quot > insn_mask(ctx->src.size))
		return insn_raise(ctx, EXC_DE);
	return store_quotient(ctx, quot, rem);
}

int insn_exec_idiv(struct insn_ctx *ctx)
{
	unsigned int size = ctx->src.size;
	u64 lo, hi, quot, rem, divisor = insn_sext(ctx->src.val, size);
	bool neg, neg_quot;

	dividend(ctx, true, &lo, &hi);
	neg = (s64)hi < 0;
	neg_quot = neg != ((s64)divisor < 0);
	if (neg) {
		lo = -lo;
		hi = ~hi + !lo;
	}
	if (!div128(hi, lo, (s64)divisor < 0 ? -divisor : divisor, &quot, &rem))
		return insn_raise(ctx, EXC_DE);
	/* The most negative quotient is one larger than the most positive. */
	if (quot > sign_bit(size) - !neg_quot)
		return insn_raise(ctx, EXC_DE);
	return store_quotient(ctx, neg_quot ? -quot : quot, neg ? -rem : rem);
}

/* The count of a shift or rotation, masked as the CPU does. */
static unsigned int shift_count(const struct insn_ctx *ctx, u64 count)
{
	return count & (ctx->dst.size == 8 ? 63 : 31);
}

static void set_cf_of(struct insn_ctx *ctx, bool cf, bool of)
{
	insn_change_flags(ctx, FL_CF | FL_OF, (cf ? FL_CF : 0) | (of ? FL_OF : 0));
}

static int rol(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), count = shift_count(ctx, ctx->src.val), c = count % n;
	u64 val = ctx->dst.val;

	if (!count)
		return INSN_OK;
	if (c)
		val = (val << c | val >> (n - c)) & insn_mask(ctx->dst.size);
	ctx->dst.val = val;
	set_cf_of(ctx, val & 1, (val & 1) != (val >> (n - 1)));
	return INSN_OK;
}

static int ror(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), count = shift_count(ctx, ctx->src.val), c = count % n;
	u64 val = ctx->dst.val;

	if (!count)
		return INSN_OK;
	if (c)
		val = (val >> c | val << (n - c)) & insn_mask(ctx->dst.size);
	ctx->dst.val = val;
	set_cf_of(ctx, val >> (n - 1), ((val >> (n - 1)) ^ (val >> (n - 2))) & 1);
	return INSN_OK;
}

static int rcl(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), count = shift_count(ctx, ctx->src.val) % (n + 1);
	u64 val = ctx->dst.val;
	bool cf = carry_in(ctx), out;

	if (!shift_count(ctx, ctx->src.val))
		return INSN_OK;
	for (; count; count--) {
		out = (val >> (n - 1)) & 1;
		val = (val << 1 | cf) & insn_mask(ctx->dst.size);
		cf = out;
	}
	ctx->dst.val = val;
	set_cf_of(ctx, cf, cf != ((val >> (n - 1)) & 1));
	return INSN_OK;
}

static int rcr(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), count = shift_count(ctx, ctx->src.val) % (n + 1);
	u64 val = ctx->dst.val;
	bool cf = carry_in(ctx), out;

	if (!shift_count(ctx, ctx->src.val))
		return INSN_OK;
	for (; count; count--) {
		out = val & 1;
		val = val >> 1 | (u64)cf << (n - 1);
		cf = out;
	}
	ctx->dst.val = val;
	set_cf_of(ctx, cf, ((val >> (n - 1)) ^ (val >> (n - 2))) & 1);
	return INSN_OK;
}

/* What all shifts have in common after their result is known. */
static int shifted(struct insn_ctx *ctx, u64 val, bool cf, bool of)
{
	ctx->dst.val = val & insn_mask(ctx->dst.size);
	insn_change_flags(ctx, FL_ARITH & ~FL_AF, result_flags(val, ctx->dst.size));
	set_cf_of(ctx, cf, of);
	return INSN_OK;
}

static int shl(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), c = shift_count(ctx, ctx->src.val);
	u64 val = ctx->dst.val, res;
	bool cf;

	if (!c)
		return INSN_OK;
	cf = c <= n && (val >> (n - c)) & 1;
	res = val << c;
	return shifted(ctx, res, cf, cf != ((res >> (n - 1)) & 1));
}

static int shr(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), c = shift_count(ctx, ctx->src.val);
	u64 val = ctx->dst.val;

	if (!c)
		return INSN_OK;
	return shifted(ctx, val >> c, (val >> (c - 1)) & 1, val >> (n - 1));
}

static int sar(struct insn_ctx *ctx)
{
	unsigned int c = shift_count(ctx, ctx->src.val);
	s64 val = (s64)insn_sext(ctx->dst.val, ctx->dst.size);

	if (!c)
		return INSN_OK;
	return shifted(ctx, (u64)(val >> c), (val >> (c - 1)) & 1, false);
}

int insn_exec_shift(struct insn_ctx *ctx)
{
	static insn_handler * const kinds[8] = { rol, ror, rcl, rcr, shl, shr, shl, sar };

	return kinds[(ctx->insn.modrm >> 3) & 7](ctx);
}

/* Counts beyond the operand's size (only with 16 bits) give undefined results. */
int insn_exec_shld(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), c = shift_count(ctx, ctx->src2.val);
	u64 val = ctx->dst.val, res;

	if (!c || c > n)
		return INSN_OK;
	res = c == n ? ctx->src.val : val << c | ctx->src.val >> (n - c);
	return shifted(ctx, res, (val >> (n - c)) & 1, ((val ^ res) >> (n - 1)) & 1);
}

int insn_exec_shrd(struct insn_ctx *ctx)
{
	unsigned int n = bits(&ctx->dst), c = shift_count(ctx, ctx->src2.val);
	u64 val = ctx->dst.val, res;

	if (!c || c > n)
		return INSN_OK;
	res = c == n ? ctx->src.val : val >> c | ctx->src.val << (n - c);
	return shifted(ctx, res, (val >> (c - 1)) & 1, ((val ^ res) >> (n - 1)) & 1);
}

/* The bit that BT and its kin are about; its value goes to CF. */
static u64 tested_bit(struct insn_ctx *ctx)
{
	u64 bit = BIT_ULL(ctx->src.val & (bits(&ctx->dst) - 1));

	insn_change_flags(ctx, FL_CF, ctx->dst.val & bit ? FL_CF : 0);
	return bit;
}

int insn_exec_bt(struct insn_ctx *ctx)
{
	tested_bit(ctx);
	return INSN_OK;
}

int insn_exec_bts(struct insn_ctx *ctx)
{
	ctx->dst.val |= tested_bit(ctx);
	return INSN_OK;
}

int insn_exec_btr(struct insn_ctx *ctx)
{
	ctx->dst.val &= ~tested_bit(ctx);
	return INSN_OK;
}

int insn_exec_btc(struct insn_ctx *ctx)
{
	ctx->dst.val ^= tested_bit(ctx);
	return INSN_OK;
}

static unsigned int lowest_bit(u64 val, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n && !((val >> i) & 1); i++)
		;
	return i;
}

static unsigned int leading_zeros(u64 val, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n && !((val >> (n - 1 - i)) & 1); i++)
		;
	return i;
}

/* With a zero source the destination keeps its value, as on all known CPUs. */
int insn_exec_bsf(struct insn_ctx *ctx)
{
	u64 val = ctx->src.val;

	insn_change_flags(ctx, FL_ZF, val ? 0 : FL_ZF);
	if (val)
		ctx->dst.val = lowest_bit(val, 64);
	else
		ctx->dst.kind = OPND_NONE;
	return INSN_OK;
}

int insn_exec_bsr(struct insn_ctx *ctx)
{
	u64 val = ctx->src.val;

	insn_change_flags(ctx, FL_ZF, val ? 0 : FL_ZF);
	if (val)
		ctx->dst.val = 63 - leading_zeros(val, 64);
	else
		ctx->dst.kind = OPND_NONE;
	return INSN_OK;
}

static int counted(struct insn_ctx *ctx, unsigned int count)
{
	ctx->dst.val = count;
	insn_change_flags(ctx, FL_CF | FL_ZF,
			  (ctx->src.val ? 0 : FL_CF) | (count ? 0 : FL_ZF));
	return INSN_OK;
}

int insn_exec_tzcnt(struct insn_ctx *ctx)
{
	return counted(ctx, lowest_bit(ctx->src.val, bits(&ctx->src)));
}

int insn_exec_lzcnt(struct insn_ctx *ctx)
{
	return counted(ctx, leading_zeros(ctx->src.val, bits(&ctx->src)));
}

int insn_exec_popcnt(struct insn_ctx *ctx)
{
	u64 val = ctx->src.val;
	unsigned int count = 0;

	for (; val; val &= val - 1)
		count++;
	ctx->dst.val = count;
	insn_change_flags(ctx, FL_ARITH, count ? 0 : FL_ZF);
	return INSN_OK;
}

/* On a mismatch memory is written too, with its own value; a register is not. */
int insn_exec_cmpxchg(struct insn_ctx *ctx)
{
	unsigned int size = ctx->dst.size;
	u64 acc = insn_get(ctx, INSN_RAX) & insn_mask(size), fl;

	do_sub(acc, ctx->dst.val, false, size, &fl);
	insn_change_flags(ctx, FL_ARITH, fl);
	if (fl & FL_ZF) {
		ctx->dst.val = ctx->src.val;
		return INSN_OK;
	}
	insn_set_sized(ctx, INSN_RAX, ctx->dst.val, size);
	if (ctx->dst.kind == OPND_REG)
		ctx->dst.kind = OPND_NONE;
	return INSN_OK;
}

/* CMPXCHG8B and CMPXCHG16B; @h: the size of a half. */
int insn_exec_cmpxchg8b(struct insn_ctx *ctx)
{
	unsigned int h = ctx->insn.rex & 8 ? 8 : 4;
	u64 mask = insn_mask(h), mem[2] = {}, new[2];
	struct insn_operand *dst = &ctx->dst;
	u8 old[16], out[16];
	bool equal;
	int r;

	if (h == 8 && insn_long(ctx)) {
		r = insn_check_aligned(ctx, dst->seg, dst->ea, 16, INSN_ACC_WRITE);
		if (r)
			return r;
	}
	r = insn_mem_read(ctx, dst->seg, dst->ea, old, h * 2,
			  INSN_ACC_WRITE | (ctx->insn.lock ? INSN_ACC_LOCK : 0));
	if (r)
		return r;
	memcpy(&mem[0], old, h);
	memcpy(&mem[1], old + h, h);
	equal = mem[0] == (insn_get(ctx, INSN_RAX) & mask) &&
		mem[1] == (insn_get(ctx, INSN_RDX) & mask);
	new[0] = equal ? insn_get(ctx, INSN_RBX) : mem[0];
	new[1] = equal ? insn_get(ctx, INSN_RCX) : mem[1];
	memcpy(out, &new[0], h);
	memcpy(out + h, &new[1], h);
	insn_change_flags(ctx, FL_ZF, equal ? FL_ZF : 0);
	if (!equal) {
		insn_set_sized(ctx, INSN_RAX, mem[0], h);
		insn_set_sized(ctx, INSN_RDX, mem[1], h);
	}
	if (ctx->insn.lock)
		return insn_mem_cmpxchg(ctx, dst->seg, dst->ea, old, out, h * 2);
	return insn_mem_write(ctx, dst->seg, dst->ea, out, h * 2);
}

/* The register is written first: with equal operands the sum wins. */
int insn_exec_xadd(struct insn_ctx *ctx)
{
	u64 old = ctx->dst.val, sum = ctx->src.val;

	ctx->src.val = old;
	insn_store(ctx, &ctx->src, 0, false);
	return add(ctx, sum, false, FL_ARITH);
}

int insn_exec_bswap(struct insn_ctx *ctx)
{
	u64 val = ctx->dst.val, res = 0;
	unsigned int i;

	/* With 16 bits undefined; CPUs give 0. */
	for (i = 0; i < ctx->dst.size && ctx->dst.size > 2; i++)
		res |= ((val >> (i * 8)) & 0xff) << ((ctx->dst.size - 1 - i) * 8);
	ctx->dst.val = res;
	return INSN_OK;
}
