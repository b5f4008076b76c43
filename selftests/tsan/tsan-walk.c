// SPDX-License-Identifier: GPL-2.0-only
/*
 * The walk of a guest's own page tables, kmod/mm/walk.c and gpa.c, by two vCPUs
 * at once, while another thread changes the tables as a guest's kernel does, and
 * user space the slots.
 *
 * Each leaf says in its frame number how often it was changed, so a walk must
 * find a frame that was there while it lasted. The changes are exchanges: what
 * comes back is what was put there, with A and D at most. A walk that set its
 * bits by a plain store would bring old entries back.
 *
 * One more leaf leads to pages of code, whose words say which page it is. It is read by
 * what is remembered of the walk, as inside a stay. Their slot goes and comes back
 * elsewhere; what it had before is overwritten, and must never be read.
 */
#include <sched.h>

#include "cpuid.h"
#include "mm/tdp.h"
#include "regs_access.h"
#include "stress.h"
#include "vendor.h"
#include "vm.h"

#define RAM_PAGES	64
#define LEAVES		4	/* pages of the guest's that are walked to ... */
#define CODE		LEAVES	/* ... and the one that is read */
#define FRAMES		0x1000	/* first frame number, without memory: only an answer */
#define NR_FRAMES	0x1000
#define CODE_FRAMES	0x90000	/* of slot 2 */
#define NR_CODE		8
#define CODE_WORD	0xc0de00ull
#define GVA		0x123456789000ull

#define P		BIT_ULL(0)
#define W		BIT_ULL(1)
#define U		BIT_ULL(2)
#define A		BIT_ULL(5)
#define D		BIT_ULL(6)

struct vmm_vendor_caps vendor_caps = { .tdp = { .levels = 4, .max_leaf_level = 1, .maxphyaddr = 46 } };

static u8 ram[RAM_PAGES][PAGE_SIZE] __aligned(4096);

static struct {
	struct vm vm;
	struct clock clock;
	struct mm_struct mm;
	struct vcpu vcpu[2];
	u64 *leaf[LEAVES + 1];
	unsigned long changes[LEAVES + 1]; /* (a) that are done ... */
	unsigned long begun[LEAVES + 1]; /* (a) ... and begun */
	unsigned long walks, reads;	/* (a) the latter as they come */
} t;

/* -------- what the walk asks -------- */

u8 vcpu_maxphyaddr(struct vcpu *vcpu)
{
	return 46;
}

bool guest_cpuid_has(struct vcpu *vcpu, unsigned int feature)
{
	return true;
}

u32 vcpu_pkru(const struct vcpu *vcpu)
{
	return 0;
}

void regs_fetch(struct vcpu *vcpu, u32 groups)
{
	vcpu->regs.avail |= groups;
}

/* -------- the guest's kernel -------- */

static u64 entry(unsigned int i, unsigned long n)
{
	u64 frame = i == CODE ? CODE_FRAMES + n % NR_CODE : FRAMES + n % NR_FRAMES;

	return frame << PAGE_SHIFT | P | W | U;
}

static void change_leaf(unsigned int i)
{
	unsigned long n = t.changes[i];
	u64 old;

	__atomic_store_n(&t.begun[i], n + 1, __ATOMIC_SEQ_CST);
	old = __atomic_exchange_n(t.leaf[i], entry(i, n + 1), __ATOMIC_SEQ_CST);
	__atomic_store_n(&t.changes[i], n + 1, __ATOMIC_SEQ_CST);
	if ((old & ~(A | D)) != entry(i, n))
		shim_bug(__FILE__, __LINE__, "leaf %u was %#llx, and is %#llx", i, entry(i, n), old);
}

static void *change_tables(void *arg)
{
	unsigned long i;

	/* A fast machine would be done before the vCPUs have begun. */
	STRESS_WAIT(__atomic_load_n(&t.reads, __ATOMIC_RELAXED));
	for (i = 0; i < stress_rounds; i++) {
		change_leaf(stress_rnd() % (LEAVES + 1));
		if (i % 8 == 0)
			sched_yield();
	}
	return NULL;
}

