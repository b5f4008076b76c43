// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random instructions with random operands, run by the emulator and by this
 * CPU: registers, flags, memory, vector registers, segments and faults must be
 * equal. Of each form that the emulator's tables have equally many are tried.
 * Some are run by the emulator once more with every access served by "user space".
 *
 * $INSN_CASES is their number (all tests together), $INSN_SEED another choice. A
 * difference is told with its block; $INSN_BLOCK tries that block again, alone.
 */
#include <sched.h>
#include <sys/mman.h>

#include "ktap.h"

#include "forms.h"
#include "native.h"
#include "random.h"
#include "twin.h"
#include "undefined.h"

#define TESTS		4
#define BLOCK		4096	/* cases between two fresh fillings of the memory */
#define MANY_REPEATS	300

/* The way out may not overlap the instruction. */
#define EXIT_ROOM	8

/* Descriptors in the LDT. */
enum {
	L_CODE32, L_CODE16, L_DATA32, L_DATA16, L_READ_ONLY, L_DOWN32, L_DOWN16, L_CODE_READ,
	L_CODE_EXEC, L_FLAT, L_FLAT16, L_ABSENT, L_NR,
};

static const struct native_ldt ldt[L_NR] = {
	[L_CODE32] = { .base = CODE, .limit = CODE_SIZE - 1, .code = true, .big = true },
	[L_CODE16] = { .base = CODE, .limit = CODE_SIZE - 1, .code = true },
	[L_DATA32] = { .base = DATA, .limit = DATA_RW + 0x37, .big = true },
	[L_DATA16] = { .base = DATA, .limit = DATA_RW + 0x37 },
	[L_READ_ONLY] = { .base = DATA + 0x10, .limit = DATA_RW, .big = true, .read_only = true },
	[L_DOWN32] = { .base = DATA, .limit = PAGE - 1, .big = true, .down = true },
	[L_DOWN16] = { .base = DATA - 0x100, .limit = 0x2ff, .down = true },
	[L_CODE_READ] = { .base = DATA, .limit = DATA_SIZE, .code = true, .big = true },
	[L_CODE_EXEC] = { .base = DATA, .limit = DATA_SIZE, .code = true, .read_only = true },
	[L_FLAT] = { .base = 0, .limit = ~0u, .big = true },
	[L_FLAT16] = { .base = 0, .limit = ~0u },
	[L_ABSENT] = { .base = DATA, .limit = DATA_SIZE, .big = true, .absent = true },
};

/* A page is left free below the end of the lower half. */
#define USER_END		((1ull << (va_bits - 1)) - PAGE)

#define LDT_SELECTOR(index)	((index) << 3 | 7)

#define USER_CS32	0x23
#define USER_DS		0x2b
#define USER_CS64	0x33

static enum insn_cpu_mode mode;
static bool segmented, split_locks_cost;
static u8 va_bits = 48;
static u64 block, case_in_block;

static struct form *form;
static struct snippet snip;
static struct twin_state start;
static u64 stack_top;			/* linear */

/* Why forms, or outcomes, were not compared, and how often. */
static struct { const char *why; unsigned long n; } reasons[40];

static struct {
	unsigned long done, faulted, unhandled, undefined, overlapping, elsewhere, stepped, again;
} count;

/* What this process has mapped beside the areas of the test. */
static struct { u64 from, to; } mapped[64];
static unsigned int nmapped;

#define IS(name)	(snip.d.desc->exec == insn_exec_##name)

/* -------- a case -------- */

static u64 random_value(void)
{
	u64 r = rnd();

	switch (r & 7) {
	case 0:
		return r >> 8 & 63;
	case 1:
		return -(r >> 8 & 63);
	case 2:
	case 3:
		return (1ull << (r >> 8 & 63)) - (r >> 14 & 1);
	case 4:
		return rnd() >> (r >> 8 & 63);
	default:
		return rnd();
	}
}

static u64 seg_base(unsigned int seg)
{
	return mode != INSN_LONG || seg >= INSN_FS ? start.segs[seg].base : 0;
}

/*
 * The end of canonical addresses is out of reach. AMD wants offsets to be canonical, too,
 * not only what becomes of them with the segment's base.
 */
static bool ends_are_far(void)
{
	return mode != INSN_LONG || (s64)start.segs[INSN_FS].base < 0 ||
		(s64)start.segs[INSN_GS].base < 0;
}

/* Somewhere in the data, now and then over an edge. */
static u64 random_target(void)
{
	u64 r = rnd(), off = r % DATA_RW;
	unsigned int over = r >> 32 & 31;

	switch (r >> 56 & 31) {
	case 0:
		return DATA + PAGE - over;
	case 1:
		return DATA + DATA_RW - over;
	case 2:
		return DATA + DATA_SIZE - over;
	case 3:
		return DATA - over;
	case 4:
		return DATA + DATA_RW + over;
	case 5:
		return ends_are_far() ? DATA + off : (1ull << (va_bits - 1)) - (over & 15);
	case 6 ... 20:
		return DATA + (off & ~63ull);
	default:
		return DATA + off;
	}
}

