// SPDX-License-Identifier: GPL-2.0-only
/* Numbers that mean something somewhere, and arguments with such numbers in them. */
#include "../lib/guest.h"
#include "fuzz.h"

#define ARG_AREA	(64 * PAGE)

static uint64_t address(struct genes *g, const struct world *w)
{
	static const uint64_t gpas[] = { 0, 0x1000, 0x8000, WORLD_RAM - PAGE, WORLD_RAM, 2 * WORLD_RAM, LOG_GPA, LOG_GPA + (1 << 20),
					 0xfee00000, 0xfec00000, 0xfffbd000, 0xfffff000, 1ull << 36, 1ull << 40, 1ull << 47, 1ull << 52 };

	switch (pick(g, 6)) {
	case 0:
		return (uintptr_t)w->shared + pick(g, WORLD_RAM / PAGE) * PAGE;
	case 1:
		return (uintptr_t)w->anon + pick(g, WORLD_RAM / PAGE) * PAGE;
	case 2:
		return (uintptr_t)atomic_load(&w->vcpu[pick(g, WORLD_VCPUS)].run);
	case 3:
		return pick(g, WORLD_RAM / PAGE) * PAGE;
	default:
		return gpas[pick(g, 16)];
	}
}

uint64_t interesting(struct genes *g, const struct world *w, uint64_t old)
{
	unsigned int bit;

	switch (pick(g, 14)) {
	case 0:
		return 0;
	case 1:
		return pick(g, 40);
	case 2:
		bit = pick(g, 64);
		return 1ull << bit;
	case 3:
		bit = pick(g, 64);
		return (1ull << bit) - 1;
	case 4:
		return ~0ull;
	case 5:
	case 6:
		return address(g, w);
	case 7:
		return address(g, w) + pick(g, 64);
	case 8:
		return w->nr_msrs ? w->msr[pick(g, w->nr_msrs)] : 0;
	case 9:
	case 10:
		bit = pick(g, 64);
		return old ^ 1ull << bit;
	case 11:
		return old + 1;
	case 12:
		return old - 1;
	default:
		return gene(g);
	}
}

/* Fields of any size at any place. */
static void vary(struct genes *g, const struct world *w, void *buf, size_t size)
{
	unsigned int n = pick(g, 4);

	while (n--) {
		size_t width = 1u << pick(g, 4), at;
		uint64_t old = 0;

		if (width > size)
			continue;
		at = pick(g, size / width) * width;
		memcpy(&old, (uint8_t *)buf + at, width);
		old = interesting(g, w, old);
		memcpy((uint8_t *)buf + at, &old, width);
	}
}

void arg_init(struct arg *a)
{
	uint8_t *area = mmap(NULL, ARG_AREA + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(area != MAP_FAILED);
	a->end = area + ARG_AREA;
	MUST(mprotect(a->end, PAGE, PROT_NONE));
}

void *arg_buf(struct arg *a, size_t size)
{
	a->buf = a->end - size;
	a->size = size;
	a->value = (uintptr_t)a->buf;
	memset(a->buf, 0, size);
	return a->buf;
}

/* A pointer that is none, or leads somewhere else. */
static unsigned long bad_pointer(struct genes *g, const struct world *w, const struct arg *a)
{
	switch (pick(g, 5)) {
	case 0:
		return 0;
	case 1:
		return (uintptr_t)a->end - 1 - pick(g, 32);
	case 2:
		return 0xffffffff80000000ul;
	case 3:
		return address(g, w);
	default:
		return (uintptr_t)a->end;
	}
}

static void default_argument(const struct row *row, struct target *t, struct arg *a)
{
	if (!_IOC_SIZE(row->cmd) || _IOC_DIR(row->cmd) == _IOC_NONE)
		return;
	arg_buf(a, _IOC_SIZE(row->cmd));
	if (row->from)
		ioctl(t->fd, row->from, a->buf);
}

void arg_make(const struct row *row, struct target *t, struct arg *a, unsigned int variant)
{
	a->value = 0;
	a->buf = NULL;
	a->size = 0;
	memset(a->more, 0, sizeof(a->more));
	if (row->valid)
		row->valid(t, a, variant);
	else
		default_argument(row, t, a);
	if (t->g->valid)
		return;
	if (!a->buf) {
		if (one_in(t->g, 3))
			a->value = interesting(t->g, t->w, a->value);
		return;
	}
	vary(t->g, t->w, a->buf, a->size);
	if (one_in(t->g, 32))
		a->value = bad_pointer(t->g, t->w, a);
	if (row->settle)
		row->settle(a);
}

size_t arg_output(const struct row *row, const struct arg *a)
{
	/* KVM_SET_IRQCHIP and its like have the direction wrong; what they are given is not poison either. */
	return a->buf && a->value == (uintptr_t)a->buf && (_IOC_DIR(row->cmd) & _IOC_READ) ? a->size : 0;
}

int target_fd(const struct row *row, struct target *t)
{
	switch (row->on) {
	case ON_DEV:
		return t->w->dev;
	case ON_VM:
		return t->w->vm[t->vm].fd;
	case ON_VCPU:
		return t->w->vcpu[t->vcpu].fd;
	default:
		return -1;
	}
}
