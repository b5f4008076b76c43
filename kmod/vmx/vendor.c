// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VT-x operations: life of a vCPU, its register groups, what exits.
 */
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/math64.h>
#include <asm/desc.h>
#include <asm/debugreg.h>

#include "../cpuid.h"
#include "../debug.h"
#include "../emulate.h"
#include "../pv/pv.h"
#include "../sregs.h"
#include "vmx.h"

/*
 * Bits of CR0 and CR4 that the guest changes without exit. Owned by us are
 * those that VT-x fixes (NE, VMXE), that would reach the host (CD, NW, MCE),
 * that switch modes (PE, PG, PAE, LA57, PCIDE), and that CPUID mirrors
 * (OSXSAVE, PKE). SDM 25.6.6.
 */
#define CR0_GUEST_OWNED	(X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_WP | X86_CR0_AM)
#define CR4_GUEST_OWNED						\
	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE |	\
	 X86_CR4_PSE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | \
	 X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE | X86_CR4_SMEP |	\
	 X86_CR4_SMAP | X86_CR4_UMIP)

/* Pending debug exceptions: a single step completed (SDM 25.4.2). */
#define PENDING_DBG_BS	BIT(14)

static DEFINE_IDA(vpids);
static atomic64_t last_serial;

/* ---- register groups ---------------------------------------------------- */

/* Position in the VMCS of our segment order: LDTR stands before TR. */
static unsigned int vmcs_seg(unsigned int seg)
{
	return seg < SEG_TR ? seg : seg == SEG_TR ? 7 : 6;
}

static bool pae_paging(const struct vcpu_regs *r)
{
	return (r->cr0 & X86_CR0_PG) && (r->cr4 & X86_CR4_PAE) && !(r->efer & EFER_LMA);
}

static void fetch_rsp(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->gpr[GPR_RSP] = vmcs_readl(GUEST_RSP);
}

static void flush_rsp(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	vmcs_writel(GUEST_RSP, r->gpr[GPR_RSP]);
}

static void fetch_rip(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->rip = vmcs_readl(GUEST_RIP);
}

static void flush_rip(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	vmcs_writel(GUEST_RIP, r->rip);
}

static void fetch_rflags(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->rflags = vmcs_readl(GUEST_RFLAGS);
}

static void flush_rflags(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	vmcs_writel(GUEST_RFLAGS, r->rflags);
}

/* An unusable segment reads as not present, whatever was left in its rights. */
static void fetch_seg(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	struct segment *seg;
	unsigned int i, n;

	for (i = 0; i < NR_SEGS; i++) {
		seg = &r->seg[i];
		n = 2 * vmcs_seg(i);
		seg->selector = vmcs_read_raw(GUEST_ES_SELECTOR + n);
		seg->base = vmcs_read_raw(GUEST_ES_BASE + n);
		seg->limit = vmcs_read_raw(GUEST_ES_LIMIT + n);
		seg->attr = vmcs_read_raw(GUEST_ES_AR_BYTES + n);
		if (seg->attr & SEG_ATTR_UNUSABLE)
			seg->attr &= ~SEG_ATTR_P;
	}
}

/*
 * What VM entry wants of a segment's rights (SDM 27.3.1.2) though user space
 * need not know it: absent means unusable, a descriptor that is loaded has
 * been accessed, a loaded task is busy and, in IA-32e mode, a 64-bit one.
 */
static u32 entry_rights(unsigned int seg, u32 attr, bool long_mode)
{
	if (!(attr & SEG_ATTR_P))
		return attr | SEG_ATTR_UNUSABLE;
	if (seg == SEG_TR)
		return attr | (long_mode ? 0xb : 2);
	if (seg != SEG_LDTR && !(attr & SEG_ATTR_UNUSABLE))
		return attr | 1;
	return attr;
}

