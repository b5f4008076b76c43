// SPDX-License-Identifier: GPL-2.0-only
#include "shim.h"

void xa_init(struct xarray *xa)
{
	memset(xa, 0, sizeof(*xa));
	pthread_mutex_init(&xa->lock, NULL);
}

void xa_destroy(struct xarray *xa)
{
	unsigned int i;

	for (i = 0; i < SHIM_XA_LEAVES; i++)
		free(xa->leaf[i]);
	memset(xa->leaf, 0, sizeof(xa->leaf));
	xa->end = 0;
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	void **leaf;

	if (index >= __atomic_load_n(&xa->end, __ATOMIC_ACQUIRE))
		return NULL;
	leaf = __atomic_load_n(&xa->leaf[index / SHIM_XA_LEAF], __ATOMIC_ACQUIRE);
	return leaf ? __atomic_load_n(&leaf[index % SHIM_XA_LEAF], __ATOMIC_ACQUIRE) : NULL;
}

/* Under the lock: where @index is, NULL without memory. */
static void **slot(struct xarray *xa, unsigned long index)
{
	void ***leaf = &xa->leaf[index / SHIM_XA_LEAF];

	NEVER(index >= SHIM_XA_LEAF * SHIM_XA_LEAVES);
	if (!*leaf)
		__atomic_store_n(leaf, shim_alloc(SHIM_XA_LEAF * sizeof(void *), 0), __ATOMIC_RELEASE);
	if (!*leaf)
		return NULL;
	if (index >= xa->end)
		__atomic_store_n(&xa->end, index + 1, __ATOMIC_RELEASE);
	return &(*leaf)[index % SHIM_XA_LEAF];
}

void *xa_store(struct xarray *xa, unsigned long index, void *entry, gfp_t flags)
{
	void **where, *old = ERR_PTR(-ENOMEM);

	pthread_mutex_lock(&xa->lock);
	where = slot(xa, index);
	if (where)
		old = __atomic_exchange_n(where, entry, __ATOMIC_ACQ_REL);
	pthread_mutex_unlock(&xa->lock);
	return old;
}

int xa_insert(struct xarray *xa, unsigned long index, void *entry, gfp_t flags)
{
	if (xa_load(xa, index))
		return -EBUSY;
	return xa_err(xa_store(xa, index, entry, flags));
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	return xa_load(xa, index) ? xa_store(xa, index, NULL, GFP_ATOMIC) : NULL;
}

void *shim_xa_next(struct xarray *xa, unsigned long *index, unsigned long from)
{
	unsigned long end = __atomic_load_n(&xa->end, __ATOMIC_ACQUIRE);
	void *entry;

	for (; from < end; from++) {
		entry = xa_load(xa, from);
		if (entry) {
			*index = from;
			return entry;
		}
	}
	return NULL;
}
