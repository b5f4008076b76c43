// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that access memory where there is none: each runs once with a slot there,
 * and then without, user space serving what comes out. Registers and content
 * must be the same. And: what the host remembers of the guest's code and its page tables
 * must not outlive a change of them.
 */
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "../first/first.h"

#define MB		(1ul << 20)
#define MMIO_GPA	0x40000000ul	/* two pages; within reach of code's RIP */
#define MMIO_SIZE	(2 * PAGE_4K)
#define MMIO_SLOT	5
#define READ_ONLY	4		/* no bits of pages: both are in a read-only slot, which user space writes */
#define SCRATCH_GPA	0x20000ul
#define SCRATCH_SIZE	64
#define STACK_TOP	0xb000ul
#define PORT		0x510
#define CR4_OSFXSR	(1ull << 9)
#define TIMES		3		/* the first has nothing remembered */

#define FORM(text)	text "; hlt; .balign 32, 0x90\n"

/*
 * Each 32 bytes; registers as start() sets them. Those up to plain_end need no emulator. Some
 * are like the one before, at another place or with other values.
 */
GUEST_CODE(forms,
	".code64\n.balign 32\n"
	FORM("mov (%rbx), %eax") FORM("mov (%rbx), %rax") FORM("mov (%rbx), %ax")
	FORM("mov (%rbx), %al") FORM("mov (%rbx), %sil") FORM("mov (%rbx), %r9b")
	FORM("mov (%rbx), %r9w") FORM("mov (%rbx), %r15d") FORM("mov (%rbx), %r15")
	FORM("mov 8(%rbx), %edx") FORM("mov -8(%rsi), %edx") FORM("mov 0x123(%rbx), %rdx")
	FORM("mov (%rbx,%rcx,4), %edx") FORM("mov 0x10(%rbx,%rcx,8), %rdx")
	FORM("mov 0x200(%rbx,%r12,2), %dx") FORM("mov (%r13), %edi") FORM("mov (%rsp), %edi")
	FORM("mov 0x40(%rsp), %rdi") FORM("mov (%r12,%rbx,1), %edi")
	FORM("mov 0x40000000(,%rcx,8), %edi") FORM("mov 0x40000010, %edi")
	FORM("mov 0x3fff8000(%rip), %edi") FORM("mov 0x3fff8000(%rip), %edi")
	FORM("movl $0x11223344, 0x3fff8000(%rip)")
	FORM("mov %eax, (%rbx)") FORM("mov %rax, (%rbx)")
	FORM("not %rax; add $8, %rbx; mov %rax, (%rbx)") FORM("mov %ax, (%rbx)")
	FORM("mov %al, (%rbx)") FORM("mov %bpl, 5(%rbx)") FORM("mov %r8b, (%rbx)")
	FORM("mov %r8w, (%rbx)") FORM("mov %r14, 0x80(%rbx,%rcx,8)") FORM("mov %rsp, (%rbx)")
	FORM("movb $0x81, (%rbx)") FORM("movw $0x8182, (%rbx)")
	FORM("movl $0x81828384, 4(%rbx)") FORM("movq $-2, (%rbx)")
	FORM("movq $0x7fffffff, 0x300(%rbx)") FORM("movq $0x7eeeeeff, 0x300(%rbx)")
	"plain_end:\n"
	FORM("mov (%rbx), %ah") FORM("mov %ah, (%rbx)") FORM("mov (%ebx), %edi")
	FORM("mov %gs:(%rbx), %edi") FORM("movabs 0x40000020, %eax")
	FORM("movzbl 1(%rbx), %edi") FORM("movzwl (%rbx), %edi") FORM("movsbq (%rbx), %rdi")
	FORM("movslq (%rbx), %rdi") FORM("or %eax, (%rbx)") FORM("xchg %edx, (%rbx)")
	FORM("incl (%rbx)") FORM("cmp %eax, (%rbx)")
	FORM("mov $0xb000, %esp; pushq 8(%rbx); pop %rax")
	/* Over the border of the two pages. */
	FORM("mov (%rsi), %edi") FORM("mov (%rsi), %rdi") FORM("mov %eax, (%rsi)")
	FORM("mov %rax, (%rsi)") FORM("movw $0x7172, 1(%rsi)") FORM("movq $-3, -3(%rsi)")
	FORM("mov 1(%rsi), %di") FORM("mov 2(%rsi), %edi")
	/* One of each kind that reads and writes. What leaves flags undefined sets them anew. */
	FORM("addl $0x12345678, (%rbx)") FORM("stc; adcb $0x7f, 3(%rbx)")
	FORM("stc; sbb %rax, (%rbx)") FORM("and %dx, (%rbx)") FORM("xor (%rbx), %rdi")
	FORM("sub 8(%rbx), %al") FORM("cmpq $-5, (%rbx)") FORM("test %eax, (%rbx)")
	FORM("testb $0x81, 2(%rbx)") FORM("notq (%rbx)") FORM("negl (%rbx)") FORM("decw (%rbx)")
	FORM("incb 1(%rbx)") FORM("lock incl (%rbx)") FORM("lock orb $3, (%rbx)")
	FORM("shll $3, (%rbx); test %eax, %eax") FORM("rorw %cl, (%rbx); test %eax, %eax")
	FORM("sarq $5, (%rbx); test %eax, %eax") FORM("stc; rclb $1, 1(%rbx); test %eax, %eax")
	FORM("shld $4, %eax, (%rbx); test %eax, %eax")
	FORM("shrd %cl, %rdx, 8(%rbx); test %eax, %eax")
	FORM("btsl $5, (%rbx); setc %dl; test %eax, %eax")
	FORM("mov $0x123, %ecx; btr %rcx, (%rbx); setc %dl; test %eax, %eax")
	FORM("mov $-9, %rcx; btc %rcx, 16(%rbx); setc %dl; test %eax, %eax")
	FORM("lock btsq $9, (%rbx); setc %dl; test %eax, %eax")
	FORM("bsf (%rbx), %rdi; test %eax, %eax") FORM("bsr (%rbx), %edi; test %eax, %eax")
	FORM("xadd %rax, (%rbx)") FORM("lock xadd %edx, (%rbx)") FORM("xchg %al, (%rbx)")
	FORM("cmpxchg %edx, (%rbx)") FORM("mov (%rbx), %eax; lock cmpxchg %edx, (%rbx)")
	FORM("cmpxchg8b (%rbx)")
	FORM("mov (%r13), %eax; mov 4(%r13), %edx; lock cmpxchg8b (%r13)")
	FORM("mulq (%rbx); test %eax, %eax") FORM("imull $100, (%rbx), %edi; test %eax, %eax")
	FORM("imul (%rbx), %rdi; test %eax, %eax")
	FORM("xor %edx, %edx; mov $-2, %eax; divl (%rbx); test %eax, %eax") FORM("setnz (%rbx)")
	FORM("cmovnz (%rbx), %edi") FORM("cmovz (%rbx), %edi") FORM("xlat")
	FORM("movntil %eax, (%rbx)") FORM("smsw (%rbx)")
	FORM("mov $0xb000, %esp; push %rax; popq (%rbx)")
	FORM("pxor %xmm0, %xmm0; movups (%rbx), %xmm0; movups %xmm0, 32(%rbx)")
	FORM("pxor %xmm1, %xmm1; movdqa (%rbx), %xmm1; movdqa %xmm1, 48(%rbx)")
	/* Strings over the border, from memory and to it, both ways; and within the device. */
	FORM("lea -5(%rsi), %rdi; mov $0x8000, %esi; mov $20, %cl; rep movsb")
	FORM("mov $0x20000, %edi; sub $5, %rsi; mov $20, %cl; rep movsb; mov -16(%rdi), %rax")
	FORM("lea -9(%rsi), %rdi; mov $0x8000, %esi; mov $5, %cl; rep movsq")
	FORM("mov $0x20000, %edi; sub $9, %rsi; mov $5, %cl; rep movsq; mov -29(%rdi), %rax")
	FORM("lea -0x13(%rsi), %rdi; mov $9, %cl; rep movsl")
	FORM("std; lea 6(%rsi), %rdi; mov $0x8100, %esi; mov $6, %cl; rep movsw; cld")
	FORM("lea -3(%rsi), %rdi; mov $7, %cl; rep stosb") FORM("lea -9(%rsi), %rdi; rep stosl")
	FORM("sub $7, %rsi; rep lodsl") FORM("mov %rsi, %rdi; mov $9, %cl; repe cmpsb")
	FORM("lea 1(%rsi), %rdi; mov $9, %cl; repne cmpsb")
	FORM("mov %rsi, %rdi; mov $9, %cl; repne scasb")
	FORM("mov $0x20000, %edi; movsq; mov -8(%rdi), %rax")
	/* With a port that user space serves. */
	FORM("lea -5(%rsi), %rdi; mov $0x510, %edx; mov $12, %cl; rep insb")
	FORM("lea -5(%rsi), %rdi; mov $0x510, %edx; mov $6, %cl; rep insw")
	FORM("sub $5, %rsi; mov $0x510, %edx; mov $12, %cl; rep outsb")
	FORM("sub $5, %rsi; mov $0x510, %edx; mov $4, %cl; rep outsl")
	FORM("mov %rsi, %rdi; mov $0x510, %edx; insl") FORM("mov $0x510, %edx; outsw")
	"kvm_end:\n"
	/* KVM 6.12 leaves other bytes in a device than in memory. */
	FORM("std; lea 6(%rsi), %rdi; mov $0x510, %edx; rep insl; cld"));