static void flush_seg(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	const struct segment *seg;
	unsigned int i, n;

	for (i = 0; i < NR_SEGS; i++) {
		seg = &r->seg[i];
		n = 2 * vmcs_seg(i);
		vmcs_write_raw(GUEST_ES_SELECTOR + n, seg->selector);
		vmcs_write_raw(GUEST_ES_BASE + n, seg->base);
		vmcs_write_raw(GUEST_ES_LIMIT + n, seg->limit);
		vmcs_write_raw(GUEST_ES_AR_BYTES + n,
			       entry_rights(i, seg->attr, r->efer & EFER_LMA));
	}
}

static void fetch_mode(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->seg[SEG_CS].attr = vmcs_read32(GUEST_CS_AR_BYTES);
	r->seg[SEG_SS].attr = vmcs_read32(GUEST_SS_AR_BYTES);
}

static void fetch_desc(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->gdt.base = vmcs_readl(GUEST_GDTR_BASE);
	r->gdt.limit = vmcs_read32(GUEST_GDTR_LIMIT);
	r->idt.base = vmcs_readl(GUEST_IDTR_BASE);
	r->idt.limit = vmcs_read32(GUEST_IDTR_LIMIT);
}

static void flush_desc(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	vmcs_writel(GUEST_GDTR_BASE, r->gdt.base);
	vmcs_write32(GUEST_GDTR_LIMIT, r->gdt.limit);
	vmcs_writel(GUEST_IDTR_BASE, r->idt.base);
	vmcs_write32(GUEST_IDTR_LIMIT, r->idt.limit);
}

/*
 * Bits that we own are always right in the copies, since only common code
 * changes them; so is EFER, and CR2 is saved by every exit.
 */
static void fetch_cr(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->cr0 = (r->cr0 & ~vmx->cr0_owned) | (vmcs_readl(GUEST_CR0) & vmx->cr0_owned);
	r->cr4 = (r->cr4 & ~vmx->cr4_owned) | (vmcs_readl(GUEST_CR4) & vmx->cr4_owned);
}

/* A TSS loaded before long mode was entered counts as a 64-bit one. */
static void fix_tr_for_long_mode(void)
{
	u32 rights = vmcs_read32(GUEST_TR_AR_BYTES);

	if ((rights & VMX_AR_TYPE_MASK) != VMX_AR_TYPE_BUSY_64_TSS)
		vmcs_write32(GUEST_TR_AR_BYTES, rights | VMX_AR_TYPE_BUSY_64_TSS);
}

/*
 * CD and NW stay with the host: the guest's memory types come from EPT and
 * PAT. A machine check must not find CR4.MCE off, so that is the host's too.
 */
static void flush_cr(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	u64 host_mce = __read_cr4() & X86_CR4_MCE;

	vmcs_writel(GUEST_CR0, (r->cr0 & ~(X86_CR0_CD | X86_CR0_NW)) | X86_CR0_NE | X86_CR0_ET);
	vmcs_writel(CR0_READ_SHADOW, r->cr0);
	vmcs_writel(GUEST_CR4, (r->cr4 & ~X86_CR4_MCE) | X86_CR4_VMXE | host_mce);
	vmcs_writel(CR4_READ_SHADOW, r->cr4);
	vmcs_write64(GUEST_IA32_EFER, r->efer);
	vmx_want(vmx, VCTL_ENTRY, VM_ENTRY_IA32E_MODE, r->efer & EFER_LMA);
	vmx_load_syscall_msrs(vmx);
	if (r->efer & EFER_LMA)
		fix_tr_for_long_mode();
}

/* Under EPT the CPU keeps the PDPTEs in the VMCS. SDM 27.3.2.4, 28.3.3. */
static void fetch_cr3(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	int i;

	r->cr3 = vmcs_readl(GUEST_CR3);
	if (pae_paging(r))
		for (i = 0; i < 4; i++)
			r->pdptr[i] = vmcs_read_raw(GUEST_PDPTR0 + 2 * i);
}

static void flush_cr3(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	int i;

	vmcs_writel(GUEST_CR3, r->cr3);
	if (pae_paging(r))
		for (i = 0; i < 4; i++)
			vmcs_write_raw(GUEST_PDPTR0 + 2 * i, r->pdptr[i]);
}

