// SPDX-License-Identifier: GPL-2.0-only
/* Local APIC: priorities, IPIs in both modes, NMI, INIT and SIPI, state, transitions. */
#include "irq.h"

#define FIXED_SELF	0x44000		/* ICR: assert, self */

/* -------- priorities -------- */

GUEST void priorities_guest(void)
{
	apic_on();
	/* All three wait in IRR, then come from the top. */
	send_ipi(0, FIXED_SELF | 0x41);
	send_ipi(0, FIXED_SELF | 0x61);
	send_ipi(0, FIXED_SELF | 0x51);
	SH->out[0] = apic_read(0x220);	/* IRR 0x40-0x5f */
	sti_();
	pause_();
	cli_();
	/* TPR 0x50 holds 0x51 back, not 0x61. */
	apic_write(0x80, 0x50);
	SH->out[1] = apic_read(0xa0);	/* PPR */
	send_ipi(0, FIXED_SELF | 0x52);
	send_ipi(0, FIXED_SELF | 0x62);
	sti_();
	pause_();
	cli_();
	SH->out[2] = SH->total;
	asm volatile("mov %0, %%cr8" : : "r"(0ull) : "memory");
	SH->out[3] = apic_read(0x80);
	sti_();
	pause_();
	cli_();
	report(SH->total);
}

static void priorities(int x2apic)
{
	static const uint8_t order[] = { 0x61, 0x51, 0x41, 0x62, 0x52 };
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->x2apic = x2apic;
	CHECK_EQ(irq_exec(&g.cpu[0], priorities_guest), 5);
	CHECK_EQ(memcmp((void *)shared(&g)->order, order, sizeof(order)), 0);
	CHECK_EQ(shared(&g)->out[0], 1u << 1 | 1u << 17);
	CHECK_EQ(shared(&g)->out[1], 0x50);
	CHECK_EQ(shared(&g)->out[2], 4);
	CHECK_EQ(shared(&g)->out[3], 0);
}

static void priorities_xapic(void)
{
	priorities(0);
}

static void priorities_x2apic(void)
{
	priorities(1);
}

/* -------- nesting and ISR -------- */

GUEST void nesting_guest(void)
{
	apic_on();
	SH->eoi = EOI_NONE;
	send_ipi(0, FIXED_SELF | 0x45);
	sti_();
	pause_();
	/* 0x45 is in service: same class waits, higher class interrupts. */
	send_ipi(0, FIXED_SELF | 0x4f);
	send_ipi(0, FIXED_SELF | 0x75);
	pause_();
	cli_();
	SH->out[0] = SH->total;
	SH->out[1] = apic_read(0xa0);
	report(1);			/* the state is looked at here */
	apic_write(0xb0, 0);
	SH->out[2] = apic_read(0xa0);
	apic_write(0xb0, 0);
	sti_();
	pause_();
	cli_();
	report(SH->total);
}

static void nesting(void)
{
	struct kvm_lapic_state s;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], nesting_guest), 1);
	CHECK_EQ(shared(&g)->out[0], 2);
	CHECK_EQ(shared(&g)->order[1], 0x75);
	CHECK_EQ(shared(&g)->out[1], 0x70);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(lapic_bit(&s, 0x100, 0x45) && lapic_bit(&s, 0x100, 0x75));
	CHECK(lapic_bit(&s, 0x200, 0x4f) && !lapic_bit(&s, 0x200, 0x75));
	/* In and out again, and nothing is lost. */
	MUST(ioctl(g.cpu[0].fd, KVM_SET_LAPIC, &s));
	CHECK_EQ(irq_next(&g.cpu[0]), 3);
	CHECK_EQ(shared(&g)->out[2], 0x40);
	CHECK_EQ(shared(&g)->order[2], 0x4f);
}

/* -------- two vCPUs -------- */

GUEST void receiver_guest(void)
{
	apic_on();
	SH->ready = 1;
	while (SH->count[0x50] < 20)
		hlt_();
	report(SH->count[0x50]);
}

GUEST void sender_guest(void)
{
	uint32_t i, dest = SH->arg[0], low = SH->arg[1];

	apic_on();
	while (!SH->ready)
		pause_();
	for (i = 0; i < 20; i++) {
		send_ipi(dest, low);
		while (SH->count[0x50] <= i)
			pause_();
	}
	report(0);
}

