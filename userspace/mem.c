// SPDX-License-Identifier: GPL-2.0-only
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "machine.h"
#include "util/msg.h"

/* Memory slots. One alignment lets the host back both with huge pages. */
enum { SLOT_LOW, SLOT_HIGH };

#define MEM_ALIGN MIB(2)

static uint8_t *mem_reserve(uint64_t size)
{
	uint64_t room = size + MEM_ALIGN, skip;
	uint8_t *p;

	p = mmap(NULL, room, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	skip = -(uintptr_t)p & (MEM_ALIGN - 1);
	if (skip)
		munmap(p, skip);
	munmap(p + skip + size, MEM_ALIGN - skip);
	return p + skip;
}

int mem_init(struct mem *mem, uint64_t size)
{
	memset(mem, 0, sizeof(*mem));
	mem->host = mem_reserve(size);
	if (!mem->host)
		return msg_fail(-ENOMEM, "--mem: this host cannot reserve %llu MiB of address space: %s",
				(unsigned long long)(size >> 20),
				strerror(errno));
	mem->size = size;
	mem->low = size < MEM_HOLE_START ? size : MEM_HOLE_START;
	mem->high = size - mem->low;
	/* Advice only: both fail harmlessly on kernels built without them. */
	madvise(mem->host, size, MADV_HUGEPAGE);
	madvise(mem->host, size, MADV_DONTDUMP);
	return 0;
}

void mem_destroy(struct mem *mem)
{
	if (mem->host)
		munmap(mem->host, mem->size);
	mem->host = NULL;
	free(mem->dirty);
	free(mem->retired);
}

struct mem_slot {
	uint64_t gpa, size, off;	/* off: from the beginning of RAM */
};

static struct mem_slot mem_slot_of(const struct mem *mem, uint32_t slot)
{
	if (slot == SLOT_LOW)
		return (struct mem_slot){ 0, mem->low, 0 };
	return (struct mem_slot){ MEM_HOLE_END, mem->high, mem->low };
}

static int mem_slot_set(struct machine *m, uint32_t slot, uint32_t flags)
{
	struct mem_slot at = mem_slot_of(&m->mem, slot);
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = at.gpa,
		.memory_size = at.size,
		.userspace_addr = (uintptr_t)(m->mem.host + at.off),
	};
	int err;

	if (!at.size)
		return 0;
	err = kvm_ioctl(m->kvm.vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (err == -EINVAL)
		return msg_fail(err, "--mem %lluM: more than this host's KVM takes",
				(unsigned long long)(m->mem.size >> 20));
	if (err < 0)
		return msg_fail(err, "cannot give the guest %llu MiB of memory at %#llx: %s",
				(unsigned long long)(at.size >> 20),
				(unsigned long long)at.gpa, strerror(-err));
	return 0;
}

static int mem_slots_set(struct machine *m, uint32_t flags)
{
	int err = mem_slot_set(m, SLOT_LOW, flags);

	return err ? err : mem_slot_set(m, SLOT_HIGH, flags);
}

int mem_map_guest(struct machine *m)
{
	return mem_slots_set(m, 0);
}

int mem_map_file(struct mem *mem, int fd, uint64_t off)
{
	if (mmap(mem->host, mem->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd,
		 (off_t)off) == MAP_FAILED)
		return -errno;
	madvise(mem->host, mem->size, MADV_DONTDUMP);
	return 0;
}

/* ---- which pages change ---- */

/* KVM clears its list page by page, where it can: see mem_slot_fetch(). */
static bool mem_log_manual(const struct machine *m)
{
	return kvm_check(&m->kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) &
	       KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
}

/* The list of KVM is cleared when it is read unless this is enabled, once for a VM. */
static int mem_log_set_manual(struct machine *m)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 };
	int flags = kvm_check(&m->kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2), err;

	if (!mem_log_manual(m))
		return 0;
	cap.args[0] = (uint64_t)flags & (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
					 KVM_DIRTY_LOG_INITIALLY_SET);
	err = kvm_ioctl(m->kvm.vm, KVM_ENABLE_CAP, &cap);
	return err < 0 ? err : 0;
}

int mem_log_start(struct machine *m)
{
	uint64_t *own = calloc(mem_log_words(&m->mem), sizeof(*own));
	int err;

	if (!own)
		return -ENOMEM;
	__atomic_store_n(&m->mem.dirty, own, __ATOMIC_SEQ_CST);
	err = mem_log_set_manual(m);
	if (!err)
		err = mem_slots_set(m, KVM_MEM_LOG_DIRTY_PAGES);
	if (err)
		mem_log_stop(m);
	return err;
}

