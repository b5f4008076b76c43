// SPDX-License-Identifier: GPL-2.0-only
/* Snapshots: a header that believes in itself, and whatever it leads to. */
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "fuzz/rig.h"
#include "migrate/file.h"
#include "migrate/snapshot.h"
#include "migrate/state.h"

#define SIZE_MAX_FILE	(8 * 1024 * 1024)

static char path[64];
static int file = -1;

static void put(const void *data, size_t len, uint64_t off)
{
	if (pwrite(file, data, len, (off_t)off) != (ssize_t)len)
		abort();
}

/* Bit by bit as it should be, or as the input has it. */
static void make_header(struct fuzz_in *in, struct snapshot_header *h)
{
	uint16_t wrong = fuzz_u16(in);
	uint64_t pages = 1 + fuzz_u8(in), table;

	memset(h, 0, sizeof(*h));
	memcpy(h->magic, SNAPSHOT_MAGIC, sizeof(h->magic));
	h->version = wrong & 1 ? fuzz_u8(in) : STATE_VERSION;
	h->len = wrong & 2 ? fuzz_u32(in) : sizeof(*h);
	h->ram_off = wrong & 4 ? fuzz_u64(in) : SNAPSHOT_RAM;
	h->ram_len = wrong & 8 ? fuzz_u64(in) : pages * 4096;
	table = h->ram_len / SNAPSHOT_CHUNK + !!(h->ram_len % SNAPSHOT_CHUNK);
	h->table_off = wrong & 16 ? fuzz_u64(in) : h->ram_off + h->ram_len;
	h->table_len = wrong & 32 ? fuzz_u64(in) : table * sizeof(uint64_t);
	h->state_off = wrong & 64 ? fuzz_u64(in) : h->table_off + h->table_len;
	h->state_len = wrong & 128 ? fuzz_u64(in) : in->left;
	h->table_hash = wrong & 256 ? fuzz_u64(in) : 0;
	h->state_hash = wrong & 512 ? fuzz_u64(in) : XXH3_64bits(in->p, in->left);
	if (wrong & 1024)
		h->state_len = in->left;
}

/* The table is right for memory that is zeroes. */
static uint64_t make_table(const struct snapshot_header *h)
{
	static const uint8_t zeroes[SNAPSHOT_CHUNK];
	uint64_t table[SIZE_MAX_FILE / SNAPSHOT_CHUNK], n = h->table_len / sizeof(*table);

	if (n > sizeof(table) / sizeof(*table) || h->table_off > SIZE_MAX_FILE)
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t left = h->ram_len - i * SNAPSHOT_CHUNK;

		table[i] = XXH3_64bits(zeroes, left < SNAPSHOT_CHUNK ? left : SNAPSHOT_CHUNK);
	}
	put(table, n * sizeof(*table), h->table_off);
	return XXH3_64bits(table, n * sizeof(*table));
}

static bool never(void *opaque)
{
	(void)opaque;
	return false;
}

static void read_back(void)
{
	struct machine_config cfg = { 0 };
	struct snapshot *sn = NULL;

	if (snapshot_open(&sn, path))
		return;
	fuzz_assert(sn->ram_len && sn->ram_len <= SIZE_MAX_FILE);
	snapshot_verify(sn, never, NULL);
	if (!snapshot_config(sn, &cfg))
		fuzz_assert(cfg.mem == sn->ram_len && cfg.cpus && cfg.cpus <= MACHINE_MAX_CPUS &&
			    cfg.nr_disks <= MACHINE_MAX_DISKS && cfg.append);
	free((void *)cfg.name);
	free((void *)cfg.kernel);
	free((void *)cfg.initrd);
	free((void *)cfg.append);
	free((void *)cfg.net.tap);
	for (unsigned int i = 0; i < cfg.nr_disks; i++)
		free((void *)cfg.disks[i].path);
	snapshot_close(sn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	struct snapshot_header h;
	uint64_t end;

	if (file < 0)
		file = rig_file(path, sizeof(path));
	make_header(&in, &h);
	end = h.state_off + h.state_len;
	if (ftruncate(file, 0) || ftruncate(file, end <= SIZE_MAX_FILE ? (off_t)end : 4096 + (off_t)in.left))
		abort();
	if (!h.table_hash)
		h.table_hash = make_table(&h);
	if (h.state_off <= SIZE_MAX_FILE && in.left)
		put(in.p, in.left, h.state_off);
	h.hash = snapshot_header_hash(&h);
	put(&h, sizeof(h), 0);
	read_back();
	return 0;
}

/* The description that follows is cut off, but for its frame. */
size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	struct fuzz_out out = { data, 0 };
	struct stream body, s;

	if (i > 11)
		return 0;
	fuzz_put_int(&out, i ? 1u << (i - 1) : 0, 2);
	fuzz_put_int(&out, 2, 1);
	stream_init(&body);
	stream_put_string(&body, "name");
	stream_put_string(&body, "/kernel");
	stream_put_string(&body, "");
	stream_put_string(&body, "console=ttyS0");
	stream_put_u32(&body, 1);
	stream_put_u64(&body, 3 * 4096);
	stream_put_u32(&body, 1);
	stream_put_string(&body, "/disk");
	stream_put_u8(&body, 1);
	stream_put_u64(&body, 512);
	stream_put_u8(&body, NET_TAP);
	stream_put_string(&body, "tap0");
	stream_put_u8(&body, 0);
	stream_put_u32(&body, 1000);
	stream_put_u32(&body, 0);
	stream_init(&s);
	section_put(&s, "config", 1, &body);
	section_put_end(&s);
	fuzz_put(&out, s.data, s.len);
	stream_destroy(&s);
	stream_destroy(&body);
	return out.len;
}