/* MOV DR exits and #DB is intercepted, so the copies are always right. */
static void fetch_dr(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
}

static void flush_dr(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	int i;

	for (i = 0; i < 4; i++)
		vmx->dr[i] = debug_effective_dr(&vmx->vcpu, i);
	vmx->dr7 = debug_effective_dr7(&vmx->vcpu);
	vmcs_writel(GUEST_DR7, vmx->dr7);
}

static inline void fetch_intr(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	u32 info = vmcs_read32(GUEST_INTERRUPTIBILITY_INFO);

	r->intr_shadow = 0;
	r->nmi_blocked = false;
	if (likely(!info))
		return;
	if (info & GUEST_INTR_STATE_STI)
		r->intr_shadow |= KVM_X86_SHADOW_INT_STI;
	if (info & GUEST_INTR_STATE_MOV_SS)
		r->intr_shadow |= KVM_X86_SHADOW_INT_MOV_SS;
	r->nmi_blocked = info & GUEST_INTR_STATE_NMI;
}

/*
 * Both shadows at once fail the entry, MOV SS is the stronger; so may that of
 * STI beside an NMI, whose delivery ends it anyway. SDM 27.3.1.5.
 */
static void flush_intr(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	u32 info = 0;

	if (r->intr_shadow & KVM_X86_SHADOW_INT_MOV_SS)
		info = GUEST_INTR_STATE_MOV_SS;
	else if ((r->intr_shadow & KVM_X86_SHADOW_INT_STI) && vmx->event.type != EVENT_NMI)
		info = GUEST_INTR_STATE_STI;
	/* An entry that injects an NMI blocks them itself, and wants the bit clear. */
	if (r->nmi_blocked && vmx->event.type != EVENT_NMI)
		info |= GUEST_INTR_STATE_NMI;
	vmcs_write32(GUEST_INTERRUPTIBILITY_INFO, info);
}

/* kernel_gs_base passes through; outside a stay its copy is right. */
static void fetch_sysenter(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->sysenter_cs = vmcs_read32(GUEST_SYSENTER_CS);
	r->sysenter_esp = vmcs_readl(GUEST_SYSENTER_ESP);
	r->sysenter_eip = vmcs_readl(GUEST_SYSENTER_EIP);
	if (vmx->in_stay)
		vmm_rdmsr(MSR_KERNEL_GS_BASE, r->kernel_gs_base);
}

static void flush_sysenter(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	vmcs_write32(GUEST_SYSENTER_CS, r->sysenter_cs);
	vmcs_writel(GUEST_SYSENTER_ESP, r->sysenter_esp);
	vmcs_writel(GUEST_SYSENTER_EIP, r->sysenter_eip);
	vmx_load_guest_msrs(vmx);
}

static void fetch_pat(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	r->pat = vmcs_read64(GUEST_IA32_PAT);
}

static void flush_pat(struct vcpu_vmx *vmx, struct vcpu_regs *r)
{
	vmcs_write64(GUEST_IA32_PAT, r->pat);
}

typedef void reg_fn(struct vcpu_vmx *vmx, struct vcpu_regs *r);

/* RG_CR3 asks for the paging mode, whose bits of RG_CR are always there. */
static const struct {
	reg_fn *fetch, *flush;
} reg_fns[NR_REG_GROUPS] = {
	[RG_RSP] = { fetch_rsp, flush_rsp },
	[RG_RIP] = { fetch_rip, flush_rip },
	[RG_RFLAGS] = { fetch_rflags, flush_rflags },
	[RG_SEG] = { fetch_seg, flush_seg },
	[RG_DESC] = { fetch_desc, flush_desc },
	[RG_CR] = { fetch_cr, flush_cr },
	[RG_CR3] = { fetch_cr3, flush_cr3 },
	[RG_DR] = { fetch_dr, flush_dr },
	[RG_INTR] = { fetch_intr, flush_intr },
	[RG_SYSENTER] = { fetch_sysenter, flush_sysenter },
	[RG_PAT] = { fetch_pat, flush_pat },
	[RG_MODE] = { fetch_mode, NULL },
};

