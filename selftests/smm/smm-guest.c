// SPDX-License-Identifier: GPL-2.0-only
/* SMIs into guests of all modes: what the handler finds, and what it returns to. */
#include "smm.h"

#define CR0_MODES	0x8000000dul	/* PG, TS, EM, PE */
#define CR0_ET		0x10

struct state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs dr;
};

static void get_state(struct guest_cpu *cpu, struct state *s)
{
	memset(s, 0, sizeof(*s));
	MUST(ioctl(cpu->fd, KVM_GET_REGS, &s->regs));
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s->sregs));
	MUST(ioctl(cpu->fd, KVM_GET_DEBUGREGS, &s->dr));
}

/* In the order of the encoding, as the maps have them. */
static void gprs(const struct kvm_regs *r, uint64_t val[16])
{
	const uint64_t list[16] = {
		r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
		r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
	};

	memcpy(val, list, sizeof(list));
}

/* Something recognizable in each register that the code does not need. */
static void set_registers(struct guest_cpu *cpu, enum guest_mode mode)
{
	const uint64_t unit = mode == GUEST_LONG ? 0x1111111111111111 : 0x11111111;
	struct kvm_debugregs dr = { .db = { 0x1000, 0x2000, 0x3000, 0x4000 },
				    .dr6 = 0xffff4ff0, .dr7 = 0x000f0400 };
	struct kvm_regs r = guest_regs(cpu);

	r.rax = 0xa5a5a500;
	r.rcx = 1 * unit;
	r.rdx = 2 * unit;
	r.rbx = 3 * unit;
	r.rbp = 4 * unit;
	r.rsi = 5 * unit;
	r.rdi = 6 * unit;
	r.r8 = 7 * unit;
	r.r9 = 8 * unit;
	r.r10 = 9 * unit;
	r.r11 = 10 * unit;
	r.r12 = 11 * unit;
	r.r13 = 12 * unit;
	r.r14 = 13 * unit;
	r.r15 = 14 * unit;
	r.rflags = 0x8d7;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	MUST(ioctl(cpu->fd, KVM_SET_DEBUGREGS, &dr));
}

static uint32_t seg_attr(const struct kvm_segment *s)
{
	return s->type | s->s << 4 | s->dpl << 5 | s->present << 7 | s->avl << 12 | s->l << 13 |
	       s->db << 14 | s->g << 15;
}

/* The segments of struct kvm_sregs in the order of the 64-bit map. */
static const struct kvm_segment *segment(const struct kvm_sregs *s, int i)
{
	const struct kvm_segment *list[] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs,
					     &s->ldt, &s->tr };

	return list[i];
}

static void check_map64(struct guest *g, const struct state *s)
{
	static const uint16_t at[] = { 0xfe00, 0xfe10, 0xfe20, 0xfe30, 0xfe40, 0xfe50,
				       0xfe70, 0xfe90 };
	uint64_t reg[16];
	int i;

	gprs(&s->regs, reg);
	for (i = 0; i < 16; i++)
		CHECK_EQ(smm_field(g, SMBASE, 0xfff8 - 8 * i, 8), reg[i]);
	CHECK_EQ(smm_field(g, SMBASE, 0xff78, 8), GUEST_CODE_GPA + 2);
	CHECK_EQ(smm_field(g, SMBASE, 0xff70, 8), s->regs.rflags);
	CHECK_EQ(smm_field(g, SMBASE, 0xff68, 8), s->dr.dr6);
	CHECK_EQ(smm_field(g, SMBASE, 0xff60, 8), s->dr.dr7);
	CHECK_EQ(smm_field(g, SMBASE, 0xff58, 8), s->sregs.cr0);
	CHECK_EQ(smm_field(g, SMBASE, 0xff50, 8), s->sregs.cr3);
	CHECK_EQ(smm_field(g, SMBASE, 0xff48, 8), s->sregs.cr4);
	CHECK_EQ(smm_field(g, SMBASE, 0xfed0, 8), s->sregs.efer);
	CHECK_EQ(smm_field(g, SMBASE, 0xff00, 4), SMBASE);
	CHECK_EQ(smm_field(g, SMBASE, 0xfefc, 4), 0x20064);
	CHECK_EQ(smm_field(g, SMBASE, 0xfec8, 2), 0);	/* no restarts */
	CHECK_EQ(smm_field(g, SMBASE, 0xfecb, 1), 0);
	CHECK_EQ(smm_field(g, SMBASE, 0xfe64, 4), s->sregs.gdt.limit);
	CHECK_EQ(smm_field(g, SMBASE, 0xfe68, 8), s->sregs.gdt.base);
	CHECK_EQ(smm_field(g, SMBASE, 0xfe84, 4), s->sregs.idt.limit);
	CHECK_EQ(smm_field(g, SMBASE, 0xfe88, 8), s->sregs.idt.base);
	for (i = 0; i < 8; i++) {
		const struct kvm_segment *seg = segment(&s->sregs, i);

		CHECK_EQ(smm_field(g, SMBASE, at[i], 2), seg->selector);
		CHECK_EQ(smm_field(g, SMBASE, at[i] + 2, 2), seg_attr(seg));
		CHECK_EQ(smm_field(g, SMBASE, at[i] + 4, 4), seg->limit);
		CHECK_EQ(smm_field(g, SMBASE, at[i] + 8, 8), seg->base);
	}
}

