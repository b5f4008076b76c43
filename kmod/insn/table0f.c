// SPDX-License-Identifier: GPL-2.0-only
/* The opcode maps 0F, 0F38 and 0F3A (SDM vol. 2, tables ). */
#include "exec.h"

#define P	D_PLAIN
#define M	D_MODRM
#define V	(D_MODRM | D_VEX)

static const struct insn_desc group6[8] = {
	ROW(M | D_MOV | D_PROT, EV16, NONE, sldt), ROW(M | D_MOV | D_PROT, EV16, NONE, str),
	LEN(M), LEN(M), LEN(M), LEN(M),			/* LLDT, LTR, VERR, VERW */
};

static const struct insn_desc group7_reg0[8] = {
	LEN(M), ROW(M, NONE, NONE, hypercall), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M),
};

static const struct insn_desc group7_reg1[8] = {
	ROW(M, NONE, NONE, monitor), ROW(M, NONE, NONE, mwait),
	ROWA(M, NONE, NONE, clac, 0), ROWA(M, NONE, NONE, clac, 1),
	LEN(M), LEN(M), LEN(M), LEN(M),
};

static const struct insn_desc group7_reg2[8] = {
	ROW(M, NONE, NONE, xgetbv), ROW(M, NONE, NONE, xsetbv),
	LEN(M), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M),
};

static const struct insn_desc group7_reg3[8] = {
	LEN(M), ROW(M, NONE, NONE, hypercall), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M),
};

static const struct insn_desc group7_reg5[8] = {
	LEN(M), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M),
};

static const struct insn_desc group7_reg7[8] = {
	ROW(M, NONE, NONE, swapgs), ROW(M, NONE, NONE, rdtscp),
	LEN(M), LEN(M), LEN(M), LEN(M), LEN(M), LEN(M),
};

static const struct insn_desc group7[16] = {
	[0] = ROW(M, NONE, M, sgdt), [1] = ROW(M, NONE, M, sidt),
	[2] = ROW(M | D_PRIV, NONE, M, lgdt), [3] = ROW(M | D_PRIV, NONE, M, lidt),
	[4] = ROW(M | D_MOV, EV16, NONE, smsw), [5] = LEN(M),	/* RSTORSSP */
	[6] = ROW(M | D_PRIV, NONE, EW, lmsw), [7] = ROW(M | D_PRIV, NONE, M, invlpg),
	[8] = GROUP(M | D_BY_RM, group7_reg0), [9] = GROUP(M | D_BY_RM, group7_reg1),
	[10] = GROUP(M | D_BY_RM, group7_reg2), [11] = GROUP(M | D_BY_RM, group7_reg3),
	[12] = ROW(M | D_MOV, EV16, NONE, smsw), [13] = GROUP(M | D_BY_RM, group7_reg5),
	[14] = ROW(M | D_PRIV, NONE, EW, lmsw), [15] = GROUP(M | D_BY_RM, group7_reg7),
};

static const struct insn_desc group8[8] = {
	[4] = ROW(M | D_RO, EV, IMM, bt), [5] = ROW(M | D_LOCK, EV, IMM, bts),
	[6] = ROW(M | D_LOCK, EV, IMM, btr), [7] = ROW(M | D_LOCK, EV, IMM, btc),
};

static const struct insn_desc rdpid_row[4] = {
	LEN(M), LEN(M), ROW(M | D_MOV, EY, NONE, rdpid), LEN(M),	/* others: RDSEED */
};

static const struct insn_desc group9[16] = {
	[1] = ROW(M | D_LOCK | D_MOV | D_RO, M, NONE, cmpxchg8b),
	[3] = LEN(M), [4] = LEN(M), [5] = LEN(M), [6] = LEN(M), [7] = LEN(M),
	[14] = LEN(M), [15] = GROUP(M | D_BY_PREFIX, rdpid_row),	/* RDRAND, RDSEED */
};

static const struct insn_desc clflush_row[4] = {
	ROW(M, NONE, M, clflush), ROW(M, NONE, M, clflush), LEN(M), LEN(M),
};

