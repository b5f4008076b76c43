// SPDX-License-Identifier: GPL-2.0-only
/* Steal time, who is preempted, and the flush that waits for a preempted vCPU. */
#include "pv.h"

#define MS	1000000ull

static volatile struct kvm_steal_time *steal(struct guest *g, int id)
{
	return (void *)(g->mem + STEAL_GPA(id));
}

static void steal_on(struct guest_cpu *cpu)
{
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_STEAL_TIME, STEAL_GPA(cpu->id) | 1), 1);
}

static void steal_guest(struct guest *g, int ncpus)
{
	int i;

	irq_guest(g, CHIP_KERNEL, ncpus);
	pv_need_feature(g, KVM_FEATURE_STEAL_TIME);
	g->rflags = 0x200;
	for (i = 0; i < ncpus; i++)
		steal_on(&g->cpu[i]);
}

/* What a thread waited for a CPU, in ns. */
static uint64_t run_delay(pid_t tid)
{
	unsigned long long ran, waited;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", tid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%llu %llu", &ran, &waited) != 2)
		SKIP("no %s", path);
	fclose(f);
	return waited;
}

/* -------- the page as the guest finds it -------- */

GUEST void look_guest(void)
{
	volatile struct kvm_steal_time *st = (void *)STEAL_GPA(0);

	SH->out[0] = st->version;
	SH->out[1] = st->preempted;
	SH->out[2] = st->flags;
	report(st->version);
}

static void look(void)
{
	volatile struct kvm_steal_time *st;
	uint32_t version;
	struct guest g;

	steal_guest(&g, 1);
	st = steal(&g, 0);
	st->version = 5;		/* somebody left it odd */
	st->preempted = 0xff;
	st->pad[0] = 0x1234;
	version = irq_exec(&g.cpu[0], look_guest);
	CHECK(version > 5 && !(version & 1), "(%u)", version);
	CHECK_EQ(shared(&g)->out[1], 0);
	CHECK_EQ(shared(&g)->out[2], 0);
	CHECK_EQ(st->pad[0], 0x1234);
	/* It left by itself: in the middle of an instruction it is not said to be preempted. */
	CHECK_EQ(st->preempted, 0);
	CHECK(!(irq_exec(&g.cpu[0], look_guest) & 1));
	CHECK(st->version > version);
}

static void off_again(void)
{
	volatile struct kvm_steal_time *st;
	struct guest g;

	steal_guest(&g, 1);
	st = steal(&g, 0);
	irq_exec(&g.cpu[0], look_guest);
	CHECK_EQ(guest_set_msr(&g.cpu[0], MSR_KVM_STEAL_TIME, 0), 1);
	memset((void *)st, 0, sizeof(*st));
	CHECK_EQ(irq_exec(&g.cpu[0], look_guest), 0);
	CHECK_EQ(st->version, 0);
	CHECK_EQ(st->preempted, 0);
}

GUEST void switch_on_guest(void)
{
	volatile struct kvm_steal_time *st = (void *)STEAL_GPA(0);

	wrmsr_(MSR_KVM_STEAL_TIME, STEAL_GPA(0) | 1);
	report(st->version);
	report(st->preempted);
}

/* The guest's own WRMSR is enough; the thread was under way already. */
static void by_the_guest(void)
{
	uint32_t version;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	g.rflags = 0x200;
	version = irq_exec(&g.cpu[0], switch_on_guest);
	CHECK(version >= 2 && !(version & 1), "(%u)", version);
	CHECK_EQ(irq_next(&g.cpu[0]), 0);
}

