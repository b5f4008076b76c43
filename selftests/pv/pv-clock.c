// SPDX-License-Identifier: GPL-2.0-only
/* kvmclock: what the page says of time, and that the guest was stopped (KVM_KVMCLOCK_CTRL). */
#include "pv.h"

#define CLOCK_GPA	(PV_GPA + 0x300)
#define NEW_CLOCK	0x4b564d01u	/* MSR_KVM_SYSTEM_TIME_NEW */
#define RO_GPA		(64ul << 20)
#define STOPPED		2		/* PVCLOCK_GUEST_STOPPED */
#define MS		1000000ll

/* Documentation/virt/kvm/x86/msr.rst */
struct time_info {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} __attribute__((packed));

GUEST void read_tsc(void)
{
	SH->out[0] = rdtsc_();
	report(1);
}

static volatile struct time_info *page(struct guest *g)
{
	return (volatile struct time_info *)(g->mem + CLOCK_GPA);
}

static struct guest_cpu *clock_guest(struct guest *g)
{
	struct guest_cpu *cpu;

	irq_guest(g, CHIP_KERNEL, 1);
	cpu = &g->cpu[0];
	CHECK_EQ(guest_set_msr(cpu, NEW_CLOCK, CLOCK_GPA | 1), 1);
	return cpu;
}

static int64_t vm_clock(struct guest *g)
{
	struct kvm_clock_data c = {};

	MUST(ioctl(g->fd, KVM_GET_CLOCK, &c));
	return c.clock;
}

/* As a guest reckons it. */
static int64_t guest_clock(struct guest_cpu *cpu)
{
	volatile struct time_info *t = page(cpu->guest);
	int64_t delta;		/* below 0 if the page was written after the guest's RDTSC */

	CHECK_EQ(irq_exec(cpu, read_tsc), 1);
	CHECK_EQ(t->version & 1, 0);
	delta = shared(cpu->guest)->out[0] - t->tsc;
	delta = t->shift < 0 ? delta >> -t->shift : delta * (1 << t->shift);
	return t->ns + (int64_t)((__int128)delta * t->mul >> 32);
}

/* Between the VM's clock before and after; a guest's TSC may be scaled, hence the millisecond. */
static void same(struct guest_cpu *cpu)
{
	int64_t before = vm_clock(cpu->guest), got = guest_clock(cpu);

	CHECK(got >= before - MS && got <= vm_clock(cpu->guest) + MS,
	      "(guest %lld, VM %lld)", (long long)got, (long long)before);
}

static void reckoned(void)
{
	struct kvm_clock_data set = { .clock = 3600ull * 1000 * MS };
	struct guest_cpu *cpu;
	struct guest g;

	cpu = clock_guest(&g);
	same(cpu);
	usleep(20000);
	same(cpu);
	MUST(ioctl(g.fd, KVM_SET_CLOCK, &set));
	CHECK(guest_clock(cpu) >= 3600 * 1000 * MS);
	same(cpu);
}

static void stop(struct guest_cpu *cpu)
{
	MUST(ioctl(cpu->fd, KVM_KVMCLOCK_CTRL, 0));
}

/* The flag stays until the guest takes it away, whatever the page is written for meanwhile. */
static void stopped(void)
{
	struct kvm_clock_data set = { .clock = 1000 * MS };
	struct guest_cpu *cpu;
	struct guest g;

	cpu = clock_guest(&g);
	guest_clock(cpu);
	CHECK_EQ(page(&g)->flags & STOPPED, 0);
	stop(cpu);
	guest_clock(cpu);
	CHECK_EQ(page(&g)->flags & STOPPED, STOPPED);
	MUST(ioctl(g.fd, KVM_SET_CLOCK, &set));
	guest_clock(cpu);
	CHECK_EQ(page(&g)->flags & STOPPED, STOPPED);
	page(&g)->flags &= ~STOPPED;
	MUST(ioctl(g.fd, KVM_SET_CLOCK, &set));
	guest_clock(cpu);
	CHECK_EQ(page(&g)->flags & STOPPED, 0);
	same(cpu);
}

static void set_tsc_offset(struct guest_cpu *cpu, uint64_t offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset,
	};

	MUST(ioctl(cpu->fd, KVM_SET_DEVICE_ATTR, &attr));
}

/* Whether the VM's clock and a page say that one vCPU may reckon with another's page. */
static bool stable(struct guest_cpu *cpu)
{
	struct kvm_clock_data c = {};
	bool page_says;

	guest_clock(cpu);
	page_says = page(cpu->guest)->flags & 1;
	MUST(ioctl(cpu->guest->fd, KVM_GET_CLOCK, &c));
	CHECK_EQ(page_says, !!(c.flags & KVM_CLOCK_TSC_STABLE));
	return page_says;
}

/* Not when user space has given the vCPUs different TSCs. */
static void different(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 2);
	cpu = &g.cpu[0];
	CHECK_EQ(guest_set_msr(cpu, NEW_CLOCK, CLOCK_GPA | 1), 1);
	if (!stable(cpu))
		SKIP("the host's clock is not the TSC");
	set_tsc_offset(&g.cpu[1], 1ull << 40);
	CHECK(!stable(cpu));
	same(cpu);
	set_tsc_offset(cpu, 1ull << 40);
	CHECK(stable(cpu));
	same(cpu);
}

static void no_clock(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	CHECK(ioctl(cpu->fd, KVM_KVMCLOCK_CTRL, 0) < 0 && errno == EINVAL);
	CHECK_EQ(guest_set_msr(cpu, NEW_CLOCK, CLOCK_GPA | 1), 1);
	stop(cpu);
	CHECK_EQ(guest_set_msr(cpu, NEW_CLOCK, 0), 1);
	CHECK(ioctl(cpu->fd, KVM_KVMCLOCK_CTRL, 0) < 0 && errno == EINVAL);
}

/* Where the guest may not write its clock does not, either. */
static void read_only(void)
{
	uint64_t *mem = guest_alloc(PAGE_2M);
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i;

	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	guest_slot(&g, 1, KVM_MEM_READONLY, RO_GPA, PAGE_2M, mem);
	CHECK_EQ(guest_set_msr(cpu, NEW_CLOCK, RO_GPA | 1), 1);
	CHECK_EQ(irq_exec(cpu, read_tsc), 1);
	for (i = 0; i < sizeof(struct time_info) / 8; i++)
		CHECK_EQ(mem[i], 0);
}

static const struct test tests[] = {
	{ "the guest reckons what the VM's clock says", reckoned },
	{ "stopped, until the guest has seen it", stopped },
	{ "vCPUs with different TSCs", different },
	{ "without a clock", no_clock },
	{ "in read-only memory", read_only },
};

TEST_MAIN(tests)
