// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instruction decoder: prefixes, opcode maps, ModRM, displacement, immediate.
 *
 * Knows the length of everything the manuals define up to AVX-512, XOP and
 * 3DNow!; opcodes without a handler decode to rows with a NULL exec. (SDM
 * vol. 2 chapter 2 and appendix A; APM vol. 3 chapter 1 and appendix A.)
 */
#include "internal.h"

enum { DEC_OK, DEC_MORE, DEC_UD, DEC_LONG };

struct cursor {
	const u8 *p;
	unsigned int n, pos;
	int err;
};

/* Rows for opcodes of which only the length is known. */
static const struct insn_desc only_length = { .flags = D_MODRM };
static const struct insn_desc only_length_ib = { .flags = D_MODRM | IMM_UB };
static const struct insn_desc only_length_id = { .flags = D_MODRM | IMM_D };
static const struct insn_desc only_length_plain = { .flags = D_PLAIN };
static const struct insn_desc undefined;

static bool have(struct cursor *c, unsigned int len)
{
	if (!c->err && c->pos + len > INSN_MAX_LEN)
		c->err = DEC_LONG;
	else if (!c->err && c->pos + len > c->n)
		c->err = DEC_MORE;
	return !c->err;
}

/* The next byte; 0 once anything went wrong. */
static u8 take(struct cursor *c)
{
	return have(c, 1) ? c->p[c->pos++] : 0;
}

static u8 peek(struct cursor *c)
{
	return have(c, 1) ? c->p[c->pos] : 0;
}

/* A little-endian number of @len bytes, zero-extended. */
static u64 take_num(struct cursor *c, unsigned int len)
{
	u64 val = 0;

	if (!have(c, len))
		return 0;
	memcpy(&val, c->p + c->pos, len);
	c->pos += len;
	return val;
}

static u64 take_signed(struct cursor *c, unsigned int len)
{
	return insn_sext(take_num(c, len), len);
}

/* Legacy prefixes: 1 + segment number, or one of these. */
enum { PFX_OPSIZE = 0x10, PFX_ADDR, PFX_LOCK, PFX_REPNE, PFX_REP };

static const u8 prefix_class[256] = {
	[0x26] = 1 + INSN_ES, [0x2e] = 1 + INSN_CS, [0x36] = 1 + INSN_SS,
	[0x3e] = 1 + INSN_DS, [0x64] = 1 + INSN_FS, [0x65] = 1 + INSN_GS,
	[0x66] = PFX_OPSIZE, [0x67] = PFX_ADDR, [0xf0] = PFX_LOCK,
	[0xf2] = PFX_REPNE, [0xf3] = PFX_REP,
};

static bool is_long(enum insn_cpu_mode mode)
{
	return mode == INSN_LONG;
}

/* In 64-bit mode the ES, CS, SS and DS overrides are ignored. */
static void set_override(struct insn_decoded *d, enum insn_cpu_mode mode, unsigned int seg)
{
	if (!is_long(mode) || seg >= INSN_FS)
		d->seg = seg;
}

/* A REX prefix counts only as the very last one. */
static void take_prefixes(struct insn_decoded *d, struct cursor *c,
			  enum insn_cpu_mode mode, bool *addr)
{
	for (;;) {
		u8 b = peek(c), class = prefix_class[b];
		bool rex = is_long(mode) && (b & 0xf0) == 0x40;

		if (c->err || (!class && !rex))
			return;
		d->rex = rex ? b : 0;
		c->pos++;
		if (class == PFX_OPSIZE)
			d->opsize = true;
		else if (class == PFX_ADDR)
			*addr = true;
		else if (class == PFX_LOCK)
			d->lock = true;
		else if (class >= PFX_REPNE)
			d->rep = b;
		else if (class)
			set_override(d, mode, class - 1);
	}
}

static u8 legacy_pp(const struct insn_decoded *d)
{
	if (d->rep)
		return d->rep == 0xf3 ? 2 : 3;
	return d->opsize;
}

static unsigned int address_size(enum insn_cpu_mode mode, bool addr)
{
	if (is_long(mode))
		return addr ? 4 : 8;
	return (mode == INSN_PROT32) == addr ? 2 : 4;
}

