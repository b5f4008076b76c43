// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_TARGET [-n RUNS] [-t SECONDS] [-s SEED] [-o DIR] [FILE|DIR]...
 *
 * The driver for where there is no libFuzzer, with any gcc: inputs are the target's own and those of the files; each is run, then
 * mutants of those that got anywhere new, as the compiler's instrumentation (-fsanitize-coverage=trace-pc,trace-cmp) tells.
 * -n 0 runs the inputs only. -o keeps what is new in that directory. The same seed gives the same runs, but for what
 * threads do. An input that ends the process is left in crash-TARGET; one that takes too long ends it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "util/time.h"

#define MAP_BITS	15
#define MAP_SIZE	(1u << MAP_BITS)
#define WORDS_MAX	256	/* values that were compared with */
#define CORPUS_MAX	65536
#define HANG_SECONDS	120	/* emulators and sanitizers are slow */
#define DEFAULT_RUNS	10000

void __sanitizer_set_death_callback(void (*callback)(void));

/* ---- where the code has been ---- */

/* A byte for each place: 1 or 0 */
static union {
	uint8_t byte[MAP_SIZE];
	uint64_t word[MAP_SIZE / 8];
} seen_now, seen_ever;
static __thread uintptr_t last_place;
static uint64_t words[WORDS_MAX];
static unsigned int nr_words;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	uintptr_t place = (uintptr_t)__builtin_return_address(0);

	place ^= place >> MAP_BITS;
	seen_now.byte[(place ^ last_place) & (MAP_SIZE - 1)] = 1;
	last_place = place >> 1;
}

static void compared_with(uint64_t value)
{
	if (value > 1 && value != words[nr_words % WORDS_MAX])
		words[++nr_words % WORDS_MAX] = value;
}

#define TRACE(name, type) \
void __sanitizer_cov_trace_##name(type a, type b); \
void __sanitizer_cov_trace_##name(type a, type b) \
{ \
	if (a != b) \
		compared_with(a); \
}

TRACE(const_cmp1, uint8_t)
TRACE(const_cmp2, uint16_t)
TRACE(const_cmp4, uint32_t)
TRACE(const_cmp8, uint64_t)

#define NO_TRACE(name, type) \
void __sanitizer_cov_trace_##name(type a, type b); \
void __sanitizer_cov_trace_##name(type a, type b) \
{ \
	(void)a; \
	(void)b; \
}

NO_TRACE(cmp1, uint8_t)
NO_TRACE(cmp2, uint16_t)
NO_TRACE(cmp4, uint32_t)
NO_TRACE(cmp8, uint64_t)
NO_TRACE(cmpf, float)
NO_TRACE(cmpd, double)

void __sanitizer_cov_trace_switch(uint64_t value, void *table);
void __sanitizer_cov_trace_switch(uint64_t value, void *table)
{
	const uint64_t *cases = table;

	for (uint64_t i = 0; i < cases[0]; i++)
		if (cases[2 + i] != value)
			compared_with(cases[2 + i]);
}

/* Return: how many places were new in the last run. */
static unsigned int look_where(void)
{
	unsigned int fresh = 0;

	for (unsigned int i = 0; i < MAP_SIZE / 8; i++) {
		uint64_t more = seen_now.word[i] & ~seen_ever.word[i];

		if (!more)
			continue;
		fresh += (unsigned int)__builtin_popcountll(more);
		seen_ever.word[i] |= more;
	}
	return fresh;
}

static unsigned int places(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < MAP_SIZE; i++)
		n += seen_ever.byte[i];
	return n;
}

/* ---- inputs ---- */

struct input {
	uint8_t *data;
	size_t len;
};

static struct input corpus[CORPUS_MAX];
static unsigned int nr_corpus;
static const char *target, *keep_dir;
static uint8_t input[FUZZ_MAX];
static size_t input_len;
static uint64_t runs;

static bool write_file(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool good = fd >= 0 && write(fd, input, input_len) == (ssize_t)input_len;

	if (fd >= 0)
		close(fd);
	return good;
}

static void keep(void)
{
	struct input *in = &corpus[nr_corpus];
	char name[512];

	if (nr_corpus == CORPUS_MAX)
		return;
	in->data = malloc(input_len + 1);
	in->len = input_len;
	if (!in->data)
		abort();
	memcpy(in->data, input, input_len);
	nr_corpus++;
	if (!keep_dir)
		return;
	snprintf(name, sizeof(name), "%s/%s-%u", keep_dir, target, nr_corpus);
	write_file(name);
}

/* What ends the process leaves its input behind. */
static void died(void)
{
	char name[256];
	int n;

	n = snprintf(name, sizeof(name), "crash-%s", target);
	write_file(name);
	n = snprintf(name, sizeof(name), "# %s: run %" PRIu64 ": the input is in crash-%s\n", target, runs, target);
	if (write(STDERR_FILENO, name, (size_t)n) < 0)
		return;
}

