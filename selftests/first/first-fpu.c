// SPDX-License-Identifier: GPL-2.0-only
/*
 * Vector registers of the process survive the guest, and the guest's survive
 * exits, other vCPUs, rescheduling and signals.
 */
#include <cpuid.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#include "first.h"

/* Each guest adds 1 to xmm1's (ymm1's) lanes for each exit; RDI says whether AVX. */
GUEST_CODE(adder,
	".code64\n"
	"	test %edi, %edi\n"
	"	jz 1f\n"
	"	xor %ecx, %ecx; xgetbv; or $7, %eax; xsetbv\n"
	"	vmovdqu 0xf000, %ymm1\n"
	"	vmovdqu 0xf020, %ymm2\n"
	"2:	vpaddq %ymm2, %ymm1, %ymm1\n"
	"	out %al, $0x10\n"
	"	vmovdqu %ymm1, 0xf040\n"
	"	jmp 2b\n"
	"1:	movdqu 0xf000, %xmm1\n"
	"	movdqu 0xf020, %xmm2\n"
	"3:	paddq %xmm2, %xmm1\n"
	"	out %al, $0x10\n"
	"	movdqu %xmm1, 0xf040\n"
	"	jmp 3b\n");

static bool host_avx2(void)
{
	unsigned int a, b, c, d;

	__cpuid_count(7, 0, a, b, c, d);
	return b & bit_AVX2;
}

static void load_own(const uint64_t v[4], bool avx)
{
	if (avx)
		asm volatile("vmovdqu %0, %%ymm1; vmovdqu %0, %%ymm14" : : "m" (*(const uint64_t (*)[4])v)
			     : "xmm1", "xmm14");
	else
		asm volatile("movdqu %0, %%xmm1; movdqu %0, %%xmm14" : : "m" (*(const uint64_t (*)[4])v)
			     : "xmm1", "xmm14");
}

static void read_own(uint64_t a[4], uint64_t b[4], bool avx)
{
	if (avx)
		asm volatile("vmovdqu %%ymm1, %0; vmovdqu %%ymm14, %1"
			     : "=m" (*(uint64_t (*)[4])a), "=m" (*(uint64_t (*)[4])b));
	else
		asm volatile("movdqu %%xmm1, %0; movdqu %%xmm14, %1"
			     : "=m" (*(uint64_t (*)[4])a), "=m" (*(uint64_t (*)[4])b));
}

/* The one system call between loading and reading, so that only it can change them. */
static long run_raw(int fd)
{
	long r;

	asm volatile("syscall" : "=a" (r) : "0" (16L), "D" (fd), "S" (KVM_RUN), "d" (0)
		     : "rcx", "r11", "memory");
	return r;
}

static struct guest_cpu *start(struct guest *g, bool avx, uint64_t base)
{
	struct guest_cpu *cpu = long_guest(g);
	struct kvm_sregs s;
	int i;

	guest_load_code(g, adder);
	give_cpuid(cpu);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= 0x600 | (avx ? 1 << 18 : 0);
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	for (i = 0; i < 4; i++) {
		*guest_word(g, i) = base + i;
		*guest_word(g, 4 + i) = 1;
	}
	guest_call(cpu, 0, avx, 0, 0, 0);
	return cpu;
}

static void keep(unsigned int rounds, bool yield)
{
	bool avx = host_avx2();
	int lanes = avx ? 4 : 2, i;
	struct guest g[2];
	struct guest_cpu *cpu[2] = { start(&g[0], avx, 1000), start(&g[1], avx, 5000) };
	unsigned int n;

	for (n = 0; n < rounds; n++) {
		uint64_t mine[4] = { n, ~n, n * 3, 77 }, a[4], b[4];
		struct guest_cpu *c = cpu[n & 1];
		long r;

		load_own(mine, avx);
		do
			r = run_raw(c->fd);
		while (r == -EINTR || r == -EAGAIN);
		read_own(a, b, avx);
		CHECK_EQ(r, 0);
		guest_expect(c, KVM_EXIT_IO);
		for (i = 0; i < lanes; i++) {
			CHECK_EQ(a[i], mine[i]);
			CHECK_EQ(b[i], mine[i]);
		}
		if (n >= 2)
			for (i = 0; i < lanes; i++)
				CHECK_EQ(*guest_word(c->guest, 8 + i),
					 (n & 1 ? 5000 : 1000) + i + n / 2);
		if (yield)
			sched_yield();
	}
}

static void both_sides(void)
{
	keep(400, false);
}

static void in_user_space(int sig)
{
	volatile double x = 1.0;

	/* The handler uses the registers too. */
	x = x * 3.0 + 1.0;
}

static void with_signals(void)
{
	struct itimerval it = { { 0, 3000 }, { 0, 3000 } };

	signal(SIGALRM, in_user_space);
	setitimer(ITIMER_REAL, &it, NULL);
	keep(300, true);
	it = (struct itimerval){};
	setitimer(ITIMER_REAL, &it, NULL);
}

static void control_words(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	uint32_t mxcsr = 0x9fc0, after;
	uint16_t cw = 0x27f, cw_after;

	cpu = start(&g, false, 0);
	asm volatile("ldmxcsr %0; fldcw %1" : : "m" (mxcsr), "m" (cw));
	CHECK_EQ(run_raw(cpu->fd), 0);
	asm volatile("stmxcsr %0; fnstcw %1" : "=m" (after), "=m" (cw_after));
	CHECK_EQ(after, mxcsr);
	CHECK_EQ(cw_after, cw);
}

static const struct test tests[] = {
	{ "both sides keep their registers", both_sides },
	{ "with signals and rescheduling", with_signals },
	{ "MXCSR and the x87 control word", control_words },
};

TEST_MAIN(tests)
