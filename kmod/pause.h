/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The window of PAUSE-loop exits: how long a guest may spin before it has to
 * leave. It grows with each exit, since whoever spins that long has to wait
 * anyway, and goes back when the vCPU has been scheduled. By KVM's rules for its
 * parameters a @step below @base is a factor, a greater one is a number of
 * ticks, and 0 means @base at once.
 */
#ifndef VMM_PAUSE_H
#define VMM_PAUSE_H

#include <linux/minmax.h>
#include <linux/types.h>

static inline u32 pause_longer(u32 val, u32 base, u32 step, u32 max)
{
	if (!step)
		return base;
	return min_t(u64, step < base ? (u64)val * step : (u64)val + step, max);
}

static inline u32 pause_shorter(u32 val, u32 base, u32 step)
{
	if (!step)
		return base;
	if (step < base)
		return max(val / step, base);
	return max(val > step ? val - step : 0, base);
}

#endif /* VMM_PAUSE_H */
