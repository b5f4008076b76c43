/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's types and helpers that kmod/insn uses, for user programs. */
#ifndef INSN_USER_H
#define INSN_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define BIT(n)		(1UL << (n))
#define BIT_ULL(n)	(1ULL << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define min(a, b)	((a) < (b) ? (a) : (b))
#define max(a, b)	((a) > (b) ? (a) : (b))
#define fallthrough	__attribute__((__fallthrough__))
#define __maybe_unused	__attribute__((__unused__))

#endif