static u64 reg_for(u64 linear, unsigned int seg)
{
	u64 val = linear - seg_base(seg);

	return mode == INSN_LONG ? val : rnd() << 32 | (u32)val;
}

static u64 code_target(void)
{
	return start.regs[INSN_RIP] + rnd() % 256;
}

static void poke(u64 linear, u64 val, unsigned int len)
{
	u64 off = linear - DATA;

	if (off >= DATA_RW || off + len > DATA_RW)
		return;
	memcpy(twin_data + off, &val, len);
	memcpy((void *)linear, &val, len);
}

static u16 random_selector(void)
{
	u64 r = rnd();

	switch (r & 7) {
	case 0:
		return r >> 8 & 3;
	case 1:
		return r >> 8;
	case 2:
		return (r >> 8) % 18 << 3 | (r >> 16 & 7);
	case 3 ... 5:
		return LDT_SELECTOR((r >> 8) % L_NR);
	default:
		return USER_CS32 + ((r >> 8) % 3 << 3);
	}
}

static u64 *addressed_reg(void)
{
	static const u8 base16[8] = {
		INSN_RBX, INSN_RBX, INSN_RBP, INSN_RBP, INSN_RSI, INSN_RDI, INSN_RBP, INSN_RBX,
	};
	const struct insn_decoded *d = &snip.d;
	unsigned int rm = d->modrm & 7;

	if (d->addr_size == 2)
		return insn_mod(d) == 0 && rm == 6 ? NULL : &start.regs[base16[rm]];
	if (d->has_sib)
		rm = d->sib & 7;
	if (insn_mod(d) == 0 && rm == 5)
		return NULL;
	return &start.regs[rm | (d->rex & 1) << 3];
}

/* The memory operand's offset, by the emulator's arithmetic. */
static u64 operand_offset(unsigned int *seg)
{
	struct insn_operand op;

	twin.s = start;
	twin.ctx.resumed = false;
	insn_begin(&twin.ctx);
	twin.ctx.insn = snip.d;
	insn_set(&twin.ctx, INSN_RIP, start.regs[INSN_RIP] + snip.len);
	insn_resolve(&twin.ctx, &op, SP_M);
	*seg = op.seg;
	return op.ea;
}

static bool has_memory(void)
{
	return snip.modrm && insn_mod(&snip.d) != 3;
}

/* Turn the operand's base register or displacement so that it hits @target. */
static bool aim(u64 target)
{
	unsigned int seg, as = snip.d.addr_size;
	u64 ea, want, *reg, mask = insn_mask(as);
	u32 disp;

	if (!has_memory())
		return true;
	ea = operand_offset(&seg);
	want = (target - seg_base(seg)) & mask;
	reg = addressed_reg();
	if (reg) {
		*reg = (*reg & ~mask) | ((*reg + want - ea) & mask);
	} else {
		disp = snip.d.disp + want - ea;
		memcpy(snip.bytes + snip.disp, &disp, as == 2 ? 2 : 4);
		insn_decode_bytes(&snip.d, mode, snip.bytes, sizeof(snip.bytes));
	}
	return operand_offset(&seg) == want;
}

static bool is_absolute(void)
{
	const struct insn_desc *desc = snip.d.desc;

	return (desc->dst >= SP_OB && desc->dst <= SP_OV) ||
		(desc->src >= SP_OB && desc->src <= SP_OV);
}

static void aim_absolute(u64 target)
{
	u64 ea = target - seg_base(snip.d.seg < INSN_NR_SEGS ? snip.d.seg : INSN_DS);

	memcpy(snip.bytes + snip.imm, &ea, snip.d.addr_size);
	insn_decode_bytes(&snip.d, mode, snip.bytes, sizeof(snip.bytes));
}

/* Long branches go near; to 0x40000000 and more, where nothing is; or to 64 KiB. */
static void aim_branch(void)
{
	u32 rel = rnd() % 512 - 256;

	if (rnd() % 8 == 0)
		rel = 0x20000000 + rnd() % 0x40000000;
	memcpy(snip.bytes + snip.imm, &rel, 4);
	insn_decode_bytes(&snip.d, mode, snip.bytes, sizeof(snip.bytes));
}

static void set_string(void)
{
	u64 *r = start.regs, mask = insn_mask(snip.d.addr_size), n = rnd();
	unsigned int seg = snip.d.seg < INSN_NR_SEGS ? snip.d.seg : INSN_DS;

	r[INSN_RSI] = reg_for(random_target(), seg);
	r[INSN_RDI] = reg_for(random_target(), INSN_ES);
	/* What the address size cuts off may be anything. */
	if (snip.d.addr_size == 4 && mode == INSN_LONG) {
		r[INSN_RSI] = (u32)r[INSN_RSI] | n << 32;
		r[INSN_RDI] = (u32)r[INSN_RDI] | n << 32;
	}
	n = n % 64 ? n >> 8 & 7 : (n >> 8) % MANY_REPEATS;
	r[INSN_RCX] = (r[INSN_RCX] & ~mask) | n;
}

