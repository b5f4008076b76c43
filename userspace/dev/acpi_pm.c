// SPDX-License-Identifier: GPL-2.0-only
#include "dev/acpi_pm.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "machine.h"
#include "stream.h"
#include "util/msg.h"
#include "util/time.h"

#define PM_TIMER_HZ	3579545ull

enum {
	PM1_PWRBTN = 1 << 8,
	PM1_STATUS_BITS = 0x8731,	/* those of ACPI; cleared by writing 1 */
	PM1_ENABLE_BITS = 0x4721,
	PM1_SCI_EN = 1 << 0,
	PM1_SLP_EN = 1 << 13,
	PM1_CONTROL_BITS = 0x1c07,	/* what is kept when written */
};

struct acpi_pm {
	struct device dev;
	struct bus_region region;
	pthread_mutex_t lock;		/* all below */
	uint16_t status, enable, control;
};

/* The SCI is a level: high as long as an enabled event is pending. */
static void pm_update_sci(struct acpi_pm *pm)
{
	irq_line(pm->dev.m, BOARD_SCI, !!(pm->status & pm->enable));
}

/* It counts kvmclock, which travels with the guest and stands still while the guest does. */
static uint32_t pm_timer(struct machine *m)
{
	struct kvm_clock_data now = { 0 };

	kvm_ioctl(m->kvm.vm, KVM_GET_CLOCK, &now);
	return (uint32_t)((unsigned __int128)now.clock * PM_TIMER_HZ / NSEC_PER_SEC);
}

/* The registers as bytes, so that any aligned or unaligned size can be read. */
static void pm_read(void *opaque, uint64_t off, void *data, unsigned int len)
{
	struct acpi_pm *pm = opaque;
	uint8_t bytes[ACPI_PM_SIZE] = { 0 };

	pthread_mutex_lock(&pm->lock);
	bus_put(bytes + ACPI_PM_EVENT, 2, pm->status);
	bus_put(bytes + ACPI_PM_EVENT + 2, 2, pm->enable);
	bus_put(bytes + ACPI_PM_CONTROL, 2, pm->control | PM1_SCI_EN);
	pthread_mutex_unlock(&pm->lock);
	if (off + len > ACPI_PM_TIMER)
		bus_put(bytes + ACPI_PM_TIMER, 4, pm_timer(pm->dev.m));
	memcpy(data, bytes + off, len);
}

static void pm_write_control(struct acpi_pm *pm, uint16_t value)
{
	pm->control = value & PM1_CONTROL_BITS;
	if (value & PM1_SLP_EN && (value >> 10 & 7) == ACPI_PM_S5)
		machine_request(pm->dev.m, MACHINE_POWEROFF);
}

static void pm_write(void *opaque, uint64_t off, const void *data,
		     unsigned int len)
{
	struct acpi_pm *pm = opaque;
	uint64_t value = bus_get(data, len);

	pthread_mutex_lock(&pm->lock);
	if (off == ACPI_PM_EVENT && len >= 2)
		pm->status &= (uint16_t)~(value & PM1_STATUS_BITS);
	if (off == ACPI_PM_EVENT && len == 4)
		pm->enable = value >> 16 & PM1_ENABLE_BITS;
	if (off == ACPI_PM_EVENT + 2 && len == 2)
		pm->enable = value & PM1_ENABLE_BITS;
	if (off == ACPI_PM_CONTROL && len >= 2)
		pm_write_control(pm, (uint16_t)value);
	pm_update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

void acpi_pm_press_power_button(struct machine *m)
{
	struct acpi_pm *pm = m->pm;

	pthread_mutex_lock(&pm->lock);
	pm->status |= PM1_PWRBTN;
	pm_update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

static struct acpi_pm *pm_of(struct device *dev)
{
	return container_of(dev, struct acpi_pm, dev);
}

static int pm_realize(struct device *dev)
{
	struct acpi_pm *pm = pm_of(dev);

	pthread_mutex_init(&pm->lock, NULL);
	pm->region = (struct bus_region){
		.kind = BUS_PIO, .base = BOARD_PM_BASE, .size = ACPI_PM_SIZE,
		.read = pm_read, .write = pm_write, .opaque = pm,
		.name = dev->name,
	};
	return bus_add(dev->m, &pm->region);
}

static void pm_reset(struct device *dev)
{
	struct acpi_pm *pm = pm_of(dev);

	pthread_mutex_lock(&pm->lock);
	pm->status = 0;
	pm->enable = 0;
	pm->control = 0;
	pm_update_sci(pm);
	pthread_mutex_unlock(&pm->lock);
}

static int pm_save(struct device *dev, struct stream *s)
{
	struct acpi_pm *pm = pm_of(dev);

	stream_put_u16(s, pm->status);
	stream_put_u16(s, pm->enable);
	stream_put_u16(s, pm->control);
	return 0;
}

static int pm_load(struct device *dev, struct stream *s, uint32_t version)
{
	struct acpi_pm *pm = pm_of(dev);

	(void)version;
	pm->status = stream_get_u16(s) & PM1_STATUS_BITS;
	pm->enable = stream_get_u16(s) & PM1_ENABLE_BITS;
	pm->control = stream_get_u16(s) & PM1_CONTROL_BITS;
	pm_update_sci(pm);
	return 0;
}

static void pm_unrealize(struct device *dev)
{
	struct acpi_pm *pm = pm_of(dev);

	bus_remove(dev->m, &pm->region);
	pthread_mutex_destroy(&pm->lock);
	dev->m->pm = NULL;
	free(pm);
}

static const struct device_ops pm_ops = {
	.version = 1,
	.realize = pm_realize,
	.reset = pm_reset,
	.save = pm_save,
	.load = pm_load,
	.unrealize = pm_unrealize,
};

int acpi_pm_create(struct machine *m)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int err;

	if (!pm)
		return msg_fail(-ENOMEM, "out of memory");
	pm->dev.ops = &pm_ops;
	pm->dev.name = "acpi-pm";
	m->pm = pm;
	err = device_register(m, &pm->dev);
	if (err) {
		m->pm = NULL;
		free(pm);
	}
	return err;
}
