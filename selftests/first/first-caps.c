// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a reported capability promises, seen from the guest or from user
 * space. KVM passes these tests too (see the file "tests").
 */
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "first.h"

GUEST_CODE(caps,
	".code64\n"
	"caps_halt: hlt\n"
	"caps_tsc: rdtsc; shl $32, %rdx; or %rdx, %rax; hlt\n"
	"caps_load: mov (%rdi), %rax; hlt\n"
	"caps_load_out: mov (%rdi), %eax; out %al, $0x10; hlt\n"
	/* An instruction that no emulator of x87 is there for. */
	"caps_flds: flds (%rdi); mov $0x77, %eax; hlt\n"
	"caps_read: mov $0x55, %eax; xor %edx, %edx; rdmsr; shl $32, %rdx; or %rdx, %rax; hlt\n"
	"caps_write: mov %edi, %eax; mov %rdi, %rdx; shr $32, %rdx; wrmsr; mov $1, %eax; hlt\n"
	"caps_add: add %rdi, %rsi; add %rdx, %rsi; mov %rsi, %rax; hlt\n"
	"caps_spin: incq 0xf000; jmp caps_spin\n"
	"caps_nops: nop; nop; nop; nop; out %al, $0x10; hlt\n"
	/* RDI: the xAPIC's page, RSI: the count. */
	"caps_timer: movl $0x1ff, 0xf0(%rdi); movl $0x10040, 0x320(%rdi); movl $0xb, 0x3e0(%rdi)\n"
	"mov %esi, 0x380(%rdi); out %al, $0x10; mov 0x390(%rdi), %eax; mov %eax, 0xf000\n"
	"out %al, $0x10\n"
	/* Faults end here, each with what it left behind. */
	"caps_gp: mov $0x13, %eax; hlt\n"
	"caps_ud: mov $0x6, %eax; hlt\n"
	"caps_mc: mov $0x18, %eax; hlt\n"
	"caps_db: mov %dr6, %rax; hlt\n"
	"caps_pf: mov %cr2, %rax; hlt\n"
	"caps_irq: incq 0xf008; iretq\n");

extern const char caps_halt[], caps_tsc[], caps_load[], caps_load_out[], caps_flds[], caps_read[],
		  caps_write[], caps_add[], caps_spin[], caps_nops[], caps_timer[], caps_gp[],
		  caps_ud[], caps_mc[], caps_db[], caps_pf[], caps_irq[];

#define AT(name) ((unsigned long)(caps_##name - caps))

#define NS	1000000000ull
#define UNMAPPED 0xd0000000ul

enum { MSR_STAR = 0xc0000081, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
       MSR_FS_BASE = 0xc0000100, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
       MSR_SYSENTER_CS = 0x174, MSR_PAT = 0x277, MSR_NONE = 0xdead0000 };

static int has(struct guest *g, int cap)
{
	return ioctl(g->fd, KVM_CHECK_EXTENSION, cap);
}

static void enable(struct guest *g, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	MUST(ioctl(g->fd, KVM_ENABLE_CAP, &c));
}

static void load(struct guest *g)
{
	guest_load_code(g, caps);
	set_gate(g, 1, AT(db));
	set_gate(g, 6, AT(ud));
	set_gate(g, 13, AT(gp));
	set_gate(g, 14, AT(pf));
	set_gate(g, 18, AT(mc));
	set_gate(g, 0x40, AT(irq));
}

static void put_idt(struct guest_cpu *cpu)
{
	guest_mode(cpu, GUEST_LONG);
	guest_idt(cpu, IDT_GPA);
}

static struct guest_cpu *start(struct guest *g)
{
	struct guest_cpu *cpu = long_guest(g);

	load(g);
	return cpu;
}

/* With interrupt chips HLT does not leave KVM_RUN; such guests end in OUT. */
static struct guest_cpu *start_with_chips(struct guest *g)
{
	struct guest_cpu *cpu;

	if (!g->fd)
		guest_create(g, 4 * PAGE_2M);
	MUST(ioctl(g->fd, KVM_CREATE_IRQCHIP, 0));
	cpu = guest_add_cpu(g);
	put_idt(cpu);
	load(g);
	return cpu;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static uint64_t host_tsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc; lfence" : "=a" (lo), "=d" (hi));
	return (uint64_t)hi << 32 | lo;
}

/* -------- MSRs -------- */

