/* SPDX-License-Identifier: GPL-2.0-only */
/* Machines with all devices, and their state as an input may have it: right outside, and anything inside. */
#ifndef VMRUN_FUZZ_STATE_H
#define VMRUN_FUZZ_STATE_H

#include "fuzz/rig.h"
#include "stream.h"

#define STATE_RAM	(2 * 1024 * 1024u)

/* Every device that a machine can have, but those that need what is not here. */
void state_machine(struct board *b);

/*
 * Sections with right checksums: names that exist, bodies of the input; first the true description of @b, unless the
 * input has another.
 */
void state_build(struct board *b, struct fuzz_in *in, struct stream *s);

/* The other way: the state of @b as such an input. */
void state_seed(struct board *b, struct fuzz_out *out);

/* The guest of slot @slot begins to use its device. */
void state_use(struct board *b, unsigned int slot);

#endif
