/* SPDX-License-Identifier: GPL-2.0-only */
/* virtio-rng (virtio 1.2 section 5.4), fed by the host's getrandom(). */
#ifndef VMRUN_VIRTIO_RNG_H
#define VMRUN_VIRTIO_RNG_H

struct machine;

/* A failure is reported. Return: 0 or -errno. */
int virtio_rng_create(struct machine *m);

#endif
