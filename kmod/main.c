// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module init and exit, /dev/vmm and its ioctls.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "caps.h"
#include "cpuid.h"
#include "host.h"
#include "host_check.h"
#include "ioctl.h"
#include "msr.h"
#include "pv/pv.h"
#include "time.h"
#include "vmm.h"
#include "xstate.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static bool kvm_node;
module_param(kvm_node, bool, 0444);
MODULE_PARM_DESC(kvm_node, "Also register /dev/kvm (10:232), for programs that know no other path");

/* kvm_run, the PIO data page, the coalesced ring (api.rst, KVM_GET_VCPU_MMAP_SIZE). */
#define VCPU_MMAP_SIZE	(3 * PAGE_SIZE)

static long dev_create_vm(unsigned long type)
{
	struct vm *vm = vm_create(type);
	int fd;

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	fd = vm_open_fd(vm);
	if (fd < 0)
		vm_put(vm);
	return fd;
}

/* KVM_HAS_DEVICE_ATTR, and KVM_GET_DEVICE_ATTR with @get, of the system. */
static long dev_attr(const struct kvm_device_attr __user *argp, bool get)
{
	struct kvm_device_attr attr;

	if (copy_from_user(&attr, argp, sizeof(attr)))
		return -EFAULT;
	if (attr.group || attr.attr != KVM_X86_XCOMP_GUEST_SUPP)
		return -ENXIO;
	if (get && put_user(xstate_supported(), (u64 __user *)u64_to_user_ptr(attr.addr)))
		return -EFAULT;
	return 0;
}

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return dev_create_vm(arg);
	case KVM_CHECK_EXTENSION:
		return caps_check(NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : VCPU_MMAP_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
	case KVM_GET_EMULATED_CPUID:
		return cpuid_get_supported(argp, cmd == KVM_GET_EMULATED_CPUID);
	case KVM_GET_MSR_INDEX_LIST:
		return msr_index_list(argp);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return msr_feature_index_list(argp);
	case KVM_GET_MSRS:
		return msr_get_features(argp);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:
		return mce_cap_supported(argp);
	case KVM_GET_DEVICE_ATTR:
	case KVM_HAS_DEVICE_ATTR:
		return dev_attr(argp, cmd == KVM_GET_DEVICE_ATTR);
	default:
		return -EINVAL;
	}
}

static const struct file_operations dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice vmm_dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vmm",
	.fops = &dev_fops,
	.mode = 0660,
};

static struct miscdevice kvm_dev = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &dev_fops,
	.mode = 0660,
};

static int __init register_nodes(void)
{
	int err = misc_register(&vmm_dev);

	if (err || !kvm_node)
		return err;
	err = misc_register(&kvm_dev);
	if (err) {
		pr_err("kvm_node=1: /dev/kvm is taken; unload kvm first\n");
		misc_deregister(&vmm_dev);
	}
	return err;
}

static int __init vmm_init(void)
{
	int err = irqfd_module_init();

	if (err)
		return err;
	err = pv_apf_module_init();
	if (err)
		goto out_irqfd;
	err = host_init();
	if (err)
		goto out_apf;
	err = xstate_init();
	if (err)
		goto out_host;
	cpuid_init();
	msr_init();
	nx_huge_init();
	host_check_init();
	err = register_nodes();
	if (err)
		goto out_host;
	return 0;

out_host:
	host_exit();
out_apf:
	pv_apf_module_exit();
out_irqfd:
	irqfd_module_exit();
	return err;
}

static void __exit vmm_exit(void)
{
	if (kvm_node)
		misc_deregister(&kvm_dev);
	misc_deregister(&vmm_dev);
	host_exit();
	pv_apf_module_exit();
	irqfd_module_exit();
	/* Callbacks queued with call_rcu() must not outlive the text. */
	rcu_barrier();
}

module_init(vmm_init);
module_exit(vmm_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Hardware-assisted virtualization with KVM's ABI");
