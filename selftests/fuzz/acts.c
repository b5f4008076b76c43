// SPDX-License-Identifier: GPL-2.0-only
/* What user space does beside its ioctls: to guest memory, to the pages it shares with the module, to descriptors, to itself. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>

#include "../lib/guest.h"
#include "acts.h"

/* A vCPU of any mode with new code before it. */
long act_code(struct target *t)
{
	uint8_t code[256];
	size_t size = guest_code(t->g, t->w, code, sizeof(code));

	world_set_mode(t->w, t->vcpu, one_in(t->g, 3) ? pick(t->g, NR_MODES) : GUEST_LONG, code, size);
	return 0;
}

/* The pages that a guest shares with its host, and the wall clock. */
long act_share(struct target *t)
{
	static const struct {
		uint32_t index;
		uint64_t data;
	} msrs[] = {
		{ 0x4b564d00, 0x100000 }, { 0x4b564d01, 0x101001 }, { 0x4b564d03, 0x102001 }, { 0x4b564d04, 0x103001 },
		{ 0x4b564d06, 0xf3 }, { 0x4b564d02, 0x104009 }, { 0x4b564d07, 1 }, { 0x4b564d05, 1 },
	};
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1 };
	unsigned int i = pick(t->g, 8);

	m.entry.index = msrs[i].index;
	m.entry.data = msrs[i].data;
	if (one_in(t->g, 3))
		m.entry.data += (uint64_t)pick(t->g, 0x700) * PAGE + (one_in(t->g, 3) ? pick(t->g, 64) : 0);
	return ioctl(t->w->vcpu[t->vcpu].fd, KVM_SET_MSRS, &m);
}

/* Bytes of guest memory: tables, descriptors, code, shared pages. */
long act_scribble(struct target *t)
{
	uint64_t x = interesting(t->g, t->w, 0);
	uint8_t *ram = pick(t->g, 4) ? t->w->shared : t->w->anon;

	poke(ram + pick(t->g, pick(t->g, 2) ? 0x10000 : WORLD_RAM - 8), &x, sizeof(x));
	return 0;
}

/* kvm_run, the PIO page, the coalesced ring. */
long act_scribble_run(struct target *t)
{
	struct kvm_run *run = t->w->vcpu[t->vcpu].run;
	uint64_t x = interesting(t->g, t->w, 0);
	size_t at = pick(t->g, 4) ? pick(t->g, 0x100) : pick(t->g, t->w->run_size - 8);

	/* Half of it is the registers that kvm_dirty_regs asks to be taken. */
	if (one_in(t->g, 6)) {
		at = offsetof(struct kvm_run, kvm_valid_regs);
		x = pick(t->g, 9);
	} else if (one_in(t->g, 6)) {
		at = offsetof(struct kvm_run, kvm_dirty_regs);
		x = pick(t->g, 9);
	}
	if (run)
		poke((uint8_t *)run + at, &x, 1 + pick(t->g, 8));
	return 0;
}

static void *ring_of(struct target *t)
{
	return mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, t->w->vcpu[t->vcpu].fd,
		    KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
}

long act_scribble_ring(struct target *t)
{
	uint8_t *ring = ring_of(t);
	uint64_t x = interesting(t->g, t->w, 0);
	uint32_t flags = 2;

	if (ring == MAP_FAILED)
		return -1;
	if (pick(t->g, 2))
		poke(ring + pick(t->g, 16 * PAGE / 16) * 16, &flags, sizeof(flags));
	else
		poke(ring + pick(t->g, 16 * PAGE / 8) * 8, &x, sizeof(x));
	return munmap(ring, 16 * PAGE);
}

static uint8_t *some_memory(struct target *t, size_t *size)
{
	size_t page = pick(t->g, WORLD_RAM / PAGE);

	*size = (1 + pick(t->g, 600)) * PAGE;
	if (*size > WORLD_RAM - page * PAGE)
		*size = WORLD_RAM - page * PAGE;
	return (pick(t->g, 2) ? t->w->shared : t->w->anon) + page * PAGE;
}

long act_madvise(struct target *t)
{
	static const int advice[] = { MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_PAGEOUT, MADV_COLD, MADV_MERGEABLE,
				      MADV_COLLAPSE, MADV_REMOVE, MADV_POPULATE_WRITE };
	size_t size;
	uint8_t *p = some_memory(t, &size);

	return madvise(p, size, advice[pick(t->g, 10)]);
}

long act_mprotect(struct target *t)
{
	static const int prot[] = { PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };
	size_t size;
	uint8_t *p = some_memory(t, &size);

	return mprotect(p, size, prot[pick(t->g, 4)]);
}

