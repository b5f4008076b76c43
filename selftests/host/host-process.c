// SPDX-License-Identifier: GPL-2.0-only
/*
 * What befalls the process of a guest: it is killed at any moment, stopped,
 * frozen, given real-time priority, or runs into its cgroup's limit; and the
 * module under it, which somebody wants to unload. Other guests go on, nothing
 * of what was is left in the kernel.
 */
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "host.h"

#define PART	MB
#define STILL	30

/* A guest in a process of its own; its control page is shared with this one. */
struct ward {
	pid_t pid;
	int fd;
	uint64_t *control;
	unsigned int cpus;
};

#define WARD_QUIT	256	/* word of the control page behind all vCPUs' */

static void be_the_ward(struct ward *d, size_t part, int policy)
{
	struct sched_param prio = { .sched_priority = 10 };
	struct worker w;
	unsigned int i;

	work_create(&w, d->cpus, part, NULL, 0x4242 + getpid(), WORK_ALL_DIFFER);
	MUST((long)mmap(w.g.mem + WORK_CONTROL, PAGE_4K, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, d->fd, 0));
	work_start(&w);
	for (i = 0; policy && i < d->cpus; i++)
		CHECK_EQ(pthread_setschedparam(w.g.cpu[i].thread, policy, &prio), 0);
	while (!*(volatile uint64_t *)&d->control[WARD_QUIT] && !w.gone[0])
		work_pause_ms(5);
	work_end(&w);
	fflush(stdout);
	_exit(TEST_OK);
}

static void ward_start(struct ward *d, unsigned int cpus, size_t part, int policy)
{
	d->cpus = cpus;
	d->fd = MUST(memfd_create("control", MFD_CLOEXEC));
	MUST(ftruncate(d->fd, PAGE_4K));
	d->control = mmap(NULL, PAGE_4K, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
	CHECK(d->control != MAP_FAILED);
	fflush(stdout);
	d->pid = MUST(fork());
	if (!d->pid)
		be_the_ward(d, part, policy);
}

static uint64_t ward_progress(const struct ward *d)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < d->cpus; i++)
		sum += *(volatile uint64_t *)&d->control[i * 8];
	return sum;
}

static void ward_wait(const struct ward *d, uint64_t pages)
{
	uint64_t goal = ward_progress(d) + pages;
	int i;

	for (i = 0; ward_progress(d) < goal; i++) {
		CHECK(i < STILL * 100, "the guest stands still");
		work_pause_ms(10);
	}
}

static void ward_stands(const struct ward *d)
{
	uint64_t now = ward_progress(d);

	work_pause_ms(100);
	CHECK_EQ(ward_progress(d), now);
}

/* It looks at all its guest has done, and finds it well. */
static void ward_end(struct ward *d)
{
	int status;

	d->control[WARD_QUIT] = 1;
	MUST(waitpid(d->pid, &status, 0));
	CHECK(WIFEXITED(status), "status %#x", status);
	CHECK_EQ(WEXITSTATUS(status), TEST_OK);
	munmap(d->control, PAGE_4K);
	close(d->fd);
}

static void stopped(void)
{
	unsigned long n;
	struct ward d;

	ward_start(&d, 2, PART, 0);
	ward_wait(&d, 1);
	for (n = 0; n < test_repeat(6); n++) {
		kill(d.pid, SIGSTOP);
		work_pause_ms(50);
		ward_stands(&d);
		kill(d.pid, SIGCONT);
		ward_wait(&d, 100);
	}
	ward_end(&d);
}

static void frozen(void)
{
	unsigned long n;
	struct ward d;
	int i;

	cgroup_make("vmm-ice");
	ward_start(&d, 2, PART, 0);
	cgroup_join("vmm-ice", d.pid);
	ward_wait(&d, 1);
	for (n = 0; n < test_repeat(6); n++) {
		cgroup_set("vmm-ice", "cgroup.freeze", "1");
		for (i = 0; i < 500 && read_number("frozen ", CGROUPS "/vmm-ice/cgroup.events") != 1; i++)
			work_pause_ms(10);
		CHECK(i < 500, "it does not freeze");
		ward_stands(&d);
		cgroup_set("vmm-ice", "cgroup.freeze", "0");
		ward_wait(&d, 100);
	}
	ward_end(&d);
	cgroup_remove("vmm-ice");
}

