/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * x86 instruction decoder and emulator: the interface.
 *
 * The emulator knows the guest only through struct insn_ops. It executes one
 * instruction (for REP string instructions: one element, or one batch of
 * INS/OUTS) per call of insn_emulate().
 *
 * How an access that user space must serve is resumed
 * ---------------------------------------------------
 * An op that cannot finish now records its request and returns INSN_USER.
 * insn_emulate() then returns INSN_USER with no guest state changed. When the
 * answer is there, insn_emulate() is called again with the same, untouched
 * context. The instruction is then executed anew from its saved bytes:
 *
 *  - The sequence of memory and port accesses of an instruction is a function
 *    of its bytes, the registers and the data read only. Every access that has
 *    completed is kept in the context's log, and is answered from the log
 *    without a call of an op: an op is called once for each access it finished.
 *  - So the first op to be called with side effects is the one that returned
 *    INSN_USER, with the same arguments. It must now deliver its data (or
 *    accept its write as done) and return INSN_OK. An op has to remember one
 *    pending request at most.
 *  - Ops without side effects (get_*, probe) may be called again in between.
 *
 * All reads come first, then the computation, then the writes, then the
 * registers, so that a fault or INSN_UNHANDLEABLE leaves the guest unchanged
 * (a device may have seen the reads).
 *
 * If somebody changes vCPU state between INSN_USER and the resumption
 * (KVM_SET_REGS, reset), insn_abandon() drops the interrupted instruction.
 *
 * "SDM" is Intel's Software Developer's Manual, "APM" AMD's Architecture
 * Programmer's Manual.
 */
#ifndef VMM_INSN_H
#define VMM_INSN_H

#include "shim.h"

#define INSN_MAX_LEN	15

/* Result of insn_emulate() and of nearly all ops. */
enum insn_result {
	INSN_OK,		/* done: RIP advanced (not in mid-REP), state committed */
	INSN_USER,		/* user space must serve an access; call again */
	INSN_FAULT,		/* a guest exception to inject: ctx->fault */
	INSN_RETRY,		/* nothing changed; let the guest execute it again */
	INSN_UNHANDLEABLE,	/* not supported; nothing changed */
};

struct insn_fault {
	u8 vector;
	bool has_error;
	u32 error_code;
	u64 address;		/* CR2, for #PF */
};

/* What the vCPU's current code segment and CR0/EFER/RFLAGS amount to. */
enum insn_cpu_mode {
	INSN_REAL,		/* CR0.PE = 0 */
	INSN_VM86,
	INSN_PROT16,		/* also compatibility mode, CS.D = 0 */
	INSN_PROT32,		/* also compatibility mode, CS.D = 1 */
	INSN_LONG,		/* 64-bit mode */
};

/* Register numbers are those of the instruction encoding. */
enum {
	INSN_RAX, INSN_RCX, INSN_RDX, INSN_RBX,
	INSN_RSP, INSN_RBP, INSN_RSI, INSN_RDI,
	INSN_R8, INSN_R9, INSN_R10, INSN_R11,
	INSN_R12, INSN_R13, INSN_R14, INSN_R15,
	INSN_RIP, INSN_RFLAGS,
	INSN_NR_REGS
};

/* Segment numbers are those of the instruction encoding. */
enum {
	INSN_ES, INSN_CS, INSN_SS, INSN_DS, INSN_FS, INSN_GS,
	INSN_LDTR, INSN_TR,
	INSN_NR_SEGS
};

struct insn_segment {
	u64 base;
	u32 limit;		/* in bytes, granularity applied */
	u16 selector;
	u8 type;		/* the four type bits of the descriptor */
	u8 s, dpl, present, avl, l, db, g;
	u8 unusable;
};

struct insn_table_reg {		/* GDTR, IDTR */
	u64 base;
	u16 limit;
};

enum { INSN_GDTR, INSN_IDTR };

/* Flags of memory accesses. */
#define INSN_ACC_READ	  0u
#define INSN_ACC_FETCH	  BIT(0) /* instruction fetch */
#define INSN_ACC_WRITE	  BIT(1) /* probe: for writing; read: RMW, check for writing */
#define INSN_ACC_IMPLICIT BIT(2) /* implicit supervisor access: descriptors, TSS */
#define INSN_ACC_LOCK	  BIT(3) /* part of a locked RMW */
#define INSN_ACC_BULK	  BIT(4) /* RAM as told by probe(); up to a page long */

