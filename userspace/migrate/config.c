// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpuid.h"
#include "machine.h"
#include "migrate/state.h"
#include "section.h"
#include "util/list.h"
#include "vcpu.h"
#include "virtio/blk.h"

#define CONFIG_VERSION	1

/* What a configuration section holds. Strings are allocated. */
struct config {
	char *name, *kernel, *initrd, *append;
	uint32_t cpus;
	uint64_t mem;
	uint32_t nr_disks;
	struct config_disk {
		char *path;
		uint8_t ro;
		uint64_t size;
	} disks[MACHINE_MAX_DISKS];
	uint8_t net;
	char *tap;
	uint8_t no_reboot;
	uint32_t tsc_khz;
	struct kvm_cpuid2 *cpuid;	/* of the first vCPU */
};

static void config_free(struct config *c)
{
	free(c->name);
	free(c->kernel);
	free(c->initrd);
	free(c->append);
	for (uint32_t i = 0; i < c->nr_disks; i++)
		free(c->disks[i].path);
	free(c->tap);
	free(c->cpuid);
}

/* Whoever reads the section stands elsewhere. */
static void put_path(struct machine *m, struct stream *s, const char *path)
{
	char whole[PATH_MAX];

	if (path && path[0] != '/' && m->cwd &&
	    snprintf(whole, sizeof(whole), "%s/%s", m->cwd, path) < (int)sizeof(whole))
		path = whole;
	stream_put_string(s, path);
}

static void config_put(struct machine *m, struct stream *s)
{
	const struct machine_config *cfg = &m->cfg;
	int khz = kvm_ioctl_num(m->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);

	stream_put_string(s, cfg->name);
	put_path(m, s, cfg->kernel);
	put_path(m, s, cfg->initrd);
	stream_put_string(s, cfg->append);
	stream_put_u32(s, cfg->cpus);
	stream_put_u64(s, cfg->mem);
	stream_put_u32(s, cfg->nr_disks);
	for (unsigned int i = 0; i < cfg->nr_disks; i++) {
		put_path(m, s, cfg->disks[i].path);
		stream_put_u8(s, cfg->disks[i].ro);
		stream_put_u64(s, virtio_blk_file_size(m, i));
	}
	stream_put_u8(s, cfg->net.kind);
	stream_put_string(s, cfg->net.tap);
	stream_put_u8(s, cfg->no_reboot);
	stream_put_u32(s, khz > 0 ? (uint32_t)khz : 0);
}

int config_save(struct machine *m, struct stream *s)
{
	struct stream body;
	int err;

	stream_init(&body);
	config_put(m, &body);
	err = vcpu_cpuid_save(&m->vcpus[0], &body);
	if (err)
		stream_fail(&body, err);
	section_put(s, "config", CONFIG_VERSION, &body);
	stream_destroy(&body);
	return stream_error(s);
}

static void config_get_disks(struct config *c, struct stream *s)
{
	uint32_t nr = stream_get_u32(s);

	if (nr > MACHINE_MAX_DISKS) {
		stream_fail(s, -EPROTO);
		return;
	}
	for (; c->nr_disks < nr; c->nr_disks++) {
		struct config_disk *disk = &c->disks[c->nr_disks];

		disk->path = stream_get_string(s);
		if (!disk->path || !disk->path[0])
			stream_fail(s, -EPROTO);
		disk->ro = stream_get_u8(s);
		disk->size = stream_get_u64(s);
	}
}

static void config_get(struct config *c, struct stream *s)
{
	c->name = stream_get_string(s);
	c->kernel = stream_get_string(s);
	c->initrd = stream_get_string(s);
	c->append = stream_get_string(s);
	c->cpus = stream_get_u32(s);
	c->mem = stream_get_u64(s);
	config_get_disks(c, s);
	c->net = stream_get_u8(s);
	c->tap = stream_get_string(s);
	c->no_reboot = stream_get_u8(s);
	c->tsc_khz = stream_get_u32(s);
	c->cpuid = vcpu_cpuid_read(s);
	if (c->net == NET_TAP && (!c->tap || !c->tap[0]))
		stream_fail(s, -EPROTO);
	if (!c->cpus || c->cpus > MACHINE_MAX_CPUS || c->net > NET_TAP ||
	    !c->mem || c->mem % MEM_PAGE)
		stream_fail(s, -EPROTO);
}

static int config_take_section(struct config *c, struct section *sec)
{
	if (strcmp(sec->name, "config"))
		return -EPROTO;
	if (sec->version > CONFIG_VERSION)
		return -ENOTSUP;
	config_get(c, &sec->body);
	return section_finish(sec);
}

