// SPDX-License-Identifier: GPL-2.0-only
/*
 * ITLB_MULTIHIT: on some CPUs a guest can hang the machine by changing the size
 * of a page while it fetches from it. With nx_huge_pages on, huge pages are
 * mapped non-executable, and the first fetch from one puts a table of smaller
 * pages in its place (tdp_fault.c). Each VM lists such tables by age; a share of
 * them is unlinked every period, so that what is code no more gets its huge
 * page back. A VM that has none has no work queued.
 *
 * The parameter may change under running guests. Faults read it under tdp_lock,
 * and whoever changes it zaps afterwards, with the lock held for writing: a fault
 * that went by the old value is undone, and all later ones see the new value.
 *
 * Where a table on the list belongs stands in its page->private: the first gfn
 * under it, whose low bits are 0, with address space and level of the entry
 * that links it. 0 is for tables that are on no list.
 */
#include <linux/capability.h>
#include <linux/cpu.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

#include "../vmm.h"
#include "tdp.h"

#define PLACE_LEVEL	GENMASK(2, 0)
#define PLACE_AS	BIT(3)
#define PLACE_GFN	(~GENMASK(8, 0))

static_assert(!(TDP_MAX_LEVELS & ~PLACE_LEVEL) && VMM_NR_AS == 2);

#define HOUR_MS		3600000u
#define NO_RECOVERY	U64_MAX

static int nx_huge = -1;	/* not given; nx_huge_init() decides */
static bool never;		/* the administrator has waived it until unload */
static unsigned int ratio = 60;
static unsigned int period_ms;

bool nx_huge_on(const struct vm *vm)
{
	return READ_ONCE(nx_huge) > 0 && !vm->mem.nx.waived;
}

/* Milliseconds between two rounds. No period of its own: about an hour for all of it. */
static u64 recovery_period(void)
{
	unsigned int share = READ_ONCE(ratio), ms = READ_ONCE(period_ms);

	if (READ_ONCE(nx_huge) <= 0 || !share)
		return NO_RECOVERY;
	return ms ?: HOUR_MS / min(share, 3600u);
}

static void schedule_recovery(struct vm *vm)
{
	u64 ms = recovery_period();

	if (ms != NO_RECOVERY)
		queue_delayed_work(vmm_unbound_wq, &vm->mem.nx.recovery, msecs_to_jiffies(ms));
}

/* -------- the list -------- */

void nx_huge_add(struct vm *vm, int as_id, const struct tdp_iter *it)
{
	struct page *page = virt_to_page(tdp_table(it->val));
	struct vm_nx_huge *nx = &vm->mem.nx;
	bool first;

	lockdep_assert_held(&vm->mem.tdp_lock);
	set_page_private(page, tdp_iter_base(it) | (as_id ? PLACE_AS : 0) | it->level);
	spin_lock(&nx->lock);
	first = list_empty(&nx->split);
	list_add_tail(&page->lru, &nx->split);
	/* recover() reads it without the lock. */
	WRITE_ONCE(vm->stats.nx_lpage_splits, vm->stats.nx_lpage_splits + 1);
	spin_unlock(&nx->lock);
	if (first)
		schedule_recovery(vm);
}

/* No fault adds while tdp_lock is held for writing. */
void nx_huge_remove(struct vm *vm, struct page *page)
{
	lockdep_assert_held_write(&vm->mem.tdp_lock);
	list_del(&page->lru);
	set_page_private(page, 0);
	WRITE_ONCE(vm->stats.nx_lpage_splits, vm->stats.nx_lpage_splits - 1);
}

static bool nothing_split(struct vm_nx_huge *nx)
{
	bool empty;

	spin_lock(&nx->lock);
	empty = list_empty(&nx->split);
	spin_unlock(&nx->lock);
	return empty;
}

/* -------- recovery -------- */

static void unlink_table(struct tdp_gather *g, struct page *page)
{
	unsigned long place = page_private(page);
	gfn_t gfn = place & PLACE_GFN;
	int as_id = !!(place & PLACE_AS);
	struct tdp_iter it;

	for_each_tdp_entry(&it, tdp_format(), g->vm->mem.root_table[as_id], gfn, gfn + 1) {
		if (it.level > (place & PLACE_LEVEL))
			continue;
		if (!VM_BROKEN(virt_to_page(tdp_table(it.val)) != page, g->vm))
			tdp_gather_zap(g, &it);
		break;
	}
}

/*
 * What is logged would come back in 4K pages; the end of the logging makes
 * them huge, these with all others.
 */
static void recover_one(struct tdp_gather *g, struct page *page)
{
	unsigned long place = page_private(page);
	struct memslot *slot = mm_slot(g->vm, !!(place & PLACE_AS), place & PLACE_GFN);

	if (slot && memslot_logged(slot))
		nx_huge_remove(g->vm, page);
	else
		unlink_table(g, page);
}

/* One section of tdp_lock. How many of @n are left to do. */
static unsigned long recover_some(struct vm *vm, unsigned long n)
{
	struct vm_mm *mem = &vm->mem;
	struct tdp_gather g = { .vm = vm };
	int idx = srcu_read_lock(&vm->srcu);

	write_lock(&mem->tdp_lock);
	while (n && !vm->dead && !list_empty(&mem->nx.split)) {
		n--;
		recover_one(&g, list_first_entry(&mem->nx.split, struct page, lru));
		if (tdp_lock_wanted(vm))
			break;
	}
	if (vm->dead || list_empty(&mem->nx.split))
		n = 0;
	tdp_gather_end(&g);
	srcu_read_unlock(&vm->srcu, idx);
	return n;
}

