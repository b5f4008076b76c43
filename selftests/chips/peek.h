/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a chip knows and no ioctl carries, file by file of the module: each
 * peek_*.c is that file with a few functions behind it. _move() holds the
 * twin, whose state was set by the ioctls just now, against the original: what
 * the ABI does carry must be equal, and what it does not is copied, so that
 * the two can be told apart by nothing but a mistake. These copies are the
 * list of what a machine loses when it moves.
 */
#ifndef CHIPS_PEEK_H
#define CHIPS_PEEK_H

#include "world.h"

void peek_pic_move(struct world *to, struct world *from);
void peek_pic_check(struct world *w);

void peek_ioapic_move(struct world *to, struct world *from);
/* Promises of its state; @lines: the levels that were set are those that its pins have. */
void peek_ioapic_check(struct world *w, bool lines);
/*
 * Level pins, unmasked, that nobody took when they were raised. They are sent
 * again when somebody touches them; KVM_SET_IRQCHIP does.
 */
u32 peek_ioapic_unsent(struct world *w);
u64 peek_ioapic_entry(struct world *w, u32 pin);

void peek_pit_move(struct world *to, struct world *from);
/* When the PIT ticks next, KTIME_MAX: not. */
ktime_t peek_pit_deadline(struct world *w);

#endif /* CHIPS_PEEK_H */
