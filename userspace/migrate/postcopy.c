// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/postcopy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"
#include "migrate/frame.h"
#include "migrate/pages.h"
#include "sandbox/thread.h"

struct postcopy {
	struct machine *m;
	int uffd;
	int quit;		/* eventfd */
	size_t words;
	uint64_t *missing, *asked;	/* atomic */
	struct channel *ch;
	struct framer framer;
	pthread_t thread;
	bool started;
};

/* ---- the descriptor ---- */

int postcopy_prepare(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), dev;

	/* For users without the right there may be the device (Linux 6.1). */
	if (fd < 0) {
		int err = -errno;

		dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
		if (dev < 0)
			return err;
		fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(dev);
		if (fd < 0)
			return err;
	}
	if (ioctl(fd, UFFDIO_API, &api)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int uffd_register(struct postcopy *pc)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)pc->m->mem.host, pc->m->mem.size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(pc->uffd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

/* Somebody else may have been faster: the page is there, and that is all that counts. */
static int uffd_zero(struct postcopy *pc, uint64_t page)
{
	struct uffdio_zeropage zero = {
		.range = { (uintptr_t)pc->m->mem.host + page * MEM_PAGE,
			   MEM_PAGE },
	};

	return ioctl(pc->uffd, UFFDIO_ZEROPAGE, &zero) && errno != EEXIST ?
	       -errno : 0;
}

static int uffd_copy(struct postcopy *pc, uint64_t page, const void *data)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)pc->m->mem.host + page * MEM_PAGE,
		.src = (uintptr_t)data,
		.len = MEM_PAGE,
	};

	return ioctl(pc->uffd, UFFDIO_COPY, &copy) && errno != EEXIST ?
	       -errno : 0;
}

static void uffd_wake(struct postcopy *pc, uint64_t page)
{
	struct uffdio_range range = {
		(uintptr_t)pc->m->mem.host + page * MEM_PAGE, MEM_PAGE
	};

	ioctl(pc->uffd, UFFDIO_WAKE, &range);
}

/* ---- bitmaps ---- */

static bool bit_test(const uint64_t *bitmap, uint64_t page)
{
	return __atomic_load_n(&bitmap[page / 64], __ATOMIC_ACQUIRE) >>
	       page % 64 & 1;
}

static void bit_set(uint64_t *bitmap, uint64_t page)
{
	__atomic_fetch_or(&bitmap[page / 64], 1ull << page % 64,
			  __ATOMIC_ACQ_REL);
}

static void bit_clear(uint64_t *bitmap, uint64_t page)
{
	__atomic_fetch_and(&bitmap[page / 64], ~(1ull << page % 64),
			   __ATOMIC_ACQ_REL);
}

/* ---- creation ---- */

static int drop_missing(struct postcopy *pc)
{
	uint64_t pages = pc->m->mem.size / MEM_PAGE, page = 0, from;

	while (page < pages) {
		if (!bit_test(pc->missing, page)) {
			page++;
			continue;
		}
		for (from = page; page < pages && bit_test(pc->missing, page);
		     page++)
			;
		if (madvise(pc->m->mem.host + from * MEM_PAGE,
			    (page - from) * MEM_PAGE, MADV_DONTNEED))
			return -errno;
	}
	return 0;
}

static int postcopy_setup(struct postcopy *pc, const void *missing)
{
	int err;

	pc->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pc->words = mem_log_words(&pc->m->mem);
	pc->missing = malloc(pc->words * sizeof(uint64_t));
	pc->asked = calloc(pc->words, sizeof(uint64_t));
	if (pc->quit < 0 || !pc->missing || !pc->asked)
		return -ENOMEM;
	memcpy(pc->missing, missing, pc->words * sizeof(uint64_t));
	pages_clip(&pc->m->mem, pc->missing);
	/* A huge page that appears by itself would fill what is to be asked for. */
	madvise(pc->m->mem.host, pc->m->mem.size, MADV_NOHUGEPAGE);
	err = uffd_register(pc);
	return err ? err : drop_missing(pc);
}

int postcopy_create(struct postcopy **pcp, struct machine *m, int uffd,
		    const void *missing, char *why, size_t size)
{
	struct postcopy *pc = calloc(1, sizeof(*pc));
	int err;

	if (!pc) {
		close(uffd);
		return -ENOMEM;
	}
	pc->m = m;
	pc->uffd = uffd;
	framer_init(&pc->framer, 0);
	err = postcopy_setup(pc, missing);
	if (err) {
		snprintf(why, size, "post-copy: %s", strerror(-err));
		postcopy_destroy(pc);
		return err;
	}
	*pcp = pc;
	return 0;
}