extern const char plain_end[], kvm_end[];

struct space {
	struct guest g;
	struct guest_cpu *cpu;
	uint8_t *ram;
	uint8_t device[MMIO_SIZE];
	uint8_t *backing;		/* of a slot that user space writes for the guest */
	int exits;
	uint8_t port[64];		/* what it has had of one run, or given */
	unsigned int port_size;
};

static void fill(uint8_t *to)
{
	unsigned int i;

	for (i = 0; i < MMIO_SIZE; i++)
		to[i] = i * 37 + (i >> 8) * 11 + 0x80;
}

static void space_create(struct space *s)
{
	struct kvm_sregs sregs;

	guest_create(&s->g, 16 * MB);
	s->cpu = guest_add_cpu(&s->g);
	guest_mode(s->cpu, GUEST_LONG);
	MUST(ioctl(s->cpu->fd, KVM_GET_SREGS, &sregs));
	sregs.cr4 |= CR4_OSFXSR;
	MUST(ioctl(s->cpu->fd, KVM_SET_SREGS, &sregs));
	guest_load_code(&s->g, forms);
	s->ram = guest_alloc(PAGE_2M);
}

static void start(struct space *s, unsigned int form)
{
	struct kvm_regs regs = {
		.rax = 0x8192a3b4c5d6e7f8, .rbx = MMIO_GPA, .rcx = 3, .rdx = 0x1112131415161718,
		.rsi = MMIO_GPA + 0xffe, .rdi = 0x2122232425262728, .rsp = MMIO_GPA,
		.rbp = 0x3132333435363738, .r8 = 0x4142434445464748, .r9 = 0x5152535455565758,
		.r12 = 2, .r13 = MMIO_GPA, .r14 = 0x6162636465666768, .r15 = 0x7172737475767778,
		.rflags = 2, .rip = GUEST_CODE_GPA + 32 * form,
	};

	/* Of the last run's nothing is left. */
	memset(s->g.mem + SCRATCH_GPA, 0, SCRATCH_SIZE);
	memset(s->g.mem + STACK_TOP - 16, 0, 16);
	MUST(ioctl(s->cpu->fd, KVM_SET_REGS, &regs));
}

