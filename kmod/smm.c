// SPDX-License-Identifier: GPL-2.0-only
/*
 * System management mode: SMIs, the way in with its save map, and RSM.
 *
 * The map is in SMRAM, which the vCPU sees only once it is in SMM: it is
 * written after and read before the change of the address space.
 */
#include <linux/sched.h>
#include <linux/string.h>

#include "cpuid.h"
#include "debug.h"
#include "events.h"
#include "regs_access.h"
#include "smm.h"
#include "sregs.h"
#include "trace.h"
#include "vendor.h"

#define SMBASE_RESET	0x30000
#define SMM_ENTRY	0x8000	/* RIP of the handler, in a CS that begins at SMBASE */
#define SMRAM_STATE	0xfe00	/* of SMBASE: where the save map begins */
#define SMRAM_SIZE	0x200

#define SEG_ATTR_SAVED	0xf0ffu	/* what a descriptor has of struct segment's attr */

/* -------- the save maps -------- */

/* Everything that a map may hold, each in 64 bits, so that a map is a list of places. */
struct smm_segment {
	u64 selector, attr, limit, base;
};

struct smm_table {
	u64 limit, base;
};

struct smm_state {
	u64 gpr[NR_GPRS];
	u64 rip, rflags;
	u64 cr0, cr3, cr4, efer;
	u64 dr6, dr7;
	u64 shadow;
	u64 smbase, revision;
	struct smm_segment seg[NR_SEGS];
	struct smm_table gdt, idt;
};

struct smm_field {
	u16 at;			/* of SMBASE */
	u8 len;
	u16 offset;		/* in struct smm_state */
};

struct smm_place {		/* of a segment register */
	u16 at, selector;
};

struct smm_map {
	const struct smm_field *fields;
	unsigned int nr;
	const struct smm_place *seg;	/* NR_SEGS of them */
	u8 attr, base;		/* from smm_place.at to the attributes; bytes of a base */
	u32 revision;		/* bit 17: SMBASE can be relocated (SDM 32.9) */
	bool lm;
};

#define FIELD(at, len, member) { (at), (len), offsetof(struct smm_state, member) }

/* KVM's form of the legacy map; the shadow is KVM's own. */
static const struct smm_field fields32[] = {
	FIELD(0xfef8, 4, smbase),
	FIELD(0xfefc, 4, revision),
	FIELD(0xff14, 4, cr4),
	FIELD(0xff1a, 1, shadow),
	FIELD(0xff54, 4, idt.limit),
	FIELD(0xff58, 4, idt.base),
	FIELD(0xff70, 4, gdt.limit),
	FIELD(0xff74, 4, gdt.base),
	FIELD(0xffc8, 4, dr7),
	FIELD(0xffcc, 4, dr6),
	FIELD(0xffd0, 4, gpr[GPR_RAX]), FIELD(0xffd4, 4, gpr[GPR_RCX]),
	FIELD(0xffd8, 4, gpr[GPR_RDX]), FIELD(0xffdc, 4, gpr[GPR_RBX]),
	FIELD(0xffe0, 4, gpr[GPR_RSP]), FIELD(0xffe4, 4, gpr[GPR_RBP]),
	FIELD(0xffe8, 4, gpr[GPR_RSI]), FIELD(0xffec, 4, gpr[GPR_RDI]),
	FIELD(0xfff0, 4, rip),
	FIELD(0xfff4, 4, rflags),
	FIELD(0xfff8, 4, cr3),
	FIELD(0xfffc, 4, cr0),
};

/* Attributes are bits 8-23 of a descriptor's second dword and stand where they do there. */
static const struct smm_place segments32[NR_SEGS] = {
	[SEG_ES] = { 0xff84, 0xffa8 }, [SEG_CS] = { 0xff90, 0xffac },
	[SEG_SS] = { 0xff9c, 0xffb0 }, [SEG_DS] = { 0xff2c, 0xffb4 },
	[SEG_FS] = { 0xff38, 0xffb8 }, [SEG_GS] = { 0xff44, 0xffbc },
	[SEG_LDTR] = { 0xff78, 0xffc0 }, [SEG_TR] = { 0xff5c, 0xffc4 },
};

