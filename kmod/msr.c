// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSRs. One table row is a range with its two accessors; the vendor is asked
 * for what is not in the table.
 */
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>

#include "cpuid.h"
#include "emulate.h"
#include "msr.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "smm.h"
#include "time.h"
#include "trace.h"
#include "vendor.h"

#define MTRR_BASE0		0x200	/* IA32_MTRR_PHYSBASE0, then mask and base in turn */
#define HWCR_IGNORED	(BIT_ULL(3) | BIT_ULL(6) | BIT_ULL(8))	/* TlbCacheDis, FFDIS, IGNNE */
#define HWCR_WRITABLE	(HWCR_MC_STATUS_WR_EN | BIT_ULL(24))	/* TscFreqSel */
#define MISC_ENABLE_DEFAULT	MSR_IA32_MISC_ENABLE_FAST_STRING

/* The accessor neither sleeps nor touches guest memory, and what fails changes nothing. */
#define GET_IN_STAY	BIT(0)
#define SET_IN_STAY	BIT(1)

struct msr_row {
	u32 first, last;
	int (*get)(struct vcpu *vcpu, u32 msr, u64 *val, bool host);
	int (*set)(struct vcpu *vcpu, u32 msr, u64 val, bool host);
	u8 flags;
};

/*
 * By what the CPU can, whatever CR4 says at the moment: MSRs keep addresses of 57 bits through
 * INIT and SMM, and may be set before CR4 is (SDM vol. 2, WRMSR).
 */
static u64 make_canonical(u64 addr)
{
	int shift = cpuid_offered(X86_FEATURE_LA57) ? 64 - 57 : 64 - 48;

	return (s64)(addr << shift) >> shift;
}

static bool is_canonical(u64 addr)
{
	return make_canonical(addr) == addr;
}

/* Which bits there are, no CPUID leaf says for all CPUs: it is tried. */
bool spec_ctrl_writable(u64 val)
{
	unsigned long flags;
	bool ok = false;
	u64 old;

	local_irq_save(flags);
	if (!vmm_rdmsr_safe(MSR_IA32_SPEC_CTRL, &old) &&
	    !vmm_wrmsr_safe(MSR_IA32_SPEC_CTRL, val)) {
		vmm_wrmsr(MSR_IA32_SPEC_CTRL, old);
		ok = true;
	}
	local_irq_restore(flags);
	return ok;
}

/* -------- registers that live in a register group -------- */

static u64 *syscall_reg(struct vcpu *vcpu, u32 msr)
{
	struct vcpu_regs *r = regs_get(vcpu, RG_SYSENTER);

	switch (msr) {
	case MSR_IA32_SYSENTER_CS:
		return &r->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:
		return &r->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:
		return &r->sysenter_eip;
	case MSR_STAR:
		return &r->star;
	case MSR_LSTAR:
		return &r->lstar;
	case MSR_CSTAR:
		return &r->cstar;
	case MSR_SYSCALL_MASK:
		return &r->fmask;
	default:
		return &r->kernel_gs_base;
	}
}

static int get_syscall(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = *syscall_reg(vcpu, msr);
	return 0;
}

static bool amd_like(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
	       boot_cpu_data.x86_vendor == X86_VENDOR_HYGON;
}

static int set_syscall(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	switch (msr) {
	case MSR_LSTAR:
	case MSR_CSTAR:
	case MSR_KERNEL_GS_BASE:
		if (!is_canonical(val))
			return 1;
		break;
	case MSR_IA32_SYSENTER_ESP:
	case MSR_IA32_SYSENTER_EIP:
		/* Intel faults, AMD truncates to 32 bits; a canonical value suits both. */
		val = make_canonical(val);
		break;
	case MSR_SYSCALL_MASK:
		/* The CPU will be given it: AMD's drop the upper half, Intel's fault. */
		if (upper_32_bits(val) && !amd_like())
			return 1;
		break;
	}
	regs_mod(vcpu, RG_SYSENTER);
	*syscall_reg(vcpu, msr) = val;
	return 0;
}

static int get_segbase(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu_seg(vcpu, msr == MSR_FS_BASE ? SEG_FS : SEG_GS)->base;
	return 0;
}

static int set_segbase(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!is_canonical(val))
		return 1;
	regs_mod(vcpu, RG_SEG)->seg[msr == MSR_FS_BASE ? SEG_FS : SEG_GS].base = val;
	return 0;
}

static int get_efer(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu_efer(vcpu);
	return 0;
}

static int set_efer(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return vcpu_set_efer(vcpu, val, host);
}

static int get_pat(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = regs_get(vcpu, RG_PAT)->pat;
	return 0;
}

