// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ops table, the life of a vCPU, registers between their groups and the
 * VMCB, and what is intercepted when.
 */
#include <linux/gfp.h>
#include <asm/traps.h>

#include "../debug.h"
#include "../emulate.h"
#include "../pv/pv.h"
#include "svm.h"

static atomic64_t last_serial;

/* In enum seg order. */
static struct vmcb_segment *vmcb_seg(struct vmcb_save *s, enum seg seg)
{
	static const u16 offset[NR_SEGS] = {
		[SEG_ES] = offsetof(struct vmcb_save, es),
		[SEG_CS] = offsetof(struct vmcb_save, cs),
		[SEG_SS] = offsetof(struct vmcb_save, ss),
		[SEG_DS] = offsetof(struct vmcb_save, ds),
		[SEG_FS] = offsetof(struct vmcb_save, fs),
		[SEG_GS] = offsetof(struct vmcb_save, gs),
		[SEG_TR] = offsetof(struct vmcb_save, tr),
		[SEG_LDTR] = offsetof(struct vmcb_save, ldtr),
	};

	return (void *)s + offset[seg];
}

/*
 * The VMCB knows no "unusable": a segment that is not present is. G of CS is
 * not kept, the accessed bit of a loaded segment and the busy bit of TR are
 * implied, DPL of SS is the CPL field (15.5.1, table 15-2).
 */
static u32 attr_from_vmcb(const struct vmcb_segment *v, enum seg nr, u8 cpl)
{
	u32 attr = (v->attr & 0xff) | (v->attr & 0xf00) << 4;

	if (nr == SEG_SS)
		attr = (attr & ~SEG_ATTR_DPL) | cpl << SEG_ATTR_DPL_SHIFT;
	if (nr == SEG_CS) {
		attr &= ~(u32)SEG_ATTR_G;
		if (v->limit > 0xfffff)
			attr |= SEG_ATTR_G;
	}
	if (!(attr & SEG_ATTR_P)) {
		attr |= SEG_ATTR_UNUSABLE;
		if (nr == SEG_SS)
			attr &= ~(u32)SEG_ATTR_DB;
	} else if (nr == SEG_TR) {
		attr |= 2;
	} else if (nr != SEG_LDTR) {
		attr |= 1;
	}
	return attr;
}

static void seg_from_vmcb(struct segment *seg, const struct vmcb_segment *v, enum seg nr,
			  u8 cpl)
{
	seg->selector = v->selector;
	seg->limit = v->limit;
	seg->base = v->base;
	seg->attr = attr_from_vmcb(v, nr, cpl);
}

static void seg_to_vmcb(struct vmcb_segment *v, const struct segment *seg)
{
	v->selector = seg->selector;
	v->limit = seg->limit;
	v->base = seg->base;
	v->attr = (seg->attr & 0xff) | (seg->attr >> 4 & 0xf00);
	if (seg->attr & SEG_ATTR_UNUSABLE)
		v->attr &= ~(u16)SEG_ATTR_P;
}

static void fetch_rsp(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	r->gpr[GPR_RSP] = svm->vmcb->save.rsp;
}

static void fetch_rip(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	r->rip = svm->vmcb->save.rip;
}

static void fetch_rflags(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	r->rflags = svm->vmcb->save.rflags;
}

static void fetch_seg(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;
	int i;

	for (i = 0; i < NR_SEGS; i++)
		seg_from_vmcb(&r->seg[i], vmcb_seg(s, i), i, s->cpl);
	svm->mode.cpl = MODE_UNKNOWN;
}

/* All of it but the base. */
static u64 vmcb_seg_word(const struct vmcb_segment *v)
{
	return *(const u64 *)v;
}

/* Mostly they are what they were at the last exit. */
static __always_inline void fetch_mode_inline(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;
	struct svm_mode *mode = &svm->mode;

	if (likely(mode->cs == vmcb_seg_word(&s->cs) && mode->ss == vmcb_seg_word(&s->ss) &&
		   mode->cpl == s->cpl))
		return;
	r->seg[SEG_CS].attr = attr_from_vmcb(&s->cs, SEG_CS, s->cpl);
	r->seg[SEG_SS].attr = attr_from_vmcb(&s->ss, SEG_SS, s->cpl);
	mode->cs = vmcb_seg_word(&s->cs);
	mode->ss = vmcb_seg_word(&s->ss);
	mode->cpl = s->cpl;
}

