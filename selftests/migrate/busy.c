// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program for a guest that is moved while it runs.
 *
 * busy run FILE MB THREADS RATE [DISK [ADDRESS PORT]]
 *	goes into the background when it is at work: THREADS rewrite MB of
 *	memory, RATE MB a second (max: as fast as they can) in all; one more
 *	does so with a part of DISK, and one talks to who echoes UDP there.
 * busy rate FILE RATE
 *	changes the rate.
 * busy check FILE [SECONDS]
 *	succeeds if, after now, all of the memory and the disk were found as
 *	they were left, and nothing was ever amiss.
 *
 * What a block holds follows from its number and from how often it was
 * written, which is noted elsewhere: each is compared before it is rewritten,
 * so that every write that gets lost on the way shows within one pass, as does
 * every clock that goes back, on whatever CPU. Some pages are written once
 * only, and some writes are of zeros, which those who move guests treat in
 * ways of their own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE		4096
#define WORDS		(PAGE / 8)
#define STILL		4		/* one page in so many is written once */
#define STRIDE		7919		/* a prime: pages are not visited in their order */
#define DISK_START	(8 << 20)	/* before it stands this program */
#define DISK_BLOCK	65536
#define DISK_BLOCKS	32
#define DATAGRAM	1024
#define MAX_THREADS	64
#define NS		1000000000ull
#define IDLE_NS		20000000
#define RATE_MAX	UINT64_MAX

enum { MONOTONIC, REALTIME, TSC, CLOCKS };
static const char *const clock_names[CLOCKS] = { "CLOCK_MONOTONIC", "CLOCK_REALTIME", "the TSC" };

/* Each is written by one thread. */
struct worker {
	uint64_t visits, passes, answered, gap;
};

struct shared {
	uint64_t asked;		/* number of the last check */
	uint64_t rate;		/* bytes a second, all workers together */
	uint64_t errors;
	uint64_t latest[CLOCKS], backwards[CLOCKS], leap[CLOCKS];
	uint64_t lost;		/* datagrams without an answer */
	uint32_t workers, memory_workers;
	bool has_disk, has_net;
	struct worker worker[MAX_THREADS + 2];
	char first_error[256];
};

static struct shared *shared;

#define GET(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define SET(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELEASE)
#define ADD(x, v)	__atomic_add_fetch(&(x), v, __ATOMIC_SEQ_CST)

