// SPDX-License-Identifier: GPL-2.0-only
/*
 * The routing table, irqfds, ioeventfds and I/O buses: what is replaced as a
 * whole while others use it. One thread changes routes, one drives lines, one
 * assigns eventfds and takes them away, and one is the vCPU, which takes the
 * interrupts, ends them, and writes to a doorbell.
 *
 * When an ioctl has returned, nothing comes by what it replaced: the vectors of
 * an old table and of an irqfd that is gone stay silent. And nothing is lost: a
 * resampled line's EOI, and a doorbell's ring, are waited for.
 */
#include <sched.h>

#include "cpuid.h"
#include "io.h"
#include "irq/chips.h"
#include "irq/lapic.h"
#include "stress.h"
#include "vendor.h"
#include "vm.h"

#define VECTOR_LINE	0x40	/* GSI 5, by one table or the other: and 0x41 */
#define VECTOR_IRQFD	0x50	/* GSI 6 */
#define VECTOR_LEVEL	0x60	/* GSI 9, resampled */
#define DOORBELL	0x510

struct vmm_vendor_caps vendor_caps;

static struct {
	struct vm vm;
	struct vcpu vcpu;
	struct clock clock;
	unsigned long seen[256];	/* (a) */
	unsigned long passes;		/* (a) times that the vCPU found nothing */
	unsigned long rings;		/* (a) of the doorbell */
} t;

/* -------- what the chips ask -------- */

bool guest_cpuid_has(struct vcpu *vcpu, unsigned int feature)
{
	return true;
}

u8 vcpu_maxphyaddr(struct vcpu *vcpu)
{
	return 46;
}

u64 vcpu_guest_tsc(const struct vcpu *vcpu, u64 host_tsc)
{
	return host_tsc;
}

void regs_fetch(struct vcpu *vcpu, u32 groups)
{
	vcpu->regs.avail |= groups;
}

int vendor_set_timer(struct vcpu *vcpu, u64 guest_tsc)
{
	return -EOPNOTSUPP;
}

void smi_queue(struct vcpu *vcpu) { }

/* -------- the vCPU -------- */

static void ring_doorbell(void)
{
	u8 val = 1;
	int idx = srcu_read_lock(&t.vm.srcu);

	if (!io_bus_write(&t.vcpu, IO_BUS_PIO, DOORBELL, 1, &val))
		__atomic_add_fetch(&t.rings, 1, __ATOMIC_RELEASE);
	srcu_read_unlock(&t.vm.srcu, idx);
}

static void *run_vcpu(void *arg)
{
	int vector;

	while (!stress_over()) {
		ring_doorbell();
		vector = irq_ack(&t.vcpu);
		if (vector < 0) {
			__atomic_add_fetch(&t.passes, 1, __ATOMIC_RELEASE);
			sched_yield();
			continue;
		}
		__atomic_add_fetch(&t.seen[vector], 1, __ATOMIC_RELEASE);
		lapic_eoi(&t.vcpu);
	}
	return NULL;
}

static unsigned long seen(u8 vector)
{
	return __atomic_load_n(&t.seen[vector], __ATOMIC_ACQUIRE);
}

/* What has been sent by now was taken. */
static void drain(void)
{
	unsigned long passes = __atomic_load_n(&t.passes, __ATOMIC_ACQUIRE);

	STRESS_WAIT(__atomic_load_n(&t.passes, __ATOMIC_ACQUIRE) > passes + 1);
}

/* -------- lines -------- */

static void *drive(void *arg)
{
	while (!stress_over()) {
		irq_set_line(&t.vm, IRQ_SOURCE_USER, 5, 1);
		irq_set_line(&t.vm, IRQ_SOURCE_USER, 5, 0);
		/* Reads the table under RCU alone. */
		NEVER(routing_gsi_on_pin(&t.vm, 5, KVM_IRQCHIP_IOAPIC, 23));
	}
	return NULL;
}

/* -------- routes -------- */

static struct kvm_irq_routing_entry msi(u32 gsi, u8 vector)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = 0xfee00000, .data = vector } };
}

/* GSI 9 is always there, as others count on it; the rest of the table has no fixed size. */
static void set_routes(unsigned long n)
{
	struct kvm_irq_routing_entry e[16];
	unsigned int i, nr = 3;

	e[0] = msi(5, VECTOR_LINE + n % 2);
	e[1] = msi(6, VECTOR_IRQFD);
	e[2] = (struct kvm_irq_routing_entry){
		.gsi = 9, .type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = 9 } };
	for (i = 0; i < stress_rnd() % 12; i++)
		e[nr++] = msi(100 + i, 0x70);
	NEVER(routing_set(&t.vm, e, nr, 0));
}

static void *change_routes(void *arg)
{
	unsigned long i, before;
	u8 old;

	for (i = 0; i < stress_rounds; i++) {
		set_routes(i);
		old = VECTOR_LINE + (i + 1) % 2;
		drain();
		before = seen(old);
		drain();
		if (seen(old) != before)
			shim_bug(__FILE__, __LINE__, "vector %#x comes by a table that was replaced", old);
	}
	return NULL;
}

/* -------- eventfds -------- */

