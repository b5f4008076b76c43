// SPDX-License-Identifier: GPL-2.0-only
/* Kernel files, good and bad. Messages go to /dev/null. */
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot/boot.h"
#include "tests/board.h"
#include "tests/tap.h"

#define SETUP_SECTS	4
#define SETUP_SIZE	((SETUP_SECTS + 1) * 512)
#define PAYLOAD		8192

/* boot.c leads to it, but no test builds tables here. */
int acpi_load(struct machine *m);
int acpi_load(struct machine *m)
{
	(void)m;
	return 0;
}

static char kernel[] = "/tmp/vmrun-test-kernel-XXXXXX";
static char initrd[] = "/tmp/vmrun-test-initrd-XXXXXX";
static uint8_t image[SETUP_SIZE + PAYLOAD];
static struct boot *boot;
static struct machine_config cfg;

static void put(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "w");

	fwrite(data, 1, len, f);
	fclose(f);
}

/* Opens what is in the two files; 0 or an error, and nothing stays open. */
static int try(void)
{
	int err = boot_open(&boot, &cfg);

	if (!err)
		boot_close(boot);
	return err;
}

static struct setup_header *bzimage(void)
{
	struct setup_header *hdr = (void *)(image + 0x1f1);

	memset(image, 0x90, sizeof(image));
	memset(hdr, 0, sizeof(*hdr));
	hdr->setup_sects = SETUP_SECTS;
	hdr->syssize = PAYLOAD / 16;
	hdr->boot_flag = 0xaa55;
	hdr->header = 0x53726448;
	hdr->version = 0x20f;
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->relocatable_kernel = 1;
	hdr->kernel_alignment = 0x200000;
	hdr->pref_address = 0x1000000;
	hdr->init_size = 0x300000;
	hdr->initrd_addr_max = 0x7fffffff;
	hdr->cmdline_size = 2047;
	return hdr;
}

static int try_image(size_t len)
{
	put(kernel, image, len);
	return try();
}

static void test_bzimage(void)
{
	struct setup_header *hdr = bzimage();

	put(kernel, image, sizeof(image));
	ok(!boot_open(&boot, &cfg), "a bzImage");
	ok(boot->kernel_gpa == 0x1000000 && boot->entry == 0x1000200 &&
	   boot->kernel_end == 0x1300000, "goes where it wants to");
	boot_close(boot);
	cfg.mem = MIB(18);
	ok(try() == -ENOMEM, "where it unpacks itself, though its file would find room lower");
	cfg.mem = MIB(20);
	hdr->init_size = MIB(64);
	ok(try_image(sizeof(image)) == -ENOMEM, "too large for memory");
	cfg.mem = MIB(128);
	ok(!try_image(sizeof(image)), "not for more memory");
	hdr->init_size = 0xffffffff;
	ok(try_image(sizeof(image)) == -ENOMEM, "absurdly large");
	hdr->init_size = 0x300000;
	hdr->pref_address = ~0ull;
	ok(try_image(sizeof(image)) == -ENOMEM, "no memory is at an absurd address");
	hdr->relocatable_kernel = 0;
	ok(try_image(sizeof(image)) == -ENOMEM, "whatever it was loaded to");
	hdr->pref_address = 0x1000000;
	put(kernel, image, sizeof(image));
	ok(!boot_open(&boot, &cfg) && boot->kernel_gpa == 0x100000 && boot->kernel_end == 0x1300000,
	   "which has that place to itself");
	boot_close(boot);
}

static void test_bzimage_bad(void)
{
	struct setup_header *hdr = bzimage();

	ok(try_image(sizeof(image) - 15) == 0, "the last paragraph may be short");
	ok(try_image(sizeof(image) - 16) == -ENOEXEC, "truncated");
	ok(try_image(SETUP_SIZE) == -ENOEXEC, "nothing but the setup code");
	ok(try_image(0x200) == -ENOEXEC, "nothing but the boot sector");
	ok(try_image(0x210) == -ENOEXEC, "half a header");
	ok(try_image(0) == -EINVAL, "an empty file");
	hdr->xloadflags = 0;
	ok(try_image(sizeof(image)) == -ENOEXEC, "a 32-bit kernel");
	hdr = bzimage();
	hdr->version = 0x20b;
	ok(try_image(sizeof(image)) == -ENOEXEC, "an old protocol");
	hdr = bzimage();
	hdr->cmdline_size = 4;
	cfg.append = "12345";
	ok(try_image(sizeof(image)) == -E2BIG, "the command line is too long");
	cfg.append = "1234";
	ok(!try_image(sizeof(image)), "it just fits");
	memset(image, 'x', sizeof(image));
	ok(try_image(sizeof(image)) == -ENOEXEC, "some other file");
	cfg.kernel = "/nonexistent";
	ok(try() == -ENOENT, "no file");
	cfg.kernel = "/tmp";
	ok(try() == -EINVAL, "a directory");
	cfg.kernel = "/dev/null";
	ok(try() == -EINVAL, "a device");
	cfg.kernel = kernel;
}

