// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hardware task switches: SDM vol. 3, 8.3, with the checks of table 8-1; APM
 * vol. 2, 12.3.
 *
 * Up to save_old() the old task is untouched, and a fault is its own. From
 * enter_new() on it is the new task's: what was loaded until then stays. Devices
 * cannot be accessed on the way: INSN_UNHANDLEABLE.
 */
#include "internal.h"

/* From the instruction pointer on a TSS is an array of slots: figures 8-2, 8-10. */
enum { SLOT_IP, SLOT_FLAGS, SLOT_GPR, SLOT_SEG = SLOT_GPR + 8 };

struct tss_layout {
	u8 size;		/* the least that a limit may cover */
	u8 ip;			/* offset of the first slot */
	u8 slot;		/* bytes */
	u8 nsegs;		/* the LDT's selector comes behind them */
};

static const struct tss_layout tss16 = { .size = 0x2c, .ip = 0x0e, .slot = 2, .nsegs = 4 };
static const struct tss_layout tss32 = { .size = 0x68, .ip = 0x20, .slot = 4, .nsegs = 6 };

#define TSS_MAX		0x68
#define TSS_CR3		0x1c
#define TSS_TRAP	0x64

/* Type bits of a system descriptor. */
#define TSS_TYPE	1	/* without the next two */
#define TSS_BUSY	2
#define TSS_32		8
#define LDT_TYPE	2
#define DESC_BUSY_BYTE	5
#define DESC_ACCESSED	1

#define FL_DEFINED \
	(FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | \
	 FL_VIF | FL_VIP | FL_ID)

/* One switch under way. */
struct switching {
	struct insn_task *task;
	const struct tss_layout *from, *to;
	struct insn_segment old, new;	/* TR before and after */
	u32 old_desc, new_desc;		/* linear addresses of their descriptors */
	u8 tss[TSS_MAX];
	unsigned int cpl;		/* the new one */
};

static const struct tss_layout *layout(const struct insn_segment *tr)
{
	return tr->type & TSS_32 ? &tss32 : &tss16;
}

static u32 get_slot(const u8 *tss, const struct tss_layout *l, unsigned int n)
{
	u32 val = 0;

	memcpy(&val, tss + l->ip + n * l->slot, l->slot);
	return val;
}

/* The upper half of a selector's slot is nobody's. */
static void put_slot(u8 *tss, const struct tss_layout *l, unsigned int n, u32 val)
{
	memcpy(tss + l->ip + n * l->slot, &val, n < SLOT_SEG ? l->slot : 2);
}

static int task_fault(struct insn_ctx *ctx, const struct switching *sw, unsigned int vector,
		      u16 selector)
{
	return insn_raise_code(ctx, vector, (selector & ~3u) | sw->task->external);
}

/* -------- memory, as the processor itself accesses it -------- */

static unsigned int in_page(u32 linear, unsigned int len)
{
	unsigned int left = 4096 - (linear & 4095);

	return len < left ? len : left;
}

static int touch(struct insn_ctx *ctx, u32 linear, unsigned int len, bool write)
{
	unsigned int acc = INSN_ACC_IMPLICIT | (write ? INSN_ACC_WRITE : 0), n;
	bool ram = false;
	int r;

	if (!ctx->ops->probe)
		return INSN_UNHANDLEABLE;
	for (; len; linear += n, len -= n) {
		n = in_page(linear, len);
		r = ctx->ops->probe(ctx->v, linear, acc, &ram, &ctx->fault);
		if (r)
			return r;
		if (!ram)
			return INSN_UNHANDLEABLE;
	}
	return INSN_OK;
}

static int mem_read(struct insn_ctx *ctx, u32 linear, void *buf, unsigned int len)
{
	unsigned int n;
	int r = INSN_OK;

	for (; len && !r; linear += n, buf += n, len -= n) {
		n = in_page(linear, len);
		r = ctx->ops->read(ctx->v, linear, buf, n, INSN_ACC_IMPLICIT | INSN_ACC_BULK,
				   &ctx->fault);
	}
	return r;
}

static int mem_write(struct insn_ctx *ctx, u32 linear, const void *buf, unsigned int len)
{
	unsigned int n;
	int r = INSN_OK;

	for (; len && !r; linear += n, buf += n, len -= n) {
		n = in_page(linear, len);
		r = ctx->ops->write(ctx->v, linear, buf, n, INSN_ACC_IMPLICIT | INSN_ACC_BULK,
				    &ctx->fault);
	}
	return r;
}