static const struct insn_desc clwb_row[4] = {
	LEN(M), ROW(M, NONE, M, clflush), LEN(M), LEN(M),
};

static const struct insn_desc fence_row[4] = {
	ROW(M, NONE, NONE, nop), LEN(M), LEN(M), LEN(M),
};

static const struct insn_desc group15[16] = {
	[0] = LEN(M), [1] = LEN(M), [2] = LEN(M), [3] = LEN(M), [4] = LEN(M), [5] = LEN(M),
	[6] = GROUP(M | D_BY_PREFIX, clwb_row), [7] = GROUP(M | D_BY_PREFIX, clflush_row),
	[8] = LEN(M), [9] = LEN(M), [10] = LEN(M), [11] = LEN(M), [12] = LEN(M),
	[13] = GROUP(M | D_BY_PREFIX, fence_row), [14] = GROUP(M | D_BY_PREFIX, fence_row),
	[15] = GROUP(M | D_BY_PREFIX, fence_row),
};

/* Vector moves by mandatory prefix: none, 66, F3, F2. */
#define LOAD(a)		ROWA(V | D_MOV | D_RO, NONE, NONE, vload, (a))
#define STORE(a)	ROWA(V | D_MOV | D_RO, NONE, NONE, vstore, (a))
#define NOVEX(x, a)	ROWA(M | D_MOV | D_RO, NONE, NONE, x, (a))
#define LOADM(a)	ROWA(V | D_MEM | D_MOV | D_RO, NONE, NONE, vload, (a))
#define STOREM(a)	ROWA(V | D_MEM | D_MOV | D_RO, NONE, NONE, vstore, (a))
#define NOVEXM(x, a)	ROWA(M | D_MEM | D_MOV | D_RO, NONE, NONE, x, (a))
/* Whole registers: EVEX too. */
#define LOADW(a)	ROWA(V | D_EVEX | D_MOV | D_RO, NONE, NONE, vload, (a))
#define STOREW(a)	ROWA(V | D_EVEX | D_MOV | D_RO, NONE, NONE, vstore, (a))
#define STOREWM(a)	ROWA(V | D_EVEX | D_MEM | D_MOV | D_RO, NONE, NONE, vstore, (a))
#define EVEXONLY(x)	ROWA(M | D_EVEX | D_VEXONLY | D_MOV | D_RO, NONE, NONE, x, 0)
#define BYPFX(table)	GROUP(M | D_BY_PREFIX, table)

static const struct insn_desc sse_10[4] = { LOADW(0), LOADW(0), LOAD(4), LOAD(8) };

static const struct insn_desc sse_11[4] = { STOREW(0), STOREW(0), STORE(4), STORE(8) };

static const struct insn_desc sse_12[4] = {
	LOAD(8 | VM_MERGE), LOADM(8 | VM_MERGE), LEN(M), LEN(M)
};

static const struct insn_desc sse_13[4] = { STOREM(8), STOREM(8) };

static const struct insn_desc sse_16[4] = {
	LOAD(8 | VM_HIGH | VM_MERGE), LOADM(8 | VM_HIGH | VM_MERGE), LEN(M), LEN(M)
};

static const struct insn_desc sse_17[4] = { STOREM(8 | VM_HIGH), STOREM(8 | VM_HIGH) };

static const struct insn_desc sse_28[4] = { LOADW(VM_ALIGNED), LOADW(VM_ALIGNED) };

static const struct insn_desc sse_29[4] = { STOREW(VM_ALIGNED), STOREW(VM_ALIGNED) };

/* F3 and F2: SSE4a's MOVNTSS and MOVNTSD. */
static const struct insn_desc sse_2b[4] = {
	STOREWM(VM_ALIGNED), STOREWM(VM_ALIGNED), NOVEXM(vstore, 4), NOVEXM(vstore, 8)
};

static const struct insn_desc sse_6e[4] = {
	NOVEX(vload_gpr, VM_MMX), ROW(V | D_MOV | D_RO, NONE, NONE, vload_gpr)
};

