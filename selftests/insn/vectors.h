/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests with given instructions share: one simulated vCPU, its memory, its tables. */
#ifndef VECTORS_H
#define VECTORS_H

#include "ktap.h"

#include "internal.h"
#include "sim.h"

#define R(reg)		sim.s.regs[INSN_##reg]
#define SEG(name)	sim.s.segs[INSN_##name]

/* flat(): RAM, code at its start; a device; the stack's top; where gdt() and ldt() put theirs. */
#define RAM		0x10000
#define RAM_END		0x15000
#define START		0x10100
#define STACK		0x12000
#define GDT		0x13000
#define LDT		0x13800
#define MMIO		0x20000

extern struct sim sim;

/* Real mode: CS 0x1000, DS 0x2000, ES 0x3000, SS 0x4000, all with RAM at their start. */
void real_mode(void);
/* The same in virtual-8086 mode, IOPL 0. */
void vm86_mode(void);
/* Flat segments, CPL 0. */
void flat(enum insn_cpu_mode mode);
/* The same at CPL 3. */
void flat_user(enum insn_cpu_mode mode);

/* Put code at CS:RIP. */
void code(const void *bytes, unsigned int len);

#define CODE(...)							\
	do {								\
		static const u8 bytes_[] = { __VA_ARGS__ };		\
									\
		code(bytes_, sizeof(bytes_));				\
	} while (0)

/* Execute the instruction there, to its end: it must do this, and fulfil all promises. */
void expect_ok(void);
/* @error < 0: without an error code. No register has changed. */
void expect_fault(unsigned int vector, int error);
void expect_page_fault(u64 address, unsigned int error);
/* Nothing at all has changed. */
void expect_unhandleable(void);

void poke(u64 linear, u64 val, unsigned int len);

/* @access: the byte with P, DPL, S and type; @flags: G, D, L, AVL. */
u64 descriptor(u32 base, u32 limit, u8 access, u8 flags);
void gdt(unsigned int index, u64 desc);
void ldt(unsigned int index, u64 desc);

#endif
