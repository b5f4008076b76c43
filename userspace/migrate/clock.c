// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine.h"
#include "stream.h"
#include "util/msg.h"
#include "util/time.h"
#include "vcpu.h"

#define MSR_IA32_TSC	0x10

/*
 * A guest that moves is given the time of its move; one that comes out of a file, or was held
 * longer than this, goes on where it stopped, as after a suspend.
 */
#define CLOCK_GAP_MAX	(10 * NSEC_PER_SEC)

/* A rate that differs by less is the same crystal, measured twice. */
#define CLOCK_TOLERANCE_PPM 250

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return timespec_ns(&now);
}

static int tsc_transfer(struct vcpu *v, unsigned long request, uint64_t *tsc)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1,
		   .entry = { .index = MSR_IA32_TSC, .data = *tsc } };
	int done = kvm_ioctl(v->fd, request, &msrs);

	*tsc = msrs.entry.data;
	return done == 1 ? 0 : done < 0 ? done : -EINVAL;
}

/* KVM_VCPU_TSC_OFFSET (Documentation/virt/kvm/devices/vcpu.rst) */
static int tsc_offset(struct vcpu *v, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};
	int err = kvm_ioctl(v->fd, request, &attr);

	return err < 0 ? err : 0;
}

/* Without the attribute the vCPUs are taken for synchronous, as they are made. */
static void put_deltas(struct machine *m, struct stream *s)
{
	uint64_t first = 0;

	tsc_offset(&m->vcpus[0], KVM_GET_DEVICE_ATTR, &first);
	stream_put_u32(s, m->nr_vcpus);
	for (unsigned int i = 0; i < m->nr_vcpus; i++) {
		uint64_t offset = first;

		tsc_offset(&m->vcpus[i], KVM_GET_DEVICE_ATTR, &offset);
		stream_put_u64(s, offset - first);
	}
}

void clock_hold(struct machine *m)
{
	struct kvm_clock_data now = { 0 };

	if (m->clock.held || kvm_ioctl(m->kvm.vm, KVM_GET_CLOCK, &now) < 0 ||
	    tsc_transfer(&m->vcpus[0], KVM_GET_MSRS, &m->clock.tsc) < 0)
		return;
	m->clock.held = true;
	m->clock.kvmclock = now.clock;
	m->clock.realtime = realtime_ns();
}

/* KVM_KVMCLOCK_CTRL tells the guest's watchdogs; it fails for a guest without kvmclock. */
static int clock_set(struct machine *m, uint64_t kvmclock)
{
	struct kvm_clock_data data = { .clock = kvmclock };
	int err = kvm_ioctl(m->kvm.vm, KVM_SET_CLOCK, &data);

	for (unsigned int i = 0; i < m->nr_vcpus; i++)
		kvm_ioctl_num(m->vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0);
	return err < 0 ? err : 0;
}

/* By offsets, which keep the distances. A KVM that has none of them lets the TSC run on. */
static void tsc_release(struct machine *m)
{
	uint64_t now = 0, offset;

	if (tsc_transfer(&m->vcpus[0], KVM_GET_MSRS, &now))
		return;
	for (unsigned int i = 0; i < m->nr_vcpus; i++) {
		if (tsc_offset(&m->vcpus[i], KVM_GET_DEVICE_ATTR, &offset))
			return;
		offset -= now - m->clock.tsc;
		tsc_offset(&m->vcpus[i], KVM_SET_DEVICE_ATTR, &offset);
	}
}

void clock_release(struct machine *m)
{
	if (m->clock.held) {
		tsc_release(m);
		clock_set(m, m->clock.kvmclock);
	}
	m->clock.held = false;
}

