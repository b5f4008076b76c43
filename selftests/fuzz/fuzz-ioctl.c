// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random but meaningful ioctls to all three kinds of descriptors, from several threads at once, while memory is unmapped and
 * moved, descriptors are closed and the process forks. What was good for something new (code of the module that had not run
 * before, where KCOV tells, else another errno or exit) is kept and varied.
 *
 *	fuzz-ioctl [--seed N] [--calls N] [--seconds N] [--threads N] [--life N] [--log FILE] [--replay FILE]
 *
 * Work is done in lives: a process makes a world, runs some hundred programs on it and ends in one of several ways. All that
 * a life does follows from the seed, its number, and what was kept before; --log writes each program down before it runs,
 * and --replay runs what is written.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "../lib/guest.h"
#include "fuzz.h"

#define PROGRAM_CALLS	24
#define CORPUS		4096
#define MAP_BITS	(1u << 20)
#define LIFE_PROGRAMS	60
#define MAX_THREADS	8
#define HANG_SECONDS	60

struct call {
	uint16_t row;
	uint8_t vm, vcpu, variant;
	struct genes genes;
};

struct program {
	unsigned int n;
	struct call call[PROGRAM_CALLS];
};

/* What one thread is at, for the one who watches. */
struct progress {
	_Atomic unsigned int row;	/* + 1; 0: between calls */
	_Atomic int tid;
	_Atomic uint64_t since;		/* calls of this thread */
};

/* Outlives the lives. */
struct shared {
	_Atomic uint64_t calls, programs, edges, run_exits;
	_Atomic uint64_t row_calls[512], row_good[512];
	_Atomic unsigned int corpus_size;
	_Atomic uint64_t map[MAP_BITS / 64];
	_Atomic bool corpus_lock, stop;
	_Atomic unsigned int leak;	/* row + 1 of a call that gave user space poison */
	struct progress progress[MAX_THREADS];
	struct program corpus[CORPUS];
};

static struct shared *sh;
static struct world world;
static struct {
	uint64_t seed, calls;
	unsigned int seconds, threads;
	long life;
	FILE *log, *replay;
	bool kcov, poison;
} opt = { .seed = 1, .calls = ~0ull, .threads = 3, .life = -1 };

/* Seconds. */
static uint64_t now(void)
{
	return now_ns() / 1000000000;
}

/* -------- programs -------- */

static void random_call(struct call *c, uint64_t *rng)
{
	unsigned int i;

	do {
		c->row = random_next(rng) % nr_rows;
	} while (rows[c->row].one_in && random_next(rng) % rows[c->row].one_in);
	c->vm = random_next(rng) % 4 ? 0 : random_next(rng) % WORLD_VMS;
	c->vcpu = random_next(rng) % 4 ? random_next(rng) % 2 : random_next(rng) % WORLD_VCPUS;
	c->variant = random_next(rng);
	for (i = 0; i < NR_GENES; i++)
		c->genes.gene[i] = random_next(rng);
	c->genes.used = 0;
	c->genes.valid = !(random_next(rng) % 6);
}

static void random_program(struct program *p, uint64_t *rng)
{
	unsigned int i;

	p->n = 4 + random_next(rng) % (PROGRAM_CALLS - 4);
	for (i = 0; i < p->n; i++)
		random_call(&p->call[i], rng);
}

static void vary_program(struct program *p, uint64_t *rng)
{
	unsigned int changes = 1 + random_next(rng) % 4, i;
	const struct program *other;

	while (changes--) {
		i = random_next(rng) % p->n;
		switch (random_next(rng) % 6) {
		case 0:
			random_call(&p->call[i], rng);
			break;
		case 1:		/* one more */
			if (p->n == PROGRAM_CALLS)
				break;
			memmove(&p->call[i + 1], &p->call[i], (p->n++ - i) * sizeof(p->call[0]));
			random_call(&p->call[i], rng);
			break;
		case 2:		/* one less */
			if (p->n > 1)
				memmove(&p->call[i], &p->call[i + 1], (--p->n - i) * sizeof(p->call[0]));
			break;
		case 3:		/* the end of another */
			other = &sh->corpus[random_next(rng) % sh->corpus_size];
			if (other->n <= i)
				break;
			memcpy(&p->call[i], &other->call[i], (other->n - i) * sizeof(p->call[0]));
			p->n = other->n;
			break;
		default:
			p->call[i].genes.gene[random_next(rng) % NR_GENES] = random_next(rng);
			p->call[i].genes.valid = false;
			break;
		}
	}
}

