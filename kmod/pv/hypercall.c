// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hypercalls (Documentation/virt/kvm/x86/hypercalls.rst), and the instruction
 * that makes them.
 */
#include <linux/math64.h>
#include <linux/nospec.h>
#include <asm/apicdef.h>

#include "emulate.h"
#include "pv/pv.h"
#include "regs_access.h"
#include "time.h"
#include "trace.h"
#include "vendor.h"
#include "yield.h"

/* What of ICR the sender of a mask of destinations may not set: SDM 11.6.1. */
#define ICR_DESTINATION	(APIC_DEST_LOGICAL | GENMASK(19, 18))

#define HYPERCALL_LEN	3

struct hypercall {
	unsigned long nr;
	unsigned long arg[4];
	bool wide;		/* 64-bit code; else all are cut to 32 bits */
};

static struct hypercall get_hypercall(struct vcpu *vcpu)
{
	static const u8 regs[] = { GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI };
	struct hypercall hc = { .wide = vcpu_64bit(vcpu) };
	unsigned long mask = hc.wide ? ~0ul : U32_MAX;
	int i;

	hc.nr = vcpu_gpr(vcpu, GPR_RAX) & mask;
	for (i = 0; i < ARRAY_SIZE(regs); i++)
		hc.arg[i] = vcpu_gpr(vcpu, regs[i]) & mask;
	return hc;
}

static long poll_irq(struct vcpu *vcpu, const struct hypercall *hc)
{
	return 0;
}

/* ECX: the APIC id of who sleeps. It gets this CPU, too, if it waits for one. */
static long kick_cpu(struct vcpu *vcpu, const struct hypercall *hc)
{
	irq_unhalt(vcpu->vm, hc->arg[1]);
	yield_to_apic(vcpu, hc->arg[1]);
	return 0;
}

static long clock_pairing(struct vcpu *vcpu, const struct hypercall *hc)
{
	struct kvm_clock_pairing pair = {};
	u64 tsc, real;
	u32 nsec;

	if (hc->arg[1] != KVM_CLOCK_PAIRING_WALLCLOCK || !time_wall_and_tsc(&real, &tsc))
		return -KVM_EOPNOTSUPP;
	pair.sec = div_u64_rem(real, NSEC_PER_SEC, &nsec);
	pair.nsec = nsec;
	pair.tsc = vcpu_guest_tsc(vcpu, tsc);
	return gpa_write(vcpu, hc->arg[0], &pair, sizeof(pair)) ? -KVM_EFAULT : 0;
}

static long send_ipi(struct vcpu *vcpu, const struct hypercall *hc)
{
	if (hc->arg[3] & ICR_DESTINATION)
		return -KVM_EINVAL;
	return irq_send_mask(vcpu->vm, hc->arg, hc->wide ? 64 : 32, hc->arg[2], hc->arg[3]);
}

static long directed_yield(struct vcpu *vcpu, const struct hypercall *hc)
{
	yield_to_apic(vcpu, hc->arg[0]);
	return 0;
}

#define NO_FEATURE	(-1)

static const struct {
	long (*fn)(struct vcpu *vcpu, const struct hypercall *hc);
	int feature;		/* without it there is no such hypercall */
	bool in_stay;		/* neither sleeps nor touches guest memory */
} hypercalls[] = {
	[KVM_HC_VAPIC_POLL_IRQ] = { poll_irq, NO_FEATURE, true },
	[KVM_HC_KICK_CPU] = { kick_cpu, KVM_FEATURE_PV_UNHALT },
	[KVM_HC_CLOCK_PAIRING] = { clock_pairing, NO_FEATURE },
	[KVM_HC_SEND_IPI] = { send_ipi, KVM_FEATURE_PV_SEND_IPI, true },
	[KVM_HC_SCHED_YIELD] = { directed_yield, KVM_FEATURE_PV_SCHED_YIELD },
};

static long do_hypercall(struct vcpu *vcpu, const struct hypercall *hc)
{
	unsigned long nr;

	if (hc->nr >= ARRAY_SIZE(hypercalls))
		return -KVM_ENOSYS;
	nr = array_index_nospec(hc->nr, ARRAY_SIZE(hypercalls));
	if (!hypercalls[nr].fn)
		return -KVM_ENOSYS;
	if (hypercalls[nr].feature != NO_FEATURE && !pv_has(vcpu, hypercalls[nr].feature))
		return -KVM_ENOSYS;
	return hypercalls[nr].fn(vcpu, hc);
}

static int finish_hypercall(struct vcpu *vcpu, const struct hypercall *hc, long ret)
{
	vcpu->stats.hypercalls++;
	trace_vmm_hypercall(vcpu->id, hc->nr, ret);
	vcpu_set_gpr(vcpu, GPR_RAX, hc->wide ? ret : (u32)ret);
	vcpu_skip_insn(vcpu);
	return VMM_RESUME;
}

