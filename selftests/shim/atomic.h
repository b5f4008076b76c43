/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's memory model by C11's atomics, for x86 and for ThreadSanitizer.
 *
 * What TSan can tell. It knows happens-before by locks and by acquire and
 * release operations, and reports plain accesses that it does not order. It
 * knows no fences, so those are told by hand, as C11 defines them: after
 * smp_wmb() or smp_mb() the next marked store of the thread is a release; at
 * smp_rmb() or smp_mb() what the thread's last marked loads found is acquired.
 * That is narrower than C11, where a fence serves all later stores: a pattern
 * that needs more than the next one would be reported though it is right. It
 * is wider in one point, as the release also covers what stands between the
 * fence and the store. A store that the kernel does not mark releases nothing.
 *
 * What it cannot tell. Two marked accesses are never a race, whatever order
 * they were meant to have: that a store is seen before a later load of another
 * variable (the smp_mb() of "set a request, look at the state") is no matter
 * of happens-before. So each program is also built without TSan, where the
 * barriers are those of this CPU and nothing slows it down, and looks for the
 * consequence: a wake-up that is lost, a page that is used after it was freed.
 * x86 reorders nothing but a load before an earlier store; weaker orders show
 * by happens-before or not at all. Where an address depends on what was loaded,
 * the load is taken for an acquire: by rcu_dereference(), and by pfn_to_kaddr()
 * for the marked loads before it.
 */
#ifndef SHIM_ATOMIC_H
#define SHIM_ATOMIC_H

#include "base.h"

#ifdef __SANITIZE_THREAD__
#define SHIM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHIM_TSAN 1
#endif
#endif

#ifdef SHIM_TSAN
#include <sanitizer/tsan_interface.h>

/* Marked loads since the last fence; the oldest is forgotten. */
#define SHIM_LOADS	8

struct shim_order {
	bool release;			/* a fence came after the last marked store */
	unsigned int nr;
	const volatile void *load[SHIM_LOADS];
};

extern _Thread_local struct shim_order shim_order;

static inline void shim_loaded(const volatile void *p)
{
	shim_order.load[shim_order.nr++ % SHIM_LOADS] = p;
}

static inline void shim_stores(const volatile void *p)
{
	if (!shim_order.release)
		return;
	shim_order.release = false;
	__tsan_release((void *)p);
}

static inline void shim_fence_loads(void)
{
	unsigned int i, n = min(shim_order.nr, (unsigned int)SHIM_LOADS);

	for (i = 0; i < n; i++)
		__tsan_acquire((void *)shim_order.load[i]);
	shim_order.nr = 0;
}

static inline void shim_fence_stores(void)
{
	shim_order.release = true;
}

/*
 * TSan's exchange stores first and releases then; GCC 14's __tsan_acquire() does not wait
 * for the first release of an address (LLVM's #84923). So the release comes before: of one
 * that then loses, too, which may hide a race with the winner.
 */
#define shim_exchanges(p, old)						\
	do {								\
		if (__atomic_load_n(p, __ATOMIC_RELAXED) == *(old))	\
			__tsan_release((void *)(p));			\
	} while (0)
#else
static inline void shim_loaded(const volatile void *p) { }
static inline void shim_stores(const volatile void *p) { }
static inline void shim_fence_loads(void) { }
static inline void shim_fence_stores(void) { }
#define shim_exchanges(p, old)	do { } while (0)
#endif

/* -------- fences -------- */

#define smp_rmb()	do { barrier(); shim_fence_loads(); } while (0)
#define smp_wmb()	do { barrier(); shim_fence_stores(); } while (0)
#define smp_mb()							\
	do {								\
		asm volatile("lock; addl $0,-4(%%rsp)" ::: "memory", "cc"); \
		shim_fence_loads();					\
		shim_fence_stores();					\
	} while (0)
#define smp_mb__before_atomic()	smp_mb()
#define smp_mb__after_atomic()	smp_mb()

