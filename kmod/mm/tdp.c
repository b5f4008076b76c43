// SPDX-License-Identifier: GPL-2.0-only
/*
 * Second-stage tables: what is done to entries that exist. Mapping is in
 * tdp_fault.c.
 *
 * Entries become non-present and tables are unlinked only with tdp_lock held
 * for writing, so a walk under the lock, for reading or writing, never meets a
 * page that is freed under it. The hardware's walkers know no lock: a table
 * page goes back to the kernel only after the flush that follows its
 * unlinking, and keeps its contents until then.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>

#include "../vmm.h"
#include "tdp.h"

bool eager_page_split = true;
module_param(eager_page_split, bool, 0644);
MODULE_PARM_DESC(eager_page_split,
		 "Split huge pages when dirty logging starts, not when the guest writes them");

/* At most so much is worked on in one section of tdp_lock. */
#define TDP_BATCH	tdp_pages(3)

void *tdp_alloc_table(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}

void tdp_free_table(void *table)
{
	free_page((unsigned long)table);
}

void tdp_flush(struct vm *vm)
{
	lockdep_assert_held_write(&vm->mem.tdp_lock);
	if (vm->mem.no_vcpus)
		return;
	/* Nobody else has tdp_lock to write. */
	WRITE_ONCE(vm->stats.remote_tlb_flush_requests, vm->stats.remote_tlb_flush_requests + 1);
	vm_request_all(vm, REQ_TLB_FLUSH);
	WRITE_ONCE(vm->stats.remote_tlb_flush, vm->stats.remote_tlb_flush + 1);
}

static void gather_table(struct tdp_gather *g, u64 *table)
{
	struct page *page = virt_to_page(table);

	if (page_private(page))
		nx_huge_remove(g->vm, page);
	set_page_private(page, (unsigned long)g->tables);
	g->tables = page;
}

void tdp_gather_end(struct tdp_gather *g)
	__releases(&g->vm->mem.tdp_lock)
{
	if (g->flush)
		tdp_flush(g->vm);
	write_unlock(&g->vm->mem.tdp_lock);
	while (g->tables) {
		struct page *page = g->tables;

		g->tables = (struct page *)page_private(page);
		set_page_private(page, 0);
		__free_page(page);
	}
}

/* Takes leave of everything below @entry, which is no longer linked. */
static void gather_subtree(struct tdp_gather *g, u64 entry, int level)
{
	const struct tdp_format *fmt = tdp_format();
	u64 *table;
	int i;

	if (tdp_is_leaf(fmt, entry, level)) {
		tdp_count_leaves(g->vm, level, -1);
		return;
	}
	table = tdp_table(entry);
	for (i = 0; i < TDP_ENTRIES; i++) {
		u64 child = READ_ONCE(table[i]);

		if (tdp_present(fmt, child))
			gather_subtree(g, child, level - 1);
	}
	gather_table(g, table);
}

void tdp_gather_zap(struct tdp_gather *g, struct tdp_iter *it)
{
	lockdep_assert_held_write(&g->vm->mem.tdp_lock);
	gather_subtree(g, tdp_xchg(it->entry, 0), it->level);
	it->val = 0;
	g->flush = true;
	tdp_stat(&g->vm->stats.mmu_zap, 1);
}

static bool iter_covered(const struct tdp_iter *it, gfn_t start)
{
	gfn_t base = tdp_iter_base(it);

	return base >= start && base + tdp_pages(it->level) <= it->end;
}

/*
 * Huge leaves that lie partly in the range go too: the rest of them faults in
 * again, and no right survives that the host wants back.
 */
static void zap_locked(struct tdp_gather *g, int as_id, gfn_t start, gfn_t end)
{
	struct tdp_iter it;

	for_each_tdp_entry(&it, tdp_format(), g->vm->mem.root_table[as_id], start, end) {
		if (!tdp_present(it.fmt, it.val))
			continue;
		if (tdp_iter_leaf(&it) || iter_covered(&it, start))
			tdp_gather_zap(g, &it);
	}
}

static void zap_batch(struct vm *vm, int as_id, gfn_t start, gfn_t end)
{
	struct tdp_gather g = { .vm = vm };

	write_lock(&vm->mem.tdp_lock);
	zap_locked(&g, as_id, start, end);
	tdp_gather_end(&g);
}

static void zap_by(struct vm *vm, int as_id, gfn_t start, gfn_t end, gfn_t batch,
		   bool may_sleep)
{
	gfn_t next;

	end = min(end, tdp_gfn_limit());
	for (; start < end; start = next) {
		next = min(end, round_down(start, batch) + batch);
		zap_batch(vm, as_id, start, next);
		if (may_sleep)
			cond_resched();
	}
}

