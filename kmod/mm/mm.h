/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory: slots, second-stage tables, access from the host side, the
 * guest's own page tables, dirty tracking.
 *
 * Locks of this room, outermost first: vm->slots_lock (writers of slots, the
 * dirty log ioctls), vm->srcu (readers of slots), mem.tdp_lock,
 * mem.invalidate_lock, mem.nx.lock. tdp_lock is held for reading by faults, which change
 * entries by cmpxchg and never make one non-present, and for writing by
 * whoever clears entries, takes rights away or frees table pages.
 * mem.invalidate_lock guards what notifiers announce, so that a fault that
 * resolved its page before an invalidation retries: notifier.c has the proof.
 */
#ifndef VMM_MM_H
#define VMM_MM_H

#include <linux/kvm.h>
#include <linux/kvm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/rwlock.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

struct vm;
struct vcpu;
struct kvm_userspace_memory_region2;

/* gpa_t, gva_t, gfn_t, hva_t, hpa_t come from <linux/kvm_types.h>. */
#ifndef INVALID_GPA
#define INVALID_GPA	(~(gpa_t)0)
#endif
#define VMM_MAX_SLOTS	32764
#define VMM_NR_AS	2	/* address spaces: 1 is seen in system management mode only */
/* The largest dirty ring: KVM_CAP_DIRTY_LOG_RING's value. */
#define VMM_DIRTY_RING_BYTES	(65536 * sizeof(struct kvm_dirty_gfn))

/*
 * Entry format of the vendor's second-stage tables; bits, not shifts.
 * EPT (SDM 29.3.2): read, write, exec = R, W, X; present = R | W | X;
 * accessed, dirty = bits 8, 9 only when EPTP enables them.
 * NPT (APM 15.25): read = P | US, write = RW, nx = bit 63; present = P.
 */
struct tdp_format {
	u64 read, write, exec;	/* exec 0 and nx set on NPT */
	u64 nx;			/* NPT: no-execute bit, 0 on EPT */
	u64 present;		/* any of these bits set = present */
	u64 accessed, dirty;	/* 0 when the hardware has none */
	u64 leaf;		/* large-page bit of PD/PDPT entries */
	u64 table_bits;		/* constant part of a table entry */
	u64 memtype_wb;		/* leaf bits for write-back */
	u64 memtype_uc;
	u8 levels;		/* 4 (or 5) */
	u8 max_leaf_level;	/* 1 = 4K, 2 = 2M, 3 = 1G */
	u8 maxphyaddr;
};

/*
 * Immutable once published, but for the bits of the bitmap: a change of a
 * slot publishes a new struct and frees the old one after SRCU.
 */
struct memslot {
	gfn_t base_gfn;
	unsigned long npages;
	hva_t hva;
	u32 flags;		/* KVM_MEM_* */
	u16 id, as_id;
	/* bitmap, twice its length; NULL when not logged or logged by rings only */
	unsigned long *dirty;
};

struct memslots;		/* memslot.h: sorted arrays, replaced as a whole */

struct vm_nx_huge {
	bool waived;			/* (m) constant from the first vCPU on */
	spinlock_t lock;		/* split, which is also stable under tdp_lock for writing */
	struct list_head split;		/* tables in the place of huge pages, oldest first */
	struct delayed_work recovery;
};

struct vm_mm {
	struct memslots __rcu *slots[VMM_NR_AS]; /* (r) vm->srcu */
	struct xarray ids[VMM_NR_AS];	/* slots_lock: slot id -> struct memslot */
	struct memslot *going;		/* slots_lock: left the set, maybe still mapped */
	unsigned long nr_pages;		/* slots_lock: in all slots */
	u64 generation;			/* of slots, for cached translations */

	struct mmu_notifier notifier;
	spinlock_t invalidate_lock;	/* invalidate_* */
	unsigned long invalidate_seq;	/* finished invalidations */
	int invalidate_count;		/* those under way ... */
	hva_t invalidate_start, invalidate_end;	/* ... and a range over them */

	rwlock_t tdp_lock;
	hpa_t root[VMM_NR_AS];		/* (c) for the vendor's set_root */
	u64 *root_table[VMM_NR_AS];	/* (c) */
	struct vm_nx_huge nx;		/* nx_huge.c */
	bool no_vcpus;			/* being destroyed: nobody to flush */
	u32 manual_protect;		/* KVM_DIRTY_LOG_* flags enabled */
	unsigned int nr_logged;		/* slots_lock: slots with KVM_MEM_LOG_DIRTY_PAGES */
	u32 ring_bytes;			/* of each vCPU's dirty ring; 0: bitmaps. (c) with vCPUs */
};

