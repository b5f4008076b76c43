// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helper of down: loads another kernel and starts it, and is the first process of that one, where it tells on the
 * console whether the CPU can be had for guests again, and after a crash whether the dump can be read to its end.
 *
 *	host-kexec load|crash KERNEL INITRD	for go, or for when this kernel crashes
 *	host-kexec go
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND_CMDLINE "console=ttyS0,115200 panic=-1 quiet nokaslr nr_cpus=1 no_timer_check tsc=reliable " \
		       "mitigations=off cryptomgr.notests"

static int load(unsigned long flags, const char *kernel, const char *initrd)
{
	static const char cmdline[] = SECOND_CMDLINE;
	int k = open(kernel, O_RDONLY), i = open(initrd, O_RDONLY);

	if (k < 0 || i < 0 || syscall(SYS_kexec_file_load, k, i, sizeof(cmdline), cmdline, flags)) {
		perror("kexec_file_load");
		return 1;
	}
	return 0;
}

/* Console lines of this level are shown by a quiet kernel, too. */
static void tell(const char *text)
{
	int fd = open("/dev/kmsg", O_WRONLY);

	dprintf(fd, "<0>second kernel: %s\n", text);
	close(fd);
}

static int guest_runs(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl("/host-spin", "host-spin", "spin", NULL);
		_exit(1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* An ELF core of as many bytes as its size says. */
static const char *read_dump(void)
{
	static char buf[1 << 20];
	int fd = open("/proc/vmcore", O_RDONLY);
	struct stat st;
	off_t size = 0;
	ssize_t n;

	if (fd < 0)
		return "";
	if (fstat(fd, &st) || read(fd, buf, 4) != 4 || memcmp(buf, "\177ELF", 4))
		return ", but the dump is none";
	for (size = 4; (n = read(fd, buf, sizeof(buf))) > 0; size += n)
		;
	close(fd);
	return n || size != st.st_size || size < 64 << 20 ? ", but the dump is cut" : ", and the dump is whole";
}

static void be_init(void)
{
	char text[64];
	int fd;

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	fd = open("/dev/null", O_RDWR);
	dup2(fd, 0);
	dup2(fd, 1);
	dup2(fd, 2);
	fd = open("/vmm.ko", O_RDONLY);
	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) {
		tell("the module does not load");
	} else if (!guest_runs()) {
		tell("no guest runs");
	} else {
		snprintf(text, sizeof(text), "a guest runs%s", read_dump());
		tell(text);
	}
	reboot(RB_POWER_OFF);
	pause();
}

int main(int argc, char **argv)
{
	if (getpid() == 1)
		be_init();
	if (argc == 4 && !strcmp(argv[1], "load"))
		return load(0, argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "crash"))
		return load(KEXEC_FILE_ON_CRASH, argv[2], argv[3]);
	if (argc == 2 && !strcmp(argv[1], "go"))
		return reboot(RB_KEXEC);
	fprintf(stderr, "usage: host-kexec load|crash KERNEL INITRD | go\n");
	return 2;
}