static int config_open(struct config *c, struct stream *s, char *why,
		       size_t size)
{
	struct section sec;
	int err;

	memset(c, 0, sizeof(*c));
	err = section_get(s, &sec);
	if (err > 0) {
		err = config_take_section(c, &sec);
		section_destroy(&sec);
	} else if (!err) {
		err = -EPROTO;
	}
	if (err)
		snprintf(why, size, err == -ENOTSUP ?
			 "it comes from a newer vmrun" :
			 "the machine's description is damaged");
	if (err)
		config_free(c);
	return err;
}

/* ---- can this machine take that one's place? ---- */

static int differ(char *why, size_t size, const char *what,
		  unsigned long long theirs, unsigned long long ours)
{
	snprintf(why, size, "it has %s %llu, this machine %llu", what, theirs,
		 ours);
	return -EINVAL;
}

static int check_disks(struct machine *m, const struct config *c, char *why,
		       size_t size)
{
	const struct machine_config *cfg = &m->cfg;

	if (c->nr_disks != cfg->nr_disks)
		return differ(why, size, "disks:", c->nr_disks, cfg->nr_disks);
	for (unsigned int i = 0; i < cfg->nr_disks; i++) {
		if (c->disks[i].ro != cfg->disks[i].ro) {
			snprintf(why, size, "disk %s is read-only on one side only",
				 cfg->disks[i].path);
			return -EINVAL;
		}
		/* 0: a block device, from a vmrun that did not know their sizes */
		if (c->disks[i].size && c->disks[i].size != virtio_blk_file_size(m, i)) {
			snprintf(why, size, "disk %s has another size here",
				 cfg->disks[i].path);
			return -EINVAL;
		}
	}
	return 0;
}

static int check_board(struct machine *m, const struct config *c, char *why,
		       size_t size)
{
	const struct machine_config *cfg = &m->cfg;

	if (c->mem != cfg->mem)
		return differ(why, size, "--mem (MiB)", c->mem >> 20,
			      cfg->mem >> 20);
	if (c->cpus != cfg->cpus)
		return differ(why, size, "--cpus", c->cpus, cfg->cpus);
	if (!c->net != !cfg->net.kind)
		return differ(why, size, "network cards:", !!c->net,
			      !!cfg->net.kind);
	return check_disks(m, c, why, size);
}

static struct kvm_cpuid2 *own_cpuid(struct machine *m)
{
	struct kvm_cpuid2 *table = NULL;
	struct stream s;

	stream_init(&s);
	if (!vcpu_cpuid_save(&m->vcpus[0], &s))
		table = vcpu_cpuid_read(&s);
	stream_destroy(&s);
	return table;
}

static int check_cpu(struct machine *m, const struct config *c, char *why,
		     size_t size)
{
	struct kvm_cpuid2 *own = own_cpuid(m);
	int err = own ? cpuid_can_be(own, c->cpuid, why, size) : -ENOMEM;

	free(own);
	return err;
}

int config_check(struct machine *m, struct stream *s, char *why, size_t size)
{
	struct config c;
	int err = config_open(&c, s, why, size);

	if (err)
		return err;
	err = check_board(m, &c, why, size);
	if (!err)
		err = check_cpu(m, &c, why, size);
	config_free(&c);
	return err;
}

/* ---- a machine like that ---- */

/* An empty string stands for none. */
static const char *take(char **text)
{
	char *taken = *text;

	*text = NULL;
	if (taken && taken[0])
		return taken;
	free(taken);
	return NULL;
}

static void config_take(struct machine_config *cfg, struct config *c)
{
	cfg->name = take(&c->name);
	cfg->kernel = take(&c->kernel);
	cfg->initrd = take(&c->initrd);
	cfg->append = take(&c->append);
	if (!cfg->append)
		cfg->append = strdup("");
	cfg->cpus = c->cpus;
	cfg->mem = c->mem;
	cfg->nr_disks = c->nr_disks;
	for (uint32_t i = 0; i < c->nr_disks; i++) {
		cfg->disks[i].path = take(&c->disks[i].path);
		cfg->disks[i].ro = c->disks[i].ro;
	}
	cfg->net.kind = c->net;
	cfg->net.tap = take(&c->tap);
	cfg->no_reboot = c->no_reboot;
}

int config_read(struct machine_config *cfg, struct stream *s, char *why,
		size_t size)
{
	struct config c;
	int err = config_open(&c, s, why, size);

	if (err)
		return err;
	config_take(cfg, &c);
	config_free(&c);
	return cfg->append ? 0 : -ENOMEM;
}
