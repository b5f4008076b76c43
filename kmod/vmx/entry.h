/* SPDX-License-Identifier: GPL-2.0-only */
/* What C and entry.S agree on: offsets in struct vmx_run, flags, results. */
#ifndef VMM_VMX_ENTRY_H
#define VMM_VMX_ENTRY_H

#define VMX_RUN_HOST_RSP	0
#define VMX_RUN_GUEST_SPEC	8
#define VMX_RUN_HOST_SPEC	16
#define VMX_RUN_FLAGS		24

/* Bit numbers in vmx_run.flags. */
#define VMX_RUN_RESUME		0	/* launched before: VMRESUME */
#define VMX_RUN_SPEC_SWITCH	1	/* SPEC_CTRL may differ from the host's */
#define VMX_RUN_SPEC_READ	2	/* the guest writes SPEC_CTRL without exit */
#define VMX_RUN_SPEC_ALWAYS	3	/* host wants SPEC_CTRL written at each exit */
#define VMX_RUN_VERW		4	/* clear CPU buffers before entry */
#define VMX_RUN_BHB		5	/* clear branch history after exit */

#ifndef __ASSEMBLY__
#include <linux/types.h>

struct vmx_run {
	u64 host_rsp;		/* value in VMCS HOST_RSP */
	u64 guest_spec_ctrl;
	u64 host_spec_ctrl;
	u32 flags;
};

enum vmx_entry_result {
	VMX_ENTERED,		/* the guest ran, or entry failed with an exit */
	VMX_ENTRY_REFUSED,	/* VMfail: VM_INSTRUCTION_ERROR tells why */
	VMX_ENTRY_FAULTED,	/* not in VMX operation any more */
};

/*
 * Runs the guest once on the current VMCS. Irqs off. @gpr is loaded and saved
 * in the order of enum gpr, but for RSP, which is in the VMCS.
 */
asmlinkage int vmx_enter_guest(struct vmx_run *run, u64 *gpr);
extern const char vmx_exit_point[];	/* HOST_RIP */
#endif

#endif /* VMM_VMX_ENTRY_H */
