// SPDX-License-Identifier: GPL-2.0-only
/*
 * struct vm: creation, references, destruction, and requests to all vCPUs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "coalesced.h"
#include "io.h"
#include "msr.h"
#include "time.h"
#include "vendor.h"

/* Complete VMs, for what befalls the whole host. */
static LIST_HEAD(vms);
static DEFINE_SPINLOCK(vms_lock);

static void vm_init_fields(struct vm *vm)
{
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	mutex_init(&vm->irq_lock);
	refcount_set(&vm->users, 1);
	xa_init(&vm->vcpus);
	vm->max_vcpu_id = VMM_MAX_VCPU_ID;
	vm->halt_poll_ns = -1;
	snprintf(vm->stats_id, sizeof(vm->stats_id), "kvm-%d", task_pid_nr(current));
}

/* Undoes vm_create() from whatever step it reached; all callees accept that. */
static void vm_free(struct vm *vm)
{
	struct mm_struct *mm = vm->mm;

	vm_clock_destroy(vm);
	coalesced_destroy(vm);
	msr_filter_destroy(vm);
	cleanup_srcu_struct(&vm->srcu);
	xa_destroy(&vm->vcpus);
	kvfree(vm);
	mmdrop(mm);
}

/*
 * vm_create() - a new VM of the calling process
 * @type: KVM_CREATE_VM's argument; only 0, the default type, exists
 */
struct vm *vm_create(unsigned long type)
{
	struct vm *vm;
	int err;

	if (type)
		return ERR_PTR(-EINVAL);
	vm = kvzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	err = init_srcu_struct(&vm->srcu);
	if (err) {
		kvfree(vm);
		return ERR_PTR(err);
	}
	vm_init_fields(vm);
	mmgrab(current->mm);
	vm->mm = current->mm;

	err = vm_clock_create(vm);
	if (!err)
		err = coalesced_create(vm);
	if (err)
		goto out_free;
	err = irq_vm_init(vm);
	if (err)
		goto out_free;
	err = vendor_call(vm_create, vm);
	if (err)
		goto out_irq;
	err = mm_create(vm);
	if (err)
		goto out_vendor;
	spin_lock(&vms_lock);
	list_add(&vm->link, &vms);
	spin_unlock(&vms_lock);
	return vm;

out_vendor:
	vendor_call(vm_destroy, vm);
out_irq:
	irq_vm_destroy(vm);
out_free:
	vm_free(vm);
	return ERR_PTR(err);
}

static void vm_destroy(struct vm *vm)
{
	struct vcpu *vcpu;
	unsigned long i;

	spin_lock(&vms_lock);
	list_del(&vm->link);
	spin_unlock(&vms_lock);
	irq_vm_stop(vm);
	/* The tables go first: no vCPU runs any more, notifiers may still come. */
	mm_destroy(vm);
	io_bus_destroy(vm);
	vm_for_each_vcpu(i, vcpu, vm)
		vcpu_destroy(vcpu);
	irq_vm_destroy(vm);
	vendor_call(vm_destroy, vm);
	vm_free(vm);
}

bool vms_exist(void)
{
	bool some;

	spin_lock(&vms_lock);
	some = !list_empty(&vms);
	spin_unlock(&vms_lock);
	return some;
}

/*
 * A VM that is held is on the list, so its successor can be found. The reference
 * may turn out to be the last one, and the module must not go under it.
 */
void vms_each(void (*fn)(struct vm *vm))
{
	struct vm *vm, *last = NULL;

	if (!try_module_get(THIS_MODULE))
		return;
	spin_lock(&vms_lock);
	list_for_each_entry(vm, &vms, link) {
		if (!refcount_inc_not_zero(&vm->users))
			continue;
		spin_unlock(&vms_lock);
		if (last)
			vm_put(last);
		fn(vm);
		last = vm;
		spin_lock(&vms_lock);
	}
	spin_unlock(&vms_lock);
	if (last)
		vm_put(last);
	module_put(THIS_MODULE);
}

void vms_resumed(u64 lost)
{
	struct vm *vm;

	/* Who held it when the host went to sleep could not have slept. */
	spin_lock(&vms_lock);
	list_for_each_entry(vm, &vms, link)
		vm_clock_resumed(vm, lost);
	spin_unlock(&vms_lock);
}

void vms_slept(void)
{
	struct vm *vm;

	spin_lock(&vms_lock);
	list_for_each_entry(vm, &vms, link)
		vm_clock_anchor_again(vm);
	spin_unlock(&vms_lock);
}

void vm_get(struct vm *vm)
{
	refcount_inc(&vm->users);
}

void vm_put(struct vm *vm)
{
	if (refcount_dec_and_test(&vm->users))
		vm_destroy(vm);
}

void vm_die(struct vm *vm)
{
	struct vcpu *vcpu;
	unsigned long i;

	WRITE_ONCE(vm->dead, true);
	/* Pairs with the end of a vCPU that could not be made: vcpu_create(). */
	rcu_read_lock();
	vm_for_each_vcpu(i, vcpu, vm) {
		vcpu_request(vcpu, REQ_DEAD);
		vcpu_kick(vcpu);
	}
	rcu_read_unlock();
}

void vm_kill(struct vm *vm, const char *why)
{
	WARN_ONCE(1, "vmm: internal promise broken: %s\n", why);
	vm_die(vm);
}

struct vcpu *vm_vcpu_by_id(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = vm_vcpu(vm, id);
	unsigned long i;

	/* Index and id agree for the usual launcher. */
	if (vcpu && vcpu->id == id)
		return vcpu;
	vm_for_each_vcpu(i, vcpu, vm)
		if (vcpu->id == id)
			return vcpu;
	return NULL;
}

static void ack_request(void *unused)
{
	/* Taking the interrupt is the acknowledgment. */
}

void vm_request_all(struct vm *vm, enum vcpu_request req)
{
	cpumask_var_t mask;
	struct vcpu *vcpu;
	unsigned long i;
	bool all;

	/* Without memory for a mask every CPU is asked. */
	all = !zalloc_cpumask_var(&mask, GFP_ATOMIC);
	preempt_disable();
	vm_for_each_vcpu(i, vcpu, vm) {
		vcpu_request(vcpu, req);
		/* Pairs with the barrier of vcpu_set_state(IN_GUEST). */
		smp_mb();
		if (READ_ONCE(vcpu->state) == VCPU_IN_GUEST && !all)
			cpumask_set_cpu(READ_ONCE(vcpu->cpu), mask);
	}
	smp_call_function_many(all ? cpu_online_mask : mask, ack_request, NULL, true);
	preempt_enable();
	if (!all)
		free_cpumask_var(mask);
}
