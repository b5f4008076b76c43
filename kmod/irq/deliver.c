// SPDX-License-Identifier: GPL-2.0-only
/*
 * From an interrupt message to local APICs: destination matching (SDM 11.6.2),
 * lowest priority, MSI decoding; and what the run loop asks of all chips.
 */
#include <asm/apicdef.h>

#include "irq/chips.h"
#include "irq/lapic.h"

#define X2APIC_BROADCAST	0xffffffffu
#define XAPIC_BROADCAST		0xffu

/* SDM 11.6.1. */
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

static bool match_physical(struct lapic *l, u32 dest)
{
	if (lapic_x2apic(l))
		return dest == lapic_id(l);
	/* An xAPIC with an id above 255 hears its x2APIC id: KVM does the same. */
	return dest == lapic_id(l) || (l->vcpu->id > 0xff && dest == l->vcpu->id);
}

static bool match_logical(struct lapic *l, u32 dest)
{
	u32 ldr = lapic_reg(l, APIC_LDR);

	if (lapic_x2apic(l))
		return (ldr >> 16) == (dest >> 16) && (ldr & dest & 0xffff);
	/* An xAPIC has eight bits to compare with. */
	if (dest > 0xff)
		return false;
	ldr >>= 24;
	if ((lapic_reg(l, APIC_DFR) >> 28) == 0xf)
		return ldr & dest & 0xff;
	return (ldr >> 4) == ((dest >> 4) & 0xf) && (ldr & dest & 0xf);
}

static bool is_broadcast(struct lapic *l, struct lapic *source, const struct irq_message *msg)
{
	if (!lapic_x2apic(l) || (source && !lapic_x2apic(source)))
		return msg->dest == XAPIC_BROADCAST;
	if (msg->from_msi && !l->vcpu->vm->irq.x2apic_no_broadcast_quirk)
		return msg->dest == XAPIC_BROADCAST || msg->dest == X2APIC_BROADCAST;
	return msg->dest == X2APIC_BROADCAST;
}

bool irq_message_matches(struct lapic *l, struct lapic *source, const struct irq_message *msg)
{
	/* A LAPIC that is off is not on the bus: not even INIT reaches it. */
	if (!lapic_hw_enabled(l))
		return false;
	switch (msg->shorthand) {
	case SHORTHAND_SELF:
		return l == source;
	case SHORTHAND_ALL:
		return true;
	case SHORTHAND_OTHERS:
		return l != source;
	}
	if (is_broadcast(l, source, msg))
		return true;
	return msg->logical ? match_logical(l, msg->dest) : match_physical(l, msg->dest);
}

/* The usual case: the id is the index, as launchers count. */
static struct vcpu *apic_by_index(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = vm_vcpu(vm, id);

	if (vcpu && vcpu->lapic && lapic_hw_enabled(vcpu->lapic) && lapic_id(vcpu->lapic) == id)
		return vcpu;
	return NULL;
}

/* One physical destination, which no other vCPU may share. */
static struct vcpu *unicast(struct vm *vm, const struct irq_message *msg)
{
	struct vcpu *vcpu;

	if (msg->shorthand || msg->logical || msg->dest >= XAPIC_BROADCAST)
		return NULL;
	vcpu = apic_by_index(vm, msg->dest);
	return vcpu && vcpu->id == msg->dest ? vcpu : NULL;
}

/* Lowest priority: the one with the least to do, in turn among equals. */
static struct lapic *arbitrate(struct vm *vm, struct lapic *source,
			       const struct irq_message *msg)
{
	unsigned int turn = atomic_inc_return(&vm->irq.lowest_turn), n = 0;
	struct lapic *best = NULL;
	u32 best_tpr = ~0u;
	struct vcpu *vcpu;
	unsigned long i;

	vm_for_each_vcpu(i, vcpu, vm) {
		struct lapic *l = vcpu->lapic;
		u32 tpr;

		if (!l || !lapic_enabled(l) || !irq_message_matches(l, source, msg))
			continue;
		tpr = lapic_reg(l, APIC_PROCPRI) & 0xf0;
		n++;
		if (tpr < best_tpr || (tpr == best_tpr && turn % n == 0)) {
			best = l;
			best_tpr = tpr;
		}
	}
	return best;
}

static int accept(struct lapic *l, const struct irq_message *msg)
{
	/* Before it is seen: the EOI may come at once. */
	if (msg->takers && lapic_enabled(l))
		set_bit(l->vcpu->index, msg->takers);
	return lapic_accept(l, msg->mode, msg->vector, msg->level);
}

/* Physical broadcast has no lowest priority (SDM 11.6.2.1). */
static bool is_lowest(const struct irq_message *msg)
{
	return msg->lowest && (msg->logical || msg->dest != XAPIC_BROADCAST);
}

