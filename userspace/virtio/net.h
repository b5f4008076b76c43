/* SPDX-License-Identifier: GPL-2.0-only */
/* virtio-net (virtio 1.2 section 5.1), one pair of queues. */
#ifndef VMRUN_VIRTIO_NET_H
#define VMRUN_VIRTIO_NET_H

struct machine;
struct net_config;

/*
 * Creates the network card; NET_NONE creates nothing. A failure is reported. Return: 0 or -errno.
 */
int virtio_net_create(struct machine *m, const struct net_config *cfg);

#endif
