/* SPDX-License-Identifier: GPL-2.0-only */
/* The vCPU's side of the instruction emulator (insn/). */
#ifndef VMM_EMULATE_H
#define VMM_EMULATE_H

#include "vmm.h"

int emulation_create(struct vcpu *vcpu);
void emulation_destroy(struct vcpu *vcpu);

/*
 * Executes the instruction at RIP. RESUME, USER (vcpu->complete is set) or
 * -errno. Outside a stay, under vm->srcu.
 */
int emulate_insn(struct vcpu *vcpu);
/* The same for one that fep.c's prefix stands before: what cannot be emulated is #UD. */
int emulate_forced(struct vcpu *vcpu);
/* Somebody here has a use for #UD. */
bool emulation_wants_ud(const struct vcpu *vcpu);
/* These bytes are the code at RIP, as far as it can be read. Sleeps; under vm->srcu. */
bool vcpu_code_is(struct vcpu *vcpu, const u8 *bytes, unsigned int n);
/* #UD of a guest that cpuid_emulates() or that is in SMM (RSM): RESUME or USER. As above. */
int emulate_undefined(struct vcpu *vcpu);
/* EXIT_TASK_SWITCH: RESUME, or -EOPNOTSUPP when the guest cannot go on. As above. */
int emulate_task_switch(struct vcpu *vcpu);
/*
 * Fills exit.insn_len where the hardware does not, and the instruction is the one that
 * this exit is usually caused by: false when that cannot be seen. Inside a stay, too.
 */
bool emulation_usual_len(struct vcpu *vcpu);
/* Steps over the instruction at RIP, which has been dealt with otherwise. */
void emulation_skip(struct vcpu *vcpu);

/*
 * Port I/O of one register operand. RESUME or USER. @data: the operand, in
 * guest byte order.
 */
int emulate_pio(struct vcpu *vcpu, u16 port, unsigned int size, bool in);
/* The same inside a stay: false when it must be done outside, and nothing was done. */
bool emulate_pio_fast(struct vcpu *vcpu, u16 port, unsigned int size, bool in);

#endif /* VMM_EMULATE_H */
