/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests with system management mode. Address space 1 shows the same memory as
 * 0 unless a test puts something else there. Code and handler report by an OUT each:
 * ports from 0x50 on, and only PORT_SMM from inside SMM.
 */
#ifndef SMM_H
#define SMM_H

#include "../lib/guest.h"

#define AS1		(1u << 16)	/* in slot ids: address space 1 */
#define SMBASE		0x30000ul	/* after reset */
#define SMM_HANDLER	0x8000ul	/* of SMBASE */
#define IDT_GPA		0xc000ul	/* of 64-bit gates */
#define DATA_GPA	0xf000ul
#define ROM_GPA		0xfffff000ul	/* where an INIT leads */

#define PORT_BEFORE	0x50
#define PORT_SMM	0x51
#define PORT_AFTER	0x52
#define PORT_WOKEN	0x53
#define PORT_NMI	0x54
#define PORT_NMI_END	0x55
#define PORT_ROM	0x56
#define PORT_IRQ	0x57
#define PORT_UD		0x58

#define MSR_SMBASE	0x9e
#define MSR_SMI_COUNT	0x34

/* The bytes mean the same in 16-, 32- and 64-bit code. */
GUEST_CODE(smm_body,
	"out %al, $0x50; out %al, $0x52; hlt; out %al, $0x53; hlt\n");

GUEST_CODE(smm_report,
	".code16\n"
	"out %al, $0x51; rsm\n");

static inline void smm_load(struct guest *g, uint64_t smbase, const char *code, const char *end)
{
	memcpy(g->mem + smbase + SMM_HANDLER, code, end - code);
}

#define smm_load_code(g, smbase, name) smm_load(g, smbase, name, name##_end)

/* Memory and SMRAM; the vCPUs are the test's. */
static inline void smm_create(struct guest *g)
{
	guest_create(g, 4 * PAGE_2M);
	guest_slot(g, AS1, 0, 0, g->size, g->mem);
	guest_load_code(g, smm_body);
	smm_load_code(g, SMBASE, smm_report);
}

static inline struct guest_cpu *smm_guest(struct guest *g, enum guest_mode mode)
{
	struct guest_cpu *cpu;

	smm_create(g);
	cpu = guest_add_cpu(g);
	guest_mode(cpu, mode);
	return cpu;
}

/* With an irqchip, in long mode; the LAPIC takes interrupts. */
static inline struct guest_cpu *smm_irq_guest(struct guest *g)
{
	struct kvm_lapic_state lapic;
	struct guest_cpu *cpu;

	smm_create(g);
	MUST(ioctl(g->fd, KVM_CREATE_IRQCHIP, 0));
	cpu = guest_add_cpu(g);
	guest_mode(cpu, GUEST_LONG);
	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &lapic));
	memcpy(lapic.regs + 0xf0, &(uint32_t){ 0x1ff }, 4);
	MUST(ioctl(cpu->fd, KVM_SET_LAPIC, &lapic));
	return cpu;
}

/* A long-mode interrupt gate to GUEST_CODE_GPA + @entry. */
static inline void smm_gate(struct guest *g, int vector, unsigned long entry)
{
	uint64_t *gate = (uint64_t *)(g->mem + IDT_GPA) + 2 * vector;
	uint64_t addr = GUEST_CODE_GPA + entry;

	gate[0] = (addr & 0xffff) | 8ull << 16 | 0x8eull << 40 | (addr >> 16 & 0xffff) << 48;
	gate[1] = addr >> 32;
}

/* Runs to the next OUT, which must be this one. */
static inline void smm_next(struct guest_cpu *cpu, uint16_t port)
{
	struct kvm_run *run = cpu->run;

	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(run->io.port, port);
	CHECK_EQ(run->flags & KVM_RUN_X86_SMM, port == PORT_SMM ? KVM_RUN_X86_SMM : 0);
}

static inline void smm_interrupt(struct guest_cpu *cpu)
{
	MUST(ioctl(cpu->fd, KVM_SMI, 0));
}

/* An interrupt message to vCPU 0; how many took it. */
static inline int smm_message(struct guest *g, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = data };

	return MUST(ioctl(g->fd, KVM_SIGNAL_MSI, &msi));
}

#define MESSAGE_SMI	0x200
#define MESSAGE_INIT	0x500

static inline struct kvm_vcpu_events smm_events(struct guest_cpu *cpu)
{
	struct kvm_vcpu_events e;

	MUST(ioctl(cpu->fd, KVM_GET_VCPU_EVENTS, &e));
	return e;
}

static inline int smm_set_events(struct guest_cpu *cpu, const struct kvm_vcpu_events *e)
{
	return ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, e) ? -errno : 0;
}

/* A field of the save map. */
static inline uint64_t smm_field(struct guest *g, uint64_t smbase, uint32_t at, int size)
{
	uint64_t val = 0;

	memcpy(&val, g->mem + smbase + at, size);
	return val;
}

static inline void smm_poke(struct guest *g, uint64_t smbase, uint32_t at, uint64_t val, int size)
{
	memcpy(g->mem + smbase + at, &val, size);
}

static inline void *smm_thread(void *arg)
{
	return (void *)(long)guest_run(arg);
}

static inline void smm_start(struct guest_cpu *cpu)
{
	CHECK_EQ(pthread_create(&cpu->thread, NULL, smm_thread, cpu), 0);
}

/* Its next exit, which must be this OUT. */
static inline void smm_join(struct guest_cpu *cpu, uint16_t port)
{
	void *r;

	CHECK_EQ(pthread_join(cpu->thread, &r), 0);
	CHECK_EQ((long)r, 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(cpu->run->io.port, port);
}

#endif /* SMM_H */
