// SPDX-License-Identifier: GPL-2.0-only
/*
 * The i8254 timer (Intel order 231164): three counters and the speaker port.
 * Counter 0 drives GSI 0 by an hrtimer, and a work that has as many vCPUs to
 * look at as the VM's owner likes; the others only count.
 */
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "io.h"
#include "irq/chips.h"

#define PIT_HZ		1193182
#define PIT_PORT	0x40
#define SPEAKER_PORT	0x61
/* As for the LAPIC timer: a guest may not flood its host. */
#define MIN_PERIOD_NS	200000
/* Of the ticks that the host was late for at once. */
#define MAX_PENDING	1000000ull
/* Not programmed since power-up; the value is KVM's. */
#define MODE_NONE	0xff

enum rw_state { RW_LSB = 1, RW_MSB, RW_WORD0, RW_WORD1 };

struct pit {
	spinlock_t lock;		/* counters; never taken by the hrtimer */
	struct vm *vm;
	struct io_device dev, speaker;
	struct kvm_pit_channel_state ch[3];
	bool speaker_on;
	u32 flags;			/* KVM_PIT_FLAGS_* */

	struct hrtimer timer;
	struct work_struct work;
	u64 period_ns;
	bool periodic;
	/* Ticks the guest has not acknowledged yet (KVM_REINJECT_CONTROL). */
	bool reinject;
	atomic_t pending;
	atomic_t acked;			/* the line may be raised again */
	struct ack_notifier notifier;
};

static u64 muldiv(u64 a, u32 b, u32 c)
{
	return mul_u64_u32_div(a, b, c);
}

static u32 period_of(const struct kvm_pit_channel_state *c)
{
	return c->count ?: 0x10000;
}

/* PIT clock ticks since the counter was loaded. */
static u64 elapsed(const struct kvm_pit_channel_state *c)
{
	s64 ns = ktime_get_ns() - c->count_load_time;

	return muldiv(ns < 0 ? 0 : ns, PIT_HZ, NSEC_PER_SEC);
}

static u32 counter_value(const struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c);
	u32 period = period_of(c), rest;

	switch (c->mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return (period - d) & 0xffff;
	case 3:			/* counts down by two */
		div_u64_rem(2 * d, period, &rest);
		return period - rest;
	default:
		div_u64_rem(d, period, &rest);
		return period - rest;
	}
}

/* 231164, "mode definitions"; a counter that was never programmed is low. */
static bool output_high(const struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c);
	u32 period = period_of(c), rest;

	switch (c->mode) {
	case 0:
	case 1:
		return d >= period;
	case 2:			/* low for the last clock of each period */
		div_u64_rem(d, period, &rest);
		return rest != period - 1;
	case 3:
		div_u64_rem(d, period, &rest);
		return rest < (period + 1) / 2;
	case 4:
	case 5:			/* low for one clock */
		return d != period;
	default:
		return false;
	}
}

/* -------- the tick -------- */

static void pulse(struct pit *pit)
{
	irq_set_line(pit->vm, IRQ_SOURCE_PIT, 0, 1);
	irq_set_line(pit->vm, IRQ_SOURCE_PIT, 0, 0);
}

/*
 * A tick, unless the last one still waits for the guest. All of them come from here, so that
 * none begins before another one has ended.
 */
static void tick(struct work_struct *work)
{
	struct pit *pit = container_of(work, struct pit, work);

	if (!READ_ONCE(pit->reinject) || atomic_xchg(&pit->acked, 0))
		pulse(pit);
}

static void pit_acked(struct ack_notifier *n)
{
	struct pit *pit = container_of(n, struct pit, notifier);

	if (!READ_ONCE(pit->reinject))
		return;
	atomic_set(&pit->acked, 1);
	/* Before the look at what is pending: whoever adds to that looks at ->acked later. */
	smp_mb();
	if (atomic_dec_if_positive(&pit->pending) > 0)
		queue_work(vmm_unbound_wq, &pit->work);
}

