// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz-target.h"
#include "internal.h"
#include "sim.h"

/* Of one instruction: a few accesses that each may be probed and cross a page. */
#define WORK_MAX	64

/* User space serves an access each time, and no more are remembered. */
#define EXITS_MAX	(INSN_LOG_MAX + 1)

#define PAGES		5

unsigned long fuzz_results[5];

/* The input, as far as it has not been used; it goes on with 0. */
struct input {
	const u8 *p;
	size_t n;
};

static struct sim sim, second;
static struct sim_state start;
static unsigned int first_cpl;	/* an SS that is loaded brings another */
static const u8 *whole;
static size_t whole_size;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list args;
	size_t i;

	va_start(args, format);
	printf("# ");
	vprintf(format, args);
	va_end(args);
	printf("\n# mode %u, code", sim.ctx.mode);
	for (i = 0; i < sim.ctx.nbytes; i++)
		printf(" %02x", sim.ctx.bytes[i]);
	printf("\n# input ");
	for (i = 0; i < whole_size; i++)
		printf("%02x", whole[i]);
	printf("\n");
	fflush(stdout);
	abort();
}

#define MUST_BE(cond, ...)			\
	do {					\
		if (!(cond))			\
			fail(__VA_ARGS__);	\
	} while (0)

static u8 byte(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static u64 number(struct input *in, unsigned int len)
{
	u64 val = 0;
	unsigned int i;

	for (i = 0; i < len; i++)
		val |= (u64)byte(in) << (8 * i);
	return val;
}

/* Mostly where memory is. */
static u64 address(struct input *in)
{
	u8 kind = byte(in);

	switch (kind >> 6) {
	case 0:
		return number(in, 8);
	case 1:
		return (s8)byte(in);
	default:
		return (kind & 7) % (PAGES + 1) * SIM_PAGE + (s16)number(in, 2) % 64;
	}
}

/* -------- the decoder -------- */

/* It takes what it needs and no more, and says the same whatever follows. */
static void check_decoder(enum insn_cpu_mode mode, const u8 *bytes, unsigned int n)
{
	struct insn_decoded d, again;
	int len = insn_decode_bytes(&d, mode, bytes, n), k;
	u8 *exact;

	MUST_BE(len >= -2 && len <= INSN_MAX_LEN && len <= (int)n, "length %d of %u bytes", len, n);
	MUST_BE(n < INSN_MAX_LEN || len, "%u bytes are not enough", n);
	if (len <= 0)
		return;
	MUST_BE(d.len == len && d.desc, "length %d, but %u", len, d.len);
	for (k = 0; k <= len; k++) {
		exact = malloc(k);		/* for ASan to see an overrun */
		memcpy(exact, bytes, k);
		MUST_BE(insn_decode_bytes(&again, mode, exact, k) == (k == len ? len : 0),
			"%d bytes of %d: another length", k, len);
		free(exact);
	}
	MUST_BE(!memcmp(&d, &again, sizeof(d)), "decoded differently");
}

/* -------- the vCPU -------- */

/* One byte, or all in turn from it on. */
static void fill_page(u8 *page, u8 fill)
{
	static u8 ramp[SIM_PAGE + 256];
	unsigned int i;

	if (!ramp[1])
		for (i = 0; i < sizeof(ramp); i++)
			ramp[i] = i;
	if (fill & 1)
		memcpy(page, ramp + fill, SIM_PAGE);
	else
		memset(page, fill, SIM_PAGE);
}

static void make_memory(struct input *in)
{
	unsigned int i;
	u8 *page, fill;

	for (i = 0; i < PAGES; i++) {
		fill = byte(in);
		page = sim_add_page(&sim, i * SIM_PAGE, fill % 16 == 1 ? SIM_NONE :
				    i == 3 ? SIM_RO : i == 4 ? SIM_MMIO : SIM_RW);
		fill_page(page, fill);
	}
}

static void make_segments(struct input *in)
{
	u8 which = byte(in);
	struct insn_segment *s;

	for (; which & 1; which = byte(in)) {
		s = &sim.s.segs[(which >> 1) % INSN_NR_SEGS];
		s->base = (s64)address(in);
		if (sim.ctx.mode != INSN_LONG)
			s->base = (u32)s->base;
		s->limit = number(in, 4);
		s->type = byte(in) & 15;
		s->db = which >> 5 & 1;
		s->unusable = which >> 6 & 1;
		s->dpl = which >> 7 ? 0 : sim.cpl;
	}
}

static void make_registers(struct input *in)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		sim.s.regs[i] = address(in);
	sim.s.regs[INSN_RIP] = SIM_PAGE / 2 + (byte(in) & 0x7f) * 16;
	sim.s.regs[INSN_RFLAGS] |= number(in, 4) & 0x243fd5;
	sim.s.cr[0] ^= number(in, 1) & (CR0_TS | CR0_EM);
	sim.s.cr[4] ^= number(in, 3) & (CR4_VME | CR4_TSD | CR4_DE | CR4_OSFXSR | CR4_UMIP |
					CR4_OSXSAVE);
	sim.s.xcr0 = byte(in);
	for (i = 0; i < 2; i++) {
		sim.s.tables[i].base = SIM_PAGE * (byte(in) & 7);
		sim.s.tables[i].limit = number(in, 2);
	}
	for (i = 0; i < 32; i++)
		memset(sim.s.vec[i], byte(in), INSN_VEC_MAX);
}

