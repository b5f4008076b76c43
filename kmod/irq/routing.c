// SPDX-License-Identifier: GPL-2.0-only
/*
 * The GSI routing table: which chip pins or MSI messages a GSI stands for.
 * Readers hold vm->irq.ack_srcu or RCU; vm->irq_lock serializes replacement.
 */
#include <linux/slab.h>
#include <linux/sort.h>

#include "irq/chips.h"
#include "irq/lapic.h"

#define MSI_LEVEL	BIT(15)

struct route {
	u32 gsi;
	u32 type;			/* KVM_IRQ_ROUTING_IRQCHIP, _MSI */
	union {
		struct {
			u32 irqchip, pin;
		};
		struct {
			u64 address;
			u32 data;
		};
	};
};

struct routing {
	struct rcu_head rcu;
	u32 nr;
	struct route route[];		/* sorted by gsi */
};

static int by_gsi(const void *a, const void *b)
{
	const struct route *x = a, *y = b;

	return x->gsi < y->gsi ? -1 : x->gsi > y->gsi;
}

/* First route of @gsi, or the end. */
static u32 route_first(const struct routing *r, u32 gsi)
{
	u32 lo = 0, hi = r->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (r->route[mid].gsi < gsi)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The routes of a GSI are those from route_first() on for which this holds. */
static bool route_is(const struct routing *r, u32 i, u32 gsi)
{
	return i < r->nr && r->route[i].gsi == gsi;
}

static int route_chip(struct vm *vm, struct route *out,
		      const struct kvm_irq_routing_entry *in)
{
	u32 chip = in->u.irqchip.irqchip, pin = in->u.irqchip.pin;

	if (vm->irq.mode == IRQCHIP_SPLIT)
		return -EINVAL;
	if (chip > KVM_IRQCHIP_IOAPIC)
		return -EINVAL;
	if (pin >= (chip == KVM_IRQCHIP_IOAPIC ? VMM_IOAPIC_PINS : VMM_PIC_PINS / 2))
		return -EINVAL;
	out->irqchip = chip;
	out->pin = pin;
	return 0;
}

static int route_msi(struct vm *vm, struct route *out,
		     const struct kvm_irq_routing_entry *in)
{
	if (vm->irq.x2apic_ids && (in->u.msi.address_hi & 0xff))
		return -EINVAL;
	out->address = in->u.msi.address_lo | (u64)in->u.msi.address_hi << 32;
	out->data = in->u.msi.data;
	return 0;
}

static int route_build(struct vm *vm, struct route *out,
		       const struct kvm_irq_routing_entry *in)
{
	u32 flags = in->type == KVM_IRQ_ROUTING_MSI ? KVM_MSI_VALID_DEVID : 0;

	if (in->gsi >= VMM_MAX_IRQ_ROUTES || (in->flags & ~flags))
		return -EINVAL;
	out->gsi = in->gsi;
	out->type = in->type;
	switch (in->type) {
	case KVM_IRQ_ROUTING_IRQCHIP:
		return route_chip(vm, out, in);
	case KVM_IRQ_ROUTING_MSI:
		return route_msi(vm, out, in);
	default:
		return -EINVAL;
	}
}

/* A GSI stands for one pin of each chip, or for one message alone. */
static bool routes_conflict(const struct routing *r)
{
	u32 i, j;

	for (i = 1; i < r->nr; i++) {
		for (j = i; j > 0 && r->route[j - 1].gsi == r->route[i].gsi; j--) {
			if (r->route[i].type != KVM_IRQ_ROUTING_IRQCHIP ||
			    r->route[j - 1].type != KVM_IRQ_ROUTING_IRQCHIP ||
			    r->route[i].irqchip == r->route[j - 1].irqchip)
				return true;
		}
	}
	return false;
}

static bool gsi_on_pin(const struct routing *r, u32 gsi, u32 irqchip, u32 pin)
{
	u32 i;

	if (!r)
		return false;
	for (i = route_first(r, gsi); route_is(r, i, gsi); i++)
		if (r->route[i].type == KVM_IRQ_ROUTING_IRQCHIP &&
		    r->route[i].irqchip == irqchip && r->route[i].pin == pin)
			return true;
	return false;
}

/* Split irqchip: the first GSIs are the pins of user space's IOAPIC. */
static void mark_split(struct vm *vm, const struct routing *r)
{
	u32 i;

	for (i = 0; r && i < r->nr && r->route[i].gsi < vm->irq.split_reserved_pins; i++)
		if (r->route[i].type == KVM_IRQ_ROUTING_MSI && (r->route[i].data & MSI_LEVEL))
			set_bit(r->route[i].data & 0xff, vm->irq.eoi_vectors);
}

/*
 * Marks the vectors whose EOI matters beyond what TMR tells, as the routes are or are to
 * be: with a split irqchip level routes of the reserved pins, in the kernel's IOAPIC edge
 * pins with a notifier (or the RTC's). A mark is never taken back: a superfluous one only
 * costs a look, while an interrupt on its way when the entry changed must still be heard.
 */
static void mark_eoi(struct vm *vm, const struct routing *r)
{
	if (vm->irq.mode == IRQCHIP_SPLIT)
		mark_split(vm, r);
	else
		ioapic_mark_eoi(vm, r);
}

static void routing_install(struct vm *vm, struct routing *new)
{
	struct routing *old;

	mutex_lock(&vm->irq_lock);
	/* The marks before the interrupts whose EOI they are for. */
	mark_eoi(vm, new);
	old = rcu_replace_pointer(vm->irq.routing, new, lockdep_is_held(&vm->irq_lock));
	/* And for an entry of the IOAPIC that was written by the old table meanwhile. */
	mark_eoi(vm, new);
	mutex_unlock(&vm->irq_lock);
	/* After the ioctl nothing is delivered by the old table. */
	synchronize_srcu_expedited(&vm->irq.ack_srcu);
	if (old)
		kvfree_rcu(old, rcu);
}

int routing_set(struct vm *vm, const struct kvm_irq_routing_entry *entries, u32 nr, u32 flags)
{
	struct routing *new;
	u32 i;
	int err;

	new = kvzalloc(struct_size(new, route, nr), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		err = route_build(vm, &new->route[i], &entries[i]);
		if (err)
			goto out_free;
	}
	new->nr = nr;
	sort(new->route, nr, sizeof(new->route[0]), by_gsi, NULL);
	err = -EINVAL;
	if (routes_conflict(new))
		goto out_free;
	routing_install(vm, new);
	return 0;

out_free:
	kvfree(new);
	return err;
}

/* ISA interrupts reach both PIC and IOAPIC, 16-23 the IOAPIC alone. */
int routing_set_default(struct vm *vm)
{
	struct kvm_irq_routing_entry *e;
	u32 gsi, n = 0;
	int err;

	e = kcalloc(VMM_PIC_PINS + VMM_IOAPIC_PINS, sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	for (gsi = 0; gsi < VMM_IOAPIC_PINS; gsi++) {
		if (gsi < VMM_PIC_PINS) {
			e[n].gsi = gsi;
			e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
			e[n].u.irqchip.irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER :
							   KVM_IRQCHIP_PIC_SLAVE;
			e[n++].u.irqchip.pin = gsi & 7;
		}
		e[n].gsi = gsi;
		e[n].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[n].u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e[n++].u.irqchip.pin = gsi;
	}
	err = routing_set(vm, e, n, 0);
	kfree(e);
	return err;
}

int routing_set_empty(struct vm *vm)
{
	return routing_set(vm, NULL, 0, 0);
}

void routing_destroy(struct vm *vm)
{
	kvfree(rcu_dereference_protected(vm->irq.routing, true));
}

/* -------- use -------- */

static int route_fire(struct vm *vm, const struct route *r, int source, int level,
		      bool status)
{
	if (r->type == KVM_IRQ_ROUTING_MSI)
		return level ? irq_deliver_msi(vm, r->address, r->data) : -1;
	if (r->irqchip == KVM_IRQCHIP_IOAPIC)
		return ioapic_set_pin(vm, r->pin, source, level, status);
	return pic_set_pin(vm, r->pin + (r->irqchip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0),
			   source, level);
}

/* All routes of the GSI whose first is @i. */
static int fire(struct vm *vm, const struct routing *r, u32 i, int source, int level, bool status)
{
	u32 gsi = r->route[i].gsi;
	int ret = -1, one;

	do {
		one = route_fire(vm, &r->route[i], source, level, status);
		if (one >= 0)
			ret = one + (ret < 0 ? 0 : ret);
	} while (route_is(r, ++i, gsi));
	return ret;
}

/* The table, and where the routes of @gsi begin in it; NULL without any. */
static const struct routing *routes_of(struct vm *vm, u32 gsi, u32 *first)
{
	/* routing_install() waits for the reader's section before it frees a table. */
	const struct routing *r = srcu_dereference(vm->irq.routing, &vm->irq.ack_srcu);

	if (!r)
		return NULL;
	*first = route_first(r, gsi);
	return route_is(r, *first, gsi) ? r : NULL;
}

/* Any context. Delivered count, 0 coalesced, -1 masked or nothing there. */
static int set_line(struct vm *vm, int source, u32 gsi, int level, bool status)
{
	const struct routing *r;
	int ret = -1, idx;
	u32 first;

	idx = srcu_read_lock(&vm->irq.ack_srcu);
	r = routes_of(vm, gsi, &first);
	if (r)
		ret = fire(vm, r, first, source, level, status);
	srcu_read_unlock(&vm->irq.ack_srcu, idx);
	return ret;
}

void irq_pulse(struct vm *vm, int source, u32 gsi)
{
	int idx = srcu_read_lock(&vm->irq.ack_srcu);
	const struct routing *r;
	u32 first;

	r = routes_of(vm, gsi, &first);
	if (r) {
		fire(vm, r, first, source, 1, false);
		/* A message, which is a GSI's only route, has no level that could fall. */
		if (r->route[first].type == KVM_IRQ_ROUTING_IRQCHIP)
			fire(vm, r, first, source, 0, false);
	}
	srcu_read_unlock(&vm->irq.ack_srcu, idx);
}

int irq_set_line(struct vm *vm, int source, u32 gsi, int level)
{
	return set_line(vm, source, gsi, level, false);
}

int irq_line_ioctl(struct vm *vm, struct kvm_irq_level *level, bool status)
{
	level->status = set_line(vm, IRQ_SOURCE_USER, level->irq, level->level, status);
	return 0;
}

int irq_send_msi(struct vm *vm, const struct kvm_msi *msi)
{
	if (msi->flags & ~KVM_MSI_VALID_DEVID)
		return -EINVAL;
	if (vm->irq.x2apic_ids && (msi->address_hi & 0xff))
		return -EINVAL;
	return irq_deliver_msi(vm, msi->address_lo | (u64)msi->address_hi << 32, msi->data);
}

bool routing_gsi_on_pin(struct vm *vm, u32 gsi, u32 irqchip, u32 pin)
{
	bool found;

	rcu_read_lock();
	found = gsi_on_pin(rcu_dereference(vm->irq.routing), gsi, irqchip, pin);
	rcu_read_unlock();
	return found;
}

/* -------- acknowledgment -------- */

void ack_notifier_register(struct vm *vm, struct ack_notifier *n)
{
	lockdep_assert_held(&vm->irq_lock);
	hlist_add_head_rcu(&n->link, &vm->irq.ack_notifiers);
	mark_eoi(vm, rcu_dereference_protected(vm->irq.routing, lockdep_is_held(&vm->irq_lock)));
}

void ack_notifier_unregister(struct vm *vm, struct ack_notifier *n)
{
	lockdep_assert_held(&vm->irq_lock);
	hlist_del_init_rcu(&n->link);
	synchronize_srcu(&vm->irq.ack_srcu);
}

void ack_notify(struct vm *vm, u32 irqchip, u32 pin)
{
	struct ack_notifier *n;
	int idx = srcu_read_lock(&vm->irq.ack_srcu);

	hlist_for_each_entry_srcu(n, &vm->irq.ack_notifiers, link,
				  srcu_read_lock_held(&vm->irq.ack_srcu))
		if (routing_gsi_on_pin(vm, n->gsi, irqchip, pin))
			n->acked(n);
	srcu_read_unlock(&vm->irq.ack_srcu, idx);
}

bool routing_acked(struct vm *vm, const struct routing *r, u32 irqchip, u32 pin)
{
	struct ack_notifier *n;
	bool found = false;
	int idx = srcu_read_lock(&vm->irq.ack_srcu);

	hlist_for_each_entry_srcu(n, &vm->irq.ack_notifiers, link,
				  srcu_read_lock_held(&vm->irq.ack_srcu))
		if (gsi_on_pin(r, n->gsi, irqchip, pin))
			found = true;
	srcu_read_unlock(&vm->irq.ack_srcu, idx);
	return found;
}
