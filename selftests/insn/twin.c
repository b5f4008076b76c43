// SPDX-License-Identifier: GPL-2.0-only
#include <cpuid.h>
#include <x86intrin.h>

#include "internal.h"
#include "twin.h"

/* Linear addresses of descriptor tables, for implicit accesses only. */
#define GDT	0x10000u
#define LDT	0x20000u

#define MSR_TSC	0x10
#define MSR_AUX	0xc0000103

struct twin twin;
u8 twin_data[DATA_SIZE] __attribute__((aligned(64)));

enum { ACC_READ, ACC_WRITE, ACC_CMPXCHG };

static void broken(const char *what)
{
	if (!twin.broken)
		twin.broken = what;
}

static bool to_user(unsigned int kind, u64 linear, unsigned int len)
{
	if (!twin.force_user)
		return false;
	if (!twin.interrupted) {
		twin.pending.kind = kind;
		twin.pending.linear = linear;
		twin.pending.len = len;
		twin.interrupted = true;
		return true;
	}
	if (twin.pending.kind != kind || twin.pending.linear != linear || twin.pending.len != len)
		broken("another access than the pending one");
	twin.interrupted = false;
	return false;
}

static int page_fault(u64 linear, unsigned int acc, bool present, struct insn_fault *fault)
{
	fault->vector = EXC_PF;
	fault->has_error = true;
	fault->error_code = present | (acc & INSN_ACC_WRITE ? 2 : 0) | 4 |
		(acc & INSN_ACC_FETCH ? 16 : 0);
	fault->address = linear;
	return INSN_FAULT;
}

static int find_data(u64 linear, unsigned int acc, u8 **at, struct insn_fault *fault)
{
	u64 off = linear - DATA;

	if (linear - CODE < CODE_SIZE) {
		twin.wild = true;
		return INSN_UNHANDLEABLE;
	}
	if (off >= DATA_SIZE)
		return page_fault(linear, acc, false, fault);
	if (acc & INSN_ACC_WRITE && off >= DATA_RW)
		return page_fault(linear, acc, true, fault);
	*at = twin_data + off;
	return INSN_OK;
}

static int fetch(u64 linear, void *buf, unsigned int len, struct insn_fault *fault)
{
	u64 off = linear - CODE;

	if (off >= CODE_SIZE)
		return page_fault(linear, INSN_ACC_FETCH, linear - DATA < DATA_SIZE, fault);
	memcpy(buf, (void *)linear, len);
	return INSN_OK;
}

static int read_table(u64 linear, void *buf, unsigned int len)
{
	u64 gdt = linear - GDT, ldt = linear - LDT;

	if (gdt < sizeof(twin.gdt) && gdt + len <= sizeof(twin.gdt))
		memcpy(buf, (u8 *)twin.gdt + gdt, len);
	else if (ldt < sizeof(twin.ldt) && ldt + len <= sizeof(twin.ldt))
		memcpy(buf, (u8 *)twin.ldt + ldt, len);
	else
		broken("an implicit access outside the tables");
	return INSN_OK;
}

static void check_access(u64 linear, unsigned int len, unsigned int acc)
{
	if (!len || len > (acc & INSN_ACC_FETCH ? INSN_MAX_LEN : 8u))
		broken("bad length of an access");
	if ((linear & (PAGE - 1)) + len > PAGE)
		broken("an access crosses a page");
}

static int op_read(void *v, u64 linear, void *buf, unsigned int len, unsigned int acc,
		   struct insn_fault *fault)
{
	u8 *at;
	int r;

	(void)v;
	check_access(linear, len, acc);
	if (acc & INSN_ACC_FETCH)
		return fetch(linear, buf, len, fault);
	if (acc & INSN_ACC_IMPLICIT)
		return read_table(linear, buf, len);
	r = find_data(linear, acc, &at, fault);
	if (r)
		return r;
	if (to_user(ACC_READ, linear, len))
		return INSN_USER;
	memcpy(buf, at, len);
	return INSN_OK;
}

static void do_write(u64 linear, u8 *at, const void *buf, unsigned int len)
{
	if (twin.nwrites < TWIN_WRITES) {
		struct twin_write *w = &twin.writes[twin.nwrites];

		w->linear = linear;
		w->len = len;
		memcpy(w->old, at, len);
		memcpy(w->new, buf, len);
	}
	twin.nwrites++;
	memcpy(at, buf, len);
}

