// SPDX-License-Identifier: GPL-2.0-only
/*
 * pattern MIB THREADS [MIB-PER-SECOND]: runs inside a guest that is moved. Each thread goes round and round its part of
 * the memory: a page must be what was written there last, and then gets the next generation. Once a second a line tells
 * of the progress; anything wrong, also a clock that goes back or stands, ends it with a line that says CORRUPT.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define WORDS (PAGE / 8)
#define STANDSTILL_NS 20000000000ull	/* emulated hosts are slow */

struct part {
	uint64_t *base;
	uint64_t pages, generation;
	uint64_t written;	/* pages, atomic */
	uint64_t pause_ns;	/* between two pages */
	pthread_t thread;
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void __attribute__((noreturn)) corrupt(const char *what, uint64_t where, uint64_t is, uint64_t was)
{
	printf("pattern: CORRUPT %s at %#llx: %#llx, not %#llx\n", what, (unsigned long long)where,
	       (unsigned long long)is, (unsigned long long)was);
	fflush(stdout);
	_exit(1);
}

/* The first pass finds zeroes. */
static void check(const struct part *p, uint64_t page)
{
	const uint64_t *words = p->base + page * WORDS;
	uint64_t seed = mix((uint64_t)(uintptr_t)words ^ p->generation);

	for (unsigned int i = 0; i < WORDS; i += 7) {
		uint64_t want = p->generation ? mix(seed + i) : 0;

		if (words[i] != want)
			corrupt("memory", (uintptr_t)&words[i], words[i], want);
	}
}

static void fill(const struct part *p, uint64_t page)
{
	uint64_t *words = p->base + page * WORDS;
	uint64_t seed = mix((uint64_t)(uintptr_t)words ^ (p->generation + 1));

	for (unsigned int i = 0; i < WORDS; i += 7)
		words[i] = mix(seed + i);
}

static void *run(void *arg)
{
	struct part *p = arg;
	uint64_t due = clock_ns(CLOCK_MONOTONIC);

	for (;; p->generation++) {
		for (uint64_t page = 0; page < p->pages; page++) {
			check(p, page);
			fill(p, page);
			__atomic_fetch_add(&p->written, 1, __ATOMIC_RELAXED);
			due += p->pause_ns;
			while (p->pause_ns && clock_ns(CLOCK_MONOTONIC) < due)
				usleep(1000);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
	unsigned int threads = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t rate = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	uint64_t before = clock_ns(CLOCK_MONOTONIC), pages;
	struct part *parts;

	if (!mib || !threads)
		return fprintf(stderr, "usage: pattern MIB THREADS [MIB-PER-SECOND]\n"), 2;
	parts = calloc(threads, sizeof(*parts));
	pages = mib * 256 / threads;
	for (unsigned int i = 0; i < threads; i++) {
		parts[i].base = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		parts[i].pages = pages;
		parts[i].pause_ns = rate ? threads * 1000000000ull / (rate * 256) : 0;
		if (parts[i].base == MAP_FAILED || pthread_create(&parts[i].thread, NULL, run, &parts[i]))
			return perror("pattern"), 2;
	}
	for (unsigned int tick = 0;; tick++) {
		uint64_t now, written = 0;

		sleep(1);
		now = clock_ns(CLOCK_MONOTONIC);
		if (now < before || now - before > STANDSTILL_NS)
			corrupt("clock", 0, now, before);
		before = now;
		for (unsigned int i = 0; i < threads; i++)
			written += __atomic_load_n(&parts[i].written, __ATOMIC_RELAXED);
		printf("pattern: tick %u pages %llu passes %llu\n", tick, (unsigned long long)written,
		       (unsigned long long)(written / (pages * threads)));
		fflush(stdout);
	}
}
