// SPDX-License-Identifier: GPL-2.0-only
/* EOI without an exit: when it is offered, what it saves, and that the LAPIC knows of it. */
#include "pv.h"

#define ROUNDS	200

/* In shared->out: */
enum { BY_BIT, BY_APIC, SEEN, LEFT };

static volatile uint8_t *eoi_byte(struct guest *g)
{
	return g->mem + EOI_GPA(0);
}

static void eoi_guest(struct guest *g, int chip)
{
	irq_guest(g, chip, 1);
	pv_need_feature(g, KVM_FEATURE_PV_EOI);
	shared(g)->x2apic = 1;
	shared(g)->eoi = EOI_NONE;
}

static void eoi_on(struct guest *g)
{
	CHECK_EQ(guest_set_msr(&g->cpu[0], MSR_KVM_PV_EOI_EN, EOI_GPA(0) | 1), 1);
}

/* As a guest's EOI is to be: clear the bit, and if it was not set, tell the APIC. True: it was. */
GUEST_INLINE bool pv_eoi_(void)
{
	volatile uint8_t *byte = (void *)EOI_GPA(0);
	bool was;

	asm volatile("btrl $0, %1; setc %0" : "=q" (was), "+m" (*(volatile uint32_t *)byte) : : "cc");
	if (!was)
		apic_write(0xb0, 0);
	return was;
}

/* One self IPI with interrupts open, its EOI outside of the handler. */
GUEST_INLINE void one_interrupt(uint32_t vector)
{
	sti_();
	send_ipi(0, FIXED_SELF | vector);
	pause_();
	cli_();
}

/* -------- saved exits -------- */

GUEST void rounds_guest(void)
{
	uint32_t i;

	apic_on();
	report(1);
	for (i = 0; i < ROUNDS; i++) {
		one_interrupt(0x61);
		SH->out[pv_eoi_() ? BY_BIT : BY_APIC]++;
	}
	report(SH->count[0x61]);
}

static uint64_t rounds(bool on, uint64_t *by_bit)
{
	struct kvm_lapic_state s;
	uint64_t before, exits;
	struct guest g;

	eoi_guest(&g, CHIP_KERNEL);
	if (on)
		eoi_on(&g);
	CHECK_EQ(irq_exec(&g.cpu[0], rounds_guest), 1);
	before = guest_cpu_stat(&g.cpu[0], "exits");
	CHECK_EQ(irq_next(&g.cpu[0]), ROUNDS);
	exits = guest_cpu_stat(&g.cpu[0], "exits") - before;
	*by_bit = shared(&g)->out[BY_BIT];
	CHECK_EQ(*by_bit + shared(&g)->out[BY_APIC], ROUNDS);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(!lapic_bit(&s, 0x100, 0x61) && !lapic_bit(&s, 0x200, 0x61));
	CHECK_EQ(*eoi_byte(&g) & 1, 0);
	close(g.cpu[0].fd);
	close(g.fd);
	return exits;
}

static void saves_exits(void)
{
	uint64_t by_bit, exits_off, exits_on;

	exits_off = rounds(false, &by_bit);
	CHECK_EQ(by_bit, 0);
	exits_on = rounds(true, &by_bit);
	printf("# exits without %llu, with %llu; %llu of %d by the bit\n",
	       (unsigned long long)exits_off, (unsigned long long)exits_on,
	       (unsigned long long)by_bit, ROUNDS);
	if (device_is_kvm() && !by_bit)
		SKIP("the processor makes EOIs by itself");
	CHECK(by_bit > ROUNDS * 9 / 10);
	CHECK(exits_on + ROUNDS * 8 / 10 < exits_off);
}

/* -------- state for user space -------- */

GUEST void state_guest(void)
{
	apic_on();
	one_interrupt(0x61);
	SH->out[SEEN] = *(volatile uint8_t *)EOI_GPA(0);
	report(1);
	/* Offered again, and now taken. */
	SH->out[LEFT] = *(volatile uint8_t *)EOI_GPA(0);
	SH->out[pv_eoi_() ? BY_BIT : BY_APIC]++;
	report(2);
	/* The class is free again. */
	one_interrupt(0x6f);
	SH->out[pv_eoi_() ? BY_BIT : BY_APIC]++;
	report(SH->total);
}