/* get_cr() and set_cr() know this number beside 0, 2, 3, 4 and 8. */
#define INSN_XCR0	0x100

/* Vector register numbers: 0-31 are XMM/YMM/ZMM, then come the MMX registers. */
#define INSN_VEC_MMX	32
#define INSN_VEC_MAX	64	/* bytes */

/* Instructions executed by the sys() op. */
enum insn_sys {
	INSN_SYS_HLT,
	INSN_SYS_INVD,
	INSN_SYS_WBINVD,
	INSN_SYS_INVLPG,	/* arg: linear address */
	INSN_SYS_HYPERCALL,	/* VMCALL or VMMCALL; it sets its registers itself */
	INSN_SYS_PAUSE,
	INSN_SYS_MONITOR,	/* arg: linear address */
	INSN_SYS_MWAIT,
	INSN_SYS_CLFLUSH,	/* arg: linear address; also CLFLUSHOPT, CLWB */
	INSN_SYS_RSM,		/* after INSN_OK all registers are new, RIP too */
};

/* Interrupt shadow that an instruction leaves behind: ctx->shadow. */
#define INSN_SHADOW_MOV_SS	1	/* as KVM_X86_SHADOW_INT_* */
#define INSN_SHADOW_STI		2

/*
 * The guest as the emulator sees it. @v is the caller's cookie (the vCPU).
 * Ops that return int return enum insn_result, and fill @fault with
 * INSN_FAULT. An op that is NULL makes the instructions that need it
 * INSN_UNHANDLEABLE, unless told otherwise.
 */
struct insn_ops {
	/*
	 * Guest memory by linear address. One call never crosses a page; it
	 * moves at most 8 bytes, up to 15 with INSN_ACC_FETCH, and up to a page
	 * with INSN_ACC_BULK. Access rights are those of the CPL (supervisor with
	 * INSN_ACC_IMPLICIT); alignment, limits and canonical form have been checked.
	 */
	int (*read)(void *v, u64 linear, void *buf, unsigned int len,
		    unsigned int flags, struct insn_fault *fault);
	int (*write)(void *v, u64 linear, const void *buf, unsigned int len,
		     unsigned int flags, struct insn_fault *fault);
	/*
	 * Atomically replace @old by @new (2, 4, 8 or 16 bytes or 1; one page,
	 * any alignment). INSN_RETRY if memory held something else; where there
	 * is no RAM, or it cannot be atomic there, a plain write. For 16 bytes
	 * without RAM: INSN_UNHANDLEABLE. NULL: write() is used.
	 */
	int (*cmpxchg)(void *v, u64 linear, const void *old, const void *new,
		       unsigned int len, unsigned int flags, struct insn_fault *fault);
	/*
	 * Check the rights to an access without doing it, and say in *@ram
	 * whether ordinary memory is there. Never INSN_USER. NULL: accesses that cross a
	 * page may be half done when the second half faults, no INS/OUTS batches.
	 */
	int (*probe)(void *v, u64 linear, unsigned int flags, bool *ram,
		     struct insn_fault *fault);

	/* @count elements of @size bytes each through one port. */
	int (*pio_in)(void *v, u16 port, unsigned int size, unsigned int count, void *buf);
	int (*pio_out)(void *v, u16 port, unsigned int size, unsigned int count, const void *buf);

	/* INSN_RAX ... INSN_R15, INSN_RIP, INSN_RFLAGS; always the full 64 bits. */
	u64 (*get_reg)(void *v, unsigned int reg);
	void (*set_reg)(void *v, unsigned int reg, u64 val);

	void (*get_segment)(void *v, unsigned int seg, struct insn_segment *s);
	void (*set_segment)(void *v, unsigned int seg, const struct insn_segment *s);
	void (*get_table)(void *v, unsigned int table, struct insn_table_reg *t);
	void (*set_table)(void *v, unsigned int table, const struct insn_table_reg *t);
	unsigned int (*cpl)(void *v);