static void set_cpuid(void)
{
	static const u32 first[4] = { 0, 0, 0x80000000, 0x40000000 };
	u64 r = rnd();

	start.regs[INSN_RAX] = first[r & 3] + (r >> 8) % ((r & 2) ? 12 : 32);
	start.regs[INSN_RCX] = r >> 32 & 3;
}

/* Digits where decimal adjustments change their mind. */
static void set_digits(void)
{
	static const u8 digits[8] = { 0, 5, 6, 8, 9, 10, 11, 15 };
	u64 r = rnd();

	start.regs[INSN_RAX] = (start.regs[INSN_RAX] & ~0xffull) | digits[r & 7] << 4 |
		digits[r >> 3 & 7];
}

static void set_counts_and_pointers(void)
{
	u64 *r = start.regs, mask = insn_mask(snip.d.addr_size);

	if (snip.d.desc->flags & D_STRING)
		set_string();
	if (IS(loop) || IS(jcxz))
		r[INSN_RCX] = (r[INSN_RCX] & ~mask) | rnd() % 3;
	if (IS(xlat))
		r[INSN_RBX] = reg_for(random_target(), snip.d.seg < INSN_NR_SEGS ? snip.d.seg :
				      INSN_DS) - rnd() % 256;
	if (IS(leave))
		r[INSN_RBP] = reg_for(random_target(), INSN_SS);
	if (snip.d.desc->flags & D_BITOFF && rnd() % 4)
		r[insn_reg(&snip.d)] = rnd() % 8000 - 4000;
	if ((IS(div) || IS(idiv)) && rnd() % 2)
		r[INSN_RDX] = rnd() % 2 ? rnd() % 100 : (u64)((s64)r[INSN_RAX] >> 63);
	if (IS(cpuid))
		set_cpuid();
	if (IS(daa) || IS(das) || IS(aaa) || IS(aas))
		set_digits();
	/* XGETBV 1 tells what is in use: another matter. */
	if (IS(xgetbv))
		r[INSN_RCX] = rnd() << 32 | (rnd() % 2 ? 0 : 2 + rnd() % 100);
	if ((IS(jmp_abs) || IS(call_abs)) && insn_mod(&snip.d) == 3)
		r[insn_rm(&snip.d)] = code_target();
	if (IS(mov_to_seg) && insn_mod(&snip.d) == 3)
		r[insn_rm(&snip.d)] = (r[insn_rm(&snip.d)] & ~0xffffull) | random_selector();
}

static void set_memory_operand(u64 target)
{
	u64 *r = start.regs, half = snip.d.rex & 8 ? 8 : 4;

	poke(target, random_value(), 8);
	if (IS(jmp_abs) || IS(call_abs))
		poke(target, code_target(), 8);
	if (IS(cmpxchg) && rnd() % 2)
		poke(target, r[INSN_RAX], 8);
	if (IS(cmpxchg8b) && rnd() % 2) {
		poke(target, r[INSN_RAX], half);
		poke(target + half, r[INSN_RDX], half);
	}
	if (IS(mov_to_seg))
		poke(target, random_selector(), 2);
	if (IS(lseg))
		poke(target + snip.d.op_size, random_selector(), 2);
}

/* Values in memory and registers that make something interesting happen. */
static void set_values(u64 target)
{
	u64 *r = start.regs;

	if (has_memory())
		set_memory_operand(target);
	else if (IS(cmpxchg) && rnd() % 2)
		r[INSN_RAX] = r[insn_rm(&snip.d)];
	if (IS(ret))
		poke(stack_top, code_target(), 8);
	if (IS(popf))
		poke(stack_top, random_value(), 8);
	if (IS(pop_seg))
		poke(stack_top, random_selector(), 2);
}

static void load_selector(unsigned int seg, u16 selector)
{
	struct insn_segment *s = &start.segs[seg];

	if (selector < 4)
		*s = (struct insn_segment){ .selector = selector, .unusable = 1 };
	else
		insn_unpack_descriptor(twin_descriptor(selector), selector, s);
}

static u16 random_data_selector(void)
{
	static const u8 data[7] = {
		L_READ_ONLY, L_DOWN32, L_DOWN16, L_CODE_READ, L_FLAT, L_FLAT16, L_DATA16,
	};
	u64 r = rnd();

	if (r % 8 < 5)
		return LDT_SELECTOR(mode == INSN_PROT32 ? L_DATA32 : L_DATA16);
	r >>= 8;
	return r % 8 == 7 ? 0 : LDT_SELECTOR(data[r % 8]);
}

static u16 random_stack_selector(void)
{
	static const u8 stack[8] = {
		L_DATA32, L_DATA16, L_DATA32, L_DATA16, L_DOWN32, L_DOWN16, L_FLAT, L_FLAT16,
	};

	return LDT_SELECTOR(stack[rnd() % 8]);
}

