// SPDX-License-Identifier: GPL-2.0-only
#include "control.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
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
};

struct client {
	struct control *control;
	struct loop_fd lfd;
	struct list node;
	char line[LINE_MAX_LEN];
	size_t len;
};

/* ---- commands ---- */

static int command_status(struct machine *m, const char *arg, char *reply,
			  size_t size)
{
	(void)arg;
	return snprintf(reply, size,
			"ok pid=%d cpus=%u mem=%lluM state=%s hvc0=%s kernel=%s\n",
			(int)getpid(), m->cfg.cpus,
			(unsigned long long)(m->cfg.mem >> 20),
			machine_state_name(m), virtio_console_path(m),
			m->cfg.kernel ? m->cfg.kernel : "-");
}

static int command_powerdown(struct machine *m, const char *arg, char *reply,
			     size_t size)
{
	(void)arg;
	acpi_pm_press_power_button(m);
	return snprintf(reply, size, "ok\n");
}

static int command_quit(struct machine *m, const char *arg, char *reply,
			size_t size)
{
	(void)arg;
	machine_request(m, MACHINE_QUIT);
	return snprintf(reply, size, "ok\n");
}

static int command_pause(struct machine *m, const char *arg, char *reply,
			 size_t size)
{
	(void)arg;
	if (!m->arrived)
		return snprintf(reply, size, "error it has not arrived yet\n");
	if (m->moved != MOVED_NO)
		return snprintf(reply, size, "error the guest runs elsewhere\n");
	machine_user_pause(m);
	return snprintf(reply, size, "ok\n");
}

static int command_resume(struct machine *m, const char *arg, char *reply,
			  size_t size)
{
	int err;

	(void)arg;
	if (!m->arrived)
		return snprintf(reply, size, "error it has not arrived yet\n");
	err = machine_user_resume(m);
	if (err == -EINVAL)
		return snprintf(reply, size, "error the guest runs elsewhere\n");
	if (err)
		return snprintf(reply, size, "error a disk: %s\n",
				strerror(-err));
	return snprintf(reply, size, "ok\n");
}

/* A job that could not begin has failed already: the caller asks for it all the same. */
static int job_begun(int err, char *reply, size_t size)
{
	if (err == -EBUSY)
		return snprintf(reply, size, "error another snapshot or move is under way\n");
	return snprintf(reply, size, "ok\n");
}

static int command_snapshot(struct machine *m, const char *arg, char *reply,
			    size_t size)
{
	if (!m->arrived || m->moved != MOVED_NO)
		return snprintf(reply, size, "error the guest is not here\n");
	if (target_incomplete(m))
		return snprintf(reply, size, "error its memory is not here yet\n");
	return job_begun(snapshot_begin(m, arg), reply, size);
}

/* downtime=MS bandwidth=BYTES streams=N timeout=S level=N postcopy=0|1 check=0|1 uri=URI */
static int command_migrate(struct machine *m, const char *arg, char *reply,
			   size_t size)
{
	struct source_opts opts = { 0 };
	int postcopy, check, used = 0;

	if (!m->arrived)
		return snprintf(reply, size, "error the guest is not here\n");
	if (target_incomplete(m))
		return snprintf(reply, size, "error its memory is not here yet\n");
	if (sscanf(arg, "downtime=%" SCNu32 " bandwidth=%" SCNu64 " streams=%" SCNu32 " timeout=%" SCNu32 " level=%d postcopy=%d check=%d uri=%n",
		   &opts.downtime_ms, &opts.bandwidth, &opts.streams,
		   &opts.timeout_s, &opts.level, &postcopy, &check,
		   &used) != 7 || !used ||
	    !opts.streams || opts.streams > SOURCE_STREAMS_MAX ||
	    !opts.timeout_s || opts.timeout_s > SOURCE_TIMEOUT_MAX_S)
		return snprintf(reply, size, "error wrong words\n");
	opts.postcopy = postcopy;
	opts.check = check;
	opts.uri = arg + used;
	return job_begun(source_begin(m, &opts), reply, size);
}

