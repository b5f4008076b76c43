// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>

#include "../lib/guest.h"
#include "fuzz.h"

#define EXIT_PORT	0xf1

/* -------- being interrupted -------- */

static __thread timer_t run_timer;

static void on_signal(int signal)
{
}

/* Without SA_RESTART: the call that it meets ends. */
void run_timer_create(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };

	ev._sigev_un._tid = gettid();
	sigaction(SIGUSR1, &action, NULL);
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &run_timer));
}

/* Again and again: the first may come before KVM_RUN has begun. */
void run_timer_arm(unsigned int usec)
{
	struct itimerspec t = { .it_value.tv_nsec = usec * 1000l, .it_interval.tv_nsec = usec * 1000l };

	timer_settime(run_timer, 0, &t, NULL);
}

void poke(void *to, const void *from, size_t len)
{
	struct iovec local = { (void *)from, len }, remote = { to, len };

	process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
}

/* -------- making it -------- */

void world_put(_Atomic int *slot, int fd)
{
	int old = atomic_exchange(slot, fd);

	if (old >= 0)
		close(old);
}

static int slot_set(int vm, uint32_t id, uint32_t flags, uint64_t gpa, uint64_t size, void *mem)
{
	struct kvm_userspace_memory_region r = {
		.slot = id, .flags = flags, .guest_phys_addr = gpa, .memory_size = size,
		.userspace_addr = (uintptr_t)mem,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r) ? -errno : 0;
}

static int enable(int fd, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args[0] = arg };

	return ioctl(fd, KVM_ENABLE_CAP, &c) ? -errno : 0;
}

static int make_chips(int fd, enum irqchip chips)
{
	struct kvm_pit_config pit = { 0 };
	int r;

	switch (chips) {
	case CHIPS_NONE:
		return 0;
	case CHIPS_SPLIT:
		return enable(fd, KVM_CAP_SPLIT_IRQCHIP, 24);
	case CHIPS_RING:
		r = enable(fd, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 4096 * sizeof(struct kvm_dirty_gfn));
		if (r)
			return r;
		/* fallthrough */
	default:
		if (ioctl(fd, KVM_CREATE_IRQCHIP, 0) || ioctl(fd, KVM_CREATE_PIT2, &pit))
			return -errno;
		return 0;
	}
}

static int make_vm(struct world *w, int fd, enum irqchip chips)
{
	int r = make_chips(fd, chips);

	ioctl(fd, KVM_SET_TSS_ADDR, 0xfffbd000ul);
	r = r ?: slot_set(fd, 0, 0, 0, WORLD_RAM, w->shared);
	r = r ?: slot_set(fd, 1, 0, WORLD_RAM, WORLD_RAM, w->anon);
	return r ?: slot_set(fd, LOG_SLOT, KVM_MEM_LOG_DIRTY_PAGES, LOG_GPA, 1 << 20, w->anon);
}

int world_new_vm(struct world *w, int slot, enum irqchip chips)
{
	int fd = ioctl(w->dev, KVM_CREATE_VM, 0), r;

	if (fd < 0)
		return -errno;
	r = make_vm(w, fd, chips);
	w->vm[slot].chips = chips;
	world_put(&w->vm[slot].fd, fd);
	return r;
}

int world_new_vcpu(struct world *w, int slot, int vm, unsigned long id)
{
	int fd = ioctl(w->vm[vm].fd, KVM_CREATE_VCPU, id);
	struct kvm_run *run;

	if (fd < 0)
		return -errno;
	run = mmap(NULL, w->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED) {
		close(fd);
		return -errno;
	}
	w->vcpu[slot].vm = vm;
	/* The old one stays mapped: others may be looking at it. */
	atomic_store(&w->vcpu[slot].run, run);
	world_put(&w->vcpu[slot].fd, fd);
	return 0;
}

/* What does not change from one world to the next is learnt once. */
static struct world_mode *modes;
static uint32_t msrs[512];
static unsigned int nr_msrs;

static void learn_msrs(struct world *w)
{
	static const uint32_t more[] = {
		0x10, 0x1b, 0x3a, 0x8b, 0xce, 0xfe, 0x174, 0x179, 0x17a, 0x17b, 0x1a0, 0x1d9, 0x200, 0x20f, 0x250, 0x277, 0x280,
		0x2ff, 0x400, 0x401, 0x47f, 0x480, 0x48b, 0x491, 0x6e0, 0x800, 0x802, 0x808, 0x80b, 0x80f, 0x830, 0x832, 0x838,
		0x83f, 0x8ff, 0xda0, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06, 0x4b564d07,
		0xc0000080, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0xc0010015, 0xc001001f, 0xc0010114, 0xc0010117, 0xc0011029,
		0x40000000, 0x40000001, 0xd90, 0x48, 0x49, 0x11, 0x12, 0x9e, 0x34,
	};
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 256 * sizeof(uint32_t));

	list->nmsrs = 256;
	if (!ioctl(w->dev, KVM_GET_MSR_INDEX_LIST, list)) {
		memcpy(msrs, list->indices, list->nmsrs * sizeof(uint32_t));
		nr_msrs = list->nmsrs;
	}
	free(list);
	memcpy(msrs + nr_msrs, more, sizeof(more));
	nr_msrs += sizeof(more) / sizeof(more[0]);
}

