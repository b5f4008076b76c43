/* SPDX-License-Identifier: GPL-2.0-only */
/* What the manuals leave open, or the vendors do differently. */
#ifndef UNDEFINED_H
#define UNDEFINED_H

#include "exec.h"

/* Flags that mean nothing after the instruction that @ctx has just executed. */
u64 undefined_flags(const struct insn_ctx *ctx);

/* Why nothing of its outcome can be compared; NULL: it can. */
const char *undefined_outcome(const struct insn_ctx *ctx, bool faulted);

/* Different among faults of several causes: the manuals give no order, or one each. */
bool undefined_fault(const struct insn_ctx *ctx, unsigned int native_vector);

/* Faults in its middle leave part of its work done. */
bool undefined_progress(const struct insn_ctx *ctx);

/* Of a repeated one: flags that mean nothing before it is at its end; bits of counters and indexes that may be lost. */
u64 undefined_midway_flags(const struct insn_ctx *ctx);
u64 undefined_string_bits(const struct insn_ctx *ctx);

/* What it would have pushed may be in memory, though it faulted before the stack pointer moved. */
bool undefined_push(const struct insn_ctx *ctx);

bool cpu_is_amd(void);

#endif
