/* SPDX-License-Identifier: GPL-2.0-only */
/* Types of the kernel, and those of its macros that need nothing else. */
#ifndef SHIM_BASE_H
#define SHIM_BASE_H

#include <asm/types.h>
#include <errno.h>
#include <limits.h>
#include <linux/const.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef unsigned int gfp_t;
typedef unsigned int fmode_t;
typedef unsigned int __poll_t;

struct list_head {
	struct list_head *next, *prev;
};

struct hlist_head {
	struct hlist_node *first;
};

struct hlist_node {
	struct hlist_node *next, **pprev;
};

#define __user
#define __rcu
#define __iomem
#define __init
#define __exit
#define __force
#define __must_hold(x)
#define __releases(x)
#define __acquires(x)
#define __percpu
#undef __always_inline
#define __always_inline		inline __attribute__((__always_inline__))
#define noinline		__attribute__((__noinline__))
#define __maybe_unused		__attribute__((__unused__))
#define __packed		__attribute__((__packed__))
#define __aligned(n)		__attribute__((__aligned__(n)))
#define __must_check		__attribute__((__warn_unused_result__))
#define __printf(a, b)		__attribute__((__format__(printf, a, b)))
#define fallthrough		__attribute__((__fallthrough__))
#define noinstr
#define notrace
#define likely(x)		__builtin_expect(!!(x), 1)
#define unlikely(x)		__builtin_expect(!!(x), 0)
#define barrier()		asm volatile("" ::: "memory")
#define static_assert		_Static_assert
#define BUILD_BUG_ON(x)		_Static_assert(!(x), #x)
/* Of the kernel's options, those that are asked for. */
#define IS_ENABLED(option)	SHIM_##option
#define SHIM_CONFIG_SMP		1
#define KBUILD_MODNAME		"vmm"

/* Error numbers that user space has no names for. */
#define ERESTARTSYS		512
#define ERESTARTNOHAND		514

#define MAX_ERRNO		4095
#define IS_ERR_VALUE(x)		((unsigned long)(x) >= (unsigned long)-MAX_ERRNO)

static inline void *ERR_PTR(long error)
{
	return (void *)error;
}

static inline long PTR_ERR(const void *ptr)
{
	return (long)ptr;
}

static inline bool IS_ERR(const void *ptr)
{
	return IS_ERR_VALUE(ptr);
}

#define BITS_PER_LONG		64
#define BITS_PER_LONG_LONG	64
#define BITS_PER_BYTE		8
#define U8_MAX			((u8)~0u)
#define U32_MAX			((u32)~0u)
#define S64_MAX			((s64)(~0ull >> 1))
#define U64_MAX			((u64)~0ull)
#define HZ			250
#define NSEC_PER_USEC		1000L
#define NSEC_PER_MSEC		1000000L
#define NSEC_PER_SEC		1000000000L
#define MSEC_PER_SEC		1000L

#define BIT(n)			(1UL << (n))
#define BIT_ULL(n)		(1ULL << (n))
#define BIT_MASK(n)		(1UL << ((n) % BITS_PER_LONG))
#define BIT_WORD(n)		((n) / BITS_PER_LONG)
#define GENMASK(h, l)		(((~0UL) << (l)) & (~0UL >> (BITS_PER_LONG - 1 - (h))))
#define GENMASK_ULL(h, l)	(((~0ULL) << (l)) & (~0ULL >> (BITS_PER_LONG_LONG - 1 - (h))))
#define BITS_TO_LONGS(n)	DIV_ROUND_UP(n, BITS_PER_LONG)
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define IS_ALIGNED(x, a)	(((x) & ((typeof(x))(a) - 1)) == 0)
#define ALIGN(x, a)		(((x) + ((typeof(x))(a) - 1)) & ~((typeof(x))(a) - 1))
#define round_down(x, y)	((x) & ~((typeof(x))(y) - 1))
#define upper_32_bits(n)	((u32)((n) >> 32))
#define lower_32_bits(n)	((u32)(n))

#define container_of(ptr, type, member)					\
	((type *)((char *)(ptr) - offsetof(type, member)))
#define struct_size(p, member, n)	(sizeof(*(p)) + sizeof((p)->member[0]) * (n))
#define offset_in_page(p)	((unsigned long)(p) & ~PAGE_MASK)
#define __same_type(a, b)	__builtin_types_compatible_p(typeof(a), typeof(b))

#define min(a, b)	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b)	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ > b_ ? a_ : b_; })
#define min_t(type, a, b)	({ type a_ = (a); type b_ = (b); a_ < b_ ? a_ : b_; })
#define max_t(type, a, b)	({ type a_ = (a); type b_ = (b); a_ > b_ ? a_ : b_; })
#define clamp_t(type, x, lo, hi)	min_t(type, max_t(type, x, lo), hi)

#define check_mul_overflow(a, b, d)	__builtin_mul_overflow(a, b, d)
#define array_index_nospec(index, size)	(index)
#define untagged_addr(addr)		(addr)
#define access_ok(addr, size)		true

/* What the kernel says once in its log ends these programs. */
__attribute__((__noreturn__, __format__(printf, 3, 4)))
void shim_bug(const char *file, int line, const char *fmt, ...);

/* The programs' own: what must not be. */
#define NEVER(cond)							\
	do {								\
		if (unlikely(cond))					\
			shim_bug(__FILE__, __LINE__, "must not be: %s", #cond); \
	} while (0)
#define WARN_ON_ONCE(cond)						\
	({								\
		bool warn_ = (cond);					\
									\
		if (unlikely(warn_))					\
			shim_bug(__FILE__, __LINE__, "WARN: %s", #cond); \
		warn_;							\
	})
#define WARN_ON(cond)		WARN_ON_ONCE(cond)
#define WARN_ONCE(cond, fmt, ...)					\
	({								\
		bool warn_ = (cond);					\
									\
		if (unlikely(warn_))					\
			shim_bug(__FILE__, __LINE__, fmt, ##__VA_ARGS__); \
		warn_;							\
	})

/* Quotients that do not fit are #DE in the kernel, and an end here. */
static inline u64 shim_muldiv(u64 a, u64 b, u64 c)
{
	unsigned __int128 q;

	NEVER(!c);
	q = (unsigned __int128)a * b / c;
	NEVER(q > U64_MAX);
	return q;
}

#define mul_u64_u32_div(a, b, c)	shim_muldiv(a, b, c)
#define mul_u64_u64_div_u64(a, b, c)	shim_muldiv(a, b, c)

static inline u64 div64_u64(u64 a, u64 b)
{
	NEVER(!b);
	return a / b;
}

static inline u64 div_u64_rem(u64 a, u32 b, u32 *rest)
{
	NEVER(!b);
	*rest = a % b;
	return a / b;
}

static inline bool is_power_of_2(unsigned long n)
{
	return n && !(n & (n - 1));
}

#define roundup_pow_of_two(n)	((n) < 2 ? 1UL : 1UL << (64 - __builtin_clzl((unsigned long)(n) - 1)))

/* Module parameters are variables. */
#define module_param(name, type, perm)
#define module_param_named(name, var, type, perm)
#define module_param_cb(name, ops, arg, perm)				\
	static const void *const shim_param_##name __maybe_unused = (ops)
#define __MODULE_PARM_TYPE(name, type)
#define MODULE_PARM_DESC(name, text)

static inline void sort(void *base, size_t n, size_t size, int (*cmp)(const void *, const void *),
			void *swap)
{
	if (n)
		qsort(base, n, size, cmp);
}

#endif /* SHIM_BASE_H */
