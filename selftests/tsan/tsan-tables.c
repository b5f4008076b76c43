// SPDX-License-Identifier: GPL-2.0-only
/*
 * The second-stage tables: kmod/mm but for what reads guest memory, with vCPUs
 * that walk the tables as the hardware does, A and D bits and a TLB included,
 * beside a process that moves its pages, and user space that changes slots and
 * harvests what was dirtied.
 *
 * Each vCPU has a word of its own in every page, counts it up, and knows what
 * it must hold: a write that went to a page which was on its way out is missing
 * afterwards. A page, or a table, that is still used after it was freed races
 * with its overwriting. User space keeps a copy of the memory by the dirty log
 * alone; at the end of each round, with the vCPUs at rest, it must be complete.
 */
#include <sched.h>

#include "host-mem.h"
#include "mm/tdp.h"
#include "peek-nx.h"
#include "stress.h"
#include "vm.h"

#define VCPUS		2
#define TLB		64
#define ALIAS_GFN	0x100000ull	/* of slot 1: the last block, read-only in effect */
#define HW_LOG		16

/* EPT's (SDM 29.3), with A and D. */
struct vmm_vendor_caps vendor_caps = {
	.tdp = {
		.read = 1, .write = 2, .exec = 4, .present = 7, .accessed = BIT(8), .dirty = BIT(9),
		.leaf = BIT(7), .table_bits = 7, .memtype_wb = 6 << 3, .levels = 4,
		.max_leaf_level = 2, .maxphyaddr = 46,
	},
};

struct cpu {
	struct vcpu vcpu;		/* first */
	struct { gfn_t gfn; u64 entry; bool valid; } tlb[TLB];
	u64 log[HW_LOG];		/* the hardware's */
	unsigned int nr_log;
	bool logs;
	u64 val[HOST_PAGES];		/* what its words hold */
	unsigned long faults, in_place, writes, lost_slot;
};

static struct {
	struct vm vm;			/* first */
	struct clock clock;
	struct mm_struct mm;
	struct cpu cpu[VCPUS];
	pthread_rwlock_t rest;		/* vCPUs work with it, for reading */
	u64 copy[HOST_PAGES][HOST_WORDS];
	bool dirty[HOST_PAGES];		/* harvested, to be copied */
	u32 fetch[VCPUS];		/* user space's place in the rings */
	unsigned long host_steps, vcpu_steps; /* (a) */
	unsigned long copied, rounds;
} t;

/* -------- hardware -------- */

enum outcome { DONE, FAULT, AGAIN };

static bool allows(u64 entry, u32 access)
{
	const struct tdp_format *fmt = tdp_format();

	return (entry & fmt->read) && (!(access & TDP_ACCESS_WRITE) || (entry & fmt->write)) &&
	       (!(access & TDP_ACCESS_FETCH) || (entry & fmt->exec));
}