/* -------- vCPUs -------- */

static void check(unsigned int i, u32 flags, gpa_t gpa, unsigned long first)
{
	u64 bits = flags & WALK_WRITE ? A | D : A, now = __atomic_load_n(t.leaf[i], __ATOMIC_SEQ_CST);
	unsigned long last = __atomic_load_n(&t.begun[i], __ATOMIC_SEQ_CST);
	unsigned long frame = (gpa >> PAGE_SHIFT) - FRAMES;

	if (last - first < NR_FRAMES && (frame - first) % NR_FRAMES > last - first)
		shim_bug(__FILE__, __LINE__, "leaf %u: frame %#lx, which was not there from %#lx to %#lx",
			 i, frame, first % NR_FRAMES, last % NR_FRAMES);
	/* Nobody has changed it since the walk began: it has the walk's bits. */
	if (last == first)
		NEVER((now & bits) != bits);
}

static void walk_to(struct vcpu *vcpu, unsigned int i, u32 flags)
{
	unsigned long first = __atomic_load_n(&t.changes[i], __ATOMIC_SEQ_CST);
	struct walk_fault fault;
	gpa_t gpa;
	int r, idx;

	idx = srcu_read_lock(&t.vm.srcu);
	r = guest_walk(vcpu, GVA + i * PAGE_SIZE + 0x123, flags, &gpa, &fault);
	srcu_read_unlock(&t.vm.srcu, idx);
	NEVER(r || (gpa & ~PAGE_MASK) != 0x123);
	check(i, flags, gpa, first);
}

/* True if it was read. */
static bool read_code(struct vcpu *vcpu)
{
	unsigned long first = __atomic_load_n(&t.changes[CODE], __ATOMIC_SEQ_CST), last;
	gva_t gva = GVA + CODE * PAGE_SIZE + 0x120;
	u64 code[2];
	int idx;

	if (!guest_code_recall(vcpu, gva, code)) {
		idx = srcu_read_lock(&t.vm.srcu);
		guest_code_walk(vcpu, gva);
		srcu_read_unlock(&t.vm.srcu, idx);
		return false;
	}
	last = __atomic_load_n(&t.begun[CODE], __ATOMIC_SEQ_CST);
	if (code[0] - CODE_WORD >= NR_CODE || code[1] != code[0] ||
	    (last - first < NR_CODE && (code[0] - CODE_WORD - first) % NR_CODE > last - first))
		shim_bug(__FILE__, __LINE__, "code %#llx, %#llx, which was not there from %#lx to %#lx",
			 code[0], code[1], first % NR_CODE, last % NR_CODE);
	return true;
}

static void *run_vcpu(void *arg)
{
	static const u32 flags[] = { 0, WALK_WRITE, WALK_FETCH, WALK_WRITE | WALK_IMPLICIT };
	struct vcpu *vcpu = arg;
	unsigned long walks = 0;

	while (!stress_over()) {
		walk_to(vcpu, stress_rnd() % LEAVES, flags[stress_rnd() % 4]);
		walks++;
		if (read_code(vcpu))
			__atomic_add_fetch(&t.reads, 1, __ATOMIC_RELAXED);
	}
	__atomic_add_fetch(&t.walks, walks, __ATOMIC_RELAXED);
	return NULL;
}

/* -------- user space -------- */

static void set_slot(u16 id, gfn_t base, unsigned int first, unsigned int n, u32 flags)
{
	NEVER(mm_set_region(&t.vm, &(struct kvm_userspace_memory_region2){
		.slot = id, .guest_phys_addr = base << PAGE_SHIFT, .memory_size = n * PAGE_SIZE,
		.userspace_addr = (unsigned long)ram[first], .flags = flags }));
}

