// SPDX-License-Identifier: GPL-2.0-only
/* MSRs and CPUID of the paravirtual features: what is offered, values, errnos, reset, enforcement. */
#include "pv.h"

#define GP_REPORT	0xdead0d	/* irq.h: #GP in the guest */

static const struct {
	uint32_t msr;
	int feature;
	uint64_t good;
	uint64_t bad[4];
} msrs[] = {
	{ MSR_KVM_STEAL_TIME, KVM_FEATURE_STEAL_TIME, STEAL_GPA(0) | 1,
	  { STEAL_GPA(0) | 3, STEAL_GPA(0) | 0x21, 2, 0x20 } },
	{ MSR_KVM_PV_EOI_EN, KVM_FEATURE_PV_EOI, EOI_GPA(0) | 1,
	  { EOI_GPA(0) | 3, 2, NO_MEMORY_GPA | 1, 6 } },
	{ MSR_KVM_ASYNC_PF_EN, KVM_FEATURE_ASYNC_PF, APF_GPA(0) | 9,
	  { APF_GPA(0) | 0x10, APF_GPA(0) | 0x29, 0x30, NO_MEMORY_GPA | 9 } },
	{ MSR_KVM_ASYNC_PF_INT, KVM_FEATURE_ASYNC_PF_INT, 0xf3,
	  { 0x100, 0x1f3, 1ull << 63, ~0ull } },
};

#define NMSRS (sizeof(msrs) / sizeof(msrs[0]))

static int try_get(struct guest_cpu *cpu, uint32_t index, uint64_t *val)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1, .entry.index = index };
	int r = ioctl(cpu->fd, KVM_GET_MSRS, &m);

	*val = m.entry.data;
	return r;
}

static void offered(void)
{
	static const int features[] = {
		KVM_FEATURE_CLOCKSOURCE, KVM_FEATURE_CLOCKSOURCE2, KVM_FEATURE_ASYNC_PF,
		KVM_FEATURE_STEAL_TIME, KVM_FEATURE_PV_EOI, KVM_FEATURE_PV_TLB_FLUSH,
		KVM_FEATURE_ASYNC_PF_VMEXIT, KVM_FEATURE_ASYNC_PF_INT,
	};
	struct guest g;
	unsigned int i;

	guest_create(&g, 4 * PAGE_2M);
	for (i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		CHECK(guest_cpuid_reg(&g, KVM_CPUID_FEATURES, 0, 0) & 1u << features[i],
		      "(feature %d)", features[i]);
	CHECK_EQ(pv_has_cap(&g, KVM_CAP_STEAL_TIME), 1);
	CHECK_EQ(pv_has_cap(&g, KVM_CAP_ASYNC_PF), 1);
	CHECK_EQ(pv_has_cap(&g, KVM_CAP_ASYNC_PF_INT), 1);
	CHECK_EQ(pv_has_cap(&g, KVM_CAP_ENFORCE_PV_FEATURE_CPUID), 1);
}

static void listed(void)
{
	static const uint32_t want[] = {
		MSR_KVM_ASYNC_PF_EN, MSR_KVM_STEAL_TIME, MSR_KVM_PV_EOI_EN, MSR_KVM_ASYNC_PF_INT,
		MSR_KVM_ASYNC_PF_ACK,
	};
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 1024 * sizeof(list->indices[0]));
	struct guest g;
	unsigned int i, k;

	guest_open(&g);
	list->nmsrs = 1024;
	MUST(ioctl(g.dev, KVM_GET_MSR_INDEX_LIST, list));
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		for (k = 0; k < list->nmsrs && list->indices[k] != want[i]; k++)
			;
		CHECK(k < list->nmsrs, "(MSR %#x)", want[i]);
	}
}

static void values(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i, k;

	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	for (i = 0; i < NMSRS; i++) {
		CHECK_EQ(guest_get_msr(cpu, msrs[i].msr), 0);
		CHECK_EQ(guest_set_msr(cpu, msrs[i].msr, msrs[i].good), 1);
		CHECK_EQ(guest_get_msr(cpu, msrs[i].msr), msrs[i].good);
		for (k = 0; k < 4; k++)
			CHECK(guest_set_msr(cpu, msrs[i].msr, msrs[i].bad[k]) == 0,
			      "(MSR %#x, %#llx)", msrs[i].msr, (unsigned long long)msrs[i].bad[k]);
		CHECK_EQ(guest_set_msr(cpu, msrs[i].msr, 0), 1);
		CHECK_EQ(guest_get_msr(cpu, msrs[i].msr), 0);
	}
	/* The page need not be there when steal time is switched on. */
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_STEAL_TIME, NO_MEMORY_GPA | 1), 1);
	/* Switched off, the address means nothing. */
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_PV_EOI_EN, NO_MEMORY_GPA), 1);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_ASYNC_PF_EN, NO_MEMORY_GPA | 1), 1);
	/* One of the two ways to tell the guest needs the other bit, too: alone they are kept. */
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_ASYNC_PF_EN, APF_GPA(0) | 0xe), 1);
	CHECK_EQ(guest_get_msr(cpu, MSR_KVM_ASYNC_PF_EN), APF_GPA(0) | 0xe);
	CHECK_EQ(guest_get_msr(cpu, MSR_KVM_ASYNC_PF_ACK), 0);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_ASYNC_PF_ACK, ~0ull), 1);
	CHECK_EQ(guest_get_msr(cpu, MSR_KVM_ASYNC_PF_ACK), 0);
}