/* The leaf of @gfn with the bits set that the access sets; 0: fault. */
static u64 walk(struct cpu *c, gfn_t gfn, u32 access)
{
	const struct tdp_format *fmt = tdp_format();
	u64 *entry, old, want;
	int level = fmt->levels;
	u64 *table = t.vm.mem.root_table[0];

	for (;;) {
		entry = &table[(gfn >> (9 * (level - 1))) % 512];
		old = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
		if (!(old & fmt->present))
			return 0;
		if (level > 1 && !(old & fmt->leaf)) {
			table = shim_page_address(shim_page((old & TDP_ADDR_MASK) >> PAGE_SHIFT));
			level--;
			continue;
		}
		if (!allows(old, access))
			return 0;
		want = old | fmt->accessed | (access & TDP_ACCESS_WRITE ? fmt->dirty : 0);
		/* Changed meanwhile: read again, as a table may stand there now. */
		if (__atomic_compare_exchange_n(entry, &old, want, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			break;
	}
	if (c->logs && (want & ~old & fmt->dirty))
		c->log[c->nr_log++] = gfn << PAGE_SHIFT;
	/* A huge one is cached by small pages, each with its own address. */
	if (level == 2)
		want += (gfn % 512) << PAGE_SHIFT;
	return want;
}

static u64 translate(struct cpu *c, gfn_t gfn, u32 access)
{
	u64 entry;

	if (c->tlb[gfn % TLB].valid && c->tlb[gfn % TLB].gfn == gfn) {
		entry = c->tlb[gfn % TLB].entry;
		/* A write through a translation without D walks again, as it has to set it. */
		if (allows(entry, access) &&
		    (!(access & TDP_ACCESS_WRITE) || (entry & tdp_format()->dirty)))
			return entry;
	}
	entry = walk(c, gfn, access);
	c->tlb[gfn % TLB].valid = entry;
	c->tlb[gfn % TLB].gfn = gfn;
	c->tlb[gfn % TLB].entry = entry;
	return entry;
}

/* The guest's load or store of its word of a page. */
static enum outcome touch(struct cpu *c, gfn_t gfn, unsigned int page, u32 access)
{
	u64 entry = translate(c, gfn, access), *word;

	if (!entry)
		return FAULT;
	word = shim_page_address(shim_page((entry & TDP_ADDR_MASK) >> PAGE_SHIFT));
	word += c->vcpu.index;
	if (access & TDP_ACCESS_WRITE)
		__atomic_store_n(word, ++c->val[page], __ATOMIC_RELAXED);
	else if (__atomic_load_n(word, __ATOMIC_RELAXED) != c->val[page])
		shim_bug(__FILE__, __LINE__, "vCPU %u wrote %#llx to page %u and finds %#llx",
			 c->vcpu.index, c->val[page], page, *word);
	return DONE;
}

static void empty_log(struct cpu *c)
{
	if (c->nr_log)
		mm_log_written(&c->vcpu, c->log, c->nr_log);
	c->nr_log = 0;
}

/* -------- a stay: run.c's protocol -------- */

static void take_requests(struct cpu *c)
{
	if (vcpu_take_request(&c->vcpu, REQ_TLB_FLUSH))
		memset(c->tlb, 0, sizeof(c->tlb));
	if (vcpu_take_request(&c->vcpu, REQ_DIRTY_LOG))
		c->logs = vendor_caps.dirty_log_size && mm_logs_dirty(&t.vm.mem);
	vcpu_take_request(&c->vcpu, REQ_DIRTY_RING);
}

static enum outcome enter(struct cpu *c, gfn_t gfn, unsigned int page, u32 access)
{
	enum outcome done;

	preempt_disable();
	WRITE_ONCE(c->vcpu.cpu, smp_processor_id());
	vcpu_set_state(&c->vcpu, VCPU_LOADED);
	local_irq_disable();
	vcpu_set_state(&c->vcpu, VCPU_IN_GUEST);
	if (READ_ONCE(c->vcpu.requests))
		take_requests(c);
	done = touch(c, gfn, page, access);
	empty_log(c);
	if (done == FAULT && tdp_fault_atomic(&c->vcpu, gfn << PAGE_SHIFT, access) == TDP_RETRY) {
		c->in_place++;
		done = AGAIN;
	}
	vcpu_set_state(&c->vcpu, VCPU_LOADED);
	local_irq_enable();
	vcpu_set_state(&c->vcpu, VCPU_OUTSIDE);
	preempt_enable();
	return done;
}

static void access_page(struct cpu *c, gfn_t gfn, unsigned int page, u32 access)
{
	int r = TDP_RETRY, idx;
	enum outcome done;

	while (r == TDP_RETRY) {
		done = enter(c, gfn, page, access);
		if (done == DONE) {
			c->writes += access == TDP_ACCESS_WRITE;
			return;
		}
		c->faults++;
		if (done == AGAIN)
			continue;
		idx = srcu_read_lock(&t.vm.srcu);
		r = tdp_fault(&c->vcpu, gfn << PAGE_SHIFT, access);
		srcu_read_unlock(&t.vm.srcu, idx);
	}
	/* The slot went. */
	NEVER(r != TDP_MMIO);
	c->lost_slot++;
}

/* Few pages, so that the threads meet; of all blocks. */
static unsigned int some_page(void)
{
	return stress_rnd() % HOST_BLOCKS * BLOCK_PAGES + stress_rnd() % 6 * 37;
}

static void vcpu_step(struct cpu *c)
{
	static const u32 accesses[] = { TDP_ACCESS_READ, TDP_ACCESS_WRITE, TDP_ACCESS_WRITE, TDP_ACCESS_FETCH };
	unsigned int page = some_page();
	u32 access = accesses[stress_rnd() % 4];

	if (access == TDP_ACCESS_READ && page / BLOCK_PAGES == HOST_BLOCKS - 1 && stress_rnd() % 2)
		access_page(c, ALIAS_GFN + page % BLOCK_PAGES, page, access);
	else
		access_page(c, page, page, access);
}

/* A ring that is full stops its vCPU, until it is harvested. */
static bool may_run(struct cpu *c)
{
	return !c->vcpu.ring.entries || !dirty_ring_full(&c->vcpu);
}

static void *run_vcpu(void *arg)
{
	struct cpu *c = arg;

	while (!stress_over()) {
		pthread_rwlock_rdlock(&t.rest);
		if (may_run(c))
			vcpu_step(c);
		pthread_rwlock_unlock(&t.rest);
		__atomic_add_fetch(&t.vcpu_steps, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* -------- the host -------- */

static void host_step(void)
{
	unsigned int page = some_page(), block = page / BLOCK_PAGES;

	switch (stress_rnd() % 64) {
	case 0 ... 5:
		host_collapse(block);
		break;
	case 6:
		host_split(block);
		break;
	case 7 ... 12:
		host_share_page(page);
		break;
	case 13 ... 20:
		host_age(page);
		break;
	case 21 ... 28:
		/* Tables that stand only for non-executable huge pages are given up again. */
		clock_run(&t.clock, ktime_get());
		break;
	default:
		host_move_page(page);
	}
}

static void *run_host(void *arg)
{
	while (!stress_over()) {
		host_step();
		__atomic_add_fetch(&t.host_steps, 1, __ATOMIC_RELAXED);
		sched_yield();
	}
	return NULL;
}

/* -------- user space -------- */

static void set_slot(u16 id, gfn_t base, unsigned int first, unsigned int n, u32 flags)
{
	NEVER(mm_set_region(&t.vm, &(struct kvm_userspace_memory_region2){
		.slot = id, .guest_phys_addr = base << PAGE_SHIFT, .memory_size = n * PAGE_SIZE,
		.userspace_addr = host_address(first), .flags = flags }));
}

static void copy_page(unsigned int page)
{
	unsigned int i;

	for (i = 0; i < HOST_WORDS; i++)
		t.copy[page][i] = host_word(page, i);
	t.copied++;
}

static void copy_dirty(void)
{
	unsigned int page;

	for (page = 0; page < HOST_PAGES; page++)
		if (t.dirty[page])
			copy_page(page);
	memset(t.dirty, 0, sizeof(t.dirty));
}

static void mark_bits(const unsigned long *bits)
{
	unsigned int page;

	for (page = 0; page < HOST_PAGES; page++)
		t.dirty[page] |= !!(bits[page / 64] & BIT(page % 64));
}

static void harvest_bitmap(void)
{
	unsigned long bits[HOST_PAGES / 64];
	struct kvm_dirty_log log = { .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .num_pages = HOST_PAGES, .dirty_bitmap = bits };

	NEVER(mm_get_dirty_log(&t.vm, &log));
	if (t.vm.mem.manual_protect)
		NEVER(mm_clear_dirty_log(&t.vm, &clear));
	mark_bits(bits);
}

/* Documentation/virt/kvm/api.rst, 8.29: the flags are acquired and released. */
static unsigned int harvest_ring(unsigned int n)
{
	struct dirty_ring *ring = &t.cpu[n].vcpu.ring;
	struct kvm_dirty_gfn *entry;
	unsigned int got = 0;

	for (;;) {
		entry = &ring->entries[t.fetch[n] % ring->size];
		if (__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			return got;
		if (!entry->slot)
			t.dirty[entry->offset] = true;
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		t.fetch[n]++;
		got++;
	}
}

static void harvest_rings(void)
{
	unsigned int got = 0;
	int i;

	for (i = 0; i < VCPUS; i++)
		got += harvest_ring(i);
	mutex_lock(&t.vm.lock);
	NEVER(mm_reset_dirty_rings(&t.vm) != (int)got);
	mutex_unlock(&t.vm.lock);
}

static void harvest(void)
{
	if (t.vm.mem.ring_bytes)
		harvest_rings();
	else
		harvest_bitmap();
	copy_dirty();
}

/* The vCPUs at rest: what was dirtied since is the rest of the copy. */
static void compare(void)
{
	unsigned int page, i;

	pthread_rwlock_wrlock(&t.rest);
	harvest();
	for (page = 0; page < HOST_PAGES; page++)
		for (i = 0; i < VCPUS; i++)
			if (t.copy[page][i] != t.cpu[i].val[page])
				shim_bug(__FILE__, __LINE__, "page %u, vCPU %u: the copy has %#llx, memory %#llx",
					 page, i, t.copy[page][i], t.cpu[i].val[page]);
	pthread_rwlock_unlock(&t.rest);
}

/* The others have got on; without ordering what they did. */
static void let_work(void)
{
	unsigned long host = __atomic_load_n(&t.host_steps, __ATOMIC_RELAXED);
	unsigned long vcpu = __atomic_load_n(&t.vcpu_steps, __ATOMIC_RELAXED);

	STRESS_WAIT(__atomic_load_n(&t.host_steps, __ATOMIC_RELAXED) > host + 5 &&
		    __atomic_load_n(&t.vcpu_steps, __ATOMIC_RELAXED) > vcpu + 100);
}

/* A slot that comes, goes and moves while others are used; the dirty log of slot 0, on and off. */
static void user_round(void)
{
	unsigned int i, first = (HOST_BLOCKS - 1) * BLOCK_PAGES;

	set_slot(1, ALIAS_GFN, first, BLOCK_PAGES, 0);
	set_slot(0, 0, 0, HOST_PAGES, KVM_MEM_LOG_DIRTY_PAGES);
	for (i = 0; i < HOST_PAGES; i++)
		copy_page(i);
	for (i = 0; i < 8; i++) {
		let_work();
		harvest();
		if (i == 3)
			set_slot(1, ALIAS_GFN + BLOCK_PAGES, first, BLOCK_PAGES, 0);
	}
	compare();
	set_slot(1, 0, first, 0, 0);
	set_slot(0, 0, 0, HOST_PAGES, 0);
	let_work();
	/* Rings are empty when the next round begins: what they said of before is of no use. */
	if (t.vm.mem.ring_bytes)
		harvest_rings();
	memset(t.dirty, 0, sizeof(t.dirty));
}

static void *run_user(void *arg)
{
	unsigned long i;

	for (i = 0; i < stress_rounds; i++)
		user_round();
	return NULL;
}

/* -------- one kind of machine -------- */

struct kind {
	const char *name;
	bool hw_log, ring, nx;
	u32 manual;
};

static void create_vcpu(unsigned int n)
{
	struct vcpu *vcpu = &t.cpu[n].vcpu;

	vcpu->vm = &t.vm;
	vcpu->id = n;
	vcpu->index = n;
	vcpu->cpu = -1;
	rcuwait_init(&vcpu->wait);
	NEVER(dirty_ring_create(vcpu));
	NEVER(xa_insert(&t.vm.vcpus, n, vcpu, GFP_KERNEL));
	vm_set_near_vcpu(&t.vm, n, vcpu);
	atomic_inc(&t.vm.nr_vcpus);
	vcpu_request(vcpu, REQ_DIRTY_LOG);
}

static void create(const struct kind *kind)
{
	pthread_rwlockattr_t attr;
	struct vm *vm = &t.vm;
	unsigned int i;

	memset(&t, 0, sizeof(t));
	clock_init(&t.clock);
	clock_current = &t.clock;
	current->mm = &t.mm;
	vm->mm = &t.mm;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&t.rest, &attr);
	shim_vm_init(vm);
	NEVER(mm_create(vm));
	vendor_caps.dirty_log_size = kind->hw_log ? HW_LOG : 0;
	vm->mem.manual_protect = kind->manual;
	peek_nx_set(kind->nx);
	if (kind->ring) {
		mutex_lock(&vm->lock);
		NEVER(dirty_ring_enable(vm, PAGE_SIZE));
		mutex_unlock(&vm->lock);
	}
	for (i = 0; i < VCPUS; i++)
		create_vcpu(i);
	host_create(&t.mm);
	set_slot(0, 0, 0, HOST_PAGES, 0);
}

static void destroy(void)
{
	struct vm *vm = &t.vm;
	unsigned int i;

	for (i = 0; i < VCPUS; i++)
		dirty_ring_destroy(&t.cpu[i].vcpu);
	for (i = 0; i < VCPUS; i++)
		mm_vcpu_destroy(&t.cpu[i].vcpu);
	mm_destroy(vm);
	NEVER(vm->stats.pages_4k || vm->stats.pages_2m || vm->stats.nx_lpage_splits);
	host_destroy();
	/* Neither tables nor pages are left over. */
	NEVER(shim_pages_used());
	xa_destroy(&vm->vcpus);
	cleanup_srcu_struct(&vm->srcu);
}

static void run(const struct kind *kind)
{
	unsigned int i;
	pthread_t others[VCPUS + 1];

	create(kind);
	stress_again();
	for (i = 0; i < VCPUS; i++)
		pthread_create(&others[i], NULL, run_vcpu, &t.cpu[i]);
	pthread_create(&others[VCPUS], NULL, run_host, NULL);
	stress_start(run_user, NULL);
	stress_join();
	stress_finish();
	for (i = 0; i <= VCPUS; i++)
		pthread_join(others[i], NULL);
	NEVER(!(t.cpu[0].in_place + t.cpu[1].in_place));
	printf("# %s: %lu and %lu writes, %lu (%lu in place) and %lu (%lu) faults, %lu pages copied, %llu splits, %llu flushes\n",
	       kind->name, t.cpu[0].writes, t.cpu[1].writes, t.cpu[0].faults, t.cpu[0].in_place,
	       t.cpu[1].faults, t.cpu[1].in_place, t.copied, t.vm.stats.mmu_split, t.vm.stats.remote_tlb_flush);
	destroy();
}

int main(int argc, char **argv)
{
	static const struct kind kinds[] = {
		{ "bitmaps", .nx = true },
		{ "bitmaps, cleared by hand", .manual = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE },
		{ "bitmaps, initially set", .nx = true,
		  .manual = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET },
		{ "bitmaps, hardware's log", .hw_log = true },
		{ "rings", .ring = true, .nx = true },
		{ "rings, hardware's log", .ring = true, .hw_log = true },
	};
	unsigned int i;

	stress_begin(argc, argv, 20);
	shim_arena(8 * HOST_PAGES);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		run(&kinds[i]);
	printf("ok 1 %lu rounds of %zu kinds\n", stress_rounds, ARRAY_SIZE(kinds));
	return 0;
}
