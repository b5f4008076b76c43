// SPDX-License-Identifier: GPL-2.0-only
#include <sched.h>

#include "cpuid.h"
#include "debug.h"
#include "guest.h"
#include "irq/lapic.h"
#include "msr.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "run.h"
#include "smm.h"
#include "sregs.h"
#include "stress.h"
#include "time.h"
#include "vendor.h"
#include "vm.h"
#include "xstate.h"
#include "yield.h"

#define MAGIC		0x67756573743a2d29ull
#define LAPIC_BASE	0xfee00000ull

struct vmm_vendor_caps vendor_caps = { .timer = true };

static struct guest *guest_of(struct vcpu *vcpu)
{
	return container_of(vcpu->vm, struct guest, vm);
}

static struct guest_cpu *cpu_of(struct vcpu *vcpu)
{
	return container_of(vcpu, struct guest_cpu, vcpu);
}

/* -------- the guest -------- */

static void lapic_reg_write(struct vcpu *vcpu, u32 reg, u32 val)
{
	NEVER(!lapic_mmio_write(vcpu, LAPIC_BASE + reg, 4, &val));
}

static void handler(struct guest_cpu *c, u8 vector)
{
	if (vector == GUEST_TIMER)
		c->armed = 0;
	__atomic_add_fetch(&c->seen[vector], 1, __ATOMIC_RELEASE);
	c->vcpu.exit.kind = EXIT_WRMSR;		/* its EOI */
}

/* A SIPI has made it begin anew. */
static bool just_started(struct guest_cpu *c)
{
	struct segment *cs = &c->vcpu.regs.seg[SEG_CS];

	if (!c->starts_by_sipi || !cs->selector)
		return false;
	c->start = cs->selector >> 8;
	cs->selector = 0;
	c->armed = 0;
	__atomic_add_fetch(&c->starts, 1, __ATOMIC_RELEASE);
	return true;
}

static void use_translation(struct guest_cpu *c)
{
	NEVER(c->page->magic != MAGIC);
}

/*
 * It computes for a while, then something makes it leave; now and then nothing of its own
 * does, and who wants something of it has to interrupt it.
 */
static void compute(struct guest_cpu *c)
{
	unsigned int i, n = stress_rnd() % 300;
	bool endless = n % 8 == 1;

	c->vcpu.exit.kind = EXIT_EXTINT;
	for (i = 0; i < n || endless; i++) {
		use_translation(c);
		if (i % 256 == 255)
			sched_yield();
		if (shim_take_ipi())
			return;
		if (c->hw_deadline <= vcpu_guest_tsc(&c->vcpu, rdtsc())) {
			c->vcpu.exit.kind = EXIT_PREEMPT_TIMER;
			return;
		}
	}
	if (c->armed && ktime_get_ns() - c->armed > 30ull * NSEC_PER_SEC)
		shim_bug(__FILE__, __LINE__, "the timer of vCPU %u never comes", c->vcpu.id);
	if (!c->armed && n % 3 == 0 && lapic_listens(&c->vcpu))
		c->vcpu.exit.kind = EXIT_RDMSR;		/* arms it */
	else if (n % 4 == 0)
		c->vcpu.exit.kind = EXIT_HLT;
	else
		c->vcpu.exit.kind = EXIT_CPUID;
}

void vendor_enter(struct vcpu *vcpu)
{
	struct guest_cpu *c = cpu_of(vcpu);

	NEVER(!current->irqs_off || vcpu->state != VCPU_IN_GUEST);
	c->entries++;
	vcpu->exit.vectored.type = EVENT_NONE;
	if (c->event.type == EVENT_INTR)
		handler(c, c->event.vector);
	else if (c->windows & WINDOW_IRQ)
		vcpu->exit.kind = EXIT_IRQ_WINDOW;
	else if (just_started(c))
		vcpu->exit.kind = EXIT_CPUID;
	else
		compute(c);
	c->event.type = EVENT_NONE;
}

