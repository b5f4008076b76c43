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

/* Known numbers with a size that is not theirs are other ioctls. */
static void wrong_sizes(void)
{
	static const unsigned long cmds[] = {
		_IOR(KVMIO, 0x81, int), _IOW(KVMIO, 0x82, char[8192]), _IOR(KVMIO, 0xa4, int),
		_IOW(KVMIO, 0x9b, char[8]), _IOWR(KVMIO, 0x90, int), _IO(KVMIO, 0x83),
	};
	static const unsigned long vm_cmds[] = {
		_IOW(KVMIO, 0x46, char[24]), _IOW(KVMIO, 0x76, int), _IOR(KVMIO, 0x7c, char[8]),
		_IOW(KVMIO, 0xa3, char[8]), _IO(KVMIO, 0x42), _IOWR(KVMIO, 0x62, int),
	};
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i;

	guest_create(&g, PAGE_2M);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	cpu = guest_add_cpu(&g);
	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		CHECK_ERR(ioctl(cpu->fd, cmds[i], g.mem), EINVAL);
	for (i = 0; i < sizeof(vm_cmds) / sizeof(vm_cmds[0]); i++)
		CHECK_ERR(ioctl(g.fd, vm_cmds[i], g.mem), ENOTTY);
	CHECK_ERR(ioctl(g.dev, _IOWR(KVMIO, 0x05, int), g.mem), EINVAL);
	/* Each fd has its own. */
	CHECK_ERR(ioctl(g.dev, KVM_CREATE_VCPU, 0), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_GET_REGS, g.mem), ENOTTY);
	CHECK_ERR(ioctl(cpu->fd, KVM_CREATE_IRQCHIP, 0), EINVAL);
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
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_VCPU, 1ul << 32), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_VCPU, ~0ul), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_SET_BOOT_CPU_ID, max + 1), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_SET_BOOT_CPU_ID, 1ul << 32), EINVAL);
	MUST(ioctl(g.fd, KVM_SET_BOOT_CPU_ID, 7));
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
struct pointer {
	const char *name;
	unsigned long cmd;
	bool vcpu, in, out;
};

#define ROW(cmd, vcpu, in, out) { #cmd, cmd, vcpu, in, out }

static const struct pointer pointers[] = {
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
	ROW(KVM_ENABLE_CAP, 0, 1, 0),
	ROW(KVM_IRQFD, 0, 1, 0), ROW(KVM_IOEVENTFD, 0, 1, 0),
	ROW(KVM_GET_CLOCK, 0, 0, 1), ROW(KVM_SET_CLOCK, 0, 1, 0),
	ROW(KVM_SET_GSI_ROUTING, 0, 1, 0), ROW(KVM_SIGNAL_MSI, 0, 1, 0),
};

/* The same for ioctls that want chips. */
static const struct pointer chip_pointers[] = {
	ROW(KVM_GET_LAPIC, 1, 0, 1), ROW(KVM_SET_LAPIC, 1, 1, 0),
	ROW(KVM_GET_SREGS2, 1, 0, 1), ROW(KVM_SET_SREGS2, 1, 1, 0),
	ROW(KVM_GET_XSAVE2, 1, 0, 1), ROW(KVM_SET_CPUID, 1, 1, 0),
	ROW(KVM_X86_SET_MCE, 1, 1, 0), ROW(KVM_HAS_DEVICE_ATTR, 1, 1, 0),
	ROW(KVM_GET_DEVICE_ATTR, 1, 1, 0), ROW(KVM_SET_DEVICE_ATTR, 1, 1, 0),
	ROW(KVM_SET_SIGNAL_MASK, 1, 1, 0), ROW(KVM_ENABLE_CAP, 1, 1, 0),
	ROW(KVM_PRE_FAULT_MEMORY, 1, 1, 0),
	ROW(KVM_GET_IRQCHIP, 0, 1, 1), ROW(KVM_SET_IRQCHIP, 0, 1, 0),
	ROW(KVM_GET_PIT2, 0, 0, 1), ROW(KVM_SET_PIT2, 0, 1, 0),
	ROW(KVM_REINJECT_CONTROL, 0, 1, 0), ROW(KVM_SET_USER_MEMORY_REGION2, 0, 1, 0),
	ROW(KVM_CLEAR_DIRTY_LOG, 0, 1, 0), ROW(KVM_X86_SET_MSR_FILTER, 0, 1, 0),
	ROW(KVM_IRQ_LINE, 0, 1, 0), ROW(KVM_IRQ_LINE_STATUS, 0, 1, 1),
};

