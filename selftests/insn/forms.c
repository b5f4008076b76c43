// SPDX-License-Identifier: GPL-2.0-only
#include <cpuid.h>

#include "forms.h"
#include "random.h"

struct form forms[FORMS_MAX];
unsigned int nforms;

/* Handlers of what cannot be compared on a CPU in user mode. */
static const struct {
	insn_handler *exec;
	const char *why;
} exclusions[] = {
	{ insn_exec_hypercall, "this machine's own hypervisor would answer" },
	{ insn_exec_sgdt, "the kernel makes up the result (CR4.UMIP)" },
	{ insn_exec_sidt, "the kernel makes up the result (CR4.UMIP)" },
	{ insn_exec_sldt, "the kernel makes up the result (CR4.UMIP)" },
	{ insn_exec_str, "the kernel makes up the result (CR4.UMIP)" },
	{ insn_exec_smsw, "the kernel makes up the result (CR4.UMIP)" },
};

enum { EAX, EBX, ECX, EDX };

/* What the CPU must have for a handler; without it bytes may mean something else. */
static const struct {
	insn_handler *exec;
	u8 opcode;		/* 0: any */
	u8 prefixes;		/* bits, as in struct form */
	u32 leaf;
	u8 reg, bit;
	const char *why;
} features[] = {
	{ insn_exec_movbe, 0, 0xf, 1, ECX, 22, "a CPU without MOVBE" },
	{ insn_exec_popcnt, 0, 0xf, 1, ECX, 23, "a CPU without POPCNT" },
	{ insn_exec_tzcnt, 0, 0xf, 7, EBX, 3, "a CPU without BMI1" },
	{ insn_exec_lzcnt, 0, 0xf, 0x80000001, ECX, 5, "a CPU without LZCNT" },
	{ insn_exec_andn, 0, 0xf, 7, EBX, 3, "a CPU without BMI1" },
	{ insn_exec_bls, 0, 0xf, 7, EBX, 3, "a CPU without BMI1" },
	{ insn_exec_bextr, 0, 0xf, 7, EBX, 3, "a CPU without BMI1" },
	{ insn_exec_bzhi, 0, 0xf, 7, EBX, 8, "a CPU without BMI2" },
	{ insn_exec_shiftx, 0, 0xf, 7, EBX, 8, "a CPU without BMI2" },
	{ insn_exec_rorx, 0, 0xf, 7, EBX, 8, "a CPU without BMI2" },
	{ insn_exec_rdtscp, 0, 0xf, 0x80000001, EDX, 27, "a CPU without RDTSCP" },
	{ insn_exec_rdpid, 0, 0xf, 7, ECX, 22, "a CPU without RDPID" },
	{ insn_exec_clflush, 0, 0x2, 7, EBX, 23, "a CPU without CLFLUSHOPT" },
	{ insn_exec_clflush, 0, 0x2, 7, EBX, 24, "a CPU without CLWB" },
	{ insn_exec_vstore, 0x2b, 0xc, 0x80000001, ECX, 6, "a CPU without SSE4a" },
	{ insn_exec_vload, 0xf0, 0xf, 1, ECX, 0, "a CPU without SSE3" },
	{ insn_exec_vload, 0x2a, 0xf, 1, ECX, 19, "a CPU without SSE4.1" },
};

static bool cpu_has(u32 leaf, unsigned int reg, unsigned int bit)
{
	u32 r[4];

	return __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]) && r[reg] >> bit & 1;
}

static const char *why_excluded(const struct form *f)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(exclusions); i++)
		if (exclusions[i].exec == f->desc->exec)
			return exclusions[i].why;
	if (f->enc == INSN_EVEX && cpu_has(7, EBX, 16))
		return "ZMM registers are not loaded and saved here";
	if (f->enc == INSN_VEX && !cpu_has(1, ECX, 28))
		return "a CPU without AVX";
	for (i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].exec == f->desc->exec && features[i].prefixes & f->prefixes &&
		    (!features[i].opcode || features[i].opcode == f->opcode) &&
		    !cpu_has(features[i].leaf, features[i].reg, features[i].bit))
			return features[i].why;
	return NULL;
}