void tdp_zap(struct vm *vm, int as_id, gfn_t start, gfn_t end, bool may_sleep)
{
	zap_by(vm, as_id, start, end, TDP_BATCH, may_sleep);
}

/*
 * What the slots have goes in steps; then whole entries of the root, so that no table is left.
 * Nobody changes slots: the process is at its end, or the VM's last reference is gone.
 */
void tdp_zap_all(struct vm *vm)
{
	gfn_t batch = tdp_pages(tdp_format()->levels);
	struct memslot *slot;
	unsigned long id;
	int as_id;

	for (as_id = 0; as_id < VMM_NR_AS; as_id++) {
		xa_for_each(&vm->mem.ids[as_id], id, slot)
			tdp_zap(vm, as_id, slot->base_gfn, memslot_gfn_end(slot), true);
		zap_by(vm, as_id, 0, tdp_gfn_limit(), batch, true);
	}
}

/* Takes from a leaf what lets the guest write without notice. True if it was there. */
static bool watch_leaf(const struct tdp_iter *it)
{
	u64 unnoticed = it->level == 1 && tdp_hw_log() ? it->fmt->dirty : it->fmt->write;

	return tdp_iter_leaf(it) && tdp_clear(it->entry, unnoticed);
}

bool tdp_watch(struct vm *vm, int as_id, gfn_t start, gfn_t end)
{
	struct tdp_iter it;
	bool flush = false;

	lockdep_assert_held_write(&vm->mem.tdp_lock);
	for_each_tdp_entry(&it, tdp_format(), vm->mem.root_table[as_id], start, end)
		flush |= watch_leaf(&it);
	return flush;
}

/* One section of tdp_lock from @start on; where it ended. */
static gfn_t watch_section(struct vm *vm, int as_id, gfn_t start, gfn_t end)
{
	struct tdp_iter it;
	bool flush = false;

	write_lock(&vm->mem.tdp_lock);
	for_each_tdp_entry(&it, tdp_format(), vm->mem.root_table[as_id], start, end) {
		if (tdp_section_over(vm, &it, start))
			break;
		flush |= watch_leaf(&it);
	}
	if (flush)
		tdp_flush(vm);
	write_unlock(&vm->mem.tdp_lock);
	return it.gfn;
}

void tdp_watch_slot(struct vm *vm, const struct memslot *slot)
{
	gfn_t gfn = slot->base_gfn, end = memslot_gfn_end(slot);

	while (gfn < end) {
		gfn = watch_section(vm, slot->as_id, gfn, end);
		cond_resched();
	}
}

/* Is there a table of @level at @it where a fault would map something as large? */
static bool collapsible(struct vm *vm, const struct memslot *slot,
			const struct tdp_iter *it, int level)
{
	if (it->level != level || !tdp_is_table(it->fmt, it->val, it->level))
		return false;
	if (tdp_slot_level(slot, it->gfn) < level)
		return false;
	return tdp_host_level(vm->mm, memslot_hva(slot, it->gfn)) >= level;
}

static gfn_t collapse_section(struct vm *vm, const struct memslot *slot, int level,
			      gfn_t start, gfn_t end)
{
	struct tdp_gather g = { .vm = vm };
	struct tdp_iter it;

	write_lock(&vm->mem.tdp_lock);
	for_each_tdp_entry(&it, tdp_format(), vm->mem.root_table[slot->as_id], start, end) {
		if (tdp_section_over(vm, &it, start))
			break;
		if (collapsible(vm, slot, &it, level))
			tdp_gather_zap(&g, &it);
		if (it.level == level)
			tdp_iter_stay_up(&it);
	}
	tdp_gather_end(&g);
	return it.gfn;
}

/* From below, so that a table of the next level has but entries of its own to be zapped. */
void tdp_zap_collapsible(struct vm *vm, const struct memslot *slot)
{
	gfn_t gfn, end = memslot_gfn_end(slot);
	int level;

	for (level = 2; level <= tdp_format()->max_leaf_level; level++) {
		for (gfn = slot->base_gfn; gfn < end; cond_resched())
			gfn = collapse_section(vm, slot, level, gfn, end);
	}
}

/* For hardware without A bits a present entry counts as accessed. */
static bool young_by_zap(struct vm *vm, int as_id, gfn_t start, gfn_t end)
{
	struct tdp_gather g = { .vm = vm };

	write_lock(&vm->mem.tdp_lock);
	zap_locked(&g, as_id, start, end);
	tdp_gather_end(&g);
	return g.flush;
}

