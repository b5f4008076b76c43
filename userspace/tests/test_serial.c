// SPDX-License-Identifier: GPL-2.0-only
/* The 16550A as a driver sees it, over a terminal that only remembers. */
#include <linux/serial_reg.h>
#include <string.h>

#include "dev/serial.h"
#include "device.h"
#include "stream.h"
#include "term.h"
#include "tests/board.h"
#include "tests/tap.h"

#define PORT	0x3f8
#define IRQ	4

struct term {
	struct term_sink *sink;
	char out[256];
	size_t len;
	unsigned int wants;
};

static struct term term;
static struct board b;

void term_set_sink(struct term *t, struct term_sink *sink)
{
	t->sink = sink;
}

void term_want_input(struct term *t)
{
	t->wants++;
}

void term_write(struct term *t, const void *data, size_t len)
{
	memcpy(t->out + t->len, data, len);
	t->len += len;
}

static uint8_t in(unsigned int reg)
{
	uint8_t value;

	bus_read(&b.m.bus, BUS_PIO, PORT + reg, &value, 1);
	return value;
}

static void out(unsigned int reg, uint8_t value)
{
	bus_write(&b.m.bus, BUS_PIO, PORT + reg, &value, 1);
}

/* What a terminal does: no more than there is room for. */
static size_t type(const char *text)
{
	size_t n = term.sink->room(term.sink);

	if (n > strlen(text))
		n = strlen(text);
	term.sink->input(term.sink, (const uint8_t *)text, n);
	return n;
}

static void test_registers(void)
{
	ok(in(UART_LSR) == (UART_LSR_TEMT | UART_LSR_THRE), "idle");
	ok(in(UART_IIR) == UART_IIR_NO_INT, "no interrupt");
	out(UART_SCR, 0x5a);
	ok(in(UART_SCR) == 0x5a, "scratch register");
	out(UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	out(UART_DLL, 12);
	out(UART_DLM, 1);
	ok(in(UART_DLL) == 12 && in(UART_DLM) == 1, "divisor latch");
	out(UART_LCR, UART_LCR_WLEN8);
	ok(!in(UART_IER) && !term.len, "is not the other registers");
	out(UART_FCR, UART_FCR_ENABLE_FIFO);
	ok(in(UART_IIR) == (0xc0 | UART_IIR_NO_INT), "FIFOs are there");
	out(UART_IER, 0xff);
	ok(in(UART_IER) == 0x0f, "reserved bits stay 0");
	out(UART_IER, 0);
}

static void test_transmit(void)
{
	out(UART_TX, 'A');
	ok(term.len == 1 && term.out[0] == 'A', "a byte goes out");
	in(UART_IIR);
	out(UART_IER, UART_IER_THRI);
	ok(fake.line[IRQ], "THRE interrupt when enabled");
	ok((in(UART_IIR) & 0xf) == UART_IIR_THRI && !fake.line[IRQ],
	   "reading IIR takes it back");
	out(UART_TX, 'B');
	ok(fake.line[IRQ], "and a byte raises it again");
	out(UART_IER, 0);
	ok(!fake.line[IRQ], "disabled");
}

static void test_receive(void)
{
	out(UART_MCR, 0);
	ok(!type("x"), "nothing without RTS");
	term.wants = 0;
	out(UART_MCR, UART_MCR_RTS | UART_MCR_DTR);
	ok(term.wants == 1, "RTS asks for input");
	out(UART_IER, UART_IER_RDI);
	out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8);
	ok(type("hello, 16 bytes and more") == 16, "a FIFO's worth");
	ok(fake.line[IRQ] && (in(UART_IIR) & 0xf) == UART_IIR_RDI,
	   "above the trigger level");
	ok(in(UART_RX) == 'h' && in(UART_LSR) & UART_LSR_DR, "data");
	for (int i = 0; i < 10; i++)
		in(UART_RX);
	ok((in(UART_IIR) & 0xf) == 0xc && fake.line[IRQ],
	   "below it: the timeout interrupt");
	term.wants = 0;
	for (int i = 0; i < 5; i++)
		in(UART_RX);
	ok(!fake.line[IRQ] && !(in(UART_LSR) & UART_LSR_DR) && term.wants == 1,
	   "empty: asks for more");
	type("zz");
	out(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	ok(!(in(UART_LSR) & UART_LSR_DR), "clearing the FIFO");
	out(UART_IER, 0);
}

static void test_loopback(void)
{
	size_t len = term.len;

	out(UART_MCR, UART_MCR_LOOP | UART_MCR_RTS | UART_MCR_OUT2);
	ok((in(UART_MSR) & 0xf0) == (UART_MSR_CTS | UART_MSR_DCD),
	   "outputs come back as inputs");
	out(UART_TX, 0x77);
	ok(in(UART_RX) == 0x77 && term.len == len, "so does data");
	for (int i = 0; i < 17; i++)
		out(UART_TX, (uint8_t)i);
	ok(in(UART_LSR) & UART_LSR_OE && !(in(UART_LSR) & UART_LSR_OE),
	   "an overrun is told once");
	out(UART_FCR, 0);
	out(UART_MCR, 0);
	ok((in(UART_MSR) & 0xf0) == 0xb0, "the other side is there");
	ok(!(in(UART_MSR) & 0x0f), "changes are told once");
}

static void test_state(void)
{
	struct stream s;

	out(UART_FCR, UART_FCR_ENABLE_FIFO);
	out(UART_MCR, UART_MCR_RTS);
	out(UART_SCR, 0x42);
	type("abc");
	stream_init(&s);
	ok(!devices_save(&b.m, &s), "save");
	devices_reset(&b.m);
	ok(!in(UART_SCR) && !in(UART_MCR), "reset");
	ok(!board_load(&b, &s) && in(UART_SCR) == 0x42 &&
	   in(UART_RX) == 'a' && in(UART_RX) == 'b', "load");
	term.wants = 0;
	devices_start(&b.m);
	ok(term.wants == 1, "once it runs, input is asked for");
	stream_destroy(&s);
}

int main(void)
{
	board_init(&b);
	b.m.term = &term;
	ok(!serial_create(&b.m), "create");
	test_registers();
	test_transmit();
	test_receive();
	test_loopback();
	test_state();
	board_destroy(&b);
	return tap_done();
}
