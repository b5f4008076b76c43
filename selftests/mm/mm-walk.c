// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's own page tables, walked by the processor and by the hypervisor.
 *
 * Each case makes one access to one page with a string move. Its other operand
 * is first RAM, then MMIO: the second time the instruction is emulated, and
 * the hypervisor must find the same page, raise the same fault and set the same
 * A and D bits as the hardware did.
 */
#include "../lib/guest.h"

#define MB	(1ul << 20)

#define P	0x001ull
#define W	0x002ull
#define U	0x004ull
#define A	0x020ull
#define D	0x040ull
#define PS	0x080ull
#define NX	(1ull << 63)

#define CR0_WP	(1u << 16)
#define CR0_PG	(1u << 31)
#define CR4_PSE	(1u << 4)
#define CR4_PAE	(1u << 5)
#define CR4_LA57 (1u << 12)
#define CR4_SMEP (1u << 20)
#define CR4_SMAP (1u << 21)
#define EFLAGS_AC (1u << 18)
#define EFER_NX	(1u << 11)

/* Guest-physical layout above the library's. */
#define USER_CODE	0x200000ul	/* a 2M page for CPL 3 */
#define IDT		0x10000ul
#define STUBS		0x11000ul
#define TSS		0x12000ul
#define GDT		0x13000ul
#define T4		0x20000ul	/* our tables, one page for each level */
#define T3		0x21000ul
#define T2LOW		0x22000ul	/* 0-1G */
#define T2		0x23000ul	/* 1-2G, holds the page in question */
#define T2HIGH		0x24000ul	/* 3-4G: MMIO */
#define T1		0x25000ul
#define PAGE		0x600000ul	/* what VA maps */
#define OTHER		0x700000ul	/* the other operand in RAM */
#define VA		0x40003000ul
#define MMIO		0xc0000000ul
#define HIGH_GPA	(1ull << 32)	/* a slot above 4G, for PSE-36 */

enum { OK = -1 };

struct walk_case {
	const char *name;
	uint64_t entry;		/* the last-level entry of VA, without its address */
	uint64_t upper;		/* bits set in the entry above it */
	int level;		/* of the leaf: 1 4K, 2 2M or 4M, 3 1G */
	bool write, user, ac, no_wp, no_nx;
	uint32_t cr4;
	int error;		/* of #PF, or OK */
	uint64_t address;	/* of the page, if not PAGE */
};

/* rdi, rsi are set up; movsq or movsd, then HLT (in user mode #GP ends it). */
static const uint8_t prog64[] = { 0x48, 0xa5, 0xf4 };
static const uint8_t prog32[] = { 0xa5, 0xf4 };
/* pop dx = vector; pop cx = error code; bx = CR2; hlt. The same in both modes. */
static const uint8_t common[] = { 0x5a, 0x59, 0x0f, 0x20, 0xd3, 0xf4 };

static struct guest g;
static struct guest_cpu *cpu;
static enum guest_mode mode;

static uint64_t *q(uint64_t gpa)
{
	return (uint64_t *)(g.mem + gpa);
}

static uint32_t *d(uint64_t gpa)
{
	return (uint32_t *)(g.mem + gpa);
}

/* Vectors with error codes go to "push vector; jmp common". */
static void write_idt(void)
{
	static const uint8_t vectors[] = { 8, 13, 14 };
	unsigned int i, size = mode == GUEST_LONG ? 16 : 8;

	memcpy(g.mem + STUBS, common, sizeof(common));
	for (i = 0; i < sizeof(vectors); i++) {
		uint64_t stub = STUBS + 16 * (i + 1), *gate = q(IDT + vectors[i] * size);
		uint8_t *code = g.mem + stub;

		code[0] = 0x6a;				/* push imm8 */
		code[1] = vectors[i];
		code[2] = 0xeb;				/* jmp rel8 */
		code[3] = STUBS - (stub + 4);
		gate[0] = (stub & 0xffff) | 8ull << 16 | 0x8e00ull << 32 | (stub >> 16) << 48;
		if (size == 16)
			gate[1] = 0;
	}
}

static void write_tss(void)
{
	memset(g.mem + TSS, 0, 0x100);
	if (mode == GUEST_LONG) {
		*(uint64_t *)(g.mem + TSS + 4) = 0xa800;
	} else {
		d(TSS)[1] = 0xa800;
		d(TSS)[2] = 16;
	}
}

