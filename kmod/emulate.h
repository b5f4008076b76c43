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
/* The same for RSM, on behalf of a CPU to which it is undefined; #UD for any other. */
int emulate_rsm(struct vcpu *vcpu);
/* Steps over the instruction at RIP, which has been dealt with otherwise. */
void emulation_skip(struct vcpu *vcpu);

/*
 * Port I/O of one register operand. RESUME or USER. @data: the operand, in
 * guest byte order.
 */
int emulate_pio(struct vcpu *vcpu, u16 port, unsigned int size, bool in);

#endif /* VMM_EMULATE_H */
