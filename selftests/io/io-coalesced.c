// SPDX-License-Identifier: GPL-2.0-only
/* Coalesced MMIO and PIO: zones, the ring, and who may trust it. */
#include "../first/first.h"

GUEST_CODE(co,
	".code64\n"
	"co_all: mov %sil, (%rdi); mov %si, 2(%rdi); mov %esi, 4(%rdi); mov %rsi, 8(%rdi); hlt\n"
	"co_load: mov (%rdi), %eax; hlt\n"
	"co_store: mov %esi, (%rdi); hlt\n"
	/* RDX stores of a number that counts up */
	"co_many: mov %esi, (%rdi); inc %esi; dec %edx; jnz co_many; hlt\n"
	/* RDI is the port */
	"co_out: mov %edi, %edx; mov %esi, %eax; out %al, %dx; out %ax, %dx; out %eax, %dx; hlt\n"
	"co_in: mov %edi, %edx; in %dx, %al; hlt\n"
	/* RDX is the port */
	"co_outs: rep outsb; hlt\n");

extern const char co_all[], co_load[], co_store[], co_many[], co_out[], co_in[], co_outs[];

#define AT(name)	((unsigned long)(co_##name - co))
#define DEVICE		0xd0000000ul
#define PORT		0x3e0
#define VALUE		0x1122334455667788ull
#define MAX		((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / \
			 sizeof(struct kvm_coalesced_mmio))

static struct guest g;
static struct guest_cpu *cpu;

static volatile struct kvm_coalesced_mmio_ring *ring(struct guest_cpu *cpu)
{
	int page = ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);

	CHECK_EQ(page, 2);
	return (void *)((char *)cpu->run + page * PAGE_4K);
}

static int zone(unsigned long cmd, uint64_t addr, uint32_t size, uint32_t pio)
{
	struct kvm_coalesced_mmio_zone z = { .addr = addr, .size = size, .pio = pio };

	return ioctl(g.fd, cmd, &z) ? -errno : 0;
}

static int add(uint64_t addr, uint32_t size, uint32_t pio)
{
	return zone(KVM_REGISTER_COALESCED_MMIO, addr, size, pio);
}

static int del(uint64_t addr, uint32_t size, uint32_t pio)
{
	return zone(KVM_UNREGISTER_COALESCED_MMIO, addr, size, pio);
}

static void start(void)
{
	cpu = long_guest(&g);
	guest_load_code(&g, co);
	CHECK_EQ(ioctl(g.fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO), 1);
}

static void check_entry(uint32_t n, uint64_t addr, uint32_t len, uint64_t val, uint32_t pio)
{
	struct kvm_coalesced_mmio e = ring(cpu)->coalesced_mmio[n];
	uint64_t data = 0;

	memcpy(&data, e.data, len);
	CHECK_EQ(e.phys_addr, addr);
	CHECK_EQ(e.len, len);
	CHECK_EQ(e.pio, pio);
	CHECK_EQ(data, len == 8 ? val : val & ((1ull << len * 8) - 1));
}