static void check_map32(struct guest *g, const struct state *s)
{
	static const struct {
		uint16_t at, selector;
	} row[] = {
		{ 0xff84, 0xffa8 }, { 0xff90, 0xffac }, { 0xff9c, 0xffb0 }, { 0xff2c, 0xffb4 },
		{ 0xff38, 0xffb8 }, { 0xff44, 0xffbc }, { 0xff78, 0xffc0 }, { 0xff5c, 0xffc4 },
	};
	uint64_t reg[16];
	int i;

	gprs(&s->regs, reg);
	for (i = 0; i < 8; i++)
		CHECK_EQ(smm_field(g, SMBASE, 0xffd0 + 4 * i, 4), (uint32_t)reg[i]);
	CHECK_EQ(smm_field(g, SMBASE, 0xfff0, 4), GUEST_CODE_GPA + 2);
	CHECK_EQ(smm_field(g, SMBASE, 0xfff4, 4), s->regs.rflags);
	CHECK_EQ(smm_field(g, SMBASE, 0xfff8, 4), s->sregs.cr3);
	CHECK_EQ(smm_field(g, SMBASE, 0xfffc, 4), s->sregs.cr0);
	CHECK_EQ(smm_field(g, SMBASE, 0xff14, 4), s->sregs.cr4);
	CHECK_EQ(smm_field(g, SMBASE, 0xffcc, 4), (uint32_t)s->dr.dr6);
	CHECK_EQ(smm_field(g, SMBASE, 0xffc8, 4), s->dr.dr7);
	CHECK_EQ(smm_field(g, SMBASE, 0xfef8, 4), SMBASE);
	CHECK_EQ(smm_field(g, SMBASE, 0xfefc, 4), 0x20000);
	CHECK_EQ(smm_field(g, SMBASE, 0xff54, 4), s->sregs.idt.limit);
	CHECK_EQ(smm_field(g, SMBASE, 0xff58, 4), s->sregs.idt.base);
	CHECK_EQ(smm_field(g, SMBASE, 0xff70, 4), s->sregs.gdt.limit);
	CHECK_EQ(smm_field(g, SMBASE, 0xff74, 4), s->sregs.gdt.base);
	for (i = 0; i < 8; i++) {
		const struct kvm_segment *seg = segment(&s->sregs, i);

		CHECK_EQ(smm_field(g, SMBASE, row[i].selector, 4), seg->selector);
		CHECK_EQ(smm_field(g, SMBASE, row[i].at, 4), seg_attr(seg) << 8);
		CHECK_EQ(smm_field(g, SMBASE, row[i].at + 4, 4), seg->limit);
		CHECK_EQ(smm_field(g, SMBASE, row[i].at + 8, 4), seg->base);
	}
}

