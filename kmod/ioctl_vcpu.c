// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vCPU fd: its ioctls, all under vcpu->mutex, and its mapping.
 */
#include <linux/anon_inodes.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/signal.h>

#include "caps.h"
#include "cpuid.h"
#include "debug.h"
#include "emulate.h"
#include "ioctl.h"
#include "ioctl_table.h"
#include "msr.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "smm.h"
#include "sregs.h"
#include "time.h"
#include "xstate.h"

static int do_run(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return arg ? -EINVAL : vcpu_run(vcpu);
}

static int do_get_regs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	regs_get_user(vcpu, buf);
	return 0;
}

static int do_set_regs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	regs_set_user(vcpu, buf);
	return 0;
}

static int do_get_sregs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	sregs_get(vcpu, buf);
	return 0;
}

static int do_set_sregs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return sregs_set(vcpu, buf);
}

static int do_get_sregs2(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	sregs2_get(vcpu, buf);
	return 0;
}

static int do_set_sregs2(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return sregs2_set(vcpu, buf);
}

static int do_get_fpu(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	xstate_get_fpu(vcpu, buf);
	return 0;
}

static int do_set_fpu(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return xstate_set_fpu(vcpu, buf);
}

static int do_get_xsave(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	xstate_get(vcpu, buf);
	return 0;
}

static int do_get_xsave2(struct vcpu *vcpu, void __user *argp)
{
	return xstate_get2(vcpu, argp);
}

static int do_set_xsave(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return xstate_set(vcpu, buf);
}

static int do_get_xcrs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return xstate_get_xcrs(vcpu, buf);
}

static int do_set_xcrs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return xstate_set_xcrs(vcpu, buf);
}

static int do_get_debugregs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	debugregs_get(vcpu, buf);
	return 0;
}

static int do_set_debugregs(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return debugregs_set(vcpu, buf);
}

static int do_get_events(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	events_get(vcpu, buf);
	return 0;
}

static int do_set_events(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return events_set(vcpu, buf);
}

static int do_get_msrs(struct vcpu *vcpu, void __user *argp)
{
	return msrs_get_user(vcpu, argp);
}

static int do_set_msrs(struct vcpu *vcpu, void __user *argp)
{
	return msrs_set_user(vcpu, argp);
}

static int do_set_cpuid(struct vcpu *vcpu, void __user *argp)
{
	return cpuid_set_old(vcpu, argp);
}

static int do_set_cpuid2(struct vcpu *vcpu, void __user *argp)
{
	return cpuid_set(vcpu, argp);
}

static int do_get_cpuid2(struct vcpu *vcpu, void __user *argp)
{
	return cpuid_get(vcpu, argp);
}

static int do_get_mp_state(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	struct kvm_mp_state *mp = buf;

	mp->mp_state = mp_state_get(vcpu);
	return 0;
}

static int do_set_mp_state(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return mp_state_set(vcpu, ((struct kvm_mp_state *)buf)->mp_state);
}

static int do_get_lapic(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return vcpu->lapic ? lapic_get(vcpu, buf) : -EINVAL;
}

static int do_set_lapic(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return vcpu->lapic ? lapic_set(vcpu, buf) : -EINVAL;
}

static int do_tpr_reporting(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return lapic_set_tpr_reporting(vcpu, buf);
}

static int do_set_vapic(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return lapic_set_vapic(vcpu, ((struct kvm_vapic_addr *)buf)->vapic_addr);
}

static int do_interrupt(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return events_user_interrupt(vcpu, ((struct kvm_interrupt *)buf)->irq);
}

static int do_nmi(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	queue_nmi(vcpu);
	return 0;
}

static int do_smi(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	smi_queue(vcpu);
	return 0;
}

