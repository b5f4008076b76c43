// SPDX-License-Identifier: GPL-2.0-only
/*
 * nx_huge_pages: huge pages are split where the guest fetches from them, are
 * made whole again, and a VM or the administrator may do without.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>

#include "code.h"

#define NR_HUGE		4
#define GPA		(64ul << 20)
#define SIZE		(NR_HUGE * PAGE_2M)
#define LONG_MS		3600000		/* no round of recovery comes to pass */

/*
 * At a page: EAX = its number.
 * At LOOP_OFFSET of the first page: calls rdi + rdx, rdi + 2 * rdx, ... below rsi,
 * again and again until *rcx.
 */
GUEST_CODE(nx_code,
	".code64\n"
	"1:	lea (%rdi, %rdx), %rbx\n"
	"2:	call *%rbx; add %rdx, %rbx; cmp %rsi, %rbx; jb 2b\n"
	"	cmpq $0, (%rcx); je 1b; ret");
#define LOOP_OFFSET	64

/* -------- parameters -------- */

static const char *param_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/nx_huge_pages%s",
		 access("/dev/vmm", F_OK) ? "kvm" : "vmm", name);
	return path;
}

static int try_param(const char *name, const char *val)
{
	int fd = MUST(open(param_path(name), O_WRONLY)), r;

	r = write(fd, val, strlen(val)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static void get_param(const char *name, char val[16])
{
	int fd = MUST(open(param_path(name), O_RDONLY));
	int n = MUST(read(fd, val, 15));

	close(fd);
	val[n] = 0;
	val[strcspn(val, "\n")] = 0;
}

static void set_recovery(unsigned int ratio, unsigned int ms)
{
	char val[16];

	snprintf(val, sizeof(val), "%u", ms);
	CHECK_EQ(try_param("_recovery_period_ms", val), 0);
	snprintf(val, sizeof(val), "%u", ratio);
	CHECK_EQ(try_param("_recovery_ratio", val), 0);
}

/* -------- a guest with huge pages -------- */

struct nx {
	struct guest g;
	struct guest_cpu *cpu;
	uint8_t *mem;
	uint64_t base_2m;	/* what the rest of the guest has */
	uint64_t base_splits;
};

static void write_code(uint8_t *p, uint32_t n)
{
	p[0] = 0xb8;		/* mov $n, %eax; ret */
	memcpy(p + 1, &n, sizeof(n));
	p[5] = 0xc3;
}

static uint64_t huge_pages(struct nx *x)
{
	return guest_vm_stat(&x->g, "pages_2m") - x->base_2m;
}

static uint64_t splits(struct nx *x)
{
	return guest_vm_stat(&x->g, "nx_lpage_splits") - x->base_splits;
}

static void expect(struct nx *x, uint64_t want_huge, uint64_t want_splits)
{
	CHECK_EQ(huge_pages(x), want_huge);
	CHECK_EQ(splits(x), want_splits);
}

static bool host_has_huge(void *mem)
{
	uint64_t pm[2];
	int fd = open("/proc/kpageflags", O_RDONLY), map = open("/proc/self/pagemap", O_RDONLY);
	bool huge = false;

	if (fd >= 0 && pread(map, pm, 8, (uintptr_t)mem / PAGE_4K * 8) == 8 &&
	    pread(fd, &pm[1], 8, (pm[0] & ((1ull << 55) - 1)) * 8) == 8)
		huge = pm[1] & (1ull << 22 | 1ull << 17);	/* THP, HUGE */
	close(fd);
	close(map);
	return huge;
}

static void nx_guest(struct nx *x, bool waived)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_WRONLY);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_VM_DISABLE_NX_HUGE_PAGES };
	unsigned long i;

	if (fd < 0 || write(fd, "madvise", 7) != 7)
		SKIP("no transparent huge pages");
	close(fd);
	guest_create(&x->g, 32ul << 20);
	x->g.rflags = 0x200;
	if (waived)
		MUST(ioctl(x->g.fd, KVM_ENABLE_CAP, &cap));
	guest_load_code(&x->g, mm_code);
	x->cpu = guest_add_cpu(&x->g);
	guest_mode(x->cpu, GUEST_LONG);
	x->mem = guest_alloc(SIZE);
	MUST(madvise(x->mem, SIZE, MADV_HUGEPAGE));
	for (i = 0; i < SIZE / PAGE_4K; i++)
		write_code(x->mem + i * PAGE_4K, i);
	memcpy(x->mem + LOOP_OFFSET, nx_code, nx_code_end - nx_code);
	for (i = 0; i < NR_HUGE; i++)
		if (!host_has_huge(x->mem + i * PAGE_2M))
			SKIP("no huge pages to be had");
	guest_slot(&x->g, 1, 0, GPA, SIZE, x->mem);
	/* The rest of what it needs is there afterwards. */
	*(uint64_t *)(x->g.mem + STOP_GPA) = 0;
	CALL(x->cpu, read, STOP_GPA);
	x->base_2m = guest_vm_stat(&x->g, "pages_2m");
	x->base_splits = guest_vm_stat(&x->g, "nx_lpage_splits");
}

