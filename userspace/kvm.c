// SPDX-License-Identifier: GPL-2.0-only
#include "kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/list.h"
#include "util/msg.h"

/* Three pages below the firmware's area that VT-x needs for real mode. */
#define KVM_IDENTITY_MAP	0xfffbc000ull
#define KVM_TSS			0xfffbd000ul

static const struct {
	unsigned int cap;
	const char *name;
} kvm_needs[] = {
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "IRQCHIP" },
	{ KVM_CAP_PIT2, "PIT2" },
	{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
	{ KVM_CAP_IRQFD, "IRQFD" },
	{ KVM_CAP_IOEVENTFD, "IOEVENTFD" },
	{ KVM_CAP_SIGNAL_MSI, "SIGNAL_MSI" },
	{ KVM_CAP_EXT_CPUID, "EXT_CPUID" },
	{ KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, "SET_IDENTITY_MAP_ADDR" },
	{ KVM_CAP_MP_STATE, "MP_STATE" },
	{ KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS" },
	{ KVM_CAP_DEBUGREGS, "DEBUGREGS" },
	{ KVM_CAP_XSAVE, "XSAVE" },
	{ KVM_CAP_XCRS, "XCRS" },
	{ KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT" },
};

int kvm_ioctl_num(int fd, unsigned long request, unsigned long arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	return kvm_ioctl_num(fd, request, (unsigned long)arg);
}

int kvm_check(const struct kvm *kvm, unsigned int capability)
{
	int ret = kvm_ioctl_num(kvm->fd, KVM_CHECK_EXTENSION, capability);

	return ret < 0 ? 0 : ret;
}

/* Whether the processors show VT-x or AMD-V; true where that cannot be told. */
static bool kvm_hardware(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	bool found = false;
	char line[8192];

	if (!f)
		return true;
	while (!found && fgets(line, sizeof(line), f))
		if (!strncmp(line, "flags", 5))
			found = strstr(line, " vmx") || strstr(line, " svm");
	fclose(f);
	return found;
}

static int kvm_fail_absent(const char *path, int err)
{
	if (!kvm_hardware())
		return msg_fail(err, "%s: not there, and this machine's processors offer neither VT-x nor AMD-V: switch virtualization on in the firmware (or, in a virtual machine, let its host pass it on)",
				path);
	if (!strcmp(path, KVM_DEVICE_FALLBACK))
		return msg_fail(err, "%s: not there: load the module with 'modprobe kvm_intel' or 'modprobe kvm_amd'",
				path);
	return msg_fail(err, "%s: not there: load the module (insmod vmm.ko), or name another device with --device",
			path);
}

static int kvm_fail_permission(const char *path, int err)
{
	struct group *group = NULL;
	struct stat st;

	if (!stat(path, &st) && (st.st_mode & 0060) == 0060)
		group = getgrgid(st.st_gid);
	if (group && group->gr_gid)
		return msg_fail(err, "%s: permission denied: become a member of group '%s' (adduser USER %s) or run as root",
				path, group->gr_name, group->gr_name);
	return msg_fail(err, "%s: permission denied: run as root, or let an udev rule open it for you",
			path);
}

static int kvm_fail_open(const char *path, int err)
{
	switch (err) {
	case -ENOENT:
	case -ENODEV:
	case -ENXIO:
		return kvm_fail_absent(path, err);
	case -EACCES:
	case -EPERM:
		return kvm_fail_permission(path, err);
	case -EBUSY:
		return msg_fail(err, "%s: busy: another hypervisor holds this machine's VT-x or AMD-V",
				path);
	default:
		return msg_fail(err, "%s: %s", path, strerror(-err));
	}
}

static int kvm_open_device(const char **path)
{
	int fd;

	if (*path) {
		fd = open(*path, O_RDWR | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	*path = KVM_DEVICE_DEFAULT;
	fd = open(*path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT || access(KVM_DEVICE_FALLBACK, F_OK))
		return fd < 0 ? -errno : fd;
	msg_warn("%s: not there, using %s", *path, KVM_DEVICE_FALLBACK);
	*path = KVM_DEVICE_FALLBACK;
	fd = open(*path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int kvm_verify(struct kvm *kvm, const char *path)
{
	int version = kvm_ioctl_num(kvm->fd, KVM_GET_API_VERSION, 0);
	int size;

	if (version < 0)
		return msg_fail(version, "%s: not a KVM device: give the right one with --device",
				path);
	if (version != KVM_API_VERSION)
		return msg_fail(-ENOTSUP, "%s: speaks version %d of KVM's interface, not %d",
				path, version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(kvm_needs); i++)
		if (!kvm_check(kvm, kvm_needs[i].cap))
			return msg_fail(-ENOTSUP, "%s: lacks KVM_CAP_%s: a newer kernel or module is needed",
					path, kvm_needs[i].name);
	size = kvm_ioctl_num(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return msg_fail(-EINVAL, "%s: KVM_GET_VCPU_MMAP_SIZE gave %d",
				path, size);
	kvm->run_size = (size_t)size;
	return 0;
}

static int kvm_create_chips(struct kvm *kvm)
{
	/* The kernel answers port 0x61 as well: it is the PIT's third counter. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity_map = KVM_IDENTITY_MAP;
	int err;

	err = kvm_ioctl(kvm->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	if (err < 0)
		return err;
	err = kvm_ioctl_num(kvm->vm, KVM_SET_TSS_ADDR, KVM_TSS);
	if (err < 0)
		return err;
	err = kvm_ioctl_num(kvm->vm, KVM_CREATE_IRQCHIP, 0);
	if (err < 0)
		return err;
	return kvm_ioctl(kvm->vm, KVM_CREATE_PIT2, &pit);
}

static int kvm_create_vm(struct kvm *kvm, const char *path)
{
	int err;

	kvm->vm = kvm_ioctl_num(kvm->fd, KVM_CREATE_VM, 0);
	if (kvm->vm == -EBUSY)
		return msg_fail(-EBUSY, "%s: busy: another hypervisor holds this machine's VT-x or AMD-V",
				path);
	if (kvm->vm < 0)
		return msg_fail(kvm->vm, "%s: cannot create a virtual machine: %s",
				path, strerror(-kvm->vm));
	err = kvm_create_chips(kvm);
	if (err < 0)
		return msg_fail(err, "%s: cannot create the interrupt controllers: %s",
				path, strerror(-err));
	return 0;
}

int kvm_open(struct kvm *kvm, const char *path)
{
	int err;

	kvm->vm = -1;
	kvm->fd = kvm_open_device(&path);
	if (kvm->fd < 0)
		return kvm_fail_open(path, kvm->fd);
	err = kvm_verify(kvm, path);
	if (!err)
		err = kvm_create_vm(kvm, path);
	if (err)
		kvm_close(kvm);
	return err;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm->vm >= 0)
		close(kvm->vm);
	if (kvm->fd >= 0)
		close(kvm->fd);
	kvm->vm = -1;
	kvm->fd = -1;
}
