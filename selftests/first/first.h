/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the first guests share: exits to user space, an IDT. */
#ifndef FIRST_H
#define FIRST_H

#include "../lib/guest.h"

#define IDT_GPA		0xc000ul	/* of 64-bit gates */
#define DATA_GPA	0xf000ul	/* counters of the guests */

#define CR4_DE		(1ul << 3)
#define DR7_FIXED	0x400ul

static inline volatile uint64_t *guest_word(struct guest *g, unsigned int n)
{
	return (volatile uint64_t *)(g->mem + DATA_GPA) + n;
}

/* The next exit is a one-byte OUT to @port; the byte. */
static inline uint8_t expect_out(struct guest_cpu *cpu, uint16_t port)
{
	struct kvm_run *run = cpu->run;

	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(run->io.direction, KVM_EXIT_IO_OUT);
	CHECK_EQ(run->io.port, port);
	CHECK_EQ(run->io.size, 1);
	CHECK_EQ(run->io.count, 1);
	return *((uint8_t *)run + run->io.data_offset);
}

static inline void expect_exit(struct guest_cpu *cpu, uint32_t reason)
{
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, reason);
}

/* A long-mode interrupt gate to GUEST_CODE_GPA + @entry. */
static inline void set_gate(struct guest *g, int vector, unsigned long entry)
{
	uint64_t *gate = (uint64_t *)(g->mem + IDT_GPA) + 2 * vector;
	uint64_t addr = GUEST_CODE_GPA + entry;

	gate[0] = (addr & 0xffff) | 8ull << 16 | 0x8eull << 40 | (addr >> 16 & 0xffff) << 48;
	gate[1] = addr >> 32;
}

/* A vCPU in long mode, with an IDT of empty gates. */
static inline struct guest_cpu *long_cpu(struct guest *g)
{
	struct guest_cpu *cpu = guest_add_cpu(g);

	guest_mode(cpu, GUEST_LONG);
	guest_idt(cpu, IDT_GPA);
	return cpu;
}

static inline struct guest_cpu *long_guest(struct guest *g)
{
	guest_create(g, 4 * PAGE_2M);
	return long_cpu(g);
}

static inline struct kvm_vcpu_events get_events(struct guest_cpu *cpu)
{
	struct kvm_vcpu_events e;

	MUST(ioctl(cpu->fd, KVM_GET_VCPU_EVENTS, &e));
	return e;
}

#endif /* FIRST_H */
