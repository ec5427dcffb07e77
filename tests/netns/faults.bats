#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A disk that is full, read-only or broken: nothing is acknowledged that it has not got, the server
# goes on when it does, and nothing is lost. With CRASH_POINTS, as in crash.bats, in all ways. (How a
# full one looks to a client is in journal.bats and protocol.bats; a start on one, in refusals.bats.)

bats_require_minimum_version 1.5.0

setup() {
	load many
	/usr/bin/python3 -c "import ctypes" 2>/dev/null || skip "there is no ctypes for Python"
}

teardown() {
	hosts_del
}

@test "ENOSPC, EIO and EROFS of each call for the journal: errno 4, then on, and nothing lost" {
	local clients ways=${CRASH_POINTS:+all}
	many_hosts 80
	exec {clients}<"/proc/$(<"$NS/c1/pid")/ns/net"
	on srv /usr/bin/python3 "$NETNS/faults.py" "$clients" "${ways:-some}" \
		>"$BATS_TEST_TMPDIR/faults"
	sed 's/^/# /' "$BATS_TEST_TMPDIR/faults" >&3
	(($(wc -l <"$BATS_TEST_TMPDIR/faults") >= 20))
}