static void test_initrd(void)
{
	bzimage();
	put(kernel, image, sizeof(image));
	put(initrd, image, 5000);
	cfg.initrd = initrd;
	cfg.mem = MIB(128);
	ok(!boot_open(&boot, &cfg) && boot->initrd_gpa == MIB(128) - 8192,
	   "the initrd goes to the end of memory");
	boot_close(boot);
	cfg.mem = GIB(8);
	ok(!boot_open(&boot, &cfg) && boot->initrd_gpa == 0x7fffe000,
	   "but not above what the kernel takes");
	boot_close(boot);
	cfg.mem = MIB(128);
	ok(!truncate(initrd, MIB(108)) && !try(), "an initrd that just fits");
	ok(!truncate(initrd, MIB(110)) && try() == -ENOMEM,
	   "one that meets the kernel");
	ok(!truncate(initrd, GIB(5)) && try() == -ENOMEM, "a huge one");
	ok(!truncate(initrd, 0) && try() == -EINVAL, "an empty one");
	cfg.initrd = "/nonexistent";
	ok(try() == -ENOENT, "none at all");
	cfg.initrd = NULL;
}

/* ---- ELF ---- */

static struct elf {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[2];
	Elf64_Nhdr note;
	char name[4];
	uint64_t entry;
	uint8_t code[512];
} elf;

static void elf_init(void)
{
	memset(&elf, 0, sizeof(elf));
	memcpy(elf.ehdr.e_ident, ELFMAG, SELFMAG);
	elf.ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	elf.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	elf.ehdr.e_ident[EI_VERSION] = EV_CURRENT;
	elf.ehdr.e_type = ET_EXEC;
	elf.ehdr.e_machine = EM_X86_64;
	elf.ehdr.e_version = EV_CURRENT;
	elf.ehdr.e_ehsize = sizeof(elf.ehdr);
	elf.ehdr.e_phoff = offsetof(struct elf, phdr);
	elf.ehdr.e_phentsize = sizeof(elf.phdr[0]);
	elf.ehdr.e_phnum = 2;
	elf.phdr[0] = (Elf64_Phdr) {
		.p_type = PT_LOAD, .p_offset = offsetof(struct elf, code),
		.p_paddr = 0x1000000, .p_filesz = sizeof(elf.code),
		.p_memsz = 0x10000 };
	elf.phdr[1] = (Elf64_Phdr) {
		.p_type = PT_NOTE, .p_offset = offsetof(struct elf, note),
		.p_filesz = sizeof(elf.note) + 12, .p_align = 4 };
	elf.note = (Elf64_Nhdr){ 4, 8, 18 };
	memcpy(elf.name, "Xen", 4);
	elf.entry = 0x1000040;
}

static int try_elf(size_t len)
{
	put(kernel, &elf, len);
	return try();
}

static void test_elf(void)
{
	elf_init();
	put(kernel, &elf, sizeof(elf));
	if (!ok(!boot_open(&boot, &cfg), "an ELF kernel"))
		return;
	ok(boot->entry == 0x1000040 && boot->kernel_gpa == 0x1000000 &&
	   boot->kernel_end == 0x1010000, "its addresses");
	boot_close(boot);
	ok(try_elf(sizeof(elf) - 1) == -ENOEXEC, "truncated in a segment");
	ok(try_elf(sizeof(elf.ehdr) + 10) == -ENOEXEC, "in the headers");
	ok(try_elf(20) == -ENOEXEC, "in the ELF header");
	elf.note.n_type = 17;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "no PVH note");
	elf_init();
	elf.note.n_namesz = 0xfffffff0;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "a note that lies");
	elf_init();
	elf.entry = 0x2000000;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "an entry elsewhere");
	elf_init();
	elf.ehdr.e_machine = EM_AARCH64;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "another processor");
	elf_init();
	elf.phdr[0].p_paddr = 0x1000;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "a segment in low memory");
	elf_init();
	elf.phdr[0].p_memsz = ~0ull - 0x1000000;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "a segment that wraps");
	elf_init();
	elf.phdr[0].p_offset = ~0ull - 10;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "an offset that wraps");
	elf_init();
	elf.phdr[0].p_memsz = GIB(1);
	ok(try_elf(sizeof(elf)) == -ENOMEM, "too large for memory");
	elf_init();
	elf.ehdr.e_phnum = 0;
	ok(try_elf(sizeof(elf)) == -ENOEXEC, "nothing to load");
}

/* Flip bytes of both kinds of file: errors are fine, crashes are not. */
static void test_garbage(void)
{
	srand(1);
	for (int i = 0; i < 2000; i++) {
		elf_init();
		for (int j = 0; j < 4; j++)
			((uint8_t *)&elf)[rand() % offsetof(struct elf, code)] =
				(uint8_t)rand();
		try_elf(sizeof(elf));
		bzimage();
		image[0x1f1 + rand() % 120] = (uint8_t)rand();
		try_image(sizeof(image));
	}
	ok(true, "4000 broken files");
}

int main(void)
{
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	close(mkstemp(kernel));
	close(mkstemp(initrd));
	cfg = (struct machine_config){
		.kernel = kernel, .append = "", .mem = MIB(128), .cpus = 1 };
	test_bzimage();
	test_bzimage_bad();
	test_initrd();
	test_elf();
	test_garbage();
	unlink(kernel);
	unlink(initrd);
	return tap_done();
}
