// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory-mapped I/O: who serves an access, and the instructions that nearly all of it is
 * made of: MOV between memory and a register, or of a constant to memory, in 64-bit code.
 * Of those the CPU has translated the address and checked the rights already, so
 * their bytes say all that is missing; the others are the emulator's (emulate.c).
 */
#include <linux/uaccess.h>

#include "emulate.h"
#include "io.h"
#include "mmio.h"
#include "regs_access.h"
#include "trace.h"

#define MAX_INSN	16	/* one more than there may be, all of them readable */

/* ModRM and SIB: SDM vol. 2, 2.1. */
#define OP_SIZE_PREFIX	0x66
#define REX		0x40
#define REX_W		8
#define REX_R		4
#define REX_X		2
#define REX_B		1

/* Beside the general registers, what a MOV's address may be made of. */
enum mov_reg {
	MOV_RIP = NR_GPRS,	/* of the next instruction */
	MOV_NONE,
};

/* -------- who serves it -------- */

static bool lapic_serves(struct vcpu *vcpu, gpa_t gpa, unsigned int len, void *in,
			 const void *out)
{
	if (!vcpu->lapic)
		return false;
	return in ? lapic_mmio_read(vcpu, gpa, len, in) : lapic_mmio_write(vcpu, gpa, len, out);
}

/* @how: 0 or IO_ATOMIC. */
static bool in_kernel(struct vcpu *vcpu, gpa_t gpa, unsigned int len, void *in, const void *out,
		      u32 how)
{
	if (lapic_serves(vcpu, gpa, len, in, out))
		return true;
	return !(in ? io_bus_access(vcpu, IO_BUS_MMIO, gpa, len, in, how) :
		      io_bus_access(vcpu, IO_BUS_MMIO, gpa, len, (void *)out, how | IO_WRITE));
}

bool mmio_in_kernel(struct vcpu *vcpu, gpa_t gpa, unsigned int len, void *in, const void *out)
{
	return in_kernel(vcpu, gpa, len, in, out, 0);
}

void mmio_to_user(struct vcpu *vcpu, gpa_t gpa, unsigned int len, const void *out)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stats.mmio_exits++;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = gpa;
	run->mmio.len = len;
	run->mmio.is_write = !!out;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (out)
		memcpy(run->mmio.data, out, len);
}

/* -------- the instruction -------- */

/* The opcodes' low bit: not a byte. */
static bool decode_opcode(struct mov_form *m, u8 opcode, u8 rex, bool word)
{
	switch (opcode & ~1) {
	case 0x88:
		m->write = true;
		break;
	case 0x8a:
		break;
	case 0xc6:
		m->write = true;
		m->constant = true;
		break;
	default:
		return false;
	}
	m->size = !(opcode & 1) ? 1 : rex & REX_W ? 8 : word ? 2 : 4;
	return true;
}

/* Behind ModRM and SIB. *@disp: the size of the displacement that follows. */
static const u8 *decode_address(struct mov_form *m, const u8 *p, u8 rex, u8 *disp)
{
	u8 modrm = *p++, mod = modrm >> 6, rm = modrm & 7, sib;

	*disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	m->base = rm | (rex & REX_B ? 8 : 0);
	m->index = MOV_NONE;
	if (rm == 5 && !mod) {
		*disp = 4;
		m->base = MOV_RIP;
	}
	if (rm != 4)
		return p;
	sib = *p++;
	m->base = (sib & 7) | (rex & REX_B ? 8 : 0);
	if ((sib & 7) == 5 && !mod) {
		*disp = 4;
		m->base = MOV_NONE;
	}
	if ((sib >> 3 & 7) != 4 || (rex & REX_X))
		m->index = (sib >> 3 & 7) | (rex & REX_X ? 8 : 0);
	m->shift = sib >> 6;
	return p;
}

