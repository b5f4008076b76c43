// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that checks itself, moved into a new VM again and again: at each of its
 * exits, and wherever a signal finds it. All that is moved is its memory and what
 * KVM's ioctls tell of its state, so whatever they forget (or give back wrong) it
 * notices.
 */
#include <signal.h>
#include <sys/time.h>

#include "../irq/irq.h"

#define MOVES_DEFAULT	3000
#define VEC_GPA		0xe000ul	/* what the vector registers shall hold, and what they held */
#define MSRS_GPA	0xe800ul
#define VEC_BYTES	(16 * 32)
#define TIMER_VECTOR	0x50
#define LOW_VECTOR	0x41
#define HIGH_VECTOR	0x62
#define DEADLINE_TICKS	20000
#define MAX_MSRS	256

#define EXPECT(cond)							\
	do {								\
		if (!(cond))						\
			report(0xbad00000 + __LINE__);			\
	} while (0)

/* -------- in the guest -------- */

/* Where the guest finds the numbers of the MSRs that it keeps values in. */
#define MSRS		((volatile uint32_t *)MSRS_GPA)

static const uint32_t kept_msrs[] = {
	0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000102, 0xc0000103,
};

#define NR_KEPT (sizeof(kept_msrs) / sizeof(kept_msrs[0]))

/* A canonical value; TSC_AUX has 32 bits, SYSENTER's on AMD as well. */
GUEST_INLINE uint64_t msr_value(unsigned int i, uint64_t round)
{
	uint64_t val = (round * 0x9e3779b97f4a7c15 + i * 0x1111) & 0x3fffffffffff;

	return i < 2 || i == NR_KEPT - 1 ? val & 0x7fffffff : val;
}

#define EACH_YMM(op) \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)			\
	op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_YMM(n) "vmovdqu 32*" #n "(%0), %%ymm" #n "\n"
#define STORE_YMM(n) "vmovdqu %%ymm" #n ", 32*" #n "(%0)\n"
#define LOAD_XMM(n) "movdqu 32*" #n "(%0), %%xmm" #n "\n"
#define STORE_XMM(n) "movdqu %%xmm" #n ", 32*" #n "(%0)\n"

GUEST void load_vectors(uint64_t round)
{
	volatile uint64_t *v = (uint64_t *)VEC_GPA;
	unsigned int i;

	for (i = 0; i < VEC_BYTES / 8; i++)
		v[i] = (round + i) * 0xd1342543de82ef95;
	if (SH->arg[1])
		asm volatile(EACH_YMM(LOAD_YMM) : : "r"(v) : "memory");
	else
		asm volatile(EACH_YMM(LOAD_XMM) : : "r"(v) : "memory");
}

GUEST void check_vectors(void)
{
	volatile uint64_t *v = (uint64_t *)VEC_GPA, *now = v + VEC_BYTES / 8;
	unsigned int i;

	if (SH->arg[1])
		asm volatile(EACH_YMM(STORE_YMM) : : "r"(now) : "memory");
	else
		asm volatile(EACH_YMM(STORE_XMM) : : "r"(now) : "memory");
	for (i = 0; i < VEC_BYTES / 8; i++)
		EXPECT((!SH->arg[1] && (i & 2)) || v[i] == now[i]);
}

/* All general registers but RSP across an exit. */
GUEST void check_gprs(void)
{
	uint64_t wrong;

	asm volatile("mov $0x10, %%edx; mov $1, %%eax\n"
		     "mov $0x101, %%ebx; mov $0x102, %%ecx; mov $0x103, %%esi; mov $0x104, %%edi\n"
		     "push %%rbp; mov $0x105, %%ebp\n"
		     "movabs $0x1111111111111108, %%r8; movabs $0x2222222222222209, %%r9\n"
		     "movabs $0x333333333333330a, %%r10; movabs $0x444444444444440b, %%r11\n"
		     "movabs $0x555555555555550c, %%r12; movabs $0x666666666666660d, %%r13\n"
		     "movabs $0x777777777777770e, %%r14; movabs $0x888888888888880f, %%r15\n"
		     "stc; std\n"
		     "outl %%eax, %%dx\n"
		     "setnc %%al; cld; movzx %%al, %%eax\n"
		     "sub $0x10, %%rdx; or %%rdx, %%rax; sub $0x101, %%rbx; or %%rbx, %%rax\n"
		     "sub $0x102, %%rcx; or %%rcx, %%rax; sub $0x103, %%rsi; or %%rsi, %%rax\n"
		     "sub $0x104, %%rdi; or %%rdi, %%rax\n"
		     "sub $0x105, %%rbp; or %%rbp, %%rax; pop %%rbp\n"
		     "movabs $0x1111111111111108, %%rbx; sub %%rbx, %%r8; or %%r8, %%rax\n"
		     "movabs $0x2222222222222209, %%rbx; sub %%rbx, %%r9; or %%r9, %%rax\n"
		     "movabs $0x333333333333330a, %%rbx; sub %%rbx, %%r10; or %%r10, %%rax\n"
		     "movabs $0x444444444444440b, %%rbx; sub %%rbx, %%r11; or %%r11, %%rax\n"
		     "movabs $0x555555555555550c, %%rbx; sub %%rbx, %%r12; or %%r12, %%rax\n"
		     "movabs $0x666666666666660d, %%rbx; sub %%rbx, %%r13; or %%r13, %%rax\n"
		     "movabs $0x777777777777770e, %%rbx; sub %%rbx, %%r14; or %%r14, %%rax\n"
		     "movabs $0x888888888888880f, %%rbx; sub %%rbx, %%r15; or %%r15, %%rax\n"
		     : "=&a"(wrong)
		     : : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			 "r13", "r14", "r15", "cc", "memory");
	EXPECT(!wrong);
}

