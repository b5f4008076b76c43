// SPDX-License-Identifier: GPL-2.0-only
/*
 * ACPI 6.5. The FADT is revision 4: fixed hardware with a PM1 event block, a PM
 * timer, a fixed power button and no SMI.
 */
#include "acpi.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "boot/boot.h"
#include "dev/acpi_pm.h"
#include "dev/i8042.h"
#include "machine.h"
#include "stream.h"
#include "util/aml.h"
#include "util/msg.h"

#define OEM_ID		"VMRUN "
#define OEM_TABLE	"VMRUN   "
#define CREATOR		"VMRN"

#define HEADER_LEN	36
#define RSDP_LEN	36
#define TABLE_ALIGN	16

#define IOAPIC_ID(cpus)	((uint8_t)(cpus))

/* Section 5.2.9, table "Fixed ACPI Description Table Fixed Feature Flags". */
enum {
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_NO_RTC_WAKE = 1 << 6,
	FADT_TMR_32BIT = 1 << 8,
	FADT_RESET_REG = 1 << 10,
};

enum {
	BOOT_LEGACY_DEVICES = 1 << 0,
	BOOT_NO_VGA = 1 << 2,
};

#define GAS_IO 1

static void put_padding(struct stream *s, size_t len)
{
	while (len--)
		stream_put_u8(s, 0);
}

/* ---- tables ---- */

static size_t table_open(struct stream *s, const char *signature,
			 uint8_t revision)
{
	size_t at;

	put_padding(s, -s->len & (TABLE_ALIGN - 1));
	at = s->len;
	stream_put_bytes(s, signature, 4);
	stream_put_u32(s, 0);		/* length and, below, checksum: later */
	stream_put_u8(s, revision);
	stream_put_u8(s, 0);
	stream_put_bytes(s, OEM_ID, 6);
	stream_put_bytes(s, OEM_TABLE, 8);
	stream_put_u32(s, 1);
	stream_put_bytes(s, CREATOR, 4);
	stream_put_u32(s, 1);
	return at;
}

static uint8_t checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += *data++;
	return (uint8_t)-sum;
}

static void table_close(struct stream *s, size_t at)
{
	uint32_t len = (uint32_t)(s->len - at);

	if (stream_error(s))
		return;
	for (int i = 0; i < 4; i++)
		s->data[at + 4 + i] = (uint8_t)(len >> 8 * i);
	s->data[at + 9] = checksum(s->data + at, len);
}

/* ---- DSDT ---- */

/* Slot n, INTA … INTD: GSI 16 + (n & 7), the last field of each entry. */
static void dsdt_prt(struct stream *s)
{
	size_t prt, entry;

	stream_put_u8(s, 0x08);
	aml_name(s, "_PRT");
	prt = aml_open_package(s, 32 * 4);
	for (uint32_t slot = 0; slot < 32; slot++) {
		for (uint32_t pin = 0; pin < 4; pin++) {
			entry = aml_open_package(s, 4);
			aml_integer(s, slot << 16 | 0xffff);
			aml_integer(s, pin);
			aml_integer(s, 0);
			aml_integer(s, BOARD_PCI_GSI + ((slot + pin) & 7));
			aml_close(s, entry);
		}
	}
	aml_close(s, prt);
}

static void dsdt_pci(struct stream *s)
{
	size_t dev = aml_open_device(s, "PCI0");
	struct stream res;

	aml_name_eisaid(s, "_HID", "PNP0A03");
	aml_name_integer(s, "_UID", 0);
	stream_init(&res);
	aml_res_bus(&res, 0, 0);
	aml_res_io(&res, 0xcf8, 8);
	aml_res_io_window(&res, 0x0000, 0x0cf7);
	aml_res_io_window(&res, 0x0d00, 0xffff);
	aml_res_mem_window(&res, BOARD_PCI_MMIO, BOARD_PCI_MMIO_END - 1);
	aml_name_crs(s, &res);
	stream_destroy(&res);
	dsdt_prt(s);
	aml_close(s, dev);
}

