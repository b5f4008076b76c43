// SPDX-License-Identifier: GPL-2.0-only
/* Whoever writes guest memory for a vCPU tells of it, by bitmap and by ring. */
#include <asm/kvm_para.h>

#include "../irq/irq.h"
#include "dirty.h"

#define MMIO_GPA	0x40000000ul	/* memory nowhere */
#define PORT		0x61
#define AS1		(1u << 16)
#define MSR_SMBASE	0x9e
#define TARGET		1000ul		/* page of the slot that is written */
#define TARGET_GPA	(GPA + TARGET * PAGE_4K)
#define TABLE		2000ul		/* page of the slot that holds a table */
#define TABLE_GPA	(GPA + TABLE * PAGE_4K)
#define BYSTANDER	3000ul		/* page that nobody writes */
#define WINDOW		0x80000000ul	/* linear address of what the table maps */
#define PDPT_GPA	0x3000ul	/* of lib/guest.c */

/* An irqchip, guest functions, and the slot not logged yet. */
static void writer_guest(struct dirty *d, bool rings)
{
	memset(d, 0, sizeof(*d));
	guest_create(&d->g, 32 * MB);
	dirty_rings(d, rings);
	MUST(ioctl(d->g.fd, KVM_CREATE_IRQCHIP, 0));
	guest_load(&d->g, __start_guest, __stop_guest);
	irq_gates(&d->g);
	d->cpu = guest_add_cpu(&d->g);
	irq_long_mode(d->cpu);
	dirty_map_ring(d, d->cpu);
	dirty_slot(d, false);
}

static void expect_told(struct dirty *d, unsigned long page)
{
	dirty_collect(d);
	CHECK(is_dirty(d, page), "(page %lu)", page);
	CHECK(!is_dirty(d, BYSTANDER));
}

/* The same test by bitmap and by ring. */
static void both(void (*test)(struct dirty *d))
{
	struct dirty d;
	int rings;

	for (rings = 0; rings < 2; rings++) {
		writer_guest(&d, rings);
		test(&d);
	}
}

static bool feature(struct guest *g, int bit)
{
	return guest_cpuid_reg(g, KVM_CPUID_FEATURES, 0, 0) & 1u << bit;
}

GUEST void report_guest(void)
{
	report(1);
}

/* -------- the emulator -------- */

/* From arg[0] to arg[1]. */
GUEST void movs_guest(void)
{
	uint64_t from = SH->arg[0], to = SH->arg[1];

	asm volatile("cld; movsl" : "+S" (from), "+D" (to) : : "memory");
	report(1);
}

static void movs(struct dirty *d, uint64_t to)
{
	struct kvm_run *run = d->cpu->run;

	shared(&d->g)->arg[0] = MMIO_GPA;
	shared(&d->g)->arg[1] = to;
	irq_start(d->cpu, movs_guest);
	CHECK_EQ(guest_run(d->cpu), 0);
	guest_expect(d->cpu, KVM_EXIT_MMIO);
	memset(run->mmio.data, 0x5a, sizeof(run->mmio.data));
	CHECK_EQ(irq_next(d->cpu), 1);
}

static void emulated(struct dirty *d)
{
	log_on(d, true);
	movs(d, TARGET_GPA);
	CHECK_EQ(*(uint32_t *)(d->mem + TARGET * PAGE_4K), 0x5a5a5a5a);
	expect_told(d, TARGET);
}

/* Over the border of two pages. */
static void emulated_two(struct dirty *d)
{
	log_on(d, true);
	movs(d, TARGET_GPA + PAGE_4K - 2);
	dirty_collect(d);
	CHECK(is_dirty(d, TARGET) && is_dirty(d, TARGET + 1) && !is_dirty(d, TARGET + 2));
}

/* The table that maps the target gets its A and D bits from the emulator's walk. */
static void walked(struct dirty *d)
{
	uint64_t *pdpt = (uint64_t *)(d->g.mem + PDPT_GPA);
	uint64_t *pd = (uint64_t *)(d->mem + TABLE * PAGE_4K);

	pd[0] = GPA | 0x83;
	pdpt[WINDOW >> 30] = TABLE_GPA | 3;
	log_on(d, true);
	movs(d, WINDOW + PAGE_4K);
	CHECK_EQ(pd[0] & 0x60, 0x60);
	dirty_collect(d);
	CHECK(is_dirty(d, TABLE));
	CHECK(is_dirty(d, 1));
}

GUEST void ins_guest(void)
{
	uint64_t to = SH->arg[1], n = 64;

	asm volatile("cld; rep insb" : "+D" (to), "+c" (n) : "d" (PORT) : "memory");
	report(1);
}