static void filter_msrs(struct guest *g, uint32_t base, uint32_t n, uint32_t flags, uint8_t *bits)
{
	struct kvm_msr_filter f = { .ranges[0] = { .flags = flags, .base = base, .nmsrs = n,
						   .bitmap = bits } };

	MUST(ioctl(g->fd, KVM_X86_SET_MSR_FILTER, &f));
}

static void no_filter(struct guest *g)
{
	struct kvm_msr_filter f = {};

	MUST(ioctl(g->fd, KVM_X86_SET_MSR_FILTER, &f));
}

static const uint32_t filtered[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK, MSR_FS_BASE, MSR_GS_BASE,
	MSR_KERNEL_GS_BASE, MSR_SYSENTER_CS, MSR_PAT,
};

static void msr_filter(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	uint8_t none[8] = {};
	unsigned int i;

	CHECK(has(&g, KVM_CAP_X86_MSR_FILTER));
	for (i = 0; i < sizeof(filtered) / sizeof(filtered[0]); i++) {
		uint32_t msr = filtered[i];
		uint64_t val = guest_exec(cpu, AT(read), 0, 0, 0, msr);

		filter_msrs(&g, msr & ~7u, 8, KVM_MSR_FILTER_READ, none);
		CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, msr), 0x13);
		CHECK_EQ(guest_exec(cpu, AT(write), val, 0, 0, msr), 1);
		filter_msrs(&g, msr & ~7u, 8, KVM_MSR_FILTER_WRITE, none);
		CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, msr), val);
		CHECK_EQ(guest_exec(cpu, AT(write), val, 0, 0, msr), 0x13);
		/* User space is never asked. */
		CHECK_EQ(guest_get_msr(cpu, msr), val);
		no_filter(&g);
		CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, msr), val);
		CHECK_EQ(guest_exec(cpu, AT(write), val, 0, 0, msr), 1);
	}
}

/* A system call of 32-bit user space, from here. */
static long call_32(uint32_t nr, uint32_t a, uint32_t b, const void *c)
{
	long r;

	asm volatile("int $0x80" : "=a" (r) : "a" (nr), "b" (a), "c" (b), "d" (c)
		     : "memory", "r8", "r9", "r10", "r11");
	return r;
}

struct filter_32 {
	uint32_t flags;
	struct {
		uint32_t flags, nmsrs, base, bitmap;
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

/* Its pointers make the structure, and so the number, another one. */
static void msr_filter_32(void)
{
	uint8_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	uint32_t set_32 = _IOW(KVMIO, 0xc6, struct filter_32), sys_ioctl = 54;
	struct filter_32 *f = (void *)(low + 64);
	struct guest g;
	struct guest_cpu *cpu = start(&g);

	CHECK(low != MAP_FAILED);
	f->ranges[0].flags = KVM_MSR_FILTER_READ;
	f->ranges[0].base = MSR_STAR & ~7u;
	f->ranges[0].nmsrs = 8;
	f->ranges[0].bitmap = (uintptr_t)low;
	CHECK_EQ(ioctl(g.fd, set_32, f), -1);
	CHECK_EQ(errno, ENOTTY);
	CHECK_EQ(call_32(sys_ioctl, g.fd, set_32, f), 0);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, MSR_STAR), 0x13);
	memset(f, 0, sizeof(*f));
	CHECK_EQ(call_32(sys_ioctl, g.fd, set_32, f), 0);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, MSR_STAR), 0);
	f->flags = 4;
	CHECK_EQ(call_32(sys_ioctl, g.fd, set_32, f), -EINVAL);
}

static void expect_msr(struct guest_cpu *cpu, uint32_t exit, uint32_t msr, uint32_t why)
{
	expect_exit(cpu, exit);
	CHECK_EQ(cpu->run->msr.index, msr);
	CHECK_EQ(cpu->run->msr.reason, why);
	CHECK_EQ(cpu->run->msr.error, 0);
}

