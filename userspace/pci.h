/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One PCI bus behind a host bridge with configuration mechanism #1
 * (PCI 3.0 section 3.2.2.3.2): type-0 functions, 32-bit memory BARs inside
 * the board's window, MSI-X, and INTA as the fallback.
 *
 * Locks, outermost first: pci_host.lock (configuration space, BAR mapping), the
 * device's own lock, then the leaves pci_msix.lock and pci_host.intx_lock. A
 * device that holds its own lock may raise interrupts but not touch
 * configuration space.
 */
#ifndef VMRUN_PCI_H
#define VMRUN_PCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus.h"

#define PCI_SLOTS	32
#define PCI_BARS	6
#define PCI_CFG_SIZE	256
#define PCI_MSIX_BAR_SIZE	4096	/* table in the first half, PBA in the second */
#define PCI_MSIX_MAX	(PCI_MSIX_BAR_SIZE / 2 / 16)

struct machine;
struct pci_dev;
struct stream;

/**
 * struct pci_dev_ops - what a function does beyond its header
 * @bar_read: as in struct bus_region, for a BAR that is not the MSI-X one; no lock is held
 * @bar_write: likewise
 * @bar_mapped: the BAR now decodes at @base, or (!@mapped) no longer does; pci_host.lock is held
 * @cfg_read: may answer an access to configuration space itself (true); pci_host.lock is held
 * @cfg_write: likewise; called after the plain write for bytes that are writable
 *
 * Any may be NULL.
 */
struct pci_dev_ops {
	void (*bar_read)(struct pci_dev *d, unsigned int bar, uint64_t off, void *data,
			 unsigned int len);
	void (*bar_write)(struct pci_dev *d, unsigned int bar, uint64_t off, const void *data,
			  unsigned int len);
	void (*bar_mapped)(struct pci_dev *d, unsigned int bar, uint64_t base, bool mapped);
	bool (*cfg_read)(struct pci_dev *d, unsigned int off, void *data, unsigned int len);
	void (*cfg_write)(struct pci_dev *d, unsigned int off, unsigned int len);
};

struct pci_bar {
	struct pci_dev *dev;
	uint32_t size;		/* power of two; 0: there is no such BAR */
	uint32_t home;		/* where vmrun put it; back there at reset */
	bool mapped;
	struct bus_region region;
};

struct pci_msix_vec {
	uint64_t addr;
	uint32_t data;
	bool masked;
	bool pending;
	int gsi;		/* -1 until the vector first goes live */
	int efd;		/* behind that GSI, or -1 */
	bool connected;		/* efd is an irqfd of that GSI */
	bool routed;		/* connected, and the GSI leads to routed_addr, routed_data */
	uint64_t routed_addr;
	uint32_t routed_data;
};

struct pci_msix {
	pthread_mutex_t lock;	/* all below */
	unsigned int bar;
	unsigned int cap;	/* offset of the capability, 0: the function has no MSI-X */
	unsigned int nr;
	bool enabled;
	bool masked;		/* the whole function */
	struct pci_msix_vec *vec;
};

struct pci_dev {
	struct machine *m;
	const struct pci_dev_ops *ops;
	const char *name;
	unsigned int slot;
	bool registered;
	unsigned int last_cap;	/* offset of the capability added last */
	unsigned int next_cap;	/* where the next one goes */
	uint8_t cfg[PCI_CFG_SIZE];
	uint8_t wmask[PCI_CFG_SIZE];	/* bits the guest may write */
	uint8_t cfg_home[PCI_CFG_SIZE];	/* cfg at power-on */
	struct pci_bar bar[PCI_BARS];
	struct pci_msix msix;
	bool intx_wanted;	/* under pci_host.intx_lock, as is the next */
	bool intx_driven;
};

struct pci_ids {
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class;		/* class, subclass, programming interface */
	uint8_t revision;
};

/* Creates the host bridge and sets machine.pci. */
int pci_create(struct machine *m);

/* Building a function: init, then BARs, capabilities and MSI-X in any order, then register. */
void pci_dev_init(struct pci_dev *d, struct machine *m, const char *name,
		  const struct pci_dev_ops *ops, const struct pci_ids *ids);
void pci_bar_add(struct pci_dev *d, unsigned int bar, uint32_t size);
/* @len bytes of @body follow the two header bytes. Return: the capability's offset, or -ENOSPC. */
int pci_cap_add(struct pci_dev *d, uint8_t id, const void *body, unsigned int len);
int pci_msix_add(struct pci_dev *d, unsigned int bar, unsigned int nr);
/* Give the function a slot, its INTA and BAR addresses, and show it to the guest. */
int pci_dev_register(struct pci_dev *d);
/* Undoes all of the above; harmless on a function that got only part of the way. */
void pci_dev_destroy(struct pci_dev *d);

void pci_dev_reset(struct pci_dev *d);
void pci_dev_save(struct pci_dev *d, struct stream *s);
int pci_dev_load(struct pci_dev *d, struct stream *s);

/* Level of INTA, which reaches the guest unless it disabled the pin or enabled MSI-X. */
void pci_intx_set(struct pci_dev *d, bool level);

bool pci_msix_enabled(struct pci_dev *d);
/* Send a vector's message now, or note it as pending while it is masked. */
void pci_msix_notify(struct pci_dev *d, unsigned int vec);

/* For pci.c: the parts of pci_msix.c that configuration space and the bus lead to. */
void pci_msix_bar_read(struct pci_dev *d, uint64_t off, void *data, unsigned int len);
void pci_msix_bar_write(struct pci_dev *d, uint64_t off, const void *data, unsigned int len);
void pci_msix_cfg_changed(struct pci_dev *d);
void pci_msix_reset(struct pci_dev *d);
void pci_msix_save(struct pci_dev *d, struct stream *s);
int pci_msix_load(struct pci_dev *d, struct stream *s);
void pci_msix_destroy(struct pci_dev *d);

#endif
