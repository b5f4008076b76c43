// SPDX-License-Identifier: GPL-2.0-only
#include "ops.h"
#include "peek.h"

#define LAPIC_BASE	0xfee00000ull
#define IOAPIC_BASE	0xfec00000ull
#define WINDOW		0x10
#define MASKED		BIT(16)
#define LEVEL		BIT(15)

u8 bytes_u8(struct bytes *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->next++;
}

u32 bytes_u32(struct bytes *in)
{
	u32 val = bytes_u8(in) << 8;

	val = (val | bytes_u8(in)) << 8;
	val = (val | bytes_u8(in)) << 8;
	return val | bytes_u8(in);
}

u64 bytes_u64(struct bytes *in)
{
	u64 high = bytes_u32(in);

	return high << 32 | bytes_u32(in);
}

void log_add(struct log *log, u64 val)
{
	NEVER(log->n == ARRAY_SIZE(log->val));
	log->val[log->n++] = val;
}

#define choose(in, table)	((table)[bytes_u8(in) % ARRAY_SIZE(table)])

/* -------- vectors -------- */

/*
 * In a tame story each kind of source has vectors of its own, so that a level
 * in service is not hidden by an edge of the same number.
 */
enum source { FROM_IPI = 0xd0, FROM_LVT = 0xe0, FROM_MSI = 0x70 };

static u8 some_vector(struct story *s, enum source source)
{
	static const u8 some[] = { 0x00, 0x0f, 0x10, 0x1f, 0x20, 0x31, 0x32, 0x41, 0x5f, 0x81, 0xef, 0xff };
	u8 byte = bytes_u8(&s->in);

	if (s->tame)
		return source + byte % 16;
	return byte & 0x80 ? byte : some[byte % ARRAY_SIZE(some)];
}

/* Lines of which the tame guest knows; the others stay masked. */
static const u8 level_pins[] = { 9, 17, 18, 20, 23 };
static const u8 edge_pins[] = { 1, 4, 8, 14 };

static u8 pin_vector(u32 pin)
{
	return pin < 16 && pin != 9 ? 0xa0 + pin : 0x30 + pin;
}

/* -------- the guest's LAPIC -------- */

static const u16 lapic_regs[] = {
	APIC_ID, APIC_LVR, APIC_TASKPRI, APIC_ARBPRI, APIC_PROCPRI, APIC_EOI, APIC_RRR, APIC_LDR,
	APIC_DFR, APIC_SPIV, APIC_ISR, APIC_ISR + 0x70, APIC_TMR + 0x30, APIC_IRR, APIC_IRR + 0x10,
	APIC_ESR, APIC_LVTCMCI, APIC_ICR, APIC_ICR2, APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0,
	APIC_LVT1, APIC_LVTERR, APIC_TMICT, APIC_TMCCT, APIC_TDCR, 0x3f0, 0x400, 0x0, 0xff0,
};

static u64 lvt_value(struct story *s)
{
	static const u32 modes[] = { APIC_DM_FIXED, APIC_DM_FIXED, APIC_DM_NMI, APIC_DM_EXTINT,
				     APIC_DM_SMI, APIC_DM_INIT };
	static const u32 timers[] = { 0, APIC_LVT_TIMER_PERIODIC, APIC_LVT_TIMER_TSCDEADLINE };
	u8 byte = bytes_u8(&s->in);

	return some_vector(s, FROM_LVT) | (s->tame ? 0 : modes[byte % 8 % ARRAY_SIZE(modes)]) |
	       timers[(byte >> 3) % 3] | (byte & 0xe0 ? 0 : APIC_LVT_MASKED);
}

static u64 some_count(struct story *s)
{
	static const u32 counts[] = { 0, 1, 2, 999, 100000, 199999, 200000, 250001, 5000000, ~0u };

	return bytes_u8(&s->in) & 0x40 ? bytes_u32(&s->in) >> 8 : choose(&s->in, counts);
}

static u64 icr_value(struct story *s)
{
	static const u32 modes[] = { APIC_DM_FIXED, APIC_DM_FIXED, APIC_DM_FIXED, APIC_DM_LOWEST, APIC_DM_NMI,
				     APIC_DM_INIT, APIC_DM_STARTUP, APIC_DM_SMI, APIC_DM_REMRD, APIC_DM_EXTINT };
	u32 val = some_vector(s, FROM_IPI) | APIC_INT_ASSERT;

	if (s->tame)
		return val | bytes_u8(&s->in) % 4 << 18;
	return (val | choose(&s->in, modes) | bytes_u8(&s->in) % 4 << 18) ^
	       (bytes_u8(&s->in) & 0xf ? 0 : bytes_u32(&s->in) & 0xffffff00);
}

