// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC: registers by MMIO (xAPIC) and MSR (x2APIC), acceptance,
 * priorities, EOI, IPIs, state for user space. SDM vol. 3 ch. 11.
 */
#include <linux/slab.h>

#include "cpuid.h"
#include "irq/chips.h"
#include "irq/lapic.h"
#include "run.h"
#include "trace.h"
#include "vendor.h"

#define LVT_MASKED	APIC_LVT_MASKED
#define LAPIC_VERSION	0x14
#define FIRST_LEGAL_VECTOR	16
/* SDM 11.12.9 */
#define X2APIC_ICR_RESERVED \
	(GENMASK(31, 20) | GENMASK(17, 16) | BIT(13))
#define LVT_COMMON	(APIC_VECTOR_MASK | APIC_SEND_PENDING | LVT_MASKED)
#define LVT_LINT \
	(LVT_COMMON | APIC_MODE_MASK | APIC_INPUT_POLARITY | APIC_LVT_REMOTE_IRR | \
	 APIC_LVT_LEVEL_TRIGGER)

/* LVT registers with the bits software may write. */
static const struct {
	u16 reg;
	u32 mask;
} lvts[] = {
	{ APIC_LVTT, LVT_COMMON | APIC_LVT_TIMER_PERIODIC },
	{ APIC_LVTTHMR, LVT_COMMON | APIC_MODE_MASK },
	{ APIC_LVTPC, LVT_COMMON | APIC_MODE_MASK },
	{ APIC_LVT0, LVT_LINT },
	{ APIC_LVT1, LVT_LINT },
	{ APIC_LVTERR, LVT_COMMON },
	{ APIC_LVTCMCI, LVT_COMMON | APIC_MODE_MASK },
};

/* The last one is there only with MCG_CMCI_P (SDM 16.5.1); the version tells how many there are. */
#define NR_LVT_CMCI	ARRAY_SIZE(lvts)
#define NR_LVT		(NR_LVT_CMCI - 1)

static void set_version(struct lapic *l)
{
	lapic_set_reg(l, APIC_LVR, LAPIC_VERSION | (l->nr_lvt - 1) << 16);
}

/* -------- vector bitmaps -------- */

static u32 vec_bits(struct lapic *l, u32 base, unsigned int word)
{
	return lapic_reg(l, base + word * 0x10);
}

static void find_isr_top(struct lapic *l)
{
	unsigned int word;

	for (; l->isr_words; l->isr_words &= ~BIT(word)) {
		word = __fls(l->isr_words);
		if (vec_bits(l, APIC_ISR, word)) {
			l->isr_top = word * 32 + __fls(vec_bits(l, APIC_ISR, word));
			return;
		}
	}
	l->isr_top = -1;
}

/* IRR's word is empty: true, and nobody looks there until set_irr() says so. */
static bool irr_word_done(struct lapic *l, unsigned int word)
{
	/* Cleared before the second look, so that no bit set meanwhile is lost. */
	clear_bit(word, &l->irr_words);
	/* Pairs with set_irr(): its bit first, then the word's. */
	smp_mb__after_atomic();
	if (!vec_bits(l, APIC_IRR, word))
		return true;
	set_bit(word, &l->irr_words);
	return false;
}

int lapic_highest_irr(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;
	unsigned long words = READ_ONCE(l->irr_words);
	unsigned int word;
	u32 bits;

	while (words) {
		word = __fls(words);
		bits = vec_bits(l, APIC_IRR, word);
		if (bits)
			return word * 32 + __fls(bits);
		if (irr_word_done(l, word))
			words &= ~BIT(word);
	}
	return -1;
}

/* PPR = the higher of TPR and the class in service (SDM 11.8.3.1). */
void lapic_update_ppr(struct lapic *l)
{
	u32 tpr = lapic_reg(l, APIC_TASKPRI) & 0xff;
	u32 isr = l->isr_top < 0 ? 0 : l->isr_top & 0xf0;

	lapic_set_reg(l, APIC_PROCPRI, (tpr & 0xf0) >= isr ? tpr : isr);
}

void lapic_write_tpr(struct lapic *l, u32 tpr)
{
	if (lapic_reg(l, APIC_TASKPRI) == tpr)
		return;
	lapic_set_reg(l, APIC_TASKPRI, tpr);
	lapic_update_ppr(l);
	vcpu_request(l->vcpu, REQ_EVENT);
}