static void check_in_smm(struct guest_cpu *cpu, const struct state *before)
{
	struct kvm_vcpu_events e = smm_events(cpu);
	struct state s;
	int i;

	get_state(cpu, &s);
	CHECK_EQ(s.regs.rflags, 2);
	CHECK(s.regs.rip == SMM_HANDLER || s.regs.rip == SMM_HANDLER + 2);
	CHECK_EQ(s.sregs.cr0, before->sregs.cr0 & ~CR0_MODES);
	CHECK_EQ(s.sregs.cr4, 0);
	CHECK_EQ(s.sregs.efer, 0);
	CHECK_EQ(s.sregs.idt.base, 0);
	CHECK_EQ(s.sregs.idt.limit, 0);
	CHECK_EQ(s.sregs.gdt.base, before->sregs.gdt.base);
	CHECK_EQ(s.dr.dr7, 0x400);
	CHECK_EQ(s.dr.dr6, before->dr.dr6);
	for (i = 0; i < 6; i++) {
		const struct kvm_segment *seg = segment(&s.sregs, i);

		CHECK_EQ(seg->base, i == 1 ? SMBASE : 0);
		CHECK_EQ(seg->selector, i == 1 ? SMBASE >> 4 : 0);
		CHECK_EQ(seg->limit, 0xffffffff);
		CHECK_EQ(seg_attr(seg), 0x8093);
	}
	CHECK_EQ(e.smi.smm, 1);
	CHECK_EQ(e.smi.pending, 0);
	CHECK_EQ(e.smi.smm_inside_nmi, 0);
	CHECK_EQ(e.nmi.masked, 1);
	CHECK_EQ(e.interrupt.shadow, 0);
	CHECK(e.flags & KVM_VCPUEVENT_VALID_SMM);
}

static void check_back(struct guest_cpu *cpu, const struct state *before)
{
	uint64_t want[16], have[16];
	struct state s;
	int i;

	get_state(cpu, &s);
	gprs(&before->regs, want);
	gprs(&s.regs, have);
	for (i = 0; i < 16; i++)
		CHECK_EQ(have[i], want[i]);
	CHECK_EQ(s.regs.rflags, before->regs.rflags);
	CHECK(!memcmp(&s.dr, &before->dr, sizeof(s.dr)));
	for (i = 0; i < 8; i++) {
		CHECK_EQ(segment(&s.sregs, i)->base, segment(&before->sregs, i)->base);
		CHECK_EQ(segment(&s.sregs, i)->limit, segment(&before->sregs, i)->limit);
		CHECK_EQ(segment(&s.sregs, i)->selector, segment(&before->sregs, i)->selector);
		CHECK_EQ(seg_attr(segment(&s.sregs, i)), seg_attr(segment(&before->sregs, i)));
	}
	/* ET is fixed, but KVM_SET_SREGS need not say so. */
	CHECK_EQ(s.sregs.cr0 | CR0_ET, before->sregs.cr0 | CR0_ET);
	CHECK_EQ(s.sregs.cr3, before->sregs.cr3);
	CHECK_EQ(s.sregs.cr4, before->sregs.cr4);
	CHECK_EQ(s.sregs.efer, before->sregs.efer);
	CHECK(!memcmp(&s.sregs.gdt, &before->sregs.gdt, sizeof(s.sregs.gdt)));
	CHECK(!memcmp(&s.sregs.idt, &before->sregs.idt, sizeof(s.sregs.idt)));
	CHECK_EQ(smm_events(cpu).smi.smm, 0);
	CHECK_EQ(smm_events(cpu).nmi.masked, 0);
}

/* Long mode is in the guest's CPUID or it is not: EDX of leaf 0x80000001. */
static void without_lm(struct guest_cpu *cpu)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	unsigned int i;

	CHECK(c);
	c->nent = 256;
	MUST(ioctl(cpu->guest->dev, KVM_GET_SUPPORTED_CPUID, c));
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x80000001)
			c->entries[i].edx &= ~(1u << 29);
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, c));
	free(c);
}

/*
 * QEMU's processor sets the accessed bit of PDPTEs, where it is reserved: RSM,
 * which loads them, would fail. (A real one loads them once, and sets nothing.)
 */
static void clean_pdptes(struct guest *g)
{
	uint64_t *pdpte = (uint64_t *)(g->mem + 0x3000);
	int i;

	for (i = 0; i < 4; i++)
		pdpte[i] &= ~0x1e6ull;
}

