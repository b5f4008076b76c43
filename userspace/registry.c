// SPDX-License-Identifier: GPL-2.0-only
#include "registry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "util/msg.h"
#include "util/socket.h"
#include "util/time.h"

#define SUFFIX		".sock"
#define STATUS_MAX	512
#define REPLY_TIMEOUT_MS	5000
#define REGISTRY_DIR_MAX	sizeof(((struct sockaddr_un *)0)->sun_path)

bool registry_name_valid(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t len = strlen(name);

	return len && len <= REGISTRY_NAME_MAX && strspn(name, allowed) == len &&
	       !strchr("._-", name[0]);
}

static int registry_dir(char *dir, size_t size)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	int n;

	if (!geteuid())
		n = snprintf(dir, size, "/run/vmrun");
	else if (base && base[0] == '/')
		n = snprintf(dir, size, "%s/vmrun", base);
	else
		n = snprintf(dir, size, "/tmp/vmrun-%u", (unsigned int)geteuid());
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int registry_address(const char *name, struct sockaddr_un *addr)
{
	char dir[sizeof(addr->sun_path)];
	int n;

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if (registry_dir(dir, sizeof(dir)))
		return -ENAMETOOLONG;
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/%s" SUFFIX,
		     dir, name);
	return (size_t)n < sizeof(addr->sun_path) ? 0 : -ENAMETOOLONG;
}

/* In /tmp the directory may be someone else's trap, for those who ask as for those who answer. */
static int registry_check_dir(const char *dir)
{
	struct stat st;

	if (lstat(dir, &st))
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() ? 0 : -EPERM;
}

int registry_make_dir(void)
{
	char dir[REGISTRY_DIR_MAX];

	if (registry_dir(dir, sizeof(dir)))
		return -ENAMETOOLONG;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	return registry_check_dir(dir);
}

int registry_lock(void)
{
	char dir[REGISTRY_DIR_MAX];
	int fd;

	if (registry_dir(dir, sizeof(dir)))
		return -ENAMETOOLONG;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		flock(fd, LOCK_EX);
	return fd < 0 ? -errno : fd;
}

