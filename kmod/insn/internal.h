/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of insn/ share; nobody else includes this. */
#ifndef VMM_INSN_INTERNAL_H
#define VMM_INSN_INTERNAL_H

#include "insn.h"

/* Exceptions. */
enum {
	EXC_DE = 0, EXC_UD = 6, EXC_NM = 7, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12,
	EXC_GP = 13, EXC_PF = 14, EXC_AC = 17,
};

/* RFLAGS. */
#define FL_CF	BIT_ULL(0)
#define FL_ONE	BIT_ULL(1)
#define FL_PF	BIT_ULL(2)
#define FL_AF	BIT_ULL(4)
#define FL_ZF	BIT_ULL(6)
#define FL_SF	BIT_ULL(7)
#define FL_TF	BIT_ULL(8)
#define FL_IF	BIT_ULL(9)
#define FL_DF	BIT_ULL(10)
#define FL_OF	BIT_ULL(11)
#define FL_IOPL	(3ULL << 12)
#define FL_NT	BIT_ULL(14)
#define FL_RF	BIT_ULL(16)
#define FL_VM	BIT_ULL(17)
#define FL_AC	BIT_ULL(18)
#define FL_VIF	BIT_ULL(19)
#define FL_VIP	BIT_ULL(20)
#define FL_ID	BIT_ULL(21)
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

#define CR0_PE	BIT_ULL(0)
#define CR0_MP	BIT_ULL(1)
#define CR0_EM	BIT_ULL(2)
#define CR0_TS	BIT_ULL(3)
#define CR0_AM	BIT_ULL(18)
#define CR0_PG	BIT_ULL(31)
#define CR4_VME	BIT_ULL(0)
#define CR4_TSD	BIT_ULL(2)
#define CR4_DE	BIT_ULL(3)
#define CR4_PCE	BIT_ULL(8)
#define CR4_OSFXSR BIT_ULL(9)
#define CR4_UMIP BIT_ULL(11)
#define CR4_OSXSAVE BIT_ULL(18)
#define CR4_SMAP BIT_ULL(21)

/* The immediate that follows ModRM and displacement. */
enum insn_imm {
	IMM_NONE,
	IMM_B,			/* 8 bits, sign-extended */
	IMM_UB,			/* 8 bits, zero-extended */
	IMM_W,			/* 16 bits, zero-extended */
	IMM_Z,			/* 16 or 32 bits by operand size, sign-extended */
	IMM_V,			/* 16, 32 or 64 bits by operand size */
	IMM_D,			/* 32 bits */
	IMM_REL,		/* as IMM_Z, but 32 bits whatever prefixes say in 64-bit mode */
	IMM_MOFFS,		/* by address size */
	IMM_FAR,		/* offset as IMM_Z, 16 bits of selector */
	IMM_ENTER,		/* 16 bits, then 8 */
	IMM_BB,			/* two times 8 bits */
};

