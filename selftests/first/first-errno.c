// SPDX-License-Identifier: GPL-2.0-only
/* Bad input to every ioctl, and the errno that KVM gives for it. */
#include <fcntl.h>
#include <sys/eventfd.h>

#include "first.h"

#define CHECK_ERR(call, err)						\
	do {								\
		long r_ = (long)(call);					\
									\
		if (r_ != -1 || errno != (err))				\
			FAIL("%s: %ld, %s; want %s", #call, r_,		\
			     r_ == -1 ? strerror(errno) : "no error", strerror(err)); \
	} while (0)


static void numbers(void)
{
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_EQ(ioctl(g.dev, KVM_GET_API_VERSION, 0), 12);
	CHECK_ERR(ioctl(g.dev, KVM_GET_API_VERSION, 1), EINVAL);
	CHECK_ERR(ioctl(g.dev, _IO(KVMIO, 0xfe), 0), EINVAL);
	CHECK_ERR(ioctl(g.fd, _IO(KVMIO, 0xfe), 0), ENOTTY);
	CHECK_ERR(ioctl(cpu->fd, _IO(KVMIO, 0xfe), 0), EINVAL);
	CHECK_ERR(ioctl(cpu->fd, _IO('x', 0x80), 0), EINVAL);
	CHECK_ERR(ioctl(cpu->fd, KVM_RUN, 1), EINVAL);
	CHECK_ERR(ioctl(g.dev, KVM_CREATE_VM, 77), EINVAL);
	CHECK_EQ(ioctl(g.fd, KVM_CHECK_EXTENSION, 100000), 0);
	CHECK_EQ(ioctl(g.dev, KVM_CHECK_EXTENSION, 100000), 0);
}

static void vcpu_ids(void)
{
	struct guest g;
	int max;

	guest_create(&g, PAGE_2M);
	max = ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);
	CHECK(max > 0);
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_VCPU, max), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_VCPU, 0xffffffff), EINVAL);
	MUST(ioctl(g.fd, KVM_CREATE_VCPU, 7));
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_VCPU, 7), EEXIST);
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_SET_BOOT_CPU_ID, 7), EBUSY);
}

static void chips(void)
{
	struct kvm_pit_config pit = {};
	struct kvm_irqchip chip = { .chip_id = 9 };
	struct kvm_irq_level line = { .irq = 1, .level = 1 };
	struct kvm_lapic_state lapic;
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_PIT2, &pit), ENOENT);
	CHECK_ERR(ioctl(g.fd, KVM_GET_IRQCHIP, &chip), ENXIO);
	CHECK_ERR(ioctl(g.fd, KVM_IRQ_LINE, &line), ENXIO);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0), EEXIST);
	CHECK_ERR(ioctl(g.fd, KVM_GET_IRQCHIP, &chip), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_SET_IRQCHIP, &chip), EINVAL);
	MUST(ioctl(g.fd, KVM_CREATE_PIT2, &pit));
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_PIT2, &pit), EEXIST);
	cpu = guest_add_cpu(&g);
	CHECK_ERR(ioctl(cpu->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 32 }), ENXIO);
	MUST(ioctl(cpu->fd, KVM_GET_LAPIC, &lapic));
}

static void no_chips(void)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_HALTED };
	struct kvm_lapic_state lapic;
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_ERR(ioctl(cpu->fd, KVM_GET_LAPIC, &lapic), EINVAL);
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_MP_STATE, &mp), EINVAL);
	mp.mp_state = 77;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_MP_STATE, &mp), EINVAL);
	CHECK_ERR(ioctl(cpu->fd, KVM_INTERRUPT, &(struct kvm_interrupt){ .irq = 256 }), EINVAL);
}

