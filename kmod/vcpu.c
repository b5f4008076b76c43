// SPDX-License-Identifier: GPL-2.0-only
/*
 * struct vcpu: creation, destruction, states, kicks.
 */
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "coalesced.h"
#include "cpuid.h"
#include "emulate.h"
#include "ioctl.h"
#include "msr.h"
#include "pv/pv.h"
#include "smm.h"
#include "sregs.h"
#include "time.h"
#include "vendor.h"
#include "xstate.h"
#include "yield.h"

void vcpu_kick(struct vcpu *vcpu)
{
	int cpu;

	if (rcuwait_wake_up(&vcpu->wait))
		WRITE_ONCE(vcpu->ready, true);
	/* The CPU that is read here does not go down meanwhile. */
	preempt_disable();
	/* Pairs with vcpu_set_state(). */
	smp_mb();
	/* The CPU was written before the state: there is one, and it is online. */
	if (smp_load_acquire(&vcpu->state) == VCPU_IN_GUEST) {
		cpu = READ_ONCE(vcpu->cpu);
		if (cpu != smp_processor_id())
			smp_send_reschedule(cpu);
	}
	preempt_enable();
}

static int vcpu_alloc_run(struct vcpu *vcpu)
{
	int i;

	for (i = 0; i < KVM_COALESCED_MMIO_PAGE_OFFSET; i++) {
		vcpu->run_pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!vcpu->run_pages[i])
			return -ENOMEM;
	}
	vcpu->run_pages[i] = coalesced_page(vcpu->vm);
	get_page(vcpu->run_pages[i]);
	vcpu->run = page_address(vcpu->run_pages[0]);
	return 0;
}

static void vcpu_free_run(struct vcpu *vcpu)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(vcpu->run_pages); i++)
		if (vcpu->run_pages[i])
			put_page(vcpu->run_pages[i]);
}

/* The parts in the order of creation; a failing one is undone by the caller. */
static const struct {
	int (*create)(struct vcpu *vcpu);
	void (*destroy)(struct vcpu *vcpu);
} vcpu_parts[] = {
	{ vcpu_alloc_run, vcpu_free_run },
	{ dirty_ring_create, dirty_ring_destroy },
	{ walk_create, walk_destroy },
	{ xstate_create, xstate_destroy },
	{ cpuid_create, cpuid_destroy },
	{ msrs_create, msrs_destroy },
	{ pv_create, pv_destroy },
	{ emulation_create, emulation_destroy },
	{ lapic_create, lapic_destroy },
};

static void vcpu_undo_parts(struct vcpu *vcpu, int n)
{
	while (n--)
		vcpu_parts[n].destroy(vcpu);
}

static int vcpu_build(struct vcpu *vcpu)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(vcpu_parts); i++) {
		err = vcpu_parts[i].create(vcpu);
		if (err)
			goto out_undo;
	}
	err = vendor_call(vcpu_create, vcpu);
	if (err)
		goto out_undo;
	return 0;

out_undo:
	/* The destroyers accept a part that failed half-way. */
	vcpu_undo_parts(vcpu, min_t(int, i + 1, ARRAY_SIZE(vcpu_parts)));
	return err;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	vendor_call(vcpu_destroy, vcpu);
	mm_vcpu_destroy(vcpu);
	vcpu_undo_parts(vcpu, ARRAY_SIZE(vcpu_parts));
	yield_forget_thread(vcpu);
	kfree(vcpu);
}

static struct vcpu *vcpu_alloc(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = kzalloc(vendor_caps.vcpu_size, GFP_KERNEL_ACCOUNT);

	if (!vcpu)
		return NULL;
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	vcpu->index = atomic_read(&vm->nr_vcpus);
	vcpu->in_kernel_irqchip = vm->irq.mode != IRQCHIP_NONE;
	vcpu->ev.user_vector = -1;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	return vcpu;
}

/* KVM_CREATE_VCPU: the new fd or KVM's errno. Caller holds vm->lock. */
int vcpu_create(struct vm *vm, u32 id)
{
	struct vcpu *vcpu;
	struct file *file;
	int fd, err;

	lockdep_assert_held(&vm->lock);
	if (id >= vm->max_vcpu_id)
		return -EINVAL;
	if (atomic_read(&vm->nr_vcpus) >= VMM_MAX_VCPUS)
		return -EINVAL;
	if (vm_vcpu_by_id(vm, id))
		return -EEXIST;
	vcpu = vcpu_alloc(vm, id);
	if (!vcpu)
		return -ENOMEM;
	err = vcpu_build(vcpu);
	if (err) {
		kfree(vcpu);
		return err;
	}
	time_vcpu_init(vcpu);
	vcpu_reset(vcpu, false);
	vcpu_request(vcpu, REQ_DIRTY_LOG);
	err = xa_insert(&vm->vcpus, vcpu->index, vcpu, GFP_KERNEL_ACCOUNT);
	if (err)
		goto out_destroy;
	vm_set_near_vcpu(vm, vcpu->index, vcpu);
	/* A parameter may have changed before it could be found (fep.c). */
	vcpu_request(vcpu, REQ_CPUID);
	time_compare_tscs(vm);
	err = get_unused_fd_flags(O_CLOEXEC);
	if (err < 0)
		goto out_erase;
	fd = err;
	file = vcpu_open_file(vcpu);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		put_unused_fd(fd);
		goto out_erase;
	}
	vm_get(vm);
	/* Before the number can be guessed, and after all that can fail: it only grows. */
	atomic_inc(&vm->nr_vcpus);
	fd_install(fd, file);
	return fd;

out_erase:
	vm_set_near_vcpu(vm, vcpu->index, NULL);
	xa_erase(&vm->vcpus, vcpu->index);
	time_compare_tscs(vm);
out_destroy:
	synchronize_rcu();
	vcpu_destroy(vcpu);
	return err;
}

/*
 * Reset values: SDM table 10-1, APM 14.1.3. INIT keeps the FPU, the MSRs, CR0's cache
 * bits and the TSC; power-up sets everything.
 */
void vcpu_reset(struct vcpu *vcpu, bool init)
{
	vcpu->mp_state = vcpu_is_bsp(vcpu) || !vcpu->in_kernel_irqchip ?
			 KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
	memset(&vcpu->ev.ex, 0, sizeof(vcpu->ev.ex));
	memset(&vcpu->ev.irq, 0, sizeof(vcpu->ev.irq));
	vcpu->ev.nmi_injected = false;
	vcpu->ev.nmi_pending = 0;
	atomic_set(&vcpu->ev.nmi_queued, 0);
	vcpu->ev.user_vector = -1;
	/* An instruction that waits for user space is not finished in the new state. */
	vcpu->complete = NULL;
	smm_reset(vcpu, init);
	pv_reset(vcpu);
	regs_reset(vcpu, init);
	if (vcpu->lapic)
		lapic_reset(vcpu, init);
	if (!init) {
		xstate_reset(vcpu);
		msrs_reset(vcpu);
	}
	vendor_call(vcpu_reset, vcpu, init);
	cpuid_runtime_update(vcpu);
	vcpu_request(vcpu, REQ_EVENT);
}
