/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Writing AML (ACPI specification 6.5, chapter 20) into a stream.
 */
#ifndef VMRUN_UTIL_AML_H
#define VMRUN_UTIL_AML_H

#include <stddef.h>
#include <stdint.h>

struct stream;

/*
 * A package is opened, filled and closed. The length is always written in three bytes,
 * which every interpreter takes.
 */
size_t aml_open_scope(struct stream *s, const char *name);
size_t aml_open_device(struct stream *s, const char *name);
size_t aml_open_package(struct stream *s, uint8_t elements);
void aml_close(struct stream *s, size_t open);

/* Four-character names; a leading backslash is the root. */
void aml_name(struct stream *s, const char *name);
void aml_integer(struct stream *s, uint64_t value);
/* Name (@name, EisaId (@id)) with an id like "PNP0A03". */
void aml_name_eisaid(struct stream *s, const char *name, const char *id);
void aml_name_integer(struct stream *s, const char *name, uint64_t value);

/* Name (_CRS, Buffer) from resource descriptors collected in @res. */
void aml_name_crs(struct stream *s, const struct stream *res);

/* Resource descriptors (section 6.4). */
void aml_res_io(struct stream *res, uint16_t port, uint8_t len);
void aml_res_irq(struct stream *res, unsigned int irq);
void aml_res_bus(struct stream *res, uint16_t first, uint16_t last);
void aml_res_io_window(struct stream *res, uint16_t first, uint16_t last);
void aml_res_mem_window(struct stream *res, uint32_t first, uint32_t last);

#endif
