// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space and the guest get to see of the kernel's memory: nothing that
 * was not meant for them. Each ioctl that gives data is called twice over
 * different bytes, so that those it left are known, and what it wrote is
 * searched for the fillings of unused memory and for kernel addresses.
 *
 * Unused memory has fillings with slub_debug=P page_poison=1 init_on_alloc=0
 * on the kernel's command line; variables on the stack have one in the debug build
 * of the module (Kbuild). "fillings" tells whether they are there.
 */
#include <stdarg.h>

#include "host.h"

#define PRE_A		0x11
#define PRE_B		0xee
#define GUARD		64
#define OUT_MAX		0x8000
#define RING_SIZE	65536u
#define SMBASE_GPA	0x30000ul
#define SMRAM_STATE	(SMBASE_GPA + 0xfe00)

enum owner { OF_DEVICE, OF_VM, OF_VCPU };

enum chips { NONE, CHIPS, RING };

struct victim {
	struct guest g;
	struct guest_cpu *cpu;
	enum chips chips;	/* none in the kernel, all of them; or none, and dirty rings instead of bitmaps */
};

static unsigned int found_bad, outputs;

/* -------- what must not be in an output -------- */

/* Of SLUB (free, in use, its end and red zones), of free pages, of the compiler. */
static const uint8_t fillings[] = { 0x6b, 0x5a, 0xa5, 0xbb, 0xcc, 0xaa, 0xfe };

static bool is_filling(uint8_t byte)
{
	unsigned int i;

	for (i = 0; i < sizeof(fillings); i++)
		if (fillings[i] == byte)
			return true;
	return false;
}

/*
 * Addresses of the kernel: the direct map, vmalloc, CPU entry areas; then the kernel and its modules. Not what is in
 * between, as a segment's limit of 4 GB behind its selector.
 */
static bool is_pointer(const uint8_t *p)
{
	uint64_t val;

	memcpy(&val, p, sizeof(val));
	return (val >= 0xffff880000000000 && val < 0xffffff8000000000) ||
	       (val >= 0xffffffff80000000 && val < 0xffffffffff000000);
}

__attribute__((format(printf, 1, 2)))
static void bad(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("# ");
	vprintf(fmt, ap);
	printf("\n");
	va_end(ap);
	found_bad++;
}

/*
 * The first @n bytes that are not marked in @left. @least fillings in a row are too many: 2, but where there is any number,
 * such as the time, 4.
 */
static void search(const char *name, const uint8_t *out, const bool *left, size_t n, size_t least)
{
	size_t i, run;

	for (i = 0; i < n; i += run) {
		run = 1;
		if ((left && left[i]) || !is_filling(out[i]))
			continue;
		while (i + run < n && out[i + run] == out[i] && !(left && left[i + run]))
			run++;
		if (run >= least)
			bad("%s: %zu bytes %#x at %#zx", name, run, out[i], i);
	}
	/* A segment's limit beside the next one's base would look like one at odd places. */
	for (i = 0; i + 8 <= n; i += 8) {
		if (!(left && (left[i] || left[i + 7])) && is_pointer(out + i))
			bad("%s: looks like an address of the kernel at %#zx", name, i);
	}
}

/* -------- ioctls -------- */

struct probe {
	const char *name;
	unsigned long cmd;
	enum owner owner;
	void (*prepare)(uint8_t *buf);	/* what the ioctl reads */
	size_t size;			/* of what it gives, where its number does not tell */
	bool clock;			/* it gives the time */
	bool optional;			/* not everywhere */
};

static void one_chip(uint8_t *buf, uint32_t id)
{
	*(struct kvm_irqchip *)buf = (struct kvm_irqchip){ .chip_id = id };
}

static void pic_master(uint8_t *buf)
{
	one_chip(buf, KVM_IRQCHIP_PIC_MASTER);
}

static void pic_slave(uint8_t *buf)
{
	one_chip(buf, KVM_IRQCHIP_PIC_SLAVE);
}

