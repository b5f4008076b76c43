// SPDX-License-Identifier: GPL-2.0-only
/* Ports, privileged and system instructions. D_PRIV has been checked. */
#include "exec.h"

#define MSR_TSC		  0x10
#define MSR_KERNEL_GS	  0xc0000102
#define MSR_AUX		  0xc0000103

static int sys(struct insn_ctx *ctx, enum insn_sys what, u64 arg)
{
	if (!ctx->ops->sys)
		return INSN_UNHANDLEABLE;
	return ctx->ops->sys(ctx->v, what, arg, &ctx->fault);
}

static int get_cr(struct insn_ctx *ctx, unsigned int cr, u64 *val)
{
	if (!ctx->ops->get_cr)
		return INSN_UNHANDLEABLE;
	*val = ctx->ops->get_cr(ctx->v, cr);
	return INSN_OK;
}

static int set_cr(struct insn_ctx *ctx, unsigned int cr, u64 val)
{
	if (!ctx->ops->set_cr)
		return INSN_UNHANDLEABLE;
	return ctx->ops->set_cr(ctx->v, cr, val, &ctx->fault);
}

static int get_msr(struct insn_ctx *ctx, u32 msr, u64 *val)
{
	if (!ctx->ops->get_msr)
		return INSN_UNHANDLEABLE;
	return ctx->ops->get_msr(ctx->v, msr, val, &ctx->fault);
}

static int set_msr(struct insn_ctx *ctx, u32 msr, u64 val)
{
	if (!ctx->ops->set_msr)
		return INSN_UNHANDLEABLE;
	return ctx->ops->set_msr(ctx->v, msr, val, &ctx->fault);
}

static unsigned int port_size(const struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size;

	return ctx->insn.desc->aux ? 1 : min(size, 4u);
}

int insn_exec_in(struct insn_ctx *ctx)
{
	unsigned int size = port_size(ctx);
	u16 port = ctx->src.val;
	u64 val;
	int r;

	r = insn_io_allowed(ctx, port, size);
	if (!r)
		r = insn_pio(ctx, true, port, size, &val);
	if (!r)
		insn_set_sized(ctx, INSN_RAX, val, size);
	return r;
}

int insn_exec_out(struct insn_ctx *ctx)
{
	unsigned int size = port_size(ctx);
	u16 port = ctx->src.val;
	u64 val = insn_get(ctx, INSN_RAX);
	int r = insn_io_allowed(ctx, port, size);

	return r ? r : insn_pio(ctx, false, port, size, &val);
}

/* CLI and STI by IOPL; the virtual interrupt flag (VME, PVI) is not done. */
static int check_if_access(struct insn_ctx *ctx)
{
	u64 cr4;

	if (insn_iopl_ok(ctx))
		return INSN_OK;
	if (!get_cr(ctx, 4, &cr4) && cr4 & 3)
		return INSN_UNHANDLEABLE;
	return insn_gp0(ctx);
}

int insn_exec_cli(struct insn_ctx *ctx)
{
	int r = check_if_access(ctx);

	if (!r)
		insn_change_flags(ctx, FL_IF, 0);
	return r;
}

int insn_exec_sti(struct insn_ctx *ctx)
{
	int r = check_if_access(ctx);

	if (r)
		return r;
	if (!(insn_flags(ctx) & FL_IF))
		ctx->shadow = INSN_SHADOW_STI;
	insn_change_flags(ctx, FL_IF, FL_IF);
	return INSN_OK;
}

/* CLAC, and with aux STAC */
int insn_exec_clac(struct insn_ctx *ctx)
{
	if (ctx->insn.pp || insn_cpl(ctx))
		return insn_ud(ctx);
	insn_change_flags(ctx, FL_AC, ctx->insn.desc->aux ? FL_AC : 0);
	return INSN_OK;
}

/* 90: PAUSE with REP, XCHG with REX.B, else NOP. */
int insn_exec_pause(struct insn_ctx *ctx)
{
	unsigned int size = ctx->insn.op_size;
	u64 val;

	if (ctx->insn.rex & 1) {
		val = insn_get(ctx, INSN_R8);
		insn_set_sized(ctx, INSN_R8, insn_get(ctx, INSN_RAX), size);
		insn_set_sized(ctx, INSN_RAX, val, size);
		return INSN_OK;
	}
	return ctx->insn.rep == 0xf3 ? sys(ctx, INSN_SYS_PAUSE, 0) : INSN_OK;
}

int insn_exec_hlt(struct insn_ctx *ctx)
{
	return sys(ctx, INSN_SYS_HLT, 0);
}

