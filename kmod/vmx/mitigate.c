// SPDX-License-Identifier: GPL-2.0-only
/*
 * Speculation: what must be flushed, filled or switched around an entry.
 * entry.S does what cannot wait for C; vmx_run.flags tells it what.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <asm/hardirq.h>
#include <asm/nospec-branch.h>

#include "vmx.h"

static char *vmentry_l1d_flush = "auto";
module_param(vmentry_l1d_flush, charp, 0444);
MODULE_PARM_DESC(vmentry_l1d_flush, "When L1D is flushed for L1TF: auto (by l1tf=), never, cond, always");

enum l1d_policy { L1D_AUTO, L1D_NEVER, L1D_COND, L1D_ALWAYS };

static const char * const policy_names[] = {
	[L1D_AUTO] = "auto", [L1D_NEVER] = "never", [L1D_COND] = "cond", [L1D_ALWAYS] = "always",
};

#define L1D_ORDER	4
#define L1D_SIZE	(PAGE_SIZE << L1D_ORDER)	/* larger than any L1D */

static void *l1d_fill;
static DEFINE_PER_CPU(u64, last_serial);	/* vCPU that ran last */

static enum l1d_policy auto_policy(void)
{
	switch (compat_l1tf()) {
	case L1TF_MITIGATION_OFF:
		return L1D_NEVER;
	case L1TF_MITIGATION_FULL:
	case L1TF_MITIGATION_FULL_FORCE:
		return L1D_ALWAYS;
	default:
		return L1D_COND;
	}
}

int vmx_mitigate_setup(void)
{
	int policy = match_string(policy_names, ARRAY_SIZE(policy_names), vmentry_l1d_flush);

	if (policy < 0) {
		pr_err("vmentry_l1d_flush=%s: auto, never, cond or always\n", vmentry_l1d_flush);
		return -EINVAL;
	}
	if (policy == L1D_AUTO)
		policy = auto_policy();
	vmx_host.l1d_flush = policy != L1D_NEVER && boot_cpu_has_bug(X86_BUG_L1TF);
	vendor_caps.l1d_leaks = !vmx_host.l1d_flush && boot_cpu_has_bug(X86_BUG_L1TF);
	vmx_host.l1d_always = vmx_host.l1d_flush && policy == L1D_ALWAYS;
	if (!vmx_host.l1d_flush || vmx_host.l1d_flush_msr)
		return 0;
	l1d_fill = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, L1D_ORDER);
	return l1d_fill ? 0 : -ENOMEM;
}

void vmx_mitigate_unsetup(void)
{
	free_pages((unsigned long)l1d_fill, L1D_ORDER);
	l1d_fill = NULL;
}

/* The host's changes with its thread and by IPIs, the guest's under an exit that ends the stay. */
static void load_spec_ctrl(struct vcpu_vmx *vmx)
{
	if (!vmx_host.spec_ctrl)
		return;
	vmx->run.guest_spec_ctrl = vmx->vcpu.regs.spec_ctrl;
	vmx->run.host_spec_ctrl = this_cpu_read(x86_spec_ctrl_current);
}

static void prepare_run_flags(struct vcpu_vmx *vmx)
{
	u32 flags = 0;

	if (vmx_host.verw)
		flags |= BIT(VMX_RUN_VERW);
	if (vmx_host.bhb)
		flags |= BIT(VMX_RUN_BHB);
	if (vmx_host.spec_ctrl)
		flags |= BIT(VMX_RUN_SPEC_SWITCH);
	if (vmx_host.spec_always)
		flags |= BIT(VMX_RUN_SPEC_ALWAYS);
	if (vmx->spec_passthrough)
		flags |= BIT(VMX_RUN_SPEC_READ);
	vmx->run.flags = flags | (vmx->run.flags & BIT(VMX_RUN_RESUME));
}

/* Branch predictions learnt from one guest must not steer another. */
static void barrier_between_guests(struct vcpu_vmx *vmx)
{
	if (__this_cpu_read(last_serial) == vmx->serial)
		return;
	__this_cpu_write(last_serial, vmx->serial);
	if (vmx_host.ibpb)
		native_wrmsr(MSR_IA32_PRED_CMD, PRED_CMD_IBPB, 0);
}

/*
 * Whether L1D may hold what this guest must not see: another thread has run, or user
 * space, or the emulator has worked on memory for the guest. Nothing else between two stays
 * reads what is anybody's secret; a fault looks at tables and at the page's struct. The
 * kernel's own KVM draws the line in the same place, and has the parameter for who wants it
 * elsewhere.
 */
static bool host_data_loaded(struct vcpu_vmx *vmx)
{
	unsigned long switches = current->nvcsw + current->nivcsw;
	bool yes = vmx->vcpu.touched_memory || switches != vmx->switches;

	vmx->vcpu.touched_memory = false;
	vmx->switches = switches;
	return yes;
}

void vmx_mitigate_stay(struct vcpu_vmx *vmx)
{
	if (vmx_host.l1d_flush)
		vmx->l1d_dirty |= host_data_loaded(vmx);
	prepare_run_flags(vmx);
	barrier_between_guests(vmx);
}

static bool interrupted_since_flush(void)
{
	bool yes = true;

#if IS_ENABLED(CONFIG_KVM_INTEL)
	yes = kvm_get_cpu_l1tf_flush_l1d();
	kvm_clear_cpu_l1tf_flush_l1d();
#endif
	return yes;
}

static void fill_l1d(void)
{
	const char *p = l1d_fill;
	unsigned int i;

	for (i = 0; i < L1D_SIZE; i += 64)
		(void)READ_ONCE(p[i]);
	barrier_nospec();
}

/*
 * L1TF: what the host left in L1D must not be there when the guest runs: as a stay
 * begins, and again when an interrupt was taken inside it.
 */
static void flush_l1d(struct vcpu_vmx *vmx)
{
	if (!vmx_host.l1d_flush)
		return;
	vmx->l1d_dirty |= interrupted_since_flush() || vmx_host.l1d_always;
	if (!vmx->l1d_dirty)
		return;
	vmx->l1d_dirty = false;
	if (vmx_host.l1d_flush_msr)
		native_wrmsr(MSR_IA32_FLUSH_CMD, L1D_FLUSH, 0);
	else
		fill_l1d();
}

void vmx_mitigate_entry(struct vcpu_vmx *vmx)
{
	/* Then each entry is to be asked about. */
	vmx->vcpu.irqs_taken = vmx_host.l1d_always;
	load_spec_ctrl(vmx);
	flush_l1d(vmx);
}