/* Memory types 0, 1, 4, 5, 6, 7 (SDM 12.12.2). */
static int set_pat(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	int i;

	for (i = 0; i < 64; i += 8) {
		u8 type = val >> i;

		if (type > 7 || type == 2 || type == 3)
			return 1;
	}
	regs_mod(vcpu, RG_PAT)->pat = val;
	return 0;
}

static int get_tsc_aux(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	if (!host && !guest_cpuid_has(vcpu, X86_FEATURE_RDTSCP) &&
	    !guest_cpuid_has(vcpu, X86_FEATURE_RDPID))
		return 1;
	*val = vcpu->regs.tsc_aux;
	return 0;
}

static int set_tsc_aux(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host && !guest_cpuid_has(vcpu, X86_FEATURE_RDTSCP) &&
	    !guest_cpuid_has(vcpu, X86_FEATURE_RDPID))
		return 1;
	/* As above; KVM goes by the guest's vendor. */
	if (upper_32_bits(val) && !amd_like())
		return 1;
	vcpu->regs.tsc_aux = lower_32_bits(val);
	return 0;
}

/* -------- time and APIC -------- */

static int get_tsc(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu_guest_tsc(vcpu, rdtsc());
	return 0;
}

static int set_tsc(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	time_write_tsc(vcpu, val, host);
	return 0;
}

static int get_tsc_adjust(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msrs->tsc_adjust;
	return 0;
}

static int set_tsc_adjust(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host && !guest_cpuid_has(vcpu, X86_FEATURE_TSC_ADJUST))
		return 1;
	/* User space restores the value only; the TSC itself comes by its own MSR. */
	if (!host)
		time_adjust_tsc(vcpu, val - vcpu->msrs->tsc_adjust);
	vcpu->msrs->tsc_adjust = val;
	return 0;
}

static int get_tsc_deadline(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->lapic ? lapic_get_tscdeadline(vcpu) : 0;
	return 0;
}

static int set_tsc_deadline(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (vcpu->lapic)
		lapic_set_tscdeadline(vcpu, val);
	return 0;
}

static int get_apicbase(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->apic_base;
	return 0;
}

static int set_apicbase(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	int err = lapic_set_base(vcpu, val, host);

	if (!err)
		cpuid_runtime_update(vcpu);
	return err;
}

static int get_x2apic(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	return vcpu->lapic ? lapic_rdmsr(vcpu, msr, val) : 1;
}

static int set_x2apic(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return vcpu->lapic ? lapic_wrmsr(vcpu, msr, val) : 1;
}

/* -------- plain values -------- */

static int get_misc_enable(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msrs->misc_enable;
	return 0;
}

static int set_misc_enable(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u64 old = vcpu->msrs->misc_enable, changed;

	/* Read-only without a fault, unlike the others. */
	if (!host)
		val = (val & ~MSR_IA32_MISC_ENABLE_EMON) | (old & MSR_IA32_MISC_ENABLE_EMON);
	changed = old ^ val;
	if (!host && (changed & (MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL |
				 MSR_IA32_MISC_ENABLE_BTS_UNAVAIL)))
		return 1;
	if (!(changed & MSR_IA32_MISC_ENABLE_MWAIT) ||
	    vm_quirk(vcpu->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT)) {
		vcpu->msrs->misc_enable = val;
		return 0;
	}
	/* CPUID mirrors the bit, which there is no use for without SSE3 (SDM vol. 4, 1A0H). */
	if (!guest_cpuid_has(vcpu, X86_FEATURE_XMM3))
		return 1;
	vcpu->msrs->misc_enable = val;
	cpuid_runtime_update(vcpu);
	return 0;
}

static int get_arch_caps(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	if (!host && !guest_cpuid_has(vcpu, X86_FEATURE_ARCH_CAPABILITIES))
		return 1;
	*val = vcpu->msrs->arch_capabilities;
	return 0;
}

static int set_arch_caps(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host)
		return 1;
	vcpu->msrs->arch_capabilities = val;
	return 0;
}

static int get_ucode_rev(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msrs->ucode_rev;
	return 0;
}

/* A guest's microcode loader writes 0 before it reads. */
static int set_ucode_rev(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (host)
		vcpu->msrs->ucode_rev = val;
	return 0;
}

static int get_platform_info(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	if (!host && vcpu->vm->platform_info_hidden)
		return 1;
	*val = vcpu->msrs->platform_info;
	return 0;
}

static int set_platform_info(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	/* User space may give any value, but not take away what the guest has switched on. */
	if (!host || (!(val & MSR_PLATFORM_INFO_CPUID_FAULT) && vcpu->msrs->misc_features))
		return 1;
	vcpu->msrs->platform_info = val;
	return 0;
}

static int get_misc_features(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msrs->misc_features;
	return 0;
}

