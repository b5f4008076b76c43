/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boot sector of the Bochs machine. Kernel, command line and initrd are in memory already (optramimage); what is left is
 * to collect the memory map from the BIOS and to enter the kernel by its PVH entry (Linux Documentation/arch/x86/pvh).
 *
 * Bochs gives its memory blocks room in the order of their first touch, while an image is loaded in one piece. The blocks
 * behind the image's first must therefore be touched in ascending order before anything else is.
 *
 * From the command line of the assembler: NBLK blocks to touch, PVH_ENTRY, INITRD_ADDR, INITRD_SIZE.
 */
#define E820_MAP	0x8000
#define E820_ENTRY	24
#define CMDLINE		0x20000
#define BLOCK		0x800000
#define SECOND_BLOCK	0x1800000
#define PVH_MAGIC	0x336ec578

	.code16
	.globl	_start
_start:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp
	ljmp	$0, $collect

collect:
	sti
	mov	$E820_MAP, %di
	xor	%ebx, %ebx
	xor	%bp, %bp
next_range:
	mov	$0xe820, %eax
	mov	$0x534d4150, %edx
	mov	$20, %ecx
	int	$0x15
	jc	collected
	movl	$0, 20(%di)
	inc	%bp
	add	$E820_ENTRY, %di
	test	%ebx, %ebx
	jnz	next_range
collected:
	cli
	movzwl	%bp, %eax
	mov	%eax, map_entries
	in	$0x92, %al		/* A20 */
	or	$2, %al
	out	%al, $0x92
	lgdt	gdtr
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmp	$8, $protected

	.code32
protected:
	mov	$0x10, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	%ax, %fs
	mov	%ax, %gs
	mov	$SECOND_BLOCK, %esi
	mov	$NBLK, %ecx
touch:
	mov	(%esi), %eax
	add	$BLOCK, %esi
	dec	%ecx
	jnz	touch
	mov	$start_info, %ebx
	xor	%eax, %eax
	mov	$PVH_ENTRY, %ecx
	jmp	*%ecx

	.align	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	23
	.long	gdt
	.align	8
start_info:				/* struct hvm_start_info, version 1 */
	.long	PVH_MAGIC, 1, 0, 1
	.long	modules, 0, CMDLINE, 0, 0, 0, E820_MAP, 0
map_entries:
	.long	0, 0
modules:				/* struct hvm_modlist_entry */
	.long	INITRD_ADDR, 0, INITRD_SIZE, 0, 0, 0, 0, 0

	.org	510
	.word	0xaa55