static u64 lapic_value(struct story *s, u32 reg)
{
	switch (reg) {
	case APIC_LVTT:
	case APIC_LVTTHMR:
	case APIC_LVTPC:
	case APIC_LVT0:
	case APIC_LVT1:
	case APIC_LVTERR:
	case APIC_LVTCMCI:
		return lvt_value(s);
	case APIC_TMICT:
		return some_count(s);
	case APIC_TDCR:
		return bytes_u8(&s->in);
	case APIC_ICR:
		return icr_value(s);
	case APIC_EOI:
		return 0;
	case APIC_SPIV:
		return bytes_u8(&s->in) & 7 ? 0x1ff : bytes_u32(&s->in);
	case APIC_TASKPRI:
		return bytes_u8(&s->in);
	case APIC_ID:
	case APIC_LDR:
	case APIC_ICR2:
		return (u64)bytes_u8(&s->in) % 20 << 24;
	default:
		return bytes_u8(&s->in) & 1 ? bytes_u32(&s->in) : 0;
	}
}

static void make_lapic_write(struct story *s, struct op *op)
{
	static const u16 tame[] = { APIC_TASKPRI, APIC_ICR, APIC_LVTT, APIC_TMICT, APIC_TDCR, APIC_LVTPC };

	op->reg = s->tame ? choose(&s->in, tame) : choose(&s->in, lapic_regs);
	op->val = lapic_value(s, op->reg);
	if (!s->tame && bytes_u8(&s->in) < 8) {
		op->reg += bytes_u8(&s->in) % 16;
		op->len = 1 << bytes_u8(&s->in) % 4;
	}
}

/* In whatever mode the LAPIC is: by its page or by its MSRs. */
static void lapic_write(struct world *w, unsigned int cpu, u32 reg, unsigned int len, u64 val,
			struct log *log)
{
	if (lapic_x2apic(world_lapic(w, cpu)))
		log_add(log, world_wrmsr(w, cpu, APIC_BASE_MSR + (reg >> 4), val));
	else
		log_add(log, world_write(w, cpu, LAPIC_BASE + reg, len, val));
}

static void apply_lapic_write(struct world *w, const struct story *s, const struct op *op,
			      struct log *log)
{
	lapic_write(w, op->cpu, op->reg, op->len, op->val, log);
}

static void make_lapic_read(struct story *s, struct op *op)
{
	op->reg = choose(&s->in, lapic_regs);
	if (bytes_u8(&s->in) < 8) {
		op->reg += bytes_u8(&s->in) % 16;
		op->len = 1 << bytes_u8(&s->in) % 4;
	}
}

static void apply_lapic_read(struct world *w, const struct story *s, const struct op *op,
			     struct log *log)
{
	u64 val;

	if (lapic_x2apic(world_lapic(w, op->cpu)))
		log_add(log, world_rdmsr(w, op->cpu, APIC_BASE_MSR + (op->reg >> 4), &val));
	else
		log_add(log, world_read(w, op->cpu, LAPIC_BASE + op->reg, op->len, &val));
	log_add(log, val);
}

static void make_msr(struct story *s, struct op *op)
{
	op->reg = APIC_BASE_MSR + bytes_u8(&s->in) % 0x48;
	op->val = lapic_value(s, op->reg << 4 & 0xff0);
	if (op->reg == APIC_BASE_MSR + (APIC_ICR >> 4))
		op->val |= (u64)(bytes_u8(&s->in) & 0x80 ? bytes_u32(&s->in) : bytes_u8(&s->in) % 20) << 32;
	if (bytes_u8(&s->in) < 8)
		op->val |= bytes_u64(&s->in);
	op->more = bytes_u8(&s->in) & 1;
}

static void apply_msr(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	u64 val = op->val;

	log_add(log, op->more ? world_wrmsr(w, op->cpu, op->reg, val) :
				world_rdmsr(w, op->cpu, op->reg, &val));
	log_add(log, val);
}

