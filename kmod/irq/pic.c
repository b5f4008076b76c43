// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two i8259A interrupt controllers (Intel order 231468) and the
 * edge/level registers 0x4d0/0x4d1.
 */
#include <linux/slab.h>

#include "io.h"
#include "irq/chips.h"
#include "irq/lapic.h"

#define CASCADE_PIN	2
#define MASTER_ELCR	0xf8
#define SLAVE_ELCR	0xde

enum { PORT_MASTER, PORT_SLAVE, PORT_ELCR, NR_PORTS };

struct pic_port {
	struct io_device dev;
	struct pic *pic;
};

struct pic {
	spinlock_t lock;		/* all below */
	struct vm *vm;
	bool output;
	struct kvm_pic_state chip[2];	/* master, slave */
	u8 levels[VMM_PIC_PINS];	/* BIT(source) */
	struct pic_port port[NR_PORTS];
};

static u8 pin_bit(int pin)
{
	return BIT(pin & 7);
}

/* 8 when nothing; priorities rotate by priority_add. */
static int priority_of(const struct kvm_pic_state *s, u8 mask)
{
	int i;

	if (!mask)
		return 8;
	for (i = 0; !(mask & pin_bit(i + s->priority_add)); i++)
		;
	return i;
}

/* In special mask mode what is masked neither holds others back nor has an EOI of its own. */
static u8 in_service(const struct kvm_pic_state *s)
{
	return s->special_mask ? s->isr & ~s->imr : s->isr;
}

/* Pin that wants service and outranks what is in service, or -1. */
static int pending_pin(const struct kvm_pic_state *s, bool master)
{
	int want, now, pin;

	want = priority_of(s, s->irr & ~s->imr);
	if (want == 8)
		return -1;
	pin = (want + s->priority_add) & 7;
	now = priority_of(s, in_service(s));
	if (want < now)
		return pin;
	/* The slave may interrupt itself through the master: 231468, "special fully nested". */
	if (want == now && pin == CASCADE_PIN && master && s->special_fully_nested_mode)
		return pin;
	return -1;
}

/* Returns 1 taken, 0 was pending already, -1 masked. */
static int set_input(struct kvm_pic_state *s, int pin, int level)
{
	u8 bit = pin_bit(pin);
	int ret = 1;

	if (s->elcr & bit) {
		if (level) {
			ret = !(s->irr & bit);
			s->irr |= bit;
			s->last_irr |= bit;
		} else {
			s->irr &= ~bit;
			s->last_irr &= ~bit;
		}
	} else if (level) {
		if (!(s->last_irr & bit)) {
			ret = !(s->irr & bit);
			s->irr |= bit;
		}
		s->last_irr |= bit;
	} else {
		s->last_irr &= ~bit;
	}
	return s->imr & bit ? -1 : ret;
}

static void update_output(struct pic *pic)
{
	WRITE_ONCE(pic->output, pending_pin(&pic->chip[0], true) >= 0);
}

static void update(struct pic *pic)
{
	bool slave = pending_pin(&pic->chip[1], false) >= 0;

	if (slave) {
		/* An edge for the master at each change. */
		set_input(&pic->chip[0], CASCADE_PIN, 1);
		set_input(&pic->chip[0], CASCADE_PIN, 0);
	}
	update_output(pic);
}

/*
 * The vCPUs that listen to the PIC look again: all of them, as the first one may stop
 * listening before it takes the interrupt. Without the lock.
 */
static void announce(struct pic *pic)
{
	struct vcpu *vcpu;
	unsigned long i;

	if (!READ_ONCE(pic->output))
		return;
	rcu_read_lock();
	vm_for_each_vcpu(i, vcpu, pic->vm) {
		if (!vcpu->lapic || !lapic_takes_pic(vcpu->lapic))
			continue;
		vcpu_request(vcpu, REQ_EVENT);
		vcpu_kick(vcpu);
	}
	rcu_read_unlock();
}

int pic_set_pin(struct vm *vm, u32 pin, int source, int level)
{
	struct pic *pic = vm->irq.pic;
	unsigned long flags;
	int ret;

	/* No wire but the slave's: the default routes have one, of GSI 2, which is the IOAPIC's. */
	if (pin == CASCADE_PIN)
		return -1;
	spin_lock_irqsave(&pic->lock, flags);
	if (level)
		pic->levels[pin] |= BIT(source);
	else
		pic->levels[pin] &= ~BIT(source);
	ret = set_input(&pic->chip[pin >> 3], pin & 7, !!pic->levels[pin]);
	update(pic);
	spin_unlock_irqrestore(&pic->lock, flags);
	announce(pic);
	return ret;
}

bool pic_output(struct pic *pic)
{
	return READ_ONCE(pic->output);
}

static void intack(struct kvm_pic_state *s, int pin)
{
	s->isr |= pin_bit(pin);
	if (!(s->elcr & pin_bit(pin)))
		s->irr &= ~pin_bit(pin);
	if (s->auto_eoi) {
		if (s->rotate_on_auto_eoi)
			s->priority_add = (pin + 1) & 7;
		s->isr &= ~pin_bit(pin);
	}
}