static void next_program(struct program *p, uint64_t *rng)
{
	unsigned int size = sh->corpus_size;

	if (!size || !(random_next(rng) % 4)) {
		random_program(p, rng);
		return;
	}
	*p = sh->corpus[random_next(rng) % size];
	if (!p->n || p->n > PROGRAM_CALLS)
		random_program(p, rng);
	vary_program(p, rng);
}

static void keep(const struct program *p, unsigned int n)
{
	unsigned int at;

	if (atomic_exchange(&sh->corpus_lock, true))
		return;
	at = sh->corpus_size;
	/* When it is full, the new ones drive the old ones out. */
	if (at == CORPUS)
		at = mix(sh->calls) % CORPUS;
	else
		sh->corpus_size = at + 1;
	sh->corpus[at] = *p;
	sh->corpus[at].n = n;
	atomic_store(&sh->corpus_lock, false);
}

/* -------- what is new -------- */

static bool mark(uint64_t hash)
{
	uint64_t bit = 1ull << (hash & 63);

	if (atomic_load_explicit(&sh->map[hash / 64 % (MAP_BITS / 64)], memory_order_relaxed) & bit)
		return false;
	if (atomic_fetch_or(&sh->map[hash / 64 % (MAP_BITS / 64)], bit) & bit)
		return false;
	sh->edges++;
	return true;
}

static bool mark_edges(struct cover *cover)
{
	const uint64_t *pc;
	unsigned int n, i;
	bool new = false;
	uint64_t before = 0;

	pc = cover_stop(cover, &n);
	for (i = 0; i < n; i++) {
		new |= mark(mix(pc[i] ^ before << 7));
		before = pc[i];
	}
	return new;
}

/* Without KCOV a call is known by what it answers. */
static bool mark_answer(unsigned int row, long result, unsigned int exit_reason)
{
	return mark(mix((uint64_t)row << 32 ^ (uint64_t)exit_reason << 16 ^ (uint64_t)(result < 0 ? errno : 0)));
}

/* -------- running them -------- */

struct thread {
	unsigned int nr;
	uint64_t rng;
	struct arg arg;
	struct cover *cover;
	pthread_t pthread;
};

static void log_program(const struct program *p, unsigned int thread)
{
	unsigned int i, j;

	flockfile(opt.log);
	fprintf(opt.log, "program %u %u\n", thread, p->n);
	for (i = 0; i < p->n; i++) {
		const struct call *c = &p->call[i];

		fprintf(opt.log, "%u %u %u %u %u", c->row, c->vm, c->vcpu, c->variant, c->genes.valid);
		for (j = 0; j < NR_GENES; j++)
			fprintf(opt.log, " %" PRIx64, c->genes.gene[j]);
		fprintf(opt.log, " %s\n", rows[c->row].name);
	}
	fflush(opt.log);
	funlockfile(opt.log);
}

static unsigned int exit_reason(const struct world *w, const struct target *t)
{
	const struct kvm_run *run = w->vcpu[t->vcpu].run;

	return run ? run->exit_reason : 0;
}

/* Nothing that the kernel has not initialized may come out. */
static void look_for_poison(const struct call *c, const struct row *row, const struct target *t, const struct arg *a)
{
	size_t size = arg_output(row, a);
	const struct kvm_run *run;

	if (is_run(row)) {
		run = world.vcpu[t->vcpu].run;
		if (run && poison_in(run, world.run_size))
			sh->leak = c->row + 1;
		return;
	}
	if (size && poison_in(a->buf, size))
		sh->leak = c->row + 1;
}

