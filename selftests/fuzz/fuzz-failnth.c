// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every ioctl, and in it every allocation and every copy from or to user space, one after the other: it fails, the call says so
 * or gets along without, and what it worked on is as usable as before: the same call works then, and a guest. Wants a kernel that
 * fails on demand (Documentation/fault-injection: fail-nth).
 *
 *	fuzz-failnth [--chips N] [NAME]...	only ioctls of these names, only VMs with these chips (enum irqchip)
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "../lib/guest.h"
#include "fuzz.h"

#define MOST	500

static struct arg arg;

/* What a call gives; one that nothing fails, after it had failed on demand; and a guest after it. */
struct outcome {
	int err;
	int again;
	int run;
};

static unsigned long attempts, injected, refused;

/* -------- failing -------- */

static void set(const char *path, const char *val)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, val, strlen(val)) < 0)
		printf("# %s: %s\n", path, strerror(errno));
	close(fd);
}

static bool failures_on_demand(void)
{
	if (access("/proc/thread-self/fail-nth", W_OK))
		return false;
	set("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	set("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	set("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	/* What failed, and where, is not to fill the console. */
	set("/sys/kernel/debug/failslab/verbose", "0");
	set("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	set("/sys/kernel/debug/fail_usercopy/verbose", "0");
	return true;
}

static int nth;

/* False if this very write has failed in the end. */
static bool set_nth(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	return pwrite(nth, text, len, 0) == len;
}

/* Whether it came to that. What tells of it is a system call that may fail as well: then it had not. */
static bool fail_no_more(void)
{
	char text[16] = "";
	bool told = pread(nth, text, sizeof(text) - 1, 0) > 0;

	while (!set_nth(0))
		;
	return told && !atoi(text);
}

/* -------- one attempt -------- */

/* For who called it: what it made is closed. */
static int call(const struct row *row, struct target *t, unsigned int n, bool *failed)
{
	sigset_t all, old;
	int err;
	long r;

	/* The kernel puts a signal's frame on the stack: a failure there would be the end of this program. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	if (n)
		CHECK(set_nth(n));
	r = ioctl(t->fd, row->cmd, arg.value);
	err = r < 0 ? errno : 0;
	if (n)
		*failed = fail_no_more();
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (row->after)
		row->after(t, &arg, r);
	return err;
}

/* On a world of its own. @n 0: nothing fails. True if something did. */
static bool attempt(const struct row *row, enum irqchip chips, unsigned int variant, unsigned int n, struct outcome *out)
{
	struct genes genes = { .valid = true };
	struct target t = { .g = &genes };
	bool failed = false;
	struct world w;

	world_create(&w, chips, 2);
	t.w = &w;
	t.fd = target_fd(row, &t);
	if (is_run(row))
		world_set_mode(&w, 0, GUEST_LONG, "\xe6\xf1", 2);
	if (row->prelude) {
		const struct row *first = row;

		while (first->cmd != row->prelude)
			first--;
		arg_make(first, &t, &arg, 0);
		ioctl(t.fd, first->cmd, arg.value);
	}
	arg_make(row, &t, &arg, variant);
	out->err = call(row, &t, n, &failed);
	out->again = out->err;
	if (failed && out->err) {
		arg_make(row, &t, &arg, variant);
		out->again = call(row, &t, 0, NULL);
	}
	out->run = world_try_run(&w, 0);
	world_close(&w);
	attempts++;
	return failed;
}

static bool may_say(const struct row *row, int err, const struct outcome *normal)
{
	/* KVM has one word for padding that is not clean and padding that cannot be read. */
	if (err == EINVAL && row->cmd == KVM_GET_EMULATED_CPUID)
		return true;
	return !err || err == ENOMEM || err == EFAULT || err == EINTR || err == EAGAIN || err == normal->err;
}

/* False: something is wrong, and has been told. */
static bool walk_row(const struct row *row, enum irqchip chips, unsigned int variant)
{
	struct outcome normal, now;
	unsigned int n;

	attempt(row, chips, variant, 0, &normal);
	for (n = 1; n < MOST; n++) {
		if (!attempt(row, chips, variant, n, &now))
			return true;
		injected++;
		refused += now.err && now.err != normal.err;
		if (!may_say(row, now.err, &normal)) {
			printf("# %s, variant %u, chips %d, failure %u: errno %d, and %d without\n", row->name, variant, chips, n,
			       now.err, normal.err);
			return false;
		}
		if (now.err && now.again != normal.err) {
			printf("# %s, variant %u, chips %d, failure %u: errno %d, and %d when it is called again\n", row->name, variant,
			       chips, n, now.err, now.again);
			return false;
		}
		if (now.run && now.run != normal.run) {
			printf("# %s, variant %u, chips %d, failure %u: the guest then ends with %d\n", row->name, variant, chips, n,
			       now.run);
			return false;
		}
	}
	printf("# %s: no end of allocations\n", row->name);
	return false;
}

/* -------- all of them -------- */

static bool wanted(const struct row *row, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(row->name, argv[i]))
			return true;
	return argc < 2;
}

/* Some rows stand several times, to be called more often. */
static bool stood_before(unsigned int row)
{
	unsigned int i;

	for (i = 0; i < row; i++)
		if (rows[i].cmd == rows[row].cmd && rows[i].on == rows[row].on)
			return true;
	return false;
}

static bool walk_kind(enum irqchip chips, int argc, char **argv)
{
	unsigned int i, variant;
	unsigned long before;
	bool good = true;

	for (i = 0; i < nr_rows; i++) {
		if (!rows[i].cmd || stood_before(i) || !wanted(&rows[i], argc, argv))
			continue;
		before = injected;
		variant = 0;
		do {
			good &= walk_row(&rows[i], chips, variant);
		} while (++variant < rows[i].variants);
		printf("# %s: %lu failures\n", rows[i].name, injected - before);
	}
	return good;
}

int main(int argc, char **argv)
{
	static const char *const names[NR_CHIPS] = {
		[CHIPS_KERNEL] = "chips in the kernel", [CHIPS_NONE] = "no chips", [CHIPS_SPLIT] = "split chips",
		[CHIPS_RING] = "dirty rings",
	};
	struct world w;
	bool good = true;
	int chips, only = -1;
	char rest;

	if (argc > 1 && !strcmp(argv[1], "--chips")) {
		if (argc < 3 || sscanf(argv[2], "%d%c", &only, &rest) != 1 || only < 0 || only >= NR_CHIPS) {
			fprintf(stderr, "usage: fuzz-failnth [--chips 0..%d] [NAME]...\n", NR_CHIPS - 1);
			return 2;
		}
		argc -= 2;
		argv += 2;
	}
	test_device = test_usual_device();
	if (!failures_on_demand()) {
		printf("1..0 # SKIP this kernel does not fail on demand\n");
		return 4;
	}
	printf("KTAP version 1\n1..%d\n", NR_CHIPS);
	setvbuf(stdout, NULL, _IOLBF, 0);
	nth = MUST(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	run_timer_create();
	arg_init(&arg);
	/* The first world learns what later ones know. */
	world_create(&w, CHIPS_KERNEL, 1);
	world_close(&w);
	for (chips = 0; chips < NR_CHIPS; chips++) {
		bool ok;

		if (only >= 0 && only != chips) {
			printf("ok %d %s # SKIP\n", chips + 1, names[chips]);
			continue;
		}
		ok = walk_kind(chips, argc, argv);
		printf("%sok %d %s\n", ok ? "" : "not ", chips + 1, names[chips]);
		good &= ok;
	}
	printf("# %lu attempts, %lu failures, %lu refusals\n", attempts, injected, refused);
	return good ? 0 : 1;
}
