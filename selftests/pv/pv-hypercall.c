// SPDX-License-Identifier: GPL-2.0-only
/* Hypercalls, the instruction that makes them, and what of KVM's quirks is near them. */
#include "hypercall.h"

#ifndef KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS
#define KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS (1 << 6)
#endif

#define MISC_ENABLE		0x1a0
#define MISC_ENABLE_MWAIT	(1ull << 18)
#define PLATFORM_INFO		0xce

/* -------- numbers and widths -------- */

static void unknown(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	uint64_t before;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	before = guest_cpu_stat(cpu, "hypercalls");
	CHECK_EQ(call(cpu, 1234, 0, 0, 0, 0), -KVM_ENOSYS);
	CHECK_EQ(call(cpu, 0, 0, 0, 0, 0), -KVM_ENOSYS);
	CHECK_EQ(call(cpu, KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
	/* All of RAX is the number. */
	CHECK_EQ(call(cpu, 1ull << 32 | KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), -KVM_ENOSYS);
	CHECK_EQ(call(cpu, KVM_HC_MAP_GPA_RANGE, PAGE_2M, 1, 0, 0), -KVM_ENOSYS);
	CHECK_EQ(guest_cpu_stat(cpu, "hypercalls") - before, 5);
}

GUEST_CODE(narrow, ".code32\n vmcall; hlt\n");

/* A 32-bit guest's hypercall with 64-bit values in its registers. */
static struct kvm_regs narrow_regs(struct guest_cpu *cpu, uint64_t nr, uint64_t a, uint64_t b,
				   uint64_t c, uint64_t d)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	/* Out of long mode first, which guest_mode() does not do. */
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.efer = s.cr4 = s.cs.l = 0;
	s.cr0 &= ~(1ull << 31);
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_mode(cpu, GUEST_PROTECTED);
	guest_load_code(cpu->guest, narrow);
	cpu->guest->mem[GUEST_CODE_GPA + 2] = host_is_amd() ? 0xd9 : 0xc1;
	r = guest_regs(cpu);
	r.rax = nr;
	r.rbx = a;
	r.rcx = b;
	r.rdx = c;
	r.rsi = d;
	return r;
}

static uint64_t narrow_call(struct guest_cpu *cpu, uint64_t nr, uint64_t a, uint64_t b,
			    uint64_t c, uint64_t d)
{
	struct kvm_regs r = narrow_regs(cpu, nr, a, b, c, d);

	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	return guest_regs(cpu).rax;
}

/* Without irqchip: HLT leaves KVM_RUN. */
static struct guest_cpu *plain_guest(struct guest *g)
{
	guest_create(g, 4 * PAGE_2M);
	return guest_add_cpu(g);
}

static void narrow_registers(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	cpu = plain_guest(&g);
	CHECK_EQ(narrow_call(cpu, 1ull << 32 | KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), 0);
	CHECK_EQ(narrow_call(cpu, 1234, 0, 0, 0, 0), (uint32_t)-KVM_ENOSYS);
	/* No APIC is there to send to. */
	CHECK_EQ(narrow_call(cpu, KVM_HC_SEND_IPI, 1, 0, 0, 0x41), (uint32_t)-KVM_EOPNOTSUPP);
}

/* Page tables for everybody, and the vCPU at CPL 3. */
static void user_mode(struct guest_cpu *cpu)
{
	uint64_t *pml4 = (uint64_t *)(cpu->guest->mem + 0x2000);
	struct kvm_sregs s;

	pml4[0] |= 4;
	pml4[512] |= 4;
	pml4[1024] |= 4;
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cs.dpl = s.ss.dpl = s.ds.dpl = s.es.dpl = 3;
	s.cs.selector |= 3;
	s.ss.selector |= 3;
	s.ds.selector |= 3;
	s.es.selector |= 3;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	cpu->guest->rflags = 0x3000;	/* it may report */
}

static void from_user(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	user_mode(cpu);
	CHECK_EQ(call(cpu, KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0), -KVM_EPERM);
	CHECK_EQ(call(cpu, 1234, 0, 0, 0, 0), -KVM_EPERM);
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 1, 0, 0, 0x41), -KVM_EPERM);
}

/* -------- to user space -------- */

