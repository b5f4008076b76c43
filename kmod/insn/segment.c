// SPDX-License-Identifier: GPL-2.0-only
/* Loading of segment registers, and the TSS's I/O permission bitmap. */
#include "internal.h"

#define TSS_IO_MAP	102	/* offset of the bitmap's offset */
#define TSS_MIN_LIMIT	103

static int selector_fault(struct insn_ctx *ctx, unsigned int vector, u16 selector)
{
	return insn_raise_code(ctx, vector, selector & ~3);
}

int insn_find_descriptor(struct insn_ctx *ctx, u16 selector, u64 *linear)
{
	const struct insn_segment *ldt;
	struct insn_table_reg gdt;
	u64 base;
	u32 limit;

	if (selector & 4) {
		ldt = insn_seg(ctx, INSN_LDTR);
		if (ldt->unusable)
			return selector_fault(ctx, EXC_GP, selector);
		base = ldt->base;
		limit = ldt->limit;
	} else {
		if (!ctx->ops->get_table)
			return INSN_UNHANDLEABLE;
		ctx->ops->get_table(ctx->v, INSN_GDTR, &gdt);
		base = gdt.base;
		limit = gdt.limit;
	}
	if ((selector | 7u) > limit)
		return selector_fault(ctx, EXC_GP, selector);
	*linear = base + (selector & ~7);
	return INSN_OK;
}

/* SDM vol. 3, figure 3-8. */
void insn_unpack_descriptor(u64 desc, u16 selector, struct insn_segment *s)
{
	u32 lo = desc, hi = desc >> 32;

	memset(s, 0, sizeof(*s));
	s->selector = selector;
	s->base = (lo >> 16) | (hi & 0xff) << 16 | (hi & 0xff000000);
	s->limit = (lo & 0xffff) | (hi & 0xf0000);
	s->type = (hi >> 8) & 15;
	s->s = (hi >> 12) & 1;
	s->dpl = (hi >> 13) & 3;
	s->present = (hi >> 15) & 1;
	s->avl = (hi >> 20) & 1;
	s->l = (hi >> 21) & 1;
	s->db = (hi >> 22) & 1;
	s->g = (hi >> 23) & 1;
	if (s->g)
		s->limit = s->limit << 12 | 0xfff;
}

/* The checks of MOV to a segment register: SDM vol. 2, "MOV". */
static bool stack_segment_ok(const struct insn_segment *s, unsigned int rpl, unsigned int cpl)
{
	bool writable_data = s->s && (s->type & 0xa) == 2;

	return writable_data && rpl == cpl && s->dpl == cpl;
}

static bool data_segment_ok(const struct insn_segment *s, unsigned int rpl, unsigned int cpl)
{
	bool code = s->type & 8, readable = s->type & 2, conforming = s->type & 4;

	if (!s->s || (code && !readable))
		return false;
	if (code && conforming)
		return true;
	return max(rpl, cpl) <= s->dpl;
}

static int check_segment(struct insn_ctx *ctx, unsigned int seg, const struct insn_segment *s)
{
	unsigned int rpl = s->selector & 3, cpl = insn_cpl(ctx);
	bool ok;

	if (seg == INSN_SS)
		ok = stack_segment_ok(s, rpl, cpl);
	else
		ok = data_segment_ok(s, rpl, cpl);
	if (!ok)
		return selector_fault(ctx, EXC_GP, s->selector);
	if (!s->present)
		return selector_fault(ctx, seg == INSN_SS ? EXC_SS : EXC_NP, s->selector);
	return INSN_OK;
}

static int load_null(struct insn_ctx *ctx, unsigned int seg, u16 selector)
{
	struct insn_segment s = { .selector = selector, .unusable = 1 };
	unsigned int cpl = insn_cpl(ctx);

	if (seg == INSN_SS && (!insn_long(ctx) || cpl == 3 || (selector & 3u) != cpl))
		return insn_gp0(ctx);
	if (seg == INSN_SS)
		s.dpl = cpl;
	insn_put_seg(ctx, seg, &s);
	return INSN_OK;
}

/* The cached limit and attributes stay in real mode (SDM vol. 3, 21.1.1). */
static int load_real(struct insn_ctx *ctx, unsigned int seg, u16 selector)
{
	struct insn_segment s = *insn_seg(ctx, seg);

	s.selector = selector;
	s.base = (u64)selector << 4;
	insn_put_seg(ctx, seg, &s);
	return INSN_OK;
}

int insn_load_sreg(struct insn_ctx *ctx, unsigned int seg, u16 selector)
{
	struct insn_segment s;
	u64 linear = 0, desc;
	int r;

	if (insn_real_like(ctx))
		return load_real(ctx, seg, selector);
	if (selector < 4)
		return load_null(ctx, seg, selector);
	r = insn_find_descriptor(ctx, selector, &linear);
	if (!r)
		r = insn_sys_read(ctx, linear, &desc, 8);
	if (r)
		return r;
	insn_unpack_descriptor(desc, selector, &s);
	r = check_segment(ctx, seg, &s);
	if (!r && !(s.type & 1)) {
		u8 access = (desc >> 40) | 1;

		s.type |= 1;
		r = insn_sys_write(ctx, linear + 5, &access, 1);
	}
	if (!r)
		insn_put_seg(ctx, seg, &s);
	return r;
}

bool insn_iopl_ok(struct insn_ctx *ctx)
{
	return insn_cpl(ctx) <= (insn_flags(ctx) & FL_IOPL) >> 12;
}

/* SDM vol. 1, 19.5.2: the CPU reads two bytes of the bitmap. */
static int check_bitmap(struct insn_ctx *ctx, u16 port, unsigned int size)
{
	const struct insn_segment *tr = insn_seg(ctx, INSN_TR);
	u16 offset, map;
	int r;

	if (tr->unusable || (tr->type & ~2) != 9 || tr->limit < TSS_MIN_LIMIT)
		return insn_gp0(ctx);
	r = insn_sys_read(ctx, tr->base + TSS_IO_MAP, &offset, 2);
	if (r)
		return r;
	if (offset + port / 8 + 1u > tr->limit)
		return insn_gp0(ctx);
	r = insn_sys_read(ctx, tr->base + offset + port / 8, &map, 2);
	if (r)
		return r;
	return (map >> (port & 7)) & ((1 << size) - 1) ? insn_gp0(ctx) : INSN_OK;
}

int insn_io_allowed(struct insn_ctx *ctx, u16 port, unsigned int size)
{
	if (ctx->mode == INSN_REAL || (ctx->mode != INSN_VM86 && insn_iopl_ok(ctx)))
		return INSN_OK;
	return check_bitmap(ctx, port, size);
}