void pit_unmasked(struct vm *vm, u32 irqchip, u32 pin)
{
	struct pit *pit = READ_ONCE(vm->irq.pit);

	if (!pit || !READ_ONCE(pit->reinject) || !routing_gsi_on_pin(vm, 0, irqchip, pin))
		return;
	atomic_set(&pit->pending, 0);
	atomic_set(&pit->acked, 1);
}

static enum hrtimer_restart pit_expired(struct hrtimer *hr)
{
	struct pit *pit = container_of(hr, struct pit, timer);
	u64 ticks = 1;

	if (pit->periodic)
		ticks = hrtimer_forward_now(hr, ns_to_ktime(pit->period_ns));
	if (READ_ONCE(pit->reinject))
		atomic_add(min(ticks, MAX_PENDING), &pit->pending);
	queue_work(vmm_unbound_wq, &pit->work);
	return pit->periodic ? HRTIMER_RESTART : HRTIMER_NORESTART;
}

/* First tick from now on: the phase is that of the loading of the counter. */
static u64 first_tick(const struct pit *pit)
{
	u64 load = pit->ch[0].count_load_time, now = ktime_get_ns();

	if (!pit->periodic || now <= load)
		return load + pit->period_ns;
	return load + (div64_u64(now - load, pit->period_ns) + 1) * pit->period_ns;
}

static void start_timer(struct pit *pit)
{
	struct kvm_pit_channel_state *c = &pit->ch[0];
	bool tick_mode = c->mode == 0 || (c->mode >= 2 && c->mode <= 4);

	hrtimer_cancel(&pit->timer);
	atomic_set(&pit->pending, 0);
	atomic_set(&pit->acked, 1);
	if ((pit->flags & KVM_PIT_FLAGS_HPET_LEGACY) || !tick_mode)
		return;
	pit->periodic = c->mode == 2 || c->mode == 3;
	pit->period_ns = muldiv(period_of(c), NSEC_PER_SEC, PIT_HZ);
	if (pit->periodic && pit->period_ns < MIN_PERIOD_NS)
		pit->period_ns = MIN_PERIOD_NS;
	hrtimer_start(&pit->timer, ns_to_ktime(first_tick(pit)), HRTIMER_MODE_ABS);
}

/* -------- counters -------- */

static void load_count(struct pit *pit, int n, u16 val)
{
	struct kvm_pit_channel_state *c = &pit->ch[n];

	c->count = val ?: 0x10000;
	c->count_load_time = ktime_get_ns();
	if (!n)
		start_timer(pit);
}

static void latch_count(struct kvm_pit_channel_state *c)
{
	if (c->count_latched)
		return;
	c->latched_count = counter_value(c);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *c)
{
	if (c->status_latched)
		return;
	c->status = (output_high(c) << 7) | (c->rw_mode << 4) | (c->mode << 1) | c->bcd;
	c->status_latched = 1;
}

static void read_back(struct pit *pit, u8 val)
{
	int n;

	for (n = 0; n < 3; n++) {
		if (!(val & (2 << n)))
			continue;
		if (!(val & 0x20))
			latch_count(&pit->ch[n]);
		if (!(val & 0x10))
			latch_status(&pit->ch[n]);
	}
}

static void write_control(struct pit *pit, u8 val)
{
	struct kvm_pit_channel_state *c;
	u8 access = (val >> 4) & 3;

	if (val >> 6 == 3) {
		read_back(pit, val);
		return;
	}
	c = &pit->ch[val >> 6];
	if (!access) {
		latch_count(c);
		return;
	}
	c->rw_mode = access;
	c->read_state = access;
	c->write_state = access;
	c->mode = (val >> 1) & 7;
	if (c->mode > 5)
		c->mode -= 4;
	c->bcd = val & 1;
}