/* Structures that the kernel reads, and those that it writes. */
static const struct {
	const char *name;
	unsigned long cmd;
	bool vcpu, in, out;
} pointers[] = {
#define ROW(cmd, vcpu, in, out) { #cmd, cmd, vcpu, in, out }
	ROW(KVM_GET_REGS, 1, 0, 1), ROW(KVM_SET_REGS, 1, 1, 0),
	ROW(KVM_GET_SREGS, 1, 0, 1), ROW(KVM_SET_SREGS, 1, 1, 0),
	ROW(KVM_GET_FPU, 1, 0, 1), ROW(KVM_SET_FPU, 1, 1, 0),
	ROW(KVM_GET_XSAVE, 1, 0, 1), ROW(KVM_SET_XSAVE, 1, 1, 0),
	ROW(KVM_GET_XCRS, 1, 0, 1), ROW(KVM_SET_XCRS, 1, 1, 0),
	ROW(KVM_GET_DEBUGREGS, 1, 0, 1), ROW(KVM_SET_DEBUGREGS, 1, 1, 0),
	ROW(KVM_GET_VCPU_EVENTS, 1, 0, 1), ROW(KVM_SET_VCPU_EVENTS, 1, 1, 0),
	ROW(KVM_GET_MP_STATE, 1, 0, 1), ROW(KVM_SET_MP_STATE, 1, 1, 0),
	ROW(KVM_GET_MSRS, 1, 1, 0), ROW(KVM_SET_MSRS, 1, 1, 0),
	ROW(KVM_SET_CPUID2, 1, 1, 0), ROW(KVM_GET_CPUID2, 1, 1, 0),
	ROW(KVM_SET_GUEST_DEBUG, 1, 1, 0), ROW(KVM_TRANSLATE, 1, 1, 0),
	ROW(KVM_X86_SETUP_MCE, 1, 1, 0), ROW(KVM_INTERRUPT, 1, 1, 0),
	ROW(KVM_SET_USER_MEMORY_REGION, 0, 1, 0), ROW(KVM_GET_DIRTY_LOG, 0, 1, 0),
	ROW(KVM_SET_IDENTITY_MAP_ADDR, 0, 1, 0), ROW(KVM_ENABLE_CAP, 0, 1, 0),
	ROW(KVM_IRQFD, 0, 1, 0), ROW(KVM_IOEVENTFD, 0, 1, 0),
	ROW(KVM_GET_CLOCK, 0, 0, 1), ROW(KVM_SET_CLOCK, 0, 1, 0),
	ROW(KVM_SET_GSI_ROUTING, 0, 1, 0), ROW(KVM_SIGNAL_MSI, 0, 1, 0),
#undef ROW
};

static void bad_pointers(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	void *ro = mmap(NULL, 0x4000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	for (i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
		int fd = pointers[i].vcpu ? cpu->fd : g.fd;

		if (ioctl(fd, pointers[i].cmd, (void *)0x1000) != -1 || errno != EFAULT)
			FAIL("%s of unmapped memory: %s", pointers[i].name, strerror(errno));
		if (pointers[i].out && (ioctl(fd, pointers[i].cmd, ro) != -1 || errno != EFAULT))
			FAIL("%s to read-only memory: %s", pointers[i].name, strerror(errno));
	}
}

static void foreign_mm(void)
{
	struct guest_cpu *cpu;
	struct kvm_regs regs;
	struct guest g;
	int status;
	pid_t pid;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	pid = fork();
	if (!pid) {
		if (ioctl(cpu->fd, KVM_GET_REGS, &regs) != -1 || errno != EIO)
			_exit(1);
		if (ioctl(g.fd, KVM_CHECK_EXTENSION, 0) != -1 || errno != EIO)
			_exit(2);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0));
	CHECK_EQ(status, 0);
	MUST(ioctl(cpu->fd, KVM_GET_REGS, &regs));
}

static void read_only_node(void)
{
	int fd = MUST(open(test_device, O_RDONLY | O_CLOEXEC));

	CHECK_EQ(ioctl(fd, KVM_GET_API_VERSION, 0), 12);
	MUST(ioctl(fd, KVM_CREATE_VM, 0));
}

static void xsave_state(void)
{
	struct kvm_xsave x, bad;
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	MUST(ioctl(cpu->fd, KVM_GET_XSAVE, &x));
	MUST(ioctl(cpu->fd, KVM_SET_XSAVE, &x));
	bad = x;
	bad.region[130] = 1;			/* XCOMP_BV */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XSAVE, &bad), EINVAL);
	bad = x;
	bad.region[136] = 1;			/* reserved bytes of the header */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XSAVE, &bad), EINVAL);
	bad = x;
	bad.region[129] = 1u << 30;		/* XSTATE_BV beyond XCR0 */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XSAVE, &bad), EINVAL);
	bad = x;
	bad.region[128] |= 2;
	bad.region[6] = 0xffff0000;		/* MXCSR */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XSAVE, &bad), EINVAL);
}

