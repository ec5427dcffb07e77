#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The demo: runs through in half a minute, fails when something is not as it claims, and leaves
# nothing behind however it ends.

bats_require_minimum_version 1.5.0

setup() {
	DEMO=$BATS_TEST_DIRNAME/demo.sh
	export TMPDIR=$BATS_TEST_TMPDIR # where its hosts have their folder
}

nothing_left() {
	local left
	left=$(find "$BATS_TEST_TMPDIR" -mindepth 1 -name 'wg-hosts.*')
	[[ -z $left ]] || { echo "left: $left" >&2 && return 1; }
}

# broken FROM TO: a demo that differs in one thing
broken() {
	mkdir "$BATS_TEST_TMPDIR/tests"
	ln -s "$BATS_TEST_DIRNAME/netns" "$BATS_TEST_TMPDIR/tests/netns"
	ln -s "$BATS_TEST_DIRNAME/../build" "$BATS_TEST_TMPDIR/build"
	sed "s|$1|$2|" "$DEMO" >"$BATS_TEST_TMPDIR/tests/demo.sh"
	run -1 cmp -s "$DEMO" "$BATS_TEST_TMPDIR/tests/demo.sh"
	run -1 bash "$BATS_TEST_TMPDIR/tests/demo.sh"
}

@test "the demo runs through within 30 seconds, without colours into a pipe" {
	SECONDS=0
	run -0 "$DEMO"
	((SECONDS < 30))
	[[ ${lines[-1]} == "All as expected, in "*" s." ]]
	[[ $output != *$'\e'* && $output != *"not as expected"* ]]
	nothing_left
}

@test "the demo fails where a ping is not answered" {
	broken 'succeeds client ping.*192.0.2.1$' 'succeeds client ping -n -c 1 -W 1 192.0.2.254'
	[[ $output == *"not as expected: "*"ended with status 1"* ]]
	nothing_left
}

@test "the demo fails where nothing is leased" {
	broken 'succeeds client wg-quick up' 'succeeds client true \&\& true'
	[[ $output == *"not as expected: the client has leased"* ]]
	nothing_left
}

@test "the demo in colours on a terminal" {
	type -P script >/dev/null || skip "script (of bsdutils) is not installed"
	run -0 script -qec "$DEMO" /dev/null
	[[ $output == *$'\e[1m1. '* && $output == *"All as expected"* ]]
}

@test "the demo interrupted, and terminated" {
	local signal expected pid
	for signal in INT TERM; do
		expected=$([[ $signal == INT ]] && echo 130 || echo 143)
		set -m # a process group of its own, as at a terminal
		: >"$BATS_TEST_TMPDIR/out"
		"$DEMO" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
		pid=$!
		set +m
		for ((i = 0; i < 100; ++i)); do
			! grep -q 'ping -n -q' "$BATS_TEST_TMPDIR/out" || break
			sleep 0.1
		done
		((i < 100))
		kill -"$signal" -- -"$pid"
		status=0
		wait "$pid" || status=$?
		[[ $status == "$expected" ]]
		nothing_left
	done
}