static __attribute__((format(printf, 1, 2))) void amiss(const char *format, ...)
{
	va_list args;

	if (ADD(shared->errors, 1) > 1)
		return;
	va_start(args, format);
	vsnprintf(shared->first_error, sizeof(shared->first_error), format, args);
	va_end(args);
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "busy: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* -------- clocks -------- */

static uint64_t read_clock(int which)
{
	struct timespec t;

	if (which == TSC) {
		_mm_lfence();
		return __rdtsc();
	}
	clock_gettime(which == MONOTONIC ? CLOCK_MONOTONIC : CLOCK_REALTIME, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static void raise_to(uint64_t *max, uint64_t value)
{
	uint64_t old = GET(*max);

	while (old < value &&
	       !__atomic_compare_exchange_n(max, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

/* No thread may read less than any has read before. Returns the monotonic time. */
static uint64_t look_at_clocks(void)
{
	uint64_t now[CLOCKS];

	for (int i = 0; i < CLOCKS; i++) {
		uint64_t latest = GET(shared->latest[i]);

		now[i] = read_clock(i);
		if (now[i] < latest) {
			ADD(shared->backwards[i], 1);
			raise_to(&shared->leap[i], latest - now[i]);
		}
		raise_to(&shared->latest[i], now[i]);
	}
	return now[MONOTONIC];
}

static void sleep_ns(uint64_t ns)
{
	struct timespec t = { ns / NS, ns % NS };

	nanosleep(&t, NULL);
}

/* -------- contents -------- */

struct pattern {
	uint64_t base, step;
};

static struct pattern pattern_of(uint64_t block, uint32_t generation)
{
	uint64_t x = block << 32 | generation;

	if ((block + generation) % 8 == 7)
		return (struct pattern){ 0, 0 };
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	x ^= x >> 31;
	return (struct pattern){ x, x | 1 };
}

static void fill(uint64_t *words, size_t count, struct pattern p)
{
	for (size_t i = 0; i < count; i++)
		words[i] = p.base + i * p.step;
}

static bool holds(const uint64_t *words, size_t count, struct pattern p)
{
	uint64_t differ = 0;

	for (size_t i = 0; i < count; i++)
		differ |= words[i] ^ (p.base + i * p.step);
	return !differ;
}

static void describe(const char *what, uint64_t block, uint32_t generation, const uint64_t *words, size_t count)
{
	struct pattern want = pattern_of(block, generation);
	char age[64] = "of none of the last generations";
	size_t i = 0;

	while (i < count && words[i] == want.base + i * want.step)
		i++;
	for (uint32_t back = 1; back <= 16 && back <= generation; back++) {
		struct pattern old = pattern_of(block, generation - back);

		if (words[i] == old.base + i * old.step) {
			snprintf(age, sizeof(age), "%u generations old", back);
			break;
		}
	}
	amiss("%s %llu, word %zu is %#llx, not %#llx: %s", what, (unsigned long long)block, i,
	      (unsigned long long)words[i], (unsigned long long)(want.base + i * want.step), age);
}

/* -------- memory -------- */

struct range {
	struct worker *worker;
	uint64_t first, pages;		/* numbers of its pages in all of them */
	uint64_t *memory;
	uint32_t *generation;
};

struct pace {
	uint64_t since, bytes;
};

static bool in_haste(const struct worker *w)
{
	return !w->passes || w->answered != GET(shared->asked);
}

/* Holds a worker to its part of the rate, unless somebody waits for its pass. */
static void keep_pace(struct pace *pace, const struct worker *w, uint64_t now)
{
	uint64_t rate, due;

	while ((rate = GET(shared->rate)) == 0 && !in_haste(w))
		sleep_ns(IDLE_NS);
	rate /= shared->memory_workers;
	if (in_haste(w) || rate >= RATE_MAX / MAX_THREADS || now > pace->since + pace->bytes * NS / rate + NS) {
		pace->since = now;
		pace->bytes = 0;
		return;
	}
	pace->bytes += PAGE;
	due = pace->since + pace->bytes * NS / rate;
	if (due > now + NS / 200)
		sleep_ns(due - now);
	if (pace->bytes >= 1 << 20) {
		pace->since = due;
		pace->bytes = 0;
	}
}

static void visit(struct range *r, uint64_t page)
{
	uint64_t *words = r->memory + page * WORDS;
	uint32_t *generation = &r->generation[page];

	if (*generation && !holds(words, WORDS, pattern_of(r->first + page, *generation)))
		describe("page", r->first + page, *generation, words, WORDS);
	if (*generation && page % STILL == 0)
		return;
	++*generation;
	fill(words, WORDS, pattern_of(r->first + page, *generation));
}

static void count_visits(const struct range *r)
{
	uint64_t sum = 0, written = 0;

	for (uint64_t i = 0; i < r->pages; i++) {
		sum += r->generation[i];
		written += i % STILL ? r->worker->passes : 1;
	}
	if (sum != written)
		amiss("the pages' generations make %llu, not %llu", (unsigned long long)sum, (unsigned long long)written);
}

static void *rewrite_memory(void *arg)
{
	struct range *r = arg;
	struct worker *w = r->worker;
	struct pace pace = { 0 };
	uint64_t last = look_at_clocks();

	for (;;) {
		uint64_t asked = GET(shared->asked);

		for (uint64_t i = 0; i < r->pages; i++) {
			uint64_t now;

			visit(r, i * STRIDE % r->pages);
			SET(w->visits, w->visits + 1);
			now = look_at_clocks();
			raise_to(&w->gap, now > last ? now - last : 0);
			keep_pace(&pace, w, now);
			last = now;
		}
		SET(w->passes, w->passes + 1);
		count_visits(r);
		SET(w->answered, asked);
	}
	return NULL;
}

static void start_memory(uint64_t bytes, unsigned int threads)
{
	uint64_t pages = bytes / PAGE / threads;

	if (pages % STRIDE == 0)
		pages--;
	for (unsigned int i = 0; i < threads; i++) {
		struct range *r = calloc(1, sizeof(*r));
		pthread_t thread;

		r->worker = &shared->worker[i];
		r->first = i * pages;
		r->pages = pages;
		r->memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		r->generation = calloc(pages, sizeof(*r->generation));
		if (r->memory == MAP_FAILED || !r->generation || pthread_create(&thread, NULL, rewrite_memory, r))
			die("memory");
	}
}

/* -------- disk -------- */

static int disk;

static void visit_block(uint64_t block, uint32_t *generation, uint64_t *buffer)
{
	off_t at = DISK_START + block * DISK_BLOCK;

	if (*generation) {
		if (pread(disk, buffer, DISK_BLOCK, at) != DISK_BLOCK)
			amiss("the disk cannot be read: %s", strerror(errno));
		else if (!holds(buffer, DISK_BLOCK / 8, pattern_of(block, *generation)))
			describe("disk block", block, *generation, buffer, DISK_BLOCK / 8);
	}
	++*generation;
	fill(buffer, DISK_BLOCK / 8, pattern_of(block, *generation));
	if (pwrite(disk, buffer, DISK_BLOCK, at) != DISK_BLOCK)
		amiss("the disk cannot be written: %s", strerror(errno));
}

static void *rewrite_disk(void *arg)
{
	static uint32_t generation[DISK_BLOCKS];
	struct worker *w = arg;
	uint64_t *buffer = aligned_alloc(PAGE, DISK_BLOCK);

	for (;;) {
		uint64_t asked = GET(shared->asked);

		for (uint64_t i = 0; i < DISK_BLOCKS; i++) {
			visit_block(i, &generation[i], buffer);
			SET(w->visits, w->visits + 1);
			if (!in_haste(w))
				sleep_ns(IDLE_NS);
		}
		SET(w->passes, w->passes + 1);
		SET(w->answered, asked);
	}
	return NULL;
}

/* -------- network -------- */

static int net;

/* One datagram there and back. False if no answer comes within a second, as happens while a guest is moved. */
static bool exchange(uint64_t number)
{
	uint64_t out[DATAGRAM / 8], in[DATAGRAM / 8] = { 0 };
	ssize_t got;

	fill(out, DATAGRAM / 8, pattern_of(number, 0));
	out[0] = number;
	if (send(net, out, sizeof(out), 0) != sizeof(out))
		return false;
	do {
		got = recv(net, in, sizeof(in), 0);
		if (got < 0)
			return false;
		/* An answer to one that was given up */
	} while (in[0] < number);
	if (got != sizeof(in) || memcmp(in, out, sizeof(in)))
		amiss("datagram %llu came back as another", (unsigned long long)number);
	return true;
}

static void *talk(void *arg)
{
	struct worker *w = arg;
	uint64_t number = 1;

	for (;; number++) {
		uint64_t asked = GET(shared->asked);

		if (exchange(number)) {
			SET(w->visits, w->visits + 1);
			SET(w->passes, w->passes + 1);
			SET(w->answered, asked);
		} else {
			SET(shared->lost, shared->lost + 1);
		}
		sleep_ns(IDLE_NS);
	}
	return NULL;
}

static void connect_to(const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
	struct timeval second = { .tv_sec = 1 };

	net = socket(AF_INET, SOCK_DGRAM, 0);
	if (net < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    setsockopt(net, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second)) ||
	    connect(net, (struct sockaddr *)&to, sizeof(to)))
		die(address);
}

/* -------- commands -------- */

static uint64_t parse_rate(const char *text)
{
	return strcmp(text, "max") ? strtoull(text, NULL, 10) << 20 : RATE_MAX;
}

static void attach(const char *path, bool create)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0600);

	if (fd < 0 || (create && ftruncate(fd, sizeof(*shared))))
		die(path);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		die(path);
	close(fd);
}

static const char *name_of(unsigned int worker)
{
	static char name[32];

	if (worker >= shared->memory_workers)
		return shared->has_disk && worker == shared->memory_workers ? "the disk's thread" : "the network's thread";
	snprintf(name, sizeof(name), "memory thread %u", worker);
	return name;
}

/* Which worker has not answered that check; as many as there are if all have. */
static unsigned int who_is_late(uint64_t asked, bool first_pass)
{
	unsigned int i;

	for (i = 0; i < shared->workers; i++)
		if (GET(shared->worker[i].answered) < asked || (first_pass && !GET(shared->worker[i].passes)))
			break;
	return i;
}

static void start_thread(void *(*run)(void *), unsigned int worker)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, &shared->worker[worker]))
		die("thread");
}

