/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stream between two vmruns is made of frames. On the wire a frame is, little-endian:
 *
 *	0	"VMRF"
 *	4	type (16 bits), flags (16 bits; 1: the payload is compressed, by zstd)
 *	8	bytes of the payload here, and as it was (2 x 32 bits)
 *	16	XXH3 of the first 16 bytes and the payload here (64 bits)
 *	24	the payload
 *
 * Who sends what, and when:
 *
 *	source				destination
 *	HELLO			->
 *				<-	READY, or REFUSE with the reason
 *	(on each further connection) JOIN
 *	PAGES … (rounds)	->
 *	(guest stops)
 *	PAGES …			->	but for post-copy
 *	SYNC (each connection)	->
 *	MISSING			->	post-copy: these pages come after the start
 *	CHECK … (if asked for)	->
 *	STATE			->
 *				<-	LOADED, or REFUSE: the source goes on
 *	GO, with flags		->	from here on the guest is the destination's
 *				<-	RUNNING, or REFUSE: the source goes on
 *	post-copy only:
 *				<-	REQUEST for a page that the guest waits for
 *	PAGES …, END		->
 *				<-	COMPLETE, before END when the guest has ended
 *
 * A connection that breaks after the start of a post-copy guest may be made anew: HELLO says
 * so, and READY carries the pages that are still missing.
 */
#ifndef VMRUN_MIGRATE_FRAME_H
#define VMRUN_MIGRATE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "migrate/channel.h"
#include "stream.h"

#define FRAME_HEADER	24
#define FRAME_MAX	(256u << 20)	/* bytes of a payload */

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_READY,
	FRAME_REFUSE,
	FRAME_JOIN,
	FRAME_PAGES,
	FRAME_MISSING,
	FRAME_SYNC,
	FRAME_CHECK,
	FRAME_STATE,
	FRAME_LOADED,
	FRAME_GO,
	FRAME_RUNNING,
	FRAME_REQUEST,
	FRAME_END,
	FRAME_COMPLETE,
	FRAME_ALIVE,		/* says nothing else; from the source, while it has no pages to send */
};

/* Buffers and zstd's contexts, for one thread; they grow with use. */
struct framer {
	uint8_t *wire, *plain;
	size_t wire_room, plain_room;
	void *zc, *zd;
	int level;		/* of zstd; 0: never compress */
};

void framer_init(struct framer *f, int level);
void framer_destroy(struct framer *f);

/* Compresses where that makes it smaller. Return: 0 or -errno, as channel_write(). */
int frame_send(struct channel *ch, struct framer *f, enum frame_type type,
	       const void *data, size_t len);

/*
 * The next frame; *data stays valid until the next call. -EBADMSG for a damaged one, -EPROTO for
 * what is no frame, or as channel_read().
 */
int frame_recv(struct channel *ch, struct framer *f, enum frame_type *type,
	       const void **data, size_t *len);

#endif
