// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's own page tables, walked in software (SDM vol. 3, chapter 5;
 * APM vol. 2, chapter 5) for the instruction emulator and for debuggers.
 *
 * The hardware sets A and D with a locked read-modify-write of the entry it
 * used; so does this walk, and starts over when the entry has changed.
 * Protection keys for supervisor pages are not offered to guests.
 *
 * Each vCPU remembers its last walks. One is as good as a new one while every entry on
 * the way holds what the walk found there, and that is looked at each time.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/trap_pf.h>

#include "../cpuid.h"
#include "../regs_access.h"
#include "../vendor.h"
#include "../xstate.h"
#include "memslot.h"

#define PTE_P		BIT_ULL(0)
#define PTE_W		BIT_ULL(1)
#define PTE_U		BIT_ULL(2)
#define PTE_A		BIT_ULL(5)
#define PTE_D		BIT_ULL(6)
#define PTE_PS		BIT_ULL(7)
#define PTE_NX		BIT_ULL(63)
#define PTE_KEY_SHIFT	59

#define MAX_LEVELS	5

/* Geometry of one paging mode. */
struct paging_mode {
	u8 levels;		/* of tables in memory */
	u8 entry_size;
	u8 index_bits;
};

static const struct paging_mode mode_32 = { 2, 4, 10 };
static const struct paging_mode mode_pae = { 2, 8, 9 };	/* below the PDPTEs */
static const struct paging_mode mode_4level = { 4, 8, 9 };
static const struct paging_mode mode_5level = { 5, 8, 9 };

/* An entry on the way. */
struct walk_step {
	u64 entry;
	gpa_t where;
	void __user *user_ptr;
};

struct walk {
	struct vcpu *vcpu;
	const struct paging_mode *mode;
	gva_t gva;
	u32 flags;		/* WALK_* */
	u64 cr0, cr4, efer;
	bool pae_pdptr;
	struct walk_step step[MAX_LEVELS + 1];	/* by level; 1 is the last */
	int leaf;
	/* Rights of all levels together. */
	bool user, write, nx;
};

/* The last walk of a page whose number has the same low bits, with what it depended on. */
struct walk_memo {
	u64 generation;		/* of memslots: user_ptr and page are of it; 0: nothing known */
	u64 cr3;
	struct walk walk;	/* entries as they were left: with their A and D bits */
	const struct walk_step *first, *last;	/* of walk.step, in the order of a walk */
	u8 __user *page;	/* of code: that the address is in */
};

#define NR_CODE_MEMOS	4
#define NR_DATA_MEMOS	2

int walk_create(struct vcpu *vcpu)
{
	vcpu->tdp.memos = kcalloc(NR_CODE_MEMOS + NR_DATA_MEMOS, sizeof(struct walk_memo),
				  GFP_KERNEL_ACCOUNT);
	return vcpu->tdp.memos ? 0 : -ENOMEM;
}

void walk_destroy(struct vcpu *vcpu)
{
	kfree(vcpu->tdp.memos);
}

void walk_set_as(struct vcpu *vcpu, u8 as_id)
{
	int i;

	vcpu->tdp.as_id = as_id;
	for (i = 0; i < NR_CODE_MEMOS + NR_DATA_MEMOS; i++)
		vcpu->tdp.memos[i].generation = 0;
}

static bool walk_is_user(const struct walk *w)
{
	return (w->flags & (WALK_USER | WALK_IMPLICIT)) == WALK_USER;
}

/* Is there a no-execute bit in entries? */
static bool walk_has_nx(const struct walk *w)
{
	return w->mode->entry_size == 8 && (w->efer & EFER_NX);
}

static int page_fault(const struct walk *w, struct walk_fault *fault, u32 bits)
{
	u32 error = bits;

	if (w->flags & WALK_WRITE)
		error |= X86_PF_WRITE;
	if (walk_is_user(w))
		error |= X86_PF_USER;
	/* SDM 5.7: the I/D flag exists only with NX or SMEP. */
	if ((w->flags & WALK_FETCH) && (walk_has_nx(w) || (w->cr4 & X86_CR4_SMEP)))
		error |= X86_PF_INSTR;
	fault->error = error;
	fault->addr = w->gva;
	return 1;
}

