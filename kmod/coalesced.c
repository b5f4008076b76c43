// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coalesced MMIO and PIO: writes to the registered zones are noted in a ring
 * that user space reads when it next has the vCPU, instead of leaving KVM_RUN
 * one by one. One ring for the VM, in the third page of every vCPU's mapping.
 *
 * The ring belongs to user space as much as to us: its indices are read once
 * and checked, and a wrong one makes the zone's writes ordinary exits.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "coalesced.h"
#include "io.h"
#include "vmm.h"

struct vm_coalesced {
	spinlock_t lock;		/* writers of the ring */
	struct page *page;		/* (c) */
	struct kvm_coalesced_mmio_ring *ring;	/* (u) in the page */
	struct list_head zones;		/* vm->slots_lock */
};

struct coalesced_zone {
	struct io_device dev;
	struct list_head link;		/* vm_coalesced.zones */
	u64 addr;
	u32 size;
	bool pio;
};

static enum io_bus_kind bus_of(bool pio)
{
	return pio ? IO_BUS_PIO : IO_BUS_MMIO;
}

/* @len is signed where KVM takes a zone for it: half of the sizes fit nowhere. */
static bool zone_covers(const struct coalesced_zone *z, u64 addr, int len)
{
	return len >= 0 && addr + len >= addr && addr >= z->addr &&
	       addr + len <= z->addr + z->size;
}

static int zone_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		     void *data)
{
	return -EOPNOTSUPP;
}

/* One entry stays free: full differs from empty by it. */
static bool ring_put(struct kvm_coalesced_mmio_ring *ring,
		     const struct kvm_coalesced_mmio *entry)
{
	u32 last = READ_ONCE(ring->last), next;

	if (last >= KVM_COALESCED_MMIO_MAX)
		return false;
	next = (last + 1) % KVM_COALESCED_MMIO_MAX;
	if (next == READ_ONCE(ring->first))
		return false;
	ring->coalesced_mmio[last] = *entry;
	/* The entry before the index that offers it. */
	smp_store_release(&ring->last, next);
	return true;
}

static int zone_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		      const void *data)
{
	struct coalesced_zone *z = container_of(dev, struct coalesced_zone, dev);
	struct vm_coalesced *c = vcpu->vm->coalesced;
	struct kvm_coalesced_mmio entry = {
		.phys_addr = addr, .len = len, .pio = z->pio,
	};
	bool done;

	if (len > sizeof(entry.data) || !zone_covers(z, addr, len))
		return -EOPNOTSUPP;
	memcpy(entry.data, data, len);
	spin_lock(&c->lock);
	done = ring_put(c->ring, &entry);
	spin_unlock(&c->lock);
	return done ? 0 : -EOPNOTSUPP;
}

static void zone_destroy(struct io_device *dev)
{
	struct coalesced_zone *z = container_of(dev, struct coalesced_zone, dev);

	list_del(&z->link);
	kfree(z);
}

static const struct io_device_ops zone_ops = {
	.read = zone_read,
	.write = zone_write,
	.destroy = zone_destroy,
};

int coalesced_register(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone *z;
	int err;

	if (zone->pio > 1)
		return -EINVAL;
	z = kzalloc(sizeof(*z), GFP_KERNEL_ACCOUNT);
	if (!z)
		return -ENOMEM;
	z->dev.ops = &zone_ops;
	z->addr = zone->addr;
	z->size = zone->size;
	z->pio = zone->pio;
	mutex_lock(&vm->slots_lock);
	err = io_bus_register(vm, bus_of(z->pio), z->addr, z->size, &z->dev);
	if (!err)
		list_add_tail(&z->link, &vm->coalesced->zones);
	mutex_unlock(&vm->slots_lock);
	if (err)
		kfree(z);
	return err;
}

/* Every zone that holds all of @zone goes, as a whole; that there is none is no error. */
int coalesced_unregister(struct vm *vm, const struct kvm_coalesced_mmio_zone *zone)
{
	struct coalesced_zone *z, *next;

	if (zone->pio > 1)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	list_for_each_entry_safe(z, next, &vm->coalesced->zones, link) {
		if (z->pio != zone->pio || !zone_covers(z, zone->addr, zone->size))
			continue;
		io_bus_unregister(vm, bus_of(z->pio), &z->dev);
		zone_destroy(&z->dev);
	}
	mutex_unlock(&vm->slots_lock);
	return 0;
}

struct page *coalesced_page(struct vm *vm)
{
	return vm->coalesced->page;
}

int coalesced_create(struct vm *vm)
{
	struct vm_coalesced *c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);

	if (!c)
		return -ENOMEM;
	vm->coalesced = c;
	c->page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!c->page)
		return -ENOMEM;
	c->ring = page_address(c->page);
	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->zones);
	return 0;
}

void coalesced_destroy(struct vm *vm)
{
	struct vm_coalesced *c = vm->coalesced;

	if (!c)
		return;
	if (c->page)
		put_page(c->page);
	kfree(c);
}
