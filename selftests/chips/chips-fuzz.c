// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stories, made of random bytes, of a machine's interrupt chips, told to four
 * worlds at once, which must show the same at each step:
 *
 *	the original, whose state is taken after each step,
 *	the near twin, to which it is given after each step,
 *	the far twin, to which it is given now and then, and
 *	the one that is left alone, of which nobody ever takes or sets a state.
 *
 * And after each step what holds of all chips at any time must hold of these.
 * A failure ends the program; the seed and the last steps are printed.
 *
 *	chips-fuzz [-v] [COUNT [SEED]]
 *
 * tries COUNT stories. With a libFuzzer's main() in the place of this one (make
 * fuzz) the bytes are the fuzzer's. What they mean is in ops.c.
 */
#include <signal.h>
#include <unistd.h>

#include "ops.h"
#include "peek.h"
#include "rnd.h"

enum { ORIGINAL, NEAR, FAR, ALONE, NR_WORLDS };

static const char *const world_names[NR_WORLDS] = { "original", "near twin", "far twin", "world alone" };

/* Steps of the present story, for whom it may concern. */
static struct op history[32];
static unsigned int nr_steps;
static u64 story_seed;
static bool verbose;
static unsigned long all_steps, all_moves, max_sections;

struct stage {
	struct story story;
	struct world *w[NR_WORLDS];
	bool near;		/* the near twin takes part */
	struct image image;
};

static void print_op(const struct op *op)
{
	fprintf(stderr, "  cpu %u %-12s %#x len %u val %#llx %#llx\n", op->cpu, op->kind->name,
		op->reg, op->len, op->val, op->more);
}

static void print_history(int signal)
{
	unsigned int i, n = min(nr_steps, (unsigned int)ARRAY_SIZE(history));

	fprintf(stderr, "story %llu, step %u; the last ones:\n", story_seed, nr_steps);
	for (i = nr_steps - n; i < nr_steps; i++)
		print_op(&history[i % ARRAY_SIZE(history)]);
	if (signal == SIGALRM)
		fprintf(stderr, "a step takes too long\n");
	_exit(1);
}

/* -------- what holds at any time -------- */

static int highest(struct lapic *l, u32 base)
{
	int vector = 255;

	while (vector >= 0 && !lapic_vec_test(l, base, vector))
		vector--;
	return vector;
}

static void check_lapic(struct world *w, unsigned int cpu, const struct story *s)
{
	struct lapic *l = world_lapic(w, cpu);
	int irr = highest(l, APIC_IRR), isr = highest(l, APIC_ISR);
	u32 tpr = lapic_reg(l, APIC_TASKPRI) & 0xff, ppr;
	unsigned int i;

	NEVER(isr != l->isr_top);
	NEVER(irr >= 0 && !(l->irr_words & BIT(irr >> 5)));
	lapic_update_ppr(l);
	ppr = lapic_reg(l, APIC_PROCPRI);
	NEVER(ppr >> 4 != max((int)tpr >> 4, max(isr, 0) >> 4));
	NEVER(world_forgot(w, cpu));
	/* User space may say of a machine what it likes. */
	if (!s->lines_known)
		return;
	NEVER((lapic_reg(l, APIC_IRR) | lapic_reg(l, APIC_ISR)) & 0xffff);
	if (lapic_reg(l, APIC_SPIV) & APIC_SPIV_APIC_ENABLED)
		return;
	/* The quirk by which the PIC is let through without firmware: LVT0 of the first one. */
	for (i = APIC_LVTT; i <= APIC_LVTERR; i += 0x10)
		NEVER(i != APIC_LVT0 && !(lapic_reg(l, i) & APIC_LVT_MASKED));
}

/* Of a guest that minds its business: remote IRR is the interrupt's way to its EOI. */
static void check_remote_irr(struct world *w)
{
	unsigned int pin, cpu;

	for (pin = 0; pin < VMM_IOAPIC_PINS; pin++) {
		u64 entry = peek_ioapic_entry(w, pin);
		bool somewhere = false;

		if (!(entry & BIT(15)))
			continue;
		for (cpu = 0; cpu < w->config.nr_vcpus; cpu++)
			somewhere |= lapic_vec_test(world_lapic(w, cpu), APIC_IRR, entry & 0xff) ||
				     lapic_vec_test(world_lapic(w, cpu), APIC_ISR, entry & 0xff);
		NEVER(!!(entry & BIT(14)) != somewhere);
	}
}

static void check_world(struct world *w, const struct story *s)
{
	unsigned int i;

	NEVER(current->nr_held || current->irqs_off || current->preempt || current->rcu);
	for (i = 0; i < w->config.nr_vcpus; i++)
		check_lapic(w, i, s);
	if (w->config.mode != IRQCHIP_KERNEL)
		return;
	peek_pic_check(w);
	peek_ioapic_check(w, s->lines_known);
	if (s->tame)
		check_remote_irr(w);
}

/* -------- a step -------- */

static bool takes_part(const struct stage *st, int i)
{
	return i != NEAR || st->near;
}

static void compare(const struct log *a, const struct log *b, int i)
{
	unsigned int n = 0;

	while (n < a->n && n < b->n && a->val[n] == b->val[n])
		n++;
	if (n < a->n || n < b->n)
		shim_bug(__FILE__, __LINE__, "the %s says %#llx, the original %#llx (%u of %u)",
			 world_names[i], b->val[n], a->val[n], n, a->n);
}

/* Work of one step, counted in sections of locks; and no step has an endless loop. */
#define MAX_SECTIONS	4000