static unsigned int operand_size(const struct insn_decoded *d, enum insn_cpu_mode mode)
{
	u32 flags = d->desc->flags;

	if (!is_long(mode)) {
		if (flags & D_W64)
			return 4;
		return (mode == INSN_PROT32) == d->opsize ? 2 : 4;
	}
	if (d->rex & 8 || flags & (D_NEAR | D_W64))
		return 8;
	if (d->enc == INSN_LEGACY && d->opsize)
		return 2;
	return flags & D_STACK ? 8 : 4;
}

static const struct insn_desc *sparse_row(const struct insn_sparse *rows, unsigned int n,
					  u8 opcode, const struct insn_desc *dflt)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (rows[i].opcode == opcode)
			return &rows[i].desc;
	return dflt;
}

/* The row of an opcode in the legacy maps. */
static const struct insn_desc *map_row(unsigned int map, u8 opcode)
{
	switch (map) {
	case INSN_MAP_1B:
		return &insn_map_1b[opcode];
	case INSN_MAP_0F:
		return &insn_map_0f[opcode];
	case INSN_MAP_0F38:
		return sparse_row(insn_map_0f38, insn_map_0f38_rows, opcode, &only_length);
	case INSN_MAP_0F3A:
		return sparse_row(insn_map_0f3a, insn_map_0f3a_rows, opcode, &only_length_ib);
	default:
		return &only_length;
	}
}

/* Descend through rows that are tables of rows. */
static const struct insn_desc *resolve_group(const struct insn_decoded *d,
					     const struct insn_desc *row)
{
	unsigned int reg = (d->modrm >> 3) & 7;

	while (row->flags & D_GROUP) {
		if (row->flags & D_BY_REG)
			row = &row->group[reg];
		else if (row->flags & D_BY_REG_MOD)
			row = &row->group[reg + (insn_mod(d) == 3) * 8];
		else if (row->flags & D_BY_RM)
			row = &row->group[d->modrm & 7];
		else
			row = &row->group[d->pp];
	}
	return row;
}

static void take_opcode(struct insn_decoded *d, struct cursor *c)
{
	d->opcode = take(c);
	if (d->opcode != 0x0f)
		return;
	d->map = INSN_MAP_0F;
	d->opcode = take(c);
	if (d->opcode == 0x38 || d->opcode == 0x3a) {
		d->map = d->opcode == 0x38 ? INSN_MAP_0F38 : INSN_MAP_0F3A;
		d->opcode = take(c);
	}
}

/* SDM vol. 2, tables 2-1 and 2-2. */
static void take_modrm(struct insn_decoded *d, struct cursor *c)
{
	unsigned int mod, base, disp = 0;

	d->modrm = take(c);
	d->has_modrm = true;
	mod = insn_mod(d);
	base = d->modrm & 7;
	if (mod == 3 || c->err)
		return;
	if (d->addr_size == 2) {
		disp = mod == 0 && base == 6 ? 2 : mod;
	} else {
		if (base == 4) {
			d->sib = take(c);
			d->has_sib = true;
			base = d->sib & 7;
		}
		disp = mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
	}
	if (disp)
		d->disp = (s32)take_signed(c, disp);
}

static void take_imm(struct insn_decoded *d, struct cursor *c, enum insn_cpu_mode mode,
		     unsigned int kind)
{
	unsigned int z = d->op_size == 2 ? 2 : 4;

	switch (kind) {
	case IMM_B:
		d->imm = take_signed(c, 1);
		break;
	case IMM_UB:
		d->imm = take_num(c, 1);
		break;
	case IMM_W:
		d->imm = take_num(c, 2);
		break;
	case IMM_D:
		d->imm = take_num(c, 4);
		break;
	case IMM_REL:
		z = is_long(mode) ? 4 : z;
		fallthrough;
	case IMM_Z:
		d->imm = take_signed(c, z);
		break;
	case IMM_V:
		d->imm = take_num(c, d->op_size);
		break;
	case IMM_MOFFS:
		d->imm = take_num(c, d->addr_size);
		break;
	case IMM_FAR:
		d->imm = take_num(c, z);
		d->imm2 = take_num(c, 2);
		break;
	case IMM_ENTER:
		d->imm = take_num(c, 2);
		d->imm2 = take_num(c, 1);
		break;
	case IMM_BB:
		d->imm = take_num(c, 1);
		d->imm2 = take_num(c, 1);
		break;
	}
}