static void msr_exits(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	uint8_t none[8] = {};

	CHECK_EQ(has(&g, KVM_CAP_X86_USER_SPACE_MSR), 1);
	enable(&g, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER |
	       KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL);
	filter_msrs(&g, MSR_STAR & ~7u, 8, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE, none);

	guest_call(cpu, AT(read), 0, 0, 0, MSR_LSTAR);
	expect_msr(cpu, KVM_EXIT_X86_RDMSR, MSR_LSTAR, KVM_MSR_EXIT_REASON_FILTER);
	cpu->run->msr.data = 0x1122334455667788;
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 0x1122334455667788);

	guest_call(cpu, AT(write), 0x99aabbccddeeff, 0, 0, MSR_STAR);
	expect_msr(cpu, KVM_EXIT_X86_WRMSR, MSR_STAR, KVM_MSR_EXIT_REASON_FILTER);
	CHECK_EQ(cpu->run->msr.data, 0x99aabbccddeeff);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 1);
	CHECK_EQ(guest_get_msr(cpu, MSR_STAR), 0);

	guest_call(cpu, AT(read), 0, 0, 0, MSR_NONE);
	expect_msr(cpu, KVM_EXIT_X86_RDMSR, MSR_NONE, KVM_MSR_EXIT_REASON_UNKNOWN);
	cpu->run->msr.error = 1;
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 0x13);

	guest_call(cpu, AT(write), 2, 0, 0, MSR_PAT);	/* no such memory type */
	expect_msr(cpu, KVM_EXIT_X86_WRMSR, MSR_PAT, KVM_MSR_EXIT_REASON_INVAL);
	CHECK_EQ(cpu->run->msr.data, 2);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 1);

	/* What is not asked for stays a fault. */
	enable(&g, KVM_CAP_X86_USER_SPACE_MSR, 0);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, MSR_NONE), 0x13);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, MSR_LSTAR), 0x13);
	no_filter(&g);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, MSR_LSTAR), 0);
}

static void feature_msrs(void)
{
	struct {
		struct kvm_msr_list head;
		uint32_t index[256];
	} list = { .head.nmsrs = 256 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[256];
	} m = {};
	struct guest g;
	unsigned int i;

	guest_open(&g);
	CHECK_EQ(has(&g, KVM_CAP_GET_MSR_FEATURES), 1);
	MUST(ioctl(g.dev, KVM_GET_MSR_FEATURE_INDEX_LIST, &list));
	m.head.nmsrs = list.head.nmsrs;
	for (i = 0; i < list.head.nmsrs; i++)
		m.entry[i].index = list.head.indices[i];
	CHECK_EQ(ioctl(g.dev, KVM_GET_MSRS, &m), list.head.nmsrs);
	m.entry[0].index = MSR_NONE;
	m.head.nmsrs = 1;
	CHECK_EQ(ioctl(g.dev, KVM_GET_MSRS, &m), 0);
}

/* -------- state that user space reads and writes -------- */

static void sync_regs(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct kvm_sync_regs *s = &cpu->run->s.regs;
	struct kvm_regs at_halt = { .rip = GUEST_CODE_GPA, .rflags = 2 };
	int all = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;

	CHECK_EQ(has(&g, KVM_CAP_SYNC_REGS), all);
	cpu->run->kvm_valid_regs = 1 << 20;
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINVAL);
	cpu->run->kvm_valid_regs = 0;
	cpu->run->kvm_dirty_regs = 1 << 20;
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINVAL);
	cpu->run->kvm_dirty_regs = 0;

	cpu->run->kvm_valid_regs = all;
	CHECK_EQ(guest_exec(cpu, AT(add), 1, 20, 300, 0), 321);
	CHECK_EQ(s->regs.rax, 321);
	CHECK_EQ(s->regs.rip, GUEST_CODE_GPA + AT(spin));
	CHECK_EQ(s->sregs.cr3, 0x2000);
	CHECK_EQ(s->events.exception.injected, 0);

	s->regs.rip = GUEST_CODE_GPA + AT(add);
	s->regs.rdi = 7;
	s->regs.rsi = 70;
	s->regs.rdx = 700;
	s->sregs.gs.base = 0x123000;
	cpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(cpu->run->kvm_dirty_regs, 0);
	CHECK_EQ(s->regs.rax, 777);
	CHECK_EQ(guest_get_msr(cpu, MSR_GS_BASE), 0x123000);
	/* What is not marked is not read. */
	s->regs.rip = GUEST_CODE_GPA + AT(add);
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &at_halt));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(s->regs.rip, GUEST_CODE_GPA + 1);
}

