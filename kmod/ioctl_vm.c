// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctls of the VM fd. Each row of the table says how the argument travels
 * and what is held while the handler runs.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "caps.h"
#include "coalesced.h"
#include "ioctl.h"
#include "ioctl_table.h"
#include "msr.h"
#include "stats.h"
#include "time.h"

#define MIN_MMU_PAGES	64	/* KVM's KVM_MIN_ALLOC_MMU_PAGES */

static int do_create_vcpu(struct vm *vm, void *buf, unsigned long arg)
{
	/* Ids are 32 bits wide, the argument is not. */
	if (arg >= VMM_MAX_VCPU_ID)
		return -EINVAL;
	return vcpu_create(vm, arg);
}

static int do_check_extension(struct vm *vm, void *buf, unsigned long arg)
{
	return caps_check(vm, arg);
}

static int do_enable_cap(struct vm *vm, void *buf, unsigned long arg)
{
	return caps_enable_vm(vm, buf);
}

static int do_set_region(struct vm *vm, void *buf, unsigned long arg)
{
	struct kvm_userspace_memory_region2 region = {};

	/* The old structure is the beginning of the new one. */
	memcpy(&region, buf, sizeof(struct kvm_userspace_memory_region));
	if (region.flags & ~(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY))
		return -EINVAL;
	return mm_set_region(vm, &region);
}

static int do_set_region2(struct vm *vm, void *buf, unsigned long arg)
{
	return mm_set_region(vm, buf);
}

/* A pointer from 32-bit user space has anything in its upper half. */
static void compat_pointer(u64 *ptr)
{
	if (in_compat_syscall())
		*ptr = (u32)*ptr;
}

static int do_get_dirty_log(struct vm *vm, void *buf, unsigned long arg)
{
	struct kvm_dirty_log *log = buf;

	compat_pointer(&log->padding2);
	return mm_get_dirty_log(vm, log);
}

static int do_clear_dirty_log(struct vm *vm, void *buf, unsigned long arg)
{
	struct kvm_clear_dirty_log *log = buf;

	compat_pointer(&log->padding2);
	return mm_clear_dirty_log(vm, log);
}

static int do_reset_rings(struct vm *vm, void *buf, unsigned long arg)
{
	return mm_reset_dirty_rings(vm);
}

static int do_set_tss_addr(struct vm *vm, void *buf, unsigned long addr)
{
	if (addr > (unsigned int)(-3 * PAGE_SIZE))
		return -EINVAL;
	vm->tss_addr = addr;
	return 0;
}

static int do_set_identity_map(struct vm *vm, void __user *argp)
{
	u64 addr;

	if (atomic_read(&vm->nr_vcpus))
		return -EINVAL;
	if (copy_from_user(&addr, argp, sizeof(addr)))
		return -EFAULT;
	vm->identity_map_addr = addr;
	return 0;
}

static int do_create_irqchip(struct vm *vm, void *buf, unsigned long arg)
{
	if (vm->irq.mode != IRQCHIP_NONE)
		return -EEXIST;
	if (atomic_read(&vm->nr_vcpus))
		return -EINVAL;
	return irqchip_create(vm);
}

static int do_get_irqchip(struct vm *vm, void *buf, unsigned long arg)
{
	if (vm->irq.mode != IRQCHIP_KERNEL)
		return -ENXIO;
	return irqchip_get(vm, buf);
}

static int do_set_irqchip(struct vm *vm, void *buf, unsigned long arg)
{
	if (vm->irq.mode != IRQCHIP_KERNEL)
		return -ENXIO;
	return irqchip_set(vm, buf);
}

static int do_irq_line(struct vm *vm, void *buf, unsigned long arg)
{
	if (vm->irq.mode == IRQCHIP_NONE)
		return -ENXIO;
	return irq_line_ioctl(vm, buf, false);
}

static int do_irq_line_status(struct vm *vm, void *buf, unsigned long arg)
{
	if (vm->irq.mode == IRQCHIP_NONE)
		return -ENXIO;
	return irq_line_ioctl(vm, buf, true);
}

