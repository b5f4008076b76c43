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
#include "migrate/clock.h"
#include "migrate/job.h"
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

/* Where the guest's first state comes from. */
enum machine_origin {
	ORIGIN_BOOT,		/* its kernel */
	ORIGIN_INCOMING,	/* another vmrun, which moves it here */
	ORIGIN_SNAPSHOT,	/* a file */
};

enum verify { VERIFY_BEHIND, VERIFY_FIRST, VERIFY_NEVER };

struct machine_config {
	const char *name;
	const char *device;	/* NULL: the default */
	const char *kernel;	/* NULL: unknown, so that a reset ends the machine */
	const char *initrd;	/* may be NULL */
	const char *append;	/* never NULL */
	unsigned int cpus;
	uint64_t mem;		/* bytes */
	struct disk_config disks[MACHINE_MAX_DISKS];
	unsigned int nr_disks;
	struct net_config net;
	bool no_reboot;
	enum machine_origin origin;
	const char *from;	/* where to await it, or the file */
	enum verify verify;	/* when the file's memory is checked */
	const char *user;	/* to become; NULL: stay who we are */
	bool no_seccomp;
};

/*
 * What is to happen next. Requests of vCPU threads and devices only ever raise it:
 * a later, weaker request does not hide an earlier one.
 */
enum machine_request {
	MACHINE_RUN,
	MACHINE_RESET,
	MACHINE_POWEROFF,
	MACHINE_MOVED,		/* the guest runs elsewhere */
	MACHINE_QUIT,		/* the user wants out */
	MACHINE_FAILED,		/* it cannot go on; already reported */
};

/* Whether the guest is still this machine's to run. */
enum machine_moved {
	MOVED_NO,
	MOVED_GOING,		/* it is being handed over */
	MOVED_PERHAPS,		/* nobody answered: its user decides */
	MOVED_PARTLY,		/* it runs elsewhere, and needs memory that is still here */
	MOVED_AWAY,
};

struct acpi_pm;
struct boot;
struct control;
struct kvm_chips;
struct pci_host;
struct sandbox;
struct snapshot;
struct source;
struct target;
struct term;
struct vcpu;
struct verifier;
struct writer;

struct machine {
	struct machine_config cfg;
	char *cwd;			/* that relative paths of cfg start from; NULL: unknown */
	struct sandbox *sandbox;
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
	unsigned int holds;		/* machine_pause() without machine_resume(); loop's thread */
	bool user_paused;		/* one of them is the user's; loop's thread */
	struct clock_hold clock;	/* the guest's time while it stands still; loop's thread */
	uint32_t throttle;		/* atomic; per cent of the time that vCPUs are held */
	uint64_t held_until;		/* atomic; CLOCK_MONOTONIC in ns */
	struct loop_timer throttle_timer;
	struct loop_timer linger_timer;	/* after a move, for those who ask how it went */

	struct job job;
	struct writer *writer;		/* of a snapshot */
	struct source *source;		/* of a move from here */
	struct target *target;		/* of a move to here */
	struct snapshot *snapshot;	/* that the machine came from */
	struct verifier *verifier;
	bool arrived;			/* … or has always been here */
	enum machine_moved moved;
	bool moved_postcopy;		/* that was such a move */
	uint64_t session;		/* of the last move from here */

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
 * Return: the final request: MACHINE_POWEROFF, MACHINE_MOVED, MACHINE_QUIT, MACHINE_RESET
 * (only with no_reboot or without a kernel) or MACHINE_FAILED; or -errno after a message.
 */
int machine_run(struct machine *m);

/* The process's exit status after that result. */
static inline int machine_exit_status(int result)
{
	switch (result) {
	case MACHINE_POWEROFF:
	case MACHINE_MOVED:
	case MACHINE_QUIT:
		return 0;
	case MACHINE_RESET:
		return 3;
	default:
		return 1;
	}
}

void machine_block_signals(void);

/*
 * Any thread may ask; the event loop acts. The vCPU that asks executes no
 * further guest instruction.
 */
void machine_request(struct machine *m, enum machine_request what);

/*
 * Stop and start all vCPUs, from the loop's thread. After machine_pause() no
 * I/O instruction is half done. They nest: the last machine_resume() counts.
 */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

/* The user's own, which may be repeated. machine_user_resume() returns 0 or -errno. */
void machine_user_pause(struct machine *m);
int machine_user_resume(struct machine *m);

/* Hold the vCPUs for that part of the time; 0: no longer. Any thread. */
void machine_throttle(struct machine *m, uint32_t percent);

/* Whether the guest or the user wants something else than to run on. */
bool machine_is_asked(struct machine *m);

/* A word: running, paused, incoming, and those of enum machine_moved: moving, in-doubt, serving, moved. */
const char *machine_state_name(const struct machine *m);

#endif