/* Two requests that wait for IF and come in their order, and an NMI. */
GUEST void check_ipis(void)
{
	uint32_t low = SH->count[LOW_VECTOR], high = SH->count[HIGH_VECTOR], nmi = SH->count[2];
	uint32_t total;

	send_ipi(0, 0x40000 | LOW_VECTOR);
	send_ipi(0, 0x40000 | HIGH_VECTOR);
	report(1);
	EXPECT(SH->count[LOW_VECTOR] == low && SH->count[HIGH_VECTOR] == high);
	total = SH->total;
	asm volatile("sti; outl %0, %w1; cli" : : "a"(1), "Nd"(REPORT_PORT) : "memory");
	while (SH->total < total + 2) {
		sti_();
		cli_();
	}
	EXPECT(SH->order[total & 255] == HIGH_VECTOR && SH->order[(total + 1) & 255] == LOW_VECTOR);
	EXPECT(SH->count[LOW_VECTOR] == low + 1 && SH->count[HIGH_VECTOR] == high + 1);
	send_ipi(0, 0x4400);
	while (SH->count[2] == nmi)
		pause_();
	EXPECT(SH->count[2] == nmi + 1);
}

/* One deadline is one interrupt, never early. */
GUEST void check_timer(uint64_t deadline, bool sleep)
{
	uint32_t before = SH->count[TIMER_VECTOR];

	wrmsr_(0x6e0, deadline);
	while (SH->count[TIMER_VECTOR] == before) {
		if (sleep) {
			hlt_();
		} else {
			sti_();
			cli_();
		}
	}
	EXPECT(SH->count[TIMER_VECTOR] == before + 1);
	EXPECT(rdtsc_() >= deadline);
	EXPECT(!rdmsr_(0x6e0));
}

GUEST_INLINE void write_drs(uint64_t val)
{
	asm volatile("mov %0, %%db0; mov %1, %%db1; mov %2, %%db2; mov %3, %%db3"
		     : : "r"(val), "r"(val + 1), "r"(val + 2), "r"(val + 3));
}

GUEST void check_drs(uint64_t val)
{
	uint64_t dr[4], cr2;

	asm volatile("mov %%db0, %0; mov %%db1, %1; mov %%db2, %2; mov %%db3, %3"
		     : "=r"(dr[0]), "=r"(dr[1]), "=r"(dr[2]), "=r"(dr[3]));
	EXPECT(dr[0] == val && dr[1] == val + 1 && dr[2] == val + 2 && dr[3] == val + 3);
	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	EXPECT(cr2 == val);
}

GUEST void state_guest(void)
{
	uint64_t round, tsc = 0, now, cr8;
	unsigned int i;

	apic_on();
	apic_write(0x320, 0x40000 | TIMER_VECTOR);
	for (round = 1; round <= SH->arg[0]; round++) {
		load_vectors(round);
		asm volatile("fninit; fldpi; fld1; fldl2e");
		for (i = 0; i < NR_KEPT; i++)
			wrmsr_(MSRS[i], msr_value(i, round));
		write_drs(0x1000 + round);
		asm volatile("mov %0, %%cr2" : : "r"(0x1000 + round));
		asm volatile("mov %0, %%cr8" : : "r"(round & 3));
		check_gprs();
		check_ipis();
		now = rdtsc_();
		EXPECT(now > tsc);
		tsc = now;
		check_timer(now + DEADLINE_TICKS, round & 1);
		asm volatile("mov %%cr8, %0" : "=r"(cr8));
		EXPECT(cr8 == (round & 3));
		for (i = 0; i < NR_KEPT; i++)
			EXPECT(rdmsr_(MSRS[i]) == msr_value(i, round));
		check_drs(0x1000 + round);
		check_vectors();
		/* log2 e, 1 and pi lie on the stack: as integers 1, 1 and 3. */
		asm volatile("fistpl %0; fistpl %1; fistpl %2"
			     : "=m"(SH->out[1]), "=m"(SH->out[2]), "=m"(SH->out[3]));
		EXPECT((uint32_t)SH->out[1] == 1 && (uint32_t)SH->out[2] == 1 && (uint32_t)SH->out[3] == 3);
		SH->out[0] = round;
	}
	report(2);
}

