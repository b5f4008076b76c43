/* SPDX-License-Identifier: GPL-2.0-only */
/* User space's own file of this name, which <linux/kvm.h> wants, and the kernel's types. */
#ifndef SHIM_LINUX_TYPES_H
#define SHIM_LINUX_TYPES_H

#include_next <linux/types.h>
#include "base.h"

#endif