static void put_code(const u8 *bytes, unsigned int n)
{
	u64 rip = sim.s.regs[INSN_RIP];
	unsigned int i;

	for (i = 0; i < n; i++)
		sim_poke(&sim, rip + i + sim.s.segs[INSN_CS].base *
			 (sim.ctx.mode != INSN_LONG), &bytes[i], 1);
}

static void make_vcpu(struct input *in, enum insn_cpu_mode mode, u8 options, const u8 *bytes,
		      unsigned int n)
{
	sim_init(&sim, mode);
	if (mode != INSN_REAL && mode != INSN_VM86)
		sim.cpl = options & 1 ? 0 : 3;
	sim.no_ram = options & 2;
	sim.smm = options & 4;
	sim.ctx.va_bits = options & 8 ? 57 : 48;
	if (options & 16)
		sim.ctx.bulk = NULL;
	make_memory(in);
	make_segments(in);
	make_registers(in);
	put_code(bytes, n);
	memcpy(&start, &sim.s, sim_state_size(&sim.s));
	first_cpl = sim.cpl;
}

/* -------- what must hold -------- */

static bool unchanged(bool memory)
{
	size_t head = offsetof(struct sim_state, port_in);

	return !memcmp(&start, &sim.s, memory ? sim_state_size(&start) : head);
}

/* Only devices may have seen something, and memory what came before a fault. */
static void check_unchanged(int r)
{
	MUST_BE(unchanged(r == INSN_UNHANDLEABLE), "result %d, but the state has changed", r);
	MUST_BE(r != INSN_FAULT || sim.ctx.fault.vector < 32, "vector %u", sim.ctx.fault.vector);
}

static void check_done(void)
{
	u64 rip = start.regs[INSN_RIP];

	/* RSM has set them all. */
	if (sim.ctx.replaced)
		return;
	MUST_BE(sim.s.regs[INSN_RFLAGS] & FL_ONE, "RFLAGS %llx",
		(unsigned long long)sim.s.regs[INSN_RFLAGS]);
	MUST_BE(!(sim.s.regs[INSN_RFLAGS] & ~0x3f7fd7ull), "reserved bits of RFLAGS");
	MUST_BE(!((start.regs[INSN_RFLAGS] ^ sim.s.regs[INSN_RFLAGS]) & FL_VM), "RFLAGS.VM");
	if (sim.ctx.rep_pending)
		MUST_BE(sim.s.regs[INSN_RIP] == rip, "RIP has moved while it is repeated");
	if (sim.ctx.mode != INSN_LONG)
		MUST_BE(!(sim.s.regs[INSN_RIP] >> 32), "RIP beyond 32 bits");
}

