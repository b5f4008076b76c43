/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Small guests for tests, through KVM's ABI and nothing else.
 *
 * Guest memory begins with one slot (id 0) of anonymous memory at gpa 0.
 * The first 64 KiB belong to the library:
 *	0x1000	GDT		0x2000	page tables (PML4, PDPT, 4 PDs: 4 GiB
 *	0x8000	guest code		identity in 2M pages)
 *	0xa000	stacks, 1 KiB for each vCPU
 * A guest program is a piece of position-independent code between two labels
 * (GUEST_CODE), copied to GUEST_CODE_GPA, with its arguments in registers. It
 * ends with HLT; there is no irqchip unless the test makes one.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "ktap.h"

#define PAGE_4K		0x1000ul
#define PAGE_2M		0x200000ul
#define GUEST_CODE_GPA	0x8000
#define GUEST_CODE_MAX	0x2000
#define GUEST_MAX_CPUS	8

struct guest_cpu {
	int fd;
	int id;
	struct kvm_run *run;
	struct guest *guest;
	pthread_t thread;
};

struct guest {
	int dev, fd;
	size_t run_size;
	uint8_t *mem;		/* what slot 0 maps */
	size_t size;
	int ncpus;
	uint64_t rflags;	/* that guest_call() sets beside bit 1 */
	struct guest_cpu cpu[GUEST_MAX_CPUS];
};

enum guest_mode { GUEST_REAL, GUEST_PROTECTED, GUEST_PAE, GUEST_LONG };

#define GUEST_CODE(name, text)						\
	extern const char name[], name##_end[];				\
	asm(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.code64\n.popsection")

/* Dies with a message, or skips, when the device is not usable. */
void guest_open(struct guest *g);
/* Opens, and makes slot 0 of @size bytes, 2M-aligned on the host's side. */
void guest_create(struct guest *g, size_t size);
/* With the CPUID that the host offers. */
struct guest_cpu *guest_add_cpu(struct guest *g);
/* Anonymous memory at a 2M boundary. */
void *guest_alloc(size_t size);

/* KVM_SET_USER_MEMORY_REGION: 0 or -errno. */
int guest_try_slot(struct guest *g, uint32_t id, uint32_t flags, uint64_t gpa, uint64_t size,
		   void *mem);
void guest_slot(struct guest *g, uint32_t id, uint32_t flags, uint64_t gpa, uint64_t size,
		void *mem);

/* Gives the vCPU all that KVM_GET_SUPPORTED_CPUID offers. */
void guest_cpuid(struct guest_cpu *cpu);
/* And the TSC deadline timer, which is listed by a capability only. */
void guest_cpuid_deadline(struct guest_cpu *cpu);
/* One register (0 EAX .. 3 EDX) of what guest_cpuid() gives. */
uint32_t guest_cpuid_reg(struct guest *g, uint32_t function, uint32_t index, int reg);

/* IDTR of the vCPU: 256 gates of long mode at @gpa. */
void guest_idt(struct guest_cpu *cpu, uint64_t gpa);
/* One MSR of the vCPU; get fails the test, set returns 1 or what KVM_SET_MSRS did. */
uint64_t guest_get_msr(struct guest_cpu *cpu, uint32_t index);
int guest_set_msr(struct guest_cpu *cpu, uint32_t index, uint64_t val);

/* Tables for @mode in guest memory, and the vCPU in it at GUEST_CODE_GPA. */
void guest_mode(struct guest_cpu *cpu, enum guest_mode mode);
void guest_load(struct guest *g, const char *code, const char *end);
#define guest_load_code(g, name) guest_load(g, name, name##_end)

struct kvm_regs guest_regs(struct guest_cpu *cpu);
/* Starts at GUEST_CODE_GPA + @entry with these registers. */
void guest_call(struct guest_cpu *cpu, unsigned long entry, uint64_t rdi, uint64_t rsi,
		uint64_t rdx, uint64_t rcx);
/* KVM_RUN until it is not interrupted: 0 or -errno. */
int guest_run(struct guest_cpu *cpu);
/* As guest_call() and guest_run(), and it must end in HLT. Its RAX. */
uint64_t guest_exec(struct guest_cpu *cpu, unsigned long entry, uint64_t rdi, uint64_t rsi,
		    uint64_t rdx, uint64_t rcx);
/* Fails the test unless the last exit was this one. */
void guest_expect(struct guest_cpu *cpu, uint32_t reason);

/* A counter of the binary statistics; skips the test when there is none. */
uint64_t guest_vm_stat(struct guest *g, const char *name);
uint64_t guest_cpu_stat(struct guest_cpu *cpu, const char *name);
/* Its KVM_STATS_* type, unit and base; @owner is the VM's or a vCPU's descriptor. */
uint32_t guest_stat_flags(int owner, const char *name);

/* QEMU's own emulation of SVM, which intercepts neither INT3 nor reads of CR4. */
static inline bool host_is_tcg(void)
{
	unsigned int eax = 0x40000000, ebx, ecx, edx;

	asm volatile("cpuid" : "+a" (eax), "=b" (ebx), "=c" (ecx), "=d" (edx));
	return ebx == 0x54474354;
}

static inline bool host_is_intel(void)
{
	unsigned int eax = 0, ebx, ecx = 0, edx;

	asm volatile("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx));
	return ecx == 0x6c65746e;
}

#endif /* SELFTESTS_GUEST_H */