static const struct insn_desc sse_6f[4] = {
	NOVEX(vload, VM_MMX), LOADW(VM_ALIGNED), LOADW(0), EVEXONLY(vload)
};

static const struct insn_desc sse_7e[4] = {
	ROWA(M | D_MOV, EY, NONE, vstore_gpr, VM_MMX), ROW(V | D_MOV, EY, NONE, vstore_gpr), LOAD(8)
};

static const struct insn_desc sse_7f[4] = {
	NOVEX(vstore, VM_MMX), STOREW(VM_ALIGNED), STOREW(0), EVEXONLY(vstore)
};

static const struct insn_desc sse_d6[4] = { {}, STORE(8), LEN(M), LEN(M) };

static const struct insn_desc sse_e7[4] = { NOVEXM(vstore, VM_MMX), STOREWM(VM_ALIGNED) };

static const struct insn_desc sse_f0[4] = { [3] = LOADM(0) };

/* SSE4a's EXTRQ and INSERTQ share the opcode with VMREAD. */
static const struct insn_desc vmread_row[4] = {
	LEN(M), LEN(M | IMM_BB), {}, LEN(M | IMM_BB)
};

static const struct insn_desc vmwrite_row[4] = { LEN(M), LEN(M), {}, LEN(M) };

static const struct insn_desc popcnt_row[4] = { [2] = ROW(M | D_MOV, GV, EV, popcnt) };

static const struct insn_desc bsf_row[4] = {
	ROW(M, GV, EV, bsf), ROW(M, GV, EV, bsf), ROW(M | D_MOV, GV, EV, tzcnt), ROW(M, GV, EV, bsf)
};

static const struct insn_desc bsr_row[4] = {
	ROW(M, GV, EV, bsr), ROW(M, GV, EV, bsr), ROW(M | D_MOV, GV, EV, lzcnt), ROW(M, GV, EV, bsr)
};

static const struct insn_desc movnti_row[4] = { ROW(M | D_MOV, MY, GY, mov) };

