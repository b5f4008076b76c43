// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's: how often each instruction of the emulated machine ran
 * between bench.h's marks. Its file gets
 *	row			at mark_row()
 *	ADDRESS COUNT KIND	at mark_end(), for each kernel instruction
 *	end OTHERS		and the number of those of programs and guests
 * KIND is what weighs more on silicon than plain instructions: see kinds[].
 * Debian packages no header for plugins; what is used of it stands here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define SLOTS	(1u << 18)
#define KERNEL	(1ull << 63)

#define NO_REGS	0	/* callbacks that look at no register */
#define COND_NE	3

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;

struct qemu_plugin_u64 {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
};

typedef void (*exec_fn)(unsigned int vcpu, void *data);
typedef void (*trans_fn)(uint64_t id, struct qemu_plugin_tb *tb);

void qemu_plugin_reset(uint64_t id, void (*done)(uint64_t id));
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, trans_fn fn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_fn fn, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cond_cb(struct qemu_plugin_insn *insn, exec_fn fn, int flags,
						 int cond, struct qemu_plugin_u64 entry, uint64_t imm, void *data);
struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
void qemu_plugin_u64_set(struct qemu_plugin_u64 entry, unsigned int vcpu, uint64_t val);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *dest, size_t len);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 4;

struct slot {
	uint64_t addr, count;
	const char *kind;
};

static struct slot slots[SLOTS];
static uint64_t others;
static struct qemu_plugin_u64 on;	/* between the marks */
static uint64_t self;
static bool armed;			/* a mark was seen: before, booting is not slowed down */
static FILE *out;

/* -------- what an instruction is -------- */

static const struct {
	const char *name;
	uint8_t bytes[3], len;
} kinds[] = {
	{ "vmrun", { 0x0f, 0x01, 0xd8 }, 3 },
	{ "vmload", { 0x0f, 0x01, 0xda }, 3 },
	{ "vmsave", { 0x0f, 0x01, 0xdb }, 3 },
	{ "xgetbv", { 0x0f, 0x01, 0xd0 }, 3 },
	{ "xsetbv", { 0x0f, 0x01, 0xd1 }, 3 },
	{ "swapgs", { 0x0f, 0x01, 0xf8 }, 3 },
	{ "wrmsr", { 0x0f, 0x30 }, 2 },
	{ "rdmsr", { 0x0f, 0x32 }, 2 },
	{ "rdtsc", { 0x0f, 0x31 }, 2 },
	{ "movdr", { 0x0f, 0x21 }, 2 },
	{ "movdr", { 0x0f, 0x23 }, 2 },
	{ "movcr", { 0x0f, 0x20 }, 2 },
	{ "movcr", { 0x0f, 0x22 }, 2 },
	{ "lock", { 0xf0 }, 1 },
	{ "iret", { 0x48, 0xcf }, 2 },
};

/* 0f ae /4 and 0f c7 /3../5 are XSAVE's family, 0f ae /5 with memory XRSTOR. */
static const char *xstate(const uint8_t *p)
{
	uint8_t reg = p[2] >> 3 & 7;

	if (p[0] != 0x0f || p[2] >= 0xc0)
		return NULL;
	if (p[1] == 0xae)
		return reg == 4 || reg == 6 ? "xsave" : reg == 5 ? "xrstor" : NULL;
	if (p[1] == 0xc7)
		return reg == 3 ? "xrstor" : reg == 4 || reg == 5 ? "xsave" : NULL;
	return NULL;
}

/* 0f 00 /5; its neighbours are SLDT and the like. */
static const char *verw(const uint8_t *p)
{
	return p[0] == 0x0f && p[1] == 0x00 && (p[2] >> 3 & 7) == 5 ? "verw" : NULL;
}

static const char *indirect(const uint8_t *p)
{
	uint8_t reg = p[1] >> 3 & 7;

	return p[0] == 0xff && (reg == 2 || reg == 4) ? "indirect" : NULL;
}

static const char *kind(const uint8_t *p)
{
	const char *name;
	size_t i;

	while (*p == 0x3e || *p == 0x65 || *p == 0x66 || *p == 0xf2 || *p == 0xf3)
		p++;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!memcmp(p, kinds[i].bytes, kinds[i].len))
			return kinds[i].name;
	}
	if ((*p & 0xf0) == 0x40)
		p++;
	/* XCHG with memory locks by itself. */
	if ((p[0] == 0x86 || p[0] == 0x87) && p[1] < 0xc0)
		return "lock";
	name = xstate(p);
	if (!name)
		name = verw(p);
	return name ? name : indirect(p);
}

/* -------- counting -------- */

static struct slot *find(uint64_t addr)
{
	uint32_t i = (addr * 0x9e3779b97f4a7c15ull) >> 46;

	while (slots[i].addr && slots[i].addr != addr)
		i = (i + 1) % SLOTS;
	slots[i].addr = addr;
	return &slots[i];
}

static void count(unsigned int vcpu, void *data)
{
	struct slot *s = data;

	if (s)
		s->count++;
	else
		others++;
}

static void begin(unsigned int vcpu, void *data)
{
	size_t i;

	for (i = 0; i < SLOTS; i++)
		slots[i].count = 0;
	others = 0;
	qemu_plugin_u64_set(on, vcpu, 1);
}

static void end(unsigned int vcpu, void *data)
{
	size_t i;

	qemu_plugin_u64_set(on, vcpu, 0);
	for (i = 0; i < SLOTS; i++) {
		if (slots[i].count)
			fprintf(out, "%llx %llu %s\n", (unsigned long long)slots[i].addr,
				(unsigned long long)slots[i].count, slots[i].kind ? slots[i].kind : "");
	}
	fprintf(out, "end %llu\n", (unsigned long long)others);
	fflush(out);
}

static void translate(uint64_t id, struct qemu_plugin_tb *tb);

static void arm(uint64_t id)
{
	armed = true;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
}

static void row(unsigned int vcpu, void *data)
{
	fprintf(out, "row\n");
	if (!armed)
		qemu_plugin_reset(self, arm);
}

/* The displacement of the NOPs that bench.h calls marks */
static bool is_mark(const uint8_t *p, const char *text)
{
	return p[0] == 0x0f && p[1] == 0x1f && p[2] == 0x80 && !memcmp(p + 3, text, 4);
}

static void translate(uint64_t id, struct qemu_plugin_tb *tb)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);

	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t addr = qemu_plugin_insn_vaddr(insn);
		struct slot *s = NULL;
		uint8_t bytes[16] = { 0 };

		qemu_plugin_insn_data(insn, bytes, 15);
		if (armed && (addr & KERNEL)) {
			s = find(addr);
			s->kind = kind(bytes);
		}
		if (is_mark(bytes, "1wor"))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, row, NO_REGS, NULL);
		else if (!armed)
			continue;
		else if (is_mark(bytes, "1geb"))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, NO_REGS, NULL);
		else if (is_mark(bytes, "1dne"))
			qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, end, NO_REGS, COND_NE, on, 0, NULL);
		else
			qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, count, NO_REGS, COND_NE, on, 0, s);
	}
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "counts=", 7))
			out = fopen(argv[i] + 7, "w");
	}
	if (!out)
		return 1;
	self = id;
	on.score = qemu_plugin_scoreboard_new(sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
	return 0;
}