static const u8 prefix_byte[4] = { 0, 0x66, 0xf3, 0xf2 };

static u8 *put_opcode(u8 *p, unsigned int map, u8 opcode)
{
	if (map != INSN_MAP_1B)
		*p++ = 0x0f;
	if (map == INSN_MAP_0F38)
		*p++ = 0x38;
	else if (map == INSN_MAP_0F3A)
		*p++ = 0x3a;
	*p++ = opcode;
	return p;
}

/* The plainest instruction of an encoding. @rxb, @w: as they stand in the payload. */
static u8 *put_vector(u8 *p, unsigned int enc, unsigned int map, unsigned int pp, u8 opcode)
{
	*p++ = enc == INSN_EVEX ? 0x62 : 0xc4;
	*p++ = (enc == INSN_EVEX ? 0xf0 : 0xe0) | map;
	*p++ = (enc == INSN_EVEX ? 0x7c : 0x78) | pp;
	if (enc == INSN_EVEX)
		*p++ = 0x08;
	*p++ = opcode;
	return p;
}

static u8 *put_plain(u8 *p, unsigned int enc, unsigned int map, unsigned int pp, u8 opcode)
{
	if (enc != INSN_LEGACY)
		return put_vector(p, enc, map, pp, opcode);
	if (pp)
		*p++ = prefix_byte[pp];
	return put_opcode(p, map, opcode);
}

static void add_form(const struct insn_decoded *d, unsigned int pp, u8 modrm)
{
	struct form *f = forms;

	for (; f < forms + nforms; f++)
		if (f->desc == d->desc && f->enc == d->enc && f->map == d->map &&
		    f->opcode == d->opcode)
			break;
	if (f == forms + FORMS_MAX)
		return;
	if (f == forms + nforms) {
		nforms++;
		*f = (struct form){
			.desc = d->desc, .enc = d->enc, .map = d->map, .opcode = d->opcode,
			.has_modrm = d->has_modrm,
		};
	}
	f->prefixes |= 1 << pp;
	f->modrms[modrm >> 6] |= BIT_ULL(modrm & 63);
}

/* Which bits of ModRM are the same in all bytes that lead here. */
static void find_modrm(struct form *f)
{
	u8 all = 0xff, any = 0;
	unsigned int i;

	for (i = 0; i < 256; i++) {
		if (!(f->modrms[i >> 6] >> (i & 63) & 1))
			continue;
		all &= i;
		any |= i;
	}
	f->modrm_mask = ~(all ^ any);
	f->modrm = all;
	f->mod = MOD_ANY;
	if ((f->modrm_mask & 0xc0) == 0xc0)
		f->mod = MOD_REGISTER;
	else if (!f->modrms[3])
		f->mod = MOD_MEMORY;
	f->modrm_mask &= 0x3f;
	f->modrm &= f->modrm_mask;
}

static void try_opcode(enum insn_cpu_mode mode, unsigned int enc, unsigned int map, u8 opcode)
{
	struct insn_decoded d;
	unsigned int pp, modrm;
	u8 bytes[20], *p;

	for (pp = 0; pp < 4; pp++) {
		memset(bytes, 0, sizeof(bytes));
		p = put_plain(bytes, enc, map, pp, opcode);
		for (modrm = 0; modrm < 256; modrm++) {
			*p = modrm;
			if (insn_decode_bytes(&d, mode, bytes, sizeof(bytes)) <= 0)
				continue;
			/* Prefixes and openings of other encodings are no opcodes. */
			if (d.enc != enc || d.map != map || d.opcode != opcode || !d.desc->exec)
				continue;
			add_form(&d, pp, d.has_modrm ? modrm : 0);
			if (!d.has_modrm)
				break;
		}
	}
}

