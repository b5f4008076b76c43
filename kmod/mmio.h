/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory-mapped I/O: mmio.c. */
#ifndef VMM_MMIO_H
#define VMM_MMIO_H

#include "vmm.h"

/*
 * One access by the LAPIC or a device in the kernel, @in or @out: false when there is
 * none. Sleeps; under vm->srcu, vCPU thread.
 */
bool mmio_in_kernel(struct vcpu *vcpu, gpa_t gpa, unsigned int len, void *in, const void *out);
/* Fills kvm_run; @out: what is written, NULL for a read. */
void mmio_to_user(struct vcpu *vcpu, gpa_t gpa, unsigned int len, const void *out);

/* EXIT_TDP_FAULT where no memory is (or none to be written): RESUME, USER or -errno. As above. */
int mmio_exit(struct vcpu *vcpu);
/*
 * The same inside a stay, after tdp_fault_atomic() said TDP_MMIO, if it can be finished there:
 * true when done, else nothing was.
 */
bool mmio_fast_exit(struct vcpu *vcpu);

#endif /* VMM_MMIO_H */
