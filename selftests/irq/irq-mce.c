// SPDX-License-Identifier: GPL-2.0-only
/* Machine-check banks: errors that user space injects, what the guest finds of them, and what ends it. SDM 16.3, 16.4. */
#include "irq.h"

#define NR_BANKS	10
#define BANK		3
#define MCG_CTL_P	(1ull << 8)
#define MCG_STATUS	0x17au
#define MCG_CTL		0x17bu
#define BANK_CTL(bank)	(0x400u + 4 * (bank))
#define BANK_STATUS(b)	(0x401u + 4 * (b))
#define BANK_ADDR(bank)	(0x402u + 4 * (bank))
#define BANK_MISC(bank)	(0x403u + 4 * (bank))
#define VAL		(1ull << 63)
#define OVER		(1ull << 62)
#define UC		(1ull << 61)
#define EN		(1ull << 60)
#define MISCV		(1ull << 59)
#define ADDRV		(1ull << 58)
#define PCC		(1ull << 57)
#define RIPV		1
#define MCIP		4
#define CR4_MCE		0x40
#define MC_VECTOR	18
#define MC_REPORT	(0xdead00 + MC_VECTOR)

#define CORRECTED	(VAL | EN | MISCV | ADDRV | 0x9f)
#define FATAL		(VAL | UC | EN | MISCV | ADDRV | PCC | 0x17a)

static struct guest_cpu *mce_guest(struct guest *g, uint64_t cr4)
{
	uint64_t caps = MCG_CTL_P | NR_BANKS;
	struct guest_cpu *cpu;
	struct kvm_sregs s;

	irq_guest(g, CHIP_KERNEL, 1);
	cpu = &g->cpu[0];
	MUST(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &caps));
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.cr4 |= cr4;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	return cpu;
}

static int inject(struct guest_cpu *cpu, uint64_t status, uint64_t addr, uint64_t mcg_status)
{
	struct kvm_x86_mce mce = {
		.status = status, .addr = addr, .misc = addr ^ 0xff, .mcg_status = mcg_status,
		.bank = BANK,
	};

	return ioctl(cpu->fd, KVM_X86_SET_MCE, &mce) ? -errno : 0;
}

static void expect_bank(struct guest_cpu *cpu, uint64_t status, uint64_t addr)
{
	CHECK_EQ(guest_get_msr(cpu, BANK_STATUS(BANK)), status);
	CHECK_EQ(guest_get_msr(cpu, BANK_ADDR(BANK)), addr);
	CHECK_EQ(guest_get_msr(cpu, BANK_MISC(BANK)), status ? addr ^ 0xff : 0);
}

GUEST void read_bank(void)
{
	SH->out[0] = rdmsr_(BANK_STATUS(BANK));
	SH->out[1] = rdmsr_(BANK_ADDR(BANK));
	SH->out[2] = rdmsr_(BANK_MISC(BANK));
	SH->out[3] = rdmsr_(MCG_STATUS);
	wrmsr_(BANK_STATUS(BANK), 0);
	report(1);
}

GUEST void idle(void)
{
	report(2);
}

static void limits(void)
{
	uint64_t caps, supported;
	struct guest_cpu *cpu;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	MUST(ioctl(g.dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported));
	CHECK(supported & MCG_CTL_P);
	caps = 0;
	CHECK(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &caps) < 0 && errno == EINVAL);
	caps = 33;
	CHECK(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &caps) < 0 && errno == EINVAL);
	caps = NR_BANKS | 1ull << 63;
	CHECK(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &caps) < 0 && errno == EINVAL);
	caps = BANK;
	MUST(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &caps));
	CHECK_EQ(inject(cpu, CORRECTED, 1, 0), -EINVAL);
	caps = BANK + 1;
	MUST(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &caps));
	CHECK_EQ(inject(cpu, CORRECTED & ~VAL, 1, 0), -EINVAL);
	CHECK_EQ(inject(cpu, CORRECTED, 1, 0), 0);
}

/* The first of several corrected errors that nobody has read is replaced, and it is told. */
static void corrected(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	cpu = mce_guest(&g, CR4_MCE);
	expect_bank(cpu, 0, 0);
	CHECK_EQ(guest_get_msr(cpu, BANK_CTL(BANK)), ~0ull);
	CHECK_EQ(guest_get_msr(cpu, MCG_CTL), ~0ull);
	CHECK_EQ(inject(cpu, CORRECTED, 0x1000, 0), 0);
	expect_bank(cpu, CORRECTED, 0x1000);
	CHECK_EQ(inject(cpu, CORRECTED, 0x2000, 0), 0);
	expect_bank(cpu, CORRECTED | OVER, 0x2000);
	CHECK_EQ(irq_exec(cpu, read_bank), 1);
	CHECK_EQ(shared(&g)->out[0], CORRECTED | OVER);
	CHECK_EQ(shared(&g)->out[1], 0x2000);
	CHECK_EQ(shared(&g)->out[2], 0x20ff);
	CHECK_EQ(shared(&g)->out[3], 0);
	CHECK_EQ(guest_get_msr(cpu, BANK_STATUS(BANK)), 0);
}

/* #MC in the guest; a corrected error does not hide it. */
static void fatal(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	cpu = mce_guest(&g, CR4_MCE);
	/* KVM_SET_REGS would forget it. */
	irq_start(cpu, idle);
	CHECK_EQ(inject(cpu, FATAL, 0x3000, RIPV | MCIP), 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(*(uint32_t *)((char *)cpu->run + cpu->run->io.data_offset), MC_REPORT);
	expect_bank(cpu, FATAL, 0x3000);
	CHECK_EQ(guest_get_msr(cpu, MCG_STATUS), RIPV | MCIP);
	CHECK_EQ(inject(cpu, CORRECTED, 0x4000, 0), 0);
	expect_bank(cpu, FATAL | OVER, 0x3000);
}

static void expect_shutdown(struct guest_cpu *cpu)
{
	irq_start(cpu, idle);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_SHUTDOWN);
}

static void in_progress(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	cpu = mce_guest(&g, CR4_MCE);
	CHECK_EQ(guest_set_msr(cpu, MCG_STATUS, MCIP), 1);
	CHECK_EQ(inject(cpu, FATAL, 0x3000, RIPV | MCIP), 0);
	expect_bank(cpu, 0, 0);
	expect_shutdown(cpu);
}

static void not_wanted(void)
{
	struct guest g;

	CHECK_EQ(inject(mce_guest(&g, 0), FATAL, 0x3000, RIPV | MCIP), 0);
	expect_shutdown(&g.cpu[0]);
}

/* Reporting switched off, for all banks or this one: nothing happens. */
static void switched_off(void)
{
	static const uint32_t ctl[] = { MCG_CTL, BANK_CTL(BANK) };
	struct guest_cpu *cpu;
	struct guest g;
	int i;

	cpu = mce_guest(&g, CR4_MCE);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(guest_set_msr(cpu, ctl[i], 0), 1);
		CHECK_EQ(inject(cpu, FATAL, 0x3000, RIPV | MCIP), 0);
		expect_bank(cpu, 0, 0);
		CHECK_EQ(irq_exec(cpu, idle), 2);
		CHECK_EQ(guest_set_msr(cpu, ctl[i], ~0ull), 1);
	}
}

static const struct test tests[] = {
	{ "banks and errnos", limits },
	{ "corrected errors", corrected },
	{ "a fatal one is a #MC", fatal },
	{ "another one before it is over", in_progress },
	{ "to a guest without CR4.MCE", not_wanted },
	{ "reporting switched off", switched_off },
};

TEST_MAIN(tests)