static void sregs2(void)
{
	struct kvm_sregs2 s;
	struct guest_cpu *cpu;
	struct guest g;
	uint64_t *pdpt;
	int i;

	guest_create(&g, 4 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS2, &s));
	CHECK_EQ(s.flags, 0);
	guest_mode(cpu, GUEST_PAE);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS2, &s));
	CHECK_EQ(s.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
	pdpt = (uint64_t *)(g.mem + 0x3000);
	for (i = 0; i < 4; i++)
		CHECK_EQ(s.pdptrs[i], pdpt[i]);
	/* On VT-x they are registers; nested paging of AMD-V reads the memory again. */
	s.pdptrs[1] = pdpt[0];
	MUST(ioctl(cpu->fd, KVM_SET_SREGS2, &s));
	MUST(ioctl(cpu->fd, KVM_GET_SREGS2, &s));
	CHECK_EQ(s.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
}

static void xsave2(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	int size = has(&g, KVM_CAP_XSAVE2), i;
	uint8_t *big, small[4096];

	CHECK(size >= 4096);
	big = malloc(size + 64);
	memset(big, 0x5a, size + 64);
	MUST(ioctl(cpu->fd, KVM_GET_XSAVE2, big));
	for (i = 0; i < 64; i++)
		CHECK_EQ(big[size + i], 0x5a);
	MUST(ioctl(cpu->fd, KVM_GET_XSAVE, small));
	CHECK_EQ(memcmp(big, small, sizeof(small)), 0);
	MUST(ioctl(cpu->fd, KVM_SET_XSAVE, big));
}

static void exception_payload(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct kvm_vcpu_events e = get_events(cpu);

	e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	CHECK_EQ(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e), -1);
	CHECK_EQ(errno, EINVAL);
	enable(&g, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	guest_call(cpu, AT(spin), 0, 0, 0, 0);
	e = get_events(cpu);
	CHECK(e.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
	e.exception.pending = 1;
	e.exception.nr = 1;
	e.exception_has_payload = 1;
	e.exception_payload = 0x4001;		/* BS, B0 */
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	e = get_events(cpu);
	CHECK_EQ(e.exception.pending, 1);
	CHECK_EQ(e.exception.injected, 0);
	CHECK_EQ(e.exception_payload, 0x4001);
	/* DR6 gets it at the delivery and not before. */
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax & 0x400f, 0x4001);

	guest_call(cpu, AT(spin), 0, 0, 0, 0);
	e = get_events(cpu);
	e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	e.exception.pending = 1;
	e.exception.nr = 14;
	e.exception.has_error_code = 1;
	e.exception.error_code = 2;
	e.exception_has_payload = 1;
	e.exception_payload = 0x7654321000;
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 0x7654321000);

	/* KVM_SET_REGS drops it. */
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	guest_exec(cpu, AT(halt), 0, 0, 0, 0);
	CHECK_EQ(get_events(cpu).exception.pending, 0);
}

static void triple_fault_event(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct kvm_vcpu_events e = get_events(cpu);

	e.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	CHECK_EQ(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e), -1);
	CHECK_EQ(errno, EINVAL);
	enable(&g, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	e = get_events(cpu);
	CHECK(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	CHECK_EQ(e.triple_fault.pending, 0);
	e.triple_fault.pending = 1;
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	CHECK_EQ(get_events(cpu).triple_fault.pending, 1);
	expect_exit(cpu, KVM_EXIT_SHUTDOWN);
	CHECK_EQ(get_events(cpu).triple_fault.pending, 0);
}

/* -------- exits -------- */

static void expect_failure(struct guest_cpu *cpu)
{
	struct kvm_run *run = cpu->run;

	expect_exit(cpu, KVM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(run->emulation_failure.suberror, KVM_INTERNAL_ERROR_EMULATION);
	CHECK(run->emulation_failure.ndata >= 3);
	CHECK(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	CHECK(run->emulation_failure.insn_size >= 2);
	CHECK_EQ(run->emulation_failure.insn_bytes[0], 0xd9);
	CHECK_EQ(run->emulation_failure.insn_bytes[1], 0x07);
}

static void emulation_failure(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	struct kvm_regs r;

	/* At CPL 0 the capability decides about #UD only. */
	guest_call(cpu, AT(flds), UNMAPPED, 0, 0, 0);
	expect_failure(cpu);
	CHECK_EQ(get_events(cpu).exception.injected, 1);
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 6);

	CHECK_EQ(has(&g, KVM_CAP_EXIT_ON_EMULATION_FAILURE), 1);
	enable(&g, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
	guest_call(cpu, AT(flds), UNMAPPED, 0, 0, 0);
	expect_failure(cpu);
	CHECK_EQ(get_events(cpu).exception.injected, 0);
	r = guest_regs(cpu);
	CHECK_EQ(r.rip, GUEST_CODE_GPA + AT(flds));
	r.rip += 2;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 0x77);
}

static void on_signal(int sig)
{
}

static void alarm_in(int ms)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec when = { .it_value.tv_nsec = ms * 1000000l };
	struct sigaction sa = { .sa_handler = on_signal };
	timer_t timer;

	sigaction(SIGUSR1, &sa, NULL);
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
	MUST(timer_settime(timer, 0, &when, NULL));
}

/* HLT, the guest's own: KVM_RUN does not end by it. */
static void disable_exits(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, 4 * PAGE_2M);
	if (!(has(&g, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT))
		SKIP("not offered");
	enable(&g, KVM_CAP_X86_DISABLE_EXITS,
	       KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE);
	cpu = guest_add_cpu(&g);
	put_idt(cpu);
	load(&g);
	/* HLT; the rest, should something wake it, has no end. */
	memcpy(g.mem + GUEST_CODE_GPA, "\xf4\xeb\xfd", 3);
	/* Bochs lets no interrupt end a HLT with IF clear, not even one that exits. */
	g.rflags = 0x200;
	guest_call(cpu, 0, 0, 0, 0, 0);
	alarm_in(200);
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(cpu->run->exit_reason, KVM_EXIT_INTR);
}

static uint32_t lvt0(struct guest_cpu *cpu)
{
	struct kvm_lapic_state l;

	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &l));
	return *(uint32_t *)(l.regs + 0x350);
}

