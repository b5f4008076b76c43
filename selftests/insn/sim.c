// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>

#include "sim.h"

enum { ACC_READ, ACC_WRITE, ACC_CMPXCHG, ACC_IN, ACC_OUT };

static struct sim_page *find_page(struct sim *sim, u64 linear)
{
	unsigned int i;

	for (i = 0; i < sim->s.npages; i++)
		if (sim->s.page[i].linear == (linear & ~(u64)(SIM_PAGE - 1)))
			return &sim->s.page[i];
	return NULL;
}

u8 *sim_add_page(struct sim *sim, u64 linear, int kind)
{
	struct sim_page *p = find_page(sim, linear);

	if (!p) {
		if (sim->s.npages == SIM_PAGES)
			return NULL;
		p = &sim->s.page[sim->s.npages++];
		memset(p, 0, sizeof(*p));
	}
	p->linear = linear & ~(u64)(SIM_PAGE - 1);
	p->kind = kind;
	return p->data;
}

void sim_poke(struct sim *sim, u64 linear, const void *data, unsigned int len)
{
	const u8 *p = data;
	struct sim_page *page;

	for (; len--; linear++, p++) {
		page = find_page(sim, linear);
		if (page)
			page->data[linear & (SIM_PAGE - 1)] = *p;
	}
}

void sim_peek(struct sim *sim, u64 linear, void *data, unsigned int len)
{
	u8 *p = data;
	struct sim_page *page;

	for (; len--; linear++, p++) {
		page = find_page(sim, linear);
		*p = page ? page->data[linear & (SIM_PAGE - 1)] : 0;
	}
}

u64 sim_peek64(struct sim *sim, u64 linear)
{
	u64 val;

	sim_peek(sim, linear, &val, 8);
	return val;
}

static void broken(struct sim *sim, const char *what)
{
	if (!sim->broken)
		sim->broken = what;
}

/* With force_user each access is refused once, and must then come again unchanged. */
static bool to_user(struct sim *sim, unsigned int kind, u64 addr, unsigned int len)
{
	if (!sim->force_user)
		return false;
	if (!sim->pending.armed) {
		sim->pending.kind = kind;
		sim->pending.addr = addr;
		sim->pending.len = len;
		sim->pending.armed = true;
		sim->user_exits++;
		return true;
	}
	if (sim->pending.kind != kind || sim->pending.addr != addr || sim->pending.len != len)
		broken(sim, "another access than the pending one");
	sim->pending.armed = false;
	return false;
}

static bool canonical(const struct sim *sim, u64 linear)
{
	unsigned int shift = 64 - (sim->ctx.va_bits ? sim->ctx.va_bits : 48);

	return (u64)((s64)(linear << shift) >> shift) == linear;
}

/* What the CPU itself accesses has been checked when its address was loaded. */
static void check_address(struct sim *sim, u64 linear, unsigned int acc)
{
	bool implicit = acc & INSN_ACC_IMPLICIT;

	sim->work++;
	if (sim->ctx.mode != INSN_LONG ? linear >> 32 && !(sim->ctx.lma && implicit) :
	    !implicit && !canonical(sim, linear))
		broken(sim, "an address that there is not");
}

static void check_access(struct sim *sim, u64 linear, unsigned int len, unsigned int acc)
{
	unsigned int most = acc & INSN_ACC_BULK ? SIM_PAGE : acc & INSN_ACC_FETCH ? 15 : 8;

	check_address(sim, linear, acc);
	if (!len || len > most)
		broken(sim, "bad length of an access");
	if ((linear & (SIM_PAGE - 1)) + len > SIM_PAGE)
		broken(sim, "an access crosses a page");
}

static int page_fault(struct sim *sim, struct insn_fault *fault, u64 linear, unsigned int acc,
		      bool present)
{
	fault->vector = 14;
	fault->has_error = true;
	fault->error_code = present | (acc & INSN_ACC_WRITE ? 2 : 0) |
		(sim->cpl == 3 && !(acc & INSN_ACC_IMPLICIT) ? 4 : 0) |
		(acc & INSN_ACC_FETCH ? 16 : 0);
	fault->address = linear;
	return INSN_FAULT;
}

/* As if the host could not get at the guest's memory. */
static bool fails(struct sim *sim)
{
	return sim->failing && !--sim->failing;
}

