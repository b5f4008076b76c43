// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults. Pages that userfaultfd holds back are as slow as
 * the test wants them.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>

#include "pv.h"

#define SLOW_GPA	(64ul << 20)
#define SLOW_SIZE	PAGE_2M
#define READY_VECTOR	0xf3
#define WAKE_ALL	0xffffffffu
#define VALUE		0x5107ull

#define EN_ALWAYS	(KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_SEND_ALWAYS | \
			 KVM_ASYNC_PF_DELIVERY_AS_INT)
#define EN_USER		(KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)

/* Beside struct shared, written by the guest. */
struct apf_log {
	uint64_t faults;	/* #PF with a token */
	uint64_t real;		/* #PF without */
	uint64_t token;		/* CR2 of the last */
	uint64_t error;
	uint64_t ready;		/* tokens of page-ready interrupts, but wake-all */
	uint64_t all;		/* wake-all ones */
	uint64_t last;		/* the last token */
	uint64_t work;		/* counts while the guest has to do without the page */
	uint64_t give_up;	/* set: the #PF handler switches it all off and does not wait */
	uint64_t value;
	uint64_t stop;
};

#define LOG_GPA	(PV_GPA + 0x8000)
#define LOG ((volatile struct apf_log *)LOG_GPA)
#define DATA ((volatile struct kvm_vcpu_pv_apf_data *)APF_GPA(0))

/* -------- in the guest -------- */

/* A token, so another task's turn: this one counts until the page is said to be there. */
GUEST void guest_page_fault(uint64_t error)
{
	uint64_t cr2, ready = LOG->ready;

	asm volatile("mov %%cr2, %0" : "=r" (cr2));
	LOG->error = error;
	if (!DATA->flags) {
		LOG->real++;
		report(0xdead0e);
	}
	DATA->flags = 0;
	LOG->token = cr2;
	LOG->faults++;
	if (LOG->give_up) {
		wrmsr_(MSR_KVM_ASYNC_PF_EN, 0);
		return;
	}
	sti_();
	while (LOG->ready == ready)
		LOG->work++;
	cli_();
}

GUEST void guest_page_ready(void)
{
	uint32_t token = DATA->token;

	LOG->last = token;
	DATA->token = 0;
	if (token == WAKE_ALL)
		LOG->all++;
	else
		LOG->ready++;
	wrmsr_(MSR_KVM_ASYNC_PF_ACK, 1);
	apic_write(0xb0, 0);
}

extern const char apf_pf[], apf_ready[];

#define SAVE "push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push %r11\n"
#define RESTORE "pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n"

asm(".pushsection guest, \"ax\"\n"
    "apf_pf:" SAVE
    "	mov 72(%rsp), %rdi\n"
    "	call guest_page_fault\n"
    RESTORE
    "	add $8, %rsp\n"
    "	iretq\n"
    "apf_ready:" SAVE
    "	call guest_page_ready\n"
    RESTORE
    "	iretq\n"
    ".popsection\n");

GUEST void switch_on_guest(void)
{
	apic_on();
	wrmsr_(MSR_KVM_ASYNC_PF_INT, READY_VECTOR);
	wrmsr_(MSR_KVM_ASYNC_PF_EN, APF_GPA(0) | SH->arg[0]);
	sti_();
	pause_();
	cli_();
	report(1);
}

GUEST void before_apic_guest(void)
{
	wrmsr_(MSR_KVM_ASYNC_PF_INT, READY_VECTOR);
	wrmsr_(MSR_KVM_ASYNC_PF_EN, APF_GPA(0) | SH->arg[0]);
	report(LOG->all + DATA->token);
	apic_on();
	sti_();
	pause_();
	cli_();
	report(LOG->all);
}

/* RDI of guest_call() is not kept: where to look is in arg[1], with IF as arg[2] says. */
GUEST void touch_guest(void)
{
	if (SH->arg[2])
		sti_();
	LOG->value = *(volatile uint64_t *)SH->arg[1];
	cli_();
	report(2);
}

/* -------- outside -------- */

struct slow {
	struct guest g;
	struct guest_cpu *cpu;
	uint8_t *mem;
	int uffd;
	struct irq_thread thread;
};

static volatile struct apf_log *log_of(struct slow *s)
{
	return (void *)(s->g.mem + LOG_GPA);
}

static volatile struct kvm_vcpu_pv_apf_data *data_of(struct slow *s)
{
	return (void *)(s->g.mem + APF_GPA(0));
}

