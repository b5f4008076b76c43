// SPDX-License-Identifier: GPL-2.0-only
/*
 * Register groups: fetching, reset values, KVM_GET/SET_REGS, sync regs.
 */
#include <linux/bitops.h>

#include "cpuid.h"
#include "debug.h"
#include "emulate.h"
#include "regs_access.h"
#include "sregs.h"
#include "vendor.h"

/* WB, WT, UC-, UC, twice (SDM 12.12.4). */
#define PAT_RESET	0x0007040600070406ull
#define ALL_GROUPS	(BIT(NR_REG_GROUPS) - 1)
/* Those that struct kvm_regs is made of. */
#define USER_GROUPS	(BIT(RG_RSP) | BIT(RG_RIP) | BIT(RG_RFLAGS))

void regs_fetch(struct vcpu *vcpu, u32 groups)
{
	/* Who has the segments has the mode, perhaps a newer one. */
	if (vcpu->regs.avail & BIT(RG_SEG))
		vcpu->regs.avail |= BIT(RG_MODE);
	groups &= ~vcpu->regs.avail;
	vendor_call(fetch, vcpu, groups);
	vcpu->regs.avail |= groups;
}

static void seg_set(struct segment *seg, u16 selector, u64 base, u32 attr)
{
	*seg = (struct segment){
		.selector = selector, .base = base, .limit = 0xffff, .attr = attr,
	};
}

/* SDM table 10-1: state after power-up and INIT. */
static void regs_reset_segments(struct vcpu_regs *r)
{
	int i;

	for (i = 0; i < NR_SEGS; i++)
		seg_set(&r->seg[i], 0, 0, SEG_ATTR_P | SEG_ATTR_S | 3);
	seg_set(&r->seg[SEG_CS], 0xf000, 0xffff0000, SEG_ATTR_P | SEG_ATTR_S | 0xb);
	seg_set(&r->seg[SEG_TR], 0, 0, SEG_ATTR_P | 0xb);
	seg_set(&r->seg[SEG_LDTR], 0, 0, SEG_ATTR_P | 0x2);
	r->gdt = (struct desc_table){ .limit = 0xffff };
	r->idt = (struct desc_table){ .limit = 0xffff };
}

void regs_reset(struct vcpu *vcpu, bool init)
{
	struct vcpu_regs *r = &vcpu->regs;
	u64 cr0_cache = X86_CR0_CD | X86_CR0_NW;

	/* INIT leaves CR0.CD and CR0.NW alone. */
	if (init)
		cr0_cache = vcpu_cr0(vcpu) & cr0_cache;
	/* What INIT keeps (RG_SYSENTER, RG_PAT) is read before it becomes dirty. */
	regs_get(vcpu, RG_SYSENTER);
	regs_get(vcpu, RG_PAT);
	if (!init)
		memset(r, 0, sizeof(*r));
	r->avail = ALL_GROUPS;
	r->dirty = ALL_GROUPS & ~BIT(RG_MODE);
	memset(r->gpr, 0, sizeof(r->gpr));
	r->gpr[GPR_RDX] = cpuid_signature(vcpu);
	r->rip = 0xfff0;
	r->rflags = X86_EFLAGS_FIXED;
	r->cr0 = X86_CR0_ET | cr0_cache;
	r->cr2 = 0;
	r->cr3 = 0;
	r->cr4 = 0;
	r->cr8 = 0;
	r->efer = 0;
	regs_reset_segments(r);
	memset(r->dr, 0, sizeof(r->dr));
	r->dr6 = DR6_INIT;
	r->dr7 = DR7_INIT;
	r->intr_shadow = 0;
	r->nmi_blocked = false;
	if (!init)
		r->pat = PAT_RESET;
	debug_regs_changed(vcpu);
}

void vcpu_set_shadow(struct vcpu *vcpu, u32 shadow)
{
	if (regs_get(vcpu, RG_INTR)->intr_shadow != shadow)
		regs_mod(vcpu, RG_INTR)->intr_shadow = shadow;
}

/* Register by register, as most programs ask for them at every exit. */
void regs_get_user(struct vcpu *vcpu, struct kvm_regs *regs)
{
	const u64 *gpr = regs_get_all(vcpu, USER_GROUPS)->gpr;

	regs->rax = gpr[GPR_RAX];
	regs->rbx = gpr[GPR_RBX];
	regs->rcx = gpr[GPR_RCX];
	regs->rdx = gpr[GPR_RDX];
	regs->rsi = gpr[GPR_RSI];
	regs->rdi = gpr[GPR_RDI];
	regs->rsp = gpr[GPR_RSP];
	regs->rbp = gpr[GPR_RBP];
	regs->r8 = gpr[GPR_R8];
	regs->r9 = gpr[GPR_R9];
	regs->r10 = gpr[GPR_R10];
	regs->r11 = gpr[GPR_R11];
	regs->r12 = gpr[GPR_R12];
	regs->r13 = gpr[GPR_R13];
	regs->r14 = gpr[GPR_R14];
	regs->r15 = gpr[GPR_R15];
	regs->rip = vcpu_rip(vcpu);
	regs->rflags = debug_visible_rflags(vcpu);
}