static void state(int chip)
{
	struct kvm_lapic_state s;
	struct guest g;

	eoi_guest(&g, chip);
	eoi_on(&g);
	CHECK_EQ(irq_exec(&g.cpu[0], state_guest), 1);
	/* In service; no offer stands while the vCPU does not run. */
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(lapic_bit(&s, 0x100, 0x61));
	CHECK_EQ(lapic_word(&s, 0xa0), 0x60);
	CHECK_EQ(*eoi_byte(&g) & 1, 0);
	if (device_is_kvm() && !shared(&g)->out[SEEN])
		SKIP("the processor makes EOIs by itself");
	CHECK_EQ(shared(&g)->out[SEEN], 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(!lapic_bit(&s, 0x100, 0x61));
	CHECK_EQ(lapic_word(&s, 0xa0), 0);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	printf("# offered after the exit: %llu; by the bit %llu\n",
	       (unsigned long long)shared(&g)->out[LEFT],
	       (unsigned long long)shared(&g)->out[BY_BIT]);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(!lapic_bit(&s, 0x100, 0x6f));
}

static void state_kernel(void)
{
	state(CHIP_KERNEL);
}

static void state_split(void)
{
	state(CHIP_SPLIT);
}

/* Saved while in service and put into another vCPU: there it is in service, too. */
static void state_moves(void)
{
	struct kvm_lapic_state s;
	struct guest g;

	eoi_guest(&g, CHIP_KERNEL);
	eoi_on(&g);
	CHECK_EQ(irq_exec(&g.cpu[0], state_guest), 1);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	MUST(ioctl(g.cpu[0].fd, KVM_SET_LAPIC, &s));
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(!lapic_bit(&s, 0x100, 0x61));
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
}

/* -------- when it must not be offered -------- */

GUEST void waiting_guest(void)
{
	volatile uint8_t *byte = (void *)EOI_GPA(0);

	apic_on();
	send_ipi(0, FIXED_SELF | 0x51);
	send_ipi(0, FIXED_SELF | 0x61);
	sti_();
	pause_();
	cli_();
	/* 0x61 is in service, and 0x51 waits for its EOI. */
	SH->out[0] = *byte;
	SH->out[1] = SH->total;
	pv_eoi_();
	sti_();
	pause_();
	cli_();
	SH->out[2] = *byte;
	SH->out[3] = SH->total;
	pv_eoi_();
	report(SH->order[1]);
}

static void another_waits(void)
{
	struct kvm_lapic_state s;
	struct guest g;

	eoi_guest(&g, CHIP_KERNEL);
	eoi_on(&g);
	CHECK_EQ(irq_exec(&g.cpu[0], waiting_guest), 0x51);
	CHECK_EQ(shared(&g)->out[0] & 1, 0);
	CHECK_EQ(shared(&g)->out[1], 1);
	CHECK_EQ(shared(&g)->out[3], 2);
	if (!device_is_kvm())
		CHECK_EQ(shared(&g)->out[2] & 1, 1);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(!lapic_bit(&s, 0x100, 0x61) && !lapic_bit(&s, 0x100, 0x51));
}

GUEST void nested_guest(void)
{
	apic_on();
	one_interrupt(0x45);
	one_interrupt(0x75);
	/* Both in service: the first EOI is of 0x75 alone, the bit stands for one only. */
	pv_eoi_();
	SH->out[1] = apic_read(0xa0);
	pv_eoi_();
	SH->out[2] = apic_read(0xa0);
	one_interrupt(0x44);
	pv_eoi_();
	report(SH->total);
}

static void nested(void)
{
	struct kvm_lapic_state s;
	struct guest g;

	eoi_guest(&g, CHIP_KERNEL);
	eoi_on(&g);
	CHECK_EQ(irq_exec(&g.cpu[0], nested_guest), 3);
	CHECK_EQ(shared(&g)->out[1], 0x40);
	CHECK_EQ(shared(&g)->out[2], 0);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(!lapic_bit(&s, 0x100, 0x45) && !lapic_bit(&s, 0x100, 0x75));
	CHECK(!lapic_bit(&s, 0x100, 0x44));
}

GUEST void level_guest(void)
{
	apic_on();
	ioapic_set(5, 0x8055, 0);	/* level, open */
	report(1);
	sti_();
	pause_();
	cli_();
	SH->out[0] = *(volatile uint8_t *)EOI_GPA(0);
	SH->out[1] = SH->total;
	report(2);
	SH->out[2] = *(volatile uint8_t *)EOI_GPA(0);
	apic_write(0xb0, 0);
	report(3);
}

/* The IOAPIC waits for this EOI. */
static void level(void)
{
	struct guest g;

	eoi_guest(&g, CHIP_KERNEL);
	eoi_on(&g);
	CHECK_EQ(irq_exec(&g.cpu[0], level_guest), 1);
	irq_line(&g, 5, 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	CHECK_EQ(shared(&g)->out[1], 1);
	irq_line(&g, 5, 0);
	CHECK_EQ(irq_next(&g.cpu[0]), 3);
	CHECK_EQ(shared(&g)->out[0] & 1, 0);
	CHECK_EQ(shared(&g)->out[2] & 1, 0);
}

static void off(void)
{
	struct guest g;

	eoi_guest(&g, CHIP_KERNEL);
	eoi_on(&g);
	CHECK_EQ(guest_set_msr(&g.cpu[0], MSR_KVM_PV_EOI_EN, EOI_GPA(0)), 1);
	*eoi_byte(&g) = 0x80;
	CHECK_EQ(irq_exec(&g.cpu[0], state_guest), 1);
	CHECK_EQ(shared(&g)->out[SEEN], 0x80);
	CHECK_EQ(*eoi_byte(&g), 0x80);
}

/* -------- its memory -------- */

GUEST void far_guest(void)
{
	apic_on();
	one_interrupt(0x61);
	report(1);
	apic_write(0xb0, 0);
	one_interrupt(0x62);
	report(SH->total);
}

/* The page goes, by the host's hand and with its slot: EOIs by the APIC go on. */
static void no_page(void)
{
	void *mem = guest_alloc(PAGE_2M);
	struct kvm_lapic_state s;
	struct guest g;

	eoi_guest(&g, CHIP_KERNEL);
	guest_slot(&g, 1, 0, NO_MEMORY_GPA, PAGE_2M, mem);
	CHECK_EQ(guest_set_msr(&g.cpu[0], MSR_KVM_PV_EOI_EN, NO_MEMORY_GPA | 1), 1);
	CHECK_EQ(irq_exec(&g.cpu[0], far_guest), 1);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	CHECK(lapic_bit(&s, 0x100, 0x61));
	CHECK_EQ(*(volatile uint8_t *)mem & 1, 0);
	MUST(madvise(mem, PAGE_2M, MADV_DONTNEED));
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	guest_slot(&g, 1, 0, NO_MEMORY_GPA, 0, mem);
	shared(&g)->total = 0;
	CHECK_EQ(guest_set_msr(&g.cpu[0], MSR_KVM_PV_EOI_EN, 0), 1);
	MUST(ioctl(g.cpu[0].fd, KVM_GET_LAPIC, &s));
	memset(s.regs + 0x100, 0, 0x80);
	MUST(ioctl(g.cpu[0].fd, KVM_SET_LAPIC, &s));
	CHECK_EQ(irq_exec(&g.cpu[0], far_guest), 1);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
}

static const struct test tests[] = {
	{ "saves exits", saves_exits },
	{ "state in between, irqchip in the kernel", state_kernel },
	{ "state in between, split irqchip", state_split },
	{ "LAPIC saved and restored in service", state_moves },
	{ "not while another vector waits", another_waits },
	{ "nested: one EOI at a time", nested },
	{ "not for a level-triggered line", level },
	{ "off", off },
	{ "its memory goes", no_page },
};

TEST_MAIN(tests)
