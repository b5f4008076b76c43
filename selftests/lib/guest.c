// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>

#include "guest.h"

#define GDT_GPA		0x1000
#define TABLES_GPA	0x2000
#define STACK_GPA	0xa000

#define CR0_PE		(1u << 0)
#define CR0_NE		(1u << 5)
#define CR0_PG		(1u << 31)
#define CR4_PAE		(1u << 5)
#define EFER_LME	(1u << 8)
#define EFER_LMA	(1u << 10)
#define PTE_PRESENT	0x3ull	/* and writable */
#define PTE_HUGE	0x80ull

void guest_open(struct guest *g)
{
	memset(g, 0, sizeof(*g));
	g->dev = open(test_device, O_RDWR | O_CLOEXEC);
	if (g->dev < 0)
		FAIL("%s: %s", test_device, strerror(errno));
	CHECK_EQ(ioctl(g->dev, KVM_GET_API_VERSION, 0), 12);
	g->run_size = MUST(ioctl(g->dev, KVM_GET_VCPU_MMAP_SIZE, 0));
	g->fd = MUST(ioctl(g->dev, KVM_CREATE_VM, 0));
	/* Intel processors without unrestricted guest want a place for it. */
	ioctl(g->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
}

void *guest_alloc(size_t size)
{
	uint8_t *p = mmap(NULL, size + PAGE_2M, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t head;

	CHECK(p != MAP_FAILED);
	head = -(uintptr_t)p & (PAGE_2M - 1);
	if (head)
		munmap(p, head);
	munmap(p + head + size, PAGE_2M - head);
	return p + head;
}

int guest_try_slot(struct guest *g, uint32_t id, uint32_t flags, uint64_t gpa, uint64_t size,
		   void *mem)
{
	struct kvm_userspace_memory_region r = {
		.slot = id,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)mem,
	};

	return ioctl(g->fd, KVM_SET_USER_MEMORY_REGION, &r) ? -errno : 0;
}

void guest_slot(struct guest *g, uint32_t id, uint32_t flags, uint64_t gpa, uint64_t size,
		void *mem)
{
	CHECK_EQ(guest_try_slot(g, id, flags, gpa, size, mem), 0);
}

void guest_create(struct guest *g, size_t size)
{
	guest_open(g);
	g->size = size;
	g->mem = guest_alloc(size);
	guest_slot(g, 0, 0, 0, size, g->mem);
}

static struct kvm_cpuid2 *supported_cpuid(struct guest *g)
{
	static struct kvm_cpuid2 *cpuid;
	const int n = 256;

	if (cpuid)
		return cpuid;
	cpuid = calloc(1, sizeof(*cpuid) + n * sizeof(cpuid->entries[0]));
	CHECK(cpuid);
	cpuid->nent = n;
	MUST(ioctl(g->dev, KVM_GET_SUPPORTED_CPUID, cpuid));
	return cpuid;
}

static struct kvm_cpuid_entry2 *supported_leaf(struct guest *g, uint32_t function, uint32_t index)
{
	struct kvm_cpuid2 *cpuid = supported_cpuid(g);
	unsigned int i;

	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == function && e->index == index)
			return e;
	}
	return NULL;
}

void guest_cpuid(struct guest_cpu *cpu)
{
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, supported_cpuid(cpu->guest)));
}

void guest_cpuid_deadline(struct guest_cpu *cpu)
{
	struct kvm_cpuid_entry2 *e = supported_leaf(cpu->guest, 1, 0);
	uint32_t listed;

	CHECK(e);
	listed = e->ecx;
	e->ecx |= 1u << 24;
	guest_cpuid(cpu);
	e->ecx = listed;
}

uint32_t guest_cpuid_reg(struct guest *g, uint32_t function, uint32_t index, int reg)
{
	struct kvm_cpuid_entry2 *e = supported_leaf(g, function, index);

	return e ? (const uint32_t []){ e->eax, e->ebx, e->ecx, e->edx }[reg] : 0;
}

struct guest_cpu *guest_add_cpu(struct guest *g)
{
	struct guest_cpu *cpu = &g->cpu[g->ncpus];

