/* SPDX-License-Identifier: GPL-2.0-only */
/* A VM without kmod/vm.c: what it gives each of them before there is a part of it. */
#ifndef SHIM_VM_H
#define SHIM_VM_H

#include "vmm.h"

static inline void shim_vm_init(struct vm *vm)
{
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	mutex_init(&vm->irq_lock);
	refcount_set(&vm->users, 1);
	xa_init(&vm->vcpus);
	NEVER(init_srcu_struct(&vm->srcu));
}

#endif /* SHIM_VM_H */
