// SPDX-License-Identifier: GPL-2.0-only
/*
 * proxy LISTEN TARGET WHAT BYTES: between two vmruns on Unix sockets. It carries one connection, and once BYTES bytes
 * have gone from the source to the target it does WHAT: "cut" the connection, "stall" (carry nothing more), "flip" one
 * bit of the next byte and go on, "kill=PID", or "count" nothing but the bytes. At the end it prints how many went; on
 * stderr it says when somebody has come.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *what;
static uint64_t limit;
static bool done;

static int open_socket(const char *path, bool passive)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (passive ? bind(fd, (void *)&addr, sizeof(addr)) || listen(fd, 1) :
		      connect(fd, (void *)&addr, sizeof(addr))) {
		perror(path);
		exit(2);
	}
	return fd;
}

static bool send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		data += n;
		len -= n;
	}
	return true;
}

/* The moment has come. Return: whether the connection goes on. */
static bool act(char *next)
{
	done = true;
	if (!strcmp(what, "flip"))
		*next ^= 4;
	else if (!strncmp(what, "kill=", 5))
		kill(atoi(what + 5), SIGKILL);
	else if (!strcmp(what, "stall"))
		pause();
	return strcmp(what, "cut");
}

int main(int argc, char **argv)
{
	static char buf[65536];
	uint64_t carried = 0;
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	int listener;

	if (argc != 5)
		return 2;
	what = argv[3];
	limit = strtoull(argv[4], NULL, 10);
	listener = open_socket(argv[1], true);
	fds[0].fd = accept(listener, NULL, NULL);
	fds[1].fd = open_socket(argv[2], false);
	unlink(argv[1]);
	fprintf(stderr, "somebody has come\n");
	while (poll(fds, 2, -1) > 0) {
		bool forth = fds[0].revents;
		size_t room = sizeof(buf);
		ssize_t n;

		/* The byte at the limit is the first of a piece, so that what was before has arrived. */
		if (forth && !done && carried < limit && limit - carried < room)
			room = limit - carried;
		n = read(fds[!forth].fd, buf, room);
		if (n <= 0)
			break;
		if (forth && !done && carried >= limit && !act(buf))
			break;
		if (!send_all(fds[forth].fd, buf, n))
			break;
		carried += forth ? n : 0;
	}
	printf("%llu\n", (unsigned long long)carried);
	return 0;
}
