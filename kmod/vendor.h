/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What VT-x and AMD-V each implement. One list, from which the ops structure
 * and the static calls are made; vendor_call(name, args...) calls an entry.
 *
 * A *stay* is the time between stay_begin and stay_end: preemption is off,
 * the vCPU sits on one physical CPU, its FPU state is loaded, and it may be
 * entered many times. Host interrupts may be taken inside a stay.
 */
#ifndef VMM_VENDOR_H
#define VMM_VENDOR_H

#include <linux/static_call.h>

#include "vmm.h"

/*
 * OP(return type, name, arguments)
 *
 * Module and host
 *  probe:	0, or -ENODEV/-EOPNOTSUPP; may print why in one line. No side effects.
 *  setup:	once at load: negotiates controls, allocates; fills vmm_vendor_caps.
 *  unsetup:	undoes setup; virtualization is off on all CPUs.
 *  cpu_on:	this CPU, irqs off. -EBUSY when somebody else holds VT-x/AMD-V.
 *  cpu_off:	this CPU, irqs off; also from crash and reboot. Idempotent.
 * Lifetime
 *  vm_create/vm_destroy:	vm->vendor.
 *  vcpu_create:	allocates VMCS/VMCB; vcpu is embedded in vendor's struct.
 *  vcpu_reset:	hardware-only state after regs.c has set all groups dirty.
 * Stay
 *  stay_begin:	preemption off, irqs on. Makes the vCPU current on this CPU.
 *  stay_end:	preemption off, irqs on or off. Host state fully restored.
 *  enter:	irqs off. Writes dirty groups, runs the guest once, clears avail
 *		of the groups the guest may have changed, fills vcpu->exit, and
 *		sets CR8 if the guest has changed it without an exit. Host
 *		NMIs are served before it returns; host interrupts are left
 *		pending for the caller, who opens interrupts. vcpu->irqs_taken
 *		is the vendor's to clear: until then, what the host's
 *		interrupts may change must be looked at.
 *  fetch:	fills register groups, BIT(group) each; from the vCPU thread, inside or outside
 *		a stay, any context that has preemption on or off, irqs on or off.
 *		(VMX outside a stay makes the VMCS current for the moment.)
 * Events (irqs off, inside a stay, before enter)
 *  inject:	puts one event in place for the next enter.
 *  cancel:	takes back an inject not entered; returns it in *event.
 *  set_window:	WINDOW_* exits wanted; compared with what is programmed.
 *  set_tpr_threshold: irr = highest pending vector or -1, tpr = current TPR:
 *		exit (EXIT_CR8) when the guest lowers TPR below irr's class;
 *		also mirrors tpr into the hardware's TPR.
 * Translation
 *  flush_tlb:	all of this vCPU's second-stage and linear translations.
 *  flush_guest:	linear translations only.
 *  set_root:	second-stage root (struct vm_mm.root), on entry to a stay.
 *  log_dirty:	mm_logs_dirty() may have changed; irqs off, inside a stay. With
 *		caps.dirty_log_size the hardware logs pages whose D bit it sets,
 *		and enter hands them to mm_log_written() before it returns.
 * Configuration (vCPU thread; takes effect with the next enter)
 *  update_intercepts:	guest CPUID, guest_debug, MSR filter or disabled exits changed.
 *  pause_window:	a PAUSE loop has exited (@spun): the next one may be longer;
 *		or the vCPU was scheduled: as at first. See pause.h.
 *  write_tsc:	vcpu->tsc_offset or tsc_ratio changed.
 *  set_timer:	arm the hardware's guest timer at guest TSC value; -EOPNOTSUPP
 *		when there is none (the LAPIC then uses its hrtimer).
 *  rdmsr/wrmsr:	MSRs of this vendor only: 0, -ENOENT unknown (1 = #GP).
 *		host true when user space asks.
 *  feature_msr:	value of a feature MSR offered to user space, or -ENOENT.
 */
