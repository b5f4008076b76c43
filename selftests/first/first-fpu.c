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
	guest_cpuid(cpu);
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
	struct itimerval it = { { 0, 3000 }, { 0, 3000 } };
	bool avx = host_avx2();
	int lanes = avx ? 4 : 2, i;
	struct guest g[2];
	struct guest_cpu *cpu[2] = { start(&g[0], avx, 1000), start(&g[1], avx, 5000) };
	unsigned int n;

	/* Not before: KVM_CREATE_VM may end with EINTR. */
	if (yield)
		setitimer(ITIMER_REAL, &it, NULL);
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
	struct itimerval it = {};

	signal(SIGALRM, in_user_space);
	keep(300, true);
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

/* -------- each state component, both ways -------- */

GUEST_CODE(parts,
	".code64\n"
	"parts_xcr0: xor %ecx, %ecx; xor %edx, %edx; mov %edi, %eax; xsetbv; hlt\n"
	"parts_xgetbv: xor %ecx, %ecx; xgetbv; hlt\n"
	"parts_xsaves: mov %edi, %eax; xor %edx, %edx; xsaves64 0xf000; xrstors64 0xf000; mov 0xf208, %rax; hlt\n"
	"parts_put_xmm: movq %rdi, %xmm3; hlt\n"
	"parts_get_xmm: movq %xmm3, %rax; hlt\n"
	"parts_put_ymm: movq %rdi, %xmm4; vinsertf128 $1, %xmm4, %ymm3, %ymm3; hlt\n"
	"parts_get_ymm: vextractf128 $1, %ymm3, %xmm4; movq %xmm4, %rax; hlt\n"
	"parts_put_k: kmovw %edi, %k3; hlt\n"
	"parts_get_k: kmovw %k3, %eax; hlt\n"
	"parts_put_zmm: vmovq %rdi, %xmm4; vinserti64x4 $1, %ymm4, %zmm3, %zmm3; hlt\n"
	"parts_get_zmm: vextracti64x4 $1, %zmm3, %ymm4; vmovq %xmm4, %rax; hlt\n"
	"parts_put_high: vmovq %rdi, %xmm19; hlt\n"
	"parts_get_high: vmovq %xmm19, %rax; hlt\n"
	"parts_put_pkru: mov %edi, %eax; xor %ecx, %ecx; xor %edx, %edx; wrpkru; hlt\n"
	"parts_get_pkru: xor %ecx, %ecx; rdpkru; hlt\n");

#define PART(name, nr, at, bits)					\
	extern const char parts_put_##name[], parts_get_##name[];
#define PARTS								\
	PART(xmm, 1, 160 + 3 * 16, 64)					\
	PART(ymm, 2, 3 * 16, 64)					\
	PART(k, 5, 3 * 8, 16)						\
	PART(zmm, 6, 3 * 32, 64)					\
	PART(high, 7, 3 * 64, 64)					\
	PART(pkru, 9, 0, 32)

PARTS
#undef PART

/* Register 3 of each, at @at of its component in the XSAVE area. */
static const struct part {
	const char *name, *put, *get;
	int nr;
	unsigned int at, bits;
} part_table[] = {
#define PART(name, nr, at, bits) { #name, parts_put_##name, parts_get_##name, nr, at, bits },
	PARTS
#undef PART
};

extern const char parts_xcr0[], parts_xgetbv[], parts_xsaves[];

#define CR4_OSFXSR	0x600ull
#define CR4_OSXSAVE	(1ull << 18)
#define CR4_PKE		(1ull << 22)

static uint64_t offered_xcr0(struct guest *g)
{
	return guest_cpuid_reg(g, 0xd, 0, 0);
}

/* A guest with all that XCR0 may have. */
static struct guest_cpu *start_parts(struct guest *g)
{
	struct guest_cpu *cpu = long_guest(g);
	struct kvm_sregs s;