static void sregs_state(void)
{
	struct kvm_sregs s, bad;
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	guest_mode(cpu, GUEST_LONG);
	MUST(ioctl(cpu->fd, KVM_GET_SREGS, &s));
	bad = s;
	bad.cr4 |= 1ull << 40;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.cr4 &= ~0x20ull;			/* long mode without PAE */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.efer &= ~0x400ull;			/* LME and PG without LMA */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS, &bad), EINVAL);
	bad = s;
	bad.cr0 = (bad.cr0 | 1u << 29) & ~(1ull << 30);	/* NW without CD */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS, &bad), EINVAL);
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
}

static void events_state(void)
{
	struct kvm_vcpu_events e, bad;
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	e = get_events(cpu);
	MUST(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	bad = e;
	bad.flags |= 1u << 31;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	bad = e;
	bad.exception.injected = 1;
	bad.exception.nr = 32;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
	bad.exception.nr = 2;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &bad), EINVAL);
}

static void msr_batches(void)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[3];
	} m = { .head.nmsrs = 3, .entry = { { .index = 0x174 }, { .index = 0xdeadbeef },
					    { .index = 0x175 } } };
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 4 * 1000);
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_EQ(ioctl(cpu->fd, KVM_GET_MSRS, &m), 1);
	CHECK_EQ(ioctl(cpu->fd, KVM_SET_MSRS, &m), 1);
	m.head.nmsrs = 256;
	CHECK_ERR(ioctl(cpu->fd, KVM_GET_MSRS, &m), E2BIG);
	m.head.nmsrs = 0;
	CHECK_EQ(ioctl(cpu->fd, KVM_GET_MSRS, &m), 0);
	CHECK_ERR(ioctl(g.dev, KVM_GET_MSR_INDEX_LIST, list), E2BIG);
	CHECK(list->nmsrs > 10 && list->nmsrs < 1000);
	MUST(ioctl(g.dev, KVM_GET_MSR_INDEX_LIST, list));
	CHECK(list->indices[0]);
}

/* All that the index list names can be read and written back. */
static void listed_msrs(void)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 4 * 1000);
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i;
	uint64_t val;

	guest_create(&g, PAGE_2M);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	cpu = guest_add_cpu(&g);
	give_cpuid(cpu);
	list->nmsrs = 1000;
	MUST(ioctl(g.dev, KVM_GET_MSR_INDEX_LIST, list));
	for (i = 0; i < list->nmsrs; i++) {
		val = get_msr(cpu, list->indices[i]);
		if (set_msr(cpu, list->indices[i], val) != 1)
			FAIL("MSR %#x: %#llx cannot be written back", list->indices[i],
			     (unsigned long long)val);
	}
}

GUEST_CODE(halt, ".code64\n hlt\n");

static void cpuid_rules(void)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} id = {};
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int n;

	cpu = long_guest(&g);
	guest_load_code(&g, halt);
	CHECK_ERR(ioctl(g.dev, KVM_GET_SUPPORTED_CPUID, &id), E2BIG);
	id.head.nent = 1;
	CHECK_ERR(ioctl(g.dev, KVM_GET_SUPPORTED_CPUID, &id), E2BIG);
	id.head.nent = 256;
	MUST(ioctl(g.dev, KVM_GET_SUPPORTED_CPUID, &id));
	n = id.head.nent;
	CHECK(n > 5 && n < 256);
	id.head.nent = 257;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_CPUID2, &id), E2BIG);
	id.head.nent = n;
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, &id));
	guest_exec(cpu, 0, 0, 0, 0, 0);
	/* The same again is allowed, anything else is not. */
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, &id));
	id.entries[0].ebx ^= 1;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_CPUID2, &id), EINVAL);
	id.entries[0].ebx ^= 1;
	id.head.nent = 1;
	CHECK_ERR(ioctl(cpu->fd, KVM_GET_CPUID2, &id), E2BIG);
}

