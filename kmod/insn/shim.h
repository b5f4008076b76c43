/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The little that insn/ needs from its surroundings. The directory is built
 * twice: into the module and, for tests and fuzzing, into user programs.
 */
#ifndef VMM_INSN_SHIM_H
#define VMM_INSN_SHIM_H

#ifdef __KERNEL__

#include <linux/types.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/string.h>

#else
#include "insn-user.h"	/* the same for a user program; selftests/insn has one */
#endif /* __KERNEL__ */

#endif