static __always_inline void fetch_groups(struct vcpu_vmx *vmx, u32 groups)
{
	struct vcpu_regs *r = &vmx->vcpu.regs;

	/* Without calls. */
	if ((groups & RGS_OF_INSN) == RGS_OF_INSN) {
		fetch_rip(vmx, r);
		fetch_rflags(vmx, r);
		fetch_cr3(vmx, r);
		fetch_intr(vmx, r);
		fetch_mode(vmx, r);
		groups &= ~RGS_OF_INSN;
	}
	for (; groups; groups &= groups - 1)
		reg_fns[__ffs(groups)].fetch(vmx, r);
}

static void vmx_fetch(struct vcpu *vcpu, u32 groups)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	if (likely(vmx->in_stay)) {
		fetch_groups(vmx, groups);
		return;
	}
	preempt_disable();
	vmx_vmcs_load(vmx);
	fetch_groups(vmx, groups);
	preempt_enable();
}

/* After an instruction's exit: what stepping over it takes. What is newer already stays. */
void vmx_fetch_for_skip(struct vcpu_vmx *vmx)
{
	struct vcpu_regs *r = &vmx->vcpu.regs;

	fetch_rip(vmx, r);
	fetch_rflags(vmx, r);
	if (likely(!(r->avail & BIT(RG_INTR))))
		fetch_intr(vmx, r);
	r->avail |= BIT(RG_RIP) | BIT(RG_RFLAGS) | BIT(RG_INTR);
}

/*
 * TF together with an interrupt shadow: entry fails unless a single-step trap
 * is pending (SDM 27.3.1.5), as it is when the guest itself got there. When
 * user space steps the guest the shadow goes instead.
 */
static void fix_single_step(struct vcpu_vmx *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;

	if (!(vcpu_rflags(vcpu) & X86_EFLAGS_TF) ||
	    !regs_get(vcpu, RG_INTR)->intr_shadow)
		return;
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP) {
		vcpu->regs.intr_shadow = 0;
		flush_intr(vmx, &vcpu->regs);
	} else {
		vmcs_writel(GUEST_PENDING_DBG_EXCEPTIONS,
			    vmcs_readl(GUEST_PENDING_DBG_EXCEPTIONS) | PENDING_DBG_BS);
	}
}

void vmx_flush_rflags(struct vcpu_vmx *vmx)
{
	flush_rflags(vmx, &vmx->vcpu.regs);
	fix_single_step(vmx);
}

/* Irqs off, VMCS current. */
void vmx_flush_groups(struct vcpu_vmx *vmx)
{
	struct vcpu_regs *r = &vmx->vcpu.regs;
	unsigned long dirty = r->dirty;
	unsigned int group;

	for_each_set_bit(group, &dirty, NR_REG_GROUPS)
		reg_fns[group].flush(vmx, r);
	if (dirty & (BIT(RG_RFLAGS) | BIT(RG_INTR)))
		fix_single_step(vmx);
	r->dirty = 0;
}

/* ---- what exits --------------------------------------------------------- */

static const u16 ctl_fields[NR_CTLS] = {
	[VCTL_PIN] = PIN_BASED_VM_EXEC_CONTROL,
	[VCTL_CPU] = CPU_BASED_VM_EXEC_CONTROL,
	[VCTL_CPU2] = SECONDARY_VM_EXEC_CONTROL,
	[VCTL_EXIT] = VM_EXIT_CONTROLS,
	[VCTL_ENTRY] = VM_ENTRY_CONTROLS,
	[VCTL_EXCEPTIONS] = EXCEPTION_BITMAP,
};

void vmx_sync_controls(struct vcpu_vmx *vmx)
{
	int i;

	vmx->controls_changed = false;
	for (i = 0; i < NR_CTLS; i++) {
		if (likely(vmx->want[i] == vmx->have[i]))
			continue;
		vmcs_write_raw(ctl_fields[i], vmx->want[i]);
		vmx->have[i] = vmx->want[i];
	}
}

