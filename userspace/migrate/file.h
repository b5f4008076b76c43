/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the writer and the reader of snapshots: the header, as it is in the file.
 */
#ifndef VMRUN_MIGRATE_FILE_H
#define VMRUN_MIGRATE_FILE_H

#include <stdint.h>

#define SNAPSHOT_MAGIC	"VMRUNSNP"
#define SNAPSHOT_RAM	(2 * 1024 * 1024ull)	/* so that the file's pages can be huge */

struct snapshot_header {
	char magic[8];
	uint32_t version;
	uint32_t len;
	uint64_t ram_off, ram_len;
	uint64_t table_off, table_len;
	uint64_t state_off, state_len;
	uint64_t table_hash, state_hash;
	uint64_t hash;
	uint8_t zero[4096 - 88];
};

_Static_assert(sizeof(struct snapshot_header) == 4096, "the header is a page");

/* With the field of the hash taken for 0. */
uint64_t snapshot_header_hash(const struct snapshot_header *header);

#endif
