/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Only in a debug build (make VMM_DEBUG=y): each stay leaves the CPU's own
 * state as it found it, or the kernel's log tells what is different.
 */
#ifndef VMM_HOST_CHECK_H
#define VMM_HOST_CHECK_H

#ifdef VMM_DEBUG
/* Which of the MSRs that are looked at this CPU has. Once, at load. */
void host_check_init(void);
/* Around a stay: preemption off, nothing of the guest's loaded (yet, or any more). */
void host_check_begin(void);
void host_check_end(void);
#else
static inline void host_check_init(void) {}
static inline void host_check_begin(void) {}
static inline void host_check_end(void) {}
#endif

#endif /* VMM_HOST_CHECK_H */