/* Instructions that a secondary control takes from a guest without the feature. */
static const struct {
	u32 feature, bit;
	bool exit_without;	/* the control makes exits instead of enabling */
} insn_controls[] = {
	{ X86_FEATURE_RDTSCP, SECONDARY_EXEC_ENABLE_RDTSCP, false },
	{ X86_FEATURE_RDPID, SECONDARY_EXEC_ENABLE_RDTSCP, false },
	{ X86_FEATURE_INVPCID, SECONDARY_EXEC_ENABLE_INVPCID, false },
	{ X86_FEATURE_XSAVES, VMX_CTL2_XSAVES, false },
	{ X86_FEATURE_RDRAND, SECONDARY_EXEC_RDRAND_EXITING, true },
	{ X86_FEATURE_RDSEED, SECONDARY_EXEC_RDSEED_EXITING, true },
};

static u32 insn_control_bits(struct vcpu *vcpu)
{
	u32 bits = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(insn_controls); i++)
		if (guest_cpuid_has(vcpu, insn_controls[i].feature) !=
		    insn_controls[i].exit_without)
			bits |= insn_controls[i].bit;
	return bits & vmx_caps.allowed[VCTL_CPU2];
}

static u32 cpu_controls(struct vcpu_vmx *vmx)
{
	u32 windows = CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING;
	u32 off = vmx->vcpu.vm->disabled_exits;
	u32 ctl = vmx_caps.base[VCTL_CPU] | (vmx->want[VCTL_CPU] & windows);

	if (vmx_host.tpr_shadow && vmx->vcpu.in_kernel_irqchip)
		ctl |= CPU_BASED_TPR_SHADOW;
	else
		ctl |= CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING;
	if (off & KVM_X86_DISABLE_EXITS_HLT)
		ctl &= ~CPU_BASED_HLT_EXITING;
	if (off & KVM_X86_DISABLE_EXITS_MWAIT)
		ctl &= ~(CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING);
	return ctl;
}

static u32 cpu2_controls(struct vcpu_vmx *vmx)
{
	struct vcpu *vcpu = &vmx->vcpu;
	u32 ctl = vmx_caps.base[VCTL_CPU2] | insn_control_bits(vcpu);

	if (vmx->vpid)
		ctl |= SECONDARY_EXEC_ENABLE_VPID;
	if (vmx_pause_exits(vcpu->vm))
		ctl |= SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	return ctl | (vmx->want[VCTL_CPU2] &
		      (SECONDARY_EXEC_TSC_SCALING | SECONDARY_EXEC_ENABLE_PML));
}

/*
 * #AC and #DB because a guest could make the CPU deliver them for ever
 * without an instruction boundary (CVE-2015-5307, CVE-2015-8104); #MC because
 * it is the host's.
 */
static u32 exception_bitmap(struct vcpu *vcpu)
{
	u32 bitmap = BIT(X86_TRAP_AC) | BIT(X86_TRAP_DB) | BIT(X86_TRAP_MC);

	if (vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP)
		bitmap |= BIT(X86_TRAP_BP);
	if (emulation_wants_ud(vcpu))
		bitmap |= BIT(X86_TRAP_UD);
	return bitmap;
}