static void touch(struct nx *x, unsigned long page)
{
	CALL(x->cpu, read, GPA + page * PAGE_4K);
}

static void fetch(struct nx *x, unsigned long page)
{
	CHECK_EQ(CALL(x->cpu, go, GPA + page * PAGE_4K), page);
}

static void wait_for_splits(struct nx *x, uint64_t want)
{
	int i;

	for (i = 0; i < 2000 && splits(x) != want; i++)
		usleep(10000);
	CHECK_EQ(splits(x), want);
}

/* -------- tests -------- */

static void values(void)
{
	static const struct {
		const char *val, *shown;
		int want;
	} cases[] = {
		{ "force", "Y", 0 }, { "off", "N", 0 }, { "1", "Y", 0 }, { "0", "N", 0 },
		{ "y\n", "Y", 0 }, { "N", "N", 0 }, { "force\n", "Y", 0 }, { "?", "Y", -EINVAL },
	};
	char val[16];
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = try_param("", cases[i].val);

		if (r != cases[i].want)
			FAIL("%s: %d", cases[i].val, r);
		get_param("", val);
		CHECK(!strcmp(val, cases[i].shown), "(%s is shown as %s)", cases[i].val, val);
	}
	CHECK_EQ(try_param("", "auto"), 0);
	CHECK_EQ(try_param("_recovery_ratio", "x"), -EINVAL);
	CHECK_EQ(try_param("_recovery_period_ms", "-1"), -EINVAL);
	set_recovery(7, 1234);
	get_param("_recovery_ratio", val);
	CHECK_EQ(atoi(val), 7);
	get_param("_recovery_period_ms", val);
	CHECK_EQ(atoi(val), 1234);
}

static int waive(struct guest *g, uint64_t arg, uint32_t flags)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, .flags = flags, .args = { arg },
	};

	return ioctl(g->fd, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}

static void drop_sys_boot(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &head, data));
	data[0].effective &= ~(1u << CAP_SYS_BOOT);
	MUST(syscall(SYS_capset, &head, data));
}

static void capability(void)
{
	struct guest g;

	guest_create(&g, 1ul << 20);
	CHECK_EQ(ioctl(g.dev, KVM_CHECK_EXTENSION, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES), 1);
	CHECK_EQ(waive(&g, 1, 0), -EINVAL);
	CHECK_EQ(waive(&g, 0, 1), -EINVAL);
	CHECK_EQ(waive(&g, 0, 0), 0);
	CHECK_EQ(waive(&g, 0, 0), 0);
	guest_add_cpu(&g);
	CHECK_EQ(waive(&g, 0, 0), -EINVAL);
	drop_sys_boot();
	CHECK_EQ(waive(&g, 0, 0), -EPERM);
	CHECK_EQ(waive(&g, 1, 0), -EPERM);
	CHECK_EQ(waive(&g, 1, 1), -EINVAL);
}

