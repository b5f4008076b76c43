// SPDX-License-Identifier: GPL-2.0-only
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "counters.h"
#include "dev/acpi_pm.h"
#include "machine.h"
#include "migrate/snapshot.h"
#include "migrate/source.h"
#include "migrate/target.h"
#include "registry.h"
#include "util/list.h"
#include "util/msg.h"
#include "util/socket.h"
#include "util/time.h"
#include "vcpu.h"
#include "virtio/console.h"

#define LINE_MAX_LEN	(PATH_MAX + 256)
#define BACKLOG		8
#define REPLY_MAX	(COUNTERS_TEXT_MAX + 64)

struct control {
	struct machine *m;
	struct loop_fd listener;
	struct sockaddr_un addr;
	struct list clients;
	struct client *writes;	/* whose file the last snapshot goes to */
	int spare;		/* a descriptor for when there are no more; < 0: in use */
	struct loop_timer later;
};

struct client {
	struct control *control;
	struct loop_fd lfd;
	struct list node;
	char line[LINE_MAX_LEN];
	size_t len;
	int passed;		/* the descriptor that came last; < 0: none */
};

/* ---- commands ---- */

struct request {
	struct machine *m;
	struct client *client;
	const char *arg;
	int fd;			/* who keeps it sets it to -1 */
	char *reply;
	size_t size;
};

static void __attribute__((format(printf, 2, 3))) reply(struct request *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->reply, r->size, fmt, ap);
	va_end(ap);
}

static void command_status(struct request *r)
{
	const struct machine *m = r->m;

	reply(r, "ok pid=%d cpus=%u mem=%lluM state=%s hvc0=%s kernel=%s\n",
	      (int)getpid(), m->cfg.cpus,
	      (unsigned long long)(m->cfg.mem >> 20), machine_state_name(m),
	      virtio_console_path(r->m), m->cfg.kernel ? m->cfg.kernel : "-");
}

static void command_powerdown(struct request *r)
{
	if (r->m->moved == MOVED_PARTLY) {
		reply(r, "error the guest runs elsewhere, and needs memory that is still here\n");
		return;
	}
	acpi_pm_press_power_button(r->m);
	reply(r, "ok\n");
}

static void command_quit(struct request *r)
{
	machine_request(r->m, MACHINE_QUIT);
	reply(r, "ok\n");
}

static void command_pause(struct request *r)
{
	if (!r->m->arrived) {
		reply(r, "error it has not arrived yet\n");
	} else if (r->m->moved != MOVED_NO) {
		reply(r, "error the guest runs elsewhere\n");
	} else {
		machine_user_pause(r->m);
		reply(r, "ok\n");
	}
}

static void command_resume(struct request *r)
{
	int err;

	if (!r->m->arrived) {
		reply(r, "error it has not arrived yet\n");
		return;
	}
	err = machine_user_resume(r->m);
	if (err == -EINVAL)
		reply(r, "error the guest runs elsewhere\n");
	else if (err == -EBUSY)
		reply(r, "error it is being moved just now\n");
	else if (err)
		reply(r, "error a disk: %s\n", strerror(-err));
	else
		reply(r, "ok\n");
}

/* A job that could not begin has failed already: the caller asks for it all the same. */
static void job_begun(struct request *r, int err)
{
	if (err == -EBUSY)
		reply(r, "error another snapshot or move is under way\n");
	else
		reply(r, "ok\n");
}

/* A regular file, so that writing to it ends, and not one that can only be read. */
static bool is_file(int fd)
{
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

static bool is_connection(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	return fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) &&
	       type == SOCK_STREAM && fcntl(fd, F_GETFL) & O_NONBLOCK;
}

static void command_snapshot(struct request *r)
{
	if (!r->m->arrived || r->m->moved != MOVED_NO) {
		reply(r, "error the guest is not here\n");
	} else if (target_incomplete(r->m)) {
		reply(r, "error its memory is not here yet\n");
	} else if (!is_file(r->fd)) {
		reply(r, "error no file that can be written came with it\n");
	} else {
		int err = snapshot_begin(r->m, r->arg, r->fd);

		r->fd = -1;
		if (!err)
			r->client->control->writes = r->client;
		job_begun(r, err);
	}
}

