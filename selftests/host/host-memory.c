// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host does to guest memory all that it can, again and again, while guests
 * work on it: each sees its own memory and nothing else, and goes on.
 * (../mm/mm-host.c has these things one by one.)
 */
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#include "../lib/madvise.h"
#include "host.h"

#define CPUS	2
#define PART	(4 * MB)
#define STILL	30	/* seconds without a page: it stands */

static void start(struct worker *w, size_t part, uint64_t mask)
{
	work_create(w, CPUS, part, NULL, 0x1234567 + getpid(), mask);
	work_start(w);
	work_wait(w, 1, STILL);
}

/* More than fits: a cgroup's limit makes the host swap all the time. */
static void memcg_swap(void)
{
	struct worker w;
	unsigned long i;
	long out = 0;

	need_swap();
	cgroup_make("vmm-swap");
	cgroup_set("vmm-swap", "memory.max", "12M");
	cgroup_join("vmm-swap", getpid());
	start(&w, 2 * PART, WORK_ALL_DIFFER);
	for (i = 0; i < test_repeat(4); i++) {
		work_wait(&w, PART / PAGE_4K, STILL);
		out = read_number("pswpout ", "/proc/vmstat");
		/* And from outside: all of it at once. */
		MUST(madvise(w.mem, CPUS * w.part, MADV_PAGEOUT));
	}
	printf("# limit hit %ld times, %ld pages written to swap\n",
	       read_number("max ", CGROUPS "/vmm-swap/memory.events"), out);
	CHECK(read_number("max ", CGROUPS "/vmm-swap/memory.events") > 0);
	work_end(&w);
	work_destroy(&w);
	CHECK(write_text("0", CGROUPS "/cgroup.procs"));
	cgroup_remove("vmm-swap");
}

/* Huge pages made and broken up, by madvise(), khugepaged and the split that only debugfs asks for. */
static void thp(void)
{
	unsigned long i, n, made = 0, split = 0;
	char range[64];
	struct worker w;

	write_text("madvise", "/sys/kernel/mm/transparent_hugepage/enabled");
	write_text("1", "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs");
	write_text("4096", "/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan");
	start(&w, PART, WORK_ALL_DIFFER);
	if (madvise(w.mem, CPUS * PART, MADV_HUGEPAGE))
		SKIP("no transparent huge pages");
	snprintf(range, sizeof(range), "%d,%#lx,%#lx", getpid(), (long)w.mem, (long)w.mem + CPUS * PART);
	for (n = 0; n < test_repeat(10); n++) {
		for (i = 0; i < CPUS * PART; i += PAGE_2M)
			made += !madvise(w.mem + i, PAGE_2M, MADV_COLLAPSE);
		work_wait(&w, 64, STILL);
		split += write_text(range, "/sys/kernel/debug/split_huge_pages");
		work_wait(&w, 64, STILL);
	}
	printf("# collapsed %lu, split %lu times\n", made, split);
	CHECK(made && split);
	write_text("10000", "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs");
	work_end(&w);
}