static int set_misc_features(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (val & ~MSR_MISC_FEATURES_ENABLES_CPUID_FAULT)
		return 1;
	if (val && !(vcpu->msrs->platform_info & MSR_PLATFORM_INFO_CPUID_FAULT))
		return 1;
	vcpu->msrs->misc_features = val;
	return 0;
}

static int get_power_ctl(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msrs->power_ctl;
	return 0;
}

static int set_power_ctl(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	vcpu->msrs->power_ctl = val;
	return 0;
}

/* -------- MTRRs: kept for the guest, without effect (write-back by EPT/NPT) -------- */

static u64 *mtrr_slot(struct vcpu *vcpu, u32 msr)
{
	struct vcpu_msrs *m = vcpu->msrs;

	switch (msr) {
	case MSR_MTRRdefType:
		return &m->mtrr_deftype;
	case MSR_MTRRfix64K_00000:
		return &m->mtrr_fixed[0];
	case MSR_MTRRfix16K_80000 ... MSR_MTRRfix16K_A0000:
		return &m->mtrr_fixed[1 + msr - MSR_MTRRfix16K_80000];
	case MSR_MTRRfix4K_C0000 ... MSR_MTRRfix4K_F8000:
		return &m->mtrr_fixed[3 + msr - MSR_MTRRfix4K_C0000];
	case MTRR_BASE0 ... (MTRR_BASE0 + 2 * VMM_VAR_MTRRS - 1):
		return &m->mtrr_var[msr - MTRR_BASE0];
	default:
		return NULL;
	}
}

static int get_mtrr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	u64 *slot = mtrr_slot(vcpu, msr);

	if (msr == MSR_MTRRcap) {
		*val = 0x500 | VMM_VAR_MTRRS;	/* fixed ranges, write combining */
		return 0;
	}
	if (!slot)
		return -ENOENT;
	*val = *slot;
	return 0;
}

static bool mtrr_type_valid(u8 type)
{
	return type < 8 && (BIT(type) & (BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6)));
}

static bool mtrr_valid(struct vcpu *vcpu, u32 msr, u64 val)
{
	u64 rsvd = rsvd_bits_above(vcpu_maxphyaddr(vcpu));
	int i;

	if (msr == MSR_MTRRdefType)
		return !(val & ~0xcffull) && mtrr_type_valid(val & 0xff);
	if (msr >= MSR_MTRRfix64K_00000 && msr <= MSR_MTRRfix4K_F8000) {
		for (i = 0; i < 64; i += 8)
			if (!mtrr_type_valid(val >> i))
				return false;
		return true;
	}
	if (msr & 1)		/* mask: valid bit 11 */
		return !(val & (rsvd | 0x7ff));
	return mtrr_type_valid(val & 0xff) && !(val & (rsvd | 0xf00));
}

static int set_mtrr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u64 *slot = mtrr_slot(vcpu, msr);

	if (msr == MSR_MTRRcap)
		return 1;
	if (!slot)
		return -ENOENT;
	if (!mtrr_valid(vcpu, msr, val))
		return 1;
	*slot = val;
	return 0;
}

/* -------- registers that guests touch and nobody needs -------- */

static int get_zero(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = 0;
	return 0;
}

/* Old CPUs' own, whose readers would not take 0 for an answer. */
static int get_constant(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	switch (msr) {
	case MSR_EBC_FREQUENCY_ID:	/* bus clock of 100 MHz: guests divide by it */
		*val = BIT_ULL(24);
		return 0;
	case MSR_FSB_FREQ:
		*val = 3;		/* 166 MHz */
		return 0;
	case MSR_IA32_BBL_CR_CTL3:	/* L2: there, on, 256 KiB */
		*val = 0xbe702111;
		return 0;
	case MSR_K7_CLK_CTL:
		*val = 0x20000000;
		return 0;
	default:			/* MSR_IA32_PERF_STATUS: ratios, divided by as well */
		*val = 1000 | 4ull << 40;
		return 0;
	}
}

static int set_ignore(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return 0;
}

/* There is no branch record and no step by branches; KVM drops what asks for them as well. */
static int set_debugctl(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u64 known = DEBUGCTLMSR_LBR | DEBUGCTLMSR_BTF;

	/* PB0-PB3: the pins that show breakpoints (APM 13.1.1.4). */
	if (amd_like())
		known |= GENMASK_ULL(5, 2);
	return val & ~known ? 1 : 0;
}

static int set_zero_only(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return val ? 1 : 0;
}

/* AMD's, but a guest on an Intel host may be an AMD one. */
static int get_hwcr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msrs->hwcr;
	return 0;
}

static int set_hwcr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	val &= ~HWCR_IGNORED;
	if (val & ~HWCR_WRITABLE)
		return 1;
	vcpu->msrs->hwcr = val;
	return 0;
}