/* How the vector came the last time, most often as this time. */
static void set_tmr(struct lapic *l, u8 vector, bool level)
{
	unsigned long *word = lapic_vec_word(l, APIC_TMR, vector);

	if (lapic_vec_test(l, APIC_TMR, vector) == level)
		return;
	if (level)
		set_bit(vector & 31, word);
	else
		clear_bit(vector & 31, word);
}

static void set_irr(struct lapic *l, u8 vector, bool level)
{
	set_tmr(l, vector, level);
	set_bit(vector & 31, lapic_vec_word(l, APIC_IRR, vector));
	/* Pairs with irr_word_done(). */
	smp_mb__after_atomic();
	if (!test_bit(vector >> 5, &l->irr_words))
		set_bit(vector >> 5, &l->irr_words);
	vcpu_request(l->vcpu, REQ_EVENT);
	vcpu_kick(l->vcpu);
}

/* -------- acceptance -------- */

static bool accept_init(struct lapic *l, bool level)
{
	/* INIT supersedes a SIPI that came before it. */
	clear_bit(PENDING_SIPI, &l->pending);
	set_bit(PENDING_INIT, &l->pending);
	vcpu_request(l->vcpu, REQ_INIT_SIPI);
	vcpu_kick(l->vcpu);
	return true;
}

static bool accept_sipi(struct lapic *l, u8 vector)
{
	l->sipi_vector = vector;
	/* The vector before the bit that announces it. */
	smp_wmb();
	set_bit(PENDING_SIPI, &l->pending);
	vcpu_request(l->vcpu, REQ_INIT_SIPI);
	vcpu_kick(l->vcpu);
	return true;
}

/*
 * SDM 11.5.3. The error interrupt has a vector too: an illegal one is not
 * reported by itself.
 */
static void report_error(struct lapic *l, u32 bit)
{
	if (test_and_set_bit(__ffs(bit), &l->esr))
		return;
	if ((lapic_reg(l, APIC_LVTERR) & APIC_VECTOR_MASK) >= FIRST_LEGAL_VECTOR)
		lapic_local(l, APIC_LVTERR);
}

bool lapic_accept(struct lapic *l, u32 mode, u8 vector, bool level)
{
	switch (mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		if (!lapic_enabled(l))
			return false;
		if (vector >= FIRST_LEGAL_VECTOR)
			set_irr(l, vector, level);
		else
			report_error(l, APIC_ESR_RECVILL);
		return true;
	case APIC_DM_NMI:
		queue_nmi(l->vcpu);
		return true;
	case APIC_DM_INIT:
		return accept_init(l, level);
	case APIC_DM_STARTUP:
		return accept_sipi(l, vector);
	case APIC_DM_REMRD:
		/* No APIC reads another's registers any more; KVM's kicks come this way. */
		vcpu_unhalt(l->vcpu);
		return true;
	case APIC_DM_SMI:
		smi_queue(l->vcpu);
		return true;
	case APIC_DM_EXTINT:
	default:
		return false;
	}
}

void lapic_post(struct vcpu *vcpu, u8 vector)
{
	lapic_accept(vcpu->lapic, APIC_DM_FIXED, vector, false);
}

bool lapic_listens(struct vcpu *vcpu)
{
	return vcpu->lapic && lapic_enabled(vcpu->lapic);
}

bool lapic_local(struct lapic *l, u32 lvt)
{
	u32 val = lapic_reg(l, lvt);

	if (!lapic_hw_enabled(l) || (val & LVT_MASKED))
		return false;
	return lapic_accept(l, val & APIC_MODE_MASK, val & APIC_VECTOR_MASK,
			    val & APIC_LVT_LEVEL_TRIGGER);
}

/* LINT0 as ExtINT, or an APIC that is off (virtual wire): SDM 11.5.1, 11.4.3. */
bool lapic_takes_pic(struct lapic *l)
{
	u32 lvt0 = lapic_reg(l, APIC_LVT0);

	if (!lapic_hw_enabled(l))
		return true;
	return !(lvt0 & LVT_MASKED) && (lvt0 & APIC_MODE_MASK) == APIC_DM_EXTINT;
}

/* -------- EOI -------- */

