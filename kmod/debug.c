// SPDX-License-Identifier: GPL-2.0-only
/*
 * Debug registers and debugging of the guest by user space.
 *
 * regs.dr/dr6/dr7 are always the guest's. While user space owns the hardware
 * breakpoints (KVM_GUESTDBG_USE_HW_BP) the vendor loads debug_effective_dr*()
 * instead and intercepts the guest's MOV DR. Single step keeps TF set in the
 * hardware's RFLAGS; debug_visible_rflags() hides it.
 */
#include <asm/traps.h>

#include "debug.h"
#include "regs_access.h"
#include "smm.h"
#include "vendor.h"

u64 debug_effective_dr7(struct vcpu *vcpu)
{
	return debug_owns_drs(vcpu) ? vcpu->debug_dr7 : vcpu->regs.dr7;
}

u64 debug_effective_dr(struct vcpu *vcpu, int n)
{
	return debug_owns_drs(vcpu) ? vcpu->debug_dr[n] : vcpu->regs.dr[n];
}

void debug_regs_changed(struct vcpu *vcpu)
{
	regs_mod(vcpu, RG_DR);
}

void debugregs_get(struct vcpu *vcpu, struct kvm_debugregs *out)
{
	struct vcpu_regs *r;
	int i;

	events_payload_for_user(vcpu);
	r = regs_get(vcpu, RG_DR);
	memset(out, 0, sizeof(*out));
	for (i = 0; i < 4; i++)
		out->db[i] = r->dr[i];
	out->dr6 = r->dr6;
	out->dr7 = r->dr7;
}

int debugregs_set(struct vcpu *vcpu, const struct kvm_debugregs *in)
{
	struct vcpu_regs *r;
	int i;

	if (in->flags || upper_32_bits(in->dr6) || upper_32_bits(in->dr7))
		return -EINVAL;
	r = regs_mod(vcpu, RG_DR);
	for (i = 0; i < 4; i++)
		r->dr[i] = in->db[i];
	r->dr6 = in->dr6;
	r->dr7 = in->dr7;
	debug_regs_changed(vcpu);
	return 0;
}

int vcpu_set_dr(struct vcpu *vcpu, int dr, u64 val)
{
	struct vcpu_regs *r = regs_mod(vcpu, RG_DR);

	switch (dr) {
	case 0 ... 3:
		r->dr[dr] = val;
		return 0;
	case 4:
	case 6:
		if (upper_32_bits(val))
			return 1;
		r->dr6 = (val & DR6_WRITABLE) | DR6_INIT;
		return 0;
	default:
		if (upper_32_bits(val))
			return 1;
		r->dr7 = (val & 0xffff2fff) | DR7_INIT;
		debug_regs_changed(vcpu);
		return 0;
	}
}

u64 vcpu_dr(struct vcpu *vcpu, int dr)
{
	struct vcpu_regs *r = regs_get(vcpu, RG_DR);

	if (dr < 4)
		return r->dr[dr];
	return (dr == 4 || dr == 6) ? r->dr6 : r->dr7;
}

void debug_set_dr6(struct vcpu *vcpu, u64 payload)
{
	struct vcpu_regs *r = regs_mod(vcpu, RG_DR);

	r->dr6 &= ~0xful;
	r->dr6 |= DR6_INIT | (1 << 16);
	r->dr6 |= lower_32_bits(payload);
	/* RTM is reported inverted. */
	r->dr6 ^= payload & (1 << 16);
	/* In pending debug exceptions "enabled breakpoint" (SDM table 25-4), not in DR6. */
	r->dr6 &= ~BIT(12);
}

void debug_db_injected(struct vcpu *vcpu)
{
	if (regs_get(vcpu, RG_DR)->dr7 & DBG_DR7_GD) {
		regs_mod(vcpu, RG_DR)->dr7 &= ~(u64)DBG_DR7_GD;
		debug_regs_changed(vcpu);
	}
}

u64 debug_visible_rflags(struct vcpu *vcpu)
{
	u64 rflags = vcpu_rflags(vcpu);

	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags &= ~(u64)X86_EFLAGS_TF;
	return rflags;
}

u64 debug_hardware_rflags(struct vcpu *vcpu, u64 rflags)
{
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags |= X86_EFLAGS_TF;
	return rflags;
}

void debug_insn_done(struct vcpu *vcpu)
{
	u64 rflags = vcpu_rflags(vcpu);

	vcpu_set_rflags(vcpu, rflags & ~(u64)X86_EFLAGS_RF);
	if (!(rflags & X86_EFLAGS_TF))
		return;
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP) {
		vcpu->run->debug.arch.dr6 = DR_STEP | DR6_INIT | (1 << 16);
		vcpu->run->debug.arch.dr7 = debug_effective_dr7(vcpu);
		vcpu->run->debug.arch.pc = vcpu_linear_rip(vcpu);
		vcpu->run->debug.arch.exception = X86_TRAP_DB;
		vcpu->run->exit_reason = KVM_EXIT_DEBUG;
		vcpu->debug_exit = true;
		return;
	}
	queue_exception_payload(vcpu, X86_TRAP_DB, DR_STEP);
}

