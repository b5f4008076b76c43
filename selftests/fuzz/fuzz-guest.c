// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random guests: bytes that nobody wrote as code, in 16, 32 and 64 bits, at ring 0, with registers, control registers, MSRs, page
 * tables and descriptor tables that are random too, more or less. Whatever they do, KVM_RUN ends in one of the ways that KVM's
 * documentation knows, and the VM lives.
 *
 *	fuzz-guest [--seed N] [--guests N] [--seconds N] [--at N] [--tell] [16|32|64|race]...
 *
 * Without a mode all of them, with their share of the time each. race: two vCPUs in the same memory, whose code is overwritten
 * while they run, or is emulated. --tell: to the kernel's log, which guest it is; --at N: that guest first, for who looks for a
 * reason. Guest N of a seed is the same one each time, but for addresses of the process and what MSRs, time and chips do to it.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "../lib/guest.h"
#include "fuzz.h"

#define EXITS		24		/* of one guest, then it is the next one's turn */
#define MOST_USEC	1000		/* that each stays in the guest: most of them loop in the end */
#define SCRIBBLE	0x10000		/* of guest memory, where tables, code and stacks are */
#define TABLES_GPA	0x700000	/* of 64-bit guests */
#define VM_GUESTS	48		/* then the VM is looked at, and there is a new one with other chips */

static struct {
	uint64_t seed, guests;
	unsigned int seconds;
	long at;
	int kmsg;
} opt = { .seed = 1, .guests = ~0ull, .at = -1, .kmsg = -1 };

static struct {
	uint64_t guests, exits, refused, interrupted, worlds;
	uint64_t reason[64];
} count;

static struct world world;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* -------- making one -------- */

static void random_bytes(uint64_t *rng, void *buf, size_t size)
{
	uint8_t *p = buf;
	uint64_t x = 0;
	size_t i;

	for (i = 0; i < size; i++, x >>= 8) {
		if (!(i % 8))
			x = random_next(rng);
		p[i] = x;
	}
}

/* A bit, or another number altogether. */
static void vary(struct genes *g, void *field, size_t width)
{
	uint64_t val = 0;

	memcpy(&val, field, width);
	val = pick(g, 3) ? val ^ 1ull << pick(g, 8 * width) : interesting(g, &world, val);
	memcpy(field, &val, width);
}

static void vary_sregs(struct genes *g, struct kvm_sregs *s)
{
	struct kvm_segment *segment = &s->cs;
	unsigned int n = pick(g, 4);

	while (n--) {
		switch (pick(g, 10)) {
		case 0:
			vary(g, &s->cr0, 8);
			break;
		case 1:
			vary(g, &s->cr4, 8);
			break;
		case 2:
			vary(g, &s->efer, 8);
			break;
		case 3:
			s->cr3 = (gene(g) & 0xffffffff) | TABLES_GPA;
			break;
		case 4:
			vary(g, &s->gdt, sizeof(s->gdt) - 6);
			break;
		case 5:
			s->idt.base = gene(g) % SCRIBBLE;
			s->idt.limit = gene(g);
			break;
		case 6:
			s->cr8 = pick(g, 16);
			break;
		case 7:
			segment += pick(g, 8);
			segment->base = interesting(g, &world, segment->base);
			segment->limit = interesting(g, &world, segment->limit);
			break;
		case 8:
			segment += pick(g, 8);
			segment->type = pick(g, 16);
			segment->s = pick(g, 2);
			segment->db = pick(g, 2);
			segment->l = pick(g, 2);
			segment->present = pick(g, 4) != 0;
			segment->dpl = pick(g, 4);
			segment->unusable = !pick(g, 4);
			break;
		default:
			s->cr2 = interesting(g, &world, s->cr2);
		}
		segment = &s->cs;
	}
}

/*
 * QEMU's emulation of #VMEXIT gives CR0 back before EFER, and not at all if the guest's EFER has LME and its CR4 has no PAE: the
 * host goes on without paging, stock KVM's like ours.
 */
#define EFER		0xc0000080
#define EFER_LME	(1ull << 8)

static void spare_emulator(struct kvm_sregs *s, const struct kvm_sregs *plain)
{
	if (host_is_tcg())
		s->efer = (s->efer & ~EFER_LME) | (plain->efer & EFER_LME);
}

static void forget_msr(uint32_t index)
{
	unsigned int i, n = 0;

	for (i = 0; i < world.nr_msrs; i++)
		if (world.msr[i] != index)
			world.msr[n++] = world.msr[i];
	world.nr_msrs = n;
}

