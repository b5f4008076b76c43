// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots: a small machine goes into a file and comes out again, and whatever is changed in
 * that file is found.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device.h"
#include "migrate/file.h"
#include "migrate/snapshot.h"
#include "migrate/state.h"
#include "tests/board.h"
#include "tests/tap.h"
#include "vcpu.h"

#define RAM	(2 * SNAPSHOT_CHUNK + MEM_PAGE)
#define FLIPS	10000

static struct board b;
static char here[] = "/home/user";
static struct vcpu vcpu;
static char dir[] = "/tmp/test_snapshot.XXXXXX";
static char path[64];

static bool never(void *opaque)
{
	(void)opaque;
	return false;
}

/* ---- a machine ---- */

struct toy {
	struct device dev;
	uint32_t value;
};

static struct toy toy;

static int toy_realize(struct device *dev)
{
	(void)dev;
	return 0;
}

static int toy_save(struct device *dev, struct stream *s)
{
	(void)dev;
	stream_put_u32(s, toy.value);
	return 0;
}

static int toy_load(struct device *dev, struct stream *s, uint32_t version)
{
	(void)dev;
	(void)version;
	toy.value = stream_get_u32(s);
	return 0;
}

static const struct device_ops toy_ops = {
	.version = 1,
	.realize = toy_realize,
	.save = toy_save,
	.load = toy_load,
};

static void machine_make(void)
{
	board_init(&b);
	job_init(&b.m.job);
	vcpu.m = &b.m;
	vcpu.fd = -1;
	b.m.vcpus = &vcpu;
	b.m.nr_vcpus = 1;
	b.m.mem.size = RAM;
	b.m.mem.low = RAM;
	b.m.cfg.cpus = 1;
	b.m.cfg.mem = RAM;
	b.m.cwd = here;
	b.m.cfg.kernel = "/boot/kernel";
	b.m.cfg.initrd = "../initrd";
	b.m.cfg.append = "console=ttyS0";
	toy.dev.ops = &toy_ops;
	toy.dev.name = "toy";
	toy.value = 77;
	device_register(&b.m, &toy.dev);
}

static void memory_make(void)
{
	memset(b.m.mem.host, 0, RAM);
	for (uint64_t i = 0; i < RAM; i += 5 * MEM_PAGE)
		memset(b.m.mem.host + i, (int)(i / MEM_PAGE), 100);
}

/* Whether it worked; the loop hears of the writer's end. */
static bool write_file(const char *to, int flags)
{
	int fd;

	/* a file that is mapped must stay what it is */
	if (flags & O_CREAT)
		unlink(to);
	fd = open(to, flags | O_CLOEXEC, 0600);
	if (fd < 0 || snapshot_begin(&b.m, to, fd))
		return false;
	board_start_loop(&b);
	while (job_state(&b.m.job) == JOB_RUNNING)
		usleep(1000);
	board_stop_loop(&b);
	b.m.loop.stopped = false;
	return job_state(&b.m.job) == JOB_DONE;
}

/* ---- reading ---- */

static bool found_whole;	/* the last inspect() saw paths that hold from everywhere */

/* Everything that can be wrong with a file; 0: nothing is. */
static int inspect(void)
{
	struct machine_config cfg = { 0 };
	struct snapshot *sn = NULL;
	int err = snapshot_open(&sn, path);

	if (err)
		return err;
	err = snapshot_config(sn, &cfg);
	if (!err)
		err = snapshot_verify(sn, never, NULL);
	found_whole = cfg.kernel && !strcmp(cfg.kernel, "/boot/kernel") &&
		      cfg.initrd && !strcmp(cfg.initrd, "/home/user/../initrd");
	free((void *)cfg.name);
	free((void *)cfg.kernel);
	free((void *)cfg.initrd);
	free((void *)cfg.append);
	snapshot_close(sn);
	return err;
}

