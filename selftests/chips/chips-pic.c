// SPDX-License-Identifier: GPL-2.0-only
/* Known answers of the two PICs: Intel order 231468. */
#include "ktap.h"

#include "world.h"

enum { MASTER = 0x20, SLAVE = 0xa0, POLL = 0x0c, READ_IRR = 0x0a, READ_ISR = 0x0b, EOI = 0x20 };

static struct world *w;

/* ICW4 as given; nothing is masked. */
static void init(u8 icw4)
{
	static const u16 ports[] = { MASTER, SLAVE };
	int i;

	w = world_create(&(struct world_config){ .mode = IRQCHIP_KERNEL, .nr_vcpus = 1 });
	for (i = 0; i < 2; i++) {
		world_outb(w, ports[i], 0x11);
		world_outb(w, ports[i] + 1, i ? 0x70 : 0x30);
		world_outb(w, ports[i] + 1, i ? 2 : 4);
		world_outb(w, ports[i] + 1, icw4);
	}
}

static void high(u32 gsi)
{
	world_line(w, gsi, 1);
}

static void low(u32 gsi)
{
	world_line(w, gsi, 0);
}

static void edge(u32 gsi)
{
	high(gsi);
	low(gsi);
}

/* What the CPU gets, -1: nothing. */
static int take(void)
{
	return world_enter(w, 0, true);
}

static u8 read_reg(u16 port, u8 which)
{
	world_outb(w, port, which);
	return world_inb(w, port);
}

static u8 poll(u16 port)
{
	world_outb(w, port, POLL);
	return world_inb(w, port);
}

static void registers(void)
{
	init(1);
	CHECK_EQ(world_inb(w, MASTER + 1), 0);
	world_outb(w, MASTER + 1, 0xf7);
	CHECK_EQ(world_inb(w, MASTER + 1), 0xf7);
	high(3);
	CHECK_EQ(take(), 0x33);
	/* The line is still high; its edge has been. */
	CHECK_EQ(world_inb(w, MASTER), 0);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x08);
	CHECK_EQ(world_inb(w, MASTER), 0x08);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(world_inb(w, MASTER), 0);
	CHECK_EQ(take(), -1);
	low(3);
	edge(3);
	CHECK_EQ(read_reg(MASTER, READ_IRR), 0x08);
	/* ICW1 drops edges, masks and the choice of register. */
	world_outb(w, MASTER, READ_ISR);
	world_outb(w, MASTER, 0x11);
	CHECK_EQ(world_inb(w, MASTER), 0);
	world_outb(w, MASTER + 1, 0x08);
	world_outb(w, MASTER + 1, 4);
	world_outb(w, MASTER + 1, 1);
	CHECK_EQ(world_inb(w, MASTER + 1), 0);
	CHECK_EQ(take(), -1);
	high(3);
	low(3);
	high(3);
	CHECK_EQ(take(), 0x0b);
}

static void without_icw4(void)
{
	init(1);
	/* Three words; the next one is a mask. */
	world_outb(w, MASTER, 0x10);
	world_outb(w, MASTER + 1, 0x48);
	world_outb(w, MASTER + 1, 4);
	world_outb(w, MASTER + 1, 0xfd);
	CHECK_EQ(world_inb(w, MASTER + 1), 0xfd);
	edge(0);
	edge(1);
	CHECK_EQ(take(), 0x49);
}

static void priorities(void)
{
	init(1);
	edge(6);
	edge(1);
	edge(9);
	edge(12);
	CHECK_EQ(take(), 0x31);
	/* What is lower has to wait, a higher one has not. */
	CHECK_EQ(take(), -1);
	edge(0);
	CHECK_EQ(take(), 0x30);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x02);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(take(), 0x71);
	CHECK_EQ(read_reg(SLAVE, READ_ISR), 0x02);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x04);
	/* The slave's next is lower than its own that is in service. */
	world_outb(w, MASTER, EOI);
	CHECK_EQ(take(), 0x36);
	world_outb(w, MASTER, EOI);
	world_outb(w, SLAVE, EOI);
	CHECK_EQ(take(), 0x74);
}

static void level(void)
{
	init(1);
	world_outb(w, 0x4d0, 0xff);
	CHECK_EQ(world_inb(w, 0x4d0), 0xf8);
	world_outb(w, 0x4d1, 0xff);
	CHECK_EQ(world_inb(w, 0x4d1), 0xde);
	high(5);
	CHECK_EQ(take(), 0x35);
	CHECK_EQ(read_reg(MASTER, READ_IRR), 0x20);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(take(), 0x35);
	low(5);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(take(), -1);
	/* Gone before it was taken: IRQ 7, which is not in service. */
	high(5);
	vcpu_request(&w->cpu[0].vcpu, REQ_EVENT);
	low(5);
	CHECK_EQ(pic_ack(w->vm.irq.pic), 0x37);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0);
	high(10);
	low(10);
	CHECK_EQ(pic_ack(w->vm.irq.pic), 0x77);
	CHECK_EQ(read_reg(SLAVE, READ_ISR), 0);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x04);
}