static void ioapic(uint8_t *buf)
{
	one_chip(buf, KVM_IRQCHIP_IOAPIC);
}

static void many(uint8_t *buf)
{
	*(uint32_t *)buf = 256;
}

static void no_padding(uint8_t *buf)
{
	memset(buf, 0, 8 + 256 * sizeof(struct kvm_cpuid_entry2));
	*(uint32_t *)buf = 256;
}

static void one_line(uint8_t *buf)
{
	*(struct kvm_irq_level *)buf = (struct kvm_irq_level){ .irq = 5, .level = 1 };
}

static void linear(uint8_t *buf)
{
	memset(buf, 0, sizeof(struct kvm_translation));
	((struct kvm_translation *)buf)->linear_address = 0x12345;
}

static void one_page(uint8_t *buf)
{
	*(struct kvm_pre_fault_memory *)buf = (struct kvm_pre_fault_memory){ .size = PAGE_4K };
}

static void reporting(uint8_t *buf)
{
	memset(buf, 0, sizeof(struct kvm_tpr_access_ctl));
}

#define PROBE(cmd_, owner_, ...) { .name = #cmd_, .cmd = cmd_, .owner = owner_, ##__VA_ARGS__ }

static const struct probe probes[] = {
	PROBE(KVM_GET_SUPPORTED_CPUID, OF_DEVICE, .prepare = many, .size = 8 + 256 * 40),
	PROBE(KVM_GET_EMULATED_CPUID, OF_DEVICE, .prepare = no_padding, .size = 8 + 256 * 40),
	PROBE(KVM_GET_MSR_INDEX_LIST, OF_DEVICE, .prepare = many, .size = 4 + 256 * 4),
	PROBE(KVM_GET_MSR_FEATURE_INDEX_LIST, OF_DEVICE, .prepare = many, .size = 4 + 256 * 4),
	PROBE(KVM_X86_GET_MCE_CAP_SUPPORTED, OF_DEVICE),
	PROBE(KVM_GET_IRQCHIP, OF_VM, .prepare = pic_master, .size = sizeof(struct kvm_irqchip), .optional = true),
	PROBE(KVM_GET_IRQCHIP, OF_VM, .prepare = pic_slave, .size = sizeof(struct kvm_irqchip), .optional = true),
	PROBE(KVM_GET_IRQCHIP, OF_VM, .prepare = ioapic, .size = sizeof(struct kvm_irqchip), .optional = true),
	PROBE(KVM_IRQ_LINE_STATUS, OF_VM, .prepare = one_line, .optional = true),
	PROBE(KVM_GET_PIT, OF_VM, .size = sizeof(struct kvm_pit_state), .optional = true),
	PROBE(KVM_GET_PIT2, OF_VM, .optional = true),
	PROBE(KVM_GET_CLOCK, OF_VM, .clock = true),
	PROBE(KVM_GET_REGS, OF_VCPU),
	PROBE(KVM_GET_SREGS, OF_VCPU),
	PROBE(KVM_GET_SREGS2, OF_VCPU),
	PROBE(KVM_GET_FPU, OF_VCPU),
	PROBE(KVM_GET_XSAVE, OF_VCPU),
	PROBE(KVM_GET_XSAVE2, OF_VCPU, .size = OUT_MAX),
	PROBE(KVM_GET_XCRS, OF_VCPU, .optional = true),
	PROBE(KVM_GET_DEBUGREGS, OF_VCPU),
	PROBE(KVM_GET_VCPU_EVENTS, OF_VCPU),
	PROBE(KVM_GET_MP_STATE, OF_VCPU),
	PROBE(KVM_GET_LAPIC, OF_VCPU, .optional = true),
	PROBE(KVM_TPR_ACCESS_REPORTING, OF_VCPU, .prepare = reporting, .optional = true),
	PROBE(KVM_GET_CPUID2, OF_VCPU, .prepare = many, .size = 8 + 256 * 40),
	PROBE(KVM_TRANSLATE, OF_VCPU, .prepare = linear),
	PROBE(KVM_PRE_FAULT_MEMORY, OF_VCPU, .prepare = one_page, .optional = true),
};