static void through_smm(enum guest_mode mode, bool lm)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, mode);
	struct state before;

	if (!lm)
		without_lm(cpu);
	set_registers(cpu, mode);
	smm_next(cpu, PORT_BEFORE);
	get_state(cpu, &before);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	if (lm)
		check_map64(&g, &before);
	else
		check_map32(&g, &before);
	check_in_smm(cpu, &before);
	if (mode == GUEST_PAE)
		clean_pdptes(&g);
	smm_next(cpu, PORT_AFTER);
	check_back(cpu, &before);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
}

static void from_real(void)
{
	through_smm(GUEST_REAL, true);
}

static void from_protected(void)
{
	through_smm(GUEST_PROTECTED, true);
}

static void from_pae(void)
{
	through_smm(GUEST_PAE, true);
}

static void from_long(void)
{
	through_smm(GUEST_LONG, true);
}

static void legacy_real(void)
{
	through_smm(GUEST_REAL, false);
}

static void legacy_protected(void)
{
	through_smm(GUEST_PROTECTED, false);
}

static void legacy_pae(void)
{
	through_smm(GUEST_PAE, false);
}

/* -------- SMBASE -------- */

GUEST_CODE(relocate64, ".code16\n" "movl $0x50000, %cs:0xff00; out %al, $0x51; rsm\n");
GUEST_CODE(relocate32, ".code16\n" "movl $0x50000, %cs:0xfef8; out %al, $0x51; rsm\n");

static void relocation(bool lm)
{
	const uint64_t smbase = 0x50000;
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_PROTECTED);
	struct kvm_sregs s;

	if (lm) {
		smm_load_code(&g, SMBASE, relocate64);
	} else {
		without_lm(cpu);
		smm_load_code(&g, SMBASE, relocate32);
	}
	smm_load_code(&g, smbase, smm_report);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMBASE), SMBASE);
	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMBASE), SMBASE);
	smm_next(cpu, PORT_AFTER);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMBASE), smbase);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	CHECK_EQ(s.cs.base, smbase);
	CHECK_EQ(smm_field(&g, smbase, lm ? 0xff00 : 0xfef8, 4), smbase);
	CHECK_EQ(smm_field(&g, smbase, lm ? 0xff78 : 0xfff0, 4), GUEST_CODE_GPA + 4);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMI_COUNT), 2);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
}

static void relocation64(void)
{
	relocation(true);
}

static void relocation32(void)
{
	relocation(false);
}

/* -------- what waits -------- */

GUEST_CODE(waiting,
	".code64\n"
	"wait_body: out %al, $0x50; out %al, $0x52; hlt; out %al, $0x53; hlt\n"
	"wait_nmi: out %al, $0x54; out %al, $0x55; iretq\n"
	"wait_irq: out %al, $0x57; iretq\n"
	"wait_rsm: rsm; hlt\n"
	"wait_ud: out %al, $0x58; hlt\n"
	"wait_loop: incq 0xf000; cmpq $0, 0xf008; je wait_loop; out %al, $0x52; hlt\n"
	"wait_ipi: out %al, $0x50; mov $0xfee00000, %edi; movl $0, 0x310(%rdi)\n"
	"	movl $0x4200, 0x300(%rdi); out %al, $0x52; hlt\n");

extern const char wait_nmi[], wait_irq[], wait_rsm[], wait_ud[], wait_loop[], wait_ipi[];

#define AT(name) ((unsigned long)(wait_##name - waiting))

static void load_waiting(struct guest_cpu *cpu)
{
	struct guest *g = cpu->guest;

	guest_load_code(g, waiting);
	smm_gate(g, 2, AT(nmi));
	smm_gate(g, 6, AT(ud));
	smm_gate(g, 0x30, AT(irq));
	guest_idt(cpu, IDT_GPA);
}

static void second_smi(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(smm_events(cpu).smi.pending, 0);
	smm_interrupt(cpu);
	smm_interrupt(cpu);
	CHECK_EQ(smm_events(cpu).smi.pending, 1);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(smm_events(cpu).smi.pending, 0);
	CHECK_EQ(smm_field(&g, SMBASE, 0xff78, 8), GUEST_CODE_GPA + 2);
	smm_next(cpu, PORT_AFTER);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMI_COUNT), 2);
}