/* User space has put the result into kvm_run. */
static int complete_hypercall(struct vcpu *vcpu)
{
	struct hypercall hc = get_hypercall(vcpu);

	return finish_hypercall(vcpu, &hc, vcpu->run->hypercall.ret);
}

/* KVM_HC_MAP_GPA_RANGE, where user space wants to hear of it. */
static int map_gpa_range(struct vcpu *vcpu, const struct hypercall *hc)
{
	struct kvm_run *run = vcpu->run;
	u64 gpa = hc->arg[0], gfn = gpa >> PAGE_SHIFT, npages = hc->arg[1];

	if (!PAGE_ALIGNED(gpa) || !npages || gfn + npages <= gfn)
		return finish_hypercall(vcpu, hc, -KVM_EINVAL);
	run->exit_reason = KVM_EXIT_HYPERCALL;
	memset(&run->hypercall, 0, sizeof(run->hypercall));
	run->hypercall.nr = KVM_HC_MAP_GPA_RANGE;
	run->hypercall.args[0] = gpa;
	run->hypercall.args[1] = npages;
	run->hypercall.args[2] = hc->arg[2];
	vmm_set_hypercall_flags(run, hc->wide ? KVM_EXIT_HYPERCALL_LONG_MODE : 0);
	vcpu->complete = complete_hypercall;
	return VMM_USER;
}

int pv_handle_hypercall(struct vcpu *vcpu)
{
	struct hypercall hc = get_hypercall(vcpu);

	if (vcpu_cpl(vcpu))
		return finish_hypercall(vcpu, &hc, -KVM_EPERM);
	if (hc.nr == KVM_HC_MAP_GPA_RANGE &&
	    (vcpu->vm->exit_hypercalls & BIT(KVM_HC_MAP_GPA_RANGE)))
		return map_gpa_range(vcpu, &hc);
	return finish_hypercall(vcpu, &hc, do_hypercall(vcpu, &hc));
}

bool pv_fast_hypercall(struct vcpu *vcpu)
{
	struct hypercall hc = get_hypercall(vcpu);

	if (hc.nr >= ARRAY_SIZE(hypercalls) ||
	    !hypercalls[array_index_nospec(hc.nr, ARRAY_SIZE(hypercalls))].in_stay ||
	    vcpu_cpl(vcpu))
		return false;
	finish_hypercall(vcpu, &hc, do_hypercall(vcpu, &hc));
	return true;
}

/* -------- the other vendor's instruction -------- */

static const u8 vmcall[HYPERCALL_LEN] = { 0x0f, 0x01, 0xc1 };
static const u8 vmmcall[HYPERCALL_LEN] = { 0x0f, 0x01, 0xd9 };

/* Where the code at RIP lies, byte for byte: as guest_walk(). */
static int walk_code(struct vcpu *vcpu, u32 flags, gpa_t gpa[HYPERCALL_LEN],
		     struct walk_fault *fault)
{
	u64 linear = vcpu_linear_rip(vcpu);
	int i, r;

	if (vcpu_cpl(vcpu) == 3)
		flags |= WALK_USER;
	for (i = 0; i < HYPERCALL_LEN; i++) {
		u64 at = vcpu_64bit(vcpu) ? linear + i : (u32)(linear + i);

		r = guest_walk(vcpu, at, flags, &gpa[i], fault);
		if (r)
			return r;
	}
	return 0;
}

/* The guest writes it, as far as its own page tables tell; then it runs again. */
static bool patch_code(struct vcpu *vcpu, const u8 *insn)
{
	gpa_t gpa[HYPERCALL_LEN];
	struct walk_fault fault;
	int i, r;

	r = walk_code(vcpu, WALK_WRITE, gpa, &fault);
	if (r < 0)
		return false;
	if (r) {
		queue_page_fault(vcpu, fault.addr, fault.error);
		return true;
	}
	for (i = 0; i < HYPERCALL_LEN; i++)
		if (vcpu_gpa_write(vcpu, gpa[i], &insn[i], 1))
			return false;
	return true;
}

bool pv_fix_hypercall(struct vcpu *vcpu)
{
	const u8 *ours = vendor_caps.vmcall ? vmcall : vmmcall;
	const u8 *theirs = vendor_caps.vmcall ? vmmcall : vmcall;

	if (!pv_fixes_hypercalls(vcpu->vm) || !vcpu_code_is(vcpu, theirs, HYPERCALL_LEN))
		return false;
	/* As KVM has it: VMCALL is for CPL 0, VMMCALL for protected mode. */
	if (theirs == vmcall && vcpu_cpl(vcpu)) {
		queue_gp(vcpu);
		return true;
	}
	if (theirs == vmmcall && (!vcpu_protected(vcpu) ||
				  (vcpu_rflags(vcpu) & X86_EFLAGS_VM)))
		return false;
	return patch_code(vcpu, ours);
}