/* downtime=MS bandwidth=BYTES streams=N timeout=S level=N postcopy=0|1 check=0|1 uri=URI */
static bool migrate_words(struct source_opts *opts, const char *arg)
{
	int postcopy, check, used = 0;

	if (sscanf(arg, "downtime=%" SCNu32 " bandwidth=%" SCNu64 " streams=%" SCNu32 " timeout=%" SCNu32 " level=%d postcopy=%d check=%d uri=%n",
		   &opts->downtime_ms, &opts->bandwidth, &opts->streams,
		   &opts->timeout_s, &opts->level, &postcopy, &check,
		   &used) != 7 || !used)
		return false;
	opts->postcopy = postcopy;
	opts->check = check;
	opts->uri = arg + used;
	return opts->streams && opts->streams <= SOURCE_STREAMS_MAX &&
	       opts->timeout_s && opts->timeout_s <= SOURCE_TIMEOUT_MAX_S &&
	       opts->level >= 0 && opts->level <= SOURCE_LEVEL_MAX;
}

static void command_migrate(struct request *r)
{
	struct source_opts opts = { 0 };

	if (!r->m->arrived)
		reply(r, "error the guest is not here\n");
	else if (target_incomplete(r->m))
		reply(r, "error its memory is not here yet\n");
	else if (!migrate_words(&opts, r->arg))
		reply(r, "error wrong words\n");
	else
		job_begun(r, source_begin(r->m, &opts));
}

static void command_connection(struct request *r)
{
	if (!is_connection(r->fd)) {
		reply(r, "error no connection came with it\n");
	} else if (source_offer(r->m, r->fd)) {
		reply(r, "error nobody waits for a connection\n");
	} else {
		r->fd = -1;
		reply(r, "ok\n");
	}
}

static void command_query_job(struct request *r)
{
	struct machine *m = r->m;
	char text[JOB_TEXT_MAX];

	snapshot_poll(m);
	job_text(&m->job, text, sizeof(text));
	reply(r, "ok %s\n", text);
	/* The last thing that anybody wants of a machine that has moved. */
	if (m->moved == MOVED_AWAY && job_state(&m->job) == JOB_DONE)
		loop_stop(&m->loop);
}

static void command_cancel_job(struct request *r)
{
	job_cancel(r->m);
	reply(r, "ok\n");
}

static void command_query_stats(struct request *r)
{
	const struct machine *m = r->m;
	char text[COUNTERS_TEXT_MAX];
	unsigned int vcpu;
	char end;

	if (sscanf(r->arg, "%u%c", &vcpu, &end) != 1 || vcpu >= m->nr_vcpus)
		reply(r, "error there is no such vCPU\n");
	else if (!m->vcpus[vcpu].counters)
		reply(r, "error its device keeps no statistics\n");
	else if (counters_text(m->vcpus[vcpu].counters, text, sizeof(text)) < 0)
		reply(r, "error its statistics cannot be read\n");
	else
		reply(r, "ok cpus=%u%s%s\n", m->nr_vcpus, text[0] ? " " : "",
		      text);
}

static const struct {
	const char *name;
	bool wants_arg;
	void (*run)(struct request *r);
} commands[] = {
	{ "status", false, command_status },
	{ "powerdown", false, command_powerdown },
	{ "quit", false, command_quit },
	{ "pause", false, command_pause },
	{ "resume", false, command_resume },
	/* not "snapshot", by which machines of an older vmrun open a file of that name */
	{ "snapshot-to", true, command_snapshot },
	{ "migrate", true, command_migrate },
	{ "connection", false, command_connection },
	{ "query-job", false, command_query_job },
	{ "cancel-job", false, command_cancel_job },
	{ "query-stats", true, command_query_stats },
};