static int op_write(void *v, u64 linear, const void *buf, unsigned int len, unsigned int acc,
		    struct insn_fault *fault)
{
	u8 *at;
	int r;

	(void)v;
	check_access(linear, len, acc);
	if (acc & INSN_ACC_IMPLICIT) {
		broken("an implicit write");
		return INSN_OK;
	}
	r = find_data(linear, acc | INSN_ACC_WRITE, &at, fault);
	if (r)
		return r;
	if (to_user(ACC_WRITE, linear, len))
		return INSN_USER;
	do_write(linear, at, buf, len);
	return INSN_OK;
}

static int op_cmpxchg(void *v, u64 linear, const void *old, const void *new, unsigned int len,
		      unsigned int acc, struct insn_fault *fault)
{
	u8 *at;
	int r;

	(void)v;
	r = find_data(linear, acc | INSN_ACC_WRITE, &at, fault);
	if (r)
		return r;
	if (to_user(ACC_CMPXCHG, linear, len))
		return INSN_USER;
	if (memcmp(at, old, len))
		broken("a compare-and-exchange of what was not read");
	do_write(linear, at, new, len);
	return INSN_OK;
}

static int op_probe(void *v, u64 linear, unsigned int acc, bool *ram, struct insn_fault *fault)
{
	u8 *at;
	int r = find_data(linear, acc, &at, fault);

	(void)v;
	*ram = !r;
	return r;
}

static int op_pio_in(void *v, u16 port, unsigned int size, unsigned int count, void *buf)
{
	(void)v;
	(void)port;
	memset(buf, 0, size * count);
	broken("a port was read");
	return INSN_OK;
}

static int op_pio_out(void *v, u16 port, unsigned int size, unsigned int count, const void *buf)
{
	(void)v;
	(void)port;
	(void)size;
	(void)count;
	(void)buf;
	broken("a port was written");
	return INSN_OK;
}

static u64 op_get_reg(void *v, unsigned int reg)
{
	(void)v;
	return twin.s.regs[reg];
}

static void op_set_reg(void *v, unsigned int reg, u64 val)
{
	(void)v;
	twin.s.regs[reg] = val;
}

static void op_get_segment(void *v, unsigned int seg, struct insn_segment *s)
{
	(void)v;
	*s = twin.s.segs[seg];
}

static void op_set_segment(void *v, unsigned int seg, const struct insn_segment *s)
{
	(void)v;
	twin.s.segs[seg] = *s;
}

static void op_get_table(void *v, unsigned int table, struct insn_table_reg *t)
{
	(void)v;
	if (table != INSN_GDTR)
		broken("the IDT is nobody's business");
	*t = (struct insn_table_reg){ .base = GDT, .limit = sizeof(twin.gdt) - 1 };
}

static unsigned int op_cpl(void *v)
{
	(void)v;
	return 3;
}

/* What Linux sets of it in all modes and the emulator looks at. */
static u64 op_get_cr(void *v, unsigned int cr)
{
	(void)v;
	if (cr == INSN_XCR0)
		return twin.xcr0;
	return cr == 0 ? 0x80050033 : cr == 4 ? 0x40620 : 0;
}

static int op_get_msr(void *v, u32 msr, u64 *val, struct insn_fault *fault)
{
	(void)v;
	(void)fault;
	if (msr == MSR_TSC)
		*val = twin.interrupted ? twin.tsc : __rdtsc();
	else if (msr == MSR_AUX)
		*val = twin.tsc_aux;
	else
		broken("no instruction of user mode reads this MSR");
	return INSN_OK;
}

static int op_cpuid(void *v, u32 regs[4], struct insn_fault *fault)
{
	(void)v;
	(void)fault;
	__cpuid_count(regs[0], regs[2], regs[0], regs[1], regs[2], regs[3]);
	return INSN_OK;
}

static int op_sys(void *v, enum insn_sys what, u64 arg, struct insn_fault *fault)
{
	(void)v;
	(void)arg;
	if (what == INSN_SYS_PAUSE || what == INSN_SYS_CLFLUSH)
		return INSN_OK;
	if (what != INSN_SYS_RSM)
		broken("no instruction of user mode");
	memset(fault, 0, sizeof(*fault));
	fault->vector = EXC_UD;
	return INSN_FAULT;
}