/* -------- what is moved -------- */

struct msr_block {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[MAX_MSRS];
};

struct moved {
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp;
	struct kvm_lapic_state lapic;
	struct msr_block msrs;
	struct kvm_irqchip chip[3];
	struct kvm_pit_state2 pit;
	struct kvm_clock_data clock;
	int tsc_khz;
};

static struct {
	struct kvm_msr_list head;
	uint32_t index[MAX_MSRS];
} msr_list;

static void save(struct guest *g, struct moved *m)
{
	int fd = g->cpu[0].fd;
	unsigned int i;

	MUST(ioctl(fd, KVM_GET_MP_STATE, &m->mp));
	MUST(ioctl(fd, KVM_GET_VCPU_EVENTS, &m->events));
	MUST(ioctl(fd, KVM_GET_REGS, &m->regs));
	MUST(ioctl(fd, KVM_GET_SREGS2, &m->sregs));
	MUST(ioctl(fd, KVM_GET_XSAVE, &m->xsave));
	MUST(ioctl(fd, KVM_GET_XCRS, &m->xcrs));
	MUST(ioctl(fd, KVM_GET_DEBUGREGS, &m->debug));
	MUST(ioctl(fd, KVM_GET_LAPIC, &m->lapic));
	m->msrs.head.nmsrs = msr_list.head.nmsrs;
	for (i = 0; i < msr_list.head.nmsrs; i++)
		m->msrs.entry[i] = (struct kvm_msr_entry){ .index = msr_list.index[i] };
	CHECK_EQ(ioctl(fd, KVM_GET_MSRS, &m->msrs), (int)msr_list.head.nmsrs);
	m->tsc_khz = MUST(ioctl(fd, KVM_GET_TSC_KHZ, 0));
	for (i = 0; i < 3; i++) {
		m->chip[i].chip_id = i;
		MUST(ioctl(g->fd, KVM_GET_IRQCHIP, &m->chip[i]));
	}
	MUST(ioctl(g->fd, KVM_GET_PIT2, &m->pit));
	MUST(ioctl(g->fd, KVM_GET_CLOCK, &m->clock));
}

/* The timer's deadline comes when the LAPIC is there. */
static void set_msrs(int fd, const struct moved *m, bool deadline)
{
	struct msr_block one = { .head.nmsrs = 1 };
	unsigned int i;

	for (i = 0; i < m->msrs.head.nmsrs; i++) {
		if ((m->msrs.entry[i].index == 0x6e0) != deadline)
			continue;
		one.entry[0] = m->msrs.entry[i];
		CHECK(ioctl(fd, KVM_SET_MSRS, &one) == 1, "(MSR %#x)", one.entry[0].index);
	}
}

/* In QEMU's order. */
static void restore(struct guest *g, const struct moved *m)
{
	struct kvm_clock_data clock = { .clock = m->clock.clock };
	int fd = g->cpu[0].fd, i;

	for (i = 0; i < 3; i++)
		MUST(ioctl(g->fd, KVM_SET_IRQCHIP, &m->chip[i]));
	MUST(ioctl(g->fd, KVM_SET_PIT2, &m->pit));
	MUST(ioctl(g->fd, KVM_SET_CLOCK, &clock));
	MUST(ioctl(fd, KVM_SET_SREGS2, &m->sregs));
	MUST(ioctl(fd, KVM_SET_TSC_KHZ, m->tsc_khz));
	MUST(ioctl(fd, KVM_SET_REGS, &m->regs));
	MUST(ioctl(fd, KVM_SET_XCRS, &m->xcrs));
	MUST(ioctl(fd, KVM_SET_XSAVE, &m->xsave));
	set_msrs(fd, m, false);
	MUST(ioctl(fd, KVM_SET_VCPU_EVENTS, &m->events));
	MUST(ioctl(fd, KVM_SET_MP_STATE, &m->mp));
	MUST(ioctl(fd, KVM_SET_LAPIC, &m->lapic));
	set_msrs(fd, m, true);
	MUST(ioctl(fd, KVM_SET_DEBUGREGS, &m->debug));
}