/* Asynchronous page faults want the kernel's LAPIC; the others do without. */
static void without_irqchip(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, 4 * PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_ASYNC_PF_EN, APF_GPA(0) | 9), 0);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_ASYNC_PF_EN, 0), 1);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_ASYNC_PF_INT, 0xf3), 0);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_ASYNC_PF_INT, 0), 0);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_STEAL_TIME, STEAL_GPA(0) | 1), 1);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_PV_EOI_EN, EOI_GPA(0) | 1), 1);
}

GUEST void write_guest(void)
{
	wrmsr_(SH->arg[0], SH->arg[1]);
	report(1);
}

GUEST void read_guest(void)
{
	SH->out[0] = rdmsr_(SH->arg[0]);
	report(2);
}

static uint32_t guest_access(struct guest_cpu *cpu, void (*fn)(void), uint32_t msr, uint64_t val)
{
	shared(cpu->guest)->arg[0] = msr;
	shared(cpu->guest)->arg[1] = val;
	irq_start(cpu, fn);
	return pv_msr_error(cpu);
}

static void by_the_guest(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i, k;

	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	for (i = 0; i < NMSRS; i++) {
		CHECK_EQ(guest_access(cpu, write_guest, msrs[i].msr, msrs[i].good), 1);
		CHECK_EQ(guest_get_msr(cpu, msrs[i].msr), msrs[i].good);
		CHECK_EQ(guest_access(cpu, read_guest, msrs[i].msr, 0), 2);
		CHECK_EQ(shared(&g)->out[0], msrs[i].good);
		for (k = 0; k < 4; k++)
			CHECK_EQ(guest_access(cpu, write_guest, msrs[i].msr, msrs[i].bad[k]),
				 GP_REPORT);
		CHECK_EQ(guest_access(cpu, write_guest, msrs[i].msr, 0), 1);
	}
}

/* -------- KVM_CAP_ENFORCE_PV_FEATURE_CPUID -------- */

static int enforce(struct guest_cpu *cpu, uint64_t on)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { on },
	};

	return ioctl(cpu->fd, KVM_ENABLE_CAP, &cap) ? -errno : 0;
}

/* The vCPU's CPUID: all that is offered, but these PV features alone. */
static void set_features(struct guest_cpu *cpu, uint32_t features)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	unsigned int i;

	c->nent = 256;
	MUST(ioctl(cpu->guest->dev, KVM_GET_SUPPORTED_CPUID, c));
	for (i = 0; i < c->nent; i++) {
		if (c->entries[i].function == KVM_CPUID_FEATURES)
			c->entries[i].eax = features;
	}
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, c));
	free(c);
}

static void enforced(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i;
	uint64_t val;

	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	set_features(cpu, 0);
	/* Nobody asked for it: all goes. */
	for (i = 0; i < NMSRS; i++)
		CHECK_EQ(guest_set_msr(cpu, msrs[i].msr, 0), 1);
	CHECK_EQ(enforce(cpu, 1), 0);
	for (i = 0; i < NMSRS; i++) {
		CHECK_EQ(guest_set_msr(cpu, msrs[i].msr, msrs[i].good), 0);
		/* To user space it is an MSR of the list that is not there: 0 and only 0. */
		CHECK_EQ(try_get(cpu, msrs[i].msr, &val), 1);
		CHECK_EQ(val, 0);
		CHECK_EQ(guest_set_msr(cpu, msrs[i].msr, 0), 1);
		CHECK_EQ(guest_access(cpu, read_guest, msrs[i].msr, 0), GP_REPORT);
		CHECK_EQ(guest_access(cpu, write_guest, msrs[i].msr, 0), GP_REPORT);
	}
	/* Whose value is not 0 at first: there is none to be seen either. */
	CHECK_EQ(try_get(cpu, MSR_KVM_POLL_CONTROL, &val), 1);
	CHECK_EQ(val, 0);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_POLL_CONTROL, 1), 0);
	CHECK_EQ(guest_set_msr(cpu, MSR_KVM_POLL_CONTROL, 0), 1);
	CHECK_EQ(guest_access(cpu, read_guest, MSR_KVM_POLL_CONTROL, 0), GP_REPORT);
	CHECK_EQ(guest_access(cpu, write_guest, MSR_KVM_POLL_CONTROL, 0), GP_REPORT);
	CHECK_EQ(guest_access(cpu, read_guest, MSR_KVM_ASYNC_PF_ACK, 0), GP_REPORT);
	CHECK_EQ(guest_access(cpu, read_guest, MSR_KVM_SYSTEM_TIME_NEW, 0), GP_REPORT);
	CHECK_EQ(guest_access(cpu, write_guest, MSR_KVM_SYSTEM_TIME, 0), GP_REPORT);
	CHECK_EQ(guest_access(cpu, write_guest, MSR_KVM_WALL_CLOCK_NEW, 0), GP_REPORT);
	CHECK_EQ(guest_access(cpu, read_guest, MSR_KVM_WALL_CLOCK, 0), GP_REPORT);
	CHECK_EQ(enforce(cpu, 0), 0);
	for (i = 0; i < NMSRS; i++)
		CHECK_EQ(guest_access(cpu, write_guest, msrs[i].msr, msrs[i].good), 1);
}

