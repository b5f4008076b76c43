// SPDX-License-Identifier: GPL-2.0-only
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/boot.h"
#include "control.h"
#include "dev/acpi_pm.h"
#include "dev/i8042.h"
#include "dev/rtc.h"
#include "dev/serial.h"
#include "device.h"
#include "migrate/channel.h"
#include "migrate/snapshot.h"
#include "migrate/source.h"
#include "migrate/target.h"
#include "migrate/verify.h"
#include "pci.h"
#include "sandbox/sandbox.h"
#include "sandbox/violation.h"
#include "term.h"
#include "util/list.h"
#include "util/msg.h"
#include "util/time.h"
#include "vcpu.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"

#define LINGER_NS 2000000000ull

/* ---- requests ---- */

void machine_request(struct machine *m, enum machine_request what)
{
	uint64_t one = 1;

	pthread_mutex_lock(&m->state_lock);
	if (m->request < what)
		m->request = what;
	__atomic_store_n(&m->pause, true, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->state_lock);
	/* It cannot fail: the counter is drained long before it is full. */
	if (write(m->request_lfd.fd, &one, sizeof(one)) < 0)
		return;
}

bool machine_is_asked(struct machine *m)
{
	bool asked;

	pthread_mutex_lock(&m->state_lock);
	asked = m->request != MACHINE_RUN;
	pthread_mutex_unlock(&m->state_lock);
	return asked;
}

static unsigned int machine_running(const struct machine *m)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < m->nr_vcpus; i++)
		n += m->vcpus[i].started;
	return n;
}

void machine_pause(struct machine *m)
{
	m->holds++;
	pthread_mutex_lock(&m->state_lock);
	__atomic_store_n(&m->pause, true, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&m->state_lock);
	vcpus_kick(m);
	pthread_mutex_lock(&m->state_lock);
	while (m->nr_parked < machine_running(m))
		pthread_cond_wait(&m->parked, &m->state_lock);
	pthread_mutex_unlock(&m->state_lock);
}

/* A request that has come meanwhile keeps the vCPUs parked. */
void machine_resume(struct machine *m)
{
	m->holds--;
	pthread_mutex_lock(&m->state_lock);
	if (m->request == MACHINE_RUN && !m->holds) {
		clock_release(m);
		__atomic_store_n(&m->pause, false, __ATOMIC_SEQ_CST);
		pthread_cond_broadcast(&m->resume);
	}
	pthread_mutex_unlock(&m->state_lock);
}

void machine_user_pause(struct machine *m)
{
	if (m->user_paused)
		return;
	m->user_paused = true;
	machine_pause(m);
	clock_hold(m);
}

/*
 * A guest that was handed over to nobody comes back with its disks; not while a job asks whether
 * it runs over there. No job changes machine.moved once it is over.
 */
int machine_user_resume(struct machine *m)
{
	bool asking = job_state(&m->job) == JOB_RUNNING;
	int err;

	if (asking && (m->moved == MOVED_GOING || m->moved == MOVED_PERHAPS))
		return -EBUSY;
	if (m->moved != MOVED_NO && m->moved != MOVED_PERHAPS)
		return -EINVAL;
	if (m->moved == MOVED_PERHAPS) {
		source_settle(m);
		err = virtio_blk_lock_all(m);
		if (err)
			return err;
		m->moved = MOVED_NO;
		mem_log_stop(m);
		devices_start(m);
		machine_resume(m);
	}
	if (m->user_paused) {
		m->user_paused = false;
		machine_resume(m);
	}
	return 0;
}

const char *machine_state_name(const struct machine *m)
{
	static const char *const moved[] = {
		[MOVED_GOING] = "moving", [MOVED_PERHAPS] = "in-doubt",
		[MOVED_PARTLY] = "serving", [MOVED_AWAY] = "moved",
	};

	if (!m->arrived)
		return "incoming";
	if (m->moved != MOVED_NO)
		return moved[m->moved];
	return m->user_paused ? "paused" : "running";
}

/* ---- holding vCPUs back ---- */

/* Longer than what a guest takes to notice, shorter than what its users do. */
#define THROTTLE_PERIOD_NS 20000000ull
#define THROTTLE_HOLD_MAX_NS 500000000ull

/*
 * They are held for as long as what they had before asks for: where the host has no
 * processor left for this thread, it comes late by many times what they were to have.
 */
static void machine_throttle_fire(struct loop_timer *timer)
{
	struct machine *m = timer->opaque;
	uint64_t percent = __atomic_load_n(&m->throttle, __ATOMIC_RELAXED);
	uint64_t until = __atomic_load_n(&m->held_until, __ATOMIC_RELAXED);
	uint64_t share = THROTTLE_PERIOD_NS * (100 - percent) / 100;
	uint64_t now = now_ns(), had, hold;

	if (!percent)
		return;
	if (now >= until) {
		had = until ? now - until : share;
		hold = had * percent / (100 - percent);
		if (hold > THROTTLE_HOLD_MAX_NS)
			hold = THROTTLE_HOLD_MAX_NS;
		until = now + hold;
		__atomic_store_n(&m->held_until, until, __ATOMIC_RELAXED);
		vcpus_kick(m);
	}
	loop_timer_set(timer, until + share - now, 0);
}