static void capabilities(void)
{
	struct kvm_enable_cap cap = { .cap = 100000 };
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_ERR(ioctl(g.fd, KVM_ENABLE_CAP, &cap), EINVAL);
	cap = (struct kvm_enable_cap){ .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { 1ull << 40 } };
	CHECK_ERR(ioctl(g.fd, KVM_ENABLE_CAP, &cap), EINVAL);
	cap = (struct kvm_enable_cap){ .cap = KVM_CAP_EXCEPTION_PAYLOAD, .flags = 1 };
	CHECK_ERR(ioctl(g.fd, KVM_ENABLE_CAP, &cap), EINVAL);
	CHECK_ERR(ioctl(cpu->fd, KVM_ENABLE_CAP, &cap), EINVAL);
}

static void eventfds(void)
{
	struct kvm_irqfd irqfd = { .fd = -1, .gsi = 5 };
	struct kvm_ioeventfd io = { .fd = -1, .addr = 0x1000, .len = 2 };
	struct guest g;
	int fd = MUST(eventfd(0, EFD_CLOEXEC));

	guest_create(&g, PAGE_2M);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	CHECK_ERR(ioctl(g.fd, KVM_IRQFD, &irqfd), EBADF);
	irqfd.fd = MUST(open("/dev/null", O_RDWR | O_CLOEXEC));
	CHECK_ERR(ioctl(g.fd, KVM_IRQFD, &irqfd), EINVAL);
	irqfd.flags = 1u << 20;
	CHECK_ERR(ioctl(g.fd, KVM_IRQFD, &irqfd), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_IOEVENTFD, &io), EBADF);
	io.fd = fd;
	io.len = 3;
	CHECK_ERR(ioctl(g.fd, KVM_IOEVENTFD, &io), EINVAL);
	io.len = 2;
	MUST(ioctl(g.fd, KVM_IOEVENTFD, &io));
	CHECK_ERR(ioctl(g.fd, KVM_IOEVENTFD, &io), EEXIST);
	io.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
	MUST(ioctl(g.fd, KVM_IOEVENTFD, &io));
	CHECK_ERR(ioctl(g.fd, KVM_IOEVENTFD, &io), ENOENT);
}

static void signal_masks(void)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t set[8];
	} m = { .head.len = 4 };
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SIGNAL_MASK, &m), EINVAL);
	m.head.len = 8;
	MUST(ioctl(cpu->fd, KVM_SET_SIGNAL_MASK, &m));
	MUST(ioctl(cpu->fd, KVM_SET_SIGNAL_MASK, NULL));
}

static void fpu_mxcsr(void)
{
	struct guest_cpu *cpu;
	struct kvm_fpu fpu;
	struct guest g;

	cpu = long_guest(&g);
	guest_load_code(&g, halt);
	MUST(ioctl(cpu->fd, KVM_GET_FPU, &fpu));
	fpu.mxcsr = 0xffffffff;
	/* Whatever is made of it, the host must survive loading it. */
	ioctl(cpu->fd, KVM_SET_FPU, &fpu);
	guest_exec(cpu, 0, 0, 0, 0, 0);
}

static const struct test tests[] = {
	{ "ioctl numbers and capabilities", numbers },
	{ "vCPU ids", vcpu_ids },
	{ "interrupt chips", chips },
	{ "no interrupt chips", no_chips },
	{ "pointers", bad_pointers },
	{ "another process", foreign_mm },
	{ "read-only node", read_only_node },
	{ "KVM_SET_XSAVE", xsave_state },
	{ "KVM_SET_SREGS", sregs_state },
	{ "KVM_SET_VCPU_EVENTS", events_state },
	{ "batches of MSRs", msr_batches },
	{ "listed MSRs", listed_msrs },
	{ "CPUID", cpuid_rules },
	{ "KVM_ENABLE_CAP", capabilities },
	{ "eventfds", eventfds },
	{ "KVM_SET_SIGNAL_MASK", signal_masks },
	{ "KVM_SET_FPU with any MXCSR", fpu_mxcsr },
};

TEST_MAIN(tests)
