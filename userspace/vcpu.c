// SPDX-License-Identifier: GPL-2.0-only
#include "vcpu.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "counters.h"
#include "cpuid.h"
#include "machine.h"
#include "sandbox/thread.h"
#include "term.h"
#include "util/list.h"
#include "util/msg.h"
#include "util/time.h"

/* Does nothing: its arrival ends KVM_RUN and other sleeping calls. */
#define VCPU_KICK_SIGNAL SIGUSR1

/* Leave the loop of vcpu_thread(). */
#define VCPU_GONE 1

static void vcpu_kicked(int sig)
{
	(void)sig;
}

/* ---- creation ---- */

static int vcpu_set_cpuid(struct vcpu *v, struct kvm_cpuid2 *table)
{
	struct cpuid_topology topo = {
		.cpus = v->m->cfg.cpus,
		.apic_id = v->id,
		.tsc_deadline = kvm_check(&v->m->kvm,
					  KVM_CAP_TSC_DEADLINE_TIMER),
	};

	cpuid_apply(table, &topo);
	return kvm_ioctl(v->fd, KVM_SET_CPUID2, table);
}

/* Now, as a vCPU that runs answers no ioctl. */
static struct counters *vcpu_counters(struct vcpu *v)
{
	int fd = kvm_ioctl_num(v->fd, KVM_GET_STATS_FD, 0);

	return fd < 0 ? NULL : counters_open(fd);
}

static int vcpu_create(struct machine *m, struct vcpu *v, unsigned int id,
		       struct kvm_cpuid2 *cpuid)
{
	int err;

	v->m = m;
	v->id = id;
	v->fd = kvm_ioctl_num(m->kvm.vm, KVM_CREATE_VCPU, id);
	if (v->fd < 0)
		return v->fd;
	v->run = mmap(NULL, m->kvm.run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      v->fd, 0);
	if (v->run == MAP_FAILED) {
		err = -errno;
		goto out_fd;
	}
	err = vcpu_set_cpuid(v, cpuid);
	if (err < 0)
		goto out_run;
	err = vcpu_state_get(v, &v->initial);
	if (err < 0)
		goto out_run;
	v->counters = vcpu_counters(v);
	return 0;

out_run:
	munmap(v->run, m->kvm.run_size);
out_fd:
	close(v->fd);
	return err;
}

static void vcpu_destroy(struct vcpu *v)
{
	counters_close(v->counters);
	vcpu_state_free(&v->initial);
	munmap(v->run, v->m->kvm.run_size);
	close(v->fd);
}

static int vcpus_check_count(struct machine *m)
{
	int max = kvm_check(&m->kvm, KVM_CAP_MAX_VCPUS);

	if (max <= 0)
		max = kvm_check(&m->kvm, KVM_CAP_NR_VCPUS);
	if (max > 0 && m->cfg.cpus > (unsigned int)max)
		return msg_fail(-EINVAL, "--cpus %u: this host's KVM offers at most %d",
				m->cfg.cpus, max);
	return 0;
}

static int vcpus_check_mem(struct machine *m, const struct kvm_cpuid2 *cpuid)
{
	unsigned int bits = cpuid_phys_bits(cpuid);

	if (bits < 64 && m->mem.high && (MEM_HOLE_END + m->mem.high - 1) >> bits)
		return msg_fail(-EINVAL, "--mem %lluM: more than this processor's %u address bits reach",
				(unsigned long long)(m->cfg.mem >> 20), bits);
	return 0;
}

void vcpus_take_kicks(void)
{
	struct sigaction action = { .sa_handler = vcpu_kicked };

	sigaction(VCPU_KICK_SIGNAL, &action, NULL);
}

