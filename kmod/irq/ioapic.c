// SPDX-License-Identifier: GPL-2.0-only
/*
 * The I/O APIC (82093AA, Intel order 290566): 24 pins, redirection table at
 * 0xfec00000.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "io.h"
#include "irq/chips.h"
#include "irq/lapic.h"

#define IOAPIC_VERSION		0x11
#define IOAPIC_DEFAULT_BASE	0xfec00000ull
#define IOAPIC_MMIO_SIZE	0x100
#define REG_SELECT		0x00
#define REG_WINDOW		0x10
#define REG_ID			0x00
#define REG_VER			0x01
#define REG_ARB			0x02
#define REG_REDIR		0x10
/* Re-deliveries in a row of a line nobody lowers, before they are slowed down. */
#define STORM_LIMIT		10000
/*
 * The RTC's periodic interrupt is an edge, yet user space wants to hear whether
 * the guest ended the last one, to repeat those that were lost.
 */
#define RTC_PIN			8

struct ioapic {
	spinlock_t lock;			/* all below but the work */
	struct vm *vm;
	struct io_device dev;
	u64 base;
	u32 select;
	u32 id;
	u32 irr;				/* pins whose line is high */
	struct kvm_ioapic_state state;		/* redirtbl is the live table */
	u8 levels[VMM_IOAPIC_PINS];		/* BIT(source) */
	u32 eoi_count[VMM_IOAPIC_PINS];
	struct delayed_work storm;
	/* LAPICs that have not yet ended the last interrupt of RTC_PIN. */
	DECLARE_BITMAP(rtc_waits, VMM_MAX_VCPUS);
	u8 rtc_vector;
};

#define redir(io, pin)	((io)->state.redirtbl[pin].fields)

static void entry_message(struct ioapic *io, u32 pin, struct irq_message *msg)
{
	*msg = (struct irq_message){
		.dest = redir(io, pin).dest_id,
		.vector = redir(io, pin).vector,
		.mode = redir(io, pin).delivery_mode << 8,
		.logical = redir(io, pin).dest_mode,
		.level = redir(io, pin).trig_mode,
		.assert = true,
		.from_msi = true,
	};
	msg->lowest = msg->mode == APIC_DM_LOWEST;
}

/* Sends the request of @pin. Delivered count, 0 or -1 as irq_deliver(). */
static int service(struct ioapic *io, u32 pin)
{
	bool level = redir(io, pin).trig_mode;
	struct irq_message msg;
	int n;

	lockdep_assert_held(&io->lock);
	if (redir(io, pin).mask || (level && redir(io, pin).remote_irr))
		return -1;
	entry_message(io, pin, &msg);
	if (pin == RTC_PIN && (msg.mode == APIC_DM_FIXED || msg.mode == APIC_DM_LOWEST)) {
		bitmap_zero(io->rtc_waits, VMM_MAX_VCPUS);
		io->rtc_vector = msg.vector;
		msg.takers = io->rtc_waits;
	}
	n = irq_deliver(io->vm, NULL, &msg);
	if (n > 0 && level)
		redir(io, pin).remote_irr = 1;
	return n;
}

/* @status: the caller asks whether the interrupt was coalesced. */
static int set_level(struct ioapic *io, u32 pin, bool high, bool status)
{
	bool edge = !redir(io, pin).trig_mode;
	bool was = io->irr & BIT(pin);

	if (!high) {
		io->irr &= ~BIT(pin);
		return 1;
	}
	if (status && pin == RTC_PIN && !bitmap_empty(io->rtc_waits, VMM_MAX_VCPUS))
		return 0;
	io->irr |= BIT(pin);
	if (edge && was)
		return 0;
	return service(io, pin);
}