static s32 signed_value(const u8 *p, u8 size)
{
	s32 dword;
	s16 word;

	switch (size) {
	case 0:
		return 0;
	case 1:
		return (s8)*p;
	case 2:
		memcpy(&word, p, sizeof(word));
		return word;
	default:
		memcpy(&dword, p, sizeof(dword));
		return dword;
	}
}

/* By m->code; what follows the instruction does not matter. */
static void decode(struct mov_form *m)
{
	const u8 *code = (const u8 *)m->code, *p = code;
	bool word = *p == OP_SIZE_PREFIX;
	u8 rex = 0, modrm, disp, imm;

	p += word;
	if ((*p & 0xf0) == REX)
		rex = *p++;
	if (!decode_opcode(m, *p++, rex, word))
		return;
	modrm = *p;
	m->gpr = (modrm >> 3 & 7) | (rex & REX_R ? 8 : 0);
	if (modrm >> 6 == 3 || (m->constant && (modrm >> 3 & 7)))
		return;
	/* AH to BH are no registers of their own. */
	if (m->size == 1 && !rex && !m->constant && m->gpr > 3)
		return;
	p = decode_address(m, p, rex, &disp);
	m->disp = signed_value(p, disp);
	p += disp;
	if (m->constant) {
		imm = min_t(u8, m->size, 4);
		m->value = signed_value(p, imm);
		p += imm;
	}
	m->len = p - code;
	m->mask[0] = m->len < 8 ? GENMASK_ULL(8 * m->len - 1, 0) : ~0ull;
	m->mask[1] = m->len > 8 ? GENMASK_ULL(8 * (m->len - 8) - 1, 0) : 0;
}

/* @code begins with the instruction that @m is: decode() would say the same. */
static bool is_form(const struct mov_form *m, const u64 code[2])
{
	return m->len && !((code[0] ^ m->code[0]) & m->mask[0]) &&
	       !((code[1] ^ m->code[1]) & m->mask[1]);
}

/* Linear, but for the segment's base. */
static u64 address_of(struct vcpu *vcpu, const struct mov_form *m)
{
	u64 address = m->disp;

	if (m->base < NR_GPRS)
		address += vcpu_gpr(vcpu, m->base);
	else if (m->base == MOV_RIP)
		address += vcpu_rip(vcpu) + m->len;
	if (m->index < NR_GPRS)
		address += vcpu_gpr(vcpu, m->index) << m->shift;
	return address;
}

/* What is stored; of a load nothing is known yet. */
static u64 value_of(struct vcpu *vcpu, const struct mov_form *m)
{
	if (!m->write)
		return 0;
	return m->constant ? m->value : vcpu_gpr(vcpu, m->gpr);
}

/* The bytes at RIP: from the hardware, or by what is remembered of their page. */
static unsigned int code_at_rip(struct vcpu *vcpu, u64 code[MAX_INSN / 8])
{
	struct vmm_exit *e = &vcpu->exit;

	if (e->nr_insn_bytes) {
		memset(code, 0, MAX_INSN);
		memcpy(code, e->insn_bytes, e->nr_insn_bytes);
		return e->nr_insn_bytes;
	}
	return guest_code_recall(vcpu, vcpu_rip(vcpu), code) ? MAX_INSN : 0;
}

/* The access that exited is all of this instruction's: it does not cross a page's border. */
static bool whole_access(struct vcpu *vcpu, const struct mov_form *m)
{
	const struct vmm_exit *e = &vcpu->exit;

	return offset_in_page(address_of(vcpu, m)) == offset_in_page(e->tdp.gpa) &&
	       offset_in_page(e->tdp.gpa) + m->size <= PAGE_SIZE &&
	       m->write == !!(e->tdp.access & TDP_ACCESS_WRITE);
}