static void set_gate(struct guest *g, int vector, const char *entry)
{
	uint64_t *gate = (uint64_t *)(g->mem + IDT_GPA) + 2 * vector;
	uint64_t addr = GUEST_CODE_GPA + (entry - __start_guest);

	gate[0] = (addr & 0xffff) | 8ull << 16 | 0x8eull << 40 | (addr >> 16 & 0xffff) << 48;
	gate[1] = addr >> 32;
}

static void hold_back(struct slow *s)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)s->mem, SLOW_SIZE }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	s->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (s->uffd < 0 || ioctl(s->uffd, UFFDIO_API, &api) ||
	    ioctl(s->uffd, UFFDIO_REGISTER, &reg))
		SKIP("no userfaultfd: %s", strerror(errno));
}

static void slow_guest(struct slow *s)
{
	memset(s, 0, sizeof(*s));
	irq_guest(&s->g, CHIP_KERNEL, 1);
	pv_need_feature(&s->g, KVM_FEATURE_ASYNC_PF_INT);
	s->cpu = &s->g.cpu[0];
	s->mem = guest_alloc(SLOW_SIZE);
	guest_slot(&s->g, 1, 0, SLOW_GPA, SLOW_SIZE, s->mem);
	hold_back(s);
	set_gate(&s->g, 14, apf_pf);
	set_gate(&s->g, READY_VECTOR, apf_ready);
}

static void switch_on(struct slow *s, uint64_t how)
{
	shared(&s->g)->arg[0] = how;
	CHECK_EQ(irq_exec(s->cpu, switch_on_guest), 1);
}

/* The guest reads the first word of @page, in a thread of its own. */
static void touch(struct slow *s, int page, bool interrupts)
{
	shared(&s->g)->arg[1] = SLOW_GPA + page * PAGE_4K;
	shared(&s->g)->arg[2] = interrupts;
	irq_start(s->cpu, touch_guest);
	irq_thread(&s->thread, s->cpu);
}

static void serve(struct slow *s, int page)
{
	static uint64_t data[512] __attribute__((aligned(4096)));
	struct uffdio_copy copy = {
		.dst = (uintptr_t)s->mem + page * PAGE_4K, .src = (uintptr_t)data, .len = PAGE_4K,
	};

	data[0] = VALUE + page;
	MUST(ioctl(s->uffd, UFFDIO_COPY, &copy));
}

/* Until *@word is @val; false after five seconds. */
static bool wait_for(volatile uint64_t *word, uint64_t val)
{
	int i;

	for (i = 0; i < 5000 && *word != val; i++)
		sleep_ms(1);
	return *word == val;
}

static bool wait_change(volatile uint64_t *word, uint64_t val)
{
	int i;

	for (i = 0; i < 5000 && *word == val; i++)
		sleep_ms(1);
	return *word != val;
}

/* Somebody asked userfaultfd for a page: the work is under way. */
static void wait_fault(struct slow *s)
{
	struct uffd_msg msg;

	CHECK_EQ(read(s->uffd, &msg, sizeof(msg)), sizeof(msg));
}

static void wakes_all(void)
{
	struct slow s;

	slow_guest(&s);
	switch_on(&s, EN_ALWAYS);
	CHECK_EQ(log_of(&s)->all, 1);
	CHECK_EQ(log_of(&s)->last, WAKE_ALL);
	/* And by user space, as after a migration: into a guest that does not ask. */
	CHECK_EQ(guest_set_msr(s.cpu, MSR_KVM_ASYNC_PF_EN, APF_GPA(0) | EN_ALWAYS), 1);
	serve(&s, 0);
	touch(&s, 0, true);
	CHECK_EQ(irq_join(&s.thread), 2);
	CHECK_EQ(log_of(&s)->all, 2);
	CHECK_EQ(log_of(&s)->faults, 0);
}

/* A local APIC that is off takes no interrupt: it waits for it. */
static void before_apic(void)
{
	struct slow s;

	slow_guest(&s);
	shared(&s.g)->arg[0] = EN_ALWAYS;
	CHECK_EQ(irq_exec(s.cpu, before_apic_guest), 0);
	CHECK_EQ(irq_next(s.cpu), 1);
}