static int check_rights(struct sim *sim, u64 linear, unsigned int acc, struct insn_fault *fault,
			struct sim_page **page)
{
	*page = find_page(sim, linear);
	if (!*page || (*page)->kind == SIM_NONE)
		return page_fault(sim, fault, linear, acc, false);
	if (acc & INSN_ACC_WRITE && (*page)->kind == SIM_RO)
		return page_fault(sim, fault, linear, acc, true);
	return INSN_OK;
}

static int op_read(void *v, u64 linear, void *buf, unsigned int len, unsigned int acc,
		   struct insn_fault *fault)
{
	struct sim *sim = v;
	struct sim_page *page;
	int r;

	check_access(sim, linear, len, acc);
	if (fails(sim))
		return INSN_UNHANDLEABLE;
	r = check_rights(sim, linear, acc, fault, &page);
	if (r)
		return r;
	if (acc & INSN_ACC_FETCH && page->kind == SIM_MMIO)
		return INSN_UNHANDLEABLE;
	if (!(acc & (INSN_ACC_FETCH | INSN_ACC_BULK)) && to_user(sim, ACC_READ, linear, len))
		return INSN_USER;
	memcpy(buf, page->data + (linear & (SIM_PAGE - 1)), len);
	if (page->kind == SIM_MMIO)
		sim->s.mmio_reads++;
	if (sim->race && acc & INSN_ACC_LOCK)
		page->data[linear & (SIM_PAGE - 1)]++;
	return INSN_OK;
}

static int op_write(void *v, u64 linear, const void *buf, unsigned int len, unsigned int acc,
		    struct insn_fault *fault)
{
	struct sim *sim = v;
	struct sim_page *page;
	int r;

	check_access(sim, linear, len, acc);
	if (fails(sim))
		return INSN_UNHANDLEABLE;
	r = check_rights(sim, linear, acc | INSN_ACC_WRITE, fault, &page);
	if (r)
		return r;
	if (!(acc & INSN_ACC_BULK) && to_user(sim, ACC_WRITE, linear, len))
		return INSN_USER;
	memcpy(page->data + (linear & (SIM_PAGE - 1)), buf, len);
	return INSN_OK;
}

static int op_cmpxchg(void *v, u64 linear, const void *old, const void *new, unsigned int len,
		      unsigned int acc, struct insn_fault *fault)
{
	struct sim *sim = v;
	struct sim_page *page;
	u8 *p;
	int r;

	if (len != 1 && len != 2 && len != 4 && len != 8 && len != 16)
		broken(sim, "bad length of a compare-and-exchange");
	if ((linear & (SIM_PAGE - 1)) + len > SIM_PAGE)
		broken(sim, "a compare-and-exchange crosses a page");
	check_address(sim, linear, acc);
	r = check_rights(sim, linear, acc | INSN_ACC_WRITE, fault, &page);
	if (r)
		return r;
	if (to_user(sim, ACC_CMPXCHG, linear, len))
		return INSN_USER;
	p = page->data + (linear & (SIM_PAGE - 1));
	if (memcmp(p, old, len))
		return INSN_RETRY;
	memcpy(p, new, len);
	return INSN_OK;
}

static int op_probe(void *v, u64 linear, unsigned int acc, bool *ram, struct insn_fault *fault)
{
	struct sim *sim = v;
	struct sim_page *page;
	int r;

	check_address(sim, linear, acc);
	r = check_rights(sim, linear, acc, fault, &page);
	*ram = !r && page->kind != SIM_MMIO && !sim->no_ram;
	return r;
}

static int op_pio_in(void *v, u16 port, unsigned int size, unsigned int count, void *buf)
{
	struct sim *sim = v;
	u8 *p = buf;

	sim->work++;
	if (size * count > SIM_PAGE)
		broken(sim, "too many elements for a port");
	if (to_user(sim, ACC_IN, port, size * count))
		return INSN_USER;
	for (; count--; p += size) {
		memcpy(p, &sim->s.port_in, size);
		sim->s.port_in += 0x0102030405060709ull + port;
	}
	return INSN_OK;
}