static void rotation(void)
{
	init(1);
	edge(3);
	CHECK_EQ(take(), 0x33);
	/* Rotate on non-specific EOI: 3 is the lowest, 4 the highest. */
	world_outb(w, MASTER, 0xa0);
	edge(3);
	edge(0);
	edge(5);
	CHECK_EQ(take(), 0x35);
	/* On specific EOI of 5: 6 is the highest, then 7, 0, 1, ... */
	world_outb(w, MASTER, 0xe5);
	edge(5);
	CHECK_EQ(take(), 0x30);
	CHECK_EQ(take(), -1);
	world_outb(w, MASTER, 0x60);
	CHECK_EQ(take(), 0x33);
	/* Set priority: 2 is the lowest, so 3 the highest, which is in service. */
	world_outb(w, MASTER, 0xc2);
	CHECK_EQ(take(), -1);
	world_outb(w, MASTER, 0x63);
	CHECK_EQ(take(), 0x35);
	/* No operation */
	world_outb(w, MASTER, 0x40);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x20);
}

static void automatic_eoi(void)
{
	init(3);
	edge(4);
	edge(6);
	CHECK_EQ(take(), 0x34);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0);
	CHECK_EQ(take(), 0x36);
	/* Rotate in automatic EOI mode, set and cleared. */
	world_outb(w, MASTER, 0x80);
	edge(1);
	CHECK_EQ(take(), 0x31);
	edge(1);
	edge(7);
	CHECK_EQ(take(), 0x37);
	CHECK_EQ(take(), 0x31);
	world_outb(w, MASTER, 0x00);
	edge(5);
	CHECK_EQ(take(), 0x35);
	edge(1);
	edge(3);
	/* As it was left: 2 is the highest. */
	CHECK_EQ(take(), 0x33);
	CHECK_EQ(take(), 0x31);
}

static void special_mask(void)
{
	init(1);
	edge(3);
	CHECK_EQ(take(), 0x33);
	world_outb(w, MASTER + 1, 0x08);
	edge(6);
	CHECK_EQ(take(), -1);
	/* ESMM without SMM changes nothing, with it sets the mode: the masked one holds nobody back. */
	world_outb(w, MASTER, 0x28);
	CHECK_EQ(take(), -1);
	world_outb(w, MASTER, 0x68);
	CHECK_EQ(take(), 0x36);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x48);
	/* ... nor does a non-specific EOI end it. */
	world_outb(w, MASTER, EOI);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x08);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x08);
	world_outb(w, MASTER, 0x48);
	edge(6);
	CHECK_EQ(take(), -1);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(take(), 0x36);
}

static void fully_nested(void)
{
	init(0x11);
	edge(12);
	CHECK_EQ(take(), 0x74);
	/* A higher one of the same slave comes through, what is lower than the slave does not. */
	edge(5);
	CHECK_EQ(take(), -1);
	edge(9);
	CHECK_EQ(take(), 0x71);
	CHECK_EQ(read_reg(SLAVE, READ_ISR), 0x12);
	edge(1);
	CHECK_EQ(take(), 0x31);
}

static void poll_edge(void)
{
	init(1);
	CHECK_EQ(poll(MASTER) & 0x80, 0);
	edge(3);
	edge(5);
	CHECK_EQ(poll(MASTER), 0x83);
	/* It was taken as by INTA: in service, until its EOI. */
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x08);
	CHECK_EQ(read_reg(MASTER, READ_IRR), 0x20);
	CHECK_EQ(take(), -1);
	CHECK_EQ(poll(MASTER) & 0x80, 0);
	world_outb(w, MASTER, EOI);
	/* A poll is one read, of either address. */
	world_outb(w, MASTER, POLL);
	CHECK_EQ(world_inb(w, MASTER + 1), 0x85);
	CHECK_EQ(world_inb(w, MASTER + 1), 0);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(take(), -1);
}

static void poll_level(void)
{
	init(1);
	world_outb(w, 0x4d0, 0x08);
	high(3);
	CHECK_EQ(poll(MASTER), 0x83);
	world_outb(w, MASTER, EOI);
	/* Nobody has lowered the line. */
	CHECK_EQ(poll(MASTER), 0x83);
	low(3);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(poll(MASTER) & 0x80, 0);
}