static void fetch_mode(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	fetch_mode_inline(svm, r);
}

static void fetch_desc(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;

	r->gdt = (struct desc_table){ s->gdtr.base, s->gdtr.limit };
	r->idt = (struct desc_table){ s->idtr.base, s->idtr.limit };
}

/* CR4 is never changed without an exit, CR0 only while it is the guest's own. */
static void fetch_cr(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;

	if (!svm->cr0_hidden)
		r->cr0 = s->cr0;
	r->cr2 = s->cr2;
	r->efer = s->efer & ~(u64)EFER_SVME;
}

static void fetch_cr3(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	r->cr3 = svm->vmcb->save.cr3;
}

static void fetch_intr(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	/* Which of the two it is, the hardware does not tell. */
	r->intr_shadow = svm->vmcb->control.int_state & INTSTATE_SHADOW ?
			 KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS : 0;
	r->nmi_blocked = svm->nmi_masked;
}

static void fetch_sysenter(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;

	r->sysenter_cs = s->sysenter_cs;
	r->sysenter_esp = s->sysenter_esp;
	r->sysenter_eip = s->sysenter_eip;
	r->star = s->star;
	r->lstar = s->lstar;
	r->cstar = s->cstar;
	r->fmask = s->sfmask;
	r->kernel_gs_base = s->kernel_gs_base;
}

static void flush_rsp(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	svm->vmcb->save.rsp = r->gpr[GPR_RSP];
}

static void flush_rip(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	svm->vmcb->save.rip = r->rip;
}

static void flush_rflags(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	svm->vmcb->save.rflags = r->rflags;
}

static void flush_seg(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;
	int i;

	for (i = 0; i < NR_SEGS; i++)
		seg_to_vmcb(vmcb_seg(s, i), &r->seg[i]);
	s->cpl = (r->seg[SEG_SS].attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
	svm->mode.cpl = MODE_UNKNOWN;
	vmcb_dirty(svm, CLEAN_SEG);
}

static void flush_desc(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;

	s->gdtr.base = r->gdt.base;
	s->gdtr.limit = r->gdt.limit;
	s->idtr.base = r->idt.base;
	s->idtr.limit = r->idt.limit;
	vmcb_dirty(svm, CLEAN_DT);
}

#define CR0_PAGING	(X86_CR0_PG | X86_CR0_WP)
#define CR4_PAGING	(X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_LA57 | \
			 X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PKE)
#define EFER_PAGING	(EFER_LME | EFER_LMA | EFER_NX)

static void hide_cr(struct vcpu_svm *svm, bool cr0, bool cr4)
{
	if (svm->cr0_hidden == cr0 && svm->cr4_hidden == cr4)
		return;
	svm->cr0_hidden = cr0;
	svm->cr4_hidden = cr4;
	svm_recalc_intercepts(svm);
}

/* Of CR0, not the guest's but by its own wish: KVM_X86_QUIRK_CD_NW_CLEARED. */
static u64 cr0_hidden_bits(const struct vcpu_svm *svm)
{
	return vm_quirk(svm->vcpu.vm, KVM_X86_QUIRK_CD_NW_CLEARED) ?
	       X86_CR0_CD | X86_CR0_NW : 0;
}

/*
 * The caches stay on whatever CR0.CD says (firmware often leaves it set), and
 * machine checks stay the host's: those bits of the hardware's registers are
 * not the guest's, which then may neither read nor write them without exit.
 */
static void flush_cr(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	u64 cr0 = r->cr0 & ~cr0_hidden_bits(svm);
	u64 cr4 = r->cr4 | (native_read_cr4() & X86_CR4_MCE);
	struct vmcb_save *s = &svm->vmcb->save;
	u64 efer = r->efer | EFER_SVME;

	if (((cr0 ^ s->cr0) & CR0_PAGING) || ((cr4 ^ s->cr4) & CR4_PAGING) ||
	    ((efer ^ s->efer) & EFER_PAGING))
		svm->flush = true;
	s->cr0 = cr0;
	s->cr2 = r->cr2;
	s->cr4 = cr4;
	s->efer = efer;
	vmcb_dirty(svm, CLEAN_CR | CLEAN_CR2);
	hide_cr(svm, cr0 != r->cr0, cr4 != r->cr4);
}