/* The descriptor of @selector; outside its table is a fault of @vector. */
static int read_descriptor(struct insn_ctx *ctx, const struct switching *sw, u16 selector,
			   unsigned int vector, struct insn_segment *s, u32 *linear)
{
	u64 addr = 0, desc = 0;
	int r = insn_find_descriptor(ctx, selector, &addr);

	if (r == INSN_FAULT)
		return task_fault(ctx, sw, vector, selector);
	*linear = addr;
	if (!r)
		r = mem_read(ctx, addr, &desc, sizeof(desc));
	if (!r)
		insn_unpack_descriptor(desc, selector, s);
	return r;
}

/* Sets and clears bits in the byte of the type. */
static int change_type(struct insn_ctx *ctx, u32 desc, u8 set, u8 clear)
{
	u8 type;
	int r = mem_read(ctx, desc + DESC_BUSY_BYTE, &type, 1);

	if (r)
		return r;
	type = (type & ~clear) | set;
	return mem_write(ctx, desc + DESC_BUSY_BYTE, &type, 1);
}

/* -------- checks in the old task -------- */

/* INT n may use a gate only if its DPL allows: SDM vol. 3, 6.12.1.1. */
static int check_gate(struct insn_ctx *ctx, const struct insn_task *task)
{
	u32 code = task->vector * 8 + 2;
	struct insn_table_reg idt;
	u64 gate;
	int r;

	if (task->vector < 0)
		return INSN_OK;
	if (!ctx->ops->get_table)
		return INSN_UNHANDLEABLE;
	ctx->ops->get_table(ctx->v, INSN_IDTR, &idt);
	if (task->vector * 8 + 7 > idt.limit)
		return insn_raise_code(ctx, EXC_GP, code);
	r = mem_read(ctx, idt.base + task->vector * 8, &gate, sizeof(gate));
	if (r)
		return r;
	return insn_cpl(ctx) > (gate >> 45 & 3) ? insn_raise_code(ctx, EXC_GP, code) : INSN_OK;
}

/* IRET goes back to a task that is busy, all others begin one that is not. */
static int check_new(struct insn_ctx *ctx, struct switching *sw)
{
	bool iret = sw->task->reason == INSN_TASK_IRET;
	unsigned int vector = iret ? EXC_TS : EXC_GP;
	struct insn_segment *s = &sw->new;
	u16 selector = sw->task->selector;
	int r;

	if (selector & 4)
		return task_fault(ctx, sw, vector, selector);
	r = read_descriptor(ctx, sw, selector, vector, s, &sw->new_desc);
	if (r)
		return r;
	if (s->s || (s->type & ~(TSS_32 | TSS_BUSY)) != TSS_TYPE || iret != !!(s->type & TSS_BUSY))
		return task_fault(ctx, sw, vector, selector);
	if (!s->present)
		return task_fault(ctx, sw, EXC_NP, selector);
	sw->to = layout(s);
	if (s->limit < sw->to->size - 1u)
		return task_fault(ctx, sw, EXC_TS, selector);
	return INSN_OK;
}

/* The old task stays busy, and the new one's IRET returns to it. */
static bool nests(const struct insn_task *task)
{
	return task->reason == INSN_TASK_CALL || task->reason == INSN_TASK_GATE;
}

static int check_old(struct insn_ctx *ctx, struct switching *sw)
{
	u64 addr = 0;
	int r;

	sw->old = *insn_seg(ctx, INSN_TR);
	sw->from = layout(&sw->old);
	if (sw->old.limit < sw->from->size - 1u)
		return task_fault(ctx, sw, EXC_TS, sw->old.selector);
	if (nests(sw->task))
		return INSN_OK;
	r = insn_find_descriptor(ctx, sw->old.selector, &addr);
	sw->old_desc = addr;
	return r;
}

/* All memory that the switch reads and writes, before it changes any. */
static int check_memory(struct insn_ctx *ctx, const struct switching *sw)
{
	int r = touch(ctx, sw->old.base, sw->from->size, true);

	if (!r)
		r = touch(ctx, sw->new.base, sw->to->size, nests(sw->task));
	if (!r && !nests(sw->task))
		r = touch(ctx, sw->old_desc, 8, true);
	return r ? r : touch(ctx, sw->new_desc, 8, true);
}

/* -------- the switch -------- */

