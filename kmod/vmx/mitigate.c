// SPDX-License-Identifier: GPL-2.0-only
/*
 * Speculation: what must be flushed, filled or switched around an entry.
 * entry.S does what cannot wait for C; vmx_run.flags tells it what.
 */
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <asm/hardirq.h>
#include <asm/nospec-branch.h>

#include "vmx.h"

#define L1D_ORDER	4
#define L1D_SIZE	(PAGE_SIZE << L1D_ORDER)	/* larger than any L1D */

static void *l1d_fill;
static DEFINE_PER_CPU(u64, last_serial);	/* vCPU that ran last */

int vmx_mitigate_setup(void)
{
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
	vmx->run.flags = flags;
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

void vmx_mitigate_stay(struct vcpu_vmx *vmx)
{
	vmx->l1d_dirty = true;
	prepare_run_flags(vmx);
	barrier_between_guests(vmx);
}

static void load_spec_ctrl(struct vcpu_vmx *vmx)
{
	if (!vmx_host.spec_ctrl)
		return;
	vmx->run.guest_spec_ctrl = vmx->vcpu.regs.spec_ctrl;
	vmx->run.host_spec_ctrl = this_cpu_read(x86_spec_ctrl_current);
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
 * L1TF: what the host left in L1D must not be there when the guest runs. Once
 * per stay, and again when an interrupt was taken inside it.
 */
static void flush_l1d(struct vcpu_vmx *vmx)
{
	if (!vmx_host.l1d_flush)
		return;
	vmx->l1d_dirty |= interrupted_since_flush();
	if (!vmx->l1d_dirty)
		return;
	vmx->l1d_dirty = false;
	if (vmx_host.l1d_flush_msr)
		native_wrmsr(MSR_IA32_FLUSH_CMD, L1D_FLUSH, 0);
	else
		fill_l1d();
}

/* Irqs off, last thing before the entry. */
void vmx_mitigate_entry(struct vcpu_vmx *vmx)
{
	load_spec_ctrl(vmx);
	flush_l1d(vmx);
}

void vmx_mitigate_exit(struct vcpu_vmx *vmx)
{
	if (vmx->spec_passthrough)
		vmx->vcpu.regs.spec_ctrl = vmx->run.guest_spec_ctrl;
}
