// SPDX-License-Identifier: GPL-2.0-only
/* IOAPIC, PIC, MSI and the routing table. */
#include "irq.h"

#define LEVEL	(1u << 15)
#define MASKED	(1u << 16)

/* -------- IOAPIC -------- */

GUEST void ioapic_guest(void)
{
	apic_on();
	ioapic_set(4, 0x34, 0);			/* edge */
	ioapic_set(20, 0x54 | LEVEL, 0);
	SH->ready = 1;
	report(1);
	for (;;) {
		sti_();
		pause_();
		cli_();
		report(SH->total);
	}
}

static struct kvm_ioapic_state ioapic_state(struct guest *g)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	MUST(ioctl(g->fd, KVM_GET_IRQCHIP, &chip));
	return chip.chip.ioapic;
}

static void ioapic_edge(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], ioapic_guest), 1);
	CHECK(irq_line_status(&g, 4, 1) > 0);
	/* The same edge again is none. */
	irq_line_status(&g, 4, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK_EQ(shared(&g)->order[0], 0x34);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	irq_line(&g, 4, 0);
	irq_line(&g, 4, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
}

GUEST void rtc_guest(void)
{
	apic_on();
	ioapic_set(8, 0x38, 0);
	report(1);
	for (;;) {
		sti_();
		pause_();
		cli_();
		report(SH->total);
		apic_write(0xb0, 0);
		report(0);
	}
}

/* Of the RTC's edge user space hears whether the last one was ended. */
static void rtc_coalescing(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->eoi = EOI_NONE;
	CHECK_EQ(irq_exec(&g.cpu[0], rtc_guest), 1);
	CHECK(irq_line_status(&g, 8, 1) > 0);
	irq_line_status(&g, 8, 0);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	irq_line(&g, 8, 0);
	/* In service. The PIC, whose edge came again, has its own opinion. */
	CHECK_EQ(irq_line_status(&g, 8, 1), 0);
	irq_line_status(&g, 8, 0);
	CHECK_EQ(irq_next(&g.cpu[0]), 0);
	CHECK(irq_line_status(&g, 8, 1) > 0);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
}

static void ioapic_level(void)
{
	struct kvm_ioapic_state s;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->eoi = EOI_NONE;
	CHECK_EQ(irq_exec(&g.cpu[0], ioapic_guest), 1);
	irq_line(&g, 20, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	s = ioapic_state(&g);
	CHECK_EQ(s.redirtbl[20].fields.remote_irr, 1);
	CHECK_EQ(s.redirtbl[20].fields.vector, 0x54);
	CHECK_EQ(s.redirtbl[4].fields.vector, 0x34);
	CHECK_EQ(s.redirtbl[5].fields.mask, 1);
	/* In service: no second one until EOI. */
	irq_line(&g, 20, 0);
	irq_line(&g, 20, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
}

GUEST void ioapic_eoi_guest(void)
{
	apic_on();
	ioapic_set(20, 0x54 | LEVEL, 0);
	report(1);
	while (SH->total < 10) {
		sti_();
		pause_();
		cli_();
	}
	report(2);
	for (;;) {
		sti_();
		pause_();
		cli_();
		report(SH->total);
	}
}

/* A line that stays up comes again after each EOI, and not after it falls. */
static void ioapic_eoi(void)
{
	uint32_t total;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], ioapic_eoi_guest), 1);
	irq_line(&g, 20, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	irq_line(&g, 20, 0);
	irq_next(&g.cpu[0]);
	total = irq_next(&g.cpu[0]);
	CHECK_EQ(irq_next(&g.cpu[0]), total);
	CHECK_EQ(ioapic_state(&g).redirtbl[20].fields.remote_irr, 0);
}

/* A request that waits behind a mask survives GET and SET. */
static void ioapic_round_trip(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC }, again = chip;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	MUST(ioctl(g.fd, KVM_GET_IRQCHIP, &chip));
	CHECK_EQ(chip.chip.ioapic.base_address, IOAPIC_PAGE);
	chip.chip.ioapic.redirtbl[20].bits = 0x54 | LEVEL | MASKED;
	chip.chip.ioapic.ioregsel = 0x12;
	chip.chip.ioapic.id = 3;
	MUST(ioctl(g.fd, KVM_SET_IRQCHIP, &chip));
	irq_line(&g, 20, 1);
	MUST(ioctl(g.fd, KVM_GET_IRQCHIP, &again));
	CHECK_EQ(again.chip.ioapic.irr, 1u << 20);
	CHECK_EQ(again.chip.ioapic.redirtbl[20].bits, 0x54 | LEVEL | MASKED);
	CHECK_EQ(again.chip.ioapic.ioregsel, 0x12);
	CHECK_EQ(again.chip.ioapic.id, 3);
	MUST(ioctl(g.fd, KVM_SET_IRQCHIP, &again));
	MUST(ioctl(g.fd, KVM_GET_IRQCHIP, &chip));
	CHECK_EQ(chip.chip.ioapic.irr, 1u << 20);
	chip.chip_id = 3;
	CHECK(ioctl(g.fd, KVM_GET_IRQCHIP, &chip) == -1 && errno == EINVAL);
	CHECK(ioctl(g.fd, KVM_SET_IRQCHIP, &chip) == -1 && errno == EINVAL);
}