static int descriptor(const struct victim *v, enum owner owner)
{
	return owner == OF_DEVICE ? v->g.dev : owner == OF_VM ? v->g.fd : v->cpu->fd;
}

/* Calls it over @n bytes @pre; the errno. */
static int call(const struct victim *v, const struct probe *p, uint8_t *buf, uint8_t pre, size_t n)
{
	memset(buf, pre, n);
	if (p->prepare)
		p->prepare(buf);
	return ioctl(descriptor(v, p->owner), p->cmd, buf) < 0 ? errno : 0;
}

static size_t output_size(const struct victim *v, const struct probe *p)
{
	int xsave2 = ioctl(v->g.fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	if (p->cmd == KVM_GET_XSAVE2)
		return xsave2 > 0 ? xsave2 : (int)sizeof(struct kvm_xsave);
	return p->size ? p->size : _IOC_SIZE(p->cmd);
}

/* Two bytes of a clock may happen to be those that were there: not time after time. */
static bool happened(const struct probe *p, size_t untouched, unsigned int time)
{
	return untouched && p->clock && time < 3;
}

/* Bytes that differ from call to call (clocks) were written, too. */
static void probe(const struct victim *v, const struct probe *p)
{
	static uint8_t a[OUT_MAX + GUARD], b[OUT_MAX + GUARD], base_a[OUT_MAX + GUARD], base_b[OUT_MAX + GUARD];
	static bool left[OUT_MAX + GUARD];
	size_t size = output_size(v, p), n = size + GUARD, i, untouched;
	unsigned int time = 0;
	int err;

again:
	untouched = 0;
	err = call(v, p, a, PRE_A, n);
	memset(base_a, PRE_A, n);
	memset(base_b, PRE_B, n);
	if (p->prepare) {
		p->prepare(base_a);
		p->prepare(base_b);
	}
	if (err) {
		/* Who fails says nothing. */
		if (memcmp(a, base_a, n))
			bad("%s: fails with %s, but writes", p->name, strerror(err));
		if (!p->optional)
			bad("%s: %s", p->name, strerror(err));
		return;
	}
	CHECK_EQ(call(v, p, b, PRE_B, n), 0);
	for (i = 0; i < n; i++) {
		left[i] = a[i] == base_a[i] && b[i] == base_b[i];
		untouched += i < size && left[i];
		if (i >= size && !left[i])
			bad("%s: writes behind its end, at %#zx", p->name, i);
	}
	if (happened(p, untouched, time++))
		goto again;
	outputs++;
	/* A structure of fixed size is all output, or else the caller cannot know what is. */
	if (untouched && !p->prepare)
		bad("%s: %zu of %zu bytes not written", p->name, untouched, size);
	search(p->name, a, left, size, p->clock ? 4 : 2);
	search(p->name, b, left, size, p->clock ? 4 : 2);
}

/* All MSRs that are listed, and some that have to be asked for by name. */
static void probe_msrs(const struct victim *v)
{
	static const uint32_t more[] = { 0x10, 0x1b, 0x277, 0xc0000102, 0x4b564d00, 0x4b564d01, 0x4b564d04, 0x40000000 };
	struct {
		struct kvm_msr_list head;
		uint32_t indices[300];
	} list = { .head.nmsrs = 300 };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one;
	unsigned int i;

	MUST(ioctl(v->g.dev, KVM_GET_MSR_INDEX_LIST, &list));
	for (i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		list.indices[list.head.nmsrs++] = more[i];
	for (i = 0; i < list.head.nmsrs; i++) {
		memset(&one, PRE_A, sizeof(one));
		one.head.nmsrs = 1;
		one.entry.index = list.indices[i];
		one.entry.reserved = 0;
		if (ioctl(v->cpu->fd, KVM_GET_MSRS, &one) == 1)
			search("KVM_GET_MSRS", (uint8_t *)&one.entry.data, NULL, 8, 4);
		else if (one.entry.data != 0x1111111111111111)
			bad("KVM_GET_MSRS: %#x fails, but writes", list.indices[i]);
	}
	outputs++;
}

static void probe_attributes(const struct victim *v)
{
	uint64_t val = 0;
	struct kvm_device_attr attr = { .addr = (uintptr_t)&val };

	attr.group = KVM_VCPU_TSC_CTRL;
	attr.attr = KVM_VCPU_TSC_OFFSET;
	MUST(ioctl(v->cpu->fd, KVM_GET_DEVICE_ATTR, &attr));
	attr.group = 0;
	attr.attr = KVM_X86_XCOMP_GUEST_SUPP;
	MUST(ioctl(v->g.dev, KVM_GET_DEVICE_ATTR, &attr));
	search("KVM_GET_DEVICE_ATTR", (uint8_t *)&val, NULL, sizeof(val), 4);
	outputs++;
}

static void probe_file(const char *name, int fd)
{
	static uint8_t buf[OUT_MAX];
	ssize_t n;

	if (fd < 0)
		return;
	memset(buf, 0, sizeof(buf));
	n = read(fd, buf, sizeof(buf));
	CHECK(n > 0);
	search(name, buf, NULL, n, 4);
	close(fd);
	outputs++;
}

static void probe_log(const struct victim *v)
{
	static uint8_t bits[64 + GUARD];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };
	unsigned int i;

	memset(bits, PRE_A, sizeof(bits));
	if (ioctl(v->g.fd, KVM_GET_DIRTY_LOG, &log))
		return;
	/* All pages may be dirty, or none; nothing else has whole bytes of a filling. */
	search("KVM_GET_DIRTY_LOG", bits, NULL, v->g.size / PAGE_4K / 8, 2);
	for (i = v->g.size / PAGE_4K / 8; i < sizeof(bits); i++)
		if (bits[i] != PRE_A)
			bad("KVM_GET_DIRTY_LOG: writes behind its end");
	outputs++;
}

static void probe_all(const struct victim *v, const char *when)
{
	unsigned int i, before = found_bad;

	for (i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		probe(v, &probes[i]);
	probe_msrs(v);
	probe_attributes(v);
	probe_file("statistics of the VM", ioctl(v->g.fd, KVM_GET_STATS_FD, NULL));
	probe_file("statistics of the vCPU", ioctl(v->cpu->fd, KVM_GET_STATS_FD, NULL));
	probe_log(v);
	/* kvm_run, the data of port accesses, the coalesced ring */
	search("the vCPU's mapping", (uint8_t *)v->cpu->run, NULL, v->g.run_size, 2);
	if (found_bad != before)
		printf("# (%s, %s)\n", when, v->chips == CHIPS ? "with chips" : "without chips");
}

/* -------- guests -------- */

/* Rubbish in as many caches of the kernel as can be reached, so that new objects get used memory. */
static void stir(void)
{
	struct guest g;
	int i;

	for (i = 0; i < 3; i++) {
		guest_create(&g, MB);
		ioctl(g.fd, KVM_CREATE_IRQCHIP, 0);
		guest_add_cpu(&g);
		munmap(g.cpu[0].run, g.run_size);
		close(g.cpu[0].fd);
		close(g.fd);
		close(g.dev);
	}
	write_text("2", "/proc/sys/vm/drop_caches");
}

static void create(struct victim *v, enum chips chips)
{
	struct kvm_enable_cap ring = { .cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL, .args = { RING_SIZE } };
	struct kvm_pit_config pit = { 0 };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0xe1000000, .size = 4096 };

	stir();
	v->chips = chips;
	guest_create(&v->g, MB);
	if (chips == CHIPS) {
		MUST(ioctl(v->g.fd, KVM_CREATE_IRQCHIP, 0));
		MUST(ioctl(v->g.fd, KVM_CREATE_PIT2, &pit));
	}
	if (chips == RING)
		ioctl(v->g.fd, KVM_ENABLE_CAP, &ring);
	v->cpu = guest_add_cpu(&v->g);
	ioctl(v->g.fd, KVM_REGISTER_COALESCED_MMIO, &zone);
	guest_slot(&v->g, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, MB, v->g.mem);
}

static void verdict(void)
{
	printf("# %u outputs, %u bad\n", outputs, found_bad);
	CHECK_EQ(found_bad, 0);
}

/* As they are created, before anything ran. */
static void fresh(void)
{
	struct victim v;
	int i;

	for (i = 0; i < 2; i++) {
		create(&v, i);
		probe_all(&v, "new");
	}
	verdict();
}

/* One exit to user space after the other. */
GUEST_CODE(exits,
	".code64\n"
	"	mov $0xe1000000, %ebx\n"
	"	movb $1, (%rbx)\n"			/* coalesced */
	"	movw $0x1234, 16(%rbx)\n"
	"	in $0x70, %al\n"
	"	mov $0x70, %edx\n	mov $0xf000, %edi\n	mov $3, %ecx\n	rep insb\n"
	"	mov $0xf000, %esi\n	mov $3, %ecx\n	rep outsw\n"
	"	mov $0xe0000000, %ebx\n"
	"	mov (%rbx), %al\n"
	"	mov %rax, 8(%rbx)\n"
	"	mov $0x12345678, %ecx\n	rdmsr\n"	/* to user space by capability */
	"	mov $0x12345678, %ecx\n	wrmsr\n"
	"	vmcall\n"
	"	hlt\n");

static void ran(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR, .args = { KVM_MSR_EXIT_REASON_UNKNOWN } };
	struct victim v;
	int i, n;

	for (i = 0; i < 2; i++) {
		create(&v, i);
		MUST(ioctl(v.g.fd, KVM_ENABLE_CAP, &cap));
		guest_load_code(&v.g, exits);
		guest_mode(v.cpu, GUEST_LONG);
		v.cpu->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
		for (n = 0; n < 40; n++) {
			v.cpu->run->immediate_exit = 0;
			CHECK_EQ(guest_run(v.cpu), 0);
			probe_all(&v, "after an exit");
			if (v.cpu->run->exit_reason == KVM_EXIT_HLT || v.cpu->run->exit_reason == KVM_EXIT_SHUTDOWN)
				break;
			/* The last one: with chips it would sleep in HLT next. */
			if (i && v.cpu->run->exit_reason == KVM_EXIT_X86_WRMSR)
				break;
			if (v.cpu->run->exit_reason == KVM_EXIT_X86_RDMSR)
				v.cpu->run->msr.data = 1;
		}
		CHECK(n > 5, "%d exits", n);
	}
	verdict();
}

