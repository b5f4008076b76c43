// SPDX-License-Identifier: GPL-2.0-only
/* Memory slots: errno values, and what the guest sees of each change. */
#include <sys/resource.h>

#include "code.h"

#define MB		(1ul << 20)

#ifndef KVM_MEM_GUEST_MEMFD
#define KVM_MEM_GUEST_MEMFD	(1u << 2)
#endif

struct region_case {
	const char *what;
	uint32_t slot, flags;
	uint64_t gpa, size;
	int64_t hva;		/* added to the address of some memory */
	int want;
};

/* With slot 0 at [0, 32M) and slot 1 at [64M, 68M). */
static const struct region_case cases[] = {
	{ "size not of pages", 2, 0, 128 * MB, 0x1800, 0, -EINVAL },
	{ "gpa not of pages", 2, 0, 128 * MB + 8, 0x1000, 0, -EINVAL },
	{ "hva not of pages", 2, 0, 128 * MB, 0x1000, 8, -EINVAL },
	{ "hva in the kernel", 2, 0, 128 * MB, 0x1000, 1ll << 62, -EINVAL },
	{ "gpa wraps", 2, 0, -0x1000ull, 0x2000, 0, -EINVAL },
	{ "gpa beyond the machine", 2, 0, 1ull << 52, 0x1000, 0, -EINVAL },
	{ "slot too high", 32764, 0, 128 * MB, 0x1000, 0, -EINVAL },
	{ "address space too high", 2u << 16, 0, 128 * MB, 0x1000, 0, -EINVAL },
	{ "unknown flag", 2, 1u << 5, 128 * MB, 0x1000, 0, -EINVAL },
	{ "guest_memfd", 2, KVM_MEM_GUEST_MEMFD, 128 * MB, 0x1000, 0, -EINVAL },
	{ "delete what is not there", 2, 0, 0, 0, 0, -EINVAL },
	{ "overlaps the end of slot 1", 2, 0, 68 * MB - 0x1000, 0x2000, 0, -EEXIST },
	{ "overlaps the start of slot 1", 2, 0, 64 * MB - 0x1000, 0x2000, 0, -EEXIST },
	{ "inside slot 1", 2, 0, 65 * MB, 0x1000, 0, -EEXIST },
	{ "around slot 1", 2, 0, 60 * MB, 16 * MB, 0, -EEXIST },
	{ "slot 1 with another size", 1, 0, 64 * MB, 2 * MB, 0, -EINVAL },
	{ "slot 1 with other memory", 1, 0, 64 * MB, 4 * MB, 0x1000, -EINVAL },
	{ "slot 1 made read-only", 1, KVM_MEM_READONLY, 64 * MB, 4 * MB, 0, -EINVAL },
	{ "slot 1 moved over slot 0", 1, 0, 30 * MB, 4 * MB, 0, -EEXIST },
	{ "slot 1 moved too high", 1, 0, 1ull << 52, 4 * MB, 0, -EINVAL },
	{ "slot 1 as it is", 1, 0, 64 * MB, 4 * MB, 0, 0 },
	{ "slot 1 moved over itself", 1, 0, 66 * MB, 4 * MB, 0, 0 },
	{ "slot 1 moved back", 1, 0, 64 * MB, 4 * MB, 0, 0 },
	{ "slot 1 logged", 1, KVM_MEM_LOG_DIRTY_PAGES, 64 * MB, 4 * MB, 0, 0 },
	{ "slot 1 no more logged", 1, 0, 64 * MB, 4 * MB, 0, 0 },
	{ "just above slot 1", 2, 0, 68 * MB, 0x1000, 0, 0 },
	{ "just below slot 1", 3, 0, 64 * MB - 0x1000, 0x1000, 0, 0 },
	{ "the highest slot", 32763, 0, 128 * MB, 0x1000, 0, 0 },
	{ "delete slot 1", 1, 0, 0, 0, 0, 0 },
	{ "delete slot 1 again", 1, 0, 0, 0, 0, -EINVAL },
	{ "slot 1 anew elsewhere", 1, KVM_MEM_READONLY, 256 * MB, 2 * MB, 0, 0 },
};

static void errno_table(void)
{
	struct guest g;
	uint8_t *mem = guest_alloc(32 * MB);
	unsigned int i;

	guest_create(&g, 32 * MB);
	guest_slot(&g, 1, 0, 64 * MB, 4 * MB, mem);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct region_case *c = &cases[i];
		int r = guest_try_slot(&g, c->slot, c->flags, c->gpa, c->size, mem + c->hva);

		if (r != c->want)
			FAIL("%s: %d, not %d", c->what, r, c->want);
	}
}