static int op_pio_out(void *v, u16 port, unsigned int size, unsigned int count, const void *buf)
{
	struct sim *sim = v;
	const u8 *p = buf;
	unsigned int i;

	sim->work++;
	if (size * count > SIM_PAGE)
		broken(sim, "too many elements for a port");
	if (to_user(sim, ACC_OUT, port, size * count))
		return INSN_USER;
	for (i = 0; i < size * count; i++)
		sim->s.port_out = sim->s.port_out * 31 + p[i] + port;
	return INSN_OK;
}

static u64 op_get_reg(void *v, unsigned int reg)
{
	return ((struct sim *)v)->s.regs[reg];
}

static void op_set_reg(void *v, unsigned int reg, u64 val)
{
	((struct sim *)v)->s.regs[reg] = val;
}

static void op_get_segment(void *v, unsigned int seg, struct insn_segment *s)
{
	*s = ((struct sim *)v)->s.segs[seg];
}

static void op_set_segment(void *v, unsigned int seg, const struct insn_segment *s)
{
	struct sim *sim = v;

	sim->s.segs[seg] = *s;
	/* As in the processor; real mode's segments have no privilege. */
	if (seg == INSN_SS && sim->s.cr[0] & 1)
		sim->cpl = s->dpl;
}

static void op_get_table(void *v, unsigned int table, struct insn_table_reg *t)
{
	*t = ((struct sim *)v)->s.tables[table];
}

static void op_set_table(void *v, unsigned int table, const struct insn_table_reg *t)
{
	((struct sim *)v)->s.tables[table] = *t;
}

static unsigned int op_cpl(void *v)
{
	return ((struct sim *)v)->cpl;
}

static u64 op_get_cr(void *v, unsigned int cr)
{
	struct sim *sim = v;

	return cr == INSN_XCR0 ? sim->s.xcr0 : sim->s.cr[cr];
}

static int op_set_cr(void *v, unsigned int cr, u64 val, struct insn_fault *fault)
{
	struct sim *sim = v;

	if (cr && cr == sim->refused_cr) {
		*fault = (struct insn_fault){ .vector = 13, .has_error = true };
		return INSN_FAULT;
	}
	if (cr == INSN_XCR0)
		sim->s.xcr0 = val;
	else
		sim->s.cr[cr] = val;
	return INSN_OK;
}

static int op_get_dr(void *v, unsigned int dr, u64 *val, struct insn_fault *fault)
{
	(void)fault;
	*val = ((struct sim *)v)->s.dr[dr];
	return INSN_OK;
}

static int op_set_dr(void *v, unsigned int dr, u64 val, struct insn_fault *fault)
{
	(void)fault;
	((struct sim *)v)->s.dr[dr] = val;
	return INSN_OK;
}

static void op_end_local_breakpoints(void *v)
{
	((struct sim *)v)->s.dr[7] &= ~0x155ull;
}

/* One value for all MSRs; MSR 0xdead does not exist. */
static int op_get_msr(void *v, u32 msr, u64 *val, struct insn_fault *fault)
{
	struct sim *sim = v;

	memset(fault, 0, sizeof(*fault));
	fault->vector = 13;
	fault->has_error = true;
	*val = sim->s.msr_value + msr;
	return msr == 0xdead ? INSN_FAULT : INSN_OK;
}

static int op_set_msr(void *v, u32 msr, u64 val, struct insn_fault *fault)
{
	struct sim *sim = v;
	u64 dummy;

	if (op_get_msr(v, msr, &dummy, fault))
		return INSN_FAULT;
	sim->s.msr_value = val - msr;
	return INSN_OK;
}

static int op_cpuid(void *v, u32 regs[4], struct insn_fault *fault)
{
	unsigned int i;

	(void)v;
	(void)fault;
	for (i = 0; i < 4; i++)
		regs[i] = ~regs[i] + i;
	return INSN_OK;
}

static int op_sys(void *v, enum insn_sys what, u64 arg, struct insn_fault *fault)
{
	struct sim *sim = v;

	if (what == INSN_SYS_RSM && !sim->smm) {
		memset(fault, 0, sizeof(*fault));
		fault->vector = 6;
		return INSN_FAULT;
	}
	sim->s.sys_calls = sim->s.sys_calls * 31 + what + arg;
	if (what == INSN_SYS_RSM) {
		sim->s.regs[INSN_RIP] = SIM_RSM_RIP;
		sim->s.regs[INSN_RFLAGS] = SIM_RSM_RFLAGS;
	}
	return INSN_OK;
}

