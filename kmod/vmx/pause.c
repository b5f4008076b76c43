// SPDX-License-Identifier: GPL-2.0-only
/* PAUSE-loop exits: SDM 26.1.3. They come at CPL 0 only. */
#include <linux/limits.h>
#include <linux/module.h>

#include "../pause.h"
#include "vmx.h"

/* Names and defaults of kvm_intel's parameters. */
static unsigned int ple_gap = 128;
module_param(ple_gap, uint, 0444);
MODULE_PARM_DESC(ple_gap, "Intel: ticks between two PAUSEs of one loop, 0: loops do not exit");

static unsigned int ple_window = 4096;
module_param(ple_window, uint, 0444);
MODULE_PARM_DESC(ple_window, "Intel: ticks of a PAUSE loop before it exits, at first");

static unsigned int ple_window_grow = 2;
module_param(ple_window_grow, uint, 0444);
MODULE_PARM_DESC(ple_window_grow, "Intel: factor (or ticks) by which the window grows, 0: not at all");

static unsigned int ple_window_shrink;
module_param(ple_window_shrink, uint, 0444);
MODULE_PARM_DESC(ple_window_shrink, "Intel: divisor (or ticks) by which it shrinks, 0: all at once");

static unsigned int ple_window_max = UINT_MAX;
module_param(ple_window_max, uint, 0444);
MODULE_PARM_DESC(ple_window_max, "Intel: longest window");

static bool ple_exists(void)
{
	return vmx_caps.allowed[VCTL_CPU2] & SECONDARY_EXEC_PAUSE_LOOP_EXITING;
}

bool vmx_pause_exits(const struct vm *vm)
{
	return ple_exists() && ple_gap && !(vm->disabled_exits & KVM_X86_DISABLE_EXITS_PAUSE);
}

void vmx_pause_init(struct vcpu_vmx *vmx)
{
	vmx->ple_window = ple_window;
	if (!ple_exists())
		return;
	vmcs_write32(PLE_GAP, ple_gap);
	vmcs_write32(PLE_WINDOW, ple_window);
}

void vmx_pause_window(struct vcpu *vcpu, bool spun)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	u32 old = vmx->ple_window;

	if (spun)
		vmx->ple_window = pause_longer(old, ple_window, ple_window_grow, ple_window_max);
	else
		vmx->ple_window = pause_shorter(old, ple_window, ple_window_shrink);
	if (vmx->ple_window != old)
		vmx->pending |= VMX_PEND_PLE;
}
