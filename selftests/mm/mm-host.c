// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest RAM is ordinary memory of the process: whatever the host does to it
 * under a guest, the guest sees the process's memory and nothing else.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>

#include "../lib/madvise.h"
#include "code.h"

#define MB	(1ul << 20)
#define SIZE	(16 * MB)
#define GPA	(64 * MB)

struct host {
	struct guest g;
	struct guest_cpu *cpu;
	uint8_t *mem;
};

static void host_create(struct host *h, void *mem)
{
	mm_guest(&h->g, 32 * MB, 1);
	h->cpu = &h->g.cpu[0];
	h->mem = mem ? mem : guest_alloc(SIZE);
	guest_slot(&h->g, 1, 0, GPA, SIZE, h->mem);
}

static void fill(struct host *h, uint64_t key)
{
	CALL(h->cpu, fill, GPA, GPA + SIZE, PAGE_4K, key);
}

/* Pages that do not hold what fill() wrote. */
static uint64_t wrong(struct host *h, uint64_t key)
{
	return CALL(h->cpu, check, GPA, GPA + SIZE, PAGE_4K, key);
}

static uint64_t *word(struct host *h, unsigned long page)
{
	return (uint64_t *)(h->mem + page * PAGE_4K);
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* The number behind @key in the smaps entry of the area that starts at @p; kB. */
static long smaps(const void *p, const char *key)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool here = false;
	char line[256];
	long kb = -1;

	CHECK(f);
	while (kb < 0 && fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)p && (uintptr_t)p < end;
		else if (here && !strncmp(line, key, strlen(key)))
			kb = atol(line + strlen(key) + 1);
	}
	fclose(f);
	return kb;
}

static void dontneed(void)
{
	struct host h;

	host_create(&h, NULL);
	fill(&h, 1);
	CHECK_EQ(*word(&h, 5), (GPA + 5 * PAGE_4K) ^ 1);
	MUST(madvise(word(&h, 5), PAGE_4K, MADV_DONTNEED));
	CHECK_EQ(wrong(&h, 1), 1);
	CHECK_EQ(CALL(h.cpu, read, GPA + 5 * PAGE_4K), 0);
	MUST(madvise(h.mem, SIZE, MADV_DONTNEED));
	CHECK_EQ(CALL(h.cpu, zeros, GPA, GPA + SIZE, PAGE_4K), 0);
	fill(&h, 2);
	CHECK_EQ(*word(&h, 9), (GPA + 9 * PAGE_4K) ^ 2);
}

/* The host writes a page after dropping it; the guest must go on from there. */
static void dontneed_running(void)
{
	const uint64_t mark = 1ull << 40;
	struct host h;
	uint64_t last;
	int i;

	host_create(&h, NULL);
	mm_start_bump(h.cpu, GPA, GPA + SIZE / 4, PAGE_4K);
	for (i = 0; i < 40; i++) {
		MUST(madvise(h.mem, SIZE / 4, MADV_DONTNEED));
		usleep(5000);
	}
	MUST(madvise(word(&h, 7), PAGE_4K, MADV_DONTNEED));
	/* Again when the guest's increment came in between and won. */
	for (i = 0; i < 500 && *(volatile uint64_t *)word(&h, 7) <= mark + 1; i++) {
		if (*(volatile uint64_t *)word(&h, 7) < mark)
			*(volatile uint64_t *)word(&h, 7) = mark;
		usleep(10000);
	}
	mm_stop(h.cpu);
	last = *word(&h, 7);
	CHECK(last > mark + 1, "it is %#llx", (unsigned long long)last);
	CHECK_EQ(CALL(h.cpu, read, GPA + 7 * PAGE_4K), last);
}

