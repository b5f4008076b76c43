// SPDX-License-Identifier: GPL-2.0-only
#include "board.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device.h"

struct fake_kvm fake;

/* ---- instead of KVM ---- */

static int fake_routing(const struct kvm_irq_routing *table)
{
	uint32_t i;

	for (i = 0; i < table->nr; i++)
		if (table->entries[i].type == KVM_IRQ_ROUTING_MSI)
			fake.msi_data[table->entries[i].gsi] = table->entries[i].u.msi.data;
	return 0;
}

static int fake_irqfd(const struct kvm_irqfd *irqfd)
{
	if (fake.refuse_irqfd)
		return -EINVAL;
	fake.irqfd[irqfd->gsi] = irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN ? -1 : (int)irqfd->fd;
	return 0;
}

static int fake_ioeventfd(const struct kvm_ioeventfd *io)
{
	unsigned int i;

	for (i = 0; i < fake.nr_io && fake.io[i].addr != io->addr; i++)
		;
	if (io->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		if (i == fake.nr_io)
			return -ENOENT;
		fake.io[i] = fake.io[--fake.nr_io];
		return 0;
	}
	if (fake.refuse_ioeventfd || i != fake.nr_io || i == MAX_IOEVENTFDS)
		return -EEXIST;
	fake.io[i].addr = io->addr;
	fake.io[i].fd = io->fd;
	fake.nr_io++;
	return 0;
}

static int fake_line(const struct kvm_irq_level *l)
{
	fake.line[l->irq] = l->level;
	return 0;
}

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = 0;

	(void)fd;
	pthread_mutex_lock(&fake.lock);
	if (request == KVM_SET_GSI_ROUTING)
		ret = fake_routing(arg);
	else if (request == KVM_IRQFD)
		ret = fake_irqfd(arg);
	else if (request == KVM_IOEVENTFD)
		ret = fake_ioeventfd(arg);
	else if (request == KVM_IRQ_LINE)
		ret = fake_line(arg);
	else if (request == KVM_SIGNAL_MSI)
		fake.sent++;
	else if (request == KVM_GET_MSR_INDEX_LIST)
		((struct kvm_msr_list *)arg)->nmsrs = 0;
	else if (request == KVM_GET_MSRS || request == KVM_SET_MSRS)
		ret = (int)((struct kvm_msrs *)arg)->nmsrs;
	else if (request == KVM_GET_CLOCK)
		((struct kvm_clock_data *)arg)->clock = fake.clock;
	else if (request == KVM_GET_CPUID2)
		((struct kvm_cpuid2 *)arg)->nent = 0;
	pthread_mutex_unlock(&fake.lock);
	return ret;
}

int kvm_ioctl_num(int fd, unsigned long request, unsigned long arg)
{
	(void)fd;
	(void)request;
	(void)arg;
	return -ENOTTY;
}

int kvm_check(const struct kvm *kvm, unsigned int capability)
{
	(void)kvm;
	(void)capability;
	return 0;
}

void machine_request(struct machine *m, enum machine_request what)
{
	(void)m;
	fake.resets += what == MACHINE_RESET;
	fake.quits += what == MACHINE_QUIT;
}

/* No vCPU runs. */
void machine_pause(struct machine *m)
{
	(void)m;
}

void machine_resume(struct machine *m)
{
	(void)m;
}

bool machine_is_asked(struct machine *m)
{
	(void)m;
	return false;
}

/* As far as it can be seen from outside. */
void machine_throttle(struct machine *m, uint32_t percent)
{
	if (m->throttle_timer.fire)
		loop_timer_set(&m->throttle_timer, percent, percent);
}

/* ---- the board ---- */

void board_init(struct board *b)
{
	board_init_mem(b, BOARD_MEM);
}

void board_init_mem(struct board *b, uint64_t mem)
{
	unsigned int i;

	memset(b, 0, sizeof(*b));
	memset(&fake, 0, sizeof(fake));
	pthread_mutex_init(&fake.lock, NULL);
	for (i = 0; i < MAX_GSIS; i++)
		fake.irqfd[i] = -1;
	b->m.cfg.name = "test";
	list_init(&b->m.devices);
	if (mem_init(&b->m.mem, mem) || bus_init(&b->m.bus) || irq_init(&b->m.irq) ||
	    loop_init(&b->m.loop))
		abort();
}