static int set_pred_cmd(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host && !guest_cpuid_has(vcpu, X86_FEATURE_SPEC_CTRL) &&
	    !guest_cpuid_has(vcpu, X86_FEATURE_AMD_IBPB))
		return 1;
	if (val & ~(u64)PRED_CMD_IBPB)
		return 1;
	if (val && boot_cpu_has(X86_FEATURE_IBPB))
		native_wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB, 0);
	return 0;
}

/* No supervisor state is offered: the instructions work, and there are no bits to set. */
static int get_xss(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = 0;
	return !host && !guest_cpuid_has(vcpu, X86_FEATURE_XSAVES);
}

static int set_xss(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return val || (!host && !guest_cpuid_has(vcpu, X86_FEATURE_XSAVES));
}

static int get_fault(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	return 1;
}

static int set_fault(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return 1;
}

static struct msr_row msr_rows[] __ro_after_init = {
	{ MSR_IA32_TSC_DEADLINE, MSR_IA32_TSC_DEADLINE,
	  get_tsc_deadline, set_tsc_deadline, GET_IN_STAY | SET_IN_STAY },
	{ APIC_BASE_MSR, APIC_BASE_MSR + 0xff, get_x2apic, set_x2apic, GET_IN_STAY | SET_IN_STAY },
	{ MSR_STAR, MSR_SYSCALL_MASK, get_syscall, set_syscall },
	{ MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, get_syscall, set_syscall },
	{ MSR_FS_BASE, MSR_GS_BASE, get_segbase, set_segbase },
	{ MSR_TSC_AUX, MSR_TSC_AUX, get_tsc_aux, set_tsc_aux },
	{ MSR_EFER, MSR_EFER, get_efer, set_efer, GET_IN_STAY | SET_IN_STAY },
	{ MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_EIP, get_syscall, set_syscall },
	{ MSR_IA32_TSC, MSR_IA32_TSC, get_tsc, set_tsc, GET_IN_STAY },
	{ MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_ADJUST, get_tsc_adjust, set_tsc_adjust,
	  GET_IN_STAY | SET_IN_STAY },
	{ MSR_IA32_APICBASE, MSR_IA32_APICBASE, get_apicbase, set_apicbase, GET_IN_STAY },
	{ MSR_IA32_CR_PAT, MSR_IA32_CR_PAT, get_pat, set_pat, GET_IN_STAY | SET_IN_STAY },
	{ MSR_IA32_MISC_ENABLE, MSR_IA32_MISC_ENABLE,
	  get_misc_enable, set_misc_enable, GET_IN_STAY },
	{ MSR_K7_HWCR, MSR_K7_HWCR, get_hwcr, set_hwcr },
	{ MSR_IA32_PRED_CMD, MSR_IA32_PRED_CMD, get_fault, set_pred_cmd },
	{ MSR_IA32_XSS, MSR_IA32_XSS, get_xss, set_xss },
	{ MSR_MTRRcap, MSR_MTRRcap, get_mtrr, set_mtrr, GET_IN_STAY },
	{ MTRR_BASE0, (MTRR_BASE0 + 2 * VMM_VAR_MTRRS - 1),
	  get_mtrr, set_mtrr, GET_IN_STAY | SET_IN_STAY },
	{ MSR_MTRRfix64K_00000, MSR_MTRRfix4K_F8000,
	  get_mtrr, set_mtrr, GET_IN_STAY | SET_IN_STAY },
	{ MSR_MTRRdefType, MSR_MTRRdefType, get_mtrr, set_mtrr, GET_IN_STAY | SET_IN_STAY },
	{ MSR_IA32_MCG_CAP, MSR_IA32_MCG_CTL, mce_rdmsr, mce_wrmsr },
	{ MSR_IA32_MCx_CTL2(0), MSR_IA32_MCx_CTL2(VMM_MCE_BANKS - 1), mce_get_ctl2, mce_set_ctl2 },
	{ MSR_IA32_MCx_CTL(0), MSR_IA32_MCx_MISC(VMM_MCE_BANKS - 1), mce_rdmsr, mce_wrmsr },
	{ MSR_SMI_COUNT, MSR_SMI_COUNT, smm_rdmsr, smm_wrmsr },
	{ MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW, pv_rdmsr, pv_wrmsr },
	{ MSR_KVM_ASYNC_PF_EN, MSR_KVM_ASYNC_PF_ACK, pv_feature_rdmsr, pv_feature_wrmsr },
};

