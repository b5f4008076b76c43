/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a fuzz target is: a function that takes any bytes and must come back, and inputs to begin with. It is linked
 * with driver.c, or with clang's libFuzzer and seeds.c.
 */
#ifndef VMRUN_FUZZ_FUZZ_H
#define VMRUN_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_MAX	65536	/* no input is longer */

/* Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Fills @data (FUZZ_MAX bytes) with the input number @i. Return: its length; 0: there is none. */
size_t fuzz_seed(unsigned int i, uint8_t *data);

/* What must hold, whatever the input. */
#define fuzz_assert(cond) \
	do { \
		if (!(cond)) \
			abort(); \
	} while (0)

/* ---- taking an input apart: behind its end all is zero ---- */

struct fuzz_in {
	const uint8_t *p;
	size_t left;
};

static inline void fuzz_bytes(struct fuzz_in *in, void *to, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memset(to, 0, len);
	memcpy(to, in->p, n);
	in->p += n;
	in->left -= n;
}

static inline uint8_t fuzz_u8(struct fuzz_in *in)
{
	uint8_t value;

	fuzz_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint16_t fuzz_u16(struct fuzz_in *in)
{
	uint16_t value;

	fuzz_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint32_t fuzz_u32(struct fuzz_in *in)
{
	uint32_t value;

	fuzz_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint64_t fuzz_u64(struct fuzz_in *in)
{
	uint64_t value;

	fuzz_bytes(in, &value, sizeof(value));
	return value;
}

/* At most @most bytes, which stay where they are. */
static inline const uint8_t *fuzz_take(struct fuzz_in *in, size_t most, size_t *len)
{
	const uint8_t *p = in->p;

	*len = most < in->left ? most : in->left;
	in->p += *len;
	in->left -= *len;
	return p;
}

/* ---- putting one together ---- */

struct fuzz_out {
	uint8_t *p;
	size_t len;
};

static inline void fuzz_put(struct fuzz_out *out, const void *data, size_t len)
{
	fuzz_assert(out->len + len <= FUZZ_MAX);
	if (len)
		memcpy(out->p + out->len, data, len);
	out->len += len;
}

/* @value in @len bytes. */
static inline void fuzz_put_int(struct fuzz_out *out, uint64_t value, size_t len)
{
	fuzz_put(out, &value, len);
}

#endif