/* One exit for a piece of the access: never over the end of a page. */
static void serve(struct space *s)
{
	struct kvm_run *run = s->cpu->run;
	uint64_t off = run->mmio.phys_addr - MMIO_GPA;

	CHECK(off + run->mmio.len <= MMIO_SIZE, "(at %llx)", run->mmio.phys_addr);
	CHECK(run->mmio.len <= 8, "(%u bytes)", run->mmio.len);
	CHECK_EQ(off / PAGE_4K, (off + run->mmio.len - 1) / PAGE_4K);
	if (run->mmio.is_write) {
		memcpy(s->device + off, run->mmio.data, run->mmio.len);
		if (s->backing)
			memcpy(s->backing + off, run->mmio.data, run->mmio.len);
	} else {
		memcpy(run->mmio.data, s->device + off, run->mmio.len);
	}
	s->exits++;
}

/* It gives what follows from how much it has given. */
static void serve_port(struct space *s)
{
	struct kvm_run *run = s->cpu->run;
	unsigned int i, n = run->io.size * run->io.count;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	CHECK(run->io.port == PORT && s->port_size + n <= sizeof(s->port));
	for (i = 0; i < n; i++, s->port_size++) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			data[i] = 0xe0 + s->port_size;
		s->port[s->port_size] = data[i];
	}
}