/* What guests ask for when they boot: apart, so that it is not in the way of the others. */
static struct msr_row probed_rows[] __ro_after_init = {
	{ MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_ARCH_CAPABILITIES,
	  get_arch_caps, set_arch_caps, GET_IN_STAY },
	{ MSR_IA32_UCODE_REV, MSR_IA32_UCODE_REV, get_ucode_rev, set_ucode_rev },
	{ MSR_PLATFORM_INFO, MSR_PLATFORM_INFO,
	  get_platform_info, set_platform_info, GET_IN_STAY },
	{ MSR_MISC_FEATURES_ENABLES, MSR_MISC_FEATURES_ENABLES,
	  get_misc_features, set_misc_features },
	{ MSR_IA32_POWER_CTL, MSR_IA32_POWER_CTL, get_power_ctl, set_power_ctl },
	{ MSR_IA32_SMBASE, MSR_IA32_SMBASE, smm_rdmsr, smm_wrmsr },
	{ 0x11, 0x12, pv_rdmsr, pv_wrmsr },
	/* Known to every kernel that probes; the values say "nothing here". */
	{ MSR_IA32_UCODE_WRITE, MSR_IA32_UCODE_WRITE, get_fault, set_ignore },
	{ MSR_IA32_P5_MC_ADDR, MSR_IA32_P5_MC_TYPE, get_zero, set_fault },
	{ MSR_IA32_PLATFORM_ID, MSR_IA32_PLATFORM_ID, get_zero, set_fault },
	{ MSR_EBC_FREQUENCY_ID, MSR_EBC_FREQUENCY_ID, get_constant, set_fault },
	{ MSR_P6_PERFCTR0, MSR_P6_PERFCTR1, get_zero, set_ignore },
	{ MSR_FSB_FREQ, MSR_FSB_FREQ, get_constant, set_fault },
	{ MSR_IA32_BBL_CR_CTL3, MSR_IA32_BBL_CR_CTL3, get_constant, set_ignore },
	{ MSR_P6_EVNTSEL0, MSR_P6_EVNTSEL1, get_zero, set_ignore },
	{ MSR_IA32_DEBUGCTLMSR, MSR_IA32_DEBUGCTLMSR, get_zero, set_debugctl },
	{ MSR_IA32_LASTBRANCHFROMIP, MSR_IA32_LASTINTTOIP, get_zero, set_zero_only },
	{ MSR_IA32_PERF_STATUS, MSR_IA32_PERF_STATUS, get_constant, set_ignore },
	{ MSR_IA32_PERF_CTL, MSR_IA32_PERF_CTL, get_zero, set_ignore },
	{ MSR_IA32_EBL_CR_POWERON, MSR_IA32_EBL_CR_POWERON, get_zero, set_zero_only },
	{ MSR_RAPL_POWER_UNIT, MSR_RAPL_POWER_UNIT, get_zero, set_zero_only },
	{ MSR_PKG_ENERGY_STATUS, MSR_PKG_ENERGY_STATUS, get_zero, set_zero_only },
	{ MSR_DRAM_ENERGY_STATUS, MSR_DRAM_ENERGY_STATUS, get_zero, set_fault },
	{ MSR_PP0_ENERGY_STATUS, MSR_PP0_ENERGY_STATUS, get_zero, set_fault },
	{ MSR_PP1_ENERGY_STATUS, MSR_PP1_ENERGY_STATUS, get_zero, set_fault },
	{ MSR_K7_EVNTSEL0, MSR_K7_PERFCTR3, get_zero, set_ignore },
	{ MSR_K7_CLK_CTL, MSR_K7_CLK_CTL, get_constant, set_ignore },
	{ MSR_AMD64_SYSCFG, MSR_AMD64_SYSCFG, get_zero, set_ignore },
	{ MSR_AMD64_NB_CFG, MSR_AMD64_NB_CFG, get_zero, set_ignore },
	{ MSR_AMD64_PATCH_LOADER, MSR_AMD64_PATCH_LOADER, get_fault, set_ignore },
	{ MSR_K8_INT_PENDING_MSG, MSR_K8_INT_PENDING_MSG, get_zero, set_ignore },
	{ MSR_FAM10H_MMIO_CONF_BASE, MSR_FAM10H_MMIO_CONF_BASE, get_zero, set_zero_only },
	{ MSR_K8_TSEG_ADDR, MSR_K8_TSEG_MASK, get_zero, set_ignore },
	{ MSR_AMD64_BU_CFG2, MSR_AMD64_BU_CFG2, get_zero, set_ignore },
	{ MSR_AMD64_TW_CFG, MSR_AMD64_TW_CFG, get_zero, set_ignore },
	{ MSR_F15H_EX_CFG, MSR_F15H_EX_CFG, get_zero, set_ignore },
	{ MSR_AMD64_DC_CFG, MSR_AMD64_DC_CFG, get_zero, set_ignore },
	{ MSR_F15H_IC_CFG, MSR_F15H_IC_CFG, get_zero, set_ignore },
};

