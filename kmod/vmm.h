/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two objects of the house, struct vm and struct vcpu, and what common
 * code offers to every room.
 *
 * Lock order, outermost first:
 *	vcpu->mutex		one vCPU ioctl at a time, KVM_RUN included
 *	vm->lock		VM ioctls, vCPU creation, irqchip creation
 *	vm->slots_lock		writers of memslots and of the I/O buses
 *	vm->irq_lock		writers of the routing table and of irqfds
 *	vm->srcu (read)		memslots, I/O buses
 *	mm locks		mm/mm.h
 *	chip spinlocks		irq/irq.h (pic, ioapic, pit: irqs off)
 *
 * Field letters: (c) set at creation, constant afterwards; (v) only by the
 * vCPU's own thread or under vcpu->mutex; (m) under vm->lock; (r) RCU or
 * SRCU; (a) atomic; (u) shared with user space, never trusted.
 */
#ifndef VMM_VMM_H
#define VMM_VMM_H

#include <linux/cpumask.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "compat.h"
#include "debug_resched.h"
#include "vmm_uapi.h"
#include "regs.h"
#include "events.h"
#include "io.h"
#include "smm.h"
#include "stats.h"
#include "mm/mm.h"
#include "irq/irq.h"

#define VMM_MAX_VCPUS		1024
#define VMM_MAX_VCPU_ID		(4 * VMM_MAX_VCPUS)
#define VMM_MAX_CPUID_ENTRIES	256
/* vCPUs that are found without a walk through the xarray. */
#define VMM_NEAR_VCPUS		16

struct vm;
struct vcpu;

/*
 * vCPU states. Legal moves: OUTSIDE -> LOADED -> IN_GUEST -> LOADED ->
 * OUTSIDE and OUTSIDE -> BLOCKED -> OUTSIDE. vcpu_set_state() is the only
 * setter; an illegal move WARNs once.
 */
enum vcpu_state {
	VCPU_OUTSIDE,		/* not on a physical CPU, or in user space */
	VCPU_LOADED,		/* inside a stay: preemption off, guest FPU live */
	VCPU_IN_GUEST,		/* a request made now comes with an IPI */
	VCPU_BLOCKED,		/* in HLT or waiting for SIPI: polls or sleeps */
};

/* Bits of vcpu->requests, the hazard word looked at before every entry. */
enum vcpu_request {
	REQ_EVENT,		/* an interrupt, NMI or exception may be pending */
	REQ_TLB_FLUSH,		/* second-stage translations changed: flush all */
	REQ_TLB_FLUSH_GUEST,	/* guest-visible flush of linear mappings */
	REQ_INIT_SIPI,		/* lapic.pending_init/sipi has something */
	REQ_TIMER,		/* the LAPIC timer expired */
	REQ_CLOCK,		/* rewrite the kvmclock page */
	REQ_STEAL,		/* it was not running: rewrite the steal time page */
	REQ_APF,		/* a page that was waited for is there */
	REQ_TRIPLE_FAULT,	/* leave with KVM_EXIT_SHUTDOWN */
	REQ_DEAD,		/* the VM is broken: KVM_RUN returns -EIO */
	REQ_TSC,		/* tsc offset or scale changed: reprogram */
	REQ_CPUID,		/* guest CPUID, MSR filter or a parameter changed: intercepts */
	REQ_TPR_ACCESS,		/* leave with KVM_EXIT_TPR_ACCESS */
	REQ_DIRTY_LOG,		/* the hardware's log goes on or off, or shall be emptied */
	REQ_DIRTY_RING,		/* dirty_ring_full(): leave with KVM_EXIT_DIRTY_RING_FULL */
	REQ_SMI,		/* an SMI came, or one that waits may have its time */
};

/* One guest. Freed by the last vm_put(): the VM fd and each vCPU fd hold one. */
struct vm {
	struct mm_struct *mm;		/* (c) ioctls from another mm: -EIO */
	refcount_t users;		/* (a) */
	struct mutex lock;		/* see the lock order above */
	struct mutex slots_lock;	/* same */
	struct mutex irq_lock;		/* same */
	struct srcu_struct srcu;