static void assign(int fd, u32 gsi, u32 flags, int resample)
{
	int err = irqfd_ioctl(&t.vm, &(struct kvm_irqfd){
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample });

	NEVER(err);
}

/* Ended by the ioctl, or by the last close. */
static void edge_irqfd(bool close)
{
	int fd = shim_eventfd();
	unsigned long before;

	assign(fd, 6, 0, 0);
	before = seen(VECTOR_IRQFD);
	shim_eventfd_write(fd);
	STRESS_WAIT(seen(VECTOR_IRQFD) > before);
	if (!close) {
		assign(fd, 6, KVM_IRQFD_FLAG_DEASSIGN, 0);
		drain();
		before = seen(VECTOR_IRQFD);
		shim_eventfd_write(fd);
		drain();
		NEVER(seen(VECTOR_IRQFD) != before);
	}
	shim_close(fd);
}

static void level_irqfd(void)
{
	int fd = shim_eventfd(), resample = shim_eventfd();
	u64 count = 0;

	assign(fd, 9, KVM_IRQFD_FLAG_RESAMPLE, resample);
	shim_eventfd_write(fd);
	STRESS_WAIT((count += shim_eventfd_read(resample)));
	assign(fd, 9, KVM_IRQFD_FLAG_DEASSIGN, 0);
	shim_close(fd);
	shim_close(resample);
}

static void doorbell(void)
{
	int fd = shim_eventfd();
	struct kvm_ioeventfd args = { .fd = fd, .addr = DOORBELL, .len = 1, .flags = KVM_IOEVENTFD_FLAG_PIO };
	u64 count = 0;

	NEVER(ioeventfd_ioctl(&t.vm, &args));
	STRESS_WAIT((count += shim_eventfd_read(fd)));
	args.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	NEVER(ioeventfd_ioctl(&t.vm, &args));
	/* Nobody rings there any more. */
	shim_eventfd_read(fd);
	drain();
	NEVER(shim_eventfd_read(fd));
	shim_close(fd);
}

static void *change_eventfds(void *arg)
{
	unsigned long i;

	for (i = 0; i < stress_rounds; i++) {
		edge_irqfd(i % 2);
		level_irqfd();
		doorbell();
	}
	return NULL;
}

/* -------- life -------- */

static void create(void)
{
	struct vm *vm = &t.vm;
	u32 val = 0x1ff;

	shim_arena(64);
	clock_init(&t.clock);
	clock_current = &t.clock;
	shim_vm_init(vm);
	NEVER(irqfd_module_init() || irq_vm_init(vm));
	mutex_lock(&vm->lock);
	NEVER(irqchip_create(vm));
	mutex_unlock(&vm->lock);
	t.vcpu.vm = vm;
	t.vcpu.in_kernel_irqchip = true;
	rcuwait_init(&t.vcpu.wait);
	NEVER(lapic_create(&t.vcpu));
	lapic_reset(&t.vcpu, false);
	NEVER(xa_insert(&vm->vcpus, 0, &t.vcpu, GFP_KERNEL));
	vm_set_near_vcpu(vm, 0, &t.vcpu);
	NEVER(!lapic_mmio_write(&t.vcpu, 0xfee00000 + APIC_SPIV, 4, &val));
	val = APIC_LVT_MASKED;
	NEVER(!lapic_mmio_write(&t.vcpu, 0xfee00000 + APIC_LVT0, 4, &val));
}

static void redirect(u32 pin, u32 low)
{
	u32 reg = 0x10 + 2 * pin;
	int idx = srcu_read_lock(&t.vm.srcu);

	NEVER(io_bus_write(&t.vcpu, IO_BUS_MMIO, 0xfec00000, 4, &reg));
	NEVER(io_bus_write(&t.vcpu, IO_BUS_MMIO, 0xfec00010, 4, &low));
	srcu_read_unlock(&t.vm.srcu, idx);
}

static void destroy(void)
{
	irq_vm_release(&t.vm);
	irq_vm_stop(&t.vm);
	refcount_set(&t.vm.users, 0);
	io_bus_destroy(&t.vm);
	lapic_destroy(&t.vcpu);
	irq_vm_destroy(&t.vm);
	xa_destroy(&t.vm.vcpus);
	cleanup_srcu_struct(&t.vm.srcu);
	irqfd_module_exit();
}

int main(int argc, char **argv)
{
	pthread_t vcpu, lines;

	stress_begin(argc, argv, 300);
	create();
	redirect(9, VECTOR_LEVEL | BIT(15));
	set_routes(0);
	pthread_create(&vcpu, NULL, run_vcpu, NULL);
	pthread_create(&lines, NULL, drive, NULL);
	stress_start(change_routes, NULL);
	stress_start(change_eventfds, NULL);
	stress_join();
	stress_finish();
	pthread_join(vcpu, NULL);
	pthread_join(lines, NULL);
	destroy();
	printf("# %lu and %lu by the lines, %lu by irqfds, %lu resampled, %lu rings\n", t.seen[VECTOR_LINE],
	       t.seen[VECTOR_LINE + 1], t.seen[VECTOR_IRQFD], t.seen[VECTOR_LEVEL], t.rings);
	printf("ok 1 %lu rounds\n", stress_rounds);
	return 0;
}