	/* set_*() check the value and may fault; privilege has been checked. */
	u64 (*get_cr)(void *v, unsigned int cr);
	int (*set_cr)(void *v, unsigned int cr, u64 val, struct insn_fault *fault);
	int (*get_dr)(void *v, unsigned int dr, u64 *val, struct insn_fault *fault);
	int (*set_dr)(void *v, unsigned int dr, u64 val, struct insn_fault *fault);
	/* A task switch clears DR7's local enables, whatever DR7.GD is. */
	void (*end_local_breakpoints)(void *v);
	int (*get_msr)(void *v, u32 msr, u64 *val, struct insn_fault *fault);
	int (*set_msr)(void *v, u32 msr, u64 val, struct insn_fault *fault);
	/* As RDMSR and WRMSR do it; may be INSN_USER. NULL: get_msr() and set_msr(). */
	int (*rdmsr)(void *v, u32 msr, u64 *val, struct insn_fault *fault);
	int (*wrmsr)(void *v, u32 msr, u64 val, struct insn_fault *fault);
	/* regs: EAX, EBX, ECX, EDX, in and out. */
	int (*cpuid)(void *v, u32 regs[4], struct insn_fault *fault);
	/* RIP still points at the instruction; it is advanced after INSN_OK. */
	int (*sys)(void *v, enum insn_sys what, u64 arg, struct insn_fault *fault);

	/*
	 * Vector registers as bytes. Reads give @len bytes (8, 16, 32 or 64;
	 * what the guest has not reads as 0). A write of 8 (MMX) or 16 bytes
	 * leaves the rest of the register; one of INSN_VEC_MAX bytes sets all of it.
	 */
	int (*vec_read)(void *v, unsigned int vec, void *buf, unsigned int len);
	int (*vec_write)(void *v, unsigned int vec, const void *buf, unsigned int len);
};

/* Opcode maps. */
enum insn_map {
	INSN_MAP_1B,		/* one-byte opcodes */
	INSN_MAP_0F,
	INSN_MAP_0F38,
	INSN_MAP_0F3A,
	INSN_MAP_3DNOW,
	INSN_MAP_5, INSN_MAP_6, INSN_MAP_7,	/* EVEX (7: also VEX) only */
	INSN_MAP_XOP8, INSN_MAP_XOP9, INSN_MAP_XOPA,
	INSN_NR_MAPS
};

enum insn_encoding { INSN_LEGACY, INSN_VEX, INSN_EVEX, INSN_XOP };

struct insn_desc;		/* a row of the opcode tables */

/* A decoded instruction. */
struct insn_decoded {
	const struct insn_desc *desc;
	u64 imm;		/* sign-extended; far pointer: offset */
	u64 imm2;		/* ENTER's second, far pointer's selector */
	s32 disp;
	u8 len;
	u8 map, opcode, enc;
	u8 op_size, addr_size;	/* in bytes: 2, 4 or 8 */
	u8 rex;			/* REX, or the same bits of VEX/EVEX/XOP */
	u8 seg;			/* override, or INSN_NR_SEGS */
	u8 rep;			/* 0, 0xf2 or 0xf3: the last one */
	bool opsize, lock;	/* prefix 66; prefix F0 */
	bool has_modrm, has_sib;
	u8 modrm, sib;
	u8 vvvv;		/* VEX/EVEX/XOP source register */
	u8 vlen;		/* vector length in bytes */
	u8 pp;			/* mandatory prefix: 0 none, 1 66, 2 F3, 3 F2 */
	u8 evex[3];		/* EVEX payload */
};

static inline unsigned int insn_mod(const struct insn_decoded *d)
{
	return d->modrm >> 6;
}

/* ModRM.reg and ModRM.rm with their REX extensions. */
static inline unsigned int insn_reg(const struct insn_decoded *d)
{
	return ((d->modrm >> 3) & 7) | ((d->rex & 4) << 1);
}

static inline unsigned int insn_rm(const struct insn_decoded *d)
{
	return (d->modrm & 7) | ((d->rex & 1) << 3);
}

/*
 * insn_decode_bytes() - decode one instruction
 *
 * Needs no context. Returns its length; 0 if more than the @n bytes are needed;
 * -1 if it is undefined (#UD); -2 if it is longer than 15 bytes (#GP).
 */
int insn_decode_bytes(struct insn_decoded *d, enum insn_cpu_mode mode,
		      const u8 *bytes, unsigned int n);

#define INSN_LOG_MAX	24

/* One completed access. */
struct insn_log_entry {
	u64 addr;		/* linear address or port */
	u64 data;
	u8 kind, len;
};