static u64 random_base(void)
{
	u64 r = rnd();

	switch (r & 7) {
	case 0:
		return 0;
	case 1:
		return (s64)r >> (64 - va_bits + 1);
	default:
		return DATA - (r >> 8) % PAGE;
	}
}

static void make_segments(void)
{
	unsigned int i;

	if (mode == INSN_LONG) {
		start.segs[INSN_FS].base = random_base();
		start.segs[INSN_GS].base = random_base();
		if (!native.fsgsbase) {
			start.segs[INSN_FS].base = native.host_fs;
			start.segs[INSN_GS].base = 0;
		}
		return;
	}
	for (i = INSN_FS; i <= INSN_GS; i++)
		load_selector(i, segmented ? random_data_selector() : rnd() % 2 * USER_DS);
	if (!segmented)
		return;
	load_selector(INSN_ES, random_data_selector());
	load_selector(INSN_DS, random_data_selector());
	load_selector(INSN_SS, random_stack_selector());
}

static u64 random_flags(void)
{
	u64 r = rnd(), fl = 0x202 | (r & FL_ARITH);

	fl |= r >> 32 & 3 ? 0 : FL_DF;
	fl |= r >> 34 & 15 ? 0 : FL_NT;
	fl |= r >> 38 & 3 ? 0 : FL_ID;
	fl |= r >> 40 & 31 ? 0 : FL_AC;
	/* By IRET, which a 16-bit stack would cost half of RSP. */
	if (start.segs[INSN_SS].db || mode == INSN_LONG)
		fl |= r >> 45 & 63 ? 0 : FL_TF;
	return fl;
}

/* In the middle of the code, or so that it ends, or breaks off, with the last page. */
static u64 random_rip(void)
{
	u64 r = rnd(), linear = CODE + 0x400 + r % 0x800;

	/* What is undefined need not be there as a whole to be known as such. */
	if (!(r >> 32 & 63) && snip.d.enc != INSN_EVEX && !IS(ud))
		linear = CODE + CODE_SIZE - 1 - (r >> 40) % (snip.len + 1);
	return linear - seg_base(INSN_CS);
}

static void make_stack(void)
{
	u64 r = rnd(), top = random_target();

	if (r & 7)
		top &= ~7ull;
	start.regs[INSN_RSP] = reg_for(top, INSN_SS);
	stack_top = top;
}

static void make_vectors(void)
{
	native.flags &= ~(NATIVE_VEC | NATIVE_MMX);
	if (IS(vload) || IS(vstore) || IS(vload_gpr) || IS(vstore_gpr)) {
		native.flags |= NATIVE_VEC;
		if ((snip.d.desc->aux & VM_SIZE) == VM_MMX)
			native.flags |= NATIVE_MMX;
	} else if (!(rnd() & 63)) {
		native.flags |= NATIVE_VEC;
	}
	if (!native_avx)
		native.flags &= ~NATIVE_VEC;
	if (native.flags & NATIVE_VEC)
		rnd_fill(start.vec, sizeof(start.vec));
	if (native.flags & NATIVE_MMX)
		rnd_fill(start.mmx, sizeof(start.mmx));
}

static bool make_state(void)
{
	unsigned int i;
	u64 target;

	make_segments();
	target = random_target();
	for (i = 0; i < 16; i++)
		start.regs[i] = random_value();
	start.regs[INSN_RFLAGS] = random_flags();
	start.regs[INSN_RIP] = random_rip();
	make_stack();
	if (split_locks_cost && (snip.d.lock || snip.d.desc->flags & D_XLOCK))
		target &= ~15ull;
	set_counts_and_pointers();
	if (!aim(target))
		return false;
	if (is_absolute())
		aim_absolute(target);
	if (!snip.modrm && (snip.d.desc->flags & D_IMM) == IMM_REL)
		aim_branch();
	set_values(target);
	make_vectors();
	return true;
}

/* -------- running it -------- */

static u64 linear_rip(u64 rip)
{
	return mode == INSN_LONG ? rip : (u32)(rip + seg_base(INSN_CS));
}

/* As much of the instruction as lies in the code pages. */
static void write_code(const u8 *bytes)
{
	u64 at = linear_rip(start.regs[INSN_RIP]);

	memcpy((void *)at, bytes, min((u64)snip.len, CODE + CODE_SIZE - at));
}

static bool exit_overlaps(u64 to)
{
	u64 from = linear_rip(start.regs[INSN_RIP]);

	return to + EXIT_ROOM > from && to < from + snip.len;
}

/* A way out where it is expected to go on, if it is not to be a signal. */
static u8 *write_exit(int r)
{
	u64 to = linear_rip(twin.s.regs[INSN_RIP]);

	if (r != INSN_OK || to - CODE > CODE_SIZE - EXIT_ROOM || exit_overlaps(to))
		return NULL;
	if ((start.regs[INSN_RFLAGS] | twin.s.regs[INSN_RFLAGS]) & FL_TF)
		return NULL;
	native_put_exit((u8 *)to, mode == INSN_LONG ? 8 : mode == INSN_PROT32 ? 4 : 2);
	return (u8 *)to;
}