static void write_gdt(void)
{
	uint64_t *gdt = q(GDT);
	bool lm = mode == GUEST_LONG;

	gdt[0] = 0;
	gdt[1] = lm ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull;
	gdt[2] = 0x00cf93000000ffffull;
	gdt[3] = lm ? 0x00affb000000ffffull : 0x00cffb000000ffffull;
	gdt[4] = 0x00cff3000000ffffull;
	gdt[5] = 0x00008b0000000067ull | (TSS & 0xffff) << 16 | (TSS >> 16) << 32;
	gdt[6] = 0;
}

/*
 * Eight-byte entries: 0-2M supervisor, 2-4M user, the rest of the low GiB
 * supervisor and (OTHER) user; MMIO for both.
 */
static void tables_wide(const struct walk_case *c, uint64_t page)
{
	uint64_t i;

	memset(g.mem + T4, 0, T1 + PAGE_4K - T4);
	q(T4)[0] = T3 | P | W | U;
	q(T3)[0] = T2LOW | (mode == GUEST_PAE ? P : P | W | U);
	q(T3)[1] = T2 | (mode == GUEST_PAE ? P : P | W | U);
	q(T3)[3] = T2HIGH | (mode == GUEST_PAE ? P : P | W | U);
	for (i = 0; i < 512; i++)
		q(T2LOW)[i] = i * PAGE_2M | P | W | PS | (i == 1 ? U : 0);
	q(T2LOW)[OTHER / PAGE_2M] |= c->user ? U : 0;
	q(T2HIGH)[0] = MMIO | P | W | PS | (c->user ? U : 0);
	switch (c->level) {
	case 3:
		q(T3)[1] = c->entry | PS;
		break;
	case 2:
		q(T2)[0] = page | c->entry | PS;
		break;
	default:
		q(T2)[0] = (T1 | P | W | U) ^ c->upper;
		q(T1)[VA >> 12 & 511] = page | c->entry;
	}
}

static void tables_32(const struct walk_case *c, uint64_t page)
{
	uint32_t i;

	memset(g.mem + T4, 0, T1 + PAGE_4K - T4);
	for (i = 0; i < 1024; i++)
		d(T1)[i] = i << 12 | P | W | (i >= 512 ? U : 0);
	d(T4)[0] = T1 | P | W | U;
	d(T4)[1] = 4 * MB | P | W | PS | (c->user ? U : 0);
	d(T4)[MMIO >> 22] = MMIO | P | W | PS | (c->user ? U : 0);
	if (c->level == 2) {
		d(T4)[VA >> 22] = page | (page >> 32) << 13 | c->entry | PS;
		return;
	}
	d(T4)[VA >> 22] = (T2 | P | W | U) ^ c->upper;
	d(T2)[VA >> 12 & 1023] = page | c->entry;
}

static uint64_t leaf_entry(const struct walk_case *c)
{
	if (mode == GUEST_PROTECTED)
		return c->level == 2 ? d(T4)[VA >> 22] : d(T2)[VA >> 12 & 1023];
	if (c->level == 3)
		return q(T3)[1];
	return c->level == 2 ? q(T2)[0] : q(T1)[VA >> 12 & 511];
}

static struct kvm_segment seg(uint16_t selector, uint8_t type, bool user)
{
	bool code = selector == 8 || selector == 24;

	return (struct kvm_segment){
		.selector = selector | (user ? 3 : 0), .type = type, .present = 1,
		.s = selector != 40, .dpl = user ? 3 : 0, .limit = 0xffffffff, .g = 1,
		.l = code && mode == GUEST_LONG, .db = !(code && mode == GUEST_LONG),
	};
}

static bool on_amd(void)
{
	return guest_cpuid_reg(&g, 0, 0, 1) == 0x68747541;	/* Auth... */
}

static void set_state(const struct walk_case *c)
{
	struct kvm_sregs s;

	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cs = seg(c->user ? 24 : 8, 11, c->user);
	s.ss = s.ds = s.es = s.fs = s.gs = seg(c->user ? 32 : 16, 3, c->user);
	/*
	 * VM entry wants a busy TSS, but QEMU's TCG an idle one for the stack
	 * switches of 32-bit code (it keeps the busy bit in the GDT only).
	 */
	s.tr = seg(40, mode != GUEST_LONG && on_amd() ? 9 : 11, false);
	s.tr.base = TSS;
	s.tr.limit = 0x67;
	s.tr.g = s.tr.db = 0;
	s.gdt.base = GDT;
	s.gdt.limit = 7 * 8 - 1;
	s.idt.base = IDT;
	s.idt.limit = 0xfff;
	s.cr0 = 0x21 | CR0_PG | (c->no_wp ? 0 : CR0_WP);
	s.cr3 = mode == GUEST_PAE ? T3 : T4;
	s.cr4 = c->cr4 | (mode == GUEST_PROTECTED ? CR4_PSE : CR4_PAE);
	s.efer = (mode == GUEST_LONG ? 0x500 : 0) |
		 (c->no_nx || mode == GUEST_PROTECTED ? 0 : EFER_NX);
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
}

