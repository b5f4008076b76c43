// SPDX-License-Identifier: GPL-2.0-only
#include "boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "machine.h"
#include "mem.h"
#include "util/list.h"
#include "util/msg.h"

#define BOOT_HEAD	4096
#define PAGE_MASK	0xfffull

static const struct boot_format *const boot_formats[] = {
	&boot_linux,
	&boot_pvh,
};

static int boot_find_format(struct boot *boot)
{
	uint8_t head[BOOT_HEAD] = { 0 };
	uint64_t len = boot->kernel.size;
	int err;

	if (len > sizeof(head))
		len = sizeof(head);
	err = image_read(&boot->kernel, 0, head, len);
	if (err)
		return err;
	for (size_t i = 0; i < ARRAY_SIZE(boot_formats); i++) {
		if (!boot_formats[i]->match(head, len))
			continue;
		boot->format = boot_formats[i];
		return 0;
	}
	return msg_fail(-ENOEXEC, "--kernel %s: neither a bzImage nor an ELF kernel for x86-64",
			boot->kernel.path);
}

static int boot_open_files(struct boot *boot, const struct machine_config *cfg)
{
	int err;

	err = image_open(&boot->kernel, "--kernel", cfg->kernel);
	if (err)
		return err;
	err = boot_find_format(boot);
	if (err)
		return err;
	if (!cfg->initrd)
		return 0;
	return image_open(&boot->initrd, "--initrd", cfg->initrd);
}

int boot_open(struct boot **bootp, const struct machine_config *cfg)
{
	struct boot *boot = calloc(1, sizeof(*boot));
	int err;

	if (!boot)
		return msg_fail(-ENOMEM, "out of memory");
	boot->kernel.fd = -1;
	boot->initrd.fd = -1;
	err = boot_open_files(boot, cfg);
	if (!err)
		err = boot->format->open(boot, cfg);
	if (err) {
		boot_close(boot);
		return err;
	}
	*bootp = boot;
	return 0;
}

void boot_close(struct boot *boot)
{
	if (!boot)
		return;
	image_close(&boot->kernel);
	image_close(&boot->initrd);
	free(boot);
}

int boot_place(struct boot *boot, const struct machine_config *cfg,
	       uint64_t limit)
{
	uint64_t low = cfg->mem < MEM_HOLE_START ? cfg->mem : MEM_HOLE_START;
	uint64_t mib = (boot->kernel_end + MIB(1) - 1) >> 20;

	if (boot->kernel_end > low)
		return msg_fail(-ENOMEM, "--kernel %s: needs at least --mem %lluM to start",
				boot->kernel.path, (unsigned long long)mib);
	if (boot->initrd.fd < 0)
		return 0;
	if (limit > low)
		limit = low;
	if (boot->initrd.size > limit ||
	    ((limit - boot->initrd.size) & ~PAGE_MASK) < boot->kernel_end)
		return msg_fail(-ENOMEM, "--initrd %s: %llu MiB do not fit beside the kernel into %llu MiB of memory: give the guest more with --mem",
				boot->initrd.path,
				(unsigned long long)((boot->initrd.size + MIB(1) - 1) >> 20),
				(unsigned long long)(limit >> 20));
	boot->initrd_gpa = (limit - boot->initrd.size) & ~PAGE_MASK;
	return 0;
}

int boot_load_initrd(struct machine *m, struct boot *boot)
{
	if (boot->initrd.fd < 0)
		return 0;
	return image_load(m, &boot->initrd, 0, boot->initrd_gpa,
			  boot->initrd.size);
}

int boot_load_cmdline(struct machine *m)
{
	const char *s = m->cfg.append;

	return mem_write(m, BOOT_CMDLINE, s, strlen(s) + 1);
}

unsigned int boot_memory_map(struct machine *m,
			     struct boot_range map[BOOT_RANGES_MAX])
{
	const struct boot_range all[] = {
		{ 0, BOOT_LOW_END, BOOT_E820_RAM },
		{ BOOT_LOW_END, BOOT_HIGH - BOOT_LOW_END, BOOT_E820_RESERVED },
		{ BOOT_HIGH, m->mem.low - BOOT_HIGH, BOOT_E820_RAM },
		/* IOAPIC, LAPIC and the pages that VT-x may need. */
		{ BOARD_IOAPIC, MEM_HOLE_END - BOARD_IOAPIC,
		  BOOT_E820_RESERVED },
		{ MEM_HOLE_END, m->mem.high, BOOT_E820_RAM },
	};
	unsigned int nr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].size)
			map[nr++] = all[i];
	return nr;
}

int boot_load(struct machine *m)
{
	int err;

	/* Nothing of an earlier life may look like a table. */
	memset(mem_at(m, 0, BOOT_HIGH), 0, BOOT_HIGH);
	err = acpi_load(m);
	if (err)
		return err;
	return m->boot->format->load(m, m->boot);
}
