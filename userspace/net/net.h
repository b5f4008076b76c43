/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's end of a network card. Frames travel with the 12-byte header of
 * virtio-net (struct virtio_net_hdr_v1) in front, in both directions.
 */
#ifndef VMRUN_NET_H
#define VMRUN_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NET_HDR_SIZE	12

struct net_backend;
struct sandbox;

/**
 * struct net_ops - what a backend does; all on the event loop's thread or with the card's lock held
 * @recv: one frame into the list; its length, -EAGAIN if there is none, -EMSGSIZE if a
 *	  frame was dropped that did not fit, another -errno if there will be no more
 * @send: one frame; what cannot be sent is dropped
 * @sent: a batch of sends is over; may be NULL
 * @negotiated: the driver chose these features, of those offered; may be NULL
 * @close: free the backend
 */
struct net_ops {
	ssize_t (*recv)(struct net_backend *be, const struct iovec *iov, unsigned int n);
	void (*send)(struct net_backend *be, const struct iovec *iov, unsigned int n);
	void (*sent)(struct net_backend *be);
	void (*negotiated)(struct net_backend *be, uint64_t features);
	void (*close)(struct net_backend *be);
};

struct net_backend {
	const struct net_ops *ops;
	int fd;			/* polls readable while recv has something */
	uint64_t features;	/* virtio-net offloads it can take part in */
	bool shared;		/* others on that network keep in mind where the guest is */
};

/* Both report their failures. Return: 0 or -errno. */
int net_tap_open(struct net_backend **be, const char *ifname);
int net_user_open(struct net_backend **be, struct sandbox *sandbox);

#endif