static int op_vec_read(void *v, unsigned int vec, void *buf, unsigned int len)
{
	(void)v;
	memset(buf, 0, len);
	if (vec >= INSN_VEC_MMX)
		memcpy(buf, &twin.s.mmx[vec - INSN_VEC_MMX], 8);
	else
		memcpy(buf, twin.s.vec[vec], min(len, 32u));
	return INSN_OK;
}

static int op_vec_write(void *v, unsigned int vec, const void *buf, unsigned int len)
{
	(void)v;
	if (vec >= INSN_VEC_MMX)
		memcpy(&twin.s.mmx[vec - INSN_VEC_MMX], buf, 8);
	else
		memcpy(twin.s.vec[vec], buf, min(len, 32u));
	return INSN_OK;
}

static const struct insn_ops ops = {
	.read = op_read, .write = op_write, .cmpxchg = op_cmpxchg, .probe = op_probe,
	.pio_in = op_pio_in, .pio_out = op_pio_out,
	.get_reg = op_get_reg, .set_reg = op_set_reg,
	.get_segment = op_get_segment, .set_segment = op_set_segment,
	.get_table = op_get_table, .cpl = op_cpl, .get_cr = op_get_cr,
	.get_msr = op_get_msr, .cpuid = op_cpuid, .sys = op_sys,
	.vec_read = op_vec_read, .vec_write = op_vec_write,
};

u64 twin_descriptor(u16 selector)
{
	unsigned int index = selector >> 3;

	if (index >= ARRAY_SIZE(twin.gdt))
		return 0;
	return selector & 4 ? twin.ldt[index] : twin.gdt[index];
}

static void init_segments(void)
{
	struct insn_segment *s = twin.s.segs;

	s[INSN_LDTR] = (struct insn_segment){
		.base = LDT, .limit = sizeof(twin.ldt) - 1, .type = 2, .present = 1,
	};
	s[INSN_TR].unusable = 1;	/* no port is allowed */
}

void twin_init(enum insn_cpu_mode mode, u8 va_bits)
{
	unsigned int aux = 0;
	u32 lo, hi;

	memset(&twin, 0, sizeof(twin));
	twin.ctx.ops = &ops;
	twin.ctx.mode = mode;
	twin.ctx.va_bits = va_bits;
	__rdtscp(&aux);
	twin.tsc_aux = aux;
	twin.xcr0 = 3;
	if (__builtin_cpu_supports("avx")) {
		asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		twin.xcr0 = lo | (u64)hi << 32;
	}
	init_segments();
}

static int step(void)
{
	struct twin_state before;
	int r;

	if (!twin.force_user)
		return insn_emulate(&twin.ctx);
	before = twin.s;
	while ((r = insn_emulate(&twin.ctx)) == INSN_USER) {
		if (!twin.interrupted)
			broken("INSN_USER from nowhere");
		if (memcmp(&before, &twin.s, sizeof(before)))
			broken("registers changed by INSN_USER");
	}
	if (twin.interrupted)
		broken("a pending access was dropped");
	twin.interrupted = false;
	return r;
}

int twin_run(bool whole)
{
	int r;

	twin.nwrites = 0;
	twin.wild = false;
	twin.ctx.resumed = false;
	do {
		r = step();
	} while (whole && r == INSN_OK && twin.ctx.rep_pending);
	return r;
}

bool twin_undo(void)
{
	unsigned int i = twin.nwrites;

	if (i > TWIN_WRITES)
		return false;
	while (i--)
		memcpy(twin_data + (twin.writes[i].linear - DATA), twin.writes[i].old,
		       twin.writes[i].len);
	return true;
}

bool twin_written_again(const struct twin_write *writes, unsigned int n)
{
	unsigned int i;

	if (n != twin.nwrites)
		return false;
	for (i = 0; i < n; i++)
		if (writes[i].linear != twin.writes[i].linear ||
		    writes[i].len != twin.writes[i].len ||
		    memcmp(writes[i].new, twin.writes[i].new, writes[i].len))
			return false;
	return true;
}
