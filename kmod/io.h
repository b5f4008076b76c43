/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * I/O inside the kernel: devices on a port or memory bus. Registration takes
 * vm->slots_lock and replaces the bus as a whole.
 */
#ifndef VMM_IO_H
#define VMM_IO_H

#include <linux/types.h>

struct vm;
struct vcpu;
struct io_device;

enum io_bus_kind { IO_BUS_PIO, IO_BUS_MMIO, NR_IO_BUSES };

/*
 * Each returns 0 when the access was served, -EOPNOTSUPP when it is not this
 * device's after all (the next candidate, then user space, is asked).
 * Called from the vCPU thread, sleepable. destroy may be NULL.
 */
struct io_device_ops {
	int (*read)(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		    void *data);
	int (*write)(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		     const void *data);
	void (*destroy)(struct io_device *dev);
	bool unlimited;		/* not counted: an ioeventfd */
	bool atomic;		/* never sleeps: may also be called inside a stay */
};

struct io_device {
	const struct io_device_ops *ops;
};

/* Caller holds vm->slots_lock. @len 0 matches any length at @addr (ioeventfd). */
int io_bus_register(struct vm *vm, enum io_bus_kind kind, u64 addr, unsigned int len,
		    struct io_device *dev);
/* Returns after no reader can still see @dev; does not call destroy. */
void io_bus_unregister(struct vm *vm, enum io_bus_kind kind, struct io_device *dev);
void io_bus_destroy(struct vm *vm);

#define IO_WRITE	1
#define IO_ATOMIC	2	/* inside a stay, where vm->srcu is not held */

/*
 * 0 served, -EOPNOTSUPP nobody took it. Under vm->srcu, unless IO_ATOMIC; with that, -EAGAIN,
 * with nothing done, when a device that may sleep is to be asked.
 */
int io_bus_access(struct vcpu *vcpu, enum io_bus_kind kind, u64 addr, unsigned int len, void *data,
		  u32 how);

static inline int io_bus_read(struct vcpu *vcpu, enum io_bus_kind kind, u64 addr,
			      unsigned int len, void *data)
{
	return io_bus_access(vcpu, kind, addr, len, data, 0);
}

/* Nobody writes to @data. */
static inline int io_bus_write(struct vcpu *vcpu, enum io_bus_kind kind, u64 addr,
			       unsigned int len, const void *data)
{
	return io_bus_access(vcpu, kind, addr, len, (void *)data, IO_WRITE);
}

#endif /* VMM_IO_H */