static void set_regs(const struct walk_case *c, uint64_t src, uint64_t dst)
{
	struct kvm_regs r = {
		.rip = c->user ? USER_CODE : GUEST_CODE_GPA,
		.rsp = c->user ? USER_CODE + 0x2000 : 0xb000,
		.rflags = 2 | (c->ac ? EFLAGS_AC : 0),
		.rsi = src, .rdi = dst, .rdx = 0x5555,
	};

	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
}

/* Serves MMIO reads with @val; what was written to MMIO last. */
static uint64_t run_to_halt(uint64_t val)
{
	struct kvm_run *run = cpu->run;
	uint64_t written = 0;

	for (;;) {
		CHECK_EQ(guest_run(cpu), 0);
		if (run->exit_reason != KVM_EXIT_MMIO)
			break;
		if (run->mmio.is_write)
			memcpy(&written, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, &val, 8);
	}
	guest_expect(cpu, KVM_EXIT_HLT);
	return written;
}

static void check_outcome(const struct walk_case *c, const char *how)
{
	struct kvm_regs r = guest_regs(cpu);
	uint64_t entry = leaf_entry(c), bits = entry & (A | D);
	bool fault = r.rdx == 14, done = c->user ? r.rdx == 13 : r.rdx == 0x5555;

	if (c->error == OK) {
		if (!done)
			FAIL("%s %s: vector %lld, error %#llx, cr2 %#llx", c->name, how,
			     (long long)r.rdx, (long long)r.rcx, (long long)r.rbx);
		if (bits != (c->write ? A | D : A))
			FAIL("%s %s: entry %#llx", c->name, how, (long long)entry);
		return;
	}
	/* QEMU's TCG leaves P out when a reserved bit is set; processors do not. */
	if (r.rcx & 8)
		r.rcx |= 1;
	if (!fault || (int)r.rcx != c->error || (r.rbx & ~7ull) != VA)
		FAIL("%s %s: vector %lld, error %#llx not %#x, cr2 %#llx", c->name, how,
		     (long long)r.rdx, (long long)r.rcx, c->error, (long long)r.rbx);
	if (c->level == 1 && (bits & D))
		FAIL("%s %s: dirty in spite of the fault", c->name, how);
}

static void run_case(const struct walk_case *c, bool emulated)
{
	uint64_t page = c->address ? c->address : PAGE, other = emulated ? MMIO : OTHER;
	const uint64_t val = 0x0123456789abcdefull;
	uint64_t mask = mode == GUEST_LONG ? ~0ull : 0xffffffff, written;
	const uint8_t *prog = mode == GUEST_LONG ? prog64 : prog32;
	uint64_t offset = c->level == 1 ? 0 : VA & 0x3fffff & (c->level == 3 ? ~0ull : PAGE_2M - 1);
	uint64_t target = page + offset, *data = target < g.size ? q(target) : NULL;

	if (c->level == 3)
		target = 0x3000, data = q(target);
	memcpy(g.mem + (c->user ? USER_CODE : GUEST_CODE_GPA), prog, 3);
	if (mode == GUEST_PROTECTED)
		tables_32(c, page);
	else
		tables_wide(c, page);
	set_state(c);
	*q(OTHER) = c->write ? val : 0;
	if (data)
		*data = c->write ? 0 : val;
	set_regs(c, c->write ? other : VA, c->write ? VA : other);
	written = run_to_halt(val);
	check_outcome(c, emulated ? "emulated" : "in hardware");
	if (c->error != OK || !data)
		return;
	if (c->write)
		CHECK_EQ(*data, val & mask);
	else
		CHECK_EQ((emulated ? written : *q(OTHER)), val & mask);
}

