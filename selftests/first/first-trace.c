// SPDX-License-Identifier: GPL-2.0-only
/* What a guest does is seen: in the counters, exactly, and in the tracepoints. */
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

#include "first.h"

#define INSTANCE	"/sys/kernel/tracing/instances/vmm-first-trace"
#define TRACE_MAX	(4 << 20)
#define FRESH_GPA	(PAGE_2M + 0x1000)	/* touched by nobody before */
#define NO_RAM		0x40000008ul

/* -------- counters -------- */

/* EDI CPUIDs, a write to RDX pages from RSI on, ECX reads and writes of IA32_MISC_ENABLE. */
GUEST_CODE(count,
	".code64\n"
	"	mov %rdx, %r9; mov %ecx, %r10d\n"
	"1:	test %edi, %edi; jz 2f\n"
	"	xor %eax, %eax; xor %ecx, %ecx; cpuid; dec %edi; jmp 1b\n"
	"2:	test %r9, %r9; jz 3f\n"
	"	mov %r9, (%rsi); add $0x1000, %rsi; dec %r9; jmp 2b\n"
	"3:	test %r10d, %r10d; jz 4f\n"
	"	mov $0x1a0, %ecx; rdmsr; wrmsr; dec %r10d; jmp 3b\n"
	"4:	hlt\n");

enum { CPUIDS, PAGES, MSRS, RUNS };

static const struct count_row {
	const char *name;
	int grows_by;
} count_rows[] = {
	{ "exit_cpuid", CPUIDS },
	{ "exit_tdp_fault", PAGES },
	{ "pf_taken", PAGES },
	{ "pf_fixed", PAGES },
	{ "exit_rdmsr", MSRS },
	{ "exit_wrmsr", MSRS },
	{ "exit_hlt", RUNS },
	{ "halt_exits", RUNS },
};

#define NR_ROWS (sizeof(count_rows) / sizeof(count_rows[0]))

static void counters(void)
{
	static const int wants[][4] = {
		{ 5, 0, 0, 1 }, { 0, 3, 0, 1 }, { 0, 0, 4, 1 }, { 2, 7, 1, 1 }, { 0, 0, 0, 1 },
	};
	uint64_t before[NR_ROWS], next = FRESH_GPA;
	struct guest g;
	struct guest_cpu *cpu = long_guest(&g);
	unsigned int i, k;

	MUST(madvise(g.mem, g.size, MADV_NOHUGEPAGE));
	guest_load_code(&g, count);
	/* Everything but the pages has been touched after this. */
	guest_exec(cpu, 0, 1, PAGE_2M, 1, 1);
	for (i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
		const int *n = wants[i];

		for (k = 0; k < NR_ROWS; k++)
			before[k] = guest_cpu_stat(cpu, count_rows[k].name);
		guest_exec(cpu, 0, n[CPUIDS], next, n[PAGES], n[MSRS]);
		next += n[PAGES] * PAGE_4K;
		for (k = 0; k < NR_ROWS; k++) {
			const struct count_row *row = &count_rows[k];
			uint64_t grew = guest_cpu_stat(cpu, row->name) - before[k];

			if (grew != (uint64_t)n[row->grows_by])
				FAIL("%s grew by %llu, not %d", row->name,
				     (unsigned long long)grew, n[row->grows_by]);
		}
	}
}

/* Each entry ends in one exit of one kind. */
static void histogram(void)
{
	static const char *const kinds[] = {
		"none", "cpuid", "hlt", "io", "rdmsr", "wrmsr", "cr", "dr", "tdp_fault",
		"hypercall", "exception", "nmi", "extint", "irq_window", "nmi_window",
		"triple_fault", "task_switch", "invlpg", "wbinvd", "xsetbv", "rdpmc",
		"monitor", "mwait", "pause", "ud", "cr8", "preempt_timer", "fail_entry",
		"unknown", "broken",
	};
	struct guest g;
	struct guest_cpu *cpu = long_guest(&g);
	uint64_t sum = 0;
	unsigned int i;

	guest_load_code(&g, count);
	guest_exec(cpu, 0, 9, FRESH_GPA, 9, 9);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		char name[48];

		snprintf(name, sizeof(name), "exit_%s", kinds[i]);
		sum += guest_cpu_stat(cpu, name);
		CHECK_EQ(guest_stat_flags(cpu->fd, name),
			 KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE |
			 KVM_STATS_BASE_POW10);
	}
	CHECK_EQ(guest_cpu_stat(cpu, "exits"), sum);
	CHECK(sum >= 3 * 9 + 1);
}

