/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine: everything that belongs to one VM. There is no other state.
 *
 * Locks, outermost first: a device's own lock, bus.lock, irq.lock,
 * machine.state_lock. No lock is held while a handler of another
 * object is called, except that devices raise interrupts under their own.
 */
#ifndef VMRUN_MACHINE_H
#define VMRUN_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"
#include "irq.h"
#include "kvm.h"
#include "loop.h"
#include "mem.h"
#include "util/list.h"

#define MACHINE_MAX_DISKS	16
#define MACHINE_MAX_CPUS	255	/* xAPIC ids; 255 is the broadcast */

/* Where the pieces of the board are. The ACPI tables tell the guest. */
#define BOARD_IOAPIC		0xfec00000u
#define BOARD_LAPIC		0xfee00000u
#define BOARD_PCI_MMIO		0xc0000000u
#define BOARD_PCI_MMIO_END	0xfec00000u	/* exclusive */
#define BOARD_PCI_GSI		16	/* slot n, INTA: 16 + (n & 7) */
#define BOARD_PM_BASE		0x600
#define BOARD_SCI		9

struct disk_config {
	const char *path;
	bool ro;
};

enum net_kind { NET_NONE, NET_USER, NET_TAP };

struct net_config {
	enum net_kind kind;
	const char *tap;	/* interface name */
};

struct machine_config {
	const char *name;
	const char *device;	/* NULL: the default */
	const char *kernel;
	const char *initrd;	/* may be NULL */
	const char *append;	/* never NULL */
	unsigned int cpus;
	uint64_t mem;		/* bytes */
	struct disk_config disks[MACHINE_MAX_DISKS];
	unsigned int nr_disks;
	struct net_config net;
	bool no_reboot;
};

/*
 * What is to happen next. Requests of vCPU threads and devices only ever raise it:
 * a later, weaker request does not hide an earlier one.
 */
enum machine_request {
	MACHINE_RUN,
	MACHINE_RESET,
	MACHINE_POWEROFF,
	MACHINE_QUIT,		/* the user wants out */
	MACHINE_FAILED,		/* it cannot go on; already reported */
};

struct acpi_pm;
struct boot;
struct control;
struct kvm_chips;
struct pci_host;
struct term;
struct vcpu;

struct machine {
	struct machine_config cfg;
	struct kvm kvm;
	struct kvm_chips *chips;	/* their state after creation */
	struct mem mem;
	struct bus bus;
	struct irq irq;
	struct loop loop;
	struct list devices;
	struct pci_host *pci;		/* set by pci_create() */
	struct acpi_pm *pm;
	struct boot *boot;
	struct term *term;
	struct control *control;

	struct vcpu *vcpus;
	unsigned int nr_vcpus;		/* that are set up */

	pthread_mutex_t state_lock;
	pthread_cond_t parked;		/* a vCPU has stopped */
	pthread_cond_t resume;		/* vCPUs may go on */
	unsigned int nr_parked;		/* under state_lock */
	bool pause;			/* atomic; vCPUs must park */
	bool quit;			/* atomic; vCPU threads must end */
	enum machine_request request;	/* under state_lock */
	struct loop_fd request_lfd;	/* eventfd behind machine_request() */
	struct loop_fd signal_lfd;	/* signalfd: SIGTERM and the like */
};

/**
 * machine_create - open KVM and build the board
 *
 * Return: 0, or -errno after a message; then @m needs no machine_destroy().
 */
int machine_create(struct machine *m, const struct machine_config *cfg);
void machine_destroy(struct machine *m);

/**
 * machine_run - run the guest until it or the user ends it
 *
 * The caller has blocked the signals of machine_block_signals() before it
 * made any thread. SIGTERM, SIGINT and SIGHUP end the run as the user's wish.
 *
 * Return: the final request: MACHINE_POWEROFF, MACHINE_QUIT, MACHINE_RESET
 * (only with no_reboot) or MACHINE_FAILED; or -errno after a message.
 */
int machine_run(struct machine *m);
void machine_block_signals(void);

/*
 * Any thread may ask; the event loop acts. The vCPU that asks executes no
 * further guest instruction.
 */
void machine_request(struct machine *m, enum machine_request what);

/*
 * Stop and start all vCPUs, from the loop's thread. After machine_pause() no
 * I/O instruction is half done.
 */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

#endif