GUEST void ioapic_regs_guest(void)
{
	mmio_write(IOAPIC_PAGE, 1);
	SH->out[0] = mmio_read(IOAPIC_PAGE + 0x10);
	mmio_write(IOAPIC_PAGE, 0x3e);
	mmio_write(IOAPIC_PAGE + 0x10, 0xffffffff);
	SH->out[1] = mmio_read(IOAPIC_PAGE + 0x10);
	mmio_write(IOAPIC_PAGE, 0xff);
	mmio_write(IOAPIC_PAGE + 0x10, 0);
	SH->out[2] = mmio_read(IOAPIC_PAGE);
	report(0);
}

static void ioapic_regs(void)
{
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], ioapic_regs_guest), 0);
	CHECK_EQ(shared(&g)->out[0] & 0xff00ff, 0x170011);
	/* Delivery status and remote IRR cannot be written. */
	CHECK_EQ(shared(&g)->out[1] & 0x5000, 0);
	CHECK_EQ(shared(&g)->out[2], 0xff);
}

/* -------- PIC -------- */

GUEST void pic_guest(void)
{
	SH->eoi = EOI_PIC;
	pic_on(0, 0);
	outb_(0x21, 0x10);			/* IRQ 4 masked */
	report(1);
	SH->out[0] = inb_(0x20);		/* IRR */
	outb_(0x21, 0);
	for (;;) {
		sti_();
		pause_();
		cli_();
		report(SH->total);
	}
}

/* Without any set-up of the LAPIC: the boot processor's LINT0 lets it through. */
static void pic_order(void)
{
	static const uint8_t order[] = { 0x21, 0x2c, 0x24 };
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], pic_guest), 1);
	CHECK_EQ(irq_line_status(&g, 4, 1), -1);	/* masked in both chips */
	irq_line(&g, 12, 1);
	irq_line(&g, 1, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 3);
	CHECK_EQ(shared(&g)->out[0], 1u << 1 | 1u << 2 | 1u << 4);
	CHECK_EQ(memcmp((void *)shared(&g)->order, order, 3), 0);
	/* Edges: nothing more until the line fell. */
	CHECK_EQ(irq_next(&g.cpu[0]), 3);
	irq_line(&g, 12, 0);
	irq_line(&g, 12, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 4);
}

GUEST void pic_level_guest(void)
{
	SH->eoi = EOI_NONE;
	pic_on(0, 0);
	outb_(0x4d1, 0xff);
	SH->out[0] = inb_(0x4d1);
	outb_(0x4d1, 1u << 2);			/* IRQ 10 */
	report(1);
	sti_();
	pause_();
	cli_();
	SH->out[1] = SH->total;
	outb_(0x20, 0x0b);
	SH->out[2] = inb_(0x20);		/* ISR */
	outb_(0xa0, 0x62);
	outb_(0x20, 0x62);
	sti_();
	pause_();
	cli_();
	report(SH->total);
}

static void pic_level(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_PIC_SLAVE };
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], pic_level_guest), 1);
	irq_line(&g, 10, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	CHECK_EQ(shared(&g)->out[0], 0xde);
	CHECK_EQ(shared(&g)->out[1], 1);
	CHECK_EQ(shared(&g)->out[2], 1u << 2);
	MUST(ioctl(g.fd, KVM_GET_IRQCHIP, &chip));
	CHECK_EQ(chip.chip.pic.irr, 1u << 2);
	CHECK_EQ(chip.chip.pic.isr, 1u << 2);
	CHECK_EQ(chip.chip.pic.elcr, 1u << 2);
	CHECK_EQ(chip.chip.pic.elcr_mask, 0xde);
	CHECK_EQ(chip.chip.pic.irq_base, 0x28);
}