	struct vm_mm mem;		/* mm/mm.h */
	struct vm_irq irq;		/* irq/irq.h */
	struct io_bus __rcu *bus[NR_IO_BUSES];	/* (r) */
	struct vm_coalesced *coalesced;	/* (c) coalesced.c */

	struct xarray vcpus;		/* (r) by index 0..nr_vcpus-1 */
	struct vcpu *near_vcpus[VMM_NEAR_VCPUS]; /* (r) the first of them */
	atomic_t nr_vcpus;		/* (a) only grows */
	u32 bsp_id;			/* (m) vCPU id of the boot processor */
	u32 max_vcpu_id;		/* (m) */

	u64 tss_addr;			/* (m) KVM_SET_TSS_ADDR, kept for the ABI */
	u64 identity_map_addr;		/* (m) */
	u32 default_tsc_khz;		/* (m) */
	struct vm_clock *clock;		/* time.c: kvmclock base, TSC matching */

	u64 disabled_quirks;		/* (m) */
	u32 disabled_exits;		/* KVM_X86_DISABLE_EXITS_*; written under (m) */
	u32 exit_hypercalls;		/* (m) KVM_CAP_EXIT_HYPERCALL: BIT(number) */
	s64 halt_poll_ns;		/* (m) KVM_CAP_HALT_POLL, -1: the module's */
	unsigned int last_boosted;	/* (a) index of the vCPU yielded to last */
	bool platform_info_hidden;	/* (m) KVM_CAP_MSR_PLATFORM_INFO is off */
	bool exception_payload;		/* (m) KVM_CAP_EXCEPTION_PAYLOAD on */
	bool triple_fault_event;	/* (m) */
	bool emulation_failure_exit;	/* (m) */
	u32 user_msr_mask;		/* (m) KVM_CAP_X86_USER_SPACE_MSR reasons */
	struct msr_filter __rcu *msr_filter; /* (r) vm->srcu */

	bool dead;			/* vm_die(), vm_kill(): all ioctls -EIO */
	struct vm_stats stats;
	char stats_id[24];		/* (c) name in the binary stats header */
	struct list_head link;		/* vms_lock, vm.c: list of all VMs */

	void *vendor;			/* (c) vendor's per-VM state */
};

/* Read or write waiting for user space, and the replay log: emulate.c. */
struct emulation;

/* mmio.c: a MOV between memory and a register, or of a constant to memory, by its bytes. */
struct mov_form {
	u64 code[2], mask[2];	/* these, of which the mask's are the instruction */
	u8 len;			/* 0: none is kept */
	u8 size;		/* of the access */
	u8 gpr;			/* that is loaded or stored */
	u8 base, index, shift;	/* [base + (index << shift) + disp]; see enum mov_reg */
	bool write, constant;
	s32 disp;
	s32 value;		/* the constant */
};

/* One virtual CPU; a vendor embeds it as the first member of its own struct. */
struct vcpu {
	struct vm *vm;			/* (c) */
	u32 id;				/* (c) APIC id */
	u32 index;			/* (c) */
	struct mutex mutex;
	struct kvm_run *run;		/* (u) first page of the mapping */
	struct page *run_pages[3];	/* (c) kvm_run, PIO data, the VM's coalesced ring */
	struct pid __rcu *pid;		/* (r) thread of the last KVM_RUN */

	unsigned long requests;		/* (a) bits REQ_* */
	int state;			/* (a) enum vcpu_state */
	int cpu;			/* (a) last physical CPU, -1 at first */
	struct rcuwait wait;
	int srcu_idx;			/* (v) vm->srcu, held in KVM_RUN but in stays and sleep */
	u32 mp_state;			/* (v) KVM_MP_STATE_* */
	bool in_kernel_irqchip;		/* (c) has a LAPIC */
	u8 user_window, user_cr8;	/* (v) as the last stay was told without a LAPIC */
	bool apf_halted;		/* (v) waits for a page as if by HLT: pv/async_pf.c */
	bool eoi_shared, eoi_offered;	/* (v) PV EOI is on, stands for this entry: pv/eoi.c */