/* What a vCPU and the memory below it look like in each mode, from a VM of the library's. */
static void learn_modes(void)
{
	struct guest g;
	int mode;

	guest_create(&g, PAGE_2M);
	guest_add_cpu(&g);
	modes = calloc(NR_MODES, sizeof(*modes));
	for (mode = 0; mode < NR_MODES; mode++) {
		guest_mode(&g.cpu[0], mode);
		MUST(ioctl(g.cpu[0].fd, KVM_GET_SREGS, &modes[mode].sregs));
		memcpy(modes[mode].image, g.mem, IMAGE_SIZE);
	}
	munmap(g.cpu[0].run, g.run_size);
	close(g.cpu[0].fd);
	close(g.fd);
	close(g.dev);
	munmap(g.mem, g.size);
}

static void make_memory(struct world *w)
{
	w->memfd = MUST(memfd_create("guest", MFD_CLOEXEC));
	MUST(ftruncate(w->memfd, WORLD_RAM));
	w->shared = mmap(NULL, WORLD_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, w->memfd, 0);
	CHECK(w->shared != MAP_FAILED);
	w->anon = guest_alloc(WORLD_RAM);
	w->bitmap = guest_alloc(PAGE_2M);
	memcpy(w->shared, w->mode[GUEST_LONG].image, IMAGE_SIZE);
}

static void give_cpuid(struct world *w, int slot)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	MUST(ioctl(w->dev, KVM_GET_SUPPORTED_CPUID, cpuid));
	MUST(ioctl(w->vcpu[slot].fd, KVM_SET_CPUID2, cpuid));
	free(cpuid);
}

static unsigned int usec_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Emulators differ by the thousand, and so does what is left of them on a busy machine. */
static unsigned int measure_run(struct world *w)
{
	unsigned int begun = usec_now(), usec;

	world_try_run(w, 0);
	usec = 2 * (usec_now() - begun);
	return usec < 500 ? 500 : usec > 20000 ? 20000 : usec;
}

void world_create(struct world *w, enum irqchip chips, int vcpus)
{
	int i;

	memset(w, 0, sizeof(*w));
	for (i = 0; i < WORLD_VMS; i++)
		w->vm[i].fd = -1;
	for (i = 0; i < WORLD_VCPUS; i++)
		w->vcpu[i].fd = -1;
	for (i = 0; i < WORLD_STATS; i++)
		w->stats[i] = -1;
	for (i = 0; i < WORLD_EVENTS; i++)
		w->event[i] = MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	w->dev = open(test_device, O_RDWR | O_CLOEXEC);
	if (w->dev < 0)
		FAIL("%s: %s", test_device, strerror(errno));
	w->run_size = MUST(ioctl(w->dev, KVM_GET_VCPU_MMAP_SIZE, 0));
	if (!modes) {
		learn_msrs(w);
		learn_modes();
	}
	w->mode = modes;
	w->nr_msrs = nr_msrs;
	memcpy(w->msr, msrs, sizeof(msrs));
	make_memory(w);
	CHECK_EQ(world_new_vm(w, 0, chips), 0);
	for (i = 0; i < vcpus; i++) {
		CHECK_EQ(world_new_vcpu(w, i, 0, i), 0);
		give_cpuid(w, i);
	}
	w->nr_vcpus = vcpus;
	w->run_usec = vcpus ? measure_run(w) : 1000;
}

void world_close(struct world *w)
{
	int i;

	for (i = 0; i < WORLD_STATS; i++)
		world_put(&w->stats[i], -1);
	for (i = 0; i < WORLD_VCPUS; i++)
		world_put(&w->vcpu[i].fd, -1);
	for (i = 0; i < WORLD_VMS; i++)
		world_put(&w->vm[i].fd, -1);
	for (i = 0; i < WORLD_EVENTS; i++)
		world_put(&w->event[i], -1);
	close(w->dev);
	close(w->memfd);
	munmap(w->shared, WORLD_RAM);
	munmap(w->anon, WORLD_RAM);
	munmap(w->bitmap, PAGE_2M);
}

/* -------- a guest -------- */

void world_set_mode(struct world *w, int slot, int mode, const void *code, size_t size)
{
	struct kvm_regs regs = { .rip = GUEST_CODE_GPA, .rsp = 0xa400, .rflags = 2 };
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs sregs = w->mode[mode].sregs, now;
	int fd = w->vcpu[slot].fd;

	poke(w->shared, w->mode[mode].image, IMAGE_SIZE);
	poke(w->shared + GUEST_CODE_GPA, code, size);
	if (!ioctl(fd, KVM_GET_SREGS, &now))
		sregs.apic_base = now.apic_base;
	ioctl(fd, KVM_SET_SREGS, &sregs);
	ioctl(fd, KVM_SET_REGS, &regs);
	ioctl(fd, KVM_SET_MP_STATE, &runnable);
}

/* An OUT that is under way would be taken for that of the next guest, at the same address. */
static void finish_exit(struct world *w, int slot)
{
	struct kvm_run *run = w->vcpu[slot].run;

	run->immediate_exit = 1;
	ioctl(w->vcpu[slot].fd, KVM_RUN, 0);
	run->immediate_exit = 0;
}

int world_try_run(struct world *w, int slot)
{
	static const uint8_t code[] = { 0xe6, EXIT_PORT };	/* out %al, $EXIT_PORT */
	struct kvm_run *run = w->vcpu[slot].run;
	int r, reason, tries = 0;

	finish_exit(w, slot);
	world_set_mode(w, slot, GUEST_LONG, code, sizeof(code));
	do {
		r = ioctl(w->vcpu[slot].fd, KVM_RUN, 0);
	} while (r < 0 && (errno == EINTR || errno == EAGAIN) && tries++ < 100);
	if (r < 0)
		return -errno;
	reason = run->exit_reason == KVM_EXIT_IO && run->io.port == EXIT_PORT ? 0 : (int)run->exit_reason + 1000;
	finish_exit(w, slot);
	return reason;
}