static void nmi_in_smm(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	load_waiting(cpu);
	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	CHECK_EQ(smm_events(cpu).nmi.pending, 1);
	smm_next(cpu, PORT_NMI);
	CHECK_EQ(smm_events(cpu).nmi.masked, 1);
	smm_next(cpu, PORT_NMI_END);
	smm_next(cpu, PORT_AFTER);
	CHECK_EQ(smm_events(cpu).nmi.masked, 0);
}

static void smi_in_nmi(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	load_waiting(cpu);
	smm_next(cpu, PORT_BEFORE);
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	smm_next(cpu, PORT_NMI);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(smm_events(cpu).smi.smm_inside_nmi, 1);
	MUST(ioctl(cpu->fd, KVM_NMI, 0));
	smm_next(cpu, PORT_NMI_END);
	CHECK_EQ(smm_events(cpu).smi.smm_inside_nmi, 0);
	CHECK_EQ(smm_events(cpu).nmi.masked, 1);
	CHECK_EQ(smm_events(cpu).nmi.pending, 1);
	/* The handler's IRET lets the second one in. */
	smm_next(cpu, PORT_NMI);
	smm_next(cpu, PORT_NMI_END);
	smm_next(cpu, PORT_AFTER);
}

GUEST_CODE(rom, ".code16\n" "out %al, $0x56; hlt\n");
GUEST_CODE(report_twice, ".code16\n" "out %al, $0x51; out %al, $0x51; rsm\n");

static void init_in_smm(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_irq_guest(&g);
	uint8_t *page = guest_alloc(PAGE_2M);
	struct kvm_sregs s;

	smm_load_code(&g, SMBASE, report_twice);
	memcpy(page + 0xff0, rom, rom_end - rom);
	guest_slot(&g, 1, 0, ROM_GPA, PAGE_4K, page);
	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(smm_events(cpu).smi.latched_init, 0);
	CHECK(smm_message(&g, MESSAGE_INIT) > 0);
	CHECK_EQ(smm_events(cpu).smi.latched_init, 1);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(smm_events(cpu).smi.latched_init, 1);
	smm_next(cpu, PORT_ROM);
	CHECK_EQ(smm_events(cpu).smi.latched_init, 0);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	CHECK_EQ(s.cs.base, 0xffff0000);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMBASE), SMBASE);
}

static void interrupt_in_smm(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_irq_guest(&g);
	struct kvm_regs r;

	load_waiting(cpu);
	r = guest_regs(cpu);
	r.rflags |= 0x200;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	CHECK(smm_message(&g, 0x30) > 0);
	smm_next(cpu, PORT_IRQ);
	smm_next(cpu, PORT_AFTER);
}

/* The shadow of an STI outlives the SMI: one more instruction, then the interrupt. */
static void shadow(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_irq_guest(&g);
	struct kvm_vcpu_events e;
	struct kvm_regs r;

	load_waiting(cpu);
	r = guest_regs(cpu);
	r.rip += 2;		/* at the second OUT */
	r.rflags |= 0x200;
	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
	e = smm_events(cpu);
	e.flags = KVM_VCPUEVENT_VALID_SHADOW;
	e.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(smm_events(cpu).interrupt.shadow, 0);
	CHECK(smm_field(&g, SMBASE, 0xfecb, 1) & KVM_X86_SHADOW_INT_STI);
	CHECK(smm_message(&g, 0x30) > 0);
	smm_next(cpu, PORT_AFTER);
	smm_next(cpu, PORT_IRQ);
}

/* An exception on its way goes first, and its handler is what is interrupted. */
static void after_exception(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);
	struct kvm_vcpu_events e;

	load_waiting(cpu);
	smm_next(cpu, PORT_BEFORE);
	e = smm_events(cpu);
	e.exception.injected = 1;
	e.exception.nr = 6;
	e.smi.pending = 1;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(smm_field(&g, SMBASE, 0xff78, 8), GUEST_CODE_GPA + AT(ud));
	smm_next(cpu, PORT_UD);
}

/* -------- where SMIs come from -------- */