static void port_input(struct dirty *d)
{
	struct kvm_run *run = d->cpu->run;

	log_on(d, true);
	shared(&d->g)->arg[1] = TARGET_GPA;
	irq_start(d->cpu, ins_guest);
	for (;;) {
		CHECK_EQ(guest_run(d->cpu), 0);
		guest_expect(d->cpu, KVM_EXIT_IO);
		if (run->io.port != PORT)
			break;
		memset((char *)run + run->io.data_offset, 0x77, run->io.size * run->io.count);
	}
	CHECK_EQ(d->mem[TARGET * PAGE_4K + 63], 0x77);
	expect_told(d, TARGET);
}

/* The other vendor's hypercall is patched where it stands. */
GUEST void call_guest(void)
{
	asm volatile("call *%0" : : "r" (TARGET_GPA), "a" (1000) : "memory");
	report(1);
}

static bool is_amd(struct guest *g)
{
	return guest_cpuid_reg(g, 0, 0, 2) == 0x444d4163;	/* cAMD */
}

static void patched(struct dirty *d)
{
	static const uint8_t vmcall[] = { 0x0f, 0x01, 0xc1, 0xc3 }, vmmcall[] = { 0x0f, 0x01, 0xd9, 0xc3 };
	bool amd = is_amd(&d->g);

	memcpy(d->mem + TARGET * PAGE_4K, amd ? vmcall : vmmcall, 4);
	log_on(d, true);
	CHECK_EQ(irq_exec(d->cpu, call_guest), 1);
	if (memcmp(d->mem + TARGET * PAGE_4K, amd ? vmmcall : vmcall, 4))
		SKIP("not patched");
	expect_told(d, TARGET);
}

/* -------- paravirtual features -------- */

GUEST void msr_guest(void)
{
	wrmsr_(SH->arg[0], SH->arg[1]);
	report(1);
}

static void guest_writes_msr(struct dirty *d, uint32_t msr, uint64_t val)
{
	shared(&d->g)->arg[0] = msr;
	shared(&d->g)->arg[1] = val;
	CHECK_EQ(irq_exec(d->cpu, msr_guest), 1);
}

static void wall_clock(struct dirty *d)
{
	log_on(d, true);
	/* Within the ioctl, no KVM_RUN about. */
	CHECK_EQ(guest_set_msr(d->cpu, MSR_KVM_WALL_CLOCK_NEW, TARGET_GPA), 1);
	expect_told(d, TARGET);
	guest_writes_msr(d, MSR_KVM_WALL_CLOCK_NEW, TARGET_GPA + PAGE_4K);
	expect_told(d, TARGET + 1);
}

static void kvmclock(struct dirty *d)
{
	log_on(d, true);
	CHECK_EQ(guest_set_msr(d->cpu, MSR_KVM_SYSTEM_TIME_NEW, TARGET_GPA | 1), 1);
	CHECK_EQ(irq_exec(d->cpu, report_guest), 1);
	expect_told(d, TARGET);
	guest_writes_msr(d, MSR_KVM_SYSTEM_TIME_NEW, (TARGET_GPA + PAGE_4K) | 1);
	expect_told(d, TARGET + 1);
}

static void steal_time(struct dirty *d)
{
	if (!feature(&d->g, KVM_FEATURE_STEAL_TIME))
		SKIP("no steal time");
	log_on(d, true);
	CHECK_EQ(guest_set_msr(d->cpu, MSR_KVM_STEAL_TIME, TARGET_GPA | 1), 1);
	CHECK_EQ(irq_exec(d->cpu, report_guest), 1);
	expect_told(d, TARGET);
}

/* The interrupt's EOI is offered, and nobody makes use of it. */
GUEST void eoi_guest(void)
{
	apic_on();
	sti_();
	send_ipi(0, 0x44000 | 0x61);
	pause_();
	cli_();
	report(SH->count[0x61]);
}

static void pv_eoi(struct dirty *d)
{
	if (!feature(&d->g, KVM_FEATURE_PV_EOI))
		SKIP("no PV EOI");
	shared(&d->g)->x2apic = 1;
	shared(&d->g)->eoi = EOI_NONE;
	CHECK_EQ(guest_set_msr(d->cpu, MSR_KVM_PV_EOI_EN, TARGET_GPA | 1), 1);
	log_on(d, true);
	CHECK_EQ(irq_exec(d->cpu, eoi_guest), 1);
	expect_told(d, TARGET);
}

GUEST void pairing_guest(void)
{
	uint64_t nr = 9, gpa = SH->arg[1];

	if (SH->arg[0])
		asm volatile("vmmcall" : "+a" (nr) : "b" (gpa), "c" (0) : "memory");
	else
		asm volatile("vmcall" : "+a" (nr) : "b" (gpa), "c" (0) : "memory");
	SH->out[0] = nr;
	report(1);
}

