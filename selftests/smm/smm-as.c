// SPDX-License-Identifier: GPL-2.0-only
/* The second address space: what a vCPU in SMM sees, and what it does not. */
#include "smm.h"

#define PLAY_GPA	0x400000ul	/* two memories at one address */
#define HIDDEN_GPA	0x40000000ul	/* memory in SMM only */
#define MMIO_GPA	0x50000000ul	/* memory nowhere */
#define PLAY_SIZE	PAGE_2M
#define SLOT_PLAY	1
#define SLOT_HIDDEN	2

/*
 * Both report what is at RDI in RAX and then write RSI behind it. The code
 * does so again and again; the handler once per SMI.
 */
GUEST_CODE(as_body,
	".code64\n"
	"as_loop: mov (%rdi), %eax; mov %esi, 8(%rdi); out %al, $0x50; jmp as_loop\n");

GUEST_CODE(as_handler,
	".code16\n"
	"movl (%edi), %eax; movl %esi, 8(%edi); out %al, $0x51; rsm\n");

/* From (ESI) to (EDI) by the emulator, if one of them is no memory. */
GUEST_CODE(as_mover,
	".code16\n"
	"cld; addr32 movsl; out %al, $0x51; rsm\n");

struct as_guest {
	struct guest g;
	struct guest_cpu *cpu;
	uint32_t *in, *out;	/* SMM's memory at PLAY_GPA, and the other's */
	uint32_t *hidden;
};

static void as_create(struct as_guest *a)
{
	struct guest *g = &a->g;

	guest_create(g, 2 * PAGE_2M);
	guest_slot(g, AS1, 0, 0, g->size, g->mem);
	a->out = guest_alloc(PLAY_SIZE);
	a->in = guest_alloc(PLAY_SIZE);
	a->hidden = guest_alloc(PLAY_SIZE);
	guest_slot(g, SLOT_PLAY, 0, PLAY_GPA, PLAY_SIZE, a->out);
	guest_slot(g, AS1 | SLOT_PLAY, 0, PLAY_GPA, PLAY_SIZE, a->in);
	guest_slot(g, AS1 | SLOT_HIDDEN, 0, HIDDEN_GPA, PLAY_SIZE, a->hidden);
	guest_load_code(g, as_body);
	smm_load_code(g, SMBASE, as_handler);
	a->cpu = guest_add_cpu(g);
	guest_mode(a->cpu, GUEST_LONG);
}

static void as_start(struct as_guest *a, uint64_t gpa, uint32_t mark)
{
	guest_call(a->cpu, 0, gpa, mark, 0, 0);
}

/* What the code reads now, and what the handler does. */
static uint32_t read_outside(struct as_guest *a)
{
	smm_next(a->cpu, PORT_BEFORE);
	return guest_regs(a->cpu).rax;
}

static uint32_t read_inside(struct as_guest *a)
{
	smm_interrupt(a->cpu);
	smm_next(a->cpu, PORT_SMM);
	return guest_regs(a->cpu).rax;
}

static void two_memories(void)
{
	struct as_guest a;

	as_create(&a);
	a.out[0] = 0x1111;
	a.in[0] = 0x2222;
	as_start(&a, PLAY_GPA, 0x77);
	CHECK_EQ(read_outside(&a), 0x1111);
	CHECK_EQ(a.out[2], 0x77);
	CHECK_EQ(a.in[2], 0);
	a.out[2] = 0;
	CHECK_EQ(read_inside(&a), 0x2222);
	CHECK_EQ(a.in[2], 0x77);
	CHECK_EQ(a.out[2], 0);
	CHECK_EQ(read_outside(&a), 0x1111);
}

/* To and fro with translations of both in the TLB. */
static void many_changes(void)
{
	struct as_guest a;
	uint32_t i;

	as_create(&a);
	as_start(&a, PLAY_GPA, 1);
	for (i = 0; i < 100; i++) {
		a.out[0] = 2 * i;
		a.in[0] = 2 * i + 1;
		CHECK_EQ(read_outside(&a), 2 * i);
		CHECK_EQ(read_inside(&a), 2 * i + 1);
	}
}