static void flush_cr3(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	if (svm->vmcb->save.cr3 != r->cr3)
		svm->flush = true;
	svm->vmcb->save.cr3 = r->cr3;
	vmcb_dirty(svm, CLEAN_CR);
}

static void flush_dr(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	svm->vmcb->save.dr7 = debug_effective_dr7(&svm->vcpu);
	vmcb_dirty(svm, CLEAN_DR);
}

static void flush_intr(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	svm->vmcb->control.int_state &= ~(u64)INTSTATE_SHADOW;
	if (r->intr_shadow)
		svm->vmcb->control.int_state |= INTSTATE_SHADOW;
	svm_set_nmi_masked(svm, r->nmi_blocked);
}

static void flush_sysenter(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	struct vmcb_save *s = &svm->vmcb->save;

	s->sysenter_cs = r->sysenter_cs;
	s->sysenter_esp = r->sysenter_esp;
	s->sysenter_eip = r->sysenter_eip;
	s->star = r->star;
	s->lstar = r->lstar;
	s->cstar = r->cstar;
	s->sfmask = r->fmask;
	s->kernel_gs_base = r->kernel_gs_base;
}

static void flush_pat(struct vcpu_svm *svm, struct vcpu_regs *r)
{
	svm->vmcb->save.g_pat = r->pat;
	vmcb_dirty(svm, CLEAN_NP);
}

/*
 * Groups without a fetch never change behind our back: PAT is intercepted,
 * and debug registers are read back at once when the guest had them (run.c).
 */
static const struct {
	void (*fetch)(struct vcpu_svm *svm, struct vcpu_regs *r);
	void (*flush)(struct vcpu_svm *svm, struct vcpu_regs *r);
} groups[NR_REG_GROUPS] = {
	[RG_RSP] = { fetch_rsp, flush_rsp },
	[RG_RIP] = { fetch_rip, flush_rip },
	[RG_RFLAGS] = { fetch_rflags, flush_rflags },
	[RG_SEG] = { fetch_seg, flush_seg },
	[RG_DESC] = { fetch_desc, flush_desc },
	[RG_CR] = { fetch_cr, flush_cr },
	[RG_CR3] = { fetch_cr3, flush_cr3 },
	[RG_DR] = { NULL, flush_dr },
	[RG_INTR] = { fetch_intr, flush_intr },
	[RG_SYSENTER] = { fetch_sysenter, flush_sysenter },
	[RG_PAT] = { NULL, flush_pat },
	[RG_MODE] = { fetch_mode, NULL },
};

static void svm_fetch(struct vcpu *vcpu, u32 wanted)
{
	unsigned int group;

	for (; wanted; wanted &= wanted - 1) {
		group = __ffs(wanted);
		if (groups[group].fetch)
			groups[group].fetch(to_svm(vcpu), &vcpu->regs);
	}
}

/* What most exits ask for is a load each: no call can be cheaper. */
#define FETCHED_AT_EXIT \
	(BIT(RG_RSP) | BIT(RG_RIP) | BIT(RG_RFLAGS) | BIT(RG_CR) | BIT(RG_CR3) | BIT(RG_INTR))
#define FETCHED_WHEN_ASKED \
	(BIT(RG_SEG) | BIT(RG_DESC) | BIT(RG_SYSENTER) | BIT(RG_MODE))

void svm_regs_after_exit(struct vcpu_svm *svm)
{
	struct vcpu_regs *r = &svm->vcpu.regs;

	fetch_rsp(svm, r);
	fetch_rip(svm, r);
	fetch_rflags(svm, r);
	fetch_cr(svm, r);
	fetch_cr3(svm, r);
	fetch_intr(svm, r);
	r->gpr[GPR_RAX] = svm->vmcb->save.rax;
	r->avail = (r->avail & ~FETCHED_WHEN_ASKED) | FETCHED_AT_EXIT;
	/* Where the code has to be read to step over it, nearly all ask for the mode. */
	if (!svm_caps.nrips && svm->vcpu.exit.kind != EXIT_IO) {
		fetch_mode_inline(svm, r);
		r->avail |= BIT(RG_MODE);
	}
}

