// SPDX-License-Identifier: GPL-2.0-only
#include "mem.h"

#include <errno.h>
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
}

static int mem_slot(struct machine *m, uint32_t slot, uint64_t gpa,
		    uint64_t size, uint8_t *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};
	int err;

	if (!size)
		return 0;
	err = kvm_ioctl(m->kvm.vm, KVM_SET_USER_MEMORY_REGION, &region);
	if (err == -EINVAL)
		return msg_fail(err, "--mem %lluM: more than this host's KVM takes",
				(unsigned long long)(m->mem.size >> 20));
	if (err < 0)
		return msg_fail(err, "cannot give the guest %llu MiB of memory at %#llx: %s",
				(unsigned long long)(size >> 20),
				(unsigned long long)gpa, strerror(-err));
	return 0;
}

int mem_map_guest(struct machine *m)
{
	struct mem *mem = &m->mem;
	int err = mem_slot(m, SLOT_LOW, 0, mem->low, mem->host);

	if (err)
		return err;
	return mem_slot(m, SLOT_HIGH, MEM_HOLE_END, mem->high,
			mem->host + mem->low);
}

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
	return 0;
}
