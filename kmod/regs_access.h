/* SPDX-License-Identifier: GPL-2.0-only */
/* Accessors of the register groups; the only way common code reaches them. */
#ifndef VMM_REGS_ACCESS_H
#define VMM_REGS_ACCESS_H

#include <asm/processor-flags.h>
#include <asm/msr-index.h>

#include "vmm.h"

/* Makes @group available and returns the register file. */
static inline struct vcpu_regs *regs_get(struct vcpu *vcpu, enum reg_group group)
{
	if (unlikely(!(vcpu->regs.avail & BIT(group))))
		regs_fetch(vcpu, BIT(group));
	return &vcpu->regs;
}

/* As regs_get() for several, BIT(group) each. */
static inline struct vcpu_regs *regs_get_all(struct vcpu *vcpu, u32 groups)
{
	if (unlikely(groups & ~vcpu->regs.avail))
		regs_fetch(vcpu, groups);
	return &vcpu->regs;
}

/* As regs_get(), and the group is written to the hardware on entry. */
static inline struct vcpu_regs *regs_mod(struct vcpu *vcpu, enum reg_group group)
{
	struct vcpu_regs *r = regs_get(vcpu, group);

	r->dirty |= BIT(group);
	return r;
}

static inline u64 vcpu_gpr(struct vcpu *vcpu, unsigned int reg)
{
	return reg == GPR_RSP ? regs_get(vcpu, RG_RSP)->gpr[reg] :
				vcpu->regs.gpr[reg];
}

static inline void vcpu_set_gpr(struct vcpu *vcpu, unsigned int reg, u64 val)
{
	if (reg == GPR_RSP)
		regs_mod(vcpu, RG_RSP);
	vcpu->regs.gpr[reg] = val;
}

static inline u64 vcpu_rip(struct vcpu *vcpu)
{
	return regs_get(vcpu, RG_RIP)->rip;
}

static inline void vcpu_set_rip(struct vcpu *vcpu, u64 rip)
{
	regs_mod(vcpu, RG_RIP)->rip = rip;
}

static inline u64 vcpu_rflags(struct vcpu *vcpu)
{
	return regs_get(vcpu, RG_RFLAGS)->rflags;
}

static inline void vcpu_set_rflags(struct vcpu *vcpu, u64 rflags)
{
	regs_mod(vcpu, RG_RFLAGS)->rflags = rflags | X86_EFLAGS_FIXED;
}

static inline const struct segment *vcpu_seg(struct vcpu *vcpu, enum seg seg)
{
	return &regs_get(vcpu, RG_SEG)->seg[seg];
}

/*
 * CS or SS where only attr counts, which most exits ask for and a vendor may
 * fetch cheaper than all segments. RG_SEG, once there, has it too.
 */
static inline u32 vcpu_mode_attr(struct vcpu *vcpu, enum seg seg)
{
	if (!(vcpu->regs.avail & (BIT(RG_SEG) | BIT(RG_MODE))))
		regs_fetch(vcpu, BIT(RG_MODE));
	return vcpu->regs.seg[seg].attr;
}

static inline u64 vcpu_cr0(struct vcpu *vcpu)
{
	return regs_get(vcpu, RG_CR)->cr0;
}

static inline u64 vcpu_cr4(struct vcpu *vcpu)
{
	return regs_get(vcpu, RG_CR)->cr4;
}

/*
 * What makes the mode is always there: VT-x guests change it by exits only (vmx/vendor.c,
 * CR0_GUEST_OWNED), and AMD-V has it from each exit.
 */
static inline u64 vcpu_efer(const struct vcpu *vcpu)
{
	return vcpu->regs.efer;
}

static inline bool vcpu_long_mode(const struct vcpu *vcpu)
{
	return vcpu_efer(vcpu) & EFER_LMA;
}

static inline bool vcpu_paging(const struct vcpu *vcpu)
{
	return vcpu->regs.cr0 & X86_CR0_PG;
}

static inline bool vcpu_protected(const struct vcpu *vcpu)
{
	return vcpu->regs.cr0 & X86_CR0_PE;
}

static inline bool vcpu_la57(const struct vcpu *vcpu)
{
	return vcpu->regs.cr4 & X86_CR4_LA57;
}

static inline u64 vcpu_cr3(struct vcpu *vcpu)
{
	return regs_get(vcpu, RG_CR3)->cr3;
}

static inline bool vcpu_64bit(struct vcpu *vcpu)
{
	return vcpu_long_mode(vcpu) &&
	       (vcpu_mode_attr(vcpu, SEG_CS) & SEG_ATTR_L);
}

/* SS.DPL is the CPL on both vendors (SDM 25.5.1.2, APM 15.5.1); 0 in real mode. */
static inline int vcpu_cpl(struct vcpu *vcpu)
{
	if (!vcpu_protected(vcpu))
		return 0;
	return (vcpu_mode_attr(vcpu, SEG_SS) & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
}

/* A linear address of the present mode: canonical handling is the caller's. */
static inline u64 vcpu_linear_rip(struct vcpu *vcpu)
{
	if (vcpu_64bit(vcpu))
		return vcpu_rip(vcpu);
	return (u32)(vcpu_seg(vcpu, SEG_CS)->base + vcpu_rip(vcpu));
}

/*
 * Control registers with all architectural checks of MOV CR: 0, or 1 when the
 * guest must get #GP(0). Implemented in sregs.c.
 */
int vcpu_set_cr0(struct vcpu *vcpu, u64 cr0);
int vcpu_set_cr3(struct vcpu *vcpu, u64 cr3);
int vcpu_set_cr4(struct vcpu *vcpu, u64 cr4);
int vcpu_set_cr8(struct vcpu *vcpu, u64 cr8);
int vcpu_set_xcr0(struct vcpu *vcpu, u64 xcr0);
u64 vcpu_cr8(struct vcpu *vcpu);
int vcpu_set_efer(struct vcpu *vcpu, u64 efer, bool host);
int vcpu_set_dr(struct vcpu *vcpu, int dr, u64 val);
u64 vcpu_dr(struct vcpu *vcpu, int dr);
/* Reads the four PDPTEs at cr3 into regs.pdptr; false when one is malformed. */
bool vcpu_load_pdptrs(struct vcpu *vcpu, u64 cr3);

/* Moves RIP behind the exiting instruction and ends its interrupt shadow. */
void vcpu_skip_insn(struct vcpu *vcpu);

#endif /* VMM_REGS_ACCESS_H */