int vcpus_create(struct machine *m)
{
	struct kvm_cpuid2 *cpuid = NULL;
	int err;

	vcpus_take_kicks();
	err = vcpus_check_count(m);
	if (err)
		return err;
	m->vcpus = calloc(m->cfg.cpus, sizeof(*m->vcpus));
	if (!m->vcpus)
		return msg_fail(-ENOMEM, "out of memory");
	err = cpuid_supported(&m->kvm, &cpuid);
	if (!err)
		err = vcpus_check_mem(m, cpuid);
	while (!err && m->nr_vcpus < m->cfg.cpus) {
		err = vcpu_create(m, &m->vcpus[m->nr_vcpus], m->nr_vcpus,
				  cpuid);
		if (err < 0)
			msg_fail(err, "cannot create vCPU %u: %s", m->nr_vcpus,
				 strerror(-err));
		else
			m->nr_vcpus++;
	}
	free(cpuid);
	if (err)
		vcpus_destroy(m);
	return err;
}

void vcpus_destroy(struct machine *m)
{
	while (m->nr_vcpus)
		vcpu_destroy(&m->vcpus[--m->nr_vcpus]);
	free(m->vcpus);
	m->vcpus = NULL;
}

int vcpus_reset(struct machine *m)
{
	for (unsigned int i = 0; i < m->nr_vcpus; i++) {
		int err = vcpu_state_set(&m->vcpus[i], &m->vcpus[i].initial);

		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- exits ---- */

static int vcpu_fail(struct vcpu *v, const char *why)
{
	v->failed = true;
	vcpu_report(v, why);
	machine_request(v->m, MACHINE_FAILED);
	return 0;
}

static int vcpu_exit_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	unsigned int size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(&v->m->bus, BUS_PIO, run->io.port, data,
				  size);
		else
			bus_read(&v->m->bus, BUS_PIO, run->io.port, data,
				 size);
	}
	return 0;
}

static int vcpu_exit_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	if (run->mmio.is_write)
		bus_write(&v->m->bus, BUS_MMIO, run->mmio.phys_addr,
			  run->mmio.data, run->mmio.len);
	else
		bus_read(&v->m->bus, BUS_MMIO, run->mmio.phys_addr,
			 run->mmio.data, run->mmio.len);
	return 0;
}

/* A triple fault resets a PC. */
static int vcpu_exit_shutdown(struct vcpu *v)
{
	machine_request(v->m, MACHINE_RESET);
	return 0;
}

static int vcpu_exit_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		machine_request(v->m, MACHINE_POWEROFF);
		return 0;
	case KVM_SYSTEM_EVENT_RESET:
		machine_request(v->m, MACHINE_RESET);
		return 0;
	default:
		return vcpu_fail(v, "the guest asked for an unknown system event");
	}
}

static int vcpu_exit_fail_entry(struct vcpu *v)
{
	return vcpu_fail(v, "the processor refused to enter the guest");
}

static int vcpu_exit_internal(struct vcpu *v)
{
	return vcpu_fail(v, "KVM cannot go on with the guest (internal error)");
}

/* The reason is nothing that a handler could act on. */
static int vcpu_exit_ignore(struct vcpu *v)
{
	(void)v;
	return 0;
}

static int (*const vcpu_exits[])(struct vcpu *v) = {
	[KVM_EXIT_IO] = vcpu_exit_io,
	[KVM_EXIT_MMIO] = vcpu_exit_mmio,
	[KVM_EXIT_SHUTDOWN] = vcpu_exit_shutdown,
	[KVM_EXIT_SYSTEM_EVENT] = vcpu_exit_system_event,
	[KVM_EXIT_FAIL_ENTRY] = vcpu_exit_fail_entry,
	[KVM_EXIT_INTERNAL_ERROR] = vcpu_exit_internal,
	[KVM_EXIT_INTR] = vcpu_exit_ignore,
	[KVM_EXIT_IRQ_WINDOW_OPEN] = vcpu_exit_ignore,
	[KVM_EXIT_IOAPIC_EOI] = vcpu_exit_ignore,
};