/* Both INTA cycles: the vector. IRQ 7 (15) when the request went away. */
int pic_ack(struct pic *pic)
{
	struct kvm_pic_state *master = &pic->chip[0], *slave = &pic->chip[1];
	int pin, slave_pin = -1, vector, notify = -1;
	unsigned long flags;

	spin_lock_irqsave(&pic->lock, flags);
	pin = pending_pin(master, true);
	if (pin < 0) {
		vector = master->irq_base + 7;
		goto out;
	}
	intack(master, pin);
	vector = master->irq_base + pin;
	if (master->auto_eoi)
		notify = pin;
	if (pin == CASCADE_PIN) {
		slave_pin = pending_pin(slave, false);
		if (slave_pin >= 0)
			intack(slave, slave_pin);
		if (slave_pin >= 0 && slave->auto_eoi)
			notify = 8 + slave_pin;
		vector = slave->irq_base + (slave_pin < 0 ? 7 : slave_pin);
	}
out:
	update(pic);
	spin_unlock_irqrestore(&pic->lock, flags);
	if (notify >= 0)
		ack_notify(pic->vm, notify < 8 ? KVM_IRQCHIP_PIC_MASTER :
			   KVM_IRQCHIP_PIC_SLAVE, notify & 7);
	return vector;
}

/* -------- ports -------- */

/* Pins whose service ended, as a bit mask, for the notifiers. */
static u8 clear_isr(struct kvm_pic_state *s, int pin)
{
	u8 bit = pin_bit(pin), was = s->isr & bit;

	s->isr &= ~bit;
	return was;
}

static u8 write_ocw2(struct kvm_pic_state *s, u8 val)
{
	int priority, pin = val & 7;
	u8 done = 0;

	switch (val >> 5) {
	case 0:
	case 4:
		s->rotate_on_auto_eoi = val >> 7;
		break;
	case 1:			/* non-specific EOI, with or without rotation */
	case 5:
		priority = priority_of(s, in_service(s));
		if (priority == 8)
			break;
		pin = (priority + s->priority_add) & 7;
		done = clear_isr(s, pin);
		if (val >> 5 == 5)
			s->priority_add = (pin + 1) & 7;
		break;
	case 3:
		done = clear_isr(s, pin);
		break;
	case 6:
		s->priority_add = (val + 1) & 7;
		break;
	case 7:
		done = clear_isr(s, pin);
		s->priority_add = (pin + 1) & 7;
		break;
	}
	return done;
}

static void write_icw1(struct kvm_pic_state *s, u8 val)
{
	s->init4 = val & 1;
	s->last_irr = 0;
	s->irr &= s->elcr;
	s->imr = 0;
	s->isr = 0;
	s->priority_add = 0;
	s->special_mask = 0;
	s->read_reg_select = 0;
	s->special_fully_nested_mode = 0;
	s->auto_eoi = 0;
	s->rotate_on_auto_eoi = 0;
	s->init_state = 1;
}

static void write_ocw3(struct kvm_pic_state *s, u8 val)
{
	if (val & 4)
		s->poll = 1;
	if (val & 2)
		s->read_reg_select = val & 1;
	if (val & 0x40)
		s->special_mask = (val >> 5) & 1;
}

static bool is_icw1(u64 addr, u8 val)
{
	return !(addr & 1) && (val & 0x10);
}

/* Command (A0 = 0) or data port; returns the pins that were acknowledged. */
static u8 chip_write(struct kvm_pic_state *s, bool data, u8 val)
{
	if (!data) {
		if (val & 0x10)
			write_icw1(s, val);
		else if (val & 0x08)
			write_ocw3(s, val);
		else
			return write_ocw2(s, val);
		return 0;
	}
	switch (s->init_state) {
	case 0:
		s->imr = val;
		break;
	case 1:
		s->irq_base = val & 0xf8;
		s->init_state = 2;
		break;
	case 2:
		s->init_state = s->init4 ? 3 : 0;
		break;
	case 3:
		s->special_fully_nested_mode = (val >> 4) & 1;
		s->auto_eoi = (val >> 1) & 1;
		s->init_state = 0;
		break;
	}
	return 0;
}

/* As INTA does, but for the vector: 231468, "poll command". */
static u8 poll_read(struct pic *pic, int n)
{
	struct kvm_pic_state *s = &pic->chip[n];
	int pin = pending_pin(s, !n);

	if (pin < 0)
		return 7;
	intack(s, pin);
	/* The slave asks for it no more; what else it wants, update() tells. */
	if (n)
		pic->chip[0].irr &= ~BIT(CASCADE_PIN);
	return pin | 0x80;
}

static u8 chip_read(struct pic *pic, int n, bool data, u8 *done)
{
	struct kvm_pic_state *s = &pic->chip[n];
	u8 val;

	if (s->poll) {
		s->poll = 0;
		val = poll_read(pic, n);
		if ((val & 0x80) && s->auto_eoi)
			*done = pin_bit(val);
		return val;
	}
	if (data)
		return s->imr;
	return s->read_reg_select ? s->isr : s->irr;
}