/* -------- the houses it is moved through -------- */

static void build(struct guest *g, uint8_t *mem, size_t size)
{
	struct kvm_pit_config pit = {};

	guest_open(g);
	g->mem = mem;
	g->size = size;
	guest_slot(g, 0, 0, 0, size, mem);
	MUST(ioctl(g->fd, KVM_CREATE_IRQCHIP, 0));
	MUST(ioctl(g->fd, KVM_CREATE_PIT2, &pit));
	guest_cpuid_deadline(guest_add_cpu(g));
}

static void tear_down(struct guest *g)
{
	munmap(g->cpu[0].run, g->run_size);
	close(g->cpu[0].fd);
	close(g->fd);
	close(g->dev);
}

static void move(struct guest *g)
{
	static struct moved m;
	struct guest new = {};

	save(g, &m);
	tear_down(g);
	build(&new, g->mem, g->size);
	new.rflags = g->rflags;
	*g = new;
	g->cpu[0].guest = g;
	restore(g, &m);
}

static void nothing(int sig)
{
}

/* Comes while the guest runs, most of the time. */
static void alarm_in(unsigned int us)
{
	struct itimerval it = { .it_value.tv_usec = us };

	setitimer(ITIMER_REAL, &it, NULL);
}

/* Runs to the next exit, which is complete on return. 0 for a signal, or what it reports. */
static uint32_t run_some(struct guest_cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	uint32_t val;

	alarm_in(1 + rand() % 3000);
	if (ioctl(cpu->fd, KVM_RUN, 0)) {
		CHECK_EQ(errno, EINTR);
		return 0;
	}
	alarm_in(0);
	guest_expect(cpu, KVM_EXIT_IO);
	val = *(uint32_t *)((char *)run + run->io.data_offset);
	run->immediate_exit = 1;
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	run->immediate_exit = 0;
	return val;
}

static int moves_wanted(void)
{
	const char *text = getenv("MOVES");

	return text ? atoi(text) : MOVES_DEFAULT;
}

static void enable_vectors(struct guest_cpu *cpu)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct kvm_sregs sregs;

	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &sregs));
	sregs.cr4 |= 0x600;
	shared(cpu->guest)->arg[1] = guest_cpuid_reg(cpu->guest, 1, 0, 2) >> 28 & 1;
	if (shared(cpu->guest)->arg[1]) {
		sregs.cr4 |= 1 << 18;
		MUST(ioctl(cpu->fd, KVM_SET_XCRS, &xcrs));
	}
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &sregs));
}

static void moved_about(void)
{
	struct sigaction sa = { .sa_handler = nothing };
	int moves = 0, by_signal = 0, wanted = moves_wanted();
	size_t size = 4 * PAGE_2M;
	struct guest g;
	uint32_t val;

	sigaction(SIGALRM, &sa, NULL);
	build(&g, guest_alloc(size), size);
	msr_list.head.nmsrs = MAX_MSRS;
	MUST(ioctl(g.dev, KVM_GET_MSR_INDEX_LIST, &msr_list));
	guest_load(&g, __start_guest, __stop_guest);
	irq_gates(&g);
	irq_long_mode(&g.cpu[0]);
	enable_vectors(&g.cpu[0]);
	memcpy(g.mem + MSRS_GPA, kept_msrs, sizeof(kept_msrs));
	shared(&g)->arg[0] = ~0ull;
	irq_start(&g.cpu[0], state_guest);
	while (moves < wanted) {
		val = run_some(&g.cpu[0]);
		if (val >> 20 == 0xbad)
			FAIL("line %u of the guest, round %llu, move %d", val & 0xfffff,
			     (unsigned long long)shared(&g)->out[0], moves);
		if (val >> 8 == 0xdead)
			FAIL("exception %u, rip %#llx, move %d", val & 0xff,
			     (unsigned long long)guest_regs(&g.cpu[0]).rip, moves);
		by_signal += !val;
		move(&g);
		moves++;
	}
	CHECK(shared(&g)->out[0] > 10, "(%llu rounds)", (unsigned long long)shared(&g)->out[0]);
	printf("# %d moves, %d of them by a signal; %llu rounds\n", moves, by_signal,
	       (unsigned long long)shared(&g)->out[0]);
}

static const struct test tests[] = {
	{ "moved_about", moved_about, 900 },
};

TEST_MAIN(tests)
