// SPDX-License-Identifier: GPL-2.0-only
/*
 * Corrected machine-check interrupts: errors that user space injects without
 * #MC, and how the guest asks to hear of them. Offered on Intel's CPUs only.
 */
#include <cpuid.h>

#include "irq.h"

#define MCG_CMCI	(1ull << 10)
#define CMCI_EN		(1ull << 30)
#define CTL2(bank)	(0x280u + (bank))
#define BANK_ADDR(bank)	(0x402u + 4 * (bank))
#define LVT_CMCI	0x2f0
#define LVT_MASKED	0x10000
#define LVT_NMI		0x400
#define MCI_UCNA	(1ull << 63 | 1ull << 61 | 1ull << 60 | 1ull << 58 | 0x90)
#define NR_BANKS	8
#define BANK		7
#define VECTOR		0xa9
#define GP		0xdead0d

static bool host_has_cmci(void)
{
	unsigned int eax, ebx, ecx, edx;

	__cpuid(0, eax, ebx, ecx, edx);
	return ebx == signature_INTEL_ebx;
}

static void setup(struct guest_cpu *cpu, uint64_t caps)
{
	caps |= NR_BANKS;
	MUST(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &caps));
}

static void need_cmci(void)
{
	if (!host_has_cmci())
		SKIP("not on this vendor's CPUs");
}

static void cmci_guest(struct guest *g)
{
	need_cmci();
	irq_guest(g, CHIP_KERNEL, 1);
	setup(&g->cpu[0], MCG_CMCI);
}

static void inject(struct guest_cpu *cpu, uint64_t addr)
{
	struct kvm_x86_mce mce = { .status = MCI_UCNA, .addr = addr, .bank = BANK };

	MUST(ioctl(cpu->fd, KVM_X86_SET_MCE, &mce));
}

static uint32_t lapic_get(struct guest_cpu *cpu, int reg)
{
	struct kvm_lapic_state s;

	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &s));
	return lapic_word(&s, reg);
}

/* -------- what is offered -------- */

static void offered(void)
{
	uint64_t caps, want = MCG_CMCI | NR_BANKS;
	struct guest g;
	int r;

	irq_guest(&g, CHIP_KERNEL, 1);
	MUST(ioctl(g.dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &caps));
	CHECK_EQ(!!(caps & MCG_CMCI), host_has_cmci());
	r = ioctl(g.cpu[0].fd, KVM_X86_SETUP_MCE, &want);
	CHECK_EQ(r ? -errno : 0, host_has_cmci() ? 0 : -EINVAL);
}

/* The number of LVT registers follows; what is new is masked. */
static void version(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	need_cmci();
	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	CHECK_EQ(lapic_get(cpu, 0x30) >> 16 & 0xff, 5);
	setup(cpu, MCG_CMCI);
	CHECK_EQ(lapic_get(cpu, 0x30) >> 16 & 0xff, 6);
	CHECK_EQ(lapic_get(cpu, LVT_CMCI), LVT_MASKED);
	setup(cpu, 0);
	CHECK_EQ(lapic_get(cpu, 0x30) >> 16 & 0xff, 5);
}

/* -------- registers as the guest finds them -------- */

GUEST void msr_write_guest(void)
{
	SH->out[0] = rdmsr_(SH->arg[0]);
	wrmsr_(SH->arg[0], SH->arg[1]);
	report(1);
}

GUEST void msr_read_guest(void)
{
	SH->out[0] = rdmsr_(SH->arg[0]);
	report(1);
}

/* As irq_exec(), with exceptions as a result. */
static uint32_t try(struct guest *g, void (*fn)(void), uint32_t msr, uint64_t val)
{
	struct guest_cpu *cpu = &g->cpu[0];

	shared(g)->arg[0] = msr;
	shared(g)->arg[1] = val;
	irq_start(cpu, fn);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	return *(uint32_t *)((char *)cpu->run + cpu->run->io.data_offset);
}

static void ctl2(void)
{
	struct guest g;

	cmci_guest(&g);
	CHECK_EQ(try(&g, msr_write_guest, CTL2(BANK), CMCI_EN | 0x7fff), 1);
	CHECK_EQ(shared(&g)->out[0], 0);
	CHECK_EQ(try(&g, msr_read_guest, CTL2(BANK), 0), 1);
	CHECK_EQ(shared(&g)->out[0], CMCI_EN | 0x7fff);
	CHECK_EQ(try(&g, msr_write_guest, CTL2(BANK), 1 << 29), GP);
	CHECK_EQ(try(&g, msr_write_guest, CTL2(BANK), 0x8000), GP);
	CHECK_EQ(try(&g, msr_write_guest, CTL2(BANK), 1ull << 32), GP);
	CHECK_EQ(guest_get_msr(&g.cpu[0], CTL2(BANK)), CMCI_EN | 0x7fff);
	CHECK_EQ(try(&g, msr_read_guest, CTL2(NR_BANKS), 0), GP);
	CHECK_EQ(guest_set_msr(&g.cpu[0], CTL2(BANK), CMCI_EN), 1);
	CHECK_EQ(guest_set_msr(&g.cpu[0], CTL2(BANK), 1 << 29), 0);
	CHECK_EQ(guest_set_msr(&g.cpu[0], CTL2(NR_BANKS), 0), 0);
	/* Set up again, all are 0. */
	setup(&g.cpu[0], MCG_CMCI);
	CHECK_EQ(guest_get_msr(&g.cpu[0], CTL2(BANK)), 0);
}

