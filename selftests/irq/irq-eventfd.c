// SPDX-License-Identifier: GPL-2.0-only
/* irqfd, resampling, ioeventfd. */
#include <fcntl.h>

#include "irq.h"

#define LEVEL	(1u << 15)
#define BELL	0xd0000000ul	/* no memory there */

static int irqfd(struct guest *g, int fd, uint32_t gsi, uint32_t flags, int resample)
{
	struct kvm_irqfd a = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample };

	return ioctl(g->fd, KVM_IRQFD, &a) ? -errno : 0;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	CHECK_EQ(write(fd, &one, 8), 8);
}

/* Its count since the last look, 0 when none. */
static uint64_t count_fd(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, 8) == 8 ? n : 0;
}

GUEST void wait_guest(void)
{
	apic_on();
	ioapic_set(20, 0x54 | LEVEL, 0);
	ioapic_set(21, 0x55, 0);
	report(1);
	for (;;) {
		sti_();
		pause_();
		cli_();
		report(SH->total);
	}
}

static void irqfd_edge(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	/* Signalled before it is attached: not lost. */
	signal_fd(fd);
	CHECK_EQ(irq_exec(&g.cpu[0], wait_guest), 1);
	CHECK_EQ(irqfd(&g, fd, 21, 0, 0), 0);
	sleep_ms(20);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK_EQ(shared(&g)->order[0], 0x55);
	signal_fd(fd);
	sleep_ms(20);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	CHECK_EQ(count_fd(fd), 0);		/* consumed */
	CHECK_EQ(irqfd(&g, fd, 21, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	signal_fd(fd);
	sleep_ms(20);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	CHECK_EQ(count_fd(fd), 1);
}

GUEST void sleeping_guest(void)
{
	apic_on();
	ioapic_set(21, 0x55, 0);
	SH->ready = 1;
	while (SH->total < 1)
		hlt_();
	report(SH->total);
}

static void irqfd_wakes(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct irq_thread t;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	CHECK_EQ(irqfd(&g, fd, 21, 0, 0), 0);
	irq_start(&g.cpu[0], sleeping_guest);
	irq_thread(&t, &g.cpu[0]);
	while (!shared(&g)->ready)
		sleep_ms(1);
	sleep_ms(50);
	signal_fd(fd);
	CHECK_EQ(irq_join(&t), 1);
}

static void irqfd_resample(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), re = eventfd(0, EFD_NONBLOCK);
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	shared(&g)->eoi = EOI_LAPIC;
	CHECK_EQ(irqfd(&g, fd, 20, KVM_IRQFD_FLAG_RESAMPLE, re), 0);
	CHECK_EQ(irq_exec(&g.cpu[0], wait_guest), 1);
	signal_fd(fd);
	sleep_ms(20);
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK_EQ(count_fd(re), 1);		/* the EOI */
	/* The line fell with it. */
	CHECK_EQ(irq_next(&g.cpu[0]), 1);
	CHECK_EQ(count_fd(re), 0);
	signal_fd(fd);
	sleep_ms(20);
	CHECK_EQ(irq_next(&g.cpu[0]), 2);
	CHECK_EQ(count_fd(re), 1);
	CHECK_EQ(irqfd(&g, fd, 20, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
}

static void irqfd_errors(void)
{
	int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK);
	int null = open("/dev/null", O_RDWR);
	struct guest g, s;

	guest_open(&g);
	CHECK_EQ(irqfd(&g, fd, 5, 0, 0), -EINVAL);
	MUST(ioctl(g.fd, KVM_CREATE_IRQCHIP, 0));
	CHECK_EQ(irqfd(&g, fd, 5, 0x80, 0), -EINVAL);
	CHECK_EQ(irqfd(&g, 999, 5, 0, 0), -EBADF);
	CHECK_EQ(irqfd(&g, null, 5, 0, 0), -EINVAL);
	CHECK_EQ(irqfd(&g, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, 999), -EBADF);
	CHECK_EQ(irqfd(&g, fd, 5, 0, 0), 0);
	CHECK_EQ(irqfd(&g, fd, 5, 0, 0), -EBUSY);
	CHECK_EQ(irqfd(&g, fd, 6, 0, 0), -EBUSY);
	CHECK_EQ(irqfd(&g, other, 5, 0, 0), 0);
	CHECK_EQ(irqfd(&g, other, 7, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	CHECK_EQ(irqfd(&g, fd, 5, KVM_IRQFD_FLAG_DEASSIGN, 0), 0);
	CHECK_EQ(irqfd(&g, fd, 6, 0, 0), 0);
	/* An eventfd may go first, and the VM with others still attached. */
	close(fd);
	irq_guest(&s, CHIP_SPLIT, 1);
	CHECK_EQ(irqfd(&s, null, 5, 0, 0), -EINVAL);
	fd = eventfd(0, 0);
	CHECK_EQ(irqfd(&s, fd, 5, KVM_IRQFD_FLAG_RESAMPLE, other), -EINVAL);
	CHECK_EQ(irqfd(&s, fd, 5, 0, 0), 0);
	close(g.fd);
	signal_fd(other);
}

static volatile bool race_stop;
static int race_fd;

static void *racer(void *arg)
{
	while (!race_stop)
		irqfd(arg, race_fd, 21, KVM_IRQFD_FLAG_DEASSIGN, 0);
	return NULL;
}

/* Attached, signalled and detached at the same time. */
static void irqfd_race(void)
{
	pthread_t t;
	struct guest g;
	int i;

	irq_guest(&g, CHIP_KERNEL, 1);
	race_fd = eventfd(0, EFD_NONBLOCK);
	CHECK_EQ(pthread_create(&t, NULL, racer, &g), 0);
	for (i = 0; i < 300; i++) {
		irqfd(&g, race_fd, 21, 0, 0);
		signal_fd(race_fd);
	}
	race_stop = true;
	pthread_join(t, NULL);
}

/* -------- ioeventfd -------- */

static int ioeventfd(struct guest *g, int fd, uint64_t addr, uint32_t len, uint32_t flags,
		     uint64_t match)
{
	struct kvm_ioeventfd a = {
		.fd = fd, .addr = addr, .len = len, .flags = flags, .datamatch = match,
	};

	return ioctl(g->fd, KVM_IOEVENTFD, &a) ? -errno : 0;
}

GUEST void bells_guest(void)
{
	outb_(0x70, 1);
	outb_(0x70, 2);
	asm volatile("outw %%ax, $0x72" : : "a"(3));
	mmio_write(BELL, 5);
	mmio_write(BELL, 6);
	mmio_write(BELL + 8, 7);
	report(0);
}

static void ioeventfd_match(void)
{
	int port = eventfd(0, EFD_NONBLOCK), word = eventfd(0, EFD_NONBLOCK);
	int five = eventfd(0, EFD_NONBLOCK), any = eventfd(0, EFD_NONBLOCK);
	const uint32_t pio = KVM_IOEVENTFD_FLAG_PIO, match = KVM_IOEVENTFD_FLAG_DATAMATCH;
	struct guest_cpu *cpu;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	cpu = &g.cpu[0];
	CHECK_EQ(ioeventfd(&g, port, 0x70, 1, pio | match, 2), 0);
	CHECK_EQ(ioeventfd(&g, word, 0x72, 2, pio, 0), 0);
	CHECK_EQ(ioeventfd(&g, five, BELL, 4, match, 5), 0);
	CHECK_EQ(ioeventfd(&g, any, BELL + 8, 0, 0, 0), 0);
	irq_start(cpu, bells_guest);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_IO);		/* 1 does not match 2 */
	CHECK_EQ(cpu->run->io.port, 0x70);
	CHECK_EQ(guest_run(cpu), 0);
	guest_expect(cpu, KVM_EXIT_MMIO);	/* 6 does not match 5 */
	CHECK_EQ(cpu->run->mmio.phys_addr, BELL);
	CHECK_EQ(*(uint32_t *)cpu->run->mmio.data, 6);
	CHECK_EQ(irq_next(cpu), 0);
	CHECK_EQ(count_fd(port), 1);
	CHECK_EQ(count_fd(word), 1);
	CHECK_EQ(count_fd(five), 1);
	CHECK_EQ(count_fd(any), 1);
}

/* Devices with many queues have thousands; KVM's limit of 1000 is for other things. */
static void ioeventfd_many(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct guest g;
	int i;

	guest_open(&g);
	for (i = 0; i < 1200; i++)
		CHECK_EQ(ioeventfd(&g, fd, BELL + 4 * i, 4, 0, 0), 0);
}

/* More at one port than are looked at with interrupts off. */
static void ioeventfd_crowd(void)
{
	const uint32_t flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH;
	int others = eventfd(0, EFD_NONBLOCK), last = eventfd(0, EFD_NONBLOCK), i;
	struct guest g;

	irq_guest(&g, CHIP_KERNEL, 1);
	for (i = 0; i < 100; i++)
		CHECK_EQ(ioeventfd(&g, others, 0x70, 1, flags, 100 + i), 0);
	CHECK_EQ(ioeventfd(&g, last, 0x70, 1, flags, 2), 0);
	irq_start(&g.cpu[0], bells_guest);
	CHECK_EQ(guest_run(&g.cpu[0]), 0);
	guest_expect(&g.cpu[0], KVM_EXIT_IO);	/* 1 is nobody's */
	CHECK_EQ(g.cpu[0].run->io.port, 0x70);
	CHECK_EQ(guest_run(&g.cpu[0]), 0);
	guest_expect(&g.cpu[0], KVM_EXIT_IO);
	CHECK_EQ(g.cpu[0].run->io.port, 0x72);
	CHECK_EQ(count_fd(last), 1);
	CHECK_EQ(count_fd(others), 0);
}

static void ioeventfd_errors(void)
{
	const uint32_t pio = KVM_IOEVENTFD_FLAG_PIO, match = KVM_IOEVENTFD_FLAG_DATAMATCH;
	const uint32_t off = KVM_IOEVENTFD_FLAG_DEASSIGN;
	int fd = eventfd(0, 0), other = eventfd(0, 0);
	struct guest g;

	guest_open(&g);
	CHECK_EQ(ioeventfd(&g, 999, 0x70, 1, pio, 0), -EBADF);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 3, pio, 0), -EINVAL);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 16, pio, 0), -EINVAL);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 1, 0x80, 0), -EINVAL);
	CHECK_EQ(ioeventfd(&g, fd, ~0ull, 4, 0, 0), -EINVAL);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 0, pio | match, 0), -EINVAL);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 1, pio | match, 1), 0);
	CHECK_EQ(ioeventfd(&g, other, 0x70, 1, pio | match, 1), -EEXIST);
	CHECK_EQ(ioeventfd(&g, other, 0x70, 1, pio, 0), -EEXIST);
	CHECK_EQ(ioeventfd(&g, other, 0x70, 0, pio, 0), -EEXIST);
	CHECK_EQ(ioeventfd(&g, other, 0x70, 1, pio | match, 2), 0);
	CHECK_EQ(ioeventfd(&g, other, 0x70, 2, pio, 0), 0);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 1, pio | match | off, 2), -ENOENT);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 1, pio | off, 0), -ENOENT);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 1, pio | match | off, 1), 0);
	CHECK_EQ(ioeventfd(&g, fd, 0x70, 1, pio | match | off, 1), -ENOENT);
	CHECK_EQ(ioeventfd(&g, fd, BELL, 0, 0, 0), 0);
	CHECK_EQ(ioeventfd(&g, other, BELL, 4, 0, 0), -EEXIST);
	CHECK_EQ(ioeventfd(&g, fd, BELL, 0, off, 0), 0);
	CHECK_EQ(ioeventfd(&g, other, BELL, 4, 0, 0), 0);
}

static const struct test tests[] = {
	{ "irqfd edge", irqfd_edge },
	{ "irqfd wakes HLT", irqfd_wakes },
	{ "irqfd resample", irqfd_resample },
	{ "irqfd errno", irqfd_errors },
	{ "irqfd race", irqfd_race },
	{ "ioeventfd match", ioeventfd_match },
	{ "ioeventfds by the thousand", ioeventfd_many, 120 },
	{ "ioeventfds, many at one port", ioeventfd_crowd },
	{ "ioeventfd errno", ioeventfd_errors },
};

TEST_MAIN(tests)