/* -------- exits that need something to be done first -------- */

#define HOLE		0xd0000000ul
#define RING_GFNS	8192u		/* more than it has */

GUEST_CODE(odd_code,
	".code64\n"
	"odd_nops: nop; nop; hlt\n"
	"odd_jump: jmp *%rdi\n"
	"odd_ud: ud2\n"
	"odd_load: mov (%rdi), %rax; hlt\n"
	"odd_hypercall: mov $12, %eax; mov $0x10000, %ebx; mov $1, %ecx; mov $0x11, %edx; vmmcall; hlt\n"
	"odd_cr8: mov $5, %eax; mov %rax, %cr8; mov $3, %eax; mov %rax, %cr8; hlt\n"
	"odd_sti: sti; nop; jmp .\n"
	"odd_dirty: movb $1, (%rdi); add $0x1000, %rdi; jmp odd_dirty\n"
	"odd_tpr: mov $0xfee00080, %edi; movl $0x20, (%rdi); hlt\n");

extern const char odd_nops[], odd_jump[], odd_ud[], odd_load[], odd_hypercall[], odd_cr8[], odd_sti[], odd_dirty[], odd_tpr[];

static void prepare_step(struct victim *v)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

	MUST(ioctl(v->cpu->fd, KVM_SET_GUEST_DEBUG, &debug));
}