struct insn_operand {
	u8 kind;		/* enum insn_operand_kind in internal.h */
	u8 size;		/* bytes */
	u8 reg;			/* register number; 4-7 with @high: AH ... BH */
	u8 seg;
	bool high;
	u64 ea;			/* offset in the segment */
	u64 val;
};

/*
 * The emulator's working state, one per vCPU; zeroed once before its first
 * use. The caller sets the first part before each insn_emulate().
 */
struct insn_ctx {
	const struct insn_ops *ops;
	void *v;
	enum insn_cpu_mode mode;
	bool lma;		/* long mode is active: PROT16 and PROT32 are compatibility mode */
	u8 va_bits;		/* linear address width: 48 or 57; 0 means 48 */
	u8 prefetched;		/* bytes of the instruction in bytes[] already */
	void *bulk;		/* buffer for INS/OUTS batches, or NULL */
	u32 bulk_size;		/* at most 4096 is used */

	/* Results. */
	struct insn_fault fault;	/* with INSN_FAULT */
	u8 shadow;			/* with INSN_OK: interrupt shadow to set */
	bool rep_pending;		/* with INSN_OK: in mid-REP, RIP not advanced */
	bool single_step;		/* with INSN_OK: RFLAGS.TF was set: #DB is due */
	bool replaced;			/* with INSN_OK: RSM, whose op has set all registers */
	bool iret;			/* with INSN_OK: IRET, which lets NMIs come */

	/* The instruction, valid after the call too (for traces, dumps). */
	u8 bytes[INSN_MAX_LEN];
	u8 nbytes;
	struct insn_decoded insn;

	/* Private from here on. */
	bool resumed;		/* the last result was INSN_USER */
	u8 log_len, log_pos;
	u32 reg_valid, reg_dirty;
	u8 seg_valid, seg_dirty;
	u8 vec_len;		/* pending vector write; 0: none */
	u8 vec_reg;
	u64 regs[INSN_NR_REGS];
	struct insn_segment segs[INSN_NR_SEGS];
	struct insn_operand dst, src, src2;
	u8 vec[INSN_VEC_MAX];
	struct insn_log_entry log[INSN_LOG_MAX];
};

/* insn_emulate() - execute the instruction at RIP; returns enum insn_result */
int insn_emulate(struct insn_ctx *ctx);

/*
 * insn_skip() - fetch and decode the instruction at RIP and step over it
 *
 * For exits of instructions that have been dealt with otherwise, on CPUs that do not
 * report the next RIP. Clears RFLAGS.RF. INSN_OK, INSN_FAULT, INSN_RETRY or
 * INSN_UNHANDLEABLE.
 */
int insn_skip(struct insn_ctx *ctx);

/* insn_fetch() - only fetch and decode into ctx->insn; results as insn_skip() */
int insn_fetch(struct insn_ctx *ctx);

/* Why a task is switched: the numbers of VT-x's exit qualification. */
enum insn_task_reason { INSN_TASK_CALL, INSN_TASK_IRET, INSN_TASK_JMP, INSN_TASK_GATE };

struct insn_task {
	u16 selector;		/* of the new TSS, wherever it comes from */
	u8 reason;		/* enum insn_task_reason; GATE: in the IDT */
	bool external;		/* the event was no INT n, INT3 or INTO: EXT in error codes */
	s16 vector;		/* INT n, whose gate must allow it, or -1 */
	bool has_error;		/* of the event: the new task finds it on its stack */
	u32 error_code;
	u64 ip;			/* where the old task will go on */
	bool trap;		/* result, with INSN_OK: the new TSS wants #DB at its start */
};

/*
 * insn_task_switch() - switch tasks, in protected or virtual-8086 mode
 *
 * INSN_OK, INSN_FAULT, or INSN_UNHANDLEABLE when the guest cannot go on. Takes
 * effect at once. A fault may be the old task's, with nothing done but checks, or the
 * new one's: RIP, as everything else, is then what the exception has to save.
 */
int insn_task_switch(struct insn_ctx *ctx, struct insn_task *task);

/* insn_abandon() - forget an instruction that was interrupted by INSN_USER */
static inline void insn_abandon(struct insn_ctx *ctx)
{
	ctx->resumed = false;
	ctx->prefetched = 0;
}

#endif