static void disable_quirks(void)
{
	uint32_t quirks = KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_LAPIC_MMIO_HOLE;
	struct guest g = {}, h = {};
	struct guest_cpu *cpu = start_with_chips(&g);
	struct kvm_enable_cap bad = { .cap = KVM_CAP_DISABLE_QUIRKS2, .args = { 1u << 31 } };
	struct kvm_sregs s;

	CHECK_EQ(has(&g, KVM_CAP_DISABLE_QUIRKS2) & quirks, quirks);
	CHECK_EQ(ioctl(g.fd, KVM_ENABLE_CAP, &bad), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(lvt0(cpu), 0x700);		/* ExtINT, as firmware leaves it */
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.apic_base &= ~0x800ull;		/* the LAPIC is off: nobody at its page */
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_call(cpu, AT(load_out), 0xfee00020, 0, 0, 0);
	CHECK_EQ(expect_out(cpu, 0x10), 0xff);

	guest_create(&h, 4 * PAGE_2M);
	enable(&h, KVM_CAP_DISABLE_QUIRKS2, quirks);
	cpu = start_with_chips(&h);
	CHECK_EQ(lvt0(cpu), 0x10000);
	s.cr3 = 0x2000;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_call(cpu, AT(load_out), 0xfee00020, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.phys_addr, 0xfee00020);
}

/* -------- vCPUs -------- */

static void max_vcpu_id(void)
{
	struct kvm_enable_cap c = { .cap = KVM_CAP_MAX_VCPU_ID, .args = { 4 } };
	struct guest g;

	guest_open(&g);
	c.args[0] = has(&g, KVM_CAP_MAX_VCPU_ID) + 1;
	CHECK_EQ(ioctl(g.fd, KVM_ENABLE_CAP, &c), -1);
	CHECK_EQ(errno, EINVAL);
	enable(&g, KVM_CAP_MAX_VCPU_ID, 4);
	enable(&g, KVM_CAP_MAX_VCPU_ID, 4);
	c.args[0] = 5;
	CHECK_EQ(ioctl(g.fd, KVM_ENABLE_CAP, &c), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(ioctl(g.fd, KVM_CREATE_VCPU, 4), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(ioctl(g.fd, KVM_SET_BOOT_CPU_ID, 5), -1);
	CHECK_EQ(errno, EINVAL);
	MUST(ioctl(g.fd, KVM_CREATE_VCPU, 3));
	MUST(ioctl(g.fd, KVM_CREATE_VCPU, 0));
}

static void max_vcpus(void)
{
	struct guest g;
	uint64_t start = clock_ns(CLOCK_MONOTONIC);
	struct rlimit lim;
	int max, i;

	guest_open(&g);
	max = has(&g, KVM_CAP_MAX_VCPUS);
	CHECK(max > 0 && max <= has(&g, KVM_CAP_MAX_VCPU_ID));
	if (max > 1024)
		SKIP("%d vCPUs are too many", max);
	lim.rlim_cur = lim.rlim_max = max + 20;
	MUST(setrlimit(RLIMIT_NOFILE, &lim));
	for (i = 0; i < max; i++) {
		MUST(ioctl(g.fd, KVM_CREATE_VCPU, i));
		if (clock_ns(CLOCK_MONOTONIC) - start > 10 * NS)
			SKIP("%d vCPUs took ten seconds", i);
	}
	CHECK_EQ(ioctl(g.fd, KVM_CREATE_VCPU, i), -1);
	CHECK_EQ(errno, EINVAL);
}

/* -------- machine checks -------- */

#define MCI_VALID	(1ull << 63)
#define MCI_UC		(1ull << 61)
#define MCI_EN		(1ull << 60)

static struct guest_cpu *start_mce(struct guest *g, uint64_t cr4)
{
	struct guest_cpu *cpu = start(g);
	struct kvm_sregs s;
	uint64_t cap;

	MUST(ioctl(g->dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap));
	cap |= 8;
	MUST(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &cap));
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= cr4;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	return cpu;
}

static void machine_check(void)
{
	struct kvm_x86_mce mce = { .status = MCI_VALID | MCI_UC | MCI_EN, .addr = 0x1234,
				   .misc = 0x8c, .mcg_status = 5, .bank = 3 };
	struct kvm_x86_mce soft = { .status = MCI_VALID | MCI_EN | 0x9f, .addr = 0x77,
				    .bank = 2 };
	struct guest g;
	struct guest_cpu *cpu = start_mce(&g, 0x40);

	/* Corrected: noted, without an exception. */
	MUST(ioctl(cpu->fd, KVM_X86_SET_MCE, &soft));
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x401 + 4 * 2), soft.status);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x402 + 4 * 2), 0x77);
	/* Uncorrected, no action required: so, too. */
	soft.status |= MCI_UC;
	soft.bank = 4;
	MUST(ioctl(cpu->fd, KVM_X86_SET_MCE, &soft));
	CHECK_EQ(get_events(cpu).exception.injected, 0);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x401 + 4 * 4), soft.status);
	/* Uncorrected: #MC. */
	guest_call(cpu, AT(spin), 0, 0, 0, 0);
	MUST(ioctl(cpu->fd, KVM_X86_SET_MCE, &mce));
	expect_exit(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 0x18);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x17a), 5);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x401 + 4 * 3), mce.status);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x402 + 4 * 3), 0x1234);
	CHECK_EQ(guest_exec(cpu, AT(read), 0, 0, 0, 0x403 + 4 * 3), 0x8c);
	/* The next, while MCIP is set, is fatal. */
	MUST(ioctl(cpu->fd, KVM_X86_SET_MCE, &mce));
	guest_call(cpu, AT(halt), 0, 0, 0, 0);
	expect_exit(cpu, KVM_EXIT_SHUTDOWN);
	mce.bank = 8;
	CHECK_EQ(ioctl(cpu->fd, KVM_X86_SET_MCE, &mce), -1);
	CHECK_EQ(errno, EINVAL);
}

