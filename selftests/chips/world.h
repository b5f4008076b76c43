/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A machine that is nothing but its interrupt chips: the module's own, with
 * vCPUs that run no code. It does what the rest of the module does to them: a
 * guest's accesses, the run loop's questions before an entry, time.
 */
#ifndef CHIPS_WORLD_H
#define CHIPS_WORLD_H

#include "irq/chips.h"
#include "irq/lapic.h"

#define WORLD_VCPUS	4
#define WORLD_FDS	2	/* irqfds with resampling */

struct world_config {
	int mode;			/* enum irqchip_mode: _KERNEL or _SPLIT */
	unsigned int nr_vcpus;
	u32 bus_ns;
	bool x2apic_ids, no_broadcast_quirk, hw_timer, no_deadline, cmci;
	u64 disabled_quirks;
	u32 split_pins;
	bool irqfds;
};

struct world_vcpu {
	struct vcpu vcpu;		/* first */
	u64 hw_deadline;		/* the vendor's timer; U64_MAX: not armed */
	bool window;			/* an interrupt window was asked for */
	unsigned int nmis, smis, unhalts; /* that came, ever */
	bool sipi_wait;			/* after INIT */
	unsigned int sipis;
	u8 start;			/* vector of the last SIPI taken */
};

struct world {
	struct vm vm;			/* first */
	struct world_config config;
	struct clock clock;
	struct world_vcpu cpu[WORLD_VCPUS];
	int fd[WORLD_FDS], resample_fd[WORLD_FDS];
	u32 fd_gsi[WORLD_FDS];
	bool tame;			/* the guest minds its business: ops.h */
	u8 word[4];			/* guest memory: what vapic.c shares */
};

struct world *world_create(const struct world_config *config);
void world_destroy(struct world *w);

static inline struct world *world_of(struct vm *vm)
{
	return container_of(vm, struct world, vm);
}

static inline struct lapic *world_lapic(struct world *w, unsigned int cpu)
{
	return w->cpu[cpu].vcpu.lapic;
}

/* The guest's accesses; 0, or -EOPNOTSUPP: user space is asked. */
int world_read(struct world *w, unsigned int cpu, u64 gpa, unsigned int len, u64 *val);
int world_write(struct world *w, unsigned int cpu, u64 gpa, unsigned int len, u64 val);
int world_in(struct world *w, unsigned int cpu, u16 port, unsigned int len, u64 *val);
int world_out(struct world *w, unsigned int cpu, u16 port, unsigned int len, u64 val);
/* 0, or 1: #GP. Those of the LAPIC, its base and its deadline among them. */
int world_rdmsr(struct world *w, unsigned int cpu, u32 msr, u64 *val);
int world_wrmsr(struct world *w, unsigned int cpu, u32 msr, u64 val);

/* For known answers: byte-wide ports that must be served. */
u8 world_inb(struct world *w, u16 port);
void world_outb(struct world *w, u16 port, u8 val);
void world_line(struct world *w, u32 gsi, int level);

/*
 * As the run loop before an entry: what was requested, in its order. With
 * @open interrupts the guest takes one: its vector, or -1.
 */
int world_enter(struct world *w, unsigned int cpu, bool open);
/* An interrupt is deliverable there, and nothing would make the run loop look. */
bool world_forgot(struct world *w, unsigned int cpu);
/* INIT and SIPI that wait are taken, as before KVM_RUN and KVM_GET_MP_STATE. */
void world_accept_init(struct world *w, unsigned int cpu);

/* All of it until @end, for all clocks' time; hardware timers that are over exit. */
void world_run_until(struct world *w, u64 end);
/* When this vCPU's timer fires by itself, KTIME_MAX: not. */
ktime_t world_deadline(struct world *w, unsigned int cpu);

#endif /* CHIPS_WORLD_H */
