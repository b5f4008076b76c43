/* SPDX-License-Identifier: GPL-2.0-only */
/* Forced emulation of the instruction behind a prefix: a means of testing. */
#ifndef VMM_FEP_H
#define VMM_FEP_H

#include "vmm.h"

/* The module's parameter, 0: off, and the prefix is the UD2 that it begins with. */
int fep_flags(void);
/* After #UD: steps over the prefix, if it stands at RIP. Sleeps; under vm->srcu. */
bool fep_prefix(struct vcpu *vcpu);
/* And now what stands behind it: RESUME, USER or -errno. */
int fep_emulate(struct vcpu *vcpu);

#endif /* VMM_FEP_H */