static struct kvm_regs run(struct space *s, unsigned int form)
{
	start(s, form);
	s->port_size = 0;
	for (;;) {
		CHECK_EQ(guest_run(s->cpu), 0);
		if (s->cpu->run->exit_reason == KVM_EXIT_MMIO)
			serve(s);
		else if (s->cpu->run->exit_reason == KVM_EXIT_IO)
			serve_port(s);
		else
			break;
	}
	guest_expect(s->cpu, KVM_EXIT_HLT);
	return guest_regs(s->cpu);
}

/* The page that has a slot all the time is compared as the device's is. */
static void take_away(struct space *s, unsigned int pages)
{
	uint8_t *rest = s->ram + PAGE_2M / 2;
	unsigned long there = (pages & 1) * PAGE_4K;

	fill(s->device);
	fill(rest);
	s->backing = pages == READ_ONLY ? rest : NULL;
	if (pages == READ_ONLY)
		guest_slot(&s->g, MMIO_SLOT, KVM_MEM_READONLY, MMIO_GPA, MMIO_SIZE, rest);
	else if (pages != 3)
		guest_slot(&s->g, MMIO_SLOT, 0, MMIO_GPA + there, PAGE_4K, rest + there);
}

static void give_back(struct space *s, unsigned int pages)
{
	uint8_t *rest = s->ram + PAGE_2M / 2;
	unsigned long there = (pages & 1) * PAGE_4K;

	if (pages == 3)
		return;
	guest_slot(&s->g, MMIO_SLOT, 0, MMIO_GPA, 0, s->ram);
	if (pages != READ_ONLY)
		memcpy(s->device + there, rest + there, PAGE_4K);
}

/* @pages of the two have no slot in the runs after the first (bits 0 and 1), or one that is read only. */
static void compare(unsigned int pages)
{
	unsigned int form, n = ((device_is_kvm() ? kvm_end : forms_end) - forms) / 32, time, port_size;
	uint8_t port[sizeof(((struct space *)0)->port)], scratch[SCRATCH_SIZE];
	struct kvm_regs want, got;
	struct space s = {};

	space_create(&s);
	for (form = 0; form < n; form++) {
		fill(s.ram);
		guest_slot(&s.g, MMIO_SLOT, 0, MMIO_GPA, MMIO_SIZE, s.ram);
		want = run(&s, form);
		CHECK_EQ(s.exits, 0);
		port_size = s.port_size;
		memcpy(port, s.port, port_size);
		memcpy(scratch, s.g.mem + SCRATCH_GPA, SCRATCH_SIZE);
		guest_slot(&s.g, MMIO_SLOT, 0, MMIO_GPA, 0, s.ram);
		for (time = 0; time < TIMES; time++) {
			take_away(&s, pages);
			got = run(&s, form);
			give_back(&s, pages);
			CHECK(!memcmp(&got, &want, sizeof(got)), "(registers of form %u, run %u)",
			      form, time);
			CHECK(!memcmp(s.device, s.ram, MMIO_SIZE), "(content of form %u, run %u)",
			      form, time);
			CHECK(!memcmp(scratch, s.g.mem + SCRATCH_GPA, SCRATCH_SIZE), "(memory of form %u, run %u)",
			      form, time);
			CHECK(s.port_size == port_size && !memcmp(s.port, port, port_size),
			      "(port of form %u, run %u)", form, time);
		}
		CHECK(s.exits || pages != 3, "(form %u did not leave the guest)", form);
		s.exits = 0;
	}
	printf("# %u instructions\n", n);
}

