// SPDX-License-Identifier: GPL-2.0-only
/* The one-byte opcode map (SDM vol. 2, table A-2; groups: table A-6). */
#include "exec.h"

#define P	D_PLAIN
#define M	D_MODRM

static const struct insn_desc binary_eb_imm[8] = {
	ROW(M | D_LOCK, EB, IMM, add), ROW(M | D_LOCK, EB, IMM, or),
	ROW(M | D_LOCK, EB, IMM, adc), ROW(M | D_LOCK, EB, IMM, sbb),
	ROW(M | D_LOCK, EB, IMM, and), ROW(M | D_LOCK, EB, IMM, sub),
	ROW(M | D_LOCK, EB, IMM, xor), ROW(M | D_RO, EB, IMM, cmp),
};

static const struct insn_desc binary_ev_imm[8] = {
	ROW(M | D_LOCK, EV, IMM, add), ROW(M | D_LOCK, EV, IMM, or),
	ROW(M | D_LOCK, EV, IMM, adc), ROW(M | D_LOCK, EV, IMM, sbb),
	ROW(M | D_LOCK, EV, IMM, and), ROW(M | D_LOCK, EV, IMM, sub),
	ROW(M | D_LOCK, EV, IMM, xor), ROW(M | D_RO, EV, IMM, cmp),
};

static const struct insn_desc pop_group[8] = {
	ROW(M | D_STACK, NONE, NONE, pop_ev),
};

static const struct insn_desc mov_eb_group[16] = {
	[0] = ROW(M | D_MOV, EB, IMM, mov),
	[8] = ROW(M | D_MOV, EB, IMM, mov),
	[15] = LEN(M),					/* XABORT */
};

static const struct insn_desc mov_ev_group[16] = {
	[0] = ROW(M | D_MOV, EV, IMM, mov),
	[8] = ROW(M | D_MOV, EV, IMM, mov),
	[15] = LEN(M | IMM_REL),			/* XBEGIN */
};

static const struct insn_desc group3_eb[8] = {
	ROW(M | IMM_B | D_RO, EB, IMM, test), ROW(M | IMM_B | D_RO, EB, IMM, test),
	ROW(M | D_LOCK, EB, NONE, not), ROW(M | D_LOCK, EB, NONE, neg),
	ROW(M, NONE, EB, mul), ROW(M, NONE, EB, imul),
	ROW(M, NONE, EB, div), ROW(M, NONE, EB, idiv),
};

static const struct insn_desc group3_ev[8] = {
	ROW(M | IMM_Z | D_RO, EV, IMM, test), ROW(M | IMM_Z | D_RO, EV, IMM, test),
	ROW(M | D_LOCK, EV, NONE, not), ROW(M | D_LOCK, EV, NONE, neg),
	ROW(M, NONE, EV, mul), ROW(M, NONE, EV, imul),
	ROW(M, NONE, EV, div), ROW(M, NONE, EV, idiv),
};

static const struct insn_desc group4[8] = {
	ROW(M | D_LOCK, EB, NONE, inc), ROW(M | D_LOCK, EB, NONE, dec),
};

static const struct insn_desc group5[8] = {
	ROW(M | D_LOCK, EV, NONE, inc), ROW(M | D_LOCK, EV, NONE, dec),
	ROW(M | D_NEAR, NONE, EV, call_abs), ROW(M, NONE, M, call_far_mem),
	ROW(M | D_NEAR, NONE, EV, jmp_abs), ROW(M, NONE, M, jmp_far_mem),
	ROW(M | D_STACK, NONE, EV, push),
};

/* CS cannot be loaded so, and there are no more than six. */
static const struct insn_desc mov_to_seg_group[8] = {
	[INSN_ES] = ROW(M, NONE, EW, mov_to_seg), [INSN_SS] = ROW(M, NONE, EW, mov_to_seg),
	[INSN_DS] = ROW(M, NONE, EW, mov_to_seg), [INSN_FS] = ROW(M, NONE, EW, mov_to_seg),
	[INSN_GS] = ROW(M, NONE, EW, mov_to_seg),
	[INSN_CS] = ROW(M, NONE, NONE, ud),
	[6] = ROW(M, NONE, NONE, ud), [7] = ROW(M, NONE, NONE, ud),
};

