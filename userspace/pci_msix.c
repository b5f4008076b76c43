// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI-X (PCI 3.0 section 6.8.2). All messages of our devices start in this
 * process, so masks are honoured here, at the sender: a vector that is masked
 * collects its pending bit and never reaches its eventfd. What does reach the
 * eventfd goes to the guest by irqfd, without a further system call.
 */
#include "pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "irq.h"
#include "machine.h"
#include "stream.h"

#define PBA_OFFSET	(PCI_MSIX_BAR_SIZE / 2)

int pci_msix_add(struct pci_dev *d, unsigned int bar, unsigned int nr)
{
	struct pci_msix *x = &d->msix;
	uint8_t body[10] = { 0 };
	unsigned int i;
	int cap;

	if (!nr || nr > PCI_MSIX_MAX)
		return -EINVAL;
	bus_put(body, 2, nr - 1);
	bus_put(body + 2, 4, bar);
	bus_put(body + 6, 4, PBA_OFFSET | bar);
	cap = pci_cap_add(d, PCI_CAP_ID_MSIX, body, sizeof(body));
	if (cap < 0)
		return cap;
	d->wmask[cap + PCI_MSIX_FLAGS + 1] = (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	pci_bar_add(d, bar, PCI_MSIX_BAR_SIZE);

	x->vec = calloc(nr, sizeof(*x->vec));
	if (!x->vec)
		return -ENOMEM;
	x->cap = cap;
	x->bar = bar;
	x->nr = nr;
	for (i = 0; i < nr; i++)
		x->vec[i] = (struct pci_msix_vec){ .masked = true, .gsi = -1, .efd = -1 };
	return 0;
}

static bool vec_live(const struct pci_msix *x, const struct pci_msix_vec *v)
{
	return x->enabled && !x->masked && !v->masked;
}

static void vec_wire(struct pci_dev *d, struct pci_msix_vec *v)
{
	v->gsi = irq_msi_alloc(d->m);
	if (v->gsi >= 0)
		v->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/*
 * An irqfd must not be connected before its GSI has a route, or what comes
 * first is lost. Where any step fails (no GSI left, an address that is no
 * MSI's) the vector is left without a route and vec_fire() sends by itself.
 */
static void vec_route(struct pci_dev *d, struct pci_msix_vec *v)
{
	if (v->routed && v->routed_addr == v->addr && v->routed_data == v->data)
		return;
	if (v->gsi < 0)
		vec_wire(d, v);
	if (v->efd < 0)
		return;
	v->routed = !irq_msi_set(d->m, v->gsi, v->addr, v->data);
	v->routed_addr = v->addr;
	v->routed_data = v->data;
	if (v->routed && !v->connected) {
		v->connected = !irq_fd(d->m, v->gsi, v->efd, -1, true);
		v->routed = v->connected;
	}
}

static void vec_fire(struct pci_dev *d, struct pci_msix_vec *v)
{
	v->pending = false;
	if (v->routed)
		eventfd_write(v->efd, 1);
	else
		irq_msi_send(d->m, v->addr, v->data);
}

/* After anything that may have brought a vector to life, or changed a live one. */
static void vec_update(struct pci_dev *d, struct pci_msix_vec *v)
{
	if (!vec_live(&d->msix, v))
		return;
	vec_route(d, v);
	if (v->pending)
		vec_fire(d, v);
}

static void update_all(struct pci_dev *d)
{
	unsigned int i;

	for (i = 0; i < d->msix.nr; i++)
		vec_update(d, &d->msix.vec[i]);
}

static void take_flags(struct pci_dev *d)
{
	uint16_t flags = bus_get(&d->cfg[d->msix.cap + PCI_MSIX_FLAGS], 2);

	d->msix.enabled = flags & PCI_MSIX_FLAGS_ENABLE;
	d->msix.masked = flags & PCI_MSIX_FLAGS_MASKALL;
}

void pci_msix_cfg_changed(struct pci_dev *d)
{
	pthread_mutex_lock(&d->msix.lock);
	take_flags(d);
	update_all(d);
	pthread_mutex_unlock(&d->msix.lock);
}

bool pci_msix_enabled(struct pci_dev *d)
{
	bool enabled;

	pthread_mutex_lock(&d->msix.lock);
	enabled = d->msix.enabled;
	pthread_mutex_unlock(&d->msix.lock);
	return enabled;
}

void pci_msix_notify(struct pci_dev *d, unsigned int vec)
{
	struct pci_msix *x = &d->msix;

	pthread_mutex_lock(&x->lock);
	if (vec < x->nr && x->enabled) {
		if (vec_live(x, &x->vec[vec]))
			vec_fire(d, &x->vec[vec]);
		else
			x->vec[vec].pending = true;
	}
	pthread_mutex_unlock(&x->lock);
}

/* One 32-bit word of the table. */
static uint32_t table_get(const struct pci_msix *x, unsigned int word)
{
	const struct pci_msix_vec *v = &x->vec[word / 4];

	switch (word % 4) {
	case 0:
		return (uint32_t)v->addr;
	case 1:
		return v->addr >> 32;
	case 2:
		return v->data;
	default:
		return v->masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0;
	}
}

static void table_set(struct pci_msix *x, unsigned int word, uint32_t value)
{
	struct pci_msix_vec *v = &x->vec[word / 4];

	switch (word % 4) {
	case 0:
		v->addr = (v->addr & ~0xffffffffull) | (value & ~3u);
		break;
	case 1:
		v->addr = (v->addr & 0xffffffffull) | (uint64_t)value << 32;
		break;
	case 2:
		v->data = value;
		break;
	default:
		v->masked = value & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		break;
	}
}

static uint8_t pba_byte(const struct pci_msix *x, uint64_t byte)
{
	uint8_t bits = 0;
	unsigned int i;

	for (i = 0; i < 8 && byte * 8 + i < x->nr; i++)
		if (x->vec[byte * 8 + i].pending)
			bits |= 1 << i;
	return bits;
}

static uint8_t bar_byte(const struct pci_msix *x, uint64_t off)
{
	if (off >= PBA_OFFSET)
		return pba_byte(x, off - PBA_OFFSET);
	if (off / 16 < x->nr)
		return table_get(x, off / 4) >> (off % 4 * 8);
	return 0;
}

void pci_msix_bar_read(struct pci_dev *d, uint64_t off, void *data, unsigned int len)
{
	uint8_t *out = data;

	pthread_mutex_lock(&d->msix.lock);
	while (len--)
		*out++ = bar_byte(&d->msix, off++);
	pthread_mutex_unlock(&d->msix.lock);
}

/*
 * Only aligned 32- and 64-bit accesses are defined (6.8.2); other writes vanish, as do those to
 * the PBA.
 */
void pci_msix_bar_write(struct pci_dev *d, uint64_t off, const void *data, unsigned int len)
{
	struct pci_msix *x = &d->msix;
	unsigned int i;

	if ((len != 4 && len != 8) || off % len || off / 16 >= x->nr)
		return;
	pthread_mutex_lock(&x->lock);
	for (i = 0; i < len; i += 4)
		table_set(x, (off + i) / 4, bus_get((const uint8_t *)data + i, 4));
	vec_update(d, &x->vec[off / 16]);
	pthread_mutex_unlock(&x->lock);
}

void pci_msix_reset(struct pci_dev *d)
{
	unsigned int i;

	pthread_mutex_lock(&d->msix.lock);
	for (i = 0; i < d->msix.nr; i++) {
		struct pci_msix_vec *v = &d->msix.vec[i];

		v->addr = 0;
		v->data = 0;
		v->masked = true;
		v->pending = false;
	}
	d->msix.enabled = false;
	d->msix.masked = false;
	pthread_mutex_unlock(&d->msix.lock);
}

void pci_msix_save(struct pci_dev *d, struct stream *s)
{
	unsigned int i;

	pthread_mutex_lock(&d->msix.lock);
	stream_put_u16(s, d->msix.nr);
	for (i = 0; i < d->msix.nr; i++) {
		struct pci_msix_vec *v = &d->msix.vec[i];

		stream_put_u64(s, v->addr);
		stream_put_u32(s, v->data);
		stream_put_u8(s, v->masked);
		stream_put_u8(s, v->pending);
	}
	pthread_mutex_unlock(&d->msix.lock);
}

int pci_msix_load(struct pci_dev *d, struct stream *s)
{
	unsigned int i;

	if (stream_get_u16(s) != d->msix.nr)
		stream_fail(s, -EPROTO);
	pthread_mutex_lock(&d->msix.lock);
	for (i = 0; i < d->msix.nr; i++) {
		struct pci_msix_vec *v = &d->msix.vec[i];

		v->addr = stream_get_u64(s) & ~3ull;
		v->data = stream_get_u32(s);
		v->masked = stream_get_u8(s);
		v->pending = stream_get_u8(s);
	}
	if (!stream_error(s) && d->msix.nr) {
		take_flags(d);
		update_all(d);
	}
	pthread_mutex_unlock(&d->msix.lock);
	return stream_error(s);
}

void pci_msix_destroy(struct pci_dev *d)
{
	unsigned int i;

	for (i = 0; i < d->msix.nr; i++) {
		struct pci_msix_vec *v = &d->msix.vec[i];

		if (v->connected)
			irq_fd(d->m, v->gsi, v->efd, -1, false);
		if (v->efd >= 0)
			close(v->efd);
		if (v->gsi >= 0)
			irq_msi_free(d->m, v->gsi);
	}
	free(d->msix.vec);
	d->msix.vec = NULL;
	d->msix.nr = 0;
}
