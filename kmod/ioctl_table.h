/* SPDX-License-Identifier: GPL-2.0-only */
/* How the rows of the two ioctl tables move their argument. */
#ifndef VMM_IOCTL_TABLE_H
#define VMM_IOCTL_TABLE_H

#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vmm.h"

enum ioctl_arg {
	ARG_NONE,	/* the number itself */
	ARG_IN,		/* structure of _IOC_SIZE(cmd) bytes, copied in */
	ARG_OUT,	/* copied out when the handler returns >= 0; zeroed before */
	ARG_INOUT,
	ARG_RAW,	/* the handler copies */
};

enum ioctl_lock { LOCK_NONE, LOCK_VM };

struct ioctl_row {
	unsigned int cmd;
	u8 arg;			/* enum ioctl_arg */
	u8 lock;		/* enum ioctl_lock */
	union {
		int (*vm)(struct vm *vm, void *buf, unsigned long arg);
		int (*vm_raw)(struct vm *vm, void __user *argp);
		int (*vcpu)(struct vcpu *vcpu, void *buf, unsigned long arg);
		int (*vcpu_raw)(struct vcpu *vcpu, void __user *argp);
	};
};

struct ioctl_buf {
	void *data;
	u64 small[52];		/* all but pages: struct kvm_fpu is the largest */
};

static inline const struct ioctl_row *ioctl_find(const struct ioctl_row *rows,
						 unsigned int n, unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (rows[i].cmd == cmd)
			return &rows[i];
	return NULL;
}

static inline int ioctl_buf_get(struct ioctl_buf *buf, const struct ioctl_row *row,
				unsigned long arg)
{
	size_t size = _IOC_SIZE(row->cmd);

	buf->data = NULL;
	if (row->arg == ARG_NONE || row->arg == ARG_RAW)
		return 0;
	if (size <= sizeof(buf->small)) {
		if (row->arg == ARG_OUT)
			memset(buf->small, 0, size);
		buf->data = buf->small;
	} else {
		buf->data = kzalloc(size, GFP_KERNEL_ACCOUNT);
		if (!buf->data)
			return -ENOMEM;
	}
	if (row->arg != ARG_OUT && copy_from_user(buf->data, (void __user *)arg, size)) {
		if (buf->data != buf->small)
			kfree(buf->data);
		return -EFAULT;
	}
	return 0;
}

/* Copies out, frees, and gives the ioctl's result. */
static inline long ioctl_buf_put(struct ioctl_buf *buf, const struct ioctl_row *row,
				 unsigned long arg, long r)
{
	bool out = row->arg == ARG_OUT || row->arg == ARG_INOUT;

	if (out && r >= 0 &&
	    copy_to_user((void __user *)arg, buf->data, _IOC_SIZE(row->cmd)))
		r = -EFAULT;
	if (buf->data && buf->data != buf->small)
		kfree(buf->data);
	return r;
}

#endif /* VMM_IOCTL_TABLE_H */
