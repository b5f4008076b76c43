// SPDX-License-Identifier: GPL-2.0-only
#include "cpuid.h"
#include "io.h"
#include "regs_access.h"
#include "run.h"
#include "vendor.h"
#include "vm.h"
#include "world.h"

struct vmm_vendor_caps vendor_caps;

static struct world_vcpu *wv(struct vcpu *vcpu)
{
	return container_of(vcpu, struct world_vcpu, vcpu);
}

/* -------- what the chips ask of the rest of the module -------- */

void vcpu_kick(struct vcpu *vcpu)
{
}

struct vcpu *vm_vcpu_by_id(struct vm *vm, u32 id)
{
	struct vcpu *vcpu;
	unsigned long i;

	vm_for_each_vcpu(i, vcpu, vm)
		if (vcpu->id == id)
			return vcpu;
	return NULL;
}

bool guest_cpuid_has(struct vcpu *vcpu, unsigned int feature)
{
	return feature == X86_FEATURE_X2APIC;
}

u8 vcpu_maxphyaddr(struct vcpu *vcpu)
{
	return 46;
}

void queue_nmi(struct vcpu *vcpu)
{
	wv(vcpu)->nmis++;
	vcpu_request(vcpu, REQ_EVENT);
}

void smi_queue(struct vcpu *vcpu)
{
	wv(vcpu)->smis++;
	vcpu_request(vcpu, REQ_SMI);
}

void vcpu_unhalt(struct vcpu *vcpu)
{
	wv(vcpu)->unhalts++;
	vcpu_request(vcpu, REQ_EVENT);
}

u64 vcpu_guest_tsc(const struct vcpu *vcpu, u64 host_tsc)
{
	return host_tsc + vcpu->tsc_offset;
}

int vendor_set_timer(struct vcpu *vcpu, u64 guest_tsc)
{
	if (!vendor_caps.timer)
		return -EOPNOTSUPP;
	wv(vcpu)->hw_deadline = guest_tsc;
	return 0;
}

void regs_fetch(struct vcpu *vcpu, u32 groups)
{
	vcpu->regs.avail |= groups;
}

void events_take_irq(struct vcpu *vcpu)
{
}

long mm_gfn_to_hva(struct vm *vm, int as_id, gfn_t gfn, bool write, hva_t *hva)
{
	return 0;
}

int gpa_cache_init(struct vcpu *vcpu, struct gpa_cache *gc, gpa_t gpa, unsigned int len)
{
	return 0;
}

int gpa_cache_read(struct vcpu *vcpu, struct gpa_cache *gc, void *data, unsigned int off,
		   unsigned int len)
{
	memcpy(data, world_of(vcpu->vm)->word + off, len);
	return 0;
}

int gpa_cache_write(struct vcpu *vcpu, struct gpa_cache *gc, const void *data, unsigned int off,
		    unsigned int len)
{
	memcpy(world_of(vcpu->vm)->word + off, data, len);
	return 0;
}

/* -------- life -------- */

/* Ids that two clusters of x2APIC share out among them, one of which is far from the index. */
static const u32 vcpu_ids[WORLD_VCPUS] = { 0, 1, 2, 17 };

static void create_vcpu(struct world *w, unsigned int n)
{
	struct vcpu *vcpu = &w->cpu[n].vcpu;

	vcpu->vm = &w->vm;
	vcpu->id = vcpu_ids[n];
	vcpu->index = n;
	vcpu->in_kernel_irqchip = true;
	vcpu->tsc_khz = SHIM_TSC_KHZ;
	vcpu->tsc_offset = 1000 * n;
	w->cpu[n].hw_deadline = U64_MAX;
	NEVER(lapic_create(vcpu));
	lapic_cpuid_changed(vcpu, true, !w->config.no_deadline);
	lapic_reset(vcpu, false);
	lapic_set_cmci(vcpu, w->config.cmci);
	NEVER(xa_insert(&w->vm.vcpus, n, vcpu, GFP_KERNEL));
	vm_set_near_vcpu(&w->vm, n, vcpu);
	atomic_inc(&w->vm.nr_vcpus);
}

