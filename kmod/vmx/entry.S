/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VM entry and exit. Entry loads all GPRs but RSP, exit saves them; RSP, RIP
 * and RFLAGS travel in the VMCS (SDM 27.3.2.3, 28.3.3).
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#include "entry.h"

#define GPR(n)		((n) * 8)
#define O_RAX		GPR(0)
#define O_RCX		GPR(1)
#define O_RDX		GPR(2)
#define O_RBX		GPR(3)
#define O_RBP		GPR(5)
#define O_RSI		GPR(6)
#define O_RDI		GPR(7)
#define O_R(n)		GPR(n)

#define FIELD_HOST_RSP	0x6c14

/* Stack inside vmx_enter_guest, once its prologue is done. */
#define FRAME_GPR	0
#define FRAME_RUN	8
#define FRAME_BYTES	16

	.section .rodata
	.balign 2
.Lverw_selector:
	.word	__KERNEL_DS

	.section .noinstr.text, "ax"

SYM_FUNC_START(vmx_enter_guest)
	push	%rbp
	mov	%rsp, %rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi
	push	%rsi

	/* HOST_RSP changes only with the task or the depth of the stack. */
	cmp	%rsp, VMX_RUN_HOST_RSP(%rdi)
	je	.Lhost_rsp_ok
	mov	$FIELD_HOST_RSP, %eax
.Lwrite_rsp:
	vmwrite	%rsp, %rax
	mov	%rsp, VMX_RUN_HOST_RSP(%rdi)
.Lhost_rsp_ok:
	mov	VMX_RUN_FLAGS(%rdi), %r8d
	bt	$VMX_RUN_SPEC_SWITCH, %r8d
	jnc	.Lspec_loaded
	mov	VMX_RUN_GUEST_SPEC(%rdi), %rax
	cmp	VMX_RUN_HOST_SPEC(%rdi), %rax
	je	.Lspec_loaded
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	wrmsr
.Lspec_loaded:
	/* What is read after VERW is the guest's own. */
	bt	$VMX_RUN_VERW, %r8d
	jnc	.Lbuffers_cleared
	verw	.Lverw_selector(%rip)
.Lbuffers_cleared:
	/* CF survives the loads below. */
	bt	$VMX_RUN_RESUME, %r8d

	mov	%rsi, %rax
	mov	O_RCX(%rax), %rcx
	mov	O_RDX(%rax), %rdx
	mov	O_RBX(%rax), %rbx
	mov	O_RBP(%rax), %rbp
	mov	O_RSI(%rax), %rsi
	mov	O_RDI(%rax), %rdi
	mov	O_R(8)(%rax), %r8
	mov	O_R(9)(%rax), %r9
	mov	O_R(10)(%rax), %r10
	mov	O_R(11)(%rax), %r11
	mov	O_R(12)(%rax), %r12
	mov	O_R(13)(%rax), %r13
	mov	O_R(14)(%rax), %r14
	mov	O_R(15)(%rax), %r15
	mov	O_RAX(%rax), %rax

	UNWIND_HINT_SAVE
	jnc	.Llaunch
.Lresume:
	vmresume
	jmp	.Lrefused
.Llaunch:
	vmlaunch
	jmp	.Lrefused

	/* #UD when a reboot has left VMX operation. */
	_ASM_EXTABLE(.Lwrite_rsp, .Lfaulted)
	_ASM_EXTABLE(.Lresume, .Lfaulted)
	_ASM_EXTABLE(.Llaunch, .Lfaulted)

SYM_INNER_LABEL_ALIGN(vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ANNOTATE_NOENDBR
	push	%rax
	mov	(FRAME_GPR + 8)(%rsp), %rax
	pop	O_RAX(%rax)
	mov	%rcx, O_RCX(%rax)
	mov	%rdx, O_RDX(%rax)
	mov	%rbx, O_RBX(%rax)
	mov	%rbp, O_RBP(%rax)
	mov	%rsi, O_RSI(%rax)
	mov	%rdi, O_RDI(%rax)
	mov	%r8, O_R(8)(%rax)
	mov	%r9, O_R(9)(%rax)
	mov	%r10, O_R(10)(%rax)
	mov	%r11, O_R(11)(%rax)
	mov	%r12, O_R(12)(%rax)
	mov	%r13, O_R(13)(%rax)
	mov	%r14, O_R(14)(%rax)
	mov	%r15, O_R(15)(%rax)
	xor	%r9d, %r9d

.Lleave:
	/* No value of the guest's is left for the host to speculate with. */
	xor	%eax, %eax
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%ebp, %ebp
	xor	%r8d, %r8d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	mov	FRAME_RUN(%rsp), %rdi

	/* Before the first RET and indirect branch of the host. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE

	mov	VMX_RUN_FLAGS(%rdi), %r8d
	bt	$VMX_RUN_SPEC_SWITCH, %r8d
	jnc	.Lspec_done
	mov	VMX_RUN_GUEST_SPEC(%rdi), %rax
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	bt	$VMX_RUN_SPEC_READ, %r8d
	jnc	.Lspec_known
	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, VMX_RUN_GUEST_SPEC(%rdi)
.Lspec_known:
	bt	$VMX_RUN_SPEC_ALWAYS, %r8d
	jc	.Lspec_write
	cmp	VMX_RUN_HOST_SPEC(%rdi), %rax
	je	.Lspec_done
.Lspec_write:
	mov	VMX_RUN_HOST_SPEC(%rdi), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
.Lspec_done:
	/* The branches above must not be passed speculatively. */
	lfence
	bt	$VMX_RUN_BHB, %r8d
	jnc	.Lhistory_done
	call	vmx_clear_branch_history
.Lhistory_done:
	mov	%r9d, %eax
	add	$FRAME_BYTES, %rsp
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lrefused:
	mov	$1, %r9d
	jmp	.Lleave
.Lfaulted:
	mov	$2, %r9d
	jmp	.Lleave
SYM_FUNC_END(vmx_enter_guest)

/*
 * Fills the branch history buffer with branches of ours, so that none of the
 * guest's chooses a target of the host's indirect branches: 5 calls of a loop
 * of 5 taken jumps exceed what CPUs without BHI_DIS_S remember.
 */
SYM_FUNC_START_LOCAL(vmx_clear_branch_history)
	mov	$40, %ecx
.Lhistory_outer:
	mov	$5, %edx
.Lhistory_inner:
	jmp	.Lhistory_a
	int3
.Lhistory_a:
	dec	%edx
	jnz	.Lhistory_inner
	dec	%ecx
	jnz	.Lhistory_outer
	lfence
	RET
SYM_FUNC_END(vmx_clear_branch_history)