static void step(struct stage *st)
{
	u64 start = st->story.now;
	struct log log[NR_WORLDS];
	struct op *op = &history[nr_steps % ARRAY_SIZE(history)];
	int i;

	clock_set(start);
	op_next(&st->story, st->w, NR_WORLDS, op);
	nr_steps++;
	if (verbose)
		print_op(op);
	for (i = 0; i < NR_WORLDS; i++) {
		unsigned long before = shim_sections;

		if (!takes_part(st, i))
			continue;
		log[i].n = 0;
		clock_set(start);
		op_apply(st->w[i], &st->story, op, &log[i]);
		NEVER(shim_sections - before > MAX_SECTIONS);
		max_sections = max(max_sections, shim_sections - before);
		if (i != ORIGINAL)
			compare(&log[ORIGINAL], &log[i], i);
	}
	clock_set(st->story.now);
	for (i = 0; i < NR_WORLDS; i++)
		if (takes_part(st, i))
			check_world(st->w[i], &st->story);
}

/* The guest touches what nobody took, or KVM_SET_IRQCHIP alone would. */
static void touch_unsent(struct world *w, u32 pins)
{
	unsigned long bits = pins;
	unsigned int pin;
	u64 select, low;

	NEVER(world_read(w, 0, 0xfec00000, 4, &select));
	for_each_set_bit(pin, &bits, VMM_IOAPIC_PINS) {
		NEVER(world_write(w, 0, 0xfec00000, 4, 0x10 + 2 * pin));
		NEVER(world_read(w, 0, 0xfec00010, 4, &low));
		NEVER(world_write(w, 0, 0xfec00010, 4, low));
	}
	NEVER(world_write(w, 0, 0xfec00000, 4, select));
}

static void move(struct stage *st, int to)
{
	u32 unsent = 0;
	int i;

	if (st->w[ORIGINAL]->config.mode == IRQCHIP_KERNEL)
		unsent = peek_ioapic_unsent(st->w[ORIGINAL]);
	for (i = 0; i < NR_WORLDS; i++) {
		if (unsent)
			touch_unsent(st->w[i], unsent);
		world_quiesce(st->w[i]);
	}
	image_move(st->w[to], st->w[ORIGINAL], &st->image);
	all_moves++;
}

/* -------- a story -------- */

static void make_config(struct bytes *in, struct world_config *c)
{
	u8 flags = bytes_u8(in), more = bytes_u8(in);

	*c = (struct world_config){
		.mode = (flags & 7) == 7 ? IRQCHIP_SPLIT : IRQCHIP_KERNEL,
		.nr_vcpus = 1 + (flags >> 3) % WORLD_VCPUS,
		.x2apic_ids = flags & 0x20,
		.no_broadcast_quirk = flags & 0x40,
		.hw_timer = flags & 0x80,
		.no_deadline = !(more & 0xf),
		.cmci = more & 0x10,
		.irqfds = more & 0x20,
		.split_pins = 24,
		.bus_ns = more & 0x40 ? 1 + bytes_u8(in) % 40 : 1,
		.disabled_quirks = more & 0x80 ? KVM_X86_QUIRK_LINT0_REENABLED : 0,
	};
}

static void stage_begin(struct stage *st, const u8 *data, size_t size)
{
	struct story *s = &st->story;
	struct world_config config;
	u8 kind;
	int i;

	*s = (struct story){ .in = { data, size }, .now = NSEC_PER_SEC, .lines_known = true };
	make_config(&s->in, &config);
	kind = bytes_u8(&s->in);
	s->tame = (kind & 3) == 3;
	s->wild = (kind & 0xc) == 0xc && !s->tame;
	st->near = kind & 0x10;
	clock_set(s->now);
	for (i = 0; i < NR_WORLDS; i++) {
		st->w[i] = world_create(&config);
		if (s->tame)
			story_prepare(st->w[i]);
	}
	nr_steps = 0;
}

static void run_story(const u8 *data, size_t size)
{
	static struct stage st;
	int i;

	stage_begin(&st, data, size);
	while (st.story.in.left) {
		step(&st);
		if (st.near)
			move(&st, NEAR);
		if (bytes_u8(&st.story.in) < 6)
			move(&st, FAR);
	}
	all_steps += nr_steps;
	for (i = 0; i < NR_WORLDS; i++)
		world_destroy(st.w[i]);
}

static void prepare(void)
{
	signal(SIGABRT, print_history);
	signal(SIGALRM, print_history);
	shim_one_thread = true;
	NEVER(irqfd_module_init());
}

#ifdef CHIPS_LIBFUZZER
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static bool prepared;

	if (!prepared)
		prepare();
	prepared = true;
	run_story(data, size);
	return 0;
}
#else
#define STORY_BYTES	4000

int main(int argc, char **argv)
{
	static u8 bytes[STORY_BYTES];
	unsigned long count, seed, i;

	if (argc > 1 && !strcmp(argv[1], "-v")) {
		verbose = true;
		argv++;
		argc--;
	}
	count = argc > 1 ? strtoul(argv[1], NULL, 0) : 300;
	seed = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
	prepare();
	for (i = 0; i < count; i++) {
		story_seed = seed + i;
		rnd_seed(story_seed);
		rnd_fill(bytes, sizeof(bytes));
		alarm(60);
		run_story(bytes, sizeof(bytes));
	}
	irqfd_module_exit();
	printf("# %lu steps, %lu moves, at most %lu sections of locks a step\n", all_steps, all_moves,
	       max_sections);
	printf("ok 1 %lu stories from %lu on\n", count, seed);
	return 0;
}
#endif
