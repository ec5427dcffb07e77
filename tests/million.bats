#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A day of 20,000 clients and their server in virtual time: fewer than the million that it is made
# for (tests/bench/million.h), so what chance does in one second to those is seen in 50 to these.

bats_require_minimum_version 1.5.0

# day NAME=NUMBER...: simulates it; its figures are in $output
day() {
	run -0 "$BATS_TEST_DIRNAME/../build/bench/million" clients=20000 "$@"
	echo "$output"
}

# holds NAME CONDITION: the figure of this name, as x, meets the condition
holds() {
	awk -v name="\"$1\":" '$1 == name { x = $2 + 0; found = 1; if (!('"$2"')) exit 1 }
		END { if (!found) exit 1 }' <<<"$output" || {
		echo "$1 is not so: $2" >&2
		return 1
	}
}

@test "after an outage of an hour the peak is at most 3 times the mean, and nobody ends without" {
	local outage
	for outage in "" "keepalive=1 day=40000 restart-at=34000" "refused=1 day=40000 restart-at=34000"; do
		# shellcheck disable=SC2086 # words
		day $outage
		holds outage_peak_scaled 'x > 1 && x <= 3'
		holds peak_scaled 'x <= 3'
		holds wave2_peak 'x <= 2.5'
		holds restart_peak_scaled 'x <= 3'
		holds lost 'x == 20000'
		holds waited_max 'x <= 905'
		holds bound 'x == 20000'
		holds same_percent 'x == 100'
		holds changes 'x == 0'
	done
}

@test "after an outage of two minutes all have renewed soon, and nobody has lost an address" {
	day outage=120 outage-at=10000 day=18000 restart-at=17000
	holds lost 'x == 0'
	holds late 'x == 0'
	holds behind 'x > 500'
	holds behind_p99 'x <= 120'
	holds outage_peak_scaled 'x <= 3'
	holds bound 'x == 20000'
}

@test "no lease is lost to a server that is back before it ends" {
	day outage=2700 outage-at=10000 day=18000 restart-at=17000
	holds lost 'x > 5000 && x < 15000'
	holds late 'x <= 400'
	holds bound 'x == 20000'
}