static void arm_timer(struct guest_cpu *c)
{
	c->armed = ktime_get_ns();
	if (c->deadline_mode) {
		lapic_reg_write(&c->vcpu, APIC_LVTT, GUEST_TIMER | APIC_LVT_TIMER_TSCDEADLINE);
		lapic_set_tscdeadline(&c->vcpu, vcpu_guest_tsc(&c->vcpu, rdtsc()) + stress_rnd() % 100000);
	} else {
		lapic_reg_write(&c->vcpu, APIC_TDCR, 0xb);
		lapic_reg_write(&c->vcpu, APIC_LVTT, GUEST_TIMER);
		lapic_reg_write(&c->vcpu, APIC_TMICT, 1 + stress_rnd() % 50000);
	}
}

/* exit.c's part: those that need no sleep. */
bool vcpu_fast_exit(struct vcpu *vcpu)
{
	switch (vcpu->exit.kind) {
	case EXIT_EXTINT:
	case EXIT_CPUID:
		return true;
	case EXIT_WRMSR:
		lapic_eoi(vcpu);
		return true;
	case EXIT_RDMSR:
		arm_timer(cpu_of(vcpu));
		return true;
	case EXIT_IRQ_WINDOW:
		vcpu_request(vcpu, REQ_EVENT);
		return true;
	case EXIT_PREEMPT_TIMER:
		lapic_timer_hw_expired(vcpu);
		return true;
	default:
		return false;
	}
}

int vcpu_handle_exit(struct vcpu *vcpu)
{
	return vcpu->exit.kind == EXIT_HLT ? vcpu_halt(vcpu) : VMM_RESUME;
}

/* -------- the vendor -------- */

void vendor_inject(struct vcpu *vcpu, const struct vmm_event *event)
{
	NEVER(cpu_of(vcpu)->event.type != EVENT_NONE);
	cpu_of(vcpu)->event = *event;
}

void vendor_set_window(struct vcpu *vcpu, u32 windows)
{
	cpu_of(vcpu)->windows = windows;
}

void vendor_flush_tlb(struct vcpu *vcpu)
{
	cpu_of(vcpu)->page = __atomic_load_n(&guest_of(vcpu)->page, __ATOMIC_ACQUIRE);
}

int vendor_set_timer(struct vcpu *vcpu, u64 guest_tsc)
{
	cpu_of(vcpu)->hw_deadline = guest_tsc;
	return 0;
}

u64 vcpu_guest_tsc(const struct vcpu *vcpu, u64 host_tsc)
{
	return host_tsc;
}

bool guest_cpuid_has(struct vcpu *vcpu, unsigned int feature)
{
	return true;
}

u8 vcpu_maxphyaddr(struct vcpu *vcpu)
{
	return 46;
}

void regs_fetch(struct vcpu *vcpu, u32 groups)
{
	vcpu->regs.avail |= groups;
}

void regs_reset(struct vcpu *vcpu, bool init)
{
	vcpu->regs.rflags = X86_EFLAGS_IF;
}

void vendor_set_tpr_threshold(struct vcpu *vcpu, int tpr, int irr) { }
void vendor_set_root(struct vcpu *vcpu, hpa_t root) { }
void vendor_stay_begin(struct vcpu *vcpu) { }
void vendor_stay_end(struct vcpu *vcpu) { }
void vendor_flush_guest(struct vcpu *vcpu) { }
void vendor_log_dirty(struct vcpu *vcpu) { }
void vendor_update_intercepts(struct vcpu *vcpu) { }
void vendor_write_tsc(struct vcpu *vcpu) { }
void vendor_vcpu_reset(struct vcpu *vcpu, bool init) { }
void xstate_load(struct vcpu *vcpu) { }
void xstate_save(struct vcpu *vcpu) { }
void xstate_reset(struct vcpu *vcpu) { }
void msrs_reset(struct vcpu *vcpu) { }
void pv_reset(struct vcpu *vcpu) { }
void pv_steal_begin(struct vcpu *vcpu) { }
void pv_steal_end(struct vcpu *vcpu) { }
void pv_steal_record(struct vcpu *vcpu) { }
void pv_eoi_offer(struct vcpu *vcpu) { }
void pv_eoi_collect_slow(struct vcpu *vcpu) { }
void pv_clock_update(struct vcpu *vcpu) { }
void pv_apf_ready(struct vcpu *vcpu) { }
void cpuid_runtime_update(struct vcpu *vcpu) { }
void debug_set_dr6(struct vcpu *vcpu, u64 bits) { }
void debug_db_injected(struct vcpu *vcpu) { }
void smm_reset(struct vcpu *vcpu, bool init) { }
void smi_take(struct vcpu *vcpu) { }
void smi_recheck(struct vcpu *vcpu) { }
void smi_queue(struct vcpu *vcpu) { }
void smi_after_event(struct vcpu *vcpu) { }
void regs_store_run(struct vcpu *vcpu) { }
void yield_set_thread(struct vcpu *vcpu) { }
void yield_preempted(struct vcpu *vcpu) { }

