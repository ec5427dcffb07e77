#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The server's engine in a simulated world: tests/sim/world.h says what must hold there. SIM_SEED=N
# in the environment makes it another run, and SIM_EVENTS=N a longer one; with SIM_TRACE=1
# build/sim tells all that happens.

bats_require_minimum_version 1.5.0

@test "a million random events, and what must hold holds" {
	local events=${SIM_EVENTS:-1000000} line count name
	run -0 "$BATS_TEST_DIRNAME/../build/sim" "$events" "${SIM_SEED:-1}"
	echo "$output"
	[[ ${lines[0]} =~ ^([0-9]+)' events in '[0-9]+' lives, '([0-9]+)' promises, '([0-9]+)' deaths'$ ]]
	((BASH_REMATCH[1] >= events && BASH_REMATCH[2] >= events / 10 && BASH_REMATCH[3] >= events / 100))
	# Nothing of what can happen has been left out.
	((${#lines[@]} > 20))
	for line in "${lines[@]:1}"; do
		read -r count name <<<"$line"
		echo "$name: $count"
		((count >= events / 1000))
	done
}