/* -------- MSI -------- */

GUEST void msi_guest(void)
{
	apic_on();
	report(1);
	for (;;) {
		sti_();
		pause_();
		cli_();
		report(SH->total);
	}
}

static int send_msi(struct guest *g, uint32_t address, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = address, .data = data };

	return ioctl(g->fd, KVM_SIGNAL_MSI, &msi);
}

static void msi(void)
{
	struct kvm_msi bad = { .address_lo = APIC_PAGE, .data = 0x41, .flags = 0x80 };
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	/* The LAPIC is not enabled yet: nobody takes it. */
	CHECK_EQ(send_msi(&g, APIC_PAGE, 0x41), 0);
	CHECK_EQ(irq_exec(&g.cpu[0], msi_guest), 1);
	CHECK_EQ(send_msi(&g, APIC_PAGE, 0x41), 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK_EQ(shared(&g)->order[0], 0x41);
	/* Nobody there. */
	CHECK_EQ(send_msi(&g, APIC_PAGE | 0x77 << 12, 0x41), 0);
	/* Broadcast: the second vCPU has its LAPIC off. */
	CHECK_EQ(send_msi(&g, APIC_PAGE | 0xff << 12, 0x42), 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	CHECK(ioctl(g.fd, KVM_SIGNAL_MSI, &bad) == -1 && errno == EINVAL);
}

/* -------- routing -------- */

static int set_routes(struct guest *g, const struct kvm_irq_routing_entry *e, unsigned int n,
		      uint32_t flags)
{
	struct kvm_irq_routing *r = calloc(1, sizeof(*r) + (n ?: 1) * sizeof(*e));
	int ret;

	r->nr = n;
	r->flags = flags;
	if (e)
		memcpy(r->entries, e, (n < 8 ? n : 8) * sizeof(*e));
	ret = ioctl(g->fd, KVM_SET_GSI_ROUTING, r) ? -errno : 0;
	free(r);
	return ret;
}

#define CHIP(g_, chip, p) \
	{ .gsi = (g_), .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { (chip), (p) } }
#define MSI(g_, d) \
	{ .gsi = (g_), .type = KVM_IRQ_ROUTING_MSI, \
	  .u.msi = { .address_lo = APIC_PAGE, .data = (d) } }

static void routing_errors(void)
{
	static const struct {
		struct kvm_irq_routing_entry e[2];
		int n, err;
	} cases[] = {
		{ { CHIP(0, 2, 23) }, 1, 0 },
		{ { CHIP(0, 2, 24) }, 1, -EINVAL },
		{ { CHIP(0, 0, 8) }, 1, -EINVAL },
		{ { CHIP(0, 3, 0) }, 1, -EINVAL },
		{ { CHIP(4096, 2, 0) }, 1, -EINVAL },
		{ { CHIP(4095, 2, 0) }, 1, 0 },
		{ { CHIP(5, 0, 5), CHIP(5, 2, 5) }, 2, 0 },
		{ { CHIP(5, 2, 4), CHIP(5, 2, 5) }, 2, -EINVAL },
		{ { MSI(5, 0x41), CHIP(5, 2, 5) }, 2, -EINVAL },
		{ { MSI(5, 0x41), MSI(5, 0x42) }, 2, -EINVAL },
		{ { MSI(5, 0x41), MSI(6, 0x42) }, 2, 0 },
		{ { { .type = 77 } }, 1, -EINVAL },
		{ { { .type = KVM_IRQ_ROUTING_S390_ADAPTER } }, 1, -EINVAL },
		{ { { .type = KVM_IRQ_ROUTING_IRQCHIP, .flags = 1 } }, 1, -EINVAL },
		{ { { .type = KVM_IRQ_ROUTING_MSI, .flags = 2 } }, 1, -EINVAL },
	};
	unsigned int i;
	struct guest g;

	guest_open(&g);
	CHECK_EQ(set_routes(&g, NULL, 0, 0), -EINVAL);	/* no irqchip */
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	CHECK(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0) == -1 && errno == EEXIST);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (set_routes(&g, cases[i].e, cases[i].n, 0) != cases[i].err)
			FAIL("case %u: %d, not %d", i,
			     set_routes(&g, cases[i].e, cases[i].n, 0), cases[i].err);
	CHECK_EQ(set_routes(&g, NULL, 0, 1), -EINVAL);
	CHECK_EQ(set_routes(&g, NULL, 4097, 0), -EINVAL);
	CHECK_EQ(set_routes(&g, NULL, 0, 0), 0);
	/* Nothing is routed now. */
	CHECK_EQ(irq_line_status(&g, 4, 1), -1);
}

static void routing_msi(void)
{
	static const struct kvm_irq_routing_entry to_msi[] = { MSI(40, 0x45) };
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irq_exec(&g.cpu[0], msi_guest), 1);
	CHECK_EQ(set_routes(&g, to_msi, 1, 0), 0);
	CHECK_EQ(irq_line_status(&g, 40, 1), 1);
	CHECK_EQ(irq_line_status(&g, 40, 0), -1);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK_EQ(shared(&g)->order[0], 0x45);
}

