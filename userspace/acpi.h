/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ACPI tables that describe the board.
 */
#ifndef VMRUN_ACPI_H
#define VMRUN_ACPI_H

#include <stdint.h>

struct machine;
struct stream;

/*
 * All tables as one block to be placed at @gpa; the RSDP is at its start. Result in
 * @out, 0 or -errno.
 */
int acpi_build(struct stream *out, uint32_t gpa, unsigned int cpus);

/* Builds the tables and puts them where firmware would; reports errors. */
int acpi_load(struct machine *m);

#endif