/* Without the lock: the service of pins of chip @n has ended. */
static void notify_done(struct pic *pic, int n, u8 done)
{
	if (done)
		ack_notify(pic->vm, n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER,
			   __ffs(done));
}

static int port_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		     void *data)
{
	struct pic_port *port = container_of(dev, struct pic_port, dev);
	struct pic *pic = port->pic;
	int n = port - pic->port;
	unsigned long flags;
	bool had_output;
	u8 val, done = 0;

	if (len != 1) {
		memset(data, 0, len);
		return 0;
	}
	spin_lock_irqsave(&pic->lock, flags);
	had_output = pic->output;
	if (n == PORT_ELCR)
		val = pic->chip[addr & 1].elcr;
	else
		val = chip_read(pic, n, addr & 1, &done);
	update(pic);
	spin_unlock_irqrestore(&pic->lock, flags);
	notify_done(pic, n, done);
	/* A poll takes a request, and may so let another through. */
	if (unlikely(!had_output))
		announce(pic);
	*(u8 *)data = val;
	return 0;
}

static int port_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		      const void *data)
{
	struct pic_port *port = container_of(dev, struct pic_port, dev);
	struct pic *pic = port->pic;
	int n = port - pic->port;
	unsigned long flags;
	u8 done = 0, unmasked = 0, val = *(const u8 *)data;
	u8 imr;

	if (len != 1)
		return 0;
	spin_lock_irqsave(&pic->lock, flags);
	if (n == PORT_ELCR) {
		pic->chip[addr & 1].elcr = val & pic->chip[addr & 1].elcr_mask;
	} else {
		imr = pic->chip[n].imr;
		done = chip_write(&pic->chip[n], addr & 1, val);
		/* ICW1 drops what was pending and in service. */
		unmasked = is_icw1(addr, val) ? 0xff : imr & ~pic->chip[n].imr;
	}
	update(pic);
	spin_unlock_irqrestore(&pic->lock, flags);
	notify_done(pic, n, done);
	/* Pin 0 is the timer's, wherever GSI 0 goes among these. */
	if (unmasked & 1)
		pit_unmasked(pic->vm, n ? KVM_IRQCHIP_PIC_SLAVE : KVM_IRQCHIP_PIC_MASTER, 0);
	announce(pic);
	return 0;
}

static const struct io_device_ops port_ops = {
	.read = port_read,
	.write = port_write,
	.atomic = true,
};

/* -------- life and state -------- */

static const struct {
	u16 addr, len;
} ports[NR_PORTS] = {
	[PORT_MASTER] = { 0x20, 2 }, [PORT_SLAVE] = { 0xa0, 2 }, [PORT_ELCR] = { 0x4d0, 2 },
};

int pic_create(struct vm *vm)
{
	struct pic *pic = kzalloc(sizeof(*pic), GFP_KERNEL_ACCOUNT);
	int i, err = 0;

	if (!pic)
		return -ENOMEM;
	spin_lock_init(&pic->lock);
	pic->vm = vm;
	pic->chip[0].elcr_mask = MASTER_ELCR;
	pic->chip[1].elcr_mask = SLAVE_ELCR;
	vm->irq.pic = pic;
	mutex_lock(&vm->slots_lock);
	for (i = 0; i < NR_PORTS && !err; i++) {
		pic->port[i].pic = pic;
		pic->port[i].dev.ops = &port_ops;
		err = io_bus_register(vm, IO_BUS_PIO, ports[i].addr, ports[i].len,
				      &pic->port[i].dev);
	}
	if (err)
		pic_unregister(vm);
	mutex_unlock(&vm->slots_lock);
	if (err)
		pic_destroy(vm);
	return err;
}

void pic_unregister(struct vm *vm)
{
	int i;

	lockdep_assert_held(&vm->slots_lock);
	for (i = 0; i < NR_PORTS; i++)
		io_bus_unregister(vm, IO_BUS_PIO, &vm->irq.pic->port[i].dev);
}

void pic_destroy(struct vm *vm)
{
	kfree(vm->irq.pic);
	vm->irq.pic = NULL;
}

void pic_get(struct pic *pic, u32 chip_id, struct kvm_pic_state *state)
{
	unsigned long flags;

	spin_lock_irqsave(&pic->lock, flags);
	*state = pic->chip[chip_id];
	spin_unlock_irqrestore(&pic->lock, flags);
}

void pic_set(struct pic *pic, u32 chip_id, const struct kvm_pic_state *state)
{
	unsigned long flags;

	spin_lock_irqsave(&pic->lock, flags);
	pic->chip[chip_id] = *state;
	pic->chip[chip_id].elcr_mask = chip_id ? SLAVE_ELCR : MASTER_ELCR;
	pic->chip[chip_id].priority_add &= 7;
	/* The master's state has the slave's request; the slave's own state comes later. */
	if (chip_id)
		update(pic);
	else
		update_output(pic);
	spin_unlock_irqrestore(&pic->lock, flags);
	announce(pic);
}
