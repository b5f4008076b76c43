/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guests of these tests do, in 64-bit code; entry points for
 * guest_call(), which hands over rdi, rsi, rdx, rcx. All end in HLT.
 */
#ifndef MM_CODE_H
#define MM_CODE_H

#include "../lib/guest.h"

/*
 * fill(start, end, step, key):	*p = p ^ key
 * check(start, end, step, key): RAX = number of p with *p != p ^ key
 * zeros(start, end, step):	RAX = number of p with *p != 0
 * read(p):			RAX = *p
 * write(p, value)
 * bump(start, end, step, stop): adds 1 to each, again and again, until
 *				*stop; RAX = rounds
 * linger(start, end, step, stop): adds 1 to each, once, and to the word
 *				behind *stop; then it stays until *stop
 * go(p):			calls the code at p, RAX = what it left there
 */
GUEST_CODE(mm_code,
	".code64\n"
	"mm_fill: mov %rdi, %rax; xor %rcx, %rax; mov %rax, (%rdi)\n"
	"	add %rdx, %rdi; cmp %rsi, %rdi; jb mm_fill; hlt\n"
	"mm_check: xor %eax, %eax\n"
	"1:	mov %rdi, %rbx; xor %rcx, %rbx; cmp %rbx, (%rdi); je 2f; inc %rax\n"
	"2:	add %rdx, %rdi; cmp %rsi, %rdi; jb 1b; hlt\n"
	"mm_zeros: xor %eax, %eax\n"
	"1:	cmpq $0, (%rdi); je 2f; inc %rax\n"
	"2:	add %rdx, %rdi; cmp %rsi, %rdi; jb 1b; hlt\n"
	"mm_read: mov (%rdi), %rax; hlt\n"
	"mm_write: mov %rsi, (%rdi); hlt\n"
	"mm_bump: xor %eax, %eax\n"
	"1:	mov %rdi, %rbx\n"
	"2:	incq (%rbx); add %rdx, %rbx; cmp %rsi, %rbx; jb 2b\n"
	"	inc %rax; cmpq $0, (%rcx); je 1b; hlt\n"
	"mm_linger: incq (%rdi); add %rdx, %rdi; cmp %rsi, %rdi; jb mm_linger; incq 8(%rcx)\n"
	"1:	cmpq $0, (%rcx); je 1b; hlt\n"
	"mm_go:	call *%rdi; hlt");

extern const char mm_fill[], mm_check[], mm_zeros[], mm_read[], mm_write[], mm_bump[],
	mm_linger[], mm_go[];

#define ENTRY(name) ((unsigned long)(mm_##name - mm_code))
#define CALL(cpu, name, ...) CALL_(cpu, name, ##__VA_ARGS__, 0, 0, 0, 0)
#define CALL_(cpu, name, a, b, c, d, ...) guest_exec(cpu, ENTRY(name), a, b, c, d)

#define DATA_GPA	0x1000000ul	/* 16M: where the tests play */
#define STOP_GPA	0xf000ul	/* the stop word of bump() and linger() */

/* A long-mode guest of @size bytes with @ncpus vCPUs and mm_code loaded. */
static inline void mm_guest(struct guest *g, size_t size, int ncpus)
{
	guest_create(g, size);
	/*
	 * IF, though nothing interrupts these guests: Bochs does not let a host
	 * interrupt end the stay of a guest that runs without.
	 */
	g->rflags = 0x200;
	guest_load_code(g, mm_code);
	while (ncpus--)
		guest_mode(guest_add_cpu(g), GUEST_LONG);
}

static inline void *mm_thread(void *arg)
{
	struct guest_cpu *cpu = arg;

	return (void *)(long)guest_run(cpu);
}

static inline void mm_start(struct guest_cpu *cpu, unsigned long entry, uint64_t start,
			    uint64_t end, uint64_t step)
{
	*(volatile uint64_t *)(cpu->guest->mem + STOP_GPA) = 0;
	guest_call(cpu, entry, start, end, step, STOP_GPA);
	CHECK_EQ(pthread_create(&cpu->thread, NULL, mm_thread, cpu), 0);
}

/* Lets a vCPU run beside us, in bump() over [start, end). */
static inline void mm_start_bump(struct guest_cpu *cpu, uint64_t start, uint64_t end,
				 uint64_t step)
{
	mm_start(cpu, ENTRY(bump), start, end, step);
}

/* The same, in linger(); on return it has written, and is in the guest still. */
static inline void mm_start_linger(struct guest_cpu *cpu, uint64_t start, uint64_t end,
				   uint64_t step)
{
	volatile uint64_t *written = (uint64_t *)(cpu->guest->mem + STOP_GPA + 8);

	*written = 0;
	mm_start(cpu, ENTRY(linger), start, end, step);
	while (!*written)
		sched_yield();
}

static inline uint64_t mm_stop(struct guest_cpu *cpu)
{
	void *r;

	*(volatile uint64_t *)(cpu->guest->mem + STOP_GPA) = 1;
	CHECK_EQ(pthread_join(cpu->thread, &r), 0);
	CHECK_EQ((long)r, 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	return guest_regs(cpu).rax;
}

#endif /* MM_CODE_H */