static void make_base(struct story *s, struct op *op)
{
	static const u64 bases[] = {
		LAPIC_BASE | XAPIC_ENABLE, LAPIC_BASE | XAPIC_ENABLE | X2APIC_ENABLE, LAPIC_BASE,
		LAPIC_BASE | XAPIC_ENABLE | MSR_IA32_APICBASE_BSP,
		LAPIC_BASE | XAPIC_ENABLE | X2APIC_ENABLE, 0xfed00000ull | XAPIC_ENABLE,
	};

	op->val = choose(&s->in, bases);
	if (bytes_u8(&s->in) < 8)
		op->val ^= bytes_u64(&s->in);
}

static void apply_base(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	log_add(log, world_wrmsr(w, op->cpu, MSR_IA32_APICBASE, op->val));
}

static void apply_eoi(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	lapic_write(w, op->cpu, APIC_EOI, 4, 0, log);
}

static void make_cr8(struct story *s, struct op *op)
{
	op->val = bytes_u8(&s->in) & 0xf;
}

static void apply_cr8(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	log_add(log, lapic_get_tpr(&w->cpu[op->cpu].vcpu));
	lapic_set_tpr(&w->cpu[op->cpu].vcpu, op->val);
}

static void make_deadline(struct story *s, struct op *op)
{
	static const u64 ahead[] = { 0, 1, 2, 1000, 400000, 3000000, 0x1000000000ull };
	u64 now = (s->now * SHIM_TSC_KHZ) / NSEC_PER_MSEC;

	op->val = bytes_u8(&s->in) & 7 ? now + choose(&s->in, ahead) : bytes_u64(&s->in);
	if (bytes_u8(&s->in) < 16)
		op->val = 0;
}

static void apply_deadline(struct world *w, const struct story *s, const struct op *op,
			   struct log *log)
{
	u64 val;

	world_wrmsr(w, op->cpu, MSR_IA32_TSC_DEADLINE, op->val);
	world_rdmsr(w, op->cpu, MSR_IA32_TSC_DEADLINE, &val);
	log_add(log, val);
}

/* -------- before an entry, and around it -------- */

static void make_enter(struct story *s, struct op *op)
{
	op->val = bytes_u8(&s->in) & 7;
}

/* What is taken from a LAPIC must outrank all that it has in service, and its TPR. */
static void apply_enter(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	struct lapic *l = world_lapic(w, op->cpu);
	int before, vector;
	u32 tpr;

	vector = world_enter(w, op->cpu, false);
	NEVER(vector >= 0);
	/* A look too many is always allowed; that there is none too few, world_forgot() knows. */
	vcpu_request(l->vcpu, REQ_EVENT);
	before = l->isr_top;
	tpr = lapic_reg(l, APIC_TASKPRI);
	vector = world_enter(w, op->cpu, op->val);
	log_add(log, vector);
	if (vector >= 0 && l->isr_top != before) {
		NEVER(l->isr_top != vector || vector < 16);
		NEVER(vector >> 4 <= max(before, 0) >> 4 || vector >> 4 <= (tpr & 0xff) >> 4);
	}
}

static void make_timer_side(struct story *s, struct op *op)
{
	op->val = bytes_u8(&s->in) % 3;
}

static void apply_timer_side(struct world *w, const struct story *s, const struct op *op,
			     struct log *log)
{
	struct vcpu *vcpu = &w->cpu[op->cpu].vcpu;

	if (!op->val)
		lapic_timer_to_hw(vcpu);
	else if (op->val == 1)
		lapic_timer_to_sw(vcpu);
	else
		/* IRR is looked at first: "may hold something" is but a hint. */
		log_add(log, lapic_highest_irr(vcpu) + lapic_eoi_silent(vcpu) * 512);
}

static void make_vcpu(struct story *s, struct op *op)
{
	op->reg = bytes_u8(&s->in) % 8;
	op->val = bytes_u8(&s->in);
}

/* What other parts of the module do to a LAPIC. */
static void apply_vcpu(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	struct vcpu *vcpu = &w->cpu[op->cpu].vcpu;

	switch (op->reg) {
	case 0:
		lapic_set_cmci(vcpu, op->val & 1);
		break;
	case 1:
		lapic_cmci(vcpu);
		break;
	case 2:
		lapic_post(vcpu, op->val);
		break;
	case 3:
		log_add(log, lapic_listens(vcpu) + irq_takes_extint(vcpu) * 2);
		break;
	case 4:
		log_add(log, lapic_set_tpr_reporting(vcpu, &(struct kvm_tpr_access_ctl){
			.enabled = op->val & 1 }));
		break;
	case 5:
		if (op->val < 16)
			lapic_reset(vcpu, op->val & 1);
		break;
	case 6:
		vcpu->tsc_offset += op->val * 1000;
		lapic_tsc_changed(vcpu);
		break;
	case 7:
		irq_unhalt(&w->vm, op->val);
		break;
	}
}