static void recover(struct work_struct *work)
{
	struct vm *vm = container_of(to_delayed_work(work), struct vm, mem.nx.recovery);
	unsigned int share = READ_ONCE(ratio);
	unsigned long n = 0;

	if (recovery_period() != NO_RECOVERY && share)
		n = DIV_ROUND_UP(READ_ONCE(vm->stats.nx_lpage_splits), share);
	while (n) {
		n = recover_some(vm, n);
		cond_resched();
	}
	if (!vm->dead && !nothing_split(&vm->mem.nx))
		schedule_recovery(vm);
}

void nx_huge_create(struct vm *vm)
{
	struct vm_nx_huge *nx = &vm->mem.nx;

	spin_lock_init(&nx->lock);
	INIT_LIST_HEAD(&nx->split);
	INIT_DELAYED_WORK(&nx->recovery, recover);
}

void nx_huge_destroy(struct vm *vm)
{
	cancel_delayed_work_sync(&vm->mem.nx.recovery);
}

/* The guest may then hang the machine: leave is given by whoever might reboot it. */
int nx_huge_waive(struct vm *vm, u64 arg)
{
	lockdep_assert_held(&vm->lock);
	if (!capable(CAP_SYS_BOOT))
		return -EPERM;
	if (arg || atomic_read(&vm->nr_vcpus))
		return -EINVAL;
	vm->mem.nx.waived = true;
	return 0;
}

/* -------- module parameters -------- */

static bool wanted_here(void)
{
	return boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
}

static void set_on(bool on)
{
	WRITE_ONCE(nx_huge, on);
	compat_report_itlb_multihit(on);
}

static void zap_slots(struct vm *vm)
{
	struct memslots *slots;
	unsigned int i;
	int as_id;

	mutex_lock(&vm->slots_lock);
	for (as_id = 0; as_id < VMM_NR_AS; as_id++) {
		slots = memslots_get(vm, as_id);
		for (i = 0; i < slots->nr; i++)
			tdp_zap(vm, as_id, slots->by_gfn[i]->base_gfn,
				memslot_gfn_end(slots->by_gfn[i]), true);
	}
	mutex_unlock(&vm->slots_lock);
}

static int parse(const char *val, bool *on)
{
	if (sysfs_streq(val, "force"))
		*on = true;
	else if (sysfs_streq(val, "auto"))
		*on = wanted_here();
	else if (sysfs_streq(val, "off") || sysfs_streq(val, "never"))
		*on = false;
	else
		return kstrtobool(val, on);
	return 0;
}

/* The kernel calls the parameters' functions one at a time. */
static int set_nx_huge(const char *val, const struct kernel_param *kp)
{
	bool was = nx_huge > 0, on;

	if (never)
		return -EPERM;
	if (parse(val, &on))
		return -EINVAL;
	if (sysfs_streq(val, "never")) {
		if (vms_exist())
			return -EBUSY;
		never = true;
	}
	set_on(on);
	if (on != was)
		vms_each(zap_slots);
	return 0;
}

static int get_nx_huge(char *buffer, const struct kernel_param *kp)
{
	if (never)
		return sysfs_emit(buffer, "never\n");
	return sysfs_emit(buffer, "%c\n", nx_huge > 0 ? 'Y' : 'N');
}

static void hasten_recovery(struct vm *vm)
{
	u64 ms = recovery_period();

	if (ms != NO_RECOVERY && !nothing_split(&vm->mem.nx))
		mod_delayed_work(vmm_unbound_wq, &vm->mem.nx.recovery, msecs_to_jiffies(ms));
}

static int set_recovery(const char *val, const struct kernel_param *kp)
{
	u64 before = recovery_period();
	int err = never ? -EPERM : param_set_uint(val, kp);

	if (!err && recovery_period() < before)
		vms_each(hasten_recovery);
	return err;
}

static const struct kernel_param_ops nx_huge_ops = {
	.set = set_nx_huge,
	.get = get_nx_huge,
};

static const struct kernel_param_ops recovery_ops = {
	.set = set_recovery,
	.get = param_get_uint,
};

module_param_cb(nx_huge_pages, &nx_huge_ops, &nx_huge, 0644);
__MODULE_PARM_TYPE(nx_huge_pages, "bool");
MODULE_PARM_DESC(nx_huge_pages, "Map huge pages non-executable, against ITLB_MULTIHIT: off, force, auto (default), never");
module_param_cb(nx_huge_pages_recovery_ratio, &recovery_ops, &ratio, 0644);
__MODULE_PARM_TYPE(nx_huge_pages_recovery_ratio, "uint");
MODULE_PARM_DESC(nx_huge_pages_recovery_ratio, "Part of the split huge pages made whole again each period: one in so many, 0 for none (default 60)");
module_param_cb(nx_huge_pages_recovery_period_ms, &recovery_ops, &period_ms, 0644);
__MODULE_PARM_TYPE(nx_huge_pages_recovery_period_ms, "uint");
MODULE_PARM_DESC(nx_huge_pages_recovery_period_ms, "That period; 0: an hour divided by the ratio (default)");

void __init nx_huge_init(void)
{
	if (nx_huge < 0)
		set_on(wanted_here());
}