#define D_IMM		0xfu		/* mask of enum insn_imm */
#define D_PLAIN		BIT(4)		/* no ModRM */
#define D_MODRM		BIT(5)
#define D_MOD3		BIT(6)		/* ModRM.mod is taken for 3 (MOV CR, DR) */
#define D_STACK		BIT(7)		/* operand size is 64 by default in 64-bit mode */
#define D_NEAR		BIT(8)		/* operand size is 64 always in 64-bit mode */
#define D_NO64		BIT(9)
#define D_LOCK		BIT(10)		/* LOCK allowed, if the destination is memory */
#define D_MOV		BIT(11)		/* the destination is not read */
#define D_RO		BIT(12)		/* the destination is not written */
#define D_PRIV		BIT(13)		/* CPL 0 only */
#define D_STRING	BIT(14)		/* REP counts */
#define D_VEX		BIT(15)		/* the row is good for VEX too */
#define D_XLOCK		BIT(16)		/* locked even without the prefix (XCHG) */
#define D_BYTE		BIT(17)		/* string instruction on bytes */
#define D_PROT		BIT(18)		/* #UD in real and virtual-8086 mode */
#define D_W64		BIT(19)		/* operand size is 32, or 64 in 64-bit mode, always */
/* The row is a table of further rows: */
#define D_BY_REG	BIT(20)		/* 8 by ModRM.reg */
#define D_BY_REG_MOD	BIT(21)		/* 16: as above, the second 8 if mod = 3 */
#define D_BY_RM		BIT(22)		/* 8 by ModRM.rm */
#define D_BY_PREFIX	BIT(23)		/* 4: none, 66, F3, F2 */
#define D_VEXONLY	BIT(24)
#define D_BITOFF	BIT(25)		/* BT: the source reaches beyond the memory operand */
#define D_MEM		BIT(26)		/* #UD with a register */
#define D_EVEX		BIT(27)		/* good for EVEX, unmasked; disp8 in vectors */
#define D_GROUP		(D_BY_REG | D_BY_REG_MOD | D_BY_RM | D_BY_PREFIX)

/* Where an operand comes from. E: ModRM.rm, G: ModRM.reg. */
enum insn_spec {
	SP_NONE,
	SP_EB, SP_EW, SP_ED, SP_EV, SP_EY,	/* Y: 8 bytes with REX.W, else 4 */
	SP_EV16,	/* register: operand size; memory: 2 bytes */
	SP_MV,		/* memory of operand size only */
	SP_MY,		/* memory, as SP_EY */
	SP_M,		/* memory, only its address; not accessed by the driver */
	SP_GB, SP_GW, SP_GV, SP_GY,
	SP_ZB, SP_ZV, SP_ZS,	/* register in the opcode; S: with D_STACK size */
	SP_AL, SP_AX, SP_CL, SP_DX, SP_VY,
	SP_ONE, SP_IMM,
	SP_OB, SP_OV,	/* memory at the absolute offset in the instruction */
	SP_SREG,	/* selector value of segment ModRM.reg */
};

enum insn_operand_kind { OPND_NONE, OPND_REG, OPND_MEM, OPND_IMM };

struct insn_desc {
	u32 flags;		/* D_*; 0: undefined opcode */
	u8 dst, src, src2;	/* enum insn_spec */
	u8 aux;			/* for the handler */
	union {
		int (*exec)(struct insn_ctx *ctx);	/* NULL: length only */
		const struct insn_desc *group;
	};
};

extern const struct insn_desc insn_map_1b[256];
extern const struct insn_desc insn_map_0f[256];

/* Rows of the sparse maps 0F38 and 0F3A. */
struct insn_sparse {
	u8 opcode;
	struct insn_desc desc;
};

extern const struct insn_sparse insn_map_0f38[];
extern const struct insn_sparse insn_map_0f3a[];
extern const unsigned int insn_map_0f38_rows, insn_map_0f3a_rows;

static inline bool insn_long(const struct insn_ctx *ctx)
{
	return ctx->mode == INSN_LONG;
}

/* The register in VEX.vvvv: its top bit counts in 64-bit mode only. */
static inline unsigned int insn_vvvv(const struct insn_ctx *ctx)
{
	return ctx->insn.vvvv & (insn_long(ctx) ? 15 : 7);
}

static inline bool insn_real_like(const struct insn_ctx *ctx)
{
	return ctx->mode == INSN_REAL || ctx->mode == INSN_VM86;
}

static inline u64 insn_mask(unsigned int size)
{
	return size >= 8 ? ~0ULL : BIT_ULL(size * 8) - 1;
}

static inline u64 insn_sext(u64 val, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return size >= 8 ? val : (u64)((s64)(val << shift) >> shift);
}

