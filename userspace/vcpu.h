/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU and its thread.
 *
 * States of the thread: not started; running; parked (machine_pause()); ended. A
 * parked vCPU has no half-done I/O instruction, and only then may the loop's
 * thread read or write its registers.
 */
#ifndef VMRUN_VCPU_H
#define VMRUN_VCPU_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct counters;
struct machine;
struct stream;

/* All state of a vCPU that KVM shows. */
struct vcpu_state {
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_msrs *msrs;		/* malloc'ed */
};

struct vcpu {
	struct machine *m;
	unsigned int id;		/* also the APIC id */
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	bool failed;			/* must not enter the guest again */
	struct vcpu_state initial;	/* as after creation */
	struct counters *counters;	/* NULL: the device keeps none */
};

/* Creates all of machine.cfg.cpus; reports errors. */
int vcpus_create(struct machine *m);
void vcpus_destroy(struct machine *m);

/* The signal of vcpus_kick() gets its handler; vcpus_create() does it. */
void vcpus_take_kicks(void);

/* Starts the threads, or ends them and waits until they are gone. */
int vcpus_start(struct machine *m);
void vcpus_stop(struct machine *m);

/* Makes every running vCPU thread look at machine.pause and machine.quit soon. */
void vcpus_kick(struct machine *m);

/* Puts all vCPUs into their state after creation. */
int vcpus_reset(struct machine *m);

/* vcpu_state.c */
int vcpu_state_get(struct vcpu *v, struct vcpu_state *state);
int vcpu_state_set(struct vcpu *v, const struct vcpu_state *state);
void vcpu_state_free(struct vcpu_state *state);

/*
 * The same for moves, where CPUID travels, too. Between the two steps of loading the TSC must
 * be set: KVM_SET_MSRS arms the deadline timer.
 */
struct vcpu_saved {
	struct vcpu_state state;
	struct kvm_cpuid2 *cpuid;	/* malloc'ed */
};

int vcpu_save(struct vcpu *v, struct stream *s);
int vcpu_saved_read(struct vcpu_saved *saved, struct stream *s);
void vcpu_saved_free(struct vcpu_saved *saved);
/* What KVM shows of the two otherwise, or NULL. */
const char *vcpu_saved_differ(const struct vcpu_saved *a, const struct vcpu_saved *b);
int vcpu_load_registers(struct vcpu *v, const struct vcpu_saved *saved);
int vcpu_load_msrs(struct vcpu *v, const struct vcpu_saved *saved);

/* CPUID by itself, as KVM_GET_CPUID2 gives it; the reader's table is malloc'ed. */
#define CPUID_MAX 256
int vcpu_cpuid_save(struct vcpu *v, struct stream *s);
struct kvm_cpuid2 *vcpu_cpuid_read(struct stream *s);

/* report.c: one block on stderr that says why and where a vCPU gave up. */
void vcpu_report(struct vcpu *v, const char *why);

#endif
