// SPDX-License-Identifier: GPL-2.0-only
/* What is offered, what is refused, and with which errno. */
#include "smm.h"

static long check(int fd, unsigned long cap)
{
	return ioctl(fd, KVM_CHECK_EXTENSION, cap);
}

static void capabilities(void)
{
	struct guest g;

	guest_open(&g);
	CHECK_EQ(check(g.dev, KVM_CAP_X86_SMM), 1);
	CHECK_EQ(check(g.fd, KVM_CAP_X86_SMM), 1);
	CHECK_EQ(check(g.dev, KVM_CAP_MULTI_ADDRESS_SPACE), 2);
	CHECK_EQ(check(g.fd, KVM_CAP_MULTI_ADDRESS_SPACE), 2);
}

static bool listed(struct guest *g, uint32_t msr)
{
	static struct {
		struct kvm_msr_list head;
		uint32_t index[1024];
	} list;
	unsigned int i;

	list.head.nmsrs = 1024;
	MUST(ioctl(g->dev, KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < list.head.nmsrs; i++)
		if (list.head.indices[i] == msr)
			return true;
	return false;
}

static void msrs_of_user_space(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	CHECK(listed(&g, MSR_SMBASE));
	CHECK(listed(&g, MSR_SMI_COUNT));
	CHECK_EQ(guest_get_msr(cpu, MSR_SMBASE), SMBASE);
	CHECK_EQ(guest_set_msr(cpu, MSR_SMBASE, 0x123456789abcdef0), 1);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMBASE), 0x123456789abcdef0);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMI_COUNT), 0);
	CHECK_EQ(guest_set_msr(cpu, MSR_SMI_COUNT, 77), 1);
	CHECK_EQ(guest_get_msr(cpu, MSR_SMI_COUNT), 77);
}

GUEST_CODE(msrs,
	".code64\n"
	"msr_read: mov %edi, %ecx; rdmsr; out %al, $0x50; hlt\n"
	"msr_write: mov %edi, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr; out %al, $0x50; hlt\n"
	"msr_gp: out %al, $0x58; hlt\n");

extern const char msr_read[], msr_write[], msr_gp[];

/* Which OUT a guest comes to that reads or writes @msr. */
static void try_msr(unsigned long entry, uint32_t msr, uint16_t port)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);

	guest_load_code(&g, msrs);
	smm_gate(&g, 13, msr_gp - msrs);
	guest_idt(cpu, IDT_GPA);
	guest_call(cpu, entry, msr, 0, 0, 0);
	smm_next(cpu, port);
}

static void msrs_of_guest(void)
{
	try_msr(msr_read - msrs, MSR_SMBASE, PORT_UD);
	try_msr(msr_write - msrs, MSR_SMBASE, PORT_UD);
	try_msr(msr_read - msrs, MSR_SMI_COUNT, PORT_BEFORE);
	try_msr(msr_write - msrs, MSR_SMI_COUNT, PORT_UD);
}

static void slots(void)
{
	void *mem = guest_alloc(PAGE_2M);
	struct guest g;

	guest_create(&g, PAGE_2M);
	CHECK_EQ(guest_try_slot(&g, 2 << 16, 0, 0, PAGE_2M, mem), -EINVAL);
	CHECK_EQ(guest_try_slot(&g, AS1, 0, 0, 0, mem), -EINVAL);
	CHECK_EQ(guest_try_slot(&g, AS1, 0, 0, PAGE_2M, mem), 0);
	CHECK_EQ(guest_try_slot(&g, AS1 | 1, 0, 0, PAGE_4K, mem), -EEXIST);
	CHECK_EQ(guest_try_slot(&g, AS1 | 32764, 0, PAGE_2M, PAGE_4K, mem), -EINVAL);
	CHECK_EQ(guest_try_slot(&g, AS1 | 32763, 0, PAGE_2M, PAGE_4K, mem), 0);
	/* The other address space has its own ids and its own room. */
	CHECK_EQ(guest_try_slot(&g, 1, 0, PAGE_2M, PAGE_4K, mem), 0);
	CHECK_EQ(guest_try_slot(&g, 0, 0, 0, 0, mem), 0);
	CHECK_EQ(guest_try_slot(&g, AS1, KVM_MEM_LOG_DIRTY_PAGES, 0, PAGE_2M, mem), 0);
	CHECK_EQ(guest_try_slot(&g, AS1, 0, 0, 0, mem), 0);
	CHECK_EQ(guest_try_slot(&g, AS1, 0, 0, 0, mem), -EINVAL);
}

