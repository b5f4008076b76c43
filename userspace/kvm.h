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

#define KVM_DEVICE_DEFAULT	"/dev/vmm"
#define KVM_DEVICE_FALLBACK	"/dev/kvm"

struct stream;

struct kvm {
	int fd;			/* the device */
	int vm;			/* the VM */
	size_t run_size;	/* of a vCPU's mapping */
};

/*
 * Opens the device, checks version and capabilities, and creates the VM with
 * its chips. Without a path it is /dev/vmm, or /dev/kvm (with a remark) where
 * only that exists. Reports errors.
 */
int kvm_open(struct kvm *kvm, const char *path);
void kvm_close(struct kvm *kvm);

/* ioctl() with EINTR retried and errno folded in. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
/* Same for the commands that take a number instead of a pointer. */
int kvm_ioctl_num(int fd, unsigned long request, unsigned long arg);
/* What KVM_CHECK_EXTENSION says; 0 also stands for an error. */
int kvm_check(const struct kvm *kvm, unsigned int capability);

/*
 * kvm_chips.c: state of PIC, IOAPIC and PIT after creation, to go back to at
 * reset. The chips of a closed VM need no kvm_chips_reset().
 */
struct kvm_chips;

int kvm_chips_capture(const struct kvm *kvm, struct kvm_chips **chips);
int kvm_chips_reset(const struct kvm *kvm, const struct kvm_chips *chips);
void kvm_chips_free(struct kvm_chips *chips);

/* Their state of now, and back. */
int kvm_chips_save(const struct kvm *kvm, struct stream *s);
/* Of two saved bodies: what is not the same but for the time, or NULL. */
const char *kvm_chips_differ(struct stream *a, struct stream *b);
int kvm_chips_load(const struct kvm *kvm, struct stream *s);

#endif
