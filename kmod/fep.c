// SPDX-License-Identifier: GPL-2.0-only
/*
 * Forced emulation, KVM's aid for tests of its emulator: with the module parameter
 * force_emulation_prefix, UD2 and the letters "kvm" before an instruction have it
 * emulated, as though it had left the guest by itself and had no prefix.
 */
#include <linux/moduleparam.h>

#include "debug.h"
#include "emulate.h"
#include "fep.h"
#include "regs_access.h"

/* The CPU sets RF when it exits by #UD, which would hide breakpoints on the instruction. */
#define FEP_CLEAR_RF	BIT(1)

static const u8 prefix[] = { 0x0f, 0x0b, 'k', 'v', 'm' };
static int force_emulation_prefix;

int fep_flags(void)
{
	return READ_ONCE(force_emulation_prefix);
}

bool fep_prefix(struct vcpu *vcpu)
{
	if (!vcpu_code_is(vcpu, prefix, sizeof(prefix)))
		return false;
	if (fep_flags() & FEP_CLEAR_RF)
		vcpu_set_rflags(vcpu, vcpu_rflags(vcpu) & ~(u64)X86_EFLAGS_RF);
	vcpu_set_rip(vcpu, vcpu_rip(vcpu) + sizeof(prefix));
	return true;
}

int fep_emulate(struct vcpu *vcpu)
{
	int r;

	/* The CPU has looked for breakpoints on the prefix only. */
	return debug_code_breakpoint(vcpu, &r) ? r : emulate_forced(vcpu);
}

/* Without vm->lock, as its owner may wait for user space: vcpu_create() thinks of us. */
static void intercept_again(struct vm *vm)
{
	vm_request_all(vm, REQ_CPUID);
}

static int set_fep(const char *val, const struct kernel_param *kp)
{
	int err = param_set_int(val, kp);

	if (!err)
		vms_each(intercept_again);
	return err;
}

static const struct kernel_param_ops fep_ops = {
	.set = set_fep,
	.get = param_get_int,
};

module_param_cb(force_emulation_prefix, &fep_ops, &force_emulation_prefix, 0644);
__MODULE_PARM_TYPE(force_emulation_prefix, "int");
MODULE_PARM_DESC(force_emulation_prefix, "Emulate what stands behind UD2 and \"kvm\": 1, or 3 to find breakpoints there, too (default 0)");
