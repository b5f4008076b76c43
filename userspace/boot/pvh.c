// SPDX-License-Identifier: GPL-2.0-only
/*
 * ELF kernels by the PVH protocol (Xen's docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h): 32-bit entry, start_info in ebx.
 */
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

#include "boot/boot.h"
#include "machine.h"
#include "mem.h"
#include "util/list.h"
#include "util/msg.h"

#define PVH_NOTE_ENTRY	18	/* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_MAGIC	0x336ec578
#define PVH_VERSION	1

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct pvh_memmap {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

/* How they lie in the page at BOOT_ZERO_PAGE. */
struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module initrd;
	struct pvh_memmap map[BOOT_RANGES_MAX];
};

static bool pvh_match(const uint8_t *head, uint64_t len)
{
	return len >= EI_NIDENT && !memcmp(head, ELFMAG, SELFMAG);
}

static int pvh_fail(const struct boot *boot, const char *why)
{
	return msg_fail(-ENOEXEC, "--kernel %s: %s", boot->kernel.path, why);
}

static bool pvh_segment_in_file(const struct boot *boot, const GElf_Phdr *p)
{
	return p->p_offset <= boot->kernel.size &&
	       p->p_filesz <= boot->kernel.size - p->p_offset;
}

/* Keeps the lowest and the highest address in the boot structure. */
static int pvh_check_segment(struct boot *boot, const GElf_Phdr *p)
{
	if (p->p_type != PT_LOAD || !p->p_memsz)
		return 0;
	if (!pvh_segment_in_file(boot, p))
		return pvh_fail(boot, "truncated: a segment lies behind the end of the file");
	if (p->p_filesz > p->p_memsz)
		return pvh_fail(boot, "a broken ELF file (a segment larger than its memory)");
	if (p->p_paddr < BOOT_HIGH || p->p_paddr >= MEM_HOLE_START ||
	    p->p_memsz > MEM_HOLE_START - p->p_paddr)
		return pvh_fail(boot, "a segment wants to be where the machine has no memory");
	if (!boot->kernel_gpa || p->p_paddr < boot->kernel_gpa)
		boot->kernel_gpa = p->p_paddr;
	if (p->p_paddr + p->p_memsz > boot->kernel_end)
		boot->kernel_end = p->p_paddr + p->p_memsz;
	return 0;
}

/* The entry is 4 or 8 bytes long, as the kernel likes. */
static void pvh_note(struct boot *boot, Elf_Data *data)
{
	size_t off = 0, name, desc;
	GElf_Nhdr note;

	while ((off = gelf_getnote(data, off, &note, &name, &desc)) > 0) {
		const char *base = data->d_buf;
		uint32_t entry;

		if (note.n_type != PVH_NOTE_ENTRY || note.n_namesz != 4 ||
		    memcmp(base + name, "Xen", 4) || note.n_descsz < 4)
			continue;
		memcpy(&entry, base + desc, sizeof(entry));
		boot->entry = entry;
	}
}

static int pvh_segments(struct boot *boot, Elf *elf)
{
	size_t nr;

	if (elf_getphdrnum(elf, &nr))
		return pvh_fail(boot, "a broken ELF file (program headers)");
	for (size_t i = 0; i < nr; i++) {
		GElf_Phdr p;
		Elf_Data *data;
		int err;

		if (!gelf_getphdr(elf, (int)i, &p))
			return pvh_fail(boot, "a broken ELF file (program headers)");
		err = pvh_check_segment(boot, &p);
		if (err)
			return err;
		if (p.p_type != PT_NOTE || !pvh_segment_in_file(boot, &p))
			continue;
		data = elf_getdata_rawchunk(elf, (int64_t)p.p_offset,
					    p.p_filesz, p.p_align == 8 ?
					    ELF_T_NHDR8 : ELF_T_NHDR);
		if (data)
			pvh_note(boot, data);
	}
	return 0;
}