/* Every access through user space: the same must come out. */
static void check_resumed(int r)
{
	int r2;

	sim_init(&second, sim.ctx.mode);
	memcpy(&second.s, &start, sim_state_size(&start));
	second.cpl = first_cpl;
	second.no_ram = sim.no_ram;
	second.smm = sim.smm;
	second.ctx.va_bits = sim.ctx.va_bits;
	if (!sim.ctx.bulk)
		second.ctx.bulk = NULL;
	second.force_user = true;
	r2 = sim_step(&second);
	MUST_BE(!second.broken, "with user space: %s", second.broken);
	MUST_BE(r2 == r, "with user space: result %d, not %d", r2, r);
	MUST_BE(second.user_exits <= EXITS_MAX, "%lu exits", second.user_exits);
	MUST_BE(!memcmp(&second.s, &sim.s, sim_state_size(&sim.s)), "with user space: another state");
}

static void execute(void)
{
	int r;

	sim.work = 0;
	r = sim_step(&sim);
	fuzz_results[r]++;
	MUST_BE(!sim.broken, "%s", sim.broken);
	MUST_BE(sim.work <= WORK_MAX, "%u accesses", sim.work);
	MUST_BE(r == INSN_OK || r == INSN_FAULT || r == INSN_UNHANDLEABLE, "result %d", r);
	if (r == INSN_OK)
		check_done();
	else
		check_unchanged(r);
	check_resumed(r);
}

/* Accesses that fail, and others that race with locked ones: only results, no crash. */
static void disturb(u8 how)
{
	memcpy(&sim.s, &start, sim_state_size(&start));
	sim.cpl = first_cpl;
	sim.failing = how & 15;
	sim.race = how & 16;
	sim_step(&sim);
	MUST_BE(!sim.broken, "disturbed: %s", sim.broken);
}

static void skip(void)
{
	int r;

	memcpy(&sim.s, &start, sim_state_size(&start));
	sim.cpl = first_cpl;
	sim.failing = 0;
	r = insn_skip(&sim.ctx);
	if (r == INSN_OK)
		MUST_BE(sim.ctx.insn.len <= INSN_MAX_LEN && sim.s.regs[INSN_RIP] ==
			start.regs[INSN_RIP] + sim.ctx.insn.len, "skipped to another place");
	else
		check_unchanged(r);
}

static void switch_task(struct input *in)
{
	struct insn_task task = {
		.selector = number(in, 2), .reason = byte(in) & 3, .external = byte(in) & 1,
		.vector = (s8)byte(in), .error_code = number(in, 2), .ip = number(in, 4),
	};
	int r;

	task.has_error = task.error_code & 1;
	if (task.vector < 0)
		task.vector = -1;
	sim.failing = byte(in) & 63;
	sim.work = 0;
	r = insn_task_switch(&sim.ctx, &task);
	fuzz_results[r]++;
	MUST_BE(!sim.broken, "task switch: %s", sim.broken);
	MUST_BE(r == INSN_OK || r == INSN_FAULT || r == INSN_UNHANDLEABLE, "task switch: %d", r);
	MUST_BE(sim.work <= 2 * WORK_MAX, "task switch: %u accesses", sim.work);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, size };
	u8 mode, options, how, kind, bytes[FUZZ_STATE - FUZZ_CODE];
	unsigned int i;

	whole = data;
	whole_size = size;
	mode = byte(&in) % 5;
	options = byte(&in);
	how = byte(&in);
	kind = byte(&in);
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = byte(&in);
	check_decoder(mode, bytes, kind % 4 ? sizeof(bytes) : how & 15);
	make_vcpu(&in, mode, options, bytes, sizeof(bytes));
	if (kind % 8 == 7 && mode != INSN_REAL && mode != INSN_LONG) {
		switch_task(&in);
		return 0;
	}
	execute();
	if (how)
		disturb(how);
	skip();
	return 0;
}
