// SPDX-License-Identifier: GPL-2.0-only
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "native.h"

#define USER_CS		0x33
#define HWCAP2_FSGSBASE	2

#define AT(member, offset) \
	_Static_assert(offsetof(struct native, member) == (offset), #member)

AT(in, NAT_IN);
AT(out, NAT_OUT);
AT(host_rsp, NAT_HOST_RSP);
AT(host_fs, NAT_HOST_FS);
AT(fs_base, NAT_FS_BASE);
AT(gs_base, NAT_GS_BASE);
AT(out_fs_base, NAT_OUT_FS_BASE);
AT(out_gs_base, NAT_OUT_GS_BASE);
AT(far_offset, NAT_FAR);
AT(sel, NAT_SEL);
AT(out_sel, NAT_OUT_SEL);
AT(flags, NAT_FLAGS);
AT(fsgsbase, NAT_FSGSBASE);
AT(mmx, NAT_MMX);
AT(out_mmx, NAT_OUT_MMX);
AT(vec, NAT_VEC);
AT(out_vec, NAT_OUT_VEC);

struct native native;
bool native_avx;

static volatile bool running;

void native_enter(void);
void native_exit(void);
void native_signal(int sig, siginfo_t *info, void *context);
void native_take_signal(int sig, siginfo_t *info, void *context);

static const u8 greg_of[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

/* Bits of the header at 512 in the kernel's xsave frame; what is clear there is 0. */
enum { FRAME_X87 = 1, FRAME_SSE = 2, FRAME_AVX = 4 };

static void save_vectors(const u8 *fp)
{
	unsigned int i, parts = native_avx ? fp[512] : FRAME_X87 | FRAME_SSE;

	memset(native.out_vec, 0, sizeof(native.out_vec));
	memset(native.out_mmx, 0, sizeof(native.out_mmx));
	for (i = 0; i < 16; i++) {
		if (parts & FRAME_SSE)
			memcpy(native.out_vec[i], fp + 160 + i * 16, 16);
		if (parts & FRAME_AVX)
			memcpy(native.out_vec[i] + 16, fp + 576 + i * 16, 16);
	}
	/* With TOP at 0, as MMX instructions set it. */
	for (i = 0; i < 8 && parts & FRAME_X87; i++)
		memcpy(&native.out_mmx[i], fp + 32 + i * 16, 8);
}

void native_take_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	unsigned int i;

	if (!running) {
		fprintf(stderr, "signal %d at %#llx, address %p\n", sig,
			(unsigned long long)g[REG_RIP], info->si_addr);
		_exit(99);
	}
	for (i = 0; i < 16; i++)
		native.out[i] = g[greg_of[i]];
	native.out[INSN_RIP] = g[REG_RIP];
	native.out[INSN_RFLAGS] = g[REG_EFL];
	native.out_sel[INSN_SS] = (u64)g[REG_CSGSFS] >> 48;
	native.vector = g[REG_TRAPNO];
	native.error_code = g[REG_ERR];
	native.cr2 = g[REG_CR2];
	if (native.flags & (NATIVE_VEC | NATIVE_MMX))
		save_vectors((const u8 *)uc->uc_mcontext.fpregs);
	if (native.vector == 3)
		native.out[INSN_RIP]--;
}

/* Neither is the signal blocked nor does anybody return from it: no system call. */
void native_init(void)
{
	static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction sa = {
		.sa_sigaction = native_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	stack_t stack = { .ss_size = 256 << 10 };
	size_t i;

	native_avx = __builtin_cpu_supports("avx");
	native.fsgsbase = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
	syscall(SYS_arch_prctl, ARCH_GET_FS, &native.host_fs);
	stack.ss_sp = malloc(stack.ss_size);
	sigaltstack(&stack, NULL);
	for (i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
}

void native_run(void)
{
	native.vector = NATIVE_DONE;
	running = true;
	native_enter();
	running = false;
}

unsigned int native_put_exit(u8 *at, unsigned int size)
{
	u32 to = (u32)(unsigned long)native_exit, rel = to - (u32)(unsigned long)at - 5;
	u16 cs = USER_CS;
	u8 *p = at;

	if (size == 8) {
		*p++ = 0xe9;
		memcpy(p, &rel, 4);
		return 5;
	}
	if (size == 2)
		*p++ = 0x66;
	*p++ = 0xea;
	memcpy(p, &to, 4);
	memcpy(p + 4, &cs, 2);
	return p + 6 - at;
}

bool native_set_ldt(unsigned int index, const struct native_ldt *e)
{
	struct user_desc d = {
		.entry_number = index, .base_addr = e->base, .limit = e->limit,
		.seg_32bit = e->big, .contents = e->code ? 2 : e->down ? 1 : 0,
		.read_exec_only = e->read_only, .seg_not_present = e->absent, .useable = 1,
	};

	if (e->limit >= 1 << 20) {
		d.limit = e->limit >> 12;
		d.limit_in_pages = 1;
	}
	return !syscall(SYS_modify_ldt, 0x11, &d, sizeof(d));
}

bool native_lar(u16 selector, u32 *rights)
{
	bool ok;

	asm("lar %2, %0" : "=r"(*rights), "=@ccz"(ok) : "r"((u32)selector));
	return ok;
}

u32 native_lsl(u16 selector)
{
	u32 limit = 0;

	asm("lsl %1, %0" : "+r"(limit) : "r"((u32)selector) : "cc");
	return limit;
}
