// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine-check banks of a vCPU: MSRs (SDM 16.3), injection by user space, and
 * the interrupt for errors that need no #MC (CMCI, SDM 16.5).
 */
#include <linux/uaccess.h>
#include <asm/mce.h>
#include <asm/traps.h>

#include "cpuid.h"
#include "msr.h"
#include "regs_access.h"
#include "vendor.h"

static u64 cap_supported(void)
{
	return MCG_CTL_P | MCG_SER_P | (vendor_caps.cmci ? MCG_CMCI_P : 0);
}

int mce_cap_supported(u64 __user *argp)
{
	return put_user(cap_supported(), argp) ? -EFAULT : 0;
}

static unsigned int nr_banks(struct vcpu *vcpu)
{
	return vcpu->msrs->mcg_cap & 0xff;
}

/* KVM_X86_SETUP_MCE */
int mce_configure(struct vcpu *vcpu, u64 mcg_cap)
{
	struct vcpu_msrs *m = vcpu->msrs;
	unsigned int banks = mcg_cap & 0xff, i;

	if (!banks || banks > VMM_MCE_BANKS)
		return -EINVAL;
	if (mcg_cap & ~(cap_supported() | MCG_EXT_CNT_MASK | 0xffull))
		return -EINVAL;
	m->mcg_cap = mcg_cap;
	if (mcg_cap & MCG_CTL_P)
		m->mcg_ctl = ~0ull;
	for (i = 0; i < banks; i++)
		m->mc_bank[4 * i] = ~0ull;
	if (mcg_cap & MCG_CMCI_P)
		memset(m->mc_ctl2, 0, banks * sizeof(m->mc_ctl2[0]));
	lapic_set_cmci(vcpu, mcg_cap & MCG_CMCI_P);
	return 0;
}

/* "Uncorrected, no action" (SDM 16.6.3): a record without a #MC. */
static bool mce_no_action(const struct kvm_x86_mce *mce)
{
	return (mce->status & MCI_STATUS_UC) && !mce->mcg_status &&
	       !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

static void mce_record(u64 *bank, const struct kvm_x86_mce *mce, u64 flags)
{
	bank[1] = mce->status | flags;
	bank[2] = mce->addr;
	bank[3] = mce->misc;
}

static void mce_signal(struct vcpu *vcpu, u8 bank)
{
	struct vcpu_msrs *m = vcpu->msrs;

	if ((m->mcg_cap & MCG_CMCI_P) && (m->mc_ctl2[bank] & MCI_CTL2_CMCI_EN))
		lapic_cmci(vcpu);
}

static int mce_uncorrected(struct vcpu *vcpu, const struct kvm_x86_mce *mce, u64 *bank)
{
	struct vcpu_msrs *m = vcpu->msrs;

	/* Reporting is off: globally, or for the bank. */
	if ((m->mcg_cap & MCG_CTL_P) && m->mcg_ctl != ~0ull)
		return 0;
	if (bank[0] != ~0ull)
		return 0;
	if ((m->mcg_status & MCG_STATUS_MCIP) || !(vcpu_cr4(vcpu) & X86_CR4_MCE)) {
		vcpu_request(vcpu, REQ_TRIPLE_FAULT);
		return 0;
	}
	mce_record(bank, mce, bank[1] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0);
	m->mcg_status = mce->mcg_status;
	queue_exception(vcpu, X86_TRAP_MC);
	return 0;
}

/* KVM_X86_SET_MCE */
int mce_set(struct vcpu *vcpu, const struct kvm_x86_mce *mce)
{
	u64 *bank;

	if (mce->bank >= nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->msrs->mc_bank[4 * array_index_nospec(mce->bank, nr_banks(vcpu))];
	if (mce_no_action(mce)) {
		vcpu->msrs->mcg_status = 0;
		mce_record(bank, mce, 0);
		mce_signal(vcpu, mce->bank);
		return 0;
	}
	if (mce->status & MCI_STATUS_UC)
		return mce_uncorrected(vcpu, mce, bank);
	if (!(bank[1] & MCI_STATUS_VAL) || !(bank[1] & MCI_STATUS_UC))
		mce_record(bank, mce, bank[1] & MCI_STATUS_VAL ? MCI_STATUS_OVER : 0);
	else
		bank[1] |= MCI_STATUS_OVER;
	return 0;
}

int mce_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	struct vcpu_msrs *m = vcpu->msrs;

	switch (msr) {
	case MSR_IA32_MCG_CAP:
		*val = m->mcg_cap;
		return 0;
	case MSR_IA32_MCG_STATUS:
		*val = m->mcg_status;
		return 0;
	case MSR_IA32_MCG_CTL:
		if (!(m->mcg_cap & MCG_CTL_P) && !host)
			return 1;
		*val = m->mcg_ctl;
		return 0;
	}
	if (msr >= MSR_IA32_MCx_CTL(nr_banks(vcpu)))
		return 1;
	*val = m->mc_bank[array_index_nospec(msr - MSR_IA32_MCx_CTL(0), 4 * nr_banks(vcpu))];
	return 0;
}

/* An AMD guest may write a status if it has said so in HWCR (APM 9.3.2.2). */
static bool status_writable(struct vcpu *vcpu)
{
	return guest_cpuid_is_amd(vcpu) && (vcpu->msrs->hwcr & HWCR_MC_STATUS_WR_EN);
}

static int set_bank(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u32 offset = msr - MSR_IA32_MCx_CTL(0);

	if (msr >= MSR_IA32_MCx_CTL(nr_banks(vcpu)))
		return 1;
	if (!host) {
		/* Linux clears bit 10 of bank 4's CTL and bit 0 for errata. */
		if ((offset & 3) == 0 && val && (val | BIT(10) | 1) != ~0ull)
			return 1;
		if ((offset & 3) == 1 && val && !status_writable(vcpu))
			return 1;
	}
	vcpu->msrs->mc_bank[array_index_nospec(offset, 4 * nr_banks(vcpu))] = val;
	return 0;
}

int mce_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	struct vcpu_msrs *m = vcpu->msrs;

	switch (msr) {
	case MSR_IA32_MCG_CAP:
		return 1;
	case MSR_IA32_MCG_STATUS:
		m->mcg_status = val;
		return 0;
	case MSR_IA32_MCG_CTL:
		if (!(m->mcg_cap & MCG_CTL_P) && (val || !host))
			return 1;
		if (val && val != ~0ull)
			return 1;
		m->mcg_ctl = val;
		return 0;
	}
	return set_bank(vcpu, msr, val, host);
}

/* Without MCG_CMCI_P they are not there, but for user space that saves and restores them. */
int mce_get_ctl2(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	u32 bank = msr - MSR_IA32_MCx_CTL2(0);

	if (bank >= nr_banks(vcpu) || (!(vcpu->msrs->mcg_cap & MCG_CMCI_P) && !host))
		return 1;
	*val = vcpu->msrs->mc_ctl2[array_index_nospec(bank, nr_banks(vcpu))];
	return 0;
}

int mce_set_ctl2(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u32 bank = msr - MSR_IA32_MCx_CTL2(0);

	if (bank >= nr_banks(vcpu))
		return 1;
	if (!(vcpu->msrs->mcg_cap & MCG_CMCI_P) && (val || !host))
		return 1;
	if (val & ~(MCI_CTL2_CMCI_EN | MCI_CTL2_CMCI_THRESHOLD_MASK))
		return 1;
	vcpu->msrs->mc_ctl2[array_index_nospec(bank, nr_banks(vcpu))] = val;
	return 0;
}