/* Gone, and most often back with something else in its place. */
long act_munmap(struct target *t)
{
	size_t size;
	uint8_t *p = some_memory(t, &size);

	munmap(p, size);
	switch (pick(t->g, 4)) {
	case 0:
		return 0;
	case 1:
		return (long)mmap(p, size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, t->w->memfd, pick(t->g, 64) * PAGE);
	case 2:		/* a vCPU's pages as memory */
		return (long)mmap(p, size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, t->w->vcpu[t->vcpu].fd, 0);
	default:
		return (long)mmap(p, size, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
}

long act_mremap(struct target *t)
{
	size_t size, other;
	uint8_t *p = some_memory(t, &size), *q = some_memory(t, &other);

	/* What lies behind guest memory is ours. */
	if (other > size && pick(t->g, 2))
		other = size;
	return (long)mremap(p, size, other, MREMAP_MAYMOVE | MREMAP_FIXED, q);
}

long act_fallocate(struct target *t)
{
	return fallocate(t->w->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pick(t->g, 2048) * PAGE, (1 + pick(t->g, 64)) * PAGE);
}

long act_truncate(struct target *t)
{
	if (ftruncate(t->w->memfd, pick(t->g, 2048) * PAGE))
		return -1;
	return ftruncate(t->w->memfd, WORLD_RAM);
}

/* All that is private is copied on write from now on; its ioctls are of another process. */
long act_fork(struct target *t)
{
	pid_t pid = fork();

	if (!pid) {
		uint64_t buf[512];

		ioctl(t->w->vm[t->vm].fd, KVM_GET_CLOCK, buf);
		ioctl(t->w->vcpu[t->vcpu].fd, KVM_GET_REGS, buf);
		ioctl(t->w->vcpu[t->vcpu].fd, KVM_RUN, 0);
		_exit(0);
	}
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	return pid;
}

long act_close_vcpu(struct target *t)
{
	if (t->vcpu >= t->w->nr_vcpus || one_in(t->g, 8))
		world_put(&t->w->vcpu[t->vcpu].fd, -1);
	return 0;
}

long act_close_vm(struct target *t)
{
	if (t->vm || one_in(t->g, 8))
		world_put(&t->w->vm[t->vm].fd, -1);
	return 0;
}

/* Another with vCPUs, memory and chips. */
long act_new_vm(struct target *t)
{
	int slot = 1 + pick(t->g, WORLD_VMS - 1), vcpu = t->w->nr_vcpus + pick(t->g, WORLD_VCPUS - t->w->nr_vcpus);
	int r = world_new_vm(t->w, slot, pick(t->g, NR_CHIPS));

	return r ?: world_new_vcpu(t->w, vcpu, slot, pick(t->g, 2));
}

long act_new_event(struct target *t)
{
	world_put(&t->w->event[pick(t->g, WORLD_EVENTS)], eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	return 0;
}

long act_event(struct target *t)
{
	uint64_t one = 1;
	int fd = t->w->event[pick(t->g, WORLD_EVENTS)];

	return pick(t->g, 4) ? write(fd, &one, sizeof(one)) : read(fd, &one, sizeof(one));
}

long act_read_stats(struct target *t)
{
	uint8_t buf[4096];
	int fd = t->w->stats[pick(t->g, WORLD_STATS)];

	if (pick(t->g, 2))
		return pread(fd, buf, 1 + pick(t->g, sizeof(buf)), interesting(t->g, t->w, 0));
	return read(fd, buf, 1 + pick(t->g, sizeof(buf)));
}

long act_map_vcpu(struct target *t)
{
	static const int prot[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_WRITE | PROT_EXEC };
	size_t size = (1 + pick(t->g, 70)) * PAGE;
	uint8_t *p = mmap(NULL, size, prot[pick(t->g, 3)], pick(t->g, 2) ? MAP_SHARED : MAP_PRIVATE,
			  t->w->vcpu[t->vcpu].fd, pick(t->g, 130) * PAGE);
	uint64_t x = 0;

	if (p == MAP_FAILED)
		return -1;
	poke(p + pick(t->g, size - 8), &x, 8);
	return munmap(p, size);
}

long act_yield(struct target *t)
{
	return sched_yield();
}

/* Whoever is in KVM_RUN of that vCPU leaves it. */
long act_immediate_exit(struct target *t)
{
	struct kvm_run *run = t->w->vcpu[t->vcpu].run;
	uint8_t one = pick(t->g, 2);

	if (run)
		poke(&run->immediate_exit, &one, 1);
	return 0;
}