static int __init compare_rows(const void *a, const void *b)
{
	const struct msr_row *x = a, *y = b;

	return x->first < y->first ? -1 : 1;
}

/* The one that running guests use all the time. */
static const struct msr_row *x2apic_row __ro_after_init;

/* msr_init() has sorted them. */
static const struct msr_row *search_rows(const struct msr_row *rows, unsigned int nr, u32 msr)
{
	unsigned int lo = 0, hi = nr;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (msr > rows[mid].last)
			lo = mid + 1;
		else if (msr < rows[mid].first)
			hi = mid;
		else
			return &rows[mid];
	}
	return NULL;
}

static const struct msr_row *find_row(u32 msr)
{
	if (msr - APIC_BASE_MSR <= 0xff)
		return x2apic_row;
	return search_rows(msr_rows, ARRAY_SIZE(msr_rows), msr) ?:
	       search_rows(probed_rows, ARRAY_SIZE(probed_rows), msr);
}

int vcpu_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	const struct msr_row *row = find_row(msr);

	return row ? row->get(vcpu, msr, val, host) :
		     vendor_call(rdmsr, vcpu, msr, val, host);
}

int vcpu_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	const struct msr_row *row = find_row(msr);

	return row ? row->set(vcpu, msr, val, host) :
		     vendor_call(wrmsr, vcpu, msr, val, host);
}

/* -------- life -------- */

/* What a CPU is told to be immune to that does not say so itself. */
static const struct {
	u32 bug;
	u64 cap;
} immunities[] = {
	{ X86_BUG_CPU_MELTDOWN, ARCH_CAP_RDCL_NO },
	{ X86_BUG_SPEC_STORE_BYPASS, ARCH_CAP_SSB_NO },
	{ X86_BUG_MDS, ARCH_CAP_MDS_NO },
	{ X86_BUG_GDS, ARCH_CAP_GDS_NO },
	{ X86_BUG_RFDS, ARCH_CAP_RFDS_NO },
	{ X86_BUG_ITS, ARCH_CAP_ITS_NO },
};

static u64 host_arch_capabilities(void)
{
	u64 caps = 0;
	int i;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		vmm_rdmsr(MSR_IA32_ARCH_CAPABILITIES, caps);
	/* Only what needs nothing from us; the immune host makes an immune guest. */
	caps &= ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA | ARCH_CAP_SSB_NO |
		ARCH_CAP_MDS_NO | ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO |
		ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA | ARCH_CAP_PBRSB_NO |
		ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_RFDS_CLEAR | ARCH_CAP_BHI_NO |
		ARCH_CAP_ITS_NO;
	for (i = 0; i < ARRAY_SIZE(immunities); i++)
		if (!boot_cpu_has_bug(immunities[i].bug))
			caps |= immunities[i].cap;
	/* Without RTM a guest has nothing to know of TAA. */
	if (boot_cpu_has(X86_FEATURE_RTM) && !boot_cpu_has_bug(X86_BUG_TAA))
		caps |= ARCH_CAP_TAA_NO;
	if (!vendor_caps.l1d_leaks)
		caps |= ARCH_CAP_SKIP_VMENTRY_L1DFLUSH;
	/* A guest has no pages of its own to split: the second stage sees to it (mm/nx_huge.c). */
	return caps | ARCH_CAP_PSCHANGE_MC_NO;
}

int msrs_create(struct vcpu *vcpu)
{
	struct vcpu_msrs *m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);

	if (!m)
		return -ENOMEM;
	vcpu->msrs = m;
	m->arch_capabilities = host_arch_capabilities();
	m->ucode_rev = boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ? 0x100000000ull : 0x01000065;
	m->platform_info = MSR_PLATFORM_INFO_CPUID_FAULT;
	m->mcg_cap = VMM_MCE_BANKS;
	return 0;
}

void msrs_destroy(struct vcpu *vcpu)
{
	kfree(vcpu->msrs);
}

void msrs_reset(struct vcpu *vcpu)
{
	vcpu->msrs->misc_enable = MISC_ENABLE_DEFAULT | MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL |
				  MSR_IA32_MISC_ENABLE_BTS_UNAVAIL;
	vcpu->msrs->misc_features = 0;
	vcpu->msrs->hwcr = 0;
}

/* -------- lists and batches for user space -------- */

