/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the programs of this directory share: a world of VMs to work on, a table of all ioctls with valid arguments for each,
 * and decisions that can be made again.
 *
 * Every decision is taken from genes: numbers that are drawn once, kept with the call, and changed one by one when a program
 * is varied. A call with no genes is the valid one.
 */
#ifndef SELFTESTS_FUZZ_H
#define SELFTESTS_FUZZ_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE		4096ul
#define WORLD_VMS	4
#define WORLD_VCPUS	8
#define WORLD_EVENTS	6
#define WORLD_STATS	4
#define WORLD_RAM	(8ul << 20)	/* of each of the two: shared and anonymous memory */
#define LOG_SLOT	7		/* of the memory that is logged */
#define LOG_GPA		(64ul << 20)

/* -------- decisions -------- */

#define NR_GENES	16

struct genes {
	uint64_t gene[NR_GENES];
	unsigned int used;
	bool valid;		/* nothing is varied */
};

static inline uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline uint64_t random_next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ull;
	return mix(*state);
}

/* Beyond the last they go on, as a function of the last. */
static inline uint64_t gene(struct genes *g)
{
	unsigned int i = g->used++;

	if (g->valid)
		return 0;
	return i < NR_GENES ? g->gene[i] : mix(g->gene[NR_GENES - 1] + i);
}

static inline unsigned int pick(struct genes *g, unsigned int n)
{
	return gene(g) % n;
}

static inline bool one_in(struct genes *g, unsigned int n)
{
	return !g->valid && !pick(g, n);
}

/* -------- the world -------- */

enum irqchip { CHIPS_KERNEL, CHIPS_NONE, CHIPS_SPLIT, CHIPS_RING, NR_CHIPS };

struct world_vm {
	_Atomic int fd;
	enum irqchip chips;
};

struct world_vcpu {
	_Atomic int fd;
	int vm;
	_Atomic(struct kvm_run *) run;
};

#define IMAGE_SIZE	0x10000	/* what lib/guest.h keeps for itself */
#define NR_MODES	4

/* A vCPU in one of the modes of lib/guest.h, and the memory that goes with it. */
struct world_mode {
	struct kvm_sregs sregs;
	uint8_t image[IMAGE_SIZE];
};

struct world {
	int dev;
	struct world_vm vm[WORLD_VMS];
	struct world_vcpu vcpu[WORLD_VCPUS];
	_Atomic int event[WORLD_EVENTS];
	_Atomic int stats[WORLD_STATS];
	int nr_vcpus;			/* of vm[0], at first */
	size_t run_size;
	unsigned int run_usec;		/* in which a short guest comes to its end, and time to spare */
	int memfd;
	uint8_t *shared, *anon;		/* guest memory: slots 0 and 1 of each VM */
	struct world_mode *mode;	/* NR_MODES of them */
	uint8_t *bitmap;		/* for KVM_GET_DIRTY_LOG and its like */
	uint32_t msr[512];
	unsigned int nr_msrs;
	_Atomic unsigned int turn;	/* which slot takes the next new object */
	bool run_here_only;		/* an emulator that takes guests on one CPU at a time */
};

/*
 * One VM of this kind with @vcpus, in vm[0]; fails the test when that does not work. The first one of a process takes longer:
 * what its children inherit they need not find out again.
 */
void world_create(struct world *w, enum irqchip chips, int vcpus);
/* Closes all descriptors. */
void world_close(struct world *w);
/* Another VM of that kind in its place: 0 or -errno. */
int world_new_vm(struct world *w, int slot, enum irqchip chips);
int world_new_vcpu(struct world *w, int slot, int vm, unsigned long id);
/* The vCPU is in that mode, at the beginning of @code. */
void world_set_mode(struct world *w, int slot, int mode, const void *code, size_t size);
/* A guest of one instruction on vcpu[@slot]: 0, or what went wrong as -errno or an exit reason. */
int world_try_run(struct world *w, int slot);
/* Puts @fd into the slot, and closes what was there. */
void world_put(_Atomic int *slot, int fd);
/* Writes to memory that another thread may unmap right now. */
void poke(void *to, const void *from, size_t len);
/* KVM_RUN of the calling thread is interrupted after that time, unless it has ended; 0: no more. */
void run_timer_arm(unsigned int usec);
void run_timer_create(void);

/* guestcode.c: random code of at most @size bytes. */
size_t guest_code(struct genes *g, const struct world *w, uint8_t *out, size_t size);

/* -------- calls -------- */

/* An argument on its way: memory that ends at a page nobody may touch. */
struct arg {
	unsigned long value;
	void *buf;
	size_t size;
	uint8_t *end;
	long more[4];		/* for row->after */
};

void arg_init(struct arg *a);
void *arg_buf(struct arg *a, size_t size);

enum call_on { ON_DEV, ON_VM, ON_VCPU, ON_NOTHING, NR_ON };

struct target {
	struct world *w;
	int vm, vcpu;		/* slots */
	int fd;
	struct genes *g;
};

/*
 * cmd 0: no ioctl, but something else that user space does. valid: an argument that means something; without it, a zeroed
 * structure, or what the ioctl @from gives. variants: how many kinds of valid ones there are.
 */
struct row {
	const char *name;
	unsigned long cmd;
	enum call_on on;
	unsigned int variants;
	unsigned long from;
	void (*valid)(struct target *t, struct arg *a, unsigned int variant);
	void (*settle)(struct arg *a);	/* takes back what must not be varied */
	void (*after)(struct target *t, struct arg *a, long result);
	long (*act)(struct target *t);
	unsigned long prelude;	/* an ioctl of the same descriptor that must come before */
	unsigned int one_in;	/* a costly one: so rare */
};

extern const struct row rows[];
extern const unsigned int nr_rows;

static inline bool is_run(const struct row *row)
{
	return row->cmd == KVM_RUN && row->on == ON_VCPU;
}

/* The argument of @row: the valid one, varied as the genes say. */
void arg_make(const struct row *row, struct target *t, struct arg *a, unsigned int variant);
int target_fd(const struct row *row, struct target *t);
/* A number that means something somewhere. */
uint64_t interesting(struct genes *g, const struct world *w, uint64_t old);

/* poison.c: does the kernel poison what it does not initialize? Where poison begins in that memory, or NULL. */
bool poison_used(void);
const uint8_t *poison_in(const void *buf, size_t size);
/* Bytes at a->value that the call may have written. */
size_t arg_output(const struct row *row, const struct arg *a);

/* cover.c: coverage of our module, where the kernel tells it. One for each thread. */
struct cover;
bool cover_open(struct cover **c);
void cover_start(struct cover *c);
/* Program counters since cover_start(). */
const uint64_t *cover_stop(struct cover *c, unsigned int *n);

#endif /* SELFTESTS_FUZZ_H */