	CHECK(g->ncpus < GUEST_MAX_CPUS);
	cpu->guest = g;
	cpu->id = g->ncpus++;
	cpu->fd = MUST(ioctl(g->fd, KVM_CREATE_VCPU, cpu->id));
	cpu->run = mmap(NULL, g->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	CHECK(cpu->run != MAP_FAILED);
	/* KVM takes no long mode from user space before. */
	guest_cpuid(cpu);
	return cpu;
}

static struct kvm_segment segment(uint16_t selector, bool code, enum guest_mode mode)
{
	return (struct kvm_segment){
		.limit = mode == GUEST_REAL ? 0xffff : 0xffffffff,
		.selector = selector,
		.type = code ? 11 : 3,
		.present = 1,
		.s = 1,
		.db = mode == GUEST_PROTECTED || mode == GUEST_PAE || (mode == GUEST_LONG && !code),
		.l = mode == GUEST_LONG && code,
		.g = mode != GUEST_REAL,
	};
}

/* Descriptors that agree with segment(). */
static void write_gdt(struct guest *g, enum guest_mode mode)
{
	uint64_t *gdt = (uint64_t *)(g->mem + GDT_GPA);

	gdt[0] = 0;
	gdt[1] = mode == GUEST_LONG ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull;
	gdt[2] = 0x00cf93000000ffffull;
}

static void fill_huge(uint64_t *pd)
{
	uint64_t i;

	for (i = 0; i < 4 * 512; i++)
		pd[i] = i * PAGE_2M | PTE_PRESENT | PTE_HUGE;
}

static void write_tables(struct guest *g, enum guest_mode mode)
{
	uint64_t *pml4 = (uint64_t *)(g->mem + TABLES_GPA), *pdpt = pml4 + 512, *pd = pdpt + 512;
	uint64_t rights = mode == GUEST_PAE ? 1 : PTE_PRESENT;
	int i;

	pml4[0] = (TABLES_GPA + 0x1000) | PTE_PRESENT;
	for (i = 0; i < 4; i++)
		pdpt[i] = (TABLES_GPA + 0x2000 + i * 0x1000) | rights;
	fill_huge(pd);
}

static void set_control(struct kvm_sregs *s, enum guest_mode mode)
{
	s->cr0 = CR0_NE;
	if (mode != GUEST_REAL)
		s->cr0 |= CR0_PE;
	if (mode != GUEST_PAE && mode != GUEST_LONG)
		return;
	s->cr0 |= CR0_PG;
	s->cr4 |= CR4_PAE;
	s->cr3 = mode == GUEST_PAE ? TABLES_GPA + 0x1000 : TABLES_GPA;
	if (mode == GUEST_LONG)
		s->efer = EFER_LME | EFER_LMA;
}

void guest_mode(struct guest_cpu *cpu, enum guest_mode mode)
{
	struct kvm_sregs s;

	write_gdt(cpu->guest, mode);
	write_tables(cpu->guest, mode);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cs = segment(mode == GUEST_REAL ? 0 : 8, true, mode);
	s.ds = s.es = s.fs = s.gs = s.ss = segment(mode == GUEST_REAL ? 0 : 16, false, mode);
	s.gdt.base = GDT_GPA;
	s.gdt.limit = 3 * 8 - 1;
	s.idt.base = 0;
	s.idt.limit = mode == GUEST_REAL ? 0x3ff : 0;	/* a fault ends in SHUTDOWN */
	set_control(&s, mode);
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	guest_call(cpu, 0, 0, 0, 0, 0);
}

void guest_load(struct guest *g, const char *code, const char *end)
{
	CHECK((size_t)(end - code) <= GUEST_CODE_MAX);
	memcpy(g->mem + GUEST_CODE_GPA, code, end - code);
}

void guest_idt(struct guest_cpu *cpu, uint64_t gpa)
{
	struct kvm_sregs s;

	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.idt.base = gpa;
	s.idt.limit = 0xfff;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

uint64_t guest_get_msr(struct guest_cpu *cpu, uint32_t index)
{
	struct one_msr m = { .head.nmsrs = 1, .entry.index = index };

	CHECK_EQ(ioctl(cpu->fd, KVM_GET_MSRS, &m), 1);
	return m.entry.data;
}

int guest_set_msr(struct guest_cpu *cpu, uint32_t index, uint64_t val)
{
	struct one_msr m = { .head.nmsrs = 1, .entry = { .index = index, .data = val } };

	return ioctl(cpu->fd, KVM_SET_MSRS, &m);
}

struct kvm_regs guest_regs(struct guest_cpu *cpu)
{
	struct kvm_regs r;

	MUST(ioctl(cpu->fd, KVM_GET_REGS, &r));
	return r;
}

void guest_call(struct guest_cpu *cpu, unsigned long entry, uint64_t rdi, uint64_t rsi,
		uint64_t rdx, uint64_t rcx)
{
	struct kvm_regs r = {
		.rip = GUEST_CODE_GPA + entry,
		.rsp = STACK_GPA + 0x400 * (cpu->id + 1),
		.rflags = 2 | cpu->guest->rflags,
		.rdi = rdi,
		.rsi = rsi,
		.rdx = rdx,
		.rcx = rcx,
	};

	MUST(ioctl(cpu->fd, KVM_SET_REGS, &r));
}

int guest_run(struct guest_cpu *cpu)
{
	int r;

	do {
		r = ioctl(cpu->fd, KVM_RUN, 0);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

void guest_expect(struct guest_cpu *cpu, uint32_t reason)
{
	struct kvm_run *run = cpu->run;

	if (run->exit_reason == reason)
		return;
	if (run->exit_reason == KVM_EXIT_MMIO)
		printf("# MMIO %s at %#llx\n", run->mmio.is_write ? "write" : "read",
		       (unsigned long long)run->mmio.phys_addr);
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		printf("# internal error %u\n", run->internal.suberror);
	if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		printf("# failed entry %#llx\n",
		       (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	FAIL("exit reason %u, not %u, at rip %#llx", run->exit_reason, reason,
	     (unsigned long long)guest_regs(cpu).rip);
}

uint64_t guest_exec(struct guest_cpu *cpu, unsigned long entry, uint64_t rdi, uint64_t rsi,
		    uint64_t rdx, uint64_t rcx)
{
	guest_call(cpu, entry, rdi, rsi, rdx, rcx);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	return guest_regs(cpu).rax;
}

/* Finds @name among the descriptors of a statistics file. */
static void find_stat(int fd, const char *name, struct kvm_stats_header *h,
		      struct kvm_stats_desc *found)
{
	struct kvm_stats_desc *desc;
	unsigned int i;

	CHECK_EQ(pread(fd, h, sizeof(*h), 0), sizeof(*h));
	desc = calloc(1, sizeof(*desc) + h->name_size);
	CHECK(desc);
	for (i = 0; i < h->num_desc; i++) {
		size_t size = sizeof(*desc) + h->name_size;

		CHECK_EQ(pread(fd, desc, size, h->desc_offset + i * size), size);
		if (!strcmp(desc->name, name))
			break;
	}
	if (i == h->num_desc)
		SKIP("no counter %s", name);
	memcpy(found, desc, sizeof(*desc));
	free(desc);
}

static int open_stats(int owner)
{
	int fd = ioctl(owner, KVM_GET_STATS_FD, NULL);

	if (fd < 0)
		SKIP("no statistics: %s", strerror(errno));
	return fd;
}

static uint64_t read_stat(int owner, const char *name)
{
	struct kvm_stats_header h;
	struct kvm_stats_desc desc;
	int fd = open_stats(owner);
	uint64_t val;

	find_stat(fd, name, &h, &desc);
	CHECK_EQ(pread(fd, &val, sizeof(val), h.data_offset + desc.offset), sizeof(val));
	close(fd);
	return val;
}

uint64_t guest_vm_stat(struct guest *g, const char *name)
{
	return read_stat(g->fd, name);
}

uint64_t guest_cpu_stat(struct guest_cpu *cpu, const char *name)
{
	return read_stat(cpu->fd, name);
}

uint32_t guest_stat_flags(int owner, const char *name)
{
	struct kvm_stats_header h;
	struct kvm_stats_desc desc;
	int fd = open_stats(owner);

	find_stat(fd, name, &h, &desc);
	close(fd);
	return desc.flags;
}