static void client_drop_passed(struct client *client)
{
	if (client->passed >= 0)
		close(client->passed);
	client->passed = -1;
}

static void client_command(struct client *client, char *line)
{
	char text[REPLY_MAX] = "error unknown command\n";
	char *arg = strchr(line, ' ');
	struct request r = { .m = client->control->m, .client = client,
			     .fd = client->passed, .reply = text,
			     .size = sizeof(text) };

	if (arg)
		*arg++ = '\0';
	r.arg = arg;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, line) &&
		    commands[i].wants_arg == !!arg)
			commands[i].run(&r);
	client->passed = r.fd;
	client_drop_passed(client);
	text[sizeof(text) - 2] = '\n';
	/* A client that does not read loses the answer; nothing waits for it. */
	send(client->lfd.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- connections ---- */

/* A file that nobody gives its name is not worth writing. */
static void client_leave_snapshot(struct client *client)
{
	if (client->control->writes != client)
		return;
	client->control->writes = NULL;
	snapshot_cancel(client->control->m);
}

/* A descriptor has become free. */
static void control_has_room(struct control *control)
{
	if (control->spare < 0)
		control->spare = eventfd(0, EFD_CLOEXEC);
	loop_mod(&control->m->loop, &control->listener, EPOLLIN);
}

static void client_close(struct client *client)
{
	client_leave_snapshot(client);
	loop_del(&client->control->m->loop, &client->lfd);
	close(client->lfd.fd);
	client_drop_passed(client);
	list_del(&client->node);
	control_has_room(client->control);
	free(client);
}

static void client_lines(struct client *client)
{
	char *end;

	while ((end = memchr(client->line, '\n', client->len))) {
		size_t used = (size_t)(end - client->line) + 1;

		*end = '\0';
		client_command(client, client->line);
		client->len -= used;
		memmove(client->line, client->line + used, client->len);
	}
}

/* More than the one descriptor that there is room for, to the byte, the kernel does not give. */
static void client_take_passed(struct client *client, struct msghdr *msg)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(msg);

	if (!head || head->cmsg_level != SOL_SOCKET ||
	    head->cmsg_type != SCM_RIGHTS ||
	    head->cmsg_len != CMSG_LEN(sizeof(int)))
		return;
	client_drop_passed(client);
	memcpy(&client->passed, CMSG_DATA(head), sizeof(int));
}