static const struct smm_map map32 = {
	.fields = fields32, .nr = ARRAY_SIZE(fields32), .seg = segments32,
	.attr = 1, .base = 4, .revision = 0x20000,
};

/* APM volume 2, table 10-1. */
static const struct smm_field fields64[] = {
	FIELD(0xfe64, 4, gdt.limit),
	FIELD(0xfe68, 8, gdt.base),
	FIELD(0xfe84, 4, idt.limit),
	FIELD(0xfe88, 8, idt.base),
	FIELD(0xfecb, 1, shadow),
	FIELD(0xfed0, 8, efer),
	FIELD(0xfefc, 4, revision),
	FIELD(0xff00, 4, smbase),
	FIELD(0xff48, 8, cr4),
	FIELD(0xff50, 8, cr3),
	FIELD(0xff58, 8, cr0),
	FIELD(0xff60, 8, dr7),
	FIELD(0xff68, 8, dr6),
	FIELD(0xff70, 8, rflags),
	FIELD(0xff78, 8, rip),
	FIELD(0xff80, 8, gpr[GPR_R15]), FIELD(0xff88, 8, gpr[GPR_R14]),
	FIELD(0xff90, 8, gpr[GPR_R13]), FIELD(0xff98, 8, gpr[GPR_R12]),
	FIELD(0xffa0, 8, gpr[GPR_R11]), FIELD(0xffa8, 8, gpr[GPR_R10]),
	FIELD(0xffb0, 8, gpr[GPR_R9]), FIELD(0xffb8, 8, gpr[GPR_R8]),
	FIELD(0xffc0, 8, gpr[GPR_RDI]), FIELD(0xffc8, 8, gpr[GPR_RSI]),
	FIELD(0xffd0, 8, gpr[GPR_RBP]), FIELD(0xffd8, 8, gpr[GPR_RSP]),
	FIELD(0xffe0, 8, gpr[GPR_RBX]), FIELD(0xffe8, 8, gpr[GPR_RDX]),
	FIELD(0xfff0, 8, gpr[GPR_RCX]), FIELD(0xfff8, 8, gpr[GPR_RAX]),
};

/* The attributes are not squeezed together as the manual has them. */
static const struct smm_place segments64[NR_SEGS] = {
	[SEG_ES] = { 0xfe00, 0xfe00 }, [SEG_CS] = { 0xfe10, 0xfe10 },
	[SEG_SS] = { 0xfe20, 0xfe20 }, [SEG_DS] = { 0xfe30, 0xfe30 },
	[SEG_FS] = { 0xfe40, 0xfe40 }, [SEG_GS] = { 0xfe50, 0xfe50 },
	[SEG_LDTR] = { 0xfe70, 0xfe70 }, [SEG_TR] = { 0xfe90, 0xfe90 },
};

static const struct smm_map map64 = {
	.fields = fields64, .nr = ARRAY_SIZE(fields64), .seg = segments64,
	.attr = 2, .base = 8, .revision = 0x20064, .lm = true,
};

static const struct smm_map *guest_map(struct vcpu *vcpu)
{
	return guest_cpuid_has(vcpu, X86_FEATURE_LM) ? &map64 : &map32;
}

/* The low @len bytes of a value, to or from the map. */
static void move_value(u8 *smram, u16 at, void *val, u8 len, bool save)
{
	u8 *place = smram + at - SMRAM_STATE;

	if (save)
		memcpy(place, val, len);
	else
		memcpy(val, place, len);
}

static void move_segment(const struct smm_map *map, u8 *smram, struct smm_segment *seg,
			 const struct smm_place *place, bool save)
{
	move_value(smram, place->selector, &seg->selector, 2, save);
	move_value(smram, place->at + map->attr, &seg->attr, 2, save);
	move_value(smram, place->at + 4, &seg->limit, 4, save);
	move_value(smram, place->at + 8, &seg->base, map->base, save);
}