static void expect_mmio(struct guest_cpu *cpu, unsigned long entry, uint64_t gpa, uint64_t val,
			bool write)
{
	struct kvm_run *run = cpu->run;

	guest_call(cpu, entry, gpa, val, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(run->mmio.phys_addr, gpa);
	CHECK_EQ(run->mmio.len, 8);
	CHECK_EQ(run->mmio.is_write, write);
	if (write)
		CHECK(!memcmp(run->mmio.data, &val, 8));
	else
		memcpy(run->mmio.data, &val, 8);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	if (!write)
		CHECK_EQ(guest_regs(cpu).rax, val);
}

static void beyond(void)
{
	struct guest g;

	mm_guest(&g, 32 * MB, 1);
	expect_mmio(&g.cpu[0], ENTRY(read), 32 * MB, 0x1122334455667788, false);
	expect_mmio(&g.cpu[0], ENTRY(write), 0xfee80000, 0x8877665544332211, true);
	expect_mmio(&g.cpu[0], ENTRY(read), 3ul << 30, 5, false);
}

static void move(void)
{
	uint64_t *mem = guest_alloc(4 * MB);
	struct guest_cpu *cpu;
	struct guest g;

	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	guest_slot(&g, 1, 0, 64 * MB, 4 * MB, mem);
	CALL(cpu, fill, 64 * MB, 68 * MB, 0x1000, 7);
	guest_slot(&g, 1, 0, 96 * MB, 4 * MB, mem);
	expect_mmio(cpu, ENTRY(read), 64 * MB, 1, false);
	CHECK_EQ(CALL(cpu, read, 96 * MB + 0x3000), (64 * MB + 0x3000) ^ 7);
	/* By one page: nothing is congruent any more. */
	guest_slot(&g, 1, 0, 96 * MB + 0x1000, 4 * MB, mem);
	CHECK_EQ(CALL(cpu, read, 96 * MB + 0x4000), (64 * MB + 0x3000) ^ 7);
	CALL(cpu, fill, 96 * MB + 0x1000, 100 * MB + 0x1000, 0x1000, 9);
	CHECK_EQ(mem[0], (96 * MB + 0x1000) ^ 9);
	CHECK_EQ(mem[4 * MB / 8 - 512], 100 * MB ^ 9);
	expect_mmio(cpu, ENTRY(write), 96 * MB, 1, true);
}

static void delete(void)
{
	uint64_t *a = guest_alloc(4 * MB), *b = guest_alloc(4 * MB);
	struct guest_cpu *cpu;
	struct guest g;

	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	guest_slot(&g, 1, 0, 64 * MB, 4 * MB, a);
	CALL(cpu, fill, 64 * MB, 68 * MB, 0x1000, 1);
	guest_slot(&g, 1, 0, 0, 0, NULL);
	expect_mmio(cpu, ENTRY(read), 65 * MB, 3, false);
	guest_slot(&g, 1, 0, 64 * MB, 4 * MB, b);
	CHECK_EQ(CALL(cpu, zeros, 64 * MB, 68 * MB, 0x1000), 0);
	CALL(cpu, write, 64 * MB, 5);
	CHECK_EQ(b[0], 5);
	CHECK_EQ(a[0], 64 * MB ^ 1);
}

GUEST_CODE(from_device, ".code64\n movsq; hlt");

static void read_only(void)
{
	uint64_t *mem = guest_alloc(2 * MB);
	struct guest_cpu *cpu;
	struct guest g;

	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	guest_slot(&g, 1, KVM_MEM_READONLY, 64 * MB, 2 * MB, mem);
	CHECK_EQ(CALL(cpu, read, 64 * MB), 0);
	mem[0] = 0x1234;
	CHECK_EQ(CALL(cpu, read, 64 * MB), 0x1234);
	expect_mmio(cpu, ENTRY(write), 64 * MB, 0x4321, true);
	expect_mmio(cpu, ENTRY(write), 64 * MB + 0x5008, 0x4321, true);
	CHECK_EQ(mem[0], 0x1234);
	CHECK_EQ(CALL(cpu, read, 64 * MB), 0x1234);
	/* What an emulated instruction writes, too. */
	guest_load_code(&g, from_device);
	guest_call(cpu, 0, 64 * MB, 128 * MB, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.phys_addr, 128 * MB);
	memset(cpu->run->mmio.data, 0x99, 8);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.phys_addr, 64 * MB);
	CHECK_EQ(cpu->run->mmio.is_write, 1);
	CHECK_EQ(cpu->run->mmio.data[0], 0x99);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	CHECK_EQ(mem[0], 0x1234);
}