void postcopy_abandon(struct postcopy *pc)
{
	if (!pc)
		return;
	postcopy_stop(pc);
	if (pc->uffd >= 0)
		close(pc->uffd);
	pc->uffd = -1;
}

void postcopy_destroy(struct postcopy *pc)
{
	if (!pc)
		return;
	postcopy_abandon(pc);
	if (pc->quit >= 0)
		close(pc->quit);
	framer_destroy(&pc->framer);
	free(pc->missing);
	free(pc->asked);
	free(pc);
}

/* ---- requests ---- */

static int ask(struct postcopy *pc, uint64_t page)
{
	return frame_send(pc->ch, &pc->framer, FRAME_REQUEST, &page,
			  sizeof(page));
}

/* Pages that are neither here nor missing have never been written. */
static int fault(struct postcopy *pc, uint64_t page)
{
	if (page >= pc->m->mem.size / MEM_PAGE)
		return 0;
	if (!bit_test(pc->missing, page)) {
		int err = uffd_zero(pc, page);

		uffd_wake(pc, page);
		return err;
	}
	bit_set(pc->asked, page);
	return ask(pc, page);
}

static int ask_again(struct postcopy *pc)
{
	uint64_t pages = pc->m->mem.size / MEM_PAGE;
	int err = 0;

	for (uint64_t page = 0; !err && page < pages; page++)
		if (bit_test(pc->asked, page) && bit_test(pc->missing, page))
			err = ask(pc, page);
	return err;
}

/* A channel that fails is its reader's to notice; then this waits for postcopy_stop(). */
static void *postcopy_thread(void *opaque)
{
	struct postcopy *pc = opaque;
	struct pollfd fds[2] = { { .fd = pc->quit, .events = POLLIN },
				 { .fd = pc->uffd, .events = POLLIN } };
	struct uffd_msg msg;
	int err = ask_again(pc);

	while (poll(fds, err ? 1 : 2, -1) >= 0 || errno == EINTR) {
		if (fds[0].revents)
			break;
		if (err || read(pc->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			err = fault(pc, (msg.arg.pagefault.address -
					 (uintptr_t)pc->m->mem.host) /
				    MEM_PAGE);
	}
	return NULL;
}

int postcopy_start(struct postcopy *pc, struct channel *ch)
{
	eventfd_t count;
	int err;

	eventfd_read(pc->quit, &count);
	pc->ch = ch;
	err = thread_start(&pc->thread, &(struct thread_spec){
		.name = "postcopy", .sandbox = pc->m->sandbox, .role = ROLE_MIGRATE,
		.run = postcopy_thread, .arg = pc });
	pc->started = !err;
	return err;
}

void postcopy_stop(struct postcopy *pc)
{
	if (!pc || !pc->started)
		return;
	eventfd_write(pc->quit, 1);
	pthread_join(pc->thread, NULL);
	pc->started = false;
}

/* ---- arrivals ---- */

int postcopy_place(void *opaque, uint64_t page, const void *data)
{
	struct postcopy *pc = opaque;
	int err;

	if (!bit_test(pc->missing, page))
		return 0;
	err = data ? uffd_copy(pc, page, data) : uffd_zero(pc, page);
	if (err)
		return err;
	bit_clear(pc->missing, page);
	uffd_wake(pc, page);
	return 0;
}

const uint64_t *postcopy_missing(struct postcopy *pc, size_t *bytes)
{
	*bytes = pc->words * sizeof(uint64_t);
	return pc->missing;
}

bool postcopy_complete(const struct postcopy *pc)
{
	for (size_t i = 0; i < pc->words; i++)
		if (__atomic_load_n(&pc->missing[i], __ATOMIC_ACQUIRE))
			return false;
	return true;
}

void postcopy_end(struct postcopy *pc)
{
	struct uffdio_range all = { (uintptr_t)pc->m->mem.host,
				    pc->m->mem.size };

	postcopy_stop(pc);
	ioctl(pc->uffd, UFFDIO_UNREGISTER, &all);
	madvise(pc->m->mem.host, pc->m->mem.size, MADV_HUGEPAGE);
}