static void end_of_interrupt(struct lapic *l)
{
	struct vm *vm = l->vcpu->vm;
	int vector = l->isr_top;
	bool level;

	if (vector < 0)
		return;
	__clear_bit(vector & 31, lapic_vec_word(l, APIC_ISR, vector));
	find_isr_top(l);
	lapic_update_ppr(l);
	vcpu_request(l->vcpu, REQ_EVENT);
	/* TMR: how the vector was last delivered. EOIs of level ones go to the IOAPICs. */
	level = lapic_vec_test(l, APIC_TMR, vector);
	if (vm->irq.mode != IRQCHIP_SPLIT) {
		if (level || test_bit(vector, vm->irq.eoi_vectors))
			ioapic_eoi(l->vcpu, vector, level);
	} else if (level && test_bit(vector, vm->irq.eoi_vectors)) {
		l->eoi_exit = vector;
	}
}

bool lapic_eoi_silent(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	return l && l->isr_top >= 0 && !READ_ONCE(l->irr_words) && lapic_enabled(l) &&
	       !lapic_vec_test(l, APIC_TMR, l->isr_top) &&
	       !test_bit(l->isr_top, vcpu->vm->irq.eoi_vectors);
}

void lapic_eoi(struct vcpu *vcpu)
{
	end_of_interrupt(vcpu->lapic);
}

int lapic_take_eoi_exit(struct vcpu *vcpu)
{
	int vector;

	if (!vcpu->lapic)
		return -1;
	vector = vcpu->lapic->eoi_exit;
	vcpu->lapic->eoi_exit = -1;
	return vector;
}

/* -------- IPIs -------- */

static void send_ipi(struct lapic *l, u32 low, u32 dest)
{
	struct irq_message msg = {
		.vector = low & APIC_VECTOR_MASK,
		.mode = low & APIC_MODE_MASK,
		.logical = low & APIC_DEST_LOGICAL,
		.assert = low & APIC_INT_ASSERT,
		.level = low & APIC_INT_LEVELTRIG,
		.shorthand = (low >> 18) & 3,
		.lowest = (low & APIC_MODE_MASK) == APIC_DM_LOWEST,
		.dest = dest,
	};

	/* INIT level de-assert only synchronizes arbitration ids: nothing to do. */
	if (msg.mode == APIC_DM_INIT && msg.level && !msg.assert)
		return;
	msg.level = false;
	if (msg.vector < FIRST_LEGAL_VECTOR &&
	    (msg.mode == APIC_DM_FIXED || msg.mode == APIC_DM_LOWEST))
		report_error(l, APIC_ESR_SENDILL);
	irq_deliver(l->vcpu->vm, l, &msg);
}

/* -------- register access -------- */

static const u16 readable[] = {
	APIC_ID, APIC_LVR, APIC_TASKPRI, APIC_ARBPRI, APIC_PROCPRI, APIC_RRR, APIC_LDR,
	APIC_DFR, APIC_SPIV, APIC_ESR, APIC_ICR, APIC_ICR2, APIC_LVTT, APIC_LVTTHMR,
	APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR, APIC_TMICT, APIC_TMCCT, APIC_TDCR,
};

static bool reg_readable(struct lapic *l, u32 reg)
{
	int i;

	if (reg >= APIC_ISR && reg < APIC_ESR)
		return true;
	if (lapic_x2apic(l) && (reg == APIC_DFR || reg == APIC_ICR2 || reg == APIC_ARBPRI ||
				reg == APIC_RRR))
		return false;
	for (i = 0; i < ARRAY_SIZE(readable); i++)
		if (readable[i] == reg)
			return true;
	return reg == APIC_LVTCMCI && l->nr_lvt == NR_LVT_CMCI;
}

static u32 reg_read(struct lapic *l, u32 reg)
{
	switch (reg) {
	case APIC_ID:
		return lapic_x2apic(l) ? lapic_id(l) : lapic_reg(l, APIC_ID);
	case APIC_ARBPRI:
		return 0;
	case APIC_TASKPRI:
		if (unlikely(l->report_tpr))
			lapic_report_tpr(l, false);
		return lapic_reg(l, reg);
	case APIC_TMCCT:
		return lapic_timer_count(l);
	case APIC_PROCPRI:
		lapic_update_ppr(l);
		return lapic_reg(l, reg);
	default:
		return lapic_reg(l, reg);
	}
}

