// SPDX-License-Identifier: GPL-2.0-only
#include "fuzz/rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"

#define GUARD		65536
#define PUMP_MAX	64

static void be_quiet(void)
{
	static bool done;
	int fd;

	/* stderr stays for those who find something: they write to its number */
	if (done || getenv("FUZZ_LOUD"))
		return;
	done = true;
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || !(stderr = fdopen(fd, "w")))
		abort();
}

/* Where it is free; ASan's own mappings are far from there. */
static void guard(void *at)
{
	mmap(at, GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

void rig_init(struct board *b, uint64_t ram)
{
	be_quiet();
	board_init_mem(b, ram);
	guard(b->m.mem.host - GUARD);
	guard(b->m.mem.host + ram);
}

void rig_reset(struct board *b)
{
	devices_reset(&b->m);
	memset(b->m.mem.host, 0, b->m.mem.size);
	rig_pump(b);
}

void rig_pump(struct board *b)
{
	struct epoll_event ev;

	for (unsigned int i = 0; i < PUMP_MAX && epoll_wait(b->m.loop.epfd, &ev, 1, 0) == 1; i++) {
		struct loop_fd *lfd = ev.data.ptr;

		lfd->ready(lfd, ev.events);
	}
}

void rig_reload(struct board *b)
{
	struct stream s;

	stream_init(&s);
	fuzz_assert(!devices_save(&b->m, &s));
	fuzz_assert(!board_load(b, &s));
	stream_destroy(&s);
}

int rig_file(char *path, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return fd;
}