static int registry_try(const struct sockaddr_un *addr)
{
	/* A machine that is full of connections does not accept; for connect() the time is that of sending. */
	const struct timeval patience = { .tv_sec = REPLY_TIMEOUT_MS / 1000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return fd;
	err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	return err;
}

/* It may be one that is just about to listen: it has the lock until it does. */
static int registry_bury(const struct sockaddr_un *addr)
{
	int lock = registry_lock(), fd = registry_try(addr);

	if (fd == -ECONNREFUSED)
		socket_remove(addr->sun_path);
	if (lock >= 0)
		close(lock);
	return fd;
}

/* Return: a connected socket or -errno, in silence; -ECONNREFUSED is that of a dead machine. */
static int registry_connect(const char *name)
{
	char dir[REGISTRY_DIR_MAX];
	struct sockaddr_un addr;
	int fd, err;

	err = registry_dir(dir, sizeof(dir));
	if (!err)
		err = registry_check_dir(dir);
	if (!err)
		err = registry_address(name, &addr);
	if (err)
		return err;
	fd = registry_try(&addr);
	return fd == -ECONNREFUSED ? registry_bury(&addr) : fd;
}

int registry_open(const char *what, const char *name)
{
	int fd;

	if (!registry_name_valid(name))
		return msg_fail(-EINVAL, "%s %s: not a machine's name: 'vmrun list' shows those that run",
				what, name);
	fd = registry_connect(name);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return msg_fail(fd, "%s %s: no machine of that name runs: 'vmrun list' shows those that do",
				what, name);
	if (fd == -EPERM)
		return msg_fail(fd, "%s %s: the directory of machines' sockets is not yours: XDG_RUNTIME_DIR may name another",
				what, name);
	if (fd < 0)
		return msg_fail(fd, "%s %s: %s", what, name, strerror(-fd));
	return fd;
}

static bool registry_wait(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int n;

	do {
		n = poll(&pfd, 1, ms);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

int registry_ask(int fd, const char *command, char *reply, size_t size)
{
	return registry_ask_for(fd, REPLY_TIMEOUT_MS, command, reply, size);
}

static int registry_send(int fd, const char *command, int passed)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)command, strlen(command) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *head;

	if (passed >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &passed, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

const char *registry_refusal(int err, const char *reply)
{
	return err == -EPROTO && !strncmp(reply, "error ", 6) ? reply + 6 : NULL;
}

int registry_ask_for(int fd, int ms, const char *command, char *reply,
		     size_t size)
{
	return registry_ask_with(fd, ms, command, -1, reply, size);
}

int registry_ask_with(int fd, int ms, const char *command, int passed,
		      char *reply, size_t size)
{
	size_t len = 0;
	int err = registry_send(fd, command, passed);

	if (err)
		return err;
	while (len < size - 1) {
		ssize_t n;

		if (!registry_wait(fd, ms))
			return -ETIMEDOUT;
		n = read(fd, reply + len, size - 1 - len);
		if (n <= 0)
			return n ? -errno : -EPIPE;
		len += (size_t)n;
		if (memchr(reply, '\n', len))
			break;
	}
	reply[len] = '\0';
	reply[strcspn(reply, "\n")] = '\0';
	/* The machine may have fallen into its guest's hands. */
	msg_clean(reply);
	return strncmp(reply, "ok", 2) ? -EPROTO : 0;
}

static void registry_list_one(const char *name)
{
	char reply[STATUS_MAX];
	int fd = registry_connect(name);

	if (fd < 0)
		return;
	if (!registry_ask(fd, "status\n", reply, sizeof(reply)))
		printf("%-20s%s\n", name, reply + 2);
	close(fd);
}

int registry_list(void)
{
	char dir[REGISTRY_DIR_MAX];
	struct dirent *entry;
	DIR *d;

	if (registry_dir(dir, sizeof(dir)))
		return msg_fail(-ENAMETOOLONG, "XDG_RUNTIME_DIR: the path is too long");
	if (registry_check_dir(dir) == -EPERM)
		return msg_fail(-EPERM, "%s: belongs to somebody else", dir);
	d = opendir(dir);
	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return msg_fail(-errno, "%s: %s", dir, strerror(errno));
	while ((entry = readdir(d))) {
		char name[sizeof(entry->d_name)];
		size_t len = strlen(entry->d_name);

		if (len <= strlen(SUFFIX) ||
		    strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX))
			continue;
		snprintf(name, sizeof(name), "%.*s",
			 (int)(len - strlen(SUFFIX)), entry->d_name);
		if (registry_name_valid(name))
			registry_list_one(name);
	}
	closedir(d);
	return 0;
}

/* The machine is gone when the connection is. */
static bool registry_wait_gone(int fd, unsigned int seconds)
{
	int64_t end = now_ms() + (int64_t)seconds * 1000;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char buf[64];

	for (;;) {
		int64_t left = end - now_ms();

		if (left <= 0 || poll(&pfd, 1, (int)left) <= 0)
			return false;
		if (read(fd, buf, sizeof(buf)) <= 0)
			return true;
	}
}

#define QUIT_SECONDS 10

static int registry_stop_connected(int fd, const char *name,
				   unsigned int grace)
{
	char reply[STATUS_MAX];
	int err;

	if (grace) {
		err = registry_ask(fd, "powerdown\n", reply, sizeof(reply));
		if (registry_refusal(err, reply))
			return msg_fail(err, "stop %s: %s ('--grace 0' ends it all the same)",
					name, registry_refusal(err, reply));
		if (err)
			return msg_fail(err, "stop %s: the machine does not answer",
					name);
		if (registry_wait_gone(fd, grace))
			return 0;
		msg_warn("%s: did not power off within %u seconds, ending it",
			 name, grace);
	}
	/* It may go before it has answered. */
	err = registry_ask(fd, "quit\n", reply, sizeof(reply));
	if (err == -EPIPE || err == -ECONNRESET)
		return 0;
	if (err || !registry_wait_gone(fd, QUIT_SECONDS))
		return msg_fail(err ? err : -ETIMEDOUT, "stop %s: the machine does not answer",
				name);
	return 0;
}

int registry_stop(const char *name, unsigned int grace)
{
	int fd = registry_open("stop", name), err;

	if (fd < 0)
		return fd;
	err = registry_stop_connected(fd, name, grace);
	close(fd);
	return err;
}