/* Each by its own bit, and the ways of the async page fault by theirs. */
static void enforced_one(void)
{
	unsigned int i, k;

	for (i = 0; i < NMSRS; i++) {
		struct guest g;

		irq_guest(&g, CHIP_KERNEL, 1);
		set_features(&g.cpu[0], 1u << msrs[i].feature);
		CHECK_EQ(enforce(&g.cpu[0], 1), 0);
		for (k = 0; k < NMSRS; k++) {
			uint64_t val = msrs[k].msr == MSR_KVM_ASYNC_PF_EN ? APF_GPA(0) | 1 :
									      msrs[k].good;

			CHECK_EQ(guest_set_msr(&g.cpu[0], msrs[k].msr, val), i == k);
		}
		if (msrs[i].msr == MSR_KVM_ASYNC_PF_EN) {
			CHECK_EQ(guest_set_msr(&g.cpu[0], msrs[i].msr, APF_GPA(0) | 9), 0);
			CHECK_EQ(guest_set_msr(&g.cpu[0], msrs[i].msr, APF_GPA(0) | 5), 0);
		}
		close(g.cpu[0].fd);
		close(g.fd);
	}
}

static void enable_cap_errors(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .flags = 1 };
	struct guest g;

	guest_create(&g, 4 * PAGE_2M);
	guest_add_cpu(&g);
	CHECK(ioctl(g.cpu[0].fd, KVM_ENABLE_CAP, &cap) == -1 && errno == EINVAL);
	cap.flags = 0;
	CHECK(ioctl(g.fd, KVM_ENABLE_CAP, &cap) == -1 && errno == EINVAL);
	cap.cap = KVM_CAP_STEAL_TIME;
	CHECK(ioctl(g.cpu[0].fd, KVM_ENABLE_CAP, &cap) == -1 && errno == EINVAL);
}

/* -------- INIT -------- */

GUEST void init_guest(void)
{
	apic_on();
	send_ipi(1, 0x4500);
	report(1);
}

static void reset_by_init(void)
{
	struct kvm_mp_state mp;
	struct guest g;
	unsigned int i;

	irq_guest(&g, CHIP_KERNEL, 2);
	for (i = 0; i < NMSRS; i++)
		CHECK_EQ(guest_set_msr(&g.cpu[1], msrs[i].msr, msrs[i].good), 1);
	CHECK_EQ(guest_set_msr(&g.cpu[1], MSR_KVM_SYSTEM_TIME_NEW, (PV_GPA + 0x800) | 1), 1);
	CHECK_EQ(irq_exec(&g.cpu[0], init_guest), 1);
	/* It takes its INIT when somebody looks. */
	MUST(ioctl(g.cpu[1].fd, KVM_GET_MP_STATE, &mp));
	CHECK_EQ(mp.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	for (i = 0; i < NMSRS; i++)
		CHECK_EQ(guest_get_msr(&g.cpu[1], msrs[i].msr), 0);
	CHECK_EQ(guest_get_msr(&g.cpu[1], MSR_KVM_SYSTEM_TIME_NEW), 0);
}

static const struct test tests[] = {
	{ "CPUID bits and capabilities", offered },
	{ "index list", listed },
	{ "values from user space", values },
	{ "without an irqchip", without_irqchip },
	{ "values from the guest", by_the_guest },
	{ "enforced: none", enforced },
	{ "enforced: one at a time", enforced_one },
	{ "KVM_ENABLE_CAP of a vCPU", enable_cap_errors },
	{ "INIT switches them off", reset_by_init },
};

TEST_MAIN(tests)