static const u32 saved_msrs[] = {
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP,
	MSR_STAR, MSR_CSTAR, MSR_KERNEL_GS_BASE, MSR_SYSCALL_MASK, MSR_LSTAR,
	MSR_IA32_TSC, MSR_IA32_CR_PAT, MSR_TSC_AUX, MSR_IA32_SPEC_CTRL,
	MSR_KVM_WALL_CLOCK, MSR_KVM_SYSTEM_TIME,
	MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW,
	MSR_KVM_ASYNC_PF_EN, MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN,
	MSR_KVM_ASYNC_PF_INT, MSR_KVM_ASYNC_PF_ACK,
	MSR_IA32_TSC_ADJUST, MSR_IA32_TSC_DEADLINE, MSR_IA32_ARCH_CAPABILITIES,
	MSR_IA32_MISC_ENABLE, MSR_IA32_MCG_STATUS, MSR_IA32_MCG_CTL,
	MSR_PLATFORM_INFO, MSR_MISC_FEATURES_ENABLES, MSR_IA32_POWER_CTL,
	MSR_IA32_UCODE_REV, MSR_IA32_SMBASE, MSR_SMI_COUNT, MSR_K7_HWCR,
	MSR_KVM_POLL_CONTROL,
};

static const u32 feature_msrs[] = {
	MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_UCODE_REV, MSR_PLATFORM_INFO,
	MSR_AMD64_DE_CFG,
};

static u32 save_list[ARRAY_SIZE(saved_msrs)] __ro_after_init;
static u32 nr_save __ro_after_init;
static u32 feature_list[ARRAY_SIZE(feature_msrs)] __ro_after_init;
static u32 nr_features __ro_after_init;

static bool msr_offered(u32 msr)
{
	switch (msr) {
	case MSR_TSC_AUX:
		return boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
	case MSR_IA32_SPEC_CTRL:
		return boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL);
	default:
		return true;
	}
}

static int feature_value(u32 msr, u64 *val)
{
	switch (msr) {
	case MSR_IA32_ARCH_CAPABILITIES:
		*val = host_arch_capabilities();
		return 0;
	case MSR_IA32_UCODE_REV:
		*val = (u64)boot_cpu_data.microcode << 32;
		return 0;
	case MSR_PLATFORM_INFO:
		*val = MSR_PLATFORM_INFO_CPUID_FAULT;
		return 0;
	default:
		return vendor_call(feature_msr, msr, val);
	}
}

void __init msr_init(void)
{
	u64 val;
	int i;

	sort(msr_rows, ARRAY_SIZE(msr_rows), sizeof(msr_rows[0]), compare_rows, NULL);
	sort(probed_rows, ARRAY_SIZE(probed_rows), sizeof(probed_rows[0]), compare_rows, NULL);
	x2apic_row = search_rows(msr_rows, ARRAY_SIZE(msr_rows), APIC_BASE_MSR);
	for (i = 0; i < ARRAY_SIZE(saved_msrs); i++)
		if (msr_offered(saved_msrs[i]))
			save_list[nr_save++] = saved_msrs[i];
	for (i = 0; i < ARRAY_SIZE(feature_msrs); i++)
		if (!feature_value(feature_msrs[i], &val))
			feature_list[nr_features++] = feature_msrs[i];
}

static int copy_list(struct kvm_msr_list __user *argp, const u32 *list, u32 n)
{
	u32 room;

	if (get_user(room, &argp->nmsrs))
		return -EFAULT;
	if (put_user(n, &argp->nmsrs))
		return -EFAULT;
	if (room < n)
		return -E2BIG;
	return copy_to_user(argp->indices, list, n * sizeof(*list)) ? -EFAULT : 0;
}

int msr_index_list(struct kvm_msr_list __user *argp)
{
	return copy_list(argp, save_list, nr_save);
}

int msr_feature_index_list(struct kvm_msr_list __user *argp)
{
	return copy_list(argp, feature_list, nr_features);
}

#define MAX_IO_MSRS	256

/* Runs @one over the entries until it fails; the count done, or -errno. */
static int msr_batch(struct vcpu *vcpu, struct kvm_msrs __user *argp, bool writeback,
		     int (*one)(struct vcpu *vcpu, struct kvm_msr_entry *entry))
{
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	u32 i;
	int r;

	if (copy_from_user(&head, argp, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_IO_MSRS)
		return -E2BIG;
	if (!head.nmsrs)
		return 0;
	entries = memdup_user(argp->entries, array_size(sizeof(*entries), head.nmsrs));
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < head.nmsrs; i++)
		if (one(vcpu, &entries[i]))
			break;
	r = i;
	if (writeback && copy_to_user(argp->entries, entries, head.nmsrs * sizeof(*entries)))
		r = -EFAULT;
	kfree(entries);
	return r;
}

static bool in_save_list(u32 msr)
{
	u32 i;

	for (i = 0; i < nr_save; i++)
		if (save_list[i] == msr)
			return true;
	return false;
}