/* Inside a stay with page faults disabled, else in any context. Fills vcpu->mov. */
static bool find_mov(struct vcpu *vcpu)
{
	u32 others = TDP_ACCESS_FETCH | TDP_ACCESS_TABLE;
	struct vmm_exit *e = &vcpu->exit;
	struct mov_form *m = &vcpu->mov;
	u64 code[MAX_INSN / 8];
	unsigned int n;

	if ((e->tdp.access & others) || e->vectored.type != EVENT_NONE || !vcpu_64bit(vcpu))
		return false;
	n = code_at_rip(vcpu, code);
	if (!n)
		return false;
	if (!is_form(m, code)) {
		*m = (struct mov_form){ .code = { code[0], code[1] } };
		decode(m);
	}
	/* Only the first @n bytes are the guest's. */
	return m->len && m->len <= n && whole_access(vcpu, m);
}

/* 32 bits clear the upper half, fewer leave the rest. */
static void finish(struct vcpu *vcpu, u64 value)
{
	const struct mov_form *m = &vcpu->mov;
	u64 mask = m->size >= 4 ? ~0ull : GENMASK_ULL(8 * m->size - 1, 0);

	if (!m->write)
		vcpu_set_gpr(vcpu, m->gpr, (vcpu_gpr(vcpu, m->gpr) & ~mask) | value);
	vcpu->exit.insn_len = m->len;
	vcpu_skip_insn(vcpu);
}

/* -------- exits -------- */

/* In the kernel, if anybody there serves it. @value: value_of() */
static bool served(struct vcpu *vcpu, u64 value, u32 how)
{
	const struct mov_form *m = &vcpu->mov;
	gpa_t gpa = vcpu->exit.tdp.gpa;

	if (!in_kernel(vcpu, gpa, m->size, m->write ? NULL : &value, m->write ? &value : NULL,
		       how))
		return false;
	finish(vcpu, value);
	return true;
}

bool mmio_fast_exit(struct vcpu *vcpu)
{
	gpa_t gpa = vcpu->exit.tdp.gpa;
	bool found;

	regs_get_all(vcpu, RGS_OF_INSN);
	pagefault_disable();
	found = find_mov(vcpu);
	pagefault_enable();
	if (!found || !served(vcpu, value_of(vcpu, &vcpu->mov), IO_ATOMIC))
		return false;
	trace_vmm_mmio(vcpu->id, vcpu->mov.write, gpa, vcpu->mov.size);
	return true;
}

/* User space has served it. If it moved the guest elsewhere, nothing is left to finish. */
static int complete_mmio(struct vcpu *vcpu)
{
	u64 value = 0;

	if (vcpu_rip(vcpu) != vcpu->mov_rip || !vcpu_64bit(vcpu))
		return VMM_RESUME;
	memcpy(&value, vcpu->run->mmio.data, vcpu->mov.size);
	finish(vcpu, value);
	return VMM_RESUME;
}

static void ask_user(struct vcpu *vcpu, u64 value)
{
	const struct mov_form *m = &vcpu->mov;

	vcpu->mov_rip = vcpu_rip(vcpu);
	mmio_to_user(vcpu, vcpu->exit.tdp.gpa, m->size, m->write ? &value : NULL);
	vcpu->complete = complete_mmio;
}

/* What cannot be read is the emulator's to tell. */
static bool find_mov_slowly(struct vcpu *vcpu)
{
	if (find_mov(vcpu))
		return true;
	return !vcpu->exit.nr_insn_bytes && vcpu_64bit(vcpu) &&
	       guest_code_walk(vcpu, vcpu_rip(vcpu)) && find_mov(vcpu);
}

int mmio_exit(struct vcpu *vcpu)
{
	u64 value;

	if (!find_mov_slowly(vcpu))
		return emulate_insn(vcpu);
	trace_vmm_mmio(vcpu->id, vcpu->mov.write, vcpu->exit.tdp.gpa, vcpu->mov.size);
	value = value_of(vcpu, &vcpu->mov);
	if (served(vcpu, value, 0))
		return VMM_RESUME;
	ask_user(vcpu, value);
	return VMM_USER;
}
