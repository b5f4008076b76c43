/* SPDX-License-Identifier: GPL-2.0-only */
/* Debug registers, KVM_SET_GUEST_DEBUG, single step. */
#ifndef VMM_DEBUG_H
#define VMM_DEBUG_H

#include <linux/percpu.h>	/* which 6.1's debugreg.h leaves to us */
#include <asm/debugreg.h>

#include "vmm.h"

#define DR6_INIT	0xffff0ff0ul
#define DR7_INIT	0x400ul
#define DBG_DR7_GD	BIT(13)
#define DBG_DR6_BD	BIT(13)
#define DR6_WRITABLE	0x0001e00ful	/* B0-3, BD, BS, BT, RTM */

void debugregs_get(struct vcpu *vcpu, struct kvm_debugregs *regs);
int debugregs_set(struct vcpu *vcpu, const struct kvm_debugregs *regs);
int debug_set(struct vcpu *vcpu, const struct kvm_guest_debug *dbg);

/* DR7 and breakpoints that the hardware gets: the guest's or user space's. */
u64 debug_effective_dr7(struct vcpu *vcpu);
u64 debug_effective_dr(struct vcpu *vcpu, int n);
static inline bool debug_owns_drs(const struct vcpu *vcpu)
{
	return vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP;
}

/* Call after regs.dr7 or guest_debug changed. */
void debug_regs_changed(struct vcpu *vcpu);

/* DR6 <- payload of a #DB (positive logic, RTM inverted: SDM 28.2.1). */
void debug_set_dr6(struct vcpu *vcpu, u64 payload);
/* #DB is about to be injected: DR7.GD is cleared (SDM 18.2.4). */
void debug_db_injected(struct vcpu *vcpu);

/* An instruction was stepped over in software with TF or RF set. */
void debug_insn_done(struct vcpu *vcpu);
/* RFLAGS without the TF that single-stepping user space put there. */
u64 debug_visible_rflags(struct vcpu *vcpu);
/* And the other way, for a value that user space sets. */
u64 debug_hardware_rflags(struct vcpu *vcpu, u64 rflags);

/*
 * The CPU has not looked for execution breakpoints at RIP. True if there is one:
 * *@r is RESUME with #DB queued, or USER.
 */
bool debug_code_breakpoint(struct vcpu *vcpu, int *r);

/* EXIT_EXCEPTION with #DB or #BP. */
int debug_handle_db(struct vcpu *vcpu);
int debug_handle_bp(struct vcpu *vcpu);
/* MOV DR under DR7.GD, the guest's or the debugger's: a fault either way. */
int debug_handle_gd(struct vcpu *vcpu);

#endif /* VMM_DEBUG_H */