static void make_mask(struct story *s, struct op *op)
{
	op->reg = icr_value(s);
	op->val = bytes_u64(&s->in);
	op->more = bytes_u64(&s->in);
	op->len = bytes_u8(&s->in) % 20;
}

static void apply_mask(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	const unsigned long mask[2] = { op->val, op->more };

	log_add(log, irq_send_mask(&w->vm, mask, op->cpu & 1 ? 32 : 64, op->len, op->reg));
}

/* -------- the guest's IOAPIC -------- */

static u64 redir_value(struct story *s, u32 pin)
{
	static const u32 modes[] = { 0, 0, 0, 1, 1, 2, 4, 5, 7, 3 };
	u8 byte = bytes_u8(&s->in);

	return some_vector(s, FROM_MSI) | choose(&s->in, modes) << 8 | (byte & 1) << 11 |
	       (byte & 2 ? LEVEL : 0) | (byte & 0x1c ? 0 : MASKED);
}

static void make_redir(struct story *s, struct op *op)
{
	u32 pin = bytes_u8(&s->in) % 25, high = !(bytes_u8(&s->in) & 3);
	static const u8 dests[] = { 0, 1, 2, 17, 0xff, 3, 0x11, 0x10 };

	op->reg = WINDOW + 2 * pin + high;
	op->val = high ? (u64)choose(&s->in, dests) << 24 : redir_value(s, pin);
}

static void ioapic_reg_write(struct world *w, u32 reg, u32 val)
{
	NEVER(world_write(w, 0, IOAPIC_BASE, 4, reg));
	NEVER(world_write(w, 0, IOAPIC_BASE + WINDOW, 4, val));
}

static void apply_redir(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	ioapic_reg_write(w, op->reg, op->val);
}

/* A driver that masks its line, or lets it come. */
static void make_pin_mask(struct story *s, struct op *op)
{
	u8 byte = bytes_u8(&s->in);

	op->reg = byte & 1 ? choose(&s->in, level_pins) : choose(&s->in, edge_pins);
	op->val = byte & 6 ? 0 : MASKED;
}

static void apply_pin_mask(struct world *w, const struct story *s, const struct op *op,
			   struct log *log)
{
	u64 val;

	NEVER(world_write(w, 0, IOAPIC_BASE, 4, WINDOW + 2 * op->reg));
	NEVER(world_read(w, 0, IOAPIC_BASE + WINDOW, 4, &val));
	log_add(log, val);
	NEVER(world_write(w, 0, IOAPIC_BASE + WINDOW, 4, (val & ~MASKED) | op->val));
}

static void make_ioapic(struct story *s, struct op *op)
{
	static const u8 offsets[] = { 0, 0, WINDOW, WINDOW, WINDOW, 0x20, 0x40, 0x01, 0x12, 0xf0 };

	op->reg = choose(&s->in, offsets);
	op->len = 1 << bytes_u8(&s->in) % 4;
	op->more = bytes_u8(&s->in) & 1;
	op->val = op->reg ? bytes_u64(&s->in) : bytes_u8(&s->in) % 0x48;
}

static void apply_ioapic(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	u64 val = op->val;

	log_add(log, op->more ? world_write(w, op->cpu, IOAPIC_BASE + op->reg, op->len, val) :
				world_read(w, op->cpu, IOAPIC_BASE + op->reg, op->len, &val));
	log_add(log, val);
}

/* -------- the guest's ports -------- */

static u8 pic_value(struct story *s, u16 port)
{
	static const u8 commands[] = {
		0x11, 0x20, 0x20, 0x60, 0x61, 0x62, 0xa0, 0xa0, 0xc3, 0xe2, 0x80, 0x00,	/* ICW1, OCW2 */
		0x0c, 0x0a, 0x0b, 0x68, 0x48, 0x0e, 0x13,				/* OCW3, ICW1 */
	};
	static const u8 datas[] = { 0x00, 0xff, 0xfe, 0xfb, 0x08, 0x20, 0x70, 0x04, 0x02, 0x01, 0x03, 0x11, 0x13 };
	u8 byte = bytes_u8(&s->in);

	if (byte & 0x80)
		return bytes_u8(&s->in);
	if (port >= 0x4d0)
		return byte;
	return port & 1 ? datas[byte % ARRAY_SIZE(datas)] : commands[byte % ARRAY_SIZE(commands)];
}

