// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's CPUs: which vendor, VT-x/AMD-V on and off, CPU hotplug, suspend,
 * reboot and crash.
 *
 * Virtualization is on, on every online CPU, from load to unload. It is off
 * only while a CPU goes down, over suspend, and from the reboot notifier on;
 * a vCPU caught by the latter leaves with EXIT_BROKEN.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/reboot.h>
#include <linux/suspend.h>

#include "compat.h"
#include "host.h"
#include "vendor.h"
#include "vmm.h"

struct vmm_vendor_caps vendor_caps __ro_after_init;
const struct vmm_vendor_ops *vendor_ops __ro_after_init;

#define VMM_VENDOR_DEFINE(ret, name, ...) \
	DEFINE_STATIC_CALL_NULL(vendor_##name, vendor_##name##_fn);
VMM_VENDOR_OPS(VMM_VENDOR_DEFINE)
#undef VMM_VENDOR_DEFINE

static const struct vmm_vendor_ops * const vendors[] = { &vmx_ops, &svm_ops };

static DEFINE_PER_CPU(bool, virt_on);
static enum cpuhp_state hotplug_state;
static bool rebooting;
static u64 suspend_tsc;

static void host_bind(const struct vmm_vendor_ops *ops)
{
	vendor_ops = ops;
#define VMM_VENDOR_BIND(ret, name, ...) \
	static_call_update(vendor_##name, ops->name);
	VMM_VENDOR_OPS(VMM_VENDOR_BIND)
#undef VMM_VENDOR_BIND
}

static int host_pick_vendor(void)
{
	int i, err, ret = -ENODEV;

	for (i = 0; i < ARRAY_SIZE(vendors); i++) {
		err = vendors[i]->probe();
		if (!err) {
			host_bind(vendors[i]);
			return 0;
		}
		if (err != -ENODEV)
			ret = err;
	}
	if (ret == -ENODEV)
		pr_err("this CPU has neither VT-x nor AMD-V (or the firmware or an outer hypervisor hides it)\n");
	return ret;
}

/* Irqs off, on the CPU itself. */
static void host_cpu_off(void *unused)
{
	if (!__this_cpu_read(virt_on))
		return;
	vendor_call(cpu_off);
	__this_cpu_write(virt_on, false);
}

static int host_cpu_on(void)
{
	unsigned long flags;
	int err;

	local_irq_save(flags);
	err = vendor_call(cpu_on);
	if (!err)
		__this_cpu_write(virt_on, true);
	local_irq_restore(flags);
	return err;
}

static int host_cpu_online(unsigned int cpu)
{
	if (READ_ONCE(rebooting))
		return 0;
	return host_cpu_on();
}

static int host_cpu_offline(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	host_cpu_off(NULL);
	local_irq_restore(flags);
	return 0;
}

/* The last CPU of a suspend; the others went through hotplug. */
static int host_suspend(void)
{
	host_cpu_off(NULL);
	suspend_tsc = rdtsc_ordered();
	return 0;
}

/* Deep sleep resets the TSC; the guests' must not go back with it. */
static void host_resume(void)
{
	u64 now = rdtsc_ordered();

	vms_resumed(suspend_tsc > now ? suspend_tsc - now : 0);
	if (READ_ONCE(rebooting))
		return;
	if (vendor_call(cpu_on))
		pr_warn_once("virtualization did not come back after suspend\n");
	else
		__this_cpu_write(virt_on, true);
}

/* Later: the clock chip's driver has told how long it was. */
static int host_pm(struct notifier_block *nb, unsigned long action, void *data)
{
	if (action == PM_POST_SUSPEND || action == PM_POST_HIBERNATION)
		vms_slept();
	return NOTIFY_OK;
}

static struct notifier_block pm_notifier = {
	.notifier_call = host_pm,
};

/* Crash path: other CPUs are stopped, nothing may be locked. */
static void host_emergency_off(void)
{
	host_cpu_off(NULL);
}

static int host_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	WRITE_ONCE(rebooting, true);
	on_each_cpu(host_cpu_off, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_notifier = {
	.notifier_call = host_reboot,
};

static int host_switch_on(void)
{
	int ret = cpuhp_setup_state(VMM_CPUHP_STATE, "vmm:online",
				    host_cpu_online, host_cpu_offline);

	if (ret < 0) {
		if (ret == -EBUSY)
			pr_err("another hypervisor module holds the CPU's virtualization; unload it first (modprobe -r kvm_intel kvm_amd)\n");
		else if (ret == -EOPNOTSUPP)
			pr_err("this kernel keeps CR4.VMXE to itself; VT-x cannot be switched on from a module\n");
		else
			pr_err("switching virtualization on failed (%d)\n", ret);
		return ret;
	}
	/* Only of a dynamic state the number is told. */
	hotplug_state = ret ?: VMM_CPUHP_STATE;
	return 0;
}

int __init host_init(void)
{
	int err = host_pick_vendor();

	if (err)
		return err;
	err = vendor_call(setup);
	if (err)
		return err;
	err = host_switch_on();
	if (err)
		goto out_unsetup;
	err = compat_power_register(host_suspend, host_resume, host_emergency_off);
	if (err)
		goto out_off;
	register_reboot_notifier(&reboot_notifier);
	register_pm_notifier(&pm_notifier);
	return 0;

out_off:
	cpuhp_remove_state(hotplug_state);
out_unsetup:
	vendor_call(unsetup);
	return err;
}

void host_exit(void)
{
	unregister_pm_notifier(&pm_notifier);
	unregister_reboot_notifier(&reboot_notifier);
	compat_power_unregister();
	cpuhp_remove_state(hotplug_state);
	vendor_call(unsetup);
}
