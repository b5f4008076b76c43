// SPDX-License-Identifier: GPL-2.0-only
/* PAUSE-loop exits: the PAUSE filter and its threshold, 15.14.4. */
#include <linux/limits.h>
#include <linux/module.h>

#include "../pause.h"
#include "svm.h"

/* Names and defaults of kvm_amd's parameters. */
static unsigned short pause_filter_thresh = 128;
module_param(pause_filter_thresh, ushort, 0444);
MODULE_PARM_DESC(pause_filter_thresh, "AMD: ticks between two PAUSEs of one loop, 0: loops do not exit");

static unsigned short pause_filter_count = 3000;
module_param(pause_filter_count, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count, "AMD: PAUSEs of a loop before it exits, at first");

static unsigned short pause_filter_count_grow = 2;
module_param(pause_filter_count_grow, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count_grow, "AMD: factor (or number) by which they grow, 0: not at all");

static unsigned short pause_filter_count_shrink;
module_param(pause_filter_count_shrink, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count_shrink, "AMD: divisor (or number) by which they shrink, 0: all at once");

static unsigned short pause_filter_count_max = USHRT_MAX;
module_param(pause_filter_count_max, ushort, 0444);
MODULE_PARM_DESC(pause_filter_count_max, "AMD: most PAUSEs before a loop exits");

/* Once, when svm_caps is known: without the filter, or its threshold, no exits. */
void svm_pause_setup(void)
{
	if (!svm_caps.pause_filter)
		pause_filter_count = 0;
	if (!svm_caps.pause_filter || !svm_caps.pause_thresh)
		pause_filter_thresh = 0;
}

bool svm_pause_exits(const struct vm *vm)
{
	return pause_filter_count && pause_filter_thresh &&
	       !(vm->disabled_exits & KVM_X86_DISABLE_EXITS_PAUSE);
}

void svm_pause_init(struct vmcb_control *c)
{
	c->pause_filter_count = pause_filter_count;
	c->pause_filter_thresh = pause_filter_thresh;
}

void svm_pause_window(struct vcpu *vcpu, bool spun)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	u16 *count = &svm->vmcb->control.pause_filter_count;
	u16 old = *count;

	if (spun)
		*count = pause_longer(old, pause_filter_count, pause_filter_count_grow,
				      pause_filter_count_max);
	else
		*count = pause_shorter(old, pause_filter_count, pause_filter_count_shrink);
	if (*count != old)
		vmcb_dirty(svm, CLEAN_INTERCEPTS);
}