static void split(void)
{
	struct nx x;

	CHECK_EQ(try_param("", "force"), 0);
	set_recovery(1, LONG_MS);
	nx_guest(&x, false);
	CHECK_EQ(guest_stat_flags(x.g.fd, "nx_lpage_splits") & KVM_STATS_TYPE_MASK,
		 KVM_STATS_TYPE_INSTANT);
	touch(&x, 0);
	touch(&x, 512);
	expect(&x, 2, 0);
	fetch(&x, 5);			/* a huge page that is there */
	expect(&x, 1, 1);
	fetch(&x, 1024 + 3);		/* one that is not */
	expect(&x, 1, 2);
	fetch(&x, 7);			/* all of the first one came executable, ... */
	fetch(&x, 1024 + 511);		/* ... of the other only what was asked for */
	touch(&x, 9);
	expect(&x, 1, 2);
	guest_slot(&x.g, 1, 0, 0, 0, NULL);
	expect(&x, 0, 0);
}

static void recovery(void)
{
	struct nx x;

	CHECK_EQ(try_param("", "force"), 0);
	set_recovery(1, LONG_MS);
	nx_guest(&x, false);
	touch(&x, 512);
	fetch(&x, 5);
	fetch(&x, 1024);
	expect(&x, 1, 2);
	set_recovery(1, 50);
	wait_for_splits(&x, 0);
	expect(&x, 1, 0);
	touch(&x, 5);
	touch(&x, 1024);
	expect(&x, 3, 0);
	/* Now the work is queued by the split. */
	fetch(&x, 1024);
	wait_for_splits(&x, 0);
	fetch(&x, 1024);
	wait_for_splits(&x, 0);
	/* No recovery, and then again. */
	set_recovery(0, 50);
	fetch(&x, 1024);
	usleep(500000);
	CHECK_EQ(splits(&x), 1);
	set_recovery(1, 50);
	wait_for_splits(&x, 0);
}

/* One in so many, rounded up. */
static void share(void)
{
	uint64_t now, last = NR_HUGE, seen = 0;
	struct nx x;
	int i;

	CHECK_EQ(try_param("", "force"), 0);
	set_recovery(2, LONG_MS);
	nx_guest(&x, false);
	for (i = 0; i < NR_HUGE; i++)
		fetch(&x, i * 512);
	expect(&x, 0, NR_HUGE);
	set_recovery(2, 1000);
	for (i = 0; i < 1500 && last; i++) {
		usleep(20000);
		now = splits(&x);
		if (now != last)
			seen = seen * 10 + now;
		last = now;
	}
	/* 4, 2, 1, 0 */
	CHECK_EQ(seen, 210);
}

/* While a slot is logged its pages are small anyway. */
static void logged(void)
{
	struct nx x;

	CHECK_EQ(try_param("", "force"), 0);
	set_recovery(1, LONG_MS);
	nx_guest(&x, false);
	fetch(&x, 0);
	expect(&x, 0, 1);
	guest_slot(&x.g, 1, KVM_MEM_LOG_DIRTY_PAGES, GPA, SIZE, x.mem);
	fetch(&x, 1024);
	CHECK_EQ(splits(&x), 1);
	set_recovery(1, 50);
	wait_for_splits(&x, 0);
	set_recovery(1, LONG_MS);
	fetch(&x, 0);
	CHECK_EQ(splits(&x), 0);
	guest_slot(&x.g, 1, 0, GPA, SIZE, x.mem);
	touch(&x, 0);
	touch(&x, 1024);
	expect(&x, 2, 0);
	fetch(&x, 1024);
	expect(&x, 1, 1);
}

