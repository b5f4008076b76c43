// SPDX-License-Identifier: GPL-2.0-only
#include "image.h"
#include "peek.h"

static void get_cpu(struct world *w, unsigned int n, struct image *image)
{
	struct vcpu *vcpu = &w->cpu[n].vcpu;

	world_accept_init(w, n);
	image->cpu[n].base = vcpu->apic_base;
	NEVER(lapic_get(vcpu, &image->cpu[n].regs));
	image->cpu[n].deadline = lapic_get_tscdeadline(vcpu);
}

void image_get(struct world *w, struct image *image)
{
	unsigned int i;

	memset(image, 0, sizeof(*image));
	for (i = 0; i < w->config.nr_vcpus; i++)
		get_cpu(w, i, image);
	if (w->config.mode != IRQCHIP_KERNEL)
		return;
	for (i = 0; i < KVM_NR_IRQCHIPS; i++) {
		image->chip[i].chip_id = i;
		NEVER(irqchip_get(&w->vm, &image->chip[i]));
	}
	NEVER(pit_get(&w->vm, &image->pit));
}

int image_set(struct world *w, const struct image *image)
{
	unsigned int i;

	for (i = 0; i < w->config.nr_vcpus; i++) {
		struct vcpu *vcpu = &w->cpu[i].vcpu;

		if (lapic_set_base(vcpu, image->cpu[i].base, true))
			return 10 + i;
		if (lapic_set(vcpu, &image->cpu[i].regs))
			return 20 + i;
		lapic_set_tscdeadline(vcpu, image->cpu[i].deadline);
	}
	if (w->config.mode != IRQCHIP_KERNEL)
		return 0;
	for (i = 0; i < KVM_NR_IRQCHIPS; i++)
		if (irqchip_set(&w->vm, &image->chip[i]))
			return 30 + i;
	return pit_set(&w->vm, &image->pit) ? 40 : 0;
}

static const char *name_difference(const char *what, const void *a, const void *b, size_t size)
{
	static char text[96];
	const u8 *x = a, *y = b;
	size_t i = 0;

	while (i < size && x[i] == y[i])
		i++;
	if (i == size)
		return NULL;
	snprintf(text, sizeof(text), "%s, byte %#zx: %02x and %02x", what, i, x[i], y[i]);
	return text;
}

const char *image_differs(const struct image *a, const struct image *b)
{
	static const char *const chips[KVM_NR_IRQCHIPS] = { "master", "slave", "IOAPIC" };
	const char *text = NULL;
	unsigned int i;

	for (i = 0; i < WORLD_VCPUS && !text; i++)
		text = name_difference("LAPIC", &a->cpu[i], &b->cpu[i], sizeof(a->cpu[i]));
	for (i = 0; i < KVM_NR_IRQCHIPS && !text; i++)
		text = name_difference(chips[i], &a->chip[i], &b->chip[i], sizeof(a->chip[i]));
	return text ?: name_difference("PIT", &a->pit, &b->pit, sizeof(a->pit));
}

/* -------- moves -------- */

static u64 unit_ns(struct lapic *l)
{
	u32 tdcr = lapic_reg(l, APIC_TDCR);

	return (u64)l->vcpu->vm->irq.apic_bus_cycle_ns << ((((tdcr & 3) | ((tdcr & 8) >> 1)) + 1) & 7);
}

/*
 * The image counts in units of the divider, and no further than TMICT: a period
 * that was stretched to the least that is allowed is longer.
 */
static void same_countdown(struct lapic *a, struct lapic *b)
{
	s64 exact = a->timer.target, moved = b->timer.target;
	u64 ns = unit_ns(a);

	if (a->timer.period_ns && a->timer.period_ns > ns * lapic_reg(a, APIC_TMICT))
		return;
	if (exact - ktime_get() > (s64)(ns * lapic_reg(a, APIC_TMICT)))
		return;
	NEVER(moved > exact + (s64)ns || moved < exact - (s64)ns);
}

static void move_timer(struct lapic *a, struct lapic *b)
{
	bool active = hrtimer_active(&a->timer.hr);

	NEVER(a->timer.mode != b->timer.mode || a->timer.deadline != b->timer.deadline);
	NEVER(a->timer.hw || atomic_read(&a->timer.expired));
	/* Whether a one-shot is over or about to be: it ends again. */
	if (active && a->timer.mode != APIC_LVT_TIMER_TSCDEADLINE &&
	    hrtimer_active(&b->timer.hr))
		same_countdown(a, b);
	NEVER(active && !hrtimer_active(&b->timer.hr) && !atomic_read(&b->timer.expired));
	hrtimer_cancel(&b->timer.hr);
	atomic_set(&b->timer.expired, 0);
	if (active)
		hrtimer_start(&b->timer.hr, hrtimer_get_expires(&a->timer.hr), HRTIMER_MODE_ABS);
	b->timer.target = a->timer.target;
	b->timer.period_ns = a->timer.period_ns;
}

static void move_cpu(struct world_vcpu *from, struct world_vcpu *to)
{
	struct lapic *a = from->vcpu.lapic, *b = to->vcpu.lapic;

	NEVER(a->isr_top != b->isr_top);
	move_timer(a, b);
	/* Errors that the guest has not asked for yet. */
	b->esr = a->esr;
	NEVER(a->pending);
	b->pending = 0;
	/* SIPI_RECEIVED and its like are KVM_GET_MP_STATE's and KVM_GET_VCPU_EVENTS'. */
	to->sipi_wait = from->sipi_wait;
	to->sipis = from->sipis;
	to->start = from->start;
	to->nmis = from->nmis;
	to->smis = from->smis;
	to->unhalts = from->unhalts;
	b->sipi_vector = a->sipi_vector;
	/* What user space told of its own, and tells again. */
	b->report_tpr = a->report_tpr;
	to->vcpu.vapic = from->vcpu.vapic;
	if (from->window)
		to->window = true;
}

void image_move(struct world *to, struct world *from, struct image *image)
{
	struct image again;
	const char *differs;
	unsigned int i;
	int refused;

	/* Asleep, as they are when they are moved: the vendor's timer counts only in the guest. */
	for (i = 0; i < from->config.nr_vcpus; i++) {
		lapic_timer_to_sw(&from->cpu[i].vcpu);
		lapic_timer_to_sw(&to->cpu[i].vcpu);
	}
	image_get(from, image);
	/* Leftovers of the twin's own past are not for the state to come. */
	for (i = 0; i < to->config.nr_vcpus; i++)
		world_accept_init(to, i);
	refused = image_set(to, image);
	if (refused)
		shim_bug(__FILE__, __LINE__, "state of its own is refused: step %d", refused);
	for (i = 0; i < to->config.nr_vcpus; i++)
		lapic_timer_to_sw(&to->cpu[i].vcpu);
	memcpy(to->word, from->word, sizeof(to->word));
	atomic_set(&to->vm.irq.lowest_turn, atomic_read(&from->vm.irq.lowest_turn));
	for (i = 0; i < to->config.nr_vcpus; i++)
		move_cpu(&from->cpu[i], &to->cpu[i]);
	if (from->config.mode == IRQCHIP_KERNEL) {
		peek_pic_move(to, from);
		peek_ioapic_move(to, from);
		peek_pit_move(to, from);
	} else {
		memcpy(to->vm.irq.eoi_vectors, from->vm.irq.eoi_vectors,
		       sizeof(to->vm.irq.eoi_vectors));
	}
	image_get(to, &again);
	differs = image_differs(image, &again);
	if (differs)
		shim_bug(__FILE__, __LINE__, "state changes by being set: %s", differs);
}
