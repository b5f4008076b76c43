/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC from inside kmod/irq/. Offsets and bits: SDM vol. 3 ch. 11. */
#ifndef VMM_LAPIC_H
#define VMM_LAPIC_H

#include <linux/bitops.h>
#include <linux/hrtimer.h>
#include <asm/apicdef.h>

#include "vmm.h"

#define APIC_REGS_SIZE	0x400
#define APIC_X2APIC_ID(id) (id)

#define LAPIC_ALL_WORDS	0xff	/* of a vector bitmap */

enum lapic_pending { PENDING_INIT, PENDING_SIPI };

/*
 * regs is the register page in the layout of struct kvm_lapic_state. IRR bits
 * and TMR bits are set with atomic bit operations by any context; all other
 * registers are written by the vCPU thread only.
 */
struct lapic {
	struct vcpu *vcpu;
	u8 *regs;
	struct {
		struct hrtimer hr;
		atomic_t expired;	/* expirations not yet injected */
		u64 deadline;		/* IA32_TSC_DEADLINE */
		u64 period_ns;		/* of one count-down, 0: stopped */
		ktime_t target;		/* when the present count-down ends */
		u32 mode;		/* LVTT bits 17-18 */
		bool hw;		/* the vendor's timer is armed */
	} timer;
	unsigned long irr_words;	/* (a) which of IRR's words may hold something */
	unsigned long pending;		/* (a) enum lapic_pending */
	u8 sipi_vector;
	u8 isr_words;			/* which of ISR's words may hold something */
	bool deadline_ok;		/* guest CPUID */
	u8 nr_lvt;			/* LVT registers, with or without CMCI */
	int isr_top;			/* highest vector in service, -1 none */
	int eoi_exit;			/* vector user space must hear of, -1 none */
	/* vapic.c */
	bool report_tpr;		/* KVM_TPR_ACCESS_REPORTING */
	bool tpr_written;		/* the access to report: a write, ... */
	u64 tpr_rip;			/* ... by the instruction there */
	struct gpa_cache vapic;		/* valid while vcpu->vapic */
	unsigned long esr;		/* (a) errors since ESR was last written */
};

static inline u32 lapic_reg(const struct lapic *l, u32 off)
{
	return READ_ONCE(*(u32 *)(l->regs + off));
}

static inline void lapic_set_reg(struct lapic *l, u32 off, u32 val)
{
	WRITE_ONCE(*(u32 *)(l->regs + off), val);
}

/* Vector bitmaps are eight 32-bit registers, 16 bytes apart. */
static inline unsigned long *lapic_vec_word(struct lapic *l, u32 base, u8 vec)
{
	return (unsigned long *)(l->regs + base + ((vec >> 5) << 4));
}

static inline bool lapic_vec_test(struct lapic *l, u32 base, u8 vec)
{
	return test_bit(vec & 31, lapic_vec_word(l, base, vec));
}

static inline bool lapic_x2apic(const struct lapic *l)
{
	return (l->vcpu->apic_base & (X2APIC_ENABLE | XAPIC_ENABLE)) ==
	       (X2APIC_ENABLE | XAPIC_ENABLE);
}

static inline bool lapic_hw_enabled(const struct lapic *l)
{
	return l->vcpu->apic_base & XAPIC_ENABLE;
}

static inline bool lapic_enabled(const struct lapic *l)
{
	return lapic_hw_enabled(l) && (lapic_reg(l, APIC_SPIV) & APIC_SPIV_APIC_ENABLED);
}

static inline u32 lapic_id(const struct lapic *l)
{
	return lapic_x2apic(l) ? l->vcpu->id : lapic_reg(l, APIC_ID) >> 24;
}

/* Accepts an interrupt; any context. False when the APIC is off. */
bool lapic_accept(struct lapic *l, u32 mode, u8 vector, bool level);
/* Delivers through LVT register @lvt. */
bool lapic_local(struct lapic *l, u32 lvt);
bool lapic_takes_pic(struct lapic *l);
void lapic_update_ppr(struct lapic *l);
void lapic_write_tpr(struct lapic *l, u32 tpr);

/* vapic.c */
void lapic_report_tpr(struct lapic *l, bool write);

/* lapic_timer.c */
void lapic_timer_init(struct lapic *l);
void lapic_timer_cancel(struct lapic *l);
void lapic_timer_restart(struct lapic *l, u32 count);
void lapic_timer_restore(struct lapic *l, u64 deadline);
void lapic_timer_lvt_changed(struct lapic *l);
u32 lapic_timer_count(struct lapic *l);
u32 lapic_timer_left(struct lapic *l);

/* deliver.c */
struct irq_message {
	u32 dest;
	u8 vector;
	u16 mode;		/* APIC_DM_* */
	bool logical, level, assert, lowest;
	u8 shorthand;		/* 0 none, 1 self, 2 all, 3 all but self */
	bool from_msi;		/* physical 0xff is broadcast in x2APIC mode too */
	unsigned long *takers;	/* bitmap of vCPU indices that took it, or NULL */
};

/* Number of APICs that took it, 0 = none, -1 = a broadcast that nobody heard. */
int irq_deliver(struct vm *vm, struct lapic *source, const struct irq_message *msg);
bool irq_message_matches(struct lapic *target, struct lapic *source,
			 const struct irq_message *msg);
int irq_deliver_msi(struct vm *vm, u64 address, u32 data);

#endif /* VMM_LAPIC_H */