static void hidden(void)
{
	struct kvm_run *run;
	struct as_guest a;

	as_create(&a);
	a.hidden[0] = 0x3333;
	as_start(&a, HIDDEN_GPA, 0x88);
	run = a.cpu->run;
	CHECK_EQ(guest_run(a.cpu), 0);
	guest_expect(a.cpu, KVM_EXIT_MMIO);
	CHECK_EQ(run->mmio.phys_addr, HIDDEN_GPA);
	CHECK_EQ(run->flags & KVM_RUN_X86_SMM, 0);
	memset(run->mmio.data, 0x44, 4);
	CHECK_EQ(guest_run(a.cpu), 0);
	guest_expect(a.cpu, KVM_EXIT_MMIO);
	CHECK_EQ(run->mmio.is_write, 1);
	CHECK_EQ(read_outside(&a), 0x44444444);
	CHECK_EQ(read_inside(&a), 0x3333);
	CHECK_EQ(a.hidden[2], 0x88);
	/* And gone again. */
	CHECK_EQ(guest_run(a.cpu), 0);
	guest_expect(a.cpu, KVM_EXIT_MMIO);
}

/* MMIO in SMM says so. */
static void mmio_in_smm(void)
{
	struct kvm_run *run;
	struct as_guest a;
	int i;

	as_create(&a);
	as_start(&a, PLAY_GPA, 0x99);
	read_outside(&a);
	guest_slot(&a.g, AS1 | SLOT_PLAY, 0, 0, 0, NULL);
	smm_interrupt(a.cpu);
	run = a.cpu->run;
	for (i = 0; i < 2; i++) {
		CHECK_EQ(guest_run(a.cpu), 0);
		guest_expect(a.cpu, KVM_EXIT_MMIO);
		CHECK_EQ(run->mmio.is_write, i);
		CHECK_EQ(run->mmio.phys_addr, PLAY_GPA + 8 * i);
		CHECK_EQ(run->flags & KVM_RUN_X86_SMM, KVM_RUN_X86_SMM);
		memset(run->mmio.data, 0x55, i ? 0 : 4);
	}
	smm_next(a.cpu, PORT_SMM);
	CHECK_EQ((uint32_t)guest_regs(a.cpu).rax, 0x55555555);
	a.out[0] = 0x1212;
	CHECK_EQ(read_outside(&a), 0x1212);
	/* Back in its place. */
	guest_slot(&a.g, AS1 | SLOT_PLAY, 0, PLAY_GPA, PLAY_SIZE, a.in);
	a.in[0] = 0x3434;
	CHECK_EQ(read_inside(&a), 0x3434);
}

/* An emulated instruction takes its operands from where the vCPU is. */
static void emulated(void)
{
	struct kvm_run *run;
	struct as_guest a;
	uint32_t val;

	as_create(&a);
	smm_load_code(&a.g, SMBASE, as_mover);
	a.out[0] = 0x5151;
	a.in[0] = 0x6161;
	as_start(&a, PLAY_GPA, 0);
	read_outside(&a);
	smm_interrupt(a.cpu);
	run = a.cpu->run;
	{
		struct kvm_regs r = guest_regs(a.cpu);

		r.rsi = PLAY_GPA;
		r.rdi = MMIO_GPA;
		MUST(ioctl(a.cpu->fd, KVM_SET_REGS, &r));
	}
	CHECK_EQ(guest_run(a.cpu), 0);
	guest_expect(a.cpu, KVM_EXIT_MMIO);
	CHECK_EQ(run->mmio.is_write, 1);
	CHECK_EQ(run->mmio.phys_addr, MMIO_GPA);
	memcpy(&val, run->mmio.data, 4);
	CHECK_EQ(val, 0x6161);
	smm_next(a.cpu, PORT_SMM);
}

/* The host takes pages away under both. */
static void notifier(void)
{
	struct as_guest a;
	int i;

	as_create(&a);
	as_start(&a, PLAY_GPA, 1);
	for (i = 1; i < 10; i++) {
		a.out[0] = i;
		a.in[0] = i << 8;
		CHECK_EQ(read_outside(&a), i);
		CHECK_EQ(read_inside(&a), i << 8);
		MUST(madvise(a.in, PLAY_SIZE, MADV_DONTNEED));
		CHECK_EQ(read_outside(&a), i);
		CHECK_EQ(read_inside(&a), 0);
		a.in[0] = i;
		CHECK_EQ(read_outside(&a), i);
		CHECK_EQ(read_inside(&a), i);
		MUST(madvise(a.out, PLAY_SIZE, MADV_DONTNEED));
		CHECK_EQ(read_outside(&a), 0);
	}
	MUST(munmap(a.in, PLAY_SIZE));
	smm_interrupt(a.cpu);
	CHECK_EQ(guest_run(a.cpu), -EFAULT);
}