static void machine_check_off(void)
{
	struct kvm_x86_mce mce = { .status = MCI_VALID | MCI_UC | MCI_EN, .mcg_status = 5,
				   .bank = 1 };
	struct guest g;
	struct guest_cpu *cpu = start_mce(&g, 0);

	MUST(ioctl(cpu->fd, KVM_X86_SET_MCE, &mce));
	expect_exit(cpu, KVM_EXIT_SHUTDOWN);
}

/* -------- time -------- */

static void tsc_khz(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	uint64_t host, guest;
	int khz = MUST(ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0));

	CHECK_EQ(has(&g, KVM_CAP_GET_TSC_KHZ), 1);
	CHECK_EQ(ioctl(g.fd, KVM_GET_TSC_KHZ, 0), khz);
	if (!has(&g, KVM_CAP_TSC_CONTROL))
		SKIP("the processor does not scale");
	MUST(ioctl(cpu->fd, KVM_SET_TSC_KHZ, khz / 2));
	CHECK_EQ(ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0), khz / 2);
	host = host_tsc();
	guest = guest_exec(cpu, AT(tsc), 0, 0, 0, 0);
	usleep(300000);
	guest = guest_exec(cpu, AT(tsc), 0, 0, 0, 0) - guest;
	host = host_tsc() - host;
	CHECK(guest > host * 4 / 10 && guest < host * 6 / 10, "%llu of %llu",
	      (unsigned long long)guest, (unsigned long long)host);
}

static void vm_tsc_khz(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	int khz;

	guest_create(&g, 4 * PAGE_2M);
	if (!has(&g, KVM_CAP_VM_TSC_CONTROL))
		SKIP("the processor does not scale");
	khz = MUST(ioctl(g.fd, KVM_GET_TSC_KHZ, 0)) / 2;
	MUST(ioctl(g.fd, KVM_SET_TSC_KHZ, khz));
	CHECK_EQ(ioctl(g.fd, KVM_GET_TSC_KHZ, 0), khz);
	cpu = guest_add_cpu(&g);
	CHECK_EQ(ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0), khz);
}