static void by_ipi(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_irq_guest(&g);

	load_waiting(cpu);
	guest_call(cpu, AT(ipi), 0, 0, 0, 0);
	smm_next(cpu, PORT_BEFORE);
	smm_next(cpu, PORT_SMM);
	smm_next(cpu, PORT_AFTER);
	CHECK_EQ(smm_message(&g, MESSAGE_SMI), 1);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMI_COUNT), 2);
}

static void wakes_hlt(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_irq_guest(&g);

	smm_next(cpu, PORT_BEFORE);
	smm_next(cpu, PORT_AFTER);
	smm_start(cpu);
	usleep(100000);
	CHECK_EQ(smm_message(&g, MESSAGE_SMI), 1);
	smm_join(cpu, PORT_SMM);
	smm_next(cpu, PORT_WOKEN);
}

static void into_running(void)
{
	struct guest g;
	struct guest_cpu *cpu;
	volatile uint64_t *word;
	int i;

	cpu = smm_irq_guest(&g);
	word = (volatile uint64_t *)(g.mem + DATA_GPA);
	load_waiting(cpu);
	/* Bochs interrupts no guest that runs without IF. */
	g.rflags = 0x200;
	guest_call(cpu, AT(loop), 0, 0, 0, 0);
	for (i = 1; i <= 5; i++) {
		uint64_t seen = *word;

		smm_start(cpu);
		while (*word == seen)
			usleep(1000);
		CHECK_EQ(smm_message(&g, MESSAGE_SMI), 1);
		smm_join(cpu, PORT_SMM);
		CHECK_EQ(guest_get_msr(cpu, MSR_SMI_COUNT), i);
	}
	word[1] = 1;
	smm_next(cpu, PORT_AFTER);
}

/* -------- user space sets the state -------- */

static void events_round_trip(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);
	struct kvm_vcpu_events e;

	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	CHECK_EQ(smm_events(cpu).smi.pending, 1);
	e = smm_events(cpu);
	CHECK_EQ(e.smi.smm, 0);
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	smm_next(cpu, PORT_SMM);
	e = smm_events(cpu);
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	e = smm_events(cpu);
	CHECK_EQ(e.smi.smm, 1);
	smm_next(cpu, PORT_AFTER);
	/* Without the flag nothing of it counts. */
	e.flags &= ~KVM_VCPUEVENT_VALID_SMM;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	CHECK_EQ(smm_events(cpu).smi.smm, 0);
}

/* What KVM has noted of an SMI, user space may drop. */
static void pending_dropped(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);
	struct kvm_vcpu_events e;

	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	e = smm_events(cpu);
	CHECK_EQ(e.smi.pending, 1);
	e.smi.pending = 0;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	smm_next(cpu, PORT_AFTER);
	e.smi.pending = 1;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	smm_next(cpu, PORT_SMM);
}