	unsigned int halt_poll_ns;	/* (v) how long the next halt polls: halt.c */
	bool ready, preempted, in_kernel; /* (a) hints for directed yields: yield.c */
	bool spinning, spin_turn;	/* (a) same */

	struct vcpu_regs regs;		/* (v) regs.h: register groups */
	struct vcpu_events ev;		/* (v) events.h */
	struct vcpu_smm smm;		/* (v) smm.h */
	struct vcpu_tdp tdp;		/* (v) mm/mm.h */
	struct dirty_ring ring;		/* mm/mm.h */
	struct lapic *lapic;		/* (c) irq/irq.h, NULL without irqchip */
	u64 apic_base;			/* (v) MSR_IA32_APICBASE */

	struct vcpu_xstate *xstate;	/* (v) xstate.c */
	struct vcpu_cpuid *cpuid;	/* (v) cpuid.h */
	struct vcpu_msrs *msrs;		/* (v) msr.c: values with no other home */
	struct vcpu_pv *pv;		/* (v) pv/pv.h */
	struct emulation *emu;		/* (v) */

	struct vmm_exit exit;		/* (v) the exit being handled */
	int (*complete)(struct vcpu *vcpu); /* (v) finishes a user-space exit */
	struct mov_form mov;		/* (v) the last one; user space may serve it */
	u64 mov_rip;			/* (v) where it does */
	u16 io_hint[NR_IO_BUSES];	/* (v) io.c */
	bool irqs_taken;		/* (v) the host's may have come since the last entry */
	bool touched_memory;		/* (v) since the last stay, for the guest: L1TF */

	u64 tsc_offset;			/* (v) guest TSC = scale(host TSC) + offset */
	u64 tsc_base;			/* (v) the offset without what the guest itself added */
	u64 tsc_ratio;			/* (v) 32.32 (SVM) or 16.48 (VMX), 0 = no scaling */
	u32 tsc_khz;			/* (v) */

	u32 guest_debug;		/* (v) KVM_GUESTDBG_* */
	unsigned long debug_dr7;	/* (v) user space's breakpoints */
	unsigned long debug_dr[4];
	bool debug_exit;		/* (v) an emulated step filled run->debug */
	bool vapic;			/* (v) irq/vapic.c: the TPR is in memory */

	sigset_t sigset;		/* (v) KVM_SET_SIGNAL_MASK */
	bool sigset_active;

	struct vcpu_stats stats;	/* (v) stats.h */
};

/* vm.c */
struct vm *vm_create(unsigned long type);
void vm_get(struct vm *vm);
void vm_put(struct vm *vm);
bool vms_exist(void);
/* Calls @fn for each VM; it may sleep, and the VM lasts until it returns. */
void vms_each(void (*fn)(struct vm *vm));
/* All VMs after the host's suspend: see vm_clock_resumed(), vm_clock_anchor_again(). */
void vms_resumed(u64 lost);
void vms_slept(void);

/* One of KVM's departures from the hardware, KVM_X86_QUIRK_*, is on. */
static inline bool vm_quirk(const struct vm *vm, u64 quirk)
{
	return !(READ_ONCE(vm->disabled_quirks) & quirk);
}

/*
 * Stops @vm for good: its ioctls fail from now on. Waits for nobody, but wakes: not in NMI,
 * and not under the scheduler's locks.
 */