static void random_regs(struct genes *g, uint64_t *rng, struct kvm_regs *r)
{
	uint64_t *reg = (uint64_t *)r;
	unsigned int i;

	random_bytes(rng, r, sizeof(*r));
	for (i = 0; i < 16; i++)
		if (pick(g, 2))
			reg[i] = interesting(g, &world, reg[i]);
	if (pick(g, 4))
		r->rsp = 0xa400;
	r->rip = GUEST_CODE_GPA;
	r->rflags = (pick(g, 3) ? r->rflags & 0x200ed5 : r->rflags & 0x3f7fd5) | 2;
}

static void random_msrs(struct genes *g, int fd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} m = { .head.nmsrs = 1 };
	unsigned int n = pick(g, 3);

	while (n--) {
		m.entry.index = world.msr[pick(g, world.nr_msrs)];
		ioctl(fd, KVM_GET_MSRS, &m);
		vary(g, &m.entry.data, 8);
		ioctl(fd, KVM_SET_MSRS, &m);
	}
}

/*
 * Nothing of the last guest's is left in the vCPU, but for MSRs and chips. QEMU meets a code breakpoint by its linear address, and
 * then looks for it by RIP: where CS has a base it finds none, and dies for want of a debugger. There the registers are user space's.
 */
static void clear_events(int fd)
{
	struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_guest_debug none = { .control = host_is_tcg() ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP : 0 };
	struct kvm_vcpu_events events;

	memset(&events, 0, sizeof(events));
	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	ioctl(fd, KVM_SET_VCPU_EVENTS, &events);
	ioctl(fd, KVM_SET_DEBUGREGS, &debug);
	ioctl(fd, KVM_SET_MP_STATE, &runnable);
	ioctl(fd, KVM_SET_GUEST_DEBUG, &none);
}

/* Random bytes, or instructions that lead somewhere, or both. */
static void random_code(struct genes *g, uint64_t *rng, uint8_t *code, size_t size)
{
	random_bytes(rng, code, size);
	if (pick(g, 2))
		guest_code(g, &world, code, size / 2);
}

/*
 * Page tables go where hardly any code comes by: a walk that sets A in the page that the instruction itself is in makes QEMU
 * translate it again, which walks again, and so on without a look at the host's interrupts.
 */
static void move_tables(struct kvm_sregs *s)
{
	uint64_t *tables = (uint64_t *)(world.shared + TABLES_GPA);
	unsigned int i;

	if (!(s->cr0 & 0x80000000))
		return;
	memcpy(tables, world.shared + s->cr3, 6 * PAGE);
	tables[0] += TABLES_GPA - s->cr3;
	for (i = 0; i < 4; i++)
		tables[PAGE / 8 + i] += TABLES_GPA - s->cr3;
	s->cr3 = TABLES_GPA;
}

static void make_guest(unsigned int vcpu, int mode, uint64_t number)
{
	uint64_t rng = opt.seed ^ mix(number + 1);
	int fd = world.vcpu[vcpu].fd;
	struct kvm_sregs plain = world.mode[mode].sregs, sregs, now;
	struct genes g = { 0 };
	struct kvm_regs regs;
	uint8_t code[256];
	unsigned int i, n;

	for (i = 0; i < NR_GENES; i++)
		g.gene[i] = random_next(&rng);
	clear_events(fd);
	memcpy(world.shared, world.mode[mode].image, IMAGE_SIZE);
	for (n = pick(&g, 4) ? 0 : 1 + pick(&g, 3); n; n--) {
		size_t at = gene(&g) % (SCRIBBLE - 64), len = 1 + pick(&g, 64);

		random_bytes(&rng, world.shared + at, len);
	}
	random_code(&g, &rng, code, sizeof(code));
	memcpy(world.shared + GUEST_CODE_GPA, code, sizeof(code));
	move_tables(&plain);
	sregs = plain;
	vary_sregs(&g, &sregs);
	spare_emulator(&sregs, &plain);
	if (!ioctl(fd, KVM_GET_SREGS, &now))
		plain.apic_base = sregs.apic_base = now.apic_base;
	if (ioctl(fd, KVM_SET_SREGS, &sregs)) {
		count.refused++;
		ioctl(fd, KVM_SET_SREGS, &plain);
	}
	random_msrs(&g, fd);
	random_regs(&g, &rng, &regs);
	ioctl(fd, KVM_SET_REGS, &regs);
}

/* -------- running it -------- */

/* What a device would say. */
static void answer(struct kvm_run *run, uint64_t *rng)
{
	if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
		random_bytes(rng, run->mmio.data, sizeof(run->mmio.data));
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
		random_bytes(rng, (uint8_t *)run + run->io.data_offset, run->io.size * run->io.count);
}