void machine_throttle(struct machine *m, uint32_t percent)
{
	uint32_t before = __atomic_exchange_n(&m->throttle, percent,
					      __ATOMIC_RELAXED);

	if (!percent || !before)
		__atomic_store_n(&m->held_until, 0, __ATOMIC_RELAXED);
	if (percent && !before)
		loop_timer_set(&m->throttle_timer, THROTTLE_PERIOD_NS, 0);
}

/* ---- from power-on ---- */

static int machine_fail_reset(int err)
{
	return msg_fail(err, "cannot reset the machine: %s", strerror(-err));
}

/* From power-on to the kernel's entry. No vCPU runs. */
static int machine_start_guest(struct machine *m)
{
	int err;

	err = kvm_chips_reset(&m->kvm, m->chips);
	if (err)
		return machine_fail_reset(err);
	err = vcpus_reset(m);
	if (err)
		return machine_fail_reset(err);
	devices_reset(m);
	err = boot_load(m);
	/* Of the loader's writes nobody keeps a list. */
	mem_touched(m, m->mem.host, m->mem.size);
	return err;
}

/*
 * Parking may have raised the request once more (several vCPUs reset the
 * machine at once): it is taken back only now.
 */
static void machine_restart(struct machine *m)
{
	machine_pause(m);
	pthread_mutex_lock(&m->state_lock);
	if (m->request == MACHINE_RESET)
		m->request = MACHINE_RUN;
	pthread_mutex_unlock(&m->state_lock);
	if (machine_start_guest(m))
		machine_request(m, MACHINE_FAILED);
	machine_resume(m);
}

static void machine_request_ready(struct loop_fd *lfd, uint32_t events)
{
	struct machine *m = lfd->opaque;
	enum machine_request what;
	uint64_t count;

	(void)events;
	if (read(lfd->fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&m->state_lock);
	what = m->request;
	pthread_mutex_unlock(&m->state_lock);
	if (what == MACHINE_RESET && !m->boot && !m->cfg.no_reboot)
		msg_warn("'%s' resets, and its kernel is not known here: it ends",
			 m->cfg.name);
	if (what == MACHINE_RESET && !m->cfg.no_reboot && m->boot)
		machine_restart(m);
	else if (what == MACHINE_MOVED)
		loop_timer_set(&m->linger_timer, LINGER_NS, 0);
	else if (what != MACHINE_RUN)
		loop_stop(&m->loop);
}

/* The command that asked for the move wants to hear of it: see command_query_job(). */
static void machine_linger_fire(struct loop_timer *timer)
{
	struct machine *m = timer->opaque;

	loop_stop(&m->loop);
}

static int machine_open_requests(struct machine *m)
{
	int err;

	m->request_lfd.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->request_lfd.fd < 0)
		return -errno;
	m->request_lfd.ready = machine_request_ready;
	m->request_lfd.opaque = m;
	err = loop_add(&m->loop, &m->request_lfd, EPOLLIN);
	if (err)
		close(m->request_lfd.fd);
	return err;
}

/* ---- signals ---- */

static void machine_signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCONT);
}

void machine_block_signals(void)
{
	sigset_t set;

	machine_signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void machine_signal_ready(struct loop_fd *lfd, uint32_t events)
{
	struct machine *m = lfd->opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(lfd->fd, &info, sizeof(info)) != sizeof(info))
		return;
	/* A shell may have changed the terminal while we were stopped. */
	if (info.ssi_signo == SIGCONT)
		term_resume(m->term);
	else
		machine_request(m, MACHINE_QUIT);
}

static int machine_open_signals(struct machine *m)
{
	sigset_t set;
	int err;

	machine_signal_set(&set);
	m->signal_lfd.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (m->signal_lfd.fd < 0)
		return -errno;
	m->signal_lfd.ready = machine_signal_ready;
	m->signal_lfd.opaque = m;
	err = loop_add(&m->loop, &m->signal_lfd, EPOLLIN);
	if (err)
		close(m->signal_lfd.fd);
	return err;
}

/* ---- creation: each step has its undoing beside it ---- */

static int machine_setup_state(struct machine *m)
{
	m->cwd = getcwd(NULL, 0);
	list_init(&m->devices);
	job_init(&m->job);
	pthread_mutex_init(&m->state_lock, NULL);
	pthread_cond_init(&m->parked, NULL);
	pthread_cond_init(&m->resume, NULL);
	return 0;
}