/* The guest's TSC lies between two of the host's, with the offset. */
static void check_offset(struct guest_cpu *cpu, uint64_t offset)
{
	uint64_t before = host_tsc() + offset, now, after;

	now = guest_exec(cpu, AT(tsc), 0, 0, 0, 0);
	after = host_tsc() + offset;
	CHECK(now - before <= after - before, "%llx, %llx, %llx", (unsigned long long)before,
	      (unsigned long long)now, (unsigned long long)after);
}

static void tsc_offset(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	uint64_t offset;
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
					.addr = (uintptr_t)&offset };

	CHECK_EQ(has(&g, KVM_CAP_VCPU_ATTRIBUTES), 1);
	MUST(ioctl(cpu->fd, KVM_HAS_DEVICE_ATTR, &attr));
	MUST(ioctl(cpu->fd, KVM_GET_DEVICE_ATTR, &attr));
	check_offset(cpu, offset);
	offset = 1ull << 50;
	MUST(ioctl(cpu->fd, KVM_SET_DEVICE_ATTR, &attr));
	offset = 0;
	MUST(ioctl(cpu->fd, KVM_GET_DEVICE_ATTR, &attr));
	CHECK_EQ(offset, 1ull << 50);
	check_offset(cpu, offset);
}

static void vm_clock(void)
{
	struct kvm_clock_data c = { .clock = 1000 * NS };
	struct guest g;
	uint64_t t;

	guest_open(&g);
	CHECK_EQ(has(&g, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_TSC_STABLE, KVM_CLOCK_TSC_STABLE);
	MUST(ioctl(g.fd, KVM_SET_CLOCK, &c));
	usleep(50000);
	MUST(ioctl(g.fd, KVM_GET_CLOCK, &c));
	CHECK(c.clock >= 1000 * NS + 50000000 && c.clock < 1030 * NS);
	if (!(c.flags & KVM_CLOCK_REALTIME))
		SKIP("the clock source has no realtime pair");
	t = clock_ns(CLOCK_REALTIME);
	CHECK(c.realtime <= t && c.realtime > t - 30 * NS);
	/* As on the way from another host, five seconds ago. */
	c = (struct kvm_clock_data){ .clock = 2000 * NS, .flags = KVM_CLOCK_REALTIME,
				     .realtime = t - 5 * NS };
	MUST(ioctl(g.fd, KVM_SET_CLOCK, &c));
	MUST(ioctl(g.fd, KVM_GET_CLOCK, &c));
	CHECK(c.clock >= 2005 * NS && c.clock < 2030 * NS);
}

#define MSR_KVMCLOCK	0x4b564d01

static void clock_paused(void)
{
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	volatile uint8_t *flags = (uint8_t *)guest_word(&g, 0) + 29;

	CHECK_EQ(has(&g, KVM_CAP_KVMCLOCK_CTRL), 1);
	CHECK_EQ(ioctl(cpu->fd, KVM_KVMCLOCK_CTRL, 0), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(guest_exec(cpu, AT(write), DATA_GPA | 1, 0, 0, MSR_KVMCLOCK), 1);
	guest_exec(cpu, AT(halt), 0, 0, 0, 0);
	CHECK(*((volatile uint32_t *)guest_word(&g, 0)) && !(*flags & 2));
	MUST(ioctl(cpu->fd, KVM_KVMCLOCK_CTRL, 0));
	guest_exec(cpu, AT(halt), 0, 0, 0, 0);
	CHECK_EQ(*flags & 2, 2);
}

/* @ns for each tick of the LAPIC's timer, which the guest lets run for 200 ms. */
static void time_bus(uint64_t ns)
{
	struct guest g = {};
	struct guest_cpu *cpu;
	uint64_t t, ticks;

	guest_create(&g, 4 * PAGE_2M);
	if (ns != 1) {
		if (has(&g, KVM_CAP_X86_APIC_BUS_CYCLES_NS) <= 0)
			SKIP("not offered");
		MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
		enable(&g, KVM_CAP_X86_APIC_BUS_CYCLES_NS, ns);
		cpu = guest_add_cpu(&g);
		put_idt(cpu);
		load(&g);
	} else {
		cpu = start_with_chips(&g);
	}
	guest_call(cpu, AT(timer), 0xfee00000, 0xffffffff, 0, 0);
	expect_out(cpu, 0x10);
	t = clock_ns(CLOCK_MONOTONIC);
	usleep(200000);
	expect_out(cpu, 0x10);
	t = clock_ns(CLOCK_MONOTONIC) - t;
	ticks = 0xffffffff - (uint32_t)*guest_word(&g, 0);
	CHECK(ticks * ns > t * 7 / 10 && ticks * ns < t * 14 / 10, "%llu ticks in %llu ns",
	      (unsigned long long)ticks, (unsigned long long)t);
}

static void bus_cycles(void)
{
	time_bus(1);
	time_bus(100);
}

/* -------- KVM_RUN itself -------- */

static void block_irq(void)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
						  KVM_GUESTDBG_BLOCKIRQ };
	struct guest g = {};
	struct guest_cpu *cpu = start_with_chips(&g);
	struct kvm_lapic_state l;
	int i;

	if (!(has(&g, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ))
		SKIP("not offered");
	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &l));
	*(uint32_t *)(l.regs + 0xf0) = 0x1ff;
	*(uint32_t *)(l.regs + 0x220) = 1;	/* IRR: vector 0x40 */
	MUST(ioctl(cpu->fd, KVM_SET_LAPIC, &l));
	*guest_word(&g, 1) = 0;
	g.rflags = 0x200;
	guest_call(cpu, AT(nops), 0, 0, 0, 0);
	MUST(ioctl(cpu->fd, KVM_SET_GUEST_DEBUG, &dbg));
	for (i = 1; i <= 3; i++) {
		expect_exit(cpu, KVM_EXIT_DEBUG);
		CHECK_EQ(guest_regs(cpu).rip, GUEST_CODE_GPA + AT(nops) + i);
	}
	CHECK_EQ(*guest_word(&g, 1), 0);
	dbg.control = 0;
	MUST(ioctl(cpu->fd, KVM_SET_GUEST_DEBUG, &dbg));
	expect_out(cpu, 0x10);
	CHECK_EQ(*guest_word(&g, 1), 1);
}