static void prepare_native(void)
{
	unsigned int i;

	memcpy(native.in, start.regs, sizeof(native.in));
	native.far_offset = start.regs[INSN_RIP];
	native.far_selector = start.segs[INSN_CS].selector;
	for (i = INSN_ES; i <= INSN_GS; i++)
		native.sel[i] = start.segs[i].selector;
	native.fs_base = start.segs[INSN_FS].base;
	native.gs_base = start.segs[INSN_GS].base;
	native.flags &= NATIVE_VEC | NATIVE_MMX;
	if (start.regs[INSN_RFLAGS] & FL_TF)
		native.flags |= NATIVE_TRAP;
	if (mode != INSN_LONG)
		native.flags |= NATIVE_COMPAT | NATIVE_SEGS;
	else if (native.fsgsbase)
		native.flags |= NATIVE_BASES;
	if (native.flags & NATIVE_VEC)
		memcpy(native.vec, start.vec, sizeof(native.vec));
	if (native.flags & NATIVE_MMX)
		memcpy(native.mmx, start.mmx, sizeof(native.mmx));
}

static void run_native(int r)
{
	u8 *out = write_exit(r);

	prepare_native();
	native_run();
	if (native.vector == NATIVE_DONE)
		native.out[INSN_RIP] = twin.s.regs[INSN_RIP];
	if (out)
		memset(out, 0xcc, EXIT_ROOM);
}

/* -------- comparing -------- */

static void print_bytes(void)
{
	int i;

	printf("# mode %u:", mode);
	for (i = 0; i < snip.len; i++)
		printf(" %02x", snip.bytes[i]);
	printf("  INSN_BLOCK=%lu, case %lu\n", (unsigned long)block, (unsigned long)case_in_block);
}

static void describe(void)
{
	static const char * const names[] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
		"r12", "r13", "r14", "r15", "rip", "flags",
	};
	const struct insn_fault *f = &twin.ctx.fault;
	const struct insn_segment *s;
	unsigned int i;

	print_bytes();
	for (i = 0; i < INSN_NR_REGS; i++)
		printf("# %-5s %016lx native %016lx emulated %016lx%s\n", names[i],
		       (unsigned long)start.regs[i], (unsigned long)native.out[i],
		       (unsigned long)twin.s.regs[i],
		       native.out[i] == twin.s.regs[i] ? "" : " <-");
	for (i = INSN_ES; i <= INSN_GS; i++) {
		s = &start.segs[i];
		printf("# %.2s %04x base %lx limit %x type %x", &"escsssdsfsgs"[2 * i], s->selector,
		       (unsigned long)s->base, s->limit, s->type);
		printf(" native %04x emulated %04x\n", native.out_sel[i], twin.s.segs[i].selector);
	}
	printf("# native fs %lx gs %lx vector %u error %x cr2 %lx\n",
	       (unsigned long)native.out_fs_base, (unsigned long)native.out_gs_base,
	       native.vector, native.error_code, (unsigned long)native.cr2);
	printf("# emulated vector %u error %x cr2 %lx\n", f->vector, f->error_code,
	       (unsigned long)f->address);
}

#define EXPECT(cond, ...)							\
	do {									\
		if (!(cond)) {							\
			describe();						\
			FAIL(__VA_ARGS__);					\
		}								\
	} while (0)

static void compare_registers(u64 undefined)
{
	const u64 flags = FL_ARITH | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_AC | FL_ID;
	u64 mask = mode == INSN_LONG ? ~0ull : 0xffffffff, lost = undefined_string_bits(&twin.ctx);
	unsigned int i, n = mode == INSN_LONG ? 16 : 8;

	for (i = 0; i < n; i++) {
		u64 open = i == INSN_RCX || i == INSN_RSI || i == INSN_RDI ? lost : 0;

		EXPECT(!((native.out[i] ^ twin.s.regs[i]) & mask & ~open), "register %u differs", i);
	}
	EXPECT(native.out[INSN_RIP] == twin.s.regs[INSN_RIP], "RIP differs");
	EXPECT(!((native.out[INSN_RFLAGS] ^ twin.s.regs[INSN_RFLAGS]) & ~undefined & flags),
	       "flags differ");
	if (native.flags & NATIVE_VEC)
		EXPECT(!memcmp(native.out_vec, twin.s.vec, sizeof(twin.s.vec)),
		       "vector registers differ");
	if (native.flags & NATIVE_MMX)
		EXPECT(!memcmp(native.out_mmx, twin.s.mmx, sizeof(twin.s.mmx)),
		       "MMX registers differ");
}

/* A null selector leaves the old base on AMD before Zen 2. */
static bool same_base(unsigned int seg, u64 base)
{
	const struct insn_segment *s = &twin.s.segs[seg];

	if (IS(mov_to_seg) || IS(pop_seg) || IS(lseg))
		return base == s->base || (cpu_is_amd() && s->selector < 4 && !s->base &&
					   base == start.segs[seg].base);
	return base == s->base;
}

