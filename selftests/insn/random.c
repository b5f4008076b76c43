// SPDX-License-Identifier: GPL-2.0-only
#include "random.h"

static u64 state = 88172645463325252ull;

/* splitmix64: neighbouring seeds must not give similar numbers. */
void rnd_seed(u64 seed)
{
	seed += 0x9e3779b97f4a7c15ull;
	seed = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9ull;
	seed = (seed ^ seed >> 27) * 0x94d049bb133111ebull;
	state = (seed ^ seed >> 31) | 1;
}

/* xorshift64 */
u64 rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

void rnd_fill(void *buf, size_t len)
{
	u8 *p = buf;
	u64 r;

	for (; len >= 8; len -= 8, p += 8) {
		r = rnd();
		memcpy(p, &r, 8);
	}
	r = rnd();
	memcpy(p, &r, len);
}