/* Its memory goes and comes back: nobody dies, and then it is written again. */
static void no_page(void)
{
	void *mem = guest_alloc(PAGE_2M);
	volatile struct kvm_steal_time *st = mem;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	guest_slot(&g, 1, 0, NO_MEMORY_GPA, PAGE_2M, mem);
	CHECK_EQ(guest_set_msr(&g.cpu[0], MSR_KVM_STEAL_TIME, NO_MEMORY_GPA | 1), 1);
	irq_exec(&g.cpu[0], look_guest);
	CHECK(st->version);
	guest_slot(&g, 1, 0, NO_MEMORY_GPA, 0, mem);
	memset(mem, 0, sizeof(*st));
	irq_exec(&g.cpu[0], look_guest);
	CHECK_EQ(st->version, 0);
	CHECK_EQ(st->preempted, 0);
	guest_slot(&g, 1, 0, NO_MEMORY_GPA, PAGE_2M, mem);
	irq_exec(&g.cpu[0], look_guest);
	CHECK(st->version);
}

/* -------- time -------- */

struct spinner {
	struct guest_cpu *cpu;
	pthread_t thread;
	uint64_t waited;
};

GUEST void spin_guest(void)
{
	while (!SH->go)
		pause_();
	report(1);
}

static void *spinner(void *arg)
{
	struct spinner *s = arg;

	CHECK_EQ(irq_exec(s->cpu, spin_guest), 1);
	s->waited = run_delay(syscall(SYS_gettid));
	return NULL;
}

static void time_is_stolen(void)
{
	struct spinner s[2];
	uint64_t sum = 0;
	struct guest g;
	int i;

	pv_one_cpu();
	steal_guest(&g, 2);
	for (i = 0; i < 2; i++) {
		s[i].cpu = &g.cpu[i];
		CHECK_EQ(pthread_create(&s[i].thread, NULL, spinner, &s[i]), 0);
	}
	sleep_ms(400);
	shared(&g)->go = 1;
	for (i = 0; i < 2; i++)
		pthread_join(s[i].thread, NULL);
	for (i = 0; i < 2; i++) {
		uint64_t stolen = steal(&g, i)->steal;

		printf("# vCPU %d: stolen %llu us, waited %llu us\n", i,
		       (unsigned long long)stolen / 1000, (unsigned long long)s[i].waited / 1000);
		CHECK(stolen <= s[i].waited);
		CHECK_EQ(steal(&g, i)->version & 1, 0);
		sum += stolen;
	}
	/* One of the two waited at any time. */
	CHECK(sum > 200 * MS);
}

/* -------- who is preempted -------- */

GUEST void watch_guest(void)
{
	volatile struct kvm_steal_time *other = (void *)STEAL_GPA(1);

	while (!SH->ready)
		pause_();
	while (!(other->preempted & KVM_VCPU_PREEMPTED))
		pause_();
	report(0x77);
}

GUEST void run_guest(void)
{
	volatile struct kvm_steal_time *mine = (void *)STEAL_GPA(1);
	uint32_t seen = 0;

	SH->ready = 1;
	while (!SH->go)
		seen |= mine->preempted;
	report(seen);
}

/* On one CPU: whenever the one runs, the other is preempted and looks so, but never to itself. */
static void seen_by_another(void)
{
	struct irq_thread a, b;
	struct guest g;

	pv_one_cpu();
	steal_guest(&g, 2);
	irq_start(&g.cpu[0], watch_guest);
	irq_start(&g.cpu[1], run_guest);
	irq_thread(&b, &g.cpu[1]);
	irq_thread(&a, &g.cpu[0]);
	CHECK_EQ(irq_join(&a), 0x77);
	shared(&g)->go = 1;
	CHECK_EQ(irq_join(&b), 0);
}

GUEST void sleep_guest(void)
{
	volatile struct kvm_steal_time *mine = (void *)STEAL_GPA(0);

	apic_on();
	SH->ready = 1;
	hlt_();
	report(mine->preempted);
}