/* state.c: faults, and registers as the instruction sees and leaves them */
int insn_raise(struct insn_ctx *ctx, unsigned int vector);
int insn_raise_code(struct insn_ctx *ctx, unsigned int vector, u32 code);
int insn_gp0(struct insn_ctx *ctx);
int insn_ud(struct insn_ctx *ctx);
u64 insn_get(struct insn_ctx *ctx, unsigned int reg);
void insn_set(struct insn_ctx *ctx, unsigned int reg, u64 val);
void insn_set_sized(struct insn_ctx *ctx, unsigned int reg, u64 val, unsigned int size);
u64 insn_flags(struct insn_ctx *ctx);
void insn_change_flags(struct insn_ctx *ctx, u64 mask, u64 val);
const struct insn_segment *insn_seg(struct insn_ctx *ctx, unsigned int seg);
void insn_put_seg(struct insn_ctx *ctx, unsigned int seg, const struct insn_segment *s);
unsigned int insn_cpl(struct insn_ctx *ctx);
bool insn_cond(struct insn_ctx *ctx, unsigned int cc);
void insn_begin(struct insn_ctx *ctx);
int insn_commit(struct insn_ctx *ctx);

/* mem.c: accesses through the log */
int insn_linear(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int len,
		unsigned int acc, u64 *linear);
int insn_check_aligned(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int len,
		       unsigned int acc);
bool insn_canonical(const struct insn_ctx *ctx, u64 linear);
int insn_mem_read(struct insn_ctx *ctx, unsigned int seg, u64 ea, void *buf,
		  unsigned int len, unsigned int acc);
int insn_mem_read_far(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int size,
		      u64 *offset, u16 *selector);
int insn_mem_write(struct insn_ctx *ctx, unsigned int seg, u64 ea, const void *buf,
		   unsigned int len);
int insn_mem_probe(struct insn_ctx *ctx, unsigned int seg, u64 ea, unsigned int len,
		   unsigned int acc);
int insn_mem_cmpxchg(struct insn_ctx *ctx, unsigned int seg, u64 ea, const void *old,
		     const void *new, unsigned int len);
int insn_sys_read(struct insn_ctx *ctx, u64 linear, void *buf, unsigned int len);
int insn_sys_write(struct insn_ctx *ctx, u64 linear, const void *buf, unsigned int len);
int insn_pio(struct insn_ctx *ctx, bool in, u16 port, unsigned int size, u64 *val);
bool insn_bulk_resumed(struct insn_ctx *ctx, unsigned int *count);
int insn_bulk_decided(struct insn_ctx *ctx, unsigned int count);
int insn_fetch_decode(struct insn_ctx *ctx);

/* operand.c */
u64 insn_ea(struct insn_ctx *ctx);
int insn_resolve(struct insn_ctx *ctx, struct insn_operand *op, unsigned int spec);
int insn_load(struct insn_ctx *ctx, struct insn_operand *op, unsigned int acc);
int insn_store(struct insn_ctx *ctx, struct insn_operand *op, u64 old, bool lock);

/* stack.c */
int insn_push(struct insn_ctx *ctx, u64 val, unsigned int size);
int insn_pop(struct insn_ctx *ctx, u64 *val, unsigned int size);
unsigned int insn_sp_size(struct insn_ctx *ctx);

/* segment.c. The linear address of a selector's descriptor, or #GP(selector). */
int insn_find_descriptor(struct insn_ctx *ctx, u16 selector, u64 *linear);
void insn_unpack_descriptor(u64 desc, u16 selector, struct insn_segment *s);
/* CS in real and virtual-8086 mode only. */
int insn_load_sreg(struct insn_ctx *ctx, unsigned int seg, u16 selector);
int insn_io_allowed(struct insn_ctx *ctx, u16 port, unsigned int size);

/* exec_*.c: shared by handlers */
int insn_jump(struct insn_ctx *ctx, u64 target);
void insn_compare(struct insn_ctx *ctx, u64 a, u64 b, unsigned int size);
bool insn_iopl_ok(struct insn_ctx *ctx);

#endif
