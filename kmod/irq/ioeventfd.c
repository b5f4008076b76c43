// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioeventfd: a guest's write to a port or address signals an eventfd
 * instead of going to user space.
 */
#include <linux/eventfd.h>
#include <linux/slab.h>

#include "io.h"
#include "irq/chips.h"

struct ioeventfd {
	struct io_device dev;
	struct list_head link;		/* vm->irq.ioeventfds, slots_lock */
	u64 addr;
	u32 len;			/* 0: any */
	enum io_bus_kind bus;
	bool match;
	u64 datamatch;
	struct eventfd_ctx *eventfd;
};

static bool value_matches(const struct ioeventfd *p, unsigned int len, const void *data)
{
	u64 val = 0;

	if (!p->len)
		return true;
	if (len != p->len)
		return false;
	if (!p->match)
		return true;
	memcpy(&val, data, len);
	return val == p->datamatch;
}

static int ioeventfd_read(struct vcpu *vcpu, struct io_device *dev, u64 addr,
			  unsigned int len, void *data)
{
	return -EOPNOTSUPP;
}

static int ioeventfd_write(struct vcpu *vcpu, struct io_device *dev, u64 addr,
			   unsigned int len, const void *data)
{
	struct ioeventfd *p = container_of(dev, struct ioeventfd, dev);

	if (addr != p->addr || !value_matches(p, len, data))
		return -EOPNOTSUPP;
	vmm_eventfd_signal(p->eventfd);
	return 0;
}

static void ioeventfd_destroy(struct ioeventfd *p)
{
	list_del(&p->link);
	eventfd_ctx_put(p->eventfd);
	kfree(p);
}

static const struct io_device_ops ioeventfd_ops = {
	.read = ioeventfd_read,
	.write = ioeventfd_write,
	.unlimited = true,
	.atomic = true,
};

/* The buses are gone already. */
void ioeventfd_destroy_all(struct vm *vm)
{
	struct ioeventfd *p, *next;

	list_for_each_entry_safe(p, next, &vm->irq.ioeventfds, link)
		ioeventfd_destroy(p);
}

static enum io_bus_kind bus_of(const struct kvm_ioeventfd *args)
{
	return args->flags & KVM_IOEVENTFD_FLAG_PIO ? IO_BUS_PIO : IO_BUS_MMIO;
}

static bool collides(struct vm *vm, const struct ioeventfd *new)
{
	struct ioeventfd *p;

	list_for_each_entry(p, &vm->irq.ioeventfds, link)
		if (p->bus == new->bus && p->addr == new->addr &&
		    (!p->len || !new->len ||
		     (p->len == new->len &&
		      (!p->match || !new->match || p->datamatch == new->datamatch))))
			return true;
	return false;
}

static int assign(struct vm *vm, const struct kvm_ioeventfd *args)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);
	struct ioeventfd *p;
	int err = -EEXIST;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p) {
		eventfd_ctx_put(ctx);
		return -ENOMEM;
	}
	p->dev.ops = &ioeventfd_ops;
	p->addr = args->addr;
	p->len = args->len;
	p->bus = bus_of(args);
	p->match = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;
	p->datamatch = args->datamatch;
	p->eventfd = ctx;
	mutex_lock(&vm->slots_lock);
	if (!collides(vm, p))
		err = io_bus_register(vm, p->bus, p->addr, p->len, &p->dev);
	if (!err)
		list_add_tail(&p->link, &vm->irq.ioeventfds);
	mutex_unlock(&vm->slots_lock);
	if (err) {
		eventfd_ctx_put(ctx);
		kfree(p);
	}
	return err;
}

static int deassign(struct vm *vm, const struct kvm_ioeventfd *args)
{
	bool match = args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH;
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);
	enum io_bus_kind bus = bus_of(args);
	struct ioeventfd *p;
	int err = -ENOENT;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	mutex_lock(&vm->slots_lock);
	list_for_each_entry(p, &vm->irq.ioeventfds, link) {
		if (p->bus != bus || p->eventfd != ctx || p->addr != args->addr ||
		    p->len != args->len || p->match != match ||
		    (match && p->datamatch != args->datamatch))
			continue;
		io_bus_unregister(vm, p->bus, &p->dev);
		ioeventfd_destroy(p);
		err = 0;
		break;
	}
	mutex_unlock(&vm->slots_lock);
	eventfd_ctx_put(ctx);
	return err;
}

static int check(const struct kvm_ioeventfd *args)
{
	if (args->flags & ~KVM_IOEVENTFD_VALID_FLAG_MASK)
		return -EINVAL;
	/* Only x86 devices: no virtio-ccw. */
	if (args->flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY)
		return -EINVAL;
	if (args->addr + args->len < args->addr)
		return -EINVAL;
	if (!args->len && (args->flags & KVM_IOEVENTFD_FLAG_DATAMATCH))
		return -EINVAL;
	switch (args->len) {
	case 0:
	case 1:
	case 2:
	case 4:
	case 8:
		return 0;
	default:
		return -EINVAL;
	}
}

int ioeventfd_ioctl(struct vm *vm, const struct kvm_ioeventfd *args)
{
	if (args->flags & KVM_IOEVENTFD_FLAG_DEASSIGN)
		return deassign(vm, args);
	return check(args) ?: assign(vm, args);
}