/* @word of page 0, the others' follow; the same in all pages if it is 0. */
static void write_code(unsigned int first, u64 word)
{
	unsigned int page, i;

	for (page = 0; page < NR_CODE; page++)
		for (i = 0; i < PAGE_SIZE; i += sizeof(u64))
			__atomic_store_n((u64 *)&ram[first + page][i], word ? word + page : 0,
					 __ATOMIC_RELAXED);
}

/* The code is elsewhere from now on: what is at @old is somebody else's. */
static void move_code(unsigned int old, unsigned int new)
{
	set_slot(2, CODE_FRAMES, old, 0, 0);
	write_code(old, 0);
	write_code(new, CODE_WORD);
	set_slot(2, CODE_FRAMES, new, NR_CODE, 0);
}

/* A slot of no interest comes and goes, and the log of the tables' slot is on and off. */
static void *change_slots(void *arg)
{
	while (!stress_over()) {
		set_slot(1, 0x80000, 32, 16, 0);
		move_code(48, 56);
		set_slot(0, 0, 0, 32, KVM_MEM_LOG_DIRTY_PAGES);
		set_slot(1, 0x80000, 32, 0, 0);
		move_code(56, 48);
		set_slot(0, 0, 0, 32, 0);
		sched_yield();
	}
	return NULL;
}

/* -------- life -------- */

static void make_tables(void)
{
	unsigned int i, level, page = 1;
	u64 *table = (u64 *)ram[0];

	for (level = 4; level > 1; level--) {
		u64 *next = &table[(GVA >> (12 + 9 * (level - 1))) % 512];

		*next = (u64)page << PAGE_SHIFT | P | W | U;
		table = (u64 *)ram[page++];
	}
	for (i = 0; i <= CODE; i++) {
		t.leaf[i] = &table[((GVA >> 12) + i) % 512];
		*t.leaf[i] = entry(i, 0);
	}
}

static void create_vcpu(unsigned int n)
{
	struct vcpu *vcpu = &t.vcpu[n];

	vcpu->vm = &t.vm;
	vcpu->id = n;
	vcpu->index = n;
	vcpu->regs.avail = ~0u;
	vcpu->regs.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	vcpu->regs.cr4 = X86_CR4_PAE;
	vcpu->regs.efer = EFER_LME | EFER_LMA | EFER_NX;
	rcuwait_init(&vcpu->wait);
	NEVER(walk_create(vcpu));
	NEVER(xa_insert(&t.vm.vcpus, n, vcpu, GFP_KERNEL));
	vm_set_near_vcpu(&t.vm, n, vcpu);
}

static void create(void)
{
	struct vm *vm = &t.vm;

	shim_arena(256);
	clock_init(&t.clock);
	clock_current = &t.clock;
	current->mm = &t.mm;
	vm->mm = &t.mm;
	shim_vm_init(vm);
	NEVER(mm_create(vm));
	make_tables();
	create_vcpu(0);
	create_vcpu(1);
	set_slot(0, 0, 0, 32, 0);
	write_code(48, CODE_WORD);
	set_slot(2, CODE_FRAMES, 48, NR_CODE, 0);
}

static void destroy(void)
{
	walk_destroy(&t.vcpu[0]);
	walk_destroy(&t.vcpu[1]);
	mm_destroy(&t.vm);
	xa_destroy(&t.vm.vcpus);
	cleanup_srcu_struct(&t.vm.srcu);
}

int main(int argc, char **argv)
{
	pthread_t others[3];
	unsigned int i;

	stress_begin(argc, argv, 50000);
	create();
	for (i = 0; i < 2; i++)
		pthread_create(&others[i], NULL, run_vcpu, &t.vcpu[i]);
	pthread_create(&others[2], NULL, change_slots, NULL);
	stress_start(change_tables, NULL);
	stress_join();
	stress_finish();
	for (i = 0; i < 3; i++)
		pthread_join(others[i], NULL);
	destroy();
	printf("# %lu walks, code read %lu times\n", t.walks, t.reads);
	printf("ok 1 %lu changes of the guest's tables\n", stress_rounds);
	return 0;
}