static void ipis(int x2apic, uint32_t dest, uint32_t low)
{
	struct irq_thread a, b;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	shared(&g)->x2apic = x2apic;
	shared(&g)->arg[0] = dest;
	shared(&g)->arg[1] = low | 0x50;
	irq_start(&g.cpu[0], sender_guest);
	irq_start(&g.cpu[1], receiver_guest);
	irq_thread(&b, &g.cpu[1]);
	irq_thread(&a, &g.cpu[0]);
	CHECK_EQ(irq_join(&a), 0);
	CHECK_EQ(irq_join(&b), 20);
}

static void ipi_xapic(void)
{
	ipis(0, 1, 0x4000);
}

static void ipi_x2apic(void)
{
	ipis(1, 1, 0x4000);
}

static void ipi_x2apic_logical(void)
{
	ipis(1, 1u << 1, 0x4800);
}

static void ipi_all_but_self(void)
{
	ipis(0, 0, 0xc4000);
}

GUEST void nmi_sleeper(void)
{
	apic_on();
	SH->ready = 1;
	asm volatile("cli; hlt" : : : "memory");
	report(SH->count[2]);
}

GUEST void nmi_sender(void)
{
	apic_on();
	send_ipi(1, 0x4400);
	report(0);
}

GUEST void nmi_loop(void)
{
	while (!SH->count[2])
		pause_();
	report(SH->count[2]);
}

static int mp_state(struct guest_cpu *cpu)
{
	struct kvm_mp_state mp;

	MUST(ioctl(cpu->fd, KVM_GET_MP_STATE, &mp));
	return mp.mp_state;
}

static void nmi_wakes(void)
{
	struct kvm_mp_state halted = { .mp_state = KVM_MP_STATE_HALTED };
	struct irq_thread b;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	irq_start(&g.cpu[1], nmi_sleeper);
	irq_thread(&b, &g.cpu[1]);
	while (!shared(&g)->ready)
		sleep_ms(1);
	sleep_ms(50);			/* it sleeps now */
	CHECK_EQ(irq_exec(&g.cpu[0], nmi_sender), 0);
	CHECK_EQ(irq_join(&b), 1);
	/* And from user space. */
	shared(&g)->count[2] = 0;
	irq_start(&g.cpu[0], nmi_loop);
	MUST(ioctl(g.cpu[0].fd, KVM_NMI, 0));
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	/* Into HLT, which it ends. */
	shared(&g)->count[2] = 0;
	irq_start(&g.cpu[0], nmi_loop);
	MUST(ioctl(g.cpu[0].fd, KVM_SET_MP_STATE, &halted));
	MUST(ioctl(g.cpu[0].fd, KVM_NMI, 0));
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK_EQ(mp_state(&g.cpu[0]), KVM_MP_STATE_RUNNABLE);
}

#define TOUCHED_GPA	0x400000ul
#define TOUCHED_PAGES	64

GUEST void touch_guest(void)
{
	uint64_t i;

	for (i = 0; i < TOUCHED_PAGES; i++)
		*(volatile uint8_t *)(TOUCHED_GPA + i * PAGE_4K) = 1;
	report(0);
}