static void poll_slave(void)
{
	init(1);
	edge(10);
	CHECK_EQ(poll(MASTER), 0x82);
	CHECK_EQ(poll(SLAVE), 0x82);
	CHECK_EQ(read_reg(SLAVE, READ_ISR), 0x04);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0x04);
	world_outb(w, SLAVE, EOI);
	world_outb(w, MASTER, EOI);
	CHECK_EQ(take(), -1);
	/* Without asking the master: what the slave wanted is gone, what it wants next is not. */
	edge(11);
	CHECK_EQ(poll(SLAVE), 0x83);
	CHECK_EQ(take(), -1);
	edge(8);
	CHECK_EQ(take(), 0x70);
}

static void poll_automatic(void)
{
	init(3);
	world_outb(w, MASTER, 0x80);
	edge(1);
	CHECK_EQ(poll(MASTER), 0x81);
	CHECK_EQ(read_reg(MASTER, READ_ISR), 0);
	edge(1);
	edge(6);
	CHECK_EQ(poll(MASTER), 0x86);
	CHECK_EQ(poll(MASTER), 0x81);
}

/* The timer's ticks are held back until the guest ends the last one, however it took it. */
static void poll_acknowledges(u8 icw4)
{
	init(icw4);
	world_outb(w, MASTER + 1, 0xfe);
	world_outb(w, 0x43, 0x34);
	world_outb(w, 0x40, 0xff);
	world_outb(w, 0x40, 0xff);
	world_run_until(w, ktime_get() + 56 * NSEC_PER_MSEC);
	CHECK_EQ(poll(MASTER), 0x80);
	if (icw4 == 1)
		world_outb(w, MASTER, EOI);
	CHECK_EQ(poll(MASTER) & 0x80, 0);
	world_run_until(w, ktime_get() + 56 * NSEC_PER_MSEC);
	CHECK_EQ(poll(MASTER), 0x80);
}

static void poll_and_eoi(void)
{
	poll_acknowledges(1);
}

static void poll_and_automatic_eoi(void)
{
	poll_acknowledges(3);
}

/* GSI 2 is the IOAPIC's; the master's pin 2 is wired to the slave. */
static void pin_2(void)
{
	init(1);
	high(2);
	CHECK_EQ(take(), -1);
	edge(9);
	CHECK_EQ(take(), 0x71);
}

static void second_listener(void)
{
	w = world_create(&(struct world_config){ .mode = IRQCHIP_KERNEL, .nr_vcpus = 2 });
	CHECK_EQ(world_write(w, 1, 0xfee00000 + APIC_LVT0, 4, APIC_DM_EXTINT), 0);
	CHECK_EQ(world_write(w, 1, 0xfee00000 + APIC_SPIV, 4, 0x1ff), 0);
	CHECK_EQ(world_write(w, 1, 0xfee00000 + APIC_LVT0, 4, APIC_DM_EXTINT), 0);
	CHECK_EQ(world_enter(w, 1, true), -1);
	high(3);
	CHECK_EQ(world_write(w, 0, 0xfee00000 + APIC_LVT0, 4, APIC_LVT_MASKED), 0);
	CHECK_EQ(world_enter(w, 0, true), -1);
	CHECK_EQ(world_enter(w, 1, true), 3);
}

/* Over a machine that has a request of its own. */
static void set_state(void)
{
	struct kvm_irqchip image[2] = { { .chip_id = 0 }, { .chip_id = 1 } };
	int i;

	init(1);
	for (i = 0; i < 2; i++)
		CHECK_EQ(irqchip_get(&w->vm, &image[i]), 0);
	edge(10);
	for (i = 0; i < 2; i++)
		CHECK_EQ(irqchip_set(&w->vm, &image[i]), 0);
	CHECK_EQ(take(), -1);
	CHECK_EQ(read_reg(MASTER, READ_IRR), 0);
}

static const struct test tests[] = {
	{ "registers, ICWs", registers },
	{ "three ICWs", without_icw4 },
	{ "priorities, cascade", priorities },
	{ "levels, and requests that go away", level },
	{ "rotating priorities", rotation },
	{ "automatic EOI, rotating", automatic_eoi },
	{ "special mask mode", special_mask },
	{ "special fully nested mode", fully_nested },
	{ "poll of an edge", poll_edge },
	{ "poll of a level", poll_level },
	{ "poll of the slave", poll_slave },
	{ "poll with automatic EOI", poll_automatic },
	{ "poll, EOI, and who waits for it", poll_and_eoi },
	{ "poll with automatic EOI, and who waits for it", poll_and_automatic_eoi },
	{ "pin 2 is the slave's", pin_2 },
	{ "a second vCPU that listens", second_listener },
	{ "a state set over another", set_state },
};

TEST_MAIN(tests)