void regs_set_user(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	struct vcpu_regs *r = &vcpu->regs;
	u64 *gpr = r->gpr;

	gpr[GPR_RAX] = regs->rax;
	gpr[GPR_RBX] = regs->rbx;
	gpr[GPR_RCX] = regs->rcx;
	gpr[GPR_RDX] = regs->rdx;
	gpr[GPR_RSI] = regs->rsi;
	gpr[GPR_RDI] = regs->rdi;
	gpr[GPR_RSP] = regs->rsp;
	gpr[GPR_RBP] = regs->rbp;
	gpr[GPR_R8] = regs->r8;
	gpr[GPR_R9] = regs->r9;
	gpr[GPR_R10] = regs->r10;
	gpr[GPR_R11] = regs->r11;
	gpr[GPR_R12] = regs->r12;
	gpr[GPR_R13] = regs->r13;
	gpr[GPR_R14] = regs->r14;
	gpr[GPR_R15] = regs->r15;
	r->rip = regs->rip;
	r->rflags = debug_hardware_rflags(vcpu, regs->rflags) | X86_EFLAGS_FIXED;
	r->avail |= USER_GROUPS;
	r->dirty |= USER_GROUPS;
	vcpu->ev.ex.pending = false;
	vcpu_request(vcpu, REQ_EVENT);
}

/* KVM_CAP_SYNC_REGS: into kvm_run before going to user space. */
void regs_store_run(struct vcpu *vcpu)
{
	struct kvm_sync_regs *s = &vcpu->run->s.regs;
	u64 valid = vcpu->run->kvm_valid_regs;

	if (valid & KVM_SYNC_X86_REGS)
		regs_get_user(vcpu, &s->regs);
	if (valid & KVM_SYNC_X86_SREGS)
		sregs_get(vcpu, &s->sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		events_get(vcpu, &s->events);
}

/* And back; kvm_run is shared memory, so each structure is copied once. */
int regs_load_run(struct vcpu *vcpu)
{
	u64 dirty = vcpu->run->kvm_dirty_regs;
	int err = 0;

	if (dirty & KVM_SYNC_X86_REGS) {
		struct kvm_regs regs = vcpu->run->s.regs.regs;

		regs_set_user(vcpu, &regs);
	}
	if (dirty & KVM_SYNC_X86_SREGS) {
		struct kvm_sregs sregs = vcpu->run->s.regs.sregs;

		err = sregs_set(vcpu, &sregs);
	}
	if (!err && (dirty & KVM_SYNC_X86_EVENTS)) {
		struct kvm_vcpu_events events = vcpu->run->s.regs.events;

		err = events_set(vcpu, &events);
	}
	vcpu->run->kvm_dirty_regs = 0;
	return err ? -EINVAL : 0;
}

int regs_translate(struct vcpu *vcpu, struct kvm_translation *tr)
{
	struct walk_fault fault;
	gpa_t gpa = 0;
	int idx = srcu_read_lock(&vcpu->vm->srcu);

	tr->valid = !guest_walk(vcpu, tr->linear_address, WALK_NO_AD | WALK_IMPLICIT,
				&gpa, &fault);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	tr->physical_address = tr->valid ? gpa : INVALID_GPA;
	tr->writeable = 1;
	tr->usermode = 0;
	return 0;
}

/*
 * Moves RIP over the instruction that exited. Without a length from the
 * hardware (no NRIP save) the instruction is fetched and decoded.
 */
void vcpu_skip_insn(struct vcpu *vcpu)
{
	u64 rip;

	if (!vcpu->exit.insn_len && !emulation_usual_len(vcpu)) {
		emulation_skip(vcpu);
		return;
	}
	rip = vcpu_rip(vcpu) + vcpu->exit.insn_len;
	/* It wraps in the other modes, where it is below 4 GiB before. */
	if (unlikely((rip ^ vcpu->regs.rip) >> 32) && !vcpu_64bit(vcpu))
		rip = (u32)rip;
	vcpu_set_rip(vcpu, rip);
	vcpu_set_shadow(vcpu, 0);
	if (unlikely(vcpu_rflags(vcpu) & (X86_EFLAGS_TF | X86_EFLAGS_RF)))
		debug_insn_done(vcpu);
}
