// SPDX-License-Identifier: GPL-2.0-only
/* Reading snapshots. The format is in snapshot.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "machine.h"
#include "migrate/file.h"
#include "migrate/snapshot.h"
#include "migrate/state.h"
#include "util/msg.h"

#define STATE_MAX	(1ull << 30)

uint64_t snapshot_header_hash(const struct snapshot_header *header)
{
	struct snapshot_header copy = *header;

	copy.hash = 0;
	return XXH3_64bits(&copy, sizeof(copy));
}

/* ---- opening ---- */

static int read_all(int fd, void *data, size_t len, uint64_t off)
{
	char *p = data;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EPROTO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int fail_damaged(const char *path, const char *what)
{
	return msg_fail(-EBADMSG, "%s: damaged: %s", path, what);
}

/* Before the hash, so that a foreign file is called that. */
static int header_check(const struct snapshot_header *h, const char *path,
			uint64_t size)
{
	uint64_t chunks = h->ram_len / SNAPSHOT_CHUNK +
			  !!(h->ram_len % SNAPSHOT_CHUNK);

	if (memcmp(h->magic, SNAPSHOT_MAGIC, sizeof(h->magic)))
		return msg_fail(-EINVAL, "%s: not a snapshot", path);
	if (h->hash != snapshot_header_hash(h))
		return fail_damaged(path, "its first page is not what was written");
	if (h->version > STATE_VERSION)
		return msg_fail(-ENOTSUP, "%s: of version %u, from a newer vmrun: this one knows versions %d to %d",
				path, h->version, STATE_VERSION_MIN,
				STATE_VERSION);
	if (h->version < STATE_VERSION_MIN || h->len != sizeof(*h) ||
	    h->ram_off != SNAPSHOT_RAM || !h->ram_len ||
	    h->ram_len % MEM_PAGE || h->ram_len > GIB(4096) ||
	    h->table_off != h->ram_off + h->ram_len ||
	    h->table_len != chunks * sizeof(uint64_t) ||
	    h->state_off != h->table_off + h->table_len ||
	    h->state_len > STATE_MAX)
		return fail_damaged(path, "its first page contradicts itself");
	if (size != h->state_off + h->state_len)
		return msg_fail(-EBADMSG, "%s: truncated: %llu bytes of %llu",
				path, (unsigned long long)size,
				(unsigned long long)(h->state_off + h->state_len));
	return 0;
}

static int snapshot_read_table(struct snapshot *sn,
			       const struct snapshot_header *h)
{
	int err;

	sn->table = malloc(h->table_len);
	if (!sn->table)
		return msg_fail(-ENOMEM, "out of memory");
	err = read_all(sn->fd, sn->table, h->table_len, h->table_off);
	if (err)
		return msg_fail(err, "%s: %s", sn->path, strerror(-err));
	if (XXH3_64bits(sn->table, h->table_len) != h->table_hash)
		return fail_damaged(sn->path, "the table of its memory");
	return 0;
}

static int snapshot_read_state(struct snapshot *sn,
			       const struct snapshot_header *h)
{
	void *data = malloc(h->state_len ? h->state_len : 1);
	int err;

	if (!data)
		return msg_fail(-ENOMEM, "out of memory");
	err = read_all(sn->fd, data, h->state_len, h->state_off);
	if (err)
		msg_fail(err, "%s: %s", sn->path, strerror(-err));
	else if (XXH3_64bits(data, h->state_len) != h->state_hash)
		err = fail_damaged(sn->path, "the machine's state");
	else
		err = stream_from(&sn->state, data, h->state_len);
	free(data);
	return err;
}

static int snapshot_read(struct snapshot *sn)
{
	struct snapshot_header *h = malloc(sizeof(*h));
	struct stat st;
	int err;

	if (!h)
		return msg_fail(-ENOMEM, "out of memory");
	err = fstat(sn->fd, &st) ? -errno :
	      !S_ISREG(st.st_mode) ? -EINVAL : 0;
	if (!err && st.st_size < (off_t)sizeof(*h))
		err = -EINVAL;
	if (!err)
		err = read_all(sn->fd, h, sizeof(*h), 0);
	if (err)
		msg_fail(err, "%s: not a snapshot", sn->path);
	else
		err = header_check(h, sn->path, (uint64_t)st.st_size);
	if (!err)
		err = snapshot_read_table(sn, h);
	if (!err)
		err = snapshot_read_state(sn, h);
	sn->version = h->version;
	sn->ram_off = h->ram_off;
	sn->ram_len = h->ram_len;
	free(h);
	return err;
}

int snapshot_open(struct snapshot **snp, const char *path)
{
	struct snapshot *sn = calloc(1, sizeof(*sn));
	int err;

	if (!sn)
		return msg_fail(-ENOMEM, "out of memory");
	sn->path = path;
	sn->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	err = sn->fd < 0 ? msg_fail(-errno, "%s: %s", path, strerror(errno)) :
			   snapshot_read(sn);
	if (err)
		snapshot_close(sn);
	else
		*snp = sn;
	return err;
}

int snapshot_check_owner(const struct snapshot *sn)
{
	struct stat st;

	if (!fstat(sn->fd, &st) && (st.st_uid == geteuid() || !st.st_uid) &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	return msg_fail(-EPERM, "%s: others can have written it, and it names disks and files that the machine gets: --trust, if it may",
			sn->path);
}

void snapshot_close(struct snapshot *sn)
{
	if (!sn)
		return;
	if (sn->fd >= 0)
		close(sn->fd);
	free(sn->table);
	stream_destroy(&sn->state);
	free(sn);
}

/* ---- into a machine ---- */

int snapshot_config(struct snapshot *sn, struct machine_config *cfg)
{
	char why[160];
	int err;

	sn->state.pos = 0;
	err = config_read(cfg, &sn->state, why, sizeof(why));
	if (err)
		return msg_fail(err, "%s: %s", sn->path, why);
	if (cfg->mem != sn->ram_len)
		return fail_damaged(sn->path, "two sizes of memory");
	return 0;
}

int snapshot_map(struct machine *m)
{
	struct snapshot *sn = m->snapshot;
	int err = mem_map_file(&m->mem, sn->fd, sn->ram_off);

	if (err)
		return msg_fail(err, "%s: cannot map its memory: %s", sn->path,
				strerror(-err));
	return 0;
}

int snapshot_load(struct machine *m)
{
	struct snapshot *sn = m->snapshot;
	char why[160];
	int err;

	sn->state.pos = 0;
	err = state_load(m, &sn->state, why, sizeof(why));
	if (err)
		return msg_fail(err, "%s: cannot be restored: %s", sn->path,
				why);
	return 0;
}

int snapshot_verify(const struct snapshot *sn, bool (*stop)(void *opaque),
		    void *opaque)
{
	uint8_t *chunk = malloc(SNAPSHOT_CHUNK);
	uint64_t off, len;
	int err = 0;

	if (!chunk)
		return msg_fail(-ENOMEM, "out of memory");
	for (off = 0; !err && off < sn->ram_len; off += SNAPSHOT_CHUNK) {
		len = sn->ram_len - off;
		if (len > SNAPSHOT_CHUNK)
			len = SNAPSHOT_CHUNK;
		err = stop(opaque) ? -ECANCELED :
		      read_all(sn->fd, chunk, len, sn->ram_off + off);
		if (!err && XXH3_64bits(chunk, len) !=
		    sn->table[off / SNAPSHOT_CHUNK])
			err = msg_fail(-EBADMSG, "%s: damaged: memory at %#llx is not what was written",
				       sn->path, (unsigned long long)off);
		else if (err && err != -ECANCELED)
			msg_fail(err, "%s: %s", sn->path, strerror(-err));
	}
	free(chunk);
	return err;
}