/* Killed while it is frozen, too. */
static void killed_frozen(void)
{
	struct ward d;
	int status, i;

	cgroup_make("vmm-ice");
	ward_start(&d, 2, PART, 0);
	cgroup_join("vmm-ice", d.pid);
	ward_wait(&d, 1);
	cgroup_set("vmm-ice", "cgroup.freeze", "1");
	for (i = 0; i < 500 && read_number("frozen ", CGROUPS "/vmm-ice/cgroup.events") != 1; i++)
		work_pause_ms(10);
	cgroup_set("vmm-ice", "cgroup.kill", "1");
	MUST(waitpid(d.pid, &status, 0));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
	cgroup_remove("vmm-ice");
}

/* vCPUs that nobody may preempt: this process only lives on what the kernel keeps from them. */
static void real_time(void)
{
	static const int policies[] = { SCHED_FIFO, SCHED_RR };
	unsigned long n;
	struct ward d;

	CHECK(read_number("", "/proc/sys/kernel/sched_rt_runtime_us") > 0);
	for (n = 0; n < test_repeat(2); n++) {
		ward_start(&d, 1 + n % 2, PART, policies[n % 2]);
		ward_wait(&d, 1);
		work_pause_ms(1500);
		ward_wait(&d, 1000);
		ward_end(&d);
	}
}

/* A guest too large for its cgroup: its process ends, and no other. */
static void memcg_killed(void)
{
	long kills = 0;
	struct ward d, other;
	unsigned long n;
	int status;

	ward_start(&other, 1, PART, 0);
	ward_wait(&other, 1);
	for (n = 0; n < test_repeat(3); n++) {
		cgroup_make("vmm-small");
		cgroup_set("vmm-small", "memory.max", "16M");
		write_text("0", CGROUPS "/vmm-small/memory.swap.max");
		cgroup_join("vmm-small", getpid());
		ward_start(&d, 2, 32 * MB, 0);
		CHECK(write_text("0", CGROUPS "/cgroup.procs"));
		MUST(waitpid(d.pid, &status, 0));
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status %#x", status);
		kills += read_number("oom_kill ", CGROUPS "/vmm-small/memory.events");
		cgroup_remove("vmm-small");
		ward_wait(&other, 200);
	}
	CHECK_EQ(kills, n);
	ward_end(&other);
}

/* The kernel's own memory for VMs counts, too: creation fails or the process is killed, whatever comes first. */
static void memcg_kernel(void)
{
	struct ward other;
	unsigned long n;
	int status, i;

	ward_start(&other, 1, PART, 0);
	ward_wait(&other, 1);
	for (n = 0; n < test_repeat(3); n++) {
		pid_t pid;

		cgroup_make("vmm-small");
		cgroup_set("vmm-small", "memory.max", "8M");
		write_text("0", CGROUPS "/vmm-small/memory.swap.max");
		fflush(stdout);
		pid = MUST(fork());
		if (!pid) {
			cgroup_join("vmm-small", getpid());
			for (i = 0; i < 300; i++) {
				struct guest g;

				guest_open(&g);
				while (g.ncpus < GUEST_MAX_CPUS)
					ioctl(g.fd, KVM_CREATE_VCPU, g.ncpus++);
			}
			_exit(TEST_OK);
		}
		MUST(waitpid(pid, &status, 0));
		CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != TEST_OK, "2400 vCPUs in 8 MB");
		cgroup_remove("vmm-small");
		ward_wait(&other, 200);
	}
	ward_end(&other);
}

/* ---- killed anywhere --------------------------------------------------------- */