static void waived(void)
{
	struct nx x;

	CHECK_EQ(try_param("", "force"), 0);
	set_recovery(1, 50);
	nx_guest(&x, true);
	touch(&x, 0);
	fetch(&x, 5);
	fetch(&x, 512);
	fetch(&x, 1024);
	expect(&x, 3, 0);
	usleep(300000);
	expect(&x, 3, 0);
}

static void switched(void)
{
	struct nx x;

	CHECK_EQ(try_param("", "off"), 0);
	set_recovery(1, LONG_MS);
	nx_guest(&x, false);
	fetch(&x, 0);
	touch(&x, 512);
	expect(&x, 2, 0);
	CHECK_EQ(try_param("", "force"), 0);
	CHECK_EQ(huge_pages(&x), 0);
	touch(&x, 0);
	fetch(&x, 0);
	CHECK_EQ(splits(&x), 1);
	CHECK_EQ(huge_pages(&x), 0);
	/* No change, nothing zapped. */
	CHECK_EQ(try_param("", "1"), 0);
	CHECK_EQ(splits(&x), 1);
	CHECK_EQ(try_param("", "off"), 0);
	CHECK_EQ(splits(&x), 0);
	fetch(&x, 3);
	expect(&x, 1, 0);
}

/* The guest runs through all pages while everything is changed under it. */
static void running(void)
{
	const unsigned long step = 64 * PAGE_4K;
	unsigned long at;
	struct nx x;
	void *r;
	int i;

	CHECK_EQ(try_param("", "force"), 0);
	set_recovery(1, 1);
	nx_guest(&x, false);
	for (at = LOOP_OFFSET + step; at < SIZE; at += step)
		write_code(x.mem + at, at);
	guest_call(x.cpu, ENTRY(go), GPA + LOOP_OFFSET, GPA + SIZE, step, STOP_GPA);
	CHECK_EQ(pthread_create(&x.cpu->thread, NULL, mm_thread, x.cpu), 0);
	for (i = 0; i < 60; i++) {
		CHECK_EQ(try_param("", i & 4 ? "off" : "force"), 0);
		usleep(20000);
		if (i % 10 == 5)
			guest_slot(&x.g, 1, i / 10 & 1 ? 0 : KVM_MEM_LOG_DIRTY_PAGES, GPA, SIZE,
				   x.mem);
	}
	*(volatile uint64_t *)(x.g.mem + STOP_GPA) = 1;
	CHECK_EQ(pthread_join(x.cpu->thread, &r), 0);
	CHECK_EQ((long)r, 0);
	guest_expect(x.cpu, KVM_EXIT_HLT);
}

/* The VM goes while the work is queued or running. */
static void end_of_vm(void)
{
	int i;

	CHECK_EQ(try_param("", "force"), 0);
	set_recovery(1, 1);
	for (i = 0; i < 8; i++) {
		struct nx x;
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid) {
			nx_guest(&x, false);
			fetch(&x, 0);
			fetch(&x, 512);
			_exit(0);
		}
		MUST(waitpid(pid, NULL, 0));
		CHECK_EQ(try_param("", i & 1 ? "force" : "off"), 0);
	}
}

static const struct test tests[] = {
	{ "values", values },
	{ "capability", capability },
	{ "split", split },
	{ "recovery", recovery },
	{ "share", share },
	{ "logged", logged },
	{ "waived", waived },
	{ "switched", switched },
	{ "running", running },
	{ "end_of_vm", end_of_vm, 120 },
};

/* Leaves the machine as it was found. */
int main(int argc, char **argv)
{
	static const char *const names[] = { "", "_recovery_ratio", "_recovery_period_ms" };
	char old[3][16];
	int i, r;

	for (i = 0; i < 3; i++)
		get_param(names[i], old[i]);
	r = run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
	for (i = 0; i < 3; i++)
		try_param(names[i], old[i]);
	return r;
}