static const struct pointer dev_pointers[] = {
	ROW(KVM_GET_SUPPORTED_CPUID, 0, 1, 0), ROW(KVM_GET_EMULATED_CPUID, 0, 1, 0),
	ROW(KVM_GET_MSR_INDEX_LIST, 0, 1, 1), ROW(KVM_GET_MSR_FEATURE_INDEX_LIST, 0, 1, 1),
	ROW(KVM_GET_MSRS, 0, 1, 0), ROW(KVM_X86_GET_MCE_CAP_SUPPORTED, 0, 0, 1),
};

#undef ROW

static void try_pointer(int fd, const struct pointer *p)
{
	static void *ro;

	if (!ro)
		ro = mmap(NULL, 0x4000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ioctl(fd, p->cmd, (void *)0x1000) != -1 || errno != EFAULT)
		FAIL("%s of unmapped memory: %s", p->name, strerror(errno));
	if (p->out && (ioctl(fd, p->cmd, ro) != -1 || errno != EFAULT))
		FAIL("%s to read-only memory: %s", p->name, strerror(errno));
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void bad_pointers(void)
{
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	for (i = 0; i < COUNT(pointers); i++)
		try_pointer(pointers[i].vcpu ? cpu->fd : g.fd, &pointers[i]);
	for (i = 0; i < COUNT(dev_pointers); i++)
		try_pointer(g.dev, &dev_pointers[i]);
}

static void bad_chip_pointers(void)
{
	struct kvm_pit_config pit = {};
	struct guest_cpu *cpu;
	struct guest g;
	unsigned int i;

	guest_create(&g, PAGE_2M);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	CHECK_ERR(ioctl(g.fd, KVM_CREATE_PIT2, (void *)0x1000), EFAULT);
	MUST(ioctl(g.fd, KVM_CREATE_PIT2, &pit));
	cpu = guest_add_cpu(&g);
	for (i = 0; i < COUNT(chip_pointers); i++)
		try_pointer(chip_pointers[i].vcpu ? cpu->fd : g.fd, &chip_pointers[i]);
}

/* Pointers inside of structures. */
static void inner_pointers(void)
{
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
					.addr = 0x1000 };
	struct kvm_msr_filter filter = { .ranges[0] = { .flags = KVM_MSR_FILTER_READ,
							.base = 0x10, .nmsrs = 8,
							.bitmap = (void *)0x1000 } };
	struct kvm_dirty_log log = { .dirty_bitmap = (void *)0x1000 };
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	CHECK_ERR(ioctl(cpu->fd, KVM_GET_DEVICE_ATTR, &attr), EFAULT);
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_DEVICE_ATTR, &attr), EFAULT);
	CHECK_EQ(ioctl(cpu->fd, KVM_HAS_DEVICE_ATTR, &attr), 0);
	attr.attr = 77;
	CHECK_ERR(ioctl(cpu->fd, KVM_HAS_DEVICE_ATTR, &attr), ENXIO);
	CHECK_ERR(ioctl(cpu->fd, KVM_GET_DEVICE_ATTR, &attr), ENXIO);
	attr.group = 77;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_DEVICE_ATTR, &attr), ENXIO);
	CHECK_ERR(ioctl(g.fd, KVM_X86_SET_MSR_FILTER, &filter), EFAULT);
	CHECK_ERR(ioctl(g.fd, KVM_GET_DIRTY_LOG, &log), ENOENT);
	guest_slot(&g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, PAGE_2M, g.mem);
	CHECK_ERR(ioctl(g.fd, KVM_GET_DIRTY_LOG, &log), EFAULT);
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
	struct kvm_cpuid2 none = {};
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
	bad = s;
	bad.efer |= 1ull << 40;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS, &bad), EINVAL);
	MUST(ioctl(cpu->fd, KVM_SET_SREGS, &s));
	/* A processor that was told nothing has no long mode. */
	MUST(ioctl(cpu->fd, KVM_SET_CPUID2, &none));
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS, &s), EINVAL);
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
	guest_cpuid(cpu);
	list->nmsrs = 1000;
	MUST(ioctl(g.dev, KVM_GET_MSR_INDEX_LIST, list));
	for (i = 0; i < list->nmsrs; i++) {
		val = guest_get_msr(cpu, list->indices[i]);
		if (guest_set_msr(cpu, list->indices[i], val) != 1)
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
	cap = (struct kvm_enable_cap){ .cap = 100000 };
	CHECK_ERR(ioctl(cpu->fd, KVM_ENABLE_CAP, &cap), EINVAL);
	cap.cap = KVM_CAP_EXCEPTION_PAYLOAD;	/* one of the VM's */
	CHECK_ERR(ioctl(cpu->fd, KVM_ENABLE_CAP, &cap), EINVAL);
}