/* The list stays allocated: another thread may be in mem_touched(). */
void mem_log_stop(struct machine *m)
{
	uint64_t *own = __atomic_exchange_n(&m->mem.dirty, NULL,
					    __ATOMIC_SEQ_CST);

	mem_slots_set(m, 0);
	free(m->mem.retired);
	m->mem.retired = own;
}

void mem_touched(struct machine *m, const void *host, uint64_t len)
{
	uint64_t *own = __atomic_load_n(&m->mem.dirty, __ATOMIC_ACQUIRE);
	uint64_t off = (uint64_t)((const uint8_t *)host - m->mem.host);

	if (!own || !len)
		return;
	for (uint64_t page = off / MEM_PAGE; page <= (off + len - 1) / MEM_PAGE;
	     page++)
		__atomic_fetch_or(&own[page / 64], 1ull << page % 64,
				  __ATOMIC_RELEASE);
}

/* Bits of a slot begin at any page of RAM, in words of their own. */
static void mem_log_merge(uint64_t *bitmap, uint64_t first,
			  const uint64_t *bits, uint64_t pages)
{
	unsigned int shift = first % 64;
	uint64_t words = (pages + 63) / 64;

	bitmap += first / 64;
	for (uint64_t i = 0; i < words; i++) {
		if (!bits[i])
			continue;
		bitmap[i] |= bits[i] << shift;
		if (shift && bits[i] >> (64 - shift))
			bitmap[i + 1] |= bits[i] >> (64 - shift);
	}
}

static int mem_slot_clear(struct machine *m, uint32_t slot, uint64_t *bits,
			  uint64_t pages)
{
	struct kvm_clear_dirty_log clear = {
		.slot = slot,
		.num_pages = (uint32_t)pages,
		.dirty_bitmap = bits,
	};
	int err = kvm_ioctl(m->kvm.vm, KVM_CLEAR_DIRTY_LOG, &clear);

	return err < 0 ? err : 0;
}

static int mem_slot_fetch(struct machine *m, uint32_t slot, uint64_t *bitmap)
{
	struct mem_slot at = mem_slot_of(&m->mem, slot);
	uint64_t pages = at.size / MEM_PAGE;
	struct kvm_dirty_log log = { .slot = slot };
	int err;

	if (!pages)
		return 0;
	log.dirty_bitmap = calloc((pages + 63) / 64, 8);
	if (!log.dirty_bitmap)
		return -ENOMEM;
	err = kvm_ioctl(m->kvm.vm, KVM_GET_DIRTY_LOG, &log);
	if (err >= 0 && mem_log_manual(m))
		err = mem_slot_clear(m, slot, log.dirty_bitmap, pages);
	if (err >= 0)
		mem_log_merge(bitmap, at.off / MEM_PAGE, log.dirty_bitmap,
			      pages);
	free(log.dirty_bitmap);
	return err < 0 ? err : 0;
}

int mem_log_fetch(struct machine *m, uint64_t *bitmap)
{
	size_t words = mem_log_words(&m->mem);
	int err = mem_slot_fetch(m, SLOT_LOW, bitmap);

	if (!err)
		err = mem_slot_fetch(m, SLOT_HIGH, bitmap);
	for (size_t i = 0; !err && i < words; i++)
		if (__atomic_load_n(&m->mem.dirty[i], __ATOMIC_RELAXED))
			bitmap[i] |= __atomic_exchange_n(&m->mem.dirty[i], 0,
							 __ATOMIC_ACQUIRE);
	return err;
}

/* ---- access ---- */

void *mem_at(struct machine *m, uint64_t gpa, uint64_t len)
{
	const struct mem *mem = &m->mem;

	if (gpa < mem->low)
		return len <= mem->low - gpa ? mem->host + gpa : NULL;
	if (gpa < MEM_HOLE_END)
		return NULL;
	gpa -= MEM_HOLE_END;
	if (gpa >= mem->high || len > mem->high - gpa)
		return NULL;
	return mem->host + mem->low + gpa;
}

int mem_read(struct machine *m, uint64_t gpa, void *data, uint64_t len)
{
	const void *p = mem_at(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(data, p, len);
	return 0;
}

int mem_write(struct machine *m, uint64_t gpa, const void *data, uint64_t len)
{
	void *p = mem_at(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, data, len);
	mem_touched(m, p, len);
	return 0;
}