static void expect_hypercall(struct guest_cpu *cpu, uint64_t gpa, uint64_t pages, uint64_t attrs,
			     bool wide)
{
	struct kvm_run *run = cpu->run;

	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HYPERCALL);
	CHECK_EQ(run->hypercall.nr, KVM_HC_MAP_GPA_RANGE);
	CHECK_EQ(run->hypercall.args[0], gpa);
	CHECK_EQ(run->hypercall.args[1], pages);
	CHECK_EQ(run->hypercall.args[2], attrs);
	CHECK_EQ(run->hypercall.longmode, wide);
}

static void map_gpa_range(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	uint64_t before;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	CHECK_EQ(has_cap(&g, KVM_CAP_EXIT_HYPERCALL), 1 << KVM_HC_MAP_GPA_RANGE);
	CHECK_EQ(try_enable(&g, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_SEND_IPI), -EINVAL);
	CHECK_EQ(try_enable(&g, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE), 0);
	before = guest_cpu_stat(cpu, "hypercalls");

	set_call(&g, KVM_HC_MAP_GPA_RANGE, PAGE_2M, 3, 0x13, 0);
	irq_start(cpu, hypercall_guest);
	expect_hypercall(cpu, PAGE_2M, 3, 0x13, true);
	cpu->run->hypercall.ret = 0x1122334455667788;
	CHECK_EQ(irq_next(cpu), 1);
	CHECK_EQ(hc(&g)->ret, 0x1122334455667788);
	CHECK_EQ(guest_cpu_stat(cpu, "hypercalls") - before, 1);

	CHECK_EQ(call(cpu, KVM_HC_MAP_GPA_RANGE, PAGE_2M + 1, 3, 0, 0), -KVM_EINVAL);
	CHECK_EQ(call(cpu, KVM_HC_MAP_GPA_RANGE, PAGE_2M, 0, 0, 0), -KVM_EINVAL);
	CHECK_EQ(call(cpu, KVM_HC_MAP_GPA_RANGE, PAGE_2M, ~0ull, 0, 0), -KVM_EINVAL);
	CHECK_EQ(try_enable(&g, KVM_CAP_EXIT_HYPERCALL, 0), 0);
	CHECK_EQ(call(cpu, KVM_HC_MAP_GPA_RANGE, PAGE_2M, 3, 0, 0), -KVM_ENOSYS);
}

static void map_gpa_range_narrow(void)
{
	struct guest_cpu *cpu;
	struct kvm_regs r;
	struct guest g;

	cpu = plain_guest(&g);
	CHECK_EQ(try_enable(&g, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE), 0);
	r = narrow_regs(cpu, KVM_HC_MAP_GPA_RANGE, 1ull << 40 | PAGE_2M, 1ull << 40 | 3, 0x13, 0);
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	expect_hypercall(cpu, PAGE_2M, 3, 0x13, false);
	cpu->run->hypercall.ret = 0x1122334455667788;
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(cpu).rax, 0x55667788);
}

/* -------- IPIs -------- */

static bool requested(struct guest_cpu *cpu, int vector)
{
	struct kvm_lapic_state s;

	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &s));
	return lapic_bit(&s, 0x200, vector);
}

#define FAR_ID	65

/* vCPUs 0, 1, 2 and FAR_ID, whose index is 3. */
static void ipi_guest(struct guest *g)
{
	struct guest_cpu *far = &g->cpu[3];
	int i;

	pv_guest(g, 3);
	far->guest = g;
	far->id = 3;
	far->fd = MUST(ioctl(g->fd, KVM_CREATE_VCPU, FAR_ID));
	guest_cpuid(far);
	for (i = 0; i < 4; i++)
		enable_lapic(&g->cpu[i]);
}

