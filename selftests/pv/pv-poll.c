// SPDX-License-Identifier: GPL-2.0-only
/* Polling in HLT: how it adapts, who may switch it off, what is counted. */
#include "hypercall.h"

#define POLL_CONTROL	0x4b564d05
#define NR_BUCKETS	32

/* -------- parameters -------- */

static unsigned long parameter(const char *name)
{
	char path[128];
	unsigned long val;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s",
		 device_is_kvm() ? "kvm" : "vmm", name);
	f = fopen(path, "r");
	CHECK(f);
	CHECK_EQ(fscanf(f, "%lu", &val), 1);
	fclose(f);
	return val;
}

static void parameters(void)
{
	CHECK_EQ(parameter("halt_poll_ns"), 200000);
	CHECK_EQ(parameter("halt_poll_ns_grow"), 2);
	CHECK_EQ(parameter("halt_poll_ns_grow_start"), 10000);
	CHECK_EQ(parameter("halt_poll_ns_shrink"), 2);
}

/* -------- poll control -------- */

GUEST void msr_guest(void)
{
	HC->flag[0] = rdmsr_(POLL_CONTROL);
	wrmsr_(POLL_CONTROL, HC->arg[0]);
	HC->flag[1] = rdmsr_(POLL_CONTROL);
	report(1);
}