static int vcpu_exit(struct vcpu *v)
{
	uint32_t reason = v->run->exit_reason;

	if (reason >= ARRAY_SIZE(vcpu_exits) || !vcpu_exits[reason])
		return vcpu_fail(v, "unexpected exit");
	return vcpu_exits[reason](v);
}

/* ---- the thread ---- */

static int vcpu_enter(struct vcpu *v)
{
	int err;

	if (!ioctl(v->fd, KVM_RUN, 0))
		return vcpu_exit(v);
	err = -errno;
	if (err == -EINTR || err == -EAGAIN)
		return err;
	/* -EFAULT comes with an exit reason of its own on newer KVMs. */
	vcpu_fail(v, strerror(-err));
	return 0;
}

/*
 * An I/O exit is complete only when KVM_RUN is called again: immediate_exit
 * lets it finish the instruction without entering the guest (KVM's API
 * documentation, KVM_EXIT_IO). It may take several rounds.
 */
static void vcpu_finish_io(struct vcpu *v)
{
	do {
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	} while (!v->failed && vcpu_enter(v) != -EINTR);
}

static void vcpu_park(struct vcpu *v)
{
	struct machine *m = v->m;

	vcpu_finish_io(v);
	pthread_mutex_lock(&m->state_lock);
	m->nr_parked++;
	pthread_cond_signal(&m->parked);
	while (m->pause && !m->quit)
		pthread_cond_wait(&m->resume, &m->state_lock);
	m->nr_parked--;
	pthread_mutex_unlock(&m->state_lock);
}

/* Return: whether the vCPU was held back; then the flags are to be looked at again. */
static bool vcpu_held(struct vcpu *v)
{
	uint64_t until = __atomic_load_n(&v->m->held_until, __ATOMIC_RELAXED);
	struct timespec end = ns_timespec(until);

	if (!until || now_ns() >= until)
		return false;
	/* A kick ends the sleep early. */
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
	return true;
}

static void vcpu_open_kicks(void)
{
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, VCPU_KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct machine *m = v->m;

	vcpu_open_kicks();
	while (!__atomic_load_n(&m->quit, __ATOMIC_SEQ_CST)) {
		/*
		 * Pairs with vcpus_kick(): either the flags are seen below, or
		 * immediate_exit is still set when the guest would be entered.
		 */
		__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&m->quit, __ATOMIC_SEQ_CST))
			break;
		if (__atomic_load_n(&m->pause, __ATOMIC_SEQ_CST) || v->failed)
			vcpu_park(v);
		else if (!vcpu_held(v))
			vcpu_enter(v);
	}
	return NULL;
}

void vcpus_kick(struct machine *m)
{
	for (unsigned int i = 0; i < m->nr_vcpus; i++) {
		struct vcpu *v = &m->vcpus[i];

		if (!v->started)
			continue;
		__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(v->thread, VCPU_KICK_SIGNAL);
	}
	term_kick(m->term);
}

static int vcpu_start(struct vcpu *v)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "vcpu%u", v->id);
	err = thread_start(&v->thread, &(struct thread_spec){
		.name = name, .sandbox = v->m->sandbox, .role = ROLE_VCPU,
		.run = vcpu_thread, .arg = v });
	v->started = !err;
	return err;
}

int vcpus_start(struct machine *m)
{
	for (unsigned int i = 0; i < m->nr_vcpus; i++) {
		int err = vcpu_start(&m->vcpus[i]);

		if (err)
			return msg_fail(err, "cannot start the vCPU threads: %s",
					strerror(-err));
	}
	return 0;
}

void vcpus_stop(struct machine *m)
{
	pthread_mutex_lock(&m->state_lock);
	__atomic_store_n(&m->quit, true, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&m->resume);
	pthread_mutex_unlock(&m->state_lock);
	vcpus_kick(m);
	for (unsigned int i = 0; i < m->nr_vcpus; i++) {
		if (m->vcpus[i].started)
			pthread_join(m->vcpus[i].thread, NULL);
		m->vcpus[i].started = false;
	}
}