static bool goes_on(const struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
	case KVM_EXIT_MMIO:
	case KVM_EXIT_HYPERCALL:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_TPR_ACCESS:
	case KVM_EXIT_IOAPIC_EOI:
		return true;
	default:
		return false;
	}
}

static const uint32_t known_exits[] = {
	KVM_EXIT_IO, KVM_EXIT_HYPERCALL, KVM_EXIT_DEBUG, KVM_EXIT_HLT, KVM_EXIT_MMIO, KVM_EXIT_IRQ_WINDOW_OPEN, KVM_EXIT_SHUTDOWN,
	KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTR, KVM_EXIT_SET_TPR, KVM_EXIT_TPR_ACCESS, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_SYSTEM_EVENT,
	KVM_EXIT_IOAPIC_EOI, KVM_EXIT_MEMORY_FAULT,
};

static bool known(uint32_t reason)
{
	unsigned int i;

	for (i = 0; i < sizeof(known_exits) / sizeof(known_exits[0]); i++)
		if (known_exits[i] == reason)
			return true;
	return false;
}

/* 0, or why this should not have happened. */
static const char *run_guest(unsigned int vcpu, uint64_t *rng)
{
	struct kvm_run *run = world.vcpu[vcpu].run;
	unsigned int exits;
	int r, err;

	run->immediate_exit = 0;
	run->request_interrupt_window = 0;
	for (exits = 0; exits < EXITS; exits++) {
		run_timer_arm(world.run_usec);
		r = ioctl(world.vcpu[vcpu].fd, KVM_RUN, 0);
		err = errno;
		run_timer_arm(0);
		if (r) {
			count.interrupted += err == EINTR || err == EAGAIN;
			/* EFAULT: an address that is no memory and that nothing can be emulated at. */
			return err == EINTR || err == EAGAIN || err == EFAULT ? NULL : strerror(err);
		}
		count.exits++;
		if (!known(run->exit_reason))
			return "an unknown exit";
		count.reason[run->exit_reason % 64]++;
		if (!goes_on(run))
			break;
		answer(run, rng);
	}
	return NULL;
}

/* Of guest @number. With chips in the kernel a guest that halts sleeps, until its time is over. */
static void new_world(int vcpus, uint64_t number)
{
	static const enum irqchip chips[] = { CHIPS_NONE, CHIPS_KERNEL, CHIPS_SPLIT };

	if (count.worlds++)
		world_close(&world);
	world_create(&world, chips[number / VM_GUESTS % 3], vcpus);
	if (world.run_usec > MOST_USEC)
		world.run_usec = MOST_USEC;
	if (host_is_tcg())
		forget_msr(EFER);
}

/* All ioctls of a VM that is dead fail. */
static const char *still_works(int vcpus)
{
	struct kvm_regs regs;
	int i;

	for (i = 0; i < vcpus; i++) {
		if (ioctl(world.vcpu[i].fd, KVM_GET_REGS, &regs))
			return "the VM is dead";
	}
	if (ioctl(world.dev, KVM_GET_API_VERSION, 0) != 12)
		return "the device is";
	return NULL;
}

static const char *one_guest(int mode, uint64_t number)
{
	uint64_t rng = mix(number);

	make_guest(0, mode, number);
	return run_guest(0, &rng);
}

/* -------- two in a race -------- */

static struct {
	uint64_t number;
	_Atomic bool over;
	const char *why;
} race;

static void *second(void *arg)
{
	uint64_t rng = mix(race.number ^ 0x5555);

	run_timer_create();
	race.why = run_guest(1, &rng);
	race.over = true;
	return NULL;
}

/* The code of both is the same, and so is what happens to it. */
static void *third(void *arg)
{
	uint64_t rng = mix(race.number ^ 0x3333);

	while (!race.over) {
		struct genes g = { 0 };
		uint8_t code[64];
		unsigned int i;

		for (i = 0; i < NR_GENES; i++)
			g.gene[i] = random_next(&rng);
		guest_code(&g, &world, code, sizeof(code));
		memcpy(world.shared + GUEST_CODE_GPA + random_next(&rng) % 128, code, 1 + random_next(&rng) % 32);
		/* And the page table that maps it */
		if (!(random_next(&rng) % 16))
			world.shared[TABLES_GPA + random_next(&rng) % (6 * PAGE)] = random_next(&rng);
		sched_yield();
	}
	return NULL;
}