/* KiB of kernel memory that a leak would show in, after all that can be given back has been. */
static long kernel_memory(void)
{
	static const char * const parts[] = {
		"SUnreclaim:", "KernelStack:", "PageTables:", "SecPageTables:", "Percpu:", "VmallocUsed:",
	};
	long sum = 0, kb;
	unsigned int i;

	sync();
	write_text("3", "/proc/sys/vm/drop_caches");
	work_pause_ms(1500);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		kb = read_number(parts[i], "/proc/meminfo");
		sum += kb > 0 ? kb : 0;
	}
	return sum;
}

static const char *module_name(void)
{
	static const char * const names[] = { "vmm", "kvm_amd", "kvm_intel" };
	char path[64];
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/sys/module/%s/refcnt", names[i]);
		if (!access(path, F_OK) && !!i == device_is_kvm())
			break;
	}
	return names[i];
}

static long module_users(void)
{
	return read_number("", "/sys/module/%s/refcnt", module_name());
}

enum {			/* of what a victim has */
	WITH_CHIPS = 1, WITH_LOG = 2, WITH_RING = 4, WITH_EVENTS = 8, WITH_FAULTS = 16, WITH_SWAP = 32, WITH_STATS = 64,
	WITH_FORK = 128, WITH_ALL = 255,
};

static void victim_events(struct guest *g)
{
	struct kvm_irqfd irq = { .gsi = 5 };
	struct kvm_ioeventfd io = { .addr = 0xe0000000, .len = 4 };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0xe1000000, .size = 4096 };

	irq.fd = io.fd = eventfd(0, EFD_CLOEXEC);
	ioctl(g->fd, KVM_IRQFD, &irq);
	ioctl(g->fd, KVM_IOEVENTFD, &io);
	ioctl(g->fd, KVM_REGISTER_COALESCED_MMIO, &zone);
}

/* Nobody serves these: a vCPU hangs in the fault until the end. */
static void victim_faults(struct worker *w)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)w->mem + PART / 2, PART / 2 }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return;
	madvise(w->mem + PART / 2, PART / 2, MADV_DONTNEED);
}

/* All that a VMM does in its life, without end; each step may be its last. */
static void be_the_victim(unsigned int with)
{
	struct worker w = { 0 };
	struct guest extra;
	unsigned int i;

	if (with & (WITH_CHIPS | WITH_RING)) {
		struct kvm_enable_cap cap = { .cap = KVM_CAP_DIRTY_LOG_RING, .args = { 65536 } };
		struct kvm_pit_config pit = { 0 };

		guest_create(&extra, MB);
		if (with & WITH_RING)
			ioctl(extra.fd, KVM_ENABLE_CAP, &cap);
		if (with & WITH_CHIPS) {
			ioctl(extra.fd, KVM_CREATE_IRQCHIP, 0);
			ioctl(extra.fd, KVM_CREATE_PIT2, &pit);
		}
		for (i = 0; i < 1 + with % 4; i++)
			guest_add_cpu(&extra);
	}
	work_create(&w, 1 + with % 3, PART, NULL, with, WORK_ALL_DIFFER);
	if (with & WITH_EVENTS)
		victim_events(&w.g);
	if (with & WITH_STATS) {
		ioctl(w.g.fd, KVM_GET_STATS_FD, NULL);
		ioctl(w.g.cpu[0].fd, KVM_GET_STATS_FD, NULL);
	}
	if (with & WITH_FAULTS)
		victim_faults(&w);
	work_start(&w);
	for (i = 0;; i++) {
		work_pause_ms(1);
		if (with & WITH_LOG)
			guest_slot(&w.g, 1, i & 1 ? 0 : KVM_MEM_LOG_DIRTY_PAGES, WORK_GPA, w.g.ncpus * PART, w.mem);
		if (with & WITH_SWAP)
			madvise(w.mem, PART, MADV_PAGEOUT);
		if (with & WITH_FORK && !fork())
			_exit(0);
	}
}

