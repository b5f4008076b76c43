// SPDX-License-Identifier: GPL-2.0-only
/* Who spins gives the CPU to who can use it: hypercall and PAUSE loops. */
#include "hypercall.h"

/* -------- KVM_HC_SCHED_YIELD -------- */

GUEST void yields_guest(void)
{
	uint64_t i;

	HC->ret = 0;
	for (i = 0; i < HC->times; i++)
		HC->ret |= hypercall_(KVM_HC_SCHED_YIELD, HC->arg[0], 0, 0, 0);
	report(1);
}

static void yields(struct guest_cpu *cpu, uint64_t to, unsigned int times)
{
	set_call(cpu->guest, 0, to, 0, 0, 0);
	hc(cpu->guest)->times = times;
	CHECK_EQ(irq_exec(cpu, yields_guest), 1);
	CHECK_EQ(hc(cpu->guest)->ret, 0);
}

static void nobody(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	pv_guest(&g, 2);
	cpu = &g.cpu[0];
	yields(cpu, 0, 3);
	yields(cpu, 1, 3);		/* it does not run */
	yields(cpu, 77, 3);
	yields(cpu, 1ull << 32 | 1, 3);
	CHECK_EQ(counted(cpu, "directed_yield_attempted"), 12);
	CHECK_EQ(counted(cpu, "directed_yield_successful"), 0);
}

/* Busy until flag 1, interruptible (Bochs interrupts no guest with IF clear). */
GUEST void busy_guest(void)
{
	HC->flag[0] = 1;
	sti_();
	while (!HC->flag[1])
		HC->flag[2]++;
	cli_();
	report(2);
}

static void preempted(void)
{
	struct guest_cpu *cpu;
	struct irq_thread t;
	struct guest g;

	on_cpu0();
	pv_guest(&g, 2);
	cpu = &g.cpu[0];
	enable_lapic(&g.cpu[1]);
	irq_start(&g.cpu[1], busy_guest);
	irq_thread(&t, &g.cpu[1]);
	wait_for(&hc(&g)->flag[0]);
	yields(cpu, 1, 300);
	hc(&g)->flag[1] = 1;
	CHECK_EQ(irq_join(&t), 2);
	CHECK_EQ(counted(cpu, "directed_yield_attempted"), 300);
	CHECK(counted(cpu, "directed_yield_successful") > 0);
}

/* -------- PAUSE loops -------- */

static bool cpu_has_word(const char *line, const char *word)
{
	char *text = NULL, *at;
	bool found = false;
	size_t size = 0;
	FILE *f = fopen("/proc/cpuinfo", "r");

	CHECK(f);
	while (!found && getline(&text, &size, f) > 0) {
		if (strncmp(text, line, strlen(line)))
			continue;
		for (at = strtok(text, " \t\n"); at; at = strtok(NULL, " \t\n"))
			found |= !strcmp(at, word);
	}
	free(text);
	fclose(f);
	return found;
}

static void want_pause_exits(void)
{
	if (device_is_kvm())
		SKIP("KVM does not count them");
	if (host_is_amd() ? !cpu_has_word("flags", "pfthreshold") : !cpu_has_word("vmx flags", "ple"))
		SKIP("PAUSE loops do not exit on this CPU");
}

GUEST void spin_guest(void)
{
	uint64_t start = rdtsc_();

	sti_();
	while (rdtsc_() - start < HC->arg[0])
		pause_();
	cli_();
	report(1);
}

#define SPIN_TICKS	20000000ull

/* Fewer and fewer exits: the window is 4096 ticks only at first. */
static void window(void)
{
	struct guest_cpu *cpu;
	uint64_t exits;
	struct guest g;

	want_pause_exits();
	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	set_call(&g, 0, SPIN_TICKS, 0, 0, 0);
	CHECK_EQ(irq_exec(cpu, spin_guest), 1);
	exits = counted(cpu, "exit_pause");
	CHECK(exits > 3 && exits < 1000);
}

static void window_closed(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	want_pause_exits();
	guest_create(&g, 4 * PAGE_2M);
	CHECK_EQ(try_enable(&g, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_PAUSE), 0);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	guest_load(&g, __start_guest, __stop_guest);
	irq_gates(&g);
	cpu = guest_add_cpu(&g);
	irq_long_mode(cpu);
	set_call(&g, 0, SPIN_TICKS, 0, 0, 0);
	CHECK_EQ(irq_exec(cpu, spin_guest), 1);
	CHECK_EQ(counted(cpu, "exit_pause"), 0);
}

/* Each waits for the other to count on; flag 3 tells how far they are. */
GUEST_INLINE void ping_pong(uint64_t mine)
{
	uint64_t at;

	sti_();
	for (;;) {
		at = HC->flag[3];
		if (at >= HC->times)
			break;
		if ((at & 1) == mine)
			HC->flag[3] = at + 1;
		else
			pause_();
	}
	cli_();
	report(3);
}

GUEST void ping_guest(void)
{
	ping_pong(0);
}

GUEST void pong_guest(void)
{
	ping_pong(1);
}

static void spinners(void)
{
	struct irq_thread t[2];
	struct guest g;
	uint64_t start;

	on_cpu0();
	pv_guest(&g, 2);
	hc(&g)->times = 100;
	irq_start(&g.cpu[0], ping_guest);
	irq_start(&g.cpu[1], pong_guest);
	start = now_ns();
	irq_thread(&t[0], &g.cpu[0]);
	irq_thread(&t[1], &g.cpu[1]);
	CHECK_EQ(irq_join(&t[0]), 3);
	CHECK_EQ(irq_join(&t[1]), 3);
	printf("# 100 turns in %llu us\n", (unsigned long long)(now_ns() - start) / 1000);
	want_pause_exits();
	CHECK(counted(&g.cpu[0], "exit_pause") + counted(&g.cpu[1], "exit_pause") > 0);
	CHECK(counted(&g.cpu[0], "pause_yields") + counted(&g.cpu[1], "pause_yields") > 0);
}

static const struct test tests[] = {
	{ "KVM_HC_SCHED_YIELD to nobody", nobody },
	{ "KVM_HC_SCHED_YIELD to a vCPU that lost the CPU", preempted },
	{ "window of PAUSE loops", window },
	{ "PAUSE loops without exits", window_closed },
	{ "two that spin for each other", spinners },
};

TEST_MAIN(tests)