/* Two VMs whose pages are all alike: merged, torn apart by writes, unmerged as a whole. */
static void ksm(void)
{
	unsigned long i, n, most = 0;
	struct worker w[2];

	if (!write_text("1", "/sys/kernel/mm/ksm/run"))
		SKIP("no KSM");
	write_text("5000", "/sys/kernel/mm/ksm/pages_to_scan");
	write_text("1", "/sys/kernel/mm/ksm/sleep_millisecs");
	for (i = 0; i < 2; i++) {
		work_create(&w[i], 1, MB, NULL, 0x5a5a5a, WORK_ALL_ALIKE);
		MUST(madvise(w[i].mem, MB, MADV_MERGEABLE));
	}
	for (n = 0; n < test_repeat(5); n++) {
		long scans = read_number("", "/sys/kernel/mm/ksm/full_scans");

		/* It takes a page that has not changed between two scans. */
		for (i = 0; i < 400 && read_number("", "/sys/kernel/mm/ksm/full_scans") < scans + 3; i++)
			work_pause_ms(10);
		if (read_number("", "/sys/kernel/mm/ksm/pages_sharing") > (long)most)
			most = read_number("", "/sys/kernel/mm/ksm/pages_sharing");
		for (i = 0; i < 2; i++) {
			w[i].stop = w[i].gone[0] = false;
			work_start(&w[i]);
			work_wait(&w[i], 300 + 111 * i, STILL);
		}
		if (n & 1)
			write_text("2", "/sys/kernel/mm/ksm/run");
		for (i = 0; i < 2; i++)
			work_end(&w[i]);
		write_text("1", "/sys/kernel/mm/ksm/run");
	}
	printf("# up to %lu pages shared\n", most);
	CHECK(most > 50);
	write_text("2", "/sys/kernel/mm/ksm/run");
	write_text("0", "/sys/kernel/mm/ksm/run");
	for (i = 0; i < 2; i++)
		work_destroy(&w[i]);
}

static unsigned long move_all(struct worker *w, int node)
{
	unsigned long n = CPUS * w->part / PAGE_4K, i, moved = 0;
	void *page[CPUS * PART / PAGE_4K];
	int to[CPUS * PART / PAGE_4K], status[CPUS * PART / PAGE_4K];

	for (i = 0; i < n; i++) {
		page[i] = w->mem + i * PAGE_4K;
		to[i] = node;
	}
	MUST(syscall(SYS_move_pages, 0, n, page, to, status, 2 /* MPOL_MF_MOVE */));
	for (i = 0; i < n; i++)
		moved += status[i] == node;
	return moved;
}

/* From node to node and back, by move_pages(), migrate_pages() and the kernel's own balancing. */
static void numa(void)
{
	unsigned long n, moved = 0, mask[2] = { 1, 2 };
	struct worker w;

	/* The kernel's own pretence: numa=fake=2. */
	if (access("/sys/devices/system/node/node1", F_OK))
		SKIP("one node only");
	write_text("1", "/proc/sys/kernel/numa_balancing");
	start(&w, PART, WORK_ALL_DIFFER);
	for (n = 0; n < test_repeat(6); n++) {
		moved += move_all(&w, n & 1);
		work_wait(&w, 64, STILL);
		MUST(syscall(SYS_migrate_pages, 0, 3, &mask[n & 1], &mask[~n & 1]));
		work_wait(&w, 64, STILL);
	}
	printf("# moved %lu pages\n", moved);
	CHECK(moved >= n * (CPUS * PART / PAGE_4K) / 2);
	work_end(&w);
}

/* Blocks of physical memory are asked for: what is in them moves, as far as it can, or all of it stays. */
static unsigned long offline_all(void)
{
	DIR *d = opendir("/sys/devices/system/memory");
	unsigned long gone = 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, "memory", 6))
			continue;
		if (!write_text("offline", "/sys/devices/system/memory/%s/state", e->d_name))
			continue;
		gone++;
		write_text("online_movable", "/sys/devices/system/memory/%s/state", e->d_name);
	}
	if (d)
		closedir(d);
	return gone;
}

/* Compaction, single pages taken out of service, whole blocks offline. */
static void migration(void)
{
	unsigned long n, soft = 0, blocks = 0;
	struct worker w;

	start(&w, PART, WORK_ALL_DIFFER);
	for (n = 0; n < test_repeat(6); n++) {
		write_text("1", "/proc/sys/vm/compact_memory");
		work_wait(&w, 64, STILL);
		soft += !madvise(w.mem + n % 100 * 7 * PAGE_4K, PAGE_4K, MADV_SOFT_OFFLINE);
		work_wait(&w, 64, STILL);
		/* Some blocks hold what cannot move, which takes its time to be found. */
		if (n < 2)
			blocks += offline_all();
		work_wait(&w, 64, STILL);
	}
	printf("# %lu pages and %lu blocks of memory taken away\n", soft, blocks);
	CHECK(soft);
	work_end(&w);
}

