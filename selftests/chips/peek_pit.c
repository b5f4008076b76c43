// SPDX-License-Identifier: GPL-2.0-only
#include "irq/pit.c"

#include "peek.h"

/* The counter runs as its control word says: it was loaded since. */
static bool runs_as_told(const struct pit *pit)
{
	const struct kvm_pit_channel_state *c = &pit->ch[0];

	return pit->periodic == (c->mode == 2 || c->mode == 3) && c->mode != 1 && c->mode <= 4;
}

static void same_tick(const struct pit *a, const struct pit *b)
{
	if (!hrtimer_active(&a->timer) || !runs_as_told(a))
		return;
	NEVER(!hrtimer_active(&b->timer));
	NEVER(a->period_ns == b->period_ns &&
	       hrtimer_get_expires(&a->timer) != hrtimer_get_expires(&b->timer));
}

void peek_pit_move(struct world *to, struct world *from)
{
	struct pit *a = from->vm.irq.pit, *b = to->vm.irq.pit;

	NEVER(memcmp(a->ch, b->ch, sizeof(a->ch)));
	NEVER(a->speaker_on != b->speaker_on || a->flags != b->flags);
	same_tick(a, b);
	/* A one-shot that is over starts anew, as one that was not would be lost; and so does ... */
	hrtimer_cancel(&b->timer);
	if (hrtimer_active(&a->timer))
		hrtimer_start(&b->timer, hrtimer_get_expires(&a->timer), HRTIMER_MODE_ABS);
	/* ... a counter that still runs though a control word has announced another count. */
	b->periodic = a->periodic;
	b->period_ns = a->period_ns;
	/* Ticks that the guest has not acknowledged. */
	atomic_set(&b->pending, atomic_read(&a->pending));
	atomic_set(&b->acked, atomic_read(&a->acked));
	/* KVM_REINJECT_CONTROL is user space's to repeat. */
	b->reinject = a->reinject;
}

ktime_t peek_pit_deadline(struct world *w)
{
	struct pit *pit = w->vm.irq.pit;

	return pit && hrtimer_active(&pit->timer) ? hrtimer_get_expires(&pit->timer) : KTIME_MAX;
}