static void compare_segments(void)
{
	unsigned int i;
	u16 sel;

	for (i = INSN_ES; i <= INSN_GS; i++) {
		sel = twin.s.segs[i].selector;
		/* The kernel's IRET leaves no null selector but 0. */
		EXPECT(i == INSN_CS || native.out_sel[i] == sel ||
		       (sel < 4 && !native.out_sel[i]), "segment register %u differs", i);
	}
	if (!native.fsgsbase)
		return;
	EXPECT(same_base(INSN_FS, native.out_fs_base), "the base of FS differs");
	EXPECT(same_base(INSN_GS, native.out_gs_base), "the base of GS differs");
}

static void compare_memory(void)
{
	EXPECT(!memcmp(twin_data, (void *)DATA, DATA_RW), "memory differs");
}

static void compare_state(u64 undefined)
{
	compare_registers(undefined);
	compare_segments();
	compare_memory();
}

/* Half done by the one, not at all by the other: the same from here on. */
static void take_memory(void)
{
	memcpy(twin_data, (void *)DATA, DATA_RW);
}

/*
 * The instruction was done: it left, met an INT3, stepped, or what follows cannot
 * be fetched.
 */
static bool native_done(void)
{
	u64 rip = native.out[INSN_RIP];

	switch (native.vector) {
	case NATIVE_DONE:
	case 3:
		return true;
	case 1:
		return start.regs[INSN_RFLAGS] & FL_TF;
	case EXC_PF:
		return native.error_code & 16 && rip != start.regs[INSN_RIP];
	case EXC_GP:
		return rip == start.segs[INSN_CS].limit + 1ull && rip != start.regs[INSN_RIP];
	default:
		return false;
	}
}

static void compare_fault(void)
{
	const struct insn_fault *f = &twin.ctx.fault;

	EXPECT(!native_done(), "a fault only in emulation");
	if (undefined_fault(&twin.ctx, native.vector)) {
		take_memory();
		return;
	}
	EXPECT(native.vector == f->vector, "another fault");
	/* For all above user space the kernel says "present". */
	if (f->has_error)
		EXPECT(!((native.error_code ^ f->error_code) &
			 (f->address >= USER_END ? ~1u : ~0u)),
		       "another error code");
	if (f->vector == EXC_PF)
		EXPECT(native.cr2 == f->address, "another CR2");
	if (undefined_progress(&twin.ctx)) {
		take_memory();
		return;
	}
	if (undefined_push(&twin.ctx))
		take_memory();
	compare_state(undefined_midway_flags(&twin.ctx));
}

static void compare_step(void)
{
	bool trap = start.regs[INSN_RFLAGS] & FL_TF;

	EXPECT(twin.ctx.single_step == trap, "single step %d", twin.ctx.single_step);
	if (!trap)
		return;
	count.stepped++;
	/* MOV SS and POP SS put it off. */
	EXPECT(native.vector == 1 || twin.ctx.shadow == INSN_SHADOW_MOV_SS, "no single step");
}

/* Later than the emulator's, but not by much. */
static void compare_time(void)
{
	u64 nat = (u32)native.out[INSN_RAX] | native.out[INSN_RDX] << 32;
	u64 emu = (u32)twin.s.regs[INSN_RAX] | twin.s.regs[INSN_RDX] << 32;

	EXPECT(nat >= emu && nat - emu < 1ull << 40, "another time");
	EXPECT(!(native.out[INSN_RAX] >> 32 || native.out[INSN_RDX] >> 32), "upper halves");
	twin.s.regs[INSN_RAX] = native.out[INSN_RAX];
	twin.s.regs[INSN_RDX] = native.out[INSN_RDX];
}

static void compare_done(void)
{
	u64 undefined = undefined_flags(&twin.ctx);

	EXPECT(native_done(), "a fault only on the CPU");
	compare_step();
	if (IS(rdtsc) || IS(rdtscp))
		compare_time();
	if (twin.ctx.rep_pending)
		undefined |= undefined_midway_flags(&twin.ctx);
	compare_state(undefined);
}

static bool in_own_memory(u64 linear)
{
	unsigned int i;

	for (i = 0; i < nmapped; i++)
		if (linear >= mapped[i].from && linear < mapped[i].to)
			return true;
	return false;
}

/* Chance has led to memory of this process, or to what the test itself has changed. */
static bool leads_elsewhere(int r)
{
	if (twin.wild)
		return true;
	if (r == INSN_FAULT)
		return twin.ctx.fault.vector == EXC_PF && in_own_memory(twin.ctx.fault.address);
	return in_own_memory(linear_rip(twin.s.regs[INSN_RIP]));
}

/* A branch into its own middle would go on there. */
static bool into_itself(int r)
{
	u64 from = linear_rip(start.regs[INSN_RIP]), to = linear_rip(twin.s.regs[INSN_RIP]);

	return r == INSN_OK && to - from < (u64)snip.len && !twin.ctx.rep_pending;
}

