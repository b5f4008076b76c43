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
#define RAX		GPR(0)
#define RCX		GPR(1)
#define RDX		GPR(2)
#define RBX		GPR(3)
#define RBP		GPR(5)
#define RSI		GPR(6)
#define RDI		GPR(7)
#define R(n)		GPR(n)

#define FIELD_HOST_RSP	0x6c14

/* Stack inside vmx_enter_guest, once its prologue is done. */
#define FRAME_GPR	0
#define FRAME_RUN	8
#define FRAME_SIZE	16

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
	mov	%rsp, VMX_RUN_HOST_RSP(%rdi)
	mov	$FIELD_HOST_RSP, %eax
	vmwrite	%rsp, %rax
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
	mov	RCX(%rax), %rcx
	mov	RDX(%rax), %rdx
	mov	RBX(%rax), %rbx
	mov	RBP(%rax), %rbp
	mov	RSI(%rax), %rsi
	mov	RDI(%rax), %rdi
	mov	R(8)(%rax), %r8
	mov	R(9)(%rax), %r9
	mov	R(10)(%rax), %r10
	mov	R(11)(%rax), %r11
	mov	R(12)(%rax), %r12
	mov	R(13)(%rax), %r13
	mov	R(14)(%rax), %r14
	mov	R(15)(%rax), %r15
	mov	RAX(%rax), %rax

	UNWIND_HINT_SAVE
	jnc	.Llaunch
.Lresume:
	vmresume
	jmp	.Lrefused
.Llaunch:
	vmlaunch
	jmp	.Lrefused

	_ASM_EXTABLE(.Lresume, .Lfaulted)
	_ASM_EXTABLE(.Llaunch, .Lfaulted)

SYM_INNER_LABEL_ALIGN(vmx_exit_point, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ANNOTATE_NOENDBR
	push	%rax
	mov	(FRAME_GPR + 8)(%rsp), %rax
	pop	RAX(%rax)
	mov	%rcx, RCX(%rax)
	mov	%rdx, RDX(%rax)
	mov	%rbx, RBX(%rax)
	mov	%rbp, RBP(%rax)
	mov	%rsi, RSI(%rax)
	mov	%rdi, RDI(%rax)
	mov	%r8, R(8)(%rax)
	mov	%r9, R(9)(%rax)
	mov	%r10, R(10)(%rax)
	mov	%r11, R(11)(%rax)
	mov	%r12, R(12)(%rax)
	mov	%r13, R(13)(%rax)
	mov	%r14, R(14)(%rax)
	mov	%r15, R(15)(%rax)
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
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE

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
	add	$FRAME_SIZE, %rsp
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
