// SPDX-License-Identifier: GPL-2.0-only
/* The tables are found, linked and summed as the specification wants it. */
#include <string.h>

#include "acpi.h"
#include "boot/boot.h"
#include "stream.h"
#include "tests/tap.h"

#define GPA 0xe0000u

static struct stream s;

static uint32_t get32(size_t at)
{
	uint32_t value;

	memcpy(&value, s.data + at, 4);
	return value;
}

static bool sum_is_zero(size_t at, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum += s.data[at++];
	return !sum;
}

/* A table's offset, or 0 if it is not one. */
static size_t table(uint64_t gpa, const char *signature)
{
	size_t at = gpa - GPA;
	uint32_t len;

	if (gpa < GPA || at + 36 > s.len || memcmp(s.data + at, signature, 4))
		return 0;
	len = get32(at + 4);
	return len >= 36 && at + len <= s.len && sum_is_zero(at, len) ? at : 0;
}

/* A package's length in the three-byte form; its end must be inside the table. */
static size_t pkg_end(size_t at)
{
	return at + ((s.data[at] & 15) | s.data[at + 1] << 4 |
		     s.data[at + 2] << 12);
}

static void test_dsdt(size_t fadt)
{
	size_t dsdt = table(get32(fadt + 40), "DSDT"), end, scope;

	if (!ok(dsdt, "DSDT"))
		return;
	end = dsdt + get32(dsdt + 4);
	ok(s.data[dsdt + 36] == 0x10, "begins with a scope");
	scope = pkg_end(dsdt + 37);
	ok(scope < end && !memcmp(s.data + scope, "\x08_S5_", 5),
	   "behind which there is _S5");
	ok(memmem(s.data + dsdt, end - dsdt, "\x08_HID\x0c\x41\xd0\x0a\x03", 10),
	   "PNP0A03");
	ok(memmem(s.data + dsdt, end - dsdt, "\x08_HID\x0c\x41\xd0\x05\x01", 10),
	   "PNP0501");
}

static void test_tables(unsigned int cpus)
{
	size_t rsdt, xsdt, fadt, madt;

	ok(!acpi_build(&s, GPA, cpus), "tables for %u CPUs", cpus);
	ok(s.len < BOOT_ACPI_MAX, "are not too long (%zu)", s.len);
	ok(!memcmp(s.data, "RSD PTR ", 8) && sum_is_zero(0, 20) &&
	   sum_is_zero(0, 36), "RSDP");
	rsdt = table(get32(16), "RSDT");
	xsdt = table(get32(24), "XSDT");
	if (!ok(rsdt && xsdt, "RSDT and XSDT"))
		return;
	ok(get32(rsdt + 36) == get32(xsdt + 36) &&
	   get32(rsdt + 40) == get32(xsdt + 44), "name the same tables");
	fadt = table(get32(xsdt + 36), "FACP");
	madt = table(get32(xsdt + 44), "APIC");
	ok(madt && get32(madt + 4) == 44 + 8 * cpus + 12 + 20 + 6, "MADT");
	if (ok(fadt && get32(fadt + 4) == 244, "FADT"))
		test_dsdt(fadt);
	stream_destroy(&s);
}

int main(void)
{
	test_tables(1);
	test_tables(255);
	return tap_done();
}