static void add_reason(const char *why)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(reasons) - 1; i++)
		if (!reasons[i].why || reasons[i].why == why)
			break;
	reasons[i].why = why;
	reasons[i].n++;
}

static bool comparable(int r)
{
	const char *why;

	if (leads_elsewhere(r)) {
		count.elsewhere++;
		return false;
	}
	why = undefined_outcome(&twin.ctx, r == INSN_FAULT);
	if (why) {
		add_reason(why);
		count.undefined++;
		return false;
	}
	if (into_itself(r)) {
		count.overlapping++;
		return false;
	}
	return true;
}

/* Again, every access through user space: nothing else may come out. */
static int run_again(int r)
{
	static struct twin_write writes[TWIN_WRITES];
	struct twin_state after = twin.s;
	unsigned int n = twin.nwrites;
	int r2;

	if (IS(rdtsc) || IS(rdtscp) || !twin_undo())
		return r;
	memcpy(writes, twin.writes, n * sizeof(writes[0]));
	twin.s = start;
	twin.force_user = true;
	r2 = twin_run(!(start.regs[INSN_RFLAGS] & FL_TF));
	twin.force_user = false;
	EXPECT(!twin.broken, "with user space: %s", twin.broken);
	EXPECT(r2 == r, "with user space: result %d, not %d", r2, r);
	EXPECT(!memcmp(&after, &twin.s, sizeof(after)), "with user space: another state");
	EXPECT(twin_written_again(writes, n), "with user space: other writes");
	count.again++;
	return r2;
}

static bool may_be_unhandleable(void)
{
	return IS(jmp_far) || IS(jmp_far_mem) || IS(call_far) || IS(call_far_mem) || IS(retf) ||
		IS(iret) || (IS(movsxd) && mode != INSN_LONG) ||
		(IS(enter) && snip.d.imm2 & 31) ||
		((IS(vload) || IS(vstore)) && insn_mod(&snip.d) == 3);
}

static int emulate(void)
{
	int r;

	twin.s = start;
	r = twin_run(!(start.regs[INSN_RFLAGS] & FL_TF));
	EXPECT(!twin.broken, "%s", twin.broken);
	if (rnd() % 4 == 0 && !twin.wild)
		r = run_again(r);
	return r;
}

static void try_case(void)
{
	int r = emulate();

	if (twin.wild || r == INSN_UNHANDLEABLE) {
		EXPECT(twin.wild || may_be_unhandleable(), "unhandleable");
		EXPECT(!memcmp(&twin.s, &start, sizeof(start)), "unhandleable, but changed");
		count.unhandled++;
		form->unhandled++;
		return;
	}
	EXPECT(r == INSN_OK || r == INSN_FAULT, "result %d", r);
	if (!comparable(r)) {
		twin_undo();
		take_memory();
		return;
	}
	run_native(r);
	if (r == INSN_FAULT) {
		compare_fault();
		count.faulted++;
		form->faulted++;
	} else {
		compare_done();
		count.done++;
		form->done++;
	}
}

static void one_case(void)
{
	u8 int3[sizeof(snip.bytes)];

	do {
		form = &forms[rnd() % nforms];
	} while (form->excluded);
	while (!form_make(form, mode, &snip) || !make_state())
		;
	write_code(snip.bytes);
	try_case();
	memset(int3, 0xcc, sizeof(int3));
	write_code(int3);
}

static void fresh_memory(void)
{
	rnd_fill(twin_data, DATA_RW);
	take_memory();
	memcpy((void *)DATA, twin_data, DATA_RW);
}

/* -------- the whole -------- */

static void map_areas(void)
{
	MUST(mmap((void *)CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	memset((void *)CODE, 0xcc, CODE_SIZE);
	MUST(mmap((void *)DATA, DATA_SIZE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	rnd_fill((void *)DATA, DATA_SIZE);
	memcpy(twin_data, (void *)DATA, DATA_SIZE);
	MUST(mprotect((void *)(DATA + DATA_RW), DATA_SIZE - DATA_RW, PROT_READ));
}

/* With room for what grows. */
static void read_maps(void)
{
	const unsigned long room = 1 << 20;
	unsigned long from, to;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &from, &to) != 2 || from == CODE ||
		    (from >= DATA && from < DATA + DATA_SIZE) || nmapped == ARRAY_SIZE(mapped))
			continue;
		mapped[nmapped].from = from - room;
		mapped[nmapped++].to = to + room < to ? ~0ul : to + room;
	}
	if (f)
		fclose(f);
}

/* Its flags tell what the kernel uses; "address sizes", what the CPU could. */
static void read_cpuinfo(void)
{
	char line[4096];
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, " la57"))
			va_bits = 57;
		if (strstr(line, "split_lock_detect") || strstr(line, "bus_lock_detect"))
			split_locks_cost = true;
	}
	if (f)
		fclose(f);
}

/* Numbers of the CPU that CPUID and RDPID tell must stay the same. */
static void stay_here(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	MUST(sched_setaffinity(0, sizeof(set), &set));
}