/* dirty_ring.c. Without KVM_CAP_DIRTY_LOG_RING all of it is 0. */
struct dirty_ring {
	struct kvm_dirty_gfn *entries;	/* (c) memory shared with user space */
	u32 size, soft_limit;		/* (c) in entries */
	u32 pushed;			/* (v) entries ever written ... */
	u32 reset;			/* slots_lock: ... and taken back */
	u32 last_slot;			/* (v) what the last one says */
	u64 last_offset;		/* (v) */
};

struct vcpu_tdp {
	void *cache[8];		/* zeroed table pages, topped up before a fault takes locks */
	int nr_cache;
	bool absent;		/* (v) for the next fault: a fast look has not found its page */
	/* (v) hole_key() of a page without memory, as of that generation of the slots */
	u64 hole, hole_generation;
	u8 as_id;		/* (v) what the vCPU sees; walk_set_as(), outside of stays only */
	struct walk_memo *memos; /* (v) walk.c */
};

/*
 * Life of the room: called by vm.c and vcpu.c. mm_create() wants current->mm
 * to be vm->mm; mm_destroy() frees all tables and wants all vCPUs gone.
 */
int mm_create(struct vm *vm);
void mm_destroy(struct vm *vm);
void mm_vcpu_destroy(struct vcpu *vcpu);

/* memslot.c. KVM_SET_USER_MEMORY_REGION{,2}: KVM's errno. Takes slots_lock. */
int mm_set_region(struct vm *vm, const struct kvm_userspace_memory_region2 *mem);
/* Under vm->srcu: slot that holds @gfn, or NULL. */
struct memslot *mm_slot(struct vm *vm, int as_id, gfn_t gfn);
/* Under vm->srcu: host address of @gfn for reading or writing: 0 or -EFAULT. */
long mm_gfn_to_hva(struct vm *vm, int as_id, gfn_t gfn, bool write, hva_t *hva);

/* dirty.c. KVM's errno. Take slots_lock. */
int mm_get_dirty_log(struct vm *vm, struct kvm_dirty_log *log);
int mm_clear_dirty_log(struct vm *vm, struct kvm_clear_dirty_log *log);
/*
 * Every host-side writer of guest memory calls this after it wrote. Under
 * vm->srcu, thread of the vCPU: there is no writer but for a vCPU.
 */
void mm_mark_dirty(struct vcpu *vcpu, struct memslot *slot, gfn_t gfn);
/* The hardware's log: addresses that the guest wrote, the oldest last. Any context but NMI. */
void mm_log_written(struct vcpu *vcpu, const u64 *gpas, unsigned int n);

/*
 * The slot on its way out, or NULL. Under vm->srcu, after the set of slots was read that may
 * lack it; pairs with publish().
 */
static inline struct memslot *mm_going(const struct vm_mm *mem)
{
	smp_rmb();	/* the set before the slot that left it */
	return READ_ONCE(mem->going);
}

/* What vCPUs wrote until now has been handed to that on return. Take slots_lock. */
void mm_collect_hw_logs(struct vm *vm);

/* Is any slot logged? Changes come with REQ_DIRTY_LOG. */
static inline bool mm_logs_dirty(const struct vm_mm *mem)
{
	return READ_ONCE(mem->nr_logged);
}

/* dirty_ring.c. KVM_CAP_DIRTY_LOG_RING and KVM_RESET_DIRTY_RINGS, KVM's errno; under vm->lock. */
int dirty_ring_enable(struct vm *vm, u32 bytes);
int mm_reset_dirty_rings(struct vm *vm);
int dirty_ring_create(struct vcpu *vcpu);
void dirty_ring_destroy(struct vcpu *vcpu);
/* Has so little room left that the guest may not run. */
bool dirty_ring_full(struct vcpu *vcpu);
/* Pages of the vCPU's mapping that are the ring, by their offset in it. */
bool dirty_ring_maps(struct vm *vm, unsigned long pgoff);
struct page *dirty_ring_page(struct vcpu *vcpu, unsigned long pgoff);

/* tdp_fault.c. Sleeps. Under vm->srcu, thread of vm->mm. */
enum tdp_result {
	TDP_RETRY,		/* mapped (or somebody else did): enter again */
	TDP_MMIO,		/* no slot: emulate the access */
	TDP_MMIO_WRITE,		/* write to a read-only slot: emulate as MMIO write */
	TDP_WAIT,		/* the caller wants no waiting, and something is awaited */
	/*
	 * or -EFAULT (bad hva), -EINTR (signal), -ENOMEM. A poisoned page has
	 * queued SIGBUS for this thread, as KVM does, and is TDP_RETRY.
	 */
};

int tdp_fault(struct vcpu *vcpu, gpa_t gpa, u32 access);
/*
 * The same inside a stay, without vm->srcu and with interrupts off: TDP_WAIT when the page
 * or a lock is not at hand, and no -errno.
 */
int tdp_fault_atomic(struct vcpu *vcpu, gpa_t gpa, u32 access);
/*
 * Maps @gpa ahead of time, for KVM_PRE_FAULT_MEMORY: bytes mapped, at most
 * @size, or -errno (-ENOENT outside slots). One mapping per call.
 */