const struct insn_desc insn_map_0f[256] = {
	[0x00] = GROUP(M | D_BY_REG, group6), [0x01] = GROUP(M | D_BY_REG_MOD, group7),
	[0x02] = LEN(M), [0x03] = LEN(M), [0x05] = LEN(P),
	[0x06] = ROW(P | D_PRIV, NONE, NONE, clts), [0x07] = LEN(P),
	[0x08] = ROW(P | D_PRIV, NONE, NONE, invd), [0x09] = ROW(P | D_PRIV, NONE, NONE, wbinvd),
	[0x0b] = ROW(P, NONE, NONE, ud), [0x0d] = ROW(M, NONE, NONE, nop), [0x0e] = LEN(P),
	[0x0f] = LEN(M | IMM_UB),			/* 3DNow! */

	[0x10] = BYPFX(sse_10), [0x11] = BYPFX(sse_11), [0x12] = BYPFX(sse_12),
	[0x13] = BYPFX(sse_13),
	[0x14] = LEN(M), [0x15] = LEN(M), [0x16] = BYPFX(sse_16), [0x17] = BYPFX(sse_17),
	[0x18 ... 0x1f] = ROW(M, NONE, NONE, nop),		/* PREFETCH, hint NOPs */

	[0x20] = ROW(M | D_MOD3 | D_W64 | D_LOCK, NONE, NONE, mov_from_cr),
	[0x21] = ROW(M | D_MOD3 | D_W64, NONE, NONE, mov_from_dr),
	[0x22] = ROW(M | D_MOD3 | D_W64 | D_LOCK, NONE, NONE, mov_to_cr),
	[0x23] = ROW(M | D_MOD3 | D_W64, NONE, NONE, mov_to_dr),
	[0x28] = BYPFX(sse_28), [0x29] = BYPFX(sse_29), [0x2a] = LEN(M), [0x2b] = BYPFX(sse_2b),
	[0x2c ... 0x2f] = LEN(M),

	[0x30] = ROW(P | D_PRIV, NONE, NONE, wrmsr), [0x31] = ROW(P, NONE, NONE, rdtsc),
	[0x32] = ROW(P | D_PRIV, NONE, NONE, rdmsr), [0x33] = LEN(P), [0x34] = LEN(P),
	[0x35] = LEN(P), [0x37] = LEN(P),

	[0x40 ... 0x4f] = ROW(M, GV, EV, cmov),

	[0x50 ... 0x5f] = LEN(M), [0x60 ... 0x67] = LEN(M), [0x68 ... 0x6b] = LEN(M),
	[0x6c] = LEN(M), [0x6d] = LEN(M),
	[0x6e] = BYPFX(sse_6e), [0x6f] = BYPFX(sse_6f),
	[0x70 ... 0x73] = LEN(M | IMM_UB), [0x74] = LEN(M), [0x75] = LEN(M), [0x76] = LEN(M),
	[0x77] = LEN(P),
	[0x78] = BYPFX(vmread_row), [0x79] = BYPFX(vmwrite_row), [0x7c] = LEN(M), [0x7d] = LEN(M),
	[0x7e] = BYPFX(sse_7e), [0x7f] = BYPFX(sse_7f),

	[0x80 ... 0x8f] = ROW(P | D_NEAR | IMM_REL, NONE, NONE, jcc),
	[0x90 ... 0x9f] = ROW(M | D_MOV, EB, NONE, setcc),

	[0xa0] = ROWA(P | D_STACK, NONE, NONE, push_seg, INSN_FS),
	[0xa1] = ROWA(P | D_STACK, NONE, NONE, pop_seg, INSN_FS),
	[0xa2] = ROW(P, NONE, NONE, cpuid), [0xa3] = ROW(M | D_RO | D_BITOFF, EV, GV, bt),
	[0xa4] = ROW3(M | IMM_UB, EV, GV, IMM, shld), [0xa5] = ROW3(M, EV, GV, CL, shld),
	[0xa8] = ROWA(P | D_STACK, NONE, NONE, push_seg, INSN_GS),
	[0xa9] = ROWA(P | D_STACK, NONE, NONE, pop_seg, INSN_GS),
	[0xaa] = ROW(P, NONE, NONE, rsm), [0xab] = ROW(M | D_LOCK | D_BITOFF, EV, GV, bts),
	[0xac] = ROW3(M | IMM_UB, EV, GV, IMM, shrd), [0xad] = ROW3(M, EV, GV, CL, shrd),
	[0xae] = GROUP(M | D_BY_REG_MOD, group15), [0xaf] = ROW3(M | D_MOV, GV, EV, GV, imul2),

	[0xb0] = ROW(M | D_LOCK, EB, GB, cmpxchg), [0xb1] = ROW(M | D_LOCK, EV, GV, cmpxchg),
	[0xb2] = ROWA(M, NONE, M, lseg, INSN_SS), [0xb3] = ROW(M | D_LOCK | D_BITOFF, EV, GV, btr),
	[0xb4] = ROWA(M, NONE, M, lseg, INSN_FS), [0xb5] = ROWA(M, NONE, M, lseg, INSN_GS),
	[0xb6] = ROW(M | D_MOV, GV, EB, mov), [0xb7] = ROW(M | D_MOV, GV, EW, mov),
	[0xb8] = BYPFX(popcnt_row), [0xb9] = ROW(M, NONE, NONE, ud),
	[0xba] = GROUP(M | D_BY_REG | IMM_UB, group8),
	[0xbb] = ROW(M | D_LOCK | D_BITOFF, EV, GV, btc),
	[0xbc] = BYPFX(bsf_row), [0xbd] = BYPFX(bsr_row),
	[0xbe] = ROW(M | D_MOV, GV, EB, movsx), [0xbf] = ROW(M | D_MOV, GV, EW, movsx),

	[0xc0] = ROW(M | D_LOCK, EB, GB, xadd), [0xc1] = ROW(M | D_LOCK, EV, GV, xadd),
	[0xc2] = LEN(M | IMM_UB), [0xc3] = BYPFX(movnti_row),
	[0xc4] = LEN(M | IMM_UB), [0xc5] = LEN(M | IMM_UB), [0xc6] = LEN(M | IMM_UB),
	[0xc7] = GROUP(M | D_BY_REG_MOD, group9), [0xc8 ... 0xcf] = ROW(P, ZV, NONE, bswap),

	[0xd0 ... 0xd3] = LEN(M), [0xd4] = LEN(M), [0xd5] = LEN(M), [0xd6] = BYPFX(sse_d6),
	[0xd7] = LEN(M),
	[0xd8 ... 0xdf] = LEN(M), [0xe0 ... 0xe3] = LEN(M), [0xe4] = LEN(M), [0xe5] = LEN(M),
	[0xe6] = LEN(M),
	[0xe7] = BYPFX(sse_e7), [0xe8 ... 0xef] = LEN(M),
	[0xf0] = BYPFX(sse_f0), [0xf1] = LEN(M), [0xf2] = LEN(M), [0xf3] = LEN(M),
	[0xf4 ... 0xf7] = LEN(M),
	[0xf8 ... 0xfb] = LEN(M), [0xfc] = LEN(M), [0xfd] = LEN(M), [0xfe] = LEN(M),
	[0xff] = ROW(M, NONE, NONE, ud),
};