static void create_irqfds(struct world *w)
{
	static const u32 gsis[WORLD_FDS] = { 9, 20 };
	unsigned int i;

	for (i = 0; i < WORLD_FDS; i++) {
		w->fd[i] = shim_eventfd();
		w->resample_fd[i] = shim_eventfd();
		w->fd_gsi[i] = gsis[i];
		NEVER(irqfd_ioctl(&w->vm, &(struct kvm_irqfd){
			.fd = w->fd[i], .gsi = gsis[i], .flags = KVM_IRQFD_FLAG_RESAMPLE,
			.resamplefd = w->resample_fd[i] }));
	}
}

static void create_chips(struct world *w)
{
	struct vm *vm = &w->vm;

	mutex_lock(&vm->lock);
	if (w->config.mode == IRQCHIP_SPLIT) {
		NEVER(irqchip_create_split(vm, w->config.split_pins));
	} else {
		NEVER(irqchip_create(vm));
		NEVER(pit_create(vm, &(struct kvm_pit_config){ .flags = KVM_PIT_SPEAKER_DUMMY }));
	}
	mutex_unlock(&vm->lock);
}

struct world *world_create(const struct world_config *config)
{
	struct world *w = calloc(1, sizeof(*w));
	static bool arena;
	struct vm *vm = &w->vm;
	unsigned int i;

	NEVER(!w);
	if (!arena)
		shim_arena(64);
	arena = true;
	w->config = *config;
	clock_init(&w->clock);
	clock_current = &w->clock;
	vendor_caps.timer = config->hw_timer;
	shim_vm_init(vm);
	NEVER(irq_vm_init(vm));
	vm->disabled_quirks = config->disabled_quirks;
	vm->irq.x2apic_ids = config->x2apic_ids;
	vm->irq.x2apic_no_broadcast_quirk = config->no_broadcast_quirk;
	if (config->bus_ns)
		vm->irq.apic_bus_cycle_ns = config->bus_ns;
	create_chips(w);
	for (i = 0; i < config->nr_vcpus; i++)
		create_vcpu(w, i);
	if (config->irqfds && config->mode == IRQCHIP_KERNEL)
		create_irqfds(w);
	return w;
}

void world_destroy(struct world *w)
{
	struct vm *vm = &w->vm;
	unsigned int i;

	irq_vm_release(vm);
	for (i = 0; w->config.irqfds && w->config.mode == IRQCHIP_KERNEL && i < WORLD_FDS; i++) {
		shim_close(w->fd[i]);
		shim_close(w->resample_fd[i]);
	}
	irq_vm_stop(vm);
	refcount_set(&vm->users, 0);
	io_bus_destroy(vm);
	for (i = 0; i < w->config.nr_vcpus; i++)
		lapic_destroy(&w->cpu[i].vcpu);
	irq_vm_destroy(vm);
	cleanup_srcu_struct(&vm->srcu);
	xa_destroy(&vm->vcpus);
	NEVER(clock_next(&w->clock) != KTIME_MAX);
	free(w);
}

/* -------- accesses -------- */

static int bus_access(struct world *w, unsigned int cpu, enum io_bus_kind kind, u64 addr,
		      unsigned int len, void *in, const void *out)
{
	struct vcpu *vcpu = &w->cpu[cpu].vcpu;
	int idx = srcu_read_lock(&w->vm.srcu), r;

	r = in ? io_bus_read(vcpu, kind, addr, len, in) : io_bus_write(vcpu, kind, addr, len, out);
	srcu_read_unlock(&w->vm.srcu, idx);
	return r;
}

int world_read(struct world *w, unsigned int cpu, u64 gpa, unsigned int len, u64 *val)
{
	*val = 0;
	if (lapic_mmio_read(&w->cpu[cpu].vcpu, gpa, len, val))
		return 0;
	return bus_access(w, cpu, IO_BUS_MMIO, gpa, len, val, NULL);
}

int world_write(struct world *w, unsigned int cpu, u64 gpa, unsigned int len, u64 val)
{
	if (lapic_mmio_write(&w->cpu[cpu].vcpu, gpa, len, &val))
		return 0;
	return bus_access(w, cpu, IO_BUS_MMIO, gpa, len, NULL, &val);
}