struct far {
	struct worker w;
	int fd;
	uint8_t *store;			/* what is not there */
	volatile bool away[CPUS * MB / PAGE_4K];
	unsigned long served, held;
};

static void *serve_far(void *arg)
{
	struct far *f = arg;
	struct uffd_msg msg;

	while (read(f->fd, &msg, sizeof(msg)) == sizeof(msg)) {
		uint64_t addr = msg.arg.pagefault.address & -PAGE_4K;
		uint64_t at = addr - (uintptr_t)f->w.mem;
		struct uffdio_copy copy = { .dst = addr, .src = (uintptr_t)f->store + at, .len = PAGE_4K };

		/* A write to a page on its way out: whoever takes it out wakes the writer. */
		if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			f->held++;
		} else if (!ioctl(f->fd, UFFDIO_COPY, &copy)) {
			f->away[at / PAGE_4K] = false;
			f->served++;
		}
	}
	return NULL;
}

static void open_uffd(struct far *f)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	struct uffdio_register reg = {
		.range = { (uintptr_t)f->w.mem, CPUS * f->w.part },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	f->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (f->fd < 0 || ioctl(f->fd, UFFDIO_API, &api) || ioctl(f->fd, UFFDIO_REGISTER, &reg))
		SKIP("no userfaultfd: %s", strerror(errno));
}

/*
 * Write-protected first: no write of the guest's gets lost between the copy and the end of the page. That takes a page
 * that is there: what is missing cannot be protected.
 */
static void put_far(struct far *f, uint64_t at)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)f->w.mem + at, PAGE_4K }, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (f->away[at / PAGE_4K])
		return;
	MUST(ioctl(f->fd, UFFDIO_WRITEPROTECT, &wp));
	memcpy(f->store + at, f->w.mem + at, PAGE_4K);
	f->away[at / PAGE_4K] = true;
	MUST(madvise(f->w.mem + at, PAGE_4K, MADV_DONTNEED));
	MUST(ioctl(f->fd, UFFDIO_WAKE, &wp.range));
}

/* Memory of a guest that lives elsewhere: user space takes pages out and serves them when they are missed. */
static void userfault(void)
{
	uint32_t seed = 7;
	pthread_t server;
	static struct far f;
	unsigned long n;

	work_create(&f.w, CPUS, MB, NULL, 0x777, WORK_ALL_DIFFER);
	madvise(f.w.mem, CPUS * MB, MADV_NOHUGEPAGE);
	f.store = guest_alloc(CPUS * MB);
	open_uffd(&f);
	CHECK_EQ(pthread_create(&server, NULL, serve_far, &f), 0);
	work_start(&f.w);
	for (n = 0; n < test_repeat(1500); n++) {
		put_far(&f, dice(&seed) % (CPUS * MB / PAGE_4K) * PAGE_4K);
		if (n % 50 == 0)
			work_wait(&f.w, 32, STILL);
	}
	work_end(&f.w);
	printf("# %lu pages served, %lu writes held\n", f.served, f.held);
	CHECK(f.served > n / 10);
}

/*
 * fork() while the guest runs: the child's copy is one moment of the guest's memory (its words have one edge
 * between this round and the last), the guest goes on in the parent, and the child can do nothing with the VM.
 */
static int look_at_copy(struct worker *w)
{
	int i;

	for (i = 0; i < CPUS; i++) {
		uint64_t start = i * w->part, at, round;
		bool edge = false;

		round = (*(uint64_t *)(w->mem + start) ^ work_word(w, WORK_GPA + start, 0)) / WORK_FACTOR;
		for (at = 0; at < w->part; at += PAGE_4K) {
			uint64_t val = *(uint64_t *)(w->mem + start + at);

			if (val == work_word(w, WORK_GPA + start + at, round))
				continue;
			/* The edge, behind which all are of the round before. */
			if (edge || !at || val != work_word(w, WORK_GPA + start + at, round - 1))
				return 10 + i;
			edge = true;
			round--;
		}
	}
	return 0;
}