static const struct paging_mode *paging_mode(const struct walk *w)
{
	if (w->efer & EFER_LMA)
		return w->cr4 & X86_CR4_LA57 ? &mode_5level : &mode_4level;
	return w->cr4 & X86_CR4_PAE ? &mode_pae : &mode_32;
}

static void walk_begin(struct walk *w, struct vcpu *vcpu, gva_t gva, u32 flags)
{
	*w = (struct walk){ .vcpu = vcpu, .gva = gva, .flags = flags };
	w->cr0 = vcpu_cr0(vcpu);
	w->cr4 = vcpu_cr4(vcpu);
	w->efer = vcpu_efer(vcpu);
	w->mode = paging_mode(w);
	w->pae_pdptr = w->mode == &mode_pae;
	if (!(w->efer & EFER_LMA))
		w->gva = (u32)gva;
}

static unsigned int level_shift(const struct walk *w, int level)
{
	return PAGE_SHIFT + w->mode->index_bits * (level - 1);
}

static int read_entry(struct walk *w, gpa_t table, int level)
{
	const struct paging_mode *m = w->mode;
	u64 index = (w->gva >> level_shift(w, level)) & ((1u << m->index_bits) - 1);
	gpa_t where = table + index * m->entry_size;
	struct memslot *slot;
	u32 half;
	int err;

	slot = mm_slot(w->vcpu->vm, w->vcpu->tdp.as_id, where >> PAGE_SHIFT);
	if (!slot)
		return -EFAULT;
	w->step[level].where = where;
	w->step[level].user_ptr = memslot_user_ptr(slot, where);
	if (m->entry_size == sizeof(u64))
		return __get_user(w->step[level].entry, (u64 __user *)w->step[level].user_ptr);
	err = __get_user(half, (u32 __user *)w->step[level].user_ptr);
	w->step[level].entry = half;
	return err;
}

static u64 maxphyaddr_mask(const struct walk *w)
{
	return ~rsvd_bits_above(vcpu_maxphyaddr(w->vcpu));
}

static bool is_leaf(const struct walk *w, int level)
{
	if (level == 1)
		return true;
	if (!(w->step[level].entry & PTE_PS))
		return false;
	if (w->mode == &mode_32)
		return w->cr4 & X86_CR4_PSE;
	return level <= 3;
}

/* Reserved bits of a 4M page's entry: above bit 12 they are address bits 39:32. */
static u64 reserved_32(const struct walk *w, int level)
{
	unsigned int bits = clamp_t(unsigned int, vcpu_maxphyaddr(w->vcpu), 32, 40);

	if (level == 1 || !is_leaf(w, level))
		return 0;
	return GENMASK_ULL(21, 13 + bits - 32);
}

static u64 reserved_bits(const struct walk *w, int level)
{
	u64 bits = GENMASK_ULL(51, 0) & ~maxphyaddr_mask(w);

	if (w->mode == &mode_32)
		return reserved_32(w, level);
	if (!(w->efer & EFER_NX))
		bits |= PTE_NX;
	if (w->pae_pdptr)
		bits |= GENMASK_ULL(62, 52);
	if (level > 3)
		bits |= PTE_PS;
	else if (level == 3 && !guest_cpuid_has(w->vcpu, X86_FEATURE_GBPAGES))
		bits |= PTE_PS;
	/* Bit 12 of a large page is its PAT bit. */
	if (level > 1 && is_leaf(w, level))
		bits |= GENMASK_ULL(level_shift(w, level) - 1, 13);
	return bits;
}

static gpa_t entry_table(const struct walk *w, u64 entry)
{
	if (w->mode == &mode_32)
		return entry & GENMASK_ULL(31, PAGE_SHIFT);
	return entry & GENMASK_ULL(51, PAGE_SHIFT) & maxphyaddr_mask(w);
}

