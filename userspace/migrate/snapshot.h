/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Snapshots: a machine in a file.
 *
 * The file is, in bytes, little-endian:
 *
 *	0	"VMRUNSNP"
 *	8	version of the state (32 bits), bytes of the header (32 bits, 4096)
 *	16	place and length of RAM, of the table and of the state (6 x 64 bits)
 *	64	XXH3 of the table and of the state (2 x 64 bits)
 *	80	XXH3 of the header's 4096 bytes with this field 0
 *	2 MiB	RAM, as a guest without a hole would see it; pages of zeroes are holes of the file
 *	then	the table: XXH3 of each SNAPSHOT_CHUNK of RAM
 *	then	the state: state.h
 *
 * RAM is mapped, not read: a restored guest runs at once, and guests from one file share
 * what they do not write.
 */
#ifndef VMRUN_MIGRATE_SNAPSHOT_H
#define VMRUN_MIGRATE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

#define SNAPSHOT_CHUNK	(256 * 1024ull)

struct machine;
struct machine_config;

/* ---- writing: loop's thread; progress and outcome are the machine's job ---- */

/*
 * The guest stands still only while its state is taken; a copy of this process writes what memory was
 * at that moment to @fd, an empty file, which is closed in any case. Its name is the business of who opened it,
 * who also takes it away when the job fails; @name is for messages.
 *
 * Return: 0 if it has begun, or -errno; then the job tells why.
 */
int snapshot_begin(struct machine *m, const char *name, int fd);
void snapshot_cancel(struct machine *m);
/* Brings the job's progress up to date. */
void snapshot_poll(struct machine *m);

/* ---- reading ---- */

struct snapshot {
	int fd;
	const char *path;
	uint32_t version;
	uint64_t ram_off, ram_len;
	uint64_t *table;	/* ram_len / SNAPSHOT_CHUNK, rounded up */
	struct stream state;
};

/* Checks all but RAM; reports errors. */
int snapshot_open(struct snapshot **snapshot, const char *path);

/*
 * A snapshot names files of this host, which the machine opens with the rights of whoever restores it: it is as good as
 * those who could have written it. Return: 0, or -EPERM after a message when that is not this user or root alone.
 */
int snapshot_check_owner(const struct snapshot *snapshot);

void snapshot_close(struct snapshot *snapshot);

/* A configuration like the one of the machine in the file; reports errors. */
int snapshot_config(struct snapshot *snapshot, struct machine_config *cfg);

/* RAM for a machine of that configuration. */
int snapshot_map(struct machine *m);

/* Into the machine, which has not been started; reports errors. */
int snapshot_load(struct machine *m);

/*
 * Compares RAM in the file with the table. Return: 0, -EBADMSG or -errno after a message, or
 * -ECANCELED once @stop says so.
 */
int snapshot_verify(const struct snapshot *snapshot, bool (*stop)(void *opaque),
		    void *opaque);

#endif