static int save_old(struct insn_ctx *ctx, struct switching *sw)
{
	const struct tss_layout *l = sw->from;
	unsigned int i, len = (SLOT_SEG + l->nsegs) * l->slot;
	u64 flags = insn_flags(ctx);
	int r;

	r = mem_read(ctx, sw->old.base, sw->tss, l->size);
	if (!r && !nests(sw->task))
		r = change_type(ctx, sw->old_desc, 0, TSS_BUSY);
	if (r)
		return r;
	if (sw->task->reason == INSN_TASK_IRET)
		flags &= ~FL_NT;
	put_slot(sw->tss, l, SLOT_IP, sw->task->ip);
	put_slot(sw->tss, l, SLOT_FLAGS, flags);
	for (i = 0; i < 8; i++)
		put_slot(sw->tss, l, SLOT_GPR + i, insn_get(ctx, i));
	for (i = 0; i < l->nsegs; i++)
		put_slot(sw->tss, l, SLOT_SEG + i, insn_seg(ctx, i)->selector);
	return mem_write(ctx, sw->old.base + l->ip, sw->tss + l->ip, len);
}

/* TR, its descriptor, the link back. */
static int take_task_register(struct insn_ctx *ctx, struct switching *sw)
{
	int r = mem_read(ctx, sw->new.base, sw->tss, sw->to->size);

	if (!r && nests(sw->task))
		r = mem_write(ctx, sw->new.base, &sw->old.selector, 2);
	if (!r)
		r = change_type(ctx, sw->new_desc, TSS_BUSY, 0);
	if (r)
		return r;
	sw->new.type |= TSS_BUSY;
	insn_put_seg(ctx, INSN_TR, &sw->new);
	return INSN_OK;
}

/* A 16-bit TSS has no CR3, and without paging it is not looked at. */
static int switch_control(struct insn_ctx *ctx, const struct switching *sw)
{
	u64 cr0 = ctx->ops->get_cr(ctx->v, 0);
	u32 cr3;
	int r = ctx->ops->set_cr(ctx->v, 0, cr0 | CR0_TS, &ctx->fault);

	if (!r)
		ctx->ops->end_local_breakpoints(ctx->v);
	if (r || sw->to != &tss32 || !(cr0 & CR0_PG))
		return r;
	memcpy(&cr3, sw->tss + TSS_CR3, sizeof(cr3));
	return ctx->ops->set_cr(ctx->v, 3, cr3, &ctx->fault);
}

/* Segments get their selectors; what they describe follows, in the new task. */
static void load_registers(struct insn_ctx *ctx, const struct switching *sw)
{
	const struct tss_layout *l = sw->to;
	struct insn_segment s;
	unsigned int i;
	u64 flags;

	for (i = 0; i < 8; i++)
		insn_set(ctx, i, get_slot(sw->tss, l, SLOT_GPR + i));
	insn_set(ctx, INSN_RIP, get_slot(sw->tss, l, SLOT_IP));
	flags = (get_slot(sw->tss, l, SLOT_FLAGS) & FL_DEFINED) | FL_ONE;
	if (nests(sw->task))
		flags |= FL_NT;
	insn_set(ctx, INSN_RFLAGS, flags);
	for (i = 0; i < tss32.nsegs; i++) {
		s = *insn_seg(ctx, i);
		s.selector = i < l->nsegs ? get_slot(sw->tss, l, SLOT_SEG + i) : 0;
		insn_put_seg(ctx, i, &s);
	}
	s = (struct insn_segment){
		.selector = get_slot(sw->tss, l, SLOT_SEG + l->nsegs), .unusable = 1,
	};
	insn_put_seg(ctx, INSN_LDTR, &s);
}

static int enter_new(struct insn_ctx *ctx, struct switching *sw)
{
	int r = take_task_register(ctx, sw);

	if (!r)
		r = switch_control(ctx, sw);
	if (r)
		return r;
	load_registers(ctx, sw);
	return insn_commit(ctx);
}

/* -------- segments of the new task -------- */

static int load_ldt(struct insn_ctx *ctx, const struct switching *sw)
{
	u16 selector = insn_seg(ctx, INSN_LDTR)->selector;
	struct insn_segment s;
	u32 linear;
	int r;

	if (selector < 4)
		return INSN_OK;
	if (selector & 4)
		return task_fault(ctx, sw, EXC_TS, selector);
	r = read_descriptor(ctx, sw, selector, EXC_TS, &s, &linear);
	if (r)
		return r;
	if (s.s || s.type != LDT_TYPE || !s.present)
		return task_fault(ctx, sw, EXC_TS, selector);
	insn_put_seg(ctx, INSN_LDTR, &s);
	return INSN_OK;
}

static bool segment_fits(unsigned int seg, const struct insn_segment *s, unsigned int cpl)
{
	bool code = s->type & 8, conforming = s->type & 4;
	unsigned int rpl = s->selector & 3;

	if (!s->s)
		return false;
	switch (seg) {
	case INSN_CS:
		return code && (conforming ? s->dpl <= rpl : s->dpl == rpl);
	case INSN_SS:
		return !code && s->type & 2 && s->dpl == cpl && rpl == cpl;
	default:
		if (code && !(s->type & 2))
			return false;
		return (code && conforming) || (s->dpl >= rpl && s->dpl >= cpl);
	}
}