void svm_flush_groups(struct vcpu_svm *svm)
{
	struct vcpu_regs *r = &svm->vcpu.regs;
	unsigned long dirty = r->dirty;
	unsigned int group;

	for_each_set_bit(group, &dirty, NR_REG_GROUPS)
		groups[group].flush(svm, r);
}

#define DR_ALL (0xff | 0xff << 16)

static u32 cr_intercepts(const struct vcpu_svm *svm)
{
	/* CR4 always, for the bits this guest must not set. */
	u32 icpt = ICPT_WRITE(4);

	if (svm->cr4_hidden)
		icpt |= ICPT_READ(4);
	if (svm->cr0_hidden)
		icpt |= ICPT_READ(0) | ICPT_WRITE(0);
	if (svm->icpt_cr8)
		icpt |= ICPT_WRITE(8);
	return icpt;
}

static u32 exception_intercepts(const struct vcpu_svm *svm)
{
	/*
	 * #DB and #AC can follow one another without end inside the CPU, with
	 * no chance for interrupts, if the guest gets them unseen.
	 */
	u32 icpt = BIT(X86_TRAP_DB) | BIT(X86_TRAP_AC) | BIT(X86_TRAP_MC);

	if (svm->vcpu.guest_debug & KVM_GUESTDBG_USE_SW_BP)
		icpt |= BIT(X86_TRAP_BP);
	/* RSM, too, where its own intercept does not come before the #UD. */
	if (emulation_wants_ud(&svm->vcpu))
		icpt |= BIT(X86_TRAP_UD);
	return icpt;
}

static u32 misc1_intercepts(const struct vcpu_svm *svm)
{
	u32 icpt = ICPT1_INTR | ICPT1_NMI | ICPT1_SMI | ICPT1_INIT | ICPT1_RDPMC |
		   ICPT1_CR0_SEL_WRITE |
		   ICPT1_CPUID | ICPT1_RSM | ICPT1_INVD | ICPT1_INVLPGA |
		   ICPT1_IOIO | ICPT1_MSR | ICPT1_TASK_SWITCH | ICPT1_SHUTDOWN;
	u32 disabled = svm->vcpu.vm->disabled_exits;

	if (!(disabled & KVM_X86_DISABLE_EXITS_HLT))
		icpt |= ICPT1_HLT;
	if (svm_pause_exits(svm->vcpu.vm))
		icpt |= ICPT1_PAUSE;
	if (svm->windows & WINDOW_IRQ)
		icpt |= ICPT1_VINTR;
	if (svm->icpt_iret)
		icpt |= ICPT1_IRET;
	return icpt;
}

static u32 misc2_intercepts(const struct vcpu_svm *svm)
{
	u32 disabled = svm->vcpu.vm->disabled_exits;
	u32 icpt = ICPT2_VMRUN | ICPT2_VMMCALL | ICPT2_VMLOAD | ICPT2_VMSAVE |
		   ICPT2_STGI | ICPT2_CLGI | ICPT2_SKINIT | ICPT2_WBINVD |
		   ICPT2_XSETBV | ICPT2_RDPRU;

	if (!(disabled & KVM_X86_DISABLE_EXITS_MWAIT))
		icpt |= ICPT2_MONITOR | ICPT2_MWAIT;
	if (!svm->guest_rdtscp)
		icpt |= ICPT2_RDTSCP;
	return icpt;
}

static u32 misc3_intercepts(const struct vcpu_svm *svm)
{
	return svm->guest_invpcid ? 0 : ICPT3_INVPCID;
}