/* A slot over memory that is not there costs its user an error, not the guest. */
static void bad_hva(void)
{
	uint8_t *mem = guest_alloc(2 * MB);
	struct guest g;

	mm_guest(&g, 32 * MB, 1);
	munmap(mem, 2 * MB);
	guest_slot(&g, 1, 0, 64 * MB, 2 * MB, mem);
	guest_call(&g.cpu[0], ENTRY(read), 64 * MB, 0, 0, 0);
	CHECK_EQ(guest_run(&g.cpu[0]), -EFAULT);
	CHECK_EQ(guest_run(&g.cpu[0]), -EFAULT);
	mmap(mem, 2 * MB, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mem[0] = 9;
	CHECK_EQ(guest_run(&g.cpu[0]), 0);
	guest_expect(&g.cpu[0], KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(&g.cpu[0]).rax, 9);
}

/* The same host memory twice: the host's changes must reach both places. */
static void alias(void)
{
	uint64_t *mem = guest_alloc(2 * MB);
	struct guest_cpu *cpu;
	struct guest g;

	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	guest_slot(&g, 1, 0, 64 * MB, 2 * MB, mem);
	guest_slot(&g, 2, 0, 96 * MB, MB, mem + MB / 16);
	CALL(cpu, write, 64 * MB + MB / 2, 77);
	CHECK_EQ(CALL(cpu, read, 96 * MB), 77);
	MUST(madvise(mem, 2 * MB, MADV_DONTNEED));
	CHECK_EQ(CALL(cpu, read, 96 * MB), 0);
	CHECK_EQ(CALL(cpu, read, 64 * MB + MB / 2), 0);
	CALL(cpu, write, 96 * MB, 78);
	CHECK_EQ(CALL(cpu, read, 64 * MB + MB / 2), 78);
}

static void many(void)
{
	enum { N = 512 };
	uint64_t *mem = guest_alloc(N * PAGE_4K);
	struct guest_cpu *cpu;
	struct guest g;
	int i;

	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	/* Neighbours in the guest are strangers in the host. */
	for (i = 0; i < N; i++)
		guest_slot(&g, 1 + i, 0, 64 * MB + i * PAGE_4K, PAGE_4K,
			   mem + (i * 5 % N) * 512);
	CALL(cpu, fill, 64 * MB, 64 * MB + N * PAGE_4K, PAGE_4K, 3);
	for (i = 0; i < N; i++)
		CHECK_EQ(mem[(i * 5 % N) * 512], (64 * MB + i * PAGE_4K) ^ 3);
	for (i = 0; i < N; i += 2)
		guest_slot(&g, 1 + i, 0, 0, 0, NULL);
	expect_mmio(cpu, ENTRY(read), 64 * MB, 1, false);
	CHECK_EQ(CALL(cpu, check, 64 * MB + PAGE_4K, 64 * MB + N * PAGE_4K, 2 * PAGE_4K, 3), 0);
}

/* Moved to and fro while the guest writes: it sees memory or MMIO, never chaos. */
static void move_running(void)
{
	uint8_t *mem = guest_alloc(4 * MB);
	struct guest_cpu *cpu;
	struct guest g;
	int i;

	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	guest_slot(&g, 1, 0, 64 * MB, 4 * MB, mem);
	mm_start_bump(cpu, DATA_GPA, DATA_GPA + 4 * MB, PAGE_4K);
	for (i = 0; i < 50; i++)
		guest_slot(&g, 1, 0, (i & 1 ? 64 : 72) * MB, 4 * MB, mem);
	CHECK(mm_stop(cpu) > 0);
}

static void *run_through_holes(void *arg)
{
	struct guest_cpu *cpu = arg;
	long r;

	do
		r = guest_run(cpu);
	while (!r && cpu->run->exit_reason == KVM_EXIT_MMIO);
	return (void *)r;
}

/*
 * By a page at a time, under a guest that writes there: at its new place the old pages are
 * still mapped for a moment, read-only ones of zeroes, and must not be taken for the new ones.
 */
static void move_over_itself(void)
{
	uint64_t *mem = mmap(NULL, 4 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t base = 64 * MB;
	struct guest_cpu *cpu;
	struct guest g;
	int i;

	CHECK(mem != MAP_FAILED);
	madvise(mem, 4 * MB, MADV_NOHUGEPAGE);
	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	guest_slot(&g, 1, 0, base, 4 * MB, mem);
	for (i = 0; i < 20; i++) {
		MUST(madvise(mem, 4 * MB, MADV_DONTNEED));
		CHECK_EQ(CALL(cpu, zeros, base, base + 4 * MB, PAGE_4K), 0);
		*(volatile uint64_t *)(g.mem + STOP_GPA) = 0;
		guest_call(cpu, ENTRY(bump), base, base + 4 * MB, PAGE_4K, STOP_GPA);
		CHECK_EQ(pthread_create(&cpu->thread, NULL, run_through_holes, cpu), 0);
		while (!*(volatile uint64_t *)(mem + i * 512))
			sched_yield();
		base += PAGE_4K;
		guest_slot(&g, 1, 0, base, 4 * MB, mem);
		CHECK(mm_stop(cpu) > 0);
	}
	CALL(cpu, write, base, 77);
	CHECK_EQ(mem[0], 77);
}

GUEST_CODE(ins,
	".code64\n"
	"	mov %rsi, %rcx; mov $0x70, %edx; cld; rep insb; hlt");

/* RAM that goes while user space serves a batch for it. */
static void gone_under_ins(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	if (device_is_kvm())
		SKIP("KVM goes on by MMIO, eight bytes at a time");
	mm_guest(&g, 32 * MB, 1);
	cpu = &g.cpu[0];
	guest_load_code(&g, ins);
	guest_slot(&g, 1, 0, 64 * MB, 4 * MB, guest_alloc(4 * MB));
	guest_call(cpu, 0, 64 * MB, PAGE_4K, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(cpu->run->io.port, 0x70);
	CHECK(cpu->run->io.count > 8);
	memset((char *)cpu->run + cpu->run->io.data_offset, 0xee, cpu->run->io.count);
	guest_slot(&g, 1, 0, 0, 0, NULL);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_INTERNAL_ERROR);
	CHECK_EQ(cpu->run->internal.suberror, KVM_INTERNAL_ERROR_EMULATION);
}

static int prefault(struct guest_cpu *cpu, struct kvm_pre_fault_memory *range)
{
	return ioctl(cpu->fd, KVM_PRE_FAULT_MEMORY, range) ? -errno : 0;
}

static void map_ahead(void)
{
	struct kvm_pre_fault_memory r = { .gpa = 64 * MB, .size = 4 * MB };
	uint8_t *mem = guest_alloc(4 * MB);
	struct guest g;
	uint64_t base;

	mm_guest(&g, 32 * MB, 1);
	if (ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) <= 0)
		SKIP("not offered");
	madvise(mem, 4 * MB, MADV_NOHUGEPAGE);
	guest_slot(&g, 1, 0, 64 * MB, 4 * MB, mem);
	base = guest_vm_stat(&g, "pages_4k");
	CHECK_EQ(prefault(&g.cpu[0], &r), 0);
	CHECK_EQ(r.size, 0);
	CHECK_EQ(r.gpa, 68 * MB);
	CHECK(guest_vm_stat(&g, "pages_4k") >= base + 1024);
	r = (struct kvm_pre_fault_memory){ .gpa = 68 * MB - 0x1000, .size = 0x2000 };
	CHECK_EQ(prefault(&g.cpu[0], &r), 0);
	CHECK_EQ(r.gpa, 68 * MB);
	CHECK_EQ(r.size, 0x1000);
	CHECK_EQ(prefault(&g.cpu[0], &r), -ENOENT);
	r.gpa = 64 * MB + 8;
	CHECK_EQ(prefault(&g.cpu[0], &r), -EINVAL);
	CHECK_EQ(CALL(&g.cpu[0], read, 64 * MB), 0);
}

static const struct test tests[] = {
	{ "errno_table", errno_table },
	{ "beyond_slots_is_mmio", beyond },
	{ "move", move },
	{ "delete", delete },
	{ "read_only", read_only },
	{ "bad_hva", bad_hva },
	{ "alias", alias },
	{ "many", many, 180 },
	{ "move_while_running", move_running },
	{ "move_over_itself", move_over_itself, 180 },
	{ "prefault", map_ahead },
	{ "gone_under_ins", gone_under_ins },
};

TEST_MAIN(tests)
