// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory-mapped I/O: who serves an access, and the instructions that nearly all of it is
 * made of: MOV between memory and a register, or of a constant to memory, in 64-bit code.
 * Of those the CPU has translated the address and checked the rights already, so
 * their bytes say all that is missing; the others are the emulator's (emulate.c).
 */
#include <linux/srcu.h>
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

struct mov {
	u8 len;
	u8 size;
	u8 gpr;
	bool write, constant;
	u64 value;
	u64 address;		/* linear, but for the segment's base */
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
static bool decode_opcode(struct mov *m, u8 opcode, u8 rex, bool word)
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

/* Without the displacement; behind ModRM and SIB. *@disp: its size. */
static const u8 *decode_address(struct vcpu *vcpu, struct mov *m, const u8 *p, u8 rex, u8 *disp)
{
	u8 modrm = *p++, mod = modrm >> 6, rm = modrm & 7, sib, base, index;

	*disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;
	if (rm != 4) {
		if (rm == 5 && !mod)
			*disp = 4;	/* RIP-relative: the base is known at the end */
		else
			m->address = vcpu_gpr(vcpu, rm | (rex & REX_B ? 8 : 0));
		return p;
	}
	sib = *p++;
	base = sib & 7;
	index = (sib >> 3 & 7) | (rex & REX_X ? 8 : 0);
	if (base == 5 && !mod)
		*disp = 4;
	else
		m->address = vcpu_gpr(vcpu, base | (rex & REX_B ? 8 : 0));
	if (index != 4)
		m->address += vcpu_gpr(vcpu, index) << (sib >> 6);
	return p;
}

static u64 signed_value(const u8 *p, u8 size)
{
	s32 dword;
	s16 word;

	switch (size) {
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

/* @code holds MAX_INSN bytes, @n of them the guest's. */
static bool decode(struct vcpu *vcpu, const u8 *code, unsigned int n, struct mov *m)
{
	const u8 *p = code;
	bool word = *p == OP_SIZE_PREFIX;
	u8 rex = 0, modrm, disp, imm;

	*m = (struct mov){};
	p += word;
	if ((*p & 0xf0) == REX)
		rex = *p++;
	if (!decode_opcode(m, *p++, rex, word))
		return false;
	modrm = *p;
	m->gpr = (modrm >> 3 & 7) | (rex & REX_R ? 8 : 0);
	if (modrm >> 6 == 3 || (m->constant && (modrm >> 3 & 7)))
		return false;
	/* AH to BH are no registers of their own. */
	if (m->size == 1 && !rex && !m->constant && m->gpr > 3)
		return false;
	p = decode_address(vcpu, m, p, rex, &disp);
	if (disp)
		m->address += signed_value(p, disp);
	p += disp;
	if (m->constant) {
		imm = min_t(u8, m->size, 4);
		m->value = signed_value(p, imm);
		p += imm;
	} else if (m->write) {
		m->value = vcpu_gpr(vcpu, m->gpr);
	}
	m->len = p - code;
	if (modrm >> 6 == 0 && (modrm & 7) == 5)
		m->address += vcpu_rip(vcpu) + m->len;
	return m->len <= n;
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
static bool whole_access(const struct vmm_exit *e, const struct mov *m)
{
	return offset_in_page(m->address) == offset_in_page(e->tdp.gpa) &&
	       offset_in_page(e->tdp.gpa) + m->size <= PAGE_SIZE &&
	       m->write == !!(e->tdp.access & TDP_ACCESS_WRITE);
}

/* Inside a stay with page faults disabled, else in any context. */
static bool find_mov(struct vcpu *vcpu, struct mov *m)
{
	u32 others = TDP_ACCESS_FETCH | TDP_ACCESS_TABLE;
	struct vmm_exit *e = &vcpu->exit;
	u64 code[MAX_INSN / 8];
	unsigned int n;

	if ((e->tdp.access & others) || e->vectored.type != EVENT_NONE || !vcpu_64bit(vcpu))
		return false;
	n = code_at_rip(vcpu, code);
	return n && decode(vcpu, (u8 *)code, n, m) && whole_access(e, m);
}

/* 32 bits clear the upper half, fewer leave the rest. */
static void finish(struct vcpu *vcpu, const struct mov *m, u64 value)
{
	u64 mask = m->size >= 4 ? ~0ull : GENMASK_ULL(8 * m->size - 1, 0);

	if (!m->write)
		vcpu_set_gpr(vcpu, m->gpr, (vcpu_gpr(vcpu, m->gpr) & ~mask) | value);
	vcpu->exit.insn_len = m->len;
	vcpu_skip_insn(vcpu);
}

/* -------- exits -------- */

/*
 * There is no memory at @gpa: looked up, or still known from the last time. As of now, so
 * that a slot which is on its way is as if it came later.
 */
static bool is_hole(struct vcpu *vcpu, gpa_t gpa)
{
	struct vm *vm = vcpu->vm;
	/* Before the slots are looked at, as in gpa.c. */
	u64 generation = smp_load_acquire(&vm->mem.generation);
	u64 key = gpa >> PAGE_SHIFT | (u64)vcpu->tdp.as_id << 63;
	bool hole;
	int idx;

	if (vcpu->hole.key == key && vcpu->hole.generation == generation)
		return true;
	idx = srcu_read_lock(&vm->srcu);
	hole = !mm_slot(vm, vcpu->tdp.as_id, gpa >> PAGE_SHIFT);
	srcu_read_unlock(&vm->srcu, idx);
	if (hole) {
		vcpu->hole.key = key;
		vcpu->hole.generation = generation;
	}
	return hole;
}

bool mmio_fast_exit(struct vcpu *vcpu)
{
	gpa_t gpa = vcpu->exit.tdp.gpa;
	bool found;
	u64 value = 0;
	struct mov m;

	/* The chips' locks sleep there. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT) || !is_hole(vcpu, gpa))
		return false;
	pagefault_disable();
	found = find_mov(vcpu, &m);
	pagefault_enable();
	if (!found || !in_kernel(vcpu, gpa, m.size, m.write ? NULL : &value,
				 m.write ? &m.value : NULL, IO_ATOMIC))
		return false;
	trace_vmm_mmio(vcpu->id, m.write, gpa, m.size);
	finish(vcpu, &m, value);
	return true;
}

/* User space has served it. If it moved the guest elsewhere, nothing is left to finish. */
static int complete_mmio(struct vcpu *vcpu)
{
	struct mov m = {
		.len = vcpu->mmio.len, .size = vcpu->mmio.size, .gpr = vcpu->mmio.gpr,
		.write = vcpu->mmio.write,
	};
	u64 value = 0;

	if (vcpu_rip(vcpu) != vcpu->mmio.rip || !vcpu_64bit(vcpu))
		return VMM_RESUME;
	memcpy(&value, vcpu->run->mmio.data, m.size);
	finish(vcpu, &m, value);
	return VMM_RESUME;
}

static void ask_user(struct vcpu *vcpu, const struct mov *m)
{
	vcpu->mmio.rip = vcpu_rip(vcpu);
	vcpu->mmio.len = m->len;
	vcpu->mmio.size = m->size;
	vcpu->mmio.gpr = m->gpr;
	vcpu->mmio.write = m->write;
	mmio_to_user(vcpu, vcpu->exit.tdp.gpa, m->size, m->write ? &m->value : NULL);
	vcpu->complete = complete_mmio;
}

/* What cannot be read is the emulator's to tell. */
static bool find_mov_slowly(struct vcpu *vcpu, struct mov *m)
{
	if (find_mov(vcpu, m))
		return true;
	return !vcpu->exit.nr_insn_bytes && vcpu_64bit(vcpu) &&
	       guest_code_walk(vcpu, vcpu_rip(vcpu)) && find_mov(vcpu, m);
}

int mmio_exit(struct vcpu *vcpu)
{
	gpa_t gpa = vcpu->exit.tdp.gpa;
	u64 value = 0;
	struct mov m;

	if (!find_mov_slowly(vcpu, &m))
		return emulate_insn(vcpu);
	trace_vmm_mmio(vcpu->id, m.write, gpa, m.size);
	if (!mmio_in_kernel(vcpu, gpa, m.size, m.write ? NULL : &value,
			    m.write ? &m.value : NULL)) {
		ask_user(vcpu, &m);
		return VMM_USER;
	}
	finish(vcpu, &m, value);
	return VMM_RESUME;
}