/* The mask is in force during KVM_RUN only. */
static void signal_mask(void)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) m = { .head.len = 8 };
	struct sigaction sa = { .sa_handler = on_signal };
	struct guest g;
	struct guest_cpu *cpu = start(&g);
	sigset_t set;

	sigaction(SIGUSR2, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(raise(SIGUSR2));
	/* Blocked and pending: of no concern. */
	guest_exec(cpu, AT(halt), 0, 0, 0, 0);
	MUST(ioctl(cpu->fd, KVM_SET_SIGNAL_MASK, &m));
	guest_call(cpu, AT(spin), 0, 0, 0, 0);
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(cpu->run->exit_reason, KVM_EXIT_INTR);
	/* And it was not taken away. */
	MUST(sigpending(&set));
	CHECK_EQ(sigismember(&set, SIGUSR2), 1);
	MUST(sigprocmask(SIG_BLOCK, NULL, &set));
	CHECK_EQ(sigismember(&set, SIGUSR2), 1);
	MUST(ioctl(cpu->fd, KVM_SET_SIGNAL_MASK, NULL));
	guest_exec(cpu, AT(halt), 0, 0, 0, 0);
}

static const struct test tests[] = {
	{ "MSR filter", msr_filter },
	{ "MSR filter of 32-bit user space", msr_filter_32 },
	{ "MSR exits to user space", msr_exits },
	{ "feature MSRs", feature_msrs },
	{ "KVM_CAP_SYNC_REGS", sync_regs },
	{ "KVM_GET_SREGS2", sregs2 },
	{ "KVM_GET_XSAVE2", xsave2 },
	{ "exception payload", exception_payload },
	{ "triple fault event", triple_fault_event },
	{ "exit on emulation failure", emulation_failure },
	{ "disabled exits", disable_exits },
	{ "disabled quirks", disable_quirks },
	{ "KVM_CAP_MAX_VCPU_ID", max_vcpu_id },
	{ "as many vCPUs as promised", max_vcpus, 100 },
	{ "machine check", machine_check },
	{ "machine check that nobody takes", machine_check_off },
	{ "TSC frequency", tsc_khz },
	{ "TSC frequency of the VM", vm_tsc_khz },
	{ "TSC offset", tsc_offset },
	{ "KVM_SET_CLOCK", vm_clock },
	{ "KVM_KVMCLOCK_CTRL", clock_paused },
	{ "LAPIC bus frequency", bus_cycles },
	{ "single step without interrupts", block_irq },
	{ "KVM_SET_SIGNAL_MASK", signal_mask },
};

TEST_MAIN(tests)
