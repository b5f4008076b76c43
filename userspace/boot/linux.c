// SPDX-License-Identifier: GPL-2.0-only
/*
 * bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst).
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "boot/boot.h"
#include "machine.h"
#include "mem.h"
#include "util/msg.h"

#define HDR_OFFSET	0x1f1
#define HDR_MAGIC	0x53726448	/* "HdrS" */
#define HDR_VERSION	0x020c		/* the first with xloadflags */
#define BOOT_FLAG	0xaa55
#define SECTOR		512
#define ENTRY_64	0x200		/* behind the start of the 32-bit code */
#define LOADER_UNKNOWN	0xff
#define DEFAULT_SETUP_SECTS	4

static uint64_t align_up(uint64_t value, uint64_t align)
{
	return align ? (value + align - 1) / align * align : value;
}

static bool linux_match(const uint8_t *head, uint64_t len)
{
	struct setup_header hdr;

	if (len < HDR_OFFSET + sizeof(hdr))
		return false;
	memcpy(&hdr, head + HDR_OFFSET, sizeof(hdr));
	return hdr.boot_flag == BOOT_FLAG && hdr.header == HDR_MAGIC;
}

static int linux_check_header(struct boot *boot, const struct setup_header *hdr)
{
	uint64_t payload = (uint64_t)hdr->syssize * 16, have;

	if (hdr->version < HDR_VERSION || !(hdr->xloadflags & XLF_KERNEL_64))
		return msg_fail(-ENOEXEC, "--kernel %s: not a 64-bit kernel of Linux 3.8 or newer",
				boot->kernel.path);
	boot->setup_size = (hdr->setup_sects ? hdr->setup_sects :
			    DEFAULT_SETUP_SECTS) * SECTOR + SECTOR;
	have = boot->kernel.size > boot->setup_size ?
	       boot->kernel.size - boot->setup_size : 0;
	/* syssize counts paragraphs, the last of which may be incomplete. */
	if (!payload || have + 15 < payload)
		return msg_fail(-ENOEXEC, "--kernel %s: truncated: %llu of %llu bytes are there",
				boot->kernel.path,
				(unsigned long long)boot->kernel.size,
				(unsigned long long)(boot->setup_size +
						     payload));
	return 0;
}

/*
 * Where the kernel prefers to be, for it unpacks itself there, or higher than it was loaded, but
 * never lower (startup_64 in Linux's arch/x86/boot/compressed/head_64.S).
 */
static void linux_place(struct boot *boot, const struct setup_header *hdr)
{
	uint64_t size = boot->kernel.size - boot->setup_size;
	uint64_t start = hdr->pref_address;

	if (size < hdr->init_size)
		size = hdr->init_size;
	if (start < BOOT_HIGH)
		start = BOOT_HIGH;
	/* beyond all memory, but no sum of it overflows */
	if (start > MEM_HOLE_START)
		start = MEM_HOLE_START;
	boot->kernel_gpa = BOOT_HIGH;
	if (hdr->relocatable_kernel)
		boot->kernel_gpa = start = align_up(start, hdr->kernel_alignment);
	boot->kernel_end = start + size;
	boot->entry = boot->kernel_gpa + ENTRY_64;
}

static int linux_open(struct boot *boot, const struct machine_config *cfg)
{
	struct setup_header hdr;
	uint64_t max;
	int err;

	err = image_read(&boot->kernel, HDR_OFFSET, &hdr, sizeof(hdr));
	if (!err)
		err = linux_check_header(boot, &hdr);
	if (err)
		return err;
	max = hdr.cmdline_size < BOOT_CMDLINE_MAX ? hdr.cmdline_size :
						    BOOT_CMDLINE_MAX - 1;
	if (strlen(cfg->append) > max)
		return msg_fail(-E2BIG, "--append: %zu characters, but this kernel takes at most %llu",
				strlen(cfg->append), (unsigned long long)max);
	linux_place(boot, &hdr);
	return boot_place(boot, cfg, (uint64_t)hdr.initrd_addr_max + 1);
}

static void linux_memory_map(struct machine *m, struct boot_params *bp)
{
	struct boot_range map[BOOT_RANGES_MAX];
	unsigned int nr = boot_memory_map(m, map);

	for (unsigned int i = 0; i < nr; i++) {
		bp->e820_table[i].addr = map[i].base;
		bp->e820_table[i].size = map[i].size;
		bp->e820_table[i].type = map[i].type;
	}
	bp->e820_entries = (uint8_t)nr;
}

/* The header that goes in is the file's, as long as it says it is. */
static int linux_zero_page(struct machine *m, struct boot *boot)
{
	struct boot_params *bp = mem_at(m, BOOT_ZERO_PAGE, sizeof(*bp));
	uint8_t jump[2];
	size_t len;
	int err;

	if (!bp)
		return -EFAULT;
	memset(bp, 0, sizeof(*bp));
	err = image_read(&boot->kernel, 0x200, jump, sizeof(jump));
	if (err)
		return err;
	len = 0x202 + jump[1] - HDR_OFFSET;
	if (len > sizeof(bp->hdr))
		len = sizeof(bp->hdr);
	err = image_read(&boot->kernel, HDR_OFFSET, &bp->hdr, len);
	if (err)
		return err;
	bp->hdr.type_of_loader = LOADER_UNKNOWN;
	bp->hdr.loadflags &= (uint8_t)~CAN_USE_HEAP;
	bp->hdr.cmd_line_ptr = BOOT_CMDLINE;
	bp->hdr.ramdisk_image = (uint32_t)boot->initrd_gpa;
	bp->hdr.ramdisk_size = (uint32_t)boot->initrd.size;
	bp->hdr.code32_start = (uint32_t)boot->kernel_gpa;
	bp->acpi_rsdp_addr = BOOT_ACPI;
	linux_memory_map(m, bp);
	return 0;
}

static int linux_load(struct machine *m, struct boot *boot)
{
	int err;

	err = image_load(m, &boot->kernel, boot->setup_size, boot->kernel_gpa,
			 boot->kernel.size - boot->setup_size);
	if (!err)
		err = boot_load_initrd(m, boot);
	if (!err)
		err = boot_load_cmdline(m);
	if (!err)
		err = linux_zero_page(m, boot);
	if (err)
		return err;
	return boot_regs_long(m, boot->entry, BOOT_ZERO_PAGE);
}

const struct boot_format boot_linux = {
	.match = linux_match,
	.open = linux_open,
	.load = linux_load,
};
