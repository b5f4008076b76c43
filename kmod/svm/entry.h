/* SPDX-License-Identifier: GPL-2.0-only */
/* What C and entry.S agree on: offsets in struct svm_run, flags. */
#ifndef VMM_SVM_ENTRY_H
#define VMM_SVM_ENTRY_H

#define SVM_RUN_GPR		0
#define SVM_RUN_VMCB		8
#define SVM_RUN_HOST		16
#define SVM_RUN_GUEST_SPEC	24
#define SVM_RUN_HOST_SPEC	32
#define SVM_RUN_FLAGS		40

/* Bits of svm_run.flags. */
#define SVM_RUN_SPEC_SWITCH	1	/* SPEC_CTRL may differ from the host's */
#define SVM_RUN_SPEC_READ	2	/* the guest writes SPEC_CTRL without exit */

#ifndef __ASSEMBLER__
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

struct svm_run {
	u64 *gpr;		/* enum gpr order; RAX and RSP are in the VMCB */
	u64 vmcb_pa;
	u64 host_pa;		/* where VMSAVE put the host's segments and MSRs */
	u64 guest_spec_ctrl;
	u64 host_spec_ctrl;
	u32 flags;
};

static_assert(offsetof(struct svm_run, gpr) == SVM_RUN_GPR);
static_assert(offsetof(struct svm_run, vmcb_pa) == SVM_RUN_VMCB);
static_assert(offsetof(struct svm_run, host_pa) == SVM_RUN_HOST);
static_assert(offsetof(struct svm_run, guest_spec_ctrl) == SVM_RUN_GUEST_SPEC);
static_assert(offsetof(struct svm_run, host_spec_ctrl) == SVM_RUN_HOST_SPEC);
static_assert(offsetof(struct svm_run, flags) == SVM_RUN_FLAGS);

/*
 * Runs the guest once. Irqs off before and after; NMIs and interrupts that
 * came meanwhile are pending when it returns (NMIs are taken in it). 0, or 1
 * when EFER.SVME is no longer set.
 */
asmlinkage int svm_enter_guest(struct svm_run *run);
#endif

#endif /* VMM_SVM_ENTRY_H */
