/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that is still on the other side while the guest already runs here: userfaultfd(2)
 * stops whoever touches such a page, a request goes out, and the page's arrival lets it go on.
 */
#ifndef VMRUN_MIGRATE_POSTCOPY_H
#define VMRUN_MIGRATE_POSTCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel;
struct machine;
struct postcopy;

/* userfaultfd(2), for later: what that needs is given up then. Return: a descriptor, or -errno. */
int postcopy_prepare(void);

/* From now on the pages of @missing are absent; the bitmap is copied, and @uffd kept until postcopy_destroy(). */
int postcopy_create(struct postcopy **pc, struct machine *m, int uffd,
		    const void *missing, char *why, size_t size);
void postcopy_destroy(struct postcopy *pc);

/* Nothing will come: whoever waits for a page goes on with zeroes. */
void postcopy_abandon(struct postcopy *pc);

/*
 * Requests go out through @ch, first those that have not been answered. postcopy_stop() ends
 * that; those who wait for pages go on waiting.
 */
int postcopy_start(struct postcopy *pc, struct channel *ch);
void postcopy_stop(struct postcopy *pc);

/* A page came; NULL: zeroes. Shaped for pages_unpack(). */
int postcopy_place(void *pc, uint64_t page, const void *data);

/* What is missing still; postcopy_start() has not been called, or was stopped. */
const uint64_t *postcopy_missing(struct postcopy *pc, size_t *bytes);

bool postcopy_complete(const struct postcopy *pc);

/* Everything is here: absent pages are zeroes again. */
void postcopy_end(struct postcopy *pc);

#endif