long tdp_prefault(struct vcpu *vcpu, gpa_t gpa, u64 size);

/* nx_huge.c. The module's parameter, when it was not given at load. */
void nx_huge_init(void);
/* KVM_CAP_VM_DISABLE_NX_HUGE_PAGES: KVM's errno. Under vm->lock. */
int nx_huge_waive(struct vm *vm, u64 arg);

/*
 * gpa.c. Copies between guest-physical memory and the host; sleep; -EFAULT
 * outside slots and on writes to read-only ones. Under vm->srcu, thread of
 * vm->mm. gpa_*() are for what host and guest agreed upon, which lives in
 * address space 0; vcpu_gpa_*() for accesses that the vCPU itself makes.
 */
int gpa_read(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len);
int gpa_write(struct vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len);
int vcpu_gpa_read(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len);
int vcpu_gpa_write(struct vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len);
/*
 * Atomic compare-exchange of 1, 2, 4 or 8 bytes within one page.
 * 0: done, 1: *old did not match (now holds the value found), -EFAULT.
 */
int vcpu_gpa_cmpxchg(struct vcpu *vcpu, gpa_t gpa, u64 *old, u64 new, unsigned int len);

/*
 * A small object kept in guest memory (kvmclock page, steal time, PV EOI), in
 * address space 0: translation cached for one slot generation. Fields are gpa.c's.
 */
struct gpa_cache {
	gpa_t gpa;
	unsigned int len;
	hva_t hva;		/* 0: not in one slot, take the slow way */
	u64 generation;
	struct memslot *slot;
};

int gpa_cache_init(struct vcpu *vcpu, struct gpa_cache *gc, gpa_t gpa, unsigned int len);
int gpa_cache_read(struct vcpu *vcpu, struct gpa_cache *gc, void *data, unsigned int off,
		   unsigned int len);
int gpa_cache_write(struct vcpu *vcpu, struct gpa_cache *gc, const void *data,
		    unsigned int off, unsigned int len);
/*
 * One byte, without sleeping, in any context of a thread of vm->mm but NMI;
 * -EFAULT also when the page is not there at once. Under vm->srcu.
 */
int gpa_cache_get8(struct vcpu *vcpu, struct gpa_cache *gc, unsigned int off, u8 *val);
int gpa_cache_put8(struct vcpu *vcpu, struct gpa_cache *gc, unsigned int off, u8 val);
/*
 * For other kinds of access: the user's address, NULL when the object is not
 * in one writable slot. Who wrote calls gpa_cache_dirty() in the same section
 * of vm->srcu; objects within one page only.
 */
void __user *gpa_cache_ptr(struct vcpu *vcpu, struct gpa_cache *gc, unsigned int off,
			   unsigned int len);
void gpa_cache_dirty(struct vcpu *vcpu, struct gpa_cache *gc);

/* walk.c. The guest's own page tables, in its present paging mode. */
#define WALK_WRITE	BIT(0)
#define WALK_FETCH	BIT(1)
#define WALK_USER	BIT(2)	/* CPL 3, or user access by rights */
#define WALK_IMPLICIT	BIT(3)	/* supervisor access whatever CPL: descriptor tables */
#define WALK_NO_AD	BIT(4)	/* debugger's look: sets no A/D bits, checks no rights */
struct walk_fault {
	u32 error;		/* #PF error code */
	u64 addr;
};

/*
 * 0 and *gpa; 1 when the guest must get #PF (*fault filled); -EFAULT when a
 * table lies outside memory. Sleeps; sets A and D bits as the hardware does.
 * Under vm->srcu, thread of vm->mm. The caller has checked canonicality.
 */
int guest_walk(struct vcpu *vcpu, gva_t gva, u32 flags, gpa_t *gpa, struct walk_fault *fault);
/*
 * Code at @gva, 16 bytes of it, if its page was walked lately and all of it is at hand; and
 * whether it is known to begin with @code's bytes, the first one lowest, as far as @mask
 * goes. Only where the CPU itself fetched what exited: no rights are looked at. With page
 * faults disabled or not. Need no vm->srcu.
 */
bool guest_code_recall(struct vcpu *vcpu, gva_t gva, u64 code[2]);
bool guest_code_is(struct vcpu *vcpu, gva_t gva, u32 code, u32 mask);
/* Walks to @gva as an instruction fetch does, for the next of those two: as guest_walk(). */
bool guest_code_walk(struct vcpu *vcpu, gva_t gva);
/* The vCPU sees this address space from now on; what was remembered of walks is forgotten. */
void walk_set_as(struct vcpu *vcpu, u8 as_id);
int walk_create(struct vcpu *vcpu);
void walk_destroy(struct vcpu *vcpu);

#endif /* VMM_MM_H */