static void told_and_ready(void)
{
	volatile struct apf_log *log;
	uint32_t first;
	struct slow s;
	int page;

	slow_guest(&s);
	log = log_of(&s);
	switch_on(&s, EN_ALWAYS);
	for (page = 0; page < 3; page++) {
		uint64_t work = log->work;

		touch(&s, page, true);
		CHECK(wait_for(&log->faults, page + 1));
		wait_fault(&s);
		/* It works on without the page. */
		CHECK(wait_change(&log->work, work));
		work = log->work;
		CHECK(wait_change(&log->work, work));
		CHECK_EQ(log->ready, page);
		CHECK_EQ(log->error, 0);
		if (!page)
			first = log->token;
		CHECK(log->token && log->token != WAKE_ALL);
		CHECK_EQ(log->token & 0xfff, 0);	/* the vCPU's id */
		CHECK(!page || log->token != first);
		serve(&s, page);
		CHECK_EQ(irq_join(&s.thread), 2);
		CHECK_EQ(log->ready, page + 1);
		CHECK_EQ(log->last, log->token);
		CHECK_EQ(log->value, VALUE + page);
		CHECK_EQ(data_of(&s)->flags, 0);
		CHECK_EQ(data_of(&s)->token, 0);
	}
	/* What is there needs no exception. */
	touch(&s, 0, true);
	CHECK_EQ(irq_join(&s.thread), 2);
	CHECK_EQ(log->faults, 3);
	CHECK_EQ(log->real, 0);
}

/* CPL 0 and not SEND_ALWAYS: it halts instead, and interrupts are served. */
static void halts(void)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = 0x41 };
	volatile struct apf_log *log;
	struct slow s;
	int i;

	slow_guest(&s);
	log = log_of(&s);
	switch_on(&s, EN_USER);
	touch(&s, 0, true);
	wait_fault(&s);
	for (i = 0; i < 3; i++) {
		int k;

		CHECK_EQ(ioctl(s.g.fd, KVM_SIGNAL_MSI, &msi), 1);
		for (k = 0; k < 5000 && shared(&s.g)->count[0x41] <= (uint32_t)i; k++)
			sleep_ms(1);
		CHECK_EQ(shared(&s.g)->count[0x41], i + 1);
	}
	CHECK_EQ(log->value, 0);
	serve(&s, 0);
	CHECK_EQ(irq_join(&s.thread), 2);
	CHECK_EQ(log->value, VALUE);
	CHECK_EQ(log->faults, 0);
	CHECK_EQ(log->ready, 0);
}

static void on_signal(int sig)
{
}

/* User space gets its thread back from such a halt, and the guest goes on with it. */
static void signal_in_halt(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct slow s;

	slow_guest(&s);
	switch_on(&s, EN_USER);
	sigaction(SIGUSR1, &sa, NULL);
	shared(&s.g)->arg[1] = SLOW_GPA;
	shared(&s.g)->arg[2] = 1;
	irq_start(s.cpu, touch_guest);
	{
		struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
		struct itimerspec t = { .it_value.tv_nsec = 300000000 };
		struct kvm_mp_state mp;
		timer_t timer;

		MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
		MUST(timer_settime(timer, 0, &t, NULL));
		CHECK(ioctl(s.cpu->fd, KVM_RUN, 0) == -1 && errno == EINTR);
		guest_expect(s.cpu, KVM_EXIT_INTR);
		MUST(ioctl(s.cpu->fd, KVM_GET_MP_STATE, &mp));
		CHECK_EQ(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	}
	wait_fault(&s);
	serve(&s, 0);
	CHECK_EQ(irq_next(s.cpu), 2);
	CHECK_EQ(log_of(&s)->value, VALUE);
}

/* Interrupts off: nothing can be told and nothing halts; it waits in place. */
static void interrupts_off(void)
{
	volatile struct apf_log *log;
	struct slow s;

	slow_guest(&s);
	log = log_of(&s);
	switch_on(&s, EN_ALWAYS);
	touch(&s, 0, false);
	wait_fault(&s);
	sleep_ms(50);
	CHECK_EQ(log->faults, 0);
	serve(&s, 0);
	CHECK_EQ(irq_join(&s.thread), 2);
	CHECK_EQ(log->value, VALUE);
	CHECK_EQ(log->faults, 0);
	CHECK_EQ(log->ready, 0);
}


static void same_page_again(void)
{
	volatile struct apf_log *log;
	struct kvm_vcpu_events e;
	struct slow s;

	slow_guest(&s);
	log = log_of(&s);
	switch_on(&s, EN_ALWAYS);
	log->give_up = 0;
	touch(&s, 0, true);
	CHECK(wait_for(&log->faults, 1));
	wait_fault(&s);
	/* The handler stands in for the scheduler; "another task" is the same access anew. */
	log->ready++;			/* as if the page were there */
	sleep_ms(100);
	CHECK_EQ(log->value, 0);
	CHECK_EQ(log->faults, 1);
	serve(&s, 0);
	CHECK_EQ(irq_join(&s.thread), 2);
	CHECK_EQ(log->value, VALUE);
	CHECK_EQ(log->faults, 1);
	MUST(ioctl(s.cpu->fd, KVM_GET_VCPU_EVENTS, &e));
	CHECK_EQ(e.exception.injected, 0);
}

/* The guest switches it off before the page comes: it hears of nothing more. */
static void switched_off(void)
{
	volatile struct apf_log *log;
	struct slow s;

	slow_guest(&s);
	log = log_of(&s);
	switch_on(&s, EN_ALWAYS);
	log->give_up = 1;
	touch(&s, 0, true);
	CHECK(wait_for(&log->faults, 1));
	wait_fault(&s);
	sleep_ms(50);
	CHECK_EQ(log->value, 0);
	serve(&s, 0);
	CHECK_EQ(irq_join(&s.thread), 2);
	CHECK_EQ(log->value, VALUE);
	CHECK_EQ(log->ready, 0);
	CHECK_EQ(log->faults, 1);
	CHECK_EQ(data_of(&s)->token, 0);
}

/* The VM goes while a page is awaited, and the process with it; the page never comes. */
static void never_served(void)
{
	int status, i;
	struct slow s;
	pid_t pid;

	if (device_is_kvm())
		SKIP("the stock module may wait for ever");
	pid = fork();
	if (!pid) {
		slow_guest(&s);
		switch_on(&s, EN_ALWAYS);
		touch(&s, 0, true);
		wait_fault(&s);
		_exit(wait_for(&log_of(&s)->faults, 1) ? 0 : 1);
	}
	for (i = 0; i < 1000; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			CHECK_EQ(status, 0);
			return;
		}
		sleep_ms(10);
	}
	FAIL("the process does not end");
}