static void test_way_back(void)
{
	struct snapshot *sn = NULL;

	memory_make();
	ok(write_file(path, O_WRONLY | O_CREAT), "a file is written");
	ok(!inspect(), "and nothing is wrong with it");
	ok(found_whole, "its paths hold from everywhere");
	if (snapshot_open(&sn, path))
		return;
	b.m.snapshot = sn;
	memset(b.m.mem.host, 0xff, RAM);
	toy.value = 0;
	ok(!snapshot_check_owner(sn), "nobody else can have written it");
	chmod(path, 0620);
	ok(snapshot_check_owner(sn) == -EPERM, "but when others may");
	chmod(path, 0600);
	ok(!snapshot_map(&b.m) && b.m.mem.host[5 * MEM_PAGE] == 5 &&
	   !b.m.mem.host[6 * MEM_PAGE], "its memory comes back");
	b.m.mem.host[5 * MEM_PAGE] = 6;
	ok(!snapshot_verify(sn, never, NULL), "and is private");
	ok(!snapshot_load(&b.m) && toy.value == 77, "its state comes back");
	b.m.cfg.cpus = 2;
	ok(snapshot_load(&b.m) == -EINVAL, "but not into another machine");
	b.m.cfg.cpus = 1;
	b.m.snapshot = NULL;
	snapshot_close(sn);
}

/* ---- is it the same? ---- */

static void test_compare(void)
{
	struct stream sent;
	char why[200] = "";

	stream_init(&sent);
	ok(!state_save(&b.m, &sent) && !state_compare(&b.m, &sent, why, sizeof(why)) &&
	   !*why, "a machine is as it was");
	toy.value++;
	ok(state_compare(&b.m, &sent, why, sizeof(why)) == -EBADMSG && strstr(why, "toy"),
	   "until a device is not");
	toy.value--;
	b.m.cfg.name = "another";
	ok(!state_compare(&b.m, &sent, why, sizeof(why)), "its name does not matter");
	b.m.cfg.name = NULL;
	sent.len--;
	ok(state_compare(&b.m, &sent, why, sizeof(why)) < 0, "or the list has no end");
	stream_destroy(&sent);
}

static struct {
	struct kvm_msrs head;
	struct kvm_msr_entry entry[2];
} sent_msrs, here_msrs;
static struct vcpu_saved vcpu_sent, vcpu_here;

static void vcpus_make(void)
{
	static struct kvm_cpuid2 cpuid;

	memset(&sent_msrs, 0, sizeof(sent_msrs));
	sent_msrs.head.nmsrs = 2;
	sent_msrs.entry[0].index = 0x174;
	sent_msrs.entry[1].index = 0x277;
	here_msrs = sent_msrs;
	memset(&vcpu_sent, 0, sizeof(vcpu_sent));
	vcpu_sent.cpuid = &cpuid;
	vcpu_here = vcpu_sent;
	vcpu_sent.state.msrs = &sent_msrs.head;
	vcpu_here.state.msrs = &here_msrs.head;
}

static bool differ(const char *part)
{
	const char *found = vcpu_saved_differ(&vcpu_sent, &vcpu_here);

	vcpus_make();
	return part ? found && !strcmp(part, found) : !found;
}

static void test_compare_vcpus(void)
{
	vcpus_make();
	ok(differ(NULL), "two vCPUs are the same");
	vcpu_here.state.regs.r15 = 1;
	ok(differ("regs"), "until a register is not");
	vcpu_here.state.xsave.region[1023] = 1;
	ok(differ("xsave"), "or a vector register's last bit");
	vcpu_here.state.lapic.regs[0x200] = 4;
	ok(differ("lapic"), "or an interrupt is pending");
	vcpu_here.state.lapic.regs[0x390] = 4;
	ok(differ(NULL), "a timer's count does not matter");
	vcpu_sent.state.lapic.regs[0x320] = 0x2a;
	vcpu_here.state.lapic.regs[0x320] = 0x2a;
	vcpu_here.state.lapic.regs[0x211] = 4;
	ok(differ(NULL), "nor that it comes to its end");
	here_msrs.entry[1].data = 6;
	ok(differ("MSR 0x277"), "an MSR does");
	here_msrs.entry[1].index = 0x48;
	ok(differ(NULL), "but not one that the other side lacks");
	sent_msrs.entry[1].index = 0x6e0;
	here_msrs.entry[1].index = 0x6e0;
	sent_msrs.entry[1].data = 12345;
	ok(differ(NULL), "nor a deadline that has passed");
	vcpu_here.state.events.nmi.pending = 1;
	ok(differ("events"), "and a pending NMI does");
}