static void make_pic(struct story *s, struct op *op)
{
	static const u16 ports[] = { 0x20, 0x20, 0x20, 0x21, 0xa0, 0xa0, 0xa1, 0x4d0, 0x4d1 };

	op->reg = choose(&s->in, ports);
	op->len = 1;
	op->more = bytes_u8(&s->in) % 3;
	op->val = pic_value(s, op->reg);
}

static void make_pit(struct story *s, struct op *op)
{
	static const u16 ports[] = { 0x40, 0x40, 0x41, 0x42, 0x43, 0x43, 0x43, 0x61 };
	static const u8 controls[] = { 0x34, 0x36, 0x30, 0x38, 0x14, 0x24, 0x00, 0x40, 0x80, 0xb6, 0x74, 0xb0,
				       0xc2, 0xd2, 0xe2, 0xce, 0xee, 0x32, 0x3a };

	op->reg = choose(&s->in, ports);
	op->len = 1;
	op->more = bytes_u8(&s->in) & 1;
	op->val = bytes_u8(&s->in);
	if (op->reg == 0x43 && op->val & 0x40)
		op->val = controls[op->val % ARRAY_SIZE(controls)];
}

static void make_port(struct story *s, struct op *op)
{
	static const u16 ports[] = { 0x1f, 0x20, 0x21, 0xa0, 0x40, 0x42, 0x43, 0x60, 0x61, 0x4cf, 0x4d0, 0x4d1 };

	op->reg = choose(&s->in, ports);
	op->len = 1 << bytes_u8(&s->in) % 3;
	op->more = bytes_u8(&s->in) & 1;
	op->val = bytes_u32(&s->in);
}

static void apply_port(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	u64 val = op->val;

	log_add(log, op->more ? world_out(w, op->cpu, op->reg, op->len, val) :
				world_in(w, op->cpu, op->reg, op->len, &val));
	log_add(log, val);
}

/* -------- devices -------- */

/*
 * A device in user space tells each change of its line and nothing else: that
 * an edge is still high is what no state carries.
 */
static void make_line(struct story *s, struct op *op)
{
	u8 byte = bytes_u8(&s->in);

	if (s->tame)
		op->reg = byte & 1 ? choose(&s->in, level_pins) : choose(&s->in, edge_pins);
	else
		op->reg = byte % 26;
	op->more = bytes_u8(&s->in) & 1;
	s->lines ^= BIT(op->reg);
	op->val = !!(s->lines & BIT(op->reg));
}

static void apply_line(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	struct kvm_irq_level level = { .irq = op->reg, .level = op->val };

	irq_line_ioctl(&w->vm, &level, op->more);
	log_add(log, level.status);
}

static void make_msi(struct story *s, struct op *op)
{
	u8 byte = bytes_u8(&s->in);

	op->val = 0xfee00000 | (u64)(byte & 0x80 ? bytes_u8(&s->in) : byte % 20) << 12 |
		  (bytes_u8(&s->in) & 0xc);
	op->more = some_vector(s, FROM_MSI);
	if (s->tame)
		return;
	op->more |= (bytes_u8(&s->in) & 7 ? 0 : bytes_u32(&s->in) & 0xc700);
	op->val |= bytes_u8(&s->in) < 8 ? bytes_u64(&s->in) : 0;
}

static void apply_msi(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	log_add(log, irq_send_msi(&w->vm, &(struct kvm_msi){
		.address_lo = op->val, .address_hi = op->val >> 32, .data = op->more }));
}

static void make_irqfd(struct story *s, struct op *op)
{
	op->reg = bytes_u8(&s->in) % WORLD_FDS;
}

static void apply_irqfd(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	if (w->config.irqfds)
		shim_eventfd_write(w->fd[op->reg]);
}

static void make_routing(struct story *s, struct op *op)
{
	op->reg = bytes_u8(&s->in);
	op->val = bytes_u64(&s->in);
}