/* 0 and *table; 1 for #PF; -EFAULT. The root's entries carry no rights in PAE mode. */
static int root_table(struct walk *w, gpa_t *table, struct walk_fault *fault)
{
	struct vcpu_regs *r = regs_get(w->vcpu, RG_CR3);
	unsigned int index = (w->gva >> 30) & 3;
	u64 pdpte;

	if (!w->pae_pdptr) {
		*table = entry_table(w, r->cr3);
		return 0;
	}
	pdpte = r->pdptr[index];
	if (vendor_caps.pdptrs_in_memory &&
	    vcpu_gpa_read(w->vcpu, (u32)(r->cr3 & ~0x1full) + index * sizeof(pdpte), &pdpte,
			  sizeof(pdpte)))
		return -EFAULT;
	if (!(pdpte & PTE_P))
		return page_fault(w, fault, 0);
	*table = entry_table(w, pdpte);
	return 0;
}

static int descend(struct walk *w, struct walk_fault *fault)
{
	int level, r;
	gpa_t table;

	w->user = true;
	w->write = true;
	w->nx = false;
	r = root_table(w, &table, fault);
	if (r)
		return r;
	for (level = w->mode->levels; ; level--) {
		if (read_entry(w, table, level))
			return -EFAULT;
		if (!(w->step[level].entry & PTE_P))
			return page_fault(w, fault, 0);
		if (w->step[level].entry & reserved_bits(w, level))
			return page_fault(w, fault, X86_PF_PROT | X86_PF_RSVD);
		w->user &= !!(w->step[level].entry & PTE_U);
		w->write &= !!(w->step[level].entry & PTE_W);
		w->nx |= walk_has_nx(w) && (w->step[level].entry & PTE_NX);
		if (is_leaf(w, level))
			break;
		table = entry_table(w, w->step[level].entry);
	}
	w->leaf = level;
	return 0;
}

/* SDM 5.6.1: may this access be made at all to a page with these rights? */
static bool rights_ok(const struct walk *w)
{
	bool user = walk_is_user(w);

	if (user && !w->user)
		return false;
	if ((w->flags & WALK_WRITE) && !w->write && (user || (w->cr0 & X86_CR0_WP)))
		return false;
	if (w->flags & WALK_FETCH)
		return !w->nx && (user || !w->user || !(w->cr4 & X86_CR4_SMEP));
	if (!user && w->user && (w->cr4 & X86_CR4_SMAP))
		return !(w->flags & WALK_IMPLICIT) &&
		       (vcpu_rflags(w->vcpu) & X86_EFLAGS_AC);
	return true;
}

/* SDM 5.6.2: keys of user pages, for data. */
static bool key_ok(const struct walk *w)
{
	unsigned int key = (w->step[w->leaf].entry >> PTE_KEY_SHIFT) & 0xf;
	u32 rights;

	if (!(w->cr4 & X86_CR4_PKE) || !(w->efer & EFER_LMA) || !w->user ||
	    (w->flags & WALK_FETCH))
		return true;
	rights = vcpu_pkru(w->vcpu) >> (2 * key);
	if (rights & 1)
		return false;
	if (!(rights & 2) || !(w->flags & WALK_WRITE))
		return true;
	return !walk_is_user(w) && !(w->cr0 & X86_CR0_WP);
}

static int check_rights(const struct walk *w, struct walk_fault *fault)
{
	bool key;

	if (w->flags & WALK_NO_AD)
		return 0;
	key = key_ok(w);
	if (key && rights_ok(w))
		return 0;
	/* The key's part is told whatever else is wrong (SDM 4.7). */
	return page_fault(w, fault, X86_PF_PROT | (key ? 0 : X86_PF_PK));
}

/* 0, or 1 when the entry is no longer what the walk saw, or -EFAULT. */
static int set_bits(struct walk *w, int level, u64 bits)
{
	u64 old = w->step[level].entry;
	struct memslot *slot;
	int r;

	if ((old & bits) == bits)
		return 0;
	/* Tables in ROM are used as they are. */
	slot = mm_slot(w->vcpu->vm, w->vcpu->tdp.as_id, w->step[level].where >> PAGE_SHIFT);
	if (slot && (slot->flags & KVM_MEM_READONLY))
		return 0;
	r = vcpu_gpa_cmpxchg(w->vcpu, w->step[level].where, &old, old | bits, w->mode->entry_size);
	if (!r)
		w->step[level].entry |= bits;
	return r;
}