static void dsdt_isa(struct stream *s, const char *name, const char *id,
		     uint16_t port, uint8_t len, unsigned int irq)
{
	size_t dev = aml_open_device(s, name);
	struct stream res;

	aml_name_eisaid(s, "_HID", id);
	aml_name_integer(s, "_UID", 1);
	stream_init(&res);
	aml_res_io(&res, port, len);
	aml_res_irq(&res, irq);
	aml_name_crs(s, &res);
	stream_destroy(&res);
	aml_close(s, dev);
}

/* \_S5: the values of SLP_TYPa and SLP_TYPb that switch the machine off. */
static void dsdt_s5(struct stream *s)
{
	size_t package;

	stream_put_u8(s, 0x08);
	aml_name(s, "_S5_");
	package = aml_open_package(s, 4);
	aml_integer(s, ACPI_PM_S5);
	for (int i = 0; i < 3; i++)
		aml_integer(s, 0);
	aml_close(s, package);
}

static size_t build_dsdt(struct stream *s)
{
	size_t at = table_open(s, "DSDT", 2);
	size_t scope = aml_open_scope(s, "\\_SB_");

	dsdt_pci(s);
	dsdt_isa(s, "COM1", "PNP0501", 0x3f8, 8, 4);
	dsdt_isa(s, "RTC_", "PNP0B00", 0x70, 2, 8);
	aml_close(s, scope);
	dsdt_s5(s);
	table_close(s, at);
	return at;
}

/* ---- FADT, MADT ---- */

static void put_gas(struct stream *s, uint8_t bits, uint64_t port)
{
	stream_put_u8(s, GAS_IO);
	stream_put_u8(s, port ? bits : 0);
	stream_put_u8(s, 0);
	stream_put_u8(s, 0);
	stream_put_u64(s, port);
}

/* The fields of ACPI 1.0, up to the flags. */
static void fadt_old(struct stream *s, uint32_t dsdt)
{
	stream_put_u32(s, 0);			/* FACS */
	stream_put_u32(s, dsdt);
	stream_put_u8(s, 0);
	stream_put_u8(s, 0);			/* no preferred profile */
	stream_put_u16(s, BOARD_SCI);
	stream_put_u32(s, 0);			/* SMI command: none */
	put_padding(s, 4);			/* its values */
	stream_put_u32(s, BOARD_PM_BASE + ACPI_PM_EVENT);
	stream_put_u32(s, 0);
	stream_put_u32(s, BOARD_PM_BASE + ACPI_PM_CONTROL);
	stream_put_u32(s, 0);
	stream_put_u32(s, 0);			/* PM2 */
	stream_put_u32(s, BOARD_PM_BASE + ACPI_PM_TIMER);
	stream_put_u32(s, 0);			/* GPE0 */
	stream_put_u32(s, 0);			/* GPE1 */
	stream_put_u8(s, 4);			/* lengths of the blocks */
	stream_put_u8(s, 2);
	stream_put_u8(s, 0);
	stream_put_u8(s, 4);
	put_padding(s, 4);
	stream_put_u16(s, 0xffff);		/* no C2 */
	stream_put_u16(s, 0xffff);		/* no C3 */
	put_padding(s, 8);			/* cache flush, duty, alarms */
	stream_put_u8(s, 0x32);			/* CMOS index of the century */
	stream_put_u16(s, BOOT_LEGACY_DEVICES | BOOT_NO_VGA);
	stream_put_u8(s, 0);
	stream_put_u32(s, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON |
		       FADT_NO_RTC_WAKE | FADT_TMR_32BIT | FADT_RESET_REG);
}

static size_t build_fadt(struct stream *s, uint32_t dsdt)
{
	size_t at = table_open(s, "FACP", 4);

	fadt_old(s, dsdt);
	put_gas(s, 8, I8042_COMMAND);
	stream_put_u8(s, I8042_RESET);
	put_padding(s, 3);
	stream_put_u64(s, 0);			/* FACS */
	stream_put_u64(s, dsdt);
	put_gas(s, 32, BOARD_PM_BASE + ACPI_PM_EVENT);
	put_gas(s, 0, 0);
	put_gas(s, 16, BOARD_PM_BASE + ACPI_PM_CONTROL);
	put_gas(s, 0, 0);
	put_gas(s, 0, 0);
	put_gas(s, 32, BOARD_PM_BASE + ACPI_PM_TIMER);
	put_gas(s, 0, 0);
	put_gas(s, 0, 0);
	table_close(s, at);
	return at;
}