/* True if it did something that was not seen before. */
static bool do_call(struct thread *th, struct call *c)
{
	const struct row *row = &rows[c->row % nr_rows];
	struct target t = { .w = &world, .vm = c->vm % WORLD_VMS, .vcpu = c->vcpu % WORLD_VCPUS, .g = &c->genes };
	struct progress *progress = &sh->progress[th->nr];
	bool new = false;
	long r;

	/* Its thread may be on a CPU where no guest may be. */
	if (is_run(row) && world.run_here_only && th->nr == 2)
		return false;
	c->genes.used = 0;
	t.fd = target_fd(row, &t);
	if (row->on != ON_NOTHING && t.fd < 0)
		return false;
	if (row->cmd)
		arg_make(row, &t, &th->arg, row->variants ? c->variant % row->variants : 0);
	atomic_store(&progress->row, c->row + 1);
	cover_start(th->cover);
	r = row->cmd ? ioctl(t.fd, row->cmd, th->arg.value) : row->act(&t);
	if (th->cover)
		new = mark_edges(th->cover);
	else if (row->cmd)
		new = mark_answer(c->row, r, is_run(row) ? exit_reason(&world, &t) : 0);
	atomic_store(&progress->row, 0);
	progress->since++;
	sh->row_calls[c->row]++;
	sh->row_good[c->row] += r >= 0;
	sh->calls++;
	if (opt.poison && row->cmd)
		look_for_poison(c, row, &t, &th->arg);
	if (row->after)
		row->after(&t, &th->arg, r);
	return new;
}

static void run_program(struct thread *th, struct program *p)
{
	unsigned int i;

	if (opt.log)
		log_program(p, th->nr);
	for (i = 0; i < p->n && !sh->stop; i++) {
		if (do_call(th, &p->call[i]))
			keep(p, i + 1);
	}
	sh->programs++;
}

static void begin_thread(struct thread *th)
{
	cpu_set_t cpus;

	sh->progress[th->nr].tid = gettid();
	run_timer_create();
	arg_init(&th->arg);
	cover_open(&th->cover);
	if (!world.run_here_only)
		return;
	/* An emulator whose CPUs may not both be in guest mode: guests on the first, all the rest on the second. */
	CPU_ZERO(&cpus);
	CPU_SET(th->nr == 2, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void *thread_main(void *arg)
{
	struct thread *th = arg;
	struct program *p = malloc(sizeof(*p));
	unsigned int i;

	begin_thread(th);
	for (i = 0; i < LIFE_PROGRAMS && !sh->stop; i++) {
		next_program(p, &th->rng);
		run_program(th, p);
	}
	free(p);
	return NULL;
}

/* -------- lives -------- */

/* Threads side by side in two of three; the way it ends is another matter of chance. */
static void live(unsigned long number)
{
	struct thread thread[MAX_THREADS];
	uint64_t rng = opt.seed ^ mix(number + 1);
	unsigned int n = number % 3 ? opt.threads : 1, i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	world_create(&world, random_next(&rng) % NR_CHIPS, 2);
	world.run_here_only = host_is_tcg() && sysconf(_SC_NPROCESSORS_ONLN) > 1;
	memset(thread, 0, sizeof(thread));
	for (i = 0; i < n; i++) {
		thread[i].nr = i;
		thread[i].rng = random_next(&rng);
		MUST(-pthread_create(&thread[i].pthread, NULL, thread_main, &thread[i]));
	}
	if (random_next(&rng) % 4) {
		for (i = 0; i < n; i++)
			pthread_join(thread[i].pthread, NULL);
	} else {
		/* In the midst of it */
		usleep(random_next(&rng) % 1500000);
	}
	switch (random_next(&rng) % 3) {
	case 0:
		world_close(&world);
		_exit(0);
	case 1:
		_exit(0);
	default:
		raise(SIGKILL);
	}
}

/* -------- watching -------- */

/* Lines of a thread's file in /proc that begin with @what. */
static void show(pid_t pid, int tid, const char *name, const char *what)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, what, strlen(what)))
			printf("#   %s", line);
	if (f)
		fclose(f);
}