static unsigned int msi_routes(struct kvm_irq_routing_entry *e, u64 bits)
{
	unsigned int n;

	for (n = 0; n < 12; n++, bits >>= 5)
		e[n] = (struct kvm_irq_routing_entry){
			.gsi = n, .type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = 0xfee00000 | (bits & 3) << 12,
				   .data = 0x30 + 8 * n + (bits & 4 ? LEVEL : 0) } };
	return n;
}

/* A table of messages; or the usual one, with which the lines mean what they meant. */
static void apply_routing(struct world *w, const struct story *s, const struct op *op,
			  struct log *log)
{
	struct kvm_irq_routing_entry e[16] = {};
	unsigned int n;

	if (w->config.mode == IRQCHIP_KERNEL && op->reg < 128) {
		log_add(log, routing_set_default(&w->vm));
		return;
	}
	n = msi_routes(e, op->val);
	if (op->reg & 1)
		e[n++] = (struct kvm_irq_routing_entry){
			.gsi = op->reg % 32, .type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = op->val % 4, .pin = op->val % 27 } };
	log_add(log, routing_set(&w->vm, e, n, 0));
}

static void make_reinject(struct story *s, struct op *op)
{
	op->val = bytes_u8(&s->in) & 1;
}

static void apply_reinject(struct world *w, const struct story *s, const struct op *op,
			   struct log *log)
{
	mutex_lock(&w->vm.lock);
	pit_set_reinject(&w->vm, op->val);
	mutex_unlock(&w->vm.lock);
}

/* -------- user space's states -------- */

/* One that the machine might have, with some bytes of it changed. */
static void make_wild(struct story *s, struct op *op)
{
	u8 *p = (u8 *)&s->image;
	unsigned int n = 1 + bytes_u8(&s->in) % 16;

	/* The original's, by op_next(). */
	while (n--)
		p[bytes_u32(&s->in) % sizeof(s->image)] = bytes_u8(&s->in);
	s->lines_known = false;
}

static void apply_wild(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	log_add(log, image_set(w, &s->image));
}

/* -------- time -------- */

static void make_time(struct story *s, struct op *op)
{
	static const u32 steps[] = { 0, 1, 2, 838, 839, 5000, 199999, 200000, 200001, 1000000, 4000000, 10000000 };
	u8 byte = bytes_u8(&s->in);

	op->val = byte < 32 ? bytes_u32(&s->in) % 20000000 : steps[byte % ARRAY_SIZE(steps)];
	op->reg = byte;
}

/* Sometimes to the very moment of the next expiry, or just before. */
static u64 time_goal(struct world *w, const struct story *s, const struct op *op)
{
	ktime_t next = clock_next(&w->clock);

	if ((op->reg & 0xc0) != 0xc0 || next == KTIME_MAX || (u64)next <= s->now ||
	    (u64)next > s->now + 20000000)
		return s->now + op->val;
	return next - (op->reg & 1);
}

static void apply_time(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	world_run_until(w, op->more);
}

void world_quiesce(struct world *w)
{
	unsigned int i;

	for (i = 0; i < w->config.nr_vcpus; i++) {
		struct vcpu *vcpu = &w->cpu[i].vcpu;

		lapic_timer_to_sw(vcpu);
		world_accept_init(w, i);
		vcpu_take_request(vcpu, REQ_TIMER);
		lapic_timer_fired(vcpu);
	}
}

/* -------- the list -------- */

static const struct op_kind kinds[] = {
	{ "enter", 40, 60, false, make_enter, apply_enter },
	{ "EOI", 24, 50, false, NULL, apply_eoi },
	{ "time", 24, 20, false, make_time, apply_time },
	{ "LAPIC write", 30, 20, false, make_lapic_write, apply_lapic_write },
	{ "LAPIC read", 12, 8, false, make_lapic_read, apply_lapic_read },
	{ "x2APIC MSR", 8, 0, false, make_msr, apply_msr },
	{ "APIC base", 3, 0, false, make_base, apply_base },
	{ "CR8", 6, 6, false, make_cr8, apply_cr8 },
	{ "deadline", 8, 8, false, make_deadline, apply_deadline },
	{ "timer's side", 6, 6, false, make_timer_side, apply_timer_side },
	{ "vCPU", 6, 0, false, make_vcpu, apply_vcpu },
	{ "hypercall", 2, 0, false, make_mask, apply_mask },
	{ "redirection", 20, 0, true, make_redir, apply_redir },
	{ "mask a pin", 0, 20, true, make_pin_mask, apply_pin_mask },
	{ "IOAPIC", 6, 0, true, make_ioapic, apply_ioapic },
	{ "PIC", 30, 0, true, make_pic, apply_port },
	{ "PIT", 16, 8, true, make_pit, apply_port },
	{ "port", 4, 0, true, make_port, apply_port },
	{ "line", 40, 60, true, make_line, apply_line },
	{ "MSI", 12, 12, false, make_msi, apply_msi },
	{ "irqfd", 8, 8, true, make_irqfd, apply_irqfd },
	{ "routing", 2, 0, false, make_routing, apply_routing },
	{ "reinject", 2, 2, true, make_reinject, apply_reinject },
};

