/* SPDX-License-Identifier: GPL-2.0-only */
/* The module parameters of kmod/mm/nx_huge.c, which is inside this file's source. */
#ifndef TSAN_PEEK_NX_H
#define TSAN_PEEK_NX_H

#include "shim.h"

/* Huge pages not executable, and made whole again as fast as the clock allows. Without VMs. */
void peek_nx_set(bool on);

#endif /* TSAN_PEEK_NX_H */
