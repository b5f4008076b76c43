// SPDX-License-Identifier: GPL-2.0-only
/*
 * A 16550A as the data sheet of the PC16550D has it. The transmitter is
 * infinitely fast; the receiver takes bytes only while the guest asserts RTS,
 * so that input given before a guest listens is not lost.
 */
#include "dev/serial.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "machine.h"
#include "stream.h"
#include "term.h"
#include "util/msg.h"

#define SERIAL_PORT	0x3f8
#define SERIAL_REGS	8
#define SERIAL_IRQ	4
#define SERIAL_FIFO	16

#define IIR_FIFO_ON	0xc0
#define IIR_TIMEOUT	0x0c	/* bytes are waiting below the trigger level */
#define MCR_BITS	0x1f
#define IER_BITS	0x0f
#define MSR_DELTAS	0x0f

struct serial {
	struct device dev;
	struct bus_region region;
	struct term_sink sink;
	pthread_mutex_t lock;	/* all below */
	uint8_t ier, fcr, lcr, mcr, lsr, scr, dll, dlm;
	uint8_t msr_deltas;
	uint8_t msr_lines;	/* as last seen, to find the deltas */
	bool thre;		/* THR-empty interrupt is pending */
	uint8_t fifo[SERIAL_FIFO];
	unsigned int first, count;
};

/* ---- state to signals; the lock is held ---- */

static unsigned int serial_room_now(const struct serial *s)
{
	if (s->mcr & UART_MCR_LOOP || !(s->mcr & UART_MCR_RTS))
		return 0;
	if (!(s->fcr & UART_FCR_ENABLE_FIFO))
		return !s->count;
	return SERIAL_FIFO - s->count;
}

