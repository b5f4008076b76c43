/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts of a VM: local APICs, IOAPIC, the two PICs, the PIT, the GSI
 * routing table, eventfds. Each chip is one file with the same verbs (create,
 * destroy, reset, read, write, get, set).
 *
 * Locks: pic->lock and ioapic->lock are taken with irqs saved (injection comes
 * from eventfd wake-ups and hrtimers), never one inside the other, and never
 * held while acknowledge notifiers run. The LAPIC's IRR, TMR, ESR bits and
 * pending INIT/SIPI are atomic and written by anybody; everything else in a
 * LAPIC belongs to the vCPU thread, and senders only read it.
 */
#ifndef VMM_IRQ_H
#define VMM_IRQ_H

#include <linux/bitmap.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>

struct vm;
struct vcpu;
struct kvm_lapic_state;
struct kvm_irqchip;
struct kvm_pit_state2;
struct kvm_pit_config;
struct kvm_irq_routing_entry;
struct kvm_irq_level;
struct kvm_msi;
struct kvm_irqfd;
struct kvm_tpr_access_ctl;
struct kvm_ioeventfd;

#define VMM_IOAPIC_PINS		24
#define VMM_PIC_PINS		16
#define VMM_MAX_IRQ_ROUTES	4096

struct lapic;
struct ioapic;
struct pic;
struct pit;
struct routing;

enum irqchip_mode { IRQCHIP_NONE, IRQCHIP_KERNEL, IRQCHIP_SPLIT };

struct vm_irq {
	int mode;			/* enum irqchip_mode; set once under vm->lock */
	struct pic *pic;
	struct ioapic *ioapic;
	struct pit *pit;
	struct routing __rcu *routing;	/* replaced as a whole */
	struct list_head irqfds;	/* irqfds_lock */
	struct list_head resamplers;	/* vm->irq_lock */
	unsigned int nr_resampled;	/* vm->irq_lock: irqfds with a resample eventfd */
	atomic_t lowest_turn;		/* rotates lowest-priority delivery */
	struct list_head ioeventfds;	/* vm->slots_lock */
	spinlock_t irqfds_lock;
	struct hlist_head ack_notifiers; /* irq_lock; readers: ack_srcu */
	struct srcu_struct ack_srcu;	/* and held while a line is driven */
	bool x2apic_ids;		/* KVM_CAP_X2APIC_API flags */
	bool x2apic_no_broadcast_quirk;
	u32 apic_bus_cycle_ns;		/* 1 by default */
	u16 split_reserved_pins;	/* KVM_CAP_SPLIT_IRQCHIP argument */
	DECLARE_BITMAP(eoi_vectors, 256); /* routing.c, mark_eoi(); bits are only ever set */
};

/* deliver.c / routing.c: life of the room, called by vm.c. */
int irq_vm_init(struct vm *vm);		/* no chips yet */
void irq_vm_release(struct vm *vm);	/* the VM fd closed: irqfds are let go */
void irq_vm_stop(struct vm *vm);	/* before the vCPUs go: timers and work end */
void irq_vm_destroy(struct vm *vm);	/* last reference gone */
int irqchip_create(struct vm *vm);	/* KVM_CREATE_IRQCHIP, under vm->lock */
int irqchip_create_split(struct vm *vm, u32 pins);
int irqchip_get(struct vm *vm, struct kvm_irqchip *chip);
int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip);

/* routing.c */
int routing_set(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr, u32 flags);
/* >= 0 delivered, < 0 masked or -errno */
int irq_set_line(struct vm *vm, int source, u32 gsi, int level);
/* Up and down again. */
void irq_pulse(struct vm *vm, int source, u32 gsi);
/* Fills level->status; @status: KVM_IRQ_LINE_STATUS, which asks for it. */
int irq_line_ioctl(struct vm *vm, struct kvm_irq_level *level, bool status);
int irq_send_msi(struct vm *vm, const struct kvm_msi *msi);	/* KVM_SIGNAL_MSI */

/*
 * deliver.c, for hypercalls. An id is compared with what each enabled APIC has
 * for its own. irq_send_mask: to ids @min + n for the bits n of @mask, of which
 * @width are in each word; @icr as in ICR. Number of APICs that took it or -errno.
 */
struct vcpu *irq_vcpu_of_apic(struct vm *vm, u64 id);	/* under RCU */
int irq_send_mask(struct vm *vm, const unsigned long mask[2], unsigned int width, u32 min,
		  u32 icr);
void irq_unhalt(struct vm *vm, u32 id);

/* irqfd.c, ioeventfd.c */
int irqfd_ioctl(struct vm *vm, const struct kvm_irqfd *args);
int ioeventfd_ioctl(struct vm *vm, const struct kvm_ioeventfd *args);
int irqfd_module_init(void);		/* clean-up workqueue */
void irqfd_module_exit(void);

/* pit.c */
int pit_create(struct vm *vm, const struct kvm_pit_config *config);
int pit_get(struct vm *vm, struct kvm_pit_state2 *state);
int pit_set(struct vm *vm, const struct kvm_pit_state2 *state);
int pit_set_reinject(struct vm *vm, bool reinject);

