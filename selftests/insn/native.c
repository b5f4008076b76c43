// SPDX-License-Identifier: GPL-2.0-only
#include <asm/ldt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "native.h"

/*
 * Lies below 2 GiB, as the stub addresses it absolutely once all registers
 * are the instruction's.
 */
#define LOW_AREA 0x1f000000ul

struct low {
	u64 regs[INSN_NR_REGS];
	struct { u32 offset; u16 selector; } __attribute__((packed)) far;
	u8 stub[64];
};

static struct low *const low = (struct low *)LOW_AREA;
static sigjmp_buf back;
static struct native *current;
bool native_avx;

static const u8 greg_of[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* The kernel's xsave frame: legacy area, header at 512, the YMM halves at 576. */
static void save_vectors(struct native *n, const u8 *fp)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		memcpy(n->vec[i], fp + 160 + i * 16, 16);
		memset(n->vec[i] + 16, 0, 16);
		if (native_avx && fp[512] & 4)
			memcpy(n->vec[i] + 16, fp + 576 + i * 16, 16);
	}
}

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	struct native *n = current;
	unsigned int i;

	(void)sig;
	(void)info;
	if (!n)
		_exit(99);
	for (i = 0; i < 16; i++)
		n->regs[i] = g[greg_of[i]];
	n->regs[INSN_RIP] = g[REG_RIP];
	n->regs[INSN_RFLAGS] = g[REG_EFL];
	n->vector = g[REG_TRAPNO];
	n->error_code = g[REG_ERR];
	n->cr2 = g[REG_CR2];
	save_vectors(n, (const u8 *)uc->uc_mcontext.fpregs);
	if (n->vector == 3)
		n->regs[INSN_RIP]--;
	current = NULL;
	siglongjmp(back, 1);
}

void native_init(void)
{
	static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_size = 256 << 10 };
	size_t i;

	native_avx = __builtin_cpu_supports("avx");
	stack.ss_sp = malloc(stack.ss_size);
	sigaltstack(&stack, NULL);
	sigfillset(&sa.sa_mask);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
	if (mmap(low, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != low) {
		perror("mmap");
		exit(4);
	}
}

u16 native_ldt(unsigned int index, u32 base, u32 limit, bool code, bool big, bool down)
{
	struct user_desc d = {
		.entry_number = index, .base_addr = base, .limit = limit, .seg_32bit = big,
		.contents = code ? 2 : down ? 1 : 0, .useable = 1,
	};

	if (limit >= 1 << 20) {
		d.limit = limit >> 12;
		d.limit_in_pages = 1;
	}
	return syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) ? 0 : index << 3 | 7;
}

static void load_vectors(struct native *n)
{
	if (!native_avx)
		return;
#define LOAD(i) "vmovdqu " #i "*32(%0), %%ymm" #i "\n"
	asm volatile(LOAD(0) LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5) LOAD(6) LOAD(7)
		     LOAD(8) LOAD(9) LOAD(10) LOAD(11) LOAD(12) LOAD(13) LOAD(14) LOAD(15)
		     : : "r"(n->vec) : "memory");
}

/* Never returns: the signal handler does. */
static void __attribute__((noinline, noreturn)) enter(struct native *n)
{
	memcpy(low->regs, n->regs, sizeof(low->regs));
	low->far.offset = n->regs[INSN_RIP];
	low->far.selector = n->cs;
	current = n;
	load_vectors(n);
#define REG(r, i) "mov 0x1f000000 + 8 * " #i ", %%" #r "\n"
	asm volatile("movzwl %0, %%eax\n"
		     "movzwl %1, %%ecx\n"
		     "movzwl %2, %%edx\n"
		     "pushq 0x1f000000 + 8 * 17\n"
		     "test %%ecx, %%ecx\n"
		     "jz 1f\n"
		     "mov %%ecx, %%ds\n"
		     "mov %%ecx, %%es\n"
		     "popfq\n"
		     "mov %%edx, %%ss\n"
		     REG(rsp, 4)
		     REG(rax, 0) REG(rcx, 1) REG(rdx, 2) REG(rbx, 3) REG(rbp, 5)
		     REG(rsi, 6) REG(rdi, 7) REG(r8, 8) REG(r9, 9) REG(r10, 10)
		     REG(r11, 11) REG(r12, 12) REG(r13, 13) REG(r14, 14) REG(r15, 15)
		     "ljmp *0x1f000000 + 8 * 18\n"
		     "1: popfq\n"
		     REG(rsp, 4)
		     REG(rax, 0) REG(rcx, 1) REG(rdx, 2) REG(rbx, 3) REG(rbp, 5)
		     REG(rsi, 6) REG(rdi, 7) REG(r8, 8) REG(r9, 9) REG(r10, 10)
		     REG(r11, 11) REG(r12, 12) REG(r13, 13) REG(r14, 14) REG(r15, 15)
		     "jmp *0x1f000000 + 8 * 16\n"
		     : : "m"(n->cs), "m"(n->ds), "m"(n->ss)
		     : "memory", "rax", "rcx", "rdx");
	__builtin_unreachable();
}

void native_run(struct native *n)
{
	if (!sigsetjmp(back, 1))
		enter(n);
	asm volatile("mov %0, %%ds\n mov %0, %%es" : : "r"(0));
}
