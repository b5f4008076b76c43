/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers that are the same everywhere. */
#ifndef SHIM_RND_H
#define SHIM_RND_H

static u64 rnd_state;

static inline u64 rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

static inline void rnd_seed(u64 seed)
{
	rnd_state = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
	rnd_state += !rnd_state;
}

static inline void rnd_fill(u8 *p, size_t n)
{
	while (n--)
		*p++ = rnd() >> 24;
}

#endif /* SHIM_RND_H */
