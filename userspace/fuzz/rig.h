/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A board to be fuzzed: that of the unit tests, with little RAM between pages that nobody may touch, and with the loop
 * on the target's own thread.
 */
#ifndef VMRUN_FUZZ_RIG_H
#define VMRUN_FUZZ_RIG_H

#include "fuzz/fuzz.h"
#include "tests/board.h"

#define RIG_RAM		(256 * 1024u)

/* No messages from now on; RAM is zeroes. */
void rig_init(struct board *b, uint64_t ram);

/* As after power-on. */
void rig_reset(struct board *b);

/* Serves what the loop would serve now; it is never waited for. */
void rig_pump(struct board *b);

/* Saves all devices and loads that again. */
void rig_reload(struct board *b);

/* An empty file without a name, and a path that leads to it. */
int rig_file(char *path, size_t size);

#endif