static void asleep(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x41 };
	struct irq_thread t;
	struct guest g;
	int i;

	steal_guest(&g, 1);
	irq_start(&g.cpu[0], sleep_guest);
	irq_thread(&t, &g.cpu[0]);
	for (i = 0; i < 5000 && !shared(&g)->ready; i++)
		sleep_ms(1);
	CHECK(shared(&g)->ready);
	sleep_ms(50);
	/* It has no use for a CPU. */
	CHECK_EQ(steal(&g, 0)->preempted, 0);
	CHECK_EQ(ioctl(g.fd, KVM_SIGNAL_MSI, &msi), 1);
	CHECK_EQ(irq_join(&t), 0);
}

/* -------- the flush -------- */

#define TEST_VA		0x40000000ul	/* 1 GiB: second entry of the PDPT */
#define A_GPA		0x180000ul
#define B_GPA		0x181000ul

GUEST void flush_guest(void)
{
	/* Nothing is left of an earlier run; as cheap as that, and no exit. */
	asm volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" : : : "rax", "memory");
	while (!SH->go)
		SH->out[0] = *(volatile uint32_t *)TEST_VA;
	report(*(volatile uint32_t *)TEST_VA);
}

/* Under the linear address a page table of 4K entries; its first entry is returned. */
static volatile uint64_t *map_test_page(struct guest *g)
{
	uint64_t *pdpt = (uint64_t *)(g->mem + 0x3000);
	uint64_t *pd = (uint64_t *)(g->mem + (pdpt[1] & ~0xfffull));
	uint64_t *pt = (uint64_t *)(g->mem + 0x182000);

	pd[0] = 0x182000 | 3;
	pt[0] = A_GPA | 3;
	*(uint32_t *)(g->mem + A_GPA) = 0xaa;
	*(uint32_t *)(g->mem + B_GPA) = 0xbb;
	return pt;
}

/* Back on the CPU that the vCPU's thread is to share: it was interrupted, and waits. */
static void take_cpu(struct guest *g)
{
	int i;

	for (i = 0; i < 100; i++) {
		sleep_ms(20);
		if (steal(g, 0)->preempted == KVM_VCPU_PREEMPTED)
			return;
	}
	FAIL("never preempted");
}

/* Changes what TEST_VA leads to under a preempted vCPU; the number of its flushes. */
static uint64_t remap(struct guest *g, bool flush)
{
	volatile struct kvm_steal_time *st = steal(g, 0);
	volatile uint64_t *pte = map_test_page(g);
	uint64_t before = guest_cpu_stat(&g->cpu[0], "tlb_flush");
	struct irq_thread t;

	shared(g)->go = 0;
	irq_start(&g->cpu[0], flush_guest);
	irq_thread(&t, &g->cpu[0]);
	take_cpu(g);
	CHECK_EQ(shared(g)->out[0], 0xaa);
	*pte = B_GPA | 3;
	if (flush) {
		CHECK_EQ(__sync_val_compare_and_swap(&st->preempted, KVM_VCPU_PREEMPTED,
						     KVM_VCPU_PREEMPTED | KVM_VCPU_FLUSH_TLB),
			 KVM_VCPU_PREEMPTED);
		take_cpu(g);
		CHECK_EQ(shared(g)->out[0], 0xbb);
	}
	take_cpu(g);
	shared(g)->go = 1;
	irq_join(&t);
	return guest_cpu_stat(&g->cpu[0], "tlb_flush") - before;
}

static void flush(void)
{
	struct guest g;

	pv_one_cpu();
	steal_guest(&g, 1);
	pv_need_feature(&g, KVM_FEATURE_PV_TLB_FLUSH);
	remap(&g, true);
	CHECK_EQ(remap(&g, true), 1);
	CHECK_EQ(remap(&g, false), 0);
}

static const struct test tests[] = {
	{ "version, flags, preempted", look },
	{ "switched off again", off_again },
	{ "switched on by the guest", by_the_guest },
	{ "its memory goes and comes", no_page },
	{ "two on one CPU", time_is_stolen },
	{ "preempted, seen by another vCPU", seen_by_another },
	{ "not preempted while it sleeps", asleep },
	{ "flush left for a preempted one", flush },
};

TEST_MAIN(tests)
