// SPDX-License-Identifier: GPL-2.0-only
/* Writing snapshots. The format is in snapshot.h. */
#include "migrate/snapshot.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include "machine.h"
#include "migrate/file.h"
#include "migrate/job.h"
#include "migrate/state.h"
#include "sandbox/sandbox.h"
#include "util/list.h"

/* What the copy tells: shared with it. */
struct report {
	uint64_t done;		/* atomic */
	int err;
	const char *step;	/* of the text of this program, so it is valid in both */
};

struct writer {
	struct machine *m;
	char *name;
	int fd;
	struct loop_fd lfd;	/* the copy, as a pidfd */
	struct report *report;
	uint64_t *table;
	struct stream state;
	struct snapshot_header header;
};

/* ---- in the copy of the process: system calls only, no locks, no malloc() ---- */

static int write_all(int fd, const void *data, size_t len, uint64_t off)
{
	const char *p = data;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static bool page_is_zero(const uint8_t *page)
{
	const uint64_t *word = (const uint64_t *)page;
	uint64_t any = 0;

	for (size_t i = 0; i < MEM_PAGE / 8 && !any; i += 8)
		any = word[i] | word[i + 1] | word[i + 2] | word[i + 3] |
		      word[i + 4] | word[i + 5] | word[i + 6] | word[i + 7];
	return !any;
}

/* Runs of pages that are not zero. */
static int write_chunk(struct writer *w, uint64_t off, uint64_t len)
{
	const uint8_t *chunk = w->m->mem.host + off;
	uint64_t from = 0, at = 0;
	int err = 0;

	while (!err && at < len) {
		if (!page_is_zero(chunk + at)) {
			at += MEM_PAGE;
			if (at < len)
				continue;
		}
		if (at > from)
			err = write_all(w->fd, chunk + from, at - from,
					w->header.ram_off + off + from);
		at += MEM_PAGE;
		from = at;
	}
	w->table[off / SNAPSHOT_CHUNK] = XXH3_64bits(chunk, len);
	return err;
}

static int write_ram(struct writer *w)
{
	uint64_t size = w->header.ram_len, off;
	int err = ftruncate(w->fd, (off_t)w->header.table_off) ? -errno : 0;

	for (off = 0; !err && off < size; off += SNAPSHOT_CHUNK) {
		uint64_t len = size - off;

		if (len > SNAPSHOT_CHUNK)
			len = SNAPSHOT_CHUNK;
		err = write_chunk(w, off, len);
		__atomic_store_n(&w->report->done, off + len,
				 __ATOMIC_RELAXED);
	}
	return err;
}

static int write_rest(struct writer *w)
{
	struct snapshot_header *h = &w->header;
	int err;

	h->table_hash = XXH3_64bits(w->table, h->table_len);
	err = write_all(w->fd, w->table, h->table_len, h->table_off);
	if (!err)
		err = write_all(w->fd, w->state.data, w->state.len,
				h->state_off);
	h->hash = snapshot_header_hash(h);
	if (!err)
		err = write_all(w->fd, h, sizeof(*h), 0);
	return err;
}

static int write_sync(struct writer *w)
{
	return fsync(w->fd) ? -errno : 0;
}

static const struct {
	const char *name;
	int (*run)(struct writer *w);
} steps[] = {
	{ "memory", write_ram },
	{ "state", write_rest },
	{ "end", write_sync },
};

static __attribute__((noreturn)) void writer_child(struct writer *w, pid_t parent)
{
	int err = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	w->report->step = "sandbox";
	err = sandbox_thread(w->m->sandbox, ROLE_WRITER, -1, true);
	for (size_t i = 0; !err && i < ARRAY_SIZE(steps); i++) {
		w->report->step = steps[i].name;
		err = steps[i].run(w);
	}
	w->report->err = err;
	_exit(err ? 1 : 0);
}

/* ---- in the process itself ---- */

static void writer_free(struct writer *w)
{
	close(w->fd);
	if (w->report)
		munmap(w->report, sizeof(*w->report));
	stream_destroy(&w->state);
	free(w->table);
	free(w->name);
	free(w);
}

/* Waits until the copy has ended. Return: whether all went well. */
static bool writer_wait(struct writer *w)
{
	siginfo_t info = { 0 };
	int err;

	do {
		err = waitid(P_PIDFD, (id_t)w->lfd.fd, &info, WEXITED);
	} while (err && errno == EINTR);
	return !err && info.si_code == CLD_EXITED && !info.si_status;
}

/* The copy has ended, or will at once. */
static void writer_reap(struct writer *w)
{
	struct machine *m = w->m;
	bool good = writer_wait(w);

	loop_del(&m->loop, &w->lfd);
	close(w->lfd.fd);
	m->writer = NULL;
	if (good)
		job_done(&m->job);
	else if (w->report->err)
		job_fail(&m->job, "%s: %s", w->name, strerror(-w->report->err));
	else
		job_fail(&m->job, "%s: it was ended before it was complete",
			 w->name);
	writer_free(w);
}

static void writer_ready(struct loop_fd *lfd, uint32_t events)
{
	(void)events;
	writer_reap(lfd->opaque);
}

void snapshot_poll(struct machine *m)
{
	if (!m->writer)
		return;
	pthread_mutex_lock(&m->job.lock);
	m->job.progress.done = __atomic_load_n(&m->writer->report->done,
					       __ATOMIC_RELAXED);
	pthread_mutex_unlock(&m->job.lock);
}

void snapshot_cancel(struct machine *m)
{
	if (!m->writer)
		return;
	pidfd_send_signal(m->writer->lfd.fd, SIGKILL, NULL, 0);
	writer_reap(m->writer);
}

static int writer_prepare(struct writer *w)
{
	struct snapshot_header *h = &w->header;
	uint64_t chunks = (w->m->mem.size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK;

	w->table = calloc(chunks, sizeof(*w->table));
	w->report = mmap(NULL, sizeof(*w->report), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->report == MAP_FAILED)
		w->report = NULL;
	if (!w->table || !w->report)
		return -ENOMEM;
	memcpy(h->magic, SNAPSHOT_MAGIC, sizeof(h->magic));
	h->version = STATE_VERSION;
	h->len = sizeof(*h);
	h->ram_off = SNAPSHOT_RAM;
	h->ram_len = w->m->mem.size;
	h->table_off = h->ram_off + h->ram_len;
	h->table_len = chunks * sizeof(*w->table);
	h->state_off = h->table_off + h->table_len;
	return 0;
}

/*
 * fork(), which also gives a descriptor of the copy: by that nothing else can be meant. The C library's own does
 * more for a copy that goes on to use it; ours only makes system calls.
 */
static int writer_copy(int *pidfd)
{
	return (int)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);
}

/* The machine stands still. */
static int writer_fork(struct writer *w)
{
	pid_t parent = getpid(), pid;
	int err = state_save(w->m, &w->state);

	if (err)
		return err;
	w->header.state_len = w->state.len;
	w->header.state_hash = XXH3_64bits(w->state.data, w->state.len);
	pid = writer_copy(&w->lfd.fd);
	if (!pid)
		writer_child(w, parent);
	return pid < 0 ? -errno : 0;
}

static int writer_watch(struct writer *w)
{
	int err;

	w->lfd.ready = writer_ready;
	w->lfd.opaque = w;
	err = loop_add(&w->m->loop, &w->lfd, EPOLLIN);
	if (err) {
		pidfd_send_signal(w->lfd.fd, SIGKILL, NULL, 0);
		writer_wait(w);
		close(w->lfd.fd);
	}
	return err;
}

static int writer_start(struct writer *w)
{
	int err = writer_prepare(w);

	if (err)
		return err;
	machine_pause(w->m);
	err = machine_is_asked(w->m) ? -EAGAIN : writer_fork(w);
	machine_resume(w->m);
	return err ? err : writer_watch(w);
}

static struct writer *writer_alloc(struct machine *m, const char *name, int fd)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->m = m;
	w->name = strdup(name);
	if (!w->name) {
		free(w);
		return NULL;
	}
	w->fd = fd;
	stream_init(&w->state);
	return w;
}

static int snapshot_start(struct machine *m, const char *name, int fd)
{
	struct writer *w = writer_alloc(m, name, fd);
	int err;

	if (!w) {
		close(fd);
		return -ENOMEM;
	}
	err = writer_start(w);
	if (err)
		writer_free(w);
	else
		m->writer = w;
	return err;
}

int snapshot_begin(struct machine *m, const char *name, int fd)
{
	int err = job_begin(&m->job, "snapshot");

	if (err) {
		close(fd);
		return err;
	}
	m->job.progress.total = m->mem.size;
	err = snapshot_start(m, name, fd);
	if (err)
		job_fail(&m->job, "%s: %s", name, strerror(-err));
	else
		job_phase(&m->job, "writing");
	return err;
}