const struct insn_desc insn_map_1b[256] = {
	[0x00] = ROW(M | D_LOCK, EB, GB, add), [0x01] = ROW(M | D_LOCK, EV, GV, add),
	[0x02] = ROW(M, GB, EB, add), [0x03] = ROW(M, GV, EV, add),
	[0x04] = ROW(P | IMM_B, AL, IMM, add), [0x05] = ROW(P | IMM_Z, AX, IMM, add),
	[0x08] = ROW(M | D_LOCK, EB, GB, or), [0x09] = ROW(M | D_LOCK, EV, GV, or),
	[0x0a] = ROW(M, GB, EB, or), [0x0b] = ROW(M, GV, EV, or),
	[0x0c] = ROW(P | IMM_B, AL, IMM, or), [0x0d] = ROW(P | IMM_Z, AX, IMM, or),
	[0x10] = ROW(M | D_LOCK, EB, GB, adc), [0x11] = ROW(M | D_LOCK, EV, GV, adc),
	[0x12] = ROW(M, GB, EB, adc), [0x13] = ROW(M, GV, EV, adc),
	[0x14] = ROW(P | IMM_B, AL, IMM, adc), [0x15] = ROW(P | IMM_Z, AX, IMM, adc),
	[0x18] = ROW(M | D_LOCK, EB, GB, sbb), [0x19] = ROW(M | D_LOCK, EV, GV, sbb),
	[0x1a] = ROW(M, GB, EB, sbb), [0x1b] = ROW(M, GV, EV, sbb),
	[0x1c] = ROW(P | IMM_B, AL, IMM, sbb), [0x1d] = ROW(P | IMM_Z, AX, IMM, sbb),
	[0x20] = ROW(M | D_LOCK, EB, GB, and), [0x21] = ROW(M | D_LOCK, EV, GV, and),
	[0x22] = ROW(M, GB, EB, and), [0x23] = ROW(M, GV, EV, and),
	[0x24] = ROW(P | IMM_B, AL, IMM, and), [0x25] = ROW(P | IMM_Z, AX, IMM, and),
	[0x28] = ROW(M | D_LOCK, EB, GB, sub), [0x29] = ROW(M | D_LOCK, EV, GV, sub),
	[0x2a] = ROW(M, GB, EB, sub), [0x2b] = ROW(M, GV, EV, sub),
	[0x2c] = ROW(P | IMM_B, AL, IMM, sub), [0x2d] = ROW(P | IMM_Z, AX, IMM, sub),
	[0x30] = ROW(M | D_LOCK, EB, GB, xor), [0x31] = ROW(M | D_LOCK, EV, GV, xor),
	[0x32] = ROW(M, GB, EB, xor), [0x33] = ROW(M, GV, EV, xor),
	[0x34] = ROW(P | IMM_B, AL, IMM, xor), [0x35] = ROW(P | IMM_Z, AX, IMM, xor),
	[0x38] = ROW(M | D_RO, EB, GB, cmp), [0x39] = ROW(M | D_RO, EV, GV, cmp),
	[0x3a] = ROW(M | D_RO, GB, EB, cmp), [0x3b] = ROW(M | D_RO, GV, EV, cmp),
	[0x3c] = ROW(P | D_RO | IMM_B, AL, IMM, cmp), [0x3d] = ROW(P | D_RO | IMM_Z, AX, IMM, cmp),

	[0x06] = ROWA(P | D_NO64, NONE, NONE, push_seg, INSN_ES),
	[0x07] = ROWA(P | D_NO64, NONE, NONE, pop_seg, INSN_ES),
	[0x0e] = ROWA(P | D_NO64, NONE, NONE, push_seg, INSN_CS),
	[0x16] = ROWA(P | D_NO64, NONE, NONE, push_seg, INSN_SS),
	[0x17] = ROWA(P | D_NO64, NONE, NONE, pop_seg, INSN_SS),
	[0x1e] = ROWA(P | D_NO64, NONE, NONE, push_seg, INSN_DS),
	[0x1f] = ROWA(P | D_NO64, NONE, NONE, pop_seg, INSN_DS),
	[0x27] = ROW(P | D_NO64, NONE, NONE, daa), [0x2f] = ROW(P | D_NO64, NONE, NONE, das),
	[0x37] = ROW(P | D_NO64, NONE, NONE, aaa), [0x3f] = ROW(P | D_NO64, NONE, NONE, aas),

	[0x40 ... 0x47] = ROW(P | D_NO64, ZV, NONE, inc),
	[0x48 ... 0x4f] = ROW(P | D_NO64, ZV, NONE, dec),
	[0x50 ... 0x57] = ROW(P | D_STACK, NONE, ZV, push),
	[0x58 ... 0x5f] = ROW(P | D_STACK | D_MOV, ZV, NONE, pop),

	[0x60] = ROW(P | D_NO64, NONE, NONE, pusha), [0x61] = ROW(P | D_NO64, NONE, NONE, popa),
	[0x62] = LEN(M | D_NO64),			/* BOUND */
	[0x63] = ROW(M | D_MOV, GV, NONE, movsxd),	/* or ARPL */
	[0x68] = ROW(P | D_STACK | IMM_Z, NONE, IMM, push),
	[0x69] = ROW3(M | D_MOV | IMM_Z, GV, EV, IMM, imul2),
	[0x6a] = ROW(P | D_STACK | IMM_B, NONE, IMM, push),
	[0x6b] = ROW3(M | D_MOV | IMM_B, GV, EV, IMM, imul2),
	[0x6c] = ROW(P | D_STRING | D_BYTE, NONE, NONE, ins),
	[0x6d] = ROW(P | D_STRING, NONE, NONE, ins),
	[0x6e] = ROW(P | D_STRING | D_BYTE, NONE, NONE, outs),
	[0x6f] = ROW(P | D_STRING, NONE, NONE, outs),
	[0x70 ... 0x7f] = ROW(P | D_NEAR | IMM_B, NONE, NONE, jcc),

	[0x80] = GROUP(M | D_BY_REG | IMM_B, binary_eb_imm),
	[0x81] = GROUP(M | D_BY_REG | IMM_Z, binary_ev_imm),
	[0x82] = GROUP(M | D_BY_REG | D_NO64 | IMM_B, binary_eb_imm),
	[0x83] = GROUP(M | D_BY_REG | IMM_B, binary_ev_imm),
	[0x84] = ROW(M | D_RO, EB, GB, test), [0x85] = ROW(M | D_RO, EV, GV, test),
	[0x86] = ROW(M | D_LOCK | D_XLOCK, EB, GB, xchg),
	[0x87] = ROW(M | D_LOCK | D_XLOCK, EV, GV, xchg),
	[0x88] = ROW(M | D_MOV, EB, GB, mov), [0x89] = ROW(M | D_MOV, EV, GV, mov),
	[0x8a] = ROW(M | D_MOV, GB, EB, mov), [0x8b] = ROW(M | D_MOV, GV, EV, mov),
	[0x8c] = ROW(M | D_MOV, EV16, NONE, mov_from_seg),
	[0x8d] = ROW(M | D_MOV, GV, M, lea),
	[0x8e] = GROUP(M | D_BY_REG, mov_to_seg_group),
	[0x8f] = GROUP(M | D_BY_REG, pop_group),

	[0x90] = ROW(P, NONE, NONE, pause),		/* NOP, PAUSE, XCHG r8 */
	[0x91 ... 0x97] = ROW(P, ZV, AX, xchg),
	[0x98] = ROW(P, NONE, NONE, cbw), [0x99] = ROW(P, NONE, NONE, cwd),
	[0x9a] = ROW(P | D_NO64 | IMM_FAR, NONE, NONE, call_far),
	[0x9b] = LEN(P),				/* FWAIT */
	[0x9c] = ROW(P | D_STACK, NONE, NONE, pushf), [0x9d] = ROW(P | D_STACK, NONE, NONE, popf),
	[0x9e] = ROW(P, NONE, NONE, sahf), [0x9f] = ROW(P, NONE, NONE, lahf),

	[0xa0] = ROW(P | D_MOV | IMM_MOFFS, AL, OB, mov),
	[0xa1] = ROW(P | D_MOV | IMM_MOFFS, AX, OV, mov),
	[0xa2] = ROW(P | D_MOV | IMM_MOFFS, OB, AL, mov),
	[0xa3] = ROW(P | D_MOV | IMM_MOFFS, OV, AX, mov),
	[0xa4] = ROW(P | D_STRING | D_BYTE, NONE, NONE, movs),
	[0xa5] = ROW(P | D_STRING, NONE, NONE, movs),
	[0xa6] = ROW(P | D_STRING | D_BYTE, NONE, NONE, cmps),
	[0xa7] = ROW(P | D_STRING, NONE, NONE, cmps),
	[0xa8] = ROW(P | D_RO | IMM_B, AL, IMM, test),
	[0xa9] = ROW(P | D_RO | IMM_Z, AX, IMM, test),
	[0xaa] = ROW(P | D_STRING | D_BYTE, NONE, NONE, stos),
	[0xab] = ROW(P | D_STRING, NONE, NONE, stos),
	[0xac] = ROW(P | D_STRING | D_BYTE, NONE, NONE, lods),
	[0xad] = ROW(P | D_STRING, NONE, NONE, lods),
	[0xae] = ROW(P | D_STRING | D_BYTE, NONE, NONE, scas),
	[0xaf] = ROW(P | D_STRING, NONE, NONE, scas),
	[0xb0 ... 0xb7] = ROW(P | D_MOV | IMM_B, ZB, IMM, mov),
	[0xb8 ... 0xbf] = ROW(P | D_MOV | IMM_V, ZV, IMM, mov),

	[0xc0] = ROW(M | IMM_UB, EB, IMM, shift),
	[0xc1] = ROW(M | IMM_UB, EV, IMM, shift),
	[0xc2] = ROW(P | D_NEAR | IMM_W, NONE, NONE, ret),
	[0xc3] = ROW(P | D_NEAR, NONE, NONE, ret),
	[0xc4] = ROWA(M | D_NO64, NONE, M, lseg, INSN_ES),
	[0xc5] = ROWA(M | D_NO64, NONE, M, lseg, INSN_DS),
	[0xc6] = GROUP(M | D_BY_REG_MOD | IMM_B, mov_eb_group),
	[0xc7] = GROUP(M | D_BY_REG_MOD | IMM_Z, mov_ev_group),
	[0xc8] = ROW(P | D_STACK | IMM_ENTER, NONE, NONE, enter),
	[0xc9] = ROW(P | D_STACK, NONE, NONE, leave),
	[0xca] = ROW(P | IMM_W, NONE, NONE, retf), [0xcb] = ROW(P, NONE, NONE, retf),
	/* INT3, INT n, INTO */
	[0xcc] = LEN(P), [0xcd] = LEN(P | IMM_UB), [0xce] = LEN(P | D_NO64),
	[0xcf] = ROW(P, NONE, NONE, iret),

	[0xd0] = ROW(M, EB, ONE, shift), [0xd1] = ROW(M, EV, ONE, shift),
	[0xd2] = ROW(M, EB, CL, shift), [0xd3] = ROW(M, EV, CL, shift),
	[0xd4] = ROW(P | D_NO64 | IMM_UB, NONE, IMM, aam),
	[0xd5] = ROW(P | D_NO64 | IMM_UB, NONE, IMM, aad),
	[0xd6] = ROW(P | D_NO64, NONE, NONE, salc),
	[0xd7] = ROW(P, NONE, NONE, xlat),
	[0xd8 ... 0xdf] = LEN(M),				/* x87 */

	[0xe0] = ROW(P | D_NEAR | IMM_B, NONE, NONE, loop),
	[0xe1] = ROW(P | D_NEAR | IMM_B, NONE, NONE, loop),
	[0xe2] = ROW(P | D_NEAR | IMM_B, NONE, NONE, loop),
	[0xe3] = ROW(P | D_NEAR | IMM_B, NONE, NONE, jcxz),
	[0xe4] = ROWA(P | IMM_UB, NONE, IMM, in, 1), [0xe5] = ROW(P | IMM_UB, NONE, IMM, in),
	[0xe6] = ROWA(P | IMM_UB, NONE, IMM, out, 1), [0xe7] = ROW(P | IMM_UB, NONE, IMM, out),
	[0xe8] = ROW(P | D_NEAR | IMM_REL, NONE, NONE, call_rel),
	[0xe9] = ROW(P | D_NEAR | IMM_REL, NONE, NONE, jmp_rel),
	[0xea] = ROW(P | D_NO64 | IMM_FAR, NONE, NONE, jmp_far),
	[0xeb] = ROW(P | D_NEAR | IMM_B, NONE, NONE, jmp_rel),
	[0xec] = ROWA(P, NONE, DX, in, 1), [0xed] = ROW(P, NONE, DX, in),
	[0xee] = ROWA(P, NONE, DX, out, 1), [0xef] = ROW(P, NONE, DX, out),

	[0xf1] = LEN(P),				/* INT1 */
	[0xf4] = ROW(P | D_PRIV, NONE, NONE, hlt),
	[0xf5] = ROWA(P, NONE, NONE, flag_op, FLAG_CMC),
	[0xf6] = GROUP(M | D_BY_REG, group3_eb), [0xf7] = GROUP(M | D_BY_REG, group3_ev),
	[0xf8] = ROWA(P, NONE, NONE, flag_op, FLAG_CLC),
	[0xf9] = ROWA(P, NONE, NONE, flag_op, FLAG_STC),
	[0xfa] = ROW(P, NONE, NONE, cli), [0xfb] = ROW(P, NONE, NONE, sti),
	[0xfc] = ROWA(P, NONE, NONE, flag_op, FLAG_CLD),
	[0xfd] = ROWA(P, NONE, NONE, flag_op, FLAG_STD),
	[0xfe] = GROUP(M | D_BY_REG, group4), [0xff] = GROUP(M | D_BY_REG, group5),
};