static void run_cases(enum guest_mode m, const struct walk_case *cases, int n)
{
	int i;

	mode = m;
	guest_create(&g, 32 * MB);
	cpu = guest_add_cpu(&g);
	guest_slot(&g, 1, 0, HIGH_GPA, 4 * MB, guest_alloc(4 * MB));
	guest_cpuid(cpu);
	guest_mode(cpu, m);
	write_idt();
	write_tss();
	write_gdt();
	for (i = 0; i < n; i++) {
		const uint32_t ext = guest_cpuid_reg(&g, 7, 0, 1);

		if (((cases[i].cr4 & CR4_SMAP) && !(ext & 1u << 20)) ||
		    ((cases[i].cr4 & CR4_SMEP) && !(ext & 1u << 7)) ||
		    (cases[i].level == 3 && !(guest_cpuid_reg(&g, 0x80000001, 0, 3) & 1u << 26))) {
			printf("# %s: not offered\n", cases[i].name);
			continue;
		}
		if (getenv("VERBOSE"))
			fprintf(stderr, "# %s\n", cases[i].name);
		run_case(&cases[i], false);
		run_case(&cases[i], true);
	}
}

#define RUN(mode, cases) run_cases(mode, cases, sizeof(cases) / sizeof((cases)[0]))
#define COMMON_CASES							\
	{ "write", P | W, .level = 1, .write = true, .error = OK },	\
	{ "read", P | W, .level = 1, .error = OK },			\
	{ "write again", P | W | A | D, .level = 1, .write = true, .error = OK }, \
	{ "absent, read", 0, .level = 1, .error = 0 },			\
	{ "absent, write", W, .level = 1, .write = true, .error = 2 },	\
	{ "absent, user", W | U, .level = 1, .user = true, .error = 4 },	\
	{ "absent table", P | W, .upper = P, .level = 1, .write = true, .error = 2 }, \
	{ "read-only, read", P, .level = 1, .error = OK },		\
	{ "read-only, write", P, .level = 1, .write = true, .error = 3 }, \
	{ "read-only, no WP", P, .level = 1, .write = true, .no_wp = true, .error = OK }, \
	{ "read-only table", P | W, .upper = W, .level = 1, .write = true, .error = 3 }, \
	{ "read-only, user, no WP", P | U, .level = 1, .write = true, .user = true, \
	  .no_wp = true, .error = 7 },					\
	{ "user", P | W | U, .level = 1, .write = true, .user = true, .error = OK }, \
	{ "user reads supervisor's", P | W, .level = 1, .user = true, .error = 5 }, \
	{ "user, supervisor's table", P | W | U, .upper = U, .level = 1, .user = true, .error = 5 }, \
	{ "SMAP", P | W | U, .level = 1, .cr4 = CR4_SMAP, .error = 1 },	\
	{ "SMAP, AC", P | W | U, .level = 1, .cr4 = CR4_SMAP, .ac = true, .error = OK }, \
	{ "SMAP, AC, write", P | W | U, .level = 1, .write = true, .cr4 = CR4_SMAP, .ac = true, \
	  .error = OK },						\
	{ "SMAP, write", P | W | U, .level = 1, .write = true, .cr4 = CR4_SMAP, .error = 3 }, \
	{ "SMAP, user", P | W | U, .level = 1, .user = true, .cr4 = CR4_SMAP, .error = OK }, \
	{ "SMEP is for fetches", P | W | U, .level = 1, .cr4 = CR4_SMEP, .error = OK }

static void long_mode(void)
{
	static const struct walk_case cases[] = {
		COMMON_CASES,
		{ "NX is for fetches", P | W | NX, .level = 1, .error = OK },
		{ "NX without EFER.NX", P | W | NX, .level = 1, .no_nx = true, .error = 9 },
		{ "reserved address bit", P | W | 1ull << 51, .level = 1, .error = 9 },
		{ "reserved, write", P | W | 1ull << 51, .level = 1, .write = true, .error = 11 },
		{ "reserved, user", P | W | U | 1ull << 51, .level = 1, .user = true, .error = 13 },
		{ "ignored bits", P | W | 0x7full << 52 | 7 << 9, .level = 1, .error = OK },
		{ "2M", P | W, .level = 2, .write = true, .error = OK },
		{ "2M, read", P, .level = 2, .error = OK },
		{ "2M, read-only", P, .level = 2, .write = true, .error = 3 },
		{ "2M, reserved", P | W | 1 << 13, .level = 2, .error = 9 },
		{ "2M, PAT bit", P | W | 1 << 12, .level = 2, .error = OK },
		{ "1G", P, .level = 3, .error = OK },
		{ "1G, reserved", P | W | 1 << 29, .level = 3, .write = true, .error = 11 },
	};

	RUN(GUEST_LONG, cases);
}

