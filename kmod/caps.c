// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capabilities. One is in the table only when it works as KVM's does.
 */
#include <linux/cpumask.h>
#include <linux/sched/stat.h>

#include "caps.h"
#include "msr.h"
#include "pv/pv.h"
#include "time.h"
#include "vendor.h"
#include "xstate.h"

#define VALID_DISABLE_EXITS \
	(KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE)

#define VALID_QUIRKS \
	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE | \
	 KVM_X86_QUIRK_CD_NW_CLEARED | KVM_X86_QUIRK_OUT_7E_INC_RIP | \
	 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN | \
	 KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)

#define VALID_EXIT_HYPERCALLS	BIT(KVM_HC_MAP_GPA_RANGE)

static const struct {
	u32 cap;
	int value;
} caps[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_USER_MEMORY2, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_VAPIC, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_NR_MEMSLOTS, VMM_MAX_SLOTS },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IRQ_ROUTING, VMM_MAX_IRQ_ROUTES },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_MCE, VMM_MCE_BANKS },
	{ KVM_CAP_ASYNC_PF, 1 },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_ADJUST_CLOCK, VMM_CLOCK_FLAGS },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_PCI_SEGMENT, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_MAX_VCPUS, VMM_MAX_VCPUS },
	{ KVM_CAP_MAX_VCPU_ID, VMM_MAX_VCPU_ID },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, VALID_QUIRKS },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS |
			      KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_HALT_POLL, 1 },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 },
	{ KVM_CAP_EXIT_HYPERCALL, VALID_EXIT_HYPERCALLS },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_ASYNC_PF_INT, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
					     KVM_DIRTY_LOG_INITIALLY_SET },
	{ KVM_CAP_DIRTY_LOG_RING, VMM_DIRTY_RING_BYTES },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, VMM_DIRTY_RING_BYTES },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
	{ KVM_CAP_X86_SMM, 1 },
	{ KVM_CAP_MULTI_ADDRESS_SPACE, VMM_NR_AS },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_LAST_CPU, 1 },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1 },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_VM_TYPES, BIT(0) },
	{ KVM_CAP_SET_GUEST_DEBUG2, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
				    KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP |
				    KVM_GUESTDBG_INJECT_BP | KVM_GUESTDBG_INJECT_DB |
				    KVM_GUESTDBG_BLOCKIRQ },
	{ KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 1 },
	{ KVM_CAP_MEMORY_FAULT_INFO, 1 },
	{ KVM_CAP_PRE_FAULT_MEMORY, 1 },
	{ KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1 },
};

/* C-state residency MSRs are not passed through, so no _CSTATE. */
static u64 valid_disable_exits(void)
{
	/* Deep sleep must stop neither the host's timer nor what wakes the guest. */
	bool mwait = boot_cpu_has(X86_FEATURE_MWAIT) && boot_cpu_has(X86_FEATURE_ARAT) &&
		     !boot_cpu_has_bug(X86_BUG_MONITOR);

	return VALID_DISABLE_EXITS | (mwait ? KVM_X86_DISABLE_EXITS_MWAIT : 0);
}

/* Capabilities whose value is the host's. */
static long caps_dynamic(unsigned long cap)
{
	switch (cap) {
	case KVM_CAP_NR_VCPUS:
		return min_t(unsigned int, num_online_cpus(), VMM_MAX_VCPUS);
	case KVM_CAP_STEAL_TIME:
		return sched_info_on();
	case KVM_CAP_XCRS:
		return boot_cpu_has(X86_FEATURE_XSAVE);
	case KVM_CAP_XSAVE2:
		return xstate_uabi_size();
	case KVM_CAP_X86_DISABLE_EXITS:
		return valid_disable_exits();
	case KVM_CAP_TSC_CONTROL:
	case KVM_CAP_VM_TSC_CONTROL:
		return vendor_caps.tsc_scaling;
	default:
		return 0;
	}
}

long caps_check(struct vm *vm, unsigned long cap)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].cap == cap)
			return caps[i].value;
	return caps_dynamic(cap);
}

static int enable_quirks(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->cap == KVM_CAP_DISABLE_QUIRKS2 && (cap->args[0] & ~VALID_QUIRKS))
		return -EINVAL;
	vm->disabled_quirks |= cap->args[0] & VALID_QUIRKS;
	/* One of them is the reason to intercept #UD. */
	vm_request_all(vm, REQ_CPUID);
	return 0;
}

static int enable_halt_poll(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (upper_32_bits(cap->args[0]))
		return -EINVAL;
	WRITE_ONCE(vm->halt_poll_ns, cap->args[0]);
	return 0;
}

static int enable_platform_info(struct vm *vm, const struct kvm_enable_cap *cap)
{
	vm->platform_info_hidden = !cap->args[0];
	return 0;
}

static int enable_exit_hypercall(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~VALID_EXIT_HYPERCALLS)
		return -EINVAL;
	vm->exit_hypercalls = cap->args[0];
	return 0;
}

static int enable_split_irqchip(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] > VMM_MAX_IRQ_ROUTES)
		return -EINVAL;
	if (vm->irq.mode != IRQCHIP_NONE || atomic_read(&vm->nr_vcpus))
		return -EEXIST;
	return irqchip_create_split(vm, cap->args[0]);
}