/* The other side is always there; in loopback the outputs are the inputs. */
static uint8_t serial_lines(const struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	if (s->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (s->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (s->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (s->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

/* Delta bits sit four below their lines; RI counts only when it goes away. */
static void serial_update_lines(struct serial *s)
{
	uint8_t now = serial_lines(s), changed = now ^ s->msr_lines;

	if (now & UART_MSR_RI)
		changed &= (uint8_t)~UART_MSR_RI;
	s->msr_deltas |= changed >> 4;
	s->msr_lines = now;
}

static unsigned int serial_trigger(const struct serial *s)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return s->fcr & UART_FCR_ENABLE_FIFO ? levels[s->fcr >> 6] : 1;
}

/* The pending interrupt of the highest priority. */
static uint8_t serial_iir(const struct serial *s)
{
	if (s->ier & UART_IER_RLSI && s->lsr & UART_LSR_BRK_ERROR_BITS)
		return UART_IIR_RLSI;
	if (s->ier & UART_IER_RDI && s->count)
		return s->count >= serial_trigger(s) ? UART_IIR_RDI :
						       IIR_TIMEOUT;
	if (s->ier & UART_IER_THRI && s->thre)
		return UART_IIR_THRI;
	if (s->ier & UART_IER_MSI && s->msr_deltas)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

/*
 * An edge-triggered line. OUT2 gates it on a PC; in loopback it goes nowhere.
 * Linux's irq test does without OUT2, and so do all virtual UARTs.
 */
static void serial_update_irq(struct serial *s)
{
	irq_line(s->dev.m, SERIAL_IRQ, serial_iir(s) != UART_IIR_NO_INT);
}

static void serial_push(struct serial *s, uint8_t byte)
{
	unsigned int room = s->fcr & UART_FCR_ENABLE_FIFO ? SERIAL_FIFO : 1;

	if (s->count >= room) {
		s->lsr |= UART_LSR_OE;
		return;
	}
	s->fifo[(s->first + s->count++) % SERIAL_FIFO] = byte;
}

/* ---- registers; the lock is held ---- */

static uint8_t serial_read_rx(struct serial *s)
{
	uint8_t byte;

	if (!s->count)
		return 0;
	byte = s->fifo[s->first];
	s->first = (s->first + 1) % SERIAL_FIFO;
	s->count--;
	return byte;
}

static uint8_t serial_read_iir(struct serial *s)
{
	uint8_t iir = serial_iir(s);

	if (iir == UART_IIR_THRI)
		s->thre = false;
	if (s->fcr & UART_FCR_ENABLE_FIFO)
		iir |= IIR_FIFO_ON;
	return iir;
}

static uint8_t serial_read_lsr(struct serial *s)
{
	uint8_t lsr = s->lsr | UART_LSR_TEMT | UART_LSR_THRE;

	if (s->count)
		lsr |= UART_LSR_DR;
	s->lsr = 0;
	return lsr;
}

static uint8_t serial_read_msr(struct serial *s)
{
	uint8_t msr = s->msr_lines | s->msr_deltas;

	s->msr_deltas = 0;
	return msr;
}

static uint8_t serial_read_reg(struct serial *s, uint64_t reg)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return dlab ? s->dll : serial_read_rx(s);
	case UART_IER:
		return dlab ? s->dlm : s->ier;
	case UART_IIR:
		return serial_read_iir(s);
	case UART_LCR:
		return s->lcr;
	case UART_MCR:
		return s->mcr;
	case UART_LSR:
		return serial_read_lsr(s);
	case UART_MSR:
		return serial_read_msr(s);
	default:
		return s->scr;
	}
}

static void serial_write_fcr(struct serial *s, uint8_t value)
{
	bool toggled = (s->fcr ^ value) & UART_FCR_ENABLE_FIFO;

	if (toggled || value & UART_FCR_CLEAR_RCVR)
		s->count = 0;
	/* The other bits can be programmed only while the FIFO is on. */
	s->fcr = value & UART_FCR_ENABLE_FIFO ?
		 value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK) : 0;
}

/* Enabling the interrupt of an empty transmitter raises it (section 8.6.4). */
static void serial_write_ier(struct serial *s, uint8_t value)
{
	if (value & UART_IER_THRI && !(s->ier & UART_IER_THRI))
		s->thre = true;
	s->ier = value & IER_BITS;
}

/* Return: whether the byte leaves for the wire. */
static bool serial_write_tx(struct serial *s, uint8_t value)
{
	s->thre = true;
	if (!(s->mcr & UART_MCR_LOOP))
		return true;
	serial_push(s, value);
	return false;
}

static bool serial_write_reg(struct serial *s, uint64_t reg, uint8_t value)
{
	bool dlab = s->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX:
		if (!dlab)
			return serial_write_tx(s, value);
		s->dll = value;
		break;
	case UART_IER:
		if (dlab)
			s->dlm = value;
		else
			serial_write_ier(s, value);
		break;
	case UART_FCR:
		serial_write_fcr(s, value);
		break;
	case UART_LCR:
		s->lcr = value;
		break;
	case UART_MCR:
		s->mcr = value & MCR_BITS;
		serial_update_lines(s);
		break;
	case UART_SCR:
		s->scr = value;
		break;
	}
	return false;
}

/* ---- bus ---- */

static void serial_read_byte(struct serial *s, uint64_t reg, uint8_t *byte)
{
	bool want;

	pthread_mutex_lock(&s->lock);
	*byte = serial_read_reg(s, reg);
	want = reg == UART_RX && !s->count && serial_room_now(s);
	serial_update_irq(s);
	pthread_mutex_unlock(&s->lock);
	if (want)
		term_want_input(s->dev.m->term);
}

static void serial_write_byte(struct serial *s, uint64_t reg, uint8_t byte)
{
	bool out, want;

	pthread_mutex_lock(&s->lock);
	out = serial_write_reg(s, reg, byte);
	want = (reg == UART_MCR || reg == UART_FCR) && serial_room_now(s);
	if (!out)
		serial_update_irq(s);
	pthread_mutex_unlock(&s->lock);
	if (want)
		term_want_input(s->dev.m->term);
	if (!out)
		return;
	/* The transmitter is empty once the byte is out. */
	term_write(s->dev.m->term, &byte, 1);
	pthread_mutex_lock(&s->lock);
	serial_update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

static void serial_read(void *opaque, uint64_t off, void *data,
			unsigned int len)
{
	uint8_t *bytes = data;

	for (unsigned int i = 0; i < len; i++)
		serial_read_byte(opaque, off + i, &bytes[i]);
}

static void serial_write(void *opaque, uint64_t off, const void *data,
			 unsigned int len)
{
	const uint8_t *bytes = data;

	for (unsigned int i = 0; i < len; i++)
		serial_write_byte(opaque, off + i, bytes[i]);
}

/* ---- terminal ---- */

static size_t serial_room(struct term_sink *sink)
{
	struct serial *s = container_of(sink, struct serial, sink);
	size_t room;

	pthread_mutex_lock(&s->lock);
	room = serial_room_now(s);
	pthread_mutex_unlock(&s->lock);
	return room;
}

static void serial_input(struct term_sink *sink, const uint8_t *data,
			 size_t len)
{
	struct serial *s = container_of(sink, struct serial, sink);

	pthread_mutex_lock(&s->lock);
	while (len--)
		serial_push(s, *data++);
	serial_update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

/* ---- device ---- */

static struct serial *serial_of(struct device *dev)
{
	return container_of(dev, struct serial, dev);
}

static void serial_power_on(struct serial *s)
{
	s->ier = 0;
	s->fcr = 0;
	s->lcr = 0;
	s->mcr = 0;
	s->lsr = 0;
	s->scr = 0;
	s->dll = 1;		/* 115200 baud */
	s->dlm = 0;
	s->msr_lines = serial_lines(s);
	s->msr_deltas = 0;
	s->thre = false;
	s->first = 0;
	s->count = 0;
}

static int serial_realize(struct device *dev)
{
	struct serial *s = serial_of(dev);
	int err;

	pthread_mutex_init(&s->lock, NULL);
	serial_power_on(s);
	s->region = (struct bus_region){
		.kind = BUS_PIO, .base = SERIAL_PORT, .size = SERIAL_REGS,
		.read = serial_read, .write = serial_write, .opaque = s,
		.name = dev->name,
	};
	err = bus_add(dev->m, &s->region);
	if (err)
		return err;
	s->sink.room = serial_room;
	s->sink.input = serial_input;
	term_set_sink(dev->m->term, &s->sink);
	return 0;
}

static void serial_reset(struct device *dev)
{
	struct serial *s = serial_of(dev);

	pthread_mutex_lock(&s->lock);
	serial_power_on(s);
	serial_update_irq(s);
	pthread_mutex_unlock(&s->lock);
}

static int serial_save(struct device *dev, struct stream *st)
{
	const struct serial *s = serial_of(dev);
	const uint8_t regs[] = {
		s->ier, s->fcr, s->lcr, s->mcr, s->lsr, s->scr, s->dll, s->dlm,
		s->msr_deltas, s->msr_lines, s->thre,
	};

	stream_put_bytes(st, regs, sizeof(regs));
	stream_put_u8(st, (uint8_t)s->count);
	for (unsigned int i = 0; i < s->count; i++)
		stream_put_u8(st, s->fifo[(s->first + i) % SERIAL_FIFO]);
	return 0;
}

static int serial_load(struct device *dev, struct stream *st, uint32_t version)
{
	struct serial *s = serial_of(dev);

	(void)version;
	s->ier = stream_get_u8(st) & IER_BITS;
	s->fcr = stream_get_u8(st);
	s->lcr = stream_get_u8(st);
	s->mcr = stream_get_u8(st) & MCR_BITS;
	s->lsr = stream_get_u8(st) & UART_LSR_BRK_ERROR_BITS;
	s->scr = stream_get_u8(st);
	s->dll = stream_get_u8(st);
	s->dlm = stream_get_u8(st);
	s->msr_deltas = stream_get_u8(st) & MSR_DELTAS;
	s->msr_lines = stream_get_u8(st);
	s->thre = stream_get_u8(st);
	s->first = 0;
	s->count = stream_get_u8(st);
	if (s->count > SERIAL_FIFO) {
		s->count = 0;
		return -EPROTO;
	}
	stream_get_bytes(st, s->fifo, s->count);
	serial_update_irq(s);
	return 0;
}

/* A guest that has come with its UART set up does not say again that there is room for what is typed. */
static void serial_start(struct device *dev)
{
	term_want_input(dev->m->term);
}

static void serial_unrealize(struct device *dev)
{
	struct serial *s = serial_of(dev);

	term_set_sink(dev->m->term, NULL);
	bus_remove(dev->m, &s->region);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct device_ops serial_ops = {
	.version = 1,
	.realize = serial_realize,
	.reset = serial_reset,
	.save = serial_save,
	.load = serial_load,
	.start = serial_start,
	.unrealize = serial_unrealize,
};

int serial_create(struct machine *m)
{
	struct serial *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return msg_fail(-ENOMEM, "out of memory");
	s->dev.ops = &serial_ops;
	s->dev.name = "serial0";
	err = device_register(m, &s->dev);
	if (err)
		free(s);
	return err;
}
