/* SPDX-License-Identifier: GPL-2.0-only */
/* virtio-console (virtio 1.2 section 5.3): one port, hvc0 in the guest, a pseudo-terminal here. */
#ifndef VMRUN_VIRTIO_CONSOLE_H
#define VMRUN_VIRTIO_CONSOLE_H

struct machine;

/* A failure is reported. Return: 0 or -errno. */
int virtio_console_create(struct machine *m);

/* Path of the console's pseudo-terminal, or NULL if the machine has none. */
const char *virtio_console_path(struct machine *m);

#endif