static void expect_mmio(unsigned long entry, uint64_t addr, bool write)
{
	guest_call(cpu, entry, addr, VALUE, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(cpu->run->mmio.phys_addr, addr);
	CHECK_EQ(cpu->run->mmio.is_write, write);
}

static void writes(void)
{
	start();
	CHECK_EQ(add(DEVICE, 0x100, 0), 0);
	guest_exec(cpu, AT(all), DEVICE, VALUE, 0, 0);
	CHECK_EQ(ring(cpu)->first, 0);
	CHECK_EQ(ring(cpu)->last, 4);
	check_entry(0, DEVICE, 1, VALUE, 0);
	check_entry(1, DEVICE + 2, 2, VALUE, 0);
	check_entry(2, DEVICE + 4, 4, VALUE, 0);
	check_entry(3, DEVICE + 8, 8, VALUE, 0);
	/* Reads are the device's; so is what lies only half inside. */
	expect_mmio(AT(load), DEVICE, false);
	CHECK_EQ(guest_run(cpu), 0);
	expect_mmio(AT(store), DEVICE - 4, true);
	CHECK_EQ(guest_run(cpu), 0);
	expect_mmio(AT(store), DEVICE + 0xfe, true);
	CHECK_EQ(ring(cpu)->last, 4);
}

static void full(void)
{
	uint32_t n;

	start();
	CHECK_EQ(add(DEVICE, 16, 0), 0);
	guest_call(cpu, AT(many), DEVICE, 1000, MAX + 5, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_MMIO);
	CHECK_EQ(ring(cpu)->last, MAX - 1);
	CHECK_EQ(*(uint32_t *)cpu->run->mmio.data, 1000 + MAX - 1);
	for (n = 0; n < MAX - 1; n++)
		check_entry(n, DEVICE, 4, 1000 + n, 0);
	/* Half of it read: there is room again, and the indices wrap. */
	ring(cpu)->first = MAX / 2;
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	CHECK_EQ(ring(cpu)->last, 4);
	check_entry(MAX - 1, DEVICE, 4, 1000 + MAX, 0);
	check_entry(0, DEVICE, 4, 1000 + MAX + 1, 0);
	check_entry(3, DEVICE, 4, 1000 + MAX + 4, 0);
}

/* User space owns the page and may write anything into it. */
static void bad_indices(void)
{
	static const uint32_t bad[] = { MAX, MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff };
	unsigned int i;

	start();
	CHECK_EQ(add(DEVICE, 16, 0), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ring(cpu)->last = bad[i];
		expect_mmio(AT(store), DEVICE, true);
		CHECK_EQ(guest_run(cpu), 0);
		CHECK_EQ(ring(cpu)->last, bad[i]);
	}
	/* A wrong first only makes a wrong guess of what is free. */
	ring(cpu)->last = 7;
	ring(cpu)->first = 0xdeadbeef;
	guest_exec(cpu, AT(store), DEVICE, VALUE, 0, 0);
	CHECK_EQ(ring(cpu)->last, 8);
}

static void one_ring(void)
{
	struct guest_cpu *other;

	start();
	other = long_cpu(&g);
	CHECK_EQ(add(DEVICE, 16, 0), 0);
	guest_exec(cpu, AT(store), DEVICE, VALUE, 0, 0);
	guest_exec(other, AT(store), DEVICE, VALUE + 1, 0, 0);
	CHECK_EQ(ring(other)->last, 2);
	check_entry(1, DEVICE, 4, VALUE + 1, 0);
	ring(other)->first = 2;
	CHECK_EQ(ring(cpu)->first, 2);
	/* The other pages are each one's own. */
	cpu->run->request_interrupt_window = 1;
	CHECK_EQ(other->run->request_interrupt_window, 0);
}

static void ports(void)
{
	start();
	CHECK_EQ(add(PORT, 4, 1), 0);
	guest_exec(cpu, AT(out), PORT, VALUE, 0, 0);
	CHECK_EQ(ring(cpu)->last, 3);
	check_entry(0, PORT, 1, VALUE, 1);
	check_entry(1, PORT, 2, VALUE, 1);
	check_entry(2, PORT, 4, VALUE, 1);
	guest_call(cpu, AT(in), PORT, 0, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(guest_run(cpu), 0);
	/* A port beside the zone. */
	guest_call(cpu, AT(out), PORT + 4, VALUE, 0, 0);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);
	CHECK_EQ(ring(cpu)->last, 3);
}

/* REP OUTS: each byte an entry. What finds no room is left to user space. */
static void string(void)
{
	unsigned int i, left = 0;

	start();
	CHECK_EQ(add(PORT, 1, 1), 0);
	for (i = 0; i < 400; i++)
		g.mem[0x20000 + i] = i;
	guest_call(cpu, AT(outs), 0, 0x20000, PORT, 20);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_HLT);
	CHECK_EQ(ring(cpu)->last, 20);
	for (i = 0; i < 20; i++)
		check_entry(i, PORT, 1, i, 1);
	if (device_is_kvm())
		SKIP("KVM loses what a batch has for a full ring");
	ring(cpu)->first = 20;
	guest_call(cpu, AT(outs), 0, 0x20000, PORT, 400);
	for (;;) {
		uint8_t *data;

		CHECK_EQ(guest_run(cpu), 0);
		if (cpu->run->exit_reason == KVM_EXIT_HLT)
			break;
		guest_expect(cpu, KVM_EXIT_IO);
		data = (uint8_t *)cpu->run + cpu->run->io.data_offset;
		for (i = 0; i < cpu->run->io.count; i++, left++)
			CHECK_EQ(data[i], (uint8_t)(MAX - 1 + left));
	}
	CHECK_EQ(left, 400 - (MAX - 1));
}

static void unregister(void)
{
	start();
	CHECK_EQ(add(DEVICE, 0x100, 0), 0);
	CHECK_EQ(add(DEVICE, 0x10, 0), 0);
	/* Not these: larger, beside it, another bus, a size that is no length. */
	CHECK_EQ(del(DEVICE, 0x101, 0), 0);
	CHECK_EQ(del(DEVICE + 0x100, 4, 0), 0);
	CHECK_EQ(del(DEVICE, 4, 1), 0);
	CHECK_EQ(del(DEVICE, 0x80000000, 0), 0);
	guest_exec(cpu, AT(store), DEVICE, VALUE, 0, 0);
	CHECK_EQ(ring(cpu)->last, 1);		/* once, for two zones */
	/* A part names the whole, and every zone that has it. */
	CHECK_EQ(del(DEVICE + 4, 4, 0), 0);
	expect_mmio(AT(store), DEVICE, true);
	CHECK_EQ(guest_run(cpu), 0);
	expect_mmio(AT(store), DEVICE + 0x80, true);
	CHECK_EQ(guest_run(cpu), 0);
	CHECK_EQ(ring(cpu)->last, 1);
	CHECK_EQ(del(DEVICE, 4, 0), 0);
}

static void errors(void)
{
	int i, err = 0;

	start();
	CHECK_EQ(add(DEVICE, 4, 2), -EINVAL);
	CHECK_EQ(del(DEVICE, 4, 2), -EINVAL);
	CHECK_EQ(ioctl(g.fd, KVM_REGISTER_COALESCED_MMIO, 8), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(ioctl(g.fd, KVM_UNREGISTER_COALESCED_MMIO, 8), -1);
	CHECK_EQ(errno, EFAULT);
	/* A zone without length catches nothing. */
	CHECK_EQ(add(DEVICE, 0, 0), 0);
	expect_mmio(AT(store), DEVICE, true);
	for (i = 0; i < 1100 && !err; i++)
		err = add(DEVICE + 0x1000 + i * 16, 16, 0);
	CHECK_EQ(err, -ENOSPC);
}

static const struct test tests[] = {
	{ "writes of all sizes", writes },
	{ "full ring", full },
	{ "indices of user space", bad_indices },
	{ "one ring for all vCPUs", one_ring },
	{ "ports", ports },
	{ "string output", string },
	{ "zones that go", unregister },
	{ "errno", errors },
};

TEST_MAIN(tests)
