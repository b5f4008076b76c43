/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Putting a kernel into guest memory and the first vCPU at its entry.
 *
 * The files are opened and checked once, before there is a VM; each start of the guest reads
 * them anew into RAM.
 */
#ifndef VMRUN_BOOT_BOOT_H
#define VMRUN_BOOT_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/image.h"

struct machine;
struct machine_config;

/* The first megabyte, as both protocols use it. */
#define BOOT_GDT	0x0500
#define BOOT_ZERO_PAGE	0x1000	/* or PVH's start_info */
#define BOOT_TABLES	0x2000	/* six pages */
#define BOOT_CMDLINE	0x20000
#define BOOT_CMDLINE_MAX	0x10000
#define BOOT_LOW_END	0x9fc00	/* end of conventional memory */
#define BOOT_ACPI	0xe0000
#define BOOT_ACPI_MAX	0x20000
#define BOOT_HIGH	0x100000

struct boot;

/**
 * struct boot_format - a kind of kernel file
 * @match: does the file look like one
 * @open: check it and remember what load needs; reports errors
 * @load: copy it into RAM and set the first vCPU's registers; reports errors
 */
struct boot_format {
	bool (*match)(const uint8_t *head, uint64_t len);
	int (*open)(struct boot *boot, const struct machine_config *cfg);
	int (*load)(struct machine *m, struct boot *boot);
};

extern const struct boot_format boot_linux, boot_pvh;

struct boot {
	const struct boot_format *format;
	struct image kernel;
	struct image initrd;	/* fd < 0: none */
	/* Found by open: */
	uint64_t kernel_gpa;	/* first byte the kernel needs */
	uint64_t kernel_end;	/* first byte behind all it needs to start */
	uint64_t entry;
	uint64_t initrd_gpa;
	uint32_t setup_size;	/* boot_linux: bytes before the 32-bit code */
};

int boot_open(struct boot **boot, const struct machine_config *cfg);
void boot_close(struct boot *boot);

/* Memory as after power-on: kernel, initrd, tables; and the first vCPU's registers. */
int boot_load(struct machine *m);

/* For the formats: */

/*
 * Checks that the kernel fits into the RAM below the hole and finds a place for the
 * initrd as high as @limit (exclusive) allows.
 */
int boot_place(struct boot *boot, const struct machine_config *cfg,
	       uint64_t limit);
int boot_load_initrd(struct machine *m, struct boot *boot);
int boot_load_cmdline(struct machine *m);

struct boot_range {
	uint64_t base, size;
	uint32_t type;		/* E820_* below */
};

#define BOOT_E820_RAM		1
#define BOOT_E820_RESERVED	2
#define BOOT_RANGES_MAX		8

unsigned int boot_memory_map(struct machine *m,
			     struct boot_range map[BOOT_RANGES_MAX]);

/* regs.c: the first vCPU in 64-bit mode on an identity map of 4 GiB … */
int boot_regs_long(struct machine *m, uint64_t rip, uint64_t rsi);
/* … or in flat 32-bit mode without paging. */
int boot_regs_flat(struct machine *m, uint32_t rip, uint32_t rbx);

#endif