static const char *one_race(uint64_t number)
{
	int mode = number % 3 == 0 ? GUEST_REAL : number % 3 == 1 ? GUEST_PROTECTED : GUEST_LONG;
	uint64_t rng = mix(number);
	pthread_t threads[2];
	const char *why;

	race.number = number;
	race.over = false;
	race.why = NULL;
	make_guest(0, mode, number);
	make_guest(1, mode, number ^ 1ull << 40);
	CHECK_EQ(pthread_create(&threads[0], NULL, second, NULL), 0);
	CHECK_EQ(pthread_create(&threads[1], NULL, third, NULL), 0);
	why = run_guest(0, &rng);
	pthread_join(threads[0], NULL);
	race.over = true;
	pthread_join(threads[1], NULL);
	return why ?: race.why;
}

/* -------- all of them -------- */

enum { REAL, PROTECTED, LONG, RACE, NR_KINDS };

static const struct kind {
	const char *name, *says;
	int mode, vcpus;
} kinds[NR_KINDS] = {
	[REAL] = { "16", "16 bits", GUEST_REAL, 1 },
	[PROTECTED] = { "32", "32 bits", GUEST_PROTECTED, 1 },
	[LONG] = { "64", "64 bits", GUEST_LONG, 1 },
	[RACE] = { "race", "two that race", 0, 2 },
};

static void summary(const struct kind *kind, uint64_t ms)
{
	unsigned int i;

	printf("# %s: %" PRIu64 " guests in %" PRIu64 " s, %" PRIu64 " exits, %" PRIu64 " interrupted, %" PRIu64 " states refused;", kind->says,
	       count.guests, ms / 1000, count.exits, count.interrupted, count.refused);
	for (i = 0; i < 64; i++)
		if (count.reason[i])
			printf(" %u: %" PRIu64, i, count.reason[i]);
	printf("\n");
}

static const char *run_kind(int k, unsigned int seconds)
{
	const struct kind *kind = &kinds[k];
	uint64_t begun = now_ms(), told = begun, n = opt.at >= 0 ? opt.at : 0;
	const char *why = NULL;

	memset(&count, 0, sizeof(count));
	new_world(kind->vcpus, n);
	for (; count.guests < opt.guests && now_ms() - begun < seconds * 1000ull; n++) {
		if (opt.kmsg >= 0)
			dprintf(opt.kmsg, "<5>fuzz-guest: %s, %" PRIu64 "\n", kind->name, n);
		why = k == RACE ? one_race(n) : one_guest(kind->mode, n);
		count.guests++;
		if (why)
			break;
		if (!((n + 1) % VM_GUESTS)) {
			why = still_works(kind->vcpus);
			if (why)
				break;
			new_world(kind->vcpus, n + 1);
		}
		if (now_ms() - told > 60000) {
			told = now_ms();
			summary(kind, told - begun);
		}
	}
	why = why ?: still_works(kind->vcpus);
	summary(kind, now_ms() - begun);
	if (why)
		printf("# guest %" PRIu64 " of seed %" PRIu64 ": %s (exit reason %u)\n", n, opt.seed, why, world.vcpu[0].run->exit_reason);
	world_close(&world);
	return why;
}

/* -------- main -------- */

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' }, { "seed", required_argument, NULL, 's' },
		{ "guests", required_argument, NULL, 'g' }, { "seconds", required_argument, NULL, 't' },
		{ "at", required_argument, NULL, 'a' }, { "tell", no_argument, NULL, 'k' }, { 0 },
	};
	int c;

	test_device = test_usual_device();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			test_device = optarg;
			break;
		case 's':
			opt.seed = strtoull(optarg, NULL, 0);
			break;
		case 'g':
			opt.guests = strtoull(optarg, NULL, 0);
			break;
		case 't':
			opt.seconds = atoi(optarg);
			break;
		case 'a':
			opt.at = atol(optarg);
			break;
		case 'k':
			opt.kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
			break;
		default:
			return false;
		}
	}
	if (!opt.seconds)
		opt.seconds = opt.guests == ~0ull ? 20 : 1000000;
	return true;
}

int main(int argc, char **argv)
{
	unsigned int n = 0, nr = 0;
	bool bad = false;
	int k;

	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: %s [--device PATH] [--seed N] [--guests N] [--seconds N] [--at N] [--tell] [16|32|64|race]...\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (k = 0; k < NR_KINDS; k++)
		nr += test_selected(kinds[k].name, argv + optind, argc - optind);
	printf("KTAP version 1\n1..%u\n", nr);
	run_timer_create();
	for (k = 0; k < NR_KINDS; k++) {
		const char *why;

		if (!test_selected(kinds[k].name, argv + optind, argc - optind))
			continue;
		why = run_kind(k, opt.seconds / nr ?: 1);
		printf("%sok %u %s\n", why ? "not " : "", ++n, kinds[k].says);
		bad |= why != NULL;
	}
	return bad ? 1 : 0;
}