static void write_counter(struct pit *pit, int n, u8 val)
{
	struct kvm_pit_channel_state *c = &pit->ch[n];

	switch (c->write_state) {
	case RW_LSB:
		load_count(pit, n, val);
		break;
	case RW_MSB:
		load_count(pit, n, val << 8);
		break;
	case RW_WORD0:
		c->write_latch = val;
		c->write_state = RW_WORD1;
		break;
	case RW_WORD1:
		c->write_state = RW_WORD0;
		load_count(pit, n, c->write_latch | (val << 8));
		break;
	}
}

static u8 read_latched(struct kvm_pit_channel_state *c)
{
	u8 low = c->latched_count, high = c->latched_count >> 8;

	switch (c->count_latched) {
	case RW_MSB:
		c->count_latched = 0;
		return high;
	case RW_WORD0:
		c->count_latched = RW_MSB;
		return low;
	default:
		c->count_latched = 0;
		return low;
	}
}

static u8 read_counter(struct kvm_pit_channel_state *c)
{
	u32 count;

	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	count = counter_value(c);
	switch (c->read_state) {
	case RW_MSB:
		return count >> 8;
	case RW_WORD0:
		c->read_state = RW_WORD1;
		return count;
	case RW_WORD1:
		c->read_state = RW_WORD0;
		return count >> 8;
	default:
		return count;
	}
}

/* -------- ports -------- */

static int pit_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		     const void *data)
{
	struct pit *pit = container_of(dev, struct pit, dev);
	u8 val = *(const u8 *)data;

	spin_lock(&pit->lock);
	if ((addr & 3) == 3)
		write_control(pit, val);
	else
		write_counter(pit, addr & 3, val);
	spin_unlock(&pit->lock);
	return 0;
}

static int pit_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, unsigned int len,
		    void *data)
{
	struct pit *pit = container_of(dev, struct pit, dev);

	memset(data, 0, len);
	if ((addr & 3) == 3)
		return 0;
	spin_lock(&pit->lock);
	*(u8 *)data = read_counter(&pit->ch[addr & 3]);
	spin_unlock(&pit->lock);
	return 0;
}

static int speaker_write(struct vcpu *vcpu, struct io_device *dev, u64 addr,
			 unsigned int len, const void *data)
{
	struct pit *pit = container_of(dev, struct pit, speaker);
	u8 val = *(const u8 *)data;

	spin_lock(&pit->lock);
	pit->speaker_on = val & 2;
	/* The gate's rising edge restarts counter 2. */
	if ((val & 1) && !pit->ch[2].gate)
		pit->ch[2].count_load_time = ktime_get_ns();
	pit->ch[2].gate = val & 1;
	spin_unlock(&pit->lock);
	return 0;
}

static int speaker_read(struct vcpu *vcpu, struct io_device *dev, u64 addr,
			unsigned int len, void *data)
{
	struct pit *pit = container_of(dev, struct pit, speaker);
	/* Bit 4 toggles with memory refresh, about every 15 us. */
	u8 refresh = (ktime_get_ns() >> 14) & 1;

	memset(data, 0, len);
	spin_lock(&pit->lock);
	*(u8 *)data = (pit->speaker_on << 1) | pit->ch[2].gate |
		      (output_high(&pit->ch[2]) << 5) | (refresh << 4);
	spin_unlock(&pit->lock);
	return 0;
}

static const struct io_device_ops pit_ops = {
	.read = pit_read, .write = pit_write, .atomic = true,
};

static const struct io_device_ops speaker_ops = {
	.read = speaker_read, .write = speaker_write,
};

/* -------- life and state -------- */

static void pit_reset(struct pit *pit)
{
	int n;

	for (n = 0; n < 3; n++) {
		pit->ch[n].mode = MODE_NONE;
		pit->ch[n].gate = n != 2;
		pit->ch[n].count = 0x10000;
		pit->ch[n].count_load_time = ktime_get_ns();
	}
}