static const struct insn_desc movntdqa_row[4] = { LEN(M), LOADM(VM_ALIGNED), LEN(M), LEN(M) };

static const struct insn_desc movbe_load[4] = {
	ROW(M | D_MOV, GV, MV, movbe), ROW(M | D_MOV, GV, MV, movbe), LEN(M), LEN(M)
};

static const struct insn_desc movbe_store[4] = {
	ROW(M | D_MOV, MV, GV, movbe), ROW(M | D_MOV, MV, GV, movbe), LEN(M), LEN(M)
};

/* BMI: VEX only. */
#define B	(D_MODRM | D_VEX | D_VEXONLY | D_MOV)

static const struct insn_desc andn_row[4] = { ROW3(B, GY, VY, EY, andn) };

static const struct insn_desc bls_group[8] = {
	[1] = ROWA(B, VY, EY, bls, 1), [2] = ROWA(B, VY, EY, bls, 2), [3] = ROWA(B, VY, EY, bls, 3),
};

static const struct insn_desc bls_row[4] = { GROUP(M | D_BY_REG, bls_group) };

static const struct insn_desc bzhi_row[4] = { ROW3(B, GY, EY, VY, bzhi), LEN(M), LEN(M), LEN(M) };

static const struct insn_desc bextr_row[4] = {
	ROW3(B, GY, EY, VY, bextr), ROW3(B, GY, EY, VY, shiftx),	/* none, SHLX */
	ROW3(B, GY, EY, VY, shiftx), ROW3(B, GY, EY, VY, shiftx),	/* SARX, SHRX */
};

static const struct insn_desc rorx_row[4] = {
	LEN(M), LEN(M), LEN(M), ROW3(B | IMM_UB, GY, EY, IMM, rorx)
};

const struct insn_sparse insn_map_0f38[] = {
	{ 0x2a, BYPFX(movntdqa_row) },
	{ 0xf0, BYPFX(movbe_load) },
	{ 0xf1, BYPFX(movbe_store) },
	{ 0xf2, BYPFX(andn_row) },
	{ 0xf3, BYPFX(bls_row) },
	{ 0xf5, BYPFX(bzhi_row) },
	{ 0xf7, BYPFX(bextr_row) },
};

const struct insn_sparse insn_map_0f3a[] = {
	{ 0xf0, GROUP(M | D_BY_PREFIX | IMM_UB, rorx_row) },
};

const unsigned int insn_map_0f38_rows = ARRAY_SIZE(insn_map_0f38);
const unsigned int insn_map_0f3a_rows = ARRAY_SIZE(insn_map_0f3a);