static void machine_undo_state(struct machine *m)
{
	pthread_cond_destroy(&m->resume);
	pthread_cond_destroy(&m->parked);
	pthread_mutex_destroy(&m->state_lock);
	job_fini(&m->job);
	free(m->cwd);
}

/* Before there is anything to clean up, tell of a disk that cannot be used. */
static int machine_check_disk(const struct disk_config *disk)
{
	int fd = open(disk->path, (disk->ro ? O_RDONLY : O_RDWR) | O_CLOEXEC |
		      O_NONBLOCK);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return msg_fail(-errno, "--disk %s: %s%s", disk->path,
				strerror(errno),
				!disk->ro && (errno == EROFS || errno == EACCES) ?
				": add ,ro for a disk that is only read" : "");
	if (fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		err = msg_fail(-EINVAL, "--disk %s: neither a file nor a block device",
			       disk->path);
	close(fd);
	return err;
}

static int machine_setup_files(struct machine *m)
{
	for (unsigned int i = 0; i < m->cfg.nr_disks; i++) {
		int err = machine_check_disk(&m->cfg.disks[i]);

		if (err)
			return err;
	}
	if (m->cfg.origin == ORIGIN_SNAPSHOT)
		return snapshot_open(&m->snapshot, m->cfg.from);
	return 0;
}

/* A guest that is here already needs its kernel only when it resets. */
static bool machine_wants_kernel(const struct machine *m)
{
	if (m->cfg.origin != ORIGIN_SNAPSHOT || !m->cfg.kernel)
		return m->cfg.kernel;
	if (!access(m->cfg.kernel, R_OK) &&
	    (!m->cfg.initrd || !access(m->cfg.initrd, R_OK)))
		return true;
	msg_warn("%s: %s: a reset of the guest will end the machine",
		 m->cfg.kernel, strerror(errno));
	return false;
}

static int machine_setup_boot(struct machine *m)
{
	return machine_wants_kernel(m) ? boot_open(&m->boot, &m->cfg) : 0;
}

static void machine_undo_files(struct machine *m)
{
	snapshot_close(m->snapshot);
}

static int machine_setup_sandbox(struct machine *m)
{
	return sandbox_create(&m->sandbox, &m->cfg);
}

static void machine_undo_sandbox(struct machine *m)
{
	sandbox_destroy(m->sandbox);
}

static void machine_undo_boot(struct machine *m)
{
	boot_close(m->boot);
}

static int machine_open_timers(struct machine *m)
{
	int err;

	m->throttle_timer.fire = machine_throttle_fire;
	m->throttle_timer.opaque = m;
	m->linger_timer.fire = machine_linger_fire;
	m->linger_timer.opaque = m;
	err = loop_timer_init(&m->loop, &m->throttle_timer);
	if (err)
		return err;
	err = loop_timer_init(&m->loop, &m->linger_timer);
	if (err)
		loop_timer_destroy(&m->loop, &m->throttle_timer);
	return err;
}

static int machine_setup_loop(struct machine *m)
{
	int err = loop_init(&m->loop);

	if (err)
		return msg_fail(err, "epoll: %s", strerror(-err));
	err = machine_open_requests(m);
	if (err)
		goto out_loop;
	err = machine_open_signals(m);
	if (err)
		goto out_requests;
	err = machine_open_timers(m);
	if (err)
		goto out_signals;
	return 0;

out_signals:
	close(m->signal_lfd.fd);
out_requests:
	close(m->request_lfd.fd);
out_loop:
	loop_destroy(&m->loop);
	return msg_fail(err, "eventfd or signalfd: %s", strerror(-err));
}

static void machine_undo_loop(struct machine *m)
{
	loop_timer_destroy(&m->loop, &m->linger_timer);
	loop_timer_destroy(&m->loop, &m->throttle_timer);
	close(m->signal_lfd.fd);
	close(m->request_lfd.fd);
	loop_destroy(&m->loop);
}

static int machine_setup_kvm(struct machine *m)
{
	return kvm_open(&m->kvm, m->cfg.device);
}

static void machine_undo_kvm(struct machine *m)
{
	kvm_close(&m->kvm);
}

static int machine_setup_mem(struct machine *m)
{
	int err = mem_init(&m->mem, m->cfg.mem);

	if (err)
		return err;
	if (m->snapshot)
		err = snapshot_map(m);
	if (!err)
		err = mem_map_guest(m);
	if (err)
		mem_destroy(&m->mem);
	return err;
}

/* The VM is closed by then: nothing maps the pages any more. */
static void machine_undo_mem(struct machine *m)
{
	mem_destroy(&m->mem);
}

static int machine_setup_bus(struct machine *m)
{
	int err = bus_init(&m->bus);

	if (err)
		return msg_fail(err, "bus: %s", strerror(-err));
	return 0;
}

static void machine_undo_bus(struct machine *m)
{
	bus_destroy(&m->bus);
}

static int machine_setup_irq(struct machine *m)
{
	int err = irq_init(&m->irq);

	if (!err)
		err = irq_setup(m);
	if (!err)
		err = kvm_chips_capture(&m->kvm, &m->chips);
	if (err)
		return msg_fail(err, "cannot set up the interrupt controllers: %s",
				strerror(-err));
	return 0;
}

static void machine_undo_irq(struct machine *m)
{
	kvm_chips_free(m->chips);
	irq_destroy(&m->irq);
}

static int machine_setup_devices(struct machine *m)
{
	static int (*const board[])(struct machine *m) = {
		acpi_pm_create,
		i8042_create,
		rtc_create,
		serial_create,
		pci_create,
		virtio_rng_create,
		virtio_console_create,
	};
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(board); i++)
		err = board[i](m);
	for (unsigned int i = 0; !err && i < m->cfg.nr_disks; i++)
		err = virtio_blk_create(m, &m->cfg.disks[i]);
	if (!err && m->cfg.net.kind != NET_NONE)
		err = virtio_net_create(m, &m->cfg.net);
	if (err)
		devices_destroy(m);
	return err;
}