static bool listed(struct guest *g, uint32_t msr)
{
	struct {
		struct kvm_msr_list head;
		uint32_t index[512];
	} list = { .head.nmsrs = 512 };
	unsigned int i;

	MUST(ioctl(g->dev, KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < list.head.nmsrs; i++)
		if (list.head.indices[i] == msr)
			return true;
	return false;
}

static void poll_control(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	pv_guest(&g, 1);
	cpu = &g.cpu[0];
	CHECK(guest_cpuid_reg(&g, KVM_CPUID_FEATURES, 0, 0) & 1 << KVM_FEATURE_POLL_CONTROL);
	CHECK(listed(&g, POLL_CONTROL));
	CHECK_EQ(guest_get_msr(cpu, POLL_CONTROL), 1);
	set_call(&g, 0, 0, 0, 0, 0);
	CHECK_EQ(irq_exec(cpu, msr_guest), 1);
	CHECK_EQ(hc(&g)->flag[0], 1);
	CHECK_EQ(hc(&g)->flag[1], 0);
	set_call(&g, 0, 2, 0, 0, 0);
	irq_start(cpu, msr_guest);
	CHECK_EQ(any_report(cpu), EXCEPTION(13));
	CHECK_EQ(guest_get_msr(cpu, POLL_CONTROL), 0);
	CHECK_EQ(guest_set_msr(cpu, POLL_CONTROL, 1), 1);
	CHECK_EQ(guest_set_msr(cpu, POLL_CONTROL, 1ull << 32), 0);
	CHECK_EQ(guest_get_msr(cpu, POLL_CONTROL), 1);
}

/* -------- polling -------- */

#define MS	1000000ul

/* times halts, each until the LAPIC timer comes arg[0] ns later. */
GUEST void halts_guest(void)
{
	uint64_t i;

	if (HC->arg[1])
		wrmsr_(POLL_CONTROL, 0);
	apic_on();
	apic_write(0x3e0, 0xb);		/* divide by 1: a nanosecond is a tick */
	apic_write(0x320, 0x40);
	for (i = 0; i < HC->times; i++) {
		apic_write(0x380, HC->arg[0]);
		hlt_();
	}
	report(1);
}

static void halts(struct guest_cpu *cpu, unsigned int times, unsigned long ns, bool no_poll)
{
	set_call(cpu->guest, 0, ns, no_poll, 0, 0);
	hc(cpu->guest)->times = times;
	CHECK_EQ(irq_exec(cpu, halts_guest), 1);
}

static struct guest_cpu *poll_guest(struct guest *g, unsigned long limit)
{
	pv_guest(g, 1);
	CHECK_EQ(has_cap(g, KVM_CAP_HALT_POLL), 1);
	CHECK_EQ(try_enable(g, KVM_CAP_HALT_POLL, 1ull << 32), -EINVAL);
	CHECK_EQ(try_enable(g, KVM_CAP_HALT_POLL, limit), 0);
	return &g->cpu[0];
}

/* The polling becomes as long as the halts are, and then nothing sleeps any more. */
static void grows(void)
{
	struct guest_cpu *cpu;
	uint64_t waited;
	struct guest g;

	cpu = poll_guest(&g, 100 * MS);
	halts(cpu, 40, 2 * MS, false);
	CHECK(counted(cpu, "halt_exits") >= 40);
	CHECK(counted(cpu, "halt_attempted_poll") >= 20);
	CHECK(counted(cpu, "halt_successful_poll") >= 10);
	CHECK(counted(cpu, "halt_successful_poll") < counted(cpu, "halt_attempted_poll"));
	CHECK_EQ(counted(cpu, "halt_poll_invalid"), 0);
	CHECK(counted(cpu, "halt_poll_success_ns") >= 10 * MS);
	CHECK(counted(cpu, "halt_poll_fail_ns") > 0);
	waited = counted(cpu, "halt_wait_ns");
	CHECK(waited > 0);
	CHECK(counted(cpu, "halt_wakeup") > 0);
}

/* A halt that is longer than any polling may be makes it shorter, down to none. */
static void shrinks(void)
{
	struct guest_cpu *cpu;
	uint64_t before;
	struct guest g;

	cpu = poll_guest(&g, 10 * MS);
	halts(cpu, 30, 2 * MS, false);
	before = counted(cpu, "halt_attempted_poll");
	CHECK(before > 0);
	halts(cpu, 14, 40 * MS, false);
	before = counted(cpu, "halt_attempted_poll");
	halts(cpu, 4, 40 * MS, false);
	CHECK_EQ(counted(cpu, "halt_attempted_poll"), before);
}

static void vm_says_no(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	cpu = poll_guest(&g, 0);
	halts(cpu, 30, 2 * MS, false);
	CHECK_EQ(counted(cpu, "halt_attempted_poll"), 0);
	CHECK(counted(cpu, "halt_wait_ns") > 0);
}

static void guest_says_no(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	cpu = poll_guest(&g, 100 * MS);
	halts(cpu, 30, 2 * MS, true);
	CHECK_EQ(counted(cpu, "halt_attempted_poll"), 0);
	CHECK(counted(cpu, "halt_wait_ns") > 0);
}

static volatile bool stop;

static void *busy(void *arg)
{
	while (!stop)
		;
	return NULL;
}

/* Polling ends at once when somebody else can use the CPU. */
static void others_come_first(void)
{
	struct guest_cpu *cpu;
	uint64_t polled, tries;
	pthread_t thread;
	struct guest g;

	cpu = poll_guest(&g, 100 * MS);
	on_cpu0();
	halts(cpu, 30, 2 * MS, false);
	polled = counted(cpu, "halt_poll_success_ns") + counted(cpu, "halt_poll_fail_ns");
	tries = counted(cpu, "halt_attempted_poll");
	CHECK_EQ(pthread_create(&thread, NULL, busy, NULL), 0);
	halts(cpu, 20, 2 * MS, false);
	stop = true;
	pthread_join(thread, NULL);
	polled = counted(cpu, "halt_poll_success_ns") + counted(cpu, "halt_poll_fail_ns") - polled;
	tries = counted(cpu, "halt_attempted_poll") - tries;
	/* Not the 2 ms that the timer takes. */
	CHECK(polled < tries * MS / 2 + MS, "(%llu ns in %llu tries)", (unsigned long long)polled,
	      (unsigned long long)tries);
}

/* -------- the counters' own description -------- */

static void read_histogram(struct guest_cpu *cpu, const char *name, uint64_t sum[2])
{
	struct kvm_stats_header h;
	struct kvm_stats_desc *d;
	uint64_t val[NR_BUCKETS];
	int fd = MUST(ioctl(cpu->fd, KVM_GET_STATS_FD, NULL));
	unsigned int i, k;
	size_t size;

	CHECK_EQ(pread(fd, &h, sizeof(h), 0), sizeof(h));
	size = sizeof(*d) + h.name_size;
	d = calloc(1, size);
	for (i = 0; i < h.num_desc; i++) {
		CHECK_EQ(pread(fd, d, size, h.desc_offset + i * size), size);
		if (strcmp(d->name, name))
			continue;
		CHECK_EQ(d->flags, KVM_STATS_TYPE_LOG_HIST | KVM_STATS_UNIT_SECONDS |
				   KVM_STATS_BASE_POW10);
		CHECK_EQ(d->exponent, -9);
		CHECK_EQ(d->size, NR_BUCKETS);
		CHECK_EQ(pread(fd, val, sizeof(val), h.data_offset + d->offset), sizeof(val));
		for (k = 0, sum[0] = sum[1] = 0; k < NR_BUCKETS; k++) {
			sum[0] += val[k];
			sum[1] += k ? val[k] << (k - 1) : 0;
		}
		free(d);
		close(fd);
		return;
	}
	FAIL("no %s", name);
}

static void histograms(void)
{
	uint64_t sum[2], success, tries;
	struct guest_cpu *cpu;
	struct guest g;

	cpu = poll_guest(&g, 100 * MS);
	halts(cpu, 30, 2 * MS, false);
	success = counted(cpu, "halt_successful_poll");
	tries = counted(cpu, "halt_attempted_poll");
	read_histogram(cpu, "halt_poll_success_hist", sum);
	CHECK_EQ(sum[0], success);
	/* Each bucket begins at the power of two that it counts. */
	CHECK(sum[1] <= counted(cpu, "halt_poll_success_ns") &&
	      2 * sum[1] >= counted(cpu, "halt_poll_success_ns"));
	read_histogram(cpu, "halt_poll_fail_hist", sum);
	CHECK_EQ(sum[0], tries - success);
	read_histogram(cpu, "halt_wait_hist", sum);
	CHECK(sum[1] <= counted(cpu, "halt_wait_ns"));
	CHECK_EQ(guest_stat_flags(cpu->fd, "halt_wait_ns"),
		 KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_SECONDS | KVM_STATS_BASE_POW10);
}

static const struct test tests[] = {
	{ "parameters", parameters },
	{ "poll control", poll_control },
	{ "polling grows", grows },
	{ "polling shrinks", shrinks },
	{ "KVM_CAP_HALT_POLL of 0", vm_says_no },
	{ "no polling by the guest's wish", guest_says_no },
	{ "no polling while others want the CPU", others_come_first },
	{ "histograms", histograms },
};

TEST_MAIN(tests)