/* Members of an x2APIC cluster: their ids are the cluster's and the bits' numbers. */
static int deliver_cluster(struct vm *vm, const struct irq_message *msg)
{
	unsigned long bits = msg->dest & 0xffff;
	unsigned int bit;
	int n = -1;

	for_each_set_bit(bit, &bits, 16) {
		struct vcpu *vcpu = vm_vcpu_by_id(vm, (msg->dest >> 16) << 4 | bit);

		if (!vcpu || !vcpu->lapic || !lapic_x2apic(vcpu->lapic))
			continue;
		n = max(n, 0) + accept(vcpu->lapic, msg);
	}
	return n;
}

static int deliver(struct vm *vm, struct lapic *source, const struct irq_message *msg)
{
	struct vcpu *vcpu = unicast(vm, msg);
	int n = -1;
	unsigned long i;

	if (vcpu)
		return accept(vcpu->lapic, msg);
	/* To itself: a broadcast that all others turn down. */
	if (msg->shorthand == SHORTHAND_SELF && !is_lowest(msg))
		return lapic_hw_enabled(source) ? accept(source, msg) : -1;
	/* Not within the xAPIC's 8 bits: only x2APICs can be meant. */
	if (msg->logical && !msg->shorthand && !is_lowest(msg) && msg->dest > 0xff &&
	    msg->dest != X2APIC_BROADCAST)
		return deliver_cluster(vm, msg);
	if (is_lowest(msg)) {
		struct lapic *l = arbitrate(vm, source, msg);

		return l ? accept(l, msg) : -1;
	}
	vm_for_each_vcpu(i, vcpu, vm) {
		if (!vcpu->lapic || !irq_message_matches(vcpu->lapic, source, msg))
			continue;
		if (n < 0)
			n = 0;
		n += accept(vcpu->lapic, msg);
	}
	return n;
}

int irq_deliver(struct vm *vm, struct lapic *source, const struct irq_message *msg)
{
	int n;

	/* A vCPU whose creation failed at its last step is freed after a grace period. */
	rcu_read_lock();
	n = deliver(vm, source, msg);
	rcu_read_unlock();
	/* KVM tells "nobody there" from "nobody took it" only where it asks them all. */
	if (!msg->shorthand && msg->dest != XAPIC_BROADCAST && msg->dest != X2APIC_BROADCAST)
		n = max(n, 0);
	return n;
}

/* -------- hypercalls -------- */

struct vcpu *irq_vcpu_of_apic(struct vm *vm, u64 id)
{
	struct vcpu *vcpu;
	unsigned long i;

	if (id > U32_MAX)
		return NULL;
	vcpu = apic_by_index(vm, id);
	if (vcpu)
		return vcpu;
	vm_for_each_vcpu(i, vcpu, vm)
		if (vcpu->lapic && lapic_hw_enabled(vcpu->lapic) &&
		    match_physical(vcpu->lapic, id))
			return vcpu;
	return NULL;
}

/* A level-triggered message that takes the level back tells these nothing. */
static bool deassert(u32 icr)
{
	u32 mode = icr & APIC_MODE_MASK;

	return (icr & APIC_INT_LEVELTRIG) && !(icr & APIC_INT_ASSERT) &&
	       (mode == APIC_DM_FIXED || mode == APIC_DM_LOWEST || mode == APIC_DM_INIT);
}

/* Bit @n of two words of @width bits. */
static bool in_mask(const unsigned long mask[2], unsigned int width, u64 n)
{
	return n < 2 * width && test_bit(n % width, &mask[n / width]);
}

int irq_send_mask(struct vm *vm, const unsigned long mask[2], unsigned int width, u32 min,
		  u32 icr)
{
	struct vcpu *vcpu;
	unsigned long i;
	int n = 0;

	if (READ_ONCE(vm->irq.mode) == IRQCHIP_NONE)
		return -EOPNOTSUPP;
	if (deassert(icr))
		return 0;
	/* A vCPU whose creation failed at its last step is freed after a grace period. */
	rcu_read_lock();
	vm_for_each_vcpu(i, vcpu, vm) {
		if (vcpu->lapic && lapic_hw_enabled(vcpu->lapic) &&
		    in_mask(mask, width, lapic_id(vcpu->lapic) - (u64)min))
			n += lapic_accept(vcpu->lapic, icr & APIC_MODE_MASK,
					  icr & APIC_VECTOR_MASK, icr & APIC_INT_LEVELTRIG);
	}
	rcu_read_unlock();
	return n;
}

void irq_unhalt(struct vm *vm, u32 id)
{
	irq_deliver(vm, NULL, &(struct irq_message){ .dest = id, .mode = APIC_DM_REMRD });
}