static void unmap(void)
{
	struct host h;

	host_create(&h, NULL);
	fill(&h, 1);
	MUST(munmap(word(&h, 10), PAGE_4K));
	guest_call(h.cpu, ENTRY(read), GPA + 10 * PAGE_4K, 0, 0, 0);
	CHECK_EQ(guest_run(h.cpu), -EFAULT);
	CHECK_EQ(CALL(h.cpu, read, GPA + 11 * PAGE_4K), (GPA + 11 * PAGE_4K) ^ 1);
	MUST((long)mmap(word(&h, 10), PAGE_4K, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*word(&h, 10) = 42;
	CHECK_EQ(CALL(h.cpu, read, GPA + 10 * PAGE_4K), 42);
}

static void unmap_running(void)
{
	struct host h;
	void *r;

	host_create(&h, NULL);
	mm_start_bump(h.cpu, GPA, GPA + SIZE / 4, PAGE_4K);
	usleep(50000);
	MUST(munmap(word(&h, 10), PAGE_4K));
	CHECK_EQ(pthread_join(h.cpu->thread, &r), 0);
	CHECK_EQ((long)r, -EFAULT);
}

static void protect(void)
{
	struct host h;

	host_create(&h, NULL);
	fill(&h, 1);
	MUST(mprotect(h.mem, SIZE, PROT_READ));
	CHECK_EQ(wrong(&h, 1), 0);
	guest_call(h.cpu, ENTRY(write), GPA, 1, 0, 0);
	CHECK_EQ(guest_run(h.cpu), -EFAULT);
	MUST(mprotect(h.mem, SIZE, PROT_READ | PROT_WRITE));
	CHECK_EQ(guest_run(h.cpu), 0);
	guest_expect(h.cpu, KVM_EXIT_HLT);
	CHECK_EQ(*word(&h, 0), 1);
}

/* Copy on write in both directions: the child keeps what was there at fork. */
static void forked(void)
{
	struct host h;
	int pipefd[2], status;
	unsigned long i;
	char c = 0;
	pid_t pid;

	host_create(&h, NULL);
	fill(&h, 1);
	MUST(pipe(pipefd));
	pid = MUST(fork());
	if (!pid) {
		if (read(pipefd[0], &c, 1) != 1)
			_exit(2);
		for (i = 0; i < SIZE / PAGE_4K; i++) {
			if (*word(&h, i) != ((GPA + i * PAGE_4K) ^ 1))
				_exit(1);
		}
		/* Not the process that made the VM. */
		_exit(ioctl(h.cpu->fd, KVM_RUN, 0) != -1 || errno != EIO ? 3 : 0);
	}
	fill(&h, 2);
	MUST(write(pipefd[1], &c, 1));
	MUST(waitpid(pid, &status, 0));
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
	CHECK_EQ(wrong(&h, 2), 0);
	CHECK_EQ(*word(&h, 3), (GPA + 3 * PAGE_4K) ^ 2);
}

/* The VM outlives the process that made it; nothing of its memory may be used. */
static void orphan(void)
{
	struct host h;
	int sync[2], status;
	char c = 0;
	pid_t pid;

	MUST(pipe(sync));
	host_create(&h, NULL);
	fill(&h, 1);
	pid = MUST(fork());
	if (!pid) {
		/* Holds the VM's fds after the parent of this test has gone. */
		close(sync[1]);
		if (read(sync[0], &c, 1) < 0)
			_exit(1);
		_exit(ioctl(h.g.fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == -1 &&
		      errno == EIO ? 0 : 2);
	}
	munmap(h.mem, SIZE);
	close(h.cpu->fd);
	close(h.g.fd);
	munmap(h.cpu->run, h.g.run_size);
	close(sync[1]);
	MUST(waitpid(pid, &status, 0));
	CHECK_EQ(status, 0);
}

/* A swap device in memory: zram, else a loop device over a file in /dev/shm. */
static bool swap_on(void)
{
	char dev[32];
	int ctl, n, file, loop;

	if (!system("modprobe -q zram && echo 128M >/sys/block/zram0/disksize && mkswap /dev/zram0 >/dev/null 2>&1") &&
	    !swapon("/dev/zram0", 0))
		return true;
	if (system("modprobe -q loop"))
		return false;
	file = open("/dev/shm/swap", O_RDWR | O_CREAT | O_TRUNC, 0600);
	ctl = open("/dev/loop-control", O_RDWR);
	if (file < 0 || ctl < 0 || ftruncate(file, 128 * MB))
		return false;
	n = ioctl(ctl, LOOP_CTL_GET_FREE);
	snprintf(dev, sizeof(dev), "/dev/loop%d", n);
	loop = open(dev, O_RDWR);
	if (loop < 0 || ioctl(loop, LOOP_SET_FD, file))
		return false;
	if (system("mkswap /dev/shm/swap >/dev/null 2>&1"))
		return false;
	return !swapon(dev, 0);
}

static void need_swap(void)
{
	FILE *f = fopen("/proc/swaps", "r");
	char line[256];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n++;
	if (f)
		fclose(f);
	if (n < 2 && !swap_on())
		SKIP("no swap, and none can be made");
}

static void swapped(void)
{
	struct host h;
	long out;
	int i;

	need_swap();
	host_create(&h, NULL);
	for (i = 1; i < 4; i++) {
		fill(&h, i);
		MUST(madvise(h.mem, SIZE, MADV_PAGEOUT));
		out = smaps(h.mem, "Swap:");
		printf("# %ld of %lu kB in swap\n", out, SIZE / 1024);
		if (i == 1 && out <= 0)
			SKIP("nothing goes to swap here");
		CHECK_EQ(wrong(&h, i), 0);
	}
}

static void swap_running(void)
{
	struct host h;
	uint64_t rounds, first;
	unsigned long i;

	need_swap();
	host_create(&h, NULL);
	mm_start_bump(h.cpu, GPA, GPA + SIZE, PAGE_4K);
	for (i = 0; i < 20; i++) {
		MUST(madvise(h.mem, SIZE, MADV_PAGEOUT));
		usleep(20000);
	}
	rounds = mm_stop(h.cpu);
	CHECK(rounds > 0);
	first = *word(&h, 0);
	CHECK_EQ(first, rounds);
	for (i = 0; i < SIZE / PAGE_4K; i++)
		CHECK_EQ(*word(&h, i), rounds);
}

static void thp(void)
{
	struct host h;
	unsigned long i;
	long kb;

	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	host_create(&h, NULL);
	if (madvise(h.mem, SIZE, MADV_HUGEPAGE))
		SKIP("no transparent huge pages");
	fill(&h, 1);
	kb = smaps(h.mem, "AnonHugePages:");
	printf("# %ld kB huge\n", kb);
	/* Split by dropping pages in the middle: the page is mapped by 4K entries now. */
	for (i = 7; i < SIZE / PAGE_4K; i += 512)
		MUST(madvise(word(&h, i), PAGE_4K, MADV_DONTNEED));
	CHECK_EQ(smaps(h.mem, "AnonHugePages:"), 0);
	CHECK_EQ(wrong(&h, 1), SIZE / PAGE_2M);
	CHECK_EQ(CALL(h.cpu, read, GPA + 7 * PAGE_4K), 0);
	*word(&h, 7) = 99;
	CHECK_EQ(CALL(h.cpu, read, GPA + 7 * PAGE_4K), 99);
	fill(&h, 2);
	if (madvise(h.mem, SIZE, MADV_COLLAPSE))
		SKIP("no MADV_COLLAPSE: %s", strerror(errno));
	CHECK_EQ(smaps(h.mem, "AnonHugePages:"), SIZE / 1024);
	CHECK_EQ(wrong(&h, 2), 0);
	fill(&h, 3);
	for (i = 0; i < SIZE / PAGE_4K; i++)
		CHECK_EQ(*word(&h, i), (GPA + i * PAGE_4K) ^ 3);
}

/* Huge in the host means huge in the guest, but for what a dirty log splits. */
static void thp_levels(void)
{
	struct host h;
	uint64_t base, n = SIZE / PAGE_2M;

	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	host_create(&h, NULL);
	if (madvise(h.mem, SIZE, MADV_HUGEPAGE))
		SKIP("no transparent huge pages");
	memset(h.mem, 1, SIZE);
	if (smaps(h.mem, "AnonHugePages:") != SIZE / 1024)
		SKIP("no huge pages to be had");
	base = guest_vm_stat(&h.g, "pages_2m");
	fill(&h, 1);
	CHECK_EQ(guest_vm_stat(&h.g, "pages_2m") - base, n);
	guest_slot(&h.g, 1, KVM_MEM_LOG_DIRTY_PAGES, GPA, SIZE, h.mem);
	fill(&h, 2);
	CHECK_EQ(guest_vm_stat(&h.g, "pages_2m") - base, 0);
	CHECK(guest_vm_stat(&h.g, "pages_4k") >= SIZE / PAGE_4K);
	guest_slot(&h.g, 1, 0, GPA, SIZE, h.mem);
	fill(&h, 3);
	CHECK_EQ(guest_vm_stat(&h.g, "pages_2m") - base, n);
	/* Mapped by 4K entries of the host, though it is one huge page still. */
	MUST(mprotect(h.mem + PAGE_4K, PAGE_4K, PROT_READ | PROT_WRITE | PROT_EXEC));
	fill(&h, 4);
	CHECK_EQ(guest_vm_stat(&h.g, "pages_2m") - base, n - 1);
	CHECK_EQ(wrong(&h, 4), 0);
	guest_slot(&h.g, 1, 0, 0, 0, NULL);
	CHECK_EQ(guest_vm_stat(&h.g, "pages_2m"), base);
	CHECK(guest_vm_stat(&h.g, "pages_4k") < 512);
}

static void thp_running(void)
{
	struct host h;
	uint64_t rounds;
	unsigned long i, n, collapsed = 0;

	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	host_create(&h, NULL);
	if (madvise(h.mem, SIZE, MADV_HUGEPAGE))
		SKIP("no transparent huge pages");
	mm_start_bump(h.cpu, GPA, GPA + SIZE / 2, PAGE_4K);
	for (n = 0; n < 10; n++) {
		/* mprotect of one page splits the mapping, not the page. */
		for (i = 0; i < SIZE / 2; i += PAGE_2M) {
			MUST(mprotect(h.mem + i + 0x3000, PAGE_4K,
				      PROT_READ | PROT_WRITE | PROT_EXEC));
			MUST(mprotect(h.mem + i + 0x3000, PAGE_4K, PROT_READ | PROT_WRITE));
			usleep(2000);
		}
		for (i = 0; i < SIZE / 2; i += PAGE_2M)
			collapsed += !madvise(h.mem + i, PAGE_2M, MADV_COLLAPSE);
	}
	printf("# collapsed %lu times of %lu\n", collapsed, n * (SIZE / 2 / PAGE_2M));
	rounds = mm_stop(h.cpu);
	CHECK(rounds > 0);
	for (i = 0; i < SIZE / 2 / PAGE_4K; i++)
		CHECK_EQ(*word(&h, i), rounds);
}

static void ksm(void)
{
	struct host h;
	unsigned long i;
	long merged = 0;
	int n;

	host_create(&h, NULL);
	for (i = 0; i < SIZE / PAGE_4K; i++)
		*word(&h, i) = 0x5a5a;
	if (!write_file("/sys/kernel/mm/ksm/run", "1") ||
	    madvise(h.mem, SIZE, MADV_MERGEABLE))
		SKIP("no KSM");
	write_file("/sys/kernel/mm/ksm/pages_to_scan", "4000");
	write_file("/sys/kernel/mm/ksm/sleep_millisecs", "5");
	CHECK_EQ(CALL(h.cpu, read, GPA), 0x5a5a);
	for (n = 0; n < 300 && merged < 100; n++) {
		FILE *f = fopen("/sys/kernel/mm/ksm/pages_sharing", "r");

		if (!f || fscanf(f, "%ld", &merged) != 1)
			merged = -1;
		if (f)
			fclose(f);
		usleep(50000);
	}
	printf("# %ld pages shared\n", merged);
	CHECK_EQ(CALL(h.cpu, read, GPA + 3 * PAGE_4K), 0x5a5a);
	CALL(h.cpu, fill, GPA, GPA + SIZE, 2 * PAGE_4K, 1);
	for (i = 0; i < SIZE / PAGE_4K; i++)
		CHECK_EQ(*word(&h, i), i % 2 ? 0x5a5a : (GPA + i * PAGE_4K) ^ 1);
	write_file("/sys/kernel/mm/ksm/run", "2");
	CHECK_EQ(CALL(h.cpu, read, GPA + 3 * PAGE_4K), 0x5a5a);
	if (merged < 100)
		SKIP("KSM merged nothing in time");
}

struct uffd {
	int fd;
	unsigned long served;
	uint8_t *mem;
};

static void *uffd_serve(void *arg)
{
	struct uffd *u = arg;
	static uint64_t page[512] __attribute__((aligned(4096)));
	struct uffd_msg msg;

	while (read(u->fd, &msg, sizeof(msg)) == sizeof(msg)) {
		uint64_t addr = msg.arg.pagefault.address & -PAGE_4K;
		struct uffdio_copy copy = { .dst = addr, .src = (uintptr_t)page, .len = PAGE_4K };

		usleep(1000);
		page[0] = (GPA + addr - (uintptr_t)u->mem) ^ 0xfeed;
		/* Counted before the guest goes on, which is before the call returns. */
		__atomic_add_fetch(&u->served, 1, __ATOMIC_SEQ_CST);
		if (ioctl(u->fd, UFFDIO_COPY, &copy))
			__atomic_sub_fetch(&u->served, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static void uffd_open(struct uffd *u, uint8_t *mem, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)mem, size }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	u->mem = mem;
	u->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (u->fd < 0 || ioctl(u->fd, UFFDIO_API, &api) || ioctl(u->fd, UFFDIO_REGISTER, &reg))
		SKIP("no userfaultfd: %s", strerror(errno));
}

static void uffd_missing(void)
{
	struct uffd u = { 0 };
	struct host h;
	pthread_t thread;

	host_create(&h, NULL);
	uffd_open(&u, h.mem, SIZE);
	CHECK_EQ(pthread_create(&thread, NULL, uffd_serve, &u), 0);
	CHECK_EQ(CALL(h.cpu, check, GPA, GPA + MB, PAGE_4K, 0xfeed), 0);
	CHECK_EQ(u.served, MB / PAGE_4K);
	CALL(h.cpu, fill, GPA + MB, GPA + 2 * MB, PAGE_4K, 1);
	CHECK_EQ(u.served, 2 * MB / PAGE_4K);
	CHECK_EQ(*word(&h, 256), (GPA + MB) ^ 1);
}

static void on_signal(int sig)
{
}

/* A signal ends KVM_RUN though nobody serves the fault. */
static void uffd_signal(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct uffd u = { 0 };
	struct host h;

	host_create(&h, NULL);
	uffd_open(&u, h.mem, SIZE);
	sigaction(SIGALRM, &sa, NULL);
	guest_call(h.cpu, ENTRY(read), GPA, 0, 0, 0);
	alarm(1);
	CHECK_EQ(ioctl(h.cpu->fd, KVM_RUN, 0), -1);
	CHECK_EQ(errno, EINTR);
	guest_expect(h.cpu, KVM_EXIT_INTR);
}

static void *delete_slot(void *arg)
{
	struct host *h = arg;

	guest_slot(&h->g, 1, 0, 0, 0, NULL);
	return NULL;
}

/*
 * A slot that is being deleted waits for a fault that nobody serves. Meanwhile
 * its memory goes, and with it what a running vCPU has of it.
 */
static void going_slot(void)
{
	struct uffd u = { 0 };
	uint8_t *stuck = guest_alloc(PAGE_2M);
	struct guest_cpu *spin, *wait;
	struct host h;
	pthread_t deleter;
	int i;

	host_create(&h, NULL);
	spin = h.cpu;
	wait = guest_add_cpu(&h.g);
	guest_mode(wait, GUEST_LONG);
	guest_slot(&h.g, 2, 0, GPA + 2 * SIZE, PAGE_2M, stuck);
	uffd_open(&u, stuck, PAGE_2M);
	memset(h.mem, 0, SIZE);
	mm_start_bump(spin, GPA, GPA + PAGE_4K, PAGE_4K);
	guest_call(wait, ENTRY(read), GPA + 2 * SIZE, 0, 0, 0);
	CHECK_EQ(pthread_create(&wait->thread, NULL, mm_thread, wait), 0);
	usleep(300000);
	CHECK_EQ(pthread_create(&deleter, NULL, delete_slot, &h), 0);
	usleep(300000);
	CHECK(*(volatile uint64_t *)h.mem > 0);
	MUST(madvise(h.mem, SIZE, MADV_DONTNEED));
	/* Whatever page is there now, the guest writes to it or stands still. */
	for (i = 0; i < 20 && spin->run->exit_reason != KVM_EXIT_MMIO; i++) {
		uint64_t before = *(volatile uint64_t *)h.mem;

		usleep(50000);
		if (*(volatile uint64_t *)h.mem != before)
			break;
	}
	CHECK(i < 20, "the guest still has the page that went");
	/* Unserved faults end with the process. */
}

static void shared_file(void)
{
	struct host h;
	uint8_t *mem = guest_alloc(SIZE);
	int fd = MUST(memfd_create("ram", MFD_CLOEXEC));

	MUST(ftruncate(fd, SIZE));
	MUST((long)mmap(mem, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
	host_create(&h, mem);
	fill(&h, 1);
	MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MB, MB));
	CHECK_EQ(wrong(&h, 1), 256);
	CHECK_EQ(CALL(h.cpu, zeros, GPA + MB, GPA + 2 * MB, PAGE_4K), 0);
	*word(&h, 300) = 5;
	CHECK_EQ(CALL(h.cpu, read, GPA + 300 * PAGE_4K), 5);
	/* Beyond the end of the file there is nothing to map. */
	MUST(ftruncate(fd, SIZE / 2));
	guest_call(h.cpu, ENTRY(read), GPA + SIZE / 2, 0, 0, 0);
	CHECK_EQ(guest_run(h.cpu), -EFAULT);
}

static void hugetlb(void)
{
	struct host h;
	uint8_t *mem = guest_alloc(SIZE);

	write_file("/proc/sys/vm/nr_hugepages", "8");
	if (mmap(mem, SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB, -1, 0) == MAP_FAILED)
		SKIP("no huge pages to be had");
	host_create(&h, mem);
	fill(&h, 1);
	CHECK_EQ(wrong(&h, 1), 0);
	CHECK_EQ(*word(&h, 1000), (GPA + 1000 * PAGE_4K) ^ 1);
	MUST(madvise(mem + PAGE_2M, PAGE_2M, MADV_DONTNEED));
	CHECK_EQ(wrong(&h, 1), 512);
	munmap(mem, SIZE);
	write_file("/proc/sys/vm/nr_hugepages", "0");
}

/* Memory without struct page: the BIOS in ROM, through /dev/mem. */
static void pfnmap(void)
{
	struct host h;
	uint64_t *rom;
	int fd = open("/dev/mem", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		SKIP("/dev/mem: %s", strerror(errno));
	rom = mmap(NULL, 0x10000, PROT_READ, MAP_SHARED, fd, 0xf0000);
	if (rom == MAP_FAILED)
		SKIP("mmap of /dev/mem: %s", strerror(errno));
	host_create(&h, NULL);
	guest_slot(&h.g, 2, KVM_MEM_READONLY, 128 * MB, 0x10000, rom);
	CHECK_EQ(CALL(h.cpu, read, 128 * MB), rom[0]);
	CHECK_EQ(CALL(h.cpu, read, 128 * MB + 0xfff0), rom[0xfff0 / 8]);
	munmap(rom, 0x10000);
	guest_call(h.cpu, ENTRY(read), 128 * MB, 0, 0, 0);
	CHECK_EQ(guest_run(h.cpu), -EFAULT);
}

/* What the host writes through its own mapping, and pages only read so far. */
static void zero_page(void)
{
	struct host h;

	host_create(&h, NULL);
	madvise(h.mem, SIZE, MADV_NOHUGEPAGE);
	CHECK_EQ(CALL(h.cpu, zeros, GPA, GPA + SIZE, PAGE_4K), 0);
	*word(&h, 4) = 44;
	CHECK_EQ(CALL(h.cpu, read, GPA + 4 * PAGE_4K), 44);
	CALL(h.cpu, write, GPA + 5 * PAGE_4K, 55);
	CHECK_EQ(*word(&h, 5), 55);
	CHECK_EQ(*word(&h, 6), 0);
	CHECK_EQ(CALL(h.cpu, read, GPA + 6 * PAGE_4K), 0);
}

/* Compaction and page idle tracking work on pages the guest uses. */
static void compaction(void)
{
	struct host h;
	uint64_t rounds;
	unsigned long i;

	host_create(&h, NULL);
	mm_start_bump(h.cpu, GPA, GPA + SIZE, PAGE_4K);
	for (i = 0; i < 10; i++) {
		if (!write_file("/proc/sys/vm/compact_memory", "1")) {
			mm_stop(h.cpu);
			SKIP("no compaction");
		}
		madvise(h.mem, SIZE, MADV_COLD);
		usleep(10000);
	}
	rounds = mm_stop(h.cpu);
	for (i = 0; i < SIZE / PAGE_4K; i++)
		CHECK_EQ(*word(&h, i), rounds);
}

static const struct test tests[] = {
	{ "zero_page", zero_page },
	{ "dontneed", dontneed },
	{ "dontneed_while_running", dontneed_running },
	{ "munmap", unmap },
	{ "munmap_while_running", unmap_running },
	{ "mprotect", protect },
	{ "fork", forked },
	{ "orphaned_vm", orphan },
	{ "swap", swapped, 180 },
	{ "swap_while_running", swap_running, 180 },
	{ "thp", thp },
	{ "thp_levels", thp_levels },
	{ "thp_while_running", thp_running, 180 },
	{ "ksm", ksm, 120 },
	{ "userfaultfd", uffd_missing },
	{ "userfaultfd_signal", uffd_signal },
	{ "slot_on_its_way_out", going_slot },
	{ "shared_file", shared_file },
	{ "hugetlb", hugetlb },
	{ "pfnmap", pfnmap },
	{ "compaction", compaction },
};

TEST_MAIN(tests)
