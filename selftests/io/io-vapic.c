// SPDX-License-Identifier: GPL-2.0-only
/* TPR accesses that user space hears of, and the TPR in guest memory. */
#include "../irq/irq.h"

#define VAPIC_GPA	0x50000ul
#define VAPIC		((volatile uint32_t *)VAPIC_GPA)
#define VAPIC_TPR	((volatile uint8_t *)VAPIC_GPA)
#define TPR		0x80
#define IRR		0x200
#define ISR		0x100

/* The word that KVM_SET_VAPIC_ADDR promises. */
#define WORD(tpr, isr, irr) ((uint32_t)(tpr) | (isr) << 8 | (uint32_t)(irr) << 24)

static struct guest g;
static struct guest_cpu *cpu;

static bool host_is_amd(void)
{
	unsigned int eax = 0, ebx, ecx, edx;

	asm volatile("cpuid" : "+a"(eax), "=b"(ebx), "=c"(ecx), "=d"(edx));
	return ecx == 0x444d4163;
}

static void start(void)
{
	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	if (!ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_VAPIC))
		SKIP("the processor has the TPR itself");
}

/* -------- reports -------- */

extern const char tpr_code[], tpr_write[], tpr_read[], tpr_x2[], tpr_x2_write[], tpr_x2_read[];

asm(".pushsection guest, \"ax\"\n"
    "tpr_code: mov $0xfee00080, %edi\n"
    "tpr_write: movl $0x20, (%rdi)\n"
    "tpr_read: mov (%rdi), %eax\n"
    "	outl %eax, $0x10\n"
    /* CR8 is no access to the register's address */
    "	mov $3, %eax; mov %rax, %cr8; mov %cr8, %rax; outl %eax, $0x10\n"
    "	mov 0x10(%rdi), %eax; outl %eax, $0x10\n"
    "tpr_x2: mov $0x808, %ecx; mov $0x40, %eax; xor %edx, %edx\n"
    "tpr_x2_write: wrmsr\n"
    "tpr_x2_read: rdmsr; outl %eax, $0x10\n"
    ".popsection\n");

static void reporting(uint32_t on)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = on };

	MUST(ioctl(cpu->fd, KVM_TPR_ACCESS_REPORTING, &ctl));
	CHECK_EQ(ctl.enabled, on);
}

static void expect_access(const char *at, bool write)
{
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_TPR_ACCESS);
	CHECK_EQ(cpu->run->tpr_access.rip, GUEST_CODE_GPA + CODE(at));
	CHECK_EQ(cpu->run->tpr_access.is_write, write);
	/* It is done already. */
	CHECK(guest_regs(cpu).rip > GUEST_CODE_GPA + CODE(at));
}

static void reports(void)
{
	start();
	guest_call(cpu, CODE(tpr_code), 0, 0, 0, 0);
	CHECK_EQ(irq_next(cpu), 0x20);		/* off at first */
	reporting(1);
	guest_call(cpu, CODE(tpr_code), 0, 0, 0, 0);
	expect_access(tpr_write, true);
	expect_access(tpr_read, false);
	CHECK_EQ(irq_next(cpu), 0x20);
	CHECK_EQ(irq_next(cpu), 3);
	irq_next(cpu);
	reporting(0);
	guest_call(cpu, CODE(tpr_code), 0, 0, 0, 0);
	CHECK_EQ(irq_next(cpu), 0x20);
}

static void reports_x2apic(void)
{
	struct kvm_sregs s;

	start();
	if (device_is_kvm() && !host_is_amd())
		SKIP("KVM leaves x2APIC's TPR to the processor");
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	s.apic_base |= 0xc00;
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	reporting(1);
	guest_call(cpu, CODE(tpr_x2), 0, 0, 0, 0);
	expect_access(tpr_x2_write, true);
	expect_access(tpr_x2_read, false);
	CHECK_EQ(irq_next(cpu), 0x40);
}

static void report_errors(void)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = 1, .flags = 1 };
	struct kvm_vapic_addr addr = { .vapic_addr = VAPIC_GPA };
	struct guest_cpu *bare;
	struct guest h;

	start();
	CHECK_EQ(ioctl(cpu->fd, KVM_TPR_ACCESS_REPORTING, &ctl), -1);
	CHECK_EQ(errno, EINVAL);
	CHECK_EQ(ioctl(cpu->fd, KVM_TPR_ACCESS_REPORTING, 8), -1);
	CHECK_EQ(errno, EFAULT);
	/* Without LAPIC: taken, and of no consequence. */
	guest_create(&h, PAGE_2M);
	bare = guest_add_cpu(&h);
	ctl.flags = 0;
	MUST(ioctl(bare->fd, KVM_TPR_ACCESS_REPORTING, &ctl));
	CHECK_EQ(ioctl(bare->fd, KVM_SET_VAPIC_ADDR, &addr), -1);
	CHECK_EQ(errno, EINVAL);
}

