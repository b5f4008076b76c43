// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers with the checks of MOV CR (SDM 2.5, 4.1.2, 5.1), and
 * KVM_GET/SET_SREGS.
 */
#include <asm/processor-flags.h>

#include "cpuid.h"
#include "regs_access.h"
#include "sregs.h"
#include "vendor.h"
#include "xstate.h"

#define CR0_RESERVED \
	(~(u64)(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | \
		X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG))
#define CR4_KNOWN \
	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | \
	 X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | \
	 X86_CR4_OSXMMEXCPT)
#define CR4_PAGING \
	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_LA57)
/* Those whose change loads the PDPTEs anew (SDM 4.4.1). */
#define CR4_PDPTR	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP)

/* CR4 bits that exist only with a CPUID feature, which the host must have too. */
static const struct {
	u64 bit;
	u32 feature;
} cr4_features[] = {
	{ X86_CR4_OSXSAVE, X86_FEATURE_XSAVE },
	{ X86_CR4_SMEP, X86_FEATURE_SMEP },
	{ X86_CR4_SMAP, X86_FEATURE_SMAP },
	{ X86_CR4_FSGSBASE, X86_FEATURE_FSGSBASE },
	{ X86_CR4_PKE, X86_FEATURE_PKU },
	{ X86_CR4_LA57, X86_FEATURE_LA57 },
	{ X86_CR4_UMIP, X86_FEATURE_UMIP },
	{ X86_CR4_PCIDE, X86_FEATURE_PCID },
};

/* Until user space tells the features, all that the host has can be set. */
u64 cr4_guest_reserved(struct vcpu *vcpu)
{
	u64 known = CR4_KNOWN;
	int i;

	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (cpuid_offered(cr4_features[i].feature) &&
		    (!cpuid_told(vcpu) || guest_cpuid_has(vcpu, cr4_features[i].feature)))
			known |= cr4_features[i].bit;
	return ~known;
}

/* Reserved bits of the low half are ignored, those of the high half fault (SDM 2.5). */
static u64 cr0_fixed(u64 cr0)
{
	return (cr0 & ~(CR0_RESERVED & 0xffffffffull)) | X86_CR0_ET;
}

static bool cr0_valid(u64 cr0)
{
	if (cr0 & CR0_RESERVED)
		return false;
	if ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD))
		return false;
	return !(cr0 & X86_CR0_PG) || (cr0 & X86_CR0_PE);
}

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LMA);
}

/* P with any of the reserved bits 1-2, 5-8 or above MAXPHYADDR (SDM 4.4.1). */
bool vcpu_load_pdptrs(struct vcpu *vcpu, u64 cr3)
{
	u64 reserved = rsvd_bits_above(vcpu_maxphyaddr(vcpu)) | GENMASK(2, 1) | GENMASK(8, 5);
	u64 pdptr[4];
	int i;

	if (vcpu_gpa_read(vcpu, cr3 & 0xffffffe0u, pdptr, sizeof(pdptr)))
		return false;
	for (i = 0; i < 4; i++)
		if ((pdptr[i] & 1) && (pdptr[i] & reserved))
			return false;
	memcpy(regs_mod(vcpu, RG_CR3)->pdptr, pdptr, sizeof(pdptr));
	return true;
}

/* Turning paging on or off in long mode: EFER.LMA follows (SDM 10.8.5). */
static int cr0_long_mode(struct vcpu *vcpu, u64 cr0, u64 *efer)
{
	*efer = vcpu_efer(vcpu);
	if (!(*efer & EFER_LME) || !((cr0 ^ vcpu_cr0(vcpu)) & X86_CR0_PG))
		return 0;
	if (!(cr0 & X86_CR0_PG)) {
		*efer &= ~(u64)EFER_LMA;
		return vcpu_64bit(vcpu);
	}
	if (!(vcpu_cr4(vcpu) & X86_CR4_PAE) || (vcpu_seg(vcpu, SEG_CS)->attr & SEG_ATTR_L))
		return 1;
	*efer |= EFER_LMA;
	return 0;
}

int vcpu_set_cr0(struct vcpu *vcpu, u64 cr0)
{
	u64 old = vcpu_cr0(vcpu), efer;
	struct vcpu_regs *r;

	cr0 = cr0_fixed(cr0);
	if (!cr0_valid(cr0) || cr0_long_mode(vcpu, cr0, &efer))
		return 1;
	if (!(cr0 & X86_CR0_PG) && (vcpu_cr4(vcpu) & X86_CR4_PCIDE))
		return 1;
	if (((cr0 ^ old) & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) &&
	    pae_paging(cr0, vcpu_cr4(vcpu), efer) &&
	    !vcpu_load_pdptrs(vcpu, vcpu_cr3(vcpu)))
		return 1;
	r = regs_mod(vcpu, RG_CR);
	r->cr0 = cr0;
	r->efer = efer;
	if ((cr0 ^ old) & (X86_CR0_PG | X86_CR0_WP))
		vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	return 0;
}

