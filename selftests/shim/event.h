/* SPDX-License-Identifier: GPL-2.0-only */
/* Eventfds with their wait queues, and a table of descriptors of its own. */
#ifndef SHIM_EVENT_H
#define SHIM_EVENT_H

#include <linux/list.h>

#include "lock.h"

#define EPOLLIN		1u
#define EPOLLHUP	0x10u
#define key_to_poll(m)	((__poll_t)(uintptr_t)(m))

typedef struct wait_queue_entry wait_queue_entry_t;
typedef int (*wait_queue_func_t)(wait_queue_entry_t *wait, unsigned int mode, int flags, void *key);

struct wait_queue_entry {
	wait_queue_func_t func;
	struct list_head entry;
};

typedef struct wait_queue_head {
	spinlock_t lock;
	struct list_head head;
} wait_queue_head_t;

static inline void init_waitqueue_func_entry(wait_queue_entry_t *wait, wait_queue_func_t func)
{
	wait->func = func;
	INIT_LIST_HEAD(&wait->entry);
}

void add_wait_queue_priority(wait_queue_head_t *q, wait_queue_entry_t *wait);

struct eventfd_ctx {
	int refs;			/* (a) */
	wait_queue_head_t q;
	u64 count;			/* q.lock */
};

struct file {
	int refs;			/* (a) */
	struct eventfd_ctx *ctx;
};

typedef struct poll_table_struct {
	void (*func)(struct file *file, wait_queue_head_t *q, struct poll_table_struct *pt);
} poll_table;

static inline void init_poll_funcptr(poll_table *pt,
				     void (*func)(struct file *file, wait_queue_head_t *q,
						  poll_table *pt))
{
	pt->func = func;
}

__poll_t vfs_poll(struct file *file, poll_table *pt);
struct file *fget(unsigned int fd);
void fput(struct file *file);
struct eventfd_ctx *eventfd_ctx_fileget(struct file *file);
struct eventfd_ctx *eventfd_ctx_fdget(int fd);
void eventfd_ctx_put(struct eventfd_ctx *ctx);
void eventfd_ctx_do_read(struct eventfd_ctx *ctx, u64 *count);
int eventfd_ctx_remove_wait_queue(struct eventfd_ctx *ctx, wait_queue_entry_t *wait, u64 *count);
void eventfd_signal(struct eventfd_ctx *ctx);
#define vmm_eventfd_signal(ctx)	eventfd_signal(ctx)

/* The user's side. A new descriptor; what it counted, with the count gone; its end. */
int shim_eventfd(void);
u64 shim_eventfd_read(int fd);
void shim_eventfd_write(int fd);
void shim_close(int fd);

#endif /* SHIM_EVENT_H */