/* -------- the TPR in memory -------- */

static int vapic(uint64_t gpa)
{
	struct kvm_vapic_addr addr = { .vapic_addr = gpa };

	return ioctl(cpu->fd, KVM_SET_VAPIC_ADDR, &addr) ? -errno : 0;
}

static struct kvm_lapic_state lapic(void)
{
	struct kvm_lapic_state l;

	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &l));
	return l;
}

static uint8_t lapic_tpr(void)
{
	return lapic().regs[TPR];
}

static void set_bit32(struct kvm_lapic_state *l, int base, int vector)
{
	l->regs[base + (vector >> 5) * 0x10 + (vector & 31) / 8] |= 1 << (vector & 7);
}

/* An enabled LAPIC with this priority and these vectors requested. */
static void set_lapic(uint8_t tpr, const uint8_t *vectors)
{
	struct kvm_lapic_state l = lapic();

	memset(l.regs + IRR, 0, 0x80);
	memset(l.regs + ISR, 0, 0x80);
	l.regs[TPR] = tpr;
	l.regs[0xf0] = 0xff;
	l.regs[0xf1] = 1;
	*(uint32_t *)(l.regs + 0x350) = 0x10000;
	for (; *vectors; vectors++)
		set_bit32(&l, IRR, *vectors);
	MUST(ioctl(cpu->fd, KVM_SET_LAPIC, &l));
}

GUEST void word_guest(void)
{
	report(*VAPIC);
	*VAPIC_TPR = 0x35;
	report(*VAPIC);
	mmio_write(APIC_PAGE + TPR, 0x62);
	report(*VAPIC);
	report(mmio_read(APIC_PAGE + TPR));
}

/* Both ways, with interrupts held off. */
static void word(void)
{
	start();
	set_lapic(0x90, (uint8_t[]){ 0x41, 0x73, 0 });
	CHECK_EQ(vapic(VAPIC_GPA), 0);
	CHECK_EQ(irq_exec(cpu, word_guest), WORD(0x90, 0, 0x73));
	CHECK_EQ(lapic_tpr(), 0x90);
	CHECK_EQ(irq_next(cpu), WORD(0x35, 0, 0x73));
	CHECK_EQ(lapic_tpr(), 0x35);
	CHECK_EQ(cpu->run->cr8, 3);
	/* KVM brings the word up to date only when an interrupt may come of it. */
	if (device_is_kvm())
		return;
	CHECK_EQ(irq_next(cpu), WORD(0x62, 0, 0x73));
	CHECK_EQ(irq_next(cpu), 0x62);
	CHECK_EQ(*(uint32_t *)(g.mem + VAPIC_GPA), WORD(0x62, 0, 0x73));
}

GUEST void service_guest(void)
{
	sti_();
	cli_();
	report(*VAPIC);
	apic_write(0xb0, 0);
	report(*VAPIC);
	sti_();
	cli_();
	report(*VAPIC);
}

static void in_service(void)
{
	start();
	set_lapic(0, (uint8_t[]){ 0x41, 0x73, 0 });
	CHECK_EQ(vapic(VAPIC_GPA), 0);
	shared(&g)->eoi = EOI_NONE;
	CHECK_EQ(irq_exec(cpu, service_guest), WORD(0, 0x70, 0x41));
	CHECK_EQ(shared(&g)->total, 1);
	CHECK_EQ(shared(&g)->order[0], 0x73);
	CHECK_EQ(irq_next(cpu), WORD(0, 0, 0x41));
	CHECK_EQ(irq_next(cpu), WORD(0, 0x40, 0));
	CHECK_EQ(shared(&g)->order[1], 0x41);
}

GUEST_INLINE uint64_t poll_irq(void)
{
	uint64_t ret = 1;	/* KVM_HC_VAPIC_POLL_IRQ */

	if (SH->arg[0])
		asm volatile("vmmcall" : "+a"(ret) : : "memory");
	else
		asm volatile("vmcall" : "+a"(ret) : : "memory");
	return ret;
}

/* As the option ROM does it: TPR lowered in memory, then a hypercall. */
GUEST void poll_guest(void)
{
	*VAPIC_TPR = 0x80;
	SH->out[0] = poll_irq();
	sti_();
	pause_();
	SH->out[1] = SH->total;
	*VAPIC_TPR = 0x10;
	SH->out[2] = poll_irq();
	SH->out[3] = SH->total;
	cli_();
	report(*VAPIC);
}

