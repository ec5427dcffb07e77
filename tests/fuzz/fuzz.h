/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share: the input as a sequence of values, and buffers that end where their
 * bytes do. Each target is one file with a LLVMFuzzerTestOneInput(), linked with all sources; what
 * is logged goes nowhere, but must be printable.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A property that must hold, whatever the input is. */
#define must(condition) \
	do { \
		if (!(condition)) { \
			dprintf(2, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
				#condition); \
			abort(); \
		} \
	} while (0)

/* What is left of the input. */
struct input {
	const uint8_t *data;
	size_t len;
};

/* The next byte, 0 at the end. */
uint8_t input_byte(struct input *input);

/* The next bytes, with zeros for what is missing. */
void input_bytes(struct input *input, void *to, size_t len);

/*
 * Cuts data into pieces, as a stream may come; the first byte of an input decides where: 0 gives
 * one piece, 1 gives single bytes, others give pieces of changing lengths.
 */
struct pieces {
	const uint8_t *data;
	size_t len; /* of what is left */
	uint32_t seed;
};

/*
 * The next piece, 1 to most bytes, in memory that ends behind it; *len 0: there is none. The caller
 * frees it.
 */
char *pieces_next(struct pieces *pieces, size_t most, size_t *len);

/* A memory file with these bytes, read from its start; never fails. */
int memory_file(const void *bytes, size_t len);

/* A copy that ends with a NUL and nothing behind; the caller frees it. */
char *text_copy(const void *bytes, size_t len);

/* Whether it is printable ASCII, newlines and tabs apart. */
bool is_printable(const char *text, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