/* A thread that is in the same call for too long. */
static bool hangs(pid_t pid, uint64_t *since, uint64_t *seen)
{
	unsigned int i, row;
	uint64_t done = 0;

	for (i = 0; i < MAX_THREADS; i++)
		done += sh->progress[i].since;
	if (done != *seen) {
		*seen = done;
		*since = now();
	}
	if (now() - *since < HANG_SECONDS)
		return false;
	for (i = 0; i < MAX_THREADS; i++) {
		row = sh->progress[i].row;
		if (!row)
			continue;
		printf("# thread %u hangs in %s\n", i, rows[row - 1].name);
		show(pid, sh->progress[i].tid, "stack", "");
		show(pid, sh->progress[i].tid, "status", "SigBlk");
	}
	return true;
}

/* 0, or why it failed. */
static const char *watch_life(pid_t pid, uint64_t deadline)
{
	uint64_t since = now(), seen = 0;
	int status, ms = 0;

	while (!waitpid(pid, &status, WNOHANG)) {
		usleep(5000);
		if (++ms % 100)
			continue;
		if (now() > deadline || sh->calls >= opt.calls)
			sh->stop = true;
		if (hangs(pid, &since, &seen)) {
			kill(pid, SIGKILL);
			return "a call does not end";
		}
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS)
		return "a life was ended by a signal that nobody sent";
	if (WIFEXITED(status) && WEXITSTATUS(status))
		return "a world could not be made";
	return NULL;
}

/* The module's use count: what is left of earlier lives goes by and by (it is freed after grace periods). */
static long module_users(void)
{
	FILE *f = fopen("/sys/module/vmm/refcnt", "r");
	long n = -1;

	if (f) {
		if (fscanf(f, "%ld", &n) != 1)
			n = -1;
		fclose(f);
	}
	return n;
}

static bool all_gone(long before)
{
	int i;

	for (i = 0; i < 200 && module_users() > before; i++)
		usleep(50000);
	return module_users() <= before;
}

static pid_t new_life(unsigned long number)
{
	pid_t pid;

	memset(sh->progress, 0, sizeof(sh->progress));
	atomic_store(&sh->corpus_lock, false);
	if (opt.log) {
		fprintf(opt.log, "life %lu of seed %" PRIu64 "\n", number, opt.seed);
		fflush(opt.log);
	}
	fflush(stdout);
	pid = fork();
	if (!pid) {
		live(number);
		_exit(0);
	}
	return pid;
}

static const char *lives(unsigned long *count)
{
	uint64_t deadline = opt.seconds ? now() + opt.seconds : ~0ull, told = now();
	const char *why = NULL;

	while (!why && now() < deadline && sh->calls < opt.calls) {
		pid_t pid = new_life(opt.life >= 0 ? (unsigned long)opt.life : *count);

		if (pid < 0)
			return "no process";
		why = watch_life(pid, deadline);
		++*count;
		if (opt.life >= 0)
			break;
		if (now() - told >= 60) {
			told = now();
			printf("# %" PRIu64 " calls, %lu lives, %" PRIu64 " edges, %u kept\n", sh->calls, *count, sh->edges, sh->corpus_size);
			fflush(stdout);
		}
	}
	return why;
}

/* -------- replay -------- */

static bool read_call(struct call *c)
{
	unsigned int row, vm, vcpu, variant, valid, i;

	memset(c, 0, sizeof(*c));
	if (fscanf(opt.replay, "%u %u %u %u %u", &row, &vm, &vcpu, &variant, &valid) != 5)
		return false;
	for (i = 0; i < NR_GENES; i++)
		if (fscanf(opt.replay, "%" SCNx64, &c->genes.gene[i]) != 1)
			return false;
	c->row = row;
	c->vm = vm;
	c->vcpu = vcpu;
	c->variant = variant;
	c->genes.valid = valid;
	return fscanf(opt.replay, "%*s") != EOF;
}