/* Pages that are mapped may become fewer; faults do not. */
static void types(void)
{
	static const char *const gauges[] = { "pages_4k", "pages_2m", "pages_1g" };
	struct guest g;
	struct guest_cpu *cpu = long_guest(&g);
	unsigned int i;

	for (i = 0; i < 3; i++)
		CHECK_EQ(guest_stat_flags(g.fd, gauges[i]) & KVM_STATS_TYPE_MASK,
			 KVM_STATS_TYPE_INSTANT);
	CHECK_EQ(guest_stat_flags(g.fd, "remote_tlb_flush") & KVM_STATS_TYPE_MASK,
		 KVM_STATS_TYPE_CUMULATIVE);
	CHECK_EQ(guest_stat_flags(cpu->fd, "pf_taken") & KVM_STATS_TYPE_MASK,
		 KVM_STATS_TYPE_CUMULATIVE);
}

/* -------- tracepoints -------- */

/* One of each, an OUT to port 0x42 amid; RDI says Intel. The local APIC is at its usual place. */
GUEST_CODE(traced,
	".code64\n"
	"	mov $0x12, %eax; mov $3, %ecx; cpuid\n"
	"	mov $0x1a0, %ecx; rdmsr; wrmsr\n"
	"	movq $1, 0x201008\n"
	"	movl $2, 0x40000008\n"
	"	mov $0x12345, %ecx; rdmsr\n"
	"traced_on: out %al, $0x42\n"
	"	mov $0x4d2, %eax; test %edi, %edi; jz 1f; vmcall; jmp 2f\n"
	"1:	vmmcall\n"
	"2:	mov $0xfee00000, %ebx\n"
	"	movl $0x1ff, 0xf0(%rbx)\n"
	"	movl $0x40030, 0x300(%rbx)\n"
	"	sti; nop; cli\n"
	"	movl $0xb, 0x3e0(%rbx); movl $0x31, 0x320(%rbx)\n"
	"	movl $100000000, 0x380(%rbx)\n"
	"	sti; hlt; cli\n"
	"	out %al, $0x43\n"
	"traced_gp: add $8, %rsp; movq $traced_on - traced + 0x8000, (%rsp); iretq\n"
	"traced_irq: movl $0, 0xb0(%rbx); iretq\n");

extern const char traced_gp[], traced_irq[];

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = strlen(text);
	bool good;

	if (fd < 0)
		return false;
	good = write(fd, text, len) == len;
	close(fd);
	return good;
}

static char *get(const char *path)
{
	static char text[TRACE_MAX];
	int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
	size_t len = 0;
	ssize_t n;

	while ((n = MUST(read(fd, text + len, TRACE_MAX - 1 - len))) > 0)
		len += n;
	close(fd);
	text[len] = '\0';
	return text;
}

static void trace_begin(void)
{
	if (access("/sys/kernel/tracing/events/vmm", F_OK))
		SKIP("no vmm tracepoints: %s", strerror(errno));
	rmdir(INSTANCE);
	MUST(mkdir(INSTANCE, 0700));
	CHECK(put(INSTANCE "/events/vmm/enable", "1"));
}

static void trace_end(void)
{
	CHECK(put(INSTANCE "/events/vmm/enable", "0"));
}

/* NULL: only there, as nothing here makes the host age its pages. */
static const struct event_row {
	const char *name;
	const char *text;
} event_rows[] = {
	{ "vmm_entry", "vcpu 0 rip 0x8000\n" },
	{ "vmm_exit", "vcpu 0 kind cpuid reason " },
	{ "vmm_exit", "vcpu 0 kind tdp_fault reason " },
	{ "vmm_exit", "vcpu 0 kind io reason " },
	{ "vmm_cpuid", "vcpu 0 func 0x12 idx 0x3 rax 0x" },
	{ "vmm_msr", "vcpu 0 msr_read 0x1a0 = 0x" },
	{ "vmm_msr", "vcpu 0 msr_write 0x1a0 = 0x" },
	{ "vmm_msr", "vcpu 0 msr_read 0x12345 = 0x0 (#GP)\n" },
	{ "vmm_inj_exception", "vcpu 0 vector 13 error 0x0\n" },
	{ "vmm_page_fault", "vcpu 0 gpa 0x201008 access 0x2 result 0\n" },
	{ "vmm_page_fault", "vcpu 0 gpa 0x40000008 access 0x2 result 1\n" },
	{ "vmm_mmio", "vcpu 0 mmio write len 4 gpa 0x40000008\n" },
	{ "vmm_pio", "vcpu 0 pio_write at 0x42 size 1 count 1\n" },
	{ "vmm_userspace_exit", "vcpu 0 reason 6 (0)\n" },	/* KVM_EXIT_MMIO */
	{ "vmm_userspace_exit", "vcpu 0 reason 2 (0)\n" },	/* KVM_EXIT_IO */
	{ "vmm_hypercall", "vcpu 0 nr 0x4d2 ret -1000\n" },
	{ "vmm_apic_ipi", "vcpu 0 icr 0x40030 dest 0x0\n" },
	{ "vmm_inj_virq", "vcpu 0 vector 0x30\n" },
	{ "vmm_inj_virq", "vcpu 0 vector 0x31\n" },
	{ "vmm_vcpu_wakeup", "vcpu 0 wait time " },
	{ "vmm_smm_transition", "vcpu 0: entering SMM, smbase 0x30000\n" },
	{ "vmm_smm_transition", "vcpu 0: leaving SMM, smbase 0x30000\n" },
	{ "vmm_unmap_hva_range", "hva 0x" },
	{ "vmm_age_hva", NULL },
};

