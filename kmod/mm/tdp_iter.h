/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walk over the second-stage entries that overlap a range of gfns, parents
 * before their children, empty entries included. tdp_lock is held, for
 * reading or writing, from begin to end of a walk: nothing else keeps the
 * table pages in place.
 *
 * The body may change the entry; it then stores the new value in it->val, by
 * which the step decides whether there is a table to go down to.
 */
#ifndef VMM_TDP_ITER_H
#define VMM_TDP_ITER_H

#include "tdp_pte.h"

#define TDP_MAX_LEVELS	5

struct tdp_iter {
	const struct tdp_format *fmt;
	gfn_t gfn;		/* a gfn under the entry, the first in range */
	gfn_t end;
	int level;
	u64 *entry;
	u64 val;
	u64 *table[TDP_MAX_LEVELS + 1];
};

static inline void tdp_iter_load(struct tdp_iter *it)
{
	it->entry = &it->table[it->level][tdp_index(it->gfn, it->level)];
	it->val = READ_ONCE(*it->entry);
}

static inline void tdp_iter_begin(struct tdp_iter *it, const struct tdp_format *fmt,
				  u64 *root, gfn_t start, gfn_t end)
{
	it->fmt = fmt;
	it->gfn = start;
	it->end = end;
	it->level = fmt->levels;
	it->table[it->level] = root;
	if (start < end)
		tdp_iter_load(it);
}

static inline bool tdp_iter_valid(const struct tdp_iter *it)
{
	return it->gfn < it->end;
}

static inline void tdp_iter_next(struct tdp_iter *it)
{
	if (tdp_is_table(it->fmt, it->val, it->level)) {
		it->level--;
		it->table[it->level] = tdp_table(it->val);
		tdp_iter_load(it);
		return;
	}
	it->gfn = (it->gfn | (tdp_pages(it->level) - 1)) + 1;
	if (!tdp_iter_valid(it))
		return;
	while (it->level < it->fmt->levels && !tdp_index(it->gfn, it->level))
		it->level++;
	tdp_iter_load(it);
}

#define for_each_tdp_entry(it, fmt, root, start, end)			\
	for (tdp_iter_begin(it, fmt, root, start, end);			\
	     tdp_iter_valid(it); tdp_iter_next(it))

/* The next step passes by the table at @it, if there is one. */
static inline void tdp_iter_stay_up(struct tdp_iter *it)
{
	it->val = 0;
}

static inline bool tdp_iter_leaf(const struct tdp_iter *it)
{
	return tdp_is_leaf(it->fmt, it->val, it->level);
}

/* First gfn under the entry. */
static inline gfn_t tdp_iter_base(const struct tdp_iter *it)
{
	return it->gfn & ~(tdp_pages(it->level) - 1);
}

#endif /* VMM_TDP_ITER_H */