int vcpu_set_cr3(struct vcpu *vcpu, u64 cr3)
{
	bool noflush = false;

	if (vcpu_cr4(vcpu) & X86_CR4_PCIDE) {
		noflush = cr3 & X86_CR3_PCID_NOFLUSH;
		cr3 &= ~X86_CR3_PCID_NOFLUSH;
	}
	if (vcpu_long_mode(vcpu) && (cr3 & rsvd_bits_above(vcpu_maxphyaddr(vcpu))))
		return 1;
	if (pae_paging(vcpu_cr0(vcpu), vcpu_cr4(vcpu), vcpu_efer(vcpu)) &&
	    !vcpu_load_pdptrs(vcpu, cr3))
		return 1;
	regs_mod(vcpu, RG_CR3)->cr3 = cr3;
	if (!noflush)
		vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	return 0;
}

int vcpu_set_cr4(struct vcpu *vcpu, u64 cr4)
{
	u64 old = vcpu_cr4(vcpu), diff = cr4 ^ old;

	if (cr4 & cr4_guest_reserved(vcpu))
		return 1;
	if (vcpu_long_mode(vcpu)) {
		if (!(cr4 & X86_CR4_PAE) || (diff & X86_CR4_LA57))
			return 1;
	} else if ((cr4 & X86_CR4_PCIDE) ||
		   ((diff & CR4_PDPTR) &&
		    pae_paging(vcpu_cr0(vcpu), cr4, vcpu_efer(vcpu)) &&
		    !vcpu_load_pdptrs(vcpu, vcpu_cr3(vcpu)))) {
		return 1;
	}
	if ((diff & cr4 & X86_CR4_PCIDE) && (vcpu_cr3(vcpu) & X86_CR3_PCID_MASK))
		return 1;
	regs_mod(vcpu, RG_CR)->cr4 = cr4;
	if (diff & (CR4_PAGING | X86_CR4_SMAP | X86_CR4_PKE | X86_CR4_PCIDE))
		vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	if (diff & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		cpuid_runtime_update(vcpu);
	return 0;
}

int vcpu_set_cr8(struct vcpu *vcpu, u64 cr8)
{
	if (cr8 & ~0xfull)
		return 1;
	if (vcpu->lapic)
		lapic_set_tpr(vcpu, cr8);
	else
		vcpu->regs.cr8 = cr8;
	return 0;
}

u64 vcpu_cr8(struct vcpu *vcpu)
{
	return vcpu->lapic ? lapic_get_tpr(vcpu) : vcpu->regs.cr8;
}

bool efer_valid(struct vcpu *vcpu, u64 efer)
{
	if (efer & ~vendor_caps.efer_mask)
		return false;
	if ((efer & (EFER_LME | EFER_LMA)) && !guest_cpuid_has(vcpu, X86_FEATURE_LM))
		return false;
	if ((efer & EFER_NX) && !guest_cpuid_has(vcpu, X86_FEATURE_NX))
		return false;
	return !(efer & EFER_FFXSR) || guest_cpuid_has(vcpu, X86_FEATURE_FXSR_OPT);
}

int vcpu_set_efer(struct vcpu *vcpu, u64 efer, bool host)
{
	u64 old = vcpu_efer(vcpu);

	if (efer & ~vendor_caps.efer_mask)
		return 1;
	if (!host) {
		if (!efer_valid(vcpu, efer))
			return 1;
		if (vcpu_paging(vcpu) && ((old ^ efer) & EFER_LME))
			return 1;
	}
	/* LMA is the CPU's, not the writer's. */
	efer = (efer & ~(u64)EFER_LMA) | (old & EFER_LMA);
	if (efer == old)
		return 0;
	regs_mod(vcpu, RG_CR)->efer = efer;
	if ((old ^ efer) & EFER_NX)
		vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	return 0;
}

static void seg_to_user(struct kvm_segment *out, const struct segment *s)
{
	*out = (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->selector,
		.type = s->attr & SEG_ATTR_TYPE,
		.present = !!(s->attr & SEG_ATTR_P) && !(s->attr & SEG_ATTR_UNUSABLE),
		.dpl = (s->attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT,
		.db = !!(s->attr & SEG_ATTR_DB), .s = !!(s->attr & SEG_ATTR_S),
		.l = !!(s->attr & SEG_ATTR_L), .g = !!(s->attr & SEG_ATTR_G),
		.avl = !!(s->attr & SEG_ATTR_AVL),
		.unusable = !!(s->attr & SEG_ATTR_UNUSABLE),
	};
}

static void seg_from_user(struct segment *out, const struct kvm_segment *s)
{
	u32 attr = (s->type & 0xf) | (s->s & 1) << 4 | (s->dpl & 3) << 5 |
		   (s->present & 1) << 7 | (s->avl & 1) << 12 | (s->l & 1) << 13 |
		   (s->db & 1) << 14 | (s->g & 1) << 15;

	if (s->unusable || !s->present)
		attr |= SEG_ATTR_UNUSABLE;
	*out = (struct segment){
		.selector = s->selector, .attr = attr, .limit = s->limit, .base = s->base,
	};
}

/* Members of struct kvm_sregs and kvm_sregs2 in the order of enum seg. */
#define SREGS_SEGMENTS(sregs) { \
	[SEG_ES] = &(sregs)->es, [SEG_CS] = &(sregs)->cs, [SEG_SS] = &(sregs)->ss, \
	[SEG_DS] = &(sregs)->ds, [SEG_FS] = &(sregs)->fs, [SEG_GS] = &(sregs)->gs, \
	[SEG_TR] = &(sregs)->tr, [SEG_LDTR] = &(sregs)->ldt }

static void dtable_to_user(struct kvm_dtable *out, const struct desc_table *t)
{
	*out = (struct kvm_dtable){ .base = t->base, .limit = t->limit };
}

/* What struct kvm_sregs and struct kvm_sregs2 begin with alike, every byte of it. */
static void sregs_get_common(struct vcpu *vcpu, struct kvm_sregs2 *s)
{
	struct kvm_segment *seg[NR_SEGS] = SREGS_SEGMENTS(s);
	int i;

	events_payload_for_user(vcpu);
	for (i = 0; i < NR_SEGS; i++)
		seg_to_user(seg[i], vcpu_seg(vcpu, i));
	dtable_to_user(&s->gdt, &regs_get(vcpu, RG_DESC)->gdt);
	dtable_to_user(&s->idt, &regs_get(vcpu, RG_DESC)->idt);
	s->cr0 = vcpu_cr0(vcpu);
	s->cr2 = regs_get(vcpu, RG_CR)->cr2;
	s->cr3 = vcpu_cr3(vcpu);
	s->cr4 = vcpu_cr4(vcpu);
	s->cr8 = vcpu_cr8(vcpu);
	s->efer = vcpu_efer(vcpu);
	s->apic_base = vcpu->apic_base;
}

#define SREGS_COMMON	offsetof(struct kvm_sregs2, flags)

/* Where the CPU keeps no PDPTEs, those in memory are the guest's at any time. */
static void load_memory_pdptrs(struct vcpu *vcpu, u64 cr3)
{
	int idx;

	if (!vendor_caps.pdptrs_in_memory)
		return;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	vcpu_load_pdptrs(vcpu, cr3);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

void sregs2_get(struct vcpu *vcpu, struct kvm_sregs2 *s)
{
	memset(s, 0, sizeof(*s));
	sregs_get_common(vcpu, s);
	if (pae_paging(s->cr0, s->cr4, s->efer)) {
		load_memory_pdptrs(vcpu, s->cr3);
		memcpy(s->pdptrs, regs_get(vcpu, RG_CR3)->pdptr, sizeof(s->pdptrs));
		s->flags |= KVM_SREGS2_FLAGS_PDPTRS_VALID;
	}
}

void sregs_get(struct vcpu *vcpu, struct kvm_sregs *s)
{
	BUILD_BUG_ON(SREGS_COMMON != offsetof(struct kvm_sregs, interrupt_bitmap));
	sregs_get_common(vcpu, (struct kvm_sregs2 *)s);
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
	if (vcpu->ev.irq.injected && !vcpu->ev.irq.soft)
		__set_bit(vcpu->ev.irq.vector, (unsigned long *)s->interrupt_bitmap);
	else if (!vcpu->lapic && vcpu->ev.user_vector >= 0)
		__set_bit(vcpu->ev.user_vector, (unsigned long *)s->interrupt_bitmap);
}

static bool sregs_valid(struct vcpu *vcpu, const struct kvm_sregs2 *s)
{
	if ((s->efer & EFER_LME) && (s->cr0 & X86_CR0_PG)) {
		if (!(s->cr4 & X86_CR4_PAE) || !(s->efer & EFER_LMA))
			return false;
		if (s->cr3 & rsvd_bits_above(vcpu_maxphyaddr(vcpu)))
			return false;
	} else if ((s->efer & EFER_LMA) || s->cs.l) {
		return false;
	}
	if ((s->cr4 & cr4_guest_reserved(vcpu)) || !efer_valid(vcpu, s->efer))
		return false;
	return cr0_valid(cr0_fixed(s->cr0));
}

static int sregs_set_common(struct vcpu *vcpu, const struct kvm_sregs2 *s, bool pdptrs)
{
	const struct kvm_segment *seg[NR_SEGS] = SREGS_SEGMENTS(s);
	struct vcpu_regs *r = &vcpu->regs;
	u64 old_base = vcpu->apic_base;
	bool mirrored;
	int i;

	if (!sregs_valid(vcpu, s))
		return -EINVAL;
	if (lapic_set_base(vcpu, s->apic_base, true))
		return -EINVAL;
	vcpu_set_cr8(vcpu, s->cr8 & 0xf);
	mirrored = ((vcpu_cr4(vcpu) ^ s->cr4) & (X86_CR4_OSXSAVE | X86_CR4_PKE)) ||
		   old_base != vcpu->apic_base;
	regs_mod(vcpu, RG_CR);
	r->cr0 = cr0_fixed(s->cr0);
	r->cr2 = s->cr2;
	r->cr4 = s->cr4;
	r->efer = s->efer;
	regs_mod(vcpu, RG_CR3)->cr3 = s->cr3;
	regs_mod(vcpu, RG_SEG);
	for (i = 0; i < NR_SEGS; i++)
		seg_from_user(&r->seg[i], seg[i]);
	regs_mod(vcpu, RG_DESC);
	r->gdt = (struct desc_table){ .base = s->gdt.base, .limit = s->gdt.limit };
	r->idt = (struct desc_table){ .base = s->idt.base, .limit = s->idt.limit };
	if (pdptrs && pae_paging(s->cr0, s->cr4, s->efer)) {
		i = srcu_read_lock(&vcpu->vm->srcu);
		vcpu_load_pdptrs(vcpu, s->cr3);
		srcu_read_unlock(&vcpu->vm->srcu, i);
	}
	if (mirrored)
		cpuid_runtime_update(vcpu);
	vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

static void sregs_wake_bsp(struct vcpu *vcpu, const struct kvm_sregs2 *s)
{
	/* Old user space sets the reset vector and expects the BSP to run. */
	if (vcpu_is_bsp(vcpu) && vcpu_rip(vcpu) == 0xfff0 && s->cs.selector == 0xf000 &&
	    s->cs.base == 0xffff0000 && !(s->cr0 & X86_CR0_PE))
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
}

int sregs_set(struct vcpu *vcpu, const struct kvm_sregs *s)
{
	struct kvm_sregs2 s2 = {};
	unsigned long vector;
	int err;

	memcpy(&s2, s, SREGS_COMMON);
	err = sregs_set_common(vcpu, &s2, true);
	if (err)
		return err;
	vector = find_first_bit((const unsigned long *)s->interrupt_bitmap, 256);
	if (vector < 256) {
		if (!vcpu->lapic)
			vcpu->ev.user_vector = -1;
		vcpu->ev.irq.injected = true;
		vcpu->ev.irq.soft = false;
		vcpu->ev.irq.vector = vector;
	}
	sregs_wake_bsp(vcpu, &s2);
	return 0;
}

int sregs2_set(struct vcpu *vcpu, const struct kvm_sregs2 *s)
{
	bool valid = s->flags & KVM_SREGS2_FLAGS_PDPTRS_VALID;
	bool pae = pae_paging(s->cr0, s->cr4, s->efer);
	int i, err;

	if (s->flags & ~KVM_SREGS2_FLAGS_PDPTRS_VALID)
		return -EINVAL;
	if (valid && !pae)
		return -EINVAL;
	err = sregs_set_common(vcpu, s, !valid);
	if (err)
		return err;
	if (valid) {
		regs_mod(vcpu, RG_CR3);
		for (i = 0; i < 4; i++)
			vcpu->regs.pdptr[i] = s->pdptrs[i];
	}
	sregs_wake_bsp(vcpu, s);
	return 0;
}
