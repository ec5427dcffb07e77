/* SPDX-License-Identifier: MIT */
/* How long each request took, and what the whole of these says. */

#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/* CLOCK_MONOTONIC. */
uint64_t now_us(void);

/* For so many requests; 0: it is not known how many. */
void measure_open(uint64_t requests);

void measure(uint64_t began, uint64_t ended);

/* Goes on with an object in JSON: latencies in microseconds, and a list of the slowest. */
void measure_print(uint32_t slowest);

#endif