static void *loop_main(void *opaque)
{
	struct board *b = opaque;

	loop_run(&b->m.loop);
	return NULL;
}

void board_start_loop(struct board *b)
{
	b->looping = !pthread_create(&b->loop_thread, NULL, loop_main, b);
}

void board_stop_loop(struct board *b)
{
	if (!b->looping)
		return;
	loop_stop(&b->m.loop);
	pthread_join(b->loop_thread, NULL);
	b->looping = false;
}

void board_destroy(struct board *b)
{
	board_stop_loop(b);
	devices_destroy(&b->m);
	loop_destroy(&b->m.loop);
	irq_destroy(&b->m.irq);
	bus_destroy(&b->m.bus);
	mem_destroy(&b->m.mem);
	pthread_mutex_destroy(&fake.lock);
}

int board_load(struct board *b, struct stream *s)
{
	int err = 0;

	while (!err && s->pos < s->len) {
		struct section sec;
		struct device *dev;

		err = section_get(s, &sec);
		if (err <= 0)
			return err;
		dev = device_find(&b->m, sec.name);
		err = dev ? device_load(dev, &sec) : -ENODEV;
		section_destroy(&sec);
	}
	if (!err)
		devices_start(&b->m);
	return err;
}

unsigned int board_msi_count(unsigned int gsi)
{
	eventfd_t count = 0;

	if (fake.irqfd[gsi] < 0 || eventfd_read(fake.irqfd[gsi], &count))
		return 0;
	return count;
}

uint32_t cfg_get(struct board *b, unsigned int slot, unsigned int off, unsigned int len)
{
	uint32_t addr = 0x80000000 | slot << 11 | (off & 0xfc), value = 0;

	bus_write(&b->m.bus, BUS_PIO, 0xcf8, &addr, 4);
	bus_read(&b->m.bus, BUS_PIO, 0xcfc + (off & 3), &value, len);
	return value;
}

void cfg_set(struct board *b, unsigned int slot, unsigned int off, unsigned int len, uint32_t value)
{
	uint32_t addr = 0x80000000 | slot << 11 | (off & 0xfc);

	bus_write(&b->m.bus, BUS_PIO, 0xcf8, &addr, 4);
	bus_write(&b->m.bus, BUS_PIO, 0xcfc + (off & 3), &value, len);
}

uint64_t mmio_get(struct board *b, uint64_t addr, unsigned int len)
{
	uint64_t value = 0;

	bus_read(&b->m.bus, BUS_MMIO, addr, &value, len);
	return value;
}

void mmio_set(struct board *b, uint64_t addr, unsigned int len, uint64_t value)
{
	unsigned int i;

	for (i = 0; len == 2 && i < fake.nr_io; i++)
		if (fake.io[i].addr == addr) {
			eventfd_write(fake.io[i].fd, 1);
			return;
		}
	bus_write(&b->m.bus, BUS_MMIO, addr, &value, len);
}

void *gmem(struct board *b, uint64_t gpa)
{
	return b->m.mem.host + gpa;
}

/* ---- the driver ---- */

static uint64_t bar(struct driver *d, unsigned int i)
{
	return cfg_get(d->b, d->slot, PCI_BASE_ADDRESS_0 + 4 * i, 4) & ~0xfu;
}

