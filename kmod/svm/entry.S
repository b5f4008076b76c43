/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * World switch, APM volume 2, 15.5 and 15.17. From CLGI to STGI nothing
 * interrupts: not NMI, not SMI, not #MC. IF is 1 in there, because with
 * V_INTR_MASKING the host's IF at VMRUN decides whether a physical interrupt
 * ends the guest (15.21.1). VMRUN and #VMEXIT switch RAX, RSP, RIP, RFLAGS,
 * control registers and the main segments; VMLOAD and VMSAVE the rest.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#include "entry.h"

#define SLOT(n)		((n) * 8)
#define G_RCX		SLOT(1)
#define G_RDX		SLOT(2)
#define G_RBX		SLOT(3)
#define G_RBP		SLOT(5)
#define G_RSI		SLOT(6)
#define G_RDI		SLOT(7)

	.section .rodata
	.balign 2
.Lverw_selector:
	.word	__KERNEL_DS

	.section .noinstr.text, "ax"

SYM_FUNC_START(svm_enter_guest)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	/* #UD here, and only here, when SVME was cleared by a reboot. */
.Lclgi:
	clgi
	_ASM_EXTABLE(.Lclgi, .Lbroken)
	sti

	testl	$SVM_RUN_SPEC_SWITCH, SVM_RUN_FLAGS(%rdi)
	jz	.Lspec_loaded
	mov	SVM_RUN_GUEST_SPEC(%rdi), %eax
	cmp	SVM_RUN_HOST_SPEC(%rdi), %eax
	je	.Lspec_loaded
	mov	SVM_RUN_GUEST_SPEC + 4(%rdi), %edx
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	wrmsr
.Lspec_loaded:
	mov	SVM_RUN_VMCB(%rdi), %rax
	mov	SVM_RUN_GPR(%rdi), %rdi
	mov	G_RCX(%rdi), %rcx
	mov	G_RDX(%rdi), %rdx
	mov	G_RBX(%rdi), %rbx
	mov	G_RBP(%rdi), %rbp
	mov	G_RSI(%rdi), %rsi
	mov	SLOT(8)(%rdi), %r8
	mov	SLOT(9)(%rdi), %r9
	mov	SLOT(10)(%rdi), %r10
	mov	SLOT(11)(%rdi), %r11
	mov	SLOT(12)(%rdi), %r12
	mov	SLOT(13)(%rdi), %r13
	mov	SLOT(14)(%rdi), %r14
	mov	SLOT(15)(%rdi), %r15
	mov	G_RDI(%rdi), %rdi

#ifdef X86_FEATURE_CLEAR_CPU_BUF_VM
	/* What is read after VERW is the guest's own. */
	ALTERNATIVE "jmp .Lbuffers_cleared", "", X86_FEATURE_CLEAR_CPU_BUF_VM
	verw	.Lverw_selector(%rip)
.Lbuffers_cleared:
#endif
	vmload	%rax
	vmrun	%rax
	vmsave	%rax

	/* The guest's GS is live until VMLOAD: no per-CPU access before it. */
	mov	(%rsp), %rax
	mov	SVM_RUN_HOST(%rax), %rax
	vmload	%rax

	mov	(%rsp), %rax
	mov	SVM_RUN_GPR(%rax), %rax
	mov	%rcx, G_RCX(%rax)
	mov	%rdx, G_RDX(%rax)
	mov	%rbx, G_RBX(%rax)
	mov	%rbp, G_RBP(%rax)
	mov	%rsi, G_RSI(%rax)
	mov	%rdi, G_RDI(%rax)
	mov	%r8, SLOT(8)(%rax)
	mov	%r9, SLOT(9)(%rax)
	mov	%r10, SLOT(10)(%rax)
	mov	%r11, SLOT(11)(%rax)
	mov	%r12, SLOT(12)(%rax)
	mov	%r13, SLOT(13)(%rax)
	mov	%r14, SLOT(14)(%rax)
	mov	%r15, SLOT(15)(%rax)

	/* No value of the guest's is left for the host to speculate with. */
	xor	%ebx, %ebx
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%ebp, %ebp
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	/* Before the first RET and indirect branch of the host. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT

	mov	(%rsp), %rdi
	testl	$SVM_RUN_SPEC_SWITCH, SVM_RUN_FLAGS(%rdi)
	jz	.Lspec_done
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	testl	$SVM_RUN_SPEC_READ, SVM_RUN_FLAGS(%rdi)
	jz	.Lspec_known
	rdmsr
	mov	%eax, SVM_RUN_GUEST_SPEC(%rdi)
	mov	%edx, SVM_RUN_GUEST_SPEC + 4(%rdi)
.Lspec_known:
	mov	SVM_RUN_HOST_SPEC(%rdi), %eax
	cmp	SVM_RUN_GUEST_SPEC(%rdi), %eax
	je	.Lspec_done
	mov	SVM_RUN_HOST_SPEC + 4(%rdi), %edx
	wrmsr
.Lspec_done:
	/* The branches above must not be passed speculatively. */
	lfence

#if defined(X86_FEATURE_UNRET) && defined(X86_FEATURE_SRSO_ALIAS)
	ALTERNATIVE_2 "", "call entry_untrain_ret", X86_FEATURE_UNRET, \
		"call srso_alias_untrain_ret", X86_FEATURE_SRSO_ALIAS
#endif
#ifdef X86_FEATURE_IBPB_ON_VMEXIT
	ALTERNATIVE "jmp .Libpb_done", "", X86_FEATURE_IBPB_ON_VMEXIT
	mov	$MSR_IA32_PRED_CMD, %ecx
	mov	$PRED_CMD_IBPB, %eax
	xor	%edx, %edx
	wrmsr
#ifdef X86_BUG_IBPB_NO_RET
	/* Here IBPB leaves return predictions, and the filling above is left out with it. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_BUG_IBPB_NO_RET
#endif
.Libpb_done:
#endif
	xor	%eax, %eax
	cli
	stgi

.Lout:
	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

.Lbroken:
	mov	$1, %eax
	jmp	.Lout
SYM_FUNC_END(svm_enter_guest)