static void vmx_update_intercepts(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	/* What the guest owned until now must be read by the old masks. */
	regs_mod(vcpu, RG_CR);
	vmx->cr0_owned = CR0_GUEST_OWNED;
	vmx->cr4_owned = CR4_GUEST_OWNED & ~cr4_guest_reserved(vcpu);
	vmx->want[VCTL_CPU] = cpu_controls(vmx);
	vmx->want[VCTL_CPU2] = cpu2_controls(vmx);
	vmx->want[VCTL_EXCEPTIONS] = exception_bitmap(vcpu);
	vmx->controls_changed = true;
	vmx_update_msr_bitmap(vmx);
	preempt_disable();
	vmx_vmcs_load(vmx);
	vmcs_writel(CR0_GUEST_HOST_MASK, ~vmx->cr0_owned);
	vmcs_writel(CR4_GUEST_HOST_MASK, ~vmx->cr4_owned);
	/* An SMI ends HLT, also one that the CPU itself was left in. */
	if (vcpu->smm.active)
		vmcs_write32(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	preempt_enable();
}

/* ---- life --------------------------------------------------------------- */

static int vmx_vm_create(struct vm *vm)
{
	return 0;
}

static void vmx_vm_destroy(struct vm *vm)
{
}

static void *alloc_zeroed_page(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

static void free_pages_of(struct vcpu_vmx *vmx)
{
	free_page((unsigned long)vmx->vmcs);
	free_page((unsigned long)vmx->msr_bitmap);
	free_page((unsigned long)vmx->vapic);
	free_page((unsigned long)vmx->pml);
}

static u16 alloc_vpid(void)
{
	int id;

	if (!vmx_host.vpid)
		return 0;
	id = ida_alloc_range(&vpids, 1, VMX_NR_VPIDS - 1, GFP_KERNEL);
	return id < 0 ? 0 : id;
}

static void init_host_fields(void)
{
	struct desc_ptr idt;
	u64 val;

	store_idt(&idt);
	vmcs_writel(HOST_IDTR_BASE, idt.address);
	vmcs_writel(HOST_CR0, read_cr0());
	vmcs_write16(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write16(HOST_SS_SELECTOR, __KERNEL_DS);
	vmcs_write16(HOST_DS_SELECTOR, 0);
	vmcs_write16(HOST_ES_SELECTOR, 0);
	vmcs_write16(HOST_FS_SELECTOR, 0);
	vmcs_write16(HOST_GS_SELECTOR, 0);
	vmcs_write16(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_writel(HOST_RIP, (unsigned long)vmx_exit_point);
	vmm_rdmsr(MSR_EFER, val);
	vmcs_write64(HOST_IA32_EFER, val);
	vmm_rdmsr(MSR_IA32_CR_PAT, val);
	vmcs_write64(HOST_IA32_PAT, val);
	vmm_rdmsr(MSR_IA32_SYSENTER_CS, val);
	vmcs_write32(HOST_IA32_SYSENTER_CS, val);
	vmm_rdmsr(MSR_IA32_SYSENTER_EIP, val);
	vmcs_writel(HOST_IA32_SYSENTER_EIP, val);
}

/* Fields that are the same for the whole life of the VMCS. */
static void init_fixed_fields(struct vcpu_vmx *vmx)
{
	vmcs_write64(VMCS_LINK_POINTER, ~0ull);
	vmcs_write64(MSR_BITMAP, __pa(vmx->msr_bitmap));
	if (vmx_host.tpr_shadow)
		vmcs_write64(VIRTUAL_APIC_PAGE_ADDR, __pa(vmx->vapic));
	if (vmx->vpid)
		vmcs_write16(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (vmx_caps.allowed[VCTL_CPU2] & VMX_CTL2_XSAVES)
		vmcs_write64(XSS_EXIT_BITMAP, 0);
	if (vmx_caps.base[VCTL_CPU2] & SECONDARY_EXEC_ENCLS_EXITING)
		vmcs_write64(ENCLS_EXITING_BITMAP, ~0ull);
	vmx_pml_init(vmx);
	vmx_pause_init(vmx);
	vmcs_write32(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write32(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write32(CR3_TARGET_COUNT, 0);
	vmcs_write32(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write32(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write32(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write64(GUEST_IA32_DEBUGCTL, 0);
	vmcs_write32(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
}

static void init_vmcs(struct vcpu_vmx *vmx)
{
	preempt_disable();
	vmx_vmcs_load(vmx);
	init_fixed_fields(vmx);
	init_host_fields();
	preempt_enable();
}

static int vmx_vcpu_create(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	int i;

	BUILD_BUG_ON(offsetof(struct vcpu_vmx, vcpu));
	vmx->vmcs = alloc_zeroed_page();
	vmx->msr_bitmap = alloc_zeroed_page();
	vmx->vapic = alloc_zeroed_page();
	if (vmx_pml)
		vmx->pml = alloc_zeroed_page();
	if (!vmx->vmcs || !vmx->msr_bitmap || !vmx->vapic || (vmx_pml && !vmx->pml)) {
		free_pages_of(vmx);
		return -ENOMEM;
	}
	vmx->vmcs->revision = vmx_caps.revision;
	vmx->vpid = alloc_vpid();
	vmx->serial = atomic64_inc_return(&last_serial);
	vmx->active_cpu = -1;
	vmx->flushed_cpu = -1;
	vmx->host.cpu = -1;
	vmx->host.fs_base = ~0ul;
	vmx->timer_deadline = U64_MAX;
	INIT_LIST_HEAD(&vmx->active_link);
	for (i = 0; i < NR_NEGOTIATED; i++)
		vmx->want[i] = vmx_caps.base[i];
	/* No control word is ever all ones, so the first entry writes each. */
	memset(vmx->have, 0xff, sizeof(vmx->have));
	vmx->controls_changed = true;
	vmx->pending = VMX_PEND_TSC;
	init_vmcs(vmx);
	return 0;
}

static void vmx_vcpu_destroy(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmx_vmcs_clear(vmx);
	if (vmx->vpid)
		ida_free(&vpids, vmx->vpid);
	free_pages_of(vmx);
}

static void vmx_vcpu_reset(struct vcpu *vcpu, bool init)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vmx->event.type = EVENT_NONE;
	vmx->timer_deadline = U64_MAX;
	vmx->vapic[0x80] = 0;
	vmx->tpr_threshold = 0;
	vmx_set_window(vcpu, 0);
	preempt_disable();
	vmx_vmcs_load(vmx);
	vmcs_writel(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	/* HLT without exit may have left it halted. */
	vmcs_write32(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write32(VM_ENTRY_INTR_INFO_FIELD, 0);
	if (vmx_host.tpr_shadow)
		vmcs_write32(TPR_THRESHOLD, 0);
	preempt_enable();
	if (!init) {
		vmx->feature_control = 0;
		vmx->spec_passthrough = false;
	}
	vmx_update_intercepts(vcpu);
	vmx_flush_tlb(vcpu);
}

/* ---- time --------------------------------------------------------------- */

static void vmx_write_tsc(struct vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	bool scale = vendor_caps.tsc_scaling && vcpu->tsc_ratio &&
		     vcpu->tsc_ratio != vendor_caps.tsc_ratio_default;

	vmx_want(vmx, VCTL_CPU2, SECONDARY_EXEC_TSC_SCALING, scale);
	vmx->pending |= VMX_PEND_TSC;
}

/* Guest ticks in host ticks, U64_MAX when that many do not fit. */
static u64 host_ticks(const struct vcpu *vcpu, u64 guest)
{
	u64 ratio = vcpu->tsc_ratio;

	if (!ratio || ratio == vendor_caps.tsc_ratio_default)
		return guest;
	/* guest << 48 / ratio must fit in 64 bits. */
	if (guest >> 16 >= ratio)
		return U64_MAX;
	return mul_u64_u64_div_u64(guest, BIT_ULL(48), ratio);
}

/* U64_MAX disarms. A deadline in the past expires with the next entry. */
static int vmx_set_timer(struct vcpu *vcpu, u64 guest_tsc)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u64 host_now, guest_now, delta = 0;

	if (!vmx_host.timer)
		return -EOPNOTSUPP;
	if (guest_tsc == U64_MAX) {
		vmx->timer_deadline = U64_MAX;
		return 0;
	}
	host_now = rdtsc();
	guest_now = vcpu_guest_tsc(vcpu, host_now);
	if (guest_tsc > guest_now)
		delta = host_ticks(vcpu, guest_tsc - guest_now);
	vmx->timer_deadline = min(delta, U64_MAX - 1 - host_now) + host_now;
	return 0;
}

const struct vmm_vendor_ops vmx_ops = {
	.name = "vmx",
#define VMX_OP(ret, name, ...) .name = vmx_##name,
	VMM_VENDOR_OPS(VMX_OP)
#undef VMX_OP
};