int insn_exec_invd(struct insn_ctx *ctx)
{
	return sys(ctx, INSN_SYS_INVD, 0);
}

int insn_exec_wbinvd(struct insn_ctx *ctx)
{
	return sys(ctx, INSN_SYS_WBINVD, 0);
}

int insn_exec_hypercall(struct insn_ctx *ctx)
{
	return sys(ctx, INSN_SYS_HYPERCALL, 0);
}

/* What the context holds of the registers is of the time before. */
int insn_exec_rsm(struct insn_ctx *ctx)
{
	int r = sys(ctx, INSN_SYS_RSM, 0);

	ctx->replaced = !r;
	return r;
}

/* The address is not checked: INVLPG of anything is harmless. */
int insn_exec_invlpg(struct insn_ctx *ctx)
{
	u64 linear = ctx->src.ea;

	if (!insn_long(ctx) || ctx->src.seg >= INSN_FS)
		linear += insn_seg(ctx, ctx->src.seg)->base;
	return sys(ctx, INSN_SYS_INVLPG, insn_long(ctx) ? linear : (u32)linear);
}

/* Faults as a load of a byte does. */
int insn_exec_clflush(struct insn_ctx *ctx)
{
	u64 linear;
	int r = insn_linear(ctx, ctx->src.seg, ctx->src.ea, 1, INSN_ACC_READ, &linear);

	if (!r)
		r = insn_mem_probe(ctx, ctx->src.seg, ctx->src.ea, 1, INSN_ACC_READ);
	return r ? r : sys(ctx, INSN_SYS_CLFLUSH, linear);
}

/* MONITOR and MWAIT are undefined, not forbidden, to user mode. */
int insn_exec_monitor(struct insn_ctx *ctx)
{
	unsigned int seg = ctx->insn.seg < INSN_NR_SEGS ? ctx->insn.seg : INSN_DS;
	u64 linear;
	int r;

	if (insn_cpl(ctx))
		return insn_ud(ctx);
	r = insn_linear(ctx, seg, insn_get(ctx, INSN_RAX) & insn_mask(ctx->insn.addr_size), 1,
			INSN_ACC_READ, &linear);
	return r ? r : sys(ctx, INSN_SYS_MONITOR, linear);
}

int insn_exec_mwait(struct insn_ctx *ctx)
{
	if (insn_cpl(ctx))
		return insn_ud(ctx);
	return sys(ctx, INSN_SYS_MWAIT, 0);
}

int insn_exec_cpuid(struct insn_ctx *ctx)
{
	static const u8 order[4] = { INSN_RAX, INSN_RBX, INSN_RCX, INSN_RDX };
	u32 regs[4];
	int i, r;

	if (!ctx->ops->cpuid)
		return INSN_UNHANDLEABLE;
	for (i = 0; i < 4; i++)
		regs[i] = insn_get(ctx, order[i]);
	r = ctx->ops->cpuid(ctx->v, regs, &ctx->fault);
	for (i = 0; !r && i < 4; i++)
		insn_set(ctx, order[i], regs[i]);
	return r;
}

static void set_edx_eax(struct insn_ctx *ctx, u64 val)
{
	insn_set(ctx, INSN_RAX, (u32)val);
	insn_set(ctx, INSN_RDX, val >> 32);
}

static u64 get_edx_eax(struct insn_ctx *ctx)
{
	return (u32)insn_get(ctx, INSN_RAX) | insn_get(ctx, INSN_RDX) << 32;
}

int insn_exec_rdmsr(struct insn_ctx *ctx)
{
	u32 msr = insn_get(ctx, INSN_RCX);
	u64 val;
	int r;

	if (ctx->ops->rdmsr)
		r = ctx->ops->rdmsr(ctx->v, msr, &val, &ctx->fault);
	else
		r = get_msr(ctx, msr, &val);
	if (!r)
		set_edx_eax(ctx, val);
	return r;
}

int insn_exec_wrmsr(struct insn_ctx *ctx)
{
	u32 msr = insn_get(ctx, INSN_RCX);
	u64 val = get_edx_eax(ctx);

	if (ctx->ops->wrmsr)
		return ctx->ops->wrmsr(ctx->v, msr, val, &ctx->fault);
	return set_msr(ctx, msr, val);
}

int insn_exec_rdtsc(struct insn_ctx *ctx)
{
	u64 cr4, val;
	int r = get_cr(ctx, 4, &cr4);

	if (r)
		return r;
	if (cr4 & CR4_TSD && insn_cpl(ctx))
		return insn_gp0(ctx);
	r = get_msr(ctx, MSR_TSC, &val);
	if (!r)
		set_edx_eax(ctx, val);
	return r;
}

