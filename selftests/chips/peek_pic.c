// SPDX-License-Identifier: GPL-2.0-only
#include "irq/pic.c"

#include "peek.h"

void peek_pic_move(struct world *to, struct world *from)
{
	struct pic *a = from->vm.irq.pic, *b = to->vm.irq.pic;

	NEVER(memcmp(a->chip, b->chip, sizeof(a->chip)));
	NEVER(a->output != b->output);
	/* Who drives a line: the devices do it again as they see fit. */
	memcpy(b->levels, a->levels, sizeof(a->levels));
}

void peek_pic_check(struct world *w)
{
	struct pic *pic = w->vm.irq.pic;
	int i;

	for (i = 0; i < 2; i++)
		NEVER(pic->chip[i].priority_add > 7);
	NEVER(pic->output != (pending_pin(&pic->chip[0], true) >= 0));
}