int ioapic_set_pin(struct vm *vm, u32 pin, int source, int level, bool status)
{
	struct ioapic *io = vm->irq.ioapic;
	unsigned long flags;
	int ret;

	spin_lock_irqsave(&io->lock, flags);
	if (level)
		io->levels[pin] |= BIT(source);
	else
		io->levels[pin] &= ~BIT(source);
	ret = set_level(io, pin, io->levels[pin], status);
	spin_unlock_irqrestore(&io->lock, flags);
	return ret;
}

/* -------- EOI -------- */

static void storm_work(struct work_struct *work)
{
	struct ioapic *io = container_of(work, struct ioapic, storm.work);
	unsigned long flags;
	u32 pin;

	spin_lock_irqsave(&io->lock, flags);
	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++)
		if (redir(io, pin).trig_mode && (io->irr & BIT(pin)))
			service(io, pin);
	spin_unlock_irqrestore(&io->lock, flags);
}

/* The line is still high: send it again, but not endlessly fast. */
static void redeliver(struct ioapic *io, u32 pin)
{
	if (!(io->irr & BIT(pin)) || redir(io, pin).mask) {
		io->eoi_count[pin] = 0;
		return;
	}
	if (++io->eoi_count[pin] < STORM_LIMIT) {
		service(io, pin);
		return;
	}
	io->eoi_count[pin] = 0;
	schedule_delayed_work(&io->storm, HZ / 100);
}

void ioapic_eoi(struct vcpu *vcpu, u8 vector, bool level)
{
	struct vm *vm = vcpu->vm;
	struct ioapic *io = vm->irq.ioapic;
	unsigned long flags;
	u32 pin;

	if (!io)
		return;
	spin_lock_irqsave(&io->lock, flags);
	if (vector == io->rtc_vector)
		clear_bit(vcpu->index, io->rtc_waits);
	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++) {
		if (redir(io, pin).vector != vector)
			continue;
		/* A notifier may lower the line: without the lock. */
		spin_unlock_irqrestore(&io->lock, flags);
		ack_notify(vm, KVM_IRQCHIP_IOAPIC, pin);
		spin_lock_irqsave(&io->lock, flags);
		if (!redir(io, pin).trig_mode || !level)
			continue;
		redir(io, pin).remote_irr = 0;
		redeliver(io, pin);
	}
	spin_unlock_irqrestore(&io->lock, flags);
}

void ioapic_forget(struct vcpu *vcpu)
{
	struct ioapic *io = vcpu->vm->irq.ioapic;

	if (io)
		clear_bit(vcpu->index, io->rtc_waits);
}

/*
 * A state was set, of the IOAPIC or of @vcpu: the interrupt of RTC_PIN is on its way
 * there if it could have got there and is not ended.
 */
static void recall_rtc(struct ioapic *io, struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;
	struct irq_message msg;

	lockdep_assert_held(&io->lock);
	entry_message(io, RTC_PIN, &msg);
	if (l && irq_message_matches(l, NULL, &msg) &&
	    (lapic_vec_test(l, APIC_IRR, msg.vector) || lapic_vec_test(l, APIC_ISR, msg.vector)))
		set_bit(vcpu->index, io->rtc_waits);
	else
		clear_bit(vcpu->index, io->rtc_waits);
}

void ioapic_recall(struct vcpu *vcpu)
{
	struct ioapic *io = vcpu->vm->irq.ioapic;
	unsigned long flags;

	if (!io)
		return;
	spin_lock_irqsave(&io->lock, flags);
	recall_rtc(io, vcpu);
	spin_unlock_irqrestore(&io->lock, flags);
}

static void mark_eoi(struct ioapic *io, const struct routing *r)
{
	struct vm *vm = io->vm;
	u32 pin;

	lockdep_assert_held(&io->lock);
	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++)
		if (!redir(io, pin).trig_mode &&
		    (pin == RTC_PIN || routing_acked(vm, r, KVM_IRQCHIP_IOAPIC, pin)))
			set_bit(redir(io, pin).vector, vm->irq.eoi_vectors);
}