static void both_pages(void)
{
	compare(3);
}

static void first_page(void)
{
	compare(1);
}

static void second_page(void)
{
	compare(2);
}

static void read_only(void)
{
	compare(READ_ONLY);
}

/* Nearly all MMIO that there is: the short way, of which nobody would notice that it is not taken. */
static void no_emulator(void)
{
	unsigned int form, n = (plain_end - forms) / 32;
	struct space s = {};
	uint64_t before;

	if (device_is_kvm())
		SKIP("KVM emulates all");
	space_create(&s);
	for (form = 0; form < n; form++) {
		before = guest_cpu_stat(s.cpu, "insn_emulation");
		fill(s.device);
		s.exits = 0;
		run(&s, form);
		CHECK_EQ(s.exits, 1);
		CHECK(guest_cpu_stat(s.cpu, "insn_emulation") == before, "(form %u)", form);
	}
}

#define CODE_GVA	(6 * MB)
#define CODE_A		(8 * MB)	/* where it may lie */
#define CODE_B		(10 * MB)
#define PD_GPA		0x4000
#define PTE_A		0x20

/* mov (%rbx), %eax or %ecx; hlt */
static void put_code(struct space *s, uint64_t gpa, bool ecx)
{
	memcpy(s->g.mem + gpa, ecx ? "\x8b\x0b\xf4" : "\x8b\x03\xf4", 3);
}

static uint64_t *code_pde(struct space *s)
{
	return (uint64_t *)(s->g.mem + PD_GPA) + CODE_GVA / PAGE_2M;
}

static void map_code(struct space *s, uint64_t gpa)
{
	*code_pde(s) = gpa | 0x83;
}

/* Runs the code at CODE_GVA, which must load this register. */
static void expect_load(struct space *s, bool ecx)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	/* No stale entry in the CPU's own TLB. */
	MUST(ioctl(s->cpu->fd, KVM_GET_SREGS, &sregs));
	MUST(ioctl(s->cpu->fd, KVM_SET_SREGS, &sregs));
	start(s, 0);
	regs = guest_regs(s->cpu);
	regs.rip = CODE_GVA;
	MUST(ioctl(s->cpu->fd, KVM_SET_REGS, &regs));
	s->exits = 0;
	while (!guest_run(s->cpu) && s->cpu->run->exit_reason == KVM_EXIT_MMIO)
		serve(s);
	guest_expect(s->cpu, KVM_EXIT_HLT);
	CHECK_EQ(s->exits, 1);
	regs = guest_regs(s->cpu);
	CHECK_EQ(regs.rip, CODE_GVA + 3);
	CHECK_EQ(ecx ? regs.rcx : regs.rax, *(uint32_t *)s->device);
	CHECK_EQ(ecx ? regs.rax : regs.rcx, ecx ? 0x8192a3b4c5d6e7f8 : 3);
}

static void twice(struct space *s, bool ecx)
{
	expect_load(s, ecx);
	expect_load(s, ecx);
}

static void code_changes(void)
{
	struct space s = {};
	uint8_t *other = guest_alloc(16 * MB), *was;
	int i;

	space_create(&s);
	fill(s.device);
	put_code(&s, CODE_A, false);
	put_code(&s, CODE_B, true);
	map_code(&s, CODE_A);
	twice(&s, false);
	/* Other bytes, another page. */
	put_code(&s, CODE_A, true);
	twice(&s, true);
	put_code(&s, CODE_A, false);
	twice(&s, false);
	map_code(&s, CODE_B);
	twice(&s, true);
	/* As a page that was not accessed yet. */
	map_code(&s, CODE_A);
	twice(&s, false);
	CHECK(*code_pde(&s) & PTE_A, "(A was not set)");
	*code_pde(&s) &= ~(uint64_t)PTE_A;
	expect_load(&s, false);
	CHECK(*code_pde(&s) & PTE_A, "(A was not set again)");
	/* The same guest-physical memory in another place of the host's. */
	for (i = 0; i < 4; i++) {
		memcpy(other, s.g.mem, s.g.size);
		memcpy(other + CODE_A, i & 1 ? "\x8b\x03\xf4" : "\x8b\x0b\xf4", 3);
		guest_slot(&s.g, 0, 0, 0, 0, s.g.mem);
		guest_slot(&s.g, 0, 0, 0, s.g.size, other);
		was = s.g.mem;
		s.g.mem = other;
		other = was;
		twice(&s, !(i & 1));
	}
}