GUEST void split_guest(void)
{
	apic_on();
	report(1);
	sti_();
	pause_();
	cli_();
	report(SH->total);
}

/* Level MSIs of reserved pins end in an exit; edge ones do not. */
static void split_eoi(void)
{
	static const struct kvm_irq_routing_entry routes[] = {
		MSI(3, 0x43 | LEVEL), MSI(4, 0x44), MSI(30, 0x46 | LEVEL),
	};
	static const struct kvm_irq_routing_entry chip[] = { CHIP(0, 2, 0) };
	struct guest_cpu *cpu;
	struct guest g;

	irq_guest(&g, CHIP_SPLIT, 1);
	cpu = &g.cpu[0];
	CHECK_EQ(set_routes(&g, chip, 1, 0), -EINVAL);
	CHECK_EQ(set_routes(&g, routes, 3, 0), 0);
	CHECK_EQ(irq_exec(cpu, split_guest), 1);
	CHECK_EQ(irq_line_status(&g, 4, 1), 1);
	CHECK_EQ(irq_line_status(&g, 3, 1), 1);
	CHECK_EQ(irq_line_status(&g, 30, 1), 1);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IOAPIC_EOI);
	CHECK_EQ(cpu->run->eoi.vector, 0x43);
	CHECK_EQ(irq_next(cpu), 3);
}

GUEST void extint_guest(void)
{
	apic_on();				/* LINT0 masked */
	report(1);
	sti_();
	pause_();
	cli_();
	report(SH->total);
	apic_write(0x350, 0x700);		/* LINT0: ExtINT */
	report(2);
	sti_();
	pause_();
	cli_();
	report(SH->total);
}

/* User space's PIC gets through LINT0 or not at all. */
static void split_extint(void)
{
	struct kvm_interrupt irq = { .irq = 0x55 };
	struct guest_cpu *cpu;
	struct guest g;

	irq_guest(&g, CHIP_SPLIT, 1);
	cpu = &g.cpu[0];
	CHECK_EQ(irq_exec(cpu, extint_guest), 1);
	cpu->run->request_interrupt_window = 1;
	CHECK_EQ(irq_next(cpu), 0);		/* no window either */
	CHECK_EQ(cpu->run->ready_for_interrupt_injection, 0);
	CHECK_EQ(irq_next(cpu), 2);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	CHECK_EQ(cpu->run->ready_for_interrupt_injection, 1);
	cpu->run->request_interrupt_window = 0;
	MUST(ioctl(cpu->fd, KVM_INTERRUPT, &irq));
	CHECK_EQ(irq_next(cpu), 1);
	CHECK_EQ(shared(&g)->order[0], 0x55);
}

static const struct test tests[] = {
	{ "IOAPIC registers", ioapic_regs },
	{ "IOAPIC edge", ioapic_edge },
	{ "IOAPIC: coalescing of the RTC", rtc_coalescing },
	{ "IOAPIC level and remote IRR", ioapic_level },
	{ "IOAPIC redelivery at EOI", ioapic_eoi },
	{ "IOAPIC state", ioapic_round_trip },
	{ "PIC order, cascade, mask", pic_order },
	{ "PIC level, ELCR, state", pic_level },
	{ "MSI", msi },
	{ "routing errno", routing_errors },
	{ "routing to MSI", routing_msi },
	{ "split irqchip: EOI exits", split_eoi },
	{ "split irqchip: ExtINT by LINT0", split_extint },
};

TEST_MAIN(tests)