/* -------- marked accesses -------- */

#define READ_ONCE(x)							\
	({								\
		__auto_type where_ = &(x);				\
		__auto_type once_ = __atomic_load_n(where_, __ATOMIC_RELAXED); \
									\
		shim_loaded(where_);					\
		once_;							\
	})
#define WRITE_ONCE(x, val)						\
	do {								\
		__auto_type where_ = &(x);				\
									\
		shim_stores(where_);					\
		__atomic_store_n(where_, (val), __ATOMIC_RELAXED);	\
	} while (0)
/* The kernel reads it plainly; whoever wrote that has shown that it may. */
#define data_race(x)		READ_ONCE(x)
#define ASSERT_EXCLUSIVE_ACCESS(x)	do { } while (0)

#define smp_load_acquire(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define smp_store_release(p, val)	__atomic_store_n(p, val, __ATOMIC_RELEASE)
#define smp_store_mb(var, val)		do { WRITE_ONCE(var, val); smp_mb(); } while (0)

/* Full barriers on both sides, as all operations that return a value. */
#define shim_full(op)							\
	({								\
		__auto_type full_ = (op);				\
									\
		shim_fence_loads();					\
		shim_fence_stores();					\
		full_;							\
	})

#define xchg(p, val)	shim_full(__atomic_exchange_n(p, val, __ATOMIC_SEQ_CST))
/* One that fails is but a marked load. */
#define try_cmpxchg(p, old, new)					\
	({								\
		__auto_type at_ = (p);					\
		bool done_;						\
									\
		shim_exchanges(at_, old);				\
		done_ = __atomic_compare_exchange_n(at_, old, new, false, \
						    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED); \
		if (done_) {						\
			shim_fence_loads();				\
			shim_fence_stores();				\
		} else {						\
			shim_loaded(at_);				\
		}							\
		done_;							\
	})
#define try_cmpxchg64(p, old, new)	try_cmpxchg(p, old, new)
#define cmpxchg(p, old, new)						\
	({								\
		typeof(*(p)) found_ = (old);				\
									\
		try_cmpxchg(p, &found_, new);				\
		found_;							\
	})

/* -------- counters -------- */

typedef struct { int counter; } atomic_t;
typedef struct { s64 counter; } atomic64_t;
typedef struct { long counter; } atomic_long_t;

#define ATOMIC_INIT(n)			{ n }
#define atomic_read(v)			READ_ONCE((v)->counter)
#define atomic_set(v, n)		WRITE_ONCE((v)->counter, n)
#define atomic_long_read(v)		READ_ONCE((v)->counter)
#define atomic64_read(v)		READ_ONCE((v)->counter)
#define shim_relaxed(op, p, n)						\
	do {								\
		shim_stores(p);						\
		__atomic_fetch_##op(p, n, __ATOMIC_RELAXED);		\
	} while (0)
#define atomic_inc(v)			shim_relaxed(add, &(v)->counter, 1)
#define atomic_dec(v)			shim_relaxed(sub, &(v)->counter, 1)
#define atomic_add(n, v)		shim_relaxed(add, &(v)->counter, n)
#define atomic64_add(n, v)		shim_relaxed(add, &(v)->counter, n)
#define atomic_inc_return(v)		shim_full(__atomic_add_fetch(&(v)->counter, 1, __ATOMIC_SEQ_CST))
#define atomic_dec_and_test(v)		(!shim_full(__atomic_sub_fetch(&(v)->counter, 1, __ATOMIC_SEQ_CST)))
#define atomic_xchg(v, n)		xchg(&(v)->counter, n)
#define atomic_cmpxchg(v, old, new)	cmpxchg(&(v)->counter, old, new)
#define atomic_long_fetch_andnot(n, v)					\
	shim_full(__atomic_fetch_and(&(v)->counter, ~(n), __ATOMIC_SEQ_CST))