static void prepare_idt(struct victim *v)
{
	guest_idt(v->cpu, HOLE);
}

static void prepare_no_memory(struct victim *v)
{
	void *none = mmap(NULL, PAGE_4K, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(none != MAP_FAILED);
	guest_slot(&v->g, 1, 0, HOLE, PAGE_4K, none);
}

static void prepare_hypercall(struct victim *v)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_HYPERCALL, .args = { 1ull << 12 } };

	MUST(ioctl(v->g.fd, KVM_ENABLE_CAP, &cap));
}

static void prepare_window(struct victim *v)
{
	v->cpu->run->request_interrupt_window = 1;
}

static void prepare_ring(struct victim *v)
{
	guest_slot(&v->g, 2, KVM_MEM_LOG_DIRTY_PAGES, 4 * PAGE_2M, RING_GFNS * PAGE_4K, guest_alloc(RING_GFNS * PAGE_4K));
}

static void prepare_tpr(struct victim *v)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = 1 };

	MUST(ioctl(v->cpu->fd, KVM_TPR_ACCESS_REPORTING, &ctl));
}

static const struct odd {
	const char *name;
	uint32_t reason;
	const char *entry;
	void (*prepare)(struct victim *v);
	enum chips chips;
	uint64_t rdi;
	int cap;		/* without which there is none */
} odds[] = {
	{ "a single step", KVM_EXIT_DEBUG, odd_nops, prepare_step },
	{ "code where nothing is", KVM_EXIT_INTERNAL_ERROR, odd_jump, .rdi = HOLE },
	{ "an IDT where nothing is", KVM_EXIT_INTERNAL_ERROR, odd_ud, prepare_idt },
	{ "memory that is none", KVM_EXIT_UNKNOWN, odd_load, prepare_no_memory, .rdi = HOLE },
	{ "a triple fault", KVM_EXIT_SHUTDOWN, odd_ud },
	{ "a hypercall", KVM_EXIT_HYPERCALL, odd_hypercall, prepare_hypercall },
	{ "CR8", KVM_EXIT_SET_TPR, odd_cr8 },
	{ "an open window", KVM_EXIT_IRQ_WINDOW_OPEN, odd_sti, prepare_window },
	{ "a full ring", KVM_EXIT_DIRTY_RING_FULL, odd_dirty, prepare_ring, RING, 4 * PAGE_2M, KVM_CAP_DIRTY_LOG_RING },
	{ "TPR", KVM_EXIT_TPR_ACCESS, odd_tpr, prepare_tpr, CHIPS, .cap = KVM_CAP_VAPIC },
};