static int do_signal_mask(struct vcpu *vcpu, void __user *argp)
{
	struct kvm_signal_mask __user *mask = argp;
	sigset_t sigset;
	u32 len;

	if (!argp) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (get_user(len, &mask->len))
		return -EFAULT;
	if (len != sizeof(sigset))
		return -EINVAL;
	if (copy_from_user(&sigset, mask->sigset, sizeof(sigset)))
		return -EFAULT;
	sigdelsetmask(&sigset, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset = sigset;
	vcpu->sigset_active = true;
	return 0;
}

static int do_translate(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return regs_translate(vcpu, buf);
}

static int do_guest_debug(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return debug_set(vcpu, buf);
}

static int do_setup_mce(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return mce_configure(vcpu, *(u64 *)buf);
}

static int do_set_mce(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return mce_set(vcpu, buf);
}

static int do_set_tsc_khz(struct vcpu *vcpu, void *buf, unsigned long khz)
{
	return time_set_tsc_khz(vcpu, (u32)khz);
}

static int do_get_tsc_khz(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return vcpu->tsc_khz;
}

static int do_kvmclock_ctrl(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return pv_clock_paused(vcpu);
}

static int do_has_attr(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return time_has_attr(vcpu, buf);
}

static int do_get_attr(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return time_get_attr(vcpu, buf);
}

static int do_set_attr(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return time_set_attr(vcpu, buf);
}

static int do_prefault(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return vcpu_prefault(vcpu, buf);
}

static int do_enable_cap(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return caps_enable_vcpu(vcpu, buf);
}

static int do_stats_fd(struct vcpu *vcpu, void *buf, unsigned long arg)
{
	return vcpu_stats_fd(vcpu);
}

#define VCPU_IOCTL(nr, how, handler) \
	{ .cmd = (nr), .arg = ARG_##how, .vcpu = (handler) }
#define VCPU_IOCTL_RAW(nr, handler) \
	{ .cmd = (nr), .arg = ARG_RAW, .vcpu_raw = (handler) }

static const struct ioctl_row vcpu_ioctls[] = {
	VCPU_IOCTL(KVM_RUN, NONE, do_run),
	VCPU_IOCTL(KVM_GET_REGS, OUT, do_get_regs),
	VCPU_IOCTL(KVM_SET_REGS, IN, do_set_regs),
	VCPU_IOCTL(KVM_GET_SREGS, OUT, do_get_sregs),
	VCPU_IOCTL(KVM_SET_SREGS, IN, do_set_sregs),
	VCPU_IOCTL(KVM_GET_SREGS2, OUT, do_get_sregs2),
	VCPU_IOCTL(KVM_SET_SREGS2, IN, do_set_sregs2),
	VCPU_IOCTL(KVM_GET_FPU, OUT, do_get_fpu),
	VCPU_IOCTL(KVM_SET_FPU, IN, do_set_fpu),
	VCPU_IOCTL(KVM_GET_XSAVE, OUT, do_get_xsave),
	VCPU_IOCTL_RAW(KVM_GET_XSAVE2, do_get_xsave2),
	VCPU_IOCTL(KVM_SET_XSAVE, IN, do_set_xsave),
	VCPU_IOCTL(KVM_GET_XCRS, OUT, do_get_xcrs),
	VCPU_IOCTL(KVM_SET_XCRS, IN, do_set_xcrs),
	VCPU_IOCTL(KVM_GET_DEBUGREGS, OUT, do_get_debugregs),
	VCPU_IOCTL(KVM_SET_DEBUGREGS, IN, do_set_debugregs),
	VCPU_IOCTL(KVM_GET_VCPU_EVENTS, OUT, do_get_events),
	VCPU_IOCTL(KVM_SET_VCPU_EVENTS, IN, do_set_events),
	VCPU_IOCTL_RAW(KVM_GET_MSRS, do_get_msrs),
	VCPU_IOCTL_RAW(KVM_SET_MSRS, do_set_msrs),
	VCPU_IOCTL_RAW(KVM_SET_CPUID, do_set_cpuid),
	VCPU_IOCTL_RAW(KVM_SET_CPUID2, do_set_cpuid2),
	VCPU_IOCTL_RAW(KVM_GET_CPUID2, do_get_cpuid2),
	VCPU_IOCTL(KVM_GET_MP_STATE, OUT, do_get_mp_state),
	VCPU_IOCTL(KVM_SET_MP_STATE, IN, do_set_mp_state),
	VCPU_IOCTL(KVM_GET_LAPIC, OUT, do_get_lapic),
	VCPU_IOCTL(KVM_SET_LAPIC, IN, do_set_lapic),
	VCPU_IOCTL(KVM_TPR_ACCESS_REPORTING, INOUT, do_tpr_reporting),
	VCPU_IOCTL(KVM_SET_VAPIC_ADDR, IN, do_set_vapic),
	VCPU_IOCTL(KVM_INTERRUPT, IN, do_interrupt),
	VCPU_IOCTL(KVM_NMI, NONE, do_nmi),
	VCPU_IOCTL(KVM_SMI, NONE, do_smi),
	VCPU_IOCTL_RAW(KVM_SET_SIGNAL_MASK, do_signal_mask),
	VCPU_IOCTL(KVM_TRANSLATE, INOUT, do_translate),
	VCPU_IOCTL(KVM_SET_GUEST_DEBUG, IN, do_guest_debug),
	VCPU_IOCTL(KVM_X86_SETUP_MCE, IN, do_setup_mce),
	VCPU_IOCTL(KVM_X86_SET_MCE, IN, do_set_mce),
	VCPU_IOCTL(KVM_SET_TSC_KHZ, NONE, do_set_tsc_khz),
	VCPU_IOCTL(KVM_GET_TSC_KHZ, NONE, do_get_tsc_khz),
	VCPU_IOCTL(KVM_KVMCLOCK_CTRL, NONE, do_kvmclock_ctrl),
	VCPU_IOCTL(KVM_HAS_DEVICE_ATTR, IN, do_has_attr),
	VCPU_IOCTL(KVM_GET_DEVICE_ATTR, IN, do_get_attr),
	VCPU_IOCTL(KVM_SET_DEVICE_ATTR, IN, do_set_attr),
	VCPU_IOCTL(KVM_PRE_FAULT_MEMORY, INOUT, do_prefault),
	VCPU_IOCTL(KVM_ENABLE_CAP, IN, do_enable_cap),
	VCPU_IOCTL(KVM_GET_STATS_FD, NONE, do_stats_fd),
};

static long vcpu_locked_ioctl(struct vcpu *vcpu, const struct ioctl_row *row,
			      unsigned long arg)
{
	struct ioctl_buf buf;
	long r = ioctl_buf_get(&buf, row, arg);

	if (r)
		return r;
	if (row->arg == ARG_RAW)
		r = row->vcpu_raw(vcpu, (void __user *)arg);
	else
		r = row->vcpu(vcpu, buf.data, arg);
	return ioctl_buf_put(&buf, row, arg, r);
}

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vcpu *vcpu = file->private_data;
	const struct ioctl_row *row;
	long r;

	if (vcpu->vm->mm != current->mm || READ_ONCE(vcpu->vm->dead))
		return -EIO;
	row = ioctl_find(vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), cmd);
	if (!row)
		return -EINVAL;
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	r = cmd == KVM_RUN ? do_run(vcpu, NULL, arg) : vcpu_locked_ioctl(vcpu, row, arg);
	mutex_unlock(&vcpu->mutex);
	return r;
}

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff < ARRAY_SIZE(vcpu->run_pages))
		page = vcpu->run_pages[array_index_nospec(vmf->pgoff, ARRAY_SIZE(vcpu->run_pages))];
	else if (dirty_ring_maps(vcpu->vm, vmf->pgoff))
		page = dirty_ring_page(vcpu, vmf->pgoff);
	else
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vcpu *vcpu = file->private_data;

	/* A copy of the ring would be no ring. */
	if ((dirty_ring_maps(vcpu->vm, vma->vm_pgoff) ||
	     dirty_ring_maps(vcpu->vm, vma->vm_pgoff + vma_pages(vma) - 1)) &&
	    ((vma->vm_flags & VM_EXEC) || !(vma->vm_flags & VM_SHARED)))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu *vcpu = file->private_data;

	vm_put(vcpu->vm);
	return 0;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

struct file *vcpu_open_file(struct vcpu *vcpu)
{
	char name[24];

	snprintf(name, sizeof(name), "kvm-vcpu:%u", vcpu->id);
	return anon_inode_getfile(name, &vcpu_fops, vcpu, O_RDWR);
}