/* -------- dirty logs -------- */

static uint64_t log_of(struct as_guest *a, uint32_t slot)
{
	static uint64_t bits[PLAY_SIZE / PAGE_4K / 64];
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };
	unsigned int i;

	memset(bits, 0xff, sizeof(bits));
	MUST(ioctl(a->g.fd, KVM_GET_DIRTY_LOG, &log));
	for (i = 1; i < sizeof(bits) / sizeof(bits[0]); i++)
		CHECK_EQ(bits[i], 0);
	return bits[0];
}

static void dirty_log(void)
{
	struct as_guest a;
	int i;

	as_create(&a);
	/* Mapped for writing before it is logged. */
	as_start(&a, PLAY_GPA + 3 * PAGE_4K, 1);
	read_outside(&a);
	read_inside(&a);
	guest_slot(&a.g, SLOT_PLAY, KVM_MEM_LOG_DIRTY_PAGES, PLAY_GPA, PLAY_SIZE, a.out);
	guest_slot(&a.g, AS1 | SLOT_PLAY, KVM_MEM_LOG_DIRTY_PAGES, PLAY_GPA, PLAY_SIZE, a.in);
	for (i = 0; i < 3; i++) {
		/* The handler's OUT is where it stands: what comes next is outside. */
		read_outside(&a);
		CHECK_EQ(log_of(&a, SLOT_PLAY), 1 << 3);
		CHECK_EQ(log_of(&a, AS1 | SLOT_PLAY), 0);
		read_inside(&a);
		CHECK_EQ(log_of(&a, SLOT_PLAY), 0);
		CHECK_EQ(log_of(&a, AS1 | SLOT_PLAY), 1 << 3);
		CHECK_EQ(log_of(&a, AS1 | SLOT_PLAY), 0);
	}
}

/* The save map is a write, too. */
static void map_logged(void)
{
	struct kvm_dirty_log log = { .slot = AS1 | SLOT_HIDDEN };
	uint64_t bits[PLAY_SIZE / PAGE_4K / 64];
	const uint64_t smbase = HIDDEN_GPA;
	struct as_guest a;

	as_create(&a);
	memcpy((char *)a.hidden + SMM_HANDLER, as_handler, as_handler_end - as_handler);
	guest_slot(&a.g, AS1 | SLOT_HIDDEN, KVM_MEM_LOG_DIRTY_PAGES, HIDDEN_GPA, PLAY_SIZE,
		   a.hidden);
	as_start(&a, PLAY_GPA, 1);
	read_outside(&a);
	CHECK_EQ(guest_set_msr(a.cpu, MSR_SMBASE, smbase), 1);
	read_inside(&a);
	log.dirty_bitmap = bits;
	MUST(ioctl(a.g.fd, KVM_GET_DIRTY_LOG, &log));
	/* KVM also counts what it maps for writing ahead of time: the handler's page. */
	CHECK_EQ(bits[0] & ~(1ull << 8), 1 << 0xf);
	CHECK_EQ(*(uint32_t *)((char *)a.hidden + 0xfefc), 0x20064);
	read_outside(&a);
}

/* KVM_TRANSLATE and prefaulting speak of where the vCPU is. */
static void prefault(void)
{
	struct kvm_pre_fault_memory range = { .gpa = HIDDEN_GPA, .size = PAGE_4K };
	struct as_guest a;

	as_create(&a);
	if (ioctl(a.g.fd, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) <= 0)
		SKIP("not offered");
	as_start(&a, PLAY_GPA, 1);
	read_outside(&a);
	CHECK_EQ(ioctl(a.cpu->fd, KVM_PRE_FAULT_MEMORY, &range), -1);
	CHECK_EQ(errno, ENOENT);
	read_inside(&a);
	CHECK_EQ(ioctl(a.cpu->fd, KVM_PRE_FAULT_MEMORY, &range), 0);
	CHECK_EQ(range.size, 0);
}

static const struct test tests[] = {
	{ "two memories at one address", two_memories },
	{ "many changes", many_changes },
	{ "memory in SMM only", hidden },
	{ "MMIO in SMM", mmio_in_smm },
	{ "emulated access", emulated },
	{ "MMU notifier", notifier },
	{ "dirty logs", dirty_log },
	{ "save map in the dirty log", map_logged },
	{ "prefault", prefault },
};

TEST_MAIN(tests)