/* A guest that its user has paused is not given the time of its move either. */
int clock_save(struct machine *m, struct stream *s)
{
	int khz = kvm_ioctl_num(m->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
	bool held = m->clock.held;
	struct clock_hold hold;

	clock_hold(m);
	hold = m->clock;
	m->clock.held = held;
	if (!hold.held)
		return -EIO;
	stream_put_u32(s, khz > 0 ? (uint32_t)khz : 0);
	stream_put_u64(s, hold.tsc);
	put_deltas(m, s);
	stream_put_u64(s, hold.kvmclock);
	stream_put_u64(s, m->user_paused ? 0 : hold.realtime);
	return stream_error(s);
}

int clock_read(struct clock *clock, unsigned int vcpus, struct stream *s,
	       uint32_t version)
{
	clock->khz = stream_get_u32(s);
	clock->tsc = stream_get_u64(s);
	if (stream_get_u32(s) != vcpus) {
		stream_fail(s, -EPROTO);
		return -EPROTO;
	}
	clock->delta = calloc(vcpus, sizeof(*clock->delta));
	if (!clock->delta)
		return -ENOMEM;
	for (unsigned int i = 0; i < vcpus; i++)
		clock->delta[i] = (int64_t)stream_get_u64(s);
	clock->kvmclock = stream_get_u64(s);
	if (version >= 2)
		clock->realtime = stream_get_u64(s);
	return stream_error(s);
}

void clock_free(struct clock *clock)
{
	free(clock->delta);
	clock->delta = NULL;
}

/* ---- in ---- */

static bool khz_same(uint32_t a, uint32_t b)
{
	uint64_t apart = a > b ? a - b : b - a;

	return apart * 1000000 <= (uint64_t)b * CLOCK_TOLERANCE_PPM;
}

/* Where the TSC cannot be scaled, guests with kvmclock bear another rate. */
static void load_khz(struct machine *m, uint32_t khz)
{
	int own = kvm_ioctl_num(m->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
	bool refused = false;

	if (!khz || own <= 0 || (uint32_t)own == khz)
		return;
	for (unsigned int i = 0; i < m->nr_vcpus; i++)
		refused |= kvm_ioctl_num(m->vcpus[i].fd, KVM_SET_TSC_KHZ,
					 khz) < 0;
	if (refused && !khz_same((uint32_t)own, khz))
		msg_warn("the guest's TSC ran at %u kHz and runs at %d kHz here: this host's processor cannot scale it",
			 khz, own);
}

/* How long the guest was on its way, if that is to be made up for. */
static uint64_t clock_gap(const struct machine *m, const struct clock *clock)
{
	uint64_t now = realtime_ns();

	if (m->cfg.origin != ORIGIN_INCOMING || !clock->realtime ||
	    now <= clock->realtime || now - clock->realtime > CLOCK_GAP_MAX)
		return 0;
	return now - clock->realtime;
}

int clock_load_tsc(struct machine *m, struct clock *clock)
{
	uint64_t gap = clock_gap(m, clock), first = 0;
	int err = 0;

	load_khz(m, clock->khz);
	clock->tsc += (uint64_t)((unsigned __int128)gap * clock->khz / 1000000);
	clock->kvmclock += gap;
	clock->realtime += gap;
	for (unsigned int i = 0; !err && i < m->nr_vcpus; i++) {
		uint64_t tsc = clock->tsc + (uint64_t)clock->delta[i];

		err = tsc_transfer(&m->vcpus[i], KVM_SET_MSRS, &tsc);
	}
	/* Exact distances, where KVM takes them. */
	if (err || tsc_offset(&m->vcpus[0], KVM_GET_DEVICE_ATTR, &first))
		return err;
	for (unsigned int i = 1; !err && i < m->nr_vcpus; i++) {
		uint64_t offset = first + (uint64_t)clock->delta[i];

		err = tsc_offset(&m->vcpus[i], KVM_SET_DEVICE_ATTR, &offset);
	}
	return err;
}

int clock_load(struct machine *m, const struct clock *clock)
{
	return clock_set(m, clock->kvmclock);
}
