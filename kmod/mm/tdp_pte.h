/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One second-stage entry: the only place that knows its bits. Everything is
 * derived from the vendor's struct tdp_format; levels count from 1 (4K).
 *
 * An entry also has a software bit. TDP_HOST_WRITE says that the host maps
 * the page writable, so that an absent write right is ours (dirty logging)
 * and may be given back without asking the host. Bit 52 is ignored by EPT
 * (SDM table 29-7) and available to software in NPT (APM 5.3.3).
 */
#ifndef VMM_TDP_PTE_H
#define VMM_TDP_PTE_H

#include <linux/bits.h>
#include <linux/mem_encrypt.h>
#include <linux/mm.h>

#include "../events.h"
#include "mm.h"

#define TDP_ENTRIES	512
#define TDP_HOST_WRITE	BIT_ULL(52)
#define TDP_ADDR_MASK	GENMASK_ULL(51, PAGE_SHIFT)

/* 4K pages under one entry of @level. */
static inline gfn_t tdp_pages(int level)
{
	return 1ULL << (9 * (level - 1));
}

static inline unsigned int tdp_index(gfn_t gfn, int level)
{
	return (gfn >> (9 * (level - 1))) % TDP_ENTRIES;
}

static inline bool tdp_present(const struct tdp_format *fmt, u64 entry)
{
	return entry & fmt->present;
}

static inline bool tdp_is_leaf(const struct tdp_format *fmt, u64 entry, int level)
{
	return tdp_present(fmt, entry) && (level == 1 || (entry & fmt->leaf));
}

static inline bool tdp_is_table(const struct tdp_format *fmt, u64 entry, int level)
{
	return tdp_present(fmt, entry) && !tdp_is_leaf(fmt, entry, level);
}

/* sme_me_mask is 0 unless the host encrypts its memory. */
static inline u64 tdp_pfn(u64 entry)
{
	return (entry & TDP_ADDR_MASK & ~sme_me_mask) >> PAGE_SHIFT;
}

static inline u64 *tdp_table(u64 entry)
{
	return pfn_to_kaddr(tdp_pfn(entry));
}

static inline u64 tdp_make_table(const struct tdp_format *fmt, void *table)
{
	return __sme_set(__pa(table)) | fmt->table_bits;
}

static inline bool tdp_may_exec(const struct tdp_format *fmt, u64 entry)
{
	return fmt->nx ? !(entry & fmt->nx) : entry & fmt->exec;
}

static inline u64 tdp_set_exec(const struct tdp_format *fmt, u64 entry, bool exec)
{
	entry &= ~(fmt->exec | fmt->nx);
	return entry | (exec ? fmt->exec : fmt->nx);
}

struct tdp_rights {
	bool write;
	bool clean;		/* with write: the first one is to set D, and be logged */
	bool exec;
	bool host_write;
	bool uncached;
};

/*
 * A is set from the start, because the access that asks is about to happen;
 * D goes with W but for the hardware's log: who maps writable has already
 * marked the host's page dirty.
 */
static inline u64 tdp_make_leaf(const struct tdp_format *fmt, u64 pfn, int level,
				const struct tdp_rights *rights)
{
	u64 entry = __sme_set(pfn << PAGE_SHIFT) | fmt->read | fmt->accessed;

	entry |= rights->uncached ? fmt->memtype_uc : fmt->memtype_wb;
	if (level > 1)
		entry |= fmt->leaf;
	if (rights->write)
		entry |= fmt->write | (rights->clean ? 0 : fmt->dirty);
	if (rights->host_write)
		entry |= TDP_HOST_WRITE;
	return tdp_set_exec(fmt, entry, rights->exec);
}

/* Entry @i of the table that takes the place of leaf @huge of @level. */
static inline u64 tdp_make_child(const struct tdp_format *fmt, u64 huge, int level, int i)
{
	u64 entry = huge + ((u64)i * tdp_pages(level - 1) << PAGE_SHIFT);

	return level == 2 ? entry & ~fmt->leaf : entry;
}

/* @access is a mask of TDP_ACCESS_*. */
static inline bool tdp_permits(const struct tdp_format *fmt, u64 entry, u32 access)
{
	if ((access & TDP_ACCESS_WRITE) && !(entry & fmt->write))
		return false;
	if ((access & TDP_ACCESS_FETCH) && !tdp_may_exec(fmt, entry))
		return false;
	return true;
}

/* Hardware sets A and D at any time, so every change is atomic. */
static inline bool tdp_cmpxchg(u64 *entry, u64 *old, u64 new)
{
	return try_cmpxchg64(entry, old, new);
}

static inline u64 tdp_xchg(u64 *entry, u64 new)
{
	return xchg(entry, new);
}

/* Clears @bits, returns those of them that were set. */
static inline u64 tdp_clear(u64 *entry, u64 bits)
{
	u64 old = READ_ONCE(*entry);

	do {
		if (!(old & bits))
			return 0;
	} while (!tdp_cmpxchg(entry, &old, old & ~bits));
	return old & bits;
}

#endif /* VMM_TDP_PTE_H */
