// SPDX-License-Identifier: MIT
/* What came of the day: for people, in Markdown, and behind it the same for programs, in JSON. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "million.h"

enum { FIGURES = 128, WAVES = 8 };

/* All figures, for the JSON. */
static struct {
	const char *name;
	double value;
} figures[FIGURES];
static int count;

static double figure(const char *name, double value)
{
	if (count < FIGURES) {
		figures[count].name = name;
		figures[count++].value = value;
	}
	return value;
}

/* The most of any so many seconds in a row from begin to end, a second. */
static double busiest(const uint32_t *seconds, uint64_t begin, uint64_t end, uint64_t row)
{
	uint64_t sum = 0, most = 0;

	for (uint64_t i = begin; i < end && i < plan.day; ++i) {
		sum += seconds[i];
		if (i >= begin + row)
			sum -= seconds[i - row];
		most = sum > most ? sum : most;
	}
	return (double)most / row;
}

static double mean_of(const uint32_t *seconds)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < plan.day; ++i)
		sum += seconds[i];
	return (double)sum / plan.day;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void times(const char *what, uint32_t *list, uint64_t n, const char *const names[4])
{
	uint32_t median, most, longest;

	qsort(list, n, sizeof(*list), compare);
	figure(names[0], n);
	median = figure(names[1], n ? list[n / 2] : 0);
	most = figure(names[2], n ? list[n * 99 / 100] : 0);
	longest = figure(names[3], n ? list[n - 1] : 0);
	if (n)
		printf("| %s | %" PRIu64 " | %" PRIu32 " s | %" PRIu32 " s | %" PRIu32 " s |\n", what, n,
		       median, most, longest);
}

/* A second of a million clients: chance is as much of it with fewer in as many more seconds. */
static uint64_t long_second(void)
{
	uint64_t seconds = 1000000 / plan.clients;

	return seconds ? seconds : 1;
}

static void peaks(const char *what, uint64_t begin, uint64_t end, double mean,
		  const char *const names[3])
{
	double second = busiest(tally.offered, begin, end, 1);
	double minute = busiest(tally.offered, begin, end, 60);
	double scaled = busiest(tally.offered, begin, end, long_second());

	figure(names[0], second / mean);
	figure(names[1], minute / mean);
	figure(names[2], scaled / mean);
	printf("| %s | %.0f | %.2f | %.2f | %.2f |\n", what, second, second / mean, minute / mean,
	       scaled / mean);
}

static void load(double mean)
{
	const uint64_t back = plan.outage_at + plan.outage;
	uint64_t begin = plan.storm ? 0 : plan.lease / 2; /* where all have begun */
	static const char *const waves[WAVES] = {
		"wave1_peak", "wave2_peak", "wave3_peak", "wave4_peak",
		"wave5_peak", "wave6_peak", "wave7_peak", "wave8_peak",
	};

	printf("| Requests to the server that is there | busiest second | to the mean "
	       "| busiest minute to the mean | %" PRIu64 " s to the mean |\n"
	       "| --- | --- | --- | --- | --- |\n", long_second());
	peaks("the whole day", begin, plan.day, mean, (const char *const[3]){
		"peak_second", "peak_minute", "peak_scaled" });
	peaks("the hour after the outage", back, back + 3600, mean, (const char *const[3]){
		"outage_peak_second", "outage_peak_minute", "outage_peak_scaled" });
	peaks("from the outage to the restart", back, plan.restart_at, mean,
	      (const char *const[3]){
		"recovery_peak_second", "recovery_peak_minute", "recovery_peak_scaled" });
	peaks("the hour after the restart", plan.restart_at, plan.restart_at + 3600, mean,
	      (const char *const[3]){
		"restart_peak_second", "restart_peak_minute", "restart_peak_scaled" });
	printf("\nWaves, each half a lease, after the outage, busiest %" PRIu64
	       " s to the mean:", long_second());
	for (uint64_t i = 0; i < WAVES; ++i) {
		uint64_t from = back + i * plan.lease / 2, to = from + plan.lease / 2;

		printf(" %.2f", figure(waves[i], busiest(tally.offered, from, to,
							 long_second()) / mean));
	}
	printf("\n\nAttempts in the busiest second of the outage: %.0f. Packets that found the "
	       "queue full, in all: %" PRIu64 ".\n\n",
	       figure("outage_attempts_second", busiest(tally.made, plan.outage_at, back, 1)),
	       tally.full);
}

static void clients_tell(void)
{
	printf("| Clients | how many | median | 99th percentile | longest |\n"
	       "| --- | --- | --- | --- | --- |\n");
	times("started: with addresses", tally.first, tally.firsts,
	      (const char *const[4]){ "started", "first_median", "first_p99", "first_max" });
	times("lost their addresses in the outage: without them", tally.without, tally.withouts,
	      (const char *const[4]){ "lost", "lost_median", "lost_p99", "lost_max" });
	times("the same: with them again after the server's return", tally.waited, tally.waits,
	      (const char *const[4]){ "waited", "waited_median", "waited_p99", "waited_max" });
	times("lost them after its return: without them", tally.late, tally.lates,
	      (const char *const[4]){ "late", "late_median", "late_p99", "late_max" });
	times("kept them: renewed after its return", tally.behind, tally.behinds,
	      (const char *const[4]){ "behind", "behind_median", "behind_p99", "behind_max" });
	printf("\nWith an address at the end: %.0f of %" PRIu64 ". The same as at first: %.3f %%; "
	       "changes: %.0f.\n\n", figure("bound", tally.bound), plan.clients,
	       100.0 * tally.same / plan.clients, (double)tally.changes);
	figure("same_percent", 100.0 * tally.same / plan.clients);
	figure("changes", tally.changes);
}

void report(void)
{
	double mean = figure("mean", mean_of(tally.served));
	struct journal_growth growth;
	uint32_t live, held;

	printf("%" PRIu64 " clients%s, leases of %" PRIu64 " s, %" PRIu64 " of 100 sleep; an "
	       "outage of %" PRIu64 " s (%s) and a restart of %" PRIu64 " s; the server gets "
	       "%" PRIu64 " requests a second done.\n\n"
	       "%.1f requests a second are the mean of the day.\n\n",
	       plan.clients, plan.storm ? " that start in the same second" : "", plan.lease,
	       plan.sleep, plan.outage,
	       plan.refused ? "connections refused" : "nobody answers", plan.restart, plan.capacity, mean);
	load(mean);
	clients_tell();
	server_journal(&growth);
	live = server_leases(&held);
	figure("journal_records", growth.records);
	figure("journal_bytes", growth.bytes);
	figure("journal_size", growth.size);
	figure("compactions", growth.compactions);
	figure("compaction_bytes", growth.written);
	printf("Journal: %" PRIu64 " records in a day, %.1f MB; %" PRIu64 " compactions, which "
	       "write %.1f MB more, leave a file of %.1f MB at the end. Leases: %" PRIu32
	       ", %" PRIu32 " held.\n\n", growth.records, growth.bytes / 1e6, growth.compactions,
	       growth.written / 1e6, growth.size / 1e6, live, held);
	printf("```json\n{\"clients\": %" PRIu64 ", \"lease\": %" PRIu64 ", \"outage\": %"
	       PRIu64 ", \"sleep\": %" PRIu64 ", \"pool\": %" PRIu64, plan.clients, plan.lease,
	       plan.outage, plan.sleep, plan.pool);
	for (int i = 0; i < count; ++i)
		printf(",\n \"%s\": %.3f", figures[i].name, figures[i].value);
	printf("}\n```\n");
}