static int get_one(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	int err = vcpu_rdmsr(vcpu, entry->index, &entry->data, true);

	/* What the list names can be read, with or without the guest's CPUID bit. */
	if (err == -ENOENT && in_save_list(entry->index)) {
		entry->data = 0;
		err = 0;
	}
	return err;
}

static int set_one(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	int err = vcpu_wrmsr(vcpu, entry->index, entry->data, true);

	if (err == -ENOENT && !entry->data && in_save_list(entry->index))
		err = 0;
	return err;
}

static int feature_one(struct vcpu *vcpu, struct kvm_msr_entry *entry)
{
	return feature_value(entry->index, &entry->data);
}

int msrs_get_user(struct vcpu *vcpu, struct kvm_msrs __user *argp)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = msr_batch(vcpu, argp, true, get_one);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

int msrs_set_user(struct vcpu *vcpu, struct kvm_msrs __user *argp)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);
	int r = msr_batch(vcpu, argp, false, set_one);

	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

int msr_get_features(struct kvm_msrs __user *argp)
{
	return msr_batch(NULL, argp, true, feature_one);
}

/* -------- exits -------- */

static int complete_msr(struct vcpu *vcpu)
{
	if (vcpu->run->msr.error) {
		queue_gp(vcpu);
		return VMM_RESUME;
	}
	if (vcpu->run->exit_reason == KVM_EXIT_X86_RDMSR) {
		vcpu_set_gpr(vcpu, GPR_RAX, lower_32_bits(vcpu->run->msr.data));
		vcpu_set_gpr(vcpu, GPR_RDX, upper_32_bits(vcpu->run->msr.data));
	}
	vcpu_skip_insn(vcpu);
	return VMM_RESUME;
}

static bool msr_to_user(struct vcpu *vcpu, u32 msr, u64 val, bool write, u32 reason)
{
	struct kvm_run *run = vcpu->run;

	if (!(vcpu->vm->user_msr_mask & reason))
		return false;
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.error = 0;
	memset(run->msr.pad, 0, sizeof(run->msr.pad));
	run->msr.reason = reason;
	run->msr.index = msr;
	run->msr.data = write ? val : 0;
	return true;
}

enum msr_result msr_access(struct vcpu *vcpu, u32 msr, u64 *val, bool write)
{
	u32 reason = KVM_MSR_EXIT_REASON_FILTER;
	int err = 1;

	if (msr_filter_allowed(vcpu->vm, msr, write)) {
		err = write ? vcpu_wrmsr(vcpu, msr, *val, false) :
			      vcpu_rdmsr(vcpu, msr, val, false);
		reason = err == -ENOENT ? KVM_MSR_EXIT_REASON_UNKNOWN :
					  KVM_MSR_EXIT_REASON_INVAL;
	}
	trace_vmm_msr(vcpu->id, write, msr, *val, err);
	if (!err)
		return MSR_DONE;
	return msr_to_user(vcpu, msr, *val, write, reason) ? MSR_USER : MSR_GP;
}

/* The value that WRMSR writes. */
static u64 written_value(struct vcpu *vcpu)
{
	return (u32)vcpu_gpr(vcpu, GPR_RAX) | vcpu_gpr(vcpu, GPR_RDX) << 32;
}

static void finish_access(struct vcpu *vcpu, u64 val, bool write)
{
	if (!write) {
		vcpu_set_gpr(vcpu, GPR_RAX, lower_32_bits(val));
		vcpu_set_gpr(vcpu, GPR_RDX, upper_32_bits(val));
	}
	vcpu_skip_insn(vcpu);
}

int msr_handle_exit(struct vcpu *vcpu, bool write)
{
	u32 msr = vcpu_gpr(vcpu, GPR_RCX);
	u64 val = write ? written_value(vcpu) : 0;

	switch (msr_access(vcpu, msr, &val, write)) {
	case MSR_USER:
		vcpu->complete = complete_msr;
		return VMM_USER;
	case MSR_GP:
		queue_gp(vcpu);
		return VMM_RESUME;
	default:
		break;
	}
	finish_access(vcpu, val, write);
	return VMM_RESUME;
}

bool msr_fast_exit(struct vcpu *vcpu, bool write)
{
	u32 msr = vcpu_gpr(vcpu, GPR_RCX);
	const struct msr_row *row = find_row(msr);
	u64 val;

	if (!row || !(row->flags & (write ? SET_IN_STAY : GET_IN_STAY)) ||
	    rcu_access_pointer(vcpu->vm->msr_filter))
		return false;
	if (write) {
		val = written_value(vcpu);
		if (row->set(vcpu, msr, val, false))
			return false;
	} else if (row->get(vcpu, msr, &val, false)) {
		return false;
	}
	trace_vmm_msr(vcpu->id, write, msr, val, 0);
	finish_access(vcpu, val, write);
	return true;
}
