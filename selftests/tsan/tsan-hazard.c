// SPDX-License-Identifier: GPL-2.0-only
/*
 * The word of requests: run.c, vcpu.c, vm.c, halt.c and events.c with the LAPICs
 * behind them, while other threads send interrupts, SIPIs and signals, let
 * timers expire, and take translations away.
 *
 * Each interrupt is waited for before the next one is sent, so a wake-up that
 * got lost is a hang; a vCPU that goes on with what vm_request_all() should have
 * taken from it reads a page that is freed.
 */
#include <sched.h>

#include "guest.h"
#include "irq/lapic.h"
#include "stress.h"

static struct guest *g;
static unsigned long sent;		/* (a) interrupts that were waited for */

static void *run_vcpu(void *arg)
{
	struct guest_cpu *c = arg;
	u32 val = 0x1ff;

	/* Those that start by themselves have their LAPIC on. */
	if (!c->starts_by_sipi)
		NEVER(!lapic_mmio_write(&c->vcpu, 0xfee00000 + APIC_SPIV, 4, &val));
	guest_run(c);
	return NULL;
}

/* Time passes, and whoever waits for it is called. */
static void *run_clock(void *arg)
{
	while (!stress_over()) {
		clock_run(&g->clock, ktime_get());
		sched_yield();
	}
	return NULL;
}

static bool is_on(struct guest_cpu *c)
{
	return lapic_reg(c->vcpu.lapic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED;
}

static void send_irq(struct guest_cpu *c, u8 vector)
{
	unsigned long seen = guest_seen(c, vector);

	NEVER(irq_send_msi(&g->vm, &(struct kvm_msi){
		.address_lo = 0xfee00000 | c->vcpu.id << 12, .data = vector }) != 1);
	STRESS_WAIT(guest_seen(c, vector) > seen);
}

/* To all that are on: who sends it looks at the LAPIC of the one that starts over and over, too. */
static void send_to_all(u8 vector)
{
	unsigned long seen[2] = { guest_seen(&g->cpu[0], vector), guest_seen(&g->cpu[1], vector) };

	irq_send_msi(&g->vm, &(struct kvm_msi){ .address_lo = 0xfee00000 | 0xff << 12, .data = vector });
	STRESS_WAIT(guest_seen(&g->cpu[0], vector) > seen[0] && guest_seen(&g->cpu[1], vector) > seen[1]);
}

static void signal_thread(struct guest_cpu *c)
{
	struct task_struct *task = shim_cpu(__atomic_load_n(&c->vcpu.cpu, __ATOMIC_RELAXED));

	if (!task)
		return;
	WRITE_ONCE(task->signal, true);
	wake_up_process(task);
	smp_send_reschedule(task->cpu);
}

/* Two vCPUs in turn, by vectors of several priorities; now and then user space wants one back. */
static void *send(void *arg)
{
	unsigned long i;

	STRESS_WAIT(is_on(&g->cpu[0]) && is_on(&g->cpu[1]));
	for (i = 0; i < stress_rounds; i++) {
		send_irq(&g->cpu[i % 2], 0x31 + i % 7 * 0x11);
		if (i % 8 == 7)
			send_to_all(0xc1);
		if (i % 64 == 63)
			signal_thread(&g->cpu[i / 64 % 2]);
		__atomic_store_n(&sent, i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void send_start(struct guest_cpu *c, u8 vector)
{
	unsigned long starts = __atomic_load_n(&c->starts, __ATOMIC_ACQUIRE);
	struct irq_message msg = { .dest = c->vcpu.id, .mode = APIC_DM_INIT, .assert = true };

	irq_deliver(&g->vm, NULL, &msg);
	/* INIT takes the place of a SIPI that comes with it: real senders wait, too. */
	STRESS_WAIT(!lapic_init_sipi_pending(&c->vcpu));
	msg.mode = APIC_DM_STARTUP;
	msg.vector = vector;
	irq_deliver(&g->vm, NULL, &msg);
	STRESS_WAIT(__atomic_load_n(&c->starts, __ATOMIC_ACQUIRE) > starts);
	NEVER(c->start != vector);
}

static void change_page(void)
{
	struct guest_page *new = malloc(sizeof(*new)), *old;

	NEVER(!new);
	new->magic = g->page->magic;
	old = __atomic_exchange_n(&g->page, new, __ATOMIC_ACQ_REL);
	vm_request_all(&g->vm, REQ_TLB_FLUSH);
	old->magic = 0;
	free(old);
}

/* Not ahead of send(): a flush's IPI would make up for an interrupt whose own kick is missing. */
static void *flush_and_start(void *arg)
{
	unsigned long i;

	for (i = 0; i < stress_rounds; i++) {
		STRESS_WAIT(__atomic_load_n(&sent, __ATOMIC_ACQUIRE) >= i);
		change_page();
		if (i % 16 == 0)
			send_start(&g->cpu[2], 1 + i / 16 % 255);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int i;

	stress_begin(argc, argv, 3000);
	g = guest_create();
	g->cpu[1].deadline_mode = true;
	g->cpu[1].vcpu.mp_state = KVM_MP_STATE_RUNNABLE;
	g->cpu[2].starts_by_sipi = true;
	stress_start(send, NULL);
	stress_start(flush_and_start, NULL);
	{
		static pthread_t clock, vcpu[GUEST_VCPUS];

		pthread_create(&clock, NULL, run_clock, NULL);
		for (i = 0; i < GUEST_VCPUS; i++)
			pthread_create(&vcpu[i], NULL, run_vcpu, &g->cpu[i]);
		stress_join();
		vm_die(&g->vm);
		for (i = 0; i < GUEST_VCPUS; i++)
			pthread_join(vcpu[i], NULL);
		stress_finish();
		pthread_join(clock, NULL);
	}
	for (i = 0; i < GUEST_VCPUS; i++)
		printf("# vCPU %u: %lu entries, %llu halts, %llu times woken, %lu timer interrupts, %lu starts\n",
		       i, g->cpu[i].entries, g->cpu[i].vcpu.stats.halt_exits,
		       g->cpu[i].vcpu.stats.halt_wakeup, g->cpu[i].seen[GUEST_TIMER], g->cpu[i].starts);
	guest_destroy(g);
	printf("ok 1 %lu interrupts, flushes\n", stress_rounds);
	return 0;
}
