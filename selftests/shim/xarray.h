/* SPDX-License-Identifier: GPL-2.0-only */
/* XArrays of pointers, up to the ids that this module has: two levels, never freed before the whole. */
#ifndef SHIM_XARRAY_H
#define SHIM_XARRAY_H

#include "lock.h"

#define SHIM_XA_LEAF	512
#define SHIM_XA_LEAVES	128

struct xarray {
	pthread_mutex_t lock;		/* writers */
	void **leaf[SHIM_XA_LEAVES];	/* (a) */
	unsigned long end;		/* (a) one past the highest index ever stored */
};

void xa_init(struct xarray *xa);
void xa_destroy(struct xarray *xa);
void *xa_load(struct xarray *xa, unsigned long index);
/* Nothing was ever stored. */
#define xa_empty(xa)	(!__atomic_load_n(&(xa)->end, __ATOMIC_ACQUIRE))
void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t flags);
int xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t flags);
void *xa_erase(struct xarray *xa, unsigned long index);
void *shim_xa_next(struct xarray *xa, unsigned long *index, unsigned long from);
#define xa_err(entry)		(IS_ERR(entry) ? (int)PTR_ERR(entry) : 0)
#define xa_for_each(xa, index, entry)					\
	for ((entry) = shim_xa_next(xa, &(index), 0); entry;		\
	     (entry) = shim_xa_next(xa, &(index), (index) + 1))

#endif /* SHIM_XARRAY_H */