static int enable(struct guest *g, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(g->fd, KVM_ENABLE_CAP, &c);
}

/* What is too late once chips or vCPUs exist. */
static void wrong_state(void)
{
	uint64_t addr = 0xfffbc000;
	struct guest_cpu *cpu;
	struct guest g, h;
	int khz;

	guest_create(&g, PAGE_2M);
	CHECK_ERR(enable(&g, KVM_CAP_SPLIT_IRQCHIP, 100000), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_SET_IDENTITY_MAP_ADDR, (void *)0x1000), EFAULT);
	MUST(ioctl(g.fd, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	CHECK_ERR(enable(&g, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
	cpu = guest_add_cpu(&g);
	/* What KVM refuses since 6.13 only. */
	if (!device_is_kvm())
		CHECK_ERR(ioctl(g.fd, KVM_SET_TSC_KHZ, 0), EINVAL);
	CHECK_ERR(ioctl(g.fd, KVM_SET_IDENTITY_MAP_ADDR, &addr), EINVAL);
	khz = MUST(ioctl(cpu->fd, KVM_GET_TSC_KHZ, 0));
	CHECK(khz > 0);
	CHECK_EQ(ioctl(g.fd, KVM_GET_TSC_KHZ, 0), khz);
	CHECK_EQ(ioctl(cpu->fd, KVM_SET_TSC_KHZ, 0), 0);
	CHECK_EQ(ioctl(cpu->fd, KVM_SET_TSC_KHZ, khz), 0);
	CHECK_EQ(ioctl(cpu->fd, KVM_SET_TSC_KHZ, 1ul << 32), 0);
	if (ioctl(g.dev, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL))
		CHECK_ERR(ioctl(cpu->fd, KVM_SET_TSC_KHZ, 0xffffffff), EINVAL);
	else
		CHECK_ERR(ioctl(cpu->fd, KVM_SET_TSC_KHZ, khz / 2), EINVAL);

	guest_create(&h, PAGE_2M);
	guest_add_cpu(&h);
	CHECK_ERR(enable(&h, KVM_CAP_SPLIT_IRQCHIP, 24), EEXIST);
	CHECK_ERR(enable(&h, KVM_CAP_X86_APIC_BUS_CYCLES_NS, 10), ENXIO);
}

/* Bits that mean nothing yet. */
static void reserved_bits(void)
{
	struct kvm_msr_filter filter = { .flags = 2 };
	struct kvm_pre_fault_memory fault = { .size = PAGE_4K, .flags = 1 };
	struct kvm_clock_data clock;
	struct kvm_sregs2 s;
	struct guest_cpu *cpu;
	struct guest g;
	uint64_t mcg;

	guest_create(&g, PAGE_2M);
	cpu = guest_add_cpu(&g);
	MUST(ioctl(g.fd, KVM_GET_CLOCK, &clock));
	clock.flags |= 1;
	CHECK_ERR(ioctl(g.fd, KVM_SET_CLOCK, &clock), EINVAL);
	clock.flags = 1u << 31;
	CHECK_ERR(ioctl(g.fd, KVM_SET_CLOCK, &clock), EINVAL);

	MUST(ioctl(cpu->fd, KVM_GET_SREGS2, &s));
	s.flags |= 2;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS2, &s), EINVAL);
	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;	/* not in PAE mode */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_SREGS2, &s), EINVAL);

	CHECK_ERR(ioctl(g.fd, KVM_X86_SET_MSR_FILTER, &filter), EINVAL);
	filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;	/* and no range */
	CHECK_ERR(ioctl(g.fd, KVM_X86_SET_MSR_FILTER, &filter), EINVAL);
	filter.ranges[0] = (struct kvm_msr_filter_range){ .flags = 4, .nmsrs = 8,
							  .bitmap = g.mem };
	CHECK_ERR(ioctl(g.fd, KVM_X86_SET_MSR_FILTER, &filter), EINVAL);
	filter.ranges[0].flags = KVM_MSR_FILTER_READ;
	filter.ranges[0].nmsrs = 0x600 * 8 + 1;
	CHECK_ERR(ioctl(g.fd, KVM_X86_SET_MSR_FILTER, &filter), EINVAL);

	CHECK_ERR(ioctl(cpu->fd, KVM_PRE_FAULT_MEMORY, &fault), EINVAL);
	fault = (struct kvm_pre_fault_memory){ .gpa = 8, .size = PAGE_4K };
	CHECK_ERR(ioctl(cpu->fd, KVM_PRE_FAULT_MEMORY, &fault), EINVAL);
	fault = (struct kvm_pre_fault_memory){ .size = 8 };
	CHECK_ERR(ioctl(cpu->fd, KVM_PRE_FAULT_MEMORY, &fault), EINVAL);
	fault = (struct kvm_pre_fault_memory){ .gpa = -PAGE_4K, .size = 2 * PAGE_4K };
	CHECK_ERR(ioctl(cpu->fd, KVM_PRE_FAULT_MEMORY, &fault), EINVAL);
	fault = (struct kvm_pre_fault_memory){ .gpa = 1ul << 30, .size = PAGE_4K };
	CHECK_ERR(ioctl(cpu->fd, KVM_PRE_FAULT_MEMORY, &fault), ENOENT);

	mcg = 0;	/* no bank */
	CHECK_ERR(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &mcg), EINVAL);
	mcg = ioctl(g.dev, KVM_CHECK_EXTENSION, KVM_CAP_MCE) + 1;
	CHECK_ERR(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &mcg), EINVAL);
	mcg = 1ull << 40 | 4;
	CHECK_ERR(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &mcg), EINVAL);
	mcg = 4;
	MUST(ioctl(cpu->fd, KVM_X86_SETUP_MCE, &mcg));
}