static u8 *vec_data(struct sim *sim, unsigned int vec)
{
	return vec >= INSN_VEC_MMX ? sim->s.mmx[vec - INSN_VEC_MMX] : sim->s.vec[vec];
}

static int op_vec_read(void *v, unsigned int vec, void *buf, unsigned int len)
{
	memcpy(buf, vec_data(v, vec), len);
	return INSN_OK;
}

static int op_vec_write(void *v, unsigned int vec, const void *buf, unsigned int len)
{
	memcpy(vec_data(v, vec), buf, len);
	return INSN_OK;
}

static const struct insn_ops ops = {
	.read = op_read, .write = op_write, .cmpxchg = op_cmpxchg, .probe = op_probe,
	.pio_in = op_pio_in, .pio_out = op_pio_out,
	.get_reg = op_get_reg, .set_reg = op_set_reg,
	.get_segment = op_get_segment, .set_segment = op_set_segment,
	.get_table = op_get_table, .set_table = op_set_table, .cpl = op_cpl,
	.get_cr = op_get_cr, .set_cr = op_set_cr, .get_dr = op_get_dr, .set_dr = op_set_dr,
	.end_local_breakpoints = op_end_local_breakpoints,
	.get_msr = op_get_msr, .set_msr = op_set_msr, .cpuid = op_cpuid, .sys = op_sys,
	.vec_read = op_vec_read, .vec_write = op_vec_write,
};

static void init_segments(struct sim *sim, enum insn_cpu_mode mode)
{
	bool real = mode == INSN_REAL || mode == INSN_VM86;
	unsigned int i;

	for (i = 0; i < INSN_NR_SEGS; i++) {
		struct insn_segment *s = &sim->s.segs[i];

		s->limit = real ? 0xffff : 0xffffffff;
		s->type = 3;
		s->s = 1;
		s->dpl = sim->cpl;
		s->present = 1;
		s->db = mode == INSN_PROT32;
		s->g = !real;
	}
	sim->s.segs[INSN_CS].type = 11;
	sim->s.segs[INSN_CS].l = mode == INSN_LONG;
	sim->s.segs[INSN_LDTR].unusable = 1;
	sim->s.segs[INSN_TR].unusable = 1;
}

void sim_init(struct sim *sim, enum insn_cpu_mode mode)
{
	/* Pages are cleared as they are added. */
	memset(&sim->s, 0, offsetof(struct sim_state, page));
	memset((u8 *)sim + sizeof(sim->s), 0, offsetof(struct sim, bulk) - sizeof(sim->s));
	sim->cpl = mode == INSN_REAL ? 0 : 3;
	sim->ctx.ops = &ops;
	sim->ctx.v = sim;
	sim->ctx.mode = mode;
	sim->ctx.bulk = sim->bulk;
	sim->ctx.bulk_size = sizeof(sim->bulk);
	sim->s.regs[INSN_RFLAGS] = 2 | (mode == INSN_VM86 ? 1 << 17 : 0);
	sim->s.cr[0] = mode == INSN_REAL ? 0x10 : 0x80050033;
	sim->s.cr[4] = 0x40620;
	sim->s.xcr0 = 7;
	init_segments(sim, mode);
}

size_t sim_state_size(const struct sim_state *s)
{
	return offsetof(struct sim_state, page) + s->npages * sizeof(s->page[0]);
}

int sim_step(struct sim *sim)
{
	u64 before[INSN_NR_REGS];
	int r;

	memcpy(before, sim->s.regs, sizeof(before));
	while ((r = insn_emulate(&sim->ctx)) == INSN_USER) {
		if (!sim->pending.armed)
			broken(sim, "INSN_USER from nowhere");
		if (memcmp(before, sim->s.regs, sizeof(before)))
			broken(sim, "registers changed by INSN_USER");
	}
	if (sim->pending.armed)
		broken(sim, "a pending access was dropped");
	return r;
}

int sim_run(struct sim *sim)
{
	int r;

	do {
		r = sim_step(sim);
	} while (r == INSN_OK && sim->ctx.rep_pending);
	return r;
}