static void madt_override(struct stream *s, uint8_t irq, uint32_t gsi,
			  uint16_t flags)
{
	stream_put_u8(s, 2);
	stream_put_u8(s, 10);
	stream_put_u8(s, 0);			/* ISA */
	stream_put_u8(s, irq);
	stream_put_u32(s, gsi);
	stream_put_u16(s, flags);
}

static void madt_cpu(struct stream *s, uint8_t id)
{
	stream_put_u8(s, 0);
	stream_put_u8(s, 8);
	stream_put_u8(s, id);
	stream_put_u8(s, id);
	stream_put_u32(s, 1);			/* enabled */
}

static size_t build_madt(struct stream *s, unsigned int cpus)
{
	size_t at = table_open(s, "APIC", 4);

	stream_put_u32(s, BOARD_LAPIC);
	stream_put_u32(s, 1);			/* there are PICs as well */
	for (unsigned int i = 0; i < cpus; i++)
		madt_cpu(s, (uint8_t)i);
	stream_put_u8(s, 1);
	stream_put_u8(s, 12);
	stream_put_u8(s, IOAPIC_ID(cpus));
	stream_put_u8(s, 0);
	stream_put_u32(s, BOARD_IOAPIC);
	stream_put_u32(s, 0);			/* first GSI */
	madt_override(s, 0, 2, 0);
	madt_override(s, BOARD_SCI, BOARD_SCI, 0x000d);	/* level, high */
	stream_put_u8(s, 4);			/* NMI at LINT1 … */
	stream_put_u8(s, 6);
	stream_put_u8(s, 0xff);			/* … of all processors */
	stream_put_u16(s, 0);
	stream_put_u8(s, 1);
	table_close(s, at);
	return at;
}

/* ---- roots ---- */

static size_t build_root(struct stream *s, const char *signature,
			 size_t entry_len, const uint32_t *tables, size_t nr)
{
	size_t at = table_open(s, signature, 1);

	for (size_t i = 0; i < nr; i++) {
		stream_put_u32(s, tables[i]);
		put_padding(s, entry_len - 4);
	}
	table_close(s, at);
	return at;
}

static void fill_rsdp(uint8_t *p, uint32_t rsdt, uint64_t xsdt)
{
	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, OEM_ID, 6);
	p[15] = 2;
	memcpy(p + 16, &rsdt, 4);
	p[20] = RSDP_LEN;
	memcpy(p + 24, &xsdt, 8);
	p[8] = checksum(p, 20);
	p[32] = checksum(p, RSDP_LEN);
}

int acpi_build(struct stream *s, uint32_t gpa, unsigned int cpus)
{
	uint32_t tables[2];
	size_t dsdt, rsdt, xsdt;

	stream_init(s);
	put_padding(s, RSDP_LEN);
	dsdt = build_dsdt(s);
	tables[0] = gpa + (uint32_t)build_fadt(s, gpa + (uint32_t)dsdt);
	tables[1] = gpa + (uint32_t)build_madt(s, cpus);
	rsdt = build_root(s, "RSDT", 4, tables, 2);
	xsdt = build_root(s, "XSDT", 8, tables, 2);
	if (stream_error(s))
		return stream_error(s);
	fill_rsdp(s->data, gpa + (uint32_t)rsdt, gpa + xsdt);
	return 0;
}

int acpi_load(struct machine *m)
{
	struct stream s;
	int err;

	err = acpi_build(&s, BOOT_ACPI, m->cfg.cpus);
	if (!err && s.len > BOOT_ACPI_MAX)
		err = -E2BIG;
	if (!err)
		err = mem_write(m, BOOT_ACPI, s.data, s.len);
	stream_destroy(&s);
	if (err)
		return msg_fail(err, "cannot build the ACPI tables: %s",
				strerror(-err));
	return 0;
}
