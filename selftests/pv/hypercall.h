/* SPDX-License-Identifier: GPL-2.0-only */
/* Guests that make hypercalls; interrupts and reports as in ../irq/irq.h. */
#ifndef PV_HYPERCALL_H
#define PV_HYPERCALL_H

#include <cpuid.h>
#include <linux/kvm_para.h>
#include <signal.h>

#include "../irq/irq.h"

#define HC_GPA		0xe000ul

/* Written and read by both sides. */
struct hypercall {
	uint32_t amd;		/* VMMCALL is the instruction */
	uint64_t nr, arg[4], ret, times;
	volatile uint64_t flag[4];
};

#define HC ((struct hypercall *)HC_GPA)

GUEST_INLINE uint64_t hypercall_(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	uint64_t ret;

	if (HC->amd)
		asm volatile("vmmcall" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d)
			     : "memory");
	else
		asm volatile("vmcall" : "=a"(ret) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d)
			     : "memory");
	return ret;
}

GUEST void hypercall_guest(void)
{
	HC->ret = hypercall_(HC->nr, HC->arg[0], HC->arg[1], HC->arg[2], HC->arg[3]);
	report(1);
}

/* -------- outside -------- */

static inline bool host_is_amd(void)
{
	unsigned int eax, ebx, ecx = 0, edx;

	__get_cpuid(0, &eax, &ebx, &ecx, &edx);
	return ecx == 0x444d4163;	/* cAMD */
}

static inline struct hypercall *hc(struct guest *g)
{
	return (struct hypercall *)(g->mem + HC_GPA);
}

static inline void pv_guest(struct guest *g, int ncpus)
{
	irq_guest(g, CHIP_KERNEL, ncpus);
	hc(g)->amd = host_is_amd();
}

static inline void set_call(struct guest *g, uint64_t nr, uint64_t a, uint64_t b, uint64_t c,
			    uint64_t d)
{
	hc(g)->nr = nr;
	hc(g)->arg[0] = a;
	hc(g)->arg[1] = b;
	hc(g)->arg[2] = c;
	hc(g)->arg[3] = d;
	hc(g)->ret = 0xdeadbeef;
}

/* A hypercall of the vCPU in long mode, which comes back by itself. */
static inline int64_t call(struct guest_cpu *cpu, uint64_t nr, uint64_t a, uint64_t b,
			   uint64_t c, uint64_t d)
{
	set_call(cpu->guest, nr, a, b, c, d);
	CHECK_EQ(irq_exec(cpu, hypercall_guest), 1);
	return hc(cpu->guest)->ret;
}

static inline int has_cap(struct guest *g, int cap)
{
	return ioctl(g->fd, KVM_CHECK_EXTENSION, cap);
}

static inline int try_enable(struct guest *g, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(g->fd, KVM_ENABLE_CAP, &c) ? -errno : 0;
}

/* Its LAPIC as the guest would enable it; before, KVM does not know it by its id. */
static inline void enable_lapic(struct guest_cpu *cpu)
{
	struct kvm_lapic_state s;

	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &s));
	s.regs[0xf0] = 0xff;
	s.regs[0xf1] = 1;
	MUST(ioctl(cpu->fd, KVM_SET_LAPIC, &s));
}

static inline uint32_t mp_state(struct guest_cpu *cpu)
{
	struct kvm_mp_state mp;

	MUST(ioctl(cpu->fd, KVM_GET_MP_STATE, &mp));
	return mp.mp_state;
}

static inline void on_usr1(int sig)
{
}

/* Interrupts the program's system call that many milliseconds from now. */
static inline void signal_in(unsigned int ms)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec when = { .it_value = { ms / 1000, ms % 1000 * 1000000l } };
	struct sigaction sa = { .sa_handler = on_usr1 };
	timer_t timer;

	sigaction(SIGUSR1, &sa, NULL);
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
	MUST(timer_settime(timer, 0, &when, NULL));
}

/* A flag that the guest sets. */
static inline void wait_for(volatile uint64_t *flag)
{
	while (!*flag)
		sleep_ms(1);
}

/* This thread and those that it makes share one CPU. */
static inline void on_cpu0(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	MUST(sched_setaffinity(0, sizeof(set), &set));
}

/* A counter of the vCPU, and the test's log has it, too. */
static inline uint64_t counted(struct guest_cpu *cpu, const char *name)
{
	uint64_t val = guest_cpu_stat(cpu, name);

	printf("# vCPU %d %s %llu\n", cpu->id, name, (unsigned long long)val);
	return val;
}

/* The same code is read and run through this second mapping, but not written. */
#define RO_ALIAS	PAGE_2M

static inline void map_read_only(struct guest_cpu *cpu)
{
	uint64_t *pd = (uint64_t *)(cpu->guest->mem + 0x4000);
	struct kvm_sregs s;

	pd[RO_ALIAS / PAGE_2M] = 0x81;		/* present, 2 MiB at 0 */
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr0 |= 1u << 16;			/* WP */
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
}

/* The next report, be it an exception's: 0xdead00 and the vector. */
static inline uint32_t any_report(struct guest_cpu *cpu)
{
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(cpu->run->io.port, REPORT_PORT);
	return *(uint32_t *)((char *)cpu->run + cpu->run->io.data_offset);
}

#define EXCEPTION(vector) (0xdead00u + (vector))

#endif /* PV_HYPERCALL_H */