static ssize_t client_read(struct client *client)
{
	union {
		char room[CMSG_LEN(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { client->line + client->len,
			     LINE_MAX_LEN - client->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control.room,
			      .msg_controllen = sizeof(control.room) };
	ssize_t n = recvmsg(client->lfd.fd, &msg, MSG_CMSG_CLOEXEC);

	if (n >= 0)
		client_take_passed(client, &msg);
	return n;
}

static void client_ready(struct loop_fd *lfd, uint32_t events)
{
	struct client *client = lfd->opaque;
	ssize_t n;

	(void)events;
	n = client_read(client);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		client_close(client);
		return;
	}
	client->len += (size_t)n;
	client_lines(client);
	if (client->len == LINE_MAX_LEN)
		client_close(client);
}

static int control_accept_one(struct control *control)
{
	return accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/*
 * A guest's connections may have taken all descriptors: one is kept for whoever wants to end the machine. When that is in
 * use, or another thread was faster, who calls has to wait a little.
 */
static int control_accept(struct control *control)
{
	int fd = control_accept_one(control);

	if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
		return fd;
	if (control->spare >= 0) {
		close(control->spare);
		control->spare = -1;
		fd = control_accept_one(control);
	}
	if (fd < 0) {
		loop_mod(&control->m->loop, &control->listener, 0);
		loop_timer_set(&control->later, NSEC_PER_SEC, 0);
	}
	return fd;
}

static void control_is_later(struct loop_timer *timer)
{
	control_has_room(timer->opaque);
}

static void control_ready(struct loop_fd *lfd, uint32_t events)
{
	struct control *control = lfd->opaque;
	struct client *client;
	int fd;

	(void)events;
	fd = control_accept(control);
	if (fd < 0)
		return;
	client = calloc(1, sizeof(*client));
	if (!client) {
		close(fd);
		control_has_room(control);
		return;
	}
	client->control = control;
	client->passed = -1;
	client->lfd.fd = fd;
	client->lfd.ready = client_ready;
	client->lfd.opaque = client;
	list_add_tail(&control->clients, &client->node);
	if (loop_add(&control->m->loop, &client->lfd, EPOLLIN))
		client_close(client);
}

/* ---- the socket ---- */

/* A socket that nobody answers at is the remains of a dead machine. */
static bool control_name_is_free(const struct sockaddr_un *addr)
{
	/* One that is too busy to accept is alive, and not waited for. */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool dead;

	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) &&
	       errno == ECONNREFUSED;
	close(fd);
	return dead && !socket_remove(addr->sun_path);
}

static int control_bind(int fd, const struct sockaddr_un *addr)
{
	const struct sockaddr *sa = (const struct sockaddr *)addr;

	if (!bind(fd, sa, sizeof(*addr)))
		return 0;
	if (errno != EADDRINUSE || !control_name_is_free(addr))
		return -errno;
	return bind(fd, sa, sizeof(*addr)) ? -errno : 0;
}

static int control_listen(struct control *control)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = control_bind(fd, &control->addr);
	if (err)
		goto out_close;
	control->listener.fd = fd;
	control->listener.ready = control_ready;
	control->listener.opaque = control;
	err = listen(fd, BACKLOG) ? -errno :
	      loop_add(&control->m->loop, &control->listener, EPOLLIN);
	if (err)
		goto out_unlink;
	return 0;

out_unlink:
	unlink(control->addr.sun_path);
out_close:
	close(fd);
	return err;
}

static int control_open(struct control *control, const char *name)
{
	int err, lock;

	err = registry_make_dir();
	if (!err)
		err = registry_address(name, &control->addr);
	if (err)
		return err;
	/* Between bind() and listen() it looks dead to others. */
	lock = registry_lock();
	err = lock < 0 ? lock : control_listen(control);
	if (lock >= 0)
		close(lock);
	return err;
}

static void control_free(struct control *control)
{
	loop_timer_destroy(&control->m->loop, &control->later);
	if (control->spare >= 0)
		close(control->spare);
	free(control);
}

/* A machine runs as well where there is no place for a socket. */
int control_create(struct machine *m)
{
	struct control *control = calloc(1, sizeof(*control));
	int err;

	if (!control)
		return msg_fail(-ENOMEM, "out of memory");
	control->m = m;
	list_init(&control->clients);
	control->later.fire = control_is_later;
	control->later.opaque = control;
	err = loop_timer_init(&m->loop, &control->later);
	if (err) {
		free(control);
		return msg_fail(err, "control socket: %s", strerror(-err));
	}
	control->spare = eventfd(0, EFD_CLOEXEC);
	err = control_open(control, m->cfg.name);
	if (!err) {
		m->control = control;
		return 0;
	}
	control_free(control);
	if (err == -EADDRINUSE)
		return msg_fail(err, "--name %s: a machine of that name runs already: choose another, or end it with 'vmrun stop %s'",
				m->cfg.name, m->cfg.name);
	msg_warn("no control socket (%s): 'vmrun list' and 'vmrun stop' will not find this machine",
		 strerror(-err));
	return 0;
}

const char *control_path(const struct machine *m)
{
	return m->control ? m->control->addr.sun_path : NULL;
}

void control_unlink(struct machine *m)
{
	if (m->control)
		unlink(m->control->addr.sun_path);
}

void control_destroy(struct machine *m)
{
	struct control *control = m->control;

	if (!control)
		return;
	while (!list_empty(&control->clients))
		client_close(container_of(control->clients.next, struct client,
					  node));
	loop_del(&m->loop, &control->listener);
	control_unlink(m);
	close(control->listener.fd);
	control_free(control);
	m->control = NULL;
}