/* How often the thread gave its CPU away. */
static unsigned long sleeps(int tid)
{
	char path[64], line[128];
	unsigned long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	f = fopen(path, "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f) && !sscanf(line, "voluntary_ctxt_switches: %lu", &n))
		;
	fclose(f);
	return n;
}

/* Pages go one by one from under a guest whose second vCPU is in HLT: there is nothing for it to do. */
static void flushes_do_not_wake(void)
{
	struct irq_thread b;
	unsigned long before;
	struct guest g;
	int i;

	irq_guest(&g, CHIP_KERNEL, 2);
	MUST(madvise(g.mem + TOUCHED_GPA, TOUCHED_PAGES * PAGE_4K, MADV_NOHUGEPAGE));
	CHECK_EQ(irq_exec(&g.cpu[0], touch_guest), 0);
	irq_start(&g.cpu[1], nmi_sleeper);
	irq_thread(&b, &g.cpu[1]);
	while (!shared(&g)->ready)
		sleep_ms(1);
	sleep_ms(100);
	before = sleeps(b.tid);
	for (i = 0; i < TOUCHED_PAGES; i++) {
		MUST(madvise(g.mem + TOUCHED_GPA + i * PAGE_4K, PAGE_4K, MADV_DONTNEED));
		sleep_ms(1);
	}
	CHECK_EQ(sleeps(b.tid), before);
	CHECK_EQ(irq_exec(&g.cpu[0], nmi_sender), 0);
	CHECK_EQ(irq_join(&b), 1);
}

/* -------- INIT and SIPI -------- */

GUEST void sipi_guest(void)
{
	apic_on();
	send_ipi(1, 0x4500);
	report(1);
	send_ipi(1, 0x4607);		/* to 0x7000 */
	send_ipi(1, 0x4607);		/* the usual second one */
	report(2);
}

static void init_sipi(void)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_UNINITIALIZED };
	struct irq_thread b;
	struct kvm_regs r;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	memcpy(g.mem + 0x7000, irq_real, irq_real_end - irq_real);
	MUST(ioctl(g.cpu[1].fd, KVM_SET_MP_STATE, &mp));
	CHECK_EQ(mp_state(&g.cpu[1]), KVM_MP_STATE_UNINITIALIZED);
	CHECK_EQ(irq_exec(&g.cpu[0], sipi_guest), 1);
	CHECK_EQ(mp_state(&g.cpu[1]), KVM_MP_STATE_INIT_RECEIVED);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	r = guest_regs(&g.cpu[1]);
	CHECK_EQ(r.rflags, 2);
	irq_thread(&b, &g.cpu[1]);
	CHECK_EQ(irq_join(&b), 0x700);
	CHECK_EQ(mp_state(&g.cpu[1]), KVM_MP_STATE_RUNNABLE);
}

/* A vCPU that waits in the kernel is started by SIPI. */
static void sipi_wakes(void)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_INIT_RECEIVED };
	struct irq_thread b;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	memcpy(g.mem + 0x7000, irq_real, irq_real_end - irq_real);
	MUST(ioctl(g.cpu[1].fd, KVM_SET_MP_STATE, &mp));
	irq_thread(&b, &g.cpu[1]);
	sleep_ms(50);
	irq_start(&g.cpu[0], sipi_guest);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	sleep_ms(20);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	CHECK_EQ(irq_join(&b), 0x700);
}

/* -------- reset values, modes -------- */

static void reset_values(void)
{
	static const struct {
		int reg;
		uint32_t val;
	} expect[] = {
		{ 0x80, 0 }, { 0xd0, 0 }, { 0xe0, 0xffffffff }, { 0xf0, 0xff },
		{ 0x320, 0x10000 }, { 0x330, 0x10000 }, { 0x340, 0x10000 },
		{ 0x350, 0x700 }, { 0x360, 0x10000 }, { 0x370, 0x10000 }, { 0x380, 0 },
	};
	struct kvm_lapic_state s;
	struct guest g;
	unsigned int i;

	irq_guest(&g, CHIP_KERNEL, 2);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	for (i = 0; i < sizeof(expect) / sizeof(expect[0]); i++)
		CHECK_EQ(lapic_word(&s, expect[i].reg), expect[i].val);
	CHECK_EQ(lapic_word(&s, 0x30) & 0xff, 0x14);
	MUST(ioctl(g.cpu[1].fd, KVM_GET_LAPIC, &s));
	CHECK_EQ(lapic_word(&s, 0x20), 1u << 24);
	CHECK_EQ(lapic_word(&s, 0x350), 0x10000);
	CHECK_EQ(guest_get_msr(&g.cpu[0], 0x1b), 0xfee00900);
	CHECK_EQ(guest_get_msr(&g.cpu[1], 0x1b), 0xfee00800);
}

static void base_transitions(void)
{
	struct kvm_lapic_state s;
	struct guest_cpu *cpu;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	cpu = &g.cpu[1];
	/* x2APIC without the enable bit, reserved bits. */
	CHECK_EQ(guest_set_msr(cpu, 0x1b, 0xfee00400), 0);
	CHECK_EQ(guest_set_msr(cpu, 0x1b, 0xfee00801), 0);
	CHECK_EQ(guest_set_msr(cpu, 0x1b, 1ull << 62 | 0xfee00800), 0);
	/* User space may go anywhere that is valid. */
	CHECK_EQ(guest_set_msr(cpu, 0x1b, 0xfee00c00), 1);
	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &s));
	CHECK_EQ(lapic_word(&s, 0x20), 1u << 24);
	CHECK_EQ(lapic_word(&s, 0xd0), 1u << 1);
	CHECK_EQ(guest_set_msr(cpu, 0x1b, 0xfee00800), 1);
	CHECK_EQ(guest_set_msr(cpu, 0x1b, 0xfee00000), 1);
}

