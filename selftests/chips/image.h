/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of a world as user space gets and sets it. */
#ifndef CHIPS_IMAGE_H
#define CHIPS_IMAGE_H

#include "world.h"

struct image {
	struct {
		u64 base, deadline;
		struct kvm_lapic_state regs;
	} cpu[WORLD_VCPUS];
	struct kvm_irqchip chip[KVM_NR_IRQCHIPS];
	struct kvm_pit_state2 pit;
};

void image_get(struct world *w, struct image *image);
/* 0, or the number of the step that was refused. */
int image_set(struct world *w, const struct image *image);
/* Where two differ, in words, or NULL. */
const char *image_differs(const struct image *a, const struct image *b);

/*
 * @to becomes what @from is: by the ioctls, and what they do not carry by hand,
 * once it is clear that they carry all the rest. The image is left in @image.
 */
void image_move(struct world *to, struct world *from, struct image *image);

#endif /* CHIPS_IMAGE_H */