	if (!offered_xcr0(g))
		SKIP("no XSAVE");
	guest_load_code(g, parts);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= CR4_OSFXSR | CR4_OSXSAVE;
	if (guest_cpuid_reg(g, 7, 0, 2) & 8)
		s.cr4 |= CR4_PKE;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_exec(cpu, parts_xcr0 - parts, offered_xcr0(g), 0, 0, 0);
	return cpu;
}

static void *part_in(uint8_t *area, const struct part *p)
{
	unsigned int size, offset = 0, c, d;

	if (p->nr > 1)
		__cpuid_count(0xd, p->nr, size, offset, c, d);
	return area + offset + p->at;
}

static uint64_t get_part(struct guest_cpu *cpu, const struct part *p)
{
	struct kvm_xsave x;
	uint64_t val = 0;

	MUST(ioctl(cpu->fd, KVM_GET_XSAVE, &x));
	memcpy(&val, part_in((uint8_t *)x.region, p), p->bits / 8);
	return val;
}

static void set_part(struct guest_cpu *cpu, const struct part *p, uint64_t val)
{
	struct kvm_xsave x;

	MUST(ioctl(cpu->fd, KVM_GET_XSAVE, &x));
	memcpy(part_in((uint8_t *)x.region, p), &val, p->bits / 8);
	*(uint64_t *)(x.region + 128) |= 1ull << p->nr;
	MUST(ioctl(cpu->fd, KVM_SET_XSAVE, &x));
}

static void components(void)
{
	struct guest g;
	struct guest_cpu *cpu = start_parts(&g);
	unsigned int i, n = 0;

	for (i = 0; i < sizeof(part_table) / sizeof(part_table[0]); i++) {
		const struct part *p = &part_table[i];
		uint64_t mask = ~0ull >> (64 - p->bits);
		uint64_t a = 0x1122334455667788 & mask, b = 0x0102030405060708 & mask;

		if (!(offered_xcr0(&g) & 1ull << p->nr))
			continue;
		guest_exec(cpu, p->put - parts, a, 0, 0, 0);
		CHECK_EQ(get_part(cpu, p), a);
		set_part(cpu, p, b);
		CHECK_EQ(guest_exec(cpu, p->get - parts, 0, 0, 0, 0) & mask, b);
		printf("# %s\n", p->name);
		n++;
	}
	CHECK(n);
}

/* XCR0 as user space set it, and as the guest did. */
static void xcr0(void)
{
	struct guest g;
	struct guest_cpu *cpu = start_parts(&g);
	uint64_t all = offered_xcr0(&g);
	struct kvm_xcrs x;

	MUST(ioctl(cpu->fd, KVM_GET_XCRS, &x));
	CHECK_EQ(x.nr_xcrs, 1);
	CHECK_EQ(x.xcrs[0].value, all);
	x.xcrs[0].value = 3;
	MUST(ioctl(cpu->fd, KVM_SET_XCRS, &x));
	CHECK_EQ(guest_exec(cpu, parts_xgetbv - parts, 0, 0, 0, 0), 3);
	x.xcrs[0].value = all;
	MUST(ioctl(cpu->fd, KVM_SET_XCRS, &x));
	CHECK_EQ(guest_exec(cpu, parts_xgetbv - parts, 0, 0, 0, 0), all);
}

/* The compacted image's XCOMP_BV, and IA32_XSS, which has no bits to offer. */
static void xsaves(void)
{
	struct guest g;
	struct guest_cpu *cpu = start_parts(&g);

	if (!(guest_cpuid_reg(&g, 0xd, 1, 0) & 8))
		SKIP("no XSAVES");
	CHECK_EQ(guest_exec(cpu, parts_xsaves - parts, 7, 0, 0, 0), 1ull << 63 | 7);
	CHECK_EQ(guest_get_msr(cpu, 0xda0), 0);
	CHECK_EQ(guest_set_msr(cpu, 0xda0, 0), 1);
	CHECK_EQ(guest_set_msr(cpu, 0xda0, 0x100), 0);
}