#define NR_EVENTS (sizeof(event_rows) / sizeof(event_rows[0]))

static bool intel(void)
{
	return strstr(get("/proc/cpuinfo"), "GenuineIntel");
}

static void run_traced(struct guest *g)
{
	struct guest_cpu *cpu;

	guest_create(g, 4 * PAGE_2M);
	MUST(madvise(g->mem, g->size, MADV_NOHUGEPAGE));
	MUST(ioctl(g->fd, KVM_CREATE_IRQCHIP, 0));
	cpu = long_cpu(g);
	guest_load_code(g, traced);
	/* RSM is all that the handler of SMIs does. */
	guest_slot(g, 1 << 16, 0, 0, g->size, g->mem);
	memcpy(g->mem + 0x38000, "\x0f\xaa", 2);
	set_gate(g, 13, traced_gp - traced);
	set_gate(g, 0x30, traced_irq - traced);
	set_gate(g, 0x31, traced_irq - traced);
	guest_call(cpu, 0, intel(), 0, 0, 0);
	trace_begin();
	expect_exit(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.phys_addr, NO_RAM);
	expect_out(cpu, 0x42);
	MUST(ioctl(cpu->fd, KVM_SMI, 0));
	expect_out(cpu, 0x43);
	MUST(madvise(g->mem + FRESH_GPA, PAGE_4K, MADV_DONTNEED));
	trace_end();
}

static unsigned int count_lines(const char *text, const char *what)
{
	unsigned int n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void show_lines(const char *text)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		printf("# %.*s\n", (int)strcspn(text, "\n"), text);
}

/* Each tracepoint speaks of what this guest did. */
static void events(void)
{
	struct guest g;
	const char *text;
	unsigned int i;

	run_traced(&g);
	text = get(INSTANCE "/trace");
	for (i = 0; i < NR_EVENTS; i++) {
		const struct event_row *row = &event_rows[i];
		char want[128];

		snprintf(want, sizeof(want), " %s: %s", row->name, row->text ? row->text : "");
		if (!row->text || strstr(text, want))
			continue;
		show_lines(text);
		FAIL("no line with '%.*s'", (int)strcspn(want, "\n"), want);
	}
	CHECK_EQ(count_lines(text, " vmm_entry: "), count_lines(text, " vmm_exit: "));
	CHECK_EQ(count_lines(text, " kind cpuid "), 1);
	CHECK_EQ(count_lines(text, " vmm_cpuid: "), 1);
	CHECK_EQ(count_lines(text, " kind hlt "), 1);
	rmdir(INSTANCE);
}

static bool has_row(const char *name)
{
	unsigned int i;

	for (i = 0; i < NR_EVENTS; i++) {
		if (!strcmp(event_rows[i].name, name))
			return true;
	}
	return false;
}

/* A new tracepoint wants a line above; programs that read traces want numbers, not our names. */
static void formats(void)
{
	glob_t found;
	size_t i;

	trace_begin();
	trace_end();
	CHECK_EQ(glob(INSTANCE "/events/vmm/vmm_*", 0, NULL, &found), 0);
	for (i = 0; i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;

		if (!has_row(name))
			FAIL("nothing looks at %s", name);
	}
	CHECK(found.gl_pathc >= 14);
	globfree(&found);
	rmdir(INSTANCE);
	CHECK(strstr(get("/sys/kernel/tracing/events/vmm/vmm_exit/format"), "{ 1, \"cpuid\" }"));
}

static const struct test tests[] = {
	{ "counters", counters },
	{ "histogram", histogram },
	{ "types", types },
	{ "events", events },
	{ "formats", formats },
};

TEST_MAIN(tests)