/* ---- damage ---- */

static void flip(int fd, off_t off, unsigned int bit)
{
	uint8_t byte;

	if (pread(fd, &byte, 1, off) != 1)
		abort();
	byte ^= (uint8_t)(1 << bit);
	if (pwrite(fd, &byte, 1, off) != 1)
		abort();
}

static void test_flips(void)
{
	unsigned int unnoticed = 0, tried = 0;
	int fd = open(path, O_RDWR);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		abort();
	for (off_t off = 0; off < (off_t)sizeof(struct snapshot_header); off++) {
		flip(fd, off, (unsigned int)off % 8);
		unnoticed += !inspect();
		flip(fd, off, (unsigned int)off % 8);
	}
	ok(!unnoticed, "a flipped bit in each byte of the header");
	srandom(1);
	for (; tried < FLIPS; tried++) {
		off_t off = (off_t)SNAPSHOT_RAM +
			    random() % (st.st_size - (off_t)SNAPSHOT_RAM);
		unsigned int bit = (unsigned int)random() % 8;

		flip(fd, off, bit);
		unnoticed += !inspect();
		flip(fd, off, bit);
	}
	ok(!unnoticed, "%u flipped bits behind it", tried);
	ok(!inspect(), "and it is whole again");
	close(fd);
}

static void test_truncation(void)
{
	unsigned int unnoticed = 0;
	struct stat st;
	int fd = open(path, O_RDWR);

	if (fd < 0 || fstat(fd, &st))
		abort();
	for (off_t size = st.st_size - 1; size > 0; size -= size / 50 + 1)
		unnoticed += ftruncate(fd, size) || !inspect();
	ok(!unnoticed, "truncated files");
	ok(inspect() == -EINVAL, "an empty one");
	close(fd);
}

static void test_newer(void)
{
	struct snapshot_header h;
	int fd = open(path, O_RDWR);

	if (fd < 0 || pread(fd, &h, sizeof(h), 0) != sizeof(h))
		abort();
	h.version = STATE_VERSION + 1;
	h.hash = snapshot_header_hash(&h);
	if (pwrite(fd, &h, sizeof(h), 0) != sizeof(h))
		abort();
	ok(inspect() == -ENOTSUP, "one of a newer version");
	h.version = STATE_VERSION;
	h.ram_len = 1ull << 62;
	h.hash = snapshot_header_hash(&h);
	if (pwrite(fd, &h, sizeof(h), 0) != sizeof(h))
		abort();
	ok(inspect() == -EBADMSG, "one that contradicts itself");
	close(fd);
}

static void test_no_file(void)
{
	struct rlimit old, limit;

	if (getrlimit(RLIMIT_FSIZE, &old))
		abort();
	limit = old;
	limit.rlim_cur = SNAPSHOT_RAM + RAM / 2;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	ok(!write_file(path, O_WRONLY | O_CREAT) && strstr(b.m.job.why, path) &&
	   strstr(b.m.job.why, strerror(EFBIG)), "no place for it (%s)", b.m.job.why);
	setrlimit(RLIMIT_FSIZE, &old);
	ok(!write_file(path, O_RDONLY) && strstr(b.m.job.why, path),
	   "one that cannot be written (%s)", b.m.job.why);
	unlink(path);
	snprintf(path, sizeof(path), "%s/none", dir);
	ok(inspect() == -ENOENT, "no file");
	snprintf(path, sizeof(path), "/dev/null");
	ok(inspect() == -EINVAL, "no regular file");
}

int main(void)
{
	if (!mkdtemp(dir) || !freopen("/dev/null", "w", stderr))
		return 1;
	snprintf(path, sizeof(path), "%s/file", dir);
	machine_make();
	test_way_back();
	test_compare();
	test_compare_vcpus();
	test_flips();
	test_newer();
	test_way_back();
	test_truncation();
	unlink(path);
	test_no_file();
	ok(!rmdir(dir), "the directory is empty");
	b.m.mem.size = BOARD_MEM;
	board_destroy(&b);
	return tap_done();
}
