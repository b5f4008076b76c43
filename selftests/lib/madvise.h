/* SPDX-License-Identifier: GPL-2.0-only */
/* Advice that the C library's headers may be too old for (Linux' asm-generic/mman-common.h). */
#ifndef LIB_MADVISE_H
#define LIB_MADVISE_H

#include <sys/mman.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON	100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#endif
