/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts into the guest: lines of the in-kernel PIC and IOAPIC, MSIs, and
 * the eventfds that let KVM and a device talk without an exit to a vCPU thread.
 *
 * GSIs 0 … 23 are the chips' pins; irq_msi_alloc() hands out those above.
 * All calls may come from any thread.
 */
#ifndef VMRUN_IRQ_H
#define VMRUN_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"

#define IRQ_PINS	24
#define IRQ_MSIS	1000

struct machine;

struct irq {
	pthread_mutex_t lock;
	struct irq_msi {
		bool used, routed;
		uint64_t addr;
		uint32_t data;
	} msi[IRQ_MSIS];
};

int irq_init(struct irq *irq);
void irq_destroy(struct irq *irq);

/* Installs the routes of the pins; needs the in-kernel chips. */
int irq_setup(struct machine *m);

/* Level of a pin, 1 = asserted whatever the polarity. Edge lines are pulsed 1, 0. */
int irq_line(struct machine *m, unsigned int gsi, int level);

/* Return: a GSI, or -ENOSPC. It is routed nowhere until irq_msi_set(). */
int irq_msi_alloc(struct machine *m);
int irq_msi_set(struct machine *m, int gsi, uint64_t addr, uint32_t data);
void irq_msi_free(struct machine *m, int gsi);

/* Sends one message without a route. Return: 0 or -errno. */
int irq_msi_send(struct machine *m, uint64_t addr, uint32_t data);

/**
 * irq_fd - let writes to an eventfd raise a GSI
 * @resamplefd: signalled at EOI of a level-triggered pin, or -1
 * @add: connect or disconnect
 */
int irq_fd(struct machine *m, unsigned int gsi, int eventfd, int resamplefd,
	   bool add);

/**
 * irq_ioeventfd - let a guest's write signal an eventfd
 * @len: 1, 2, 4 or 8, or 0 for a write of any size (KVM_CAP_IOEVENTFD_ANY_LENGTH)
 * @match: signal only when the written value is @value
 *
 * Such writes never reach the bus.
 */
int irq_ioeventfd(struct machine *m, enum bus_kind kind, uint64_t addr,
		  unsigned int len, bool match, uint64_t value, int eventfd,
		  bool add);

#endif
