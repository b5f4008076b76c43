// SPDX-License-Identifier: GPL-2.0-only
#include "mm/nx_huge.c"

#include "peek-nx.h"

void peek_nx_set(bool on)
{
	nx_huge = on;
	ratio = 1;
	period_ms = 1;
}
