/* SPDX-License-Identifier: GPL-2.0-only */
/* The file descriptors of a VM and of a vCPU, and what is copied for them. */
#ifndef VMM_IOCTL_H
#define VMM_IOCTL_H

#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vmm.h"

/* New fd, or file, that owns one reference of @vm (of vcpu->vm), or -errno. */
int vm_open_fd(struct vm *vm);
struct file *vcpu_open_file(struct vcpu *vcpu);

/* vmemdup_user() of what is kept for long: the cgroup pays for it. For kvfree(). */
static inline void *vmm_dup_user(const void __user *src, size_t n, size_t size)
{
	void *copy = kvmalloc_array(n, size, GFP_KERNEL_ACCOUNT);

	if (!copy)
		return ERR_PTR(-ENOMEM);
	if (!copy_from_user(copy, src, n * size))
		return copy;
	kvfree(copy);
	return ERR_PTR(-EFAULT);
}

#endif /* VMM_IOCTL_H */