static int try_log(struct guest *g, uint32_t slot)
{
	static uint64_t bits[PAGE_2M / PAGE_4K / 64];
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };

	return ioctl(g->fd, KVM_GET_DIRTY_LOG, &log) ? -errno : 0;
}

static void dirty_logs(void)
{
	struct guest g;

	guest_create(&g, PAGE_2M);
	guest_slot(&g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, PAGE_2M, g.mem);
	CHECK_EQ(try_log(&g, 0), 0);
	CHECK_EQ(try_log(&g, AS1), -ENOENT);
	CHECK_EQ(try_log(&g, 2 << 16), -EINVAL);
	guest_slot(&g, AS1, 0, 0, PAGE_2M, g.mem);
	CHECK_EQ(try_log(&g, AS1), -ENOENT);
	guest_slot(&g, AS1, KVM_MEM_LOG_DIRTY_PAGES, 0, PAGE_2M, g.mem);
	CHECK_EQ(try_log(&g, AS1), 0);
}

static int set_mp_state(struct guest_cpu *cpu, uint32_t state)
{
	struct kvm_mp_state mp = { .mp_state = state };

	return ioctl(cpu->fd, KVM_SET_MP_STATE, &mp) ? -errno : 0;
}

/* What waits for SIPI is not in SMM. */
static void states(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_irq_guest(&g);
	struct kvm_vcpu_events e = smm_events(cpu), smm;

	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_INIT_RECEIVED), 0);
	smm = e;
	smm.smi.smm = 1;
	CHECK_EQ(smm_set_events(cpu, &smm), -EINVAL);
	smm = e;
	smm.smi.pending = 1;
	CHECK_EQ(smm_set_events(cpu, &smm), -EINVAL);
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_RUNNABLE), 0);
	CHECK_EQ(smm_set_events(cpu, &smm), 0);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_INIT_RECEIVED), -EINVAL);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_SIPI_RECEIVED), -EINVAL);
	smm = e;
	smm.smi.smm = 1;
	smm.smi.smm_inside_nmi = 1;
	CHECK_EQ(smm_set_events(cpu, &smm), 0);
	CHECK_EQ(smm_events(cpu).smi.smm_inside_nmi, 1);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_INIT_RECEIVED), -EINVAL);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_SIPI_RECEIVED), -EINVAL);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_HALTED), 0);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_RUNNABLE), 0);
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	CHECK_EQ(smm_events(cpu).smi.smm_inside_nmi, 0);
	CHECK_EQ(set_mp_state(cpu, KVM_MP_STATE_INIT_RECEIVED), 0);
}

/* The flag of the last exit is of no later one: it follows the state. */
static void run_flags(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_guest(&g, GUEST_LONG);
	struct kvm_vcpu_events e;

	smm_next(cpu, PORT_BEFORE);
	smm_interrupt(cpu);
	smm_next(cpu, PORT_SMM);
	e = smm_events(cpu);
	e.smi.smm = 0;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	cpu->run->immediate_exit = 1;
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(cpu->run->flags & KVM_RUN_X86_SMM, 0);
	e.smi.smm = 1;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	CHECK_EQ(ioctl(cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(cpu->run->flags & KVM_RUN_X86_SMM, KVM_RUN_X86_SMM);
	cpu->run->immediate_exit = 0;
	smm_next(cpu, PORT_AFTER);
}

static void latched_init(void)
{
	struct guest g;
	struct guest_cpu *cpu = smm_irq_guest(&g);
	struct kvm_vcpu_events e = smm_events(cpu);

	e.smi.smm = 1;
	e.smi.latched_init = 1;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	CHECK_EQ(smm_events(cpu).smi.latched_init, 1);
	e.smi.latched_init = 0;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	CHECK_EQ(smm_events(cpu).smi.latched_init, 0);
	e.smi.smm = 0;
	CHECK_EQ(smm_set_events(cpu, &e), 0);
	smm_next(cpu, PORT_BEFORE);
}

static const struct test tests[] = {
	{ "capabilities", capabilities },
	{ "MSRs of user space", msrs_of_user_space },
	{ "MSRs of the guest", msrs_of_guest },
	{ "slots", slots },
	{ "dirty logs", dirty_logs },
	{ "states that exclude SMM", states },
	{ "flags of kvm_run", run_flags },
	{ "latched INIT", latched_init },
};

TEST_MAIN(tests)
