// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random instructions with random operands, run by the emulator and by this
 * CPU: registers, flags, memory, vector registers and faults must be equal.
 * Each is run by the emulator once more with every access served by "user space".
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <asm/prctl.h>

#include "ktap.h"

#include "exec.h"
#include "native.h"
#include "sim.h"

#define CODE		0x20000000ul
#define CODE_PAGES	2
#define DATA		0x20100000ul
#define DATA_PAGES	5		/* the last is read-only, behind it is nothing */
#define DATA_RW		(DATA_PAGES - 1)

struct env {
	enum insn_cpu_mode mode;
	u64 code_base, data_base;
	u32 code_limit, data_limit;
	u16 cs, ds;
};

/* One random instruction; where its variable parts are. */
struct snippet {
	u8 bytes[32];
	unsigned int modrm, disp, moffs;	/* positions; 0: there is none */
	struct insn_decoded d;
	int len;
};

static struct env env;
static struct sim sim, second;
static struct sim_state start;
static struct native nat;
static struct snippet snip;
static u64 fs_base;
static u8 va_bits = 48;
static unsigned long done_ok, done_fault, unhandled;

static bool is(int (*exec)(struct insn_ctx *))
{
	return snip.d.desc->exec == exec;
}

#define IS(name) is(insn_exec_##name)

/* What cannot be tried here: it would change or tell the host's own state. */
static bool excluded(const struct insn_desc *desc)
{
#define NOT(name) if (desc->exec == insn_exec_##name) return true
	NOT(cpuid); NOT(rdtsc); NOT(rdtscp); NOT(rdpid); NOT(xgetbv); NOT(hypercall); NOT(monitor); NOT(mwait);
	NOT(sgdt); NOT(sidt); NOT(sldt); NOT(str); NOT(smsw); NOT(mov_to_seg); NOT(pop_seg);
	NOT(lseg); NOT(jmp_far); NOT(jmp_far_mem); NOT(call_far); NOT(call_far_mem); NOT(retf);
	NOT(iret); NOT(mov_from_seg); NOT(push_seg); NOT(clflush); NOT(salc); NOT(lgdt); NOT(lidt);
#undef NOT
	if ((desc->exec == insn_exec_vload || desc->exec == insn_exec_vstore ||
	     desc->exec == insn_exec_vload_gpr || desc->exec == insn_exec_vstore_gpr) &&
	    (!native_avx || (desc->aux & VM_SIZE) == VM_MMX))
		return true;
	return !desc->exec;
}

