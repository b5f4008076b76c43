/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's API as far as kmod/irq, kmod/mm and the run loop use it, for
 * user programs: the module's own sources are compiled against it, unchanged.
 * Every <linux/...> and <asm/...> that they ask for is this file (shim.mk makes
 * the directory), but for files of constants and lists, which are the kernel's.
 * It stands in for kmod/compat.h as well.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include "base.h"
#include "atomic.h"
#include "thread.h"
#include "lock.h"
#include "rcu.h"
#include "mem.h"
#include <linux/list.h>
#include <linux/rculist.h>
#include "xarray.h"
#include "clock.h"
#include "event.h"
#include "host.h"

#endif /* SHIM_SHIM_H */