static void poll(void)
{
	start();
	set_lapic(0x80, (uint8_t[]){ 0x52, 0 });
	CHECK_EQ(vapic(VAPIC_GPA), 0);
	shared(&g)->arg[0] = host_is_amd();
	CHECK_EQ(irq_exec(cpu, poll_guest), WORD(0x10, 0, 0));
	CHECK_EQ(shared(&g)->out[0], 0);
	CHECK_EQ(shared(&g)->out[1], 0);
	CHECK_EQ(shared(&g)->out[2], 0);
	CHECK_EQ(shared(&g)->out[3], 1);
	CHECK_EQ(shared(&g)->order[0], 0x52);
}

/* A vector that waited for IF, taken as HLT ends. */
GUEST void halt_guest(void)
{
	report(1);
	asm volatile("sti; hlt; cli" : : : "memory");
	report(SH->total);
}

static void halted(void)
{
	start();
	set_lapic(0, (uint8_t[]){ 0x52, 0 });
	CHECK_EQ(vapic(VAPIC_GPA), 0);
	CHECK_EQ(irq_exec(cpu, halt_guest), 1);
	CHECK_EQ(irq_next(cpu), 1);
	CHECK_EQ(shared(&g)->order[0], 0x52);
}

GUEST void off_guest(void)
{
	report(1);
	*VAPIC_TPR = 0x77;
	report(mmio_read(APIC_PAGE + TPR));
}

static void off(void)
{
	start();
	set_lapic(0x20, (uint8_t[]){ 0 });
	CHECK_EQ(vapic(VAPIC_GPA), 0);
	CHECK_EQ(irq_exec(cpu, off_guest), 1);
	CHECK_EQ(vapic(0), 0);
	CHECK_EQ(irq_next(cpu), 0x20);
	CHECK_EQ(*(uint8_t *)(g.mem + VAPIC_GPA), 0x77);
}

/* Two vCPUs, each with a word of its own; the second one's crosses a page. */
static void each_its_own(void)
{
	uint64_t second = VAPIC_GPA + 0x1ffe;

	irq_guest(&g, CHIP_KERNEL, 2);
	cpu = &g.cpu[1];
	if (!ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_VAPIC))
		SKIP("the processor has the TPR itself");
	set_lapic(0x50, (uint8_t[]){ 0x33, 0 });
	CHECK_EQ(vapic(second), 0);
	cpu = &g.cpu[0];
	set_lapic(0x60, (uint8_t[]){ 0x44, 0 });
	CHECK_EQ(vapic(VAPIC_GPA), 0);
	CHECK_EQ(irq_exec(&g.cpu[0], word_guest), WORD(0x60, 0, 0x44));
	irq_exec(&g.cpu[1], word_guest);
	CHECK_EQ(*(uint32_t *)(g.mem + second), WORD(0x50, 0, 0x33));
}

static void bad_addresses(void)
{
	start();
	guest_slot(&g, 1, KVM_MEM_READONLY, 0x40000000, PAGE_2M, guest_alloc(PAGE_2M));
	set_lapic(0x20, (uint8_t[]){ 0 });
	CHECK_EQ(vapic(0xd0000000), -EINVAL);
	CHECK_EQ(vapic(0x40000000), -EINVAL);
	CHECK_EQ(vapic(~0ull), -EINVAL);
	CHECK_EQ(vapic(~0ull - 1), -EINVAL);
	CHECK_EQ(vapic(4 * PAGE_2M - 2), -EINVAL);
	CHECK_EQ(vapic(4 * PAGE_2M - 4), 0);
	CHECK_EQ(vapic(0), 0);
	CHECK_EQ(irq_exec(cpu, off_guest), 1);
}

/* Memory that goes away while it is used: the priority stays. */
static void slot_gone(void)
{
	start();
	guest_slot(&g, 1, 0, 0x40000000, PAGE_2M, guest_alloc(PAGE_2M));
	set_lapic(0x20, (uint8_t[]){ 0 });
	CHECK_EQ(vapic(0x40000000), 0);
	CHECK_EQ(irq_exec(cpu, off_guest), 1);
	guest_slot(&g, 1, 0, 0x40000000, 0, NULL);
	CHECK_EQ(irq_next(cpu), 0x20);
}

static const struct test tests[] = {
	{ "reports", reports },
	{ "reports of x2APIC accesses", reports_x2apic },
	{ "errno", report_errors },
	{ "the word in memory", word },
	{ "vectors in service", in_service },
	{ "KVM_HC_VAPIC_POLL_IRQ", poll },
	{ "out of HLT", halted },
	{ "address 0", off },
	{ "a word for each vCPU", each_its_own },
	{ "bad addresses", bad_addresses },
	{ "memory that goes", slot_gone },
};

TEST_MAIN(tests)