static void take_cap(struct driver *d, unsigned int cap)
{
	uint64_t at = bar(d, cfg_get(d->b, d->slot, cap + VIRTIO_PCI_CAP_BAR, 1)) +
		      cfg_get(d->b, d->slot, cap + VIRTIO_PCI_CAP_OFFSET, 4);
	unsigned int type = cfg_get(d->b, d->slot, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);
	uint64_t *where[] = {
		[VIRTIO_PCI_CAP_COMMON_CFG] = &d->common, [VIRTIO_PCI_CAP_NOTIFY_CFG] = &d->notify,
		[VIRTIO_PCI_CAP_ISR_CFG] = &d->isr, [VIRTIO_PCI_CAP_DEVICE_CFG] = &d->config,
	};

	if (type > VIRTIO_PCI_CAP_PCI_CFG)
		return;
	d->cap[type] = cap;
	if (type < ARRAY_SIZE(where) && where[type])
		*where[type] = at;
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		d->notify_mult = cfg_get(d->b, d->slot, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
}

bool driver_probe(struct driver *d, struct board *b, unsigned int slot)
{
	unsigned int cap;

	memset(d, 0, sizeof(*d));
	d->b = b;
	d->slot = slot;
	if (cfg_get(b, slot, PCI_VENDOR_ID, 2) != 0x1af4 ||
	    cfg_get(b, slot, PCI_DEVICE_ID, 2) < 0x1040)
		return false;
	for (cap = cfg_get(b, slot, PCI_CAPABILITY_LIST, 1); cap;
	     cap = cfg_get(b, slot, cap + 1, 1)) {
		if (cfg_get(b, slot, cap, 1) == PCI_CAP_ID_VNDR)
			take_cap(d, cap);
		else if (cfg_get(b, slot, cap, 1) == PCI_CAP_ID_MSIX)
			d->msix = bar(d, cfg_get(b, slot, cap + PCI_MSIX_TABLE, 4) & 7);
	}
	return d->common && d->isr && d->notify;
}

uint8_t driver_status(struct driver *d)
{
	return mmio_get(d->b, d->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

static void set_status(struct driver *d, uint8_t bits)
{
	mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_STATUS, 1, driver_status(d) | bits);
}

uint64_t driver_negotiate(struct driver *d, uint64_t features)
{
	uint64_t offered = 0;
	unsigned int i;

	mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	for (i = 0; i < 2; i++) {
		mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_DFSELECT, 4, i);
		offered |= mmio_get(d->b, d->common + VIRTIO_PCI_COMMON_DF, 4) << (32 * i);
	}
	for (i = 0; i < 2; i++) {
		mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_GFSELECT, 4, i);
		mmio_set(d->b, d->common + VIRTIO_PCI_COMMON_GF, 4,
			 (offered & features) >> (32 * i));
	}
	set_status(d, VIRTIO_CONFIG_S_FEATURES_OK);
	return offered;
}

void driver_ok(struct driver *d)
{
	set_status(d, VIRTIO_CONFIG_S_DRIVER_OK);
}

void dqueue_init(struct dqueue *q, struct driver *d, unsigned int index, unsigned int size)
{
	uint64_t c = d->common;

	*q = (struct dqueue){
		.d = d, .index = index, .size = size, .base = 0x10000 + 0x8000 * index};
	memset(gmem(d->b, q->base), 0, 0x8000);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_DESCLO, 8, q->base);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_AVAILLO, 4, q->base + 0x2000);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_USEDLO, 4, q->base + 0x3000);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_MSIX, 2, index);
	mmio_set(d->b, c + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
}

void dqueue_desc(struct dqueue *q, unsigned int i, uint64_t addr, uint32_t len, uint16_t flags,
		 uint16_t next)
{
	struct vring_desc *desc = gmem(q->d->b, q->base);

	desc[i] = (struct vring_desc){ .addr = addr, .len = len, .flags = flags, .next = next };
}

void dqueue_publish(struct dqueue *q, uint16_t head)
{
	struct vring_avail *avail = gmem(q->d->b, q->base + 0x2000);

	avail->ring[q->avail_idx & (q->size - 1)] = head;
	__atomic_store_n(&avail->idx, ++q->avail_idx, __ATOMIC_RELEASE);
}

void dqueue_kick(struct dqueue *q)
{
	mmio_set(q->d->b, q->d->notify + q->index * q->d->notify_mult, 2, q->index);
}

bool dqueue_wait(struct dqueue *q, uint32_t *id, uint32_t *len)
{
	struct vring_used *used = gmem(q->d->b, q->base + 0x3000);
	struct vring_used_elem *e;
	unsigned int i;

	for (i = 0; i < 5000; i++) {
		if (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) != q->used_seen) {
			e = &used->ring[q->used_seen++ & (q->size - 1)];
			*id = e->id;
			*len = e->len;
			return true;
		}
		usleep(1000);
	}
	return false;
}
