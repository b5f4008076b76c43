/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest registers, cached in groups.
 *
 * A group is *available* when the copy in struct vcpu_regs is the guest's
 * current value, and *dirty* when it must reach the hardware before the next
 * entry. The vendor clears avail of the groups that the guest may change at
 * each exit, fills a group when asked (vendor_call(fetch, ...)) and writes
 * all dirty groups, and clears dirty, on entry. Dirty implies available.
 * Common code touches the copies only through the accessors below.
 */
#ifndef VMM_REGS_H
#define VMM_REGS_H

#include <linux/bitops.h>
#include <linux/types.h>

struct vcpu;

/* Order of the hardware's encoding (ModRM.reg + REX). */
enum gpr {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
	NR_GPRS
};

/* Order of the instruction encoding, then TR and LDTR. */
enum seg {
	SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_TR, SEG_LDTR, NR_SEGS
};

enum reg_group {
	RG_RSP,			/* gpr[GPR_RSP]; all other GPRs are always available */
	RG_RIP,
	RG_RFLAGS,
	RG_SEG,			/* seg[] */
	RG_DESC,		/* gdt, idt */
	RG_CR,			/* cr0, cr4, efer, cr2 */
	RG_CR3,			/* cr3; with PAE paging its pdptr[] too */
	RG_DR,			/* dr[], dr6, dr7 */
	RG_INTR,		/* intr_shadow, nmi_blocked */
	RG_SYSENTER,		/* sysenter_*, and on SVM star..kernel_gs_base */
	RG_PAT,			/* pat */
	RG_MODE,		/* attr of CS and SS alone, never dirty */
	NR_REG_GROUPS
};

/*
 * What nearly all handlers ask for that have to look at the instruction: BIT(group) each.
 * fetch_groups() in vmx/vendor.c has the list once more.
 */
#define RGS_OF_INSN	(BIT(RG_RIP) | BIT(RG_RFLAGS) | BIT(RG_CR3) | BIT(RG_INTR) | BIT(RG_MODE))

/*
 * attr holds bits 8-23 of the descriptor's second dword, shifted down by 8:
 * type 0-3, s 4, dpl 5-6, p 7, avl 12, l 13, db 14, g 15; bit 16 unusable.
 * This is the VMCS access-rights format. limit is in bytes, expanded by g.
 */
struct segment {
	u16 selector;
	u32 attr;
	u32 limit;
	u64 base;
};

#define SEG_ATTR_TYPE		0xfu
#define SEG_ATTR_S		BIT(4)
#define SEG_ATTR_DPL_SHIFT	5
#define SEG_ATTR_DPL		(3u << SEG_ATTR_DPL_SHIFT)
#define SEG_ATTR_P		BIT(7)
#define SEG_ATTR_AVL		BIT(12)
#define SEG_ATTR_L		BIT(13)
#define SEG_ATTR_DB		BIT(14)
#define SEG_ATTR_G		BIT(15)
#define SEG_ATTR_UNUSABLE	BIT(16)

struct desc_table {
	u64 base;
	u16 limit;
};

struct vcpu_regs {
	u32 avail;		/* BIT(enum reg_group) */
	u32 dirty;
	u64 gpr[NR_GPRS];	/* entry.S loads and saves these in place (but RSP) */
	u64 rip;
	u64 rflags;
	u64 cr0, cr2, cr3, cr4, cr8, efer;	/* cr8: only without LAPIC */
	u64 pdptr[4];
	struct segment seg[NR_SEGS];
	struct desc_table gdt, idt;
	u64 dr[4], dr6, dr7;	/* the guest's own, whatever guest_debug does */
	u32 intr_shadow;	/* KVM_X86_SHADOW_INT_STI | _MOV_SS */
	bool nmi_blocked;	/* until the guest's IRET */
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat;
	u64 star, lstar, cstar, fmask, kernel_gs_base;
	u64 tsc_aux;
	u64 spec_ctrl;
};

/* Those of @groups, BIT(group) each, that are not there yet. */
void regs_fetch(struct vcpu *vcpu, u32 groups);

/* Accessors: regs_access.h, included by the users, needs struct vcpu. */

#endif /* VMM_REGS_H */