static int debug_exit(struct vcpu *vcpu, u8 vector, u64 dr6)
{
	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	vcpu->run->debug.arch = (struct kvm_debug_exit_arch){
		.exception = vector, .pc = vcpu_linear_rip(vcpu), .dr6 = dr6,
		.dr7 = debug_effective_dr7(vcpu),
	};
	return VMM_USER;
}

/* User space's breakpoints on RIP, or the guest's: enabled, R/W and LEN 0 (SDM 18.2.4). */
static u64 code_hits(struct vcpu *vcpu, bool users)
{
	u64 dr7 = users ? vcpu->debug_dr7 : vcpu_dr(vcpu, 7);
	u64 rip = vcpu_linear_rip(vcpu), hits = 0;
	int i;

	for (i = 0; i < 4; i++) {
		u64 at = users ? vcpu->debug_dr[i] : vcpu_dr(vcpu, i);

		if ((dr7 >> 2 * i & 3) && !(dr7 >> (16 + 4 * i) & 0xf) && at == rip)
			hits |= BIT(i);
	}
	return hits;
}

/* RF, or Intel's blocking by MOV SS (SDM 18.3.1.1, 7.8.3). */
static bool code_breakpoints_held(struct vcpu *vcpu)
{
	return (vcpu_rflags(vcpu) & X86_EFLAGS_RF) ||
	       (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL &&
		(regs_get(vcpu, RG_INTR)->intr_shadow & KVM_X86_SHADOW_INT_MOV_SS));
}

bool debug_code_breakpoint(struct vcpu *vcpu, int *r)
{
	u64 hits = debug_owns_drs(vcpu) ? code_hits(vcpu, true) : 0;

	if (hits) {
		*r = debug_exit(vcpu, X86_TRAP_DB, hits | DR6_INIT | (1 << 16));
		return true;
	}
	if (!code_breakpoints_held(vcpu))
		hits = code_hits(vcpu, false);
	if (!hits)
		return false;
	queue_exception_payload(vcpu, X86_TRAP_DB, hits);
	*r = VMM_RESUME;
	return true;
}

int debug_handle_db(struct vcpu *vcpu)
{
	u64 payload = vcpu->exit.ex.payload;

	if (vcpu->guest_debug & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		return debug_exit(vcpu, X86_TRAP_DB, payload | DR6_INIT | (1 << 16));
	/* INT1, a trap: the handler returns behind it. */
	if (vcpu->exit.insn_len)
		vcpu_skip_insn(vcpu);
	queue_exception_payload(vcpu, X86_TRAP_DB, payload);
	return VMM_RESUME;
}

int debug_handle_gd(struct vcpu *vcpu)
{
	if (debug_owns_drs(vcpu))
		return debug_exit(vcpu, X86_TRAP_DB, DBG_DR6_BD | DR6_INIT | (1 << 16));
	queue_exception_payload(vcpu, X86_TRAP_DB, DBG_DR6_BD);
	return VMM_RESUME;
}

int debug_handle_bp(struct vcpu *vcpu)
{
	/* User space gives back what is not its own. */
	vcpu->ev.bp_len = vcpu->exit.insn_len;
	if (vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP)
		return debug_exit(vcpu, X86_TRAP_BP, 0);
	queue_breakpoint(vcpu);
	return VMM_RESUME;
}

static int debug_inject(struct vcpu *vcpu, u32 control)
{
	if (!(control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)))
		return 0;
	if (vcpu->ev.ex.pending || vcpu->ev.ex.injected)
		return -EBUSY;
	if (control & KVM_GUESTDBG_INJECT_DB)
		queue_exception(vcpu, X86_TRAP_DB);
	else
		queue_breakpoint(vcpu);
	return 0;
}

/* KVM_SET_GUEST_DEBUG */
int debug_set(struct vcpu *vcpu, const struct kvm_guest_debug *dbg)
{
	u64 rflags;
	int i, err;

	err = debug_inject(vcpu, dbg->control);
	if (err)
		return err;
	/* The guest's own TF, without the one of an earlier single step. */
	rflags = debug_visible_rflags(vcpu);
	vcpu->guest_debug = dbg->control & KVM_GUESTDBG_ENABLE ? dbg->control : 0;
	for (i = 0; i < 4; i++)
		vcpu->debug_dr[i] = debug_owns_drs(vcpu) ? dbg->arch.debugreg[i] : 0;
	vcpu->debug_dr7 = debug_owns_drs(vcpu) ? dbg->arch.debugreg[7] : 0;
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags |= X86_EFLAGS_TF;
	vcpu_set_rflags(vcpu, rflags);
	debug_regs_changed(vcpu);
	vendor_call(update_intercepts, vcpu);
	/* KVM_GUESTDBG_BLOCKIRQ may have held one back. */
	smi_recheck(vcpu);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}
