// SPDX-License-Identifier: GPL-2.0-only
#include "irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* PIC and IOAPIC entries of the pins, then one entry per message. */
#define IRQ_ROUTES (2 * IRQ_PINS + IRQ_MSIS)

int irq_init(struct irq *irq)
{
	memset(irq, 0, sizeof(*irq));
	return -pthread_mutex_init(&irq->lock, NULL);
}

void irq_destroy(struct irq *irq)
{
	pthread_mutex_destroy(&irq->lock);
}

static void irq_route_chip(struct kvm_irq_routing *table, uint32_t gsi,
			   uint32_t chip, uint32_t pin)
{
	table->entries[table->nr++] = (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/*
 * The wiring of a PC: both chips see IRQs 0 … 15, the timer sits on pin 2 of the
 * IOAPIC (as the MADT says), and the cascade is no interrupt.
 */
static void irq_route_pins(struct kvm_irq_routing *table)
{
	for (uint32_t i = 0; i < 16; i++)
		if (i != 2)
			irq_route_chip(table, i, i < 8 ? KVM_IRQCHIP_PIC_MASTER :
				       KVM_IRQCHIP_PIC_SLAVE, i & 7);
	for (uint32_t i = 0; i < IRQ_PINS; i++)
		if (i != 2)
			irq_route_chip(table, i, KVM_IRQCHIP_IOAPIC, i ? i : 2);
}

static void irq_route_msis(struct kvm_irq_routing *table,
			   const struct irq *irq)
{
	for (uint32_t i = 0; i < IRQ_MSIS; i++) {
		const struct irq_msi *msi = &irq->msi[i];

		if (!msi->routed)
			continue;
		table->entries[table->nr++] = (struct kvm_irq_routing_entry){
			.gsi = IRQ_PINS + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = {
				.address_lo = (uint32_t)msi->addr,
				.address_hi = (uint32_t)(msi->addr >> 32),
				.data = msi->data,
			},
		};
	}
}

/* Caller holds irq->lock. */
static int irq_commit(struct machine *m)
{
	struct kvm_irq_routing *table;
	int err;

	table = calloc(1, sizeof(*table) +
		       IRQ_ROUTES * sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	irq_route_pins(table);
	irq_route_msis(table, &m->irq);
	err = kvm_ioctl(m->kvm.vm, KVM_SET_GSI_ROUTING, table);
	free(table);
	return err < 0 ? err : 0;
}

int irq_setup(struct machine *m)
{
	int err;

	pthread_mutex_lock(&m->irq.lock);
	err = irq_commit(m);
	pthread_mutex_unlock(&m->irq.lock);
	return err;
}

int irq_line(struct machine *m, unsigned int gsi, int level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = !!level };
	int err = kvm_ioctl(m->kvm.vm, KVM_IRQ_LINE, &line);

	return err < 0 ? err : 0;
}

int irq_msi_alloc(struct machine *m)
{
	int gsi = -ENOSPC;

	pthread_mutex_lock(&m->irq.lock);
	for (int i = 0; i < IRQ_MSIS && gsi < 0; i++) {
		if (m->irq.msi[i].used)
			continue;
		m->irq.msi[i] = (struct irq_msi){ .used = true };
		gsi = IRQ_PINS + i;
	}
	pthread_mutex_unlock(&m->irq.lock);
	return gsi;
}

static struct irq_msi *irq_msi_of(struct machine *m, int gsi)
{
	if (gsi < IRQ_PINS || gsi >= IRQ_PINS + IRQ_MSIS ||
	    !m->irq.msi[gsi - IRQ_PINS].used)
		return NULL;
	return &m->irq.msi[gsi - IRQ_PINS];
}

/* Guests rewrite vectors often; an unchanged route costs no ioctl. */
static int irq_msi_route(struct machine *m, struct irq_msi *msi, uint64_t addr,
			 uint32_t data)
{
	struct irq_msi old = *msi;
	int err;

	if (msi->routed && msi->addr == addr && msi->data == data)
		return 0;
	msi->routed = true;
	msi->addr = addr;
	msi->data = data;
	err = irq_commit(m);
	if (err)
		*msi = old;
	return err;
}

int irq_msi_set(struct machine *m, int gsi, uint64_t addr, uint32_t data)
{
	struct irq_msi *msi;
	int err = -EINVAL;

	pthread_mutex_lock(&m->irq.lock);
	msi = irq_msi_of(m, gsi);
	if (msi)
		err = irq_msi_route(m, msi, addr, data);
	pthread_mutex_unlock(&m->irq.lock);
	return err;
}

void irq_msi_free(struct machine *m, int gsi)
{
	struct irq_msi *msi;
	bool routed;

	pthread_mutex_lock(&m->irq.lock);
	msi = irq_msi_of(m, gsi);
	if (msi) {
		routed = msi->routed;
		*msi = (struct irq_msi){ 0 };
		if (routed)
			irq_commit(m);
	}
	pthread_mutex_unlock(&m->irq.lock);
}

int irq_msi_send(struct machine *m, uint64_t addr, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)addr,
		.address_hi = (uint32_t)(addr >> 32),
		.data = data,
	};
	int err = kvm_ioctl(m->kvm.vm, KVM_SIGNAL_MSI, &msi);

	return err < 0 ? err : 0;
}

int irq_fd(struct machine *m, unsigned int gsi, int eventfd, int resamplefd,
	   bool add)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd, .gsi = gsi };
	int err;

	if (!add) {
		irqfd.flags |= KVM_IRQFD_FLAG_DEASSIGN;
	} else if (resamplefd >= 0) {
		irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
		irqfd.resamplefd = (uint32_t)resamplefd;
	}
	err = kvm_ioctl(m->kvm.vm, KVM_IRQFD, &irqfd);
	return err < 0 ? err : 0;
}

int irq_ioeventfd(struct machine *m, enum bus_kind kind, uint64_t addr,
		  unsigned int len, bool match, uint64_t value, int eventfd,
		  bool add)
{
	struct kvm_ioeventfd io = {
		.addr = addr,
		.len = len,
		.fd = eventfd,
		.datamatch = match ? value : 0,
	};
	int err;

	if (kind == BUS_PIO)
		io.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (match)
		io.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
	if (!add)
		io.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	err = kvm_ioctl(m->kvm.vm, KVM_IOEVENTFD, &io);
	return err < 0 ? err : 0;
}