static int work(int argc, char **argv)
{
	unsigned int threads = atoi(argv[4]), n = threads;

	if (threads < 1 || threads > MAX_THREADS)
		return 2;
	attach(argv[2], true);
	shared->rate = parse_rate(argv[5]);
	shared->memory_workers = threads;
	shared->has_disk = argc > 6;
	shared->has_net = argc > 8;
	shared->workers = threads + shared->has_disk + shared->has_net;
	if (shared->has_disk) {
		disk = open(argv[6], O_RDWR | O_DIRECT);
		if (disk < 0)
			die(argv[6]);
	}
	if (shared->has_net)
		connect_to(argv[7], argv[8]);
	if (fork()) {
		while (who_is_late(0, true) < shared->workers)
			sleep_ns(IDLE_NS);
		return 0;
	}
	/* It keeps the terminal for what it might have to complain of. */
	if (daemon(1, 1))
		die("daemon");
	start_memory(strtoull(argv[3], NULL, 10) << 20, threads);
	if (shared->has_disk)
		start_thread(rewrite_disk, n++);
	if (shared->has_net)
		start_thread(talk, n++);
	for (;;)
		pause();
}

static int tell(void)
{
	uint64_t pages = 0, gap = 0;
	bool good = !GET(shared->errors);

	for (unsigned int i = 0; i < shared->memory_workers; i++) {
		pages += GET(shared->worker[i].visits);
		raise_to(&gap, __atomic_exchange_n(&shared->worker[i].gap, 0, __ATOMIC_SEQ_CST));
	}
	if (!good)
		printf("%llu times amiss, first: %s\n", (unsigned long long)shared->errors, shared->first_error);
	for (int i = 0; i < CLOCKS; i++) {
		if (!shared->backwards[i])
			continue;
		printf("%s went back %llu times, by up to %llu\n", clock_names[i],
		       (unsigned long long)shared->backwards[i], (unsigned long long)shared->leap[i]);
		good = false;
	}
	printf("%s: %llu page visits", good ? "unharmed" : "harmed", (unsigned long long)pages);
	for (unsigned int i = shared->memory_workers; i < shared->workers; i++)
		printf(", %llu of %s", (unsigned long long)GET(shared->worker[i].visits), name_of(i));
	printf(", %llu datagrams lost, longest gap %llu ms\n", (unsigned long long)shared->lost,
	       (unsigned long long)(gap / 1000000));
	return good ? 0 : 1;
}

static int check(const char *path, int seconds)
{
	uint64_t asked, limit;
	unsigned int late;

	attach(path, false);
	asked = ADD(shared->asked, 1);
	limit = read_clock(MONOTONIC) + seconds * NS;
	while ((late = who_is_late(asked, false)) < shared->workers) {
		if (read_clock(MONOTONIC) > limit) {
			printf("%s does not get on\n", name_of(late));
			tell();
			return 1;
		}
		sleep_ns(IDLE_NS);
	}
	return tell();
}

int main(int argc, char **argv)
{
	if (argc > 5 && !strcmp(argv[1], "run"))
		return work(argc, argv);
	if (argc == 4 && !strcmp(argv[1], "rate")) {
		attach(argv[2], false);
		SET(shared->rate, parse_rate(argv[3]));
		return 0;
	}
	if (argc > 2 && !strcmp(argv[1], "check"))
		return check(argv[2], argc > 3 ? atoi(argv[3]) : 60);
	fprintf(stderr, "usage: busy run|rate|check FILE ...\n");
	return 2;
}
