// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parts of compat.h that need a body.
 *
 * Kernel symbols with a story, and what we do where they are missing:
 *	cpu_emergency_register_virt_callback	6.1-6.12; the 7.x core switches
 *		virtualization off by itself, looking at the real EFER and CR4
 *	register_syscore_ops -> register_syscore (6.19, and in stable updates of 6.12:
 *		Kbuild looks at the header)
 *	cr4_update_irqsoff	exported to any GPL module up to 6.x only; without it
 *		VT-x cannot be left on with a true CR4 shadow, so vmx refuses to load
 *	xfer_to_guest_mode_handle_work	wants a struct kvm_vcpu up to 6.17: it only
 *		stores KVM_EXIT_INTR and a counter there when a signal is pending, so
 *		it gets a scratch one
 */
#include <linux/kvm_host.h>
#include <linux/syscore_ops.h>
#include <asm/reboot.h>
#include <asm/tlbflush.h>

#include "compat.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#include <linux/entry-virt.h>
#else
#include <linux/entry-kvm.h>
#endif

static int (*power_suspend)(void);
static void (*power_resume)(void);
static void (*power_emergency)(void);

#ifdef VMM_HAVE_STRUCT_SYSCORE
static int compat_suspend(void *data)
{
	return power_suspend();
}

static void compat_resume(void *data)
{
	power_resume();
}

static const struct syscore_ops power_ops = {
	.suspend = compat_suspend,
	.resume = compat_resume,
};

static struct syscore power_syscore = { .ops = &power_ops };

static void compat_syscore(bool on)
{
	if (on)
		register_syscore(&power_syscore);
	else
		unregister_syscore(&power_syscore);
}
#else
static int compat_suspend(void)
{
	return power_suspend();
}

static void compat_resume(void)
{
	power_resume();
}

static struct syscore_ops power_ops = {
	.suspend = compat_suspend,
	.resume = compat_resume,
};

static void compat_syscore(bool on)
{
	if (on)
		register_syscore_ops(&power_ops);
	else
		unregister_syscore_ops(&power_ops);
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
static void compat_emergency(void)
{
	power_emergency();
}

static void compat_crash(bool on)
{
	if (on)
		cpu_emergency_register_virt_callback(compat_emergency);
	else
		cpu_emergency_unregister_virt_callback(compat_emergency);
}
#else
static void compat_crash(bool on)
{
}
#endif

int compat_power_register(int (*suspend)(void), void (*resume)(void),
			  void (*emergency)(void))
{
	power_suspend = suspend;
	power_resume = resume;
	power_emergency = emergency;
	compat_syscore(true);
	compat_crash(true);
	return 0;
}

void compat_power_unregister(void)
{
	compat_crash(false);
	compat_syscore(false);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
int compat_cr4_set(unsigned long bits)
{
	cr4_set_bits(bits);
	return 0;
}

void compat_cr4_clear(unsigned long bits)
{
	cr4_clear_bits(bits);
}
#else
int compat_cr4_set(unsigned long bits)
{
	return -EOPNOTSUPP;
}

void compat_cr4_clear(unsigned long bits)
{
}
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
int compat_guest_mode_work(void)
{
	return xfer_to_guest_mode_handle_work();
}
#else
static struct kvm_run scratch_run;
static struct kvm_vcpu scratch_vcpu = { .run = &scratch_run };

int compat_guest_mode_work(void)
{
	return xfer_to_guest_mode_handle_work(&scratch_vcpu);
}
#endif

bool compat_guest_mode_work_pending(void)
{
	return __xfer_to_guest_mode_work_pending();
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static int pfnmap_look(struct vm_area_struct *vma, unsigned long addr, struct vmm_pfnmap *map)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int r = follow_pfnmap_start(&args);

	if (r)
		return r;
	map->pfn = args.pfn;
	map->writable = args.writable;
	map->cached = !(pgprot_val(args.pgprot) & _PAGE_CACHE_MASK);
	follow_pfnmap_end(&args);
	return 0;
}
#else
static int pfnmap_look(struct vm_area_struct *vma, unsigned long addr, struct vmm_pfnmap *map)
{
	spinlock_t *ptl;
	pte_t *ptep, pte;
	int r = follow_pte(vma->vm_mm, addr, &ptep, &ptl);

	if (r)
		return r;
	pte = *ptep;
	map->pfn = pte_pfn(pte);
	map->writable = pte_write(pte);
	map->cached = !(pte_val(pte) & _PAGE_CACHE_MASK);
	pte_unmap_unlock(ptep, ptl);
	return 0;
}
#endif

int vmm_follow_pfnmap(struct vm_area_struct *vma, unsigned long addr, bool write,
		      struct vmm_pfnmap *map)
{
	bool unlocked = false;
	int r = pfnmap_look(vma, addr, map);

	if (!r && (!write || map->writable))
		return 0;
	r = fixup_user_fault(vma->vm_mm, addr, write ? FAULT_FLAG_WRITE : 0, &unlocked);
	if (unlocked)
		return -EAGAIN;	/* @vma may be gone */
	return r ? r : pfnmap_look(vma, addr, map);
}
