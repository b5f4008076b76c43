// SPDX-License-Identifier: GPL-2.0-only
/* What is RAM and what is not. */
#include <errno.h>
#include <string.h>

#include "machine.h"
#include "tests/tap.h"

static struct machine m;

static void test_small(void)
{
	uint32_t value = 1;

	ok(!mem_init(&m.mem, MIB(16)), "16 MiB");
	ok(!((uintptr_t)m.mem.host & (MIB(2) - 1)), "aligned for huge pages");
	ok(mem_at(&m, 0, MIB(16)) == m.mem.host, "all of it");
	ok(!mem_at(&m, 0, MIB(16) + 1), "not one byte more");
	ok(mem_at(&m, MIB(16) - 1, 1), "the last byte");
	ok(!mem_at(&m, MIB(16) - 1, 2), "across the end");
	ok(!mem_at(&m, MIB(16), 0), "behind the end");
	ok(!mem_at(&m, 4096, UINT64_MAX), "a length that wraps");
	ok(!mem_at(&m, UINT64_MAX, 2), "an address that wraps");
	ok(!mem_at(&m, GIB(4), 1), "nothing above the hole");
	ok(mem_write(&m, MIB(16) - 2, &value, 4) == -EFAULT &&
	   mem_read(&m, MIB(16) - 2, &value, 4) == -EFAULT, "copies check, too");
	value = 0x12345678;
	mem_write(&m, 100, &value, 4);
	value = 0;
	mem_read(&m, 100, &value, 4);
	ok(value == 0x12345678, "and copy");
	mem_destroy(&m.mem);
}

static void test_hole(void)
{
	ok(!mem_init(&m.mem, GIB(3) + MIB(64)), "3 GiB and 64 MiB");
	ok(m.mem.low == GIB(3) && m.mem.high == MIB(64), "split at the hole");
	ok(mem_at(&m, GIB(3) - 1, 1) && !mem_at(&m, GIB(3) - 1, 2),
	   "no access into the hole");
	ok(!mem_at(&m, GIB(3), 1) && !mem_at(&m, GIB(4) - 1, 1) &&
	   !mem_at(&m, GIB(4) - 1, 2), "nor in it, nor out of it");
	ok(mem_at(&m, GIB(4), MIB(64)) == m.mem.host + GIB(3),
	   "memory above the hole");
	ok(!mem_at(&m, GIB(4), MIB(64) + 1) && !mem_at(&m, GIB(4) + MIB(64), 1),
	   "and its end");
	mem_destroy(&m.mem);
}

int main(void)
{
	test_small();
	test_hole();
	return tap_done();
}