static int do_set_routing(struct vm *vm, void __user *argp)
{
	struct kvm_irq_routing table;
	struct kvm_irq_routing_entry *entries = NULL;
	int err;

	if (copy_from_user(&table, argp, sizeof(table)))
		return -EFAULT;
	if (vm->irq.mode == IRQCHIP_NONE)
		return -EINVAL;
	if (table.nr > VMM_MAX_IRQ_ROUTES || table.flags)
		return -EINVAL;
	if (table.nr) {
		entries = vmemdup_user(argp + offsetof(struct kvm_irq_routing, entries),
				       array_size(sizeof(*entries), table.nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	err = routing_set(vm, entries, table.nr, table.flags);
	kvfree(entries);
	return err;
}

static int do_signal_msi(struct vm *vm, void *buf, unsigned long arg)
{
	if (vm->irq.mode == IRQCHIP_NONE)
		return -EINVAL;
	return irq_send_msi(vm, buf);
}

static int do_irqfd(struct vm *vm, void *buf, unsigned long arg)
{
	return irqfd_ioctl(vm, buf);
}

static int do_ioeventfd(struct vm *vm, void *buf, unsigned long arg)
{
	return ioeventfd_ioctl(vm, buf);
}

static int do_coalesce(struct vm *vm, void *buf, unsigned long arg)
{
	return coalesced_register(vm, buf);
}

static int do_uncoalesce(struct vm *vm, void *buf, unsigned long arg)
{
	return coalesced_unregister(vm, buf);
}

static int do_create_pit2(struct vm *vm, void *buf, unsigned long arg)
{
	if (vm->irq.pit)
		return -EEXIST;
	if (vm->irq.mode != IRQCHIP_KERNEL)
		return -ENOENT;
	/* KVM's word for whatever went wrong. */
	return pit_create(vm, buf) ? -ENOMEM : 0;
}

static int do_create_pit(struct vm *vm, void *buf, unsigned long arg)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };

	return do_create_pit2(vm, &config, arg);
}

static int do_get_pit2(struct vm *vm, void *buf, unsigned long arg)
{
	return vm->irq.pit ? pit_get(vm, buf) : -ENXIO;
}

static int do_set_pit2(struct vm *vm, void *buf, unsigned long arg)
{
	return vm->irq.pit ? pit_set(vm, buf) : -ENXIO;
}

/* The forms of before the flags, which they leave as they are. */
static int do_get_pit(struct vm *vm, void *buf, unsigned long arg)
{
	struct kvm_pit_state2 state;
	int err = do_get_pit2(vm, &state, arg);

	if (!err)
		memcpy(buf, state.channels, sizeof(struct kvm_pit_state));
	return err;
}

static int do_set_pit(struct vm *vm, void *buf, unsigned long arg)
{
	struct kvm_pit_state2 state;
	int err = do_get_pit2(vm, &state, arg);

	if (err)
		return err;
	memcpy(state.channels, buf, sizeof(state.channels));
	return do_set_pit2(vm, &state, arg);
}

/* Its number tells no size. */
static int do_reinject(struct vm *vm, void __user *argp)
{
	struct kvm_reinject_control control;

	if (copy_from_user(&control, argp, sizeof(control)))
		return -EFAULT;
	if (!vm->irq.pit)
		return -ENXIO;
	return pit_set_reinject(vm, control.pit_reinject);
}

static int do_set_boot_cpu(struct vm *vm, void *buf, unsigned long arg)
{
	if (atomic_read(&vm->nr_vcpus))
		return -EBUSY;
	if (arg > vm->max_vcpu_id)
		return -EINVAL;
	vm->bsp_id = arg;
	return 0;
}

/* KVM's limit is on shadow pages, of which second-stage tables need none. */
static int do_set_nr_mmu_pages(struct vm *vm, void *buf, unsigned long pages)
{
	return pages < MIN_MMU_PAGES ? -EINVAL : 0;
}

/* No device of KVM_CREATE_DEVICE is offered. */
static int do_create_device(struct vm *vm, void *buf, unsigned long arg)
{
	return -ENODEV;
}

static int do_get_clock(struct vm *vm, void *buf, unsigned long arg)
{
	return vm_clock_get(vm, buf);
}

static int do_set_clock(struct vm *vm, void *buf, unsigned long arg)
{
	return vm_clock_set(vm, buf);
}

static int do_set_tsc_khz(struct vm *vm, void *buf, unsigned long khz)
{
	return vm_set_tsc_khz(vm, (u32)khz);
}

static int do_get_tsc_khz(struct vm *vm, void *buf, unsigned long arg)
{
	return vm->default_tsc_khz;
}

/* With pointers of 32 bits the structure has another size, and so the ioctl another number. */
#define SET_MSR_FILTER_32	_IOW(KVMIO, 0xc6, struct msr_filter_32)

static int do_msr_filter(struct vm *vm, void __user *argp)
{
	return msr_filter_set(vm, argp);
}

static int do_msr_filter_32(struct vm *vm, void __user *argp)
{
	return in_compat_syscall() ? msr_filter_set_32(vm, argp) : -ENOTTY;
}

static int do_stats_fd(struct vm *vm, void *buf, unsigned long arg)
{
	return vm_stats_fd(vm);
}

#define VM_IOCTL(nr, how, hold, handler) \
	{ .cmd = (nr), .arg = ARG_##how, .lock = LOCK_##hold, .vm = (handler) }
#define VM_IOCTL_RAW(nr, hold, handler) \
	{ .cmd = (nr), .arg = ARG_RAW, .lock = LOCK_##hold, .vm_raw = (handler) }

static const struct ioctl_row vm_ioctls[] = {
	VM_IOCTL(KVM_CHECK_EXTENSION, NONE, NONE, do_check_extension),
	VM_IOCTL(KVM_ENABLE_CAP, IN, VM, do_enable_cap),
	VM_IOCTL(KVM_CREATE_VCPU, NONE, VM, do_create_vcpu),
	VM_IOCTL(KVM_SET_USER_MEMORY_REGION, IN, NONE, do_set_region),
	VM_IOCTL(KVM_SET_USER_MEMORY_REGION2, IN, NONE, do_set_region2),
	VM_IOCTL(KVM_GET_DIRTY_LOG, IN, NONE, do_get_dirty_log),
	VM_IOCTL(KVM_CLEAR_DIRTY_LOG, IN, NONE, do_clear_dirty_log),
	VM_IOCTL(KVM_RESET_DIRTY_RINGS, NONE, VM, do_reset_rings),
	VM_IOCTL(KVM_SET_TSS_ADDR, NONE, VM, do_set_tss_addr),
	VM_IOCTL_RAW(KVM_SET_IDENTITY_MAP_ADDR, VM, do_set_identity_map),
	VM_IOCTL(KVM_CREATE_IRQCHIP, NONE, VM, do_create_irqchip),
	VM_IOCTL(KVM_GET_IRQCHIP, INOUT, NONE, do_get_irqchip),
	VM_IOCTL(KVM_SET_IRQCHIP, IN, NONE, do_set_irqchip),
	VM_IOCTL(KVM_IRQ_LINE, IN, NONE, do_irq_line),
	VM_IOCTL(KVM_IRQ_LINE_STATUS, INOUT, NONE, do_irq_line_status),
	VM_IOCTL_RAW(KVM_SET_GSI_ROUTING, NONE, do_set_routing),
	VM_IOCTL(KVM_SIGNAL_MSI, IN, NONE, do_signal_msi),
	VM_IOCTL(KVM_IRQFD, IN, NONE, do_irqfd),
	VM_IOCTL(KVM_IOEVENTFD, IN, NONE, do_ioeventfd),
	VM_IOCTL(KVM_REGISTER_COALESCED_MMIO, IN, NONE, do_coalesce),
	VM_IOCTL(KVM_UNREGISTER_COALESCED_MMIO, IN, NONE, do_uncoalesce),
	VM_IOCTL(KVM_CREATE_PIT, NONE, VM, do_create_pit),
	VM_IOCTL(KVM_CREATE_PIT2, IN, VM, do_create_pit2),
	VM_IOCTL(KVM_GET_PIT, INOUT, VM, do_get_pit),
	VM_IOCTL(KVM_SET_PIT, IN, VM, do_set_pit),
	VM_IOCTL(KVM_GET_PIT2, OUT, VM, do_get_pit2),
	VM_IOCTL(KVM_SET_PIT2, IN, VM, do_set_pit2),
	VM_IOCTL_RAW(KVM_REINJECT_CONTROL, VM, do_reinject),
	VM_IOCTL(KVM_SET_BOOT_CPU_ID, NONE, VM, do_set_boot_cpu),
	VM_IOCTL(KVM_SET_NR_MMU_PAGES, NONE, NONE, do_set_nr_mmu_pages),
	VM_IOCTL(KVM_CREATE_DEVICE, IN, NONE, do_create_device),
	VM_IOCTL(KVM_GET_CLOCK, OUT, NONE, do_get_clock),
	VM_IOCTL(KVM_SET_CLOCK, IN, NONE, do_set_clock),
	VM_IOCTL(KVM_SET_TSC_KHZ, NONE, VM, do_set_tsc_khz),
	VM_IOCTL(KVM_GET_TSC_KHZ, NONE, NONE, do_get_tsc_khz),
	VM_IOCTL_RAW(KVM_X86_SET_MSR_FILTER, VM, do_msr_filter),
	VM_IOCTL_RAW(SET_MSR_FILTER_32, VM, do_msr_filter_32),
	VM_IOCTL(KVM_GET_STATS_FD, NONE, NONE, do_stats_fd),
};

static int vm_dispatch(struct vm *vm, const struct ioctl_row *row, void *buf,
		       unsigned long arg)
{
	int r;

	if (row->lock == LOCK_VM)
		mutex_lock(&vm->lock);
	if (row->arg == ARG_RAW)
		r = row->vm_raw(vm, (void __user *)arg);
	else
		r = row->vm(vm, buf, arg);
	if (row->lock == LOCK_VM)
		mutex_unlock(&vm->lock);
	return r;
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct vm *vm = file->private_data;
	const struct ioctl_row *row;
	struct ioctl_buf buf;
	int r;

	if (vm->mm != current->mm || READ_ONCE(vm->dead))
		return -EIO;
	row = ioctl_find(vm_ioctls, ARRAY_SIZE(vm_ioctls), cmd);
	if (!row)
		return -ENOTTY;
	r = ioctl_buf_get(&buf, row, arg);
	if (r)
		return r;
	r = vm_dispatch(vm, row, buf.data, arg);
	return ioctl_buf_put(&buf, row, arg, r);
}

static int vm_release(struct inode *inode, struct file *file)
{
	struct vm *vm = file->private_data;

	irq_vm_release(vm);
	vm_put(vm);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

int vm_open_fd(struct vm *vm)
{
	return anon_inode_getfd("kvm-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
}