int insn_exec_rdtscp(struct insn_ctx *ctx)
{
	u64 aux;
	int r = insn_exec_rdtsc(ctx);

	if (!r)
		r = get_msr(ctx, MSR_AUX, &aux);
	if (!r)
		insn_set(ctx, INSN_RCX, (u32)aux);
	return r;
}

int insn_exec_rdpid(struct insn_ctx *ctx)
{
	u64 aux;
	int r = get_msr(ctx, MSR_AUX, &aux);

	if (!r)
		ctx->dst.val = (u32)aux;
	return r;
}

/*
 * Outside 64-bit mode it is undefined, before the privilege counts. The MSR is
 * written first: only its op can refuse.
 */
int insn_exec_swapgs(struct insn_ctx *ctx)
{
	struct insn_segment gs;
	u64 base;
	int r;

	if (!insn_long(ctx))
		return insn_ud(ctx);
	if (insn_cpl(ctx))
		return insn_gp0(ctx);
	if (!ctx->ops->set_segment)
		return INSN_UNHANDLEABLE;
	gs = *insn_seg(ctx, INSN_GS);
	r = get_msr(ctx, MSR_KERNEL_GS, &base);
	if (!r)
		r = set_msr(ctx, MSR_KERNEL_GS, gs.base);
	gs.base = base;
	if (!r)
		insn_put_seg(ctx, INSN_GS, &gs);
	return r;
}

/*
 * LOCK MOV CR0 is AMD's way to CR8 outside 64-bit mode. Numbers that do not
 * exist are #UD before the privilege counts.
 */
static int cr_number(struct insn_ctx *ctx, unsigned int *cr)
{
	*cr = insn_reg(&ctx->insn);
	if (ctx->insn.lock && *cr)
		return insn_ud(ctx);
	if (ctx->insn.lock)
		*cr = 8;
	if (*cr == 1 || (*cr > 4 && *cr != 8))
		return insn_ud(ctx);
	return insn_cpl(ctx) ? insn_gp0(ctx) : INSN_OK;
}

int insn_exec_mov_from_cr(struct insn_ctx *ctx)
{
	unsigned int cr;
	u64 val;
	int r = cr_number(ctx, &cr);

	if (!r)
		r = get_cr(ctx, cr, &val);
	if (!r)
		insn_set_sized(ctx, insn_rm(&ctx->insn), val, ctx->insn.op_size);
	return r;
}

int insn_exec_mov_to_cr(struct insn_ctx *ctx)
{
	unsigned int cr;
	u64 val;
	int r = cr_number(ctx, &cr);

	if (r)
		return r;
	val = insn_get(ctx, insn_rm(&ctx->insn)) & insn_mask(ctx->insn.op_size);
	return set_cr(ctx, cr, val);
}

int insn_exec_clts(struct insn_ctx *ctx)
{
	u64 cr0;
	int r = get_cr(ctx, 0, &cr0);

	return r ? r : set_cr(ctx, 0, cr0 & ~CR0_TS);
}

/* LMSW loads PE, MP, EM and TS, and cannot clear PE. */
int insn_exec_lmsw(struct insn_ctx *ctx)
{
	u64 cr0;
	int r = get_cr(ctx, 0, &cr0);

	return r ? r : set_cr(ctx, 0, (cr0 & ~0xeULL) | (ctx->src.val & 0xf));
}

static int check_umip(struct insn_ctx *ctx)
{
	u64 cr4;

	if (insn_cpl(ctx) && !get_cr(ctx, 4, &cr4) && cr4 & CR4_UMIP)
		return insn_gp0(ctx);
	return INSN_OK;
}

int insn_exec_smsw(struct insn_ctx *ctx)
{
	int r = check_umip(ctx);

	return r ? r : get_cr(ctx, 0, &ctx->dst.val);
}

static int store_selector(struct insn_ctx *ctx, unsigned int seg)
{
	ctx->dst.val = insn_seg(ctx, seg)->selector;
	return check_umip(ctx);
}

int insn_exec_sldt(struct insn_ctx *ctx)
{
	return store_selector(ctx, INSN_LDTR);
}

int insn_exec_str(struct insn_ctx *ctx)
{
	return store_selector(ctx, INSN_TR);
}