/* More pages than a vCPU may have under way at a time. */
GUEST void many_guest(void)
{
	uint64_t i, sum = 0;

	sti_();
	for (i = 0; i < SH->arg[0]; i++)
		sum += *(volatile uint64_t *)(SLOW_GPA + i * PAGE_4K);
	cli_();
	LOG->value = sum;
	report(3);
}

static void *server(void *arg)
{
	struct slow *s = arg;
	struct uffd_msg msg;

	while (read(s->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		usleep(500);
		serve(s, (msg.arg.pagefault.address - (uintptr_t)s->mem) / PAGE_4K);
	}
	return NULL;
}

static void many(void)
{
	volatile struct apf_log *log;
	const uint64_t n = 200;
	pthread_t thread;
	struct slow s;

	slow_guest(&s);
	log = log_of(&s);
	switch_on(&s, EN_ALWAYS);
	shared(&s.g)->arg[0] = n;
	CHECK_EQ(pthread_create(&thread, NULL, server, &s), 0);
	CHECK_EQ(irq_exec(s.cpu, many_guest), 3);
	CHECK_EQ(log->value, n * VALUE + n * (n - 1) / 2);
	CHECK_EQ(log->ready, log->faults);
	/* What comes in the middle of an event is waited for. */
	CHECK(log->faults > n * 9 / 10, "(%llu)", (unsigned long long)log->faults);
}

/* A pending exception with a token looks to user space like any page fault. */
static void token_in_events(void)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };
	struct kvm_vcpu_events e;
	struct slow s;

	slow_guest(&s);
	MUST(ioctl(s.g.fd, KVM_ENABLE_CAP, &cap));
	switch_on(&s, EN_ALWAYS);
	serve(&s, 0);
	shared(&s.g)->arg[1] = SLOW_GPA;
	log_of(&s)->give_up = 1;
	data_of(&s)->flags = KVM_PV_REASON_PAGE_NOT_PRESENT;
	irq_start(s.cpu, touch_guest);
	memset(&e, 0, sizeof(e));
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD;
	e.exception.pending = 1;
	e.exception.nr = 14;
	e.exception.has_error_code = 1;
	e.exception_has_payload = 1;
	e.exception_payload = 0x7000;
	MUST(ioctl(s.cpu->fd, KVM_SET_VCPU_EVENTS, &e));
	CHECK_EQ(irq_next(s.cpu), 2);
	CHECK_EQ(log_of(&s)->token, 0x7000);
	CHECK_EQ(log_of(&s)->faults, 1);
}

static const struct test tests[] = {
	{ "switched on: all tasks look", wakes_all },
	{ "switched on before the APIC", before_apic },
	{ "not present, works on, ready", told_and_ready },
	{ "CPL 0 halts, interrupts are served", halts },
	{ "a signal ends that halt", signal_in_halt },
	{ "interrupts off", interrupts_off },
	{ "the same page again", same_page_again },
	{ "switched off meanwhile", switched_off },
	{ "never served", never_served },
	{ "many", many },
	{ "restored with its events", token_in_events },
};

TEST_MAIN(tests)
