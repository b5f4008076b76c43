/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest that looks after itself, while things happen to its host. Each vCPU
 * goes through its own part of memory again and again; a word of each page must
 * hold what it wrote there a round ago, and gets this round's value. Registers
 * that the host uses, too, are looked at once a round, which ends with an exit
 * to user space. Whatever is lost, stale or mixed up ends in HLT, and the test.
 */
#ifndef HOST_WORKER_H
#define HOST_WORKER_H

#include <signal.h>
#include <time.h>

#include "../lib/guest.h"

#define WORK_GPA	0x1000000ul		/* 16M: the memory that is worked on */
#define WORK_CONTROL	0xf000ul		/* 64 bytes for each vCPU */
#define WORK_FACTOR	0x9e3779b1ull
#define WORK_ALL_ALIKE	0ull			/* each page holds the same */
#define WORK_ALL_DIFFER	~0ull
#define CR4_OSFXSR	(1u << 9)

/* RDI: the vCPU's control words. RSI: start, RDX: end, RCX: key, R8: round, R9: address bits that count. */
GUEST_CODE(work_code,
	".code64\n"
	"	mov %rdi, %r15\n	mov %rsi, %r14\n	mov %rdx, %r12\n	mov %rcx, %r13\n"
	"	movq %r13, %xmm5\n"
	"	mov %r13d, %eax\n	xor %edx, %edx\n"
	"	mov $0xc0000082, %ecx\n	wrmsr\n"		/* LSTAR */
	"	mov $0xc0000102, %ecx\n	wrmsr\n"		/* KERNEL_GS_BASE */
	"	mov $0xc0000100, %ecx\n	wrmsr\n"		/* FS_BASE */
	"work_round:\n"
	"	mov $0x9e3779b1, %r10d\n"
	"	mov %r8, %rax\n	imul %r10, %rax\n	xor %r13, %rax\n	mov %rax, %rsi\n"
	"	lea 1(%r8), %rax\n	imul %r10, %rax\n	xor %r13, %rax\n	mov %rax, %rdi\n"
	"	mov %r14, %rbx\n"
	"1:	mov %rbx, %rbp\n	and %r9, %rbp\n"
	"	mov %rbp, %rax\n	xor %rsi, %rax\n"
	"	cmp %rax, (%rbx)\n	jne 8f\n"
	"	xor %rdi, %rbp\n	mov %rbp, (%rbx)\n"
	"	incq (%r15)\n"
	"	add $4096, %rbx\n	cmp %r12, %rbx\n	jb 1b\n"
	"	inc %r8\n"
	"	mov $1, %r11d\n"
	"	movq %xmm5, %rax\n	cmp %r13, %rax\n	jne 9f\n"
	"	inc %r11d\n	mov $0xc0000082, %ecx\n	rdmsr\n	cmp %r13d, %eax\n	jne 9f\n"
	"	inc %r11d\n	mov $0xc0000102, %ecx\n	rdmsr\n	cmp %r13d, %eax\n	jne 9f\n"
	"	inc %r11d\n	mov $0xc0000100, %ecx\n	rdmsr\n	cmp %r13d, %eax\n	jne 9f\n"
	"	out %al, $0x10\n"
	"	jmp work_round\n"
	"8:	xor %r11d, %r11d\n	mov (%rbx), %rbp\n"
	"9:	hlt\n	jmp 9b\n");

struct worker {
	struct guest g;
	uint8_t *mem;
	size_t part;		/* bytes for each vCPU */
	uint64_t key, mask;
	volatile bool stop;
	volatile long error[GUEST_MAX_CPUS];	/* of KVM_RUN */
	volatile bool gone[GUEST_MAX_CPUS];	/* its thread has left the loop */
};

static inline uint64_t work_word(const struct worker *w, uint64_t gpa, uint64_t round)
{
	return (gpa & w->mask) ^ w->key ^ round * WORK_FACTOR;
}

static inline volatile uint64_t *work_done(struct worker *w, int cpu)
{
	return (volatile uint64_t *)(w->g.mem + WORK_CONTROL + cpu * 64);
}

/* Pages that all vCPUs have gone through so far. */
static inline uint64_t work_progress(struct worker *w)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < w->g.ncpus; i++)
		sum += *work_done(w, i);
	return sum;
}

static inline void work_nothing(int sig)
{
}

