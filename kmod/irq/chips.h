/* SPDX-License-Identifier: GPL-2.0-only */
/* What the chips, the routing table and the eventfds offer one another. */
#ifndef VMM_CHIPS_H
#define VMM_CHIPS_H

#include "vmm.h"

struct lapic;

/* Who drives a line; the pin's level is the OR over all of them. */
enum irq_source { IRQ_SOURCE_USER, IRQ_SOURCE_RESAMPLE, IRQ_SOURCE_PIT, NR_IRQ_SOURCES };

/* pic.c */
int pic_create(struct vm *vm);
void pic_unregister(struct vm *vm);
void pic_destroy(struct vm *vm);
int pic_set_pin(struct vm *vm, u32 pin, int source, int level);
bool pic_output(struct pic *pic);
int pic_ack(struct pic *pic);
void pic_get(struct pic *pic, u32 chip_id, struct kvm_pic_state *state);
void pic_set(struct pic *pic, u32 chip_id, const struct kvm_pic_state *state);

/* ioapic.c */
int ioapic_create(struct vm *vm);
void ioapic_unregister(struct vm *vm);
void ioapic_stop(struct vm *vm);
void ioapic_destroy(struct vm *vm);
/* @status: the caller wants to know of coalescing (KVM_IRQ_LINE_STATUS). */
int ioapic_set_pin(struct vm *vm, u32 pin, int source, int level, bool status);
void ioapic_eoi(struct vcpu *vcpu, u8 vector, bool level);
/* What @vcpu had in service is gone without EOI, by a reset; or there is another state. */
void ioapic_forget(struct vcpu *vcpu);
void ioapic_recall(struct vcpu *vcpu);
/* Marks the vectors of edge pins whose EOI somebody listens to by the routes of @r; routing.c. */
void ioapic_mark_eoi(struct vm *vm, const struct routing *r);
void ioapic_get(struct ioapic *ioapic, struct kvm_ioapic_state *state);
void ioapic_set(struct ioapic *ioapic, const struct kvm_ioapic_state *state);

/* pit.c */
void pit_stop(struct vm *vm);
/* A pin was unmasked: if it is the PIT's, ticks that got lost are forgotten. */
void pit_unmasked(struct vm *vm, u32 irqchip, u32 pin);
void pit_destroy(struct vm *vm);

/* routing.c */
int routing_set_default(struct vm *vm);
int routing_set_empty(struct vm *vm);
void routing_destroy(struct vm *vm);
/* True if @gsi reaches pin @pin of @irqchip (KVM_IRQCHIP_*). */
bool routing_gsi_on_pin(struct vm *vm, u32 gsi, u32 irqchip, u32 pin);

/*
 * Called when the guest acknowledges the interrupt behind a GSI: at EOI, on
 * the vCPU thread, no chip lock held. Registration under vm->irq_lock,
 * callers under RCU.
 */
struct ack_notifier {
	struct hlist_node link;
	u32 gsi;
	void (*acked)(struct ack_notifier *n);
};

void ack_notifier_register(struct vm *vm, struct ack_notifier *n);
void ack_notifier_unregister(struct vm *vm, struct ack_notifier *n);
void ack_notify(struct vm *vm, u32 irqchip, u32 pin);
/* True if a notifier's GSI is that pin by the routes of @r (which may be NULL). */
bool routing_acked(struct vm *vm, const struct routing *r, u32 irqchip, u32 pin);

/* ioeventfd.c */
void ioeventfd_destroy_all(struct vm *vm);

/* irqfd.c */
void irqfd_release(struct vm *vm);

#endif /* VMM_CHIPS_H */