/* Entries changed. Before the lock is free, as the next interrupt may come then. */
static void mark_now(struct ioapic *io)
{
	rcu_read_lock();
	mark_eoi(io, rcu_dereference(io->vm->irq.routing));
	rcu_read_unlock();
}

void ioapic_mark_eoi(struct vm *vm, const struct routing *r)
{
	struct ioapic *io = vm->irq.ioapic;
	unsigned long flags;

	if (!io)
		return;
	spin_lock_irqsave(&io->lock, flags);
	mark_eoi(io, r);
	spin_unlock_irqrestore(&io->lock, flags);
}

/* -------- registers -------- */

/* True when a level pin with a request was unmasked: the caller services it. */
static bool write_redir(struct ioapic *io, u32 pin, bool high, u32 val)
{
	u64 bits = io->state.redirtbl[pin].bits;
	/* Delivery status and remote IRR are read-only. */
	u64 keep = BIT(12) | BIT(14);
	bool masked = redir(io, pin).mask;

	if (high)
		bits = (bits & 0xffffffff) | (u64)val << 32;
	else
		bits = (bits & (0xffffffff00000000ull | keep)) | (val & ~(u32)keep);
	io->state.redirtbl[pin].bits = bits;
	if (!redir(io, pin).trig_mode)
		redir(io, pin).remote_irr = 0;
	if (masked && !redir(io, pin).mask)
		pit_unmasked(io->vm, KVM_IRQCHIP_IOAPIC, pin);
	if (!redir(io, pin).trig_mode || !(io->irr & BIT(pin)))
		return false;
	if (masked && !redir(io, pin).mask && !redir(io, pin).remote_irr)
		return true;
	service(io, pin);
	return false;
}

/*
 * A guest that masks a pin, handles the device in a thread and then unmasks
 * ended the interrupt long ago, but a resampled line learns that only here:
 * its notifier lowers it, and the owner raises it again if need be.
 */
static void service_unmasked(struct ioapic *io, u32 pin)
{
	unsigned long flags;

	ack_notify(io->vm, KVM_IRQCHIP_IOAPIC, pin);
	spin_lock_irqsave(&io->lock, flags);
	if (redir(io, pin).trig_mode && (io->irr & BIT(pin)))
		service(io, pin);
	spin_unlock_irqrestore(&io->lock, flags);
}

/* A pin for service_unmasked(), or -1. */
static int window_write(struct ioapic *io, u32 val)
{
	u32 index;

	switch (io->select) {
	case REG_ID:
		io->id = (val >> 24) & 0xf;
		return -1;
	case REG_VER:
	case REG_ARB:
		return -1;
	}
	index = (io->select - REG_REDIR) >> 1;
	if (io->select < REG_REDIR || index >= VMM_IOAPIC_PINS)
		return -1;
	index = array_index_nospec(index, VMM_IOAPIC_PINS);
	return write_redir(io, index, io->select & 1, val) ? index : -1;
}

static u32 window_read(struct ioapic *io)
{
	u32 index;

	switch (io->select) {
	case REG_ID:
	case REG_ARB:
		return io->id << 24;
	case REG_VER:
		return IOAPIC_VERSION | (VMM_IOAPIC_PINS - 1) << 16;
	}
	index = (io->select - REG_REDIR) >> 1;
	if (io->select < REG_REDIR || index >= VMM_IOAPIC_PINS)
		return 0xffffffff;
	index = array_index_nospec(index, VMM_IOAPIC_PINS);
	return io->state.redirtbl[index].bits >> (io->select & 1 ? 32 : 0);
}

static int mmio_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		     void *data)
{
	struct ioapic *io = container_of(dev, struct ioapic, dev);
	unsigned long flags;
	u32 val = 0;

	spin_lock_irqsave(&io->lock, flags);
	switch (addr & 0xf0) {
	case REG_SELECT:
		val = io->select;
		break;
	case REG_WINDOW:
		val = window_read(io);
		break;
	}
	spin_unlock_irqrestore(&io->lock, flags);
	memset(data, 0, len);
	memcpy(data, &val, min(len, 4u));
	return 0;
}

