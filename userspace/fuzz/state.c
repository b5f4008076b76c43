// SPDX-License-Identifier: GPL-2.0-only
#include "fuzz/state.h"

#include <fcntl.h>
#include <unistd.h>

#include "dev/acpi_pm.h"
#include "dev/i8042.h"
#include "dev/rtc.h"
#include "dev/serial.h"
#include "migrate/state.h"
#include "net/net.h"
#include "pci.h"
#include "util/list.h"
#include "vcpu.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/rng.h"

#define SECTIONS_MAX	40
#define QUEUE_MAX	8

static const char *const names[] = {
	"vcpu0", "chips", "clock", "acpi-pm", "i8042", "rtc", "serial0", "pci", "virtio-rng0", "virtio-console0",
	"virtio-blk0", "config", "foreign",
};

static struct vcpu vcpu;

static bool have_ptys(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void state_machine(struct board *b)
{
	static char path[64];
	struct disk_config disk = { .path = path };
	struct machine *m = &b->m;
	int image = rig_file(path, sizeof(path));

	if (ftruncate(image, 65536))
		abort();
	rig_init(b, STATE_RAM);
	vcpu.m = m;
	vcpu.fd = -1;
	vcpu.run = calloc(1, 4096);
	m->vcpus = &vcpu;
	m->nr_vcpus = 1;
	m->cfg.cpus = 1;
	m->cfg.mem = STATE_RAM;
	m->cfg.append = "";
	m->cfg.nr_disks = 1;
	m->cfg.disks[0] = disk;
	fuzz_assert(!acpi_pm_create(m) && !i8042_create(m) && !rtc_create(m) && !serial_create(m) && !pci_create(m) &&
		    !virtio_rng_create(m));
	if (have_ptys())
		fuzz_assert(!virtio_console_create(m));
	fuzz_assert(!virtio_blk_create(m, &disk));
}

static void put_section(struct fuzz_in *in, struct stream *s)
{
	const char *name = names[fuzz_u8(in) % ARRAY_SIZE(names)];
	uint8_t version = fuzz_u8(in);
	struct stream body;
	size_t len;
	const uint8_t *data = fuzz_take(in, fuzz_u16(in), &len);

	stream_init(&body);
	stream_put_bytes(&body, data, len);
	section_put(s, name, version == 0xff ? ~0u : version, &body);
	stream_destroy(&body);
}

void state_build(struct board *b, struct fuzz_in *in, struct stream *s)
{
	uint8_t how = fuzz_u8(in);

	stream_init(s);
	if (!(how & 1))
		fuzz_assert(!config_save(&b->m, s));
	for (unsigned int i = 0; in->left && i < SECTIONS_MAX; i++)
		put_section(in, s);
	if (!(how & 2))
		section_put_end(s);
}

static unsigned int name_index(const char *name)
{
	unsigned int i = 0;

	while (i < ARRAY_SIZE(names) && strcmp(names[i], name))
		i++;
	fuzz_assert(i < ARRAY_SIZE(names));
	return i;
}

void state_seed(struct board *b, struct fuzz_out *out)
{
	struct section sec;
	struct stream s;
	unsigned int i = 0;

	stream_init(&s);
	fuzz_assert(!state_save(&b->m, &s));
	fuzz_put_int(out, 0, 1);
	while (section_get(&s, &sec) > 0) {
		/* the first is the description, which is made anew */
		if (i++) {
			fuzz_put_int(out, name_index(sec.name), 1);
			fuzz_put_int(out, sec.version, 1);
			fuzz_put_int(out, sec.body.len, 2);
			fuzz_put(out, sec.body.data, sec.body.len);
		}
		section_destroy(&sec);
	}
	stream_destroy(&s);
}

void state_use(struct board *b, unsigned int slot)
{
	struct dqueue q;
	struct driver d;

	if (!driver_probe(&d, b, slot))
		return;
	driver_negotiate(&d, ~0ull);
	dqueue_init(&q, &d, 0, QUEUE_MAX);
	driver_ok(&d);
	rig_pump(b);
}