static void on_signal(int sig)
{
	died();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void run(void)
{
	uint8_t *exact = malloc(input_len ? input_len : 1);

	if (!exact)
		abort();
	/* in a block of its very size, so that reading behind its end is found */
	memcpy(exact, input, input_len);
	memset(&seen_now, 0, sizeof(seen_now));
	last_place = 0;
	runs++;
	alarm(HANG_SECONDS);
	LLVMFuzzerTestOneInput(exact, input_len);
	free(exact);
	if (look_where())
		keep();
}

/* ---- mutants ---- */

static uint64_t random_state;

static uint64_t any(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static size_t below(size_t n)
{
	return n ? any() % n : 0;
}

static void insert(size_t at, const void *data, size_t len)
{
	if (input_len + len > FUZZ_MAX)
		return;
	memmove(input + at + len, input + at, input_len - at);
	memcpy(input + at, data, len);
	input_len += len;
}

static void cut(size_t at, size_t len)
{
	if (len > input_len - at)
		len = input_len - at;
	memmove(input + at, input + at + len, input_len - at - len);
	input_len -= len;
}

static void put_value(uint64_t value)
{
	size_t len = 1ull << below(4), at = below(input_len + 1);

	if (len > input_len - at || !below(4))
		insert(at, &value, len);
	else
		memcpy(input + at, &value, len);
}

static void mutate_once(void)
{
	static const uint64_t edges[] = {
		0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 4095, 4096, 0x7fff, 0x8000,
		0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000,
		0xffffffffffffffff, 0xfffffffffffff000,
	};
	uint8_t bytes[64];
	size_t at = below(input_len), len = 1 + below(sizeof(bytes));
	const struct input *other;

	switch (below(9)) {
	case 0:
		if (input_len)
			input[at] ^= (uint8_t)(1u << below(8));
		break;
	case 1:
		if (input_len)
			input[at] = (uint8_t)any();
		break;
	case 2:
		put_value(edges[below(sizeof(edges) / sizeof(edges[0]))]);
		break;
	case 3:
		put_value(words[below(WORDS_MAX)]);
		break;
	case 4:
		cut(at, len);
		break;
	case 5:
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)any();
		insert(below(input_len + 1), bytes, len);
		break;
	case 6:	/* a piece of it once more */
		if (len > input_len - at)
			len = input_len - at;
		memcpy(bytes, input + at, len);
		insert(below(input_len + 1), bytes, len);
		break;
	case 7:	/* a piece of another one */
		other = &corpus[below(nr_corpus)];
		at = below(other->len);
		len = 1 + below(other->len - at);
		if (other->len)
			insert(below(input_len + 1), other->data + at, len);
		break;
	case 8:
		if (input_len)
			input[at] += (uint8_t)(below(2) ? 1 : -1);
		break;
	}
}

static void mutate(void)
{
	/* new ones have more to show */
	size_t i = below(2) ? below(nr_corpus) : nr_corpus - 1 - below(nr_corpus / 4 + 1);
	size_t times = 1 + below(below(3) ? 4 : 32);

	memcpy(input, corpus[i].data, corpus[i].len);
	input_len = corpus[i].len;
	while (times--)
		mutate_once();
}

/* ---- the whole ---- */

static void run_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, input, sizeof(input));

	if (n < 0) {
		fprintf(stderr, "%s: %s: %s\n", target, path, strerror(errno));
		exit(2);
	}
	close(fd);
	input_len = (size_t)n;
	run();
}

static void run_path(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	char name[512];

	if (!d) {
		run_file(path);
		return;
	}
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		run_file(name);
	}
	closedir(d);
}

static void run_seeds(void)
{
	input_len = 0;
	run();
	if (!nr_corpus)
		keep();
	for (unsigned int i = 0; (input_len = fuzz_seed(i, input)); i++)
		run();
}

static double now(void)
{
	return (double)now_ns() / NSEC_PER_SEC;
}

int main(int argc, char **argv)
{
	uint64_t most = DEFAULT_RUNS, seed = 1;
	double began = now(), seconds = 0;
	int opt;

	target = basename(argv[0]);
	while ((opt = getopt(argc, argv, "n:t:s:o:")) != -1) {
		if (opt == 'n')
			most = strtoull(optarg, NULL, 10);
		else if (opt == 't')
			seconds = strtod(optarg, NULL);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 10);
		else if (opt == 'o')
			keep_dir = optarg;
		else
			return 2;
	}
	random_state = seed * 0x9e3779b97f4a7c15ull | 1;
	__sanitizer_set_death_callback(died);
	signal(SIGALRM, on_signal);
	signal(SIGABRT, on_signal);
	run_seeds();
	for (int i = optind; i < argc; i++)
		run_path(argv[i]);
	while (seconds > 0 ? now() - began < seconds : most-- > 0) {
		mutate();
		run();
	}
	alarm(0);
	printf("%s: %" PRIu64 " runs in %.1f s, %u inputs, %u places\n", target, runs, now() - began, nr_corpus, places());
	return 0;
}