static int pvh_parse(struct boot *boot, Elf *elf)
{
	GElf_Ehdr ehdr;
	int err;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &ehdr))
		return pvh_fail(boot, "a broken or truncated ELF file");
	if (ehdr.e_machine != EM_X86_64 && ehdr.e_machine != EM_386)
		return pvh_fail(boot, "an ELF file for another processor");
	err = pvh_segments(boot, elf);
	if (err)
		return err;
	if (!boot->kernel_end)
		return pvh_fail(boot, "an ELF file with nothing to load");
	if (!boot->entry)
		return pvh_fail(boot, "has no PVH entry: use the bzImage, or a kernel built with CONFIG_PVH=y");
	if (boot->entry < boot->kernel_gpa || boot->entry >= boot->kernel_end)
		return pvh_fail(boot, "the PVH entry is outside of the kernel");
	return 0;
}

static int pvh_open(struct boot *boot, const struct machine_config *cfg)
{
	Elf *elf;
	int err;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return pvh_fail(boot, "libelf is too old");
	elf = elf_begin(boot->kernel.fd, ELF_C_READ_MMAP, NULL);
	if (!elf)
		return pvh_fail(boot, elf_errmsg(-1));
	err = pvh_parse(boot, elf);
	elf_end(elf);
	if (err)
		return err;
	if (strlen(cfg->append) >= BOOT_CMDLINE_MAX)
		return msg_fail(-E2BIG, "--append: %zu characters are too many",
				strlen(cfg->append));
	return boot_place(boot, cfg, MEM_HOLE_START);
}

static int pvh_load_segment(struct machine *m, struct boot *boot,
			    const GElf_Phdr *p)
{
	uint8_t *to;

	if (p->p_type != PT_LOAD || !p->p_memsz)
		return 0;
	if (!pvh_segment_in_file(boot, p) || p->p_filesz > p->p_memsz)
		return pvh_fail(boot, "the file has changed");
	to = mem_at(m, p->p_paddr, p->p_memsz);
	if (!to)
		return pvh_fail(boot, "does not fit into the guest's memory");
	memset(to + p->p_filesz, 0, p->p_memsz - p->p_filesz);
	return image_read(&boot->kernel, p->p_offset, to, p->p_filesz);
}

static int pvh_load_segments(struct machine *m, struct boot *boot)
{
	Elf *elf = elf_begin(boot->kernel.fd, ELF_C_READ_MMAP, NULL);
	size_t nr = 0;
	int err = 0;

	if (!elf || elf_getphdrnum(elf, &nr))
		err = pvh_fail(boot, "the file has changed");
	for (size_t i = 0; !err && i < nr; i++) {
		GElf_Phdr p;

		if (!gelf_getphdr(elf, (int)i, &p))
			err = pvh_fail(boot, "the file has changed");
		else
			err = pvh_load_segment(m, boot, &p);
	}
	elf_end(elf);
	return err;
}

static int pvh_start_info(struct machine *m, struct boot *boot)
{
	struct pvh_page *page = mem_at(m, BOOT_ZERO_PAGE, sizeof(*page));
	struct boot_range map[BOOT_RANGES_MAX];

	if (!page)
		return -EFAULT;
	memset(page, 0, sizeof(*page));
	page->info.magic = PVH_MAGIC;
	page->info.version = PVH_VERSION;
	page->info.cmdline_paddr = BOOT_CMDLINE;
	page->info.rsdp_paddr = BOOT_ACPI;
	page->info.memmap_paddr = BOOT_ZERO_PAGE +
				  offsetof(struct pvh_page, map);
	page->info.memmap_entries = boot_memory_map(m, map);
	for (unsigned int i = 0; i < page->info.memmap_entries; i++)
		page->map[i] = (struct pvh_memmap){
			map[i].base, map[i].size, map[i].type, 0 };
	if (boot->initrd.fd >= 0) {
		page->info.nr_modules = 1;
		page->info.modlist_paddr = BOOT_ZERO_PAGE +
					   offsetof(struct pvh_page, initrd);
		page->initrd.paddr = boot->initrd_gpa;
		page->initrd.size = boot->initrd.size;
	}
	return 0;
}

static int pvh_load(struct machine *m, struct boot *boot)
{
	int err;

	err = pvh_load_segments(m, boot);
	if (!err)
		err = boot_load_initrd(m, boot);
	if (!err)
		err = boot_load_cmdline(m);
	if (!err)
		err = pvh_start_info(m, boot);
	if (err)
		return err;
	return boot_regs_flat(m, (uint32_t)boot->entry, BOOT_ZERO_PAGE);
}

const struct boot_format boot_pvh = {
	.match = pvh_match,
	.open = pvh_open,
	.load = pvh_load,
};
