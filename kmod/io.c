// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O inside the kernel: one sorted array of devices per bus, replaced as a
 * whole, so that a lookup takes no locks: its readers are under SRCU, or inside
 * a stay, which RCU knows as preemption is off. Ranges may be nested, so each
 * knows how far those up to it reach: the ones that could cover an address are
 * a few neighbours.
 */
#include <linux/slab.h>

#include "io.h"
#include "vmm.h"

/* KVM's limit, of devices that are no ioeventfds. */
#define MAX_IO_DEVICES	1000
/* So many ranges are tried inside a stay, with interrupts off. */
#define MAX_ATOMIC_TRIES	16

struct io_range {
	u64 addr;
	unsigned int len;
	u64 reach;		/* the highest last address of this range and those before it */
	struct io_device *dev;
};

struct io_bus {
	unsigned int nr;
	unsigned int nr_counted;	/* against MAX_IO_DEVICES */
	struct io_range range[];
};

static struct io_bus *bus_protected(struct vm *vm, enum io_bus_kind kind)
{
	return rcu_dereference_protected(vm->bus[kind],
					 lockdep_is_held(&vm->slots_lock) ||
					 !refcount_read(&vm->users));
}

/* A length of 0 is a doorbell, of one address. */
static u64 range_last(const struct io_range *r)
{
	return r->addr + (r->len ? r->len - 1 : 0);
}

static void set_reach(struct io_bus *bus)
{
	u64 reach = 0;
	unsigned int i;

	for (i = 0; i < bus->nr; i++) {
		reach = max(reach, range_last(&bus->range[i]));
		bus->range[i].reach = reach;
	}
}

/*
 * Only vCPUs read, and they are in vm->vcpus before anybody can run them: one that is
 * not there yet finds the bus that is there now.
 */
static void wait_for_readers(struct vm *vm)
{
	/* The bus, before the look for vCPUs; between making one and running it are locks. */
	smp_mb();
	if (xa_empty(&vm->vcpus))
		return;
	synchronize_srcu_expedited(&vm->srcu);
	synchronize_rcu_expedited();
}

static void bus_replace(struct vm *vm, enum io_bus_kind kind, struct io_bus *new)
{
	struct io_bus *old = bus_protected(vm, kind);

	set_reach(new);
	rcu_assign_pointer(vm->bus[kind], new);
	wait_for_readers(vm);
	kvfree(old);
}

int io_bus_register(struct vm *vm, enum io_bus_kind kind, u64 addr, unsigned int len,
		    struct io_device *dev)
{
	struct io_bus *old = bus_protected(vm, kind), *new;
	unsigned int nr = old ? old->nr : 0, counted, i;

	lockdep_assert_held(&vm->slots_lock);
	counted = old ? old->nr_counted : 0;
	if (!dev->ops->unlimited && counted++ >= MAX_IO_DEVICES)
		return -ENOSPC;
	new = kvmalloc(struct_size(new, range, nr + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	new->nr = nr + 1;
	new->nr_counted = counted;
	/* Behind its equals, so that the first registered is asked first. */
	for (i = 0; i < nr && old->range[i].addr <= addr; i++)
		new->range[i] = old->range[i];
	new->range[i] = (struct io_range){ .addr = addr, .len = len, .dev = dev };
	for (; i < nr; i++)
		new->range[i + 1] = old->range[i];
	bus_replace(vm, kind, new);
	return 0;
}

void io_bus_unregister(struct vm *vm, enum io_bus_kind kind, struct io_device *dev)
{
	struct io_bus *old = bus_protected(vm, kind), *new;
	unsigned int i, n = 0;

	lockdep_assert_held(&vm->slots_lock);
	if (!old)
		return;
	/* Without memory the old array is edited in place; readers skip NULL. */
	new = kvmalloc(struct_size(new, range, old->nr), GFP_KERNEL_ACCOUNT);
	for (i = 0; i < old->nr; i++) {
		if (old->range[i].dev != dev) {
			if (new)
				new->range[n++] = old->range[i];
		} else if (!new) {
			WRITE_ONCE(old->range[i].dev, NULL);
			old->nr_counted -= !dev->ops->unlimited;
		}
	}
	if (new) {
		new->nr = n;
		new->nr_counted = old->nr_counted;
		if (!dev->ops->unlimited)
			new->nr_counted -= old->nr - n;
		bus_replace(vm, kind, new);
	} else {
		wait_for_readers(vm);
	}
}

/* The last reference is gone: no reader is left. */
void io_bus_destroy(struct vm *vm)
{
	unsigned int kind, i;
	struct io_bus *bus;

	for (kind = 0; kind < NR_IO_BUSES; kind++) {
		bus = bus_protected(vm, kind);
		if (!bus)
			continue;
		for (i = 0; i < bus->nr; i++) {
			struct io_device *dev = bus->range[i].dev;
			unsigned int j;

			cond_resched();
			if (!dev || !dev->ops->destroy)
				continue;
			/* A device may be registered for several ranges. */
			for (j = i; j < bus->nr; j++)
				if (bus->range[j].dev == dev)
					bus->range[j].dev = NULL;
			dev->ops->destroy(dev);
		}
		kvfree(bus);
		RCU_INIT_POINTER(vm->bus[kind], NULL);
	}
}

static bool range_covers(const struct io_range *r, u64 addr, unsigned int len)
{
	if (!r->len)
		return r->addr == addr;
	return addr >= r->addr && addr + len <= r->addr + r->len;
}

static bool is_first_candidate(const struct io_bus *bus, unsigned int i, u64 addr)
{
	return i < bus->nr && bus->range[i].reach >= addr &&
	       (!i || bus->range[i - 1].reach < addr);
}

/* Index of the first range that could cover @addr; often it is the last time's. */
static unsigned int first_candidate(const struct io_bus *bus, u64 addr, u16 *hint)
{
	unsigned int lo = 0, hi = bus->nr;

	if (is_first_candidate(bus, *hint, addr))
		return *hint;
	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (bus->range[mid].reach < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	*hint = lo;
	return lo;
}

int io_bus_access(struct vcpu *vcpu, enum io_bus_kind kind, u64 addr, unsigned int len, void *data,
		  u32 how)
{
	struct io_bus *bus = rcu_dereference_check(vcpu->vm->bus[kind],
						   srcu_read_lock_held(&vcpu->vm->srcu) ||
						   rcu_read_lock_sched_held());
	const struct io_range *r, *end, *patience;
	int err;

	if (!bus)
		return -EOPNOTSUPP;
	end = bus->range + bus->nr;
	r = bus->range + first_candidate(bus, addr, &vcpu->io_hint[kind]);
	patience = r + MAX_ATOMIC_TRIES;
	for (; r < end && r->addr <= addr; r++) {
		struct io_device *dev = READ_ONCE(r->dev);

		if ((how & IO_ATOMIC) && r == patience)
			return -EAGAIN;
		if (!dev || !range_covers(r, addr, len))
			continue;
		if ((how & IO_ATOMIC) && !dev->ops->atomic)
			return -EAGAIN;
		err = how & IO_WRITE ? dev->ops->write(vcpu, dev, addr, len, data) :
				       dev->ops->read(vcpu, dev, addr, len, data);
		if (err != -EOPNOTSUPP)
			return err;
	}
	return -EOPNOTSUPP;
}