/* The whole of what is intercepted now; cheap enough to do at each change. */
void svm_recalc_intercepts(struct vcpu_svm *svm)
{
	u32 *icpt = svm->vmcb->control.intercept;

	icpt[ICPT_CR] = cr_intercepts(svm);
	icpt[ICPT_DR] = svm->dr_live ? 0 : DR_ALL;
	icpt[ICPT_EXCEPTION] = exception_intercepts(svm);
	icpt[ICPT_MISC1] = misc1_intercepts(svm);
	icpt[ICPT_MISC2] = misc2_intercepts(svm);
	icpt[ICPT_MISC3] = misc3_intercepts(svm);
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

static void use_msrpm(struct vcpu_svm *svm, enum svm_msrpm map)
{
	svm->vmcb->control.msrpm_pa = svm_page_pa(svm_msrpm[map]);
	vmcb_dirty(svm, CLEAN_PERM_MAPS);
}

/*
 * SPEC_CTRL is the guest's own where the VMCB holds it or once it wrote it. A
 * filter of user space is asked at each access, whatever the MSR.
 */
static enum svm_msrpm choose_msrpm(struct vcpu_svm *svm)
{
	if (rcu_access_pointer(svm->vcpu.vm->msr_filter))
		return MSRPM_ALL;
	if (!svm_guest_has_spec_ctrl(&svm->vcpu))
		return MSRPM_BASE;
	return svm_caps.virt_spec_ctrl || svm->spec_passthrough ? MSRPM_SPEC_CTRL : MSRPM_BASE;
}

static void svm_update_intercepts(struct vcpu *vcpu)
{
	struct vcpu_svm *svm = to_svm(vcpu);

	svm->guest_rdtscp = svm_caps.rdtscp &&
			    (guest_cpuid_has(vcpu, X86_FEATURE_RDTSCP) ||
			     guest_cpuid_has(vcpu, X86_FEATURE_RDPID));
	svm->guest_invpcid = guest_cpuid_has(vcpu, X86_FEATURE_INVPCID);
	if (debug_owns_drs(vcpu))
		svm->dr_live = false;
	/* SMM may come between an IRET's intercept and its execution: wait for it again. */
	if (svm->iret_pending) {
		svm->iret_pending = false;
		svm->icpt_iret = svm->nmi_masked;
	}
	use_msrpm(svm, choose_msrpm(svm));
	svm_recalc_intercepts(svm);
}

void svm_write_tsc(struct vcpu *vcpu)
{
	struct vcpu_svm *svm = to_svm(vcpu);

	/* The ratio is an MSR of the CPU: run.c. */
	svm->vmcb->control.tsc_offset = vcpu->tsc_offset;
	vmcb_dirty(svm, CLEAN_INTERCEPTS);
}

static int svm_set_timer(struct vcpu *vcpu, u64 guest_tsc)
{
	return -EOPNOTSUPP;
}

static int svm_vm_create(struct vm *vm)
{
	return 0;
}

static void svm_vm_destroy(struct vm *vm)
{
}

static void init_control(struct vmcb_control *c)
{
	c->iopm_pa = svm_page_pa(svm_iopm);
	c->msrpm_pa = svm_page_pa(svm_msrpm[MSRPM_BASE]);
	c->int_ctl = INTCTL_MASKING;
	c->nested_ctl = NESTED_NP;
	svm_pause_init(c);
}

static int svm_vcpu_create(struct vcpu *vcpu)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	struct page *page = svm_alloc_page(NUMA_NO_NODE, GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (!page)
		return -ENOMEM;
	svm->vmcb = page_address(page);
	svm->serial = atomic64_inc_return(&last_serial);
	svm->last_cpu = -1;
	svm->run.gpr = vcpu->regs.gpr;
	svm->run.vmcb_pa = svm_page_pa(page);
	init_control(&svm->vmcb->control);
	svm_recalc_intercepts(svm);
	return 0;
}

static void svm_vcpu_destroy(struct vcpu *vcpu)
{
	free_page((unsigned long)to_svm(vcpu)->vmcb);
}

static void svm_vcpu_reset(struct vcpu *vcpu, bool init)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	struct vmcb_control *c = &svm->vmcb->control;

	c->event_inj = 0;
	c->int_state = 0;
	c->int_ctl = INTCTL_MASKING;
	svm->event.type = EVENT_NONE;
	svm->stepping = false;
	svm->windows = 0;
	svm->icpt_cr8 = false;
	svm->dr_live = false;
	svm->nmi_masked = false;
	svm->iret_pending = false;
	svm->icpt_iret = false;
	svm->clean = 0;
	svm->flush = true;
	if (!init)
		svm_reset_msrs(svm);
	svm_update_intercepts(vcpu);
}

const struct vmm_vendor_ops svm_ops = {
	.name = "svm",
#define SVM_OP(ret, name, ...) .name = svm_##name,
	VMM_VENDOR_OPS(SVM_OP)
#undef SVM_OP
};