static void clock_pairing(struct dirty *d)
{
	log_on(d, true);
	shared(&d->g)->arg[0] = is_amd(&d->g);
	shared(&d->g)->arg[1] = TARGET_GPA;
	CHECK_EQ(irq_exec(d->cpu, pairing_guest), 1);
	if (shared(&d->g)->out[0])
		SKIP("no clock pairing");
	expect_told(d, TARGET);
}

/* -------- other ioctls, SMM -------- */

GUEST void apic_guest(void)
{
	apic_on();
	report(1);
	report(2);
}

static void vapic(struct dirty *d)
{
	struct kvm_vapic_addr va = { .vapic_addr = TARGET_GPA };
	struct kvm_mp_state mp;

	shared(&d->g)->x2apic = 0;
	CHECK_EQ(irq_exec(d->cpu, apic_guest), 1);
	MUST(ioctl(d->cpu->fd, KVM_SET_VAPIC_ADDR, &va));
	log_on(d, true);
	/* KVM writes the word when something may have changed: what is set anew has. */
	MUST(ioctl(d->cpu->fd, KVM_GET_MP_STATE, &mp));
	MUST(ioctl(d->cpu->fd, KVM_SET_MP_STATE, &mp));
	CHECK_EQ(irq_next(d->cpu), 2);
	expect_told(d, TARGET);
}

GUEST_CODE(writer_rsm, ".code16\n rsm\n");

/* The state is saved in the last 512 bytes of 64 KiB, seen in address space 1. */
static void smm_state(struct dirty *d)
{
	uint64_t smbase = GPA + MB;
	unsigned long page = (MB + 0xfe00) / PAGE_4K;

	if (ioctl(d->g.fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) <= 0)
		SKIP("no SMM");
	guest_slot(&d->g, AS1, 0, 0, d->g.size, d->g.mem);
	d->slot |= AS1;
	log_on(d, true);
	memcpy(d->mem + MB + 0x8000, writer_rsm, writer_rsm_end - writer_rsm);
	if (guest_set_msr(d->cpu, MSR_SMBASE, smbase) != 1)
		SKIP("no SMBASE");
	MUST(ioctl(d->cpu->fd, KVM_SMI, 0));
	CHECK_EQ(irq_exec(d->cpu, report_guest), 1);
	expect_told(d, page);
}

/* -------- rows -------- */

#define WRITER(name) static void name##_both(void) { both(name); }
WRITER(emulated)
WRITER(emulated_two)
WRITER(walked)
WRITER(port_input)
WRITER(patched)
WRITER(wall_clock)
WRITER(kvmclock)
WRITER(steal_time)
WRITER(pv_eoi)
WRITER(clock_pairing)
WRITER(vapic)
WRITER(smm_state)

/* A ring that ioctls fill beyond its end: the VM says so; KVM forgets pages. */
static void overflow(void)
{
	struct dirty d;
	int i;

	writer_guest(&d, true);
	if (device_is_kvm())
		SKIP("KVM warns and writes over old entries");
	log_on(&d, true);
	for (i = 0; i <= (int)RING_NR; i++) {
		if (guest_set_msr(d.cpu, MSR_KVM_WALL_CLOCK_NEW, TARGET_GPA + i % 2 * PAGE_4K) != 1)
			break;
	}
	CHECK_EQ(i, RING_NR + 1);
	CHECK_EQ(ring_reset(&d.g), -EIO);
	CHECK_EQ(guest_run(d.cpu), -EIO);
}

/* The same page again and again takes one entry until it is harvested. */
static void same_page(void)
{
	struct dirty d;
	int i;

	writer_guest(&d, true);
	if (device_is_kvm())
		SKIP("KVM adds an entry each time");
	log_on(&d, true);
	for (i = 0; i < 2 * (int)RING_NR; i++)
		CHECK_EQ(guest_set_msr(d.cpu, MSR_KVM_WALL_CLOCK_NEW, TARGET_GPA), 1);
	CHECK_EQ(dirty_collect(&d), 1);
	CHECK_EQ(guest_set_msr(d.cpu, MSR_KVM_WALL_CLOCK_NEW, TARGET_GPA), 1);
	CHECK_EQ(dirty_collect(&d), 1);
}

static const struct test tests[] = {
	{ "emulator", emulated_both },
	{ "emulator_two_pages", emulated_two_both },
	{ "page_table_walk", walked_both },
	{ "string_input", port_input_both },
	{ "hypercall_patch", patched_both },
	{ "wall_clock", wall_clock_both },
	{ "kvmclock", kvmclock_both },
	{ "steal_time", steal_time_both },
	{ "pv_eoi", pv_eoi_both },
	{ "clock_pairing", clock_pairing_both },
	{ "vapic_word", vapic_both },
	{ "smm_state", smm_state_both },
	{ "ring_overflow", overflow },
	{ "same_page", same_page },
};

TEST_MAIN(tests)
