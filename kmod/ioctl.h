/* SPDX-License-Identifier: GPL-2.0-only */
/* The file descriptors of a VM and of a vCPU. */
#ifndef VMM_IOCTL_H
#define VMM_IOCTL_H

#include "vmm.h"

/* New fd, or file, that owns one reference of @vm (of vcpu->vm), or -errno. */
int vm_open_fd(struct vm *vm);
struct file *vcpu_open_file(struct vcpu *vcpu);

#endif /* VMM_IOCTL_H */