static void send_ipi_wide(void)
{
	struct kvm_vcpu_events e;
	struct guest_cpu *cpu;
	struct guest g;

	ipi_guest(&g);
	cpu = &g.cpu[0];
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 6, 0, 0, 0x41), 2);
	CHECK(!requested(&g.cpu[0], 0x41) && requested(&g.cpu[1], 0x41) &&
	      requested(&g.cpu[2], 0x41) && !requested(&g.cpu[3], 0x41));
	/* Who is not there, is not counted. */
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 0xff8, 0, 0, 0x42), 0);
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 0xffc, 0, 0, 0x42), 1);
	CHECK(requested(&g.cpu[2], 0x42) && !requested(&g.cpu[1], 0x42));
	/* The least id, and the second word. */
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 1, 2, 1, 0x43), 1);
	CHECK(requested(&g.cpu[1], 0x43) && !requested(&g.cpu[3], 0x43));
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 2, 2, 0, 0x44), 2);
	CHECK(requested(&g.cpu[1], 0x44) && requested(&g.cpu[3], 0x44));
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 1, 0, FAR_ID, 0x45), 1);
	CHECK(requested(&g.cpu[3], 0x45));
	/* Another mode: NMI. */
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 2, 0, 0, 0x400), 1);
	MUST(ioctl(g.cpu[1].fd, KVM_GET_VCPU_EVENTS, &e));
	CHECK_EQ(e.nmi.pending, 1);
	/* Destinations in ICR; a level that goes. */
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 2, 0, 0, 0x800 | 0x46), -KVM_EINVAL);
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 2, 0, 0, 0x40000 | 0x46), -KVM_EINVAL);
	CHECK_EQ(call(cpu, KVM_HC_SEND_IPI, 2, 0, 0, 0x8000 | 0x46), 0);
	CHECK(!requested(&g.cpu[1], 0x46));
}

GUEST_CODE(narrow_ipi, ".code32\n vmcall; out %eax, $0x10; hlt\n");

static uint32_t narrow_ipi_call(struct guest_cpu *cpu, uint64_t a, uint64_t b, uint64_t c,
				uint64_t d)
{
	struct kvm_regs r = narrow_regs(cpu, KVM_HC_SEND_IPI, a, b, c, d);

	guest_load_code(cpu->guest, narrow_ipi);
	cpu->guest->mem[GUEST_CODE_GPA + 2] = host_is_amd() ? 0xd9 : 0xc1;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	return any_report(cpu);
}

/* Words of 32 bits: the second one begins at the least id and 32. */
static void send_ipi_narrow(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	ipi_guest(&g);
	cpu = &g.cpu[0];
	CHECK_EQ(narrow_ipi_call(cpu, 1ull << 33 | 6, 1ull << 40, 0, 0x51), 2);
	CHECK(requested(&g.cpu[1], 0x51) && requested(&g.cpu[2], 0x51) &&
	      !requested(&g.cpu[3], 0x51));
	CHECK_EQ(narrow_ipi_call(cpu, 0, 2, 32, 0x52), 1);
	CHECK(requested(&g.cpu[3], 0x52));
	CHECK_EQ(narrow_ipi_call(cpu, 2, 0, 0, 0x853), (uint32_t)-KVM_EINVAL);
}

/* -------- kicks -------- */

GUEST void sleeper_guest(void)
{
	cli_();
	HC->flag[0] = 1;
	asm volatile("hlt" : : : "memory");
	report(2);
	asm volatile("hlt" : : : "memory");
	report(3);
}