static void pae(void)
{
	static const struct walk_case cases[] = {
		COMMON_CASES,
		{ "NX is for fetches", P | W | NX, .level = 1, .error = OK },
		{ "NX without EFER.NX", P | W | NX, .level = 1, .no_nx = true, .error = 9 },
		{ "reserved bit 62", P | W | 1ull << 62, .level = 1, .error = 9 },
		{ "2M", P | W, .level = 2, .write = true, .error = OK },
		{ "2M, reserved", P | W | 1 << 13, .level = 2, .error = 9 },
		{ "above 4G", P | W, .level = 1, .write = true, .error = OK, .address = HIGH_GPA },
	};

	RUN(GUEST_PAE, cases);
}

static void legacy(void)
{
	static const struct walk_case cases[] = {
		COMMON_CASES,
		{ "4M", P | W, .level = 2, .write = true, .error = OK, .address = 4 * MB },
		{ "4M, read-only", P, .level = 2, .write = true, .error = 3, .address = 4 * MB },
		{ "4M, reserved", P | W | 1 << 21, .level = 2, .error = 9, .address = 4 * MB },
		{ "4M, PSE-36", P | W, .level = 2, .write = true, .error = OK,
		  .address = HIGH_GPA },
	};

	RUN(GUEST_PROTECTED, cases);
}

static void expect_translation(uint64_t linear, bool valid, uint64_t gpa)
{
	struct kvm_translation t = { .linear_address = linear };

	MUST(ioctl(cpu->fd, KVM_TRANSLATE, &t));
	if (t.valid != valid || (valid && t.physical_address != gpa))
		FAIL("mode %d: %#llx is %svalid, %#llx", mode, (long long)linear,
		     t.valid ? "" : "not ", (long long)t.physical_address);
}

/* KVM_TRANSLATE. KVM's sets A bits; nobody should rely on that or mind. */
static void translate(void)
{
	static const struct walk_case c = { "", P, .level = 1 }, none = { "", 0, .level = 1 };

	guest_create(&g, 32 * MB);
	cpu = guest_add_cpu(&g);
	guest_cpuid(cpu);
	mode = GUEST_REAL;
	guest_mode(cpu, mode);
	expect_translation(0x12345, true, 0x12345);
	for (mode = GUEST_PROTECTED; mode <= GUEST_LONG; mode++) {
		void (*tables)(const struct walk_case *c, uint64_t page) =
			mode == GUEST_PROTECTED ? tables_32 : tables_wide;

		tables(&c, PAGE);
		set_state(&c);
		expect_translation(VA + 5, true, PAGE + 5);
		expect_translation(VA + PAGE_4K, false, 0);
		expect_translation(0x5123, true, 0x5123);
		CHECK_EQ(leaf_entry(&c) & D, 0);
		tables(&none, PAGE);
		set_state(&c);
		expect_translation(VA, false, 0);
	}
}

/* Turns PAE paging on by itself: user space has no hand in the four PDPTEs. */
GUEST_CODE(enter_pae,
	".code32\n"
	"	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
	"	mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4\n"
	"	mov $0x20000, %eax; mov %eax, %cr3\n"
	"	mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
	"	mov $0xc0000008, %eax; mov (%eax), %ebx\n"
	"	hlt\n");

static void guest_enters_pae(void)
{
	int i;

	guest_create(&g, 32 * MB);
	cpu = guest_add_cpu(&g);
	guest_cpuid(cpu);
	guest_mode(cpu, GUEST_PROTECTED);
	guest_load_code(&g, enter_pae);
	memset(g.mem + T4, 0, 6 * PAGE_4K);
	q(T4)[0] = T2LOW | P;
	q(T4)[3] = T2HIGH | P;
	for (i = 0; i < 16; i++)
		q(T2LOW)[i] = i * PAGE_2M | P | W | PS;
	q(T2HIGH)[0] = (MMIO + 64 * MB) | P | W | PS;
	guest_call(cpu, 0, 0, 0, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.phys_addr, MMIO + 64 * MB + 8);
	mode = GUEST_PAE;
	expect_translation(0xc0000010, true, MMIO + 64 * MB + 16);
	expect_translation(0x40000000, false, 0);
}

static const struct test tests[] = {
	{ "translate", translate },
	{ "long_mode", long_mode },
	{ "pae", pae },
	{ "legacy", legacy },
	{ "guest_enters_pae", guest_enters_pae },
};

TEST_MAIN(tests)