static void write_spiv(struct lapic *l, u32 val)
{
	int i;

	/* The version register offers no suppression of EOI broadcasts. */
	lapic_set_reg(l, APIC_SPIV, val & 0x3ff);
	if (val & APIC_SPIV_APIC_ENABLED) {
		/* What could not be told before: pv/async_pf.c. */
		vcpu_request(l->vcpu, REQ_APF);
		return;
	}
	/* Software-disabled: all LVT entries are masked; the timer counts on (SDM 11.4.7.2). */
	for (i = 0; i < l->nr_lvt; i++)
		lapic_set_reg(l, lvts[i].reg, lapic_reg(l, lvts[i].reg) | LVT_MASKED);
	atomic_set(&l->timer.expired, 0);
}

static bool write_lvt(struct lapic *l, u32 reg, u32 val)
{
	u32 mask;
	int i;

	for (i = 0; i < l->nr_lvt; i++)
		if (lvts[i].reg == reg)
			break;
	if (i == l->nr_lvt)
		return false;
	mask = lvts[i].mask;
	if (reg == APIC_LVTT && l->deadline_ok)
		mask |= APIC_LVT_TIMER_TSCDEADLINE;
	if (!(lapic_reg(l, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		val |= LVT_MASKED;
	lapic_set_reg(l, reg, val & mask);
	if (reg == APIC_LVTT)
		lapic_timer_lvt_changed(l);
	/* The PIC may be let through now, or no more. */
	if (reg == APIC_LVT0)
		vcpu_request(l->vcpu, REQ_EVENT);
	return true;
}

static void write_icr(struct lapic *l, u32 low, u32 high)
{
	low &= ~APIC_ICR_BUSY;
	lapic_set_reg(l, APIC_ICR, low);
	lapic_set_reg(l, APIC_ICR2, high);
	trace_vmm_apic_ipi(l->vcpu->id, low, high);
	send_ipi(l, low, lapic_x2apic(l) ? high : high >> 24);
}

/* False when the register does not exist or is read-only. */
static bool reg_write(struct lapic *l, u32 reg, u32 val)
{
	bool x2 = lapic_x2apic(l);
	u32 count;

	switch (reg) {
	case APIC_ID:
		if (!x2)
			lapic_set_reg(l, APIC_ID, val & 0xff000000);
		return !x2;
	case APIC_TASKPRI:
		if (unlikely(l->report_tpr))
			lapic_report_tpr(l, true);
		lapic_write_tpr(l, val & 0xff);
		return true;
	case APIC_EOI:
		end_of_interrupt(l);
		return true;
	case APIC_LDR:
		if (!x2)
			lapic_set_reg(l, APIC_LDR, val & APIC_LDR_MASK);
		return !x2;
	case APIC_DFR:
		if (!x2)
			lapic_set_reg(l, APIC_DFR, val | 0x0fffffff);
		return !x2;
	case APIC_SPIV:
		write_spiv(l, val);
		return true;
	case APIC_ICR:
		write_icr(l, val, lapic_reg(l, APIC_ICR2));
		return true;
	case APIC_ICR2:
		if (!x2)
			lapic_set_reg(l, APIC_ICR2, val & 0xff000000);
		return !x2;
	case APIC_ESR:
		lapic_set_reg(l, APIC_ESR, xchg(&l->esr, 0));
		return !x2 || !val;
	case APIC_TMICT:
		if (l->timer.mode == APIC_LVT_TIMER_TSCDEADLINE)
			return true;
		/* What the old count-down left behind is not the new one's. */
		lapic_timer_cancel(l);
		lapic_set_reg(l, APIC_TMICT, val);
		lapic_timer_restart(l, val);
		return true;
	case APIC_TDCR:
		/* The count stays, its pace changes; an expiry is of the old one. */
		lapic_timer_fired(l->vcpu);
		count = lapic_timer_left(l);
		lapic_set_reg(l, APIC_TDCR, val & 0xb);
		lapic_timer_restart(l, count);
		return true;
	default:
		return write_lvt(l, reg, val);
	}
}

/* -------- MMIO -------- */

static bool mmio_mine(struct lapic *l, u64 gpa)
{
	u64 base = l->vcpu->apic_base & MSR_IA32_APICBASE_BASE;

	return gpa >= base && gpa < base + PAGE_SIZE;
}

/* No xAPIC: nothing is there, and by KVM's quirk user space is not asked either. */
static bool mmio_hole(struct lapic *l)
{
	return !lapic_hw_enabled(l) || lapic_x2apic(l);
}

static bool hole_is_ours(struct vm *vm)
{
	return !(vm->disabled_quirks & KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
}

bool lapic_mmio_read(struct vcpu *vcpu, u64 gpa, unsigned int len, void *data)
{
	struct lapic *l = vcpu->lapic;
	u32 off = gpa & (PAGE_SIZE - 1), reg = off & ~0xfu, val = 0;

	if (!mmio_mine(l, gpa))
		return false;
	if (mmio_hole(l)) {
		if (hole_is_ours(vcpu->vm))
			memset(data, 0xff, len);
		return hole_is_ours(vcpu->vm);
	}
	/* A read must not cross its 32-bit register (SDM 11.4.1). */
	memset(data, 0, len);
	if ((off & 0xf) + len <= 4 && reg < APIC_REGS_SIZE && reg_readable(l, reg)) {
		val = reg_read(l, reg);
		memcpy(data, (u8 *)&val + (off & 0xf), len);
	}
	return true;
}

bool lapic_mmio_write(struct vcpu *vcpu, u64 gpa, unsigned int len, const void *data)
{
	struct lapic *l = vcpu->lapic;
	u32 off = gpa & (PAGE_SIZE - 1);

	if (!mmio_mine(l, gpa))
		return false;
	if (mmio_hole(l))
		return hole_is_ours(vcpu->vm);
	/* Only aligned 32-bit writes are defined; the others are dropped. */
	if (len == 4 && !(off & 0xf) && off < APIC_REGS_SIZE)
		reg_write(l, off, *(const u32 *)data);
	return true;
}

/* -------- x2APIC MSRs -------- */

int lapic_rdmsr(struct vcpu *vcpu, u32 msr, u64 *val)
{
	struct lapic *l = vcpu->lapic;
	u32 reg = (msr - APIC_BASE_MSR) << 4;

	if (!lapic_x2apic(l) || reg >= APIC_REGS_SIZE || !reg_readable(l, reg))
		return 1;
	*val = reg_read(l, reg);
	if (reg == APIC_ICR)
		*val |= (u64)lapic_reg(l, APIC_ICR2) << 32;
	return 0;
}

#define APIC_SELF_IPI_REG	0x3f0

int lapic_wrmsr(struct vcpu *vcpu, u32 msr, u64 val)
{
	struct lapic *l = vcpu->lapic;
	u32 reg = (msr - APIC_BASE_MSR) << 4;

	if (!lapic_x2apic(l) || reg >= APIC_REGS_SIZE)
		return 1;
	switch (reg) {
	case APIC_ICR:
		if ((u32)val & X2APIC_ICR_RESERVED)
			return 1;
		write_icr(l, val, val >> 32);
		return 0;
	case APIC_SELF_IPI_REG:
		if (val & ~(u64)APIC_VECTOR_MASK)
			return 1;
		lapic_accept(l, APIC_DM_FIXED, val, false);
		return 0;
	case APIC_EOI:
	case APIC_ESR:
		if (val)
			return 1;
		break;
	}
	if (upper_32_bits(val))
		return 1;
	return reg_write(l, reg, val) ? 0 : 1;
}

u64 lapic_get_tpr(struct vcpu *vcpu)
{
	return (lapic_reg(vcpu->lapic, APIC_TASKPRI) & 0xff) >> 4;
}

void lapic_set_tpr(struct vcpu *vcpu, u64 cr8)
{
	struct lapic *l = vcpu->lapic;
	u32 tpr = lapic_reg(l, APIC_TASKPRI);

	if (((tpr & 0xff) >> 4) != cr8)
		lapic_write_tpr(l, (cr8 & 0xf) << 4);
}

/* -------- IA32_APICBASE -------- */

static bool base_valid(struct vcpu *vcpu, u64 base, bool host)
{
	u64 reserved = rsvd_bits_above(vcpu_maxphyaddr(vcpu)) | 0x2ff;
	u64 mode = base & (XAPIC_ENABLE | X2APIC_ENABLE);
	u64 old = vcpu->apic_base & (XAPIC_ENABLE | X2APIC_ENABLE);

	if (!guest_cpuid_has(vcpu, X86_FEATURE_X2APIC))
		reserved |= X2APIC_ENABLE;
	if ((base & reserved) || mode == X2APIC_ENABLE)
		return false;
	if (host)
		return true;
	/* x2APIC is left only by switching the APIC off; off goes only to xAPIC. */
	if (old == (XAPIC_ENABLE | X2APIC_ENABLE) && mode == XAPIC_ENABLE)
		return false;
	return !(old == 0 && mode == (XAPIC_ENABLE | X2APIC_ENABLE));
}

/* LDR in x2APIC mode derives from the id (SDM 11.12.10.2). */
static void enter_x2apic(struct lapic *l)
{
	u32 id = l->vcpu->id;

	lapic_set_reg(l, APIC_ID, id);
	lapic_set_reg(l, APIC_LDR, ((id >> 4) << 16) | BIT(id & 0xf));
}

int lapic_set_base(struct vcpu *vcpu, u64 base, bool host)
{
	struct lapic *l = vcpu->lapic;
	u64 old = vcpu->apic_base;

	if (!base_valid(vcpu, base, host))
		return 1;
	vcpu->apic_base = base;
	if (!l || !((old ^ base) & (XAPIC_ENABLE | X2APIC_ENABLE)))
		return 0;
	if (lapic_x2apic(l))
		enter_x2apic(l);
	else if ((base & XAPIC_ENABLE) && (old & X2APIC_ENABLE || !(old & XAPIC_ENABLE)))
		lapic_set_reg(l, APIC_ID, vcpu->id << 24);
	vcpu_request(vcpu, REQ_EVENT);
	return 0;
}

/* -------- life -------- */

int lapic_create(struct vcpu *vcpu)
{
	struct lapic *l;

	vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE |
			  (vcpu_is_bsp(vcpu) ? MSR_IA32_APICBASE_BSP : 0);
	if (!vcpu->in_kernel_irqchip)
		return 0;
	l = kzalloc(sizeof(*l), GFP_KERNEL_ACCOUNT);
	if (!l)
		return -ENOMEM;
	vcpu->lapic = l;
	l->vcpu = vcpu;
	l->nr_lvt = NR_LVT;
	l->regs = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	lapic_timer_init(l);
	return l->regs ? 0 : -ENOMEM;
}

void lapic_destroy(struct vcpu *vcpu)
{
	struct lapic *l = vcpu->lapic;

	if (!l)
		return;
	hrtimer_cancel(&l->timer.hr);
	free_page((unsigned long)l->regs);
	kfree(l);
	vcpu->lapic = NULL;
}

/* INIT keeps the APIC base and the id; the rest as after power-up (SDM 11.4.7.3). */
void lapic_reset(struct vcpu *vcpu, bool init)
{
	struct lapic *l = vcpu->lapic;
	int i;

	ioapic_forget(vcpu);
	lapic_timer_cancel(l);
	if (!init) {
		vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE |
				  (vcpu_is_bsp(vcpu) ? MSR_IA32_APICBASE_BSP : 0);
	}
	/* All but the id: the SIPI that follows an INIT may be looking for it just now. */
	memset(l->regs, 0, APIC_ID);
	memset(l->regs + APIC_ID + sizeof(u32), 0, APIC_REGS_SIZE - APIC_ID - sizeof(u32));
	set_version(l);
	if (!init)
		lapic_set_reg(l, APIC_ID, vcpu->id << 24);
	for (i = 0; i < l->nr_lvt; i++)
		lapic_set_reg(l, lvts[i].reg, LVT_MASKED);
	/* Quirk KVM_X86_QUIRK_LINT0_REENABLED: no firmware sets up ExtINT. */
	if (vcpu_is_bsp(vcpu) && !(vcpu->vm->disabled_quirks & KVM_X86_QUIRK_LINT0_REENABLED))
		lapic_set_reg(l, APIC_LVT0, APIC_DM_EXTINT);
	lapic_set_reg(l, APIC_DFR, 0xffffffff);
	lapic_set_reg(l, APIC_SPIV, 0xff);
	l->isr_top = -1;
	l->eoi_exit = -1;
	l->esr = 0;
	l->irr_words = 0;
	l->isr_words = 0;
	vcpu->vapic = false;
	l->timer.mode = 0;
	if (!init)
		l->pending = 0;
	if (lapic_x2apic(l))
		enter_x2apic(l);
	vcpu_request(vcpu, REQ_EVENT);
}

void lapic_cpuid_changed(struct vcpu *vcpu, bool x2apic, bool tsc_deadline)
{
	vcpu->lapic->deadline_ok = tsc_deadline;
}

void lapic_set_cmci(struct vcpu *vcpu, bool on)
{
	struct lapic *l = vcpu->lapic;
	unsigned int nr = on ? NR_LVT_CMCI : NR_LVT;

	if (!l || l->nr_lvt == nr)
		return;
	l->nr_lvt = nr;
	lapic_set_reg(l, APIC_LVTCMCI, on ? LVT_MASKED : 0);
	set_version(l);
}

void lapic_cmci(struct vcpu *vcpu)
{
	if (vcpu->lapic)
		lapic_local(vcpu->lapic, APIC_LVTCMCI);
}

/* -------- INIT and SIPI -------- */

bool lapic_init_sipi_pending(struct vcpu *vcpu)
{
	return READ_ONCE(vcpu->lapic->pending);
}

bool lapic_take_init(struct vcpu *vcpu)
{
	return test_and_clear_bit(PENDING_INIT, &vcpu->lapic->pending);
}

bool lapic_take_sipi(struct vcpu *vcpu, u8 *vector)
{
	struct lapic *l = vcpu->lapic;

	if (!test_and_clear_bit(PENDING_SIPI, &l->pending))
		return false;
	/* Pairs with accept_sipi(). */
	smp_rmb();
	*vector = l->sipi_vector;
	return true;
}

bool lapic_latched_init(struct vcpu *vcpu)
{
	return test_bit(PENDING_INIT, &vcpu->lapic->pending);
}

void lapic_latch_init(struct vcpu *vcpu, bool pending)
{
	assign_bit(PENDING_INIT, &vcpu->lapic->pending, pending);
	if (pending)
		vcpu_request(vcpu, REQ_INIT_SIPI);
}

void lapic_set_pending_sipi(struct vcpu *vcpu)
{
	set_bit(PENDING_SIPI, &vcpu->lapic->pending);
	vcpu_request(vcpu, REQ_INIT_SIPI);
}

void lapic_set_sipi_vector(struct vcpu *vcpu, u8 vector)
{
	vcpu->lapic->sipi_vector = vector;
}

/* -------- KVM_GET/SET_LAPIC -------- */

/* User space sees an xAPIC-format id unless it asked for 32-bit ids. */
static bool id_needs_shift(struct lapic *l)
{
	return lapic_x2apic(l) && !l->vcpu->vm->irq.x2apic_ids;
}

int lapic_get(struct vcpu *vcpu, struct kvm_lapic_state *state)
{
	struct lapic *l = vcpu->lapic;
	u32 *id = (u32 *)(state->regs + APIC_ID), count;

	/* An expiry goes to IRR, the only place that the image has for it. */
	lapic_timer_fired(vcpu);
	lapic_update_ppr(l);
	count = lapic_timer_left(l);
	memcpy(state->regs, l->regs, sizeof(state->regs));
	*(u32 *)(state->regs + APIC_TMCCT) = count;
	if (lapic_x2apic(l))
		*id = vcpu->id;
	if (id_needs_shift(l))
		*id <<= 24;
	return 0;
}

int lapic_set(struct vcpu *vcpu, const struct kvm_lapic_state *state)
{
	struct lapic *l = vcpu->lapic;
	u32 id = *(const u32 *)(state->regs + APIC_ID);
	u64 deadline = l->timer.deadline;

	/* The x2APIC id is read-only: another one is refused, or ignored as KVM does. */
	if (lapic_x2apic(l) && !id_needs_shift(l) && id != vcpu->id)
		return -EINVAL;
	lapic_timer_cancel(l);
	memcpy(l->regs, state->regs, sizeof(state->regs));
	set_version(l);
	if (lapic_x2apic(l))
		enter_x2apic(l);
	l->isr_words = LAPIC_ALL_WORDS;
	find_isr_top(l);
	l->irr_words = LAPIC_ALL_WORDS;
	lapic_update_ppr(l);
	ioapic_recall(vcpu);
	lapic_timer_restore(l, deadline);
	vcpu_request(vcpu, REQ_EVENT);
	vcpu_request(vcpu, REQ_APF);
	return 0;
}