void vm_die(struct vm *vm);
/* The same after one of our own promises broke; WARNs once. */
void vm_kill(struct vm *vm, const char *why);
#define VM_BROKEN(cond, vm) \
	({ bool bug__ = (cond); if (unlikely(bug__)) vm_kill(vm, #cond); bug__; })

/* vcpu by index (below nr_vcpus) or by APIC id; NULL when there is none. */
static inline struct vcpu *vm_vcpu(struct vm *vm, unsigned int index)
{
	if (index >= VMM_NEAR_VCPUS)
		return xa_load(&vm->vcpus, index);
	/* It may be the guest's number. */
	return READ_ONCE(vm->near_vcpus[array_index_nospec(index, VMM_NEAR_VCPUS)]);
}

/* Together with vm->vcpus: @vcpu is in there, or just about to go. */
static inline void vm_set_near_vcpu(struct vm *vm, unsigned int index, struct vcpu *vcpu)
{
	if (index < VMM_NEAR_VCPUS)
		/* A whole vCPU before it is found; pairs with vm_vcpu(). */
		smp_store_release(&vm->near_vcpus[index], vcpu);
}

struct vcpu *vm_vcpu_by_id(struct vm *vm, u32 id);
#define vm_for_each_vcpu(i, vcpu, vm) \
	xa_for_each(&(vm)->vcpus, i, vcpu)

/*
 * Requests. vcpu_request() only sets the bit; vcpu_kick() makes the vCPU look
 * at it soon: IPI when IN_GUEST, wake-up when BLOCKED. Callable from any
 * context but NMI.
 */
static inline void vcpu_request(struct vcpu *vcpu, enum vcpu_request req)
{
	/* Orders what the request stands for before the bit itself. */
	smp_wmb();
	set_bit(req, &vcpu->requests);
}

static inline bool vcpu_take_request(struct vcpu *vcpu, enum vcpu_request req)
{
	if (!test_bit(req, &vcpu->requests))
		return false;
	clear_bit(req, &vcpu->requests);
	/* The bit before what it stands for: pairs with vcpu_request(). */
	smp_mb__after_atomic();
	return true;
}

void vcpu_kick(struct vcpu *vcpu);
/*
 * Sets @req on all vCPUs and returns when none of those that were IN_GUEST
 * still runs without having seen it; the others see it before they enter, and
 * BLOCKED ones are not woken for it. Callable with preemption on or off, not
 * with interrupts off. May be called under mm spinlocks.
 */
void vm_request_all(struct vm *vm, enum vcpu_request req);

/* vcpu.c */
int vcpu_create(struct vm *vm, u32 id);
void vcpu_destroy(struct vcpu *vcpu);
/* Architectural reset: @init true for INIT, false for power-up. */
void vcpu_reset(struct vcpu *vcpu, bool init);

/* Bits of the states that @to may follow. */
static __always_inline unsigned int vcpu_states_before(enum vcpu_state to)
{
	switch (to) {
	case VCPU_OUTSIDE:
		return BIT(VCPU_LOADED) | BIT(VCPU_BLOCKED);
	case VCPU_LOADED:
		return BIT(VCPU_OUTSIDE) | BIT(VCPU_IN_GUEST);
	case VCPU_IN_GUEST:
		return BIT(VCPU_LOADED);
	default:
		return BIT(VCPU_OUTSIDE);
	}
}

/*
 * Before it enters the guest or sleeps, the full barrier orders the new state
 * before the reading of vcpu->requests: whoever sets a request and then sees
 * another state than IN_GUEST knows that the request will be seen before the
 * next entry. On the way back nothing is read for which that would matter.
 */
static __always_inline void vcpu_set_state(struct vcpu *vcpu, enum vcpu_state state)
{
	WARN_ON_ONCE(!(vcpu_states_before(state) & BIT(vcpu->state)));
	if (state == VCPU_IN_GUEST || state == VCPU_BLOCKED)
		/* See above; pairs with vcpu_kick() and vm_request_all(). */
		smp_store_mb(vcpu->state, state);
	else
		/* What the guest did comes first. */
		smp_store_release(&vcpu->state, state);
}

static inline bool vcpu_is_bsp(const struct vcpu *vcpu)
{
	return vcpu->id == vcpu->vm->bsp_id;
}

/* run.c */
int vcpu_run(struct vcpu *vcpu);
bool vcpu_runnable(struct vcpu *vcpu);

/* exit.c: handler of one neutral exit. RESUME, USER or -errno. */
enum { VMM_USER = 0, VMM_RESUME = 1 };
int vcpu_handle_exit(struct vcpu *vcpu);
/* Runs with preemption off, inside the stay; true when the exit is finished. */
bool vcpu_fast_exit(struct vcpu *vcpu);

/* time.c: guest TSC that corresponds to a host TSC reading. */
u64 vcpu_guest_tsc(const struct vcpu *vcpu, u64 host_tsc);

#endif /* VMM_VMM_H */