static u8 *put_prefixes(u8 *p)
{
	static const u8 seg[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

	if (rnd() % 4 == 0)
		*p++ = 0x66;
	if (rnd() % 6 == 0)
		*p++ = 0x67;
	if (rnd() % 8 == 0)
		*p++ = seg[rnd() % 6];
	if (rnd() % 6 == 0)
		*p++ = 0xf2 + rnd() % 2;
	if (rnd() % 12 == 0)
		*p++ = 0xf0;
	return p;
}

static u8 *put_legacy(u8 *p)
{
	p = put_prefixes(p);
	if (env.mode == INSN_LONG && rnd() % 2)
		*p++ = 0x40 | rnd() % 16;
	switch (rnd() % 32) {
	case 0:
		*p++ = 0x0f;
		*p++ = 0x38 + rnd() % 2 * 2;
		*p++ = 0xf0 | rnd() % 8;
		break;
	case 1 ... 16:
		*p++ = 0x0f;
		fallthrough;
	default:
		*p++ = rnd();
		break;
	}
	return p;
}

static u8 *put_vex(u8 *p)
{
	static const u8 mov[] = {
		0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x28, 0x29, 0x2b, 0x6e, 0x6f, 0x7e, 0x7f,
		0xd6, 0xe7, 0xf0,
	};
	u8 map = 1 + rnd() % 3;

	*p++ = 0xc4;
	*p++ = (env.mode == INSN_LONG ? rnd() & 0xe0 : 0xe0) | map;
	*p = rnd();
	if (map == 1 && rnd() % 4)
		*p |= 0x78;
	p++;
	*p++ = map == 1 ? mov[rnd() % sizeof(mov)] : 0xf0 | rnd() % 8;
	return p;
}

/* Random bytes around an opcode of the tables that has a handler. */
static void make_snippet(void)
{
	for (;;) {
		u8 *p = snip.bytes;

		memset(&snip, 0, sizeof(snip));
		rnd_fill(snip.bytes, sizeof(snip.bytes));
		p = rnd() % 12 ? put_legacy(p) : put_vex(p);
		snip.len = insn_decode_bytes(&snip.d, env.mode, snip.bytes, sizeof(snip.bytes));
		/* A prefix at the opcode's place would shift everything. */
		if (snip.len <= 0 || excluded(snip.d.desc) || snip.d.opcode != p[-1] ||
		    (snip.d.has_modrm && snip.d.modrm != *p && !(snip.d.desc->flags & D_MOD3)))
			continue;
		if (snip.d.has_modrm && insn_mod(&snip.d) == 3 && rnd() % 2)
			continue;
		if (snip.d.has_modrm) {
			snip.modrm = p - snip.bytes;
			snip.disp = snip.modrm + 1 + snip.d.has_sib;
		}
		if (snip.d.desc->dst >= SP_OB && snip.d.desc->dst <= SP_OV)
			snip.moffs = p - snip.bytes;
		if (snip.d.desc->src >= SP_OB && snip.d.desc->src <= SP_OV)
			snip.moffs = p - snip.bytes;
		return;
	}
}

static u64 seg_base(unsigned int seg)
{
	return env.mode != INSN_LONG || seg >= INSN_FS ? start.segs[seg].base : 0;
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

/* The linear address of the memory operand, by the emulator's arithmetic. */
static u64 operand_address(unsigned int *seg)
{
	struct insn_operand op;

	sim.s = start;
	sim.ctx.resumed = false;
	insn_begin(&sim.ctx);
	sim.ctx.insn = snip.d;
	insn_set(&sim.ctx, INSN_RIP, start.regs[INSN_RIP] + snip.len);
	insn_resolve(&sim.ctx, &op, SP_M);
	*seg = op.seg;
	return op.ea;
}

/* Turn the operand's base register or displacement so that it hits @target. */
static bool aim(u64 target)
{
	unsigned int seg, as = snip.d.addr_size;
	u64 ea, want, *reg, mask = insn_mask(as);
	u32 disp;

	if (!snip.modrm || insn_mod(&snip.d) == 3)
		return true;
	ea = operand_address(&seg);
	want = (target - seg_base(seg)) & mask;
	reg = addressed_reg();
	if (reg) {
		*reg = (*reg & ~mask) | ((*reg + want - ea) & mask);
	} else {
		disp = snip.d.disp + want - ea;
		memcpy(snip.bytes + snip.disp, &disp, as == 2 ? 2 : 4);
		insn_decode_bytes(&snip.d, env.mode, snip.bytes, sizeof(snip.bytes));
	}
	return operand_address(&seg) == want;
}

/* Somewhere in the data, now and then over an edge. */
static u64 random_target(void)
{
	unsigned int where = rnd() % 16;
	u64 off = SIM_PAGE + rnd() % (SIM_PAGE * (DATA_RW - 2));

	if (where == 0)
		off = SIM_PAGE * DATA_RW - rnd() % 40;		/* into the read-only page */
	else if (where == 1)
		off = SIM_PAGE * DATA_PAGES - rnd() % 40;	/* into nothing */
	else if (where == 2)
		off = SIM_PAGE * 2 - rnd() % 40;
	else if (where == 3)
		off = SIM_PAGE * DATA_RW + rnd() % 64;
	else if (where < 10)
		off &= ~63ull;
	return DATA + off;
}

static u64 reg_for(u64 linear, unsigned int seg)
{
	u64 val = linear - seg_base(seg);

	return env.mode == INSN_LONG ? val : (rnd() << 32 | (u32)val);
}

static u64 random_value(void)
{
	switch (rnd() % 4) {
	case 0:
		return rnd() % 64;
	case 1:
		return -(rnd() % 64);
	case 2:
		return (1ull << (rnd() % 64)) - rnd() % 2;
	default:
		return rnd();
	}
}

static void poke(u64 linear, u64 val, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < start.npages; i++) {
		u64 off = linear - start.page[i].linear;

		if (off < SIM_PAGE && off + len <= SIM_PAGE)
			memcpy(start.page[i].data + off, &val, len);
	}
}

static u64 code_target(void)
{
	return start.regs[INSN_RIP] + rnd() % 256;
}

static void set_counts_and_pointers(void)
{
	u64 *r = start.regs, mask = insn_mask(snip.d.addr_size);

	if (snip.d.desc->flags & D_STRING) {
		r[INSN_RSI] = reg_for(random_target(), INSN_DS);
		r[INSN_RDI] = reg_for(random_target(), INSN_ES);
		r[INSN_RCX] = (r[INSN_RCX] & ~mask) | rnd() % 6;
		if (snip.d.seg == INSN_FS && env.mode == INSN_LONG)
			r[INSN_RSI] = reg_for(random_target(), INSN_FS);
		/* Small addresses hold nothing here. */
		if (snip.d.addr_size < 8 && env.mode == INSN_LONG) {
			r[INSN_RSI] = (u32)r[INSN_RSI] | rnd() << 32;
			r[INSN_RDI] = (u32)r[INSN_RDI] | rnd() << 32;
		}
	}
	if (IS(loop) || IS(jcxz))
		r[INSN_RCX] = (r[INSN_RCX] & ~mask) | rnd() % 3;
	if (IS(xlat))
		r[INSN_RBX] = reg_for(DATA + SIM_PAGE + rnd() % 4096, INSN_DS);
	if (IS(leave))
		r[INSN_RBP] = reg_for(random_target(), INSN_SS);
	if (snip.d.desc->flags & D_BITOFF)
		r[insn_reg(&snip.d)] = (rnd() % 8000) - 4000;
	if (IS(div) || IS(idiv))
		r[INSN_RDX] = rnd() % 2 ? rnd() % 100 : r[INSN_RDX];
}

/* Values in memory and registers that make something interesting happen. */
static void set_values(u64 target)
{
	u64 *r = start.regs, sp, val;
	bool mem = snip.modrm && insn_mod(&snip.d) != 3;

	sp = seg_base(INSN_SS) + (r[INSN_RSP] & (env.mode == INSN_LONG ? ~0ull :
						 env.mode == INSN_PROT32 ? 0xffffffff : 0xffff));
	if (IS(ret))
		poke(sp, code_target(), 8);
	if (IS(popf))
		poke(sp, rnd() & 0x3ed5, 8);
	if ((IS(jmp_abs) || IS(call_abs)) && mem)
		poke(target, code_target(), 8);
	if (IS(cmpxchg) && rnd() % 2) {
		if (mem)
			poke(target, r[INSN_RAX], 8);
		else
			r[INSN_RAX] = r[insn_rm(&snip.d)];
	}
	if (IS(cmpxchg8b) && rnd() % 2) {
		val = snip.d.rex & 8 ? 8 : 4;
		poke(target, r[INSN_RAX], val);
		poke(target + val, r[INSN_RDX], val);
	}
}

/* RIP-relative jumps to register values: into the code, if they can. */
static void set_jump_register(void)
{
	if ((IS(jmp_abs) || IS(call_abs)) && insn_mod(&snip.d) == 3)
		start.regs[insn_rm(&snip.d)] = code_target();
}

static void make_pages(void)
{
	unsigned int i;

	sim_init(&sim, env.mode);
	for (i = 0; i < CODE_PAGES; i++)
		memset(sim_add_page(&sim, CODE + i * SIM_PAGE, SIM_RW), 0xcc, SIM_PAGE);
	for (i = 0; i < DATA_PAGES; i++)
		rnd_fill(sim_add_page(&sim, DATA + i * SIM_PAGE, i < DATA_RW ? SIM_RW : SIM_RO),
			 SIM_PAGE);
	start = sim.s;
}

static void make_segments(void)
{
	unsigned int i;

	for (i = INSN_ES; i <= INSN_GS; i++) {
		struct insn_segment *s = &start.segs[i];

		s->selector = i == INSN_CS ? env.cs : env.ds;
		s->base = i == INSN_CS ? env.code_base : env.data_base;
		s->limit = i == INSN_CS ? env.code_limit : env.data_limit;
		s->db = env.mode == INSN_PROT32;
		s->unusable = i >= INSN_FS;
	}
	start.segs[INSN_FS].base = fs_base;
	start.segs[INSN_GS].base = 0;
}

static bool make_state(void)
{
	unsigned int i;
	u64 target = random_target();

	for (i = 0; i < 16; i++)
		start.regs[i] = random_value();
	for (i = 0; i < 16; i++)
		rnd_fill(start.vec[i], 32);
	start.regs[INSN_RFLAGS] = 0x202 | (rnd() & 0x8d5) | (rnd() % 4 ? 0 : FL_DF);
	start.regs[INSN_RSP] = reg_for(random_target() & ~7ull, INSN_SS);
	start.regs[INSN_RIP] = CODE + 0x400 + rnd() % 0x800 - env.code_base;
	set_counts_and_pointers();
	if (!aim(target))
		return false;
	set_jump_register();
	if (snip.moffs) {
		u64 ea = target - seg_base(snip.d.seg < INSN_NR_SEGS ? snip.d.seg : INSN_DS);

		memcpy(snip.bytes + snip.moffs, &ea, snip.d.addr_size);
		insn_decode_bytes(&snip.d, env.mode, snip.bytes, sizeof(snip.bytes));
	}
	set_values(target);
	for (i = 0; i < (unsigned int)snip.len; i++)
		poke(env.code_base + start.regs[INSN_RIP] + i, snip.bytes[i], 1);
	return true;
}

/* Flags that the manuals leave undefined after this instruction. */
static u64 undefined_flags(void)
{
	const u64 sf = FL_SF, zf = FL_ZF, af = FL_AF, pf = FL_PF, of = FL_OF, cf = FL_CF;
	unsigned int count = sim.ctx.src.val & (sim.ctx.dst.size == 8 ? 63 : 31);

	if (IS(and) || IS(or) || IS(xor) || IS(test))
		return af;
	if (IS(mul) || IS(imul) || IS(imul2))
		return sf | zf | af | pf;
	if (IS(div) || IS(idiv))
		return FL_ARITH;
	if (IS(shift) && snip.d.modrm & 0x20)
		return af | (count == 1 ? 0 : of) | (count >= sim.ctx.dst.size * 8u ? cf : 0);
	if (IS(shift))
		return count == 1 ? 0 : of;
	if (IS(shld) || IS(shrd))
		return af | of;
	if (IS(bt) || IS(bts) || IS(btr) || IS(btc))
		return of | sf | af | pf;
	if (IS(bsf) || IS(bsr))
		return FL_ARITH & ~zf;
	if (IS(tzcnt) || IS(lzcnt))
		return of | sf | pf | af;
	if (IS(daa) || IS(das))
		return of;
	if (IS(aaa) || IS(aas))
		return of | sf | zf | pf;
	if (IS(aam) || IS(aad))
		return of | af | cf;
	if (IS(andn) || IS(bls) || IS(bzhi))
		return af | pf;
	if (IS(bextr))
		return af | pf | sf;
	return 0;
}

/* Results that are undefined as a whole. */
static bool undefined_result(void)
{
	if (IS(shld) || IS(shrd))
		return (sim.ctx.src2.val & (sim.ctx.dst.size == 8 ? 63 : 31)) > sim.ctx.dst.size * 8u;
	if (IS(bswap))
		return snip.d.op_size == 2;
	/* The branch goes into its own middle. */
	if (sim.s.regs[INSN_RIP] - start.regs[INSN_RIP] < (u64)snip.len)
		return true;
	/* On AMD the prefix overrules the opcode. */
	if (IS(loop) && snip.d.rep)
		return true;
	return (IS(bsf) || IS(bsr)) && !sim.ctx.src.val;
}

static void describe(void)
{
	unsigned int i;

	printf("# mode %u:", env.mode);
	for (i = 0; i < (unsigned int)snip.len; i++)
		printf(" %02x", snip.bytes[i]);
	printf("\n");
	for (i = 0; i < INSN_NR_REGS; i++)
		printf("# r%-2u start %016lx native %016lx emulated %016lx\n", i,
		       (unsigned long)start.regs[i], (unsigned long)nat.regs[i],
		       (unsigned long)sim.s.regs[i]);
	printf("# native vector %u error %x cr2 %lx\n", nat.vector, nat.error_code,
	       (unsigned long)nat.cr2);
	printf("# emulated vector %u error %x cr2 %lx\n", sim.ctx.fault.vector,
	       sim.ctx.fault.error_code, (unsigned long)sim.ctx.fault.address);
}

#define EXPECT(cond, ...)							\
	do {									\
		if (!(cond)) {							\
			describe();						\
			FAIL(__VA_ARGS__);					\
		}								\
	} while (0)

static void run_native(void)
{
	unsigned int i;

	mprotect((void *)DATA, DATA_PAGES * SIM_PAGE, PROT_READ | PROT_WRITE);
	for (i = 0; i < start.npages; i++)
		memcpy((void *)start.page[i].linear, start.page[i].data, SIM_PAGE);
	mprotect((void *)(DATA + DATA_RW * SIM_PAGE), SIM_PAGE, PROT_READ);
	memcpy(nat.regs, start.regs, sizeof(nat.regs));
	for (i = 0; i < 16; i++)
		memcpy(nat.vec[i], start.vec[i], 32);
	nat.cs = env.mode == INSN_LONG ? 0 : env.cs;
	nat.ds = nat.ss = env.ds;
	native_run(&nat);
}

static void compare_memory(void)
{
	unsigned int i;

	for (i = 0; i < start.npages; i++)
		EXPECT(!memcmp((void *)start.page[i].linear, sim.s.page[i].data, SIM_PAGE),
		       "memory differs in page %u", i);
}

static void compare_registers(u64 undefined)
{
	u64 mask = env.mode == INSN_LONG ? ~0ull : 0xffffffff;
	unsigned int i, n = env.mode == INSN_LONG ? 16 : 8;

	for (i = 0; i < n; i++)
		EXPECT(!((nat.regs[i] ^ sim.s.regs[i]) & mask), "register %u differs", i);
	EXPECT(nat.regs[INSN_RIP] == sim.s.regs[INSN_RIP], "RIP differs");
	EXPECT(!((nat.regs[INSN_RFLAGS] ^ sim.s.regs[INSN_RFLAGS]) & ~undefined &
		 (FL_ARITH | FL_DF | FL_AC | FL_NT | FL_ID)), "flags differ");
	for (i = 0; i < 16 && native_avx; i++)
		EXPECT(!memcmp(nat.vec[i], sim.s.vec[i], 32), "vector register %u differs", i);
}

/* The instruction was done natively: it met an INT3, or jumped into nothing. */
static bool native_done(void)
{
	if (nat.vector == 3)
		return true;
	return nat.vector == 14 && nat.error_code & 16;
}

static bool is_vector_move(void)
{
	return IS(vload) || IS(vstore);
}

static void compare_fault(void)
{
	const struct insn_fault *f = &sim.ctx.fault;

	EXPECT(!native_done(), "a fault only in emulation");
	/* A misaligned operand beyond the stack's limit may be either. */
	if (is_vector_move() && f->vector == 12 && nat.vector == 13)
		return;
	/* Which of two faulting operands comes first is not defined. */
	if (IS(cmps))
		return;
	EXPECT(nat.vector == f->vector, "another fault");
	/* For its own addresses the kernel always says "present". */
	if (f->has_error)
		EXPECT(!((nat.error_code ^ f->error_code) & (f->address >> 63 ? ~1u : ~0u)),
		       "another error code");
	if (f->vector == 14)
		EXPECT(nat.cr2 == f->address, "another CR2");
	/* CPUs have done half of these when they find the fault. */
	if (IS(popa) || IS(pusha) || IS(enter))
		return;
	compare_registers(undefined_flags());
	compare_memory();
}

static void compare_native(int r)
{
	if (r == INSN_OK && undefined_result())
		return;
	/* AMD and Intel differ. */
	if (IS(movsxd) && snip.d.op_size == 2)
		return;
	if (snip.d.desc->flags & D_NEAR && snip.d.opsize && env.mode == INSN_LONG)
		return;
	run_native();
	if (r == INSN_FAULT) {
		done_fault++;
		compare_fault();
		return;
	}
	EXPECT(r == INSN_OK, "result %d", r);
	EXPECT(native_done(), "a fault only on the CPU");
	done_ok++;
	compare_registers(undefined_flags());
	compare_memory();
}

/* Again, every access through user space: nothing else may come out. */
static void compare_resumed(int r)
{
	int r2;

	sim_init(&second, env.mode);
	second.s = start;
	second.ctx.va_bits = va_bits;
	second.force_user = true;
	r2 = sim_run(&second);
	EXPECT(!second.broken, "with user space: %s", second.broken);
	EXPECT(r2 == r, "with user space: result %d, not %d", r2, r);
	EXPECT(!memcmp(&second.s, &sim.s, sizeof(sim.s)), "with user space: another state");
}

static void one_case(void)
{
	int r;

	make_snippet();
	make_pages();
	make_segments();
	if (!make_state())
		return;
	sim_init(&sim, env.mode);
	sim.s = start;
	sim.ctx.va_bits = va_bits;
	r = sim_run(&sim);
	EXPECT(!sim.broken, "%s", sim.broken);
	compare_resumed(r);
	if (r == INSN_UNHANDLEABLE) {
		unhandled++;
		EXPECT(!memcmp(&sim.s, &start, sizeof(start)), "unhandleable, but changed");
		return;
	}
	compare_native(r);
}

static void map_areas(void)
{
	MUST(mmap((void *)CODE, CODE_PAGES * SIM_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	MUST(mmap((void *)DATA, DATA_PAGES * SIM_PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	MUST(syscall(SYS_arch_prctl, ARCH_GET_FS, (unsigned long)&fs_base));
	native_init();
}

static void read_va_bits(void)
{
	char line[256];
	unsigned int phys, virt;
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "address sizes : %u bits physical, %u bits virtual",
			   &phys, &virt) == 2)
			va_bits = virt;
	if (f)
		fclose(f);
}

static void run_cases(u64 seed)
{
	unsigned long i, n = 60000;

	if (getenv("INSN_CASES"))
		n = strtoul(getenv("INSN_CASES"), NULL, 0);
	for (i = 0; i < n; i++) {
		rnd_seed(seed + i);
		one_case();
	}
	printf("# %lu executed, %lu faulted, %lu unhandleable\n", done_ok, done_fault, unhandled);
	CHECK(done_ok > n / 4);
	CHECK(unhandled < n / 10);
}

static void long_mode(void)
{
	map_areas();
	read_va_bits();
	env = (struct env){ .mode = INSN_LONG };
	run_cases(1000000);
}

/* With the kernel's flat segments. */
static void protected_32(void)
{
	map_areas();
	env = (struct env){ .mode = INSN_PROT32, .code_limit = ~0u, .data_limit = ~0u,
			    .cs = 0x23, .ds = 0x2b };
	run_cases(2000000);
}

/* With bases and limits. */
static void segmented(enum insn_cpu_mode mode, u64 seed)
{
	bool big = mode == INSN_PROT32;

	map_areas();
	env = (struct env){ .mode = mode, .code_base = CODE, .data_base = DATA,
			    .code_limit = CODE_PAGES * SIM_PAGE - 1,
			    .data_limit = SIM_PAGE * DATA_RW + 0x37 };
	env.cs = native_ldt(0, CODE, env.code_limit, true, big, false);
	env.ds = native_ldt(1, DATA, env.data_limit, false, big, false);
	if (!env.cs || !env.ds)
		SKIP("no modify_ldt");
	run_cases(seed);
}

static void segmented_32(void)
{
	segmented(INSN_PROT32, 3000000);
}

static void segmented_16(void)
{
	segmented(INSN_PROT16, 4000000);
}

static const struct test tests[] = {
	{ "insn-native-64", long_mode, 300 },
	{ "insn-native-32", protected_32, 300 },
	{ "insn-native-segments-32", segmented_32, 300 },
	{ "insn-native-segments-16", segmented_16, 300 },
};

TEST_MAIN(tests)