/* HLT with interrupts off, as a lock's waiter does it. */
static void kick(void)
{
	struct irq_thread t;
	struct guest g;

	pv_guest(&g, 2);
	enable_lapic(&g.cpu[1]);
	irq_start(&g.cpu[1], sleeper_guest);
	irq_thread(&t, &g.cpu[1]);
	wait_for(&hc(&g)->flag[0]);
	sleep_ms(50);
	CHECK_EQ(pthread_tryjoin_np(t.thread, NULL), EBUSY);
	CHECK_EQ(call(&g.cpu[0], KVM_HC_KICK_CPU, 0, 1, 0, 0), 0);
	CHECK_EQ(irq_join(&t), 2);
	/* It was for one HLT only. */
	signal_in(150);
	CHECK_EQ(ioctl(g.cpu[1].fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(mp_state(&g.cpu[1]), KVM_MP_STATE_HALTED);
	CHECK_EQ(call(&g.cpu[0], KVM_HC_KICK_CPU, 0, 1, 0, 0), 0);
	CHECK_EQ(mp_state(&g.cpu[1]), KVM_MP_STATE_RUNNABLE);
	CHECK_EQ(irq_next(&g.cpu[1]), 3);
}

/* The kick that comes before the HLT is not lost; nor does it reach others. */
static void kick_early(void)
{
	struct guest g;

	pv_guest(&g, 3);
	enable_lapic(&g.cpu[1]);
	enable_lapic(&g.cpu[2]);
	irq_start(&g.cpu[1], sleeper_guest);
	CHECK_EQ(call(&g.cpu[0], KVM_HC_KICK_CPU, 0, 2, 0, 0), 0);
	signal_in(150);
	CHECK_EQ(ioctl(g.cpu[1].fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(mp_state(&g.cpu[1]), KVM_MP_STATE_HALTED);
	irq_start(&g.cpu[2], sleeper_guest);
	CHECK_EQ(irq_next(&g.cpu[2]), 2);
	/* Nobody there: no harm. */
	CHECK_EQ(call(&g.cpu[0], KVM_HC_KICK_CPU, 0, 77, 0, 0), 0);
}

/* HLT that does not exit cannot be kicked, and CPUID says so. */
static void kick_without_exits(void)
{
	uint32_t buf[2 + 256 * 10];
	struct kvm_cpuid2 *c = (struct kvm_cpuid2 *)buf;
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i;

	guest_create(&g, 4 * PAGE_2M);
	CHECK(guest_cpuid_reg(&g, KVM_CPUID_FEATURES, 0, 0) & 1 << KVM_FEATURE_PV_UNHALT);
	if (try_enable(&g, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT))
		SKIP("HLT always exits");
	cpu = guest_add_cpu(&g);
	c->nent = 256;
	MUST(ioctl(cpu->fd, KVM_GET_CPUID2, c));
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == KVM_CPUID_FEATURES)
			CHECK(!(c->entries[i].eax & 1 << KVM_FEATURE_PV_UNHALT));
}

/* -------- clock pairing -------- */

static bool tsc_clocksource(void)
{
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");
	char name[32] = "";

	CHECK(f && fgets(name, sizeof(name), f));
	fclose(f);
	printf("# clocksource %s", name);
	return !strcmp(name, "tsc\n");
}

GUEST void pairing_guest(void)
{
	HC->flag[0] = rdtsc_();
	HC->ret = hypercall_(KVM_HC_CLOCK_PAIRING, HC->arg[0], HC->arg[1], 0, 0);
	HC->flag[1] = rdtsc_();
	report(1);
}

static void clock_pairing(void)
{
	struct kvm_clock_pairing *p;
	struct guest_cpu *cpu;
	struct timespec before, after;
	struct guest g;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	p = (struct kvm_clock_pairing *)(g.mem + PAGE_2M);
	memset(p, 0xff, sizeof(*p));
	set_call(&g, 0, PAGE_2M, KVM_CLOCK_PAIRING_WALLCLOCK, 0, 0);
	clock_gettime(CLOCK_REALTIME, &before);
	CHECK_EQ(irq_exec(cpu, pairing_guest), 1);
	clock_gettime(CLOCK_REALTIME, &after);
	if (!tsc_clocksource()) {
		CHECK_EQ(hc(&g)->ret, -KVM_EOPNOTSUPP);
		CHECK_EQ(p->sec, -1);
		return;
	}
	CHECK_EQ(hc(&g)->ret, 0);
	CHECK(p->sec >= before.tv_sec && p->sec <= after.tv_sec);
	CHECK(p->nsec >= 0 && p->nsec < 1000000000);
	CHECK(p->tsc >= hc(&g)->flag[0] && p->tsc <= hc(&g)->flag[1]);
	CHECK_EQ(p->flags, 0);
	CHECK_EQ(p->pad[8], 0);
	CHECK_EQ(call(cpu, KVM_HC_CLOCK_PAIRING, PAGE_2M, 1, 0, 0), -KVM_EOPNOTSUPP);
	CHECK_EQ(call(cpu, KVM_HC_CLOCK_PAIRING, 0xd0000000, 0, 0, 0), -KVM_EFAULT);
}

/* -------- the other vendor's instruction -------- */

GUEST void foreign_guest(void)
{
	uint64_t ret;

	/* At a place of its own each: the test looks for them. */
	if (HC->amd)
		asm volatile("foreign_vmcall: vmcall" : "=a"(ret) : "a"(KVM_HC_VAPIC_POLL_IRQ)
			     : "memory");
	else
		asm volatile("foreign_vmmcall: vmmcall" : "=a"(ret) : "a"(KVM_HC_VAPIC_POLL_IRQ)
			     : "memory");
	report(ret ? 2 : 1);
}

extern const char foreign_vmcall[], foreign_vmmcall[];

static uint8_t *foreign_insn(struct guest *g)
{
	const char *at = host_is_amd() ? foreign_vmcall : foreign_vmmcall;

	return g->mem + GUEST_CODE_GPA + (at - __start_guest);
}

static void foreign(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	uint8_t theirs = host_is_amd() ? 0xc1 : 0xd9, ours = host_is_amd() ? 0xd9 : 0xc1;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	CHECK(has_cap(&g, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
	CHECK_EQ(foreign_insn(&g)[2], theirs);
	CHECK_EQ(irq_exec(cpu, foreign_guest), 1);
	CHECK_EQ(foreign_insn(&g)[2], ours);

	/* Without the quirk it is what the CPU says: an instruction that does not exist. */
	CHECK_EQ(try_enable(&g, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN), 0);
	CHECK_EQ(irq_exec(cpu, foreign_guest), 1);
	foreign_insn(&g)[2] = theirs;
	irq_start(cpu, foreign_guest);
	CHECK_EQ(any_report(cpu), EXCEPTION(6));
	CHECK_EQ(foreign_insn(&g)[2], theirs);
}

/* The patch is the guest's own write. */
static void foreign_read_only(void)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	struct guest_cpu *cpu;
	struct guest g;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	map_read_only(cpu);
	irq_start(cpu, foreign_guest);
	r = guest_regs(cpu);
	r.rip += RO_ALIAS;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	CHECK_EQ(any_report(cpu), EXCEPTION(14));
	CHECK_EQ(foreign_insn(&g)[2], host_is_amd() ? 0xc1 : 0xd9);
	/* The AMD-V of Bochs takes no CR2 from the VMCB, under stock kvm_amd just the same. */
	if (host_is_amd() && !host_is_tcg())
		return;
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	CHECK_EQ(s.cr2, RO_ALIAS + (foreign_insn(&g) - g.mem));
}

/* Other invalid instructions are not touched. */
GUEST void invalid_guest(void)
{
	asm volatile("ud2");
}

static void invalid(void)
{
	struct guest g;

	pv_guest(&g, 1);
	irq_start(&g.cpu[0], invalid_guest);
	CHECK_EQ(any_report(&g.cpu[0]), EXCEPTION(6));
}

/* VMCALL is for CPL 0; on Intel the other one is patched by whoever may write. */
static void foreign_from_user(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	uint64_t *tss, *gdt;
	struct kvm_sregs s;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	user_mode(cpu);
	/* A task, for the stack of its handlers; their code segment is that of CPL 0. */
	tss = (uint64_t *)(g.mem + 0xf000);
	gdt = (uint64_t *)(g.mem + 0x1000);
	memset(tss, 0, 0x68);
	*(uint64_t *)((char *)tss + 4) = 0xf800;
	gdt[3] = 0x00008b00f0000067;
	gdt[4] = 0;
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.gdt.limit = 5 * 8 - 1;
	s.tr.base = 0xf000;
	s.tr.limit = 0x67;
	s.tr.selector = 0x18;
	s.tr.type = 11;
	s.tr.s = 0;
	s.tr.present = 1;
	s.tr.unusable = 0;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	irq_start(cpu, foreign_guest);
	CHECK_EQ(any_report(cpu), host_is_amd() ? EXCEPTION(13) : 2);
}

/* -------- other quirks -------- */

GUEST void out_7e_guest(void)
{
	outb_(0x7e, 0x55);
	report(7);
}

static void out_7e_one(bool quirk)
{
	struct guest_cpu *cpu;
	struct guest g;
	uint8_t *insn;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	CHECK(has_cap(&g, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_OUT_7E_INC_RIP);
	if (!quirk)
		CHECK_EQ(try_enable(&g, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_OUT_7E_INC_RIP), 0);
	irq_start(cpu, out_7e_guest);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(cpu->run->io.port, 0x7e);
	insn = g.mem + guest_regs(cpu).rip;
	if (quirk)
		CHECK(insn[-2] == 0xe6 && insn[-1] == 0x7e);
	else
		CHECK(insn[0] == 0xe6 && insn[1] == 0x7e);
	CHECK_EQ(irq_next(cpu), 7);
}

static void out_7e(void)
{
	out_7e_one(true);
	out_7e_one(false);
}

/* ECX of leaf 1 as the vCPU has it. */
static uint32_t leaf1_ecx(struct guest_cpu *cpu, uint32_t set)
{
	uint32_t buf[2 + 256 * 10], ecx = 0;
	struct kvm_cpuid2 *c = (struct kvm_cpuid2 *)buf;
	unsigned int i;

	c->nent = 256;
	MUST(ioctl(cpu->fd, KVM_GET_CPUID2, c));
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1)
			ecx = c->entries[i].ecx |= set;
	if (set)
		MUST(ioctl(cpu->fd, KVM_SET_CPUID2, c));
	return ecx;
}

#define CPUID_MWAIT	(1u << 3)

static void misc_enable(void)
{
	uint64_t old;
	struct guest g;

	pv_guest(&g, 2);
	CHECK(has_cap(&g, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT);
	old = guest_get_msr(&g.cpu[0], MISC_ENABLE);
	CHECK_EQ(guest_set_msr(&g.cpu[0], MISC_ENABLE, old ^ MISC_ENABLE_MWAIT), 1);
	CHECK(!(leaf1_ecx(&g.cpu[0], 0) & CPUID_MWAIT));
	CHECK_EQ(guest_set_msr(&g.cpu[0], MISC_ENABLE, old), 1);
	CHECK_EQ(try_enable(&g, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT), 0);
	CHECK_EQ(guest_set_msr(&g.cpu[1], MISC_ENABLE, old | MISC_ENABLE_MWAIT), 1);
	CHECK(leaf1_ecx(&g.cpu[1], 0) & CPUID_MWAIT);
	CHECK_EQ(guest_set_msr(&g.cpu[1], MISC_ENABLE, old & ~MISC_ENABLE_MWAIT), 1);
	CHECK(!(leaf1_ecx(&g.cpu[1], 0) & CPUID_MWAIT));
}

GUEST void mwait_guest(void)
{
	asm volatile("monitor" : : "a"(HC_GPA), "c"(0), "d"(0));
	asm volatile("mwait" : : "a"(0), "c"(0));
	report(5);
}

static uint32_t mwait_once(uint64_t quirks, bool cpuid, bool msr)
{
	struct guest_cpu *cpu;
	struct guest g;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	CHECK_EQ(try_enable(&g, KVM_CAP_DISABLE_QUIRKS2, quirks), 0);
	if (msr)
		CHECK_EQ(guest_set_msr(cpu, MISC_ENABLE,
				       guest_get_msr(cpu, MISC_ENABLE) | MISC_ENABLE_MWAIT), 1);
	if (cpuid)
		leaf1_ecx(cpu, CPUID_MWAIT);
	irq_start(cpu, mwait_guest);
	return any_report(cpu);
}

static void mwait(void)
{
	const uint64_t ud = KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS;
	const uint64_t no = KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT;
	unsigned int eax, ebx, ecx = 0, edx;

	__get_cpuid(1, &eax, &ebx, &ecx, &edx);
	if (!(ecx & CPUID_MWAIT))
		SKIP("no MWAIT on this CPU");
	CHECK_EQ(mwait_once(0, false, false), 5);
	CHECK_EQ(mwait_once(ud, false, false), EXCEPTION(6));
	CHECK_EQ(mwait_once(ud, true, false), 5);
	CHECK_EQ(mwait_once(ud, false, true), EXCEPTION(6));
	CHECK_EQ(mwait_once(ud | no, false, true), 5);
	CHECK_EQ(mwait_once(ud | no, false, false), EXCEPTION(6));
}

static void cd_nw(void)
{
	struct guest g;

	guest_open(&g);
	CHECK(has_cap(&g, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_CD_NW_CLEARED);
	CHECK_EQ(try_enable(&g, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_CD_NW_CLEARED), 0);
}

/* Out of the guest and back. */
GUEST_INLINE void exit_(void)
{
	uint32_t eax = 0, ecx = 0;

	asm volatile("cpuid" : "+a"(eax), "+c"(ecx) : : "rbx", "rdx");
}

/* CR0.CD is the guest's, whoever has the caches. */
GUEST void cache_disable_guest(void)
{
	uint64_t cr0;

	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	HC->flag[0] = cr0;
	asm volatile("mov %0, %%cr0" : : "r"(cr0 | 3u << 29) : "memory");
	exit_();
	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	HC->flag[1] = cr0;
	asm volatile("mov %0, %%cr0" : : "r"(cr0 & ~(3ull << 29)) : "memory");
	asm volatile("mov %%cr0, %0" : "=r"(cr0));
	HC->flag[2] = cr0;
	report(1);
}

static void cache_disable(void)
{
	struct guest g;
	int i;

	for (i = 0; i < 2; i++) {
		pv_guest(&g, 1);
		if (i)
			CHECK_EQ(try_enable(&g, KVM_CAP_DISABLE_QUIRKS2,
					    KVM_X86_QUIRK_CD_NW_CLEARED), 0);
		CHECK_EQ(irq_exec(&g.cpu[0], cache_disable_guest), 1);
		CHECK_EQ(hc(&g)->flag[0] & 3u << 29, 0);
		CHECK_EQ(hc(&g)->flag[1] & 3u << 29, 3u << 29);
		CHECK_EQ(hc(&g)->flag[2] & 3u << 29, 0);
	}
}

/* -------- MSR_PLATFORM_INFO -------- */

GUEST void platform_guest(void)
{
	HC->ret = rdmsr_(PLATFORM_INFO);
	report(1);
}

static void platform_info(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	CHECK_EQ(has_cap(&g, KVM_CAP_MSR_PLATFORM_INFO), 1);
	CHECK_EQ(irq_exec(cpu, platform_guest), 1);
	CHECK_EQ(hc(&g)->ret, guest_get_msr(cpu, PLATFORM_INFO));
	CHECK_EQ(try_enable(&g, KVM_CAP_MSR_PLATFORM_INFO, 0), 0);
	irq_start(cpu, platform_guest);
	CHECK_EQ(any_report(cpu), EXCEPTION(13));
	/* User space reads it all the same. */
	CHECK_EQ(hc(&g)->ret, guest_get_msr(cpu, PLATFORM_INFO));
	CHECK_EQ(try_enable(&g, KVM_CAP_MSR_PLATFORM_INFO, 1), 0);
	CHECK_EQ(irq_exec(cpu, platform_guest), 1);
}

static const struct test tests[] = {
	{ "numbers", unknown },
	{ "32-bit registers", narrow_registers },
	{ "from user mode", from_user },
	{ "KVM_HC_MAP_GPA_RANGE", map_gpa_range },
	{ "KVM_HC_MAP_GPA_RANGE with 32 bits", map_gpa_range_narrow },
	{ "KVM_HC_SEND_IPI", send_ipi_wide },
	{ "KVM_HC_SEND_IPI with 32 bits", send_ipi_narrow },
	{ "KVM_HC_KICK_CPU", kick },
	{ "KVM_HC_KICK_CPU before HLT", kick_early },
	{ "no KVM_HC_KICK_CPU without HLT exits", kick_without_exits },
	{ "KVM_HC_CLOCK_PAIRING", clock_pairing },
	{ "the other vendor's instruction", foreign },
	{ "the other vendor's instruction in a page that is read-only", foreign_read_only },
	{ "the other vendor's instruction in user mode", foreign_from_user },
	{ "other invalid instructions", invalid },
	{ "OUT to port 0x7e", out_7e },
	{ "MISC_ENABLE and CPUID", misc_enable },
	{ "MWAIT", mwait },
	{ "KVM_X86_QUIRK_CD_NW_CLEARED", cd_nw },
	{ "CR0.CD", cache_disable },
	{ "KVM_CAP_MSR_PLATFORM_INFO", platform_info },
};

TEST_MAIN(tests)