static void xcrs_state(void)
{
	struct kvm_xcrs x, bad;
	struct guest_cpu *cpu;
	struct guest g;

	guest_create(&g, PAGE_2M);
	if (!ioctl(g.dev, KVM_CHECK_EXTENSION, KVM_CAP_XCRS))
		SKIP("no XSAVE");
	cpu = guest_add_cpu(&g);
	guest_cpuid(cpu);
	MUST(ioctl(cpu->fd, KVM_GET_XCRS, &x));
	CHECK_EQ(x.nr_xcrs, 1);
	CHECK_EQ(x.xcrs[0].value, 1);
	bad = x;
	bad.flags = 1;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad = x;
	bad.nr_xcrs = KVM_MAX_XCRS + 1;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad = x;
	bad.xcrs[0].value = 0;			/* x87 is always there */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad.xcrs[0].value = 5;			/* AVX without SSE */
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XCRS, &bad), EINVAL);
	bad.xcrs[0].value = 1ull << 62 | 3;
	CHECK_ERR(ioctl(cpu->fd, KVM_SET_XCRS, &bad), EINVAL);
	/* Other registers than XCR0 are passed over. */
	bad.xcrs[0].xcr = 1;
	MUST(ioctl(cpu->fd, KVM_SET_XCRS, &bad));
	x.xcrs[0].value = 3;
	MUST(ioctl(cpu->fd, KVM_SET_XCRS, &x));
	MUST(ioctl(cpu->fd, KVM_GET_XCRS, &x));
	CHECK_EQ(x.xcrs[0].value, 3);
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
	{ "sizes in ioctl numbers", wrong_sizes },
	{ "vCPU ids", vcpu_ids },
	{ "interrupt chips", chips },
	{ "no interrupt chips", no_chips },
	{ "pointers", bad_pointers },
	{ "pointers, with interrupt chips", bad_chip_pointers },
	{ "pointers in structures", inner_pointers },
	{ "another process", foreign_mm },
	{ "read-only node", read_only_node },
	{ "KVM_SET_XSAVE", xsave_state },
	{ "KVM_SET_SREGS", sregs_state },
	{ "KVM_SET_VCPU_EVENTS", events_state },
	{ "batches of MSRs", msr_batches },
	{ "listed MSRs", listed_msrs },
	{ "CPUID", cpuid_rules },
	{ "KVM_ENABLE_CAP", capabilities },
	{ "wrong state", wrong_state },
	{ "reserved bits", reserved_bits },
	{ "KVM_SET_XCRS", xcrs_state },
	{ "eventfds", eventfds },
	{ "KVM_SET_SIGNAL_MASK", signal_masks },
	{ "KVM_SET_FPU with any MXCSR", fpu_mxcsr },
};

TEST_MAIN(tests)