static int mmio_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		      const void *data)
{
	struct ioapic *io = container_of(dev, struct ioapic, dev);
	unsigned long flags;
	int unmasked = -1;
	u32 val = 0;

	memcpy(&val, data, min(len, 4u));
	spin_lock_irqsave(&io->lock, flags);
	switch (addr & 0xf0) {
	case REG_SELECT:
		io->select = val & 0xff;
		break;
	case REG_WINDOW:
		unmasked = window_write(io, val);
		if (io->select >= REG_REDIR)
			mark_now(io);
		break;
	}
	spin_unlock_irqrestore(&io->lock, flags);
	if (unmasked >= 0)
		service_unmasked(io, unmasked);
	return 0;
}

static const struct io_device_ops ioapic_ops = {
	.read = mmio_read,
	.write = mmio_write,
};

/* -------- life and state -------- */

int ioapic_create(struct vm *vm)
{
	struct ioapic *io = kzalloc(sizeof(*io), GFP_KERNEL_ACCOUNT);
	int err, pin;

	if (!io)
		return -ENOMEM;
	spin_lock_init(&io->lock);
	INIT_DELAYED_WORK(&io->storm, storm_work);
	io->vm = vm;
	io->base = IOAPIC_DEFAULT_BASE;
	io->dev.ops = &ioapic_ops;
	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++)
		redir(io, pin).mask = 1;
	vm->irq.ioapic = io;
	mutex_lock(&vm->slots_lock);
	err = io_bus_register(vm, IO_BUS_MMIO, io->base, IOAPIC_MMIO_SIZE, &io->dev);
	mutex_unlock(&vm->slots_lock);
	if (err)
		ioapic_destroy(vm);
	return err;
}

void ioapic_unregister(struct vm *vm)
{
	io_bus_unregister(vm, IO_BUS_MMIO, &vm->irq.ioapic->dev);
}

void ioapic_stop(struct vm *vm)
{
	if (vm->irq.ioapic)
		cancel_delayed_work_sync(&vm->irq.ioapic->storm);
}

void ioapic_destroy(struct vm *vm)
{
	if (!vm->irq.ioapic)
		return;
	kfree(vm->irq.ioapic);
	vm->irq.ioapic = NULL;
}

/*
 * Requests that wait here: levels. An edge was sent at once, whether or not anybody took
 * it, or met a mask and is no more; who sets the state shall not send it again.
 */
static u32 waiting(const struct ioapic *io)
{
	u32 pin, irr = io->irr;

	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++)
		if (!redir(io, pin).trig_mode)
			irr &= ~BIT(pin);
	return irr;
}

void ioapic_get(struct ioapic *io, struct kvm_ioapic_state *state)
{
	unsigned long flags;

	spin_lock_irqsave(&io->lock, flags);
	*state = io->state;
	state->base_address = io->base;
	state->ioregsel = io->select;
	state->id = io->id;
	state->irr = waiting(io);
	state->pad = 0;
	spin_unlock_irqrestore(&io->lock, flags);
}

void ioapic_set(struct ioapic *io, const struct kvm_ioapic_state *state)
{
	unsigned long flags, i;
	struct vcpu *vcpu;
	u32 pin;

	spin_lock_irqsave(&io->lock, flags);
	io->state = *state;
	io->select = state->ioregsel & 0xff;
	io->id = state->id & 0xf;
	io->irr = 0;
	bitmap_zero(io->rtc_waits, VMM_MAX_VCPUS);
	mark_now(io);
	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++)
		if (state->irr & BIT(pin))
			set_level(io, pin, true, false);
	io->rtc_vector = redir(io, RTC_PIN).vector;
	vm_for_each_vcpu(i, vcpu, io->vm)
		recall_rtc(io, vcpu);
	spin_unlock_irqrestore(&io->lock, flags);
}