static inline int atomic_dec_if_positive(atomic_t *v)
{
	int old = atomic_read(v);

	while (old > 0 && !try_cmpxchg(&v->counter, &old, old - 1))
		;
	return old - 1;
}

typedef struct { atomic_t refs; } refcount_t;

#define refcount_set(r, n)		atomic_set(&(r)->refs, n)
#define refcount_read(r)		atomic_read(&(r)->refs)
#define refcount_inc(r)			atomic_inc(&(r)->refs)
#define refcount_dec_and_test(r)	atomic_dec_and_test(&(r)->refs)

static inline bool refcount_inc_not_zero(refcount_t *r)
{
	int old = refcount_read(r);

	while (old && !try_cmpxchg(&r->refs.counter, &old, old + 1))
		;
	return old;
}

/* -------- bits -------- */

static inline bool test_bit(long nr, const volatile unsigned long *p)
{
	const unsigned long *word = (const unsigned long *)p + BIT_WORD(nr);

	return READ_ONCE(*word) & BIT_MASK(nr);
}

static inline void set_bit(long nr, volatile unsigned long *p)
{
	shim_relaxed(or, (unsigned long *)p + BIT_WORD(nr), BIT_MASK(nr));
}

static inline void clear_bit(long nr, volatile unsigned long *p)
{
	shim_relaxed(and, (unsigned long *)p + BIT_WORD(nr), ~BIT_MASK(nr));
}

static inline void assign_bit(long nr, volatile unsigned long *p, bool value)
{
	if (value)
		set_bit(nr, p);
	else
		clear_bit(nr, p);
}

static inline bool test_and_set_bit(long nr, volatile unsigned long *p)
{
	unsigned long *word = (unsigned long *)p + BIT_WORD(nr);

	return shim_full(__atomic_fetch_or(word, BIT_MASK(nr), __ATOMIC_SEQ_CST)) & BIT_MASK(nr);
}

static inline bool test_and_clear_bit(long nr, volatile unsigned long *p)
{
	unsigned long *word = (unsigned long *)p + BIT_WORD(nr);

	return shim_full(__atomic_fetch_and(word, ~BIT_MASK(nr), __ATOMIC_SEQ_CST)) & BIT_MASK(nr);
}

static inline void __set_bit(long nr, volatile unsigned long *p)
{
	((unsigned long *)p)[BIT_WORD(nr)] |= BIT_MASK(nr);
}

static inline void __clear_bit(long nr, volatile unsigned long *p)
{
	((unsigned long *)p)[BIT_WORD(nr)] &= ~BIT_MASK(nr);
}

#define __ffs(x)	((unsigned long)__builtin_ctzl(x))
#define __fls(x)	((unsigned long)(63 - __builtin_clzl(x)))

static inline int fls64(u64 x)
{
	return x ? 64 - __builtin_clzll(x) : 0;
}

#define DECLARE_BITMAP(name, bits)	unsigned long name[BITS_TO_LONGS(bits)]

static inline void bitmap_zero(unsigned long *map, unsigned int bits)
{
	memset(map, 0, BITS_TO_LONGS(bits) * sizeof(long));
}

static inline void bitmap_set(unsigned long *map, unsigned int start, unsigned int n)
{
	while (n--)
		__set_bit(start++, map);
}

static inline bool bitmap_empty(const unsigned long *map, unsigned int bits)
{
	unsigned int i;

	for (i = 0; i < BITS_TO_LONGS(bits); i++)
		if (map[i])
			return false;
	return true;
}

static inline unsigned long find_next_bit(const unsigned long *map, unsigned long size,
					  unsigned long from)
{
	while (from < size && !test_bit(from, map))
		from++;
	return from;
}

#define for_each_set_bit(bit, map, size)				\
	for ((bit) = find_next_bit(map, size, 0); (bit) < (size);	\
	     (bit) = find_next_bit(map, size, (bit) + 1))

#endif /* SHIM_ATOMIC_H */