/* The legacy part after the prefixes: opcode, ModRM, immediate. */
static void decode_legacy(struct insn_decoded *d, struct cursor *c, enum insn_cpu_mode mode)
{
	const struct insn_desc *row;
	unsigned int imm;
	u32 outer;

	row = map_row(d->map, d->opcode);
	d->pp = legacy_pp(d);
	outer = row->flags;
	imm = outer & D_IMM;
	if (row->flags & D_MOD3) {
		d->modrm = take(c) | 0xc0;
		d->has_modrm = true;
	} else if (row->flags & D_MODRM) {
		take_modrm(d, c);
	}
	row = resolve_group(d, row);
	if (row->flags & D_VEXONLY)
		row = &undefined;
	d->desc = row;
	d->op_size = operand_size(d, mode);
	if (row->flags & D_IMM)
		imm = row->flags & D_IMM;
	take_imm(d, c, mode, imm);
	if (!c->err && (!row->flags || ((outer | row->flags) & D_NO64 && is_long(mode))))
		c->err = DEC_UD;
}

/*
 * VEX, EVEX and XOP opcodes all have ModRM but one; immediates follow from map
 * and opcode alone.
 */
static unsigned int vector_imm(const struct insn_decoded *d)
{
	switch (d->map) {
	case INSN_MAP_0F:
		switch (d->opcode) {
		case 0x70 ... 0x73:
		case 0xc2:
		case 0xc4 ... 0xc6:
			return IMM_UB;
		}
		return IMM_NONE;
	case INSN_MAP_0F3A:
	case INSN_MAP_XOP8:
		return IMM_UB;
	case INSN_MAP_7:
	case INSN_MAP_XOPA:
		return IMM_D;
	default:
		return IMM_NONE;
	}
}

static const struct insn_desc *vector_row(const struct insn_decoded *d)
{
	const struct insn_desc *row;

	u32 good = d->enc == INSN_VEX ? D_VEX : d->enc == INSN_EVEX ? D_EVEX : 0;

	if (d->map <= INSN_MAP_0F3A) {
		row = resolve_group(d, map_row(d->map, d->opcode));
		if (row->flags & good)
			return row;
	}
	switch (vector_imm(d)) {
	case IMM_UB:
		return &only_length_ib;
	case IMM_D:
		return &only_length_id;
	default:
		return &only_length;
	}
}

static void decode_vector(struct insn_decoded *d, struct cursor *c, enum insn_cpu_mode mode)
{
	d->opcode = take(c);
	if (!is_long(mode))
		d->rex = 0;
	if (d->enc == INSN_VEX && d->map == INSN_MAP_0F && d->opcode == 0x77) {
		d->desc = &only_length_plain;
		return;
	}
	take_modrm(d, c);
	d->desc = vector_row(d);
	if (d->enc == INSN_EVEX && d->desc->flags & D_EVEX && insn_mod(d) == 1)
		d->disp *= d->vlen;
	d->op_size = operand_size(d, mode);
	take_imm(d, c, mode, vector_imm(d));
}

/* Inverted RXB (bits 7:5 of the payload) and W (bit 7 of the next byte) as REX. */
static u8 payload_rex(u8 rxb, u8 w)
{
	return 0x40 | ((~rxb >> 5) & 7) | ((w >> 4) & 8);
}

static void set_vvvv_l_pp(struct insn_decoded *d, u8 b)
{
	d->vvvv = (~b >> 3) & 15;
	d->vlen = b & 4 ? 32 : 16;
	d->pp = b & 3;
}

static void decode_vex2(struct insn_decoded *d, struct cursor *c)
{
	u8 b = take(c);

	d->enc = INSN_VEX;
	d->map = INSN_MAP_0F;
	d->rex = payload_rex(b | 0x60, 0);
	set_vvvv_l_pp(d, b);
}