static int enable_x2apic_api(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(KVM_X2APIC_API_USE_32BIT_IDS |
			     KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK))
		return -EINVAL;
	if (cap->args[0] & KVM_X2APIC_API_USE_32BIT_IDS)
		vm->irq.x2apic_ids = true;
	if (cap->args[0] & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
		vm->irq.x2apic_no_broadcast_quirk = true;
	return 0;
}

static int enable_disable_exits(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~valid_disable_exits())
		return -EINVAL;
	WRITE_ONCE(vm->disabled_exits, vm->disabled_exits | cap->args[0]);
	vm_request_all(vm, REQ_CPUID);
	return 0;
}

static int enable_exception_payload(struct vm *vm, const struct kvm_enable_cap *cap)
{
	vm->exception_payload = cap->args[0];
	return 0;
}

static int enable_triple_fault(struct vm *vm, const struct kvm_enable_cap *cap)
{
	vm->triple_fault_event = cap->args[0];
	return 0;
}

static int enable_user_msr(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
			     KVM_MSR_EXIT_REASON_FILTER))
		return -EINVAL;
	vm->user_msr_mask = cap->args[0];
	return 0;
}

static int enable_emulation_exit(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] & ~1ull)
		return -EINVAL;
	vm->emulation_failure_exit = cap->args[0];
	return 0;
}

static int enable_max_vcpu_id(struct vm *vm, const struct kvm_enable_cap *cap)
{
	if (cap->args[0] > VMM_MAX_VCPU_ID || vm->bsp_id > cap->args[0])
		return -EINVAL;
	if (atomic_read(&vm->nr_vcpus) || vm->max_vcpu_id != VMM_MAX_VCPU_ID)
		return vm->max_vcpu_id == cap->args[0] ? 0 : -EINVAL;
	if (cap->args[0])
		vm->max_vcpu_id = cap->args[0];
	return 0;
}

static int enable_manual_protect(struct vm *vm, const struct kvm_enable_cap *cap)
{
	u64 allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (cap->args[0] & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (cap->flags || (cap->args[0] & ~allowed))
		return -EINVAL;
	vm->mem.manual_protect = cap->args[0];
	return 0;
}

static int enable_dirty_ring(struct vm *vm, const struct kvm_enable_cap *cap)
{
	return dirty_ring_enable(vm, (u32)cap->args[0]);
}

static int enable_bus_cycles(struct vm *vm, const struct kvm_enable_cap *cap)
{
	/* The longest timer: all 32 bits of the count, divided by 128. */
	if (!cap->args[0] || cap->args[0] > U64_MAX / (128ull * U32_MAX))
		return -EINVAL;
	if (vm->irq.mode == IRQCHIP_NONE)
		return -ENXIO;
	if (atomic_read(&vm->nr_vcpus))
		return -EINVAL;
	vm->irq.apic_bus_cycle_ns = cap->args[0];
	return 0;
}

static int enable_waive_nx_huge(struct vm *vm, const struct kvm_enable_cap *cap)
{
	return nx_huge_waive(vm, cap->args[0]);
}

static const struct {
	u32 cap;
	int (*enable)(struct vm *vm, const struct kvm_enable_cap *cap);
	bool any_flags;		/* KVM does not look at cap->flags */
} vm_caps[] = {
	{ KVM_CAP_DISABLE_QUIRKS, enable_quirks },
	{ KVM_CAP_DISABLE_QUIRKS2, enable_quirks },
	{ KVM_CAP_SPLIT_IRQCHIP, enable_split_irqchip },
	{ KVM_CAP_X2APIC_API, enable_x2apic_api },
	{ KVM_CAP_X86_DISABLE_EXITS, enable_disable_exits },
	{ KVM_CAP_MSR_PLATFORM_INFO, enable_platform_info },
	{ KVM_CAP_EXCEPTION_PAYLOAD, enable_exception_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, enable_triple_fault },
	{ KVM_CAP_X86_USER_SPACE_MSR, enable_user_msr },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, enable_emulation_exit },
	{ KVM_CAP_MAX_VCPU_ID, enable_max_vcpu_id },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, enable_manual_protect },
	{ KVM_CAP_X86_APIC_BUS_CYCLES_NS, enable_bus_cycles },
	{ KVM_CAP_HALT_POLL, enable_halt_poll },
	{ KVM_CAP_EXIT_HYPERCALL, enable_exit_hypercall },
	{ KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, enable_waive_nx_huge },
	{ KVM_CAP_DIRTY_LOG_RING, enable_dirty_ring, true },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, enable_dirty_ring, true },
};

int caps_enable_vm(struct vm *vm, const struct kvm_enable_cap *cap)
{
	int i;

	lockdep_assert_held(&vm->lock);
	for (i = 0; i < ARRAY_SIZE(vm_caps); i++)
		if (vm_caps[i].cap == cap->cap)
			break;
	if (i == ARRAY_SIZE(vm_caps) || (cap->flags && !vm_caps[i].any_flags))
		return -EINVAL;
	return vm_caps[i].enable(vm, cap);
}

int caps_enable_vcpu(struct vcpu *vcpu, const struct kvm_enable_cap *cap)
{
	lockdep_assert_held(&vcpu->mutex);
	if (cap->flags || cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	vcpu->pv->enforce = cap->args[0];
	return 0;
}
