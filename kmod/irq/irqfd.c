// SPDX-License-Identifier: GPL-2.0-only
/*
 * irqfd: an eventfd raises a GSI. With a resample eventfd the GSI is a level
 * that stays up until the guest acknowledges it.
 *
 * An irqfd dies by KVM_IRQFD_FLAG_DEASSIGN, by the eventfd's last close
 * (EPOLLHUP) or with the VM fd; whoever takes it off vm->irq.irqfds (under
 * irqfds_lock) queues its destruction, once.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "irq/chips.h"

/* All of them may be told within one EOI, with interrupts off. */
#define MAX_RESAMPLED	1024

struct resampler {
	struct vm *vm;
	struct list_head irqfds;	/* irq_lock; readers: ack_srcu */
	struct ack_notifier notifier;
	struct list_head link;		/* vm->irq.resamplers */
};

struct irqfd {
	struct vm *vm;
	u32 gsi;
	struct eventfd_ctx *eventfd;
	struct eventfd_ctx *resamplefd;
	struct resampler *resampler;
	struct list_head resampler_link;
	wait_queue_entry_t wait;
	poll_table pt;
	struct list_head link;		/* vm->irq.irqfds, irqfds_lock */
	struct work_struct shutdown;
};

static struct workqueue_struct *cleanup_wq;

int irqfd_module_init(void)
{
	cleanup_wq = alloc_workqueue("vmm-irqfd-cleanup", 0, 0);
	return cleanup_wq ? 0 : -ENOMEM;
}

void irqfd_module_exit(void)
{
	destroy_workqueue(cleanup_wq);
}

/* -------- resampling -------- */

/* The guest acknowledged: the level falls, the owners look whether to raise it again. */
static void resample_acked(struct ack_notifier *n)
{
	struct resampler *r = container_of(n, struct resampler, notifier);
	struct irqfd *irqfd;

	irq_set_line(r->vm, IRQ_SOURCE_RESAMPLE, n->gsi, 0);
	list_for_each_entry_srcu(irqfd, &r->irqfds, resampler_link,
				 srcu_read_lock_held(&r->vm->irq.ack_srcu))
		vmm_eventfd_signal(irqfd->resamplefd);
}

static struct resampler *resampler_get(struct vm *vm, u32 gsi)
{
	struct resampler *r;

	lockdep_assert_held(&vm->irq_lock);
	list_for_each_entry(r, &vm->irq.resamplers, link)
		if (r->notifier.gsi == gsi)
			return r;
	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return NULL;
	r->vm = vm;
	INIT_LIST_HEAD(&r->irqfds);
	r->notifier.gsi = gsi;
	r->notifier.acked = resample_acked;
	list_add(&r->link, &vm->irq.resamplers);
	ack_notifier_register(vm, &r->notifier);
	return r;
}

static int resampler_join(struct irqfd *irqfd)
{
	irqfd->resampler = resampler_get(irqfd->vm, irqfd->gsi);
	if (!irqfd->resampler)
		return -ENOMEM;
	list_add_rcu(&irqfd->resampler_link, &irqfd->resampler->irqfds);
	irqfd->vm->irq.nr_resampled++;
	return 0;
}

static int resample_attach(struct irqfd *irqfd)
{
	struct vm *vm = irqfd->vm;
	int err = -ENOSPC;

	mutex_lock(&vm->irq_lock);
	if (vm->irq.nr_resampled < MAX_RESAMPLED)
		err = resampler_join(irqfd);
	mutex_unlock(&vm->irq_lock);
	return err;
}

static void resample_detach(struct irqfd *irqfd)
{
	struct resampler *r = irqfd->resampler;
	struct vm *vm = irqfd->vm;

	if (!r)
		return;
	mutex_lock(&vm->irq_lock);
	vm->irq.nr_resampled--;
	list_del_rcu(&irqfd->resampler_link);
	synchronize_srcu(&vm->irq.ack_srcu);
	if (list_empty(&r->irqfds)) {
		list_del(&r->link);
		ack_notifier_unregister(vm, &r->notifier);
		irq_set_line(vm, IRQ_SOURCE_RESAMPLE, irqfd->gsi, 0);
		kfree(r);
	}
	mutex_unlock(&vm->irq_lock);
}

/* -------- the eventfd side -------- */