static int load_segment(struct insn_ctx *ctx, const struct switching *sw, unsigned int seg)
{
	u16 selector = insn_seg(ctx, seg)->selector;
	struct insn_segment s;
	u32 linear;
	int r;

	if (selector < 4) {
		if (seg == INSN_CS || seg == INSN_SS)
			return task_fault(ctx, sw, EXC_TS, selector);
		s = (struct insn_segment){ .selector = selector, .unusable = 1 };
		insn_put_seg(ctx, seg, &s);
		return INSN_OK;
	}
	r = read_descriptor(ctx, sw, selector, EXC_TS, &s, &linear);
	if (r)
		return r;
	if (!segment_fits(seg, &s, sw->cpl))
		return task_fault(ctx, sw, EXC_TS, selector);
	if (!s.present)
		return task_fault(ctx, sw, seg == INSN_SS ? EXC_SS : EXC_NP, selector);
	if (!(s.type & DESC_ACCESSED))
		r = change_type(ctx, linear, DESC_ACCESSED, 0);
	s.type |= DESC_ACCESSED;
	if (!r)
		insn_put_seg(ctx, seg, &s);
	return r;
}

/* SDM vol. 3, 21.2.1. */
static void load_segments_vm86(struct insn_ctx *ctx)
{
	unsigned int i;

	for (i = INSN_ES; i <= INSN_GS; i++) {
		u16 selector = insn_seg(ctx, i)->selector;
		struct insn_segment s = {
			.base = (u64)selector << 4, .limit = 0xffff, .selector = selector,
			.type = 3, .s = 1, .dpl = 3, .present = 1,
		};

		insn_put_seg(ctx, i, &s);
	}
}

static int load_segments(struct insn_ctx *ctx, struct switching *sw)
{
	static const u8 order[] = { INSN_CS, INSN_SS, INSN_ES, INSN_DS, INSN_FS, INSN_GS };
	unsigned int i;
	int r = load_ldt(ctx, sw);

	if (r)
		return r;
	if (insn_flags(ctx) & FL_VM) {
		ctx->mode = INSN_VM86;
		load_segments_vm86(ctx);
		return INSN_OK;
	}
	ctx->mode = INSN_PROT32;
	sw->cpl = insn_seg(ctx, INSN_CS)->selector & 3;
	for (i = 0; i < ARRAY_SIZE(order) && !r; i++)
		r = load_segment(ctx, sw, order[i]);
	if (!insn_seg(ctx, INSN_CS)->db)
		ctx->mode = INSN_PROT16;
	return r;
}

/* What comes before the first instruction. */
static int begin_task(struct insn_ctx *ctx, struct switching *sw)
{
	const struct insn_task *task = sw->task;
	int r;

	sw->task->trap = sw->to == &tss32 && sw->tss[TSS_TRAP] & 1;
	if (task->has_error) {
		r = insn_push(ctx, task->error_code, sw->to->slot);
		if (!r)
			r = insn_commit(ctx);
		if (r)
			return r;
	}
	return insn_get(ctx, INSN_RIP) > insn_seg(ctx, INSN_CS)->limit ?
	       insn_raise_code(ctx, EXC_GP, task->external) : INSN_OK;
}

static int switch_task(struct insn_ctx *ctx, struct switching *sw)
{
	int r, done;

	r = check_gate(ctx, sw->task);
	if (!r)
		r = check_new(ctx, sw);
	if (!r)
		r = check_old(ctx, sw);
	if (!r)
		r = check_memory(ctx, sw);
	if (!r)
		r = save_old(ctx, sw);
	if (!r)
		r = enter_new(ctx, sw);
	if (r)
		return r;
	r = load_segments(ctx, sw);
	/* What was loaded before a fault stays. */
	done = insn_commit(ctx);
	if (r || done)
		return r ? r : done;
	return begin_task(ctx, sw);
}

int insn_task_switch(struct insn_ctx *ctx, struct insn_task *task)
{
	const struct insn_ops *ops = ctx->ops;
	struct switching sw = { .task = task };
	int r;

	task->trap = false;
	if (!ops->get_cr || !ops->set_cr || !ops->end_local_breakpoints || !ops->set_segment)
		return INSN_UNHANDLEABLE;
	ctx->resumed = false;
	insn_begin(ctx);
	r = switch_task(ctx, &sw);
	/* Half done and waiting for a device: there is no way back. */
	return r == INSN_USER || r == INSN_RETRY ? INSN_UNHANDLEABLE : r;
}