/* @mem: @ncpus parts of @part bytes, or NULL. What is there, is overwritten. */
static inline void work_create(struct worker *w, int ncpus, size_t part, void *mem, uint64_t key,
			       uint64_t mask)
{
	struct sigaction sa = { .sa_handler = work_nothing };
	struct kvm_sregs s;
	uint64_t at;
	int i;

	memset(w, 0, sizeof(*w));
	guest_create(&w->g, PAGE_2M);
	w->g.rflags = 0x200;	/* IF, or Bochs does not let a host interrupt end the stay */
	w->part = part;
	w->key = key & 0x7fffffff;
	w->mask = mask;
	w->mem = mem ? mem : guest_alloc(ncpus * part);
	for (at = 0; at < ncpus * part; at += PAGE_4K)
		*(uint64_t *)(w->mem + at) = work_word(w, WORK_GPA + at, 0);
	guest_slot(&w->g, 1, 0, WORK_GPA, ncpus * part, w->mem);
	guest_load_code(&w->g, work_code);
	for (i = 0; i < ncpus; i++) {
		struct guest_cpu *cpu = guest_add_cpu(&w->g);
		uint64_t start = WORK_GPA + i * part;
		struct kvm_regs r;

		guest_mode(cpu, GUEST_LONG);
		MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
		s.cr4 |= CR4_OSFXSR;
		MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
		guest_call(cpu, 0, WORK_CONTROL + i * 64, start, start + part, w->key);
		r = guest_regs(cpu);
		r.r9 = mask;
		MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	}
	sigaction(SIGUSR1, &sa, NULL);
}

static inline void *work_thread(void *arg)
{
	struct guest_cpu *cpu = arg;
	struct worker *w = (struct worker *)cpu->guest;	/* its first member */

	while (!w->stop) {
		if (!ioctl(cpu->fd, KVM_RUN, 0)) {
			if (cpu->run->exit_reason == KVM_EXIT_IO)
				continue;
		} else if (errno == EINTR || errno == EAGAIN) {
			continue;
		} else {
			w->error[cpu->id] = -errno;
		}
		break;
	}
	w->gone[cpu->id] = true;
	return NULL;
}

static inline void work_start(struct worker *w)
{
	int i;

	for (i = 0; i < w->g.ncpus; i++)
		CHECK_EQ(pthread_create(&w->g.cpu[i].thread, NULL, work_thread, &w->g.cpu[i]), 0);
}

static inline void work_pause_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* Until the guest has done @pages more; fails when it stands still for @seconds. */
static inline void work_wait(struct worker *w, uint64_t pages, unsigned int seconds)
{
	uint64_t goal = work_progress(w) + pages, last = 0;
	unsigned int still = 0;
	int i;

	while (work_progress(w) < goal) {
		for (i = 0; i < w->g.ncpus; i++)
			if (w->gone[i])
				return;		/* work_end() tells why */
		still = work_progress(w) == last ? still + 1 : 0;
		last = work_progress(w);
		CHECK(still < seconds * 50, "the guest stands still");
		work_pause_ms(20);
	}
}

/* All words of a part are @round's below @at, and of the round before from there on. */
static inline bool work_part_is(const struct worker *w, uint64_t start, uint64_t at, uint64_t round)
{
	uint64_t gpa;

	for (gpa = start; gpa < start + w->part; gpa += PAGE_4K) {
		uint64_t val = *(uint64_t *)(w->mem + gpa - WORK_GPA);

		/* Where it stands, it may have written or not. */
		if (gpa == at && val == work_word(w, gpa, round))
			continue;
		if (val != work_word(w, gpa, gpa < at ? round : round - 1))
			return false;
	}
	return true;
}

static inline void work_judge(struct worker *w, struct guest_cpu *cpu)
{
	uint64_t start = WORK_GPA + cpu->id * w->part;
	struct kvm_regs r;

	CHECK_EQ(w->error[cpu->id], 0);
	r = guest_regs(cpu);
	if (cpu->run->exit_reason == KVM_EXIT_HLT && r.r11)
		FAIL("vCPU %d: a register was changed: %llu", cpu->id, (unsigned long long)r.r11);
	if (cpu->run->exit_reason == KVM_EXIT_HLT)
		FAIL("vCPU %d: round %llu: %#llx holds %#llx, not %#llx", cpu->id,
		     (unsigned long long)r.r8, (unsigned long long)r.rbx, (unsigned long long)r.rbp,
		     (unsigned long long)work_word(w, r.rbx, r.r8));
	if (cpu->run->exit_reason != KVM_EXIT_IO)
		guest_expect(cpu, KVM_EXIT_INTR);
	/* Between two rounds RBX is still, or not yet, what the last one left. */
	CHECK(work_part_is(w, start, r.rbx, r.r8 + 1) || work_part_is(w, start, start + w->part, r.r8),
	      "the host sees other memory than the guest");
}

/* Stops the guest wherever it is, and looks at all that it has done. */
static inline void work_end(struct worker *w)
{
	int i;

	w->stop = true;
	for (i = 0; i < w->g.ncpus; i++) {
		while (!w->gone[i]) {
			pthread_kill(w->g.cpu[i].thread, SIGUSR1);
			work_pause_ms(5);
		}
		CHECK_EQ(pthread_join(w->g.cpu[i].thread, NULL), 0);
	}
	for (i = 0; i < w->g.ncpus; i++)
		work_judge(w, &w->g.cpu[i]);
}

static inline void work_destroy(struct worker *w)
{
	int i;

	for (i = 0; i < w->g.ncpus; i++) {
		munmap(w->g.cpu[i].run, w->g.run_size);
		close(w->g.cpu[i].fd);
	}
	close(w->g.fd);
	close(w->g.dev);
	munmap(w->g.mem, w->g.size);
	munmap(w->mem, w->g.ncpus * w->part);
}

#endif /* HOST_WORKER_H */