/* SDM 11.11; bits 40-63 of the address extend the id with KVM_CAP_X2APIC_API. */
int irq_deliver_msi(struct vm *vm, u64 address, u32 data)
{
	struct irq_message msg = {
		.dest = (address >> 12) & 0xff,
		.logical = address & BIT(2),
		.vector = data,
		.mode = data & 0x700,
		.level = data & BIT(15),
		.assert = true,
		.from_msi = true,
	};

	if (vm->irq.x2apic_ids)
		msg.dest |= (u32)(address >> 32) & 0xffffff00;
	msg.lowest = msg.mode == APIC_DM_LOWEST || ((address & BIT(3)) && msg.logical);
	return irq_deliver(vm, NULL, &msg);
}

/* -------- what the run loop asks -------- */

bool irq_takes_extint(struct vcpu *vcpu)
{
	return !vcpu->lapic || lapic_takes_pic(vcpu->lapic);
}

static bool pic_waits(struct vcpu *vcpu)
{
	struct pic *pic = vcpu->vm->irq.pic;

	return pic && pic_output(pic) && lapic_takes_pic(vcpu->lapic);
}

static int lapic_deliverable(struct lapic *l)
{
	int vector;

	if (!lapic_hw_enabled(l))
		return -1;
	vector = lapic_highest_irr(l->vcpu);
	if (vector < 0)
		return -1;
	lapic_update_ppr(l);
	if ((vector & 0xf0) <= (lapic_reg(l, APIC_PROCPRI) & 0xf0))
		return -1;
	return vector;
}

int irq_pending(struct vcpu *vcpu)
{
	/* Which vector the PIC will give is known only when it is acknowledged. */
	if (pic_waits(vcpu))
		return 0;
	return lapic_deliverable(vcpu->lapic);
}

int irq_ack(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;
	int vector;

	if (pic_waits(vcpu))
		return pic_ack(vcpu->vm->irq.pic);
	vector = lapic_deliverable(l);
	if (vector < 0)
		return -1;
	clear_bit(vector & 31, lapic_vec_word(l, APIC_IRR, vector));
	__set_bit(vector & 31, lapic_vec_word(l, APIC_ISR, vector));
	l->isr_words |= BIT(vector >> 5);
	l->isr_top = vector;
	lapic_update_ppr(l);
	return vector;
}

/* -------- life of the room -------- */

int irq_vm_init(struct vm *vm)
{
	struct vm_irq *irq = &vm->irq;

	irq->apic_bus_cycle_ns = 1;
	INIT_LIST_HEAD(&irq->irqfds);
	INIT_LIST_HEAD(&irq->resamplers);
	INIT_LIST_HEAD(&irq->ioeventfds);
	INIT_HLIST_HEAD(&irq->ack_notifiers);
	spin_lock_init(&irq->irqfds_lock);
	return init_srcu_struct(&irq->ack_srcu);
}

void irq_vm_release(struct vm *vm)
{
	irqfd_release(vm);
}

void irq_vm_stop(struct vm *vm)
{
	pit_stop(vm);
	ioapic_stop(vm);
}

void irq_vm_destroy(struct vm *vm)
{
	ioeventfd_destroy_all(vm);
	routing_destroy(vm);
	pit_destroy(vm);
	ioapic_destroy(vm);
	pic_destroy(vm);
	cleanup_srcu_struct(&vm->irq.ack_srcu);
}

int irqchip_create(struct vm *vm)
{
	int err = pic_create(vm);

	if (err)
		return err;
	err = ioapic_create(vm);
	if (err)
		goto out_pic;
	err = routing_set_default(vm);
	if (err)
		goto out_ioapic;
	/* Pairs with readers that test the mode before they use a chip. */
	smp_store_release(&vm->irq.mode, IRQCHIP_KERNEL);
	return 0;

out_ioapic:
	mutex_lock(&vm->slots_lock);
	ioapic_unregister(vm);
	mutex_unlock(&vm->slots_lock);
	ioapic_destroy(vm);
out_pic:
	mutex_lock(&vm->slots_lock);
	pic_unregister(vm);
	mutex_unlock(&vm->slots_lock);
	pic_destroy(vm);
	return err;
}

int irqchip_create_split(struct vm *vm, u32 pins)
{
	int err = routing_set_empty(vm);

	if (err)
		return err;
	vm->irq.split_reserved_pins = pins;
	/* Pairs with readers that test the mode before they use the rest. */
	smp_store_release(&vm->irq.mode, IRQCHIP_SPLIT);
	return 0;
}

int irqchip_get(struct vm *vm, struct kvm_irqchip *chip)
{
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_get(vm->irq.pic, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_get(vm->irq.ioapic, &chip->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}

int irqchip_set(struct vm *vm, const struct kvm_irqchip *chip)
{
	switch (chip->chip_id) {
	case KVM_IRQCHIP_PIC_MASTER:
	case KVM_IRQCHIP_PIC_SLAVE:
		pic_set(vm->irq.pic, chip->chip_id, &chip->chip.pic);
		return 0;
	case KVM_IRQCHIP_IOAPIC:
		ioapic_set(vm->irq.ioapic, &chip->chip.ioapic);
		return 0;
	default:
		return -EINVAL;
	}
}