void forms_find(enum insn_cpu_mode mode)
{
	static const u8 encs[] = { INSN_LEGACY, INSN_VEX, INSN_EVEX };
	unsigned int i, map, opcode;

	nforms = 0;
	for (i = 0; i < ARRAY_SIZE(encs); i++)
		for (map = INSN_MAP_1B; map <= INSN_MAP_0F3A; map++)
			for (opcode = 0; opcode < 256; opcode++)
				if (map != INSN_MAP_1B || encs[i] == INSN_LEGACY)
					try_opcode(mode, encs[i], map, opcode);
	for (i = 0; i < nforms; i++) {
		find_modrm(&forms[i]);
		forms[i].excluded = why_excluded(&forms[i]);
	}
}

static u8 *put_prefixes(u8 *p, const struct form *f)
{
	static const u8 seg[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
	bool lockable = f->desc->flags & D_LOCK;
	u64 r = rnd();

	if (r % 4 == 0)
		*p++ = 0x66;
	if (r >> 8 & 1 && f->desc->flags & D_STRING)
		*p++ = 0xf2 + (r >> 9 & 1);
	if ((r >> 16) % 6 == 0)
		*p++ = 0x67;
	if ((r >> 24) % 6 == 0)
		*p++ = seg[(r >> 32) % 6];
	if ((r >> 36 & 15) == 0)
		*p++ = 0xf2 + (r >> 40 & 1);
	if ((r >> 41) % (lockable ? 4 : 64) == 0)
		*p++ = 0xf0;
	return p;
}

static u8 *put_legacy(u8 *p, const struct form *f, enum insn_cpu_mode mode)
{
	unsigned int pp;

	p = put_prefixes(p, f);
	if (!(f->prefixes & 1)) {
		do {
			pp = rnd() % 4;
		} while (!(f->prefixes >> pp & 1));
		*p++ = prefix_byte[pp];
	}
	if (mode == INSN_LONG && rnd() % 2)
		*p++ = 0x40 | rnd() % 16;
	return put_opcode(p, f->map, f->opcode);
}

static u8 *put_vex(u8 *p, const struct form *f, enum insn_cpu_mode mode)
{
	u64 r = rnd();
	unsigned int pp;

	do {
		pp = rnd() % 4;
	} while (!(f->prefixes >> pp & 1));
	p = put_vector(p, f->enc, f->map, pp, f->opcode);
	if (mode == INSN_LONG) {
		/* R, X, B and, of EVEX, R' are the inverted bits at the top. */
		u8 *payload = p - (f->enc == INSN_EVEX ? 4 : 3);

		*payload ^= r & (f->enc == INSN_EVEX ? 0xf0 : 0xe0);
	}
	r >>= 8;
	if (f->enc == INSN_EVEX) {
		p[-2] ^= (r & 3) << 5;
		p[-3] ^= (r >> 2 & 1) << 7;
		return p;
	}
	p[-2] ^= (r & 1) << 7 | ((r >> 1) % 4 == 0) << 2;
	if ((r >> 4) % 4 == 0 || f->map != INSN_MAP_0F)
		p[-2] ^= (r >> 8 & 15) << 3;
	return p;
}

static u8 random_modrm(const struct form *f)
{
	u8 modrm = rnd();

	if (f->mod == MOD_REGISTER || (f->mod == MOD_ANY && modrm & 0x80 && rnd() % 2))
		modrm |= 0xc0;
	else if (f->mod == MOD_MEMORY && modrm >= 0xc0)
		modrm -= 0x40;
	return (modrm & ~f->modrm_mask) | f->modrm;
}

bool form_make(const struct form *f, enum insn_cpu_mode mode, struct snippet *s)
{
	u8 *p = s->bytes;

	rnd_fill(s->bytes, sizeof(s->bytes));
	if (f->enc == INSN_LEGACY)
		p = put_legacy(p, f, mode);
	else
		p = put_vex(p, f, mode);
	s->modrm = 0;
	s->disp = 0;
	if (f->has_modrm) {
		s->modrm = p - s->bytes;
		*p++ = random_modrm(f);
	}
	s->imm = p - s->bytes;
	s->len = insn_decode_bytes(&s->d, mode, s->bytes, sizeof(s->bytes));
	if (s->len <= 0 || s->d.desc != f->desc || s->d.opcode != f->opcode)
		return false;
	if (f->has_modrm)
		s->disp = s->modrm + 1 + s->d.has_sib;
	return true;
}
