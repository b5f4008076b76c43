// SPDX-License-Identifier: GPL-2.0-only
/* Kernels: bzImage and ELF with a PVH entry, into memory and the first vCPU's registers. */
#include <asm/bootparam.h>
#include <elf.h>
#include <unistd.h>

#include "boot/boot.h"
#include "fuzz/rig.h"
#include "vcpu.h"

#define RAM	(16 * 1024 * 1024u)

static struct board b;
static struct vcpu vcpu;
static char kernel[64], initrd[64];
static int kernel_file, initrd_file;

/* The tables are not the input's. */
int acpi_load(struct machine *m);
int acpi_load(struct machine *m)
{
	(void)m;
	return 0;
}

static void init(void)
{
	kernel_file = rig_file(kernel, sizeof(kernel));
	initrd_file = rig_file(initrd, sizeof(initrd));
	rig_init(&b, RAM);
	vcpu.m = &b.m;
	b.m.vcpus = &vcpu;
	b.m.nr_vcpus = 1;
	b.m.cfg.mem = RAM;
	b.m.cfg.kernel = kernel;
	b.m.cfg.append = "console=ttyS0";
	if (ftruncate(initrd_file, 5000))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	uint8_t flags = fuzz_u8(&in);

	if (!kernel[0])
		init();
	if (ftruncate(kernel_file, 0) || pwrite(kernel_file, in.p, in.left, 0) != (ssize_t)in.left)
		abort();
	/* mostly zeroes behind it, as large kernels have */
	if (flags & 2 && ftruncate(kernel_file, (off_t)in.left + 8192))
		abort();
	b.m.cfg.initrd = flags & 1 ? initrd : NULL;
	if (boot_open(&b.m.boot, &b.m.cfg))
		return 0;
	fuzz_assert(b.m.boot->kernel_end <= RAM && b.m.boot->kernel_gpa >= BOOT_HIGH);
	boot_load(&b.m);
	boot_close(b.m.boot);
	return 0;
}

static size_t seed_bzimage(uint8_t *data, bool relocatable)
{
	static uint8_t image[5 * 512 + 4096];
	struct setup_header *hdr = (void *)(image + 0x1f1);
	struct fuzz_out out = { data, 0 };

	memset(image, 0x90, sizeof(image));
	*hdr = (struct setup_header){
		.setup_sects = 4, .syssize = 256, .boot_flag = 0xaa55, .jump = 0x6aeb, .header = 0x53726448,
		.version = 0x20f, .xloadflags = XLF_KERNEL_64, .relocatable_kernel = relocatable,
		.kernel_alignment = 0x200000, .pref_address = 0x400000, .init_size = 0x300000,
		.initrd_addr_max = 0x7fffffff, .cmdline_size = 2047,
	};
	fuzz_put_int(&out, relocatable, 1);
	fuzz_put(&out, image, sizeof(image));
	return out.len;
}

static size_t seed_elf(uint8_t *data)
{
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr[2];
		Elf64_Nhdr note;
		char name[4];
		uint64_t entry;
		uint8_t code[512];
	} elf = {
		.ehdr = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
			.e_ehsize = sizeof(Elf64_Ehdr), .e_phoff = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2,
		},
		.phdr[0] = { .p_type = PT_LOAD, .p_paddr = 0x400000, .p_filesz = 512, .p_memsz = 0x10000 },
		.phdr[1] = { .p_type = PT_NOTE, .p_filesz = sizeof(Elf64_Nhdr) + 12, .p_align = 4 },
		.note = { 4, 8, 18 }, .name = "Xen", .entry = 0x400040,
	};
	struct fuzz_out out = { data, 0 };

	elf.phdr[0].p_offset = (uint64_t)((char *)elf.code - (char *)&elf);
	elf.phdr[1].p_offset = (uint64_t)((char *)&elf.note - (char *)&elf);
	fuzz_put_int(&out, 1, 1);
	fuzz_put(&out, &elf, sizeof(elf));
	return out.len;
}

size_t fuzz_seed(unsigned int i, uint8_t *data)
{
	switch (i) {
	case 0:
		return seed_bzimage(data, true);
	case 1:
		return seed_bzimage(data, false);
	case 2:
		return seed_elf(data);
	default:
		return 0;
	}
}