/* What is written over is all zeros before. */
static void move_state(const struct smm_map *map, u8 *smram, struct smm_state *s, bool save)
{
	const struct smm_field *f;
	int i;

	for (f = map->fields; f < map->fields + map->nr; f++)
		move_value(smram, f->at, (u8 *)s + f->offset, f->len, save);
	for (i = 0; i < NR_SEGS; i++)
		move_segment(map, smram, &s->seg[i], &map->seg[i], save);
}

/* -------- in and out -------- */

/* RSM is no instruction to the CPU that runs the guest: #UD is seen while SMM lasts. */
void smm_changed(struct vcpu *vcpu, bool active)
{
	trace_vmm_smm_transition(vcpu->id, vcpu->smm.smbase, active);
	vcpu->smm.active = active;
	walk_set_as(vcpu, active);
	vendor_call(update_intercepts, vcpu);
	vcpu_request(vcpu, REQ_TLB_FLUSH_GUEST);
	if (active)
		return;
	vcpu->smm.inside_nmi = false;
	vcpu_request(vcpu, REQ_EVENT);
	if (vcpu->lapic && lapic_init_sipi_pending(vcpu))
		vcpu_request(vcpu, REQ_INIT_SIPI);
	smi_recheck(vcpu);
}

void smm_reset(struct vcpu *vcpu, bool init)
{
	struct vcpu_smm *smm = &vcpu->smm;

	smm->active = false;
	walk_set_as(vcpu, 0);
	smm->inside_nmi = false;
	smm->pending = false;
	smm->count = 0;
	if (!init)
		smm->smbase = SMBASE_RESET;
}

static void save_segment(struct smm_segment *out, const struct segment *seg)
{
	u32 attr = seg->attr & SEG_ATTR_SAVED;

	if (seg->attr & SEG_ATTR_UNUSABLE)
		attr &= ~(u32)SEG_ATTR_P;
	*out = (struct smm_segment){
		.selector = seg->selector, .attr = attr, .limit = seg->limit, .base = seg->base,
	};
}

static void save_state(struct vcpu *vcpu, struct smm_state *s)
{
	struct vcpu_regs *r = regs_get(vcpu, RG_DESC);
	int i;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < NR_GPRS; i++)
		s->gpr[i] = vcpu_gpr(vcpu, i);
	s->rip = vcpu_rip(vcpu);
	s->rflags = debug_visible_rflags(vcpu);
	s->cr0 = vcpu_cr0(vcpu);
	s->cr3 = vcpu_cr3(vcpu);
	s->cr4 = vcpu_cr4(vcpu);
	s->efer = vcpu_efer(vcpu);
	s->dr6 = vcpu_dr(vcpu, 6);
	s->dr7 = vcpu_dr(vcpu, 7);
	s->shadow = regs_get(vcpu, RG_INTR)->intr_shadow;
	s->smbase = vcpu->smm.smbase;
	for (i = 0; i < NR_SEGS; i++)
		save_segment(&s->seg[i], vcpu_seg(vcpu, i));
	s->gdt = (struct smm_table){ .limit = r->gdt.limit, .base = r->gdt.base };
	s->idt = (struct smm_table){ .limit = r->idt.limit, .base = r->idt.base };
}

/* Flat segments of 4 GiB, though CR0.PE is clear. */
static void enter_segments(struct vcpu *vcpu)
{
	const struct segment flat = {
		.limit = 0xffffffff, .attr = SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_G | 3,
	};
	struct segment *seg = regs_mod(vcpu, RG_SEG)->seg;
	int i;

	for (i = SEG_ES; i <= SEG_GS; i++)
		seg[i] = flat;
	seg[SEG_CS].selector = vcpu->smm.smbase >> 4;
	seg[SEG_CS].base = vcpu->smm.smbase;
}