/* At a moment between 50 us and 100 ms of its life, early ones as likely as late ones. */
static void kill_one(uint32_t *seed)
{
	unsigned int with = dice(seed) % (WITH_ALL + 1);
	struct timespec t = { 0, (50000l << dice(seed) % 11) + dice(seed) % 50000 };
	pid_t pid;

	fflush(stdout);
	pid = MUST(fork());
	if (!pid) {
		cgroup_join("vmm-victims", getpid());
		be_the_victim(with);
	}
	nanosleep(&t, NULL);
	kill(pid, SIGKILL);
	MUST(waitpid(pid, NULL, 0));
}

/* Bytes; what the last of the dead took goes with a grace period (its stack is 16 KiB), and the count comes behind it. */
static long left_in_cgroup(void)
{
	long left;
	int i;

	for (i = 0; i < 100; i++) {
		left = read_number("kernel ", CGROUPS "/vmm-victims/memory.stat");
		if (left >= 0 && left < 16384)
			break;
		work_pause_ms(100);
	}
	return left;
}

static void killed(void)
{
	unsigned long n, times = test_repeat(50);
	long before, after, users, left;
	uint32_t seed = 42;
	struct ward other;
	int i;

	need_swap();
	cgroup_make("vmm-victims");
	for (n = 0; n < 10; n++)
		kill_one(&seed);
	users = module_users();
	before = kernel_memory();
	ward_start(&other, 1, PART, 0);
	ward_wait(&other, 1);
	for (n = 0; n < times; n++)
		kill_one(&seed);
	ward_wait(&other, 100);
	ward_end(&other);
	for (i = 0; i < 500 && module_users() != users; i++)
		work_pause_ms(20);
	CHECK_EQ(module_users(), users);
	after = kernel_memory();
	left = left_in_cgroup();
	printf("# killed %lu times; kernel memory: %ld KiB before, %ld KiB after, %ld bytes in the cgroup of the dead\n",
	       times, before, after, left);
	cgroup_remove("vmm-victims");
	/* What is not accounted to anybody: a VM is some hundred KiB, and a page each time shows when it is done often enough. */
	CHECK(after - before < 1536 + 2 * (long)times);
	/* KASAN keeps what is freed for a while; kmemleak looks after that kernel. */
	CHECK(left >= 0);
	CHECK(left < 16384 || !access("/sys/kernel/debug/kmemleak", F_OK));
}

/* ---- the module, the CPUs ---------------------------------------------------- */

static void unloading(void)
{
	unsigned long n;
	struct ward d;

	ward_start(&d, 2, PART, 0);
	ward_wait(&d, 1);
	for (n = 0; n < test_repeat(50); n++) {
		CHECK_EQ(syscall(SYS_delete_module, module_name(), O_NONBLOCK), -1);
		CHECK(errno == EWOULDBLOCK || errno == EBUSY, "%s", strerror(errno));
	}
	ward_wait(&d, 100);
	ward_end(&d);
}

static void cpu_online(unsigned long cpu, const char *how)
{
	bool done = write_text(how, "/sys/devices/system/cpu/cpu%lu/online", cpu);

	CHECK(done);
}

/* Every CPU but one goes and comes back. */
static void hotplug(void)
{
	unsigned long n, cpus = sysconf(_SC_NPROCESSORS_CONF), i;
	struct ward d;

	if (cpus < 2)
		SKIP("one CPU only");
	ward_start(&d, 2, PART, 0);
	ward_wait(&d, 1);
	for (n = 0; n < test_repeat(8); n++) {
		for (i = 1; i < cpus; i++)
			cpu_online(i, "0");
		ward_wait(&d, 50);
		for (i = 1; i < cpus; i++)
			cpu_online(i, "1");
		ward_wait(&d, 50);
	}
	ward_end(&d);
}

static const struct test tests[] = {
	{ "stopped", stopped, 120 },
	{ "frozen", frozen, 120 },
	{ "killed when frozen", killed_frozen, 60 },
	{ "real-time priority", real_time, 120 },
	{ "killed by its cgroup's limit", memcg_killed, 200 },
	{ "kernel memory and the limit", memcg_kernel, 200 },
	{ "killed at random", killed, 300 },
	{ "unloading", unloading, 60 },
	{ "hotplug", hotplug, 200 },
};

TEST_MAIN(tests)
