/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_FUZZ_ACTS_H
#define SELFTESTS_FUZZ_ACTS_H

#include "fuzz.h"

long act_code(struct target *t);
long act_share(struct target *t);
long act_scribble(struct target *t);
long act_scribble_run(struct target *t);
long act_scribble_ring(struct target *t);
long act_madvise(struct target *t);
long act_mprotect(struct target *t);
long act_munmap(struct target *t);
long act_mremap(struct target *t);
long act_fallocate(struct target *t);
long act_truncate(struct target *t);
long act_fork(struct target *t);
long act_close_vcpu(struct target *t);
long act_close_vm(struct target *t);
long act_new_vm(struct target *t);
long act_new_event(struct target *t);
long act_event(struct target *t);
long act_read_stats(struct target *t);
long act_map_vcpu(struct target *t);
long act_yield(struct target *t);
long act_immediate_exit(struct target *t);

#endif /* SELFTESTS_FUZZ_ACTS_H */