static int command_query_job(struct machine *m, const char *arg, char *reply,
			     size_t size)
{
	int n = snprintf(reply, size, "ok ");

	(void)arg;
	snapshot_poll(m);
	n += job_text(&m->job, reply + n, size - (size_t)n - 1);
	/* The last thing that anybody wants of a machine that has moved. */
	if (m->moved == MOVED_AWAY && job_state(&m->job) == JOB_DONE)
		loop_stop(&m->loop);
	return n + snprintf(reply + n, size - (size_t)n, "\n");
}

static int command_cancel_job(struct machine *m, const char *arg, char *reply,
			      size_t size)
{
	(void)arg;
	job_cancel(m);
	return snprintf(reply, size, "ok\n");
}

static int command_query_stats(struct machine *m, const char *arg, char *reply,
			       size_t size)
{
	char text[COUNTERS_TEXT_MAX];
	unsigned int vcpu;
	char end;

	if (sscanf(arg, "%u%c", &vcpu, &end) != 1 || vcpu >= m->nr_vcpus)
		return snprintf(reply, size, "error there is no such vCPU\n");
	if (!m->vcpus[vcpu].counters)
		return snprintf(reply, size, "error its device keeps no statistics\n");
	if (counters_text(m->vcpus[vcpu].counters, text, sizeof(text)) < 0)
		return snprintf(reply, size, "error its statistics cannot be read\n");
	return snprintf(reply, size, "ok cpus=%u%s%s\n", m->nr_vcpus,
			text[0] ? " " : "", text);
}

static const struct {
	const char *name;
	bool wants_arg;
	int (*run)(struct machine *m, const char *arg, char *reply, size_t size);
} commands[] = {
	{ "status", false, command_status },
	{ "powerdown", false, command_powerdown },
	{ "quit", false, command_quit },
	{ "pause", false, command_pause },
	{ "resume", false, command_resume },
	{ "snapshot", true, command_snapshot },
	{ "migrate", true, command_migrate },
	{ "query-job", false, command_query_job },
	{ "cancel-job", false, command_cancel_job },
	{ "query-stats", true, command_query_stats },
};

static void client_command(struct client *client, char *line)
{
	char reply[REPLY_MAX] = "error unknown command\n";
	char *arg = strchr(line, ' ');

	if (arg)
		*arg++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, line) &&
		    commands[i].wants_arg == !!arg)
			commands[i].run(client->control->m, arg, reply,
					sizeof(reply));
	reply[sizeof(reply) - 2] = '\n';
	/* A client that does not read loses the answer; nothing waits for it. */
	send(client->lfd.fd, reply, strlen(reply),
	     MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- connections ---- */

static void client_close(struct client *client)
{
	loop_del(&client->control->m->loop, &client->lfd);
	close(client->lfd.fd);
	list_del(&client->node);
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

static void client_ready(struct loop_fd *lfd, uint32_t events)
{
	struct client *client = lfd->opaque;
	ssize_t n;

	(void)events;
	n = read(lfd->fd, client->line + client->len,
		 LINE_MAX_LEN - client->len);
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

static void control_ready(struct loop_fd *lfd, uint32_t events)
{
	struct control *control = lfd->opaque;
	struct client *client;
	int fd;

	(void)events;
	fd = accept4(lfd->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	client = calloc(1, sizeof(*client));
	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
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
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool dead;

	if (fd < 0)
		return false;
	dead = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) &&
	       errno == ECONNREFUSED;
	close(fd);
	return dead && !unlink(addr->sun_path);
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
	int err;

	err = registry_make_dir();
	if (!err)
		err = registry_address(name, &control->addr);
	if (!err)
		err = control_listen(control);
	return err;
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
	err = control_open(control, m->cfg.name);
	if (!err) {
		m->control = control;
		return 0;
	}
	free(control);
	if (err == -EADDRINUSE)
		return msg_fail(err, "--name %s: a machine of that name runs already: choose another, or end it with 'vmrun stop %s'",
				m->cfg.name, m->cfg.name);
	msg_warn("no control socket (%s): 'vmrun list' and 'vmrun stop' will not find this machine",
		 strerror(-err));
	return 0;
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
	free(control);
	m->control = NULL;
}