/*
 * The first vCPU's instruction at pair_here is written by the second one: a load, a store or an exchange, and it
 * halts if EAX is neither what it put there nor what the device gave.
 */
#define PAIR_GUEST	0x55667788u
#define PAIR_DEVICE	0xa1a2a3a4u
#define PAIR_SECONDS	2

GUEST_CODE(pair,
	".code64\n"
	"	mov $0x40000000, %ebx\n"
	"1:	mov $0x55667788, %eax\n"
	"	.balign 8, 0x90\n"
	"pair_here: mov (%rbx), %eax\n"
	"	cmp $0x55667788, %eax\n	je 1b\n"
	"	cmp $0xa1a2a3a4, %eax\n	je 1b\n"
	"	hlt\n"
	"pair_writer: lea pair_here(%rip), %rdi\n"
	"2:	movw $0x0389, (%rdi)\n	movw $0x038b, (%rdi)\n	movw $0x0387, (%rdi)\n"
	"	jmp 2b\n");

extern const char pair_writer[];

static void on_signal(int signal)
{
}

static void *write_code(void *arg)
{
	struct guest_cpu *cpu = arg;

	/* Until it is told to end: it has no exits. */
	while (ioctl(cpu->fd, KVM_RUN, 0) && errno == EINTR && !cpu->run->immediate_exit)
		;
	return NULL;
}

static void code_of_another(void)
{
	unsigned long reads = 0, writes = 0, loads = 0, stores = 0;
	int last = -1;
	struct guest_cpu *runner, *writer;
	struct space s = {};
	struct kvm_run *run;
	pthread_t thread;
	time_t end;

	sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	guest_create(&s.g, 16 * MB);
	runner = guest_add_cpu(&s.g);
	writer = guest_add_cpu(&s.g);
	guest_mode(runner, GUEST_LONG);
	guest_mode(writer, GUEST_LONG);
	guest_load_code(&s.g, pair);
	guest_call(runner, 0, 0, 0, 0, 0);
	guest_call(writer, pair_writer - pair, 0, 0, 0, 0);
	CHECK_EQ(pthread_create(&thread, NULL, write_code, writer), 0);
	run = runner->run;
	for (end = time(NULL) + PAIR_SECONDS * test_slowness(); time(NULL) < end;) {
		const uint32_t device = PAIR_DEVICE;
		uint32_t val;

		CHECK_EQ(guest_run(runner), 0);
		guest_expect(runner, KVM_EXIT_MMIO);
		CHECK(run->mmio.phys_addr == MMIO_GPA && run->mmio.len == 4);
		memcpy(&val, run->mmio.data, 4);
		if (run->mmio.is_write)
			CHECK_EQ(val, PAIR_GUEST);
		else
			memcpy(run->mmio.data, &device, 4);
		/* Two alike are no exchange. */
		loads += !run->mmio.is_write && last == 0;
		stores += run->mmio.is_write && last == 1;
		last = run->mmio.is_write;
		writes += last;
		reads += !last;
	}
	writer->run->immediate_exit = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	CHECK_EQ(writer->run->exit_reason, KVM_EXIT_INTR);
	printf("# %lu reads, %lu writes; at least %lu loads, %lu stores\n", reads, writes, loads, stores);
	CHECK(reads && writes);
	/* One CPU rarely leaves the writer at another place than the end of its loop. */
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		CHECK(loads && stores);
}

static const struct test tests[] = {
	{ "code_changes", code_changes },
	{ "no_emulator", no_emulator },
	{ "both_pages", both_pages },
	{ "first_page", first_page },
	{ "second_page", second_page },
	{ "read_only", read_only },
	{ "code_of_another", code_of_another },
};

TEST_MAIN(tests)