/* A descriptor as the CPU tells of it; what it does not, user mode cannot load. */
static u64 read_descriptor(u16 selector, u32 base)
{
	u32 rights, limit;

	if (!native_lar(selector, &rights))
		return 0;
	limit = native_lsl(selector);
	if (rights & 1 << 23)
		limit >>= 12;
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(rights & 0xf0ff00) << 32 |
		(u64)(limit & 0xf0000) << 32 | (u64)(base & 0xff000000) << 32;
}

static bool make_tables(void)
{
	unsigned int i;

	for (i = 0; i < L_NR; i++)
		if (!native_set_ldt(i, &ldt[i]))
			return false;
	/* The table ends where the last entry does. */
	if (!native_set_ldt(ARRAY_SIZE(twin.ldt) - 1, &ldt[L_FLAT]))
		return false;
	for (i = 0; i < ARRAY_SIZE(twin.gdt); i++)
		twin.gdt[i] = read_descriptor(i << 3 | 3, 0);
	for (i = 0; i < ARRAY_SIZE(twin.ldt); i++)
		twin.ldt[i] = read_descriptor(LDT_SELECTOR(i), i < L_NR ? ldt[i].base : 0);
	return true;
}

static void first_segments(u16 cs)
{
	start = twin.s;
	load_selector(INSN_CS, cs);
	load_selector(INSN_SS, USER_DS);
	load_selector(INSN_DS, mode == INSN_LONG ? 0 : USER_DS);
	load_selector(INSN_ES, mode == INSN_LONG ? 0 : USER_DS);
	load_selector(INSN_FS, 0);
	load_selector(INSN_GS, 0);
}

static u64 number(const char *name, u64 dflt)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 0) : dflt;
}

static void run_block(u64 seed)
{
	rnd_seed(seed << 32 | block);
	fresh_memory();
	for (case_in_block = 0; case_in_block < BLOCK; case_in_block++) {
		rnd_seed((seed << 32 | block) + (case_in_block + 1) * 0xd1342543de82ef95ull);
		one_case();
	}
}

static void summary(void)
{
	unsigned int i, excluded = 0, handled = 0, missed = 0;
	const struct form *f;

	for (i = 0; i < nforms; i++) {
		f = &forms[i];
		if (f->excluded) {
			excluded++;
			add_reason(f->excluded);
		}
		handled += f->done || f->faulted;
		if (f->excluded || f->done || f->faulted || f->unhandled)
			continue;
		missed++;
		printf("# never tried: map %u opcode %02x encoding %u modrm %02x\n", f->map,
		       f->opcode, f->enc, f->modrm);
	}
	printf("# %u forms: %u compared, %u excluded\n", nforms, handled, excluded);
	printf("# %lu done, %lu faulted; %lu also through user space, %lu stepped\n", count.done,
	       count.faulted, count.again, count.stepped);
	printf("# %lu unhandleable, %lu undefined, %lu into themselves, %lu elsewhere\n",
	       count.unhandled, count.undefined, count.overlapping, count.elsewhere);
	for (i = 0; i < ARRAY_SIZE(reasons) && reasons[i].why; i++)
		printf("# not compared: %lu: %s\n", reasons[i].n, reasons[i].why);
	CHECK_EQ(missed, 0);
}

static void run(enum insn_cpu_mode m, bool segs, u16 cs, unsigned int test)
{
	u64 blocks = (number("INSN_CASES", 1000000) / TESTS + BLOCK - 1) / BLOCK;
	u64 seed = number("INSN_SEED", 0) * TESTS + test, done;

	mode = m;
	segmented = segs;
	stay_here();
	native_init();
	read_cpuinfo();
	twin_init(mode, va_bits);
	if (!make_tables())
		SKIP("no modify_ldt");
	map_areas();
	read_maps();
	forms_find(mode);
	first_segments(cs);
	if (getenv("INSN_BLOCK")) {
		block = number("INSN_BLOCK", 0);
		run_block(seed);
		return;
	}
	for (block = 0; block < blocks; block++)
		run_block(seed);
	summary();
	done = count.done + count.faulted;
	CHECK(done > blocks * BLOCK / 10 * 8);
}

static void long_mode(void)
{
	run(INSN_LONG, false, USER_CS64, 0);
}

/* With the kernel's flat segments. */
static void protected_32(void)
{
	run(INSN_PROT32, false, USER_CS32, 1);
}

/* With bases and limits, and all kinds of segments. */
static void segmented_32(void)
{
	run(INSN_PROT32, true, LDT_SELECTOR(L_CODE32), 2);
}

static void segmented_16(void)
{
	run(INSN_PROT16, true, LDT_SELECTOR(L_CODE16), 3);
}

/* Of the whole hour that 100 million cases may take. */
static const struct test tests[TESTS] = {
	{ "insn-native-64", long_mode, 3600 },
	{ "insn-native-32", protected_32, 3600 },
	{ "insn-native-segments-32", segmented_32, 3600 },
	{ "insn-native-segments-16", segmented_16, 3600 },
};

TEST_MAIN(tests)