/* SDM table 32-4, APM volume 2, 10.3; that IDTR becomes 0 stands in neither. */
static void enter_registers(struct vcpu *vcpu, bool lm)
{
	struct vcpu_regs *r;

	vcpu_set_rflags(vcpu, debug_hardware_rflags(vcpu, X86_EFLAGS_FIXED));
	vcpu_set_rip(vcpu, SMM_ENTRY);
	r = regs_mod(vcpu, RG_INTR);
	r->intr_shadow = 0;
	vcpu->smm.inside_nmi = r->nmi_blocked;
	r->nmi_blocked = true;
	r = regs_mod(vcpu, RG_CR);
	r->cr0 &= ~(u64)(X86_CR0_PE | X86_CR0_EM | X86_CR0_TS | X86_CR0_PG);
	r->cr4 = 0;
	if (lm)
		r->efer = 0;
	regs_mod(vcpu, RG_DESC)->idt = (struct desc_table){};
	vcpu_set_dr(vcpu, 7, DR7_INIT);
	enter_segments(vcpu);
	cpuid_runtime_update(vcpu);
}

static void smm_enter(struct vcpu *vcpu)
{
	const struct smm_map *map = guest_map(vcpu);
	u8 smram[SMRAM_SIZE] = {};
	struct smm_state s;

	save_state(vcpu, &s);
	s.revision = map->revision;
	move_state(map, smram, &s, true);
	smm_changed(vcpu, true);
	/* The guest's state has no other place to be in. */
	if (vcpu_gpa_write(vcpu, vcpu->smm.smbase + SMRAM_STATE, smram, sizeof(smram))) {
		vm_die(vcpu->vm);
		return;
	}
	enter_registers(vcpu, map->lm);
	vcpu->stats.smi_injections++;
}

/* -------- RSM -------- */

static void restore_segment(struct segment *seg, const struct smm_segment *in)
{
	u32 attr = in->attr & SEG_ATTR_SAVED;

	if (!(attr & SEG_ATTR_P))
		attr |= SEG_ATTR_UNUSABLE;
	*seg = (struct segment){
		.selector = in->selector, .attr = attr, .limit = in->limit, .base = in->base,
	};
}

static void restore_tables(struct vcpu *vcpu, const struct smm_state *s)
{
	struct vcpu_regs *r = regs_mod(vcpu, RG_DESC);

	r->gdt = (struct desc_table){ .base = s->gdt.base, .limit = s->gdt.limit };
	r->idt = (struct desc_table){ .base = s->idt.base, .limit = s->idt.limit };
}

/* The ground from which the checks of MOV CR let every mode be reached. */
static void leave_modes(struct vcpu *vcpu, bool lm)
{
	struct vcpu_regs *r = regs_mod(vcpu, RG_CR);

	r->cr0 &= ~(u64)(X86_CR0_PG | X86_CR0_PE);
	r->cr4 = 0;
	if (lm)
		r->efer = 0;
	regs_mod(vcpu, RG_SEG)->seg[SEG_CS].attr &= ~(u32)SEG_ATTR_L;
}

/* PCIDE wants long mode, and a CR3 without PCID when it is set (SDM 4.10.1). */
static bool restore_control(struct vcpu *vcpu, const struct smm_state *s)
{
	bool pcide = s->cr4 & X86_CR4_PCIDE;
	u64 cr3 = pcide ? s->cr3 & ~(u64)X86_CR3_PCID_MASK : s->cr3;

	if (cr3 & rsvd_bits_above(vcpu_maxphyaddr(vcpu)))
		return false;
	if (vcpu_set_cr3(vcpu, cr3) || vcpu_set_cr4(vcpu, s->cr4 & ~(u64)X86_CR4_PCIDE) ||
	    vcpu_set_cr0(vcpu, s->cr0))
		return false;
	return !pcide || (!vcpu_set_cr4(vcpu, s->cr4) && !vcpu_set_cr3(vcpu, s->cr3));
}