int world_in(struct world *w, unsigned int cpu, u16 port, unsigned int len, u64 *val)
{
	*val = 0;
	return bus_access(w, cpu, IO_BUS_PIO, port, len, val, NULL);
}

int world_out(struct world *w, unsigned int cpu, u16 port, unsigned int len, u64 val)
{
	return bus_access(w, cpu, IO_BUS_PIO, port, len, NULL, &val);
}

int world_rdmsr(struct world *w, unsigned int cpu, u32 msr, u64 *val)
{
	struct vcpu *vcpu = &w->cpu[cpu].vcpu;

	*val = 0;
	switch (msr) {
	case MSR_IA32_APICBASE:
		*val = vcpu->apic_base;
		return 0;
	case MSR_IA32_TSC_DEADLINE:
		*val = lapic_get_tscdeadline(vcpu);
		return 0;
	default:
		return lapic_rdmsr(vcpu, msr, val);
	}
}

int world_wrmsr(struct world *w, unsigned int cpu, u32 msr, u64 val)
{
	struct vcpu *vcpu = &w->cpu[cpu].vcpu;

	switch (msr) {
	case MSR_IA32_APICBASE:
		return lapic_set_base(vcpu, val, false);
	case MSR_IA32_TSC_DEADLINE:
		lapic_set_tscdeadline(vcpu, val);
		return 0;
	default:
		return lapic_wrmsr(vcpu, msr, val);
	}
}

u8 world_inb(struct world *w, u16 port)
{
	u64 val;

	NEVER(world_in(w, 0, port, 1, &val));
	return val;
}

void world_outb(struct world *w, u16 port, u8 val)
{
	NEVER(world_out(w, 0, port, 1, val));
}

void world_line(struct world *w, u32 gsi, int level)
{
	irq_set_line(&w->vm, IRQ_SOURCE_USER, gsi, level);
}

/* -------- vCPUs -------- */

void world_accept_init(struct world *w, unsigned int cpu)
{
	struct world_vcpu *c = &w->cpu[cpu];
	u8 vector;

	vcpu_take_request(&c->vcpu, REQ_INIT_SIPI);
	if (lapic_take_init(&c->vcpu)) {
		lapic_reset(&c->vcpu, true);
		c->sipi_wait = !vcpu_is_bsp(&c->vcpu);
	}
	if (lapic_take_sipi(&c->vcpu, &vector) && c->sipi_wait) {
		c->sipi_wait = false;
		c->sipis++;
		c->start = vector;
	}
}

int world_enter(struct world *w, unsigned int cpu, bool open)
{
	struct world_vcpu *c = &w->cpu[cpu];
	struct vcpu *vcpu = &c->vcpu;
	int vector = -1;

	world_accept_init(w, cpu);
	if (vcpu_take_request(vcpu, REQ_TIMER))
		lapic_timer_fired(vcpu);
	if (!vcpu_take_request(vcpu, REQ_EVENT) && !c->window)
		return -1;
	if (open)
		vector = irq_ack(vcpu);
	c->window = irq_pending(vcpu) >= 0;
	return vector;
}

bool world_forgot(struct world *w, unsigned int cpu)
{
	struct vcpu *vcpu = &w->cpu[cpu].vcpu;

	return !w->cpu[cpu].window && !test_bit(REQ_EVENT, &vcpu->requests) && irq_pending(vcpu) >= 0;
}

/* -------- time -------- */

void world_run_until(struct world *w, u64 end)
{
	unsigned int i;

	clock_run(&w->clock, end);
	for (i = 0; i < w->config.nr_vcpus; i++) {
		struct world_vcpu *c = &w->cpu[i];

		if (c->hw_deadline <= vcpu_guest_tsc(&c->vcpu, rdtsc()))
			lapic_timer_hw_expired(&c->vcpu);
	}
}

ktime_t world_deadline(struct world *w, unsigned int cpu)
{
	struct lapic *l = world_lapic(w, cpu);

	NEVER(l->timer.hw != (w->cpu[cpu].hw_deadline != U64_MAX));
	if (l->timer.hw)
		return w->cpu[cpu].hw_deadline;
	return hrtimer_active(&l->timer.hr) ? hrtimer_get_expires(&l->timer.hr) : KTIME_MAX;
}
