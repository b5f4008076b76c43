/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What both sides of a move share beside the frames.
 */
#ifndef VMRUN_MIGRATE_MOVE_H
#define VMRUN_MIGRATE_MOVE_H

#include <stdint.h>

struct machine;
struct stream;

/*
 * HELLO: version of the state, flags, number of streams (32 bits each), session (64 bits),
 * then the config section. Streams beside the main one JOIN with session (64 bits) and their
 * index (32 bits). CHECK: number of the first page, then hashes of that and those that follow
 * (64 bits each). GO: flags.
 */
#define MOVE_POSTCOPY	1u
#define MOVE_CHECK	2u
#define MOVE_RECOVER	4u

#define MOVE_GO_PAUSED	1u	/* the guest arrives paused, as its user left it */

#define MOVE_CHECK_PAGES	65536	/* of one CHECK, at most */

struct move_description {
	struct machine *m;
	struct stream *s;
};

/* vCPUs are held for at most this part of the time, and for so much more in a round. */
#define MOVE_THROTTLE_MAX	99
#define MOVE_THROTTLE_STEP	30

#endif
