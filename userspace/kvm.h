/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The KVM device, whatever its path. All wrappers return -errno on failure.
 */
#ifndef VMRUN_KVM_H
#define VMRUN_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm {
	int fd;			/* the device */
	int vm;			/* the VM */
	size_t run_size;	/* of a vCPU's mapping */
};

/*
 * Opens @path (NULL: /dev/vmm, else nothing is tried), checks version and
 * capabilities and creates the VM with its chips. Reports errors.
 */
int kvm_open(struct kvm *kvm, const char *path);
void kvm_close(struct kvm *kvm);

/* ioctl() with EINTR retried and errno folded in. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int kvm_check(const struct kvm *kvm, unsigned int capability);

#endif