static int set_accessed(struct walk *w)
{
	u64 dirty = w->flags & WALK_WRITE ? PTE_D : 0;
	int level, r;

	if (w->flags & WALK_NO_AD)
		return 0;
	for (level = w->mode->levels; level >= w->leaf; level--) {
		r = set_bits(w, level, level == w->leaf ? PTE_A | dirty : PTE_A);
		if (r)
			return r;
	}
	return 0;
}

static gpa_t leaf_gpa(const struct walk *w)
{
	u64 entry = w->step[w->leaf].entry;
	u64 offset = GENMASK_ULL(level_shift(w, w->leaf) - 1, 0);
	gpa_t base = entry_table(w, entry) & ~offset;

	if (w->mode == &mode_32 && w->leaf == 2)
		base |= ((entry >> 13) & 0xff) << 32 & maxphyaddr_mask(w);
	return base | (w->gva & offset);
}

/* -------- what is remembered -------- */

/* Code has places of its own. */
static struct walk_memo *memo_of(struct vcpu *vcpu, gva_t gva, u32 flags)
{
	unsigned int set = flags & WALK_FETCH ? 0 : NR_CODE_MEMOS;
	unsigned int size = flags & WALK_FETCH ? NR_CODE_MEMOS : NR_DATA_MEMOS;

	return &vcpu->tdp.memos[set + (gva >> PAGE_SHIFT) % size];
}

/* Only the modes with entries of 64 bits all the way; a look of a debugger sets no bits. */
static void memo_store(const struct walk *w, gpa_t gpa, u64 generation)
{
	struct vcpu *vcpu = w->vcpu;
	struct walk_memo *m = memo_of(vcpu, w->gva, w->flags);
	u8 __user *page = NULL;
	struct memslot *slot;

	if (!(w->efer & EFER_LMA) || (w->flags & WALK_NO_AD))
		return;
	if (w->flags & WALK_FETCH) {
		slot = mm_slot(vcpu->vm, vcpu->tdp.as_id, gpa >> PAGE_SHIFT);
		if (!slot)
			return;
		page = memslot_user_ptr(slot, gpa & PAGE_MASK);
	}
	*m = (struct walk_memo){
		.generation = generation, .cr3 = vcpu_cr3(vcpu), .walk = *w, .page = page,
		.first = m->walk.step + w->mode->levels, .last = m->walk.step + w->leaf,
	};
}

/* It is of @gva's page, in the present tables: where a walk would come to. */
static __always_inline bool memo_leads(struct vcpu *vcpu, const struct walk_memo *m, gva_t gva)
{
	const struct walk *w = &m->walk;

	return !((w->gva ^ gva) >> PAGE_SHIFT) && m->cr3 == vcpu_cr3(vcpu) &&
	       w->efer == vcpu_efer(vcpu) && !(w->cr4 & X86_CR4_LA57) == !vcpu_la57(vcpu) &&
	       /* Pairs with the release in memslot.c. */
	       m->generation == smp_load_acquire(&vcpu->vm->mem.generation);
}

/* The rights that it went by are the present ones, too. */
static bool memo_fits(struct vcpu *vcpu, const struct walk_memo *m, gva_t gva)
{
	return memo_leads(vcpu, m, gva) && m->walk.cr0 == vcpu_cr0(vcpu) &&
	       m->walk.cr4 == vcpu_cr4(vcpu);
}

static bool entries_stand(const struct walk_memo *m)
{
	const struct walk_step *step;
	u64 entry;

	for (step = m->first; step >= m->last; step--)
		if (__get_user(entry, (u64 __user *)step->user_ptr) || entry != step->entry)
			return false;
	return true;
}

/* What is remembered of @gva's page, if this access may be made and leaves all bits as they are. */
static struct walk_memo *memo_recall(struct vcpu *vcpu, gva_t gva, u32 flags)
{
	u64 bits = flags & WALK_WRITE ? PTE_A | PTE_D : PTE_A;
	struct walk_memo *m = memo_of(vcpu, gva, flags);
	struct walk_fault fault;

