/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine without KVM for tests of devices: real bus, memory, loop and
 * interrupt code, over a kvm_ioctl() that only remembers. The test plays the
 * guest's CPU and driver.
 */
#ifndef VMRUN_TESTS_BOARD_H
#define VMRUN_TESTS_BOARD_H

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "machine.h"
#include "section.h"
#include "virtio/queue.h"

#define BOARD_MEM	MIB(16)
#define MAX_IOEVENTFDS	64
#define MAX_GSIS	(IRQ_PINS + IRQ_MSIS)

struct board {
	struct machine m;
	pthread_t loop_thread;
	bool looping;
};

/* What the fake KVM was told. */
struct fake_kvm {
	uint64_t clock;		/* kvmclock, in ns */
	pthread_mutex_t lock;
	int line[IRQ_PINS];
	int irqfd[MAX_GSIS];		/* -1: none */
	uint32_t msi_data[MAX_GSIS];	/* of the route */
	unsigned int sent;		/* KVM_SIGNAL_MSI calls */
	struct { uint64_t addr; int fd; } io[MAX_IOEVENTFDS];
	unsigned int nr_io;
	unsigned int resets;		/* machine_request(MACHINE_RESET) */
	unsigned int quits;		/* machine_request(MACHINE_QUIT) */
	bool refuse_irqfd, refuse_ioeventfd;
};

extern struct fake_kvm fake;

void board_init(struct board *b);
/* With so many bytes of RAM instead of BOARD_MEM. */
void board_init_mem(struct board *b, uint64_t mem);
void board_start_loop(struct board *b);
void board_stop_loop(struct board *b);
void board_destroy(struct board *b);

/* Takes in what devices_save() made, and starts them. Return: 0 or the first error. */
int board_load(struct board *b, struct stream *s);

/* Times the vector's eventfd (or KVM_SIGNAL_MSI) fired since last asked. */
unsigned int board_msi_count(unsigned int gsi);

uint32_t cfg_get(struct board *b, unsigned int slot, unsigned int off, unsigned int len);
void cfg_set(struct board *b, unsigned int slot, unsigned int off, unsigned int len,
	     uint32_t value);
uint64_t mmio_get(struct board *b, uint64_t addr, unsigned int len);
void mmio_set(struct board *b, uint64_t addr, unsigned int len, uint64_t value);

/* A virtio driver for the function in one slot. */
struct driver {
	struct board *b;
	unsigned int slot;
	uint64_t common, isr, config, notify, msix;
	uint32_t notify_mult;
	unsigned int cap[6];	/* by cfg_type */
};

/* One queue as the driver sees it; rings and buffers live at fixed places of guest memory. */
struct dqueue {
	struct driver *d;
	unsigned int index, size;
	uint64_t base;		/* desc at +0, avail at +0x2000, used at +0x3000 */
	uint16_t avail_idx, used_seen;
	uint16_t next_desc;
};

#define BUF_GPA	0x200000ull

/* Return: false if the slot holds no modern virtio device. */
bool driver_probe(struct driver *d, struct board *b, unsigned int slot);
/* Reset, negotiate @features (those offered among them) up to FEATURES_OK. */
uint64_t driver_negotiate(struct driver *d, uint64_t features);
void driver_ok(struct driver *d);
uint8_t driver_status(struct driver *d);
/* Wait until @cond holds, or five seconds: a loaded machine is slow, a lost event never comes. */
#define wait_for(cond) ({						\
	unsigned int ms_ = 0;						\
	bool good_;							\
									\
	while (!(good_ = !!(cond)) && ms_++ < 5000)			\
		usleep(1000);						\
	good_;								\
})

void dqueue_init(struct dqueue *q, struct driver *d, unsigned int index, unsigned int size);
/* Put a descriptor at @i. */
void dqueue_desc(struct dqueue *q, unsigned int i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next);
void dqueue_publish(struct dqueue *q, uint16_t head);
void dqueue_kick(struct dqueue *q);
/* Wait up to five seconds for a used element. */
bool dqueue_wait(struct dqueue *q, uint32_t *id, uint32_t *len);

void *gmem(struct board *b, uint64_t gpa);

#endif
