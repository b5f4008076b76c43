// SPDX-License-Identifier: GPL-2.0-only
#include "tests/rig.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "device.h"
#include "migrate/channel.h"
#include "migrate/snapshot.h"
#include "migrate/source.h"
#include "migrate/target.h"
#include "sandbox/sandbox.h"
#include "term.h"
#include "util/list.h"

/* ---- instead of machine.c, beside board.c ---- */

const char *machine_state_name(const struct machine *m)
{
	return m->user_paused ? "paused" : "running";
}

void machine_user_pause(struct machine *m)
{
	m->user_paused = true;
}

int machine_user_resume(struct machine *m)
{
	m->user_paused = false;
	return 0;
}

/* ---- its only device ---- */

struct cell {
	struct device dev;
	struct rig *rig;
};

static struct rig *rig_of(struct device *dev)
{
	return container_of(dev, struct cell, dev)->rig;
}

static int cell_realize(struct device *dev)
{
	(void)dev;
	return 0;
}

static int cell_save(struct device *dev, struct stream *s)
{
	stream_put_u32(s, rig_of(dev)->device);
	return 0;
}

static int cell_load(struct device *dev, struct stream *s, uint32_t version)
{
	(void)version;
	rig_of(dev)->device = stream_get_u32(s);
	return 0;
}

static void cell_unrealize(struct device *dev)
{
	free(container_of(dev, struct cell, dev));
}

static const struct device_ops cell_ops = {
	.version = 1, .realize = cell_realize, .save = cell_save, .load = cell_load, .unrealize = cell_unrealize,
};

static int cell_create(struct rig *r)
{
	struct cell *cell = calloc(1, sizeof(*cell));

	if (!cell)
		return -ENOMEM;
	cell->rig = r;
	cell->dev.ops = &cell_ops;
	cell->dev.name = "cell";
	return device_register(&r->b.m, &cell->dev);
}

/* ---- the loop's thread ---- */

static void *loop_main(void *opaque)
{
	struct rig *r = opaque;
	struct machine *m = &r->b.m;

	if (r->confined) {
		const char *const sockets[] = { control_path(m), m->cfg.from ? channel_path(m->cfg.from) : NULL };

		r->err = sandbox_enter(m->sandbox, sockets, ARRAY_SIZE(sockets));
	}
	if (!r->err && m->target)
		r->err = target_start(m);
	sem_post(&r->there);
	if (!r->err)
		loop_run(&m->loop);
	loop_end_calls(&m->loop);
	snapshot_cancel(m);
	source_destroy(m);
	target_destroy(m);
	vcpus_stop(m);
	return NULL;
}

static void throttled(struct loop_timer *timer)
{
	(void)timer;
}

/* The vCPU parks at once, and stays so: machine.pause is set. */
static int vcpu_make(struct rig *r)
{
	struct machine *m = &r->b.m;

	r->vcpu.m = m;
	r->vcpu.fd = -1;
	r->vcpu.run = calloc(1, 4096);
	m->vcpus = &r->vcpu;
	m->nr_vcpus = 1;
	m->pause = true;
	vcpus_take_kicks();
	pthread_mutex_init(&m->state_lock, NULL);
	pthread_cond_init(&m->parked, NULL);
	pthread_cond_init(&m->resume, NULL);
	return r->vcpu.run ? 0 : -ENOMEM;
}

static int make(struct rig *r)
{
	struct machine *m = &r->b.m;
	int err = vcpu_make(r);

	m->throttle_timer.fire = throttled;
	if (!err)
		err = loop_timer_init(&m->loop, &m->throttle_timer);
	if (!err && r->confined)
		err = sandbox_create(&m->sandbox, &m->cfg);
	if (!err)
		err = control_create(m);
	if (!err)
		err = term_create(m);
	if (!err)
		err = cell_create(r);
	return err ? err : target_create(m);
}

int rig_start(struct rig *r, const char *name, uint64_t mem, const char *incoming, bool confined)
{
	struct machine *m = &r->b.m;
	int err;

	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "test-%s-%d", name, (int)getpid());
	r->confined = confined;
	board_init_mem(&r->b, mem);
	job_init(&m->job);
	m->cfg.name = r->name;
	m->cfg.append = "";
	m->cfg.cpus = 1;
	m->cfg.mem = mem;
	m->cfg.from = incoming;
	m->cfg.origin = incoming ? ORIGIN_INCOMING : ORIGIN_BOOT;
	m->arrived = !incoming;
	err = make(r);
	if (err)
		return err;
	sem_init(&r->there, 0, 0);
	err = -pthread_create(&r->loop, NULL, loop_main, r);
	if (err)
		return err;
	while (sem_wait(&r->there))
		;
	return r->err;
}

void rig_stop(struct rig *r)
{
	struct machine *m = &r->b.m;

	loop_stop(&m->loop);
	pthread_join(r->loop, NULL);
	sem_destroy(&r->there);
	control_destroy(m);
	term_destroy(m);
	loop_timer_destroy(&m->loop, &m->throttle_timer);
	free(r->vcpu.run);
	job_fini(&m->job);
	board_destroy(&r->b);
	sandbox_destroy(m->sandbox);
}

unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}