static int be_the_child(struct worker *w)
{
	struct kvm_regs r;
	int bad = look_at_copy(w);

	if (bad)
		return bad;
	if (ioctl(w->g.cpu[0].fd, KVM_GET_REGS, &r) != -1 || errno != EIO)
		return 2;
	if (ioctl(w->g.cpu[0].fd, KVM_RUN, 0) != -1 || errno != EIO)
		return 3;
	if (ioctl(w->g.fd, KVM_CREATE_VCPU, CPUS) != -1 || errno != EIO)
		return 4;
	/* Its own memory, under what was the guest's. */
	memset(w->mem, 0xff, PAGE_4K);
	return 0;
}

static void forks(void)
{
	struct worker w;
	unsigned long n;
	int status;

	start(&w, PART, WORK_ALL_DIFFER);
	for (n = 0; n < test_repeat(20); n++) {
		pid_t pid = MUST(fork());

		if (!pid)
			_exit(be_the_child(&w));
		work_wait(&w, 200, STILL);
		MUST(waitpid(pid, &status, 0));
		CHECK(WIFEXITED(status), "status %#x", status);
		CHECK_EQ(WEXITSTATUS(status), 0);
	}
	work_end(&w);
}

static volatile uintptr_t poisoned_at;

static void on_poison(int sig, siginfo_t *info, void *context)
{
	if (info->si_code == BUS_MCEERR_AR)
		poisoned_at = (uintptr_t)info->si_addr;
}

/* Memory that the hardware has lost: the vCPU's thread gets SIGBUS with the address, and the guest goes on once there is a page. */
static void lost_memory(void)
{
	struct sigaction sa = { .sa_sigaction = on_poison, .sa_flags = SA_SIGINFO };
	struct worker w;
	uint64_t at;
	int i;

	sigaction(SIGBUS, &sa, NULL);
	work_create(&w, 1, MB, NULL, 0x999, WORK_ALL_DIFFER);
	madvise(w.mem, MB, MADV_NOHUGEPAGE);
	work_start(&w);
	work_wait(&w, 1, STILL);
	at = 100 * PAGE_4K;
	if (madvise(w.mem + at, PAGE_4K, MADV_HWPOISON))
		SKIP("no MADV_HWPOISON: %s", strerror(errno));
	for (i = 0; i < 500 && !poisoned_at; i++)
		work_pause_ms(10);
	CHECK_EQ(poisoned_at & -PAGE_4K, w.mem + at);
	/* What was there is lost to the guest as well: it finds zeroes, and says so. */
	MUST((long)mmap(w.mem + at, PAGE_4K, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	for (i = 0; i < 500 && !w.gone[0]; i++)
		work_pause_ms(10);
	CHECK(w.gone[0]);
	CHECK_EQ(w.error[0], 0);
	guest_expect(&w.g.cpu[0], KVM_EXIT_HLT);
	CHECK_EQ(guest_regs(&w.g.cpu[0]).rbx, WORK_GPA + at);
	CHECK_EQ(guest_regs(&w.g.cpu[0]).rbp, 0);
}

static const struct test tests[] = {
	{ "a cgroup's limit and swap", memcg_swap, 200 },
	{ "huge pages", thp, 200 },
	{ "same-page merging", ksm, 200 },
	{ "nodes", numa, 200 },
	{ "migration", migration, 200 },
	{ "userfaultfd", userfault, 200 },
	{ "fork", forks, 200 },
	{ "lost memory", lost_memory, 60 },
};

TEST_MAIN(tests)
