// SPDX-License-Identifier: GPL-2.0-only
#include "shim.h"

#define MAX_FILES	64

static struct file *files[MAX_FILES];
static DEFINE_SPINLOCK(files_lock);

void add_wait_queue_priority(wait_queue_head_t *q, wait_queue_entry_t *wait)
{
	unsigned long flags;

	spin_lock_irqsave(&q->lock, flags);
	list_add(&wait->entry, &q->head);
	spin_unlock_irqrestore(&q->lock, flags);
}

/* Under q->lock, as the kernel calls them. */
static void wake_locked(wait_queue_head_t *q, __poll_t what)
{
	wait_queue_entry_t *wait, *next;

	list_for_each_entry_safe(wait, next, &q->head, entry)
		wait->func(wait, 0, 0, (void *)(uintptr_t)what);
}

void eventfd_signal(struct eventfd_ctx *ctx)
{
	unsigned long flags;

	spin_lock_irqsave(&ctx->q.lock, flags);
	ctx->count++;
	wake_locked(&ctx->q, EPOLLIN);
	spin_unlock_irqrestore(&ctx->q.lock, flags);
}

void eventfd_ctx_do_read(struct eventfd_ctx *ctx, u64 *count)
{
	lockdep_assert_held(&ctx->q.lock);
	*count = ctx->count;
	ctx->count = 0;
}

int eventfd_ctx_remove_wait_queue(struct eventfd_ctx *ctx, wait_queue_entry_t *wait, u64 *count)
{
	unsigned long flags;

	spin_lock_irqsave(&ctx->q.lock, flags);
	eventfd_ctx_do_read(ctx, count);
	list_del_init(&wait->entry);
	spin_unlock_irqrestore(&ctx->q.lock, flags);
	return *count ? 0 : -EAGAIN;
}

void eventfd_ctx_put(struct eventfd_ctx *ctx)
{
	if (!__atomic_sub_fetch(&ctx->refs, 1, __ATOMIC_ACQ_REL))
		free(ctx);
}

struct eventfd_ctx *eventfd_ctx_fileget(struct file *file)
{
	__atomic_add_fetch(&file->ctx->refs, 1, __ATOMIC_RELAXED);
	return file->ctx;
}

__poll_t vfs_poll(struct file *file, poll_table *pt)
{
	struct eventfd_ctx *ctx = file->ctx;
	unsigned long flags;
	__poll_t events;

	pt->func(file, &ctx->q, pt);
	spin_lock_irqsave(&ctx->q.lock, flags);
	events = ctx->count ? EPOLLIN : 0;
	spin_unlock_irqrestore(&ctx->q.lock, flags);
	return events;
}

/* -------- descriptors -------- */

struct file *fget(unsigned int fd)
{
	struct file *file;

	spin_lock(&files_lock);
	file = fd < MAX_FILES ? files[fd] : NULL;
	if (file)
		__atomic_add_fetch(&file->refs, 1, __ATOMIC_RELAXED);
	spin_unlock(&files_lock);
	return file;
}

void fput(struct file *file)
{
	struct eventfd_ctx *ctx = file->ctx;
	unsigned long flags;

	if (__atomic_sub_fetch(&file->refs, 1, __ATOMIC_ACQ_REL))
		return;
	spin_lock_irqsave(&ctx->q.lock, flags);
	wake_locked(&ctx->q, EPOLLHUP);
	spin_unlock_irqrestore(&ctx->q.lock, flags);
	eventfd_ctx_put(ctx);
	free(file);
}

struct eventfd_ctx *eventfd_ctx_fdget(int fd)
{
	struct file *file = fget(fd);
	struct eventfd_ctx *ctx;

	if (!file)
		return ERR_PTR(-EBADF);
	ctx = eventfd_ctx_fileget(file);
	fput(file);
	return ctx;
}

int shim_eventfd(void)
{
	struct eventfd_ctx *ctx = calloc(1, sizeof(*ctx));
	struct file *file = calloc(1, sizeof(*file));
	int fd = 0;

	NEVER(!ctx || !file);
	ctx->refs = 1;
	spin_lock_init(&ctx->q.lock);
	INIT_LIST_HEAD(&ctx->q.head);
	file->refs = 1;
	file->ctx = ctx;
	spin_lock(&files_lock);
	while (fd < MAX_FILES && files[fd])
		fd++;
	NEVER(fd == MAX_FILES);
	files[fd] = file;
	spin_unlock(&files_lock);
	return fd;
}

u64 shim_eventfd_read(int fd)
{
	struct file *file = fget(fd);
	unsigned long flags;
	u64 count;

	spin_lock_irqsave(&file->ctx->q.lock, flags);
	eventfd_ctx_do_read(file->ctx, &count);
	spin_unlock_irqrestore(&file->ctx->q.lock, flags);
	fput(file);
	return count;
}

void shim_eventfd_write(int fd)
{
	struct file *file = fget(fd);

	eventfd_signal(file->ctx);
	fput(file);
}

void shim_close(int fd)
{
	struct file *file;

	spin_lock(&files_lock);
	file = files[fd];
	files[fd] = NULL;
	spin_unlock(&files_lock);
	fput(file);
}