static int pit_register(struct vm *vm, struct pit *pit, bool speaker)
{
	int err;

	mutex_lock(&vm->slots_lock);
	err = io_bus_register(vm, IO_BUS_PIO, PIT_PORT, 4, &pit->dev);
	if (!err && speaker) {
		err = io_bus_register(vm, IO_BUS_PIO, SPEAKER_PORT, 1, &pit->speaker);
		if (err)
			io_bus_unregister(vm, IO_BUS_PIO, &pit->dev);
	}
	mutex_unlock(&vm->slots_lock);
	return err;
}

static void stop(struct pit *pit)
{
	hrtimer_cancel(&pit->timer);
	cancel_work_sync(&pit->work);
}

int pit_create(struct vm *vm, const struct kvm_pit_config *config)
{
	struct pit *pit;
	int err;

	lockdep_assert_held(&vm->lock);
	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	spin_lock_init(&pit->lock);
	pit->vm = vm;
	pit->reinject = true;
	pit->dev.ops = &pit_ops;
	pit->speaker.ops = &speaker_ops;
	pit->notifier.acked = pit_acked;
	atomic_set(&pit->acked, 1);
	vmm_hrtimer_setup(&pit->timer, pit_expired, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	INIT_WORK(&pit->work, tick);
	pit_reset(pit);
	err = pit_register(vm, pit, config->flags & KVM_PIT_SPEAKER_DUMMY);
	if (err) {
		/* A vCPU may have found the counters, and started one. */
		stop(pit);
		kfree(pit);
		return err;
	}
	mutex_lock(&vm->irq_lock);
	ack_notifier_register(vm, &pit->notifier);
	mutex_unlock(&vm->irq_lock);
	vm->irq.pit = pit;
	return 0;
}

void pit_stop(struct vm *vm)
{
	if (vm->irq.pit)
		stop(vm->irq.pit);
}

void pit_destroy(struct vm *vm)
{
	if (!vm->irq.pit)
		return;
	kfree(vm->irq.pit);
	vm->irq.pit = NULL;
}

int pit_get(struct vm *vm, struct kvm_pit_state2 *state)
{
	struct pit *pit = vm->irq.pit;

	spin_lock(&pit->lock);
	memcpy(state->channels, pit->ch, sizeof(state->channels));
	memset(state->reserved, 0, sizeof(state->reserved));
	state->flags = pit->flags;
	if (pit->speaker_on)
		state->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	spin_unlock(&pit->lock);
	return 0;
}

/*
 * count_load_time is CLOCK_MONOTONIC of this host: user space that moves a VM
 * translates it, as QEMU does. What cannot be a time of ours is now.
 */
static void fix_load_time(struct kvm_pit_channel_state *c)
{
	s64 now = ktime_get_ns();

	if (c->count_load_time <= 0 || c->count_load_time > now)
		c->count_load_time = now;
	c->gate = !!c->gate;
}

int pit_set(struct vm *vm, const struct kvm_pit_state2 *state)
{
	struct pit *pit = vm->irq.pit;
	int n;

	spin_lock(&pit->lock);
	memcpy(pit->ch, state->channels, sizeof(pit->ch));
	for (n = 0; n < 3; n++)
		if (pit->ch[n].mode > 5)
			pit->ch[n].mode = MODE_NONE;
	pit->speaker_on = state->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	pit->flags = state->flags & KVM_PIT_FLAGS_HPET_LEGACY;
	for (n = 0; n < 3; n++)
		fix_load_time(&pit->ch[n]);
	start_timer(pit);
	spin_unlock(&pit->lock);
	return 0;
}

int pit_set_reinject(struct vm *vm, bool reinject)
{
	struct pit *pit = vm->irq.pit;

	lockdep_assert_held(&vm->lock);
	WRITE_ONCE(pit->reinject, reinject);
	atomic_set(&pit->pending, 0);
	atomic_set(&pit->acked, 1);
	return 0;
}
