/* SPDX-License-Identifier: GPL-2.0-only */
/* Virtualization on the physical CPUs: switched on at load, off at unload. */
#ifndef VMM_HOST_H
#define VMM_HOST_H

/* Picks the vendor, negotiates, switches all CPUs on. -errno, one log line. */
int host_init(void);
void host_exit(void);

#endif /* VMM_HOST_H */
