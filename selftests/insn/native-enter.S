/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Into the instruction and out of it. Once all registers are the instruction's,
 * memory is addressed absolutely: the program is linked below 2 GiB.
 */
#include "native.h"

#define IN(n)	native + NAT_IN + 8 * (n)
#define OUT(n)	native + NAT_OUT + 8 * (n)
#define RIP	16
#define RFLAGS	17
#define SEL(n)	native + NAT_SEL + 2 * (n)
#define OSEL(n)	native + NAT_OUT_SEL + 2 * (n)
#define ES	0
#define SS	2
#define DS	3
#define FS	4
#define GS	5

#define USER_SS	0x2b
#define USER_CS	0x33
#define ARCH_SET_FS	0x1002
#define SYS_arch_prctl	158

#define SIXTEEN(m) \
	m(0); m(1); m(2); m(3); m(4); m(5); m(6); m(7); \
	m(8); m(9); m(10); m(11); m(12); m(13); m(14); m(15)
#define LOAD_YMM(i)	vmovdqu native + NAT_VEC + 32 * i, %ymm##i
#define SAVE_YMM(i)	vmovdqu %ymm##i, native + NAT_OUT_VEC + 32 * i
#define EIGHT(m)	m(0); m(1); m(2); m(3); m(4); m(5); m(6); m(7)
#define LOAD_MM(i)	movq native + NAT_MMX + 8 * i, %mm##i
#define SAVE_MM(i)	movq %mm##i, native + NAT_OUT_MMX + 8 * i

.macro load_registers
	mov	IN(0), %rax
	mov	IN(1), %rcx
	mov	IN(2), %rdx
	mov	IN(3), %rbx
	mov	IN(5), %rbp
	mov	IN(6), %rsi
	mov	IN(7), %rdi
	mov	IN(8), %r8
	mov	IN(9), %r9
	mov	IN(10), %r10
	mov	IN(11), %r11
	mov	IN(12), %r12
	mov	IN(13), %r13
	mov	IN(14), %r14
	mov	IN(15), %r15
.endm

	.text
	.globl	native_enter, native_exit, native_signal

native_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, native + NAT_HOST_RSP
	mov	native + NAT_FLAGS, %eax
	test	$NATIVE_VEC, %eax
	jz	1f
	SIXTEEN(LOAD_YMM)
1:	test	$NATIVE_MMX, %eax
	jz	2f
	EIGHT(LOAD_MM)
2:	test	$NATIVE_SEGS, %eax
	jz	3f
	mov	SEL(ES), %es
	mov	SEL(DS), %ds
	mov	SEL(FS), %fs
	mov	SEL(GS), %gs
3:	test	$NATIVE_BASES, %eax
	jz	4f
	mov	native + NAT_FS_BASE, %rcx
	mov	native + NAT_GS_BASE, %rdx
	wrfsbase %rcx
	wrgsbase %rdx
4:	test	$NATIVE_TRAP, %eax
	jnz	enter_trap
	pushq	IN(RFLAGS)
	test	$NATIVE_COMPAT, %eax
	jnz	enter_compat
	popfq
	mov	IN(4), %rsp
	load_registers
	jmp	*IN(RIP)

enter_compat:
	popfq
	mov	SEL(SS), %ss
	mov	IN(4), %rsp
	load_registers
	ljmp	*native + NAT_FAR

enter_trap:
	movzwl	SEL(SS), %edx
	mov	$USER_CS, %ecx
	test	$NATIVE_COMPAT, %eax
	jz	1f
	movzwl	native + NAT_FAR + 4, %ecx
1:	push	%rdx
	pushq	IN(4)
	pushq	IN(RFLAGS)
	push	%rcx
	pushq	IN(RIP)
	load_registers
	iretq

/* The way out leads here, in 64-bit mode. */
native_exit:
	mov	%rax, OUT(0)
	mov	%rcx, OUT(1)
	mov	%rdx, OUT(2)
	mov	%rbx, OUT(3)
	mov	%rsp, OUT(4)
	mov	%rbp, OUT(5)
	mov	%rsi, OUT(6)
	mov	%rdi, OUT(7)
	mov	%r8, OUT(8)
	mov	%r9, OUT(9)
	mov	%r10, OUT(10)
	mov	%r11, OUT(11)
	mov	%r12, OUT(12)
	mov	%r13, OUT(13)
	mov	%r14, OUT(14)
	mov	%r15, OUT(15)
	mov	%ss, OSEL(SS)
	mov	native + NAT_HOST_RSP, %rsp
	pushfq
	popq	OUT(RFLAGS)
	pushq	$0x202
	popfq
	testl	$NATIVE_VEC, native + NAT_FLAGS
	jz	1f
	SIXTEEN(SAVE_YMM)
	vzeroupper
1:	testl	$NATIVE_MMX, native + NAT_FLAGS
	jz	2f
	EIGHT(SAVE_MM)
	emms
2:	call	swap_segments

leave:
	mov	native + NAT_HOST_RSP, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

/* Save the segment registers, and give the program its own back. */
swap_segments:
	mov	%es, OSEL(ES)
	mov	%ds, OSEL(DS)
	mov	%fs, OSEL(FS)
	mov	%gs, OSEL(GS)
	cmpl	$0, native + NAT_FSGSBASE
	jz	1f
	rdfsbase %rax
	rdgsbase %rdx
	mov	%rax, native + NAT_OUT_FS_BASE
	mov	%rdx, native + NAT_OUT_GS_BASE
1:	xor	%edi, %edi
	mov	$USER_SS, %eax
	cmp	%ax, OSEL(SS)
	je	2f
	mov	%eax, %ss
2:	cmpw	%di, OSEL(ES)
	je	3f
	mov	%edi, %es
3:	cmpw	%di, OSEL(DS)
	je	4f
	mov	%edi, %ds
4:	cmpw	%di, OSEL(GS)
	je	5f
	mov	%edi, %gs
5:	mov	native + NAT_HOST_FS, %rsi
	cmpl	%edi, native + NAT_FSGSBASE
	jz	7f
	cmpw	%di, OSEL(FS)
	je	6f
	mov	%edi, %fs
6:	wrfsbase %rsi
	ret
7:	cmpw	%di, OSEL(FS)
	je	8f
	mov	%edi, %fs
	mov	$ARCH_SET_FS, %edi
	mov	$SYS_arch_prctl, %eax
	syscall
8:	ret

/* The signal handler. It does not return: neither does what it interrupted. */
native_signal:
	pushq	$0x202		/* AC is still set */
	popfq
	mov	%rdi, %r12
	mov	%rsi, %r13
	mov	%rdx, %r14
	sub	$8, %rsp
	mov	%ss, OSEL(SS)	/* the kernel leaves one that it thinks good */
	call	swap_segments
	mov	%r12, %rdi
	mov	%r13, %rsi
	mov	%r14, %rdx
	call	native_take_signal
	jmp	leave

	.section .note.GNU-stack, "", @progbits
