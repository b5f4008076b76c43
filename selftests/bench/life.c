// SPDX-License-Identifier: GPL-2.0-only
/*
 * Group 4: a VM's life, and the kernel memory that it costs. "wall" is all
 * time, waiting for other CPUs and grace periods included; "cpu" this thread's.
 */
#include <fcntl.h>

#include "loop.h"

#define LIVES		20
#define CROWD		100
#define MANY_CPUS	64
#define RAM		(256ul << 20)
#define RAM_GPA		(1ul << 30)

enum { CREATE, FIRST, DESTROY, STEPS };

struct life {
	uint64_t wall[STEPS], cpu[STEPS];
};

GUEST void first_guest(void)
{
	report(0);
}

/* One VM with a vCPU, all chips and a slot; @mem is there before. */
static void create(struct guest *g, void *mem)
{
	memset(g, 0, sizeof(*g));
	g->dev = MUST(open(test_device, O_RDWR | O_CLOEXEC));
	g->run_size = MUST(ioctl(g->dev, KVM_GET_VCPU_MMAP_SIZE, 0));
	g->fd = MUST(ioctl(g->dev, KVM_CREATE_VM, 0));
	MUST(ioctl(g->fd, KVM_SET_TSS_ADDR, 0xfffbd000ul));
	MUST(ioctl(g->fd, KVM_CREATE_IRQCHIP, 0));
	g->mem = mem;
	g->size = 4 * PAGE_2M;
	guest_slot(g, 0, 0, 0, g->size, mem);
	guest_add_cpu(g);
}

static void destroy(struct guest *g)
{
	int i;

	for (i = 0; i < g->ncpus; i++) {
		munmap(g->cpu[i].run, g->run_size);
		close(g->cpu[i].fd);
	}
	close(g->fd);
	close(g->dev);
}

static void note(struct life *l, int step, uint64_t *wall, uint64_t *cpu)
{
	uint64_t w = rdtsc_(), c = bench_thread_ns();

	if (step < STEPS) {
		l->wall[step] = w - *wall;
		l->cpu[step] = c - *cpu;
	}
	*wall = rdtsc_();
	*cpu = bench_thread_ns();
}

static void live(struct life *l, void *mem)
{
	uint64_t wall, cpu;
	struct guest g;

	note(l, STEPS, &wall, &cpu);
	create(&g, mem);
	note(l, CREATE, &wall, &cpu);
	irq_long_mode(&g.cpu[0]);
	note(l, STEPS, &wall, &cpu);
	bench_exec(&g.cpu[0], first_guest);
	note(l, FIRST, &wall, &cpu);
	destroy(&g);
	note(l, DESTROY, &wall, &cpu);
}

static void *code(void)
{
	uint8_t *mem = guest_alloc(4 * PAGE_2M);

	memset(mem, 0, 4 * PAGE_2M);
	memcpy(mem + BENCH_CODE_GPA, __start_guest, __stop_guest - __start_guest);
	return mem;
}

/* The TSC's rate as the host gives it to vCPUs. */
static double ticks(double ns)
{
	struct guest g;

	create(&g, code());
	ns = bench_ticks(&g.cpu[0], ns);
	destroy(&g);
	return ns;
}

/* arg 0: the step; 1: its wall time */
static double lives(const struct row *row)
{
	uint64_t sample[LIVES];
	void *mem = code();
	struct life l;
	int i;

	for (i = 0; i < LIVES; i++) {
		live(&l, mem);
		sample[i] = row->arg[1] ? l.wall[row->arg[0]] : l.cpu[row->arg[0]];
	}
	return row->arg[1] ? bench_median(sample, LIVES) : ticks(bench_median(sample, LIVES));
}

/* -------- a crowd -------- */

static double crowd(const struct row *row)
{
	static struct guest g[CROWD];
	void *mem = code();
	uint64_t t = bench_thread_ns();
	int i;

	for (i = 0; i < CROWD; i++)
		create(&g[i], mem);
	for (i = 0; i < CROWD; i++)
		destroy(&g[i]);
	return ticks((double)(bench_thread_ns() - t)) / CROWD;
}

/* -------- memory -------- */

/* The sum of the numbers behind @label in a file of /proc. */
static double proc_sum(const char *path, const char *label)
{
	FILE *f = fopen(path, "r");
	double val, sum = 0;
	char line[256];

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		char *at = line + strspn(line, " ");

		if (!strncmp(at, label, strlen(label)) && sscanf(at + strlen(label), "%lf", &val) == 1)
			sum += val;
	}
	fclose(f);
	return sum;
}

/* With what CPUs keep on lists of their own. */
static double free_bytes(void)
{
	return proc_sum("/proc/meminfo", "MemFree:") * 1024 +
	       proc_sum("/proc/zoneinfo", "count:") * PAGE_4K;
}

/* The first VM fills caches that later ones find full. */
static double memory_vm(const struct row *row)
{
	static struct guest g[CROWD + 1];
	void *mem = code();
	double before;
	int i;

	create(&g[CROWD], mem);
	before = free_bytes();
	for (i = 0; i < CROWD; i++)
		create(&g[i], mem);
	return (before - free_bytes()) / CROWD;
}

static double memory_vcpu(const struct row *row)
{
	struct guest g;
	double before;
	int i;

	create(&g, code());
	before = free_bytes();
	for (i = 1; i <= MANY_CPUS; i++) {
		int fd = MUST(ioctl(g.fd, KVM_CREATE_VCPU, i));

		CHECK(mmap(NULL, g.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
		MUST(ioctl(fd, KVM_SET_CPUID2, (struct kvm_cpuid2 *)(char[8]){ 0 }));
	}
	return (before - free_bytes()) / MANY_CPUS;
}

GUEST void touch_guest(void)
{
	uint64_t at;

	for (at = BP->arg[0]; at < BP->arg[1]; at += PAGE_4K)
		*(volatile uint8_t *)at = 1;
	report(0);
}

/* Second-stage tables for RAM in small pages, which the host has already: of 1 GiB. */
static double memory_tables(const struct row *row)
{
	void *ram = guest_alloc(RAM);
	struct guest g;
	double before;

	create(&g, code());
	irq_long_mode(&g.cpu[0]);
	madvise(ram, RAM, MADV_NOHUGEPAGE);
	memset(ram, 1, RAM);
	guest_slot(&g, 1, 0, RAM_GPA, RAM, ram);
	bench(&g)->arg[0] = RAM_GPA;
	bench(&g)->arg[1] = RAM_GPA + RAM;
	before = free_bytes();
	bench_exec(&g.cpu[0], touch_guest);
	return (before - free_bytes()) * ((1ul << 30) / RAM);
}

static const struct row rows[] = {
	{ "create", lives, .arg = { CREATE, 0 } },
	{ "create.wall", lives, .arg = { CREATE, 1 } },
	{ "first-run", lives, .arg = { FIRST, 0 } },
	{ "destroy", lives, .arg = { DESTROY, 0 } },
	{ "destroy.wall", lives, .arg = { DESTROY, 1 } },
	{ "crowd", crowd },
	{ "memory.vm", memory_vm, "bytes" },
	{ "memory.vcpu", memory_vcpu, "bytes" },
	{ "memory.gib", memory_tables, "bytes" },
};

BENCH_MAIN(rows)
