/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handlers of the opcode tables. The driver (emulate.c) has loaded src, src2
 * and, unless D_MOV, dst; it stores dst afterwards unless D_RO. A handler
 * leaves registers and flags in the context and returns enum insn_result.
 */
#ifndef VMM_INSN_EXEC_H
#define VMM_INSN_EXEC_H

#include "internal.h"

typedef int insn_handler(struct insn_ctx *ctx);

insn_handler insn_exec_add, insn_exec_or, insn_exec_adc, insn_exec_sbb;
insn_handler insn_exec_and, insn_exec_sub, insn_exec_xor, insn_exec_cmp;
insn_handler insn_exec_test, insn_exec_inc, insn_exec_dec, insn_exec_not;
insn_handler insn_exec_neg, insn_exec_mul, insn_exec_imul, insn_exec_imul2;
insn_handler insn_exec_div, insn_exec_idiv, insn_exec_shift, insn_exec_shld;
insn_handler insn_exec_shrd, insn_exec_bt, insn_exec_bts, insn_exec_btr;
insn_handler insn_exec_btc, insn_exec_bsf, insn_exec_bsr, insn_exec_tzcnt;
insn_handler insn_exec_lzcnt, insn_exec_popcnt, insn_exec_cmpxchg;
insn_handler insn_exec_cmpxchg8b, insn_exec_xadd, insn_exec_bswap;
insn_handler insn_exec_daa, insn_exec_das, insn_exec_aaa, insn_exec_aas;
insn_handler insn_exec_aam, insn_exec_aad, insn_exec_andn, insn_exec_bextr;
insn_handler insn_exec_bls, insn_exec_bzhi, insn_exec_shiftx, insn_exec_rorx;
insn_handler insn_exec_mov, insn_exec_movsx, insn_exec_movsxd;
insn_handler insn_exec_movbe, insn_exec_xchg, insn_exec_lea, insn_exec_cmov;
insn_handler insn_exec_setcc, insn_exec_cbw, insn_exec_cwd, insn_exec_xlat;
insn_handler insn_exec_push, insn_exec_pop, insn_exec_pop_ev, insn_exec_pusha;
insn_handler insn_exec_popa, insn_exec_pushf, insn_exec_popf, insn_exec_enter;
insn_handler insn_exec_leave, insn_exec_push_seg, insn_exec_pop_seg;
insn_handler insn_exec_mov_from_seg, insn_exec_mov_to_seg, insn_exec_lseg;
insn_handler insn_exec_jmp_rel, insn_exec_jmp_abs, insn_exec_jcc;
insn_handler insn_exec_call_rel, insn_exec_call_abs, insn_exec_ret;
insn_handler insn_exec_loop, insn_exec_jcxz, insn_exec_jmp_far;
insn_handler insn_exec_jmp_far_mem, insn_exec_call_far;
insn_handler insn_exec_call_far_mem, insn_exec_retf, insn_exec_iret;
insn_handler insn_exec_flag_op, insn_exec_cli, insn_exec_sti, insn_exec_lahf;
insn_handler insn_exec_sahf, insn_exec_salc, insn_exec_nop, insn_exec_pause;
insn_handler insn_exec_ud, insn_exec_clac, insn_exec_in, insn_exec_out;
insn_handler insn_exec_ins, insn_exec_outs, insn_exec_movs, insn_exec_cmps;
insn_handler insn_exec_stos, insn_exec_lods, insn_exec_scas, insn_exec_hlt;
insn_handler insn_exec_cpuid, insn_exec_rdmsr, insn_exec_wrmsr;
insn_handler insn_exec_rdtsc, insn_exec_rdtscp, insn_exec_rdpid, insn_exec_invd;
insn_handler insn_exec_wbinvd, insn_exec_invlpg, insn_exec_hypercall;
insn_handler insn_exec_clts, insn_exec_lmsw, insn_exec_smsw;
insn_handler insn_exec_mov_from_cr, insn_exec_mov_to_cr;
insn_handler insn_exec_mov_from_dr, insn_exec_mov_to_dr, insn_exec_xgetbv;
insn_handler insn_exec_xsetbv, insn_exec_swapgs, insn_exec_monitor;
insn_handler insn_exec_mwait, insn_exec_sgdt, insn_exec_sidt, insn_exec_lgdt;
insn_handler insn_exec_lidt, insn_exec_sldt, insn_exec_str, insn_exec_clflush;
insn_handler insn_exec_vload, insn_exec_vstore, insn_exec_vload_gpr;
insn_handler insn_exec_vstore_gpr, insn_exec_rsm;

/* aux of flag_op: what becomes of which flag */
enum { FLAG_CLC, FLAG_STC, FLAG_CMC, FLAG_CLD, FLAG_STD };

/* aux of vload and vstore: low bits, the bytes moved; 0: vector length */
#define VM_SIZE		0x1f
#define VM_ALIGNED	BIT(5)	/* #GP unless memory is aligned to the size */
#define VM_HIGH		BIT(6)	/* the upper 8 bytes of the low 16 */
#define VM_MERGE	BIT(7)	/* the load keeps the rest (VEX: takes it from vvvv) */
#define VM_MMX		0x1f	/* as size: 8 bytes of an MMX register */

/* Rows of the tables. */
#define ROW(f, d, s, x) \
	{ .flags = (f), .dst = SP_##d, .src = SP_##s, .exec = insn_exec_##x }
#define ROW3(f, d, s, s2, x) \
	{ .flags = (f), .dst = SP_##d, .src = SP_##s, .src2 = SP_##s2, .exec = insn_exec_##x }
#define ROWA(f, d, s, x, a) \
	{ .flags = (f), .dst = SP_##d, .src = SP_##s, .exec = insn_exec_##x, .aux = (a) }
#define LEN(f)			{ .flags = (f) }
#define GROUP(f, table)		{ .flags = (f), .group = (table) }

#endif