static void machine_restore_term(void *opaque)
{
	struct machine *m = opaque;

	if (m->term)
		term_restore(m->term);
}

static int machine_confine(struct machine *m)
{
	const char *const sockets[] = {
		control_path(m),
		m->cfg.origin == ORIGIN_INCOMING ? channel_path(m->cfg.from) : NULL,
	};

	violation_at_end(machine_restore_term, m);
	return sandbox_enter(m->sandbox, sockets, ARRAY_SIZE(sockets));
}

/* The order is the order of dependence; teardown goes backwards. */
static const struct {
	int (*setup)(struct machine *m);
	void (*undo)(struct machine *m);
} machine_steps[] = {
	{ machine_setup_state, machine_undo_state },
	{ machine_setup_sandbox, machine_undo_sandbox },
	{ machine_setup_files, machine_undo_files },
	{ machine_setup_boot, machine_undo_boot },
	{ machine_setup_loop, machine_undo_loop },
	{ machine_setup_kvm, machine_undo_kvm },
	{ machine_setup_mem, machine_undo_mem },
	{ machine_setup_bus, machine_undo_bus },
	{ machine_setup_irq, machine_undo_irq },
	{ vcpus_create, vcpus_destroy },
	{ control_create, control_destroy },
	{ term_create, term_destroy },
	{ machine_setup_devices, devices_destroy },
	{ target_create, target_destroy },
	/* the last one: nothing can be opened any more */
	{ machine_confine, NULL },
};

static void machine_undo(struct machine *m, size_t steps)
{
	while (steps--)
		if (machine_steps[steps].undo)
			machine_steps[steps].undo(m);
}

int machine_create(struct machine *m, const struct machine_config *cfg)
{
	memset(m, 0, sizeof(*m));
	m->cfg = *cfg;
	for (size_t i = 0; i < ARRAY_SIZE(machine_steps); i++) {
		int err = machine_steps[i].setup(m);

		if (err) {
			machine_undo(m, i);
			return err;
		}
	}
	return 0;
}

void machine_destroy(struct machine *m)
{
	machine_undo(m, ARRAY_SIZE(machine_steps));
}

static int machine_start_booted(struct machine *m)
{
	int err = machine_start_guest(m);

	m->arrived = true;
	return err ? err : vcpus_start(m);
}

static int machine_start_restored(struct machine *m)
{
	int err = verifier_start(m);

	if (!err)
		err = snapshot_load(m);
	m->arrived = true;
	if (!err)
		devices_start(m);
	return err ? err : vcpus_start(m);
}

static int (*const machine_starts[])(struct machine *m) = {
	[ORIGIN_BOOT] = machine_start_booted,
	[ORIGIN_INCOMING] = target_start,
	[ORIGIN_SNAPSHOT] = machine_start_restored,
};

int machine_run(struct machine *m)
{
	int err;

	if (m->cfg.origin != ORIGIN_INCOMING)
		term_greet(m->term);
	err = machine_starts[m->cfg.origin](m);
	/* A signal while the snapshot was looked through first. */
	if (err == -ECANCELED) {
		machine_request(m, MACHINE_QUIT);
		err = 0;
	}
	if (!err) {
		err = loop_run(&m->loop);
		if (err)
			msg_fail(err, "event loop: %s", strerror(-err));
	}
	loop_end_calls(&m->loop);
	target_check_complete(m);
	snapshot_cancel(m);
	source_destroy(m);
	target_destroy(m);
	verifier_stop(m);
	vcpus_stop(m);
	return err ? err : (int)m->request;
}
