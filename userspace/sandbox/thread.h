/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads: all signals are blocked in them but the one that tells of a forbidden system call (SIGSYS); what else
 * one wants it opens itself.
 */
#ifndef VMRUN_SANDBOX_THREAD_H
#define VMRUN_SANDBOX_THREAD_H

#include <pthread.h>

#include "sandbox/sandbox.h"

/**
 * struct thread_spec - what a thread is to be
 * @name: at most 15 characters
 * @sandbox: NULL: without one
 * @fd: the image of ROLE_DISK
 */
struct thread_spec {
	const char *name;
	struct sandbox *sandbox;
	enum role role;
	int fd;
	void *(*run)(void *arg);
	void *arg;
};

/* @run begins in its sandbox. Return: 0 or -errno. */
int thread_start(pthread_t *thread, const struct thread_spec *spec);

#endif