static void decode_vex3(struct insn_decoded *d, struct cursor *c)
{
	static const u8 maps[32] = {
		[1] = INSN_MAP_0F, [2] = INSN_MAP_0F38, [3] = INSN_MAP_0F3A, [7] = INSN_MAP_7,
	};
	u8 a = take(c), b = take(c);

	d->enc = INSN_VEX;
	d->map = maps[a & 31];
	d->rex = payload_rex(a, b);
	set_vvvv_l_pp(d, b);
}

static void decode_xop(struct insn_decoded *d, struct cursor *c)
{
	static const u8 maps[32] = {
		[8] = INSN_MAP_XOP8, [9] = INSN_MAP_XOP9, [10] = INSN_MAP_XOPA,
	};
	u8 a = take(c), b = take(c);

	d->enc = INSN_XOP;
	d->map = maps[a & 31];
	d->rex = payload_rex(a, b);
	set_vvvv_l_pp(d, b);
}

static void decode_evex(struct insn_decoded *d, struct cursor *c)
{
	static const u8 maps[8] = {
		[1] = INSN_MAP_0F, [2] = INSN_MAP_0F38, [3] = INSN_MAP_0F3A,
		[5] = INSN_MAP_5, [6] = INSN_MAP_6,
	};
	unsigned int i;

	for (i = 0; i < 3; i++)
		d->evex[i] = take(c);
	d->enc = INSN_EVEX;
	d->map = maps[d->evex[0] & 7];
	d->rex = payload_rex(d->evex[0], d->evex[1]);
	set_vvvv_l_pp(d, d->evex[1] & ~4);
	d->vlen = 16 << ((d->evex[2] >> 5) & 3);
	if (d->evex[0] & 8 || !(d->evex[1] & 4))
		d->map = INSN_MAP_1B;
}

/*
 * C4, C5, 62 and 8F are LDS, LES, BOUND and POP, unless what follows makes no
 * sense for these: then they open the vector encodings, which real and
 * virtual-8086 mode do not have.
 */
static bool opens_vector(const struct insn_decoded *d, struct cursor *c, enum insn_cpu_mode mode)
{
	if (d->map != INSN_MAP_1B)
		return false;
	switch (d->opcode) {
	case 0xc4:
	case 0xc5:
	case 0x62:
		return is_long(mode) || (mode >= INSN_PROT16 && peek(c) >= 0xc0);
	case 0x8f:
		return mode >= INSN_PROT16 && (peek(c) & 31) >= 8;
	default:
		return false;
	}
}

static void decode_body(struct insn_decoded *d, struct cursor *c, enum insn_cpu_mode mode)
{
	take_opcode(d, c);
	if (c->err || !opens_vector(d, c, mode)) {
		decode_legacy(d, c, mode);
		return;
	}
	if (c->err)
		return;
	if (d->opcode == 0xc5)
		decode_vex2(d, c);
	else if (d->opcode == 0xc4)
		decode_vex3(d, c);
	else if (d->opcode == 0x62)
		decode_evex(d, c);
	else
		decode_xop(d, c);
	/* SDM vol. 2, 2.3.2 to 2.3.4: these prefixes before VEX raise #UD. */
	if (!c->err && (d->map == INSN_MAP_1B || d->opsize || d->rep || d->lock))
		c->err = DEC_UD;
	decode_vector(d, c, mode);
}

int insn_decode_bytes(struct insn_decoded *d, enum insn_cpu_mode mode,
		      const u8 *bytes, unsigned int n)
{
	struct cursor c = { .p = bytes, .n = n };
	bool addr = false, rex_before_vex;

	memset(d, 0, sizeof(*d));
	d->desc = &undefined;
	d->seg = INSN_NR_SEGS;
	take_prefixes(d, &c, mode, &addr);
	rex_before_vex = d->rex;
	d->addr_size = address_size(mode, addr);
	decode_body(d, &c, mode);
	if (!c.err && rex_before_vex && d->enc != INSN_LEGACY)
		c.err = DEC_UD;
	d->len = c.pos;
	switch (c.err) {
	case DEC_OK:
		return c.pos;
	case DEC_MORE:
		return 0;
	case DEC_UD:
		return -1;
	default:
		return -2;
	}
}
