// SPDX-License-Identifier: GPL-2.0-only
/* nx_huge_pages=never: only while there is no VM, and for good. Spoils the module for other tests. */
#include <fcntl.h>

#include "../lib/guest.h"

static int try_param(const char *name, const char *val)
{
	char path[128];
	int fd, r;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/nx_huge_pages%s",
		 access("/dev/vmm", F_OK) ? "kvm" : "vmm", name);
	fd = MUST(open(path, O_RDWR));
	r = write(fd, val, strlen(val)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static bool shown_as(const char *want)
{
	char path[128], val[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/nx_huge_pages",
		 access("/dev/vmm", F_OK) ? "kvm" : "vmm");
	fd = MUST(open(path, O_RDONLY));
	MUST(read(fd, val, sizeof(val) - 1));
	close(fd);
	return !strcmp(val, want);
}

static void never(void)
{
	struct guest g;

	guest_create(&g, PAGE_2M);
	CHECK_EQ(try_param("", "never"), -EBUSY);
	CHECK(!shown_as("never\n"));
	CHECK_EQ(try_param("", "off"), 0);
	close(g.fd);
	/* A VM whose last descriptor is gone. */
	CHECK_EQ(try_param("", "never"), 0);
	CHECK(shown_as("never\n"));
	CHECK_EQ(try_param("", "force"), -EPERM);
	CHECK_EQ(try_param("", "never"), -EPERM);
	CHECK_EQ(try_param("_recovery_ratio", "1"), -EPERM);
	CHECK_EQ(try_param("_recovery_period_ms", "100"), -EPERM);
	CHECK(shown_as("never\n"));
	guest_create(&g, PAGE_2M);
	guest_add_cpu(&g);
}

static const struct test tests[] = {
	{ "never", never },
};
TEST_MAIN(tests)