/* What a log holds, life by life, in one thread. */
static void replay(void)
{
	struct thread th = { 0 };
	struct program p;
	unsigned int thread, i;
	char word[16];
	bool begun = false;

	while (fscanf(opt.replay, "%15s", word) == 1) {
		if (!strcmp(word, "life")) {
			unsigned long number;
			uint64_t rng;

			MUST(-(fscanf(opt.replay, "%lu of seed %" SCNu64, &number, &opt.seed) != 2));
			if (begun)
				world_close(&world);
			rng = opt.seed ^ mix(number + 1);
			world_create(&world, random_next(&rng) % NR_CHIPS, 2);
			if (!begun)
				begin_thread(&th);
			begun = true;
			continue;
		}
		if (fscanf(opt.replay, "%u %u", &thread, &p.n) != 2 || p.n > PROGRAM_CALLS)
			return;
		for (i = 0; i < p.n; i++)
			if (!read_call(&p.call[i]))
				return;
		run_program(&th, &p);
	}
}

/* -------- main -------- */

static int usage(const char *name)
{
	fprintf(stderr, "usage: %s [--device PATH] [--seed N] [--calls N] [--seconds N] [--threads N] [--life N] [--log FILE] [--replay FILE]\n", name);
	return 2;
}

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' }, { "seed", required_argument, NULL, 's' },
		{ "calls", required_argument, NULL, 'c' }, { "seconds", required_argument, NULL, 't' },
		{ "threads", required_argument, NULL, 'n' }, { "life", required_argument, NULL, 'l' },
		{ "log", required_argument, NULL, 'o' }, { "replay", required_argument, NULL, 'r' }, { 0 },
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
		case 'c':
			opt.calls = strtoull(optarg, NULL, 0);
			break;
		case 't':
			opt.seconds = atoi(optarg);
			break;
		case 'n':
			opt.threads = atoi(optarg);
			break;
		case 'l':
			opt.life = atol(optarg);
			break;
		case 'o':
			opt.log = fopen(optarg, "w");
			break;
		case 'r':
			opt.replay = fopen(optarg, "r");
			break;
		default:
			return false;
		}
	}
	return opt.threads && opt.threads <= MAX_THREADS;
}

static void summary(unsigned long count)
{
	struct cover *probe;
	unsigned int i, never = 0, bad = 0;

	for (i = 0; i < nr_rows; i++) {
		never += !sh->row_calls[i];
		bad += sh->row_calls[i] && !sh->row_good[i];
		if (sh->row_calls[i] && !sh->row_good[i])
			printf("# never succeeded: %s (%" PRIu64 " times)\n", rows[i].name, sh->row_calls[i]);
	}
	opt.kcov = cover_open(&probe);
	printf("# seed %" PRIu64 ": %" PRIu64 " calls, %" PRIu64 " programs, %lu lives, %" PRIu64 " %s, %u kept, %u rows never called, %u never succeeded\n",
	       opt.seed, sh->calls, sh->programs, count, sh->edges, opt.kcov ? "edges" : "answers", sh->corpus_size, never, bad);
}

int main(int argc, char **argv)
{
	unsigned long count = 0;
	const char *why = NULL;
	long before;

	if (!parse(argc, argv))
		return usage(argv[0]);
	if (!opt.seconds && opt.calls == ~0ull && opt.life < 0)
		opt.seconds = 15;
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		return 2;
	printf("KTAP version 1\n1..3\n# seed %" PRIu64 "\n", opt.seed);
	before = module_users();
	opt.poison = poison_used();
	if (opt.replay)
		replay();
	else
		why = lives(&count);
	summary(count);
	if (why)
		printf("# %s\n", why);
	printf("%sok 1 no call hangs, and a world can always be made again\n", why ? "not " : "");
	if (!opt.replay && before >= 0 && !all_gone(before)) {
		printf("# the module has %ld users, not %ld\n", module_users(), before);
		why = "users";
		printf("not ok 2 nothing of the worlds is left\n");
	} else {
		printf("ok 2 nothing of the worlds is left%s\n", before < 0 ? " # SKIP no use count" : "");
	}
	if (sh->leak) {
		printf("# uninitialized memory in what %s gives\nnot ok 3 all that user space gets is initialized\n", rows[sh->leak - 1].name);
		why = "leak";
	} else {
		printf("ok 3 all that user space gets is initialized%s\n", opt.poison ? "" : " # SKIP this kernel does not poison");
	}
	return why ? 1 : 0;
}
