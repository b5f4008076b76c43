/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Byte channels between two vmruns: tcp:HOST:PORT (an IPv6 address in brackets) or unix:PATH.
 * Every wait has an end: the channel's patience, or the eventfd @cancel.
 */
#ifndef VMRUN_MIGRATE_CHANNEL_H
#define VMRUN_MIGRATE_CHANNEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct channel {
	int fd;
	int cancel;		/* eventfd that becomes readable to end all waiting; -1: none */
	int patience_ms;	/* without a byte from or to the other side; -1: for ever */
	uint64_t sent;		/* bytes, atomic: read by others for their progress */
	pthread_mutex_t lock;	/* of the writing side: frames of several threads do not mix */
};

/* Whether the text is such an address; reports for option or command @what. */
int channel_check(const char *what, const char *uri);

/* Return: a socket, or -errno with a line in @why. */
int channel_listen(const char *uri, char *why, size_t size);
int channel_connect(const char *uri, int cancel, char *why, size_t size);
/* The socket file of a unix: address; NULL: it is none. */
const char *channel_path(const char *uri);
/* Such an address leaves that file behind; this takes it away. */
void channel_unlink(const char *uri);

void channel_init(struct channel *ch, int fd, int cancel, int patience_ms);
void channel_close(struct channel *ch);

/* One connection; -ECANCELED, -ETIMEDOUT. */
int channel_accept(int listener, int cancel, int patience_ms);

/*
 * All of it, or -errno: -EPIPE when the other side is gone, -ETIMEDOUT when it stalls,
 * -ECANCELED.
 */
int channel_write(struct channel *ch, const void *data, size_t len);
int channel_read(struct channel *ch, void *data, size_t len);

/* Whether all waiting is to end. */
bool channel_cancelled(const struct channel *ch);

/* Whether there is something to read now. */
bool channel_pending(const struct channel *ch);

/* What such an error means, in words. */
const char *channel_error(int err);

#endif
