/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The process's memory, of which guest memory is made: what the host maps where,
 * and its changes, announced as the kernel announces them. While a change is
 * announced nobody may use the old pages; they are freed, and overwritten, before
 * it is over.
 */
#ifndef TSAN_HOST_MEM_H
#define TSAN_HOST_MEM_H

#include "shim.h"

#define HOST_BASE	0x40000000ul	/* of the addresses */
#define HOST_BLOCKS	3		/* of 2M, each in one page or in 512 */
#define BLOCK_PAGES	512
#define HOST_PAGES	(HOST_BLOCKS * BLOCK_PAGES)
#define HOST_WORDS	4		/* of a page that are used, one by each writer */

static inline unsigned long host_address(unsigned int page)
{
	return HOST_BASE + page * PAGE_SIZE;
}

void host_create(struct mm_struct *mm);
void host_destroy(void);

/* Another page in the place of this one, with the same contents. */
void host_move_page(unsigned int page);
/* Shared, as after fork() or KSM: the next write gets a page of its own. */
void host_share_page(unsigned int page);
/* One huge page in the place of the small ones, or the other way round. */
void host_collapse(unsigned int block);
void host_split(unsigned int block);
/* Was it accessed? And forgets that. */
bool host_age(unsigned int page);

/* What is there now, as user space reads it. */
u64 host_word(unsigned int page, unsigned int word);

#endif /* TSAN_HOST_MEM_H */