/* All of a vCPU in the middle of SMM goes to another VM, which finishes there. */
static void moved(void)
{
	struct guest a, b;
	struct guest_cpu *from = smm_guest(&a, GUEST_LONG), *to;
	struct kvm_vcpu_events e;
	struct state before, s;

	set_registers(from, GUEST_LONG);
	smm_next(from, PORT_BEFORE);
	get_state(from, &before);
	smm_interrupt(from);
	smm_next(from, PORT_SMM);
	/* The OUT is not over before the next KVM_RUN: api.rst. */
	from->run->immediate_exit = 1;
	CHECK_EQ(ioctl(from->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK(from->run->flags & KVM_RUN_X86_SMM);
	get_state(from, &s);
	e = smm_events(from);

	guest_open(&b);
	b.mem = a.mem;
	b.size = a.size;
	guest_slot(&b, 0, 0, 0, b.size, b.mem);
	guest_slot(&b, AS1, 0, 0, b.size, b.mem);
	to = guest_add_cpu(&b);
	CHECK_EQ(guest_set_msr(to, MSR_SMBASE, guest_get_msr(from, MSR_SMBASE)), 1);
	MUST(ioctl(to->fd, KVM_SET_SREGS, &s.sregs));
	MUST(ioctl(to->fd, KVM_SET_REGS, &s.regs));
	MUST(ioctl(to->fd, KVM_SET_DEBUGREGS, &s.dr));
	CHECK_EQ(smm_set_events(to, &e), 0);
	smm_next(to, PORT_AFTER);
	check_back(to, &before);
}

/* -------- RSM that fails -------- */

static void rsm_outside(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	load_waiting(cpu);
	guest_call(cpu, AT(rsm), 0, 0, 0, 0);
	smm_next(cpu, PORT_UD);
}

/* Other undefined instructions stay undefined in SMM: no IDT, so it is a shutdown. */
static void ud_in_smm(void)
{
	static const char ud[] = { 0x0f, 0x0b };
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	smm_load(&g, SMBASE, ud, ud + 2);
	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_SHUTDOWN);
}

static const struct bad_map {
	const char *what;
	uint16_t at;
	uint64_t bits;
} bad_maps[] = {
	{ "CR0.PG without PE", 0xff58, 1 },
	{ "CR0 beyond 32 bits", 0xff58, 1ull << 32 },
	{ "CR4.PAE off in long mode", 0xff48, 1 << 5 },
	{ "CR4 reserved", 0xff48, 1ull << 30 },
	{ "CR3 beyond the machine", 0xff50, 1ull << 62 },
	{ "EFER reserved", 0xfed0, 1ull << 2 },
	{ "DR6 beyond 32 bits", 0xff68, 1ull << 32 },
	{ "DR7 beyond 32 bits", 0xff60, 1ull << 32 },
};

static void bad_map(void)
{
	unsigned int i;

	for (i = 0; i < sizeof(bad_maps) / sizeof(bad_maps[0]); i++) {
		const struct bad_map *bad = &bad_maps[i];
		struct guest g;
		struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

		printf("# %s\n", bad->what);
		smm_next(cpu, PORT_BEFORE);
		smm_interrupt(cpu);
		smm_next(cpu, PORT_SMM);
		smm_poke(&g, SMBASE, bad->at, smm_field(&g, SMBASE, bad->at, 8) ^ bad->bits, 8);
		CHECK_EQ(guest_run(cpu), 0);
		guest_expect(cpu, KVM_EXIT_SHUTDOWN);
	}
}

static void no_map(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	CHECK_EQ(guest_set_msr(cpu, MSR_SMBASE, 0x70000000), 1);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_SHUTDOWN);
	CHECK_EQ(cpu->run->flags & KVM_RUN_X86_SMM, KVM_RUN_X86_SMM);
}

/* Where the state cannot be saved it is lost, and the VM with it. */
static void no_smram(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);
	struct kvm_regs r;

	smm_next(cpu, PORT_BEFORE);
	guest_slot(&g, AS1, 0, 0, 0, NULL);
	smm_interrupt(cpu);
	CHECK_EQ(guest_run(cpu), -EIO);
	CHECK_EQ(ioctl(cpu->fd, KVM_GET_REGS, &r), -1);
	CHECK_EQ(errno, EIO);
	CHECK_EQ(ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM), -1);
	CHECK_EQ(errno, EIO);
}

static const struct test tests[] = {
	{ "from real mode", from_real },
	{ "from protected mode", from_protected },
	{ "from PAE paging", from_pae },
	{ "from long mode", from_long },
	{ "legacy map, real mode", legacy_real },
	{ "legacy map, protected mode", legacy_protected },
	{ "legacy map, PAE paging", legacy_pae },
	{ "SMBASE relocated", relocation64 },
	{ "SMBASE relocated, legacy map", relocation32 },
	{ "SMI in SMM", second_smi },
	{ "NMI in SMM", nmi_in_smm },
	{ "SMI in an NMI's handler", smi_in_nmi },
	{ "INIT in SMM", init_in_smm },
	{ "interrupt in SMM", interrupt_in_smm },
	{ "interrupt shadow", shadow },
	{ "SMI behind an exception", after_exception },
	{ "SMI by IPI and MSI", by_ipi },
	{ "SMI wakes HLT", wakes_hlt },
	{ "SMI into a running guest", into_running },
	{ "events round trip", events_round_trip },
	{ "pending SMI dropped and set", pending_dropped },
	{ "moved to another VM", moved },
	{ "RSM outside SMM", rsm_outside },
	{ "UD2 in SMM", ud_in_smm },
	{ "RSM with a bad map", bad_map },
	{ "RSM without a map", no_map },
	{ "SMI without SMRAM", no_smram },
};

TEST_MAIN(tests)