#define VMM_VENDOR_OPS(OP)						\
	OP(int, probe, void)						\
	OP(int, setup, void)						\
	OP(void, unsetup, void)						\
	OP(int, cpu_on, void)						\
	OP(void, cpu_off, void)						\
	OP(int, vm_create, struct vm *vm)				\
	OP(void, vm_destroy, struct vm *vm)				\
	OP(int, vcpu_create, struct vcpu *vcpu)				\
	OP(void, vcpu_destroy, struct vcpu *vcpu)			\
	OP(void, vcpu_reset, struct vcpu *vcpu, bool init)		\
	OP(void, stay_begin, struct vcpu *vcpu)				\
	OP(void, stay_end, struct vcpu *vcpu)				\
	OP(void, enter, struct vcpu *vcpu)				\
	OP(void, fetch, struct vcpu *vcpu, u32 groups)			\
	OP(void, inject, struct vcpu *vcpu, const struct vmm_event *event) \
	OP(bool, cancel, struct vcpu *vcpu, struct vmm_event *event)	\
	OP(void, set_window, struct vcpu *vcpu, u32 windows)		\
	OP(void, set_tpr_threshold, struct vcpu *vcpu, int tpr, int irr) \
	OP(void, flush_tlb, struct vcpu *vcpu)				\
	OP(void, flush_guest, struct vcpu *vcpu)			\
	OP(void, set_root, struct vcpu *vcpu, hpa_t root)		\
	OP(void, log_dirty, struct vcpu *vcpu)				\
	OP(void, update_intercepts, struct vcpu *vcpu)			\
	OP(void, pause_window, struct vcpu *vcpu, bool spun)		\
	OP(void, write_tsc, struct vcpu *vcpu)				\
	OP(int, set_timer, struct vcpu *vcpu, u64 guest_tsc)		\
	OP(int, rdmsr, struct vcpu *vcpu, u32 msr, u64 *val, bool host)	\
	OP(int, wrmsr, struct vcpu *vcpu, u32 msr, u64 val, bool host)	\
	OP(int, feature_msr, u32 msr, u64 *val)

#define VMM_VENDOR_MEMBER(ret, name, ...) ret (*name)(__VA_ARGS__);
struct vmm_vendor_ops {
	const char *name;	/* "vmx" or "svm" */
	VMM_VENDOR_OPS(VMM_VENDOR_MEMBER)
};
#undef VMM_VENDOR_MEMBER

/* Filled by setup(); constant afterwards. */
struct vmm_vendor_caps {
	size_t vcpu_size;		/* of the vendor's struct, vcpu first */
	struct tdp_format tdp;		/* mm/mm.h */
	unsigned int dirty_log_size;	/* pages that the hardware's log holds; 0: has none */
	bool tsc_scaling;
	u8 tsc_ratio_frac_bits;
	u64 tsc_ratio_max;
	u64 tsc_ratio_default;
	bool timer;			/* set_timer works */
	bool l1d_leaks;			/* L1TF is there, and L1D is not flushed for guests */
	u64 efer_mask;			/* EFER bits a guest may set */
	bool xsaves;			/* a guest can be given XSAVES */
	bool insn_bytes;		/* decode assists */
	bool vmcall;			/* hypercalls are VMCALL, not VMMCALL */
	bool cmci;			/* MCG_CMCI_P is offered, as only Intel's CPUs have it */
	bool shutdown_loses_state;	/* the registers are undefined after a triple fault */
	bool pdptrs_in_memory;		/* the CPU itself reads PDPTEs at each use */
};

extern struct vmm_vendor_caps vendor_caps;
extern const struct vmm_vendor_ops vmx_ops, svm_ops;
extern const struct vmm_vendor_ops *vendor_ops;

#define VMM_VENDOR_DECLARE(ret, name, ...)				\
	typedef ret vendor_##name##_fn(__VA_ARGS__);			\
	DECLARE_STATIC_CALL(vendor_##name, vendor_##name##_fn);
VMM_VENDOR_OPS(VMM_VENDOR_DECLARE)
#undef VMM_VENDOR_DECLARE

#define vendor_call(name, ...) static_call(vendor_##name)(__VA_ARGS__)

#endif /* VMM_VENDOR_H */