bool tdp_age(struct vm *vm, int as_id, gfn_t start, gfn_t end, bool clear)
{
	const struct tdp_format *fmt = tdp_format();
	struct tdp_iter it;
	bool young = false;

	if (!fmt->accessed && clear)
		return young_by_zap(vm, as_id, start, end);
	read_lock(&vm->mem.tdp_lock);
	for_each_tdp_entry(&it, fmt, vm->mem.root_table[as_id], start, end) {
		if (!tdp_iter_leaf(&it))
			continue;
		if (clear)
			young |= tdp_clear(it.entry, fmt->accessed);
		else
			young |= !fmt->accessed || (it.val & fmt->accessed);
	}
	read_unlock(&vm->mem.tdp_lock);
	return young;
}

/*
 * No flush: the translations stay what they were, and the processor may hold
 * the old one. Where pages may not be huge and executable at once the huge leaf
 * was not executable, so the erratum's mix of sizes cannot be fetched through.
 */
bool tdp_split(struct vm *vm, struct tdp_iter *it, void *table)
{
	bool exec = tdp_may_exec(it->fmt, it->val) || nx_huge_on(vm);
	u64 *child = table, old = it->val;
	int i;

	lockdep_assert_held(&vm->mem.tdp_lock);
	for (i = 0; i < TDP_ENTRIES; i++) {
		child[i] = tdp_make_child(it->fmt, old, it->level, i);
		if (it->level == 2)
			child[i] = tdp_set_exec(it->fmt, child[i], exec);
	}
	it->val = tdp_make_table(it->fmt, table);
	if (!tdp_cmpxchg(it->entry, &old, it->val)) {
		it->val = old;
		clear_page(table);
		return false;
	}
	tdp_count_leaves(vm, it->level, -1);
	tdp_count_leaves(vm, it->level - 1, TDP_ENTRIES);
	tdp_stat(&vm->stats.mmu_split, 1);
	return true;
}

/* Tables allocated ahead, because under tdp_lock nothing sleeps. */
struct tdp_stock {
	void *table[32];
	int nr;
};

static bool stock_up(struct tdp_stock *stock)
{
	while (stock->nr < ARRAY_SIZE(stock->table)) {
		void *table = tdp_alloc_table();

		if (!table)
			break;
		stock->table[stock->nr++] = table;
	}
	return stock->nr;
}

/* One section; where it ended: at @end, for others, or at a leaf that lacks a table. */
static gfn_t split_section(struct vm *vm, int as_id, gfn_t start, gfn_t end,
			   struct tdp_stock *stock)
{
	struct tdp_iter it;

	read_lock(&vm->mem.tdp_lock);
	for_each_tdp_entry(&it, tdp_format(), vm->mem.root_table[as_id], start, end) {
		if (tdp_section_over(vm, &it, start))
			break;
		while (stock->nr && it.level > 1 && tdp_iter_leaf(&it)) {
			if (tdp_split(vm, &it, stock->table[stock->nr - 1]))
				stock->nr--;
		}
		if (it.level > 1 && tdp_iter_leaf(&it))
			break;
		if (it.level == 2)
			tdp_iter_stay_up(&it);
	}
	read_unlock(&vm->mem.tdp_lock);
	return it.gfn;
}

void tdp_split_range(struct vm *vm, int as_id, gfn_t start, gfn_t end)
{
	struct tdp_stock stock = {};

	for (;;) {
		start = split_section(vm, as_id, start, end, &stock);
		if (start >= end)
			break;
		cond_resched();
		if (!stock_up(&stock))
			break;
	}
	while (stock.nr)
		tdp_free_table(stock.table[--stock.nr]);
}

/* A page for each root, used or not, is cheaper than to ask at each walk whether it is there. */
int tdp_create(struct vm *vm)
{
	struct vm_mm *mem = &vm->mem;
	int as_id;

	rwlock_init(&mem->tdp_lock);
	for (as_id = 0; as_id < VMM_NR_AS; as_id++) {
		mem->root_table[as_id] = tdp_alloc_table();
		if (!mem->root_table[as_id])
			return -ENOMEM;
		mem->root[as_id] = __sme_set(__pa(mem->root_table[as_id]));
	}
	return 0;
}

void tdp_destroy(struct vm *vm)
{
	struct vm_mm *mem = &vm->mem;
	int as_id;

	/* The last one is there when creation was complete; before, nothing is mapped. */
	if (mem->root_table[VMM_NR_AS - 1])
		tdp_zap_all(vm);
	for (as_id = 0; as_id < VMM_NR_AS; as_id++) {
		if (mem->root_table[as_id])
			tdp_free_table(mem->root_table[as_id]);
		mem->root_table[as_id] = NULL;
	}
}