/* False when the handler left something that no CPU could be in. */
static bool restore_state(struct vcpu *vcpu, const struct smm_state *s, bool lm)
{
	struct segment *seg;
	int i;

	for (i = 0; i < (lm ? NR_GPRS : GPR_R8); i++)
		vcpu_set_gpr(vcpu, i, s->gpr[i]);
	vcpu_set_rip(vcpu, s->rip);
	vcpu_set_rflags(vcpu, debug_hardware_rflags(vcpu, s->rflags));
	vcpu->smm.smbase = s->smbase;
	if (vcpu_set_dr(vcpu, 6, s->dr6) || vcpu_set_dr(vcpu, 7, s->dr7))
		return false;
	if (lm && vcpu_set_efer(vcpu, s->efer & ~(u64)EFER_LMA, false))
		return false;
	restore_tables(vcpu, s);
	if (!restore_control(vcpu, s))
		return false;
	seg = regs_mod(vcpu, RG_SEG)->seg;
	for (i = 0; i < NR_SEGS; i++)
		restore_segment(&seg[i], &s->seg[i]);
	vcpu_set_shadow(vcpu, s->shadow & (KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS));
	return true;
}

bool smm_leave(struct vcpu *vcpu)
{
	const struct smm_map *map = guest_map(vcpu);
	u8 smram[SMRAM_SIZE];
	struct smm_state s = {};

	if (!vcpu->smm.active)
		return false;
	if (vcpu_gpa_read(vcpu, vcpu->smm.smbase + SMRAM_STATE, smram, sizeof(smram))) {
		vcpu_request(vcpu, REQ_TRIPLE_FAULT);
		return true;
	}
	if (!vcpu->smm.inside_nmi)
		regs_mod(vcpu, RG_INTR)->nmi_blocked = false;
	smm_changed(vcpu, false);
	leave_modes(vcpu, map->lm);
	move_state(map, smram, &s, false);
	/* SDM 32.3.2: shutdown. */
	if (!restore_state(vcpu, &s, map->lm))
		vcpu_request(vcpu, REQ_TRIPLE_FAULT);
	cpuid_runtime_update(vcpu);
	return true;
}

/* -------- SMIs -------- */

void smi_queue(struct vcpu *vcpu)
{
	atomic_set(&vcpu->smm.queued, 1);
	vcpu_request(vcpu, REQ_SMI);
	vcpu_kick(vcpu);
}

bool smi_pending(struct vcpu *vcpu)
{
	return vcpu->smm.pending || atomic_read(&vcpu->smm.queued);
}

void smi_drain(struct vcpu *vcpu)
{
	if (atomic_read(&vcpu->smm.queued) && atomic_xchg(&vcpu->smm.queued, 0))
		vcpu->smm.pending = true;
}

void smi_recheck(struct vcpu *vcpu)
{
	if (smi_pending(vcpu))
		vcpu_request(vcpu, REQ_SMI);
}

/* Between two instructions, with nothing half delivered (SDM table 6-2). */
static bool smi_allowed(struct vcpu *vcpu)
{
	return !vcpu->smm.active && !events_busy(vcpu) &&
	       !(vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ);
}

void smi_take(struct vcpu *vcpu)
{
	/* One that waits for INIT or SIPI does not hear it yet, and the reset keeps it. */
	if (vcpu->mp_state != KVM_MP_STATE_RUNNABLE && vcpu->mp_state != KVM_MP_STATE_HALTED)
		return;
	smi_drain(vcpu);
	if (!vcpu->smm.pending || !smi_allowed(vcpu))
		return;
	vcpu->smm.pending = false;
	vcpu->smm.count++;
	vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu->apf_halted = false;
	smm_enter(vcpu);
}

void smi_after_event(struct vcpu *vcpu)
{
	lockdep_assert_irqs_disabled();
	if (vcpu->smm.active)
		return;
	/* Stays pending until the guest runs, and ends that after the delivery. */
	smp_send_reschedule(smp_processor_id());
	vcpu_request(vcpu, REQ_SMI);
}

/* -------- MSRs -------- */

/* SMBASE is the monitor's: nothing that the guest could reach, not even in SMM. */
int smm_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	if (msr == MSR_SMI_COUNT) {
		*val = vcpu->smm.count;
		return 0;
	}
	if (!host)
		return 1;
	*val = vcpu->smm.smbase;
	return 0;
}

int smm_wrmsr(struct vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host)
		return 1;
	if (msr == MSR_SMI_COUNT)
		vcpu->smm.count = val;
	else
		vcpu->smm.smbase = val;
	return 0;
}