static void irqfd_shutdown(struct work_struct *work)
{
	struct irqfd *irqfd = container_of(work, struct irqfd, shutdown);
	u64 count;

	/* The one that assigns it may not have put it on the wait queue yet. */
	mutex_lock(&irqfd->vm->irq_lock);
	mutex_unlock(&irqfd->vm->irq_lock);
	eventfd_ctx_remove_wait_queue(irqfd->eventfd, &irqfd->wait, &count);
	resample_detach(irqfd);
	if (irqfd->resamplefd)
		eventfd_ctx_put(irqfd->resamplefd);
	eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

/* Caller holds irqfds_lock. */
static void irqfd_deactivate(struct irqfd *irqfd)
{
	lockdep_assert_held(&irqfd->vm->irq.irqfds_lock);
	list_del_init(&irqfd->link);
	queue_work(cleanup_wq, &irqfd->shutdown);
}

static void irqfd_inject(struct irqfd *irqfd)
{
	if (irqfd->resampler) {
		irq_set_line(irqfd->vm, IRQ_SOURCE_RESAMPLE, irqfd->gsi, 1);
		return;
	}
	irq_pulse(irqfd->vm, IRQ_SOURCE_USER, irqfd->gsi);
}

/* With the eventfd's wait-queue lock held, irqs off. */
static int irqfd_wakeup(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct irqfd *irqfd = container_of(wait, struct irqfd, wait);
	__poll_t flags = key_to_poll(key);
	unsigned long irqflags;
	int taken = 0;
	u64 count;

	if (flags & EPOLLIN) {
		eventfd_ctx_do_read(irqfd->eventfd, &count);
		irqfd_inject(irqfd);
		taken = 1;
	}
	if (flags & EPOLLHUP) {
		spin_lock_irqsave(&irqfd->vm->irq.irqfds_lock, irqflags);
		if (!list_empty(&irqfd->link))
			irqfd_deactivate(irqfd);
		spin_unlock_irqrestore(&irqfd->vm->irq.irqfds_lock, irqflags);
	}
	return taken;
}

static void irqfd_queue_proc(struct file *file, wait_queue_head_t *wqh, poll_table *pt)
{
	struct irqfd *irqfd = container_of(pt, struct irqfd, pt);

	add_wait_queue_priority(wqh, &irqfd->wait);
}

/* -------- KVM_IRQFD -------- */

static int irqfd_publish(struct irqfd *irqfd)
{
	struct vm *vm = irqfd->vm;
	struct irqfd *other;
	int err = 0;

	spin_lock_irq(&vm->irq.irqfds_lock);
	list_for_each_entry(other, &vm->irq.irqfds, link)
		if (other->eventfd == irqfd->eventfd)
			err = -EBUSY;
	if (!err)
		list_add_tail(&irqfd->link, &vm->irq.irqfds);
	spin_unlock_irq(&vm->irq.irqfds_lock);
	return err;
}

/*
 * The irqfd may be deactivated as soon as it is on the list: irqfd_shutdown()
 * waits for irq_lock, which is held from before that until it is on the queue.
 */
static void irqfd_start(struct irqfd *irqfd, struct file *file)
{
	__poll_t events;

	lockdep_assert_held(&irqfd->vm->irq_lock);
	init_waitqueue_func_entry(&irqfd->wait, irqfd_wakeup);
	init_poll_funcptr(&irqfd->pt, irqfd_queue_proc);
	events = vfs_poll(file, &irqfd->pt);
	/* Signalled before we were on the queue. */
	if (events & EPOLLIN)
		irqfd_inject(irqfd);
}

static struct irqfd *irqfd_alloc(struct vm *vm, const struct kvm_irqfd *args)
{
	struct irqfd *irqfd = kzalloc(sizeof(*irqfd), GFP_KERNEL_ACCOUNT);

	if (!irqfd)
		return NULL;
	irqfd->vm = vm;
	irqfd->gsi = args->gsi;
	INIT_LIST_HEAD(&irqfd->link);
	INIT_WORK(&irqfd->shutdown, irqfd_shutdown);
	return irqfd;
}

/* From @file, not the number again: another thread may have put another file there. */
static int irqfd_contexts(struct irqfd *irqfd, struct file *file,
			  const struct kvm_irqfd *args)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fileget(file);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	irqfd->eventfd = ctx;
	if (!(args->flags & KVM_IRQFD_FLAG_RESAMPLE))
		return 0;
	ctx = eventfd_ctx_fdget(args->resamplefd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	irqfd->resamplefd = ctx;
	return resample_attach(irqfd);
}

static void irqfd_drop(struct irqfd *irqfd)
{
	resample_detach(irqfd);
	if (irqfd->resamplefd)
		eventfd_ctx_put(irqfd->resamplefd);
	if (irqfd->eventfd)
		eventfd_ctx_put(irqfd->eventfd);
	kfree(irqfd);
}

static int irqfd_assign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct file *file;
	struct irqfd *irqfd;
	int err;

	if (vm->irq.mode == IRQCHIP_NONE)
		return -EINVAL;
	if ((args->flags & KVM_IRQFD_FLAG_RESAMPLE) && vm->irq.mode != IRQCHIP_KERNEL)
		return -EINVAL;
	file = fget(args->fd);
	if (!file)
		return -EBADF;
	err = -ENOMEM;
	irqfd = irqfd_alloc(vm, args);
	if (!irqfd)
		goto out_file;
	err = irqfd_contexts(irqfd, file, args);
	if (!err) {
		mutex_lock(&vm->irq_lock);
		err = irqfd_publish(irqfd);
		if (!err)
			irqfd_start(irqfd, file);
		mutex_unlock(&vm->irq_lock);
	}
	if (err)
		irqfd_drop(irqfd);
out_file:
	fput(file);
	return err;
}

static int irqfd_deassign(struct vm *vm, const struct kvm_irqfd *args)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(args->fd);
	struct irqfd *irqfd, *next;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	spin_lock_irq(&vm->irq.irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irq.irqfds, link)
		if (irqfd->eventfd == ctx && irqfd->gsi == args->gsi)
			irqfd_deactivate(irqfd);
	spin_unlock_irq(&vm->irq.irqfds_lock);
	eventfd_ctx_put(ctx);
	/* After the ioctl no interrupt comes from it any more. */
	flush_workqueue(cleanup_wq);
	return 0;
}

int irqfd_ioctl(struct vm *vm, const struct kvm_irqfd *args)
{
	if (args->flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
		return -EINVAL;
	return args->flags & KVM_IRQFD_FLAG_DEASSIGN ? irqfd_deassign(vm, args) :
						       irqfd_assign(vm, args);
}

void irqfd_release(struct vm *vm)
{
	struct irqfd *irqfd, *next;

	spin_lock_irq(&vm->irq.irqfds_lock);
	list_for_each_entry_safe(irqfd, next, &vm->irq.irqfds, link)
		irqfd_deactivate(irqfd);
	spin_unlock_irq(&vm->irq.irqfds_lock);
	flush_workqueue(cleanup_wq);
}
