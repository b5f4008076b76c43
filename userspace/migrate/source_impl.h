/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the files of a move's source: sender.c sends memory, handover.c gives the guest away,
 * source.c has the course of it all. All but what says otherwise runs on the source's thread.
 */
#ifndef VMRUN_MIGRATE_SOURCE_IMPL_H
#define VMRUN_MIGRATE_SOURCE_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "machine.h"
#include "migrate/channel.h"
#include "migrate/frame.h"
#include "migrate/pages.h"
#include "migrate/source.h"
#include "stream.h"
#include "util/time.h"

/*
 * A thread and a connection. With one stream there is one of them, on the main connection, and
 * no thread.
 */
struct sender {
	struct source *src;
	struct channel own, *ch;
	struct framer framer;
	uint8_t *frame;		/* PAGES_FRAME_MAX */
	uint64_t pages;		/* sent in this round */
	uint64_t spoke_at;	/* ns */
	unsigned int index;
	pthread_t thread;
	bool started;
	int err;
};

struct source {
	struct machine *m;
	struct source_opts opts;
	char *uri;
	pthread_t thread;
	int cancel;		/* eventfd */
	int patience_ms;
	struct channel ch;
	struct framer framer;
	int offers;		/* eventfd: how many of these wait */
	int offered[SOURCE_STREAMS_MAX + 1];	/* under lock, as is the next */
	unsigned int nr_offered;
	uint64_t session;
	struct pages pages;
	uint64_t *todo;
	size_t words;
	struct sender *senders;
	uint64_t left;		/* pages of this round that were not looked at yet; atomic */
	uint64_t paced_since, paced_bytes;	/* for the bandwidth; atomic */
	bool full_speed;	/* the guest stands still; atomic */
	bool all;		/* send what is to be sent also where it seems known */
	bool logging;
	bool recover;
	bool gave_away;		/* the disks are not ours */
	bool went;		/* GO was sent */
	uint32_t go_flags;
	uint64_t stopped_at;	/* ns */
	struct stream state;	/* of the stopped guest */

	pthread_mutex_t lock;	/* rounds of the senders */
	pthread_cond_t changed;
	unsigned int generation, busy;
	bool quit;
};

/* ---- source.c ---- */

/* Waits for the next connection. Return: a socket, or -errno with the job blamed. */
int source_connect(struct source *src);
int source_send(struct source *src, enum frame_type type, const void *data,
		size_t len);
/* Waits for a frame of that type; a refusal is the reason of the job's failure, and -EREMOTEIO. */
int source_expect(struct source *src, enum frame_type want, const void **data,
		  size_t *len);
/* The text of a REFUSE is why the job fails. */
void source_refused(struct source *src, const void *data, size_t len);
/* Why sending failed is often told by the other side's last word. Return: @err. */
int source_failed(struct source *src, int err);

/* ---- sender.c ---- */

/* After READY: the connections and threads of the streams. */
int senders_start(struct source *src);
void senders_stop(struct source *src);

/* Sends one word of todo, or all of them; *pages counts what was sent. */
int sender_word(struct sender *s, uint64_t word);
/*
 * Sleeps until the bytes sent so far are within the limit, which pages that the guest waits for may break.
 * Return: 0, -errno, or 1: the other side has said something, as it may with post-copy only.
 */
int sender_pace(struct sender *s);
int source_round(struct source *src, uint64_t *pages);

/* Bytes on all connections; and the job's progress. */
uint64_t source_sent(struct source *src);
void source_show(struct source *src);

/* ---- handover.c ---- */

/* Return: 0 when the guest runs on the other side. */
int source_switch(struct source *src);

/* After that: the memory of a post-copy guest, until it has all. */
int source_postcopy(struct source *src);

#endif