	if ((flags & WALK_NO_AD) || !memo_fits(vcpu, m, gva) || !entries_stand(m) ||
	    (m->walk.step[m->walk.leaf].entry & bits) != bits)
		return NULL;
	m->walk.gva = gva;
	m->walk.flags = flags;
	if (!check_rights(&m->walk, &fault))
		return m;
	m->generation = 0;
	return NULL;
}

/* With paging on. */
static u32 code_flags(struct vcpu *vcpu)
{
	u32 user = ~vcpu_mode_attr(vcpu, SEG_SS) & SEG_ATTR_DPL ? 0 : WALK_USER;

	return WALK_FETCH | user;
}

/* Entries first: what they lead to is read while they stand. @len is 4 or 16. */
static __always_inline bool read_by_memo(const struct walk_memo *m, unsigned int offset,
					 u64 code[2], unsigned int len)
{
	u8 __user *from = m->page + offset;
	/* By pointers: a check of the index would be a call, with user space open. */
	const struct walk_step *step = m->first, *last = m->last;
	u64 entry;

	if (!user_read_access_begin(from, len))
		return false;
	for (; step >= last; step--) {
		unsafe_get_user(entry, (u64 __user *)step->user_ptr, fail);
		if (entry != step->entry)
			goto fail;
	}
	if (len == sizeof(u32)) {
		unsafe_get_user(code[0], (u32 __user *)from, fail);
	} else {
		unsafe_get_user(code[0], (u64 __user *)from, fail);
		unsafe_get_user(code[1], (u64 __user *)(from + 8), fail);
	}
	user_read_access_end();
	return true;
fail:
	user_read_access_end();
	return false;
}

/*
 * No rights are looked at: the CPU itself has just fetched from there. Slots that changed
 * meanwhile void the answer.
 */
static __always_inline bool code_recall(struct vcpu *vcpu, gva_t gva, u64 code[2],
					unsigned int len)
{
	const struct walk_memo *m = memo_of(vcpu, gva, WALK_FETCH);

	if (offset_in_page(gva) > PAGE_SIZE - len || !memo_leads(vcpu, m, gva) ||
	    !read_by_memo(m, offset_in_page(gva), code, len))
		return false;
	/* After the reads, against publish() in memslot.c: its caller may unmap next. */
	smp_rmb();
	return m->generation == READ_ONCE(vcpu->vm->mem.generation);
}

bool guest_code_is(struct vcpu *vcpu, gva_t gva, u32 code, u32 mask)
{
	u64 word[2];

	return code_recall(vcpu, gva, word, sizeof(u32)) && !((word[0] ^ code) & mask);
}

bool guest_code_recall(struct vcpu *vcpu, gva_t gva, u64 code[2])
{
	return code_recall(vcpu, gva, code, 2 * sizeof(*code));
}

int guest_walk(struct vcpu *vcpu, gva_t gva, u32 flags, gpa_t *gpa, struct walk_fault *fault)
{
	struct walk_memo *m;
	u64 generation;
	struct walk w;
	int r;

	might_sleep();
	if (!vcpu_paging(vcpu)) {
		*gpa = (u32)gva;
		return 0;
	}
	m = memo_recall(vcpu, gva, flags);
	if (m) {
		*gpa = leaf_gpa(&m->walk);
		return 0;
	}
	/* Before the slots are looked at, as in gpa.c. */
	generation = smp_load_acquire(&vcpu->vm->mem.generation);
	walk_begin(&w, vcpu, gva, flags);
	do {
		r = descend(&w, fault);
		if (!r)
			r = check_rights(&w, fault);
		if (r)
			return r;
		r = set_accessed(&w);
	} while (r > 0);
	if (r)
		return r;
	*gpa = leaf_gpa(&w);
	memo_store(&w, *gpa, generation);
	return 0;
}

bool guest_code_walk(struct vcpu *vcpu, gva_t gva)
{
	u32 flags = vcpu_paging(vcpu) ? code_flags(vcpu) : WALK_FETCH;
	struct walk_fault fault;
	gpa_t gpa;

	return !guest_walk(vcpu, gva, flags, &gpa, &fault);
}
