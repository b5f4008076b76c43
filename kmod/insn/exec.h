/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handlers of the opcode tables. The driver (emulate.c) has loaded src, src2
 * and, unless D_MOV, dst; it stores dst afterwards unless D_RO. A handler
 * leaves registers and flags in the context and returns enum insn_result.
 */
#ifndef VMM_INSN_EXEC_H
#define VMM_INSN_EXEC_H

#include "internal.h"

#define INSN_HANDLERS(X) \
	X(add) X(or) X(adc) X(sbb) X(and) X(sub) X(xor) X(cmp) X(test) \
	X(inc) X(dec) X(not) X(neg) X(mul) X(imul) X(imul2) X(div) X(idiv) \
	X(rol) X(ror) X(rcl) X(rcr) X(shl) X(shr) X(sar) X(shld) X(shrd) \
	X(bt) X(bts) X(btr) X(btc) X(bsf) X(bsr) X(tzcnt) X(lzcnt) X(popcnt) \
	X(cmpxchg) X(cmpxchg8b) X(xadd) X(bswap) \
	X(daa) X(das) X(aaa) X(aas) X(aam) X(aad) \
	X(andn) X(bextr) X(bls) X(bzhi) X(shiftx) X(rorx) \
	X(mov) X(movsx) X(movsxd) X(movbe) X(xchg) X(lea) X(cmov) X(setcc) X(cbw) X(cwd) X(xlat) \
	X(push) X(pop) X(pop_ev) X(pusha) X(popa) X(pushf) X(popf) X(enter) X(leave) \
	X(push_seg) X(pop_seg) X(mov_from_seg) X(mov_to_seg) X(lseg) \
	X(jmp_rel) X(jmp_abs) X(jcc) X(call_rel) X(call_abs) X(ret) X(loop) X(jcxz) \
	X(jmp_far) X(jmp_far_mem) X(call_far) X(call_far_mem) X(retf) X(iret) \
	X(flag_op) X(cli) X(sti) X(lahf) X(sahf) X(salc) X(nop) X(pause) X(ud) X(clac) \
	X(in) X(out) X(ins) X(outs) X(movs) X(cmps) X(stos) X(lods) X(scas) \
	X(hlt) X(cpuid) X(rdmsr) X(wrmsr) X(rdtsc) X(rdtscp) X(invd) X(wbinvd) X(invlpg) \
	X(hypercall) X(clts) X(lmsw) X(smsw) X(mov_from_cr) X(mov_to_cr) \
	X(mov_from_dr) X(mov_to_dr) X(xgetbv) X(xsetbv) X(swapgs) X(monitor) X(mwait) \
	X(sgdt) X(sidt) X(lgdt) X(lidt) X(sldt) X(str) X(clflush) \
	X(vload) X(vstore) X(vload_gpr) X(vstore_gpr)

#define INSN_DECLARE(name) int insn_exec_##name(struct insn_ctx *ctx);
INSN_HANDLERS(INSN_DECLARE)
#undef INSN_DECLARE

/* aux of X(flag_op): what becomes of which flag */
enum { FLAG_CLC, FLAG_STC, FLAG_CMC, FLAG_CLD, FLAG_STD };

/* aux of X(vload), X(vstore): low bits, the bytes moved; 0: vector length */
#define VM_SIZE		0x1f
#define VM_ALIGNED	BIT(5)	/* #GP unless memory is aligned to the size */
#define VM_HIGH		BIT(6)	/* the upper 8 bytes of the low 16 */
#define VM_MERGE	BIT(7)	/* the load keeps the rest (VEX: takes it from vvvv) */
#define VM_MMX		0x1f	/* as size: 8 bytes of an MMX register */

/* Rows of the tables. */
#define ROW(f, d, s, x)		{ .flags = (f), .dst = SP_##d, .src = SP_##s, .exec = insn_exec_##x }
#define ROW3(f, d, s, s2, x) \
	{ .flags = (f), .dst = SP_##d, .src = SP_##s, .src2 = SP_##s2, .exec = insn_exec_##x }
#define ROWA(f, d, s, x, a) \
	{ .flags = (f), .dst = SP_##d, .src = SP_##s, .exec = insn_exec_##x, .aux = (a) }
#define LEN(f)			{ .flags = (f) }
#define GROUP(f, table)		{ .flags = (f), .group = (table) }

#endif