static const struct op_kind wild = { "wild state", 1, 0, false, make_wild, apply_wild };

static unsigned int weight(const struct op_kind *kind, const struct story *s, const struct world *w)
{
	if (kind->chips && w->config.mode != IRQCHIP_KERNEL)
		return 0;
	return s->tame ? kind->tame_weight : kind->weight;
}

static const struct op_kind *choose_kind(struct story *s, const struct world *w)
{
	unsigned int i, sum = 0, at;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		sum += weight(&kinds[i], s, w);
	at = (bytes_u8(&s->in) * 256 + bytes_u8(&s->in)) % sum;
	for (i = 0; at >= weight(&kinds[i], s, w); i++)
		at -= weight(&kinds[i], s, w);
	return &kinds[i];
}

void op_next(struct story *s, struct world *const *worlds, unsigned int nr, struct op *op)
{
	struct world *first = worlds[0];

	*op = (struct op){ .kind = choose_kind(s, first), .len = 4 };
	op->cpu = bytes_u8(&s->in) % first->config.nr_vcpus;
	if (s->wild && bytes_u8(&s->in) < 4) {
		op->kind = &wild;
		/* To take a state leaves traces in time, if none in the state. */
		while (nr--)
			world_quiesce(worlds[nr]);
		image_get(first, &s->image);
	}
	if (op->kind->make)
		op->kind->make(s, op);
	if (op->kind->apply == apply_time) {
		op->more = time_goal(first, s, op);
		s->now = op->more;
	}
}

static void log_cpu(struct world *w, unsigned int cpu, struct log *log)
{
	struct world_vcpu *c = &w->cpu[cpu];

	log_add(log, world_deadline(w, cpu));
	log_add(log, c->nmis);
	log_add(log, c->smis);
	log_add(log, c->unhalts);
	log_add(log, c->sipis + (c->start << 8));
	log_add(log, lapic_take_eoi_exit(&c->vcpu));
	log_add(log, vcpu_take_request(&c->vcpu, REQ_TPR_ACCESS));
	log_add(log, lapic_init_sipi_pending(&c->vcpu));
	log_add(log, irq_pending(&c->vcpu));
}

void op_apply(struct world *w, const struct story *s, const struct op *op, struct log *log)
{
	unsigned int i;

	op->kind->apply(w, s, op, log);
	for (i = 0; i < w->config.nr_vcpus; i++)
		log_cpu(w, i, log);
	log_add(log, peek_pit_deadline(w));
	for (i = 0; w->config.irqfds && w->config.mode == IRQCHIP_KERNEL && i < WORLD_FDS; i++)
		log_add(log, shim_eventfd_read(w->resample_fd[i]));
}

/* -------- a tame guest -------- */

static void prepare_pin(struct world *w, u32 pin, u32 bits)
{
	ioapic_reg_write(w, WINDOW + 2 * pin, pin_vector(pin) | bits);
	ioapic_reg_write(w, WINDOW + 2 * pin + 1, w->cpu[pin % w->config.nr_vcpus].vcpu.id << 24);
}

void story_prepare(struct world *w)
{
	unsigned int i;

	w->tame = true;
	for (i = 0; i < w->config.nr_vcpus; i++)
		NEVER(world_write(w, i, LAPIC_BASE + APIC_SPIV, 4, 0x1ff));
	if (w->config.mode != IRQCHIP_KERNEL)
		return;
	NEVER(world_write(w, 0, LAPIC_BASE + APIC_LVT0, 4, APIC_LVT_MASKED));
	for (i = 0; i < ARRAY_SIZE(level_pins); i++)
		prepare_pin(w, level_pins[i], LEVEL);
	for (i = 0; i < ARRAY_SIZE(edge_pins); i++)
		prepare_pin(w, edge_pins[i], 0);
}
