/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A board whose loop runs in a thread of its own, with a control socket, a vCPU that never enters a guest, and,
 * if wanted, confined as a real machine is: the loop's thread enters the sandbox, and all that it makes inherits that.
 */
#ifndef VMRUN_TESTS_RIG_H
#define VMRUN_TESTS_RIG_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "tests/board.h"
#include "vcpu.h"

struct rig {
	struct board b;
	struct vcpu vcpu;
	char name[40];
	bool confined;
	uint32_t device;	/* the state of its only device */
	pthread_t loop;
	sem_t there;
	int err;
};

/* @incoming: where a guest comes from; NULL: it is here. Return: 0 or -errno. */
int rig_start(struct rig *r, const char *name, uint64_t mem, const char *incoming, bool confined);
void rig_stop(struct rig *r);

/* Open descriptors of this process. */
unsigned int count_fds(void);

#endif
