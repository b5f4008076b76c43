/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest of the golden files: a kernel with a PVH entry that counts, and tells of every thousandth number on the
 * serial port. A register, a word of memory and the FPU each hold the count; it says "wrong" when they differ.
 */
	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.text
	.code32
	.globl start, _start
start:
_start:
	mov $stack, %esp
	fninit
	fldz
	xor %esi, %esi		/* the count */
	movl $0, memory
count:
	inc %esi
	incl memory
	fld1
	faddp
	mov %esi, %eax
	xor %edx, %edx
	mov $1000, %ecx
	div %ecx
	test %edx, %edx
	jnz count
	mov $hello, %edi
	cmp %esi, memory
	jne wrong
	fistl fpu
	cmp %esi, fpu
	je tell
wrong:
	mov $bad, %edi
tell:
	call print
	mov %esi, %ebx
	mov $8, %ecx
digit:
	rol $4, %ebx
	mov %ebx, %eax
	and $15, %eax
	mov digits(%eax), %al
	call put
	loop digit
	mov $10, %al
	call put
	/* a while, so that a reader keeps up */
	mov $2000000, %ecx
	rep nop
wait:
	loop wait
	jmp count

print:
	mov (%edi), %al
	test %al, %al
	jz printed
	call put
	inc %edi
	jmp print
printed:
	ret

put:
	push %eax
	mov $0x3fd, %dx
full:
	in %dx, %al
	test $0x20, %al
	jz full
	pop %eax
	mov $0x3f8, %dx
	out %al, %dx
	ret

	.data
hello:	.asciz "golden "
bad:	.asciz "wrong "
digits:	.ascii "0123456789abcdef"
	.align 4
memory:	.long 0
fpu:	.long 0
	.space 256
stack:

	.section .note.GNU-stack, "", @progbits
