// SPDX-License-Identifier: GPL-2.0-only
#include "irq/ioapic.c"

#include "peek.h"

static u32 level_pins(const struct ioapic *io)
{
	u32 pin, pins = 0;

	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++)
		if (redir(io, pin).trig_mode)
			pins |= BIT(pin);
	return pins;
}

void peek_ioapic_move(struct world *to, struct world *from)
{
	struct ioapic *a = from->vm.irq.ioapic, *b = to->vm.irq.ioapic;

	NEVER(memcmp(a->state.redirtbl, b->state.redirtbl, sizeof(a->state.redirtbl)));
	NEVER(a->select != b->select || a->id != b->id);
	NEVER((a->irr ^ b->irr) & level_pins(a));
	/*
	 * Of a guest that lets its entry be, and has no other use for the vector. With one in
	 * service and one behind it the first EOI counts; where it moved to, the second.
	 */
	NEVER(from->tame && (a->rtc_waits[0] & ~b->rtc_waits[0]));
	/* That the line of an edge is high, and who drives it. */
	b->irr = a->irr;
	memcpy(b->levels, a->levels, sizeof(a->levels));
	/* How often a line was found high at EOI: it slows down a storm. */
	memcpy(b->eoi_count, a->eoi_count, sizeof(a->eoi_count));
	memcpy(b->rtc_waits, a->rtc_waits, sizeof(a->rtc_waits));
	b->rtc_vector = a->rtc_vector;
	/* Vectors that once mattered; a mark too many costs a look. */
	memcpy(to->vm.irq.eoi_vectors, from->vm.irq.eoi_vectors, sizeof(to->vm.irq.eoi_vectors));
	cancel_delayed_work_sync(&b->storm);
	if (hrtimer_active(&a->storm.timer))
		hrtimer_start(&b->storm.timer, hrtimer_get_expires(&a->storm.timer),
			      HRTIMER_MODE_ABS);
}

void peek_ioapic_check(struct world *w, bool lines)
{
	struct ioapic *io = w->vm.irq.ioapic;
	u32 pin;

	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++) {
		NEVER(io->eoi_count[pin] >= STORM_LIMIT);
		if (!lines)
			continue;
		NEVER(!redir(io, pin).trig_mode && redir(io, pin).remote_irr);
		/* The RTC's may be told that it was coalesced, and is then not noted. */
		NEVER(pin != RTC_PIN && !!(io->irr & BIT(pin)) != !!io->levels[pin]);
	}
}

u32 peek_ioapic_unsent(struct world *w)
{
	struct ioapic *io = w->vm.irq.ioapic;
	u32 pin, pins = 0;

	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++)
		if ((io->irr & BIT(pin)) && redir(io, pin).trig_mode && !redir(io, pin).mask &&
		    !redir(io, pin).remote_irr)
			pins |= BIT(pin);
	return pins;
}

u64 peek_ioapic_entry(struct world *w, u32 pin)
{
	return w->vm.irq.ioapic->state.redirtbl[pin].bits;
}