/* lapic.c */
int lapic_create(struct vcpu *vcpu);
void lapic_destroy(struct vcpu *vcpu);
void lapic_reset(struct vcpu *vcpu, bool init);
int lapic_get(struct vcpu *vcpu, struct kvm_lapic_state *state);
int lapic_set(struct vcpu *vcpu, const struct kvm_lapic_state *state);
/* MSR_IA32_APICBASE. 0, or 1 = #GP / -EINVAL; @host skips guest-only transitions checks. */
int lapic_set_base(struct vcpu *vcpu, u64 base, bool host);
/* xAPIC page: true when @gpa lies in this vCPU's enabled APIC page and was served. */
bool lapic_mmio_read(struct vcpu *vcpu, u64 gpa, unsigned int len, void *data);
bool lapic_mmio_write(struct vcpu *vcpu, u64 gpa, unsigned int len, const void *data);
/* x2APIC MSRs 0x800-0x8ff and TSC deadline: 0, or 1 = #GP. */
int lapic_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val);
int lapic_wrmsr(struct vcpu *vcpu, u32 msr, u64 val);
u64 lapic_get_tscdeadline(struct vcpu *vcpu);
void lapic_set_tscdeadline(struct vcpu *vcpu, u64 val);
u64 lapic_get_tpr(struct vcpu *vcpu);		/* CR8 value, 0-15 */
void lapic_set_tpr(struct vcpu *vcpu, u64 cr8);

/*
 * What the run loop asks, vCPU thread only.
 * irq_pending:	vector that could be injected now as far as priorities go
 *		(PIC ExtINT through LVT0 or virtual wire, or LAPIC), or -1.
 * irq_ack:	takes it (IRR -> ISR, or PIC INTA) and returns it, or -1.
 * lapic_highest_irr: for the TPR threshold; -1 when none.
 * irq_takes_extint: would it take a vector from user space's own PIC: the
 *		LAPIC is off, absent, or has LINT0 open for ExtINT.
 */
int irq_pending(struct vcpu *vcpu);
int irq_ack(struct vcpu *vcpu);
int lapic_highest_irr(struct vcpu *vcpu);
bool irq_takes_extint(struct vcpu *vcpu);
/* REQ_TIMER was raised. */
void lapic_timer_fired(struct vcpu *vcpu);
/* REQ_INIT_SIPI: true when INIT or SIPI is waiting (or *vector) and clears it. */
bool lapic_take_init(struct vcpu *vcpu);
bool lapic_take_sipi(struct vcpu *vcpu, u8 *vector);
bool lapic_init_sipi_pending(struct vcpu *vcpu);
void lapic_set_pending_sipi(struct vcpu *vcpu);	/* KVM_MP_STATE_SIPI_RECEIVED */
/* INIT alone, which SMM makes wait: KVM_GET/SET_VCPU_EVENTS. */
bool lapic_latched_init(struct vcpu *vcpu);
void lapic_latch_init(struct vcpu *vcpu, bool pending);
void lapic_set_sipi_vector(struct vcpu *vcpu, u8 vector); /* KVM_SET_VCPU_EVENTS */
/* Around a stay and HLT: hardware timer versus hrtimer (vendor set_timer). */
void lapic_timer_to_hw(struct vcpu *vcpu);
void lapic_timer_to_sw(struct vcpu *vcpu);
void lapic_timer_hw_expired(struct vcpu *vcpu);	/* EXIT_PREEMPT_TIMER */
/* guest CPUID or TSC changed */
void lapic_cpuid_changed(struct vcpu *vcpu, bool x2apic, bool tsc_deadline);
void lapic_tsc_changed(struct vcpu *vcpu);
/* Whether there is an LVT register for corrected machine checks; and one such interrupt. */
void lapic_set_cmci(struct vcpu *vcpu, bool on);
void lapic_cmci(struct vcpu *vcpu);
/*
 * vapic.c. The two ioctls: 0 or -EINVAL. tpr_exit: REQ_TPR_ACCESS was raised; fills
 * kvm_run. vapic_*: around a stay while vcpu->vapic is set, under vm->srcu.
 */
int lapic_set_tpr_reporting(struct vcpu *vcpu, const struct kvm_tpr_access_ctl *ctl);
int lapic_set_vapic(struct vcpu *vcpu, u64 gpa);
void lapic_tpr_exit(struct vcpu *vcpu);
void lapic_vapic_to_guest(struct vcpu *vcpu);
void lapic_vapic_from_guest(struct vcpu *vcpu);
/* An EOI exit that user space must hear of (split irqchip): vector, or -1. */
int lapic_take_eoi_exit(struct vcpu *vcpu);
/*
 * For pv/, vCPU thread. silent: the EOI of the vector in service is nobody's
 * affair, and no vector waits for it. eoi: the guest made it without an exit.
 * post: an edge-triggered vector of our own. listens: it would be accepted.
 */
bool lapic_eoi_silent(struct vcpu *vcpu);
void lapic_eoi(struct vcpu *vcpu);
void lapic_post(struct vcpu *vcpu, u8 vector);
bool lapic_listens(struct vcpu *vcpu);
/* LVT NMI by LINT1, PMI and so on arrive as queue_nmi(); MCE LVT is later. */

#endif /* VMM_IRQ_H */
