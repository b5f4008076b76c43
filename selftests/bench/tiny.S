/* SPDX-License-Identifier: GPL-2.0-only */
/* A kernel that ends with its first instruction: a triple fault, as there is no IDT. Started through its PVH note. */
	.section .note.pvh, "a", @note
	.long	4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start
	.text
	.globl	_start
start:
_start:	ud2