static void oddly(const struct odd *odd)
{
	struct victim v;
	int r;

	create(&v, odd->chips);
	if (odd->cap && ioctl(v.g.fd, KVM_CHECK_EXTENSION, odd->cap) <= 0) {
		printf("# %s: not here\n", odd->name);
		return;
	}
	guest_load_code(&v.g, odd_code);
	guest_mode(v.cpu, GUEST_LONG);
	guest_call(v.cpu, odd->entry - odd_nops, odd->rdi, 0, 0, 0);
	if (odd->prepare)
		odd->prepare(&v);
	r = guest_run(v.cpu);
	CHECK_EQ(r, odd->reason == KVM_EXIT_UNKNOWN ? -EFAULT : 0);
	guest_expect(v.cpu, odd->reason);
	probe_all(&v, odd->name);
}

static void ran_oddly(void)
{
	unsigned int i;

	for (i = 0; i < sizeof(odds) / sizeof(odds[0]); i++)
		oddly(&odds[i]);
	verdict();
}

/* -------- to the guest -------- */

/*
 * What the host writes into guest memory for a guest: SMRAM's state, clocks, steal time. The first @segments bytes are
 * selector, attributes and limit, which may look like an address of the kernel, and base, of one segment after the other.
 */
static void written(const char *name, uint8_t *mem, size_t n, size_t segments)
{
	static bool left[PAGE_4K];
	size_t i, count = 0;

	for (i = 0; i < n; i++) {
		left[i] = mem[i] == PRE_A || (i < segments && !(i & 8));
		count += mem[i] != PRE_A;
	}
	printf("# %s: %zu of %zu bytes written\n", name, count, n);
	CHECK(count > 0);
	search(name, mem, left, n, 4);
	outputs++;
}

