/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The forms of instructions that the emulator's tables hold: rows with a
 * handler, by opcode and by how one gets there. And random ones of a form.
 */
#ifndef FORMS_H
#define FORMS_H

#include "exec.h"

#define FORMS_MAX	1500

enum { MOD_ANY, MOD_MEMORY, MOD_REGISTER };

struct form {
	const struct insn_desc *desc;
	u8 enc, map, opcode;
	u8 prefixes;			/* bits of the mandatory prefixes that lead here */
	u8 mod;				/* MOD_ANY, ... */
	u8 modrm_mask, modrm;		/* bits of ModRM that are given */
	u64 modrms[4];			/* all bytes that lead here, while the list is made */
	bool has_modrm;
	const char *excluded;		/* why it cannot be tried on the CPU */
	unsigned long done, faulted, unhandled;
};

/* A random instruction; where its variable parts are. */
struct snippet {
	u8 bytes[32];
	unsigned int modrm, disp, imm;	/* positions; 0: there is none */
	struct insn_decoded d;
	int len;
};

extern struct form forms[FORMS_MAX];
extern unsigned int nforms;

/* All forms of a mode. */
void forms_find(enum insn_cpu_mode mode);

/* A random instruction of this form; false if chance led elsewhere. */
bool form_make(const struct form *f, enum insn_cpu_mode mode, struct snippet *s);

#endif