GUEST void x2apic_msr_guest(void)
{
	apic_on();
	SH->out[0] = rdmsr_(0x802);
	SH->out[1] = rdmsr_(0x80d);
	wrmsr_(0x83f, 0x33);			/* self IPI */
	sti_();
	pause_();
	cli_();
	SH->out[2] = SH->count[0x33];
	wrmsr_(0x830, 0x0000000100004000 | 1ull << 13);
	report(0);
}

/* The ICR's reserved bits are a #GP, which the gate reports. */
static void x2apic_msrs(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->x2apic = 1;
	irq_start(&g.cpu[0], x2apic_msr_guest);
	CHECK_EQ(guest_run(&g.cpu[0]), 0);
	guest_expect(&g.cpu[0], KVM_EXIT_IO);
	CHECK_EQ(*(uint32_t *)((char *)g.cpu[0].run + g.cpu[0].run->io.data_offset), 0xdead0d);
	CHECK_EQ(shared(&g)->out[0], 0);
	CHECK_EQ(shared(&g)->out[1], 1);
	CHECK_EQ(shared(&g)->out[2], 1);
}

static void x2apic_ids(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API, .args = { 4 } };
	struct kvm_lapic_state s;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	CHECK(ioctl(g.fd, KVM_ENABLE_CAP, &cap) == -1 && errno == EINVAL);
	cap.args[0] = KVM_X2APIC_API_USE_32BIT_IDS;
	MUST(ioctl(g.fd, KVM_ENABLE_CAP, &cap));
	CHECK_EQ(guest_set_msr(&g.cpu[1], 0x1b, 0xfee00c00), 1);
	MUST(ioctl(g.cpu[1].fd, KVM_GET_LAPIC, &s));
	CHECK_EQ(lapic_word(&s, 0x20), 1);
	MUST(ioctl(g.cpu[1].fd, KVM_SET_LAPIC, &s));
	s.regs[0x20] = 5;
	CHECK(ioctl(g.cpu[1].fd, KVM_SET_LAPIC, &s) == -1 && errno == EINVAL);
}

GUEST void masked_guest(void)
{
	apic_on();
	apic_write(0x370, 0x77);
	apic_write(0xf0, 0xff);			/* software disable */
	SH->out[0] = apic_read(0x370);
	apic_write(0x370, 0x77);
	SH->out[1] = apic_read(0x370);
	send_ipi(0, FIXED_SELF | 0x55);		/* not accepted */
	apic_write(0xf0, 0x1ff);
	SH->out[2] = apic_read(0x370);
	sti_();
	pause_();
	cli_();
	report(SH->total);
}

static void software_disable(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], masked_guest), 0);
	CHECK_EQ(shared(&g)->out[0], 0x10077);
	CHECK_EQ(shared(&g)->out[1], 0x10077);
	CHECK_EQ(shared(&g)->out[2], 0x10077);
}

static const struct test tests[] = {
	{ "reset values", reset_values },
	{ "priorities, xAPIC", priorities_xapic },
	{ "priorities, x2APIC", priorities_x2apic },
	{ "nesting, ISR, and state in between", nesting },
	{ "software disable masks", software_disable },
	{ "IPIs, xAPIC", ipi_xapic },
	{ "IPIs, x2APIC", ipi_x2apic },
	{ "IPIs, x2APIC logical", ipi_x2apic_logical },
	{ "IPIs, all but self", ipi_all_but_self },
	{ "NMI wakes HLT", nmi_wakes },
	{ "flushes leave HLT alone", flushes_do_not_wake },
	{ "INIT and SIPI", init_sipi },
	{ "SIPI wakes a waiting vCPU", sipi_wakes },
	{ "APIC base", base_transitions },
	{ "x2APIC MSRs", x2apic_msrs },
	{ "x2APIC id format", x2apic_ids },
};

TEST_MAIN(tests)