static void to_guest(void)
{
	struct sigaction sa = { .sa_handler = work_nothing };
	struct victim v;

	create(&v, true);
	guest_slot(&v.g, 1 << 16, 0, 0, MB, v.g.mem);	/* SMM's address space */
	guest_mode(v.cpu, GUEST_LONG);
	memset(v.g.mem + 0x10000, PRE_A, PAGE_4K);
	memset(v.g.mem + 0x11000, PRE_A, PAGE_4K);
	memset(v.g.mem + SMRAM_STATE, PRE_A, 0x200);
	memset(v.g.mem + SMBASE_GPA + 0x8000, 0xf4, 16);	/* HLT */
	guest_set_msr(v.cpu, 0x4b564d00, 0x11040);		/* wall clock */
	guest_set_msr(v.cpu, 0x4b564d01, 0x10041);		/* clock */
	guest_set_msr(v.cpu, 0x4b564d03, 0x10081);		/* steal time */
	guest_set_msr(v.cpu, 0x4b564d04, 0x100c1);		/* EOI */
	MUST(ioctl(v.cpu->fd, KVM_SMI, 0));
	sigaction(SIGALRM, &sa, NULL);
	alarm(2);	/* it sleeps in HLT, of SMM's handler */
	CHECK_EQ(ioctl(v.cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	/* The clock's TSC may be from before the vCPU's was 0, and look like an address. */
	memset(v.g.mem + 0x10048, PRE_A, sizeof(uint64_t));
	/* Its multiplier looks like a filling at 2.5 GHz: 0xcccccccc. */
	memset(v.g.mem + 0x10058, PRE_A, sizeof(uint32_t));
	written("clock, steal time and EOI", v.g.mem + 0x10000, PAGE_4K, 0);
	written("wall clock", v.g.mem + 0x11000, PAGE_4K, 0);
	written("SMRAM", v.g.mem + SMRAM_STATE, 0x200, 0xa0);
	verdict();
}

/* Rings that were never written are empty. */
static void rings(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { RING_SIZE } };
	struct guest_cpu *cpu;
	struct guest g;
	uint8_t *ring;
	size_t i;

	stir();
	guest_create(&g, MB);
	if (ioctl(g.fd, KVM_ENABLE_CAP, &cap))
		SKIP("no dirty rings");
	cpu = guest_add_cpu(&g);
	ring = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_4K);
	CHECK(ring != MAP_FAILED);
	for (i = 0; i < RING_SIZE; i++)
		CHECK_EQ(ring[i], 0);
	for (i = 0; i < g.run_size; i++)
		CHECK_EQ(((uint8_t *)cpu->run)[i], 0);
}

/* Is there anything to be found? Else the others prove less than they could. */
static void fillings_are_there(void)
{
	char line[4096] = "";
	FILE *f = fopen("/proc/cmdline", "re");

	if (f && fgets(line, sizeof(line), f))
		printf("# %s", line);
	if (f)
		fclose(f);
	if (!strstr(line, "init_on_alloc=0") || !strstr(line, "slub_debug=P") || !strstr(line, "page_poison=1"))
		SKIP("unused memory has no fillings");
}

static const struct test tests[] = {
	{ "fillings", fillings_are_there },
	{ "new", fresh, 120 },
	{ "after exits", ran, 240 },
	{ "after odd exits", ran_oddly, 240 },
	{ "to the guest", to_guest },
	{ "rings", rings },
};

TEST_MAIN(tests)
