/* SPDX-License-Identifier: GPL-2.0-only */
/* Pseudo-random numbers that depend on the seed alone. */
#ifndef RANDOM_H
#define RANDOM_H

#include "insn-user.h"

u64 rnd(void);
void rnd_seed(u64 seed);
void rnd_fill(void *buf, size_t len);

#endif
