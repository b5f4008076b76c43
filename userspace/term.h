/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The user's terminal (or whatever stdin and stdout are) as the guest's console.
 */
#ifndef VMRUN_TERM_H
#define VMRUN_TERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct machine;
struct term;

/**
 * struct term_sink - the device that gets what the user types
 * @room: how many bytes it would take now; any thread
 * @input: takes @len bytes, at most what @room said; loop's thread
 */
struct term_sink {
	size_t (*room)(struct term_sink *sink);
	void (*input)(struct term_sink *sink, const uint8_t *data, size_t len);
};

/* Puts a terminal into raw mode. The settings come back with term_destroy(). */
int term_create(struct machine *m);
void term_destroy(struct machine *m);

/* Tells the user at a terminal how to leave. */
void term_greet(struct term *term);

/* What the guest has said goes out, and the settings come back, while vCPUs may still be there. */
void term_finish(struct term *term);

/* The settings back, for a process that cannot end in order. Any thread. */
void term_restore(struct term *term);

/* Raw mode again, after the process was stopped or in the background. */
void term_resume(struct term *term);

/* There is one sink, the last one set; NULL takes it away. */
void term_set_sink(struct term *term, struct term_sink *sink);

/* The sink has room again. Any thread. */
void term_want_input(struct term *term);

/*
 * Guest output, from vCPU threads. Waits for room while stdout stalls, unless the vCPU is to
 * park or to end: then what has no room is lost.
 */
void term_write(struct term *term, const void *data, size_t len);

/* machine.pause or machine.quit was set: nobody waits in term_write() any more. */
void term_kick(struct term *term);

#endif
