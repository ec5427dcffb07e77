// SPDX-License-Identifier: MIT

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "measure.h"

enum { UNKNOWN = 8 << 20 }; /* requests; memory is only taken for those that are made */

struct sample {
	uint64_t began; /* us */
	uint32_t took;
};

static struct sample *samples;
static uint64_t count, room;

uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ULL + now.tv_nsec / 1000;
}

void measure_open(uint64_t requests)
{
	room = requests ? requests : UNKNOWN;
	samples = mmap(NULL, room * sizeof(*samples), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (samples == MAP_FAILED)
		err(1, "mmap");
}

void measure(uint64_t began, uint64_t ended)
{
	if (count < room)
		samples[count++] = (struct sample){ began, ended - began };
}

static int compare(const void *a, const void *b)
{
	uint32_t left = ((const struct sample *)a)->took, right = ((const struct sample *)b)->took;

	return (left > right) - (left < right);
}

static uint32_t quantile(double q)
{
	uint64_t at = q * count;

	return count ? samples[at < count ? at : count - 1].took : 0;
}

void measure_print(uint32_t slowest)
{
	uint64_t sum = 0;

	qsort(samples, count, sizeof(*samples), compare);
	for (uint64_t i = 0; i < count; ++i)
		sum += samples[i].took;
	printf(", \"mean\": %.1f, \"p50\": %u, \"p90\": %u, \"p99\": %u, \"p999\": %u, \"max\": %u",
	       count ? (double)sum / count : 0, quantile(0.5), quantile(0.9), quantile(0.99),
	       quantile(0.999), quantile(1));
	if (!slowest)
		return;
	printf(", \"slowest\": [");
	for (uint64_t i = 0; i < slowest && i < count; ++i)
		printf("%s[%.6f, %u]", i ? ", " : "", samples[count - 1 - i].began / 1e6,
		       samples[count - 1 - i].took);
	printf("]");
}