static uint64_t host_xcr0(void)
{
	unsigned int a, b, c, d;

	__cpuid(1, a, b, c, d);
	if (!(c & bit_OSXSAVE))
		return 0;
	asm volatile("xgetbv" : "=a" (a), "=d" (d) : "c" (0));
	return a | (uint64_t)d << 32;
}

static bool host_has_pkru(void)
{
	unsigned int a, b, c, d;

	__cpuid_count(7, 0, a, b, c, d);
	return c & bit_OSPKE;
}

/* KVM_RUN between loading and reading of what only AVX-512 has. */
static void check_host_avx512(int fd, uint64_t val)
{
	static uint64_t in[8], high[8], low[8];
	uint32_t k = 0;
	long r;
	int i;

	for (i = 0; i < 8; i++)
		in[i] = val + i;
	asm volatile("vmovdqu64 %5, %%zmm3; vmovdqu64 %5, %%zmm19; kmovw %6, %%k3\n"
		     "syscall\n"
		     "vmovdqu64 %%zmm3, %1; vmovdqu64 %%zmm19, %2; kmovw %%k3, %3"
		     : "=a" (r), "=m" (low), "=m" (high), "=&r" (k)
		     : "0" (16L), "m" (in), "r" ((uint32_t)val), "D" (fd), "S" (KVM_RUN), "d" (0)
		     : "rcx", "r11", "memory", "xmm3");
	CHECK_EQ(r, 0);
	CHECK_EQ(k, val & 0xffff);
	CHECK(!memcmp(in, low, sizeof(in)));
	CHECK(!memcmp(in, high, sizeof(in)));
}

static uint32_t host_pkru(void)
{
	uint32_t val, d;

	asm volatile("rdpkru" : "=a" (val), "=d" (d) : "c" (0));
	return val;
}

static void set_host_pkru(uint32_t val)
{
	asm volatile("wrpkru" : : "a" (val), "c" (0), "d" (0) : "memory");
}

/* While the guest has other values in the same registers. */
static void host_keeps(void)
{
	struct guest g;
	struct guest_cpu *cpu = start_parts(&g);
	bool avx512 = (host_xcr0() & 0xe0) == 0xe0 && (offered_xcr0(&g) & 0xe0) == 0xe0;
	bool pkru = host_has_pkru() && (guest_cpuid_reg(&g, 7, 0, 2) & 8);
	uint64_t i;

	if (!avx512 && !pkru)
		SKIP("neither AVX-512 nor protection keys");
	for (i = 0; i < 20; i++) {
		const unsigned long guest_code = i & 1 ? parts_put_zmm - parts : parts_put_k - parts;

		if (avx512) {
			guest_call(cpu, guest_code, 0xdead0000 + i, 0, 0, 0);
			check_host_avx512(cpu->fd, 0x1234567 * (i + 1));
		}
		if (!pkru)
			continue;
		/* Key 0 stays open; the others are nobody's here. */
		set_host_pkru(0x55555550 ^ i << 8);
		guest_exec(cpu, parts_put_pkru - parts, 0xaaaaaaa0, 0, 0, 0);
		CHECK_EQ(host_pkru(), 0x55555550 ^ i << 8);
		CHECK_EQ(guest_exec(cpu, parts_get_pkru - parts, 0, 0, 0, 0), 0xaaaaaaa0);
	}
}

static const struct test tests[] = {
	{ "both sides keep their registers", both_sides },
	{ "with signals and rescheduling", with_signals },
	{ "MXCSR and the x87 control word", control_words },
	{ "components of the state, both ways", components },
	{ "XCR0", xcr0 },
	{ "XSAVES", xsaves },
	{ "AVX-512 and PKRU of the host", host_keeps },
};

TEST_MAIN(tests)