/* A guest without it finds nothing; user space may save and restore. */
static void without(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	setup(&g.cpu[0], 0);
	CHECK_EQ(try(&g, msr_read_guest, CTL2(BANK), 0), GP);
	CHECK_EQ(try(&g, msr_write_guest, CTL2(BANK), 0), GP);
	CHECK_EQ(guest_get_msr(&g.cpu[0], CTL2(BANK)), 0);
	CHECK_EQ(guest_set_msr(&g.cpu[0], CTL2(BANK), 0), 1);
	CHECK_EQ(guest_set_msr(&g.cpu[0], CTL2(BANK), CMCI_EN), 0);
	CHECK_EQ(guest_set_msr(&g.cpu[0], 0x1b, 0xfee00d00), 1);
	CHECK_EQ(try(&g, msr_read_guest, 0x830, 0), 1);
	CHECK_EQ(try(&g, msr_read_guest, 0x82f, 0), GP);
	inject(&g.cpu[0], 0x1234);
	CHECK_EQ(try(&g, msr_read_guest, BANK_ADDR(BANK), 0), 1);
	CHECK_EQ(shared(&g)->out[0], 0x1234);
}

/* -------- the interrupt -------- */

GUEST void listen_guest(void)
{
	apic_on();
	apic_write(LVT_CMCI, SH->arg[0]);
	SH->out[0] = apic_read(LVT_CMCI);
	wrmsr_(CTL2(BANK), SH->arg[1]);
	sti_();
	report(1);
	pause_();
	SH->out[1] = rdmsr_(BANK_ADDR(BANK));
	report(2);
	apic_write(0xf0, 0xff);		/* software disabled: all LVTs are masked */
	SH->out[2] = apic_read(LVT_CMCI);
	report(3);
}

GUEST void open_guest(void)
{
	sti_();
	pause_();
	report(1);
}

static void listen(struct guest *g, bool x2apic, uint32_t lvt, uint64_t ctl2)
{
	shared(g)->x2apic = x2apic;
	shared(g)->arg[0] = lvt;
	shared(g)->arg[1] = ctl2;
	CHECK_EQ(irq_exec(&g->cpu[0], listen_guest), 1);
	inject(&g->cpu[0], 0xdeadbeef);
	CHECK_EQ(irq_next(&g->cpu[0]), 2);
	CHECK_EQ(shared(g)->out[1], 0xdeadbeef);
}

static void signaled(bool x2apic)
{
	struct guest g;

	cmci_guest(&g);
	listen(&g, x2apic, VECTOR, CMCI_EN | 1);
	CHECK_EQ(shared(&g)->out[0], VECTOR);
	CHECK_EQ(shared(&g)->count[VECTOR], 1);
	CHECK_EQ(shared(&g)->total, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 3);
	CHECK_EQ(shared(&g)->out[2], VECTOR | LVT_MASKED);
	inject(&g.cpu[0], 1);
	CHECK_EQ(try(&g, open_guest, 0, 0), 1);
	CHECK_EQ(shared(&g)->total, 1);
}

static void signaled_xapic(void)
{
	signaled(false);
}

static void signaled_x2apic(void)
{
	signaled(true);
}

static void silent(void)
{
	struct guest g;

	cmci_guest(&g);
	listen(&g, false, VECTOR, 1);
	CHECK_EQ(shared(&g)->total, 0);
	listen(&g, false, VECTOR | LVT_MASKED, CMCI_EN);
	CHECK_EQ(shared(&g)->total, 0);
}

/* Delivery mode is writable, polarity and trigger mode are not. */
static void as_nmi(void)
{
	struct guest g;

	cmci_guest(&g);
	listen(&g, false, LVT_NMI | 0xa000 | VECTOR, CMCI_EN);
	CHECK_EQ(shared(&g)->out[0], LVT_NMI | VECTOR);
	CHECK_EQ(shared(&g)->count[2], 1);
	CHECK_EQ(shared(&g)->total, 1);
}

/* KVM_GET_LAPIC and KVM_SET_LAPIC carry it. */
static void state(void)
{
	struct kvm_lapic_state s;
	struct guest a, b;

	cmci_guest(&a);
	listen(&a, false, VECTOR, CMCI_EN);
	MUST(ioctl(a.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK_EQ(lapic_word(&s, LVT_CMCI), VECTOR);
	cmci_guest(&b);
	MUST(ioctl(b.cpu[0].fd, KVM_SET_LAPIC, &s));
	CHECK_EQ(lapic_get(&b.cpu[0], LVT_CMCI), VECTOR);
	CHECK_EQ(lapic_get(&b.cpu[0], 0x30) >> 16 & 0xff, 6);
}

/* Without a LAPIC in the kernel the error is recorded, and that is all. */
static void no_lapic(void)
{
	struct guest g;

	need_cmci();
	guest_create(&g, PAGE_2M);
	guest_add_cpu(&g);
	setup(&g.cpu[0], MCG_CMCI);
	CHECK_EQ(guest_set_msr(&g.cpu[0], CTL2(BANK), CMCI_EN), 1);
	inject(&g.cpu[0], 0x77);
	CHECK_EQ(guest_get_msr(&g.cpu[0], BANK_ADDR(BANK)), 0x77);
}

static const struct test tests[] = {
	{ "offered", offered },
	{ "version", version },
	{ "ctl2", ctl2 },
	{ "without", without },
	{ "signaled_xapic", signaled_xapic },
	{ "signaled_x2apic", signaled_x2apic },
	{ "silent", silent },
	{ "as_nmi", as_nmi },
	{ "state", state },
	{ "no_lapic", no_lapic },
};
TEST_MAIN(tests)