bool smi_pending(struct vcpu *vcpu)
{
	return false;
}

bool pv_eoi_collect(struct vcpu *vcpu)
{
	return true;
}

int regs_load_run(struct vcpu *vcpu)
{
	return 0;
}

void yield_scheduled(struct vcpu *vcpu)
{
	WRITE_ONCE(vcpu->ready, false);
}

int vcpu_set_cr8(struct vcpu *vcpu, u64 cr8)
{
	return 0;
}

u64 vcpu_cr8(struct vcpu *vcpu)
{
	return lapic_get_tpr(vcpu);
}

/* -------- life -------- */

static struct guest_page *new_page(void)
{
	struct guest_page *page = malloc(sizeof(*page));

	NEVER(!page);
	page->magic = MAGIC;
	return page;
}

static void create_vcpu(struct guest *g, unsigned int n)
{
	struct guest_cpu *c = &g->cpu[n];
	struct vcpu *vcpu = &c->vcpu;

	vcpu->vm = &g->vm;
	vcpu->id = n;
	vcpu->index = n;
	vcpu->cpu = -1;
	vcpu->in_kernel_irqchip = true;
	vcpu->tsc_khz = SHIM_TSC_KHZ;
	vcpu->ev.user_vector = -1;
	vcpu->run = calloc(1, PAGE_SIZE);
	vcpu->pv = calloc(1, sizeof(*vcpu->pv));
	vcpu->pv->poll_control = VMM_POLL_ALLOWED;
	c->page = g->page;
	c->hw_deadline = U64_MAX;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	NEVER(!vcpu->run || !vcpu->pv || lapic_create(vcpu));
	lapic_cpuid_changed(vcpu, true, true);
	vcpu_reset(vcpu, false);
	NEVER(xa_insert(&g->vm.vcpus, n, vcpu, GFP_KERNEL));
	vm_set_near_vcpu(&g->vm, n, vcpu);
	atomic_inc(&g->vm.nr_vcpus);
}

struct guest *guest_create(void)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct vm *vm = &g->vm;
	unsigned int i;

	NEVER(!g);
	shim_arena(64);
	clock_init(&g->clock);
	clock_current = &g->clock;
	vm->mm = &g->mm;
	vm->halt_poll_ns = -1;
	shim_vm_init(vm);
	NEVER(irq_vm_init(vm));
	mutex_lock(&vm->lock);
	NEVER(irqchip_create(vm));
	mutex_unlock(&vm->lock);
	g->page = new_page();
	for (i = 0; i < GUEST_VCPUS; i++)
		create_vcpu(g, i);
	return g;
}

void guest_run(struct guest_cpu *c)
{
	struct vcpu *vcpu = &c->vcpu;
	int r;

	do {
		mutex_lock(&vcpu->mutex);
		r = vcpu_run(vcpu);
		mutex_unlock(&vcpu->mutex);
		WRITE_ONCE(current->signal, false);
	} while (r == -EINTR || r == -EAGAIN);
	NEVER(r != -EIO);
}

void guest_destroy(struct guest *g)
{
	struct vm *vm = &g->vm;
	unsigned int i;

	irq_vm_stop(vm);
	refcount_set(&vm->users, 0);
	for (i = 0; i < GUEST_VCPUS; i++) {
		lapic_destroy(&g->cpu[i].vcpu);
		free(g->cpu[i].vcpu.run);
		free(g->cpu[i].vcpu.pv);
	}
	xa_destroy(&vm->vcpus);
	cleanup_srcu_struct(&vm->srcu);
	free(g->page);
}