static int store_table(struct insn_ctx *ctx, unsigned int table)
{
	struct insn_table_reg t;
	u8 image[10];
	int r = check_umip(ctx);

	if (r)
		return r;
	if (!ctx->ops->get_table)
		return INSN_UNHANDLEABLE;
	ctx->ops->get_table(ctx->v, table, &t);
	memcpy(image, &t.limit, 2);
	memcpy(image + 2, &t.base, 8);
	return insn_mem_write(ctx, ctx->src.seg, ctx->src.ea, image, insn_long(ctx) ? 10 : 6);
}

static int load_table(struct insn_ctx *ctx, unsigned int table)
{
	struct insn_table_reg t = {};
	u8 image[10] = {};
	int r;

	if (!ctx->ops->set_table)
		return INSN_UNHANDLEABLE;
	r = insn_mem_read(ctx, ctx->src.seg, ctx->src.ea, image, insn_long(ctx) ? 10 : 6,
			  INSN_ACC_READ);
	if (r)
		return r;
	memcpy(&t.limit, image, 2);
	memcpy(&t.base, image + 2, 8);
	if (!insn_long(ctx) && ctx->insn.op_size == 2)
		t.base &= 0xffffff;
	if (insn_long(ctx) && !insn_canonical(ctx, t.base))
		return insn_gp0(ctx);
	ctx->ops->set_table(ctx->v, table, &t);
	return INSN_OK;
}

int insn_exec_sgdt(struct insn_ctx *ctx)
{
	return store_table(ctx, INSN_GDTR);
}

int insn_exec_sidt(struct insn_ctx *ctx)
{
	return store_table(ctx, INSN_IDTR);
}

int insn_exec_lgdt(struct insn_ctx *ctx)
{
	return load_table(ctx, INSN_GDTR);
}

int insn_exec_lidt(struct insn_ctx *ctx)
{
	return load_table(ctx, INSN_IDTR);
}

/* Debug registers 4 and 5 are 6 and 7 unless CR4.DE is set (SDM vol. 3, 18.2.2). */
static int dr_number(struct insn_ctx *ctx, unsigned int *dr)
{
	u64 cr4 = 0;

	*dr = insn_reg(&ctx->insn);
	if (*dr > 7)
		return insn_ud(ctx);
	if ((*dr & ~1u) == 4) {
		if (!get_cr(ctx, 4, &cr4) && cr4 & CR4_DE)
			return insn_ud(ctx);
		*dr += 2;
	}
	return insn_cpl(ctx) ? insn_gp0(ctx) : INSN_OK;
}

int insn_exec_mov_from_dr(struct insn_ctx *ctx)
{
	unsigned int dr;
	u64 val;
	int r = dr_number(ctx, &dr);

	if (r)
		return r;
	if (!ctx->ops->get_dr)
		return INSN_UNHANDLEABLE;
	r = ctx->ops->get_dr(ctx->v, dr, &val, &ctx->fault);
	if (!r)
		insn_set_sized(ctx, insn_rm(&ctx->insn), val, ctx->insn.op_size);
	return r;
}

int insn_exec_mov_to_dr(struct insn_ctx *ctx)
{
	unsigned int dr;
	u64 val;
	int r = dr_number(ctx, &dr);

	if (r)
		return r;
	if (!ctx->ops->set_dr)
		return INSN_UNHANDLEABLE;
	val = insn_get(ctx, insn_rm(&ctx->insn)) & insn_mask(ctx->insn.op_size);
	return ctx->ops->set_dr(ctx->v, dr, val, &ctx->fault);
}

/* XGETBV and XSETBV know XCR0 only. What is undefined is so at any privilege. */
static int check_xcr(struct insn_ctx *ctx, bool privileged)
{
	u64 cr4;
	int r = get_cr(ctx, 4, &cr4);

	if (r)
		return r;
	if (!(cr4 & CR4_OSXSAVE) || ctx->insn.opsize || ctx->insn.rep)
		return insn_ud(ctx);
	if (privileged && insn_cpl(ctx))
		return insn_gp0(ctx);
	return (u32)insn_get(ctx, INSN_RCX) ? insn_gp0(ctx) : INSN_OK;
}

int insn_exec_xgetbv(struct insn_ctx *ctx)
{
	u64 val;
	int r = check_xcr(ctx, false);

	if (!r)
		r = get_cr(ctx, INSN_XCR0, &val);
	if (!r)
		set_edx_eax(ctx, val);
	return r;
}

int insn_exec_xsetbv(struct insn_ctx *ctx)
{
	int r = check_xcr(ctx, true);

	return r ? r : set_cr(ctx, INSN_XCR0, get_edx_eax(ctx));
}
